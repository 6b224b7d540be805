from __future__ import annotations

import factories
import pytest

from scimproxy.bind import Bindings, Bound, Place, place_of, role_of, type_of
from scimproxy.bodies import seen
from scimproxy.errors import FormatError


@pytest.mark.parametrize(
    ("path", "role"),
    [
        ("", "text"),
        ("id", "id"),
        ("resources id", "id"),
        ("operations data id", "id"),
        ("authenticationschemes id", "text"),
        ("externalid", "externalId"),
        ("meta location", "location"),
        ("location", "text"),
        ("members $ref", "location"),
        ("members value", "member"),
        ("groups value", "member"),
        ("urn:x manager value", "member"),
        ("emails value", "name"),
        ("roles value", "text"),
        ("meta version", "version"),
        ("operations version", "version"),
        ("operations bulkid", "bulkId"),
        ("operations path", "path"),
        ("operations location", "location"),
        ("username", "name"),
        ("name familyname", "name"),
        ("password", "secret"),
        ("filter", "filter"),
        ("detail", "detail"),
        ("totalresults", "text"),
    ],
)
def test_roles(path: str, role: str) -> None:
    assert role_of(tuple(path.split())) == role


def test_types() -> None:
    assert [type_of(name) for name in ("Users", "Groups", "Devices", "Me")] == ["User", "Group", "Device", "Me"]


def test_the_first_binding_stands_and_a_role_is_its_own_room() -> None:
    bindings = Bindings()
    assert bindings.same("User", "1", "7")
    assert bindings.same("User", "1", "7")
    assert not bindings.same("User", "1", "8")
    assert not bindings.same("User", "2", "7")
    assert bindings.same("Group", "1", "3"), "a group's 1 is not a user's"
    assert bindings.same("User", "3", "1")
    assert (bindings.b_of("User", "1"), bindings.a_of("User", "7")) == ("7", "1")
    assert (bindings.b_of("User", "9"), bindings.a_of("User", "9")) == (None, None)
    assert not bindings.same_text("1 of 5", "7 of 5"), "an id touches no other number"
    assert bindings.same_text("Resource 1 not found", "Resource 7 not found", ids=True)


def test_names_are_found_in_every_case_and_inside_texts() -> None:
    bindings = Bindings()
    bindings.sent("Ada.1234@x.org", "Eve.98765@x.org")
    bindings.sent("same", "same")
    assert bindings.same_text("ADA.1234@X.ORG", "EVE.98765@X.ORG")
    assert bindings.same_text("user 1234 is taken", "user 98765 is taken")
    assert not bindings.same_text("Ada", "Eve"), "three letters are no word to bind"
    assert not bindings.same_text("Ada.1234@x.org", "eve.98765@x.org"), "the case is not that of the other"
    assert not bindings.same_text("user 1234 is taken", "user 98765 is not taken")
    assert not bindings.same_text("a" * 70_000, "b" * 70_000)
    bindings.sent("Ann Lee", "Bob")
    bindings.sent("x" * 70_000, "y" * 70_000)
    assert bindings.same_text("Ann Lee", "Bob"), "a whole name binds though its words do not"
    assert not bindings.same_text("Dear Ann Lee", "Dear Bob")


def test_the_table_is_shown_edited_and_passed_in() -> None:
    bindings = Bindings()
    bindings.same("User", "1", "7")
    bindings.same("User", "same", "same")
    bindings.sent("Ada.1234", "Eve.5678")
    assert bindings.rows() == [Bound("User", "1", "7"), Bound("name", "Ada.1234", "Eve.5678")]
    again = Bindings.from_json(bindings.to_json())
    assert again.rows() == bindings.rows()
    assert again.same_text("ada.1234", "eve.5678")


@pytest.mark.parametrize("text", ["", "7", '["a"]', '[{"role": "User"}]', "[" * 100_000])
def test_a_table_that_is_none(text: str) -> None:
    with pytest.raises(FormatError, match="no list of role, a and b"):
        Bindings.from_json(text)


@pytest.mark.parametrize(
    ("a", "b", "same"),
    [
        ('userName eq "Ada"', 'username EQ "Eve"', True),
        ('userName eq "Ada"', 'userName sw "Ada"', False),
        ('userName eq "Ada"', "userName pr", False),
        ("userName pr", "USERNAME pr", True),
        ('id eq "1"', 'id eq "7"', True),
        ('id eq "1"', 'id eq "8"', False),
        ('externalId eq "4711"', 'externalId eq "4712"', True),
        ('members.value eq "1"', 'members.value eq "7"', True),
        ("active eq true", "active eq true", True),
        ("active eq true", "active eq false", False),
        ("x eq 1", "x eq true", False),
        ('title eq "Boss"', 'title eq "Clerk"', False),
        ('userName eq "Ada" and active eq true', 'userName eq "Eve" and active eq true', True),
        ("a pr and b pr", "a pr or b pr", False),
        ("a pr and b pr", "a pr and b pr and c pr", False),
        ("not (a pr)", "not (a pr)", True),
        ("not (a pr)", "not (b pr)", False),
        ('emails[type eq "work"]', 'emails[type eq "work"]', True),
        ('emails[type eq "work"]', 'phones[type eq "work"]', False),
        ('members[value eq "1"]', 'members[value eq "7"]', True),
        ('members[value eq "1"]', 'members[value eq "9"]', False),
        ('emails[type eq "work"].value eq "ada@x"', 'emails[type eq "work"].value eq "eve@x"', True),
        ('emails[type eq "work"].value eq "ada@x"', 'emails[type eq "work"]', False),
        ("userName eq", "userName eq", True),
        ("userName eq", "userName ne", False),
    ],
)
def test_filters(a: str, b: str, same: bool) -> None:
    bindings = Bindings([Bound("User", "1", "7")])
    assert bindings.same_filter(a, b, "User") is same


