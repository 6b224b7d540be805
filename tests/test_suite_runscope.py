from __future__ import annotations

import copy
import json
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from suites import OKTA_FILES, REQUEST, STEPS, TEST, okta

from scimproxy.errors import FormatError
from scimproxy.suite.model import (
    SOURCES,
    Assertion,
    Auth,
    ConditionStep,
    Environment,
    Extraction,
    InboundStep,
    LoopStep,
    PauseStep,
    RequestStep,
    SubtestStep,
    Suite,
    UnsupportedStep,
    all_steps,
)
from scimproxy.suite.runscope import Limits, parse, parse_environments


def one(document: Any) -> Suite:
    (suite,) = parse(document)
    return suite


def with_step(**members: Any) -> dict[str, Any]:
    return {"steps": [{"step_type": "request", "method": "GET", "url": "http://h/", **members}]}


# ---- every form of a file


@pytest.mark.parametrize(
    "wrap",
    [
        lambda test: test,
        lambda test: [test],
        lambda test: {"data": test},
        lambda test: {"meta": {"status": "success"}, "data": [test], "error": None},
        json.dumps,
        lambda test: json.dumps(test).encode(),
        lambda test: b"\xef\xbb\xbf" + json.dumps(test).encode(),
    ],
)
def test_envelopes(wrap: Any) -> None:
    assert one(wrap(copy.deepcopy(TEST))) == one(TEST)


def test_several_tests_know_their_places() -> None:
    first, second = parse([with_step(), with_step()])
    assert (first.place, second.steps[0].place) == ("[0]", "[1].steps[0]")


def test_reading_changes_nothing_of_what_it_is_given() -> None:
    before = copy.deepcopy(TEST)
    parse(TEST)
    assert before == TEST


def test_everything() -> None:
    suite = one(TEST)
    assert suite.name == "Everything"
    assert suite.exported_at == 1715608731
    assert suite.extra == {"step_count": 11}
    assert [type(step) for step in suite.steps] == [
        *(RequestStep, RequestStep, PauseStep, PauseStep, ConditionStep, ConditionStep, LoopStep),
        *(SubtestStep, SubtestStep, InboundStep, UnsupportedStep),
    ]
    assert [step.place for step in all_steps(suite.steps)][4:6] == ["steps[4]", "steps[4].steps[0]"]


def test_a_request() -> None:
    assert one({"steps": [REQUEST]}).steps == (
        RequestStep(
            method="POST",
            url="{{base}}/Users?x=a b",
            note="Create {{nothing}}",
            headers=(
                ("Accept", ("a", "b")),
                ("Authorization", ("Bearer {{token}}",)),
                ("X-N", ("1",)),
                ("X-Null", ("",)),
            ),
            body='{"a":\r\n1}',
            auth=Auth("basic", {"username": "u", "password": "p"}),
            assertions=(
                Assertion("response_status", "equal_number", "201"),
                Assertion("response_headers", "equal", "x", "ETag", {"new": 1}),
                Assertion("response_json", "not_empty", None, "id"),
            ),
            variables=(
                Extraction("id", "response_json", "id"),
                Extraction("", "", ""),
                Extraction("all", "response_text", None, {"more": True}),
            ),
            scripts=("", "assert.ok(true)"),
            before_scripts=("log(1)",),
            id="r1",
            extra={"fragment": ""},
        ),
    )


def test_a_request_of_a_newer_editor() -> None:
    (step,) = one({"steps": [STEPS[1]]}).steps
    assert step == RequestStep(
        method="GET",
        url="http://h/",
        skipped=True,
        args=(("page", ("1", "2")),),
        multipart=({"x": 1},),
        graphql={"query": "{a}"},
        scripts=("log(1)",),
    )


