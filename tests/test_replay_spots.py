from __future__ import annotations

from typing import Any
from urllib.parse import quote

import factories
from hypothesis import given
from hypothesis import strategies as st

from scimproxy.bodies import Seen, seen
from scimproxy.replay.spots import (
    Spot,
    answered,
    asked,
    body_spots,
    endpoint_and_id,
    filter_literals,
    kind_of,
    path_literals,
    quoted,
)


def found(spots: Any) -> set[tuple[str, str, str]]:
    return {(one.role, one.kind, one.value) for one in spots}


def sent(method: str, target: str, body: object = b"", **more: Any) -> Seen:
    return seen(factories.exchange(method, f"/scim/v2{target}", body=body, **more))


def test_paths() -> None:
    assert endpoint_and_id("/scim/v2/Users/a%2Fb") == ("Users", "a/b")
    assert endpoint_and_id("/v2/Groups") == ("Groups", "")
    assert endpoint_and_id("/Users/.search") == ("Users", "")
    assert endpoint_and_id("/Schemas/urn") == ("", "")
    assert endpoint_and_id("/Schemas/urn", "Schemas") == ("Schemas", "")
    assert endpoint_and_id("/Devices/7") == ("", "")
    assert endpoint_and_id("/Devices/7", "Devices") == ("Devices", "7")


def test_what_a_request_names() -> None:
    patch = {
        "Operations": [
            {"op": "remove", "path": 'members[value eq "7"]'},
            {"op": "add", "path": "members", "value": [{"value": "8"}, {"value": "9", "type": "Group"}]},
            {
                "op": "replace",
                "path": "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User:manager",
                "value": "3",
            },
            {"op": "replace", "path": 'emails[type eq "work"].value', "value": "a@x"},
            {"op": "replace", "value": {"displayName": "Ann", "id": "5", "title": "Boss", "count": 1}},
        ]
    }
    one = sent("PATCH", "/Groups/5", patch)
    assert kind_of(one) == "Group"
    assert found(asked(one)) >= {
        ("id", "Group", "5"),
        ("member", "User", "7"),
        ("member", "User", "8"),
        ("member", "Group", "9"),
        ("member", "User", "3"),
        ("name", "Group", "a@x"),
        ("name", "Group", "Ann"),
    }
    assert not [spot for spot in asked(one) if spot.value in {"Boss", "work", "replace"} and spot.role != "text"]
    query = f"/Users?count=1&filter={quote('id eq "4" and (externalId eq "e" or emails.value eq "b@x")')}"
    assert found(asked(sent("GET", query))) == {
        ("id", "User", "4"),
        ("externalId", "User", "e"),
        ("name", "User", "b@x"),
    }
    search = {"schemas": ["urn:ietf:params:scim:api:messages:2.0:SearchRequest"], "filter": 'userName eq "u"'}
    assert ("name", "User", "u") in found(asked(sent("POST", "/Users/.search", search)))


def test_references_tell_their_type() -> None:
    body = {
        "id": "1",
        "meta": {"resourceType": "Role", "version": 'W/"1"', "location": "http://scim.example/scim/v2/Users/1"},
        "groups": [{"value": "2", "$ref": "../Groups/2"}],
        "manager": {"value": "3", "$ref": "http://x/Users/3"},
        "members": ["4", {"value": "5", "$ref": "https://x/v2/Groups/5"}, {"value": "6", "$ref": 7}],
        "password": "p",
    }
    spots = list(body_spots(body, "User", "0"))
    assert found(spots) >= {
        ("id", "User", "1"),
        ("member", "Group", "2"),
        ("member", "User", "3"),
        ("member", "User", "4"),
        ("member", "Group", "5"),
        ("member", "User", "6"),
        ("secret", "User", "p"),
    }
    assert [one.of for one in spots if one.role == "version"] == [("User", "1")]
    assert found(body_spots({"id": "1", "meta": {"resourceType": "Role"}}, "")) == {("id", "Role", "1")}


def test_bulk() -> None:
    body = {
        "Operations": [
            {"method": "POST", "path": "/Users", "bulkId": "b", "data": {"userName": "u", "id": "9"}},
            {"method": "PATCH", "path": "/Groups/5", "version": 'W/"2"', "data": {"Operations": []}},
            {"method": "PUT", "path": "/Devices/4", "data": {"id": "4", "manager": {"value": "bulkId:b"}}},
            {"method": "DELETE", "path": "/Users/bulkId:b"},
            {"method": "GET"},
        ]
    }
    one = sent("POST", "/Bulk", body)
    assert found(asked(one)) >= {
        ("name", "User", "u"),
        ("id", "Group", "5"),
        ("id", "Device", "4"),
        ("bulkId", "User", "b"),
    }
    assert [spot.of for spot in asked(one) if spot.role == "version"] == [("Group", "5")]
    assert not [spot for spot in asked(one) if spot.role == "id" and spot.value.startswith("bulkId")]


def test_what_an_answer_names() -> None:
    made = sent("POST", "/Users", {"userName": "u"}, answer={"id": "1", "meta": {"location": "/scim/v2/Users/1"}})
    assert found(answered(made)) >= {("id", "User", "1")}
    located = factories.exchange("POST", response=factories.response(201, headers={"Location": "/scim/v2/Users/7"}))
    assert found(answered(seen(located))) == {("id", "User", "7")}
    assert not list(answered(sent("GET", "/Users/1", status_code=404, answer={"id": "1"})))
    assert not list(answered(seen(factories.exchange(response=None))))


def test_literals_stand_where_they_stand() -> None:
    text = 'not (title eq "id eq \\"1\\"") or emails[type eq "work" and value co "@x"].value ew "y" or id  EQ  "7" or age eq 7'
    spots = filter_literals(text, "User")
    assert [text[one.start : one.end] for one in spots] == ['"id eq \\"1\\""', '"work"', '"@x"', '"y"', '"7"']
    assert [(one.spot.role, one.spot.attribute, one.op) for one in spots] == [
        ("text", "title", "eq"),
        ("text", "type", "eq"),
        ("name", "emails.value", "co"),
        ("name", "emails.value", "ew"),
        ("id", "id", "eq"),
    ]
    assert [
        one.spot.kind for one in filter_literals('members.value eq "1" or groups eq "2" or manager eq "3"', "Group")
    ] == [
        "User",
        "Group",
        "User",
    ]
    assert filter_literals("userName eq", "User") == []
    assert path_literals('members[value eq "2"].display')[0].spot == Spot("member", "2", "User", "value")
    assert path_literals("name.familyName") == path_literals("[") == []
    assert filter_literals("emails[type pr].type pr", "User") == []
    assert filter_literals("emails[type pr] and title pr", "User") == []
    assert quoted('a"ö') == '"a\\"ö"'


@given(
    st.text(max_size=60)
    | st.lists(st.sampled_from(["userName", "id", "eq", '"a"', "(", ")", "[", "]", "and", "or", ".", '"'])).map(
        " ".join
    )
)
def test_never_raises(text: str) -> None:
    for one in [*filter_literals(text, "User"), *path_literals(text)]:
        assert text[one.start] == text[one.end - 1] == '"'
    list(
        asked(
            sent(
                "PATCH", f"/Users/{quote(text)}?filter={quote(text)}", {"Operations": [{"path": text, "value": text}]}
            )
        )
    )
