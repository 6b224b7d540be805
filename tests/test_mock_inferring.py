"""What is inferred of a server from what it answered, and how a directory then speaks."""

from __future__ import annotations

import json
from dataclasses import replace
from itertools import count
from typing import Any

import pytest
from factories import exchange, request, response

from scimproxy.bodies import seen
from scimproxy.exchange import Exchange, Headers
from scimproxy.mock.answers import HEADER
from scimproxy.mock.inferring import IdForm, Inferred, infer
from scimproxy.mock.intervening import Mock, latency_of
from scimproxy.mock.recorded import Responder
from scimproxy.mock.stateful import Source, Stateful
from scimproxy.scim.schemas import USER

BASE = "/scim/v2"
ERROR = "urn:ietf:params:scim:api:messages:2.0:Error"
LIST = "urn:ietf:params:scim:api:messages:2.0:ListResponse"
ID = "5f9b1c9e-3b1a-4a55-9d7b-0a1b2c3d4e5f"


def inferred(*exchanges: Exchange) -> Inferred:
    return infer([seen(replace(one, id=number)) for number, one in enumerate(exchanges, 1)])


def facts(found: Inferred) -> list[str]:
    return [one.text for one in found.facts]


def user(id_: str = ID, **more: Any) -> dict[str, Any]:
    return {"schemas": [USER.id], "id": id_, "userName": f"u-{id_}", **more}


def listed(*resources: Any, **more: Any) -> dict[str, Any]:
    return {"schemas": [LIST], "totalResults": len(resources), "Resources": list(resources), **more}


def error(status: int, detail: str, **more: Any) -> dict[str, Any]:
    return {"schemas": [ERROR], "status": str(status), "detail": detail, **more}


def create(sent: Any, answer: Any, status: int = 201, **headers: str) -> Exchange:
    made = exchange("POST", f"{BASE}/Users", status_code=status, body=sent, answer=answer)
    assert made.response is not None
    return replace(made, response=replace(made.response, headers=Headers([*made.response.headers, *headers.items()])))


def get(path: str, answer: Any, status: int = 200) -> Exchange:
    return exchange("GET", f"{BASE}{path}", status_code=status, answer=answer)


def test_nothing_is_inferred_from_nothing() -> None:
    found = inferred()
    assert (found.seeds, found.ids, found.credentials) == ((), IdForm(), frozenset())
    assert facts(found) == ["it lets everybody in", "resources that were there when the recording began: 0"]


def test_statuses_locations_and_versions() -> None:
    found = inferred(
        create({"userName": "a"}, user(meta={"location": f"{BASE}/Users/{ID}"})),
        exchange("PATCH", f"{BASE}/Users/{ID}", status_code=204),
        exchange("DELETE", f"{BASE}/Users/{ID}", status_code=200),
        get(f"/Users/{ID}", user(active=False)),
    )
    dialect = found.dialect
    assert (dialect.patch_answer, dialect.delete_status, dialect.delete) == ("empty", 200, "deactivate")
    assert (dialect.locations, dialect.location_header, dialect.etags) == ("path", False, False)
    assert found.ids == IdForm("uuid", 36)
    other = inferred(
        create({"userName": "a"}, user(meta={"version": "1", "location": "http://x/1"}), Location="http://x/1"),
        exchange("PATCH", f"{BASE}/Users/{ID}", answer=user()),
        exchange("DELETE", f"{BASE}/Users/{ID}", status_code=204),
        get(f"/Users/{ID}", error(404, f"{ID} {{is}} gone"), 404),
    ).dialect
    assert (other.patch_answer, other.delete_status, other.delete) == ("resource", 204, "remove")
    assert (other.locations, other.location_header, other.etags) == ("absolute", True, True)
    assert other.text("not_found", id="7") == "7 {is} gone"
    assert inferred(get("/Users/1", user(meta={"location": "/Users/1"}))).dialect.locations == "relative"
    narrow = exchange("GET", f"{BASE}/Users/1?attributes=userName", answer={"id": "1", "userName": "a"})
    assert inferred(narrow).dialect.locations == "absolute", "a projection shows nothing of it"


