"""The in-memory SCIM server, call by call."""

from __future__ import annotations

import json
from itertools import count
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scimproxy.exchange import Headers
from scimproxy.scim.dialect import Answer, Call, Dialect, Refusal
from scimproxy.scim.directory import Directory

USER = "urn:ietf:params:scim:schemas:core:2.0:User"
GROUP = "urn:ietf:params:scim:schemas:core:2.0:Group"
ENTERPRISE = "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User"
PATCH = "urn:ietf:params:scim:api:messages:2.0:PatchOp"
SEARCH = "urn:ietf:params:scim:api:messages:2.0:SearchRequest"
BULK = "urn:ietf:params:scim:api:messages:2.0:BulkRequest"
ERROR = "urn:ietf:params:scim:api:messages:2.0:Error"
BASE = "https://scim.example/scim/v2"


class Api:
    """A directory with a clock that ticks and ids that count."""

    def __init__(self, dialect: Dialect | None = None, **options: Any) -> None:
        ticks, numbers = count(1_790_000_000), count(1)
        self.directory = Directory(
            clock=lambda: float(next(ticks)),
            new_id=lambda: f"id{next(numbers)}",
            dialect=dialect or Dialect(**options),
        )
        self.user: str | None = None

    def __call__(self, method: str, path: str, body: Any = None, **headers: str) -> Answer:
        path, _, query = path.partition("?")
        content = body if isinstance(body, bytes) else b"" if body is None else json.dumps(body).encode()
        fields = [(name.replace("_", "-"), value) for name, value in headers.items()]
        if content and "Content_Type" not in headers:
            fields.append(("Content-Type", "application/scim+json"))
        return self.directory.handle(Call(method, path, query, Headers(fields), content, BASE, self.user))

    def json(self, method: str, path: str, body: Any = None, *, status: int = 200, **headers: str) -> dict[str, Any]:
        answer = self(method, path, body, **headers)
        assert answer.status == status, answer
        assert answer.body is not None
        return answer.body

    def add_user(self, name: str = "bjensen", /, **more: Any) -> str:
        return self.json("POST", "/Users", {"schemas": [USER], "userName": name, **more}, status=201)["id"]

    def add_group(self, name: str, /, *members: str, **more: Any) -> str:
        body = {"schemas": [GROUP], "displayName": name, "members": [{"value": one} for one in members], **more}
        return self.json("POST", "/Groups", body, status=201)["id"]

    def refused(
        self, status: int, scim_type: str | None, method: str, path: str, body: Any = None, **headers: str
    ) -> str:
        answer = self(method, path, body, **headers)
        assert answer.body is not None, answer
        assert (answer.status, answer.body.get("scimType")) == (status, scim_type), answer
        assert answer.body["schemas"] == [ERROR] and answer.body["status"] == str(status)
        assert answer.headers.get("Content-Type") == "application/scim+json"
        return answer.body["detail"]

    def names(self, path: str) -> list[str]:
        return [one["userName"] for one in self.json("GET", path)["Resources"]]


@pytest.fixture
def api() -> Api:
    return Api()


def patch(*operations: dict[str, Any]) -> dict[str, Any]:
    return {"schemas": [PATCH], "Operations": list(operations)}


# -- create, read ------------------------------------------------------------------------------------------------


def test_create_answers_201_with_location_version_and_everything_but_the_password(api: Api) -> None:
    answer = api(
        "POST", "/Users", {"schemas": [USER], "userName": "bjensen", "password": "t1meMa$heen", "active": True}
    )
    assert answer.status == 201 and answer.body is not None
    assert answer.body == {
        "schemas": [USER],
        "id": "id1",
        "userName": "bjensen",
        "active": True,
        "meta": {
            "resourceType": "User",
            "created": "2026-09-21T14:13:20.000Z",
            "lastModified": "2026-09-21T14:13:20.000Z",
            "location": f"{BASE}/Users/id1",
            "version": 'W/"1"',
        },
    }
    assert answer.headers.get("Location") == f"{BASE}/Users/id1"
    assert answer.headers.get("ETag") == 'W/"1"'
    assert answer.headers.get("Content-Type") == "application/scim+json"
    assert json.loads(answer.content()) == answer.body
    assert api("GET", "/Users/id1").body == answer.body
    record = api.directory.record("id1")
    assert record is not None and record.resource["password"] == "t1meMa$heen"


def test_head_and_trailing_slash_and_letter_case_of_endpoints(api: Api) -> None:
    api.add_user()
    assert api("HEAD", "/Users/id1").status == 200
    assert api("GET", "/users/").status == 200
    assert api("HEAD", "/Users").status == 200


