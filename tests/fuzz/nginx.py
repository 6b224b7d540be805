"""Lets a real nginx read what an upstream got, so that nothing reaches an upstream in a form that nginx reads differently.

nginx stands before a collector: it takes the bytes of one upstream connection, and what it makes of each request
(method, target, Host, body) arrives at the collector with a Content-Length of its own.
"""

from __future__ import annotations

import asyncio
import shutil
import socket
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from fuzz.wire import Asked, requests_in

__all__ = ["Nginx", "Reading", "judge"]

_CONFIG = """
daemon off; master_process off; worker_processes 1; pid {folder}/pid; error_log {folder}/error.log error;
events {{ worker_connections 512; }}
http {{
  access_log off; client_body_temp_path {folder}/body; proxy_temp_path {folder}/proxy; fastcgi_temp_path {folder}/f;
  uwsgi_temp_path {folder}/u; scgi_temp_path {folder}/s;
  large_client_header_buffers 8 128k; client_header_buffer_size 128k; client_max_body_size 0; keepalive_requests 100000;
  ignore_invalid_headers off; underscores_in_headers on; merge_slashes off; server_tokens off; client_body_buffer_size 1m;
  proxy_http_version 1.1; proxy_request_buffering on; lingering_close off;
  upstream collector {{ server 127.0.0.1:{collector}; keepalive 4; }}
  server {{
    listen 127.0.0.1:{port};
    location / {{ proxy_pass http://collector; proxy_set_header Host $http_host; proxy_set_header Connection ""; proxy_set_header X-Asked-Target $request_uri; }}
  }}
}}
"""
ASKED_TARGET = b"x-asked-target"
REFUSALS = (b"HTTP/1.1 400 ", b"HTTP/1.1 405 ", b"HTTP/1.1 414 ", b"HTTP/1.1 494 ", b"HTTP/1.1 501 ")
PATIENCE_S = 10.0


@dataclass
class Reading:
    """What nginx made of the bytes of a connection: requests passed on, and answers of its own (refusals)."""

    requests: list[Asked]
    refused: list[bytes]


class Nginx:
    """A running nginx with its collector."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.port = 0
        self.collected: list[bytearray] = []
        self._process: subprocess.Popen[bytes] | None = None

    @staticmethod
    def there() -> bool:
        """Whether this machine has nginx."""
        return _program() is not None

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._collect, "127.0.0.1", 0)
        collector = self._server.sockets[0].getsockname()[1]
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]
        config = self.folder / "nginx.conf"
        config.write_text(_CONFIG.format(folder=self.folder, collector=collector, port=self.port))
        program = _program()
        assert program is not None
        self._process = subprocess.Popen(
            [program, "-p", str(self.folder), "-c", str(config), "-e", str(self.folder / "error.log")]
        )
        async with asyncio.timeout(PATIENCE_S):
            while True:
                try:
                    _, writer = await asyncio.open_connection("127.0.0.1", self.port)
                except OSError:
                    assert self._process.poll() is None, (self.folder / "error.log").read_text()
                    await asyncio.sleep(0.02)
                else:
                    writer.close()
                    return self

    async def __aexit__(self, *_: object) -> None:
        assert self._process is not None
        self._process.terminate()
        self._process.wait(PATIENCE_S)
        self._server.close()

    async def _collect(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        got = bytearray()
        self.collected.append(got)
        answered = 0
        try:
            while piece := await reader.read(65536):
                got += piece
                whole = sum(one.whole for one in requests_in(bytes(got)).requests)
                while answered < whole:
                    answered += 1
                    writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
        except (ConnectionError, asyncio.CancelledError):
            pass
        finally:
            writer.close()

    async def read(self, data: bytes, expected: int) -> Reading:
        """Let nginx read the bytes of one connection; `expected` requests are whole in them."""
        before = [len(got) for got in self.collected]
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        writer.write(data)
        await writer.drain()
        got = bytearray()
        answers = 0
        async with asyncio.timeout(PATIENCE_S):
            while answers < expected:
                piece = await reader.read(65536)
                if not piece:
                    break
                got += piece
                answers = got.count(b"HTTP/1.1 ")
        writer.transport.abort()
        requests: list[Asked] = []
        for number, one in enumerate(self.collected):
            start = before[number] if number < len(before) else 0
            requests += requests_in(bytes(one[start:])).requests
        return Reading(requests, [bytes(line) for line in got.split(b"\r\n") if line.startswith(REFUSALS)])


def _program() -> str | None:
    return shutil.which("nginx") or shutil.which("nginx", path="/usr/sbin:/usr/local/sbin")


async def judge(nginx: Nginx, data: bytes) -> tuple[list[str], int]:
    """Return where nginx reads the bytes of a connection differently, and how many requests it refused."""
    wanted = [one for one in requests_in(data).requests if one.whole]
    if not wanted:
        return [], 0
    reading = await nginx.read(data, len(wanted))
    problems = []
    left = list(reading.requests)
    for number, one in enumerate(wanted):
        key = one.method, one.target, one.get(b"host"), one.body
        match = next(
            (
                two
                for two in left
                if (two.method, (two.get(ASKED_TARGET) or [b""])[0], two.get(b"host"), two.body) == key
            ),
            None,
        )
        if match is not None:
            left.remove(match)
        elif not reading.refused:  # a refusal may end the connection: what follows it is not read at all
            problems.append(
                f"nginx does not read request {number + 1} {one.method!r} {one.target[:80]!r} with {len(one.body)} bytes"
            )
    problems += [f"nginx reads what was not sent: {two.method!r} {two.target[:80]!r}" for two in left]
    return problems, len(reading.refused)
