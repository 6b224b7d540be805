from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import factories
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scimproxy.bind import Bindings
from scimproxy.bodies import seen
from scimproxy.diff.differences import MOST, Agreed, Difference, differences
from scimproxy.exchange import Content, Exchange, Failure

USER = {
    "schemas": ["urn:ietf:params:scim:schemas:core:2.0:User"],
    "id": "1",
    "externalId": "e1",
    "userName": "ann",
    "title": "Boss",
    "active": True,
    "emails": [{"value": "a@x", "type": "work"}, {"value": "b@x", "type": "home"}],
    "meta": {
        "created": "2026-01-01T00:00:00Z",
        "version": 'W/"1"',
        "location": "http://scim.example/scim/v2/Users/1",
    },
}


def diff(a: Exchange, b: Exchange, bindings: Bindings | None = None) -> list[Difference]:
    return differences(seen(a), seen(b), bindings or Bindings())


def told(a: Exchange, b: Exchange) -> list[tuple[str, str, str]]:
    return [(one.pointer, one.change, one.verdict) for one in diff(a, b)]


def read(body: Any, **headers: str) -> Exchange:
    made = factories.exchange("GET", "/scim/v2/Users/1")
    return replace(made, response=factories.response(200, body, headers=headers))


def user(**changes: Any) -> dict[str, Any]:
    return {**USER, **changes}


NOT_THE_SAME: list[tuple[str, Any, list[tuple[str, str, str]]]] = [
    ("dropped", {k: v for k, v in USER.items() if k != "title"}, [("title", "missing", "breaking")]),
    ("extra", user(nickName="x"), [("nickName", "added", "additive")]),
    ("type", user(active="True"), [("active", "type", "breaking")]),
    ("null", user(title=None), [("title", "missing", "breaking")]),
    ("value", user(title="Clerk"), [("title", "value", "changed")]),
    ("flag", user(active=False), [("active", "value", "changed")]),
    ("order", user(emails=USER["emails"][::-1]), [("emails", "order", "noise")]),  # type: ignore[index]
    ("element gone", user(emails=USER["emails"][:1]), [("emails/1", "missing", "breaking")]),  # type: ignore[index]
    ("element new", user(emails=[*USER["emails"], {"value": "c"}]), [("emails/2", "added", "additive")]),  # type: ignore[misc]
    ("empty", user(members=[]), [("members", "empty", "noise")]),
    ("urn", user(schemas=["urn:x"]), [("schemas/0", "value", "changed")]),
    ("list or not", user(emails={"value": "a@x"}), [("emails", "type", "breaking")]),
    ("date", user(meta={**USER["meta"], "created": "2026-01-01 00:00:00"}), [("meta/created", "form", "changed")]),  # type: ignore[dict-item]
    (
        "relative",
        user(meta={**USER["meta"], "location": "/Users/1"}),  # type: ignore[dict-item]
        [("meta/location", "form", "breaking")],
    ),
    (
        "elsewhere",
        user(meta={**USER["meta"], "location": "http://scim.example/scim/v2/Users/9"}),  # type: ignore[dict-item]
        [("meta/location", "other", "breaking")],
    ),
    ("another", user(id="2"), [("id", "other", "breaking")]),
    ("case", {("TITLE" if k == "title" else k): v for k, v in USER.items()}, [("title", "case", "noise")]),
    ("number", user(title=7), [("title", "type", "breaking")]),
]


@pytest.mark.parametrize(("name", "body", "found"), NOT_THE_SAME, ids=[case[0] for case in NOT_THE_SAME])
def test_bodies(name: str, body: Any, found: list[tuple[str, str, str]]) -> None:
    known = [(f"/response/body/{place}", change, verdict) for place, change, verdict in found]
    assert told(read(USER), read(body)) == known


