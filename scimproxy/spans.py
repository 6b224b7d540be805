"""Where in a JSON text each string and number stands: so that one value is replaced and every other byte stays.

One rule: the text has been read by `json.loads` before; positions are of the text, and the work is linear, without
recursion. Pure; exports put references in place of values by it, replays the values of now. What was cut or broken
is report/json_strings.py's.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from json.decoder import scanstring  # type: ignore[attr-defined]  # typeshed does not know it; json.decoder does

__all__ = ["Span", "spans"]

_BLANK = re.compile(r"[ \t\r\n\ufeff]*")
_ATOM = re.compile(r"[^\s,\]}]+")


@dataclass(frozen=True, slots=True)
class Span:
    """A string (with its quotes) or another atom of a JSON text: `text[start:end]` at `pointer`."""

    pointer: tuple[str | int, ...]
    start: int
    end: int
    value: str
    is_string: bool


def spans(text: str) -> Iterator[Span]:
    """Yield the strings and atoms that are values (no names of members), in the order of the text."""
    inside: list[str | int] = []  # of each object or list around: the name or index of the value to come
    at = _blank(text, 0)
    names_next = False
    while at < len(text):
        char = text[at]
        if names_next and char == '"':
            name, at = scanstring(text, at + 1)
            inside[-1] = name
            at = _blank(text, _blank(text, at) + 1)  # past the colon
            names_next = False
            continue
        names_next = False
        if char in "{[":
            inside.append(0 if char == "[" else "")
            names_next = char == "{"
            at += 1
        elif char in "}]":
            inside.pop()
            at += 1
        elif char == ",":
            last = inside[-1]
            if isinstance(last, int):
                inside[-1] = last + 1
            else:
                names_next = True
            at += 1
        else:
            pointer = tuple(inside)
            if char == '"':
                value, end = scanstring(text, at + 1)
                yield Span(pointer, at, end, value, is_string=True)
            else:
                found = _ATOM.match(text, at)
                assert found is not None, "json.loads has read this text"
                end = found.end()
                yield Span(pointer, at, end, found[0], is_string=False)
            at = end
        at = _blank(text, at)


def _blank(text: str, at: int) -> int:
    found = _BLANK.match(text, at)
    assert found is not None
    return found.end()
