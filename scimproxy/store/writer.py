"""The store's writer: one thread, one connection, everything that waits in one transaction.

One rule: a future is done only after its exchange is committed, and a group is written whole or not at all. An item
that cannot be stored (a text that is no text) fails alone. When the disk is full the whole group fails, `last_error`
says so, and the thread tries by itself whether space has returned.
Place in the flow: Recorder -> Store.submit -> [queue] -> this thread -> SQLite. When nothing waits, the thread makes
the derived rows (derive.py) in small steps.
"""

from __future__ import annotations

import contextlib
import logging
import queue
import shutil
import sqlite3
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple, Self

from scimproxy.errors import StoreError
from scimproxy.exchange import Connection, Exchange, Run, TunnelEvent
from scimproxy.store import derive
from scimproxy.store.connecting import connect_writer, translate, translated
from scimproxy.store.process import is_alive
from scimproxy.store.rows import EXCHANGE_COLUMNS, exchange_row, tags_text, to_iso
from scimproxy.store.runs import delete_run, finish_run, insert_run, update_run
from scimproxy.store.schema import next_numbers
from scimproxy.store.sharing import Sharing

__all__ = ["Store"]

_log = logging.getLogger(__name__)

_GROUP = 512
"""At most so many items in one transaction."""
_QUIET_S = 0.02
"""So long nothing must have come before derived rows are made."""
_STEP = 20
"""So many exchanges are derived before the queue is looked at again: a few milliseconds."""
_PROBE_S = 1.0
"""So often a store that failed tries whether it can write again."""
_CLOSING_S = 1.0
"""So long closing goes on making derived rows; the rest is made by the next search or recording."""
_NEEDED = 256 * 1024
"""So many bytes have to be free before a probe after "disk full" makes sense."""
_UPDATE_S = 0.5
"""Counters of connections that go on are written at most this late while there is no quiet."""

_INSERT = (
    f"INSERT INTO exchanges ({', '.join(EXCHANGE_COLUMNS)}) "  # noqa: S608 - our own column names
    f"VALUES (?{', ?' * (len(EXCHANGE_COLUMNS) - 1)})"
)
_REPLACE = _INSERT.replace("INSERT", "REPLACE", 1)

_UNSTORABLE = (TypeError, ValueError, OverflowError, AttributeError)
"""What encoding raises for a value that fits no column: a wrong type, a lone surrogate, a date in the year 10000."""


def _fault(exc: Exception) -> str:
    """Say what is wrong with a value without showing it: the repr of a UnicodeError holds the whole text."""
    if isinstance(exc, UnicodeEncodeError):
        return f"{type(exc).__name__} at position {exc.start}"
    return type(exc).__name__ if isinstance(exc, ValueError) else f"{type(exc).__name__}: {exc}"


_WHOLE = {
    sqlite3.SQLITE_FULL,
    sqlite3.SQLITE_BUSY,
    sqlite3.SQLITE_LOCKED,
    sqlite3.SQLITE_CORRUPT,
    sqlite3.SQLITE_NOTADB,
    sqlite3.SQLITE_IOERR,
    sqlite3.SQLITE_READONLY,
    sqlite3.SQLITE_CANTOPEN,
    sqlite3.SQLITE_NOMEM,
}
"""SQLite's codes that speak of the database, not of one item."""


type Told = Callable[[BaseException | None], None]


class _Teller:
    """The few methods of a Future that the writer's thread uses, at a fraction of its cost."""

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


class _Item(NamedTuple):
    kind: str  # exchange pending connection event call stop
    value: Any
    future: Future[Any] | _Teller | None


