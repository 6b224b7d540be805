"""Heads judged once: clients and servers send the same header block again and again, so what follows is kept.

One rule: pure memory. The key is every byte that a judgement rests on, so a kept one is the one that would be made
again: the whole block, or what shapes.py leaves of it. Bounded in number and in size; what is forgotten is judged
anew.
"""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass, replace

from scimproxy.exchange import Headers, Request, Response, quick_request, quick_response
from scimproxy.proxy import forwarding
from scimproxy.proxy.engine import EngineOptions
from scimproxy.proxy.forwarding import Caller, Framing, Refusal
from scimproxy.proxy.http1 import (
    BodyReader,
    Head,
    HeadError,
    Kind,
    request_body,
    request_head,
    response_head,
    second_opinion,
    write_response_head,
)
from scimproxy.proxy.shapes import Form, Line, Lines, hollow, part_of

__all__ = ["Answer", "Answers", "Ask", "Asks", "given_to", "written_fields"]

_MOST = 512
_LONGEST = 8192
_MOST_SHAPES = 256
_METHODS = frozenset({"GET", "POST", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS"})


_SIGHTS = 4
"""So often a shape comes before something is made of it, which takes longer than to judge a block."""
_PATIENCE = 64
_RARELY = 16
"""After so many blocks of shapes that nothing was made of, only each so manieth is looked at."""


class _Shapes[T]:
    """What was made of shapes; a peer that sends a new one each time costs little more than without."""

    def __init__(self) -> None:
        self._known: dict[Hashable, T | int] = {}
        self._missed = 0

    def is_worth_it(self) -> bool:
        """Whether to look for the shape of a block."""
        if self._missed < _PATIENCE:
            return True
        self._missed += 1
        return not self._missed % _RARELY

    def get(self, key: Hashable) -> T | None:
        """Return what was made of a shape."""
        made = self._known.get(key)
        if made is None or isinstance(made, int):
            self._missed += 1
            return None
        self._missed = 0
        return made

    def is_due(self, key: Hashable) -> bool:
        """Whether to make it now, of a shape that has none."""
        known = self._known
        sights = known.get(key, 0)
        if not sights and len(known) >= _MOST_SHAPES:
            known.clear()
        if not isinstance(sights, int):
            return False
        known[key] = sights = sights + 1
        return sights == _SIGHTS

    def put(self, key: Hashable, made: T) -> None:
        """Keep what was made."""
        self._known[key] = made


@dataclass(slots=True)
class Ask:
    """What a header block of a request means for us; see `Asks.read`."""

    headers: Headers
    caller: Caller
    kind: Kind
    length: int
    close: bool
    expects: bool
    upstream: Headers
    upstream_fields: bytes

    def body(self) -> BodyReader:
        """Return a reader for the request's body."""
        return BodyReader(self.kind, self.length)


@dataclass(slots=True)
class _AskForm:
    """An Ask of a shape, and where the values of a block go."""

    model: Ask
    headers: Form
    upstream: Form
    length: int | None

    def filled(self, lines: list[Line]) -> Ask:
        model = self.model
        return Ask(
            self.headers.headers(lines),
            model.caller,
            model.kind,
            model.length if self.length is None else _length(lines[self.length]),
            model.close,
            model.expects,
            self.upstream.headers(lines),
            self.upstream.written(lines),
        )


def _is_whole(head: bytes) -> bool:
    """Whether a head is worth keeping, and ends as one does."""
    return len(head) <= _LONGEST and head.endswith(b"\r\n\r\n")


def _length(line: Line) -> int:
    """Return the number in a line with Content-Length."""
    return int(line[2][16:])


class Asks:
    """Reads request heads."""

    def __init__(self, options: EngineOptions) -> None:
        self._options = options
        self._known: dict[tuple[bytes, str | None], Ask] = {}
        self._lines = Lines()
        self._shapes = _Shapes[_AskForm]()

    def read(self, head: bytes, peer_host: str | None) -> tuple[Request, Ask | None, Refusal | None]:
        """Return the request of a head, and what its fields mean; or why it is refused.

        Raises:
            HeadError: the head is malformed.
        """
        line, _, block = head.partition(b"\r\n")
        plain = _plain_line(line)
        key = (block, peer_host)
        known = self._known.get(key)
        if plain is not None and known is not None:
            return quick_request(plain[0], plain[1], "1.1", known.headers), known, None
        keeps = plain is not None and _is_whole(head)
        lines = self._lines.read(block[:-4]) if keeps and self._shapes.is_worth_it() else []
        shape = tuple(map(part_of, lines)), peer_host
        form = self._shapes.get(shape) if lines else None
        if plain is not None and form is not None:
            known = self._keep(key, form.filled(lines))
            return quick_request(plain[0], plain[1], "1.1", known.headers), known, None
        read = request_head(head)
        request = Request(read.method, read.target, read.http_version, read.headers)
        refusal = forwarding.refuse_request(read.method, read.target, read.headers, read.http_version)
        if refusal is not None:
            return request, None, refusal
        second_opinion(head, read)
        ask = self._judge(read.headers, read.http_version, peer_host)
        if keeps:
            self._keep(key, ask)
        if lines and self._shapes.is_due(shape):
            self._learn(shape, ask, lines)
        return request, ask, None

    def _keep(self, key: tuple[bytes, str | None], ask: Ask) -> Ask:
        if len(self._known) >= _MOST:
            self._known.clear()
        self._known[key] = ask
        return ask

    def _learn(self, shape: tuple[Hashable, str | None], ask: Ask, lines: list[Line]) -> None:
        emptied = hollow(ask.headers, lines)
        if emptied is not None:
            headers, length = emptied
            model = self._judge(headers, "1.1", shape[1])
            forms = Form(headers, length), Form(model.upstream, length)
            self._shapes.put(shape, _AskForm(model, *forms, length))

    def _judge(self, headers: Headers, http_version: str, peer_host: str | None) -> Ask:
        caller = forwarding.caller_of(headers, peer_host, self._options)
        upstream = forwarding.upstream_headers(headers, caller, self._options)
        reader = request_body(headers)
        if reader.kind == "chunked":
            upstream = forwarding.framed(upstream, "chunked")
        expects = http_version == "1.1" and (headers.get("expect") or "").lower() == "100-continue"
        upstream = upstream.without("expect")  # expectations are ours to meet (RFC 9110 section 10.1.1)
        return Ask(
            headers=headers,
            caller=caller,
            kind=reader.kind,
            length=reader.left,
            close=forwarding.wants_close(headers, http_version),
            expects=expects,
            upstream=upstream,
            upstream_fields=written_fields(upstream),
        )


def _plain_line(line: bytes) -> list[str] | None:
    """Return method, target and version of a request line as nearly all are: a path of visible ASCII, HTTP/1.1."""
    if not line.isascii():
        return None
    text = line.decode("ascii")
    parts = text.split(" ")
    if len(parts) == 3 and parts[2] == "HTTP/1.1" and parts[0] in _METHODS and parts[1][:1] == "/":
        return parts if text.isprintable() else None
    return None


def written_fields(headers: Headers) -> bytes:
    """Return the fields of a head as bytes, with the empty line that ends it."""
    return "".join([f"{name}: {value}\r\n" for name, value in headers.pairs]).encode("latin-1") + b"\r\n"


@dataclass(slots=True)
class Answer:
    """What the head of an answer means for us; `given` is what the client gets, without its content."""

    came: Response
    framing: Framing
    length: int
    reusable: bool
    client_framing: Framing
    given: Response
    given_head: bytes
    close: bool


@dataclass(slots=True)
class _AnswerForm:
    """An Answer of a shape, and where the values of a block go; `given` is None where the client gets the same."""

    model: Answer
    came: Form
    given: Form | None
    written: Form
    length: int | None

    def filled(self, lines: list[Line]) -> Answer:
        model = self.model
        one, other = model.came, model.given
        came = quick_response(one.status_code, one.reason, one.http_version, self.came.headers(lines))
        fields = came.headers if self.given is None else self.given.headers(lines)
        given = quick_response(other.status_code, other.reason, other.http_version, fields)
        return Answer(
            came,
            model.framing,
            model.length if self.length is None else _length(lines[self.length]),
            model.reusable,
            model.client_framing,
            given,
            self.written.written(lines),
            model.close,
        )


class Answers:
    """Reads heads of answers."""

    def __init__(self) -> None:
        self._known: dict[tuple[bytes, bool, bool, bool], Answer] = {}
        self._lines = Lines()
        self._shapes = _Shapes[_AnswerForm]()

    def read(self, head: bytes, *, method: str, http_version: str, close: bool) -> Answer:
        """Return what a head means, to a client of this version, on a connection that closes after it or not.

        Raises:
            HeadError: the head is malformed, or contradicts itself in a way that cannot be read safely.
            ValueError: its framing cannot be understood.
        """
        key = (head, method == "HEAD", http_version == "1.0", close)
        known = self._known.get(key)
        if known is not None:
            return known
        if not _is_whole(head):
            return self._judged(response_head(head), method, http_version, close=close)
        first, _, block = head.partition(b"\r\n")
        lines = self._lines.read(block[:-4]) if self._shapes.is_worth_it() else []
        shape = first, tuple(map(part_of, lines)), *key[1:]
        form = self._shapes.get(shape) if lines else None
        if form is not None:
            made = form.filled(lines)
        else:
            read = response_head(head)
            made = self._judged(read, method, http_version, close=close)
            if lines and self._shapes.is_due(shape) and read.status_code != 204:  # whose length is judged (`suspect`)
                emptied = hollow(read.headers, lines)
                if emptied is not None:
                    read.headers, length = emptied
                    model = self._judged(read, method, http_version, close=close)
                    self._shapes.put(shape, _form_of(model, length))
        if len(self._known) >= _MOST:
            self._known.clear()
        self._known[key] = made
        return made

    @staticmethod
    def _judged(read: Head, method: str, http_version: str, *, close: bool) -> Answer:
        if read.status_code == 101:
            raise HeadError(502, "it switches protocols, which nobody asked for")
        framing, length = forwarding.response_framing(method, read.status_code, read.headers)
        came = Response(read.status_code, read.reason, read.http_version, read.headers)
        given, client_framing, closes = given_to(came, framing, http_version, close=close)
        if given.headers == came.headers:  # one object then, so that nobody compares them again
            given = replace(given, headers=came.headers)
        return Answer(
            came=came,
            framing=framing,
            length=length or 0,
            reusable=framing != "close"
            and not forwarding.wants_close(read.headers, read.http_version)
            and not forwarding.suspect(read.status_code, read.headers),
            client_framing=client_framing,
            given=given,
            given_head=write_response_head(given.status_code, given.reason, given.headers),
            close=closes,
        )


def _form_of(model: Answer, length: int | None) -> _AnswerForm:
    given = model.given
    first = model.given_head.partition(b"\r\n")[0]
    return _AnswerForm(
        model,
        came=Form(model.came.headers, length),
        given=None if given.headers is model.came.headers else Form(given.headers, length),
        written=Form(given.headers, length, first),
        length=length if model.framing == "length" else None,
    )


def given_to(
    response: Response, framing: Framing, http_version: str, *, close: bool
) -> tuple[Response, Framing, bool]:
    """Return an answer as a client of this version gets it, how its body ends there, and whether that closes."""
    client_framing = forwarding.client_framing(framing, http_version)
    close = close or client_framing == "close"
    fields = forwarding.single_length(forwarding.end_to_end(response.headers))
    if response.status_code == 204:
        fields = fields.without("content-length")  # RFC 9110 section 8.6
    headers = forwarding.framed(fields, client_framing, close=close)
    if http_version == "1.0" and not close:
        headers = headers.with_added("Connection", "keep-alive")
    given = Response(response.status_code, response.reason, "1.1", headers)
    return given, client_framing, close
