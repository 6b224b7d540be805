from __future__ import annotations

import copy
import json
from typing import Any

import pytest
from suites import OKTA_FILES, STEPS, TEST, okta

from scimproxy.suite.model import Environment, RequestStep, Suite
from scimproxy.suite.runscope import dump, dump_environment, parse, parse_environments


def test_there_and_back() -> None:
    (suite,) = parse(TEST)
    text = json.dumps(dump(suite), allow_nan=False)
    assert parse(text) == (suite,)
    assert [dump(one) for one in parse(text)] == [dump(suite)]


@pytest.mark.parametrize("step", STEPS, ids=lambda step: step["step_type"])
def test_each_step_there_and_back(step: dict[str, Any]) -> None:
    suites = parse({"steps": [step]})
    assert parse(dump(suites[0])) == suites


def _plain(value: Any) -> Any:
    """What is the same in both spellings: one header value is a list of it; old aliases; nothing said is nothing."""
    if isinstance(value, dict):
        made = {name: _plain(one) for name, one in value.items() if one not in (None, [], {}, "", False)}
        if isinstance(made.get("headers"), dict):
            made["headers"] = {n: v if isinstance(v, list) else [v] for n, v in made["headers"].items()}
        return made
    return [_plain(one) for one in value] if isinstance(value, list) else value


@pytest.mark.parametrize("name", OKTA_FILES)
def test_oktas_suites_lose_nothing(name: str) -> None:
    document = json.loads(okta(name))
    (suite,) = parse(copy.deepcopy(document))
    assert _plain(dump(suite)) == _plain(document)


def test_what_an_export_always_has() -> None:
    step = RequestStep(method="POST", url="http://h/", body="")
    (made,) = dump(Suite(name="n", steps=(step,)))["steps"]
    assert made == {
        "step_type": "request",
        "method": "POST",
        "url": "http://h/",
        "headers": {},
        "auth": {},
        "assertions": [],
        "variables": [],
        "scripts": [],
        "before_scripts": [],
        "form": {},
        "body": "",
        "note": "",
        "skipped": False,
    }
    assert dump(Suite(name="n")) == {"name": "n", "description": "", "version": "1.0", "steps": []}


def test_a_get_has_no_body_and_no_form() -> None:
    (made,) = dump(Suite(steps=(RequestStep(method="GET", url="/"),)))["steps"]
    assert not {"body", "form"} & made.keys()


def test_names_that_come_twice_are_joined() -> None:
    step = RequestStep(method="GET", url="/", headers=(("A", ("1",)), ("A", ("2", "3"))))
    (made,) = dump(Suite(steps=(step,)))["steps"]
    assert made["headers"] == {"A": ["1", "2", "3"]}


def test_environments() -> None:
    environment = Environment(initial_variables={"a": 1}, initial_scripts=("a()", "b()"), extra={"regions": []})
    made = dump_environment(environment)
    assert made["script"] == "a()\nb()"
    assert "verify_ssl" not in made
    assert parse_environments(made)[0].initial_variables == {"a": 1}
    assert made["regions"] == []
