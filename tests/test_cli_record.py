from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner
from listeners import free_port, http, listener
from recording import Up, command, environment, run

from scimproxy.cli import cli
from scimproxy.store import Reader

USER = b'{"schemas":["urn:ietf:params:scim:schemas:core:2.0:User"],"id":"1","userName":"bjensen"}'


@pytest.fixture
def upstream() -> Iterator[str]:
    with listener(lambda _: http(200, USER)) as port:
        yield f"http://127.0.0.1:{port}/scim/v2"


def test_events(upstream: str, tmp_path: Path) -> None:
    with Up(upstream, tmp_path / "a.db", "--name", "first") as up:
        assert up.ready == {
            "event": "ready",
            "url": up.url,
            "listen": up.url.removeprefix("http://").removesuffix("/scim/v2"),
            "target": upstream,
            "public_url": None,
            "run_id": 1,
            "name": "first",
            "engine": "native",
            "db": str(tmp_path / "a.db"),
            "recovered": 0,
        }
        assert up.ask(path="/Users/1", **{"User-Agent": "curl/8", "Authorization": "Bearer geheim"}) == (200, USER)
        seen = up.wait_for("exchange", state="complete")
        assert (seen["id"], seen["client"], seen["status_code"]) == (1, "curl", 200)
        assert seen["operation"]["summary"] == "Read User bjensen"
        stopped = up.stop()
    assert (stopped["exchanges"], stopped["failures"], stopped["lost"], stopped["reason"]) == (1, 0, 0, "SIGTERM")
    assert (stopped["outcomes"], stopped["lost_reasons"]) == ({"200": 1}, {})
    assert up.code == 0
    with Reader.open(tmp_path / "a.db") as reader:
        found, recorded = reader.exchange(1), reader.run(1)
    assert found is not None
    assert "geheim" not in (found.request.headers.get("Authorization") or "")
    assert recorded is not None
    assert recorded.ended_at is not None
    assert recorded.engine == "native"


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_signals_end_it_in_order(number: signal.Signals, upstream: str, tmp_path: Path) -> None:
    with Up(upstream, tmp_path / "a.db") as up:
        up.ask()
        stopped = up.stop(number)
    assert up.code == 0
    assert stopped["reason"] == number.name
    assert stopped["exchanges"] == 1


def test_a_second_signal_does_not_wait(tmp_path: Path) -> None:
    with contextlib.closing(socket.create_server(("127.0.0.1", 0))) as silent:
        upstream = f"http://127.0.0.1:{silent.getsockname()[1]}"
        with Up(upstream, tmp_path / "a.db") as up:
            host, port = up.ready["listen"].split(":")
            with socket.create_connection((host, int(port))) as client:
                client.sendall(b"GET /Users HTTP/1.1\r\nHost: x\r\n\r\n")
                up.wait_for("exchange", state="pending")
                up.process.send_signal(signal.SIGINT)
                # The first has been taken when nobody new gets in.
                while not refuses(host, int(port)):
                    pass
                up.process.send_signal(signal.SIGINT)
                up.wait_for("stopped")
                assert up.process.wait(30) == 130


def refuses(host: str, port: int) -> bool:
    try:
        socket.create_connection((host, port), timeout=5).close()
    except OSError:
        return True
    return False


def test_what_a_killed_recording_left_is_told(tmp_path: Path) -> None:
    with contextlib.closing(socket.create_server(("127.0.0.1", 0))) as silent:
        upstream = f"http://127.0.0.1:{silent.getsockname()[1]}"
        with Up(upstream, tmp_path / "a.db") as up:
            host, port = up.ready["listen"].split(":")
            with socket.create_connection((host, int(port))) as client:
                client.sendall(b"GET /Users HTTP/1.1\r\nHost: x\r\n\r\n")
                up.wait_for("exchange", state="pending")
                up.process.kill()
                up.process.wait(30)
        with Up(upstream, tmp_path / "a.db") as again:
            assert again.ready["recovered"] == 1
            again.stop()
    shown = run("show", "1", "--db", str(tmp_path / "a.db"))
    assert "Aborted" in shown.stdout


def test_the_output_may_end_before_the_recording(upstream: str, tmp_path: Path) -> None:
    with Up(upstream, tmp_path / "a.db") as up:
        assert up.process.stdout is not None
        up.process.stdout.close()
        up.process.stdout = None
        with contextlib.suppress(OSError):  # it may be on its way out already
            up.ask()
        assert up.process.wait(30) == 0
    with Reader.open(tmp_path / "a.db") as reader:
        recorded = reader.run(1)
    assert recorded is not None
    assert recorded.ended_at is not None


def test_two_recordings_share_a_database(upstream: str, tmp_path: Path) -> None:
    with Up(upstream, tmp_path / "a.db") as one, Up(upstream, tmp_path / "a.db") as two:
        one.ask()
        two.ask()
        two.ask()
        first, second = one.stop(), two.stop()
    assert (first["exchanges"], second["exchanges"]) == (1, 2)


