"""Paging, sorting and projection."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from scimproxy.scim.dialect import DEFAULT_DIALECT, GROUPS, SEARCH_REQUEST, USERS, Dialect, Refusal, ResourceType
from scimproxy.scim.listing import Projection, Query, attribute_at, order, page
from scimproxy.scim.schemas import ENTERPRISE_USER, USER, Attribute

CORE, ENTERPRISE = USER.id, ENTERPRISE_USER.id
RESOURCE: dict[str, Any] = {
    "schemas": [CORE, ENTERPRISE],
    "id": "1",
    "userName": "a",
    "password": "secret",
    "name": {"familyName": "F", "givenName": "G"},
    "emails": [{"value": "w@x", "type": "work"}, {"value": "h@x", "type": "home"}],
    ENTERPRISE: {"department": "Tours", "manager": {"value": "9", "displayName": "M"}},
    "custom": 1,
    "meta": {"version": "1"},
}


def shown(attributes: str = "", excluded: str = "") -> dict[str, Any]:
    made = Projection.of(attributes.split(","), excluded.split(",")).apply(RESOURCE, USERS)
    assert made.pop("schemas") == RESOURCE["schemas"] and made.pop("id") == "1", "always returned"
    assert "password" not in made, "never returned"
    return made


def test_by_default_everything_is_shown() -> None:
    everything = {key: value for key, value in RESOURCE.items() if key not in {"schemas", "id", "password"}}
    assert shown() == everything


@pytest.mark.parametrize(
    ("attributes", "expected"),
    [
        ("userName, custom", {"userName": "a", "custom": 1}),
        ("USERNAME", {"userName": "a"}),
        (f"{CORE}:userName", {"userName": "a"}),
        ("name", {"name": RESOURCE["name"]}),
        ("name.familyName", {"name": {"familyName": "F"}}),
        (f"{CORE}:name.givenName", {"name": {"givenName": "G"}}),
        ("emails.value", {"emails": [{"value": "w@x"}, {"value": "h@x"}]}),
        ('emails[type eq "work"]', {"emails": RESOURCE["emails"]}),
        ("emails.primary", {}),
        ("password", {}),
        ("nothing", {}),
        (ENTERPRISE, {ENTERPRISE: RESOURCE[ENTERPRISE]}),
        (f"{ENTERPRISE}:department", {ENTERPRISE: {"department": "Tours"}}),
        (f"{ENTERPRISE}:manager.displayName", {ENTERPRISE: {"manager": {"displayName": "M"}}}),
        ("department", {}),
    ],
)
def test_attributes(attributes: str, expected: dict[str, Any]) -> None:
    assert shown(attributes) == expected


@pytest.mark.parametrize(
    ("excluded", "gone"),
    [
        ("id,schemas,userName", {"userName"}),
        ("name.familyName,name.givenName", {"name"}),
        ("emails,meta", {"emails", "meta"}),
        ("emails.value,emails.type", {"emails"}),
        (ENTERPRISE, {ENTERPRISE}),
        (f"{ENTERPRISE}:department,{ENTERPRISE}:manager", {ENTERPRISE}),
    ],
)
def test_excluded_attributes(excluded: str, gone: set[str]) -> None:
    assert set(shown(excluded=excluded)) == set(shown()) - gone


def test_part_of_a_complex_attribute_can_be_excluded() -> None:
    made = shown(excluded=f"emails.type,{ENTERPRISE}:manager.value")
    assert made["emails"] == [{"value": "w@x"}, {"value": "h@x"}]
    assert made[ENTERPRISE] == {"department": "Tours", "manager": {"displayName": "M"}}


def test_both_lists_exclude_each_other() -> None:
    with pytest.raises(Refusal):
        Projection.of(["a"], ["b"])


def test_returned_on_request_and_in_sub_attributes() -> None:
    base = next(one for one in USER.attributes if one.name == "title")
    subs = tuple(replace(base, name=name, returned=name) for name in ("always", "never", "request", "default"))  # type: ignore[arg-type]
    box = replace(base, name="box", type="complex", sub_attributes=subs)
    asked = replace(base, name="asked", returned="request")
    words = replace(base, name="words", multi_valued=True)
    kind = ResourceType("T", "/Ts", replace(USER, id="urn:t", attributes=(box, asked, words)))
    resource = {"box": {"always": 1, "never": 2, "request": 3, "default": 4}, "asked": 5, "words": ["a"]}

    def see(attributes: str = "", excluded: str = "") -> dict[str, Any]:
        return Projection.of(attributes.split(","), excluded.split(",")).apply(resource, kind)

    assert see() == {"box": {"always": 1, "default": 4}, "words": ["a"]}
    assert see("asked,box.request") == {"box": {"always": 1, "request": 3}, "asked": 5}
    assert see(excluded="box.always,words") == {"box": {"always": 1, "default": 4}}


def test_queries_of_urls() -> None:
    query = Query.of_parameters(
        {"filter": "a pr", "sortBy": "b", "sortOrder": "descending", "startIndex": "-9", "count": "7"}
    )
    assert (query.filter, query.sort_by, query.descending, query.start_index, query.count) == (
        "a pr",
        "b",
        True,
        1,
        7,
    )
    assert Query.of_parameters({"sortBy": "", "count": "", "sortOrder": "ascending"}) == Query()
    assert Query.of_parameters({"count": "9" * 20}).count == 2**31 - 1
    for wrong in (
        {"count": "1" * 21},
        {"count": "x"},
        {"count": "1_0"},
        {"count": "\u0661"},
        {"startIndex": ""},
        {"sortOrder": "up"},
    ):
        with pytest.raises(Refusal):
            Query.of_parameters(wrong)


def test_queries_of_messages() -> None:
    given = {"schemas": [SEARCH_REQUEST], "startIndex": 3, "count": 0, "excludedAttributes": ["a"], "filter": None}
    query = Query.of_message(given)
    assert (query.start_index, query.count, query.projection.excluded) == (3, 0, frozenset({"a"}))
    assert Query.of_message({"SCHEMAS": [SEARCH_REQUEST]}) == Query()
    for wrong in (
        {"schemas": "x"},
        {"schemas": []},
        {"filter": 1},
        {"sortBy": []},
        {"count": 1.5},
        {"count": True},
        {"count": []},
        {"attributes": "userName"},
        {"attributes": [1]},
    ):
        with pytest.raises(Refusal):
            Query.of_message({"schemas": [SEARCH_REQUEST], **wrong})


@pytest.mark.parametrize(
    ("start", "size", "expected"),
    [(1, None, "abc"), (1, 2, "ab"), (3, 9, "cde"), (5, 9, "e"), (6, 9, ""), (1, 0, ""), (2, -5, "")],
)
def test_pages(start: int, size: int | None, expected: str) -> None:
    dialect = Dialect(page_size=3, max_page=4)
    assert page("abcde", Query(start_index=start, count=size), dialect) == expected
    assert page("abcde", Query(count=5), dialect) == "abcd"


@pytest.mark.parametrize(
    ("text", "way"),
    [
        ("userName", ("userName",)),
        (" NAME.FAMILYNAME ", ("name", "familyName")),
        (f"{CORE}:title", ("title",)),
        (f"{ENTERPRISE}:manager.value", (ENTERPRISE, "manager", "value")),
        ("members.value", ("members", "value")),
        ("meta.created", ("meta", "created")),
        ("department", ()),
        ("name.planet", ()),
        ("", ()),
    ],
)
def test_attributes_are_found_by_name(text: str, way: tuple[str, ...]) -> None:
    found, got = attribute_at(text, (USERS, GROUPS))
    assert got == way
    assert (found is None) == (not way)
    assert found is None or isinstance(found, Attribute)


def sorted_ids(resources: list[dict[str, Any]], by: str | None, *, descending: bool = False) -> str:
    query = Query(sort_by=by, descending=descending)
    return "".join(one["id"] for one in order(resources, query, DEFAULT_DIALECT.resource_types))


def test_sorting() -> None:
    people: list[dict[str, Any]] = [
        {"id": "b", "userName": "Beta", "active": True, "emails": []},
        {"id": "a", "userName": "alpha", "emails": [{"value": "z"}, {"value": "c", "primary": True}]},
        {"id": "c", "emails": [{"value": "y"}], "name": "odd"},
    ]
    assert sorted_ids(people, None) == "bac"
    assert sorted_ids(people, "userName") == "abc"
    assert sorted_ids(people, "userName", descending=True) == "cba"
    assert sorted_ids(people, "emails") == "acb"
    assert sorted_ids(people, "emails.value") == "acb"
    assert sorted_ids(people, "name.familyName") == "bac"
    assert sorted_ids([{"id": "b", "externalId": "a"}, {"id": "a", "externalId": "B"}], "externalId") == "ab"
    numbers = [{"id": "b", "active": 10}, {"id": "a", "active": 9}, {"id": "c", "active": -20}]
    assert sorted_ids(numbers, "active") == "cab"
    assert sorted_ids([{"id": "b", "active": 10**4000}, *numbers[1:]], "active") == "cab"
    assert sorted_ids([{"id": "b", "active": True}, {"id": "a", "active": False}], "active") == "ab"


@pytest.mark.parametrize("by", ["password", "planet", "a b"])
def test_what_cannot_be_sorted_by(by: str) -> None:
    with pytest.raises(Refusal) as caught:
        sorted_ids([], by)
    assert caught.value.scim_type == "invalidPath"
