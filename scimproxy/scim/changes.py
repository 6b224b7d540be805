"""A PATCH request's changes in words: "replace active = false", "add 2 members".

One rule: bounded work and no secret, whatever the body holds; it describes what was asked, valid or not
(RFC 7644 section 3.5.2; SCIM 1.1 section 3.3.2 for partial resources). Pure; message.py uses it for summaries.
"""

from __future__ import annotations

import json
import re
from typing import Any

__all__ = ["changes_of", "clean", "get", "hide_passwords", "phrase"]

_MOST = 1000
_VALUE_CHARS = 40
_PATH_CHARS = 60
_PHRASE_CHARS = 110
_SECRET_COMPARISON = re.compile(r"""(\bpassword\s+[a-z]{2}\s+)(?:"(?:[^"\\]|\\.)*"?|[^\s()\[\]]+)""", re.IGNORECASE)
_CONTROLS = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\u200b-\u200f\u202a-\u202e\u2066-\u2069\ud800-\udfff]+")
_ONE_MEMBER = re.compile(r"members\s*\[", re.IGNORECASE)


def get(body: object, name: str) -> Any:  # noqa: ANN401 - JSON is anything
    """Return a member of a JSON object by its name in any letter case (RFC 7643 section 2.1), else None."""
    if not isinstance(body, dict):
        return None
    if name in body:
        return body[name]
    wanted, length = name.lower(), len(name)
    for have, value in body.items():
        if len(have) == length and have.lower() == wanted:  # lengths first: most members are others
            return value
    return None


def clean(text: str, most: int) -> str:
    """Return text fit for one line of a terminal or page: no control characters, at most `most` characters."""
    shown = _CONTROLS.sub("\ufffd", text[: most * 4])
    return shown if len(shown) <= most else f"{shown[: most - 1]}…"


def hide_passwords(text: str) -> str:
    """Return a filter or path in which nothing is told of the values that `password` is compared with."""
    return _SECRET_COMPARISON.sub(r'\1"***"', text)


def changes_of(body: dict[str, Any] | None) -> tuple[str, ...]:
    """Return what a PATCH body asks for, one text per change; members are counted, not listed."""
    if body is None:
        return ()
    operations = get(body, "Operations")
    said: list[str] = []
    members: dict[str, int] = {}
    if isinstance(operations, list):
        for operation in operations[:_MOST]:
            word = get(operation, "op")
            verb = clean(word.lower(), 20) if isinstance(word, str) and word else "change"
            _change(verb, get(operation, "path"), get(operation, "value"), said, members)
    else:
        _partial(body, said, members)
    counted = [f"{verb} {count} member{'' if count == 1 else 's'}" for verb, count in members.items()]
    return (*said, *counted)


def phrase(changes: tuple[str, ...]) -> str:
    """Return changes as a part of a sentence: listed where they are few and short, else counted."""
    listed = ", ".join(changes)
    return (
        listed
        if len(changes) == 1 or (len(changes) <= 3 and len(listed) <= _PHRASE_CHARS)
        else f"{len(changes)} changes"
    )


def _partial(body: dict[str, Any], said: list[str], members: dict[str, int]) -> None:
    """Describe the partial resource of a SCIM 1.1 PATCH."""
    gone = get(get(body, "meta"), "attributes")
    for path in gone[:_MOST] if isinstance(gone, list) else ():
        _change("remove", path, None, said, members)
    for path, value in list(body.items())[:_MOST]:
        if path.lower() in {"schemas", "meta", "id"}:
            continue
        if path.lower() == "members" and isinstance(value, list):
            leaving = sum(1 for member in value if str(get(member, "operation")).lower() == "delete")
            _count("remove", leaving, members)
            _count("add", len(value) - leaving, members)
        else:
            _change("replace", path, value, said, members)


def _count(verb: str, number: int, members: dict[str, int]) -> None:
    if number:
        members[verb] = members.get(verb, 0) + number


def _change(verb: str, path: object, value: object, said: list[str], members: dict[str, int]) -> None:
    if not isinstance(path, str) or not path.strip():
        _pathless(verb, value, said, members)
        return
    leaf = path.strip().rpartition(":")[2] if "[" not in path else path.strip()
    if leaf.lower() == "members":
        _members(verb, value, said, members)
    elif _ONE_MEMBER.match(leaf) and verb == "remove":
        _count("remove", 1, members)
    else:
        said.append(f"{verb} {clean(hide_passwords(leaf), _PATH_CHARS)}{_value(leaf, value, verb)}")


def _pathless(verb: str, value: object, said: list[str], members: dict[str, int]) -> None:
    if not isinstance(value, dict):
        said.append(verb)
        return
    inside = [(name, part) for name, part in list(value.items())[:_MOST] if name.strip()]
    for name, part in inside:
        # Okta repeats the id of a group beside its new name: that changes nothing.
        if len(inside) == 1 or name.lower() not in {"id", "schemas"}:
            _change(verb, name, part, said, members)


def _members(verb: str, value: object, said: list[str], members: dict[str, int]) -> None:
    number = len(value) if isinstance(value, list) else 0 if value is None else 1
    if verb in {"add", "remove"} and number:
        _count(verb, number, members)
    elif number:
        said.append(f"{verb} all members by {number}")
    else:
        said.append("add no members" if verb == "add" else "remove all members")


def _value(path: str, value: object, verb: str) -> str:
    """Return the value as it follows the path; nothing for a password, and only a count for what is long."""
    if verb == "remove" or "password" in path.lower():
        return ""
    if isinstance(value, list):
        return f" ({len(value)} value{'' if len(value) == 1 else 's'})"
    if isinstance(value, dict):
        return f" ({len(value)} part{'' if len(value) == 1 else 's'})"
    if value is None:
        return " = null"
    return f" = {clean(value if isinstance(value, str) else json.dumps(value)[: 4 * _VALUE_CHARS], _VALUE_CHARS)}"
