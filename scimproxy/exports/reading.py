"""Reading what a request says: which names lead to a value, whose value it is, and which names a client made up.

One rule: PATCH and bulk operations are looked through, so that a value has the names it would have in its resource.
Pure; variables.py asks.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from scimproxy.bind import place_of, type_of
from scimproxy.bodies import Seen
from scimproxy.decode import charset_of, decode, text_of
from scimproxy.exchange import Request
from scimproxy.exports.secret_names import FINGERPRINT
from scimproxy.scim.changes import get
from scimproxy.spans import spans

__all__ = ["is_id", "kind_of", "made_up", "names_to", "plain_path", "spelled", "text_body", "value_at"]

_NAMES = frozenset({"username", "externalid", "displayname", "display"})


def made_up(every: list[Seen]) -> Iterator[tuple[str, int]]:
    """Yield the names that the client said before any answer did, in small letters, with where `fresh` goes."""
    known: set[str] = set()
    made: set[str] = set()
    for of in every:
        for value in _unique_names(of):
            lowered = value.lower()
            if lowered not in known and lowered not in made and len(lowered) == len(value):
                made.add(lowered)
                at = lowered.find("@")
                yield lowered, at if at > 0 else len(lowered)
        if of.response.form == "json":
            known.update(_names_told(of.response.value) - made)


def _unique_names(of: Seen) -> Iterator[str]:
    """Yield the values of a request that a server wants to be unique: userName, externalId, a group's displayName."""
    text = text_body(of.exchange.request) if of.request.form == "json" else None
    if text is None or of.exchange.request.method not in {"POST", "PUT", "PATCH"}:
        return
    for span in spans(text):
        names = names_to(span.pointer, of.request.value)
        if not span.is_string or not span.value.strip() or FINGERPRINT.search(span.value):
            continue
        last = names[-1] if names else ""
        group = kind_of(of, span.pointer, of.request.value) == "Group"
        if last in {"username", "externalid"} or (last == "displayname" and group):
            yield span.value


def _names_told(document: object) -> set[str]:
    """Return the names that an answer tells, in small letters; without recursion."""
    found: set[str] = set()
    level = [document]
    while level:
        deeper: list[object] = []
        for one in level:
            if isinstance(one, dict):
                found |= {
                    str(it).lower() for name, it in one.items() if name.lower() in _NAMES and isinstance(it, str)
                }
                deeper.extend(one.values())
            elif isinstance(one, list):
                deeper.extend(one)
        level = deeper
    return found


def text_body(request: Request) -> str | None:
    """Return a body as text; None where it is none."""
    data = decode(request.content, request.headers).data
    found = text_of(data, charset_of(request.headers)).text
    return None if "\0" in found or "\ufffd" in found else found


def names_to(pointer: tuple[str | int, ...], document: Any) -> tuple[str, ...]:  # noqa: ANN401 - JSON
    """Return the names that lead to a value, as `role_of` wants them; through PATCH and bulk operations."""
    names = tuple(one.lower() for one in pointer if isinstance(one, str))
    if len(names) > 1 and names[0] == "operations":
        if names[1] == "value":
            path = get(value_at(document, pointer[:2]), "path")
            target = plain_path(_unfiltered(path)) if isinstance(path, str) else ()
            return (*target, *names[2:])
        if names[1] == "data":
            return names_to(pointer[3:], value_at(document, pointer[:3])) if len(pointer) > 3 else ("data",)
    return names


def kind_of(of: Seen, pointer: tuple[str | int, ...], document: Any) -> str:  # noqa: ANN401 - JSON
    """Return the type of the resource that a value of a request belongs to."""
    if of.operation.kind == "bulk":
        path = get(value_at(document, pointer[:2]), "path")
        return type_of(place_of(path, of).endpoint) if isinstance(path, str) else ""
    return type_of((of.operation.endpoint or "").strip("/"))


def value_at(document: Any, pointer: tuple[str | int, ...]) -> Any:  # noqa: ANN401 - JSON
    """Return what is at a place; None where nothing is (a name that stands twice hides what was under the first)."""
    for one in pointer:
        try:
            document = document[one]
        except (LookupError, TypeError):
            return None
    return document


def _unfiltered(path: str) -> str:
    before, bracket, rest = path.partition("[")
    return before + (rest.rpartition("]")[2] if bracket else "")


def plain_path(path: str) -> tuple[str, ...]:
    """Return the names of an attribute path without its schema (RFC 7644 section 3.10), in small letters."""
    return tuple(path.rpartition(":")[2].lower().split("."))


def is_id(value: object) -> bool:
    """Whether a value can be an id: a text, or a number where a server has such."""
    return (isinstance(value, str) and bool(value)) or (isinstance(value, int) and not isinstance(value, bool))


def spelled(holder: Any, name: str) -> str:  # noqa: ANN401 - JSON
    """Return how a member of this name, in any case, is spelled (RFC 7643 section 2.1)."""
    return name if name in holder else next(key for key in holder if key.lower() == name.lower())
