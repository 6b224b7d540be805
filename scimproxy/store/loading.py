"""Exchanges out of rows, with what they share: headers, contents, connections. Used by reader and deriver.

One rule: it only reads, on the connection it is given. Values of rows never change, so they are kept for a while.
"""

from __future__ import annotations

import sqlite3
import zlib
from collections.abc import Sequence

from scimproxy.exchange import Connection, Content, Exchange, Headers
from scimproxy.store.rows import certificate_from_row, connection_from_row, exchange_from_row, headers_from_text

__all__ = ["COMPRESSED", "Loader"]

COMPRESSED = "zlib"
"""What contents.encoding says of compressed data."""

_KEPT = 256
_KEPT_BYTES = 64 * 1024


class Loader:
    """Reads whole exchanges; one for each connection, used by one thread at a time."""

    def __init__(self, conn: sqlite3.Connection) -> None:
        self._cursor = conn.cursor()
        self._cursor.row_factory = sqlite3.Row
        self._headers: dict[int, Headers] = {}
        self._contents: dict[int, Content] = {}

    def forget(self) -> None:
        """Drop what is kept: row ids may be given again after a prune."""
        self._headers.clear()
        self._contents.clear()

    def exchanges(self, ids: Sequence[int], *, with_connections: bool = True) -> list[Exchange]:
        """Return the exchanges with these ids that exist, in the order of the ids."""
        if not ids:
            return []
        rows = {
            row["id"]: row
            for row in self._cursor.execute(
                "SELECT e.*, o.client AS derived_client FROM exchanges e"  # noqa: S608 - question marks only
                f" LEFT JOIN operations o ON o.exchange_id = e.id WHERE e.id IN (?{', ?' * (len(ids) - 1)})",
                tuple(ids),
            ).fetchall()
        }
        found = []
        known: dict[int, Connection] = {}
        for number in ids:
            row = rows.get(number)
            if row is None:
                continue
            connections: tuple[Connection | None, Connection | None] = (None, None)
            if with_connections:
                connections = (
                    self._connection(row["client_connection_id"], known),
                    self._connection(row["upstream_connection_id"], known),
                )
            client = row["client"] if row["client"] is not None else row["derived_client"]
            found.append(exchange_from_row(row, self, connections, client))
        return found

    def headers(self, number: int) -> Headers:
        """Return the fields of a row of headers."""
        found = self._headers.get(number)
        if found is None:
            (text,) = self._cursor.execute("SELECT fields FROM headers WHERE id = ?", (number,)).fetchone()
            found = headers_from_text(text)
            if len(self._headers) >= _KEPT:
                self._headers.clear()
            self._headers[number] = found
        return found

    def content(self, number: int) -> Content:
        """Return the content of a row of contents."""
        found = self._contents.get(number)
        if found is None:
            row = self._cursor.execute("SELECT * FROM contents WHERE id = ?", (number,)).fetchone()
            data = zlib.decompress(row["data"]) if row["encoding"] == COMPRESSED else row["data"]
            found = Content(data=data, size=row["size"], sha256=row["sha256"], redacted=bool(row["redacted"]))
            if len(data) <= _KEPT_BYTES:
                if len(self._contents) >= _KEPT:
                    self._contents.clear()
                self._contents[number] = found
        return found

    def connections(self, run_id: int) -> list[Connection]:
        """Return the connections of a run, in the order they were first seen."""
        rows = self._cursor.execute("SELECT * FROM connections WHERE run_id = ? ORDER BY id", (run_id,)).fetchall()
        return [self._with_chain(row) for row in rows]

    def _connection(self, number: int | None, known: dict[int, Connection]) -> Connection | None:
        if number is None:
            return None
        if number not in known:
            row = self._cursor.execute("SELECT * FROM connections WHERE id = ?", (number,)).fetchone()
            known[number] = self._with_chain(row)
        return known[number]

    def _with_chain(self, row: sqlite3.Row) -> Connection:
        chain = []
        if row["tls"]:
            chain = self._cursor.execute(
                "SELECT c.* FROM connection_certificates JOIN certificates c ON sha256 = certificate_sha256"
                " WHERE connection_id = ? ORDER BY position",
                (row["id"],),
            ).fetchall()
        return connection_from_row(row, map(certificate_from_row, chain))
