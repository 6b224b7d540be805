from __future__ import annotations

import pytest

from scimproxy.scim.changes import changes_of, clean, get, hide_passwords, phrase


def patch(*operations: object) -> dict[str, object]:
    return {"schemas": ["urn:ietf:params:scim:api:messages:2.0:PatchOp"], "Operations": list(operations)}


@pytest.mark.parametrize(
    ("operations", "said"),
    [
        ([{"op": "replace", "value": {"active": False}}], "replace active = false"),
        ([{"op": "Replace", "path": "active", "value": "False"}], "replace active = False"),
        ([{"op": "replace", "value": {"id": "1", "displayName": "New"}}], "replace displayName = New"),
        ([{"op": "replace", "value": {"id": "1"}}], "replace id = 1"),
        ([{"op": "replace", "value": 3}], "replace"),
        ([{"path": "title", "value": None}], "change title = null"),
        ([{"op": 5, "path": "title", "value": 1.5}], "change title = 1.5"),
        ([{"op": "remove", "path": "title", "value": "x"}], "remove title"),
        ([{"op": "replace", "path": "urn:a:b:User:department", "value": "x"}], "replace department = x"),
        (
            [{"op": "replace", "path": 'emails[type eq "work"].value', "value": "a@b"}],
            'replace emails[type eq "work"].value = a@b',
        ),
        ([{"op": "add", "path": "emails", "value": [{"value": 1}]}], "add emails (1 value)"),
        ([{"op": "add", "path": "emails", "value": [1, 2]}], "add emails (2 values)"),
        ([{"op": "add", "path": "name", "value": {"a": 1}}], "add name (1 part)"),
        ([{"op": "add", "path": "name", "value": {"a": 1, "b": 2}}], "add name (2 parts)"),
        ([{"op": "add", "path": "members", "value": [{"value": "1"}, {"value": "2"}]}], "add 2 members"),
        ([{"op": "add", "path": "members", "value": {"value": "1"}}], "add 1 member"),
        ([{"op": "add", "value": {"members": [{"value": "1"}]}}], "add 1 member"),
        ([{"op": "add", "path": "members"}], "add no members"),
        ([{"op": "remove", "path": "members"}], "remove all members"),
        ([{"op": "remove", "path": 'members[value eq "1"]'}], "remove 1 member"),
        (
            [{"op": "replace", "path": 'members[value eq "1"].display', "value": "x"}],
            'replace members[value eq "1"].display = x',
        ),
        ([{"op": "replace", "path": "members", "value": []}], "remove all members"),
        ([{"op": "replace", "path": "Members", "value": [1, 2, 3]}], "replace all members by 3"),
        (
            [
                {"op": "remove", "path": 'members[value eq "1"]'},
                {"op": "add", "path": "members", "value": [1]},
                {"op": "add", "path": "members", "value": [2]},
            ],
            "remove 1 member, add 2 members",
        ),
        ([{"op": "add", "path": p, "value": 1} for p in "abcd"], "4 changes"),
        ([{"op": "add", "path": p * 50, "value": "x" * 50} for p in "ab"], "2 changes"),
        ([{"op": "add", "path": "n", "value": "x" * 50}], "add n = " + "x" * 39 + "…"),
        ([{"op": "add", "path": "  ", "value": {"": 1}}, "junk"], "change"),
    ],
)
def test_operations_in_words(operations: list[object], said: str) -> None:
    assert phrase(changes_of(patch(*operations))) == said


@pytest.mark.parametrize(
    "operation",
    [
        {"op": "replace", "path": "password", "value": "hunter2"},
        {"op": "replace", "path": "urn:ietf:params:scim:schemas:core:2.0:User:Password", "value": "hunter2"},
        {"op": "replace", "value": {"password": "hunter2"}},
        {"op": "replace", "value": {"password": "hunter2", "active": True}},
        {"op": "remove", "path": 'x[password eq "hunter2"]'},
        {"op": "remove", "path": 'x[PASSWORD sw "hunter2'},
    ],
)
def test_no_password_is_told(operation: dict[str, object]) -> None:
    said = " ".join(changes_of(patch(operation)))
    assert said and "hunter2" not in said


def test_partial_resources_of_scim_1() -> None:
    body = {
        "schemas": ["urn:scim:schemas:core:1.0"],
        "id": "1",
        "meta": {"attributes": ["title"]},
        "active": False,
        "members": [{"value": "1", "operation": "delete"}, {"value": "2"}],
    }
    assert changes_of(body) == ("remove title", "replace active = false", "remove 1 member", "add 1 member")
    assert changes_of({"members": "junk", "password": "hunter2"}) == ("replace all members by 1", "replace password")
    assert changes_of({"members": [{"value": "1"}]}) == ("add 1 member",)
    assert changes_of(None) == ()


def test_clean_makes_one_short_line() -> None:
    assert clean("a\r\n\x1b[31mb\u202e", 20) == "a\ufffd[31mb\ufffd"
    assert clean("x" * 30, 5) == "xxxx…"


def test_get_ignores_case_and_takes_anything() -> None:
    assert get({"UserName": 1}, "userName") == 1
    assert get({"userName": 2, "USERNAME": 1}, "userName") == 2
    assert get({}, "x") is None
    assert get([1], "x") is None


def test_hide_passwords_keeps_the_rest_of_a_filter() -> None:
    hidden = hide_passwords('userName eq "a" and password eq "s\\"e c" or (Password ne 12)')
    assert hidden == 'userName eq "a" and password eq "***" or (Password ne "***")'
