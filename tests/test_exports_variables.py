"""Which values of a run are variables: `plan`, read as the texts of the requests it makes."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest
from driving import PATCH, RUN, driven, number_ids
from factories import exchange, request, response
from hypothesis import given
from hypothesis import strategies as st

from scimproxy import demo
from scimproxy.errors import UsageError
from scimproxy.exchange import Content, Exchange, fingerprint
from scimproxy.exports import variables
from scimproxy.exports.reading import value_at
from scimproxy.exports.templating import Ref, Text, joined, with_secrets
from scimproxy.exports.variables import Plan, plan

HOST = {"Host": "scim.example"}


def shown(text: Text | None) -> str:
    """A text with its references as `<name>`; `<name:url>` where the coding is not plain."""
    return "".join(
        f"<{one.name}{'' if one.coding == 'plain' else ':' + one.coding}>" if isinstance(one, Ref) else one
        for one in text or ()
    )


def planned(*exchanges: Exchange) -> Plan:
    return plan(RUN, exchanges)


def urls(*exchanges: Exchange) -> list[str]:
    return [shown(send.url).removeprefix("<base_url>") for send in planned(*exchanges).sends]


def body(*exchanges: Exchange, at: int = -1) -> str:
    return shown(planned(*exchanges).sends[at].body)


def created(kind: str, id: object, **fields: Any) -> Exchange:  # noqa: A002 - SCIM's word
    return exchange("POST", f"/scim/v2/{kind}s", status_code=201, body={}, answer={"id": id, **fields})


def patch(*operations: dict[str, Any], target: str = "/scim/v2/Groups/9") -> Exchange:
    return exchange("PATCH", target, body={"schemas": [PATCH], "Operations": list(operations)})


# -- ids


def test_an_id_is_captured_where_it_is_used() -> None:
    made = planned(
        created("User", "7"), exchange("GET", "/scim/v2/Users/7"), exchange("GET", "/scim/v2/Users?count=7")
    )
    assert [shown(one.url) for one in made.sends] == [
        "<base_url>/Users",
        "<base_url>/Users/<user_id_1:url>",
        "<base_url>/Users?count=7",
    ]
    (capture,) = made.sends[0].captures
    assert (capture.name, capture.pointer, capture.value, capture.last_segment) == ("user_id_1", ("id",), "7", False)
    assert made.captured == ("user_id_1",) and made.base_url == "http://scim.example/scim/v2"
    assert made.sends[1].needs() == ["base_url", "user_id_1"] and not made.uses_fresh


def test_ids_of_two_types_are_not_the_same() -> None:
    user, group = created("User", "1"), created("Group", "1")
    used = (exchange("GET", "/scim/v2/Groups/1"), exchange("DELETE", "/scim/v2/Users/1"))
    assert urls(user, group, *used)[2:] == ["/Groups/<group_id_1:url>", "/Users/<user_id_1:url>"]


def test_what_no_answer_gave_stays() -> None:
    assert urls(exchange("GET", "/scim/v2/Users/nope", status_code=404, answer={"id": "nope"})) == ["/Users/nope"]
    failed = exchange("POST", "/scim/v2/Users", status_code=400, body={}, answer={"id": "1"})
    assert urls(failed, exchange("GET", "/scim/v2/Users/1", answer=None, response=None))[1] == "/Users/1"


def test_a_number_that_is_used_again_is_another_resource() -> None:
    gone = exchange("DELETE", "/scim/v2/Users/3", status_code=204)
    read = exchange("GET", "/scim/v2/Users/3", answer={"id": "3"})
    made = urls(created("User", "3"), read, gone, created("User", "3"), read)
    assert (made[1], made[4]) == ("/Users/<user_id_1:url>", "/Users/<user_id_2:url>")


def test_ids_of_lists_locations_members_and_bulk() -> None:
    listed = exchange("GET", "/scim/v2/Users", answer={"totalResults": 1, "resources": [{"ID": 5}, {"x": 1}, 7]})
    located = exchange(
        "POST",
        "/scim/v2/Users",
        response=replace(
            response(201), headers=response(headers={"Location": "http://scim.example/scim/v2/Users/6"}).headers
        ),
    )
    elsewhere = replace(located, response=response(201, headers={"Location": "/"}))
    groups = [{"value": "g1", "display": "x"}, {"display": "y"}]
    user = exchange("GET", "/scim/v2/Users/6", answer={"id": "6", "groups": groups, "meta": {"resourceType": "User"}})
    members = [{"value": "m1"}, {"value": "m2", "$ref": "../Groups/m2"}]
    group = exchange("GET", "/scim/v2/Groups/g1", answer={"id": "g1", "members": members})
    bulk = exchange(
        "POST",
        "/scim/v2/Bulk",
        body={"Operations": []},
        answer={"Operations": [{"location": "http://scim.example/scim/v2/Users/b1"}, {"location": "/"}, {"x": 1}]},
    )
    used = [
        exchange("GET", f"/scim/v2/{at}")
        for at in ("Users/5", "Users/6", "Groups/g1", "Users/m1", "Groups/m2", "Users/b1")
    ]
    made = planned(listed, located, elsewhere, user, group, bulk, *used)
    captures = {one.name: (one.pointer, one.header, one.last_segment) for send in made.sends for one in send.captures}
    assert captures == {
        "user_id_1": (("Location",)[:0], "Location", True),
        "group_id_1": (("groups", 0, "value"), "", False),
        "user_id_2": (("resources", 0, "ID"), "", False),
        "user_id_3": (("members", 0, "value"), "", False),
        "group_id_2": (("members", 1, "value"), "", False),
        "user_id_4": (("Operations", 0, "location"), "", True),
    }
    assert [shown(one.url).rpartition("/")[2] for one in made.sends[6:]] == [
        "<user_id_2:url>",
        "<user_id_1:url>",
        "<group_id_1:url>",
        "<user_id_3:url>",
        "<group_id_2:url>",
        "<user_id_4:url>",
    ]


def test_a_type_of_its_own() -> None:
    made = created("Device", "d")
    assert urls(made, exchange("GET", "/scim/v2/Devices/d", answer={"id": "d"}))[1] == "/Devices/<device_id_1:url>"
    odd = exchange("POST", "/scim/v2/9s", status_code=201, body={}, answer={"id": "d"})
    assert urls(odd, exchange("GET", "/scim/v2/9s/d", answer={"id": "d"}))[1] == "/9s/<resource_9_id_1:url>"


def test_ids_in_bodies() -> None:
    user, group = created("User", "1"), created("Group", "2")
    sent = {
        "id": "2",
        "members": [
            {"value": "1"},
            {"value": "1", "type": "User", "$ref": "http://scim.example/scim/v2/Users/1"},
            {"value": "2", "$ref": "../Groups/2"},
            {"value": "1", "$ref": "http://elsewhere.example/scim/v2/Users/1"},
            {"value": "8"},
            {"value": "1", "type": "work"},
            {"value": "1", "$ref": "http://scim.example/scim/v2/Us\ners/1"},
            {"value": "1", "$ref": "/scim/v2/Users/1\n"},
        ],
        "groups": [{"value": "2"}],
        "displayName": "1",
        "count": 1,
    }
    made = body(user, group, exchange("PUT", "/scim/v2/Groups/2", body=sent))
    assert made == (
        '{"id": "<group_id_1:json>", "members": [{"value": "<user_id_1:json>"}, {"value": "<user_id_1:json>", '
        '"type": "User", "$ref": "<base_url>/Users/<user_id_1:url>"}, {"value": "<group_id_1:json>", '
        '"$ref": "../Groups/<group_id_1:url>"}, {"value": "<user_id_1:json>", '
        '"$ref": "http://elsewhere.example/scim/v2/Users/1"}, {"value": "8"}, '
        '{"value": "<user_id_1:json>", "type": "work"}, {"value": "<user_id_1:json>", "$ref": '
        '"http://scim.example/scim/v2/Us\\ners/1"}, {"value": "<user_id_1:json>", "$ref": "/scim/v2/Users/1\\n"}], '
        '"groups": [{"value": "<group_id_1:json>"}], "displayName": "1<fresh>", "count": 1}'
    )


def test_every_other_byte_of_a_body_stays() -> None:
    text = ' {"id" : "1",\r\n "a":[1.50, true, "\\u00e9", "1"], "a":{}, "manager":{"value":1} }'
    made = body(created("User", "1"), exchange("PUT", "/scim/v2/Users/1", body=text))
    assert made == text.replace('"id" : "1"', '"id" : "<user_id_1:json>"').replace('"value":1', '"value":<user_id_1>')


def test_patches() -> None:
    user, group = created("User", "1"), created("Group", "9")
    made = body(
        user,
        group,
        patch(
            {"op": "remove", "path": 'members[value eq "1"]'},
            {"op": "add", "path": "members", "value": ["1", {"value": "1"}]},
            {"op": "add", "value": {"members": [{"value": "1"}], "id": "9"}},
            {"op": "replace", "path": "urn:x:2.0:User:manager", "value": "1"},
            {"op": "replace", "path": "displayName", "value": "New"},
            {"op": "replace", "path": "title", "value": "1"},
            {"op": "add", "path": "/Users/1", "value": None},
            {"op": "add", "path": 7, "value": "1"},
            {"op": "add"},
        ),
    )
    assert json.loads(made)["Operations"] == [
        {"op": "remove", "path": 'members[value eq "<user_id_1:json>"]'},
        {"op": "add", "path": "members", "value": ["<user_id_1:json>", {"value": "<user_id_1:json>"}]},
        {"op": "add", "value": {"members": [{"value": "<user_id_1:json>"}], "id": "<group_id_1:json>"}},
        {"op": "replace", "path": "urn:x:2.0:User:manager", "value": "<user_id_1:json>"},
        {"op": "replace", "path": "displayName", "value": "New<fresh>"},
        {"op": "replace", "path": "title", "value": "1"},
        {"op": "add", "path": "/Users/<user_id_1:url>", "value": None},
        {"op": "add", "path": 7, "value": "1"},
        {"op": "add"},
    ]


def test_bulk() -> None:
    operations = [
        {"method": "PUT", "path": "/Users/1", "version": 'W/"3"', "data": {"id": "1", "userName": "new"}},
        {"method": "POST", "path": "/Groups", "data": {"displayName": "Crew", "members": [{"value": "1"}]}},
        {"method": "POST", "data": {"displayName": "odd"}},
        {"method": "PUT", "path": "/Users/1", "data": "1"},
    ]
    user = created("User", "1", meta={"version": 'W/"3"'})
    made = json.loads(
        body(user, exchange("POST", "/scim/v2/Bulk", body={"Operations": operations})).replace('W/"', "W/'")
    )
    first, second, third, fourth = made["Operations"]
    assert first == {
        "method": "PUT",
        "path": "/Users/<user_id_1:url>",
        "version": "<version_1:json>",
        "data": {"id": "<user_id_1:json>", "userName": "new<fresh>"},
    }
    assert second["data"] == {"displayName": "Crew<fresh>", "members": [{"value": "<user_id_1:json>"}]}
    assert (third["data"], fourth["data"]) == ({"displayName": "odd"}, "1")


def test_filters() -> None:
    user, group = created("User", "1"), created("Group", "2")

    def asked(kind: str, text: str) -> str:
        return urls(user, group, exchange("GET", f"/scim/v2/{kind}?filter={text}&count=1"))[2]

    assert asked("Users", "id%20eq%20%221%22") == "/Users?filter=id%20eq%20%22<user_id_1:url>%22&count=1"
    assert asked("Users", "id+eq+1") == "/Users?filter=id%20eq%20<user_id_1:url>&count=1"
    assert asked("Users", "title+eq+%221%22") == "/Users?filter=title+eq+%221%22&count=1"
    assert (
        asked("Users", "groups[value+eq+%222%22]")
        == "/Users?filter=groups%5Bvalue%20eq%20%22<group_id_1:url>%22%5D&count=1"
    )
    assert asked("Groups", "members.value eq %221%22 or id eq %222%22") == (
        "/Groups?filter=members.value%20eq%20%22<user_id_1:url>%22%20or%20id%20eq%20%22<group_id_1:url>%22&count=1"
    )
    assert asked("Users", 'x pr and "a [ b"') == "/Users?filter=x%20pr%20and%20%22a%20[%20b%22&count=1"
    assert asked("Users", "a" * 70_000).endswith("a&count=1")


def test_versions() -> None:
    read = exchange("GET", "/scim/v2/Users/1", answer={"id": "1", "meta": {"version": 'W/"5"'}})
    tagged = replace(read, response=response(200, {"id": "1"}, headers={"ETag": 'W/"6"'}))
    put = exchange(
        "PUT",
        "/scim/v2/Users/1",
        request=request("PUT", "/scim/v2/Users/1", body={}, headers={"If-Match": 'W/"5", W/"6", "x"'}),
    )
    elsewhere = exchange(request=request("DELETE", "/scim/v2/Users/2", headers={"If-None-Match": 'W/"6"'}))
    made = planned(created("User", "1", meta={"version": 'W/"1"'}), read, tagged, put, elsewhere)
    assert shown(dict(made.sends[3].headers)["If-Match"]) == '<version_1>, <version_2>, "x"'
    assert shown(dict(made.sends[4].headers)["If-None-Match"]) == "<version_2>"
    assert made.sends[1].captures[0].pointer == ("meta", "version") and made.sends[2].captures[0].header == "ETag"


# -- names


def test_names_that_the_client_made_up_are_fresh() -> None:
    looked = exchange("GET", "/scim/v2/Users?filter=userName%20eq%20%22zoe@x.y%22")
    emails = [{"value": "zoe@x.y"}, {"value": "other@x.y"}]
    zoe = {"userName": "zoe@x.y", "externalId": "e1", "emails": emails, "displayName": "Zoe", "id": "1"}
    post = exchange("POST", "/scim/v2/Users", status_code=201, body=zoe, answer={"id": "1", "userName": "zoe@x.y"})
    caps = exchange("GET", "/scim/v2/Users?filter=userName%20eq%20%22ZOE@X.Y%22")
    made = planned(looked, post, caps)
    assert shown(made.sends[0].url) == "<base_url>/Users?filter=userName%20eq%20%22zoe<fresh:url>%40x.y%22"
    assert shown(made.sends[2].url) == "<base_url>/Users?filter=userName%20eq%20%22ZOE<fresh:url>%40X.Y%22"
    assert json.loads(shown(made.sends[1].body)) == {
        "userName": "zoe<fresh>@x.y",
        "externalId": "e1<fresh>",
        "emails": [{"value": "zoe<fresh>@x.y"}, {"value": "other@x.y"}],
        "displayName": "Zoe",
        "id": "1",
    }
    assert made.uses_fresh


def test_names_that_the_server_had_stay() -> None:
    listed = exchange(
        "GET", "/scim/v2/Users", answer={"Resources": [{"id": "1", "userName": "Boss", "active": True}]}
    )
    post = exchange(
        "POST", "/scim/v2/Users", status_code=409, body={"userName": "boss", "externalId": " ", "nickName": 1}
    )
    assert body(listed, post) == '{"userName": "boss", "externalId": " ", "nickName": 1}'
    get = exchange("GET", "/scim/v2/Users", body={"userName": "new"})
    assert body(get) == '{"userName": "new"}'


# -- secrets and headers


def test_secrets_are_named() -> None:
    kept = planned(exchange("POST", "/scim/v2/Users?token=tok-12345", body={"password": "hunter2222"}))
    assert shown(kept.sends[0].url).endswith("?token=<SCIM_SECRET_1:url>")
    assert shown(kept.sends[0].body) == '{"password": "<SCIM_SECRET_2:json>"}'
    right, wrong, password = fingerprint("right"), fingerprint("wrong"), fingerprint("pass")
    made = planned(
        exchange(request=request(headers={"Authorization": f"Bearer {wrong}"}), response=response(401)),
        exchange(request=request("POST", headers={"Authorization": f"Bearer {right}"}, body={"password": password})),
        exchange(
            request=request(headers={"Authorization": "Bearer plain", "Cookie": "x=y", "X-Api-Key": ""}),
            response=None,
        ),
    )
    assert [(one.name, one.mark, one.optional) for one in made.secrets] == [
        ("SCIM_AUTH", right, False),
        ("SCIM_SECRET_2", fingerprint("plain"), False),
        ("SCIM_SECRET_3", wrong, True),
        ("SCIM_SECRET_4", password, True),
        ("SCIM_SECRET_5", fingerprint("y"), True),
    ]
    assert shown(made.sends[1].body) == '{"password": "<SCIM_SECRET_4:json>"}'
    assert {name: shown(text) for name, text in made.sends[2].headers} == {
        "Authorization": "Bearer <SCIM_SECRET_2>",
        "Cookie": "x=<SCIM_SECRET_5>",
        "X-Api-Key": "",
    }


def test_fields_of_a_connection_are_left_out() -> None:
    fields = {
        "Connection": "close",
        "X-Forwarded-For": "1.2.3.4",
        "Accept-Encoding": "gzip",
        "X": "y",
        "A b": "c",
        "N": "a\0",
    }
    (send,) = planned(exchange(request=request(headers=fields))).sends
    assert [name for name, _ in send.headers] == ["X"]
    assert send.notes == (
        "left out, because it is no header field: A b",
        "left out, because it is no header field: N",
    )


def test_bodies_that_are_no_json() -> None:
    (form,) = planned(exchange("POST", body=b"a=b")).sends
    assert shown(form.body) == "a=b" and form.data is None
    fields = {"Content-Encoding": "x-unknown"}
    (binary,) = planned(exchange(request=request("POST", body=b"\x00\xff", headers=fields))).sends
    assert (binary.body, binary.data) == (None, b"\x00\xff") and (
        "Content-Encoding",
        ("x-unknown",),
    ) in binary.headers
    cut = replace(request("POST", body=b"{}"), content=Content(b"{", 5, ""))
    (part,) = planned(exchange(request=cut)).sends
    assert part.status is None and part.notes == ("the recording holds 1 of the body's 5 bytes",)


# -- the whole


def test_urls_and_what_is_left_out() -> None:
    refused = replace(exchange("GET", "/scim/v2/Users"), origin="proxy")
    odd = exchange("FROB nicate", "/scim/v2/Users")
    made = planned(
        refused,
        odd,
        exchange("GET", "/scim/v2/Users"),
        exchange("GET", "/health?a b\xe9"),
        exchange("GET", "http://scim.example/scim/v2/Users"),
        exchange("GET", "/scim/v2/Users", response=None, scheme="https"),
    )
    assert made.left_out == 2 and made.uses_server_url
    assert [shown(one.url) for one in made.sends] == [
        "<base_url>/Users",
        "<server_url>/health?a%20b%E9",
        "<base_url>/Users",
        "<base_url>/Users",
    ]
    assert [one.status for one in made.sends] == [200, 200, 200, None]
    assert [one.label for one in made.sends][:2] == ["GET /Users", "GET /health"]
    nothing = planned()
    assert (nothing.base_url, nothing.sends) == ("http://host.invalid", ())
    assert planned(exchange("GET", "/scim/v2/Users", scheme="https")).base_url == "https://scim.example/scim/v2"
    assert planned(exchange("GET", "/Users")).base_url == "http://scim.example"
    assert urls(exchange("GET", "/x")) == ["/x"]


def test_too_many(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(variables, "MOST", 1)
    with pytest.raises(UsageError, match="more than 1 exchanges"):
        planned(exchange(), exchange())


async def test_plans_of_two_kinds_of_ids_are_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is a variable does not depend on what ids look like."""
    texts = []
    for numbers in (False, True):
        if numbers:
            number_ids(monkeypatch)
        async with await demo.serve(token="Tok-1234567890") as server:
            made = plan(RUN, await driven(server.url))
        texts.append([(shown(one.url), shown(one.body), one.status, one.headers, one.needs()) for one in made.sends])
        assert not numbers or set(made.captured) == {"user_id_1", "user_id_2", "group_id_1", "version_1"}
    assert texts[0] == texts[1]


