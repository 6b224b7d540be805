from __future__ import annotations

from typing import Any

import factories

from scimproxy.bind import EXTERNAL, NAME, Bindings
from scimproxy.bodies import Seen, seen
from scimproxy.exchange import Exchange
from scimproxy.replay.learning import Learner
from scimproxy.replay.names import Names


def sent(method: str, target: str, body: object = b"", **more: Any) -> Seen:
    return seen(factories.exchange(method, f"/scim/v2{target}", body=body, **more))


def answers(method: str, target: str, one: object, two: object, **more: Any) -> tuple[Seen, Seen]:
    return sent(method, target, answer=one, **more), sent(method, target, answer=two, **more)


def taught(*pairs: tuple[Seen, Seen], then: tuple[Seen, ...] = (), bindings: Bindings | None = None) -> Learner:
    """What the pairs teach; `then` is what the client asks later."""
    run = [a for a, _ in pairs] + list(then)
    bindings = Bindings() if bindings is None else bindings
    made = Learner(bindings, Names(run), run)
    for a, b in pairs:
        made.learn(a, b)
    made.bindings = bindings  # type: ignore[attr-defined]
    return made


def rows(learner: Any) -> set[tuple[str, str, str]]:
    return {(row.role, row.a, row.b) for row in learner.bindings.rows()}


def page(*resources: dict[str, Any]) -> dict[str, Any]:
    return {"totalResults": len(resources), "Resources": list(resources)}


def test_a_resource_is_bound_by_its_body_and_by_its_location() -> None:
    assert rows(taught(answers("POST", "/Users", {"id": "1"}, {"id": "x"}, status_code=201))) == {("User", "1", "x")}
    assert rows(taught(answers("GET", "/Users/1", {"id": 1}, {"id": 7}))) == {("User", "1", "7")}, (
        "ids that are numbers"
    )

    def located(place: str) -> Seen:
        return seen(
            factories.exchange(
                "POST", "/scim/v2/Groups", response=factories.response(201, headers={"Location": place})
            )
        )

    assert rows(taught((located("http://a/Groups/1"), located("/v2/Groups/2")))) == {("Group", "1", "2")}
    assert rows(taught((located("http://a/Groups/1"), located("/v2/Users/2")))) == set()
    assert rows(taught(answers("GET", "/Schemas/urn", {"id": "urn"}, {"id": "urm"}))) == set()
    assert rows(taught(answers("GET", "/Users/1", [1], {"id": "7"}))) == set()
    assert rows(taught(answers("GET", "/Users/1", {"id": True}, {"id": "7"}))) == set()


def test_errors_teach_nothing_but_that_nothing_was_made() -> None:
    created = {"id": "1", "userName": "u"}
    made = taught((sent("POST", "/Users", answer=created, status_code=201), sent("POST", "/Users", status_code=409)))
    assert made.unmade == {("User", "1")}
    assert taught((sent("POST", "/Users", status_code=409), sent("POST", "/Users", answer=created))).unmade == set()
    gone = seen(factories.exchange("GET", "/scim/v2/Users/1", response=None))
    assert taught((sent("GET", "/Users/1", answer=created), gone)).unmade == set()
    assert taught((gone, sent("GET", "/Users/1", answer=created))).unmade == set()
    bulk = {"Operations": [{"method": "POST", "location": "http://scim.example/scim/v2/Users/5"}]}
    failed = taught((sent("POST", "/Bulk", answer=bulk), sent("POST", "/Bulk", status_code=500)))
    assert failed.unmade == {("User", "5")}
    failed.learn(*answers("GET", "/Users/5", {"id": "5"}, {"id": "6"}))
    assert failed.unmade == set(), "found after all"
    known = Bindings()
    known.same("User", "1", "9")
    again = (sent("POST", "/Users", answer=created, status_code=201), sent("POST", "/Users", status_code=409))
    assert taught(again, bindings=known).unmade == set()


def test_lists_pair_by_what_is_bound_then_by_name_then_by_id() -> None:
    known = Bindings()
    known.same("User", "1", "x")
    known.sent("ann", "ann-2")
    one = page({"id": "1"}, {"id": "2", "userName": "Ann"}, {"id": "3"}, {"id": "4", "userName": "bob"}, {"id": "8"})
    two = page(
        {"id": "4"}, {"id": "3"}, {"id": "9", "userName": "BOB"}, {"id": "z", "userName": "ANN-2"}, {"id": "x"}
    )
    assert rows(taught(answers("GET", "/Users", one, two), bindings=known)) >= {
        ("User", "2", "z"),
        ("User", "4", "9"),
    }
    assert known.b_of("User", "3") == "3"
    assert known.b_of("User", "8") is None
    lost = Bindings()
    lost.same("User", "1", "x")
    assert rows(taught(answers("GET", "/Users", page({"id": "1", "userName": "u"}), page({"id": "y", "userName": "u"})), bindings=lost)) == {("User", "1", "x")}  # fmt: skip


