from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
import quickjs
from hypothesis import given
from hypothesis import strategies as st

from scimproxy.suite.casts import read_json
from scimproxy.suite.jsonpath import MAX_PATH, Found, JsonPathError, Missing, locate, parse_path

URN = "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User"
DOCUMENT: dict[str, Any] = {
    "lastName": "Doe",
    "address": {"city": "Graz", "a~b/c": 1},
    "phoneNumbers": [{"number": "1"}, {"number": "2"}],
    URN: {"department": "Sales", "manager": {"value": "7"}},
    "$ref": "x",
    "0": "zero",
    "null": None,
    "it's": {'"': 3},
    "a.b": 1,
    "a": {"b": 2, "c": 3},
    "x[0]": 5,
    "deep": {"1.1": {"y": 1}, "1": {"1": {"z": 2}}},
}


@pytest.mark.parametrize(
    ("path", "value", "pointer"),
    [
        # The vendor's own examples (runscope.md 2.5).
        ("lastName", "Doe", "/lastName"),
        ("address.city", "Graz", "/address/city"),
        ("phoneNumbers[0].number", "1", "/phoneNumbers/0/number"),
        ("phoneNumbers[-1].number", "2", "/phoneNumbers/1/number"),
        # Keys with dots and colons, without and with brackets (INFERRED).
        (f"{URN}.department", "Sales", f"/{URN}/department"),
        (f"{URN}.manager.value", "7", f"/{URN}/manager/value"),
        (f'["{URN}"].department', "Sales", f"/{URN}/department"),
        (f"['{URN}']['manager'].value", "7", f"/{URN}/manager/value"),
        ("['it\\'s']['\"']", 3, "/it's/\""),
        ("address['a~b/c']", 1, "/address/a~0b~1c"),
        ("$ref", "x", "/$ref"),
        ("[0]", "zero", "/0"),
        ("null", None, "/null"),
        ("a.b", 1, "/a.b"),
        ("a.c", 3, "/a/c"),
        ("x[0]", 5, "/x[0]"),
        ("deep.1.1.y", 1, "/deep/1.1/y"),
        ("deep.1.1.z", 2, "/deep/1/1/z"),
        (" lastName ", "Doe", "/lastName"),
        ("phoneNumbers[ 0 ]", {"number": "1"}, "/phoneNumbers/0"),
    ],
)
def test_finds(path: str, value: Any, pointer: str) -> None:
    assert locate(DOCUMENT, path) == Found(value, pointer)


def test_root_arrays() -> None:
    document = [{"number": 1}, {"type": "b"}, {"number": 3}]
    assert locate(document, "[2].number") == Found(3, "/2/number")
    assert locate(document, "[-2].type") == Found("b", "/1/type")


@pytest.mark.parametrize("path", ["", None, "  "])
def test_no_path_is_the_document(path: str | None) -> None:
    assert locate([1], path) == Found([1], "")


@pytest.mark.parametrize(
    ("path", "component", "pointer"),
    [
        ("bulk.maxOperations", "bulk", ""),
        ("address.zip.code", "zip", "/address"),
        ("address[0]", "0", "/address"),
        ("phoneNumbers[2]", "2", "/phoneNumbers"),
        ("phoneNumbers[-3].number", "-3", "/phoneNumbers"),
        ("phoneNumbers.length", "length", "/phoneNumbers"),
        ("lastName.x", "x", "/lastName"),
        ("null.x", "x", "/null"),
        ("address['city'].x", "x", "/address/city"),
        ("phoneNumbers['0']", "0", "/phoneNumbers"),
        ("a.d", "d", "/a"),
        # A quoted key is that key, not the beginning of a longer one.
        ("['a']['.b']", ".b", "/a"),
    ],
)
def test_misses(path: str, component: str, pointer: str) -> None:
    found = locate(DOCUMENT, path)
    assert found == Missing(component, path, pointer)
    assert found.message == f"Unable to locate {component} property in path '{path}' in JSON."


@pytest.mark.parametrize(
    ("path", "words", "position"),
    [
        ("$.a", "leave '$.' out", 0),
        ("a.*", "name one element", 2),
        ("a[*]", "slices, filters", 1),
        ("a[1:2]", "slices, filters", 1),
        ("a[?(@.b)]", "slices, filters", 1),
        ("a[", "slices, filters", 1),
        ("a..b", "a name is missing", 2),
        (".a", "a name is missing", 0),
        ("a.", "a name is missing", 1),
        ("a]b", "expected '.' or '['", 1),
        ("a[0]b", "expected '.' or '['", 4),
        ("a" * (MAX_PATH + 1), "longer than", 0),
    ],
)
def test_refuses(path: str, words: str, position: int) -> None:
    with pytest.raises(JsonPathError) as caught:
        locate(DOCUMENT, path)
    assert words in caught.value.message
    assert caught.value.position == position


def test_a_hostile_document_costs_little() -> None:
    """Each joint of the path is a key everywhere, and none of the ways leads to the end."""
    path = ".".join(["a"] * 60)
    node: Any = {}
    for _ in range(60):
        node = {"a": node, **{".".join(["a"] * n): node for n in range(2, 30)}}
    assert isinstance(locate(node, f"{path}.b"), Missing)


@given(st.text(alphabet="ab.[]0-1'\"\\*$ ", max_size=12))
def test_any_path_finds_misses_or_is_refused(path: str) -> None:
    document = read_json('{"a": [{"b": 1}, [0, {"a.b": 2}]], "b": {"a": null}}')
    try:
        found = locate(document, path)
    except JsonPathError as exc:
        found = exc.position
    assert isinstance(found, Found | Missing) or 0 <= found <= len(path)


def test_parsed_paths_are_kept() -> None:
    assert parse_path("a.b") is parse_path("a.b")


# ---- "standard JavaScript notation": a JavaScript engine is the judge

KEYS = ("a", "b", "$ref", "a-b", "1.0", "it's", 'q"q')
TREES = st.recursive(
    st.none() | st.booleans() | st.integers(-5, 5) | st.just("t"),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(KEYS), inner, max_size=3),
    max_leaves=8,
)
INDICES = st.integers(0, 3).map(lambda index: f"[{index}]")
NAMES = st.sampled_from(("a", "b", "$ref")).map(lambda name: f".{name}")
QUOTED = st.sampled_from(KEYS).map(lambda key: f"[{json.dumps(key)}]") | st.sampled_from(["['a-b']", "['it\\'s']"])
PATHS = st.lists(INDICES | NAMES | QUOTED, min_size=1, max_size=4).map("".join)


@pytest.fixture(scope="module")
def javascript() -> Callable[[str, str], str | None]:
    """A function of a document and an expression that begins with a dot or a bracket: its value as JSON, or None."""
    program = """(function (text, path) {
        try {
            let value = JSON.parse(text);
            value = (0, eval)("(function (document) { return document" + path + "; })")(value);
            return value === undefined ? null : JSON.stringify(value);
        } catch (error) {
            return null;
        }
    })"""
    return quickjs.Context().eval(program)


@given(document=TREES.filter(lambda tree: tree != "t"), path=PATHS)
def test_as_javascript(javascript: Callable[[str, str], str | None], document: Any, path: str) -> None:
    found = locate(document, path.removeprefix("."))
    told = javascript(json.dumps(document), path)
    if isinstance(found, Missing):
        # A text is an array of its letters to JavaScript, and to nobody who tests an API.
        assert told in {None, '"t"'}
        assert told is None or path.endswith("[0]")
    else:
        assert told is not None and json.loads(told) == found.value
