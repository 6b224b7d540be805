"""An exchange while it is under way: what an engine notes about it, and the Exchange made of that.

One rule: neutral and without a clock. It knows no engine's library; times are given to it (monotonic seconds for
durations, Unix seconds for moments). An engine makes one per request, fills it, and records `exchange()` once.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

from scimproxy.exchange import (
    EMPTY,
    Connection,
    Exchange,
    Failure,
    Headers,
    Origin,
    Request,
    Response,
    Rewrite,
    State,
    Timings,
)
from scimproxy.passed import Passed
from scimproxy.proxy.forwarding import Caller, Tap

__all__ = ["Link", "Passage"]


@dataclass(slots=True)
class Link:
    """The upstream connection of a passage: what it is, this exchange's number on it, and what opening it took.

    The three durations (milliseconds) are given only by the exchange that opened it.
    """

    connection: Connection
    index: int | None = None
    dns_ms: float | None = None
    connect_ms: float | None = None
    tls_ms: float | None = None


_ANNOUNCED = 256 * 1024
"""An exchange in flight is announced with at most so much of its request's body: the whole comes when it ends."""


@dataclass(slots=True)  # not by keywords only: they double what making one takes
class Passage:
    """An exchange under way. Names ending in `_m` are monotonic seconds, None until it happened."""

    uid: str
    request: Request
    caller: Caller
    started_at: float
    started_m: float
    client_connection: Connection
    client_index: int
    request_tap: Tap
    response_tap: Tap
    request_trailers: Headers | None = None
    request_wire: int = 0
    response_wire: int = 0
    upstream_target: str | None = None
    upstream_headers: Headers | None = None
    link: Link | None = None
    attempts: int | None = None
    ready_m: float | None = None
    sent_m: float | None = None
    first_m: float | None = None
    last_m: float | None = None
    came: Response | None = None
    given: Response | None = None
    origin: Origin | None = None
    failure: Failure | None = None
    rewrites: tuple[Rewrite, ...] = ()
    ended: str | None = None

    def exchange(self, *, at: float, now_m: float, state: State = "complete") -> Exchange:
        """Return the exchange as it stands; `at` (Unix) and `now_m` (monotonic) are this moment."""
        pending = state == "pending"
        head = self.request
        request = Request(
            head.method,
            head.target,
            head.http_version,
            head.headers,
            self.request_tap.content(_ANNOUNCED if pending else None),
            self.request_trailers,
            self.request_wire or None,
        )
        came = self.came.headers if self.came is not None else None
        given = self.given.headers if self.given is not None else None
        return Exchange(
            request=request,
            response=None if pending else self.given,
            failure=None if pending else self.failure,
            state=state,
            origin=None if pending else self.origin,
            started_at=self.started_at,
            ended_at=None if pending else at,
            timings=self._timings(None if pending else now_m),
            client_connection=self.client_connection,
            client_index=self.client_index,
            upstream_connection=self.link.connection if self.link is not None else None,
            upstream_index=self.link.index if self.link is not None else None,
            upstream_address=self._address(),
            client_address=self.caller.address,
            client_claim=self.caller.claim,
            scheme=self.caller.scheme,
            host=self.caller.host,
            upstream_request_target=self._unless_same(self.upstream_target),
            upstream_request_headers=None if self.upstream_headers == request.headers else self.upstream_headers,
            upstream_response_headers=None if pending or came is given or came == given else came,
            rewrites=() if pending else self.rewrites,
            attempts=self.attempts,
            ended=None if pending else self.ended,
            uid=self.uid,
        )

    def passed(self, *, at: float, now_m: float) -> Passed | None:
        """Return the same, flat, of one that ended as most do; None where there is more to tell of it."""
        head, given, came, link, caller = self.request, self.given, self.came, self.link, self.caller
        if given is None:
            return None
        if self.failure is not None or self.rewrites or self.request_trailers is not None:
            return None
        if given.trailers is not None:
            return None
        connection = index = address = dns_ms = connect_ms = tls_ms = None
        if link is not None:
            connection, index, address = link.connection, link.index, self._address()
            dns_ms, connect_ms, tls_ms = link.dns_ms, link.connect_ms, link.tls_ms
        fields, sent, target = head.headers, self.upstream_headers, head.target
        return Passed(
            self.uid,
            head.method,
            target,
            head.http_version,
            fields,
            self.request_tap.unhashed() if self.request_tap.size else EMPTY,
            self.request_wire or None,
            given.status_code,
            given.reason,
            given.http_version,
            given.headers,
            self.response_tap.unhashed(),
            self.response_wire or None,
            self.origin,
            self.started_at,
            at,
            dns_ms,
            connect_ms,
            tls_ms,
            _between(self.ready_m, self.sent_m),
            _between(self.sent_m, self.first_m),
            _between(self.first_m, self.last_m),
            _between(self.started_m, now_m),
            self.client_connection,
            self.client_index,
            connection,
            index,
            address,
            caller.address,
            caller.claim,
            caller.scheme,
            caller.host,
            None if self.upstream_target == target else self.upstream_target,
            None if sent is None or sent is fields or sent == fields else sent,
            None if came is None or came.headers is given.headers or came.headers == given.headers else came.headers,
            self.attempts,
            self.ended,
        )

    def _unless_same(self, target: str | None) -> str | None:
        return None if target == self.request.target else target

    def _address(self) -> str | None:
        if self.link is None or self.link.connection.peer_host is None:
            return None
        return _authority(self.link.connection.peer_host, self.link.connection.peer_port)

    def _timings(self, now_m: float | None) -> Timings:
        link = self.link
        return Timings(
            None if link is None else link.dns_ms,
            None if link is None else link.connect_ms,
            None if link is None else link.tls_ms,
            _between(self.ready_m, self.sent_m),
            _between(self.sent_m, self.first_m),
            _between(self.first_m, self.last_m),
            _between(self.started_m, now_m),
        )


@lru_cache(maxsize=256)
def _authority(host: str, port: int | None) -> str:
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def _between(start: float | None, end: float | None) -> float | None:
    """Return milliseconds; None where one end is not known. An answer before the request's end waited 0."""
    if start is None or end is None:
        return None
    return (end - start) * 1000.0 if end > start else 0.0
