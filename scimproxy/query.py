"""The filter language of `log`, `search` and the inspector: `method:POST status:4xx op:patch -client:curl "text"`.

One rule: it is pure, and `Query.matches` is the meaning; store/search.py says the same in SQL, and a test holds the
two together. Terms are ANDed, a leading `-` negates one, a value may be several separated by commas (any of them).
Words that are no term are looked for in the text of an exchange: URL, headers, and the first 65,536 characters of
each decoded text body, without regard to case. A term about what an exchange does not have does not match.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from scimproxy.clients import LABELS
from scimproxy.errors import SyntaxProblem
from scimproxy.exchange import Exchange
from scimproxy.scim import KINDS

if TYPE_CHECKING:
    from scimproxy.scim.message import Operation

__all__ = ["BODY_CHARS", "TERMS", "Query", "Term", "TermInfo", "ascii_lower", "parse_query", "searchable_text"]

BODY_CHARS = 65_536
"""So much of each side's decoded text body is searched.

Measured on lists of 24 KB: an exchange takes 2.3 KB of index and 1.4 ms off the hot path; with 8,192 characters
it was 1.2 KB and 0.9 ms.
"""

_BODY_BYTES = 4 * BODY_CHARS
_LONGEST = 4096
_MOST_TERMS = 64

HAS = ("failure", "note", "response", "retry", "rewrite", "tag")
IS = ("aborted", "complete", "error", "mock", "pending", "scim")
METHODS = ("CONNECT", "DELETE", "GET", "HEAD", "OPTIONS", "PATCH", "POST", "PUT", "TRACE")
TYPES = (
    "User", "Group", "Entitlement", "Role", "EnterpriseUser", "ServiceProviderConfig", "ResourceType", "Schema",
)  # fmt: skip
FAILURES = ("blocked", "closed", "dns", "internal", "protocol", "refused", "timeout", "tls", "unreachable")


@dataclass(frozen=True, slots=True)
class TermInfo:
    """One row of the documentation."""

    name: str
    form: str
    meaning: str
    example: str


TERMS: tuple[TermInfo, ...] = (
    TermInfo("method", "NAME[,NAME]", "the request's method", "method:POST,PUT"),
    TermInfo("status", "404, 4xx, >=400, 200-299", "the status code of the response", "status:4xx"),
    TermInfo("path", "TEXT", "the path holds this text, without regard to case", "path:/Users"),
    TermInfo("host", "TEXT", "the Host that the client named holds this text", "host:ngrok"),
    TermInfo("op", ", ".join(KINDS), "what the exchange is in SCIM", "op:patch"),
    TermInfo("type", "NAME[,NAME]", "the type of the SCIM resource", "type:Group"),
    TermInfo("user", "TEXT", "the SCIM user it is about: name, id or filter holds this text", "user:bjensen"),
    TermInfo("client", "LABEL[,LABEL]", "who called (`scimproxy help clients` lists them)", "client:okta"),
    TermInfo("run", "NUMBER[,NUMBER]", "the run that it belongs to", "run:3"),
    TermInfo("failure", ", ".join(FAILURES), "why there is no whole answer", "failure:timeout"),
    TermInfo("has", ", ".join(HAS), "there is one", "has:failure"),
    TermInfo("is", ", ".join(IS), "its state; error: a failure, or a status of 400 and above", "is:pending"),
    TermInfo("tag", "NAME[,NAME]", "it carries this tag", "tag:bug"),
    TermInfo("slower", "500ms, 2s, 1m", "it took longer than this in all", "slower:500ms"),
    TermInfo("faster", "500ms, 2s, 1m", "it took less than this in all", "faster:10ms"),
)
"""Every term of the language; bare words and "quoted text" are the rest of it."""

_NAMES = {info.name: info for info in TERMS}
_WORDS: dict[str, tuple[str, ...]] = {"op": KINDS, "has": HAS, "is": IS, "failure": FAILURES, "client": LABELS}
_TEXT_SCHEMES = {"urn", "http", "https"}
_NAME = re.compile(r"([A-Za-z]+):")
_STATUS = re.compile(r"(?:([1-5])xx|(>=|<=|>|<|)(\d{3})|(\d{3})-(\d{3}))", re.IGNORECASE)
_DURATION = re.compile(r"(\d{1,9}(?:\.\d{1,6})?)(ms|s|m|)", re.IGNORECASE)
_UNITS = {"ms": 1.0, "": 1.0, "s": 1000.0, "m": 60_000.0}

type Value = str | float | tuple[str, ...] | tuple[int, ...] | tuple[tuple[int, int], ...]


@dataclass(frozen=True, slots=True)
class Term:
    """One condition. `name` is one of TERMS, or "text"; `value` is what its parser made of it."""

    name: str
    value: Value
    negated: bool = False


@dataclass(frozen=True, slots=True)
class Query:
    """Conditions that all have to hold; an empty one matches everything."""

    terms: tuple[Term, ...] = ()
    text: str = ""
    doubts: tuple[str, ...] = ()
    """What may be a slip of the pen, in sentences: worth saying where nothing was found."""

    @property
    def has_words(self) -> bool:
        """Whether it looks for text, of which only so much of a body is searched."""
        return any(term.name == "text" for term in self.terms)

    def matches(self, exchange: Exchange, operation: Operation | None = None) -> bool:
        """Whether an exchange fulfils every term; `operation` is what scim/message.py makes of it."""
        text: str | None = None
        for term in self.terms:
            if term.name == "text":
                text = searchable_text(exchange) if text is None else text
                found = isinstance(term.value, str) and term.value in text
            else:
                found = _TESTS[term.name](term.value, exchange, operation)
            if found == term.negated:
                return False
        return True


def ascii_lower(text: str) -> str:
    """Return text with A-Z in lower case and nothing else changed, as SQLite's lower() does."""
    return text.lower() if text.isascii() else "".join(c.lower() if c.isascii() else c for c in text)


