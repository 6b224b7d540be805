"""What an intervener decides is carried out: delays, answers of ours, resets, altered answers, second deliveries.

Everything is recorded before the client is told, and the recording holds what the upstream saw and said.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from conformance.rig import GET, OK, PATIENCE_S, Rig, Rigs, Wire, body_of, value_of

from scimproxy.exchange import Content, Headers, Request, Response
from scimproxy.proxy.engine import ANYWHERE
from scimproxy.proxy.intervention import Intervention

POST = b"POST /Users HTTP/1.1\r\nHost: public.example\r\nContent-Length: 8\r\n\r\n" + b'{"a": 1}'
CHUNKED = (
    b"POST /Users HTTP/1.1\r\nHost: public.example\r\nTransfer-Encoding: chunked\r\n\r\n"
    b'4\r\n{"a"\r\n4\r\n: 1}\r\n0\r\n\r\n'
)
CREATED = b'HTTP/1.1 201 Created\r\nContent-Type: application/scim+json\r\nContent-Length: 11\r\n\r\n{"id": "7"}'
TEAPOT = Response(
    418,
    headers=Headers([("Content-Type", "application/json"), ("Transfer-Encoding", "chunked"), ("Connection", "x-a")]),
    content=Content.of(b'{"tea": true}'),
)


class Decider:
    """An intervener that follows a function, and keeps what it was asked about."""

    def __init__(self, decide: Callable[[int], Intervention | None]) -> None:
        self.decide = decide
        self.asked: list[Request] = []

    def intervene(self, request: Request) -> Intervention | None:
        self.asked.append(request)
        return self.decide(len(self.asked))


def always(**given: Any) -> Decider:
    return Decider(lambda _: Intervention(**given))


def once(**given: Any) -> Decider:
    return Decider(lambda nth: Intervention(**given) if nth == 1 else None)


def shorter(response: Response) -> Response:
    return replace(response, content=Content.of(response.content.data[:4]))


def page(response: Response) -> Response:
    headers = Headers([("Content-Type", "text/html")])
    return Response(502, "Bad Gateway", headers=headers, content=Content.of(b"<html>"))


async def was_reset(wire: Wire) -> bool:
    """Whether the connection ends with a reset, and without a byte."""
    try:
        async with asyncio.timeout(PATIENCE_S):
            return await wire.reader.read(1) != b"" and False
    except ConnectionResetError:
        return True


async def creating(wire: Wire) -> None:
    while True:
        await wire.message()
        await wire.send(CREATED)


async def settled(rig: Rig, count: int) -> None:
    await rig.recorder.wait_until(lambda: len(rig.recorder.exchanges) == count)
    assert not rig.recorder.losses


@pytest.mark.parametrize("request_bytes", [GET, POST, CHUNKED])
async def test_nothing_is_decided(rigs: Rigs, request_bytes: bytes) -> None:
    decider = Decider(lambda _: None)
    rig = await rigs(creating, intervener=decider)
    client = await rig.client()
    for _ in range(2):
        await client.send(request_bytes)
        assert await client.message() == CREATED
    assert len(decider.asked) == 2
    body = b"" if request_bytes == GET else b'{"a": 1}'
    assert decider.asked[0].content.data == body
    await settled(rig, 2)
    assert [(one.note, one.tags, one.client_index) for one in rig.recorder.exchanges] == [
        (None, (), 1),
        (None, (), 2),
    ]
    assert [body_of(one) for one in rig.upstream.seen] == [body, body]


@pytest.mark.parametrize("origin", ["mock", "proxy"])
async def test_an_answer_of_ours(rigs: Rigs, origin: str) -> None:
    rig = await rigs(
        target=ANYWHERE,
        public_path="/scim/v2",
        intervener=always(response=TEAPOT, origin=origin, note="why", tags=("mock",), parent_id=12),
    )
    client = await rig.client()
    for _ in range(2):
        await client.send(POST.replace(b"/Users", b"/scim/v2/Users"))
        got = await client.message()
        assert got.startswith(b"HTTP/1.1 418 "), got
        assert body_of(got) == b'{"tea": true}'
        assert value_of(got, b"content-length") == b"13"
        assert value_of(got, b"transfer-encoding") is None
    await settled(rig, 2)
    exchange = rig.recorder.exchanges[0]
    assert (exchange.origin, exchange.note, exchange.tags, exchange.parent_id) == (origin, "why", ("mock",), 12)
    assert exchange.failure is None
    assert exchange.response is not None
    assert exchange.response.content.data == b'{"tea": true}'
    assert exchange.request.content.data == b'{"a": 1}'
    assert exchange.upstream_request_headers is exchange.upstream_connection is exchange.attempts is None
    assert exchange.upstream_request_target is None
    assert not rig.upstream.connections


async def test_an_answer_of_ours_without_content(rigs: Rigs) -> None:
    rig = await rigs(target=ANYWHERE, intervener=always(response=replace(TEAPOT, status_code=204), origin="mock"))
    client = await rig.client()
    await client.send(GET)
    got = await client.message()
    assert got.startswith(b"HTTP/1.1 204 No Content")
    assert value_of(got, b"content-length") is None
    await client.send(GET.replace(b"GET", b"HEAD"))
    assert (await client.message()).startswith(b"HTTP/1.1 204 ")


async def test_an_answer_to_head(rigs: Rigs) -> None:
    rig = await rigs(target=ANYWHERE, intervener=always(response=TEAPOT, origin="mock"))
    client = await rig.client()
    await client.send(GET.replace(b"GET", b"HEAD"))
    got = await client.message(bodiless=True)
    assert value_of(got, b"content-length") == b"13"
    await client.send(GET)
    assert body_of(await client.message()) == b'{"tea": true}'


async def test_an_answer_is_recorded_first(rigs: Rigs) -> None:
    rig = await rigs(target=ANYWHERE, intervener=always(response=TEAPOT, origin="mock"))
    rig.recorder.hold("/Users")
    client = await rig.client()
    await client.send(GET)
    await rig.recorder.entered.wait()
    assert not client.waiting()
    rig.recorder.release()
    assert (await client.message()).startswith(b"HTTP/1.1 418 ")


async def test_an_answer_to_an_http_1_0_client_closes(rigs: Rigs) -> None:
    rig = await rigs(target=ANYWHERE, intervener=always(response=TEAPOT, origin="mock"))
    client = await rig.client()
    await client.send(GET.replace(b"HTTP/1.1", b"HTTP/1.0"))
    assert (await client.rest()).endswith(b'\r\n\r\n{"tea": true}')


async def test_nobody_to_ask(rigs: Rigs) -> None:
    rig = await rigs(target=ANYWHERE, intervener=Decider(lambda _: None))
    got = await rig.ask(POST)
    assert got.startswith(b"HTTP/1.1 502 ")
    exchange = await rig.recorder.one()
    assert exchange.failure is not None
    assert "no upstream" in exchange.failure.message
    assert "no upstream" in json.loads(body_of(got))["detail"]


async def test_a_long_request_is_decided_about_early(rigs: Rigs) -> None:
    decider = always(response=TEAPOT, origin="proxy")
    rig = await rigs(intervener=decider, max_content=1000, stream_above=500)
    client = await rig.client()
    await client.send(b"POST /Users HTTP/1.1\r\nHost: public.example\r\nContent-Length: 5000\r\n\r\n" + b"x" * 2000)
    assert (await client.rest()).endswith(b'{"tea": true}')
    assert decider.asked[0].content.truncated
    assert not rig.upstream.connections


async def test_a_long_request_passes(rigs: Rigs) -> None:
    async def taking(wire: Wire) -> None:
        await wire.message()
        await wire.send(OK)

    decider = Decider(lambda _: None)
    rig = await rigs(taking, intervener=decider, max_content=1000, stream_above=500)
    client = await rig.client()
    head = b"POST /Users HTTP/1.1\r\nHost: public.example\r\nContent-Length: 5000\r\nExpect: 100-continue\r\n\r\n"
    await client.send(head)
    assert (await client.until(b"\r\n\r\n")).startswith(b"HTTP/1.1 100 ")
    for _ in range(5):
        await client.send(b"x" * 1000)
    assert await client.message() == OK
    assert len(decider.asked) == 1
    assert body_of(rig.upstream.seen[0]) == b"x" * 5000


@pytest.mark.parametrize("long", [False, True])
async def test_a_delay(rigs: Rigs, long: bool) -> None:
    rig = await rigs(creating, intervener=once(delay_s=0.05, note="slow", tags=("fault",)), max_content=1000)
    request = POST if not long else POST.replace(b"Length: 8", b"Length: 5008").replace(b"{", b"x" * 5000 + b"{")
    client = await rig.client()
    await client.send(request)
    assert await client.message() == CREATED
    await client.send(GET)
    assert await client.message() == CREATED
    await settled(rig, 2)
    assert [one.tags for one in rig.recorder.exchanges] == [("fault",), ()]


async def test_a_client_leaves_a_delay(rigs: Rigs) -> None:
    rig = await rigs(intervener=always(delay_s=3000.0, note="slow"))
    client = await rig.client()
    await client.send(GET)
    await rig.recorder.wait_until(lambda: rig.recorder.pendings)
    client.reset()
    exchange = await rig.recorder.one()
    assert exchange.failure is not None
    assert exchange.failure.side == "client"
    assert exchange.note == "slow"
    assert not rig.upstream.connections


async def test_a_delay_is_no_silence(rigs: Rigs) -> None:
    rig = await rigs(intervener=always(delay_s=0.5), response_timeout_s=0.2, pending_after_ms=50)
    assert await rig.ask() == OK


async def test_a_stop_ends_a_delay(rigs: Rigs) -> None:
    rig = await rigs(intervener=always(delay_s=3000.0, note="slow"))
    client = await rig.client()
    await client.send(GET)
    await rig.recorder.wait_until(lambda: rig.recorder.pendings)
    await rig.engine.stop(at_once=True)
    exchange = await rig.recorder.one()
    assert exchange.state == "aborted"


async def test_a_reset_before_the_upstream(rigs: Rigs) -> None:
    rig = await rigs(creating, intervener=once(cut="before", note="op:create", tags=("fault",)))
    client = await rig.client()
    await client.send(POST)
    assert await was_reset(client)
    exchange = await rig.recorder.one()
    assert exchange.failure is not None
    assert (exchange.failure.kind, exchange.failure.side) == ("closed", "proxy")
    assert "before the upstream was asked (op:create)" in exchange.failure.message
    assert exchange.response is exchange.origin is None
    assert exchange.ended == "reset by scimproxy"
    assert exchange.tags == ("fault",)
    assert exchange.request.content.data == b'{"a": 1}'
    assert not rig.upstream.seen
    assert await rig.ask(POST) == CREATED


@pytest.mark.parametrize("size", [11, 3000])
async def test_a_reset_after_the_upstream(rigs: Rigs, size: int) -> None:
    head = CREATED.partition(b"\r\n\r\n")[0].replace(b"Length: 11", b"Length: %d" % size)
    answer = head + b"\r\n\r\n" + b"x" * size

    async def answering(wire: Wire) -> None:
        while True:
            await wire.message()
            await wire.send(answer)

    rig = await rigs(answering, intervener=once(cut="after"), max_content=2000, stream_above=1000)
    rig.recorder.hold("/Users")
    client = await rig.client()
    await client.send(POST)
    await rig.recorder.entered.wait()
    assert not client.reader.at_eof()
    rig.recorder.release()
    assert await was_reset(client)
    exchange = await rig.recorder.one()
    assert exchange.failure is not None
    assert exchange.failure.phase == "respond"
    assert "after the upstream had answered 201" in exchange.failure.message
    assert exchange.response is not None
    assert exchange.response.status_code == 201
    assert exchange.response.content.size == size
    assert exchange.origin == "upstream"
    assert [body_of(one) for one in rig.upstream.seen] == [b'{"a": 1}']
    assert await rig.ask(POST) == answer


async def test_a_reset_where_nothing_can_be_recorded(rigs: Rigs) -> None:
    rig = await rigs(creating, intervener=always(cut="before"))
    rig.recorder.error = ValueError("a fault of ours")
    client = await rig.client()
    await client.send(POST)
    assert await was_reset(client)
    assert rig.recorder.losses


@pytest.mark.parametrize("framing", ["length", "chunked", "close"])
async def test_an_altered_answer(rigs: Rigs, framing: str) -> None:
    body = b'{"id": "7"}'
    head = (
        b"HTTP/1.1 201 Created\r\nContent-Type: application/scim+json\r\nETag: w\r\nLocation: http://u.example/7\r\n"
    )
    answer = {
        "length": head + b"Content-Length: 11\r\n\r\n" + body,
        "chunked": head + b"Transfer-Encoding: chunked\r\n\r\nb\r\n" + body + b"\r\n0\r\n\r\n",
        "close": head + b"\r\n" + body,
    }[framing]

    async def script(wire: Wire) -> None:
        while True:
            await wire.message()
            await wire.send(answer)
            if framing == "close":
                return

    rig = await rigs(script, intervener=always(alter=shorter, note="cut", tags=("fault",)))
    request = POST.replace(b"\r\n\r\n", b"\r\nAccept-Encoding: gzip\r\n\r\n")
    client = await rig.client()
    for _ in range(2):
        await client.send(request)
        got = await client.message()
        assert body_of(got) == b'{"id'
        assert value_of(got, b"content-length") == b"4"
        assert value_of(got, b"etag") == b"w"
    await settled(rig, 2)
    exchange = rig.recorder.exchanges[0]
    assert exchange.response is not None
    assert exchange.response.content.data == b'{"id'
    assert [(one.place, one.before, one.after) for one in exchange.rewrites] == [
        ("content", body.decode(), "4 bytes"),
    ]
    assert exchange.origin == "upstream"
    assert value_of(rig.upstream.seen[0], b"accept-encoding") == b"identity"
    assert exchange.upstream_request_headers is not None
    assert exchange.upstream_request_headers.get("accept-encoding") == "identity"


async def test_an_answer_becomes_a_page(rigs: Rigs) -> None:
    rig = await rigs(creating, intervener=once(alter=page), rewrite_locations=True)
    client = await rig.client()
    await client.send(POST)
    got = await client.message()
    assert got.startswith(b"HTTP/1.1 502 Bad Gateway")
    assert body_of(got) == b"<html>"
    await client.send(POST)
    assert await client.message() == CREATED
    await settled(rig, 2)
    exchange = rig.recorder.exchanges[0]
    assert [(one.place, one.before) for one in exchange.rewrites] == [("status", "201"), ("content", '{"id": "7"}')]
    assert exchange.upstream_response_headers is not None
    assert exchange.upstream_response_headers.get("content-type") == "application/scim+json"


async def test_an_answer_that_is_left_as_it_is(rigs: Rigs) -> None:
    rig = await rigs(creating, intervener=always(alter=lambda came: came))
    got = await rig.ask(POST)
    assert (got.split(b"\r\n")[0], body_of(got)) == (b"HTTP/1.1 201 Created", b'{"id": "7"}')
    assert not (await rig.recorder.one()).rewrites


async def test_a_long_answer_that_is_left_to_stream(rigs: Rigs) -> None:
    long = b"HTTP/1.1 200 OK\r\nContent-Length: 5000\r\n\r\n" + b"x" * 5000

    async def script(wire: Wire) -> None:
        await wire.message()
        await wire.send(long)
        await wire.reader.read()

    rig = await rigs(script, intervener=always(delay_s=0.01), max_content=1000, stream_above=500)
    assert await rig.ask() == long


async def test_an_answer_too_long_to_alter(rigs: Rigs) -> None:
    async def script(wire: Wire) -> None:
        await wire.message()
        await wire.send(b"HTTP/1.1 200 OK\r\nContent-Length: 5000\r\n\r\n" + b"x" * 5000)
        await wire.reader.read()

    rig = await rigs(script, intervener=always(alter=shorter), max_content=1000, stream_above=500)
    got = await rig.ask()
    assert got.startswith(b"HTTP/1.1 500 ")
    exchange = await rig.recorder.one()
    assert exchange.failure is not None
    assert "longer than 1000 bytes" in exchange.failure.message


@pytest.mark.parametrize("request_bytes", [GET, POST, CHUNKED])
async def test_a_second_delivery(rigs: Rigs, request_bytes: bytes) -> None:
    answers = [CREATED, b"HTTP/1.1 409 Conflict\r\nContent-Length: 2\r\n\r\n{}", OK]

    async def script(wire: Wire) -> None:
        while True:
            await wire.message()
            await wire.send(answers.pop(0))

    rig = await rigs(script, intervener=once(deliveries=2, note="twice", tags=("fault",)))
    client = await rig.client()
    await client.send(request_bytes)
    assert await client.message() == CREATED
    await client.send(request_bytes)
    assert await client.message() == OK
    await settled(rig, 3)
    assert rig.upstream.seen[0] == rig.upstream.seen[1]
    again, first, second = rig.recorder.exchanges
    assert again.response is not None
    assert again.response.status_code == 409
    assert again.request.content == first.request.content
    assert again.ended == "delivered again by scimproxy; no client waits for it"
    assert (again.note, first.note, second.note) == ("twice: the second delivery", "twice", None)
    assert again.tags == first.tags == ("fault",)
    assert again.uid != first.uid
    assert (first.client_index, again.client_index, second.client_index) == (1, 1, 2)


async def test_a_request_that_is_not_kept_whole_is_delivered_once(rigs: Rigs) -> None:
    async def taking(wire: Wire) -> None:
        await wire.message()
        await wire.send(OK)

    rig = await rigs(taking, intervener=always(deliveries=2), max_content=1000, stream_above=500)
    client = await rig.client()
    await client.send(b"POST /Users HTTP/1.1\r\nHost: public.example\r\nContent-Length: 5000\r\n\r\n" + b"x" * 5000)
    assert await client.message() == OK
    await settled(rig, 1)
    assert len(rig.upstream.seen) == 1


async def test_a_second_delivery_that_fails(rigs: Rigs) -> None:
    async def script(wire: Wire) -> None:
        await wire.message()
        await wire.send(CREATED)
        await wire.message()

    rig = await rigs(script, intervener=once(deliveries=2, note="twice"))
    assert await rig.ask(POST) == CREATED
    await settled(rig, 2)
    again, first = rig.recorder.exchanges
    assert again.failure is not None
    assert first.failure is None


async def test_a_client_leaves_before_the_second_delivery_ends(rigs: Rigs) -> None:
    began = asyncio.Event()

    async def script(wire: Wire) -> None:
        await wire.message()
        await wire.send(CREATED)
        await wire.message()
        began.set()
        await wire.reader.read()

    rig = await rigs(script, intervener=once(deliveries=2))
    client = await rig.client()
    await client.send(POST)
    await began.wait()
    client.reset()
    await settled(rig, 2)
    assert {one.failure.side for one in rig.recorder.exchanges if one.failure is not None} == {"client"}


async def test_twice_and_then_reset(rigs: Rigs) -> None:
    rig = await rigs(creating, intervener=once(deliveries=2, cut="after"))
    client = await rig.client()
    await client.send(POST)
    assert await was_reset(client)
    await settled(rig, 2)
    assert len(rig.upstream.seen) == 2


async def test_an_intervener_that_fails_is_our_fault(rigs: Rigs, caplog: pytest.LogCaptureFixture) -> None:
    def wrong(_: int) -> Intervention:
        raise ZeroDivisionError

    rig = await rigs(intervener=Decider(wrong))
    client = await rig.client()
    await client.send(GET)
    await client.rest()
    await rig.recorder.wait_until(lambda: rig.recorder.losses)
    assert "ZeroDivisionError" in caplog.text
    assert not rig.upstream.connections


async def test_what_is_refused_is_not_asked_about(rigs: Rigs) -> None:
    decider = always(response=TEAPOT)
    rig = await rigs(intervener=decider, base_path="/scim/v2")
    assert (await rig.ask(GET)).startswith(b"HTTP/1.1 404 ")
    assert not decider.asked
