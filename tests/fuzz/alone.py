"""What must hold for the native engine whatever it is sent; each broken property is a sentence."""

from __future__ import annotations

import hashlib
import re

from fuzz.case import Case
from fuzz.play import Outcome
from fuzz.wire import Asked, Pairs, h11_answers, h11_requests, requests_in

from scimproxy.exchange import Exchange, Headers

__all__ = ["broken"]

UNTRUSTED_TRAILERS = {
    b"content-length",
    b"transfer-encoding",
    b"host",
    b"connection",
    b"x-forwarded-for",
    b"authorization",
    b"te",
}


_INTERIM = re.compile(rb"HTTP/1\.1 1\d\d [^\r\n]*\r\n(?:[^\r\n]+\r\n)*\r\n\Z")

_BWS = re.compile(rb"[0-9a-fA-F][ \t]+;")
"""White space before a chunk extension: RFC 9112 section 7.1.1 says it must be read, h11 refuses it."""


def broken(case: Case, outcome: Outcome) -> list[str]:
    """Return what does not hold for this outcome of the case; nothing where all does."""
    return [
        *outcome.faults,
        *_upstream(outcome),
        *_request_records(case, outcome),
        *([] if case.end == "go" else _client(outcome) + _hang(case, outcome)),
    ]


def pairs(headers: Headers | None) -> Pairs:
    return [] if headers is None else [(name, value) for name, value in headers.raw()]


def _upstream(outcome: Outcome) -> list[str]:
    """Each connection of the upstream got plain, well-formed requests, and they are what was recorded."""
    problems = []
    asked: list[Asked] = []
    for data in outcome.upstream:
        seen = requests_in(data)
        if seen.problem is not None:
            problems.append(f"upstream: not a plain request: {seen.problem}")
        again = h11_requests(data)
        if again.problem is not None:
            problems.append(f"upstream: h11 refuses it: {again.problem}")
        if [_key(one) for one in seen.requests] != [_key(one) for one in again.requests]:
            problems.append("upstream: h11 reads other requests")
        for one in seen.requests:
            for name, _ in one.trailers:
                if name.lower() in UNTRUSTED_TRAILERS:
                    problems.append(f"upstream: trailer {name!r} was passed on")
        asked += seen.requests
    sent = [one for one in outcome.exchanges if one.attempts]
    for exchange in sorted(sent, key=lambda one: one.origin != "upstream"):  # what was answered did arrive
        target = (exchange.upstream_request_target or exchange.request.target).encode("latin-1")
        fields = pairs(exchange.upstream_request_headers or exchange.request.headers)
        match = next(
            (
                one
                for one in asked
                if one.target == target
                and one.method == exchange.request.method.encode("latin-1")
                and one.headers == fields
                and _same_body(one, exchange)
            ),
            None,
        )
        if match is not None:
            asked.remove(match)
        elif exchange.origin == "upstream":
            problems.append(
                f"upstream: never got the recorded {exchange.request.method} {exchange.request.target[:60]!r}"
            )
    if asked and not any((one.attempts or 0) > 1 for one in sent):
        problems.append(
            f"upstream: got what was not recorded: {asked[0].method!r} {asked[0].target[:60]!r} {asked[0].body[:60]!r}"
        )
    return problems


def _key(one: Asked) -> tuple[bytes, bytes, Pairs, bytes, bool]:
    return one.method, one.target, one.headers, one.body, one.whole


def _same_body(one: Asked, exchange: Exchange) -> bool:
    content = exchange.request.content
    if one.whole:
        return content.sha256 == hashlib.sha256(one.body).hexdigest()
    kept = content.data[: len(one.body)]
    return one.body.startswith(kept)  # what came last may not have been sent on


