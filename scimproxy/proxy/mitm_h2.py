"""The mitmproxy engine's own ends of HTTP/2: the client's side and the upstream's side, on mitmproxy's `h2`.

One rule: they say the same words as the HTTP/1.1 sides in `mitm_layers`, so that a stream does not know what its ends
speak. A peer may send only as much as the other end takes: windows are given back by `settle`, never at once.
"""

from __future__ import annotations

from collections import deque
from contextlib import suppress

import h2.errors
import h2.events
from mitmproxy.proxy.context import Context
from mitmproxy.proxy.layers.http._base import HttpEvent, ReceiveHttp

from scimproxy.exchange import Failure, Headers
from scimproxy.proxy import answers
from scimproxy.proxy.forwarding import Framing, response_framing
from scimproxy.proxy.h2_heads import (
    answer_fields,
    fields_of,
    request_fields,
    request_of,
    response_of,
    stream_failure,
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
    Cut,
    Give,
    Interim,
    More,
    UpstreamData,
    UpstreamEnd,
    UpstreamFailed,
    UpstreamHead,
)
from scimproxy.proxy.mitm_h2_side import MAX_STREAMS, H2Side

__all__ = ["H2ClientSide", "H2UpstreamSide"]


class H2ClientSide(H2Side):
    """Reads the requests of one client connection, many at a time, and writes their answers."""

    def __init__(self, context: Context, desk: Desk) -> None:
        super().__init__(context, context.client, desk, client_side=False)
        self.asking: set[int] = set()
        """Streams whose request is not complete."""
        self.waiting: set[int] = set()
        """Streams whose exchange is not over."""
        self._trailers: dict[int, Headers] = {}

    def named(self, stream_id: int) -> int | None:
        """Return the wire's name of a stream, which is ours."""
        return stream_id if stream_id in self.wire.streams else None

    def due_m(self) -> float | None:
        """Return when the client will have been silent for too long; None where it is not its turn."""
        if self.asking:
            return self.active_m + self.desk.options.head_timeout_s
        return None if self.waiting else self.active_m + self.desk.options.idle_timeout_s

    def _silent(self) -> Commands:
        if not self.asking:
            self.wire.close_connection()
            yield from self._flush()
            yield from self._close(f"idle for {self.desk.options.idle_timeout_s:g} s")
            return
        detail = f"nothing came for {self.desk.options.head_timeout_s:g} s inside the request"
        self.active_m = self.desk.now()
        for stream_id in sorted(self.asking):
            self.asking.discard(stream_id)
            yield ReceiveHttp(ClientGone(stream_id, detail, 408))

    def _frame(self, frame: h2.events.Event) -> Commands:
        if isinstance(frame, h2.events.RequestReceived):
            yield from self._head(frame)
        elif isinstance(frame, h2.events.DataReceived):
            assert frame.data is not None
            self.owed[frame.stream_id] = self.owed.get(frame.stream_id, 0) + (frame.flow_controlled_length or 0)
            if frame.stream_id in self.asking and frame.data:
                yield ReceiveHttp(ClientData(frame.stream_id, frame.data))
        elif isinstance(frame, h2.events.TrailersReceived):
            self._trailers[frame.stream_id] = fields_of(frame.headers or [])
        elif isinstance(frame, h2.events.StreamEnded):
            if frame.stream_id in self.asking:
                self.asking.discard(frame.stream_id)
                yield ReceiveHttp(ClientEnd(frame.stream_id, self._trailers.pop(frame.stream_id, None), None))
        elif isinstance(frame, h2.events.StreamReset):
            self.asking.discard(frame.stream_id)
            if frame.stream_id in self.waiting:
                self.waiting.discard(frame.stream_id)
                yield ReceiveHttp(ClientGone(frame.stream_id, reset=_code(frame.error_code)))
        elif isinstance(frame, h2.events.ConnectionTerminated) and frame.error_code:
            yield from self._lost()

    def _head(self, frame: h2.events.RequestReceived) -> Commands:
        stream_id = frame.stream_id
        request, bad = request_of(frame.headers or [])
        self.asking.add(stream_id)
        self.waiting.add(stream_id)
        framing: Framing = "chunked" if request.headers.get("content-length") is None else "length"
        if frame.stream_ended is not None:
            framing = "none"
        at, at_m = self.desk.moment(), self.desk.now()
        yield ReceiveHttp(ClientHead(stream_id, request, at=at, at_m=at_m, framing=framing, bad=bad))

    def _http(self, event: HttpEvent) -> Commands:
        stream_id = event.stream_id
        if isinstance(event, Give) and self._writable(stream_id):
            if event.head is not None:
                bare = event.last and not event.data and not event.trailers
                self.wire.send_headers(stream_id, answer_fields(event.head), end_stream=bare)
                if bare:
                    self._ended_out.add(stream_id)
            if stream_id not in self._ended_out:
                self._write(stream_id, event.data, event.trailers, last=event.last)
        elif isinstance(event, Interim) and self._writable(stream_id):
            self.wire.send_headers(stream_id, answer_fields(event.response))
        elif isinstance(event, Cut):
            self._over(stream_id)
            self._reset(stream_id, h2.errors.ErrorCodes.INTERNAL_ERROR)
        elif isinstance(event, ClientFinish):
            self._over(stream_id)
            if stream_id in self.asking:
                self.asking.discard(stream_id)
                if not self.wire.held(stream_id):
                    self._reset(stream_id, h2.errors.ErrorCodes.NO_ERROR)  # RFC 9113 section 8.1
            yield from self._flush()
            if self.desk.stopping and not self.waiting and not self.wire.stream_buffers:
                self.wire.close_connection()
                yield from self._flush()
                yield from self._close("scimproxy was stopped")
        yield from self._flush()

    def _over(self, stream_id: int) -> None:
        self.waiting.discard(stream_id)

    def _broken(self, problem: str) -> Commands:
        streams = sorted(self.waiting)
        self.waiting.clear()
        self.asking.clear()
        yield from self._close(f"the client broke HTTP/2: {problem}")
        for stream_id in streams:
            yield ReceiveHttp(ClientGone(stream_id, f"HTTP/2: {problem}"))

    def _lost(self) -> Commands:
        streams = sorted(self.waiting)
        self.waiting.clear()
        self.asking.clear()
        yield from self._close("closed by the client")
        for stream_id in streams:
            yield ReceiveHttp(ClientGone(stream_id))

    def _closed(self) -> Commands:
        yield from self._lost()


