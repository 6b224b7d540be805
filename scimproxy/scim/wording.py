"""Filters, PATCH and bulk operations in words, line by line, as a page shows them.

One rule: bounded and never raising: what cannot be read is shown as it came. Pure; message.py says what an exchange
is in one sentence, this says it in full.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from scimproxy.errors import SyntaxProblem
from scimproxy.scim.changes import clean, get, hide_passwords
from scimproxy.scim.syntax import And, Comparison, Filter, Not, Or, Present, parse_filter

__all__ = ["FilterLine", "OperationLine", "bulk_lines", "filter_lines", "patch_lines"]

_MOST = 200
_CHARS = 300
_WORDS = {
    "eq": "is",
    "ne": "is not",
    "co": "contains",
    "sw": "starts with",
    "ew": "ends with",
    "gt": "is greater than",
    "ge": "is at least",
    "lt": "is less than",
    "le": "is at most",
}


@dataclass(frozen=True, slots=True)
class FilterLine:
    """One condition, `depth` steps inside the others."""

    depth: int
    words: str


@dataclass(frozen=True, slots=True)
class OperationLine:
    """One operation of a PATCH or a bulk request: what, where, with which value (JSON, cut)."""

    verb: str
    place: str
    value: str
    outcome: str = ""


def filter_lines(text: str | None) -> tuple[FilterLine, ...]:
    """Return a filter in words; nothing for none and for one that does not parse."""
    if not text:
        return ()
    try:
        found = parse_filter(text)
    except SyntaxProblem:
        return ()
    lines: list[FilterLine] = []
    _tell(found, 0, lines)
    return tuple(lines[:_MOST])


def _tell(one: Filter, depth: int, lines: list[FilterLine]) -> None:
    match one:
        case Comparison():
            secret = "password" in str(one.path).lower()
            value = "(not shown)" if secret else json.dumps(one.value, ensure_ascii=False)
            lines.append(FilterLine(depth, clean(f"{one.path} {_WORDS[one.op]} {value}", _CHARS)))
        case Present():
            lines.append(FilterLine(depth, f"{clean(str(one.path), _CHARS)} is there"))
        case Not():
            lines.append(FilterLine(depth, "not"))
            _tell(one.filter, depth + 1, lines)
        case And() | Or():
            lines.append(FilterLine(depth, "all of" if isinstance(one, And) else "any of"))
            for term in one.terms:
                _tell(term, depth + 1, lines)
        case _:
            lines.append(FilterLine(depth, f"one element of {clean(str(one.path), _CHARS)} with"))
            _tell(one.filter, depth + 1, lines)
            if one.rest is not None:
                _tell(one.rest, depth + 1, lines)


def patch_lines(body: object) -> tuple[OperationLine, ...]:
    """Return the operations of a PATCH body (RFC 7644 section 3.5.2), as they were sent."""
    found = get(body, "Operations")
    lines = []
    for one in found[:_MOST] if isinstance(found, list) else ():
        path = _text(get(one, "path"))
        secret = "password" in path.lower()
        value = get(one, "value") if isinstance(one, dict) else one
        absent = value is None and isinstance(one, dict) and "value" not in {name.lower() for name in one}
        shown = "" if absent else "(not shown)" if secret else _shown(value)
        lines.append(OperationLine(_text(get(one, "op")) or "-", hide_passwords(path) or "(no path)", shown))
    return tuple(lines)


def bulk_lines(body: object, answer: object) -> tuple[OperationLine, ...]:
    """Return the operations of a bulk request (RFC 7644 section 3.7), each with the status it was answered with."""
    found, came = get(body, "Operations"), get(answer, "Operations")
    answers = came if isinstance(came, list) else []
    lines = []
    for at, one in enumerate(found[:_MOST] if isinstance(found, list) else ()):
        status = get(answers[at], "status") if at < len(answers) else None
        code = get(status, "code") if isinstance(status, dict) else status  # SCIM 1.1 has an object there
        bulk_id = get(one, "bulkId")
        value = f"bulkId {_text(bulk_id)}" if bulk_id else ""
        lines.append(OperationLine(_text(get(one, "method")) or "-", _text(get(one, "path")), value, _text(code)))
    return tuple(lines)


def _text(value: object) -> str:
    return clean(value, _CHARS) if isinstance(value, str) else "" if value is None else _shown(value)


def _shown(value: Any) -> str:  # noqa: ANN401 - JSON
    try:
        return clean(json.dumps(value, ensure_ascii=False), _CHARS)
    except RecursionError:
        return "(nested too deep to be shown)"
