"""What a look ahead finds: names that nothing defines, a token without its scheme, a user that has to be there."""

from __future__ import annotations

import json

import pytest

from scimproxy.suite.model import Suite
from scimproxy.suite.preflight import auth_problem, names_set, names_used, reads_first_user, undefined
from scimproxy.suite.runscope import parse


def suite(*steps: dict[str, object], **members: object) -> Suite:
    (one,) = parse(json.dumps({"name": "t", "steps": list(steps), **members}))
    return one


def request(url: str = "{{SCIMBaseURL}}/x", **members: object) -> dict[str, object]:
    return {"step_type": "request", "method": "GET", "url": url, **members}


def names(it: Suite, *given: str, scripts: tuple[str, ...] = ()) -> dict[str, str]:
    return {one.name: one.place for one in undefined(it, it.environment, given, scripts)}


def test_where_names_are_first_used() -> None:
    it = suite(
        request("{{base}}/{{uuid}}", method="{{method}}", headers={"A": "{{head}}"}, note="{{note}}"),
        request(
            body="{{body}}",
            method="POST",
            form={"f": "{{form}}"},
            auth={"auth_type": "basic", "username": "{{user}}", "password": "x"},
            assertions=[
                {"source": "response_status", "comparison": "equal_number", "value": 200},
                {"source": "response_json", "comparison": "equal", "property": "a", "value": "{{want}}"},
            ],
        ),
        {"step_type": "pause", "duration": 1},
        {
            "step_type": "condition",
            "left_value": "{{left}}",
            "comparison": "equal",
            "right_value": 1,
            "steps": [request("{{inner}}")],
        },
        {"step_type": "subtest", "test_uuid": "u", "parameters": {}, "assertions": []},
        request("{{skipped}}", skipped=True),
    )
    assert names(it) == {
        "method": "step 1 (method)",
        "base": "step 1 (url)",
        "head": "step 1 (header A)",
        "SCIMBaseURL": "step 2 (url)",
        "body": "step 2 (body)",
        "form": "step 2 (form)",
        "user": "step 2 (auth)",
        "want": "step 2 (assertion 2)",
        "left": "step 4 (condition)",
        "inner": "step 4.1 (url)",
    }
    assert names(it, "base", "method", "head", "SCIMBaseURL", "body", "form", "user", "want", "left", "inner") == {}


def test_what_defines_a_name() -> None:
    it = suite(
        request(
            "{{fromScript}}{{fromFile}}{{late}}",
            variables=[{"name": "id", "source": "response_json", "property": "id"}],
            scripts=["variables.set('after', 1)"],
            before_scripts=["variables.set(`before`, 1)"],
            assertions=[
                {"source": "response_json", "comparison": "equal", "property": "id", "value": "{{id}}{{around}}"}
            ],
        ),
        request("{{id}}{{after}}{{before}}{{around}}", scripts=['variables.set("late", 1)']),
        environments=[
            {
                "id": "e",
                "name": "E",
                "initial_variables": {"x": "{{fromVar}}"},
                "script": 'variables.set("fromScript", 1);',
                "post_response_scripts": ["variables.set('around', 1)"],
                "headers": {"H": ["{{x}}{{nowhere}}"]},
            }
        ],
    )
    found = undefined(it, it.environment, (), ("variables.set( 'fromFile' , 2)",))
    assert [(one.name, one.place) for one in found] == [
        ("late", "step 1 (url)"),
        ("around", "step 1 (assertion 1)"),
        ("nowhere", "header H of the environment"),
    ]
    assert "a later step" in found[0].source
    assert "--var 'nowhere=VALUE'" in found[2].source
    assert {"late", "nowhere", "fromVar", "x"} <= names_used(it)


def test_the_sources_that_are_known() -> None:
    it = suite(
        request("{{SCIMBaseURL}}{{auth}}{{randomEmail}}{{oktaAppId}}{{okta_user_email}}{{EntitlementEndpoint}}")
    )
    sources = {one.name: one.source for one in undefined(it, it.environment, ())}
    assert sources["SCIMBaseURL"].startswith("--target")
    assert sources["auth"].startswith("--auth")
    assert "SPEC" in sources["randomEmail"]
    assert "CRUD" in sources["okta_user_email"]
    assert "Okta org" in sources["oktaAppId"]
    assert "entitlements" in sources["EntitlementEndpoint"]


def test_names_that_scripts_set() -> None:
    assert names_set(
        "variables.set(\"a b\", 1); variables.set('c', x); variables.set(`d`, 2); variables.set(e, 1)"
    ) == {
        "a b",
        "c",
        "d",
    }


@pytest.mark.parametrize("value", ["Bearer abc", "bearer abc", "Basic dXNlcg==", "DPoP x"])
def test_good_authorization(value: str) -> None:
    assert auth_problem(value) is None


@pytest.mark.parametrize(
    ("value", "words"),
    [("", "empty"), ("abc", "no scheme word"), ("Bearer ", "no scheme word"), ("Beare abc", "'Beare'")],
)
def test_bad_authorization(value: str, words: str) -> None:
    assert words in (auth_problem(value) or "")


def test_a_suite_that_needs_a_user() -> None:
    first = [{"name": "id", "source": "response_json", "property": "Resources[0].id"}]
    assert reads_first_user(suite(request(variables=first)))
    assert not reads_first_user(suite(request(method="POST"), request(variables=first)))
    assert not reads_first_user(
        suite(request(variables=first, skipped=True), {"step_type": "pause", "duration": 1}, request())
    )
