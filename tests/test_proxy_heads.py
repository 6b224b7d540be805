from __future__ import annotations

import pytest

from scimproxy.exchange import Headers, Response
from scimproxy.proxy.engine import EngineOptions, Target
from scimproxy.proxy.heads import Answers, Asks, given_to
from scimproxy.proxy.http1 import HeadError

OPTIONS = EngineOptions(target=Target("http", "127.0.0.1", 8000, "/scim"))
GET = b"GET /scim/Users HTTP/1.1\r\nHost: h\r\nAccept: a\r\n\r\n"


def test_the_same_fields_are_judged_once() -> None:
    asks = Asks(OPTIONS)
    first, ask, refusal = asks.read(GET, "127.0.0.1")
    assert refusal is None
    assert ask is not None
    again, same, _ = asks.read(GET.replace(b"GET /scim/Users", b"DELETE /scim/Users/1"), "127.0.0.1")
    assert same is ask
    assert (again.method, again.target) == ("DELETE", "/scim/Users/1")
    assert first.headers is again.headers
    _, other, _ = asks.read(GET, "127.0.0.2")
    assert other is not ask
    assert other is not None
    assert other.caller.address == "127.0.0.2"


def test_a_judgement_holds_what_goes_upstream() -> None:
    data = (
        b"POST /scim/Users HTTP/1.1\r\nHost: h\r\nExpect: 100-Continue\r\nConnection: close\r\n"
        b"Transfer-Encoding: chunked\r\n\r\n"
    )
    _, ask, _ = Asks(OPTIONS).read(data, None)
    assert ask is not None
    assert (ask.expects, ask.close, ask.body().kind) == (True, True, "chunked")
    assert b"\r\nExpect" not in ask.upstream_fields
    assert ask.upstream_fields.endswith(b"Transfer-Encoding: chunked\r\n\r\n") or b"chunked" in ask.upstream_fields
    assert ask.upstream_fields.startswith(b"Host: 127.0.0.1:8000\r\n")
    _, ask, _ = Asks(OPTIONS).read(data.replace(b"100-Continue", b"200-other"), None)
    assert ask is not None
    assert not ask.expects


def test_http_1_0_knows_no_expect() -> None:
    _, ask, _ = Asks(OPTIONS).read(b"GET /scim HTTP/1.0\r\nExpect: 100-continue\r\n\r\n", None)
    assert ask is not None
    assert not ask.expects
    assert ask.close


def test_refusals_and_malformed_heads_are_not_kept() -> None:
    asks = Asks(OPTIONS)
    _, ask, refusal = asks.read(GET.replace(b"Accept: a", b"Host: again"), None)
    assert ask is None
    assert refusal is not None
    assert refusal.status_code == 400
    with pytest.raises(HeadError):
        asks.read(GET.replace(b"Accept: a", b"Accept : a"), None)
    assert not asks._known


def test_memory_is_bounded() -> None:
    asks, answers = Asks(OPTIONS), Answers()
    for number in range(1100):
        asks.read(GET.replace(b": a", b": %d" % number), None)
        answers.read(b"HTTP/1.1 200 OK\r\nA: %d\r\n\r\n" % number, method="GET", http_version="1.1", close=False)
    assert len(asks._known) <= 512
    assert len(answers._known) <= 512
    asks.read(GET.replace(b": a", b": " + b"a" * 9000), None)
    answers.read(b"HTTP/1.1 200 OK\r\nA: %b\r\n\r\n" % (b"a" * 9000), method="GET", http_version="1.1", close=False)
    assert max(len(block) for block, _ in asks._known) < 9000
    assert max(len(key[0]) for key in answers._known) < 9000


def test_an_answer_depends_on_who_asked() -> None:
    answers = Answers()
    head = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
    one = answers.read(head, method="GET", http_version="1.1", close=False)
    assert one is answers.read(head, method="POST", http_version="1.1", close=False)
    assert (one.client_framing, one.close, one.reusable) == ("chunked", False, True)
    old = answers.read(head, method="GET", http_version="1.0", close=False)
    assert (old.client_framing, old.close) == ("close", True)
    none = answers.read(head, method="HEAD", http_version="1.1", close=True)
    assert (none.client_framing, none.close) == ("none", True)
    assert none.given_head.endswith(b"Connection: close\r\n\r\n")


def test_an_answer_that_cannot_be_read_is_refused() -> None:
    answers = Answers()
    with pytest.raises(HeadError, match="switches"):
        answers.read(b"HTTP/1.1 101 S\r\n\r\n", method="GET", http_version="1.1", close=False)
    with pytest.raises(ValueError, match="no single number"):
        answers.read(b"HTTP/1.1 200 OK\r\nContent-Length: x\r\n\r\n", method="GET", http_version="1.1", close=False)


@pytest.mark.parametrize(
    ("status_code", "fields", "expected"),
    [
        (200, [("Content-Length", "5"), ("content-length", "5")], ("5",)),
        (200, [("Content-Length", "5, 5")], ("5",)),
        (304, [("Content-Length", "5, 6")], ()),
        (304, [("Content-Length", "")], ()),
        (204, [("Content-Length", "0")], ()),
        (200, [("Content-Length", "5")], ("5",)),
    ],
)
def test_one_length_or_none_goes_to_the_client(
    status_code: int, fields: list[tuple[str, str]], expected: tuple[str, ...]
) -> None:
    given, _, _ = given_to(Response(status_code, headers=Headers(fields)), "length", "1.1", close=False)
    assert given.headers.get_all("content-length") == expected


def test_an_old_client_is_told_that_the_connection_stays() -> None:
    given, _, close = given_to(Response(200), "length", "1.0", close=False)
    assert given.headers.get("connection") == "keep-alive"
    assert not close
