"""One exchange inside the mitmproxy engine: from the request's head to the release of the answer's last byte.

One rule: nothing that ends an answer is written before the recorder has returned. Sans-io: it asks its desk for
clocks, the recorder and timers. Bodies up to `stream_above` are held whole, longer ones pass through a tap, and of a
streamed answer the last byte is held back.
"""

from __future__ import annotations

from dataclasses import replace
from functools import partial

from mitmproxy.connection import Connection, Server
from mitmproxy.proxy import events, layer
from mitmproxy.proxy.context import Context
from mitmproxy.proxy.layers.http import DropStream, SendHttp

from scimproxy.errors import ScimproxyError
from scimproxy.exchange import Content, Failure, Headers, Phase, Request, Response
from scimproxy.proxy import answers
from scimproxy.proxy.engine import EngineOptions, Target
from scimproxy.proxy.forwarding import (
    Framing,
    Refusal,
    Tap,
    client_framing,
    may_retry,
    refuse_request,
    safe_trailers,
    wants_close,
    wants_websocket,
)
from scimproxy.proxy.guard import too_large
from scimproxy.proxy.h2_heads import lowered
from scimproxy.proxy.locations import rewrite_response
from scimproxy.proxy.mitm_desk import Commands, StreamDesk
from scimproxy.proxy.mitm_details import Note
from scimproxy.proxy.mitm_events import (
    Abort,
    Ask,
    ClientData,
    ClientEnd,
    ClientFinish,
    ClientGone,
    ClientHead,
    Cut,
    Give,
    Interim,
    More,
    Reach,
    TimedOut,
    UpstreamData,
    UpstreamEnd,
    UpstreamFailed,
    UpstreamHead,
    Wait,
)
from scimproxy.proxy.mitm_heads import client_head, own_head, switching_head, upstream_head
from scimproxy.proxy.mitm_websocket import MessageLog
from scimproxy.proxy.passage import Passage

__all__ = ["Stream"]


