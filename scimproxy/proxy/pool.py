"""Connections to the upstream, shared by all clients: opening, keeping, handing out (asyncio, no threads).

One rule: a connection is handed out to one user at a time, and never with a byte or an end already waiting on it.
Opening tells each phase apart (dns, connect, tls), tries every address of a name (RFC 8305, simplified), and turns
what goes wrong into a `Failure` in words. How long one may idle follows what the server says (`Keep-Alive:
timeout=5`).
"""

from __future__ import annotations

import asyncio
import ipaddress
import itertools
import re
import select
import socket
import ssl
import time
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from typing import Any, Literal, Protocol

from scimproxy.errors import EngineError
from scimproxy.exchange import Connection, Failure, Headers, Phase, Tls
from scimproxy.proxy import answers
from scimproxy.proxy.engine import EngineOptions
from scimproxy.proxy.forwarding import may_reuse
from scimproxy.proxy.passage import Link

__all__ = ["Pool", "Unreached", "Upstream", "User"]

IDLE_S = 4.0
"""How long a connection is kept unused where the server says nothing: below the 5 s of Node and uvicorn."""

STAGGER_S = 0.25
"""How long one address may take before the next one is tried beside it (RFC 8305 section 5)."""

MAX_IDLE = 32
MAX_OPEN = 512

_TIMEOUT = re.compile(r"timeout\s*=\s*\"?(\d{1,6})", re.IGNORECASE)


class Unreached(Exception):
    """No connection could be opened; `link` is as much of one as there was."""

    def __init__(self, failure: Failure, link: Link | None = None) -> None:
        super().__init__(failure.message)
        self.failure = failure
        self.link = link


class User(Protocol):
    """Whoever uses a connection for an exchange."""

    def upstream_data(self, data: bytes) -> None:
        """Bytes came."""

    def upstream_lost(self, problem: str | None) -> None:
        """The connection is gone; `problem` in words where it was not an orderly end."""

    def upstream_writable(self, *, writable: bool) -> None:
        """The connection takes more bytes, or does not for now."""


class Upstream(asyncio.Protocol):
    """One connection to the upstream; its first methods are asyncio.Protocol's."""

    _closing = False
    close_reason: str | None = None

    def __init__(self, pool: Pool, uid: str) -> None:
        self.pool = pool
        self.uid = uid
        self.user: User | None = None
        self.transport: asyncio.Transport | None = None
        self.connection = Connection(uid=uid, side="upstream")
        self.exchanges = 0
        self.idle_since = 0.0
        self.idle_limit = IDLE_S
        self.usable = True
        self.said: Headers | None = None  # fields of its last answer
        self._waiting: select.poll | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport  # type: ignore[assignment]  # uvloop's transports are duck-typed
        sock = transport.get_extra_info("socket")
        if hasattr(select, "poll") and sock is not None and transport.get_extra_info("ssl_object") is None:
            self._waiting = select.poll()
            self._waiting.register(sock.fileno(), select.POLLIN)

    def data_received(self, data: bytes) -> None:
        if self.user is not None:
            self.user.upstream_data(data)
        else:  # an answer to nothing (RFC 9112 section 9.2): whatever it is, it must not meet the next request
            self.close("the upstream sent something that nobody asked for")

    def eof_received(self) -> bool:
        self.usable = False
        return False

    def connection_lost(self, exc: Exception | None) -> None:
        self.usable = False
        user, self.user = self.user, None
        self.pool.lost(self, "proxy" if self._closing else "upstream", str(exc) if exc else None)
        if user is not None:
            user.upstream_lost(str(exc) if exc is not None else None)

    def pause_writing(self) -> None:
        if self.user is not None:
            self.user.upstream_writable(writable=False)

    def resume_writing(self) -> None:
        if self.user is not None:
            self.user.upstream_writable(writable=True)

    def write(self, data: bytes) -> None:
        """Send bytes."""
        assert self.transport is not None
        self.transport.write(data)

    def pause(self, *, paused: bool) -> None:
        """Stop or go on reading, so that a slow client slows the upstream."""
        if self.transport is not None and not self.transport.is_closing():
            with suppress(RuntimeError):
                self.transport.pause_reading() if paused else self.transport.resume_reading()

    def close(self, reason: str) -> None:
        """End the connection from our side."""
        self.usable = False
        self.user = None
        if not self._closing:
            self._closing = True
            self.close_reason = reason
        if self.transport is not None:
            self.transport.abort()

    def quiet(self) -> bool:
        """Whether nothing waits on it that the event loop has not seen yet: an end, or bytes nobody asked for."""
        return self._waiting is None or not self._waiting.poll(0)

    def alive(self, now_m: float) -> bool:
        """Whether it may carry another exchange."""
        return (
            self.usable
            and self.transport is not None
            and not self.transport.is_closing()
            and now_m - self.idle_since < self.idle_limit
        )


