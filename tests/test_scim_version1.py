"""SCIM 1.1 over a real directory of 2.0: what is asked, what is answered, and what is not there."""

from __future__ import annotations

import json
from itertools import count
from typing import Any

import pytest

from scimproxy.exchange import Headers
from scimproxy.scim.dialect import DEFAULT_DIALECT, Answer, Call, Dialect, Refusal
from scimproxy.scim.directory import Directory
from scimproxy.scim.version1 import CORE, ENTERPRISE, answer

BASE = "https://scim.example/scim/v1"
ADA = {
    "schemas": [CORE],
    "userName": "ada",
    "password": "t1meMa$heen",
    "name": {"givenName": "Ada", "familyName": "Lovelace"},
    "emails": [{"value": "ada@example.com", "type": "work", "primary": True}],
    "addresses": [{"type": "work", "country": "GB"}, {"type": "home", "country": "FR"}],
    "active": True,
}


class Server:
    """A directory with 1.1 before it; what it was asked in 2.0 is kept."""

    def __init__(self, dialect: Dialect = DEFAULT_DIALECT) -> None:
        ids, ticks = count(1), count(1_700_000_000)
        self.directory = Directory(
            clock=lambda: float(next(ticks)), new_id=lambda: f"id-{next(ids)}", dialect=dialect
        )
        self.asked: list[Call] = []

    def __call__(self, method: str, path: str, body: Any = None, query: str = "", **headers: str) -> Answer:
        content = body if isinstance(body, bytes) else b"" if body is None else json.dumps(body).encode()
        fields = Headers([(name.replace("_", "-"), value) for name, value in headers.items()])
        return answer(Call(method, path, query, fields, content, BASE), self.serve)

    def serve(self, call: Call) -> Answer:
        self.asked.append(call)
        return self.directory.handle(call)

    def created(self, **members: Any) -> str:
        made = self("POST", "/Users", {**ADA, **members})
        assert made.status == 201, made.body
        return f"/Users/{body(made)['id']}"


@pytest.fixture
def server() -> Server:
    return Server()


def body(got: Answer) -> Any:
    assert got.body is not None
    return got.body


def error(got: Answer) -> tuple[int, str]:
    """Status and sentence of an error in the form of 1.1."""
    (only,) = body(got)["Errors"]
    assert set(body(got)) == {"Errors", "detail"}
    assert only["code"] == str(got.status)
    assert only["description"] == body(got)["detail"]
    assert got.headers.get("Content-Type") == "application/json"
    return got.status, only["description"]


def test_a_user_lives_in_1_1(server: Server) -> None:
    made = server("POST", "/Users", ADA)
    user = body(made)
    assert (made.status, user["schemas"], user["userName"]) == (201, [CORE], "ada")
    assert made.headers.get("Location") == f"{BASE}/Users/id-1" == user["meta"]["location"]
    assert made.headers.get("Content-Type") == "application/json"
    assert set(user["meta"]) == {"created", "lastModified", "location", "version"}
    assert "password" not in user
    assert body(server("GET", "/Users/id-1")) == user
    changed = server("PUT", "/users/id-1", {**ADA, "displayName": "Ada L."})
    assert (changed.status, body(changed)["displayName"]) == (200, "Ada L.")
    gone = server("DELETE", "/Users/id-1")
    assert (gone.status, gone.body) == (200, None)
    assert error(server("DELETE", "/Users/id-1"))[0] == 404
    assert error(server("GET", "/Users/id-1")) == (404, "Resource id-1 not found")


def test_a_list_names_the_one_schema(server: Server) -> None:
    server.created()
    listed = body(server("GET", "/Users", query="startIndex=1&count=5"))
    assert listed["schemas"] == [CORE]
    assert (listed["totalResults"], listed["startIndex"], listed["itemsPerPage"]) == (1, 1, 1)
    assert listed["Resources"][0]["schemas"] == [CORE]
    assert "resourceType" not in listed["Resources"][0]["meta"]
    assert body(server("GET", "/Groups"))["Resources"] == []


def test_a_list_without_resources_has_an_empty_one() -> None:
    assert body(Server(Dialect(empty_resources="null"))("GET", "/Users"))["Resources"] == []


def test_the_extension_and_its_manager_have_the_names_of_1_1(server: Server) -> None:
    extension = {"department": "Engines", "Manager": {"managerId": "id-9", "displayName": "Charles"}}
    path = server.created(schemas=[CORE.upper(), ENTERPRISE], **{ENTERPRISE: extension})
    user = body(server("GET", path))
    assert user["schemas"] == [CORE, ENTERPRISE]
    assert user[ENTERPRISE]["department"] == "Engines"
    assert user[ENTERPRISE]["manager"]["managerId"] == "id-9"
    for wanted in (f'{ENTERPRISE}:department eq "Engines"', f'{ENTERPRISE}.manager.managerId eq "id-9"'):
        assert body(server("GET", "/Users", query=f"filter={wanted}"))["totalResults"] == 1, wanted
    shown = body(server("GET", path, query=f"attributes={ENTERPRISE}:department"))
    assert shown[ENTERPRISE] == {"department": "Engines"}
    changed = body(server("PATCH", path, {"meta": {"attributes": [f"{ENTERPRISE}:department"]}}))
    assert "department" not in changed[ENTERPRISE]
    assert body(server("PATCH", path, {"meta": {"attributes": [ENTERPRISE]}}))["schemas"] == [CORE]


