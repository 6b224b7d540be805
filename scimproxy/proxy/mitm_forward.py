"""The layers of a forward proxy: plain requests, CONNECT, and what a tunnel turns out to hold.

One rule: a tunnel to a host that is wanted is opened up (TLS with a certificate of our authority, or plain HTTP) and
its exchanges go the way of all others; any other tunnel is a pipe that nobody looks into.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial

from mitmproxy.connection import Connection, ConnectionState, Server
from mitmproxy.proxy import commands, events, layer
from mitmproxy.proxy.context import Context
from mitmproxy.proxy.layers import TCPLayer
from mitmproxy.proxy.layers.http import DropStream, SendHttp
from mitmproxy.proxy.layers.tls import ClientTLSLayer
from OpenSSL import SSL

from scimproxy.errors import ScimproxyError
from scimproxy.exchange import Failure, Response
from scimproxy.proxy import answers
from scimproxy.proxy.destinations import Route, tunnel_target
from scimproxy.proxy.engine import Target
from scimproxy.proxy.forwarding import framed
from scimproxy.proxy.mitm_desk import Commands, Desk, StreamDesk
from scimproxy.proxy.mitm_events import ClientEnd, ClientFinish, ClientGone, ClientHead, Give, Wait
from scimproxy.proxy.mitm_layers import ClientSide
from scimproxy.proxy.mitm_router import Router

__all__ = ["Connect", "Gateway"]

ESTABLISHED = Response(200, "Connection established")


@dataclass
class Enter(commands.Command):
    """To the gateway: from here on the client's connection is a tunnel; `server` is open where it is only a pipe."""

    head: ClientHead
    target: Target
    server: Server | None


class Gateway(layer.Layer):
    """The client's whole connection: first requests to a proxy, after a CONNECT what is inside the tunnel."""

    def __init__(self, context: Context, desk: StreamDesk) -> None:
        super().__init__(context)
        self.desk = desk
        self.router = Router(context.fork(), desk)
        self.child: layer.Layer = self.router
        self.left: set[Connection] = set()
        """Upstream connections of before the tunnel; they are being closed, and are nothing to what is inside."""

    def handle_event(self, event: events.Event) -> Commands:
        """Pass an event on, and go into a tunnel where that is asked for."""
        if isinstance(event, events.ConnectionEvent) and event.connection in self.left:
            return
        try:
            for command in self.child.handle_event(event):
                if isinstance(command, Enter):
                    yield from self._enter(command)
                else:
                    yield command
        except Exception as fault:  # noqa: BLE001 - the engine's hook: the desk logs its traceback and counts it
            self.desk.crashed(fault)
            yield commands.CloseConnection(self.context.client)

    def _handle_event(self, event: events.Event) -> Commands:
        yield from self.handle_event(event)

    def _enter(self, command: Enter) -> Commands:
        self.desk.router = None
        side = self.router.side
        assert isinstance(side, ClientSide)
        early = bytes(side.buf)
        for conn in list(self.router.connections):
            if isinstance(conn, Server) and conn is not command.server and conn.state is not ConnectionState.CLOSED:
                self.left.add(conn)
                yield commands.CloseConnection(conn)
        context = self.context.fork()
        if command.server is not None:
            context.server = command.server
            self.child = TCPLayer(context, ignore=True)
        else:
            context.server = Server(address=(command.target.host, command.target.port))
            self.child = Inside(context, self.desk, command.head, command.target)
        yield from self.child.handle_event(events.Start())
        if early:
            yield from self.child.handle_event(events.DataReceived(self.context.client, early))


class Connect(layer.Layer):
    """One CONNECT: its answer, and the way into the tunnel. It is an exchange of its own only where it fails."""

    def __init__(self, context: Context, stream_id: int, desk: StreamDesk) -> None:
        super().__init__(context)
        self.stream_id = stream_id
        self.desk = desk
        self._head: ClientHead | None = None
        self._over = False

    def _handle_event(self, event: events.Event) -> Commands:
        if self._over:
            return
        if isinstance(event, ClientHead):
            self._head = event
        elif isinstance(event, ClientGone):
            self._over = True
            yield DropStream(self.stream_id)
        elif isinstance(event, ClientEnd):
            assert self._head is not None
            yield from self._go(self._head)

    def _go(self, head: ClientHead) -> Commands:
        assert self.desk.options.forward is not None
        target = tunnel_target(head.head.target)
        problem = "HTTP/1.0 cannot" if head.bad is not None else None
        if target is None or problem is not None or head.framing != "none":
            detail = f"CONNECT {head.head.target[:200]!r} does not name a host and a port"
            if head.framing != "none":
                detail = "a CONNECT with a body is not understood"
            yield from self._refuse(head, answers.blocked(detail), 400, recorded=True)
            return
        server = None
        if not self.desk.options.forward.wants(target.host, target.port):
            server = Server(address=(target.host, target.port))
            note = self.desk.note(server)
            note.target, note.server_name = target, target.host
            err: str | None = yield commands.OpenConnection(server)
            if err is not None:
                failure = note.failure or answers.unreachable(target, err)
                yield from self._refuse(head, failure, None, recorded=False)
                return
        if self._over:
            return
        self._over = True
        yield SendHttp(Give(self.stream_id, b"", "none", ESTABLISHED), self.context.client)
        yield DropStream(self.stream_id)
        yield Enter(head, target, server)

    def _refuse(self, head: ClientHead, failure: Failure, status: int | None, *, recorded: bool) -> Commands:
        self._over = True
        response = answers.answer(failure, status_code=status)
        given = Response(
            response.status_code, response.reason, "1.1", framed(response.headers, "length", close=True),
            response.content,
        )  # fmt: skip
        if recorded:
            problem = yield from record_connect(self.desk, head, failure, given)
            if problem is not None:
                response = answers.not_recorded(problem)
                given = Response(
                    response.status_code, response.reason, "1.1", framed(response.headers, "length", close=True),
                    response.content,
                )  # fmt: skip
        yield SendHttp(Give(self.stream_id, given.content.data, "length", given, last=True), self.context.client)
        yield DropStream(self.stream_id)
        yield SendHttp(ClientFinish(self.stream_id, close=True), self.context.client)


