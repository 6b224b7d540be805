"""Every source, comparison and kind of value, each verdict with where it comes from.

`2.3` and `2.4` are sections of the specification of Runscope's behaviour that the project works from: 2.3 quotes the
vendor's documentation, 2.4 lists what real exports, results and failures show. `I` is INFERRED: nothing is known, and
what we chose stands here, so that a change of mind changes a line of this file.
"""

from __future__ import annotations

import json
from typing import Any
from xml.sax.saxutils import escape

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scimproxy.exchange import Headers
from scimproxy.suite.builtins import Builtins
from scimproxy.suite.evaluate import ATTRIBUTE_NOT_FOUND, compare, evaluate, extract, extract_all, label
from scimproxy.suite.model import COMPARISONS, SOURCES, Assertion, Extraction
from scimproxy.suite.response import ResponseView
from scimproxy.suite.templates import Scope

MISSING = object()
KINDS: dict[str, Any] = {
    "string": "abc",
    "digits": "7",
    "empty": "",
    "integer": 7,
    "zero": 0,
    "float": 1.5,
    "true": True,
    "false": False,
    "null": None,
    "list": ["abc", 7, True],
    "none": [],
    "object": {"abc": 7, "k": "abc"},
    "missing": MISSING,
}

# comparison, target, then a verdict and its source for each kind, in the order of KINDS: P passed, F failed, E errored.
TABLE = """
equal                     "abc"                  P/2.3 F/2.3 F/2.3 F/2.3 F/2.3 F/I   F/2.4 F/2.4 F/I   F/I   F/I   F/I   F/2.4
equal                     "ABC"                  F/2.4 F/2.3 F/2.3 F/2.3 F/2.3 F/I   F/2.4 F/2.4 F/I   F/I   F/I   F/I   F/2.4
equal                     "7"                    F/2.3 P/2.3 F/2.3 P/2.4 F/2.3 F/I   F/2.4 F/2.4 F/I   F/I   F/I   F/I   F/2.4
equal                     7                      F/2.3 P/2.4 F/2.3 P/2.4 F/2.3 F/I   F/2.4 F/2.4 F/I   F/I   F/I   F/I   F/2.4
equal                     "7.0"                  F/2.3 F/2.3 F/2.3 F/2.3 F/2.3 F/I   F/2.4 F/2.4 F/I   F/I   F/I   F/I   F/2.4
equal                     "0"                    F/2.3 F/2.3 F/2.3 F/2.3 P/2.4 F/I   F/2.4 F/2.4 F/I   F/I   F/I   F/I   F/2.4
equal                     "1.5"                  F/2.3 F/2.3 F/2.3 F/2.3 F/2.3 P/I   F/2.4 F/2.4 F/I   F/I   F/I   F/I   F/2.4
equal                     "true"                 F/2.3 F/2.3 F/2.3 F/2.3 F/2.3 F/I   P/2.4 F/2.4 F/I   F/I   F/I   F/I   F/2.4
equal                     true                   F/2.3 F/2.3 F/2.3 F/2.3 F/2.3 F/I   P/2.4 F/2.4 F/I   F/I   F/I   F/I   F/2.4
equal                     "True"                 F/2.3 F/2.3 F/2.3 F/2.3 F/2.3 F/I   F/2.4 F/2.4 F/I   F/I   F/I   F/I   F/2.4
equal                     "false"                F/2.3 F/2.3 F/2.3 F/2.3 F/2.3 F/I   F/2.4 P/2.4 F/I   F/I   F/I   F/I   F/2.4
equal                     ""                     F/2.3 F/2.3 P/2.3 F/2.3 F/2.3 F/I   F/2.4 F/2.4 F/I   F/I   F/I   F/I   F/2.4
equal                     "null"                 F/2.3 F/2.3 F/2.3 F/2.3 F/2.3 F/I   F/2.4 F/2.4 P/I   F/I   F/I   F/I   F/2.4
equal                     null                   F/2.3 F/2.3 F/2.3 F/2.3 F/2.3 F/I   F/2.4 F/2.4 P/I   F/I   F/I   F/I   F/2.4
equal                     "[\\"abc\\",7,true]"   F/2.3 F/2.3 F/2.3 F/2.3 F/2.3 F/I   F/2.4 F/2.4 F/I   P/I   F/I   F/I   F/2.4
equal                     {"abc":7,"k":"abc"}    F/2.3 F/2.3 F/2.3 F/2.3 F/2.3 F/I   F/2.4 F/2.4 F/I   F/I   F/I   P/I   F/2.4
not_equal                 "abc"                  F/2.3 P/2.3 P/2.3 P/2.3 P/2.3 P/I   P/2.3 P/2.3 P/I   P/I   P/I   P/I   F/I
not_equal                 "7"                    P/2.3 F/2.3 P/2.3 F/2.4 P/2.3 P/I   P/2.3 P/2.3 P/I   P/I   P/I   P/I   F/I
not_equal                 "true"                 P/2.3 P/2.3 P/2.3 P/2.3 P/2.3 P/I   F/2.4 P/2.3 P/I   P/I   P/I   P/I   F/I
empty                     null                   F/2.3 F/2.3 P/2.3 F/2.4 F/2.4 F/2.3 F/2.3 F/2.4 P/2.3 F/2.3 F/2.4 F/2.3 F/2.4
empty                     "abc"                  F/2.4 F/2.4 P/2.4 F/2.4 F/2.4 F/2.4 F/2.4 F/2.4 P/2.4 F/2.4 F/2.4 F/2.4 F/2.4
not_empty                 null                   P/2.3 P/2.3 F/2.3 P/2.4 P/2.4 P/2.3 P/2.3 P/2.4 F/2.3 P/2.3 P/2.4 P/2.4 F/2.4
contains                  "b"                    P/2.3 F/2.3 F/2.3 F/I   F/I   F/I   F/I   F/I   F/I   P/2.4 F/I   P/I   F/2.4
contains                  "abc"                  P/2.3 F/2.3 F/2.3 F/I   F/I   F/I   F/I   F/I   F/I   P/2.4 F/I   P/I   F/2.4
contains                  "7"                    F/2.3 P/2.3 F/2.3 P/I   F/I   F/I   F/I   F/I   F/I   P/I   F/I   P/I   F/2.4
contains                  ""                     P/2.3 P/2.3 P/2.3 P/I   P/I   P/I   P/I   P/I   P/I   P/I   P/I   P/I   F/2.4
contains                  "abcd"                 F/2.3 F/2.3 F/2.3 F/I   F/I   F/I   F/I   F/I   F/I   F/2.4 F/I   F/I   F/2.4
does_not_contain          "b"                    F/2.3 P/2.3 P/2.3 P/I   P/I   P/I   P/I   P/I   P/I   F/I   P/I   F/I   F/I
does_not_contain          "abcd"                 P/2.3 P/2.3 P/2.3 P/I   P/I   P/I   P/I   P/I   P/I   P/I   P/I   P/I   F/I
is_a_number               null                   F/2.3 P/2.3 F/I   P/2.4 P/2.4 P/2.3 F/I   F/I   F/I   F/I   F/I   F/I   F/2.4
equal_number              7                      F/I   P/2.4 F/I   P/2.3 F/2.3 F/2.3 F/I   F/I   F/I   F/I   F/I   F/I   F/2.4
equal_number              "7"                    F/I   P/2.4 F/I   P/2.4 F/2.3 F/2.3 F/I   F/I   F/I   F/I   F/I   F/I   F/2.4
equal_number              "7.000"                F/I   P/2.3 F/I   P/2.3 F/2.3 F/2.3 F/I   F/I   F/I   F/I   F/I   F/I   F/2.4
equal_number              1.5                    F/I   F/2.3 F/I   F/2.3 F/2.3 P/2.3 F/I   F/I   F/I   F/I   F/I   F/I   F/2.4
equal_number              "abc"                  E/I   E/I   E/I   E/I   E/I   E/I   E/I   E/I   E/I   E/I   E/I   E/I   F/2.4
equal_number              null                   E/I   E/I   E/I   E/I   E/I   E/I   E/I   E/I   E/I   E/I   E/I   E/I   F/2.4
is_less_than              "7"                    F/I   F/2.3 F/I   F/2.3 P/2.3 P/2.3 F/I   F/I   F/I   F/I   F/I   F/I   F/2.4
is_less_than              "600"                  F/I   P/2.3 F/I   P/2.4 P/2.4 P/2.3 F/I   F/I   F/I   F/I   F/I   F/I   F/2.4
is_less_than_or_equal     7                      F/I   P/2.3 F/I   P/2.3 P/2.3 P/2.3 F/I   F/I   F/I   F/I   F/I   F/I   F/2.4
is_less_than_or_equal     6.9                    F/I   F/2.3 F/I   F/2.3 P/2.3 P/2.3 F/I   F/I   F/I   F/I   F/I   F/I   F/2.4
is_greater_than           "1.5"                  F/I   P/2.3 F/I   P/2.3 F/2.3 F/2.3 F/I   F/I   F/I   F/I   F/I   F/I   F/2.4
is_greater_than           7                      F/I   F/2.3 F/I   F/2.3 F/2.3 F/2.3 F/I   F/I   F/I   F/I   F/I   F/I   F/2.4
is_greater_than_or_equal  7                      F/I   P/2.3 F/I   P/2.3 F/2.3 F/2.3 F/I   F/I   F/I   F/I   F/I   F/I   F/2.4
is_greater_than_or_equal  "1.5"                  F/I   P/2.3 F/I   P/2.3 F/2.3 P/2.3 F/I   F/I   F/I   F/I   F/I   F/I   F/2.4
has_key                   "abc"                  F/2.3 F/2.3 F/2.3 F/2.3 F/2.3 F/2.3 F/2.3 F/2.3 F/2.3 F/2.3 F/2.3 P/2.4 F/2.4
has_key                   "nope"                 F/2.3 F/2.3 F/2.3 F/2.3 F/2.3 F/2.3 F/2.3 F/2.3 F/2.3 F/2.3 F/2.3 F/2.4 F/2.4
has_value                 "abc"                  F/2.4 F/2.3 F/2.3 F/2.3 F/2.3 F/2.3 F/2.3 F/2.3 F/2.3 P/2.4 F/2.4 P/2.4 F/2.4
has_value                 "7"                    F/2.4 F/2.4 F/2.3 F/2.4 F/2.3 F/2.3 F/2.3 F/2.3 F/2.3 P/2.4 F/2.4 P/2.4 F/2.4
has_value                 7                      F/2.4 F/2.4 F/2.3 F/2.4 F/2.3 F/2.3 F/2.3 F/2.3 F/2.3 P/2.4 F/2.4 P/2.4 F/2.4
has_value                 "true"                 F/2.4 F/2.3 F/2.3 F/2.3 F/2.3 F/2.3 F/2.3 F/2.3 F/2.3 P/I   F/2.4 F/2.4 F/2.4
has_value                 "b"                    F/2.4 F/2.3 F/2.3 F/2.3 F/2.3 F/2.3 F/2.3 F/2.3 F/2.3 F/2.4 F/2.4 F/2.4 F/2.4
is_null                   null                   F/2.3 F/2.3 F/2.3 F/2.3 F/2.3 F/2.3 F/2.3 F/2.3 P/2.3 F/2.3 F/2.3 F/2.3 F/I
is_null                   "abc"                  F/2.4 F/2.4 F/2.4 F/2.4 F/2.4 F/2.4 F/2.4 F/2.4 P/2.4 F/2.4 F/2.4 F/2.4 F/I
"""
OUTCOMES = {"P": "passed", "F": "failed", "E": "errored"}


