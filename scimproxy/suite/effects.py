"""What a suite's run says and asks: effects, which the driver answers, and news, which it may keep.

One rule: values only; a `Plan` goes into the runner, effects come out of it, outcomes go back in. Nothing here acts.
"""

from __future__ import annotations

from collections.abc import Generator, Mapping
from dataclasses import dataclass, field
from typing import Any

from scimproxy.exchange import Exchange, Request
from scimproxy.suite.builtins import Builtins
from scimproxy.suite.composing import DEFAULT_USER_AGENT
from scimproxy.suite.model import Environment, Step, Suite
from scimproxy.suite.results import ScriptKind, StepResult

__all__ = ["Began", "Doing", "Effect", "Ended", "Pause", "Plan", "RunScript", "ScriptDone", "Send"]


@dataclass(frozen=True, slots=True)
class Send:
    """Send a request to an origin; answered with the Exchange."""

    request: Request
    origin: str


@dataclass(frozen=True, slots=True)
class Pause:
    """Wait so long; answered with None."""

    seconds: float


@dataclass(frozen=True, slots=True)
class RunScript:
    """Run a script; answered with a ScriptDone. `request` and `response` have the members of runscope.md 4."""

    source: str
    kind: ScriptKind
    variables: Mapping[str, Any] = field(repr=False)
    request: Mapping[str, Any] | None = field(default=None, repr=False)
    response: Mapping[str, Any] | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True)
class ScriptDone:
    """What a script did. `failed` is its failed assertion, `error` what kept it from running to its end.

    `request` and `response` hold the members that it changed.
    """

    variables: Mapping[str, Any] = field(default_factory=dict, repr=False)
    request: Mapping[str, Any] | None = field(default=None, repr=False)
    response: Mapping[str, Any] | None = field(default=None, repr=False)
    output: str = ""
    failed: str | None = None
    error: str | None = None
    duration_ms: float | None = None


@dataclass(frozen=True, slots=True)
class Began:
    """A step begins."""

    number: str
    step: Step | None
    title: str


@dataclass(frozen=True, slots=True)
class Ended:
    """A step has ended; `exchange` is what it sent, where it sent something."""

    result: StepResult
    exchange: Exchange | None = field(default=None, repr=False)


type Effect = Send | Pause | RunScript | Began | Ended
type Doing[T] = Generator[Effect, Any, T]


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What to run, and with what.

    `environment` has what it inherits. `variables` are those of the run (a trigger's, --env); `pinned` win over
    everything. `initial_scripts` run after those of the environment. `only` are numbers of steps, from 1; the others
    are skipped. `others` are the tests that a subtest may name.
    """

    suite: Suite
    environment: Environment
    builtins: Builtins
    variables: Mapping[str, Any] = field(default_factory=dict, repr=False)
    pinned: Mapping[str, Any] = field(default_factory=dict, repr=False)
    initial_scripts: tuple[str, ...] = ()
    only: frozenset[int] | None = None
    stop_on_failure: bool | None = None
    user_agent: str = DEFAULT_USER_AGENT
    others: tuple[Suite, ...] = ()

    @property
    def stops(self) -> bool:
        """Whether the first failed step ends the run."""
        return self.environment.stops_on_failure if self.stop_on_failure is None else self.stop_on_failure
