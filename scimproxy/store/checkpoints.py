"""Moving what is committed from the WAL into the database file, beside the writer and not in its way.

One rule: it only ever asks SQLite for a passive checkpoint, which waits for nobody. Copying and syncing pages takes
tens of milliseconds; done by the writer itself, as SQLite does it unasked, every client would wait for it. A WAL
that grows past all measure (nobody is ever quiet) is still cut by the writer, with few pages left to do then.
"""

from __future__ import annotations

import contextlib
import sqlite3
import threading
from pathlib import Path

from scimproxy.store.connecting import connect_upkeep

__all__ = ["Checkpoints"]

_AFTER = 500
"""So many items are written between two: about 2,000 pages, as much as SQLite itself waits for."""


class Checkpoints:
    """A thread that moves pages while a writer writes; it begins with the first work there is."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._due = threading.Event()
        self._ended = False
        self._written = 0
        self._thread: threading.Thread | None = None

    def written(self, items: int) -> None:
        """Note a commit; called by the writer."""
        self._written += items
        if self._written >= _AFTER:
            self._written = 0
            self._due.set()
            if self._thread is None:
                self._thread = threading.Thread(target=self._work, name="scimproxy-checkpoints", daemon=True)
                self._thread.start()

    def close(self) -> None:
        """End; what is left in the WAL is moved when the writer closes."""
        self._ended = True
        self._due.set()
        if self._thread is not None:
            self._thread.join()

    def _work(self) -> None:
        # The writer meets the same faults, and tells them.
        with contextlib.suppress(sqlite3.Error), contextlib.closing(connect_upkeep(self._path)) as conn:
            while True:
                self._due.wait()
                self._due.clear()
                if self._ended:
                    return
                with contextlib.suppress(sqlite3.Error):
                    conn.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchone()
