"""forwarding, answers, passage: what every engine does alike."""

from __future__ import annotations

import errno
import json
import os
from dataclasses import replace
from typing import Any

import pytest
from factories import request

from scimproxy.errors import StoreFull
from scimproxy.exchange import Connection, Content, Failure, Headers, Response, Rewrite
from scimproxy.proxy import answers, forwarding
from scimproxy.proxy.engine import Address, EngineOptions, GuardOptions, Target, cannot_listen
from scimproxy.proxy.forwarding import (
    Caller,
    Refusal,
    Tap,
    caller_of,
    client_framing,
    end_to_end,
    framed,
    map_target,
    may_retry,
    may_reuse,
    refuse_request,
    response_framing,
    suspect,
    upstream_headers,
    wants_close,
)
from scimproxy.proxy.passage import Link, Passage

TARGET = Target("http", "127.0.0.1", 8000, "/scim/v2")


def options(**fields: object) -> EngineOptions:
    return EngineOptions(**{"target": TARGET, **fields})  # type: ignore[arg-type]  # a table of fields


# -- paths --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("target", "mapped"),
    [
        ("/scim/v2", "/scim/v2"),
        ("/scim/v2/", "/scim/v2/"),
        ("/scim/v2?x=/../..", "/scim/v2?x=/../.."),
        ("/scim/v2/Users/a%2Fb?f=%20", "/scim/v2/Users/a%2Fb?f=%20"),
        ("/sc%69m/v2/Users", "/scim/v2/Users"),
        ("/scim/v2/Users/../Groups", "/scim/v2/Users/../Groups"),
        ("/scim/v2//Users/.", "/scim/v2//Users/."),
    ],
)
def test_a_target_below_the_base_path_goes_on(target: str, mapped: str) -> None:
    assert map_target(target, options()) == mapped


@pytest.mark.parametrize(
    ("target", "status"),
    [
        ("/", 404),
        ("/scim", 404),
        ("/scim/v3/Users", 404),
        ("/scim/v2x", 404),
        ("/SCIM/v2/Users", 404),
        ("//scim/v2/Users", 404),
        ("/scim%2Fv2/Users", 404),
        ("*", 404),
        ("/scim/v2/..", 400),
        ("/scim/v2/../v2/Users", 400),
        ("/scim/v2/Users/../../x", 400),
        ("/scim/v2/%2E%2e/x", 400),
        ("/scim/v2/..%2Fx", 400),
        ("/scim/v2/%252e%252e%252fx", 400),
        ("/scim/v2/%25252525252e%25252525252e/", 400),
        ("/scim/v2/%25252525256a", 400),
        ("/scim/v2/a%2525b", None),
        ("/scim/v2/%c0%ae%c0%ae/x", 400),
        ("/scim/v2/\xc0\xae\xc0\xae/x", 400),
        ("/scim/v2/..%c0%af..%c1%9cx", 400),
        ("/scim/v2/%e0%80%ae%f0%80%80%ae/x", 400),
        ("/scim/v2/%u002e%u002E/x", 400),
        ("/scim/v2/..%00/x", 400),
        ("/scim/v2/..%23/x", 400),
        ("/scim/v2/..%3f/x", 400),
        ("/scim/v2/.. /x", 400),
        ("/scim/v2/a%00b/..", None),
        ("/scim/v2/%c3%a9", None),
        ("/scim/v2/\xe9", None),
        ("/scim/v2/..\\x", 400),
        ("/scim/v2/%5c..%5c..%5cx", 400),
        ("/scim/v2/..;a=b/x", 400),
    ],
)
def test_nothing_leaves_the_base_path(target: str, status: int | None) -> None:
    mapped = map_target(target, options())
    if status is None:
        assert mapped == target
        return
    assert isinstance(mapped, Refusal)
    assert mapped.status_code == status
    assert mapped.detail


