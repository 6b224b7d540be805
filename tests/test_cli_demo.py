from __future__ import annotations

import asyncio
import json
import signal
import subprocess
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from click.testing import CliRunner
from recording import command, environment, run

from scimproxy.cli import cli
from scimproxy.cli.demo_suite import DemoSuite
from scimproxy.demo import DEFECTS
from scimproxy.store import Reader


def events(text: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in text.splitlines()]


def test_the_demo_records_a_whole_session(tmp_path: Path) -> None:
    done = run("demo", "--db", str(tmp_path / "a.db"), COLUMNS="80")
    assert (done.returncode, "Traceback" in done.stderr) == (0, False)
    lines = done.stdout.splitlines()
    assert {len(line) for line in lines} == {80}
    assert [line.split()[-3].rstrip("!") for line in lines] == [
        "200", "200", "201", "200", "200", "200", "200", "409", "200", "204", "404",
    ]  # fmt: skip
    assert "Create User aturing@example.com" in lines[2]
    for words in (
        "Token",
        "Now the suite scim2-spec checks the server, through the recorder:",
        "Passed: 60 passed; 153 of 153 assertions hold in",
        "Stopped (the session is over). Run 1: 68 exchanges in",
        "scimproxy log 1",
    ):
        assert words in done.stderr
    with Reader.open(tmp_path / "a.db") as reader:
        recorded = reader.run(1)
        assert recorded is not None
        assert (recorded.kind, recorded.name, recorded.exchange_count) == ("demo", "demo", 68)
        suite = reader.suite(2)
        assert suite is not None
        assert (suite.result, suite.target) == ("pass", recorded_target(done.stderr))
    assert not leaks(tmp_path, b"never-stored-by-the-recorder")


def recorded_target(text: str) -> str:
    (line,) = [line for line in text.splitlines() if line.strip().startswith("Recorder")]
    return line.split()[1]


def leaks(folder: Path, secret: bytes) -> bool:
    return any(secret in file.read_bytes() for file in folder.iterdir())


def test_the_demo_as_json_with_defects(tmp_path: Path) -> None:
    given = ["--json", "--defect", "create-200", "--defect", "error-html"]
    done = run("demo", "--db", str(tmp_path / "a.db"), *given)
    assert done.returncode == 0
    first, *rest = events(done.stdout)
    assert first["event"] == "demo"
    assert first["server_1"] == first["server"].replace("/v2", "/v1")
    assert first["token"]
    assert [rest[0]["event"], rest[-1]["event"], rest[-1]["exchanges"]] == ["ready", "stopped", 68]
    assert rest[3]["status_code"] == 200
    (suite,) = [event for event in rest if event["event"] == "suite"]
    assert (suite["suite"], suite["run_id"], suite["result"]) == ("scim2-spec", 2, "fail")
    assert "Create a user" in suite["steps_failed"]
    assert 0 < suite["assertions_passed"] < suite["assertions"]


def test_a_person_is_told_why_a_defect_fails(tmp_path: Path) -> None:
    done = run("demo", "--db", str(tmp_path / "a.db"), "--defect", "create-200", COLUMNS="100")
    assert done.returncode == 0
    assert len(done.stdout.splitlines()) == 11, "the session only"
    for words in ("Create a user", "200 was not a number equal to 201", "RFC 7644 section 3.3", "Failed: 57 passed"):
        assert words in " ".join(done.stderr.split())
    assert " more step" not in done.stderr


async def test_a_suite_that_is_stopped_keeps_what_it_had(tmp_path: Path) -> None:
    asked = asyncio.Event()

    async def never(_: web.Request) -> web.Response:
        asked.set()
        await asyncio.Event().wait()
        raise AssertionError

    app = web.Application()
    app.router.add_route("*", "/{path:.*}", never)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    port = runner.addresses[0][1]
    task = asyncio.create_task(
        DemoSuite(tmp_path / "a.db", f"http://127.0.0.1:{port}", "the-token-of-this-test").run()
    )
    await asyncio.wait_for(asked.wait(), 30)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    await runner.cleanup()
    with Reader.open(tmp_path / "a.db") as reader:
        result = reader.suite(1)
    assert result is not None
    assert (result.result, result.canceled) == ("canceled", "interrupted (the demo was stopped)")


async def test_a_suite_that_is_stopped_before_it_begins_asks_nothing(tmp_path: Path) -> None:
    suite = DemoSuite(tmp_path / "a.db", "http://127.0.0.1:9", "the-token-of-this-test")
    task = asyncio.create_task(suite.run())
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


def test_many_failures_are_told_in_short(tmp_path: Path) -> None:
    done = run("demo", "--db", str(tmp_path / "a.db"), "--defect", "error-html", COLUMNS="100")
    assert (done.returncode, "more steps: scimproxy results 2" in done.stderr) == (0, True)
    assert sum(line.startswith(("FAIL", "ERROR")) for line in done.stderr.splitlines()) == 5


def test_a_server_that_cuts_its_answers_does_not_stop_the_demo(tmp_path: Path) -> None:
    done = run("demo", "--db", str(tmp_path / "a.db"), "--defect", "closes-early", "--json")
    assert done.returncode == 0
    stopped = events(done.stdout)[-1]
    assert stopped["event"] == "stopped"
    assert stopped["failures"] > 0


def test_the_demo_serves_until_it_is_told(tmp_path: Path) -> None:
    with subprocess.Popen(
        command("demo", "--serve", "--json", "--db", str(tmp_path / "a.db")),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=environment(),
    ) as process:
        assert process.stderr is not None
        assert "go on until Ctrl-C" in process.stderr.readline()
        process.send_signal(signal.SIGINT)
        out, _ = process.communicate(timeout=30)
    assert process.returncode == 0
    assert events(out)[-1]["reason"] == "SIGINT"


def test_the_defects_are_listed() -> None:
    result = CliRunner().invoke(cli, ["demo", "--list-defects"])
    assert result.exit_code == 0
    assert max(map(len, result.stdout.splitlines())) <= 80
    listed = events(CliRunner().invoke(cli, ["demo", "--list-defects", "--json"]).stdout)
    assert [it["name"] for it in listed] == list(DEFECTS)


def test_an_unknown_defect(tmp_path: Path) -> None:
    result = CliRunner().invoke(cli, ["demo", "--defect", "create200", "--db", str(tmp_path / "a.db")])
    assert result.exit_code == 2
    assert "there is no defect 'create200'; did you mean 'create-200'?" in result.stderr
    assert not (tmp_path / "a.db").exists()
