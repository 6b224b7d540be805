"""`kill -9` under load, of the recorder, of the process that writes for it and of both at once: every response that a
client received is in the database, once, and the next start says what it found.
"""

from __future__ import annotations

import os
import random
import re
import signal
import socket
import sqlite3
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from e2e.proxy import Proxy

from scimproxy.store import Reader
from scimproxy.store.ahead import files_beside

ROUNDS = 17
LANES = 3
CLIENTS = 8
WRITERS = 20


class Handler(BaseHTTPRequestHandler):
    """A small keep-alive server that answers with the path it was asked for."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def do_GET(self) -> None:
        body = b'{"schemas": ["x"], "id": "%b"}' % self.path.rpartition("/")[2].encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/scim+json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@pytest.fixture
def upstream() -> Iterator[int]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield server.server_port
    server.shutdown()
    server.server_close()


def client(port: int, name: str, received: list[str], enough: threading.Event, most: int = 100_000) -> None:
    """Ask one thing after the other on one connection until the proxy dies; note each whole answer."""
    with suppress(OSError), closing(socket.create_connection(("127.0.0.1", port), 10)) as sock:
        data = b""
        for number in range(most):
            wanted = f"{name}-{number}"
            sock.sendall(f"GET /scim/v2/Users/{wanted} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
            while wanted.encode() + b'"}' not in data:
                more = sock.recv(65536)
                if not more:
                    return
                data += more
            received.append(wanted)
            data = data.partition(wanted.encode() + b'"}')[2]
            if number == 3:
                enough.set()


@pytest.mark.slow
@pytest.mark.long
@pytest.mark.timeout(600)
def test_nothing_a_client_received_is_lost(upstream: int, tmp_path: Path) -> None:
    """In lanes: a recorder that starts leaves the machine idle half the time, and another one's traffic fills it."""
    with ThreadPoolExecutor(LANES) as lanes:
        for lane in [lanes.submit(kill_and_look, upstream, tmp_path / f"{n}.db", n) for n in range(LANES)]:
            lane.result()


def kill_and_look(upstream: int, db: Path, lane: int) -> None:
    """Kill a recorder under load, so many times; then look for every response in its database."""
    chance = random.Random(20261123 + lane)
    received: list[str] = []
    for round_number in range(ROUNDS):
        proxy = Proxy(f"http://127.0.0.1:{upstream}/scim/v2", db)
        enough = [threading.Event() for _ in range(CLIENTS)]
        threads = [
            threading.Thread(
                target=client, args=(proxy.port, f"{round_number}-{n}", received, enough[n]), daemon=True
            )
            for n in range(CLIENTS)
        ]
        for thread in threads:
            thread.start()
        assert all(event.wait(60) for event in enough)
        # a random moment in the middle of traffic: this wait is the experiment, not synchronisation
        threading.Event().wait(chance.uniform(0, 0.25))
        if round_number % 2 and (writer := writer_of(proxy.process.pid)) is not None:
            os.kill(writer, signal.SIGKILL)  # both at once: nobody is left to write what was answered
        proxy.kill()
        for thread in threads:
            thread.join(30)
            assert not thread.is_alive()
    assert len(received) > ROUNDS * CLIENTS * 4

    last = Proxy(f"http://127.0.0.1:{upstream}/scim/v2", db)
    assert last.stop() == 0
    with closing(sqlite3.connect(db)) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        assert connection.execute("PRAGMA foreign_key_check").fetchall() == []
    assert not files_beside(db)
    stored: set[str] = set()
    with Reader.open(db) as reader:
        assert not [row for row in reader.exchanges(limit=1_000_000) if row.state == "pending"]
        for row in reader.exchanges(limit=1_000_000):
            exchange = reader.exchange(row.id)
            if exchange.response is not None:
                name = exchange.request.path.rpartition("/")[2]
                assert f'"id": "{name}"'.encode() in exchange.response.content.data
                assert name not in stored  # once
                stored.add(name)
    missing = set(received) - stored
    assert not missing, f"{len(missing)} of {len(received)} received responses are not in the database"


