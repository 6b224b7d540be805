"""`scimproxy replay`, from the command line to the exit code, with a real server."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import stat
import subprocess
import sys
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import factories
import pytest
from click.testing import CliRunner, Result
from recording import command, environment

from scimproxy.cli import cli
from scimproxy.cli.terminal import width_of
from scimproxy.demo import Demo, serve
from scimproxy.exchange import Exchange
from scimproxy.redact import redact
from scimproxy.store import Reader, Store

TOKEN = "token-of-the-test"
AUTH = f"Bearer {TOKEN}"


@pytest.fixture(name="server", scope="module")
def _server() -> Iterator[Demo]:
    """The embedded SCIM server in a thread: CliRunner has an event loop of its own."""
    ready, parts = threading.Event(), list[Any]()

    async def live() -> None:
        over = asyncio.Event()
        async with await serve(token=TOKEN) as demo:
            parts.extend([demo, asyncio.get_running_loop(), over])
            ready.set()
            await over.wait()

    thread = threading.Thread(target=asyncio.run, args=(live(),))
    thread.start()
    assert ready.wait(30)
    yield parts[0]
    parts[1].call_soon_threadsafe(parts[2].set)
    thread.join(30)


def user(name: str, **more: Any) -> dict[str, Any]:
    return {"schemas": ["urn:ietf:params:scim:schemas:core:2.0:User"], "userName": name, **more}


def asked(method: str, target: str, status: int, body: object = b"", answer: object = b"") -> Exchange:
    request = factories.request(method, f"/scim/v2{target}", body=body, headers={"Authorization": AUTH})
    return factories.exchange(request=request, response=factories.response(status, answer))


@pytest.fixture
def db(tmp_path: Path, server: Demo, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A run of five exchanges: 1 reads, 2 creates, 3 reads and 4 deletes what was made, 5 reads again."""
    monkeypatch.setenv("AUTH", AUTH)
    path = tmp_path / "a.db"
    with Store.open(path) as store:
        run = store.start_run(factories.run(name="old", target=server.url))
        for one in (
            asked("GET", "/Users/none", 404),
            asked("POST", "/Users", 201, user("ann", title="Boss"), user("ann", title="Boss", id="1")),
            asked("GET", "/Users/1", 200, answer=user("ann", title="Boss", id="1")),
            asked("DELETE", "/Users/1", 204),
            asked("GET", "/Users/1", 404),
        ):
            store.add(replace(redact(one)[0], run_id=run.id))
    return path


def call(db: Path, *args: str, columns: int = 80, **more: Any) -> Result:
    return CliRunner().invoke(cli, ["replay", "--db", str(db), *args], env={"COLUMNS": str(columns)}, **more)


def newest(db: Path) -> list[Exchange]:
    with Reader.open(db) as reader:
        run = reader.run("last")
        assert run is not None
        return list(reader.all_whole(run.id or 0))


def test_a_replay_and_its_comparison(db: Path) -> None:
    done = call(db, "old", "--auth", "env:AUTH")
    assert done.exit_code == 0, "what the server sends beyond the recorded answers is additive"
    assert "Sending 5 requests to http://127.0.0.1:" in done.stderr and "as run 2" in done.stderr
    lines = done.stdout.splitlines()
    assert lines[:2] == ["A: run 1 (old)", "B: run 2 (replay of old)"]
    assert lines[-1].startswith("5 pairs compared: ")
    assert max(map(width_of, lines)) <= 80
    again = call(db, "2", "--auth", "env:AUTH", "--write-bindings", str(db.parent / "b.json"), "--speed", "1000x")
    assert (again.exit_code, again.stdout.splitlines()[-1]) == (0, "5 pairs compared: no difference")
    assert {"role", "a", "b"} == set(json.loads((db.parent / "b.json").read_text())[0])
    assert call(db, "3", "--auth", "env:AUTH", "--bindings", str(db.parent / "b.json")).exit_code == 0
    assert not any(TOKEN.encode() in file.read_bytes() for file in db.parent.iterdir())


