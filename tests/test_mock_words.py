"""Masks and slots of requests; matchers and their words; answers as they are given again."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest
from factories import exchange, request, response

from scimproxy.bodies import seen
from scimproxy.errors import UsageError
from scimproxy.exchange import Content, Headers
from scimproxy.mock.answers import Reached, given_again
from scimproxy.mock.matching import MATCHERS, parse_matching
from scimproxy.mock.table import Table
from scimproxy.mock.words import Form, Layout, Slot, body_form, path_form, query_form, random_words

BASE = "/scim/v2"


def as_it_is(role: str, word: str) -> str:
    return word


def words(form: Form) -> list[tuple[str, str]]:
    return list(form.words)


def body(value: Any, path: str = "/Users", **fields: Any) -> Form:
    return body_form(Layout().read(request("POST", f"{BASE}{path}", body=value, **fields)), as_it_is)


def query(text: str) -> Form:
    return query_form(Layout().read(request("GET", f"{BASE}/Users?{text}")), as_it_is)


def test_random_words() -> None:
    assert random_words("Ada 158949269 of 2026, u-12ab34cd") == "Ada ?9 of 2026, u-?8"


@pytest.mark.parametrize(
    ("path", "mask", "slots"),
    [
        ("/Users/7", "/Users/?/", [("User", "7")]),
        ("/Users/bulkId:a", "/Users/?/", [("bulkId", "a")]),
        ("/Schemas/urn:x", "/Schemas/urn:x/", []),
        ("/Users/.search", "/Users/.search/", []),
        ("/Me", "/Me//", []),
    ],
)
def test_paths(path: str, mask: str, slots: list[tuple[str, str]]) -> None:
    form = path_form(Layout().read(request("GET", f"{BASE}{path}")), as_it_is)
    assert (form.mask, words(form)) == (mask, slots)
    assert path_form(Layout().read(request("GET", f"/else/where{path}")), as_it_is) == form


def test_endpoints_that_only_a_server_knows() -> None:
    made = exchange("GET", f"{BASE}/Devices/7", answer={"schemas": ["urn:ietf:params:scim:schemas:x"], "id": "7"})
    layout = Layout([seen(made).operation])
    form = path_form(layout.read(request("GET", f"{BASE}/Devices/9")), as_it_is)
    assert (form.mask, words(form)) == ("/Devices/?/", [("Device", "9")])


@pytest.mark.parametrize(
    ("one", "two"),
    [
        ("attributes=userName,name", "attributes=Name,%20username"),
        (
            "filter=userName%20eq%20%22a%22%20and%20active%20eq%20true",
            "filter=(USERNAME+eq+%22a%22)+AND+active+eq+true",
        ),
        ("filter=not+(title+pr)", "filter=not%20(TITLE%20PR)"),
        ("filter=emails[type+eq+%22work%22]", "filter=EMAILS[type%20eq%20%22work%22]"),
        ("count=5&sortBy=Name", "sortby=name&COUNT=5"),
    ],
)
def test_queries_that_are_the_same(one: str, two: str) -> None:
    assert query(one) == query(two)


@pytest.mark.parametrize(
    ("text", "slots"),
    [
        ("filter=id+eq+%227%22", [("User", "7")]),
        ("filter=a+or+b%22", []),
        ("filter=emails[value+eq+%22x@y%22].type+eq+%22z%22", None),
        ("filter=emails.value+eq+%22x@y%22", [("name", "x@y")]),
        ("_=abc123def", [("text", "abc123def")]),
    ],
)
def test_words_in_queries(text: str, slots: list[tuple[str, str]] | None) -> None:
    assert slots is None or words(query(text)) == slots


def test_words_in_bodies() -> None:
    form = body(
        {
            "userName": "ann",
            "manager": {"value": "5"},
            "meta": {"location": f"http://scim.example{BASE}/Users/6", "lastModified": "2026-01-01T00:00:00Z"},
            "profile": "http://elsewhere.example/x",
            "title": "Boss of 2026 abc123",
            "nothing": None,
            "filter": 'id eq "8"',
        }
    )
    assert sorted(words(form)) == [
        ("User", "5"),
        ("User", "6"),
        ("User", "8"),
        ("name", "ann"),
        ("text", "Boss of 2026 abc123"),
    ]


def test_words_in_patches_and_bulk() -> None:
    operations = [
        {"op": "add", "path": 'members[value eq "7"].display', "value": "Zoe"},
        {"op": "replace", "path": "urn:x:name.familyName", "value": "Fam"},
        {"op": "remove", "path": "members["},
        {"method": "POST", "path": "/Users/9", "bulkId": "b", "data": {"externalId": "e"}, "value": "v"},
        {"op": "replace", "value": {"displayName": "D"}},
    ]
    assert words(body({"Operations": operations}, "/Groups/1")) == [
        ("User", "7"),
        ("name", "Zoe"),
        ("name", "Fam"),
        ("bulkId", "b"),
        ("externalId", "e"),
        ("User", "9"),
        ("name", "D"),
    ]


def test_other_bodies() -> None:
    assert body(b"") == Form("")
    assert body(b"plain of 2026-01-01T00:00:00Z") == body(b"plain of 2026-02-02T00:00:00Z")
    assert body(b"\0").mask.startswith("sha256:")
    assert body([{"b": 1}, {"a": 1}]) == body([{"a": 1}, {"b": 1}]), "values have no order"


# --- matchers


def test_what_matchers_say() -> None:
    one, two = (seen(exchange("GET", f"{BASE}/Users?filter=title+eq+%22{word}%22")) for word in ("a", "b"))
    assert [str(it) for it in MATCHERS["query"]().explain(one, two)] == [
        'query filter: expected "title eq \\"a\\"", got "title eq \\"b\\""'
    ]
    assert MATCHERS["method"]().explain(one, two) == MATCHERS["path"]().explain(one, two) == []
    texts = [seen(exchange("POST", f"{BASE}/Users", body=word.encode())) for word in ("plain", "other")]
    assert [(it.expected, it.got) for it in MATCHERS["body"]().explain(*texts)] == [('"plain"', '"other"')]
    names = [seen(exchange("POST", f"{BASE}/Users", body={word: 1})) for word in ("a", "b")]
    assert len(MATCHERS["body"]().explain(*names)) == 2


@pytest.mark.parametrize("text", ["method", "path,query", "method,path,header:", "method,path,header:a b", ""])
def test_choices_that_are_none(text: str) -> None:
    with pytest.raises(UsageError):
        parse_matching(text)


def test_choices() -> None:
    assert parse_matching("method, PATH,header:If-Match,path").names == "method,path,header:if-match"
    assert [one.name for one in parse_matching(preset="loose").preferred] == ["query", "body"]


# --- the table


def test_the_table() -> None:
    table = Table()
    table.know([("User", "u1")], [Slot("name", "known", "known")])
    recorded, asked = Slot("name", "Ann12345", "Ann12345"), Slot("name", "Zoe98765", "Zoe98765")
    assert table.grade(recorded, asked, reading=True) == 0
    assert table.bind(recorded, asked) is not None and table.bind(recorded, asked) is None
    assert (table.generation, len(table.rows)) == (1, 3)
    assert (table.translate("name", "ZOE98765"), table.client_word("name", "Ann12345")) == ("ANN12345", "Zoe98765")
    assert table.piece("ann12345") == "zoe98765"
    table.bind(Slot("name", "two words1", "two words1"), Slot("name", "one", "one"))
    assert table.piece("words1") is None, "nothing says which word is which"
    assert table.grade(recorded, Slot("name", "x", "x"), reading=False) == 2, "it stands for another already"
    assert table.grade(Slot("name", "b", "b"), Slot("name", "known", "known"), reading=True) is None
    assert table.bind(Slot("name", "same", "same"), Slot("name", "same", "same")) is None
    ids = [Slot("User", one, one) for one in ("u1", "made", "new", "newer")]
    assert table.grade(ids[1], ids[0], reading=False) is None, "a known one is itself"
    assert table.grade(ids[0], ids[2], reading=False) == 1
    table.bind(ids[0], ids[2])
    assert table.grade(ids[0], ids[3], reading=False) is None
    table.bind(ids[1], ids[3])
    assert table.grade(ids[1], Slot("User", "third", "third"), reading=False) == 2


# --- answers


def again(answer: Any, table: Table | None = None, *, base: str = BASE, **headers: str) -> tuple[Headers, bytes]:
    made = exchange(answer=b"")
    given = replace(response(200, answer), headers=Headers([("Content-Type", "x"), ("Date", "d"), *headers.items()]))
    of = seen(replace(made, response=given))
    back = given_again(of, table or Table(), ["http://scim.example"], BASE, Reached("http://mock:1", base))
    return back.headers, back.content.data


def renamed(*pairs: tuple[str, str, str]) -> Table:
    table = Table()
    for role, a, b in pairs:
        table.bind(Slot(role, a, a), Slot(role, b, b))
    return table


def test_what_nothing_changes_is_the_same_bytes() -> None:
    odd = b'{"b" :1.0,\n "a":"\\u00fc"}'
    headers, data = again(odd, Location="/x/y")
    assert (data, headers.get("Location"), "date" in headers) == (odd, "/x/y", False)
    assert again(b"\0\1")[1] == b"\0\1"


@pytest.mark.parametrize("form", [{}, {"indent": 2}, {"separators": (",", ":")}, {"ensure_ascii": False}])
def test_answers_are_written_as_they_were(form: dict[str, Any]) -> None:
    made = {"userName": "ann", "title": "\u00fc"}
    _, data = again(json.dumps(made, **form).encode(), renamed(("name", "ann", "zoe")))
    assert data == json.dumps({**made, "userName": "zoe"}, **form).encode()


def test_locations_lead_to_us() -> None:
    inside = {
        "meta": {"location": f"http://scim.example{BASE}/Users/1"},
        "$ref": f"{BASE}/Users/1",
        "url": "http://o/",
    }
    headers, data = again(
        inside, renamed(("User", "1", "9")), base="/s", Location=f"http://scim.example{BASE}/Users/1"
    )
    assert json.loads(data) == {
        "meta": {"location": "http://mock:1/s/Users/9"},
        "$ref": f"{BASE}/Users/9",
        "url": "http://o/",
    }
    assert headers.get("location") == "http://mock:1/s/Users/9"
    assert again(b"see http://scim.example/x")[1] == b"see http://mock:1/x"


def test_words_come_back_by_their_role() -> None:
    table = renamed(
        ("name", "User", "Zoe"), ("name", "ann1234", "zoe5678"), ("externalId", "e", "f"),
        ("Group", "g", "h"), ("text", "T 123456", "T 654321"),
    )  # fmt: skip
    answer = {
        "meta": {"resourceType": "User"},
        "displayName": "User",
        "nickName": "of ann1234!",
        "detail": "ann1234: x-ann1234 is User.",
        "externalId": "e",
        "groups": [{"value": "g"}],
        "title": "T 123456",
        "n": 1,
    }
    assert json.loads(again(answer, table)[1]) == {
        **answer,
        "displayName": "Zoe",
        "nickName": "of zoe5678!",
        "detail": "zoe5678: x-zoe5678 is Zoe.",
        "externalId": "f",
        "groups": [{"value": "h"}],
        "title": "T 654321",
    }


def test_a_content_coding_goes_where_words_change() -> None:
    import gzip

    made = exchange(answer=b"")
    data = gzip.compress(b'{"userName":"ann"}')
    headers = Headers([("Content-Encoding", "gzip"), ("Content-Type", "application/json")])
    assert made.response is not None
    of = seen(replace(made, response=replace(made.response, headers=headers, content=Content.of(data))))
    table = renamed(("name", "ann", "zoe"))
    back = given_again(of, table, [], BASE, Reached("", BASE))
    assert (back.headers.get("content-encoding"), back.content.data) == (None, b'{"userName":"zoe"}')
