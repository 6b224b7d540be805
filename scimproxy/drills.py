"""Drills: named sets of faults, and what must be true after them: created once, retried, in order, consistent.

One rule: pure. A drill is judged by what was recorded while it went on and by what the server answered afterwards to
`questions`; the same recording gives the same verdicts. Each verdict names the exchanges that it rests on.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal
from urllib.parse import quote

from scimproxy.bodies import Seen
from scimproxy.faults import TAG, Fault, parse_fault

__all__ = ["DRILLS", "Check", "Drill", "Report", "faults_of", "judge", "leftovers", "questions"]

RETRIED = frozenset({408, 429, 500, 502, 503, 504})
"""Statuses after which a client is expected to come again."""

_TOLERANCE_S = 0.05
_MOST_QUESTIONS = 200
_MOST_NAMED = 20
_NAMES = {"User": "userName", "Group": "displayName"}
_SERVERS_OWN = frozenset({"meta", "password", "schemas", "groups"})
_WRITES = frozenset({"create", "replace", "patch", "delete"})
_AGAIN = ": the second delivery"


@dataclass(frozen=True, slots=True)
class Drill:
    """A named set of faults: `suite` for the client that we run ourselves, `live` for one that comes by itself."""

    name: str
    what: str
    suite: tuple[str, ...] = ()
    live: tuple[str, ...] = ()


_ALL = (
    Drill(
        "okta",
        "What Okta meets: busy (429, 503, with Retry-After), a gateway's page, lost answers, a second delivery",
        (
            "op:create nth:1 status:503 retry-after:1",
            "op:create nth:2 status:429 retry-after:1",
            "op:create nth:3 duplicate",
            "op:replace nth:1 status:504 upstream:asked",
            "op:patch nth:1 reset:after",
            "op:read nth:1 body:html",
            "op:delete nth:1 reset:before",
        ),
        (
            "op:create nth:1 status:429 retry-after:5",
            "op:create nth:3 reset:after",
            "op:create nth:5 duplicate",
            "op:replace nth:1 status:503 retry-after:5",
            "op:replace nth:3 status:504 upstream:asked",
            "op:patch nth:1 status:503 retry-after:5",
            "op:patch nth:3 reset:after",
            "op:read nth:2 body:html",
        ),
    ),
    Drill(
        "retry",
        "The answer to a write is lost: is it written once, whatever the client does then?",
        ("op:create nth:1 reset:after", "op:replace nth:1 reset:after", "op:patch nth:1 reset:after"),
        ("op:create nth:1 reset:after", "op:create nth:4 status:504 upstream:asked", "op:replace nth:1 reset:after",
         "op:patch nth:1 reset:after", "op:delete nth:1 reset:after"),
    ),
    Drill(
        "pages",
        "A page in the middle of an import is empty, another one broken: does the client go on? (--live)",
        (),
        ("empty-page nth:1", "op:list nth:4 body:truncated", "op:list nth:6 status:503 retry-after:5"),
    ),
    Drill(
        "slow",
        "Answers take longer than the 60 s that Okta waits: is anything written twice? (--live)",
        (),
        ("op:create nth:1 delay:65s", "op:patch nth:1 delay:65s", "op:list nth:2 delay:65s"),
    ),
)  # fmt: skip

DRILLS: dict[str, Drill] = {drill.name: drill for drill in _ALL}
"""The drills by name."""

Verdict = Literal["pass", "fail", "untried"]


@dataclass(frozen=True, slots=True)
class Check:
    """One thing that must be true; `untried`: nothing that happened says whether it is."""

    name: str
    verdict: Verdict
    why: str
    exchanges: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class Report:
    """The verdicts of a drill, and which faults fired how often."""

    checks: tuple[Check, ...]
    fired: tuple[tuple[str, int], ...]

    @property
    def verdict(self) -> Verdict:
        """The worst of the checks; `untried` where nothing was tried."""
        verdicts = {check.verdict for check in self.checks}
        return "fail" if "fail" in verdicts else "pass" if "pass" in verdicts else "untried"


# -- what was recorded --------------------------------------------------------------------------------------------


@dataclass(slots=True)
class _One:
    """An exchange of a drill: what it was, what the client was told, and what the server said."""

    seen: Seen
    fault: Fault | None
    again: bool
    status: int | None = None
    """What the server answered; None where it was not asked, or did not answer."""
    body: Any = None
    """The JSON of that."""

    @property
    def number(self) -> int:
        return self.seen.exchange.id or 0

    @property
    def kind(self) -> str:
        return self.seen.operation.kind

    @property
    def path(self) -> str:
        return self.seen.exchange.request.path.rstrip("/")

    @property
    def written(self) -> bool:
        """Whether the server says that it wrote something."""
        return self.kind in _WRITES and self.status is not None and 200 <= self.status < 300

    @property
    def key(self) -> tuple[str, str] | None:
        """What a create makes: its type and its name in small letters; None where it has no name."""
        kind = self.seen.operation.resource_type or ""
        name = _member(self.seen.request.value, _NAMES.get(kind, "displayName"))
        return (kind, name.lower()) if self.kind == "create" and isinstance(name, str) and name else None

    @property
    def made(self) -> str | None:
        """The id of what a create made."""
        found = _member(self.body, "id")
        if isinstance(found, str | int):
            return str(found)
        response = self.seen.exchange.response
        location = response.headers.get("location") if response is not None else None
        return location.rstrip("/").rpartition("/")[2] if location else None

    @property
    def troubled(self) -> bool:
        """Whether the client was left without the answer, so that it has to come again."""
        response = self.seen.exchange.response
        if self.fault is None or self.again:
            return False
        if self.fault.reset is not None or response is None:
            return True
        return response.status_code in RETRIED or self.fault.body is not None


def _member(value: Any, name: str) -> Any:  # noqa: ANN401 - JSON
    """Return a member by its name, letter case aside (RFC 7643 section 2.1)."""
    if not isinstance(value, dict):
        return None
    return next((inner for key, inner in value.items() if key.lower() == name.lower()), None)


def _read(run: Sequence[Seen], faults: Sequence[Fault]) -> list[_One]:
    by_text = {fault.text: fault for fault in faults}
    found = []
    for seen in run:
        exchange = seen.exchange
        note = (exchange.note or "").removeprefix("fault: ")
        again = note.endswith(_AGAIN)
        fault = by_text.get(note.removesuffix(_AGAIN)) if TAG in exchange.tags else None
        one = _One(seen, fault, again)
        if exchange.response is not None and exchange.origin == "upstream":
            rewrites = {rewrite.place: rewrite.before for rewrite in exchange.rewrites}
            one.status = int(rewrites.get("status", exchange.response.status_code))
            one.body = _json(rewrites["content"]) if "content" in rewrites else seen.response.value
        found.append(one)
    # A second delivery is written before the first one, which waits for it.
    return sorted(found, key=lambda one: one.seen.exchange.started_at)


def _json(text: str) -> Any:  # noqa: ANN401 - JSON
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return None


# -- what to ask --------------------------------------------------------------------------------------------------


def _item(one: _One) -> str | None:
    """Return the path of the resource that a write is about."""
    if one.kind != "create":
        return one.path
    return f"{one.path}/{quote(one.made, safe='')}" if one.made else None


def _last_writes(ones: Sequence[_One]) -> dict[str, _One]:
    last: dict[str, _One] = {}
    for one in ones:
        item = _item(one) if one.written else None
        if item is not None:
            last[item] = one
    return last


def _named(ones: Sequence[_One]) -> dict[tuple[str, str], str]:
    """Return the search for each name that a fault met a create of."""
    found = {}
    for one in ones:
        if one.key is not None and one.fault is not None:
            kind, name = one.key
            value = name.replace("\\", "\\\\").replace('"', '\\"')
            condition = f'{_NAMES.get(kind, "displayName")} eq "{value}"'
            found[one.key] = f"{one.path}?filter={quote(condition, safe='')}"
    return found


def questions(run: Sequence[Seen], faults: Sequence[Fault]) -> list[str]:
    """Return the targets to GET from the server afterwards, so that the drill can be judged; bounded."""
    ones = _read(run, faults)
    return [*_named(ones).values(), *_last_writes(ones)][:_MOST_QUESTIONS]


def leftovers(run: Sequence[Seen], faults: Sequence[Fault]) -> list[str]:
    """Return the paths of what was created in a run and not deleted: only what the server said that it made then."""
    ones = _read(run, faults)
    return [item for item, one in _last_writes(ones).items() if one.kind != "delete" and _ours(item, ones)]


def _ours(item: str, ones: Sequence[_One]) -> bool:
    return any(one.kind == "create" and one.written and _item(one) == item for one in ones)


def _answers(answers: Sequence[Seen]) -> dict[str, Seen]:
    found: dict[str, Seen] = {}
    for one in answers:
        found.setdefault(one.exchange.request.target, one)
    return found


def _resources(answer: Seen | None) -> list[Any] | None:
    """Return what a search found; None where it was not asked, or not answered with a list."""
    if answer is None or answer.exchange.response is None or answer.exchange.response.status_code != 200:
        return None
    resources = _member(answer.response.value, "resources")
    if isinstance(resources, list):
        return resources
    return [] if _member(answer.response.value, "totalResults") == 0 else None


# -- the verdicts -------------------------------------------------------------------------------------------------


@dataclass(slots=True)
class _Finding:
    """A check while it is made."""

    name: str
    wrong: list[str] = field(default_factory=list)
    tried: int = 0
    numbers: list[int] = field(default_factory=list)

    def check(self, right: str, untried: str) -> Check:
        numbers = tuple(dict.fromkeys(number for number in self.numbers if number))[:_MOST_NAMED]
        if self.wrong:
            more = f" (and {len(self.wrong) - 1} more)" if len(self.wrong) > 1 else ""
            return Check(self.name, "fail", self.wrong[0] + more, numbers)
        if not self.tried:
            return Check(self.name, "untried", untried)
        return Check(self.name, "pass", f"{right} ({self.tried})", numbers)


def judge(run: Sequence[Seen], faults: Sequence[Fault], answers: Sequence[Seen] = ()) -> Report:
    """Return the verdicts on a run under faults, with what the server answered to `questions` afterwards."""
    ones = _read(run, faults)
    told = _answers(answers)
    fired = tuple(
        (fault.text, sum(one.fault is not None and one.fault.text == fault.text and not one.again for one in ones))
        for fault in faults
    )
    checks: tuple[Callable[[], Check], ...] = (
        lambda: _created_once(ones, told),
        lambda: _retried(ones),
        lambda: _waited(ones),
        lambda: _consistent(ones, told),
        lambda: _went_on(ones),
    )
    return Report(tuple(check() for check in checks), fired)


def _created_once(ones: Sequence[_One], told: dict[str, Seen]) -> Check:
    """Check that no name stands for two resources, by what the server answered and by what it holds now."""
    finding = _Finding("created once")
    for key, target in _named(ones).items():
        alive: dict[str, int] = {}
        most: dict[str, int] = {}
        for one in ones:
            if one.key == key and one.written:
                alive[one.made or f"#{one.number}"] = one.number
            elif one.kind == "delete" and one.written:
                alive.pop(one.path.rpartition("/")[2], None)
            most = dict(alive) if len(alive) > len(most) else most
        held = _resources(told.get(target))
        asked = told[target].exchange.id or 0 if target in told else 0
        tries = [one.number for one in ones if one.key == key]
        if len(most) > 1:
            finding.wrong.append(f"{key[0]} {key[1]!r} was created {len(most)} times: ids {', '.join(most)}")
            finding.numbers += [*most.values(), asked]
        elif held is not None and len(held) > 1:
            finding.wrong.append(f"the server holds {len(held)} of {key[0]} {key[1]!r}")
            finding.numbers += [*tries, asked]
        else:
            finding.numbers += [*tries, asked]
        finding.tried += 1
    return finding.check("nothing that was created under faults was created twice", "no create met a fault")


def _retried(ones: Sequence[_One]) -> Check:
    """Check that the client came again after each answer that it did not get."""
    finding = _Finding("retried")
    for at, one in enumerate(ones):
        if not one.troubled:
            continue
        finding.tried += 1
        again = _retry(one, ones[at + 1 :])
        if again is None:
            finding.wrong.append(f"nobody came again after {_trouble(one)} to {one.seen.operation.summary}")
            finding.numbers.append(one.number)
        elif not finding.wrong:
            finding.numbers += [one.number, again.number]
    return finding.check("the client came again each time", "no answer was withheld")


def _waited(ones: Sequence[_One]) -> Check:
    """Check that the client waited as long as it was told (RFC 9110 section 10.2.3)."""
    finding = _Finding("honoured Retry-After")
    for at, one in enumerate(ones):
        wanted = one.fault.retry_after if one.fault is not None else None
        again = _retry(one, ones[at + 1 :]) if wanted is not None else None
        ended = one.seen.exchange.ended_at
        if wanted is None or again is None or ended is None:
            continue
        finding.tried += 1
        waited = again.seen.exchange.started_at - ended
        if waited < wanted - _TOLERANCE_S:
            finding.wrong.append(f"the client came again after {max(waited, 0):.1f} s, and was told {wanted} s")
        finding.numbers += [one.number, again.number]
    return finding.check("the client waited as long as it was told", "nobody came again after a Retry-After")


def _consistent(ones: Sequence[_One], told: dict[str, Seen]) -> Check:
    """Check that each resource is as the last write that the server confirmed says."""
    finding = _Finding("state consistent")
    for item, one in _last_writes(ones).items():
        answer = told.get(item)
        response = answer.exchange.response if answer is not None else None
        if answer is None or response is None or response.status_code in {401, 403, *RETRIED}:
            continue
        finding.tried += 1
        before = len(finding.wrong)
        gone = response.status_code in {404, 410}
        if one.kind == "delete" and not gone:
            finding.wrong.append(f"{item} was deleted, and answers {response.status_code}")
        elif one.kind != "delete" and response.status_code != 200:
            finding.wrong.append(f"{item} was written, and answers {response.status_code}")
        elif one.kind != "delete":
            for name, value in _expected(one).items():
                have = _member(answer.response.value, name)
                if not _same(value, have):
                    finding.wrong.append(f"{item}: {name} is {_short(have)}, and {_short(value)} was written")
                    break
        if len(finding.wrong) > before or not finding.wrong:
            finding.numbers += [one.number, answer.exchange.id or 0]
    return finding.check(
        "each resource is as the last write says", "the server was not asked, or nothing was written"
    )


def _went_on(ones: Sequence[_One]) -> Check:
    """Check that a list was read on, or read again, after a page that came empty."""
    finding = _Finding("read past empty pages")
    for at, one in enumerate(ones):
        if one.fault is None or not one.fault.empty_page:
            continue
        start = one.seen.operation.start_index or 1
        total = one.seen.operation.total_results or 0
        later = [
            other
            for other in ones[at + 1 :]
            if other.path == one.path and (other.seen.operation.start_index or 1) >= start
        ]
        finding.tried += 1
        finding.numbers += [one.number, *(other.number for other in later[:1])]
        if not later and start <= total:
            finding.wrong.append(f"the client stopped at startIndex {start} of {total}, where a page came empty")
    return finding.check("the client read on", "no page came empty")


def _retry(one: _One, later: Sequence[_One]) -> _One | None:
    """Return the first exchange in which the client tries again, or looks whether it was done."""
    first = one.seen.exchange.request
    for other in later:
        request = other.seen.exchange.request
        if other.again:
            continue
        if one.key is not None:
            looks = other.kind in {"list", "search"} and one.key[1] in (other.seen.operation.filter or "").lower()
            if other.key == one.key or looks:
                return other
        elif (request.method, request.target) == (first.method, first.target):
            return other
    return None


def _trouble(one: _One) -> str:
    response = one.seen.exchange.response
    assert one.fault is not None
    if one.fault.reset is not None or response is None:
        return "a reset"
    return f"{response.status_code}" if response.status_code in RETRIED else f"a body that was {one.fault.body}"


def _expected(one: _One) -> dict[str, Any]:
    """Return what a write says of its resource: the server's own answer, or else what was sent."""
    if isinstance(one.body, dict) and _member(one.body, "id") is not None:
        return {name: value for name, value in one.body.items() if name.lower() not in _SERVERS_OWN}
    sent = one.seen.request.value
    if one.kind != "patch":
        return _plain(sent)
    found: dict[str, Any] = {}
    operations = _member(sent, "operations")
    for operation in operations if isinstance(operations, list) else ():
        verb, path, value = (_member(operation, name) for name in ("op", "path", "value"))
        if not isinstance(verb, str) or verb.lower() not in {"add", "replace"}:
            continue
        if path is None:
            found.update(_plain(value))
        elif isinstance(path, str) and path.isalnum():
            found.update(_plain({path: value}))
    return found