def rows() -> list[tuple[str, Any, str, str]]:
    found = []
    for line in TABLE.strip().splitlines():
        comparison, *rest = line.split()
        target, verdicts = rest[0], rest[1:]
        assert len(verdicts) == len(KINDS), line
        for kind, verdict in zip(KINDS, verdicts, strict=True):
            letter, source = verdict.split("/")
            assert source in {"2.3", "2.4", "I"}
            found.append((comparison, json.loads(target), kind, OUTCOMES[letter]))
    return found


ROWS = rows()

# Which kinds a source can give at all: a status is a number, a header a text.
CARRIES = {
    "response_status": ("integer", "zero"),
    "response_time": ("integer", "zero"),
    "response_size": ("integer", "zero"),
    "response_headers": ("string", "digits", "empty", "missing"),
    "response_text": ("string", "digits", "empty"),
    "response_json": tuple(KINDS),
    "response_xml": ("string", "digits", "empty", "integer", "zero", "float", "true", "false", "missing"),
}


def serve(source: str, kind: str) -> tuple[ResponseView, str | None]:
    """Return a response in which this source has a value of this kind, and the property that leads to it."""
    value = KINDS[kind]
    match source:
        case "response_status":
            return ResponseView(value), None
        case "response_time":
            return ResponseView(200, response_time_ms=value), None
        case "response_size":
            return ResponseView(200, size_bytes=value), None
        case "response_text":
            return ResponseView(200, body=value.encode()), ""
        case "response_headers":
            return ResponseView(200, Headers([] if value is MISSING else [("X-It", value)])), "x-it"
        case "response_json":
            document = {} if value is MISSING else {"it": value}
            return ResponseView(200, body=json.dumps({"at": [document]}).encode()), "at[-1].it"
        case "response_xml":
            if isinstance(value, bool | int | float):
                words = {True: "1 = 1", False: "1 = 2"}
                return ResponseView(200, body=b"<a/>"), words[value] if isinstance(value, bool) else str(value)
            inner = "" if value is MISSING else f"<it>{escape(value)}</it>"
            return ResponseView(200, body=f"<a>{inner}</a>".encode()), "/a/it"
    raise AssertionError(source)


