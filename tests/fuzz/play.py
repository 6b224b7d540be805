"""Plays a case against an engine that stands between a raw client and a raw scripted upstream, and tells what was.

The engine stays for many cases; each case has its own client connection, and every upstream connection ends with it.
"""

from __future__ import annotations

import asyncio
import logging
import socket
import struct
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Self

from conformance.rig import engine_class
from fuzz.case import Answer, Case, Room
from fuzz.quiet import QuietLoop
from fuzz.wire import requests_in

from scimproxy.errors import ScimproxyError
from scimproxy.exchange import Connection, Exchange
from scimproxy.passed import Passed
from scimproxy.proxy.engine import EngineOptions, Target

__all__ = ["Outcome", "Stand"]

NEVER_S = 1e6
MAX_STEPS = 200
_SETTINGS: dict[Room, dict[str, Any]] = {
    "plain": {},
    "tiny": {"stream_above": 8, "max_content": 64},
    "based": {"public_path": "", "preserve_host": True, "rewrite_locations": True},
}


@dataclass
class Outcome:
    """What a case came to. `ended`: whether the engine had closed the client's connection when all was quiet."""

    upstream: list[bytes]
    got: bytes
    ended: bool
    exchanges: list[Exchange]
    owing: bool
    """Whether the upstream still owed (part of) an answer."""
    told: int
    """How many exchanges were recorded when all was quiet; later ones end because everybody is cut off."""
    faults: list[str] = field(default_factory=list)


class _Client(asyncio.Protocol):
    def __init__(self) -> None:
        self.got = bytearray()
        self.ended = False
        self.transport: asyncio.Transport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport  # type: ignore[assignment]

    def data_received(self, data: bytes) -> None:
        self.got += data

    def eof_received(self) -> bool:
        self.ended = True
        return True

    def connection_lost(self, exc: Exception | None) -> None:
        self.ended = True


class _Server(asyncio.Protocol):
    """A connection of the upstream: it answers each request that is whole (or whose head is, where that is asked)."""

    def __init__(self, stand: Stand) -> None:
        self.stand = stand
        self.got = bytearray()
        self.answered = 0
        self.pieces: list[bytes] = []
        self.close_then = False
        self.gone = False
        self.dull = False  # says nothing more
        self.transport: asyncio.Transport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport  # type: ignore[assignment]
        self.stand.servers.append(self)

    def connection_lost(self, exc: Exception | None) -> None:
        self.gone = True

    def data_received(self, data: bytes) -> None:
        self.got += data
        self.look()

    def look(self) -> None:
        if self.pieces or self.dull:
            return
        seen = requests_in(bytes(self.got))
        for number, asked in enumerate(seen.requests):
            if number < self.answered:
                continue
            answer = self.stand.answer()
            if not (asked.whole or answer.early):
                return
            self.answered += 1
            self.stand.given += 1
            self.close_then = answer.close
            if len(answer.pieces) == 1:
                self.transport.write(answer.pieces[0])
                self._end()
            else:
                self.pieces = list(answer.pieces)
                return

    def step(self) -> None:
        if self.gone:
            self.pieces.clear()
            return
        self.transport.write(self.pieces.pop(0))
        if not self.pieces:
            self._end()
            self.look()

    def _end(self) -> None:
        if self.close_then:
            self.transport.close()
            self.dull = True


class _Recorder:
    """Keeps what it is given; commits in the next turn of the loop."""

    def __init__(self) -> None:
        self.exchanges: list[Exchange] = []
        self.losses: list[str] = []

    async def record(self, exchange: Exchange) -> None:
        await asyncio.sleep(0)
        self.exchanges.append(exchange)

    def submit(self, exchange: Exchange, done: Callable[[ScimproxyError | None], None]) -> None:
        self.exchanges.append(exchange)
        asyncio.get_running_loop().call_soon(done, None)

    def submit_passed(self, passed: Passed, done: Callable[[ScimproxyError | None], None]) -> None:
        self.submit(passed.exchange(), done)

    def pending(self, exchange: Exchange) -> None:
        pass

    def connection(self, connection: Connection) -> None:
        pass

    def refusing(self) -> ScimproxyError | None:
        return None

    def lost(self, reason: str) -> None:
        self.losses.append(reason)


