"""The Responder: what answers what, in which order, with whose words; and what a miss says."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import replace
from typing import Any

import pytest
from factories import exchange, request, response

from scimproxy.exchange import Content, Exchange, Failure, Headers
from scimproxy.mock.answers import HEADER
from scimproxy.mock.matching import parse_matching
from scimproxy.mock.recorded import Hit, Miss, Repeat, Responder

USER = "urn:ietf:params:scim:schemas:core:2.0:User"
BASE = "/scim/v2"


def recorded(*exchanges: Exchange) -> list[Exchange]:
    return [replace(one, id=number) for number, one in enumerate(exchanges, 1)]


def user(name: str, **more: Any) -> dict[str, Any]:
    return {"schemas": [USER], "userName": name, **more}


def create(name: str, id_: str, **more: Any) -> Exchange:
    body = user(name, **more)
    answer = {
        **body,
        "id": id_,
        "meta": {"resourceType": "User", "location": f"http://scim.example{BASE}/Users/{id_}"},
    }
    return exchange("POST", f"{BASE}/Users", status_code=201, body=body, answer=answer)


def read(id_: str, answer: object, status: int = 200) -> Exchange:
    return exchange("GET", f"{BASE}/Users/{id_}", status_code=status, answer=answer)


def find(name: str, *ids: str) -> Exchange:
    found = [{"id": one, "userName": name} for one in ids]
    answer = {"totalResults": len(ids), "Resources": found}
    return exchange("GET", f"{BASE}/Users?filter=userName%20eq%20%22{name}%22", answer=answer)


def hit(responder: Responder, *given: Any, **fields: Any) -> Hit:
    found = responder.answer(request(*given, **fields))
    assert isinstance(found, Hit), found
    return found


def miss(responder: Responder, *given: Any, **fields: Any) -> Miss:
    found = responder.answer(request(*given, **fields))
    assert isinstance(found, Miss), found
    return found


def body_of(found: Hit) -> Any:
    return json.loads(found.response.content.data)


def ids(found: Iterable[Hit]) -> list[int | None]:
    return [one.exchange.id for one in found]


# --- what is the same


def test_an_answer_says_why() -> None:
    responder = Responder(recorded(read("1", {"id": "1"}), read("2", {"id": "2"})))
    found = hit(responder, "GET", f"{BASE}/Users/2")
    assert (found.exchange.id, found.response.status_code, body_of(found)) == (2, 200, {"id": "2"})
    assert found.response.headers.get(HEADER) == "exchange=2 matched=method,path,query,body repeat=1/1"
    assert found.why == found.response.headers.get(HEADER)
    assert len(responder) == 2 and responder.base_paths == {BASE: 2}


@pytest.mark.parametrize(
    "target",
    [
        f"{BASE}/Users?filter=userName+eq+%22ann%22&count=10",
        f"{BASE}/Users?count=10&filter=USERNAME%20EQ%20%22ann%22",
        "/Users?count=10&filter=userName%20eq%20%22ann%22",
        "/other/v2/Users?count=10&filter=(userName%20eq%20%22ann%22)",
    ],
)
def test_the_same_in_other_words(target: str) -> None:
    """Order, the letters' case, blanks and brackets of a filter, and the base path make no other question."""
    responder = Responder(recorded(exchange("GET", f"{BASE}/Users?filter=userName%20eq%20%22ann%22&count=10")))
    assert hit(responder, "GET", target).exchange.id == 1


def test_bodies_are_json() -> None:
    """Order of members, absent and null, letter case of names and of op are no difference; other values are."""
    patch = {"schemas": ["P"], "Operations": [{"op": "replace", "path": "active", "value": False}]}
    responder = Responder(recorded(exchange("PATCH", f"{BASE}/Users/1", status_code=204, body=patch)))
    same = '{"Operations": [ {"value":false,"OP":"Replace","path":"active"} ],"schemas":["p"],"title":null}'
    assert hit(responder, "PATCH", f"{BASE}/Users/1", body=same).exchange.id == 1
    other = {**patch, "Operations": [{"op": "replace", "path": "active", "value": True}]}
    assert (
        miss(responder, "PATCH", f"{BASE}/Users/1", body=other).nearest[0].mismatches[0].place
        == "/Operations/0/value"
    )


