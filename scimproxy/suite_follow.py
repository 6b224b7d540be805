"""The wiring of following: a recording's exchanges into a Follower, its scripts run, its news kept as suites' runs.

One rule: it reads what the recorder has stored and takes nothing of its hot path; what it writes is derived: a run of
kind `suite` for each run that was seen, with the recording as its source. Begun again on the same recording it finds
its own runs and goes on with them. Bounded: exchanges are read a few at a time.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from scimproxy import __version__
from scimproxy.errors import ScimproxyError, UsageError
from scimproxy.exchange import Run
from scimproxy.store import Reader, Store
from scimproxy.store.suites import SuiteRows
from scimproxy.suite.effects import RunScript, ScriptDone
from scimproxy.suite.following import RUNNERS, Attempt, Closed, Follower, Following, Noted, Opened
from scimproxy.suite.masking import masked, secrets_of
from scimproxy.suite.model import Suite
from scimproxy.suite.results import NOT_KNOWN, StepResult, SuiteResult
from scimproxy.suite_run import Scripts

__all__ = ["FollowOptions", "Followed", "SuiteFollowing"]

_PAGE = 500
_AT_A_TIME = 10
"""So many exchanges are in memory at a time, with their bodies."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FollowOptions:
    """Whose run of which suite to look for in which recording. `keeps`: whether what is found is stored."""

    db: Path
    run_id: int
    suite: Suite
    source: str
    clients: frozenset[str] | None = RUNNERS
    keeps: bool = True


@dataclass(slots=True, eq=False)
class Followed:
    """A run that was seen: how far it is, and as which run it is stored, where it is."""

    attempt: Attempt
    first_exchange_id: int | None
    run_id: int | None = None
    kept: int = 0
    """So many of its steps are stored from an earlier time."""
    steps: list[StepResult] = field(default_factory=list)

    def result(self, options: FollowOptions, target: str | None) -> SuiteResult:
        """Return how it came out so far, without secrets."""
        found = self.attempt.result()
        secrets = secrets_of(self.attempt.runner.scope.as_dict())
        return masked(replace(found, source=options.source, target=target, run_id=self.run_id), secrets)


