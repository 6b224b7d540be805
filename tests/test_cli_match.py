"""`scimproxy match`: what a recording holds of somebody's run of a suite, with an exit code."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from seen_suites import TEXT, recorded

from scimproxy.cli import cli
from scimproxy.store import Reader, Store


@pytest.fixture(name="db")
def _db(tmp_path: Path) -> Path:
    (tmp_path / "two.json").write_text(TEXT, encoding="utf-8")
    return tmp_path / "a.db"


def match(db: Path, *args: str, suite: str | None = None) -> Result:
    name = str(db.parent / "two.json") if suite is None else suite
    return CliRunner().invoke(cli, ["match", *args, "--suite", name, "--db", str(db)])


def test_runs_that_passed(db: Path) -> None:
    recorded(db, "ada", "bea")
    done = match(db)
    assert done.exit_code == 0, done.output
    assert done.output.count("pass     1  201") == 2
    assert done.output.count("Passed: 2 passed; 3 of 3 assertions hold") == 2
    with Reader.open(db) as reader:
        assert [one.kind for one in reader.runs()] == ["record"]


def test_a_run_that_failed_and_one_that_did_not_end(db: Path) -> None:
    recorded(db, "ada", reads=404)
    done = match(db, "last", "--failed")
    assert done.exit_code == 1
    assert "FAIL     3  404" in done.output
    assert "  1  201" not in done.output
    recorded(db, "bea", reads=None)
    done = match(db)
    assert (done.exit_code, "Interrupted: 1 passed" in done.output) == (3, True)


def test_as_json(db: Path) -> None:
    recorded(db, "ada")
    told = json.loads(match(db, "1", "--json").output)
    assert (told["run_id"], told["suite"], told["exchanges"]) == (1, "Two", 3)
    (one,) = told["runs"]
    assert (one["result"], one["exchange_ids"], one["test_run_id"]) == ("pass", [1, 3], None)
    assert one["requests"][0]["scripts"][0]["output"] == "made id-of-ada"


def test_no_run_of_the_suite(db: Path) -> None:
    recorded(db)
    done = match(db, suite="scim2-spec")
    assert done.exit_code == 3
    assert "No run of SCIM 2.0 specification is among 0 exchanges of run 1." in done.output


def test_others_than_runscope(db: Path) -> None:
    recorded(db, "ada")
    assert match(db, "--client", "okta").exit_code == 3
    assert match(db, "--client", "any").exit_code == 0
    refused = match(db, "--client", "nobody")
    assert (refused.exit_code, "there is no client 'nobody'" in refused.output) == (2, True)


def test_what_there_is_not(db: Path) -> None:
    Store.open(db).close()
    assert "the database holds no recording" in match(db).output
    recorded(db, "ada")
    assert match(db, "9").exit_code == 2
    (db.parent / "two.json").write_text("{", encoding="utf-8")
    damaged = match(db)
    assert (damaged.exit_code, "two.json" in damaged.output) == (3, True)