def test_what_always_differs_is_masked() -> None:
    """Dates, versions and passwords; the password is a fingerprint in the recording."""
    told = [
        user("ann", password="sha256:12345678", meta={"version": 'W/"1"', "created": "2026-01-01T00:00:00Z"}),
        user("ann", password="geheim", meta={"version": 'W/"9"', "created": "2026-02-02T10:00:00.5Z"}),
    ]
    responder = Responder(recorded(exchange("POST", f"{BASE}/Users", body=told[0])))
    assert hit(responder, "POST", f"{BASE}/Users", body=told[1]).exchange.id == 1


# --- names and ids, both ways


def test_names_made_up_anew() -> None:
    """The answer has the client's names where the recording had those of the client then; ids are the recorded ones."""
    responder = Responder(
        recorded(
            find("ann7@x.com"),
            create("ann7@x.com", "u-1", displayName="Ann Seven", externalId="e-1"),
            find("ann7@x.com", "u-1"),
            exchange(
                "POST",
                f"{BASE}/Users",
                status_code=409,
                body=user("ann7@x.com"),
                answer={"detail": "ann7@x.com is taken"},
            ),
            exchange("GET", f"{BASE}/Users?filter=userName%20eq%20%22ANN7@X.COM%22", answer={"totalResults": 1}),
        )
    )
    query = f"{BASE}/Users?filter=userName%20eq%20%22"
    assert body_of(hit(responder, "GET", f"{query}zoe@y.org%22"))["totalResults"] == 0
    made = hit(responder, "POST", f"{BASE}/Users", body=user("zoe@y.org", displayName="Zoe Why", externalId="e-9"))
    assert body_of(made) == {
        "schemas": [USER],
        "userName": "zoe@y.org",
        "displayName": "Zoe Why",
        "externalId": "e-9",
        "id": "u-1",
        "meta": {"resourceType": "User", "location": f"http://scim.example{BASE}/Users/u-1"},
    }
    assert [(one.role, one.a, one.b) for one in made.bound] == [
        ("name", "Ann Seven", "Zoe Why"),
        ("externalId", "e-1", "e-9"),
    ]
    assert body_of(hit(responder, "GET", f"{query}zoe@y.org%22"))["Resources"] == [
        {"id": "u-1", "userName": "zoe@y.org"}
    ]
    assert body_of(hit(responder, "POST", f"{BASE}/Users", body=user("zoe@y.org"))) == {
        "detail": "zoe@y.org is taken"
    }
    assert hit(responder, "GET", f"{query}ZOE@Y.ORG%22").exchange.id == 5


def test_two_names_stay_apart() -> None:
    responder = Responder(
        recorded(create("ann1", "1"), create("bob2", "2"), read("1", user("ann1", id="1")), find("bob2", "2"))
    )
    assert [body_of(hit(responder, "POST", f"{BASE}/Users", body=user(name)))["id"] for name in ("new1", "new2")] == [
        "1",
        "2",
    ]
    assert body_of(hit(responder, "GET", f"{BASE}/Users/1"))["userName"] == "new1"
    assert hit(responder, "GET", f"{BASE}/Users?filter=userName+eq+%22new2%22").exchange.id == 4
    # A name that means something else is not looked up as this one.
    assert isinstance(responder.answer(request("GET", f"{BASE}/Users?filter=userName+eq+%22new1%22")), Miss)


def test_the_latest_name_stands() -> None:
    """The same test twice: the second time it has other names, and the answers say those."""
    responder = Responder(recorded(create("ann1", "1"), read("1", user("ann1", id="1"))))
    for name in ("eve5", "joe6"):
        assert body_of(hit(responder, "POST", f"{BASE}/Users", body=user(name)))["userName"] == name
        assert body_of(hit(responder, "GET", f"{BASE}/Users/1"))["userName"] == name


def test_ids_of_another_run() -> None:
    """A client that says its own ids is answered with them; an id we gave is never taken for another."""
    group = {"displayName": "G", "members": [{"value": "u-1", "$ref": f"http://scim.example{BASE}/Users/u-1"}]}
    responder = Responder(
        recorded(
            read("u-1", {"id": "u-1", "meta": {"location": f"{BASE}/Users/u-1"}}),
            read("u-2", {"id": "u-2"}),
            exchange("POST", f"{BASE}/Groups", status_code=201, body=group, answer={**group, "id": "g-1"}),
            exchange("DELETE", f"{BASE}/Users/u-2", status_code=204),
        )
    )
    mine = body_of(hit(responder, "GET", f"{BASE}/Users/77"))
    assert mine == {"id": "77", "meta": {"location": f"{BASE}/Users/77"}}
    made = {**group, "members": [{"value": "77", "$ref": f"http://scim.example{BASE}/Users/77"}]}
    assert body_of(hit(responder, "POST", f"{BASE}/Groups", body=made))["members"] == made["members"]
    assert body_of(hit(responder, "GET", f"{BASE}/Users/u-2")) == {"id": "u-2"}
    near = {one.exchange.id: one for one in miss(responder, "DELETE", f"{BASE}/Users/u-1").nearest}
    assert [it.matcher for it in near[4].mismatches] == ["path"]


