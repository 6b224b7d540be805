"""Host, forwarding fields, base paths and addresses inside answers, as they travel through an engine."""

from __future__ import annotations

import json

import pytest
from conformance.rig import GET, OK, Rigs, answering, body_of, head_of, value_of

from scimproxy.exchange import Rewrite


async def test_host_is_the_upstreams(rigs: Rigs) -> None:
    rig = await rigs()
    await rig.ask()
    assert value_of(rig.upstream.seen[0], b"host") == f"127.0.0.1:{rig.upstream.port}".encode()
    exchange = await rig.recorder.one()
    assert exchange.host == "public.example"
    assert exchange.scheme == "http"


async def test_host_is_kept(rigs: Rigs) -> None:
    rig = await rigs(preserve_host=True)
    await rig.ask()
    assert value_of(rig.upstream.seen[0], b"host") == b"public.example"


FORGED = (
    b"GET /Users HTTP/1.1\r\nHost: public.example\r\nX-Forwarded-For: 1.1.1.1, 2.2.2.2\r\nX-Forwarded-Proto: https\r\n"
    b"X-Forwarded-Host: evil.example\r\nForwarded: for=3.3.3.3\r\nX-Real-IP: 4.4.4.4\r\n\r\n"
)


async def test_a_clients_own_forwarding_fields_are_a_claim(rigs: Rigs) -> None:
    rig = await rigs()
    await rig.ask(FORGED)
    seen = rig.upstream.seen[0]
    assert value_of(seen, b"x-forwarded-for") == b"127.0.0.1"
    assert value_of(seen, b"x-forwarded-proto") == b"http"
    assert value_of(seen, b"x-forwarded-host") == b"public.example"
    assert value_of(seen, b"forwarded") == b'for=127.0.0.1;host="public.example";proto=http'
    assert value_of(seen, b"x-real-ip") is None
    exchange = await rig.recorder.one()
    assert exchange.client_address == "127.0.0.1"
    assert exchange.client_claim is not None
    assert "1.1.1.1" in exchange.client_claim
    assert exchange.request.headers.get("x-forwarded-for") == "1.1.1.1, 2.2.2.2"


async def test_the_last_value_is_believed_where_the_tunnel_vouches(rigs: Rigs) -> None:
    rig = await rigs(vouches_for_client=True, public_origin="https://abc.example")
    await rig.ask(FORGED)
    seen = rig.upstream.seen[0]
    assert value_of(seen, b"x-forwarded-for") == b"2.2.2.2"
    assert value_of(seen, b"x-forwarded-proto") == b"https"
    assert value_of(seen, b"x-forwarded-host") == b"abc.example"
    exchange = await rig.recorder.one()
    assert exchange.client_address == "2.2.2.2"
    assert exchange.scheme == "https"
    assert exchange.client_claim is not None
    assert "1.1.1.1" in exchange.client_claim
    assert "2.2.2.2" not in exchange.client_claim


async def test_a_base_path_is_public_as_it_is(rigs: Rigs) -> None:
    rig = await rigs(base_path="/scim/v2")
    assert await rig.ask(b"GET /scim/v2/Users?x=1 HTTP/1.1\r\nHost: h\r\n\r\n") == OK
    assert head_of(rig.upstream.seen[0])[0] == b"GET /scim/v2/Users?x=1 HTTP/1.1"
    exchange = await rig.recorder.one()
    assert exchange.upstream_request_target is None


@pytest.mark.parametrize(
    ("public", "asked", "sent"),
    [
        ("", b"/Users?x=1", b"/scim/v2/Users?x=1"),
        ("/secret", b"/secret/Users/a%2Fb", b"/scim/v2/Users/a%2Fb"),
        ("/secret", b"/secret", b"/scim/v2"),
    ],
)
async def test_a_public_path_of_its_own(rigs: Rigs, public: str, asked: bytes, sent: bytes) -> None:
    rig = await rigs(base_path="/scim/v2", public_path=public)
    assert await rig.ask(b"GET %b HTTP/1.1\r\nHost: h\r\n\r\n" % asked) == OK
    assert head_of(rig.upstream.seen[0])[0] == b"GET %b HTTP/1.1" % sent
    exchange = await rig.recorder.one()
    assert exchange.request.target == asked.decode()
    assert exchange.upstream_request_target == sent.decode()


