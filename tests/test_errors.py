from __future__ import annotations

import pytest

from scimproxy import errors


def test_exit_codes_tell_usage_from_the_rest() -> None:
    assert errors.ScimproxyError("x").exit_code == 3
    assert errors.UsageError("x").exit_code == 2
    assert errors.StoreFull("x").exit_code == 3


def test_an_error_carries_its_hint() -> None:
    error = errors.StoreBusy("the database is locked", hint="end the other one")
    assert (str(error), error.hint) == ("the database is locked", "end the other one")


def test_a_syntax_problem_points_at_its_place() -> None:
    problem = errors.SyntaxProblem("what is this?", text="a == b", position=2)
    assert problem.pointed() == "a == b\n  ^"


@pytest.mark.parametrize("name", ["StoreBusy", "StoreFull", "StoreCorrupt", "StoreTooNew"])
def test_store_errors_are_one_family(name: str) -> None:
    assert issubclass(getattr(errors, name), errors.StoreError)