THE_SAME: list[tuple[str, Any, Any]] = [
    (
        "dates",
        user(meta={"created": "2026-01-01T00:00:00Z"}),
        user(meta={"created": "2027-02-02T01:02:03.456+00:00"}),
    ),
    ("version", USER, user(meta={**USER["meta"], "version": 'W/"abc"'})),  # type: ignore[dict-item]
    ("external", user(externalId="e1"), user(externalId="e2")),
    ("password", user(password="a"), user(password="b")),
    ("names in other case apart", {"a": 1, "A": 2}, {"A": 2, "a": 1}),
    ("integer or not", {"a": 1}, {"a": 1.0}),
    ("date in a text", {"detail": "at 2026-01-01T00:00:00Z"}, {"detail": "at 2026-01-02T00:00:00Z"}),
    ("groups", user(groups=[{"value": "1"}]), user(groups=[{"value": "4"}])),
    ("bulk", {"Operations": [{"bulkId": "a"}]}, {"Operations": [{"bulkId": "b"}]}),
    ("paths", {"Operations": [{"path": "/Users/1"}]}, {"Operations": [{"path": "/Users/1"}]}),
]


@pytest.mark.parametrize(("name", "a", "b"), THE_SAME, ids=[case[0] for case in THE_SAME])
def test_what_always_differs_is_no_difference(name: str, a: Any, b: Any) -> None:
    assert told(read(a), read(b)) == []


def test_each_difference_says_what_makes_b_of_a() -> None:
    found = diff(read({"a": 1, "b": 2, "c": None, "d": 1}), read({"a": 2, "D": 1, "e": 1}))
    assert [(one.op, one.in_a, one.in_b) for one in found] == [
        ("replace", True, True),
        ("remove", True, False),
        ("remove", True, False),
        ("move", True, True),
        ("add", False, True),
    ]


def test_members_of_case_alone_are_not_confused() -> None:
    assert told(read({"a": 1, "b": 2}), read({"A": 1, "a": 1})) == [
        ("/response/body/b", "missing", "breaking"),
        ("/response/body/A", "added", "additive"),
    ]
    assert told(read({"aa": 1}), read({"AA": 1, "Aa": 1}))[0] == ("/response/body/aa", "missing", "breaking")


@pytest.mark.parametrize(
    ("a", "b", "found"),
    [
        ({"Location": "http://scim.example/scim/v2/Users/1"}, {}, [("location", "missing", "changed")]),
        ({"Location": "/scim/v2/Users/1"}, {"Location": "http://scim.example/scim/v2/Users/1"}, [("location", "form", "breaking")]),
        ({"Location": "/scim/v2/Users/1"}, {"Location": "/scim/v2/Users/5"}, [("location", "other", "breaking")]),
        ({"ETag": 'W/"1"'}, {"ETag": 'W/"2"'}, []),
        ({"ETag": 'W/"1"'}, {"ETag": '"1"'}, [("etag", "form", "changed")]),
        ({"ETag": 'W/"1"'}, {}, [("etag", "missing", "changed")]),
        ({}, {"ETag": 'W/"1"'}, [("etag", "added", "additive")]),
        ({"Content-Type": "application/json; charset=UTF-8"}, {"Content-Type": "application/json"}, []),
        ({"Content-Type": "application/json"}, {"Content-Type": "application/scim+json"}, [("content-type", "value", "changed")]),
        ({"Content-Type": "application/json"}, {"Content-Type": "text/html"}, [("content-type", "body", "breaking")]),
        ({"Date": "a", "X-Forwarded-For": "1"}, {"Date": "b", "X-Request-Id": "2"}, []),
        ({"Set-Cookie": "a=1"}, {"Set-Cookie": "a=2"}, []),
        ({}, {"Set-Cookie": "a=2"}, [("set-cookie", "added", "additive")]),
        ({"X-A": "1"}, {"X-A": "2"}, [("x-a", "value", "changed")]),
        ({"Retry-After": "Tue, 24 Nov 2026 10:00:00 GMT"}, {"Retry-After": "Wed, 25 Nov 2026 10:00:00 GMT"}, []),
    ],
)  # fmt: skip
def test_headers(a: dict[str, str], b: dict[str, str], found: list[tuple[str, str, str]]) -> None:
    known = [(f"/response/headers/{place}", change, verdict) for place, change, verdict in found]
    pair = [
        replace(factories.exchange("GET", "/scim/v2/Users/1"), response=factories.response(200, headers=it))
        for it in (a, b)
    ]
    assert told(*pair) == known


def test_a_location_that_clients_need() -> None:
    made = factories.exchange("POST", "/scim/v2/Users", status_code=201)
    with_it = replace(made, response=factories.response(201, headers={"Location": "/scim/v2/Users/1"}))
    assert told(with_it, made) == [("/response/headers/location", "missing", "breaking")]
    moved = factories.exchange("GET", "/scim/v2/Users/1", status_code=308)
    with_it = replace(moved, response=factories.response(308, headers={"Location": "/scim/v2/Users/1"}))
    assert told(with_it, moved) == [("/response/headers/location", "missing", "breaking")]


