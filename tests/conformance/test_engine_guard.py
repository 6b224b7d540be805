"""The guard as every engine obeys it: who does not pass is answered and recorded, and the upstream hears nothing."""

from __future__ import annotations

import asyncio
import json
import socket
from contextlib import closing
from ipaddress import ip_network
from typing import Any

import pytest
from conformance.rig import OK, PATIENCE_S, Rig, Rigs, Wire, answer_all, answering, body_of, head_of, value_of
from hostile import HOSTILE, TOKEN, honest
from listeners import free_port

from scimproxy.errors import StoreFull
from scimproxy.exchange import Exchange
from scimproxy.hiding import Hiding
from scimproxy.proxy.engine import GuardOptions, Target
from scimproxy.proxy.guard import probe_nonce, probe_proof

SECRET = "0123456789abcdef0123456789abcdef"
KEY = bytes(range(32))


async def guarded(rigs: Rigs, *args: Any, origin: str | None = "https://public.example", **fields: Any) -> Rig:
    engine = ("vouches_for_client", "rewrite_locations", "head_timeout_s")
    more = {name: fields.pop(name) for name in engine if name in fields}
    return await rigs(*args, base_path="/scim/v2", public_origin=origin, guard=GuardOptions(**fields), **more)


def told(message: bytes) -> dict[str, Any]:
    """The SCIM error of an answer (RFC 7644 section 3.12), which says that the proxy made it."""
    error: dict[str, Any] = json.loads(body_of(message))
    assert error["schemas"] == ["urn:ietf:params:scim:api:messages:2.0:Error"]
    assert value_of(message, b"content-type") == b"application/scim+json"
    assert value_of(message, b"scimproxy-origin") == b"proxy"
    assert error["status"] == head_of(message)[0].split(b" ")[1].decode()
    return error


UNREADABLE = frozenset(
    {"http/0.9", "a space in the target", "a tab in the line", "a TLS hello", "a head too long", "a target too long"}
)


async def last(rig: Rig, count: int) -> Exchange:
    await rig.recorder.wait_until(lambda: len(rig.recorder.exchanges) >= count)
    assert len(rig.recorder.exchanges) == count
    return rig.recorder.exchanges[-1]


async def test_no_hostile_request_reaches_anybody(rigs: Rigs) -> None:
    assert len(HOSTILE) >= 150
    rig = await guarded(rigs, token=TOKEN, max_body=1000, mark="feedfeedfeedfeed", probe_key=KEY, head_timeout_s=2.0)
    with closing(socket.create_server(("127.0.0.1", 0))) as inspector:
        port = str(inspector.getsockname()[1]).encode()
        recorded = 0
        for name, raw in HOSTILE.items():
            client = await rig.client()
            await client.send(raw.replace(b"{inspector}", port))
            got = await client.message(bodiless=raw.startswith(b"HEAD"))
            assert 400 <= int(got[9:12]) <= 599, (name, got)
            assert told(got)["detail"], name
            client.close()
            assert rig.upstream.connections == 0, name
            if name in UNREADABLE and rigs.name == "mitmproxy":  # it records only what is a request
                continue
            recorded += 1
            exchange = await last(rig, recorded)
            assert exchange.failure is not None, name
            assert exchange.failure.kind in {"blocked", "protocol"}, (name, exchange.failure)
            assert exchange.failure.message, name
            assert exchange.upstream_request_target is None, name
        assert recorded >= 150
        inspector.settimeout(0)
        with pytest.raises(BlockingIOError):
            inspector.accept()
    assert rig.recorder.losses == []
    for raw in (
        honest(),
        honest("GET /scim/v2/Users/a%2Fb?filter=userName%20eq%20%22../..%22 HTTP/1.1"),
        honest("GET /sc%69m/v2/Users HTTP/1.1", host="PUBLIC.example:443"),
        honest("POST /scim/v2/Users HTTP/1.1", body=b"x" * 1000),
        honest("DELETE /scim/v2/Users/1 HTTP/1.1", host="127.0.0.1:8080"),
        honest("POST /scim/v2/Bulk HTTP/1.1", fields="Transfer-Encoding: chunked\r\n") + b"2\r\nhi\r\n0\r\n\r\n",
    ):
        assert await rig.ask(raw) == OK, raw


