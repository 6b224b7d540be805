from __future__ import annotations

from typing import Any

import pytest

from scimproxy.bind import Bindings, Bound
from scimproxy.diff.elements import Pairs, paired_elements

BINDINGS = Bindings(
    [Bound("User", "1", "7"), Bound("User", "2", "8"), Bound("Group", "1", "5"), Bound("name", "ann", "eve")]
)


@pytest.mark.parametrize(
    ("names", "a", "b", "pairs"),
    [
        ("schemas", ["x", "y"], ["y", "x"], Pairs([(0, 1), (1, 0)], [], [])),
        ("schemas", ["x", "y"], ["y"], Pairs([(1, 0)], [0], [])),
        ("operations", [1, 2], [2], Pairs([(0, 0)], [1], [])),
        ("operations", [1], [2, 1], Pairs([(0, 0)], [], [1])),
        ("emails", [{"value": "a"}], [{"value": "b"}], Pairs([(0, 0)], [], [])),
        (
            "emails",
            [{"value": "ann", "type": "work"}, {"value": "x", "type": "home"}],
            [{"value": "x", "type": "HOME"}, {"Value": "eve", "type": "work"}],
            Pairs([(0, 1), (1, 0)], [], []),
        ),
        (
            "members",
            [{"value": "1"}, {"value": "2"}],
            [{"value": "8"}, {"value": "7"}],
            Pairs([(0, 1), (1, 0)], [], []),
        ),
        (
            "groups",
            [{"value": "1"}, {"value": "9"}],
            [{"value": "4"}, {"value": "5"}],
            Pairs([(0, 1), (1, 0)], [], []),
        ),
        ("members", [{"value": "1"}, {"value": "2"}], [{"value": "8"}], Pairs([(1, 0)], [0], [])),
        ("members", [{"$ref": "u/1"}, {"n": 1}], [{"n": 2}, {"$ref": "u/1"}], Pairs([(0, 1), (1, 0)], [], [])),
        ("x", [1, 2, 2], [2, 2, 3], Pairs([(0, 2), (1, 0), (2, 1)], [], [])),
        ("x", [], [1], Pairs([], [], [0])),
        ("resources", [{"id": "1"}, {"id": "2"}], [{"id": "8"}, {"id": "7"}], Pairs([(0, 1), (1, 0)], [], [])),
        ("resources", [{"id": "f"}], [{"id": "f"}], Pairs([(0, 0)], [], [])),
        (
            "resources",
            [{"id": "3", "userName": "ann"}, {"id": "4", "userName": "x"}],
            [{"id": "5", "userName": "y"}, {"id": "6", "userName": "eve"}],
            Pairs([(0, 1)], [1], [0]),
        ),
        ("resources", [{"id": "3"}], [{"id": "5"}], Pairs([(0, 0)], [], [])),
        ("resources", [{"id": "1"}], [{"id": "7"}, {"id": "8", "displayName": "d"}], Pairs([(0, 0)], [], [1])),
        ("resources", ["s"], [{"id": 3}], Pairs([(0, 0)], [], [])),
    ],
)
def test_pairs(names: str, a: list[Any], b: list[Any], pairs: Pairs) -> None:
    assert paired_elements(a, b, ("response", "body", names), "User", BINDINGS) == pairs


def test_an_id_of_b_that_run_a_uses_for_somebody_else_is_not_that_one() -> None:
    bindings = Bindings([Bound("User", "3", "5")])
    found = paired_elements(
        [{"id": "3", "userName": "x"}], [{"id": "3", "userName": "y"}], ("resources",), "User", bindings
    )
    assert found == Pairs([], [0], [0])


def test_linear() -> None:
    many = [{"value": str(at)} for at in range(20_000)]
    found = paired_elements(many, many[::-1], ("members",), "User", Bindings())
    assert found.both[0] == (0, 19_999)
    assert not found.only_a and not found.only_b