def _plain(value: object) -> dict[str, Any]:
    """Return the members that are one plain value, and the server's to keep as they are."""
    if not isinstance(value, dict):
        return {}
    return {
        name: inner
        for name, inner in value.items()
        if isinstance(inner, str | bool | int | float) and name.lower() not in {*_SERVERS_OWN, "id"}
    }


def _same(wanted: object, have: object) -> bool:
    """Whether two values say the same: order of lists aside, empty as absent, and `"True"` as true."""
    if isinstance(wanted, bool) or isinstance(have, bool):
        return str(wanted).lower() == str(have).lower()
    return _settled(wanted) == _settled(have)


def _settled(value: object) -> object:
    if isinstance(value, dict):
        return {name.lower(): _settled(inner) for name, inner in value.items() if inner not in (None, [], {})}
    if isinstance(value, list):
        return (
            sorted((_settled(inner) for inner in value), key=lambda inner: json.dumps(inner, sort_keys=True)) or None
        )
    return value


def _short(value: object) -> str:
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= 60 else f"{text[:59]}…"


def faults_of(drill: Drill, *, live: bool) -> tuple[Fault, ...]:
    """Return the faults of a drill, for a client that comes by itself (`live`) or for ours."""
    return tuple(parse_fault(text) for text in (drill.live if live else drill.suite))
