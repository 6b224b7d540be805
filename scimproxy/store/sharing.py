"""Rows that exchanges share: headers, contents, connections, certificates. Values in, row ids out.

One rule: used by the writer inside its transaction only. New rows are collected and written by `flush`, in one
statement for each table; `forget` throws all knowledge away after a rollback, or when another process wrote.
"""

from __future__ import annotations

import sqlite3
from typing import Any

from scimproxy.exchange import Connection, Content, Headers
from scimproxy.store.pieces import PIECE, fill, lean, pieces
from scimproxy.store.rows import CONNECTION_COLUMNS, certificate_row, connection_row, headers_text

__all__ = ["Sharing"]

_CONNECTION_SQL = (
    f"INSERT INTO connections (id, run_id, {', '.join(CONNECTION_COLUMNS)}) "  # noqa: S608 - our own column names
    f"VALUES (?, ?{', ?' * len(CONNECTION_COLUMNS)})"
)
# What is known of a connection only grows: an older snapshot arriving late takes nothing back.
_CONNECTION_UPDATE_SQL = (
    "UPDATE connections SET "  # noqa: S608 - our own column names
    + ", ".join(
        f"{name} = max(coalesce({name}, :{name}), coalesce(:{name}, {name}))"
        if name in {"exchanges", "tls"}
        else f"{name} = coalesce(:{name}, {name})"
        for name in CONNECTION_COLUMNS
    )
    + " WHERE id = :id"
)

_CONTENT_SQL = "INSERT INTO contents (id, sha256, size, stored_size, redacted, data) VALUES (?, ?, ?, ?, ?, {})"

_BIG = 16_384
"""From so many bytes on an equal content is looked for in the whole database (index contents_big)."""


class _Cache[K, V]:
    """A bounded dictionary that forgets what was not asked for lately: two generations, no bookkeeping on a hit."""

    __slots__ = ("_most", "_old", "_young")

    def __init__(self, most: int) -> None:
        self._most = most // 2
        self._young: dict[K, V] = {}
        self._old: dict[K, V] = {}

    def get(self, key: K) -> V | None:
        found = self._young.get(key)
        if found is None and (found := self._old.get(key)) is not None:
            self[key] = found
        return found

    def __setitem__(self, key: K, value: V) -> None:
        if len(self._young) >= self._most:
            self._old, self._young = self._young, {}
        self._young[key] = value

    def clear(self) -> None:
        self._young.clear()
        self._old.clear()


def _older(one: Connection, other: Connection) -> bool:
    """Whether one is a snapshot from before the other."""
    if other.closed_at is not None and one.closed_at is None:
        return True
    return (one.exchanges or 0) < (other.exchanges or 0)


type _ConnectionKey = tuple[int, str, str]


