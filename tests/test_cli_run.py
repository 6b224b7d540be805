"""`run`, `suites` and `results`: from the command line to the exit code, with a real server."""

from __future__ import annotations

import asyncio
import json
import signal
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

import pytest
from click.testing import CliRunner, Result
from recording import command, environment

from scimproxy.cli import cli
from scimproxy.cli.run import _selected
from scimproxy.demo import Demo, serve
from scimproxy.errors import UsageError
from scimproxy.store import Reader

TOKEN = "token-of-the-test"
OKTA = Path(__file__).resolve().parents[2] / "shared" / "okta"


@pytest.fixture(name="server", scope="module")
def _server() -> Iterator[Demo]:
    """The embedded SCIM server in a thread: CliRunner has an event loop of its own."""
    ready = threading.Event()
    loops: list[asyncio.AbstractEventLoop] = []
    demos: list[Demo] = []

    async def live() -> None:
        over = asyncio.Event()
        async with await serve(token=TOKEN) as demo:
            loops.append(asyncio.get_running_loop())
            demos.append(demo)
            overs.append(over)
            ready.set()
            await over.wait()

    overs: list[asyncio.Event] = []
    thread = threading.Thread(target=asyncio.run, args=(live(),))
    thread.start()
    assert ready.wait(30)
    yield demos[0]
    loops[0].call_soon_threadsafe(overs[0].set)
    thread.join(30)


def call(*args: str | Path, input_: str | None = None) -> Result:
    return CliRunner(env={"AUTH": f"Bearer {TOKEN}"}).invoke(cli, [str(arg) for arg in args], input=input_)


def write(path: Path, *steps: dict[str, Any], **members: Any) -> Path:
    path.write_text(json.dumps({"name": "my suite", "steps": list(steps), **members}))
    return path


def users(**members: Any) -> dict[str, Any]:
    return {
        "step_type": "request",
        "method": "GET",
        "url": "{{SCIMBaseURL}}/Users?count=1",
        "headers": {"Authorization": "{{auth}}"},
        "note": "List users",
        **members,
    }


def status(code: int) -> dict[str, Any]:
    return {"source": "response_status", "comparison": "equal_number", "value": code}


def test_a_suite_that_passes(server: Demo, tmp_path: Path) -> None:
    suite = write(tmp_path / "s.json", users(assertions=[status(200)]), {"step_type": "pause", "duration": 100})
    db = tmp_path / "a.db"
    done = call("run", suite, "--target", server.url, "--auth", "env:AUTH", "--pause-scale", "0", "--db", db)
    assert done.exit_code == 0, done.output
    assert "pass     1  200" in done.stdout
    assert "Passed: 1 passed; 1 of 1 assertion hold in" in done.stdout
    assert "Run 1 in" in done.stderr
    assert TOKEN not in done.output


def test_a_suite_that_fails_says_why(server: Demo, tmp_path: Path) -> None:
    suite = write(tmp_path / "s.json", users(assertions=[status(401)]), users(skipped=True))
    db, junit, markdown, page = tmp_path / "a.db", tmp_path / "j.xml", tmp_path / "m.md", tmp_path / "r.html"
    reports = ("--junit", junit, "--markdown", markdown, "--html", page)
    done = call("run", suite, "--target", server.url, "--auth", "env:AUTH", "--db", db, *reports)
    assert done.exit_code == 1
    assert "FAIL     1  200" in done.stdout
    assert "x Status — 200 was not a number equal to 401" in done.stdout
    assert "RFC 7644 section 2" in done.stdout
    assert "usually  authentication is not checked" in done.stdout
    assert "Failed: 0 passed, 1 failed, 1 not run; 0 of 1 assertion hold" in done.stdout
    assert ET.fromstring(junit.read_text()).attrib["failures"] == "1"
    assert "my suite: failed" in markdown.read_text()
    assert "GET /scim/v2/Users?count=1 HTTP/1.1" in page.read_text()
    assert TOKEN not in page.read_text()
    again = call("results", "--db", db, "--failed", "--html", page)
    assert again.exit_code == 0
    assert "x Status — 200 was not a number equal to 401" in again.stdout
    assert "skip" not in again.stdout
    shown = json.loads(call("results", "1", "--db", db, "--json").stdout)
    assert shown["result"] == "fail"
    assert shown["requests"][0]["assertions"][0]["why"]["section"].startswith("RFC 7644")


def test_json_is_the_only_thing_on_stdout(server: Demo, tmp_path: Path) -> None:
    suite = write(tmp_path / "s.json", users(assertions=[status(200)]))
    done = call("run", suite, "--target", server.url, "--auth", "env:AUTH", "--json", "--db", tmp_path / "a.db")
    data = json.loads(done.stdout)
    assert (data["result"], data["assertions_passed"], data["suite"]) == ("pass", 1, "s.json")
    assert "pass     1" in done.stderr


