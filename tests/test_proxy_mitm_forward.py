"""The forward proxy of the mitmproxy engine: CONNECT, absolute form, TLS opened or left alone, loops, refusals."""

from __future__ import annotations

import asyncio
import json
import ssl
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from conformance.rig import OK, PATIENCE_S, Wire, body_of, value_of
from forward_rig import Stage, stage_of

from scimproxy.errors import StoreError
from scimproxy.exchange import Exchange

ASK = b"GET /Users/1 HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer geheim\r\n\r\n"


@pytest.fixture
async def stage(tmp_path: Path) -> AsyncIterator[Stage]:
    async with stage_of(tmp_path) as made:
        yield made


async def recorded(stage: Stage, count: int = 1) -> list[Exchange]:
    await stage.recorder.wait_until(lambda: len(stage.recorder.exchanges) >= count)
    assert len(stage.recorder.exchanges) == count
    assert stage.recorder.losses == []
    return stage.recorder.exchanges


def absolute(port: int, path: str = "/Users/1", host: str = "127.0.0.1") -> bytes:
    return (
        f"GET http://{host}:{port}{path} HTTP/1.1\r\nHost: wrong.example\r\nProxy-Connection: keep-alive\r\n"
        "Proxy-Authorization: Basic Z2VoZWlt\r\nX-Forwarded-For: 10.0.0.1\r\n\r\n"
    ).encode()


async def test_a_request_in_absolute_form(stage: Stage) -> None:
    server = await stage.h1_server(secure=False)
    await stage.forward()
    wire = await stage.wire()
    await wire.send(absolute(server.port, "/Users/1?a=http://x#y"))
    assert await wire.message() == OK
    head = server.seen[0].split(b"\r\n")
    assert head[0] == b"GET /Users/1?a=http://x HTTP/1.1"
    assert value_of(server.seen[0], b"host") == f"127.0.0.1:{server.port}".encode()
    assert value_of(server.seen[0], b"x-forwarded-for") == b"10.0.0.1"  # the client's own; nothing is added
    assert {value_of(server.seen[0], name) for name in (b"forwarded", b"proxy-authorization")} == {None}
    (exchange,) = await recorded(stage)
    assert (exchange.scheme, exchange.host) == ("http", f"127.0.0.1:{server.port}")
    assert (exchange.request.target, exchange.upstream_request_target) == ("/Users/1?a=http://x", None)
    assert exchange.upstream_address == f"127.0.0.1:{server.port}"


async def test_one_connection_to_several_servers(stage: Stage) -> None:
    first, second = await stage.h1_server(secure=False), await stage.h1_server(secure=False)
    await stage.forward()
    wire = await stage.wire()
    for port in (first.port, second.port, first.port):
        await wire.send(absolute(port))
        assert await wire.message() == OK
    assert (first.connections, second.connections) == (1, 1)
    exchanges = await recorded(stage, 3)
    assert [one.upstream_index for one in exchanges] == [1, 1, 2]
    assert [one.client_index for one in exchanges] == [1, 2, 3]


async def test_tls_is_opened_and_both_handshakes_are_recorded(stage: Stage) -> None:
    server = await stage.h1_server()
    await stage.forward()
    wire = await stage.secured(server.port, "http/1.1")
    for _ in range(2):
        await wire.send(ASK)
        assert await wire.message() == OK
    assert value_of(server.seen[0], b"authorization") == b"Bearer geheim"
    first, second = await recorded(stage, 2)
    assert (first.scheme, first.host, first.request.target) == ("https", "localhost", "/Users/1")
    assert first.client_connection is not None
    assert first.client_connection.tls is not None
    assert (first.client_connection.tls.version, first.client_connection.tls.sni) == ("TLSv1.3", "localhost")
    assert first.client_connection.tls.alpn == "http/1.1"
    assert first.upstream_connection is not None
    assert first.upstream_connection.tls is not None
    assert first.upstream_connection.tls.chain[0].names == ("localhost",)
    assert first.upstream_connection.tls.alpn is None
    assert first.timings.tls is not None
    assert (second.upstream_index, second.timings.tls) == (2, None)


