"""`scimproxy report`: one file that stands alone, with nothing personal and nothing secret in it; a bundle that reads back."""

from __future__ import annotations

import json
import re
import zipfile
from dataclasses import replace
from pathlib import Path

import factories
import pytest
from click.testing import CliRunner, Result
from test_report_suites_html import Page

from scimproxy.cli import cli
from scimproxy.exchange import Failure
from scimproxy.har import from_har
from scimproxy.pages import file_policy, script, style
from scimproxy.report import page as report_page
from scimproxy.store import Store
from scimproxy.store.suites import SuiteRows
from scimproxy.suite.results import SuiteResult, VariableResult
from scimproxy.suite.runscope import parse

HOSTILE = "</pre></script><script>alert(1)</script>\u202e\x1b[2J"
TOKEN = "Bearer token-of-the-test"
USER = {
    "userName": "bjensen@corp.test", "displayName": "Barbara Jensen", "password": "pass-of-a-user",
    "name": {"givenName": "Barbara", "familyName": "Jensen"}, "phoneNumbers": [{"value": "+1 555 876 5432"}],
}  # fmt: skip
PERSONAL = ("bjensen", "barbara", "jensen", "876 5432", "corp.test")


@pytest.fixture
def db(tmp_path: Path) -> Path:
    """Runs: 1 `okta`, a recording; 2 `Spec`, a suite's; 3 empty."""
    path = tmp_path / "a.db"
    with Store.open(path) as store:
        store.start_run(factories.run(name="okta", note="for bjensen@corp.test"))
        asked = factories.request("GET", "/scim/v2/Users?filter=userName+eq+%22BJENSEN%40corp.test%22",
                                  headers={"Authorization": TOKEN, "X-Forwarded-For": "198.18.7.7"})  # fmt: skip
        store.add(factories.exchange(request=asked, answer={"totalResults": 0, "Resources": []}))
        store.add(
            factories.exchange("POST", "/scim/v2/Users", status_code=201, body=USER, answer={**USER, "id": "1"})
        )
        store.add(factories.exchange("GET", "/scim/v2/Users/2", answer={"a": HOSTILE}, note=HOSTILE))
        store.add(factories.exchange("GET", "/scim/v2/Users/3", answer=b"\x89PNG\0\xff" * 50))
        lost = replace(factories.exchange(response=None), failure=Failure("refused", "nothing listens there"))
        store.add(lost)
        run = store.start_run(factories.run(kind="suite", name="Spec"))
        assert run.id is not None
        rows = SuiteRows(store, run.id)
        made = store.add(
            factories.exchange("POST", "/scim/v2/Users", status_code=200, body=USER, answer={**USER, "id": "9"})
        )
        store.add(factories.exchange("GET", "/scim/v2/Groups", answer={"Resources": []}))
        result = SuiteResult(
            name="Spec", result="fail", source="scim2-spec", description="About", canceled="stopped early",
            warnings=("slow run",), initial_variables=(("auth", TOKEN), ("userName", "bjensen@corp.test")),
        )  # fmt: skip
        rows.save(result)
        rows.add(factories.suite_step(exchange_id=made, note="Create Barbara Jensen"))
        kept = VariableResult(result="pass", name="token", source="response_json", value="an-extracted-secret")
        rows.add(factories.suite_step(number="2", result="pass", assertions=(), variables=(kept,), exchange_id=None))
        store.start_run(factories.run(name="empty"))
    return path


def run(*words: str | Path, code: int = 0) -> Result:
    found = CliRunner().invoke(cli, ["report", *map(str, words)])
    assert found.exit_code == code, found.output
    return found


def test_a_recording_as_one_file(db: Path, tmp_path: Path) -> None:
    out = tmp_path / "run.html"
    told = run("okta", "--db", db, "-o", out)
    text = out.read_text(encoding="utf-8")
    page = Page(text)
    assert "personal values are pseudonyms" in told.stderr
    for words in ("user1@example.com", "USER1@example.com", "203.0.113.1", "Failed (refused): nothing listens there",
                  "e-mail addresses", "Left out: binary body", "Create User user1@example.com", "2xx", "no answer"):  # fmt: skip
        assert words.lower() in page.text.lower(), words
    for value in (*PERSONAL, "token-of-the-test", "pass-of-a-user", "198.18"):
        assert value not in text.lower(), value
    assert page.names.count("details") >= 5


def test_it_loads_nothing_and_runs_only_its_own_script(db: Path, tmp_path: Path) -> None:
    out = tmp_path / "run.html"
    run("okta", "--db", db, "-o", out)
    text = out.read_text(encoding="utf-8")
    page = Page(text)
    assert file_policy(with_script=True) in text
    assert page.names.count("script") == 1
    assert text.count("<style>") == 1
    assert f"<script>{script()}</script>" in text
    assert f"<style>{style()}</style>" in text
    names = {name for name, _ in page.attributes}
    assert not {"src", "style", "onclick", "onload"} & names
    assert all(str(value).startswith("#") for name, value in page.attributes if name in {"href", "xlink:href"})
    assert "alert(1)</script>" not in text
    assert not re.search("[\x00\x1b\u202e]", text)


def test_names_can_be_kept(db: Path, tmp_path: Path) -> None:
    out = tmp_path / "run.html"
    told = run("okta", "--db", db, "-o", out, "--keep-names")
    text = out.read_text(encoding="utf-8")
    assert "bjensen@corp.test" in text
    assert "--keep-names" in text
    assert "as they were recorded" in told.stderr
    assert "token-of-the-test" not in text


