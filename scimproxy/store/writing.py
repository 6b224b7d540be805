"""Writing into the database: groups of items, each group in one transaction, by one connection in one thread.

One rule: an item is answered only after the group that holds it is committed, and a group is written whole or not at
all. An item that cannot be stored (a text that is no text) fails alone. When the disk is full the whole group fails,
`last_error` says so, and the writer tries by itself whether space has returned. When nothing waits, it makes the
derived rows (derive.py) in small steps. Where the items come from (a queue, a pipe) is the `Source`'s business.
"""

from __future__ import annotations

import logging
import secrets
import shutil
import sqlite3
import time
from collections.abc import Callable, Iterable
from concurrent.futures import Future
from pathlib import Path
from typing import Any, NamedTuple, Protocol

from scimproxy.errors import StoreError
from scimproxy.exchange import Connection, Run, TunnelEvent
from scimproxy.store import derive
from scimproxy.store.checkpoints import Checkpoints
from scimproxy.store.connecting import connect_writer, translate, translated
from scimproxy.store.known import require_run
from scimproxy.store.process import is_alive, this_process
from scimproxy.store.rows import EXCHANGE_COLUMNS, RUN_PLACE, UID_PLACE, settle, tags_text, to_iso
from scimproxy.store.runs import delete_run, finish_run, insert_run, update_run
from scimproxy.store.schema import next_numbers
from scimproxy.store.sharing import Sharing

__all__ = ["GROUP", "IDENTITY", "UNSTORABLE", "Answer", "Item", "Source", "Writer", "fault", "refuse"]

_log = logging.getLogger(__name__)

GROUP = 512
"""At most so many items in one transaction."""
IDENTITY = "identity"
"""The name in `progress` of a number that tells this database from others that had its file name."""
_QUIET_S = 0.02
"""So long nothing must have come before derived rows are made."""
_STEP = 20
"""So many exchanges are derived before the queue is looked at again: a few milliseconds."""
_STEP_S = 0.005
"""And for so long: 20 answers with 500 users each take a tenth of a second, in which every client would wait."""
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

UNSTORABLE = (TypeError, ValueError, OverflowError, AttributeError)
"""What encoding raises for a value that fits no column: a wrong type, a lone surrogate, a date in the year 10000."""


def fault(exc: Exception) -> str:
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
_ITS_OWN = {0, sqlite3.SQLITE_TOOBIG, sqlite3.SQLITE_MISMATCH}
"""Those that speak of one item's values; 0 are Python's own errors."""


class Answer(Protocol):
    """Who waits for an item; a Future is one."""

    def set_result(self, result: Any, /) -> None:  # noqa: ANN401 - an id, or what a call returned
        """Tell that the item is committed."""

    def set_exception(self, problem: BaseException, /) -> None:
        """Tell why it is not."""

    def done(self) -> bool:
        """Whether one of the two was told."""


class Item(NamedTuple):
    """Something to write. `value` is a loose row (exchange, pending), a value, or a function to call.

    With ahead it is the file's name in `progress`, the entry's number and its loose row; the number is written in the
    transaction of the row. With a stop it says whether that is an orderly end: then what is in flight is marked as
    aborted.
    """

    kind: str  # exchange ahead pending connection event call stop
    value: Any
    answer: Answer | None


class Source(Protocol):
    """Where a writer gets its items."""

    def take(self, wait_s: float | None) -> list[Item]:
        """Wait so long (None: for ever) for items; return all that wait, at most GROUP, or none."""

    def rest(self) -> list[Item]:
        """Return what is left after a stop, without waiting."""


