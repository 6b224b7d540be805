"""Rows of suite runs: what goes in comes out, also of old files; nothing is left of a pruned run."""

from __future__ import annotations

import contextlib
import shutil
import sqlite3
from dataclasses import replace
from pathlib import Path

import pytest
from factories import T0, exchange, run, suite_step

from scimproxy.errors import StoreError
from scimproxy.store import Reader, Store, prune
from scimproxy.store.suites import SuiteRows
from scimproxy.suite.results import SuiteResult

TABLES = ("suites", "steps", "assertions", "variables", "scripts")


def write(path: Path) -> SuiteResult:
    """Write a suite's run of two steps, and return it as it should be read."""
    with Store.open(path) as store:
        begun = store.start_run(run(kind="suite", name="spec", started_at=T0, target="http://127.0.0.1:1"))
        assert begun.id is not None
        rows = SuiteRows(store, begun.id)
        result = SuiteResult(
            name="spec",
            result="fail",
            description="d",
            environment="e",
            source="spec.json",
            target="http://127.0.0.1:1",
            started_at=T0,
            initial_variables=(("a", "1"), ("auth", "Bearer sha256:00000000")),
            warnings=("over ten minutes",),
        )
        rows.save(replace(result, result="canceled", canceled="not finished"))
        steps = [
            suite_step(exchange_id=store.add(exchange())),
            suite_step(number="2[1].1", result="error", errors=("Variable 'x' was not defined",), assertions=()),
        ]
        steps = [replace(step, id=rows.add(step)) for step in steps]
        rows.save(result)
        store.finish_run(begun.id, ended_at=T0 + 5)
    return replace(result, steps=tuple(steps), ended_at=T0 + 5, run_id=begun.id)


def test_what_is_written_is_read(tmp_path: Path) -> None:
    path = tmp_path / "s.db"
    written = write(path)
    with Reader.open(path) as reader:
        assert written.run_id is not None
        assert reader.suite(written.run_id) == written
        assert reader.suite(99) is None


def test_texts_and_values_that_fit_no_column_are_kept_as_far_as_possible(tmp_path: Path) -> None:
    path = tmp_path / "s.db"
    step = suite_step()
    odd = replace(
        step,
        note="\ud800",
        assertions=tuple(replace(one, actual_value=["x" * 100_000], message="\udfff") for one in step.assertions),
        variables=tuple(replace(one, value={"big": 10**40}) for one in step.variables),
    )
    with Store.open(path) as store:
        begun = store.start_run(run(kind="suite"))
        assert begun.id is not None
        rows = SuiteRows(store, begun.id)
        rows.save(SuiteResult(name="n", result="pass"))
        rows.add(odd)
    with Reader.open(path) as reader:
        suite = reader.suite(1)
    assert suite is not None
    (read,) = suite.steps
    assert read.note == "\\ud800"
    assert read.assertions[0].actual_value.endswith("…")
    assert read.assertions[0].message == "\\udfff"
    assert read.variables[0].value == {"big": 10**40}


def test_a_run_that_is_pruned_takes_its_rows_along(tmp_path: Path) -> None:
    path = tmp_path / "s.db"
    write(path)
    prune(path, now=T0 + 100, keep_runs=0)
    with contextlib.closing(sqlite3.connect(path)) as conn:
        for table in TABLES:
            assert conn.execute(f"SELECT count(*) FROM {table}").fetchone()[0] == 0, table


def test_a_run_without_exchanges_is_deleted_with_its_rows(tmp_path: Path) -> None:
    path = tmp_path / "s.db"
    with Store.open(path) as store:
        begun = store.start_run(run(kind="suite"))
        assert begun.id is not None
        rows = SuiteRows(store, begun.id)
        rows.save(SuiteResult(name="n", result="pass"))
        rows.add(suite_step())
        store.delete_run(begun.id)
        with pytest.raises(StoreError):
            rows.add(suite_step())  # there is no such run any more
    with contextlib.closing(sqlite3.connect(path)) as conn:
        for table in TABLES:
            assert conn.execute(f"SELECT count(*) FROM {table}").fetchone()[0] == 0, table


def test_a_database_of_the_second_schema_opens(tmp_path: Path) -> None:
    path = tmp_path / "s.db"
    shutil.copy(Path(__file__).parent / "data" / "schema-2.db", path)
    with Reader.open(path) as reader:
        suite = reader.suite(2)
        assert suite is not None
        assert (suite.name, suite.result) == ("sample suite", "fail")
        (step,) = suite.steps
        assert replace(step, id=None, exchange_id=None) == suite_step()
        assert step.exchange_id is not None
        assert reader.exchange(step.exchange_id) is not None
