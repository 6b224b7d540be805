from __future__ import annotations

from dataclasses import FrozenInstanceError

import pytest

from scimproxy.suite.model import (
    COMPARISON_ALIASES,
    COMPARISONS,
    SOURCE_ALIASES,
    SOURCES,
    UNARY_COMPARISONS,
    Assertion,
    Auth,
    ConditionStep,
    Environment,
    LoopStep,
    PauseStep,
    RequestStep,
    Suite,
    all_steps,
    inherit,
    merge_headers,
)


def test_the_words() -> None:
    assert len(SOURCES) == 7
    assert len(COMPARISONS) == 15
    assert set(COMPARISONS) > UNARY_COMPARISONS
    assert set(SOURCE_ALIASES.values()) <= set(SOURCES)
    assert set(COMPARISON_ALIASES.values()) <= set(COMPARISONS)


def test_places_do_not_count() -> None:
    assert Assertion("response_status", "equal", 1, place="a") == Assertion("response_status", "equal", 1, place="b")
    assert len({PauseStep(duration_s=1, place="a"), PauseStep(duration_s=1, extra={"x": []})}) == 2


def test_values_do_not_change() -> None:
    with pytest.raises(FrozenInstanceError):
        PauseStep(duration_s=1).duration_s = 2  # type: ignore[misc]  # that is the point


def test_no_repr_shows_a_secret() -> None:
    step = RequestStep(
        method="GET",
        url="/",
        headers=(("Authorization", ("s3cret",)),),
        body="s3cret",
        auth=Auth("basic", {"password": "s3cret"}),
    )
    environment = Environment(initial_variables={"a": "s3cret"}, initial_scripts=("s3cret",))
    assert "s3cret" not in repr(Suite(steps=(step,), environments=(environment,)))


def test_auth_text() -> None:
    auth = Auth("basic", {"username": "u", "port": 1})
    assert (auth.text("username"), auth.text("port"), auth.text("password")) == ("u", "", "")


def test_all_steps() -> None:
    one, two, three = (PauseStep(duration_s=n) for n in range(3))
    loop = LoopStep(left_value="a", comparison="equal", steps=(two,))
    condition = ConditionStep(left_value="a", comparison="equal", steps=(one, loop))
    assert list(all_steps((condition, three))) == [condition, one, loop, two, three]


# ---- environments


def test_switches_have_runscopes_defaults() -> None:
    plain = Environment()
    assert (plain.keeps_cookies, plain.stops_on_failure, plain.verifies_tls) == (False, False, True)
    other = Environment(preserve_cookies=True, stop_on_failure=True, verify_ssl=False)
    assert (other.keeps_cookies, other.stops_on_failure, other.verifies_tls) == (True, True, False)


def test_headers_of_the_step_win_in_any_case() -> None:
    below = (("Accept", ("a",)), ("X", ("1", "2")))
    assert merge_headers(below, (("accept", ("b",)),)) == (("X", ("1", "2")), ("accept", ("b",)))
    assert merge_headers(below, ()) == below


def test_inherits() -> None:
    """The child's values win, the parent's scripts run first."""
    parent = Environment(
        id="p",
        initial_variables={"a": 1, "b": 1},
        initial_scripts=("p()",),
        pre_request_scripts=("pp()",),
        post_response_scripts=("po()",),
        headers=(("A", ("1",)), ("B", ("1",))),
        auth=Auth("basic"),
        preserve_cookies=True,
        stop_on_failure=True,
        verify_ssl=False,
        retry_on_failure=True,
        script_library=("l1", "l2"),
        parent_id="gp",
    )
    child = Environment(
        id="c",
        name="child",
        initial_variables={"b": 2},
        initial_scripts=("c()",),
        pre_request_scripts=("cp()",),
        post_response_scripts=("co()",),
        headers=(("b", ("2",)),),
        stop_on_failure=False,
        script_library=("l2", "l3"),
        parent_id="p",
    )
    both = inherit(child, parent)
    assert both == Environment(
        id="c",
        name="child",
        initial_variables={"a": 1, "b": 2},
        initial_scripts=("p()", "c()"),
        pre_request_scripts=("pp()", "cp()"),
        post_response_scripts=("po()", "co()"),
        headers=(("A", ("1",)), ("b", ("2",))),
        auth=Auth("basic"),
        preserve_cookies=True,
        stop_on_failure=False,
        verify_ssl=False,
        retry_on_failure=True,
        script_library=("l1", "l2", "l3"),
        parent_id="gp",
    )


SHARED = Environment(id="s", name="shared", initial_variables={"a": "shared", "b": "shared"}, parent_id="top")
TOP = Environment(id="top", name="top", initial_variables={"c": "top"}, parent_id="elsewhere")
FIRST = Environment(id="1", name="first", test_id="t")
SECOND = Environment(id="2", name="second", test_id="t", initial_variables={"a": "own"}, parent_id="s")


def test_which_environment() -> None:
    assert Suite().environment == Environment()
    assert Suite(environments=(SHARED, FIRST, SECOND)).environment == FIRST
    assert Suite(environments=(SHARED, FIRST, SECOND), default_environment_id="nope").environment == FIRST
    assert Suite(environments=(TOP,)).environment == TOP
    chosen = Suite(environments=(SHARED, FIRST, SECOND, TOP), default_environment_id="2").environment
    assert chosen.name == "second"
    assert chosen.initial_variables == {"a": "own", "b": "shared", "c": "top"}


def test_find_environment() -> None:
    named_like_an_id = Environment(id="9", name="1")
    suite = Suite(environments=(named_like_an_id, SHARED, FIRST, SECOND))
    assert suite.find_environment("1") == FIRST
    assert suite.find_environment("9") == named_like_an_id
    found = suite.find_environment("second")
    assert found is not None and found.initial_variables == {"a": "own", "b": "shared"}
    assert suite.find_environment("third") is None


def test_a_circle_of_parents_ends() -> None:
    a = Environment(id="a", parent_id="b", initial_scripts=("a",))
    b = Environment(id="b", parent_id="a", initial_scripts=("b",))
    assert Suite(environments=(a, b)).environment.initial_scripts == ("b", "a")
    alone = Environment(id="a", parent_id="a")
    assert Suite(environments=(alone,)).environment == alone
