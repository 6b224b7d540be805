"""The types that walk through the house: Headers, Content, Request, Response, Connection, Exchange, Run.

One rule: they are immutable values. Whoever changes something makes a new one (`dataclasses.replace`).
A `None` means "not known"; zero means zero. Times ending in `_at` are Unix seconds (UTC, float), durations
carry their unit in the name, texts of the wire are ISO-8859-1 so that every byte survives (RFC 9112 section 2.2).
No `repr` shows a secret: header values on the secret list, targets with credentials and contents stay out.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

__all__ = [
    "EMPTY",
    "HASH_LATER",
    "SECRET_HEADERS",
    "Certificate",
    "Connection",
    "Content",
    "Exchange",
    "Failure",
    "FailureKind",
    "Headers",
    "Origin",
    "Phase",
    "Request",
    "Response",
    "Rewrite",
    "Run",
    "RunKind",
    "State",
    "Timings",
    "Tls",
    "TunnelEvent",
    "fingerprint",
    "hashed",
    "quick_request",
    "quick_response",
    "unhashed",
]

SECRET_HEADERS = frozenset(
    {
        "authorization",
        "proxy-authorization",
        "cookie",
        "set-cookie",
        "x-api-key",
        "api-key",
        "apikey",
        "x-auth-token",
        "x-access-token",
        "x-amz-security-token",
        "x-csrf-token",
        "x-xsrf-token",
        "ngrok-authtoken",
    }
)
"""Lower-case names of header fields whose values are credentials."""

RunKind = Literal["record", "suite", "replay", "mock", "import", "demo"]
Origin = Literal["upstream", "proxy", "mock"]
State = Literal["pending", "complete", "aborted"]
Phase = Literal["dns", "connect", "tls", "send", "wait", "receive", "request", "respond"]
FailureKind = Literal["refused", "unreachable", "dns", "tls", "timeout", "closed", "protocol", "blocked", "internal"]


def fingerprint(secret: str | bytes) -> str:
    """Return the `sha256:xxxxxxxx` that stands for a secret everywhere outside the live process."""
    data = secret.encode("utf-8", "surrogateescape") if isinstance(secret, str) else secret
    return f"sha256:{hashlib.sha256(data).hexdigest()[:8]}"


class Headers:
    """Header fields of a message, immutable; order, case and duplicates are kept as they came.

    Names are compared without case (RFC 9110 section 5.1). Iterating gives `(name, value)` pairs.
    """

    __slots__ = ("_index", "_pairs")

    def __init__(self, pairs: Iterable[tuple[str, str]] = ()) -> None:
        self._pairs = tuple([(name, value) for name, value in pairs])
        self._index: dict[str, tuple[str, ...]] | None = None

    @classmethod
    def from_raw(cls, pairs: Iterable[tuple[bytes, bytes]]) -> Headers:
        """Return headers from the bytes of the wire."""
        return cls((name.decode("latin-1"), value.decode("latin-1")) for name, value in pairs)

    @classmethod
    def shared(cls, pairs: tuple[tuple[str, str], ...], by_name: dict[str, tuple[str, ...]] | None = None) -> Headers:
        """Return headers of these very fields, without a look at them, and of what `by_name` gives: for engines."""
        made = object.__new__(cls)
        made._pairs = pairs
        made._index = by_name
        return made

    @property
    def pairs(self) -> tuple[tuple[str, str], ...]:
        """All fields, in order."""
        return self._pairs

    @property
    def by_name(self) -> Mapping[str, tuple[str, ...]]:
        """The values of each field by its lower-case name; made once, because engines ask many times."""
        index = self._index
        if index is None:
            index = {}
            for name, value in self._pairs:
                lowered = name.lower()
                index[lowered] = (*index[lowered], value) if lowered in index else (value,)
            self._index = index
        return index

    def raw(self) -> tuple[tuple[bytes, bytes], ...]:
        """Return the bytes of the wire."""
        return tuple((name.encode("latin-1"), value.encode("latin-1")) for name, value in self._pairs)

    def get(self, name: str, default: str | None = None) -> str | None:
        """Return the first value of a field, or the default."""
        values = self.by_name.get(name.lower())
        return default if values is None else values[0]

    def get_all(self, name: str) -> tuple[str, ...]:
        """Return every value of a field, in order."""
        return self.by_name.get(name.lower(), ())

    def without(self, *names: str) -> Headers:
        """Return headers that lack these fields."""
        gone = {name.lower() for name in names}
        return Headers(pair for pair in self._pairs if pair[0].lower() not in gone)

    def with_field(self, name: str, value: str) -> Headers:
        """Return headers where the field has this one value: in place of its first occurrence, or at the end."""
        wanted = name.lower()
        pairs: list[tuple[str, str]] = []
        placed = False
        for have, old in self._pairs:
            if have.lower() != wanted:
                pairs.append((have, old))
            elif not placed:
                pairs.append((have, value))
                placed = True
        if not placed:
            pairs.append((name, value))
        return Headers(pairs)

    def with_added(self, name: str, value: str) -> Headers:
        """Return headers with one more field at the end."""
        return Headers((*self._pairs, (name, value)))

    def __iter__(self) -> Iterator[tuple[str, str]]:
        return iter(self._pairs)

    def __len__(self) -> int:
        return len(self._pairs)

    def __contains__(self, name: object) -> bool:
        return isinstance(name, str) and name.lower() in self.by_name

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Headers) and self._pairs == other._pairs

    def __hash__(self) -> int:
        return hash(self._pairs)

    def __repr__(self) -> str:
        shown = ((n, fingerprint(v) if n.lower() in SECRET_HEADERS else v) for n, v in self._pairs)
        return f"Headers([{', '.join(f'({n!r}, {v!r})' for n, v in shown)}])"


@dataclass(frozen=True, slots=True)
class Content:
    """The content of a message: bytes as they came, after transfer coding and before content coding is undone.

    `data` may be cut; then `size` (bytes) and `sha256` (hex) still speak of the whole. `redacted` says that
    secrets in `data` were replaced before storing; then `sha256` speaks of `data`, so that no hash of a secret
    is kept, and `size` is still what travelled.
    """

    data: bytes = b""
    size: int = 0
    sha256: str = ""
    redacted: bool = False

    @classmethod
    def of(cls, data: bytes) -> Content:
        """Return the content holding all of `data`."""
        return cls(data=data, size=len(data), sha256=hashlib.sha256(data).hexdigest())

    @property
    def truncated(self) -> bool:
        """Whether `data` is less than what travelled."""
        return not self.redacted and len(self.data) < self.size

    def __repr__(self) -> str:
        return f"Content(size={self.size}, sha256={self.sha256[:12]!r}, truncated={self.truncated})"


HASH_LATER = "later"
"""In place of the sha256 of a content on its way into the store: whoever writes its row hashes it (`hashed`)."""


class _ContentDraft:
    __slots__ = Content.__slots__


def unhashed(data: bytes) -> Content:
    """Return the content holding all of `data`, its hash left for later; quickly, as `quick_request` does."""
    made: Any = _ContentDraft()
    made.data, made.size, made.sha256, made.redacted = data, len(data), HASH_LATER, False
    made.__class__ = Content
    content: Content = made
    return content


EMPTY = Content.of(b"")


def hashed(content: Content) -> Content:
    """Return the content with its sha256, where that was left for later."""
    if content.sha256 != HASH_LATER:
        return content
    return Content(content.data, content.size, hashlib.sha256(content.data).hexdigest(), content.redacted)


@dataclass(frozen=True, slots=True)
class Request:
    """A request as the client sent it (RFC 9112 section 3).

    `target` is the request target as it came, `http_version` like `"1.1"`. `wire_bytes` counts the head, framing
    and trailers too; `None` where an engine cannot know.
    """

    method: str
    target: str
    http_version: str = "1.1"
    headers: Headers = field(default_factory=Headers)
    content: Content = EMPTY
    trailers: Headers | None = None
    wire_bytes: int | None = None

    @property
    def path(self) -> str:
        """The path of the target, still percent-encoded, without the query."""
        return self.target.partition("?")[0]

    @property
    def query(self) -> str | None:
        """The query of the target, still percent-encoded; None where there is no `?`."""
        _, mark, query = self.target.partition("?")
        return query if mark else None

    def __repr__(self) -> str:
        mark = "?..." if self.query else ""
        return f"Request({self.method!r}, {self.path + mark!r}, {self.headers!r}, {self.content!r})"


class _RequestDraft:
    __slots__ = Request.__slots__


def quick_request(method: str, target: str, http_version: str, headers: Headers) -> Request:
    """Return what `Request(...)` returns, in a fifth of its time: for engines.

    A frozen dataclass sets each field through `object.__setattr__`; this sets them in a class of the same layout.
    """
    made: Any = _RequestDraft()
    made.method, made.target, made.http_version, made.headers = method, target, http_version, headers
    made.content, made.trailers, made.wire_bytes = EMPTY, None, None
    made.__class__ = Request
    request: Request = made
    return request


@dataclass(frozen=True, slots=True)
class Response:
    """A response (RFC 9112 section 4). Whose it is, `Exchange.origin` says."""

    status_code: int
    reason: str = ""
    http_version: str = "1.1"
    headers: Headers = field(default_factory=Headers)
    content: Content = EMPTY
    trailers: Headers | None = None
    wire_bytes: int | None = None


class _ResponseDraft:
    __slots__ = Response.__slots__


def quick_response(status_code: int, reason: str, http_version: str, headers: Headers) -> Response:
    """Return what `Response(...)` returns, as `quick_request` does."""
    made: Any = _ResponseDraft()
    made.status_code, made.reason, made.http_version, made.headers = status_code, reason, http_version, headers
    made.content, made.trailers, made.wire_bytes = EMPTY, None, None
    made.__class__ = Response
    response: Response = made
    return response


@dataclass(frozen=True, slots=True)
class Timings:
    """Durations in milliseconds, with HAR's names; None where a phase did not happen or cannot be known.

    `dns`, `connect` and `tls` belong to the exchange that opened the upstream connection. `send` is until the
    request was written upstream, `wait` until the first byte of the answer, `receive` until its last,
    `total` from the request's first known moment to the release of the last byte to the client.
    """

    dns: float | None = None
    connect: float | None = None
    tls: float | None = None
    send: float | None = None
    wait: float | None = None
    receive: float | None = None
    total: float | None = None


@dataclass(frozen=True, slots=True)
class Certificate:
    """A certificate of a chain: what a person asks about it. `sha256` (hex, of the DER) is its key."""

    sha256: str
    subject: str
    issuer: str
    names: tuple[str, ...]
    not_before_at: float
    not_after_at: float
    der: bytes = field(default=b"", repr=False)


@dataclass(frozen=True, slots=True)
class Tls:
    """What a TLS handshake settled; `chain` is the peer's, leaf first."""

    version: str | None = None
    cipher: str | None = None
    alpn: str | None = None
    sni: str | None = None
    chain: tuple[Certificate, ...] = ()


