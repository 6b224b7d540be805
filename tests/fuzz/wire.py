"""Independent readers of what travelled: nothing of scimproxy is used here.

`requests_in` reads what an upstream got by a grammar of what a plain sender may write (and nothing else);
`h11_requests` and `h11_answers` let h11 read the same bytes.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field

import h11

__all__ = ["Answered", "Asked", "Seen", "h11_answers", "h11_requests", "requests_in"]

_TOKEN = rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]+"
_LINE = re.compile(rb"(%b) (/[\x21-\x7e]*|\*) HTTP/1\.1\r\n" % _TOKEN)
_FIELD = re.compile(rb"(%b): ([^\r\n\x00-\x08\x0b\x0c\x0e-\x1f\x7f]*)\r\n" % _TOKEN)
_SIZE = re.compile(rb"(0|[1-9a-f][0-9a-f]{0,14})\r\n")
Pairs = list[tuple[bytes, bytes]]
HUGE = 10_000_000


@dataclass
class Asked:
    """A request as somebody read it."""

    method: bytes
    target: bytes
    version: bytes
    headers: Pairs
    body: bytes = b""
    trailers: Pairs = field(default_factory=list)
    whole: bool = False

    def get(self, name: bytes) -> list[bytes]:
        return [value for have, value in self.headers if have.lower() == name]


@dataclass
class Seen:
    """What a connection of the upstream got: its requests (the last one maybe not whole), and what is wrong."""

    requests: list[Asked]
    problem: str | None = None


def requests_in(data: bytes) -> Seen:
    """Read canonical requests; anything that a plain sender would not write is a problem."""
    seen = Seen([])
    at = 0
    while at < len(data):
        end = data.find(b"\r\n\r\n", at)
        if end < 0:
            return seen  # half a head: the engine writes heads whole, but the socket may cut
        head = data[at : end + 4]
        line = _LINE.match(head)
        if line is None:
            seen.problem = f"request line {head[:80]!r}"
            return seen
        asked = Asked(line[1], line[2], b"1.1", [])
        place = line.end()
        while (one := _FIELD.match(head, place)) is not None:
            asked.headers.append((one[1], one[2]))
            place = one.end()
        if head[place:] != b"\r\n":
            seen.problem = f"field {head[place : place + 80]!r}"
            return seen
        seen.requests.append(asked)
        seen.problem = _framing(asked)
        if seen.problem is not None:
            return seen
        at = end + 4
        if asked.get(b"transfer-encoding"):
            at, seen.problem = _chunks(data, at, asked)
        else:
            size = int((asked.get(b"content-length") or [b"0"])[0])
            asked.body = data[at : at + size]
            asked.whole = len(asked.body) == size
            at += size
        if seen.problem is not None or not asked.whole:
            return seen
    return seen


def _framing(asked: Asked) -> str | None:
    lengths, codings = asked.get(b"content-length"), asked.get(b"transfer-encoding")
    if len(asked.get(b"host")) != 1:
        return "not exactly one Host"
    if lengths and codings:
        return "both framings"
    if len(lengths) > 1 or (lengths and re.fullmatch(rb"[0-9]{1,18}", lengths[0]) is None):
        return f"Content-Length {lengths!r}"
    if codings and codings != [b"chunked"]:
        return f"Transfer-Encoding {codings!r}"
    for name in (b"upgrade", b"te", b"keep-alive", b"proxy-connection", b"expect", b"trailer-x"):
        if asked.get(name):
            return f"{name!r} reached the upstream"
    for value, name in asked.headers:
        if value != value.strip(b" \t") or name != name.strip(b" \t"):
            return f"white space around {name!r}"
    return None


def _chunks(data: bytes, at: int, asked: Asked) -> tuple[int, str | None]:
    while True:
        end = data.find(b"\r\n", at)
        if end < 0:
            return at, None
        size = _SIZE.fullmatch(data, at, end + 2)
        if size is None:
            return at, f"chunk size {data[at : end + 2]!r}"
        count, at = int(size[1], 16), end + 2
        if not count:
            break
        if len(data) < at + count + 2:
            return at, None
        asked.body += data[at : at + count]
        if data[at + count : at + count + 2] != b"\r\n":
            return at, "a chunk without its CRLF"
        at += count + 2
    while True:
        end = data.find(b"\r\n", at)
        if end < 0:
            return at, None
        if end == at:
            asked.whole = True
            return at + 2, None
        one = _FIELD.fullmatch(data, at, end + 2)
        if one is None:
            return at, f"trailer {data[at : end + 2]!r}"
        asked.trailers.append((one[1], one[2]))
        at = end + 2


def h11_requests(data: bytes) -> Seen:
    """Let h11 read the requests of a connection."""
    conn = h11.Connection(h11.SERVER, max_incomplete_event_size=HUGE)
    seen = Seen([])
    while data[:2] == b"\r\n":  # RFC 9112 section 2.2
        data = data[2:]
    conn.receive_data(data)
    asked: Asked | None = None
    try:
        while True:
            event = conn.next_event()
            if isinstance(event, h11.Request):
                asked = Asked(event.method, event.target, event.http_version, list(event.headers.raw_items()))
                seen.requests.append(asked)
            elif isinstance(event, h11.Data):
                assert asked is not None
                asked.body += bytes(event.data)
            elif isinstance(event, h11.EndOfMessage):
                assert asked is not None
                asked.whole = True
                asked.trailers = list(event.headers.raw_items())
                conn.send(h11.Response(status_code=200, headers=[(b"content-length", b"0")]))
                conn.send(h11.EndOfMessage())
                if conn.our_state is not h11.DONE or conn.their_state is not h11.DONE:
                    kept = [value.lower() for value in asked.get(b"connection")]
                    if (
                        asked.version != b"1.0"
                        or not any(b"keep-alive" in value for value in kept)
                        or any(b"close" in value for value in kept)
                    ):
                        return seen  # h11 itself keeps no connection of HTTP/1.0
                    fresh = h11_requests(bytes(conn.trailing_data[0]))
                    return Seen(seen.requests + fresh.requests, fresh.problem)
                conn.start_next_cycle()
                rest = bytes(conn.trailing_data[0])
                skipped = rest
                while skipped[:2] == b"\r\n":
                    skipped = skipped[2:]
                if skipped != rest:
                    fresh = h11_requests(skipped)
                    return Seen(seen.requests + fresh.requests, fresh.problem)
            else:
                return seen
    except h11.ProtocolError as exc:
        seen.problem = str(exc)
        return seen


@dataclass
class Answered:
    """An answer as h11 read it."""

    status_code: int
    reason: bytes
    headers: Pairs
    interim: list[int]
    body: bytes = b""
    trailers: Pairs = field(default_factory=list)
    whole: bool = False

    def get(self, name: bytes) -> list[bytes]:
        return [value for have, value in self.headers if have.lower() == name]


def h11_answers(data: bytes, methods: list[bytes], *, ended: bool) -> tuple[list[Answered], str | None]:
    """Let h11 read the answers to requests with these methods; return them, and what is wrong."""
    answers: list[Answered] = []
    for number, method in enumerate([*methods, b"GET"]):
        if not data:
            return answers, None
        if number == len(methods):
            return answers, f"more answers than requests: {data[:80]!r}"
        conn = h11.Connection(h11.CLIENT, max_incomplete_event_size=HUGE)
        conn.send(
            h11.Request(
                method=b"GET" if method == b"CONNECT" or not method.isalpha() else method,
                target=b"/",
                headers=[(b"host", b"h")],
            )
        )
        conn.send(h11.EndOfMessage())
        conn.receive_data(data)
        if ended:
            conn.receive_data(b"")
        interim: list[int] = []
        one: Answered | None = None
        try:
            while True:
                event = conn.next_event()
                if isinstance(event, h11.InformationalResponse):
                    interim.append(event.status_code)
                elif isinstance(event, h11.Response):
                    one = Answered(event.status_code, event.reason, list(event.headers.raw_items()), interim)
                    answers.append(one)
                elif isinstance(event, h11.Data):
                    assert one is not None
                    one.body += bytes(event.data)
                elif isinstance(event, h11.EndOfMessage):
                    assert one is not None
                    one.whole = True
                    one.trailers = list(event.headers.raw_items())
                    data = bytes(conn.trailing_data[0])
                    break
                else:
                    return answers, None
        except h11.ProtocolError as exc:
            return answers, str(exc)
    return answers, None
