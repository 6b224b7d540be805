"""PATCH operations on resources, as RFC 7644 section 3.5.2 and as Okta and Entra ID send them."""

from __future__ import annotations

import contextlib
import json
from copy import deepcopy
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scimproxy.scim.patch import MAX_OPERATIONS, PatchError, apply_patch
from scimproxy.scim.schemas import Attribute, Registry, Schema

CORE = "urn:ietf:params:scim:schemas:core:2.0:User"
ENTERPRISE = "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User"
WORK = {"type": "work", "value": "a@x", "primary": True}
HOME = {"type": "home", "value": "b@x"}

USER: dict[str, Any] = {
    "schemas": [CORE],
    "id": "1",
    "userName": "bj",
    "name": {"givenName": "B", "familyName": "J"},
    "active": True,
    "emails": [WORK, HOME],
}
EXTENDED = USER | {"schemas": [CORE, ENTERPRISE], ENTERPRISE: {"department": "D", "manager": {"value": "9"}}}
GROUP: dict[str, Any] = {
    "schemas": ["urn:ietf:params:scim:schemas:core:2.0:Group"],
    "displayName": "G",
    "members": [{"value": "1", "display": "One"}, {"value": "2", "type": "User"}],
}


def op(verb: Any, path: Any = None, value: Any = ...) -> dict[str, Any]:
    made = {"op": verb} | ({} if path is None else {"path": path})
    return made if value is ... else made | {"value": value}


def patched(resource: dict[str, Any], *operations: Any, **options: Any) -> dict[str, Any]:
    """Apply the operations and check that what came in was not written."""
    before, sent = deepcopy(resource), deepcopy(operations)
    try:
        return apply_patch(resource, operations, **options)
    finally:
        assert resource == before
        assert operations == sent