def test_the_public_path_is_swapped_for_the_base_path() -> None:
    assert map_target("/Users?a", options(public_path="")) == "/scim/v2/Users?a"
    assert map_target("/p/q/Users", options(public_path="/p/q/")) == "/scim/v2/Users"
    root = options(target=Target("http", "h", 80), public_path="/p")
    assert map_target("/p", root) == "/"
    assert map_target("/p/Users", root) == "/Users"
    assert map_target("/p?x", root) == "/?x"


def test_without_any_base_path_every_target_goes_on_as_it_came() -> None:
    root = options(target=Target("http", "h", 80))
    for target in ("/../x", "*", "/a//b/%2e%2e", "/?"):
        assert map_target(target, root) == target
    climbing = map_target("/../x", options(public_path=""))
    assert isinstance(climbing, Refusal)
    assert "climbs out of /" in climbing.detail
    assert isinstance(map_target("*", options(public_path="")), Refusal)


# -- requests -----------------------------------------------------------------------------------------------------

HOST = ("Host", "h")


@pytest.mark.parametrize(
    ("method", "target", "headers", "version"),
    [
        ("GET", "/Users", [HOST], "1.1"),
        ("GET", "/Users", [], "1.0"),
        ("OPTIONS", "*", [HOST], "1.1"),
        ("POST", "/Users", [HOST, ("Content-Length", "0")], "1.1"),
        ("POST", "/Users", [HOST, ("Transfer-Encoding", "Chunked")], "1.1"),
    ],
)
def test_good_requests(method: str, target: str, headers: list[tuple[str, str]], version: str) -> None:
    assert refuse_request(method, target, Headers(headers), version) is None


@pytest.mark.parametrize(
    ("method", "target", "headers", "version", "status"),
    [
        ("CONNECT", "h:443", [HOST], "1.1", 405),
        ("GET", "http://h/", [HOST], "1.1", 400),
        ("GET", "*", [HOST], "1.1", 400),
        ("GET", "/a b", [HOST], "1.1", 400),
        ("GET", "/a\x7f", [HOST], "1.1", 400),
        ("GET", "/", [HOST, ("Upgrade", "h2c")], "1.1", 501),
        ("GET", "/", [], "1.1", 400),
        ("GET", "/", [HOST, HOST], "1.0", 400),
        ("GET", "/", [HOST, ("Content-Length", "1"), ("Transfer-Encoding", "chunked")], "1.1", 400),
        ("GET", "/", [HOST, ("Content-Length", "1"), ("Content-Length", "1")], "1.1", 400),
        ("GET", "/", [HOST, ("Content-Length", "1, 1")], "1.1", 400),
        ("GET", "/", [HOST, ("Content-Length", "\xb2")], "1.1", 400),
        ("GET", "/", [HOST, ("Content-Length", "")], "1.1", 400),
        ("GET", "/", [HOST, ("Content-Length", "9" * 19)], "1.1", 400),
        ("GET", "/", [HOST, ("Transfer-Encoding", "gzip, chunked")], "1.1", 400),
        ("GET", "/", [HOST, ("Transfer-Encoding", "chunked"), ("Transfer-Encoding", "chunked")], "1.1", 400),
        ("GET", "/", [HOST, ("Transfer-Encoding", "chunked")], "1.0", 400),
    ],
)
def test_bad_requests(method: str, target: str, headers: list[tuple[str, str]], version: str, status: int) -> None:
    refusal = refuse_request(method, target, Headers(headers), version)
    assert refusal is not None
    assert refusal.status_code == status


def test_the_caller_is_the_peer_and_the_rest_a_claim() -> None:
    headers = Headers(
        [HOST, ("X-Forwarded-For", "1.1.1.1, "), ("Forwarded", "for=2.2.2.2"), ("x-real-ip", "3.3.3.3")]
    )
    caller = caller_of(headers, "10.0.0.1", options())
    assert caller == Caller("10.0.0.1", "1.1.1.1, 3.3.3.3, for=2.2.2.2", "http", "h")
    assert caller_of(Headers([]), None, options()) == Caller(None, None, "http", None)