def test_for_a_person(upstream: str, tmp_path: Path) -> None:
    db = tmp_path / "a.db"
    given = command("up", upstream, "--port", "0", "--db", str(db), "--public-url", "https://abc.example")
    with subprocess.Popen(
        given, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment(COLUMNS="80")
    ) as process:
        assert process.stderr is not None
        assert process.stdout is not None
        banner = []
        for line in process.stderr:
            banner.append(line)
            if "Ctrl-C stops" in line:
                break
        text = "".join(banner)
        url = next(word for word in text.split() if word.startswith("http://127.0.0.1"))
        subprocess.run(command("doctor", url, "--db", str(db)), capture_output=True, env=environment(), check=False)
        port = url.split(":")[2].partition("/")[0]
        looked = subprocess.run(
            command("doctor", "--port", port, "--db", str(db)),
            capture_output=True,
            text=True,
            env=environment(),
            check=False,
        )
        seen = process.stdout.readline()
        process.send_signal(signal.SIGINT)
        rest, said = process.communicate(timeout=30)
    assert process.returncode == 0
    assert "scimproxy is recording with native" in text
    assert "https://abc.example/scim/v2" in text
    assert f"{db} (run 1," in text
    assert "SCIMBaseURL" in text
    assert "`scimproxy log 1 --follow`" in text
    if Path("/proc/net/tcp").exists():  # only Linux tells who listens
        assert (looked.returncode, f"(pid {process.pid})" in looked.stdout) == (0, True)
    assert "Read ServiceProviderConfig" in seen
    assert all(len(line) <= 80 for line in [seen.rstrip("\n"), *rest.splitlines()])
    assert "Stopped (SIGINT). Run 1: 1 exchange in" in said
    assert "scimproxy log 1" in said


def test_the_tunnel_that_was_named(upstream: str, tmp_path: Path) -> None:
    with Up(upstream, tmp_path / "a.db", "--public-url", "https://abc.example/scim/v2/") as up:
        assert up.ready["public_url"] == "https://abc.example/scim/v2"
        event = up.wait_for("tunnel")
        assert (event["state"], event["url"]) == ("given", "https://abc.example/scim/v2")
        up.stop()


@pytest.mark.parametrize(
    ("args", "said"),
    [
        (["ftp://x"], "scheme 'ftp' is not http or https"),
        (["http://u:p@x"], "must not hold a user name"),
        (["8000", "--listen-host", "0.0.0.0"], "not a loopback address"),
        (["8000", "--public-path", "scim"], "--public-path 'scim' is not a path"),
        (["8000", "--public-url", "abc.example"], "--public-url 'abc.example' is not a URL"),
        (["8000", "--public-url", "https://x:99999"], "is not a URL"),
        (["8000", "--max-content", "ten"], "'ten' is not a size"),
        (["8000", "--upstream-ca", "/nonexistent.pem"], "does not exist"),
        (["8000", "--prot", "1"], "Did you mean"),
        (["8000", "--engine", "other"], "'other' is not one of"),
    ],
)
def test_what_cannot_be_used_is_told(args: list[str], said: str, tmp_path: Path) -> None:
    result = CliRunner().invoke(cli, ["up", *args, "--db", str(tmp_path / "a.db")])
    assert result.exit_code == 2
    assert said in " ".join(result.stderr.split())
    assert not (tmp_path / "a.db").exists()


def test_a_target_that_is_down_is_told_and_recorded(tmp_path: Path) -> None:
    with Up(f"http://127.0.0.1:{free_port()}", tmp_path / "a.db") as up:
        notice = up.wait_for("notice")
        assert "nothing answers at" in notice["message"]
        status, body = up.ask()
        assert status == 502
        assert b'"status": "502"' in body
        assert up.stop()["failures"] == 1


def test_an_interrupt_is_taken_also_as_a_background_job(upstream: str, tmp_path: Path) -> None:
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)  # what a shell does for `scimproxy up &`
    try:
        up = Up(upstream, tmp_path / "a.db")
    finally:
        signal.signal(signal.SIGINT, before)
    with up:
        assert up.stop(signal.SIGINT)["reason"] == "SIGINT"


def test_an_ignored_hangup_stays_ignored(upstream: str, tmp_path: Path) -> None:
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)  # what nohup does; the child inherits it
    try:
        up = Up(upstream, tmp_path / "a.db")
    finally:
        signal.signal(signal.SIGHUP, before)
    with up:
        os.kill(up.process.pid, signal.SIGHUP)
        assert up.ask()[0] == 200
        assert up.stop()["reason"] == "SIGTERM"


def test_faults_fire_are_recorded_and_counted(upstream: str, tmp_path: Path) -> None:
    text = "method:GET nth:2 status:503 retry-after:5"
    given = ("--fault", text, "--fault", "op:delete reset:before")
    with Up(upstream, tmp_path / "a.db", *given) as up:
        assert [up.ask(path="/Users/1")[0] for _ in range(3)] == [200, 503, 200]
        stopped = up.stop()
    assert stopped["faults"] == [{"fault": text, "fired": 1}, {"fault": "op:delete reset:before", "fired": 0}]
    with Reader.open(tmp_path / "a.db") as reader:
        fine, hit, _ = reader.all_whole(1)
    assert (fine.tags, fine.note) == ((), None)
    assert (hit.tags, hit.note, hit.origin) == (("fault",), f"fault: {text}", "proxy")


def test_a_fault_that_cannot_be_read_is_refused(tmp_path: Path) -> None:
    done = run("up", "8000", "--db", str(tmp_path / "a.db"), "--fault", "op:creat status:503")
    assert done.returncode == 2
    assert "did you mean op:create" in done.stderr
    assert "     ^" in done.stderr
