"""What has another value each time, whoever answers: header fields, dates, dates in texts.

One rule: it says where values move, never that a field is there or not: what is missing is still a difference.
Pure; differences.py asks.
"""

from __future__ import annotations

import re
from functools import lru_cache

__all__ = ["dates", "moves", "undated"]

_MOVING = frozenset(
    [
        "date",
        "server",
        "connection",
        "keep-alive",
        "transfer-encoding",
        "content-length",
        "age",
        "expires",
        "last-modified",
        "via",
        "host",
        "user-agent",
        "accept-encoding",
        "cache-control",
        "pragma",
        "vary",
        "etag",
        "if-match",
        "if-none-match",
        "forwarded",
        "x-real-ip",
        "cf-ray",
        "traceparent",
        "tracestate",
        "x-request-id",
        "request-id",
        "x-correlation-id",
        "x-okta-request-id",
        "x-runtime",
        "x-response-time",
        "x-rate-limit-remaining",
        "x-rate-limit-reset",
        "x-ratelimit-remaining",
        "x-ratelimit-reset",
    ]
)
_MOVING_STARTS = ("x-forwarded-", "ngrok-", "x-amzn-", "x-b3-", "cf-")
_DATE = re.compile(r"\d{4}-\d\d-\d\d([T ])\d\d:\d\d(:\d\d)?([.,]\d+)?(Z|[+-]\d\d:?\d\d)?", re.ASCII)
_HTTP_DATE = re.compile(r"[A-Z][a-z]{2}, \d\d [A-Z][a-z]{2} \d{4} \d\d:\d\d:\d\d GMT", re.ASCII)


@lru_cache(maxsize=1024)  # names come over the wire
def moves(name: str) -> bool:
    """Whether a header field has another value each time."""
    return name in _MOVING or name.startswith(_MOVING_STARTS)


def _form(found: re.Match[str]) -> tuple[str | None, bool, bool]:
    return found[1], found[2] is not None, found[4] is not None


def undated(text: str) -> str:
    """Return a text with a word in place of each date."""
    if "-" in text:
        text = _DATE.sub("DATE", text)
    return _HTTP_DATE.sub("DATE", text) if " GMT" in text else text


def dates(a: str, b: str) -> bool | None:
    """Return whether two dates are written in the same form; None where one of the texts is no date."""
    if a[4:5] != "-" or b[4:5] != "-":  # most texts are none, and a pattern takes its time
        return None
    one, two = _DATE.fullmatch(a), _DATE.fullmatch(b)
    return None if one is None or two is None else _form(one) == _form(two)
