"""A flow of the native engine whose course an intervener decides, once its request is whole.

One rule: it only holds, answers, repeats or cuts where `native_flow` would go on; everything else, recording before
responding first of all, stays that module's. Where no intervener is set, none of this runs.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from dataclasses import replace

from scimproxy.exchange import Failure, Request, Response
from scimproxy.proxy import directing, forwarding
from scimproxy.proxy.directing import Directed, Fit
from scimproxy.proxy.heads import Ask, written_fields
from scimproxy.proxy.http1 import write_chunk, write_last_chunk
from scimproxy.proxy.intervention import Intervention
from scimproxy.proxy.native_flow import CONTINUE, Client, Engine, Flow
from scimproxy.proxy.passage import Passage

__all__ = ["DirectedFlow"]

_AS_ALWAYS = Intervention()


class DirectedFlow(Flow):
    """One exchange under way, and what was decided about it."""

    __slots__ = ("_again", "_decided", "_delivered", "_plan", "_timer")

    def __init__(self, client: Client, passage: Passage, ask: Ask | None = None) -> None:
        super().__init__(client, passage, ask)
        self._plan = _AS_ALWAYS
        self._decided = False
        self._delivered = False
        self._again: Flow | None = None
        self._timer: asyncio.TimerHandle | None = None

    # -- the request ------------------------------------------------------------------------------------------

    def begin(self, data: bytes) -> None:
        """Hold the request until it is whole, or longer than what is kept of one."""
        self._unsent.append(self._take(data))
        self._go_on()
        if not (self._decided or self._finished) and self.expects:
            self.expects = False
            self.client.write(CONTINUE)

    def client_data(self, data: bytes) -> None:
        """Take more of the request's body."""
        if self._verdict is not None or self._decided:
            super().client_data(data)
            return
        self._moved_m = time.perf_counter()
        self._unsent.append(self._take(data))
        self._go_on()

    def _go_on(self) -> None:
        too_long = self.most is None and not self.passage.request_tap.whole
        if not self._finished and (self.reader.done or too_long):
            self._decide()

    def _decide(self) -> None:
        self._decided = True
        options, passage = self.engine.options, directing.directed(self.passage)
        assert options.intervener is not None
        head = passage.request
        passage.intervention = options.intervener.intervene(
            Request(head.method, head.target, head.http_version, head.headers, passage.request_tap.content())
        )
        self._plan = plan = passage.intervention or _AS_ALWAYS
        if plan.delay_s:
            self._timer = asyncio.get_running_loop().call_later(plan.delay_s, self._act_later)
        else:
            self._act()

    def _act_later(self) -> None:
        self._timer = None
        self._moved_m = time.perf_counter()
        try:
            self._act()
        except Exception:  # noqa: BLE001 - the engine's hook: logged with its traceback, and counted
            self.engine.fault("carrying out an intervention", self)

    def _act(self) -> None:
        plan, passage = self._plan, self.passage
        missing = directing.nobody(self.engine.options) if plan.asks else None
        if not plan.asks or missing is not None:
            passage.upstream_target = passage.upstream_headers = None
        if missing is not None:
            self.fail(missing)
        elif plan.cut == "before":
            self._cut(None)
        elif plan.response is not None:
            self._answer(plan.response)
        else:
            if plan.alter is not None:
                assert self.ask is not None
                passage.upstream_headers = directing.asked_plainly(self.ask.upstream)
                self.ask = replace(self.ask, upstream_fields=written_fields(passage.upstream_headers))
            self._reach()

    # -- the answer -------------------------------------------------------------------------------------------

    def _answer(self, ours: Response) -> None:
        """Give the client an answer that is ours; recorded like any other."""
        passage = self.passage
        if not self.reader.done:
            self.close_after = True
        passage.origin = self._plan.origin
        self._give(self.engine.fits.fit(ours, passage.request, close=self.close_after))
        passage.ended = "closed" if self.close_after else "keep-alive"
        self._commit()

    def _give(self, fit: Fit) -> None:
        """Hold this answer for the client, whatever came from the upstream."""
        passage, content = self.passage, fit.given.content
        self._framing = "none"
        self.close_after = fit.close
        passage.given = fit.given
        passage.response_tap = forwarding.Tap(self.engine.options.max_content)
        passage.response_tap.feed(content.data)
        self._held = [fit.head, content.data]

    def _read_head(self, data: bytes) -> bytes:
        rest = super()._read_head(data)
        if self._body is not None and self._plan.holds:
            self._hold_all = True
        return rest

    def _read_body(self, data: bytes) -> None:
        """Take a piece of the answer's body; one that is held reaches the client only when it is whole."""
        if not self._plan.holds:
            super()._read_body(data)
            return
        assert self._body is not None
        payload = self._body.feed(data)
        if payload:
            self.passage.response_tap.feed(payload)
        if self._plan.alter is not None and not self.passage.response_tap.whole:
            self.fail(directing.too_long(self.engine.options))
        elif self._body.done:
            self._complete()

    def _rewrite(self, data: bytes) -> None:
        passage, plan = self.passage, self._plan
        if not plan.holds:
            super()._rewrite(data)
        elif plan.alter is not None:
            assert passage.came is not None
            came = replace(passage.came, content=passage.response_tap.content())
            made, passage.rewrites = directing.altered(plan, came, passage.request)
            self._give(directing.fit(made, passage.request, close=self.close_after))

    def _commit(self, *, cut: bool = False) -> None:
        plan, passage = self._plan, self.passage
        answered = not cut and plan.asks and passage.failure is None
        if answered and plan.deliveries > 1 and not self._delivered and self._kept_whole:
            self._delivered = True
            self._deliver_again()
        elif answered and plan.cut == "after":
            self._cut(passage.came)
        else:
            super()._commit(cut=cut)

    @property
    def _kept_whole(self) -> bool:
        """Whether there is all of the request, to be sent again."""
        return self.reader.done and self.passage.request_tap.whole

    def _cut(self, came: Response | None) -> None:
        self._held.clear()
        self.passage.failure = directing.cut_short(self._plan, came)
        self.passage.ended = "reset by scimproxy"
        self.client.harden()
        super()._commit(cut=True)

    # -- the second delivery ----------------------------------------------------------------------------------

    def _deliver_again(self) -> None:
        """Send the same request once more, as an exchange of its own; then go on with the first one."""
        first = self.passage
        now_m = time.perf_counter()
        passage = Directed(
            uid=f"{first.uid}.again",
            request=first.request,
            caller=first.caller,
            started_at=time.time(),
            started_m=now_m,
            client_connection=first.client_connection,
            client_index=first.client_index,
            request_tap=forwarding.Tap(self.engine.options.max_content),
            response_tap=forwarding.Tap(self.engine.options.max_content),
            upstream_target=first.upstream_target,
            upstream_headers=first.upstream_headers,
            intervention=replace(self._plan, deliveries=1),
            again=True,
        )
        assert self.ask is not None
        self._again = again = Flow(_Nobody(self.engine, self._delivered_again), passage, self.ask)
        body = first.request_tap.content().data
        if self.ask.kind == "chunked":
            body = (write_chunk(body) if body else b"") + write_last_chunk(first.request_trailers)
        again.begin(body)

    def _delivered_again(self) -> None:
        self._again = None
        if not self._finished:
            self._commit()

    # -- the end ----------------------------------------------------------------------------------------------

    def fail(self, failure: Failure, *, status_code: int | None = None, made: Response | None = None) -> None:
        """End the exchange with a failure."""
        self._let_go()
        super().fail(failure, status_code=status_code, made=made)

    def client_lost(self) -> None:
        """The client is gone: nothing is waited for any more."""
        self._let_go()
        again, self._again = self._again, None
        super().client_lost()
        if again is not None:
            again.client_lost()

    def give_up(self) -> None:
        """End the exchange because scimproxy stops; the second delivery first."""
        if self._again is not None:
            self._again.give_up()
        super().give_up()

    def _let_go(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def tick(self, now_m: float) -> None:
        """Look after the time limits; what waits for its delay or for a second delivery is within them."""
        if self._timer is not None or self._again is not None:
            self._moved_m = now_m
        if self._again is not None:
            self._again.tick(now_m)
        super().tick(now_m)


class _Nobody:
    """The client of a second delivery: there is none."""

    buffer = b""
    reading = True

    def __init__(self, engine: Engine, then: Callable[[], None]) -> None:
        self.engine = engine
        self._then = then

    def write(self, data: bytes) -> None:
        """Drop what would be said."""

    def done(self, *, close: bool) -> None:
        """Tell that it has ended."""
        del close
        self._then()

    def close(self, reason: str, *, abort: bool = False) -> None:
        """There is nothing to close."""

    def pause(self, *, paused: bool) -> None:
        """There is nothing to pause."""

    def harden(self) -> None:
        """There is nothing to reset."""
