"""Two recorded runs of the bundled suites: the same server shows nothing, a defect shows itself and nothing else."""

from __future__ import annotations

import asyncio
import itertools
from dataclasses import replace
from pathlib import Path

import pytest
from click.testing import CliRunner

from scimproxy.app import Stop
from scimproxy.bodies import Seen
from scimproxy.cli import cli
from scimproxy.demo import serve
from scimproxy.run_diff import RunDiff, compare_runs
from scimproxy.run_reading import read_run
from scimproxy.store import Reader
from scimproxy.suite.library import bundled
from scimproxy.suite.runscope import parse
from scimproxy.suite.script import ScriptEngine
from scimproxy.suite_run import Sandbox, SuiteOptions, run_suite

RECORDINGS = Path(__file__).resolve().parent.parent / "recordings"


async def record(db: Path, name: str, *defects: str) -> int:
    """Run a bundled suite against a fresh embedded server; return the run's id."""
    (suite,) = parse(bundled()[name].read_bytes())
    async with await serve(defects=defects) as demo:
        url = demo.url_1 if name.startswith("scim1") else demo.url
        options = SuiteOptions(
            suite=suite,
            db=db,
            environment=suite.environment,
            source=name,
            target=url,
            pause_scale=0.0,
            pinned={"SCIMBaseURL": url, "auth": f"Bearer {demo.token}"},
            secrets=frozenset({demo.token}),
        )
        with ScriptEngine() as engine:
            result = await run_suite(options, Sandbox(engine), lambda _: None, Stop())
    assert result.run_id is not None
    return result.run_id


def load(db: Path, run_id: int) -> list[Seen]:
    with Reader.open(db) as reader:
        run = reader.run(run_id)
        assert run is not None
        return read_run(reader, run)


def lines(found: RunDiff) -> list[str]:
    return [
        f"{one.verdict} {one.change} {'.'.join(one.names)}"
        for pair in found.pairs
        for one in pair.differences
        if one.verdict != "noise"
    ]


@pytest.mark.parametrize("name", list(bundled()))
async def test_two_runs_of_one_build_do_not_differ(name: str, tmp_path: Path) -> None:
    db = tmp_path / "a.db"
    a, b = load(db, await record(db, name)), load(db, await record(db, name))
    assert len(a) > 10
    found = compare_runs(a, b, timing=False)
    assert (found.compared, lines(found)) == (len(a), [])
    assert {row.role for row in found.bindings.rows()} >= {"User", "name"}, "ids and names did differ"
    assert compare_runs(a, a).empty
    bare = [[replace(it, step=None) for it in run] for run in (a, b)]
    without_steps = compare_runs(*bare, timing=False)
    assert (without_steps.compared, lines(without_steps)) == (len(a), [])