@pytest.mark.parametrize(
    ("chain", "address", "claim"),
    [
        ("1.1.1.1, 2.2.2.2", "2.2.2.2", "1.1.1.1"),
        ("2.2.2.2:443", "2.2.2.2", None),
        ("2001:db8::1", "2001:db8::1", None),
        ("[2001:db8::1]:443", "2001:db8::1", None),
        ("1.1.1.1, unknown", "10.0.0.1", "1.1.1.1, unknown"),
        ("", "10.0.0.1", None),
    ],
)
def test_where_the_tunnel_vouches_only_the_last_value_is_believed(
    chain: str, address: str, claim: str | None
) -> None:
    headers = Headers([HOST, ("X-Forwarded-For", chain), ("X-Forwarded-Proto", "http, HTTPS")])
    caller = caller_of(headers, "10.0.0.1", options(vouches_for_client=True))
    assert (caller.address, caller.claim, caller.scheme) == (address, claim, "https")


def test_a_scheme_that_is_none_is_not_believed() -> None:
    headers = Headers([HOST, ("X-Forwarded-Proto", "gopher")])
    assert caller_of(headers, None, options(vouches_for_client=True)).scheme == "http"
    public = options(vouches_for_client=True, public_origin="https://abc.example/")
    assert caller_of(headers, None, public).scheme == "https"
    assert caller_of(headers, None, public).origin(public) == "https://abc.example"
    assert Caller(None, None, "https", "h:1").origin(options()) == "https://h:1"
    assert Caller(None, None, "https", None).origin(options()) is None


def test_headers_for_the_upstream() -> None:
    headers = Headers([("A", "1"), ("host", "h"), ("X-Forwarded-Anything", "x"), ("forwarded", "y"), ("B", "2")])
    caller = Caller("2001:db8::1", None, "https", 'h"\\')
    assert upstream_headers(headers, caller, options()).pairs == (
        ("A", "1"),
        ("host", "127.0.0.1:8000"),
        ("B", "2"),
        ("X-Forwarded-For", "2001:db8::1"),
        ("X-Forwarded-Host", 'h"\\'),
        ("X-Forwarded-Proto", "https"),
        ("Forwarded", 'for="[2001:db8::1]";host="h\\"\\\\";proto=https'),
    )


def test_host_is_kept_or_made() -> None:
    kept = upstream_headers(Headers([HOST]), Caller(None, None, "http", "h"), options(preserve_host=True))
    assert kept.pairs == (
        HOST,
        ("X-Forwarded-Host", "h"),
        ("X-Forwarded-Proto", "http"),
        ("Forwarded", 'host="h";proto=http'),
    )
    made = upstream_headers(Headers([]), Caller(None, None, "http", None), options(preserve_host=True))
    assert made.pairs == (("Host", "127.0.0.1:8000"), ("X-Forwarded-Proto", "http"), ("Forwarded", "proto=http"))


def test_rewriting_asks_for_an_uncoded_body_and_a_public_origin_is_told() -> None:
    fields = options(rewrite_locations=True, public_origin="https://abc.example")
    sent = upstream_headers(
        Headers([HOST, ("accept-encoding", "gzip")]), Caller("1.1.1.1", None, "https", "h"), fields
    )
    assert sent.get("Accept-Encoding") == "identity"
    assert sent.get("X-Forwarded-Host") == "abc.example"
    assert sent.get("Forwarded") == 'for=1.1.1.1;host="abc.example";proto=https'


# -- both directions ----------------------------------------------------------------------------------------------


def test_hop_by_hop_fields_go_and_framing_stays() -> None:
    headers = Headers(
        [
            ("Connection", "close, X-Hop, Content-Length, host"),
            ("x-hop", "1"),
            ("Keep-Alive", "3"),
            ("TE", "trailers"),
            ("Transfer-Encoding", "chunked"),
            ("Upgrade", "x"),
            ("Proxy-Authorization", "Basic x"),
            ("Content-Length", "3"),
            ("Host", "h"),
            ("X", "a\r\n b"),
        ]
    )
    assert end_to_end(headers).pairs == (("Content-Length", "3"), ("Host", "h"), ("X", "a b"))