@dataclass(frozen=True, slots=True)
class Connection:
    """One transport connection, on the client's or the upstream's side.

    `uid` is unique within the process that saw it (any text); the store gives it a row. `exchanges` counts those
    carried so far. `closed_by` is who ended it, `close_reason` why, in words.
    """

    uid: str
    side: Literal["client", "upstream"]
    peer_host: str | None = None
    peer_port: int | None = None
    local_host: str | None = None
    local_port: int | None = None
    server_name: str | None = None
    http_version: str | None = None
    opened_at: float | None = None
    closed_at: float | None = None
    closed_by: Literal["client", "upstream", "proxy"] | None = None
    close_reason: str | None = None
    exchanges: int | None = None
    tls: Tls | None = None


@dataclass(frozen=True, slots=True)
class Failure:
    """Why there is no (whole) answer from the upstream, as data. `message` is a sentence for a person."""

    kind: FailureKind
    message: str
    phase: Phase | None = None
    side: Literal["client", "upstream", "proxy"] = "upstream"


@dataclass(frozen=True, slots=True)
class Rewrite:
    """One value that the proxy changed on the way out: where (`header:Location` or a JSON pointer) and both forms."""

    place: str
    before: str
    after: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Exchange:
    """One request and what became of it.

    `request` is what the client sent, `response` what the client was given (where a fault reset its connection
    after the upstream had answered: that answer; the failure says that the client never saw it).
    `upstream_request_target` and `upstream_request_headers` are what we sent on; `upstream_response_headers` what
    came back, each only where it differs (None: the same). `client_index` and `upstream_index` are the 1-based
    numbers of this exchange on its connections: above 1, the connection was reused. `client_address` is the true
    client where something vouches for it, else the peer; `client_claim` is what unvouched headers say.
    `attempts` counts tries upstream (2 = retried once), None where there was none. `ended` says how the client's
    side ended, in words ("keep-alive", "closed by client before the answer", ...). `uid` is the engine's name for an
    exchange while it is in flight: a pending row becomes the final one by it.
    """

    request: Request
    response: Response | None = None
    failure: Failure | None = None
    state: State = "complete"
    origin: Origin | None = None
    started_at: float
    ended_at: float | None = None
    timings: Timings = Timings()
    client_connection: Connection | None = None
    client_index: int | None = None
    upstream_connection: Connection | None = None
    upstream_index: int | None = None
    upstream_address: str | None = None
    client_address: str | None = None
    client_claim: str | None = None
    scheme: str | None = None
    host: str | None = None
    upstream_request_target: str | None = None
    upstream_request_headers: Headers | None = None
    upstream_response_headers: Headers | None = None
    rewrites: tuple[Rewrite, ...] = ()
    attempts: int | None = None
    ended: str | None = None
    client: str | None = None
    note: str | None = None
    tags: tuple[str, ...] = ()
    uid: str | None = None
    id: int | None = None
    seq: int | None = None
    run_id: int | None = None
    parent_id: int | None = None
    extra: tuple[tuple[str, str], ...] = ()
    """Members of an imported file that no field holds, as (name, JSON text): so that export loses nothing."""

    @property
    def reused(self) -> bool | None:
        """Whether the upstream connection had carried an exchange before; None where that is not known."""
        return None if self.upstream_index is None else self.upstream_index > 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """Whatever makes exchanges: a recording, a suite, a replay, a mock, an import."""

    kind: RunKind
    name: str
    started_at: float
    ended_at: float | None = None
    target: str | None = None
    public_url: str | None = None
    engine: str | None = None
    version: str | None = None
    note: str | None = None
    source_run_id: int | None = None
    lost: int = 0
    exchange_count: int | None = None
    id: int | None = None

    @property
    def seen_in(self) -> int | None:
        """The recording that this run of a suite was seen in, and whose exchanges its steps have; None: its own."""
        return self.source_run_id if self.kind == "suite" else None


@dataclass(frozen=True, slots=True, kw_only=True)
class TunnelEvent:
    """A change of the tunnel's state, with its time."""

    at: float
    state: str
    url: str | None = None
    message: str | None = None
    run_id: int | None = None
    id: int | None = None