def fold(text: str) -> str:
    """Return text as it is compared in a search: without case, NUL and surrogates, which the index cannot hold."""
    return text.casefold().replace("\0", "\ufffd").encode("utf-8", "replace").decode()


def searchable_text(exchange: Exchange) -> str:
    """Return the text of an exchange that words are looked for in, folded."""
    from scimproxy.decode import text  # noqa: PLC0415 - brings compression libraries; most queries hold no words

    request, response = exchange.request, exchange.response
    parts = [request.target, *(f"{name}: {value}" for name, value in request.headers)]
    body = text(request.content, request.headers, limit=_BODY_BYTES)
    if body:
        parts.append(body[:BODY_CHARS])
    if response is not None:
        parts.extend(f"{name}: {value}" for name, value in response.headers)
        body = text(response.content, response.headers, limit=_BODY_BYTES)
        if body:
            parts.append(body[:BODY_CHARS])
    return fold("\n".join(parts))


# --- meaning ---


def _contains(whole: str | None, part: Value) -> bool:
    return whole is not None and isinstance(part, str) and part in ascii_lower(whole)


def _any_word(word: str | None, words: Value) -> bool:
    return word is not None and isinstance(words, tuple) and ascii_lower(word) in words


def _status(ranges: Value, exchange: Exchange, _: Operation | None) -> bool:
    code = exchange.response.status_code if exchange.response else None
    if code is None or not isinstance(ranges, tuple):
        return False
    return any(isinstance(item, tuple) and item[0] <= code <= item[1] for item in ranges)


def _user(part: Value, _: Exchange, operation: Operation | None) -> bool:
    if operation is None or operation.resource_type != "User":
        return False
    return any(_contains(text, part) for text in (operation.resource_name, operation.resource_id, operation.filter))


def _client(words: Value, exchange: Exchange, _: Operation | None) -> bool:
    label = exchange.client
    if label is None:
        from scimproxy.clients import identify  # noqa: PLC0415 - only where the label was not stored

        label = identify(exchange.request)
    return _any_word(label, words)


def _took(exchange: Exchange, least: float, most: float) -> bool:
    total = exchange.timings.total
    return total is not None and least < total < most