def test_framing_is_announced() -> None:
    headers = Headers([("content-length", "3"), ("X", "1")])
    assert framed(headers, "none") == headers
    assert framed(headers, "length") == headers
    assert framed(headers, "length", length=5).pairs == (("content-length", "5"), ("X", "1"))
    assert framed(headers, "chunked").pairs == (("X", "1"), ("Transfer-Encoding", "chunked"))
    assert framed(headers, "close").pairs == (("X", "1"), ("Connection", "close"))
    assert framed(headers, "none", close=True).pairs == (*headers.pairs, ("Connection", "close"))


@pytest.mark.parametrize(
    ("method", "status", "headers", "expected"),
    [
        ("HEAD", 200, {"Content-Length": "3"}, ("none", None)),
        ("GET", 103, {}, ("none", None)),
        ("GET", 204, {"Transfer-Encoding": "chunked"}, ("none", None)),
        ("GET", 304, {"Content-Length": "3"}, ("none", None)),
        ("GET", 200, {"Transfer-Encoding": "Chunked", "Content-Length": "3"}, ("chunked", None)),
        ("GET", 200, {"Content-Length": "3"}, ("length", 3)),
        ("GET", 200, {"Content-Length": "3, 3"}, ("length", 3)),
        ("GET", 200, {}, ("close", None)),
    ],
)
def test_how_an_answer_ends(
    method: str, status: int, headers: dict[str, str], expected: tuple[str, int | None]
) -> None:
    assert response_framing(method, status, Headers(headers.items())) == expected


@pytest.mark.parametrize(
    "headers", [{"Transfer-Encoding": "gzip"}, {"Content-Length": "3, 4"}, {"Content-Length": "x"}]
)
def test_an_answer_that_ends_nowhere(headers: dict[str, str]) -> None:
    with pytest.raises(ValueError):
        response_framing("GET", 200, Headers(headers.items()))


def test_suspect_framing_ends_a_connection() -> None:
    assert suspect(200, Headers([("Transfer-Encoding", "chunked"), ("Content-Length", "1")]))
    assert suspect(204, Headers([("Transfer-Encoding", "chunked")]))
    assert suspect(204, Headers([("Content-Length", "3")]))
    assert not suspect(204, Headers([("Content-Length", "0")]))
    assert not suspect(200, Headers([("Transfer-Encoding", "chunked")]))
    assert not suspect(200, Headers([("Content-Length", "3")]))


def test_framing_towards_the_client() -> None:
    assert client_framing("chunked", "1.1") == "chunked"
    assert client_framing("close", "1.1") == "chunked"
    assert client_framing("chunked", "1.0") == "close"
    assert client_framing("length", "1.0") == "length"
    assert client_framing("none", "1.1") == "none"


def test_who_wants_to_close() -> None:
    assert wants_close(Headers([("Connection", "x, Close")]), "1.1")
    assert not wants_close(Headers([]), "1.1")
    assert wants_close(Headers([]), "1.0")
    assert not wants_close(Headers([("Connection", "Keep-Alive")]), "1.0")


def test_reuse_and_retry() -> None:
    assert may_reuse("GET", 99)
    assert may_reuse("POST", 0.1)
    assert not may_reuse("POST", 5)
    asked = {"attempts": 1, "reused": True, "answered": False, "replayable": True}
    assert may_retry("PUT", **asked)  # type: ignore[arg-type]  # a table of flags
    assert not may_retry("POST", **asked)  # type: ignore[arg-type]  # the same
    for name, value in {"attempts": 2, "reused": False, "answered": True, "replayable": False}.items():
        assert not may_retry("PUT", **{**asked, name: value})  # type: ignore[arg-type]  # the same