CASES = [
    (source, comparison, target, kind, outcome)
    for source in SOURCES
    for comparison, target, kind, outcome in ROWS
    if kind in CARRIES[source]
]


def test_the_table_is_whole() -> None:
    assert {row[0] for row in ROWS} == set(COMPARISONS)
    assert set(CARRIES) == set(SOURCES)
    for source in SOURCES:
        seen = {(case[1], case[3]) for case in CASES if case[0] == source}
        assert seen == {(comparison, kind) for comparison in COMPARISONS for kind in CARRIES[source]}


@pytest.mark.parametrize("source", SOURCES)
@pytest.mark.parametrize("comparison", COMPARISONS)
def test_verdicts(source: str, comparison: str) -> None:
    """All rows of a comparison in one test: 1,855 tests would take ten times as long for what surrounds them."""
    for *mine, target, kind, outcome in CASES:
        if mine == [source, comparison]:
            is_judged(source, comparison, target, kind, outcome)


def is_judged(source: str, comparison: str, target: Any, kind: str, outcome: str) -> None:
    response, path = serve(source, kind)
    result = evaluate(Assertion(source, comparison, target, path), response)
    assert result.outcome == outcome
    assert result.passed == (outcome == "passed")
    assert result.found == (kind != "missing")
    assert (result.error is not None) >= (kind == "missing" or outcome == "errored")
    if kind != "missing":
        assert result.actual == KINDS[kind]
        assert type(result.actual) is type(KINDS[kind])
    # A passed assertion never tells of an error; what is said always names the place.
    assert not (result.passed and result.error)
    assert result.line.startswith(label(source, path))


