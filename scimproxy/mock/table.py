"""What the mock has bound: which id, name or text of the recording is which of the client now, both ways.

One rule: the latest word for a recorded value stands in answers (a client that runs its test twice makes up names
twice), and every word it ever used still means what it meant. Ids of the recording that the client knows from our
answers are never bound to others. Pure.
Flow: recorded.py binds what a request says anew -> `translate` for the next requests, `client_word` for answers.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

from scimproxy.bind import BULK, EXTERNAL, NAME, Bound
from scimproxy.mock.words import TEXT, Slot

__all__ = ["AUTH", "Table"]

AUTH = "auth"
"""The role of credentials: fingerprints only."""
MADE_BY_CLIENTS = frozenset({NAME, EXTERNAL, BULK, TEXT, AUTH})
"""Roles of words that clients choose; any other role is a type of resource, whose ids servers make."""
CONTRADICTION = 2
_PHRASE = re.compile(r"[^\s\"'()<>\[\],;]+")
_WORD = re.compile(r"[^\W_]+")
_SHORTEST = 4
_MOST = 200_000


class Table:
    """The bindings of one mock while it serves; `generation` grows whenever they change."""

    def __init__(self) -> None:
        self.generation = 0
        self._forth: dict[tuple[str, str], str] = {}
        self._back: dict[tuple[str, str], str] = {}
        self._words: dict[str, str] = {}
        self._known: set[tuple[str, str]] = set()
        self._said: set[tuple[str, str]] = set()

    def know(self, ids: Iterable[tuple[str, str]], said: Iterable[Slot]) -> None:
        """Learn of the recording: ids (type, id) that its server made, and words that its client used."""
        self._known.update(ids)
        self._said.update((one.role, one.raw) for one in said)

    def translate(self, role: str, word: str) -> str:
        """Return what a word of the client is in the recording; itself where nothing is bound."""
        return self._back.get((role, word), word)

    def client_word(self, role: str, word: str) -> str | None:
        """Return what a word of the recording is for the client now; None where nothing is bound."""
        return self._forth.get((role, word))

    def piece(self, word: str) -> str | None:
        """Return what a word inside a text of the recording is now."""
        return self._words.get(word)

    @property
    def rows(self) -> list[Bound]:
        """Return what is bound to something else."""
        return [Bound(role, a, b) for (role, a), b in self._forth.items() if a != b]

    def grade(self, recorded: Slot, asked: Slot, *, reading: bool) -> int | None:
        """Return how badly it fits that `asked`, another word, stands for `recorded` (0: well); None where it cannot.

        `reading`: the word says what is looked for; then one that means something else in the recording cannot.
        """
        role, said = recorded.role, recorded.word
        if role in MADE_BY_CLIENTS:
            other = (role, asked.raw) in self._said or (role, asked.raw) in self._back
            if reading and other:
                return None
            return CONTRADICTION if other or (role, said) in self._forth else 0
        if (role, asked.raw) in self._known or (role, asked.raw) in self._back:
            return None
        bound = (role, said) in self._forth
        if (role, said) in self._known:
            return None if bound else 1
        return CONTRADICTION if bound else 0

    def bind(self, recorded: Slot, asked: Slot) -> Bound | None:
        """Learn that `asked` stands for `recorded`; returns the row where it is a new one between two words."""
        role, a, b = recorded.role, recorded.raw, asked.raw
        if self._forth.get((role, a)) == b or len(self._back) > _MOST:
            return None
        for made in (str, str.lower, str.upper) if role == NAME else (str,):
            self._forth[role, made(a)] = made(b)
            self._back[role, made(b)] = made(a)
        if role in MADE_BY_CLIENTS and role != AUTH and a != b:
            self._bind_words(a, b)
        if a == b:
            return None
        self.generation += 1
        return Bound(role, a, b)

    def _bind_words(self, a: str, b: str) -> None:
        """Bind a name inside texts too: whole, and its words that look like chance."""
        pairs = [(a, b)] if len(a) >= _SHORTEST and _PHRASE.fullmatch(a) else []
        if _WORD.split(a) == _WORD.split(b):
            words = zip(_WORD.findall(a), _WORD.findall(b), strict=True)
            pairs += [(x, y) for x, y in words if x != y and len(x) >= _SHORTEST and any(map(str.isdigit, x))]
        for x, y in pairs:
            for made in (str.lower, str.upper, str):
                self._words[made(x)] = made(y)
