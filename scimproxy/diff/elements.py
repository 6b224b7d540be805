"""Which element of one list is which of another: by id or value, then by name, then by content, then by place.

One rule: an element is paired by what it is, never by its place where something better is known, and a resource that
is known to be another one is not paired at all. Linear in the length of the lists. Pure; for differences.py.
"""

from __future__ import annotations

import json
from collections import defaultdict, deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from scimproxy.bind import EXTERNAL, NAME, Bindings

__all__ = ["Pairs", "paired_elements"]

type Key = tuple[str, ...] | None


@dataclass(frozen=True, slots=True)
class Pairs:
    """Indexes: those of both lists, by the first one's; and what has no partner."""

    both: list[tuple[int, int]]
    only_a: list[int]
    only_b: list[int]


def paired_elements(a: list[Any], b: list[Any], names: tuple[str, ...], kind: str, bindings: Bindings) -> Pairs:
    """Pair the elements of two lists at a place; `kind` is the type of resource that the exchange is about."""
    if names[-1] == "operations":  # those of a PATCH or a bulk request happen in their order
        count = min(len(a), len(b))
        return Pairs([(at, at) for at in range(count)], list(range(count, len(a))), list(range(count, len(b))))
    if len(a) == len(b) == 1 and names[-1] != "resources":
        return Pairs([(0, 0)], [], [])
    rooms = [list(range(len(a))), list(range(len(b)))]
    both: list[tuple[int, int]] = []

    def match(key_a: Callable[[Any], Key], key_b: Callable[[Any], Key]) -> None:
        waiting: defaultdict[Key, deque[int]] = defaultdict(deque)
        for right in rooms[1]:
            if (key := key_b(b[right])) is not None:
                waiting[key].append(right)
        found = []
        for left in rooms[0]:
            key = key_a(a[left])
            if key is not None and waiting.get(key):
                found.append((left, waiting[key].popleft()))
        taken = ({left for left, _ in found}, {right for _, right in found})
        rooms[:] = [[one for one in room if one not in gone] for room, gone in zip(rooms, taken, strict=True)]
        both.extend(found)

    role = "Group" if names[-1] == "groups" else "User"
    resources = names[-1] == "resources"
    if resources:
        match(lambda it: _id(it, None), lambda it: _id(it, lambda one: _known(bindings, kind, one)))
    elif names[-1] != "schemas":
        match(lambda it: _value(it, None), lambda it: _value(it, _back(bindings, role)))
    match(lambda it: _name(it, None), lambda it: _name(it, lambda one: bindings.a_of(NAME, one)))
    match(_content, _content)
    left_a, left_b = rooms
    if not resources and len(left_a) == len(left_b):
        both += zip(left_a, left_b, strict=True)
        left_a, left_b = [], []
    elif resources:
        left_a, left_b = _unnamed(a, b, left_a, left_b, both)
    return Pairs(sorted(both), left_a, left_b)


def _unnamed(
    a: list[Any], b: list[Any], left_a: list[int], left_b: list[int], both: list[tuple[int, int]]
) -> tuple[list[int], list[int]]:
    """Pair by place the resources that tell no name: nothing says that they are others."""
    one = [at for at in left_a if _name(a[at], None) is None]
    two = [at for at in left_b if _name(b[at], None) is None]
    found = list(zip(one, two, strict=False))
    both += found
    gone_a, gone_b = {x for x, _ in found}, {y for _, y in found}
    return [at for at in left_a if at not in gone_a], [at for at in left_b if at not in gone_b]


type _Change = Callable[[str], str | None] | None


def _back(bindings: Bindings, role: str) -> Callable[[str], str | None]:
    def translated(value: str) -> str | None:
        return bindings.a_of(role, value) or bindings.a_of(NAME, value) or bindings.a_of(EXTERNAL, value)

    return translated


def _known(bindings: Bindings, kind: str, b: str) -> str | None:
    """Return what an id is in run A: as bound, or itself where neither run has bound it."""
    return bindings.a_of(kind, b) or (b if bindings.b_of(kind, b) is None else None)


def _get(element: object, name: str) -> str | None:
    if not isinstance(element, dict):
        return None
    found = element.get(name)
    if found is None:
        found = next((value for key, value in element.items() if key.lower() == name.lower()), None)
    return found if isinstance(found, str) else None


def _id(element: object, change: _Change) -> Key:
    found = _get(element, "id")
    if found is None:
        return None
    return (found,) if change is None else _some(change(found))


def _some(value: str | None) -> Key:
    return None if value is None else (value,)


def _value(element: object, change: _Change) -> Key:
    found = element if isinstance(element, str) else _get(element, "value") or _get(element, "$ref")
    if found is None:
        return None
    if change is not None:
        found = change(found) or found
    return (found, (_get(element, "type") or "").lower())


def _name(element: object, change: _Change) -> Key:
    found = _get(element, "userName") or _get(element, "displayName") or _get(element, "name")
    if found is None:
        return None
    if change is not None:
        found = change(found) or found
    return (found.lower(),)


def _content(element: object) -> Key:
    return (json.dumps(element, sort_keys=True),)