def test_a_tap_keeps_some_and_counts_all() -> None:
    tap = Tap(4)
    for piece in (b"abc", b"def", b"gh"):
        tap.feed(piece)
    assert not tap.whole
    content = tap.content()
    assert content.data == b"abcd"
    assert (content.size, content.sha256) == (8, Content.of(b"abcdefgh").sha256)
    assert Tap(4).content() == Content.of(b"")
    assert Tap(4).whole


# -- answers ------------------------------------------------------------------------------------------------------


def test_a_scim_error_says_who_made_it() -> None:
    response = answers.answer(answers.refused(TARGET, "127.0.0.1"))
    assert response.status_code == 502
    assert response.reason == "Bad Gateway"
    assert response.headers.get("content-type") == "application/scim+json"
    assert response.headers.get("scimproxy-origin") == "proxy"
    assert response.headers.get("content-length") == str(response.content.size)
    body = json.loads(response.content.data)
    assert body["schemas"] == [answers.ERROR_URN]
    assert body["status"] == "502"
    assert body["detail"].startswith("scimproxy: http://127.0.0.1:8000 refuses connections")
    assert answers.without_content(response).content.size == 0
    assert answers.scim_error(418, "x").reason == "Error"


@pytest.mark.parametrize(
    ("failure", "status"),
    [
        (answers.unreachable(TARGET, "no route"), 502),
        (answers.dns(TARGET, "unknown"), 502),
        (answers.timed_out(TARGET, "wait", 55), 504),
        (answers.timed_out(TARGET, "respond", 55), 504),
        (answers.closed(TARGET), 502),
        (answers.closed(TARGET, attempts=2), 502),
        (answers.closed(TARGET, partly="3 of 4 bytes"), 502),
        (answers.protocol(TARGET, "what?"), 502),
        (answers.protocol(TARGET, "what?", b"\x15\x03\x03"), 502),
        (answers.blocked("no"), 403),
        (answers.client_protocol("what?"), 400),
        (answers.client_gone("request"), 400),
        (answers.client_gone("wait"), 400),
        (answers.stopping("wait"), 502),
        (answers.internal("oops"), 500),
    ],
)
def test_every_failure_has_words_and_a_status(failure: Failure, status: int) -> None:
    response = answers.answer(failure)
    assert response.status_code == status
    assert failure.message in json.loads(response.content.data)["detail"]


def test_the_words_of_failures() -> None:
    assert "(twice)" in answers.closed(TARGET, attempts=2).message
    assert "https://" in answers.protocol(TARGET, "x", b"\x16\x03\x01").message
    assert answers.answer(answers.blocked("x"), status_code=404).status_code == 404
    told = json.loads(answers.not_recorded(StoreFull("disk full", hint="free some")).content.data)
    assert "disk full (free some)" in told["detail"]
    assert answers.not_recorded(StoreFull("disk full")).status_code == 507


@pytest.mark.parametrize(
    ("problem", "words", "trust"),
    [
        ("Certificate verify failed: hostname mismatch", "another name than '127.0.0.1' (it names a.example)", True),
        ("Certificate verify failed: IP address mismatch", "another address", True),
        ("Certificate verify failed: certificate has expired", "expired on 2020-01-01", True),
        ("Certificate verify failed: certificate is not yet valid", "not valid yet", True),
        ("Certificate verify failed: self-signed certificate", "self-signed", True),
        ("certificate verify failed: self signed certificate in chain", "self-signed", True),
        ("unable to get local issuer certificate", "authority that is not known", True),
        ("The remote server does not speak TLS.", "write http://", False),
        ("[SSL: WRONG_VERSION_NUMBER] wrong version number", "write http://", False),
        ("tlsv1 alert protocol version", "too old", False),
        ("sslv3 alert handshake failure", "no cipher", False),
        ("something else", "the handshake failed", False),
    ],
)
def test_a_certificates_problem_in_words(problem: str, words: str, trust: bool) -> None:
    failure = answers.tls(TARGET, problem, names=("a.example",), until="2020-01-01")
    assert failure.kind == "tls"
    assert words in failure.message
    assert problem in failure.message
    assert ("--upstream-ca" in failure.message) == trust
    assert answers.tls(TARGET, problem).kind == "tls"


