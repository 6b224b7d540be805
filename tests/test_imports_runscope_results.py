from __future__ import annotations

import json
from typing import Any

import pytest

from scimproxy.errors import FormatError
from scimproxy.imports.runscope_results import from_runscope, is_runscope


def row(**fields: Any) -> dict[str, Any]:
    """A request of a result, with the names of Runscope's result API."""
    return {
        "uuid": "u1",
        "result": "pass",
        "url": "https://scim.example:8443/scim/v2/Users?count=1",
        "method": "GET",
        "assertions": [
            {"result": "pass", "source": "json", "actual_value": "1", "target_value": "1"},
            {"result": "pass", "source": "status_code", "comparison": "equals_number", "actual_value": "200"},
        ],
        "variables": [],
        "scripts": [],
        "timings": {"dns_lookup_ms": 1.5, "dial_ms": 2, "send_headers_ms": 0.5, "wait_for_response_ms": 20},
        **fields,
    }


def result(*rows: Any, **fields: Any) -> dict[str, Any]:
    data = {"test_run_id": "r", "test_name": "SPEC", "started_at": 1000.5, "finished_at": 1010.0, "result": "fail"}
    return {"meta": {"status": "success"}, "data": {**data, "requests": list(rows), **fields}, "error": None}


def test_a_result_is_read() -> None:
    initial = {"uuid": "i", "result": "pass", "url": None, "method": None}
    run, (first, second) = from_runscope(
        json.dumps(result(initial, row(), row(result="skipped"), row(response_time_ms=7))).encode()
    )
    assert (run.name, run.started_at, run.ended_at, run.note) == ("SPEC", 1000.5, 1010.0, "Runscope: fail")
    assert (first.request.target, first.host, first.scheme) == (
        "/scim/v2/Users?count=1",
        "scim.example:8443",
        "https",
    )
    assert first.request.headers.pairs == (("Host", "scim.example:8443"),)
    assert first.response is not None and first.response.status_code == 200 and first.response.content.size == 0
    assert (first.timings.dns, first.timings.connect, first.timings.send, first.timings.wait) == (1.5, 2, 0.5, 20)
    assert first.timings.receive is None and first.timings.total == 24
    assert first.note == "(pass)" and first.started_at == 1000.5
    assert second.started_at == pytest.approx(1000.524) and second.timings.total == 7


def test_details_of_a_step_are_read() -> None:
    sent = {"method": "POST", "url": "http://h/Users", "headers": {"Host": ["h"], "X": "y"}, "body": {"a": 1}}
    got = {"status": 201, "reason": "Created", "headers": {"ETag": ['"1"']}, "body": "é", "size_bytes": 2}
    _, (found,) = from_runscope(result(row(request=sent, response=got, note="make")))
    assert found.request.headers.pairs == (("Host", "h"), ("X", "y")) and found.request.content.data == b'{"a": 1}'
    assert found.response is not None and found.response.reason == "Created"
    assert found.response.headers.get("etag") == '"1"' and found.response.content.data == "é".encode()
    assert found.note == "make (pass)"


def test_what_is_not_known_is_not_made_up() -> None:
    _, exchanges = from_runscope(
        result(
            row(assertions=None, timings=None, error_messages=["no route", 7]),
            row(assertions=[1, {"source": "status_code", "actual_value": "abc"}], note=" "),
            row(response_status_code="503", response_size_bytes=10, url="/relative"),
            row(url="HTTP://h", response={"status": True}),
            test_name=None,
            result=None,
            finished_at=None,
            started_at=None,
        )
    )
    lost, unknown, sized, plain = exchanges
    assert lost.failure is not None and lost.failure.message == "no route; 7" and lost.state == "complete"
    assert (unknown.response, unknown.failure, unknown.state, unknown.note) == (None, None, "aborted", "(pass)")
    assert sized.response is not None and sized.response.status_code == 503 and sized.response.content.truncated
    assert (sized.host, sized.scheme, sized.request.headers.pairs) == (None, None, ())
    assert plain.request.target == "/" and plain.response is not None and plain.response.status_code == 200


def test_our_own_json_is_read() -> None:
    data = {"test_run_id": "1", "requests": [row()], "result": "pass"}
    run, exchanges = from_runscope(data)
    assert len(exchanges) == 1 and run.name == "Runscope"
    assert is_runscope(data) and is_runscope(result()) and not is_runscope({"requests": []})


@pytest.mark.parametrize(
    ("document", "said"),
    [
        ({"data": 1}, "requests: not a list"),
        (result(1), r"requests\[0\]: not an object"),
        (result(row(url=1)), "method and url are no texts"),
        (result(row(method="X" * 300)), "method and url are no texts"),
        (result(row(url="http://[::1/x")), r"requests\[0\].url: "),
        (result(row(timings={"dial_ms": "1"})), r"requests\[0\].timings.dial_ms: not a number"),
        (result(row(response_time_ms=True)), "response_time_ms: not a number"),
        (result(started_at=-1), "^started_at: not a number"),
        (result(row(request={"headers": [1]})), "request.headers: not an object"),
    ],
)
def test_what_is_damaged_is_refused(document: Any, said: str) -> None:
    with pytest.raises(FormatError, match=said):
        from_runscope(json.dumps(document).encode())


def test_too_many() -> None:
    with pytest.raises(FormatError, match="100001, more than 100000"):
        from_runscope({"requests": [1] * 100_001})
