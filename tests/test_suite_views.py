"""What scripts see of requests and answers, and what their changes make of a request."""

from __future__ import annotations

import gzip

from factories import exchange, response

from scimproxy.exchange import Headers
from scimproxy.suite.composing import Draft
from scimproxy.suite.views import apply_changes, edited, request_view, response_view, view_of

DRAFT = Draft(
    method="POST",
    url="http://h:1/scim/Users?a=1&b=x%20y&c",
    headers=(("X", ("1", "2")), ("x", ("3",))),
    body="{}",
    form=(("f", ("1",)),),
)


def test_a_request_in_parts() -> None:
    assert request_view(DRAFT) == {
        "method": "POST",
        "url": "http://h:1/scim/Users?a=1&b=x%20y&c",
        "scheme": "http",
        "host": "h:1",
        "path": "/scim/Users",
        "params": [{"name": "a", "value": "1"}, {"name": "b", "value": "x y"}, {"name": "c", "value": ""}],
        "headers": {"X": ["1", "2", "3"]},
        "form": {"f": ["1"]},
        "body": "{}",
        "size_bytes": 2,
    }
    assert request_view(Draft(method="GET", url="x"))["params"] == []
    assert request_view(Draft(method="GET", url="x"))["host"] == ""


def test_changes() -> None:
    assert apply_changes(DRAFT, {}) == DRAFT
    assert apply_changes(DRAFT, {"url": "http://other/", "path": "/p"}).url == "http://other/"
    assert apply_changes(DRAFT, {"params": [["q", "a b&"]]}).url == "http://h:1/scim/Users?q=a%20b%26"
    assert apply_changes(DRAFT, {"params": []}).url == "http://h:1/scim/Users"
    assert apply_changes(DRAFT, {"path": "/p", "scheme": "https"}).url == "https://h:1/p?a=1&b=x%20y&c"
    assert apply_changes(DRAFT, {"host": "o"}).url == "http://o/scim/Users?a=1&b=x%20y&c"
    assert apply_changes(DRAFT, {"method": "PUT"}).method == "PUT"
    assert apply_changes(DRAFT, {"headers": {"A": ["1"], "B": "2"}}).headers == (("A", ("1",)), ("B", ("2",)))
    changed = apply_changes(DRAFT, {"content_type": "a/b"})
    assert changed.headers[-1] == ("Content-Type", ("a/b",))
    assert apply_changes(DRAFT, {"form": {"g": ["2"]}}).form == (("g", ("2",)),)
    changed = apply_changes(DRAFT, {"body": "new"})
    assert (changed.body, changed.form) == ("new", ())


def test_an_answer() -> None:
    packed = gzip.compress(b'{"a": 1}')
    answer = response(201, packed, headers=[("Content-Encoding", "gzip"), ("Content-Type", "application/json")])
    view = view_of(exchange(response=answer))
    assert view is not None
    assert view.json == {"a": 1}
    seen = response_view(view)
    assert seen["status"] == 201
    assert seen["body"] == '{"a": 1}'
    assert seen["size_bytes"] == len(packed)
    assert seen["headers"]["Content-Encoding"] == ["gzip"]
    assert isinstance(seen["response_time_ms"], int)
    assert view_of(exchange(response=None)) is None


def test_a_script_takes_secrets_out_of_the_record() -> None:
    made = exchange(
        "POST", "/a?t=secret", body="secret", response=response(200, b"secret", headers={"Content-Encoding": "gzip"})
    )
    assert edited(made, {}, {}) == made
    clean = edited(
        made,
        {"url": "http://h/a?t=x", "body": "x", "headers": {"A": ["1", "2"]}},
        {"body": "y", "headers": {"B": ["é"]}},
    )
    assert (clean.request.target, clean.request.content.data) == ("/a?t=x", b"x")
    assert clean.request.headers.pairs == (("A", "1"), ("A", "2"))
    assert clean.response is not None
    assert (clean.response.content.data, clean.response.content.size, clean.response.content.redacted) == (
        b"y",
        6,
        True,
    )
    assert clean.response.headers == Headers([("B", "é".encode().decode("latin-1"))])
    assert edited(made, {"url": "http://h"}, {}).request.target == "/"
    only_body = edited(made, {}, {"body": "y"}).response
    assert only_body is not None
    assert "Content-Encoding" not in only_body.headers
    assert edited(exchange(response=None), {}, {"body": "y", "headers": {}}).response is None
