"""One exchange on its way through the native engine, driven by callbacks of its client and its upstream connection.

One rule, *record before respond*: what completes an answer is held back (`_held`) until the recorder says that the
exchange is committed; what comes before it may pass at once. A flow ends exactly once, in `_settle`.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from typing import Literal, Protocol

from scimproxy.errors import ScimproxyError
from scimproxy.exchange import Failure, Headers, Phase, Response
from scimproxy.proxy import answers, forwarding
from scimproxy.proxy.directing import Fits
from scimproxy.proxy.engine import EngineOptions, QuickRecorder, Recorder
from scimproxy.proxy.guard import too_large
from scimproxy.proxy.heads import Answers, Ask, given_to
from scimproxy.proxy.http1 import (
    MAX_HEAD,
    BodyError,
    BodyReader,
    HeadError,
    response_head,
    write_chunk,
    write_last_chunk,
    write_response_head,
)
from scimproxy.proxy.locations import rewrite_response
from scimproxy.proxy.passage import Link, Passage
from scimproxy.proxy.pool import Pool, Unreached, Upstream

__all__ = ["Flow"]

HEAD_END = b"\r\n\r\n"
CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"


class Engine(Protocol):
    """The parts of the engine that a flow needs."""

    options: EngineOptions
    recorder: Recorder
    quick: QuickRecorder | None
    pool: Pool
    answers: Answers
    fits: Fits
    records: bool

    def fault(self, where: str, flow: Flow | None) -> None:
        """Log a fault of our own and count the exchange."""


class Client(Protocol):
    """The parts of a client's connection that a flow needs."""

    buffer: bytes
    reading: bool

    @property
    def engine(self) -> Engine:
        """Whose client this is."""

    def write(self, data: bytes) -> None:
        """Send bytes."""

    def done(self, *, close: bool) -> None:
        """Go on after the exchange."""

    def close(self, reason: str, *, abort: bool = False) -> None:
        """End the connection."""

    def pause(self, *, paused: bool) -> None:
        """Stop or go on reading."""

    def harden(self) -> None:
        """Let the connection end with a reset."""


