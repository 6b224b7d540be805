"""The paths of PATCH operations: what is one, what is none, and where the fault is."""

from __future__ import annotations

import pytest

from scimproxy.errors import SyntaxProblem
from scimproxy.scim.filters import AttributePath, Comparison
from scimproxy.scim.paths import PatchPath, PathSyntaxError, parse_path

ENTERPRISE = "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User"
WORK = Comparison(AttributePath(None, "type"), "eq", "work")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("members", PatchPath(AttributePath(None, "members"))),
        ("name.familyName", PatchPath(AttributePath(None, "name", "familyName"))),
        ('emails[type eq "work"]', PatchPath(AttributePath(None, "emails"), WORK)),
        ('emails[type eq "work"].value', PatchPath(AttributePath(None, "emails"), WORK, "value")),
        ("manager.$ref", PatchPath(AttributePath(None, "manager", "$ref"))),
        (f"{ENTERPRISE}:manager.value", PatchPath(AttributePath(ENTERPRISE, "manager", "value"))),
        (f'{ENTERPRISE}:x[type eq "work"].y', PatchPath(AttributePath(ENTERPRISE, "x"), WORK, "y")),
        (ENTERPRISE, PatchPath(AttributePath(*ENTERPRISE.rsplit(":", 1)))),
    ],
)
def test_paths(text: str, expected: PatchPath) -> None:
    assert parse_path(text) == expected
    assert str(expected) == text


@pytest.mark.parametrize(
    ("text", "position", "says"),
    [
        ("", 0, "empty"),
        ("members[", 8, "name of an attribute"),
        ("members[]", 8, "name of an attribute"),
        ('members[value eq "1"', 7, "never closed"),
        ('members[value eq "1"]x', 21, "end of the path"),
        ('members[value eq "1"].', 22, "sub-attribute"),
        ('members[value eq "1"].a.b', 23, "end of the path"),
        ('members[value eq 1a"]', 17, "double quotes"),
        ("name.", 5, "sub-attribute"),
        ("name.a.b", 6, "Unexpected '.'"),
        ("a:b", 0, "no URN"),
        ("a b", 1, "end of the path"),
        ("1a", 0, "name of an attribute"),
        ("urn:x:", 6, "name of an attribute"),
        ('name.x[a eq "1"]', 6, "not a sub-attribute"),
        ("a" * 8193, 8192, "at most 8192"),
    ],
)
def test_what_is_no_path(text: str, position: int, says: str) -> None:
    with pytest.raises(PathSyntaxError, match=says) as caught:
        parse_path(text)
    assert caught.value.position == position
    assert isinstance(caught.value, SyntaxProblem)
