"""HTTP/2 in the mitmproxy engine, against a client and servers made of `h2`, over real sockets."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from typing import Literal

import h2.errors
import pytest
from conformance.rig import GET, Wire, answering, body_of, value_of
from forward_rig import Stage, stage_of
from h2_peers import Message, Peer, respond

from scimproxy.errors import StoreError
from scimproxy.exchange import Content, Exchange, Headers, Request, Response
from scimproxy.proxy.intervention import Intervention

BIG = bytes(range(256)) * 12 * 1024  # 3 MiB


@pytest.fixture
async def stage(tmp_path: Path) -> AsyncIterator[Stage]:
    async with stage_of(tmp_path) as made:
        yield made


async def recorded(stage: Stage, count: int = 1) -> list[Exchange]:
    await stage.recorder.wait_until(lambda: len(stage.recorder.exchanges) >= count)
    assert len(stage.recorder.exchanges) == count
    assert stage.recorder.losses == []
    return stage.recorder.exchanges


def header(message: Message, name: str) -> str | None:
    return message.get(name)


async def test_both_ends_speak_it(stage: Stage) -> None:
    async def behave(peer: Peer, number: int) -> None:
        seen = peer.streams[number]
        assert (bytes(seen.body), seen.trailers) == (b'{"a":1}', [("x-sum", "7")])
        peer.h2.send_headers(number, [(":status", "103"), ("link", "</x>")])
        peer.h2.send_headers(number, [(":status", "201"), ("content-type", "application/scim+json")])
        await peer.send_body(number, b'{"id":"1"}', trailers=[("x-done", "yes")])

    server = await stage.h2_server(behave)
    await stage.forward()
    client = await stage.h2_client(server.port)
    number = await client.ask(
        "POST", "/Users?a=b", ("authorization", "Bearer geheim"), ("cookie", "a=1"), ("cookie", "b=2"),
        body=b'{"a":1}', trailers=[("x-sum", "7")], authority=f"localhost:{server.port}",
    )  # fmt: skip
    answer = await client.answer(number)
    assert (answer.status, bytes(answer.body), answer.trailers) == ("201", b'{"id":"1"}', [("x-done", "yes")])
    assert answer.interim == [[(":status", "103"), ("link", "</x>")]]
    seen = server.peers[0].streams[1]
    assert (seen.get(":authority"), seen.get("authorization")) == (f"localhost:{server.port}", "Bearer geheim")
    assert (seen.get("cookie"), seen.get("x-forwarded-for"), seen.get("forwarded")) == ("a=1; b=2", None, None)
    (exchange,) = await recorded(stage)
    assert (exchange.request.method, exchange.request.target, exchange.request.http_version) == (
        "POST", "/Users?a=b", "2",
    )  # fmt: skip
    assert exchange.request.content.data == b'{"a":1}'
    assert exchange.request.trailers == Headers([("x-sum", "7")])
    assert (exchange.scheme, exchange.host) == ("https", f"localhost:{server.port}")
    assert exchange.request.wire_bytes is None
    assert exchange.response is not None
    assert (exchange.response.status_code, exchange.response.http_version, exchange.response.reason) == (201, "2", "")
    assert exchange.response.content.data == b'{"id":"1"}'
    assert exchange.response.trailers == Headers([("x-done", "yes")])
    assert exchange.failure is None
    assert exchange.client_connection is not None
    assert exchange.upstream_connection is not None
    assert exchange.client_connection.tls is not None
    assert exchange.upstream_connection.tls is not None
    assert (exchange.client_connection.http_version, exchange.upstream_connection.http_version) == ("2", "2")
    assert (exchange.client_connection.tls.alpn, exchange.client_connection.tls.sni) == ("h2", "localhost")
    assert (exchange.upstream_connection.tls.alpn, exchange.upstream_connection.tls.sni) == ("h2", "localhost")
    assert exchange.upstream_connection.tls.chain
    timings = exchange.timings
    assert None not in {timings.connect, timings.tls, timings.send, timings.wait, timings.receive, timings.total}


async def test_a_client_with_it_before_a_server_without(stage: Stage) -> None:
    chunked = (
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: X-Done\r\nConnection: keep-alive\r\n\r\n"
        b"2\r\nok\r\n0\r\nX-Done: yes\r\n\r\n"
    )
    server = await stage.h1_server(answering(chunked, b"HTTP/1.1 204 No Content\r\n\r\n"))
    await stage.forward()
    client = await stage.h2_client(server.port)
    number = await client.ask("POST", "/Users", body=b"hello", trailers=[("x-sum", "7")])
    answer = await client.answer(number)
    assert (answer.status, bytes(answer.body), answer.trailers) == ("200", b"ok", [("x-done", "yes")])
    assert {header(answer, name) for name in ("connection", "transfer-encoding")} == {None}
    assert body_of(server.seen[0]) == b"hello"
    assert value_of(server.seen[0], b"host") == b"localhost"
    assert b"x-sum: 7" in server.seen[0]
    empty = await client.answer(await client.ask("DELETE", "/Users/1"))
    assert (empty.status, bytes(empty.body)) == ("204", b"")
    first, second = await recorded(stage, 2)
    assert first.upstream_connection is not None
    assert first.upstream_connection.http_version == "1.1"
    assert first.response is not None
    assert first.response.http_version == "2"
    assert (second.upstream_index, second.reused) == (2, True)


async def test_a_client_without_it_before_a_server_with(stage: Stage) -> None:
    async def behave(peer: Peer, number: int) -> None:
        peer.h2.send_headers(number, [(":status", "200")])
        await peer.send_body(number, b"ok", trailers=[("x-done", "yes")])

    server = await stage.h2_server(behave)
    await stage.reverse(server.port)
    client = await stage.wire()
    for _ in range(2):
        await client.send(
            b"POST /Users HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nab\r\n0\r\n\r\n"
        )
        answer = await client.message()
        assert answer.startswith(b"HTTP/1.1 200 OK\r\n")
        assert body_of(answer) == b"ok"
        assert answer.endswith(b"x-done: yes\r\n\r\n")
    assert len(server.peers) == 1
    seen = server.peers[0].streams[3]
    assert (bytes(seen.body), seen.get("transfer-encoding"), seen.get("host")) == (b"ab", None, None)
    assert seen.get("x-forwarded-proto") == "http"
    first, second = await recorded(stage, 2)
    assert first.upstream_connection is not None
    assert first.upstream_connection.http_version == "2"
    assert first.upstream_connection.tls is not None
    assert first.upstream_connection.tls.alpn == "h2"
    assert (first.request.http_version, second.upstream_index) == ("1.1", 2)
    assert first.upstream_request_headers is not None
    assert "transfer-encoding" not in first.upstream_request_headers


async def test_a_server_that_does_not_want_it(stage: Stage) -> None:
    server = await stage.h1_server()
    await stage.reverse(server.port)
    wire = await stage.wire()
    await wire.send(GET)
    assert (await wire.message()).startswith(b"HTTP/1.1 200 OK")
    (exchange,) = await recorded(stage)
    assert exchange.upstream_connection is not None
    assert exchange.upstream_connection.http_version == "1.1"


@pytest.mark.parametrize("secure_h2", [True, False], ids=["h2 upstream", "h1 upstream"])
async def test_big_bodies_both_ways(stage: Stage, secure_h2: bool) -> None:
    async def behave(peer: Peer, number: int) -> None:
        await respond(peer, number, bytes(peer.streams[number].body))

    async def echo(wire: Wire) -> None:
        whole = await wire.message()
        body = body_of(whole)
        await wire.send(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(body) + body)
        await wire.reader.read()

    port = (await stage.h2_server(behave)).port if secure_h2 else (await stage.h1_server(echo)).port
    await stage.forward(max_content=1000)
    client = await stage.h2_client(port)
    numbers = await asyncio.gather(
        *(client.ask("POST", "/Bulk", ("content-length", str(len(BIG))), body=BIG) for _ in range(2))
    )
    for number in numbers:
        answer = await client.answer(number)
        assert answer.status == "200"
        assert bytes(answer.body) == BIG
    for exchange in await recorded(stage, 2):
        assert exchange.response is not None
        for content in (exchange.request.content, exchange.response.content):
            assert (content.size, len(content.data), content.truncated) == (len(BIG), 1000, True)


async def test_many_at_a_time_on_one_connection(stage: Stage) -> None:
    arrived: list[int] = []
    all_there = asyncio.Event()

    async def behave(peer: Peer, number: int) -> None:
        arrived.append(number)
        if len(arrived) == 20:
            all_there.set()
        await all_there.wait()  # nothing is answered before everything has been asked
        await respond(peer, number, (peer.streams[number].get(":path") or "").encode())

    server = await stage.h2_server(behave)
    await stage.forward()
    client = await stage.h2_client(server.port)
    numbers = {await client.ask("GET", f"/Users/{index}"): index for index in range(20)}
    for number, index in numbers.items():
        assert bytes((await client.answer(number)).body) == f"/Users/{index}".encode()
    assert len(server.peers) == 1
    exchanges = await recorded(stage, 20)
    assert {one.upstream_index for one in exchanges} == set(range(1, 21))
    assert {one.client_index for one in exchanges} == set(range(1, 21))


async def test_no_more_at_a_time_than_the_server_takes(stage: Stage) -> None:
    together: list[int] = []

    async def behave(peer: Peer, number: int) -> None:
        together.append(peer.h2.open_inbound_streams)
        await respond(peer, number)

    server = await stage.h2_server(behave)
    await stage.forward()
    client = await stage.h2_client(server.port)
    assert (await client.get()).status == "200"
    import h2.settings

    server.peers[0].h2.update_settings({h2.settings.SettingCodes.MAX_CONCURRENT_STREAMS: 1})
    server.peers[0].flush()
    assert (await client.get()).status == "200"  # the settings have come before this answer
    numbers = [await client.ask("POST", f"/Users/{index}", body=b"x") for index in range(5)]
    for number in numbers:
        assert (await client.answer(number)).status == "200"
    assert max(together[2:]) == 1
    assert len(server.peers) == 1
    await recorded(stage, 7)


# -- record before respond


async def test_the_last_byte_waits_for_the_commit(stage: Stage) -> None:
    server = await stage.h2_server()
    await stage.forward()
    client = await stage.h2_client(server.port)
    assert (await client.get("/Users/other")).ended
    stage.recorder.hold("/Users/held")
    held = await client.ask("GET", "/Users/held")
    await stage.recorder.entered.wait()
    other = await client.get("/Users/other")  # another stream passes meanwhile, and what came before it would be here
    assert (other.status, bytes(other.body)) == ("200", b"ok")
    assert client.streams[held].headers == []
    stage.recorder.release()
    answer = await client.answer(held)
    assert (answer.status, bytes(answer.body)) == ("200", b"ok")


async def test_a_long_answer_is_held_back_at_its_end(stage: Stage) -> None:
    async def behave(peer: Peer, number: int) -> None:
        big = peer.streams[number].get(":path") == "/held"
        await respond(peer, number, BIG if big else b"ok")

    server = await stage.h2_server(behave)
    await stage.forward()
    client = await stage.h2_client(server.port)
    stage.recorder.hold("/held")
    held = await client.ask("GET", "/held")
    await stage.recorder.entered.wait()
    await client.until(lambda: len(client.streams[held].body) == len(BIG) - 1)
    assert (await client.get("/other")).ended
    assert not client.streams[held].ended
    stage.recorder.release()
    answer = await client.answer(held)
    assert bytes(answer.body) == BIG


async def test_what_cannot_be_recorded_is_withheld(stage: Stage) -> None:
    async def behave(peer: Peer, number: int) -> None:
        await respond(peer, number, BIG if peer.streams[number].get(":path") == "/big" else b"ok")

    server = await stage.h2_server(behave)
    await stage.forward()
    client = await stage.h2_client(server.port)
    stage.recorder.error = StoreError("the disk is gone")
    small = await client.get("/small")
    assert (small.status, small.get("scimproxy-origin")) == ("507", "proxy")
    big = await client.get("/big")
    assert (big.status, big.ended, big.reset) == ("200", False, h2.errors.ErrorCodes.INTERNAL_ERROR)
    stage.recorder.error = None
    assert (await client.get("/small")).status == "200"  # the connection lives


# -- failures


def resetting(code: h2.errors.ErrorCodes, *, after_head: bool = False, times: int = 99) -> object:
    left = [times]

    async def behave(peer: Peer, number: int) -> None:
        if not left[0]:
            await respond(peer, number)
            return
        left[0] -= 1
        if after_head:
            peer.h2.send_headers(number, [(":status", "200")])
            peer.h2.send_data(number, b"half")
        peer.h2.reset_stream(number, code)
        peer.flush()

    return behave


async def test_a_reset_stream(stage: Stage) -> None:
    server = await stage.h2_server(resetting(h2.errors.ErrorCodes.INTERNAL_ERROR))  # type: ignore[arg-type]
    await stage.forward()
    client = await stage.h2_client(server.port)
    answer = await client.get()
    assert (answer.status, answer.get("scimproxy-origin")) == ("502", "proxy")
    (exchange,) = await recorded(stage)
    assert exchange.failure is not None
    assert (exchange.failure.kind, exchange.failure.phase, exchange.failure.side) == ("closed", "wait", "upstream")
    assert "reset the stream (INTERNAL_ERROR)" in exchange.failure.message
    assert exchange.attempts == 1


async def test_a_stream_reset_in_the_middle_of_its_answer(stage: Stage) -> None:
    server = await stage.h2_server(resetting(h2.errors.ErrorCodes.CANCEL, after_head=True))  # type: ignore[arg-type]
    await stage.forward(stream_above=2)
    client = await stage.h2_client(server.port)
    answer = await client.get()
    assert (answer.status, answer.reset) == ("200", h2.errors.ErrorCodes.INTERNAL_ERROR)
    (exchange,) = await recorded(stage)
    assert exchange.failure is not None
    assert exchange.failure.phase == "receive"
    assert "(status 200): it reset the stream (CANCEL)" in exchange.failure.message
    assert exchange.response is not None
    assert exchange.response.content.data == b"half"


async def test_a_refused_stream_is_asked_once_more(stage: Stage) -> None:
    code = h2.errors.ErrorCodes.REFUSED_STREAM
    server = await stage.h2_server(resetting(code, times=1))  # type: ignore[arg-type]
    await stage.forward()
    client = await stage.h2_client(server.port)
    assert (await client.answer(await client.ask("POST", "/Users", body=b"x"))).status == "200"
    (exchange,) = await recorded(stage)
    assert (exchange.attempts, exchange.failure) == (2, None)


async def test_a_stream_refused_twice(stage: Stage) -> None:
    server = await stage.h2_server(resetting(h2.errors.ErrorCodes.REFUSED_STREAM))  # type: ignore[arg-type]
    await stage.forward()
    client = await stage.h2_client(server.port)
    assert (await client.get()).status == "502"
    (exchange,) = await recorded(stage)
    assert exchange.attempts == 2
    assert exchange.failure is not None
    assert "REFUSED_STREAM" in exchange.failure.message


async def test_goaway_with_an_error(stage: Stage) -> None:
    async def behave(peer: Peer, number: int) -> None:
        peer.h2.close_connection(h2.errors.ErrorCodes.ENHANCE_YOUR_CALM, last_stream_id=number)
        peer.flush()

    server = await stage.h2_server(behave)
    await stage.forward()
    client = await stage.h2_client(server.port)
    answer = await client.get()
    assert answer.status == "502"
    (exchange,) = await recorded(stage)
    assert exchange.failure is not None
    assert "GOAWAY (ENHANCE_YOUR_CALM)" in exchange.failure.message
    assert exchange.attempts == 1


async def test_goaway_lets_what_was_begun_end(stage: Stage) -> None:
    first = asyncio.Event()

    async def behave(peer: Peer, number: int) -> None:
        if len(server.peers) == 1:
            if first.is_set():
                raise AssertionError("the connection that is going away was asked again")
            first.set()
            peer.h2.send_headers(number, [(":status", "200")])
            peer.h2.send_data(number, b"begun, ")
            peer.flush()
            # What h2 writes for close_connection ends its own sending, too: the frame alone.
            peer.writer.write(b"\x00\x00\x08\x07\x00\x00\x00\x00\x00" + number.to_bytes(4, "big") + bytes(4))
            await peer.send_body(number, b"ended")
        else:
            await respond(peer, number)

    server = await stage.h2_server(behave)
    await stage.forward()
    client = await stage.h2_client(server.port)
    assert bytes((await client.get()).body) == b"begun, ended"
    assert bytes((await client.get()).body) == b"ok"
    assert len(server.peers) == 2
    one, two = await recorded(stage, 2)
    assert (one.failure, two.failure, two.attempts) == (None, None, 1)


async def test_a_server_that_is_killed(stage: Stage) -> None:
    async def behave(peer: Peer, number: int) -> None:
        peer.h2.send_headers(number, [(":status", "200")])
        peer.h2.send_data(number, b"half")
        peer.flush()
        await peer.writer.drain()
        peer.writer.close()

    server = await stage.h2_server(behave)
    await stage.forward()
    client = await stage.h2_client(server.port)
    assert (await client.get()).status == "502"
    (exchange,) = await recorded(stage)
    assert exchange.failure is not None
    assert (exchange.failure.kind, exchange.failure.phase) == ("closed", "receive")


async def test_a_server_that_breaks_the_protocol(stage: Stage) -> None:
    async def behave(peer: Peer, _number: int) -> None:
        peer.writer.write(b"\x00\x00\x00\x01\x05\x00\x00\x00\x00")  # HEADERS on stream 0

    server = await stage.h2_server(behave)
    await stage.forward()
    client = await stage.h2_client(server.port)
    assert (await client.get()).status == "502"
    (exchange,) = await recorded(stage)
    assert exchange.failure is not None
    assert exchange.failure.kind == "protocol"


@pytest.mark.parametrize("head", [[(":status", "2x")], [(":status", "200"), ("a", "b\nc: d")]])
async def test_an_answer_that_http1_would_misread(stage: Stage, head: list[tuple[str, str]]) -> None:
    async def behave(peer: Peer, number: int) -> None:
        peer.h2.send_headers(number, head, end_stream=True)
        peer.flush()

    server = await stage.h2_server(behave)
    await stage.reverse(server.port)
    wire = await stage.wire()
    await wire.send(GET)
    answer = await wire.message()
    assert answer.startswith(b"HTTP/1.1 502 ")
    assert b"\nc: d" not in answer.partition(b"\r\n\r\n")[0]
    (exchange,) = await recorded(stage)
    assert exchange.failure is not None
    assert exchange.failure.kind == "protocol"


async def test_a_server_that_says_nothing(stage: Stage) -> None:
    async def behave(_peer: Peer, _number: int) -> None:
        await asyncio.Event().wait()

    server = await stage.h2_server(behave)
    await stage.forward(response_timeout_s=0.2)
    client = await stage.h2_client(server.port)
    assert (await client.get()).status == "504"
    (exchange,) = await recorded(stage)
    assert exchange.failure is not None
    assert exchange.failure.kind == "timeout"
    await server.peers[0].until(lambda: server.peers[0].streams[1].reset == h2.errors.ErrorCodes.CANCEL)


# -- clients


async def test_a_client_that_gives_up_one_request(stage: Stage) -> None:
    asked = asyncio.Event()

    async def behave(peer: Peer, number: int) -> None:
        if peer.streams[number].get(":path") == "/slow":
            asked.set()
        else:
            await respond(peer, number)

    server = await stage.h2_server(behave)
    await stage.forward()
    client = await stage.h2_client(server.port)
    slow = await client.ask("GET", "/slow")
    await asked.wait()
    client.h2.reset_stream(slow, h2.errors.ErrorCodes.CANCEL)
    client.flush()
    (exchange,) = await recorded(stage)
    assert exchange.failure is not None
    assert (exchange.failure.side, exchange.failure.phase) == ("client", "wait")
    assert "the client reset the stream (CANCEL)" in exchange.failure.message
    assert exchange.ended == "reset by the client before the answer"
    await server.peers[0].until(lambda: server.peers[0].streams[1].reset == h2.errors.ErrorCodes.CANCEL)
    assert (await client.get()).status == "200"


async def test_a_client_that_goes_away(stage: Stage) -> None:
    asked = asyncio.Event()

    async def behave(peer: Peer, _number: int) -> None:
        if len(peer.streams) == 2:
            asked.set()

    server = await stage.h2_server(behave)
    await stage.forward()
    client = await stage.h2_client(server.port)
    await client.ask("GET", "/1")
    await client.ask("GET", "/2")
    await asked.wait()
    client.abort()
    for exchange in await recorded(stage, 2):
        assert exchange.failure is not None
        assert (exchange.failure.kind, exchange.failure.side) == ("closed", "client")


async def test_a_client_that_breaks_the_protocol(stage: Stage) -> None:
    asked = asyncio.Event()

    async def behave(_peer: Peer, _number: int) -> None:
        asked.set()

    server = await stage.h2_server(behave)
    await stage.forward()
    client = await stage.h2_client(server.port)
    await client.ask("GET", "/1")
    await asked.wait()
    client.writer.write(b"\x00\x00\x00\x01\x05\x00\x00\x00\x00")  # HEADERS on stream 0
    await client.until(lambda: client.goaway == h2.errors.ErrorCodes.PROTOCOL_ERROR)
    (exchange,) = await recorded(stage)
    assert exchange.failure is not None
    assert (exchange.failure.kind, exchange.failure.side) == ("protocol", "client")


@pytest.mark.parametrize(
    "field", [("x-a", "b\r\nHost: evil"), ("x-a", "b\x00"), ("x a", "b")], ids=["line break", "NUL", "name"]
)
async def test_a_request_that_http1_would_misread_goes_nowhere(stage: Stage, field: tuple[str, str]) -> None:
    server = await stage.h1_server()
    await stage.forward()
    client = await stage.h2_client(server.port)
    answer = await client.get("/Users", field)
    assert answer.status == "400" or client.goaway is not None
    assert server.seen == []


async def test_an_upload_that_stops_coming(stage: Stage) -> None:
    server = await stage.h2_server()
    await stage.forward(head_timeout_s=0.2)
    client = await stage.h2_client(server.port)
    number = await client.ask("POST", "/Users", body=b"half", end=False)
    answer = await client.answer(number)
    assert answer.status == "408"
    (exchange,) = await recorded(stage)
    assert exchange.failure is not None
    assert exchange.failure.side == "client"


async def test_an_idle_client_is_told_goodbye(stage: Stage) -> None:
    server = await stage.h2_server()
    await stage.forward(idle_timeout_s=0.2, head_timeout_s=0.2)
    client = await stage.h2_client(server.port)
    await client.until(lambda: client.goaway == 0 and client.closed)


async def test_a_slow_client_slows_the_server(stage: Stage) -> None:
    """A client that takes nothing gets all of 32 MiB in the end, and never more than a few wait here."""
    whole = b"x" * (32 * 1024 * 1024)
    sent = [0]
    stuck = asyncio.Event()

    async def behave(peer: Peer, number: int) -> None:
        peer.h2.send_headers(number, [(":status", "200"), ("content-length", str(len(whole)))])
        while sent[0] < len(whole):
            window = peer.h2.local_flow_control_window(number)
            if not window:
                stuck.set()
                await peer.until(lambda: peer.h2.local_flow_control_window(number) > 0)
                continue
            size = min(window, peer.h2.max_outbound_frame_size, len(whole) - sent[0])
            sent[0] += size
            peer.h2.send_data(number, whole[:size], end_stream=sent[0] == len(whole))
            peer.flush()

    server = await stage.h2_server(behave)
    await stage.forward()
    client = await stage.h2_client(server.port, taking=False)
    number = await client.ask()
    await client.until(lambda: len(client.streams[number].body) >= 65535)  # the client's first window is full
    await stuck.wait()
    assert sent[0] < 6 * 1024 * 1024
    client.take_all()
    answer = await client.answer(number)
    assert len(answer.body) == len(whole)
    (exchange,) = await recorded(stage)
    assert exchange.response is not None
    assert exchange.response.content.size == len(whole)


async def test_stopping_lets_streams_end_and_says_goodbye(stage: Stage) -> None:
    asked, go_on = asyncio.Event(), asyncio.Event()

    async def behave(peer: Peer, number: int) -> None:
        asked.set()
        await go_on.wait()
        await respond(peer, number)

    server = await stage.h2_server(behave)
    await stage.forward()
    client = await stage.h2_client(server.port)
    number = await client.ask()
    await asked.wait()
    stopping = asyncio.create_task(stage.engine.stop())
    go_on.set()
    assert (await client.answer(number)).status == "200"
    await client.until(lambda: client.goaway == 0)
    await stopping
    (exchange,) = await recorded(stage)
    assert (exchange.state, exchange.failure) == ("complete", None)


async def test_stopping_at_once_records_what_is_cut(stage: Stage) -> None:
    asked = asyncio.Event()

    async def behave(_peer: Peer, _number: int) -> None:
        asked.set()

    server = await stage.h2_server(behave)
    await stage.forward()
    client = await stage.h2_client(server.port)
    await client.ask()
    await asked.wait()
    await stage.engine.stop(at_once=True)
    (exchange,) = await recorded(stage)
    assert exchange.state == "aborted"
    assert exchange.failure is not None
    assert exchange.failure.side == "proxy"


class Decider:
    """An intervener that does one thing after the other."""

    def __init__(self, *plans: Intervention | None) -> None:
        self.plans = list(plans)

    def intervene(self, request: Request) -> Intervention | None:
        assert request.http_version == "2"
        return self.plans.pop(0)


async def test_interventions(stage: Stage) -> None:
    def shorter(came: Response) -> Response:
        return replace(came, content=Content.of(came.content.data[:1]))

    plans = Decider(
        Intervention(response=Response(503, content=Content.of(b"busy")), delay_s=0.01),
        Intervention(alter=shorter),
        Intervention(deliveries=2, note="twice"),
        None,
    )
    server = await stage.h2_server(respond)
    await stage.forward(intervener=plans)
    client = await stage.h2_client(server.port)
    answers = [await client.get() for _ in range(4)]
    assert [(one.status, bytes(one.body)) for one in answers] == [
        ("503", b"busy"), ("200", b"o"), ("200", b"ok"), ("200", b"ok"),
    ]  # fmt: skip
    exchanges = await recorded(stage, 5)
    assert [one.note for one in exchanges] == [None, None, "twice: the second delivery", "twice", None]
    assert sum(len(peer.streams) for peer in server.peers) == 4


@pytest.mark.parametrize("cut", ["before", "after"])
async def test_a_reset_is_one_of_the_stream(stage: Stage, cut: Literal["before", "after"]) -> None:
    server = await stage.h2_server(respond)
    await stage.forward(intervener=Decider(Intervention(cut=cut), None))
    client = await stage.h2_client(server.port)
    lost = await client.get()
    assert (lost.status, lost.reset) == (None, int(h2.errors.ErrorCodes.INTERNAL_ERROR))
    assert (await client.get()).status == "200"
    first, second = await recorded(stage, 2)
    assert first.failure is not None
    assert (first.failure.side, first.response is None) == ("proxy", cut == "before")
    assert second.failure is None
