"""following.py: somebody else's run of a suite, step by step: which exchange is which, what is known, when it ends."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from factories import T0, exchange, request

from scimproxy.exchange import Content, Exchange, Failure, Headers, fingerprint
from scimproxy.suite.effects import RunScript, ScriptDone
from scimproxy.suite.following import LONGEST_RUN_S, MOST_OPEN, Attempt, Closed, Follower, Noted, Opened
from scimproxy.suite.hints import why
from scimproxy.suite.model import (
    Assertion,
    ConditionStep,
    Environment,
    Extraction,
    LoopStep,
    PauseStep,
    RequestStep,
    Suite,
)
from scimproxy.suite.results import StepResult


def ask(url: str, *asserted: Assertion, method: str = "GET", **fields: Any) -> RequestStep:
    return RequestStep(method=method, url=url, assertions=asserted, **fields)


OK = Assertion("response_status", "equal_number", 200)
CREATE = ask(
    "{{base}}/Users",
    Assertion("response_status", "equal_number", 201),
    Assertion("response_json", "equal", "{{name}}", "userName"),
    method="POST",
    body='{"userName": "{{name}}"}',
    variables=(Extraction("id", "response_json", "id"),),
    note="Create",
)
READ = ask("{{base}}/Users/{{id}}", OK, Assertion("response_json", "equal", "{{name}}", "userName"), note="Read")
FAST = Assertion("response_time", "is_less_than", 600)
SUITE = Suite(
    name="Three",
    steps=(
        ask("{{base}}/Users?count=1", OK, note="List"),
        PauseStep(duration_s=5),
        CREATE,
        PauseStep(duration_s=10),
        PauseStep(duration_s=10, skipped=True),
        READ,
        ask("{{base}}/Groups", OK, FAST, note="Groups"),
    ),
)


class Watcher:
    """Takes exchanges, and keeps what is told."""

    def __init__(self, suite: Suite = SUITE, environment: Environment | None = None, **more: Any) -> None:
        self.follower = Follower(suite, environment, **more)
        self.steps: dict[int, list[StepResult]] = {}
        self.closed: list[Attempt] = []
        self.scripts: list[RunScript] = []
        self.done = ScriptDone()
        self.numbers = iter(range(1, 10_000))

    def _go(self, going: Any) -> Any:
        answer: object = None
        while True:
            try:
                news = going.send(answer)
            except StopIteration as done:
                return done.value
            answer = None
            match news:
                case Opened():
                    self.steps[news.attempt.number] = []
                case Noted():
                    self.steps[news.attempt.number].append(news.step)
                case Closed():
                    self.closed.append(news.attempt)
                case _:
                    self.scripts.append(news)
                    answer = self.done

    def see(
        self,
        method: str = "GET",
        target: str = "/Users?count=1",
        *,
        body: object = b"",
        answer: object = b"",
        status_code: int = 200,
        agent: str = "runscope-radar/2.0",
        **fields: Any,
    ) -> Attempt | None:
        sent = request(method, f"/scim/v2{target}", body=body)
        kept = sent.headers.without("Authorization", "User-Agent")
        sent = replace(sent, headers=Headers([*kept, ("User-Agent", agent)]))
        made: Exchange = exchange(request=sent, status_code=status_code, answer=answer, **fields)
        if made.id is None:
            made = replace(made, id=next(self.numbers))
        found: Attempt | None = self._go(self.follower.take(made))
        return found

    def finish(self) -> None:
        self._go(self.follower.finish())

    def create(self, name: str = "ada", key: str = "1", **fields: Any) -> Attempt | None:
        answer = {"userName": name, "id": key}
        return self.see("POST", "/Users", body={"userName": name}, answer=answer, status_code=201, **fields)

    def read(self, name: str = "ada", key: str = "1", **fields: Any) -> Attempt | None:
        return self.see(target=f"/Users/{key}", answer={"userName": name}, **fields)

    def told(self, number: int = 1) -> list[tuple[str, str]]:
        return [(step.number, step.result) for step in self.steps[number] if step.step_type == "request"]


def test_a_run_is_followed_step_by_step() -> None:
    it = Watcher()
    attempt = it.see()
    assert attempt is not None
    assert [(one.number, one.title, one.pause_s, one.here) for one in it.follower.waiting(attempt)] == [
        ("3", "Create", 5, True),
        ("6", "Read", 10, True),
        ("7", "Groups", 0, True),
    ]
    assert it.create() is attempt
    assert it.see(agent="Okta SCIM Client 1.0.0") is None
    assert it.see(target="/Nothing") is None
    assert it.see(state="pending") is None
    assert it.read() is attempt
    assert attempt.result().result == "pass" and attempt.result().ended_at is None
    assert attempt.result().warnings == ()
    assert it.see(target="/Groups") is attempt
    assert "measured here" in attempt.result().warnings[0]
    assert it.told() == [("1", "pass"), ("3", "pass"), ("6", "pass"), ("7", "pass")]
    assert (attempt.closed, attempt.reached_end, attempt.missed, it.follower.open) == (True, True, [], [])
    assert attempt.known == {"base": "http://scim.example/scim/v2", "name": "ada", "id": "1"}
    assert it.follower.waiting(attempt) == []
    result = attempt.result()
    assert (result.result, result.ended_at, result.canceled) == ("pass", T0 + 0.012, None)
    second = next(step for step in it.steps[1] if step.number == "3")
    assert (second.exchange_id, second.method, second.url) == (2, "POST", "http://scim.example/scim/v2/Users")


def test_a_wrong_answer_fails_its_step() -> None:
    it = Watcher()
    it.see()
    it.create()
    attempt = it.read("Ada")
    assert attempt is not None
    (failed,) = [step for step in it.steps[1] if step.result == "fail"]
    assert [(one.result, one.target_value, one.actual_value) for one in failed.assertions][1] == (
        "fail",
        "ada",
        "Ada",
    )
    assert attempt.result().result == "fail"


def test_a_step_that_was_not_seen_is_said_so_and_what_needs_it_is_not_known() -> None:
    it = Watcher()
    it.see()
    attempt = it.read()
    assert attempt is not None
    assert it.told() == [("1", "pass"), ("3", "skipped"), ("6", "error")]
    (told,) = [one for one in it.steps[1][-1].assertions if one.error]
    assert told.error == "not known: nothing that was sent tells {{name}}"
    assert (told.actual_value, told.message) == ("ada", "ada could not be compared")
    # No rule is told under it: nobody broke one.
    reason = why(it.steps[1][-1], told)
    assert reason is not None
    assert (reason.came, reason.rule) == ('"ada"', None)
    assert attempt.result().result == "error"
    assert attempt.result().warnings[0] == "not seen: step 3"
    attempt.missed.append("9")
    assert attempt.result().warnings[0] == "not seen: steps 3, 9"


def test_a_step_that_could_not_be_sent_has_the_runners_error() -> None:
    it = Watcher()
    it.see()
    attempt = it.see("POST", "/Users", body={"userName": "ada"}, status_code=500)
    assert it.see(target="/Groups") is attempt
    assert it.told() == [("1", "pass"), ("3", "fail"), ("6", "error"), ("7", "pass")]
    (unsent,) = [step for step in it.steps[1] if step.number == "6"]
    assert unsent.errors == ("Request failed to set 'url' — Variable 'id' was not defined",)
    assert attempt is not None and attempt.missed == []


def test_a_new_run_begins_at_the_first_step() -> None:
    it = Watcher()
    it.see()
    it.create()
    second = it.see()
    assert second is not None and second.number == 2
    it.create("bea", "2")
    it.read("bea", "2")
    # The first is not over as far as one can know: it goes on where its own values come.
    first = it.read()
    assert first is not None and first.number == 1
    it.see()
    it.see(target="/Groups", client_address="10.0.0.9")
    assert it.told(2)[-1] == ("7", "pass")
    it.finish()
    assert [one.number for one in it.closed] == [2, 1, 3]
    assert it.closed[1].result().result == "canceled"


def test_runs_of_two_places_side_by_side() -> None:
    it = Watcher()
    here: dict[str, Any]
    there: dict[str, Any]
    here, there = {"client_address": "1.1.1.1"}, {"client_address": "2.2.2.2"}
    it.see(**here)
    it.see(**there)
    it.create("ada", "1", **here)
    it.create("bea", "2", **there)
    it.read("bea", "2", **there)
    it.read("ada", "1", **here)
    it.see(target="/Groups", **there)
    it.see(target="/Groups", **here)
    assert it.told(1) == it.told(2) == [("1", "pass"), ("3", "pass"), ("6", "pass"), ("7", "pass")]


def test_the_end_of_a_later_run_is_the_end_of_one_before_it() -> None:
    it = Watcher()
    it.see()
    it.see()
    it.create()
    it.read()
    it.see(target="/Groups")
    assert [(one.number, one.reached_end) for one in it.closed] == [(2, True), (1, False)]


def test_old_runs_and_too_many_are_closed() -> None:
    it = Watcher()
    for at in range(MOST_OPEN + 1):
        it.see(client_address=f"10.0.0.{at}")
    assert [one.number for one in it.closed] == [1]
    it.see(target="/Nothing", started_at=T0 + LONGEST_RUN_S + 1)
    assert it.follower.open == []


def test_no_more_runs_are_begun_than_a_person_would(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("scimproxy.suite.following.MOST_RUNS", 1)
    it = Watcher()
    assert it.see() is not None
    assert it.see() is None


def test_a_run_is_noticed_late_but_not_too_late() -> None:
    it = Watcher()
    assert it.see(target="/Groups") is None
    assert it.read() is not None
    assert it.told() == [("1", "skipped"), ("3", "skipped"), ("6", "error")]


def test_whoever_it_is() -> None:
    it = Watcher(clients=None)
    assert it.see(agent="curl/8") is not None


def test_steps_for_another_server_are_passed_over() -> None:
    org = ask("{{org}}/api/v1/users", method="POST", note="Add")
    it = Watcher(Suite(name="crud", steps=(org, PauseStep(duration_s=20), ask("{{base}}/Users", OK), org)))
    attempt = it.see(target="/Users")
    assert attempt is not None
    assert [one.note for one in it.steps[1] if one.result == "skipped"] == ["Add (goes to another server)"] * 2
    assert (attempt.closed, attempt.result().result, attempt.missed) == (True, "pass", [])


def test_what_a_recording_does_not_hold_is_not_known() -> None:
    secret = Assertion("response_json", "equal", "open", "password")
    text = Assertion("response_json", "equal", "x", "a")
    status = Assertion("response_status", "equal_number", 201)
    time = Assertion("response_json", "equal", "{{timestamp}}", "at")
    it = Watcher(Suite(name="s", steps=(ask("{{base}}/Users", secret, time), ask("{{base}}/Groups", text, status))))
    it.see(target="/Users", answer={"password": fingerprint("open"), "at": 0})
    cut = exchange(answer=b'{"a": "x').response
    assert cut is not None
    it.see(target="/Groups", response=replace(cut, content=replace(Content.of(b'{"a": "x'), size=99)))
    assert [one.error for one in it.steps[1][0].assertions] == [
        "not known: of a secret the recording holds a fingerprint only",
        "not known: nothing that was sent tells {{timestamp}}",
    ]
    told = [(one.result, one.error) for one in it.steps[1][1].assertions]
    assert told == [("error", "not known: the recording holds only the beginning of this answer"), ("fail", None)]


def test_an_exchange_without_an_answer_is_errored() -> None:
    it = Watcher()
    it.see(response=None)
    it.create(response=None, failure=Failure("refused", "nobody listens"))
    first, second = (step for step in it.steps[1] if step.step_type == "request")
    assert (first.result, first.errors) == ("error", ("the recording holds no answer",))
    assert (second.result, second.errors) == ("error", ("nobody listens",))


def test_scripts_after_an_answer_are_asked_for_with_what_was_sent() -> None:
    source = 'assert.equal(variables.get("name"), "ada")'
    steps = (
        ask("{{base}}/Users", OK, scripts=(source,), before_scripts=("never()",)),
        replace(CREATE, scripts=(source,)),
    )
    it = Watcher(Suite(name="s", steps=steps))
    it.done = ScriptDone(variables={"more": 1}, output="said")
    it.see(target="/Users")
    assert it.steps[1][0].scripts[0].error == "not known: the script reads name, which was never sent"
    attempt = it.create()
    (call,) = it.scripts
    assert call.request is not None
    assert (call.request["method"], call.request["url"]) == ("POST", "http://scim.example/scim/v2/Users")
    assert it.steps[1][1].scripts[0].output == "said"
    assert attempt is not None and attempt.known["more"] == "1"


def test_conditions_and_loops_follow_what_is_known() -> None:
    inner = ask("{{base}}/Groups", OK, note="Inner")
    steps = (
        ask("{{base}}/Users", OK, variables=(Extraction("n", "response_json", "n"),)),
        LoopStep(left_value="{{n}}", comparison="equal", right_value="1", steps=(inner,)),
        ask("{{base}}/Schemas", OK, skipped=True),
        ConditionStep(left_value="{{n}}", comparison="equal", right_value="3", steps=(ask("{{base}}/Bulk", OK),)),
        ask("{{base}}/Me", OK),
    )
    it = Watcher(Suite(name="s", steps=steps), Environment(initial_variables={"given": "{{uuid}}", "n": "1"}))
    attempt = it.see(target="/Users", answer={"n": 1})
    assert attempt is not None
    assert [one.number for one in it.follower.waiting(attempt)] == ["2.1", "4.1", "5"]
    it.see(target="/Groups")
    it.see(target="/Groups")
    assert it.told() == [("1", "pass"), ("2[1].1", "pass"), ("2[2].1", "pass")]
    # What the condition would not have sent is nobody's; the run is over then.
    other = Watcher(Suite(name="s", steps=(steps[0], steps[3])))
    other.see(target="/Users", answer={"n": 1})
    assert other.see(target="/Bulk") is None
    third = Watcher(Suite(name="s", steps=(steps[0], steps[3], steps[4])))
    third.see(target="/Users", answer={"n": 1})
    assert third.see(target="/Bulk") is None
    assert [one.closed for one in third.closed] == [True]


def test_an_exchange_that_was_never_stored_has_no_number() -> None:
    it = Watcher()
    sent = exchange(target="/scim/v2/Users?count=1", client="runscope")
    sent = replace(sent, request=replace(sent.request, headers=sent.request.headers.without("Authorization")))
    attempt = it._go(it.follower.take(sent))
    assert attempt is not None and attempt.exchange_ids == []