def test_what_cannot_be_judged_is_3(tmp_path: Path) -> None:
    suite = write(tmp_path / "s.json", users(url="http://127.0.0.1:1/", headers={}))
    done = call("run", suite, "--db", tmp_path / "a.db")
    assert done.exit_code == 3
    assert "ERROR    1" in done.stdout
    assert "Could not be judged" in done.stdout


def test_the_token_comes_from_stdin(server: Demo, tmp_path: Path) -> None:
    suite = write(tmp_path / "s.json", users(assertions=[status(200)]))
    args = ("run", suite, "--target", server.url, "--auth", "-", "--db", tmp_path / "a.db")
    done = call(*args, input_=f"Bearer {TOKEN}\n")
    assert done.exit_code == 0
    assert TOKEN not in done.output
    assert all(TOKEN.encode() not in file.read_bytes() for file in tmp_path.iterdir())
    assert "--auth: stdin holds nothing" in call(*args, input_="").stderr


@pytest.mark.parametrize("words", [("run", "lifecycle"), ("drill", "okta", "http://127.0.0.1:1/scim")])
def test_a_token_on_the_command_line_is_refused(words: tuple[str, ...], tmp_path: Path) -> None:
    done = call(*words, "--auth", f"Bearer {TOKEN}", "--db", tmp_path / "a.db")
    assert done.exit_code == 2
    assert "--auth takes no token" in done.stderr
    assert TOKEN not in done.output


def test_slips_in_the_file_are_told_and_stop_nothing(server: Demo, tmp_path: Path) -> None:
    slip = {**users(assertions=[status(200)]), "assertion": []}
    suite = write(tmp_path / "s.json", slip)
    done = call("run", suite, "--target", server.url, "--auth", "env:AUTH", "--db", tmp_path / "a.db")
    assert done.exit_code == 0
    assert "Note: steps[0]: 'assertion' means nothing here; did you mean 'assertions'?" in done.stderr
    many = write(tmp_path / "m.json", *([slip] * 7))
    done = call("run", many, "--target", server.url, "--auth", "env:AUTH", "--db", tmp_path / "a.db")
    assert done.stderr.count("did you mean") == 5
    assert "Note: 2 more remarks of this kind about the suite's file" in done.stderr


def test_missing_variables_are_listed_with_their_source(tmp_path: Path) -> None:
    suite = write(tmp_path / "s.json", users(body="{{randomEmail}}", method="POST"))
    done = call("run", suite, "--db", tmp_path / "a.db")
    assert done.exit_code == 2
    for words in (
        "SCIMBaseURL, first used in step 1 (url)",
        "--target URL",
        "auth, first used",
        "randomEmail",
        "SPEC suite",
    ):
        assert words in done.stderr
    assert "3 variables missing" in done.stderr
    assert not (tmp_path / "a.db").exists()
    done = call("run", suite, "--db", tmp_path / "a.db", "--skip-preflight")
    assert done.exit_code == 3
    assert "Variable 'SCIMBaseURL' was not defined" in done.stdout


def test_a_token_without_its_scheme_is_told_of(server: Demo, tmp_path: Path) -> None:
    suite = write(tmp_path / "s.json", users())
    done = call("run", suite, "--target", server.url, "--auth", "-", "--db", tmp_path / "a.db", input_=TOKEN)
    assert "has no scheme word" in done.stderr
    assert "answers 401" in done.stderr
    assert TOKEN not in done.output


def test_a_target_that_does_not_answer_ends_it(tmp_path: Path) -> None:
    done = call(
        "run", "lifecycle", "--target", "http://127.0.0.1:1/scim", "--auth", "env:AUTH", "--db", tmp_path / "a.db"
    )
    assert done.exit_code == 3
    assert "nothing listens there" in done.stderr


def test_unused_options_are_told_of(server: Demo, tmp_path: Path) -> None:
    suite = write(tmp_path / "s.json", users(url=server.url + "/Users", headers={}, assertions=[status(401)]))
    done = call("run", suite, "--target", server.url, "--auth", "env:AUTH", "--db", tmp_path / "a.db")
    assert "none of the variables that --target fills" in done.stderr
    assert "none of the variables that --auth fills" in done.stderr