def test_etag_that_agrees_with_the_body_in_one_run_only() -> None:
    other = user(meta={**USER["meta"], "version": 'W/"7"'})  # type: ignore[dict-item]
    assert told(read(USER, ETag='W/"1"'), read(other, ETag='W/"1"')) == [
        ("/response/headers/etag", "other", "changed")
    ]
    assert told(read([], ETag='W/"1"'), read([], ETag='W/"2"')) == []
    assert told(read({"meta": 1}, ETag='W/"1"'), read({"meta": 1}, ETag='W/"2"')) == []


@pytest.mark.parametrize(
    ("a", "b", "found"),
    [
        (b"<p>1</p>", b"<p>2</p>", [("value", "changed")]),
        (b"at 2026-01-01T00:00:00Z", b"at 2026-01-02T00:00:00Z", []),
        (b"{}", b"<p>", [("body", "breaking")]),
        (b"", b"{}", [("added", "additive")]),
        (b"{}", b"", [("missing", "breaking")]),
        (b"\x00\x01", b"\x00\x02", [("value", "changed")]),
        (b"\x00\x01", b"\x00\x01", []),
        (b"[" * 500 + b"]" * 500, b"{}", [("body", "breaking")]),
        (b"[" * 500 + b"]" * 500, b"[" * 500 + b"]" * 500, []),
    ],
)
def test_bodies_that_are_no_json(a: bytes, b: bytes, found: list[tuple[str, str]]) -> None:
    made = [read(it) for it in (a, b)]
    bodies = [one for one in told(*made) if one[0] == "/response/body"]
    assert bodies == [("/response/body", change, verdict) for change, verdict in found]


def test_a_byte_order_mark() -> None:
    bare, marked = read(b'{"a": 1}'), read(b'\xef\xbb\xbf{"a": 1}')
    place = "/response/byte_order_mark"
    assert [one for one in told(bare, marked) if one[0] == place] == [(place, "added", "changed")]
    assert [one for one in told(marked, bare) if one[0] == place] == [(place, "missing", "changed")]
    assert told(marked, marked) == []


def test_statuses_and_failures() -> None:
    ok, gone = read(USER), factories.exchange("GET", "/scim/v2/Users/1", status_code=404, answer={"status": "404"})
    assert told(ok, gone) == [("/response/status", "status", "breaking"), ("/response/body", "error", "changed")]
    empty = [factories.exchange("DELETE", "/scim/v2/Users/1", status_code=code) for code in (204, 500, 200)]
    assert told(empty[0], empty[1]) == [("/response/status", "status", "breaking")]
    assert told(empty[0], empty[2]) == [("/response/status", "status", "breaking")]
    broken = replace(ok, response=None, failure=Failure("closed", "it closed"))
    assert told(ok, broken) == [("/failure", "failure", "breaking")]
    assert told(broken, broken) == []
    pending = replace(ok, response=None)
    assert told(ok, pending) == [("/response", "failure", "breaking")]
    assert told(pending, pending) == []
    old = replace(ok, response=replace(ok.response, http_version="1.0"))  # type: ignore[type-var]
    assert told(ok, old) == [("/response/http_version", "value", "changed")]