@pytest.mark.parametrize(
    ("operation", "changes"),
    [
        # single values
        (op("add", "title", "T"), {"title": "T"}),
        (op("replace", "title", "T"), {"title": "T"}),
        (op("replace", "USERNAME", "x"), {"userName": "x"}),
        (op("replace", f"{CORE}:userName", "x"), {"userName": "x"}),
        (op("remove", "active"), {"active": ...}),
        (op("remove", "title"), {}),
        (op("replace", "active", None), {"active": ...}),
        (op("add", "active", None), {}),
        (op("add", "password", "secret"), {"password": "secret"}),
        # complex values are merged (section 3.5.2.3)
        (op("add", "name", {"middleName": "M"}), {"name": {"givenName": "B", "familyName": "J", "middleName": "M"}}),
        (op("replace", "name", {"GIVENNAME": "X"}), {"name": {"givenName": "X", "familyName": "J"}}),
        (op("replace", "name.givenName", "X"), {"name": {"givenName": "X", "familyName": "J"}}),
        (op("remove", "name.givenName"), {"name": {"familyName": "J"}}),
        (op("replace", "name", {"givenName": None, "familyName": None}), {"name": ...}),
        (op("remove", "name"), {"name": ...}),
        # lists
        (op("add", "emails", {"value": "c@x"}), {"emails": [WORK, HOME, {"value": "c@x"}]}),
        (op("add", "emails", [{"value": "c@x"}]), {"emails": [WORK, HOME, {"value": "c@x"}]}),
        (op("add", "emails", [dict(HOME)]), {}),
        (op("add", "emails", [{"value": "c@x"}, {"value": "c@x"}]), {"emails": [WORK, HOME, {"value": "c@x"}]}),
        (op("add", "emails", [{"value": "b@x", "type": "other"}]), {"emails": [WORK, HOME, {"value": "b@x", "type": "other"}]}),
        (op("add", "emails", [{"value": "b@x", "display": "b"}]), {"emails": [WORK, HOME | {"display": "b"}]}),
        (op("add", "emails", []), {}),
        (op("add", "emails", None), {}),
        (
            op("add", "roles", [{"value": "r"}, {"value": "r", "type": "x"}, {"value": "R", "type": "y"}, {"value": "r"}]),
            {"roles": [{"value": "r", "type": "x"}, {"value": "R", "type": "y"}]},
        ),
        (op("add", "addresses", [{"locality": "X"}, {"locality": "X"}]), {"addresses": [{"locality": "X"}]}),
        (op("replace", "emails", [{"value": "c@x"}]), {"emails": [{"value": "c@x"}]}),
        (op("replace", "emails", []), {"emails": ...}),
        (op("replace", "emails", None), {"emails": ...}),
        (op("remove", "emails"), {"emails": ...}),
        (op("add", "schemas", ["urn:x", CORE.upper()]), {"schemas": [CORE, "urn:x", CORE.upper()]}),
        # one primary at most
        (
            op("add", "emails", {"value": "c@x", "primary": True}),
            {"emails": [WORK | {"primary": False}, HOME, {"value": "c@x", "primary": True}]},
        ),
        (op("add", "emails", HOME | {"primary": True}), {"emails": [WORK | {"primary": False}, HOME | {"primary": True}]}),
        (
            op("replace", 'emails[type eq "home"].primary', value=True),
            {"emails": [WORK | {"primary": False}, HOME | {"primary": True}]},
        ),
        (op("replace", 'emails[type eq "work"].primary', value=True), {}),
        # chosen elements
        (op("replace", 'emails[type eq "work"].value', "n@x"), {"emails": [WORK | {"value": "n@x"}, HOME]}),
        (op("add", 'emails[type eq "work"].display', "n"), {"emails": [WORK | {"display": "n"}, HOME]}),
        (op("replace", 'emails[type eq "work"]', {"value": "n@x"}), {"emails": [{"value": "n@x"}, HOME]}),
        (op("add", 'emails[type eq "work"]', {"value": "n@x"}), {"emails": [WORK | {"value": "n@x"}, HOME]}),
        (op("replace", 'emails[type eq "work"]', None), {"emails": [HOME]}),
        (op("remove", 'emails[type eq "work"]'), {"emails": [HOME]}),
        (op("remove", 'emails[type eq "work" or type eq "home"]'), {"emails": ...}),
        (op("remove", 'emails[type eq "home"].type'), {"emails": [WORK, {"value": "b@x"}]}),
        (op("remove", 'emails[type eq "other"]'), {}),
        (op("remove", 'emails[type eq "other"].value'), {}),
        (op("add", 'emails[type eq "other"].value', None), {}),
        (op("remove", "emails.type"), {"emails": [{"value": "a@x", "primary": True}, {"value": "b@x"}]}),
        (op("replace", "emails.display", "d"), {"emails": [WORK | {"display": "d"}, HOME | {"display": "d"}]}),
        (op("add", "ims.value", "i"), {"ims": [{"value": "i"}]}),
        # what does not exist is added with the conditions that chose it
        (op("add", 'emails[TYPE eq "other"].value', "o@x"), {"emails": [WORK, HOME, {"type": "other", "value": "o@x"}]}),
        (
            op("add", 'emails[type eq "other" and primary eq true]', {"value": "o@x"}),
            {"emails": [WORK | {"primary": False}, HOME, {"type": "other", "primary": True, "value": "o@x"}]},
        ),
        # extensions
        (
            op("add", f"{ENTERPRISE}:department", "D"),
            {"schemas": [CORE, ENTERPRISE], ENTERPRISE: {"department": "D"}},
        ),
        (op("add", ENTERPRISE, {"department": "D"}), {"schemas": [CORE, ENTERPRISE], ENTERPRISE: {"department": "D"}}),
        (op("add", f"{ENTERPRISE}.department", "D"), {"schemas": [CORE, ENTERPRISE], ENTERPRISE: {"department": "D"}}),
        (op("remove", ENTERPRISE), {}),
        (op("remove", f"{ENTERPRISE}:department"), {}),
        # pathless
        (op("add", None, {"title": "T", "name": {"middleName": "M"}}), {"title": "T", "name": USER["name"] | {"middleName": "M"}}),
        (op("replace", None, {"emails": [HOME]}), {"emails": [HOME]}),
        (op("add", "", {"title": "T"}), {"title": "T"}),
        (op("replace", None, {}), {}),
        (op("replace", None, {"unknown": {"a": 1}}), {"unknown": {"a": 1}}),
        # Okta
        (op("replace", None, {"active": False}), {"active": False}),
        (op("replace", None, {"id": "1", "displayName": "D"}), {"displayName": "D"}),
        # Entra ID
        (op("Replace", "active", value=False), {"active": False}),
        (op("ADD", "title", "T"), {"title": "T"}),
        (op("Replace", None, {"name.givenName": "X", 'emails[type eq "work"].value': "n@x"}),
         {"name": {"givenName": "X", "familyName": "J"}, "emails": [WORK | {"value": "n@x"}, HOME]}),
        (op("Add", f"{ENTERPRISE}:manager", "77"), {"schemas": [CORE, ENTERPRISE], ENTERPRISE: {"manager": {"value": "77"}}}),
        (
            op("Add", None, {f"{ENTERPRISE}:department": "D", ENTERPRISE: {"manager": {"value": "7", "displayName": "x"}, "division": "V"}}),
            {"schemas": [CORE, ENTERPRISE], ENTERPRISE: {"department": "D", "manager": {"value": "7"}, "division": "V"}},
        ),
        # readOnly in a pathless value: nothing to contradict
        (op("replace", None, {"meta": {"created": "x"}, "groups": [], "meta.created": "y"}), {}),
    ],
)  # fmt: skip  # a table
def test_operations(operation: dict[str, Any], changes: dict[str, Any]) -> None:
    expected = {key: value for key, value in (USER | changes).items() if value is not ...}
    assert patched(USER, operation) == expected


