from __future__ import annotations

import asyncio
import os
from pathlib import Path
from typing import Any

import pytest

from scimproxy import exposure
from scimproxy.exchange import TunnelEvent
from scimproxy.exposure import Exposure, ExposureOptions, Surroundings, _spoken
from scimproxy.proxy.engine import Address, EngineOptions, Target
from scimproxy.tunnel.contract import Change, Ended, Local, Regained, Traits, TunnelError, TunnelUp


class Provider:
    name = "fake"

    def __init__(self, *changes: Change | TunnelError, vouches: bool = True) -> None:
        self.traits = Traits(vouches_for_client=vouches)
        self.changes = list(changes)
        self.closed: list[bool] = []

    def check(self) -> None:
        pass

    async def open(self, local: Local, wanted: str | None = None) -> TunnelUp:
        if self.changes and isinstance(self.changes[0], TunnelError):
            raise self.changes.pop(0)  # type: ignore[misc]
        return TunnelUp(url="https://a.example")

    async def watch(self) -> Change:
        if self.changes:
            return self.changes.pop(0)  # type: ignore[return-value]
        await asyncio.Event().wait()
        raise AssertionError

    async def close(self, *, at_once: bool = False) -> None:
        self.closed.append(at_once)


class Engine:
    def __init__(self) -> None:
        self.options = EngineOptions(target=Target("http", "127.0.0.1", 1, "/scim/v2"))
        self.published: list[tuple[str | None, bool]] = []

    def publish(self, origin: str | None, *, vouches_for_client: bool) -> None:
        self.published.append((origin, vouches_for_client))


class World:
    def __init__(self, provider: Provider, **more: Any) -> None:
        self.engine = Engine()
        self.events: list[TunnelEvent] = []
        self.notices: list[str] = []
        self.public: list[str] = []
        self.stopped = asyncio.Event()
        self.reasons: list[str] = []
        self.now = 1000.0
        self.active = 0.0
        self.exposure = Exposure(
            ExposureOptions(provider=provider, probe=False, **more),
            self.engine,  # type: ignore[arg-type]
            Address("127.0.0.1", 1),
            Surroundings(
                tell=self.events.append,
                notice=lambda message, _: self.notices.append(message),
                public=self.public.append,
                active_at=lambda: self.active,
                seen=self.seen,
                stop=self.stop,
            ),
            clock=lambda: self.now,
        )

    async def seen(self, nonce: str) -> bool:
        return True

    def stop(self, reason: str) -> None:
        self.reasons.append(reason)
        self.stopped.set()

    async def until(self, state: str) -> None:
        async with asyncio.timeout(30):
            while state not in [event.state for event in self.events]:  # noqa: ASYNC110 - it takes turns of the loop
                await asyncio.sleep(0)


async def end(world: World, task: asyncio.Task[Any]) -> None:
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    await world.exposure.close()


async def test_the_engine_learns_its_public_origin() -> None:
    for vouches in (True, False):
        world = World(Provider(vouches=vouches))
        task = asyncio.create_task(world.exposure.run())
        await world.until("up")
        assert world.engine.published == [("https://a.example", vouches)]
        assert world.public == ["https://a.example"]
        await end(world, task)
        assert world.events[-1].state == "stopped"


async def test_a_change_is_told_loudly_and_a_command_run(tmp_path: Path) -> None:
    told = tmp_path / "told"
    world = World(
        Provider(Regained("https://b.example")), on_url_change=f'echo "$SCIMPROXY_OLD_URL>$SCIMPROXY_URL" >> {told}'
    )
    task = asyncio.create_task(world.exposure.run())
    async with asyncio.timeout(30):
        while not told.exists() or len(told.read_text().splitlines()) < 2:  # noqa: ASYNC110 - a file of another process
            await asyncio.sleep(0.01)
    assert sorted(told.read_text().splitlines()) == [
        ">https://a.example/scim/v2",
        "https://a.example/scim/v2>https://b.example/scim/v2",
    ]
    assert world.notices == ["the public URL has CHANGED: https://a.example/scim/v2 is now https://b.example/scim/v2"]
    await end(world, task)


