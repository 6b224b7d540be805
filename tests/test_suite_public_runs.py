"""What two public runs of Okta's suite on Runscope showed, and what we show for the same answers.

The lines are those that people pasted: osiam issue 309 (August 2017) and snipe-it issue 13854 (August 2025). The
answers are made to what the issues say of them; the assertions are those that the lines name.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from listeners import http, listener
from suites import okta

from scimproxy.cli import cli
from scimproxy.exchange import Headers
from scimproxy.suite.builtins import Builtins
from scimproxy.suite.evaluate import Result, evaluate
from scimproxy.suite.model import Assertion, RequestStep
from scimproxy.suite.response import ResponseView
from scimproxy.suite.runscope import parse
from scimproxy.suite.templates import Scope


def answer(status: int, document: Any) -> ResponseView:
    return ResponseView(
        status, Headers([("Content-Type", "application/scim+json;charset=UTF-8")]), json.dumps(document).encode()
    )


def of_step(place: int, response: ResponseView, **variables: Any) -> list[Result]:
    """Judge an answer by the assertions of a step of Okta's 2.0 SPEC suite."""
    (suite,) = parse(okta("Okta-SCIM-20-SPEC-Test.json"))
    step = suite.steps[place]
    assert isinstance(step, RequestStep)
    assert step.method == "POST"
    builtins = Builtins(now=lambda: 0.0, random_below=lambda _: 0)
    return [evaluate(one, response, Scope(run=variables), builtins) for one in step.assertions]


CREATE, CREATE_AGAIN = 10, 14


# ---- osiam issue 309: GET /ServiceProviderConfig; "the response is good", but

OSIAM = {
    "schemas": ["urn:ietf:params:scim:schemas:core:2.0:ServiceProviderConfig"],
    "patch": {"supported": True},
    "bulk": {"supported": False},
    "filter": {"supported": True, "maxResults": 100},
    "changePassword": {"supported": False},
    "sort": {"supported": True},
    "etag": {"supported": False},
    "authenticationSchemes": {"authenticationSchemes": []},  # an object, where RFC 7643 section 5 wants a list
}
OSIAM_FAILED = {
    "authenticationSchemes[0].type": (
        "body.authenticationSchemes[0].type — was empty — "
        "Unable to locate 0 property in path 'authenticationSchemes[0].type' in JSON."
    ),
    "authenticationSchemes[0].description": (
        "body.authenticationSchemes[0].description — was empty — "
        "Unable to locate 0 property in path 'authenticationSchemes[0].description' in JSON."
    ),
    "bulk.maxOperations": (
        "body.bulk.maxOperations — was empty — "
        "Unable to locate maxOperations property in path 'bulk.maxOperations' in JSON."
    ),
    "bulk.maxPayloadSize": (
        "body.bulk.maxPayloadSize — was empty — "
        "Unable to locate maxPayloadSize property in path 'bulk.maxPayloadSize' in JSON."
    ),
}
OSIAM_PASSED = ("schemas", "bulk.supported", "changePassword.supported", "etag.supported", "filter.maxResults")


@pytest.mark.parametrize("path", [*OSIAM_FAILED, *OSIAM_PASSED])
def test_osiam_309(path: str) -> None:
    result = evaluate(Assertion("response_json", "not_empty", None, path), answer(200, OSIAM))
    if path in OSIAM_FAILED:
        assert (result.outcome, result.line) == ("failed", OSIAM_FAILED[path])
    else:
        assert result.passed


def test_osiam_309_status() -> None:
    result = evaluate(Assertion("response_status", "equal_number", 200), answer(200, OSIAM))
    assert (result.outcome, result.line) == ("passed", "Status — 200 was a number equal to 200")


