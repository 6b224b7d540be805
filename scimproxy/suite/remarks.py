"""What is odd about a suite that can be read: likely slips of the pen, and what Runscope itself would refuse.

One rule: a remark never stops a run; it names its place, so that a person finds it. Sources: runscope.md 1 and 5
(an import takes 1 to 99 steps, a pause 1 to 180 seconds, a run 10 minutes). Pure; for `suites`, `run` and our own.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Final

from scimproxy.suite.model import (
    Assertion,
    ConditionStep,
    Environment,
    Extraction,
    InboundStep,
    LoopStep,
    PauseStep,
    RequestStep,
    Step,
    SubtestStep,
    Suite,
    UnsupportedStep,
    all_steps,
)

__all__ = ["Remark", "remarks"]

MAX_IMPORTED_STEPS: Final = 99
MAX_PAUSE_S: Final = 180
MAX_RUN_S: Final = 600

_STEP = ("step_type", "note", "skipped", "id")
_JUDGING = ("assertions", "variables", "scripts")
_CONDITION = (*_STEP, "left_value", "comparison", "right_value", "steps")
_MEMBERS: Final[Mapping[type, tuple[str, ...]]] = {
    Suite: ("name", "description", "steps", "environments", "environment", "default_environment_id", "trigger_url"),
    Environment: (
        *("name", "initial_variables", "script", "pre_request_scripts", "post_response_scripts", "headers", "auth"),
        *("preserve_cookies", "stop_on_failure", "verify_ssl", "retry_on_failure", "parent_environment_id"),
    ),
    RequestStep: (
        *(*_STEP, *_JUDGING, "method", "url", "headers", "body", "form", "auth", "before_scripts"),
        *("multipart_form", "binary_body", "graphql_body"),
    ),
    PauseStep: (*_STEP, "duration"),
    ConditionStep: _CONDITION,
    LoopStep: _CONDITION,
    SubtestStep: (*_STEP, *_JUDGING, "test_uuid", "bucket_key", "environment_uuid", "use_parent_environment"),
    InboundStep: (*_STEP, *_JUDGING, "token", "isDynamicUrl", "before_scripts"),
    UnsupportedStep: _STEP,
    Assertion: ("source", "property", "comparison", "value"),
    Extraction: ("name", "source", "property"),
}
_REAL: Final = frozenset(
    {
        *("args", "data", "fragment", "request_id", "version", "step_count", "regions", "remote_agents", "webhooks"),
        *("integrations", "emails", "exported_at", "created_at", "created_by", "schedules", "last_run", "test_id"),
        *("initial_script_hash", "script_library", "client_certificate", "http_version_support", "force_h2c", "id"),
        *("test_usage_90_days", "test_usage_billing_period", "is_skipped_at_bucket_level", "last_run_created_at"),
    }
)
"""Members of real exports that we have no use for: no slips of the pen (runscope.md 0, 1)."""


@dataclass(frozen=True, slots=True)
class Remark:
    """Something odd: where, and a sentence."""

    place: str
    text: str

    def __str__(self) -> str:
        return f"{self.place}: {self.text}" if self.place else self.text


def remarks(suite: Suite) -> tuple[Remark, ...]:
    """Return what is odd about a suite, in the order of its file; nothing for one that is as Runscope exports it."""
    return (*_of_all(suite), *_slips(suite), *(one for step in all_steps(suite.steps) for one in _of_step(step)))


def _of_all(suite: Suite) -> Iterator[Remark]:
    count = sum(1 for _ in all_steps(suite.steps))
    if count == 0:
        yield Remark(suite.place, "It has no steps, so nothing is tested; Runscope refuses to import it.")
    if count > MAX_IMPORTED_STEPS:
        yield Remark(suite.place, f"It has {count} steps; Runscope imports at most {MAX_IMPORTED_STEPS}.")
    pauses = sum(one.duration_s for one in all_steps(suite.steps) if isinstance(one, PauseStep) and not one.skipped)
    if pauses > MAX_RUN_S:
        yield Remark(suite.place, f"Its pauses take {pauses:g} s; Runscope ends a run after {MAX_RUN_S} s.")
    for environment in suite.environments:
        yield from _slips(environment)
        parents = {one.id for one in suite.environments}
        if environment.parent_id is not None and environment.parent_id not in parents:
            yield Remark(environment.place, "The shared environment that it inherits from is not in the file.")


def _of_step(step: Step) -> Iterator[Remark]:
    yield from _slips(step)
    if isinstance(step, RequestStep | SubtestStep | InboundStep):
        for assertion in step.assertions:
            yield from _slips(assertion)
        for row in step.variables:
            yield from _slips(row)
            if row.source and not row.name.strip():
                yield Remark(row.place, "It has no name, so nothing is kept.")
    if isinstance(step, RequestStep) and step.body and step.form:
        yield Remark(step.place, "It has a body and a form; a request sends one of them.")
    if isinstance(step, PauseStep) and not (
        1 <= step.duration_s <= MAX_PAUSE_S and step.duration_s == int(step.duration_s)
    ):
        yield Remark(step.place, f"Runscope pauses for 1 to {MAX_PAUSE_S} whole seconds, not {step.duration_s:g}.")
    if isinstance(step, UnsupportedStep) and not step.skipped:
        yield Remark(step.place, f"Steps of type '{step.step_type}' cannot run here, so the run will fail.")


def _slips(part: Suite | Environment | Step | Assertion | Extraction) -> Iterator[Remark]:
    """Give the members that are one slip away from one that means something."""
    known = _MEMBERS[type(part)]
    for name in part.extra:
        near = difflib.get_close_matches(name[:100], known, 1, cutoff=0.75)
        if near and name not in _REAL:
            yield Remark(part.place, f"'{name[:100]}' means nothing here; did you mean '{near[0]}'?")