# -- passage ------------------------------------------------------------------------------------------------------


def passage() -> Passage:
    return Passage(
        uid="u",
        request=request(target="/p/Users"),
        caller=Caller("1.1.1.1", "2.2.2.2", "https", "h"),
        started_at=1000.0,
        started_m=10.0,
        client_connection=Connection(uid="c", side="client"),
        client_index=3,
        request_tap=Tap(10),
        response_tap=Tap(10),
    )


def test_a_passage_that_is_pending() -> None:
    here = passage()
    here.request_tap.feed(b"abc")
    here.given = Response(status_code=200)
    exchange = here.exchange(at=1001.0, now_m=11.0, state="pending")
    assert (exchange.state, exchange.response, exchange.ended_at, exchange.timings.total) == (
        "pending",
        None,
        None,
        None,
    )
    assert exchange.request.content.data == b"abc"
    assert exchange.upstream_address is None
    assert exchange.upstream_request_target is None
    assert exchange.upstream_request_headers is None
    assert exchange.client_address == "1.1.1.1"
    assert exchange.client_claim == "2.2.2.2"


def test_a_passage_that_ended() -> None:
    here = passage()
    here.upstream_target = "/scim/v2/Users"
    here.upstream_headers = Headers([("A", "1")])
    here.link = Link(
        connection=Connection(uid="s", side="upstream", peer_host="127.0.0.1", peer_port=1), index=1, connect_ms=2.0
    )
    here.ready_m, here.sent_m, here.first_m, here.last_m = 10.5, 11.0, 10.75, 12.0
    here.came = Response(status_code=200, headers=Headers([("A", "1")]))
    here.given = Response(status_code=200, headers=Headers([("A", "2")]))
    exchange = here.exchange(at=1003.0, now_m=13.0)
    timings = exchange.timings
    assert (timings.dns, timings.connect, timings.send, timings.wait, timings.receive, timings.total) == (
        None,
        2.0,
        500.0,
        0.0,
        1250.0,
        3000.0,
    )
    assert exchange.upstream_request_target == "/scim/v2/Users"
    assert exchange.upstream_request_headers == Headers([("A", "1")])
    assert exchange.upstream_response_headers == Headers([("A", "1")])
    assert exchange.upstream_address == "127.0.0.1:1"
    assert exchange.uid == "u"


def test_what_is_the_same_is_told_once() -> None:
    here = passage()
    here.upstream_target = here.request.target
    here.upstream_headers = here.request.headers
    here.came = here.given = Response(status_code=200, headers=Headers([("A", "1")]))
    here.link = Link(connection=Connection(uid="s", side="upstream", peer_host="::1", peer_port=1))
    exchange = here.exchange(at=1.0, now_m=11.0)
    assert exchange.upstream_request_target is None
    assert exchange.upstream_request_headers is None
    assert exchange.upstream_response_headers is None
    assert exchange.upstream_address == "[::1]:1"
    here.link = Link(connection=Connection(uid="s", side="upstream"))
    assert here.exchange(at=1.0, now_m=11.0).upstream_address is None


def usual() -> Passage:
    here = passage()
    here.came = here.given = Response(status_code=200, headers=Headers([("A", "1")]))
    here.link = Link(connection=Connection(uid="s", side="upstream", peer_host="127.0.0.1", peer_port=1), index=2)
    here.upstream_target = here.request.target
    here.upstream_headers = here.request.headers
    here.origin, here.attempts, here.ended = "upstream", 1, "keep-alive"
    here.request_wire, here.response_wire = 100, 200
    here.request_tap.feed(b"asked")
    here.response_tap.feed(b"answered, and longer than is kept")
    return here


