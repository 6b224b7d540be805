"""Big contents in and out of their rows piece by piece: SQLite and its driver would each hold a whole one once more.

One rule: inside the caller's transaction, or a short one of its own where there is none, because the way in which a
content lies (as it came, or compressed) must not change while it is read.
"""

from __future__ import annotations

import contextlib
import sqlite3
import zlib
from collections.abc import Iterable, Iterator
from io import BytesIO

__all__ = ["COMPRESSED", "PIECE", "compress", "fill", "lean", "moment", "pieces", "read"]

COMPRESSED = "zlib"
"""What contents.encoding says of compressed data."""

PIECE = 512 * 1024
"""A content of more bytes is big; it is read and written in pieces of this size."""

_LEAN = -1000
"""In KiB, as SQLite has it."""

_COMPRESS_FROM = 4096
"""Contents of at least so many bytes are compressed, where that saves a tenth.

Measured on SCIM lists: 4.5 KB become 17 % in 64 us, 1.2 MB become 11 % in 5 ms; level 6 saves one point more for
twice the time. Smaller ones lie inside a page, where shrinking them frees nothing.
"""
_COMPRESS_LEVEL = 1


def pieces(data: bytes) -> Iterator[memoryview]:
    """Return a content in pieces, without a copy."""
    view = memoryview(data)
    for at in range(0, len(view), PIECE):
        yield view[at : at + PIECE]


@contextlib.contextmanager
def moment(conn: sqlite3.Connection) -> Iterator[None]:
    """See one state of the database inside the block."""
    ours = not conn.in_transaction
    if ours:
        conn.execute("BEGIN")
    try:
        yield
    finally:
        if ours:
            conn.rollback()  # nothing was written


@contextlib.contextmanager
def lean(conn: sqlite3.Connection) -> Iterator[None]:
    """Let SQLite keep few pages inside the block: those of a big content are not needed again."""
    (usual,) = conn.execute("PRAGMA cache_size").fetchone()
    conn.execute(f"PRAGMA cache_size = {_LEAN}")
    try:
        yield
    finally:
        conn.execute(f"PRAGMA cache_size = {usual}")


def fill(conn: sqlite3.Connection, number: int, parts: Iterable[bytes | memoryview]) -> None:
    """Write the data of a row of contents, which holds as many zeros (zeroblob) already."""
    with conn.blobopen("contents", "data", number) as blob:
        for part in parts:
            blob.write(part)


def read(conn: sqlite3.Connection, number: int, *, encoding: str | None, most: int | None = None) -> bytes:
    """Return the data of a row of contents, at most so many bytes of it, decompressed; inside a `moment`."""
    with lean(conn), conn.blobopen("contents", "data", number, readonly=True) as blob:
        if encoding != COMPRESSED:
            return blob.read() if most is None else blob.read(most)
        inflater = zlib.decompressobj()
        data = BytesIO()
        while part := blob.read(PIECE):
            while part and (most is None or data.tell() < most):
                data.write(inflater.decompress(part, PIECE))
                part = inflater.unconsumed_tail
        if most is None or data.tell() < most:
            data.write(inflater.flush())
        if most is not None:
            data.truncate(most)
        return data.getvalue()


def compress(conn: sqlite3.Connection, number: int) -> None:
    """Compress a content where that is worth it and not done: off the hot path, because it costs more than pages."""
    size, encoding, sha256 = conn.execute(
        "SELECT length(data), encoding, sha256 FROM contents WHERE id = ?", (number,)
    ).fetchone()
    if encoding is not None or size < _COMPRESS_FROM or not sha256:
        return
    with lean(conn) if size > PIECE else contextlib.nullcontext():
        deflater = zlib.compressobj(_COMPRESS_LEVEL)
        small: list[bytes] = []
        with conn.blobopen("contents", "data", number, readonly=True) as blob:
            while part := blob.read(PIECE):
                small.append(deflater.compress(part))
        small.append(deflater.flush())
        total = sum(map(len, small))
        if total < 0.9 * size:
            conn.execute(
                "UPDATE contents SET encoding = ?, data = zeroblob(?) WHERE id = ?", (COMPRESSED, total, number)
            )
            fill(conn, number, small)
