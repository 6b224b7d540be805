"""Filters and operations in words."""

from __future__ import annotations

import pytest

from scimproxy.scim.wording import bulk_lines, filter_lines, patch_lines


@pytest.mark.parametrize(
    ("text", "lines"),
    [
        ('userName eq "bj"', ['0 userName is "bj"']),
        ("title pr", ["0 title is there"]),
        ('password eq "hunter22"', ["0 password is (not shown)"]),
        (
            'not (a eq 1 and (b ne true or c co "x"))',
            ["0 not", "1 all of", "2 a is 1", "2 any of", "3 b is not true", '3 c contains "x"'],
        ),
        (
            'emails[type eq "work"].value sw "b"',
            ["0 one element of emails with", '1 type is "work"', '1 value starts with "b"'],
        ),
        ('emails[type eq "work"]', ["0 one element of emails with", '1 type is "work"']),
        ("", []),
        (None, []),
        ("userName eq", []),
    ],
)
def test_filters(text: str | None, lines: list[str]) -> None:
    assert [f"{line.depth} {line.words}" for line in filter_lines(text)] == lines


def test_patch_operations() -> None:
    body = {
        "operations": [
            {"op": "replace", "path": "active", "value": False},
            {"op": "remove", "path": 'members[value eq "1"]'},
            {"op": "add", "value": {"a": [1]}},
            {"op": "replace", "path": "password", "value": "hunter22"},
            {"op": "replace", "path": "title", "value": None},
            7,
        ]
    }
    assert [(it.verb, it.place, it.value) for it in patch_lines(body)] == [
        ("replace", "active", "false"),
        ("remove", 'members[value eq "1"]', ""),
        ("add", "(no path)", '{"a": [1]}'),
        ("replace", "password", "(not shown)"),
        ("replace", "title", "null"),
        ("-", "(no path)", "7"),
    ]
    assert patch_lines(None) == patch_lines({"Operations": "x"}) == ()
    deep: object = 1
    for _ in range(200_000):
        deep = [deep]
    assert patch_lines({"Operations": [{"op": 3, "value": deep}]})[0].value == "(nested too deep to be shown)"
    del deep


def test_bulk_operations() -> None:
    body = {"Operations": [{"method": "POST", "path": "/Users", "bulkId": "q"}, {"path": "/Groups/1"}, 3]}
    answer = {"Operations": [{"status": "201"}, {"status": {"code": "409"}}]}
    assert [(it.verb, it.place, it.value, it.outcome) for it in bulk_lines(body, answer)] == [
        ("POST", "/Users", "bulkId q", "201"),
        ("-", "/Groups/1", "", "409"),
        ("-", "", "", ""),
    ]
    assert bulk_lines(body, None)[0].outcome == ""
    assert bulk_lines([], {}) == ()
