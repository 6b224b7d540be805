"""Record before respond, pending, and what happens when recording fails."""

from __future__ import annotations

import asyncio
import logging

import pytest
from conformance.rig import GET, OK, Rig, Rigs, Wire, answering, body_of, value_of

from scimproxy.errors import StoreError, StoreFull

STREAMED = b"x" * 200_000


async def settle(rig: Rig) -> None:
    """Let another exchange go all the way: whatever was on its way before has arrived by then."""
    assert await rig.ask(b"GET /other HTTP/1.1\r\nHost: h\r\n\r\n")


async def by_path(wire: Wire) -> None:
    """A big answer for /big and /chunked, a small one for the rest."""
    while True:
        request = await wire.message()
        path = request.split(b" ")[1]
        if path == b"/big":
            await wire.send(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(STREAMED) + STREAMED)
        elif path == b"/chunked":
            await wire.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
            await wire.send(b"%x\r\n%b\r\n0\r\n\r\n" % (len(STREAMED), STREAMED))
        else:
            await wire.send(OK)


async def test_a_held_answer_does_not_begin_before_it_is_recorded(rigs: Rigs) -> None:
    rig = await rigs()
    rig.recorder.hold("/Users")
    client = await rig.client()
    await client.send(GET)
    async with asyncio.timeout(20):
        await rig.recorder.entered.wait()
    await settle(rig)
    assert client.waiting() == b""
    rig.recorder.release()
    assert await client.message() == OK


@pytest.mark.parametrize("path", ["/big", "/chunked"])
async def test_a_streamed_answer_does_not_end_before_it_is_recorded(rigs: Rigs, path: str) -> None:
    rig = await rigs(by_path, stream_above=1000)
    rig.recorder.hold(path)
    client = await rig.client()
    await client.send(b"GET %b HTTP/1.1\r\nHost: h\r\n\r\n" % path.encode())
    head = await client.until(b"\r\n\r\n")
    got = bytearray()

    async def read() -> None:
        while piece := await client.reader.read(65536):
            got.extend(piece)

    reading = asyncio.create_task(read())
    async with asyncio.timeout(20):
        await rig.recorder.entered.wait()
    await settle(rig)
    if path == "/big":
        assert len(got) < len(STREAMED)
    else:
        assert not got.endswith(b"0\r\n\r\n")
    rig.recorder.release()
    await rig.recorder.wait_until(lambda: len(rig.recorder.exchanges) == 2)
    await rig.engine.stop()
    async with asyncio.timeout(20):
        await reading
    assert body_of(head + bytes(got)) == STREAMED


async def test_an_answer_of_our_own_waits_for_its_record_too(rigs: Rigs) -> None:
    rig = await rigs(base_path="/scim")
    rig.recorder.hold("/outside")
    client = await rig.client()
    await client.send(b"GET /outside HTTP/1.1\r\nHost: h\r\n\r\n")
    async with asyncio.timeout(20):
        await rig.recorder.entered.wait()
    assert await rig.ask(b"GET /scim/Users HTTP/1.1\r\nHost: h\r\n\r\n") == OK
    assert client.waiting() == b""
    rig.recorder.release()
    assert (await client.message()).startswith(b"HTTP/1.1 404 ")


async def test_a_slow_exchange_is_announced_once(rigs: Rigs) -> None:
    go = asyncio.Event()

    async def script(wire: Wire) -> None:
        await wire.message()
        await go.wait()
        await wire.send(OK)
        await wire.reader.read()

    rig = await rigs(script, pending_after_ms=1)
    client = await rig.client()
    await client.send(b"POST /Users HTTP/1.1\r\nHost: h\r\nContent-Length: 2\r\n\r\nhi")
    await rig.recorder.wait_until(lambda: rig.recorder.pendings)
    pending = rig.recorder.pendings[0]
    assert pending.state == "pending"
    assert pending.response is None
    assert pending.ended_at is None
    assert pending.request.content.data in {b"hi", b""}
    go.set()
    await client.message()
    final = await rig.recorder.one()
    assert final.uid == pending.uid
    assert final.uid is not None
    assert final.state == "complete"
    assert len(rig.recorder.pendings) == 1


async def test_a_fast_exchange_is_not_announced(rigs: Rigs) -> None:
    rig = await rigs(pending_after_ms=60_000)
    assert await rig.ask() == OK
    assert rig.recorder.pendings == []


async def test_an_unrecorded_answer_is_withheld(rigs: Rigs) -> None:
    rig = await rigs()
    rig.recorder.error = StoreFull("no space left on the device", hint="free some")
    client = await rig.client()
    await client.send(GET)
    got = await client.message()
    assert got.startswith(b"HTTP/1.1 507 ")
    assert value_of(got, b"content-type") == b"application/scim+json"
    assert value_of(got, b"scimproxy-origin") == b"proxy"
    assert b"no space left" in body_of(got)
    rig.recorder.error = None
    await client.send(GET)
    assert await client.message() == OK
    assert rig.recorder.losses == []


@pytest.mark.parametrize("path", [b"/big", b"/chunked"])
async def test_an_unrecorded_streamed_answer_is_cut(rigs: Rigs, path: bytes) -> None:
    rig = await rigs(by_path, stream_above=1000)
    rig.recorder.error = StoreError("gone")
    client = await rig.client()
    await client.send(b"GET %b HTTP/1.1\r\nHost: h\r\n\r\n" % path)
    got = await client.rest()
    assert got.startswith(b"HTTP/1.1 200 ")
    assert not got.endswith(b"0\r\n\r\n")
    assert len(got.partition(b"\r\n\r\n")[2]) < len(STREAMED) + 1000
    if path == b"/big":
        assert len(got.partition(b"\r\n\r\n")[2]) < len(STREAMED)


async def test_a_fault_in_the_recorder_costs_the_record_and_not_the_answer(
    rigs: Rigs, caplog: pytest.LogCaptureFixture
) -> None:
    rig = await rigs()
    rig.recorder.error = ZeroDivisionError("our own bug")
    with caplog.at_level(logging.ERROR):
        assert await rig.ask() == OK
    assert len(rig.recorder.losses) == 1
    assert "our own bug" in caplog.text


async def test_nothing_is_asked_while_nothing_can_be_recorded(rigs: Rigs) -> None:
    rig = await rigs()
    rig.recorder.refusal = StoreFull("the disk is full", hint="free some")
    client = await rig.client()
    for body in (b"", b"hi"):
        await client.send(b"POST /Users HTTP/1.1\r\nHost: h\r\nContent-Length: %d\r\n\r\n" % len(body) + body)
        got = await client.message()
        assert got.startswith(b"HTTP/1.1 507 ")
        assert b"the disk is full" in body_of(got)
    assert rig.upstream.connections == 0
    assert rig.recorder.exchanges == []
    rig.recorder.refusal = None
    await client.send(GET)
    assert await client.message() == OK


async def test_timings_belong_to_what_happened(rigs: Rigs) -> None:
    rig = await rigs(answering(OK, OK))
    client = await rig.client()
    for _ in range(2):
        await client.send(GET)
        await client.message()
    first, second = (exchange.timings for exchange in rig.recorder.exchanges)
    assert first.dns is None
    assert first.connect is not None
    assert first.tls is None
    assert second.connect is None
    for timings in (first, second):
        assert timings.total is not None
        parts = [timings.connect, timings.send, timings.wait, timings.receive]
        assert all(part is None or part >= 0 for part in parts)
        assert sum(part or 0 for part in parts) <= timings.total + 0.001
