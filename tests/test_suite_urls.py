from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scimproxy.suite.urls import encode_form, encode_url, with_arguments


@pytest.mark.parametrize(
    ("url", "encoded"),
    [
        # Okta's own (runscope.md 0): blanks and quotes are encoded, the rest stays in its order.
        (
            'http://h/Users?filter=userName eq "a@b.c"&count=1',
            "http://h/Users?filter=userName%20eq%20%22a@b.c%22&count=1",
        ),
        ("http://h/a%20b?c=%7Bd%7D", "http://h/a%20b?c=%7Bd%7D"),
        ("http://h/?z=1&a=2&z=3", "http://h/?z=1&a=2&z=3"),
        ("http://h/<>{}|\\^`", "http://h/%3C%3E%7B%7D%7C%5C%5E%60"),
        ("http://h/ä?ö=€", "http://h/%C3%A4?%C3%B6=%E2%82%AC"),
        ("http://h/100%", "http://h/100%25"),
        ("http://h/%zz%4", "http://h/%25zz%254"),
        ("http://h/a\n\tb\x7f", "http://h/a%0A%09b%7F"),
        ("  http://h/a ", "http://h/a"),
        ("http://bücher.example/ä", "http://bücher.example/%C3%A4"),
        ("http://h/a[0]?x=(1),*!'~+;:@", "http://h/a[0]?x=(1),*!'~+;:@"),
        ("http://h/\ud800", "http://h/%3F"),
        ("/relative path", "/relative%20path"),
        ("", ""),
    ],
)
def test_encodes_only_what_is_illegal(url: str, encoded: str) -> None:
    assert encode_url(url) == encoded


@given(st.text())
def test_encoding_twice_changes_nothing(text: str) -> None:
    once = encode_url(f"http://h/{text}")
    assert encode_url(once) == once
    assert re.fullmatch(r"""[!#-;=?-\[\]_a-z~]*""", once)


def test_arguments() -> None:
    pairs = (("a b", ("1", "2&3")), ("none", ()), ("ä", ("",)))
    assert with_arguments("http://h/", pairs) == "http://h/?a%20b=1&a%20b=2%263&%C3%A4="
    assert with_arguments("http://h/?x=1#f", (("y", ("2",)),)) == "http://h/?x=1&y=2#f"
    assert with_arguments("http://h/?", (("y", ("2",)),)) == "http://h/?y=2"
    assert with_arguments("http://h/?x=1", ()) == "http://h/?x=1"
    assert with_arguments("h", (("\ud800", ("",)),)) == "h?%3F="


def test_forms() -> None:
    assert encode_form((("a b", ("1", "2&3")), ("ä", ("",)))) == "a+b=1&a+b=2%263&%C3%A4="
    assert encode_form(()) == ""
    assert encode_form((("\ud800", ("x",)),)) == "%3F=x"
