"""Two recorded runs of the bundled suites: the same server shows nothing, a defect shows itself and nothing else."""

from __future__ import annotations

import asyncio
import itertools
import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import factories
import pytest
from click.testing import CliRunner
from servers import scim2_server

from scimproxy.app import Stop
from scimproxy.bodies import Seen, seen
from scimproxy.cli import cli
from scimproxy.client import Client
from scimproxy.defects import DEFECTS
from scimproxy.demo import serve
from scimproxy.diff.runs import RunDiff, compare_runs
from scimproxy.run_reading import read_run
from scimproxy.store import Reader
from scimproxy.suite.library import bundled
from scimproxy.suite.runscope import parse
from scimproxy.suite.script import ScriptEngine
from scimproxy.suite_run import Sandbox, SuiteOptions, run_suite

RECORDINGS = Path(__file__).resolve().parent.parent / "recordings"


ENGINE = ScriptEngine()
"""One for all tests here: each script has a world of its own, and starting a worker takes as long as a suite."""


@pytest.fixture(scope="module", autouse=True)
def _engine_ends() -> Iterator[None]:
    yield
    ENGINE.close()


async def record(db: Path, name: str, *defects: str) -> int:
    """Run a bundled suite against a fresh embedded server; return the run's id."""
    async with await serve(defects=defects) as demo:
        return await record_at(demo.url_1 if name.startswith("scim1") else demo.url, demo.token, db, name)


async def record_at(url: str, token: str, db: Path, name: str) -> int:
    (suite,) = parse(bundled()[name].read_bytes())
    options = SuiteOptions(
        suite=suite,
        db=db,
        environment=suite.environment,
        source=name,
        target=url,
        pause_scale=0.0,
        pinned={"SCIMBaseURL": url, "auth": f"Bearer {token}"},
        secrets=frozenset({token}),
    )
    result = await run_suite(options, Sandbox(ENGINE), lambda _: None, Stop())
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
    "create-empty": {
        "breaking missing response.body",
        "breaking missing response.body.resources",
        "breaking missing response.headers.content-type",
        "changed added response.body.resources",
        "changed missing only",
        "changed value response.body.itemsperpage",
        "changed value response.body.totalresults",
    },
    "duplicate-400": {"breaking status response.status", "changed value response.body.status"},
    "duplicate-no-scim-type": {"breaking missing response.body.scimtype"},
    "duplicate-accepted": {
        "breaking status response.status",
        "changed added response.body.resources",
        "changed error response.body",
        "changed value response.body.itemsperpage",
        "changed value response.body.totalresults",
    },
    "patch-ignored": {
        "additive added response.body.displayname",
        "breaking missing response.body.members",
        "breaking other response.body.members.$ref",
        "breaking other response.body.members.value",
        "breaking status response.status",
        "changed error response.body",
        "changed value response.body.active",
        "changed value response.body.displayname",
        "changed value response.body.emails.value",
        "changed value response.body.members.display",
        "changed value response.body.resources.members.display",
    },
    "patch-501": {
        "changed missing only",
        "changed value response.body.members.display",
        "changed value response.body.patch.supported",
        "changed value response.body.resources.members.display",
    },
    "patch-needs-path": {
        "breaking status response.status",
        "changed error response.body",
        "changed value response.body.active",
        "changed value response.body.displayname",
    },
    "patch-op-case": set(),
    "string-booleans-refused": set(),
    "delete-twice-204": {"breaking status response.status", "changed error response.body"},
    "soft-delete": {
        "breaking status response.status",
        "changed added response.body.resources",
        "changed error response.body",
        "changed value response.body.itemsperpage",
        "changed value response.body.totalresults",
    },
    "error-no-schema": {
        "additive added response.body.error",
        "breaking missing response.body.detail",
        "breaking missing response.body.schemas",
        "breaking missing response.body.scimtype",
        "breaking missing response.body.status",
    },
    "error-html": {"breaking body response.body", "breaking body response.headers.content-type"},
    "error-leaks": {"changed value response.body.detail"},
    "unknown-id-500": {"breaking status response.status", "changed value response.body.status"},
    "no-allow": set(),
    "rate-limit-date": {
        "additive added response.headers.retry-after",
        "breaking missing response.body.resources",
        "breaking missing response.body.scimtype",
        "breaking status response.status",
        "changed added response.body.resources",
        "changed error response.body",
        "changed missing only",
        "changed value response.body.detail",
        "changed value response.body.itemsperpage",
        "changed value response.body.status",
        "changed value response.body.totalresults",
    },
    "token-echoed": {"changed value response.body.detail"},
    "count-ignored": {"changed added response.body.resources", "changed value response.body.itemsperpage"},
    "count-0-full": {"changed added response.body.resources", "changed value response.body.itemsperpage"},
    "start-index-ignored": {
        "breaking missing response.body.resources",
        "changed added response.body.resources",
        "changed value response.body.itemsperpage",
        "changed value response.body.startindex",
    },
    "start-index-from-0": {
        "breaking missing response.body.resources",
        "changed added response.body.resources",
        "changed value response.body.startindex",
    },
    "sort-ignored": set(),
    "empty-filter-404": {"breaking status response.status", "changed error response.body"},
    "filter-500": {
        "breaking missing response.body.scimtype",
        "breaking status response.status",
        "changed value response.body.detail",
        "changed value response.body.status",
    },
    "filter-bad-accepted": {"breaking status response.status", "changed error response.body"},
    "filter-ignored": {
        "breaking status response.status",
        "changed added response.body.resources",
        "changed error response.body",
        "changed value response.body.itemsperpage",
        "changed value response.body.totalresults",
    },
    "filter-case-sensitive": {
        "breaking other response.body.resources.id",
        "breaking other response.body.resources.meta.location",
        "breaking status response.status",
        "changed error response.body",
        "changed value response.body.resources.emails.value",
        "changed value response.body.resources.username",
        "changed value response.body.totalresults",
    },
    "attributes-ignored": {
        "additive added response.body.active",
        "additive added response.body.displayname",
        "additive added response.body.emails",
        "additive added response.body.meta",
        "additive added response.body.name",
    },
    "excluded-ignored": {"additive added response.body.name", "additive added response.body.resources.members"},
    "external-id-number": set(),
    "null-attributes": {
        "breaking missing response.body.members",
        "breaking missing response.body.name",
        "breaking missing response.body.resources.members",
        "breaking missing response.body.resources.name",
    },
    "two-primaries": {"additive added response.body.emails", "additive added response.body.resources.emails"},
    "location-relative": {
        "breaking form response.body.members.$ref",
        "breaking form response.body.meta.location",
        "breaking form response.body.resources.groups.$ref",
        "breaking form response.body.resources.members.$ref",
        "breaking form response.body.resources.meta.location",
        "breaking form response.headers.location",
    },
    "location-missing": {
        "breaking missing response.body.meta.location",
        "breaking missing response.body.resources.meta.location",
    },
    "last-modified-frozen": set(),
    "date-blank": {"changed form response.body.meta.created", "changed form response.body.resources.meta.created"},
    "etag-of-body": {"additive added response.headers.etag", "changed other response.headers.etag"},
    "if-match-ignored": set(),
    "discovery-write-404": set(),
    "discovery-filter-200": set(),
    "charset-latin-1": {"changed value response.headers.content-type"},
    "bom": {"changed added response.byte_order_mark"},
    "not-json": {"breaking body response.body", "changed missing only"},
    "bare-value": {"breaking type response.body", "changed missing only"},
    "trailing-data": {"breaking body response.body", "changed missing only"},
    "duplicate-keys": {"additive added response.body.detail", "changed value response.body.detail"},
    "closes-early": {"breaking body response.body", "breaking failure response.failure", "changed missing only"},
    "chunks-without-end": {"breaking failure response.failure"},
    "beyond-length": {"breaking failure response.failure", "changed missing only"},
    "no-answer": {"breaking failure response.failure", "changed missing only"},
}
"""What each defect shows against the sound server, and nothing beside it: letter case and null are noise."""

