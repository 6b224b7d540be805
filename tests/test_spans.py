from __future__ import annotations

import json
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from scimproxy.spans import spans


def leaves(value: Any) -> int:
    """How many values hold no others; an empty object or list is none of them."""
    if isinstance(value, dict | list):
        return sum(map(leaves, value.values() if isinstance(value, dict) else value))
    return 1


@given(
    st.recursive(
        st.none()
        | st.booleans()
        | st.integers()
        | st.floats(allow_nan=False, allow_infinity=False)
        | st.text(max_size=5),
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
        max_leaves=12,
    ),
    st.sampled_from([None, 1, "\t"]),
    st.booleans(),
)
def test_spans_are_where_values_are(value: Any, indent: Any, plain: bool) -> None:
    text = json.dumps(value, indent=indent, ensure_ascii=plain)
    seen = 0
    for span in spans(text):
        found = value
        for part in span.pointer:
            found = found[part]
        assert json.loads(text[span.start : span.end]) == found
        assert not span.is_string or span.value == found
        seen += 1
    assert seen == leaves(value)
