from __future__ import annotations

import factories
import pytest
from hypothesis import given
from hypothesis import strategies as st

from scimproxy.errors import FormatError, UsageError
from scimproxy.exchange import Content, Headers, Request
from scimproxy.replay.request_text import from_text, to_text

PLAIN = Request(
    "POST", "/Users?a=1", headers=Headers([("Accept", "*/*"), ("X-A", "")]), content=Content.of(b'{"a":1}')
)


def test_round_trip() -> None:
    text = to_text(PLAIN)
    assert text.splitlines()[-7:] == ["POST /Users?a=1", "Accept: */*", "X-A: ", "", "{", '  "a": 1', "}"]
    assert from_text(text, PLAIN) == PLAIN, "what was only laid out is not changed"
    assert from_text(text + "\n", PLAIN) == PLAIN, "editors end a file with a line feed"
    assert from_text(text.replace("\n", "\r\n"), PLAIN) == PLAIN
    ended = Request("PUT", "/Users/1", content=Content.of(b"x\n"))
    assert from_text(to_text(ended), ended) == ended
    assert "# not so\n" in to_text(PLAIN, "not so")


@given(st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\r")))
def test_a_body_that_nobody_edits_stays(body: str) -> None:
    request = Request("PUT", "/Users/1", content=Content.of(body.encode()))
    assert from_text(to_text(request), request) == request


def test_edits() -> None:
    edited = from_text(
        "\n# remark\nPATCH /Users/1 HTTP/1.1\nA: b\n# left out\nAuthorization: {{auth}}\n\nx\ny\n", PLAIN
    )
    assert edited is not None
    assert (edited.method, edited.target, list(edited.headers), edited.content.data) == (
        "PATCH",
        "/Users/1",
        [("A", "b"), ("Authorization", "{{auth}}")],
        b"x\ny",
    )
    bare = from_text("GET /Users", PLAIN)
    assert bare is not None and bare.content.size == 0
    assert from_text("# all\n\n", PLAIN) is None


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("# a\nG€T /Users", "line 2: 'G€T' is no method"),
        ("GET Users", "line 1: 'Users' is no target"),
        ("GET /a b", "line 1: '/a b' is no target"),
        ("GET /a\nAccept\n", "line 2: 'Accept' is no header field"),
        ("GET /a\nA: b\nB C: d\n", "line 3: 'B C: d' is no header field"),
        ("GET /a\nA: \x1b[1m\n", "line 2: the value of A holds characters"),
        ("GET /a\nA: ü\n", "line 2: the value of A holds characters"),
        ("x" * 11_000_000, "longer than 10 MiB"),
    ],
)
def test_what_cannot_be_read_is_told_with_its_line(text: str, said: str) -> None:
    with pytest.raises(FormatError) as told:
        from_text(text, PLAIN)
    assert said in told.value.message


def test_bodies_that_are_no_text() -> None:
    with pytest.raises(UsageError, match="no text"):
        to_text(factories.request("POST", body=b"\xff\x00"))
    odd = factories.request("POST", body=b"{no json")
    assert to_text(odd).endswith("\n\n{no json")
