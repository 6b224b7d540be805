"""The bundled spec suite as a part of `scimproxy demo`: run through the recorder, told in short.

One rule: it lives in a thread with an event loop of its own, so that Ctrl-C stays the recorder's.
"""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from scimproxy.app import Stop
    from scimproxy.suite.results import SuiteResult
    from scimproxy.suite_run import News, SuiteOptions

__all__ = ["SUITE", "DemoSuite", "print_result", "suite_event"]

SUITE = "scim2-spec"
_MOST_STEPS = 5
_LONGEST_S = 10.0


class DemoSuite:
    """One run of the suite against `url`; `moved` is called in its thread when a step has ended."""

    def __init__(self, db: Path, url: str, token: str, moved: Callable[[], None] = lambda: None) -> None:
        self.options = _options(db, url, token)
        self._moved = moved
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

    def _end(self) -> None:
        with self._lock:
            self._stopped = True
            if self._wish is not None:
                loop, stop = self._wish
                with contextlib.suppress(RuntimeError):  # its loop is closed: it has ended
                    loop.call_soon_threadsafe(stop, "the demo was stopped")

    async def _whole(self) -> SuiteResult:
        from scimproxy.app import Stop
        from scimproxy.suite.script import ScriptEngine
        from scimproxy.suite_run import Sandbox, run_suite

        stop = Stop()
        with self._lock:
            self._wish = (asyncio.get_running_loop(), stop)
            if self._stopped:
                stop("the demo was stopped")
        with ScriptEngine() as engine:
            return await run_suite(self.options, Sandbox(engine), self._tell, stop)

    def _tell(self, news: News) -> None:
        from scimproxy.suite.effects import Ended

        if isinstance(news, Ended) and "." not in news.result.number and news.result.number != "0":
            self._moved()


def _options(db: Path, url: str, token: str) -> SuiteOptions:
    from scimproxy.suite.library import find_suite
    from scimproxy.suite.runscope import parse
    from scimproxy.suite_run import SuiteOptions

    (suite,) = parse(find_suite(SUITE).read_bytes())
    return SuiteOptions(
        suite=suite,
        db=db,
        environment=suite.environment,
        source=SUITE,
        target=url,
        pinned={"SCIMBaseURL": url, "auth": f"Bearer {token}"},
        secrets=frozenset({token, f"Bearer {token}"}),
        timeout_s=_LONGEST_S,
    )


def print_result(result: SuiteResult, db: Path) -> None:
    """Print the steps that did not pass, with the why, and the sum; all of it on stderr."""
    from scimproxy.cli.suite_lines import print_step, print_summary
    from scimproxy.cli.terminal import plural

    wrong = [step for step in result.steps if not step.passed and step.result not in {"skipped", "canceled"}]
    if wrong:
        click.echo(err=True)
    for step in wrong[:_MOST_STEPS]:
        print_step(step, err=True)
    if len(wrong) > _MOST_STEPS:
        left = plural(len(wrong) - _MOST_STEPS, "more step")
        click.echo(f"... and {left}: scimproxy results {result.run_id}", err=True)
    print_summary(result, db, err=True)


def suite_event(result: SuiteResult) -> dict[str, object]:
    """Return the result as one event of `--json`."""
    every = [one for step in result.executed for one in step.assertions]
    return {
        "event": "suite",
        "suite": SUITE,
        "run_id": result.run_id,
        "result": result.result,
        "assertions": len(every),
        "assertions_passed": sum(one.result == "pass" for one in every),
        "steps_failed": [step.note for step in result.executed if not step.passed],
    }