def test_unknown_things_are_404(api: Api) -> None:
    group = api.add_group("Admins")
    assert "nobody" in api.refused(404, None, "GET", "/Users/nobody")
    api.refused(404, None, "GET", f"/Users/{group}")
    api.refused(404, None, "GET", "/Planets")
    api.refused(404, None, "GET", "/Users/a/b")
    api.refused(404, None, "DELETE", "/Users/nobody")


@pytest.mark.parametrize(
    ("method", "path", "allow"),
    [
        ("PUT", "/Users", "GET, HEAD, POST"),
        ("POST", "/Users/id1", "GET, HEAD, PUT, PATCH, DELETE"),
        ("GET", "/Users/.search", "POST"),
        ("GET", "/.search", "POST"),
        ("GET", "/Bulk", "POST"),
        ("DELETE", "/", "GET, HEAD"),
        ("POST", "/Schemas", "GET, HEAD"),
    ],
)
def test_wrong_methods_are_405_with_allow(api: Api, method: str, path: str, allow: str) -> None:
    api.add_user()
    answer = api(method, path)
    assert answer.status == 405
    assert answer.headers.get("Allow") == allow


def test_seeding_and_looking(api: Api) -> None:
    made = api.directory.seed("User", {"schemas": [USER], "userName": "a"}, resource_id="fixed", created_at=0.0)
    assert made.id == "fixed" and len(api.directory) == 1
    assert api.json("GET", "/Users/fixed")["meta"]["created"] == "1970-01-01T00:00:00.000Z"
    api.directory.seed("Group", {"schemas": [GROUP], "displayName": "g"})
    assert [one.id for one in api.directory.records("Group")] == ["id1"]
    assert len(api.directory.records()) == 2
    with pytest.raises(Refusal):
        api.directory.seed("User", {"schemas": [USER], "userName": "A"})
    with pytest.raises(KeyError):
        api.directory.seed("Planet", {})


# -- uniqueness --------------------------------------------------------------------------------------------------


def test_user_names_are_unique_whatever_their_case(api: Api) -> None:
    api.add_user("bjensen")
    other = api.add_user("other")
    assert "BJENSEN" in api.refused(409, "uniqueness", "POST", "/Users", {"schemas": [USER], "userName": "BJENSEN"})
    api.refused(409, "uniqueness", "PUT", f"/Users/{other}", {"schemas": [USER], "userName": "bJensen"})
    api.refused(
        409, "uniqueness", "PATCH", f"/Users/{other}", patch({"op": "replace", "value": {"userName": "Bjensen"}})
    )
    assert api("DELETE", "/Users/id1").status == 204
    api.json("PUT", f"/Users/{other}", {"schemas": [USER], "userName": "bJensen"})
    api.add_user("other")


def test_a_dialect_may_tell_names_apart_by_case_or_not_at_all() -> None:
    exact = Api(user_name_case_exact=True)
    exact.add_user("bjensen")
    exact.add_user("BJENSEN")
    exact.refused(409, "uniqueness", "POST", "/Users", {"schemas": [USER], "userName": "BJENSEN"})
    assert exact.names('/Users?filter=userName%20eq%20"bjensen"') == ["bjensen"]
    loose = Api(unique=False)
    first, second = loose.add_user("a"), loose.add_user("a")
    assert [loose("DELETE", f"/Users/{one}").status for one in (first, second)] == [204, 204]


# -- replace, patch, delete --------------------------------------------------------------------------------------


def test_put_replaces_what_can_be_written_and_keeps_the_rest(api: Api) -> None:
    api.add_user("bjensen", nickName="Babs", password="secret", externalId="x")
    body = {"schemas": [USER], "id": "other", "userName": "bjensen", "title": "Guide", "meta": {"created": "never"}}
    shown = api.json("PUT", "/Users/id1", body)
    assert (shown["id"], shown["title"]) == ("id1", "Guide")
    assert "nickName" not in shown and "externalId" not in shown
    assert shown["meta"]["version"] == 'W/"2"'
    assert shown["meta"]["lastModified"] > shown["meta"]["created"]
    record = api.directory.record("id1")
    assert record is not None and record.resource["password"] == "secret"
    api.json("PUT", "/Users/id1", {**body, "password": "new"})
    record = api.directory.record("id1")
    assert record is not None and record.resource["password"] == "new"


def test_put_never_creates(api: Api) -> None:
    api.refused(404, None, "PUT", "/Users/new", {"schemas": [USER], "userName": "a"})


