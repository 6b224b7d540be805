"""A text, and what it says once escapes are undone: percent codes, backslashes, HTML's entities, one in another.

One rule: each character that was decoded knows which part of the text it came from, so that what is found in the
decoded form can be replaced in the text as it stands. Never raises; at most `MOST_LEVELS` codings inside each other.
Pure. Flow: text -> levels -> pseudonyms.py searches each level.
"""

from __future__ import annotations

import html
import re
from collections.abc import Iterator
from dataclasses import dataclass
from urllib.parse import unquote_to_bytes

__all__ = ["MOST_LEVELS", "Level", "levels"]

MOST_LEVELS = 4
"""Forms of one text that are looked at, its own included."""

_ESCAPE = re.compile(
    r"(?P<percent>(?:%[0-9A-Fa-f]{2})+)"
    r"|(?P<unicode>\\u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}|\\u[0-9a-fA-F]{4})"
    r"|(?P<letter>\\[\"\\/bfnrt'])"
    r"|(?P<entity>&(?:#[0-9]{1,7}|#[xX][0-9a-fA-F]{1,6}|[A-Za-z][A-Za-z0-9]{1,30});)"
)
_LETTERS = {"b": "\b", "f": "\f", "n": "\n", "r": "\r", "t": "\t"}


@dataclass(frozen=True, slots=True)
class Level:
    """One form of a text; `starts` and `ends` say of each character where it stands in the text (None: the same)."""

    text: str
    starts: list[int] | None = None
    ends: list[int] | None = None

    def span(self, start: int, end: int) -> tuple[int, int]:
        """Return the part of the original text that gave these characters."""
        if self.starts is None or self.ends is None:
            return start, end
        return self.starts[start], self.ends[end - 1]


def levels(text: str) -> Iterator[Level]:
    """Yield the text as it stands, then with its escapes undone, then with those that came out undone, and so on."""
    level = Level(text)
    yield level
    for _ in range(MOST_LEVELS - 1):
        if "%" not in level.text and "\\" not in level.text and "&" not in level.text:
            return
        deeper = _decoded(level)
        if deeper is None:
            return
        level = deeper
        yield level


def _decoded(level: Level) -> Level | None:
    text = level.text
    characters: list[str] = []
    starts: list[int] = []
    ends: list[int] = []
    at = 0
    for found in _ESCAPE.finditer(text):
        for place in range(at, found.start()):
            _put(level, characters, starts, ends, text[place], place, place + 1)
        at = found.end()
        for character, start, end in _characters(found):
            _put(level, characters, starts, ends, character, start, end)
    if not at:
        return None
    for place in range(at, len(text)):
        _put(level, characters, starts, ends, text[place], place, place + 1)
    return Level("".join(characters), starts, ends)


def _put(
    level: Level, characters: list[str], starts: list[int], ends: list[int], character: str, start: int, end: int
) -> None:
    first, last = level.span(start, end)
    characters.append(character)
    starts.append(first)
    ends.append(last)


def _characters(found: re.Match[str]) -> Iterator[tuple[str, int, int]]:
    """Yield the characters that an escape stands for, each with its place in the text."""
    start, end, escape = found.start(), found.end(), found[0]
    match found.lastgroup:
        case "percent":
            yield from _percent(escape, start)
        case "unicode":
            units = bytes.fromhex(escape.replace("\\u", ""))
            yield units.decode("utf-16-be", "replace"), start, end
        case "letter":
            yield _LETTERS.get(escape[1], escape[1]), start, end
        case _:
            said = html.unescape(escape)
            for character in said:
                yield character, start, end


def _percent(escape: str, start: int) -> Iterator[tuple[str, int, int]]:
    """Yield the characters of a run of percent codes: UTF-8, and ISO-8859-1 for the bytes that are none."""
    data = unquote_to_bytes(escape)
    at = 0
    while at < len(data):
        length = next((n for n in (1, 2, 3, 4) if _is_utf8(data[at : at + n], n)), 0)
        character = data[at : at + length].decode("utf-8") if length else chr(data[at])
        length = length or 1
        yield character, start + 3 * at, start + 3 * (at + length)
        at += length


def _is_utf8(data: bytes, length: int) -> bool:
    if len(data) != length:
        return False
    try:
        return len(data.decode("utf-8")) == 1
    except UnicodeDecodeError:
        return False