def test_without_credentials(db: Path) -> None:
    done = call(db, "old")
    assert done.exit_code == 1
    assert "credentials were not kept (Authorization): pass them with --auth" in done.stderr
    assert "every request got 401, and did not when recorded" in done.stderr.splitlines()[-2]
    assert {one.response.status_code for one in newest(db) if one.response} == {401}


def test_json(db: Path) -> None:
    found = json.loads(call(db, "old", "--auth", "env:AUTH", "--json", "--concurrency", "4").stdout)
    assert (found["run"], found["source_run"], found["total"], found["sent"]) == (2, 1, 5, 5)
    assert (found["canceled"], found["left_out"], found["notices"], found["compared"]) == (None, [], [], 5)
    assert found["counts"]["additive"] and {"role": "User", "a": "1"}.items() <= found["bindings"][0].items()


def test_files(db: Path) -> None:
    page, text = db.parent / "d.html", db.parent / "d.md"
    done = call(
        db, "old", "--auth", "env:AUTH", "--html", str(page), "--markdown", str(text), "--show-noise", "--timing"
    )
    assert done.stderr.count("Wrote ") == 2
    assert "run 2 (replay of old)" in page.read_text() and "run 2" in text.read_text()


def test_parts_edits_and_names(db: Path) -> None:
    first = call(db, "old", "--auth", "env:AUTH", "--from-step", "2", "--to-step", "2", "--set", "/title=Clerk",
                 "--set", "/active=false", "--set-header", "X-Trace: 7", "--set-header", "Accept:")  # fmt: skip
    assert first.exit_code == 0, first.output
    (one,) = newest(db)
    assert json.loads(one.request.content.data) == user("ann", title="Clerk", active=False)
    assert one.request.headers.get("X-Trace") == "7"
    assert one.response is not None and one.response.status_code == 201
    taken = call(db, "old", "--auth", "env:AUTH", "--only", "op:create")
    assert "409" in taken.stdout
    fresh = call(db, "old", "--auth", "env:AUTH", "--only", "op:create", "--fresh-names")
    (one,) = newest(db)
    assert json.loads(one.request.content.data)["userName"].startswith("ann-"), fresh.output
    assert one.response is not None and one.response.status_code == 201


def test_one_exchange(db: Path) -> None:
    assert call(db, "-x", "1", "--auth", "-", input=f"{AUTH}\n").exit_code in {0, 1}
    (one,) = newest(db)
    assert (one.parent_id, one.response and one.response.status_code) == (1, 404)


def editor(folder: Path, monkeypatch: pytest.MonkeyPatch, script: str) -> None:
    """Make an editor of a Python script, which finds the file in `path`."""
    file = folder / "editor"
    file.write_text(f"#!{sys.executable}\nimport pathlib, sys\npath = pathlib.Path(sys.argv[1])\n{script}\n")
    file.chmod(file.stat().st_mode | stat.S_IEXEC)
    monkeypatch.setenv("VISUAL", str(file))