def test_patch_shows_its_effect_and_moves_the_version_only_when_something_changed(api: Api) -> None:
    api.add_user(active=True)
    shown = api.json("PATCH", "/Users/id1", patch({"op": "replace", "value": {"active": False}}))
    assert shown["active"] is False and shown["meta"]["version"] == 'W/"2"'
    again = api.json("PATCH", "/Users/id1", patch({"op": "Replace", "path": "active", "value": "False"}))
    assert again == shown


def test_patch_may_answer_204_but_not_when_attributes_are_asked_for() -> None:
    api = Api(patch_answer="empty")
    api.add_user()
    change = patch({"op": "add", "path": "title", "value": "Guide"})
    answer = api("PATCH", "/Users/id1", change)
    assert (answer.status, answer.body, answer.content()) == (204, None, b"")
    assert answer.headers.get("ETag") == 'W/"2"'
    assert api.json("PATCH", "/Users/id1?attributes=title", change)["title"] == "Guide"


def test_patch_refusals(api: Api) -> None:
    api.add_user()
    api.refused(400, "invalidSyntax", "PATCH", "/Users/id1", {"Operations": [{"op": "add", "value": {}}]})
    api.refused(400, "invalidSyntax", "PATCH", "/Users/id1", patch())
    api.refused(400, "invalidSyntax", "PATCH", "/Users/id1", patch({"op": []}))
    api.refused(400, "noTarget", "PATCH", "/Users/id1", patch({"op": "remove"}))
    api.refused(400, "mutability", "PATCH", "/Users/id1", patch({"op": "replace", "path": "id", "value": "x"}))
    api.refused(400, "mutability", "PATCH", "/Users/id1", patch({"op": "remove", "path": "userName"}))
    Api(patch=False).refused(404, None, "PATCH", "/Users/id1", patch())
    lacking = Api(patch=False)
    lacking.add_user()
    lacking.refused(501, None, "PATCH", "/Users/id1", patch({"op": "replace", "value": {"active": False}}))


def test_patch_takes_back_what_the_server_itself_has_shown(api: Api) -> None:
    user = api.add_user("bjensen")
    group = api.add_group("Admins", user)
    for path in (f"/Users/{user}", f"/Groups/{group}"):
        whole = api.json("GET", path)
        assert api.json("PATCH", path, patch({"op": "replace", "value": whole}))["meta"] == whole["meta"]
    api.refused(400, "mutability", "PATCH", f"/Users/{user}", patch({"op": "replace", "value": {"id": "other"}}))


def test_patch_dialects() -> None:
    change = patch({"op": "replace", "path": 'emails[type eq "work"].value', "value": "a@x"})
    strict, kind = Api(string_booleans="refuse"), Api(replace_creates=True, unknown_attributes="keep")
    for api in (strict, kind):
        api.add_user(active=False)
    strict.refused(400, "noTarget", "PATCH", "/Users/id1", change)
    strict.refused(400, "invalidPath", "PATCH", "/Users/id1", patch({"op": "add", "path": "planet", "value": "x"}))
    strict.refused(
        400, "invalidValue", "PATCH", "/Users/id1", patch({"op": "add", "path": "active", "value": "True"})
    )
    assert kind.json("PATCH", "/Users/id1", change)["emails"] == [{"type": "work", "value": "a@x"}]
    assert kind.json("PATCH", "/Users/id1", patch({"op": "add", "path": "planet", "value": "x"}))["planet"] == "x"
    assert kind.json("PATCH", "/Users/id1", patch({"op": "add", "path": "active", "value": "True"}))["active"] is True


def test_a_failed_patch_changes_nothing(api: Api) -> None:
    api.add_user()
    before = api.json("GET", "/Users/id1")
    both = patch({"op": "add", "path": "title", "value": "x"}, {"op": "replace", "path": "active", "value": "maybe"})
    api.refused(400, "invalidValue", "PATCH", "/Users/id1", both)
    assert api.json("GET", "/Users/id1") == before


def test_deleted_means_gone(api: Api) -> None:
    api.add_user()
    answer = api("DELETE", "/Users/id1")
    assert (answer.status, answer.body, list(answer.headers)) == (204, None, [])
    for method in ("GET", "DELETE"):
        api.refused(404, None, method, "/Users/id1")
    assert api.json("GET", "/Users")["totalResults"] == 0


def test_a_soft_delete_keeps_the_user_and_removes_the_group() -> None:
    api = Api(delete="deactivate")
    api.add_user(active=True)
    group = api.add_group("Admins")
    assert api("DELETE", "/Users/id1").status == 204
    assert api.json("GET", "/Users/id1")["active"] is False
    assert api("DELETE", f"/Groups/{group}").status == 204
    assert api("GET", f"/Groups/{group}").status == 404