class H2UpstreamSide(H2Side):
    """Writes requests to one upstream connection, many at a time, and reads their answers."""

    def __init__(self, context: Context, desk: Desk) -> None:
        super().__init__(context, context.server, desk, client_side=True)
        self.names: dict[int, int] = {}
        self.asked: dict[int, _Asked] = {}
        self.queue: deque[HttpEvent] = deque()
        self.leaving = False

    @property
    def usable(self) -> bool:
        """Whether it takes one more request."""
        return not (self.over or self.leaving)

    def named(self, stream_id: int) -> int | None:
        """Return the wire's name of one of our streams."""
        return self.names.get(stream_id)

    def _http(self, event: HttpEvent) -> Commands:
        stream_id = event.stream_id
        if isinstance(event, Abort):
            self._forget_queued(stream_id)
            named = self.names.get(stream_id)
            if named is not None:
                self._drop(named)
                self._reset(named, h2.errors.ErrorCodes.CANCEL)
        elif any(one.stream_id == stream_id for one in self.queue):
            self.queue.append(event)
        elif isinstance(event, Ask):
            yield from self._ask(event)
        elif isinstance(event, More):
            named = self.names.get(stream_id)
            if named is not None and self._writable(named):
                self._write(named, event.data, event.trailers, last=event.last)
        yield from self._flush()
        yield from self._go_on()

    def _ask(self, event: Ask) -> Commands:
        if not self.usable:
            failure = stream_failure(self.desk.note(self.conn).target, "is closing its connection", "")
            yield ReceiveHttp(UpstreamFailed(event.stream_id, failure, untouched=False, unseen=True))
            return
        if len(self.asked) >= min(self.wire.remote_settings.max_concurrent_streams, MAX_STREAMS):
            self.queue.append(event)
            return
        named = self.wire.get_next_available_stream_id()
        self.names[event.stream_id] = named
        self.asked[named] = _Asked(event.stream_id, event.request.method)
        scheme = self.desk.note(self.conn).target.scheme
        self.wire.send_headers(named, request_fields(event.request, scheme), end_stream=event.framing == "none")
        if event.framing == "none":
            self._ended_out.add(named)

    def _go_on(self) -> Commands:
        """Send what waited for a free stream."""
        limit = min(self.wire.remote_settings.max_concurrent_streams, MAX_STREAMS)
        while self.queue and (not self.usable or len(self.asked) < limit):
            first = self.queue[0].stream_id
            waiting = [one for one in self.queue if one.stream_id == first]
            self._forget_queued(first)
            for event in waiting:
                yield from self._http(event)

    def _forget_queued(self, stream_id: int) -> None:
        self.queue = deque(one for one in self.queue if one.stream_id != stream_id)

    def _drop(self, named: int) -> None:
        asked = self.asked.pop(named, None)
        if asked is not None:
            self.names.pop(asked.stream_id, None)
            self._acknowledge(named, self.owed.pop(asked.stream_id, 0))

    def _frame(self, frame: h2.events.Event) -> Commands:
        if isinstance(frame, h2.events.ConnectionTerminated):
            yield from self._goaway(frame)
            return
        named = getattr(frame, "stream_id", None)
        asked = self.asked.get(named) if named is not None else None
        if isinstance(frame, h2.events.DataReceived) and asked is None:
            self._acknowledge(frame.stream_id, frame.flow_controlled_length or 0)
        if asked is None:
            return
        if isinstance(frame, h2.events.InformationalResponseReceived):
            with suppress(ValueError):  # malformed, and of no consequence
                interim = response_of(frame.headers or [])
                if interim.status_code not in {100, 101}:
                    yield ReceiveHttp(Interim(asked.stream_id, interim))
        elif isinstance(frame, h2.events.ResponseReceived):
            yield from self._answer(frame, asked)
        elif isinstance(frame, h2.events.DataReceived):
            assert frame.data is not None
            self.owed[asked.stream_id] = self.owed.get(asked.stream_id, 0) + (frame.flow_controlled_length or 0)
            if frame.data:
                yield ReceiveHttp(UpstreamData(asked.stream_id, frame.data))
        elif isinstance(frame, h2.events.TrailersReceived):
            asked.trailers = fields_of(frame.headers or [])
        elif isinstance(frame, h2.events.StreamEnded):
            yield from self._end(frame.stream_id, asked)
        elif isinstance(frame, h2.events.StreamReset):
            yield from self._was_reset(frame, asked)

    def _answer(self, frame: h2.events.ResponseReceived, asked: _Asked) -> Commands:
        try:
            response = response_of(frame.headers or [])
            asked.told = f"status {response.status_code}"
            framing, length = response_framing(asked.method, response.status_code, response.headers)
        except ValueError as exc:
            self._drop(frame.stream_id)
            self._reset(frame.stream_id, h2.errors.ErrorCodes.PROTOCOL_ERROR)
            failure = answers.protocol(self.desk.note(self.conn).target, str(exc))
            yield ReceiveHttp(UpstreamFailed(asked.stream_id, failure, untouched=False))
            return
        framing = "chunked" if framing == "close" else framing
        yield ReceiveHttp(UpstreamHead(asked.stream_id, response, framing, length, self.desk.now()))

    def _end(self, named: int, asked: _Asked) -> Commands:
        self._drop(named)
        self.desk.note(self.conn).idle_since_m = self.desk.now()
        if named not in self._ended_out:
            self._reset(named, h2.errors.ErrorCodes.NO_ERROR)  # it answered before it had the whole request
        self._ended_out.discard(named)
        yield ReceiveHttp(UpstreamEnd(asked.stream_id, asked.trailers, None))
        yield from self._leave()
        yield from self._go_on()

    def _was_reset(self, frame: h2.events.StreamReset, asked: _Asked) -> Commands:
        self._drop(frame.stream_id)
        code = _code(frame.error_code)
        failure = stream_failure(self.desk.note(self.conn).target, f"reset the stream ({code})", asked.told)
        unseen = frame.error_code == h2.errors.ErrorCodes.REFUSED_STREAM and not asked.told
        yield ReceiveHttp(UpstreamFailed(asked.stream_id, failure, untouched=False, unseen=unseen))
        yield from self._leave()
        yield from self._go_on()

    def _goaway(self, frame: h2.events.ConnectionTerminated) -> Commands:
        self.leaving = True
        code, last = _code(frame.error_code), frame.last_stream_id or 0
        note = self.desk.note(self.conn)
        note.close_reason = note.close_reason or f"the upstream sent GOAWAY ({code})"
        graceful = frame.error_code == h2.errors.ErrorCodes.NO_ERROR
        for named, asked in list(self.asked.items()):
            if graceful and named <= last:
                continue
            self._drop(named)
            failure = stream_failure(note.target, f"sent GOAWAY ({code})", asked.told)
            yield ReceiveHttp(UpstreamFailed(asked.stream_id, failure, untouched=False, unseen=named > last))
        if not graceful:
            yield from self._close(f"the upstream sent GOAWAY ({code})")
        yield from self._leave()
        yield from self._go_on()

    def _leave(self) -> Commands:
        """Close a connection that takes nothing more, after its last answer."""
        if self.leaving and not self.asked and not self.over:
            yield from self._close("the upstream sent GOAWAY")

    def _broken(self, problem: str) -> Commands:
        target = self.desk.note(self.conn).target
        yield from self._all_fail(answers.protocol(target, f"HTTP/2: {problem}"))

    def _closed(self) -> Commands:
        target = self.desk.note(self.conn).target
        streams = list(self.asked.values())
        self.asked.clear()
        self.names.clear()
        yield from self._close("closed by the upstream")
        for asked in streams:
            failure = answers.closed(target, partly=asked.told or None)
            yield ReceiveHttp(UpstreamFailed(asked.stream_id, failure, untouched=not asked.told))
        yield from self._go_on()

    def _all_fail(self, failure: Failure) -> Commands:
        streams = list(self.asked.values())
        self.asked.clear()
        self.names.clear()
        yield from self._close(failure.message)
        for asked in streams:
            yield ReceiveHttp(UpstreamFailed(asked.stream_id, failure, untouched=False))
        yield from self._go_on()


class _Asked:
    """A request on its way: our stream, its method, and how far its answer came."""

    def __init__(self, stream_id: int, method: str) -> None:
        self.stream_id = stream_id
        self.method = method
        self.told = ""
        self.trailers: Headers | None = None


def _code(code: int | None) -> str:
    """Return an error code of HTTP/2 by its name (RFC 9113 section 7)."""
    try:
        return h2.errors.ErrorCodes(code or 0).name
    except ValueError:
        return f"error {code}"
