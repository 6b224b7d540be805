"""Variables and the `{{ }}` in requests and assertion targets: who defines them, who wins, what comes out.

One rule: a text is read once, from left to right. What a variable holds is never read again as a template, so that
a server cannot reach our variables through an answer; only initial variables, which the user wrote, may refer to
others. Whatever cannot be filled stays as it was written and is reported by name. Pure: builtins.py has the
functions, and clock and chance are handed to it.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Final

from scimproxy.suite.builtins import Builtins, FunctionProblem, Piece
from scimproxy.suite.casts import as_text
from scimproxy.suite.model import Json

type _LookUp = Callable[[str], str | None]

__all__ = ["Scope", "Substituted", "not_defined", "references", "request_error", "substitute"]

MAX_NESTING: Final = 50
"""How deep `{{` may stand in `{{`; deeper ones are plain text."""
MAX_OUTPUT: Final = 50_000_000
"""How many characters a text may grow to."""

# In a run of more than two braces the last two open and the first two close: `{{{a}}}` is `{`, a's value, `}`.
_MARK = re.compile(r"\{\{(?!\{)|\}\}")


def not_defined(name: str) -> str:
    """Return Runscope's sentence for a variable that nothing defines."""
    return f"Variable '{name}' was not defined"


def request_error(part: str, problem: str) -> str:
    """Return Runscope's sentence for a part of a request (`url`, `body`, `headers`, ...) that could not be filled."""
    return f"Request failed to set '{part}' — {problem}"


@dataclass(frozen=True, slots=True)
class Substituted:
    """A text with its variables filled in.

    `missing` names what nothing defines, `problems` what a function had to complain about, each once; `secrets` are
    the values that `get_secret` gave, for whoever stores the text. `ok` texts have neither of the first two.
    """

    text: str
    missing: tuple[str, ...] = ()
    problems: tuple[str, ...] = ()
    secrets: tuple[str, ...] = field(default=(), repr=False)

    @property
    def ok(self) -> bool:
        """Whether everything could be filled in."""
        return not self.missing and not self.problems

    @property
    def errors(self) -> tuple[str, ...]:
        """A sentence for each thing that could not be filled in, as Runscope words it."""
        return (*map(not_defined, self.missing), *self.problems)


@dataclass(slots=True)
class _Entry:
    value: Json
    origin: str
    is_template: bool = False


class Scope:
    """The variables of one run: the last write wins, except over a pinned one (runscope.md 3, summary 3).

    Made from the layers that exist before a run; scripts and extractions then `set`. Values keep their JSON type.
    `pinned` values (`--var`) win over everything, which Runscope has not: a value given on the command line is meant.
    """

    def __init__(
        self,
        *,
        shared: Mapping[str, Json] | None = None,
        environment: Mapping[str, Json] | None = None,
        run: Mapping[str, Json] | None = None,
        pinned: Mapping[str, Json] | None = None,
    ) -> None:
        self._entries: dict[str, _Entry] = {}
        layers = (("shared environment", shared), ("environment", environment), ("run variables", run))
        for origin, layer in layers:
            for name, value in (layer or {}).items():
                is_template = isinstance(value, str) and "{{" in value
                self._entries[name] = _Entry(value, origin, is_template)
        self._pinned = frozenset(pinned or {})
        for name, value in (pinned or {}).items():
            self._entries[name] = _Entry(value, "--var")

    def __contains__(self, name: object) -> bool:
        return name in self._entries

    def __iter__(self) -> Iterator[str]:
        return iter(self._entries)

    def __len__(self) -> int:
        return len(self._entries)

    def get(self, name: str, default: Json = None) -> Json:
        """Return the value of a variable in its type, or the default."""
        entry = self._entries.get(name)
        return default if entry is None else entry.value

    def origin(self, name: str) -> str | None:
        """Return who gave a variable its value: a layer, or what `set` was told."""
        entry = self._entries.get(name)
        return None if entry is None else entry.origin

    def set(self, name: str, value: Json, origin: str) -> bool:
        """Give a variable a value; False where it is pinned and keeps the one it has."""
        if name in self._pinned:
            return False
        self._entries[name] = _Entry(value, origin)
        return True

    def update(self, values: Mapping[str, Json], origin: str) -> tuple[str, ...]:
        """Set what differs from what there is, as after a script; return the names that are pinned and stayed."""
        kept = []
        for name, value in values.items():
            entry = self._entries.get(name)
            if entry is not None and type(entry.value) is type(value) and entry.value == value:
                continue
            if not self.set(name, value, origin):
                kept.append(name)
        return tuple(kept)

    def as_dict(self) -> dict[str, Json]:
        """Return every variable with its value, for a script or a result."""
        return {name: entry.value for name, entry in self._entries.items()}

    def settle(self, builtins: Builtins) -> None:
        """Fill in the initial variables, once, so that `{{uuid}}` in one of them stays the same for the run (3).

        What they refer to may still be missing (an initial script may define it): those are filled when used.
        """
        for name, entry in list(self._entries.items()):
            if entry.is_template:
                filled = self._filled(name, builtins, ())
                if filled is not None:
                    self._entries[name] = _Entry(filled, entry.origin)

    def text_of(self, name: str, builtins: Builtins) -> str | None:
        """Return the text to put in place of a variable; None where it is not defined."""
        entry = self._entries.get(name)
        if entry is None:
            return None
        if not entry.is_template:
            return as_text(entry.value)
        filled = self._filled(name, builtins, ())
        return entry.value if filled is None else filled

    def _filled(self, name: str, builtins: Builtins, above: tuple[str, ...]) -> str | None:
        """Return an initial variable with what it refers to filled in; None where that cannot be (yet)."""

        def look_up(inner: str) -> str | None:
            entry = self._entries.get(inner)
            if entry is None or inner in chain or len(chain) > MAX_NESTING:
                return None
            return self._filled(inner, builtins, chain) if entry.is_template else as_text(entry.value)

        chain = (*above, name)
        done = _Reader(self._entries[name].value, look_up, builtins).run()
        return done.text if done.ok else None