@pytest.mark.parametrize(
    ("members", "body", "extra"),
    [
        ({}, None, {}),
        ({"body": ""}, "", {}),
        ({"body": None}, None, {}),
        ({"data": ""}, None, {}),
        ({"data": "old"}, "old", {}),
        ({"data": "old", "body": ""}, "old", {}),
        ({"data": "old", "body": "new"}, "new", {}),
        ({"data": {}}, None, {"data": {}}),
    ],
)
def test_bodies(members: dict[str, Any], body: str | None, extra: dict[str, Any]) -> None:
    (step,) = one(with_step(**members)).steps
    assert isinstance(step, RequestStep)
    assert (step.body, step.extra) == (body, extra)


def test_the_other_steps() -> None:
    steps = one(TEST).steps
    assert steps[2:4] == (PauseStep(duration_s=5), PauseStep(duration_s=10, skipped=True, note="wait"))
    assert steps[4] == ConditionStep(
        left_value="{{id}}", comparison="not_empty", right_value="", steps=(PauseStep(duration_s=1),), note="c"
    )
    assert steps[5] == ConditionStep(left_value="a", comparison="equal", right_value="b", step_type="conditional")
    assert steps[6] == LoopStep(left_value="1", comparison="is_less_than", right_value=3, extra={"limit": 9})
    assert steps[7] == SubtestStep(
        test_uuid="t2",
        bucket_key="bk",
        environment_uuid="e",
        use_parent_environment=True,
        variables=(Extraction("v", "response_json", "x"),),
        assertions=(Assertion("response_json", "equal", "pass", "result"),),
    )
    assert steps[8] == SubtestStep(test_uuid="t3", parameters={"handed": "over"})
    assert steps[9] == InboundStep(token="tok", is_dynamic_url=True, scripts=("x",), before_scripts=("",))
    assert steps[10] == UnsupportedStep(step_type="ghost-inspector", extra={"test_id": "g", "assertions": []})


# ---- environments


def test_environments() -> None:
    suite = one(TEST)
    first, second = suite.environments
    assert first == Environment(
        id="e1",
        test_id="t1",
        parent_id="s1",
        initial_variables={"base": "http://h", "n": 1},
        initial_scripts=("variables.set('a', 1)",),
        script_library=("lib",),
        pre_request_scripts=("p()",),
        headers=(("X", ("1",)),),
        preserve_cookies=True,
        stop_on_failure=True,
        verify_ssl=False,
        retry_on_failure=False,
        extra={"regions": ["us1"]},
    )
    assert second == Environment(id="s1")
    assert suite.environment.initial_variables == {"base": "http://h", "n": 1}
    assert first.place == "environments[0]"


def test_one_environment_beside_the_steps() -> None:
    suite = one({"steps": [], "environment": {"name": "e", "script": " "}})
    assert suite.environments == (Environment(name="e"),)
    assert one({"steps": [], "environment": None}).environments == ()


@pytest.mark.parametrize(
    ("document", "environments"),
    [
        ({"name": "a"}, (Environment(name="a"),)),
        ([{"name": "a"}, {"name": "b"}], (Environment(name="a"), Environment(name="b"))),
        ({"data": {"initial_variables": {"x": 1}}}, (Environment(initial_variables={"x": 1}),)),
        ('{"SCIMBaseURL": "http://h", "n": 1}', (Environment(name="variables", initial_variables={"SCIMBaseURL": "http://h", "n": 1}),)),
        ({"steps": [], "environment": {"name": "e"}}, (Environment(name="e"),)),
        ({}, (Environment(),)),
    ],
)  # fmt: skip
def test_files_of_environments(document: Any, environments: tuple[Environment, ...]) -> None:
    assert parse_environments(document) == environments


# ---- what is wrong, and where


