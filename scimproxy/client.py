"""Our own HTTP client: send(Request) -> Exchange, for suites and replays.

One rule: what the wire did is data: `send` returns an exchange with a Failure and never raises for the network. The
target and the header fields go out as given: no redirects, no cookies unless asked, no added User-Agent or Accept.
Place in the flow: suite or replay -> Client.send -> Exchange -> Recorder.

What aiohttp does not tell stays None: TLS is part of `connect`, the wire sizes are unknown.
"""

from __future__ import annotations

import asyncio
import hashlib
import io
import itertools
import ssl
import time
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import SimpleNamespace, TracebackType
from typing import TYPE_CHECKING, Any, Self

import aiohttp
from multidict import CIMultiDict
from yarl import URL

from scimproxy.errors import UsageError
from scimproxy.exchange import (
    Connection,
    Content,
    Exchange,
    Failure,
    FailureKind,
    Headers,
    Phase,
    Request,
    Response,
    Timings,
    Tls,
)

if TYPE_CHECKING:
    from aiohttp.connector import Connection as _AiohttpConnection

__all__ = ["Client"]

_AUTOMATIC = ("User-Agent", "Accept", "Accept-Encoding", "Content-Type")
_KEEP_ALIVE_S = 2.0
"""An idle connection is used again only so long: many servers close theirs after five seconds, in a race with us."""
_CHUNK = 64 * 1024
_LONGEST_FIELD = 64 * 1024


@dataclass(slots=True)
class _Way:
    """What the tracing told of one request, in `time.monotonic` seconds."""

    began: float
    dns_began: float | None = None
    dns_ended: float | None = None
    connect_began: float | None = None
    connect_ended: float | None = None
    sent: float | None = None
    headed: float | None = None
    attempts: int = 0
    facts: Connection | None = None
    index: int | None = None
    headers: Headers | None = field(default=None, repr=False)


class _Response(aiohttp.ClientResponse):
    """A response that remembers which connection it came on, before aiohttp gives that back to its pool."""

    transport: asyncio.Transport | None = None

    async def start(self, connection: _AiohttpConnection) -> aiohttp.ClientResponse:
        """Begin to read the answer."""
        self.transport = connection.transport
        return await super().start(connection)