def _request_records(case: Case, outcome: Outcome) -> list[str]:
    """Every request that was passed on is what h11 reads from the client's bytes, in its order, and recorded so."""
    problems = []
    seen = h11_requests(case.sent)
    read = seen.requests
    for number, exchange in enumerate(outcome.exchanges):
        if seen.problem is not None and number >= len(read) - 1 and _BWS.search(case.sent):
            return problems
        if exchange.attempts is None:
            continue
        request = exchange.request
        name = f"{request.method} {request.target[:60]!r}"
        if number >= len(read):
            problems.append(f"passed on {name}, which h11 does not read from the client's bytes")
            continue
        one = read[number]
        if (one.method, one.target, one.version) != (
            request.method.encode("latin-1"),
            request.target.encode("latin-1"),
            request.http_version.encode(),
        ):
            problems.append(f"recorded {name}, h11 reads {one.method!r} {one.target[:60]!r} HTTP/{one.version!r}")
        elif _lowered(one.headers) != _lowered(pairs(request.headers)):
            problems.append(f"recorded fields of {name} are not those of the wire")
        elif (
            one.whole
            and exchange.origin == "upstream"
            and request.content.sha256 != hashlib.sha256(one.body).hexdigest()
            and exchange.failure is None
            and request.content.size >= len(one.body)
        ):
            problems.append(f"recorded body of {name} is not that of the wire")
        elif not one.body.startswith(request.content.data):
            problems.append(f"recorded body of {name} is not a beginning of that of the wire")
        elif (
            request.trailers is not None and one.whole and _lowered(one.trailers) != _lowered(pairs(request.trailers))
        ):
            problems.append(f"recorded trailers of {name} are not those of the wire")
    return problems


def _lowered(fields: Pairs) -> Pairs:
    """Return fields as h11 shows them: it writes the value of Transfer-Encoding in lower case."""
    return [(name, value.lower() if name.lower() == b"transfer-encoding" else value) for name, value in fields]


def _client(outcome: Outcome) -> list[str]:
    """What the client got are the recorded answers, in order, well-formed for h11."""
    problems = []
    told = [
        one
        for one in outcome.exchanges[: outcome.told]
        if one.response is not None
        and not (one.failure is not None and one.failure.side == "client" and one.failure.kind == "closed")
    ]
    under_way = outcome.exchanges[outcome.told :][:1]  # its answer may have begun
    methods = [one.request.method.encode("latin-1") for one in (*told, *under_way)]
    answers, problem = h11_answers(
        outcome.got, [method if method == b"HEAD" else b"GET" for method in methods], ended=outcome.ended
    )
    cut = any((one.ended or "").startswith("cut") for one in told)
    if problem is not None and problem.startswith("more") and _INTERIM.search(outcome.got) is not None:
        problem = None  # an interim answer to a request that is not whole
    if problem is not None and not cut:
        problems.append(f"client: h11 refuses the answer: {problem}")
    for exchange, answer in zip(told, answers, strict=False):
        given = exchange.response
        assert given is not None
        if (answer.status_code, answer.headers) != (given.status_code, pairs(given.headers)):
            problems.append(
                f"client: got {answer.status_code} {answer.headers!r}, recorded is {given.status_code} {pairs(given.headers)!r}"[
                    :600
                ]
            )
        elif (
            answer.whole
            and hashlib.sha256(answer.body).hexdigest() != given.content.sha256
            and exchange.request.method != "HEAD"
        ):
            problems.append(
                f"client: the body it got is not the one recorded: {answer.body[:60]!r} {given.content.data[:60]!r}"
            )
        elif len(answer.get(b"content-length")) + len(answer.get(b"transfer-encoding")) > 1:
            problems.append("client: an answer with two framings")
        elif answer.whole and answer.trailers != pairs(given.trailers):
            problems.append("client: the trailers it got are not the recorded ones")
        elif any(name.lower() in {b"content-length", b"transfer-encoding"} for name, _ in answer.trailers):
            problems.append("client: trailers that speak of framing")
    if len(answers) < len(told) and not cut:
        problems.append(f"client: {len(told)} answers are recorded, {len(answers)} came")
    return problems


def _hang(case: Case, outcome: Outcome) -> list[str]:
    """Nobody waits for nothing: the client is answered, or its connection is closed, or somebody owes bytes."""
    if outcome.ended or outcome.owing:
        return []
    whole = sum(one.whole for one in h11_requests(case.sent).requests)
    finals = [
        one
        for one in outcome.exchanges[: outcome.told]
        if one.response is not None
        and not (one.failure is not None and one.failure.kind == "closed" and one.failure.side == "client")
    ]
    if len(finals) < whole:
        return [
            f"hang: {whole} whole requests, {len(finals)} answers, the connection is open and the upstream owes nothing"
        ]
    return []