def test_a_suite_against_another_run(db: Path, tmp_path: Path) -> None:
    out = tmp_path / "run.html"
    run("Spec", "--db", db, "-o", out, "--against", "okta")
    page = Page(out.read_text(encoding="utf-8"))
    for words in ("Spec: failed", "stopped early", "slow run", "About", "1 steps passed", "body.Resources[0].id — was empty",
                  "Usually:", "Differences from run 1 (okta)", "Other exchanges", "Variables at the start"):  # fmt: skip
        assert words in page.text, words
    for value in (*PERSONAL, "token-of-the-test"):
        assert value not in page.text.lower(), value


def test_the_bundle_reads_back(db: Path, tmp_path: Path) -> None:
    out = tmp_path / "b.zip"
    told = run("Spec", "--db", db, "--bundle", out)
    assert "report.html, run.har, suite.json, README.txt" in told.stderr
    assert not (tmp_path / "run-2.html").exists()
    with zipfile.ZipFile(out) as bundle:
        files = {name: bundle.read(name).decode() for name in bundle.namelist()}
    whole = "\n".join(files.values()).lower()
    for value in (*PERSONAL, "token-of-the-test", "pass-of-a-user"):
        assert value not in whole, value
    shared, exchanges = from_har(files["run.har"])
    assert (shared.name, len(exchanges)) == ("Spec", 2)
    assert json.loads(exchanges[0].request.content.data)["userName"] == "user1@example.com"
    (suite,) = parse(files["suite.json"].encode())
    assert suite.name.startswith("SCIM 2.0")
    assert "scimproxy import run.har" in files["README.txt"]
    har = tmp_path / "run.har"
    har.write_text(files["run.har"], encoding="utf-8")
    read = CliRunner().invoke(cli, ["import", str(har), "--db", str(tmp_path / "new.db")])
    assert read.exit_code == 0, read.output


@pytest.mark.parametrize("form", ["html", "json", "junit", "markdown"])
def test_what_a_suite_took_with_keep_secrets_is_in_no_report(form: str, db: Path) -> None:
    made = run("Spec", "--db", db, "--format", form, "-o", "-").stdout
    assert "Create" in made
    assert "an-extracted-secret" not in made


def test_a_bundle_without_a_suite_and_one_whose_file_is_gone(db: Path, tmp_path: Path) -> None:
    out = tmp_path / "b.zip"
    run("okta", "--db", db, "--bundle", out, "-o", tmp_path / "r.html", "--keep-names")
    with zipfile.ZipFile(out) as bundle:
        assert bundle.namelist() == ["report.html", "run.har", "README.txt"]
        assert "as they were recorded" in bundle.read("README.txt").decode()
    with Store.open(db) as store:
        SuiteRows(store, 2).save(SuiteResult(name="Spec", result="pass", source="/gone/suite.json"))
    assert "is not there any more" in run("Spec", "--db", db, "--bundle", out).stderr


def test_the_other_formats_are_for_suites(db: Path, tmp_path: Path) -> None:
    for form, begin in (("json", "{"), ("markdown", "### Spec"), ("junit", "<?xml")):
        found = run("Spec", "--db", db, "--format", form, "-o", "-")
        assert found.stdout.startswith(begin)
        assert not [value for value in PERSONAL if value in found.stdout.lower()]
    assert "is no suite's" in run("okta", "--db", db, "--format", "junit", "-o", "-", code=2).stderr
    assert (
        "--format html" in run("Spec", "--db", db, "--format", "json", "--bundle", tmp_path / "x.zip", code=2).stderr
    )


def test_what_a_user_gets_wrong(db: Path, tmp_path: Path) -> None:
    assert "there is no folder" in run("okta", "--db", db, "-o", tmp_path / "no" / "x.html", code=2).stderr
    assert "there is no run" in run("nope", "--db", db, code=2).stderr
    assert "is a directory" in run("okta", "--db", db, "-o", tmp_path, code=2).stderr
    (tmp_path / "b.zip.part").mkdir()
    assert "b.zip cannot be written" in run("okta", "--db", db, "-o", tmp_path / "r.html", "--bundle", tmp_path / "b.zip", code=2).stderr  # fmt: skip


def test_an_empty_run_a_filter_and_a_long_run(db: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    out = tmp_path / "r.html"
    run("empty", "--db", db, "-o", out)
    assert "The run has no exchanges." in out.read_text(encoding="utf-8")
    run("okta", "--db", db, "-o", out, "--filter", "method:POST")
    assert out.read_text(encoding="utf-8").count('<details class="row"') == 1
    monkeypatch.setattr(report_page, "MOST_EXCHANGES", 2)
    told = run("okta", "--db", db, "-o", out)
    assert "3 more exchanges are not in it" in told.stderr
    assert "3 exchanges of the run more" in out.read_text(encoding="utf-8")


def test_a_big_run_stays_small(tmp_path: Path) -> None:
    db, out = tmp_path / "a.db", tmp_path / "r.html"
    page = {
        "Resources": [{"id": str(number), "userName": f"person-{number}", "title": "x" * 50} for number in range(100)]
    }
    with Store.open(db) as store:
        store.start_run(factories.run())
        for _ in range(30):
            store.add(factories.exchange(answer=page))
    run("last", "--db", db, "-o", out)
    assert out.stat().st_size < 1_500_000
    assert "left out" in out.read_text(encoding="utf-8")
