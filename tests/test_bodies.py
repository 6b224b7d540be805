from __future__ import annotations

import gzip
import json
from dataclasses import replace
from typing import Any

import factories
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scimproxy.bodies import LONGEST, MOST_DEPTH, MOST_VALUES, NOTHING, Body, Reading, read_body, seen
from scimproxy.exchange import Content, Exchange, Headers
from scimproxy.scim.message import operation_of

JSON = Headers([("Content-Type", "application/scim+json")])


def read(data: bytes, headers: Headers = JSON) -> Body:
    return read_body(Content.of(data), headers)


def test_what_a_body_is() -> None:
    assert read(b"") == NOTHING
    assert read(b'\xef\xbb\xbf{"a": [1, null]}') == Body("json", {"a": [1, None]}, mark=True)
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
    assert read(b'[[],"",' + b'{"a":' * (MOST_DEPTH - 2) + b"1" + b"}" * (MOST_DEPTH - 2) + b"]").form == "json"
    assert read(b"[" + b"{}," * MOST_DEPTH + b"[]]").form == "json", "many, and not deep"


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


def test_equal_bodies_of_a_run_are_parsed_once(monkeypatch: pytest.MonkeyPatch) -> None:
    reading = Reading()
    made = [reading.seen(factories.exchange("POST", body=body, answer={"a": 1})) for body in ({"a": 1}, {"a": 2})]
    assert made[0].request.value is made[0].response.value is made[1].response.value
    assert made[1].request.value == {"a": 2}
    other = factories.exchange(answer=b"\xe4")
    assert other.response is not None
    latin = replace(other.response, headers=Headers([("Content-Type", "text/plain; charset=latin-1")]))
    read_as = [reading.seen(one).response for one in (other, replace(other, response=latin))]
    assert [one.form for one in read_as] == ["binary", "text"], "the same bytes with other headers"
    monkeypatch.setattr("scimproxy.bodies._MOST_KEPT", 1)
    assert reading.seen(factories.exchange(answer={"a": 3})).response.value == {"a": 3}
    assert reading.seen(factories.exchange(answer={"a": 1})).response.value is not made[0].response.value


BODIES = st.one_of(
    st.binary(max_size=20),
    st.sampled_from(
        [b"{NaN}", b'{"totalResults": NaN}', b"\xef\xbb\xbf{}", b'[{"id": "1"}]', b"\xff\xfe{\0}\0", b" {} "]
    ),
    st.dictionaries(
        st.sampled_from(["id", "userName", "USERNAME", "schemas", "Operations", "totalResults", "meta", "Errors"]),
        st.none() | st.integers() | st.text(max_size=5) | st.lists(st.text(max_size=5), max_size=2),
    ).map(lambda value: json.dumps(value).encode()),
)


@settings(max_examples=300, deadline=None)
@given(
    st.sampled_from(["GET", "POST", "PATCH"]),
    st.sampled_from(["/scim/v2/Users", "/scim/v2/Users/1", "/x", "/scim/v2/.search", "/scim/v2/Bulk"]),
    BODIES,
    BODIES,
)
def test_the_operation_is_what_it_is_without_bodies_read_before(
    method: str, target: str, body: bytes, answer: bytes
) -> None:
    def made(**more: Any) -> Exchange:
        return factories.exchange(method, target, body=body, answer=answer, **more)

    for one in (made(), made(origin="proxy"), made(response=None)):
        assert seen(one).operation == operation_of(one)
