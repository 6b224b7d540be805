"""A tap: a TCP relay that keeps every byte of both directions, and reads them as HTTP/1 messages with h11.

It is an independent witness: it shares no code with scimproxy. One tap stands between the client and the proxy,
another between the proxy and the server.
"""

from __future__ import annotations

import asyncio
import threading
from dataclasses import dataclass, field
from typing import Self

import h11


@dataclass(frozen=True)
class Message:
    """A message as the wire had it: the first line's parts, the header fields with their case, the content."""

    start: tuple[str, ...]
    headers: tuple[tuple[bytes, bytes], ...]
    body: bytes


@dataclass
class Talk:
    """The bytes of one connection."""

    sent: bytearray = field(default_factory=bytearray)
    received: bytearray = field(default_factory=bytearray)


class Tap:
    """Relays from a free loopback port to `port`, in a thread of its own; use it as a context manager."""

    def __init__(self, port: int) -> None:
        self.upstream_port = port
        self.port = 0
        self.talks: list[Talk] = []
        self._writers: list[asyncio.StreamWriter] = []
        self._ready = threading.Event()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        assert self._ready.wait(10)
        return self

    def __exit__(self, *exc: object) -> None:
        assert self._loop
        self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join(10)

    def _run(self) -> None:
        asyncio.run(self._main())

    async def _main(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._stop = asyncio.Event()
        server = await asyncio.start_server(self._relay, "127.0.0.1", 0, limit=1 << 20)
        self.port = server.sockets[0].getsockname()[1]
        self._ready.set()
        await self._stop.wait()
        server.close()
        others = asyncio.all_tasks() - {asyncio.current_task()}
        for task in others:
            task.cancel()
        await asyncio.gather(*others, return_exceptions=True)
        for writer in self._writers:
            writer.transport.abort()
        await asyncio.gather(*(writer.wait_closed() for writer in self._writers), return_exceptions=True)

    async def _relay(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        talk = Talk()
        self.talks.append(talk)
        self._writers.append(writer)
        try:
            up_reader, up_writer = await asyncio.open_connection("127.0.0.1", self.upstream_port)
        except OSError:
            writer.close()
            return
        self._writers.append(up_writer)
        await asyncio.gather(
            self._pump(reader, up_writer, talk.sent),
            self._pump(up_reader, writer, talk.received),
            return_exceptions=True,
        )
        for one in (writer, up_writer):
            one.close()

    @staticmethod
    async def _pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, kept: bytearray) -> None:
        try:
            while data := await reader.read(1 << 16):
                kept += data
                writer.write(data)
                await writer.drain()
            if writer.can_write_eof():
                writer.write_eof()
        except (ConnectionError, OSError):
            writer.close()

    def exchanges(self) -> list[tuple[Message, Message]]:
        """Every request with its final response, over all connections."""
        return [pair for talk in list(self.talks) for pair in read(talk)]


def read(talk: Talk) -> list[tuple[Message, Message]]:
    """Read one connection's bytes as requests and responses; each message with a reader of its own."""
    pairs = []
    sent, received = bytes(talk.sent), bytes(talk.received)
    while sent:
        server = h11.Connection(h11.SERVER, 1 << 20)
        server.receive_data(sent)
        request = server.next_event()
        if not isinstance(request, h11.Request):
            return pairs
        body = _body(server)
        sent = server.trailing_data[0]
        client = h11.Connection(h11.CLIENT, 1 << 20)
        client.send(h11.Request(method=request.method, target=request.target, headers=[("Host", "x")]))
        client.send(h11.EndOfMessage())
        client.receive_data(received)
        client.receive_data(b"")
        response = client.next_event()
        while isinstance(response, h11.InformationalResponse):
            response = client.next_event()
        if not isinstance(response, h11.Response):
            return pairs
        answer = _body(client)
        received = client.trailing_data[0]
        pairs.append(
            (
                Message(
                    (request.method.decode(), request.target.decode("latin-1")),
                    tuple(request.headers.raw_items()),
                    body,
                ),
                Message(
                    (str(response.status_code), response.reason.decode("latin-1")),
                    tuple(response.headers.raw_items()),
                    answer,
                ),
            )
        )
    return pairs


def _body(connection: h11.Connection) -> bytes:
    body = b""
    while True:
        event = connection.next_event()
        if not isinstance(event, h11.Data):
            return body
        body += event.data