@pytest.mark.parametrize(
    ("document", "message"),
    [
        (with_step(assertions=[{}]), "steps[0].assertions[0].source: missing"),
        (with_step(assertions=[{"source": "response_json"}]), "steps[0].assertions[0].comparison: missing"),
        (
            with_step(assertions=[{"source": "response_json", "comparison": "has_vlaue"}]),
            "steps[0].assertions[0].comparison: unknown 'has_vlaue'; did you mean 'has_value'?",
        ),
        (
            with_step(assertions=[{"source": "status_code", "comparison": "equal"}]),
            "steps[0].assertions[0].source: unknown 'status_code'; did you mean 'response_status'?",
        ),
        (
            with_step(assertions=[{"source": "response_json", "comparison": "is_empty"}]),
            "steps[0].assertions[0].comparison: unknown 'is_empty'; did you mean 'empty'?",
        ),
        (
            with_step(assertions=[{"source": "@@@", "comparison": "equal"}]),
            f"steps[0].assertions[0].source: unknown '@@@'; known are {', '.join(SOURCES)}",
        ),
        (with_step(assertions=[{"source": 1, "comparison": "equal"}]), "steps[0].assertions[0].source: '1' is not a text"),
        (with_step(assertions=["x"]), "steps[0].assertions[0]: 'x' is not an object"),
        (with_step(assertions="x"), "steps[0].assertions: 'x' is not a list"),
        (
            with_step(assertions=[{"source": "response_json", "comparison": "equal", "property": 1}]),
            "steps[0].assertions[0].property: '1' is not a text",
        ),
        (with_step(variables=[{"name": "x"}]), "steps[0].variables[0].source: missing"),
        (
            with_step(variables=[{"name": "x", "source": "response_jsn"}]),
            "steps[0].variables[0].source: unknown 'response_jsn'; did you mean 'response_json'?",
        ),
        (with_step(headers={"A": {}}), "steps[0].headers.A: '{}' is not a text or a list of texts"),
        (with_step(headers={"A": [[]]}), "steps[0].headers.A: '[]' is not a text or a list of texts"),
        (with_step(headers="A: b"), "steps[0].headers: 'A: b' is not an object"),
        (with_step(scripts=[1]), "steps[0].scripts[0]: '1' is not a text"),
        (with_step(body={}), "steps[0].body: '{}' is not a text"),
        (with_step(skipped="no"), "steps[0].skipped: 'no' is not true or false"),
        (with_step(auth="x" * 100), f"steps[0].auth: '{'x' * 60}…' is not an object"),
        (with_step(url=None), "steps[0].url: 'null' is not a text"),
        ({"steps": [{"step_type": "request", "url": ""}]}, "steps[0].method: missing"),
        ({"steps": [{"step_type": "request", "method": ""}]}, "steps[0].url: missing"),
        ({"steps": [{"method": "GET"}]}, "steps[0].step_type: missing"),
        ({"steps": [{"step_type": 1}]}, "steps[0].step_type: '1' is not a text"),
        ({"steps": [1]}, "steps[0]: '1' is not an object"),
        ({"steps": 1}, "steps: '1' is not a list"),
        ({"steps": [{"step_type": "pause"}]}, "steps[0].duration: 'null' is not a number of seconds from 0 to 86400"),
        ({"steps": [{"step_type": "pause", "duration": True}]}, "steps[0].duration: 'true' is not a number of seconds from 0 to 86400"),
        ({"steps": [{"step_type": "pause", "duration": -1}]}, "steps[0].duration: '-1' is not a number of seconds from 0 to 86400"),
        ({"steps": [{"step_type": "pause", "duration": 1e300}]}, "steps[0].duration: '1e+300' is not a number of seconds from 0 to 86400"),
        ({"steps": [{"step_type": "condition"}]}, "steps[0].comparison: missing"),
        (
            {"steps": [{"step_type": "condition", "comparison": "equal", "steps": [{}]}]},
            "steps[0].steps[0].step_type: missing",
        ),
        ({"steps": [], "exported_at": "x"}, "exported_at: 'x' is not a number of seconds"),
        ({"steps": [], "exported_at": True}, "exported_at: 'true' is not a number of seconds"),
        ({"steps": [], "environments": [{"verify_ssl": 1}]}, "environments[0].verify_ssl: '1' is not true or false"),
        ({"steps": [], "environments": [[]]}, "environments[0]: '[]' is not an object"),
        ([with_step(), {"steps": [{}]}], "[1].steps[0].step_type: missing"),
        (["x"], "[0]: 'x' is not an object"),
        ("1", "the document: '1' is not an object"),
        ("[]", "The file holds an empty list: no test"),
        ({"data": None}, "data: 'null' is not a test"),
        ("", "The file is not JSON: Expecting value: line 1 column 1 (char 0)"),
        (b"{", "The file is not JSON: Expecting property name enclosed in double quotes: line 1 column 2 (char 1)"),
        (b"\xff{}", "The file is not UTF-8: byte 0"),
        ("[" * 100 + "]" * 100, "The document nests deeper than 60 levels"),
        ("[" * 100_000, "The file is not JSON: it nests deeper than 200 levels"),
    ],
)  # fmt: skip
def test_says_what_is_wrong_and_where(document: Any, message: str) -> None:
    with pytest.raises(FormatError) as caught:
        parse(document)
    assert caught.value.message == message


