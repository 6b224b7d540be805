"""JSON documents of unknown origin: read whole, or refused with a FormatError that says what is wrong and where.

One rule: bounded in bytes and depth before anything walks through it, and strict (no NaN). `what` is the word for the
document in messages. Pure; har_reading and the other importers read through it, and whoever reads JSON in another way
takes `no_constant` from here.
"""

from __future__ import annotations

import json
from typing import Any

from scimproxy.errors import FormatError

__all__ = ["LIMIT", "no_constant", "parsed"]

LIMIT = 100 * 1024 * 1024
"""The largest document read unless told otherwise, in bytes."""
_MOST_DEPTH = 200


def parsed(document: bytes | str, *, limit: int = LIMIT, what: str) -> dict[str, Any]:
    """Return a document that is a JSON object.

    Raises:
        FormatError: it is larger than `limit`, no JSON, too deep, or no object.
    """
    if len(document) > limit:
        raise FormatError(
            f"{what} of {len(document)} bytes, more than {limit}", hint="split it, or allow more with --max-size"
        )
    try:
        text = document if isinstance(document, str) else document.decode("utf-8-sig")
    except UnicodeDecodeError as exc:
        raise FormatError(f"byte {exc.start} is not UTF-8: this is no {what}") from exc
    try:
        value = json.loads(text, parse_constant=no_constant)
    except RecursionError as exc:
        raise FormatError(f"nested too deep for a {what}") from exc
    except json.JSONDecodeError as exc:
        raise FormatError(f"line {exc.lineno}, column {exc.colno}: {exc.msg}; this is no whole {what}") from exc
    except ValueError as exc:
        raise FormatError(f"{exc}; this is no {what}") from exc
    if not isinstance(value, dict):
        raise FormatError(f"not an object: this is no {what}")
    if _depth_over(value):
        raise FormatError(f"nested deeper than {_MOST_DEPTH}: this is no {what}")
    return value


def no_constant(name: str) -> None:
    """Refuse NaN and Infinity, which are no JSON (RFC 8259 section 6); for `json.loads`."""
    raise ValueError(f"{name} is not a JSON number")


def _depth_over(value: object) -> bool:
    level = [value]
    for _ in range(_MOST_DEPTH):
        level = [
            inner
            for outer in level
            for inner in (outer.values() if isinstance(outer, dict) else outer)  # type: ignore[attr-defined]  # see below
            if isinstance(inner, dict | list)  # so that `outer` is one of both
        ]
        if not level:
            return False
    return True