def persistent(
    port: int, name: str, received: list[str], answered: threading.Semaphore, stop: threading.Event
) -> None:
    """Ask one thing after the other until told to stop, whatever comes; note what was answered with 200."""
    number = 0
    while not stop.is_set():
        with suppress(OSError), closing(socket.create_connection(("127.0.0.1", port), 10)) as sock:
            stream = sock.makefile("rb")
            while not stop.is_set():
                number += 1
                wanted = f"{name}-{number}"
                sock.sendall(f"GET /scim/v2/Users/{wanted} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
                head = b"".join(iter(stream.readline, b"\r\n"))
                length = re.search(rb"(?i)\ncontent-length: (\d+)", head)
                if length is None:
                    return
                body = stream.read(int(length[1]))
                if head.startswith(b"HTTP/1.1 200 "):
                    assert wanted.encode() in body
                    received.append(wanted)
                    answered.release()
                else:
                    assert head.startswith(b"HTTP/1.1 507 "), head


def writer_of(process: int) -> int | None:
    """Return the only child of a recorder, where it has one at the moment (and the system tells)."""
    if not Path("/proc/self/task").is_dir():
        return None
    children = Path(f"/proc/{process}/task/{process}/children").read_text(encoding="ascii").split()
    return int(children[0]) if children else None


@pytest.mark.slow
@pytest.mark.timeout(300)
@pytest.mark.skipif(not Path("/proc/self/task").is_dir(), reason="the writing process is found in /proc")
def test_nothing_a_client_received_is_lost_when_the_writing_process_is_killed(upstream: int, tmp_path: Path) -> None:
    chance = random.Random(20261124)
    db = tmp_path / "r.db"
    received: list[str] = []
    answered, stop = threading.Semaphore(0), threading.Event()
    proxy = Proxy(f"http://127.0.0.1:{upstream}/scim/v2", db)
    threads = [
        threading.Thread(target=persistent, args=(proxy.port, str(n), received, answered, stop), daemon=True)
        for n in range(CLIENTS)
    ]
    for thread in threads:
        thread.start()
    for _ in range(WRITERS):
        while answered.acquire(blocking=False):  # what came before the last kill
            pass
        assert all(answered.acquire(timeout=30) for _ in range(4 * CLIENTS)), "recording does not go on"
        threading.Event().wait(chance.uniform(0, 0.1))  # as above
        while (pid := writer_of(proxy.process.pid)) is None:  # some are answered before its death is noticed
            os.sched_yield()
        os.kill(pid, signal.SIGKILL)
    stop.set()
    for thread in threads:
        thread.join(30)
        assert not thread.is_alive()
    assert proxy.stop() == 0
    with closing(sqlite3.connect(db)) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        assert connection.execute("PRAGMA foreign_key_check").fetchall() == []
    with Reader.open(db) as reader:
        stored = {
            reader.exchange(row.id).request.path.rpartition("/")[2]
            for row in reader.exchanges(limit=1_000_000)
            if row.status_code == 200
        }
    missing = set(received) - stored
    assert not missing, f"{len(missing)} of {len(received)} received responses are not in the database"
    assert len(received) >= WRITERS * CLIENTS * 4


@pytest.mark.slow
def test_the_next_start_says_what_it_found(tmp_path: Path) -> None:
    db = tmp_path / "r.db"
    with closing(socket.create_server(("127.0.0.1", 0))) as silent:
        proxy = Proxy(f"http://127.0.0.1:{silent.getsockname()[1]}/scim/v2", db)
        with closing(socket.create_connection(("127.0.0.1", proxy.port), 10)) as sock:
            sock.sendall(b"GET /scim/v2/Users/waits HTTP/1.1\r\nHost: x\r\n\r\n")
            event = proxy.wait_for("exchange")
            assert event["state"] == "pending"
            proxy.kill()
        again = Proxy(f"http://127.0.0.1:{silent.getsockname()[1]}/scim/v2", db)
        assert again.ready["recovered"] == 1
        assert again.stop() == 0
    with Reader.open(db) as reader:
        assert [row.state for row in reader.exchanges()] == ["aborted"]


def test_whoever_does_not_read_our_output_holds_up_nothing(upstream: int, tmp_path: Path) -> None:
    proxy = Proxy(f"http://127.0.0.1:{upstream}/scim/v2", tmp_path / "r.db", drain=False)
    received: list[str] = []
    client(proxy.port, "unread", received, threading.Event(), most=600)
    assert len(received) == 600
    assert proxy.stop() == 0
    with Reader.open(tmp_path / "r.db") as reader:
        assert len(list(reader.exchanges(limit=1000))) == 600
        last = reader.run("last")
        assert last is not None
        assert last.ended_at is not None
