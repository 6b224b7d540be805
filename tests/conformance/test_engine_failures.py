"""What goes wrong on the wire is data, and the client gets a SCIM error that says who made it."""

from __future__ import annotations

import asyncio
import contextlib
import datetime as dt
import json
import socket
import ssl
from pathlib import Path
from typing import Any

import pytest
import trustme
from conformance.rig import GET, OK, Rig, Rigs, Script, Wire, answering, body_of, value_of

from scimproxy.exchange import Exchange
from scimproxy.proxy.engine import Target


async def failing(rig: Rig, status: int, *, request: bytes = GET) -> Exchange:
    """Ask, check the SCIM error, and return the exchange."""
    got = await rig.ask(request)
    assert got.startswith(b"HTTP/1.1 %d " % status), got
    assert value_of(got, b"content-type") == b"application/scim+json"
    assert value_of(got, b"scimproxy-origin") == b"proxy"
    body = json.loads(body_of(got))
    assert body["schemas"] == ["urn:ietf:params:scim:api:messages:2.0:Error"]
    assert body["status"] == str(status)
    assert "scimproxy" in body["detail"]
    exchange = await rig.recorder.one()
    assert exchange.failure is not None
    assert exchange.failure.message in body["detail"]
    assert exchange.origin == "proxy"
    assert exchange.response is not None
    assert exchange.response.status_code == status
    assert exchange.response.content.data == body_of(got)
    assert exchange.state == "complete"
    return exchange


def kind_and_phase(exchange: Exchange) -> tuple[str, str | None]:
    assert exchange.failure is not None
    return exchange.failure.kind, exchange.failure.phase


def free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
async def test_refused(rigs: Rigs, host: str) -> None:
    rig = await rigs(target=Target("http", host, free_port()))
    exchange = await failing(rig, 502)
    assert kind_and_phase(exchange) == ("refused", "connect")
    assert exchange.attempts == 1
    assert exchange.upstream_index is None


async def test_a_refused_request_leaves_the_client_connected(rigs: Rigs) -> None:
    rig = await rigs(target=Target("http", "127.0.0.1", free_port()))
    client = await rig.client()
    for _ in range(3):
        await client.send(GET)
        assert (await client.message()).startswith(b"HTTP/1.1 502 ")


async def test_an_unknown_name(rigs: Rigs) -> None:
    rig = await rigs(target=Target("http", "scim.invalid", 80))
    exchange = await failing(rig, 502)
    assert kind_and_phase(exchange) == ("dns", "dns")
    assert exchange.failure is not None
    assert "scim.invalid" in exchange.failure.message


# -- TLS ----------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


def serving(authority: trustme.CA, *names: str, **options: Any) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert(*names, **options).configure_cert(context)
    return context


@pytest.fixture
def pem(authority: trustme.CA, tmp_path: Path) -> Path:
    path = tmp_path / "ca.pem"
    authority.cert_pem.write_to_path(path)
    return path


async def test_tls_with_its_authority(rigs: Rigs, authority: trustme.CA, pem: Path) -> None:
    rig = await rigs(tls=serving(authority, "localhost"), target_host="localhost", upstream_ca=pem)
    client = await rig.client()
    for _ in range(2):
        await client.send(GET)
        assert await client.message() == OK
    first, second = rig.recorder.exchanges
    assert first.upstream_connection is not None
    tls = first.upstream_connection.tls
    assert tls is not None
    assert tls.version == "TLSv1.3"
    assert tls.cipher is not None
    assert tls.sni == "localhost"
    leaf = tls.chain[0]
    assert leaf.names == ("localhost",)
    assert leaf.not_before_at < first.started_at < leaf.not_after_at
    assert "trustme" in leaf.issuer
    assert len(leaf.sha256) == 64
    assert leaf.der
    assert first.timings.tls is not None
    assert first.timings.dns is not None
    assert second.timings.tls is None
    assert second.reused
    assert rig.upstream.connections == 1


async def test_tls_by_address(rigs: Rigs, authority: trustme.CA, pem: Path) -> None:
    rig = await rigs(tls=serving(authority, "127.0.0.1"), upstream_ca=pem)
    assert await rig.ask() == OK
    exchange = await rig.recorder.one()
    assert exchange.upstream_connection is not None
    assert exchange.upstream_connection.tls is not None
    assert exchange.upstream_connection.tls.sni is None


async def test_tls_without_a_check(rigs: Rigs, authority: trustme.CA) -> None:
    rig = await rigs(tls=serving(authority, "elsewhere.example"), insecure_upstream=True)
    assert await rig.ask() == OK
    exchange = await rig.recorder.one()
    assert exchange.upstream_connection is not None
    assert exchange.upstream_connection.tls is not None
    assert exchange.upstream_connection.tls.chain[0].names == ("elsewhere.example",)


