"""The patience of the client that runs suites under faults."""

from __future__ import annotations

import pytest
from conformance.rig import Upstream, Wire

from scimproxy import retrying
from scimproxy.client import Client
from scimproxy.exchange import Exchange, Request
from scimproxy.retrying import send_retrying


def answer(status: int, *fields: str) -> bytes:
    lines = [f"HTTP/1.1 {status} X", "Content-Length: 0", "Connection: close", *fields]
    return ("\r\n".join(lines) + "\r\n\r\n").encode()


async def sent(retries: int, *given: bytes) -> tuple[Exchange, int]:
    """Send one request to a server that gives these answers, each on a connection of its own; empty: a reset."""
    left = list(given)

    async def script(wire: Wire) -> None:
        await wire.message()
        if data := left.pop(0):
            await wire.send(data)
        else:
            wire.reset()

    upstream = Upstream(script)
    await upstream.start()
    try:
        async with Client() as client:
            origin = f"http://127.0.0.1:{upstream.port}"
            exchange = await send_retrying(client, Request("POST", "/Users"), origin, retries=retries)
        return exchange, len(upstream.seen)
    finally:
        await upstream.stop()


@pytest.fixture
def waits(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Take the waiting away, and keep how long it would have been."""
    kept: list[float] = []

    async def wait(seconds: float) -> None:
        kept.append(seconds)

    monkeypatch.setattr(retrying, "pause", wait)
    return kept


@pytest.mark.parametrize("first", [200, 400, 409, 500])
async def test_what_is_an_answer_is_taken(first: int, waits: list[float]) -> None:
    exchange, count = await sent(3, answer(first))
    assert exchange.response is not None
    assert (exchange.response.status_code, count, waits) == (first, 1, [])


async def test_it_comes_again(waits: list[float]) -> None:
    exchange, count = await sent(5, answer(503, "Retry-After: 7"), b"", answer(502), answer(429), answer(201))
    assert exchange.response is not None
    assert (exchange.response.status_code, count) == (201, 5)
    assert waits == [7.0, 0.2, 0.4, 0.8]


@pytest.mark.parametrize("told", ["Wed, 21 Oct 2099 07:28:00 GMT", "1.5", "-1", "٣", "1234567"])
async def test_only_seconds_are_understood(told: str, waits: list[float]) -> None:
    field = f"Retry-After: {told}".encode().decode("latin-1")
    await sent(1, answer(429, field), answer(200))
    assert waits == [0.1]


async def test_the_last_answer_counts(waits: list[float]) -> None:
    exchange, count = await sent(2, *([answer(503, "Retry-After: 99999")] * 3))
    assert exchange.response is not None
    assert (exchange.response.status_code, count, waits) == (503, 3, [60.0, 60.0])
    exchange, count = await sent(0, b"")
    assert exchange.failure is not None
    assert count == 1