# ---- texts


def view(document: Any) -> ResponseView:
    return ResponseView(200, body=json.dumps(document).encode())


@pytest.mark.parametrize(
    ("comparison", "target", "passing", "failing"),
    [
        ("equal", "a", ("a", "'a' was equal to a"), ("b", "'b' was not equal to a")),
        ("not_equal", "a", ("b", "'b' was not equal to a"), ("a", "'a' was equal to a")),
        ("empty", None, (None, "null was empty"), ("a", "'a' was not empty")),
        ("not_empty", None, (False, "false was not empty"), ("", "'' was empty")),
        ("contains", "a", (["a"], '["a"] does contain a'), ("b", "'b' does not contain a")),
        ("does_not_contain", "a", ("b", "'b' does not contain a"), ("a", "'a' does contain a")),
        ("is_a_number", None, ("1", "'1' was a number"), (True, "true was not a number")),
        ("equal_number", "409", (409, "409 was a number equal to 409"), (201, "201 was not a number equal to 409")),
        ("is_less_than", 2, (1, "1 was less than 2"), (2, "2 was not less than 2")),
        ("is_less_than_or_equal", 2, (2, "2 was less than or equal to 2"), (3, "3 was not less than or equal to 2")),
        ("is_greater_than", 2, (3, "3 was greater than 2"), (2, "2 was not greater than 2")),
        (
            "is_greater_than_or_equal",
            2,
            (2, "2 was greater than or equal to 2"),
            (1, "1 was not greater than or equal to 2"),
        ),
        ("has_key", "a", ({"a": 1}, '{"a":1} had key a'), ({}, "{} had no key a")),
        ("has_value", "a", (["a"], '["a"] had value a'), ([], "[] had no value a")),
        ("is_null", None, (None, "null was null"), (0, "0 was not null")),
    ],
)
def test_messages(comparison: str, target: Any, passing: tuple[Any, str], failing: tuple[Any, str]) -> None:
    for (value, message), outcome in ((passing, "passed"), (failing, "failed")):
        result = evaluate(Assertion("response_json", comparison, target, "v"), view({"v": value}))
        assert (result.outcome, result.message) == (outcome, message)
        assert result.line == f"body.v — {message}"
        assert result.place == "/v"


