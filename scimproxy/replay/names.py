"""Whose a name is: made up by the client, or of somebody whom the server had before; and new ones for a replay.

One rule: a name belongs to the server where an answer shows it before the client says it in a body, or where the
first body that says it is refused as a conflict; every other name in a body is the client's, and may be a new one.
Names that differ in letter case only are one. Pure. Flow: run -> Names -> learning.py, replayer.py.
"""

from __future__ import annotations

from collections.abc import Sequence

from scimproxy.bind import EXTERNAL, Bindings
from scimproxy.bodies import Seen
from scimproxy.replay.spots import IDENTIFYING, answered, asked

__all__ = ["Names", "fresh_name"]


class Names:
    """The identifying names of a run (userName, displayName, emails, externalId) and whose they are."""

    def __init__(self, run: Sequence[Seen]) -> None:
        self._forms: dict[str, set[str]] = {}
        self._external: set[str] = set()
        self._asked: set[str] = set()
        shown: set[str] = set()
        owners: dict[str, bool] = {}
        for it in run:
            response = it.exchange.response
            for spot in asked(it):
                if spot.role not in {"name", "externalId"}:
                    continue
                folded = spot.value.casefold()
                self._asked.add(folded)
                if spot.pointer and spot.attribute in IDENTIFYING and spot.value:
                    theirs = folded in shown or (response is not None and response.status_code == 409)
                    owners.setdefault(folded, not theirs)
                    self._forms.setdefault(folded, set()).add(spot.value)
                    if spot.role == "externalId":
                        self._external.add(spot.value)
            shown |= {spot.value.casefold() for spot in answered(it) if spot.attribute in IDENTIFYING}
        self._own = frozenset(folded for folded, own in owners.items() if own)

    def is_servers(self, name: str) -> bool:
        """Whether a name in an answer is one that the client took from there and used."""
        folded = name.casefold()
        return folded in self._asked and folded not in self._own

    def make_fresh(self, word: str, bindings: Bindings) -> None:
        """Bind a new name for each of the client's own; those that are bound already stay."""
        for folded in sorted(self._own):
            for name in sorted(self._forms[folded]):
                if bindings.renamed(name) == name:
                    bindings.sent(name, fresh_name(name, word))
                if name in self._external:
                    bindings.same(EXTERNAL, name, bindings.renamed(name))


def fresh_name(name: str, word: str) -> str:
    """Return a name that nobody has: with a word behind it, before the `@` of an address; capitals stay capitals."""
    if name.isupper():
        word = word.upper()
    local, at, domain = name.partition("@")
    return f"{local}-{word}{at}{domain}"
