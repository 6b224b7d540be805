"""Following somebody else's run of a suite: which recorded exchange is which step, and the verdict on each.

One rule: the verdicts are the runner's own. The same `Runner` plays the suite; where it wants to send, it is given
what was recorded. What only the other side knows (its random names) is learned from what it sent; what was never
sent is not known, and what depends on it is errored and says so: nothing is guessed. Scripts before a request are the
other side's; those after an answer are asked of the driver, as in a run of ours. Pure and sans-io, in order and
incremental: an exchange at a time, any number of runs one after the other, a few side by side.
Place in the flow: store -> suite_follow.py -> Follower.take -> news -> store, page, terminal.
"""

from __future__ import annotations

import re
from collections.abc import Generator, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from scimproxy.clients import identify
from scimproxy.exchange import Exchange
from scimproxy.suite.builtins import Builtins
from scimproxy.suite.casts import as_text
from scimproxy.suite.effects import Began, Doing, Ended, Pause, Plan, RunScript, ScriptDone
from scimproxy.suite.evaluate import evaluate
from scimproxy.suite.model import (
    Assertion,
    ConditionStep,
    Environment,
    LoopStep,
    RequestStep,
    Step,
    Suite,
    all_steps,
)
from scimproxy.suite.recognising import Seen, Sighting, goes_here, names_of, recognise, seen_of
from scimproxy.suite.response import ResponseView
from scimproxy.suite.results import NOT_KNOWN, AssertionResult, StepResult, SuiteResult
from scimproxy.suite.runner import Runner, title
from scimproxy.suite.templates import not_defined, request_error
from scimproxy.suite.unify import MARK
from scimproxy.suite.verdicts import outcome_of
from scimproxy.suite.views import view_of

__all__ = ["MOST_RUNS", "RUNNERS", "Attempt", "Closed", "Follower", "Following", "Noted", "Opened", "Waiting"]

RUNNERS = frozenset({"runscope", "okta-runscope"})
"""The labels of clients that run suites (clients.py)."""
LONGEST_RUN_S = 660.0
"""Runscope ends a run after ten minutes (runscope.md 5); a minute for clocks and tunnels."""
MOST_OPEN = 4
"""So many runs are followed side by side."""
MOST_RUNS = 500
"""More runs than this are not begun: whoever sends so many first steps runs no suite."""
_LATE_STEPS = 2
"""A run is noticed though so many of its first requests were not seen."""
_NOWHERE = "http://seen.invalid/"
_FINGERPRINT = re.compile(r"sha256:[0-9a-f]{8}")
_WHOLE = frozenset({"response_status", "response_time", "response_size"})
"""Sources that a cut answer still tells."""
_READS = re.compile(r"""variables\.get\(\s*(?:"([^"]+)"|'([^']+)'|`([^`]+)`)""")


@dataclass(frozen=True, slots=True)
class Opened:
    """A run was noticed."""

    attempt: Attempt


@dataclass(frozen=True, slots=True)
class Noted:
    """A step of a run has ended, or will not come any more; the driver may answer with the step as it keeps it."""

    attempt: Attempt
    step: StepResult


@dataclass(frozen=True, slots=True)
class Closed:
    """A run is over."""

    attempt: Attempt


type News = Opened | Noted | Closed | RunScript
type Following[T] = Generator[News, Any, T]


@dataclass(frozen=True, slots=True)
class Waiting:
    """A step still to come; `pause_s` is how long the suite waits before it, `here` whether it comes through here."""

    number: str
    title: str
    pause_s: float
    here: bool


@dataclass(slots=True, eq=False)
class Attempt:
    """One run of the suite by somebody else. `number` counts from 1; `key` tells its client from others."""

    number: int
    runner: Runner
    play: Doing[SuiteResult]
    key: str
    started_at: float
    last_at: float
    begun: Began | None = None
    exchange: Exchange | None = None
    exchange_ids: list[int] = field(default_factory=list)
    missed: list[str] = field(default_factory=list)
    broken: set[str] = field(default_factory=set)
    superseded: bool = False
    closed: bool = False
    reached_end: bool = False
    pause_s: float = 0.0

    @property
    def known(self) -> dict[str, str]:
        """The variables that this run is known to have, as texts."""
        scope = self.runner.scope
        return {name: as_text(scope.get(name)) for name in scope if scope.origin(name) not in _ASSUMED}

    def result(self) -> SuiteResult:
        """Return how it came out so far."""
        canceled = None
        if self.closed and not self.reached_end:
            canceled = "nothing more was seen of this run; the steps after the last one did not come"
        found = self.runner.result(canceled=canceled)
        warnings = (
            [_TIMES] if any(it.source == "response_time" for one in found.steps for it in one.assertions) else []
        )
        if self.missed:
            listed = ", ".join(self.missed[:20])
            warnings.append(f"not seen: step {listed}" if len(self.missed) == 1 else f"not seen: steps {listed}")
        known = self.known
        return replace(
            found,
            result="error" if self.missed and found.result == "pass" else found.result,
            started_at=self.started_at,
            ended_at=self.last_at if self.closed else None,
            initial_variables=tuple(sorted(known.items())),
            warnings=tuple(warnings),
        )