@pytest.mark.parametrize(
    ("document", "hint"),
    [
        ({"info": {}, "item": []}, "Postman"),
        ({"log": {}}, "HAR"),
        ({"openapi": "3"}, "OpenAPI"),
        ({"initial_variables": {}}, "--env"),
        ({"data": "x"}, "failed API call"),
        ({"a": 1}, None),
    ],
)
def test_hints_at_what_it_may_be(document: Any, hint: str | None) -> None:
    with pytest.raises(FormatError) as caught:
        parse(document)
    assert (caught.value.hint or "") != "" if hint else caught.value.hint is None
    assert hint is None or hint in (caught.value.hint or "")


def test_limits() -> None:
    with pytest.raises(FormatError, match="larger than 10 bytes"):
        parse('{"steps": []}', limits=Limits(max_bytes=10))
    steps = {
        "steps": [{"step_type": "condition", "comparison": "equal", "steps": [{"step_type": "pause", "duration": 1}]}]
    }
    assert parse([steps, steps], limits=Limits(max_steps=4))
    with pytest.raises(FormatError, match=r"\[1\]\.steps\[0\]\.steps\[0\]: the file has more than 3 steps"):
        parse([steps, steps], limits=Limits(max_steps=3))
    with pytest.raises(FormatError, match="deeper than 2 levels"):
        parse('{"steps": [{"step_type": "x"}]}', limits=Limits(max_depth=2))


# ---- Okta's own files


@pytest.mark.parametrize(
    ("name", "steps", "requests"), list(zip(OKTA_FILES, (31, 23, 19), (16, 12, 13), strict=True))
)
def test_oktas_suites(name: str, steps: int, requests: int) -> None:
    suite = one(okta(name))
    assert len(suite.steps) == steps
    assert sum(isinstance(step, RequestStep) for step in suite.steps) == requests
    assert not any(isinstance(step, UnsupportedStep) for step in suite.steps)
    assert suite.environments == ()


# ---- whatever comes

MEMBERS = sorted(
    {*REQUEST, *TEST, *TEST["environments"][0], *(name for step in STEPS for name in step), "environment", "data"}
)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5) | st.sampled_from(["request", "pause", "condition", "equal"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(MEMBERS), inner, max_size=4),
    max_leaves=10,
)  # fmt: skip


def refusal(read: Any, document: Any) -> str | None:
    """Return the sentence with which a document is refused; None where it is read."""
    try:
        read(document)
    except FormatError as exc:
        return exc.message
    return None


@given(JSON)
def test_any_json_is_read_or_refused(document: Any) -> None:
    for read in (parse, parse_environments):
        assert refusal(read, json.dumps(document)) != ""


@settings(suppress_health_check=[HealthCheck.too_slow])
@given(st.data())
def test_a_suite_with_one_thing_changed_is_read_or_refused(data: st.DataObject) -> None:
    document = copy.deepcopy(TEST)
    node: Any = document
    while True:
        key = data.draw(st.sampled_from(list(node) if isinstance(node, dict) else list(range(len(node)))))
        if not isinstance(node[key], dict | list) or not node[key] or data.draw(st.booleans()):
            node[key] = data.draw(JSON)
            break
        node = node[key]
    assert refusal(parse, document) != ""


@given(st.binary(max_size=50))
def test_any_bytes_are_read_or_refused(data: bytes) -> None:
    with pytest.raises(FormatError):
        parse(data)
