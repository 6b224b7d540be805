"""Personal values and the names they go by in what is shared: `User 3`, `user3@example.com`, `203.0.113.3`.

One rule: the same value has the same pseudonym everywhere, different values different ones, and nothing of a
pseudonym is computed from a value: numbers follow the order in which persons appear, so that no guess can be tried.
A value is found as a part of any text, in any letter case, percent-coded, escaped, in base64.
Pure. Flow: personal.py takes values by their SCIM role -> close() -> `of` at their places, `text` everywhere else.
"""

from __future__ import annotations

import base64
import binascii
import re
import unicodedata
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Literal
from urllib.parse import quote, quote_plus

from scimproxy.report.unescaping import levels

__all__ = ["Kind", "Pseudonyms", "fold", "is_email", "is_phone"]

type Kind = Literal[
    "user", "given", "family", "middle", "display", "group", "email", "phone", "address", "im", "url", "photo",
    "employee", "ip", "fragment",
]  # fmt: skip
"""What a value is. `fragment` is a part that a filter asked for, or a word of a name."""

_SHORTEST = 4
_MOST_VALUE = 4_096
_WORD = re.compile(r"[^\W_]+")
_EMAIL = re.compile(r"[^\s@\"'<>()\[\]{},;:\\/=&?%|]{1,64}@[^\W_](?:[\w-]{0,62}\.){0,8}[\w-]{1,62}")
_PHONE = re.compile(r"(?:tel:)?(?:\+\d[\d\s().-]{5,24}\d|\(\d{2,5}\)[\s\d.-]{5,20}\d"
                    r"|0\d{1,4}[\s./-]\d[\d\s.-]{4,16}\d|\d{3}[\s.-]\d{3}[\s.-]\d{4})(?:;ext=\d+)?")  # fmt: skip
_CODED = re.compile(r"[A-Za-z0-9+/_-]{12,}={0,2}")
_PROTOCOL = """
a an and are as at be by for from has have in is it its no not of on or that the this to was were will with
you active add address addresses alias application attribute attributes bearer bulk bulkid charset content
count create created custom data date default delete department description detail display displayname
division email emails employee employeenumber enterprise error etag example externalid false familyname fax
filter formatted get givenname group groups home honorificprefix honorificsuffix host html http https ietf ims
json label lastmodified list listresponse local localhost locale locality location manager member members
message messages meta middlename mobile name nickname null number operation operations organization
organizational other params password patch patchop path person phone phonenumbers photo photos post postalcode
preferred preferredlanguage primary profileurl put read region remove replace request resource resources
resourcetype response role roles root schema schemas scim search server startindex status streetaddress test
text thumbnail timezone title totalresults true type unknown urn user username users usertype utf value values
version work x509certificates
"""
_KEPT = frozenset(_PROTOCOL.split())
"""Words of the protocol and of any sentence: names only at a name's place, words everywhere else."""
_STABLE_ADDRESSES = frozenset({"127.0.0.1", "::1", "localhost", "0.0.0.0", "::"})  # noqa: S104 - compared, not bound


def is_email(text: str) -> bool:
    """Whether a text is an e-mail address."""
    return _EMAIL.fullmatch(text.strip()) is not None


def is_phone(text: str) -> bool:
    """Whether a text looks like a telephone number, and not like a date or an id."""
    bare = text.strip()
    return _PHONE.fullmatch(bare) is not None and 7 <= sum(c.isdigit() for c in bare) <= 20


def fold(text: str) -> str:
    """Return a text in which letter case does not matter, as long as it was."""
    low = text.lower()
    if len(low) != len(text):
        low = "".join(c.lower() if len(c.lower()) == 1 else c for c in text)
    return low.replace("\u03c2", "\u03c3")  # sigma, also at a word's end


@dataclass(frozen=True, slots=True)
class _Value:
    value: str
    kind: Kind
    person: int


