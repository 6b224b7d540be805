"""Compares what two engines made of the same case, exchange by exchange, up to the first difference."""

from __future__ import annotations

import re
from dataclasses import dataclass, fields

from fuzz.case import Case
from fuzz.play import Outcome
from fuzz.wire import Pairs, requests_in

from scimproxy.exchange import Exchange, Headers

__all__ = ["Difference", "Turn", "difference", "turns"]

_STATUS = re.compile(rb"(?<!')(?<!\\n)HTTP/1\.1 (\d{3}) ")
_OWN = re.compile(rb"(?<!')(?<!\\n)HTTP/1\.1 (\d{3}) [^\r\n]*\r\n(?:[^\r\n]+\r\n)*?scimproxy-origin: proxy\r\n")
"""The head of an answer of ours; a quote or an escaped line end before it is one inside the words of another."""


@dataclass(frozen=True)
class Turn:
    """What became of one request, without what may differ between two engines (ports, words, times).

    `end`: passed (the upstream's answer), made (ours), gone (the client went), cut (in the middle of the answer),
    unrecorded (ours, and not recorded), waiting (nothing yet).
    """

    end: str
    method: str = ""
    target: str = ""
    version: str = ""
    headers: tuple[tuple[str, str], ...] = ()
    body: str = ""
    trailers: tuple[tuple[str, str], ...] = ()
    sent: tuple[tuple[str, str], ...] = ()
    status: int = 0
    reason: str = ""
    given: tuple[tuple[str, str], ...] = ()
    given_body: str = ""
    given_trailers: tuple[tuple[str, str], ...] = ()
    failure: tuple[str, str] | None = None
    detail: str = ""


@dataclass(frozen=True)
class Difference:
    """The first difference: which aspects, at which request, and what both engines did."""

    aspects: frozenset[str]
    native: Turn
    other: Turn
    case: Case

    def __str__(self) -> str:
        def side(turn: Turn) -> str:
            return f"{turn.end} {turn.status} {turn.failure} {turn.detail[:90]!r}"

        return f"{'+'.join(sorted(self.aspects))}: native {side(self.native)} | mitmproxy {side(self.other)}"


def _pairs(headers: Headers | None, port: str = "") -> tuple[tuple[str, str], ...]:
    """Return fields; the upstream's port is the stand's, not the engine's."""
    if headers is None:
        return ()
    return tuple(
        (name, value.lower())
        if name.lower() == "transfer-encoding"  # h11 writes it so, in trailers, too
        else (name, "upstream" if name.lower() == "host" and value.startswith("127.0.0.1:") else value)
        for name, value in headers
    )


def _turn(exchange: Exchange) -> Turn:
    response, failure = exchange.response, exchange.failure
    request = exchange.request
    if failure is not None and failure.side == "client" and failure.kind == "closed":
        end = "gone"
    elif (exchange.ended or "").startswith("cut"):
        end = "cut"
    elif exchange.origin == "proxy":
        end = "made"
    else:
        end = "passed"
    made = end == "made" or response is None
    return Turn(
        end=end,
        method=request.method,
        target=request.target,
        version=request.http_version,
        headers=_pairs(request.headers),
        body=request.content.sha256,
        trailers=_pairs(request.trailers),
        sent=_pairs(exchange.upstream_request_headers),
        status=response.status_code if response is not None and end != "gone" else 0,
        reason=response.reason if response is not None and end != "gone" else "",
        given=() if response is None or made or end == "gone" else _pairs(response.headers),
        given_body="" if response is None or made or end == "gone" else response.content.sha256,
        given_trailers=() if response is None or end == "gone" else _pairs(response.trailers),
        failure=(failure.kind, failure.side) if failure is not None else None,
        detail=failure.message if failure is not None else "",
    )


def turns(outcome: Outcome) -> list[Turn]:
    """Return what became of each request; an answer of ours at the end that was not recorded is one, too."""
    found = [_turn(one) for one in outcome.exchanges[: outcome.told]]
    own = list(_OWN.finditer(outcome.got))
    if len(own) > sum(turn.end == "made" for turn in found):
        detail = re.search(rb'"detail": "([^\n]*)"', outcome.got[own[-1].start() :])
        found.append(Turn("unrecorded", status=int(own[-1][1]), detail=detail[1].decode("latin-1") if detail else ""))
    return found


def difference(case: Case, native: Outcome, other: Outcome) -> Difference | None:
    """Return the first difference; None where both did the same."""
    ours, theirs = turns(native), turns(other)
    for number in range(max(len(ours), len(theirs))):
        one = ours[number] if number < len(ours) else Turn("waiting")
        two = theirs[number] if number < len(theirs) else Turn("waiting")
        aspects = {
            f.name for f in fields(Turn) if f.name != "detail" and getattr(one, f.name) != getattr(two, f.name)
        }
        if "end" in aspects and {one.end, two.end} <= {"made", "unrecorded"} and one.status == two.status:
            aspects = {"unrecorded"}
        if one.end == two.end == "made" and one.status == two.status:
            aspects -= {"failure", "sent"} if one.status < 500 else {"sent"}
        if one.end == two.end == "gone":
            aspects -= {"sent", "body", "trailers"}  # how much of an unfinished request each had taken
        if aspects:
            return Difference(frozenset(aspects), one, two, case)
    last = ours[-1] if ours else Turn("nothing")
    twin = theirs[-1] if theirs else Turn("nothing")
    seen = [
        [
            (one.method, one.target, _pairs(_headers(one.headers)), one.body, tuple(one.trailers))
            for data in outcome.upstream
            for one in requests_in(data).requests
            if one.whole
        ]
        for outcome in (native, other)
    ]
    if sorted(seen[0]) != sorted(seen[1]) and case.end != "go":
        return Difference(frozenset({"upstream"}), last, twin, case)
    if case.end == "go":
        return None
    if native.ended != other.ended:
        return Difference(frozenset({"closed" if native.ended else "open"}), last, twin, case)
    if _finals(native.got) != _finals(other.got):
        return Difference(frozenset({"bytes"}), last, twin, case)
    if _interims(native.got) != _interims(other.got):
        return Difference(frozenset({"interim"}), last, twin, case)
    return None


def _headers(pairs: Pairs) -> Headers:
    return Headers.from_raw(pairs)


def _finals(got: bytes) -> list[int]:
    return [int(code) for code in _STATUS.findall(got) if code[:1] != b"1"]


def _interims(got: bytes) -> list[int]:
    return [int(code) for code in _STATUS.findall(got) if code[:1] == b"1"]