def test_requests() -> None:
    def ask(method: str, target: str, body: Any = b"", **headers: str) -> Exchange:
        return factories.exchange(request=factories.request(method, target, body=body, headers=headers))

    assert told(ask("GET", "/scim/v2/Users/1"), ask("DELETE", "/scim/v2/Groups/1")) == [
        ("/request/method", "value", "changed"),
        ("/request/path", "value", "changed"),
    ]
    assert told(ask("GET", "/scim/v2/Users?count=1&a=1&a=2&&b"), ask("GET", "/scim/v2/Users?COUNT=2&a=1&c=d")) == [
        ("/request/query/a", "value", "changed"),
        ("/request/query/b", "missing", "changed"),
        ("/request/query/c", "added", "changed"),
        ("/request/query/count", "value", "changed"),
    ]
    filters = [ask("GET", f"/scim/v2/Users?filter={one}%20eq%20%22{one}%22") for one in ("userName", "title")]
    assert told(*filters) == [("/request/query/filter", "value", "changed")]
    assert told(filters[0], ask("GET", "/scim/v2/Users?filter=username+eq+%22eve%22")) == []
    assert told(ask("GET", "/scim/v2/Users"), ask("GET", "/scim/v2/Users", Authorization="Bearer x")) == [
        ("/request/headers/authorization", "added", "changed")
    ]
    patch = {"Operations": [{"op": "remove", "path": 'members[value eq "1"]'}]}
    assert told(ask("PATCH", "/scim/v2/Groups/1", patch), ask("PATCH", "/scim/v2/Groups/1", patch)) == []
    other = {"Operations": [{"op": "remove", "path": "members"}]}
    assert [
        one[1] for one in told(ask("PATCH", "/scim/v2/Groups/1", patch), ask("PATCH", "/scim/v2/Groups/1", other))
    ] == ["value"]
    added = [{"Operations": [{"op": "add", "path": "members", "value": [{"value": one}]}]} for one in ("1", "7")]
    assert told(*(ask("PATCH", "/scim/v2/Groups/1", one) for one in added)) == [], "ids of members, by the path"
    path = 'urn:ietf:params:scim:schemas:core:2.0:User:emails[type eq "work"].value'
    mailed = [{"Operations": [{"op": "replace", "path": path, "value": one}]} for one in ("ann@x", "eve@x")]
    assert told(*(ask("PATCH", "/scim/v2/Users/1", one) for one in mailed)) == [], "a name, by the path"
    named = [{"Operations": [{"op": "replace", "path": path, "value": "x"}]} for path in ("title", "name.givenName")]
    named[1]["Operations"][0]["value"] = "y"
    assert [one[:2] for one in told(*(ask("PATCH", "/scim/v2/Groups/1", one) for one in named))] == [
        ("/request/body/Operations/0/path", "value"),
        ("/request/body/Operations/0/value", "value"),
    ]
    found = [{"filter": f'userName eq "{name}"'} for name in ("ann", "eve")]
    assert told(*(ask("POST", "/scim/v2/.search", one) for one in found)) == []
    assert [
        one[1]
        for one in told(
            ask("POST", "/scim/v2/.search", found[0]), ask("POST", "/scim/v2/.search", {"filter": "x pr"})
        )
    ] == ["value"]


def test_what_a_client_made_up_is_found_again_in_the_answer() -> None:
    def create(name: str, number: str, title: str, detail: str) -> Exchange:
        body = {"userName": name, "displayName": f"The {name}", "title": title}
        answer = {**body, "id": number, "note": detail, "meta": {"location": f"/scim/v2/Users/{number}"}}
        return factories.exchange("POST", status_code=201, body=body, answer=answer)

    a = create("Ann.1234567", "1", "Chief 7654321", "ANN.1234567 is new")
    assert told(a, create("Bob.9876543", "x-y", "Chief 1111111", "BOB.9876543 is new")) == []
    assert told(a, create("Bob.9876543", "x-y", "Clerk", "BOB.9876543 is new")) == [
        ("/request/body/title", "value", "changed"),
        ("/response/body/title", "value", "changed"),
    ]
    assert told(a, create("Bob.9876543", "x-y", "Chief 1111111", "bob.9876543 is new")) == [
        ("/response/body/note", "value", "changed")
    ]


def test_resources_are_found_by_id_and_their_order_counts() -> None:
    def page(*names: str) -> Exchange:
        return read({"totalResults": 2, "Resources": [{"id": f"i-{name}", "userName": name} for name in names]})

    assert told(page("a", "b"), page("b", "a")) == [("/response/body/Resources", "order", "changed")]
    assert told(page("a", "b"), page("b")) == [("/response/body/Resources/0", "missing", "breaking")]
    assert told(page("a"), page("a", "b")) == [("/response/body/Resources/1", "added", "changed")]


def test_bodies_that_were_found_to_agree_are_not_compared_again() -> None:
    a, b, other = seen(read(user(id="1"))), seen(read(user(id="1"))), seen(read(user(id="1", title="x")))
    agreed: Agreed = set()
    bindings = Bindings()
    assert differences(a, b, bindings, agreed) == []
    assert len(agreed) == 1
    assert differences(a, b, bindings, agreed) == []
    assert len(differences(a, other, bindings, agreed)) == 1
    assert len(differences(a, other, bindings, agreed)) == 1, "those that differ are told each time"
    moved = replace(b, exchange=replace(b.exchange, request=factories.request(headers={"Host": "elsewhere"})))
    assert [one.change for one in differences(a, moved, bindings, agreed)].count("form") == 1, "another server"


