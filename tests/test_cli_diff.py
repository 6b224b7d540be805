from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import factories
import pytest
from click.testing import CliRunner, Result

from scimproxy import run_reading
from scimproxy.bodies import LONGEST
from scimproxy.cli import cli
from scimproxy.cli.terminal import width_of
from scimproxy.exchange import Exchange, Timings
from scimproxy.store import Store
from scimproxy.store.suites import SuiteRows
from scimproxy.suite.results import SuiteResult

HOSTILE = "\x1b]0;owned\x07\u202e"


def create(name: str, number: str, **more: Any) -> Exchange:
    body = {"userName": name, "password": f"secret-{name}", **more}
    return factories.exchange("POST", "/scim/v2/Users", status_code=201, body=body, answer={**body, "id": number})


@pytest.fixture
def db(tmp_path: Path) -> Path:
    """Runs: 1 `old`; 2 `new`, the same; 3 `broken`; 4 of exchanges that vary; 5 slow; 6 and 7 suites."""
    path = tmp_path / "a.db"
    page = {"list": list(range(40)), "hits": 1}
    runs: dict[str, list[Exchange]] = {
        "old": [create("ann", "1", title="Boss"), factories.exchange("GET", "/scim/v2/Users/1", answer=page)],
        "new": [create("bob", "x", title="Boss"), factories.exchange("GET", "/scim/v2/Users/x", answer=page)],
        "broken": [
            create("eve", "7", title="Boss", nickName=HOSTILE),
            factories.exchange("GET", "/scim/v2/Users/7", answer={**page, "list": [1], "hits": None}),
        ],
        "varying": [create("joe", "8", title="Boss"), factories.exchange("GET", "/scim/v2/Users/8", answer={**page, "hits": 2})],
        "slow": [replace(factories.exchange("GET", "/scim/v2/Users"), timings=Timings(total=50.0 + at)) for at in range(15)],
        "fast": [replace(factories.exchange("GET", "/scim/v2/Users"), timings=Timings(total=5.0 + at)) for at in range(15)],
    }  # fmt: skip
    with Store.open(path) as store:
        for name, exchanges in runs.items():
            store.start_run(factories.run(name=name))
            for one in exchanges:
                store.add(one)
        for title in ("First", "Second"):
            run = store.start_run(factories.run(kind="suite", name=title))
            assert run.id is not None
            rows = SuiteRows(store, run.id)
            rows.save(SuiteResult(name=title, result="pass"))
            number = store.add(replace(factories.exchange(answer={"a": title}), run_id=run.id))
            rows.add(factories.suite_step(number="4", note="List them", exchange_id=number))
    return path


def invoke(db: Path, *args: str, columns: int = 80) -> Result:
    return CliRunner().invoke(cli, ["diff", "--db", str(db), *args], env={"COLUMNS": str(columns)})


def test_nothing_breaking(db: Path) -> None:
    result = invoke(db, "1", "new")
    assert (result.exit_code, result.stdout.splitlines()) == (
        0,
        ["A: run 1 (old)", "B: run 2 (new)", "", "2 pairs compared: no difference"],
    )
    assert invoke(db, "1", "1").exit_code == 0


def test_unified_at_80_columns(db: Path) -> None:
    result = invoke(db, "old", "broken")
    assert result.exit_code == 1
    lines = result.stdout.splitlines()
    assert "1 / 5  Create User ann" in lines
    assert "  breaking /response/body/list/0" in lines
    assert "    - 0" in lines
    assert lines[-1] == "2 pairs compared: 40 breaking, 1 changed, 1 additive"
    assert max(map(width_of, lines)) <= 80
    assert "\x1b" not in result.stdout and "\u202e" not in result.stdout
    assert "secret-" not in result.stdout, "passwords are fingerprints"