async def test_the_certificate_is_for_the_name_that_the_client_wants(stage: Stage) -> None:
    """A CONNECT by address and a handshake by name: the name counts, on both sides."""
    server = await stage.h1_server()
    await stage.forward()
    wire = await stage.connect(server.port, "127.0.0.1")
    async with asyncio.timeout(PATIENCE_S):
        await wire.writer.start_tls(stage.trusting(), server_hostname="localhost")
    await wire.send(ASK)
    assert await wire.message() == OK
    (exchange,) = await recorded(stage)
    assert exchange.upstream_connection is not None
    assert exchange.upstream_connection.server_name == "localhost"


async def test_a_client_hello_sent_ahead(stage: Stage) -> None:
    """What follows a CONNECT without waiting for its answer is not lost."""
    server = await stage.h1_server()
    await stage.forward()
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    wire = await stage.wire()
    await wire.send(b"")
    assert stage.engine.authority is not None
    tls = stage.trusting().wrap_bio(incoming, outgoing, server_hostname="localhost")
    with pytest.raises(ssl.SSLWantReadError):
        tls.do_handshake()
    await wire.send(f"CONNECT localhost:{server.port} HTTP/1.1\r\nHost: x\r\n\r\n".encode() + outgoing.read())
    assert (await wire.until(b"\r\n\r\n")).startswith(b"HTTP/1.1 200 ")
    while True:
        try:
            tls.do_handshake()
            break
        except ssl.SSLWantReadError:
            await wire.send(outgoing.read())
            async with asyncio.timeout(PATIENCE_S):
                incoming.write(await wire.reader.read(65536))
    assert tls.version() == "TLSv1.3"


async def test_plain_http_inside_a_tunnel(stage: Stage) -> None:
    server = await stage.h1_server(secure=False)
    await stage.forward()
    wire = await stage.connect(server.port)
    await wire.send(ASK)
    assert await wire.message() == OK
    (exchange,) = await recorded(stage)
    assert (exchange.scheme, exchange.host) == ("http", "localhost")