def test_an_edited_request(db: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    editor(tmp_path, monkeypatch, """
text = path.read_text()
assert "GET /scim/v2/Users/none" in text and "{{auth}}" in text and "Bearer" not in text
path.write_text(text.replace("GET /scim/v2/Users/none", "GET /scim/v2/ServiceProviderConfig"))
import os; os.utime(path, (1, 1))
""")  # fmt: skip
    done = call(db, "-x", "1", "--edit", "--auth", "env:AUTH")
    (one,) = newest(db)
    assert (one.request.target, one.response and one.response.status_code) == ("/scim/v2/ServiceProviderConfig", 200)
    assert done.exit_code in {0, 1}, done.output


@pytest.mark.parametrize(
    ("script", "code", "said"),
    [
        ("path.write_text('GET'); import os; os.utime(path, (1, 1))", 3, "line 1: '' is no target"),
        ("path.write_text('# nothing'); import os; os.utime(path, (1, 1))", 3, "emptied, so nothing is sent"),
        ("pass", 3, "nothing was saved"),
        ("sys.exit(1)", 2, "set EDITOR"),
    ],
)
def test_edits_that_send_nothing(
    script: str, code: int, said: str, db: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    editor(tmp_path, monkeypatch, script)
    done = call(db, "-x", "1", "--edit")
    assert (done.exit_code, said in done.stderr) == (code, True), done.output
    assert len(newest(db)) == 5, "the recording"


MISTAKES = [
    (["nobody"], "there is no run 'nobody'"),
    (["-x", "99"], "there is no exchange 99"),
    (["-x", "old"], "there is no exchange 'old'"),
    (["-x", "1", "--only", "op:create"], "-x sends one exchange"),
    (["old", "--edit"], "--edit changes one request"),
    (["old", "--auth", "Bearer x"], "takes no token"),
    (["old", "--set-header", "Cookie: a=b"], "takes no token"),
    (["old", "--set-header", "X-Auth-Token: abc"], "takes no token"),
    (["old", "--set-header", "nothing"], "wants 'NAME: VALUE'"),
    (["old", "--set-header", "A: \x1b[1m"], "cannot"),
    (["old", "--set", "title"], "/POINTER=VALUE"),
    (["old", "--set", "a.b=c"], "no JSON pointer"),
    (["old", "--set", f"/a={'x' * 1_000_001}"], "longer than"),
    (["old", "--speed", "0x"], "is no speed"),
    (["old", "--speed", "fast"], "is no speed"),
    (["old", "--concurrency", "65"], "65"),
    (["old", "--only", "nonsense:1"], "nonsense"),
    (["old", "--only", "method:TRACE"], "nothing is chosen"),
    (["old", "--from-step", "two"], "is no number"),
    (["old", "--to", "ftp://x"], "not http or https"),
]


def test_mistakes_are_told(db: Path) -> None:
    for args, said in MISTAKES:
        done = call(db, *args)
        assert (done.exit_code, said in done.stderr) == (2, True), done.output
        assert "Traceback" not in done.output


def test_secret_header_fields_come_from_elsewhere(db: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KEY", "k3y-k3y-k3y-k3y")
    call(db, "-x", "1", "--auth", "env:AUTH", "--set-header", "X-Api-Key: env:KEY")
    (one,) = newest(db)
    assert (one.request.headers.get("X-Api-Key") or "").startswith("sha256:")


def test_nobody_answers(db: Path) -> None:
    done = call(db, "old", "--to", "http://127.0.0.1:9/scim/v2")
    assert done.exit_code == 3
    assert "gave no answer at all" in done.stderr and "nothing listens there" in done.stderr


def test_left_out_ones_are_told(db: Path, server: Demo) -> None:
    with Store.open(db) as store:
        run = store.start_run(factories.run(name="odd", target=server.url))
        for at in range(22):
            store.add(replace(factories.exchange("CONNECT", f"h:{at}"), run_id=run.id))
        store.add(replace(asked("GET", "/Users/none", 404), run_id=run.id))
    done = call(db, "odd", "--auth", "env:AUTH")
    assert done.stderr.count("it opened a connection for another protocol") == 20
    assert "2 more were not sent" in done.stderr


def test_interrupted(tmp_path: Path) -> None:
    """Ctrl-C while a gap of an hour is kept: exit code 130, and what was sent is there."""

    async def whole() -> tuple[int | None, str, int]:
        async with await serve(token=TOKEN) as demo:
            path = tmp_path / "a.db"
            with Store.open(path) as store:
                run = store.start_run(factories.run(name="old", target=demo.url))
                for at in range(2):
                    one = replace(asked("GET", "/Users/none", 404), started_at=factories.T0 + 3600 * at)
                    store.add(replace(one, run_id=run.id))
            process = await asyncio.create_subprocess_exec(
                *command("replay", "old", "--db", str(path), "--speed", "1x"),
                stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environment(AUTH=AUTH),
            )  # fmt: skip
            assert process.stderr is not None
            await process.stderr.readuntil(b"as run 2\n")
            os.kill(process.pid, signal.SIGINT)
            _, said = await process.communicate()
            return process.returncode, said.decode(), len(newest(path))

    code, said, sent = asyncio.run(asyncio.wait_for(whole(), 60))
    assert (code, sent < 2) == (130, True)
    assert f"interrupted (SIGINT); {sent} of 2 were sent, and are kept" in said