def test_variables_scripts_and_environments(server: Demo, tmp_path: Path) -> None:
    environment_ = {"id": "e1", "name": "Mine", "initial_variables": {"SCIMBaseURL": server.url, "want": "500"}}
    suite = write(
        tmp_path / "s.json",
        users(assertions=[{**status(200), "value": "{{want}}"}]),
        environments=[environment_, {"id": "e2", "name": "Other", "initial_variables": {}}],
    )
    script = tmp_path / "i.js"
    script.write_text("variables.set('auth', 'Bearer ' + variables.get('tok'));")
    args = ("run", suite, "--db", tmp_path / "a.db", "--environment", "Mine", "--initial-script", script)
    assert call(*args, "--var", f"tok={TOKEN}", "--var", "want=200").exit_code == 0
    assert call(*args, "--var", f"tok={TOKEN}").exit_code == 1
    (tmp_path / "env.json").write_text(json.dumps({"want": "200", "tok": TOKEN}))
    assert call(*args, "--env", tmp_path / "env.json").exit_code == 0
    assert "there is no environment 'No'" in call("run", suite, "--environment", "No").stderr


def test_a_file_with_several_tests(server: Demo, tmp_path: Path) -> None:
    path = tmp_path / "s.json"
    path.write_text(
        json.dumps([{"name": "one", "steps": []}, {"name": "two", "steps": [users(assertions=[status(200)])]}])
    )
    done = call("run", path)
    assert (done.exit_code, "--test: 'one', 'two'" in done.stderr) == (2, True)
    assert "holds no test 'three'" in call("run", path, "--test", "three").stderr
    args = ("--target", server.url, "--auth", "env:AUTH", "--db", tmp_path / "a.db")
    assert call("run", path, "--test", "two", *args).exit_code == 0


def test_steps_and_stop_on_failure(server: Demo, tmp_path: Path) -> None:
    suite = write(tmp_path / "s.json", users(assertions=[status(500)]), users(assertions=[status(200)]))
    args = ("run", suite, "--target", server.url, "--auth", "env:AUTH", "--db", tmp_path / "a.db")
    done = call(*args, "--step", "2")
    assert (done.exit_code, "skip" in done.stdout, "1 not run" in done.stdout) == (0, False, True)
    done = call(*args, "--stop-on-failure")
    assert done.exit_code == 1
    assert "stops on failure" in done.stderr


@pytest.mark.parametrize(
    ("text", "chosen"),
    [
        ("3", {3}),
        ("3-5", {3, 4, 5}),
        ("1,9-", {1, 9, 10}),
        ("-2", {1, 2}),
        (" 2 - 3 , 7", {2, 3, 7}),
        ("8-99", {8, 9, 10}),
    ],
)
def test_selections(text: str, chosen: set[int]) -> None:
    assert _selected(text, 10) == chosen


@pytest.mark.parametrize("text", ["", "x", "1 2", "-", "11", "5-3", "0"])
def test_bad_selections(text: str) -> None:
    with pytest.raises(UsageError):
        _selected(text, 10)


@pytest.mark.parametrize(
    ("args", "words"),
    [
        (("run", "scim2-spek"), "did you mean 'scim2-spec'"),
        (("run", "no-such.json"), "there is no file 'no-such.json'"),
        (("run", "{folder}/bad.json"), "bad.json: "),
        (("run", "{folder}/good.json", "--var", "x"), "NAME=VALUE"),
        (("run", "{folder}/good.json", "--env", "{folder}/none.json"), "cannot be read"),
        (("run", "{folder}/good.json", "--junit", "{folder}/none/j.xml"), "there is no folder"),
        (("run", "{folder}/good.json", "--target", "ftp://x"), "is not http or https"),
        (("results", "7"), "there is no run '7'"),
    ],
)
def test_bad_input_is_a_sentence(args: tuple[str, ...], words: str, tmp_path: Path) -> None:
    (tmp_path / "bad.json").write_text('{"steps": [{"step_type": "request", "assertions": 5}]}')
    write(tmp_path / "good.json")
    call("run", tmp_path / "good.json", "--db", tmp_path / "a.db")
    done = call(*(arg.format(folder=tmp_path) for arg in args), "--db", tmp_path / "a.db")
    assert done.exit_code in {2, 3}
    assert words in done.stderr
    assert "Traceback" not in done.output


def test_results_of_other_runs_and_of_none(tmp_path: Path) -> None:
    from factories import run

    from scimproxy.store import Store

    with Store.open(tmp_path / "a.db") as store:
        store.start_run(run())
    for given in ((), ("last",)):  # the newest suite's, whatever was recorded since
        assert "holds no suite's run" in call("results", *given, "--db", tmp_path / "a.db").stderr
    assert "is no suite's, but of kind record" in call("results", "1", "--db", tmp_path / "a.db").stderr


def test_suites_are_listed() -> None:
    done = call("suites")
    assert done.exit_code == 0
    assert "scim2-spec" in done.stdout
    listed = [json.loads(line) for line in call("suites", "--json").stdout.splitlines()]
    assert {"lifecycle", "scim2-spec"} <= {one["name"] for one in listed}
    assert all(one["requests"] and one["assertions"] and one["description"] for one in listed)


