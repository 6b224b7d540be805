"""The framing between an ngrok agent and ngrok's servers, as a server speaks it: many streams in one connection.

A frame is an 8 byte head (24 bits length, 4 bits type, 4 bits flags, 32 bits stream), big-endian, and a body. Our
streams have even numbers, the agent's odd ones. Each stream has a window; what was read is given back. Learned from
ngrok's open client libraries (github.com/ngrok/ngrok-rust); the code is ours.
"""

from __future__ import annotations

import asyncio
import itertools
import json
import struct
from collections.abc import Awaitable, Callable
from typing import Any

RST, DATA, WNDINC, GOAWAY = 0, 1, 2, 3
FIN, SYN = 1, 2
WINDOW = 0x40000
PIECE = 16 * 1024


class Stream:
    """One stream: read, write with back-pressure, end."""

    def __init__(self, mux: Mux, number: int, *, ours: bool) -> None:
        self.mux = mux
        self.number = number
        self._buffer = bytearray()
        self._ended = False
        self._came = asyncio.Event()
        self._window = WINDOW
        self._room = asyncio.Event()
        self._first = ours
        self.closed = False

    def feed(self, data: bytes, *, last: bool) -> None:
        self._buffer += data
        self._ended = self._ended or last
        self._came.set()

    def widen(self, by: int) -> None:
        self._window += by
        self._room.set()

    def abort(self) -> None:
        self.closed = True
        self.feed(b"", last=True)
        self._room.set()

    async def read(self, most: int = 65536) -> bytes:
        while not self._buffer and not self._ended:
            self._came.clear()
            await self._came.wait()
        data = bytes(self._buffer[:most])
        del self._buffer[: len(data)]
        if data and not self._ended:
            self.mux.send(WNDINC, 0, self.number, struct.pack(">I", len(data)))
        return data

    async def exactly(self, count: int) -> bytes:
        data = b""
        while len(data) < count:
            piece = await self.read(count - len(data))
            if not piece:
                raise EOFError
            data += piece
        return data

    async def document(self) -> dict[str, Any]:
        text = b""
        while piece := await self.read():
            text += piece
            try:
                found: dict[str, Any] = json.JSONDecoder().raw_decode(text.decode())[0]
            except ValueError:
                continue
            return found
        raise EOFError

    async def write(self, data: bytes, *, last: bool = False) -> None:
        rest = memoryview(data)
        while True:
            while self._window <= 0 and not self.closed:
                self._room.clear()
                await self._room.wait()
            if self.closed:
                raise ConnectionResetError
            piece, rest = rest[: min(self._window, PIECE)], rest[min(self._window, PIECE) :]
            self._window -= len(piece)
            flags = (SYN if self._first else 0) | (FIN if last and not rest else 0)
            self._first = False
            if piece or flags:
                self.mux.send(DATA, flags, self.number, bytes(piece))
            await self.mux.writer.drain()
            if not rest:
                return


class Mux:
    """A connection with an agent; `serve` is called for each stream that the agent opens."""

    def __init__(
        self,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        serve: Callable[[Stream], Awaitable[None]],
    ) -> None:
        self.writer = writer
        self._reader = reader
        self._serve = serve
        self._numbers = itertools.count(2, 2)
        self._streams: dict[int, Stream] = {}
        self._tasks: set[asyncio.Task[None]] = set()

    def send(self, kind: int, flags: int, number: int, body: bytes = b"") -> None:
        if self.writer.is_closing():
            raise ConnectionResetError("the agent's connection is closed")
        self.writer.write(struct.pack(">II", (len(body) << 8) | (kind << 4) | flags, number) + body)

    def open(self) -> Stream:
        stream = Stream(self, next(self._numbers), ours=True)
        self._streams[stream.number] = stream
        return stream

    def drop(self, stream: Stream) -> None:
        self._streams.pop(stream.number, None)

    async def run(self) -> None:
        """Read frames until the connection ends."""
        try:
            while True:
                first, number = struct.unpack(">II", await self._reader.readexactly(8))
                body = await self._reader.readexactly(first >> 8)
                kind, flags, number = (first >> 4) & 15, first & 15, number & 0x7FFFFFFF
                if kind == GOAWAY:
                    return
                self._frame(kind, flags, number, body)
        except (asyncio.IncompleteReadError, OSError):
            return
        finally:
            for stream in self._streams.values():
                stream.abort()
            for task in self._tasks:
                task.cancel()
            await asyncio.gather(*self._tasks, return_exceptions=True)

    def _frame(self, kind: int, flags: int, number: int, body: bytes) -> None:
        if kind == DATA and flags & SYN:
            stream = self._streams[number] = Stream(self, number, ours=False)
            task = asyncio.ensure_future(self._serve(stream))
            self._tasks.add(task)  # type: ignore[arg-type]
            task.add_done_callback(self._tasks.discard)
        known = self._streams.get(number)
        if known is None:
            return
        if kind == DATA:
            known.feed(body, last=bool(flags & FIN))
        elif kind == WNDINC:
            known.widen(struct.unpack(">I", body)[0])
        elif kind == RST:
            self.drop(known)
            known.abort()
