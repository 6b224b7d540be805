from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scimproxy.exchange import Headers
from scimproxy.proxy.http1 import (
    MAX_CHUNK_LINE,
    MAX_FIELDS,
    MAX_TRAILERS,
    BodyError,
    BodyReader,
    HeadError,
    request_body,
    request_head,
    response_head,
    second_opinion,
    write_chunk,
    write_last_chunk,
    write_response_head,
)

HEAD = b"GET /Users?a=%20 HTTP/1.1\r\nHost: h\r\nX-A:  two words \t\r\nx-a: \r\n\r\n"


def test_a_request_head() -> None:
    head = request_head(HEAD)
    assert (head.method, head.target, head.http_version) == ("GET", "/Users?a=%20", "1.1")
    assert head.headers.pairs == (("Host", "h"), ("X-A", "two words"), ("x-a", ""))


def test_a_request_that_asks_for_an_upgrade_is_read() -> None:
    head = request_head(b"GET / HTTP/1.1\r\nHost: h\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n")
    assert head.headers.get("upgrade") == "websocket"


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"GET / HTTP/1.1\nHost: h\r\n\r\n", "bare CR or LF"),
        (b"GET /\rx HTTP/1.1\r\nHost: h\r\n\r\n", "bare CR or LF"),
        (b"GET / HTTP/1.1\r\nA: \x00\r\n\r\n", "NUL"),
        (b"GET  / HTTP/1.1\r\n\r\n", "single spaces"),
        (b"GET /a b HTTP/1.1\r\n\r\n", "single spaces"),
        (b"G@T / HTTP/1.1\r\n\r\n", "not a token"),
        (b"GET /\xc3\xa4 HTTP/1.1\r\n\r\n", "percent-encoded"),
        (b"GET / http/1.1\r\n\r\n", "not HTTP/1.1"),
        (b"GET / HTTP/1.1\r\nHost: h\r\n folded\r\n\r\n", "obs-fold"),
        (b"GET / HTTP/1.1\r\nHost : h\r\n\r\n", "space before the colon"),
        (b"GET / HTTP/1.1\r\nnonsense\r\n\r\n", "no colon"),
        (b"GET / HTTP/1.1\r\nA: \x01\r\n\r\n", "control character"),
        (b"GET / HTTP/1.1\r\nA: b\nC: d\r\n\r\n", "bare CR or LF"),
        (b"GET / HTTP/1.1\r\n: b\r\n\r\n", "not a token"),
        (b"GET / HTTP/1.1\r\n" + b"A" * 100 + b"(: b\r\n\r\n", "..."),
        (b"GET / HTTP/1.1\r\nHost: h", "malformed"),
    ],
)
def test_a_malformed_request_head_is_refused_in_words(data: bytes, words: str) -> None:
    with pytest.raises(HeadError) as caught:
        request_head(data)
    assert caught.value.status_code == 400
    assert words in caught.value.detail


@pytest.mark.parametrize("version", [b"HTTP/2.0", b"HTTP/1.2", b"HTTP/0.9"])
def test_other_versions(version: bytes) -> None:
    with pytest.raises(HeadError, match=r"not HTTP/1\.1") as caught:
        request_head(b"GET / " + version + b"\r\n\r\n")
    assert caught.value.status_code == 505


def test_a_second_reader_must_agree() -> None:
    data = b"NONSENSE / HTTP/1.1\r\nHost: h\r\n\r\n"
    with pytest.raises(HeadError) as caught:
        second_opinion(data, request_head(data))
    assert caught.value.status_code == 501
    assert caught.value.headers == Headers([("Host", "h")])
    data = b"GET / HTTP/1.1\r\nHost: h\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n"
    with pytest.raises(HeadError) as caught:
        second_opinion(data, request_head(data))
    assert caught.value.status_code == 400
    with pytest.raises(HeadError, match="two ways"):
        second_opinion(HEAD, request_head(HEAD.replace(b"two", b"2")))
    second_opinion(HEAD, request_head(HEAD))


def test_too_many_fields() -> None:
    data = b"GET / HTTP/1.1\r\n" + b"A: b\r\n" * (MAX_FIELDS + 1) + b"\r\n"
    with pytest.raises(HeadError) as caught:
        request_head(data)
    assert caught.value.status_code == 431
    with pytest.raises(HeadError, match="more than"):
        response_head(b"HTTP/1.1 200 OK\r\n" + b"A: b\r\n" * (MAX_FIELDS + 1) + b"\r\n")


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        (b"HTTP/1.1 200 OK", ("1.1", 200, "OK")),
        (b"HTTP/1.0 404 Not Found", ("1.0", 404, "Not Found")),
        (b"HTTP/1.1 200", ("1.1", 200, "")),
        (b"HTTP/1.1 200 ", ("1.1", 200, "")),
        (b"HTTP/1.1 200 \xe4h", ("1.1", 200, "\xe4h")),
        (b"HTTP/1.1 101 Switching Protocols", ("1.1", 101, "Switching Protocols")),
        (b"HTTP/1.1 999 What", ("1.1", 999, "What")),
    ],
)
def test_a_response_head(line: bytes, expected: tuple[str, int, str]) -> None:
    head = response_head(line + b"\r\nA: b\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n")
    assert (head.http_version, head.status_code, head.reason) == expected
    assert head.headers.pairs[0] == ("A", "b")


