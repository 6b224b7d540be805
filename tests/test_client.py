"""The client against small servers that answer with bytes: what goes out, what comes back, what is said of failures."""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
import trustme
from factories import request

from scimproxy.client import Client
from scimproxy.errors import UsageError
from scimproxy.exchange import Headers, Request

OK = b"HTTP/1.1 200 Fine\r\nContent-Type: application/scim+json\r\nX-A: 1\r\nX-A: 2\r\nContent-Length: 2\r\n\r\n{}"


class Server:
    """Answers each request with the next of its answers, and keeps what it was sent."""

    def __init__(self, *answers: bytes) -> None:
        self.answers = list(answers)
        self.heads: list[bytes] = []
        self.bodies: list[bytes] = []
        self.connections = 0
        self.port = 0

    async def talk(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        try:
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                self.heads.append(head)
                length = 0
                for line in head.split(b"\r\n"):
                    if line.lower().startswith(b"content-length:"):
                        length = int(line.split(b":")[1])
                self.bodies.append(await reader.readexactly(length))
                answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
                if not answer:
                    break
                writer.write(answer)
                await writer.drain()
                if b"Connection: close" in answer or b"Content-Length" not in answer:
                    break
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()


@asynccontextmanager
async def serving(*answers: bytes, tls: ssl.SSLContext | None = None) -> AsyncIterator[Server]:
    server = Server(*answers)
    listening = await asyncio.start_server(server.talk, "127.0.0.1", 0, ssl=tls)
    server.port = listening.sockets[0].getsockname()[1]
    try:
        yield server
    finally:
        listening.close()


async def test_the_target_and_the_headers_go_out_as_given() -> None:
    sent = Request(
        "GET",
        "/scim/v2/Users?filter=userName%20eq%20%22a+b%22&x=%7e//../y",
        headers=Headers([("accept", "application/scim+json"), ("X-Twice", "1"), ("X-Twice", "2")]),
    )
    async with serving(OK) as server, Client() as client:
        exchange = await client.send(sent, f"http://127.0.0.1:{server.port}")
    lines = server.heads[0].split(b"\r\n")
    assert lines[0] == b"GET /scim/v2/Users?filter=userName%20eq%20%22a+b%22&x=%7e//../y HTTP/1.1"
    assert b"accept: application/scim+json" in lines
    assert [line for line in lines if line.startswith(b"X-Twice")] == [b"X-Twice: 1", b"X-Twice: 2"]
    assert not any(line.lower().startswith((b"user-agent", b"accept-encoding", b"cookie")) for line in lines)
    assert exchange.failure is None
    assert exchange.request.headers.get("Host") == f"127.0.0.1:{server.port}"
    answer = exchange.response
    assert answer is not None
    assert (answer.status_code, answer.reason, answer.http_version) == (200, "Fine", "1.1")
    assert answer.headers.pairs[1:3] == (("X-A", "1"), ("X-A", "2"))
    assert answer.content.data == b"{}"


async def test_connection_and_timings_are_told() -> None:
    async with serving(OK) as server, Client() as client:
        origin = f"http://127.0.0.1:{server.port}"
        first = await client.send(request(headers={"Host": "scim.example"}), origin)
        second = await client.send(request("POST", body={"a": 1}), origin)
    assert server.connections == 1
    assert server.bodies == [b"", b'{"a": 1}']
    assert b"Host: scim.example" in server.heads[0]
    one, two = first.upstream_connection, second.upstream_connection
    assert one is not None
    assert two is not None
    assert one.uid == two.uid
    assert (one.peer_host, one.peer_port) == ("127.0.0.1", server.port)
    assert (first.upstream_index, second.upstream_index, two.exchanges) == (1, 2, 2)
    assert first.timings.connect is not None
    assert second.timings.connect is None
    for timings in (first.timings, second.timings):
        assert None not in {timings.send, timings.wait, timings.receive, timings.total}
    assert first.upstream_address == f"127.0.0.1:{server.port}"
    assert first.client == "scimproxy"


async def test_redirects_are_not_followed_and_cookies_not_kept() -> None:
    moved = (
        b"HTTP/1.1 302 Found\r\nLocation: /elsewhere\r\nSet-Cookie: a=b\r\nContent-Length: 0\r\n"
        b"Content-Encoding: gzip\r\n\r\n"
    )
    async with serving(moved) as server, Client() as client:
        for _ in range(2):
            exchange = await client.send(request(), f"http://127.0.0.1:{server.port}")
            assert exchange.response is not None
            assert exchange.response.status_code == 302
    assert len(server.heads) == 2
    assert not any(b"Cookie" in head for head in server.heads)


async def test_cookies_are_kept_when_asked() -> None:
    cookie = b"HTTP/1.1 200 OK\r\nSet-Cookie: a=b; Path=/\r\nContent-Length: 0\r\n\r\n"
    async with serving(cookie) as server, Client(cookies=True) as client:
        await client.send(Request("GET", "/"), f"http://127.0.0.1:{server.port}")
        await client.send(Request("GET", "/"), f"http://127.0.0.1:{server.port}")
    assert b"Cookie: a=b" in server.heads[1]


async def test_contents_are_kept_as_they_came_and_bounded() -> None:
    long = b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n" + b"x" * 1000
    async with serving(long) as server, Client(max_content=100) as client:
        exchange = await client.send(request(), f"http://127.0.0.1:{server.port}")
    assert exchange.response is not None
    content = exchange.response.content
    assert (len(content.data), content.size, content.truncated) == (100, 1000, True)


async def test_tls_is_verified_or_not(tmp_path: Path) -> None:
    ca = trustme.CA()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    ca.issue_cert("127.0.0.1").configure_cert(context)
    ca.cert_pem.write_to_path(tmp_path / "ca.pem")
    async with serving(OK, tls=context) as server:
        origin = f"https://127.0.0.1:{server.port}"
        async with Client() as client:
            refused = await client.send(request(), origin)
        async with Client(verify_tls=False) as client:
            blind = await client.send(request(), origin)
        async with Client(ca=tmp_path / "ca.pem") as client:
            trusting = await client.send(request(), origin)
    assert refused.failure is not None
    assert (refused.failure.kind, refused.failure.phase) == ("tls", "tls")
    assert "not trusted" in refused.failure.message
    for exchange in (blind, trusting):
        assert exchange.response is not None
        assert exchange.upstream_connection is not None
        assert exchange.upstream_connection.tls is not None
        assert exchange.upstream_connection.tls.version == "TLSv1.3"


def test_a_bad_file_of_certificates_is_refused(tmp_path: Path) -> None:
    (tmp_path / "ca.pem").write_text("nothing")
    with pytest.raises(UsageError, match="holds no certificates"):
        Client(ca=tmp_path / "ca.pem")


def closed_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


FAILURES: list[tuple[bytes, str, str, str]] = [
    (b"", "closed", "wait", "closed the connection without an answer"),
    (b"nonsense\r\n\r\n", "protocol", "wait", "is not HTTP"),
    (b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\nConnection: close\r\n\r\nhalf", "closed", "receive", "broke off"),
]


@pytest.mark.parametrize(("answer", "kind", "phase", "words"), FAILURES)
async def test_failures_of_the_wire_are_data(answer: bytes, kind: str, phase: str, words: str) -> None:
    async with serving(answer) as server, Client() as client:
        exchange = await client.send(request("POST", body=b"x"), f"http://127.0.0.1:{server.port}")
    assert exchange.failure is not None
    assert (exchange.failure.kind, exchange.failure.phase) == (kind, phase)
    assert words in exchange.failure.message
    assert exchange.ended_at is not None
    assert (exchange.response is not None) == (phase == "receive")


async def test_nobody_listens() -> None:
    async with Client() as client:
        exchange = await client.send(request(), f"http://127.0.0.1:{closed_port()}")
    assert exchange.failure is not None
    assert (exchange.failure.kind, exchange.failure.phase) == ("refused", "connect")
    assert exchange.response is None
    assert exchange.origin is None


@asynccontextmanager
async def silent(first: bytes) -> AsyncIterator[int]:
    """Listen, read the request, send the beginning of an answer, and nothing more until the end."""
    over = asyncio.Event()

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(first)
        await over.wait()
        writer.close()

    listening = await asyncio.start_server(talk, "127.0.0.1", 0)
    try:
        yield listening.sockets[0].getsockname()[1]
    finally:
        over.set()
        listening.close()


@pytest.mark.parametrize(
    ("first", "phase"), [(b"", "wait"), (b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nha", "receive")]
)
async def test_silence_ends_with_the_time_limit(first: bytes, phase: str) -> None:
    async with silent(first) as port, Client(timeout_s=0.2) as client:
        exchange = await client.send(request(), f"http://127.0.0.1:{port}")
    assert exchange.failure is not None
    assert (exchange.failure.kind, exchange.failure.phase) == ("timeout", phase)


@pytest.mark.parametrize(
    ("bad", "origin"),
    [
        (Request("GET", "/", headers=Headers([("X", "a\r\nb")])), "http://127.0.0.1:1"),
        (Request("GE T", "/"), "http://127.0.0.1:1"),
        (Request("GET", "/"), "http://127.0.0.1:99999"),
        (Request("GET", "@127.0.0.1:2/"), "http://127.0.0.1:1"),
        (Request("GET", "/"), "gopher://127.0.0.1"),
        (Request("GET", "/"), "http://"),
    ],
    ids=["line end in a header", "bad method", "bad port", "another host", "odd scheme", "no host"],
)
async def test_what_cannot_be_sent_is_a_failure_too(bad: Request, origin: str) -> None:
    async with Client() as client:
        exchange = await client.send(bad, origin)
    assert exchange.failure is not None
    assert exchange.failure.kind in {"protocol", "refused", "unreachable"}
    assert exchange.failure.phase == "request" or bad.target == "/"
    assert exchange.response is None


async def test_a_name_that_does_not_exist(monkeypatch: pytest.MonkeyPatch) -> None:
    async def unknown(*_: object, **__: object) -> None:
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    monkeypatch.setattr(asyncio.get_running_loop(), "getaddrinfo", unknown)
    async with Client() as client:
        exchange = await client.send(request(), "http://no-such-host.invalid:80")
    assert exchange.failure is not None
    assert exchange.failure.kind == "dns"


async def _twice_over_tls(folder: Path) -> list[int | None]:
    authority = trustme.CA()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(context)
    authority.cert_pem.write_to_path(str(folder / "ca.pem"))
    async with serving(OK, tls=context) as server, Client(ca=folder / "ca.pem") as client:
        origin = f"https://127.0.0.1:{server.port}"
        return [(await client.send(request(), origin)).upstream_index for _ in range(2)]


def test_a_connection_over_tls_is_known_again_in_every_event_loop(tmp_path: Path) -> None:
    from scimproxy.app import run_in_loop

    assert run_in_loop(_twice_over_tls(tmp_path)) == [1, 2]  # uvloop, where it exists
    assert asyncio.run(_twice_over_tls(tmp_path)) == [1, 2]