_TIMES = "response times are those measured here; whoever ran it waited for the way through the tunnel too"
_ASSUMED = frozenset({"shared environment", "environment", "run variables", None})


@dataclass(frozen=True, slots=True)
class _Found:
    index: int
    cost: int
    sighting: Sighting


class Follower:
    """Follows the runs of one suite. `clients` None: whoever sends what fits, else those labels alone."""

    def __init__(
        self, suite: Suite, environment: Environment | None = None, *, clients: frozenset[str] | None = RUNNERS
    ) -> None:
        self.suite = suite
        self.environment = suite.environment if environment is None else environment
        self.open: list[Attempt] = []
        self.count = 0
        self._clients = clients
        self._steps = [step for step in all_steps(suite.steps) if isinstance(step, RequestStep)]
        self._here = goes_here(self._steps)
        self._names = [names_of(step) for step in self._steps]
        bare = tuple(map(_bare, suite.steps))
        self._index = {id(step): at for at, step in enumerate(_requests(bare))}
        # What a template would make of an initial variable (`{{uuid}}`) only the other side knows.
        given = {
            name: value
            for name, value in self.environment.initial_variables.items()
            if not (isinstance(value, str) and "{{" in value)
        }
        self._plan = Plan(
            suite=replace(suite, steps=bare),
            environment=Environment(
                name=self.environment.name,
                initial_variables=given,
                post_response_scripts=self.environment.post_response_scripts,
            ),
            builtins=Builtins.harmless(),
            stop_on_failure=False,
        )

    def minds(self, client: str | None) -> bool:
        """Whether what a client of this label sends may be a step."""
        return self._clients is None or client in self._clients

    def take(self, exchange: Exchange) -> Following[Attempt | None]:
        """Find whose step an exchange is, and judge it; None where it is nobody's."""
        yield from self._expire(exchange.started_at)
        if exchange.state == "pending" or not self.minds(exchange.client or identify(exchange.request)):
            return None
        seen = seen_of(exchange)
        key = f"{exchange.client_address or ''} {exchange.client_claim or ''}"
        chosen: tuple[float, Attempt, _Found] | None = None
        for attempt in reversed(self.open):
            found = self._find(attempt, seen)
            if found is not None:
                bound = 1.5 if found.sighting.is_bound else 0.0
                score = found.cost + (2 if attempt.key != key else 0) + attempt.superseded - bound
                if chosen is None or score < chosen[0]:
                    chosen = score, attempt, found
        fresh = self._first(seen)
        if fresh is not None and (chosen is None or fresh.cost + 1 < chosen[0]):
            attempt = yield from self._begin(key, exchange.started_at)
            chosen = 0.0, attempt, fresh
        if chosen is None:
            return None
        _, attempt, found = chosen
        yield from self._reach(attempt, found.index)
        if not self._goes_on(attempt):  # a condition kept it from the step
            yield from self._close(attempt)
            return None
        for name, value in found.sighting.values.items():
            attempt.runner.scope.set(name, value, "seen in a request")
        attempt.exchange, attempt.last_at = exchange, exchange.ended_at or exchange.started_at
        attempt.superseded = False
        if exchange.id is not None:
            attempt.exchange_ids.append(exchange.id)
        yield from self._drive(attempt)
        if not self._more_can_come(attempt):
            yield from self._reach(attempt, -1)
        if not self._goes_on(attempt):
            attempt.reached_end = True
            yield from self._close(attempt)
            for other in [one for one in self.open if one.superseded and one.number < attempt.number]:
                yield from self._close(other)
        return attempt

    def finish(self) -> Following[None]:
        """Say that nothing more comes."""
        for attempt in list(self.open):
            yield from self._close(attempt)

    def waiting(self, attempt: Attempt) -> list[Waiting]:
        """Return the steps that are still to come; those within loops once."""
        if attempt.begun is None:
            return []
        at = self._index[id(attempt.begun.step)]
        found: list[Waiting] = []
        pause = attempt.pause_s
        place = 0
        for number, step in _numbered(self.suite.steps):
            if isinstance(step, RequestStep):
                if place >= at and not step.skipped:
                    found.append(Waiting(number, title(step), pause, self._here[place]))
                    pause = 0.0
                place += 1
            elif getattr(step, "duration_s", None) is not None and place > at and not step.skipped:
                pause += getattr(step, "duration_s", 0.0)
        return found

    # --- finding ---

    @staticmethod
    def _goes_on(attempt: Attempt) -> bool:
        return attempt.begun is not None

    def _find(self, attempt: Attempt, seen: Seen) -> _Found | None:
        """Return the next step of a run that a request fits, and how many others it would pass over."""
        assert attempt.begun is not None, "a run without a next step is closed"
        return self._look(self._index[id(attempt.begun.step)], seen, attempt.known, attempt.broken)

    def _first(self, seen: Seen) -> _Found | None:
        if self.count >= MOST_RUNS:
            return None
        return self._look(0, seen, {}, set(), most=_LATE_STEPS)

    def _look(
        self, start: int, seen: Seen, known: Mapping[str, str], broken: set[str], *, most: int | None = None
    ) -> _Found | None:
        """Return the first step that fits from a place on, passing over so many at `most`."""
        cost = 0
        for index in range(start, len(self._steps)):
            step = self._steps[index]
            if step.skipped or not self._here[index]:
                continue
            sighting = recognise(step, self.environment.headers, self.environment.auth, seen, known)
            if sighting is not None:
                return _Found(index, cost, sighting)
            if broken.isdisjoint(self._names[index]):
                cost += 1  # one that a failed extraction keeps from being sent is not missed
            if most is not None and cost > most:
                return None
        return None

    def _more_can_come(self, attempt: Attempt) -> bool:
        """Whether a step is left that goes through here, and that no failed extraction keeps from being sent."""
        at = len(self._steps) if attempt.begun is None else self._index[id(attempt.begun.step)]
        rest = zip(self._steps[at:], self._here[at:], self._names[at:], strict=True)
        return any(here and not step.skipped and attempt.broken.isdisjoint(names) for step, here, names in rest)

    # --- going on ---

    def _begin(self, key: str, at: float) -> Following[Attempt]:
        self.count += 1
        runner = Runner(self._plan)
        attempt = Attempt(self.count, runner, runner.play(), key, at, at)
        for other in self.open:
            other.superseded = other.superseded or other.key == key
        while len(self.open) >= MOST_OPEN:
            yield from self._close(self.open[0])
        self.open.append(attempt)
        yield Opened(attempt)
        yield from self._drive(attempt)
        return attempt

    def _reach(self, attempt: Attempt, index: int) -> Following[None]:
        """Pass over steps that were not seen."""
        attempt.exchange = None
        while attempt.begun is not None and self._index[id(attempt.begun.step)] != index:
            yield from self._drive(attempt)

    def _drive(self, attempt: Attempt) -> Following[None]:
        """Let the runner go on to its next request, with the exchange that was recorded or none."""
        answer: object = None
        begun, attempt.begun, attempt.pause_s = attempt.begun, None, 0.0
        while True:
            try:
                effect = attempt.play.send(answer)
            except StopIteration:
                return
            answer = None
            match effect:
                case Began(step=RequestStep()):
                    attempt.begun = effect
                    return
                case Pause():
                    attempt.pause_s += effect.seconds
                case RunScript():
                    answer = yield from self._script(attempt, effect)
                case Ended() if effect.result.step_type == "request" and effect.result.result != "skipped":
                    assert begun is not None, "a request ends after it began"
                    step = self._judged(attempt, begun, effect.result)
                    attempt.broken |= {one.name for one in step.variables if one.result != "pass"}
                    attempt.broken -= set(attempt.known)
                    answer = (yield Noted(attempt, step)) or step
                case Ended():
                    answer = (yield Noted(attempt, effect.result)) or effect.result
                case _:  # a request, answered below; a pause or a condition begins
                    answer = attempt.exchange

    def _script(self, attempt: Attempt, call: RunScript) -> Following[ScriptDone]:
        names = {next(filter(None, groups)) for groups in _READS.findall(call.source)}
        unknown = sorted(names - set(attempt.runner.scope) - attempt.broken)
        if unknown:
            return ScriptDone(error=f"{NOT_KNOWN}the script reads {', '.join(unknown)}, which was never sent")
        assert attempt.exchange is not None, "there are no scripts without an answer"
        request = attempt.exchange.request
        seen = seen_of(attempt.exchange)
        view = {
            **(call.request or {}),
            "method": request.method,
            "url": seen.url,
            "body": seen.body or "",
            "headers": {name: list(request.headers.get_all(name)) for name, _ in request.headers},
        }
        done: ScriptDone = yield replace(call, request=view)
        return done

    def _judged(self, attempt: Attempt, begun: Began, result: StepResult) -> StepResult:
        """Return a step with what is not known said, and as the suite and the recording name it."""
        index = self._index[id(begun.step)]
        step = self._steps[index]
        if attempt.exchange is None:
            return self._unseen(attempt, index, result)
        exchange = attempt.exchange
        response = exchange.response
        view = view_of(exchange)
        errors = result.errors
        if response is None and not errors:
            errors = ("the recording holds no answer",)
        assertions: tuple[AssertionResult, ...] = ()
        if view is not None:
            pairs = zip(step.assertions, result.assertions, strict=True)
            assertions = tuple(_known(one, told, attempt, view) for one, told in pairs)
        return replace(
            result,
            result=outcome_of(assertions, result.variables, result.scripts, errors),
            assertions=assertions,
            errors=errors,
            method=exchange.request.method,
            url=seen_of(exchange).url,
            exchange_id=exchange.id,
        )

    def _unseen(self, attempt: Attempt, index: int, result: StepResult) -> StepResult:
        step = self._steps[index]
        plain = replace(result, method=step.method, url=step.url, assertions=(), variables=(), scripts=(), errors=())
        missing = {name: part for name, part in self._names[index].items() if name in attempt.broken}
        if missing:
            errors = tuple(request_error(part, not_defined(name)) for name, part in missing.items())
            return replace(plain, result="error", errors=errors)
        if not self._here[index]:
            return replace(plain, result="skipped", note=f"{title(step)} (goes to another server)")
        attempt.missed.append(result.number)
        return replace(plain, result="skipped", note=f"{title(step)} (not seen)")

    # --- ending ---

    def _expire(self, now: float) -> Following[None]:
        for attempt in [one for one in self.open if now - one.started_at > LONGEST_RUN_S]:
            yield from self._close(attempt)

    def _close(self, attempt: Attempt) -> Following[None]:
        attempt.play.close()
        attempt.begun, attempt.closed = None, True
        self.open.remove(attempt)
        yield Closed(attempt)


