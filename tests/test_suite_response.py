from __future__ import annotations

import pytest

from scimproxy.exchange import Headers
from scimproxy.suite.response import ReadProblem, ResponseView


def view(body: bytes, content_type: str | None = None) -> ResponseView:
    return ResponseView(200, Headers([("content-type", content_type)] if content_type else []), body)


@pytest.mark.parametrize(
    ("body", "content_type", "text"),
    [
        ("Ö".encode(), None, "Ö"),
        ("Ö".encode("latin-1"), 'text/plain; charset="ISO-8859-1"', "Ö"),
        ("Ö".encode("utf-16"), None, "Ö"),
        ("\ufeffÖ".encode(), "application/json", "Ö"),
        ("Ö".encode(), "text/plain; charset=klingon", "Ö"),
        ("Ö".encode(), "text/plain; charset=hex", "Ö"),
        (b"\xff", None, "\ufffd"),
        (b"", None, ""),
    ],
)
def test_text(body: bytes, content_type: str | None, text: str) -> None:
    assert view(body, content_type).text == text


def test_json_is_read_once() -> None:
    response = view(b'{"a": [1]}')
    assert response.json == {"a": [1]}
    assert response.json is response.json


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (b"", "The response body is empty."),
        (b"<html>", "The response body is not JSON: Expecting value"),
        (b"[" * 1000 + b"]" * 1000, "nests deeper"),
        (b"NaN", "NaN is not a JSON number"),
    ],
)
def test_no_json(body: bytes, words: str) -> None:
    problem = view(body).json
    assert isinstance(problem, ReadProblem)
    assert words in problem.message


def test_size() -> None:
    assert view(b"abc").size == 3
    assert ResponseView(200, body=b"abc", size_bytes=0).size == 0


def test_repr_has_no_body() -> None:
    assert "secret" not in repr(view(b"secret"))
