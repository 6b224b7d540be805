"""Which runs are shareable: a row with the hash of the link's secret part makes one so, its absence private.

One rule: the secret itself is stored nowhere; it is told once, when the link is made, and only compared afterwards.
A link is asked for anew at each request, so that a run that is private again cannot be read from then on. A link
whose listener's process is gone, however it ended, is dead too: a listener that comes later does not revive it.
"""

from __future__ import annotations

import contextlib
import hashlib
import hmac
import sqlite3
from dataclasses import dataclass
from pathlib import Path

from scimproxy.store.connecting import connect_reader, translated
from scimproxy.store.known import require_run
from scimproxy.store.process import is_gone, this_process
from scimproxy.store.rows import from_iso, to_iso
from scimproxy.store.writer import Store

__all__ = ["Share", "clear_dead", "find_share", "share_run", "shares", "unshare_run"]

_SINCE = 5
"""The schema that says who serves a link; older files hold none that works."""


@dataclass(frozen=True, slots=True)
class Share:
    """A run that is shareable; times are Unix seconds, `expires_at` None is without end."""

    run_id: int
    token_sha256: str
    keep_names: bool
    created_at: float
    expires_at: float | None
    served: bool = True
    """Whether the process lives whose listener serves it."""

    def open_at(self, now: float) -> bool:
        """Whether the link works at that moment."""
        return self.expires_at is None or now < self.expires_at


def share_run(db: Path, run_id: int, token: str, *, keep_names: bool, now: float, expires_at: float | None) -> None:
    """Make a run shareable by a token, as long as this process lives; a link that it had before is dead.

    Raises:
        StoreError: there is no such run, or the database cannot be written.
    """
    ends = None if expires_at is None else to_iso(expires_at)
    row = (run_id, _hash(token), int(keep_names), to_iso(now), ends, this_process())

    def put(conn: sqlite3.Connection) -> None:
        require_run(conn, run_id)
        conn.execute(
            "REPLACE INTO shares (run_id, token_sha256, keep_names, created_at, expires_at, process)"
            " VALUES (?, ?, ?, ?, ?, ?)",
            row,
        )

    with Store.open(db) as store:
        store.transact(put)


def clear_dead(db: Path) -> int:
    """Take away the rows of links whose listener is gone; return how many. What others serve stays.

    Raises:
        StoreError: the database cannot be written.
    """

    def take(conn: sqlite3.Connection) -> int:
        rows = conn.execute("SELECT run_id, process FROM shares").fetchall()
        gone = [(run_id,) for run_id, process in rows if is_gone(process)]
        conn.executemany("DELETE FROM shares WHERE run_id = ?", gone)
        return len(gone)

    if all(one.served for one in _rows(db)):
        return 0  # as nearly always: nothing is written, and no database is made
    with Store.open(db) as store:
        return store.transact(take)


def unshare_run(db: Path, run_id: int) -> bool:
    """Make a run private; return whether it was shareable.

    Raises:
        StoreError: the database cannot be written.
    """
    with Store.open(db) as store:
        return store.transact(
            lambda conn: conn.execute("DELETE FROM shares WHERE run_id = ?", (run_id,)).rowcount > 0
        )


def shares(db: Path) -> list[Share]:
    """Return the shareable runs whose link somebody serves, by run; read from the file at once.

    Raises:
        StoreError: there is no such database.
    """
    return [one for one in _rows(db) if one.served]


def _rows(db: Path) -> list[Share]:
    conn = connect_reader(db)
    with contextlib.closing(conn), translated(db):
        if conn.execute("PRAGMA user_version").fetchone()[0] < _SINCE:
            return []
        rows = conn.execute(
            "SELECT run_id, token_sha256, keep_names, created_at, expires_at, process FROM shares ORDER BY 1"
        )
        return [
            Share(
                run_id,
                sha256,
                bool(kept),
                from_iso(made),
                None if ends is None else from_iso(ends),
                not is_gone(process),
            )
            for run_id, sha256, kept, made, ends, process in rows
        ]


def find_share(db: Path, token: str, now: float) -> Share | None:
    """Return the share that a token opens now. All are compared, each in constant time, whichever it is."""
    wanted = _hash(token)
    found = None
    for one in shares(db):
        if hmac.compare_digest(one.token_sha256, wanted) and one.open_at(now):
            found = one
    return found


def _hash(token: str) -> str:
    return hashlib.sha256(token.encode("utf-8", "surrogatepass")).hexdigest()
