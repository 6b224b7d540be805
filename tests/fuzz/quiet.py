"""An event loop that can tell when nothing moves any more, so that a case ends without a clock.

Everything of a case lives in one loop (client, engine, upstream): where the loop would sleep, only timers are left.
"""

from __future__ import annotations

import asyncio
import os
import selectors
import socket
from collections.abc import Callable
from typing import Any

__all__ = ["QuietLoop"]

LOOKS = 3
CAREFUL_S = 0.003


class _Selector(selectors.DefaultSelector):  # type: ignore[misc, valid-type]  # it is whichever the platform has
    """A selector that says when the loop would sleep."""

    on_quiet: Callable[[], None] | None = None
    careful = False

    def select(self, timeout: float | None = None) -> list[Any]:
        events = super().select(0)
        if events or (timeout is not None and timeout <= 0):
            return events
        if self.on_quiet is None:
            return super().select(timeout)
        for _ in range(LOOKS):  # what was written to loopback is almost always there at once; look again anyway
            os.sched_yield()
            events = super().select(CAREFUL_S if self.careful else 0)
            if events:
                return events
        tell, self.on_quiet = self.on_quiet, None
        tell()
        return []


class QuietLoop(asyncio.SelectorEventLoop):
    """A loop with `quiet()`; addresses are resolved in place, because a thread would be something that moves."""

    def __init__(self) -> None:
        self.selector = _Selector()
        super().__init__(self.selector)

    async def quiet(self) -> None:
        """Return when nothing is ready: no byte, no callback; only timers are left."""
        done = self.create_future()
        self.selector.on_quiet = lambda: done.done() or done.set_result(None)
        await done

    async def getaddrinfo(self, host: Any, port: Any, **hints: Any) -> Any:
        return socket.getaddrinfo(host, port, **hints)