def test_an_id_that_the_client_makes_up_for_nobody() -> None:
    """Suites ask for an id that does not exist: made up each time, and answered with the recorded 404."""
    absent = {"schemas": ["E"], "status": "404", "detail": "No user 019aa"}
    responder = Responder(
        recorded(read("019aa", absent, 404), exchange("DELETE", f"{BASE}/Users/019aa", status_code=404))
    )
    for made in ("zz1", "zz2"):
        assert hit(responder, "GET", f"{BASE}/Users/{made}").response.status_code == 404
    assert hit(responder, "DELETE", f"{BASE}/Users/zz2").exchange.id == 2


def test_who_asks_chooses_between_equals() -> None:
    """Without credentials, or with others than most: the 401 that was recorded for it."""
    answers = [(200, "Bearer good"), (401, None), (401, "Bearer bad"), (200, "Bearer good")]
    exchanges = [
        replace(
            exchange(request=request("GET", f"{BASE}/Users", headers={"Authorization": said} if said else {})),
            response=response(status),
        )
        for status, said in answers
    ]
    responder = Responder(recorded(*exchanges))
    statuses = [
        hit(responder, "GET", f"{BASE}/Users", headers={"Authorization": said} if said else {}).response.status_code
        for said in (None, "Bearer mine", "Bearer wrong", "Bearer mine", "Bearer mine", None)
    ]
    assert statuses == [401, 200, 401, 200, 200, 401]


def test_credentials_need_not_be_there() -> None:
    asked = request("GET", f"{BASE}/Users", headers={"Authorization": "Bearer good"})
    responder = Responder(recorded(exchange(request=asked)))
    assert hit(responder, "GET", f"{BASE}/Users").bound == ()


# --- again and again


@pytest.mark.parametrize(
    ("repeat", "wanted"),
    [("last", [1, 2, 3, 3, 3, 3, 3]), ("cycle", [1, 2, 3, 1, 2, 3, 1]), ("sequence", [1, 2, 3, 0, 0, 0, 0])],
)
def test_repeated(repeat: Repeat, wanted: list[int]) -> None:
    responder = Responder(recorded(*(read("1", {"n": at}) for at in range(3))), repeat=repeat)
    found = [responder.answer(request("GET", f"{BASE}/Users/1")) for _ in wanted]
    assert [one.exchange.id if isinstance(one, Hit) else 0 for one in found] == wanted
    first, last = found[0], found[-1]
    assert isinstance(first, Hit) and first.why.endswith("repeat=1/3")
    if isinstance(last, Miss):
        assert last.exhausted and last.why == "miss closest=1 exhausted"
        assert "has been given once" in last.detail


@pytest.mark.parametrize("repeat", ["last", "cycle", "sequence"])
def test_nothing_of_a_kind_fits(repeat: Repeat) -> None:
    """An id that we gave is itself, whatever the policy; so nothing here answers."""
    responder = Responder(
        recorded(read("1", {"id": "1"}), exchange("PUT", f"{BASE}/Users/2", answer={"id": "2"})), repeat=repeat
    )
    assert isinstance(responder.answer(request("PUT", f"{BASE}/Users/1")), Miss)


def test_a_long_row_of_answers_begins_anew() -> None:
    responder = Responder(recorded(*(read("1", {"n": at}) for at in range(100))), repeat="cycle")
    found = [hit(responder, "GET", f"{BASE}/Users/1").exchange.id for _ in range(250)]
    assert found == [1 + at % 100 for at in range(250)]


# --- strict, loose, chosen


