"""The engine built on mitmproxy: its connection handling and TLS, our ends of HTTP (`mitm_layers`, `mitm_stream`).

One rule: mitmproxy stays in here. What is used is its sans-io core and `LiveConnectionHandler`, without a Master: so
there is no global state, nothing is installed on the event loop, no certificate authority is written to any folder,
and several engines live side by side. Import this module only where the engine is chosen: mitmproxy takes a second.
"""

from __future__ import annotations

import asyncio
import errno
import logging
import time
import uuid
from dataclasses import replace
from typing import Literal, cast

from mitmproxy.connection import Connection as MitmConnection
from mitmproxy.connection import ConnectionState
from mitmproxy.options import Options
from mitmproxy.proxy import commands, events, layer, server_hooks
from mitmproxy.proxy.context import Context
from mitmproxy.proxy.layers import tls as tls_layers
from mitmproxy.proxy.mode_specs import ProxyMode
from mitmproxy.proxy.server import ConnectionIO, LiveConnectionHandler
from mitmproxy.tls import TlsData
from OpenSSL import SSL

from scimproxy.errors import EngineError, ScimproxyError, StoreError
from scimproxy.exchange import Phase, State
from scimproxy.proxy import answers
from scimproxy.proxy.destinations import Route, route
from scimproxy.proxy.engine import Address, EngineOptions, Recorder, Target
from scimproxy.proxy.forwarding import Tap
from scimproxy.proxy.mitm_client_tls import ClientAuthority
from scimproxy.proxy.mitm_desk import Watched
from scimproxy.proxy.mitm_details import Note, tls_connection, tls_context, tls_failure
from scimproxy.proxy.mitm_dial import Unopened, dial
from scimproxy.proxy.mitm_events import ClientHead, ClientSilent, TimedOut, Wait, written_headers
from scimproxy.proxy.mitm_forward import Connect, Gateway
from scimproxy.proxy.mitm_router import Router
from scimproxy.proxy.mitm_stream import Stream
from scimproxy.proxy.passage import Passage

__all__ = ["MitmEngine"]

log = logging.getLogger(__name__)