@pytest.mark.parametrize(
    ("path", "status"),
    [
        (b"/other", 404),
        (b"/scim/v2x/Users", 404),
        (b"/scim/v2/../admin", 400),
        (b"/scim/v2/%2e%2e/admin", 400),
        (b"/scim/v2/Users/..%2f..%2fadmin", 400),
        (b"/scim/v2/%252e%252e/admin", 400),
        (b"/scim/v2/..\\admin", 400),
        (b"//scim/v2/Users", 404),
    ],
)
async def test_nothing_outside_the_base_path_is_passed_on(rigs: Rigs, path: bytes, status: int) -> None:
    rig = await rigs(base_path="/scim/v2")
    client = await rig.client()
    await client.send(b"POST %b HTTP/1.1\r\nHost: h\r\nContent-Length: 2\r\n\r\nhi" % path)
    got = await client.message()
    assert got.startswith(b"HTTP/1.1 %d " % status)
    assert rig.upstream.connections == 0
    exchange = await rig.recorder.one()
    assert exchange.failure is not None
    assert exchange.failure.kind == "blocked"
    assert exchange.request.content.data == b"hi"
    await client.send(b"GET /scim/v2/Users HTTP/1.1\r\nHost: h\r\n\r\n")
    assert await client.message() == OK


def located(rig_port: int) -> bytes:
    body = json.dumps(
        {
            "id": "1",
            "meta": {"location": f"http:@@127.0.0.1:{rig_port}@scim@v2@Users@1"},
            "groups": [{"$ref": f"http://localhost:{rig_port}/scim/v2/Groups/2"}],
            "n": 1.0,
        },
        indent=3,
    ).replace("@", "\\/")
    return (
        b"HTTP/1.1 201 Created\r\nContent-Type: application/scim+json\r\nLocation: http://127.0.0.1:%d/scim/v2/Users/1\r\n"
        b"Content-Length: %d\r\n\r\n%b"
    ) % (rig_port, len(body), body.encode())


@pytest.mark.parametrize("rewrite", [False, True])
async def test_private_addresses_are_rewritten_only_when_asked(rigs: Rigs, rewrite: bool) -> None:
    rig = await rigs(base_path="/scim/v2", public_path="/p", rewrite_locations=rewrite)
    answer = located(rig.upstream.port)
    rig.upstream.script = answering(answer)
    got = await rig.ask(
        b"POST /p/Users HTTP/1.1\r\nHost: public.example\r\nAccept-Encoding: gzip\r\nContent-Length: 0\r\n\r\n"
    )
    exchange = await rig.recorder.one()
    accepted = value_of(rig.upstream.seen[0], b"accept-encoding")
    if not rewrite:
        assert got == answer
        assert exchange.rewrites == ()
        assert accepted == b"gzip"
        return
    assert accepted == b"identity"
    private = f"http://127.0.0.1:{rig.upstream.port}/scim/v2"
    expected = answer.replace(private.replace("/", "\\/").encode(), b"http:\\/\\/public.example\\/p")
    expected = expected.replace(private.encode(), b"http://public.example/p")
    expected = expected.replace(private.replace("127.0.0.1", "localhost").encode(), b"http://public.example/p")
    assert body_of(got) == body_of(expected)
    assert value_of(got, b"location") == b"http://public.example/p/Users/1"
    assert value_of(got, b"content-length") == str(len(body_of(expected))).encode()
    assert json.loads(body_of(got))["n"] == 1.0
    assert exchange.rewrites == (
        Rewrite("header:Location", f"{private}/Users/1", "http://public.example/p/Users/1"),
        Rewrite("/meta/location", f"{private}/Users/1", "http://public.example/p/Users/1"),
        Rewrite(
            "/groups/0/$ref",
            f"http://localhost:{rig.upstream.port}/scim/v2/Groups/2",
            "http://public.example/p/Groups/2",
        ),
    )
    assert exchange.response is not None
    assert exchange.response.content.data == body_of(got)
    assert exchange.upstream_response_headers is not None
    assert exchange.upstream_response_headers.get("location") == f"{private}/Users/1"


async def test_the_public_origin_is_used_where_it_is_known(rigs: Rigs) -> None:
    rig = await rigs(rewrite_locations=True, public_origin="https://abc.example")
    rig.upstream.script = answering(
        b"HTTP/1.1 302 Found\r\nLocation: http://127.0.0.1:%d/Users/1\r\nContent-Length: 0\r\n\r\n"
        % rig.upstream.port
    )
    assert value_of(await rig.ask(GET), b"location") == b"https://abc.example/Users/1"


async def test_a_public_origin_that_is_told_later_counts_from_then_on(rigs: Rigs) -> None:
    rig = await rigs()
    wire = await rig.client()
    await wire.send(FORGED)
    await wire.message()
    rig.engine.publish("https://abc.example", vouches_for_client=True)
    assert rig.engine.options.public_origin == "https://abc.example"
    await wire.send(FORGED)  # on the same connection, byte for byte the same head
    await wire.message()
    before, after = rig.upstream.seen
    assert value_of(before, b"x-forwarded-for") == b"127.0.0.1"
    assert value_of(after, b"x-forwarded-for") == b"2.2.2.2"
    assert value_of(after, b"x-forwarded-host") == b"abc.example"
    assert value_of(after, b"x-forwarded-proto") == b"https"
