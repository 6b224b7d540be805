"""Okta's own suites through `scimproxy run` against real servers: each verdict beside an independent one, and a table.

Three witnesses: what the program said (its JSON), what `suite_oracle` makes of the answer in the database, and
`data/verdicts`, where what fails on which server is written down with the server's answer in short. The suites are
not ours: a test skips where they are not beside the repository, and names steps and assertions by their place only.
"""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import okta_double
import pytest
import suite_oracle
from recording import run
from servers import Peer
from suites import OKTA, okta

from scimproxy.demo import Demo, serve
from scimproxy.store import Reader

VERDICTS = Path(__file__).resolve().parents[1] / "data" / "verdicts"
SPEC_20 = ("Okta-SCIM-20-SPEC-Test.json", "Initial_Script_Spec.txt", "spec-2.0.json")
SPEC_11 = ("Okta-SCIM-11-SPEC-Test.json", "Initial_Script_Spec.txt", "spec-1.1.json")
CRUD_20 = ("Okta-SCIM-20-CRUD-Test.json", "Initial_Script_CRUD.txt", "crud-2.0.json")
SPECS = [pytest.param(SPEC_20, id="spec-2.0"), pytest.param(SPEC_11, id="spec-1.1")]
FAULTY = (SPEC_20[0], SPEC_20[1], "spec-2.0-defects.json")
FAULTS = [
    "create-empty",
    "duplicate-accepted",
    "error-html",
    "error-status-differs",
    "open-door",
    "start-index-from-0",
    "filter-ignored",
    "active-text",
    "null-attributes",
    "user-name-lowered",
    "bare-value",
    "not-json",
]
"""Faults of `demo --defect` that Okta's suite sees, each in another way."""
SHORT = 80


@dataclass(frozen=True)
class Run:
    """A run: the suite's file, the program's JSON, its exit code, the database."""

    suite: dict[str, Any]
    said: dict[str, Any]
    exit_code: int
    db: Path

    @property
    def requests(self) -> list[tuple[int, dict[str, Any], dict[str, Any]]]:
        """Of each request: its step's number, the step in the file, what was said of it."""
        said = {one["number"]: one for one in self.said["requests"]}
        steps = enumerate(self.suite["steps"], 1)
        return [(at, step, said[str(at)]) for at, step in steps if step["step_type"] == "request"]


def play(peer: Peer, files: tuple[str, str, str], folder: Path, *more: str) -> Run:
    suite, script, _ = files
    document, _ = okta(suite), okta(script)
    db = folder / "verdicts.db"
    args = ("--target", peer.url, "--auth", "env:AUTH", "--initial-script", str(OKTA / script))
    done = run(
        "run",
        str(OKTA / suite),
        *args,
        "--pause-scale",
        "0",
        "--json",
        "--db",
        str(db),
        *more,
        AUTH=f"Bearer {peer.token}",
    )
    assert done.stdout, done.stderr
    assert "Traceback" not in done.stderr
    return Run(json.loads(document), json.loads(done.stdout), done.returncode, db)


# --- the second opinion


def judge(played: Run) -> list[list[Any]]:
    """Hold each verdict against the oracle's; return what the oracle calls failed, as rows of the table."""
    variables = dict(played.said["initial_variables"])
    failed: list[list[Any]] = []
    wrong: list[Any] = []
    with Reader.open(played.db) as reader:
        for at, step, said in played.requests:
            url, missing = filled(step["url"], variables)
            if url is None:
                assert (said["outcome"], said["exchange_id"], said["assertions"]) == ("error", None, []), at
                assert missing in said["error_messages"][0], at
                failed.append([at, "not sent"])
                continue
            answer = recorded(reader, said["exchange_id"], step["method"], url)
            variables |= suite_oracle.taken(step, answer)
            assert len(said["assertions"]) == len(step["assertions"]), at
            for index, (assertion, verdict) in enumerate(zip(step["assertions"], said["assertions"], strict=True)):
                holds = suite_oracle.holds(assertion, answer, variables)
                if verdict["outcome"] != ("pass" if holds else "fail"):
                    wrong.append([at, index, assertion, verdict, holds])
                if not holds and assertion["source"] != "response_time":
                    failed.append([at, index, *named(assertion), short(assertion, answer, variables)])
            outcomes = [one["outcome"] for one in said["scripts"] if one["kind"] == "after"]
            if any(step["scripts"]):
                runs = suite_oracle.groups_are_listed(answer, may_be_none="1.1" not in played.suite["name"])
                if [outcome == "pass" for outcome in outcomes] != [runs]:
                    wrong.append([at, "script", outcomes, runs])
                failed.extend([] if runs else [[at, "script"]])
            else:
                assert outcomes == [], at
    assert wrong == [], "the program and the oracle differ"
    return failed


