"""A template and what was sent made one: which values its variables must have had; None where it does not fit.

One rule: a value is learned only where the text leaves no doubt about the literal parts around it; a known value is
a literal part. What a recording holds as a fingerprint fits the secret it stands for, and teaches nothing but itself.
Bounded: a search gives up after so many tries, and then nothing fits. Pure.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache

from scimproxy.exchange import fingerprint
from scimproxy.suite.builtins import Builtins
from scimproxy.suite.casts import as_text, read_json
from scimproxy.suite.model import Json

__all__ = ["MARK", "names_in", "unify", "unify_credentials", "unify_document", "unify_json"]

MARK = re.compile(r"\{\{([^{}]*)\}\}")
_FINGERPRINT = re.compile(r"sha256:[0-9a-f]{8}")
_BARE = "\ue000"
"""Marks a variable that stood outside of quotes in a JSON template."""
_TRIES = 500
_LONGEST = 50_000
"""A body that is no JSON and longer than this fits nothing."""
_MOST_MARKS = 200


@lru_cache(maxsize=4096)
def names_in(text: str) -> tuple[str, ...]:
    """Return the names of variables in a template, each once, in order; functions (`{{uuid}}`) are none."""
    found = (name.strip() for name in MARK.findall(text))
    return tuple(dict.fromkeys(name for name in found if not Builtins.knows(name)))


@dataclass(slots=True)
class _Search:
    """One try to fit: `literals` has one more than `names`; a name that is empty is a function's place."""

    literals: list[str]
    names: list[str]
    text: str
    barred: str
    tries: int = _TRIES

    def fit(self, at: int, index: int, found: dict[str, str]) -> dict[str, str] | None:
        """Fit from a variable on; the literal before it is passed already."""
        if index == len(self.names):
            return found if at == len(self.text) else None
        name, literal = self.names[index], self.literals[index + 1]
        if name in found:
            end = at + len(found[name])
            fits = self.text.startswith(found[name], at) and self.text.startswith(literal, end)
            return self.fit(end + len(literal), index + 1, found) if fits else None
        is_last = index + 1 == len(self.names)
        if is_last:
            end = len(self.text) - len(literal)
            place = end if end >= at and self.text.endswith(literal) else -1
        else:
            place = self.text.find(literal, at)
        while place >= 0 and self.tries > 0:
            self.tries -= 1
            value = self.text[at:place]
            if at and any(char in value for char in self.barred):
                return None  # a longer value holds that character too
            learned = {**found, name: value} if name else found
            done = self.fit(place + len(literal), index + 1, learned)
            if done is not None or is_last:
                return done
            place = self.text.find(literal, place + 1)
        return None


@lru_cache(maxsize=4096)
def _parts(template: str) -> list[str]:
    return MARK.split(template)


def unify(template: str, text: str, known: Mapping[str, str], *, barred: str = "") -> dict[str, str] | None:
    """Return the values that the unknown variables of a template had, for it to have become this text.

    `barred` are characters that no value holds, but for one at the very beginning (a base URL).
    """
    parts = _parts(template)
    if len(parts) > 2 * _MOST_MARKS:
        return None
    literals, names = [parts[0]], []
    for name, literal in zip((one.strip() for one in parts[1::2]), parts[2::2], strict=True):
        if name in known:
            literals[-1] += known[name] + literal
        else:
            names.append("" if Builtins.knows(name) else name)
            literals.append(literal)
    if not text.startswith(literals[0]):
        return None
    return _Search(literals, names, text, barred).fit(len(literals[0]), 0, {})


def unify_credentials(template: str, text: str, known: Mapping[str, str]) -> dict[str, str] | None:
    """Do the same for a value that the recording may hold with fingerprints in the place of secrets."""
    if not MARK.search(template):
        wanted, seen = template.split(), text.split()
        same = len(wanted) == len(seen) and all(map(_same, wanted, seen))
        return {} if same or _same(template.strip(), text) else None
    return unify(template.strip(), text, known)


def _same(wanted: str, seen: str) -> bool:
    return wanted == seen or fingerprint(wanted) == seen


def unify_document(template: str, text: str, known: Mapping[str, str]) -> dict[str, str] | None:
    """Do the same for a body: by its JSON where both are JSON, whatever order and blanks it has, else by its text."""
    wanted, seen = _template(template), _document(text)
    if wanted is None or seen is None:
        return unify(template, text, known) if len(text) <= _LONGEST else None
    return unify_json(wanted[0], seen[0], known)


@lru_cache(maxsize=512)
def _template(template: str) -> tuple[Json] | None:
    return _read(_quoted(template))


@lru_cache(maxsize=2)  # one request is compared with many steps
def _document(text: str) -> tuple[Json] | None:
    return _read(text)


def _read(text: str) -> tuple[Json] | None:
    try:
        return (read_json(text),)
    except ValueError:
        return None


def _quoted(template: str) -> str:
    """Return a JSON template with what stands outside of quotes put in quotes, and marked."""
    made, at, inside = [], 0, False
    for found in re.finditer(r'\\.|"|\{\{[^{}]*\}\}', template, re.DOTALL):
        if found[0] == '"':
            inside = not inside
        elif not inside and found[0].startswith("{{"):
            made += [template[at : found.start()], json.dumps(_BARE + found[0])]
            at = found.end()
    return "".join((*made, template[at:]))


def unify_json(wanted: Json, seen: Json, known: Mapping[str, str]) -> dict[str, str] | None:
    """Do the same for two values of JSON."""
    learned: dict[str, str] = {}
    waiting: list[tuple[Json, Json]] = [(wanted, seen)]
    while waiting:
        one, two = waiting.pop()
        if isinstance(one, dict) and isinstance(two, dict) and one.keys() == two.keys():
            # Reversed, so that the first member is looked at first.
            waiting += [(one[name], two[name]) for name in reversed(one)]
        elif isinstance(one, list) and isinstance(two, list) and len(one) == len(two):
            waiting += list(zip(one, two, strict=True))[::-1]
        elif isinstance(one, str) and one.startswith(_BARE) and not isinstance(two, dict | list):
            found = unify(one[1:], as_text(two), {**known, **learned})
            if found is None:
                return None
            learned |= found
        elif isinstance(one, str) and isinstance(two, str):
            if _FINGERPRINT.fullmatch(two) and MARK.search(one) is None:
                if not _same(one, two):
                    return None
                continue
            found = unify(one, two, {**known, **learned})
            if found is None and not _FINGERPRINT.fullmatch(two):
                return None
            learned |= found or {}
        elif type(one) is not type(two) or one != two:
            return None
    return learned
