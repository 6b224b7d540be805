"""The derived rows: what an exchange means, who called, and the search index. Made in steps, off the hot path.

One rule: they can be deleted and made again. `progress.derived_seq` says up to which write they are made; whoever
steps holds the write lock, so two processes never do the same work. In the same step big contents are compressed.
"""

from __future__ import annotations

import contextlib
import math
import sqlite3
import time
from collections.abc import Callable
from pathlib import Path

from scimproxy.exchange import Exchange
from scimproxy.store.connecting import connect_upkeep
from scimproxy.store.loading import Loader
from scimproxy.store.pieces import compress
from scimproxy.store.schema import DERIVE_VERSION

__all__ = [
    "OPERATION_COLUMNS",
    "behind",
    "catch_up",
    "forget",
    "operation_row",
    "outdated",
    "remove",
    "searchable_text",
    "step",
]

OPERATION_COLUMNS = (
    "exchange_id", "kind", "is_scim", "resource_type", "resource_id", "resource_name", "version", "filter", "summary",
    "client",
)  # fmt: skip

_SAVE = (
    f"REPLACE INTO operations ({', '.join(OPERATION_COLUMNS)}) "  # noqa: S608 - our own column names
    f"VALUES (?{', ?' * (len(OPERATION_COLUMNS) - 1)})"
)

_STEP = 200


def forget(conn: sqlite3.Connection) -> None:
    """Delete all derived rows, inside the caller's transaction."""
    conn.execute("DELETE FROM operations")
    conn.execute("INSERT INTO search_index (search_index) VALUES ('delete-all')")
    conn.execute("REPLACE INTO progress VALUES ('derived_seq', 0), ('derive_version', ?)", (DERIVE_VERSION,))


def behind(conn: sqlite3.Connection) -> bool:
    """Whether there are exchanges without derived rows."""
    return bool(
        conn.execute(
            "SELECT EXISTS (SELECT 1 FROM exchanges WHERE seq >"
            " (SELECT value FROM progress WHERE name = 'derived_seq'))"
        ).fetchone()[0]
    )


def step(conn: sqlite3.Connection, most: int, *, within_s: float = math.inf) -> int:
    """Derive the next exchanges, inside the caller's transaction; return how many were looked at.

    At most so many, and no more once so many seconds have passed; but one at least.
    """
    until = time.monotonic() + within_s
    if outdated(conn):
        forget(conn)
    found = conn.execute(
        "SELECT seq, id, (SELECT 1 FROM operations WHERE exchange_id = id), state FROM exchanges WHERE seq > ?"
        " ORDER BY seq LIMIT ?",
        (conn.execute("SELECT value FROM progress WHERE name = 'derived_seq'").fetchone()[0], most),
    ).fetchall()
    if not found:
        return 0
    # A pending exchange gets its rows when it ends; what a search finds in it until then, search.py looks for itself.
    ready = {number: known for _, number, known, state in found if state != "pending"}
    done = len(found)
    for exchange in Loader(conn).begun(list(ready)):
        assert exchange.id is not None
        conn.execute(_SAVE, operation_row(exchange))
        if not ready[exchange.id]:  # the text is made of what travelled, which does not change any more
            conn.execute(
                "INSERT INTO search_index (rowid, text) VALUES (?, ?)", (exchange.id, searchable_text(exchange))
            )
            _compress(conn, exchange.id)
        if time.monotonic() > until:
            done = 1 + [number for _, number, _, _ in found].index(exchange.id)
            break
    conn.execute("UPDATE progress SET value = ? WHERE name = 'derived_seq'", (found[done - 1][0],))
    return done


def _compress(conn: sqlite3.Connection, number: int) -> None:
    for content in conn.execute(
        "SELECT request_content_id, response_content_id FROM exchanges WHERE id = ?", (number,)
    ).fetchone():
        if content is not None:
            compress(conn, content)


def catch_up(path: Path, progress: Callable[[int], None] | None = None) -> bool:
    """Derive all that is missing on a connection of its own, letting recorders in between; see Reader.catch_up."""
    done = 0
    with contextlib.closing(connect_upkeep(path)) as conn:
        while True:
            conn.execute("BEGIN IMMEDIATE")
            count = step(conn, _STEP)
            conn.execute("COMMIT")
            if not count:
                return True
            done += count
            if progress is not None:
                progress(done)


def operation_row(exchange: Exchange) -> tuple[object, ...]:
    """Return the values of OPERATION_COLUMNS."""
    from scimproxy.clients import identify  # noqa: PLC0415 - keeps them out of programs that only read
    from scimproxy.scim.message import operation_of  # noqa: PLC0415 - as above

    op = operation_of(exchange)
    return (
        exchange.id, op.kind, op.is_scim, op.resource_type, op.resource_id, op.resource_name, op.version, op.filter,
        op.summary, identify(exchange.request),
    )  # fmt: skip


def searchable_text(exchange: Exchange) -> str:
    """Return the text that a search looks in (query.py says what belongs to it)."""
    from scimproxy.query import searchable_text as text  # noqa: PLC0415 - as above

    return text(exchange)


def outdated(conn: sqlite3.Connection) -> bool:
    """Whether the derived rows were made by another version of this module."""
    (version,) = conn.execute("SELECT value FROM progress WHERE name = 'derive_version'").fetchone()
    return bool(version != DERIVE_VERSION)


def remove(conn: sqlite3.Connection, loader: Loader, ids: list[int]) -> None:
    """Take exchanges out of the derived tables; the search index needs their text for that."""
    indexed = [
        number
        for number in ids
        if conn.execute("SELECT 1 FROM operations WHERE exchange_id = ?", (number,)).fetchone()
    ]
    for exchange in loader.begun(indexed):
        conn.execute(
            "INSERT INTO search_index (search_index, rowid, text) VALUES ('delete', ?, ?)",
            (exchange.id, searchable_text(exchange)),
        )
        conn.execute("DELETE FROM operations WHERE exchange_id = ?", (exchange.id,))