class Client:
    """Sends requests; use it with `async with`, inside one event loop.

    Args:
        timeout_s: bound on one exchange, from its first moment to its last byte.
        connect_timeout_s: bound on making a connection.
        max_content: at most so many bytes of an answer's content are kept; the rest is read and counted.
        verify_tls: whether the server's certificate has to be good.
        ca: a file of certificates to trust in place of the system's.
        cookies: keep cookies between requests, as a browser does.
    """

    def __init__(
        self,
        *,
        timeout_s: float = 60.0,
        connect_timeout_s: float = 10.0,
        max_content: int = 10 * 1024 * 1024,
        verify_tls: bool = True,
        ca: Path | None = None,
        cookies: bool = False,
    ) -> None:
        self._timeout = aiohttp.ClientTimeout(total=timeout_s, sock_connect=connect_timeout_s)
        self._max_content = max_content
        self._tls = _tls_context(verify=verify_tls, ca=ca)
        self._cookies = cookies
        self._uids = itertools.count(1)
        self._connections = itertools.count(1)
        self._known: dict[asyncio.Transport, tuple[Connection, int]] = {}
        self._session: aiohttp.ClientSession | None = None

    async def __aenter__(self) -> Self:
        trace = aiohttp.TraceConfig()
        trace.on_dns_resolvehost_start.append(_mark("dns_began"))
        trace.on_dns_resolvehost_end.append(_mark("dns_ended"))
        trace.on_connection_create_start.append(_connecting)
        trace.on_connection_create_end.append(_mark("connect_ended"))
        trace.on_connection_reuseconn.append(_reused)
        trace.on_request_headers_sent.append(_head_sent)
        trace.on_request_chunk_sent.append(_mark("sent"))
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(ssl=self._tls, keepalive_timeout=_KEEP_ALIVE_S),
            cookie_jar=aiohttp.CookieJar(unsafe=True) if self._cookies else aiohttp.DummyCookieJar(),
            response_class=_Response,
            auto_decompress=False,
            timeout=self._timeout,
            trace_configs=[trace],
            skip_auto_headers=_AUTOMATIC,
            max_line_size=_LONGEST_FIELD,
            max_field_size=_LONGEST_FIELD,
        )
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._session is not None
        await self._session.close()

    async def send(self, request: Request, origin: str) -> Exchange:
        """Send a request to an origin like `http://127.0.0.1:8000` and return what became of it.

        The exchange's request is what went out: aiohttp adds Host and Content-Length where they are missing.
        """
        assert self._session is not None, "use the client with `async with`"
        started_at = time.time()
        way = _Way(began=time.monotonic())
        origin = origin.rstrip("/")
        scheme, _, host = origin.partition("://")
        answer: Response | None = None
        failure: Failure | None = None
        try:
            url = URL(origin + _path_only(request.target), encoded=True)
            async with self._session.request(
                request.method,
                url,
                headers=CIMultiDict(request.headers.pairs),
                data=_body(request.content.data),
                allow_redirects=False,
                trace_request_ctx=way,
            ) as response:
                way.headed = time.monotonic()
                assert isinstance(response, _Response)
                way.facts, way.index = self._connection(response.transport, scheme, host)
                answer = _head(response)
                content, failure = await self._content(response)
                answer = replace(answer, content=content)
        except asyncio.CancelledError:
            raise
        except (aiohttp.ClientError, OSError, ValueError, TypeError) as exc:
            failure = _failure(exc, way, host)
        ended = time.monotonic()
        sent = request if way.headers is None else replace(request, headers=way.headers)
        return Exchange(
            request=sent,
            response=answer,
            failure=failure,
            state="complete",
            origin=None if answer is None else "upstream",
            started_at=started_at,
            ended_at=started_at + (ended - way.began),
            timings=_timings(way, ended, whole=answer is not None),
            upstream_connection=way.facts,
            upstream_index=way.index,
            upstream_address=_address(way.facts),
            scheme=scheme,
            host=request.headers.get("Host") or host,
            attempts=way.attempts or None,
            ended=None if failure is None else failure.message,
            client="scimproxy",
            uid=f"client-{next(self._uids)}",
        )

    async def _content(self, response: aiohttp.ClientResponse) -> tuple[Content, Failure | None]:
        """Read the content to its end; what is beyond the bound is counted and hashed, and not kept."""
        kept = bytearray()
        size = 0
        digest = hashlib.sha256()
        failure = None
        try:
            async for chunk in response.content.iter_chunked(_CHUNK):
                size += len(chunk)
                digest.update(chunk)
                kept += chunk[: max(0, self._max_content - len(kept))]
        except TimeoutError:
            failure = Failure("timeout", "the answer did not end in time", "receive")
        except (aiohttp.ClientError, OSError) as exc:
            failure = Failure("closed", f"the answer broke off: {_first_line(exc)}", "receive")
        return Content(bytes(kept), size, digest.hexdigest()), failure

    def _connection(
        self, transport: asyncio.Transport | None, scheme: str, host: str
    ) -> tuple[Connection | None, int | None]:
        """Return the facts of a connection and the number of this exchange on it."""
        if transport is None:
            return None, None
        facts, count = self._known.get(transport, (None, 0))
        if facts is None:
            # Not a WeakKeyDictionary: uvloop's TLS transports cannot be referred to weakly.
            self._known = {known: what for known, what in self._known.items() if not known.is_closing()}
            facts = _facts(transport, f"client-{next(self._connections)}", scheme, host)
        facts = replace(facts, exchanges=count + 1)
        self._known[transport] = (facts, count + 1)
        return facts, count + 1


def _body(data: bytes) -> bytes | io.BytesIO | None:
    """Return what aiohttp sends without holding up the loop: a long body piece by piece."""
    return io.BytesIO(data) if len(data) > _CHUNK else data or None


def _tls_context(*, verify: bool, ca: Path | None) -> ssl.SSLContext | bool:
    if ca is not None:
        try:
            return ssl.create_default_context(cafile=str(ca))
        except (OSError, ssl.SSLError) as exc:
            raise UsageError(f"{ca} holds no certificates: {exc}", hint="give a PEM file") from exc
    return verify


def _mark(name: str) -> Any:  # noqa: ANN401 - aiohttp's signal types
    async def mark(_session: aiohttp.ClientSession, context: SimpleNamespace, _params: object) -> None:
        setattr(context.trace_request_ctx, name, time.monotonic())

    return mark


async def _connecting(_session: aiohttp.ClientSession, context: SimpleNamespace, _params: object) -> None:
    way: _Way = context.trace_request_ctx
    way.attempts += 1
    way.connect_began = time.monotonic()


async def _reused(_session: aiohttp.ClientSession, context: SimpleNamespace, _params: object) -> None:
    context.trace_request_ctx.attempts += 1


