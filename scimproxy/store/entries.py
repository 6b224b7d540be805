"""What stands in an ahead file: exchanges that were answered and are not in the database yet. Rows, bytes and back.

One rule: such a file is found on disk, and whatever can write there may have written it. It is read with types and
bounds, by a codec that makes plain values and nothing else; what does not fit ends the reading and raises nothing but
ValueError. An entry has a checksum that begins with a secret of its file, so that what a client put into a body is no
entry, wherever it comes to lie. What exchanges share is told once in a segment (see ahead.py), and numbered then.
"""

from __future__ import annotations

import hashlib
import struct
import zlib
from dataclasses import fields
from typing import Any

import msgspec

from scimproxy.exchange import EMPTY, Certificate, Connection, Content, Headers, Tls
from scimproxy.store.rows import (
    CONNECTION_PLACES,
    CONTENT_PLACES,
    EXCHANGE_COLUMNS,
    HEADER_PLACES,
    RUN_PLACE,
    UID_PLACE,
    connection_row,
)

__all__ = ["HEAD", "SHAPE", "Packer", "Unpacker", "checksum", "head_of", "sealed"]

HEAD = struct.Struct("<IIQ")
"""In front of each entry: how many bytes follow, their checksum, the number of the entry."""
_MOST = 1024
"""So many shared values are numbered before it begins anew."""

_FORMAT = 2
"""How entries are made; to be changed with whatever SHAPE does not see."""
SHAPE = int.from_bytes(
    hashlib.sha256(
        repr(
            (
                _FORMAT,
                EXCHANGE_COLUMNS,
                HEADER_PLACES,
                CONNECTION_PLACES,
                CONTENT_PLACES,
                [[(it.name, it.type) for it in fields(kind)] for kind in (Connection, Tls, Certificate)],
            )
        ).encode()
    ).digest()[:8]
)
"""What entries look like in this version, as a number: another's rows have their values in other places."""

type _Pairs = tuple[tuple[str, str], ...]

_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(
    tuple[
        bool,
        list[tuple[int, tuple[tuple[str, str], ...]]],
        list[tuple[int, Connection]],
        list[int | float | str | bool | tuple[bytes, int, str, bool] | None],
    ]
).decode


def checksum(number: int, data: bytes | memoryview, secret: int) -> int:
    """Return the checksum of an entry; `secret` has 32 bits."""
    return zlib.crc32(data, secret ^ (number & 0xFFFFFFFF))


def sealed(number: int, data: bytes, secret: int) -> bytes:
    """Return an entry's bytes with their head in front."""
    return HEAD.pack(len(data), checksum(number, data, secret), number) + data


def head_of(data: bytes | bytearray | memoryview, at: int) -> tuple[int, int, int]:
    """Return length, checksum and number of the entry at a place."""
    length, checksum, number = HEAD.unpack_from(data, at)
    return length, checksum, number


def _is_named(run_id: object, uid: object) -> bool:
    """Whether two values are a run's and an exchange's: they are looked up before the rest is stored."""
    return (run_id is None or (type(run_id) is int and 0 <= run_id < 2**63)) and (uid is None or type(uid) is str)


class Packer:
    """Turns loose rows (rows.py) into the bytes of entries."""

    def __init__(self) -> None:
        # Engines pass the same objects again and again; the object is kept, so that its id() stays its own.
        self._known: dict[int, tuple[Headers | Connection, int]] = {}
        self._anew = True

    def forget(self) -> None:
        """Begin to number anew: the next entry stands by itself."""
        self._known.clear()
        self._anew = True

    def pack(self, loose: list[Any]) -> bytes:
        """Return the bytes of a row, which is not changed.

        Raises:
            ValueError: or TypeError, OverflowError: a value that fits no column; the next entry stands by itself.
        """
        known = self._known
        if len(known) >= _MOST:
            self.forget()
        row = loose.copy()
        headers: list[tuple[int, _Pairs]] = []
        connections: list[tuple[int, Connection]] = []
        for at in HEADER_PLACES:
            shared = row[at]
            if shared is not None:
                found = known.get(id(shared))
                if found is None:
                    found = known[id(shared)] = (shared, len(known))
                    headers.append((found[1], shared.pairs))
                row[at] = found[1]
        for at in CONNECTION_PLACES:
            shared = row[at]
            if shared is not None:
                found = known.get(id(shared))
                if found is None:
                    self._check(shared)
                    found = known[id(shared)] = (shared, len(known))
                    connections.append((found[1], shared))
                row[at] = found[1]
        for at in CONTENT_PLACES:
            content = row[at]
            if content is EMPTY:
                row[at] = 0
            elif content is not None:
                row[at] = (content.data, content.size, content.sha256, content.redacted)
        anew, self._anew = self._anew, False
        try:
            return _encode((anew, headers, connections, row))
        except BaseException:
            self.forget()  # what was told with it stands nowhere
            raise

    def _check(self, connection: Connection) -> None:
        """Find out, before its first exchange is answered, whether a connection fits into a database."""
        try:
            connection_row(connection)
        except BaseException:
            self.forget()
            raise


class Unpacker:
    """Turns the bytes of entries into loose rows again, one after the other from the beginning of a segment."""

    def __init__(self) -> None:
        self._known: dict[int, Headers | Connection] = {}

    def unpack(self, data: bytes | memoryview) -> list[Any]:
        """Return the row of an entry.

        Raises:
            ValueError: it is none that a Packer made.
        """
        try:
            anew, headers, connections, row = _decode(data)
        except (msgspec.MsgspecError, ValueError, RecursionError) as exc:
            raise ValueError("this is no entry") from exc
        if len(row) != len(EXCHANGE_COLUMNS) or not _is_named(row[RUN_PLACE], row[UID_PLACE]):
            raise ValueError("this is no row")
        known = self._known
        if anew:
            known.clear()
        for number, pairs in headers:
            known[number] = Headers(pairs)
        known.update(connections)
        loose: list[Any] = row
        for places, kind in ((HEADER_PLACES, Headers), (CONNECTION_PLACES, Connection)):
            for at in places:
                if loose[at] is not None:
                    shared = known.get(loose[at])
                    if not isinstance(shared, kind):
                        raise ValueError("it speaks of what was not told")
                    loose[at] = shared
        for at in CONTENT_PLACES:
            content = loose[at]
            if content == 0:
                loose[at] = EMPTY
            elif type(content) is tuple:
                loose[at] = Content(*content)
            elif content is not None:
                raise ValueError("this is no content")
        return loose
