"""locations: addresses inside answers, found and rewritten."""

from __future__ import annotations

import json

import pytest
from factories import response

from scimproxy.exchange import Content, Headers, Response, Rewrite
from scimproxy.proxy.engine import EngineOptions, Target
from scimproxy.proxy.locations import MAX_DEPTH, find_locations, rewrite_response

TARGET = Target("http", "127.0.0.1", 8000, "/scim/v2")
PUBLIC = "https://abc.example"
OPTIONS = EngineOptions(target=TARGET, public_path="/p")
OWN = "http://127.0.0.1:8000/scim/v2"


def body(text: str | bytes, **headers: str) -> Response:
    data = text if isinstance(text, bytes) else text.encode()
    fields = [("Content-Type", "application/scim+json"), ("Content-Length", str(len(data))), *headers.items()]
    return Response(status_code=200, headers=Headers(fields), content=Content.of(data))


def places(answer: Response, public: str | None = PUBLIC) -> list[tuple[str, str | None]]:
    return [(place.place, place.public) for place in find_locations(answer, OPTIONS, public)]


@pytest.mark.parametrize(
    ("value", "public"),
    [
        (f"{OWN}/Users/1", f"{PUBLIC}/p/Users/1"),
        (OWN, f"{PUBLIC}/p"),
        (f"{OWN}?a=b", f"{PUBLIC}/p?a=b"),
        ("http://localhost:8000/scim/v2/Users/1", f"{PUBLIC}/p/Users/1"),
        ("http://[::1]:8000/scim/v2/Users/1", f"{PUBLIC}/p/Users/1"),
        (f"{OWN}x/Users", None),
        ("http://127.0.0.1:8000/login", None),
        ("http://127.0.0.1:9999/x", None),
        ("https://10.1.2.3/x", None),
        ("http://scim/x", None),
        ("http://db.internal/x", None),
    ],
)
def test_addresses_that_clients_cannot_use(value: str, public: str | None) -> None:
    assert places(response(201, headers={"Location": value})) == [("header:Location", public)]
    assert places(body(json.dumps({"$ref": value}))) == [("/$ref", public)]


@pytest.mark.parametrize(
    "value",
    [
        f"{PUBLIC}/p/Users/1",
        "HTTPS://ABC.example/x",
        "https://scim.example.com/Users/1",
        "https://8.8.8.8/x",
        "/Users/1",
        "../Users/1",
        "urn:x:y",
        "http://",
        "http://[::1/x",
        "http://h:99999999/x",
        "",
    ],
)
def test_addresses_that_are_fine_or_none(value: str) -> None:
    assert places(response(201, headers={"Location": value})) == []
    assert places(body(json.dumps({"meta": {"location": value}}))) == []


def test_without_a_public_origin_nothing_can_be_said_instead() -> None:
    answer = response(201, headers={"content-location": f"{OWN}/Users/1"})
    assert places(answer, None) == [("header:content-location", None)]
    assert rewrite_response(answer, OPTIONS, None) == (answer, ())


def test_the_default_ports_are_known() -> None:
    options = EngineOptions(target=Target("https", "scim.example.com", 443))
    found = find_locations(response(headers={"Location": "https://scim.example.com/Users/1"}), options, PUBLIC)
    assert [place.public for place in found] == [f"{PUBLIC}/Users/1"]
    assert find_locations(response(headers={"Location": "http://scim.example.com/Users/1"}), options, PUBLIC) == []


DEEP = """\
\ufeff { "Resources" : [ {"id":"1", "META":{"Location":"@/Users/1", "x": null}, "a/b~":[[{"$REF":"@/Groups/2"}]]},
  "location", 17, {"location":"@/not-meta", "meta":{"deep":{"location":"@/no"}}, "meta2":{"location":"@/no"}},
  {"meta":[{"location":"@/no"}], "text":"say \\"$ref\\": @/no", "$ref":{"$ref":"@\\/Users\\/\\u0033"}} ] }
""".replace("@", OWN)


