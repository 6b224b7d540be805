"""What only the mitmproxy engine has; the contract itself is shown by tests/conformance."""

from __future__ import annotations

import asyncio
import logging
import subprocess
import sys

import pytest
from conformance.rig import GET, OK, Rigs, Wire, rigs_of

from scimproxy.errors import EngineError
from scimproxy.proxy.engine import EngineOptions, Target
from scimproxy.proxy.mitm import MitmEngine
from scimproxy.proxy.mitm_events import HeadError, read_request_head, read_response_head
from scimproxy.proxy.mitm_stream import Stream


@pytest.fixture
async def rigs() -> object:
    async with rigs_of("mitmproxy") as made:
        yield made


async def test_a_fault_in_a_layer_is_logged_and_counted(
    rigs: Rigs, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def broken(self: Stream, event: object) -> object:
        raise ZeroDivisionError("our own bug")

    monkeypatch.setattr(Stream, "_upstream_head", broken)
    rig = await rigs()
    client = await rig.client()
    with caplog.at_level(logging.ERROR):
        await client.send(GET)
        assert await client.rest() == b""
    assert len(rig.recorder.losses) == 1
    assert "our own bug" in caplog.text
    monkeypatch.undo()
    assert await rig.ask() == OK


async def test_a_fault_while_announcing_harms_nothing(
    rigs: Rigs, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    called = asyncio.Event()

    async def script(wire: Wire) -> None:
        await wire.message()
        await called.wait()
        await wire.send(OK)

    def broken(_exchange: object) -> None:
        called.set()
        raise ZeroDivisionError("our own bug")

    rig = await rigs(script, pending_after_ms=1)
    monkeypatch.setattr(rig.recorder, "pending", broken)
    with caplog.at_level(logging.ERROR):
        assert await rig.ask() == OK
    assert "our own bug" in caplog.text


async def test_a_fault_in_counting_harms_nothing(
    rigs: Rigs, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def broken(_reason: str) -> None:
        raise ZeroDivisionError("another bug")

    rig = await rigs()
    rig.recorder.error = ZeroDivisionError("our own bug")
    monkeypatch.setattr(rig.recorder, "lost", broken)
    with caplog.at_level(logging.ERROR):
        assert await rig.ask() == OK
    assert "another bug" in caplog.text


async def test_it_must_be_started() -> None:
    engine = MitmEngine(EngineOptions(target=Target("http", "127.0.0.1", 1)), None)  # type: ignore[arg-type]
    with pytest.raises(EngineError):
        await engine.failed()
    await engine.stop()


async def test_two_masters_worth_of_state_is_not_made(rigs: Rigs) -> None:
    """No mitmproxy Master: its context stays empty, and no certificate authority is written."""
    from mitmproxy import ctx

    await (await rigs()).ask()
    assert not hasattr(ctx, "master")


def test_the_contract_and_forwarding_load_no_mitmproxy() -> None:
    script = (
        "import sys, scimproxy.proxy.engine, scimproxy.proxy.forwarding, scimproxy.proxy.answers,"
        "scimproxy.proxy.locations, scimproxy.proxy.passage; print('mitmproxy' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout == "False\n"


@pytest.mark.parametrize(
    "lines",
    [
        [b"GET / HTTP/1.1 "],
        [b"GET  / HTTP/1.1"],
        [b"GET /\x80 HTTP/1.1x"],
        [b" GET / HTTP/1.1"],
        [b"GET / http/1.1"],
        [b"GET / HTTP/1.1", b"no colon"],
        [b"GET / HTTP/1.1", b": empty"],
        [b"GET / HTTP/1.1", b"a b: c"],
        [b"GET / HTTP/1.1", b"a: b\x0bc"],
        [b"GET / HTTP/3.0"],
    ],
)
def test_request_heads_that_are_refused(lines: list[bytes]) -> None:
    with pytest.raises(HeadError) as caught:
        read_request_head(lines)
    assert caught.value.refusal.status_code in {400, 505}


def test_heads_keep_their_bytes() -> None:
    request = read_request_head([b"PATCH /\xe9?a=b HTTP/1.0", b"X-A:\t1 2\t", b"x-a:", b"B: \xff"])
    assert (request.method, request.target, request.http_version) == ("PATCH", "/\xe9?a=b", "1.0")
    assert request.headers.raw() == ((b"X-A", b"1 2"), (b"x-a", b""), (b"B", b"\xff"))
    response = read_response_head([b"HTTP/1.0 299 \xe9 ok", b"A: 1", b"  2", b"\t3"])
    assert (response.status_code, response.reason, response.http_version) == (299, "\xe9 ok", "1.0")
    assert response.headers.pairs == (("A", "1 2 3"),)
    assert read_response_head([b"HTTP/1.1 200"]).reason == ""


@pytest.mark.parametrize(
    "lines",
    [
        [b"HTTP/1.1 099 x"],
        [b"HTTP/1.1 2000"],
        [b"HTTP/2.0 200 OK"],
        [b"HTTP/1.1 200 OK", b" folded: first"],
        [b"HTTP/1.1 200 OK", b"a: \x00"],
        [b"HTTP/1.1 200 OK", b"a\x00: b"],
    ],
)
def test_response_heads_that_are_refused(lines: list[bytes]) -> None:
    with pytest.raises(HeadError):
        read_response_head(lines)