class MitmEngine:
    """The `Engine` on mitmproxy's core: a reverse proxy, or with `EngineOptions.forward` a forward proxy.

    HTTP/1.1 or, inside TLS, HTTP/2 towards the client; HTTP/1.1 or HTTP/2 upstream; WebSocket passes.
    """

    name = "mitmproxy"

    def __init__(self, options: EngineOptions, recorder: Recorder) -> None:
        self.options = options
        self.recorder = recorder
        self.stopping = False
        self.mitm_options = Options()
        self.tls: SSL.Context | None = None
        self.own: tuple[str, int] | None = None
        """Where we listen."""
        self.authority: ClientAuthority | None = None
        self.open_ended: set[str] = set()
        """Passages that end when their peers want (WebSocket): nobody waits for them to."""
        self.handlers: dict[_Handler, asyncio.Task[None]] = {}
        self.flying: dict[str, Passage] = {}
        self.recording: set[str] = set()
        self._landed = asyncio.Event()
        self._hurried = False
        self._server: asyncio.Server | None = None
        self._stop: asyncio.Task[None] | None = None
        self._failure: asyncio.Future[ScimproxyError] | None = None

    async def start(self) -> Address:
        """Listen, and return where.

        Raises:
            EngineError: the port is taken or forbidden, --upstream-ca or the authority's key cannot be read.
        """
        if self.options.target.scheme == "https" or self.options.forward is not None:
            self.tls = tls_context(self.options)
        if self.options.forward is not None:
            self.authority = ClientAuthority(self.options.forward.authority)
        self._failure = asyncio.get_running_loop().create_future()
        host, port = self.options.listen_host, self.options.listen_port
        try:
            self._server = await asyncio.start_server(self._accept, host, port)
        except OSError as exc:
            raise _cannot_listen(exc, host, port) from exc
        bound = self._server.sockets[0].getsockname()
        self.own = (bound[0], bound[1])
        return Address(bound[0], bound[1])

    async def failed(self) -> ScimproxyError:
        """Wait until the engine cannot go on; a listening asyncio server does not fail, so this waits for ever."""
        if self._failure is None:
            raise EngineError("the engine has not been started", hint="call start() first")
        return await asyncio.shield(self._failure)

    async def stop(self, *, at_once: bool = False) -> None:
        """Accept nothing more, let what is in flight end (not with `at_once`), record all, close. Safe twice."""
        if at_once:
            self._hurried = True
            self._landed.set()
        if self._stop is None:
            self._stop = asyncio.get_running_loop().create_task(self._shut_down())
        await asyncio.shield(self._stop)

    async def _shut_down(self) -> None:
        self.stopping = True
        if self._server is not None:
            self._server.close()
        for handler in list(self.handlers):
            if not handler.busy:
                handler.hang_up("scimproxy was stopped")
        deadline = time.monotonic() + self.options.drain_s
        while (
            self.flying.keys() - self.open_ended and not self._hurried and (left := deadline - time.monotonic()) > 0
        ):
            self._landed.clear()
            try:
                await asyncio.wait_for(self._landed.wait(), left)
            except TimeoutError:
                break
        for passage in list(self.flying.values()):
            phase: Phase = "request" if passage.sent_m is None else "wait"
            if passage.uid in self.open_ended and passage.given is not None:
                passage.given = replace(passage.given, content=passage.response_tap.content())
                phase = "receive"
            passage.failure = answers.stopping(phase)
            passage.ended = "closed by scimproxy, which was stopped"
            await self.record(passage, state="aborted")
        for handler in list(self.handlers):
            handler.hang_up("scimproxy was stopped")
        if self.handlers:
            await asyncio.wait(list(self.handlers.values()), timeout=5)

    # -- passages -------------------------------------------------------------------------------------------------

    def land(self, passage: Passage) -> bool:
        """Take a passage out of flight; False where it has landed already."""
        there = self.flying.pop(passage.uid, None) is not None
        self.open_ended.discard(passage.uid)
        self._landed.set()
        return there

    async def record(self, passage: Passage, *, state: State = "complete") -> ScimproxyError | None:
        """Record how a passage ended, once; return why its answer must be withheld, None where it may go."""
        if passage.uid not in self.flying or passage.uid in self.recording:
            return EngineError("the exchange has ended already")
        self.recording.add(passage.uid)
        exchange = passage.exchange(at=time.time(), now_m=time.monotonic(), state=state)
        try:
            await self.recorder.record(exchange)
        except StoreError as exc:
            return exc
        except Exception:
            log.exception("recording an exchange failed; it passes unrecorded")
            self.lost("recording it raised an error that is a fault of scimproxy; see the log")
        finally:
            self.recording.discard(passage.uid)
            self.land(passage)
        return None

    async def opened(self, passage: Passage) -> ScimproxyError | None:
        """Record that a passage goes on behind its answer's head; return why that must be withheld."""
        pending = passage.exchange(at=time.time(), now_m=time.monotonic(), state="pending")
        try:
            await self.recorder.opened(replace(pending, response=passage.given, origin=passage.origin))
        except StoreError as exc:
            return exc
        except Exception:
            log.exception("recording an exchange failed; it passes unrecorded")
        self.open_ended.add(passage.uid)
        self._landed.set()
        return None

    def lost(self, reason: str) -> None:
        """Count an exchange that was not recorded; never raises."""
        try:
            self.recorder.lost(reason)
        except Exception:
            log.exception("counting a lost exchange failed")

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self.stopping or writer.get_extra_info("peername") is None:
            writer.close()
            return
        if len(self.handlers) >= self.options.max_connections:
            writer.write(_TOO_MANY)
            writer.close()
            return
        handler = _Handler(self, reader, writer)
        task = asyncio.current_task()
        assert task is not None
        self.handlers[handler] = cast("asyncio.Task[None]", task)
        try:
            await handler.handle_client()
        except Exception:
            log.exception("a client connection failed")
        finally:
            await handler.end()
            del self.handlers[handler]
            writer.close()


