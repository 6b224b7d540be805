"""What travels between a recorder and its writing process: items one way, answers the other; bytes in, values out.

One rule: both ends are one program in one version, started by one another; this is no format for anybody else. What
exchanges share (headers, connections) is sent once and spoken of by number then; both ends forget at the same item.
Frames are marshal, which is several times faster than pickle on rows; what is rare and nested is pickled inside.
A big content goes in front of its row as it lies, so that neither end holds it twice.
"""

from __future__ import annotations

import marshal
import pickle
import struct
from collections import deque
from collections.abc import Iterator
from io import BytesIO
from typing import Any

from scimproxy.exchange import EMPTY, Connection, Content, Headers
from scimproxy.store.rows import CONNECTION_PLACES, CONTENT_PLACES, HEADER_PLACES

__all__ = ["Decoder", "Encoder", "Frames", "frame"]

_LENGTH = struct.Struct("<Q")
_APART = 1 << 63
"""Added to a length: what follows is a content as it lies, and no frame."""
_BIG = 65_536
"""A content of more bytes goes in front of its row."""
_MOST = 1024
"""So many shared values are numbered before both ends begin anew."""


def frame(value: list[Any] | tuple[Any, ...]) -> bytes:
    """Return a value as a frame.

    Raises:
        ValueError: it holds something that is neither a number, a text, bytes nor a list or tuple of such.
    """
    data = marshal.dumps(value)
    return _LENGTH.pack(len(data)) + data


class Frames:
    """Cuts what is received into the values that were sent; a content that goes alone is `[("apart", bytes)]`."""

    def __init__(self) -> None:
        self._buffer = bytearray()
        self._apart: BytesIO | None = None
        self._left = 0  # of what goes alone

    def feed(self, data: bytes | memoryview) -> Iterator[Any]:
        """Take bytes; give the values that are whole."""
        buffer = self._buffer
        rest = memoryview(data)
        while True:
            if self._apart is not None:
                taken = self._apart.write(rest[: self._left])
                self._left -= taken
                rest = rest[taken:]
                if self._left:
                    return
                whole, self._apart = self._apart.getvalue(), None  # no copy: the buffer itself
                yield [("apart", whole)]
                del whole
            buffer += rest
            at = 0
            try:
                while len(buffer) - at >= _LENGTH.size:
                    (length,) = _LENGTH.unpack_from(buffer, at)
                    if length & _APART:
                        at += _LENGTH.size
                        self._left = length - _APART
                        self._apart = BytesIO(bytes(self._left))
                        break
                    end = at + _LENGTH.size + length
                    if len(buffer) < end:
                        break
                    with memoryview(buffer) as view, view[at + _LENGTH.size : end] as inside:
                        value = marshal.loads(inside)  # noqa: S302 - from our own other end
                    at = end
                    yield value
            finally:  # also where who takes them raises: no value is given twice
                del buffer[:at]
            if self._apart is None:
                return
            rest = memoryview(bytes(buffer))
            buffer.clear()


class Encoder:
    """Turns items into plain values."""

    def __init__(self) -> None:
        # Engines pass the same objects again and again; the object is kept, so that its id() stays its own.
        self._known: dict[int, tuple[Headers | Connection, int]] = {}
        self._new: list[tuple[Any, ...]] = []

    def forget(self) -> None:
        """Begin to number anew, at both ends."""
        self._known.clear()
        self._new = [("forget",)]

    def row(self, kind: str, loose: list[Any]) -> list[bytes]:
        """Return what is to be sent for a loose row, its frame last; the row is changed.

        Raises:
            ValueError: it holds a value of a foreign type.
        """
        if len(self._known) >= _MOST:
            self.forget()
        for at in HEADER_PLACES:
            shared = loose[at]
            if shared is not None:
                known = self._known.get(id(shared))
                loose[at] = known[1] if known is not None else self._number("headers", shared, shared.pairs)
        for at in CONNECTION_PLACES:
            shared = loose[at]
            if shared is not None:
                known = self._known.get(id(shared))
                loose[at] = known[1] if known is not None else self._number("connection", shared, pickled(shared))
        parts: list[bytes] = []
        for at in CONTENT_PLACES:
            content = loose[at]
            if content is EMPTY:
                loose[at] = ()
            elif content is not None:
                data = content.data
                if type(data) is bytes and len(data) > _BIG:
                    parts += (_LENGTH.pack(len(data) + _APART), data)
                    data = None
                loose[at] = (data, content.size, content.sha256, content.redacted)
        told, self._new = self._new, []
        try:
            parts.append(frame([*told, (kind, loose)]))
        except ValueError:
            self.forget()  # what was told with it is not known at the other end
            raise
        return parts

    def _number(self, kind: str, shared: Headers | Connection, plain: object) -> int:
        number = len(self._known)
        self._known[id(shared)] = (shared, number)
        self._new.append((kind, number, plain))
        return number


def pickled(value: object) -> bytes:
    """Return a value of our own types as bytes."""
    return pickle.dumps(value, pickle.HIGHEST_PROTOCOL)


class Decoder:
    """Turns plain values into items again; the other end of an Encoder."""

    def __init__(self) -> None:
        self._known: dict[int, Headers | Connection] = {}
        self._apart: deque[bytes] = deque()

    def learn(self, kind: str, *told: Any) -> None:  # noqa: ANN401 - as the encoder sent it
        """Take what is shared, or a content whose row comes next."""
        if kind == "apart":
            self._apart.append(told[0])
        elif kind == "forget":
            self._known.clear()
        elif kind == "headers":
            self._known[told[0]] = Headers(told[1])
        else:
            self._known[told[0]] = pickle.loads(told[1])  # noqa: S301 - from the process that started this one

    def row(self, loose: list[Any]) -> list[Any]:
        """Return the loose row that was sent; it is changed."""
        known = self._known
        for at in (*HEADER_PLACES, *CONNECTION_PLACES):
            number = loose[at]
            if number is not None:
                loose[at] = known[number]
        for at in CONTENT_PLACES:
            content = loose[at]
            if content is not None:
                if content and content[0] is None:
                    content = (self._apart.popleft(), *content[1:])
                loose[at] = Content(*content) if content else EMPTY
        return loose
