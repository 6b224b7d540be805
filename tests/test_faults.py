"""The language of faults: what it says, how its mistakes are told, and which requests a fault fires for."""

from __future__ import annotations

import json
from typing import Any

import pytest
from factories import request

from scimproxy.errors import SyntaxProblem
from scimproxy.exchange import Content, Request, Response
from scimproxy.faults import ACTIONS, COUNTS, SELECTORS, Fault, Faults, parse_fault
from scimproxy.proxy.intervention import Intervention

CREATE = request("POST", "/scim/v2/Users", body={"userName": "a@example.com"})
READ = request("GET", "/scim/v2/Users/7")
LIST = request("GET", "/scim/v2/Users?startIndex=3&count=2")
GROUP = request("POST", "/scim/v2/Groups", body={"displayName": "g"})
CAME = Response(200, "OK", content=Content.of(b'{"id": "7", "a": 1}'))


def fired(text: str, *requests: Request) -> list[bool]:
    faults = Faults([parse_fault(text)])
    return [faults.intervene(one) is not None for one in requests]


def made(text: str) -> Intervention:
    return parse_fault(text).intervention()


def after(text: str, came: Response = CAME) -> Response:
    alter = made(text).alter
    assert alter is not None
    return alter(came)


# -- which requests -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("selectors", "expected"),
    [
        ("op:create", [True, False, False, True]),
        ("op:create type:User", [True, False, False, False]),
        ("-op:create", [False, True, True, False]),
        ("method:GET path:/users", [False, True, True, False]),
        ('path:"/Groups"', [False, False, False, True]),
        ("op:LIST", [False, False, True, False]),
        ("", [True, True, True, True]),
        ("client:okta", [False, False, False, False]),
    ],
)
def test_which_requests(selectors: str, expected: list[bool]) -> None:
    assert fired(f"{selectors} status:503", CREATE, READ, LIST, GROUP) == expected


@pytest.mark.parametrize(
    ("turns", "expected"),
    [
        ("nth:2", "01000"),
        ("nth:2-3", "01100"),
        ("nth:4-", "00011"),
        ("every:2", "01010"),
        ("nth:2- every:2", "00101"),
        ("every:1", "11111"),
        ("", "11111"),
    ],
)
def test_which_of_those(turns: str, expected: str) -> None:
    mixed = [one for _ in range(5) for one in (READ, CREATE)]
    assert fired(f"op:create {turns} reset:before", *mixed)[1::2] == [one == "1" for one in expected]
    assert not any(fired(f"op:create {turns} reset:before", *mixed)[0::2])


def test_pages_after_the_first() -> None:
    first = request("GET", "/scim/v2/Users?startIndex=1&count=2")
    bare = request("GET", "/scim/v2/Users")
    assert fired("empty-page", first, bare, LIST, READ, LIST) == [False, False, True, False, True]


def test_the_first_that_is_due_fires_and_all_count() -> None:
    faults = Faults([parse_fault("op:create nth:1 status:503"), parse_fault("op:create nth:1-2 status:429")])
    first, second, third = (faults.intervene(CREATE) for _ in range(3))
    assert first is not None
    assert first.response is not None
    assert first.response.status_code == 503
    assert second is not None
    assert second.response is not None
    assert second.response.status_code == 429
    assert third is None
    assert faults.counts == [("op:create nth:1 status:503", 1), ("op:create nth:1-2 status:429", 1)]
    faults.active = False
    assert Faults([parse_fault("delay:1s")]).intervene(CREATE) is not None
    assert faults.intervene(CREATE) is None


# -- what happens -------------------------------------------------------------------------------------------------


def test_a_status() -> None:
    intervention = made("op:create status:503 retry-after:5")
    assert not intervention.asks
    assert intervention.tags == ("fault",)
    assert intervention.note == "fault: op:create status:503 retry-after:5"
    response = intervention.response
    assert response is not None
    assert response.headers.get("retry-after") == "5"
    body = json.loads(response.content.data)
    assert body["schemas"] == ["urn:ietf:params:scim:api:messages:2.0:Error"]
    assert body["status"] == "503"


@pytest.mark.parametrize(("body", "data"), [("html", b"<html>"), ("empty", b""), ("truncated", b'{"schemas"')])
def test_a_status_with_another_body(body: str, data: bytes) -> None:
    response = made(f"status:500 body:{body}").response
    assert response is not None
    assert response.status_code == 500
    assert response.content.data.startswith(data)
    with pytest.raises(ValueError, match=r"Expecting|Unterminated"):
        json.loads(response.content.data)


def test_a_status_after_the_upstream_was_asked() -> None:
    intervention = made("status:504 upstream:asked")
    assert intervention.asks
    assert after("status:504 upstream:asked").status_code == 504


def test_bodies() -> None:
    assert after("body:truncated").content.data == b'{"id": "7'
    assert after("body:truncated").status_code == 200
    assert after("body:empty").content.data == b""
    page = after("body:html")
    assert page.status_code == 502
    assert page.headers.get("content-type") == "text/html"


def test_the_rest() -> None:
    assert made("delay:500ms").delay_s == 0.5
    assert made("delay:1.5s").delay_s == 1.5
    assert made("delay:2m").delay_s == 120
    assert made("reset:before").cut == "before"
    assert made("reset:AFTER").cut == "after"
    assert made("duplicate").deliveries == 2
    both = made("duplicate reset:after delay:1s")
    assert (both.deliveries, both.cut, both.delay_s) == (2, "after", 1.0)