def substitute(text: str, variables: Scope, builtins: Builtins) -> Substituted:
    """Return a text with each `{{name}}` and `{{function(...)}}` filled in; a variable wins over a function (3.1)."""
    if "{{" not in text:
        return Substituted(text)
    return _Reader(text, lambda name: variables.text_of(name, builtins), builtins).run()


def references(text: str) -> tuple[str, ...]:
    """Return the names that a text refers to and that are no functions, each once, in order: for a look ahead."""
    if "{{" not in text:
        return ()
    found: dict[str, None] = {}

    def note(name: str) -> str | None:
        if not Builtins.knows(name):
            found[name] = None
        return ""

    _Reader(text, note, Builtins.harmless()).run()
    return tuple(found)


@dataclass(slots=True)
class _Frame:
    """An opened `{{`: where it stands, what it holds so far, and whether something within could not be filled."""

    start: int
    pieces: list[Piece]
    is_broken: bool = False


class _Reader:
    """One reading of one text; frames instead of recursion, so that no text is too deep."""

    def __init__(self, text: str, look_up: _LookUp, builtins: Builtins) -> None:
        self.text = text
        self.look_up = look_up
        self.builtins = builtins
        self.missing: dict[str, None] = {}
        self.problems: dict[str, None] = {}
        self.secrets: list[str] = []
        self.length = len(text)

    def run(self) -> Substituted:
        frames = [_Frame(0, [])]
        at = 0
        for mark in _MARK.finditer(self.text):
            opens = mark.group() == "{{"
            if (opens and len(frames) > MAX_NESTING) or (not opens and len(frames) == 1):
                continue
            frames[-1].pieces.append(Piece(self.text[at : mark.start()]))
            at = mark.end()
            if opens:
                frames.append(_Frame(mark.start(), []))
            else:
                self._close(frames, at)
        frames[-1].pieces.append(Piece(self.text[at:]))
        while len(frames) > 1:  # what was opened and never closed is plain text
            frame = frames.pop()
            frames[-1].pieces += [Piece("{{"), *frame.pieces]
        text = "".join(piece.text for piece in frames[0].pieces)
        return Substituted(text, tuple(self.missing), tuple(self.problems), tuple(self.secrets))

    def _close(self, frames: list[_Frame], end: int) -> None:
        frame = frames.pop()
        value = None if frame.is_broken else self._value(frame.pieces)
        if value is None:
            frames[-1].is_broken = True
            frames[-1].pieces.append(Piece(self.text[frame.start : end]))
            return
        self.length += len(value.text)
        if self.length > MAX_OUTPUT:
            self.problems[f"The text grew beyond {MAX_OUTPUT} characters"] = None
            value = Piece("", is_value=True)
        frames[-1].pieces.append(value)

    def _value(self, pieces: list[Piece]) -> Piece | None:
        name = "".join(piece.text for piece in pieces).strip()
        value = self.look_up(name)
        if value is not None:
            return Piece(value, is_value=True)
        try:
            made = self.builtins.call(pieces)
        except FunctionProblem as exc:
            self.problems[str(exc)] = None
            return None
        if made is None:
            self.missing[name] = None
        elif made.is_secret:
            self.secrets.append(made.text)
        return made
