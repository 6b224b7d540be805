from __future__ import annotations

import copy
import json
from dataclasses import replace
from typing import Any

import factories
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scimproxy.bind import Bindings
from scimproxy.bodies import NOTHING, Body, Seen, seen
from scimproxy.diff.differences import parameters
from scimproxy.diff.rank import Slower
from scimproxy.diff.report import Group, as_json, groups, markdown, operations, sentence, shown, timing_line, title
from scimproxy.diff.runs import RunDiff, TimingChange, compare_pair, compare_runs
from scimproxy.exchange import Failure, Headers

HOSTILE = "`x` | <b>\u202e\x1b[2J"
A = seen(
    factories.exchange("GET", "/scim/v2/Users/1", answer={"id": "1", "a": HOSTILE, "c": 1}, id=4), ("3", "Read | it")
)
B = seen(
    factories.exchange("GET", "/scim/v2/Users/7", answer={"id": "7", "a": "y", "d": 1, "e": None}, id=5), ("3", "")
)
FOUND = compare_pair(A, B)
NAMES = ("run 1 (a)", "run 2 (<b>)")
SLOW = RunDiff(1, (), (TimingChange("list /Users", Slower(10.0, 30.0, 20, 0.0001)),), Bindings())


def test_json() -> None:
    found = json.loads(json.dumps(as_json(FOUND, NAMES)))
    assert (found["a"], found["compared"]) == (NAMES[0], 1)
    assert found["counts"] == {"breaking": 1, "changed": 1, "additive": 1, "noise": 1}
    (pair,) = found["pairs"]
    assert pair["a"] == {"exchange": 4, "step": "3", "status": 200}
    assert [one["op"] for one in pair["operations"]] == ["replace", "remove", "add", "add"]
    assert found["bindings"] == [{"role": "User", "a": "1", "b": "7"}]
    (timing,) = as_json(SLOW, NAMES)["timings"]
    assert (timing["a_ms"], timing["b_ms"], timing["pairs"], timing["verdict"]) == (10.0, 30.0, 20, "changed")
    only = as_json(compare_runs([seen(factories.exchange(response=None))], []), NAMES)["pairs"][0]
    assert (only["b"], only["a"]) == (None, {"exchange": None, "step": None, "status": None})


def document(it: Seen) -> dict[str, Any]:
    """Return what the operations of a pair apply to."""
    request, response, failure = it.exchange.request, it.exchange.response, it.exchange.failure

    def message(headers: Headers, body: Body) -> dict[str, Any]:
        fields = {name: ", ".join(values) for name, values in headers.by_name.items()}
        return {"headers": fields} | ({} if body is NOTHING else {"body": body.value})

    found: dict[str, Any] = {
        "request": {"method": request.method, "path": request.path, "query": parameters(it)}
        | message(request.headers, it.request)
    }
    if response is not None:
        found["response"] = {"status": response.status_code, "http_version": response.http_version}
        found["response"] |= message(response.headers, it.response)
    return found | ({} if failure is None else {"failure": failure.kind})


def patched(whole: Any, operations: list[dict[str, Any]]) -> Any:
    """Apply operations as RFC 6902 says, in earnest: what is replaced or removed must be there."""
    root = {"": copy.deepcopy(whole)}

    def at(pointer: str) -> tuple[Any, Any]:
        node: Any = root
        *before, last = [part.replace("~1", "/").replace("~0", "~") for part in pointer.split("/")]
        for part in before:
            node = node[int(part)] if isinstance(node, list) else node[part]
        return node, int(last) if isinstance(node, list) else last

    for one in operations:
        node, key = at(one["path"])
        if one["op"] == "add" and isinstance(node, list):
            assert 0 <= key <= len(node)
            node.insert(key, one["value"])
        elif one["op"] == "add":
            node[key] = one["value"]
        elif one["op"] == "replace":
            assert node[key] is not NOTHING, "it is there"
            node[key] = one["value"]
        elif one["op"] == "remove":
            assert node.pop(key) == one["was"]
        else:
            assert one["op"] == "move"
            source, name = at(one["from"])
            node[key] = source.pop(name)
    return root[""]


def answered(body: object, **headers: str) -> Seen:
    made = factories.exchange("GET", "/scim/v2/Users/1")
    return seen(replace(made, response=factories.response(200, body, headers=headers)))


MAIL = [{"value": one, "type": one} for one in ("a@x", "b@x", "c@x", "d@x")]


@pytest.mark.parametrize(
    ("a", "b"),
    [
        ({"a": 1, "b/~": 2}, {"a": 2, "c": None, "d": 4}),
        ({"title": "x", "in": {"a": 1}}, {"TITLE": "y", "in": {"A": 2}}),
        ({"e": MAIL}, {"e": MAIL[::-1]}),
        ({"e": MAIL}, {"e": [MAIL[3], {"value": "new"}, {**MAIL[0], "type": "z"}]}),
        ({"e": MAIL[:2]}, {"e": [{"value": "new"}, *MAIL[:2], {"value": "newer"}]}),
        ({"e": MAIL}, {"e": MAIL[1:3]}),
        ({"a": None, "b": [], "c": {}, "d": None}, {"b": None, "c": [], "d": []}),
        ({"a": [1]}, {}),
        ({"a": 1}, [1]),
        ({"a": "x" * 5000}, {"a": "y" * 5000}),
        (b"", {"a": 1}),
        ({"a": 1}, b""),
        (b"<p>", b"<b>"),
    ],
)
def test_operations_applied_to_a_give_b(a: object, b: object) -> None:
    pair = (answered(a, **{"X-A": "1", "X-B": "1"}), answered(b, **{"X-B": "2", "X-C": "1"}))
    for one, two in (pair, pair[::-1]):
        made = patched(document(one), as_json(compare_pair(one, two), NAMES)["pairs"][0]["operations"])
        for of in (made, wanted := document(two)):
            of["response"]["headers"].pop("content-length", None)
        assert made == wanted