async def _head_sent(
    _session: aiohttp.ClientSession, context: SimpleNamespace, params: aiohttp.TraceRequestHeadersSentParams
) -> None:
    way: _Way = context.trace_request_ctx
    way.sent = time.monotonic()
    way.headers = Headers((str(name), value) for name, value in params.headers.items())


def _head(response: aiohttp.ClientResponse) -> Response:
    version = response.version
    return Response(
        response.status,
        response.reason or "",
        "1.1" if version is None else f"{version.major}.{version.minor}",
        Headers.from_raw(response.raw_headers),
    )


def _facts(transport: asyncio.Transport, uid: str, scheme: str, host: str) -> Connection:
    peer = transport.get_extra_info("peername") or (None, None)
    local = transport.get_extra_info("sockname") or (None, None)
    handshake = transport.get_extra_info("ssl_object")
    tls = None
    if handshake is not None:
        cipher = handshake.cipher()
        tls = Tls(
            version=handshake.version(),
            cipher=cipher[0] if cipher else None,
            alpn=handshake.selected_alpn_protocol(),
            sni=handshake.server_hostname,
        )
    return Connection(
        uid=uid,
        side="upstream",
        peer_host=peer[0],
        peer_port=peer[1],
        local_host=local[0],
        local_port=local[1],
        server_name=host if scheme == "https" else None,
        http_version="1.1",
        opened_at=time.time(),
        tls=tls,
    )


def _address(facts: Connection | None) -> str | None:
    if facts is None or facts.peer_host is None:
        return None
    host = f"[{facts.peer_host}]" if ":" in facts.peer_host else facts.peer_host
    return f"{host}:{facts.peer_port}"


def _timings(way: _Way, ended: float, *, whole: bool) -> Timings:
    def span(start: float | None, end: float | None) -> float | None:
        return None if start is None or end is None else max(0.0, (end - start) * 1000)

    connected = way.connect_ended if way.connect_ended is not None else way.began
    # The name is looked up inside aiohttp's "connection create": what is left of it is TCP and TLS.
    connect_from = way.connect_began if way.dns_ended is None else way.dns_ended
    return Timings(
        dns=span(way.dns_began, way.dns_ended),
        connect=span(connect_from, way.connect_ended),
        send=span(connected, way.sent),
        wait=span(way.sent, way.headed),
        receive=span(way.headed, ended) if whole else None,
        total=span(way.began, ended),
    )


def _failure(exc: Exception, way: _Way, host: str) -> Failure:
    """Say what aiohttp's error means."""
    kind: FailureKind
    phase: Phase | None
    if isinstance(exc, aiohttp.ClientConnectorCertificateError):
        return Failure("tls", f"the certificate of {host} is not trusted: {exc.certificate_error}", "tls")
    if isinstance(exc, aiohttp.ClientConnectorDNSError):
        return Failure("dns", f"the name {host} cannot be resolved", "dns")
    if isinstance(exc, aiohttp.ClientConnectorSSLError | ssl.SSLError):
        return Failure("tls", f"no TLS connection to {host}: {_first_line(exc)}", "tls")
    if isinstance(exc, TimeoutError):
        if way.sent is None:
            return Failure("timeout", f"no connection to {host} in time", "connect")
        return Failure("timeout", f"no answer from {host} in time", "wait")
    if isinstance(exc, aiohttp.ClientConnectorError):
        refused = isinstance(exc.os_error, ConnectionRefusedError)
        kind = "refused" if refused else "unreachable"
        said = "nothing listens there" if refused else (exc.os_error.strerror or _first_line(exc))
        return Failure(kind, f"no connection to {host}: {said}", "connect")
    if isinstance(exc, aiohttp.ClientResponseError):
        return Failure("protocol", f"the answer is not HTTP: {_first_line(exc)}", "wait")
    if isinstance(exc, aiohttp.InvalidURL | aiohttp.NonHttpUrlClientError | ValueError | TypeError):
        return Failure("protocol", f"the request cannot be sent: {_first_line(exc)}", "request", "client")
    phase = "connect" if way.sent is None else "wait"
    return Failure("closed", f"{host} closed the connection without an answer", phase)


def _path_only(target: str) -> str:
    """Return a target that cannot move the request to another host, as `@elsewhere/` behind an origin would."""
    if not target.startswith("/"):
        raise ValueError("the target does not begin with /")
    return target


def _first_line(exc: Exception) -> str:
    text = exc.message if isinstance(exc, aiohttp.ClientResponseError) else str(exc)
    lines = text.strip().splitlines()
    return lines[0].rstrip(":")[:300] if lines else type(exc).__name__