class Writer:
    """The connection that writes; used by one thread, or by one process that does nothing else.

    `recovered` is how many exchanges a crash had left in flight; they are `aborted` now. `process` names the process
    whose end ends the runs that it starts.
    """

    def __init__(self, path: Path, conn: sqlite3.Connection, *, process: str | None = None) -> None:
        self.path = path
        self.conn = conn
        self.sharing = Sharing(conn)
        self.recovered = 0
        self.last_error: StoreError | None = None
        self.derives = True
        self.callbacks: list[Callable[[int], None]] = []
        self.ending: Callable[[], None] | None = None  # called when all is written, before the database is closed
        self.runs: list[int] = []
        self._process = process or this_process()
        self._data_version: int | None = None
        self._next_id = self._next_seq = 1
        self._announced = 0
        self._pending: dict[tuple[int, str | None], int] = {}
        self._started: list[int] = []  # runs of this group
        self._known_runs: set[int] = set()
        self._updated_at = 0.0
        self._checkpoints = Checkpoints(path)

    @classmethod
    def open(
        cls, path: Path, *, durable: bool, create: bool, process: str | None = None, runs: Iterable[int] = ()
    ) -> Writer:
        """Open a database for recording; make it, bring its schema up to date, mark what a crash left in flight.

        `runs` are those to go on with.

        Raises:
            StoreError: or a child: the file or its folder cannot be used.
        """
        writer = cls(path, connect_writer(path, durable=durable, create=create), process=process)
        try:
            from scimproxy.store.bringing import bring_in  # noqa: PLC0415 - it is built on this module

            with translated(path):
                bring_in(writer)
                writer._recover()
                for run_id in runs:
                    writer._adopt_run(run_id)
        except BaseException:
            writer.close()
            raise
        return writer

    def close(self) -> None:
        """Close the database, and end what is done beside; for one that does no `work`."""
        self._checkpoints.close()
        self.conn.close()

    def work(self, source: Source) -> None:
        """Write what the source gives until it gives a stop; then write the rest and close."""
        batch: list[Item] = []
        stops: list[Item] = []
        try:
            going = True
            idle = False
            while going:
                batch = source.take(self._patience(idle=idle))
                stops = [item for item in batch if item.kind == "stop"]
                going = not stops
                if batch:
                    self.write_group(batch)
                    batch = []  # big contents are not held while the next ones come
                    idle = False
                else:
                    idle = not self._rest()
            rest = [item for item in source.rest() if item.kind != "stop"]
            self._finish(rest, orderly=all(item.value for item in stops))
            if self.ending is not None:
                self.ending()
        finally:
            self.close()
            refuse([*batch, *source.rest()], StoreError(f"the database {self.path} is closed"))

    def _patience(self, *, idle: bool) -> float | None:
        """Return how long to wait for items before something else is to be done."""
        if self.last_error is not None:
            return _PROBE_S
        return None if idle else _QUIET_S

    # --- runs: each called as an item ---

    def start_run(self, run: Run) -> int:
        """Store a run; exchanges without a `run_id` belong to the newest one."""
        number = insert_run(self.conn, run, self._process)
        self._started.append(number)
        return number

    def update_run(self, run: Run) -> None:
        """Store the changed fields of a run."""
        update_run(self.conn, run)

    def finish_run(self, run_id: int, ended_at: float, lost: int | None) -> None:
        """Store that a run ended, and how many exchanges passed it unrecorded."""
        finish_run(self.conn, run_id, ended_at, lost)

    def delete_run(self, run_id: int) -> None:
        """Delete a run that made no exchanges."""
        delete_run(self.conn, run_id)
        self.sharing.forget()
        self.sharing.refresh()
        self._known_runs.discard(run_id)
        if run_id in self.runs:
            self.runs.remove(run_id)

    def annotate(self, exchange_id: int, note: str | None, tags: tuple[str, ...]) -> None:
        """Set a person's note and tags on an exchange."""
        cursor = self.conn.execute(
            "UPDATE exchanges SET note = ?, tags = ?, seq = ? WHERE id = ?",
            (note, tags_text(tags), self._take_seq(), exchange_id),
        )
        if not cursor.rowcount:
            raise StoreError(f"there is no exchange {exchange_id}", hint="`scimproxy log` lists them")

    def identity(self) -> int:
        """Return the number that tells this database from others; it is made where there is none yet."""
        self.conn.execute("INSERT OR IGNORE INTO progress VALUES (?, ?)", (IDENTITY, secrets.randbits(62)))
        (number,) = self.conn.execute("SELECT value FROM progress WHERE name = ?", (IDENTITY,)).fetchone()
        return int(number)

    # --- groups ---

    def write_group(self, batch: list[Item]) -> bool:
        """Write items together; each is answered. Return whether the database could be written at all."""
        try:
            self._write(batch)
        except (sqlite3.Error, StoreError, *UNSTORABLE) as exc:
            self._rollback()
            if isinstance(exc, sqlite3.Error) and (getattr(exc, "sqlite_errorcode", 0) & 0xFF) in _WHOLE:
                self.last_error = translate(exc, self.path)
                refuse(batch, self.last_error)
                return False
            if len(batch) > 1:
                # Somebody's value fits no column: each for itself, so that only that one fails.
                for at, item in enumerate(batch, 1):
                    if not self.write_group([item]):  # locked or full by now: it would be waited for with each
                        assert self.last_error is not None
                        refuse(batch[at:], self.last_error)
                        return False
            elif isinstance(exc, StoreError):
                refuse(batch, exc)
            elif (
                batch[0].kind == "ahead"
                and isinstance(exc, sqlite3.Error)
                and getattr(exc, "sqlite_errorcode", 0) & 0xFF not in _ITS_OWN
            ):  # it was answered: whatever the database has against it now is no reason to pass it over
                self.last_error = translate(exc, self.path)
                refuse(batch, self.last_error)
                return False
            else:
                reason = fault(exc)
                _log.warning("%s cannot be stored: %s", batch[0].kind, reason)
                refuse(batch, StoreError(f"this {batch[0].kind} cannot be stored: {reason}"))
        return True

    def _write(self, batch: list[Item]) -> None:
        """Write a group in one transaction, then tell everybody."""
        self._begin()
        done: list[tuple[Answer | None, Any]] = []
        inserts: list[list[Any]] = []
        replaces: list[list[Any]] = []
        opened: dict[tuple[int, str | None], int] = {}
        ended: list[tuple[int, str | None]] = []
        applied: dict[str, int] = {}
        at_once = False
        for kind, value, answer in batch:
            if kind == "ahead":
                name, entry, value = value  # noqa: PLW2901 - from here on it is an exchange like others
                applied[name] = entry
            if kind == "ahead" or kind == "exchange" or kind == "pending":  # noqa: PLR1714 - hot: a set would be hashed
                run_id = self._run_of(value[RUN_PLACE])
                key = (run_id, value[UID_PLACE])
                known = opened.get(key) or self._pending.get(key)
                number = known or self._take_id()
                row = settle(value, number, self._take_seq(), run_id, self.sharing)
                (replaces if known else inserts).append(row)
                if kind == "pending":
                    opened[key] = number
                elif known:
                    ended.append(key)
                done.append((answer, number))
            elif kind == "call":
                done.append((answer, value()))
            else:
                at_once = self._note(kind, value) or at_once
        self.sharing.flush()
        if inserts:
            self.conn.executemany(_INSERT, inserts)
        if replaces:
            self.conn.executemany(_REPLACE, replaces)
        if applied:
            self.conn.executemany("REPLACE INTO progress VALUES (?, ?)", applied.items())
        if at_once or (self.sharing.changed and time.monotonic() - self._updated_at > _UPDATE_S):
            self._update_connections()
        self.conn.execute("COMMIT")
        self.runs += self._started
        self._started.clear()
        self._pending.update(opened)
        for key in ended:
            self._pending.pop(key, None)
        self.last_error = None
        self._checkpoints.written(len(batch))
        for waiting, result in done:
            if waiting is not None:
                waiting.set_result(result)
        self._announce()

    def _take_id(self) -> int:
        number = self._next_id
        self._next_id += 1
        return number

    def _take_seq(self) -> int:
        seq = self._next_seq
        self._next_seq += 1
        return seq

    def _run_of(self, run_id: int | None) -> int:
        """Return the run that an item belongs to; it exists, though SQLite looks up no references here."""
        if run_id is None:
            if not self.runs:
                raise StoreError("the exchange names no run, and none was started")
            run_id = self.runs[-1]
        if run_id not in self._known_runs:
            require_run(self.conn, run_id)
            self._known_runs.add(run_id)
        return run_id

    def _note(self, kind: str, value: Any) -> bool:  # noqa: ANN401 - as the kind has it
        """Take what nobody waits for; return whether it is worth writing the counters of connections at once."""
        if kind == "event":
            self._insert_event(value)
        if kind != "connection":
            return False
        connection: Connection = value
        for run_id in reversed(self.runs):
            if self.sharing.knows(run_id, connection):
                break
        else:
            run_id = self._run_of(None)
        self.sharing.connection(run_id, connection)
        return connection.closed_at is not None

    def _insert_event(self, event: TunnelEvent) -> None:
        run_id = self._run_of(event.run_id) if event.run_id is not None or self.runs else None
        self.conn.execute(
            "INSERT INTO tunnel_events (run_id, at, state, url, message) VALUES (?, ?, ?, ?, ?)",
            (run_id, to_iso(event.at), event.state, event.url, event.message),
        )

    def _update_connections(self) -> None:
        self.sharing.update()
        self._updated_at = time.monotonic()

    def _begin(self) -> None:
        """Start a transaction that has the write lock; learn what other processes did since the last one."""
        self.conn.execute("BEGIN IMMEDIATE")
        (version,) = self.conn.execute("PRAGMA data_version").fetchone()
        if version != self._data_version:
            # Another connection committed: rows may be gone (prune), numbers be taken. None means: we rolled back.
            self._known_runs.clear()
            self.sharing.forget()
            self.sharing.refresh()
            self._next_id, self._next_seq = next_numbers(self.conn)
            self._data_version = version

    def _rollback(self) -> None:
        if self.conn.in_transaction:
            self.conn.rollback()
        self.sharing.forget()
        self._started.clear()
        self._data_version = None

    def _announce(self) -> None:
        newest = self._next_seq - 1
        if newest == self._announced:
            return
        self._announced = newest
        for callback in tuple(self.callbacks):
            try:
                callback(newest)
            except RuntimeError:
                self.callbacks.remove(callback)

    # --- when nothing waits ---

    def _rest(self) -> bool:
        """Do a small step of what can wait; return whether there was something to do."""
        if self.last_error is not None:
            self._probe()
            return True
        try:
            self._begin()
            if self.sharing.changed:
                self._update_connections()
                worked = True
            else:
                worked = self.derives and derive.step(self.conn, _STEP, within_s=_STEP_S) > 0
            self.conn.execute("COMMIT")
        except sqlite3.Error as exc:
            self._rollback()
            self.last_error = translate(exc, self.path)
            return True
        except Exception:  # noqa: BLE001 - a fault in making derived rows must not end the recording: that is what the house is for
            self._rollback()
            self.derives = False
            _log.exception("derived rows are not made any more in this process")
            return False
        return worked

    def _probe(self) -> None:
        """Find out whether the database can be written again after an error."""
        try:
            if shutil.disk_usage(self.path.parent).free < _NEEDED:
                return
            self._begin()
            self.conn.execute("REPLACE INTO progress VALUES ('probe', ?)", (int(time.time()),))
            self.conn.execute("COMMIT")
        except (sqlite3.Error, OSError):
            self._rollback()
        else:
            self.last_error = None

    def _finish(self, rest: list[Item], *, orderly: bool) -> None:
        """Before closing: write what came in while stopping, mark what is still in flight, derive for a moment.

        A database that is locked is waited for once; what is left then, the next start finds and marks.
        """
        if rest and not self.write_group(rest):
            return
        if self.sharing.changed and not self.write_group([Item("call", self.sharing.update, Future())]):
            return
        if not orderly:
            return
        if self._pending:
            ids = list(self._pending.values())
            self.write_group([Item("call", lambda: self._abort(ids), Future())])
        until = time.monotonic() + _CLOSING_S
        while self.last_error is None and time.monotonic() < until and self._rest():
            pass

    def _recover(self) -> None:
        """Mark exchanges as aborted that were in flight in processes which do not live any more."""
        self._begin()
        runs = self.conn.execute(
            "SELECT id, process FROM runs WHERE ended_at IS NULL OR id IN"
            " (SELECT run_id FROM exchanges WHERE state = 'pending')"
        ).fetchall()
        for run_id, process in runs:
            if is_alive(process):
                continue
            pending = self.conn.execute(
                "SELECT id FROM exchanges WHERE run_id = ? AND state = 'pending' ORDER BY id", (run_id,)
            )
            self.recovered += self._abort([number for (number,) in pending.fetchall()])
            # When it died nobody knows; its last exchange is the last that is known of it.
            self.conn.execute(
                "UPDATE runs SET ended_at = (SELECT max(coalesce(ended_at, started_at)) FROM"
                " (SELECT * FROM exchanges WHERE run_id = runs.id ORDER BY id DESC LIMIT 1000))"
                " WHERE id = ? AND ended_at IS NULL",
                (run_id,),
            )
        self.conn.execute("COMMIT")

    def _adopt_run(self, run_id: int) -> None:
        """Go on with a run that another writer of the same process began, and with what it left in flight."""
        self._run_of(run_id)
        self.runs.append(run_id)
        self.look_for_pending(run_id)

    def look_for_pending(self, run_id: int) -> None:
        """Learn what is in flight in a run, or was taken for aborted, so that what comes of it takes its place."""
        found = self.conn.execute(
            "SELECT uid, id FROM exchanges WHERE run_id = ? AND state IN ('pending', 'aborted')", (run_id,)
        ).fetchall()
        self._pending.update({(run_id, uid): number for uid, number in found})

    def _abort(self, ids: list[int]) -> int:
        self.conn.executemany(
            "UPDATE exchanges SET state = 'aborted', seq = ? WHERE id = ? AND state = 'pending'",
            [(self._take_seq(), number) for number in ids],
        )
        return len(ids)


def refuse(batch: list[Item], error: StoreError) -> None:
    """Answer what was not answered."""
    for item in batch:
        if item.answer is not None and not item.answer.done():
            item.answer.set_exception(error)
