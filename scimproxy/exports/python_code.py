"""Texts with references as expressions of Python: what the pytest and the locust format have in common.

One rule: every literal goes through `ascii`, so that nothing a client sent becomes code; references become the names
of variables that the file defines. Pure.
"""

from __future__ import annotations

import re

from scimproxy.exports.templating import Ref, Text

__all__ = ["SUPPORT", "comment", "expression", "function_name"]

SUPPORT = '''\
def in_url(value):
    """Return a value as a part of a URL."""
    return urllib.parse.quote(value, safe="")


def in_json(value):
    """Return a value as the inside of a JSON string."""
    return json.dumps(value)[1:-1]
'''
"""Functions that the expressions call; the file imports `json` and `urllib.parse`."""

_WIDTH = 96


def expression(text: Text, *, names: str = "{}", indent: int = 8) -> str:
    """Return a text as an expression; `names` says how a reference is written (`{}` is its name)."""
    parts: list[str] = []
    for piece in text:
        if isinstance(piece, Ref):
            name = names.format(piece.name)
            parts.append({"plain": "{}", "url": "in_url({})", "json": "in_json({})"}[piece.coding].format(name))
        else:
            parts += [ascii(piece[at : at + _WIDTH]) for at in range(0, len(piece), _WIDTH)]
    if not parts:
        return "''"
    joined = " + ".join(parts)
    if len(joined) <= _WIDTH:
        return joined
    blank = " " * indent
    return (
        "(\n" + "\n".join(f"{blank}    {'+ ' if at else ''}{part}" for at, part in enumerate(parts)) + f"\n{blank})"
    )


def function_name(prefix: str, number: int, title: str) -> str:
    """Return a name for a function, of a sentence about what it does."""
    words = re.sub(r"[^a-z0-9]+", "_", title.lower()).strip("_")
    return f"{prefix}_{number:04d}_{words[:40].rstrip('_')}".rstrip("_")


def comment(text: str) -> str:
    """Return a text that is safe in a comment and in a docstring."""
    quiet = text.replace('"', "'").replace("\\", "/")
    return "".join(one if one.isprintable() else "?" for one in quiet)