# -- versions ----------------------------------------------------------------------------------------------------


def test_if_none_match_spares_a_read_and_forbids_a_write(api: Api) -> None:
    api.add_user()
    answer = api("GET", "/Users/id1", If_None_Match='W/"1"')
    assert (answer.status, answer.body) == (304, None) and answer.headers.get("ETag") == 'W/"1"'
    assert api("GET", "/Users/id1", If_None_Match='W/"9"').status == 200
    api.refused(412, None, "DELETE", "/Users/id1", If_None_Match="*")


def test_if_match_protects_a_write(api: Api) -> None:
    api.add_user()
    change = {"schemas": [USER], "userName": "bjensen", "title": "Guide"}
    assert 'W/"1"' in api.refused(412, None, "PUT", "/Users/id1", change, If_Match='W/"0"')
    api.json("PUT", "/Users/id1", change, If_Match='"7", "1"')
    api.refused(412, None, "DELETE", "/Users/id1", If_Match='W/"1"')
    assert api("DELETE", "/Users/id1", If_Match="*").status == 204


def test_without_etags_there_are_no_versions() -> None:
    api = Api(etags=False)
    api.add_user()
    answer = api("GET", "/Users/id1", If_None_Match="*")
    assert answer.status == 200 and answer.body is not None
    assert "ETag" not in answer.headers and "version" not in answer.body["meta"]


# -- lists -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("query", "names", "start"),
    [
        ("", "abcde", 1),
        ("count=2", "ab", 1),
        ("startIndex=4", "de", 4),
        ("startIndex=2&count=2", "bc", 2),
        ("startIndex=0&count=1", "a", 1),
        ("startIndex=-3&count=1", "a", 1),
        ("startIndex=5&count=10", "e", 5),
        ("startIndex=6", "", 6),
        ("count=0", "", 1),
        ("count=-1", "", 1),
        ("count=", "abcde", 1),
    ],
)
def test_paging(api: Api, query: str, names: str, start: int) -> None:
    for name in "abcde":
        api.add_user(name)
    body = api.json("GET", f"/Users?{query}")
    assert [one["userName"] for one in body["Resources"]] == list(names)
    assert (body["totalResults"], body["startIndex"], body["itemsPerPage"]) == (5, start, len(names))


def test_pages_have_a_most() -> None:
    api = Api(page_size=1, max_page=2)
    for name in "abc":
        api.add_user(name)
    assert api.names("/Users") == ["a"]
    assert api.names("/Users?count=3") == ["a", "b"]


def test_wrong_list_parameters(api: Api) -> None:
    for query in ("count=x", "startIndex=1.5", "sortOrder=up&sortBy=userName", "attributes=a&excludedAttributes=b"):
        api.refused(400, "invalidValue", "GET", f"/Users?{query}")
    api.refused(400, "invalidPath", "GET", "/Users?sortBy=password")
    api.refused(400, "invalidValue", "GET", "/Users?" + "&".join(f"a{n}=1" for n in range(101)))


def test_filters(api: Api) -> None:
    api.add_user("bjensen", password="s3cret", emails=[{"value": "b@x.example", "type": "work"}])
    api.add_user("jsmith", externalId="Abc")
    assert api.names("/Users?filter=userName+eq+%22BJENSEN%22") == ["bjensen"]
    assert api.names('/Users?filter=emails[type eq "work" and value co "x.example"]') == ["bjensen"]
    assert api.names('/Users?filter=externalId eq "abc"') == []
    assert api.names('/Users?filter=meta.lastModified ge "2026-01-01T00:00:00Z" and not (userName sw "b")') == [
        "jsmith"
    ]
    assert api.names('/Users?filter=password sw "s"') == [], "a filter must not find out a password"
    assert api.names("/Users?filter=password pr") == []
    assert "position" in api.refused(400, "invalidFilter", "GET", "/Users?filter=userName eq")
    empty = api.json("GET", '/Users?filter=userName eq "nobody"')
    assert (empty["totalResults"], empty["Resources"]) == (0, [])


def test_dialects_of_an_empty_list() -> None:
    none = "/Users?filter=title pr"
    assert Api(empty_resources="null").json("GET", none)["Resources"] is None
    assert "Resources" not in Api(empty_resources="absent").json("GET", none)
    Api(empty_filter_status=404).refused(404, None, "GET", none)
    assert Api(empty_filter_status=404).json("GET", "/Users")["totalResults"] == 0