@pytest.mark.parametrize(
    ("operation", "left"),
    [
        (op("remove", ENTERPRISE), None),
        (op("replace", ENTERPRISE, None), None),
        (op("remove", f"{ENTERPRISE}:department"), {"manager": {"value": "9"}}),
        (op("remove", f"{ENTERPRISE}:manager.value"), {"department": "D"}),
        (
            op("replace", f"{ENTERPRISE.lower()}:manager", {"value": "8"}),
            {"department": "D", "manager": {"value": "8"}},
        ),
        (
            op("add", None, {ENTERPRISE: {"costCenter": "C"}}),
            {"department": "D", "manager": {"value": "9"}, "costCenter": "C"},
        ),
    ],
)
def test_an_extension_lives_as_long_as_it_holds_something(
    operation: dict[str, Any], left: dict[str, Any] | None
) -> None:
    found = patched(EXTENDED, operation)
    assert found.get(ENTERPRISE) == left
    assert (ENTERPRISE in found["schemas"]) == (left is not None)


def test_an_extension_of_a_resource_without_schemas() -> None:
    assert patched({}, op("add", f"{ENTERPRISE}:division", "V")) == {ENTERPRISE: {"division": "V"}}
    assert patched({ENTERPRISE: "broken"}, op("add", f"{ENTERPRISE}:division", "V")) == {
        ENTERPRISE: {"division": "V"}
    }


@pytest.mark.parametrize(
    ("operation", "members"),
    [
        (op("add", "members", [{"value": "3"}]), [*GROUP["members"], {"value": "3"}]),
        (
            op("add", "members", [{"value": "2", "display": "Two"}]),
            [GROUP["members"][0], {"value": "2", "type": "User", "display": "Two"}],
        ),
        (op("remove", 'members[value eq "1"]'), [{"value": "2", "type": "User"}]),
        (op("remove", "members"), None),
        (op("replace", "members", []), None),
        (op("Remove", "members", [{"value": "2"}, {"value": "x"}]), [{"value": "1", "display": "One"}]),
        (op("Remove", "members", {"value": "2", "$ref": None}), [{"value": "1", "display": "One"}]),
        (op("Remove", "members", []), GROUP["members"]),
        (op("remove", 'members[value eq "X"]'), GROUP["members"]),
        (op("replace", 'members[value eq "1"].value', "1"), GROUP["members"]),
        (
            op("add", 'members[value eq "2"].display', "Two"),
            [GROUP["members"][0], GROUP["members"][1] | {"display": "Two"}],
        ),
    ],
)
def test_members(operation: dict[str, Any], members: list[Any] | None) -> None:
    assert patched(GROUP, operation).get("members") == members