async def test_tls_of_an_unknown_authority(rigs: Rigs, authority: trustme.CA) -> None:
    rig = await rigs(tls=serving(authority, "localhost"), target_host="localhost")
    exchange = await failing(rig, 502)
    assert kind_and_phase(exchange) == ("tls", "tls")
    assert exchange.failure is not None
    assert "--upstream-ca" in exchange.failure.message
    assert "--insecure-upstream" in exchange.failure.message


async def test_tls_for_another_host(rigs: Rigs, authority: trustme.CA, pem: Path) -> None:
    rig = await rigs(tls=serving(authority, "elsewhere.example"), target_host="localhost", upstream_ca=pem)
    exchange = await failing(rig, 502)
    assert kind_and_phase(exchange) == ("tls", "tls")
    assert exchange.failure is not None
    assert "another name than 'localhost'" in exchange.failure.message


async def test_tls_expired(rigs: Rigs, authority: trustme.CA, pem: Path) -> None:
    past = dt.datetime(2020, 1, 1, tzinfo=dt.UTC)
    tls = serving(authority, "localhost", not_before=past, not_after=past + dt.timedelta(days=1))
    rig = await rigs(tls=tls, target_host="localhost", upstream_ca=pem)
    exchange = await failing(rig, 502)
    assert kind_and_phase(exchange) == ("tls", "tls")
    assert exchange.failure is not None
    assert "expired" in exchange.failure.message


