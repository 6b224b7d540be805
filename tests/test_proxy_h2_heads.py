from __future__ import annotations

import pytest

from scimproxy.exchange import Headers, Request, Response
from scimproxy.proxy.engine import Target
from scimproxy.proxy.h2_heads import (
    answer_fields,
    fields_of,
    lowered,
    request_fields,
    request_of,
    response_of,
    stream_failure,
)

HEAD = [(b":method", b"GET"), (b":scheme", b"https"), (b":authority", b"a:81"), (b":path", b"/b?c")]


def test_a_request() -> None:
    fields = [*HEAD, (b"host", b"other"), (b"cookie", b"a=1"), (b"x", b"\xe9"), (b"cookie", b"b=2")]
    request, bad = request_of(fields)
    assert bad is None
    assert request == Request("GET", "/b?c", "2", Headers([("host", "a:81"), ("cookie", "a=1; b=2"), ("x", "\xe9")]))


def test_a_request_without_an_authority() -> None:
    request, bad = request_of([(b":method", b"GET"), (b":path", b"/"), (b"host", b"h")])
    assert (request.headers.get("host"), bad) == ("h", None)
    assert request_of([])[0].target == ""


def test_a_connect_has_only_an_authority() -> None:
    assert request_of([(b":method", b"CONNECT"), (b":authority", b"a:1")])[0].target == "a:1"


@pytest.mark.parametrize(
    "fields",
    [
        [(b":method", b"G T"), *HEAD[1:]],
        [*HEAD, (b"a b", b"c")],
        [*HEAD, (b"a", b"b\r\nc: d")],
        [*HEAD, (b"a", b"\x00")],
        [(b":method", b"GET"), (b":authority", b"a\nb"), (b":path", b"/")],
    ],
)
def test_requests_that_are_refused(fields: list[tuple[bytes, bytes]]) -> None:
    bad = request_of(fields)[1]
    assert bad is not None
    assert bad.status_code == 400


def test_a_response() -> None:
    assert response_of([(b":status", b"201"), (b"a", b"b")]) == Response(201, "", "2", Headers([("a", "b")]))


@pytest.mark.parametrize(
    "fields",
    [[], [(b":status", b"20")], [(b":status", b"2000")], [(b":status", b"200"), (b"a", b"\n")],
     [(b":status", b"200"), (b"a:", b"b")]],
)  # fmt: skip
def test_responses_that_are_refused(fields: list[tuple[bytes, bytes]]) -> None:
    with pytest.raises(ValueError, match=r"status|malformed"):
        response_of(fields)


def test_heads_as_they_are_sent() -> None:
    headers = Headers([("Host", "h"), ("X-A", "1"), ("Connection", "close"), ("Transfer-Encoding", "chunked")])
    assert lowered(headers).pairs == (("host", "h"), ("x-a", "1"))
    assert answer_fields(Response(204, "x", headers=headers)) == [
        (b":status", b"204"),
        (b"host", b"h"),
        (b"x-a", b"1"),
    ]
    assert request_fields(Request("PUT", "/a", headers=headers), "https") == [
        (b":method", b"PUT"), (b":scheme", b"https"), (b":authority", b"h"), (b":path", b"/a"), (b"x-a", b"1"),
    ]  # fmt: skip
    assert request_fields(Request("GET", "/"), "http")[2] == (b":authority", b"")
    assert fields_of([(b":status", b"1"), (b"a", b"b")]).pairs == (("a", "b"),)


def test_failures_in_words() -> None:
    target = Target("https", "a", 443)
    early, late = stream_failure(target, "said no", ""), stream_failure(target, "said no", "status 200")
    assert (early.phase, late.phase, early.kind) == ("wait", "receive", "closed")
    assert late.message == "https://a ended the exchange in the middle of its answer (status 200): it said no"
    assert early.message == "https://a ended the exchange without an answer: it said no"
