"""What the native engine refuses, how long it waits, how much it takes at once, and that it holds no big body."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
import time
from collections.abc import AsyncIterator
from functools import partial
from pathlib import Path

import pytest
from conformance.rig import GET, OK, Rigs, Wire, body_of, rigs_of, value_of

from scimproxy.errors import StoreFull

HOST = b"Host: h\r\n"
BIG = 1024 * 1024 * int(os.environ.get("SCIMPROXY_BIG_MIB", "256"))
"""SCIMPROXY_BIG_MIB=1024 takes a whole GiB through the engine."""

TESTS = Path(__file__).resolve().parent
RSS_GROWTH = 32 * 1024 * 1024


@pytest.fixture(name="rigs")
async def _rigs() -> AsyncIterator[Rigs]:
    async with rigs_of("native") as made:
        yield made


def post(fields: bytes, body: bytes = b"") -> bytes:
    return b"POST /Users HTTP/1.1\r\n" + HOST + fields + b"\r\n" + body


def get(fields: bytes = b"", line: bytes = b"GET /Users HTTP/1.1") -> bytes:
    return line + b"\r\n" + HOST + fields + b"\r\n"


CHUNKED = b"Transfer-Encoding: chunked\r\n"

REFUSED = {
    # Content-Length and Transfer-Encoding
    "both framings": (post(b"Content-Length: 3\r\n" + CHUNKED, b"0\r\n\r\n"), 400),
    "both framings, the other way round": (post(CHUNKED + b"Content-Length: 3\r\n", b"0\r\n\r\n"), 400),
    "chunked in HTTP/1.0": (b"POST / HTTP/1.0\r\n" + HOST + CHUNKED + b"\r\n0\r\n\r\n", 400),
    "two codings": (post(b"Transfer-Encoding: gzip, chunked\r\n", b"0\r\n\r\n"), 400),
    "chunked that is not last": (post(b"Transfer-Encoding: chunked, identity\r\n", b"0\r\n\r\n"), 400),
    "a coding on two lines": (post(CHUNKED + b"Transfer-Encoding: x\r\n", b"0\r\n\r\n"), 400),
    "chunked twice": (post(CHUNKED + CHUNKED, b"0\r\n\r\n"), 400),
    "an unknown coding": (post(b"Transfer-Encoding: xchunked\r\n", b"0\r\n\r\n"), 400),
    "a coding behind a vertical tab": (post(b"Transfer-Encoding: \x0bchunked\r\n", b"0\r\n\r\n"), 400),
    "an empty coding": (post(b"Transfer-Encoding:\r\n", b"0\r\n\r\n"), 400),
    # Content-Length
    "two lengths that differ": (post(b"Content-Length: 3\r\nContent-Length: 4\r\n", b"abcd"), 400),
    "two lengths that agree": (post(b"Content-Length: 3\r\nContent-Length: 3\r\n", b"abc"), 400),
    "a list of lengths": (post(b"Content-Length: 3, 3\r\n", b"abc"), 400),
    "a length with a sign": (post(b"Content-Length: +3\r\n", b"abc"), 400),
    "a negative length": (post(b"Content-Length: -3\r\n", b"abc"), 400),
    "a hexadecimal length": (post(b"Content-Length: 0x3\r\n", b"abc"), 400),
    "a length with a point": (post(b"Content-Length: 3.0\r\n", b"abc"), 400),
    "a length in two parts": (post(b"Content-Length: 3 3\r\n", b"abc"), 400),
    "an empty length": (post(b"Content-Length:\r\n", b"abc"), 400),
    "a length beyond 64 bits": (post(b"Content-Length: 18446744073709551619\r\n", b"abc"), 400),
    "a length in other digits": (post(b"Content-Length: \xb3\r\n", b"abc"), 400),
    # lines
    "a folded line": (get(b"X: a\r\n b\r\n"), 400),
    "a folded line with a tab": (get(b"X: a\r\n\tb\r\n"), 400),
    "a bare CR": (get(b"X: a\rY: b\r\n"), 400),
    "a bare LF": (get(b"X: a\nY: b\r\n"), 400),
    "only bare LF": (b"GET /Users HTTP/1.1\nHost: h\n\n", 400),
    "an LF before the request": (b"\n" + get(), 400),
    "a CR too many": (get(b"X: a\r\r\n"), 400),
    "a NUL in a value": (get(b"X: a\x00b\r\n"), 400),
    "a NUL in a name": (get(b"X\x00: a\r\n"), 400),
    "a NUL in the target": (get(line=b"GET /\x00 HTTP/1.1"), 400),
    "a DEL in a value": (get(b"X: \x7f\r\n"), 400),
    "a space before the colon": (get(b"X : a\r\n"), 400),
    "a tab before the colon": (get(b"X\t: a\r\n"), 400),
    "a space before the name": (b"GET /Users HTTP/1.1\r\n X: a\r\n" + HOST + b"\r\n", 400),
    "no name": (get(b": a\r\n"), 400),
    "no colon": (get(b"X\r\n"), 400),
    "a name that is no token": (get(b"X(y): a\r\n"), 400),
    "a name that is not ASCII": (get(b"\xe9: a\r\n"), 400),
    # the request line
    "two spaces": (get(line=b"GET  /Users HTTP/1.1"), 400),
    "tabs for spaces": (get(line=b"GET\t/Users\tHTTP/1.1"), 400),
    "a space in the target": (get(line=b"GET /Us ers HTTP/1.1"), 400),
    "a space at the end": (get(line=b"GET /Users HTTP/1.1 "), 400),
    "a target that is not ASCII": (get(line=b"GET /\xc3\xa9 HTTP/1.1"), 400),
    "an absolute-form target": (get(line=b"GET http://h/Users HTTP/1.1"), 400),
    "an absolute-form target of elsewhere": (get(line=b"GET http://evil.example/ HTTP/1.1"), 400),
    "an authority-form target": (get(line=b"CONNECT h:443 HTTP/1.1"), 405),
    "an authority-form target of GET": (get(line=b"GET h:443 HTTP/1.1"), 400),
    "an asterisk without OPTIONS": (get(line=b"GET * HTTP/1.1"), 400),
    "HTTP/0.9": (b"GET /Users\r\n\r\n", 400),
    "a method that is no token": (get(line=b"G@T /Users HTTP/1.1"), 400),
    "a TLS handshake": (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n", 400),
    # Host
    "no Host": (b"GET /Users HTTP/1.1\r\n\r\n", 400),
    "two Hosts": (get(b"Host: evil\r\n"), 400),
    # size
    "a head that is too long": (get(b"X: " + b"x" * 70_000 + b"\r\n"), 431),
    "a head that is too long and does not end": (b"GET /Users HTTP/1.1\r\nX: " + b"x" * 70_000, 431),
    "a target that is too long": (get(line=b"GET /" + b"x" * 70_000 + b" HTTP/1.1"), 431),
    "too many fields": (get(b"X: y\r\n" * 250), 431),
    # what is not served
    "an upgrade": (get(b"Connection: upgrade\r\nUpgrade: websocket\r\n"), 501),
    "an upgrade to HTTP/2": (get(b"Connection: upgrade, http2-settings\r\nUpgrade: h2c\r\n"), 501),
}  # fmt: skip

BROKEN_BODIES = {
    "a size that is none": b"g\r\n\r\n",
    "a size with a sign": b"+5\r\nhello\r\n0\r\n\r\n",
    "a size with 0x": b"0x5\r\nhello\r\n0\r\n\r\n",
    "no size": b"\r\nhello\r\n0\r\n\r\n",
    "a size with a space behind it": b"5 \r\nhello\r\n0\r\n\r\n",
    "a size beyond 64 bits": b"10000000000000005\r\nhello\r\n0\r\n\r\n",
    "a size that ends with LF": b"5\nhello\r\n0\r\n\r\n",
    "a size that ends with CR CR LF": b"5\r\r\nhello\r\n0\r\n\r\n",
    "a chunk that is longer": b"5\r\nhello!\r\n0\r\n\r\n",
    "a chunk without CRLF": b"5\r\nhello0\r\n\r\n",
    "a chunk that ends with LF": b"5\r\nhello\n0\r\n\r\n",
    "an extension with a bare CR": b"5;a\rb\r\nhello\r\n0\r\n\r\n",
    "an extension with a NUL": b"5;a\x00\r\nhello\r\n0\r\n\r\n",
    "an extension that never ends": b"5;" + b"e" * 5000,
    "a trailer with a space before the colon": b"0\r\nX : a\r\n\r\n",
    "a trailer that is folded": b"0\r\nX: a\r\n b\r\n\r\n",
    "a trailer with a bare LF": b"0\r\nX: a\nY: b\r\n\r\n",
    "a trailer with a NUL": b"0\r\nX: \x00\r\n\r\n",
    "trailers that are too long": b"0\r\nX: " + b"x" * 20_000 + b"\r\n\r\n",
}  # fmt: skip


@pytest.mark.parametrize("name", list(REFUSED))
async def test_what_is_refused(rigs: Rigs, name: str) -> None:
    """Answered with its status, closed, recorded once, and nothing reached the upstream: also not what follows."""
    request, status = REFUSED[name]
    rig = await rigs()
    client = await rig.client()
    await client.send(request + get(line=b"GET /smuggled HTTP/1.1"))
    got = await client.rest()
    assert got.startswith(b"HTTP/1.1 %d " % status), got
    assert got.count(b"\r\nscimproxy-origin: ") == 1
    assert value_of(got, b"connection") == b"close"
    assert value_of(got, b"scimproxy-origin") == b"proxy"
    assert json.loads(body_of(got))["status"] == str(status)
    exchange = await rig.recorder.one()
    assert exchange.failure is not None
    assert exchange.failure.kind in {"protocol", "blocked"}
    assert exchange.response is not None
    assert exchange.response.status_code == status
    assert exchange.response.content.data == body_of(got)
    assert exchange.attempts is None
    assert rig.upstream.connections == 0
    assert rig.recorder.losses == []
    assert await rig.ask() == OK


@pytest.mark.parametrize("name", list(BROKEN_BODIES))
async def test_a_broken_body_is_refused(rigs: Rigs, name: str) -> None:
    """The upstream never gets a whole request, and what follows is not read as one."""
    rig = await rigs()
    client = await rig.client()
    await client.send(post(CHUNKED, BROKEN_BODIES[name] + get(line=b"GET /smuggled HTTP/1.1")))
    got = await client.rest()
    assert got.startswith(b"HTTP/1.1 400 "), got
    assert got.count(b"\r\nscimproxy-origin: ") == 1
    exchange = await rig.recorder.one()
    assert exchange.failure is not None
    assert (exchange.failure.kind, exchange.failure.side) == ("protocol", "client")
    assert rig.upstream.seen == []
    assert await rig.ask() == OK


@pytest.mark.parametrize(
    "request_",
    [get(b"X: y\r\n"), post(b"Content-Length: 5\r\n", b"hello"), post(CHUNKED, b"5;a=b\r\nhello\r\n0\r\n\r\n")],
)
async def test_what_is_written_anew_is_plain(rigs: Rigs, request_: bytes) -> None:
    rig = await rigs()
    assert await rig.ask(request_) == OK
    assert b";a=b" not in rig.upstream.seen[0]
    assert rig.upstream.seen[0].count(b"\n") == rig.upstream.seen[0].count(b"\r\n")


async def test_a_refusal_reaches_a_client_that_is_still_sending(rigs: Rigs) -> None:
    rig = await rigs()
    client = await rig.client()
    await client.send(post(b"Content-Length: 3\r\n" + CHUNKED))
    for _ in range(50):
        client.writer.write(b"x" * 65536)
    got = await client.rest()
    assert got.startswith(b"HTTP/1.1 400 "), got


async def test_a_half_closed_client_gets_its_answer(rigs: Rigs) -> None:
    rig = await rigs()
    client = await rig.client()
    await client.send(post(b"Content-Length: 5\r\n", b"hello"))
    client.writer.write_eof()
    got = await client.rest()
    assert got.startswith(b"HTTP/1.1 200 ")
    assert got.endswith(b"\r\n\r\nok")
    exchange = await rig.recorder.one()
    assert exchange.failure is None


async def test_a_half_closed_client_gets_all_its_answers(rigs: Rigs) -> None:
    rig = await rigs()
    client = await rig.client()
    await client.send(GET * 3)
    client.writer.write_eof()
    got = await client.rest()
    assert got.count(b"\r\n\r\nok") == 3
    assert len(rig.recorder.exchanges) == 3


async def test_expectations_of_http_1_0_are_ignored(rigs: Rigs) -> None:
    rig = await rigs()
    client = await rig.client()
    await client.send(b"POST /Users HTTP/1.0\r\nHost: h\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\n")
    await client.send(b"hi")
    got = await client.rest()
    assert got.startswith(b"HTTP/1.1 200 ")
    assert b"expect" not in rig.upstream.seen[0].lower()


async def test_an_upgrade_is_refused_in_words(rigs: Rigs) -> None:
    rig = await rigs()
    client = await rig.client()
    await client.send(REFUSED["an upgrade"][0])
    got = await client.rest()
    assert "Upgrade to 'websocket' is not supported" in json.loads(body_of(got))["detail"]


# -- time ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("sent", "limits", "status"),
    [
        (b"GET /Users HTTP/1.1\r\nHo", {"head_timeout_s": 0.1}, 408),
        (post(b"Content-Length: 9\r\n", b"half"), {"head_timeout_s": 0.1}, 408),
        (post(CHUNKED, b"5\r\nhal"), {"head_timeout_s": 0.1}, 408),
        (b"", {"idle_timeout_s": 0.1}, None),
        (b"\r\n\r\n", {"idle_timeout_s": 0.1}, None),
    ],
    ids=["head", "body", "chunks", "idle", "empty lines"],
)
async def test_a_slow_client_is_not_waited_for(
    rigs: Rigs, sent: bytes, limits: dict[str, float], status: int | None
) -> None:
    rig = await rigs(**limits)
    client = await rig.client()
    await client.send(sent)
    got = await client.rest()
    if status is None:
        assert got == b""
        return
    assert got.startswith(b"HTTP/1.1 %d " % status)
    exchange = await rig.recorder.one()
    assert exchange.failure is not None
    assert exchange.failure.side == "client"
    assert rig.upstream.seen == []


async def test_a_slow_upstream_is_not_waited_for(rigs: Rigs) -> None:
    async def silent(wire: Wire) -> None:
        await wire.message()
        await wire.reader.read()

    rig = await rigs(silent, response_timeout_s=0.1)
    assert (await rig.ask()).startswith(b"HTTP/1.1 504 ")


async def test_a_head_that_begins_after_a_pause_has_its_whole_time(rigs: Rigs) -> None:
    """The limit of a head counts from its first byte, not from the answer before it."""
    rig = await rigs(head_timeout_s=30.0, idle_timeout_s=120.0)
    client = await rig.client()
    await client.send(GET)
    assert await client.message() == OK
    (ours,) = rig.engine.clients  # type: ignore[attr-defined]
    ours.since_m -= 60.0  # as if a minute had passed
    await client.send(GET[:20])
    while not ours.buffer:  # noqa: ASYNC110 - the engine tells nobody that half a head came
        await asyncio.sleep(0)
    ours.tick(time.perf_counter())
    await client.send(GET[20:])
    assert await client.message() == OK


async def test_a_client_that_does_not_read_its_last_answer_is_let_go(rigs: Rigs) -> None:
    """A connection that only waits to be read does not keep its place for ever."""
    answer = b"HTTP/1.1 200 OK\r\nContent-Length: 9000000\r\n\r\n" + b"x" * 9_000_000

    async def script(wire: Wire) -> None:
        await wire.message()
        await wire.send(answer)
        await wire.reader.read()

    rig = await rigs(script, idle_timeout_s=0.1, stream_above=10_000_000)
    client = await rig.client()
    client.writer.transport.pause_reading()  # type: ignore[attr-defined]
    await client.send(get(b"Connection: close\r\n"))
    await rig.recorder.wait_until(lambda: any(one.side == "client" for one in rig.recorder.connections))
    assert not rig.engine.clients  # type: ignore[attr-defined]


# -- how much -----------------------------------------------------------------------------------------------------


async def test_connections_are_bounded(rigs: Rigs) -> None:
    rig = await rigs(max_connections=3)
    kept = [await rig.client() for _ in range(3)]
    for one in kept:
        await one.send(GET)
        assert await one.message() == OK
    for _ in range(3):
        more = await rig.client()
        assert (await more.rest()).startswith(b"HTTP/1.1 503 ")
    await kept[0].send(GET)
    assert await kept[0].message() == OK


async def test_pipelined_requests_wait_for_a_client_that_does_not_read(rigs: Rigs) -> None:
    """Where nobody reads the answers, the upstream is not asked for ever more of them."""
    answer = b"HTTP/1.1 200 OK\r\nContent-Length: 200000\r\n\r\n" + b"x" * 200_000
    asked = asyncio.Event()

    async def script(wire: Wire) -> None:
        while True:
            await wire.message()
            asked.set()
            await wire.send(answer)

    rig = await rigs(script)
    client = await rig.client()
    client.writer.transport.pause_reading()  # type: ignore[attr-defined]
    await client.send(GET * 500)
    await asked.wait()
    before = -1
    while before != len(rig.upstream.seen):  # until it stands still: what fits into sockets and buffers
        before = len(rig.upstream.seen)
        for _ in range(200):
            await asyncio.sleep(0)
        await asyncio.sleep(0.05)  # a socket is emptied by the kernel; no callback tells that it is
    assert len(rig.upstream.seen) < 200
    client.writer.transport.resume_reading()  # type: ignore[attr-defined]
    for _ in range(500):
        assert len(await client.message()) == len(answer)


async def test_many_pipelined_requests_while_nothing_can_be_recorded(rigs: Rigs) -> None:
    rig = await rigs()
    rig.recorder.refusal = StoreFull("the disk is full")
    client = await rig.client()
    await client.send(GET * 3000)
    for _ in range(3000):
        assert (await client.message()).startswith(b"HTTP/1.1 507 ")
    assert rig.recorder.losses == []


# -- uvloop -------------------------------------------------------------------------------------------------------

ON_UVLOOP = [
    test_a_refusal_reaches_a_client_that_is_still_sending,
    test_a_half_closed_client_gets_its_answer,
    test_a_half_closed_client_gets_all_its_answers,
    test_a_slow_upstream_is_not_waited_for,
    test_a_client_that_does_not_read_its_last_answer_is_let_go,
    test_connections_are_bounded,
    test_pipelined_requests_wait_for_a_client_that_does_not_read,
    test_many_pipelined_requests_while_nothing_can_be_recorded,
    *(partial(test_what_is_refused, name=name) for name in REFUSED),
    *(partial(test_a_broken_body_is_refused, name=name) for name in BROKEN_BODIES),
]


def test_all_of_this_holds_on_uvloop() -> None:
    """The loop that `up` runs on has transports of its own."""
    uvloop = pytest.importorskip("uvloop", reason="uvloop does not exist on this platform")

    async def play() -> None:
        for one in ON_UVLOOP:
            async with rigs_of("native") as rigs:
                await one(rigs)

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(play())


# -- memory -------------------------------------------------------------------------------------------------------

ENGINE = """
import asyncio, sys
from conformance.rig import Recording
from scimproxy.proxy.engine import EngineOptions, Target
from scimproxy.proxy.native import NativeEngine

