"""What became of a suite's run, as values: the run, its steps, and their assertions, variables and scripts.

One rule: failed and errored are kept apart. `fail` is the answer's fault; `error` is what could not be judged or
done at all (an undefined variable, a script that does not run, no answer). Runscope knows `fail` only, so its result
JSON says `fail` for both and gives the reason in `error`. Names and words are Runscope's where it has them.
Place in the flow: runner -> results -> store, terminal, reports. No value here holds a secret.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal

__all__ = [
    "NOT_KNOWN",
    "AssertionResult",
    "Outcome",
    "RunOutcome",
    "ScriptKind",
    "ScriptResult",
    "StepResult",
    "SuiteResult",
    "VariableResult",
]

NOT_KNOWN = "not known: "
"""Begins the error of what a recording of somebody else's run does not tell; it is no fault of the answer."""
Outcome = Literal["pass", "fail", "error"]
RunOutcome = Literal["pass", "fail", "error", "skipped", "canceled"]
ScriptKind = Literal["initial", "before", "after"]


@dataclass(frozen=True, slots=True, kw_only=True)
class AssertionResult:
    """One assertion and what became of it, numbered from 0 in its step.

    `message` is Runscope's phrase, `error` why there was nothing to compare, `place` where the value is (a JSON
    pointer, a header's name, an XPath).
    """

    result: Outcome
    source: str
    comparison: str
    property: str | None = None
    target_value: Any = None
    actual_value: Any = None
    message: str = ""
    error: str | None = None
    place: str | None = None
    number: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class VariableResult:
    """One value taken out of an answer. `value` keeps its JSON type."""

    result: Outcome
    name: str
    source: str
    property: str | None = None
    value: Any = None
    error: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ScriptResult:
    """One script: what it logged, and why it failed. `error` is its failed assertion or the fault in it."""

    result: Outcome
    kind: ScriptKind
    output: str = ""
    error: str | None = None
    duration_ms: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class StepResult:
    """One executed (or skipped) step. `number` is its place in the file (`3`, `5.2`, with a loop's round `5[2].1`).

    `errors` are the sentences of what went wrong beside assertions, variables and scripts; `not_supported` marks a
    step of a kind that cannot run here. `response_time_ms` is an integer, as in Runscope.
    """

    number: str
    step_type: str
    result: RunOutcome
    note: str = ""
    method: str | None = None
    url: str | None = None
    status_code: int | None = None
    response_time_ms: int | None = None
    response_size_bytes: int | None = None
    assertions: tuple[AssertionResult, ...] = ()
    variables: tuple[VariableResult, ...] = ()
    scripts: tuple[ScriptResult, ...] = ()
    errors: tuple[str, ...] = ()
    not_supported: bool = False
    duration_s: float | None = None
    started_at: float | None = None
    exchange_id: int | None = None
    id: int | None = None

    @property
    def passed(self) -> bool:
        """Whether nothing in it failed; a skipped step has not failed."""
        return self.result in {"pass", "skipped"}


@dataclass(frozen=True, slots=True, kw_only=True)
class SuiteResult:
    """A whole run: `result` is pass when every executed step passed. `canceled` says why it ended early."""

    name: str
    result: RunOutcome
    steps: tuple[StepResult, ...] = ()
    description: str = ""
    environment: str = ""
    source: str | None = None
    target: str | None = None
    started_at: float | None = None
    ended_at: float | None = None
    canceled: str | None = None
    initial_variables: tuple[tuple[str, str], ...] = ()
    run_id: int | None = None
    warnings: tuple[str, ...] = field(default=())
    command: tuple[str, ...] = ()
    """The words after `scimproxy run` that run it again, without secrets; empty where they are not known."""
    folder: str | None = None
    """Where they were typed: files named in them are found from there."""

    @property
    def executed(self) -> tuple[StepResult, ...]:
        """The steps that ran: neither skipped nor cut off."""
        return tuple(step for step in self.steps if step.result not in {"skipped", "canceled"})
