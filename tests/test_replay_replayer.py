"""The replayer without a network: what is sent for what was recorded, after which answers."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from typing import Any
from urllib.parse import quote

import brotli
import factories
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scimproxy.bind import EXTERNAL, Bindings
from scimproxy.bodies import Seen, seen
from scimproxy.exchange import Content, Failure, Request
from scimproxy.proxy.engine import Target
from scimproxy.redact import redact
from scimproxy.replay.replayer import AUTH, Edits, Replayer, absent_like

THEN = Target("http", "scim.example", 80, "/scim/v2")
NOW = Target("https", "new.example", 8443, "/v2")
UUID = "0c2f8a3e-1111-4a4b-9c9c-0123456789ab"


def sent(method: str, target: str, body: object = b"", **more: Any) -> Seen:
    return seen(redact(factories.exchange(method, f"/scim/v2{target}", body=body, **more))[0])


def made(number: str = "1", endpoint: str = "Users", **body: Any) -> Seen:
    return sent("POST", f"/{endpoint}", body, status_code=201, answer={**body, "id": number})


def replayer(*run: Seen, to: Target = NOW, **more: Any) -> Replayer:
    return Replayer(run, to, recorded=THEN, **more)


def known(**ids: dict[str, str]) -> Bindings:
    bindings = Bindings()
    for kind, table in ids.items():
        for a, b in table.items():
            bindings.same(kind, a, b)
    return bindings


IDS = {"User": {"1": "21", "2": "22"}, "Group": {"1": "x/y", "2": "g2"}}


def body_of(request: Request) -> Any:
    return json.loads(request.content.data)


@pytest.mark.parametrize(
    ("then", "now"),
    [
        ("/Users/1", "/v2/Users/21"),
        ("/Users/3", "/v2/Users/3"),
        ("/Groups/1", "/v2/Groups/x%2Fy"),
        ("/Groups/1/", "/v2/Groups/x%2Fy/"),
        ("/Users?count=1&startIndex=1", "/v2/Users?count=1&startIndex=1"),
        ("/Users/.search", "/v2/Users/.search"),
        ("/Schemas/1", "/v2/Schemas/1"),
        ("/Me", "/v2/Me"),
        ('/Users?filter=id%20eq%20"1"&count=1', '/v2/Users?filter=id%20eq%20"21"&count=1'),
        ("/Users?filter=id+eq+%221%22+and+age+eq+1", "/v2/Users?filter=id+eq+%2221%22+and+age+eq+1"),
        ("/Groups?FILTER=members.value%20eq%20%221%22", "/v2/Groups?FILTER=members.value%20eq%20%2221%22"),
        ("/Users?filter=title%20eq%20%221%22", "/v2/Users?filter=title%20eq%20%221%22"),
        ("/Users?filter=id%20eq", "/v2/Users?filter=id%20eq"),
        ("", "/v2"),
    ],
)
def test_targets(then: str, now: str) -> None:
    assert replayer(sent("GET", then), bindings=known(**IDS)).request(0).target == now


@pytest.mark.parametrize("target", ["@evil.example/x", ".evil.example/x", ":1/x", "*", "?a=b", "http://evil.example"])
def test_a_target_never_names_another_host(target: str) -> None:
    one = seen(replace(factories.exchange(), request=Request("GET", target)))
    assert replayer(one).request(0).target.startswith("/")


def test_base_paths() -> None:
    one = seen(factories.exchange("GET", "/secret/scim/v2/Users/1", upstream_request_target="/scim/v2/Users/1"))
    assert replayer(one).request(0).target == "/v2/Users/1"
    other = seen(factories.exchange("GET", "http://proxied/api/Users/1?a=b"))
    assert Replayer([other], NOW, bindings=known(**IDS)).request(0).target == "/v2/Users/21?a=b"
    foreign = seen(factories.exchange("GET", "/health"))
    assert replayer(foreign).request(0).target == "/health"
    root = Replayer([seen(factories.exchange("GET", "/scim/v2"))], Target("http", "h", 80), recorded=THEN)
    assert root.request(0).target == "/"


def test_header_fields() -> None:
    fields = [
        ("Host", "scim.example"), ("Accept", "*/*"), ("X-Forwarded-For", "1.2.3.4"), ("Connection", "close"),
        ("Cookie", "a=b"), ("X-Api-Key", "k3y"), ("Forwarded", "for=x"), ("cf-ray", "1"), ("X-Trace", "7"),
        ("Accept", "text/plain"),
    ]  # fmt: skip
    one = seen(redact(factories.exchange(request=factories.request(headers=fields)))[0])
    now = replayer(one, edits=Edits(headers=(("x-trace", None), ("X-New", "n"))))
    assert list(now.request(0).headers) == [("Accept", "*/*"), ("Accept", "text/plain"), ("X-New", "n")]
    assert now.secrets() == [
        "these header fields held secrets that were not kept: Cookie, X-Api-Key; --set-header gives them"
    ]


def test_credentials_stand_where_the_server_took_them() -> None:
    def asked(token: str | None, status: int) -> Seen:
        headers = {} if token is None else {"Authorization": f"Bearer {token}"}
        return seen(redact(factories.exchange(request=factories.request(headers=headers), status_code=status))[0])

    now = replayer(asked("right-token", 200), asked("wrong-token", 401), asked(None, 401), asked("right-token", 404))
    sent_now = [now.request(at).headers.get("Authorization") for at in range(4)]
    assert (sent_now[0], sent_now[2], sent_now[3]) == (AUTH, None, AUTH)
    assert re.fullmatch("Bearer sha256:.{8}", sent_now[1] or ""), "a wrong token stays a wrong one"
    assert now.secrets() == ["credentials were not kept (Authorization): pass them with --auth"]
    never = replayer(asked("a-token", 401), seen(factories.exchange(response=None)))
    assert never.request(0).headers.get("Authorization") == AUTH, "which of them is right nobody knows"
    assert never.secrets() == []


def test_secrets_that_were_not_kept() -> None:
    one = sent("POST", "/Users?access_token=s3cret-s3cret", {"userName": "u", "password": "Hush-hush-1"})
    now = replayer(one, made(userName="x"))
    assert re.fullmatch("Replay1-[0-9a-f]{8}!", body_of(now.request(0))["password"])
    assert now.secrets() == [
        "secrets in the query were not kept; their fingerprints are sent",
        "passwords were not kept (in 1 of the requests): made-up ones are sent",
    ]
    plain = seen(factories.exchange("POST", body={"password": "p"}))
    assert body_of(replayer(plain).request(0)) == {"password": "p"}


def test_values_in_bodies_by_their_role() -> None:
    bindings = known(**IDS)
    bindings.sent("ann", "eve")
    bindings.same(EXTERNAL, "1", "e1")
    then = {
        "id": "1", "externalId": "1", "userName": "ANN", "nickName": "1", "title": "ann", "count": 1,
        "manager": {"value": "2", "$ref": "http://scim.example/scim/v2/Users/2?x=1"},
        "groups": [{"value": "1", "$ref": "/scim/v2/Groups/1"}, {"value": "2", "$ref": "../Groups/2"}],
        "members": [{"value": "bulkId:1"}, {"value": "1", "type": "Group"}],
        "meta": {"location": "https://elsewhere.example/Users/1", "version": "7"},
        "photos": [{"value": "", "$ref": ""}],
    }  # fmt: skip
    now = body_of(replayer(sent("PUT", "/Users/1", then), bindings=bindings).request(0))
    assert now == {
        "id": "21", "externalId": "e1", "userName": "EVE", "nickName": "1", "title": "ann", "count": 1,
        "manager": {"value": "22", "$ref": "https://new.example:8443/v2/Users/22?x=1"},
        "groups": [{"value": "x/y", "$ref": "/v2/Groups/x%2Fy"}, {"value": "g2", "$ref": "../Groups/g2"}],
        "members": [{"value": "bulkId:1"}, {"value": "x/y", "type": "Group"}],
        "meta": {"location": "https://elsewhere.example/Users/1", "version": "7"},
        "photos": [{"value": "", "$ref": ""}],
    }  # fmt: skip
    alone = Replayer(
        [sent("PUT", "/Users/1", {"meta": {"location": "http://scim.example/scim/v2/Users/1"}})],
        NOW,
        bindings=bindings,
    )
    assert body_of(alone.request(0)) == {"meta": {"location": "https://new.example:8443/v2/Users/21"}}


def test_groups_may_be_members() -> None:
    bindings = known(User={"1": "21"}, Group={"1": "31", "5": "35"})
    patch = {"Operations": [{"op": "remove", "path": f'members[value eq "{one}"]'} for one in ("1", "5", "6")]}
    now = body_of(replayer(sent("PATCH", "/Groups/1", patch), bindings=bindings).request(0))
    assert [one["path"][18:20] for one in now["Operations"]] == ["21", "35", '6"']


def test_patch_and_bulk() -> None:
    patch = {
        "Operations": [
            {"op": "remove", "path": 'members[value eq "1"]'},
            {"op": "add", "path": "members", "value": [{"value": "2"}]},
            {"op": "replace", "path": "members", "value": "1"},
            {"op": "add", "path": 'emails[type eq "1"].value', "value": "1"},
        ]
    }
    bulk = {
        "Operations": [
            {"method": "PUT", "path": "/Users/1", "bulkId": "1", "data": {"id": "1", "members": [{"value": "2"}]}},
            {"method": "POST", "path": "/Groups", "data": {"members": [{"value": "bulkId:1"}]}},
        ]
    }
    now = replayer(sent("PATCH", "/Groups/2", patch), sent("POST", "/Bulk", bulk), bindings=known(**IDS))
    assert body_of(now.request(0))["Operations"] == [
        {"op": "remove", "path": 'members[value eq "21"]'},
        {"op": "add", "path": "members", "value": [{"value": "22"}]},
        {"op": "replace", "path": "members", "value": "21"},
        {"op": "add", "path": 'emails[type eq "1"].value', "value": "1"},
    ]
    assert body_of(now.request(1))["Operations"] == [
        {"method": "PUT", "path": "/Users/21", "bulkId": "1", "data": {"id": "21", "members": [{"value": "22"}]}},
        {"method": "POST", "path": "/Groups", "data": {"members": [{"value": "bulkId:1"}]}},
    ]


def test_versions_are_those_of_the_resource() -> None:
    def read(tag: str) -> Seen:
        response = factories.response(
            200, {"id": "1", "meta": {"version": f'W/"{tag}-meta"'}}, headers={"ETag": f'W/"{tag}"'}
        )
        return seen(factories.exchange("GET", "/scim/v2/Users/1", response=response))

    def put(number: str, match: str) -> Seen:
        body = {"id": number, "meta": {"version": "a-meta"}}
        headers = {"If-Match": match}
        return seen(
            factories.exchange(
                request=factories.request("PUT", f"/scim/v2/Users/{number}", body=body, headers=headers)
            )
        )

    run = (read("a"), put("1", 'W/"a", "a-meta", "stale"'), put("2", '"a"'), put("1", "*"))
    now = replayer(*run)
    now.learn(0, read("b"))
    assert now.request(1).headers.get("If-Match") == 'W/"b", "b-meta", "stale"'
    assert body_of(now.request(1))["meta"]["version"] == "b-meta"
    assert now.request(2).headers.get("If-Match") == '"a"', "of another resource"
    assert now.request(3).headers.get("If-Match") == "*"


def test_what_is_not_touched_keeps_its_bytes() -> None:
    text = b'{ "id":"1" ,"n":1.0, "n":1.00,"userName":"\\u00fc" }\n'
    one = seen(factories.exchange("PUT", "/scim/v2/Users/1", body=text))
    assert replayer(one).request(0).content.data == text
    assert replayer(one, bindings=known(**IDS)).request(0).content.data == text.replace(b'"1"', b'"21"')
    other = seen(factories.exchange("POST", body=b"\xff\x00\x01"))
    assert replayer(other).request(0).content.data == b"\xff\x00\x01"


def test_codings() -> None:
    data = b'{"id": "1"}'
    fields = {"Content-Encoding": "br", "Content-Type": "application/json"}
    coded = factories.exchange(
        request=factories.request("PUT", "/scim/v2/Users/1", body=brotli.compress(data), headers=fields)
    )
    same = replayer(seen(coded)).request(0)
    assert (same.headers.get("Content-Encoding"), same.content) == ("br", coded.request.content)
    changed = replayer(seen(coded), bindings=known(**IDS)).request(0)
    assert (changed.headers.get("Content-Encoding"), changed.content.data) == (None, b'{"id": "21"}')
    wide = replace(coded.request, content=Content.of('{"id": "1", "a": "ü"}'.encode("utf-16-le")), headers=coded.request.headers.without("Content-Encoding").with_field("Content-Type", "application/json; charset=utf-16-le"))  # fmt: skip
    now = replayer(seen(replace(coded, request=wide)), bindings=known(**IDS)).request(0)
    assert now.content.data.decode("utf-16-le") == '{"id": "21", "a": "ü"}'


def test_edits_of_values() -> None:
    edits = Edits(values=((("userName",), "bob"), (("title",), "Boss")))
    run = (
        made(userName="ann"),
        sent("PATCH", "/Users/1", {"userName": "x", "Operations": []}),
        sent("DELETE", "/Users/1"),
    )
    now = replayer(*run, edits=edits)
    assert body_of(now.request(0)) == {"userName": "bob", "title": "Boss"}
    assert body_of(now.request(1)) == {"userName": "bob", "Operations": []}
    assert now.request(2).content.size == 0


def test_fresh_names_everywhere() -> None:
    body = {"userName": "Ann@x.org", "externalId": "e-1", "emails": [{"value": "ann@x.org"}], "displayName": "Ann"}
    find = [f'userName eq "{name}"' for name in ("Ann@x.org", "ANN@X.ORG", "ann@x.org", "other@x.org")]
    run = [
        made(**body),
        *(sent("GET", f"/Users?filter={quote(one)}") for one in find),
        sent("GET", f"/Users?filter={quote('externalId eq "e-1"')}"),
    ]
    now = replayer(*run, fresh="k3x")
    assert body_of(now.request(0)) == {
        "userName": "Ann-k3x@x.org",
        "externalId": "e-1-k3x",
        "emails": [{"value": "ann-k3x@x.org"}],
        "displayName": "Ann-k3x",
    }
    targets = [now.request(at).target.partition("filter=")[2] for at in range(1, 6)]
    assert targets == [
        quote(one, safe="")
        for one in (
            'userName eq "Ann-k3x@x.org"',
            'userName eq "ANN-K3X@X.ORG"',
            'userName eq "ann-k3x@x.org"',
            'userName eq "other@x.org"',
            'externalId eq "e-1-k3x"',
        )
    ]


def test_ids_that_would_be_somebody_elses_are_nobodys() -> None:
    run = (made("7", userName="a"), sent("GET", "/Users/3"), sent("DELETE", "/Users/7"))
    now = replayer(*run)
    now.learn(0, made("3", userName="a"))
    assert [now.request(at).target for at in (1, 2)] == ["/v2/Users/3000000", "/v2/Users/3"]
    failed = replayer(made(UUID, userName="a"), sent("DELETE", f"/Users/{UUID}"))
    failed.learn(0, sent("POST", "/Users", status_code=409))
    target = failed.request(1).target
    assert re.fullmatch(r"/v2/Users/[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", target) and UUID not in target


@given(st.text(max_size=200))
def test_absent_ids_have_the_form_of_others(text: str) -> None:
    other = absent_like(text)
    assert absent_like(text) == other
    assert other.isdecimal() == text.isdecimal() or not text.isascii()
    if not text.isascii() or not text.isdecimal():
        assert len(other) == len(text)
        assert [a.isalnum() for a in text] == [b.isalnum() for b in other]


def test_numbers_without_an_end() -> None:
    assert absent_like("12") == "12000000"
    assert absent_like("1234567890123") == "3210987654321"
    assert absent_like("aB-zZ") != "aB-zZ"


def test_what_cannot_be_sent() -> None:
    cut = factories.exchange("POST", body=Content(b"ab", 9, "x"))
    upgrade = factories.exchange(request=factories.request(headers={"Upgrade": "websocket"}))
    blocked = factories.exchange(origin="proxy", failure=Failure("blocked", "no"))
    run = [
        seen(one)
        for one in (
            factories.exchange(),
            cut,
            factories.exchange(state="pending"),
            blocked,
            upgrade,
            factories.exchange("CONNECT", "h:1"),
        )
    ]
    now = replayer(*run)
    said = [now.refused(at) for at in range(len(run))]
    assert said[0] is None
    assert [bool(one) for one in said] == [False, *[True] * 5]
    whole = factories.exchange("POST", body=b"123456789")
    assert now.refused(1, whole) is None
    assert now.request(1, whole).content.data == b"123456789"


def test_bindings_may_be_given() -> None:
    assert replayer(made(userName="a"), bindings=known(**IDS)).bindings.b_of("User", "1") == "21"


# --- properties

NAMES = st.sampled_from(["1", "2", "3", "ann", "Ann@x.org", UUID])
RESOURCE = st.fixed_dictionaries(
    {},
    optional={
        "id": NAMES,
        "userName": NAMES,
        "displayName": NAMES,
        "externalId": NAMES,
        "members": st.lists(st.fixed_dictionaries({"value": NAMES, "$ref": NAMES.map(lambda it: f"../Users/{it}")}), max_size=3),
        "meta": st.fixed_dictionaries({"version": NAMES.map(lambda it: f'W/"{it}"'), "location": NAMES.map(lambda it: f"http://scim.example/scim/v2/Users/{it}")}),
        "emails": st.lists(st.fixed_dictionaries({"value": NAMES}), max_size=2),
        "count": st.integers(0, 3),
    },
)  # fmt: skip
ENDPOINTS = st.sampled_from(["Users", "Groups"])


@st.composite
def exchanges(draw: st.DrawFn) -> Seen:
    method = draw(st.sampled_from(["GET", "POST", "PUT", "PATCH", "DELETE"]))
    endpoint, number = draw(ENDPOINTS), draw(NAMES)
    target = f"/scim/v2/{endpoint}" if method == "POST" else f"/scim/v2/{endpoint}/{quote(number)}"
    if method == "GET" and draw(st.booleans()):
        wanted = draw(st.sampled_from(["id", "userName", "members.value", "externalId"]))
        said = f'{wanted} eq "{draw(NAMES)}"'
        target = f"/scim/v2/{endpoint}?filter={draw(st.sampled_from([quote(said), said.replace(' ', '+')]))}"
    body = draw(RESOURCE) if method in {"POST", "PUT", "PATCH"} else b""
    answer: object = draw(
        RESOURCE | st.lists(RESOURCE, max_size=3).map(lambda it: {"Resources": it, "totalResults": 3})
    )
    text = body if isinstance(body, bytes) else json.dumps(body, indent=draw(st.sampled_from([None, 1]))).encode()
    status = draw(st.sampled_from([200, 201, 204, 404, 409]))
    headers = draw(st.sampled_from([{}, {"If-Match": 'W/"1"'}, {"If-None-Match": '"2"'}]))
    return seen(
        factories.exchange(
            request=factories.request(method, target, body=text, headers=headers),
            response=factories.response(status, answer, headers={"ETag": f'"{draw(NAMES)}"'}),
        )
    )


RUNS = st.lists(exchanges(), max_size=8)


@given(RUNS)
@settings(max_examples=60)
def test_a_server_that_answers_the_same_gets_the_same(run: list[Seen]) -> None:
    now = Replayer(run, THEN, recorded=THEN)
    for at, it in enumerate(run):
        request, then = now.request(at), it.exchange.request
        assert (request.method, request.target) == (then.method, then.target)
        assert list(request.headers) == [pair for pair in then.headers if pair[0] not in {"Host", "Content-Length"}]
        assert request.content == then.content
        now.learn(at, it)
    assert now.bindings.rows() == []


@given(st.lists(NAMES, max_size=5, unique=True))
def test_each_id_becomes_its_own(numbers: list[str]) -> None:
    """Users are made, read and deleted; each has another's id on the new server."""
    others = [*numbers[1:], "99"]
    run = [made(number, userName=f"u-{number}") for number in numbers] + [
        sent("DELETE", f"/Users/{quote(one)}") for one in numbers
    ]
    now = replayer(*run)
    for at, other in enumerate(others[: len(numbers)]):
        now.learn(at, made(other, userName=f"u-{numbers[at]}"))
    targets = [now.request(len(numbers) + at).target for at in range(len(numbers))]
    assert targets == [f"/v2/Users/{quote(other, safe='')}" for other in others[: len(numbers)]]
