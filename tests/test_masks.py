from __future__ import annotations

from dataclasses import replace
from typing import Any

import factories
import pytest

from scimproxy.bind import Bindings
from scimproxy.bodies import seen
from scimproxy.diff import differences
from scimproxy.errors import UsageError
from scimproxy.masks import Masks

URN = "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User"
A: dict[str, Any] = {
    "userName": "ann",
    "title": "Boss",
    "meta": {"hits": 1, "kind": "a"},
    "emails": [{"value": "a@x", "type": "work", "display": "A"}, {"value": "b@x", "type": "home", "display": "B"}],
    "tags": ["one", "two"],
    URN: {"department": "x", "division": "x"},
}
B: dict[str, Any] = {
    "userName": "ann",
    "title": "Clerk",
    "meta": {"hits": 2, "kind": "b"},
    "emails": [
        {"value": "a@x", "type": "work", "display": "1"},
        {"value": "b@x", "type": "home", "display": "2"},
        {"value": "c@x", "type": "other"},
    ],
    "tags": ["one", "two", "six"],
    URN: {"department": "y", "division": "y"},
}


def masked(*masks: str, a: Any = A, b: Any = B, listed: bool = False) -> list[str]:
    """Return the places that the masks cover."""
    if listed:
        a, b = {"Resources": [{"id": "1"}, {"id": "2", **a}]}, {"Resources": [{"id": "1"}, {"id": "2", **b}]}
    pair = [seen(factories.exchange("GET", "/scim/v2/Users/1", answer=body)) for body in (a, b)]
    read = Masks(masks)
    found = differences(pair[0], pair[1], Bindings(), again=lambda one: read.applied(one, pair[0]))
    return [one.pointer.removeprefix("/response/body") for one in found if one.reason.startswith("masked by --mask ")]


@pytest.mark.parametrize(
    ("mask", "places"),
    [
        ("title", ["/title"]),
        ("TITLE", ["/title"]),
        ("meta", ["/meta/hits", "/meta/kind"]),
        ("meta.hits", ["/meta/hits"]),
        ("meta.hit", []),
        ("hits", []),
        ("emails.display", ["/emails/0/display", "/emails/1/display"]),
        ("emails", ["/emails/0/display", "/emails/1/display", "/emails/2"]),
        ('emails[type eq "work"].display', ["/emails/0/display"]),
        ('emails[type eq "home"]', ["/emails/1/display"]),
        ('emails[type eq "other"]', ["/emails/2"]),
        ("emails[type gt true]", []),
        ('tags[value eq "six"]', ["/tags/2"]),
        ('meta[kind eq "a"]', []),
        (f"{URN}:department", [f"/{URN}/department"]),
        ("urn:ietf:params:scim:schemas:core:2.0:User:title", ["/title"]),
    ],
)  # fmt: skip
def test_paths_of_attributes(mask: str, places: list[str]) -> None:
    assert masked(mask) == places
    assert masked(mask, listed=True) == [f"/Resources/1{place}" for place in places]


@pytest.mark.parametrize(
    ("mask", "places"),
    [
        ("/response/body/title", ["/title"]),
        ("/response/body/emails/*/display", ["/emails/0/display", "/emails/1/display"]),
        ("/response/body/emails/2", ["/emails/2"]),
        ("/*/body/meta", ["/meta/hits", "/meta/kind"]),
        ("/response/body/Title", []),
        ("/request", []),
        ("/response/body/title/x", []),
    ],
)
def test_pointers(mask: str, places: list[str]) -> None:
    assert masked(mask) == places


def test_a_list_of_resources_is_none_of_their_attributes() -> None:
    assert masked("title", a={"Resources": 1}, b={"Resources": 2}) == []
    assert masked("resources", a={"Resources": 1}, b={"Resources": 2}) == ["/Resources"]


def test_pointers_are_escaped() -> None:
    assert masked("/response/body/a~1b~0", a={"a/b~": 1}, b={"a/b~": 2}) == ["/a~1b~0"]


def test_the_first_that_covers_is_the_reason_and_whatever_it_is_becomes_noise() -> None:
    pair = [seen(factories.exchange(answer=body)) for body in ({"a": 1, "b": 1}, {"a": 2})]
    masks = Masks(["c", "a", "/response/body"])
    found = differences(pair[0], pair[1], Bindings(), again=lambda one: masks.applied(one, pair[0]))
    assert [(one.pointer, one.change, one.verdict, one.reason) for one in found] == [
        ("/response/body/a", "value", "noise", "masked by --mask a"),
        ("/response/body/b", "missing", "noise", "masked by --mask /response/body"),
    ]


