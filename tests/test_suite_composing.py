"""From a filled-in step to a request: what goes out, and what is refused with Runscope's words."""

from __future__ import annotations

import pytest

from scimproxy.errors import UsageError
from scimproxy.suite.composing import Draft, basic_credentials, compose, graphql_body


def draft(url: str = "http://scim.example/scim/v2/Users", **fields: object) -> Draft:
    return Draft(**{"method": "GET", "url": url, **fields})  # type: ignore[arg-type]  # any field


@pytest.mark.parametrize(
    ("url", "origin", "target"),
    [
        ('http://h/Users?filter=userName eq "a"', "http://h", "/Users?filter=userName%20eq%20%22a%22"),
        ("HTTPS://h:8443/a%20b?x=%zz#frag", "https://h:8443", "/a%20b?x=%25zz"),
        ("http://h", "http://h", "/"),
        ("http://h?q=1", "http://h", "/?q=1"),
        ("  http://h/a  ", "http://h", "/a"),
        ("http://h/{{x}}}}", "http://h", "/%7B%7Bx%7D%7D%7D%7D"),
    ],
)
def test_urls(url: str, origin: str, target: str) -> None:
    request, to = compose(draft(url))
    assert (to, request.target) == (origin, target)


def test_headers_are_repeated_trimmed_and_completed() -> None:
    request, _ = compose(draft(headers=(("Accept ", (" a", "b ")), ("X", ("é",)))))
    assert request.headers.pairs == (
        ("Accept", "a"),
        ("Accept", "b"),
        ("X", "é".encode().decode("latin-1")),
        ("User-Agent", "runscope-radar/2.0"),
    )
    request, _ = compose(draft(headers=(("user-agent", ("me",)),)))
    assert request.headers.pairs == (("user-agent", "me"),)


def test_a_login_in_the_url_becomes_a_header() -> None:
    request, origin = compose(draft("http://us%40er:pw@h/x"))
    assert origin == "http://h"
    assert request.headers.get("Authorization") == basic_credentials("us@er", "pw")
    request, _ = compose(draft("http://user:pw@h/x", headers=(("authorization", ("mine",)),)))
    assert request.headers.get_all("Authorization") == ("mine",)


def test_bodies_and_forms() -> None:
    assert compose(draft(method="DELETE", body=""))[0].content.data == b""
    assert compose(draft(method="POST", body="é\r\n"))[0].content.data == "é\r\n".encode()
    request, _ = compose(draft(method="POST", form=(("a b", ("1", "&")),)))
    assert request.content.data == b"a+b=1&a+b=%26"
    assert request.headers.get("Content-Type") == "application/x-www-form-urlencoded"
    request, _ = compose(draft(method="POST", form=(("a", ("1",)),), headers=(("content-type", ("x/y",)),)))
    assert request.headers.get_all("Content-Type") == ("x/y",)
    assert graphql_body({"query": "{ é }"}) == '{"query": "{ é }"}'


@pytest.mark.parametrize(
    ("given", "words"),
    [
        (draft("  "), "Unable to execute empty request"),
        (draft("/Users"), "Request failed to set 'url' — '/Users' is not an http or https URL"),
        (draft("ftp://h/"), "is not an http or https URL"),
        (draft("http://h/", method="G ET"), "Request failed to set 'method' — 'G ET' is not an HTTP method"),
        (
            draft("http://h/", headers=(("a b", ("x",)),)),
            "Request failed to set 'headers' — 'a b' is not a header name",
        ),
        (draft("http://h/", headers=(("a", ("x\ny",)),)), "the value of a holds a control character"),
    ],
)
def test_what_is_no_request(given: Draft, words: str) -> None:
    with pytest.raises(UsageError, match=words.replace("(", "\\(")):
        compose(given)


def test_no_secret_in_the_repr() -> None:
    assert "s3cret" not in repr(
        draft(headers=(("Authorization", ("s3cret",)),), body="s3cret", form=(("a", ("s3cret",)),))
    )