def test_an_extension_that_is_no_object_is_refused_behind(server: Server) -> None:
    status, words = error(server("POST", "/Users", {**ADA, ENTERPRISE: 7}))
    assert status == 400
    assert ENTERPRISE in words
    assert "2.0" not in words


def test_names_are_translated_and_values_are_not(server: Server) -> None:
    server.created(title=f"{CORE}:userName")
    query = f'filter={CORE}:title eq "{CORE}:userName"&sortBy={CORE}:userName&excludedAttributes=id,title'
    found = body(server("GET", "/Users", query=query))
    assert found["totalResults"] == 1
    assert found["Resources"][0]["title"], "excludedAttributes is of 2.0"


def test_patch_is_a_part_of_the_resource(server: Server) -> None:
    path = server.created(nickName="Countess", title="Ms")
    part = {
        "schemas": [CORE],
        "meta": {"attributes": ["nickName", "name.givenName"]},
        "active": False,
        "name": {"middleName": "King"},
        "emails": [{"value": "a@home.example", "type": "home", "operation": "add"}],
    }
    user = body(server("PATCH", path, part))
    assert "nickName" not in user
    assert user["name"] == {"familyName": "Lovelace", "middleName": "King"}
    assert (user["active"], user["title"]) == (False, "Ms")
    assert [one["value"] for one in user["emails"]] == ["ada@example.com", "a@home.example"]
    part = {"emails": [{"value": "ada@example.com", "operation": "Delete"}, {"value": "new@example.com"}]}
    user = body(server("PATCH", path, part))
    assert [one["value"] for one in user["emails"]] == ["a@home.example", "new@example.com"]
    user = body(server("PATCH", path, {"addresses": [{"type": "home", "country": "FR", "operation": "delete"}]}))
    assert [one["type"] for one in user["addresses"]] == ["work"]
    user = body(server("PATCH", path, {"meta": {"attributes": ["emails"]}, "emails": [{"value": "one@example.com"}]}))
    assert [one["value"] for one in user["emails"]] == ["one@example.com"], "removed first, then added"
    assert body(server("PATCH", path, {})) == user, "nothing is asked, nothing changes"
    assert body(server("PATCH", path, {"meta": "x"})) == user


def test_members_come_and_go(server: Server) -> None:
    ada, bob = server.created(), server.created(userName="bob")
    ids = [path.rpartition("/")[2] for path in (ada, bob)]
    made = body(server("POST", "/Groups", {"schemas": [CORE], "displayName": "G", "members": [{"value": ids[0]}]}))
    assert made["members"] == [{"value": ids[0], "type": "User", "display": "ada"}]
    path = f"/Groups/{made['id']}"
    part = {"members": [{"value": ids[1]}, {"value": ids[0], "operation": "delete"}]}
    assert [one["value"] for one in body(server("PATCH", path, part))["members"]] == [ids[1]]
    (group,) = body(server("GET", bob))["groups"]
    assert (group["display"], "$ref" in group) == ("G", False)
    assert "members" not in body(server("PATCH", path, {"meta": {"attributes": ["members"]}}))


def test_patch_may_be_sent_as_post(server: Server) -> None:
    path = server.created()
    got = server("POST", path, {"active": False}, X_HTTP_Method_Override="patch")
    assert (got.status, body(got)["active"]) == (200, False)
    assert error(server("POST", path, {"active": False}))[0] == 405


def test_an_answer_without_a_body_stays_one() -> None:
    server = Server(Dialect(patch_answer="empty"))
    got = server("PATCH", server.created(), {"active": False})
    assert (got.status, got.body) == (204, None)
    etag = body(server("GET", "/Users/id-1"))["meta"]["version"]
    assert server("GET", "/Users/id-1", If_None_Match=etag).status == 304


