from __future__ import annotations

import pytest

from scimproxy.bounded_json import parsed
from scimproxy.errors import FormatError


def test_an_object_is_read() -> None:
    assert parsed(b'\xef\xbb\xbf{"a": [1, {"b": []}]}', what="X") == {"a": [1, {"b": []}]}
    assert parsed('{"a": 1}', what="X") == {"a": 1}


@pytest.mark.parametrize(
    ("document", "said"),
    [
        (b"{" * 20, "X of 20 bytes, more than 10"),
        (b"{\xff}", "byte 1 is not UTF-8: this is no X"),
        (b"{", "line 1, column 2: .*; this is no whole X"),
        (b'{"a":NaN}', "NaN is not a JSON number; this is no X"),
        (b"[1]", "not an object: this is no X"),
    ],
)
def test_what_is_none_is_refused(document: bytes, said: str) -> None:
    with pytest.raises(FormatError, match=said):
        parsed(document, limit=10, what="X")


@pytest.mark.parametrize(
    ("document", "said"),
    [(b"[" * 200_000, "nested too deep"), (b'{"a":' * 300 + b"1" + b"}" * 300, "deeper than 200")],
)
def test_depth_is_bounded(document: bytes, said: str) -> None:
    with pytest.raises(FormatError, match=said):
        parsed(document, what="X")