def test_a_dialect_without_filter_and_sort_ignores_both() -> None:
    api = Api(filter=False, sort=False)
    for name in "ba":
        api.add_user(name)
    assert api.names('/Users?filter=userName eq "a"&sortBy=userName') == ["b", "a"]


def test_sorting(api: Api) -> None:
    api.add_user("b", name={"familyName": "Young"})
    api.add_user("A", emails=[{"value": "z@x"}, {"value": "a@x", "primary": True}])
    api.add_user("c", name={"familyName": "adams"}, emails=[{"value": "b@x"}])
    assert api.names("/Users?sortBy=userName") == ["A", "b", "c"]
    assert api.names("/Users?sortBy=userName&sortOrder=descending") == ["c", "b", "A"]
    assert api.names("/Users?sortBy=name.familyName") == ["c", "b", "A"]
    assert api.names(f"/Users?sortBy={USER}:name.familyName&sortOrder=descending") == ["A", "b", "c"]
    assert api.names("/Users?sortBy=emails") == ["A", "c", "b"]


def test_search_by_post(api: Api) -> None:
    for name in "cab":
        api.add_user(name, title="t")
    api.add_group("g")
    message = {
        "schemas": [SEARCH],
        "filter": "userName pr",
        "sortBy": "userName",
        "count": 2,
        "attributes": ["userName"],
    }
    body = api.json("POST", "/Users/.search", message)
    assert [one["userName"] for one in body["Resources"]] == ["a", "b"] and body["totalResults"] == 3
    assert set(body["Resources"][0]) == {"schemas", "id", "userName"}
    everything = api.json("POST", "/.search", {"schemas": [SEARCH]})
    assert everything["totalResults"] == 4
    assert api.json("GET", '/?filter=meta.resourceType eq "Group"')["totalResults"] == 1
    api.refused(400, "invalidSyntax", "POST", "/.search", {"filter": "userName pr"})


# -- projection --------------------------------------------------------------------------------------------------


def test_projection_on_every_method(api: Api) -> None:
    user = {"schemas": [USER], "userName": "a", "title": "t", "name": {"familyName": "F", "givenName": "G"}}
    assert set(api.json("POST", "/Users?attributes=userName", user, status=201)) == {"schemas", "id", "userName"}
    assert api.json("GET", "/Users/id1?attributes=name.familyName") == {
        "schemas": [USER], "id": "id1", "name": {"familyName": "F"},
    }  # fmt: skip
    assert "title" not in api.json("PUT", "/Users/id1?excludedAttributes=title,id", user)
    shown = api.json("GET", "/Users/id1?excludedAttributes=name.familyName,id,meta,schemas")
    assert shown == {"schemas": [USER], "id": "id1", "userName": "a", "title": "t", "name": {"givenName": "G"}}


# -- groups ------------------------------------------------------------------------------------------------------


def test_members_are_shown_with_reference_type_and_display(api: Api) -> None:
    user = api.add_user("bjensen", displayName="Babs")
    inner = api.add_group("Inner")
    group = api.add_group("Outer", user, inner, user)
    members = api.json("GET", f"/Groups/{group}")["members"]
    assert [{key: one[key] for key in ("value", "$ref", "type")} for one in members] == [
        {"value": user, "$ref": f"{BASE}/Users/{user}", "type": "User"},
        {"value": inner, "$ref": f"{BASE}/Groups/{inner}", "type": "Group"},
    ]
    by_reference = {"schemas": [GROUP], "displayName": "R", "members": [{"$ref": f"{BASE}/Users/{user}"}]}
    assert api.json("POST", "/Groups", by_reference, status=201)["members"][0]["value"] == user


def test_groups_of_a_user_are_derived_and_read_only(api: Api) -> None:
    user = api.add_user("bjensen", groups=[{"value": "made-up"}])
    inner = api.add_group("Inner", user)
    outer = api.add_group("Outer", inner)
    shown = api.json("GET", f"/Users/{user}")
    assert shown["groups"] == [
        {"value": inner, "$ref": f"{BASE}/Groups/{inner}", "display": "Inner", "type": "direct"},
        {"value": outer, "$ref": f"{BASE}/Groups/{outer}", "display": "Outer", "type": "indirect"},
    ]
    assert api.names('/Users?filter=groups.display eq "Outer"') == ["bjensen"]
    api.refused(
        400,
        "mutability",
        "PATCH",
        f"/Users/{user}",
        patch({"op": "add", "path": "groups", "value": [{"value": "x"}]}),
    )
    assert "groups" not in Api(derive_groups=False).json(
        "POST", "/Users", {"schemas": [USER], "userName": "a"}, status=201
    )


