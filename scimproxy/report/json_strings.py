"""The strings and numbers of a JSON text, each with its place and the names that lead to it.

One rule: it never gives up: a text that was cut, or is no JSON in places, is read as far as it goes and beyond; who
edits what it yields changes nothing else. Linear, without recursion. Pure. Used to take personal values out.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass

__all__ = ["Piece", "pieces"]

type Path = tuple[str | int, ...]

_TOKEN = re.compile(r'"(?:[^"\\]|\\.)*+"?|[{}\[\],:]|-?[0-9][0-9.eE+-]*|[A-Za-z]+', re.DOTALL)
_MOST_DEPTH = 200


@dataclass(frozen=True, slots=True)
class Piece:
    """A string or number: `text[start:end]`, without quotation marks; `path` has names in lower case, and indexes."""

    start: int
    end: int
    path: Path
    value: str
    is_name: bool = False
    is_number: bool = False


class _Frame:
    """An object or list that is open: the name or index that comes next."""

    __slots__ = ("index", "is_object", "name")

    def __init__(self, *, is_object: bool) -> None:
        self.is_object = is_object
        self.name: str | None = None
        self.index = 0


def pieces(text: str) -> Iterator[Piece]:
    """Yield the strings and numbers of a JSON text in order; the names of members too."""
    frames: list[_Frame] = []
    path: list[str | int] = []  # the way to the value that comes next, of each frame above

    def here() -> Path:
        if not frames:
            return ()
        top = frames[-1]
        return (*path, (top.name or "") if top.is_object else top.index)

    for found in _TOKEN.finditer(text):
        token = found[0]
        first = token[0]
        if first == '"':
            closed = len(token) > 1 and token[-1] == '"'
            start, end = found.start() + 1, found.end() - closed
            value = _value(text[start:end])
            top = frames[-1] if frames else None
            if top is not None and top.is_object and top.name is None:
                top.name = value.lower()
                yield Piece(start, end, here(), value, is_name=True)
            else:
                yield Piece(start, end, here(), value)
        elif first in "{[":
            if len(frames) < _MOST_DEPTH:
                way = here()
                path[:] = way
                frames.append(_Frame(is_object=first == "{"))
        elif first in "}]":
            if frames:
                frames.pop()
                del path[max(0, len(frames) - 1) :]
        elif first == ",":
            if frames:
                frames[-1].name = None
                frames[-1].index += 1
        elif first.isdigit() or first == "-":
            yield Piece(found.start(), found.end(), here(), token, is_number=True)


def _value(raw: str) -> str:
    """Return what a string says; of one that was cut in an escape, what came before it."""
    if "\\" not in raw:
        return raw
    for cut in range(min(12, len(raw)) + 1):
        try:
            said: str = json.loads(f'"{raw[: len(raw) - cut]}"', strict=False)
        except ValueError:
            continue
        return said
    return raw