def test_discovery_ids_are_no_ids_of_resources() -> None:
    pair = [factories.exchange("GET", "/scim/v2/Schemas/u", answer={"id": one}) for one in ("urn:a", "urn:b")]
    assert told(*pair) == [("/response/body/id", "value", "changed")]


def test_bounded() -> None:
    found = diff(read({}), read({f"a{at}": at for at in range(5000)}))
    assert len(found) == MOST
    assert (found[-1].reason, found[-1].verdict) == ("more than 199 differences; 4,801 more are left out", "additive")
    many = {f"a{at}": at for at in range(300)}
    last = diff(read(many), read({**dict.fromkeys(many, 9999), "a299": "text"}))[-1]
    assert last.verdict == "breaking", "as bad as the worst of those that are left out"


# --- properties

NAMES = st.sampled_from(
    ["id", "userName", "members", "value", "type", "meta", "location", "a", "A", "Resources", "detail"]
)
LEAVES = st.none() | st.booleans() | st.integers(-5, 5) | st.floats(allow_nan=False) | st.text(max_size=6)
TREES = st.recursive(
    LEAVES, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(NAMES, inner, max_size=4), max_leaves=20
)


def of(value: Any) -> Exchange:
    return replace(read(b""), response=factories.response(200, json.dumps(value)))


@settings(max_examples=150, deadline=None)
@given(TREES)
def test_nothing_differs_from_itself(value: Any) -> None:
    assert diff(of(value), of(value)) == []


@settings(max_examples=150, deadline=None)
@given(TREES, TREES)
def test_differences_are_the_same_from_both_sides(a: Any, b: Any) -> None:
    mirror = {"missing": "added", "added": "missing"}
    there = sorted((mirror.get(one.change, one.change), one.names) for one in diff(of(a), of(b)))
    back = sorted((one.change, one.names) for one in diff(of(b), of(a)))
    assert there == back


@settings(max_examples=150, deadline=None)
@given(st.binary(max_size=200), st.binary(max_size=200))
def test_no_body_makes_it_raise(a: bytes, b: bytes) -> None:
    pair = [replace(read(b""), response=factories.response(200, Content.of(it))) for it in (a, b)]
    assert diff(pair[0], pair[0]) == []
    diff(*pair)


def test_groups_are_members_too() -> None:
    bindings = Bindings()
    bindings.same("Group", "5", "2")
    bindings.same("User", "5", "3")
    for other, count in (("2", 0), ("3", 0), ("4", 1)):
        one, two = ({"members": [{"value": value, "display": "x"}]} for value in ("5", other))
        assert len(diff(read(one), read(two), bindings)) == count


def test_which_resource_stands_on_a_page_is_a_matter_of_order() -> None:
    def page(*names: str, total: Any = 2) -> Exchange:
        resources = [{"id": name, "userName": name} for name in names]
        answer = {"totalResults": total, "Resources": resources}
        return replace(factories.exchange("GET", "/scim/v2/Users"), response=factories.response(200, answer))

    def changes(a: Exchange, b: Exchange, **ids: str) -> list[str]:
        bindings = Bindings()
        for one, two in ids.items():
            bindings.same("User", one, two)
        return [one.change for one in diff(a, b, bindings)]

    known = {"ann": "ann", "bob": "bob"}
    assert changes(page("ann"), page("bob"), **known) == ["order"]
    assert changes(page("ann"), page("bob"), bob="bob") == ["order"]
    assert changes(page("ann"), page("bob"), ann="ann") == ["order"]
    assert changes(page("ann"), page("bob")) == ["missing", "added"], "nobody knows these"
    assert changes(page("ann", total=1), page("bob", total=1), **known) == ["missing", "added"], "the whole list"
    assert changes(page("ann", total="2"), page("bob", total="2"), **known) == ["missing", "added"]
    assert "missing" in changes(page("ann"), page("bob", total=3), **known)
    assert "missing" in changes(page("ann", total=9), page("bob", "eve", total=9), **known)
