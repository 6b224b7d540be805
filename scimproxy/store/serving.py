"""The process that writes for a recorder: items come through a socket, answers go back, SQLite is written here.

One rule: it lives for one recorder. The end of the socket is the wish to stop, whatever made it: what came before is
written, then it ends. Where the recorder died, what it left in flight is for the next start to find and to tell.
Signals of a terminal are the recorder's business and pass it by. So it can neither be left behind nor end early.
Started by apart.py, which gives the descriptor and where to import from.
"""

from __future__ import annotations

import contextlib
import pickle
import signal
import socket
import sys
from collections import deque
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from scimproxy.errors import StoreError
from scimproxy.memory import give_back
from scimproxy.store.following import Following
from scimproxy.store.wire import Decoder, Frames, frame, pickled
from scimproxy.store.writing import GROUP, Item, Writer

__all__ = ["main", "serve"]

_PIECE = 256 * 1024


class _Reply:
    """The answer to an item: it takes its place among those that go back together."""

    __slots__ = ("_number", "_replies", "_told")

    def __init__(self, replies: list[tuple[int, bytes | None]], number: int) -> None:
        self._replies = replies
        self._number = number
        self._told = False

    def set_result(self, result: Any) -> None:  # noqa: ANN401 - an id, or what a call returned
        self._told = True
        self._replies.append((self._number, None if result is None else pickled(result)))

    def set_exception(self, problem: BaseException) -> None:
        self._told = True
        self._replies.append((-self._number, pickled(problem)))

    def done(self) -> bool:
        return self._told


class _Committed:
    """The answer to exchanges: only how many were committed goes back, unless one was not."""

    __slots__ = ("_told", "pipe")

    def __init__(self, pipe: _Pipe) -> None:
        self.pipe = pipe
        self._told = False

    def set_result(self, _id: object) -> None:
        self._told = True
        self.pipe.outcomes.append(None)

    def set_exception(self, problem: BaseException) -> None:
        self._told = True
        self.pipe.outcomes.append(pickled(problem))

    def done(self) -> bool:
        return self._told