@pytest.mark.parametrize(
    ("answers", "wanted"),
    [
        (["7", "12"], IdForm("number", 1, after=12)),
        (["A" * 32], IdForm("hex", 32, upper=True)),
        (["u_1"], IdForm("word", 3)),
        ([ID.upper()], IdForm("uuid", 36, upper=True)),
    ],
)
def test_ids(answers: list[str], wanted: IdForm) -> None:
    assert inferred(*(get(f"/Users/{one}", user(one)) for one in answers)).ids == wanted


def test_lists_and_filters() -> None:
    found = inferred(
        get("/Users?count=0", listed(itemsPerPage=0)),
        get("/Users", listed(itemsPerPage=20) | {"Resources": None}),
        get("/Users?filter=userName%20eq", listed(user())),
        get("/Users?filter=userName%20eq%20%22x%22", error(404, "none"), 404),
    ).dialect
    assert (found.page_size, found.items_per_page, found.empty_resources) == (20, "asked", "null")
    assert (found.bad_filters, found.empty_filter_status) == ("ignore", 404)
    full = inferred(get("/Users", listed(user("1"), user("2"), itemsPerPage=2) | {"totalResults": 9})).dialect
    assert (full.page_size, full.items_per_page) == (2, "shown")
    absent = inferred(get("/Users", {"schemas": [LIST], "totalResults": 0}), get("/Users?filter=x", listed())).dialect
    assert (absent.empty_resources, absent.bad_filters) == ("absent", "nothing")


def test_members_and_groups() -> None:
    group = {"schemas": ["urn:ietf:params:scim:schemas:core:2.0:Group"], "id": "g", "displayName": "G"}
    member = {"value": "1"}
    found = inferred(
        exchange("POST", f"{BASE}/Groups", status_code=201, body=group, answer={**group, "members": [member]}),
        get("/Users/1", user("1")),
        exchange("DELETE", f"{BASE}/Users/1", status_code=204),
        get("/Groups/g", {**group, "members": [member]}),
    ).dialect
    assert (found.member_attributes, found.derive_groups) == (frozenset({"value"}), False)
    assert (found.forget_members, found.dangling_members) == (False, "keep")
    assert inferred(get("/Users/1", user("1", groups=[{"value": "g"}]))).dialect.derive_groups


def test_names() -> None:
    twice = [create({"userName": "a"}, user(str(number))) for number in (1, 2)]
    assert not inferred(*twice).dialect.unique
    gone = exchange("DELETE", f"{BASE}/Users/1", status_code=204)
    assert inferred(twice[0], gone, twice[1]).dialect.unique
    case = create({"userName": "A"}, user("3"))
    assert inferred(twice[0], case, create([], user("4"))).dialect.user_name_case_exact


def test_errors() -> None:
    found = inferred(
        get("/Users/x1", error(404, "No x1") | {"status": 404}, 404),
        create({"userName": "ann"}, error(409, "userName ann is taken"), 409),
        create({"title": "B"}, error(400, "userName is missing"), 400),
        create({"userName": "x", "roles": [{"type": "z"}]}, error(400, "a value that is not canonical"), 400),
        replace(create({}, error(400, "no JSON"), 400), request=request("POST", f"{BASE}/Users", body=b"{")),
        get("/Users?filter=x", error(400, "bad filter"), 400),
        get("/Users", [1], 500),
    ).dialect
    assert (found.error_status, found.canonical_values) == ("integer", "enforce")
    assert found.text("unique", attribute="userName", value="bob") == "userName bob is taken"
    assert found.text("required", attribute="userName") == "userName is missing"
    assert (found.text("json", problem=""), found.text("filter")) == ("no JSON", "bad filter")
    bare = inferred(get("/Users/1", {"detail": "gone"}, 404)).dialect
    assert bare.error_without == {"schemas", "status"}