def test_operations_on_the_rest_of_an_exchange() -> None:
    one = factories.exchange("PUT", "/scim/v2/Users/1?a=1&b=1", body={"a": 1}, answer={"a": 1})
    two = factories.exchange("POST", "/scim/v2/Users?b=2&c=3", status_code=500, body=b"no")
    for made in ([one, two], [one, replace(one, failure=Failure("closed", "gone"))]):
        for a, b in (made, made[::-1]):
            found = compare_pair(seen(a), seen(b))
            result, wanted = (
                patched(document(seen(a)), as_json(found, NAMES)["pairs"][0]["operations"]),
                document(seen(b)),
            )
            for of in (result, wanted):
                of["request"]["headers"].pop("content-length", None)
                of["response"].pop("headers")  # one answer is an error
            assert result == wanted


NAMES_OF_ALL = st.sampled_from(["a", "A", "b", "title", "emails", "type", "tags", "x/~y"])
TREES = st.recursive(
    st.none() | st.booleans() | st.integers(-3, 3) | st.sampled_from(["x", "y", "z"]),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(NAMES_OF_ALL, inner, max_size=4),
    max_leaves=20,
)


@settings(max_examples=100, deadline=None)
@given(st.dictionaries(NAMES_OF_ALL, TREES), st.dictionaries(NAMES_OF_ALL, TREES))
def test_operations_applied_to_anything(a: Any, b: Any) -> None:
    """What a patch makes of A is B to the last letter, as long as nothing is bound."""
    one, two = answered(a), answered(b)
    found = compare_pair(one, two)
    made = patched(document(one), operations(found.pairs[0].differences) if found.pairs else [])
    assert json.dumps(made["response"]["body"], sort_keys=True) == json.dumps(b, sort_keys=True)


def test_what_has_no_place_is_a_remark() -> None:
    only = as_json(compare_runs([A], []), NAMES)["pairs"][0]
    assert (only["operations"], only["remarks"]) == ([], ["only run A has this exchange"])
    many = as_json(compare_pair(answered({}), answered({f"a{at}": at for at in range(300)})), NAMES)["pairs"][0]
    assert len(many["operations"]) == 199
    assert many["remarks"] == ["more than 199 differences; 101 more are left out"]


def test_what_pairs_have_in_common() -> None:
    a = [answered({"a": 1, "b": 1}), answered({"a": 1, "e": [{"v": 1}, {"v": 2}]}), answered({})]
    b = [answered({"a": 2}), answered({"a": 3, "e": [{"v": 3}, {"v": 4}]})]
    assert groups(compare_runs(a, b).pairs) == [
        Group("breaking", "response/body/b", "clients that read it find nothing", (0,)),
        Group("changed", "response/body/a", "the value is another one", (0, 1)),
        Group("changed", "response/body/e/v", "the value is another one", (1,)),
    ]


def test_sentences() -> None:
    assert sentence(FOUND) == "1 pair compared: 1 breaking, 1 changed, 1 additive, 1 noise"
    assert sentence(compare_runs([A, A], [A, A])) == "2 pairs compared: no difference"
    assert timing_line(SLOW.timings[0]) == "list /Users: 10.0 ms -> 30.0 ms (3.0 times, 20 pairs, p = 0.0001)"
    assert title(FOUND.pairs[0]) == "3 Read | it"
    nameless = compare_pair(seen(factories.exchange(answer=b"a")), seen(factories.exchange(answer=b"b"))).pairs[0]
    assert title(nameless) == "List Users"
    assert shown("x" * 500).endswith("x…")


def test_markdown() -> None:
    text = markdown(FOUND, NAMES)
    assert text.startswith("## run 1 (a) → run 2 (\\<b\\>)\n\n1 pair compared")
    assert "### 3 Read \\| it" in text
    row = next(line for line in text.splitlines() if "/response/body/a" in line)
    assert row.count(" | ") == 4, "no value makes a cell of its own"
    assert "``" in row and "\u202e" not in text and "\x1b" not in text
    assert "| additive | `/response/body/d` |  | `1` |" in text
    assert "| breaking | `/response/body/c` | `1` |  |" in text
    assert "noise |" not in text
    assert "| noise | `/response/body/e` |" in markdown(FOUND, NAMES, noise=True)
    assert "- changed: list /Users: 10.0 ms" in markdown(SLOW, NAMES)
    only = markdown(compare_runs([A], []), NAMES)
    assert "| changed |  |  |  | only run A has this exchange |" in only
    quiet = compare_pair(seen(factories.exchange(answer={})), seen(factories.exchange(answer={"a": None})))
    assert "###" not in markdown(quiet, NAMES)