class Stream(layer.Layer):
    """The layer that joins a client's request and an upstream's answer; `tunnel` is where a CONNECT before it led."""

    def __init__(self, context: Context, stream_id: int, desk: StreamDesk, tunnel: Target | None = None) -> None:
        super().__init__(context)
        self.stream_id = stream_id
        self.desk = desk
        self.tunnel = tunnel
        self.options = desk.options
        self.passage: Passage = None  # type: ignore[assignment]  # set by the first event, before anything else
        self.active_m = 0.0
        self.over = False
        self._request_body = bytearray()
        self.request_done = False
        self._request_framing: Framing = "none"
        self._uploading = False
        self._malformed = False
        self._gone = False
        self._own: tuple[Failure | None, Response] | None = None
        self._upstream: Connection | None = None
        self._note: Note | None = None
        self._answer_body = bytearray()
        self._answer_framing: Framing = "none"
        self._answer_length: int | None = None
        self._answering = False
        self._held = b""
        self.messages: MessageLog | None = None
        """The log of a WebSocket, from its 101 on."""

    def _handle_event(self, event: events.Event) -> Commands:
        if self.over or isinstance(event, events.Start):
            return
        self.active_m = self.desk.now()
        if isinstance(event, ClientHead):
            yield from self._client_head(event)
        elif isinstance(event, ClientData):
            yield from self._client_data(event.data)
        elif isinstance(event, ClientEnd):
            yield from self._client_end(event)
        elif isinstance(event, ClientGone):
            yield from self._client_gone(event)
        elif isinstance(event, UpstreamHead):
            yield from self._upstream_head(event)
        elif isinstance(event, UpstreamData):
            yield from self._upstream_data(event.data)
        elif isinstance(event, UpstreamEnd):
            yield from self._upstream_end(event)
        elif isinstance(event, UpstreamFailed):
            yield from self._upstream_failed(event)
        elif isinstance(event, Interim):
            yield SendHttp(event, self.context.client)
        elif isinstance(event, TimedOut):
            yield from self._timed_out()

    # -- the request ----------------------------------------------------------------------------------------------

    def _client_head(self, event: ClientHead) -> Commands:
        route = self.desk.route(event, self.tunnel)
        self.options = route.options
        self.passage = passage = self.desk.begin(event, route)
        request = passage.request
        length = request.headers.get("content-length")
        self._request_framing = event.framing
        expects = (request.headers.get("expect") or "").lower() == "100-continue"
        target = self._target(event.bad or route.refusal, understood=event.bad is None)
        if self._own is not None:
            if self._malformed or (self._request_framing != "none" and (expects or not _fits(length, self.options))):
                yield from self._give(*self._own)
            return
        passage.upstream_target = target
        passage.upstream_headers = upstream_head(passage.request, passage.caller, self.options, self._request_framing)
        if self._request_framing == "none":
            return
        if expects:
            yield SendHttp(Interim(self.stream_id, Response(100, "Continue")), self.context.client)
        if not _fits(length or "0", self.options):
            yield from self._begin_upload()

    def _target(self, refusal: Refusal | None, *, understood: bool) -> str:
        """Return the target for the upstream; where it is not to be asked, `_own` is our answer."""
        request = self.passage.request
        if refusal is None:
            refusal = refuse_request(
                request.method, request.target, request.headers, request.http_version, websocket=True
            )
        self._malformed = refusal is not None
        mapped = refusal or self.desk.admit(self.passage, self.options)
        problem = self.desk.refusing()
        if isinstance(mapped, Response):
            self._own = None, mapped
        elif problem is not None:
            self._own = None, answers.not_recorded(problem)
        elif isinstance(mapped, Refusal):
            if understood:
                self._own = answers.turned_away(mapped)
            else:
                failure = answers.client_protocol(mapped.detail)
                self._own = failure, answers.answer(failure, status_code=mapped.status_code)
        return mapped if isinstance(mapped, str) else ""

    def _client_data(self, data: bytes) -> Commands:
        if self.messages is not None:
            self.messages.feed("client", data)
            yield from self._to_upstream(data)
            return
        self.passage.request_tap.feed(data)
        if self._own is not None or self._gone:
            return
        if self._uploading:
            yield from self._to_upstream(data)
            return
        self._request_body += data
        most = self._most()
        if most is not None:
            if len(self._request_body) > most:
                self._malformed = True
                yield from self._give(*answers.turned_away(too_large(most)))
        elif len(self._request_body) > self.options.stream_above:
            yield from self._begin_upload()

    def _most(self) -> int | None:
        """Return the bound on a body that does not tell its length; then it is held until it ends."""
        guard = self.options.guard
        return None if guard is None or self._request_framing != "chunked" else guard.max_body

    def _begin_upload(self) -> Commands:
        self._uploading = True
        if (yield from self._connect()):
            self.desk.watch(self)
            yield from self._ask()
            if self._request_body:
                yield from self._to_upstream(bytes(self._request_body))
                self._request_body.clear()

    def _client_end(self, event: ClientEnd) -> Commands:
        self.request_done = True
        passage = self.passage
        passage.request_wire = event.wire_bytes or 0
        passage.request_trailers = event.trailers
        if self._own is not None:
            yield from self._give(*self._own)
        elif self._gone:
            return
        elif self._uploading:
            yield from self._finish_request()
        else:
            yield from self._forward()

    def _forward(self) -> Commands:
        """Send the request on that was held whole."""
        if (yield from self._connect()):
            yield from self._send_whole()

    def _send_whole(self) -> Commands:
        yield from self._ask()
        if self._request_body:
            yield from self._to_upstream(bytes(self._request_body))
        yield from self._finish_request()

    # -- upstream -------------------------------------------------------------------------------------------------

    def _connect(self, *, fresh: bool = False) -> layer.CommandGenerator[bool]:
        """Get an upstream connection; answers the client and returns False where there is none."""
        passage, target = self.passage, self.options.target
        passage.attempts = (passage.attempts or 0) + 1
        request, client = passage.request, self.context.client
        http2 = self._h2 if self.options.forward is not None else self.options.http2
        if wants_websocket(request.method, request.headers, request.http_version):
            http2 = False
        name = client.sni if self.tunnel is not None else None
        reach = Reach.of(target, request.method, server_name=name, fresh=fresh, http2=http2)
        conn: Server | None
        conn, err = yield reach
        assert reach.note is not None
        self._gone = any(isinstance(waiting, ClientGone) for waiting in self._paused_event_queue)
        if conn is None:
            passage.link = reach.note.link(None)
            if self._gone:
                return False
            yield from self._give_failure(reach.note.failure or answers.unreachable(target, err or "no reason known"))
            return False
        self._note, self._upstream = reach.note, conn
        self.context.server = conn
        if self._gone:
            return False  # the client went away meanwhile: nothing is sent, the queue tells the rest
        reach.note.exchanges += 1
        reach.note.idle_since_m = None
        passage.link = reach.note.link(reach.note.exchanges)
        passage.ready_m = self.desk.now()
        return True

    def _ask(self) -> Commands:
        assert self._upstream is not None
        assert self.passage.upstream_headers is not None
        assert self.passage.upstream_target is not None
        if self._upstream.alpn == b"h2":
            self.passage.upstream_headers = lowered(self.passage.upstream_headers)
        head = Request(
            self.passage.request.method, self.passage.upstream_target, headers=self.passage.upstream_headers
        )
        yield SendHttp(Ask(self.stream_id, head, self._request_framing), self._upstream)

    def _to_upstream(self, data: bytes) -> Commands:
        assert self._upstream is not None
        yield SendHttp(More(self.stream_id, data), self._upstream)

    def _finish_request(self) -> Commands:
        assert self._upstream is not None
        last = More(self.stream_id, b"", last=True, trailers=safe_trailers(self.passage.request_trailers))
        yield SendHttp(last, self._upstream)
        self.passage.sent_m = self.desk.now()
        self.desk.watch(self)

    def _abort(self, reason: str) -> Commands:
        if self._upstream is not None:
            yield SendHttp(Abort(self.stream_id, reason), self._upstream)
            self._upstream = None

    # -- the answer -----------------------------------------------------------------------------------------------

    def _upstream_head(self, event: UpstreamHead) -> Commands:
        passage = self.passage
        passage.came, passage.first_m, passage.origin = event.response, event.first_m, "upstream"
        if event.response.status_code == 101:
            yield from self._switch(event.response)
            return
        self._answer_framing = client_framing(event.framing, passage.request.http_version)
        self._answer_length = event.length
        if event.length is not None and event.length > self.options.stream_above:
            yield from self._begin_answer()

    def _begin_answer(self) -> Commands:
        passage = self.passage
        assert passage.came is not None
        self._answering = True
        given = self._given_of(passage.came)
        if self.options.rewrite_locations:
            given, passage.rewrites = rewrite_response(given, self.options, passage.caller.origin(self.options))
        passage.given = given
        yield self._piece(b"", head=given)
        if self._answer_body:
            yield from self._pass_on(bytes(self._answer_body))
            self._answer_body.clear()

    def _given_of(self, came: Response) -> Response:
        """Return the head that the client is given."""
        version = self.passage.request.http_version
        return client_head(came, version, self._answer_framing, close=self._closing(), length=self._answer_length)

    @property
    def _h2(self) -> bool:
        """Whether the client speaks HTTP/2."""
        return self.passage.request.http_version == "2"

    def _upstream_data(self, data: bytes) -> Commands:
        if self.messages is not None:
            self.messages.feed("upstream", data)
            yield self._piece(data)
            return
        self.passage.response_tap.feed(data)
        if self._answering:
            yield from self._pass_on(data)
            return
        self._answer_body += data
        if len(self._answer_body) > self.options.stream_above:
            yield from self._begin_answer()

    def _pass_on(self, data: bytes) -> Commands:
        """Write a piece of a streamed answer, all but the last byte so far."""
        data = self._held + data
        self._held = data[-1:]
        if len(data) > 1:
            yield self._piece(data[:-1])

    def _upstream_end(self, event: UpstreamEnd) -> Commands:
        passage = self.passage
        passage.last_m = self.desk.now()
        self.desk.unwatch(self)
        if self.messages is not None:
            yield from self._websocket_over("closed by the upstream", event.wire_bytes)
            return
        if not self.request_done:
            yield from self._abort("the upstream answered before it had the whole request")
        self._upstream = None
        trailers = safe_trailers(event.trailers) if self._answer_framing == "chunked" or self._h2 else None
        body = self._held if self._answering else self._whole_answer()
        self._keep_partial()
        assert passage.given is not None
        passage.given = replace(passage.given, trailers=trailers, wire_bytes=event.wire_bytes)
        yield from self._release(body, trailers)

    def _whole_answer(self) -> bytes:
        """Make the answer that the client is given of one that was held whole, and return its body."""
        passage = self.passage
        assert passage.came is not None
        body = bytes(self._answer_body)
        given = self._given_of(passage.came)
        given = replace(given, content=passage.response_tap.content())
        if self.options.rewrite_locations:
            whole = replace(given, content=Content.of(body))
            rewritten, passage.rewrites = rewrite_response(whole, self.options, passage.caller.origin(self.options))
            body = rewritten.content.data
            tap = Tap(self.options.max_content)
            tap.feed(body)
            given = replace(rewritten, content=tap.content())
        passage.given = given
        return body

    def _release(self, body: bytes, trailers: Headers | None) -> Commands:
        """Record, then write what is left of the upstream's answer."""
        passage = self.passage
        assert passage.given is not None
        close = self._closing()
        passage.ended = "closed after the answer" if close else "keep-alive"
        problem = yield from self._record()
        if problem is not None:
            if self._answering:
                yield from self._cut()
            else:
                yield from self._write_own(answers.not_recorded(problem), close=close)
            return
        yield self._piece(body, head=None if self._answering else passage.given, last=True, trailers=trailers)
        yield from self._finish(close=close)

    # -- what else may happen -------------------------------------------------------------------------------------

    def _upstream_failed(self, event: UpstreamFailed) -> Commands:
        self.desk.unwatch(self)
        self._upstream = None
        passage = self.passage
        replayable = not self._uploading and self.request_done
        unseen = event.unseen and replayable and passage.attempts == 1
        if unseen or may_retry(
            passage.request.method,
            attempts=passage.attempts or 0,
            reused=self._note is not None and self._note.exchanges > 1,
            answered=not event.untouched,
            replayable=replayable,
        ):
            if (yield from self._connect(fresh=True)):
                yield from self._send_whole()
            return
        failure = event.failure
        if event.untouched:
            failure = answers.closed(self.options.target, attempts=passage.attempts)
        yield from self._give_failure(failure)

    def _timed_out(self) -> Commands:
        phase: Phase = "wait" if self.passage.first_m is None else "receive"
        if not self.request_done:
            phase = "send"
        failure = answers.timed_out(self.options.target, phase, self.options.response_timeout_s)
        yield from self._give_failure(failure)

    def _client_gone(self, event: ClientGone) -> Commands:
        passage = self.passage
        if self.messages is not None:
            yield from self._abort("the client is gone")
            yield from self._websocket_over("closed by the client", None)
            return
        if event.problem is not None:
            self._malformed = True
            yield from self._give_failure(answers.client_protocol(event.problem), status_code=event.status_code)
            return
        phase: Phase = "wait" if passage.first_m is None else "receive"
        if not self.request_done:
            phase = "request"
        passage.failure = answers.client_gone(phase, event.reset)
        passage.ended = (
            ("closed" if event.reset is None else "reset")
            + " by the client "
            + ("in the middle of the answer" if self._answering else "before the answer")
        )
        yield from self._abort("the client is gone")
        self._keep_partial()
        yield from self._record()
        yield from self._drop()

    def _keep_partial(self) -> None:
        """Note how much of a streamed answer the client was given."""
        passage = self.passage
        if self._answering and passage.given is not None:
            passage.given = replace(passage.given, content=passage.response_tap.content())

    def _give_failure(self, failure: Failure, *, status_code: int | None = None) -> Commands:
        self.desk.unwatch(self)
        yield from self._abort(failure.message)
        if self._answering:
            self.passage.failure = failure
            self.passage.last_m = self.desk.now()
            self.passage.ended = "cut in the middle of the answer"
            self._keep_partial()
            yield from self._record()
            yield from self._cut()
        else:
            yield from self._give(failure, answers.answer(failure, status_code=status_code))

    def _give(self, failure: Failure | None, response: Response) -> Commands:
        """Answer by ourselves; without a failure (nothing can be recorded) it is not recorded either."""
        passage = self.passage
        close = self._closing()
        if failure is None:
            self.desk.forget(passage)
        else:
            given = own_head(response, self.passage.request.http_version, close=close)
            passage.failure, passage.origin = failure, "proxy"
            passage.given = answers.without_content(given) if passage.request.method == "HEAD" else given
            passage.ended = "closed after the answer" if close else "keep-alive"
            problem = yield from self._record()
            if problem is not None:
                response = answers.not_recorded(problem)
        yield from self._write_own(response, close=close)

    def _write_own(self, response: Response, *, close: bool) -> Commands:
        body = b"" if self.passage.request.method == "HEAD" else response.content.data
        head = own_head(response, self.passage.request.http_version, close=close)
        self._answer_framing = "length"
        yield self._piece(body, head=head, last=True)
        yield from self._finish(close=close)

    # -- WebSocket ------------------------------------------------------------------------------------------------

    def _switch(self, came: Response) -> Commands:
        """Record the handshake, let the client have it, and from then on listen to messages."""
        self.desk.unwatch(self)
        passage = self.passage
        passage.given = switching_head(came)
        assert self._note is not None
        assert passage.link is not None
        passage.link = self._note.link(passage.link.index)
        wait = Wait(partial(self.desk.opened, passage))
        yield wait
        if wait.problem is not None:
            yield from self._abort("the handshake could not be recorded")
            passage.given = None
            self.desk.forget(passage)
            yield from self._write_own(answers.not_recorded(wait.problem), close=True)
            return
        self.messages = MessageLog(came.headers, passage.response_tap, self.options.max_content, self.desk.moment)
        self._answer_framing = "none"
        yield self._piece(b"", head=passage.given)

    def _websocket_over(self, ended: str, wire_bytes: int | None) -> Commands:
        passage = self.passage
        passage.ended = ended
        assert passage.given is not None
        passage.given = replace(passage.given, content=passage.response_tap.content(), wire_bytes=wire_bytes)
        yield from self._record()
        yield from self._cut()

    def _record(self) -> layer.CommandGenerator[ScimproxyError | None]:
        self.desk.unwatch(self)
        if self._note is not None and self.passage.link is not None:
            self.passage.link = self._note.link(self.passage.link.index)
        wait = Wait(partial(self.desk.record, self.passage))
        yield wait
        return wait.problem

    # -- the end --------------------------------------------------------------------------------------------------

    def _closing(self) -> bool:
        """Whether the client's connection ends after this answer."""
        request = self.passage.request
        return (
            self.desk.stopping
            or self._malformed
            or not (self.request_done or self._request_framing == "none")
            or request.http_version == "1.0"
            or self._answer_framing == "close"
            or wants_close(request.headers, request.http_version)
        )

    def _piece(
        self, data: bytes, *, head: Response | None = None, last: bool = False, trailers: Headers | None = None
    ) -> SendHttp:
        return SendHttp(Give(self.stream_id, data, self._answer_framing, head, last, trailers), self.context.client)

    def _finish(self, *, close: bool) -> Commands:
        yield from self._drop()
        yield SendHttp(ClientFinish(self.stream_id, close), self.context.client)

    def _cut(self) -> Commands:
        note = self.desk.note(self.context.client)
        note.close_reason = self.passage.ended or "the exchange could not be recorded"
        yield from self._drop()
        yield SendHttp(Cut(self.stream_id), self.context.client)

    def _drop(self) -> Commands:
        self.over = True
        yield DropStream(self.stream_id)


def _fits(length: str | None, options: EngineOptions) -> bool:
    """Whether a body of an announced length is held whole; one of unknown length is not known to fit."""
    return length is not None and int(length) <= options.stream_above