async def test_https_to_a_server_without_tls(rigs: Rigs) -> None:
    async def script(wire: Wire) -> None:
        await wire.reader.read(10)
        await wire.send(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n")

    plain = await rigs(script)
    rig = await rigs(target=Target("https", "127.0.0.1", plain.upstream.port))
    exchange = await failing(rig, 502)
    assert kind_and_phase(exchange) == ("tls", "tls")
    assert exchange.failure is not None
    assert "http://" in exchange.failure.message


async def test_http_to_a_server_with_tls(rigs: Rigs, authority: trustme.CA) -> None:
    secure = await rigs(tls=serving(authority, "localhost"))
    rig = await rigs(target=Target("http", "127.0.0.1", secure.upstream.port))
    exchange = await failing(rig, 502)
    assert kind_and_phase(exchange)[0] in {"protocol", "closed"}


async def test_a_tls_handshake_that_never_comes(rigs: Rigs) -> None:
    async def script(wire: Wire) -> None:
        await wire.reader.read(100_000)
        await asyncio.Event().wait()

    silent = await rigs(script)
    rig = await rigs(target=Target("https", "127.0.0.1", silent.upstream.port), connect_timeout_s=0.1)
    exchange = await failing(rig, 504)
    assert kind_and_phase(exchange) == ("timeout", "tls")


# -- time ---------------------------------------------------------------------------------------------------------


async def test_no_answer_in_time(rigs: Rigs) -> None:
    async def script(wire: Wire) -> None:
        await wire.message()
        await wire.reader.read()

    rig = await rigs(script, response_timeout_s=0.1)
    exchange = await failing(rig, 504)
    assert kind_and_phase(exchange) == ("timeout", "wait")
    assert exchange.timings.wait is None
    assert exchange.attempts == 1


async def test_half_an_answer_in_time(rigs: Rigs) -> None:
    rig = await rigs(answering(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhalf"), response_timeout_s=0.1)
    exchange = await failing(rig, 504)
    assert kind_and_phase(exchange) == ("timeout", "receive")
    assert exchange.upstream_response_headers is not None


async def test_an_upstream_that_takes_no_more(rigs: Rigs) -> None:
    async def script(wire: Wire) -> None:
        await wire.until(b"\r\n\r\n")
        await asyncio.Event().wait()

    rig = await rigs(script, response_timeout_s=0.2, stream_above=1000)
    client = await rig.client()

    async def upload() -> None:
        with contextlib.suppress(ConnectionError):
            await client.send(b"POST /Users HTTP/1.1\r\nHost: h\r\nContent-Length: 90000000\r\n\r\n")
            for _ in range(1800):
                await client.send(b"x" * 50_000)

    uploading = asyncio.create_task(upload())
    got = await client.message()
    assert got.startswith(b"HTTP/1.1 504 ")
    exchange = await rig.recorder.one()
    assert kind_and_phase(exchange) == ("timeout", "send")
    uploading.cancel()


# -- upstream closes ----------------------------------------------------------------------------------------------


async def closing(wire: Wire) -> None:
    await wire.message()


async def resetting(wire: Wire) -> None:
    await wire.message()
    wire.reset()


@pytest.mark.parametrize("script", [closing, resetting])
@pytest.mark.parametrize("method", [b"GET", b"POST"])
async def test_closed_without_an_answer(rigs: Rigs, script: Script, method: bytes) -> None:
    rig = await rigs(script)
    exchange = await failing(rig, 502, request=method + b" /Users HTTP/1.1\r\nHost: h\r\nContent-Length: 0\r\n\r\n")
    assert kind_and_phase(exchange) == ("closed", "wait")
    assert exchange.attempts == 1
    assert rig.upstream.connections == 1


async def test_closed_in_the_middle_of_a_held_answer(rigs: Rigs) -> None:
    async def script(wire: Wire) -> None:
        await wire.message()
        await wire.send(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhalf")

    exchange = await failing(await rigs(script), 502)
    assert kind_and_phase(exchange) == ("closed", "receive")


@pytest.mark.parametrize("framing", [b"Content-Length: 100000", b"Transfer-Encoding: chunked"])
async def test_closed_in_the_middle_of_a_streamed_answer(rigs: Rigs, framing: bytes) -> None:
    async def script(wire: Wire) -> None:
        await wire.message()
        chunked = b"chunked" in framing
        await wire.send(
            b"HTTP/1.1 200 OK\r\n%b\r\n\r\n" % framing + (b"c350\r\n" if chunked else b"") + b"x" * 50_000
        )

    rig = await rigs(script, stream_above=1000)
    client = await rig.client()
    await client.send(GET)
    got = await client.rest()
    assert got.startswith(b"HTTP/1.1 200 ")
    assert not got.endswith(b"0\r\n\r\n")
    exchange = await rig.recorder.one()
    assert kind_and_phase(exchange) == ("closed", "receive")
    assert exchange.origin == "upstream"
    assert exchange.response is not None
    assert exchange.response.status_code == 200
    assert exchange.response.content.size == 50_000


@pytest.mark.parametrize(
    "garbage",
    [
        b"SSH-2.0-OpenSSH_9.6\r\n\r\n",
        b"HTTP/2 200 OK\r\n\r\n",
        b"HTTP/1.1 abc\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nno colon\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nBad Name: 1\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab",
        b"HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: br\r\n\r\n",
        b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\n\r\n",
    ],
)
async def test_not_http(rigs: Rigs, garbage: bytes) -> None:
    exchange = await failing(await rigs(answering(garbage)), 502)
    assert kind_and_phase(exchange)[0] == "protocol"


async def test_an_endless_head(rigs: Rigs) -> None:
    async def script(wire: Wire) -> None:
        await wire.message()
        await wire.send(b"HTTP/1.1 200 OK\r\n")
        while True:
            await wire.send(b"X-Again: and again\r\n" * 100)

    exchange = await failing(await rigs(script), 502)
    assert kind_and_phase(exchange)[0] == "protocol"


# -- the client ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("way", ["reset", "close"])
async def test_a_client_that_goes_before_the_answer(rigs: Rigs, way: str) -> None:
    asked, left = asyncio.Event(), asyncio.Event()

    async def script(wire: Wire) -> None:
        await wire.message()
        asked.set()
        await wire.rest()
        left.set()

    rig = await rigs(script)
    client = await rig.client()
    await client.send(GET)
    async with asyncio.timeout(20):
        await asked.wait()
        client.reset()  # an orderly end could also be a client that only has nothing more to say
        exchange = await rig.recorder.one()
        await left.wait()
    assert exchange.failure is not None
    assert exchange.failure.kind == "closed"
    assert exchange.failure.side == "client"
    assert exchange.failure.phase == "wait"
    assert exchange.response is None
    assert exchange.ended is not None


async def test_a_client_that_goes_inside_its_request(rigs: Rigs) -> None:
    rig = await rigs()
    client = await rig.client()
    await client.send(b"POST /Users HTTP/1.1\r\nHost: h\r\nContent-Length: 9\r\n\r\nhalf")
    client.writer.write_eof()
    exchange = await rig.recorder.one()
    assert exchange.failure is not None
    assert (exchange.failure.kind, exchange.failure.side, exchange.failure.phase) == ("closed", "client", "request")
    assert exchange.request.content.data == b"half"
    assert rig.upstream.connections == 0


async def test_a_client_that_goes_inside_a_streamed_answer(rigs: Rigs) -> None:
    async def script(wire: Wire) -> None:
        await wire.message()
        await wire.send(b"HTTP/1.1 200 OK\r\nContent-Length: 900000000\r\n\r\n")
        while True:
            await wire.send(b"x" * 65536)

    rig = await rigs(script, stream_above=1000, max_content=10)
    client = await rig.client()
    await client.send(GET)
    await client.exactly(100_000)
    client.reset()
    exchange = await rig.recorder.one()
    assert exchange.failure is not None
    assert (exchange.failure.kind, exchange.failure.side) == ("closed", "client")


BAD_REQUESTS = {
    "absolute form": (b"GET http://127.0.0.1/Users HTTP/1.1\r\nHost: h\r\n\r\n", 400),
    "connect": (b"CONNECT example.com:443 HTTP/1.1\r\nHost: h\r\n\r\n", 405),
    "upgrade": (b"GET /Users HTTP/1.1\r\nHost: h\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n", 501),
    "no host": (b"GET /Users HTTP/1.1\r\n\r\n", 400),
    "two hosts": (b"GET /Users HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n", 400),
    "both framings": (
        b"POST /Users HTTP/1.1\r\nHost: h\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        400,
    ),
    "two lengths": (b"POST /Users HTTP/1.1\r\nHost: h\r\nContent-Length: 3\r\nContent-Length: 4\r\n\r\nabcd", 400),
    "a length that is none": (b"POST /Users HTTP/1.1\r\nHost: h\r\nContent-Length: +3\r\n\r\nabc", 400),
    "an endless length": (b"POST /Users HTTP/1.1\r\nHost: h\r\nContent-Length: " + b"9" * 5000 + b"\r\n\r\n", 400),
    "a coding that is not chunked": (b"POST /Users HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: gzip\r\n\r\n", 400),
    "a folded line": (b"GET /Users HTTP/1.1\r\nHost: h\r\nX: a\r\n b\r\n\r\n", 400),
    "a space before the colon": (b"GET /Users HTTP/1.1\r\nHost: h\r\nX : a\r\n\r\n", 400),
    "a control character": (b"GET /Users HTTP/1.1\r\nHost: h\r\nX: a\x00b\r\n\r\n", 400),
    "a bare carriage return": (b"GET /Users HTTP/1.1\r\nHost: h\r\nX: a\rY: b\r\n\r\n", 400),
}


@pytest.mark.parametrize("name", list(BAD_REQUESTS))
async def test_requests_that_are_refused(rigs: Rigs, name: str) -> None:
    request, status = BAD_REQUESTS[name]
    rig = await rigs()
    client = await rig.client()
    await client.send(request)
    got = await client.rest()
    assert got.startswith(b"HTTP/1.1 %d " % status), got
    assert value_of(got, b"content-type") == b"application/scim+json"
    assert value_of(got, b"connection") == b"close"
    assert json.loads(body_of(got))["status"] == str(status)
    assert rig.upstream.connections == 0
    for exchange in rig.recorder.exchanges:
        assert exchange.failure is not None
        assert exchange.failure.kind in {"blocked", "protocol"}
        assert exchange.attempts is None


@pytest.mark.parametrize(
    ("noise", "status"),
    [
        (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n", 400),
        (b"GET\r\n\r\n", 400),
        (b"GET /a b HTTP/1.1\r\nHost: h\r\n\r\n", 400),
        (b"G@T / HTTP/1.1\r\nHost: h\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\n" + b"X-Again: and again\r\n" * 10_000, 431),
    ],
)
async def test_noise_is_answered_and_closed(rigs: Rigs, noise: bytes, status: int) -> None:
    rig = await rigs()
    client = await rig.client()
    await client.send(noise)
    got = await client.rest()
    assert got.startswith(b"HTTP/1.1 %d " % status), got
    assert b"<html" not in got.lower()
    assert value_of(got, b"scimproxy-origin") == b"proxy"
    assert rig.upstream.connections == 0
    assert await rig.ask() == OK


async def test_a_broken_chunk_of_a_request(rigs: Rigs) -> None:
    rig = await rigs()
    client = await rig.client()
    await client.send(b"POST /Users HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\nabc")
    got = await client.rest()
    assert got.startswith(b"HTTP/1.1 400 ")
    exchange = await rig.recorder.one()
    assert exchange.failure is not None
    assert (exchange.failure.kind, exchange.failure.side) == ("protocol", "client")
    assert rig.upstream.seen == []


async def test_the_answer_to_head_has_no_body(rigs: Rigs) -> None:
    rig = await rigs(target=Target("http", "127.0.0.1", free_port()))
    client = await rig.client()
    await client.send(b"HEAD /Users HTTP/1.1\r\nHost: h\r\n\r\n")
    assert (await client.message(bodiless=True)).startswith(b"HTTP/1.1 502 ")
    await client.send(GET)
    assert (await client.message()).startswith(b"HTTP/1.1 502 ")
