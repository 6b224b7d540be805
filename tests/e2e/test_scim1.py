"""SCIM 1.1 over real sockets: our suite and Okta's against the embedded server, and a user seen from both versions."""

from __future__ import annotations

import json
from pathlib import Path

from demo_client import Client
from suites import OKTA, okta

from scimproxy.app import Stop
from scimproxy.demo import Demo, serve
from scimproxy.suite.library import bundled
from scimproxy.suite.results import SuiteResult
from scimproxy.suite.runscope import parse
from scimproxy.suite.script import ScriptEngine
from scimproxy.suite_run import Sandbox, SuiteOptions, run_suite


async def play(content: bytes, demo: Demo, folder: Path, *scripts: str) -> SuiteResult:
    (suite,) = parse(content)
    options = SuiteOptions(
        suite=suite,
        db=folder / "a.db",
        environment=suite.environment,
        source="test",
        pinned={"SCIMBaseURL": demo.url_1, "auth": f"Bearer {demo.token}"},
        initial_scripts=scripts,
        pause_scale=0.0,
    )
    with ScriptEngine() as engine:
        return await run_suite(options, Sandbox(engine), lambda _: None, Stop())


def held(result: SuiteResult) -> tuple[str, int, list[str]]:
    """The verdict, how many assertions held, and the steps that did not."""
    every = [one for step in result.executed for one in step.assertions]
    return result.result, sum(one.result == "pass" for one in every), [s.note for s in result.steps if not s.passed]


async def test_our_suite_passes_and_leaves_nothing_behind(tmp_path: Path) -> None:
    async with await serve() as demo:
        before = len(demo.directory)
        assert held(await play(bundled()["scim1-spec"].read_bytes(), demo, tmp_path)) == ("pass", 113, [])
        assert len(demo.directory) == before


async def test_oktas_suite_passes(tmp_path: Path) -> None:
    content = okta("Okta-SCIM-11-SPEC-Test.json")
    script = (OKTA / "Initial_Script_Spec.txt").read_text(encoding="utf-8")
    async with await serve() as demo:
        assert held(await play(content, demo, tmp_path, script)) == ("pass", 90, [])


async def test_our_suite_finds_what_servers_get_wrong(tmp_path: Path) -> None:
    wanted = {
        "open-door": "Access: no token is refused",
        "duplicate-accepted": "Create the same user again: a conflict",
        "patch-ignored": "PATCH: the rest is as it was",
        "filter-bad-accepted": "A filter that does not parse",
        "count-ignored": "Page 1 of size 1",
        "unknown-id-500": "Read a user that does not exist",
        "password-returned": "Create a user",
    }
    content = bundled()["scim1-spec"].read_bytes()
    found = {}
    for defect in wanted:
        async with await serve(defects=[defect]) as demo:
            found[defect] = held(await play(content, demo, tmp_path))[2]
    assert {name: note for name, note in wanted.items() if note not in found[name]} == {}


async def test_both_versions_show_the_same_resources() -> None:
    async with await serve() as demo:
        client = Client(demo)
        await client.create()
        old = await client("GET", f"{demo.url_1}/Users")
        new = await client("GET", "/Users")
        assert [one["id"] for one in old.body["Resources"]] == [one["id"] for one in new.body["Resources"]]
        assert old.headers["content-type"] == "application/json"
        for user in old.body["Resources"]:
            assert user["schemas"] == ["urn:scim:schemas:core:1.0"]
            assert user["meta"]["location"] == f"{demo.url_1}/Users/{user['id']}"
        gone = await client("DELETE", f"{demo.url_1}/Users/{old.body['Resources'][1]['id']}")
        assert (gone.status, gone.content) == (200, b"")
        assert (await client("GET", "/Users")).body["totalResults"] == 1


async def test_the_token_is_asked_for_in_both() -> None:
    async with await serve() as demo:
        got = await Client(demo)("GET", f"{demo.url_1}/Users", token="wrong")
        assert (got.status, "invalid_token" in got.headers["www-authenticate"]) == (401, True)
        assert json.loads(got.content)["Errors"][0]["code"] == "401"
        outside = await Client(demo)("GET", f"http://{demo.host}:{demo.port}/scim/v12/Users")
        assert (outside.status, "/scim/v1" in outside.body["detail"]) == (404, True)