class Flow:
    """One exchange under way."""

    __slots__ = (
        "_aborted",
        "_announced",
        "_blocked",
        "_body",
        "_finished",
        "_framing",
        "_given_head",
        "_head",
        "_held",
        "_hold_all",
        "_moved_m",
        "_opening",
        "_out",
        "_unsent",
        "_verdict",
        "_whole",
        "ask",
        "client",
        "close_after",
        "engine",
        "expects",
        "most",
        "passage",
        "reader",
        "refused",
        "upstream",
    )

    def __init__(self, client: Client, passage: Passage, ask: Ask | None = None) -> None:
        self.ask = ask
        self.client = client
        self.engine = client.engine
        self.passage = passage
        self.reader = BodyReader("none") if ask is None else ask.body()  # of the request
        self.upstream: Upstream | None = None
        self.close_after = False
        self.expects = False
        self.most: int | None = None  # bytes of a body that does not tell its length; then it is held until it ends
        self.refused = False
        self._opening: asyncio.Task[None] | None = None
        self._head = b""  # of the answer, until it is whole
        self._body: BodyReader | None = None  # of the answer
        self._framing: forwarding.Framing = "none"  # towards the client
        self._given_head = b""
        self._held: list[bytes] = []
        self._hold_all = False  # the body is rewritten when it is whole
        self._whole: list[bytes] = []
        self._out = False  # something has reached the client
        self._verdict: Callable[[], None] | None = None
        self._unsent: list[bytes] = []  # of the request's body, until there is a connection
        self._finished = False
        self._announced = False
        self._aborted = False
        self._blocked: Literal["client", "upstream"] | None = None  # who takes no more bytes for now
        self._moved_m = passage.started_m

    # -- the request ------------------------------------------------------------------------------------------

    def begin(self, data: bytes) -> None:
        """Send the request on, with what has come of its body."""
        self._unsent.append(self._take(data))
        if self._finished:
            return
        if self.most is None or self.reader.done:
            self._reach()
        elif self.expects:
            self.expects = False
            self.client.write(CONTINUE)

    def _reach(self) -> None:
        self.passage.attempts = 1
        upstream = self.engine.pool.take(self.passage.request.method)
        if upstream is not None:
            self._go(upstream)
        else:
            self._dial()

    def client_data(self, data: bytes) -> None:
        """Take more of the request's body."""
        self._moved_m = time.perf_counter()
        payload = self._take(data)
        if self._verdict is not None:
            self._pronounce()
        elif self.upstream is not None and not self._finished:
            self._send_body(payload)
        elif not self._finished:
            self._unsent.append(payload)
            if self.most is not None:
                if self.reader.done:
                    self._reach()
            elif self.passage.request_tap.size > self.engine.options.stream_above:
                self.client.pause(paused=True)  # until there is somewhere to send it

    def _take(self, data: bytes) -> bytes:
        """Read body bytes of the request; what comes behind them is the next request's."""
        reader = self.reader
        try:
            payload = reader.feed(data) if data else b""
        except BodyError as exc:
            self.refuse(400, answers.client_protocol(str(exc)))
            return b""
        self.passage.request_wire += len(data) - len(reader.rest)
        if payload:
            self.passage.request_tap.feed(payload)
            if self.most is not None and self.passage.request_tap.size > self.most:
                self.refused = self.close_after = True
                failure, made = answers.turned_away(too_large(self.most))
                self.fail(failure, made=made)
                return b""
        if reader.done:
            self.passage.ready_m = self.passage.ready_m or time.perf_counter()
            self.passage.request_trailers = reader.trailers
            if reader.rest:
                self.client.buffer += reader.rest
                reader.rest = b""
        return payload

    def _dial(self) -> None:
        self._opening = asyncio.get_running_loop().create_task(self._open())

    async def _open(self) -> None:
        try:
            upstream, link = await self.engine.pool.open()
            self._opening = None
            self.passage.link = link
            if self._finished:
                self.engine.pool.give(upstream, Headers())
                return
            self._go(upstream)
        except Unreached as exc:
            self._opening = None
            self.passage.link = exc.link if exc.link is not None and exc.link.connection.peer_host else None
            self.fail(exc.failure)
        except Exception:  # noqa: BLE001 - the engine's hook: logged with its traceback, and counted
            self.engine.fault("opening a connection", self)

    def _go(self, upstream: Upstream) -> None:
        """Send the request over this connection."""
        passage = self.passage
        self.upstream = upstream
        upstream.user = self
        upstream.exchanges += 1
        link = passage.link
        if link is None or link.connection.uid != upstream.uid:
            passage.link = link = Link(upstream.connection)
        link.index = upstream.exchanges
        assert passage.upstream_target is not None
        assert self.ask is not None
        head = f"{passage.request.method} {passage.upstream_target} HTTP/1.1\r\n".encode("latin-1")
        head += self.ask.upstream_fields
        passage.ready_m = time.perf_counter()
        if self.expects and not self.reader.done:
            self.expects = False
            self.client.write(CONTINUE)
        if not self.client.reading:
            self.client.pause(paused=False)
        unsent = self._unsent
        payload = unsent[0] if len(unsent) == 1 else b"".join(unsent)
        unsent.clear()
        self._send_body(payload, head)

    def _send_body(self, payload: bytes, head: bytes = b"") -> None:
        assert self.upstream is not None
        if self.reader.kind == "chunked":
            data = head + write_chunk(payload)
            if self.reader.done:
                data += write_last_chunk(forwarding.safe_trailers(self.reader.trailers))
        else:
            data = head + payload
        if data:
            self.upstream.write(data)
        if self.reader.done and self.passage.sent_m is None:
            self.passage.sent_m = time.perf_counter()
            self._moved_m = self.passage.sent_m

    # -- the answer -------------------------------------------------------------------------------------------

    def upstream_data(self, data: bytes) -> None:
        """Take bytes of the answer."""
        try:
            self._moved_m = time.perf_counter()
            if self.passage.first_m is None:
                self.passage.first_m = self._moved_m
            self.passage.response_wire += len(data)
            if self._body is None:
                data = self._read_head(self._head + data)
            if self._body is not None and not self._finished:
                self._read_body(data)
        except (HeadError, BodyError, ValueError) as exc:
            self._drop_upstream("its answer is malformed")
            self.fail(answers.protocol(self.engine.options.target, str(exc), self._head[:8]))
        except Exception:  # noqa: BLE001 - the engine's hook: logged with its traceback, and counted
            self.engine.fault("reading an answer", self)

    def _read_head(self, data: bytes) -> bytes:
        """Read the head, 1xx ones passed over; return what comes behind it."""
        while True:
            end = data.find(HEAD_END, 0, MAX_HEAD)
            if end < 0:
                self._head = data
                if len(data) > MAX_HEAD:
                    raise HeadError(502, f"its head is longer than {MAX_HEAD} bytes")
                if b"\n\n" in data or data.count(b"\n\r\n") > data.count(HEAD_END):
                    raise HeadError(502, "a line of its head ends with a bare LF, not with CRLF")
                if len(data) >= 5 and data[:5] != b"HTTP/":
                    raise HeadError(502, f"it begins with {data[:20].decode('latin-1')!a}")
                return b""
            self._head = head = data[: end + 4]
            data = data[end + 4 :]
            if head[9:10] != b"1":
                break
            early = response_head(head)
            if early.status_code == 101:
                raise HeadError(502, "it switches protocols, which nobody asked for")
            if early.status_code > 101 and self.passage.request.http_version == "1.1":
                fields = forwarding.end_to_end(early.headers).without("content-length")
                self.client.write(write_response_head(early.status_code, early.reason, fields))
        passage, upstream = self.passage, self.upstream
        answer = self.engine.answers.read(
            head,
            method=passage.request.method,
            http_version=passage.request.http_version,
            close=self.close_after or not self.reader.done,  # nothing may follow an answer that came early
        )
        self._body = BodyReader(answer.framing, answer.length)
        assert passage.link is not None
        if upstream is not None:
            upstream.usable = upstream.usable and answer.reusable
            if upstream.connection.http_version is None:
                upstream.connection = replace(upstream.connection, http_version=answer.came.http_version)
                passage.link.connection = upstream.connection
        passage.origin = "upstream"
        passage.came, passage.given = answer.came, answer.given
        self._framing, self._given_head, self.close_after = answer.client_framing, answer.given_head, answer.close
        self._hold_all = self.engine.options.rewrite_locations and (
            answer.framing != "length" or answer.length <= self.engine.options.stream_above
        )
        return data

    def _read_body(self, data: bytes) -> None:
        assert self._body is not None
        assert self.passage.given is not None
        payload = self._body.feed(data)
        if payload:
            self.passage.response_tap.feed(payload)
        if self._hold_all:
            self._whole.append(payload)
            if self.passage.response_tap.size > self.engine.options.stream_above:
                self._hold_all = False
                payload, self._whole = b"".join(self._whole), []
        if not self._hold_all:
            piece = write_chunk(payload) if self._framing == "chunked" else payload
            if not (self._out or self._held):
                self._held.append(self._given_head)
            if piece:
                self._held.append(piece)
        if self._body.done:
            self._complete()
        elif self._out or self.passage.response_tap.size > self.engine.options.stream_above:
            # A small answer is held whole, so that a client is told in words when it breaks off in the middle.
            self._out = True
            self.client.write(b"".join(self._held))
            self._held.clear()

    def _complete(self) -> None:
        """The answer is whole: record it, and give the client its end when it is committed."""
        passage, body = self.passage, self._body
        assert body is not None
        passage.last_m = self._moved_m
        if self._hold_all:
            self._rewrite(b"".join(self._whole))
        if self._framing == "chunked":
            trailers = forwarding.safe_trailers(body.trailers)
            self._held.append(write_last_chunk(trailers))
            if trailers is not None and passage.given is not None:
                passage.given = replace(passage.given, trailers=trailers)
        upstream, self.upstream = self.upstream, None
        if upstream is not None:
            assert passage.came is not None
            if body.rest or not self.reader.done or body.kind == "close":
                upstream.close(
                    "the upstream sent more than its answer" if body.rest else "the exchange was the last one"
                )
            else:
                self.engine.pool.give(upstream, passage.came.headers)
        passage.ended = "closed" if self.close_after else "keep-alive"
        self._commit()

    def _rewrite(self, data: bytes) -> None:
        passage = self.passage
        assert passage.given is not None
        content = passage.response_tap.content()
        given, rewrites = rewrite_response(
            replace(passage.given, content=content),
            self.engine.options,
            passage.caller.origin(self.engine.options),
        )
        passage.given, passage.rewrites = given, rewrites
        if rewrites:
            data = given.content.data
            passage.response_tap = forwarding.Tap(self.engine.options.max_content)
            passage.response_tap.feed(data)
        self._held.append(write_response_head(given.status_code, given.reason, given.headers))
        if data:
            self._held.append(write_chunk(data) if self._framing == "chunked" else data)

    # -- the end ----------------------------------------------------------------------------------------------

    def refuse(self, status_code: int, failure: Failure) -> None:
        """Answer a request that is not passed on, and close: what follows it cannot be trusted."""
        self.refused = self.close_after = True
        self.fail(failure, status_code=status_code)

    def answer_later(self, verdict: Callable[[], None], data: bytes) -> None:
        """Answer a well-formed request that is not passed on after its body, so that the connection may go on."""
        self._verdict = verdict
        self._take(data)
        self._pronounce()

    def _pronounce(self) -> None:
        """Say the verdict when the body has ended; at once, and as the last word, where it is long or held back."""
        if self._finished or self._verdict is None:
            return
        too_long = max(self.reader.left, self.passage.request_tap.size) > self.engine.options.stream_above
        if self.reader.done or self.expects or too_long:
            self.close_after = self.close_after or not self.reader.done
            self._verdict()

    def answer_unrecorded(self, response: Response) -> None:
        """Answer beside the record (a probe of ours, or nothing can be recorded); the upstream was asked nothing."""
        self._finished = True
        self._write_answer(response, close=self.close_after)
        self.client.done(close=self.close_after)

    def fail(self, failure: Failure, *, status_code: int | None = None, made: Response | None = None) -> None:
        """End the exchange with a failure: a SCIM error for the client (`made`, if given), or a cut in its answer."""
        if self._finished:
            return
        passage = self.passage
        if self._opening is not None:
            self._opening.cancel()
            self._opening = None
        self._drop_upstream(failure.message)
        passage.failure = failure
        passage.last_m = None if passage.first_m is None else time.perf_counter()
        if not self.reader.done:
            self.close_after = True
        if self._out:
            self.close_after = True
            passage.ended = "cut in the middle of the answer"
            self._held.clear()
            self._commit(cut=True)
            return
        passage.origin = "proxy"
        made = made or answers.answer(failure, status_code=status_code)
        if passage.request.method == "HEAD":
            made = answers.without_content(made)
        passage.response_tap = forwarding.Tap(self.engine.options.max_content)
        passage.response_tap.feed(made.content.data)
        given, self._framing, self.close_after = given_to(
            made, "none", passage.request.http_version, close=self.close_after
        )
        passage.given = replace(given, content=made.content)
        passage.ended = "closed" if self.close_after else "keep-alive"
        self._held = [
            write_response_head(made.status_code, made.reason, given.headers) + made.content.data,
        ]
        self._commit()

    def upstream_lost(self, problem: str | None) -> None:
        """The upstream's connection ended under us; `problem` where it was not an orderly end."""
        try:
            upstream, self.upstream = self.upstream, None
            if self._finished or upstream is None:
                return
            passage, target = self.passage, self.engine.options.target
            if self._body is not None:
                if problem is None and self._body.end():
                    self._complete()
                else:
                    self.fail(answers.closed(target, partly=f"{passage.response_tap.size} bytes of the body came"))
            elif passage.first_m is not None:
                self.fail(answers.closed(target, partly="its head was not complete"))
            elif forwarding.may_retry(
                passage.request.method,
                attempts=passage.attempts or 1,
                reused=upstream.exchanges > 1,
                answered=False,
                replayable=passage.request_tap.whole,
            ):
                passage.attempts = 2
                passage.sent_m = None
                self._unsent = [passage.request_tap.content().data]
                self._dial()
            else:
                self.fail(answers.closed(target, attempts=passage.attempts))
        except Exception:  # noqa: BLE001 - the engine's hook: logged with its traceback, and counted
            self.engine.fault("losing the upstream", self)

    def upstream_writable(self, *, writable: bool) -> None:
        """Slow the client down while the upstream takes no more."""
        self._blocked = None if writable else "upstream"
        self._moved_m = time.perf_counter()
        self.client.pause(paused=not writable)

    def client_writable(self, *, writable: bool) -> None:
        """Slow the upstream down while the client takes no more."""
        self._blocked = None if writable else "client"
        self._moved_m = time.perf_counter()
        if self.upstream is not None:
            self.upstream.pause(paused=not writable)

    def give_up(self) -> None:
        """End the exchange because scimproxy stops."""
        self._aborted = True
        self.close_after = True
        self.fail(answers.stopping(self.phase()))

    def client_lost(self) -> None:
        """The client is gone: what is known so far is recorded, nobody is answered."""
        if self._finished:
            return
        phase = self.phase()
        self.passage.ended = "closed by the client before the answer"
        if self._opening is not None:
            self._opening.cancel()
            self._opening = None
        self._drop_upstream("the client is gone")
        self.passage.failure = answers.client_gone(phase)
        self._held.clear()
        self._commit(cut=True)

    def abandon(self) -> None:
        """End the exchange after a fault of our own."""
        if self._finished:
            return
        self._finished = True
        self._drop_upstream("a fault in scimproxy")
        if not self._out:
            self._write_answer(answers.answer(answers.internal("an exchange could not be carried")), close=True)
        self.client.done(close=True)

    def phase(self) -> Phase:
        """Return how far the exchange is."""
        passage = self.passage
        if not self.reader.done:
            return "request"
        if self.upstream is None:
            return "connect"
        return "wait" if passage.first_m is None else "receive"

    def tick(self, now_m: float) -> None:
        """Look after this exchange's time limits, and announce it when it takes long."""
        if self._finished:
            return
        options = self.engine.options
        if not self._announced and (now_m - self.passage.started_m) * 1000.0 > options.pending_after_ms:
            self._announced = True
            self.engine.recorder.pending(self.passage.exchange(at=time.time(), now_m=now_m, state="pending"))
        if self._opening is not None:
            return  # the pool has its own limits
        quiet_s = now_m - self._moved_m
        if self._blocked == "client":
            if quiet_s > options.idle_timeout_s:
                self.client.close("it took nothing of its answer for too long", abort=True)
        elif self._blocked == "upstream":
            if quiet_s > options.response_timeout_s:
                self.fail(answers.timed_out(options.target, "send", options.response_timeout_s))
        elif not self.reader.done:
            if quiet_s > options.head_timeout_s:
                self.refuse(408, answers.client_protocol(f"nothing came for {options.head_timeout_s:g} s"))
        elif quiet_s > options.response_timeout_s:
            self.fail(answers.timed_out(options.target, self.phase(), options.response_timeout_s))

    # -- recording --------------------------------------------------------------------------------------------

    def _commit(self, *, cut: bool = False) -> None:
        """Record the exchange as it stands; then release what is held, or cut the connection."""
        self._finished = True
        passage, quick = self.passage, self.engine.quick
        if not self.engine.records:
            self._settle(None, cut=cut)
            return
        try:
            if quick is not None and not cut and not self._aborted:
                passed = passage.passed(at=time.time(), now_m=time.perf_counter())
                if passed is not None:
                    quick.submit_passed(passed, self._committed)
                    return
        except Exception:  # noqa: BLE001 - the engine's hook: logged with its traceback, and counted
            self.engine.fault("recording", None)
            self._settle(None, cut=cut)
            return
        given = passage.given
        if given is not None:
            passage.given = Response(
                given.status_code,
                given.reason,
                given.http_version,
                given.headers,
                passage.response_tap.content(),
                given.trailers,
                passage.response_wire or None,
            )
        exchange = passage.exchange(
            at=time.time(), now_m=time.perf_counter(), state="aborted" if self._aborted else "complete"
        )
        try:
            self.engine.recorder.submit(exchange, lambda problem: self._settle(problem, cut=cut))
        except Exception:  # noqa: BLE001 - the engine's hook: logged with its traceback, and counted
            self.engine.fault("recording", None)
            self._settle(None, cut=cut)

    def _committed(self, problem: ScimproxyError | None) -> None:
        self._settle(problem, cut=False)

    def _settle(self, problem: ScimproxyError | None, *, cut: bool) -> None:
        try:
            if cut or (problem is not None and self._out):
                self.client.close("cut in the middle of the answer", abort=True)
                self.client.done(close=True)
                return
            if problem is not None:
                self._write_answer(answers.not_recorded(problem), close=self.close_after)
            else:
                self.client.write(b"".join(self._held))
            self.client.done(close=self.close_after)
        except Exception:  # noqa: BLE001 - the engine's hook: logged with its traceback, and counted
            self.engine.fault("releasing an answer", None)

    def _write_answer(self, response: Response, *, close: bool) -> None:
        headers = forwarding.framed(response.headers, "none", close=close)
        content = b"" if self.passage.request.method == "HEAD" else response.content.data
        self.client.write(write_response_head(response.status_code, response.reason, headers) + content)

    def _drop_upstream(self, reason: str) -> None:
        upstream, self.upstream = self.upstream, None
        if upstream is not None:
            with suppress(RuntimeError):
                upstream.close(reason)
