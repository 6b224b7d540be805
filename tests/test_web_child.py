"""The inspector beside `up`: its own port, never through the recorder, told once, started again, ended with it."""

from __future__ import annotations

import asyncio
import http.client
import json
import os
import re
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from inspectors import fill
from listeners import free_port, listener
from listeners import http as http_answer
from recording import Up, command, environment, run

from scimproxy.errors import EngineError
from scimproxy.store import Reader
from scimproxy.web import child as beside


def ask(port: int, path: str, **headers: str) -> tuple[int, str]:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=20)
    try:
        connection.request("GET", path, headers=headers)
        answer = connection.getresponse()
        return answer.status, answer.read().decode("utf-8", "replace")
    finally:
        connection.close()


def children(pid: int, what: str) -> list[int]:
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                stat = (entry / "stat").read_text(encoding="utf-8", errors="replace")
                line = (entry / "cmdline").read_bytes().decode("utf-8", "replace")
            except OSError:
                continue
            if stat.rpartition(")")[2].split()[1] == str(pid) and what in line:
                found.append(int(entry.name))
    return found


@pytest.fixture(name="up")
def _up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[Up, int, str]]:
    monkeypatch.setenv("SCIMPROXY_UI", "1")
    with Up(f"http://127.0.0.1:{free_port()}/scim/v2", tmp_path / "a.db", "--ui-port", "0") as up:
        assert up.process.stderr is not None
        said = re.search(r"http://127\.0\.0\.1:(\d+)/#token=(\S+)", up.process.stderr.readline())
        assert said is not None
        yield up, int(said[1]), said[2]


def test_beside_a_recording(up: tuple[Up, int, str], tmp_path: Path) -> None:
    recording, port, token = up
    known = {"Authorization": f"Bearer {token}"}
    assert recording.ask("GET", "/Users")[0] == 502
    assert ask(port, "/api/v1/exchanges", **known)[0] == 200
    assert ask(port, "/api/v1/exchanges")[0] == 401
    # The recorder, which a tunnel makes public, serves nothing of it; and the tunnel's name is refused here.
    recorder = urlsplit(recording.url).port
    assert recorder is not None
    assert recorder != port
    for path in ("/", "/api/v1/exchanges", "/static/page.js", "/api/v1/session"):
        status, text = ask(recorder, path, **known)
        assert status in {403, 404, 502}
        assert "scim:api:messages:2.0:Error" in text
    for host in ("abc.ngrok.app", f"127.0.0.1:{recorder}"):
        assert ask(port, "/api/v1/exchanges", Host=host, **known)[0] == 421
    # The token stands in no command line, no environment, no file, no event.
    for process in [recording.process.pid, *children(recording.process.pid, "scimproxy")]:
        for name in ("cmdline", "environ"):
            assert token.encode() not in Path(f"/proc/{process}/{name}").read_bytes()
    assert token not in str(recording.seen)
    for path in tmp_path.glob("a.db*"):
        assert token.encode() not in path.read_bytes()
    # Killed, it comes again, at the same port, for the same token.
    (child,) = children(recording.process.pid, "scimproxy.web.child")
    os.kill(child, signal.SIGKILL)
    until = time.monotonic() + 30
    while True:
        try:
            status, text = ask(port, "/api/v1/exchanges", **known)
            if children(recording.process.pid, "scimproxy.web.child") != [child]:
                break
        except OSError:
            pass
        assert time.monotonic() < until
        time.sleep(0.05)  # polling another process
    assert status == 200
    (again,) = children(recording.process.pid, "scimproxy.web.child")
    recording.stop()
    assert not Path(f"/proc/{again}").exists()
    with Reader.open(tmp_path / "a.db") as reader:
        # What was asked of the recorder above was recorded like all else; nothing of the inspector was.
        assert {row.origin for row in reader.exchanges()} == {"proxy"}


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="needs /proc")
def test_it_ends_with_a_recorder_that_is_killed(up: tuple[Up, int, str]) -> None:
    recording, port, _ = up
    assert ask(port, "/")[0] == 401
    (child,) = children(recording.process.pid, "scimproxy.web.child")
    recording.process.kill()
    recording.process.wait(30)
    until = time.monotonic() + 30
    while Path(f"/proc/{child}").exists() and " Z " not in Path(f"/proc/{child}/stat").read_text(encoding="utf-8"):
        assert time.monotonic() < until
        time.sleep(0.02)  # polling another process


