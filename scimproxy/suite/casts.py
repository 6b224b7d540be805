"""How Runscope turns one kind of value into another: to text for comparing, to a number, from JSON text.

One rule: nothing here raises for a value that JSON can hold, and nothing takes longer than the value is large.
Sources are sections of the vendor's documentation as quoted in evaluate.py; forms that no source tells are INFERRED.
"""

from __future__ import annotations

import json
import re
from decimal import Decimal, InvalidOperation

from scimproxy.bounded_json import no_constant
from scimproxy.suite.model import Json

__all__ = ["MAX_JSON_DEPTH", "as_number", "as_text", "read_json"]

MAX_JSON_DEPTH = 200
"""How deep a JSON document may nest; real SCIM answers stay below ten."""

_MAX_DIGITS = 1000
_NUMBER = re.compile(r"\s*[+-]?(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)(?:[eE][+-]?[0-9]{1,9})?\s*", re.ASCII)


def as_text(value: Json) -> str:
    """Return the text that a value is compared and substituted as.

    "Non-string values are cast to a string before comparing." Texts stay; true, false and integers are their JSON
    text (CONFIRMED for `"true"` and `"0"`); floats, lists, objects and null too (INFERRED), without blanks.
    """
    if isinstance(value, str):
        return value
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def as_number(value: Json) -> Decimal | None:
    """Return the number that a value is or can be cast to; None for what is none.

    Texts are numbers when they are written as one, also `1.000` and `1e3`. True, false, null, "", lists, objects and
    the words inf and nan are none (INFERRED).
    """
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        return None
    text = value if isinstance(value, str) else str(value)
    if len(text) > _MAX_DIGITS or not _NUMBER.fullmatch(text):
        return None
    try:
        return Decimal(text.strip())
    except InvalidOperation:  # pragma: no cover - nine digits of exponent always fit; kept for other platforms
        return None


def read_json(text: str) -> Json:
    """Return the value of a JSON text.

    Raises:
        ValueError: it is not JSON, or nests deeper than MAX_JSON_DEPTH; the message says where.
    """
    try:
        value = json.loads(text.removeprefix("\ufeff"), parse_constant=no_constant, parse_int=_integer)
    except RecursionError:
        raise ValueError(f"it nests deeper than {MAX_JSON_DEPTH} levels") from None
    if text.count("[") + text.count("{") > MAX_JSON_DEPTH and _is_too_deep(value):
        raise ValueError(f"it nests deeper than {MAX_JSON_DEPTH} levels")
    return value


def _integer(digits: str) -> int | float:
    """Return an integer; one of absurd length as the float that it is near to, as JavaScript does."""
    return int(digits) if len(digits) <= _MAX_DIGITS else float(digits)


def _is_too_deep(value: Json) -> bool:
    level = [one for one in [value] if isinstance(one, dict | list)]
    for _ in range(MAX_JSON_DEPTH):
        inner = (node.values() if isinstance(node, dict) else node for node in level)
        level = [one for members in inner for one in members if isinstance(one, dict | list)]
        if not level:
            return False
    return True