@pytest.mark.parametrize(
    ("raw", "status", "field"),
    [
        (honest("TRACE /scim/v2/Users HTTP/1.1"), 405, (b"allow", b"GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS")),
        (honest("GET /admin HTTP/1.1"), 404, None),
        (honest("GET /scim/v2/../x HTTP/1.1"), 400, None),
        (honest(host="evil.example"), 421, None),
        (honest(fields="Scimproxy-Via: feed\r\n"), 508, None),
        (
            b"GET /scim/v2 HTTP/1.1\r\nHost: public.example\r\n\r\n",
            401,
            (b"www-authenticate", b'Bearer realm="scimproxy"'),
        ),
        (honest("PUT /scim/v2/Users/1 HTTP/1.1", body=b"x" * 11), 413, None),
    ],
)
async def test_a_refusal_is_a_scim_error_and_recorded_and_the_connection_goes_on(
    rigs: Rigs, raw: bytes, status: int, field: tuple[bytes, bytes] | None
) -> None:
    rig = await guarded(rigs, token=TOKEN, max_body=10, mark="feed")
    client = await rig.client()
    await client.send(raw)
    got = await client.message()
    assert told(got)["status"] == str(status)
    if field is not None:
        assert value_of(got, field[0]) == field[1]
    exchange = await rig.recorder.one()
    assert exchange.failure is not None
    assert (exchange.failure.kind, exchange.failure.side, exchange.origin) == ("blocked", "proxy", "proxy")
    assert exchange.response is not None
    assert exchange.response.content.data == body_of(got)
    assert exchange.attempts is None
    assert rig.upstream.connections == 0
    await client.send(honest())
    assert await client.message() == OK


async def test_the_answer_to_head_has_no_body(rigs: Rigs) -> None:
    rig = await guarded(rigs, token=TOKEN)
    client = await rig.client()
    await client.send(b"HEAD /scim/v2/Users HTTP/1.1\r\nHost: public.example\r\n\r\n")
    assert (await client.message(bodiless=True)).startswith(b"HTTP/1.1 401 ")
    await client.send(honest())
    assert await client.message() == OK


async def test_the_record_says_more_than_a_stranger_is_told(rigs: Rigs) -> None:
    rig = await guarded(rigs)
    got = await rig.ask(honest(host="evil.example"))
    assert "public.example" not in told(got)["detail"]
    exchange = await rig.recorder.one()
    assert exchange.failure is not None
    assert "public.example" in exchange.failure.message


async def test_a_real_loop_ends_where_it_comes_round(rigs: Rigs) -> None:
    port = free_port()
    other = await rigs(target=Target("http", "127.0.0.1", port), guard=GuardOptions(mark="beef"))
    host, back = other.address.host, other.address.port
    ours = await rigs(target=Target("http", host, back), listen_port=port, guard=GuardOptions(mark="feed"))
    got = await ours.ask()
    assert told(got)["status"] == "508"
    await ours.recorder.wait_until(lambda: len(ours.recorder.exchanges) == 2)
    round_again, first = ours.recorder.exchanges
    assert round_again.failure is not None
    assert "TARGET leads back" in round_again.failure.message
    assert round_again.request.headers.get_all("scimproxy-via") == ("feed, beef",)
    assert first.failure is None  # the other one answered, with our refusal


async def test_a_head_that_never_ends_is_given_up(rigs: Rigs) -> None:
    rig = await guarded(rigs, head_timeout_s=0.2)
    client = await rig.client()
    await client.send(b"GET /scim/v2/Users HTTP/1.1\r\nHost: public.example\r\nX-A: ")
    assert told(await client.message())["status"] == "408"
    assert rig.upstream.connections == 0


# -- bodies -------------------------------------------------------------------------------------------------------


