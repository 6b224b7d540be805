"""The mitmproxy engine's own ends of HTTP/1.1: the client's side, the upstream's side, and the layer between.

One rule: sans-io, like all of mitmproxy's layers: events come in, commands go out. They replace mitmproxy's own ends
because those answer in HTML, die of trailers, take a 1xx for the answer, and lose the request when an idle upstream
connection closes. What passes between the two sides is decided in `mitm_stream`.
"""

from __future__ import annotations

from collections.abc import Iterator

import h11
from h11._receivebuffer import ReceiveBuffer
from mitmproxy.connection import ConnectionState
from mitmproxy.proxy import commands, events
from mitmproxy.proxy.context import Context
from mitmproxy.proxy.layers.http._base import HttpConnection, ReceiveHttp
from mitmproxy.proxy.layers.http._http1 import TBodyReader, make_body_reader

from scimproxy.exchange import Failure, Headers, Request, Response
from scimproxy.proxy import answers
from scimproxy.proxy.forwarding import (
    Framing,
    Refusal,
    response_framing,
    suspect,
    wants_close,
    wants_websocket,
)
from scimproxy.proxy.mitm_desk import Commands, Desk
from scimproxy.proxy.mitm_events import (
    Abort,
    Ask,
    ClientData,
    ClientEnd,
    ClientFinish,
    ClientGone,
    ClientHead,
    ClientSilent,
    Cut,
    Give,
    HeadError,
    Interim,
    More,
    UpstreamData,
    UpstreamEnd,
    UpstreamFailed,
    UpstreamHead,
    read_request_head,
    read_response_head,
    written_answer,
    written_chunk,
    written_headers,
    written_last_chunk,
)

__all__ = ["ClientSide", "UpstreamSide"]

MAX_REQUEST_HEAD = 64 * 1024
MAX_RESPONSE_HEAD = 256 * 1024
MAX_WAITING = 1024 * 1024
"""Bytes that a client may send ahead while its answer is made (pipelining)."""

LINGER_S = 5.0
"""How long a client may take to close after we did, so that it can read our last words (RFC 9112 section 9.6)."""


class _Side(HttpConnection):
    """What both ends have in common: a buffer, and a body to read from it."""

    def __init__(self, context: Context, conn: object, desk: Desk) -> None:
        super().__init__(context, conn)  # type: ignore[arg-type]  # Client or Server, both are Connections
        self.desk = desk
        self.buf = ReceiveBuffer()
        self.stream_id: int | None = None
        self.received = 0
        self.message_began = 0
        self.reader: TBodyReader | None = None

    def _consumed(self) -> int:
        """Return the bytes of the message being read, so far."""
        return self.received - len(self.buf) - self.message_began

    def _lines(self) -> list[bytes] | None:
        """Return the lines of the next head, None until it is complete; empty lines before it are skipped."""
        while True:
            lines = self.buf.maybe_extract_lines()
            if lines is None or lines:
                return None if lines is None else [bytes(line) for line in lines]

    def _body(self, *, eof: bool) -> Iterator[bytes | Headers]:
        """Yield what is there of the body; its trailers (maybe none) are its end.

        Raises:
            h11.ProtocolError: the framing is broken, or the peer closed too early.
        """
        assert self.reader is not None
        while True:
            piece = self.reader.read_eof() if eof else self.reader(self.buf)
            if isinstance(piece, h11.Data):
                if piece.data:
                    yield bytes(piece.data)
            elif piece is not None:
                yield Headers.from_raw(piece.headers.raw_items())
                return
            else:
                return


