"""A client and a server that speak HTTP/2 over real sockets, on `h2`; a test decides what the server does.

Both wait on events, never on time, and keep what they saw as it came.
"""

from __future__ import annotations

import asyncio
import contextlib
import ssl
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

import h2.config
import h2.connection
import h2.events
import h2.exceptions
from conformance.rig import PATIENCE_S

Fields = list[tuple[str, str]]


@dataclass
class Message:
    """One side of a stream, as far as it came."""

    headers: Fields = field(default_factory=list)
    body: bytearray = field(default_factory=bytearray)
    trailers: Fields | None = None
    interim: list[Fields] = field(default_factory=list)
    ended: bool = False
    reset: int | None = None

    def get(self, name: str) -> str | None:
        return next((value for have, value in self.headers if have == name), None)

    @property
    def status(self) -> str | None:
        return self.get(":status")


def texts(headers: object) -> Fields:
    return [(n.decode("latin-1"), v.decode("latin-1")) for n, v in headers]  # type: ignore[attr-defined]


class Peer:
    """What client and server have in common: a connection, its streams, and waiting for a change."""

    def __init__(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, *, client: bool, taking: bool = True
    ) -> None:
        self.reader, self.writer = reader, writer
        config = h2.config.H2Configuration(
            client_side=client,
            header_encoding=None,
            validate_outbound_headers=False,
            normalize_outbound_headers=False,
        )
        self.h2 = h2.connection.H2Connection(config)
        self.h2.initiate_connection()
        self.taking = taking
        """Whether windows are given back as data comes."""
        self.owed: dict[int, int] = {}
        self.streams: dict[int, Message] = {}
        self.goaway: int | None = None
        self.closed = False
        self.changed = asyncio.Condition()
        self.complete: Callable[[int], Awaitable[None]] | None = None
        self.tasks: set[asyncio.Task[None]] = set()

    def flush(self) -> None:
        data = self.h2.data_to_send()
        if data and not self.writer.is_closing():
            self.writer.write(data)

    async def pump(self) -> None:
        """Read until the end."""
        self.flush()
        try:
            while data := await self.reader.read(65536):
                for event in self.h2.receive_data(data):
                    self._take(event)
                self.flush()
                await self.tell()
        except (OSError, h2.exceptions.ProtocolError, ssl.SSLError):
            pass
        self.closed = True
        await self.tell()

    async def tell(self) -> None:
        async with self.changed:
            self.changed.notify_all()

    async def until(self, so: Callable[[], object]) -> None:
        async with asyncio.timeout(PATIENCE_S), self.changed:
            await self.changed.wait_for(lambda: bool(so()))

    def _take(self, event: h2.events.Event) -> None:
        number = getattr(event, "stream_id", None)
        message = self.streams.setdefault(number, Message()) if number else Message()
        if isinstance(event, h2.events.RequestReceived | h2.events.ResponseReceived):
            message.headers = texts(event.headers)
        elif isinstance(event, h2.events.InformationalResponseReceived):
            message.interim.append(texts(event.headers))
        elif isinstance(event, h2.events.TrailersReceived):
            message.trailers = texts(event.headers)
        elif isinstance(event, h2.events.DataReceived):
            message.body += event.data or b""
            size = event.flow_controlled_length or 0
            if self.taking:
                self.h2.acknowledge_received_data(size, event.stream_id)
            else:
                self.owed[event.stream_id] = self.owed.get(event.stream_id, 0) + size
        elif isinstance(event, h2.events.StreamReset):
            message.reset = int(event.error_code or 0)
        elif isinstance(event, h2.events.ConnectionTerminated):
            self.goaway = int(event.error_code or 0)
        elif isinstance(event, h2.events.StreamEnded):
            message.ended = True
            if self.complete is not None:
                task = asyncio.get_running_loop().create_task(self.complete(event.stream_id))  # type: ignore[arg-type]
                self.tasks.add(task)
                task.add_done_callback(self.tasks.discard)

    def take_all(self) -> None:
        """Give back every window that is owed, and from now on at once."""
        self.taking = True
        for number, size in self.owed.items():
            self.h2.acknowledge_received_data(size, number)
        self.owed.clear()
        self.flush()

    async def send_body(self, number: int, body: bytes, *, end: bool = True, trailers: Fields | None = None) -> None:
        """Send a body as fast as the windows allow."""
        left = memoryview(body)
        while left:
            await self.until(lambda: self.closed or self.h2.local_flow_control_window(number) > 0)
            size = min(len(left), self.h2.local_flow_control_window(number), self.h2.max_outbound_frame_size)
            last = end and size == len(left) and trailers is None
            self.h2.send_data(number, bytes(left[:size]), end_stream=last)
            self.flush()
            left = left[size:]
        if trailers is not None:
            self.h2.send_headers(number, trailers, end_stream=True)
        elif end and not body:
            self.h2.end_stream(number)
        self.flush()

    def abort(self) -> None:
        self.writer.transport.abort()


class Client(Peer):
    """A client; `ask` sends, `answer` waits."""

    async def ask(
        self,
        method: str = "GET",
        path: str = "/Users",
        *headers: tuple[str, str],
        body: bytes | None = None,
        trailers: Fields | None = None,
        authority: str = "localhost",
        end: bool = True,
    ) -> int:
        number = self.h2.get_next_available_stream_id()
        head = [(":method", method), (":scheme", "https"), (":authority", authority), (":path", path), *headers]
        self.h2.send_headers(number, head, end_stream=body is None and end)
        self.streams[number] = Message()
        self.flush()
        if body is not None:
            await self.send_body(number, body, end=end, trailers=trailers)
        return number

    async def answer(self, number: int) -> Message:
        message = self.streams[number]
        await self.until(lambda: message.ended or message.reset is not None or self.closed)
        return message

    async def get(self, path: str = "/Users", *headers: tuple[str, str]) -> Message:
        return await self.answer(await self.ask("GET", path, *headers))


Behaviour = Callable[["Peer", int], Awaitable[None]]


async def respond(peer: Peer, number: int, body: bytes = b"ok", *headers: tuple[str, str], status: int = 200) -> None:
    """Answer a stream whole."""
    head = [(":status", str(status)), ("content-length", str(len(body))), *headers]
    peer.h2.send_headers(number, head, end_stream=not body)
    peer.flush()
    if body:
        await peer.send_body(number, body)


class Server:
    """A server with HTTP/2 in TLS; `behave` is called with every complete request."""

    def __init__(self, behave: Behaviour = respond) -> None:
        self.behave = behave
        self.peers: list[Peer] = []
        self.port = 0
        self._server: asyncio.Server | None = None
        self._tasks: set[asyncio.Task[None]] = set()

    async def start(self, tls: ssl.SSLContext) -> None:
        tls.set_alpn_protocols(["h2"])
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0, ssl=tls)
        self.port = self._server.sockets[0].getsockname()[1]

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        peer = Peer(reader, writer, client=False)
        self.peers.append(peer)

        async def complete(number: int) -> None:
            with contextlib.suppress(h2.exceptions.ProtocolError, ConnectionError):
                await self.behave(peer, number)

        peer.complete = complete
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        try:
            await peer.pump()
        except asyncio.CancelledError:
            pass
        finally:
            self._tasks.discard(task)
            for one in list(peer.tasks):
                one.cancel()
            writer.close()

    async def stop(self) -> None:
        if self._server is not None:
            self._server.close()
        for task in list(self._tasks):
            task.cancel()
        if self._tasks:
            await asyncio.wait(self._tasks)
