"""The language of faults, `op:create nth:2 status:503 retry-after:5`, and the intervener that follows it.

One rule: pure and deterministic: a fault fires by counting requests, never by chance. Which requests it is about is
said with terms of the filter language (`query`), as far as they speak of a request; the rest says when, and what.
Place in the flow: cli -> Faults -> EngineOptions.intervener; what fired is in the recording (tag `fault`, its note).
"""

from __future__ import annotations

import difflib
import html
import json
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Literal, cast

from scimproxy.errors import SyntaxProblem
from scimproxy.exchange import Content, Exchange, Headers, Request, Response
from scimproxy.proxy import answers
from scimproxy.proxy.intervention import MAX_DELAY_S, Intervener, Intervention
from scimproxy.query import Query, Term, parse_query
from scimproxy.scim.message import Operation, operation_of

__all__ = ["ACTIONS", "COUNTS", "SELECTORS", "TAG", "Fault", "Faults", "Word", "parse_fault"]

TAG = "fault"
"""The tag of every exchange that a fault changed."""

_LONGEST = 1024
_MOST_NUMBER = 1_000_000


@dataclass(frozen=True, slots=True)
class Word:
    """One row of the documentation."""

    name: str
    form: str
    meaning: str
    example: str


SELECTORS = ("method", "path", "op", "type", "user", "client", "host")
"""Terms of the filter language that speak of a request; all have to hold, and a leading `-` negates one."""

COUNTS: tuple[Word, ...] = (
    Word("nth", "2, 2-4, 3-", "only these of the requests it is about, counted from 1", "nth:2"),
    Word("every", "NUMBER", "only each so-many-th of them", "every:3"),
)

ACTIONS: tuple[Word, ...] = (
    Word("status", "400-599", "a SCIM error with this status; the server is not asked", "status:503"),
    Word("retry-after", "SECONDS", "with status: the answer says when to come again", "retry-after:5"),
    Word("upstream", "asked", "with status: the server is asked first, and its answer thrown away", "upstream:asked"),
    Word("delay", "500ms, 2s, 1m", "wait before anything else", "delay:2s"),
    Word("reset", "before, after", "reset the client's connection before or after the server answers", "reset:after"),
    Word("body", "truncated, html, empty", "the server's answer cut in half, as an HTML page (502), or empty",
         "body:truncated"),
    Word("duplicate", "(no value)", "the server gets the request twice", "duplicate"),
    Word("empty-page", "(no value)", "a page of a list, not its first, comes without its resources", "empty-page"),
)  # fmt: skip

_WORDS = {word.name: word for word in (*COUNTS, *ACTIONS)}
_BARE = ("duplicate", "empty-page")
_TOKEN = re.compile(r'(?P<name>-?[A-Za-z-]+):(?P<value>"(?:\\.|[^"\\])*"|[^\s"]*)(?=\s|$)|(?P<bare>\S+)')
_TURNS = re.compile(r"(\d{1,7})(-?)(\d{0,7})")
_DURATION = re.compile(r"(\d{1,7}(?:\.\d{1,3})?)(ms|s|m)")
_UNITS = {"ms": 0.001, "s": 1.0, "m": 60.0}

_ALL = Query()

