"""A stream of the mitmproxy engine whose course an intervener decides, once its request is whole.

One rule: it only holds, answers, repeats or cuts where `mitm_stream` would go on; everything else, recording before
responding first of all, stays that module's. Where no intervener is set, none of this runs.
"""

from __future__ import annotations

from dataclasses import replace

from mitmproxy.proxy import events
from mitmproxy.proxy.context import Context
from mitmproxy.proxy.layers.http import SendHttp
from mitmproxy.proxy.layers.http._base import ReceiveHttp

from scimproxy.exchange import Headers, Request, Response
from scimproxy.proxy import answers, directing
from scimproxy.proxy.destinations import Route
from scimproxy.proxy.engine import Target
from scimproxy.proxy.forwarding import Framing
from scimproxy.proxy.intervention import Intervention
from scimproxy.proxy.mitm_desk import Commands, StreamDesk
from scimproxy.proxy.mitm_events import ClientGone, ClientHead, Due
from scimproxy.proxy.mitm_heads import client_head
from scimproxy.proxy.mitm_stream import Stream

__all__ = ["DirectedStream"]

_AS_ALWAYS = Intervention()


class DirectedStream(Stream):
    """The layer for one exchange, and what was decided about it."""

    def __init__(self, context: Context, stream_id: int, desk: StreamDesk, tunnel: Target | None = None) -> None:
        super().__init__(context, stream_id, desk, tunnel)
        self._plan = _AS_ALWAYS
        self._decided = False
        self._waits = False
        self._delivered = False
        self._released: tuple[bytes, Headers | None] | None = None

    def _handle_event(self, event: events.Event) -> Commands:
        if isinstance(event, Due) and not self.over:
            if self._released is not None:
                yield from self._release(*self._released)
            elif self._waits:
                self._waits = False
                yield from self._act()
            return
        yield from super()._handle_event(event)

    # -- the request ----------------------------------------------------------------------------------------------

    def _begin_upload(self) -> Commands:
        """Hold the request until it is whole, or longer than what is kept of one."""
        if self._decided:
            if not self._waits:
                yield from super()._begin_upload()
        elif self._most() is None and not self.passage.request_tap.whole:
            yield from self._decide()

    def _forward(self) -> Commands:
        if not self._decided:
            yield from self._decide()
        elif not self._waits:
            yield from super()._forward()

    def _decide(self) -> Commands:
        self._decided = True
        options, head = self.options, self.passage.request
        assert options.intervener is not None
        passage = directing.directed(self.passage)
        if passage.wanted:
            passage.intervention = options.intervener.intervene(
                Request(head.method, head.target, head.http_version, head.headers, passage.request_tap.content())
            )
        self._plan = plan = passage.intervention or _AS_ALWAYS
        if plan.delay_s:
            self._waits = True
            self.desk.later(plan.delay_s, Due(self.stream_id))
        else:
            yield from self._act()

    def _act(self) -> Commands:
        plan, passage = self._plan, self.passage
        missing = directing.nobody(self.options) if plan.asks else None
        if not plan.asks or missing is not None:
            passage.upstream_target = passage.upstream_headers = None
        if missing is not None:
            yield from self._give_failure(missing)
        elif plan.cut == "before":
            yield from self._reset(None)
        elif plan.response is not None:
            yield from self._answer(directing.fitted(plan.response, passage.request))
        else:
            if plan.alter is not None:
                assert passage.upstream_headers is not None
                passage.upstream_headers = directing.asked_plainly(passage.upstream_headers)
            if self.request_done:
                yield from super()._forward()
            else:
                yield from super()._begin_upload()

    # -- the answer -----------------------------------------------------------------------------------------------

    def _answer(self, made: Response) -> Commands:
        """Give the client an answer that is ours; recorded like any other."""
        passage, close = self.passage, self._closing()
        self._gone = True  # what may still come of the request is not sent anywhere
        passage.origin = self._plan.origin
        passage.given = client_head(made, passage.request.http_version, "none", close=close, length=None)
        passage.ended = "closed after the answer" if close else "keep-alive"
        problem = yield from self._record()
        if problem is not None:
            yield from self._write_own(answers.not_recorded(problem), close=close)
            return
        self._answer_framing = "length"
        yield self._piece(made.content.data, head=passage.given, last=True)
        yield from self._finish(close=close)

    def _begin_answer(self) -> Commands:
        """Begin with an answer that is not whole yet, unless it has to be."""
        if not self._plan.holds:
            yield from super()._begin_answer()

    def _upstream_data(self, data: bytes) -> Commands:
        if not self._plan.holds or self.messages is not None:
            yield from super()._upstream_data(data)
            return
        self.passage.response_tap.feed(data)
        if self._plan.alter is not None and not self.passage.response_tap.whole:
            yield from self._give_failure(directing.too_long(self.options))

    def _whole_answer(self) -> bytes:
        plan, passage = self._plan, self.passage
        if plan.alter is None:
            return super()._whole_answer()
        assert passage.came is not None
        came = replace(passage.came, content=passage.response_tap.content())
        made, passage.rewrites = directing.altered(plan, came, passage.request)
        self._answer_framing = "length"
        passage.given = client_head(made, passage.request.http_version, "none", close=self._closing(), length=None)
        return made.content.data

    def _release(self, body: bytes, trailers: Headers | None) -> Commands:
        plan = self._plan
        kept_whole = self.request_done and self.passage.request_tap.whole
        if plan.deliveries > 1 and not self._delivered and kept_whole:
            self._delivered = True
            self._released = body, trailers
            yield from self._deliver_again()
        elif plan.cut == "after":
            yield from self._reset(self.passage.came)
        else:
            yield from super()._release(body, trailers)

    def _reset(self, came: Response | None) -> Commands:
        """Reset the client's connection, or its stream."""
        passage = self.passage
        passage.failure = directing.cut_short(self._plan, came)
        passage.ended = "reset by scimproxy"
        if came is not None and passage.given is not None:
            passage.given = replace(passage.given, content=passage.response_tap.content())
        yield from self._record()
        if not self._h2:  # there the stream alone is reset, and the connection goes on
            self.desk.harden()
        yield from self._cut()

    # -- the second delivery --------------------------------------------------------------------------------------

    def _deliver_again(self) -> Commands:
        """Let the same request go once more, as an exchange of its own; `Due` comes when it has ended."""
        router = self.desk.router
        assert router is not None
        again = Again(self, self._request_framing, replace(self._plan, deliveries=1))
        router.streams[again.stream_id] = again  # type: ignore[assignment]  # our layer in place of mitmproxy's
        yield ReceiveHttp(Due(again.stream_id))

    def _client_gone(self, event: ClientGone) -> Commands:
        if self._released is not None:
            yield ReceiveHttp(ClientGone(self.stream_id + 1))
        yield from super()._client_gone(event)


