"""Suites that are looked for in recordings: begun from a page or by `up --suite`, told step by step, ended with us.

One rule: following reads as any page does and writes derived runs only (suite_follow.py); a suite that a page sends
is bounded, parsed and kept in memory alone. Place in the flow: Feed -> SuiteFollowing -> suites' runs -> pages.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from scimproxy.errors import FormatError, ScimproxyError, StoreError, UsageError
from scimproxy.overview import iso
from scimproxy.store import Reader
from scimproxy.suite.library import bundled, find_suite, read_bounded, tests_of
from scimproxy.suite.masking import without_secrets
from scimproxy.suite.model import RequestStep, Suite, all_steps
from scimproxy.suite.script import ScriptEngine
from scimproxy.suite_follow import Followed, FollowOptions, SuiteFollowing
from scimproxy.suite_run import Sandbox
from scimproxy.web.asking import NotThere
from scimproxy.web.edits import ReadOnly
from scimproxy.web.feed import Feed
from scimproxy.web.readers import Readers

__all__ = ["SLACK_S", "Follows"]

_log = logging.getLogger(__name__)
_AT_A_TIME = 8
_LARGEST = 200_000
"""Characters of a suite that a page sends."""
_REST_S = 0.2
_SOON_S = 10.0
_TRIES = 5
_AGAIN_S = 1.0
SLACK_S = 20.0
"""So much longer than the suite's pause may nothing come before a run seems to have stopped."""
_RECORDINGS = frozenset({"record", "demo"})


class Follows:
    """What is followed, by recording."""

    def __init__(self, readers: Readers, feed: Feed, *, read_only: bool) -> None:
        self._readers = readers
        self._feed = feed
        self._read_only = read_only
        self._all: list[_Going] = []
        self._expecting: asyncio.Task[None] | None = None

    async def begin(
        self, run_id: int, *, suite: str | None, text: str | None, name: str | None = None
    ) -> dict[str, Any]:
        """Look for a suite in a recording: a bundled one by name, or the text of a file; every test that it holds.

        Raises:
            UsageError: it is no suite, or enough is being followed.
        """
        if self._read_only:
            raise ReadOnly("this inspector only shows", hint="`scimproxy match RUN --suite FILE` judges a recording")
        if text:
            if len(text) > _LARGEST:
                raise UsageError(
                    f"this suite is larger than {_LARGEST // 1000} kB", hint="name its file with `up --suite FILE`"
                )
            source = (name or "suite.json")[:200]
            data = text.encode("utf-8", "surrogatepass")
        else:
            if suite not in bundled():
                raise UsageError(f"there is no bundled suite {(suite or '')[:40]!r}", hint="choose one, or a file")
            source, data = suite, read_bounded(bundled()[suite])
        try:
            tests = tests_of(data, source)
        except FormatError as exc:
            raise UsageError(exc.message, hint=exc.hint) from exc
        begun = self._follow(run_id, tests, source)
        with contextlib.suppress(TimeoutError):  # what there is already is told with the answer, where that is soon
            async with asyncio.timeout(_SOON_S):
                await asyncio.gather(*(one.caught_up.wait() for one in begun))
        return self.told(run_id)

    def _follow(self, run_id: int, tests: Iterable[Suite], source: str) -> list[_Going]:
        begun = []
        for test in tests:
            old = [one for one in self._all if one.run_id == run_id and one.name == (test.name or source)]
            if any(not one.task.done() for one in old):
                continue
            if sum(not one.task.done() for one in self._all) >= _AT_A_TIME:
                raise UsageError(f"{_AT_A_TIME} suites are being followed", hint="stop one of them first")
            self._all = [one for one in self._all if one not in old][-4 * _AT_A_TIME :]
            begun.append(_Going(self._readers.path, self._feed, run_id, test, source))
            self._all.append(begun[-1])
        return begun

    def expect(self, names: list[str], after: int) -> None:
        """Follow these suites in the first recording that begins after that run; those of `up --suite`."""
        self._expecting = asyncio.create_task(self._expect(names, after))

    async def _expect(self, names: list[str], after: int) -> None:
        async with self._feed.watching() as changed:
            while True:
                await changed.wait()
                changed.clear()
                with contextlib.suppress(ScimproxyError):
                    found = await self._readers.ask(lambda reader: _first_recording(reader, after))
                    if found is not None:
                        break
                await asyncio.sleep(_REST_S)
        for name in names:
            try:
                path = find_suite(name)
                tests = tests_of(await asyncio.to_thread(read_bounded, path), str(path))
                self._follow(found, tests, name if name in bundled() else Path(name).name)
            except ScimproxyError as exc:
                _log.warning("%s cannot be followed: %s", name, exc)

    def stop(self, run_id: int) -> None:
        """Follow nothing in a recording any more; raises NotThere."""
        found = [one for one in self._all if one.run_id == run_id]
        if not found:
            raise NotThere(f"nothing is followed in run {run_id}")
        for one in found:
            one.wish.set()

    async def close(self) -> None:
        """End them all, in order."""
        if self._expecting is not None:
            self._expecting.cancel()
            await asyncio.gather(self._expecting, return_exceptions=True)
        for one in self._all:
            one.wish.set()
        await asyncio.gather(*(one.task for one in self._all), return_exceptions=True)

    def told(self, run_id: int) -> dict[str, Any]:
        """Return what is followed in a recording, and how far it is."""
        return {
            "run_id": run_id,
            "suites": [one.told() for one in self._all if one.run_id == run_id],
            "bundled": list(bundled()),
        }

    def progress(self, run_id: int) -> dict[str, Any] | None:
        """Return how far the run is that was seen and is stored as this one; None where it is not followed now."""
        for going in self._all:
            for one in going.going():
                if one.run_id == run_id:
                    return going.progress(one)
        return None