def test_contradicting_framing_of_a_response_is_left_to_the_caller() -> None:
    head = response_head(b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n")
    assert head.headers.pairs == (("Content-Length", "3"), ("Transfer-Encoding", "chunked"))
    head = response_head(b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\nContent-Length: 4\r\n\r\n")
    assert head.headers.get_all("content-length") == ("3", "4")


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"SSH-2.0-x\r\n\r\n", "begins with"),
        (b"HTTP/2 200\r\n\r\n", "status line"),
        (b"HTTP/1.1 20 OK\r\n\r\n", "status line"),
        (b"HTTP/1.1 200 OK\r\nA\r\n\r\n", "no colon"),
        (b"HTTP/1.1 200 OK\r\nA: b\r\n c\r\n\r\n", "obs-fold"),
    ],
)
def test_a_malformed_response_head_is_refused_in_words(data: bytes, words: str) -> None:
    with pytest.raises(HeadError) as caught:
        response_head(data)
    assert words in caught.value.detail


def in_pieces(data: bytes, size: int) -> list[bytes]:
    return [data[at : at + size] for at in range(0, len(data), size)]


@pytest.mark.parametrize("size", [1, 2, 3, 7, 1000])
def test_a_chunked_body_in_any_pieces(size: int) -> None:
    data = b"3\r\nabc\r\n0A;ext=1\r\n0123456789\r\n0\r\nA: b\r\nC: d\r\n\r\nGET /next"
    reader, got, rest = BodyReader("chunked"), b"", b""
    for piece in in_pieces(data, size):
        if reader.done:
            rest += piece
        else:
            got += reader.feed(piece)
            rest += reader.rest
    assert got == b"abc0123456789"
    assert reader.trailers == Headers([("A", "b"), ("C", "d")])
    assert rest == b"GET /next"
    assert reader.end()


@pytest.mark.parametrize(
    "data",
    [
        b"x\r\n",
        b"\r\n",
        b" 3\r\nabc\r\n",
        b"3 \r\nabc\r\n",
        b"0x3\r\nabc\r\n",
        b"-3\r\nabc\r\n",
        b"3\nabc\r\n",
        b"3\r\nabcd\r\n",
        b"3\r\nabc\n0\r\n\r\n",
        b"3;\x00\r\nabc\r\n",
        b"1234567890123456\r\n",
        b"1" * (MAX_CHUNK_LINE + 1),
        b"1;" + b"a" * MAX_CHUNK_LINE + b"\r\n",
        b"0\r\nA : b\r\n\r\n",
        b"0\r\n A: b\r\n\r\n",
        b"0\r\n" + b"A: b\r\n" * MAX_TRAILERS,
        b"0\r\nA: " + b"b" * MAX_TRAILERS + b"\r\n\r\n",
    ],
)
def test_bad_chunks_are_refused(data: bytes) -> None:
    with pytest.raises(BodyError):
        BodyReader("chunked").feed(data)


def test_a_body_of_known_length() -> None:
    reader = BodyReader("length", 5)
    assert (reader.feed(b"ab"), reader.done, reader.left) == (b"ab", False, 3)
    assert not reader.end()
    assert (reader.feed(b"cdeX"), reader.done, reader.rest, reader.left) == (b"cde", True, b"X", 0)
    assert reader.feed(b"Y") == b""
    assert reader.rest == b"XY"


def test_bodies_that_are_none_or_end_with_the_connection() -> None:
    assert BodyReader("none").done
    assert BodyReader("length", 0).done
    reader = BodyReader("close")
    assert (reader.feed(b"ab"), reader.done) == (b"ab", False)
    assert reader.end()


@pytest.mark.parametrize(
    ("fields", "kind"),
    [([], "none"), ([("content-length", "7")], "length"), ([("Transfer-Encoding", "chunked")], "chunked")],
)
def test_the_body_of_a_request(fields: list[tuple[str, str]], kind: str) -> None:
    assert request_body(Headers(fields)).kind == kind


def test_writing() -> None:
    headers = Headers([("A", "b"), ("a", "")])
    assert write_response_head(200, "OK", headers) == b"HTTP/1.1 200 OK\r\nA: b\r\na: \r\n\r\n"
    assert write_chunk(b"x" * 17) == b"11\r\n" + b"x" * 17 + b"\r\n"
    assert write_chunk(b"") == b""
    assert write_last_chunk(None) == b"0\r\n\r\n"
    assert write_last_chunk(headers) == b"0\r\nA: b\r\na: \r\n\r\n"


@given(st.lists(st.binary(min_size=1)), st.integers(1, 50))
def test_what_is_written_in_chunks_is_read_back(pieces: list[bytes], size: int) -> None:
    data = b"".join(map(write_chunk, pieces)) + write_last_chunk(None)
    reader = BodyReader("chunked")
    assert b"".join(reader.feed(piece) for piece in in_pieces(data, size)) == b"".join(pieces)
    assert reader.done