@pytest.mark.parametrize(
    ("source", "path", "text"),
    [
        ("response_status", None, "Status"),
        ("response_time", "", "Response time (ms)"),
        ("response_size", None, "Response (bytes)"),
        ("response_headers", "Content-Type", "header.Content-Type"),
        ("response_json", "a[0].b", "body.a[0].b"),
        ("response_json", None, "body"),
        ("response_text", "", "Text body"),
        ("response_xml", "/a", "xml./a"),
    ],
)
def test_labels(source: str, path: str | None, text: str) -> None:
    assert label(source, path) == text


def test_long_values_are_cut_in_messages() -> None:
    result = evaluate(Assertion("response_json", "equal", "y" * 5000, "v"), view({"v": "x" * 5000}))
    assert len(result.line) < 700 and result.actual == "x" * 5000


@pytest.mark.parametrize(
    ("value", "words"),
    [
        ("x", "not a text"),
        (True, "not true"),
        (False, "not false"),
        (None, "not null"),
        (1, "not a number"),
        (1.5, "not a number"),
        ([], "not a list"),
    ],
)
def test_has_key_says_what_there_is(value: Any, words: str) -> None:
    result = evaluate(Assertion("response_json", "has_key", "a", "v"), view({"v": value}))
    assert result.error == f"The actual value must be an object, {words}."


# ---- reading


@pytest.mark.parametrize(
    ("body", "error"),
    [
        (b"", "The response body is empty."),
        (b"<html>", "The response body is not JSON: Expecting value: line 1 column 1 (char 0)"),
        (b"{} x", "The response body is not JSON: Extra data: line 1 column 4 (char 3)"),
    ],
)
@pytest.mark.parametrize("comparison", COMPARISONS)
def test_a_body_that_is_no_json_fails_each_assertion(body: bytes, error: str, comparison: str) -> None:
    result = evaluate(Assertion("response_json", comparison, "1", "a"), ResponseView(200, body=body))
    assert (result.outcome, result.error) == ("failed", error)


