"""The upstream of the bench: a small HTTP/1.1 server that costs next to nothing, with and without TLS.

One rule: it stands for a fast application server and nothing else. It reads well-formed requests with a
Content-Length, answers from bench_payload, keeps connections open, and judges every byte of a blob sent to it.
Started by bench_peers.py as `bench_upstream.py CERTIFICATE MICROSECONDS`, the CPU time that it burns for each answer
as an application would; prints {"http": PORT, "https": PORT} and ends when its standard input ends.
"""

from __future__ import annotations

import asyncio
import json
import ssl
import sys
import time
from typing import cast

import uvloop
from bench_payload import BLOB, PIECE, answer

_MIB = len(PIECE)
_TWICE = PIECE * 2


class Upstream(asyncio.Protocol):
    """One connection."""

    transport: asyncio.Transport
    work_s = 0.0

    def __init__(self) -> None:
        self._head = b""
        self._left = 0  # of a request's content
        self._size = 0
        self._right = True
        self._request = ("", "")
        self._close = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("asyncio.Transport", transport)  # uvloop's does what it says, without being one

    def data_received(self, data: bytes) -> None:
        while data:
            data = self._content(data) if self._left else self._heads(data)

    def _heads(self, data: bytes) -> bytes:
        head, found, rest = (self._head + data).partition(b"\r\n\r\n")
        if not found:
            self._head = head
            return b""
        self._head = b""
        line, _, fields = head.partition(b"\r\n")
        method, target, _version = line.decode("latin-1").split(" ")
        lower = fields.lower()
        self._request = (method, target)
        self._close = b"connection: close" in lower
        before, named, after = (b"\r\n" + lower).partition(b"\r\ncontent-length:")
        self._left = self._size = int(after.partition(b"\r\n")[0]) if named else 0
        self._right = True
        if b"transfer-encoding:" in before + after:
            self._send(411, "text/plain", b"this upstream needs a Content-Length")
        elif not self._left:
            self._answer()
        elif b"100-continue" in lower:
            self.transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        return rest

    def _content(self, data: bytes) -> bytes:
        mine, rest = data[: self._left], data[self._left :]
        if self._request[1].startswith("/blob"):
            at = (self._size - self._left) % _MIB
            self._right = self._right and _TWICE[at : at + len(mine)] == mine
        self._left -= len(mine)
        if not self._left:
            self._answer()
        return rest

    def _answer(self) -> None:
        if self.work_s:
            until = time.perf_counter() + self.work_s
            while time.perf_counter() < until:
                pass
        given = answer(*self._request, self._size)
        if not self._right:
            self._send(422, "text/plain", b"the content is not what was sent")
        elif given is not None:
            self._send(*given)
        else:
            self.transport.write(self._fields(200, "application/scim+json", BLOB * _MIB))
            for _ in range(BLOB):
                self.transport.write(PIECE)
            if self._close:
                self.transport.close()

    def _send(self, status_code: int, media_type: str, body: bytes) -> None:
        self.transport.write(self._fields(status_code, media_type, len(body)) + body)
        if self._close:
            self.transport.close()

    def _fields(self, status_code: int, media_type: str, size: int) -> bytes:
        return b"HTTP/1.1 %d OK\r\nContent-Type: %s\r\nContent-Length: %d\r\nDate: %s\r\n%s\r\n" % (
            status_code,
            media_type.encode(),
            size,
            b"Thu, 01 Oct 2026 00:00:00 GMT",
            b"Connection: close\r\n" if self._close else b"",  # wrk counts an unannounced end as an error
        )


async def serve(certificate: str) -> None:
    """Listen on free loopback ports until standard input ends."""
    loop = asyncio.get_running_loop()
    plain = await loop.create_server(Upstream, "127.0.0.1", 0, backlog=1024)
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(certificate)
    secure = await loop.create_server(Upstream, "127.0.0.1", 0, ssl=context, backlog=1024)
    ports = {name: each.sockets[0].getsockname()[1] for name, each in (("http", plain), ("https", secure))}
    print(json.dumps(ports), flush=True)
    await loop.run_in_executor(None, sys.stdin.read)


if __name__ == "__main__":
    Upstream.work_s = int(sys.argv[2]) / 1e6
    uvloop.run(serve(sys.argv[1]))