async def test_a_body_of_unknown_length_is_held_until_it_ends(rigs: Rigs) -> None:
    rig = await guarded(rigs, max_body=3_000_000)
    client = await rig.client()
    head = b"POST /scim/v2/Bulk HTTP/1.1\r\nHost: public.example\r\nTransfer-Encoding: chunked\r\n\r\n"
    piece = b"100000\r\n" + b"x" * 0x100000 + b"\r\n"
    await client.send(head + piece + piece)
    await client.send(b"5\r\nhello\r\n")
    await rig.recorder.wait_until(lambda: rig.recorder.pendings)
    assert rig.upstream.connections == 0
    await client.send(b"0\r\n\r\n")
    assert await client.message() == OK
    assert len(body_of(rig.upstream.seen[0])) == 0x200000 + 5
    exchange = await rig.recorder.one()
    assert exchange.request.content.size == 0x200000 + 5
    assert exchange.attempts == 1


async def test_a_body_that_grows_too_large_never_reaches_the_upstream(rigs: Rigs) -> None:
    rig = await guarded(rigs, max_body=2_000_000)
    client = await rig.client()
    await client.send(b"POST /scim/v2/Bulk HTTP/1.1\r\nHost: public.example\r\nTransfer-Encoding: chunked\r\n\r\n")
    piece = b"100000\r\n" + b"x" * 0x100000 + b"\r\n"
    await client.send(piece + piece)
    got = await client.rest()
    assert told(got)["status"] == "413"
    assert value_of(got, b"connection") == b"close"
    exchange = await rig.recorder.one()
    assert exchange.failure is not None
    assert exchange.failure.kind == "blocked"
    assert rig.upstream.connections == 0


async def test_who_waits_for_100_continue_is_told_to_go_on_though_the_body_is_held(rigs: Rigs) -> None:
    rig = await guarded(rigs)
    client = await rig.client()
    await client.send(
        b"POST /scim/v2/Bulk HTTP/1.1\r\nHost: public.example\r\nTransfer-Encoding: chunked\r\nExpect: 100-continue\r\n\r\n"
    )
    assert await client.message(bodiless=True) == b"HTTP/1.1 100 Continue\r\n\r\n"
    await client.send(b"2\r\nhi\r\n0\r\n\r\n")
    assert await client.message() == OK
    assert body_of(rig.upstream.seen[0]) == b"hi"
    assert value_of(rig.upstream.seen[0], b"expect") is None


async def test_without_a_bound_a_long_body_is_not_held(rigs: Rigs) -> None:
    came = asyncio.Event()

    async def script(wire: Wire) -> None:
        came.set()
        await answer_all(wire)

    rig = await guarded(rigs, script, max_body=None)
    client = await rig.client()
    await client.send(b"POST /scim/v2/Bulk HTTP/1.1\r\nHost: public.example\r\nTransfer-Encoding: chunked\r\n\r\n")
    await client.send(b"200000\r\n" + b"x" * 0x200000 + b"\r\n")
    async with asyncio.timeout(PATIENCE_S):
        await came.wait()
    await client.send(b"0\r\n\r\n")
    assert await client.message() == OK


# -- the secret path ----------------------------------------------------------------------------------------------


def hide(rig: Rig) -> None:
    """Put between engine and recorder what a recording with a secret path has there."""
    rig.engine.recorder = Hiding(rig.recorder, SECRET)  # type: ignore[attr-defined]  # both engines have it