def test_ids_that_differ_by_case_are_two_members() -> None:
    assert len(patched({"members": [{"value": "a"}]}, op("add", "members", [{"value": "A"}]))["members"]) == 2


def test_operations_follow_each_other() -> None:
    assert patched(
        GROUP,
        op("remove", "members"),
        op("add", "members", [{"value": "9"}]),
        op("replace", "displayName", "H"),
        op("add", 'members[value eq "9"].display', "Nine"),
    ) == GROUP | {"displayName": "H", "members": [{"value": "9", "display": "Nine"}]}


@pytest.mark.parametrize(
    ("operation", "scim_type", "says"),
    [
        ("x", "invalidSyntax", "JSON object"),
        ({}, "invalidSyntax", "op must be"),
        (op("move", "title", "T"), "invalidSyntax", "not 'move'"),
        (op(1, "title", "T"), "invalidSyntax", "not 1"),
        (op("add", 7, "T"), "invalidPath", "string"),
        (op("add", "title"), "invalidValue", "add needs a value"),
        (op("replace", "title"), "invalidValue", "replace needs a value"),
        (op("remove"), "noTarget", "needs a path"),
        (op("remove", ""), "noTarget", "needs a path"),
        (op("add", None, "x"), "invalidValue", "needs an object"),
        (op("replace", None, [{"title": "T"}]), "invalidValue", "needs an object"),
        (op("add", "a b", 1), "invalidPath", "position 2"),
        (op("add", "emails[type eq work]", 1), "invalidPath", "position 16"),
        (op("add", None, {"a b": 1}), "invalidPath", "position 2"),
        (op("add", "unknown", 1), "invalidPath", "No schema"),
        (op("add", "name.unknown", 1), "invalidPath", "No schema"),
        (op("remove", "urn:x:Y:z"), "invalidPath", "No schema"),
        (op("add", "members", []), "invalidPath", "No schema"),
        (op("add", 'name[givenName eq "x"]', {}), "invalidPath", "this is none"),
        (op("replace", "emails[primary gt true]", {}), "invalidFilter", "cannot be compared"),
        (op("replace", 'emails[type eq "other"]', {"value": "x"}), "noTarget", "Nothing matches"),
        (op("replace", 'emails[type eq "other"].value', "x"), "noTarget", "Nothing matches"),
        (op("replace", 'ims[type eq "other"].value', "x"), "noTarget", "Nothing matches"),
        (op("add", 'emails[type co "other"].value', "x"), "noTarget", "no element can be made"),
        (op("add", "emails[display pr].value", "x"), "noTarget", "no element can be made"),
        (op("add", f'emails[{CORE}:type eq "x"].value', "x"), "noTarget", "no element can be made"),
        (op("add", 'emails[type.x eq "x"].value', "x"), "noTarget", "no element can be made"),
        (op("add", 'emails[type eq "other"]', "x"), "invalidValue", "needs an object"),
        (op("replace", 'emails[type eq "work"]', "x"), "invalidValue", "needs an object"),
        (op("add", "emails", "x"), "invalidValue", "are objects"),
        (op("add", "name", "x"), "invalidValue", "needs an object"),
        (op("add", ENTERPRISE, "x"), "invalidValue", "needs an object"),
        (op("replace", "schemas.x", "y"), "invalidPath", "No schema"),
        (
            op("add", "emails", [HOME | {"primary": True}, {"value": "c", "primary": True}]),
            "invalidValue",
            "Only one",
        ),
        (op("replace", "emails[display pr or not (display pr)].primary", value=True), None, ""),
        # mutability
        (op("replace", "id", "2"), "mutability", "read-only"),
        (op("remove", "meta"), "mutability", "read-only"),
        (op("replace", "meta.created", "x"), "mutability", "read-only"),
        (op("add", "groups", [{"value": "g"}]), "mutability", "read-only"),
        (op("add", f"{ENTERPRISE}:manager.displayName", "x"), "mutability", "read-only"),
        (op("replace", None, {"id": "2"}), "mutability", "another value"),
        (op("remove", "userName"), "mutability", "required"),
        (op("replace", "userName", None), "mutability", "required"),
        (op("remove", "schemas"), "mutability", "required"),
    ],
)
def test_refusals(operation: Any, scim_type: str | None, says: str) -> None:
    if scim_type is None:  # the work address is primary already, so only one claims it
        assert [one["primary"] for one in patched(USER, operation)["emails"]] == [False, True]
        return
    with pytest.raises(PatchError, match=says) as caught:
        patched(USER, op("replace", "title", "T"), operation)
    assert (caught.value.scim_type, caught.value.operation) == (scim_type, 1)
    assert str(caught.value) == caught.value.detail
    assert caught.value.detail.startswith("Operation 2: ")


