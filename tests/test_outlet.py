from __future__ import annotations

import asyncio
import threading

import pytest

from scimproxy.outlet import Outlet


async def test_events_are_told_in_order_in_another_thread() -> None:
    told: list[tuple[int, bool]] = []
    outlet = Outlet[int](lambda n: told.append((n, threading.current_thread() is threading.main_thread())))
    for number in range(100):
        outlet(number)
    assert await outlet.close(10)
    assert told == [(number, False) for number in range(100)]


async def test_a_reader_that_hangs_holds_up_nobody() -> None:
    gate = threading.Event()
    outlet = Outlet[int](lambda _: gate.wait() and None)
    for number in range(1000):
        outlet(number)
    waiting = asyncio.create_task(outlet.room())
    await asyncio.sleep(0)
    assert not waiting.done()
    assert not await outlet.close(0.01)
    gate.set()
    await waiting
    assert await outlet.close(10)


async def test_there_is_room_again_when_half_is_told() -> None:
    step = threading.Semaphore(0)
    outlet = Outlet[int](lambda _: step.acquire() and None)
    for number in range(401):
        outlet(number)
    waiting = asyncio.create_task(outlet.room())
    for _ in range(100):
        step.release()
    await asyncio.sleep(0)
    assert not waiting.done()
    for _ in range(301):
        step.release()
    await waiting
    assert await outlet.close(10)


async def test_what_tell_raises_is_raised_to_whoever_waits() -> None:
    def broken(_: int) -> None:
        raise BrokenPipeError

    outlet = Outlet[int](broken)
    outlet(1)
    with pytest.raises(BrokenPipeError):
        await outlet.close(10)
    with pytest.raises(BrokenPipeError):
        await outlet.room()
