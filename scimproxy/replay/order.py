"""Which exchanges of a run must have ended before another begins, so that a replay may send many at a time.

One rule: whoever touches a resource, or a name, waits for those who changed it before, and whoever changes it for
those who touched it; what names an id waits for the answer that first showed it. A list of no particular resource, a
bulk request and what is no SCIM wait for everything, and everything after waits for them; discovery is free.
Pure, linear but for what is shared. Flow: run -> dependencies -> replay_run.py.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence

from scimproxy.bodies import Seen
from scimproxy.errors import SyntaxProblem
from scimproxy.replay.spots import IDENTIFYING, Spot, answered, asked
from scimproxy.scim.filters import And, Comparison, Filter, Or, parse_filter

__all__ = ["dependencies"]

_READS = frozenset({"GET", "HEAD", "OPTIONS"})
_KNOWN = frozenset({"create", "read", "replace", "patch", "delete"})
_MOST_LINKS = 100
"""Resources that one exchange names; more make it a barrier, so that the work stays bounded."""

type _Token = tuple[str, str]


def dependencies(run: Sequence[Seen]) -> list[frozenset[int]]:
    """Return for each exchange the indexes of those, before it, that must have ended."""
    made: list[frozenset[int]] = []
    state = _State()
    for at, it in enumerate(run):
        made.append(state.next(at, it))
    return made


class _State:
    """What is known of the exchanges so far."""

    def __init__(self) -> None:
        self._barrier: int | None = None
        self._since: list[int] = []
        self._links: defaultdict[_Token, set[_Token]] = defaultdict(set)
        self._forget()

    def _forget(self) -> None:
        """Everything before a barrier is behind it."""
        self._written: dict[_Token, int] = {}
        self._read: defaultdict[_Token, list[int]] = defaultdict(list)
        self._shown: dict[_Token, int] = {}

    def next(self, at: int, it: Seen) -> frozenset[int]:
        before: frozenset[int] = frozenset() if self._barrier is None else frozenset({self._barrier})
        if it.operation.kind == "discovery":
            self._since.append(at)
            return before
        touched = {token for token in map(_token, asked(it)) if token is not None}
        shown = {token for token in map(_token, answered(it)) if token is not None}
        if not _narrow(it) or len(touched | shown) > _MOST_LINKS:
            for together in _by_resource(it):
                self._link(together)
            everything = frozenset(self._since) | before
            self._barrier, self._since = at, []
            self._forget()
            return everything
        self._since.append(at)
        writes = it.exchange.request.method not in _READS and it.operation.kind in _KNOWN
        own = touched | shown if writes else touched
        waits = {self._shown[token] for token in touched if token in self._shown}
        if writes:
            for token in list(own):
                own |= self._links[token]
        for token in own:
            if token in self._written:
                waits.add(self._written[token])
            if writes:
                waits.update(self._read.pop(token, ()))
                self._written[token] = at
            else:
                self._read[token].append(at)
        for token in shown:
            self._shown.setdefault(token, at)
        self._link(touched | shown)
        return frozenset(waits) | before

    def _link(self, together: set[_Token]) -> None:
        """Remember what belongs together: who is deleted leaves the groups and frees the name."""
        if len(together) > _MOST_LINKS:
            return
        for token in together:
            known = self._links[token]
            if len(known) < _MOST_LINKS * 10:  # else a group that everybody is in
                known |= together


def _by_resource(it: Seen) -> list[set[_Token]]:
    """Return what a list tells of each of its resources."""
    found: defaultdict[object, set[_Token]] = defaultdict(set)
    for spot in answered(it):
        token = _token(spot)
        if token is not None and len(spot.pointer) > 1:
            found[spot.pointer[:2]].add(token)
    return list(found.values())


def _token(spot: Spot) -> _Token | None:
    if spot.role in {"id", "member"}:
        return (spot.kind, spot.value)
    if spot.attribute in IDENTIFYING and spot.value:
        return ("name", spot.value.casefold())
    return None


def _narrow(it: Seen) -> bool:
    """Whether an exchange is about the resources that it names, and no others."""
    operation = it.operation
    if operation.kind in _KNOWN:
        return True
    if operation.kind != "list" or not operation.filter or operation.filter_problem:
        return False
    try:
        return _names_one(parse_filter(operation.filter))
    except SyntaxProblem:
        return False


def _names_one(parsed: Filter) -> bool:
    match parsed:
        case And():
            return any(_names_one(term) for term in parsed.terms)
        case Or():
            return all(_names_one(term) for term in parsed.terms)
        case Comparison():
            name = f"{parsed.path.name}.{parsed.path.sub}" if parsed.path.sub else parsed.path.name
            return parsed.op == "eq" and name.lower() in IDENTIFYING | {"id", "members.value"}
    return False