def test_a_member_keeps_its_id() -> None:
    with pytest.raises(PatchError, match="value cannot be changed") as caught:
        patched(GROUP, op("replace", 'members[value eq "1"].value', "7"))
    assert caught.value.scim_type == "mutability"


def test_two_elements_cannot_become_primary() -> None:
    resource = {"emails": [{"value": "a"}, {"value": "b"}]}
    with pytest.raises(PatchError, match="Only one element"):
        patched(resource, op("add", "emails.primary", value=True))


def test_too_many_operations() -> None:
    assert patched(USER, *[op("replace", "title", "T")] * MAX_OPERATIONS)["title"] == "T"
    with pytest.raises(PatchError, match="More than 1000") as caught:
        patched(USER, *["x"] * (MAX_OPERATIONS + 1))
    assert caught.value.operation is None


@pytest.mark.parametrize(
    ("operation", "changes"),
    [
        (op("Replace", "active", "False"), {"active": False}),
        (op("Replace", "active", "TRUE"), {"active": True}),
        (op("Replace", "active", "maybe"), {"active": "maybe"}),
        (op("Replace", None, {"active": "false", "title": "True"}), {"active": False, "title": "True"}),
        (op("Replace", 'emails[type eq "work"].primary', "False"), {"emails": [WORK | {"primary": False}, HOME]}),
        (
            op("Replace", "emails", [{"value": "True", "primary": "True", "x": "True"}]),
            {"emails": [{"value": "True", "primary": True, "x": "True"}]},
        ),
        (op("Add", None, {"unknown": "True"}), {"unknown": "True"}),
    ],
)
def test_booleans_in_text(operation: dict[str, Any], changes: dict[str, Any]) -> None:
    assert patched(USER, operation, string_booleans=True) == USER | changes


def test_booleans_in_text_are_left_alone_unless_asked_for() -> None:
    assert patched(USER, op("replace", "active", "False"))["active"] == "False"


def test_replace_can_create() -> None:
    wanted = op("replace", 'emails[type eq "other"].value', "o@x")
    assert patched(USER, wanted, replace_creates=True)["emails"] == [WORK, HOME, {"type": "other", "value": "o@x"}]


@pytest.mark.parametrize(
    ("operation", "expected"),
    [
        (op("add", "size", 3), {"size": 3}),
        (op("add", "box.size", 3), {"box": {"size": 3}}),
        (op("add", "list", "c"), {"list": ["a", "B", "c"]}),
        (op("add", "list", ["b", "A"]), {}),
        (op("remove", "list", ["A"]), {"list": ["B"]}),
        (op("remove", 'list[value eq "b"]'), {"list": ["a"]}),
        (op("replace", 'list[value eq "b"]', "c"), {"list": ["a", "c"]}),
        (op("add", 'list[value eq "b"]', {"x": 1}), {"list": ["a", {"x": 1}]}),
        (op("add", 'list[other eq "b"]', {"x": 1}), {"list": ["a", "B", {"other": "b", "x": 1}]}),
        (op("add", "urn:x:Y:size", 3), {"urn:x:Y": {"size": 3}}),
        (op("add", "numbers", [2, 1]), {"numbers": [1, 2]}),
    ],
)
def test_unknown_attributes(operation: dict[str, Any], expected: dict[str, Any]) -> None:
    resource = {"list": ["a", "B"], "numbers": [1]}
    assert patched(resource, operation, unknown_paths=True) == resource | expected


