"""The package's verdicts beside those of `suite_oracle`, on answers that nobody thought of."""

from __future__ import annotations

import json
from typing import Any

import suite_oracle
from hypothesis import given, settings
from hypothesis import strategies as st

from scimproxy.suite.evaluate import evaluate
from scimproxy.suite.model import Assertion
from scimproxy.suite.response import ResponseView
from scimproxy.suite.templates import Scope

NAMES = st.sampled_from(["a", "b", "schemas"])
TEXTS = st.sampled_from(
    ["", "a", "A", "true", "null", "0", "1", "-1", "1.0", "01", " 1", "1e2", "[]", "{}", '"a"', "é", "x,y"]
)
LEAVES = st.none() | st.booleans() | st.integers(-3, 500) | st.sampled_from([0.0, 1.0, 1.5, -0.5]) | TEXTS
VALUES = st.recursive(
    LEAVES, lambda deeper: st.lists(deeper, max_size=3) | st.dictionaries(NAMES, deeper, max_size=3), max_leaves=8
)
PATHS = st.lists(NAMES | st.integers(-3, 3).map(lambda at: f"[{at}]"), min_size=1, max_size=4).map(
    lambda parts: "".join(part if at == 0 or part.startswith("[") else "." + part for at, part in enumerate(parts))
)
COMPARISONS = ("equal", "not_empty", "contains", "has_value", "is_a_number", "equal_number", "is_less_than")


@settings(max_examples=300)
@given(
    body=st.fixed_dictionaries({"a": VALUES}) | st.dictionaries(NAMES, VALUES, max_size=3) | VALUES,
    path=st.sampled_from(["a", "a[0]", "a.b", ""]) | PATHS,
    comparison=st.sampled_from(COMPARISONS),
    value=TEXTS | st.integers(-1, 400) | st.just("{{v}}"),
)
def test_the_second_opinion_is_the_same(body: Any, path: str, comparison: str, value: Any) -> None:
    raw = json.dumps(body, ensure_ascii=False).encode()
    row = {"source": "response_json", "property": path, "comparison": comparison, "value": value}
    told = evaluate(Assertion(**row), ResponseView(status_code=200, body=raw), Scope(run={"v": 1}))
    holds = suite_oracle.holds(row, suite_oracle.Answer(200, raw, 1), {"v": 1})
    assert told.passed is holds, (told.line, holds)
