"""The store inside this process: a thread that writes what is queued, everything that waits in one transaction.

One rule: a future is done only after its exchange is committed. Methods may be called from any thread. Place in the
flow: Recorder -> Store.submit -> [queue] -> the thread's Writer -> SQLite. A recording under load has its writer in a
process of its own instead (apart.py): the same Writer, the same items.
"""

from __future__ import annotations

import contextlib
import queue
import sqlite3
import threading
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from dataclasses import replace
from pathlib import Path
from typing import Any, Self

from scimproxy.errors import StoreError
from scimproxy.exchange import Connection, Exchange, Run, TunnelEvent
from scimproxy.passed import Passed
from scimproxy.store import derive
from scimproxy.store.ends import Told
from scimproxy.store.rows import NO_CHANGES, loose_row, passed_row
from scimproxy.store.writing import GROUP, UNSTORABLE, Answer, Item, Writer, fault, refuse

__all__ = ["Store"]


class _Teller:
    """The few methods of a Future that a writer uses, at a fraction of its cost."""

    __slots__ = ("_told",)

    def __init__(self, told: Told) -> None:
        self._told: Told | None = told

    def set_result(self, _result: object) -> None:
        self._tell(None)

    def set_exception(self, problem: BaseException) -> None:
        self._tell(problem)

    def done(self) -> bool:
        return self._told is None

    def _tell(self, problem: BaseException | None) -> None:
        told, self._told = self._told, None
        if told is not None:
            told(problem)


class _Queue:
    """The source of a writer in a thread."""

    def __init__(self) -> None:
        self._items: queue.SimpleQueue[Item] = queue.SimpleQueue()

    def put(self, item: Item) -> None:
        self._items.put(item)

    def take(self, wait_s: float | None) -> list[Item]:
        try:
            first = self._items.get(timeout=wait_s)
        except queue.Empty:
            return []
        return [first, *self._drain(GROUP - 1)]

    def rest(self) -> list[Item]:
        return self._drain(10**9)

    def _drain(self, most: int) -> list[Item]:
        items: list[Item] = []
        with contextlib.suppress(queue.Empty):
            while len(items) < most:
                items.append(self._items.get_nowait())
        return items


