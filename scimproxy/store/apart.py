"""The store in a process of its own, spoken to from an event loop: what a recording under load writes through.

One rule: nothing waits here. An idle writer gets what comes at once, a busy one gets what has collected meanwhile, so
that a busy recorder pays for neither locks nor threads, and SQLite never holds up its traffic. When the writing
process dies, what was not answered fails, another one is started, and it goes on with the same run.
Everything is called in the event loop that `open` ran in. Place in the flow: Recorder -> here -> [socket] -> serving.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import logging
import os
import pickle
import socket
import subprocess
import sys
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from scimproxy.errors import StoreError
from scimproxy.exchange import Connection, Exchange, Run, TunnelEvent
from scimproxy.store.ends import Ends, Told
from scimproxy.store.process import this_process
from scimproxy.store.rows import NO_CHANGES, loose_row
from scimproxy.store.wire import Encoder, Frames, frame, pickled
from scimproxy.store.writing import UNSTORABLE, fault

__all__ = ["StoreApart"]

_log = logging.getLogger(__name__)

_PIECE = 16_384
"""Bytes read at once: answers are short, and a large buffer is mapped and unmapped by the kernel each time."""
_TOGETHER = 262_144
"""At most so many bytes are copied to be sent together; it is about what a socket takes at once."""
_AGAIN_S = 0.5
"""So long after the end of a writing process the next one is started."""


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
        self._busy = False  # the writer has something that it did not answer yet
        self._flushing = False
        self._frames = Frames()
        self._encoder = Encoder()
        self._out: deque[bytes | memoryview] = deque()
        self._waiting: deque[Told] = deque()
        self._ends = Ends(self._loop)
        self._calls: dict[int, asyncio.Future[Any]] = {}
        self._numbers = 0
        self._hello: asyncio.Future[tuple[bytes | None, int]] | None = None
        self._gone = asyncio.Event()
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
        await store._start()
        return store

    # --- what travels: queued in order ---

    def submit_then(self, exchange: Exchange, told: Told, changes: Mapping[str, Any] = NO_CHANGES) -> None:
        """Queue an exchange; `told` is called once, with None when it is committed, else with the StoreError.

        `changes` are fields that are stored in place of the exchange's own.
        """
        try:
            self._put(*self._encoder.row("exchange", loose_row(exchange, changes)))
        except UNSTORABLE as exc:
            self._loop.call_soon(told, StoreError(f"this exchange cannot be stored: {fault(exc)}"))
            return
        if not self._open:
            self._loop.call_soon(told, self.last_error or self._closed())
        else:
            self._waiting.append(told)

    def pending(self, exchange: Exchange) -> None:
        """Queue an exchange in flight; a later `submit_then` with its `uid` makes the row final."""
        with contextlib.suppress(*UNSTORABLE):
            self._put(*self._encoder.row("pending", loose_row(exchange)))

    def connection(self, connection: Connection) -> None:
        """Queue what became of a connection."""
        self._put(frame([("value", "connection", pickled(connection))]))

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

    async def close(self) -> None:
        """Write everything queued, close the database and end the process. Safe to call twice."""
        self._closing = True
        if self._again is not None:
            self._again.cancel()
            await asyncio.gather(self._again, return_exceptions=True)
        if self._sock is not None:
            self._put(frame([("close",)]))
            self._open = False
            self._put_end()
        await self._gone.wait()

    # --- the process ---

    async def _start(self) -> None:
        ours, theirs = socket.socketpair()
        self._gone.clear()
        package = str(Path(__file__).parent.parent.parent)
        search = [package, *filter(None, [os.environ.get("PYTHONPATH")])]
        try:
            # In a session of its own, so that a terminal's signals end the recorder in order and not its writer.
            self._process = subprocess.Popen(  # noqa: ASYNC220, S603 - our own program; its end is seen by its socket
                [sys.executable, "-P", "-m", "scimproxy.store.serving", str(theirs.fileno())],
                pass_fds=[theirs.fileno()],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                start_new_session=True,
                env={**os.environ, "PYTHONPATH": os.pathsep.join(search)},
            )
        except OSError as exc:
            ours.close()
            self._gone.set()
            raise StoreError(f"the process that writes the database cannot be started: {exc.strerror}") from exc
        finally:
            theirs.close()
        self._hello = self._loop.create_future()
        self._frames = Frames()
        self._encoder = Encoder()
        ours.setblocking(False)  # noqa: FBT003 - socket's own method
        self._sock = ours
        self._loop.add_reader(ours, self._readable)
        await self._loop.sock_sendall(ours, frame((str(self.path), self._durable, True, this_process())))
        problem, recovered = await self._hello
        self._hello = None
        if problem is not None:
            await self._gone.wait()
            raise pickle.loads(problem)  # noqa: S301 - from our own child
        self.recovered += recovered
        self._open, self._busy = True, False

    def _put(self, *data: bytes) -> None:
        if not self._open:
            return
        self._out += data
        if not self._busy:
            self._flush()
        elif not self._flushing:
            self._flushing = True
            self._loop.call_soon(self._flush)

    def _flush(self) -> None:
        """Send what is queued, as much as the socket takes."""
        self._flushing = False
        sock = self._sock
        if sock is None or not self._out:
            return
        self._busy = True
        while self._out:
            data = self._gathered()
            try:
                sent = sock.send(data)
            except BlockingIOError:
                sent = 0
            except OSError:  # the process is gone: `_lost` settles what it left
                self._out.clear()
                return
            if sent < len(data):
                self._out.appendleft(memoryview(data)[sent:])
                self._flushing = True
                self._loop.add_writer(sock, self._writable)
                return

    def _gathered(self) -> bytes | memoryview:
        """Take what is next to be sent: a big content by itself, small things together."""
        out = self._out
        first = out.popleft()
        if not out or len(first) + len(out[0]) > _TOGETHER:
            return first
        gathered, size = [first], len(first)
        while out and size + len(out[0]) <= _TOGETHER:
            size += len(out[0])
            gathered.append(out.popleft())
        return b"".join(gathered)

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
            self._sock.shutdown(socket.SHUT_WR)

    async def _call(self, name: str, *values: Any) -> Any:  # noqa: ANN401 - as the call has it
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
            if self._hello is not None:
                self._hello.set_result(message)
            else:
                self._take(*message)

    def _lost(self) -> None:
        """Settle what the process left behind: an orderly end after `close`, or its death."""
        assert self._sock is not None
        self._loop.remove_reader(self._sock)
        self._loop.remove_writer(self._sock)
        self._sock.close()
        self._sock, self._open = None, False
        self._out.clear()
        process, self._process = self._process, None
        assert process is not None
        code = process.wait()  # its descriptors are closed: it has ended, or is just about to
        why = f"the process that writes the database ended (code {code})"
        if self._hello is not None and not self._hello.done():
            self._hello.set_result((pickled(StoreError(why, hint="its message stands above")), 0))
        elif self._hello is None and not self._closing:
            self.last_error = StoreError(why, hint="another one is being started")
            _log.warning("%s; another one is started", why)
            self._again = self._loop.create_task(self._restart())
        problem = self.last_error or self._closed()
        while self._waiting:
            self._ends.add(self._waiting.popleft(), problem)
        calls, self._calls = self._calls, {}
        for future in calls.values():
            if not future.done():
                future.set_exception(problem)
        self._gone.set()
        self._ends.tell()

    async def _restart(self) -> None:
        """Start another process and go on with the runs of this recorder."""
        while True:
            await asyncio.sleep(_AGAIN_S)
            try:
                await self._start()
            except StoreError as exc:
                self.last_error = exc
                continue
            for number in self._runs:
                await self._call("adopt_run", number)
            self.last_error = None
            return

    # --- answers ---

    def _take(
        self,
        outcomes: int | list[bytes | None],
        replies: list[tuple[int, bytes | None]],
        newest: int,
        error: bytes | None,
    ) -> None:
        self._busy = False
        if self._out and not self._flushing:
            self._flush()
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
