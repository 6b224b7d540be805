"""Exchanges out of rows, with what they share: headers, contents, connections. Used by reader and deriver.

One rule: it only reads, on the connection it is given. Values of rows never change, so they are kept for a while.
"""

from __future__ import annotations

import sqlite3
import zlib
from collections.abc import Iterator, Sequence

from scimproxy.exchange import Connection, Content, Exchange, Headers, Request, Response
from scimproxy.store.pieces import COMPRESSED, PIECE, moment, read
from scimproxy.store.rows import (
    CONTENT_PLACES,
    EXCHANGE_COLUMNS,
    certificate_from_row,
    connection_from_row,
    exchange_from_row,
    headers_from_text,
)

__all__ = ["Loader"]

_BEGINNING = 1024 * 1024 + 1
"""So much of a big content `begun` gives: more than whoever derives something from it looks at."""
_CONTENT_SQL = (
    "SELECT size, sha256, redacted, encoding, iif(stored_size <= ?, data, NULL) AS data FROM contents WHERE id = ?"
)
_CONTENTS_SQL = (
    "SELECT id, data, size, sha256, redacted FROM contents WHERE stored_size <= ? AND encoding IS NULL AND id IN"
)
_COLUMNS = ", ".join(f"e.{name}" for name in EXCHANGE_COLUMNS)
_AHEAD = 64 * 1024
"""Contents of so many stored bytes are read with their neighbours."""

_KEPT = 256
_KEPT_BYTES = 64 * 1024


class Loader:
    """Reads whole exchanges; one for each connection, used by one thread at a time."""

    def __init__(self, conn: sqlite3.Connection) -> None:
        self._conn = conn
        self._cursor = conn.cursor()
        self._cursor.row_factory = sqlite3.Row
        self._headers: dict[int, Headers] = {}
        self._contents: dict[int, Content] = {}
        self._ahead: dict[int, Content] = {}
        self._most: int | None = None

    def forget(self) -> None:
        """Drop what is kept: row ids may be given again after a prune."""
        self._headers.clear()
        self._contents.clear()

    def exchanges(self, ids: Sequence[int], *, with_connections: bool = True) -> list[Exchange]:
        """Return the exchanges with these ids that exist, in the order of the ids."""
        known: dict[int, Connection] | None = {} if with_connections else None
        rows = self._rows(ids)
        self._ahead = self._small([row[at] for row in rows for at in CONTENT_PLACES])
        try:
            return [self._exchange(row, known) for row in rows]
        finally:
            self._ahead = {}

    def begun(self, ids: Sequence[int]) -> Iterator[Exchange]:
        """Give exchanges as far as their meaning and a search need them: one by one, of big contents the beginning.

        Contents that are coded come whole, because what they decode to cannot be told from their beginning.
        """
        for row in self._rows(ids):
            self._most = _BEGINNING
            try:
                exchange = self._exchange(row)
            finally:
                self._most = None
            answer = exchange.response
            if _is_coded(exchange.request) or (answer is not None and _is_coded(answer)):
                exchange = self._exchange(row)
            yield exchange

    def _rows(self, ids: Sequence[int]) -> list[sqlite3.Row]:
        if not ids:
            return []
        rows = {
            row["id"]: row
            for row in self._cursor.execute(
                f"SELECT {_COLUMNS}, o.client AS derived_client FROM exchanges e"  # noqa: S608 - our words only
                f" LEFT JOIN operations o ON o.exchange_id = e.id WHERE e.id IN (?{', ?' * (len(ids) - 1)})",
                tuple(ids),
            ).fetchall()
        }
        return [rows[number] for number in ids if number in rows]

    def _exchange(self, row: sqlite3.Row, known: dict[int, Connection] | None = None) -> Exchange:
        connections: tuple[Connection | None, Connection | None] = (None, None)
        if known is not None:
            connections = (
                self._connection(row["client_connection_id"], known),
                self._connection(row["upstream_connection_id"], known),
            )
        client = row["client"] if row["client"] is not None else row["derived_client"]
        return exchange_from_row(row, self, connections, client)

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
        found = self._contents.get(number) or self._ahead.get(number)
        if found is None:
            row = self._cursor.execute(_CONTENT_SQL, (PIECE, number)).fetchone()
            data = row["data"]
            if data is None:
                data = self._big(number)
            elif row["encoding"] == COMPRESSED:
                data = zlib.decompress(data)
            found = Content(data=data, size=row["size"], sha256=row["sha256"], redacted=bool(row["redacted"]))
            if len(data) <= _KEPT_BYTES and row["data"] is not None:  # a big one may be a beginning only
                if len(self._contents) >= _KEPT:
                    self._contents.clear()
                self._contents[number] = found
        return found

    def _small(self, numbers: list[int | None]) -> dict[int, Content]:
        """Return those of these contents that are small and not compressed: in one query, as there are many."""
        wanted = tuple({one for one in numbers if one is not None and one not in self._contents})
        if len(wanted) < 2:
            return {}
        marks = f"(?{', ?' * (len(wanted) - 1)})"
        rows = self._conn.execute(f"{_CONTENTS_SQL} {marks}", (_AHEAD, *wanted)).fetchall()
        return {number: Content(data, size, sha256, bool(redacted)) for number, data, size, sha256, redacted in rows}

    def _big(self, number: int) -> bytes:
        with moment(self._conn):
            row = self._cursor.execute("SELECT encoding FROM contents WHERE id = ?", (number,)).fetchone()
            return read(self._conn, number, encoding=row["encoding"], most=self._most)

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


def _is_coded(message: Request | Response) -> bool:
    return message.content.truncated and "content-encoding" in message.headers