async def test_the_upstream_and_the_record_do_not_see_the_secret_path(rigs: Rigs) -> None:
    rig = await guarded(rigs, secret_path=SECRET, rewrite_locations=True)
    hide(rig)
    private = f"http://127.0.0.1:{rig.upstream.port}/scim/v2/Users/1"
    body = json.dumps({"meta": {"location": private}, "seen": f"https://public.example/{SECRET}/x"}).encode()
    rig.upstream.script = answering(
        b"HTTP/1.1 201 Created\r\nContent-Type: application/scim+json\r\nLocation: %b\r\nContent-Length: %d\r\n\r\n%b"
        % (private.encode(), len(body), body)
    )
    referer = f"Referer: https://public.example/{SECRET}/scim/v2\r\n"
    got = await rig.ask(honest(f"POST /{SECRET}/scim/v2/Users?a=1 HTTP/1.1", fields=referer, body=b"{}"))
    public = f"https://public.example/{SECRET}/scim/v2/Users/1"
    assert value_of(got, b"location") == public.encode()  # the client can use it
    assert json.loads(body_of(got))["meta"]["location"] == public
    assert head_of(rig.upstream.seen[0])[0] == b"POST /scim/v2/Users?a=1 HTTP/1.1"
    exchange = await rig.recorder.one()
    assert SECRET not in everything(exchange)
    assert exchange.request.target == "/sha256:4c0e9e1d/scim/v2/Users?a=1".replace("4c0e9e1d", mark())
    assert exchange.upstream_request_target == "/scim/v2/Users?a=1"
    assert exchange.response is not None
    assert exchange.response.headers.get("location") == public.replace(SECRET, f"sha256:{mark()}")
    assert [one.place for one in exchange.rewrites] == ["header:Location", "/meta/location"]


def mark() -> str:
    import hashlib

    return hashlib.sha256(SECRET.encode()).hexdigest()[:8]


def everything(exchange: Exchange) -> str:
    """All that an exchange holds, as text."""
    parts = [repr(exchange.request.target), repr(exchange.failure), repr(exchange.rewrites), repr(exchange)]
    parts += [repr(exchange.request.headers.pairs), repr(exchange.request.content.data)]
    parts += [
        repr(headers.pairs)
        for headers in (exchange.upstream_request_headers, exchange.upstream_response_headers)
        if headers
    ]
    if exchange.response is not None:
        parts += [repr(exchange.response.headers.pairs), repr(exchange.response.content.data)]
    return "\n".join(parts)


@pytest.mark.parametrize(
    "target", ["/scim/v2/Users", f"/{SECRET[::-1]}/scim/v2/Users", f"/{SECRET}x/scim/v2", f"/x/{SECRET}/scim/v2", "/"]
)
async def test_without_the_secret_path_there_is_nothing(rigs: Rigs, target: str) -> None:
    rig = await guarded(rigs, secret_path=SECRET, token=TOKEN)
    hide(rig)
    got = await rig.ask(f"GET {target} HTTP/1.1\r\nHost: public.example\r\n\r\n".encode())
    detail = told(got)["detail"]
    assert head_of(got)[0] == b"HTTP/1.1 404 Not Found"  # and not 401
    assert "secret" not in detail and "/scim" not in detail
    exchange = await rig.recorder.one()
    assert exchange.failure is not None
    assert "the secret path is missing or wrong" in exchange.failure.message
    assert SECRET not in everything(exchange)
    assert rig.upstream.connections == 0


# -- addresses ----------------------------------------------------------------------------------------------------


async def test_only_addresses_of_the_list_pass_and_only_the_tunnels_word_counts(rigs: Rigs) -> None:
    rig = await guarded(rigs, allow=(ip_network("192.0.2.0/24"),), vouches_for_client=True)
    assert await rig.ask(honest(fields="X-Forwarded-For: 203.0.113.1, 192.0.2.7\r\n")) == OK
    assert value_of(rig.upstream.seen[0], b"x-forwarded-for") == b"192.0.2.7"
    for fields in (
        "X-Forwarded-For: 192.0.2.7, 203.0.113.1\r\n",
        "X-Real-IP: 192.0.2.7\r\n",
        "CF-Connecting-IP: 192.0.2.7\r\n",
        "",
    ):
        assert told(await rig.ask(honest(fields=fields)))["status"] == "403"
    assert len(rig.upstream.seen) == 1