def test_the_whole_document() -> None:
    assert evaluate(Assertion("response_json", "equal", '{"a":1}', ""), view({"a": 1})).passed
    assert evaluate(Assertion("response_json", "has_value", "b"), view(["a", "b"])).passed


def test_headers() -> None:
    response = ResponseView(200, Headers([("Set-Cookie", "a=1"), ("set-cookie", "b=2")]))
    for source in ("response_headers", "response_header"):
        assert evaluate(Assertion(source, "equal", "a=1, b=2", "SET-COOKIE "), response).passed
    missing = evaluate(Assertion("response_headers", "not_empty", None, "ETag"), response)
    assert missing.line == "header.ETag — was empty — Unable to locate ETag in the response headers."


def test_xml() -> None:
    missing = evaluate(Assertion("response_xml", "not_empty", None, "/b"), ResponseView(200, body=b"<a/>"))
    assert missing.line == "xml./b — was empty — Unable to locate '/b' in XML."
    broken = evaluate(Assertion("response_xml", "not_empty", None, "///"), ResponseView(200, body=b"<a/>"))
    assert broken.outcome == "errored" and "not an XPath" in (broken.error or "")


def test_old_names() -> None:
    assert evaluate(Assertion("response_status", "is_equal", "200"), ResponseView(200)).passed


@pytest.mark.parametrize(
    ("assertion", "words"),
    [
        (Assertion("response_json", "equal", "1", "$.a"), "leave '$.' out"),
        (Assertion("response_json", "equal", "1", "a[*]"), "slices, filters"),
        (Assertion("response_body", "equal", "1", "a"), "'response_body' is no source; there are response_status"),
        (Assertion("response_json", "is_true", None, "a"), "'is_true' is no comparison; there are equal"),
        (Assertion("response_json", "equal_number", "x", "a"), "The expected value 'x' is not a number."),
    ],
)
def test_what_is_the_assertions_fault_is_errored(assertion: Assertion, words: str) -> None:
    result = evaluate(assertion, view({"a": 1}))
    assert result.outcome == "errored"
    assert words in (result.error or "")
    assert result.line


def test_numbers_that_are_none_are_said() -> None:
    result = evaluate(Assertion("response_json", "equal_number", 1, "a"), view({"a": "x"}))
    assert result.line == "body.a — 'x' was not a number equal to 1 — 'x' is not a number."


def test_compare_is_for_conditions_too() -> None:
    assert compare("equal", "a", "a").outcome == "passed"
    assert compare("is_equal", "a", "b").outcome == "failed"


# ---- variables

BUILTINS = Builtins(now=lambda: 7.0, random_below=lambda _: 0)


def test_targets_and_properties_are_filled_in() -> None:
    scope = Scope(run={"name": "bob", "n": 1})
    response = view({"users": [{"userName": "al"}, {"userName": "bob"}], "t": 7})
    result = evaluate(
        Assertion("response_json", "equal", "{{name}}", "users[{{n}}].userName"), response, scope, BUILTINS
    )
    assert result.passed and result.expected == "bob" and result.place == "/users/1/userName"
    assert evaluate(Assertion("response_json", "equal", "{{timestamp}}", "t"), response, scope, BUILTINS).passed
    assert evaluate(Assertion("response_json", "equal", 7, "t"), response, scope).passed
    assert not evaluate(Assertion("response_json", "equal", "{{name}}", "users[1].userName"), response).passed


@pytest.mark.parametrize(
    "assertion",
    [Assertion("response_json", "equal", "{{x}}", "a"), Assertion("response_json", "equal", "1", "{{x}}")],
)
def test_an_undefined_variable_errors_the_assertion(assertion: Assertion) -> None:
    result = evaluate(assertion, view({"a": 1}), Scope(), BUILTINS)
    assert (result.outcome, result.error) == ("errored", "Variable 'x' was not defined")


