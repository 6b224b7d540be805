"""Which runs are shareable: a row with the hash of the link's secret part makes one so, its absence private.

One rule: the secret itself is stored nowhere; it is told once, when the link is made, and only compared afterwards.
A link is asked for anew at each request, so that a run that is private again cannot be read from then on.
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
from scimproxy.store.rows import from_iso, to_iso
from scimproxy.store.writer import Store

__all__ = ["Share", "find_share", "share_run", "shares", "unshare_run"]

_SINCE = 4
"""The schema that brought the table; older files hold no shares."""


@dataclass(frozen=True, slots=True)
class Share:
    """A run that is shareable; times are Unix seconds, `expires_at` None is without end."""

    run_id: int
    token_sha256: str
    keep_names: bool
    created_at: float
    expires_at: float | None

    def open_at(self, now: float) -> bool:
        """Whether the link works at that moment."""
        return self.expires_at is None or now < self.expires_at


def share_run(db: Path, run_id: int, token: str, *, keep_names: bool, now: float, expires_at: float | None) -> None:
    """Make a run shareable by a token; a link that it had before is dead.

    Raises:
        StoreError: there is no such run, or the database cannot be written.
    """
    row = (run_id, _hash(token), int(keep_names), to_iso(now), None if expires_at is None else to_iso(expires_at))

    def put(conn: sqlite3.Connection) -> None:
        require_run(conn, run_id)
        conn.execute("REPLACE INTO shares VALUES (?, ?, ?, ?, ?)", row)

    with Store.open(db) as store:
        store.transact(put)


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
    """Return the shareable runs, by run; read from the file at once.

    Raises:
        StoreError: there is no such database.
    """
    conn = connect_reader(db)
    with contextlib.closing(conn), translated(db):
        if conn.execute("PRAGMA user_version").fetchone()[0] < _SINCE:
            return []
        rows = conn.execute("SELECT run_id, token_sha256, keep_names, created_at, expires_at FROM shares ORDER BY 1")
        return [
            Share(run_id, sha256, bool(kept), from_iso(made), None if ends is None else from_iso(ends))
            for run_id, sha256, kept, made, ends in rows
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