CLAIMS = (
    "Forwarded: for=1.1.1.1\r\nX-Forwarded-For: 1.1.1.1\r\nX-Forwarded-Proto: gopher\r\nX-Forwarded-Host: evil.example\r\n"
    "X-Forwarded-Anything: 1.1.1.1\r\nX-Real-IP: 1.1.1.1\r\nCF-Connecting-IP: 1.1.1.1\r\nCf-Ray: 1.1.1.1\r\n"
    "True-Client-IP: 1.1.1.1\r\nX-Client-IP: 1.1.1.1\r\nX-Original-URL: /evil\r\nX-Rewrite-URL: /evil\r\nX_Forwarded_For: 1.1.1.1\r\n"
    "X_Real_IP: 1.1.1.1\r\nFastly-Client-IP: 1.1.1.1\r\nX-Original-Host: evil.example\r\nX-Host: evil.example\r\n"
)


async def test_no_foreign_claim_reaches_the_upstream(rigs: Rigs) -> None:
    rig = await guarded(rigs, mark="feed")
    trailers = b"0\r\nX-Forwarded-For: 1.1.1.1\r\nX_Real_Ip: 1.1.1.1\r\nX-Fine: yes\r\n\r\n"
    head = honest(
        "POST /scim/v2/Users HTTP/1.1", fields=CLAIMS + "Transfer-Encoding: chunked\r\nScimproxy-Via: beef\r\n"
    )
    assert await rig.ask(head + b"2\r\nhi\r\n" + trailers) == OK
    seen = rig.upstream.seen[0]
    assert b"1.1.1.1" not in seen and b"evil" not in seen and b"gopher" not in seen
    assert b"X-Fine: yes" in seen
    assert value_of(seen, b"scimproxy-via") == b"beef, feed"
    exchange = await rig.recorder.one()
    assert exchange.request.headers.get("cf-connecting-ip") == "1.1.1.1"


# -- rates --------------------------------------------------------------------------------------------------------


async def test_too_many_requests_are_told_to_wait(rigs: Rigs) -> None:
    rig = await guarded(rigs, rate_per_client=2, rate_overall=None)
    answers = [await rig.ask(honest()) for _ in range(3)]
    assert answers[:2] == [OK, OK]
    assert told(answers[2])["status"] == "429"
    assert 1 <= int(value_of(answers[2], b"retry-after") or b"0") <= 30
    assert len(rig.upstream.seen) == 2
    assert len(rig.recorder.exchanges) == 3


# -- probes -------------------------------------------------------------------------------------------------------


async def test_our_own_probe_is_answered_by_us_and_not_recorded(rigs: Rigs) -> None:
    rig = await guarded(rigs, token=TOKEN, probe_key=KEY, rate_per_client=1)
    nonce = probe_nonce(KEY, "0123")
    client = await rig.client()
    for _ in range(3):
        await client.send(
            f"GET /scim/v2 HTTP/1.1\r\nHost: public.example\r\nScimproxy-Probe: {nonce}\r\n\r\n".encode()
        )
        got = await client.message(bodiless=True)
        assert got.startswith(b"HTTP/1.1 204 No Content\r\n")
        assert value_of(got, b"scimproxy-probe") == probe_proof(KEY, nonce).encode()
        assert value_of(got, b"content-length") is None
    rig.recorder.refusal = StoreFull("the disk is full")
    await client.send(f"GET / HTTP/1.1\r\nHost: x\r\nScimproxy-Probe: {nonce}\r\n\r\n".encode())
    assert (await client.message(bodiless=True)).startswith(b"HTTP/1.1 204 ")  # the way is whole all the same
    rig.recorder.refusal = None
    await client.send(honest(fields="Scimproxy-Probe: 0123.0123\r\n"))
    assert await client.message() == OK
    assert rig.upstream.connections == 1
    assert (await rig.recorder.one()).request.headers.get("scimproxy-probe") == "0123.0123"


async def test_without_a_guard_nothing_of_it_holds(rigs: Rigs) -> None:
    rig = await rigs()
    nonce = probe_nonce(KEY, "0123")
    raw = f"PURGE /x HTTP/1.1\r\nHost: evil\r\nScimproxy-Probe: {nonce}\r\nScimproxy-Via: a\r\n\r\n".encode()
    assert await rig.ask(raw) == OK
    assert value_of(rig.upstream.seen[0], b"scimproxy-via") == b"a"
