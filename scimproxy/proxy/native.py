"""The native engine: an HTTP/1.1 reverse proxy on asyncio protocols, llhttp and (where it exists) uvloop.

One rule: nothing happens on the way of an exchange that could happen later. There is no task and no timer per
exchange: a `Client` reads requests, a `Flow` carries one exchange between client and upstream by callbacks, one tick
looks after all time limits. Place in the flow: between the tunnel's listener and the pool of upstream connections.
"""

from __future__ import annotations

import asyncio
import itertools
import logging
import socket
import time
from contextlib import suppress
from dataclasses import replace

from scimproxy.errors import ScimproxyError
from scimproxy.exchange import Connection, Headers, Request, Response
from scimproxy.proxy import answers, forwarding
from scimproxy.proxy.directing import RESET, Directed, Fits
from scimproxy.proxy.engine import Address, EngineOptions, QuickRecorder, Recorder, cannot_listen
from scimproxy.proxy.forwarding import Tap
from scimproxy.proxy.guard import Guard
from scimproxy.proxy.heads import Answers, Asks
from scimproxy.proxy.http1 import (
    MAX_HEAD,
    BodyReader,
    HeadError,
)
from scimproxy.proxy.native_directed import DirectedFlow
from scimproxy.proxy.native_flow import Flow
from scimproxy.proxy.passage import Passage
from scimproxy.proxy.pool import Pool
from scimproxy.proxy.unrecorded import Unrecorded

__all__ = ["NativeEngine", "new_event_loop"]

_log = logging.getLogger(__name__)

TICK_S = 0.1
LINGER_S = 5.0
GRACE_S = 1.0
"""So long a client that sends no more (FIN) is waited for: it may be half-closed, but most such clients are gone."""


MAX_PIPELINED = 256 * 1024
HEAD_END = b"\r\n\r\n"


def new_event_loop() -> asyncio.AbstractEventLoop:
    """Return a uvloop where it exists (not on Windows), else asyncio's own loop."""
    try:
        import uvloop  # noqa: PLC0415 - optional
    except ModuleNotFoundError:
        return asyncio.new_event_loop()
    loop: asyncio.AbstractEventLoop = uvloop.new_event_loop()
    return loop


class NativeEngine:
    """The engine behind `--engine native`; see `proxy.engine.Engine` for the contract."""

    name = "native"

    def __init__(self, options: EngineOptions, recorder: Recorder) -> None:
        self.options = options
        self.recorder = recorder
        self.quick: QuickRecorder | None = recorder if isinstance(recorder, QuickRecorder) else None
        self.pool = Pool(options, recorder.connection)
        self.asks = Asks(options)
        self.answers = Answers()
        self.fits = Fits()
        self.records = not isinstance(recorder, Unrecorded)
        self.guard = None if options.guard is None else Guard(options, options.guard)
        self.passage_of: type[Passage] = Passage if options.intervener is None else Directed
        self.flow_of: type[Flow] = Flow if options.intervener is None else DirectedFlow
        self.clients: set[Client] = set()
        self.numbers = itertools.count(1)
        self.stopping = False
        self._server: asyncio.Server | None = None
        self._tick: asyncio.TimerHandle | None = None
        self._quiet = asyncio.Event()
        self._hurried = False
        self._end: asyncio.Task[None] | None = None

    async def start(self) -> Address:
        """Listen, and return where.

        Raises:
            EngineError: the address cannot be listened on.
        """
        options = self.options
        loop = asyncio.get_running_loop()
        self.pool.prepare()
        try:
            self._server = await loop.create_server(
                lambda: Client(self), options.listen_host, options.listen_port, backlog=1024
            )
        except OSError as exc:
            raise cannot_listen(exc, Address(options.listen_host, options.listen_port)) from exc
        self._tick = loop.call_later(TICK_S, self._look_around)
        host, port = self._server.sockets[0].getsockname()[:2]
        return Address(host, port)

    def publish(self, origin: str | None, *, vouches_for_client: bool) -> None:
        """Take a new public origin; what was judged under the old one is forgotten."""
        self.options = replace(self.options, public_origin=origin, vouches_for_client=vouches_for_client)
        self.asks = Asks(self.options)
        if self.guard is not None:
            self.guard.public_at(origin)

    async def stop(self, *, at_once: bool = False) -> None:
        """Accept nothing more, let what is in flight end (unless `at_once`), then close. Safe to call twice."""
        if at_once:
            self._hurried = True
            self._quiet.set()
        if self._end is None:
            self._end = asyncio.get_running_loop().create_task(self._shut_down())
        await asyncio.shield(self._end)

    async def _shut_down(self) -> None:
        self.stopping = True
        if self._server is not None:
            self._server.close()
        for client in list(self.clients):
            client.rest()
        with suppress(TimeoutError):
            async with asyncio.timeout(self.options.drain_s):
                while self.clients and not self._hurried:
                    self._quiet.clear()
                    await self._quiet.wait()
        for client in list(self.clients):
            client.give_up()
        while any(client.flow is not None for client in self.clients):
            self._quiet.clear()
            await self._quiet.wait()
        if self._tick is not None:
            self._tick.cancel()
        self.pool.close()
        for client in list(self.clients):
            client.close("scimproxy stops")
        await asyncio.sleep(0)

    async def failed(self) -> ScimproxyError:
        """Wait for ever: nothing makes this engine fail after its start."""
        never: asyncio.Future[ScimproxyError] = asyncio.get_running_loop().create_future()
        return await never

    def forget(self, client: Client) -> None:
        """Note that a client is gone."""
        self.clients.discard(client)
        self._quiet.set()

    def fault(self, where: str, flow: Flow | None) -> None:
        """Log a fault of our own and count the exchange; called in an except block."""
        _log.exception("a fault in scimproxy (%s)", where)
        self.recorder.lost(f"fault in {where}")
        if flow is not None:
            flow.abandon()

    def _look_around(self) -> None:
        """Look after time limits and announcements; once for all, ten times a second."""
        self._tick = asyncio.get_running_loop().call_later(TICK_S, self._look_around)
        try:
            now_m = time.perf_counter()
            for client in list(self.clients):
                client.tick(now_m)
            self.pool.sweep()
        except Exception:  # noqa: BLE001 - the engine's hook: logged with its traceback, and counted
            self.fault("the tick", None)


