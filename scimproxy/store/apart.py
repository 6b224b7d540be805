"""The store in a process of its own, spoken to from an event loop: what a recording under load writes through.

One rule: nothing waits here. What most exchanges are stands in the ahead file (ahead.py) and is told at once; the
rest is queued, what comes in one turn of the loop goes out together, and the writer takes all that has come while
it was busy, so that a busy recorder pays for neither locks nor threads, and SQLite never holds up its traffic. When
the writing process dies, what was not told fails, another one is started, and it goes on with the same run and the
same file. One that does not answer for long is ended, so that nothing waits for ever and what waits is bounded.
Everything is called in the event loop that `open` ran in. Place in the flow: Recorder -> here -> [socket] ->
serving.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import logging
import pickle
import socket
import subprocess
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from scimproxy.errors import StoreBusy, StoreError
from scimproxy.exchange import Connection, Exchange, Run, TunnelEvent
from scimproxy.passed import Passed
from scimproxy.store.ahead import Ahead, left_there
from scimproxy.store.child import ended, start
from scimproxy.store.ends import Ends, Told
from scimproxy.store.process import this_process
from scimproxy.store.rows import NO_CHANGES, RUN_PLACE, loose_row, passed_row
from scimproxy.store.wire import Encoder, Frames, frame, pickled
from scimproxy.store.writing import UNSTORABLE, fault

__all__ = ["StoreApart"]

_log = logging.getLogger(__name__)

_PIECE = 16_384
"""Bytes read at once: answers are short, and a large buffer is mapped and unmapped by the kernel each time."""
_TOGETHER = 262_144
"""At most so many bytes are copied to be sent together; it is about what a socket takes at once."""
_SMALL = 65_536
"""A content of more bytes does not stand ahead."""
_YEAR_10000 = 253_402_300_800.0
"""No time from here on fits into a database. What a clock gave that stepped back or is broken is awaited."""
_GATHER_S = 0.015
"""So long what nobody waits for is gathered before the writer is woken; less than what it takes for quiet."""
_AGAIN_S = 0.5
"""So long after the end of a writing process the next one is started."""
_PATIENCE_S = 5.0
"""So long a run's beginning or end waits for another process to be started; exchanges do not wait for one."""
_TWICE = {"flush", "update_run", "finish_run"}
"""What can be done twice with the same end."""
_LOOK_S = 1.0
"""So often the writer is looked at. Its time is counted in looks: none pass while we are stopped ourselves."""
_SLOW = 10
"""So many looks without an answer, and nothing more is taken: clients are refused before their server is asked."""
_STUCK = 30
"""So many, and the writer is ended. Waiting for another process's lock, even twice when it closes, is shorter."""
_HURRIED = 3
"""So many where somebody wants to end at once."""
_MOST_HELD = 64 * 1024 * 1024
"""So many bytes may wait to be sent: clients that hang up leave their exchanges here, however slow the writer is."""
_MOST_WAITING = 10_000
"""So many exchanges may wait for their commit; what an engine keeps of each is more than what travels."""


