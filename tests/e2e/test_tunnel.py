"""`scimproxy up --tunnel ngrok` as a whole: a real ngrok agent (2.3.41), ngrok's cloud on loopback, traffic from there.

The visitor comes from 127.0.0.2, so that its address is told from the agent's, which connects from 127.0.0.1.
"""

from __future__ import annotations

import http.client
import itertools
import json
import os
import signal
import sqlite3
import ssl
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from conformance.tunnels import children, echo_server, real_agent
from recording import Up, run
from standins.edge import TOKEN, EdgeThread, edge_in_thread

from scimproxy.store import Reader
from scimproxy.tunnel.process import PREFIX

VISITOR = "127.0.0.2"
WANTED = "a-token-of-some-length"


class Public:
    """A recording that is public through a real agent, and a visitor."""

    def __init__(self, folder: Path, cloud: EdgeThread, upstream: str, *more: str) -> None:
        self.folder = folder
        self.cloud = cloud
        self.db = folder / "a.db"
        config = folder / "user.yml"
        config.write_text(cloud.edge.config())
        agent = str(real_agent())
        self.up = Up(
            upstream, self.db, "--tunnel", "ngrok", "--ngrok-path", agent, "--ngrok-config", str(config), *more
        )
        self.url: str = self.up.wait_for("tunnel", state="up")["base_url"]

    def visit(
        self, *requests: tuple[str, str, bytes], address: str = VISITOR, **headers: str
    ) -> list[tuple[int, bytes]]:
        """Send requests from the public side, on one connection."""
        parts = urlsplit(self.url)
        context = ssl.create_default_context(cafile=str(self.cloud.edge.ca))
        connection = http.client.HTTPSConnection(
            "localhost", parts.port, timeout=60, context=context, source_address=(address, 0)
        )
        answers = []
        with closing(connection):
            for method, path, body in requests:
                connection.request(method, parts.path + path, body, headers)
                answer = connection.getresponse()
                answers.append((answer.status, answer.read()))
        return answers

    def until_back(self, within_s: float) -> float:
        """Visit until it is answered by the server; returns the seconds that took."""
        began = time.monotonic()
        while time.monotonic() - began < within_s:
            try:
                ((status, _),) = self.visit(("GET", "/Users", b""))
            except (OSError, http.client.HTTPException):
                time.sleep(0.02)
                continue
            if status == 200:
                return time.monotonic() - began
        raise AssertionError(f"no traffic for {within_s} s")

    def proven(self) -> None:
        """Read events until scimproxy's own request has come back through the public URL."""
        while "came back" not in (self.up.wait_for("tunnel", state="up")["message"] or ""):
            pass

    def agent(self) -> int:
        """The process id of the agent."""
        (pid,) = [
            pid
            for pid, line in children(str(self.folder)).items()
            if " start --none " in line and "leash" not in line
        ]
        return pid


