"""Filters on resources: the case rules of the schema, lists, times, null, and what cannot be compared."""

from __future__ import annotations

from typing import Any

import pytest

from scimproxy.scim.filters import (
    Comparison,
    FilterSyntaxError,
    Present,
    check_filter,
    matches,
    matches_element,
    member,
    parse_filter,
)
from scimproxy.scim.schemas import DEFAULT, USER, Attribute, AttributePath, Registry, Schema

CORE = "urn:ietf:params:scim:schemas:core:2.0"
ENTERPRISE = "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User"

BARBARA: dict[str, Any] = {
    "schemas": [f"{CORE}:User", ENTERPRISE],
    "id": "2819c223",
    "externalId": "AbC",
    "userName": "BJensen@Example.com",
    "name": {"familyName": "Jensen", "givenName": ""},
    "title": "",
    "nickName": "Straße",
    "active": False,
    "emails": [
        {"value": "bjensen@example.com", "type": "work", "primary": True},
        {"value": "babs@home.example", "type": "home"},
    ],
    "ims": [],
    "roles": [{"value": None}, {"display": "x"}],
    "x509Certificates": [{"value": "QUJD"}],
    "meta": {"created": "2026-01-31T08:00:00Z", "lastModified": "soon", "location": "https://x/Users/2819c223"},
    ENTERPRISE: {"employeeNumber": "42", "manager": {"value": "26118915", "displayName": "John"}},
    "shoes": 42,
    "tags": ["red", "Blue"],
    "custom": {"deep": [{"x": 1.5}, {"x": 7}]},
    "flag": True,
}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        # case of names, of values by caseExact
        ('userName eq "bjensen@example.com"', True),
        ('USERNAME eq "BJENSEN@EXAMPLE.COM"', True),
        ('userName eq "bjensen"', False),
        ('externalId eq "AbC"', True),
        ('externalId eq "abc"', False),
        ('id eq "2819C223"', False),
        ('nickName eq "STRASSE"', True),
        (f'{CORE}:User:userName sw "bj"', True),
        (f'{CORE.upper()}:USER:username ew "COM"', True),
        (f'{CORE}:User:externalId eq "abc"', False),
        (f'schemas eq "{ENTERPRISE}"', True),
        (f'schemas eq "{CORE}:Group"', False),
        # text
        ('userName co "ENSEN"', True),
        ('externalId co "B"', False),
        ('externalId sw "A"', True),
        ('externalId ew "C"', True),
        ('userName gt "a"', True),
        ('userName lt "a"', False),
        ('userName ge "BJENSEN@example.COM"', True),
        ('userName le "bjensen@example.com"', True),
        ('userName ne "bjensen@EXAMPLE.com"', False),
        ('userName ne "x"', True),
        # parts and lists
        ('name.familyName eq "jensen"', True),
        ('name eq "jensen"', False),
        ('emails.value co "HOME"', True),
        ('emails co "HOME"', True),
        ('emails.type eq "home"', True),
        ('emails.type ne "work"', True),
        ("emails.primary eq true", True),
        ("emails.primary eq null", True),
        ('emails[type eq "work" and value co "home"]', False),
        ('emails[type eq "home" and value co "HOME"]', True),
        ('emails[type eq "home"].value eq "babs@home.example"', True),
        ('emails[type eq "work"].value eq "babs@home.example"', False),
        ('emails[type eq "home"].primary pr', False),
        ('emails[not (type eq "work")]', True),
        ("emails[primary eq true or display pr]", True),
        ('ims[type eq "x"]', False),
        (f'emails[{CORE}:User:type eq "work"]', False),
        ('emails[type.x eq "work"]', False),
        (f'schemas[value eq "{ENTERPRISE}"]', True),
        (f'schemas[value eq "{ENTERPRISE.upper()}"]', False),
        ('schemas[type eq "x"]', False),
        ('tags[value eq "BLUE"]', True),
        ('tags eq "blue"', True),
        ('photos[value eq "x"]', False),
        # extensions
        (f'{ENTERPRISE}:employeeNumber eq "42"', True),
        (f'{ENTERPRISE}:manager.displayName eq "JOHN"', True),
        (f'{ENTERPRISE}:manager eq "26118915"', True),
        (f"{ENTERPRISE} pr", True),
        ('employeeNumber eq "42"', False),
        ('urn:other:1.0:X:y eq "42"', False),
        # pr
        ("userName pr", True),
        ("title pr", False),
        ("active pr", True),
        ("name pr", True),
        ("name.givenName pr", False),
        ("emails pr", True),
        ("ims pr", False),
        ("roles pr", True),
        ("roles.value pr", False),
        ("displayName pr", False),
        ("custom pr", True),
        # null and absence (RFC 7643 section 2.5)
        ("displayName eq null", True),
        ("displayName ne null", False),
        ("userName eq null", False),
        ("userName ne null", True),
        ('displayName ne "x"', True),
        ('displayName eq "x"', False),
        ('displayName eq ""', False),
        ('displayName co ""', False),
        ('displayName gt "a"', False),
        ('title eq ""', True),
        ("ims eq null", True),
        ('ims.type ne "x"', True),
        # what no schema of the resource knows (RFC 7644 section 3.4.2.1)
        ('members ne "x"', False),
        ("members eq null", False),
        ('nothing ne "x"', False),
        ('not (nothing eq "x")', True),
        ("shoes eq 42", True),
        ("shoes eq 42.0", True),
        ("shoes gt 41.5", True),
        ("shoes lt 42", False),
        ("custom.deep pr", True),
        ('custom eq "x"', False),
        ("flag gt true", False),
        ("flag eq true", True),
        # types do not mix
        ("shoes eq true", False),
        ('shoes eq "42"', False),
        ('shoes ne "42"', True),
        ('shoes co "4"', False),
        ("shoes co 4", False),
        ("shoes gt null", False),
        ("active eq false", True),
        ("active ne false", False),
        ("active ne true", True),
        ("active eq 0", False),
        ('active eq "false"', False),
        ('active co "f"', False),
        # times
        ('meta.created eq "2026-01-31T09:00:00+01:00"', True),
        ('meta.created ne "2026-01-31T09:00:00.000+01:00"', False),
        ('meta.created gt "2026-01-31T08:30:00+01:00"', True),
        ('meta.created le "2026-01-31T08:00:00"', True),
        ('meta.created sw "2026-01-31t08"', True),
        ('meta.created lt "tomorrow"', True),
        ('meta.lastModified eq "Soon"', True),
        # logic
        ("userName pr and active pr and title pr", False),
        ("title pr or userName pr and not (ims pr)", True),
        ("not (userName pr)", False),
        # binary and references are case exact
        ('x509Certificates eq "QUJD"', True),
        ('x509Certificates eq "qujd"', False),
        ('meta.location co "/users/"', False),
    ],
)
def test_matches(text: str, expected: bool) -> None:
    wanted = parse_filter(text)
    check_filter(wanted)
    assert matches(wanted, BARBARA) is expected


