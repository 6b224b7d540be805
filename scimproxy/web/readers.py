"""Reading the store for pages: in threads, a few at a time, each thread with a Reader of its own, within a time.

One rule: a question that takes too long is ended and told so; it neither blocks the event loop nor the other pages.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable
from pathlib import Path

from scimproxy.errors import StoreError
from scimproxy.store import Reader

__all__ = ["Readers"]

_MOST = 4
_LIMIT_S = 20.0


class Readers:
    """Readers of one database. `catches_up`: whether searches may make the derived rows that are missing."""

    def __init__(self, path: Path, *, catches_up: bool) -> None:
        self.path = path
        self._catches_up = catches_up
        self._free: list[Reader] = []
        self._turn = asyncio.Semaphore(_MOST)
        self._closed = False

    async def ask[T](self, question: Callable[[Reader], T], *, limit_s: float = _LIMIT_S) -> T:
        """Return what a question finds, asked in a thread.

        Raises:
            StoreError: or a child: the database cannot be read, or the question took too long.
        """
        async with self._turn:
            reader = self._free.pop() if self._free else await asyncio.to_thread(self._open)
            asking = asyncio.ensure_future(asyncio.to_thread(question, reader))
            try:
                done, _ = await asyncio.wait({asking}, timeout=limit_s)
            except asyncio.CancelledError:
                reader.interrupt()
                with contextlib.suppress(Exception):
                    await asking
                reader.close()
                raise
            if not done:
                reader.interrupt()
                with contextlib.suppress(StoreError):
                    await asking
                await asyncio.to_thread(reader.close)
                raise StoreError(f"this takes longer than {limit_s:g} s", hint="narrow it down, with run: or status:")
            if self._closed or (asking.exception() is not None):
                reader.close()
            else:
                self._free.append(reader)
            return asking.result()

    def close(self) -> None:
        """Close what is open."""
        self._closed = True
        while self._free:
            self._free.pop().close()

    def _open(self) -> Reader:
        reader = Reader.open(self.path)
        reader.catches_up = self._catches_up
        return reader
