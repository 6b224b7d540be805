"""Bulk requests: order, references, errors, limits."""

from __future__ import annotations

import json
from itertools import count
from typing import Any

import pytest

from scimproxy.exchange import Headers
from scimproxy.scim.bulk import run_bulk
from scimproxy.scim.dialect import BULK_REQUEST, BULK_RESPONSE, Answer, Call, Dialect, Refusal

BASE = "https://x/v2"


class Service:
    """Remembers what it was asked, and refuses what says so."""

    def __init__(self) -> None:
        self.calls: list[tuple[str, str, Any, str | None]] = []
        self.headers: list[Headers] = []

    def perform(self, call: Call, new_id: str | None) -> Answer:
        data = json.loads(call.content) if call.content else None
        self.calls.append((call.method, call.path + (f"?{call.query}" if call.query else ""), data, new_id))
        self.headers.append(call.headers)
        if data and data.get("fail"):
            raise Refusal(400, "asked to fail", "invalidValue")
        if call.method == "DELETE":
            return Answer(204)
        location = f"{BASE}/Users/{new_id}"
        headers = Headers([("ETag", 'W/"1"'), *([("Location", location)] if call.method == "POST" else [])])
        return Answer(201 if call.method == "POST" else 200, headers, {"meta": {"location": location}})

    def run(
        self, *operations: Any, dialect: Dialect | None = None, **more: Any
    ) -> tuple[list[dict[str, Any]], frozenset[str]]:
        numbers = count(1)
        message = {"schemas": [BULK_REQUEST], "Operations": list(operations), **more}
        answer, lost = run_bulk(
            message,
            Call("POST", "/Bulk", base_url=BASE, user="me"),
            dialect or Dialect(),
            perform=self.perform,
            refuse=lambda refusal: Answer(
                refusal.status, body={"status": str(refusal.status), "detail": refusal.detail}
            ),
            new_id=lambda: f"id{next(numbers)}",
        )
        assert answer.status == 200 and answer.body is not None
        assert answer.body["schemas"] == [BULK_RESPONSE]
        return answer.body["Operations"], lost


@pytest.fixture
def service() -> Service:
    return Service()


def post(bulk_id: str, **data: Any) -> dict[str, Any]:
    return {"method": "POST", "path": "/Users", "bulkId": bulk_id, "data": data}


def test_each_kind_of_operation(service: Service) -> None:
    results, lost = service.run(
        post("a", userName="a"),
        {"method": "put", "path": "/Users/7?attributes=id", "version": 'W/"9"', "data": {"x": 1}},
        {"method": "PATCH", "path": "/Users/8", "bulkId": "p", "data": {"x": 2}},
        {"method": "DELETE", "path": "/Users/9"},
    )
    assert lost == frozenset()
    assert service.calls == [
        ("POST", "/Users", {"userName": "a"}, "id1"),
        ("PUT", "/Users/7?attributes=id", {"x": 1}, None),
        ("PATCH", "/Users/8", {"x": 2}, None),
        ("DELETE", "/Users/9", None, None),
    ]
    assert service.headers[1].get("If-Match") == 'W/"9"'
    assert results[0] == {
        "method": "POST",
        "bulkId": "a",
        "location": f"{BASE}/Users/id1",
        "version": 'W/"1"',
        "status": "201",
    }
    assert results[2]["bulkId"] == "p" and results[2]["status"] == "200"
    assert results[3] == {"method": "DELETE", "location": f"{BASE}/Users/9", "status": "204"}


def test_references_are_resolved_wherever_they_stand_and_decide_the_order(service: Service) -> None:
    results, _ = service.run(
        {"method": "PATCH", "path": "/Groups/bulkId:g", "data": {"deep": [{"value": "bulkId:u"}, 1, None, True]}},
        post("g", members=[{"value": "bulkId:u"}]),
        post("u"),
    )
    assert [call[:3] for call in service.calls] == [
        ("POST", "/Users", {}),
        ("POST", "/Users", {"members": [{"value": "id2"}]}),
        ("PATCH", "/Groups/id1", {"deep": [{"value": "id2"}, 1, None, True]}),
    ]
    assert [one["method"] for one in results] == ["PATCH", "POST", "POST"], "answers keep the order of the request"


def test_circles_are_resolved(service: Service) -> None:
    results, _ = service.run(post("a", other="bulkId:b", own="bulkId:a"), post("b", other="bulkId:a"))
    assert [call[2] for call in service.calls] == [{"other": "id1"}, {"other": "id2", "own": "id1"}]
    assert [one["status"] for one in results] == ["201", "201"]


def test_what_refers_to_a_failure_fails_too(service: Service) -> None:
    results, lost = service.run(
        post("a", fail=True), post("b", other="bulkId:a"), post("c", other="bulkId:nobody"), post("d")
    )
    assert [one["status"] for one in results] == ["400", "409", "409", "201"]
    assert results[0]["response"] == {"status": "400", "detail": "asked to fail"}
    assert "location" not in results[0]
    assert "nobody" in results[2]["response"]["detail"]
    assert lost == {"id1", "id2", "id3"}


def test_fail_on_errors_stops(service: Service) -> None:
    results, lost = service.run(post("a", fail=True), post("b"), post("c", fail=True), post("d"), failOnErrors=2)
    assert [one["status"] for one in results] == ["400", "201", "400"]
    assert lost == {"id1", "id3", "id4"}
    patch = {"method": "PATCH", "path": "/Users/1", "data": {"fail": True}}
    assert [one["status"] for one in service.run(patch, patch, failOnErrors=1)[0]] == ["400"]


@pytest.mark.parametrize(
    "operation",
    [
        "text",
        {"path": "/Users", "bulkId": "a", "data": {}},
        {"method": "GET", "path": "/Users"},
        {"method": "POST", "bulkId": "a", "data": {}},
        {"method": "POST", "path": "Users", "bulkId": "a", "data": {}},
        {"method": "POST", "path": "/Users", "data": {}},
        {"method": "POST", "path": "/Users", "bulkId": 1, "data": {}},
        {"method": "PUT", "path": "/Users/1"},
        {"method": "PUT", "path": "/Users/1", "data": []},
    ],
)
def test_malformed_operations_refuse_the_whole(service: Service, operation: Any) -> None:
    with pytest.raises(Refusal) as caught:
        service.run(post("z"), operation)
    assert (caught.value.status, caught.value.scim_type) == (400, "invalidSyntax")
    assert "Operations[1]" in caught.value.detail
    assert service.calls == []


@pytest.mark.parametrize(
    ("more", "status"),
    [
        ({"schemas": []}, 400),
        ({"schemas": None}, 400),
        ({"Operations": []}, 400),
        ({"Operations": {}}, 400),
        ({"failOnErrors": 0}, 400),
        ({"failOnErrors": True}, 400),
        ({"failOnErrors": "1"}, 400),
        ({"Operations": [post("a"), post("a")]}, 400),
        ({"Operations": [post("a"), post("b"), post("c")]}, 413),
    ],
)
def test_malformed_messages(service: Service, more: dict[str, Any], status: int) -> None:
    with pytest.raises(Refusal) as caught:
        service.run(post("z"), dialect=Dialect(max_operations=2), **more)
    assert caught.value.status == status


def test_many_operations_in_a_chain_need_no_stack(service: Service) -> None:
    chain = [post(str(n), other=f"bulkId:{n + 1}") for n in range(3000)]
    results, _ = service.run(*chain, post("3000"), dialect=Dialect(max_operations=5000))
    assert {one["status"] for one in results} == {"201"}
    assert service.calls[0][3] == "id3001"
