"""What travels: exact bytes on both sides, and in the record."""

from __future__ import annotations

import gzip
import hashlib

import pytest
from conformance.rig import GET, OK, Rigs, Wire, answering, body_of, head_of, value_of

from scimproxy.exchange import Headers


async def test_a_request_reaches_the_upstream_in_order_and_case(rigs: Rigs) -> None:
    rig = await rigs()
    request = (
        b"POST /Users?a=%20b&c HTTP/1.1\r\nhost: public.example\r\nX-B: 2\r\nx-a:   1  \r\nX-B: 3\r\n"
        b'Authorization: Bearer t\r\nContent-Type: application/scim+json\r\ncontent-LENGTH: 4\r\n\r\n{""}'
    )
    assert await rig.ask(request) == OK
    line, fields = head_of(rig.upstream.seen[0])
    assert line == b"POST /Users?a=%20b&c HTTP/1.1"
    assert fields[:7] == [
        (b"host", f"127.0.0.1:{rig.upstream.port}".encode()),
        (b"X-B", b"2"),
        (b"x-a", b"1"),
        (b"X-B", b"3"),
        (b"Authorization", b"Bearer t"),
        (b"Content-Type", b"application/scim+json"),
        (b"content-LENGTH", b"4"),
    ]
    assert body_of(rig.upstream.seen[0]) == b'{""}'
    exchange = await rig.recorder.one()
    assert exchange.request.method == "POST"
    assert exchange.request.target == "/Users?a=%20b&c"
    assert exchange.request.headers.pairs == (
        ("host", "public.example"),
        ("X-B", "2"),
        ("x-a", "1"),
        ("X-B", "3"),
        ("Authorization", "Bearer t"),
        ("Content-Type", "application/scim+json"),
        ("content-LENGTH", "4"),
    )
    assert exchange.request.content.data == b'{""}'
    assert exchange.upstream_request_headers is not None
    assert [(n.encode(), v.encode()) for n, v in exchange.upstream_request_headers] == fields
    assert exchange.upstream_request_target is None
    assert exchange.state == "complete"
    assert exchange.origin == "upstream"
    assert exchange.failure is None
    assert exchange.request.wire_bytes in {None, len(request)}


async def test_an_answer_reaches_the_client_byte_for_byte(rigs: Rigs) -> None:
    answer = b"HTTP/1.1 201 Created indeed\r\nX-B: 2\r\nx-a: \xe9\r\nX-B: 3\r\nSet-Cookie: a=b\r\nContent-Length: 3\r\n\r\n\x00\xff\n"
    rig = await rigs(answering(answer))
    assert await rig.ask() == answer
    exchange = await rig.recorder.one()
    response = exchange.response
    assert response is not None
    assert response.status_code == 201
    assert response.reason == "Created indeed"
    assert response.headers.raw() == tuple(head_of(answer)[1])
    assert response.content.data == b"\x00\xff\n"
    assert exchange.upstream_response_headers is None
    assert response.wire_bytes in {None, len(answer)}


async def test_hop_by_hop_fields_stay_on_their_connection(rigs: Rigs) -> None:
    answer = b"HTTP/1.1 200 OK\r\nConnection: x-hop\r\nX-Hop: 1\r\nKeep-Alive: timeout=5\r\nContent-Length: 2\r\nX-End: 1\r\n\r\nok"
    rig = await rigs(answering(answer))
    request = b"GET /Users HTTP/1.1\r\nHost: h\r\nConnection: keep-alive, X-Mine\r\nX-Mine: 1\r\nTE: trailers\r\nKeep-Alive: 3\r\nX-End: 1\r\n\r\n"
    got = await rig.ask(request)
    assert got == b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nX-End: 1\r\n\r\nok"
    sent = {name.lower() for name, _ in head_of(rig.upstream.seen[0])[1]}
    assert not sent & {b"connection", b"x-mine", b"te", b"keep-alive"}
    assert b"x-end" in sent
    exchange = await rig.recorder.one()
    assert "x-mine" in exchange.request.headers
    assert exchange.upstream_response_headers is not None
    assert "x-hop" in exchange.upstream_response_headers
    assert exchange.response is not None
    assert "x-hop" not in exchange.response.headers