def test_ignored_values_need_no_variable() -> None:
    assert evaluate(Assertion("response_json", "not_empty", "{{x}}", "a"), view({"a": 1}), Scope(), BUILTINS).passed


@pytest.mark.parametrize("source", SOURCES)
def test_extracts_from_every_source(source: str) -> None:
    for kind in CARRIES[source]:
        response, path = serve(source, kind)
        found = extract(Extraction("v", source, path), response)
        if kind == "missing":
            assert (found.passed, found.value, found.error) == (False, None, ATTRIBUTE_NOT_FOUND)
            assert "Unable to locate" in (found.detail or "")
        else:
            assert (found.passed, found.value, found.error) == (True, KINDS[kind], None)
            assert type(found.value) is type(KINDS[kind])


def test_runscopes_words_for_a_failed_extraction() -> None:
    assert ATTRIBUTE_NOT_FOUND == "Attribute not found."


def test_extractions_that_cannot_be_read() -> None:
    assert "leave '$.' out" in (extract(Extraction("v", "response_json", "$.a"), view({})).error or "")
    found = extract(Extraction("v", "response_json", "{{x}}"), view({}), Scope(), BUILTINS)
    assert (found.passed, found.error) == (False, "Variable 'x' was not defined")
    assert extract(Extraction("v", "response_json", "{{x}}"), view({"a": 1}), Scope(run={"x": "a"})).value == 1


def test_extract_all_goes_in_order_and_skips_rows_without_a_name() -> None:
    scope = Scope(pinned={"kept": "mine"})
    rows_ = (
        Extraction("a", "response_json", "a"),
        Extraction(" ", "", ""),
        Extraction("b", "response_json", "{{a}}"),
        Extraction("c", "response_json", "nope"),
        Extraction("kept", "response_json", "a"),
    )
    done = extract_all(rows_, view({"a": "z", "z": [1]}), scope, BUILTINS, "step 3")
    assert [(one.name, one.passed, one.value) for one in done] == [
        ("a", True, "z"),
        ("b", True, [1]),
        ("c", False, None),
        ("kept", True, "z"),
    ]
    assert scope.as_dict() == {"kept": "mine", "a": "z", "b": [1]}
    assert scope.origin("a") == "step 3"


# ---- whatever comes

VALUES = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=10)
    | st.lists(st.integers(), max_size=2)
)
BODIES = (
    st.binary(max_size=30)
    | st.recursive(
        VALUES,
        lambda inner: st.dictionaries(st.sampled_from("ab."), inner) | st.lists(inner, max_size=2),
        max_leaves=5,
    ).map(lambda value: json.dumps(value).encode())
    | st.sampled_from([b"[" * 100_000, b'{"a":' * 100_000, b"<a>" * 1000, b"1" * 10_000, b"1e999999", b'"\\ud800"'])
)


@given(
    source=st.sampled_from(SOURCES) | st.text(max_size=5),
    comparison=st.sampled_from(COMPARISONS) | st.text(max_size=5),
    value=VALUES | st.sampled_from(["{{a}}", "{{", "{{random_int(1)}}", "1e999999999", "\ud800"]),
    path=st.none() | st.text(alphabet="ab.[]-1*$/'\" ", max_size=8),
    body=BODIES,
)
def test_never_raises(source: str, comparison: str, value: Any, path: str | None, body: bytes) -> None:
    response = ResponseView(200, Headers([("a", "1")]), body)
    scope = Scope(run={"a": [1]})
    result = evaluate(Assertion(source, comparison, value, path), response, scope, BUILTINS)
    assert result.outcome in OUTCOMES.values()
    assert isinstance(result.line, str) and result.line
    found = extract(Extraction("v", source, path), response, scope, BUILTINS)
    assert found.passed == (found.error is None)