def test_only_the_right_members_change_and_the_rest_stays() -> None:
    answer = body(DEEP, **{"Location": f"{OWN}/Users/1", "Content-MD5": "x", "X": OWN})
    rewritten, rewrites = rewrite_response(answer, OPTIONS, PUBLIC)
    assert rewrites == (
        Rewrite("header:Location", f"{OWN}/Users/1", f"{PUBLIC}/p/Users/1"),
        Rewrite("/Resources/0/META/Location", f"{OWN}/Users/1", f"{PUBLIC}/p/Users/1"),
        Rewrite("/Resources/0/a~1b~0/0/0/$REF", f"{OWN}/Groups/2", f"{PUBLIC}/p/Groups/2"),
        Rewrite("/Resources/4/$ref/$ref", f"{OWN}/Users/3", f"{PUBLIC}/p/Users/3"),
    )
    expected = DEEP.replace(f'"{OWN}/Users/1"', f'"{PUBLIC}/p/Users/1"').replace(
        f'"{OWN}/Groups/2"', f'"{PUBLIC}/p/Groups/2"'
    )
    expected = expected.replace(f'"{OWN}\\/Users\\/\\u0033"', json.dumps(f"{PUBLIC}/p/Users/3").replace("/", "\\/"))
    assert rewritten.content.data.decode() == expected
    assert rewritten.content == Content.of(expected.encode())
    assert rewritten.headers.get("content-length") == str(len(expected.encode()))
    assert "content-md5" not in rewritten.headers
    assert rewritten.headers.get("x") == OWN
    json.loads(rewritten.content.data.decode("utf-8-sig"))


def test_a_body_without_a_length_gets_none() -> None:
    answer = body(json.dumps({"$ref": f"{OWN}/x"}))
    bare = Response(status_code=200, headers=answer.headers.without("content-length"), content=answer.content)
    rewritten, rewrites = rewrite_response(bare, OPTIONS, PUBLIC)
    assert len(rewrites) == 1
    assert "content-length" not in rewritten.headers


def test_what_cannot_be_rewritten_is_left() -> None:
    answer = body(json.dumps({"$ref": "http://127.0.0.1:8000/login", "other": [{"$ref": f"{OWN}/a"}]}))
    rewritten, rewrites = rewrite_response(answer, OPTIONS, PUBLIC)
    assert [rewrite.place for rewrite in rewrites] == ["/other/0/$ref"]
    assert b'"http://127.0.0.1:8000/login"' in rewritten.content.data
    nothing = body(json.dumps({"$ref": "http://127.0.0.1:8000/login"}), Location="http://10.0.0.1/")
    assert rewrite_response(nothing, OPTIONS, PUBLIC) == (nothing, ())


REF = json.dumps({"$ref": f"{OWN}/Users/1"})


@pytest.mark.parametrize(
    "answer",
    [
        body(REF, **{"Content-Encoding": "gzip"}),
        Response(
            status_code=200, headers=Headers([("Content-Type", "text/plain")]), content=Content.of(REF.encode())
        ),
        Response(status_code=200, content=Content.of(REF.encode())),
        body("{}"),
        body(REF.encode("utf-16")),
        body(REF.encode() + b"\xff"),
        Response(
            status_code=200,
            headers=Headers([("Content-Type", "application/json")]),
            content=Content(data=REF.encode(), size=999, sha256="x"),
        ),
        Response(
            status_code=200,
            headers=Headers([("Content-Type", "application/json")]),
            content=Content(data=REF.encode(), size=9, sha256="x", redacted=True),
        ),
    ],
)
def test_bodies_that_are_not_looked_into(answer: Response) -> None:
    assert places(answer) == []
    assert rewrite_response(answer, OPTIONS, PUBLIC) == (answer, ())


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ('{"$ref":"\\q", "a": 1}', 0),
        ('"$ref"', 0),
        (']{"$ref":"@/x"}', 0),
        ('{"$ref":"@/x"', 1),
        ('{"$ref":"@/x', 0),
        ('{"$ref":"@/x"}}{"$ref":"@/y"}', 1),
        ('{"$ref":"@/x"} {"$ref":"@/y"}', 2),
        ('{"$ref" "@/x"}', 0),
        ('{"meta":"location","location":"@/x"}', 0),
        ("[" * (MAX_DEPTH - 1) + '{"$ref":"@/x"}', 1),
        ("[" * MAX_DEPTH + '{"$ref":"@/x"}', 0),
    ],
)
def test_broken_json_does_no_harm(text: str, found: int) -> None:
    answer = body(text.replace("@", OWN))
    assert len(places(answer)) == found
    rewrite_response(answer, OPTIONS, PUBLIC)