class ClientSide(_Side):
    """Reads requests of one client connection one after another, and writes the answers it is given."""

    def __init__(self, context: Context, desk: Desk) -> None:
        super().__init__(context, context.client, desk)
        self.stream_id: int = 1
        self.state = "head"
        self.began: tuple[float, float] | None = None
        self.active_m = desk.now()

    def _handle_event(self, event: events.Event) -> Commands:
        if isinstance(event, Give):
            if event.head is not None and event.head.status_code == 101:
                self.state = "raw"
            yield commands.SendData(self.conn, _given(event))
            if self.state == "raw" and self.buf:
                data = bytes(self.buf)
                self.buf = ReceiveBuffer()
                yield ReceiveHttp(ClientData(self.stream_id, data))
        elif isinstance(event, Interim):
            if self.request.http_version == "1.1":
                yield commands.SendData(self.conn, written_answer(event.response))
        elif isinstance(event, Cut):
            yield commands.CloseConnection(self.conn)
        elif isinstance(event, ClientFinish):
            yield from self._finish(close=event.close)
        elif isinstance(event, events.DataReceived):
            yield from self._data(event.data)
        elif isinstance(event, events.ConnectionClosed):
            yield from self._closed()
        elif isinstance(event, ClientSilent):
            yield from self._silent()
        elif isinstance(event, events.Wakeup):
            yield commands.CloseConnection(self.conn)

    def due_m(self) -> float | None:
        """Return when the client will have been silent for too long; None where it is not its turn."""
        if self.state == "body":
            return self.active_m + self.desk.options.head_timeout_s
        if self.state != "head":
            return None
        if self.began is not None:
            return self.began[1] + self.desk.options.head_timeout_s
        return self.active_m + self.desk.options.idle_timeout_s

    def _silent(self) -> Commands:
        detail = f"nothing came for {self.desk.options.head_timeout_s:g} s inside the request"
        if self.state == "body":
            self.state = "wait"
            yield ReceiveHttp(ClientGone(self.stream_id, detail, 408))
        elif self.state == "head" and self.began is not None:
            yield from self._hang_up(Refusal(408, detail))
        elif self.state == "head":
            self.desk.note(self.conn).close_reason = f"idle for {self.desk.options.idle_timeout_s:g} s"
            yield commands.CloseConnection(self.conn)

    def _data(self, data: bytes) -> Commands:
        self.received += len(data)
        self.active_m = self.desk.now()
        if self.state == "linger":
            return
        if self.state == "raw":
            yield ReceiveHttp(ClientData(self.stream_id, data))
            return
        self.buf += data
        if self.state == "wait" and len(self.buf) > MAX_WAITING:
            self.desk.note(self.conn).close_reason = "the client sent too much ahead"
            yield commands.CloseConnection(self.conn)
        yield from self._go_on()

    def _go_on(self) -> Commands:
        if self.state == "head" and self.buf:
            yield from self._head()
        if self.state == "body":
            yield from self._read_body()

    def _head(self) -> Commands:
        if self.began is None:
            self.began = self.desk.moment(), self.desk.now()
        lines = self._lines()
        bad: Refusal | None = None
        if lines is None:
            if len(self.buf) <= MAX_REQUEST_HEAD:
                return
            yield from self._hang_up(Refusal(431, f"the request head is longer than {MAX_REQUEST_HEAD} bytes"))
            return
        try:
            request = read_request_head(lines)
        except HeadError as exc:
            if exc.request is None:
                yield from self._hang_up(exc.refusal)
                return
            request, bad = exc.request, exc.refusal
        self.desk.note(self.conn).http_version = request.http_version
        self.request = request
        self.state = "body"
        self.reader = make_body_reader(0 if bad is not None else _request_size(request))
        at, at_m = self.began
        framing = _request_framing(request)
        yield ReceiveHttp(ClientHead(self.stream_id, request, at=at, at_m=at_m, framing=framing, bad=bad))

    def _read_body(self) -> Commands:
        try:
            for piece in self._body(eof=False):
                if isinstance(piece, bytes):
                    yield ReceiveHttp(ClientData(self.stream_id, piece))
                else:
                    if self.state == "body":
                        self.state = "wait"
                    yield ReceiveHttp(ClientEnd(self.stream_id, piece if len(piece) else None, self._consumed()))
                if self.state == "linger":
                    return
        except h11.ProtocolError as exc:
            self.state = "wait"
            yield ReceiveHttp(ClientGone(self.stream_id, str(exc)))

    def _finish(self, *, close: bool) -> Commands:
        if self.state == "linger":
            return  # the client went away meanwhile; what it sent ahead is not begun
        if close or self.state == "body":
            yield from self._linger()
            return
        self.stream_id += 2
        self.state = "head"
        self.message_began = self.received - len(self.buf)
        self.began = None
        self.active_m = self.desk.now()
        yield from self._go_on()

    def _linger(self) -> Commands:
        """Close our half and let the client read; what it still sends is thrown away."""
        self.state = "linger"
        note = self.desk.note(self.conn)
        note.closed_by, note.close_reason = note.closed_by or "proxy", note.close_reason or "closed after an answer"
        yield commands.CloseTcpConnection(self.conn, half_close=True)
        yield commands.RequestWakeup(LINGER_S)

    def _hang_up(self, refusal: Refusal) -> Commands:
        """Answer a request that is not known well enough to be recorded, and close."""
        response = answers.answer(answers.client_protocol(refusal.detail), status_code=refusal.status_code)
        headers = response.headers.with_added("Connection", "close")
        head = written_headers(f"HTTP/1.1 {response.status_code} {response.reason}", headers)
        self.desk.note(self.conn).close_reason = refusal.detail
        yield commands.Log(f"refused: {refusal.detail}")
        yield commands.SendData(self.conn, head + response.content.data)
        yield from self._linger()

    def _closed(self) -> Commands:
        if self.conn.state is not ConnectionState.CLOSED:
            yield commands.CloseConnection(self.conn)
        if self.state in {"body", "wait", "raw"}:
            self.state = "linger"
            yield ReceiveHttp(ClientGone(self.stream_id))