class _Handler(LiveConnectionHandler):
    """One client connection and its upstream ones: mitmproxy's handler with our clocks, notes, timeouts, recorder."""

    def __init__(self, engine: MitmEngine, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        super().__init__(reader, writer, engine.mitm_options, ProxyMode.parse("regular"))
        self.engine = engine
        self.options = engine.options
        self.notes: dict[MitmConnection, Note] = {}
        self.watched: dict[Watched, asyncio.TimerHandle] = {}
        self.timers: dict[str, asyncio.TimerHandle] = {}
        self.passages: dict[str, Passage] = {}
        self.loop = asyncio.get_running_loop()
        context = self.layer.context
        context.layers.clear()
        self.note(self.client).opened_at = time.time()
        self._moved = asyncio.Event()
        self.unwanted: set[str] = set()
        """Passages to hosts that are not to be recorded."""
        self.router: Router | None = None
        self.layer = Router(context, self) if self.options.forward is None else Gateway(context, self)
        self.ended = False
        self.listening: asyncio.TimerHandle | None = None
        self._listen_on()

    # -- the desk -------------------------------------------------------------------------------------------------

    @property
    def stopping(self) -> bool:
        """Whether the engine accepts nothing more."""
        return self.engine.stopping

    @property
    def busy(self) -> bool:
        """Whether an exchange is in flight on this connection."""
        return any(uid in self.engine.flying for uid in self.passages)

    def now(self) -> float:
        """Return monotonic seconds."""
        return time.monotonic()

    def moment(self) -> float:
        """Return Unix seconds."""
        return time.time()

    def note(self, conn: object) -> Note:
        """Return the note on a connection, made at first sight."""
        assert isinstance(conn, MitmConnection)
        note = self.notes.get(conn)
        if note is None:
            side: Literal["client", "upstream"] = "client" if conn is self.client else "upstream"
            note = self.notes[conn] = Note(conn, side, self.options.target)
        return note

    def stream(self, context: Context, stream_id: int, tunnel: Target | None) -> layer.Layer:
        """Return the layer for one exchange."""
        return Stream(context, stream_id, self, tunnel)

    def tunnel(self, context: Context, stream_id: int) -> layer.Layer:
        """Return the layer for a CONNECT."""
        return Connect(context, stream_id, self)

    def route(self, head: ClientHead, tunnel: Target | None) -> Route:
        """Return where a request goes."""
        return route(head.head, tunnel, self.client.peername[0], self.options)

    def begin(self, head: ClientHead, route: Route) -> Passage:
        """Open the passage of a request, and announce it as pending when it takes long."""
        note = self.note(self.client)
        note.exchanges += 1
        passage = Passage(
            uid=uuid.uuid4().hex,
            request=route.request,
            caller=route.caller,
            started_at=head.at,
            started_m=head.at_m,
            client_connection=note.connection(),
            client_index=note.exchanges,
            request_tap=Tap(self.options.max_content),
            response_tap=Tap(self.options.max_content),
        )
        self.engine.flying[passage.uid] = passage
        self.passages[passage.uid] = passage
        if not route.recorded:
            self.unwanted.add(passage.uid)
            return passage
        self.timers[passage.uid] = self.loop.call_later(self.options.pending_after_ms / 1000, self._announce, passage)
        return passage

    def _announce(self, passage: Passage) -> None:
        if passage.uid not in self.engine.flying:
            return
        try:
            exchange = passage.exchange(at=time.time(), now_m=time.monotonic(), state="pending")
            self.engine.recorder.pending(exchange)
        except Exception:
            log.exception("announcing a pending exchange failed")

    def refusing(self) -> ScimproxyError | None:
        """Return why nothing can be recorded right now."""
        return self.engine.recorder.refusing()

    def watch(self, stream: Watched) -> None:
        """Inject `TimedOut` when the stream's upstream does nothing for `response_timeout_s`."""
        self.unwatch(stream)
        delay = stream.active_m + self.options.response_timeout_s - self.now()
        self.watched[stream] = self.loop.call_later(max(delay, 0.001), self._check, stream)

    def unwatch(self, stream: Watched) -> None:
        """Stop watching."""
        timer = self.watched.pop(stream, None)
        if timer is not None:
            timer.cancel()

    def _check(self, stream: Watched) -> None:
        writer = self.transports[self.client].writer if self.client in self.transports else None
        unsent = isinstance(writer, asyncio.StreamWriter) and _unsent(writer)
        if unsent or (self.router is not None and self.router.waits_for_client(stream.stream_id)):
            stream.active_m = self.now()  # it is the client that takes no more of the answer
        if not stream.request_done and not self._upstream_is_slow():
            stream.active_m = self.now()  # it is the client that sends no more of the request
        if stream.active_m + self.options.response_timeout_s > self.now():
            self.watch(stream)
            return
        self.watched.pop(stream, None)
        self._inject(TimedOut(stream.stream_id))

    def _inject(self, event: events.Event) -> None:
        """Give the layers an event from outside."""
        task = self.loop.create_task(self.server_event(event))
        _TASKS.add(task)
        task.add_done_callback(_TASKS.discard)

    def _listen_on(self) -> None:
        """Look again when the client may have been silent for too long."""
        due_m = self._client_due_m()
        longest = min(self.options.head_timeout_s, self.options.idle_timeout_s)
        delay = longest if due_m is None else min(max(due_m - self.now(), 0.001), longest)
        self.listening = self.loop.call_later(delay, self._listen)

    def _client_due_m(self) -> float | None:
        return self.router.side.due_m() if self.router is not None else None

    def _listen(self) -> None:
        due_m = self._client_due_m()
        if due_m is not None and due_m <= self.now() and not self._upstream_is_slow():
            self._inject(ClientSilent())
        self._listen_on()

    def _upstream_is_slow(self) -> bool:
        """Whether it is the upstream that takes no more of the request."""
        writers = (io.writer for conn, io in self.transports.items() if conn is not self.client)
        if self.router is not None and self.router.waits_for_upstream():
            return True
        return any(isinstance(one, asyncio.StreamWriter) and _unsent(one) for one in writers)

    async def record(self, passage: Passage) -> ScimproxyError | None:
        """Record the passage's end."""
        self._forget_timer(passage)
        if passage.uid in self.unwanted:
            self.forget(passage)
            return None
        passage.client_connection = self.note(self.client).connection()
        return await self.engine.record(passage)

    async def opened(self, passage: Passage) -> ScimproxyError | None:
        """Record that the passage goes on behind its answer's head."""
        self._forget_timer(passage)
        self.passages[passage.uid] = passage
        if passage.uid in self.unwanted:
            self.engine.open_ended.add(passage.uid)
            return None
        return await self.engine.opened(passage)

    def forget(self, passage: Passage) -> None:
        """The passage ends without being recorded."""
        self._forget_timer(passage)
        self.unwanted.discard(passage.uid)
        self.engine.land(passage)

    async def end(self) -> None:
        """The client's connection is over: nothing is opened any more, and what is still in flight has ended."""
        self.ended = True
        for passage in list(self.passages.values()):
            if passage.uid in self.engine.flying and passage.uid not in self.engine.recording:
                passage.failure = answers.client_gone("wait" if passage.sent_m is not None else "request")
                passage.ended = "closed by the client before the answer"
                await self.record(passage)

    def _forget_timer(self, passage: Passage) -> None:
        self.passages.pop(passage.uid, None)
        timer = self.timers.pop(passage.uid, None)
        if timer is not None:
            timer.cancel()

    def crashed(self, fault: Exception) -> None:
        """Tell that a layer raised: its exchanges are lost, its connection ends."""
        log.error("the proxy failed inside a connection; it is closed", exc_info=fault)
        self.note(self.client).close_reason = "a fault of scimproxy"
        for passage in list(self.passages.values()):
            self._forget_timer(passage)
            if self.engine.land(passage):
                self.engine.lost("the proxy failed inside its connection; see the log")

    def hang_up(self, reason: str) -> None:
        """Close the client's connection now."""
        if self.client in self.transports:
            note = self.note(self.client)
            note.closed_by, note.close_reason = note.closed_by or "proxy", note.close_reason or reason
            self.close_connection(self.client)

    # -- what mitmproxy's handler asks for --------------------------------------------------------------------------

    def log(self, message: str, level: int = logging.DEBUG, exc_info: object = None) -> None:
        """Log what mitmproxy says, for debugging only; errors stay errors."""
        log.log(level if level >= logging.ERROR else logging.DEBUG, "%s", message, exc_info=exc_info)  # type: ignore[arg-type]  # passed through

    async def handle_hook(self, hook: commands.StartHook) -> None:
        """Do what a layer waits for."""
        with self.timeout_watchdog.disarm():
            try:
                await self._handle(hook)
            except Exception:
                log.exception("a hook of the proxy failed: %s", hook.name)
                self.engine.lost("a hook of the proxy failed; see the log")

    async def _handle(self, hook: commands.StartHook) -> None:
        if isinstance(hook, Wait):
            hook.problem = await hook.work()
        elif isinstance(hook, tls_layers.TlsStartServerHook):
            self._start_tls(hook.data)
        elif isinstance(hook, tls_layers.TlsStartClientHook):
            assert self.engine.authority is not None
            assert hook.data.context.server.address is not None
            hook.data.ssl_conn = self.engine.authority.connection(self.client, hook.data.context.server.address[0])
        elif isinstance(hook, tls_layers.TlsEstablishedServerHook):
            note = self.note(hook.data.conn)
            if note.tls_began_m is not None:
                note.tls_ms = (self.now() - note.tls_began_m) * 1000
                note.tls_began_m = None
        elif isinstance(hook, tls_layers.TlsFailedServerHook):
            note = self.note(hook.data.conn)
            note.tls_began_m = None
            note.failure = note.failure or tls_failure(note)
            note.close_reason = note.failure.message
        elif isinstance(hook, server_hooks.ServerDisconnectedHook):
            self._tell(hook.data.server)
        elif isinstance(hook, server_hooks.ClientDisconnectedHook):
            self._tell(self.client)
            if self.listening is not None:
                self.listening.cancel()
            for stream in list(self.watched):
                self.unwatch(stream)

    def _start_tls(self, data: TlsData) -> None:
        note = self.note(data.conn)
        note.tls_began_m = self.now()
        assert self.engine.tls is not None
        data.ssl_conn = tls_connection(self.engine.tls, note, self.options)
        self.loop.call_later(self.options.connect_timeout_s, self._tls_too_slow, note)

    def _tls_too_slow(self, note: Note) -> None:
        if note.tls_began_m is not None and note.conn in self.transports:
            note.failure = answers.timed_out(note.target, "tls", self.options.connect_timeout_s)
            self.close_connection(note.conn)

    def _tell(self, conn: MitmConnection) -> None:
        """Tell the recorder what became of a connection that is closed now."""
        note = self.notes.pop(conn, None) if conn is not self.client else self.note(conn)
        if note is None:
            return
        note.closed_at = time.time()
        if note.closed_by is None:
            note.closed_by = "proxy"
        if note.close_reason is None:
            note.close_reason = (
                "closed by the peer" if note.closed_by != "proxy" else "closed with its client connection"
            )
        self.engine.recorder.connection(note.connection())

    async def on_timeout(self) -> None:
        """Note that the connection was idle for too long."""
        self.hang_up("idle for too long")

    async def server_event(self, event: events.Event) -> None:
        """Note who closed a connection, then let the layers know."""
        if isinstance(event, events.ConnectionClosed) and event.connection.state is ConnectionState.CAN_WRITE:
            note = self.notes.get(event.connection)  # in every other state it was us who closed
            if note is not None:
                note.closed_by = note.closed_by or note.side
        await super().server_event(event)
        self._moved.set()

    async def drain_writers(self) -> None:
        """Read on only when what was read has gone on: through sockets, and through the windows of HTTP/2."""
        await super().drain_writers()  # type: ignore[no-untyped-call]  # mitmproxy's
        task = asyncio.current_task()
        mine = next((conn for conn, io in self.transports.items() if io.handler is task), None)
        while mine is not None and self.router is not None and self.router.choked(mine):
            self._moved.clear()
            await self._moved.wait()

    def close_connection(self, connection: MitmConnection, half_close: bool = False) -> None:
        """Note that it is us who close."""
        if connection in self.notes:
            self.notes[connection].closed_by = self.notes[connection].closed_by or "proxy"
        super().close_connection(connection, half_close)

    async def open_connection(self, command: commands.OpenConnection) -> None:
        """Open the upstream connection: name resolution and connecting apart, each timed and limited."""
        conn = command.connection
        note = self.note(conn)
        note.opened_at = conn.timestamp_start = time.time()
        if self.ended:
            self.transports.pop(conn, None)
            await self.server_event(events.OpenConnectionCompleted(command, "the client is gone"))
            return
        try:
            reader, writer = await dial(self.options, note, self.engine.own)
        except Unopened as exc:
            note.failure = exc.failure
            self.transports.pop(conn, None)
            await self.server_event(events.OpenConnectionCompleted(command, exc.failure.message))
            self.notes.pop(conn, None)
            return
        except asyncio.CancelledError:
            self.transports.pop(conn, None)
            await self.server_event(events.OpenConnectionCompleted(command, "cancelled"))
            raise
        conn.timestamp_tcp_setup = time.time()
        conn.state = ConnectionState.OPEN
        conn.peername = writer.get_extra_info("peername")
        conn.sockname = writer.get_extra_info("sockname")
        self.transports[conn] = ConnectionIO(handler=asyncio.current_task(), reader=reader, writer=writer)
        await self.server_event(events.OpenConnectionCompleted(command, None))
        try:
            await self.handle_connection(conn)
        finally:
            conn.timestamp_end = time.time()
            hook = server_hooks.ServerDisconnectedHook(server_hooks.ServerConnectionHookData(conn, self.client))
            await self.handle_hook(hook)


_BUSY = answers.scim_error(503, "too many connections are open; try again later")
_TOO_MANY = (
    written_headers("HTTP/1.1 503 Service Unavailable", _BUSY.headers.with_added("Connection", "close"))
    + _BUSY.content.data
)

_TASKS: set[asyncio.Task[None]] = set()
"""Tasks that nobody else holds; the loop alone would let them be collected."""


def _unsent(writer: asyncio.StreamWriter) -> bool:
    """Whether the other end has not taken yet what was written."""
    return writer.transport.get_write_buffer_size() > 0


def _cannot_listen(exc: OSError, host: str, port: int) -> EngineError:
    place = Address(host, port)
    if exc.errno == errno.EADDRINUSE:
        return EngineError(
            f"port {port} on {host} is taken by another program",
            hint=f"stop that program (lsof -i :{port} shows it), or choose another port with --port",
        )
    if exc.errno == errno.EACCES:
        return EngineError(f"listening on {place} is not permitted", hint="choose a port above 1023 with --port")
    return EngineError(f"cannot listen on {place}: {exc.strerror or exc}", hint="check --host and --port")
