"""The rig of the conformance suite: a scripted upstream and a client on raw sockets, and a recorder that can be held.

Everything is bytes, so that a test sees what travelled and not what a library made of it.
"""

from __future__ import annotations

import asyncio
import importlib
import socket
import ssl
import struct
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from scimproxy.errors import ScimproxyError
from scimproxy.exchange import Connection, Exchange
from scimproxy.passed import Passed
from scimproxy.proxy.engine import Address, Engine, EngineOptions, Target

PATIENCE_S = 20.0
"""After so long a test gives up on a byte; nothing is ever measured against it."""

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
GET = b"GET /Users HTTP/1.1\r\nHost: public.example\r\n\r\n"


class Wire:
    """One end of a raw connection."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer

    async def send(self, data: bytes) -> None:
        self.writer.write(data)
        await self.writer.drain()

    async def until(self, mark: bytes) -> bytes:
        async with asyncio.timeout(PATIENCE_S):
            return await self.reader.readuntil(mark)

    async def exactly(self, size: int) -> bytes:
        async with asyncio.timeout(PATIENCE_S):
            return await self.reader.readexactly(size)

    async def rest(self) -> bytes:
        """Return everything up to the end of the connection; a reset is an end, too."""
        got = bytearray()
        async with asyncio.timeout(PATIENCE_S):
            while True:
                try:
                    piece = await self.reader.read(65536)
                except ConnectionError:
                    break
                if not piece:
                    break
                got += piece
        return bytes(got)

    def waiting(self) -> bytes:
        """Return what has arrived and was not read yet, without waiting."""
        return bytes(self.reader._buffer)

    async def message(self, *, bodiless: bool = False) -> bytes:
        """Return one whole message, byte for byte; it ends by its own framing."""
        head = await self.until(b"\r\n\r\n")
        lowered = head.lower()
        if bodiless:
            return head
        if b"transfer-encoding: chunked" in lowered:
            whole = bytearray(head)
            while True:
                line = await self.until(b"\r\n")
                whole += line
                size = int(line.split(b";")[0], 16)
                if size:
                    whole += await self.exactly(size + 2)
                    continue
                while (line := await self.until(b"\r\n")) != b"\r\n":
                    whole += line
                return bytes(whole + line)
        for line in head.split(b"\r\n"):
            if line.lower().startswith(b"content-length:"):
                return head + await self.exactly(int(line.split(b":")[1]))
        return head

    def close(self) -> None:
        self.writer.close()

    def reset(self) -> None:
        """End the connection with RST, which nobody takes for a half-closed one."""
        sock = self.writer.get_extra_info("socket")
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.writer.transport.abort()


Script = Callable[[Wire], Awaitable[None]]


async def answer_all(wire: Wire, response: bytes = OK) -> None:
    """The script of a plain server: the same answer to everything."""
    while True:
        await wire.message()
        await wire.send(response)


def answering(*responses: bytes) -> Script:
    """A script that gives these answers, one after another, on one connection, and then closes."""

    async def script(wire: Wire) -> None:
        for response in responses:
            await wire.message()
            await wire.send(response)
        await wire.reader.read()

    return script


class Upstream:
    """A server whose connections follow a script; `seen` holds the requests as they came, byte for byte."""

    def __init__(self, script: Script) -> None:
        self.script = script
        self.seen: list[bytes] = []
        self.connections = 0
        self.host = "127.0.0.1"
        self.port = 0
        self._tasks: set[asyncio.Task[Any]] = set()
        self._server: asyncio.Server | None = None

    async def start(self, host: str = "127.0.0.1", tls: ssl.SSLContext | None = None, port: int = 0) -> None:
        self._server = await asyncio.start_server(self._serve, host, port, ssl=tls)
        self.host, self.port = self._server.sockets[0].getsockname()[:2]

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        wire = Seeing(reader, writer, self.seen)
        try:
            await self.script(wire)
        except (asyncio.IncompleteReadError, ConnectionError, asyncio.CancelledError, TimeoutError):
            pass
        finally:
            self._tasks.discard(task)
            writer.close()

    async def stop(self) -> None:
        if self._server is not None:
            self._server.close()
        for task in list(self._tasks):
            task.cancel()
        if self._tasks:
            await asyncio.wait(self._tasks)


class Seeing(Wire):
    """A wire that keeps each whole message it read."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, seen: list[bytes]) -> None:
        super().__init__(reader, writer)
        self._seen = seen

    async def message(self, *, bodiless: bool = False) -> bytes:
        whole = await super().message(bodiless=bodiless)
        self._seen.append(whole)
        return whole


