"""The layer between the two ends of the mitmproxy engine: who gets which upstream connection, and when.

One rule: it moves events and decides about connections, nothing else; what passes is decided in `mitm_stream`. Both
ends may speak HTTP/1.1 or HTTP/2, each for itself.
"""

from __future__ import annotations

from mitmproxy.connection import Connection, ConnectionState, Server
from mitmproxy.proxy import commands, events, layer, tunnel
from mitmproxy.proxy.context import Context
from mitmproxy.proxy.layers.http import (
    GetHttpConnection,
    GetHttpConnectionCompleted,
    HttpLayer,
    HTTPMode,
    RegisterHttpConnection,
)
from mitmproxy.proxy.layers.http._base import HttpEvent
from mitmproxy.proxy.layers.tls import ServerTLSLayer

from scimproxy.proxy.engine import Target
from scimproxy.proxy.forwarding import may_reuse
from scimproxy.proxy.mitm_desk import Commands, Desk
from scimproxy.proxy.mitm_events import ClientSilent, Reach
from scimproxy.proxy.mitm_h2 import H2ClientSide, H2UpstreamSide
from scimproxy.proxy.mitm_h2_side import H2Side
from scimproxy.proxy.mitm_layers import ClientSide, UpstreamSide

__all__ = ["Router"]

HELD = 256 * 1024
"""Bytes that may wait for a peer with HTTP/2 before the other end is kept from sending more."""


