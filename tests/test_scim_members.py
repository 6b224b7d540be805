"""The form of `members`, and the index of who is in what."""

from __future__ import annotations

import pytest

from scimproxy.scim.dialect import Refusal
from scimproxy.scim.members import Members, settled


def test_members_are_named_once_by_value_or_reference() -> None:
    given = [{"value": "a", "display": "A"}, {"$ref": "https://x/Users/b/"}, {"value": "a", "type": "User"}]
    assert settled(given, own_id="g", described=lambda _: {}) == [{"value": "a", "display": "A"}, {"value": "b"}]


def test_what_the_server_says_anyway_is_not_kept() -> None:
    own = {"type": "User", "display": "A"}
    given = [{"value": "a", "display": "A", "type": "User"}, {"value": "b", "display": "Other", "type": "User"}]
    assert settled(given, own_id="g", described=lambda _: own) == [{"value": "a"}, {"value": "b", "display": "Other"}]


@pytest.mark.parametrize("member", [{"display": "nobody"}, {"value": "g"}, {"value": "ghost"}])
def test_impossible_members_are_refused(member: dict[str, str]) -> None:
    with pytest.raises(Refusal) as caught:
        settled([{"value": "a"}, member], own_id="g", described={"a": {}, "g": {}}.get)
    assert (caught.value.status, caught.value.scim_type) == (400, "invalidValue")
    assert "members[1]" in caught.value.detail


def test_walks_up_and_down() -> None:
    index = Members()
    index.put("inner", ["u", "u", "v"])
    index.put("outer", ["inner", "u"])
    assert index.direct("u") == ("inner", "outer")
    assert index.above("v") == ("inner", "outer")
    assert index.below(["outer"]) == ("outer", "inner", "u", "v")
    index.put("inner", ["v"])
    assert index.direct("u") == ("outer",)
    index.put("outer", [])
    assert index.above("u") == () and index.above("v") == ("inner",)


def test_circles_end() -> None:
    index = Members()
    index.put("a", ["b"])
    index.put("b", ["a"])
    assert index.above("a") == ("b",)
    assert index.below(["a"]) == ("a", "b")
