from __future__ import annotations

from typing import Any

import pytest
from suites import OKTA_FILES, TEST, okta

from scimproxy.suite.remarks import remarks
from scimproxy.suite.runscope import parse


def said(document: Any) -> list[str]:
    return [str(one) for suite in parse(document) for one in remarks(suite)]


REQUEST: dict[str, Any] = {"step_type": "request", "method": "GET", "url": "/"}
PAUSE: dict[str, Any] = {"step_type": "pause", "duration": 1}


def request(**members: Any) -> dict[str, Any]:
    return {"steps": [{**REQUEST, **members}]}


@pytest.mark.parametrize("name", OKTA_FILES)
def test_nothing_is_odd_about_oktas_suites(name: str) -> None:
    """Except for the rows without a name that Okta publishes."""
    assert [line for line in said(okta(name)) if "has no name" not in line] == []


def test_nothing_is_odd_about_a_plain_one() -> None:
    assert said({"steps": [PAUSE, {"step_type": "condition", "comparison": "equal", "steps": [REQUEST]}]}) == []
    assert said(request(args={}, data={}, fragment="", request_id="x", binary_body=None)) == []


@pytest.mark.parametrize(
    ("document", "lines"),
    [
        (request(assertion=[]), ["steps[0]: 'assertion' means nothing here; did you mean 'assertions'?"]),
        (request(Headers={}), ["steps[0]: 'Headers' means nothing here; did you mean 'headers'?"]),
        (
            request(assertions=[{"source": "response_json", "comparison": "empty", "propery": "a"}]),
            ["steps[0].assertions[0]: 'propery' means nothing here; did you mean 'property'?"],
        ),
        (
            request(variables=[{"name": "a", "source": "response_text", "proprety": "a"}, {"name": "", "source": "response_text"}]),
            [
                "steps[0].variables[0]: 'proprety' means nothing here; did you mean 'property'?",
                "steps[0].variables[1]: It has no name, so nothing is kept.",
            ],
        ),
        (request(body="a", form={"b": "c"}), ["steps[0]: It has a body and a form; a request sends one of them."]),
        ({"steps": []}, ["It has no steps, so nothing is tested; Runscope refuses to import it."]),
        ({"steps": [PAUSE] * 100}, ["It has 100 steps; Runscope imports at most 99."]),
        ([{"steps": [{**PAUSE, "duration": 0.5}]}], ["[0].steps[0]: Runscope pauses for 1 to 180 whole seconds, not 0.5."]),
        ({"steps": [{**PAUSE, "duration": 1.5}]}, ["steps[0]: Runscope pauses for 1 to 180 whole seconds, not 1.5."]),
        ({"steps": [{**PAUSE, "duration": 150}] * 5}, ["Its pauses take 750 s; Runscope ends a run after 600 s."]),
        ({"steps": [{**PAUSE, "duration": 150, "skipped": True}] * 5}, []),
        ({"steps": [{"step_type": "ghost-inspector"}]}, ["steps[0]: Steps of type 'ghost-inspector' cannot run here, so the run will fail."]),
        ({"steps": [{"step_type": "ghost-inspector", "skipped": True}]}, []),
        ({"steps": [PAUSE], "environments": [{"id": "a", "parent_environment_id": "b"}, {"id": "b", "regions": []}]}, []),
        (
            {"steps": [PAUSE], "step": [], "environments": [{"id": "a", "parent_environment_id": "b", "inital_variables": {}}]},
            [
                "environments[0]: 'inital_variables' means nothing here; did you mean 'initial_variables'?",
                "environments[0]: The shared environment that it inherits from is not in the file.",
                "'step' means nothing here; did you mean 'steps'?",
            ],
        ),
    ],
)  # fmt: skip
def test_remarks(document: Any, lines: list[str]) -> None:
    assert said(document) == lines


def test_every_kind_of_step_can_be_remarked_on() -> None:
    broken = [{**step, "skiped": True} for step in TEST["steps"]]
    lines = said({"steps": broken})
    assert len([line for line in lines if line.endswith("did you mean 'skipped'?")]) == len(broken)
