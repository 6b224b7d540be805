"""How long an engine waits for a client, and how many it takes."""

from __future__ import annotations

import asyncio

from conformance.rig import GET, OK, Rigs, Wire, value_of


async def test_a_head_that_does_not_end(rigs: Rigs) -> None:
    rig = await rigs(head_timeout_s=0.1)
    client = await rig.client()
    await client.send(b"GET /Users HTTP/1.1\r\nHo")
    got = await client.rest()
    assert got.startswith(b"HTTP/1.1 408 ")
    assert value_of(got, b"scimproxy-origin") == b"proxy"
    assert rig.upstream.connections == 0


async def test_a_body_that_does_not_go_on(rigs: Rigs) -> None:
    rig = await rigs(head_timeout_s=0.1)
    client = await rig.client()
    await client.send(b"POST /Users HTTP/1.1\r\nHost: h\r\nContent-Length: 9\r\n\r\nhalf")
    got = await client.rest()
    assert got.startswith(b"HTTP/1.1 408 ")
    exchange = await rig.recorder.one()
    assert exchange.failure is not None
    assert exchange.failure.side == "client"
    assert exchange.request.content.data == b"half"


async def test_a_connection_on_which_nothing_happens(rigs: Rigs) -> None:
    rig = await rigs(idle_timeout_s=0.1)
    client = await rig.client()
    await client.send(GET)
    assert await client.message() == OK
    assert await client.rest() == b""


async def test_waiting_for_an_upstream_is_not_silence(rigs: Rigs) -> None:
    async def script(wire: Wire) -> None:
        await wire.message()
        await asyncio.sleep(0.3)  # longer than both limits; the pause is the thing under test
        await wire.send(OK)
        await wire.reader.read()

    rig = await rigs(script, idle_timeout_s=0.05, head_timeout_s=0.05)
    assert await rig.ask() == OK


async def test_more_connections_than_allowed(rigs: Rigs) -> None:
    rig = await rigs(max_connections=2)
    first, second = await rig.client(), await rig.client()
    for one in (first, second):
        await one.send(GET)
        assert await one.message() == OK
    third = await rig.client()
    got = await third.rest()
    assert got.startswith(b"HTTP/1.1 503 ")
    assert value_of(got, b"content-type") == b"application/scim+json"
    first.close()
    await rig.recorder.wait_until(lambda: any(one.side == "client" for one in rig.recorder.connections))
    await second.send(GET)
    assert await second.message() == OK
