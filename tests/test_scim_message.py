from __future__ import annotations

import gzip
import json
from typing import Any

import pytest
from factories import exchange, request, response
from hypothesis import given, settings
from hypothesis import strategies as st

from scimproxy.exchange import Content, Exchange, Headers, Request, Response
from scimproxy.scim import KINDS
from scimproxy.scim.message import Operation, operation_of

USER = "urn:ietf:params:scim:schemas:core:2.0:User"
LIST = "urn:ietf:params:scim:api:messages:2.0:ListResponse"
PATCH = "urn:ietf:params:scim:api:messages:2.0:PatchOp"
ERROR = "urn:ietf:params:scim:api:messages:2.0:Error"
V1 = "urn:scim:schemas:core:1.0"


def of(method: str, target: str, body: object = b"", answer: object = b"", **fields: Any) -> Operation:
    base_path = fields.pop("base_path", None)
    return operation_of(exchange(method, target, body=body, answer=answer, **fields), base_path=base_path)


def bare(method: str, target: str, headers: dict[str, str] | None = None, body: bytes = b"") -> Exchange:
    made = Request(method, target, headers=Headers((headers or {}).items()), content=Content.of(body))
    return Exchange(request=made, started_at=0.0)


@pytest.mark.parametrize(
    ("method", "target", "body", "answer", "kind", "summary"),
    [
        ("POST", "/scim/v2/Users", {"userName": "bjensen"}, {"id": "7"}, "create", "Create User bjensen"),
        ("POST", "/scim/v2/Groups", {"displayName": "Admins"}, b"", "create", "Create Group Admins"),
        ("POST", "/scim/v2/Users", b"{broken", b"", "create", "Create User"),
        ("GET", "/Users/7", b"", {"id": "7", "userName": "bjensen"}, "read", "Read User bjensen"),
        ("GET", "/a/b/c/Users/7", b"", {"schemas": [ERROR], "status": "404"}, "read", "Read User 7"),
        ("PUT", "/Users/7", {"UserName": "bjensen"}, b"", "replace", "Replace User bjensen"),
        ("DELETE", "/Groups/9", b"", b"", "delete", "Delete Group 9"),
        ("GET", "/Users", b"", {"totalResults": 0}, "list", "List Users"),
        (
            "GET",
            "/Users?filter=userName%20eq%20%22x%22&startIndex=1&count=100",
            b"",
            b"",
            "list",
            'List Users where userName eq "x" (from 1, 100 per page)',
        ),
        (
            "GET",
            "/Users?filter=userName+eq+%22x%22&count=2&startIndex=5",
            b"",
            b"",
            "list",
            'List Users where userName eq "x" (from 5, 2 per page)',
        ),
        ("GET", "/Users?startIndex=4&count=2", b"", b"", "list", "List Users (from 4, 2 per page)"),
        ("GET", "/Users?startIndex=-3&count=2", b"", b"", "list", "List Users (from -3, 2 per page)"),
        ("GET", "/Users?startIndex=5", b"", b"", "list", "List Users (from 5)"),
        ("GET", "/Users?startIndex=1", b"", b"", "list", "List Users"),
        ("GET", "/Users?count=0", b"", b"", "list", "List Users (count 0)"),
        ("GET", "/Users?count=1e9&count=5", b"", b"", "list", "List Users"),
        ("GET", "/Users?filter=FOO", b"", b"", "list", "List Users where FOO"),
        (
            "POST",
            "/scim/.search",
            {"filter": 'a eq "b"', "count": 5},
            b"",
            "search",
            'Search everything where a eq "b" (from 1, 5 per page)',
        ),
        ("POST", "/Users/.search", {"count": True}, b"", "search", "Search Users"),
        ("GET", "/Users/.search", b"", b"", "other", "GET /Users"),
        (
            "PATCH",
            "/Groups/9",
            {"schemas": [PATCH], "Operations": [{"op": "add", "path": "members", "value": [1, 2]}]},
            {"displayName": "Admins"},
            "patch",
            "Patch Group Admins: add 2 members",
        ),
        (
            "PATCH",
            "/Users/7",
            {"Operations": [{"op": "replace", "value": {"active": False}}]},
            {"userName": "bjensen"},
            "patch",
            "Patch User bjensen: replace active = false",
        ),
        (
            "PATCH",
            "/Groups/9",
            {"Operations": [{"op": "replace", "value": {"id": "9", "displayName": "Ops"}}]},
            b"",
            "patch",
            "Patch Group Ops: replace displayName = Ops",
        ),
        (
            "PATCH",
            "/Groups/9",
            {"Operations": [{"op": "replace", "path": "x", "value": {}}]},
            b"",
            "patch",
            "Patch Group 9: replace x (0 parts)",
        ),
        ("PATCH", "/Users/7", b"", b"", "patch", "Patch User 7"),
        ("POST", "/Bulk", {"Operations": [1, 2]}, b"", "bulk", "Bulk: 2 operations"),
        ("POST", "/Bulk", {"Operations": [1]}, b"", "bulk", "Bulk: 1 operation"),
        ("POST", "/Bulk", b"", b"", "bulk", "Bulk"),
        ("GET", "/Bulk", b"", b"", "other", "GET /Bulk"),
        ("GET", "/Me", b"", {"userName": "me"}, "me", "Read Me (me)"),
        ("PATCH", "/v2/Me", {"Operations": [{"op": "remove", "path": "title"}]}, b"", "me", "Patch Me: remove title"),
        ("OPTIONS", "/Me", b"", b"", "me", "OPTIONS Me"),
        ("GET", "/ServiceProviderConfig", b"", b"", "discovery", "Read ServiceProviderConfig"),
        ("GET", "/Schemas", b"", b"", "discovery", "List Schemas"),
        ("GET", f"/Schemas/{USER}", b"", b"", "discovery", f"Read Schema {USER}"),
        ("GET", "/ResourceTypes/User", b"", {"name": "User"}, "discovery", "Read ResourceType User"),
        ("POST", "/ResourceTypes", b"", b"", "other", "POST /ResourceTypes"),
        ("GET", "/Entitlements?count=1", b"", b"", "list", "List Entitlements (from 1, 1 per page)"),
        ("GET", "/Roles", b"", b"", "list", "List Roles"),
        ("HEAD", "/Users/7", b"", b"", "other", "HEAD /Users/7"),
        ("PUT", "/Users", b"", b"", "other", "PUT /Users"),
        ("POST", "/Users/7", b"", b"", "other", "POST /Users/7"),
        ("GET", "http://host.example/scim/Users/7", b"", b"", "read", "Read User 7"),
        ("GET", "/Users/Me", b"", b"", "read", "Read User Me"),
        ("GET", "/Users/a%2Fb%0A", b"", b"", "read", "Read User a/b\ufffd"),
    ],
)
def test_operations(method: str, target: str, body: object, answer: object, kind: str, summary: str) -> None:
    found = of(method, target, body, answer)
    assert (found.kind, found.summary, found.is_scim) == (kind, summary, True)
    assert found.kind in KINDS


