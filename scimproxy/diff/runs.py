"""What differs between two runs: their pairs, what only one of them has, timings; and noise, learned from others.

One rule: what differs between two runs of the same build is noise, at that place and of that kind, and nothing else
is: noise is learned by operation, place and change, not by value. Pure.
Flow: lists of `Seen` -> match.py -> differences.py for each pair -> RunDiff -> terminal, JSON, Markdown, HTML.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Hashable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Literal

from scimproxy.bind import Bindings
from scimproxy.bodies import Seen
from scimproxy.diff import rank
from scimproxy.diff.differences import Agreed, Difference, Judge, differences
from scimproxy.diff.judging import VERDICTS, Change, Verdict
from scimproxy.diff.masks import Masks
from scimproxy.diff.match import pair_runs

__all__ = ["VERDICTS", "PairDiff", "RunDiff", "TimingChange", "compare_pair", "compare_runs"]

LEARNED = "it differs between runs of the same build too"


@dataclass(frozen=True, slots=True)
class PairDiff:
    """Two partners that differ; `a` or `b` is None where only the other run has it."""

    a: Seen | None
    b: Seen | None
    differences: tuple[Difference, ...]

    @property
    def seen(self) -> Seen:
        """One of the two, to say what was asked."""
        found = self.a or self.b
        assert found is not None
        return found

    @property
    def verdict(self) -> Verdict:
        """The worst of the differences."""
        return min((one.verdict for one in self.differences), key=VERDICTS.index)


@dataclass(frozen=True, slots=True)
class TimingChange:
    """An operation that takes longer, or shorter, than before."""

    operation: str
    slower: rank.Slower
    verdict: Verdict = "changed"
    reason: str = "by Wilcoxon's signed-rank test, on pairs"


@dataclass(frozen=True, slots=True)
class RunDiff:
    """What differs. `compared` counts the pairs; `pairs` are those that differ, only-in ones last."""

    compared: int
    pairs: tuple[PairDiff, ...]
    timings: tuple[TimingChange, ...]
    bindings: Bindings

    @property
    def counts(self) -> dict[Verdict, int]:
        """How many differences have each verdict."""
        found = Counter(one.verdict for pair in self.pairs for one in pair.differences)
        found.update(one.verdict for one in self.timings)
        return {verdict: found[verdict] for verdict in VERDICTS}

    @property
    def breaking(self) -> bool:
        """Whether anything stops clients."""
        return self.counts["breaking"] > 0

    @property
    def empty(self) -> bool:
        """Whether nothing differs, noise included."""
        return not self.pairs and not self.timings


def compare_pair(a: Seen, b: Seen, bindings: Bindings | None = None, masks: Masks | None = None) -> RunDiff:
    """Return what differs between two exchanges."""
    bindings = Bindings() if bindings is None else bindings
    found = differences(a, b, bindings, again=_again(masks, a))
    return RunDiff(1, (PairDiff(a, b, tuple(found)),) if found else (), (), bindings)


def compare_runs(
    a: Sequence[Seen],
    b: Sequence[Seen],
    *,
    noise: Sequence[Sequence[Seen]] = (),
    bindings: Bindings | None = None,
    masks: Masks | None = None,
    timing: bool = True,
) -> RunDiff:
    """Return what differs between two runs.

    `noise` are more runs of the build of run A, `bindings` those known, and what `masks` covers is noise too.
    """
    learned: set[Hashable] = set()
    for other in noise:
        learned |= set(_marks(_compare(a, other, Bindings(), masks, timing=timing)))
    found = _compare(a, b, Bindings() if bindings is None else bindings, masks, timing=timing)
    return _without(found, learned) if learned else found


def _again(masks: Masks | None, a: Seen) -> Judge | None:
    return None if masks is None else lambda one: masks.applied(one, a)


def _compare(
    a: Sequence[Seen], b: Sequence[Seen], bindings: Bindings, masks: Masks | None, *, timing: bool
) -> RunDiff:
    pairing = pair_runs(a, b, bindings)
    pairs: list[PairDiff] = []
    agreed: Agreed = set()
    for left, right in pairing.both:
        found = differences(a[left], b[right], bindings, agreed, _again(masks, a[left]))
        if found:
            pairs.append(PairDiff(a[left], b[right], tuple(found)))
    pairs += [PairDiff(a[at], None, (_only("missing", "A"),)) for at in pairing.only_a]
    pairs += [PairDiff(None, b[at], (_only("added", "B"),)) for at in pairing.only_b]
    timings = tuple(_timings([(a[x], b[y]) for x, y in pairing.both])) if timing else ()
    return RunDiff(len(pairing.both), tuple(pairs), timings, bindings)


def _only(change: Change, run: str) -> Difference:
    op: Literal["remove", "add"] = "remove" if change == "missing" else "add"
    return Difference("", change, None, None, "changed", f"only run {run} has this exchange", ("only",), op)


def _timings(pairs: Sequence[tuple[Seen, Seen]]) -> Iterator[TimingChange]:
    groups: defaultdict[str, list[tuple[float, float]]] = defaultdict(list)
    for a, b in pairs:
        one, two = a.exchange.timings.total, b.exchange.timings.total
        if one is not None and two is not None:
            groups[_group(a)].append((one, two))
            groups["all operations"].append((one, two))
    if len(groups) == 2:  # one operation, and all of them: the same
        del groups["all operations"]
    for name, durations in sorted(groups.items()):
        found = rank.compare(durations)
        if found is not None:
            yield TimingChange(name, found)


def _group(it: Seen) -> str:
    return f"{it.operation.kind} {it.operation.endpoint or it.exchange.request.method}"


# --- noise


def _marks(found: RunDiff) -> Iterator[Hashable]:
    for pair in found.pairs:
        for one in pair.differences:
            yield _mark(pair, one)
    for timing in found.timings:
        yield timing.operation


def _mark(pair: PairDiff, one: Difference) -> Hashable:
    return (_group(pair.seen), one.names, one.change)


def _without(found: RunDiff, learned: set[Hashable]) -> RunDiff:
    """Return the differences with what was learned to be noise judged so."""
    pairs = tuple(
        replace(
            pair,
            differences=tuple(
                replace(one, verdict="noise", reason=LEARNED) if _mark(pair, one) in learned else one
                for one in pair.differences
            ),
        )
        for pair in found.pairs
    )
    timings = tuple(
        replace(one, verdict="noise", reason=LEARNED) if one.operation in learned else one for one in found.timings
    )
    return replace(found, pairs=pairs, timings=timings)