class Store:
    """The writer of a database; make it with `open`. Methods may be called from any thread.

    `recovered` is how many exchanges a crash had left in flight; they are `aborted` now.
    """

    def __init__(self, path: Path, conn: sqlite3.Connection) -> None:
        self.path = path
        self.recovered = 0
        self.last_error: StoreError | None = None
        self._conn = conn
        self._queue: queue.SimpleQueue[_Item] = queue.SimpleQueue()
        self._sharing = Sharing(conn)
        self._data_version: int | None = None
        self._next_id = self._next_seq = 1
        self._announced = 0
        self._pending: dict[tuple[int, str | None], int] = {}
        self._runs: list[int] = []
        self._callbacks: list[Callable[[int], None]] = []
        self._updated_at = 0.0
        self._derives = True
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
        path = Path(path)
        store = cls(path, connect_writer(path, durable=durable, create=create))
        try:
            with translated(path):
                store._recover()
        except BaseException:
            store._conn.close()
            raise
        store._thread.start()
        return store

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_exc: object) -> None:
        self.close()

    # --- what travels: queued in order ---

    def submit(self, exchange: Exchange) -> Future[int]:
        """Queue an exchange; the future gives its id when it is committed, or raises StoreError."""
        future: Future[int] = Future()
        future.set_running_or_notify_cancel()  # from here on it cannot be cancelled: it will be written
        self._put(_Item("exchange", exchange, future))
        return future

    def submit_then(self, exchange: Exchange, told: Told) -> None:
        """Queue an exchange; `told` is called once, in the writer's thread, with None when it is committed.

        Otherwise with the StoreError. It must not wait for anything.
        """
        self._put(_Item("exchange", exchange, _Teller(told)))

    def add(self, exchange: Exchange) -> int:
        """Store an exchange and return its id once it is committed.

        Raises:
            StoreError: it is not stored.
        """
        return self.submit(exchange).result()

    def pending(self, exchange: Exchange, told: Told | None = None) -> None:
        """Queue an exchange in flight; a later `submit` with its `uid` makes the row final. `told`: as above."""
        self._put(_Item("pending", exchange, None if told is None else _Teller(told)))

    def connection(self, connection: Connection) -> None:
        """Queue what became of a connection."""
        self._put(_Item("connection", connection, None))

    def tunnel_event(self, event: TunnelEvent) -> None:
        """Queue a change of the tunnel's state; without a `run_id` it belongs to the newest run."""
        self._put(_Item("event", event, None))

    # --- runs, marks and upkeep: each done when it returns ---

    def start_run(self, run: Run) -> Run:
        """Store a run and return it with its id; exchanges without a `run_id` belong to the newest one."""
        number = self._call(lambda: insert_run(self._conn, run))
        self._runs.append(number)
        return replace(run, id=number)

    def update_run(self, run: Run) -> None:
        """Store the changed fields of a run, by its id.

        Raises:
            StoreError: there is no such run.
        """
        self._call(lambda: update_run(self._conn, run))

    def finish_run(self, run_id: int, *, ended_at: float, lost: int | None = None) -> None:
        """Store that a run ended, and how many exchanges passed it unrecorded.

        Raises:
            StoreError: there is no such run.
        """
        self._call(lambda: finish_run(self._conn, run_id, ended_at, lost))

    def delete_run(self, run_id: int) -> None:
        """Delete a run that made no exchanges; `prune` removes runs that did.

        Raises:
            StoreError: there is no such run, or exchanges belong to it.
        """

        def delete() -> None:
            delete_run(self._conn, run_id)
            self._sharing.forget()
            self._sharing.refresh()

        self._call(delete)
        if run_id in self._runs:
            self._runs.remove(run_id)

    def annotate(self, exchange_id: int, *, note: str | None, tags: tuple[str, ...] = ()) -> None:
        """Set a person's note and tags on an exchange.

        Raises:
            StoreError: there is no such exchange.
        """

        def change() -> None:
            cursor = self._conn.execute(
                "UPDATE exchanges SET note = ?, tags = ?, seq = ? WHERE id = ?",
                (note, tags_text(tags), self._take_seq(), exchange_id),
            )
            if not cursor.rowcount:
                raise StoreError(f"there is no exchange {exchange_id}", hint="`scimproxy log` lists them")

        self._call(change)

    def rederive(self) -> None:
        """Delete the derived rows; they are made again when there is quiet, or by the next search."""
        self._call(lambda: derive.forget(self._conn))

    def flush(self) -> None:
        """Wait until everything queued so far is written, counters of connections included."""
        self._call(self._sharing.update)

    def on_commit(self, callback: Callable[[int], None]) -> None:
        """Call back, in the writer's thread, with the newest `seq` after each commit that gave one.

        A callback that raises RuntimeError (its event loop is closed) is not called again.
        """
        self._callbacks.append(callback)

    def close(self) -> None:
        """Write everything queued, and close the database. Safe to call twice."""
        with self._closing:
            if not self._closed:
                self._closed = True
                self._queue.put(_Item("stop", None, None))
        self._thread.join()

    # --- the writer's thread ---

    def _put(self, item: _Item) -> None:
        # Whoever comes after `close` finds nobody to write it: the future tells; the rest has no one to tell.
        if self._closed:
            if item.future is not None:
                item.future.set_exception(StoreError(f"the database {self.path} is closed"))
            return
        self._queue.put(item)

    def _call[T](self, function: Callable[[], T]) -> T:
        future: Future[T] = Future()
        self._put(_Item("call", function, future))
        return future.result()

    def _work(self) -> None:
        batch: list[_Item] = []
        try:
            going = True
            idle = False
            while going:
                batch = self._take(idle=idle)
                going = not any(item.kind == "stop" for item in batch)
                if batch:
                    self._write_group(batch)
                    idle = False
                else:
                    idle = not self._rest()
            self._finish()
        finally:
            self._closed = True
            self._conn.close()
            self._refuse([*batch, *self._drain(10**9)], StoreError(f"the database {self.path} is closed"))

    def _take(self, *, idle: bool) -> list[_Item]:
        """Wait for items; return all that wait, or nothing when there is quiet and something to do meanwhile."""
        wait = None if idle else _QUIET_S
        if self.last_error is not None:
            wait = _PROBE_S
        try:
            first = self._queue.get(timeout=wait)
        except queue.Empty:
            return []
        return [first, *self._drain(_GROUP - 1)]

    def _drain(self, most: int) -> list[_Item]:
        items: list[_Item] = []
        with contextlib.suppress(queue.Empty):
            while len(items) < most:
                items.append(self._queue.get_nowait())
        return items

    @staticmethod
    def _refuse(batch: list[_Item], error: StoreError) -> None:
        for item in batch:
            if item.future is not None and not item.future.done():
                item.future.set_exception(error)

    def _write_group(self, batch: list[_Item]) -> None:
        try:
            self._write(batch)
        except (sqlite3.Error, StoreError, *_UNSTORABLE) as exc:
            self._rollback()
            if isinstance(exc, sqlite3.Error) and (getattr(exc, "sqlite_errorcode", 0) & 0xFF) in _WHOLE:
                self.last_error = translate(exc, self.path)
                self._refuse(batch, self.last_error)
            elif len(batch) > 1:
                # Somebody's value fits no column: each for itself, so that only that one fails.
                for item in batch:
                    self._write_group([item])
            elif isinstance(exc, StoreError):
                self._refuse(batch, exc)
            else:
                reason = _fault(exc)
                _log.warning("%s cannot be stored: %s", batch[0].kind, reason)
                self._refuse(batch, StoreError(f"this {batch[0].kind} cannot be stored: {reason}"))

    def _write(self, batch: list[_Item]) -> None:
        """Write a group in one transaction, then tell everybody."""
        self._begin()
        done: list[tuple[Future[Any] | _Teller | None, Any]] = []
        inserts: list[tuple[Any, ...]] = []
        replaces: list[tuple[Any, ...]] = []
        opened: dict[tuple[int, str | None], int] = {}
        ended: list[tuple[int, str | None]] = []
        at_once = False
        for kind, value, future in batch:
            if kind in {"exchange", "pending"}:
                run_id = self._run_of(value.run_id)
                key = (run_id, value.uid)
                number = opened.get(key) or self._pending.get(key)
                (replaces if number else inserts).append(self._row(value, run_id, number))
                if kind == "pending":
                    opened[key] = number or self._next_id - 1
                elif number:
                    ended.append(key)
                done.append((future, number or self._next_id - 1))
            elif kind == "connection":
                at_once = self._note_connection(value) or at_once
            elif kind == "event":
                self._insert_event(value)
            elif kind == "call":
                done.append((future, value()))
        self._sharing.flush()
        if inserts:
            self._conn.executemany(_INSERT, inserts)
        if replaces:
            self._conn.executemany(_REPLACE, replaces)
        if at_once or (self._sharing.changed and time.monotonic() - self._updated_at > _UPDATE_S):
            self._update_connections()
        self._conn.execute("COMMIT")
        self._pending.update(opened)
        for key in ended:
            self._pending.pop(key, None)
        self.last_error = None
        for waiting, result in done:
            if waiting is not None:
                waiting.set_result(result)
        self._announce()

    def _row(self, exchange: Exchange, run_id: int, number: int | None) -> tuple[Any, ...]:
        if number is None:
            number = self._next_id
            self._next_id += 1
        client, upstream = exchange.client_connection, exchange.upstream_connection
        connection = self._sharing.connection
        ids = (
            None if client is None else connection(run_id, client),
            None if upstream is None else connection(run_id, upstream),
        )
        return exchange_row(exchange, number, self._take_seq(), run_id, ids, self._sharing)

    def _take_seq(self) -> int:
        seq = self._next_seq
        self._next_seq += 1
        return seq

    def _run_of(self, run_id: int | None) -> int:
        if run_id is not None:
            return run_id
        if not self._runs:
            raise StoreError("the exchange names no run, and none was started")
        return self._runs[-1]

    def _note_connection(self, connection: Connection) -> bool:
        """Collect the change of a connection; return whether it ended, so that it is worth writing at once."""
        for run_id in reversed(self._runs):
            if self._sharing.knows(run_id, connection):
                break
        else:
            run_id = self._run_of(None)
        self._sharing.connection(run_id, connection)
        return connection.closed_at is not None

    def _insert_event(self, event: TunnelEvent) -> None:
        run_id = event.run_id if event.run_id is not None or not self._runs else self._runs[-1]
        self._conn.execute(
            "INSERT INTO tunnel_events (run_id, at, state, url, message) VALUES (?, ?, ?, ?, ?)",
            (run_id, to_iso(event.at), event.state, event.url, event.message),
        )

    def _update_connections(self) -> None:
        self._sharing.update()
        self._updated_at = time.monotonic()

    def _begin(self) -> None:
        """Start a transaction that has the write lock; learn what other processes did since the last one."""
        self._conn.execute("BEGIN IMMEDIATE")
        (version,) = self._conn.execute("PRAGMA data_version").fetchone()
        if version != self._data_version:
            # Another connection committed: rows may be gone (prune), numbers be taken. None means: we rolled back.
            self._sharing.forget()
            self._sharing.refresh()
            self._next_id, self._next_seq = next_numbers(self._conn)
            self._data_version = version

    def _rollback(self) -> None:
        if self._conn.in_transaction:
            self._conn.rollback()
        self._sharing.forget()
        self._data_version = None

    def _announce(self) -> None:
        newest = self._next_seq - 1
        if newest == self._announced:
            return
        self._announced = newest
        for callback in tuple(self._callbacks):
            try:
                callback(newest)
            except RuntimeError:
                self._callbacks.remove(callback)

    # --- when nothing waits ---

    def _rest(self) -> bool:
        """Do a small step of what can wait; return whether there was something to do."""
        if self.last_error is not None:
            self._probe()
            return True
        try:
            self._begin()
            if self._sharing.changed:
                self._update_connections()
                worked = True
            else:
                worked = self._derives and derive.step(self._conn, _STEP) > 0
            self._conn.execute("COMMIT")
        except sqlite3.Error as exc:
            self._rollback()
            self.last_error = translate(exc, self.path)
            return True
        except Exception:  # noqa: BLE001 - a fault in making derived rows must not end the recording: that is what the house is for
            self._rollback()
            self._derives = False
            _log.exception("derived rows are not made any more in this process")
            return False
        return worked

    def _probe(self) -> None:
        """Find out whether the database can be written again after an error."""
        try:
            if shutil.disk_usage(self.path.parent).free < _NEEDED:
                return
            self._begin()
            self._conn.execute("REPLACE INTO progress VALUES ('probe', ?)", (int(time.time()),))
            self._conn.execute("COMMIT")
        except (sqlite3.Error, OSError):
            self._rollback()
        else:
            self.last_error = None

    def _finish(self) -> None:
        """Before closing: write what came in while stopping, mark what is still in flight, derive for a moment."""
        rest = [item for item in self._drain(10**9) if item.kind != "stop"]
        if rest:
            self._write_group(rest)
        if self._sharing.changed:
            self._write_group([_Item("call", self._sharing.update, Future())])
        if self._pending:
            ids = list(self._pending.values())
            self._write_group([_Item("call", lambda: self._abort(ids), Future())])
        until = time.monotonic() + _CLOSING_S
        while self.last_error is None and time.monotonic() < until and self._rest():
            pass

    def _recover(self) -> None:
        """Mark exchanges as aborted that were in flight in processes which do not live any more."""
        self._begin()
        runs = self._conn.execute(
            "SELECT id, process FROM runs WHERE ended_at IS NULL OR id IN"
            " (SELECT run_id FROM exchanges WHERE state = 'pending')"
        ).fetchall()
        for run_id, process in runs:
            if is_alive(process):
                continue
            pending = self._conn.execute(
                "SELECT id FROM exchanges WHERE run_id = ? AND state = 'pending' ORDER BY id", (run_id,)
            )
            self.recovered += self._abort([number for (number,) in pending.fetchall()])
            # When it died nobody knows; its last exchange is the last that is known of it.
            self._conn.execute(
                "UPDATE runs SET ended_at = (SELECT max(coalesce(ended_at, started_at)) FROM"
                " (SELECT * FROM exchanges WHERE run_id = runs.id ORDER BY id DESC LIMIT 1000))"
                " WHERE id = ? AND ended_at IS NULL",
                (run_id,),
            )
        self._conn.execute("COMMIT")

    def _abort(self, ids: list[int]) -> int:
        self._conn.executemany(
            "UPDATE exchanges SET state = 'aborted', seq = ? WHERE id = ? AND state = 'pending'",
            [(self._take_seq(), number) for number in ids],
        )
        return len(ids)
