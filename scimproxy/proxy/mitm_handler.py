"""One client connection of the mitmproxy engine, with its upstream ones: mitmproxy's handler with our clocks.

One rule: it is the desk that the layers sit at (`mitm_desk`). It does their IO, keeps their times and timers, and
hands passages on to the engine; it decides nothing about what passes.
"""

from __future__ import annotations

import asyncio
import logging
import socket
import time
import uuid
from contextlib import suppress
from typing import TYPE_CHECKING, Literal

from mitmproxy.connection import Connection as MitmConnection
from mitmproxy.connection import ConnectionState
from mitmproxy.proxy import commands, events, layer, server_hooks
from mitmproxy.proxy.context import Context
from mitmproxy.proxy.layers import tls as tls_layers
from mitmproxy.proxy.mode_specs import ProxyMode
from mitmproxy.proxy.server import ConnectionIO, LiveConnectionHandler
from mitmproxy.tls import TlsData

from scimproxy.errors import ScimproxyError
from scimproxy.exchange import Response
from scimproxy.proxy import answers
from scimproxy.proxy.destinations import Route, route
from scimproxy.proxy.directing import RESET, Directed
from scimproxy.proxy.engine import EngineOptions, Target
from scimproxy.proxy.forwarding import Refusal, Tap, map_target
from scimproxy.proxy.mitm_desk import Watched
from scimproxy.proxy.mitm_details import Note, tls_connection, tls_failure
from scimproxy.proxy.mitm_dial import Unopened, dial
from scimproxy.proxy.mitm_directed import DirectedStream
from scimproxy.proxy.mitm_events import ClientHead, ClientSilent, TimedOut, Wait
from scimproxy.proxy.mitm_forward import Connect, Gateway
from scimproxy.proxy.mitm_router import Router
from scimproxy.proxy.mitm_stream import Stream
from scimproxy.proxy.passage import Passage

if TYPE_CHECKING:
    from scimproxy.proxy.mitm import MitmEngine

__all__ = ["Handler"]

log = logging.getLogger(__name__)


class Handler(LiveConnectionHandler):
    """One client connection and its upstream ones: mitmproxy's handler with our clocks, notes, timeouts, recorder."""

    def __init__(self, engine: MitmEngine, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        super().__init__(reader, writer, engine.mitm_options, ProxyMode.parse("regular"))
        self.engine = engine
        self.options = engine.options
        self.notes: dict[MitmConnection, Note] = {}
        self.watched: dict[Watched, asyncio.TimerHandle] = {}
        self.timers: dict[str, asyncio.TimerHandle] = {}
        self.delays: set[asyncio.TimerHandle] = set()
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
        if self.options.intervener is None:
            return Stream(context, stream_id, self, tunnel)
        return DirectedStream(context, stream_id, self, tunnel)

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
        make = Passage if self.options.intervener is None else Directed
        passage = make(
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
            if isinstance(passage, Directed):
                passage.wanted = False
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

    def admit(self, passage: Passage, options: EngineOptions) -> str | Refusal | Response:
        """Return the target for the upstream, why there is none, or an answer of our own that is not recorded."""
        if self.engine.guard is None:
            return map_target(passage.request.target, options)
        return self.engine.guard.admit(passage.request, passage.caller, self.now())

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

    def later(self, delay_s: float, event: events.Event) -> None:
        """Inject an event after so long, unless the client's connection has ended by then."""

        def due() -> None:
            self.delays.discard(timer)
            self._inject(event)

        timer = self.loop.call_later(delay_s, due)
        self.delays.add(timer)

    def harden(self) -> None:
        """Let the client's connection end with a reset (RST)."""
        writer = self.transports[self.client].writer if self.client in self.transports else None
        sock = writer.get_extra_info("socket") if isinstance(writer, asyncio.StreamWriter) else None
        if sock is not None:
            with suppress(OSError):
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)

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
            for delay in self.delays:
                delay.cancel()

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


_TASKS: set[asyncio.Task[None]] = set()
"""Tasks that nobody else holds; the loop alone would let them be collected."""


def _unsent(writer: asyncio.StreamWriter) -> bool:
    """Whether the other end has not taken yet what was written."""
    return writer.transport.get_write_buffer_size() > 0