NOT_ASKED = {
    "patch-op-case": "the suite writes add, replace and remove in small letters",
    "string-booleans-refused": "the suite sends booleans as booleans",
    "no-allow": "no step gets a 405",
    "sort-ignored": "no step sorts",
    "external-id-number": "the suite sends no externalId",
    "if-match-ignored": "no step sends If-Match",
    "discovery-write-404": "no step writes to discovery",
    "discovery-filter-200": "no step filters discovery",
}
"""What the suite does not ask for, so that its diff cannot show it; a client that asks sees it (below)."""
NOT_SEEN = {
    "last-modified-frozen": "dates are never compared: a fast server changes a resource within the second it made it",
    "slow": "an answer takes 0.7 s: seen by ranks of durations (test_three_times_slower), not in a table of values",
}
"""What no comparison of two runs shows in a difference of values, and why."""


@pytest.mark.parametrize("defect", list(SHOWN))
async def test_a_defect_shows_itself(defect: str, sound: tuple[Path, list[Seen]], tmp_path: Path) -> None:
    db = tmp_path / "b.db"
    other = load(db, await record(db, "scim2-spec", defect))
    found = compare_runs(sound[1], other, timing=False)
    assert set(lines(found)) == SHOWN[defect]
    assert found.empty == (defect in {*NOT_ASKED, *NOT_SEEN}), "noise is told too"
    back = compare_runs(other, sound[1], timing=False)
    assert back.compared == found.compared
    assert sum(back.counts.values()) == sum(found.counts.values())


def test_the_table_speaks_of_every_defect() -> None:
    assert {*SHOWN, *NOT_SEEN} == {*DEFECTS}
    assert {name for name, found in SHOWN.items() if not found} == {
        *NOT_ASKED,
        "last-modified-frozen",
        "resources-lower-case",
        "resources-null",
    }


