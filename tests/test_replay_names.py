from __future__ import annotations

from typing import Any

import factories

from scimproxy.bind import EXTERNAL, Bindings
from scimproxy.bodies import Seen, seen
from scimproxy.replay.names import Names, fresh_name


def create(name: str, status: int = 201, **more: Any) -> Seen:
    body = {"userName": name, **more}
    return seen(factories.exchange("POST", status_code=status, body=body, answer={**body, "id": "1"}))


def listed(*names: str) -> Seen:
    return seen(factories.exchange(answer={"Resources": [{"id": name, "userName": name} for name in names]}))


def asked_for(name: str) -> Seen:
    return seen(factories.exchange("GET", f"/scim/v2/Users?filter=userName%20eq%20%22{name}%22"))


def fresh(*run: Seen) -> dict[str, str]:
    bindings = Bindings()
    Names(run).make_fresh("k3x", bindings)
    return {row.a: row.b for row in bindings.rows() if row.role == "name"}


def test_a_word_behind_the_name() -> None:
    assert fresh_name("ann", "k3x") == "ann-k3x"
    assert fresh_name("Ann@example.com", "k3x") == "Ann-k3x@example.com"
    assert fresh_name("ANN@EXAMPLE.COM", "k3x") == "ANN-K3X@EXAMPLE.COM"


def test_names_that_the_client_made_up_become_new() -> None:
    made = create("ann@x", displayName="Ann", emails=[{"value": "a@x"}], nickName="Annie", externalId="e1", title="T")
    read = seen(factories.exchange("GET", "/scim/v2/Users/1"))
    assert fresh(read, asked_for("ann@x"), made) == {
        "ann@x": "ann-k3x@x",
        "Ann": "Ann-k3x",
        "a@x": "a-k3x@x",
        "e1": "e1-k3x",
    }
    bindings = Bindings()
    Names([made]).make_fresh("k3x", bindings)
    assert bindings.b_of(EXTERNAL, "e1") == "e1-k3x"
    assert bindings.renamed("ANN@X") == "ANN-K3X@X"


def test_letter_case_makes_no_other_name() -> None:
    table = fresh(create("ann@x"), create("ANN@X", 409))
    assert {one.lower(): other.lower() for one, other in table.items()} == {"ann@x": "ann-k3x@x"}


def test_names_of_the_server_stay() -> None:
    assert fresh(listed("root"), create("root", 409)) == {}
    assert fresh(create("root", 409), create("root", 409)) == {}, "it was there before"
    assert fresh(asked_for("nobody"), create("")) == {}
    names = Names([listed("Root", "other"), asked_for("root"), create("ann"), asked_for("ann")])
    assert names.is_servers("ROOT")
    assert not names.is_servers("ann"), "the client's own"
    assert not names.is_servers("other"), "never used"
    assert Names([seen(factories.exchange("POST", body={"userName": "x"}, response=None))]).is_servers("y") is False


def test_what_is_bound_already_stays() -> None:
    bindings = Bindings()
    bindings.sent("ann", "eve")
    Names([create("ann")]).make_fresh("k3x", bindings)
    assert bindings.renamed("ann") == "eve"
