from __future__ import annotations

from dataclasses import replace
from typing import Any

import factories

from scimproxy.bind import Bindings
from scimproxy.bodies import Seen, seen
from scimproxy.diff.match import Pairing, pair_runs


def create(name: str, number: str, **more: Any) -> Seen:
    body = {"userName": name, **more}
    return seen(factories.exchange("POST", status_code=201, body=body, answer={**body, "id": number}))


def get(target: str, method: str = "GET", step: tuple[str, str] | None = None) -> Seen:
    return seen(factories.exchange(method, f"/scim/v2/{target}"), step)


def pairs(a: list[Seen], b: list[Seen]) -> Pairing:
    return pair_runs(a, b, Bindings())


def test_by_step_then_by_note() -> None:
    one = [get("Users", step=("1", "List")), get("Users/1", step=("2", "Read")), get("Users/2", step=("3", "Gone"))]
    two = [get("Users/9", step=("1", "New")), get("Users", step=("2", "List")), get("Users/8", step=("3", "Read"))]
    assert pairs(one, two).both == [(0, 1), (1, 2), (2, 0)], "what is left goes by operation"
    one = [get("Users", step=("1", "")), get("Users", step=("1", ""))]
    assert pairs(one, one[:1]) == Pairing([(0, 0)], [1], [])


def test_creates_go_by_name_then_by_body_then_by_order() -> None:
    one = [create("ann", "1"), create("x1", "2", title="Boss"), create("x2", "3", title="Clerk")]
    two = [create("y9", "7", title="Clerk"), create("y8", "8", title="Boss"), create("ann", "9")]
    assert pairs(one, two).both == [(0, 2), (1, 1), (2, 0)]
    other = [create("z", "1", roles=[{"value": "r1"}], age=7), get("Users/1", "PUT")]
    assert pairs(one[1:2], other) == Pairing([(0, 0)], [], [1])
    odd = seen(factories.exchange("POST", body=[1]))
    assert pairs([odd], [odd]).both == [(0, 0)]


def test_what_follows_goes_by_resource() -> None:
    one = [create("a", "1"), create("b", "2", title="x"), get("Users/1"), get("Users/2"), get("Users/1", "DELETE")]
    two = [create("c", "2", title="x"), create("d", "1"), get("Users/2"), get("Users/1"), get("Users/1", "DELETE")]
    assert pairs(one, two).both == [(0, 1), (1, 0), (2, 3), (3, 2), (4, 4)]


def test_filters_are_told_apart_by_bound_names() -> None:
    def find(name: str) -> Seen:
        return get(f"Users?filter=userName%20eq%20%22{name}%22")

    one = [
        create("ann1", "1"),
        create("bob1", "2", title="x"),
        find("ann1"),
        find("bob1"),
        find("nobody1"),
        find("%41"),
    ]
    two = [create("bob2", "7", title="x"), create("ann2", "8"), find("nobody2"), find("bob2"), find("ann2")]
    found = pairs(one, two)
    assert found.both == [(0, 1), (1, 0), (2, 4), (3, 3), (4, 2)]
    assert found.only_a == [5]


def test_the_rest_goes_by_parameters_names_and_order() -> None:
    one = [get("Users?count=1"), get("Users?count=2"), get("Groups"), get("Users/5?attributes=a")]
    two = [get("Users?count=2"), get("Users?count=3"), get("Users/6?attributes=b"), get("Users/6")]
    assert pairs(one, two) == Pairing([(0, 1), (1, 0), (3, 2)], [2], [3])


def test_what_is_no_scim_goes_by_path() -> None:
    one = [seen(factories.exchange("GET", "/health")), seen(factories.exchange("GET", "/a?x=1"))]
    assert pairs(one, one[::-1]).both == [(0, 1), (1, 0)]


def test_linear() -> None:
    many = [get("Users")] * 20_000
    assert len(pairs(many, many).both) == 20_000


def test_a_replay_knows_what_it_repeats() -> None:
    source = [seen(replace(factories.exchange("GET", "/scim/v2/Users"), id=at)) for at in (1, 2, 3)]
    once = [seen(replace(factories.exchange("GET", "/scim/v2/Users"), id=at + 10, parent_id=at)) for at in (3, 1)]
    again = [seen(replace(factories.exchange("GET", "/scim/v2/Users"), id=at + 20, parent_id=at)) for at in (1, 3)]
    assert pairs(source, once) == Pairing([(0, 1), (2, 0)], [1], [])
    assert pairs(once, again).both == [(0, 1), (1, 0)], "two replays of one run"
