"""A suite's run as a file for others: JUnit XML, JSON with Runscope's names, Markdown.

One rule: failed and errored stay apart wherever the format can say so, and nothing is added to what the results hold.
Pure. Place in the flow: store or runner -> SuiteResult -> here -> file.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any
from xml.sax.saxutils import escape, quoteattr

from scimproxy.suite.casts import as_text
from scimproxy.suite.evaluate import label
from scimproxy.suite.hints import Why, why
from scimproxy.suite.model import COMPARISON_ALIASES, RESULT_COMPARISONS, RESULT_SOURCES, SOURCE_ALIASES
from scimproxy.suite.results import AssertionResult, ScriptResult, StepResult, SuiteResult

__all__ = ["assertion_line", "counts", "junit", "markdown", "problems", "runscope_json"]

_NO_XML = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\ud800-\udfff\ufffe\uffff]")


def counts(steps: Iterable[StepResult]) -> dict[str, int]:
    """Return how many steps came out how; pauses that passed are not counted."""
    found = {"pass": 0, "fail": 0, "error": 0, "skipped": 0, "canceled": 0}
    for step in steps:
        if step.step_type != "pause" or step.result not in {"pass", "skipped"}:
            found[step.result] += 1
    return found


def assertion_line(assertion: AssertionResult) -> str:
    """Return an assertion as Runscope's page shows it: `Status — 201 was not a number equal to 409`."""
    parts = (label(assertion.source, assertion.property), assertion.message, assertion.error)
    return " — ".join(part for part in parts if part)


def problems(step: StepResult) -> list[tuple[str, str, Why | None]]:
    """Return what did not pass in a step: `fail` or `error`, the sentence, and why.

    A rule is told once in a step, and where the status is wrong already, only the status has one: what the body lacks
    then follows from that.
    """
    found: list[tuple[str, str, Why | None]] = [("error", sentence, None) for sentence in step.errors]
    wrong = [it for it in step.assertions if it.result != "pass"]
    only_status = any(it.source == "response_status" for it in wrong)
    told: set[str | None] = set()
    for it in wrong:
        reason = why(step, it)
        if reason is not None and (reason.rule in told or (only_status and it.source != "response_status")):
            reason = replace(reason, rule=None, section=None, cause=None, source=None)
        found.append((it.result, assertion_line(it), reason))
        told.add(None if reason is None else reason.rule)
    found += [(it.result, f"variable {it.name} — {it.error}", None) for it in step.variables if it.result != "pass"]
    found += [(it.result, _script_line(it), None) for it in step.scripts if it.result != "pass"]
    return found


def _script_line(script: ScriptResult) -> str:
    named = {"initial": "initial script", "before": "pre-request script", "after": "post-response script"}
    return f"{named[script.kind]} — {script.error}"


# --- JUnit


def junit(result: SuiteResult) -> str:
    """Return a run as JUnit XML: a test case for each step, `failure` and `error` kept apart."""
    steps = [step for step in result.steps if step.step_type != "pause"]
    found = counts(steps)
    seconds = (result.ended_at or 0) - (result.started_at or 0)
    head = (
        f'name={_attr(result.name)} tests="{len(steps)}" failures="{found["fail"]}" errors="{found["error"]}"'
        f' skipped="{found["skipped"] + found["canceled"]}" time="{max(0.0, seconds):.3f}"'
    )
    lines = ['<?xml version="1.0" encoding="UTF-8"?>', f"<testsuites {head}>"]
    stamp = "" if result.started_at is None else f' timestamp="{_iso(result.started_at)}"'
    lines.append(f"  <testsuite {head}{stamp}>")
    for step in steps:
        lines += _junit_case(result, step)
    if result.canceled:
        lines.append(f"    <system-err>{_xml(result.canceled)}</system-err>")
    lines += ["  </testsuite>", "</testsuites>", ""]
    return "\n".join(lines)


