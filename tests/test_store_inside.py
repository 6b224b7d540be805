from __future__ import annotations

import asyncio
import threading
from pathlib import Path

import factories
import pytest

from scimproxy.errors import StoreError
from scimproxy.store import Reader, StoreInside


async def test_tells_in_the_event_loop_and_wakes_it_once_for_a_group(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = await StoreInside.open(tmp_path / "a.db")
    run = await store.start_run(factories.run())
    loop = asyncio.get_running_loop()
    told: list[tuple[object, int]] = []
    calls: list[object] = []
    original = loop.call_soon_threadsafe
    hold, held = threading.Event(), threading.Event()
    holding = asyncio.create_task(asyncio.to_thread(store._store._call, lambda: (held.set(), hold.wait())))
    await asyncio.to_thread(held.wait)  # the writer stands still, and all that comes now is one group
    for _ in range(50):
        store.submit_then(factories.exchange(), lambda problem: told.append((problem, threading.get_ident())))
    monkeypatch.setattr(loop, "call_soon_threadsafe", lambda *args: (calls.append(args[0]), original(*args))[1])
    hold.set()
    store._store.flush()  # the loop stands still until all of them are committed
    assert told == []
    await holding
    await store.flush()
    assert told == [(None, threading.get_ident())] * 50
    assert sum(call == store._wake for call in calls) == 1
    await store.finish_run(run.id or 0, ended_at=2.0, lost=3)
    await store.close()
    with Reader.open(tmp_path / "a.db") as reader:
        assert len(list(reader.exchanges(limit=100))) == 50
        found = reader.run(run.id or 0)
    assert found is not None
    assert found.lost == 3


async def test_what_the_store_refuses_is_raised(tmp_path: Path) -> None:
    store = await StoreInside.open(tmp_path / "a.db")
    with pytest.raises(StoreError, match="there is no run"):
        await store.delete_run(99)
    assert store.last_error is None
    await store.close()
    told: list[object] = []
    store.submit_then(factories.exchange(), told.append)
    await asyncio.sleep(0)
    assert isinstance(told[0], StoreError)