class _Pipe:
    """The source of a writer in a process of its own: a socket. What was answered goes back before it waits again."""

    def __init__(self, sock: socket.socket, writer: Writer, following: Following | None = None) -> None:
        self._sock = sock
        self._writer = writer
        self._following = following
        self._frames = Frames()
        self._buffer = bytearray(_PIECE)  # one for all: a large one of its own each time is mapped by the kernel
        self._view = memoryview(self._buffer)
        self._decoder = Decoder()
        self._waiting: deque[Item] = deque()
        self._ended = False
        self._orderly = False  # the recorder said that it ends; else it died
        self._told: tuple[int, StoreError | None, int] = (0, None, 0)
        self._newest = 0
        self.outcomes: list[bytes | None] = []
        self._replies: list[tuple[int, bytes | None]] = []
        self._calls: dict[str, Callable[..., Any]] = {
            "start_run": writer.start_run,
            "update_run": writer.update_run,
            "finish_run": writer.finish_run,
            "delete_run": writer.delete_run,
            "flush": writer.sharing.update,
        }
        writer.callbacks.append(self._committed)

    def take(self, wait_s: float | None) -> list[Item]:
        self._answer()
        self._rewind()
        failing = self._writer.last_error is not None
        # What stands ahead is tried again when the database can be written, or together with what has come.
        held = failing and all(item.kind == "standing" for item in self._waiting)
        if not self._ended and (held or not self._waiting):
            self._receive(wait_s)
            held = failing and all(item.kind == "standing" for item in self._waiting)
        if self._ended and failing:
            return [Item("stop", self._orderly, None)]  # the rest is tried once more, as `rest`
        items = [] if held and not self._ended else self._next(GROUP)
        if self._ended and not self._waiting:
            items.append(Item("stop", self._orderly, None))
        return items

    def rest(self) -> list[Item]:
        self._answer()
        self._rewind()
        if self._following is not None:
            self._following.is_over = True
        return self._next(10**9)

    def _rewind(self) -> None:
        """Put what could not be written in front again."""
        if self._following is not None and (upto := self._following.rewind()) is not None:
            self._waiting.appendleft(Item("standing", upto, None))

    def _next(self, most: int) -> list[Item]:
        """Take what is to be written next, at most so many."""
        items: list[Item] = []
        waiting, following = self._waiting, self._following
        while waiting and len(items) < most:
            if waiting[0].kind != "standing":
                items.append(waiting.popleft())
                continue
            assert following is not None
            upto = waiting[0].value
            found = following.items(upto, most - len(items))
            items += found
            if following.is_read(upto):
                waiting.popleft()
            elif not found:
                if upto is None or not following.give_up(upto):
                    waiting.popleft()
            elif most == GROUP:
                break
        return items

    def _receive(self, wait_s: float | None) -> None:
        """Take what has come; it is as much as there is, but for bodies of more than a piece."""
        try:
            self._sock.settimeout(wait_s)
            size = self._sock.recv_into(self._buffer)
        except TimeoutError:
            return
        except OSError:
            size = 0
        if not size:
            self._ended = True
            self._stands(None)
        for items in self._frames.feed(self._view[:size]):
            for item in items:
                self._take_item(*item)

    def _stands(self, upto: int | None) -> None:
        """Note that entries up to a number are to be written before what comes; None: all that was left."""
        if self._following is None:
            return
        if self._waiting and self._waiting[-1].kind == "standing":
            self._waiting.pop()
        self._waiting.append(Item("standing", upto, None))

    def _take_item(self, kind: str, *told: Any) -> None:  # noqa: ANN401 - as wire.py sends it
        if kind == "standing":
            self._stands(told[0])
        elif kind == "exchange":
            self._waiting.append(Item(kind, self._decoder.row(told[0]), _Committed(self)))
        elif kind == "pending":
            self._waiting.append(Item(kind, self._decoder.row(told[0]), None))
        elif kind == "opened":  # one in flight whose recorder waits for it
            self._waiting.append(Item("pending", self._decoder.row(told[0]), _Committed(self)))
        elif kind == "value":
            self._waiting.append(Item(told[0], pickle.loads(told[1]), None))  # noqa: S301 - from our own parent
        elif kind == "call":
            number, name, values = told
            arguments = pickle.loads(values)  # noqa: S301 - as above
            self._waiting.append(Item("call", lambda: self._calls[name](*arguments), _Reply(self._replies, number)))
        elif kind == "close":
            self._orderly = True
        else:
            self._decoder.learn(kind, *told)

    def _committed(self, newest: int) -> None:
        self._newest = newest

    def _answer(self) -> None:
        """Send what was answered since the last time, and whether the database can be written."""
        error = self._writer.last_error
        following = self._following
        applied = 0 if following is None else -1 if following.broken else following.applied
        state = (self._newest, error, applied)
        # While it fails, and something waits in the ahead file only, the recorder is to see that we live.
        if not self.outcomes and not self._replies and state == self._told and not (error and self._waiting):
            return
        self._told = state
        outcomes: object = self.outcomes if any(self.outcomes) else len(self.outcomes)
        message = frame(
            (outcomes, self._replies.copy(), self._newest, None if error is None else pickled(error), applied)
        )
        self.outcomes.clear()
        self._replies.clear()
        self._sock.settimeout(None)
        with contextlib.suppress(OSError):  # the recorder is gone: what it sent is written all the same
            self._sock.sendall(message)


def serve(
    sock: socket.socket,
    path: Path,
    *,
    durable: bool,
    create: bool,
    process: str,
    runs: Iterable[int] = (),
    ahead: str | None = None,
) -> None:
    """Open the database, say whether that went well, and write what comes until the socket ends.

    `runs` are those that another writer of the same process began; this one goes on with them, and with their `ahead`
    file. An empty name there wishes for one; None for none.
    """
    try:
        writer = Writer.open(path, durable=durable, create=create, process=process, runs=runs)
    except StoreError as exc:
        with contextlib.suppress(OSError):  # the recorder is gone
            sock.sendall(frame((pickled(exc), 0, None, 0)))
        return
    following = None if ahead is None else Following.begin(writer, ahead)
    hello = (None, writer.recovered, *((None, 0) if following is None else (str(following.path), following.applied)))
    with contextlib.suppress(OSError):  # as above; the writer is closed in order
        sock.sendall(frame(hello))
    if following is not None:
        writer.ending = following.end
    writer.work(_Pipe(sock, writer, following))


def main() -> None:
    """Serve the recorder behind the descriptor in our arguments; its first frame says what to open."""
    for name in ("SIGINT", "SIGTERM", "SIGHUP"):
        signal.signal(getattr(signal, name), signal.SIG_IGN)
    give_back()
    with socket.socket(fileno=int(sys.argv[1])) as sock:
        sock.settimeout(None)
        frames = Frames()
        while data := sock.recv(_PIECE):
            for path, durable, create, process, runs, ahead in frames.feed(data):
                serve(sock, Path(path), durable=durable, create=create, process=process, runs=runs, ahead=ahead)
                return
