"""How the results of parts make the result of a whole: of a step, of a run, of a subtest that stands for a run.

One rule: failed is an answer that was wrong, errored is what could not be judged (runscope.md 5 and 6). Pure.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from scimproxy.suite.results import (
    AssertionResult,
    Outcome,
    RunOutcome,
    ScriptResult,
    StepResult,
    SuiteResult,
    VariableResult,
)

__all__ = ["outcome_of", "summary", "verdict"]


def verdict(steps: Sequence[StepResult]) -> RunOutcome:
    """Return the result of a run: pass if every executed step passed; fail goes before error."""
    outcomes = {step.result for step in steps}
    if "fail" in outcomes:
        return "fail"
    return "error" if "error" in outcomes else "pass"


def summary(result: SuiteResult) -> dict[str, Any]:
    """Return the JSON that a subtest's assertions look at: names of a run in Runscope's API (runscope.md 6)."""
    executed = result.executed
    return {
        "result": "pass" if result.result == "pass" else "fail",
        "test_name": result.name,
        "requests_executed": sum(step.step_type == "request" for step in executed),
        "assertions_defined": sum(len(step.assertions) for step in executed),
        "assertions_passed": sum(it.result == "pass" for step in executed for it in step.assertions),
        "assertions_failed": sum(it.result != "pass" for step in executed for it in step.assertions),
        "initial_variables": dict(result.initial_variables),
    }


def outcome_of(
    assertions: Sequence[AssertionResult],
    variables: Sequence[VariableResult],
    scripts: Sequence[ScriptResult],
    errors: Sequence[str],
) -> RunOutcome:
    """Return a step's result: error where something could not be done at all, fail where an answer was wrong."""
    outcomes: set[Outcome] = {it.result for group in (assertions, variables, scripts) for it in group}
    if errors:
        return "error"
    if "fail" in outcomes:
        return "fail"
    return "error" if "error" in outcomes else "pass"
