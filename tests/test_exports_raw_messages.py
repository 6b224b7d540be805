from __future__ import annotations

import contextlib

import pytest
from factories import exchange
from hypothesis import given
from hypothesis import strategies as st

from scimproxy.errors import FormatError
from scimproxy.exports.formats import raw_request, raw_response
from scimproxy.exports.raw_messages import request_of, response_of


def test_what_export_writes_is_read() -> None:
    made = exchange("POST", "/Users?a=b c", status_code=201, body={"a": 1}, answer={"id": "1"})
    assert made.response is not None
    assert request_of(raw_request(made.request), "x") == made.request
    assert response_of(raw_response(made.response), "x") == made.response


def test_tolerant_reading() -> None:
    found = request_of(b"GET /x y\nHost : h\nbroken line\nA:  b \n\nrest", "x")
    assert (found.target, found.http_version, found.headers.pairs) == ("/x y", "1.1", (("Host ", "h"), ("A", "b")))
    assert found.content.data == b"rest"
    assert request_of(b"GET /x HTTP/2.0\r\n\r\n", "x").http_version == "2"
    assert request_of(b"GET /x HTTP/1.1", "x").content.size == 0
    assert response_of(b"HTTP/1.1 200\r\nContent-Length: 5\r\n\r\nab", "x").content.size == 5
    cut = response_of(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nab", "x")
    assert cut.content.truncated and cut.reason == "OK"
    assert response_of(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n", "x", method="HEAD").content.size == 0
    assert response_of(b"HTTP/1.1 204 No Content\r\nContent-Length: 5\r\n\r\n", "x").content.size == 0


@pytest.mark.parametrize(
    ("body", "data"),
    [
        (b"3\r\nabc\r\n2;x=y\r\nde\r\n0\r\n\r\n", b"abcde"),
        (b"3\r\nabcXX", b"3\r\nabcXX"),
        (b"abc", b"abc"),
        (b"zz\r\nabc", b"zz\r\nabc"),
        (b"3\r\nabc\r\n", b"3\r\nabc\r\n"),
    ],
)
def test_chunks_are_joined_where_they_are_whole(body: bytes, data: bytes) -> None:
    found = request_of(b"POST / HTTP/1.1\r\nTransfer-Encoding: Chunked\r\n\r\n" + body, "x")
    assert found.content.data == data


def test_what_is_no_message_is_refused() -> None:
    with pytest.raises(FormatError, match="here: no request line in b'GET'"):
        request_of(b"GET\r\n\r\n", "here")
    with pytest.raises(FormatError, match=r"here: no status line in b'HTTP/1\.1 abc'"):
        response_of(b"HTTP/1.1 abc\r\n\r\n", "here")
    with pytest.raises(FormatError, match="more than 1000 header fields"):
        request_of(b"GET / HTTP/1.1\r\n" + b"a: b\r\n" * 1001, "here")


@given(st.binary(max_size=300))
def test_any_bytes_are_read_or_refused(data: bytes) -> None:
    for read in (lambda: request_of(data, "x"), lambda: response_of(b"HTTP/1.1 200 " + data, "x")):
        with contextlib.suppress(FormatError):
            read()