async def test_a_command_that_has_begun_ends_before_the_tunnel(tmp_path: Path) -> None:
    told = tmp_path / "told"
    world = World(Provider(), on_url_change=f'echo "$SCIMPROXY_URL" >> {told}')
    task = asyncio.create_task(world.exposure.run())
    await world.until("up")
    await end(world, task)
    assert told.read_text() == "https://a.example/scim/v2\n"


async def test_a_command_that_fails_is_told_and_one_that_hangs_is_ended(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(exposure, "_COMMAND_REST_S", 0.0)
    world = World(Provider(), on_url_change="exit 3")
    task = asyncio.create_task(world.exposure.run())
    async with asyncio.timeout(30):
        while not world.notices:  # noqa: ASYNC110 - it ends in a thread
            await asyncio.sleep(0.01)
    assert world.notices == ["--on-url-change: 'exit 3' ended with 3"]
    await end(world, task)
    pid = tmp_path / "pid"
    world = World(Provider(), on_url_change=f"echo $$ > {pid}; sleep 600")
    task = asyncio.create_task(world.exposure.run())
    async with asyncio.timeout(30):
        while not pid.exists() or not pid.read_text():  # noqa: ASYNC110 - a file of another process
            await asyncio.sleep(0.01)
    await end(world, task)
    assert not Path(f"/proc/{pid.read_text().strip()}").exists() or os.name != "posix"


async def test_a_tunnel_that_never_came_up_is_an_error_and_a_later_end_is_not() -> None:
    fatal = TunnelError("no token", hint="get one", fatal=True)
    world = World(Provider(fatal))
    assert await world.exposure.run() is fatal
    world = World(Provider(Ended(fatal)))
    task = asyncio.create_task(world.exposure.run())
    await world.until("failed")
    async with asyncio.timeout(30):
        while not world.notices:  # noqa: ASYNC110 - it takes turns of the loop
            await asyncio.sleep(0)
    assert not task.done()
    assert world.notices == ["the tunnel is gone for good: no token"]
    await end(world, task)


async def test_how_long_it_is_public(monkeypatch: Any) -> None:
    monkeypatch.setattr("scimproxy.exposure._LOOK_EVERY_S", 0.0)
    world = World(Provider(), max_duration_s=7200.0, idle_close_s=600.0)
    task = asyncio.create_task(world.exposure.run())
    await world.until("up")
    world.now += 599
    await asyncio.sleep(0)
    assert not world.stopped.is_set()
    world.active = world.now
    world.now += 599
    await asyncio.sleep(0)
    assert not world.stopped.is_set()
    world.now += 1
    async with asyncio.timeout(30):
        await world.stopped.wait()
    assert world.reasons == ["--idle-close: nothing came for 10 min"]
    await end(world, task)
    world = World(Provider(), max_duration_s=7200.0)
    task = asyncio.create_task(world.exposure.run())
    await world.until("up")
    world.now += 7200
    async with asyncio.timeout(30):
        await world.stopped.wait()
    assert world.reasons == ["--max-duration: public for 2 h"]
    await end(world, task)


async def test_what_was_left_by_a_killed_one_is_cleaned(tmp_path: Path) -> None:
    den = tmp_path / "scimproxy-tunnel-old"
    den.mkdir()
    (den / "owner.json").write_text('{"pid": 999999999, "started": null}')
    world = World(Provider())
    task = asyncio.create_task(world.exposure.run())
    await world.until("up")
    assert not den.exists()
    assert "cleaned up" in world.notices[0]
    await end(world, task)


def test_lengths_of_time_in_words() -> None:
    assert [_spoken(seconds) for seconds in (8 * 3600, 90, 5)] == ["8 h", "1.5 min", "5 s"]
