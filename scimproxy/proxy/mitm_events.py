"""The words that the layers of the mitmproxy engine say to each other, and the heads they are made of.

One rule: a head that two parsers could read differently is refused for clients; for upstreams it is a `HeadError`,
which becomes a failure in words. Responses are read more kindly: folded lines are joined (RFC 9112 section 5.2).
"""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from mitmproxy.proxy import commands, events
from mitmproxy.proxy.layers.http import GetHttpConnection
from mitmproxy.proxy.layers.http._base import HttpEvent
from mitmproxy.proxy.layers.http._events import RequestHeaders

from scimproxy.errors import ScimproxyError
from scimproxy.exchange import Failure, Headers, Request, Response
from scimproxy.proxy.engine import Target
from scimproxy.proxy.forwarding import Framing, Refusal, safe_trailers
from scimproxy.proxy.mitm_details import Note

__all__ = [
    "Abort",
    "Ask",
    "ClientData",
    "ClientEnd",
    "ClientFinish",
    "ClientGone",
    "ClientHead",
    "ClientSilent",
    "Cut",
    "Due",
    "Give",
    "HeadError",
    "Interim",
    "More",
    "Reach",
    "TimedOut",
    "UpstreamData",
    "UpstreamEnd",
    "UpstreamFailed",
    "UpstreamHead",
    "Wait",
    "read_request_head",
    "read_response_head",
    "written_answer",
    "written_chunk",
    "written_headers",
    "written_last_chunk",
]


class HeadError(Exception):
    """A head that is refused; the reason in words, and the request as far as it is known."""

    def __init__(self, detail: str, *, status_code: int = 400, request: Request | None = None) -> None:
        super().__init__(detail)
        self.refusal = Refusal(status_code, detail)
        self.request = request


# -- from the client's side ---------------------------------------------------------------------------------------


class ClientHead(RequestHeaders):
    """A request begins; `bad` is why it cannot be understood. Times are those of its first byte.

    `framing` is how its body ends; HTTP/2 has its own way, which is called "chunked" or "length" here, too.
    """

    def __init__(
        self,
        stream_id: int,
        request: Request,
        *,
        at: float,
        at_m: float,
        framing: Framing,
        bad: Refusal | None = None,
    ) -> None:
        self.stream_id = stream_id
        self.head = request
        self.at = at
        self.at_m = at_m
        self.framing = framing
        self.bad = bad


@dataclass
class ClientData(HttpEvent):
    """A piece of the request's body."""

    data: bytes


@dataclass
class ClientEnd(HttpEvent):
    """The request is complete; `wire_bytes` is None where the protocol does not tell."""

    trailers: Headers | None
    wire_bytes: int | None


@dataclass
class ClientGone(HttpEvent):
    """The client closed its connection, broke the framing of its body, or fell silent inside it (`problem`).

    `reset` is the code with which it gave up this one exchange (HTTP/2).
    """

    problem: str | None = None
    status_code: int = 400
    reset: str | None = None


class ClientSilent(events.Event):
    """From outside: the client sent nothing for as long as its connection's state allows."""


@dataclass
class Give(HttpEvent):
    """To the client's side: a piece of the answer (its head, where one is given), in one write.

    `framing` is how the body ends; `last` says that it does, with these trailers.
    """

    data: bytes
    framing: Framing
    head: Response | None = None
    last: bool = False
    trailers: Headers | None = None


@dataclass
class Interim(HttpEvent):
    """To the stream, and from there to the client's side: an interim answer, 1xx (RFC 9110 section 15.2)."""

    response: Response


@dataclass
class Cut(HttpEvent):
    """To the client's side: the answer ends here, in the middle, and the client must notice."""


@dataclass
class ClientFinish(HttpEvent):
    """To the client's side: the answer is written; the connection goes on, or ends."""

    close: bool


# -- from the upstream's side -------------------------------------------------------------------------------------


@dataclass
class UpstreamHead(HttpEvent):
    """The head of the final answer came, its first byte at `first_m`."""

    response: Response
    framing: Framing
    length: int | None
    first_m: float


@dataclass
class UpstreamData(HttpEvent):
    """A piece of the answer's body."""

    data: bytes


@dataclass
class UpstreamEnd(HttpEvent):
    """The answer is complete."""

    trailers: Headers | None
    wire_bytes: int | None


@dataclass
class UpstreamFailed(HttpEvent):
    """No whole answer will come.

    `untouched`: the connection closed and not one byte of an answer came. `unseen`: the upstream says that it has
    not looked at the request (RFC 9113 section 8.7), so that any method may be sent again.
    """

    failure: Failure
    untouched: bool
    unseen: bool = False


@dataclass
class Ask(HttpEvent):
    """To the upstream's side: a request's head, and how its body ends; "none" where there is no body."""

    request: Request
    framing: Framing


@dataclass
class More(HttpEvent):
    """To the upstream's side: a piece of the request's body; `last` says that it ends, with these trailers."""

    data: bytes
    last: bool = False
    trailers: Headers | None = None


@dataclass
class Abort(HttpEvent):
    """To the upstream's side: this exchange is over, close the connection."""

    reason: str


