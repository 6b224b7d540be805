"""The store of this process, spoken to from an event loop: where no process of its own can be had for writing.

One rule: what the writer's thread tells is told on in the loop, and the loop is woken once for a whole group. The
same door as apart.py's; everything is called in the loop that it was made in.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from scimproxy.errors import StoreError
from scimproxy.exchange import Connection, Exchange, Run, TunnelEvent
from scimproxy.passed import Passed
from scimproxy.store.ends import Ends, Told
from scimproxy.store.rows import NO_CHANGES
from scimproxy.store.writer import Store

__all__ = ["StoreInside"]


class StoreInside:
    """A Store whose answers come in the event loop; see StoreApart for what each method does."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._loop = asyncio.get_running_loop()
        self._ends = Ends(self._loop)
        self._woken = False
        self.recovered = store.recovered

    @classmethod
    async def open(cls, path: Path | str, *, durable: bool = False) -> StoreInside:
        """Open (or make) the database.

        Raises:
            StoreError: or a child: the file or its folder cannot be used.
        """
        return cls(Store.open(path, durable=durable))

    @property
    def last_error(self) -> StoreError | None:
        """Why nothing can be written at present."""
        return self._store.last_error

    def submit_then(self, exchange: Exchange, told: Told, changes: Mapping[str, Any] = NO_CHANGES) -> None:
        """Queue an exchange; `told` is called in the loop."""
        self._store.submit_then(exchange, lambda problem: self._ended(told, problem), changes)

    def submit_passed(self, passed: Passed, told: Told) -> None:
        """Queue an exchange that went as most do."""
        self._store.submit_passed(passed, lambda problem: self._ended(told, problem))

    def pending(self, exchange: Exchange, told: Told | None = None) -> None:
        """Queue an exchange in flight."""
        self._store.pending(exchange, None if told is None else lambda problem: self._ended(told, problem))

    def connection(self, connection: Connection) -> None:
        """Queue what became of a connection."""
        self._store.connection(connection)

    def tunnel_event(self, event: TunnelEvent) -> None:
        """Queue a change of the tunnel's state."""
        self._store.tunnel_event(event)

    async def start_run(self, run: Run) -> Run:
        """Store a run and return it with its id."""
        return await asyncio.to_thread(self._store.start_run, run)

    async def update_run(self, run: Run) -> None:
        """Store the changed fields of a run."""
        await asyncio.to_thread(self._store.update_run, run)

    async def finish_run(self, run_id: int, *, ended_at: float, lost: int | None = None) -> None:
        """Store that a run ended."""
        await asyncio.to_thread(self._store.finish_run, run_id, ended_at=ended_at, lost=lost)

    async def delete_run(self, run_id: int) -> None:
        """Delete a run that made no exchanges."""
        await asyncio.to_thread(self._store.delete_run, run_id)

    async def flush(self) -> None:
        """Wait until everything queued so far is written."""
        await asyncio.to_thread(self._store.flush)

    def on_commit(self, callback: Callable[[int], None]) -> None:
        """Call back in the loop with the newest `seq` after commits that gave one."""
        self._store.on_commit(lambda newest: self._tell(callback, newest))

    def hurry(self) -> None:
        """Nothing can be hurried here: a thread cannot be ended."""

    async def close(self) -> None:
        """Write everything queued, and close the database."""
        await asyncio.to_thread(self._store.close)

    def _tell(self, callback: Callable[[int], None], newest: int) -> None:
        self._loop.call_soon_threadsafe(callback, newest)

    def _ended(self, told: Told, problem: BaseException | None) -> None:
        """Pass the end of a write from the writer's thread on to the event loop.

        Waking the loop takes a lock and a byte through a socket. A commit ends a whole group, so its ends are
        collected and the loop is woken once for all of them.
        """
        self._ends.add(told, problem)
        # The flag falls before the queue is emptied (in _wake), so nothing added here can be left behind.
        if not self._woken:
            self._woken = True
            self._loop.call_soon_threadsafe(self._wake)

    def _wake(self) -> None:
        self._woken = False
        self._ends.tell()