def test_side_by_side_at_160_columns(db: Path) -> None:
    result = invoke(db, "1", "4", columns=160)
    assert (result.exit_code, result.stderr) == (0, "")
    at = result.stdout.splitlines().index("  changed  /response/body/hits: the value is another one")
    left, bar, right = result.stdout.splitlines()[at + 1].partition(" | ")
    assert (left.strip(), bar, right) == ("1", " | ", "2")
    assert max(map(width_of, invoke(db, "1", "3", columns=160).stdout.splitlines())) <= 160


def test_json_is_of_rfc_6902(db: Path) -> None:
    result = invoke(db, "1", "4", "--json")
    found = json.loads(result.stdout)
    assert (found["a"], found["compared"], found["counts"]["changed"]) == ("run 1 (old)", 2, 1)
    (pair,) = found["pairs"]
    assert pair["operations"] == [
        {
            "op": "replace",
            "path": "/response/body/hits",
            "value": 2,
            "was": 1,
            "verdict": "changed",
            "reason": "the value is another one",
        }
    ]
    assert {"role": "User", "a": "1", "b": "8"} in found["bindings"]


def test_noise_is_learned_and_shown_when_asked_for(db: Path) -> None:
    result = invoke(db, "1", "4", "--noise", "4")
    assert result.stdout.splitlines()[-1] == "2 pairs compared: 1 noise"
    assert "--show-noise shows the noise" in result.stderr
    shown = invoke(db, "1", "4", "--noise", "4", "--show-noise").stdout
    assert "  noise    /response/body/hits" in shown.splitlines()


def test_masks(db: Path, tmp_path: Path) -> None:
    assert "1 noise" in invoke(db, "1", "4", "--mask", "hits").stdout
    shown = invoke(db, "1", "4", "--ignore", "/response/body/hits", "--show-noise").stdout
    assert "masked by --mask /response/body/hits" in shown
    file = tmp_path / "masks.txt"
    file.write_text("# counters\nhits\n\nlist\n")
    result = invoke(db, "1", "3", "--masks", str(file), "--mask", "nickName")
    assert (result.exit_code, result.stdout.splitlines()[-1]) == (0, "2 pairs compared: 42 noise")
    assert invoke(db, "-x", "2", "8", "--mask", "hits").stdout.splitlines()[-1] == "1 pair compared: 1 noise"
    for given in (("--mask", "emails["), ("--mask", "/title")):
        wrong = invoke(db, "1", "4", *given)
        assert wrong.exit_code == 2 and "Hint:" in wrong.stderr
    missing = invoke(db, "1", "4", "--masks", str(tmp_path / "no.txt"))
    assert (missing.exit_code, "no.txt cannot be read: No such file" in missing.stderr) == (2, True)


def test_runs_of_two_databases(db: Path, tmp_path: Path) -> None:
    other = tmp_path / "other.db"
    with Store.open(other) as store:
        store.start_run(factories.run(name="theirs"))
        for one in (
            create("zoe", "9", title="Chief"),
            factories.exchange("GET", "/scim/v2/Users/9", answer={"hits": 2}),
        ):
            store.add(one)
    result = invoke(db, "1", f"{other}:last")
    assert result.stdout.splitlines()[:2] == ["A: run 1 (old)", "B: other.db: run 1 (theirs)"]
    assert (result.exit_code, "Boss" in result.stdout) == (1, True)
    noise = invoke(other, f"{db}:old", f"{db}:4", "--noise", f"{db}:4")
    assert noise.stdout.splitlines()[-1] == "2 pairs compared: 1 noise"
    assert invoke(db, "-x", "1", f"{other}:1").stdout.splitlines()[1] == f"B: exchange {other}:1"
    assert invoke(db, "1", f"{tmp_path / 'none.db'}:1").exit_code == 3
    assert "there is no run 'no:such'" in invoke(db, "1", "no:such").stderr


def test_timing(db: Path) -> None:
    result = invoke(db, "fast", "slow")
    assert result.exit_code == 0, "slower is changed, not breaking"
    assert "  changed  list /Users: 12.0 ms -> 57.0 ms (4.8 times, 15 pairs, p = 0.0001)" in result.stdout
    assert "no difference" in invoke(db, "fast", "slow", "--no-timing").stdout