@dataclass
class TimedOut(HttpEvent):
    """From outside: the upstream did nothing for `response_timeout_s`."""


@dataclass
class Due(HttpEvent):
    """From outside: what an intervention waited for has come, its delay or the end of a second delivery."""


# -- commands -----------------------------------------------------------------------------------------------------


class Reach(GetHttpConnection):
    """Wants an upstream connection for a method; `note` tells of it, also where it failed."""

    method: str
    fresh: bool
    target: Target
    server_name: str
    http2: bool
    note: Note | None = None

    @classmethod
    def of(cls, target: Target, method: str, *, server_name: str | None, fresh: bool, http2: bool) -> Reach:
        """Return the wish; with `http2` that is offered in the TLS handshake."""
        reach = cls((target.host, target.port), target.scheme == "https", None)
        reach.method, reach.fresh, reach.target = method, fresh, target
        reach.server_name, reach.http2 = server_name or target.host, http2
        return reach


@dataclass
class Wait(commands.StartHook):  # type: ignore[no-untyped-call]  # mitmproxy registers hook classes, untyped
    """Lets the stream wait for something of ours; `problem` is what came of it."""

    work: Callable[[], Awaitable[ScimproxyError | None]]
    problem: ScimproxyError | None = None
    name = "scimproxy_wait"


# -- heads --------------------------------------------------------------------------------------------------------

_TOKEN = re.compile(rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")
_REQUEST_LINE = re.compile(rb"([!#$%&'*+\-.^_`|~0-9A-Za-z]+) ([^\x00-\x20\x7f]+) HTTP/(\d\.\d)")
_STATUS_LINE = re.compile(rb"HTTP/(1\.[01]) ([1-9]\d\d)(?: (.*))?", re.DOTALL)
_CONTROL = re.compile(rb"[\x00-\x08\x0a-\x1f\x7f]")


def read_request_head(lines: list[bytes]) -> Request:
    """Return a request without its content.

    Raises:
        HeadError: the head is malformed; `request` is set where at least the first line is not.
    """
    matched = _REQUEST_LINE.fullmatch(lines[0])
    if matched is None:
        raise HeadError(f"the request line {lines[0][:100].decode('latin-1')!r} is malformed")
    method, target, version = (part.decode("latin-1") for part in matched.groups())
    request = Request(method=method, target=target, http_version=version)
    if version not in {"1.0", "1.1"}:
        raise HeadError(f"HTTP/{version} is not supported here, only HTTP/1.1", status_code=505, request=request)
    pairs = []
    for line in lines[1:]:
        name, colon, value = line.partition(b":")
        if not colon or _TOKEN.fullmatch(name) is None:
            raise HeadError(f"the header line {line[:40].decode('latin-1')!r} is malformed", request=request)
        value = value.strip(b" \t")
        if _CONTROL.search(value) is not None:
            raise HeadError(f"the header field {name.decode()!r} holds a control character", request=request)
        pairs.append((name, value))
    return Request(method=method, target=target, http_version=version, headers=Headers.from_raw(pairs))


def read_response_head(lines: list[bytes]) -> Response:
    """Return a response without its content.

    Raises:
        HeadError: the head is malformed.
    """
    matched = _STATUS_LINE.fullmatch(lines[0])
    if matched is None:
        raise HeadError(f"the status line is {lines[0][:100].decode('latin-1')!r}")
    version, status, reason = matched.groups()
    pairs: list[tuple[bytes, bytes]] = []
    for line in lines[1:]:
        if line[:1] in {b" ", b"\t"} and pairs:
            name, value = pairs.pop()
            value = value + b" " + line.strip(b" \t")
        else:
            name, colon, value = line.partition(b":")
            if not colon or _TOKEN.fullmatch(name) is None:
                raise HeadError(f"the header line {line[:100].decode('latin-1')!r} is malformed")
            value = value.strip(b" \t")
        if _CONTROL.search(value) is not None:
            raise HeadError(f"the header field {name.decode()!r} holds a control character")
        pairs.append((name, value))
    return Response(
        status_code=int(status),
        reason=(reason or b"").decode("latin-1"),
        http_version=version.decode(),
        headers=Headers.from_raw(pairs),
    )


def written_headers(first_line: str, headers: Headers) -> bytes:
    """Return a head as bytes."""
    fields = "".join(f"{name}: {value}\r\n" for name, value in headers)
    return f"{first_line}\r\n{fields}\r\n".encode("latin-1")


def written_answer(response: Response) -> bytes:
    """Return the head of an answer as bytes."""
    return written_headers(f"HTTP/1.1 {response.status_code} {response.reason}", response.headers)


def written_chunk(data: bytes) -> bytes:
    """Return a piece of a body as one chunk (RFC 9112 section 7.1)."""
    return b"%x\r\n%b\r\n" % (len(data), data)


def written_last_chunk(trailers: Headers | None) -> bytes:
    """Return the end of a chunked body; trailers that could change its meaning stay behind."""
    kept = safe_trailers(trailers)
    return b"0\r\n\r\n" if not kept else written_headers("0", kept)
