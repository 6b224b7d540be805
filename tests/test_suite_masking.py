"""Secrets leave results wherever they stand; what is no secret stays."""

from __future__ import annotations

import pytest
from factories import suite_step

from scimproxy.exchange import fingerprint
from scimproxy.suite.masking import masked, secret_names, secrets_of, without_secrets
from scimproxy.suite.results import AssertionResult, StepResult, SuiteResult, VariableResult

SECRET = "tok-123456"


@pytest.mark.parametrize(
    "name", ["auth", "SCIMAuth", "Authorization", "oktaToken", "client_secret", "userPassword", "apiKey", "api-key"]
)
def test_names_of_secrets(name: str) -> None:
    assert secret_names([name]) == {name}


@pytest.mark.parametrize("name", ["author", "SCIMBaseURL", "authority", "etag", "userName"])
def test_other_names(name: str) -> None:
    assert secret_names([name]) == set()


def test_secrets_of_variables() -> None:
    variables = {
        "auth": f"Bearer {SECRET}",
        "oktaToken": "00abcdefg",
        "password": "abc",
        "token": 5,
        "x": "Bearer y",
        "SCIMAuth": "Bearer sha256:01234567",
    }
    assert secrets_of(variables) == {SECRET, "00abcdefg"}


def test_every_place_is_masked() -> None:
    step = suite_step(url=f"http://h/?t={SECRET}", errors=(f"a {SECRET} b",))
    value = {"list": [step, (SECRET,), 1, None, True], SECRET: {"deep": SECRET}}
    clean = masked(value, frozenset({SECRET, SECRET + "-longer"}))
    assert SECRET not in repr(clean)
    assert clean["list"][0].url == f"http://h/?t={fingerprint(SECRET)}"
    assert clean["list"][0].assertions == step.assertions
    assert clean["list"][2:] == [1, None, True]


def test_what_holds_no_secret_is_the_same_object() -> None:
    step = suite_step()
    assert masked(step, frozenset({SECRET})) is step
    assert masked(step, frozenset()) is step
    assert masked(StepResult, frozenset({SECRET})) is StepResult


def test_a_result_that_was_kept_with_its_secrets_loses_them() -> None:
    variable = VariableResult(
        result="pass", name="kept", source="response_json", property="a.access_token", value=SECRET
    )
    looked = AssertionResult(
        result="pass", source="response_json", comparison="equal", property="b.password",
        target_value="pass-1234", actual_value="pass-9876", message="was pass-1234",
    )  # fmt: skip
    first = suite_step(variables=(variable,), assertions=(looked,), url=f"http://h/?t={SECRET}")
    second = suite_step(number="2", errors=("no auth-value-1 here",))
    kept = SuiteResult(
        name="s",
        result="fail",
        steps=(first, second),
        initial_variables=(("auth", "Bearer auth-value-1"), ("n", "1")),
    )
    clean = without_secrets(kept)
    assert not [one for one in (SECRET, "pass-1234", "pass-9876", "auth-value-1") if one in repr(clean)]
    assert clean.steps[0].variables[0].value == fingerprint(SECRET)
    assert without_secrets(clean) == clean