class _Log(logging.Handler):
    def __init__(self) -> None:
        super().__init__(logging.ERROR)
        self.lines: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.lines.append(self.format(record)[-1500:])


def _reset(transport: asyncio.Transport) -> None:
    """End a connection with RST: a mere FIN could be a half-closed client that wants its answer."""
    sock = transport.get_extra_info("socket")
    if sock is not None and sock.fileno() >= 0:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    transport.abort()


class Stand:
    """An engine between a client and an upstream, for case after case."""

    def __init__(self, name: str, room: Room = "plain") -> None:
        self.name = name
        self.room = room
        self.servers: list[_Server] = []
        self.given = 0
        self.case = Case(())
        self.recorder = _Recorder()
        self.engine: Any = None
        self.log = _Log()

    async def __aenter__(self) -> Self:
        loop = asyncio.get_running_loop()
        assert isinstance(loop, QuietLoop)
        self.loop = loop
        self._listening = await loop.create_server(lambda: _Server(self), "127.0.0.1", 0)
        port = self._listening.sockets[0].getsockname()[1]
        self.upstream = b"127.0.0.1:%d" % port
        target = Target("http", "127.0.0.1", port, "/base" if self.room == "based" else "")
        options = EngineOptions(
            target=target,
            **_SETTINGS[self.room],
            pending_after_ms=NEVER_S,
            drain_s=0.1,
            head_timeout_s=NEVER_S,
            idle_timeout_s=NEVER_S,
            response_timeout_s=NEVER_S,
        )
        self.engine = engine_class(self.name)(options, self.recorder)
        self.address = await self.engine.start()
        logging.getLogger("scimproxy").addHandler(self.log)
        return self

    async def __aexit__(self, *_: object) -> None:
        logging.getLogger("scimproxy").removeHandler(self.log)
        await self.engine.stop()
        self._listening.close()

    def answer(self) -> Answer:
        answers = self.case.answers
        return answers[min(self.given, len(answers) - 1)]

    async def _settle(self) -> None:
        """Let everything move until it moves no more; the upstream's pieces come one by one."""
        await self.loop.quiet()
        for _ in range(MAX_STEPS):
            waiting = [server for server in self.servers if server.pieces]
            if not waiting:
                return
            for server in waiting:
                server.step()
            await self.loop.quiet()

    async def play(self, case: Case) -> Outcome:
        """Play a case to its end."""
        self.case, self.given = case, 0
        self.servers.clear()
        self.recorder.exchanges.clear()
        self.recorder.losses.clear()
        self.log.lines.clear()
        _, client = await self.loop.create_connection(_Client, self.address.host, self.address.port)
        for piece in case.pieces:
            if client.ended:
                break
            client.transport.write(piece)
            if case.paced:
                await self._settle()
        if case.end != "go":
            await self._settle()
        if case.end == "half" and not client.ended:
            client.transport.write_eof()
            await self._settle()
        outcome = Outcome([], bytes(client.got), client.ended, [], self._owing(), len(self.recorder.exchanges))
        _reset(client.transport)
        await self._settle()
        for _ in range(3):  # a request may be tried again, on one more connection
            for server in self.servers:
                _reset(server.transport)
            await self.loop.quiet()
        outcome.upstream = [bytes(server.got) for server in self.servers]
        outcome.exchanges = list(self.recorder.exchanges)
        outcome.faults = [*self.log.lines, *(f"lost: {loss}" for loss in self.recorder.losses)]
        outcome.faults += [f"left over: {one}" for one in self._left_over()]
        return outcome

    def _owing(self) -> bool:
        """Whether a connection of the upstream is open that got a request: it may still have to say something."""
        return any(not server.gone and not server.transport.is_closing() and server.got for server in self.servers)

    def _left_over(self) -> list[str]:
        if self.name != "native":
            return []
        left = [f"client {one.connection.uid}" for one in self.engine.clients]
        return left + [f"upstream {one.uid}" for one in self.engine.pool._open]
