"""A second opinion on the verdicts of Okta's suites: the seven comparisons that they use, written apart from the package.

Nothing of `scimproxy.suite` is imported here, and nothing is shared with it: what a comparison means is read off the
vendor's sentences (runscope.md 2.3, 2.4, 2.5) once more. What those suites do not use is not here and raises.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

NOWHERE = object()
"""What a path gives that leads nowhere; null is a value."""

_NUMBER = re.compile(r"[+-]?(\d+(\.\d*)?|\.\d+)([eE][+-]?\d{1,3})?", re.ASCII)


class NotSent(Exception):
    """A variable that is filled in is not defined: the request is not sent (runscope.md 3)."""


@dataclass(frozen=True)
class Answer:
    """What an assertion looks at."""

    status: int
    body: bytes
    took_ms: int

    def get(self, source: str, path: str | None) -> Any:
        if source == "response_status":
            return self.status
        if source == "response_time":
            return self.took_ms
        if source != "response_json":
            raise NotImplementedError(source)
        try:
            value = json.loads(self.body)
        except ValueError:
            return NOWHERE
        for key in keys(path or ""):
            value = below(value, key)
            if value is NOWHERE:
                break
        return value


def keys(path: str) -> Iterator[str | int]:
    """`a.b[0]` is "a", "b", 0."""
    for part in path.split(".") if path else ():
        name, *indices = part.split("[")
        if name:
            yield name
        for index in indices:
            yield int(index.rstrip("]"))


def below(value: Any, key: str | int) -> Any:
    if isinstance(key, str):
        return value.get(key, NOWHERE) if isinstance(value, dict) else NOWHERE
    if not isinstance(value, list) or not -len(value) <= key < len(value):
        return NOWHERE
    return value[key]


def fill(text: str, variables: Mapping[str, Any]) -> str:
    """Put variables in; built-ins are none of those suites' business."""

    def one(found: re.Match[str]) -> str:
        name = found[1].strip()
        if name not in variables:
            raise NotSent(name)
        return cast(variables[name])

    return re.sub(r"\{\{([^{}]*)\}\}", one, text)


def cast(value: Any) -> str:
    """A text is itself; everything else is its JSON."""
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def number(value: Any) -> Fraction | None:
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return None
    text = str(value).strip()
    return Fraction(text) if _NUMBER.fullmatch(text) else None


def holds(assertion: Mapping[str, Any], answer: Answer, variables: Mapping[str, Any]) -> bool:
    """Say whether an assertion, as it stands in the suite's file, holds."""
    have = answer.get(assertion["source"], assertion.get("property"))
    want = assertion["value"]
    if isinstance(want, str):
        want = fill(want, variables)
    if have is NOWHERE:
        return False  # all seven want a value that exists
    match assertion["comparison"]:
        case "equal":
            return cast(have) == cast(want)
        case "not_empty":
            return have is not None and have != ""
        case "contains":
            return cast(want) in cast(have)
        case "has_value":
            members = list(have.values()) if isinstance(have, dict) else have
            return isinstance(members, list) and cast(want) in [cast(one) for one in members]
        case "is_a_number":
            return number(have) is not None
        case "equal_number":
            return number(have) is not None and number(have) == number(want)
        case "is_less_than":
            less, more = number(have), number(want)
            return less is not None and more is not None and less < more
    raise NotImplementedError(assertion["comparison"])


def taken(step: Mapping[str, Any], answer: Answer) -> dict[str, Any]:
    """What a step's rows of variables take out of the answer; rows without a name are ignored."""
    found = {row["name"]: answer.get(row["source"], row["property"]) for row in step["variables"] if row.get("name")}
    return {name: value for name, value in found.items() if value is not NOWHERE}


def groups_are_listed(answer: Answer, *, may_be_none: bool) -> bool:
    """What the script after `/Groups` comes to: 1.1 wants a group, 2.0 takes an empty list (and a count of no groups)."""
    try:
        document = json.loads(answer.body)
    except ValueError:
        return False
    return may_be_none or (document.get("totalResults", 0) >= 1 and isinstance(document.get("Resources"), list))
