"""Property paths into a JSON document, as Runscope reads them (runscope.md 2.5).

One rule: a path either names one value, or the first component that cannot be found. Dots, `[0]`, `[-1]`, root
arrays, `["a.b"]` and `['a.b']`. A key that itself has dots (`urn:...:2.0:User.department`) is found without
brackets: at each level the longest part of the path that is a key there is tried first (INFERRED).
Anything else (`$`, `*`, slices, filters) is refused with a sentence. Pure.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache

from scimproxy.errors import SyntaxProblem
from scimproxy.suite.model import Json

__all__ = ["Found", "JsonPathError", "Missing", "locate", "parse_path"]

MAX_PATH = 2000
"""How many characters a path may have."""

_NAME = re.compile(r"[^.\[\]]+")
_INDEX = re.compile(r"\[\s*(-?[0-9]{1,9})\s*\]", re.ASCII)
_QUOTED = re.compile(r"""\[\s*(?:"((?:[^"\\]|\\.)*)"|'((?:[^'\\]|\\.)*)')\s*\]""", re.DOTALL)


class JsonPathError(SyntaxProblem):
    """A path that Runscope's documentation does not describe; `position` is the 0-based offset of the fault."""


@dataclass(frozen=True, slots=True)
class Found:
    """A value and the JSON pointer (RFC 6901) of its place."""

    value: Json
    pointer: str


@dataclass(frozen=True, slots=True)
class Missing:
    """A path that leads nowhere: `component` is the first part not found, `pointer` where it was sought."""

    component: str
    path: str
    pointer: str

    @property
    def message(self) -> str:
        """Runscope's sentence for it (2.4)."""
        return f"Unable to locate {self.component} property in path '{self.path}' in JSON."


@dataclass(frozen=True, slots=True)
class _Part:
    """A component: the key or index, and where its text begins and ends; a quoted key is never joined with others."""

    key: str | int
    start: int
    end: int
    quoted: bool = False


@lru_cache(maxsize=512)
def parse_path(path: str) -> tuple[_Part, ...]:
    """Return the components of a path; none for the empty one, which is the whole document.

    Raises:
        JsonPathError: it is no such path.
    """
    if len(path) > MAX_PATH:
        raise JsonPathError(f"a path longer than {MAX_PATH} characters", text=path[:80], position=0)
    parts: list[_Part] = []
    at = 0
    while at < len(path):
        if path[at] == "[":
            part = _bracket(path, at)
        else:
            if parts:
                if path[at] != ".":
                    raise _problem(path, at, "expected '.' or '['")
                at += 1
            part = _name(path, at, first=not parts)
        parts.append(part)
        at = part.end
    return tuple(parts)


def _name(path: str, at: int, *, first: bool) -> _Part:
    match = _NAME.match(path, at)
    if match is None:
        raise _problem(path, min(at, len(path) - 1), "a name is missing")
    name = match.group()
    if name == "*":
        raise _problem(path, at, "'*' is not supported: name one element")
    if first and name == "$":
        raise _problem(path, at, "'$' is not supported: the path begins at the document itself, leave '$.' out")
    return _Part(name, at, match.end())


def _bracket(path: str, at: int) -> _Part:
    index = _INDEX.match(path, at)
    if index is not None:
        return _Part(int(index[1]), at, index.end())
    quoted = _QUOTED.match(path, at)
    if quoted is not None:
        key = quoted[1] if quoted[1] is not None else quoted[2]
        return _Part(re.sub(r"\\(.)", r"\1", key, flags=re.DOTALL), at, quoted.end(), quoted=True)
    raise _problem(
        path, at, "in brackets stands a whole number or a quoted name; slices, filters and '*' are not known"
    )


def _problem(path: str, at: int, what: str) -> JsonPathError:
    return JsonPathError(f"'{path}' is not a property path, at position {at}: {what}", text=path, position=at)


def locate(document: Json, path: str | None) -> Found | Missing:
    """Return the value that a path names, or what of it cannot be found.

    Raises:
        JsonPathError: it is no such path.
    """
    path = (path or "").strip()
    return _Walk(path, parse_path(path)).run(document)


class _Walk:
    """One search: depth first, longest key first; a place that led nowhere is not tried twice."""

    def __init__(self, path: str, parts: tuple[_Part, ...]) -> None:
        self.path = path
        self.parts = parts

    def run(self, document: Json) -> Found | Missing:
        tried: set[tuple[int, int]] = set()
        waiting: list[tuple[Json, int, str]] = [(document, 0, "")]
        deepest = (-1, "")
        while waiting:
            node, index, pointer = waiting.pop()
            if index == len(self.parts):
                return Found(node, pointer)
            if (id(node), index) in tried:
                continue
            tried.add((id(node), index))
            if index > deepest[0]:
                deepest = (index, pointer)
            waiting.extend(self._below(node, index, pointer))
        return Missing(str(self.parts[deepest[0]].key), self.path, deepest[1])

    def _below(self, node: Json, index: int, pointer: str) -> list[tuple[Json, int, str]]:
        """Return where a component can lead from here, the best last."""
        part = self.parts[index]
        if isinstance(node, list):
            if isinstance(part.key, int) and -len(node) <= part.key < len(node):
                position = part.key % len(node)
                return [(node[position], index + 1, f"{pointer}/{position}")]
            return []
        if not isinstance(node, dict):
            return []
        found = []
        if (key := str(part.key)) in node:
            found.append((node[key], index + 1, f"{pointer}/{_escaped(key)}"))
        if isinstance(part.key, str) and not part.quoted:
            for after in range(index + 2, len(self.parts) + 1):
                joined = self.path[part.start : self.parts[after - 1].end]
                if joined in node:
                    found.append((node[joined], after, f"{pointer}/{_escaped(joined)}"))
        return found


def _escaped(key: str) -> str:
    return key.replace("~", "~0").replace("/", "~1")
