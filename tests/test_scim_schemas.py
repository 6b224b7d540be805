"""The schemas of RFC 7643 as data, and how attribute paths lead into them."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from scimproxy.scim.schemas import (
    BY_ID,
    COMMON,
    DEFAULT,
    ENTERPRISE_USER,
    GROUP,
    SCHEMA,
    SERVICE_PROVIDER_CONFIG,
    USER,
    Attribute,
    AttributePath,
    Place,
    Registry,
    Schema,
)

ENTERPRISE = ENTERPRISE_USER.id


def every(attributes: tuple[Attribute, ...], prefix: str = "") -> Iterator[tuple[str, Attribute]]:
    for attribute in attributes:
        yield f"{prefix}{attribute.name}", attribute
        yield from every(attribute.sub_attributes, f"{prefix}{attribute.name}.")


ALL = [
    (f"{schema.name}.{name}", attribute)
    for schema in (*BY_ID.values(), Schema("common", "Common", "", COMMON))
    for name, attribute in every(schema.attributes)
]


def test_the_six_schemas_of_the_rfc() -> None:
    core, extension = "urn:ietf:params:scim:schemas:core:2.0", "urn:ietf:params:scim:schemas:extension"
    assert list(BY_ID) == [
        f"{core}:User",
        f"{extension}:enterprise:2.0:User",
        f"{core}:Group",
        f"{core}:ServiceProviderConfig",
        f"{core}:ResourceType",
        f"{core}:Schema",
    ]
    assert [schema.name for schema in DEFAULT.schemas if schema.extension] == ["EnterpriseUser"]


def test_the_attributes_of_a_user() -> None:
    assert " ".join(attribute.name for attribute in USER.attributes) == (
        "userName name displayName nickName profileUrl title userType preferredLanguage locale timezone active "
        "password emails phoneNumbers ims photos addresses groups entitlements roles x509Certificates"
    )
    assert [attribute.name for attribute in USER.attributes if attribute.required] == ["userName"]
    assert [attribute.name for attribute in USER.attributes if attribute.multi_valued] == [
        *("emails", "phoneNumbers", "ims", "photos", "addresses", "groups"),
        *("entitlements", "roles", "x509Certificates"),
    ]


@pytest.mark.parametrize(("name", "attribute"), ALL)
def test_characteristics_fit_together(name: str, attribute: Attribute) -> None:
    assert attribute.description.endswith(".")
    assert bool(attribute.sub_attributes) == (attribute.type == "complex")
    assert bool(attribute.reference_types) == (attribute.type == "reference"), "RFC 7643 section 7"
    assert attribute.case_exact or attribute.type not in {"reference", "binary"}, "RFC 7643 sections 2.3.6, 2.3.7"
    assert len({sub.name.lower() for sub in attribute.sub_attributes}) == len(attribute.sub_attributes)
    if attribute.mutability == "readOnly":
        assert {sub.mutability for sub in attribute.sub_attributes} <= {"readOnly"}


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("userName", {"required": True, "uniqueness": "server", "case_exact": False}),
        ("password", {"mutability": "writeOnly", "returned": "never"}),
        ("groups", {"mutability": "readOnly", "multi_valued": True}),
        ("id", {"mutability": "readOnly", "returned": "always", "case_exact": True, "uniqueness": "server"}),
        ("externalId", {"mutability": "readWrite", "case_exact": True}),
        ("schemas", {"required": True, "returned": "always", "multi_valued": True}),
    ],
)
def test_characteristics_that_servers_get_wrong(path: str, expected: dict[str, object]) -> None:
    attribute = DEFAULT.lookup(AttributePath(None, path), [USER.id])
    assert {key: getattr(attribute, key) for key in expected} == expected


def test_group_members_are_immutable() -> None:
    members = GROUP.attribute("MEMBERS")
    assert members is not None
    assert {sub.name: sub.mutability for sub in members.sub_attributes} == dict.fromkeys(
        ("value", "$ref", "display", "type"), "immutable"
    )


def test_shown_as_the_schemas_endpoint_does() -> None:
    shown = GROUP.to_dict()
    assert {key: shown[key] for key in ("schemas", "id", "name", "meta")} == {
        "schemas": [SCHEMA.id],
        "id": GROUP.id,
        "name": "Group",
        "meta": {"resourceType": "Schema"},
    }
    name, members = shown["attributes"]
    assert name == {
        "name": "displayName",
        "type": "string",
        "multiValued": False,
        "description": "Name of the group.",
        "required": True,
        "caseExact": False,
        "mutability": "readWrite",
        "returned": "default",
        "uniqueness": "none",
    }
    assert "caseExact" not in members
    value, ref, _, kind = members["subAttributes"]
    assert value["mutability"] == "immutable"
    assert ref["referenceTypes"] == ["User", "Group"]
    assert kind["canonicalValues"] == ["User", "Group"]


def test_what_is_shown_follows_the_schema_of_schemas() -> None:
    """Every member of every attribute shown is a sub-attribute of `attributes` in the Schema schema."""

    def shown(attributes: list[dict[str, object]]) -> Iterator[dict[str, object]]:
        for attribute in attributes:
            yield attribute
            yield from shown(attribute.get("subAttributes", []))  # type: ignore[arg-type]  # JSON

    attributes = SCHEMA.attribute("attributes")
    assert attributes is not None
    known = {sub.name for sub in attributes.sub_attributes}
    needed = {sub.name for sub in attributes.sub_attributes if sub.required}
    for schema in BY_ID.values():
        for attribute in shown(schema.to_dict()["attributes"]):
            assert needed <= set(attribute) <= known


def place(text: str, *urns: str) -> Place:
    schema, _, rest = text.rpartition(":")
    name, _, sub = rest.partition(".")
    return DEFAULT.locate(AttributePath(schema or None, name, sub or None), urns)


@pytest.mark.parametrize(
    ("path", "urns", "extension", "name", "sub", "found"),
    [
        ("USERNAME", (), None, "userName", None, "userName"),
        ("name.FAMILYname", (USER.id,), None, "name", "familyName", "familyName"),
        ("name.x", (), None, "name", "x", None),
        ("meta.created", (GROUP.id,), None, "meta", "created", "created"),
        ("members", (USER.id,), None, "members", None, None),
        ("members", (), None, "members", None, "members"),
        ("members", (ENTERPRISE,), None, "members", None, "members"),
        ("members", ("urn:unknown",), None, "members", None, "members"),
        ("department", (USER.id, ENTERPRISE), None, "department", None, None),
        (f"{USER.id}:userName", (), None, "userName", None, "userName"),
        (f"{USER.id.upper()}:userName", (), None, "userName", None, "userName"),
        (f"{USER.id}:id", (), None, "id", None, "id"),
        (f"{USER.id}:nothing.x", (), None, "nothing", "x", None),
        (f"{ENTERPRISE.lower()}:Department", (), ENTERPRISE, "department", None, "department"),
        (f"{ENTERPRISE}:manager.value", (), ENTERPRISE, "manager", "value", "value"),
        (f"{ENTERPRISE}:nothing", (), ENTERPRISE, "nothing", None, None),
        (ENTERPRISE, (), ENTERPRISE, "", None, None),
        ("urn:other:1.0:Thing:size.x", (), "urn:other:1.0:Thing", "size", "x", None),
    ],
)
def test_locate(
    path: str, urns: tuple[str, ...], extension: str | None, name: str, sub: str | None, found: str | None
) -> None:
    where = place(path, *urns)
    assert (where.extension, where.name, where.sub) == (extension, name, sub)
    assert (where.target.name if where.target else None) == found


@pytest.mark.parametrize(
    ("schema", "sub", "extension", "found"),
    [
        (ENTERPRISE, "manager", ENTERPRISE, "manager"),
        (USER.id, "userName", None, "userName"),
        (ENTERPRISE, "x", ENTERPRISE, None),
    ],
)
def test_a_dot_after_the_urn_as_entra_writes_it(
    schema: str, sub: str, extension: str | None, found: str | None
) -> None:
    urn, _, name = schema.rpartition(":")
    where = DEFAULT.locate(AttributePath(urn, name, sub))
    assert (where.extension, where.name) == (extension, sub)
    assert (where.attribute.name if where.attribute else None) == found


def test_a_registry_holds_what_it_is_given() -> None:
    thing = Schema("urn:x:Thing", "Thing", "A thing", (Attribute("size", "integer"),))
    registry = Registry([thing])
    assert registry.lookup(AttributePath(None, "SIZE")) == Attribute("size", "integer")
    assert registry.lookup(AttributePath(None, "userName")) is None
    assert registry.schema("URN:X:THING") is thing
    assert registry.schema(USER.id) is None


@pytest.mark.parametrize("text", ["userName", "name.familyName", f"{USER.id}:name.familyName", f"{USER.id}:title"])
def test_a_path_as_text(text: str) -> None:
    schema, _, rest = text.rpartition(":")
    name, _, sub = rest.partition(".")
    assert str(AttributePath(schema or None, name, sub or None)) == text


def test_nothing_of_discovery_is_writable() -> None:
    names = [
        name for name, attribute in every(SERVICE_PROVIDER_CONFIG.attributes) if attribute.mutability != "readOnly"
    ]
    assert names == []
