"""The mock at the engine's seam: what each request gets, when, and what becomes of one that nothing recorded answers.

One rule: it decides and does nothing itself: an `Intervention` says what the engine is to do, and why, in words that
are stored with the exchange. Pure. Flow: cli/mock.py -> Mock -> EngineOptions.intervener -> Intervention.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from statistics import median
from typing import Literal

from scimproxy.exchange import Exchange, Request, Response
from scimproxy.mock.answers import HEADER
from scimproxy.mock.recorded import Hit, Miss, Responder
from scimproxy.mock.stateful import Stateful
from scimproxy.proxy.intervention import Intervention

__all__ = ["Latency", "Mock", "OnMiss", "latency_of"]

type OnMiss = Literal["error", "record", "forward"]
"""A miss is told (404), asked of the upstream and remembered, or asked of the upstream each time."""
type Latency = Literal["recorded"] | float
"""As long as the server took then, or so many seconds."""

_LONGEST_S = 60.0
_MOST_LEARNED = 10_000


@dataclass(slots=True)
class Counts:
    """What became of the requests so far."""

    hits: int = 0
    misses: int = 0
    learned: int = 0


class Mock:
    """Answers each request from a recording (`proxy.intervention.Intervener`)."""

    def __init__(
        self,
        responder: Responder,
        *,
        run_id: int | None = None,
        on_miss: OnMiss = "error",
        latency: Latency = 0.0,
        stateful: Stateful | None = None,
    ) -> None:
        self._responder = responder
        self._run = "" if run_id is None else f" of run {run_id}"
        self._why = "stateful" if run_id is None else f"stateful run={run_id}"
        self._on_miss = on_miss
        self._latency = latency
        self._stateful = stateful
        self._usual = 0.0
        self.counts = Counts()

    def usual(self, exchanges: Sequence[Exchange]) -> None:
        """Learn how long the server took as a rule, for answers that no recorded exchange stands behind."""
        self._usual = median([latency_of(one) for one in exchanges] or [0.0])

    def intervene(self, request: Request) -> Intervention:
        """Return what a request gets."""
        if self._stateful is not None:
            response = self._stateful.answer(request)
            self.counts.hits += 1
            if HEADER not in response.headers:
                response = replace(response, headers=response.headers.with_added(HEADER, self._why))
            note = f"mock{self._run}, stateful"
            delay_s = self._usual if self._latency == "recorded" else self._latency
            return Intervention(response=response, origin="mock", delay_s=delay_s, note=note, tags=("mock",))
        found = self._responder.answer(request)
        if isinstance(found, Miss):
            return self._missed(request, found)
        self.counts.hits += 1
        return Intervention(
            response=found.response,
            origin="mock",
            delay_s=latency_of(found.exchange) if self._latency == "recorded" else self._latency,
            parent_id=found.exchange.id,
            note=self._note(found),
            tags=("mock",),
        )

    def _note(self, hit: Hit) -> str:
        bound = ", ".join(f"{one.role} {one.a[:40]} is {one.b[:40]}" for one in hit.bound[:5])
        return f"mock{self._run}: {hit.why}{f'; bound: {bound}' if bound else ''}"

    def _missed(self, request: Request, miss: Miss) -> Intervention:
        self.counts.misses += 1
        tags = ("mock", "miss")
        if self._on_miss == "error":
            return Intervention(
                response=miss.response, origin="mock", note=f"mock{self._run}: {miss.detail}", tags=tags
            )
        if self._on_miss == "forward" or self.counts.learned >= _MOST_LEARNED:
            return Intervention(note=f"mock{self._run}: passed on to the upstream; {miss.detail}", tags=tags)

        def learn(came: Response) -> Response:
            made = Exchange(request=request, response=came, origin="upstream", started_at=0.0)
            self.counts.learned += self._responder.learn(made)
            return came

        note = f"mock{self._run}: asked of the upstream, and remembered; {miss.detail}"
        return Intervention(note=note, tags=tags, alter=learn)


def latency_of(exchange: Exchange) -> float:
    """Return how long the server took to answer then, in seconds; 0 where that is not known, 60 at most."""
    timings = exchange.timings
    taken = timings.total
    if taken is None and timings.wait is not None:
        taken = timings.wait + (timings.receive or 0.0)
    if taken is None and exchange.ended_at is not None:
        taken = (exchange.ended_at - exchange.started_at) * 1000
    return min(max(taken or 0.0, 0.0) / 1000, _LONGEST_S)
