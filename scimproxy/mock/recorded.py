"""The mock: a Responder made of recorded exchanges. A request in; the recorded response, or a Miss that says why.

One rule: an answer is one that was recorded, for a request that says the same by the matchers that were chosen; what
is not there is never made up. Ids and made-up names are bound both ways (table.py). Found by hash: the time a
request takes does not grow with the recording. Pure: no clock, no IO; one request at a time.
Flow: recorded exchanges -> Responder; request -> `answer` -> Hit or Miss -> intervening.py -> engine.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Literal

from scimproxy.bind import Bound, type_of
from scimproxy.bodies import Seen, seen
from scimproxy.exchange import Content, Exchange, Headers, Request, Response
from scimproxy.mock.answers import HEADER, Reached, address_of, given_again, origins_of, with_reason
from scimproxy.mock.matching import Matcher, Matching, Mismatch, parse_matching
from scimproxy.mock.table import AUTH, Table
from scimproxy.mock.words import Form, Layout, Slot
from scimproxy.redact import redact

__all__ = ["Hit", "Miss", "Near", "Repeat", "Responder", "unusable"]

type Repeat = Literal["sequence", "last", "cycle"]
"""What follows when each recorded answer was given once: a miss, the last one again, or all of them again."""

_LOOKED_AT = 64
_COMPARED = 200
_NEAREST = 3
_REMEMBERED = 4096
_WORTH_KEEPING = 16 * 1024
"""Bytes of a request or an answer that is remembered: clients must not be able to fill the memory."""
_DETAIL = 2_000
_ERROR = "urn:ietf:params:scim:api:messages:2.0:Error"
_RECORDED_STATUSES = 100, 599


@dataclass(frozen=True, slots=True)
class Hit:
    """The recorded exchange that answers, and its response as the client gets it. `bound` was bound by it."""

    exchange: Exchange
    response: Response
    why: str
    bound: tuple[Bound, ...] = ()


@dataclass(frozen=True, slots=True)
class Near:
    """A recorded exchange that came close, and what failed."""

    exchange: Exchange
    mismatches: tuple[Mismatch, ...]

    def __str__(self) -> str:
        request = self.exchange.request
        why = "; ".join(map(str, self.mismatches)) or "it agrees, but has been answered already"
        return f"exchange {self.exchange.id} ({request.method} {request.path[:200]}): {why}"


@dataclass(frozen=True, slots=True)
class Miss:
    """Nothing recorded answers: a SCIM error (404) that says what came close, and why that was not it."""

    message: str
    nearest: tuple[Near, ...] = ()
    exhausted: bool = False

    @property
    def detail(self) -> str:
        """Everything in words, bounded."""
        text = ". ".join([self.message, *(f"Close: {one}" for one in self.nearest)])
        return text if len(text) <= _DETAIL else f"{text[: _DETAIL - 1]}…"

    @property
    def response(self) -> Response:
        """What the client gets (RFC 7644 section 3.12), with the near misses for programs beside the detail."""
        near = [
            {
                "exchange": one.exchange.id,
                "failed": [
                    {"matcher": it.matcher, "place": it.place, "expected": it.expected, "got": it.got}
                    for it in one.mismatches
                ],
            }
            for one in self.nearest
        ]
        body = {"schemas": [_ERROR], "status": "404", "detail": f"scimproxy mock: {self.detail}", "nearMisses": near}
        content = Content.of(json.dumps(body).encode())
        headers = Headers([("Content-Type", "application/scim+json"), (HEADER, self.why)])
        return Response(404, "Not Found", headers=headers, content=content)

    @property
    def why(self) -> str:
        """What the header says."""
        closest = f" closest={self.nearest[0].exchange.id}" if self.nearest else ""
        failed = ",".join(dict.fromkeys(it.matcher for it in self.nearest[0].mismatches)) if self.nearest else ""
        return f"miss{closest}{f' failed={failed}' if failed else ''}{' exhausted' if self.exhausted else ''}"


def unusable(exchange: Exchange) -> str | None:
    """Return why an exchange answers nothing: it has no whole answer of its server; None where it can."""
    response = exchange.response
    if response is None or exchange.failure is not None or exchange.state != "complete" or exchange.origin == "proxy":
        return "no answer of the server"
    if response.content.truncated:
        return "an answer that is stored in part only"
    low, high = _RECORDED_STATUSES
    return None if low < response.status_code <= high and response.status_code != 101 else "no status to give again"


@dataclass(slots=True)
class _Group:
    """Recorded exchanges that say the same, in their order."""

    numbers: list[int] = field(default_factory=list)
    next: int = 0
    again: int = 0


@dataclass(frozen=True, slots=True)
class _Record:
    """A recorded exchange, as requests are compared with it."""

    of: Seen
    slots: tuple[Slot, ...]
    exact: tuple[object, ...]


@dataclass(frozen=True, slots=True)
class _Asked:
    """A request, read: where it is looked for, from the most exact to the least, and its words."""

    of: Seen
    keys: tuple[tuple[tuple[object, ...], bool], ...]
    slots: tuple[tuple[Slot, ...], ...]
    generation: int


class Responder:
    """Answers requests from recorded exchanges."""

    def __init__(
        self, exchanges: Iterable[Exchange], matching: Matching | None = None, repeat: Repeat = "last"
    ) -> None:
        self._matching = matching or parse_matching()
        self._repeat = repeat
        self._every: tuple[Matcher, ...] = (*self._matching.required, *self._matching.preferred)
        own = [one.name[7:] for one in self._every if one.name.startswith("header:")]
        self._cared = ("authorization", "host", "content-type", "content-encoding", *own)
        self.table = Table()
        self._records: list[_Record] = []
        self._served: list[int] = []
        self._groups: dict[tuple[object, ...], _Group] = {}
        self._places: dict[tuple[str, ...], list[int]] = {}
        self._remembered: dict[tuple[object, ...], _Asked] = {}
        self._given: dict[tuple[int, Reached], tuple[int, Response]] = {}
        self._origins: Counter[str] = Counter()
        self.skipped: Counter[str] = Counter()
        """Why some exchanges answer nothing, and how many."""
        usable = []
        for exchange in exchanges:
            word = unusable(exchange)
            if word is None:
                usable.append(seen(exchange))
            else:
                self.skipped[word] += 1
        self._layout = Layout(one.operation for one in usable)
        for one in usable:
            self._add(one)

    def __len__(self) -> int:
        return len(self._records)

    @property
    def base_paths(self) -> Counter[str]:
        """Under which base paths the recorded server was asked, and how often."""
        return Counter(one.of.operation.base_path or "" for one in self._records if one.of.operation.is_scim)

    def all_below(self, base: str) -> bool:
        """Whether every recorded path is below this one."""
        return all(one.of.exchange.request.path.startswith(f"{base}/") for one in self._records)

    def learn(self, exchange: Exchange) -> bool:
        """Remember one more exchange, for the next time its request comes; False where it cannot answer."""
        if unusable(exchange) is not None:
            return False
        self._add(seen(redact(exchange)[0]))
        self._remembered.clear()
        return True

    # --- the recording

    def _add(self, one: Seen) -> None:
        exchange = one.exchange
        place = self._layout.operation(exchange.request.path)
        if place.is_scim:  # the same reading for what is asked
            one = replace(one, operation=replace(one.operation, base_path=place.base_path, endpoint=place.endpoint))
        number = len(self._records)
        forms = [matcher.form(one, _as_it_is) for matcher in self._every]
        auth = _auth(one)
        exact = (*(_exactly(form) for form in forms), auth.word)
        slots = (*(slot for form in forms for slot in form.slots), auth)
        self._records.append(_Record(one, slots, exact))
        self._served.append(0)
        for key, _ in self._keys(forms, auth):
            self._groups.setdefault(key, _Group()).numbers.append(number)
        request = exchange.request
        endpoint = one.operation.endpoint or request.path
        for where in (("", "", request.path), (request.method, endpoint), ("", endpoint), (request.method, "")):
            self._places.setdefault(where, []).append(number)
        self.table.know(_ids(one), [slot for slot in slots if slot.role != AUTH])
        self._origins.update(origins_of(exchange))

    def _keys(self, forms: Sequence[Form], auth: Slot) -> Iterator[tuple[tuple[object, ...], bool]]:
        """Give the keys of a request, from the most exact on, and whether its words need to fit."""
        required = len(self._matching.required)
        exact = tuple([_exactly(form) for form in forms])
        yield ("exact", exact, auth.word), False
        for count in dict.fromkeys((len(forms), required)):
            yield ("some", exact[:count]), False
            if not self._matching.strict:
                yield ("mask", tuple([form.mask for form in forms[:count]])), True

    # --- a request

    def answer(self, request: Request, *, scheme: str = "http") -> Hit | Miss:
        """Return the recorded response to a request, or why there is none; what is made up anew is bound."""
        asked = self._read(request)
        spent: list[int] = []
        for (key, fits), slots in zip(asked.keys, asked.slots, strict=True):
            group = self._groups.get(key)
            if group is None:
                continue
            alike = key[0] == "exact"  # every word is the same: nothing is to be weighed, nothing to be bound
            number = self._choose(group, () if alike else slots, reading=fits and request.method == "GET")
            if number is not None:
                return self._hit(number, asked, () if alike else slots, scheme)
            if not fits:
                spent += group.numbers[-_NEAREST:]
                break  # each was given once: nothing less like it answers
        return self._miss(asked.of, spent)

    def _read(self, request: Request) -> _Asked:
        given = request.headers.by_name
        key = (request.method, request.target, request.content.data, *[given.get(name) for name in self._cared])
        found = self._remembered.get(key)
        if found is not None and found.generation == self.table.generation:
            return found
        safe, _ = redact(Exchange(request=request, started_at=0.0))
        of = self._layout.read(safe.request)
        forms = [matcher.form(of, self.table.translate) for matcher in self._every]
        auth = _auth(of)
        auth = replace(auth, word=self.table.translate(AUTH, auth.raw))
        keys = tuple(self._keys(forms, auth))
        every = tuple(slot for form in forms for slot in form.slots)
        required = tuple(slot for form in forms[: len(self._matching.required)] for slot in form.slots)
        # The slots that are compared: those of as many matchers as the key has, and the credentials.
        slots = tuple(
            (*(every if key[0] == "exact" or len(key[1]) == len(forms) else required), auth)  # type: ignore[arg-type]
            for key, _ in keys
        )
        if len(self._remembered) >= _REMEMBERED:
            self._remembered.clear()
        found = _Asked(of, keys, slots, self.table.generation)
        if len(request.target) + request.content.size <= _WORTH_KEEPING:
            self._remembered[key] = found
        return found

    def _choose(self, group: _Group, slots: tuple[Slot, ...], *, reading: bool) -> int | None:
        """Return which of a group answers: of those that fit best the first that has not, else as `repeat` says."""
        numbers, served = group.numbers, self._served
        while group.next < len(numbers) and served[numbers[group.next]]:
            group.next += 1
        fresh = [one for one in numbers[group.next : group.next + _LOOKED_AT] if not served[one]]
        found = self._best(fresh, slots, reading=reading) if fresh else None
        if found is not None or self._repeat == "sequence":
            return found
        count = min(group.next, _LOOKED_AT) if slots else group.next  # how many of those given may be given again
        if not count:
            return None
        first = group.next - count
        if self._repeat == "last":
            again = numbers[first : group.next][::-1] if slots else numbers[group.next - 1 : group.next]
            return self._best(again, slots, reading=reading)
        at = first + group.again % count
        group.again += 1
        again = [*numbers[at : group.next], *numbers[first:at]] if slots else numbers[at : at + 1]
        return self._best(again, slots, reading=reading)

    def _best(self, numbers: Sequence[int], slots: tuple[Slot, ...], *, reading: bool) -> int | None:
        if not slots:
            return numbers[0]
        best, least = None, 1 << 30
        for number in numbers:
            grade = self._grade(number, slots, reading=reading)
            if grade == 0:
                return number
            if grade is not None and grade < least:
                best, least = number, grade
        return best

    def _grade(self, number: int, slots: tuple[Slot, ...], *, reading: bool) -> int | None:
        """Return how badly the words of a request fit those of a recorded one; None where they cannot."""
        total = 0
        for mine, asked in self._pairs(number, slots):
            if mine.word == asked.word:
                continue
            if mine.role == AUTH and not (mine.word and asked.word):
                total += 1  # with credentials, and without
                continue
            grade = self.table.grade(mine, asked, reading=reading and mine.role != AUTH)
            if grade is None:
                return None
            total += grade
        return total

    def _pairs(self, number: int, slots: tuple[Slot, ...]) -> Iterator[tuple[Slot, Slot]]:
        recorded = self._records[number].slots
        yield from zip(recorded[: len(slots) - 1], slots[:-1], strict=True)
        yield recorded[-1], slots[-1]

    def _hit(self, number: int, asked: _Asked, slots: tuple[Slot, ...], scheme: str) -> Hit:
        record = self._records[number]
        self._served[number] += 1
        bound = [
            self.table.bind(mine, theirs)
            for mine, theirs in (self._pairs(number, slots) if slots else ())
            if mine.word != theirs.word and (mine.role != AUTH or (mine.word and theirs.word))
        ]
        now = address_of(asked.of, scheme)
        known = self._given.get((number, now))
        if known is None or known[0] != self.table.generation:
            same = self._groups["exact", record.exact[:-1], record.exact[-1]].numbers
            place = f"{same.index(number) + 1 if len(same) <= _COMPARED else '?'}/{len(same)}"
            why = f"exchange={record.of.exchange.id or 'learned'} matched={self._matching.names} repeat={place}"
            base = record.of.operation.base_path or ""
            response = with_reason(given_again(record.of, self.table, self._origins, base, now), why)
            if len(self._given) >= _REMEMBERED:
                self._given.clear()
            known = (self.table.generation, response)
            if response.content.size <= _WORTH_KEEPING:
                self._given[number, now] = known
        why = known[1].headers.get(HEADER) or ""
        return Hit(record.of.exchange, known[1], why, tuple(one for one in bound if one is not None))

    # --- a miss

    def _miss(self, asked: Seen, spent: Sequence[int]) -> Miss:
        request = asked.exchange.request
        said = f"{request.method} {request.path[:200]}"
        if spent:
            nearest = tuple(Near(self._records[number].of.exchange, ()) for number in spent[-_NEAREST:])
            return Miss(
                f"each recorded answer to {said} has been given once (--repeat sequence)", nearest, exhausted=True
            )
        endpoint = asked.operation.endpoint or request.path
        for where in ((request.method, endpoint), ("", endpoint), (request.method, "")):
            if found := self._places.get(where):
                break
        else:
            return Miss(f"nothing recorded is like {said}: no {request.method[:20]}, and nothing at that endpoint")
        there = self._places.get(("", "", request.path), [])
        ends = (*there[:_LOOKED_AT], *there[-_LOOKED_AT:], *found[:_LOOKED_AT], *found[-_LOOKED_AT:])
        compared = list(dict.fromkeys(ends))
        near = [self._near(number, asked) for number in compared]
        near.sort(key=lambda one: (len({it.matcher for it in one.mismatches}), len(one.mismatches)))
        return Miss(f"no recorded exchange answers {said}", tuple(near[:_NEAREST]))

    def _near(self, number: int, asked: Seen) -> Near:
        recorded = self._records[number].of
        found: list[Mismatch] = []
        for matcher in self._matching.required:
            told = matcher.explain(recorded, asked)
            found += told or self._words(matcher, recorded, asked)
        return Near(recorded.exchange, tuple(found))

    def _words(self, matcher: Matcher, recorded: Seen, asked: Seen) -> Iterator[Mismatch]:
        """Give the words that keep a matcher from agreeing, where nothing else does."""
        one, two = matcher.form(recorded, _as_it_is), matcher.form(asked, self.table.translate)
        for mine, theirs in zip(one.slots, two.slots, strict=False):
            reading = asked.exchange.request.method == "GET"
            if mine.word != theirs.word and (
                self._matching.strict or self.table.grade(mine, theirs, reading=reading) is None
            ):
                yield Mismatch(matcher.name, json.dumps(mine.raw[:200]), json.dumps(theirs.raw[:200]), mine.role)
                return


def _as_it_is(role: str, word: str) -> str:  # noqa: ARG001 - what translates nothing
    return word


def _exactly(form: Form) -> tuple[object, ...]:
    return (form.mask, form.words)


def _auth(of: Seen) -> Slot:
    """Return who asks: the fingerprint of the credentials, or nothing."""
    said = of.exchange.request.headers.get("authorization") or ""
    return Slot(AUTH, said, said)


def _ids(of: Seen) -> Iterator[tuple[str, str]]:
    """Give the ids that an answer makes known to a client: (type, id)."""
    response = of.exchange.response
    if response is None or response.status_code >= 300 or of.response.form != "json":
        return
    kind = type_of((of.operation.endpoint or "").strip("/"))
    body = of.response.value
    listed = body.get("Resources") if isinstance(body, dict) else None
    for one in [body, *(listed if isinstance(listed, list) else ())]:
        found = one.get("id") if isinstance(one, dict) else None
        if isinstance(found, str):
            yield kind, found