@pytest.mark.parametrize(
    "target", ["/favicon.ico", "/", "/robots.txt?access_token=s", "/api/v1/users/1", "/Users/1/2/3", "*"]
)
def test_the_rest_is_not_scim(target: str) -> None:
    found = operation_of(bare("GET", target))
    assert not found.is_scim and found.kind == "other"
    assert found.summary == f"GET {target.partition('?')[0]}"


def test_the_parts_of_a_list() -> None:
    found = of(
        "GET",
        '/scim/v2/Users?filter=userName eq "b"&startIndex=%201&count=10&sortBy=userName&sortOrder=descending'
        "&attributes=userName,%20name.familyName,&excludedAttributes=emails",
        answer={"schemas": [LIST], "totalResults": 3, "Resources": []},
    )
    assert (found.base_path, found.endpoint, found.resource_type, found.resource_id) == (
        "/scim/v2",
        "/Users",
        "User",
        None,
    )
    assert (found.start_index, found.count, found.sort_by, found.sort_order) == (1, 10, "userName", "descending")
    assert found.attributes == ("userName", "name.familyName") and found.excluded_attributes == ("emails",)
    assert (found.total_results, found.filter_problem, found.version) == (3, None, "2.0")


def test_the_parts_of_a_search() -> None:
    found = of("POST", "/.search?count=9", {"attributes": ["a", 1, "b"], "count": 4, "sortBy": 5, "filter": 7})
    assert (found.attributes, found.count, found.sort_by, found.filter) == (("a", "b"), 4, None, None)