def _request_size(request: Request) -> int | None:
    """Return the size of a body, None for a chunked one; 0 where the framing is for `forwarding` to refuse."""
    if "transfer-encoding" in request.headers:
        return None
    length = request.headers.get("content-length") or "0"
    return int(length) if length.isascii() and length.isdigit() and len(length) < 19 else 0


def _request_framing(request: Request) -> Framing:
    """Return how the body of a request ends (RFC 9112 section 6.3)."""
    if "transfer-encoding" in request.headers:
        return "chunked"
    return "none" if request.headers.get("content-length") in {None, "0"} else "length"


def _given(event: Give) -> bytes:
    """Return a piece of an answer as bytes."""
    out = b"" if event.head is None else written_answer(event.head)
    if event.framing != "chunked":
        return out + event.data
    if event.data:
        out += written_chunk(event.data)
    return out + written_last_chunk(event.trailers) if event.last else out


class UpstreamSide(_Side):
    """Writes requests to one upstream connection and reads the answers, one at a time."""

    def __init__(self, context: Context, desk: Desk) -> None:
        super().__init__(context, context.server, desk)
        self.state = "idle"
        self.method = "GET"
        self.framing: Framing = "none"
        self.first_m: float | None = None
        self.reusable = True
        self.websocket = False
        self.told = ""

    def _handle_event(self, event: events.Event) -> Commands:
        if isinstance(event, Ask):
            asked = event.request
            self.stream_id, self.method, self.framing = event.stream_id, asked.method, event.framing
            self.state, self.first_m, self.told = "head", None, ""
            self.websocket = wants_websocket(asked.method, asked.headers, "1.1")
            self.message_began = self.received
            head = written_headers(f"{asked.method} {asked.target} HTTP/1.1", asked.headers)
            yield commands.SendData(self.conn, head)
        elif isinstance(event, More):
            yield from self._more(event)
        elif isinstance(event, Abort):
            yield from self._close(event.reason)
        elif isinstance(event, events.DataReceived):
            yield from self._data(event.data)
        elif isinstance(event, events.ConnectionClosed):
            yield from self._closed()

    def _more(self, event: More) -> Commands:
        out = event.data
        if self.framing == "chunked":
            out = (written_chunk(out) if out else b"") + (written_last_chunk(event.trailers) if event.last else b"")
        if out:
            yield commands.SendData(self.conn, out)

    def _data(self, data: bytes) -> Commands:
        if self.state == "idle":
            yield from self._close("the upstream sent something without being asked")
            return
        self.received += len(data)
        if self.state == "raw":
            assert self.stream_id is not None
            yield ReceiveHttp(UpstreamData(self.stream_id, data))
            return
        self.buf += data
        if self.first_m is None:
            self.first_m = self.desk.now()
        if self.state == "head":
            yield from self._head()
        if self.state == "body":
            yield from self._read_body(eof=False)

    def _head(self) -> Commands:
        assert self.stream_id is not None
        assert self.first_m is not None
        while (lines := self._lines()) is not None:
            try:
                response = read_response_head(lines)
                framing, length = response_framing(self.method, response.status_code, response.headers)
            except (HeadError, ValueError) as exc:
                yield from self._fail(self._protocol(str(exc)))
                return
            if (
                response.status_code == 101
                and self.websocket
                and (response.headers.get("upgrade") or "").lower() == "websocket"
            ):
                yield from self._switch(response)
                return
            if response.status_code == 101:
                yield from self._fail(self._protocol("101 Switching Protocols without being asked to"))
                return
            if response.status_code < 200:
                if response.status_code != 100:
                    yield ReceiveHttp(Interim(self.stream_id, response))
                continue
            self.state = "body"
            self.told = f"status {response.status_code}"
            self.desk.note(self.conn).http_version = response.http_version
            self.reusable = framing != "close" and not wants_close(response.headers, response.http_version)
            self.reusable = self.reusable and not suspect(response.status_code, response.headers)
            self.reader = make_body_reader({"chunked": None, "close": -1}.get(framing, length or 0))
            yield ReceiveHttp(UpstreamHead(self.stream_id, response, framing, length, self.first_m))
            return
        if len(self.buf) > MAX_RESPONSE_HEAD:
            yield from self._fail(self._protocol(f"a head longer than {MAX_RESPONSE_HEAD} bytes"))

    def _switch(self, response: Response) -> Commands:
        """From here on it is no HTTP: what comes passes as it comes."""
        assert self.stream_id is not None
        assert self.first_m is not None
        self.state = "raw"
        self.desk.note(self.conn).http_version = response.http_version
        yield ReceiveHttp(UpstreamHead(self.stream_id, response, "none", None, self.first_m))
        data = bytes(self.buf)
        self.buf = ReceiveBuffer()
        if data:
            yield ReceiveHttp(UpstreamData(self.stream_id, data))

    def _read_body(self, *, eof: bool) -> Commands:
        assert self.stream_id is not None
        try:
            for piece in self._body(eof=eof):
                if self.state != "body":
                    return
                if isinstance(piece, bytes):
                    yield ReceiveHttp(UpstreamData(self.stream_id, piece))
                else:
                    trailers, size = piece if len(piece) else None, self._consumed()
                    yield from self._done()
                    yield ReceiveHttp(UpstreamEnd(self.stream_id, trailers, size))
        except h11.ProtocolError as exc:
            partly = answers.closed(self.desk.note(self.conn).target, partly=f"{self.told}; {exc}")
            yield from self._fail(partly if eof else self._protocol(str(exc)))

    def _done(self) -> Commands:
        self.state = "idle"
        note = self.desk.note(self.conn)
        note.idle_since_m = self.desk.now()
        if not self.reusable:
            yield from self._close("the upstream does not keep its connection")
        elif self.buf:
            yield from self._close("the upstream sent more than its answer")

    def _closed(self) -> Commands:
        if self.conn.state & ConnectionState.CAN_WRITE:
            yield commands.CloseConnection(self.conn)
        if self.state == "head" and not self.buf:
            failure = answers.closed(self.desk.note(self.conn).target)
            yield from self._fail(failure, untouched=self.first_m is None)
        elif self.state == "head":
            yield from self._fail(self._protocol("it closed the connection inside a head"))
        elif self.state == "body":
            yield from self._read_body(eof=True)
        elif self.state == "raw":
            assert self.stream_id is not None
            self.state = "idle"
            yield ReceiveHttp(UpstreamEnd(self.stream_id, None, self.received - self.message_began))

    def _protocol(self, problem: str) -> Failure:
        return answers.protocol(self.desk.note(self.conn).target, problem, bytes(self.buf)[:4])

    def _fail(self, failure: Failure, *, untouched: bool = False) -> Commands:
        assert self.stream_id is not None
        self.state = "idle"
        yield from self._close(failure.message)
        yield ReceiveHttp(UpstreamFailed(self.stream_id, failure, untouched))

    def _close(self, reason: str) -> Commands:
        self.state = "idle"
        note = self.desk.note(self.conn)
        note.close_reason = note.close_reason or reason
        yield commands.CloseConnection(self.conn)
