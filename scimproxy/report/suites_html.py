"""A suite's run as one HTML file: summary, steps, each with request, response, connection and assertions.

One rule: the file stands alone (no script, nothing loaded) and nothing in it is markup but the template's: every
value is escaped. Exchanges are redacted once more: secrets stay out also of runs that were recorded with them.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from scimproxy.detail import Detail, Limits, detail
from scimproxy.exchange import Exchange
from scimproxy.pages import file_page
from scimproxy.redact import redact
from scimproxy.report.suites import assertion_line, counts, problems
from scimproxy.suite.casts import as_text
from scimproxy.suite.masking import masked, secrets_of
from scimproxy.suite.results import StepResult, SuiteResult

__all__ = ["VERDICTS", "html", "step_view", "suite_facts"]

_LIMITS = Limits(lines=800, string=1_000, raw=8_000)
"""A file of many exchanges has to stay small."""
VERDICTS = {"pass": "passed", "fail": "failed", "error": "could not be judged", "canceled": "was interrupted"}
_SCRIPTS = {"initial": "Initial script", "before": "Pre-request script", "after": "Post-response script"}


def html(result: SuiteResult, exchanges: Mapping[int, Exchange]) -> str:
    """Return the page; `exchanges` are those that the steps name, by id."""
    result = masked(result, secrets_of(dict(result.initial_variables)))
    assertions = [it for step in result.executed for it in step.assertions]
    return file_page(
        "suite.html",
        result=result,
        verdict=VERDICTS.get(result.result, result.result),
        counts=counts(result.steps),
        held=sum(it.result == "pass" for it in assertions),
        asserted=len(assertions),
        facts=suite_facts(result),
        steps=[step_view(step, _detail(exchanges.get(step.exchange_id or 0))) for step in result.steps],
    )


def suite_facts(result: SuiteResult) -> list[tuple[str, str]]:
    """Return what is known of a suite's run, by name."""

    def moment(at: float | None) -> str:
        return "" if at is None else datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")

    taken = None
    if result.started_at is not None and result.ended_at is not None:
        taken = f"{result.ended_at - result.started_at:.2f} s"
    rows = [
        ("Target", result.target),
        ("Suite", result.source),
        ("Environment", result.environment),
        ("Started", moment(result.started_at)),
        ("Took", taken),
        ("Run", None if result.run_id is None else str(result.run_id)),
        *result.initial_variables,
    ]
    return [(name, value) for name, value in rows if value]


def _detail(exchange: Exchange | None) -> Detail | None:
    return None if exchange is None else detail(redact(exchange)[0], limits=_LIMITS)


def step_view(step: StepResult, shown: Detail | None) -> dict[str, Any]:
    """Return a step as templates/steps.html shows it; `shown` is its exchange."""
    return {
        "result": step,
        "problems": problems(step),
        "assertions": [(it.result, assertion_line(it)) for it in step.assertions],
        "variables": [(it.result, it.name, it.error or as_text(it.value)) for it in step.variables],
        "scripts": [
            {"name": _SCRIPTS[it.kind], "result": it.result, "output": it.output}
            for it in step.scripts
            if it.output or it.result != "pass"
        ],
        "detail": shown,
    }
