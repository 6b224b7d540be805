"""Whether one of two series of durations is slower, by ranks: Wilcoxon's signed-rank test on pairs.

One rule: no verdict from few samples. Ranks know no outliers, so one slow answer proves nothing.
Source: Wilcoxon, "Individual comparisons by ranking methods" (1945), with the normal approximation and ties. Pure.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby

__all__ = ["FEWEST", "Slower", "compare", "signed_rank"]

FEWEST = 12
"""Pairs that are needed; below, the normal approximation says nothing at our level."""
_LEVEL = 0.001
_RATIO = 1.5
_LEAST_MS = 5.0


@dataclass(frozen=True, slots=True)
class Slower:
    """A change of durations that is there: medians in milliseconds, pairs, and how likely chance is."""

    a_ms: float
    b_ms: float
    pairs: int
    p: float

    @property
    def ratio(self) -> float:
        """How many times as long run B takes."""
        return self.b_ms / max(self.a_ms, 0.001)


def compare(pairs: Sequence[tuple[float, float]]) -> Slower | None:
    """Return how durations (ms) changed; None where they did not, or not by 1.5 times and 5 ms, or by chance."""
    if len(pairs) < FEWEST:
        return None
    a, b = statistics.median(x for x, _ in pairs), statistics.median(y for _, y in pairs)
    if max(a, b) < _RATIO * min(a, b) or abs(a - b) < _LEAST_MS:
        return None
    p = signed_rank(pairs)
    return Slower(a, b, len(pairs), p) if p < _LEVEL else None


def signed_rank(pairs: Sequence[tuple[float, float]]) -> float:
    """Return the two-sided probability that pairs differ so much by chance; 1.0 where all are equal."""
    changes = sorted((y - x for x, y in pairs if x != y), key=abs)
    count = len(changes)
    if not count:
        return 1.0
    positive, ties, rank = 0.0, 0.0, 1
    for _, group in groupby(changes, key=abs):
        same = list(group)
        middle = rank + (len(same) - 1) / 2
        positive += middle * sum(one > 0 for one in same)
        ties += len(same) ** 3 - len(same)
        rank += len(same)
    mean = count * (count + 1) / 4
    variance = count * (count + 1) * (2 * count + 1) / 24 - ties / 48
    return math.erfc(max(0.0, abs(positive - mean) - 0.5) / math.sqrt(2 * variance))