def test_a_taken_port_is_told_before_anything_is_recorded(tmp_path: Path) -> None:
    import socket

    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        done = run(
            "up",
            "http://127.0.0.1:9/scim",
            "--port",
            "0",
            "--db",
            str(tmp_path / "a.db"),
            "--ui-port",
            str(port),
            SCIMPROXY_UI="1",
        )
    assert done.returncode == 3
    assert f"the inspector cannot listen on 127.0.0.1:{port}" in done.stderr
    assert "--ui-port" in done.stderr
    assert not (tmp_path / "a.db").exists()


async def test_it_is_started_again_whatever_went_wrong(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    one = beside._Child(beside.ChildOptions(db=tmp_path / "a.db", token="t"))
    problems: list[Exception] = [OSError("no process to be had"), ValueError("half a line"), EngineError("taken")]
    started = asyncio.Event()

    async def start() -> None:
        if problems:
            raise problems.pop()
        started.set()
        await asyncio.Event().wait()

    monkeypatch.setattr(beside, "_AGAIN_S", 0.0)
    monkeypatch.setattr(one, "start", start)
    keeping = asyncio.create_task(one.keep())
    await asyncio.wait_for(started.wait(), 20)
    keeping.cancel()
    await asyncio.gather(keeping, return_exceptions=True)


def test_ui_needs_a_database(tmp_path: Path) -> None:
    done = run("ui", "--db", str(tmp_path / "none.db"))
    assert done.returncode == 3
    assert "there is no database" in done.stderr


def test_ui_shows_a_database_until_it_is_stopped(tmp_path: Path) -> None:
    fill(tmp_path / "a.db")
    process = subprocess.Popen(
        command("ui", "--db", str(tmp_path / "a.db"), "--run", "last"),
        stderr=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env=environment(),
    )
    try:
        assert process.stderr is not None
        said = re.search(r"http://127\.0\.0\.1:(\d+)/\?run=2#token=(\S+)", process.stderr.readline())
        assert said is not None
        status, text = ask(int(said[1]), "/api/v1", Authorization=f"Bearer {said[2]}")
        assert status == 200
        assert json.loads(text)["read_only"]
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=30)
        assert (process.returncode, out) == (0, "")
        assert "Traceback" not in err
    finally:
        process.kill()
        process.communicate()


def test_a_suite_is_followed_and_looked_at_until_ctrl_c(tmp_path: Path) -> None:
    steps = [{"step_type": "request", "method": "GET", "url": "{{SCIMBaseURL}}/Users", "note": "List users"}]
    suite = tmp_path / "mine.json"
    suite.write_text(json.dumps({"name": "mine", "steps": steps}), encoding="utf-8")
    with listener(lambda _: http_answer(200, b"{}")) as server:
        target = f"http://127.0.0.1:{server}/scim/v2"
        given = ["run", str(suite), "--target", target, "--db", str(tmp_path / "a.db"), "--skip-preflight", "--json"]
        process = subprocess.Popen(
            command(*given, "--ui", "--ui-port", "0"),
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment(),
        )  # fmt: skip
        try:
            assert process.stdout is not None
            assert process.stderr is not None
            told = json.loads(process.stdout.readline())  # the result is there, and the inspector stays
            assert told["result"] == "pass"
            text = ""
            while "until Ctrl-C" not in text:
                text += process.stderr.readline() or pytest.fail(f"it ended: {text}")
            said = re.search(r"Inspector http://127\.0\.0\.1:(\d+)/runs/1#token=(\S+)", text)
            assert said is not None
            status, page = ask(int(said[1]), "/runs/1", Authorization=f"Bearer {said[2]}")
            assert status == 200
            assert "List users" in page
            assert f"&amp;&amp; scimproxy run {suite} --target {target} --skip-preflight --db" in page
            process.send_signal(signal.SIGINT)
            process.communicate(timeout=30)
            assert process.returncode == 0
            with pytest.raises(OSError, match="refused"):
                ask(int(said[1]), "/runs/1")
        finally:
            process.kill()
            process.communicate()
    assert run("run", str(suite), "--ui-port", "0").returncode == 2
