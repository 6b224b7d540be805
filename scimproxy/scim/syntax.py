"""The filter language of RFC 7644 section 3.4.2.2 as text: the tree of a filter, its reader, its canonical form.

One rule: what the grammar does not allow is refused, with the position and what was expected there.
Accepted beyond it, because clients send it: more than one space, spaces inside brackets, `$` in names (`$ref`),
and `emails[type eq "work"].value eq "x"` (Okta, Entra ID).
Flow: text -> Reader -> Filter; filters.py tests it on a resource, paths.py reads PATCH paths with the same Reader.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable
from dataclasses import dataclass

from scimproxy.errors import SyntaxProblem
from scimproxy.scim.schemas import AttributePath

__all__ = [
    "MAX_DEPTH",
    "MAX_LENGTH",
    "OPERATORS",
    "And",
    "AttributePath",
    "Comparison",
    "Filter",
    "FilterSyntaxError",
    "Not",
    "Or",
    "Present",
    "Reader",
    "Value",
    "ValuePath",
    "parse_filter",
]

MAX_LENGTH = 8192
"""Longest text that is read, in characters."""
MAX_DEPTH = 50
"""Most brackets of any kind inside each other."""
_MAX_NUMBER = 100

OPERATORS = ("eq", "ne", "co", "sw", "ew", "gt", "ge", "lt", "le")
"""The comparison operators (RFC 7644 table 3); `pr` takes no value."""

Value = str | int | float | bool | None
"""What an attribute is compared with: the scalars of JSON."""


class FilterSyntaxError(SyntaxProblem):
    """A filter does not parse, or compares what cannot be compared; a server answers 400 `invalidFilter`."""


@dataclass(frozen=True, slots=True)
class Comparison:
    """An attribute compared with a value: `userName eq "bjensen"`; `op` is one of OPERATORS."""

    path: AttributePath
    op: str
    value: Value

    def __str__(self) -> str:
        return f"{self.path} {self.op} {json.dumps(self.value, ensure_ascii=False)}"


@dataclass(frozen=True, slots=True)
class Present:
    """An attribute that must have a value: `title pr`."""

    path: AttributePath

    def __str__(self) -> str:
        return f"{self.path} pr"


@dataclass(frozen=True, slots=True)
class Not:
    """A filter that must not match: `not (title pr)`."""

    filter: Filter

    def __str__(self) -> str:
        return f"not ({self.filter})"


@dataclass(frozen=True, slots=True)
class And:
    """Two or more filters that must all match; a chain without brackets is one And."""

    terms: tuple[Filter, ...]

    def __str__(self) -> str:
        return " and ".join(f"({term})" if isinstance(term, And | Or) else str(term) for term in self.terms)


@dataclass(frozen=True, slots=True)
class Or:
    """Two or more filters of which one must match; a chain without brackets is one Or."""

    terms: tuple[Filter, ...]

    def __str__(self) -> str:
        return " or ".join(f"({term})" if isinstance(term, Or) else str(term) for term in self.terms)


@dataclass(frozen=True, slots=True)
class ValuePath:
    """A filter on one and the same element of a list: `emails[type eq "work" and value co "@x"]`.

    `rest` is the condition on a sub-attribute of that element in the form `emails[type eq "work"].value eq "x"`.
    """

    path: AttributePath
    filter: Filter
    rest: Comparison | Present | None = None

    def __str__(self) -> str:
        return f"{self.path}[{self.filter}].{self.rest}" if self.rest else f"{self.path}[{self.filter}]"


Filter = Comparison | Present | Not | And | Or | ValuePath


def parse_filter(text: str, *, max_length: int = MAX_LENGTH, max_depth: int = MAX_DEPTH) -> Filter:
    """Return the tree of a filter.

    Raises:
        FilterSyntaxError: the text is not a filter, too long or too deep.
    """
    reader = Reader(text, what="filter", problem=FilterSyntaxError, max_length=max_length, max_depth=max_depth)
    found = reader.filter()
    if not reader.at_end():
        raise reader.fault_after_expression()
    return found


_NAME = re.compile(r"\$?[A-Za-z][A-Za-z0-9_$-]*")
_URI = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*:.+")
_WORD = re.compile(r"[^\s()\[\]\"]*")
_PATH = re.compile(r"\$?[A-Za-z][A-Za-z0-9:._~%/+@$-]*")
_NUMBER = re.compile(r"-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?(?=[\s)\]]|$)")
_PLAIN = re.compile(r'[^"\\\x00-\x1f\ud800-\udfff]*')
_ESCAPE = re.compile(r'\\(?:["\\/bfnrt]|u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}'
                     r"|u(?![dD][89a-fA-F])[0-9a-fA-F]{4})")  # fmt: skip  # the alternatives, one a line
_SAYS = {"=": "eq", "==": "eq", "===": "eq", "!=": "ne", "<>": "ne", ">": "gt", ">=": "ge", "<": "lt", "<=": "le",
         "equals": "eq", "is": "eq", "neq": "ne", "contains": "co", "like": "co", "startswith": "sw",
         "endswith": "ew", "gte": "ge", "lte": "le", "exists": "pr", "present": "pr"}  # fmt: skip  # a dense table
_LITERALS: dict[str, Value] = {"true": True, "false": False, "null": None}


class Reader:
    """Reads filters and attribute names from a text, from left to right; faults are raised as `problem`."""

    def __init__(
        self, text: str, *, what: str, problem: type[SyntaxProblem], max_length: int, max_depth: int
    ) -> None:
        self.text = text
        self.position = 0
        self._what = what
        self._problem = problem
        self._depth = 0
        self._max_depth = max_depth
        if len(text) > max_length:
            raise self.fault(f"The {what} has {len(text)} characters; at most {max_length} are read", max_length)
        self.spaces()
        if self.at_end():
            raise self.fault(f"The {what} is empty")

    def fault(self, message: str, position: int | None = None) -> SyntaxProblem:
        """Return the error to raise, at the place where the reader stands unless another is given."""
        return self._problem(message, text=self.text, position=self.position if position is None else position)

    def fault_after_expression(self) -> SyntaxProblem:
        """Return the error to raise about the text after a complete expression."""
        self.spaces()
        found = self._next()
        if found in {")", "]"}:
            return self.fault(f"This {found} closes nothing")
        return self.fault(f"Expected and, or, or the end of the {self._what}, found {self.shown()}")

    def at_end(self) -> bool:
        """Whether nothing is left but spaces."""
        return not self.text[self.position :].strip(" ")

    def spaces(self) -> int:
        """Step over spaces and return how many there were."""
        start = self.position
        while self.follows(" "):
            self.position += 1
        return self.position - start

    def follows(self, character: str) -> bool:
        """Whether this character comes next."""
        return self.text.startswith(character, self.position)

    def take(self, character: str) -> bool:
        """Step over a character if it comes next."""
        if self._next() != character:
            return False
        self.position += 1
        return True

    def _next(self) -> str:
        return self.text[self.position : self.position + 1]

    def shown(self) -> str:
        """Return what comes next, for a message."""
        if self.at_end():
            return f"the end of the {self._what}"
        word = self._word() or self._next()
        return repr(word if len(word) <= 40 else f"{word[:40]}...")

    def _word(self) -> str:
        found = _WORD.match(self.text, self.position)
        return found.group() if found else ""

    # -- expressions ----------------------------------------------------------------------------------------

    def filter(self, *, inside: bool = False) -> Filter:
        """Read a filter; `inside` the square brackets of a list no further square brackets are allowed."""
        return self._chain("or", lambda: self._chain("and", lambda: self._factor(inside=inside)))

    def _chain(self, word: str, read: Callable[[], Filter]) -> Filter:
        terms = [read()]
        while self._connective(word):
            terms.append(read())
        if len(terms) == 1:
            return terms[0]
        return And(tuple(terms)) if word == "and" else Or(tuple(terms))

    def _connective(self, word: str) -> bool:
        start = self.position
        spaces = self.spaces()
        if self._word().lower() != word:
            self.position = start
            return False
        if not spaces:
            raise self.fault(f"Expected a space before {self._word()}")
        self.position += len(word)
        if not self.spaces():
            raise self.fault(f"Expected a space and then an expression after {word}")
        return True

    def _factor(self, *, inside: bool) -> Filter:
        if self.follows("("):
            return self._grouped(inside=inside)
        start = self.position
        if self._word().lower() == "not":
            self.position += 3
            self.spaces()
            if self.follows("("):
                return Not(self._grouped(inside=inside))
            self.position = start
        path = self.attribute_path()
        if not self.follows("["):
            return self._condition(path)
        if inside:
            raise self.fault("Square brackets cannot stand inside square brackets")
        chosen = self.value_filter(path)
        if not self.take("."):
            return ValuePath(path, chosen)
        return ValuePath(path, chosen, self._condition(AttributePath(None, self.name("a sub-attribute"))))

    def _grouped(self, *, inside: bool) -> Filter:
        start = self._open()
        found = self.filter(inside=inside)
        self._close(start, ")")
        return found

    def value_filter(self, path: AttributePath) -> Filter:
        """Read the square brackets after the name of a list."""
        start = self._open()
        if path.sub:
            raise self.fault("Square brackets follow the name of a list, not a sub-attribute", start)
        found = self.filter(inside=True)
        self._close(start, "]")
        return found

    def _open(self) -> int:
        start = self.position
        self._depth += 1
        if self._depth > self._max_depth:
            raise self.fault(f"More than {self._max_depth} brackets stand inside each other")
        self.position += 1
        self.spaces()
        return start

    def _close(self, start: int, bracket: str) -> None:
        self.spaces()
        if self.at_end():
            raise self.fault(f"This {self.text[start]} is never closed by a {bracket}", start)
        if not self.take(bracket):
            raise self.fault(f"Expected and, or, or {bracket}, found {self.shown()}")
        self._depth -= 1

    def _condition(self, path: AttributePath) -> Comparison | Present:
        end = self.position
        spaces = self.spaces()
        word = self._word()
        op = word.lower()
        if not spaces or (op != "pr" and op not in OPERATORS):
            raise self._operator_fault(path, word, end)
        self.position += len(word)
        if op == "pr":
            return Present(path)
        if not self.spaces() and not self.at_end():
            raise self.fault(f"Expected a space after {word}")
        return Comparison(path, op, self._value())

    def _operator_fault(self, path: AttributePath, word: str, end: int) -> SyntaxProblem:
        known = f"{', '.join(OPERATORS)} or pr"
        sign = re.match("[=!<>]+", word)
        said = sign.group() if sign else word.lower()
        if said in _SAYS:
            return self.fault(f"{said} is no operator of SCIM: write {_SAYS[said]}")
        if self.at_end():
            return self.fault(f"Expected an operator after {path}: {known}", end)
        if self.follows("["):
            return self.fault(f"No space may stand between {path} and the square bracket")
        return self.fault(f"Expected a space and an operator ({known}) after {path}, found {self.shown()}")

    # -- names and values -----------------------------------------------------------------------------------

    def name(self, what: str) -> str:
        """Read a name without a URN and without a dot."""
        found = _NAME.match(self.text, self.position)
        if not found:
            raise self.fault(f"Expected the name of {what}, found {self.shown()}")
        self.position = found.end()
        return found.group()

    def attribute_path(self) -> AttributePath:
        """Read `[URN ":"] name ["." sub]`; the URN ends at the last colon, dots in it are its own."""
        start = self.position
        found = _PATH.match(self.text, start)
        if not found:
            raise self.fault(f"Expected the name of an attribute, found {self.shown()}")
        schema, colon, _ = found.group().rpartition(":")
        if colon and not _URI.fullmatch(schema):
            raise self.fault(f"{schema!r} before the colon is no URN of a schema")
        self.position += len(schema) + len(colon)
        name = self.name("an attribute")
        sub = self.name("a sub-attribute") if self.take(".") else None
        if self.position != found.end():
            raise self.fault(f"Unexpected {self._next()!r} in the name of an attribute")
        return AttributePath(schema or None, name, sub)

    def _value(self) -> Value:
        if self._next() == '"':
            return self._string()
        number = _NUMBER.match(self.text, self.position)
        if number:
            return self._number(number.group())
        word = self._word()
        if word in _LITERALS:
            self.position += len(word)
            return _LITERALS[word]
        if word.lower() in _LITERALS:
            raise self.fault(f"Write {word.lower()} in small letters, as JSON does")
        if word[:1] in {"'", "`", "\u2018", "\u201c", "\u201d", "\u201e"}:
            raise self.fault('A string stands in straight double quotes, as in "bjensen"')
        if word:
            raise self.fault(f'Expected a value, found {self.shown()}: text stands in double quotes, as in "bjensen"')
        raise self.fault(f"Expected a value, found {self.shown()}")

    def _string(self) -> str:
        start = self.position
        at = start + 1
        while True:
            plain = _PLAIN.match(self.text, at)
            at = plain.end() if plain else at
            character = self.text[at : at + 1]
            if character == '"':
                break
            if not character:
                raise self.fault("This string has no closing quote", start)
            if character != "\\":
                raise self.fault("A string cannot hold this character as it is: write it as a JSON escape", at)
            escape = _ESCAPE.match(self.text, at)
            if not escape:
                raise self.fault('Not an escape of JSON: \\" \\\\ \\/ \\b \\f \\n \\r \\t or \\u and four digits', at)
            at = escape.end()
        self.position = at + 1
        value: str = json.loads(self.text[start : self.position])
        return value

    def _number(self, digits: str) -> int | float:
        if len(digits) > _MAX_NUMBER:
            raise self.fault(f"A number has at most {_MAX_NUMBER} characters")
        value: int | float = json.loads(digits)
        if not math.isfinite(value):
            raise self.fault("This number is too large")
        self.position += len(digits)
        return value
