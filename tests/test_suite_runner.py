"""The order of a run and its results, with a driver that answers from a list: no network, no clock, no engine."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from factories import exchange, response

from scimproxy.exchange import Failure
from scimproxy.suite.builtins import Builtins
from scimproxy.suite.effects import Began, Effect, Ended, Pause, Plan, RunScript, ScriptDone, Send
from scimproxy.suite.model import Suite
from scimproxy.suite.results import StepResult, SuiteResult
from scimproxy.suite.runner import Runner
from scimproxy.suite.runscope import parse
from scimproxy.suite.verdicts import summary, verdict

BUILTINS = Builtins(now=lambda: 0.0, random_below=lambda _: 4)


class Driver:
    """Answers what a runner asks: exchanges in turn, scripts by a function; keeps everything it was asked."""

    def __init__(self, *answers: Any, script: Callable[[RunScript], ScriptDone] = lambda _: ScriptDone()) -> None:
        self.answers = list(answers)
        self.script = script
        self.keep: Callable[[StepResult], StepResult | None] = lambda _: None
        self.asked: list[Effect] = []

    def play(self, runner: Runner) -> SuiteResult:
        play = runner.play()
        answer: object = None
        while True:
            try:
                effect = play.send(answer)
            except StopIteration as done:
                result: SuiteResult = done.value
                return result
            self.asked.append(effect)
            answer = None
            if isinstance(effect, Send):
                made = self.answers.pop(0) if self.answers else 200
                answer = made if not isinstance(made, int | dict) else answered(made)
            elif isinstance(effect, RunScript):
                answer = self.script(effect)
            elif isinstance(effect, Ended):
                answer = self.keep(effect.result)

    @property
    def order(self) -> list[str]:
        words = []
        for effect in self.asked:
            match effect:
                case Send():
                    words.append(f"{effect.request.method} {effect.origin}{effect.request.target}")
                case Pause():
                    words.append(f"pause {effect.seconds:g}")
                case RunScript():
                    words.append(f"{effect.kind} {effect.source}")
                case Ended():
                    words.append(f"end {effect.result.number} {effect.result.result}")
        return words

    @property
    def sent(self) -> list[Send]:
        return [effect for effect in self.asked if isinstance(effect, Send)]


def answered(made: int | dict[str, Any]) -> Any:
    if isinstance(made, int):
        return exchange(status_code=made)
    return exchange(answer=made)


def suites(*tests: dict[str, Any]) -> tuple[Suite, ...]:
    return parse(json.dumps([{"name": "t", "steps": [], **test} for test in tests]))


def request(url: str = "http://h/x", **members: Any) -> dict[str, Any]:
    return {"step_type": "request", "method": "GET", "url": url, **members}


def status(code: int) -> dict[str, Any]:
    return {"source": "response_status", "comparison": "equal_number", "value": code}


def run(
    driver: Driver, *steps: dict[str, Any], environment: dict[str, Any] | None = None, **options: Any
) -> SuiteResult:
    (suite,) = suites({"steps": list(steps), "environments": [environment] if environment else []})
    return driver.play(Runner(plan(suite, **options)))


def plan(suite: Suite, **options: Any) -> Plan:
    return Plan(**{"suite": suite, "environment": suite.environment, "builtins": BUILTINS, **options})


def test_the_order_within_a_request_step() -> None:
    seen: list[Any] = []

    def script(call: RunScript) -> ScriptDone:
        seen.append((call.kind, dict(call.variables), call.request and call.request["url"], call.response))
        return ScriptDone(variables={call.source: call.kind}, output=f"ran {call.source}", duration_ms=1.0)

    driver = Driver({"id": "7"}, script=script)
    result = run(
        driver,
        request(
            "http://h/{{v}}",
            before_scripts=["pre", " "],
            scripts=["", "post"],
            variables=[
                {"name": "id", "source": "response_json", "property": "id"},
                {"name": None, "property": ""},
            ],
            assertions=[{"source": "response_json", "comparison": "equal", "property": "id", "value": "{{id}}"}],
        ),
        environment={
            "name": "E",
            "initial_variables": {"v": "1"},
            "script": "init",
            "pre_request_scripts": ["envpre"],
            "post_response_scripts": ["envpost"],
            "headers": {"X-Env": ["{{init}}"], "Accept": "env"},
        },
        initial_scripts=("more",),
    )
    assert driver.order == [
        "initial init",
        "initial more",
        "end 0 pass",
        "before envpre",
        "before pre",
        "GET http://h/1",
        "after envpost",
        "after post",
        "end 1 pass",
    ]
    assert result.result == "pass"
    assert dict(result.initial_variables) == {"v": "1", "init": "initial", "more": "initial"}
    assert seen[-1][1]["id"] == "7"
    assert seen[-1][3]["status"] == 200
    assert driver.sent[0].request.headers.get("X-Env") == "initial"
    step = result.steps[1]
    assert [one.name for one in step.variables] == ["id"]
    assert [one.output for one in step.scripts] == ["ran envpre", "ran pre", "ran envpost", "ran post"]
    assert (step.method, step.url, step.status_code) == ("GET", "http://h/1", 200)
    assert step.assertions[0].target_value == "7"


def test_a_pre_request_script_changes_the_request() -> None:
    driver = Driver(script=lambda _: ScriptDone(request={"headers": {"A": ["1"]}, "path": "/y"}))
    run(driver, request(before_scripts=["s"]))
    (sent,) = driver.sent
    assert sent.request.target == "/y"
    assert sent.request.headers.get("A") == "1"


def test_a_post_response_script_edits_the_record_and_not_what_is_judged() -> None:
    driver = Driver({"a": 1}, script=lambda _: ScriptDone(response={"body": "gone"}))
    asserted = [{"source": "response_json", "comparison": "equal", "property": "a", "value": 1}]
    result = run(driver, request(scripts=["s"], assertions=asserted))
    assert result.result == "pass"
    (ended,) = (effect for effect in driver.asked if isinstance(effect, Ended))
    assert ended.exchange is not None
    assert ended.exchange.response is not None
    assert ended.exchange.response.content.data == b"gone"


def test_step_headers_win_and_credentials_are_added() -> None:
    environment = {
        "name": "E",
        "headers": {"accept": ["env"], "X": ["{{nowhere}}"]},
        "auth": {"auth_type": "basic", "username": "u", "password": "p"},
    }
    driver = Driver()
    result = run(driver, request(headers={"Accept": ["step"]}), environment=environment)
    assert result.steps[0].number == "0"
    assert result.steps[0].errors == ("Request failed to set 'headers' — Variable 'nowhere' was not defined",)
    headers = driver.sent[0].request.headers
    assert headers.get_all("Accept") == ("step",)
    assert headers.get("Authorization") == "Basic dTpw"
    driver = Driver()
    run(driver, request(headers={"authorization": "mine"}), environment={**environment, "headers": {}})
    assert driver.sent[0].request.headers.get_all("Authorization") == ("mine",)


def test_bodies_of_all_kinds() -> None:
    driver = Driver()
    result = run(
        driver,
        request(method="POST", body="{{random_int(1,9)}}", args={"q": ["a b"]}),
        request(method="POST", form={"a": ["1"]}),
        request(method="POST", graphql_body={"query": "{{q}}", "n": 1}),
        request(method="POST", binary_body=[{"id": 1}]),
        request(auth={"auth_type": "oauth1", "consumer_key": "k"}),
        variables={"q": "{ x }"},
    )
    assert [sent.request.content.data for sent in driver.sent] == [b"5", b"a=1", b'{"query": "{ x }", "n": 1}']
    assert driver.sent[0].request.target == "/x?q=a%20b"
    assert "uploaded files" in result.steps[3].errors[0]
    assert "'oauth1' is not supported" in result.steps[4].errors[0]


def test_an_undefined_variable_is_not_sent() -> None:
    driver = Driver()
    result = run(
        driver, request("{{a}}/{{b}}", method="POST", headers={"H": "{{c}}"}, body="{{d}}", assertions=[status(200)])
    )
    assert driver.sent == []
    (step,) = result.steps
    assert step.result == "error"
    assert step.errors == (
        "Request failed to set 'url' — Variable 'a' was not defined",
        "Request failed to set 'url' — Variable 'b' was not defined",
        "Request failed to set 'headers' — Variable 'c' was not defined",
        "Request failed to set 'body' — Variable 'd' was not defined",
    )
    assert step.assertions == ()
    assert result.result == "error"


def test_what_is_no_request_is_an_error_of_the_step() -> None:
    result = run(Driver(), request(""))
    assert result.steps[0].errors == ("Unable to execute empty request",)


def test_no_answer_is_an_error() -> None:
    lost = replace(exchange(response=None), failure=Failure("refused", "nothing listens there"))
    result = run(Driver(lost), request(assertions=[status(200)], scripts=["s"]))
    (step,) = result.steps
    assert (step.result, step.errors, step.assertions, step.scripts) == ("error", ("nothing listens there",), (), ())


def test_failed_and_errored_are_kept_apart() -> None:
    driver = Driver(201, 200, 200, {"a": 1}, script=lambda call: ScriptDone(**{call.source: "why"}))  # type: ignore[arg-type]
    result = run(
        driver,
        request(assertions=[status(409)]),
        request(assertions=[{"source": "response_status", "comparison": "equal_number", "value": "{{x}}"}]),
        request(scripts=["failed", "error"]),
        request(variables=[{"name": "v", "source": "response_json", "property": "b"}], scripts=["error"]),
        request(scripts=["error"]),
    )
    assert [step.result for step in result.steps] == ["fail", "error", "fail", "fail", "error"]
    assert result.steps[0].assertions[0].message == "201 was not a number equal to 409"
    assert result.steps[1].assertions[0].error == "Variable 'x' was not defined"
    assert [one.result for one in result.steps[2].scripts] == ["fail", "error"]
    assert (result.steps[3].variables[0].error or "").startswith("Attribute not found.")
    assert result.result == "fail"
    assert verdict(result.steps[1:2]) == "error"


def test_assertions_of_an_initial_script_are_ignored_but_not_its_faults() -> None:
    def script(call: RunScript) -> ScriptDone:
        return ScriptDone(
            failed="no" if call.source == "asserts" else None, error="boom" if call.source == "bad" else None
        )

    assert run(Driver(script=script), environment={"name": "E", "script": "asserts"}).result == "pass"
    result = run(Driver(script=script), environment={"name": "E", "script": "bad"})
    assert result.steps[0].scripts[0].error == "boom"
    assert result.result == "error"


def test_pauses_skips_and_selected_steps() -> None:
    driver = Driver()
    result = run(
        driver,
        {"step_type": "pause", "duration": 5},
        request("http://h/1", skipped=True),
        request("http://h/2"),
        {"step_type": "pause", "duration": 7, "note": "rest"},
        request("http://h/4"),
        only=frozenset({1, 2, 5}),
    )
    assert driver.order == [
        "pause 5",
        "end 1 pass",
        "end 2 skipped",
        "end 3 skipped",
        "end 4 skipped",
        "GET http://h/4",
        "end 5 pass",
    ]
    assert result.result == "pass"
    assert [step.note for step in result.steps if step.step_type == "pause"] == ["Pause 5 s", "rest"]
    assert [effect.title for effect in driver.asked if isinstance(effect, Began)] == ["Pause 5 s", "GET http://h/4"]


@pytest.mark.parametrize("option", [None, True, False])
def test_stop_on_failure(option: bool | None) -> None:
    result = run(
        Driver(500),
        request(assertions=[status(200)]),
        request(),
        {"step_type": "condition", "left_value": 1, "comparison": "equal", "right_value": 1, "steps": [request()]},
        environment={"name": "E", "stop_on_failure": True},
        stop_on_failure=option,
    )
    rest = [step.result for step in result.steps[1:]]
    if option is False:
        assert rest == ["pass", "pass", "pass"]
        assert result.canceled is None
    else:
        assert rest == ["canceled", "canceled"]
        assert result.canceled == "step 1 failed, and the run stops on failure"
    assert result.result == "fail"


def conditional(
    kind: str, left: Any, comparison: str, right: Any, *steps: dict[str, Any], **more: Any
) -> dict[str, Any]:
    return {
        "step_type": kind,
        "left_value": left,
        "comparison": comparison,
        "right_value": right,
        "steps": list(steps),
        **more,
    }


def test_conditions() -> None:
    driver = Driver()
    result = run(
        driver,
        conditional("condition", "{{a}}", "equal", "1", request("http://h/yes")),
        conditional("conditional", "{{a}}", "equal", 2, request("http://h/no"), note="never"),
        conditional("condition", "{{nowhere}}", "equal", "1", request("http://h/no")),
        conditional("condition", "{{a}}", "is_less_than", "many", request("http://h/no")),
        variables={"a": "1"},
    )
    assert driver.order == [
        "GET http://h/yes",
        "end 1.1 pass",
        "end 1 pass",
        "end 2 pass",
        "end 3 error",
        "end 4 error",
    ]
    assert [step.note for step in result.steps[1:3]] == ["the condition was true", "never: the condition was false"]
    assert result.steps[3].errors == ("Variable 'nowhere' was not defined",)
    assert "not a number" in result.steps[4].errors[0]


def test_loops_end_by_their_condition_or_after_a_hundred_rounds() -> None:
    extract = [{"name": "n", "source": "response_json", "property": "n"}]
    driver = Driver({"n": 2}, {"n": 1}, {"n": 0})
    loop = conditional("conditional-loop", "{{n}}", "is_greater_than", "0", request(variables=extract))
    result = run(driver, loop, variables={"n": 3})
    assert [step.number for step in result.steps] == ["1[1].1", "1[2].1", "1[3].1", "1"]
    assert result.steps[-1].note == "3 rounds"
    assert len(run(Driver(), conditional("conditional-loop", 1, "equal", "1", request())).steps) == 101


def test_a_loop_ends_with_the_run() -> None:
    loop = conditional("conditional-loop", 1, "equal", "1", request(assertions=[status(200)]))
    result = run(Driver(200, 500), loop, stop_on_failure=True)
    assert [step.result for step in result.steps] == ["pass", "fail", "pass"]


def test_what_is_not_supported_fails_unless_skipped() -> None:
    result = run(
        Driver(),
        {"step_type": "ghost-inspector", "note": "ghost"},
        {"step_type": "inbound", "token": "t"},
        {"step_type": "teleport", "skipped": True},
    )
    assert [step.result for step in result.steps] == ["error", "error", "skipped"]
    assert all(step.not_supported for step in result.steps[:2])
    assert "'ghost-inspector' is not supported here" in result.steps[0].errors[0]
    assert result.result == "error"


def subtest(uuid: str, **members: Any) -> dict[str, Any]:
    return {"step_type": "subtest", "test_uuid": uuid, **members}


def play_all(driver: Driver, *tests: dict[str, Any], **options: Any) -> SuiteResult:
    found = suites(*tests)
    return driver.play(Runner(plan(found[0], others=found, **options)))


def test_a_subtest_in_the_same_file() -> None:
    driver = Driver(200, 500)
    inner = {
        "id": "u2",
        "name": "inner",
        "steps": [request("http://h/{{who}}", assertions=[status(200)])],
        "environments": [{"id": "e2", "name": "E2", "initial_variables": {"who": "inner"}}],
    }
    outer = {
        "id": "u1",
        "environments": [{"id": "e1", "name": "E1", "initial_variables": {"who": "outer"}}],
        "steps": [
            subtest("u2", environment_uuid="e2", note="call it"),
            subtest("u2", use_parent_environment=True),
            subtest("u2", variables=[{"name": "r", "source": "response_json", "property": "result"}],
                    assertions=[{"source": "response_json", "comparison": "equal_number", "property": "requests_executed", "value": 1}]),
            subtest("gone"),
        ],
    }  # fmt: skip
    result = play_all(driver, outer, inner)
    assert [sent.request.target for sent in driver.sent] == ["/inner", "/outer", "/inner"]
    assert [(step.number, step.result) for step in result.steps] == [
        ("1.1", "pass"),
        ("1", "pass"),
        ("2.1", "fail"),
        ("2", "fail"),
        ("3.1", "pass"),
        ("3", "pass"),
        ("4", "error"),
    ]
    assert [step.note for step in result.steps if step.step_type == "subtest"][:2] == ["call it", "inner"]
    assert result.steps[3].assertions[0].actual_value == "fail"
    assert result.steps[5].variables[0].value == "pass"
    assert "not in this file" in result.steps[6].errors[0]


def test_subtests_that_call_each_other_end() -> None:
    result = play_all(Driver(), {"id": "u1", "steps": [subtest("u1")]})
    assert "nested more than 10 deep" in result.steps[0].errors[0]
    assert result.result in {"fail", "error"}


def test_parameters_of_a_subtest() -> None:
    found = suites({"id": "a", "steps": [subtest("b")]}, {"id": "b", "steps": [request("http://h/{{p}}/{{n}}")]})
    step = replace(found[0].steps[0], parameters={"p": "{{q}}", "n": 3})
    suite = replace(found[0], steps=(step,))
    driver = Driver()
    driver.play(Runner(plan(suite, others=found, variables={"q": "x"})))
    assert driver.sent[0].request.target == "/x/3"


def test_the_driver_may_give_the_step_back_as_it_stored_it() -> None:
    driver = Driver()
    driver.keep = lambda step: replace(step, id=9)
    result = run(driver, {"step_type": "pause", "duration": 1})
    assert [step.id for step in result.steps] == [9]


def test_an_interrupted_run_has_what_it_had() -> None:
    (suite,) = suites({"steps": [request(), request()]})
    runner = Runner(plan(suite))
    play = runner.play()
    assert isinstance(next(play), Began)
    assert isinstance(play.send(None), Send)
    assert isinstance(play.send(exchange(response=response(200))), Ended)
    play.close()
    result = runner.result(canceled="interrupted")
    assert (result.result, result.canceled, result.steps) == ("canceled", "interrupted", ())


def test_a_summary_counts() -> None:
    result = run(
        Driver(200, 500), request(assertions=[status(200)]), request(assertions=[status(200)]), variables={"a": 1}
    )
    counted = summary(result)
    assert counted["result"] == "fail"
    assert (counted["requests_executed"], counted["assertions_defined"]) == (2, 2)
    assert (counted["assertions_passed"], counted["assertions_failed"]) == (1, 1)
    assert counted["initial_variables"] == {"a": "1"}
    assert StepResult(number="1", step_type="x", result="skipped").passed