class Router(HttpLayer):
    """mitmproxy's router between the sides, with our sides, and with connections that are let go.

    `tunnel` is where the CONNECT before it led; None outside a tunnel.
    """

    def __init__(self, context: Context, desk: Desk, tunnel: Target | None = None) -> None:
        super().__init__(context, HTTPMode.transparent)
        self.desk = desk
        self.tunnel = tunnel
        self.side: ClientSide | H2ClientSide
        self.h2: dict[Connection, H2UpstreamSide] = {}
        self.carried_by: dict[int, Connection] = {}

    def handle_event(self, event: events.Event) -> Commands:
        """Pass an event on; a fault of ours ends the client's connection instead of leaving it hanging."""
        try:
            yield from super().handle_event(event)
            yield from self._settle()
        except Exception as fault:  # noqa: BLE001 - the engine's hook: the desk logs its traceback and counts it
            self.desk.crashed(fault)
            yield commands.CloseConnection(self.context.client)

    def _handle_event(self, event: events.Event) -> Commands:
        if isinstance(event, events.Start):
            self.desk.router = self
            if self.context.client.alpn == b"h2":
                self.side = H2ClientSide(self.context.fork(), self.desk)
            else:
                self.side = ClientSide(self.context.fork(), self.desk)
            self.connections[self.context.client] = self.side
            if isinstance(self.side, H2ClientSide):
                yield from self.side.open()
        elif isinstance(event, ClientSilent):
            yield from self.event_to_child(self.side, event)
        elif isinstance(event, HttpEvent):
            stream = self.streams.get(event.stream_id)
            if stream is not None:
                yield from self.event_to_child(stream, event)
        elif not isinstance(event, events.ConnectionEvent) or event.connection in self.connections:
            yield from super()._handle_event(event)

    def make_stream(self, stream_id: int) -> Commands:
        """Make the layer for a new exchange."""
        context = self.context.fork()
        connects = isinstance(self.side, ClientSide) and self.side.request.method == "CONNECT"
        if connects and self.desk.options.forward is not None and self.tunnel is None:
            stream = self.desk.tunnel(context, stream_id)
        else:
            stream = self.desk.stream(context, stream_id, self.tunnel)
        self.streams[stream_id] = stream  # type: ignore[assignment]  # our layer in place of mitmproxy's HttpStream
        yield from self.event_to_child(stream, events.Start())

    # -- upstream connections -------------------------------------------------------------------------------------

    def get_connection(self, event: GetHttpConnection, *, reuse: bool = True) -> Commands:
        """Answer with an upstream connection that may carry one more, or open one; closed ones are forgotten."""
        assert isinstance(event, Reach)
        stream = self.command_sources[event]
        self._forget_closed()
        for conn in [one for one in self.connections if isinstance(one, Server)]:
            note = self.desk.note(conn) if conn.state is not ConnectionState.CLOSED else None
            if conn in self.waiting_for_establishment:
                note = self.desk.note(conn)
                if event.http2 and reuse and (note.target, note.server_name) == (event.target, event.server_name):
                    event.note = note
                    self.carried_by[_stream_id(stream)] = conn
                    self.waiting_for_establishment[conn].append(event)
                    return
            elif note is not None and reuse and not event.fresh and self._usable(conn, event):
                event.note = note
                self.command_sources.pop(event)
                self.carried_by[_stream_id(stream)] = conn
                yield from self.event_to_child(stream, GetHttpConnectionCompleted(event, (conn, None)))
                return
        yield from self._open(event)

    def _open(self, event: Reach) -> Commands:
        context = self.context.fork()
        server = context.server = Server(address=event.address)
        event.note = note = self.desk.note(server)
        note.target, note.server_name = event.target, event.server_name
        stack = tunnel.LayerStack()
        if event.tls:
            server.sni = event.server_name
            note.offers = (b"h2", b"http/1.1") if event.http2 else (b"http/1.1",)
            stack /= ServerTLSLayer(context)
        stack /= Opener(context, self.desk, self)
        self.connections[server] = stack[0]
        self.carried_by[_stream_id(self.command_sources[event])] = server
        self.waiting_for_establishment[server].append(event)
        yield from self.event_to_child(stack[0], events.Start())

    def _forget_closed(self) -> None:
        """Let go of closed connections: a client's may live for days, those to its upstream do not."""
        self.carried_by = {one: conn for one, conn in self.carried_by.items() if one in self.streams}
        kept = set(self.carried_by.values()) | set(self.waiting_for_establishment)
        for conn in [one for one in self.connections if isinstance(one, Server)]:
            if conn.state is ConnectionState.CLOSED and conn not in kept:
                del self.connections[conn]
                self.h2.pop(conn, None)

    def _usable(self, conn: Server, event: Reach) -> bool:
        """Whether a connection may carry one more request: an idle one, or one with HTTP/2."""
        note = self.desk.note(conn)
        if not conn.connected or (note.target, note.server_name) != (event.target, event.server_name):
            return False
        if conn in self.h2:
            return self.h2[conn].usable
        return note.idle_since_m is not None and may_reuse(event.method, self.desk.now() - note.idle_since_m)

    # -- who keeps whom from sending ------------------------------------------------------------------------------

    def _settle(self) -> Commands:
        """Let peers with HTTP/2 send more where the other end takes what came."""
        if isinstance(self.side, H2ClientSide):
            yield from self.event_commands(self.side, self.context.client)
        for conn, side in list(self.h2.items()):
            if side.owed:
                yield from self.event_commands(side, conn)

    def event_commands(self, side: H2Side, conn: Connection) -> Commands:
        """Settle one side; what it writes passes through its own stack, TLS included."""
        for command in side.settle(lambda stream_id: self._takes(stream_id, conn)):
            yield from self._down(conn, command)

    def _down(self, conn: Connection, command: commands.Command) -> Commands:
        stack = self.connections.get(conn)
        if isinstance(stack, ServerTLSLayer):
            yield from stack._handle_command(command)  # noqa: SLF001 - the way a child's commands take through TLS
        else:
            yield command

    def _takes(self, stream_id: int, source: Connection) -> bool:
        """Whether what came from a connection for a stream has gone on, but for a little."""
        stream = self.streams.get(stream_id)
        if stream is None:
            return True
        if stream._paused is not None:  # noqa: SLF001 - mitmproxy's own mark of a layer that waits
            return False
        if source is self.context.client:
            other = self.carried_by.get(stream_id)
            return other not in self.h2 or self.h2[other].held(stream_id) < HELD
        return not isinstance(self.side, H2ClientSide) or self.side.held(stream_id) < HELD

    def choked(self, conn: Connection) -> bool:
        """Whether a connection with HTTP/1.1 is not to be read from, because the other end takes no more."""
        if conn is self.context.client:
            mine = list(self.streams) if isinstance(self.side, ClientSide) else []
        else:
            mine = [one for one, other in self.carried_by.items() if other is conn and conn not in self.h2]
        return any(self._held(stream_id, conn) >= HELD for stream_id in mine)

    def _held(self, stream_id: int, source: Connection) -> int:
        if source is not self.context.client:
            return self.side.held(stream_id) if isinstance(self.side, H2ClientSide) else 0
        other = self.carried_by.get(stream_id)
        return self.h2[other].held(stream_id) if other in self.h2 else 0

    def waits_for_client(self, stream_id: int) -> bool:
        """Whether it is the client with HTTP/2 that takes no more of an answer."""
        return isinstance(self.side, H2ClientSide) and self.side.held(stream_id) > 0

    def waits_for_upstream(self) -> bool:
        """Whether it is an upstream with HTTP/2 that takes no more of a request."""
        return any(side.held(stream_id) > 0 for side in self.h2.values() for stream_id in list(side.names))


def _stream_id(stream: layer.Layer) -> int:
    number: int = stream.stream_id  # type: ignore[attr-defined]  # only streams ask for connections
    return number


class Opener(layer.Layer):
    """Opens an upstream connection, tells so, and then is its side."""

    def __init__(self, context: Context, desk: Desk, router: Router) -> None:
        super().__init__(context)
        self.desk = desk
        self.router = router
        self.side: UpstreamSide | H2UpstreamSide | None = None

    def _handle_event(self, event: events.Event) -> Commands:
        if isinstance(event, events.Start):
            err: str | None = yield commands.OpenConnection(self.context.server)
            if err is None and self.context.server.alpn == b"h2":
                self.side = self.router.h2[self.context.server] = H2UpstreamSide(self.context, self.desk)
                yield from self.side.open()
            else:
                self.side = UpstreamSide(self.context, self.desk)
            yield RegisterHttpConnection(self.context.server, err)
        elif self.side is not None:
            yield from self.side.handle_event(event)