_odd = st.text(st.characters(codec="utf-8"), max_size=6) | st.sampled_from(
    [
        "/Users/1",
        "Users",
        "1",
        "http://scim.example/scim/v2/Users/1",
        'members[value eq "1"]',
        "//Users//1",
        "\n",
        "#",
        "[",
        "\\",
    ]
)
_names = st.sampled_from(
    ["id", "value", "members", "$ref", "Operations", "path", "data", "userName", "meta", "location", "version"]
)
_json = st.recursive(
    _odd | st.integers(0, 3) | st.none(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(_names, inner, max_size=4),
    max_leaves=10,
)


@given(_json, _json, st.lists(_odd, max_size=3).map("".join), st.sampled_from(["GET", "POST", "PATCH"]))
def test_whatever_comes_is_planned(sent: Any, got: Any, tail: str, method: str) -> None:
    target = "/scim/v2/Users/" + tail.encode("utf-8", "replace").decode("latin-1")
    answer = response(201, got, headers={"Location": tail.encode("utf-8", "replace").decode("latin-1"), "ETag": "1"})
    one = exchange(request=request(method, target, body=sent, headers={"If-Match": tail[:3]}), response=answer)
    made = planned(created("User", "1"), one, one, exchange(method, "/scim/v2/Bulk", body=sent, answer=got))
    given_names = {"base_url", "server_url", "fresh", *made.captured, *(secret.name for secret in made.secrets)}
    assert {name for send in made.sends for name in send.needs()} <= given_names
    for send in made.sends:
        if not isinstance(sent, str) or send.number == 1:
            filled = "".join(
                ("0" if one.coding == "plain" else "x") if isinstance(one, Ref) else one for one in send.body or ()
            )
            json.loads(filled or "0")


def test_a_place_that_is_not_there() -> None:
    assert value_at({"a": [1]}, ("a", 5)) is None and value_at({"a": 1}, ("a", "b")) is None


def test_texts_are_joined() -> None:
    assert joined(["", "a", "b", Ref("x"), "", "c"]) == ("ab", Ref("x"), "c")
    mark = fingerprint("a")
    assert with_secrets((f"x{mark}", Ref("y"), mark), lambda _: "S", "url") == (
        "x",
        Ref("S", "url"),
        Ref("y"),
        Ref("S", "url"),
    )
