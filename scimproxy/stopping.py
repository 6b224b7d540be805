"""The wish to end a recording, whoever has it: a signal, a limit, a test.

One rule: the first wish ends it in order, the second at once; no wish is lost while the first is carried out.
"""

from __future__ import annotations

import asyncio
import contextlib
import signal
import threading
from collections.abc import Iterator
from typing import Any

__all__ = ["Stop"]


class Stop:
    """The wish to end: in order at the first, at once at the second. Made inside the event loop."""

    def __init__(self) -> None:
        self.requested = asyncio.Event()
        self.at_once = asyncio.Event()
        self.reason = "done"

    def __call__(self, reason: str) -> None:
        """Ask to stop; asking again means at once: do not wait for what is in flight."""
        if self.requested.is_set():
            self.at_once.set()
        else:
            self.reason = reason
            self.requested.set()

    @contextlib.contextmanager
    def on_signals(self) -> Iterator[None]:
        """Let INT, TERM and HUP ask, inside the block. Only a main thread can; elsewhere nothing happens."""
        if threading.current_thread() is not threading.main_thread():
            yield
            return
        loop = asyncio.get_running_loop()
        before: dict[signal.Signals, Any] = {}
        for name in ("SIGINT", "SIGTERM", "SIGHUP"):
            number = getattr(signal, name, None)
            # nohup wants HUP ignored. INT is taken even where a shell ignores it for its background jobs: who sends
            # it to us by number means it.
            if number is None or (name == "SIGHUP" and signal.getsignal(number) is signal.SIG_IGN):
                continue
            handler = signal.getsignal(number)
            with contextlib.suppress(NotImplementedError):  # Windows: Ctrl-C stays a KeyboardInterrupt
                loop.add_signal_handler(number, self, name)
                before[number] = handler
        try:
            yield
        finally:
            for number, handler in before.items():
                loop.remove_signal_handler(number)
                signal.signal(number, handler)
