"""A suite's run beside a recording that goes on in the same process.

One rule: it lives in a thread with an event loop of its own, so that Ctrl-C stays the recording's.
"""

from __future__ import annotations

import asyncio
import contextlib
import threading

from scimproxy.stopping import Stop
from scimproxy.suite.results import SuiteResult
from scimproxy.suite.script import ScriptEngine
from scimproxy.suite_run import News, Sandbox, SuiteOptions, run_suite

__all__ = ["SuiteBeside"]


class SuiteBeside:
    """One run of a suite; `tell` is called in its thread. `whole` is what it is a part of, in words."""

    def __init__(self, options: SuiteOptions, whole: str = "recording") -> None:
        self.options = options
        self._reason = f"the {whole} was stopped"
        self._wish: tuple[asyncio.AbstractEventLoop, Stop] | None = None
        self._lock = threading.Lock()
        self._stopped = False

    async def run(self) -> SuiteResult:
        """Run it to its end; when the task is cancelled, the suite is stopped, and keeps what it had.

        Raises:
            ScimproxyError: the scripts cannot be run here, or the database cannot be used.
        """
        running = asyncio.create_task(asyncio.to_thread(lambda: asyncio.run(self._whole())))
        try:
            return await asyncio.shield(running)
        finally:
            self._end()
            await asyncio.gather(running, return_exceptions=True)

    def tell(self, news: News) -> None:
        """Take what happens; for a subclass."""

    def _end(self) -> None:
        with self._lock:
            self._stopped = True
            if self._wish is not None:
                loop, stop = self._wish
                with contextlib.suppress(RuntimeError):  # its loop is closed: it has ended
                    loop.call_soon_threadsafe(stop, self._reason)

    async def _whole(self) -> SuiteResult:
        stop = Stop()
        with self._lock:
            self._wish = (asyncio.get_running_loop(), stop)
            if self._stopped:
                stop(self._reason)
        with ScriptEngine() as engine:
            return await run_suite(self.options, Sandbox(engine, self.options.named_secrets), self.tell, stop)