def test_strict_binds_nothing() -> None:
    responder = Responder(recorded(create("ann1", "1"), read("1", {"id": "1"})), parse_matching(preset="strict"))
    found = miss(responder, "POST", f"{BASE}/Users", body=user("eve5"))
    assert [(it.matcher, it.expected, it.got) for it in found.nearest[0].mismatches] == [("body", '"ann1"', '"eve5"')]
    assert isinstance(responder.answer(request("GET", f"{BASE}/Users/2")), Miss)
    assert hit(responder, "POST", f"{BASE}/Users", body=user("ann1")).exchange.id == 1
    other = miss(responder, "POST", f"{BASE}/Users", body=user("ann1"), headers={"Content-Type": "text/plain"})
    assert other.why == "miss closest=1 failed=header:content-type"


def test_loose_prefers_what_is_alike() -> None:
    """Only method and path must agree; query and body choose between several."""
    responder = Responder(
        recorded(find("ann1"), find("bob2", "2"), exchange("GET", f"{BASE}/Users?count=5")),
        parse_matching(preset="loose"),
    )
    assert hit(responder, "GET", f"{BASE}/Users?count=5").exchange.id == 3
    assert hit(responder, "GET", f"{BASE}/Users?filter=userName+eq+%22bob2%22").exchange.id == 2
    assert hit(responder, "GET", f"{BASE}/Users?sortBy=id").exchange.id == 1
    assert hit(responder, "GET", f"{BASE}/Users?sortBy=id").why == "exchange=3 matched=method,path repeat=1/1"


def test_chosen_headers() -> None:
    exchanges = [
        exchange("PUT", request=request("PUT", f"{BASE}/Users/1", body={"a": 1}, headers={"If-Match": tag}))
        for tag in ('W/"1"', 'W/"2"')
    ]
    responder = Responder(recorded(*exchanges), parse_matching("method,path,header:If-Match"))
    assert hit(responder, "PUT", f"{BASE}/Users/1", headers={"if-match": ' W/"2" '}).exchange.id == 2
    found = miss(responder, "PUT", f"{BASE}/Users/1")
    assert str(found.nearest[0]) == (
        f'exchange 1 (PUT {BASE}/Users/1): header:if-match: expected "W/\\"1\\"", got nothing'
    )


# --- misses


def test_near_misses_come_nearest_first() -> None:
    responder = Responder(
        recorded(
            read("9", {}),
            find("ann1"),
            exchange("GET", f"{BASE}/Users?count=5&filter=title%20eq%20%22Boss%22"),
            exchange("POST", f"{BASE}/Users", body=user("x", title="Boss")),
        )
    )
    found = miss(responder, "GET", f"{BASE}/Users?count=6&filter=title%20eq%20%22Boss%22")
    assert [near.exchange.id for near in found.nearest] == [3, 2, 1]
    assert [str(it) for it in found.nearest[0].mismatches] == ['query count: expected "5", got "6"']
    answer = found.response
    assert (answer.status_code, answer.headers.get(HEADER)) == (404, "miss closest=3 failed=query")
    told = json.loads(answer.content.data)
    assert told["schemas"] == ["urn:ietf:params:scim:api:messages:2.0:Error"] and told["status"] == "404"
    assert told["detail"].startswith(
        f"scimproxy mock: no recorded exchange answers GET {BASE}/Users. Close: exchange 3 ("
    )
    assert told["nearMisses"][0] == {
        "exchange": 3,
        "failed": [{"matcher": "query", "place": "count", "expected": '"5"', "got": '"6"'}],
    }
    body = miss(responder, "POST", f"{BASE}/Users", body=user("y", title="CEO"))
    assert [str(it) for it in body.nearest[0].mismatches] == ['body /title: expected "Boss", got "CEO"']


def test_nothing_like_it() -> None:
    responder = Responder(recorded(read("1", {})))
    found = miss(responder, "OPTIONS", "/elsewhere")
    assert (found.nearest, found.why) == ((), "miss")
    assert "nothing at that endpoint" in found.detail
    assert [str(it) for it in miss(responder, "GET", "/elsewhere").nearest[0].mismatches] == [
        f"path: expected {BASE}/Users/1, got /elsewhere"
    ]
    assert isinstance(Responder([]).answer(request()), Miss)


def test_a_miss_shows_no_secret_and_is_short() -> None:
    responder = Responder(
        recorded(create("ann1", "1", title="Boss")), parse_matching("method,path,body,header:Authorization")
    )
    long = {f"a{number}": "x" * 5_000 for number in range(50)}
    given = user("eve", password="geheim-geheim", **long)
    found = miss(responder, "POST", f"{BASE}/Users", body=given, headers={"Authorization": "Bearer geheim-token"})
    assert "geheim" not in found.response.content.data.decode()
    assert len(found.detail) <= 2_000 and found.response.content.size < 10_000


