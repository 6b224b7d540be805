"""Amounts in words."""

from __future__ import annotations

import pytest
from factories import T0

from scimproxy.amounts import duration, iso, plural, size, utc


@pytest.mark.parametrize(
    ("ms", "words"),
    [(None, "-"), (0.04, "0.0 ms"), (9.94, "9.9 ms"), (12.4, "12 ms"), (3_210, "3.2 s"), (150_000, "2 min")],
)
def test_durations(ms: float | None, words: str) -> None:
    assert duration(ms) == words


@pytest.mark.parametrize(
    ("count", "words"),
    [
        (None, "-"),
        (712, "712 B"),
        (4_200, "4.1 KiB"),
        (10 << 20, "10 MiB"),
        (5 << 40, "5.0 TiB"),
        (5 << 52, "20480 TiB"),
        ((1 << 20) - 1, "1.0 MiB"),
        (0, "0 B"),
    ],
)
def test_sizes(count: int | None, words: str) -> None:
    assert size(count) == words


def test_counts() -> None:
    assert [plural(n, "exchange") for n in (0, 1, 1_204)] == ["0 exchanges", "1 exchange", "1,204 exchanges"]


def test_moments() -> None:
    assert utc(T0 + 0.0125) == "2026-09-21 14:13:20.012 UTC"
    assert iso(T0) == "2026-09-21T14:13:20.000Z"
    assert (utc(None), iso(None)) == ("-", "")
    assert (utc(1e300), iso(float("nan"))) == ("-", "")
