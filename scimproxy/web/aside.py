"""Two exchanges side by side: the lines of their messages, those that are alike beside each other.

One rule: lines are what was sent (JSON unfolded, its digits and order kept), bounded, and what is left out is said;
what a difference means is run_diff.py's to say. Pure: give it what was redacted.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from difflib import SequenceMatcher
from itertools import zip_longest

from scimproxy.decode import text as decoded_text
from scimproxy.exchange import Content, Exchange, Headers
from scimproxy.outline import outline

__all__ = ["Beside", "aside"]

_MOST_LINES = 600
_LONGEST = 500


@dataclass(frozen=True, slots=True)
class Beside:
    """One line of each; None where the other has no counterpart. `sign` is "" for alike, else "≠", "-" or "+"."""

    a: str | None
    b: str | None
    sign: str


def aside(a: Exchange, b: Exchange) -> list[tuple[str, list[Beside]]]:
    """Return the requests and the responses, each with their lines beside each other."""
    return [
        ("Request", _aligned(list(_request(a)), list(_request(b)))),
        ("Response", _aligned(list(_response(a)), list(_response(b)))),
    ]


def _aligned(a: list[str], b: list[str]) -> list[Beside]:
    found: list[Beside] = []
    for what, a_from, a_to, b_from, b_to in SequenceMatcher(None, a, b, autojunk=False).get_opcodes():
        for one, two in zip_longest(a[a_from:a_to], b[b_from:b_to]):
            sign = "" if what == "equal" else "+" if one is None else "-" if two is None else "≠"
            found.append(Beside(one, two, sign))
    return found


def _request(of: Exchange) -> Iterator[str]:
    request = of.request
    yield _cut(f"{request.method} {request.target} HTTP/{request.http_version}")
    yield from _message(request.headers, request.content)


def _response(of: Exchange) -> Iterator[str]:
    response = of.response
    if response is None:
        yield "no response" if of.failure is None else _cut(f"no response: {of.failure.message}")
        return
    yield _cut(f"HTTP/{response.http_version} {response.status_code} {response.reason}")
    yield from _message(response.headers, response.content)


def _message(headers: Headers, content: Content) -> Iterator[str]:
    fields = [_cut(f"{name}: {value}") for name, value in headers]
    yield from _some(fields, "fields")
    yield ""
    text = decoded_text(content, headers)
    if text is None:
        yield f"{content.size:,} bytes that are no text"
        return
    parsed = outline(text, most_lines=_MOST_LINES, longest=_LONGEST)
    if parsed is None:
        yield from _some([_cut(line) for line in text.splitlines()], "lines")
        return
    depth = 0
    for line in parsed.lines:
        depth -= line.kind == "close"
        name = f"{line.name}: " if line.name else ""
        yield f"{'  ' * depth}{name}{line.text}{',' if line.comma else ''}"
        depth += line.kind == "open"


def _some(lines: list[str], what: str) -> Iterator[str]:
    yield from lines[:_MOST_LINES]
    if len(lines) > _MOST_LINES:
        yield f"… {len(lines) - _MOST_LINES:,} more {what}"


def _cut(text: str) -> str:
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]}… {len(text) - _LONGEST:,} more characters"
