"""Who is a member of what: the form of `members`, and the index from which `groups` of a user is derived.

One rule: the index holds ids only and tolerates anything, circles of groups included; every walk visits an id once.
Flow: directory -> Members (put on every write) -> above() for `User.groups`, below() for who is affected.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping

from scimproxy.scim.dialect import Json, Refusal

__all__ = ["Members", "settled"]


def settled(members: list[Json], *, own_id: str, described: Callable[[str], Json | None]) -> list[Json]:
    """Return the members of a group as they are kept: each once, named by `value`; a lone `$ref` gives it.

    `described` tells what the server itself says of an id, None if there is no such thing. What a client only
    repeats of that is not kept.

    Raises:
        Refusal: 400 invalidValue: nobody is named, or nobody that exists, or the group itself.
    """
    made: dict[str, Json] = {}
    for index, member in enumerate(members):
        value = member.get("value") or member.get("$ref", "").rstrip("/").rpartition("/")[2]
        if not value:
            raise Refusal(400, f"members[{index}] has no value", "invalidValue")
        if value == own_id:
            raise Refusal(400, f"members[{index}]: a group cannot be its own member", "invalidValue")
        own = described(value)
        if own is None:
            raise Refusal(400, f"members[{index}]: there is no resource {value}", "invalidValue")
        kept = {key: inner for key, inner in member.items() if key not in {"$ref", "value"} and own.get(key) != inner}
        made.setdefault(value, {"value": value, **kept})
    return list(made.values())


class Members:
    """A graph of groups and members; the order of insertion is kept."""

    def __init__(self) -> None:
        self._down: dict[str, tuple[str, ...]] = {}
        self._up: dict[str, dict[str, None]] = {}

    def put(self, group: str, members: Iterable[str]) -> None:
        """Set the members of a group; without any it is forgotten as a group."""
        for member in self._down.pop(group, ()):
            above = self._up[member]
            del above[group]
            if not above:
                del self._up[member]
        kept = tuple(dict.fromkeys(members))
        if kept:
            self._down[group] = kept
        for member in kept:
            self._up.setdefault(member, {})[group] = None

    def direct(self, member: str) -> tuple[str, ...]:
        """Return the groups that name this member."""
        return tuple(self._up.get(member, ()))

    def above(self, member: str) -> tuple[str, ...]:
        """Return the groups a member is in, direct ones first, then those by way of other groups."""
        return self._walk(self.direct(member), self._up, leave_out=member)

    def below(self, members: Iterable[str]) -> tuple[str, ...]:
        """Return these members and all that are in them."""
        return self._walk(members, self._down, leave_out=None)

    @staticmethod
    def _walk(start: Iterable[str], edges: Mapping[str, Iterable[str]], *, leave_out: str | None) -> tuple[str, ...]:
        seen = dict.fromkeys(start)
        waiting = list(seen)
        while waiting:
            reached = [one for known in waiting for one in edges.get(known, ())]
            waiting = [one for one in dict.fromkeys(reached) if one not in seen]
            seen.update(dict.fromkeys(waiting))
        seen.pop(leave_out, None)  # type: ignore[arg-type]  # None is no id, so nothing is left out
        return tuple(seen)