_HAS: dict[str, Callable[[Exchange], bool]] = {
    "failure": lambda exchange: exchange.failure is not None,
    "note": lambda exchange: exchange.note is not None,
    "response": lambda exchange: exchange.response is not None,
    "retry": lambda exchange: (exchange.attempts or 0) > 1,
    "rewrite": lambda exchange: bool(exchange.rewrites),
    "tag": lambda exchange: bool(exchange.tags),
}
_IS: dict[str, Callable[[Exchange, Operation | None], bool]] = {
    "aborted": lambda exchange, _: exchange.state == "aborted",
    "complete": lambda exchange, _: exchange.state == "complete",
    "error": lambda exchange, _: (
        exchange.failure is not None or (exchange.response is not None and exchange.response.status_code >= 400)
    ),
    "mock": lambda exchange, _: exchange.origin == "mock",
    "pending": lambda exchange, _: exchange.state == "pending",
    "scim": lambda _, operation: operation is not None and operation.is_scim,
}
_INFINITE = float("inf")
_TESTS: dict[str, Callable[[Value, Exchange, Operation | None], bool]] = {
    "method": lambda value, exchange, _: _any_word(exchange.request.method, value),
    "status": _status,
    "path": lambda value, exchange, _: _contains(exchange.request.path, value),
    "host": lambda value, exchange, _: _contains(exchange.host, value),
    "op": lambda value, _, operation: operation is not None and _any_word(operation.kind, value),
    "type": lambda value, _, operation: operation is not None and _any_word(operation.resource_type, value),
    "user": _user,
    "client": _client,
    "run": lambda value, exchange, _: isinstance(value, tuple) and exchange.run_id in value,
    "failure": lambda value, exchange, _: exchange.failure is not None and _any_word(exchange.failure.kind, value),
    "has": lambda value, exchange, _: isinstance(value, tuple) and any(_HAS[str(w)](exchange) for w in value),
    "is": lambda value, exchange, op: isinstance(value, tuple) and any(_IS[str(w)](exchange, op) for w in value),
    "tag": lambda value, exchange, _: any(_any_word(tag, value) for tag in exchange.tags),
    "slower": lambda value, exchange, _: isinstance(value, float) and _took(exchange, value, _INFINITE),
    "faster": lambda value, exchange, _: isinstance(value, float) and _took(exchange, -1.0, value),
}


# --- syntax ---


def parse_query(text: str) -> Query:
    """Read a query.

    Raises:
        SyntaxProblem: it does not parse; says where, and what may be meant.
    """
    if len(text) > _LONGEST:
        raise SyntaxProblem(f"a query has at most {_LONGEST} characters", text=text[:80] + "...", position=80)
    terms: list[Term] = []
    position = 0
    while True:
        while position < len(text) and text[position].isspace():
            position += 1
        if position == len(text):
            return Query(tuple(terms), text, tuple(doubt for term in terms for doubt in _doubts(term)))
        if len(terms) == _MOST_TERMS:
            raise SyntaxProblem(f"a query has at most {_MOST_TERMS} terms", text=text, position=position)
        term, position = _term(text, position)
        terms.append(term)


def _term(text: str, position: int) -> tuple[Term, int]:
    start = position
    negated = text[position] == "-" and position + 1 < len(text) and not text[position + 1].isspace()
    position += negated
    named = _NAME.match(text, position)
    if named is None or named[1].lower() in _TEXT_SCHEMES:
        value, end = _value(text, position)
        if not value:
            raise SyntaxProblem("there is no text between the quotes", text=text, position=position)
        return Term("text", fold(value), negated), end
    name = named[1].lower()
    if name not in _NAMES:
        close = difflib.get_close_matches(name, _NAMES, n=1, cutoff=0.6)
        word = text[start + negated :].split(maxsplit=1)[0]
        raise SyntaxProblem(
            f"there is no term {name!r}",
            text=text,
            position=position,
            hint=f"did you mean {close[0]}: ?"
            if close
            else f'write "{word}" in quotes to look for that text; terms are {", ".join(_NAMES)}',
        )
    position = named.end()
    value, end = _value(text, position)
    if not value:
        info = _NAMES[name]
        raise SyntaxProblem(
            f"{name}: needs a value: {info.form}", text=text, position=position, hint=f"for example {info.example}"
        )
    return Term(name, _read(name, value, text, position), negated), end


