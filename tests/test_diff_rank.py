from __future__ import annotations

import pytest

from scimproxy.diff.rank import FEWEST, compare, signed_rank


def series(count: int, factor: float) -> list[tuple[float, float]]:
    return [(10.0 + at % 5, (10.0 + at % 5) * factor) for at in range(count)]


def test_equal_series() -> None:
    assert signed_rank([(1.0, 1.0)] * 20) == 1.0
    assert compare(series(100, 1.0)) is None


def test_against_the_exact_distribution() -> None:
    """Darwin's maize, as in Wilcoxon's paper: all 2^15 signs counted out, and the approximation beside them."""
    changes = [49, -67, 8, 16, 6, 23, 28, 41, 14, 29, 56, 24, 75, 60, -48]
    ranks = [sorted(map(abs, changes)).index(abs(one)) + 1 for one in changes]
    seen = abs(sum(rank for rank, one in zip(ranks, changes, strict=True) if one > 0) - 60)
    counts = {0: 1}
    for rank in ranks:
        shifted = {total + rank: ways for total, ways in counts.items()}
        counts = {at: counts.get(at, 0) + shifted.get(at, 0) for at in counts.keys() | shifted.keys()}
    exact = sum(ways for total, ways in counts.items() if abs(total - 60) >= seen) / 2**15
    assert exact == pytest.approx(0.0413, abs=0.0001)
    assert signed_rank([(0.0, float(one)) for one in changes]) == pytest.approx(exact, abs=0.005)


def test_symmetric() -> None:
    pairs = series(30, 1.7)
    assert signed_rank(pairs) == signed_rank([(b, a) for a, b in pairs])


def test_slower_and_faster_are_found() -> None:
    slower = compare(series(30, 3.0))
    assert slower is not None
    assert (slower.a_ms, slower.b_ms, slower.pairs) == (12.0, 36.0, 30)
    assert slower.p < 0.001
    assert slower.ratio == 3.0
    faster = compare([(b, a) for a, b in series(30, 3.0)])
    assert faster is not None
    assert faster.ratio == pytest.approx(1 / 3)


@pytest.mark.parametrize(
    "pairs",
    [
        series(FEWEST - 1, 3.0),
        series(100, 1.4),
        [(1.0, 3.0)] * 100,
        [(10.0, 30.0)] * 8 + [(30.0, 10.0)] * 7,
        [(10.0, 10.0)] * 99 + [(10.0, 9999.0)],
    ],
    ids=["too few", "not by 1.5 times", "not by 5 ms", "by chance", "one outlier"],
)
def test_what_is_no_change(pairs: list[tuple[float, float]]) -> None:
    assert compare(pairs) is None