def test_methods_and_projections() -> None:
    part = exchange("GET", f"{BASE}/Users?attributes=userName", answer=listed({"id": "1", "userName": "a"}))
    found = inferred(
        exchange("PUT", f"{BASE}/Schemas", status_code=500),
        exchange("POST", f"{BASE}/Schemas", status_code=404),
        exchange("GET", f"{BASE}/Users?attributes=userName", answer=listed()),
        part,
        part,
    ).dialect
    assert (found.method_status, found.projected_schemas) == (404, False)


def test_what_tells_nothing() -> None:
    """A media type with control characters, a list that pages strangely, errors without words for what was wrong."""
    odd = get("/Users", listed(itemsPerPage=True))
    assert odd.response is not None
    odd = replace(odd, response=replace(odd.response, headers=Headers([("Content-Type", "a\x07")])))
    found = inferred(
        odd,
        get("/Schemas", listed()),
        get("/Users?count=5", listed(user("1"), itemsPerPage=5)),
        get("/Users/1?attributes=groups", {"id": "1"}),
        create([], error(409, "taken"), 409),
        create({"userName": "x"}, error(409, "bad \x07 words"), 409),
        get("/Groups", listed({"id": "g", "members": [{"value": "1"}]})),
        get("/Users/1?attributes=userName", {"id": "1"}),
        exchange("DELETE", f"{BASE}/Groups/g", status_code=204),
        get("/Users/1", user("1")),
    )
    assert (found.dialect.content_type, found.dialect.page_size) == ("application/scim+json", 100)
    assert found.dialect.derive_groups and found.dialect.items_per_page == "asked"
    assert found.dialect.text("unique", attribute="a", value="b") == "taken"