@pytest.mark.parametrize(
    "text",
    [
        "active gt true",
        "ACTIVE le 1",
        f"{CORE}:User:active lt false",
        'x509Certificates ge "QUJD"',
        'x509Certificates.value ge "QUJD"',
        "emails[primary gt false]",
        "emails[type pr].primary gt false",
        "active gt true and userName pr",
        "userName pr and not (active gt true)",
    ],
)
def test_booleans_and_binaries_have_no_order(text: str) -> None:
    """RFC 7644 table 3: 400 invalidFilter."""
    wanted = parse_filter(text)
    for judge in (lambda: check_filter(wanted), lambda: matches(wanted, BARBARA)):
        with pytest.raises(FilterSyntaxError, match="cannot be compared with"):
            judge()


@pytest.mark.parametrize(
    "text", ["active eq true", "emails[primary eq true].type pr", "a pr or not (b gt 1)", "tags[value gt 1]"]
)
def test_check_lets_the_rest_pass(text: str) -> None:
    check_filter(parse_filter(text))


def test_a_resource_without_schemas_is_of_any() -> None:
    wanted = parse_filter('members.value eq "1" and displayName eq "ADMINS"')
    assert matches(wanted, {"displayName": "Admins", "members": [{"value": "1"}]})
    assert matches(wanted, {"DISPLAYNAME": "Admins", "Members": [{"VALUE": "1"}], "schemas": "broken"})
    assert not matches(wanted, {"displayName": "Admins", "members": "1"})
    assert not matches(parse_filter('members[value eq "2"]'), {"members": [None, "1"]})


def test_ids_of_members_are_case_exact() -> None:
    assert not matches(parse_filter('members[value eq "a"]'), {"members": [{"value": "A"}]})


def test_the_registry_decides() -> None:
    exact = Registry([Schema("urn:x:T", "T", "", (Attribute("code", case_exact=True), Attribute("list", "complex")))])
    wanted = parse_filter('code eq "ABC"')
    assert matches(wanted, {"code": "abc"}, DEFAULT)
    assert not matches(wanted, {"code": "abc"}, exact)
    assert matches(parse_filter("list[value.x pr]"), {"list": {"value": {"x": 1}}}, exact)


def test_elements() -> None:
    emails = USER.attribute("emails")
    wanted = parse_filter('type eq "WORK"')
    assert matches_element(wanted, {"type": "work"}, emails)
    assert not matches_element(wanted, {"type": "home"}, emails)
    assert matches_element(parse_filter('value eq "X"'), "x", None)
    assert not matches_element(Present(AttributePath(None, "type")), "x", emails)
    assert not matches_element(Comparison(AttributePath("urn:x", "type"), "eq", "work"), {"type": "work"}, emails)


def test_member() -> None:
    assert member({"A": 1, "a": 2}, "a") == 2
    assert member({"A": 1}, "a") == 1
    assert member({"A": 1}, "b") is None
    assert member(None, "a") is None
