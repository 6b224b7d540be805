"""Strings of a JSON text, exchanged in place: every other byte stays (white space, order, number forms, duplicates).

One rule: the text is JSON that json.loads took; what is at a pointer is replaced wherever the pointer leads.
Pure; replayer.py writes bodies with it.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from scimproxy.errors import UsageError
from scimproxy.replay.spots import Pointer
from scimproxy.spans import spans

__all__ = ["pointer_of", "with_strings", "with_value"]


def with_strings(text: str, changes: Mapping[Pointer, str]) -> str:
    """Return the text with the strings at these places exchanged; other values there are left alone."""
    parts: list[str] = []
    copied = 0
    for span in spans(text):
        new = changes.get(span.pointer) if span.is_string else None
        if new is not None:
            said = text[span.start : span.end]
            ascii_only = "\\u" in said or said.isascii()
            parts += [text[copied : span.start], json.dumps(new, ensure_ascii=ascii_only)]
            copied = span.end
    return "".join([*parts, text[copied:]])


def pointer_of(text: str) -> tuple[str, ...]:
    """Return the parts of a JSON pointer (RFC 6901).

    Raises:
        UsageError: it is none.
    """
    if text and not text.startswith("/"):
        raise UsageError(
            f"{text!r} is no JSON pointer", hint="begin with a slash: /userName, /emails/0/value (RFC 6901)"
        )
    return tuple(part.replace("~1", "/").replace("~0", "~") for part in text.split("/")[1:])


def with_value(document: Any, pointer: tuple[str, ...], value: Any, *, add: bool) -> tuple[Any, bool]:  # noqa: ANN401
    """Return a document with another value at a place, and whether there is such a place.

    With `add` a member that is missing is added to its object; `-` is behind the last element of a list.
    """
    if not pointer:
        return value, True
    name, rest = pointer[0], pointer[1:]
    if isinstance(document, dict):
        key = name if name in document else next((one for one in document if one.lower() == name.lower()), None)
        if key is None:
            return ({**document, name: value}, True) if add and not rest else (document, False)
        made, found = with_value(document[key], rest, value, add=add)
        return {**document, key: made}, found
    if isinstance(document, list):
        if name == "-" and not rest:
            return [*document, value], True
        if name.isascii() and name.isdecimal() and len(name) < 7 and int(name) < len(document):
            made, found = with_value(document[int(name)], rest, value, add=add)
            return [*document[: int(name)], made, *document[int(name) + 1 :]], found
    return document, False