def test_lists_pair_by_place_only_what_is_read() -> None:
    pair = answers("GET", "/Users?count=1", page({"id": "1", "userName": "a"}), page({"id": "9", "userName": "b"}))
    assert rows(taught(pair, then=(sent("GET", "/Users/1"),))) == {("User", "1", "9")}
    assert rows(taught(pair, then=(sent("GET", "/Users/1"), sent("DELETE", "/Users/1")))) == set()
    assert rows(taught(pair)) == set(), "nobody asks for it"
    root = answers(
        "POST",
        "/.search",
        page({"id": "1", "userName": "u", "meta": {"resourceType": "Role"}}),
        page({"id": "2", "userName": "u"}),
    )
    assert rows(taught(root)) == {("Role", "1", "2")}


def test_names_of_the_server_that_the_client_uses() -> None:
    one = {"id": "1", "userName": "root", "displayName": "R", "externalId": "e", "emails": [{"value": "r@x"}, 1]}
    two = {"id": "9", "userName": "admin", "displayName": "A", "externalId": "f", "emails": [{"value": "a@x"}]}
    find = sent("GET", "/Users?filter=userName%20eq%20%22ROOT%22%20or%20externalId%20eq%20%22e%22")
    made = taught(answers("GET", "/Users/1", one, two), then=(find,))
    assert rows(made) == {("User", "1", "9"), (NAME, "root", "admin"), (EXTERNAL, "e", "f")}
    own = sent("POST", "/Users", {"userName": "root", "externalId": "e"}, answer=one, status_code=201)
    assert rows(taught((own, sent("POST", "/Users", answer=two, status_code=201)))) == {("User", "1", "9")}


def test_references() -> None:
    one = {"id": "7", "members": [{"value": "1", "display": "Ann"}, {"value": "7", "type": "Group", "display": "G"}]}
    two = {"id": "8", "members": [{"value": "x", "display": "G", "type": "Group"}, {"value": "y", "display": "ann"}]}
    assert rows(taught(answers("GET", "/Groups/7", one, two))) == {("Group", "7", "8"), ("User", "1", "y")}
    boss = answers("GET", "/Users/1", {"id": "1", "manager": {"value": "2"}}, {"id": "1", "manager": {"value": "3"}})
    assert rows(taught(boss)) == set()
    assert rows(taught(boss, then=(sent("GET", "/Users/2"),))) == {("User", "2", "3")}


def test_versions() -> None:
    def read(tag: str, **meta: Any) -> Seen:
        response = factories.response(200, {"id": "1", "meta": meta}, headers={"ETag": tag})
        return seen(factories.exchange("GET", "/scim/v2/Users/1", response=response))

    made = taught((read('W/"1"', version='W/"2"'), read('"a"', version="b")))
    assert made.versions == {("User", "1"): {"1": "a", "2": "b"}}
    assert taught((read('W/"1"'), sent("GET", "/Users/1", answer={"id": "1"}))).versions == {}


def test_bulk() -> None:
    def done(*operations: dict[str, Any]) -> Exchange:
        return factories.exchange("POST", "/scim/v2/Bulk", answer={"Operations": list(operations)})

    one = seen(
        done(
            {"bulkId": "a", "location": "http://scim.example/Users/1", "version": 'W/"1"'},
            {"bulkId": "b", "location": "http://scim.example/Users/2"},
            {"location": "http://scim.example/Groups/3"},
            {"status": "204"},
            {"location": "http://scim.example/Groups/4"},
        )
    )
    two = seen(
        done(
            {"bulkId": "b", "location": "/Users/y"},
            {"bulkId": "a", "location": "/Users/x", "version": 'W/"9"'},
            {"status": "409"},
            {"status": "204"},
        )
    )
    made = taught((one, two))
    assert rows(made) == {("User", "1", "x"), ("User", "2", "y")}
    assert made.unmade == {("Group", "3"), ("Group", "4")}
    assert made.versions == {("User", "1"): {"1": "9"}}
    known = Bindings()
    known.same("Group", "3", "3")
    assert taught((one, two), bindings=known).unmade == {("Group", "4")}
