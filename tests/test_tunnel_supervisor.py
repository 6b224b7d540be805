from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from scimproxy.exchange import TunnelEvent
from scimproxy.tunnel import supervisor as module
from scimproxy.tunnel.contract import Change, Ended, Local, Lost, Regained, Traits, TunnelError, TunnelUp
from scimproxy.tunnel.supervisor import Proof, Supervisor

A, B = "https://a.example", "https://b.example"


class Fake:
    """A provider that follows a script: a list of openings, each a URL (or an error) and the changes after it."""

    name = "fake"
    traits = Traits()

    def __init__(self, *script: tuple[str | TunnelError, list[Change]]) -> None:
        self.script = list(script)
        self.changes: list[Change] = []
        self.asked: list[str | None] = []
        self.closed = 0
        self.quiet = asyncio.Event()

    def check(self) -> None:
        pass

    async def open(self, local: Local, wanted: str | None = None) -> TunnelUp:
        self.asked.append(wanted)
        what, changes = self.script.pop(0)
        self.changes = list(changes)
        if isinstance(what, TunnelError):
            raise what
        return TunnelUp(url=what)

    async def watch(self) -> Change:
        if self.changes:
            return self.changes.pop(0)
        self.quiet.set()
        await asyncio.Event().wait()
        raise AssertionError

    async def close(self, *, at_once: bool = False) -> None:
        self.closed += 1


class Witness:
    """Takes what the supervisor tells, and is its clock: waiting takes no time but moves the clock."""

    def __init__(self) -> None:
        self.events: list[TunnelEvent] = []
        self.urls: list[tuple[str, str | None]] = []
        self.waits: list[float] = []
        self.now = 1000.0

    def event(self, event: TunnelEvent) -> None:
        self.events.append(event)

    def opened(self, up: TunnelUp, before: str | None) -> None:
        self.urls.append((up.url, before))

    async def sleep(self, seconds: float) -> None:
        self.waits.append(seconds)
        self.now += seconds
        await asyncio.sleep(0)

    @property
    def states(self) -> list[str]:
        return [event.state for event in self.events]


def made(
    provider: Fake, witness: Witness, *, prove: Callable[[str], Awaitable[Proof]] | None = None, dice: float = 0.0
) -> Supervisor:
    return Supervisor(
        provider,
        Local("127.0.0.1", 1),
        witness,
        prove=prove,
        clock=lambda: witness.now,
        sleep=witness.sleep,
        dice=lambda: dice,
    )


async def play(provider: Fake, witness: Witness, **more: object) -> Supervisor:
    """Run until nothing more happens, then close."""
    it = made(provider, witness, **more)  # type: ignore[arg-type]
    running = asyncio.create_task(it.run())
    quiet = asyncio.create_task(provider.quiet.wait())
    async with asyncio.timeout(20):
        await asyncio.wait({running, quiet}, return_when=asyncio.FIRST_COMPLETED)
        for _ in range(100):  # proofs go on beside it
            await asyncio.sleep(0)
    for task in (running, quiet):
        task.cancel()
    await asyncio.gather(running, quiet, return_exceptions=True)
    await it.close()
    await it.close()
    return it


def ended(message: str = "gone", *, fatal: bool = False) -> Ended:
    return Ended(TunnelError(message, fatal=fatal))


async def test_up_until_it_is_closed() -> None:
    provider, witness = Fake((A, [])), Witness()
    await play(provider, witness)
    assert witness.states == ["starting", "up", "stopped"]
    assert [event.url for event in witness.events] == [None, A, None]
    assert witness.urls == [(A, None)]
    assert all(event.at == 1000.0 for event in witness.events)


async def test_a_program_that_ended_is_started_again_and_the_same_url_asked_for() -> None:
    provider, witness = Fake((A, [ended("the agent has ended")]), (A, [])), Witness()
    await play(provider, witness)
    assert witness.states == ["starting", "up", "reconnecting", "up", "stopped"]
    assert provider.asked == [None, A]
    assert witness.urls == [(A, None)]
    assert witness.events[2].message == "the agent has ended; trying again in 0.5 s"
    assert witness.waits == [0.5]


async def test_a_changed_url_is_told() -> None:
    provider, witness = Fake((A, [ended()]), (B, [])), Witness()
    await play(provider, witness)
    assert witness.urls == [(A, None), (B, A)]
    up = [event for event in witness.events if event.state == "up"][-1]
    assert (up.url, up.message) == (B, f"the public URL has changed; it was {A}")


async def test_waiting_gets_longer_and_is_not_the_same_for_all() -> None:
    down = (TunnelError("no network"), list[Change]())
    for dice, factor in ((0.0, 0.5), (1.0, 1.0)):
        provider, witness = Fake(*[down] * 7, (A, [])), Witness()
        await play(provider, witness, dice=dice)
        assert witness.waits == [pause * factor for pause in (1, 2, 5, 10, 30, 30, 30)]
        assert witness.states == ["starting", *["reconnecting"] * 5, "up", "stopped"]  # the same is told once


async def test_after_a_while_of_being_up_waiting_starts_anew() -> None:
    down = (TunnelError("no network"), list[Change]())
    witness = Witness()

    class Slow(Fake):
        async def watch(self) -> Change:
            if self.changes:
                witness.now += module.STEADY_S
            return await super().watch()

    provider = Slow(down, down, (A, [ended()]), (A, []))
    await play(provider, witness)
    assert witness.waits == [0.5, 1.0, 0.5]


