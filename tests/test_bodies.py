from __future__ import annotations

import gzip

import factories
import pytest

from scimproxy.bodies import LONGEST, MOST_DEPTH, MOST_VALUES, NOTHING, Body, read_body, seen
from scimproxy.exchange import Content, Headers

JSON = Headers([("Content-Type", "application/scim+json")])


def read(data: bytes, headers: Headers = JSON) -> Body:
    return read_body(Content.of(data), headers)


def test_what_a_body_is() -> None:
    assert read(b"") == NOTHING
    assert read(b'\xef\xbb\xbf{"a": [1, null]}') == Body("json", {"a": [1, None]})
    assert read(b"<html>") == Body("text", "<html>", sha256=Content.of(b"<html>").sha256)
    assert read(b"\x00\x01").form == "binary"
    zipped = Headers([("Content-Encoding", "gzip")])
    assert read(gzip.compress(b"7"), zipped) == Body("json", 7)


@pytest.mark.parametrize("data", [b"[NaN]", b"[Infinity]", b"{} trailing", b"{'a': 1}", b"[" + b"9" * 5000 + b"]"])
def test_what_is_no_json(data: bytes) -> None:
    assert read(data).form == "text"


@pytest.mark.parametrize(
    ("data", "word"),
    [
        (b"[" * 100_000 + b"]" * 100_000, f"nested deeper than {MOST_DEPTH}"),
        (b"[" * (MOST_DEPTH + 1) + b"]" * (MOST_DEPTH + 1), f"nested deeper than {MOST_DEPTH}"),
        (b"[" + b"1," * MOST_VALUES + b"1]", f"of more than {MOST_VALUES} values"),
        (b'"' + b"a" * LONGEST + b'"', f"longer than {LONGEST} bytes"),
    ],
)
def test_hostile_bodies_are_refused_with_a_word(data: bytes, word: str) -> None:
    found = read(data)
    assert (found.form, found.value, found.word) == ("refused", None, word)
    assert found.sha256 == Content.of(data).sha256


def test_the_deepest_that_is_read() -> None:
    assert read(b'{"a":' * (MOST_DEPTH - 1) + b"1" + b"}" * (MOST_DEPTH - 1)).form == "json"


def test_a_body_that_was_cut() -> None:
    assert read_body(Content(b"{", 10, "ab"), JSON) == Body(
        "refused", word="stored in part only, of 10 bytes", sha256="ab"
    )


def test_an_exchange_is_read_once() -> None:
    made = seen(factories.exchange("POST", body={"a": 1}, answer=b"no", host="h"), ("1", "Create"))
    assert (made.operation.kind, made.request.value, made.response.value) == ("create", {"a": 1}, "no")
    assert (made.step, made.host) == (("1", "Create"), "scim.example")
    bare = seen(factories.exchange(response=None, request=factories.request(headers={"Host": ""}), host=None))
    assert (bare.response, bare.host) == (NOTHING, "")
