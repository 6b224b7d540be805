from __future__ import annotations

from dataclasses import replace
from typing import Any

import factories

from scimproxy.bind import Bindings, Bound
from scimproxy.bodies import Seen, seen
from scimproxy.diff.masks import Masks
from scimproxy.diff.runs import LEARNED, compare_pair, compare_runs
from scimproxy.exchange import Timings


def read(total: float | None = 10.0, target: str = "Users/1", **body: Any) -> Seen:
    made = factories.exchange("GET", f"/scim/v2/{target}", answer=body)
    return seen(replace(made, timings=Timings(total=total)))


def test_nothing_differs_from_itself() -> None:
    run = [read(a=1), read(target="Groups")]
    found = compare_runs(run, run)
    assert found.empty and not found.breaking
    assert (found.compared, sum(found.counts.values())) == (2, 0)


def test_verdicts_are_counted_and_the_worst_is_the_pairs() -> None:
    found = compare_runs([read(a=1, b=2, c=[])], [read(a=2, d=4)])
    assert found.counts == {"breaking": 1, "changed": 1, "additive": 1, "noise": 1}
    assert found.breaking and not found.empty
    assert [pair.verdict for pair in found.pairs] == ["breaking"]


def test_what_only_one_run_has() -> None:
    run = [read()]
    for one, two, side in ((run, [], "A"), ([], run, "B")):
        (pair,) = compare_runs(one, two).pairs
        assert pair.seen is run[0]
        assert [it.reason for it in pair.differences] == [f"only run {side} has this exchange"]
        assert pair.verdict == "changed"


def test_one_pair() -> None:
    assert compare_pair(read(a=1), read(a=1)).empty
    known = Bindings([Bound("User", "1", "7")])
    assert compare_pair(read(id="1"), read(target="Users/7", id="7"), known).empty
    assert compare_pair(read(id="1"), read(target="Users/8", id="8"), known).breaking


def test_noise_is_learned_by_place_and_kind_of_change() -> None:
    a, b, other = [read(hits=1, x="a")], [read(hits=2, x="b")], [read(hits=3, x="a")]
    found = compare_runs(a, b, noise=[other])
    assert [(one.pointer, one.verdict) for one in found.pairs[0].differences] == [
        ("/response/body/hits", "noise"),
        ("/response/body/x", "changed"),
    ]
    assert found.pairs[0].differences[0].reason == LEARNED
    gone = compare_runs(a, [read(x="a")], noise=[other])
    assert gone.breaking, "that it is missing was not learned"
    assert compare_runs(a, a, noise=[a]).empty


def test_masks_make_noise_and_teach_none() -> None:
    masks = Masks(["hits"])
    a, b = [read(hits=1, x="a")], [read(hits=2, x="b")]
    found = compare_runs(a, b, masks=masks)
    assert found.counts == {"breaking": 0, "changed": 1, "additive": 0, "noise": 1}
    gone = compare_pair(a[0], read(x="a"), masks=masks)
    assert not gone.breaking and gone.pairs[0].differences[0].reason == "masked by --mask hits"
    assert compare_runs(a, b, masks=masks, noise=[b]).counts["noise"] == 2


def many(ms: float, target: str = "Users/1") -> list[Seen]:
    return [read(ms + at % 3, target=target) for at in range(20)]


def test_durations_of_each_operation() -> None:
    found = compare_runs(many(10), many(40))
    assert [(one.operation, one.slower.pairs, one.verdict) for one in found.timings] == [
        ("read /Users", 20, "changed")
    ]
    assert not found.empty and not found.breaking
    rest = [*many(10, "Groups"), *many(10, "Roles")]
    both = compare_runs([*many(10), *rest], [*many(40), *rest])
    assert [one.operation for one in both.timings] == ["read /Users"]
    every = compare_runs([*many(10), *many(10, "Groups")], [*many(40), *many(40, "Groups")])
    assert [one.operation for one in every.timings] == ["all operations", "list /Groups", "read /Users"]


def test_durations_that_are_noise_or_not_known_or_not_asked_for() -> None:
    learned = compare_runs(many(10), many(40), noise=[many(45)])
    assert [one.verdict for one in learned.timings] == ["noise"]
    assert compare_runs(many(10), many(40), timing=False).empty
    assert compare_runs(many(10), [replace_total(it) for it in many(40)]).empty
    other = [seen(replace(factories.exchange("GET", "/x"), timings=Timings(total=ms))) for ms in [10.0] * 20]
    slow = [seen(replace(factories.exchange("GET", "/x"), timings=Timings(total=ms))) for ms in [40.0] * 20]
    assert [one.operation for one in compare_runs(other, slow).timings] == ["other GET"]


def replace_total(it: Seen) -> Seen:
    return replace(it, exchange=replace(it.exchange, timings=Timings()))
