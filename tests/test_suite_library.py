"""The bundled suites: complete in themselves, and sharp enough to find what servers really get wrong."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from scimproxy.app import Stop
from scimproxy.demo import serve
from scimproxy.errors import UsageError
from scimproxy.suite.library import bundled, find_suite
from scimproxy.suite.model import RequestStep, all_steps
from scimproxy.suite.preflight import reads_first_user, undefined
from scimproxy.suite.runscope import parse
from scimproxy.suite.script import ScriptEngine
from scimproxy.suite_run import Sandbox, SuiteOptions, run_suite


@pytest.mark.parametrize("name", sorted(bundled()))
def test_a_bundled_suite_needs_nothing_but_target_and_token(name: str) -> None:
    (suite,) = parse(bundled()[name].read_bytes())
    assert undefined(suite, suite.environment, ("SCIMBaseURL", "auth")) == []
    assert not reads_first_user(suite)
    assert suite.name
    assert suite.description
    notes = [step.note for step in all_steps(suite.steps) if isinstance(step, RequestStep)]
    assert len(notes) == len(set(notes)), "each request has a name of its own"
    assert len(suite.steps) < 100, "Runscope imports fewer than 100 steps"


def test_suites_are_found_by_path_or_name(tmp_path: Path) -> None:
    assert find_suite("lifecycle").name == "lifecycle.json"
    (tmp_path / "x.json").write_text("{}")
    assert find_suite(str(tmp_path / "x.json")) == tmp_path / "x.json"
    with pytest.raises(UsageError, match="did you mean 'lifecycle'"):
        find_suite("lifecycl")
    with pytest.raises(UsageError, match=r"no bundled suite of that name$"):
        find_suite("zzz")


DEFECTS = {
    "create-200": "Create a user",
    "create-no-location": "Create a user",
    "duplicate-accepted": "Create the same user again: a conflict",
    "duplicate-no-scim-type": "Create the same user again: a conflict",
    "patch-ignored": "PATCH: the user is inactive now",
    "delete-200": "Delete the user",
    "error-no-schema": "Read a user that does not exist",
    "error-status-integer": "Read a user that does not exist",
    "unknown-id-500": "Read a user that does not exist",
    "open-door": "Access: no token is refused",
    "no-www-authenticate": "Access: no token is refused",
    "count-ignored": "Page 1 of size 1",
    "start-index-ignored": "Page 2 of size 1",
    "total-results-text": "Page 1 of size 1",
    "filter-bad-accepted": "A filter that does not parse",
    "filter-case-sensitive": "Case: the value of userName has none",
    "attributes-ignored": "Only some attributes",
    "excluded-ignored": "All but some attributes",
    "password-returned": "Create a user",
    "user-name-lowered": "Create a user",
    "not-json": "Read the user",
}


@pytest.mark.slow
async def test_the_spec_suite_finds_what_servers_get_wrong(tmp_path: Path) -> None:
    (suite,) = parse(bundled()["scim2-spec"].read_bytes())
    found = {}
    with ScriptEngine() as engine:
        for defect in DEFECTS:
            async with await serve(defects=[defect]) as demo:
                options = SuiteOptions(
                    suite=suite,
                    db=tmp_path / f"{defect}.db",
                    environment=suite.environment,
                    source="scim2-spec",
                    pinned={"SCIMBaseURL": demo.url, "auth": f"Bearer {demo.token}"},
                    timeout_s=10.0,
                )
                result = await run_suite(options, Sandbox(engine), lambda _: None, Stop())
            found[defect] = [step.note for step in result.steps if not step.passed]
    assert {name: note for name, note in DEFECTS.items() if note not in found[name]} == {}


def test_the_files_are_runscopes_format_and_ours() -> None:
    for path in bundled().values():
        data = json.loads(path.read_text())
        assert data["version"] == "1.0"
        assert data["steps"]
        assert all(isinstance(step.get("headers", {}), dict) for step in data["steps"])