def _first_recording(reader: Reader, after: int) -> int | None:
    found = [run.id for run in reader.run_page(limit=50) if (run.id or 0) > after and run.kind in _RECORDINGS]
    return found[-1] if found else None


class _Going:
    """One suite that is looked for in one recording."""

    def __init__(self, db: Path, feed: Feed, run_id: int, suite: Suite, source: str) -> None:
        self.run_id = run_id
        self.name = suite.name or source
        self.wish = asyncio.Event()
        self.caught_up = asyncio.Event()
        self.problem: str | None = None
        self._suite = suite
        self._source = source
        self._db = db
        self._feed = feed
        self._following: SuiteFollowing | None = None
        self.task = asyncio.create_task(self._go())
        self.task.add_done_callback(lambda it: it.cancelled() or it.exception())  # told by `problem`

    async def _go(self) -> None:
        options = FollowOptions(db=self._db, run_id=self.run_id, suite=self._suite, source=self._source)
        try:
            with ScriptEngine() as engine:
                for tries_left in reversed(range(_TRIES)):
                    self._following = SuiteFollowing(options, Sandbox(engine), lambda _: None)
                    try:
                        await self._follow(self._following)
                        break
                    except StoreError:  # the database is busy, say: begun again, it finds what it had stored
                        if not tries_left or self.wish.is_set():
                            raise
                    with contextlib.suppress(TimeoutError):
                        async with asyncio.timeout(_AGAIN_S):
                            await self.wish.wait()
        except ScimproxyError as exc:
            self.problem = exc.message
            _log.warning("the suite %s is not followed any more: %s", self.name, exc)
        finally:
            self.caught_up.set()
            self._feed.wake()  # a page that shows it learns its end

    async def _follow(self, following: SuiteFollowing) -> None:
        """Follow until the recording ends or somebody asks to stop."""
        async with self._feed.watching() as changed:
            wished = asyncio.create_task(self.wish.wait())
            try:
                while not wished.done():
                    changed.clear()
                    await following.catch_up()
                    self.caught_up.set()
                    if following.ended:
                        return
                    woken = asyncio.create_task(changed.wait())
                    await asyncio.wait({woken, wished}, return_when=asyncio.FIRST_COMPLETED)
                    woken.cancel()
                    await asyncio.wait({wished}, timeout=_REST_S)
            finally:
                wished.cancel()
        await following.catch_up()  # what came while the recording ended
        await following.finish()

    def going(self) -> list[Followed]:
        """Return the runs that are not over."""
        return [] if self._following is None or self.task.done() else self._following.going

    def told(self) -> dict[str, Any]:
        """Return how far it is."""
        following = self._following
        last = None if following is None else following.last
        return {
            "suite": self.name,
            "source": self._source,
            "going": not self.task.done(),
            "problem": self.problem,
            "exchanges": 0 if following is None else following.looked_at,
            "runs_seen": 0 if following is None else following.follower.count,
            "last": None if last is None else self.progress(last),
        }

    def progress(self, one: Followed) -> dict[str, Any]:
        """Return how far a run is: what is done, what is awaited, since when, and from when on it seems stopped."""
        assert self._following is not None
        waiting = self._following.follower.waiting(one.attempt)
        here = next((at for at, it in enumerate(waiting) if it.here), len(waiting) - 1)
        silent = sum(it.pause_s for it in waiting[: here + 1]) + SLACK_S
        result = without_secrets(one.result(self._following.options, None))
        now = time.time()
        requests = sum(isinstance(step, RequestStep) and not step.skipped for step in all_steps(self._suite.steps))
        over = one.attempt.closed or self.task.done()
        return {
            "run_id": one.run_id,
            "number": one.attempt.number,
            "state": "ended" if over else "stopped?" if now - one.attempt.last_at > silent else "going",
            "result": result.result,
            "steps": requests,
            "done": sum(step.step_type == "request" and step.result != "skipped" for step in result.steps),
            "failed": sum(step.result in {"fail", "error"} for step in result.steps),
            "last_at": iso(one.attempt.last_at),
            "silent_after_s": silent,
            "waiting": [
                {"number": it.number, "title": it.title, "pause_s": it.pause_s, "here": it.here} for it in waiting
            ],
        }
