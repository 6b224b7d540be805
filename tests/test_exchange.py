from __future__ import annotations

import dataclasses

import pytest
from factories import connection, exchange, request, response
from hypothesis import given
from hypothesis import strategies as st

from scimproxy.exchange import SECRET_HEADERS, Content, Headers, Request, fingerprint

PAIRS = [("Host", "a"), ("Set-Cookie", "x=1"), ("host", "b"), ("Set-Cookie", "y=2")]


def test_headers_keep_order_case_and_duplicates() -> None:
    headers = Headers(PAIRS)
    assert list(headers) == PAIRS
    assert headers.pairs == tuple(PAIRS)
    assert len(headers) == 4
    assert headers.get("HOST") == "a"
    assert headers.get_all("set-COOKIE") == ("x=1", "y=2")
    assert headers.get("missing") is None
    assert headers.get("missing", "d") == "d"
    assert headers.get_all("missing") == ()
    assert "hOst" in headers
    assert "missing" not in headers
    assert 3 not in headers


def test_headers_change_into_new_ones() -> None:
    headers = Headers(PAIRS)
    assert Headers([("a", "1"), *PAIRS]).without("HOST", "A").pairs == (PAIRS[1], PAIRS[3])
    assert headers.with_field("HOST", "c").pairs == (("Host", "c"), PAIRS[1], PAIRS[3])
    assert headers.with_field("New", "n").pairs == (*PAIRS, ("New", "n"))
    assert headers.with_added("Host", "z").pairs == (*PAIRS, ("Host", "z"))
    assert list(headers) == PAIRS


def test_headers_compare_and_hash() -> None:
    assert Headers(PAIRS) == Headers(PAIRS)
    assert hash(Headers(PAIRS)) == hash(Headers(PAIRS))
    assert Headers(PAIRS) != Headers(PAIRS[:1])
    assert Headers() != ()


@given(st.lists(st.tuples(st.binary(), st.binary())))
def test_headers_give_back_every_byte(pairs: list[tuple[bytes, bytes]]) -> None:
    assert Headers.from_raw(pairs).raw() == tuple(pairs)


@pytest.mark.parametrize("name", sorted(SECRET_HEADERS))
def test_repr_shows_no_secret(name: str) -> None:
    made = exchange(
        request=request("GET", "/Users?token=hush-hush", headers={name.title(): "hush-hush"}, body=b"hush-hush")
    )
    assert "hush" not in repr(made)
    assert fingerprint("hush-hush") in repr(made)
    assert "hush" not in repr(made.request.headers)


def test_repr_of_a_request_without_query() -> None:
    assert repr(Request("GET", "/Users")).startswith("Request('GET', '/Users', Headers([])")


def test_fingerprint_is_the_start_of_sha256() -> None:
    assert fingerprint("abc") == fingerprint(b"abc") == "sha256:ba7816bf"
    assert fingerprint("\udcff") == fingerprint(b"\xff")


def test_content_knows_whether_it_is_whole() -> None:
    whole = Content.of(b"abc")
    assert (whole.size, whole.truncated, len(whole.sha256)) == (3, False, 64)
    assert dataclasses.replace(whole, size=9).truncated
    assert not dataclasses.replace(whole, size=9, redacted=True).truncated


def test_request_splits_its_target() -> None:
    assert (request(target="/a?b?c").path, request(target="/a?b?c").query) == ("/a", "b?c")
    assert (request(target="/a?").query, request(target="/a").query) == ("", None)


def test_reuse_follows_the_number_on_the_connection() -> None:
    assert exchange(upstream_index=2).reused is True
    assert exchange(upstream_index=1).reused is False
    assert exchange(upstream_index=None).reused is None


@pytest.mark.parametrize("thing", [exchange(), request(), response(), connection(), Content.of(b"")])
def test_values_are_frozen_and_slotted(thing: object) -> None:
    assert not hasattr(thing, "__dict__")
    with pytest.raises(dataclasses.FrozenInstanceError):
        setattr(thing, dataclasses.fields(thing)[0].name, "x")  # type: ignore[arg-type]
