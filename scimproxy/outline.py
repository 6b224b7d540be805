"""The outline of a JSON text: its lines, each with its JSON pointer (RFC 6901), ready to be folded on a page.

One rule: what stands there is what was sent: numbers keep their digits, members their order, duplicates stay; and the
work is bounded: what is left out is counted. Pure. Flow: text of a body -> outline -> templates/exchange.html.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal

from scimproxy.amounts import plural
from scimproxy.bounded_json import no_constant

__all__ = ["MOST_DEPTH", "Line", "Outline", "outline"]

MOST_DEPTH = 64
"""Objects and lists inside each other that are shown."""
_FOLDED_DEPTH = 6
_MANY = 20

type Kind = Literal["open", "close", "leaf", "more"]
type Form = Literal["object", "list", "string", "number", "word", ""]


@dataclass(frozen=True, slots=True)
class Line:
    """One line: a value, the beginning or end of an object or list, or a word about what is left out.

    `name` is the member's name as JSON, with quotation marks. `count` says how much is inside what is folded.
    """

    kind: Kind
    pointer: str
    text: str
    form: Form = ""
    name: str = ""
    count: str = ""
    comma: bool = False
    folded: bool = False


@dataclass(frozen=True, slots=True)
class Outline:
    """The lines of a text, and how many values were left out."""

    lines: tuple[Line, ...]
    left_out: int


class _Members(tuple[tuple[str, Any], ...]):
    """The members of an object, in order, duplicates too."""

    __slots__ = ()


class _Digits(str):
    """A number as it was written."""

    __slots__ = ()


def outline(text: str, *, most_lines: int = 2_000, longest: int = 2_000) -> Outline | None:
    """Return the outline of a JSON text; None where it is no JSON (RFC 8259), or too deep to be read.

    Args:
        text: The body, decoded.
        most_lines: Lines that are given; what follows is counted.
        longest: Characters of one string that are given.
    """
    try:
        value = json.loads(
            text, parse_int=_Digits, parse_float=_Digits, parse_constant=no_constant, object_pairs_hook=_Members
        )
    except (ValueError, RecursionError):
        return None
    writer = _Writer(most_lines, longest)
    writer.value(value, "", "", 0, comma=False)
    return Outline(tuple(writer.lines), writer.left_out)


class _Writer:
    def __init__(self, most: int, longest: int) -> None:
        self.lines: list[Line] = []
        self.left_out = 0
        self._most = most
        self._longest = longest

    def value(self, value: Any, name: str, pointer: str, depth: int, *, comma: bool, many: bool = False) -> None:  # noqa: ANN401 - JSON
        if not isinstance(value, _Members | list):
            text, form = self._scalar(value)
            self.lines.append(Line("leaf", pointer, text, form, name, comma=comma))
            return
        form = "object" if isinstance(value, _Members) else "list"
        begin, end = ("{", "}") if form == "object" else ("[", "]")
        if not value or depth == MOST_DEPTH:
            self.left_out += len(value)
            inside = "…" if value else ""
            self.lines.append(Line("leaf", pointer, f"{begin}{inside}{end}", form, name, comma=comma))
            return
        count = plural(len(value), "member" if form == "object" else "element")
        folded = depth >= _FOLDED_DEPTH or many
        self.lines.append(Line("open", pointer, begin, form, name, count, folded=folded))
        for at, (inner_name, part, inner) in enumerate(_parts(value)):
            if len(self.lines) >= self._most:
                left = len(value) - at
                self.left_out += left
                self.lines.append(Line("more", pointer, f"… {left:,} more"))
                break
            last = at == len(value) - 1
            long_list = form == "list" and len(value) > _MANY
            self.value(inner, inner_name, f"{pointer}/{part}", depth + 1, comma=not last, many=long_list)
        self.lines.append(Line("close", pointer, end, form, comma=comma))

    def _scalar(self, value: Any) -> tuple[str, Form]:  # noqa: ANN401 - JSON
        if isinstance(value, _Digits):
            return _cut(value, self._longest), "number"
        if isinstance(value, str):
            return _cut(json.dumps(value, ensure_ascii=False), self._longest), "string"
        return json.dumps(value), "word"


def _parts(value: _Members | list[Any]) -> Iterator[tuple[str, str, Any]]:
    """Yield the name as shown, the part of the pointer, and the value."""
    if isinstance(value, _Members):
        for name, inner in value:
            part = name.replace("~", "~0").replace("/", "~1")
            yield json.dumps(name, ensure_ascii=False), part, inner
    else:
        for at, inner in enumerate(value):
            yield "", str(at), inner


def _cut(text: str, longest: int) -> str:
    return text if len(text) <= longest else f"{text[:longest]}… ({len(text):,} characters)"