def _value(text: str, position: int) -> tuple[str, int]:
    """Read a word, or text in quotes where a backslash takes the next character as it is."""
    if position < len(text) and text[position] == '"':
        chars: list[str] = []
        at = position + 1
        while at < len(text) and text[at] != '"':
            if text[at] == "\\" and at + 1 < len(text):
                at += 1
            chars.append(text[at])
            at += 1
        if at == len(text):
            raise SyntaxProblem("this quote is not closed", text=text, position=position)
        return "".join(chars), at + 1
    end = position
    while end < len(text) and not text[end].isspace():
        end += 1
    return text[position:end], end


def _read(name: str, value: str, text: str, position: int) -> Value:
    """Return the value of a term in its own type."""
    if name in {"path", "host", "user"}:
        return ascii_lower(value)
    parts = [part for part in ascii_lower(value).split(",") if part]
    read = _READERS.get(name)
    if read is not None:
        found = [read(part) for part in parts]
        if parts and None not in found:
            return found[0] if name in {"slower", "faster"} else tuple(found)  # type: ignore[return-value]  # each reader gives one type
    elif parts and (name not in _WORDS or all(part in _WORDS[name] for part in parts)):
        return tuple(parts)
    info = _NAMES[name]
    unknown = next((part for part in parts if part not in _WORDS.get(name, ())), value)
    close = difflib.get_close_matches(unknown, _WORDS.get(name, ()), n=1, cutoff=0.6)
    raise SyntaxProblem(
        f"{name}: does not know {unknown!r}",
        text=text,
        position=position,
        hint=f"did you mean {name}:{close[0]} ?" if close else _how(info),
    )


def _how(info: TermInfo) -> str:
    if info.name == "client":
        return f"clients are {', '.join(LABELS)}"
    limits = "; codes go from 100 to 599" if info.name == "status" else ""
    return f"write {info.name}: and {info.form}, like {info.example}{limits}"


def _doubts(term: Term) -> list[str]:
    """Say which words of a term look mistyped: methods and types are open lists, so none is refused."""
    known = {"method": METHODS, "type": TYPES}.get(term.name)
    if known is None or not isinstance(term.value, tuple):
        return []
    by_word = {ascii_lower(name): name for name in known}
    said: list[str] = []
    for word in map(str, term.value):
        close = difflib.get_close_matches(word, by_word, n=1, cutoff=0.6)
        if word in by_word or not (close or term.name == "method"):
            continue
        usual = f"did you mean {term.name}:{by_word[close[0]]} ?" if close else f"usual are {', '.join(known)}"
        said.append(f"{term.name}:{word} is unusual; {usual}")
    return said


def _read_status(part: str) -> tuple[int, int] | None:
    found = _STATUS.fullmatch(part)
    if found is None:
        return None
    hundreds, sign, number, low, high = found.groups()
    if hundreds:
        return int(hundreds) * 100, int(hundreds) * 100 + 99
    if low:
        return (int(low), int(high)) if 100 <= int(low) <= int(high) else None
    code = int(number)
    if not 100 <= code <= (999 if sign else 599):  # RFC 9110 section 15; what servers make up is above that
        return None
    return {"": (code, code), ">=": (code, 999), ">": (code + 1, 999), "<=": (0, code), "<": (0, code - 1)}[sign]


def _read_duration(part: str) -> float | None:
    found = _DURATION.fullmatch(part)
    return None if found is None else float(found[1]) * _UNITS[found[2]]


def _read_number(part: str) -> int | None:
    return int(part) if part.isascii() and part.isdigit() and len(part) < 18 else None


_READERS: dict[str, Callable[[str], tuple[int, int] | float | int | None]] = {
    "status": _read_status,
    "slower": _read_duration,
    "faster": _read_duration,
    "run": _read_number,
}