class Pseudonyms:
    """The table of one report. Values are taken first, then `close` gives them names, then texts are rewritten."""

    def __init__(self) -> None:
        self._values: dict[str, _Value] = {}
        self._persons = _Numbers()
        self._groups = _Numbers()
        self._addresses = 0
        self._forms: dict[str, str] = {}
        self._grams: dict[str, list[tuple[str, str]]] = {}
        self._words: dict[str, str] = {}
        self._taken: set[str] = set()
        self.replaced = 0

    # --- taking

    def person(self, hints: Iterable[str]) -> int:
        """Return the number of the person that these values belong to; a new one where none of them is known."""
        return self._persons.of(hints)

    def group(self, hints: Iterable[str]) -> int:
        """Return the number of the group that these values belong to; a new one where none of them is known."""
        return self._groups.of(hints)

    def take(self, kind: Kind, value: str, person: int) -> None:
        """Take a personal value; of names the words, of e-mail addresses the part before the @ as well."""
        value = value.strip()[:_MOST_VALUE]
        if not value or (kind == "ip" and value in _STABLE_ADDRESSES):
            return
        if kind == "ip":
            self._addresses += fold(value) not in self._values
            person = self._addresses
        known = self._values.get(fold(value))
        if known is None or known.kind == "fragment":
            self._values[fold(value)] = _Value(value, kind, person)
        if is_email(value):
            local = value.partition("@")[0]
            if len(local) >= _SHORTEST and fold(local) not in _KEPT:
                self._values.setdefault(fold(local), _Value(local, "user", person))
            for word in _WORD.findall(local):
                self._word(word, person)
        elif kind in {"display", "given", "family", "middle", "user", "group"}:
            for word in _WORD.findall(value):
                self._word(word, person)

    def _word(self, word: str, person: int) -> None:
        if len(word) >= _SHORTEST and not word.isdecimal() and fold(word) not in _KEPT:
            self._values.setdefault(fold(word), _Value(word, "fragment", person))

    def take_emails(self, text: str) -> None:
        """Take the e-mail addresses in a text, escaped or not."""
        for level in levels(text):
            if "@" in level.text:
                for found in _EMAIL.finditer(level.text):
                    self.take("email", found[0], self.person([found[0]]))

    def close(self) -> None:
        """Give every value its pseudonym; afterwards nothing is taken any more."""
        for key, one in self._values.items():
            self._forms[key] = self._unique(one)
            if key in _KEPT:
                continue
            for form in _forms(one.value):
                self._index(form, key, one)
        for candidates in self._grams.values():
            candidates.sort(key=lambda pair: -len(pair[0]))

    def _unique(self, one: _Value) -> str:
        wanted = _FORMS[one.kind](one)
        form, tries = wanted, 1
        # A pseudonym that is somebody's real name would be both.
        while fold(form) in self._taken or fold(form) in self._values:
            tries += 1
            name, at, domain = wanted.partition("@")
            form = f"{name}.{tries}{at}{domain}" if at else f"{wanted}.{tries}"
        self._taken.add(fold(form))
        return form

    def _index(self, form: str, key: str, one: _Value) -> None:
        digits = form.isdecimal()
        if len(form) >= (5 if digits else _SHORTEST):
            self._grams.setdefault(form[:_SHORTEST], []).append((form, key))
        elif 2 <= len(form) < _SHORTEST and not digits and one.kind not in {"address", "fragment"}:
            self._words.setdefault(form, key)

    # --- asking

    def of(self, value: str) -> str:
        """Return what stands for a value at its own place: its pseudonym, or the text rewritten where it has none."""
        key = fold(value.strip()[:_MOST_VALUE])
        form = self._forms.get(key)
        if form is None:
            return self.text(value)
        self.replaced += 1
        return _cased(value, form)

    def text(self, text: str) -> str:
        """Return a text with the pseudonym in place of every value, in whatever form it stands there."""
        if not self._forms or not text:
            return text
        found: list[tuple[int, int, str]] = []
        for level in levels(text):
            for start, end, key in self._found(level.text):
                first, last = level.span(start, end)
                form = _cased(level.text[start:end], self._forms[key])
                found.append((first, last, _as_coded(text[first:last], form)))
        found += [(it.start(), it.end(), "left-out") for it in _CODED.finditer(text) if self._is_coded(it[0])]
        # Of what overlaps the first counts, then the longest: `bjensen%40corp.test` before `bjensen`.
        spans: list[tuple[int, int, str]] = []
        for one in sorted(found, key=lambda span: (span[0], -span[1])):
            if not spans or one[0] >= spans[-1][1]:
                spans.append(one)
        if not spans:
            return text
        self.replaced += len(spans)
        made, at = [], 0
        for start, end, form in spans:
            made += [text[at:start], form]
            at = end
        return "".join([*made, text[at:]])

    @property
    def counts(self) -> dict[Kind, int]:
        """How many different values of each kind there are; words and parts of them are not counted."""
        return dict(Counter(one.kind for one in self._values.values() if one.kind != "fragment"))

    def _found(self, text: str) -> Iterator[tuple[int, int, str]]:
        """Yield where values stand in a text, from left to right, the longest of those that begin at one place."""
        low = fold(text)
        grams, free = self._grams, 0
        places = [at for at in range(len(low) - 3) if low[at : at + 4] in grams]
        for at in places:
            if at < free:
                continue
            for form, key in grams[low[at : at + 4]]:
                if low.startswith(form, at) and _stands_alone(low, at, at + len(form), form):
                    free = at + len(form)
                    yield at, free, key
                    break
        if self._words:
            for found in _WORD.finditer(low):
                short = self._words.get(found[0])
                if short is not None:
                    yield found.start(), found.end(), short

    def _is_coded(self, word: str) -> bool:
        """Whether a word is base64 of something that holds a value."""
        bare = word.rstrip("=").replace("-", "+").replace("_", "/")
        try:
            data = base64.b64decode(bare + "=" * (-len(bare) % 4), validate=True)
        except (binascii.Error, ValueError):
            return False
        said = data.decode("utf-8", "replace")
        return said.count("�") * 4 < len(said) and next(self._found(said), None) is not None