class Again(Stream):
    """The second delivery of a request: a stream whose client is nobody."""

    def __init__(self, first: DirectedStream, framing: Framing, plan: Intervention) -> None:
        super().__init__(first.context.fork(), first.stream_id + 1, first.desk, first.tunnel)
        self.first = first
        self.options = first.options
        self._request_framing = framing
        self._plan = plan

    def _handle_event(self, event: events.Event) -> Commands:
        """Do as a stream does, but say nothing to the client; tell the first stream when it is over."""
        going = self._begin_again() if isinstance(event, Due) else super()._handle_event(event)
        was_over, reply = self.over, None
        while True:
            try:
                command = going.send(reply)
            except StopIteration:
                break
            reply = None
            if not (isinstance(command, SendHttp) and command.connection is self.context.client):
                reply = yield command
        if self.over and not was_over:
            yield ReceiveHttp(Due(self.first.stream_id))

    def _begin_again(self) -> Commands:
        first, body = self.first, self.first.passage.request_tap.content().data
        at, at_m, framing = self.desk.moment(), self.desk.now(), self._request_framing
        head = ClientHead(self.stream_id, first.passage.request, at=at, at_m=at_m, framing=framing)
        route = self.desk.route(head, self.tunnel)
        self.passage = passage = self.desk.begin(head, Route(first.passage.request, route.options, route.caller))
        directed = directing.directed(passage)
        directed.intervention, directed.again = self._plan, True
        self.desk.note(self.context.client).exchanges -= 1  # it is no request of the client's
        passage.client_index = first.passage.client_index
        passage.upstream_target = first.passage.upstream_target
        passage.upstream_headers = first.passage.upstream_headers
        passage.request_trailers = first.passage.request_trailers
        passage.request_tap.feed(body)
        self._request_body += body
        self.request_done = True
        yield from self._forward()
