from __future__ import annotations

import asyncio
from pathlib import Path

import factories

from scimproxy.events import Event, Notice, Seen, Skipped
from scimproxy.proxy.engine import EngineOptions, Target
from scimproxy.stopping import Stop
from scimproxy.store import Reader, Store
from scimproxy.telling import Telling

OPTIONS = EngineOptions(target=Target("http", "127.0.0.1", 8000))


async def test_it_tells_its_own_run_from_now_on(tmp_path: Path) -> None:
    told: list[Event] = []
    with Store.open(tmp_path / "a.db") as store:
        store.start_run(factories.run())
        store.add(factories.exchange())
        with Reader.open(tmp_path / "a.db") as reader:
            telling = Telling(told.append, Stop(), tell_all=True)
            telling.notice("before")
            telling.begin(reader, 1, lambda: OPTIONS)
            store.start_run(factories.run())
            store.add(factories.exchange(run_id=2))
            store.add(factories.exchange(run_id=1))
            await telling.rest()
            assert await telling.close()
    assert [type(event) for event in told] == [Notice, Seen]
    assert telling.active_at > 0


async def test_what_is_left_when_somebody_is_in_a_hurry_is_counted(tmp_path: Path) -> None:
    told: list[Event] = []
    stop = Stop()
    with Store.open(tmp_path / "a.db") as store:
        store.start_run(factories.run())
        with Reader.open(tmp_path / "a.db") as reader:
            telling = Telling(told.append, stop, tell_all=True)
            telling.begin(reader, 1, lambda: OPTIONS)
            for _ in range(250):
                store.add(factories.exchange())
            stop("one")
            stop("two")
            await telling.rest()
            assert await telling.close()
    assert sum(isinstance(event, Seen) for event in told) == 200
    assert [event.count for event in told if isinstance(event, Skipped)] == [50]


async def test_following_goes_on_until_it_is_cancelled(tmp_path: Path) -> None:
    loop = asyncio.get_running_loop()
    seen = asyncio.Event()

    def tell(event: Event) -> None:
        if isinstance(event, Seen):
            loop.call_soon_threadsafe(seen.set)

    with Store.open(tmp_path / "a.db") as store:
        store.start_run(factories.run())
        with Reader.open(tmp_path / "a.db") as reader:
            telling = Telling(tell, Stop(), tell_all=False)
            telling.begin(reader, 1, lambda: OPTIONS)
            following = asyncio.create_task(telling.follow())
            for _ in range(2):
                seen.clear()
                store.add(factories.exchange())
                telling.changed()
                await seen.wait()
            following.cancel()
            await asyncio.gather(following, return_exceptions=True)
            assert following.cancelled()
            assert await telling.close()
