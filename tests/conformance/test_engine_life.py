"""Starting and stopping."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from conformance.rig import GET, OK, Recording, Rigs, Wire, engine_class

from scimproxy.errors import EngineError
from scimproxy.proxy.engine import EngineOptions, Target


async def test_a_port_that_is_taken(rigs: Rigs) -> None:
    rig = await rigs()
    options = EngineOptions(target=Target("http", "127.0.0.1", 1), listen_port=rig.address.port)
    engine = engine_class(rigs.name)(options, Recording())
    with pytest.raises(EngineError) as caught:
        await engine.start()
    assert str(rig.address.port) in str(caught.value)
    assert caught.value.hint
    await engine.stop()


async def test_an_address_that_is_not_ours(rigs: Rigs) -> None:
    options = EngineOptions(target=Target("http", "127.0.0.1", 1), listen_host="192.0.2.1")
    engine = engine_class(rigs.name)(options, Recording())
    with pytest.raises(EngineError):
        await engine.start()


async def test_a_ca_file_that_is_none(rigs: Rigs, tmp_path: Path) -> None:
    bad = tmp_path / "ca.pem"
    bad.write_text("not a certificate")
    options = EngineOptions(target=Target("https", "localhost", 1), upstream_ca=bad)
    engine = engine_class(rigs.name)(options, Recording())
    with pytest.raises(EngineError) as caught:
        await engine.start()
    assert "ca.pem" in str(caught.value)
    await engine.stop()


async def test_two_engines_at_once(rigs: Rigs) -> None:
    one, two = await rigs(), await rigs()
    assert await one.ask() == OK
    assert await two.ask() == OK
    await one.engine.stop()
    assert await two.ask() == OK
    assert len(one.recorder.exchanges) == 1
    assert len(two.recorder.exchanges) == 2


async def test_stopping_lets_what_is_in_flight_end(rigs: Rigs) -> None:
    asked, go = asyncio.Event(), asyncio.Event()

    async def script(wire: Wire) -> None:
        await wire.message()
        asked.set()
        await go.wait()
        await wire.send(OK)
        await wire.reader.read()

    rig = await rigs(script)
    idle = await rig.client()
    client = await rig.client()
    await client.send(GET)
    async with asyncio.timeout(20):
        await asked.wait()
        stopping = asyncio.create_task(rig.engine.stop())
        assert await idle.rest() == b""
        with pytest.raises(OSError):
            await rig.client()
        go.set()
        got = await client.rest()
        await stopping
    assert got.startswith(b"HTTP/1.1 200 ")
    assert b"\r\nConnection: close\r\n" in got
    assert got.endswith(b"ok")
    exchange = await rig.recorder.one()
    assert exchange.failure is None
    assert {one.side for one in rig.recorder.connections} == {"client", "upstream"}


async def test_stopping_records_what_does_not_end(rigs: Rigs) -> None:
    asked = asyncio.Event()

    async def script(wire: Wire) -> None:
        await wire.message()
        asked.set()
        await wire.rest()

    rig = await rigs(script, drain_s=0.05)
    client = await rig.client()
    await client.send(GET)
    async with asyncio.timeout(20):
        await asked.wait()
        await rig.engine.stop()
    await client.rest()
    exchange = await rig.recorder.one()
    assert exchange.state == "aborted"
    assert exchange.failure is not None
    assert exchange.failure.side == "proxy"


async def test_stopping_at_once_hurries_a_stop_that_goes_on(rigs: Rigs) -> None:
    asked = asyncio.Event()

    async def script(wire: Wire) -> None:
        await wire.message()
        asked.set()
        await wire.rest()

    rig = await rigs(script, drain_s=600)
    client = await rig.client()
    await client.send(GET)
    async with asyncio.timeout(20):
        await asked.wait()
        slow = asyncio.create_task(rig.engine.stop())
        await asyncio.sleep(0)
        assert not slow.done()
        await rig.engine.stop(at_once=True)
        await slow
    exchange = await rig.recorder.one()
    assert exchange.state == "aborted"


async def test_stopping_twice(rigs: Rigs) -> None:
    rig = await rigs()
    await rig.ask()
    await asyncio.gather(rig.engine.stop(), rig.engine.stop())
    await rig.engine.stop()


async def test_stopping_leaves_the_loop_as_it_was(rigs: Rigs) -> None:
    loop = asyncio.get_running_loop()
    before = loop.get_exception_handler(), loop.get_task_factory()
    rig = await rigs()
    await rig.ask()
    await rig.engine.stop()
    assert (loop.get_exception_handler(), loop.get_task_factory()) == before
    others = {task for task in asyncio.all_tasks() if task is not asyncio.current_task()}
    names = [task.get_coro().__qualname__ for task in others]  # type: ignore[union-attr]
    assert all("Upstream" in name or "script" in name or "tell" in name for name in names), names


async def test_failed_waits(rigs: Rigs) -> None:
    rig = await rigs()
    waiting = asyncio.create_task(rig.engine.failed())
    await rig.ask()
    assert not waiting.done()
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
