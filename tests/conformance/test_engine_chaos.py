"""Random misbehaviour on both sides at once: nothing hangs, nothing is lost, nothing is told twice."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import random

import pytest
from conformance.rig import OK, Rig, Rigs, Script, Wire

GARBAGE = b"garbage\r\n\r\n"
HALF = b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf"
CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + b"400\r\n" + b"x" * 1024 + b"\r\n"
EMPTY = b"HTTP/1.1 103 Early Hints\r\n\r\nHTTP/1.1 204 No Content\r\n\r\n"
UNTIL_CLOSED = b"HTTP/1.0 200 OK\r\n\r\nabc"
LONG = b"HTTP/1.1 200 OK\r\nContent-Length: 5000\r\n\r\n" + b"y" * 5000


def moody(chance: random.Random) -> Script:
    """A server that does anything."""

    async def script(wire: Wire) -> None:
        while True:
            await wire.until(b"\r\n\r\n")
            match chance.randrange(12):
                case 0:
                    return
                case 1:
                    wire.reset()
                    return
                case 2 | 3 as which:
                    await wire.send(HALF if which == 2 else UNTIL_CLOSED)
                    return
                case 4:
                    await wire.reader.read(1)  # says nothing: the engine's own limit ends it
                    return
                case 5:
                    await wire.send(CHUNKED)
                    if chance.random() < 0.3:
                        wire.reset()
                        return
                    await wire.send(b"0\r\n\r\n")
                case other:
                    await wire.send({6: GARBAGE, 7: EMPTY, 8: LONG}.get(other, OK))

    return script


async def careless(rig: Rig, chance: random.Random) -> int:
    """A client that does anything; returns how many whole answers it got."""
    whole = 0
    for _ in range(15):
        client = await rig.client()
        with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError):
            for _ in range(chance.randrange(1, 6)):
                method = chance.choice([b"GET", b"PUT", b"POST", b"HEAD"])
                body = b"z" * chance.choice([0, 10, 5000])
                request = method + b" /a HTTP/1.1\r\nHost: h\r\nContent-Length: %d\r\n\r\n" % len(body) + body
                if method == b"POST":
                    request = method + b" /a HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n1388\r\n"
                    request += b"z" * 5000 + b"\r\n0\r\n\r\n"
                mood = chance.randrange(10)
                await client.send({0: request[:60], 1: GARBAGE, 2: request * 5}.get(mood, request))
                if mood in {0, 2, 3}:
                    client.reset()
                    break
                head = await client.message(bodiless=True)
                while head.startswith(b"HTTP/1.1 1"):
                    head = await client.message(bodiless=True)
                assert b"<html" not in head
                if method != b"HEAD" and b" 204 " not in head and mood != 1:
                    if b"chunked" in head:
                        await client.until(b"\r\n0\r\n\r\n")
                    else:
                        await client.exactly(int(head.lower().partition(b"content-length: ")[2].split(b"\r\n")[0]))
                if mood == 1:
                    break
                whole += 1
                if b"connection: close" in head.lower():
                    break
        client.close()
    return whole


@pytest.mark.parametrize("seed", range(3))
async def test_chaos(rigs: Rigs, seed: int, caplog: pytest.LogCaptureFixture) -> None:
    chance = random.Random(seed)
    with caplog.at_level(logging.ERROR):
        rig = await rigs(moody(chance), stream_above=2000, response_timeout_s=0.1, pending_after_ms=5)
        whole = sum(await asyncio.gather(*(careless(rig, chance) for _ in range(10))))
        await rig.engine.stop()
    exchanges = rig.recorder.exchanges
    assert caplog.text == ""
    assert rig.recorder.losses == []
    assert len({exchange.uid for exchange in exchanges}) == len(exchanges)
    answered = [exchange for exchange in exchanges if exchange.response is not None]
    assert whole > 50
    assert len(answered) >= whole
    finals = {exchange.uid for exchange in exchanges}
    assert {pending.uid for pending in rig.recorder.pendings} <= finals
    told = {connection.uid for connection in rig.recorder.connections}
    used = {exchange.client_connection.uid for exchange in exchanges if exchange.client_connection is not None}
    assert used <= told
