"""What a drill says of a recording: every verdict, and the exchanges that it rests on."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest
from factories import request

from scimproxy.bodies import Seen, seen
from scimproxy.drills import DRILLS, Check, Report, faults_of, judge, leftovers, questions
from scimproxy.exchange import Content, Exchange, Failure, Headers, Origin, Response, Rewrite
from scimproxy.faults import parse_fault

BUSY = parse_fault("op:create nth:1 status:503 retry-after:5")
LOST = parse_fault("op:create nth:1 reset:after")
TWICE = parse_fault("op:create nth:1 duplicate")
PAGE = parse_fault("op:read nth:1 body:html")
CUT = parse_fault("op:list body:truncated")
EMPTY = parse_fault("empty-page nth:1")
FAULTS = (BUSY, LOST, TWICE, PAGE, CUT, EMPTY)
ADA = {"userName": "Ada@example.com", "active": True}
USERS = "/scim/v2/Users"


class Tape:
    """A recording that is made by hand, a second between exchanges."""

    def __init__(self) -> None:
        self.run: list[Seen] = []
        self.answers: list[Seen] = []
        self.at = 100.0

    def add(
        self,
        method: str,
        path: str,
        sent: object = b"",
        status: int | None = 200,
        body: object = None,
        *,
        fault: Any = None,
        origin: Origin | None = "upstream",
        after_s: float = 1.0,
        failure: bool = False,
        note: str = "",
        rewrites: tuple[Rewrite, ...] = (),
        headers: tuple[tuple[str, str], ...] = (),
    ) -> int:
        data = b"" if body is None else body if isinstance(body, bytes) else json.dumps(body).encode()
        self.at += after_s
        response = None
        if status is not None:
            kind = ("Content-Type", "application/scim+json")
            response = Response(status, headers=Headers([kind, *headers]), content=Content.of(data))
        number = len(self.run) + len(self.answers) + 1
        exchange = Exchange(
            request=request(method, path, body=sent),
            response=response,
            failure=Failure("closed", "reset", "respond", "proxy") if failure else None,
            origin=origin if status is not None else None,
            started_at=self.at,
            ended_at=self.at,
            tags=("fault",) if fault is not None else (),
            note=f"fault: {fault.text}{note}" if fault is not None else None,
            rewrites=rewrites,
            id=number,
        )
        self.run.append(seen(exchange))
        return number

    def create(self, status: int = 201, made: str | None = "7", **given: Any) -> int:
        body = None if made is None else {"id": made, **ADA}
        return self.add("POST", USERS, ADA, status, given.pop("body", body), **given)

    def busy(self) -> int:
        return self.add("POST", USERS, ADA, 503, fault=BUSY, origin="proxy")

    def answer(self, target: str, status: int = 200, body: object = None) -> int:
        number = self.add("GET", target, b"", status, body)
        self.answers.append(self.run.pop())
        return number

    def held(self, *ids: str) -> int:
        (target,) = [one for one in questions(self.run, FAULTS) if "filter" in one]
        return self.answer(target, body={"totalResults": len(ids), "Resources": [{"id": one} for one in ids]})

    def judged(self) -> Report:
        return judge(self.run, FAULTS, self.answers)

    def check(self, name: str) -> Check:
        return next(one for one in self.judged().checks if one.name.startswith(name))


@pytest.fixture
def tape() -> Tape:
    return Tape()


def test_nothing_was_tried(tape: Tape) -> None:
    tape.create()
    report = tape.judged()
    assert report.verdict == "untried"
    assert {one.verdict for one in report.checks} == {"untried"}
    assert {fired for _, fired in report.fired} == {0}


# -- created once -------------------------------------------------------------------------------------------------


def test_a_retried_create_is_one(tape: Tape) -> None:
    tape.busy()
    tape.create(after_s=6.0)
    asked = tape.held("7")
    check = tape.check("created once")
    assert (check.verdict, check.exchanges) == ("pass", (1, 2, asked))
    assert tape.judged().verdict == "pass"
    assert dict(tape.judged().fired)[BUSY.text] == 1


def test_a_lost_create_that_is_done_again(tape: Tape) -> None:
    tape.create(fault=LOST, failure=True)
    tape.create(made="8")
    check = tape.check("created once")
    assert check.verdict == "fail"
    assert "created 2 times: ids 7, 8" in check.why
    assert check.exchanges == (1, 2)
    assert tape.judged().verdict == "fail"


def test_a_lost_create_that_is_refused_again(tape: Tape) -> None:
    tape.create(fault=LOST, failure=True)
    tape.create(409, None)
    assert tape.check("created once").verdict == "pass"


def test_what_is_deleted_in_between_may_be_made_again(tape: Tape) -> None:
    tape.create(fault=LOST, failure=True)
    tape.add("DELETE", f"{USERS}/7", status=204)
    tape.create(made="8")
    tape.add("DELETE", f"{USERS}/8", status=500)
    assert tape.check("created once").verdict == "pass"


def test_the_second_delivery_made_another(tape: Tape) -> None:
    second = tape.create(made="8", fault=TWICE, note=": the second delivery")
    first = tape.create(fault=TWICE, after_s=-1.0)
    check = tape.check("created once")
    assert check.verdict == "fail"
    assert check.exchanges == (first, second)
    assert dict(tape.judged().fired)[TWICE.text] == 1
    assert tape.check("retried").verdict == "untried"


def test_the_server_holds_two(tape: Tape) -> None:
    tape.busy()
    tape.create(body=b"")
    tape.held("7", "8")
    check = tape.check("created once")
    assert "the server holds 2" in check.why


def test_ids_come_from_the_location_too(tape: Tape) -> None:
    tape.create(fault=LOST, failure=True, body=b"", headers=(("Location", "http://x/Users/7/"),))
    tape.create(body={"id": 8})
    tape.create(body=b"", after_s=2.0)
    assert "ids 7, 8, #3" in tape.check("created once").why


def test_creates_without_a_name_are_left_alone(tape: Tape) -> None:
    tape.add("POST", USERS, {"active": True}, 503, fault=BUSY, origin="proxy")
    assert tape.check("created once").verdict == "untried"
    assert questions(tape.run, FAULTS) == []


# -- retried ------------------------------------------------------------------------------------------------------


def test_nobody_came_again(tape: Tape) -> None:
    tape.busy()
    tape.add("POST", USERS, {"userName": "other"}, 201, {"id": "9"})
    tape.add("GET", f"{USERS}/7", b"", 502, b"<html>", fault=PAGE)
    tape.add("POST", USERS, {"userName": "lost"}, None, fault=LOST, failure=True)
    tape.add("GET", USERS, b"", 200, b'{"Res', fault=CUT)
    check = tape.check("retried")
    assert check.verdict == "fail"
    assert "after 503 to Create User" in check.why
    assert "and 3 more" in check.why
    assert check.exchanges == (1, 3, 4, 5)
    del tape.run[:3]
    assert "after a reset" in tape.check("retried").why
    del tape.run[0]
    assert "a body that was truncated" in tape.check("retried").why


def test_a_look_before_the_retry_counts(tape: Tape) -> None:
    tape.create(fault=LOST, failure=True)
    tape.add("GET", f'{USERS}?filter=userName%20eq%20"ada@EXAMPLE.com"', b"", 200, {"totalResults": 1})
    tape.add("GET", f"{USERS}/7", b"", 502, b"<html>", fault=PAGE)
    tape.add("GET", f"{USERS}/7", b"", 200, {"id": "7"})
    check = tape.check("retried")
    assert (check.verdict, check.exchanges) == ("pass", (1, 2, 3, 4))


def test_one_retry_does_not_stand_for_all(tape: Tape) -> None:
    tape.add("GET", f"{USERS}/1", b"", 502, b"<html>", fault=PAGE)
    tape.add("GET", f"{USERS}/2", b"", 502, b"<html>", fault=PAGE)
    tape.add("GET", f"{USERS}/2", b"", 200, {"id": "2"})
    check = tape.check("retried")
    assert (check.verdict, check.exchanges) == ("fail", (1,))


def test_a_second_delivery_is_no_retry(tape: Tape) -> None:
    tape.create(fault=LOST, failure=True)
    tape.create(409, None, fault=LOST, note=": the second delivery")
    assert tape.check("retried").verdict == "fail"


# -- Retry-After --------------------------------------------------------------------------------------------------


def test_retry_after(tape: Tape) -> None:
    tape.busy()
    tape.create(after_s=5.0)
    check = tape.check("honoured")
    assert (check.verdict, check.exchanges) == ("pass", (1, 2))
    late = Tape()
    late.busy()
    late.create(after_s=3.0)
    check = late.check("honoured")
    assert check.verdict == "fail"
    assert "after 3.0 s, and was told 5 s" in check.why
    alone = Tape()
    alone.busy()
    assert alone.check("honoured").verdict == "untried"
    unended = Tape()
    unended.busy()
    one = unended.run[0]
    unended.run[0] = replace(one, exchange=replace(one.exchange, ended_at=None))
    unended.create()
    assert unended.check("honoured").verdict == "untried"


# -- state --------------------------------------------------------------------------------------------------------


def state(tape: Tape, status: int = 200, body: object = None) -> Check:
    (target,) = [one for one in questions(tape.run, FAULTS) if "filter" not in one]
    tape.answer(target, status, body)
    return tape.check("state")


def test_a_resource_is_as_it_was_made(tape: Tape) -> None:
    tape.create(body={"id": "7", **ADA, "emails": [{"value": "a"}, {"value": "b"}], "nick": None, "meta": {"v": 1}})
    now = {"id": "7", **ADA, "active": "True", "Emails": [{"value": "b"}, {"value": "a"}], "meta": {"v": 2}}
    check = state(tape, body=now)
    assert (check.verdict, check.exchanges) == ("pass", (1, 2))


def test_a_resource_is_another(tape: Tape) -> None:
    tape.create()
    tape.add("PUT", f"{USERS}/7", {**ADA, "title": "new"}, 504, fault=PAGE, rewrites=(
        Rewrite("status", "200", "504"), Rewrite("content", json.dumps({"id": "7", "title": "new" * 40}), "0 bytes"),
    ))  # fmt: skip
    check = state(tape, body={"id": "7", **ADA, "title": "old"})
    assert check.verdict == "fail"
    assert f'{USERS}/7: title is "old", and "newnew' in check.why
    assert check.why.endswith("… was written")
    assert check.exchanges == (2, 3)


def test_what_was_sent_counts_where_the_server_says_nothing(tape: Tape) -> None:
    tape.add("PUT", f"{USERS}/7", {**ADA, "title": "new", "password": "x", "name": {"a": 1}}, 204)
    assert state(tape, body={"id": "7", **ADA, "title": "old"}).verdict == "fail"
    lost = Tape()
    broken = (Rewrite("content", "{", "0 bytes"),)
    lost.add("PUT", f"{USERS}/7", {"title": "new"}, 200, fault=CUT, rewrites=broken)
    assert state(lost, body={"title": "new"}).verdict == "pass"
    odd = Tape()
    odd.add("PUT", f"{USERS}/7", [1], 204)
    assert state(odd, body={"title": "new"}).verdict == "pass"


def test_what_a_patch_says(tape: Tape) -> None:
    operations = [
        {"op": "replace", "value": {"active": False}},
        {"op": "Add", "path": "title", "value": "t"},
        {"op": "remove", "path": "nickName"},
        {"op": "replace", "path": 'emails[type eq "work"].value', "value": "x"},
        {"op": 3},
        7,
    ]
    tape.add("PATCH", f"{USERS}/7", {"Operations": operations}, 204)
    assert state(tape, body={"active": False, "title": "t"}).verdict == "pass"
    other = Tape()
    other.add("PATCH", f"{USERS}/7", {"Operations": operations}, 204)
    assert "active is true, and false was written" in state(other, body={"active": True, "title": "t"}).why
    empty = Tape()
    empty.add("PATCH", f"{USERS}/7", {"Operations": 1}, 204)
    assert state(empty, body={}).verdict == "pass"


@pytest.mark.parametrize(
    ("method", "status", "verdict"),
    [
        ("DELETE", 404, "pass"),
        ("DELETE", 410, "pass"),
        ("DELETE", 200, "fail"),
        ("PUT", 404, "fail"),
        ("PUT", 503, "untried"),
        ("PUT", 401, "untried"),
    ],
)
def test_what_is_there_afterwards(tape: Tape, method: str, status: int, verdict: str) -> None:
    tape.add(method, f"{USERS}/7", b"" if method == "DELETE" else ADA, 204)
    assert state(tape, status).verdict == verdict


def test_one_of_many_is_named(tape: Tape) -> None:
    tape.add("DELETE", f"{USERS}/7", status=204)
    tape.add("DELETE", f"{USERS}/8", status=204)
    tape.add("DELETE", f"{USERS}/9", status=500)
    tape.answer(f"{USERS}/7", 200)
    tape.answer(f"{USERS}/8", 404)
    check = tape.check("state")
    assert (check.verdict, check.exchanges) == ("fail", (1, 4))


def test_unanswered_questions_say_nothing(tape: Tape) -> None:
    tape.busy()
    tape.create(after_s=6.0)
    for target in questions(tape.run, FAULTS):
        tape.add("GET", target, b"", None)
        tape.answers.append(tape.run.pop())
    assert tape.check("state").verdict == "untried"
    assert tape.check("created once").verdict == "pass"
    odd = Tape()
    odd.busy()
    odd.answer(questions(odd.run, FAULTS)[0], 200, {"totalResults": 0})
    assert odd.check("created once").verdict == "pass"
    worse = Tape()
    worse.busy()
    worse.answer(questions(worse.run, FAULTS)[0], 200, [])
    assert worse.check("created once").verdict == "pass"


# -- pages --------------------------------------------------------------------------------------------------------


def page(start: int, total: int = 9) -> dict[str, Any]:
    return {"totalResults": total, "startIndex": start, "itemsPerPage": 0, "Resources": []}


def test_an_empty_page(tape: Tape) -> None:
    tape.add("GET", f"{USERS}?startIndex=1&count=2", b"", 200, page(1))
    tape.add("GET", f"{USERS}?startIndex=3&count=2", b"", 200, page(3), fault=EMPTY)
    stopped = tape.check("read past")
    assert stopped.verdict == "fail"
    assert "stopped at startIndex 3 of 9" in stopped.why
    tape.add("GET", f"{USERS}?startIndex=5&count=2", b"", 200, page(5))
    check = tape.check("read past")
    assert (check.verdict, check.exchanges) == ("pass", (2, 3))
    beyond = Tape()
    beyond.add("GET", f"{USERS}?startIndex=30&count=2", b"", 200, page(30), fault=EMPTY)
    assert beyond.check("read past").verdict == "pass"


# -- what to ask, and what to take away -----------------------------------------------------------------------------


def test_questions_and_leftovers(tape: Tape) -> None:
    tape.add("POST", USERS, {"userName": 'a"b\\c'}, 503, fault=BUSY, origin="proxy")
    tape.add("POST", USERS, {"userName": 'a"b\\c'}, 201, {"id": "x y/z"})
    tape.add("POST", "/scim/v2/Groups", {"displayName": "G"}, 201, {"id": "g"}, fault=TWICE)
    tape.add("POST", "/scim/v2/Devices", {"displayName": "D"}, 201, {"id": "d"}, fault=TWICE)
    tape.create(body=b"")
    tape.add("PUT", f"{USERS}/old", ADA, 200, {"id": "old"})
    tape.add("DELETE", "/scim/v2/Groups/g", status=204)
    assert questions(tape.run, FAULTS) == [
        f"{USERS}?filter=userName%20eq%20%22a%5C%22b%5C%5Cc%22",
        "/scim/v2/Groups?filter=displayName%20eq%20%22g%22",
        "/scim/v2/Devices?filter=displayName%20eq%20%22d%22",
        f"{USERS}/x%20y%2Fz",
        "/scim/v2/Groups/g",
        "/scim/v2/Devices/d",
        f"{USERS}/old",
    ]
    assert leftovers(tape.run, FAULTS) == [f"{USERS}/x%20y%2Fz", "/scim/v2/Devices/d"]


def test_questions_are_bounded(tape: Tape) -> None:
    for number in range(300):
        tape.add("DELETE", f"{USERS}/{number}", status=204)
    assert len(questions(tape.run, FAULTS)) == 200


def test_the_drills_parse() -> None:
    for drill in DRILLS.values():
        assert faults_of(drill, live=True)
        assert len(faults_of(drill, live=False)) == len(drill.suite)
