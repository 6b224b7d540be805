"""Which exchange of run A is which of run B: by replay or the suite's step, else by operation, resource and order.

One rule: every exchange has one partner at most, and partners are alike in what was asked, not in what was answered.
Creates are paired first, and their ids bound, so that what follows can be told apart by its resource. Linear.
Pure. Flow: two lists of `Seen` -> pair_runs -> Pairing -> runs.py.
"""

from __future__ import annotations

import json
import re
from collections import defaultdict, deque
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass
from typing import Any

from scimproxy.bind import NAME, Bindings, role_of, type_of
from scimproxy.bodies import Seen

__all__ = ["Pairing", "pair_runs"]

_QUOTED = re.compile(r'(?:%22|")((?:[^"%]|%(?!22))*)(?:%22|")')
_TEXT_ROLES = frozenset({"text", "path", "filter"})

type _Key = Callable[[Seen], Hashable]


@dataclass(frozen=True, slots=True)
class Pairing:
    """Indexes of the two runs: partners in the order of run A, and what only one of them has."""

    both: list[tuple[int, int]]
    only_a: list[int]
    only_b: list[int]


def pair_runs(a: Sequence[Seen], b: Sequence[Seen], bindings: Bindings) -> Pairing:
    """Pair two runs; `bindings` learns the ids of resources whose creation is paired."""
    made = _Matching(a, b)
    made.match(_own, _parent)  # a replay knows what it repeats
    made.match(_parent)
    made.match(lambda it: it.step)
    made.match(lambda it: it.step and (it.step[1], it.exchange.request.method))
    for key in (_named, _alike, _created):
        for left, right in made.match(key):
            _bind(a[left], b[right], bindings)
    ours, theirs = _Words(bindings, "a"), _Words(bindings, "b")
    made.match(ours.exactly, theirs.exactly)
    made.match(ours.masked, theirs.masked)
    made.match(ours.roughly, theirs.roughly)
    return Pairing(sorted(made.both), made.rooms[0], made.rooms[1])


class _Matching:
    """Two runs, of which those that found a partner leave the room."""

    def __init__(self, a: Sequence[Seen], b: Sequence[Seen]) -> None:
        self._runs = (a, b)
        self.rooms = [list(range(len(a))), list(range(len(b)))]
        self.both: list[tuple[int, int]] = []

    def match(self, key_a: _Key, key_b: _Key | None = None) -> list[tuple[int, int]]:
        """Pair those of equal keys, in their order; a key of None is nobody's."""
        one, two = self._runs
        waiting: defaultdict[Hashable, deque[int]] = defaultdict(deque)
        for right in self.rooms[1]:
            if (key := (key_b or key_a)(two[right])) is not None:
                waiting[key].append(right)
        found = []
        for left in self.rooms[0]:
            key = key_a(one[left])
            if key is not None and waiting.get(key):
                found.append((left, waiting[key].popleft()))
        taken = ({left for left, _ in found}, {right for _, right in found})
        self.rooms = [[at for at in room if at not in gone] for room, gone in zip(self.rooms, taken, strict=True)]
        self.both += found
        return found


def _own(it: Seen) -> Hashable:
    return it.exchange.id


def _parent(it: Seen) -> Hashable:
    return it.exchange.parent_id


# --- creates


def _named(it: Seen) -> Hashable:
    """By the name itself, for clients that do not make names up."""
    name = _name(it)
    return None if it.operation.kind != "create" or name is None else (it.operation.endpoint, name)


def _alike(it: Seen) -> Hashable:
    """By the body, but for what is made up anew each time."""
    if it.operation.kind != "create":
        return None
    return (it.operation.endpoint, json.dumps(_masked(it.request.value, ()), sort_keys=True))


def _created(it: Seen) -> Hashable:
    return it.operation.endpoint if it.operation.kind == "create" else None


def _name(it: Seen) -> str | None:
    body = it.request.value
    found = body.get("userName", body.get("displayName")) if isinstance(body, dict) else None
    return found if isinstance(found, str) else None


def _masked(value: Any, names: tuple[str, ...]) -> Any:  # noqa: ANN401 - JSON
    if isinstance(value, dict):
        return {name: _masked(inner, (*names, name.lower())) for name, inner in value.items()}
    if isinstance(value, list):
        return [_masked(inner, names) for inner in value]
    fixed = not isinstance(value, str) or (role_of(names) in _TEXT_ROLES and not any(map(str.isdigit, value)))
    return value if fixed or names[-1:] == ("schemas",) else "?"


def _bind(a: Seen, b: Seen, bindings: Bindings) -> None:
    one, two = _name(a), _name(b)
    if one is not None and two is not None:
        bindings.sent(one, two)
    if a.operation.resource_id and b.operation.resource_id:
        bindings.same(
            type_of((a.operation.endpoint or "").strip("/")), a.operation.resource_id, b.operation.resource_id
        )


# --- everything else


class _Words:
    """What an exchange of run `side` asks for, in the words of run A; each method tells less of it than the last."""

    def __init__(self, bindings: Bindings, side: str) -> None:
        self._bindings = bindings
        self._side = side

    def exactly(self, it: Seen) -> Hashable:
        """With every value; those that are bound are translated."""
        return self._asked(it, self._translated)

    def masked(self, it: Seen) -> tuple[str, str, str | None, str]:
        """Without the names and ids that no binding knows."""
        return self._asked(it, lambda role, value: self._translated(role, value, known=True) or "?")

    def roughly(self, it: Seen) -> Hashable:
        """With no more of the query than its parameters' names."""
        method, where, resource, query = self.masked(it)
        return method, where, resource, tuple([part.partition("=")[0] for part in query.split("&")])

    def _translated(self, role: str, value: str, *, known: bool = False) -> str | None:
        if self._side == "b":
            return self._bindings.a_of(role, value) or (None if known else value)
        return value if not known or self._bindings.b_of(role, value) is not None else None

    @staticmethod
    def _asked(it: Seen, said: Callable[[str, str], str | None]) -> tuple[str, str, str | None, str]:
        operation, request = it.operation, it.exchange.request
        query = _QUOTED.sub(lambda one: f'"{said(NAME, one[1])}"', request.query or "")
        if not operation.is_scim:
            return request.method, request.path, None, query
        kind = type_of((operation.endpoint or "").strip("/"))
        named = operation.resource_id if operation.kind != "create" else None
        return request.method, operation.endpoint or request.path, named and said(kind, named), query
