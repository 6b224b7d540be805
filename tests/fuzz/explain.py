"""The table of differences between the two engines: what each does, and why that is right. What fits no row is a fault."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from fuzz.differ import Difference, Turn

__all__ = ["ROWS", "Row", "explain"]


@dataclass(frozen=True)
class Row:
    """A class of differences; `rfc` is what governs it."""

    name: str
    native: str
    mitmproxy: str
    why: str
    rfc: str
    fits: Callable[[Difference], bool]


def _refused(turn: Turn, words: str) -> bool:
    """Whether we refused the client's request with such words."""
    return turn.end == "made" and 400 <= turn.status < 500 and re.search(words, turn.detail) is not None


def _bad_answer(turn: Turn, words: str = "") -> bool:
    """Whether we gave a 502 instead of the upstream's answer, or cut it."""
    return (
        turn.end in {"made", "cut"}
        and turn.failure is not None
        and turn.failure[1] == "upstream"
        and re.search(words, turn.detail) is not None
    )


def _answers(difference: Difference) -> bytes:
    return b"".join(piece for answer in difference.case.answers for piece in answer.pieces)


def _has_1_0(difference: Difference) -> bool:
    return b"HTTP/1.0" in difference.case.sent and b"keep-alive" in difference.case.sent.lower()


def _but_connection(fields: tuple[tuple[str, str], ...]) -> list[tuple[str, str]]:
    return [one for one in fields if one[0].lower() != "connection"]


def _numbers(fields: Iterable[tuple[str, str]]) -> list[tuple[str, str]]:
    return [(name, value.lstrip("0") if name.lower() == "content-length" else value) for name, value in fields]