def filled(text: str, variables: dict[str, Any]) -> tuple[str | None, str]:
    """The text with its variables; None and the name of the one that is not defined."""
    try:
        return suite_oracle.fill(text, variables), ""
    except suite_oracle.NotSent as exc:
        return None, str(exc)


def recorded(reader: Reader, exchange_id: int, method: str, url: str) -> suite_oracle.Answer:
    """The answer of a step as the database has it; the request is the one that the step means."""
    exchange = reader.exchange(exchange_id)
    assert exchange is not None and exchange.response is not None
    target = "/" + url.split("/", 3)[3]
    assert (exchange.request.method, unquote(exchange.request.target)) == (method, target)
    assert exchange.response.headers.get("Content-Encoding") is None, "the oracle undoes no content coding"
    took = exchange.timings.total
    assert took is not None
    return suite_oracle.Answer(exchange.response.status_code, exchange.response.content.data, round(took))


def named(assertion: dict[str, Any]) -> list[str]:
    return [assertion["source"], assertion.get("property") or "", assertion["comparison"]]


def short(assertion: dict[str, Any], answer: suite_oracle.Answer, variables: dict[str, Any]) -> str:
    value = answer.get(assertion["source"], assertion.get("property"))
    if value is suite_oracle.NOWHERE:
        return "missing"
    wanted = suite_oracle.fill(str(assertion["value"]), variables)
    if isinstance(value, str) and value.casefold() == wanted.casefold():
        return "the same in other letter case"
    return json.dumps(value)[:SHORT]


# --- the table


def table(played: Run, failed: list[list[Any]]) -> dict[str, Any]:
    """What the table says of a server; response times are left out, for they are the machine's."""
    verdicts = [row for _, _, said in played.requests for row in said["assertions"]]
    timeless = [row for row in verdicts if row["source"] != "response_time_ms"]
    return {"held": sum(row["outcome"] == "pass" for row in timeless), "of": len(timeless), "failed": failed}


def compare(played: Run, server: str, files: tuple[str, str, str]) -> None:
    failed = judge(played)
    written = json.loads((VERDICTS / files[2]).read_text())
    assert table(played, failed) == written["servers"][server]
    # A slow machine fails an assertion on time, rightly; then the whole may not pass.
    too_slow = any(
        row["source"] == "response_time_ms" and row["outcome"] == "fail"
        for _, _, said in played.requests
        for row in said["assertions"]
    )
    assert played.exit_code == (1 if failed or too_slow else 0)
    assert played.said["outcome"] == ("fail" if failed or too_slow else "pass")


# --- the servers