def test_ctrl_c_keeps_what_there_is(server: Demo, tmp_path: Path) -> None:
    suite = write(tmp_path / "s.json", users(), {"step_type": "pause", "duration": 100}, users())
    args = ["run", str(suite), "--target", server.url, "--auth", "env:AUTH", "--db", str(tmp_path / "a.db")]
    process = subprocess.Popen(
        [*command(), *args],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=environment(AUTH=f"Bearer {TOKEN}"),
    )
    assert process.stdout is not None
    assert process.stdout.readline().startswith("pass     1  200")
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=30)
    assert process.returncode == 130
    assert "Interrupted: 1 passed" in out
    assert "interrupted (SIGINT); what ended before that is kept" in err
    with Reader.open(tmp_path / "a.db") as reader:
        result = reader.suite(1)
    assert result is not None
    assert [step.result for step in result.steps] == ["pass"]


@pytest.mark.skipif(not OKTA.is_dir(), reason="Okta's suites are not in this repository")
@pytest.mark.parametrize("kind", ["demo", "scim2_server"])
def test_oktas_spec_suite_passes(kind: str, server: Demo, tmp_path: Path, request: pytest.FixtureRequest) -> None:
    url, token = server.url, TOKEN
    if kind != "demo":
        peer = request.getfixturevalue(kind)
        url, token = peer.url, peer.token
    okta(url, token, tmp_path)


@pytest.mark.skipif(not OKTA.is_dir(), reason="Okta's suites are not in this repository")
def test_oktas_spec_suite_passes_on_scimmy(scimmy: Any, tmp_path: Path) -> None:
    okta(scimmy.url, scimmy.token, tmp_path)


def okta(url: str, token: str, folder: Path) -> None:
    spec, script = OKTA / "Okta-SCIM-20-SPEC-Test.json", OKTA / "Initial_Script_Spec.txt"
    args = (
        "--target",
        url,
        "--auth",
        "-",
        "--initial-script",
        script,
        "--pause-scale",
        "0",
        "--seed-user",
    )
    done = call("run", spec, *args, "--json", "--db", folder / "a.db", input_=f"Bearer {token}")
    data = json.loads(done.stdout)
    assert [one["note"] for one in data["requests"] if one["result"] != "pass"] == []
    assert (done.exit_code, data["assertions_defined"], data["assertions_failed"]) == (0, 52, 0)


def test_a_named_secret_comes_from_the_environment(
    server: Demo, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    script = 'assert.equal(get_secret("SCIM_KEY"), "hush-hush-1234"); variables.set("copy", get_secret("SCIM_KEY"));'
    suite = write(
        tmp_path / "s.json",
        users(
            assertions=[status(200)],
            headers={"Authorization": "{{auth}}", "X-Note": "{{get_secret(SCIM_KEY)}}"},
            scripts=[script],
        ),
    )
    db = tmp_path / "a.db"
    words = ["run", suite, "--target", server.url, "--auth", "env:AUTH", "--db", db, "--secret", "SCIM_KEY"]
    done = call(*words)
    assert done.exit_code == 2
    assert "no environment variable" in done.output
    monkeypatch.setenv("SCIM_KEY", "hush-hush-1234")
    done = call(*words)
    assert done.exit_code == 0, done.output
    assert "hush-hush" not in done.output
    assert not any(b"hush-hush" in file.read_bytes() for file in tmp_path.iterdir() if file != suite)


def test_how_it_was_run_is_kept_without_secrets_and_runs_it_again(server: Demo, tmp_path: Path) -> None:
    suite = write(
        tmp_path / "s.json",
        users(headers={"Authorization": "{{auth}}", "X-Here": "{{place}} {{apiToken}}"}, assertions=[status(200)]),
        users(assertions=[status(500)]),
    )
    variables = tmp_path / "env.json"
    variables.write_text(json.dumps({"place": "from the file"}))
    db = tmp_path / "a.db"
    given = ("run", suite, "--target", server.url, "--auth", "-", "--env", variables, "--step", "1")
    more = ("--var", "apiToken=s3cret-value", "--insecure", "--html", tmp_path / "r.html", "--db", db)
    done = call(*given, *more, input_=f"Bearer {TOKEN}\n")
    assert done.exit_code == 0, done.output
    with Reader.open(db) as reader:
        first = reader.suite(1)
    assert first is not None
    assert first.folder == str(Path.cwd())
    assert first.command[0] == str(suite)
    assert {"-", "apiToken=<apiToken>", str(variables), "--insecure"} <= set(first.command)
    assert not {"--html", "--db"} & set(first.command)
    assert b"s3cret-value" not in db.read_bytes()
    again = [word.replace("=<apiToken>", "=s3cret-value") for word in first.command]
    assert call("run", *again, "--db", db, input_=f"Bearer {TOKEN}\n").exit_code == 0
    with Reader.open(db) as reader:
        second = reader.suite(2)
    assert second is not None
    assert second.command == first.command