def test_what_changes_by_derivation_gets_a_new_version(api: Api) -> None:
    user = api.add_user("bjensen")
    group = api.add_group("Admins", user)

    def version(path: str) -> str:
        return api.json("GET", path)["meta"]["version"]

    assert version(f"/Users/{user}") == 'W/"2"'
    api.json("PATCH", f"/Groups/{group}", patch({"op": "replace", "value": {"id": group, "displayName": "Root"}}))
    assert version(f"/Users/{user}") == 'W/"3"'
    before = version(f"/Groups/{group}")
    api.json("PATCH", f"/Users/{user}", patch({"op": "add", "path": "displayName", "value": "Babs"}))
    assert version(f"/Groups/{group}") != before
    api.json("PATCH", f"/Groups/{group}", patch({"op": "remove", "path": f'members[value eq "{user}"]'}))
    assert version(f"/Users/{user}") == 'W/"5"'
    assert "groups" not in api.json("GET", f"/Users/{user}")


def test_deletes_leave_no_dangling_members(api: Api) -> None:
    one, two = api.add_user("one"), api.add_user("two")
    group = api.add_group("Admins", one, two)
    api("DELETE", f"/Users/{one}")
    assert [member["value"] for member in api.json("GET", f"/Groups/{group}")["members"]] == [two]
    api("DELETE", f"/Users/{two}")
    assert "members" not in api.json("GET", f"/Groups/{group}")
    three = api.add_user("three")
    other = api.add_group("Other", three)
    api("DELETE", f"/Groups/{other}")
    assert "groups" not in api.json("GET", f"/Users/{three}")


def test_circles_of_groups_end(api: Api) -> None:
    user = api.add_user()
    one = api.add_group("One", user)
    two = api.add_group("Two", one)
    api.json("PATCH", f"/Groups/{one}", patch({"op": "add", "path": "members", "value": [{"value": two}]}))
    assert [group["value"] for group in api.json("GET", f"/Users/{user}")["groups"]] == [one, two]


def test_members_that_do_not_exist(api: Api) -> None:
    body = {"schemas": [GROUP], "displayName": "g", "members": [{"value": "ghost"}]}
    assert "ghost" in api.refused(400, "invalidValue", "POST", "/Groups", body)
    kept = Api(dangling_members="keep").json("POST", "/Groups", body, status=201)
    assert kept["members"] == [{"value": "ghost"}]


# -- Me ----------------------------------------------------------------------------------------------------------


def test_me(api: Api) -> None:
    api.refused(501, None, "GET", "/Me")
    api.user = api.add_user()
    assert api.json("GET", "/Me")["id"] == api.user
    assert api.json("PATCH", "/Me", patch({"op": "add", "path": "title", "value": "x"}))["title"] == "x"
    elsewhere = Api(me="redirect")
    elsewhere.user = elsewhere.add_user()
    answer = elsewhere("GET", "/Me")
    assert (answer.status, answer.headers.get("Location")) == (308, f"{BASE}/Users/id1")
    lacking = Api(me="unsupported")
    lacking.user = lacking.add_user()
    lacking.refused(501, None, "GET", "/Me")


# -- discovery and bulk are wired in (their own tests say more) ---------------------------------------------------


def test_discovery_is_served(api: Api) -> None:
    assert api.json("GET", "/ServiceProviderConfig")["patch"] == {"supported": True}
    assert api.json("GET", "/ResourceTypes")["totalResults"] == 2
    assert api.json("GET", f"/Schemas/{USER}")["meta"]["location"] == f"{BASE}/Schemas/{USER}"
    assert "location" not in Api(locations="none").json("GET", "/ResourceTypes/User")["meta"]
    assert Api(locations="relative").json("GET", "/ResourceTypes/User")["meta"]["location"] == "/ResourceTypes/User"


