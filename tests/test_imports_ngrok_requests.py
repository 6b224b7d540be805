from __future__ import annotations

import base64
import json
from typing import Any

import pytest

from scimproxy.errors import FormatError
from scimproxy.imports.ngrok_requests import from_ngrok, is_ngrok

RAW = b"POST /scim/v2/Users HTTP/1.1\r\nHost: x.ngrok.app\r\nX-Forwarded-Proto: https\r\nContent-Length: 2\r\n\r\n{}"
ANSWER = b"HTTP/1.1 201 Created\r\nContent-Length: 12\r\n\r\n" + b'{"id":  "1"}'


def raw(data: bytes) -> str:
    return base64.b64encode(data).decode()


def one(**fields: Any) -> dict[str, Any]:
    """A request as the agent's API gives it (https://ngrok.com/docs/agent/api, captured requests)."""
    return {
        "uri": "/api/requests/http/airt_1",
        "id": "airt_1",
        "tunnel_name": "command_line",
        "remote_addr": "192.0.2.7",
        "start": "2026-01-02T03:04:05.123456789-08:00",
        "duration": 12_500_000,
        "request": {"method": "POST", "proto": "HTTP/1.1", "headers": {}, "uri": "/scim/v2/Users", "raw": raw(RAW)},
        "response": {
            "status": "201 Created",
            "status_code": 201,
            "proto": "HTTP/1.1",
            "headers": {},
            "raw": raw(ANSWER),
        },
        **fields,
    }


def listed(*requests: Any) -> bytes:
    return json.dumps({"uri": "/api/requests/http", "requests": list(requests)}).encode()


def test_requests_are_read_the_oldest_first() -> None:
    later = one(start="2026-01-02T12:00:00Z", duration=None)
    run, (first, second) = from_ngrok(listed(later, one()))
    assert (run.kind, run.name, run.exchange_count, run.started_at) == ("import", "ngrok", 2, first.started_at)
    assert (first.request.method, first.request.target, first.request.content.data) == (
        "POST",
        "/scim/v2/Users",
        b"{}",
    )
    assert first.response is not None and first.response.content.data == b'{"id":  "1"}'
    assert (first.host, first.scheme, first.client_claim) == ("x.ngrok.app", "https", "192.0.2.7")
    assert first.started_at == pytest.approx(1767351845.123456)
    assert first.timings.total == 12.5 and first.ended_at is not None
    assert first.ended_at - first.started_at == pytest.approx(0.0125, abs=1e-6)
    assert second.ended_at is None and second.started_at > first.started_at


def test_without_raw_the_members_are_read() -> None:
    given = one(
        request={"method": "GET", "uri": "/x", "headers": {"A": ["b", "c"], "D": "é"}},
        response={"status": "502 Bad Gateway", "status_code": 502, "headers": None},
        start="2026-01-02T03:04:05",
        remote_addr="",
    )
    _, (found,) = from_ngrok(json.dumps(given).encode())
    assert found.request.headers.pairs == (("A", "b"), ("A", "c"), ("D", "Ã©"))
    assert found.response is not None and (found.response.status_code, found.response.reason) == (502, "Bad Gateway")
    assert (found.client_claim, found.scheme) == (None, "https")
    _, (found,) = from_ngrok(listed(one(response=None)))
    assert (found.response, found.state, found.origin) == (None, "aborted", None)
    assert from_ngrok(listed())[1] == []


def test_detection() -> None:
    assert (
        is_ngrok(one())
        and is_ngrok({"requests": [one()]})
        and is_ngrok({"uri": "/api/requests/http", "requests": []})
    )
    assert not is_ngrok({"requests": []}) and not is_ngrok({"requests": [1]})


@pytest.mark.parametrize(
    ("document", "said"),
    [
        ({"requests": 1}, "requests: not a list"),
        ({"x": 1}, "requests: not a list"),
        ({"requests": [1]}, r"requests\[0\]: not an object"),
        ({"requests": [one(request=None)]}, r"requests\[0\].request: not an object"),
        ({"requests": [one(request={"raw": 1})]}, r"request.raw: not a text"),
        ({"requests": [one(request={"raw": "%%%"})]}, r"request.raw: "),
        ({"requests": [one(request={"raw": "aGk="})]}, "request.raw: no request line"),
        ({"requests": [one(request={})]}, "neither raw nor method and uri"),
        ({"requests": [one(response=[1])]}, "response: not an object"),
        ({"requests": [one(response={"status_code": True})]}, "neither raw nor status_code"),
        ({"requests": [one(response={"status_code": 7})]}, "neither raw nor status_code"),
        ({"requests": [one(start=7)]}, "start: not a time"),
        ({"requests": [one(start="yesterday")]}, "start: 'yesterday' is not a time"),
        ({"requests": [one(duration="1")]}, "duration: not a number"),
        ({"requests": [one(duration=-1)]}, "duration: not a number"),
        ({"requests": [one(request={"method": "GET", "uri": "/", "headers": [1]})]}, "headers: not an object"),
    ],
)
def test_what_is_damaged_is_refused(document: Any, said: str) -> None:
    with pytest.raises(FormatError, match=said):
        from_ngrok(json.dumps(document).encode())


def test_too_many() -> None:
    with pytest.raises(FormatError, match="100001, more than 100000"):
        from_ngrok({"requests": [1] * 100_001})