def test_a_filter_that_does_not_parse_is_kept_with_its_problem() -> None:
    found = of("GET", "/Users?filter=userName%20eq")
    assert found.filter == "userName eq" and found.filter_problem


@pytest.mark.parametrize(
    ("target", "body", "answer", "version"),
    [
        ("/Users", {"schemas": [USER]}, b"", "2.0"),
        ("/scim/v2/Users", {"schemas": [V1]}, b"", "1.1"),
        ("/Users", b"", {"schemas": [V1]}, "1.1"),
        ("/Users", b"", {"Errors": [{"description": "no", "code": "404"}]}, "1.1"),
        ("/x/ServiceProviderConfigs", b"", b"", "1.1"),
        ("/x/ServiceProviderConfig", b"", b"", "2.0"),
        ("/v1/Users", b"", b"", "1.1"),
        ("/v2/Users", b"", b"", "2.0"),
        ("/Users", b"", b"", None),
        ("/Users", b"", {"schemas": "x"}, "2.0"),  # by its media type
    ],
)
def test_versions(target: str, body: object, answer: object, version: str | None) -> None:
    headers = {"Content-Type": "application/scim+json" if answer == {"schemas": "x"} else "application/json"}
    made = exchange(request=request("POST", target, body=body, headers=headers), answer=answer)
    response = made.response
    assert response is not None
    plain = Response(200, headers=Headers([("Content-Type", "application/json")]), content=response.content)
    assert operation_of(Exchange(request=made.request, response=plain, started_at=0.0)).version == version


def test_a_1_1_patch_by_header_of_a_post() -> None:
    made = bare(
        "POST", "/v1/Users/7", {"X-HTTP-Method-Override": "patch"}, b'{"schemas":["%s"],"active":false}' % V1.encode()
    )
    found = operation_of(made)
    assert (found.kind, found.version, found.summary) == ("patch", "1.1", "Patch User 7: replace active = false")


def test_errors_of_both_versions() -> None:
    found = of(
        "POST", "/Users", answer={"schemas": [ERROR], "status": "409", "scimType": "uniqueness", "detail": "taken\n"}
    )
    assert (found.scim_type, found.detail) == ("uniqueness", "taken\ufffd")
    found = of("POST", "/Users", answer={"Errors": [{"description": "taken", "code": "409"}]})
    assert (found.scim_type, found.detail) == (None, "taken")
    assert of("POST", "/Users", answer={"detail": "no error body"}).detail is None
    assert of("POST", "/Users", answer={"schemas": [ERROR], "detail": 5}).detail is None
    assert of("POST", "/Users", answer={"Errors": []}).detail is None


def test_the_id_of_what_was_created() -> None:
    assert of("POST", "/Users", {"userName": "b"}, {"id": "77"}).resource_id == "77"
    assert of("POST", "/Users", {"userName": "b"}, {"id": 77}).resource_id is None


@pytest.mark.parametrize(
    ("method", "target", "body", "answer", "summary"),
    [
        (
            "GET",
            "/x/Devices/7",
            b"",
            {"schemas": ["urn:ietf:params:scim:schemas:core:2.0:Device"], "id": "7", "displayName": "Lamp"},
            "Read Device Lamp",
        ),
        ("GET", "/x/Devices", b"", {"schemas": [LIST], "totalResults": 1}, "List Devices"),
        (
            "POST",
            "/x/Devices",
            {"schemas": ["urn:example:Device"]},
            {"id": "7", "meta": {"resourceType": "Lamp"}},
            "Create Lamp 7",
        ),
        ("PATCH", "/x/Devices/7", {"schemas": [PATCH], "Operations": []}, b"", "Patch Device 7"),
        ("GET", "/x/nothing", b"", {"schemas": [ERROR]}, "GET /x/nothing"),
        ("GET", "/", b"", {"schemas": [ERROR]}, "GET /"),
    ],
)
def test_resource_types_that_only_the_server_knows(
    method: str, target: str, body: object, answer: object, summary: str
) -> None:
    found = of(method, target, body, answer)
    assert found.is_scim and found.summary == summary


