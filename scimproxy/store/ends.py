"""Ends of writes, told in an event loop: a callback that raises takes nobody with it.

One rule: each is told once, in order; what a callback raises is the loop's to log, and the others are told after it.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable

__all__ = ["Ends", "Told"]

type Told = Callable[[BaseException | None], None]


class Ends:
    """Who is to be told, and what: None, or why something was not written."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._waiting: deque[tuple[Told, BaseException | None]] = deque()

    def add(self, told: Told, problem: BaseException | None) -> None:
        """Have somebody told by the next `tell`; may be called in another thread."""
        self._waiting.append((told, problem))

    def tell(self) -> None:
        """Tell all of them."""
        while self._waiting:
            told, problem = self._waiting.popleft()
            try:
                told(problem)
            except Exception as exc:  # noqa: BLE001 - a fault of who is told; the loop logs it
                self._loop.call_exception_handler({"message": "telling the end of a write", "exception": exc})