@pytest.mark.parametrize(
    ("method", "path", "sent", "status", "words"),
    [
        ("POST", "/Users", {**ADA, "schemas": ["urn:ietf:params:scim:schemas:core:2.0:User"]}, 400, "is of SCIM 2.0"),
        ("POST", "/Users", {**ADA, "urn:ietf:params:scim:schemas:x": {}}, 400, "is of SCIM 2.0"),
        ("POST", "/Users", {**ADA, "schemas": [7]}, 400, "array of strings"),
        ("POST", "/Users", {**ADA, "schemas": CORE}, 400, "array of strings"),
        ("POST", "/Users", {**ADA, "schemas": ["urn:x"]}, 400, f"schemas must name {CORE}"),
        ("POST", "/Users", b"{", 400, "not valid JSON"),
        ("POST", "/Users", {**ADA, "userName": "taken"}, 409, "already in use"),
        ("PATCH", "/Users/id-1", {"Operations": []}, 400, "Operations are of SCIM 2.0"),
        ("PATCH", "/Users/id-1", {"meta": {"attributes": "title"}}, 400, "array of names"),
        ("PATCH", "/Users/id-1", {"meta": {"attributes": [1]}}, 400, "array of names"),
        ("PATCH", "/Users/id-1", {"emails": [{"operation": "delete"}]}, 400, "emails: an element to delete"),
        ("PATCH", "/Users/id-1", {"emails": ["x"]}, 400, "are objects"),
        ("PATCH", "/Users/id-1", {"meta": {"attributes": ["no such"]}}, 400, "wrong"),
        ("GET", "/Users?x", None, 404, "There is no endpoint"),
        ("GET", "", None, 404, "There is no endpoint"),
        ("GET", "/Me", None, 404, "There is no endpoint"),
        ("POST", "/Users/.search", {}, 404, "There is no endpoint"),
        ("GET", "/Users/id-1/x", None, 404, "There is no endpoint"),
        ("GET", "/Schemas/x", None, 404, "There is no endpoint"),
        ("POST", "/Bulk", {}, 501, "Bulk"),
        ("POST", "/ServiceProviderConfigs", b"test", 405, "not allowed"),
        ("POST", "/Schemas", b"", 405, "not allowed"),
    ],
)
def test_what_is_refused(server: Server, method: str, path: str, sent: Any, status: int, words: str) -> None:
    server.created(userName="taken")
    got = error(server(method, path, sent))
    assert got[0] == status
    assert words in got[1]


def test_a_query_of_too_many_parameters_is_refused(server: Server) -> None:
    assert error(server("GET", "/Users", query="&".join(["a=1"] * 200)))[0] == 400


def test_a_filter_that_does_not_parse_is_400(server: Server) -> None:
    assert error(server("GET", "/Users", query="filter=ADA@EXAMPLE.COM"))[0] == 400


def test_an_error_without_a_sentence_gets_one() -> None:
    got = answer(Call("GET", "/Users"), lambda _: Answer(500))
    assert error(got) == (500, "The status is 500")
    got = answer(Call("GET", "/Schemas"), lambda _: Answer(401, body={"detail": "no token"}))
    assert error(got) == (401, "no token")


def test_a_refusal_of_the_server_behind_is_an_error() -> None:
    def refuse(_: Call) -> Answer:
        raise Refusal(413, "too large")

    assert error(answer(Call("GET", "/Users"), refuse)) == (413, "too large")


def test_a_damaged_resource_passes() -> None:
    damaged: dict[str, Any] = {"schemas": None, "members": None, "meta": 7, "groups": []}
    got = answer(Call("GET", "/Users/1"), lambda _: Answer(200, body=dict(damaged)))
    assert body(got) == {**damaged, "schemas": [CORE]}


def test_what_the_server_can_do(server: Server) -> None:
    config = body(server("GET", "/ServiceProviderConfigs"))
    assert config["schemas"] == [CORE]
    assert "meta" not in config
    assert config["bulk"] == {"supported": False, "maxOperations": 0, "maxPayloadSize": 0}
    assert config["patch"] == {"supported": True}
    assert config["authenticationSchemes"][0]["type"] == "oauthbearertoken"


def test_the_resource_types(server: Server) -> None:
    listed = body(server("GET", "/ResourceTypes"))
    assert listed["schemas"] == [CORE]
    users, groups = listed["Resources"]
    assert (users["name"], users["endpoint"], users["schema"]) == ("User", "/Users", CORE)
    assert users["schemaExtensions"] == [{"schema": ENTERPRISE, "required": False}]
    assert "schemaExtensions" not in groups


def test_the_schemas_are_worded_as_in_1_1(server: Server) -> None:
    listed = body(server("GET", "/Schemas"))
    assert (listed["schemas"], listed["totalResults"]) == ([CORE, f"{CORE}:ListResponse"], 2)
    user, group = listed["Resources"]
    assert (user["id"], user["endpoint"], user["schema"]) == (f"{CORE}:User", "/Users", CORE)
    found = {one["name"]: one for one in user["attributes"]}
    assert (found["id"]["readOnly"], found["userName"]["required"], found["emails"]["multiValued"]) == (True,) * 3
    assert found["profileUrl"]["type"] == "string"
    assert "subAttributes" not in found["userName"]
    assert (found["department"]["schema"], found["userName"]["schema"]) == (ENTERPRISE, CORE)
    assert [one["name"] for one in found["manager"]["subAttributes"]] == ["managerId", "$ref", "displayName"]
    kinds = next(one for one in found["emails"]["subAttributes"] if one["name"] == "type")
    assert kinds["canonicalValues"] == ["work", "home", "other"]
    members = next(one for one in group["attributes"] if one["name"] == "members")
    assert "$ref" not in [one["name"] for one in members["subAttributes"]]
    assert "urn:ietf" not in json.dumps(listed)