def test_a_known_base_path_settles_what_the_path_leaves_open() -> None:
    gone = {"schemas": [ERROR]}
    assert of("DELETE", "/x/Devices/7", answer=gone, base_path="/x").summary == "Delete Device 7"
    assert of("DELETE", "/x/a/b/c", answer=gone, base_path="/x").summary == "DELETE /x/a/b/c"
    assert of("GET", "/Users/Groups", base_path="/Users").summary == "List Groups"
    assert of("GET", "/Users/Groups").summary == "Read User Groups"
    assert of("GET", "/Users/1", base_path="/elsewhere").summary == "Read User 1"


def test_coded_bodies_are_read() -> None:
    made = bare("POST", "/Users", {"Content-Encoding": "gzip"}, gzip.compress(b'{"userName": "zed"}'))
    assert operation_of(made).summary == "Create User zed"
    made = bare("POST", "/Users", {}, '\ufeff{"userName": "zed"}'.encode("utf-16-le"))
    assert operation_of(made).summary == "Create User zed"


@pytest.mark.parametrize(
    "body", [b"[" * 100_000, b'{"a":' * 100_000, b"[1]", b"nonsense", b'{"userName": 1' + b"0" * 5000 + b"}"]
)
def test_bodies_that_tell_nothing(body: bytes) -> None:
    assert operation_of(bare("POST", "/Users", {}, body)).summary == "Create User"


def test_summaries_are_short_lines() -> None:
    long = of("POST", "/Users", {"userName": "x" * 5000})
    assert len(long.summary) <= 200
    assert len(operation_of(bare("GET", "/" + "x" * 9000)).summary) <= 200
    assert len(of("GET", "/Users?filter=" + "a%20pr%20and%20" * 90 + "a%20pr").summary) <= 200


def test_no_secret_in_any_field() -> None:
    made = of("GET", '/Users?filter=password eq "hunter22"&access_token=hunter22', answer={"password": "hunter22"})
    assert "hunter22" not in repr(made)
    made = of("PATCH", "/Users/1", {"Operations": [{"op": "add", "path": "password", "value": "hunter22"}]})
    assert "hunter22" not in repr(made)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(
            st.sampled_from(
                [
                    "schemas",
                    "Operations",
                    "op",
                    "path",
                    "value",
                    "meta",
                    "members",
                    "id",
                    "Errors",
                    "userName",
                    "filter",
                    "count",
                    "resourceType",
                    "totalResults",
                ]
            )
            | st.text(max_size=5),
            inner,
            max_size=5,
        )
    ),
    max_leaves=20,
)
PATHS = st.sampled_from(
    ["/Users", "/Users/1", "/Me", "/Bulk", "/.search", "/Groups/1", "/Schemas", "/x/y", "", "/Users/.search"]
)


@given(
    st.sampled_from(["GET", "POST", "PUT", "PATCH", "DELETE", "BREW"]),
    PATHS,
    st.text(max_size=30),
    st.binary(max_size=40) | JSON.map(lambda value: json.dumps(value).encode()),
    JSON.map(lambda value: json.dumps(value).encode()),
    st.sampled_from([None, "", "/", "/Users", "x"]),
)
@settings(max_examples=300)
def test_never_raises(method: str, path: str, query: str, sent: bytes, got: bytes, base_path: str | None) -> None:
    made = Request(method, f"{path}?{query}", content=Content.of(sent))
    answer = Response(200, content=Content.of(got))
    found = operation_of(Exchange(request=made, response=answer, started_at=0.0), base_path=base_path)
    assert found.summary and "\n" not in found.summary


def test_what_scimproxy_answers_itself_makes_no_request_scim() -> None:
    error = {"schemas": ["urn:ietf:params:scim:api:messages:2.0:Error"], "detail": "nothing here", "status": "404"}
    answer = response(404, headers={"Content-Type": "application/scim+json"}, body=error)
    own = operation_of(exchange(target="/favicon.ico", response=answer, origin="proxy"))
    assert (own.is_scim, own.version, own.kind, own.detail) == (False, None, "other", "nothing here")
    assert operation_of(exchange(target="/favicon.ico", response=answer)).is_scim
    made = {
        "schemas": ["urn:ietf:params:scim:schemas:core:2.0:User"],
        "id": "7",
        "userName": "ada",
        "totalResults": 1,
    }
    read = operation_of(exchange(target="/scim/Users/5", answer=made, origin="proxy"))
    assert (read.is_scim, read.summary, read.total_results) == (True, "Read User 5", None)