class Pool:
    """The connections to one upstream."""

    def __init__(self, options: EngineOptions, on_close: Callable[[Connection], None]) -> None:
        self._options = options
        self._on_close = on_close
        self._idle: deque[Upstream] = deque()
        self._open: set[Upstream] = set()
        self._waiting: deque[asyncio.Future[None]] = deque()
        self._opening = 0
        self._numbers = itertools.count(1)
        self._tls: ssl.SSLContext | None = None

    def take(self, method: str) -> Upstream | None:
        """Return a kept connection that this request may go over, the one used last; None where a new one is due."""
        now_m = time.monotonic()
        while self._idle:
            upstream = self._idle.pop()
            if not upstream.alive(now_m):
                upstream.close("idle for too long")
                continue
            if not upstream.quiet():
                upstream.close("it ended, or sent something that nobody asked for")
                continue
            if not may_reuse(method, now_m - upstream.idle_since):
                self._idle.append(upstream)  # older ones are more stale still
                return None
            return upstream
        return None

    def give(self, upstream: Upstream, headers: Headers) -> None:
        """Take back a connection after a whole answer with these fields."""
        upstream.user = None
        if headers is not upstream.said:  # engines pass the same object for the same fields
            upstream.said = headers
            said = headers.get("keep-alive")
            if said is not None and (match := _TIMEOUT.search(said)):
                upstream.idle_limit = max(0.0, min(60.0, int(match[1]) - 1.0)) or 0.5
        upstream.idle_since = time.monotonic()
        if not upstream.usable or len(self._idle) >= MAX_IDLE:
            upstream.close("not needed any more")
        else:
            self._idle.append(upstream)

    def lost(self, upstream: Upstream, by: Literal["proxy", "upstream"], problem: str | None) -> None:
        """Note that a connection is gone."""
        self._open.discard(upstream)
        with suppress(ValueError):
            self._idle.remove(upstream)
        while self._waiting:
            waiter = self._waiting.popleft()
            if not waiter.done():
                waiter.set_result(None)
                break
        self._on_close(
            replace(
                upstream.connection,
                closed_at=time.time(),
                closed_by=by,
                close_reason=upstream.close_reason or problem,
                exchanges=upstream.exchanges,
            )
        )

    def sweep(self) -> None:
        """Close what idles for too long."""
        now_m = time.monotonic()
        for upstream in list(self._idle):
            if not upstream.alive(now_m):
                self._idle.remove(upstream)
                upstream.close("idle for too long")

    def close(self) -> None:
        """End every connection."""
        for upstream in list(self._open):
            upstream.close("scimproxy stops")
        self._idle.clear()

    # -- opening ----------------------------------------------------------------------------------------------

    async def open(self) -> tuple[Upstream, Link]:
        """Open a connection, and tell what each phase took.

        Raises:
            Unreached: it could not be opened; its failure says why, in words.
        """
        while len(self._open) + self._opening >= MAX_OPEN:
            waiter: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            self._waiting.append(waiter)
            await waiter
        self._opening += 1
        try:
            return await self._dial()
        finally:
            self._opening -= 1

    async def _dial(self) -> tuple[Upstream, Link]:
        loop = asyncio.get_running_loop()
        target, limit_s = self._options.target, self._options.connect_timeout_s
        upstream = Upstream(self, f"u{next(self._numbers)}-{id(self):x}")
        link = Link(connection=upstream.connection)
        phase: Phase = "dns"
        opened_at = time.time()
        try:
            async with asyncio.timeout(limit_s):
                begin = time.perf_counter()
                addresses = await self._resolve(link)
                if link.dns_ms is not None:
                    link.dns_ms = (time.perf_counter() - begin) * 1000.0
                phase = "connect"
                begin = time.perf_counter()
                sock = await self._connect(addresses)
                link.connect_ms = (time.perf_counter() - begin) * 1000.0
                link.connection = upstream.connection = _described(upstream.uid, sock, target.host, opened_at)
                if target.scheme == "https":
                    phase = "tls"
                    begin = time.perf_counter()
                    await loop.create_connection(
                        lambda: upstream, sock=sock, ssl=self._context(), server_hostname=target.host
                    )
                    link.tls_ms = (time.perf_counter() - begin) * 1000.0
                    assert upstream.transport is not None
                    details = _tls_details(upstream.transport.get_extra_info("ssl_object"), target.host)
                    link.connection = upstream.connection = replace(upstream.connection, tls=details)
                else:
                    await loop.create_connection(lambda: upstream, sock=sock)
        except TimeoutError as exc:
            raise Unreached(answers.timed_out(target, phase, limit_s), link) from exc
        except ssl.SSLCertVerificationError as exc:
            raise Unreached(await self._distrusted(exc, link), link) from exc
        except ssl.SSLError as exc:
            raise Unreached(answers.tls(target, (exc.reason or str(exc)).replace("_", " ").lower()), link) from exc
        except OSError as exc:
            if phase == "tls":
                raise Unreached(
                    answers.tls(target, f"the connection was closed during the handshake: {exc}"), link
                ) from exc
            raise Unreached(answers.unreachable(target, str(exc)), link) from exc
        self._open.add(upstream)
        return upstream, link

    async def _resolve(self, link: Link) -> list[tuple[int, Any]]:
        target = self._options.target
        try:
            address = ipaddress.ip_address(target.host)
        except ValueError:
            link.dns_ms = 0.0
            try:
                found = await asyncio.get_running_loop().getaddrinfo(
                    target.host, target.port, type=socket.SOCK_STREAM
                )
            except (OSError, UnicodeError) as exc:
                raise Unreached(answers.dns(target, getattr(exc, "strerror", None) or str(exc)), link) from exc
            addresses: list[tuple[int, Any]] = list(
                dict.fromkeys((family, sockaddr) for family, _, _, _, sockaddr in found)
            )
            if target.host.lower() == "localhost":  # both loopbacks, whatever the hosts file says (RFC 6761)
                for family, loopback in ((socket.AF_INET, "127.0.0.1"), (socket.AF_INET6, "::1")):
                    if family not in {have for have, _ in addresses}:
                        addresses.append((family, (loopback, target.port)))
            return addresses
        family = socket.AF_INET6 if address.version == 6 else socket.AF_INET
        return [(family, (target.host, target.port))]

    async def _connect(self, addresses: list[tuple[int, Any]]) -> socket.socket:
        """Connect to the first address that answers; the next one starts when one fails or is slow."""
        waiting = deque(addresses)
        running: set[asyncio.Task[socket.socket]] = set()
        problems: list[OSError] = []
        try:
            while waiting or running:
                if waiting:
                    family, address = waiting.popleft()
                    running.add(asyncio.ensure_future(_connected(family, address)))
                done, running = await asyncio.wait(
                    running, timeout=STAGGER_S if waiting else None, return_when=asyncio.FIRST_COMPLETED
                )
                for task in done:
                    problem = task.exception()
                    if problem is None:
                        return task.result()
                    if not isinstance(problem, OSError):
                        raise problem
                    problems.append(problem)
        finally:
            for task in running:
                task.cancel()
                task.add_done_callback(_discard)
        tried = ", ".join(f"[{a[0]}]:{a[1]}" if ":" in a[0] else f"{a[0]}:{a[1]}" for _, a in addresses)
        if all(isinstance(problem, ConnectionRefusedError) for problem in problems):
            raise Unreached(answers.refused(self._options.target, tried))
        words = "; ".join(dict.fromkeys(problem.strerror or str(problem) for problem in problems))
        raise Unreached(answers.unreachable(self._options.target, f"{words} (tried {tried})"))

    # -- tls --------------------------------------------------------------------------------------------------

    def prepare(self) -> None:
        """Read the TLS settings, so that a bad file is told at the start and not to the first client.

        Raises:
            EngineError: the file with certificates cannot be read.
        """
        if self._options.target.scheme != "https":
            return
        try:
            self._context()
        except (OSError, ValueError) as exc:
            raise EngineError(
                f"the certificates in {self._options.upstream_ca} cannot be read: {exc}",
                hint="--upstream-ca wants a PEM file with one or more CA certificates",
            ) from exc

    def _context(self) -> ssl.SSLContext:
        if self._tls is None:
            context = ssl.create_default_context(cafile=self._options.upstream_ca)
            if self._options.insecure_upstream:
                context = _unverified()
            context.set_alpn_protocols(["http/1.1"])
            self._tls = context
        return self._tls

    async def _distrusted(self, problem: ssl.SSLCertVerificationError, link: Link) -> Failure:
        """Say what is wrong with a certificate; a second handshake that checks nothing reads it."""
        from scimproxy.proxy.certificates import told  # noqa: PLC0415 - cryptography is heavy and rarely needed

        target = self._options.target
        names: tuple[str, ...] = ()
        until: str | None = None
        with suppress(OSError, TimeoutError):
            async with asyncio.timeout(min(2.0, self._options.connect_timeout_s)):
                _, writer = await asyncio.open_connection(
                    target.host, target.port, ssl=_unverified(), server_hostname=target.host
                )
                details = _tls_details(writer.get_extra_info("ssl_object"), target.host)
                writer.transport.abort()
                link.connection = replace(link.connection, tls=details)
                if details.chain:
                    names, until = told(details.chain[0])
        return answers.tls(target, problem.verify_message, names=names, until=until)


