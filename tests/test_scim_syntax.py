"""The text of filters: what is one, what is none and where the fault is, and the canonical form."""

from __future__ import annotations

import contextlib
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scimproxy.scim.syntax import (
    OPERATORS,
    And,
    AttributePath,
    Comparison,
    Filter,
    FilterSyntaxError,
    Not,
    Or,
    Present,
    ValuePath,
    parse_filter,
)


def path(name: str, sub: str | None = None) -> AttributePath:
    return AttributePath(None, name, sub)


A, B, C, D = (Present(path(name)) for name in "abcd")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ('userName eq "bjensen"', Comparison(path("userName"), "eq", "bjensen")),
        ('name.familyName co "O\'Malley"', Comparison(path("name", "familyName"), "co", "O'Malley")),
        ("a pr", A),
        ("a PR", A),
        ("a Eq true", Comparison(path("a"), "eq", value=True)),
        ("a eq false", Comparison(path("a"), "eq", value=False)),
        ("a eq null", Comparison(path("a"), "eq", None)),
        ("a gt 17", Comparison(path("a"), "gt", 17)),
        ("a le -1.5E-3", Comparison(path("a"), "le", -0.0015)),
        (
            r'a eq "q\" b\\ s\/ \b\f\n\r\t \u00e9 \ud83d\ude00"',
            Comparison(path("a"), "eq", 'q" b\\ s/ \b\f\n\r\t é 😀'),
        ),
        ('a eq "é 😀"', Comparison(path("a"), "eq", "é 😀")),
        ('a eq ""', Comparison(path("a"), "eq", "")),
        ('a.$ref eq "x"', Comparison(path("a", "$ref"), "eq", "x")),
        ("urn:x:2.0:User:a pr", Present(AttributePath("urn:x:2.0:User", "a"))),
        ("urn:x:2.0:User:a.b pr", Present(AttributePath("urn:x:2.0:User", "a", "b"))),
        ("a pr and b pr", And((A, B))),
        ("a pr AND b pr and c pr", And((A, B, C))),
        ("a pr or b pr and c pr", Or((A, And((B, C))))),
        ("a pr and b pr or c pr and d pr", Or((And((A, B)), And((C, D))))),
        ("(a pr or b pr) and c pr", And((Or((A, B)), C))),
        ("a pr and (b pr and c pr)", And((A, And((B, C))))),
        ("not (a pr)", Not(A)),
        ("not(a pr)", Not(A)),
        ("NOT  ( a pr ) and b pr", And((Not(A), B))),
        ("not (not (a pr or b pr))", Not(Not(Or((A, B))))),
        ("((a pr))", A),
        ("  a   pr  ", A),
        ('emails[type eq "work"]', ValuePath(path("emails"), Comparison(path("type"), "eq", "work"))),
        ("urn:x:U:a[ b pr ]", ValuePath(AttributePath("urn:x:U", "a"), B)),
        ("a[not (b pr) or (c pr)]", ValuePath(path("a"), Or((Not(B), C)))),
        ("a[b pr].c pr", ValuePath(path("a"), B, C)),
        ('a[b pr].c eq "x" and d pr', And((ValuePath(path("a"), B, Comparison(path("c"), "eq", "x")), D))),
        ("not pr", Present(path("not"))),
        ('and eq "x" and or pr', And((Comparison(path("and"), "eq", "x"), Present(path("or"))))),
        ("true eq true", Comparison(path("true"), "eq", value=True)),
        ("never pr", Present(path("never"))),
    ],
)
def test_filters(text: str, expected: Filter) -> None:
    found = parse_filter(text)
    assert repr(found) == repr(expected), "repr tells 1 from true"
    assert repr(parse_filter(str(found))) == repr(expected)


@pytest.mark.parametrize(
    ("text", "canonical"),
    [
        ("  a   PR ", "a pr"),
        ("(((a pr)))", "a pr"),
        ("(a pr and b pr) or c pr", "a pr and b pr or c pr"),
        ("a pr and (b pr or c pr)", "a pr and (b pr or c pr)"),
        ("(a pr or b pr) or c pr", "(a pr or b pr) or c pr"),
        ("NOT(a Eq 1E2)", "not (a eq 100.0)"),
        (r'a eq "\u00e9\/"', 'a eq "é/"'),
        ("a[ (b pr) ].c PR", "a[b pr].c pr"),
    ],
)
def test_canonical_form(text: str, canonical: str) -> None:
    assert str(parse_filter(text)) == canonical