# --- what was recorded


def test_what_cannot_answer_is_counted() -> None:
    whole = exchange()
    assert whole.response is not None
    cut = replace(whole.response, content=Content(b"{", 500, "00"))
    responder = Responder(
        recorded(
            whole,
            replace(whole, response=None, failure=Failure("closed", "gone")),
            replace(whole, origin="proxy"),
            replace(whole, response=cut),
            replace(whole, response=replace(whole.response, status_code=101)),
        )
    )
    assert len(responder) == 1
    assert responder.skipped == {
        "no answer of the server": 2,
        "an answer that is stored in part only": 1,
        "no status to give again": 1,
    }


def test_learned() -> None:
    responder = Responder(recorded(read("1", {})))
    assert isinstance(responder.answer(request("GET", f"{BASE}/Groups")), Miss)
    assert responder.learn(replace(exchange("GET", f"{BASE}/Groups", answer={"totalResults": 3}), id=9))
    assert body_of(hit(responder, "GET", f"{BASE}/Groups")) == {"totalResults": 3}
    assert not responder.learn(replace(exchange(), response=None))


def test_what_is_remembered_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("scimproxy.mock.recorded._REMEMBERED", 2)
    responder = Responder(
        recorded(*(read(str(number), {"id": str(number)}) for number in range(5)), exchange("GET", "/x"))
    )
    assert ids(hit(responder, "GET", f"{BASE}/Users/{number}") for number in range(5)) == [1, 2, 3, 4, 5]
    assert len(responder._remembered) <= 2 and len(responder._given) <= 2
    long = "x" * 20_000
    big = Responder(recorded(exchange("POST", f"{BASE}/Users", body={"title": long}, answer={"title": long})))
    assert hit(big, "POST", f"{BASE}/Users", body={"title": long}).exchange.id == 1
    assert not big._remembered and not big._given
    assert (responder.all_below(BASE), responder.all_below("")) == (False, True)


# --- hostile


@pytest.mark.parametrize(
    "given",
    [
        request("GET", "/"),
        request("GET", "//" + "/" * 5_000),
        request("GET", "http://[::1/scim"),
        request("GET", f"{BASE}/Users?" + "&".join(f"a{n}=b" for n in range(20_000))),
        request("GET", f"{BASE}/Users?filter=" + "(" * 10_000),
        request("GET", f"{BASE}/Users?filter=%ff%00"),
        request("POST", f"{BASE}/Users", body=b"[" * 100_000),
        request("POST", f"{BASE}/Users", body=b"\xff\xfe\x00"),
        request("POST", f"{BASE}/Users", body=b"not json"),
        request("POST", f"{BASE}/Users", body={"Operations": [{"path": "a[", "value": [[[]]]}, 1, None], "id": 5}),
        request("POST", f"{BASE}/Users", body=b'{"a": NaN, "userName": 1e999}'),
        request("POST", f"{BASE}/Users", body=b"x", headers={"Content-Encoding": "gzip"}),
        request("BREW", "*"),
    ],
)
@pytest.mark.parametrize("preset", ["strict", "default", "loose"])
def test_hostile_requests_are_answered_or_missed(given: Any, preset: str) -> None:
    responder = Responder(recorded(create("ann1", "1"), find("ann1"), read("1", {})), parse_matching(preset=preset))
    for _ in range(2):
        found = responder.answer(given)
        assert found.response.content.size < 20_000


def test_many_of_a_kind_are_not_gone_through() -> None:
    """10,000 exchanges of one form: the work of a request does not grow with them."""
    many = recorded(*(read(f"u-{number}", {"id": f"u-{number}"}) for number in range(3_000)))
    responder = Responder(many)
    looked: list[int] = []
    grade = responder._grade

    def counted(number: int, *given: Any, **fields: Any) -> int | None:
        looked.append(number)
        return grade(number, *given, **fields)

    responder._grade = counted  # type: ignore[method-assign]
    assert hit(responder, "GET", f"{BASE}/Users/u-2999").exchange.id == 3_000
    assert hit(responder, "GET", f"{BASE}/Users/foreign").exchange.id == 1
    assert isinstance(responder.answer(request("HEAD", f"{BASE}/Users/u-5")), Miss)
    assert len(looked) < 150
    assert responder.answer(request("GET", f"{BASE}/Users/u-2998", headers=Headers([("Host", "h")]).pairs))  # type: ignore[arg-type]