@pytest.mark.parametrize(
    ("a", "b", "same"),
    [
        ('members[value eq "1"]', 'members[value eq "7"]', True),
        ('members[value eq "1"]', 'members[value eq "9"]', False),
        ('members[value eq "1"].display', 'members[value eq "7"].display', True),
        ('members[value eq "1"].display', 'members[value eq "7"].value', False),
        ("name.familyName", "NAME.familyname", True),
        ("members", 'members[value eq "1"]', False),
        ("/Users/1", "/Users/7", True),
        ("=", "==", False),
    ],
)
def test_paths_of_patches(a: str, b: str, same: bool) -> None:
    assert Bindings([Bound("User", "1", "7")]).same_path(a, b) is same


HERE = seen(factories.exchange("GET", "/scim/v2/Users/1"))
"""It asked scim.example; the server behind is 127.0.0.1:8000."""


@pytest.mark.parametrize(
    ("url", "place"),
    [
        ("http://scim.example/scim/v2/Users/1", Place("server", "base", "Users", "1", "")),
        ("https://127.0.0.1:8000/scim/v2/Users/1", Place("server", "base", "Users", "1", "")),
        ("/scim/v2/Users/a%20b", Place("relative", "base", "Users", "a b", "")),
        ("/Users/1", Place("relative", "", "Users", "1", "")),
        ("../Users/1", Place("relative", "/..", "Users", "1", "")),
        ("http://localhost:99/scim/v2/Users/1", Place("localhost", "base", "Users", "1", "")),
        ("http://other:99/scim/v2/Users/1?a=b", Place("http://other:99", "base", "Users", "1", "?a=b")),
        ("http://scim.example/scim/v2/scim/v2/Users/1/x", Place("server", "base/scim/v2", "Users", "1", "x")),
        ("http://scim.example/scim/v2", Place("server", "base", "", "", "")),
        ("http://[::1", Place("unreadable", "http://[::1", "", "", "")),
        ("urn:x", Place("relative", "urn:x", "", "", "")),
    ],
)
def test_where_a_url_leads(url: str, place: Place) -> None:
    found = place_of(url, HERE)
    if url == "urn:x":
        assert (found.where, found.endpoint) == ("relative", "")
    else:
        assert found == place


def test_places_of_servers_without_a_base() -> None:
    other = seen(factories.exchange("GET", "/health", host=None, upstream_address=None))
    assert place_of("/health", other) == Place("relative", "/health", "", "", "")


@pytest.mark.parametrize(
    ("a", "b", "same"),
    [
        ("/scim/v2/Users/1", "/scim/v2/Users/7", True),
        ("/scim/v2/Users/1", "/scim/v2/Users/8", False),
        ("/scim/v2/Users/1", "/scim/v2/Groups/7", False),
        ("/scim/v2/Users/1", "/scim/v2/Users", False),
        ("/scim/v2/Users", "/scim/v2/Users", True),
        ("/scim/v2/Users/bulkId:a", "/scim/v2/Users/bulkId:b", True),
        ("/scim/v2", "/scim/v2", True),
    ],
)
def test_places_lead_to_the_same_resource(a: str, b: str, same: bool) -> None:
    bindings = Bindings([Bound("User", "1", "7")])
    assert bindings.same_place(place_of(a, HERE), place_of(b, HERE)) is same


def test_discovery_ids_are_names_of_their_own() -> None:
    schema = seen(factories.exchange("GET", "/scim/v2/Schemas/urn:a"))
    places = [place_of(f"/scim/v2/Schemas/{one}", schema) for one in ("urn:a", "urn:b")]
    assert Bindings().same_place(places[0], places[0])
    assert not Bindings().same_place(*places)


def test_names_of_a_run_in_the_other() -> None:
    bindings = Bindings([Bound("name", "Ann", "Eve-1")])
    assert [bindings.renamed(one) for one in ("Ann", "ANN", "ann", "aNN", "bob")] == [
        "Eve-1",
        "EVE-1",
        "eve-1",
        "aNN",
        "bob",
    ]


def test_groups_are_members_too() -> None:
    bindings = Bindings([Bound("Group", "1", "2"), Bound("User", "1", "3")])
    assert bindings.same_filter('members.value eq "1"', 'members.value eq "2"', "Group")
    assert bindings.same_filter('members.value eq "1"', 'members.value eq "3"', "Group")
    assert not bindings.same_filter('members.value eq "1"', 'members.value eq "4"', "Group")


def test_ids_of_another_form_in_texts() -> None:
    bindings = Bindings([Bound("User", "7", "0c2f8a3e-1111")])
    assert bindings.same_text("User 7 is not there", "User 0c2f8a3e-1111 is not there", ids=True)
    assert not bindings.same_text("User 7 is not there", "User 0c2f8a3e-1111 is not there")