async def test_short_numeric_ids_are_told_apart_from_other_numbers(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Run A has the ids 1, 2, 3, ... and run B 3, 4, 5, ...: each is somebody else's in the other run."""
    db = tmp_path / "a.db"
    runs = []
    for start in (1, 3):
        ids = itertools.count(start)
        monkeypatch.setattr("scimproxy.demo.uuid.uuid4", lambda ids=ids: next(ids))
        runs.append(load(db, await record(db, "scim2-spec")))
    for a, b in (runs, [[replace(it, step=None) for it in run] for run in runs]):
        found = compare_runs(a, b, timing=False)
        assert (found.compared, lines(found)) == (len(a), [])
        users = {row.a: row.b for row in found.bindings.rows() if row.role == "User"}
        assert users["1"] == "3" and all(int(b) == int(a) + 2 for a, b in users.items() if a.isdecimal())
    other = compare_runs(runs[0], load(db, await record(db, "scim2-spec", "total-results-of-page")), timing=False)
    assert set(lines(other)) == SHOWN["total-results-of-page"]


@pytest.fixture(scope="module")
def sound(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[Seen]]:
    db = tmp_path_factory.mktemp("sound") / "a.db"
    return db, load(db, asyncio.run(record(db, "scim2-spec")))


SHOWN = {
    "create-200": {"breaking status response.status"},
    "create-no-location": {"breaking missing response.headers.location"},
    "duplicate-500": {"breaking status response.status", "changed value response.body.status"},
    "put-204": {
        "breaking status response.status",
        "breaking missing response.body",
        "breaking missing response.headers.content-type",
    },
    "patch-200-empty": {"breaking missing response.body", "breaking missing response.headers.content-type"},
    "delete-200": {"breaking status response.status"},
    "error-status-integer": {"breaking type response.body.status"},
    "error-status-differs": {"changed value response.body.status"},
    "error-no-detail": {"breaking missing response.body.detail"},
    "error-no-scim-type": {"breaking missing response.body.scimtype"},
    "error-unknown-scim-type": {"changed value response.body.scimtype", "additive added response.body.scimtype"},
    "error-location": {"additive added response.headers.location"},
    "unknown-id-400": {"breaking status response.status", "changed value response.body.status"},
    "no-www-authenticate": {"changed missing response.headers.www-authenticate"},
    "wrong-token-403": {"breaking status response.status", "changed value response.body.status"},
    "open-door": {"breaking status response.status", "changed error response.body"},
    "total-results-text": {"breaking type response.body.totalresults"},
    "total-results-missing": {"breaking missing response.body.totalresults"},
    "discovery-no-total": {"breaking missing response.body.totalresults"},
    "total-results-of-page": {"changed value response.body.totalresults"},
    "items-per-page": {"changed value response.body.itemsperpage"},
    "list-no-schema": {"breaking missing response.body.schemas"},
    "resources-lower-case": set(),
    "resources-null": set(),
    "groups-not-derived": {"breaking missing response.body.resources.groups"},
    "attributes-no-schemas": {"breaking missing response.body.schemas"},
    "no-meta": {"breaking missing response.body.meta", "breaking missing response.body.resources.meta"},
    "no-schemas": {"breaking missing response.body.schemas", "breaking missing response.body.resources.schemas"},
    "password-returned": {
        "breaking added response.body.password",
        "breaking added response.body.resources.password",
    },
    "active-text": {"breaking type response.body.active", "breaking type response.body.resources.active"},
    "user-name-lowered": {
        "changed value response.body.username",
        "changed value response.body.resources.username",
    },
    "resource-type-plural": {
        "changed value response.body.meta.resourcetype",
        "changed value response.body.resources.meta.resourcetype",
    },
    "location-localhost": {
        "breaking form response.headers.location",
        "breaking form response.body.meta.location",
        "breaking form response.body.resources.meta.location",
        "breaking form response.body.members.$ref",
        "breaking form response.body.resources.members.$ref",
        "breaking form response.body.resources.groups.$ref",
    },
    "date-no-zone": {
        "changed form response.body.meta.created",
        "changed form response.body.resources.meta.created",
    },
    "etag-differs": {"changed other response.headers.etag"},
    "endpoint-absolute": {"changed value response.body.resources.endpoint"},
    "type-json": {"changed value response.headers.content-type"},
    "type-html": {"breaking body response.headers.content-type"},
    "type-missing": {"breaking missing response.headers.content-type"},
    "type-on-204": {"additive added response.headers.content-type"},
    "cookie": {"additive added response.headers.set-cookie"},
    "http-1-0": {"changed value response.http_version"},
    "body-on-204": {"breaking failure response.failure"},
}
"""What each defect shows against the sound server, and nothing beside it: letter case and null are noise."""


@pytest.mark.parametrize("defect", list(SHOWN))
async def test_a_defect_shows_itself(defect: str, sound: tuple[Path, list[Seen]], tmp_path: Path) -> None:
    db = tmp_path / "b.db"
    other = load(db, await record(db, "scim2-spec", defect))
    found = compare_runs(sound[1], other, timing=False)
    assert set(lines(found)) == SHOWN[defect]
    assert not found.empty, "noise is told too"
    back = compare_runs(other, sound[1], timing=False)
    assert back.compared == found.compared
    assert sum(back.counts.values()) == sum(found.counts.values())


def test_two_real_servers_differ_in_what_they_truly_do_otherwise(tmp_path: Path) -> None:
    """The same client against scim2-server and SCIMMY (recordings/): ids, hosts and base paths are no difference."""
    db = tmp_path / "a.db"
    for name in ("okta-lifecycle-scim2server", "okta-lifecycle-scimmy"):
        done = CliRunner().invoke(cli, ["import", "--db", str(db), str(RECORDINGS / f"{name}.har")])
        assert done.exit_code == 0, done.output
    found = compare_runs(load(db, 1), load(db, 2), timing=False)
    told = set(lines(found))
    assert found.compared >= 36
    assert {
        "breaking missing response.headers.location",  # of a 201
        "breaking form response.body.meta.location",  # SCIMMY's are relative
        "breaking missing response.body.meta.version",
        "breaking status response.status",  # PATCH: 204 and 200
        "additive added response.headers.x-powered-by",
    } <= told
    assert not {line for line in told if ".id" in line or line.endswith("members.value")}