@contextmanager
def embedded(*defects: str) -> Iterator[Demo]:
    """The embedded server in a thread of its own."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    try:
        demo = asyncio.run_coroutine_threadsafe(serve(defects=defects), loop).result(30)
        try:
            yield demo
        finally:
            asyncio.run_coroutine_threadsafe(demo.close(), loop).result(30)
    finally:
        loop.call_soon_threadsafe(loop.stop)
        thread.join(30)
        loop.close()


@pytest.fixture(name="own")
def _own() -> Iterator[Peer]:
    with embedded() as demo:
        yield Peer("embedded", demo.port, "/scim/v2", demo.token)


@pytest.mark.parametrize("files", SPECS)
def test_spec_on_scim2_server(files: tuple[str, str, str], scim2_server: Peer, tmp_path: Path) -> None:
    # It starts empty, and the suites read the first user.
    compare(play(scim2_server, files, tmp_path, "--seed-user"), scim2_server.name, files)


@pytest.mark.parametrize("files", SPECS)
def test_spec_on_scimmy(files: tuple[str, str, str], scimmy: Peer, tmp_path: Path) -> None:
    compare(play(scimmy, files, tmp_path, "--seed-user"), scimmy.name, files)


@pytest.mark.parametrize("files", SPECS)
def test_spec_on_the_embedded_server(files: tuple[str, str, str], own: Peer, tmp_path: Path) -> None:
    compare(play(own, files, tmp_path), own.name, files)


def test_spec_11_on_the_embedded_server_of_that_version(own: Peer, tmp_path: Path) -> None:
    peer = replace(own, name="embedded, SCIM 1.1", base_path="/scim/v1")
    compare(play(peer, SPEC_11, tmp_path), peer.name, SPEC_11)


@pytest.mark.slow
@pytest.mark.parametrize("defect", FAULTS)
def test_spec_on_a_faulty_server(defect: str, tmp_path: Path) -> None:
    with embedded(defect) as demo:
        compare(play(Peer(defect, demo.port, "/scim/v2", demo.token), FAULTY, tmp_path), defect, FAULTY)


# --- the CRUD suite, with an org that is a double


def crud(peer: Peer, folder: Path, *, lazy: bool = False) -> tuple[Run, list[tuple[str, int]]]:
    with okta_double.running(peer.url, f"Bearer {peer.token}", lazy=lazy) as double:
        org = {"oktaOrgUrl": double.url, "oktaAppId": okta_double.APP, "oktaToken": okta_double.TOKEN}
        more = [word for name, value in org.items() for word in ("--var", f"{name}={value}")]
        return play(peer, CRUD_20, folder, *more), double.calls


def check_crud(peer: Peer, folder: Path) -> None:
    played, calls = crud(peer, folder)
    compare(played, peer.name, CRUD_20)
    # Looked up and created, changed, taken out, looked up and replaced, taken out.
    assert [method for method, _ in calls] == ["GET", "POST", "GET", "PUT", "PATCH", "GET", "GET", "PUT", "PATCH"]
    assert all(200 <= status < 300 for _, status in calls), calls


def test_crud_on_scim2_server(scim2_server: Peer, tmp_path: Path) -> None:
    check_crud(scim2_server, tmp_path)


def test_crud_on_scimmy(scimmy: Peer, tmp_path: Path) -> None:
    check_crud(scimmy, tmp_path)


def test_crud_on_the_embedded_server(own: Peer, tmp_path: Path) -> None:
    check_crud(own, tmp_path)


def test_crud_fails_where_nothing_is_provisioned(own: Peer, tmp_path: Path) -> None:
    played, calls = crud(own, tmp_path, lazy=True)
    assert calls == []
    compare(played, "embedded, nothing provisioned", CRUD_20)


# --- the witnesses themselves


def test_a_verdict_that_differs_is_seen(own: Peer, tmp_path: Path) -> None:
    played = play(own, SPEC_20, tmp_path)
    judge(played)
    number, _, said = played.requests[-1]
    said["assertions"][1]["outcome"] = "fail"
    with pytest.raises(AssertionError, match="differ"):
        judge(played)
    said["assertions"][1]["outcome"] = "pass"
    other = replace(played, said={**played.said, "initial_variables": {}})
    with pytest.raises(AssertionError):
        judge(other)
    assert number == len(played.suite["steps"])


ANSWER = {"a": {"b": [1, "x", None, True]}, "n": "1.50", "e": "", "z": None, "f": False, "o": {}, "l": [], "s": "ab"}


@pytest.mark.parametrize(
    ("path", "comparison", "value", "holds"),
    [
        ("a.b[0]", "equal", "1", True),
        ("a.b[-1]", "equal", "true", True),
        ("a.b[3]", "equal", "True", False),
        ("a.b[4]", "equal", "", False),
        ("a[0]", "equal", "", False),
        ("s.x", "not_empty", None, False),
        ("s", "equal", "AB", False),
        ("s", "equal", "{{v}}", True),
        ("e", "not_empty", None, False),
        ("z", "not_empty", None, False),
        ("nowhere", "not_empty", None, False),
        ("f", "not_empty", None, True),
        ("o", "not_empty", None, True),
        ("l", "not_empty", None, True),
        ("a.b", "has_value", "x", True),
        ("a.b", "has_value", "1", True),
        ("s", "has_value", "ab", False),
        ("a", "has_value", "x", False),
        ("a.b", "contains", "x", True),
        ("s", "contains", "b", True),
        ("s", "contains", "c", False),
        ("n", "is_a_number", None, True),
        ("f", "is_a_number", None, False),
        ("e", "is_a_number", None, False),
        ("l", "is_a_number", None, False),
        ("n", "equal_number", "1.5", True),
        ("n", "equal_number", 2, False),
        ("s", "equal_number", "{{v}}", False),
        ("n", "is_less_than", "2", True),
        ("n", "is_less_than", 1.5, False),
        ("z", "is_less_than", 1, False),
    ],
)
def test_the_oracle_says_what_the_vendor_says(path: str, comparison: str, value: Any, holds: bool) -> None:
    answer = suite_oracle.Answer(200, json.dumps(ANSWER).encode(), 5)
    assertion = {"source": "response_json", "property": path, "comparison": comparison, "value": value}
    assert suite_oracle.holds(assertion, answer, {"v": "ab"}) is holds


def test_the_oracle_shares_nothing_with_the_package() -> None:
    source = Path(suite_oracle.__file__).read_text()
    assert "import scimproxy" not in source
    assert "from scimproxy" not in source


def test_the_oracle_refuses_what_it_does_not_know() -> None:
    answer = suite_oracle.Answer(200, b"{}", 5)
    for source, comparison in (("response_size", "equal"), ("response_status", "has_key")):
        with pytest.raises(NotImplementedError):
            suite_oracle.holds({"source": source, "comparison": comparison, "value": "1"}, answer, {})