class StoreApart:
    """The writer of a database in a process of its own; make it with `open`.

    `recovered` is how many exchanges a crash had left in flight; they are `aborted` now. `last_error` is why nothing
    can be written at present; it ends by itself.
    """

    def __init__(self, path: Path, *, durable: bool) -> None:
        self.path = path
        self.recovered = 0
        self.last_error: StoreError | None = None
        self._durable = durable
        self._loop = asyncio.get_running_loop()
        self._process: subprocess.Popen[bytes] | None = None
        self._sock: socket.socket | None = None
        self._open = False
        self._flushing = False
        self._frames = Frames()
        self._encoder = Encoder()
        self._out: deque[bytes | memoryview] = deque()
        self._held = 0  # bytes in there
        self._ahead: Ahead | None = None
        self._marked = 0  # the writer knows of its entries up to this one
        self._timer: asyncio.TimerHandle | None = None
        self._silent = 0  # looks since the writer's last answer
        self._stuck = _STUCK
        self._waiting: deque[Told] = deque()
        self._ends = Ends(self._loop)
        self._calls: dict[int, asyncio.Future[Any]] = {}
        self._numbers = 0
        self._hello: asyncio.Future[tuple[bytes | None, int, str | None, int]] | None = None
        self._gone = asyncio.Event()
        self._gone.set()
        self._callbacks: list[Callable[[int], None]] = []
        self._newest = 0
        self._runs: list[int] = []
        self._closing = False
        self._again: asyncio.Task[None] | None = None

    @classmethod
    async def open(cls, path: Path | str, *, durable: bool = False) -> StoreApart:
        """Start the process, which opens (or makes) the database and brings its schema up to date.

        Raises:
            StoreError: or a child: the file or its folder cannot be used, or the process cannot be started.
        """
        store = cls(Path(path), durable=durable)
        try:
            await store._start()
        except asyncio.CancelledError:
            await store.close()
            raise
        return store

    # --- what travels: queued in order ---

    def submit_then(self, exchange: Exchange, told: Told, changes: Mapping[str, Any] = NO_CHANGES) -> None:
        """Queue an exchange; `told` is called once, with None when it is committed, else with the StoreError.

        `changes` are fields that are stored in place of the exchange's own.
        """
        try:
            row = loose_row(exchange, changes)
        except UNSTORABLE as exc:
            self._loop.call_soon(told, _unstorable(exc))
            return
        self._submit("exchange", row, told)

    def submit_passed(self, passed: Passed, told: Told) -> None:
        """Do the same for an exchange that went as most do; `told` may be called before this returns."""
        row = passed_row(passed)
        ahead = self._ahead
        if (
            ahead is not None
            and self._open
            and self._runs
            and len(passed.content.data) <= _SMALL
            and len(passed.response_content.data) <= _SMALL
            and 0.0 <= passed.started_at <= passed.ended_at < _YEAR_10000
        ):
            row[RUN_PLACE] = self._runs[-1]
            try:
                stands = ahead.append(row)
            except UNSTORABLE as exc:
                told(_unstorable(exc))
                return
            if stands:
                self._later()
                told(None)
                return
        self._submit("exchange", row, told)

    def pending(self, exchange: Exchange, told: Told | None = None) -> None:
        """Queue an exchange in flight; a later `submit_then` with its `uid` makes the row final. `told`: as there."""
        if told is not None:
            self._submit("opened", loose_row(exchange), told)
        # What an encoder was asked has to be sent: the other end knows the same of what is shared.
        elif self._open and not self._is_full():
            with contextlib.suppress(*UNSTORABLE):
                self._put(*self._encoder.row("pending", loose_row(exchange)))

    def connection(self, connection: Connection) -> None:
        """Queue what became of a connection."""
        if not self._is_full():
            self._put(frame([("value", "connection", pickled(connection))]), later=True)

    def tunnel_event(self, event: TunnelEvent) -> None:
        """Queue a change of the tunnel's state; without a `run_id` it belongs to the newest run."""
        self._put(frame([("value", "event", pickled(event))]))

    # --- runs: each done when it returns ---

    async def start_run(self, run: Run) -> Run:
        """Store a run and return it with its id; exchanges without a `run_id` belong to the newest one."""
        number = int(await self._call("start_run", run))
        self._runs.append(number)
        return replace(run, id=number)

    async def update_run(self, run: Run) -> None:
        """Store the changed fields of a run, by its id.

        Raises:
            StoreError: there is no such run, or it cannot be written.
        """
        await self._call("update_run", run)

    async def finish_run(self, run_id: int, *, ended_at: float, lost: int | None = None) -> None:
        """Store that a run ended, and how many exchanges passed it unrecorded.

        Raises:
            StoreError: there is no such run, or it cannot be written.
        """
        await self._call("finish_run", run_id, ended_at, lost)

    async def delete_run(self, run_id: int) -> None:
        """Delete a run that made no exchanges.

        Raises:
            StoreError: there is no such run, or exchanges belong to it.
        """
        await self._call("delete_run", run_id)
        self._runs.remove(run_id)

    async def flush(self) -> None:
        """Wait until everything queued so far is written, counters of connections included.

        Raises:
            StoreError: it cannot be written.
        """
        await self._call("flush")

    def on_commit(self, callback: Callable[[int], None]) -> None:
        """Call back with the newest `seq` after commits that gave one."""
        self._callbacks.append(callback)

    def hurry(self) -> None:
        """Wait no longer than a moment for a writer that does not answer: somebody wants to end at once."""
        self._stuck = _HURRIED

    async def close(self) -> None:
        """Write everything queued, close the database and end the process. Safe to call twice.

        A process that does not come to an end is ended; what is not written then was answered to nobody, or stands
        ahead for the next who opens the database.
        """
        self._closing = True
        if self._again is not None:
            self._again.cancel()
            await asyncio.gather(self._again, return_exceptions=True)
        if self._timer is not None:
            self._timer.cancel()
        if self._sock is not None:
            self._put(frame([("close",)]))
            self._open = False
            self._put_end()
        else:
            self._say_what_is_left()
        await self._gone.wait()
        self._leave_ahead()

    # --- the process ---

    async def _start(self) -> None:
        try:
            self._process, ours = start()
        except OSError as exc:
            raise StoreError(f"the process that writes the database cannot be started: {exc.strerror}") from exc
        self._gone.clear()
        self._hello = self._loop.create_future()
        self._frames = Frames()
        self._encoder = Encoder()
        self._silent = 0
        self._flushing = False  # the last one may have died while it took no more
        ours.setblocking(False)  # noqa: FBT003 - socket's own method
        self._sock = ours
        self._loop.add_reader(ours, self._readable)
        self._loop.call_later(_LOOK_S, self._look, ours)
        # Where we had a run, a database that is gone is not to be made anew behind everybody's back.
        ahead = None if self._durable else "" if self._ahead is None else str(self._ahead.path)
        told = (str(self.path), self._durable, not self._runs, this_process(), self._runs, ahead)
        with contextlib.suppress(OSError):  # it has ended already, and its socket tells
            await self._loop.sock_sendall(ours, frame(told))
        problem, recovered, path, applied = await self._hello
        if problem is not None:
            await self._gone.wait()
            raise pickle.loads(problem)  # noqa: S301 - from our own child
        if self._sock is not ours:  # it died between its hello and now
            raise StoreError("the process that writes the database ended as soon as it had begun")
        self._hello = None
        self.recovered += recovered
        self._follow(path, applied)
        self._open = True
        if self._ahead is not None:
            self._marked = 0
            self._later()

    def _follow(self, path: str | None, applied: int) -> None:
        """Go on with the ahead file that the writer follows, where it does."""
        if self._ahead is not None and str(self._ahead.path) == path:
            self._ahead.applied = applied
            return
        self._say_what_is_left()
        self._leave_ahead()
        if path is not None:
            self._ahead = Ahead.open(Path(path))

    def _say_what_is_left(self) -> None:
        ahead = self._ahead
        if ahead is not None and ahead.number > ahead.applied:
            _log.warning("%s", left_there(ahead.number - ahead.applied, ahead.path))

    def _leave_ahead(self) -> None:
        if self._ahead is not None:
            self._ahead.close()
            self._ahead = None

    def _submit(self, kind: str, row: list[Any], told: Told) -> None:
        if not self._open or self._is_full():
            self._loop.call_soon(told, self.last_error or self._closed())
            return
        try:
            data = self._encoder.row(kind, row)
        except UNSTORABLE as exc:
            self._loop.call_soon(told, _unstorable(exc))
            return
        self._waiting.append(told)
        self._put(*data)

    def _put(self, *data: bytes, later: bool = False) -> None:
        """Queue what is to be sent, behind all that stands ahead; `later`: nobody waits for it."""
        if not self._open:
            return
        self._mark()
        self._out += data
        self._held += sum(map(len, data))
        if later:
            self._later()
        elif not self._flushing:
            self._flushing = True
            self._loop.call_soon(self._flush)

    def _later(self) -> None:
        """Send what is queued in a moment, together with what comes until then: a commit costs more than its rows."""
        if self._timer is None and not self._flushing:
            self._timer = self._loop.call_later(_GATHER_S, self._flush)

    def _mark(self) -> None:
        """Tell the writer up to where it may read the ahead file, in the place among other items that this has."""
        ahead = self._ahead
        if ahead is not None and ahead.number > self._marked:
            self._marked = ahead.number
            data = frame([("standing", ahead.number)])
            self._out.append(data)
            self._held += len(data)

    def _flush(self) -> None:
        """Send what is queued, as much as the socket takes."""
        self._flushing = False
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._open:
            self._mark()
        sock, out = self._sock, self._out
        if sock is None:
            return
        while out:
            data = self._gathered()
            try:
                sent = sock.send(data)
            except BlockingIOError:
                sent = 0
            except OSError:  # the process is gone: `_lost` settles what it left
                self._drop()
                return
            self._held -= sent
            if sent < len(data):
                out.appendleft(memoryview(data)[sent:])
                self._flushing = True
                self._loop.add_writer(sock, self._writable)
                return

    def _gathered(self) -> bytes | memoryview:
        """Take what is next to be sent: a big content by itself, small things together, for a queue may be long."""
        out = self._out
        first = out.popleft()
        if not out or len(first) + len(out[0]) > _TOGETHER:
            return first
        gathered, size = [first], len(first)
        while out and size + len(out[0]) <= _TOGETHER:
            size += len(out[0])
            gathered.append(out.popleft())
        return b"".join(gathered)

    def _drop(self) -> None:
        self._out.clear()
        self._held = 0

    def _is_full(self) -> bool:
        """Whether so much waits that nothing more is taken; then it is told, and ends with the next answers."""
        if self._held <= _MOST_HELD and len(self._waiting) <= _MOST_WAITING:
            return False
        self.last_error = self.last_error or self._behind()
        return True

    def _behind(self) -> StoreBusy:
        waiting = f"{len(self._waiting)} exchanges wait for it"
        return StoreBusy(
            f"the process that writes the database {self.path} is too slow, {waiting}",
            hint="look at what else keeps that disk busy; recording goes on by itself",
        )

    def _look(self, sock: socket.socket) -> None:
        """See whether the writer still answers; called once a second while this is its socket."""
        if self._sock is not sock:
            return
        self._loop.call_later(_LOOK_S, self._look, sock)
        opening = self._hello is not None  # which may take long: an old schema is brought up to date
        ahead = self._ahead
        waiting = self._waiting or self._calls or (ahead is not None and ahead.number > ahead.applied)
        if not (self._closing or (waiting and not opening)):
            self._silent = 0
            return
        self._silent += 1
        if self._silent >= _SLOW and not self._closing:
            self.last_error = self.last_error or StoreBusy(
                f"the process that writes the database {self.path} does not answer",
                hint="look at its disk; if it goes on like this it is ended, and another one started",
            )
        if self._silent >= self._stuck and self._process is not None:
            _log.warning("the process that writes the database does not answer, and is ended")
            self._process.kill()

    def _writable(self) -> None:
        assert self._sock is not None
        self._loop.remove_writer(self._sock)
        self._flush()

    def _put_end(self) -> None:
        """Tell the process to write what it has and to end, once all has gone out."""
        if self._out:
            self._flush()
        if self._out:
            self._loop.call_later(0.01, self._put_end)
        elif self._sock is not None:
            with contextlib.suppress(OSError):  # it has ended
                self._sock.shutdown(socket.SHUT_WR)

    async def _call(self, name: str, *values: Any) -> Any:  # noqa: ANN401 - as the call has it
        await self._until_there_is_one()
        try:
            return await self._called(name, values)
        except StoreError:
            # The writer died meanwhile. Nobody knows whether it did this; where it can be done twice, it is.
            if self._open or name not in _TWICE or not await self._until_there_is_one():
                raise
            return await self._called(name, values)

    async def _until_there_is_one(self) -> bool:
        """Wait while another writer is started; return whether there is one."""
        if not self._open and self._again is not None and not self._closing:
            await asyncio.wait({self._again}, timeout=_PATIENCE_S)
        return self._open

    async def _called(self, name: str, values: tuple[Any, ...]) -> Any:  # noqa: ANN401 - as the call has it
        if not self._open:
            raise self.last_error or self._closed()
        self._numbers += 1
        number = self._numbers
        future: asyncio.Future[Any] = self._loop.create_future()
        self._calls[number] = future
        self._put(frame([("call", number, name, pickled(values))]))
        return await future

    def _closed(self) -> StoreError:
        return StoreError(f"the database {self.path} is closed")

    # --- what comes back ---

    def _readable(self) -> None:
        assert self._sock is not None
        try:
            data = self._sock.recv(_PIECE)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if not data:
            self._lost()
            return
        for message in self._frames.feed(data):
            if self._hello is None:
                self._take(*message)
            elif not self._hello.done():  # else whoever waited for it was cancelled, to close
                self._hello.set_result(message)

    def _lost(self) -> None:
        """Settle what the process left behind: an orderly end after `close`, or its death."""
        assert self._sock is not None
        self._loop.remove_reader(self._sock)
        self._loop.remove_writer(self._sock)
        self._sock.close()
        was_open = self._open
        self._sock, self._open = None, False
        self._drop()
        process, self._process = self._process, None
        assert process is not None
        code = process.wait()  # its descriptors are closed: it has ended, or is just about to
        why = f"the process that writes the database {ended(code)}"
        if self._hello is not None and not self._hello.done():
            hint = "its message stands above" if code >= 0 else "try again"
            self._hello.set_result((pickled(StoreError(why, hint=hint)), 0, None, 0))
        elif was_open and not self._closing:  # else it never began to write, and whoever starts it goes on
            self.last_error = StoreError(why, hint="another one is being started")
            _log.info("%s; another one is started", why)
            self._again = self._loop.create_task(self._restart())
        elif self._closing and code:
            _log.warning("%s before it had closed the database; nothing that was answered is lost", why)
        problem = self.last_error or (StoreError(why) if code else self._closed())
        while self._waiting:
            self._ends.add(self._waiting.popleft(), problem)
        calls, self._calls = self._calls, {}
        for future in calls.values():
            if not future.done():
                future.set_exception(problem)
        self._gone.set()
        self._ends.tell()

    async def _restart(self) -> None:
        """Start another process, which goes on with the runs of this recorder."""
        while True:
            await asyncio.sleep(_AGAIN_S)
            try:
                await self._start()
            except StoreError as exc:
                self.last_error = exc
            else:
                self.last_error = None
                return

    # --- answers ---

    def _take(
        self,
        outcomes: int | list[bytes | None],
        replies: list[tuple[int, bytes | None]],
        newest: int,
        error: bytes | None,
        applied: int,
    ) -> None:
        self._silent = 0
        if self._ahead is not None:
            self._ahead.applied = applied
            if applied < 0:  # the writer has told why; what was appended since it may still be able to read
                self._mark()
                self._later()
                self._leave_ahead()
        self.last_error = None if error is None else pickle.loads(error)  # noqa: S301 - from our own child
        waiting, ends = self._waiting, self._ends
        for outcome in itertools.repeat(None, outcomes) if isinstance(outcomes, int) else outcomes:
            ends.add(waiting.popleft(), None if outcome is None else pickle.loads(outcome))  # noqa: S301 - as above
        for number, value in replies:
            future = self._calls.pop(abs(number))
            if future.done():
                continue
            if number < 0:
                assert value is not None
                future.set_exception(pickle.loads(value))  # noqa: S301 - as above
            else:
                future.set_result(None if value is None else pickle.loads(value))  # noqa: S301 - as above
        if newest != self._newest:
            self._newest = newest
            for callback in self._callbacks:
                callback(newest)
        ends.tell()


def _unstorable(exc: Exception) -> StoreError:
    return StoreError(f"this exchange cannot be stored: {fault(exc)}")