def with_content(response: Response, tap: Tap) -> Response:
    return replace(response, content=tap.content(), wire_bytes=200)


@pytest.mark.parametrize(
    "changed",
    [
        {},
        {"upstream_target": "/scim/v2/Users", "upstream_headers": Headers([("A", "1")])},
        {"came": Response(status_code=200, headers=Headers([("A", "1"), ("Connection", "keep-alive")]))},
        {"came": Response(status_code=200, headers=Headers([("A", "1")]))},
        {"ready_m": 10.5, "sent_m": 11.0, "first_m": 10.75, "last_m": 12.0},
        {"link": Link(connection=Connection(uid="s", side="upstream"), dns_ms=1.0, connect_ms=2.0, tls_ms=3.0)},
        {"came": None, "link": None},
    ],
)
def test_the_flat_form_of_a_passage_is_its_exchange(changed: dict[str, Any]) -> None:
    here = usual()
    for name, value in changed.items():
        setattr(here, name, value)
    passed = here.passed(at=1003.0, now_m=13.0)
    assert passed is not None
    assert here.given is not None
    here.given = with_content(here.given, here.response_tap)
    assert passed.exchange() == here.exchange(at=1003.0, now_m=13.0)


@pytest.mark.parametrize(
    "changed",
    [
        {"given": None},
        {"failure": answers.closed(TARGET)},
        {"rewrites": (Rewrite("header:Location", "a", "b"),)},
        {"request_trailers": Headers()},
        {"given": Response(status_code=200, trailers=Headers())},
    ],
)
def test_what_is_not_usual_has_no_flat_form(changed: dict[str, Any]) -> None:
    here = usual()
    for name, value in changed.items():
        setattr(here, name, value)
    assert here.passed(at=1003.0, now_m=13.0) is None


def test_trailers_that_change_the_message_do_not_travel() -> None:
    assert forwarding.safe_trailers(None) is None
    fields = [
        ("X-Sum", "1"),
        ("Host", "evil"),
        ("X-Forwarded-For", "9.9.9.9"),
        ("content-length", "0"),
        ("Cookie", "a"),
    ]
    assert forwarding.safe_trailers(Headers(fields)) == Headers([("X-Sum", "1")])


def test_a_tap_of_many_pieces_and_of_one() -> None:
    one, many, cut = forwarding.Tap(10), forwarding.Tap(10), forwarding.Tap(3)
    one.feed(b"abcdef")
    for piece in (b"ab", b"cd", b"ef"):
        many.feed(piece)
    cut.feed(b"abcdef")
    assert one.content() == many.content()
    assert one.whole
    assert many.whole
    assert cut.content().data == b"abc"
    assert cut.content().sha256 == one.content().sha256
    assert not cut.whole
    assert forwarding.Tap(3).content().size == 0


# -- the guard's part ---------------------------------------------------------------------------------------------


def test_the_secret_path_stands_before_what_is_served() -> None:
    secret = GuardOptions(secret_path="0123456789abcdef")
    made = options(guard=secret, public_path="/p")
    assert (made.served_path, made.public_base) == ("/p", "/0123456789abcdef/p")
    assert map_target("/0123456789abcdef/p/Users?x=?", made) == "/scim/v2/Users?x=?"
    wrong = map_target("/0123456789abcdeF/p/Users", made)
    assert isinstance(wrong, Refusal)
    assert (wrong.status_code, wrong.told) == (404, "nothing is served here")
    assert options(guard=GuardOptions()).public_base == "/scim/v2"
    assert map_target("/scim/v2/Users", options(guard=GuardOptions())) == "/scim/v2/Users"


