"""Hosted Runscope drives a recorder over real sockets; its run is followed, and each verdict is that of its own."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path

import okta_double
import pytest
from recording import Up, run
from runscope_like import Runscope, Server
from suites import OKTA, okta

from scimproxy.store import Reader
from scimproxy.suite.library import bundled
from scimproxy.suite.model import Suite
from scimproxy.suite.results import AssertionResult, StepResult
from scimproxy.suite.runscope import parse
from scimproxy.suite.script import ScriptEngine
from scimproxy.suite.verdicts import outcome_of
from scimproxy.suite_follow import Followed, FollowOptions, SuiteFollowing
from scimproxy.suite_run import Sandbox


@pytest.fixture(name="server")
def _server() -> Iterator[Server]:
    server = Server()
    yield server
    server.close()


def named(name: str) -> tuple[Suite, tuple[str, ...]]:
    """A suite, and the initial scripts that are pasted into Runscope for it."""
    if name in bundled():
        return parse(bundled()[name].read_bytes())[0], ()
    script = okta("Initial_Script_Spec.txt").decode()
    assert OKTA.is_dir()
    return parse(okta(name))[0], (script,)


def follow(db: Path, suite: Suite, run_id: int = 1, *, keeps: bool = True) -> list[Followed]:
    """Follow a recording from its beginning to its end."""
    found: dict[int, Followed] = {}

    async def go() -> None:
        with ScriptEngine() as engine:
            following = SuiteFollowing(
                FollowOptions(db=db, run_id=run_id, suite=suite, source="suite.json", keeps=keeps),
                Sandbox(engine),
                lambda one: found.update({one.attempt.number: one}),
            )
            await following.catch_up()
            await following.finish()

    asyncio.run(go())
    return [found[number] for number in sorted(found)]


def untimed(step: StepResult) -> list[AssertionResult]:
    return [it for it in step.assertions if it.source != "response_time"]


def verdicts(steps: list[StepResult]) -> list[tuple[object, ...]]:
    """What a person compares: the result of each step, assertion, variable and script; but no times.

    Response times are taken at two places here, by a client and by the recorder, on a machine with other work.
    """
    return [
        (
            step.number,
            outcome_of(untimed(step), step.variables, step.scripts, step.errors) if untimed(step) else step.result,
            step.status_code,
            [(it.result, it.source, it.property, it.comparison) for it in untimed(step)],
            [(it.result, it.name) for it in step.variables],
            [(it.result, it.kind) for it in step.scripts if it.kind == "after"],
        )
        for step in steps
        if step.step_type == "request"
    ]


@pytest.mark.parametrize(
    "name", [*bundled(), "Okta-SCIM-20-SPEC-Test.json", "Okta-SCIM-11-SPEC-Test.json"], ids=lambda name: name
)
def test_verdicts_are_those_of_a_run_of_ours(name: str, tmp_path: Path, server: Server) -> None:
    suite, scripts = named(name)
    target = server.demo.url_1 if suite.name.find("1.1") >= 0 else server.demo.url
    db = tmp_path / "up.db"
    with Up(target, db) as up:
        auth = f"Bearer {server.demo.token}"
        given = {"SCIMBaseURL": up.url, "auth": auth, "SCIMUrl": up.url, "SCIMAuth": auth}
        noise = iter(range(1_000))

        def beside(number: str) -> None:
            if next(noise) % 6 == 0:
                up.ask("GET", "/Users?count=1&startIndex=1", Authorization=auth, User_Agent="Okta SCIM Client 1.0.0")

        runscope = Runscope(suite, given, scripts, before=beside)
        theirs = [verdicts(runscope.run()) for _ in range(2 if name == "lifecycle" else 1)]
    attempts = follow(db, suite)
    assert [verdicts(one.steps) for one in attempts] == theirs
    assert all(one.attempt.reached_end for one in attempts)
    with Reader.open(db) as reader:
        stored = reader.suite(attempts[-1].run_id or 0)
        assert stored is not None
        assert verdicts(list(stored.steps)) == theirs[-1]
        exchanges = [step.exchange_id for step in stored.steps if step.exchange_id is not None]
        assert len(exchanges) == sum(one[2] is not None for one in theirs[-1])
        assert auth.split()[1] not in repr(stored)
    if name == "Okta-SCIM-20-SPEC-Test.json":  # its requests are none of the other suite's
        assert follow(db, parse(okta("Okta-SCIM-20-CRUD-Test.json"))[0], keeps=False) == []
    # Followed again, it finds its own runs.
    assert [one.run_id for one in follow(db, suite)] == [one.run_id for one in attempts]


def test_a_step_that_is_left_out_is_not_seen(tmp_path: Path, server: Server) -> None:
    left_out = "23"
    suite, _ = named("scim2-spec")
    db = tmp_path / "up.db"
    with Up(server.demo.url, db) as up:
        given = {"SCIMBaseURL": up.url, "auth": f"Bearer {server.demo.token}"}
        theirs = verdicts(Runscope(suite, given, leaves_out={left_out}).run())
    (attempt,) = follow(db, suite, keeps=False)
    differing = [one for one in verdicts(attempt.steps) if one not in theirs and one[0] != left_out]
    assert attempt.attempt.missed == [left_out]
    assert [(one[0], one[1]) for one in differing] == [("24", "error")]
    assert attempt.attempt.result().result in {"error", "fail"}


def test_okta_provisions_beside_and_its_org_is_elsewhere(tmp_path: Path, server: Server) -> None:
    suite = parse(okta("Okta-SCIM-20-CRUD-Test.json"))[0]
    script = okta("Initial_Script_CRUD.txt").decode()
    auth = f"Bearer {server.demo.token}"
    db = tmp_path / "up.db"
    with Up(server.demo.url, db) as up, okta_double.running(up.url, auth) as org:
        given = {
            "SCIMUrl": up.url,
            "SCIMAuth": auth,
            "oktaOrgUrl": org.url,
            "oktaAppId": okta_double.APP,
            "oktaToken": okta_double.TOKEN,
        }
        theirs = {step.number: step for step in Runscope(suite, given, (script,)).run()}
        provisioned = len(org.calls)
    (attempt,) = follow(db, suite)
    here = {"5", "8", "11", "15", "19"}
    ours = {step.number: step for step in attempt.steps if step.step_type == "request"}
    assert {number for number, step in ours.items() if step.result != "skipped"} == here
    assert (attempt.attempt.missed, attempt.attempt.reached_end) == ([], True)
    # The names that Runscope made up went to the org alone: what compares them is not known, all else is as theirs.
    unknown = 0
    for number in sorted(here):
        for mine, other in zip(ours[number].assertions, theirs[number].assertions, strict=True):
            if mine.error and mine.error.startswith("not known: nothing that was sent tells {{okta_user_"):
                unknown += 1
            else:
                assert (mine.result, mine.actual_value) == (other.result, other.actual_value)
    assert unknown == 3
    assert follow(db, parse(okta("Okta-SCIM-20-SPEC-Test.json"))[0], keeps=False) == []
    assert provisioned > len(here)


def test_up_follows_the_suites_it_was_told_to_its_end(
    tmp_path: Path, server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    suite, _ = named("lifecycle")
    db = tmp_path / "up.db"
    monkeypatch.setenv("SCIMPROXY_UI", "1")
    with Up(server.demo.url, db, "--ui-port", "0", "--suite", "lifecycle", "--suite", "scim2-spec") as up:
        given = {"SCIMBaseURL": up.url, "auth": f"Bearer {server.demo.token}"}
        theirs = verdicts(Runscope(suite, given).run())
        up.stop()
    # The recording ended right after the last answer: what came last is judged all the same.
    with Reader.open(db) as reader:
        (seen,) = reader.seen_in([1])
        stored = reader.suite(seen.id or 0)
        assert stored is not None
        assert (seen.name, stored.result, stored.canceled) == (suite.name, "pass", None)
        assert verdicts(list(stored.steps)) == theirs


def test_what_up_cannot_follow_is_refused_before_anything_is_recorded(tmp_path: Path) -> None:
    (tmp_path / "no.json").write_text("{", encoding="utf-8")
    for args, code, words in (
        (("--suite", "lifecycle", "--no-ui"), 2, "--suite needs the inspector"),
        (("--suite", "lifecicle", "--ui"), 2, "did you mean 'lifecycle'"),
        (("--suite", str(tmp_path / "no.json"), "--ui"), 3, "no.json"),
    ):
        done = run("up", "http://127.0.0.1:9/scim/v2", "--port", "0", "--db", str(tmp_path / "a.db"), *args)
        assert (done.returncode, words in done.stderr) == (code, True), done.stderr
    assert not (tmp_path / "a.db").exists()