def status(name):
    return next(int(line.split()[1]) * 1024 for line in open("/proc/self/status") if line.startswith(name))

async def main():
    options = EngineOptions(target=Target("http", "127.0.0.1", int(sys.argv[1])), max_content=1024 * 1024)
    recorder = Recording()
    engine = NativeEngine(options, recorder)
    print((await engine.start()).port, flush=True)
    loop = asyncio.get_running_loop()
    while (said := (await loop.run_in_executor(None, sys.stdin.readline)).strip()) != "stop":
        if said == "reset":
            open("/proc/self/clear_refs", "w").write("5")
            print(status("VmRSS"), flush=True)
        else:
            one = recorder.exchanges[-1]
            print(status("VmHWM"), one.request.content.size, one.response.content.size, flush=True)
    await engine.stop()

asyncio.run(main())
"""
PIECE = b"x" * 65536


async def big_answer(wire: Wire) -> None:
    """Answer a GET with `BIG` bytes, everything else with OK after its whole body."""
    while True:
        head = await wire.until(b"\r\n\r\n")
        if head.startswith(b"GET /big"):
            await wire.send(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % BIG)
            for _ in range(BIG // len(PIECE)):
                await wire.send(PIECE)
            continue
        left = int(value_of(head, b"content-length") or b"0")
        while left:
            left -= len(await wire.reader.read(min(left, 65536)))
        await wire.send(OK)


@pytest.mark.slow
@pytest.mark.skipif(
    not Path("/proc/self/clear_refs").exists(), reason="the peak of another process is read from /proc"
)
@pytest.mark.parametrize("way", ["up", "down"])
async def test_a_big_body_is_not_held(way: str) -> None:
    connections: set[asyncio.Task[None] | None] = set()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        connections.add(asyncio.current_task())
        try:
            await big_answer(Wire(reader, writer))
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", ENGINE, str(server.sockets[0].getsockname()[1]),
        stdin=subprocess.PIPE, stdout=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": os.pathsep.join([str(TESTS), str(TESTS.parent)])},
    )  # fmt: skip
    assert process.stdin is not None
    assert process.stdout is not None

    async def say(word: bytes) -> list[int]:
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write(word + b"\n")
        return [int(number) for number in (await process.stdout.readline()).split()]

    try:
        port = int(await process.stdout.readline())
        client = Wire(*await asyncio.open_connection("127.0.0.1", port))
        await client.send(GET)
        assert await client.message() == OK
        (before,) = await say(b"reset")
        if way == "down":
            await client.send(GET.replace(b"/Users", b"/big"))
            left = BIG
            await client.until(b"\r\n\r\n")
            while left:
                left -= len(await client.reader.read(min(left, 1 << 20)))
        else:
            await client.send(b"PUT /big HTTP/1.1\r\nHost: h\r\nContent-Length: %d\r\n\r\n" % BIG)
            for _ in range(BIG // len(PIECE)):
                await client.send(PIECE)
            assert await client.message() == OK
        peak, taken, given = await say(b"peak")
        assert (taken if way == "up" else given) == BIG
        assert peak - before < RSS_GROWTH, f"{(peak - before) >> 20} MiB"
        client.close()
    finally:
        process.stdin.write(b"stop\n")
        await process.wait()
        server.close()
        await asyncio.gather(*(task for task in connections if task is not None), return_exceptions=True)