type Alter = Callable[[Response], Response]


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """One fault: which requests, which of those, and what happens to them."""

    text: str
    about: Query = _ALL
    first: int = 1
    last: int | None = None
    every: int = 1
    status: int | None = None
    retry_after: int | None = None
    asked: bool = False
    delay_s: float = 0.0
    reset: Literal["before", "after"] | None = None
    body: Literal["truncated", "html", "empty"] | None = None
    duplicate: bool = False
    empty_page: bool = False

    def concerns(self, exchange: Exchange, operation: Operation) -> bool:
        """Whether it is about a request, whichever of them this one is."""
        if self.empty_page and not (operation.kind in {"list", "search"} and (operation.start_index or 1) > 1):
            return False
        return self.about.matches(exchange, operation)

    def due(self, nth: int) -> bool:
        """Whether it fires at the n-th request that it is about."""
        if nth < self.first or (self.last is not None and nth > self.last):
            return False
        return (nth - self.first + 1) % self.every == 0

    @property
    def loses_the_answer(self) -> bool:
        """Whether the server is asked and the client does not learn what it said."""
        return self.reset == "after" or self.asked or self.body in {"html", "empty", "truncated"}

    def intervention(self) -> Intervention:
        """Return what happens to a request."""
        told = None if self.status is None else self._error(self.status)
        alter = self._alter(told)
        return Intervention(
            delay_s=self.delay_s,
            cut=self.reset,
            response=told if alter is None else None,
            deliveries=2 if self.duplicate else 1,
            alter=alter,
            note=f"fault: {self.text}",
            tags=(TAG,),
        )

    def over(self, own: Intervention, request: Request, again: Intervener) -> Intervention:
        """Return what happens where another intervener (a mock) had decided about the request already."""
        mine = self.intervention()
        if own.asks:
            return replace(mine, parent_id=own.parent_id, delay_s=min(mine.delay_s + own.delay_s, MAX_DELAY_S))
        response = mine.response or own.response
        if mine.alter is not None and own.response is not None:
            response = mine.alter(own.response)
        if mine.deliveries > 1:
            again.intervene(request)
        return replace(
            own,
            delay_s=min(mine.delay_s + own.delay_s, MAX_DELAY_S),
            cut="before" if mine.cut is not None else own.cut,
            response=response,
            origin=own.origin if response is own.response else "proxy",
            note=f"{mine.note}; {own.note}" if own.note else mine.note,
            tags=(*mine.tags, *own.tags),
        )

    def _error(self, status: int) -> Response:
        made = answers.scim_error(status, f"a fault that was asked for ({self.text})")
        if self.body == "html":
            made = _page(status)
        elif self.body == "empty":
            made = replace(made, content=Content.of(b""))
        elif self.body == "truncated":
            made = _truncated(made)
        if self.retry_after is not None:
            made = replace(made, headers=made.headers.with_added("Retry-After", str(self.retry_after)))
        return made

    def _alter(self, told: Response | None) -> Alter | None:
        """Return how the upstream's answer is changed; None where it is not, or not asked for."""
        if told is not None:
            return (lambda _: told) if self.asked else None
        if self.empty_page:
            return _without_resources
        if self.body is None:
            return None
        return {"truncated": _truncated, "html": lambda _: _page(502), "empty": _empty}[self.body]


# -- what becomes of answers


