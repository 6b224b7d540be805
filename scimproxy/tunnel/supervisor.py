"""Keeps a tunnel open: starts it, notices that it is gone, waits, starts it again, and says what is so.

One rule: the state that was told last is the state that is so. States: `starting`, `up`, `degraded` (nothing gets
through for now), `reconnecting` (being opened anew), `failed` (given up), `stopped`. Each is told once, with its
time, as a TunnelEvent; the URL stands in those in which it can be used.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from typing import Protocol

from scimproxy.exchange import TunnelEvent
from scimproxy.tunnel.contract import Change, Ended, Local, Lost, Provider, Regained, TunnelError, TunnelUp

__all__ = ["BACK_OFF_S", "Listener", "Proof", "Supervisor"]

BACK_OFF_S = (1.0, 2.0, 5.0, 10.0, 30.0)
PROOF_AFTER_S = (0.0, 1.0, 2.0, 5.0, 10.0, 30.0)
"""A new name may take a while until it resolves; then it is not asked again (requests are counted by providers)."""
PROOFS_AGAIN = 3
"""So often, after a session came back by itself; a name that was known needs no time to resolve."""
PATIENCE_S = 60.0
"""So long a program may be at work to get its session back by itself."""
STEADY_S = 30.0

_STABILITY: dict[bool | None, str] = {
    True: "the URL stays the same after a restart",
    False: "the URL changes with every start",
}


@dataclass(frozen=True, slots=True)
class Proof:
    """Whether a request through the public URL came back, and in words how, or which part of the way is broken."""

    ok: bool
    message: str


class Listener(Protocol):
    """Who wants to know, inside the event loop."""

    def event(self, event: TunnelEvent) -> None:
        """The state changed."""

    def opened(self, up: TunnelUp, before: str | None) -> None:
        """The tunnel is open at a URL that is new: the first one, or another than `before`."""


class Supervisor:
    """Runs one provider; made inside the event loop, `run` as a task, then `close`.

    Args:
        prove: sends a request through the public URL; None: the provider is believed.
        clock, sleep, dice: the time (Unix seconds), a way to wait, and random numbers in [0, 1), for tests.
    """

    def __init__(
        self,
        provider: Provider,
        local: Local,
        listener: Listener,
        *,
        prove: Callable[[str], Awaitable[Proof]] | None = None,
        clock: Callable[[], float] = time.time,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
        dice: Callable[[], float] = random.random,
    ) -> None:
        self._provider = provider
        self._local = local
        self._listener = listener
        self._prove = prove
        self._clock = clock
        self._sleep = sleep
        self._dice = dice
        self._failures = 0
        self._told: tuple[str, str | None, str | None] | None = None
        self._up: TunnelUp | None = None
        self._closed = False
        self.state = "starting"
        self.url: str | None = None

    async def run(self) -> TunnelError | None:
        """Keep the tunnel open; returns the error where that is not possible, never by itself otherwise."""
        self._tell("starting", message=f"opening a tunnel with {self._provider.name}")
        while True:
            try:
                up = await self._provider.open(self._local, self.url)
            except TunnelError as error:
                problem = error
            else:
                problem = await self._stay(up)
            await self._provider.close()
            if problem.fatal:
                self._tell("failed", message=_worded(problem))
                return problem
            await self._wait(problem)

    async def close(self, *, at_once: bool = False) -> None:
        """Take the tunnel down and say so. Safe to call twice."""
        await self._provider.close(at_once=at_once)
        if not self._closed:
            self._closed = True
            if self.state != "failed":
                self._tell("stopped")

    async def _stay(self, up: TunnelUp) -> TunnelError:
        """Be up until the tunnel has to be opened anew; returns why."""
        began = self._clock()
        self._welcome(up)
        again = False
        while True:
            change = await self._next(again=again)
            if self._clock() - began >= STEADY_S:
                self._failures = 0
            if isinstance(change, Lost):
                reason = change.reason
                self._tell("degraded", message=reason)
                try:
                    async with asyncio.timeout(PATIENCE_S):
                        change = await self._until_back()
                except TimeoutError:
                    return TunnelError(f"no session for {PATIENCE_S:.0f} s ({reason})")
            if isinstance(change, Ended):
                return change.error
            self._welcome(replace(up, url=change.url))
            again = True

    async def _until_back(self) -> Regained | Ended:
        while isinstance(change := await self._provider.watch(), Lost):
            self._tell("degraded", message=change.reason)
        return change

    def _welcome(self, up: TunnelUp) -> None:
        before, self.url = self.url, up.url
        message = "; ".join(filter(None, [up.detail, _STABILITY.get(up.stable)])) or None
        if before is not None and before != up.url:
            message = f"the public URL has changed; it was {before}"
        if before != up.url:
            self._listener.opened(up, before)
        self._up = up
        self._tell("up", url=up.url, message=message)

    async def _next(self, *, again: bool) -> Change:
        """Wait for the next change; beside it prove the way, and say where it is broken.

        After a session that came back (`again`) a way that stays broken is a change, too: an agent may believe that
        it has its URL while the service has given it another one.
        """
        watching = asyncio.ensure_future(self._provider.watch())
        proving = asyncio.ensure_future(self._prove_it(again=again))
        try:
            await asyncio.wait({watching, proving}, return_when=asyncio.FIRST_COMPLETED)
            if not watching.done() and (problem := proving.result()) is not None:
                return Ended(problem)
            return await watching
        finally:
            for task in (watching, proving):
                task.cancel()
            await asyncio.gather(watching, proving, return_exceptions=True)

    async def _prove_it(self, *, again: bool) -> TunnelError | None:
        """Prove the way until it holds or is not tried any more; returns why it has to be opened anew."""
        if self._prove is None:
            return None
        assert self.url is not None
        url, said = self.url, ""
        for pause in PROOF_AFTER_S[:PROOFS_AGAIN] if again else PROOF_AFTER_S:
            await self._sleep(pause)
            proof = await self._prove(url)
            if proof.ok:
                self._failures = 0  # it carries traffic: what comes next is a new trouble
                self._tell("up", url=url, message=proof.message)
                return None
            said = proof.message
            self._tell("degraded", url=url, message=said)
        return TunnelError(f"the session is back, but nothing gets through: {said}") if again else None

    async def _wait(self, problem: TunnelError) -> None:
        """Wait before the next attempt: longer each time, and never all at the same moment."""
        pause = BACK_OFF_S[min(self._failures, len(BACK_OFF_S) - 1)] * (0.5 + self._dice() / 2)
        self._failures += 1
        self._tell("reconnecting", message=f"{_worded(problem)}; trying again in {pause:.1f} s")
        await self._sleep(pause)

    def _tell(self, state: str, *, url: str | None = None, message: str | None = None) -> None:
        told = (state, url, message)
        if told == self._told:
            return
        self._told = told
        self.state = state
        self._listener.event(TunnelEvent(at=self._clock(), state=state, url=url, message=message))


def _worded(problem: TunnelError) -> str:
    return problem.message.rstrip(".")