USER = "urn:ietf:params:scim:schemas:core:2.0:User"
PATCH = "urn:ietf:params:scim:api:messages:2.0:PatchOp"
ASKED: dict[str, tuple[list[tuple[str, str, Any]], set[str]]] = {
    "patch-op-case": (
        [("PATCH", "/Users/{id}", {"schemas": [PATCH], "Operations": [{"op": "Replace", "path": "title", "value": "x"}]})],
        {"breaking status response.status", "changed error response.body"},
    ),
    "string-booleans-refused": (
        [("PATCH", "/Users/{id}", {"schemas": [PATCH], "Operations": [{"op": "replace", "path": "active", "value": "False"}]})],
        {"breaking status response.status", "changed error response.body"},
    ),
    "no-allow": ([("DELETE", "/Schemas", None)], {"changed missing response.headers.allow"}),
    "sort-ignored": ([("GET", "/Users?sortBy=userName&sortOrder=descending", None)], {"changed order response.body.resources"}),
    "external-id-number": (
        [("POST", "/Users", {"schemas": [USER], "userName": "eve@example.com", "externalId": "701984"})],
        {"breaking type response.body.externalid"},
    ),
    "if-match-ignored": (
        [("DELETE", "/Users/{id}", 'W/"stale"')],
        {"breaking status response.status", "changed error response.body"},
    ),
    "discovery-write-404": (
        [("POST", "/Schemas", {"schemas": []})],
        {"breaking status response.status", "changed value response.body.status", "changed value response.body.detail", "changed missing response.headers.allow"},
    ),
    "discovery-filter-200": (
        [("GET", "/Schemas?filter=id%20pr", None)],
        {"breaking status response.status", "changed error response.body"},
    ),
}  # fmt: skip
"""What a client asks for, and what a diff then shows of the defect."""


async def ask(requests: list[tuple[str, str, Any]], *defects: str) -> list[Seen]:
    """Make a few users on a fresh embedded server, then ask; a text for a body is an If-Match."""
    made: list[Seen] = []
    async with await serve(defects=defects) as demo, Client() as client:
        names = ("cid", "ann", "bob")
        users = [("POST", "/Users", {"schemas": [USER], "userName": f"{name}@example.com"}) for name in names]
        number = demo.user_id
        for method, target, body in [*users, *requests]:
            headers = {"Host": "scim.example", "Authorization": f"Bearer {demo.token}"}
            if isinstance(body, str):
                headers["If-Match"] = body
            place = urlsplit(demo.url)
            path = place.path + target.replace("{id}", number)
            content = json.dumps(body) if isinstance(body, dict) else b""
            asked = factories.request(method, path, body=content, headers=headers)
            made.append(seen(await client.send(asked, f"{place.scheme}://{place.netloc}")))
    return made


@pytest.mark.parametrize("defect", list(ASKED))
async def test_a_defect_shows_itself_to_clients_that_ask(defect: str) -> None:
    requests, shown = ASKED[defect]
    a, again, b = [await ask(requests, *defects) for defects in ((), (), (defect,))]
    assert lines(compare_runs(a, again, timing=False)) == []
    assert set(lines(compare_runs(a, b, timing=False))) == shown


async def test_fifty_repetitions_of_one_build_show_nothing(tmp_path: Path) -> None:
    """Eleven recordings, each compared with each other one: 55 comparisons, half of them backwards."""
    db = tmp_path / "a.db"
    runs = [load(db, await record(db, "scim2-spec")) for _ in range(11)]
    wrong: list[str] = []
    for at, (a, b) in enumerate(itertools.combinations(runs, 2)):
        found = compare_runs(a, b, timing=False) if at % 2 else compare_runs(b, a, timing=False)
        assert found.compared == len(a)
        wrong += lines(found)
    assert (at + 1, wrong) == (55, [])


def test_repetitions_on_fresh_instances_of_a_real_server_show_nothing(tmp_path: Path) -> None:
    pytest.importorskip("scim2_server", reason="scim2-server needs Python 3.13 beside mitmproxy")
    db = tmp_path / "a.db"
    runs = []
    for _ in range(3):
        with contextmanager(scim2_server)() as peer:
            runs.append(load(db, asyncio.run(record_at(peer.url, peer.token, db, "lifecycle"))))
    for a, b in itertools.permutations(runs, 2):
        found = compare_runs(a, b, timing=False)
        assert (found.compared, lines(found)) == (len(a), [])


@pytest.mark.parametrize("ids", ["with steps", "without steps"])
def test_three_times_slower(sound: tuple[Path, list[Seen]], ids: str) -> None:
    """As the same run would be if each answer took three times as long, and if one of them took a hundred times."""
    a = [replace(it, step=it.step if ids == "with steps" else None) for it in sound[1]]

    def slower(it: Seen, times: float) -> Seen:
        timings = it.exchange.timings
        return replace(
            it, exchange=replace(it.exchange, timings=replace(timings, total=(timings.total or 0) * times + 5))
        )

    a = [slower(it, 1) for it in a]
    found = compare_runs(a, [slower(it, 3) for it in a])
    assert [one.verdict for one in found.timings if one.operation == "all operations"] == ["changed"]
    assert (lines(found), found.breaking) == ([], False)
    assert compare_runs(a, [slower(it, 100) if at == 20 else it for at, it in enumerate(a)]).timings == ()


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