@pytest.mark.parametrize(
    ("text", "position", "says"),
    [
        ("", 0, "The filter is empty"),
        ("   ", 3, "The filter is empty"),
        ("a", 1, "Expected an operator after a"),
        ("a  ", 1, "Expected an operator after a"),
        ("a xx 1", 2, "an operator .* after a, found 'xx'"),
        ('a == "x"', 2, "== is no operator of SCIM: write eq"),
        ('a="x"', 1, "= is no operator of SCIM: write eq"),
        ('a=="x"', 1, "== is no operator of SCIM: write eq"),
        ('a != "x"', 2, "write ne"),
        ("a >= 1", 2, "write ge"),
        ('a contains "x"', 2, "contains is no operator of SCIM: write co"),
        ("a eq", 4, "Expected a value, found the end of the filter"),
        ("a eq ", 5, "Expected a value, found the end of the filter"),
        ('a eq"x"', 4, "Expected a space after eq"),
        ("a eq bjensen", 5, "Expected a value, found 'bjensen': text stands in double quotes"),
        ("a eq 'x'", 5, "straight double quotes"),
        ("a eq \u201cx\u201d", 5, "straight double quotes"),
        ("a eq True", 5, "Write true in small letters"),
        ("a eq NULL", 5, "Write null in small letters"),
        ("a eq (x)", 5, r"Expected a value, found '\('"),
        ("a eq 01", 5, "Expected a value"),
        ("a eq 1.", 5, "Expected a value"),
        ("a eq .5", 5, "Expected a value"),
        ("a eq +1", 5, "Expected a value"),
        ("a eq 1e999", 5, "too large"),
        (f"a eq {'1' * 101}", 5, "at most 100"),
        ('a eq "x', 5, "no closing quote"),
        ('a eq "x\\"', 5, "no closing quote"),
        ('a eq "x\\', 7, "escape of JSON"),
        (r'a eq "x\y"', 7, "escape of JSON"),
        (r'a eq "\u12g4"', 6, "escape of JSON"),
        (r'a eq "\ud800"', 6, "escape of JSON"),
        (r'a eq "\udc00\ud800"', 6, "escape of JSON"),
        ('a eq "x\ny"', 7, "as it is"),
        ('a eq "x\ud800"', 7, "as it is"),
        ('a eq "x"y', 8, "Expected and, or"),
        ('a eq "x" "y"', 9, "Expected and, or, or the end of the filter"),
        ("a pr b", 5, "Expected and, or, or the end of the filter, found 'b'"),
        ("a pr)", 4, r"This \) closes nothing"),
        ("a pr ]", 5, "This ] closes nothing"),
        ("(a pr", 0, r"This \( is never closed by a \)"),
        ("(a pr]", 5, r"Expected and, or, or \), found '\]'"),
        ("()", 1, r"name of an attribute, found '\)'"),
        ("(a pr)and b pr", 6, "space before and"),
        ("a pr and(b pr)", 8, "after and"),
        ("a pr and", 8, "after and"),
        ("a pr and ", 9, "name of an attribute, found the end"),
        ("a pr andb pr", 5, "found 'andb'"),
        ("and b pr", 4, "found 'b'"),
        ("not a pr", 4, "after not, found 'a'"),
        ("not", 3, "Expected an operator after not"),
        ("a [b pr]", 2, "No space may stand between a and the square bracket"),
        ("a[b pr", 1, r"This \[ is never closed by a \]"),
        ("a[b[c pr]]", 3, "inside square brackets"),
        ("a.b[c pr]", 3, "not a sub-attribute"),
        ("a[b pr].", 8, "sub-attribute"),
        ("a[b pr].c", 9, "operator after c"),
        ("a[b pr].c.d pr", 9, "after c, found '.d'"),
        ("a[b pr] pr", 8, "Expected and, or"),
        ("a. pr", 2, "sub-attribute"),
        ("a.b.c pr", 3, r"Unexpected '\.'"),
        ("_a pr", 0, "name of an attribute"),
        ("1a pr", 0, "name of an attribute"),
        ("a:b pr", 0, "'a' before the colon is no URN"),
        ("$urn:x:b pr", 0, "is no URN"),
        (":b pr", 0, "name of an attribute"),
        ("urn:x: pr", 6, "name of an attribute"),
        ("a\tpr", 1, "a space and an operator"),
        ("a eq " + "x" * 99, 5, r"found 'x{40}\.\.\.'"),
    ],
)
def test_what_is_no_filter(text: str, position: int, says: str) -> None:
    with pytest.raises(FilterSyntaxError, match=says) as caught:
        parse_filter(text)
    assert caught.value.position == position
    assert caught.value.text == text


