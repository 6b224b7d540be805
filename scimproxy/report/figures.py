"""A run in figures: how many exchanges came out how, how long they took, operation by operation, and when.

One rule: it counts and measures what is given, and judges nothing. Pure. Flow: details of a run -> figures -> report.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from math import log10
from statistics import median

from scimproxy.detail import status_class
from scimproxy.exchange import Exchange
from scimproxy.scim.message import Operation

__all__ = ["Figures", "OperationRow", "Stick", "figures"]

_WIDTH, _HEIGHT = 1200, 110
_MOST_STICKS = 1_000


@dataclass(frozen=True, slots=True)
class OperationRow:
    """One operation: how often, with which statuses, how long (milliseconds)."""

    name: str
    count: int
    statuses: tuple[tuple[str, int], ...]
    median_ms: float | None
    longest_ms: float | None


@dataclass(frozen=True, slots=True)
class Stick:
    """An exchange in the picture: where it begins, how high it stands (logarithmic), its class of colour."""

    key: str
    x: int
    y: int
    height: int
    outcome: str
    words: str


@dataclass(frozen=True, slots=True)
class Figures:
    """What a run comes to; durations in milliseconds, None where no exchange has one."""

    count: int
    answered: tuple[tuple[str, int], ...]
    median_ms: float | None
    slow_ms: float | None
    longest_ms: float | None
    took_ms: float
    operations: tuple[OperationRow, ...]
    sticks: tuple[Stick, ...]
    sticks_left: int
    highest_ms: float


def figures(exchanges: Sequence[tuple[Exchange, Operation]]) -> Figures:
    """Return the figures of a run."""
    durations = sorted(_durations(one for one, _ in exchanges))
    begun = min((one.started_at for one, _ in exchanges), default=0.0)
    ended = max((one.ended_at or one.started_at for one, _ in exchanges), default=0.0)
    shown = exchanges
    if len(exchanges) > _MOST_STICKS:  # the slowest tell most
        shown = sorted(exchanges, key=lambda pair: -(pair[0].timings.total or 0))[:_MOST_STICKS]
        shown = sorted(shown, key=lambda pair: pair[0].started_at)
    highest = max(durations[-1] if durations else 0.0, 1.0)
    return Figures(
        count=len(exchanges),
        answered=tuple(Counter(_class(one) for one, _ in exchanges).most_common()),
        median_ms=median(durations) if durations else None,
        slow_ms=durations[int(len(durations) * 0.95)] if durations else None,
        longest_ms=durations[-1] if durations else None,
        took_ms=(ended - begun) * 1000,
        operations=tuple(_operations(exchanges)),
        sticks=tuple(_stick(one, operation, begun, max(ended - begun, 1e-6), highest) for one, operation in shown),
        sticks_left=len(exchanges) - len(shown),
        highest_ms=highest,
    )


def _durations(exchanges: Iterable[Exchange]) -> list[float]:
    return [one.timings.total for one in exchanges if one.timings.total is not None]


def _class(exchange: Exchange) -> str:
    if exchange.response is None:
        return "no answer"
    return f"{exchange.response.status_code // 100}xx"


def _operations(exchanges: Sequence[tuple[Exchange, Operation]]) -> Iterable[OperationRow]:
    groups: defaultdict[str, list[Exchange]] = defaultdict(list)
    for one, operation in exchanges:
        known = operation.is_scim and operation.kind != "other"
        groups[f"{operation.kind} {operation.endpoint}" if known else f"other {one.request.method}"].append(one)
    for name, members in sorted(groups.items(), key=lambda pair: -len(pair[1])):
        statuses = Counter("none" if it.response is None else str(it.response.status_code) for it in members)
        durations = _durations(members)
        yield OperationRow(
            name,
            len(members),
            tuple(sorted(statuses.items())),
            median(durations) if durations else None,
            max(durations, default=None),
        )


def _stick(one: Exchange, operation: Operation, begun: float, whole: float, highest: float) -> Stick:
    """Return an exchange's place in the picture; a tenth of a millisecond is the lowest that is told apart."""
    ms = max(one.timings.total or 0.1, 0.1)
    height = max(4, round(_HEIGHT * (log10(ms) + 1) / (log10(highest) + 1)))
    x = round((one.started_at - begun) / whole * (_WIDTH - 4))
    return Stick(f"x-{one.id}", x, _HEIGHT - height, height, status_class(one), operation.summary)
