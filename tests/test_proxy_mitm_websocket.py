"""WebSocket through the mitmproxy engine: the handshake is committed first, messages pass, and a log of them is kept."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from conformance.rig import GET, OK, Rig, Rigs, Script, Wire, answering, rigs_of
from forward_rig import stage_of
from wsproto import ConnectionType, WSConnection
from wsproto.events import (
    AcceptConnection,
    BytesMessage,
    CloseConnection,
    Event,
    Ping,
    Pong,
    Request,
    TextMessage,
)
from wsproto.extensions import PerMessageDeflate

from scimproxy.errors import StoreError
from scimproxy.exchange import Exchange, Headers
from scimproxy.proxy.forwarding import Tap
from scimproxy.proxy.mitm_websocket import MessageLog
from scimproxy.redact import redact


class Socket:
    """One end of a WebSocket on a raw connection."""

    def __init__(self, wire: Wire, kind: ConnectionType) -> None:
        self.wire = wire
        self.ws = WSConnection(kind)

    async def send(self, event: Event) -> None:
        await self.wire.send(self.ws.send(event))

    async def next(self) -> Event:
        while True:
            for event in self.ws.events():
                return event
            data = await self.wire.reader.read(65536)
            self.ws.receive_data(data or None)

    async def shake(self, *extensions: Any) -> Event:
        await self.send(Request("public.example", "/events?token=geheim", extensions=list(extensions)))
        async with asyncio.timeout(20):
            return await self.next()


def echoing(*extensions: Any) -> Script:
    """A server that gives every message back, and closes when it is asked to."""

    async def script(wire: Wire) -> None:
        socket = Socket(wire, ConnectionType.SERVER)
        while True:
            event = await socket.next()
            if isinstance(event, Request):
                await socket.send(AcceptConnection(extensions=list(extensions)))
            elif isinstance(event, Ping | CloseConnection):
                await socket.send(event.response())
                if isinstance(event, CloseConnection):
                    return
            elif isinstance(event, TextMessage | BytesMessage):
                await socket.send(type(event)(data=event.data, message_finished=event.message_finished))

    return script


@pytest.fixture
async def rigs() -> AsyncIterator[Rigs]:
    async with rigs_of("mitmproxy") as made:
        yield made


async def opened(rig: Rig, *extensions: Any) -> Socket:
    socket = Socket(await rig.client(), ConnectionType.CLIENT)
    assert isinstance(await socket.shake(*extensions), AcceptConnection)
    return socket


async def closed(socket: Socket) -> None:
    await socket.send(CloseConnection(1000, "bye"))
    assert isinstance(await socket.next(), CloseConnection)
    assert await socket.wire.rest() == b""


def log_of(exchange: Exchange) -> list[dict[str, Any]]:
    assert exchange.response is not None
    return [json.loads(line) for line in exchange.response.content.data.splitlines()]


def told(exchange: Exchange) -> list[tuple[str, str]]:
    return [(line["from"], line["type"]) for line in log_of(exchange)]


async def test_messages_pass_and_are_logged(rigs: Rigs) -> None:
    rig = await rigs(echoing(), base_path="")
    socket = await opened(rig)
    await socket.send(TextMessage('{"a":\n 1}'))
    assert (await socket.next()).data == '{"a":\n 1}'  # type: ignore[attr-defined]
    await socket.send(BytesMessage(b"\xff\x00"))
    assert (await socket.next()).data == b"\xff\x00"  # type: ignore[attr-defined]
    await socket.send(Ping(b"p"))
    assert isinstance(await socket.next(), Pong)
    await closed(socket)
    exchange = await rig.recorder.one()
    assert (exchange.state, exchange.failure, exchange.origin) == ("complete", None, "upstream")
    assert exchange.response is not None
    assert exchange.response.status_code == 101
    assert (exchange.response.headers.get("upgrade") or "").lower() == "websocket"
    assert told(exchange) == [
        ("client", "text"), ("upstream", "text"), ("client", "binary"), ("upstream", "binary"),
        ("client", "ping"), ("upstream", "pong"), ("client", "close"), ("upstream", "close"),
    ]  # fmt: skip
    first, _, binary, *_, last = log_of(exchange)
    assert (first["json"], first["size"]) == ({"a": 1}, 9)
    assert (binary["base64"], binary["size"]) == ("/wA=", 2)
    assert (last["code"], last["text"]) == (1000, "bye")
    assert first["at"].endswith("Z")
    assert exchange.ended in {"closed by the upstream", "closed by the client"}


async def test_the_handshake_is_committed_before_the_client_has_it(rigs: Rigs) -> None:
    rig = await rigs(echoing())
    gate, entered = asyncio.Event(), asyncio.Event()
    real = rig.recorder.opened

    async def held(exchange: Exchange) -> None:
        entered.set()
        await gate.wait()
        await real(exchange)

    rig.recorder.opened = held  # type: ignore[method-assign]
    socket = Socket(await rig.client(), ConnectionType.CLIENT)
    shaking = asyncio.create_task(socket.shake())
    await entered.wait()
    assert (await rig.ask(GET.replace(b"GET", b"BREW", 1)))[:9] == b"HTTP/1.1 "  # another connection goes on
    assert not shaking.done()
    gate.set()
    assert isinstance(await shaking, AcceptConnection)
    (pending,) = [one for one in rig.recorder.pendings if one.response is not None]
    assert pending.state == "pending"
    assert pending.response is not None
    assert pending.response.status_code == 101


async def test_what_cannot_be_recorded_is_withheld(rigs: Rigs) -> None:
    rig = await rigs(echoing())
    rig.recorder.error = StoreError("the disk is gone")
    socket = Socket(await rig.client(), ConnectionType.CLIENT)
    await socket.send(Request("public.example", "/events"))
    assert (await socket.wire.message()).startswith(b"HTTP/1.1 507 ")


async def test_compressed_messages_are_read(rigs: Rigs) -> None:
    rig = await rigs(echoing(PerMessageDeflate()))
    socket = await opened(rig, PerMessageDeflate())
    for index in range(3):
        await socket.send(TextMessage(f"message {index} " * 50))
        assert (await socket.next()).data == f"message {index} " * 50  # type: ignore[attr-defined]
    await closed(socket)
    lines = log_of(await rig.recorder.one())
    assert [line["text"] for line in lines if line["type"] == "text" and line["from"] == "upstream"] == [
        f"message {index} " * 50 for index in range(3)
    ]


async def test_the_log_is_bounded(rigs: Rigs) -> None:
    rig = await rigs(echoing(), max_content=400)
    socket = await opened(rig)
    await socket.send(TextMessage("x" * 100_000))
    size = 0
    while size < 100_000:
        size += len((await socket.next()).data)  # type: ignore[attr-defined]
    await closed(socket)
    exchange = await rig.recorder.one()
    assert exchange.response is not None
    content = exchange.response.content
    assert len(content.data) <= 400
    first = json.loads(content.data.splitlines()[0])
    assert (first["size"], first["cut"]) == (100_000, True)


async def test_no_secret_of_a_message_is_stored(rigs: Rigs) -> None:
    rig = await rigs(echoing())
    socket = await opened(rig)
    await socket.send(TextMessage('{"schemas":[],"password":"hunter2-geheim","userName":"b"}'))
    await socket.next()
    await socket.send(BytesMessage(b'{"client_secret": "hunter3-geheim"}'))
    await socket.next()
    await closed(socket)
    clean, secrets = redact(await rig.recorder.one())
    assert clean.response is not None
    assert b"geheim" not in clean.response.content.data
    assert b'"userName":"b"' in clean.response.content.data
    assert {"hunter2-geheim", "hunter3-geheim"} <= set(secrets.values())
    for line in clean.response.content.data.splitlines():
        json.loads(line)


async def test_a_server_that_does_not_want_one(rigs: Rigs) -> None:
    rig = await rigs(answering(b"HTTP/1.1 403 Forbidden\r\nContent-Length: 2\r\n\r\nno", OK))
    socket = Socket(await rig.client(), ConnectionType.CLIENT)
    await socket.send(Request("public.example", "/events"))
    assert (await socket.wire.message()).startswith(b"HTTP/1.1 403 ")
    await socket.wire.send(GET)  # the connection is as good as before
    assert await socket.wire.message() == OK
    await rig.recorder.wait_until(lambda: len(rig.recorder.exchanges) == 2)
    assert b"Upgrade: websocket" in rig.upstream.seen[0]
    assert b"pgrade" not in rig.upstream.seen[1]


@pytest.mark.parametrize("side", ["client", "upstream"])
async def test_an_end_without_a_goodbye(rigs: Rigs, side: str) -> None:
    async def script(wire: Wire) -> None:
        socket = Socket(wire, ConnectionType.SERVER)
        await socket.next()
        await socket.send(AcceptConnection())
        await socket.next()
        if side == "upstream":
            wire.reset()
        await wire.reader.read()

    rig = await rigs(script)
    socket = await opened(rig)
    await socket.send(TextMessage("hello"))
    if side == "client":
        socket.wire.reset()
    else:
        assert await socket.wire.rest() == b""
    exchange = await rig.recorder.one()
    assert exchange.ended == f"closed by the {side}"
    assert log_of(exchange)[0]["text"] == "hello"


async def test_stopping_does_not_wait_for_it(rigs: Rigs) -> None:
    rig = await rigs(echoing(), drain_s=3600)
    socket = await opened(rig)
    await socket.send(TextMessage("hello"))
    await socket.next()
    async with asyncio.timeout(20):
        await rig.engine.stop()
    exchange = await rig.recorder.one()
    assert (exchange.state, told(exchange)) == ("aborted", [("client", "text"), ("upstream", "text")])
    assert exchange.failure is not None
    assert exchange.failure.side == "proxy"


async def test_bytes_sent_right_behind_the_handshake(rigs: Rigs) -> None:
    """A server that greets in the same packet as its 101 loses nothing."""

    async def script(wire: Wire) -> None:
        socket = Socket(wire, ConnectionType.SERVER)
        await socket.next()
        await wire.send(socket.ws.send(AcceptConnection()) + socket.ws.send(TextMessage("welcome")))
        await wire.reader.read()

    rig = await rigs(script)
    socket = await opened(rig)
    assert (await socket.next()).data == "welcome"  # type: ignore[attr-defined]


async def test_another_upgrade_is_refused(rigs: Rigs) -> None:
    rig = await rigs()
    answer = await rig.ask(b"GET / HTTP/1.1\r\nHost: h\r\nConnection: upgrade\r\nUpgrade: h2c\r\n\r\n")
    assert answer.startswith(b"HTTP/1.1 501 ")
    assert b"--engine" not in answer


async def test_the_native_engine_names_the_other_one() -> None:
    async with rigs_of("native") as made:
        rig = await made()
        socket = Socket(await rig.client(), ConnectionType.CLIENT)
        await socket.send(Request("public.example", "/events"))
        answer = await socket.wire.message()
    assert answer.startswith(b"HTTP/1.1 501 ")
    assert b"WebSocket is recorded with --engine mitmproxy" in answer


async def test_through_a_forward_proxy(tmp_path: Path) -> None:
    async with stage_of(tmp_path) as stage:
        server = await stage.h1_server(echoing())
        await stage.forward()
        socket = Socket(await stage.secured(server.port), ConnectionType.CLIENT)
        assert isinstance(await socket.shake(), AcceptConnection)
        await socket.send(TextMessage("hello"))
        assert (await socket.next()).data == "hello"  # type: ignore[attr-defined]
        await closed(socket)
        exchange = await stage.recorder.one()
        assert (exchange.scheme, told(exchange)[0]) == ("https", ("client", "text"))


# -- the log alone


def log(extensions: str = "", limit: int = 1000) -> tuple[MessageLog, Tap]:
    tap = Tap(limit)
    headers = Headers([("Sec-WebSocket-Extensions", extensions)] if extensions else [])
    return MessageLog(headers, tap, limit, lambda: 0.0), tap


def lines(tap: Tap) -> list[dict[str, Any]]:
    return [json.loads(line) for line in tap.content().data.splitlines()]


@pytest.mark.parametrize("extensions", ["x-zip", "permessage-deflate; server_max_window_bits=99"])
def test_an_extension_that_is_not_known(extensions: str) -> None:
    made, tap = log(extensions)
    made.feed("client", b"\x81\x00")
    (line,) = lines(tap)
    assert (line["type"], "no message can be read" in line["text"]) == ("unreadable", True)


def test_broken_frames_are_said_once() -> None:
    made, tap = log()
    made.feed("upstream", b"\x81\x02ok\xff\xff\xff\xff")
    made.feed("upstream", b"\x81\x02ok")
    assert [line["type"] for line in lines(tap)] == ["text", "unreadable"]
    assert lines(tap)[0]["at"] == "1970-01-01T00:00:00.000Z"


def test_messages_in_every_form() -> None:
    made, tap = log()
    made.feed("upstream", b"\x01\x01a\x80\x01b")  # in two frames
    made.feed("upstream", b"\x81\x01{")  # begins like JSON
    made.feed("upstream", b"\x88\x00")  # a close without a code
    got = lines(tap)
    assert [(line["type"], line.get("text"), line["size"]) for line in got[:2]] == [
        ("text", "ab", 2),
        ("text", "{", 1),
    ]
    assert "code" not in got[2]