def test_headers_and_parameters() -> None:
    asked = [
        factories.exchange(request=factories.request("GET", f"/scim/v2/Users?count={n}&x={n}", headers={"X-Run": n}))
        for n in "12"
    ]
    answered = [
        seen(replace(one, response=factories.response(200, headers={"X-Build": n, "X-A": n, "Link": n})))
        for one, n in zip(asked, "12", strict=True)
    ]
    found = differences(answered[0], answered[1], Bindings())

    def covered(*masks: str) -> list[str]:
        read = Masks(masks)
        return [one.pointer for one in found if read.applied(one, answered[0]) is not one]

    every = [one.pointer for one in found]
    assert every == [
        "/request/query/count", "/request/query/x", "/request/headers/x-run",
        "/response/headers/link", "/response/headers/x-a", "/response/headers/x-build",
    ]  # fmt: skip
    assert covered("header:x-build") == ["/response/headers/x-build"]
    assert covered("Header: X-*") == ["/request/headers/x-run", "/response/headers/x-a", "/response/headers/x-build"]
    assert covered("header:x") == []
    assert covered("query:count") == ["/request/query/count"]
    assert covered("query:*") == ["/request/query/count", "/request/query/x"]
    assert covered("/response/headers/X-Build") == ["/response/headers/x-build"]
    assert covered("count", "x-build") == []


def test_what_stands_in_a_patch() -> None:
    def patch(value: Any, path: str | None = None) -> Any:
        change = {"op": "replace", "value": value} | ({"path": path} if path else {})
        made = factories.request("PATCH", "/scim/v2/Users/1", body={"Operations": [change]})
        return seen(factories.exchange(request=made))

    def covered(mask: str, a: Any, b: Any) -> list[str]:
        read = Masks([mask])
        found = differences(a, b, Bindings(), again=lambda one: read.applied(one, a))
        return [one.pointer for one in found if one.verdict == "noise"]

    assert covered("title", patch({"title": "a"}), patch({"title": "b"})) == [
        "/request/body/Operations/0/value/title"
    ]
    assert covered("title", patch("a", "title"), patch("b", "title")) == ["/request/body/Operations/0/value"]
    mail = 'emails[type eq "work"].note'
    assert covered("emails.note", patch("a", mail), patch("b", mail)) == ["/request/body/Operations/0/value"]
    assert covered(mail, patch("a", mail), patch("b", mail)) == [], "the element is on the server"
    mails = [[{"type": "work", "note": one}] for one in "ab"]
    assert covered(mail, patch(mails[0], "emails"), patch(mails[1], "emails")) == [
        "/request/body/Operations/0/value/0/note"
    ]
    inside = [{"emails": mail} for mail in mails]
    assert covered(mail, patch(inside[0]), patch(inside[1])) == ["/request/body/Operations/0/value/emails/0/note"]


def test_what_has_no_place_is_not_masked() -> None:
    one, two = seen(factories.exchange(answer={})), seen(factories.exchange(answer={f"a{n}": n for n in range(300)}))
    masks = Masks(["a1", "/response"])
    last = differences(one, two, Bindings(), again=lambda it: masks.applied(it, one))[-1]
    assert (last.pointer, last.verdict, masks.applied(last, one)) == ("", "noise", last)
    narrow = Masks(["a1"])
    assert differences(one, two, Bindings(), again=lambda it: narrow.applied(it, one))[-1].verdict == "additive"


def test_files() -> None:
    assert list(Masks.from_file("# ours\n\n  meta.created \r\nheader:X\n")) == ["meta.created", "header:X"]


@pytest.mark.parametrize(
    ("mask", "message"),
    [
        ("", "cannot be read"),
        ("emails[", "cannot be read"),
        ("header:", "cannot be read"),
        ("/body/title", "leads nowhere"),
        ("a" * 1001, "longer than 1000"),
    ],
)
def test_what_cannot_be_read(mask: str, message: str) -> None:
    with pytest.raises(UsageError, match=message) as found:
        Masks([mask])
    assert found.value.hint


def test_there_are_only_so_many() -> None:
    with pytest.raises(UsageError, match="1,001 masks"):
        Masks(["a"] * 1001)