def test_bounds(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("scimproxy.mock.inferring._MOST_SEEDS", 1)
    bare = replace(
        get("/Users", b""), response=response(200, listed(user("1"), user("2")), headers={"Content-Type": ""})
    )
    found = inferred(bare, create({"userName": "a"}, error(409, "a is a name"), 409))
    assert ([one.id for one in found.seeds], found.dialect.content_type) == (["1"], "application/scim+json")
    assert found.dialect.text("unique", attribute="x", value="y") == "a is a name", (
        "one letter is too little to go by"
    )


def test_config_and_schemas() -> None:
    attribute = {"name": "userName", "type": "string", "required": True, "uniqueness": "server"}
    odd = {"name": "odd", "type": "rope", "subAttributes": [{"name": "a", "canonicalValues": []}, 1], "mutability": 5}
    config = {
        "patch": {"supported": True},
        "bulk": {"supported": False},
        "filter": {"supported": True, "maxResults": 50},
    }
    kind = {"name": "User", "endpoint": "/Users", "schema": USER.id, "schemaExtensions": [{"schema": "urn:x"}, 7]}
    found = inferred(
        get("/ServiceProviderConfig", config),
        get("/Schemas", listed({"id": USER.id, "attributes": [attribute, odd, 3]}, "no", {"id": "urn:y"})),
        get("/Schemas/urn:x", {"id": "urn:x", "attributes": [{"name": "e"}]}),
        get("/ResourceTypes", listed(kind, {"name": "Nothing"})),
        get("/ResourceTypes", error(500, "?"), 500),
    )
    dialect = found.dialect
    assert (dialect.bulk, dialect.patch, dialect.max_page) == (False, True, 50)
    (type_,) = dialect.resource_types
    assert [one.name for one in type_.schema.attributes] == ["userName", "odd"]
    assert type_.schema.attributes[1].sub_attributes[0].canonical_values == ("",)
    assert [(one.id, one.extension) for one in type_.extensions] == [("urn:x", True)]


def test_what_is_written_and_never_shown() -> None:
    """An attribute that no answer ever shows is none of this server's; a password is hidden, not gone."""
    sent = {"userName": "a", "title": "Boss", "nickName": "N", "password": "x"}
    found = inferred(create(sent, user(nickName="N")), get("/Users", listed(user())))
    names = {one.name for one in found.dialect.resource_types[0].schema.attributes}
    assert "title" not in names and {"nickName", "password", "userName"} <= names
    assert "User has no title: written, and never shown" in facts(found)


def test_the_resources_of_the_beginning() -> None:
    """What was there and was changed later is as it was; what was created is not there; the fullest sight counts."""
    found = inferred(
        exchange("GET", f"{BASE}/Users?attributes=userName", answer=listed({"id": "1", "userName": "u-1"})),
        get("/Users", listed(user("1", title="Boss", meta={"created": "2026-01-01T00:00:00Z"}), user("2"))),
        create({"userName": "n"}, user("3")),
        exchange("PUT", f"{BASE}/Users/1", body=user("1"), answer=user("1", title="CEO", nickName="x", active=True)),
        get("/Users", listed(user("1", title="CEO", nickName="x", active=True), user("3"))),
        exchange("DELETE", f"{BASE}/Users/2", status_code=204),
        get("/Groups", listed({"id": "g", "displayName": "G", "members": [{"value": "1"}, {"value": "gone"}]})),
    )
    assert [(one.id, one.resource.get("title"), one.created) for one in found.seeds] == [
        ("1", "Boss", "2026-01-01T00:00:00Z"),
        ("2", None, None),
        ("g", None, None),
    ]
    directory = stateful(found).directory
    assert [one.id for one in directory.records()] == ["1", "2", "g"]


# --- speaking like it


def stateful(found: Inferred, *recorded: Exchange, any_token: bool = False) -> Stateful:
    numbers = count()
    source = Source(lambda: 1_790_000_000.0, lambda below: next(numbers) % below)
    return Stateful(found, Responder(recorded), source, any_token=any_token)


def answered(server: Stateful, *given: Any, **fields: Any) -> tuple[int, Any]:
    response = server.answer(request(*given, **fields))
    return response.status_code, json.loads(response.content.data) if response.content.data else None


def test_it_answers_what_was_never_asked() -> None:
    exchanges = (
        get("/ServiceProviderConfig", {"meta": {"location": f"http://scim.example{BASE}/x"}, "odd": 1}),
        get("/Users/7", user("7", userName="seven", meta={"location": "http://h/Users/7"})),
        get("/Users/9", error(404, "No 9 here"), 404),
    )
    server = stateful(inferred(*exchanges), *exchanges)
    assert answered(server, "GET", f"{BASE}/ServiceProviderConfig")[1]["odd"] == 1, "as it was recorded"
    assert answered(server, "GET", f"{BASE}/Schemas")[0] == 200, "as the directory has it"
    assert answered(server, "GET", f"{BASE}/Users/7")[1]["userName"] == "seven"
    assert answered(server, "GET", f"{BASE}/Users/44") == (404, error(404, "No 44 here"))
    status, made = answered(server, "POST", f"{BASE}/Users", body={"schemas": [USER.id], "userName": "new"})
    assert (status, made["id"]) == (201, "8"), "ids go on where they were"
    assert made["meta"]["location"] == f"http://scim.example{BASE}/Users/8"
    assert answered(server, "GET", "/elsewhere")[0] == 404


@pytest.mark.parametrize(
    ("form", "wanted"),
    [
        (IdForm("uuid", 36), "01234567-89ab-4def-8234-56789abcdef0"),
        (IdForm("hex", 16, upper=True), "0123456789ABCDEF"),
        (IdForm("word", 12), "abcdefghijkl"),
    ],
)
def test_new_ids(form: IdForm, wanted: str) -> None:
    server = stateful(replace(inferred(), ids=form))
    made = answered(server, "POST", f"{BASE}/Users", body={"schemas": [USER.id], "userName": "a"})[1]["id"]
    assert len(made) == len(wanted) and [one == "-" for one in made] == [one == "-" for one in wanted]
    assert made == made.upper() if form.upper else made == made.lower()


def test_credentials() -> None:
    def asked(said: str | None, status: int) -> Exchange:
        headers = {"Authorization": said} if said else {}
        made = get("/Users", error(401, "Who are you?") if status == 401 else listed(), status)
        return replace(made, request=request("GET", f"{BASE}/Users", headers=headers))

    known = stateful(inferred(asked("Bearer sha256:2bb80d53", 200), asked(None, 401)))
    assert answered(known, "GET", f"{BASE}/Users") == (401, error(401, "Who are you?"))
    assert answered(known, "GET", f"{BASE}/Users", headers={"Authorization": "Bearer secret"})[0] == 200
    unknown = inferred(asked("Bearer sha256:2bb80d53", 200))
    response = stateful(unknown).answer(request("GET", f"{BASE}/Users"))
    assert (response.status_code, response.headers.get("www-authenticate")) == (401, "Bearer")
    assert answered(stateful(unknown, any_token=True), "GET", f"{BASE}/Users")[0] == 200


def test_what_the_directory_refuses_is_told() -> None:
    odd = user("1", userName="")
    server = stateful(inferred(get("/Users", listed(odd, user("2", meta={"created": "yesterday"})))))
    assert [(seed.id, why) for seed, why in server.unseeded] == [("1", "userName is required")]
    assert [one.id for one in server.directory.records()] == ["2"]


# --- at the seam


def test_what_the_mock_tells_the_engine() -> None:
    recorded = replace(get("/Users/1", {"id": "1"}), id=5)
    mock = Mock(Responder([recorded]), run_id=3, latency="recorded")
    found = mock.intervene(request("GET", f"{BASE}/Users/1"))
    assert (found.parent_id, found.origin, found.tags, found.delay_s) == (5, "mock", ("mock",), 0.012)
    assert found.note == "mock of run 3: exchange=5 matched=method,path,query,body repeat=1/1"
    missed = mock.intervene(request("GET", f"{BASE}/Groups"))
    assert missed.response is not None and missed.response.status_code == 404
    assert (missed.parent_id, missed.tags) == (None, ("mock", "miss"))
    assert (mock.counts.hits, mock.counts.misses) == (1, 1)


def test_bound_words_are_noted() -> None:
    recorded = replace(create({"userName": "ann"}, user()), id=5)
    found = Mock(Responder([recorded])).intervene(request("POST", f"{BASE}/Users", body={"userName": "bob"}))
    assert (found.note or "").endswith("repeat=1/1; bound: name ann is bob")


def test_asking_an_upstream() -> None:
    given = request("GET", f"{BASE}/Groups")
    answer = get("/Groups", listed()).response
    assert answer is not None
    mock = Mock(Responder([]), on_miss="record")
    asked = mock.intervene(given)
    assert asked.response is None and asked.alter is not None
    assert asked.alter(answer) is answer
    again = mock.intervene(given)
    assert again.response is not None and again.response.status_code == 200
    assert again.response.headers.get(HEADER) == "exchange=learned matched=method,path,query,body repeat=1/1"
    assert Mock(Responder([]), on_miss="forward").intervene(given).alter is None


def test_a_stateful_mock_at_the_seam() -> None:
    recorded = get("/ServiceProviderConfig", {"a": 1})
    found = inferred(recorded)
    mock = Mock(Responder([recorded]), run_id=2, latency="recorded", stateful=stateful(found, recorded))
    mock.usual([recorded])
    for path, why in (("/Users", "stateful run=2"), ("/ServiceProviderConfig", "exchange=")):
        got = mock.intervene(request("GET", f"{BASE}{path}"))
        assert got.response is not None
        assert (got.response.headers.get(HEADER) or "").startswith(why)
        assert got.delay_s == 0.012


@pytest.mark.parametrize(
    ("fields", "wanted"),
    [({"total": 5.0}, 0.005), ({"wait": 3.0, "receive": 1.0}, 0.004), ({"total": 1e9}, 60.0), ({}, 0.012)],
)
def test_how_long_it_took(fields: dict[str, float], wanted: float) -> None:
    made = exchange()
    given = {"total": None, "wait": None, "receive": None, **fields}
    assert latency_of(replace(made, timings=replace(made.timings, **given))) == pytest.approx(wanted, abs=1e-6)
    assert latency_of(replace(made, timings=replace(made.timings, total=None, wait=None), ended_at=None)) == 0.0