def test_osiam_309_whole_step() -> None:
    """Of all that the step asks of the configuration exactly the four lines of the issue fail, in its order.

    Okta's 1.1 suite still has that step; its schemas and its time limit are another matter.
    """
    (suite,) = parse(okta("Okta-SCIM-11-SPEC-Test.json"))
    step = suite.steps[0]
    assert isinstance(step, RequestStep)
    results = [
        evaluate(one, answer(200, OSIAM))
        for one in step.assertions
        if one.comparison in {"equal_number", "not_empty"}
    ]
    assert len(results) == 20
    assert [one.line for one in results if not one.passed] == list(OSIAM_FAILED.values())


# ---- snipe-it issue 13854: POST /Users a second time

SNIPE_IT = {
    "schemas": ["urn:ietf:params:scim:schemas:core:2.0:User"],
    "id": "42",
    "userName": "runscope",
    "name": {"familyName": "A", "givenName": "B"},
    "active": True,
}


def test_snipe_it_13854() -> None:
    (result,) = of_step(CREATE_AGAIN, answer(201, SNIPE_IT))
    assert (result.outcome, result.line) == ("failed", "Status — 201 was not a number equal to 409")


def test_snipe_it_13854_by_hand() -> None:
    """The same without Okta's file: its target is a text, a result shows it as one."""
    for target in (409, "409"):
        result = evaluate(Assertion("response_status", "equal_number", target), answer(201, SNIPE_IT))
        assert (result.outcome, result.line) == ("failed", "Status — 201 was not a number equal to 409")


# ---- Okta's suite with answers as its authors expect them: every assertion passes


def test_okta_spec_create_passes() -> None:
    document = {**SNIPE_IT, "userName": "u@example.com", "name": {"familyName": "F", "givenName": "G"}}
    results = of_step(
        CREATE,
        answer(201, document),
        randomFamilyName="F",
        randomGivenName="G",
        randomUsername="u@example.com",
    )
    assert [one.line for one in results if not one.passed] == []
    assert len(results) == 7


def test_okta_spec_create_is_case_sensitive() -> None:
    """The commonest failure in the wild: a server that lower-cases userName."""
    results = of_step(
        CREATE,
        answer(201, {**SNIPE_IT, "active": "yes"}),
        randomFamilyName="A",
        randomGivenName="B",
        randomUsername="Runscope",
    )
    assert [one.line for one in results if not one.passed] == [
        "body.active — 'yes' was not equal to true",
        "body.userName — 'runscope' was not equal to Runscope",
    ]


# ---- the same, served: a server gives the answers, `scimproxy run` says the lines


def said(
    tmp_path: Path, status: int, document: Any, method: str, assertions: list[dict[str, Any]]
) -> tuple[int, str]:
    """Run a suite of one step against a server that gives this answer; return the exit code and what was printed."""
    suite = tmp_path / "suite.json"
    step = {"step_type": "request", "method": method, "url": "{{SCIMBaseURL}}/asked", "assertions": assertions}
    suite.write_text(json.dumps({"name": "served", "steps": [step]}))
    with listener(lambda _: http(status, json.dumps(document).encode())) as port:
        words = ["run", str(suite), "--target", f"http://127.0.0.1:{port}/scim/v2", "--skip-preflight"]
        done = CliRunner().invoke(cli, [*words, "--db", str(tmp_path / "a.db")])
    return done.exit_code, " ".join(done.output.split())


def test_osiam_309_served(tmp_path: Path) -> None:
    paths = [*OSIAM_PASSED, *OSIAM_FAILED]
    assertions = [{"source": "response_json", "comparison": "not_empty", "property": path} for path in paths]
    code, output = said(tmp_path, 200, OSIAM, "GET", assertions)
    assert code == 1
    assert [line for line in OSIAM_FAILED.values() if line not in output] == []
    assert f"{len(OSIAM_PASSED)} of {len(paths)} assertions hold" in output


def test_snipe_it_13854_served(tmp_path: Path) -> None:
    assertion = {"source": "response_status", "comparison": "equal_number", "value": 409}
    code, output = said(tmp_path, 201, SNIPE_IT, "POST", [assertion])
    assert code == 1
    assert "Status — 201 was not a number equal to 409" in output