async def _connected(family: int, address: Any) -> socket.socket:  # noqa: ANN401 - a socket address has no type
    sock = socket.socket(family, socket.SOCK_STREAM)
    try:
        sock.setblocking(False)  # noqa: FBT003 - the standard library's signature
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        await asyncio.get_running_loop().sock_connect(sock, address)
    except BaseException:
        sock.close()
        raise
    return sock


def _discard(task: asyncio.Task[socket.socket]) -> None:
    """Close a connection that came second."""
    if not task.cancelled() and task.exception() is None:
        task.result().close()


def _described(uid: str, sock: socket.socket, name: str, opened_at: float) -> Connection:
    peer, local = sock.getpeername(), sock.getsockname()
    return Connection(
        uid=uid,
        side="upstream",
        peer_host=peer[0],
        peer_port=peer[1],
        local_host=local[0],
        local_port=local[1],
        server_name=name,
        opened_at=opened_at,
    )


def _unverified() -> ssl.SSLContext:
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context


def _tls_details(tls: ssl.SSLObject | None, name: str) -> Tls:
    sni: str | None = name
    with suppress(ValueError):  # no SNI is sent for an address (RFC 6066 section 3)
        sni = None if ipaddress.ip_address(name) else name
    if tls is None:
        return Tls(sni=sni)
    from scimproxy.proxy.certificates import certificate  # noqa: PLC0415 - cryptography is heavy and rarely needed

    ders: list[bytes] = []
    if hasattr(tls, "get_unverified_chain"):  # Python 3.13
        ders = [bytes(der) for der in tls.get_unverified_chain()]
    elif (leaf := tls.getpeercert(binary_form=True)) is not None:
        ders = [leaf]
    cipher = tls.cipher()
    return Tls(
        version=tls.version(),
        cipher=cipher[0] if cipher else None,
        alpn=tls.selected_alpn_protocol(),
        sni=sni,
        chain=tuple(certificate(der) for der in ders),
    )
