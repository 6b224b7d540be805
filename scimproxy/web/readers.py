"""Reading the store for pages: in threads, a few at a time, each with a Reader of its own, within a time.

One rule: a question that takes too long is ended and told so; it neither blocks the event loop nor the other pages.
A reader is taken, used and given back in the thread, so that none is left open whatever becomes of the page.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from pathlib import Path

from scimproxy.errors import StoreError
from scimproxy.store import Reader

__all__ = ["Eye", "Readers"]

_MOST = 4
_LIMIT_S = 20.0


class Readers:
    """Readers of one database. `catches_up`: whether searches may make the derived rows that are missing."""

    def __init__(self, path: Path, *, catches_up: bool) -> None:
        self.path = path
        self._catches_up = catches_up
        self._lock = threading.Lock()
        self._free: list[Reader] = []
        self._turn = asyncio.Semaphore(_MOST)
        self._closed = False

    async def ask[T](self, question: Callable[[Reader], T], *, limit_s: float = _LIMIT_S) -> T:
        """Return what a question finds, asked in a thread.

        Raises:
            StoreError: or a child: the database cannot be read, or the question took too long.
        """
        used: list[Reader] = []

        def work() -> T:
            reader = self._take()
            used.append(reader)
            try:
                return question(reader)
            finally:
                self._give(used)

        async with self._turn:
            asking = asyncio.ensure_future(asyncio.to_thread(work))
            asking.add_done_callback(lambda it: it.cancelled() or it.exception())  # nobody may be left to hear it
            done = None
            try:
                done, _ = await asyncio.wait({asking}, timeout=limit_s)
            finally:
                if not done:
                    self._end(used)
            if not done:
                raise StoreError(f"this takes longer than {limit_s:g} s", hint="narrow it down, with run: or status:")
            return asking.result()

    def close(self) -> None:
        """Close what is open; what is being asked closes its own."""
        with self._lock:
            self._closed = True
            while self._free:
                self._free.pop().close()

    def _take(self) -> Reader:
        with self._lock:
            used = self._free.pop() if self._free else None
        if used is not None:
            used.settle()
            return used
        reader = Reader.open(self.path)
        reader.catches_up = self._catches_up
        return reader

    def _end(self, used: list[Reader]) -> None:
        """End a question that goes on; one that has just ended gave its reader back, which is another's by now."""
        with self._lock:
            for reader in used:
                reader.interrupt()

    def _give(self, used: list[Reader]) -> None:
        with self._lock:
            reader = used.pop()
            if self._closed or reader.ended:
                reader.close()
            else:
                self._free.append(reader)


class Eye:
    """Looks whether something was committed; opened when it first looks, closed for good by `close`."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._lock = threading.Lock()
        self._reader: Reader | None = None
        self._closed = False

    def look(self) -> int | None:
        """Return a number that differs after every commit; None when it is closed.

        Raises:
            StoreError: the database cannot be read; the next look opens it anew.
        """
        with self._lock:
            if self._closed:
                return None
            try:
                if self._reader is None:
                    self._reader = Reader.open(self._path)
                return self._reader.data_version()
            except StoreError:
                self._shut()
                raise

    def close(self) -> None:
        """Close the database."""
        with self._lock:
            self._closed = True
            self._shut()

    def _shut(self) -> None:
        if self._reader is not None:
            self._reader.close()
            self._reader = None