async def test_absolute_form_and_then_a_tunnel(stage: Stage) -> None:
    plain, secure = await stage.h1_server(secure=False), await stage.h1_server()
    await stage.forward()
    wire = await stage.wire()
    await wire.send(absolute(plain.port))
    assert await wire.message() == OK
    await wire.send(f"CONNECT localhost:{secure.port} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
    assert (await wire.until(b"\r\n\r\n")).startswith(b"HTTP/1.1 200 ")
    async with asyncio.timeout(PATIENCE_S):
        await wire.writer.start_tls(stage.trusting(), server_hostname="localhost")
    await wire.send(ASK)
    assert await wire.message() == OK
    assert [one.scheme for one in await recorded(stage, 2)] == ["http", "https"]


# -- what is not wanted


async def test_a_tunnel_to_another_host_is_left_alone(stage: Stage) -> None:
    server = await stage.h1_server()
    await stage.forward("api.example.com")
    wire = await stage.secured(server.port, ca=stage.upstream_ca)  # the server's own certificate comes through
    await wire.send(ASK)
    assert await wire.message() == OK
    wire.close()
    await stage.engine.stop()
    assert stage.recorder.exchanges == stage.recorder.pendings == stage.recorder.losses == []


async def test_a_plain_request_to_another_host_passes_unrecorded(stage: Stage) -> None:
    other, wanted = await stage.h1_server(secure=False), await stage.h1_server(secure=False)
    await stage.forward(f"127.0.0.1:{wanted.port}", pending_after_ms=0)
    wire = await stage.wire()
    for port in (other.port, wanted.port, other.port):
        await wire.send(absolute(port))
        assert await wire.message() == OK
    (exchange,) = await recorded(stage)
    assert exchange.host == f"127.0.0.1:{wanted.port}"
    assert {one.host for one in stage.recorder.pendings} <= {exchange.host}


async def test_a_tunnel_to_another_host_that_is_not_there(stage: Stage) -> None:
    server = await stage.h1_server()
    await server.stop()
    await stage.forward("api.example.com")
    wire = await stage.wire()
    await wire.send(f"CONNECT localhost:{server.port} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
    answer = await wire.message()
    assert answer.startswith(b"HTTP/1.1 502 ")
    assert "refuses connections" in json.loads(body_of(answer))["detail"]
    assert stage.recorder.exchanges == []


# -- failures


async def test_a_client_that_does_not_trust_us(stage: Stage) -> None:
    server = await stage.h1_server()
    await stage.forward()
    with pytest.raises((ssl.SSLError, ConnectionError)):
        await stage.secured(server.port, ca=stage.upstream_ca)
    (exchange,) = await recorded(stage)
    assert (exchange.request.method, exchange.request.target) == ("CONNECT", f"localhost:{server.port}")
    assert exchange.failure is not None
    assert (exchange.failure.kind, exchange.failure.side, exchange.response) == ("tls", "client", None)
    assert "`scimproxy ca`" in exchange.failure.message
    assert server.connections == 0


async def test_a_server_that_is_not_trusted(stage: Stage) -> None:
    server = await stage.h1_server()
    await stage.forward(upstream_ca=None)
    wire = await stage.secured(server.port)
    await wire.send(ASK)
    answer = await wire.message()
    assert answer.startswith(b"HTTP/1.1 502 ")
    (exchange,) = await recorded(stage)
    assert exchange.failure is not None
    assert (exchange.failure.kind, exchange.failure.side) == ("tls", "upstream")
    assert "--upstream-ca" in exchange.failure.message
    assert server.seen == []


async def test_a_server_with_another_name(stage: Stage) -> None:
    server = await stage.h1_server()
    await stage.forward()
    wire = await stage.secured(server.port, host="127.0.0.1")
    await wire.send(ASK)
    assert (await wire.message()).startswith(b"HTTP/1.1 502 ")
    (exchange,) = await recorded(stage)
    assert exchange.failure is not None
    assert "its certificate is for another" in exchange.failure.message
    assert "'127.0.0.1'" in exchange.failure.message


async def test_a_server_that_need_not_be_trusted(stage: Stage) -> None:
    server = await stage.h1_server()
    await stage.forward(upstream_ca=None, insecure_upstream=True)
    wire = await stage.secured(server.port, host="127.0.0.1")
    await wire.send(ASK)
    assert await wire.message() == OK


async def test_a_server_that_is_not_there(stage: Stage) -> None:
    server = await stage.h1_server()
    await server.stop()
    await stage.forward()
    wire = await stage.secured(server.port)
    await wire.send(ASK)
    assert (await wire.message()).startswith(b"HTTP/1.1 502 ")
    (exchange,) = await recorded(stage)
    assert exchange.failure is not None
    assert exchange.failure.kind == "refused"
    assert exchange.failure.message.startswith(f"https://localhost:{server.port} refuses connections")


async def test_a_server_that_hangs_up(stage: Stage) -> None:
    async def script(wire: Wire) -> None:
        await wire.message()
        await wire.send(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhalf")

    server = await stage.h1_server(script)
    await stage.forward()
    wire = await stage.secured(server.port)
    await wire.send(ASK)
    assert (await wire.message()).startswith(b"HTTP/1.1 502 ")
    (exchange,) = await recorded(stage)
    assert exchange.failure is not None
    assert (exchange.failure.kind, exchange.failure.phase) == ("closed", "receive")


async def test_a_client_that_goes_away(stage: Stage) -> None:
    asked = asyncio.Event()

    async def script(wire: Wire) -> None:
        await wire.message()
        asked.set()
        await wire.reader.read()

    server = await stage.h1_server(script)
    await stage.forward()
    wire = await stage.secured(server.port)
    await wire.send(ASK)
    await asked.wait()
    wire.reset()
    (exchange,) = await recorded(stage)
    assert exchange.failure is not None
    assert (exchange.failure.kind, exchange.failure.side) == ("closed", "client")


@pytest.mark.parametrize("how", ["absolute", "other spelling", "tunnel", "tls"])
async def test_round_in_circles(stage: Stage, how: str) -> None:
    await stage.forward()
    port = stage.address.port
    if how in {"absolute", "other spelling"}:
        wire = await stage.wire()
        await wire.send(absolute(port, host="127.0.0.1" if how == "absolute" else "localhost"))
    elif how == "tunnel":
        wire = await stage.connect(port, "127.0.0.1")
        await wire.send(ASK)
    else:
        wire = await stage.secured(port)
        await wire.send(ASK)
    assert (await wire.message()).startswith(b"HTTP/1.1 403 ")
    (exchange,) = await recorded(stage)
    assert exchange.failure is not None
    assert exchange.failure.kind == "blocked"
    assert "scimproxy itself" in exchange.failure.message


async def test_an_unwanted_tunnel_in_circles(stage: Stage) -> None:
    await stage.forward("api.example.com")
    wire = await stage.wire()
    await wire.send(f"CONNECT 127.0.0.1:{stage.address.port} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
    assert (await wire.message()).startswith(b"HTTP/1.1 403 ")


@pytest.mark.parametrize(
    ("request_", "words"),
    [
        (b"GET /Users HTTP/1.1\r\nHost: h\r\n\r\n", "this is a forward proxy"),
        (b"GET http:///Users HTTP/1.1\r\nHost: h\r\n\r\n", "names no server"),
        (b"GET http://h:99999/ HTTP/1.1\r\nHost: h\r\n\r\n", "names no server"),
        (b"CONNECT nothing HTTP/1.1\r\nHost: h\r\n\r\n", "does not name a host and a port"),
        (b"CONNECT h:0 HTTP/1.1\r\nHost: h\r\n\r\n", "does not name a host and a port"),
        (b"CONNECT h:443 HTTP/1.1\r\nHost: h\r\nContent-Length: 1\r\n\r\nx", "with a body"),
        (b"CONNECT u:p@h:443 HTTP/1.1\r\nHost: h\r\n\r\n", "does not name a host and a port"),
    ],
)
async def test_requests_that_lead_nowhere(stage: Stage, request_: bytes, words: str) -> None:
    await stage.forward()
    wire = await stage.wire()
    await wire.send(request_)
    answer = await wire.message()
    assert answer.startswith(b"HTTP/1.1 400 ")
    assert words in json.loads(body_of(answer))["detail"]
    (exchange,) = await recorded(stage)
    assert exchange.failure is not None
    assert (exchange.failure.kind, exchange.origin) == ("blocked", "proxy")


async def test_a_tunnel_that_holds_neither_tls_nor_http(stage: Stage) -> None:
    server = await stage.h1_server()
    await stage.forward()
    wire = await stage.connect(server.port)
    await wire.send(b"\x00\x01\x02\r\n\r\n")
    assert (await wire.message()).startswith(b"HTTP/1.1 400 ")
    assert server.connections == 0


async def test_a_tunnel_that_is_closed_at_once(stage: Stage) -> None:
    await stage.forward()
    wire = await stage.connect(1)
    wire.writer.write_eof()
    assert await wire.rest() == b""


# -- record before respond


async def test_the_last_byte_waits_for_the_commit(stage: Stage) -> None:
    server = await stage.h1_server()
    await stage.forward()
    stage.recorder.hold("/Users/1")
    held = await stage.secured(server.port)
    await held.send(ASK)
    await stage.recorder.entered.wait()
    other = await stage.secured(server.port)
    await other.send(ASK.replace(b"/Users/1", b"/Users/2"))
    assert await other.message() == OK
    assert held.waiting() == b""
    stage.recorder.release()
    assert await held.message() == OK


async def test_what_cannot_be_recorded_is_withheld(stage: Stage) -> None:
    server = await stage.h1_server()
    await stage.forward()
    wire = await stage.secured(server.port)
    stage.recorder.error = StoreError("the disk is gone")
    await wire.send(ASK)
    assert (await wire.message()).startswith(b"HTTP/1.1 507 ")


async def test_the_end_of_tls_is_said(stage: Stage) -> None:
    """An HTTP/1.0 answer ends with its connection: without close_notify a client takes it for cut (RFC 8446 6.1)."""

    async def script(wire: Wire) -> None:
        await wire.message()
        await wire.send(b"HTTP/1.0 200 OK\r\n\r\nto the end")

    server = await stage.h1_server(script)
    await stage.forward()
    wire = await stage.secured(server.port)
    await wire.send(b"GET / HTTP/1.0\r\nHost: localhost\r\n\r\n")
    assert (await wire.rest()).endswith(b"\r\n\r\nto the end")