def test_an_empty_page() -> None:
    page = {"totalResults": 5, "itemsPerPage": 2, "startIndex": 3, "Resources": [{"id": "3"}, {"id": "4"}]}
    got = json.loads(after("empty-page", Response(200, content=Content.of(json.dumps(page).encode()))).content.data)
    assert got == {**page, "itemsPerPage": 0, "Resources": []}
    for body in (b"no json", b"[]", b'{"Resources": []}', b"{}", b"[" * 100_000):
        came = Response(200, content=Content.of(body))
        assert after("empty-page", came) is came


def test_what_loses_the_answer() -> None:
    for text in ("reset:after", "status:504 upstream:asked", "body:html", "body:truncated"):
        assert parse_fault(text).loses_the_answer, text
    for text in ("reset:before", "status:503", "duplicate", "delay:1s", "empty-page"):
        assert not parse_fault(text).loses_the_answer, text


# -- over a mock --------------------------------------------------------------------------------------------------


class Mock:
    def __init__(self, own: Intervention | None) -> None:
        self.own = own
        self.asked = 0

    def intervene(self, request: Request) -> Intervention | None:
        del request
        self.asked += 1
        return self.own


def over(text: str, **own: Any) -> Intervention:
    given = {
        "response": CAME,
        "origin": "mock",
        "parent_id": 3,
        "note": "near",
        "tags": ("m",),
        "delay_s": 1.0,
        **own,
    }
    found = Faults([parse_fault(text)], Mock(Intervention(**given))).intervene(CREATE)
    assert found is not None
    return found


def test_over_a_mock() -> None:
    slow = over("delay:2s")
    assert (slow.delay_s, slow.response, slow.origin, slow.parent_id) == (3.0, CAME, "mock", 3)
    assert slow.note == "fault: delay:2s; near"
    assert slow.tags == ("fault", "m")
    broken = over("body:truncated", note=None)
    assert broken.response is not None
    assert broken.response.content.data == b'{"id": "7'
    assert (broken.origin, broken.note) == ("proxy", "fault: body:truncated")
    refused = over("status:503")
    assert refused.response is not None
    assert refused.response.status_code == 503
    assert over("reset:after").cut == "before"
    passing = over("body:html", response=None)
    assert passing.alter is not None
    assert passing.parent_id == 3


def test_a_mock_is_asked_twice_where_delivered_twice() -> None:
    mock = Mock(Intervention(response=CAME))
    faults = Faults([parse_fault("nth:2 duplicate")], mock)
    assert faults.intervene(CREATE) is mock.own
    assert mock.asked == 1
    assert faults.intervene(CREATE) is not None
    assert mock.asked == 3
    silent = Faults([parse_fault("status:503")], Mock(None)).intervene(CREATE)
    assert silent is not None
    assert not silent.asks


# -- mistakes -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "position", "said", "hint"),
    [
        ("", 0, "does not say what happens", "status:503"),
        ("op:create", 9, "does not say what happens", "status:503"),
        ("op:creat status:503", 3, "does not know 'creat'", "op:create"),
        ("status:503 op:", 14, "op: needs a value", "for example"),
        ("status:200", 7, "does not take '200'", "400-599"),
        ("status:", 7, "needs a value", "400-599"),
        ("status:abc", 7, "does not take", "status:503"),
        ("statu:503", 0, "no word 'statu:'", "did you mean status"),
        ("failure:closed status:503", 0, "no word 'failure:'", "words are"),
        ("status:503 twice", 11, "no word 'twice'", "words are"),
        ("duplicated", 0, "no word", "did you mean duplicate"),
        ("duplicate:2", 0, "takes no value", "only duplicate"),
        ("status:503 status:500", 11, "there twice", "second --fault"),
        ("nth:0 status:503", 4, "does not take '0'", "nth:2"),
        ("nth:3-2 status:503", 4, "does not take '3-2'", "nth:2"),
        ("nth:22x status:503", 4, "does not take", "nth:2"),
        ("nth:2x3 status:503", 4, "does not take", "nth:2"),
        ("every:0 status:503", 6, "does not take", "every:3"),
        ("delay:2h", 6, "does not take", "delay:2s"),
        ("delay:61m", 6, "does not take", "delay:2s"),
        ("delay:2", 6, "does not take", "delay:2s"),
        ("reset:now", 6, "does not take 'now'", "before, after"),
        ("body:long", 5, "does not take", "truncated"),
        ("upstream:no status:503", 9, "does not take", "asked"),
        ("retry-after:5", 0, "needs a status", "status:503"),
        ("upstream:asked delay:1s", 0, "needs a status", "status:503"),
        ("reset:after status:503", 12, "cannot both", "two faults"),
        ("status:503 duplicate", 11, "needs the server to be asked", "leave one"),
        ("duplicate reset:before", 0, "needs the server to be asked", "leave one"),
        ("empty-page body:html", 11, "cannot both", "two faults"),
        ("retry-after:1.5 status:503", 12, "does not take '1.5'", "SECONDS"),
        ('path:"x status:503', 0, "no word", ""),
    ],
)
def test_mistakes(text: str, position: int, said: str, hint: str) -> None:
    with pytest.raises(SyntaxProblem) as caught:
        parse_fault(text)
    assert said in caught.value.message
    assert hint in (caught.value.hint or "")
    assert caught.value.position == position
    assert caught.value.text == text


def test_a_fault_is_bounded() -> None:
    with pytest.raises(SyntaxProblem, match="1024"):
        parse_fault("path:/" + "x" * 2000 + " status:503")


def test_examples_parse() -> None:
    for word in (*COUNTS, *ACTIONS):
        beside = "" if word.name in {"status", "delay", "reset", "body", "duplicate", "empty-page"} else " status:500"
        parse_fault(word.example + beside)
    assert "op" in SELECTORS
    assert isinstance(parse_fault("status:503 nth:2"), Fault)