class Recording:
    """A recorder that keeps what it is given, and can be held, made to fail, or made to refuse."""

    def __init__(self) -> None:
        self.exchanges: list[Exchange] = []
        self.pendings: list[Exchange] = []
        self.connections: list[Connection] = []
        self.losses: list[str] = []
        self.refusal: ScimproxyError | None = None
        self.error: Exception | None = None
        self.gate: asyncio.Event | None = None
        self.held_path: str | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self.entered = asyncio.Event()
        self._changed = asyncio.Condition()

    def hold(self, path: str) -> None:
        """Let `record` wait for `release` where the request's path is this one."""
        self.held_path = path
        self.gate = asyncio.Event()

    def release(self) -> None:
        assert self.gate is not None
        self.gate.set()

    def submit(self, exchange: Exchange, done: Callable[[ScimproxyError | None], None]) -> None:
        def ended(task: asyncio.Task[None]) -> None:
            self._tasks.discard(task)
            problem = task.exception()
            assert problem is None or isinstance(problem, ScimproxyError)
            done(problem)

        if self.error is not None and not isinstance(self.error, ScimproxyError):
            raise self.error
        task = asyncio.ensure_future(self.record(exchange))
        self._tasks.add(task)
        task.add_done_callback(ended)

    def submit_passed(self, passed: Passed, done: Callable[[ScimproxyError | None], None]) -> None:
        self.submit(passed.exchange(), done)

    async def record(self, exchange: Exchange) -> None:
        if self.gate is not None and exchange.request.path == self.held_path:
            self.entered.set()
            await self.gate.wait()
        if self.error is not None:
            raise self.error
        self.exchanges.append(exchange)
        await self._tell()

    def pending(self, exchange: Exchange) -> None:
        self.pendings.append(exchange)
        self._later()

    async def opened(self, exchange: Exchange) -> None:
        if self.error is not None:
            raise self.error
        self.pendings.append(exchange)
        await self._tell()

    def connection(self, connection: Connection) -> None:
        self.connections.append(connection)
        self._later()

    def refusing(self) -> ScimproxyError | None:
        return self.refusal

    def lost(self, reason: str) -> None:
        self.losses.append(reason)
        self._later()

    def _later(self) -> None:
        task = asyncio.get_running_loop().create_task(self._tell())
        _TASKS.add(task)
        task.add_done_callback(_TASKS.discard)

    async def _tell(self) -> None:
        async with self._changed:
            self._changed.notify_all()

    async def wait_until(self, so: Callable[[], object]) -> None:
        async with asyncio.timeout(PATIENCE_S), self._changed:
            await self._changed.wait_for(lambda: bool(so()))

    async def one(self) -> Exchange:
        """Return the only exchange, once it is there."""
        await self.wait_until(lambda: self.exchanges)
        assert len(self.exchanges) == 1
        return self.exchanges[0]


_TASKS: set[asyncio.Task[None]] = set()

ENGINES = {
    "mitmproxy": ("scimproxy.proxy.mitm", "MitmEngine"),
    "native": ("scimproxy.proxy.native", "NativeEngine"),
}
"""Every engine that keeps the contract; a new one is a line here."""


def engine_class(name: str) -> Any:
    module, attribute = ENGINES[name]
    return getattr(importlib.import_module(module), attribute)


@dataclass
class Rig:
    """An engine between an upstream and clients."""

    engine: Engine
    upstream: Upstream
    recorder: Recording
    address: Address
    _open: list[Wire] = field(default_factory=list)

    async def client(self) -> Wire:
        wire = Wire(*await asyncio.open_connection(self.address.host, self.address.port))
        self._open.append(wire)
        return wire

    async def ask(self, request: bytes = GET, *, bodiless: bool = False) -> bytes:
        """Return the answer to a request on a connection of its own."""
        wire = await self.client()
        await wire.send(request)
        return await wire.message(bodiless=bodiless)


class Rigs:
    """Makes rigs for one engine, and takes them down."""

    def __init__(self, name: str) -> None:
        self.name = name
        self._rigs: list[Rig] = []
        self._upstreams: list[Upstream] = []

    async def __call__(
        self,
        script: Script = answer_all,
        *,
        host: str = "127.0.0.1",
        tls: ssl.SSLContext | None = None,
        target: Target | None = None,
        base_path: str = "",
        target_host: str | None = None,
        **options: Any,
    ) -> Rig:
        upstream = Upstream(script)
        self._upstreams.append(upstream)
        await upstream.start(host, tls)
        scheme = "http" if tls is None else "https"
        aim = target or Target(scheme, target_host or upstream.host, upstream.port, base_path)
        recorder = Recording()
        engine: Engine = engine_class(self.name)(EngineOptions(target=aim, **options), recorder)
        rig = Rig(engine, upstream, recorder, await engine.start())
        self._rigs.append(rig)
        return rig

    async def close(self) -> None:
        for rig in self._rigs:
            for wire in rig._open:
                wire.close()
            if rig.recorder.gate is not None:
                rig.recorder.gate.set()
            await rig.engine.stop()
        for upstream in self._upstreams:
            await upstream.stop()


@asynccontextmanager
async def rigs_of(name: str) -> AsyncIterator[Rigs]:
    made = Rigs(name)
    try:
        yield made
    finally:
        await made.close()


def head_of(message: bytes) -> tuple[bytes, list[tuple[bytes, bytes]]]:
    """Return the first line and the fields of a message."""
    lines = message.partition(b"\r\n\r\n")[0].split(b"\r\n")
    fields = []
    for line in lines[1:]:
        name, _, value = line.partition(b":")
        fields.append((name, value.strip()))
    return lines[0], fields


def value_of(message: bytes, name: bytes) -> bytes | None:
    """Return the value of a field, None where it is not there."""
    return next((value for have, value in head_of(message)[1] if have.lower() == name.lower()), None)


def body_of(message: bytes) -> bytes:
    """Return the body of a message, its chunks joined."""
    head, _, body = message.partition(b"\r\n\r\n")
    if b"transfer-encoding: chunked" not in head.lower():
        return body
    out = bytearray()
    while True:
        line, _, body = body.partition(b"\r\n")
        size = int(line.split(b";")[0], 16)
        if not size:
            return bytes(out)
        out += body[:size]
        body = body[size + 2 :]