async def test_a_crash_soon_after_the_start_goes_on_waiting_longer() -> None:
    provider, witness = Fake((A, [ended()]), (A, [ended()]), (A, [ended()]), (A, [])), Witness()
    await play(provider, witness)
    assert witness.waits == [0.5, 1.0, 2.5]


@pytest.mark.parametrize("later", [False, True])
async def test_what_is_fatal_is_not_tried_again(later: bool) -> None:
    problem = TunnelError("no token.", hint="get one", fatal=True)
    provider = Fake((A, [Ended(problem)])) if later else Fake((problem, []))
    witness = Witness()
    it = made(provider, witness)
    assert await it.run() is problem
    await it.close()
    assert witness.states[-1] == "failed"
    assert witness.events[-1].message == "no token"
    assert provider.closed == 2
    assert witness.waits == []


async def test_a_lost_session_that_comes_back() -> None:
    provider, witness = Fake((A, [Lost("no session"), Lost("still none"), Regained(A)])), Witness()
    await play(provider, witness)
    assert witness.states == ["starting", "up", "degraded", "degraded", "up", "stopped"]
    assert witness.urls == [(A, None)]
    assert provider.asked == [None]


async def test_a_session_that_comes_back_elsewhere() -> None:
    provider, witness = Fake((A, [Lost("no session"), Regained(B), Regained(A)])), Witness()
    await play(provider, witness)
    assert witness.urls == [(A, None), (B, A), (A, B)]


async def test_a_program_that_ends_while_it_has_no_session() -> None:
    provider, witness = Fake((A, [Lost("no session"), ended()]), (A, [])), Witness()
    await play(provider, witness)
    assert witness.states == ["starting", "up", "degraded", "reconnecting", "up", "stopped"]


async def test_a_session_that_does_not_come_back_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "PATIENCE_S", 0.0)
    provider, witness = Fake((A, [Lost("no session")]), (A, [])), Witness()
    it = made(provider, witness)
    running = asyncio.create_task(it.run())
    async with asyncio.timeout(20):
        while witness.states.count("up") < 2:  # noqa: ASYNC110 - what is waited for takes turns of the loop
            await asyncio.sleep(0)
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)
    assert witness.events[3].message == "no session for 0 s (no session); trying again in 0.5 s"


async def test_a_proof_is_told_and_tried_until_it_holds() -> None:
    proofs = [
        Proof(ok=False, message="no such name"),
        Proof(ok=False, message="refused"),
        Proof(ok=True, message="back"),
    ]
    asked: list[str] = []

    async def prove(url: str) -> Proof:
        asked.append(url)
        return proofs.pop(0)

    provider, witness = Fake((A, [])), Witness()
    await play(provider, witness, prove=prove)
    assert [(event.state, event.message) for event in witness.events][1:] == [
        ("up", None),
        ("degraded", "no such name"),
        ("degraded", "refused"),
        ("up", "back"),
        ("stopped", None),
    ]
    assert witness.waits == [0.0, 1.0, 2.0]
    assert asked == [A, A, A]


async def test_a_proof_that_never_holds_is_not_tried_for_ever() -> None:
    async def prove(_: str) -> Proof:
        return Proof(ok=False, message="refused")

    provider, witness = Fake((A, [])), Witness()
    await play(provider, witness, prove=prove)
    assert witness.waits == list(module.PROOF_AFTER_S)
    assert witness.states == ["starting", "up", "degraded", "stopped"]  # told once


async def test_a_session_that_came_back_but_carries_nothing_is_opened_anew() -> None:
    async def prove(_: str) -> Proof:
        return Proof(ok=witness.states.count("reconnecting") > 0, message="said")

    provider, witness = Fake((A, [Lost("no session"), Regained(A)]), (B, [])), Witness()
    await play(provider, witness, prove=prove)
    assert witness.states[-3:] == ["up", "up", "stopped"]
    message = next(event.message for event in witness.events if event.state == "reconnecting")
    assert message == "the session is back, but nothing gets through: said; trying again in 0.5 s"
    assert witness.urls == [(A, None), (B, A)]


async def test_a_proof_that_held_makes_the_next_wait_short() -> None:
    provider, witness = Fake((A, []), (A, [])), Witness()
    ends = [ended(), ended()]

    class Proven(Fake):
        proven = asyncio.Event()

        async def watch(self) -> Change:
            if ends:
                await self.proven.wait()
                self.proven.clear()
                return ends.pop()
            return await super().watch()

    provider = Proven((A, []), (A, []), (A, []))

    async def prove(_: str) -> Proof:
        provider.proven.set()
        return Proof(ok=True, message="back")

    await play(provider, witness, prove=prove)
    assert [wait for wait in witness.waits if wait] == [0.5, 0.5]


async def test_closing_says_how() -> None:
    provider, witness = Fake((A, [])), Witness()
    it = made(provider, witness)
    await it.close(at_once=True)
    assert witness.states == ["stopped"]


async def test_what_is_known_of_the_url_is_told() -> None:
    for stable, said in ((True, "stays the same"), (False, "changes with every start")):

        class Known(Fake):
            async def open(self, local: Local, wanted: str | None = None) -> TunnelUp:
                return TunnelUp(url=A, stable=stable, detail="agent 3")  # noqa: B023 - used at once

        witness = Witness()
        await play(Known(), witness)
        message = witness.events[1].message
        assert message is not None
        assert message.startswith("agent 3; ")
        assert said in message