class Store:
    """The writer of a database; make it with `open`. Methods may be called from any thread.

    `recovered` is how many exchanges a crash had left in flight; they are `aborted` now.
    """

    def __init__(self, writer: Writer) -> None:
        self.path = writer.path
        self.recovered = writer.recovered
        self._writer = writer
        self._queue = _Queue()
        self._closed = False
        self._closing = threading.Lock()
        self._thread = threading.Thread(target=self._work, name="scimproxy-store", daemon=True)

    @classmethod
    def open(cls, path: Path | str, *, durable: bool = False, create: bool = True) -> Store:
        """Open a database for recording; make it, bring its schema up to date, mark what a crash left in flight.

        `durable`: wait for the disk at every commit, so that a power cut loses nothing either. Without it a crash
        of this process or `kill -9` loses nothing.

        Raises:
            StoreError: or a child: the file or its folder cannot be used.
        """
        store = cls(Writer.open(Path(path), durable=durable, create=create))
        store._thread.start()
        return store

    @property
    def last_error(self) -> StoreError | None:
        """Why nothing can be written at present; the writer tries by itself and takes it back."""
        return self._writer.last_error

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_exc: object) -> None:
        self.close()

    # --- what travels: queued in order ---

    def submit(self, exchange: Exchange) -> Future[int]:
        """Queue an exchange; the future gives its id when it is committed, or raises StoreError."""
        future: Future[int] = Future()
        future.set_running_or_notify_cancel()  # from here on it cannot be cancelled: it will be written
        self._put_exchange("exchange", exchange, future)
        return future

    def submit_then(self, exchange: Exchange, told: Told, changes: Mapping[str, Any] = NO_CHANGES) -> None:
        """Queue an exchange; `told` is called once, in the writer's thread, with None when it is committed.

        Otherwise with the StoreError. It must not wait for anything. `changes` are fields that are stored in place of
        the exchange's own.
        """
        self._put_exchange("exchange", exchange, _Teller(told), changes)

    def submit_passed(self, passed: Passed, told: Told) -> None:
        """Do the same for an exchange that went as most do."""
        self._put(Item("exchange", passed_row(passed), _Teller(told)))

    def add(self, exchange: Exchange) -> int:
        """Store an exchange and return its id once it is committed.

        Raises:
            StoreError: it is not stored.
        """
        return self.submit(exchange).result()

    def pending(self, exchange: Exchange, told: Told | None = None) -> None:
        """Queue an exchange in flight; a later `submit` with its `uid` makes the row final. `told`: as above."""
        self._put_exchange("pending", exchange, None if told is None else _Teller(told))

    def connection(self, connection: Connection) -> None:
        """Queue what became of a connection."""
        self._put(Item("connection", connection, None))

    def tunnel_event(self, event: TunnelEvent) -> None:
        """Queue a change of the tunnel's state; without a `run_id` it belongs to the newest run."""
        self._put(Item("event", event, None))

    # --- runs, marks and upkeep: each done when it returns ---

    def start_run(self, run: Run) -> Run:
        """Store a run and return it with its id; exchanges without a `run_id` belong to the newest one."""
        return replace(run, id=self._call(lambda: self._writer.start_run(run)))

    def update_run(self, run: Run) -> None:
        """Store the changed fields of a run, by its id.

        Raises:
            StoreError: there is no such run.
        """
        self._call(lambda: self._writer.update_run(run))

    def finish_run(self, run_id: int, *, ended_at: float, lost: int | None = None) -> None:
        """Store that a run ended, and how many exchanges passed it unrecorded.

        Raises:
            StoreError: there is no such run.
        """
        self._call(lambda: self._writer.finish_run(run_id, ended_at, lost))

    def delete_run(self, run_id: int) -> None:
        """Delete a run that made no exchanges; `prune` removes runs that did.

        Raises:
            StoreError: there is no such run, or exchanges belong to it.
        """
        self._call(lambda: self._writer.delete_run(run_id))

    def annotate(self, exchange_id: int, *, note: str | None, tags: tuple[str, ...] = ()) -> None:
        """Set a person's note and tags on an exchange.

        Raises:
            StoreError: there is no such exchange.
        """
        self._call(lambda: self._writer.annotate(exchange_id, note, tags))

    def rederive(self) -> None:
        """Delete the derived rows; they are made again when there is quiet, or by the next search."""
        self.transact(derive.forget)

    def transact[T](self, function: Callable[[sqlite3.Connection], T]) -> T:
        """Call a function of this package inside the writer's next transaction, and return what it returns."""
        return self._call(lambda: function(self._writer.conn))

    def flush(self) -> None:
        """Wait until everything queued so far is written, counters of connections included."""
        self._call(self._writer.sharing.update)

    def on_commit(self, callback: Callable[[int], None]) -> None:
        """Call back, in the writer's thread, with the newest `seq` after each commit that gave one.

        A callback that raises RuntimeError (its event loop is closed) is not called again.
        """
        self._writer.callbacks.append(callback)

    def close(self) -> None:
        """Write everything queued, and close the database. Safe to call twice."""
        with self._closing:
            if not self._closed:
                self._closed = True
                self._queue.put(Item("stop", "orderly", None))
        self._thread.join()

    def _work(self) -> None:
        try:
            self._writer.work(self._queue)
        finally:
            self._closed = True
            refuse(self._queue.rest(), StoreError(f"the database {self.path} is closed"))

    def _put_exchange(
        self, kind: str, exchange: Exchange, answer: Answer | None, changes: Mapping[str, Any] = NO_CHANGES
    ) -> None:
        try:
            row = loose_row(exchange, changes)
        except UNSTORABLE as exc:
            if answer is not None:
                answer.set_exception(StoreError(f"this {kind} cannot be stored: {fault(exc)}"))
            return
        self._put(Item(kind, row, answer))

    def _put(self, item: Item) -> None:
        # Whoever comes after `close` finds nobody to write it: the future tells; the rest has no one to tell.
        if self._closed:
            if item.answer is not None:
                item.answer.set_exception(StoreError(f"the database {self.path} is closed"))
            return
        self._queue.put(item)

    def _call[T](self, function: Callable[[], T]) -> T:
        future: Future[T] = Future()
        self._put(Item("call", function, future))
        return future.result()