def bulk(*operations: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {"schemas": [BULK], "Operations": list(operations), **more}


def test_bulk_creates_a_user_and_a_group_that_holds_it(api: Api) -> None:
    body = api.json(
        "POST",
        "/Bulk",
        bulk(
            {
                "method": "POST",
                "path": "/Groups",
                "bulkId": "g",
                "data": {"schemas": [GROUP], "displayName": "G", "members": [{"value": "bulkId:u"}]},
            },
            {"method": "POST", "path": "/Users", "bulkId": "u", "data": {"schemas": [USER], "userName": "u"}},
        ),
    )
    assert [one["status"] for one in body["Operations"]] == ["201", "201"]
    group = api.directory.records("Group")[0]
    assert group.resource["members"] == [{"value": api.directory.records("User")[0].id}]


def test_bulk_circle_whose_one_half_fails_leaves_nothing_dangling(api: Api) -> None:
    def group(own: str, other: str, **data: Any) -> dict[str, Any]:
        data = {"schemas": [GROUP], "members": [{"value": f"bulkId:{other}"}], **data}
        return {"method": "POST", "path": "/Groups", "bulkId": own, "data": data}

    whole = api.json("POST", "/Bulk", bulk(group("a", "b", displayName="A"), group("b", "a", displayName="B")))
    assert [one["status"] for one in whole["Operations"]] == ["201", "201"]
    half = Api()
    body = half.json("POST", "/Bulk", bulk(group("a", "b"), group("b", "a", displayName="B")))
    assert [one["status"] for one in body["Operations"]] == ["400", "201"]
    assert [one.resource.get("members") for one in half.directory.records()] == [None]


def test_bulk_refusals() -> None:
    api = Api(max_payload=300)
    api.refused(413, None, "POST", "/Bulk", b" " * 301)
    api.refused(400, "invalidSyntax", "POST", "/Bulk", {})
    Api(bulk=False).refused(404, None, "POST", "/Bulk", {})
    body = api.json(
        "POST", "/Bulk", bulk({"method": "DELETE", "path": "/Schemas/x"}, {"method": "DELETE", "path": "/"})
    )
    assert [one["status"] for one in body["Operations"]] == ["404", "404"]


# -- bounds and bodies -------------------------------------------------------------------------------------------


def test_bodies_must_be_json_of_a_known_type(api: Api) -> None:
    api.refused(415, None, "POST", "/Users", b"a=b", Content_Type="application/x-www-form-urlencoded")
    api.refused(400, "invalidSyntax", "POST", "/Users", b"{")
    api.refused(400, "invalidSyntax", "POST", "/Users")
    assert (
        api(
            "POST", "/Users", {"schemas": [USER], "userName": "a"}, Content_Type="application/json; charset=utf-8"
        ).status
        == 201
    )


def test_a_directory_has_a_limit() -> None:
    api = Api(max_resources=1)
    api.add_user("a")
    api.refused(507, None, "POST", "/Users", {"schemas": [USER], "userName": "b"})


def test_an_id_source_that_repeats_itself_is_our_bug() -> None:
    stuck = Directory(clock=lambda: 0.0, new_id=lambda: "same")
    stuck.seed("User", {"schemas": [USER], "userName": "a"})
    with pytest.raises(RuntimeError):
        stuck.seed("User", {"schemas": [USER], "userName": "b"})


def test_ids_with_odd_letters_work(api: Api) -> None:
    api.directory.seed("User", {"schemas": [USER], "userName": "a"}, resource_id="a/b ü")
    shown = api.json("GET", "/Users/a%2Fb%20%C3%BC")
    assert shown["id"] == "a/b ü"
    assert shown["meta"]["location"] == f"{BASE}/Users/a%2Fb%20%C3%BC"


def test_error_texts_and_status_form_belong_to_the_dialect() -> None:
    api = Api(texts={"not_found": "no {id} here"}, error_status="integer")
    answer = api("GET", "/Users/x")
    assert answer.body == {"schemas": [ERROR], "detail": "no x here", "status": 404}


# -- anything at all ---------------------------------------------------------------------------------------------

NAMES = st.sampled_from(
    ["schemas", "id", "userName", "name", "emails", "members", "active", "value", "$ref", "meta", "groups", "password",
     "Operations", "op", "path", "bulkId", "method", "data", "filter", "count", ENTERPRISE, f"{USER}:title", "x"]
)  # fmt: skip
TEXTS = st.sampled_from(
    ["", "a", "id1", "id2", "bulkId:a", "/Users", "/Users/id1", "POST", "add", "remove", "Replace", "userName", "emails",
     'emails[type eq "work"].value', "members", 'members[value eq "id1"]', "name.familyName", USER, GROUP, PATCH, BULK, SEARCH, "ü"]
)  # fmt: skip
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-2, 3) | st.floats(allow_nan=False, allow_infinity=False) | TEXTS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(NAMES, inner, max_size=4),
    max_leaves=12,
)
BODIES = st.dictionaries(NAMES, VALUES, max_size=5)
SHAPED = st.one_of(
    BODIES,
    BODIES.map(lambda body: {**body, "schemas": [USER], "userName": "a"}),
    BODIES.map(lambda body: {**body, "schemas": [GROUP], "displayName": "g"}),
    st.lists(BODIES | VALUES, max_size=3).map(lambda operations: {"schemas": [PATCH], "Operations": operations}),
    st.lists(
        st.tuples(st.sampled_from(["POST", "PATCH", "DELETE"]), TEXTS, TEXTS, BODIES).map(
            lambda one: {"method": one[0], "path": f"/{one[1].strip('/')}", "bulkId": one[2], "data": one[3]}
        ),
        max_size=3,
    ).map(lambda operations: {"schemas": [BULK], "Operations": operations}),
    BODIES.map(lambda body: {**body, "schemas": [SEARCH]}),
)
CALLS = st.tuples(
    st.sampled_from(["GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"]),
    st.sampled_from(["/", "/Users", "/Users/id1", "/Users/id2", "/Groups", "/Groups/id3", "/Bulk", "/.search", "/Me", "/Schemas", "/%ff/%00"]),
    st.sampled_from(
        ["", "count=1", "startIndex=2&sortBy=emails", "sortBy=meta.created", "attributes=emails.value,name",
         "excludedAttributes=name.familyName", 'filter=emails[type eq "work"] or not (active eq true)', "filter=(", "%=%"]
    ),
    SHAPED | st.none() | st.binary(max_size=20),
)  # fmt: skip


