"""The way of events out of a recording: a thread of its own, so that a reader who does not read holds up nothing.

One rule: events are told in order, one at a time, and never in the event loop: a full pipe or a paused terminal
blocks this thread only. Whoever makes many events asks for `room` first; so the queue is bounded.
"""

from __future__ import annotations

import asyncio
import queue
import threading
from collections.abc import Callable
from contextlib import suppress

__all__ = ["Outlet"]

_MOST = 400
"""So many untold events fill it; there is room again when half of them are told."""


class Outlet[E]:
    """Tells events with `tell`, in a thread; made inside the event loop."""

    def __init__(self, tell: Callable[[E], None]) -> None:
        self._tell = tell
        self._loop = asyncio.get_running_loop()
        self._queue: queue.SimpleQueue[E | None] = queue.SimpleQueue()
        self._roomy = asyncio.Event()
        self._roomy.set()
        self._ended = asyncio.Event()
        self._problem: BaseException | None = None
        threading.Thread(target=self._work, name="scimproxy-outlet", daemon=True).start()

    def __call__(self, event: E) -> None:
        """Queue an event."""
        self._queue.put(event)
        if self._queue.qsize() >= _MOST:
            self._roomy.clear()

    async def room(self) -> None:
        """Wait until there is room for more.

        Raises:
            Exception: what `tell` raised (a broken pipe); nothing more is told then.
        """
        await self._roomy.wait()
        self._check()

    async def broken(self) -> None:
        """Wait for ever, or until `tell` raised, and raise it here."""
        await self._ended.wait()
        self._check()

    async def close(self, patience_s: float) -> bool:
        """Wait for what is queued to be told; return whether it all was, in that time.

        Raises:
            Exception: what `tell` raised.
        """
        self._queue.put(None)
        with suppress(TimeoutError):
            async with asyncio.timeout(patience_s):
                await self._ended.wait()
        self._check()
        return self._ended.is_set()

    def _check(self) -> None:
        if self._problem is not None:
            raise self._problem

    def _work(self) -> None:
        try:
            while (event := self._queue.get()) is not None:
                self._tell(event)
                if self._queue.qsize() <= _MOST // 2 and not self._roomy.is_set():
                    self._loop.call_soon_threadsafe(self._roomy.set)
        except BaseException as exc:  # noqa: BLE001 - raised again by whoever waits, in its own thread
            self._problem = exc
        finally:
            with suppress(RuntimeError):  # the loop is closed already: nobody waits any more
                self._loop.call_soon_threadsafe(self._roomy.set)
                self._loop.call_soon_threadsafe(self._ended.set)