def record_connect(
    desk: StreamDesk, head: ClientHead, failure: Failure, given: Response | None
) -> layer.CommandGenerator[ScimproxyError | None]:
    """Record a CONNECT that led nowhere."""
    way = desk.route(head, None)
    passage = desk.begin(head, Route(way.request, way.options, way.caller))
    passage.failure, passage.given = failure, given
    passage.origin = "proxy" if given is not None else None
    passage.ended = "closed after the answer" if given is not None else "closed inside the TLS handshake"
    wait = Wait(partial(desk.record, passage))
    yield wait
    return wait.problem


class Inside(layer.Layer):
    """A tunnel to a host that is wanted: waits for its first byte, then knows what speaks there."""

    def __init__(self, context: Context, desk: StreamDesk, head: ClientHead, target: Target) -> None:
        super().__init__(context)
        self.desk = desk
        self.head = head
        self.target = target
        self.child: layer.Layer | None = None

    def handle_event(self, event: events.Event) -> Commands:
        """Pass an event on to what the tunnel holds."""
        if self.child is not None:
            yield from self.child.handle_event(event)
        elif isinstance(event, events.DataReceived):
            self.child = self._child(event.data)
            yield from self.child.handle_event(events.Start())
            yield from self.child.handle_event(event)
        elif isinstance(event, events.ConnectionClosed):
            yield commands.CloseConnection(self.context.client)

    def _handle_event(self, event: events.Event) -> Commands:
        yield from self.handle_event(event)

    def _child(self, first: bytes) -> layer.Layer:
        if first[:1] == b"\x16":  # a TLS handshake record (RFC 8446 section 5.1)
            context = self.context.fork()
            secured = ClientTls(context, self.desk, self.head, self.target)
            secured.child_layer = Secured(context, self.desk, self.target)
            return secured
        plain = Target("http", self.target.host, self.target.port)
        return Router(self.context.fork(), self.desk, plain)


class ClientTls(ClientTLSLayer):
    """mitmproxy's TLS towards the client; a handshake that fails is recorded, and the end is said."""

    def __init__(self, context: Context, desk: StreamDesk, head: ClientHead, target: Target) -> None:
        super().__init__(context)
        self.desk = desk
        self.head = head
        self.target = target

    def on_handshake_error(self, err: str) -> Commands:
        """Record that the client did not want our certificate, or what else went wrong."""
        note = self.desk.note(self.context.client)
        failure = answers.client_tls(self.target, err)
        note.close_reason = failure.message
        yield from record_connect(self.desk, self.head, failure, None)
        yield from super().on_handshake_error(err)

    def send_close(self, command: commands.CloseConnection) -> Commands:
        """Say that nothing more comes, as RFC 8446 section 6.1 wants it, then close."""
        if self.tls is not None:
            try:
                self.tls.shutdown()
            except SSL.Error:
                pass  # the handshake is not through, or the client has closed
            else:
                yield from self.tls_interact()
        yield from super().send_close(command)


class Secured(layer.Layer):
    """Inside TLS: HTTP/1.1 or HTTP/2, as the handshake settled; nothing where there was no handshake."""

    def __init__(self, context: Context, desk: Desk, target: Target) -> None:
        super().__init__(context)
        self.desk = desk
        self.target = target
        self.router: Router | None = None

    def handle_event(self, event: events.Event) -> Commands:
        """Pass an event on once the handshake is through."""
        if isinstance(event, events.Start) and self.context.client.tls_established:
            self.router = Router(self.context.fork(), self.desk, self.target)
        if self.router is not None:
            yield from self.router.handle_event(event)

    def _handle_event(self, event: events.Event) -> Commands:
        yield from self.handle_event(event)