def _known(assertion: Assertion, told: AssertionResult, attempt: Attempt, view: ResponseView) -> AssertionResult:
    """Return an assertion's result; errored where what it needs is not known."""
    scope = attempt.runner.scope
    texts = [one for one in (assertion.property, assertion.value) if isinstance(one, str)]
    unknown = sorted({name.strip() for text in texts for name in MARK.findall(text) if name.strip() not in scope})
    assert attempt.exchange is not None, "what is judged was seen"
    response = attempt.exchange.response
    if unknown:
        names = ", ".join(f"{{{{{name}}}}}" for name in unknown)
        actual = evaluate(assertion, view).actual
        return replace(
            told,
            result="error",
            actual_value=actual,
            message=f"{as_text(actual)[:200]} could not be compared",
            error=f"{NOT_KNOWN}nothing that was sent tells {names}",
        )
    why = None
    if told.result == "fail" and _FINGERPRINT.search(as_text([told.actual_value, told.target_value])):
        why = "of a secret the recording holds a fingerprint only"
    elif told.result == "fail" and response is not None and response.content.truncated and told.source not in _WHOLE:
        why = "the recording holds only the beginning of this answer"
    return told if why is None else replace(told, result="error", error=f"{NOT_KNOWN}{why}")


def _bare(step: Step) -> Step:
    """Return a step whose request is nothing: it was sent by somebody else, and so were the scripts before it."""
    if isinstance(step, ConditionStep | LoopStep):
        return replace(step, steps=tuple(map(_bare, step.steps)))
    if not isinstance(step, RequestStep) or step.skipped:
        # A copy all the same: steps are told apart by identity.
        return replace(step)
    return RequestStep(
        method="GET",
        url=_NOWHERE,
        assertions=step.assertions,
        variables=step.variables,
        scripts=step.scripts,
        note=title(step),
    )


def _requests(steps: tuple[Step, ...]) -> Iterator[RequestStep]:
    return (step for step in all_steps(steps) if isinstance(step, RequestStep))


def _numbered(steps: tuple[Step, ...], prefix: str = "") -> Iterator[tuple[str, Step]]:
    for place, step in enumerate(steps, 1):
        yield f"{prefix}{place}", step
        if isinstance(step, ConditionStep | LoopStep):
            yield from _numbered(step.steps, f"{prefix}{place}.")
