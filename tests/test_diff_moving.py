from __future__ import annotations

import pytest

from scimproxy.diff.moving import dates, moves, undated


def test_header_fields() -> None:
    assert [name for name in ("date", "x-forwarded-for", "x-b3-traceid", "content-type", "x-build") if moves(name)] == [
        "date", "x-forwarded-for", "x-b3-traceid",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("a", "b", "same"),
    [
        ("2026-01-01T00:00:00Z", "2027-02-02T01:02:03.456+00:00", True),
        ("2026-01-01T00:00:00Z", "2026-01-01 00:00:00", False),
        ("2026-01-01T00:00:00Z", "2026-01-01T00:00Z", False),
        ("2026-01-01T00:00:00Z", "2026-01-01T00:00:00", False),
        ("2026-01-01T00:00:00Z", "2026-never", None),
        ("2026-01-01T00:00:00Z", "", None),
        ("never", "2026-01-01T00:00:00Z", None),
    ],
)
def test_dates(a: str, b: str, same: bool | None) -> None:
    assert dates(a, b) is same


def test_dates_in_texts() -> None:
    assert undated("at 2026-01-01T00:00:00Z, Tue, 24 Nov 2026 10:00:00 GMT; a-b") == "at DATE, DATE; a-b"
    assert undated("plain") == "plain"