@pytest.fixture
def cloud(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[EdgeThread]:
    real_agent()
    with edge_in_thread(tmp_path) as made:
        monkeypatch.setenv("SSL_CERT_FILE", str(made.edge.ca))
        yield made


@pytest.fixture
def upstream(cloud: EdgeThread) -> Iterator[str]:
    serving = echo_server()
    where = cloud.do(serving.__aenter__)
    yield f"{where.url}/scim/v2"
    cloud.do(lambda: serving.__aexit__(None, None, None))


def nothing_is_left(folder: Path) -> None:
    """No process of it runs (the watcher needs a moment after a kill), and no private folder is there."""
    until = time.monotonic() + 30
    while (running := children(str(folder))) or list(folder.glob(f"{PREFIX}*")):
        assert time.monotonic() < until, running
        time.sleep(0.02)


def states(db: Path) -> list[str]:
    with Reader.open(db) as reader:
        return [event.state for event in reader.tunnel_events(1)]


def test_traffic_from_the_public_side(cloud: EdgeThread, upstream: str, tmp_path: Path) -> None:
    public = Public(tmp_path, cloud, upstream)
    with public.up:
        big = os.urandom(2 * 1024 * 1024)
        ((status, answer),) = public.visit(("POST", "/Bulk", big))
        assert (status, answer.endswith(big)) == (200, True)
        with ThreadPoolExecutor(8) as pool:
            wanted = [[("GET", f"/Users/{worker}-{number}", b"") for number in range(125)] for worker in range(8)]
            got = list(pool.map(lambda requests: public.visit(*requests), wanted))
        assert [len(answers) for answers in got] == [125] * 8
        for requests, answers in zip(wanted, got, strict=True):
            for (_, path, _), (status, body) in zip(requests, answers, strict=True):
                assert status == 200
                assert f"GET /scim/v2{path} HTTP/1.1".encode() in body
        stopped = public.up.stop()
    assert (stopped["lost"], stopped["failures"]) == (0, 0)
    assert stopped["exchanges"] == 1001  # the probe is answered by the engine itself, and not recorded
    nothing_is_left(tmp_path)
    with Reader.open(public.db) as reader:
        exchange = reader.exchange(next(reader.exchanges(1)).id)
        recorded = reader.run(1)
    assert exchange is not None
    assert exchange.client_address == VISITOR
    assert exchange.client_connection is not None
    assert exchange.client_connection.peer_host == "127.0.0.1"
    assert exchange.scheme == "https"
    assert recorded is not None
    assert recorded.public_url is not None
    assert recorded.public_url.startswith("https://localhost:")


def test_strangers_are_kept_out_of_the_tunnel(
    cloud: EdgeThread, upstream: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The guard behind a real agent: the path, the true address and the token decide; the secret is nowhere."""
    monkeypatch.setenv("SCIM_TOKEN", WANTED)
    public = Public(
        tmp_path, cloud, upstream, "--secret-path", "auto", "--require-token", "env:SCIM_TOKEN", "--allow", VISITOR
    )
    users = ("GET", "/Users", b"")
    auth = {"Authorization": f"Bearer {WANTED}"}
    with public.up:
        public.proven()
        secret = urlsplit(public.url).path.split("/")[1]
        got = [
            public.visit(users, **auth),
            public.visit(users),
            public.visit(users, address="127.0.0.3", **auth, **{"X-Forwarded-For": VISITOR}),
        ]
        public.url = public.url.replace(f"/{secret}", "")
        got.append(public.visit(users, **auth))
        assert [status for ((status, _),) in got] == [200, 401, 403, 404]
        assert b"GET /scim/v2/Users HTTP/1.1" in got[0][0][1]
        public.up.stop()
    assert len(secret) == 32
    with Reader.open(public.db) as reader:
        rows = [reader.exchange(row.id) for row in reader.exchanges(1)]
        shown = json.dumps([[event.url, event.message] for event in reader.tunnel_events(1)])
    told = [(row.client_address, row.failure.kind if row.failure else None) for row in rows if row is not None]
    assert told == [(VISITOR, None), (VISITOR, "blocked"), ("127.0.0.3", "blocked"), (VISITOR, "blocked")]
    assert secret not in shown
    for file in tmp_path.glob("a.db*"):
        assert secret.encode() not in file.read_bytes()


def test_a_suite_runs_through_the_tunnel(cloud: EdgeThread, tmp_path: Path) -> None:
    from scimproxy.demo import serve

    demo = cloud.do(serve)
    try:
        public = Public(tmp_path, cloud, demo.url)
        with public.up:
            done = run(
                "run", "scim2-spec", "--target", public.url, "--auth", "env:AUTH", "--pause-scale", "0", "--db",
                str(tmp_path / "suite.db"), "--ca", str(cloud.edge.ca), "--json", timeout=110, AUTH=f"Bearer {demo.token}",
            )  # fmt: skip
            assert done.returncode == 0, done.stderr
            stopped = public.up.stop()
        assert stopped["exchanges"] > 20
        assert stopped["lost"] == 0
    finally:
        cloud.do(demo.close)
    nothing_is_left(tmp_path)


def faults(public: Public) -> dict[str, Callable[[], Any]]:
    edge = public.cloud.edge

    def restart() -> None:
        public.cloud.do(edge.stop)
        public.cloud.do(edge.start)

    return {
        "killed": lambda: os.kill(public.agent(), signal.SIGKILL),
        "dropped": lambda: public.cloud.do(edge.drop),
        "restarted": restart,
    }


def recover(public: Public, rounds: int) -> dict[str, list[float]]:
    """Break the tunnel in each way, so many times; how long traffic was away."""
    took: dict[str, list[float]] = {}
    for _ in range(rounds):
        for name, fault in faults(public).items():
            fault()
            took.setdefault(name, []).append(public.until_back(30))
            public.proven()
    return took


def told_gaps(db: Path) -> list[tuple[str, str]]:
    """The states in which nothing got through, with what was recorded of the time."""
    with Reader.open(db) as reader:
        events = reader.tunnel_events(1)
    gaps = []
    for before, after in itertools.pairwise(events):
        if before.state in {"degraded", "reconnecting"}:
            assert after.at >= before.at
            gaps.append((before.state, before.message or ""))
    return gaps


def test_traffic_comes_back(cloud: EdgeThread, upstream: str, tmp_path: Path) -> None:
    public = Public(tmp_path, cloud, upstream)
    with public.up:
        public.proven()
        took = recover(public, 1)
        assert set(took) == {"killed", "dropped", "restarted"}
        public.up.stop()
    gaps = told_gaps(public.db)
    assert [message for state, message in gaps if state == "reconnecting" and "signal 9" in message]
    assert len([state for state, _ in gaps if state == "degraded"]) >= 2
    assert states(public.db)[-1] == "stopped"
    nothing_is_left(tmp_path)


@pytest.mark.slow
@pytest.mark.long
@pytest.mark.timeout(600)
def test_traffic_comes_back_thirty_times(
    cloud: EdgeThread, upstream: str, tmp_path: Path, record_property: Callable[[str, object], None]
) -> None:
    public = Public(tmp_path, cloud, upstream)
    with public.up:
        first = public.url
        public.proven()
        took = recover(public, 30)
        public.up.stop()
    for name, seconds in took.items():
        assert len(seconds) == 30
        record_property(name, f"median {sorted(seconds)[15]:.2f} s, longest {max(seconds):.2f} s")
        sys.stderr.write(f"{name}: median {sorted(seconds)[15]:.2f} s, longest {max(seconds):.2f} s\n")
    assert len(told_gaps(public.db)) >= 90
    with Reader.open(public.db) as reader:
        urls = {event.url for event in reader.tunnel_events(1) if event.url}
    assert urls == {first.removesuffix("/scim/v2")}
    nothing_is_left(tmp_path)


def test_the_token_is_nowhere_but_in_the_private_file(cloud: EdgeThread, upstream: str, tmp_path: Path) -> None:
    public = Public(tmp_path, cloud, upstream)
    with public.up:
        running = children(str(tmp_path))
        assert len(running) >= 3  # scimproxy, the agent, the watcher
        assert [line for line in running.values() if TOKEN in line] == []
        holders = [
            path.name for path in tmp_path.rglob("*") if path.is_file() and TOKEN.encode() in path.read_bytes()
        ]
        assert sorted(holders) == ["ngrok.yml", "user.yml"]  # ours, and the user's own
        public.visit(("GET", "/Users", b""))
        public.up.process.send_signal(signal.SIGTERM)
        out, err = public.up.process.communicate(timeout=30)
    assert TOKEN not in out + err + json.dumps(public.up.seen)
    holders = [path.name for path in tmp_path.rglob("*") if path.is_file() and TOKEN.encode() in path.read_bytes()]
    assert holders == ["user.yml"]


def test_a_bad_token_is_told_without_showing_it(cloud: EdgeThread, upstream: str, tmp_path: Path) -> None:
    (tmp_path / "user.yml").write_text(cloud.edge.config(token="SECRET-that-is-none"))
    done = run(
        "up", upstream, "--port", "0", "--db", str(tmp_path / "a.db"), "--tunnel", "ngrok",
        "--ngrok-path", str(real_agent()), "--ngrok-config", str(tmp_path / "user.yml"),
    )  # fmt: skip
    assert done.returncode == 3
    assert "ERR_NGROK_105" in done.stderr
    assert "dashboard.ngrok.com" in done.stderr
    assert "SECRET" not in done.stdout + done.stderr
    assert b"SECRET" not in (tmp_path / "a.db").read_bytes()
    assert states(tmp_path / "a.db") == ["starting", "failed"]
    nothing_is_left(tmp_path)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGKILL])
@pytest.mark.parametrize("engine", ["native", "mitmproxy"])
def test_every_way_of_stopping_leaves_nothing(
    number: signal.Signals, engine: str, cloud: EdgeThread, upstream: str, tmp_path: Path
) -> None:
    public = Public(tmp_path, cloud, upstream, "--engine", engine)
    with public.up:
        assert public.visit(("GET", "/Users", b""))[0][0] == 200
        public.up.process.send_signal(number)
        public.up.process.wait(30)
    nothing_is_left(tmp_path)
    with closing(sqlite3.connect(public.db)) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        count = connection.execute("SELECT count(*) FROM exchanges WHERE target = '/scim/v2/Users'").fetchone()
    assert count == (1,)
    if number != signal.SIGKILL:
        assert states(public.db)[-1] == "stopped"


def test_a_second_signal_leaves_nothing_either(cloud: EdgeThread, upstream: str, tmp_path: Path) -> None:
    public = Public(tmp_path, cloud, upstream)
    with public.up:
        public.up.process.send_signal(signal.SIGINT)
        public.up.process.send_signal(signal.SIGINT)
        assert public.up.process.wait(30) in {0, 130}  # the second may come when it has ended
    nothing_is_left(tmp_path)
    assert states(public.db)[-1] == "stopped"


def test_an_agent_killed_with_scimproxy_holds_no_url(cloud: EdgeThread, upstream: str, tmp_path: Path) -> None:
    public = Public(tmp_path, cloud, upstream)
    with public.up:
        public.up.process.kill()
        public.up.process.wait(30)
    nothing_is_left(tmp_path)
    assert cloud.do(lambda: len(cloud.edge.sessions)) == 0


def test_a_url_that_changed_is_told_loudly(cloud: EdgeThread, upstream: str, tmp_path: Path) -> None:
    told = tmp_path / "told.txt"
    command = f'echo "$SCIMPROXY_OLD_URL -> $SCIMPROXY_URL" >> {told}'
    public = Public(tmp_path, cloud, upstream, "--on-url-change", command)
    with public.up:
        first = public.url
        cloud.edge.forget = True
        cloud.do(cloud.edge.drop)
        notice = public.up.wait_for("notice")
        public.up.stop()
    second = [event["base_url"] for event in public.up.seen if event.get("base_url")][-1]
    assert second != first
    assert (first in notice["message"], second in notice["message"]) == (True, True)
    assert "CHANGED" in notice["message"]
    assert told.read_text().splitlines() == [f" -> {first}", f"{first} -> {second}"]
    with Reader.open(public.db) as reader:
        recorded = reader.run(1)
    assert recorded is not None
    assert f"{recorded.public_url}/scim/v2" == second


@pytest.mark.parametrize(
    ("option", "reason"),
    [("--max-duration", "--max-duration: public for 2 s"), ("--idle-close", "--idle-close: nothing came for 2 s")],
)
def test_it_is_not_public_for_ever(
    option: str, reason: str, cloud: EdgeThread, upstream: str, tmp_path: Path
) -> None:
    public = Public(tmp_path, cloud, upstream, option, "2s")
    with public.up:
        assert public.up.wait_for("stopped")["reason"] == reason
        assert public.up.process.wait(30) == 0
    nothing_is_left(tmp_path)


def test_another_server_at_the_url_is_told(cloud: EdgeThread, upstream: str, tmp_path: Path) -> None:
    from listeners import http as answer
    from listeners import listener

    with listener(lambda _: answer(200, b"{}")) as port:
        given = ("--tunnel", "manual", "--public-url", f"http://127.0.0.1:{port}")
        with Up(upstream, tmp_path / "a.db", *given) as up:
            event = up.wait_for("tunnel", state="degraded")
            assert "did not reach scimproxy" in event["message"]
            up.stop()
