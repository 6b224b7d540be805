"""What a client may send, and the form in which it is kept."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from scimproxy.scim.conform import conform, keep_immutable
from scimproxy.scim.dialect import GROUPS, USERS, Dialect, Refusal, ResourceType
from scimproxy.scim.schemas import ENTERPRISE_USER, USER, Attribute, Schema

CORE = USER.id
ENTERPRISE = ENTERPRISE_USER.id


def kept(given: dict[str, Any], kind: ResourceType = USERS, **options: Any) -> dict[str, Any]:
    return conform({"schemas": [kind.schema.id], "userName": "a", **given}, kind, Dialect(**options))


def refusal(given: dict[str, Any], kind: ResourceType = USERS, **options: Any) -> Refusal:
    with pytest.raises(Refusal) as caught:
        kept(given, kind, **options)
    assert caught.value.status == 400
    return caught.value


def attribute(name: str, kind: str = "string", **more: Any) -> Attribute:
    made = next(one for one in USER.attributes if one.name == "title")
    return replace(made, name=name, type=kind, **more)


def test_names_get_the_spelling_of_the_schema() -> None:
    given = {"USERNAME": "b", "Name": {"FAMILYname": "J"}, "externalID": "x"}
    made = conform({"Schemas": [CORE.upper()], **given}, USERS, Dialect())
    assert made == {"schemas": [CORE], "userName": "b", "name": {"familyName": "J"}, "externalId": "x"}


def test_full_names_are_names_too() -> None:
    given = {f"{CORE}:title": "Guide", f"{ENTERPRISE}:department": "Tours", ENTERPRISE: {"division": "Parks"}}
    assert kept(given) == {
        "schemas": [CORE, ENTERPRISE],
        "userName": "a",
        "title": "Guide",
        ENTERPRISE: {"department": "Tours", "division": "Parks"},
    }


def test_what_is_unassigned_read_only_or_unknown_is_dropped() -> None:
    given = {
        "id": "x", "meta": {"version": "1"}, "groups": [{"value": "g"}], "title": None, "emails": [], "name": {},
        "phoneNumbers": [{}], "planet": "earth", ENTERPRISE: {}, "urn:x:y": {"z": 1},
    }  # fmt: skip
    assert kept(given) == {"schemas": [CORE], "userName": "a"}
    assert kept({ENTERPRISE: None}) == {"schemas": [CORE], "userName": "a"}


def test_unknown_attributes_may_be_kept_or_refused() -> None:
    assert kept({"planet": "earth", "moon": None}, unknown_attributes="keep")["planet"] == "earth"
    found = refusal({"name": {"planet": "earth"}}, unknown_attributes="refuse")
    assert found.scim_type == "invalidSyntax" and "name.planet" in found.detail
    found = refusal({"schemas": [CORE, "urn:x"]}, unknown_attributes="refuse")
    assert "urn:x" in found.detail
    assert kept({"schemas": [CORE, "urn:x"]})["schemas"] == [CORE]


@pytest.mark.parametrize("schemas", [None, [], "x", [1], ["urn:other"]])
def test_schemas_are_required(schemas: Any) -> None:
    assert refusal({"schemas": schemas}).scim_type == "invalidSyntax"


def test_a_dialect_may_do_without_schemas() -> None:
    assert kept({"schemas": None}, schemas_required=False)["schemas"] == [CORE]


@pytest.mark.parametrize(
    ("given", "path"),
    [
        ({"userName": ""}, "userName"),
        ({"userName": None}, "userName"),
        ({"userName": 7}, "userName"),
        ({"title": ["x"]}, "title"),
        ({"title": True}, "title"),
        ({"active": "maybe"}, "active"),
        ({"active": 1}, "active"),
        ({"name": "Jensen"}, "name"),
        ({"emails": {"value": "a"}}, "emails"),
        ({"emails": ["a"]}, "emails[0]"),
        ({"emails": [{"value": "a"}, {"value": 5}]}, "emails[1].value"),
        ({"emails": [{"value": "a", "primary": True}, {"value": "b", "primary": True}]}, "emails"),
        ({"x509Certificates": [{"value": "not base64!"}]}, "x509Certificates[0].value"),
        ({"x509Certificates": [{"value": 1}]}, "x509Certificates[0].value"),
        ({"x509Certificates": [{"value": "TUlJ", "primary": True}, 7]}, "x509Certificates[1]"),
        ({"profileUrl": 1}, "profileUrl"),
        ({ENTERPRISE: "x"}, ENTERPRISE),
        ({ENTERPRISE: {"employeeNumber": 701984}}, "employeeNumber"),
    ],
)
def test_wrong_values_are_refused_with_their_path(given: dict[str, Any], path: str) -> None:
    found = refusal(given)
    assert found.scim_type == "invalidValue"
    assert path in found.detail


def test_required_in_a_group() -> None:
    assert "displayName" in refusal({"schemas": [GROUPS.schema.id]}, GROUPS).detail


def test_booleans_in_text() -> None:
    assert kept({"active": "True"})["active"] is True
    assert kept({"active": "false"})["active"] is False
    assert "active must be a boolean, not a string" in refusal({"active": "True"}, string_booleans="refuse").detail


def test_canonical_values() -> None:
    email = {"value": "a@x", "type": "WORK"}
    assert kept({"emails": [email]})["emails"] == [email]
    assert kept({"emails": [email]}, canonical_values="enforce")["emails"] == [{"value": "a@x", "type": "work"}]
    odd = {"emails": [{"value": "a@x", "type": "moon"}]}
    assert kept(odd)["emails"] == odd["emails"]
    assert "work" in refusal(odd, canonical_values="enforce").detail


ODD = Schema(
    id="urn:odd",
    name="Odd",
    description="",
    attributes=(
        attribute("when", "dateTime"),
        attribute("number", "integer"),
        attribute("ratio", "decimal"),
        attribute("tags", multi_valued=True),
        attribute("once", mutability="immutable"),
        attribute("box", "complex", sub_attributes=(attribute("seal", mutability="immutable"),)),
        attribute("exact", case_exact=True, canonical_values=("A",)),
    ),
)
ODDS = ResourceType("Odd", "/Odds", ODD, (replace(ODD, id="urn:more"),))


@pytest.mark.parametrize(
    ("name", "good", "bad"),
    [
        ("when", "2026-01-31T23:59:59.5+02:00", "2026-01-31 10:00:00Z"),
        ("when", "2026-01-31T23:59:59Z", "2026-13-01T00:00:00Z"),
        ("when", "2026-01-31T23:59:59", 5),
        ("number", -3, 1.0),
        ("number", 0, True),
        ("ratio", 1.5, "1.5"),
        ("ratio", 2, False),
        ("tags", ["a", "b"], ["a", 1]),
        ("exact", "A", "a"),
    ],
)
def test_every_type(name: str, good: Any, bad: Any) -> None:
    odd = ODDS
    assert conform({"schemas": ["urn:odd"], name: good}, odd, Dialect(canonical_values="enforce"))[name] == good
    with pytest.raises(Refusal):
        conform({"schemas": ["urn:odd"], name: bad}, odd, Dialect(canonical_values="enforce"))


def test_immutable_values_are_set_once() -> None:
    keep_immutable({}, {"once": "a"}, ODDS)
    keep_immutable({"once": "a", "box": {"seal": 1}, "tags": []}, {"once": "a", "box": {"seal": 1}}, ODDS)
    for new in ({"once": "b"}, {}):
        with pytest.raises(Refusal) as caught:
            keep_immutable({"once": "a"}, new, ODDS)
        assert caught.value.scim_type == "mutability"
    with pytest.raises(Refusal):
        keep_immutable({"box": {"seal": 1}}, {}, ODDS)
    with pytest.raises(Refusal):
        keep_immutable({"urn:more": {"once": "a"}}, {"urn:more": {"once": "b"}}, ODDS)
