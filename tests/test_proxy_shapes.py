"""What is made of a block by its shape is what is made of it anew, whatever a peer sends."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from scimproxy.proxy import heads
from scimproxy.proxy.engine import EngineOptions, GuardOptions, Target
from scimproxy.proxy.heads import Answer, Answers, Ask, Asks
from scimproxy.proxy.http1 import HeadError
from scimproxy.proxy.shapes import Lines

OPTIONS = [
    EngineOptions(target=Target("http", "127.0.0.1", 8000, "/scim")),
    EngineOptions(
        target=Target("http", "127.0.0.1", 8000, ""),
        public_origin="https://a.example",
        vouches_for_client=True,
        rewrite_locations=True,
        guard=GuardOptions(mark="me"),
    ),
]
SAID = ["Host", "ETag", "etag", "Date", "Location", "Content-Length", "content-length", "Content-Type", "Traceparent"]
JUDGED = [
    "Transfer-Encoding",
    "Connection",
    "Keep-Alive",
    "X-Forwarded-For",
    "X-Forwarded_Proto",
    "Forwarded",
    "Expect",
]
OTHERS = [
    "Upgrade",
    "TE",
    "Scimproxy-Via",
    "Authorization",
    "Accept-Encoding",
    "Proxy-Authorization",
    "X-A",
    "Trailer",
]
NAMES = st.sampled_from(SAID) | st.sampled_from(JUDGED) | st.sampled_from(OTHERS)
NUMBERS = st.sampled_from(["0", "5", "05", "6", "5, 5", "+5", "9" * 18, "9" * 19])
BARE = st.sampled_from(["a", "b", "", " a", "a ", "\ta", "a\tb", "\0", "\x7f", "\xe9", "a\nb", ": :", 'W/"1"'])
WORDS = st.sampled_from(["chunked", "close", "keep-alive, x-a", "etag", "100-continue", "1.2.3.4", "https", "h2c"])
VALUES = NUMBERS | BARE | WORDS
LINES = st.tuples(NAMES, st.sampled_from([": ", ": ", ": ", ":", ":  ", " : ", ""]), VALUES).map("".join)
BLOCKS = st.lists(LINES, max_size=5).map(lambda lines: "".join(f"{line}\r\n" for line in lines).encode("latin-1"))
CHANGED = st.lists(
    st.tuples(st.integers(0, 400), st.sampled_from([b"a", b"9", b" ", b"\r", b"\n", b":", b"\0"])), max_size=2
)


@pytest.fixture(autouse=True, scope="module")
def _at_the_second_sight() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(heads, "_SIGHTS", 2)
        yield


def outcome(call: Any, *given: Any, **named: Any) -> object:
    """What came of a call: its value, or its refusal in words."""
    try:
        return call(*given, **named)
    except (HeadError, ValueError) as exc:
        return type(exc), str(exc)


def indexes(read: Any) -> object:
    """What is found by name in the fields of an Ask or an Answer."""
    if isinstance(read, Answer):
        return read.came.headers.by_name, read.given.headers.by_name
    ask = read[1]
    return (ask.headers.by_name, ask.upstream.by_name) if isinstance(ask, Ask) else None


def variants(block: bytes, values: list[str]) -> list[bytes]:
    """The block, and blocks of its fields with other values."""
    made = [block, block]
    for value in values:
        lines = block.split(b"\r\n")
        for at, line in enumerate(lines[:-1]):
            name, colon, _ = line.partition(b": ")
            changed = [*lines[:at], name + colon + value.encode("latin-1"), *lines[at + 1 :]] if colon else lines
            made.append(b"\r\n".join(changed))
    return made


def edited(data: bytes, changes: list[tuple[int, bytes]]) -> bytes:
    for at, byte in changes:
        data = data[: at % len(data)] + byte + data[at % len(data) + 1 :]
    return data


@given(BLOCKS, st.lists(VALUES, min_size=1, max_size=3), CHANGED, st.sampled_from([0, 1]))
@example(b"Host: a\r\nContent-Length: 5\r\nETag: 1\r\n", ["7", "x y", "x "], [], 0)
@example(b"Host: a\r\nContent-Length: 5\r\nContent-Length: 5\r\n", ["7"], [], 0)
def test_a_request_is_read_as_if_it_were_the_first(
    block: bytes, values: list[str], changes: list[tuple[int, bytes]], which: int
) -> None:
    asks = Asks(OPTIONS[which])
    for each in variants(b"Host: h\r\n" + block, values):
        head = b"POST /scim/Users HTTP/1.1\r\n" + each + b"\r\n"
        for data in (head, edited(head, changes)):
            now, fresh = (outcome(it.read, data, "1.1.1.1") for it in (asks, Asks(OPTIONS[which])))
            assert now == fresh
            assert indexes(now) == indexes(fresh)


@given(
    st.sampled_from(["200 OK", "201 Created", "204 No Content", "304 Not Modified", "200", "99 x"]),
    BLOCKS,
    st.lists(VALUES, min_size=1, max_size=3),
    CHANGED,
    st.tuples(st.sampled_from(["GET", "HEAD"]), st.sampled_from(["1.0", "1.1"]), st.booleans()),
)
@example("200 OK", b"Content-Length: 5\r\nETag: 1\r\nX-A: 1\r\n", ["7", "", "\xe9"], [], ("GET", "1.1", False))
@example("204 No Content", b"Content-Length: 0\r\n", ["7"], [], ("GET", "1.1", False))
def test_an_answer_is_read_as_if_it_were_the_first(
    status: str,
    block: bytes,
    values: list[str],
    changes: list[tuple[int, bytes]],
    asked: tuple[str, str, bool],
) -> None:
    how: dict[str, Any] = {"method": asked[0], "http_version": asked[1], "close": asked[2]}
    known = Answers()
    for each in variants(block, values):
        head = f"HTTP/1.1 {status}\r\n".encode() + each + b"\r\n"
        for data in (head, edited(head, changes)):
            now, fresh = (outcome(it.read, data, **how) for it in (known, Answers()))
            assert now == fresh
            assert indexes(now) == indexes(fresh)


def test_what_differs_in_free_values_only_is_not_judged_again() -> None:
    answers, asks = Answers(), Asks(OPTIONS[0])
    for number in range(20):
        head = b'HTTP/1.1 200 OK\r\nETag: W/"%d"\r\nContent-Length: %d\r\nKeep-Alive: 5\r\n\r\n' % (number, number)
        made = answers.read(head, method="GET", http_version="1.1", close=False)
        assert made.length == number
        assert made.given_head == b'HTTP/1.1 200 OK\r\nETag: W/"%d"\r\nContent-Length: %d\r\n\r\n' % (number, number)
        head = b"PUT /scim HTTP/1.1\r\nHost: h\r\nTraceparent: %d\r\nContent-Length: %d\r\n\r\n" % (number, number)
        _, ask, _ = asks.read(head, None)
        assert ask is not None
        assert (ask.length, ask.upstream.get("traceparent")) == (number, str(number))
        assert b"\r\nTraceparent: %d\r\n" % number in ask.upstream_fields
    assert len(answers._shapes._known) == len(asks._shapes._known) == 1
    assert not any(isinstance(made, int) for it in (answers, asks) for made in it._shapes._known.values())


def test_a_peer_of_many_shapes_does_not_spoil_it_for_long() -> None:
    answers = Answers()
    for number in range(100):
        answers.read(b"HTTP/1.1 200 OK\r\nA%d: 1\r\n\r\n" % number, method="GET", http_version="1.1", close=False)
    assert len(answers._shapes._known) < 70
    for number in range(70):
        answers.read(b"HTTP/1.1 200 OK\r\nB: %d\r\n\r\n" % number, method="GET", http_version="1.1", close=False)
    assert answers._shapes._missed == 0


def test_memory_is_bounded() -> None:
    answers, asks, lines = Answers(), Asks(OPTIONS[0]), Lines()
    for number in range(600):
        answers.read(b"HTTP/1.1 200 OK\r\nA%d: 1\r\n\r\n" % number, method="GET", http_version="1.1", close=False)
        asks.read(b"GET /scim HTTP/1.1\r\nHost: h\r\nA%d: 1\r\n\r\n" % number, None)
        lines.read(b"A: %d\r\nB: %d" % (number, number))
    lines.read(b"A: " + b"a" * 9000)
    assert len(answers._shapes._known) <= 256
    assert len(asks._shapes._known) <= 256
    assert len(lines._known) <= 1024
    assert max(map(len, lines._known)) <= 256