def _junit_case(result: SuiteResult, step: StepResult) -> list[str]:
    name = f"{step.number} {step.note.strip() or step.step_type}"
    head = f'    <testcase classname={_attr(result.name)} name={_attr(name)} time="{step.duration_s or 0:.3f}"'
    found = problems(step)
    logs = [script.output for script in step.scripts if script.output]
    if not found and not logs and step.passed and step.result != "skipped":
        return [f"{head}/>"]
    lines = [f"{head}>"]
    if step.result in {"skipped", "canceled"}:
        lines.append(f"      <skipped message={_attr(step.result)}/>")
    elif step.result in {"fail", "error"}:
        tag = "failure" if step.result == "fail" else "error"
        # JUnit has one verdict for a case: all sentences go into it, the first one into its head.
        first = next((sentence for kind, sentence, _ in found if kind == step.result), step.result)
        body = "\n".join(_with_why(sentence, told) for _, sentence, told in found)
        lines.append(f"      <{tag} message={_attr(first)} type={_attr(step.result)}>{_xml(body)}</{tag}>")
    if logs:
        lines.append(f"      <system-out>{_xml(chr(10).join(logs))}</system-out>")
    return [*lines, "    </testcase>"]


def _with_why(sentence: str, told: Why | None) -> str:
    if told is None or told.rule is None:
        return sentence
    return f"{sentence}\n    {told.rule} ({told.section})\n    Usually: {told.cause}"


def _attr(text: str) -> str:
    return quoteattr(_NO_XML.sub("�", text))


def _xml(text: str) -> str:
    return escape(_NO_XML.sub("�", text))


# --- JSON


def runscope_json(result: SuiteResult) -> dict[str, Any]:
    """Return a run with the names of Runscope's result API (runscope.md 2.7, 6).

    Runscope knows no `error`: what could not be judged says `fail`, with the reason in `error`; `outcome` is ours and
    keeps the two apart.
    """
    executed = result.executed
    data: dict[str, Any] = {
        "test_run_id": None if result.run_id is None else str(result.run_id),
        "test_name": result.name,
        "environment_name": result.environment,
        "agent": None,
        "region": "local",
        "source": "manual",
        "suite": result.source,
        "target": result.target,
        "started_at": result.started_at,
        "finished_at": result.ended_at,
        "result": {"error": "fail", "skipped": "pass"}.get(result.result, result.result),
        "outcome": result.result,
        "canceled": result.canceled,
        "requests_executed": sum(step.step_type == "request" for step in executed),
    }
    for kind in ("assertions", "scripts", "variables"):
        data.update(_tally(kind, [row for step in executed for row in getattr(step, kind)]))
    data["initial_variables"] = dict(result.initial_variables)
    data["warnings"] = list(result.warnings)
    data["requests"] = [_step_json(step) for step in result.steps]
    return data


def _tally(kind: str, rows: list[Any]) -> dict[str, int]:
    passed = sum(row.result == "pass" for row in rows)
    return {f"{kind}_defined": len(rows), f"{kind}_passed": passed, f"{kind}_failed": len(rows) - passed}


def _word(outcome: str) -> str:
    return "fail" if outcome == "error" else outcome


def _step_json(step: StepResult) -> dict[str, Any]:
    data: dict[str, Any] = {
        "number": step.number,
        "step_type": step.step_type,
        "note": step.note,
        "result": _word(step.result),
        "outcome": step.result,
        "method": step.method,
        "url": step.url,
        "response_status_code": step.status_code,
        "response_size_bytes": step.response_size_bytes,
        "response_time_ms": step.response_time_ms,
        "exchange_id": step.exchange_id,
        "error_messages": list(step.errors),
    }
    for kind in ("assertions", "scripts", "variables"):
        data.update(_tally(kind, list(getattr(step, kind))))
    data["assertions"] = [_assertion_json(step, it) for it in step.assertions]
    data["scripts"] = [
        {"result": _word(it.result), "outcome": it.result, "kind": it.kind, "output": it.output, "error": it.error}
        for it in step.scripts
    ]
    data["variables"] = [
        {
            "result": _word(it.result),
            "source": RESULT_SOURCES.get(SOURCE_ALIASES.get(it.source, it.source), it.source),
            "property": it.property,
            "name": it.name,
            "value": it.value,
            "error": it.error,
        }
        for it in step.variables
    ]
    return data