def test_this_process_signs_what_it_sends_on() -> None:
    caller = Caller("10.0.0.1", None, "http", "h")
    marked = options(guard=GuardOptions(mark="feed"))
    assert upstream_headers(Headers(), caller, marked).get_all("scimproxy-via") == ("feed",)
    through = Headers([("scimproxy-via", "a"), ("X-A", "b"), ("Scimproxy-Via", "b, c")])
    assert upstream_headers(through, caller, marked).get_all("Scimproxy-Via") == ("a, b, c, feed",)
    for unmarked in (options(), options(guard=GuardOptions())):
        assert upstream_headers(through, caller, unmarked).get_all("Scimproxy-Via") == ("a", "b, c")


@pytest.mark.parametrize(
    "name",
    [
        "Cf-Ray",
        "CF-Connecting-IP",
        "cf_connecting_ip",
        "X_Forwarded_For",
        "x-forwarded-new",
        "True-Client-IP",
        "Forwarded",
        "X-Original-URL",
        "X-Rewrite-URL",
        "X_REAL_IP",
        "Client-IP",
        "Remote_Addr",
        "X-Client-IP",
    ],
)
def test_claims_of_clients_are_dropped(name: str) -> None:
    headers = Headers([(name, "9.9.9.9"), ("X-Fine", "9.9.9.9"), ("Cfx", "1")])
    sent = upstream_headers(headers, Caller("10.0.0.1", None, "http", "h"), options())
    assert [pair for pair in sent.pairs if pair[1] == "9.9.9.9"] == [("X-Fine", "9.9.9.9")]
    assert "cfx" in sent
    assert forwarding.safe_trailers(headers) == Headers([("X-Fine", "9.9.9.9"), ("Cfx", "1")])


@pytest.mark.parametrize(
    ("target", "listen", "public", "loops"),
    [
        ("http://127.0.0.1:8080/scim", Address("127.0.0.1", 8080), None, True),
        ("http://localhost:8080", Address("127.0.0.1", 8080), None, True),
        ("http://LOCALHOST:8080", Address("::1", 8080), None, True),
        ("http://[::1]:8080", Address("::1", 8080), None, True),
        ("http://0.0.0.0:8080", Address("127.0.0.1", 8080), None, True),
        ("http://[::1]:8080", Address("127.0.0.1", 8080), None, False),
        ("http://127.0.0.1:8000", Address("127.0.0.1", 8080), None, False),
        ("http://10.0.0.1:8080", Address("127.0.0.1", 8080), None, False),
        ("https://abc.example/scim", Address("127.0.0.1", 8080), "https://ABC.example/", True),
        ("https://abc.example/scim", Address("127.0.0.1", 8080), "https://other.example", False),
        ("http://abc.example/scim", Address("127.0.0.1", 8080), "https://abc.example", False),
    ],
)
def test_a_target_that_leads_back(target: str, listen: Address, public: str | None, loops: bool) -> None:
    assert Target.parse(target).leads_to(listen, public) is loops


@pytest.mark.parametrize("text", ["8000/scim/v2", "8000/scim/v2/", "127.0.0.1:8000/scim/v2"])
def test_a_target_may_be_a_port_with_a_path(text: str) -> None:
    assert Target.parse(text) == Target("http", "127.0.0.1", 8000, "/scim/v2")


def test_the_url_to_paste() -> None:
    secret = GuardOptions(secret_path="0123456789abcdef")
    for given in ("https://x.example", "https://x.example/scim/v2"):
        assert options(guard=secret).base_url(given) == "https://x.example/0123456789abcdef/scim/v2"
        assert options().base_url(given) == "https://x.example/scim/v2"
    assert options(public_path="").base_url("https://x.example") == "https://x.example"


@pytest.mark.parametrize(
    ("number", "said"),
    [
        (errno.EADDRINUSE, "port 80 on ::1 is taken by another program"),
        (errno.EACCES, "listening on [::1]:80 is not permitted"),
        (errno.EADDRNOTAVAIL, "cannot listen on [::1]:80: "),
    ],
)
def test_why_nothing_listens(number: int, said: str) -> None:
    error = cannot_listen(OSError(number, os.strerror(number)), Address("::1", 80))
    assert error.message.startswith(said)
    assert "--port" in (error.hint or "")
