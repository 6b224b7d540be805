from __future__ import annotations

from typing import Any
from urllib.parse import quote

import factories
from hypothesis import given
from hypothesis import strategies as st

from scimproxy.bodies import Seen, seen
from scimproxy.replay.order import dependencies


def sent(method: str, target: str, body: object = b"", **more: Any) -> Seen:
    return seen(factories.exchange(method, f"/scim/v2{target}", body=body, **more))


def create(number: str, name: str, endpoint: str = "Users", **more: Any) -> Seen:
    body = {"displayName" if endpoint == "Groups" else "userName": name, **more}
    return sent("POST", f"/{endpoint}", body, status_code=201, answer={**body, "id": number})


def find(text: str) -> Seen:
    return sent("GET", f"/Users?filter={quote(text)}", answer={"totalResults": 0})


def waits(*run: Seen) -> list[set[int]]:
    return [set(one) for one in dependencies(run)]


def test_one_resource_keeps_its_order_and_others_go_beside_it() -> None:
    assert waits(
        create("1", "ann"),
        create("2", "bob"),
        sent("GET", "/Users/1"),
        sent("GET", "/Users/1"),
        sent("PUT", "/Users/1", {"userName": "ann"}),
        sent("GET", "/Users/2"),
        sent("GET", "/Users/1"),
    ) == [set(), set(), {0}, {0}, {0, 2, 3}, {1}, {0, 4}]


def test_names_and_ids_in_filters_are_resources() -> None:
    run = (
        find('userName eq "ann"'),
        create("1", "ann"),
        find('userName eq "ANN"'),
        find('userName eq "bob" and active eq true'),
        find('id eq "1" or emails.value eq "x@y"'),
        sent("DELETE", "/Users/1"),
        find('userName eq "ann"'),
    )
    assert waits(*run) == [set(), {0}, {1}, set(), {1}, {1, 2, 4}, {1, 5}]


def test_what_names_no_resource_is_a_barrier() -> None:
    barriers = [
        sent("GET", "/Users"),
        sent("POST", "/Bulk", {"Operations": []}),
        sent("GET", "/elsewhere"),
        find("title pr"),
        find('not (userName eq "a")'),
        find('userName eq "a" or title eq "b"'),
        find('userName sw "a"'),
        find("userName eq"),
        find("x" * 9000),
        find(" and ".join(["not(active pr)"] * 425)),  # longer in its canonical form
        sent("POST", "/Users", {"userName": "u", "emails": [{"value": f"{at}@x"} for at in range(101)]}),
    ]
    for barrier in barriers:
        run = (create("1", "ann"), create("2", "bob"), barrier, create("3", "eve"), sent("GET", "/Users/1"))
        assert waits(*run) == [set(), set(), {0, 1}, {2}, {2}]
    discovery = (sent("GET", "/Users"), sent("GET", "/ServiceProviderConfig"), sent("GET", "/Users"))
    assert waits(*discovery) == [set(), {0}, {0, 1}]


def test_who_is_deleted_leaves_the_group_and_frees_the_name() -> None:
    group = create("7", "G", "Groups", members=[{"value": "1"}])
    run = (create("1", "ann"), group, sent("DELETE", "/Users/1"), sent("GET", "/Groups/7"), create("2", "ann"))
    assert waits(*run) == [set(), {0}, {0, 1}, {1, 2}, {0, 2}]
    eve = {"id": "5", "userName": "eve", "title": "Boss", "nickName": "E", "meta": {"location": "/scim/v2/Users/5"}}
    listed = sent("GET", "/Users", answer={"Resources": [eve], "totalResults": 1})
    assert waits(listed, sent("DELETE", "/Users/5"), find('userName eq "eve"')) == [set(), {0}, {0, 1}]


def test_links_are_bounded() -> None:
    groups = [
        create(str(at), f"g{at}", "Groups", members=[{"value": f"{at}-{n}"} for n in range(40)] + [{"value": "all"}])
        for at in range(40)
    ]
    made = waits(*groups, sent("DELETE", "/Users/all"))
    assert made[-1] >= {39}
    many = {"Resources": [{"id": "1", "userName": "u", "emails": [{"value": f"{at}@x"} for at in range(120)]}]}
    assert waits(sent("GET", "/Users", answer=many), sent("DELETE", "/Users/1")) == [set(), {0}]


RUNS = st.lists(
    st.tuples(st.sampled_from(["GET", "POST", "PUT", "DELETE", "LIST", "FIND"]), st.sampled_from("abc")), max_size=12
)


def _made(what: str, name: str) -> Seen:
    if what == "POST":
        return create(f"id-{name}", name)
    if what == "LIST":
        return sent("GET", "/Users")
    return find(f'userName eq "{name}"') if what == "FIND" else sent(what, f"/Users/id-{name}", b"")


@given(RUNS)
def test_whatever_shares_a_resource_and_changes_it_is_ordered(plan: list[tuple[str, str]]) -> None:
    made = dependencies([_made(*one) for one in plan])
    before: list[set[int]] = []
    for direct in made:
        before.append(set(direct).union(*(before[one] for one in direct)))
    for at, (what, name) in enumerate(plan):
        for earlier, (other, whose) in enumerate(plan[:at]):
            reads = {what, other} <= {"GET", "FIND"}
            by_name = {what, other} == {"FIND", "PUT"} and ("POST", name) not in plan[:at]
            if "LIST" in {what, other} or (whose == name and not reads and not _unknown(plan, earlier, at)):
                assert earlier in before[at] or by_name


def _unknown(plan: list[tuple[str, str]], earlier: int, at: int) -> bool:
    """Whether nothing has said yet that this name is that id's."""
    words = {plan[earlier][0], plan[at][0]}
    return bool(words & {"FIND", "POST"}) and ("POST", plan[at][1]) not in plan[: at + 1][: earlier + 1]