def _assertion_json(step: StepResult, it: AssertionResult) -> dict[str, Any]:
    source = SOURCE_ALIASES.get(it.source, it.source)
    comparison = COMPARISON_ALIASES.get(it.comparison, it.comparison)
    told = why(step, it)
    data: dict[str, Any] = {
        "result": _word(it.result),
        "outcome": it.result,
        "source": RESULT_SOURCES.get(source, source),
        "property": it.property,
        "comparison": RESULT_COMPARISONS.get(comparison, comparison),
        "target_value": None if it.target_value is None else as_text(it.target_value),
        "actual_value": None if it.actual_value is None else as_text(it.actual_value),
        "error": it.error,
        "message": assertion_line(it),
        "place": it.place,
    }
    if told is not None and told.rule is not None:
        data["why"] = {"rule": told.rule, "section": told.section, "cause": told.cause}
    return data


# --- Markdown


def markdown(result: SuiteResult) -> str:
    """Return a run for a pull request: the verdict, what failed and why, and the table of steps folded away."""
    found = counts(result.steps)
    assertions = [it for step in result.executed for it in step.assertions]
    passed = sum(it.result == "pass" for it in assertions)
    verdict = {"pass": "passed", "fail": "failed", "error": "could not be judged", "canceled": "was interrupted"}
    lines = [
        f"### {_md(result.name)}: {verdict.get(result.result, result.result)}",
        "",
        f"{found['pass']} steps passed, {found['fail']} failed, {found['error']} errored,"
        f" {found['skipped'] + found['canceled']} not run; {passed} of {len(assertions)} assertions hold."
        + (f" Target: `{_code(result.target)}`" if result.target else ""),
    ]
    if result.canceled:
        lines += ["", f"**{_md(result.canceled)}**"]
    for step in result.steps:
        trouble = problems(step)
        if not trouble:
            continue
        lines += ["", f"**{step.number}. {_md(step.note.strip() or step.step_type)}**"]
        if step.method and step.url:
            status = "no answer" if step.status_code is None else str(step.status_code)
            lines.append(f"`{_code(step.method)} {_code(step.url)}` → {status}")
        lines.append("")
        for kind, sentence, told in trouble:
            lines.append(f"- {'failed' if kind == 'fail' else 'errored'}: {_md(sentence)}")
            if told is not None and told.rule is not None:
                lines.append(f"  - {_md(told.rule)} ({_md(told.section or '')})")
                lines.append(f"  - usually: {_md(told.cause or '')}")
    lines += ["", "<details><summary>All steps</summary>", "", "| | Step | Status | Time |", "|---|---|---|---|"]
    for step in result.steps:
        if step.step_type == "pause":
            continue
        taken = "" if step.response_time_ms is None else f"{step.response_time_ms} ms"
        name = _md(step.note.strip() or step.step_type)
        lines.append(f"| {step.result} | {step.number}. {name} | {step.status_code or ''} | {taken} |")
    return "\n".join([*lines, "", "</details>", ""])


def _md(text: str) -> str:
    """Return text that Markdown shows as it is: one line, no markup, no HTML, no mentions."""
    flat = " ".join(_NO_XML.sub("�", text).split())
    return re.sub(r"([\\`*_{}\[\]<>()#+!|~@&])", r"\\\1", flat)


def _code(text: str | None) -> str:
    return " ".join((text or "").replace("`", "'").replace("|", "\\|").split())


def _iso(at: float) -> str:
    return datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%dT%H:%M:%S")