@settings(max_examples=150, deadline=None)
@given(calls=st.lists(CALLS, min_size=1, max_size=6))
def test_whatever_is_sent_gets_an_answer_and_leaves_sound_resources(calls: list[tuple[str, str, str, Any]]) -> None:
    api = Api()
    api.user = api.add_user("first")
    api.add_user("second", emails=[{"value": "s@x", "type": "work"}], name={"familyName": "S"}, password="p")
    api.add_group("third", "id1")
    for method, path, query, body in calls:
        answer = api(method, f"{path}?{query}", body)
        assert json.loads(answer.content() or b"{}") == (answer.body or {})
        assert (answer.status >= 400) == (answer.body is not None and answer.body.get("schemas") == [ERROR])
        assert "'password':" not in str(answer.body)
    names = [record.resource["userName"].casefold() for record in api.directory.records("User")]
    assert len(set(names)) == len(names)
    alive = {record.id for record in api.directory.records()}
    for group in api.directory.records("Group"):
        assert {member["value"] for member in group.resource.get("members", [])} <= alive
    for one in api.json("GET", "/")["Resources"]:
        assert one["schemas"] and one["id"] in alive and one["meta"]["location"]


# -- what servers of a dialect do otherwise (inferring.py finds it in recordings) ---------------------------------


def test_a_dialect_of_statuses_and_places() -> None:
    api = Api(locations="path", location_header=False, delete_status=200, method_status=404, etags=False)
    made = api("POST", "/Users", {"schemas": [USER], "userName": "a"})
    assert made.body is not None
    assert (made.headers.get("Location"), made.body["meta"]["location"]) == (None, "/scim/v2/Users/id1")
    assert api("DELETE", "/Users/id1").status == 200
    assert [api("POST", path, {}).status for path in ("/Schemas", "/Users/x")] == [404, 404]


def test_a_dialect_of_errors() -> None:
    api = Api(error_without=frozenset({"schemas", "status"}), texts={"filter": "no ({problem})"})
    answer = api("GET", "/Users?filter=userName+eq")
    assert answer.body is not None
    assert set(answer.body) == {"scimType", "detail"} and answer.body["detail"].startswith("no (")


@pytest.mark.parametrize(("what", "names"), [("ignore", ["a"]), ("nothing", [])])
def test_a_dialect_of_bad_filters(what: str, names: list[str]) -> None:
    api = Api(bad_filters=what)
    api.add_user("a")
    assert api.names("/Users?filter=userName+eq") == names


def test_a_dialect_of_pages_and_projections() -> None:
    api = Api(items_per_page="asked", page_size=20, projected_schemas=False)
    api.add_user("a")
    assert api.json("GET", "/Users")["itemsPerPage"] == 20
    assert api.json("GET", "/Users/id1?attributes=userName").keys() == {"id", "userName"}
    assert api.json("GET", "/Users?attributes=schemas")["Resources"][0].keys() == {"schemas", "id"}
    assert "schemas" in api.json("GET", "/Users/id1")


def test_a_dialect_of_members() -> None:
    api = Api(member_attributes=frozenset({"value"}), forget_members=False, dangling_members="keep")
    user = api.add_user("a")
    group = api.add_group("g", user)
    assert api.json("GET", f"/Groups/{group}")["members"] == [{"value": user}]
    api("DELETE", f"/Users/{user}")
    assert api.json("GET", f"/Groups/{group}")["members"] == [{"value": user}]