ROWS = [
    Row(
        "refused heads are recorded",
        "answers and records the refusal",
        "answers the same status, records nothing where not even the request line can be read",
        "native is right: every refusal is recorded",
        "RFC 9112 section 2.2",
        lambda d: d.aspects == {"unrecorded"} and d.other.end == "unrecorded",
    ),
    Row(
        "how much of a refused request is recorded",
        "refuses the head as a whole; of a broken body it records what came before the break",
        "judges line by line, so method, target, fields or a piece of body may be recorded a little more or less",
        "both refuse with the same status and close; nothing reached the upstream as a whole request",
        "RFC 9112 section 2.2",
        lambda d: (
            d.native.end == "made"
            and d.other.end in {"made", "unrecorded"}
            and d.native.status == d.other.status
            and 400 <= d.native.status < 500
            and d.aspects
            <= {"headers", "body", "trailers", "method", "target", "version", "failure", "end", "sent", "unrecorded"}
        ),
    ),
    Row(
        "bare CR or LF in a request",
        "refuses it, 400",
        "takes a bare LF for a line end, as h11 does; waits where a bare CR leaves the head open",
        "native is stricter: a line end that only some parsers see is what smuggling is made of; a recipient MAY accept a bare LF",
        "RFC 9112 section 2.2",
        lambda d: _refused(
            d.native,
            "bare CR or LF|bare LF|control character|obs-fold|is not a token|has no colon|the request line must be|NUL byte",
        ),
    ),
    Row(
        "chunks and trailers of a request",
        "refuses all that the grammar does not have, 400",
        "h11 reads trailers with folded lines and bare LF, and sizes of up to 20 digits",
        "native is stricter where two parsers could differ; what it accepts, it writes anew",
        "RFC 9112 section 7.1",
        lambda d: _refused(d.native, "size of a chunk|a chunk does not end|trailers are|line of a chunk"),
    ),
    Row(
        "white space before a chunk extension",
        "reads `5 ;a=b`, as BWS must be read; the extension does not go on",
        "h11 refuses it",
        "native is right",
        "RFC 9112 section 7.1.1, RFC 9110 section 5.6.3",
        lambda d: (
            re.search(rb"[0-9a-fA-F][ \t]+(;|\r\n)", d.case.sent + _answers(d)) is not None
            and (_refused(d.other, "chunk header") or _bad_answer(d.other, "chunk header"))
        ),
    ),
    Row(
        "a size of a chunk that no file has",
        "refuses more than 15 digits, or waits for the bytes of one of 15",
        "h11 reads up to 20 digits, and refuses a line that is too long in its own words",
        "both are bounded; native refuses earlier",
        "RFC 9112 section 7.1",
        lambda d: _bad_answer(d.native, "size of a chunk|line of a chunk"),
    ),
    Row(
        "methods that nobody knows",
        "llhttp refuses a method that is in no registry",
        "passes any token on",
        "both are acceptable: SCIM uses five methods, and all registered ones pass",
        "RFC 9110 section 9.1",
        lambda d: (
            _refused(d.native, "Invalid method|Expected space after method|Invalid char in|after method")
            or (d.native.status == 501 and d.native.end == "made")
        ),
    ),
    Row(
        "versions other than 1.0 and 1.1",
        "refuses them, 400 or 505",
        "505 where the line is well-formed, else 400",
        "both refuse and close; HTTP/0.9 and an HTTP/2 preface never get through",
        "RFC 9110 section 15.6.6",
        lambda d: (
            _refused(d.native, "is not HTTP/1.1|Invalid HTTP version|Expected HTTP")
            or (d.native.status == 505 and d.native.end == "made")
        ),
    ),
    Row(
        "what llhttp refuses beyond our grammar",
        "refuses it, 400: Transfer-Encoding with white space behind it, a target with `#` or a start llhttp does not know",
        "judges by our grammar and `forwarding` only",
        "native is right: a request must satisfy two independent readers",
        "RFC 9112 sections 3.2 and 6.1",
        lambda d: _refused(
            d.native, "Transfer-Encoding|Content-Length|url|URL|header value|header token|Missing expected|Data after"
        ),
    ),
    Row(
        "targets that are not ASCII",
        "refuses them, 400",
        "passes bytes above 127 on as they came",
        "native is right: such a target is no URI",
        "RFC 9112 section 3.2, RFC 3986 section 2",
        lambda d: _refused(d.native, "must be percent-encoded"),
    ),
    Row(
        "heads that are too large",
        "431 at 64 KiB or 200 fields",
        "431 at 64 KiB where the head is not complete yet; no limit on the number of fields",
        "both are bounded; native counts fields, too",
        "RFC 6585 section 5",
        lambda d: d.native.status == 431 and d.native.end == "made",
    ),
    Row(
        "HTTP/1.0 with keep-alive",
        "keeps the connection, and says so",
        "closes it after each answer",
        "both are acceptable; native serves old clients better",
        "RFC 9112 section 9.3, appendix C.2.2",
        lambda d: (
            _has_1_0(d)
            and (
                (
                    d.aspects == {"given"}
                    and _numbers(_but_connection(d.native.given)) == _numbers(_but_connection(d.other.given))
                )
                or d.other.end in {"waiting", "nothing"}
                or d.aspects <= {"open", "closed"}
            )
        ),
    ),
    Row(
        "a client that closed its sending half",
        "answers what is in flight, then closes",
        "takes it for gone, and drops the exchange",
        "native is right: half a close is no leaving",
        "RFC 9112 section 9.6",
        lambda d: (
            d.case.end == "half"
            and (d.other.end in {"gone", "waiting"} or d.aspects <= {"open", "closed", "bytes", "interim"})
        ),
    ),
    Row(
        "a client that left",
        "notes it in the order in which its bytes came",
        "may note it before or after the piece that was just under way",
        "both are acceptable: the bytes and the reset came together",
        "-",
        lambda d: d.case.end == "go",
    ),
    Row(
        "interim answers",
        "sends 100 (Continue) only while the body is not there yet; passes other 1xx on to HTTP/1.1 clients or leaves them out",
        "sends 100 (Continue) always; passes other 1xx on",
        "a server MAY omit 100 where it has the body already",
        "RFC 9110 sections 10.1.1 and 15.2",
        lambda d: d.aspects == {"interim"},
    ),
    Row(
        "answers with line ends that are none",
        "502: a bare CR or LF, a folded line, an empty line or a space too many is not read",
        "h11 takes a bare LF for a line end and skips empty lines, our reader joins folded lines",
        "both are acceptable: a proxy MUST either replace a folded answer by 502 or unfold it",
        "RFC 9112 sections 2.2 and 5.2",
        lambda d: _bad_answer(
            d.native,
            "bare CR or LF|bare LF|obs-fold|begins with|status line|has no colon|not a token|control character|head was not complete|the head is malformed|without an answer",
        ),
    ),
    Row(
        "answers whose head never ends",
        "waits for CRLF CRLF, or for the end of the connection",
        "takes two LF for the end of the head",
        "both are acceptable; the wait is bounded by the time limit for answers",
        "RFC 9112 section 2.2",
        lambda d: d.native.end in {"waiting", "nothing"} and re.search(rb"\n\r?\n", _answers(d)) is not None,
    ),
    Row(
        "chunks and trailers of an answer",
        "502 or a cut where the grammar is broken",
        "h11 reads folded trailers and bare LF",
        "native is stricter; nothing malformed reaches the client from either",
        "RFC 9112 section 7.1",
        lambda d: (
            _bad_answer(d.native, "a chunk does not end|trailers are|more than 200|longer than")
            or (
                _bad_answer(d.native, "in the middle of its answer")
                and re.search(rb"(?<!\r)\n", _answers(d)) is not None
            )
        ),
    ),
    Row(
        "an upstream that speaks TLS",
        "tells it from the first bytes",
        "waits for a line",
        "native is right: the words say what to do, at once",
        "-",
        lambda d: _bad_answer(d.native, "answers with TLS"),
    ),
    Row(
        "an answer before the end of its request",
        "passes a request on as it comes, so an early answer may come before the client's last byte, and ends the connection",
        "holds a small request until it is whole",
        "both are acceptable: an early answer is given, and the rest of its request is not taken for another one",
        "RFC 9112 section 9.5",
        lambda d: (
            any(answer.early for answer in d.case.answers)
            and (
                "waiting" in {d.native.end, d.other.end}
                or (d.native.end == "passed" and _refused(d.other, "the request is not valid"))
                or d.aspects <= {"body", "given", "trailers", "closed", "sent"}
            )
        ),
    ),
    Row(
        "leading zeros in the length of an answer",
        "passes `05` on",
        "writes the number anew",
        "both are acceptable: the grammar is 1*DIGIT, and both read the same number",
        "RFC 9110 section 8.6",
        lambda d: d.aspects == {"given"} and _numbers(d.native.given) == _numbers(d.other.given),
    ),
    Row(
        "trailers that speak of framing",
        "leaves Content-Length, Transfer-Encoding, Host and the like out of trailers",
        "h11 refuses a trailer section in which they are malformed or contradict each other; others are left out",
        "native is right: such fields mean nothing in trailers, and must not be merged",
        "RFC 9110 sections 6.5.1 and 6.5.2",
        lambda d: (
            re.search(rb"(?i)\n(content-length|transfer-encoding|host):", d.case.sent + _answers(d)) is not None
            and re.search(r"Content-Length|Transfer-Encoding|framing", d.other.detail) is not None
            and (d.other.status == 400 or _bad_answer(d.other))
        ),
    ),
    Row(
        "when a long answer begins",
        "begins to pass an answer on when 1 MiB of it has come",
        "begins at once where more than 1 MiB is announced",
        "both are acceptable: until an answer has begun, the client can still be told in words that it broke off",
        "RFC 9112 section 8",
        lambda d: d.aspects == {"bytes"} and re.search(rb"(?i)content-length:[ \t]*\d{7,}", _answers(d)) is not None,
    ),
    Row(
        "a bare LF that ends a trailer section",
        "waits for CRLF, or for the end",
        "takes it",
        "native is stricter, and bounded by the time limit for requests",
        "RFC 9112 section 2.2",
        lambda d: (
            d.native.end in {"waiting", "gone", "nothing"} and re.search(rb"(?<!\r)\n", d.case.sent) is not None
        ),
    ),
    Row(
        "framing of an answer",
        "502 where Content-Length or Transfer-Encoding is no single valid value",
        "the same, in the words and at the moment of its own reader",
        "both refuse what cannot be framed",
        "RFC 9112 section 6.3",
        lambda d: _bad_answer(d.native) and _bad_answer(d.other),
    ),
    Row(
        "both sides are malformed at once",
        "tells of the upstream's answer, which came before the client's next bytes",
        "tells of the client's next bytes",
        "both are right: one fault ends an exchange, and which one is seen first is chance",
        "RFC 9112 section 9.5",
        lambda d: (
            d.aspects <= {"failure", "reason", "status", "headers", "body"}
            and any(answer.early for answer in d.case.answers)
            and _bad_answer(d.native, "not valid HTTP")
            and _refused(d.other, "not valid HTTP")
        ),
    ),
]


def explain(difference: Difference) -> Row | None:
    """Return the row that a difference fits; None where it is unexplained."""
    return next((row for row in ROWS if row.fits(difference)), None)