class Sharing:
    """The row ids of what exchanges share; see the module."""

    def __init__(self, conn: sqlite3.Connection) -> None:
        self._conn = conn
        self._headers: _Cache[tuple[tuple[str, str], ...], int] = _Cache(1024)
        self._contents: _Cache[tuple[str, int, int, bool], int] = _Cache(4096)
        self._connections: _Cache[_ConnectionKey, tuple[int, Connection]] = _Cache(4096)
        self._new_headers: list[tuple[int, str]] = []
        self._new_contents: list[tuple[Any, ...]] = []
        self._changed: dict[_ConnectionKey, Connection] = {}
        self._next_header = self._next_content = self._next_connection = 1

    def forget(self) -> None:
        """Forget all ids, and what was collected but not written. Changes of connections are kept."""
        self._headers.clear()
        self._contents.clear()
        self._connections.clear()
        self._new_headers.clear()
        self._new_contents.clear()

    def refresh(self) -> None:
        """Read the next free ids, after `forget` and inside a transaction."""
        self._next_header, self._next_content, self._next_connection = self._conn.execute(
            "SELECT (SELECT coalesce(max(id), 0) + 1 FROM headers), (SELECT coalesce(max(id), 0) + 1 FROM contents),"
            " (SELECT coalesce(max(id), 0) + 1 FROM connections)"
        ).fetchone()

    def headers(self, headers: Headers) -> int:
        """Return the row of these fields."""
        pairs = headers.pairs
        number = self._headers.get(pairs)
        if number is None:
            number = self._next_header
            self._new_headers.append((number, headers_text(headers)))
            self._headers[pairs] = number
            self._next_header = number + 1
        return number

    def content(self, content: Content) -> int:
        """Return the row of this content; equal ones (by sha256) share one, small ones only if seen lately."""
        sha256, size, data, redacted = content.sha256, content.size, content.data, content.redacted
        key = (sha256, size, len(data), redacted)
        number = self._contents.get(key) if sha256 else None
        if number is not None:
            return number
        if sha256 and len(data) > _BIG:
            found = self._conn.execute(
                "SELECT id FROM contents WHERE sha256 = ? AND size = ? AND stored_size = ? AND redacted = ?"
                " AND stored_size > 16384",
                key,
            ).fetchone()
            if found is not None:
                number = int(found[0])
                self._contents[key] = number
                return number
        number = self._next_content
        self._new_contents.append((number, sha256, size, len(data), redacted, data))
        if sha256:
            self._contents[key] = number
        self._next_content = number + 1
        return number

    def connection(self, run_id: int, connection: Connection) -> int:
        """Return the row of this connection; what changed since it was last seen is written by `update`."""
        key = (run_id, connection.side, connection.uid)
        known = self._connections.get(key)
        if known is None:
            found = self._conn.execute(
                "SELECT id FROM connections WHERE run_id = ? AND side = ? AND uid = ?", key
            ).fetchone()
            if found is None:
                number = self._next_connection
                self._insert_connection(number, run_id, connection)
                self._next_connection = number + 1
            else:
                number = int(found[0])
                self._changed[key] = connection
        else:
            number, last = known
            if last is connection or last == connection or _older(connection, last):
                return number
            self._changed[key] = connection
        self._connections[key] = (number, connection)
        return number

    def knows(self, run_id: int, connection: Connection) -> bool:
        """Whether this connection was seen in that run lately."""
        return self._connections.get((run_id, connection.side, connection.uid)) is not None

    @property
    def changed(self) -> bool:
        """Whether there are changes of connections to `update`."""
        return bool(self._changed)

    def update(self) -> None:
        """Write what changed in connections since they were first seen."""
        for key, connection in self._changed.items():
            found = self._conn.execute(
                "SELECT id, tls FROM connections WHERE run_id = ? AND side = ? AND uid = ?", key
            ).fetchone()
            if found is None:  # the group that would have made it was rolled back, or it was pruned
                continue
            values = dict(zip(CONNECTION_COLUMNS, connection_row(connection), strict=True))
            self._conn.execute(_CONNECTION_UPDATE_SQL, {**values, "id": found[0]})
            if connection.tls is not None and not found[1]:
                self._insert_chain(found[0], connection)
        self._changed.clear()

    def flush(self) -> None:
        """Write the rows collected."""
        if self._new_headers:
            self._conn.executemany("INSERT INTO headers (id, fields) VALUES (?, ?)", self._new_headers)
            self._new_headers.clear()
        if self._new_contents:
            small = [row for row in self._new_contents if row[3] <= PIECE]
            big = (
                [row for row in self._new_contents if row[3] > PIECE] if len(small) < len(self._new_contents) else []
            )
            self._new_contents.clear()
            self._conn.executemany(_CONTENT_SQL.format("?"), small)
            for *fields, data in big:
                with lean(self._conn):
                    self._conn.execute(_CONTENT_SQL.format("zeroblob(?)"), (*fields, len(data)))
                    fill(self._conn, fields[0], pieces(data))

    def _insert_connection(self, number: int, run_id: int, connection: Connection) -> None:
        self._conn.execute(_CONNECTION_SQL, (number, run_id, *connection_row(connection)))
        self._insert_chain(number, connection)

    def _insert_chain(self, number: int, connection: Connection) -> None:
        for position, certificate in enumerate(connection.tls.chain if connection.tls else ()):
            self._conn.execute(
                "INSERT INTO certificates VALUES (?, ?, ?, ?, ?, ?, ?) ON CONFLICT DO NOTHING",
                certificate_row(certificate),
            )
            self._conn.execute(
                "INSERT INTO connection_certificates VALUES (?, ?, ?) ON CONFLICT DO NOTHING",
                (number, position, certificate.sha256),
            )
