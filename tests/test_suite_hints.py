"""Why an assertion failed: every row of the table is found by an example, and says where it comes from."""

from __future__ import annotations

from typing import Any

import pytest

from scimproxy.suite.hints import HINTS, why
from scimproxy.suite.results import AssertionResult, StepResult


def told(name: str, **members: Any) -> tuple[StepResult, AssertionResult]:
    step = {key: members.pop(key) for key in ("method", "url", "note") if key in members}
    made = {"result": "fail", "source": "response_json", "comparison": "equal", **members}
    return StepResult(number="1", step_type="request", result="fail", **step), AssertionResult(**made)


def code(target: object, actual: object) -> dict[str, Any]:
    return {"source": "response_status", "comparison": "equal_number", "target_value": target, "actual_value": actual}


EXAMPLES: dict[str, dict[str, Any]] = {
    "base-path": {"method": "GET", "url": "http://h/Users?count=1", **code("200", 404)},
    "token-refused": {"method": "GET", "url": "http://h/Users/1", **code(200, 401)},
    "duplicate-not-409": {"method": "POST", **code(409, 201)},
    "create-not-201": {"method": "POST", **code("201", 200)},
    "no-401": {"method": "GET", **code(401, 200)},
    "no-404": {"method": "GET", **code(404, 200)},
    "delete-not-204": {"method": "DELETE", **code(204, 200)},
    "bad-filter-not-400": {"method": "GET", "url": "http://h/Users?filter=x", **code(400, 200)},
    "server-error": {"method": "PUT", **code(200, 500)},
    "status-other": {"method": "PUT", **code(200, 418)},
    "case-of-user-name": {"property": "Resources[0].userName", "target_value": "Ab", "actual_value": "ab"},
    "resources-absent": {"property": "Resources", "comparison": "not_empty"},
    "list-numbers": {"property": "itemsPerPage", "comparison": "is_a_number"},
    "name-parts": {"property": "name.givenName", "comparison": "not_empty"},
    "emails": {"property": "emails[0].value", "comparison": "not_empty"},
    "active": {"property": "active", "target_value": "true", "actual_value": "True"},
    "error-body": {"property": "detail", "comparison": "not_empty"},
    "schemas": {"property": "schemas", "comparison": "has_value"},
    "service-provider-config": {"url": "http://h/ServiceProviderConfig", "property": "bulk.maxOperations"},
    "id-absent": {"property": "id", "comparison": "not_empty"},
    "slow": {"source": "response_time", "comparison": "is_less_than", "target_value": 600, "actual_value": 700},
    "media-type": {"source": "response_headers", "property": "content-type"},
}


def test_every_row_has_an_example() -> None:
    assert sorted(EXAMPLES) == sorted(row.name for row in HINTS)


@pytest.mark.parametrize("row", HINTS, ids=lambda row: row.name)
def test_rows_are_found_and_complete(row: Any) -> None:
    found = why(*told(row.name, **EXAMPLES[row.name]))
    assert found is not None
    assert (found.rule, found.section, found.cause, found.source) == (row.rule, row.section, row.cause, row.source)
    assert all((row.rule, row.section, row.cause, row.source))
    assert row.rule.endswith(".")


def test_what_was_expected_and_what_came() -> None:
    found = why(*told("x", property="a", target_value="1", actual_value=2, place="/a"))
    assert found is not None
    assert (found.expected, found.came, found.place, found.rule) == ('equal "1"', "2", "/a", None)
    found = why(*told("x", property="a", comparison="not_empty", error="Unable to locate a."))
    assert found is not None
    assert (found.expected, found.came) == ("not empty", "nothing")
    found = why(*told("x", property="a", actual_value="y" * 999))
    assert found is not None
    assert len(found.came) == 201


def test_nothing_is_told_of_what_passed() -> None:
    step, assertion = told("x", result="pass")
    assert why(step, assertion) is None