def _truncated(came: Response) -> Response:
    data = came.content.data
    return replace(came, content=Content.of(data[: len(data) // 2]))


def _empty(came: Response) -> Response:
    return replace(came, content=Content.of(b""))


def _page(status: int) -> Response:
    reason = html.escape(answers.reason(status))
    text = f"<html><head><title>{status} {reason}</title></head><body><h1>{status} {reason}</h1></body></html>\n"
    return Response(status, headers=Headers([("Content-Type", "text/html")]), content=Content.of(text.encode()))


def _without_resources(came: Response) -> Response:
    """Empty a page of a list; what is no list stays as it is."""
    try:
        document = json.loads(came.content.data)
    except (ValueError, RecursionError):
        return came
    name = next((key for key in document if key.lower() == "resources"), None) if isinstance(document, dict) else None
    if name is None or not document[name]:
        return came
    document[name] = []
    for key in document:
        if key.lower() == "itemsperpage":
            document[key] = 0
    return replace(came, content=Content.of(json.dumps(document).encode()))


# -- following them


class Faults:
    """The intervener that follows faults, in their order: the first that is due fires, all of them count.

    `then` is asked about a request that no fault is due for, and beneath one that is: a mock's own decision.
    """

    def __init__(self, faults: Sequence[Fault], then: Intervener | None = None) -> None:
        self.faults = tuple(faults)
        self.fired = [0] * len(self.faults)
        self.then = then
        self.active = True
        """Set to False, nothing fires any more."""
        self._counts = [0] * len(self.faults)

    @property
    def counts(self) -> list[tuple[str, int]]:
        """Each fault and how often it fired."""
        return [(fault.text, fired) for fault, fired in zip(self.faults, self.fired, strict=True)]

    def intervene(self, request: Request) -> Intervention | None:
        """Return what happens to a request."""
        own = None if self.then is None else self.then.intervene(request)
        fault = self._due(request) if self.active else None
        if fault is None:
            return own
        if own is None or self.then is None:
            return fault.intervention()
        return fault.over(own, request, self.then)

    def _due(self, request: Request) -> Fault | None:
        exchange = Exchange(request=request, started_at=0.0)
        operation = operation_of(exchange)
        found = None
        for at, fault in enumerate(self.faults):
            if not fault.concerns(exchange, operation):
                continue
            self._counts[at] += 1
            if found is None and fault.due(self._counts[at]):
                found = fault
                self.fired[at] += 1
        return found


# -- syntax


def parse_fault(text: str) -> Fault:
    """Read a fault.

    Raises:
        SyntaxProblem: it does not parse, or its parts do not go together; says where, and what may be meant.
    """
    text = text.strip()
    if len(text) > _LONGEST:
        raise SyntaxProblem(f"a fault has at most {_LONGEST} characters", text=text[:80] + "...", position=80)
    reading = _Reading(text)
    for token in _TOKEN.finditer(text):
        reading.take(token)
    return reading.fault()


class _Reading:
    """A fault while it is read."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._terms: list[Term] = []
        self._found: dict[str, tuple[str, int]] = {}

    def take(self, token: re.Match[str]) -> None:
        """Take the next word."""
        name, value, start = token["name"], token["value"], token.start()
        if name is None:
            name, value = token["bare"].lower(), ""
            if name not in _BARE:
                raise self._unknown(token["bare"], start)
        name = name.lower()
        if name in _BARE and value:
            raise self._problem(f"{name} takes no value", start, f"write only {name}")
        if name in _WORDS:
            if name in self._found:
                raise self._problem(f"{name} is there twice", start, "write a second --fault for another one")
            self._found[name] = value.strip('"'), start
        elif name.removeprefix("-") in SELECTORS:
            try:
                self._terms.extend(parse_query(token[0]).terms)
            except SyntaxProblem as exc:
                raise self._problem(exc.message, start + exc.position, exc.hint) from exc
        else:
            raise self._unknown(token["name"] + ":", start)

    def fault(self) -> Fault:
        """Return what was read, once it is whole."""
        if not any(word.name in self._found for word in ACTIONS):
            names = ", ".join(word.example for word in ACTIONS)
            raise self._problem("the fault does not say what happens", len(self._text), f"add one of {names}")
        self._fits()
        first, last = self._turns()
        reset, body = self._one_of("reset", ("before", "after")), self._one_of("body", ("truncated", "html", "empty"))
        return Fault(
            text=self._text,
            about=Query(tuple(self._terms)),
            first=first,
            last=last,
            every=self._number("every", 1, _MOST_NUMBER) or 1,
            status=self._number("status", 400, 599),
            retry_after=self._number("retry-after", 0, 86_400),
            asked=self._one_of("upstream", ("asked",)) is not None,
            delay_s=self._delay(),
            reset=cast("Literal['before', 'after'] | None", reset),
            body=cast("Literal['truncated', 'html', 'empty'] | None", body),
            duplicate="duplicate" in self._found,
            empty_page="empty-page" in self._found,
        )

    def _fits(self) -> None:
        found = self._found
        for name in ("retry-after", "upstream"):
            if name in found and "status" not in found:
                raise self._problem(f"{name}: needs a status", found[name][1], "write status:503 beside it")
        apart = [
            ("reset", ("status", "body", "empty-page")),
            ("empty-page", ("status", "body")),
        ]
        for name, others in apart:
            for other in others:
                if name in found and other in found:
                    raise self._problem(f"{other} and {name} cannot both happen", found[other][1], "write two faults")
        unasked = ("status" in found and "upstream" not in found) or found.get("reset", ("", 0))[0] == "before"
        if "duplicate" in found and unasked:
            raise self._problem(
                "duplicate needs the server to be asked, and it is not",
                found["duplicate"][1],
                "leave one of them out",
            )

    def _turns(self) -> tuple[int, int | None]:
        if "nth" not in self._found:
            return 1, None
        value, start = self._found["nth"]
        read = _TURNS.fullmatch(value)
        first = int(read[1]) if read is not None else 0
        if read is None or not first or (read[3] and (not read[2] or int(read[3]) < first)):
            raise self._bad("nth", start)
        if not read[2]:
            return first, first
        return first, int(read[3]) if read[3] else None

    def _number(self, name: str, least: int, most: int) -> int | None:
        if name not in self._found:
            return None
        value, start = self._found[name]
        if not (value.isascii() and value.isdigit() and len(value) < 10 and least <= int(value) <= most):
            raise self._bad(name, start)
        return int(value)

    def _one_of(self, name: str, words: tuple[str, ...]) -> str | None:
        if name not in self._found:
            return None
        value, start = self._found[name]
        if value.lower() not in words:
            raise self._bad(name, start)
        return value.lower()

    def _delay(self) -> float:
        if "delay" not in self._found:
            return 0.0
        value, start = self._found["delay"]
        read = _DURATION.fullmatch(value.lower())
        seconds = float(read[1]) * _UNITS[read[2]] if read is not None else -1.0
        if not 0 <= seconds <= MAX_DELAY_S:
            raise self._bad("delay", start)
        return seconds

    def _bad(self, name: str, start: int) -> SyntaxProblem:
        word, value = _WORDS[name], self._found[name][0]
        said = f"{name}: needs a value" if not value else f"{name}: does not take {value!r}"
        return self._problem(said, start + len(name) + 1, f"write {name}: and {word.form}, like {word.example}")

    def _unknown(self, word: str, start: int) -> SyntaxProblem:
        known = [*SELECTORS, *_WORDS]
        close = difflib.get_close_matches(word.strip(":").lower(), known, n=1, cutoff=0.6)
        hint = f"did you mean {close[0]} ?" if close else f"words are {', '.join(known)}"
        return self._problem(f"a fault has no word {word!r}", start, hint)

    def _problem(self, message: str, position: int, hint: str | None) -> SyntaxProblem:
        return SyntaxProblem(message, text=self._text, position=position, hint=hint)