async def test_a_chunked_request_stays_chunked(rigs: Rigs) -> None:
    rig = await rigs()
    got = await rig.ask(
        b"POST /Users HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n3;x=1\r\nabc\r\n4\r\ndefg\r\n0\r\n\r\n"
    )
    assert got == OK
    assert value_of(rig.upstream.seen[0], b"transfer-encoding") == b"chunked"
    assert value_of(rig.upstream.seen[0], b"content-length") is None
    assert body_of(rig.upstream.seen[0]) == b"abcdefg"
    exchange = await rig.recorder.one()
    assert exchange.request.content.data == b"abcdefg"
    assert exchange.request.content.size == 7


async def test_a_chunked_answer_stays_chunked(rigs: Rigs) -> None:
    rig = await rigs(
        answering(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nab\r\n1\r\nc\r\n0\r\n\r\n")
    )
    got = await rig.ask()
    assert value_of(got, b"transfer-encoding") == b"chunked"
    assert body_of(got) == b"abc"
    exchange = await rig.recorder.one()
    assert exchange.response is not None
    assert exchange.response.content.data == b"abc"


async def test_trailers_do_not_hang_the_client(rigs: Rigs) -> None:
    rig = await rigs(
        answering(
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: X-Sum\r\n\r\n2\r\nab\r\n0\r\nX-Sum: 9\r\n\r\n"
        )
    )
    got = await rig.ask()
    assert body_of(got) == b"ab"
    exchange = await rig.recorder.one()
    assert exchange.response is not None
    assert exchange.response.content.data == b"ab"
    assert exchange.response.trailers in {None, Headers([("X-Sum", "9")])}
    assert (b"X-Sum: 9" in got) == (exchange.response.trailers is not None)


async def test_trailers_of_a_request(rigs: Rigs) -> None:
    rig = await rigs()
    got = await rig.ask(
        b"POST /Users HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nab\r\n0\r\nX-Sum: 9\r\n\r\n"
    )
    assert got == OK
    assert body_of(rig.upstream.seen[0]) == b"ab"


async def test_an_answer_that_ends_with_its_connection(rigs: Rigs) -> None:
    async def script(wire: Wire) -> None:
        await wire.message()
        await wire.send(b"HTTP/1.1 200 OK\r\nX: 1\r\n\r\nabc")

    rig = await rigs(script)
    got = await rig.ask()
    assert body_of(got) == b"abc"
    exchange = await rig.recorder.one()
    assert exchange.failure is None
    assert exchange.response is not None
    assert exchange.response.content.data == b"abc"


async def test_an_http_1_0_upstream(rigs: Rigs) -> None:
    async def script(wire: Wire) -> None:
        await wire.message()
        await wire.send(b"HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nok")

    rig = await rigs(script)
    client = await rig.client()
    for _ in range(3):
        await client.send(GET)
        assert await client.message() == OK
    assert rig.upstream.connections == 3
    first = rig.recorder.exchanges[0]
    assert first.upstream_connection is not None
    assert first.upstream_connection.http_version == "1.0"


async def test_an_http_1_0_client(rigs: Rigs) -> None:
    rig = await rigs(answering(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nab\r\n0\r\n\r\n"))
    client = await rig.client()
    await client.send(b"GET /Users HTTP/1.0\r\n\r\n")
    got = await client.rest()
    assert got.startswith(b"HTTP/1.1 200 OK\r\n")
    assert value_of(got, b"transfer-encoding") is None
    assert got.endswith(b"\r\n\r\nab")
    exchange = await rig.recorder.one()
    assert exchange.request.http_version == "1.0"
    assert rig.upstream.seen[0].startswith(b"GET /Users HTTP/1.1\r\n")


@pytest.mark.parametrize(
    "answer",
    [
        b"HTTP/1.1 200 OK\r\nContent-Length: 1234\r\nETag: W/1\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nETag: W/1\r\n\r\n",
    ],
)
async def test_head(rigs: Rigs, answer: bytes) -> None:
    async def script(wire: Wire) -> None:
        while True:
            await wire.message(bodiless=True)
            await wire.send(answer)

    rig = await rigs(script)
    client = await rig.client()
    for _ in range(2):
        await client.send(b"HEAD /Users/1 HTTP/1.1\r\nHost: h\r\n\r\n")
        assert await client.message(bodiless=True) == answer
    assert rig.recorder.exchanges[0].response is not None
    assert rig.recorder.exchanges[0].response.content.size == 0


@pytest.mark.parametrize(
    "answer",
    [
        b"HTTP/1.1 204 No Content\r\n\r\n",
        b"HTTP/1.1 204 \r\nX: 1\r\n\r\n",
        b"HTTP/1.1 304 Not Modified\r\nETag: x\r\nContent-Length: 99\r\n\r\n",
    ],
)
async def test_answers_without_a_body(rigs: Rigs, answer: bytes) -> None:
    rig = await rigs(answering(answer, OK))
    client = await rig.client()
    await client.send(GET)
    assert await client.message(bodiless=True) == answer
    await client.send(GET)
    assert await client.message() == OK
    assert rig.upstream.connections == 1


async def test_204_with_transfer_encoding_is_read_kindly(rigs: Rigs) -> None:
    rig = await rigs(answering(b"HTTP/1.1 204 No Content\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"))
    client = await rig.client()
    await client.send(b"DELETE /Users/1 HTTP/1.1\r\nHost: h\r\n\r\n")
    assert await client.message(bodiless=True) == b"HTTP/1.1 204 No Content\r\n\r\n"
    exchange = await rig.recorder.one()
    assert exchange.failure is None
    assert exchange.upstream_response_headers == Headers([("Transfer-Encoding", "chunked")])
    await client.send(GET)
    await client.message(bodiless=True)
    assert rig.upstream.connections == 2


async def test_an_answer_with_both_framings_is_read_as_chunked(rigs: Rigs) -> None:
    both = b"HTTP/1.1 200 OK\r\nContent-Length: 99\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nab\r\n0\r\n\r\n"
    rig = await rigs(answering(both))
    client = await rig.client()
    await client.send(GET)
    got = await client.message()
    assert value_of(got, b"content-length") is None
    assert body_of(got) == b"ab"
    await client.send(GET)
    await client.message()
    assert rig.upstream.connections == 2


async def test_interim_answers(rigs: Rigs) -> None:
    hints = b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n"
    rig = await rigs(answering(b"HTTP/1.1 100 Continue\r\n\r\n" + hints + OK))
    client = await rig.client()
    await client.send(GET)
    got = await client.until(b"ok")
    assert got in {hints + OK, OK}
    exchange = await rig.recorder.one()
    assert exchange.response is not None
    assert exchange.response.status_code == 200


async def test_expect_continue(rigs: Rigs) -> None:
    rig = await rigs()
    client = await rig.client()
    await client.send(b"POST /Users HTTP/1.1\r\nHost: h\r\nContent-Length: 4\r\nExpect: 100-continue\r\n\r\n")
    assert await client.until(b"\r\n\r\n") == b"HTTP/1.1 100 Continue\r\n\r\n"
    await client.send(b"body")
    assert await client.message() == OK
    assert body_of(rig.upstream.seen[0]) == b"body"
    exchange = await rig.recorder.one()
    assert exchange.request.headers.get("expect") == "100-continue"


async def test_pipelined_requests_are_answered_in_order(rigs: Rigs) -> None:
    async def script(wire: Wire) -> None:
        while True:
            request = await wire.message()
            name = request.split(b" ")[1]
            await wire.send(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%b" % (len(name), name))

    rig = await rigs(script)
    client = await rig.client()
    await client.send(b"".join(b"GET /%d HTTP/1.1\r\nHost: h\r\n\r\n" % number for number in range(5)))
    for number in range(5):
        assert body_of(await client.message()) == b"/%d" % number
    assert [exchange.client_index for exchange in rig.recorder.exchanges] == [1, 2, 3, 4, 5]


async def test_empty_lines_before_a_request_are_skipped(rigs: Rigs) -> None:
    rig = await rigs()
    assert await rig.ask(b"\r\n\r\n" + GET) == OK


async def test_a_request_that_comes_byte_by_byte(rigs: Rigs) -> None:
    rig = await rigs()
    client = await rig.client()
    for byte in b"POST /Users HTTP/1.1\r\nHost: h\r\nContent-Length: 2\r\n\r\nhi":
        await client.send(bytes([byte]))
    assert await client.message() == OK
    assert body_of(rig.upstream.seen[0]) == b"hi"


async def test_gzip_passes_untouched(rigs: Rigs) -> None:
    packed = gzip.compress(b'{"schemas": []}' * 50, mtime=0)
    answer = b"HTTP/1.1 200 OK\r\nContent-Type: application/scim+json\r\nContent-Encoding: gzip\r\nContent-Length: %d\r\n\r\n%b"
    rig = await rigs(answering(answer % (len(packed), packed)))
    got = await rig.ask()
    assert body_of(got) == packed
    exchange = await rig.recorder.one()
    assert exchange.response is not None
    assert exchange.response.content.data == packed


BIG = bytes(range(256)) * 20480
"""5 MiB that are not all alike."""


@pytest.mark.parametrize("chunked", [False, True])
async def test_big_bodies_pass_whole_and_are_stored_cut(rigs: Rigs, chunked: bool) -> None:
    async def script(wire: Wire) -> None:
        request = await wire.message()
        body = body_of(request)
        if chunked:
            await wire.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
            for at in range(0, len(body), 100_000):
                piece = body[at : at + 100_000]
                await wire.send(b"%x\r\n%b\r\n" % (len(piece), piece))
            await wire.send(b"0\r\n\r\n")
        else:
            await wire.send(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(body) + body)
        await wire.reader.read()

    rig = await rigs(script, max_content=1000, stream_above=64 * 1024)
    client = await rig.client()
    if chunked:
        await client.send(b"PUT /Users/1 HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n")
        for at in range(0, len(BIG), 65536):
            await client.send(b"10000\r\n" + BIG[at : at + 65536] + b"\r\n")
        await client.send(b"0\r\n\r\n")
    else:
        await client.send(b"PUT /Users/1 HTTP/1.1\r\nHost: h\r\nContent-Length: %d\r\n\r\n" % len(BIG) + BIG)
    got = await client.message()
    assert body_of(got) == BIG
    exchange = await rig.recorder.one()
    assert exchange.response is not None
    for content in (exchange.request.content, exchange.response.content):
        assert content.data == BIG[:1000]
        assert content.size == len(BIG)
        assert content.sha256 == hashlib.sha256(BIG).hexdigest()
        assert content.truncated


async def test_an_answer_before_the_whole_request(rigs: Rigs) -> None:
    async def script(wire: Wire) -> None:
        await wire.until(b"\r\n\r\n")
        await wire.send(b"HTTP/1.1 413 Too Large\r\nContent-Length: 2\r\n\r\nno")
        await wire.reader.read()

    rig = await rigs(script, stream_above=1000)
    client = await rig.client()
    await client.send(b"POST /Users HTTP/1.1\r\nHost: h\r\nContent-Length: 9000000\r\n\r\n" + b"x" * 70_000)
    got = await client.message()
    assert got.startswith(b"HTTP/1.1 413 ")
    assert value_of(got, b"connection") == b"close"
    assert await client.rest() == b""
    exchange = await rig.recorder.one()
    assert exchange.response is not None
    assert exchange.response.status_code == 413