class Client(asyncio.Protocol):
    """A connection of a client: it reads one request after the other."""

    def __init__(self, engine: NativeEngine) -> None:
        self.engine = engine
        self.transport: asyncio.Transport | None = None
        self.flow: Flow | None = None
        self.buffer = b""
        self.exchanges = 0
        self.since_m = 0.0
        self.ended = False
        self.ended_m = 0.0
        self.last = False
        self.lingering = False
        self.writable = True
        self.going = False
        self.reason: str | None = None
        self.closed_by = "client"
        self.reading = True
        self.connection = Connection(uid="", side="client")

    # -- asyncio.Protocol -------------------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport  # type: ignore[assignment]  # uvloop's transports are duck-typed
        peer = transport.get_extra_info("peername") or (None, None)
        local = transport.get_extra_info("sockname") or (None, None)
        self.connection = Connection(
            uid=f"c{next(self.engine.numbers)}-{id(self.engine):x}",
            side="client",
            peer_host=peer[0],
            peer_port=peer[1],
            local_host=local[0],
            local_port=local[1],
            http_version="1.1",
            opened_at=time.time(),
        )
        self.since_m = time.perf_counter()
        self.engine.clients.add(self)
        if len(self.engine.clients) > self.engine.options.max_connections or self.engine.stopping:
            self.refuse(503, "too many connections are open; try again later", b"")

    def data_received(self, data: bytes) -> None:
        try:
            if self.lingering:
                return
            if self.flow is not None and not self.flow.reader.done:
                self.flow.client_data(data)
                return
            if self.flow is None and not self.buffer:
                self.since_m = time.perf_counter()
            self.buffer += data
            if self.flow is None:
                self.go_on()
            elif len(self.buffer) > MAX_PIPELINED:
                self.pause(paused=True)
        except Exception:  # noqa: BLE001 - the engine's hook: logged with its traceback, and counted
            self.engine.fault("reading a request", self.flow)

    def eof_received(self) -> bool:
        """The client sends no more, but may still want its answer (half-closed): it gets a moment."""
        self.ended = True
        self.ended_m = time.perf_counter()
        if self.flow is not None and self.flow.reader.done:
            return True
        if self.flow is not None:
            self.flow.client_lost()
        return False

    def connection_lost(self, exc: Exception | None) -> None:
        try:
            if self.flow is not None:
                self.flow.client_lost()
        except Exception:  # noqa: BLE001 - the engine's hook: logged with its traceback, and counted
            self.engine.fault("losing a client", None)
        self.engine.recorder.connection(
            replace(
                self.connection,
                closed_at=time.time(),
                closed_by=self.closed_by,  # type: ignore[arg-type]  # one of the three words
                close_reason=self.reason or (str(exc) if exc is not None else None),
                exchanges=self.exchanges,
            )
        )
        self.engine.forget(self)

    def pause_writing(self) -> None:
        self.writable = False
        if self.flow is not None:
            self.flow.client_writable(writable=False)

    def resume_writing(self) -> None:
        self.writable = True
        if self.flow is not None:
            self.flow.client_writable(writable=True)
        else:
            self.go_on()

    # -- requests ---------------------------------------------------------------------------------------------

    def go_on(self) -> None:
        """Begin with what is in the buffer, one request after the other; a loop, however fast each one ends."""
        if self.going:
            return
        self.going = True
        try:
            while self.flow is None and self.buffer and self.writable and not self.lingering:
                before = self.buffer
                self.next()
                if self.buffer is before or (self.flow is None and self.buffer == before):
                    break
        finally:
            self.going = False
        if self.flow is None and self.ended and self.writable and self.transport is not None:
            self.transport.close()

    def next(self) -> None:
        """Begin with the next request in the buffer, where there is a whole head."""
        buffer = self.buffer
        while buffer.startswith(b"\r\n"):  # RFC 9112 section 2.2
            buffer = self.buffer = buffer[2:]
        if not buffer:
            return
        if self.last:
            self.buffer = b""
            return
        end = buffer.find(HEAD_END, 0, MAX_HEAD)
        if end < 0:
            if len(buffer) > MAX_HEAD:
                self.refuse(431, f"the head of the request is longer than {MAX_HEAD} bytes", buffer)
            elif b"\n\n" in buffer or b"\n\r\n" in buffer.replace(HEAD_END, b""):
                self.refuse(400, "a line ends with a bare LF, not with CRLF", buffer)
            return
        end += len(HEAD_END)
        head, data = (buffer, b"") if end == len(buffer) else (buffer[:end], buffer[end:])
        self.buffer = b""
        engine, options, connection = self.engine, self.engine.options, self.connection
        started_at, started_m = time.time(), time.perf_counter()
        self.exchanges += 1
        try:
            request, ask, refusal = engine.asks.read(head, connection.peer_host)
        except HeadError as exc:
            self.refuse(exc.status_code, exc.detail, head, exc.headers)
            return
        passage = engine.passage_of(
            f"{connection.uid}.{self.exchanges}",
            request,
            forwarding.caller_of(request.headers, connection.peer_host, options) if ask is None else ask.caller,
            started_at,
            started_m,
            connection,
            self.exchanges,
            Tap(options.max_content),
            Tap(options.max_content),
            None,
            len(head),
        )
        self.flow = flow = engine.flow_of(self, passage, ask)
        if ask is None:
            assert refusal is not None
            flow.refuse(refusal.status_code, answers.blocked(refusal.detail))
            return
        flow.expects = ask.expects
        flow.close_after = ask.close or engine.stopping
        target: str | forwarding.Refusal | Response
        if engine.guard is None:
            target = forwarding.map_target(request.target, options)
        else:
            target = engine.guard.admit(request, passage.caller, started_m)
        if isinstance(target, forwarding.Refusal):
            failure, made = answers.turned_away(target)
            flow.answer_later(lambda: flow.fail(failure, made=made), data)
            return
        if isinstance(target, Response):
            own = target
            flow.answer_later(lambda: flow.answer_unrecorded(own), data)
            return
        problem = engine.recorder.refusing()
        if problem is not None:
            told = problem
            flow.answer_later(lambda: flow.answer_unrecorded(answers.not_recorded(told)), data)
            return
        passage.upstream_target = target
        passage.upstream_headers = ask.upstream
        if options.guard is not None and ask.kind == "chunked":
            flow.most = options.guard.max_body
        flow.begin(data)

    def refuse(self, status_code: int, detail: str, head: bytes, headers: Headers | None = None) -> None:
        """Answer what cannot be read as a request, record it, and close."""
        line = head.partition(b"\n")[0].rstrip(b"\r").decode("latin-1")
        method, _, rest = line.partition(" ")
        target = rest.partition(" ")[0]
        now_m, now = time.perf_counter(), time.time()
        request = Request(method[:32] or "?", target[:8192] or "?", "1.1", headers or Headers())
        passage = Passage(
            uid=f"{self.connection.uid}.{self.exchanges}r",
            request=request,
            caller=forwarding.caller_of(Headers(), self.connection.peer_host, self.engine.options),
            started_at=now,
            started_m=now_m,
            client_connection=self.connection,
            client_index=max(1, self.exchanges),
            request_tap=Tap(self.engine.options.max_content),
            response_tap=Tap(self.engine.options.max_content),
        )
        self.buffer = b""
        self.flow = flow = Flow(self, passage)
        flow.reader = BodyReader("none")
        failure = answers.client_protocol(detail) if status_code != 503 else answers.blocked(detail)
        flow.refuse(status_code, failure)

    # -- the flow's calls -------------------------------------------------------------------------------------

    def write(self, data: bytes) -> None:
        """Send bytes to the client."""
        if self.transport is not None and not self.transport.is_closing():
            self.transport.write(data)

    def done(self, *, close: bool) -> None:
        """Go on after an exchange."""
        flow, self.flow = self.flow, None
        if self.engine.stopping:
            self.engine.forget(self)
        self.since_m = time.perf_counter()
        if close or self.engine.stopping or (self.ended and not self.buffer):
            self.closed_by, self.reason = "proxy", self.reason or "the exchange was the last one"
            if self.transport is not None:
                self.end(linger=flow is not None and (flow.refused or not flow.reader.done))
            return
        if not self.reading:
            self.pause(paused=False)
        if self.buffer or self.ended:
            self.go_on()

    def end(self, *, linger: bool) -> None:
        """Close after what was written; a client that still sends is read a while, or it would not see its answer."""
        assert self.transport is not None
        if linger and not self.ended and self.transport.can_write_eof() and not self.transport.is_closing():
            self.lingering = True
            self.since_m = time.perf_counter()
            self.pause(paused=False)
            self.transport.write_eof()
        else:
            self.transport.close()

    def pause(self, *, paused: bool) -> None:
        """Stop or go on reading, so that a slow upstream slows the client."""
        if self.transport is None or self.transport.is_closing() or self.reading is not paused:
            return
        self.reading = not paused
        with suppress(RuntimeError):
            self.transport.pause_reading() if paused else self.transport.resume_reading()

    def close(self, reason: str, *, abort: bool = False) -> None:
        """End the connection from our side."""
        self.closed_by, self.reason = "proxy", reason
        if self.transport is not None:
            self.transport.abort() if abort else self.transport.close()

    def harden(self) -> None:
        """Let the end of the connection be a reset (RST): the other side must not take it for an orderly one."""
        sock = self.transport.get_extra_info("socket") if self.transport is not None else None
        if sock is not None:
            with suppress(OSError):
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)

    def rest(self) -> None:
        """Take no more requests; close at once where nothing is in flight."""
        self.last = True
        if self.flow is None:
            self.close("scimproxy stops")
        else:
            self.flow.close_after = True

    def give_up(self) -> None:
        """End what is still in flight after the time for draining."""
        if self.flow is not None:
            self.flow.give_up()

    def tick(self, now_m: float) -> None:
        """Look after the time limits of this connection."""
        options = self.engine.options
        if self.lingering:
            if now_m - self.since_m > LINGER_S and self.transport is not None:
                self.transport.abort()
        elif self.flow is not None:
            if self.ended and now_m - self.ended_m > GRACE_S:
                self.flow.client_lost()
            self.flow.tick(now_m)
        elif self.buffer and self.writable and now_m - self.since_m > options.head_timeout_s:
            self.refuse(408, f"the head of the request took longer than {options.head_timeout_s:g} s", self.buffer)
        elif now_m - self.since_m > options.idle_timeout_s:
            # One that does not read what it asked for would hold a closing connection for ever.
            stuck = self.transport is None or self.transport.is_closing() or not self.writable
            self.close(f"idle for {options.idle_timeout_s:g} s", abort=stuck)
