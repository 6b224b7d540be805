"""A body of one GiB passes in either direction, and neither the recorder nor its writing process holds it."""

from __future__ import annotations

import hashlib
import socket
import sqlite3
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from pathlib import Path

import pytest
from e2e.proxy import Proxy

from scimproxy.store import Reader

PIECE = b",\n".join(b'{"userName": "user%06d@example.com", "active": true}' % number for number in range(5000))
PIECE = PIECE[: 1 << 18]
TIMES = 4096
SIZE = len(PIECE) * TIMES
GREW_MIB = 32
"""The 10 MiB that are kept, once in each process, and a third of each for buffers, SQLite's pages and telling."""


def _status(pid: int, name: str) -> float:
    for line in Path(f"/proc/{pid}/status").read_text(encoding="utf-8").splitlines():
        if line.startswith(name):
            return int(line.split()[1]) / 1024
    raise AssertionError(f"no {name} of process {pid}")


def _children(pid: int) -> list[int]:
    return [int(word) for word in Path(f"/proc/{pid}/task/{pid}/children").read_text(encoding="utf-8").split()]


def _head(sock: socket.socket) -> bytes:
    head = b""
    while not head.endswith(b"\r\n\r\n"):
        byte = sock.recv(1)
        assert byte, head
        head += byte
    return head


def _taken(sock: socket.socket) -> str:
    """Take a body of SIZE bytes and return its hash."""
    digest, left, buffer = hashlib.sha256(), SIZE, memoryview(bytearray(1 << 18))
    while left:
        count = sock.recv_into(buffer[: min(left, len(buffer))])
        assert count, f"{left} bytes are missing"
        digest.update(buffer[:count])
        left -= count
    return digest.hexdigest()


def _sent(sock: socket.socket) -> None:
    for _ in range(TIMES):
        sock.sendall(PIECE)


@contextmanager
def _upstream(taken: list[str]) -> Iterator[str]:
    """Serve one connection after the other: a GET is answered with a big body, a PUT's is taken."""

    def serve() -> None:
        with ThreadPoolExecutor(4) as pool:
            while True:
                try:
                    sock, _ = listener.accept()
                except OSError:
                    return
                pool.submit(talk, sock)

    def talk(sock: socket.socket) -> None:
        with sock:
            while (first := sock.recv(1)) != b"":
                head = first + _head(sock)
                if head.startswith(b"PUT"):
                    taken.append(_taken(sock))
                    sock.sendall(b"HTTP/1.1 204 No Content\r\n\r\n")
                elif b"/big" in head:
                    sock.sendall(b"HTTP/1.1 200 OK\r\nContent-Type: application/scim+json\r\n")
                    sock.sendall(b"Content-Length: %d\r\n\r\n" % SIZE)
                    _sent(sock)
                else:
                    sock.sendall(
                        b"HTTP/1.1 200 OK\r\nContent-Type: application/scim+json\r\nContent-Length: 2\r\n\r\n{}"
                    )

    listener = socket.create_server(("127.0.0.1", 0))
    thread = threading.Thread(target=serve)
    thread.start()
    try:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
    finally:
        listener.shutdown(socket.SHUT_RDWR)
        listener.close()
        thread.join(30)


def _wait_until_compressed(db: Path) -> None:
    """Wait for the last that is done with a big content, when there is time."""
    until = time.monotonic() + 30
    with closing(sqlite3.connect(db)) as connection:
        while not connection.execute("SELECT count(*) FROM contents WHERE encoding = 'zlib'").fetchone()[0]:
            assert time.monotonic() < until
            time.sleep(0.01)


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/clear_refs").exists(), reason="peaks of memory are read from /proc")
@pytest.mark.parametrize("direction", ["down", "up"])
def test_a_gib_passes_and_is_not_held(tmp_path: Path, direction: str) -> None:
    right = hashlib.sha256()
    for _ in range(TIMES):
        right.update(PIECE)
    taken: list[str] = []
    db = tmp_path / "big.db"
    with _upstream(taken) as target:
        proxy = Proxy(target, db, "--engine", "native")
        with socket.create_connection(("127.0.0.1", proxy.port), timeout=60) as sock:
            sock.sendall(b"GET /scim/v2/Users HTTP/1.1\r\nHost: a\r\n\r\n")
            assert _head(sock).startswith(b"HTTP/1.1 200")
            assert sock.recv(2) == b"{}"
            proxy.wait_for("exchange")  # what telling of an exchange loads is loaded
            processes = [proxy.process.pid, *_children(proxy.process.pid)]
            assert len(processes) == 2
            before = 0.0
            for pid in processes:
                Path(f"/proc/{pid}/clear_refs").write_text("5", encoding="utf-8")
                before += _status(pid, "VmHWM:")
            if direction == "down":
                sock.sendall(b"GET /big HTTP/1.1\r\nHost: a\r\n\r\n")
                assert _head(sock).startswith(b"HTTP/1.1 200")
                assert _taken(sock) == right.hexdigest()
            else:
                sock.sendall(b"PUT /big HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n" % SIZE)
                _sent(sock)
                assert _head(sock).startswith(b"HTTP/1.1 204")
                assert taken == [right.hexdigest()]
            _wait_until_compressed(db)
            grew = sum(_status(pid, "VmHWM:") for pid in processes) - before
        assert proxy.stop() == 0
    with Reader.open(db) as reader:
        exchange = reader.exchange(2)
    assert exchange is not None
    assert exchange.response is not None
    content = exchange.response.content if direction == "down" else exchange.request.content
    assert (content.size, content.sha256) == (SIZE, right.hexdigest())
    assert content.data == (PIECE * 41)[: len(content.data)]
    assert 10_000_000 <= len(content.data) <= 10_485_760
    assert grew < GREW_MIB, f"{grew:.1f} MiB"