class _Numbers:
    """The numbers of persons, or of groups, by what is known of them."""

    def __init__(self) -> None:
        self._known: dict[str, int] = {}
        self._last = 0

    def of(self, hints: Iterable[str]) -> int:
        keys = [fold(hint.strip()) for hint in hints if hint.strip()]
        number = next((self._known[key] for key in keys if key in self._known), 0)
        if not number:
            self._last += 1
            number = self._last
        for key in keys:
            self._known.setdefault(key, number)
        return number


def _forms(value: str) -> set[str]:
    """Return the forms in which a value is looked for, folded: other capitals, other Unicode forms, + for a space."""
    # What looks like an escape in the value itself is undone with those around it.
    made = {form for one in levels(value) for form in (one.text, one.text.upper(), one.text.lower())}
    made |= {one.casefold() for one in tuple(made)}
    made |= {unicodedata.normalize(form, one) for form in ("NFC", "NFD", "NFKC") for one in tuple(made)}
    folded = {fold(one) for one in made}
    return folded | {one.replace(" ", "+") for one in folded}


def _stands_alone(text: str, start: int, end: int, form: str) -> bool:
    """Whether digits are a number of their own, and an address no part of another."""
    if not form[0].isdigit() and not form[-1].isdigit():
        return True
    before, after = text[start - 1 : start], text[end : end + 1]
    numeric = form.replace(".", "").isdecimal()
    if numeric and (before == ":" or (before == "." and "." in form)):
        return False
    return not ((form[0].isdigit() and before.isdigit()) or (form[-1].isdigit() and after.isdigit()))


def _cased(text: str, form: str) -> str:
    """Return a pseudonym in capitals where the value stands in capitals, in small letters where it does so."""
    letters = [c for c in text if c.isalpha()]
    if len(letters) > 1 and text.isupper():
        return form.upper()
    return form.lower() if text.islower() else form


def _as_coded(raw: str, form: str) -> str:
    """Return a pseudonym in the coding of what it replaces."""
    if "%" in raw:
        return quote(form, safe="") if "+" not in raw else quote_plus(form)
    return form.replace(" ", "+") if "+" in raw and " " not in raw and "@" not in raw else form


def _spaced(word: str) -> Callable[[_Value], str]:
    return lambda one: f"{word} {one.person}" if any(c.isspace() for c in one.value) else f"{word}{one.person}"


def _user(one: _Value) -> str:
    return f"user{one.person}@example.com" if "@" in one.value else f"user{one.person}"


def _employee(one: _Value) -> str:
    return f"9{one.person:05d}" if one.value.isdecimal() else f"E{one.person:05d}"


def _ip(one: _Value) -> str:
    """Return an address of those kept for documentation (RFC 5737, RFC 3849)."""
    if ":" in one.value or one.person > 762:
        return f"2001:db8::{one.person:x}"
    net, host = divmod(one.person - 1, 254)
    return f"{('203.0.113', '198.51.100', '192.0.2')[net]}.{host + 1}"


_FORMS: dict[Kind, Callable[[_Value], str]] = {
    "user": _user,
    "email": lambda one: f"user{one.person}@example.com",
    "given": _spaced("Given"),
    "family": _spaced("Family"),
    "middle": _spaced("Middle"),
    "display": lambda one: _spaced("User" if " " in one.value else "Name")(one),
    "group": _spaced("Group"),
    "phone": lambda one: f"+1-555-{one.person:04d}",
    "address": _spaced("Address"),
    "im": lambda one: f"im{one.person}",
    "url": lambda one: f"https://example.com/user/{one.person}",
    "photo": lambda one: f"https://example.com/photo/{one.person}",
    "employee": _employee,
    "ip": _ip,
    "fragment": lambda one: f"Word{one.person}",
}