def test_bounds() -> None:
    def deep(levels: int) -> str:
        return "(" * levels + "a pr" + ")" * levels

    assert parse_filter(deep(50)) == A
    with pytest.raises(FilterSyntaxError, match="More than 50") as caught:
        parse_filter(deep(51))
    assert caught.value.position == 50
    with pytest.raises(FilterSyntaxError, match="More than 2"):
        parse_filter("a[(not (b pr))]", max_depth=2)
    with pytest.raises(FilterSyntaxError, match="at most 8192") as caught:
        parse_filter("a" * 8193)
    assert caught.value.position == 8192
    with pytest.raises(FilterSyntaxError, match="5 characters; at most 4"):
        parse_filter("ab pr", max_length=4)


def test_a_long_chain_is_one_flat_tree() -> None:
    text = " or ".join(["a pr"] * 1000)
    found = parse_filter(text)
    assert isinstance(found, Or)
    assert len(found.terms) == 1000
    assert str(found) == text
    assert hash(found) == hash(parse_filter(text))


NAMES = st.from_regex(r"\$?[A-Za-z][A-Za-z0-9_$-]{0,6}", fullmatch=True)
URNS = st.sampled_from([None, None, "urn:ietf:params:scim:schemas:core:2.0:User", "urn:x.y:1.0"])
PATHS = st.builds(AttributePath, URNS, NAMES, st.none() | NAMES)
TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=8)
NUMBERS = st.integers(-(10**20), 10**20) | st.floats(allow_nan=False, allow_infinity=False)
VALUES = TEXTS | NUMBERS | st.booleans() | st.none()
CONDITIONS = st.builds(Comparison, PATHS, st.sampled_from(OPERATORS), VALUES) | st.builds(Present, PATHS)
RESTS = st.none() | st.builds(
    lambda condition, name: type(condition)(path(name), *_tail(condition)),
    CONDITIONS,
    NAMES,
)


def _tail(condition: Any) -> tuple[Any, ...]:
    return (condition.op, condition.value) if isinstance(condition, Comparison) else ()


def _grown(inner: st.SearchStrategy[Filter]) -> st.SearchStrategy[Filter]:
    terms = st.lists(inner, min_size=2, max_size=3).map(tuple)
    return st.builds(Not, inner) | st.builds(And, terms) | st.builds(Or, terms)


INSIDE = st.recursive(CONDITIONS, _grown, max_leaves=5)
LISTED = st.builds(ValuePath, st.builds(AttributePath, URNS, NAMES), INSIDE, RESTS)
FILTERS = st.recursive(CONDITIONS | LISTED, _grown, max_leaves=8)


@given(FILTERS)
def test_the_canonical_text_parses_to_the_same_tree(wanted: Filter) -> None:
    assert repr(parse_filter(str(wanted), max_length=100_000)) == repr(wanted)


@given(st.text(alphabet='ab ()[]".:and orpeqnt\\u01é', max_size=40))
def test_any_text_parses_or_is_refused_at_a_place_in_it(text: str) -> None:
    with contextlib.suppress(FilterSyntaxError):
        assert parse_filter(str(parse_filter(text))) == parse_filter(text)
        return
    with pytest.raises(FilterSyntaxError) as caught:
        parse_filter(text)
    assert 0 <= caught.value.position <= len(text)