class SuiteFollowing:
    """Follows one suite in one recording. `tell` is called after every step and at the beginning and end of a run."""

    def __init__(self, options: FollowOptions, scripts: Scripts, tell: Callable[[Followed], None]) -> None:
        self.options = options
        self.follower = Follower(options.suite, clients=options.clients)
        self.ended = False
        self.looked_at = 0
        self.going: list[Followed] = []
        self.last: Followed | None = None
        self.moved: Callable[[int], None] = lambda _: None
        """Told how many exchanges were looked at."""
        self._scripts = scripts
        self._tell = tell
        self._seq = 0
        self._fed: set[int] = set()
        self._target: str | None = None
        self._current: int | None = None
        self._earlier: dict[int, tuple[Run, int]] = {}
        self._began = False

    async def catch_up(self) -> None:
        """Take what was recorded since the last time; at the end of the recording, say so.

        Raises:
            UsageError: there is no such recording.
            StoreError: the database cannot be read or written.
        """
        if self.ended:
            return
        with contextlib.closing(await asyncio.to_thread(Reader.open, self.options.db)) as reader:
            run = await asyncio.to_thread(reader.run_page, before=self.options.run_id + 1, limit=1)
            if not run or run[0].id != self.options.run_id:
                raise UsageError(f"there is no run {self.options.run_id}", hint="`scimproxy runs` lists them")
            if not self._began:
                self._target = run[0].public_url or run[0].target
                if self.options.keeps:
                    self._earlier = await asyncio.to_thread(self._found_before, reader)
                self._began = True
            while wanted := await asyncio.to_thread(self._next, reader):
                for page in itertools.batched(wanted, _AT_A_TIME):
                    for exchange in await asyncio.to_thread(reader.whole, page, with_connections=False):
                        self._current = exchange.id
                        await self._do(self.follower.take(exchange))
                        await asyncio.sleep(0)  # whoever shares this loop has a turn
        if run[0].ended_at is not None:
            await self.finish()

    async def finish(self) -> None:
        """Say that nothing more comes."""
        if not self.ended:
            self.ended = True
            await self._do(self.follower.finish())

    def _found_before(self, reader: Reader) -> dict[int, tuple[Run, int]]:
        """Return the runs that were stored from this recording, by the first exchange of each."""
        found = {}
        for run in reader.seen_in([self.options.run_id]):
            if run.name == self._name and run.id is not None and (suite := reader.suite(run.id)) is not None:
                first = next((one.exchange_id for one in suite.steps if one.exchange_id is not None), None)
                if first is not None:
                    found[first] = run, len(suite.steps)
        return found

    @property
    def _name(self) -> str:
        return self.options.suite.name or self.options.source

    def _next(self, reader: Reader) -> list[int]:
        """Return the next exchanges that may be steps, in order; an empty list at the end of what there is."""
        while rows := reader.changes(after=self._seq, limit=_PAGE, run_id=self.options.run_id):
            self._seq = rows[-1].seq
            self.looked_at += len(rows)
            wanted = [
                row.id
                for row in rows
                if row.state != "pending" and row.id not in self._fed and self.follower.minds(row.client)
            ]
            self.moved(self.looked_at)
            if wanted:
                self._fed.update(wanted)
                return wanted
        return []

    async def _do(self, following: Following[Any]) -> None:
        answer: object = None
        while True:
            try:
                news = following.send(answer)
            except StopIteration:
                return
            match news:
                case RunScript():
                    answer = await self._run(news)
                case Opened():
                    followed = Followed(news.attempt, self._current)
                    self.going.append(followed)
                    self.last = followed
                    if self.options.keeps:
                        await asyncio.to_thread(self._open, followed)
                    self._tell(followed)
                    answer = None
                case Noted():
                    followed = self._of(news.attempt)
                    step = await asyncio.to_thread(self._note, followed, news.step)
                    followed.steps.append(step)
                    answer = step
                    self._tell(followed)
                case Closed():
                    followed = self._of(news.attempt)
                    self.going.remove(followed)
                    if self.options.keeps:
                        await asyncio.to_thread(self._save, followed)
                    self._tell(followed)
                    answer = None

    def _of(self, attempt: Attempt) -> Followed:
        return next(one for one in self.going if one.attempt is attempt)

    async def _run(self, call: RunScript) -> ScriptDone:
        try:
            return await self._scripts.run(call)
        except ScimproxyError as exc:
            return ScriptDone(error=f"{NOT_KNOWN}{exc.message}")

    # --- keeping ---

    def _open(self, followed: Followed) -> None:
        found = None if followed.first_exchange_id is None else self._earlier.pop(followed.first_exchange_id, None)
        with Store.open(self.options.db, create=False) as store:
            if found is not None:
                run, followed.kept = found
                followed.run_id = run.id
                store.update_run(replace(run, ended_at=None))
            else:
                run = store.start_run(
                    Run(
                        kind="suite",
                        name=self._name,
                        started_at=followed.attempt.started_at,
                        target=self._target,
                        version=__version__,
                        note=f"run from outside, seen in run {self.options.run_id}",
                        source_run_id=self.options.run_id,
                    )
                )
                followed.run_id = run.id
                assert run.id is not None
                begun = followed.result(self.options, self._target)
                SuiteRows(store, run.id).save(
                    replace(begun, result="canceled", canceled="following it was cut off; it can be begun again")
                )

    def _note(self, followed: Followed, step: StepResult) -> StepResult:
        step = masked(step, secrets_of(followed.attempt.runner.scope.as_dict()))
        if followed.kept:
            followed.kept -= 1
        elif followed.run_id is not None:
            with Store.open(self.options.db, create=False) as store:
                step = replace(step, id=SuiteRows(store, followed.run_id).add(step))
        return step

    def _save(self, followed: Followed) -> None:
        assert followed.run_id is not None
        with Store.open(self.options.db, create=False) as store:
            SuiteRows(store, followed.run_id).save(followed.result(self.options, self._target))
            store.finish_run(followed.run_id, ended_at=followed.attempt.last_at)
