"""recognising.py: a recorded request is a step's, or it is not, and what it teaches."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from factories import exchange, request

from scimproxy.exchange import Content, Headers, fingerprint
from scimproxy.suite.model import Auth, RequestStep
from scimproxy.suite.recognising import goes_here, names_of, recognise, seen_of

BASE = "http://scim.example/scim/v2"
AUTH = (("Authorization", ("{{auth}}",)),)


def sent(method: str = "GET", target: str = "/scim/v2/Users", body: object = b"", **headers: str) -> Any:
    made = request(method, target, body=body)
    kept = made.headers.without("Authorization", "Content-Type", "User-Agent")
    return seen_of(exchange(request=replace(made, headers=Headers([*kept, *headers.items()]))))


def step(url: str = "{{base}}/Users", method: str = "GET", **fields: Any) -> RequestStep:
    return RequestStep(method=method, url=url, **fields)


def values(one: RequestStep, seen: Any, known: dict[str, str] | None = None, **more: Any) -> dict[str, str] | None:
    found = recognise(one, more.get("headers", ()), more.get("auth"), seen, known or {})
    return None if found is None else dict(found.values)


def test_the_method_and_the_url_decide() -> None:
    assert values(step(), sent()) == {"base": BASE}
    assert values(step(method="POST"), sent()) is None
    assert values(step(method="{{m}}"), sent()) == {"m": "GET", "base": BASE}
    assert values(step("{{base}}/Groups"), sent()) is None
    assert values(step("https://elsewhere.example/scim/v2/Users"), sent()) == {}
    assert values(step("https://elsewhere.example"), sent(target="/")) == {}
    assert values(step("/scim/v2/Users"), sent()) == {}
    assert values(step("{{base}}/Users/{{id}}"), sent(target="/scim/v2/Users/a/b")) is None


@pytest.mark.parametrize(
    "query", ["filter=userName%20eq%20%22a%2Bb%22", "filter=userName+eq+%22a%2Bb%22"], ids=["percent", "plus"]
)
def test_a_query_is_read_however_it_is_encoded(query: str) -> None:
    one = step('{{base}}/Users?filter=userName eq "{{name}}"')
    assert values(one, sent(target=f"/scim/v2/Users?{query}")) == {"base": BASE, "name": "a+b"}
    assert values(one, sent(target="/scim/v2/Users?count=1")) is None


def test_arguments_and_queries_within_a_variable() -> None:
    one = step(args=(("count", ("1", "{{n}}")),))
    assert values(one, sent(target="/scim/v2/Users?count=1&count=2")) == {"base": BASE, "n": "2"}
    assert values(step("{{url}}"), sent(target="/scim/v2/Users?count=1")) == {"url": f"{BASE}/Users?count=1"}
    assert values(step(), sent(target="/scim/v2/Users?count=1")) is None
    assert sent(target="/a?b").url == "http://scim.example/a?b"


def test_the_login_decides() -> None:
    token = f"Bearer {fingerprint('secret')}"
    assert values(step(headers=AUTH), sent(Authorization=token)) == {"base": BASE, "auth": token}
    assert values(step(headers=AUTH), sent()) is None
    assert values(step(), sent(Authorization=token)) is None
    assert values(step(), sent(Authorization=token), headers=AUTH) == {"base": BASE, "auth": token}
    assert values(step(headers=(("Authorization", ("Bearer secret",)),)), sent(Authorization=token)) == {"base": BASE}
    assert values(step(), sent(Authorization=token), auth=Auth("basic")) == {"base": BASE}
    assert values(step(auth=Auth("basic"), headers=(("Accept", ("x",)),)), sent(Authorization=token)) == {
        "base": BASE
    }


def test_the_user_agent_decides_where_a_step_or_only_a_suite_sets_it() -> None:
    okta, radar = sent(**{"User-Agent": "OKTA SCIM Integration"}), sent(**{"User-Agent": "runscope-radar/2.0"})
    told = step(headers=(("Accept", ("x",)), ("User-Agent", ("OKTA SCIM Integration",))))
    assert values(told, okta) == {"base": BASE}
    assert values(told, radar) is None
    assert values(step(), okta) is None
    assert values(step(), okta, headers=(("user-agent", ("{{agent}}",)),)) == {"base": BASE}


def test_the_body_decides() -> None:
    one = step(method="POST", body='{"userName": "{{name}}"}')
    assert values(one, sent("POST", body={"userName": "ada"})) == {"base": BASE, "name": "ada"}
    assert values(one, sent("POST", body={"userName": "ada"}), {"name": "bea"}) is None
    assert values(step(method="POST", body=""), sent("POST", body={"userName": "ada"})) is None
    assert values(replace(one, form=(("a", ("b",)),)), sent("POST", body={"x": 1})) == {"base": BASE}
    # A variable that would need two values.
    both = step("{{base}}/{{name}}", "POST", body='{"userName": "{{name}}"}')
    assert values(both, sent("POST", body={"userName": "ada"})) is None


def test_a_body_that_is_cut_or_too_large_does_not_decide() -> None:
    one = step(method="POST", body='{"userName": "{{name}}"}')
    made = request("POST", "/scim/v2/Users", body=b"{")
    made = replace(made, headers=made.headers.without("Authorization"))
    cut = replace(made, content=replace(Content.of(b"{"), size=5))
    assert values(one, seen_of(exchange(request=cut))) == {"base": BASE}
    large = replace(made, content=Content.of(b" " * 1_000_001))
    assert values(one, seen_of(exchange(request=large, scheme=None, host=None)))


def test_what_binds_is_a_known_variable_beside_the_base() -> None:
    one = step("{{base}}/Users/{{id}}")
    seen = sent(target="/scim/v2/Users/7")
    bound = recognise(one, (), None, seen, {"id": "7"})
    free = recognise(one, (), None, seen, {"base": BASE})
    assert (bound and bound.is_bound, free and free.is_bound) == (True, False)


def test_names_have_the_part_that_needs_them_first() -> None:
    one = step("{{base}}/{{id}}", headers=AUTH, body="{{id}}{{more}}", args=(("{{a}}", ("{{b}}",)),))
    assert names_of(one) == {"base": "url", "id": "url", "a": "url", "b": "url", "auth": "headers", "more": "body"}
    assert names_of(step("/"), AUTH) == {"auth": "headers"}


def test_steps_for_another_server_are_told_by_their_base() -> None:
    org = step("{{oktaOrgUrl}}/api/v1/users/{{id}}")
    assert goes_here([org, step(), step("{{base}}/x"), step("https://h/Users")]) == [False, True, True, True]
    assert goes_here([org, step("/Users")]) == [False, True]
    assert goes_here([org]) == [True]
    assert goes_here([step("{{EntitlementEndpoint}}"), org]) == [True, False]