def test_elements_without_parts() -> None:
    with pytest.raises(PatchError, match="have no parts") as caught:
        patched({"list": ["a"]}, op("add", "list.x", 1), unknown_paths=True)
    assert caught.value.scim_type == "invalidPath"


THING = Schema(
    "urn:x:Thing",
    "Thing",
    "",
    (
        Attribute("code", mutability="immutable"),
        Attribute("codes", multi_valued=True, mutability="immutable", case_exact=True),
        Attribute(
            "box",
            "complex",
            sub_attributes=(Attribute("key", mutability="immutable"), Attribute("need", required=True)),
        ),
    ),
)


@pytest.mark.parametrize(
    ("operation", "works"),
    [
        (op("add", "code", "A"), True),
        (op("replace", "code", "B"), False),
        (op("remove", "code"), False),
        (op("replace", "codes", ["A"]), True),
        (op("add", "codes", ["a"]), False),
        (op("replace", "box", {"key": "K"}), True),
        (op("replace", "box", {"key": "L"}), False),
        (op("replace", "box.key", "L"), False),
        (op("remove", "box.need"), False),
        (op("replace", "box.need", "O"), True),
        (op("remove", "box"), True),
    ],
)
def test_immutable_and_required(operation: dict[str, Any], works: bool) -> None:
    resource = {"code": "A", "codes": ["A"], "box": {"key": "K", "need": "N"}}
    if works:
        patched(resource, operation, registry=Registry([THING]))
        return
    with pytest.raises(PatchError, match="cannot be") as caught:
        patched(resource, operation, registry=Registry([THING]))
    assert caught.value.scim_type == "mutability"


def test_a_value_that_did_not_exist_may_be_set_once() -> None:
    assert patched({}, op("add", "code", "A"), registry=Registry([THING])) == {"code": "A"}


def test_what_comes_out_shares_nothing_with_what_went_in() -> None:
    value = [{"value": "c@x"}]
    found = apply_patch(USER, [op("add", "emails", value)])
    found["emails"][0]["value"] = found["emails"][2]["value"] = "changed"
    assert WORK["value"] == "a@x"
    assert value == [{"value": "c@x"}]


JSON = st.recursive(st.none() | st.booleans() | st.integers() | st.text(max_size=3), lambda inner: (
    st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["value", "type", "primary", "name", "x"]), inner, max_size=3)
))  # fmt: skip  # one expression
PATHS = st.sampled_from(
    ["title", "name", "name.givenName", "emails", 'emails[type eq "work"]', 'emails[value eq "a@x"].type', "emails.primary",
     "schemas", "schemas.value", "active", "id", ENTERPRISE, f"{ENTERPRISE}:manager", "", "x[", "userName", "unknown.x"]
)  # fmt: skip  # a list
OPERATIONS = st.fixed_dictionaries(
    {"op": st.sampled_from(["add", "replace", "remove", "Add", "x"])},
    optional={"path": PATHS, "value": JSON | st.dictionaries(PATHS, JSON, max_size=3)},
)


@given(st.lists(OPERATIONS, max_size=4), st.booleans(), st.booleans())
def test_anything_patches_or_is_refused(operations: list[Any], lenient: bool, read: bool) -> None:
    options = {"unknown_paths": lenient, "replace_creates": lenient, "string_booleans": read}
    with contextlib.suppress(PatchError):
        found = patched(EXTENDED, *operations, **options)
        json.dumps(found)
        assert found["userName"]
        assert found["id"] == "1"
        assert sum(isinstance(one, dict) and one.get("primary") is True for one in found.get("emails", ())) <= 1
