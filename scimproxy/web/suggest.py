"""Suggestions for the filter box: what may stand where the cursor is.

One rule: what is suggested parses, and is what query.py documents. Pure.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from scimproxy.clients import CLIENTS, LABELS
from scimproxy.query import FAILURES, HAS, IS, METHODS, TERMS, TYPES
from scimproxy.scim import KINDS

__all__ = ["Suggestion", "suggestions"]

_MOST = 16
_WORD = re.compile(r"(-?)(?:([A-Za-z]+):)?(\S*)\Z")
_END = re.compile(r'[\s"]')

_CLIENT_NAMES = {client.label: client.name for client in CLIENTS}
_STATUS = {
    "2xx": "successful",
    "3xx": "redirected or not modified",
    "4xx": "refused: the request is at fault",
    "5xx": "failed: the server is at fault",
    ">=400": "any error",
    "200": "OK",
    "201": "Created",
    "204": "No Content",
    "400": "Bad Request",
    "401": "Unauthorized",
    "403": "Forbidden",
    "404": "Not Found",
    "409": "Conflict",
    "412": "Precondition Failed",
    "429": "Too Many Requests",
    "500": "Internal Server Error",
}
_VALUES: dict[str, dict[str, str]] = {
    "method": dict.fromkeys(METHODS, ""),
    "status": _STATUS,
    "op": dict.fromkeys(KINDS, ""),
    "type": dict.fromkeys(TYPES, ""),
    "client": {label: _CLIENT_NAMES.get(label, "") for label in LABELS},
    "failure": dict.fromkeys(FAILURES, ""),
    "has": dict.fromkeys(HAS, ""),
    "is": dict.fromkeys(IS, ""),
    "slower": dict.fromkeys(("100ms", "500ms", "1s", "5s"), ""),
    "faster": dict.fromkeys(("10ms", "100ms"), ""),
}


@dataclass(frozen=True, slots=True)
class Suggestion:
    """`text` replaces what stands from `start` up to the cursor; a term still wants its value after it."""

    text: str
    meaning: str
    start: int


def suggestions(text: str, at: int | None = None) -> list[Suggestion]:
    """Return what may be meant at the cursor (by default the end), few."""
    before = text[: len(text) if at is None else max(0, at)]
    if before.count('"') % 2:
        return []
    begin = max((one.end() for one in _END.finditer(before)), default=0)
    found = _WORD.match(before, begin)
    assert found is not None  # it matches the empty text at the end
    minus, name, word = found.groups()
    if name is None:
        rows = [(f"{minus}{term.name}:", term.meaning) for term in TERMS if term.name.startswith(word.lower())]
        return [Suggestion(one, meaning, found.start()) for one, meaning in rows[:_MOST]]
    known = _VALUES.get(name.lower(), {})
    start = found.start(3) + word.rfind(",") + 1
    part = before[start:].lower()
    return [
        Suggestion(value, meaning, start)
        for value, meaning in known.items()
        if value.lower().startswith(part) and value.lower() != part
    ][:_MOST]