def test_steps_of_suites(db: Path) -> None:
    assert "4 List them" in invoke(db, "First", "Second").stdout


def test_two_exchanges(db: Path) -> None:
    result = invoke(db, "-x", "2", "8")
    assert result.exit_code == 0
    assert result.stdout.splitlines()[:2] == ["A: exchange 2", "B: exchange 8"]
    for number in ("99", "x", "9" * 30):
        bad = invoke(db, "-x", "1", number)
        assert bad.exit_code == 2
        assert f"there is no exchange {number!r}" in bad.stderr
    assert invoke(db, "-x", "1", "2", "--noise", "1").exit_code == 2
    assert invoke(db, "1", "nobody").exit_code == 2


def test_only_in_one_run(db: Path) -> None:
    result = invoke(db, "1", "fast")
    assert "only run A has this exchange" in result.stdout
    assert "only run B has this exchange" in result.stdout


def test_what_many_pairs_have_in_common_is_told_at_the_end(tmp_path: Path) -> None:
    path = tmp_path / "c.db"
    with Store.open(path) as store:
        for answer in ({"a": 1, **{f"b{at}": 1 for at in range(20)}}, {"a": "1", "c": [], "d": HOSTILE}):
            store.start_run(factories.run())
            for number in range(4):
                store.add(factories.exchange("GET", f"/scim/v2/Users/{number}", answer=answer))
    lines = invoke(path, "1", "2").stdout.splitlines()
    assert lines[-17:-13] == [
        "",
        "In short",
        "  breaking     4 x response/body/a: the JSON type is another one",
        "  breaking     4 x response/body/b0: clients that read it find nothing",
    ]
    assert lines[-3:-1] == ["  10 more", ""]
    assert max(map(width_of, lines)) <= 80
    assert "12 more" not in invoke(path, "1", "2", "--show-noise").stdout


def test_files(db: Path, tmp_path: Path) -> None:
    kept, text, page = tmp_path / "b.json", tmp_path / "d.md", tmp_path / "d.html"
    given = ("--write-bindings", str(kept), "--markdown", str(text), "--html", str(page))
    result = invoke(db, "1", "3", *given)
    assert result.exit_code == 1
    assert result.stderr.count("Wrote ") == 3
    assert text.read_text().startswith("## run 1 (old) → run 3 (broken)")
    assert "<title>" in page.read_text()
    table = json.loads(kept.read_text())
    assert {"role": "User", "a": "1", "b": "7"} in table
    assert invoke(db, "1", "3", "--bindings", str(kept)).exit_code == 1
    kept.write_text(json.dumps([{"role": "User", "a": "1", "b": "other"}]))
    wrong = invoke(db, "1", "2", "--bindings", str(kept))
    assert (wrong.exit_code, "it names another resource" in wrong.stdout) == (1, True)


def test_files_that_cannot_be_used(db: Path, tmp_path: Path) -> None:
    no_folder = invoke(db, "1", "2", "--html", str(tmp_path / "no" / "d.html"))
    assert no_folder.exit_code == 3
    assert "cannot be written" in no_folder.stderr and "Hint:" in no_folder.stderr
    missing = invoke(db, "1", "2", "--bindings", str(tmp_path / "no.json"))
    assert missing.exit_code == 3
    assert "cannot be read as bindings" in missing.stderr


def test_bounded(db: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(run_reading, "MOST_EXCHANGES", 1)
    result = invoke(db, "1", "2")
    assert result.exit_code == 2
    assert "run 1 has 2 exchanges; up to 1 are read at once" in result.stderr


def test_long_bodies_are_compared_by_their_hash(tmp_path: Path) -> None:
    path = tmp_path / "b.db"
    with Store.open(path) as store:
        for letter in "aab":
            store.start_run(factories.run())
            store.add(factories.exchange(answer=json.dumps({"a": letter * LONGEST})))
    assert invoke(path, "1", "2").exit_code == 0
    result = invoke(path, "1", "3")
    assert "stored in part only, of 1048585 bytes" in result.stdout
    assert "1 changed" in result.stdout
