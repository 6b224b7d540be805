"""A suite's run as one HTML file: summary, steps, each with request, response, connection and assertions.

One rule: the file stands alone (no script, nothing loaded) and nothing in it is markup but the template's: every
value is escaped. Exchanges are redacted once more: secrets stay out also of runs that were recorded with them.
"""

from __future__ import annotations

import contextlib
import json
import re
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from jinja2 import Environment

from scimproxy.decode import text as text_of
from scimproxy.exchange import Content, Exchange, Headers
from scimproxy.redact import redact
from scimproxy.report import assertion_line, counts, problems
from scimproxy.suite.casts import as_text
from scimproxy.suite.masking import masked, secrets_of
from scimproxy.suite.results import StepResult, SuiteResult

__all__ = ["html"]

_TEMPLATE = Path(__file__).with_name("templates") / "suite.html"
_LONGEST = 50_000
_UNSEEN = re.compile(
    "[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u200b-\u200f\u202a-\u202e\u2066-\u2069\ud800-\udfff\ufeff]"
)
_VERDICTS = {"pass": "passed", "fail": "failed", "error": "could not be judged", "canceled": "was interrupted"}
_SCRIPTS = {"initial": "Initial script", "before": "Pre-request script", "after": "Post-response script"}


def html(result: SuiteResult, exchanges: Mapping[int, Exchange]) -> str:
    """Return the page; `exchanges` are those that the steps name, by id."""
    result = masked(result, secrets_of(dict(result.initial_variables)))
    assertions = [it for step in result.executed for it in step.assertions]
    template = Environment(autoescape=True, finalize=_visible, trim_blocks=True, lstrip_blocks=True).from_string(
        _TEMPLATE.read_text(encoding="utf-8")
    )
    return template.render(
        result=result,
        verdict=_VERDICTS.get(result.result, result.result),
        counts=counts(result.steps),
        held=sum(it.result == "pass" for it in assertions),
        asserted=len(assertions),
        facts=_facts(result),
        steps=[_step(step, exchanges.get(step.exchange_id or 0)) for step in result.steps],
    )


def _visible(value: Any) -> Any:  # noqa: ANN401 - whatever the template prints
    """Show what could hide or reorder text as a replacement character."""
    return _UNSEEN.sub("�", value) if type(value) is str else value


def _facts(result: SuiteResult) -> list[tuple[str, str]]:
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


def _step(step: StepResult, exchange: Exchange | None) -> dict[str, Any]:
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
        "parts": [] if exchange is None else _parts(redact(exchange)[0]),
    }


def _parts(exchange: Exchange) -> list[dict[str, Any]]:
    request, response = exchange.request, exchange.response
    parts = [
        {
            "title": "Request",
            "lines": _head(f"{request.method} {request.target} HTTP/{request.http_version}", request.headers),
            "body": _body(request.content, request.headers),
        }
    ]
    if response is not None:
        line = f"HTTP/{response.http_version} {response.status_code} {response.reason}".rstrip()
        parts.append(
            {
                "title": "Response",
                "lines": _head(line, response.headers),
                "body": _body(response.content, response.headers),
            }
        )
    return [*parts, {"title": "Connection", "rows": _connection(exchange)}]


def _head(line: str, headers: Headers) -> str:
    return "\n".join([line, *(f"{name}: {value}" for name, value in headers)])


def _body(content: Content, headers: Headers) -> str:
    if not content.size:
        return ""
    text = text_of(content, headers)
    if text is None:
        return f"({content.size} bytes that are no text)"
    with contextlib.suppress(ValueError, RecursionError):  # what is no JSON is shown as it came
        text = json.dumps(json.loads(text), indent=2, ensure_ascii=False)
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]}…\n({content.size} bytes; cut here)"


def _connection(exchange: Exchange) -> list[tuple[str, str]]:
    facts, timings = exchange.upstream_connection, exchange.timings
    rows: list[tuple[str, str | None]] = [("Server", exchange.upstream_address)]
    if facts is not None:
        rows.append(("HTTP version", facts.http_version))
        if facts.tls is not None:
            rows.append(("TLS", " ".join(filter(None, (facts.tls.version, facts.tls.cipher)))))
    if exchange.upstream_index is not None:
        rows.append(("Exchange on this connection", str(exchange.upstream_index)))
    if exchange.failure is not None:
        rows.append(("Failure", exchange.failure.message))
    names = ("dns", "connect", "tls", "send", "wait", "receive", "total")
    rows += [(name, f"{value:.2f} ms") for name in names if (value := getattr(timings, name)) is not None]
    return [(name, value) for name, value in rows if value]
