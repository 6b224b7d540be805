"""Reports of a suite's run: JUnit with failed and errored apart, Runscope's JSON, Markdown that nothing breaks."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any
from xml.etree import ElementTree as ET

import pytest
from factories import T0, suite_step

from scimproxy.report.suites import assertion_line, counts, junit, markdown, problems, runscope_json
from scimproxy.suite.results import AssertionResult, ScriptResult, StepResult, SuiteResult, VariableResult


def step(number: str, result: Any, **members: Any) -> StepResult:
    return StepResult(
        **{"number": number, "step_type": "request", "result": result, "note": f"step {number}", **members}
    )


STEPS = (
    step("0", "pass", step_type="initial-script", scripts=(ScriptResult(result="pass", kind="initial", output="seen"),)),
    suite_step(number="1"),
    step("2", "pass", step_type="pause", note="Pause 5 s"),
    step("3", "error", errors=("Variable 'x' was not defined",), method="GET", url="http://h/{{x}}"),
    step(
        "4",
        "error",
        note="",
        variables=(VariableResult(result="fail", name="v", source="response_json", property="a", error="Attribute not found."),),
        scripts=(ScriptResult(result="error", kind="after", error="boom"),),
        duration_s=0.5,
    ),
    step("5", "skipped"),
    step("6", "canceled"),
    step("7", "pass", duration_s=0.25, response_time_ms=250, status_code=200),
    step("8", "fail"),
)  # fmt: skip
RESULT = SuiteResult(
    name='Spec <1> & "2"',
    result="fail",
    steps=STEPS,
    environment="E",
    source="spec.json",
    target="http://h/`x`",
    started_at=T0,
    ended_at=T0 + 2.5,
    run_id=7,
    initial_variables=(("a", "1"),),
    warnings=("slow",),
)


def test_counts_leave_out_pauses() -> None:
    assert counts(STEPS) == {"pass": 2, "fail": 2, "error": 2, "skipped": 1, "canceled": 1}


def test_lines_of_assertions_are_runscopes() -> None:
    made = AssertionResult(
        result="fail",
        source="response_status",
        comparison="equal_number",
        message="201 was not a number equal to 409",
    )
    assert assertion_line(made) == "Status — 201 was not a number equal to 409"
    assert assertion_line(STEPS[1].assertions[1]) == (
        "body.Resources[0].id — was empty — Unable to locate Resources property in path 'Resources[0].id' in JSON."
    )


def test_problems_of_a_step() -> None:
    assert [(kind, sentence) for kind, sentence, _ in problems(STEPS[4])] == [
        ("fail", "variable v — Attribute not found."),
        ("error", "post-response script — boom"),
    ]
    assert problems(STEPS[0]) == []


def test_a_rule_is_told_once_and_none_below_a_wrong_status() -> None:
    def missing(name: str) -> AssertionResult:
        return AssertionResult(result="fail", source="response_json", comparison="not_empty", property=name)

    wrong = AssertionResult(
        result="fail", source="response_status", comparison="equal_number", target_value=404, actual_value=200
    )
    told = [
        why and why.rule
        for _, _, why in problems(step("1", "fail", assertions=(missing("detail"), missing("status"))))
    ]
    assert [bool(rule) for rule in told] == [True, False]
    told = [why and why.rule for _, _, why in problems(step("1", "fail", assertions=(missing("detail"), wrong)))]
    assert [bool(rule) for rule in told] == [False, True]


def test_junit() -> None:
    root = ET.fromstring(junit(RESULT))
    (suite,) = root
    assert suite.attrib["name"] == RESULT.name
    assert {key: suite.attrib[key] for key in ("tests", "failures", "errors", "skipped", "time")} == {
        "tests": "8",
        "failures": "2",
        "errors": "2",
        "skipped": "2",
        "time": "2.500",
    }
    kinds = {case.attrib["name"]: [child.tag for child in case] for case in suite.iter("testcase")}
    assert kinds == {
        "0 step 0": ["system-out"],
        "1 List users": ["failure", "system-out"],
        "3 step 3": ["error"],
        "4 request": ["error"],
        "5 step 5": ["skipped"],
        "6 step 6": ["skipped"],
        "7 step 7": [],
        "8 step 8": ["failure"],
    }
    failure = suite.find(".//failure")
    assert failure is not None
    assert failure.attrib["message"].startswith("body.Resources[0].id — was empty")
    assert "RFC 7644 section 3.4.2" in (failure.text or "")
    assert suite.find("system-err") is None


def test_junit_of_an_interrupted_run_with_odd_texts() -> None:
    odd = SuiteResult(
        name="\x00\ud800<", result="canceled", canceled="interrupted \x1b", steps=(step("1", "pass", note="\x07"),)
    )
    root = ET.fromstring(junit(odd).encode())
    (suite,) = root
    assert suite.find("system-err") is not None


def test_runscopes_json() -> None:
    data = json.loads(json.dumps(runscope_json(RESULT)))
    assert (data["result"], data["outcome"], data["test_run_id"], data["test_name"]) == (
        "fail",
        "fail",
        "7",
        RESULT.name,
    )
    assert (data["started_at"], data["finished_at"]) == (T0, T0 + 2.5)
    assert (data["assertions_defined"], data["assertions_passed"], data["assertions_failed"]) == (2, 1, 1)
    assert (data["variables_defined"], data["variables_failed"]) == (2, 1)
    assert (data["scripts_defined"], data["scripts_passed"]) == (3, 2)
    assert data["requests_executed"] == 5
    assert data["initial_variables"] == {"a": "1"}
    first = data["requests"][1]
    assert first["assertions"][0] == {
        "result": "pass",
        "outcome": "pass",
        "source": "status_code",
        "property": None,
        "comparison": "equals_number",
        "target_value": "200",
        "actual_value": "200",
        "error": None,
        "message": "Status — was a number equal to 200",
        "place": None,
    }
    failed = first["assertions"][1]
    assert (failed["source"], failed["comparison"], failed["actual_value"]) == ("json", "is_not_empty", None)
    assert failed["why"]["section"] == "RFC 7644 section 3.4.2"
    assert first["variables"][0]["value"] == 0
    assert data["requests"][3]["result"] == "fail"
    assert data["requests"][3]["outcome"] == "error"
    assert data["requests"][3]["error_messages"] == ["Variable 'x' was not defined"]
    assert runscope_json(replace(RESULT, result="error", run_id=None))["result"] == "fail"


def test_aliases_have_runscopes_names_too() -> None:
    made = AssertionResult(
        result="fail", source="response_header", comparison="is_equal", property="X-Odd", message="m"
    )
    data = runscope_json(SuiteResult(name="n", result="fail", steps=(step("1", "fail", assertions=(made,)),)))
    (row,) = data["requests"][0]["assertions"]
    assert (row["source"], row["comparison"]) == ("response_header", "equals")
    assert "why" not in row


def test_markdown() -> None:
    text = markdown(RESULT)
    assert text.startswith('### Spec \\<1\\> \\& "2": failed\n')
    assert "2 steps passed, 2 failed, 2 errored, 2 not run; 1 of 2 assertions hold. Target: `http://h/'x'`" in text
    assert "**1. List users**" in text
    assert "`GET http://scim.example/scim/v2/Users?count=1` → 200" in text
    assert "`GET http://h/{{x}}` → no answer" in text
    assert "- failed: body.Resources\\[0\\].id — was empty" in text
    assert "  - usually: " in text
    assert "- errored: Variable 'x' was not defined" in text
    assert "| pass | 7. step 7 | 200 | 250 ms |" in text
    assert "Pause" not in text


@pytest.mark.parametrize(
    ("result", "words"), [("pass", "passed"), ("error", "could not be judged"), ("canceled", "was interrupted")]
)
def test_markdown_says_how_it_ended(result: Any, words: str) -> None:
    text = markdown(SuiteResult(name="n", result=result, canceled="why <b>" if result == "canceled" else None))
    assert text.splitlines()[0] == f"### n: {words}"
    assert ("**why \\<b\\>**" in text) == (result == "canceled")


def test_markdown_is_not_broken_by_what_servers_say() -> None:
    evil = "| </details> @team `x` \n# [a](b) <script>"
    text = markdown(SuiteResult(name="n", result="fail", steps=(step("1", "fail", note=evil, errors=(evil,)),)))
    assert "<script>" not in text
    assert text.count("</details>") == 1
    assert "\\@team" in text
