"""How a comparison looks on a terminal: A and B side by side where there is room, else one under the other.

One rule: what is told never depends on the width, only where it stands; recorded text passes through `safe`.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import click

from scimproxy.cli.terminal import fit, safe, terminal_width, width_of

if TYPE_CHECKING:
    from scimproxy.diff.differences import Difference
    from scimproxy.diff.runs import PairDiff, RunDiff

__all__ = ["WIDE", "diff_lines"]

WIDE = 160
"""Columns from which A and B stand side by side."""

_COLOURS = {"breaking": "red", "changed": "yellow", "additive": "green", "noise": "bright_black"}
_BLOCK_LINES = 12
_MOST_KINDS = 12


def diff_lines(found: RunDiff, names: tuple[str, str], *, noise: bool) -> Iterator[str]:
    """Give the lines; noise is counted in any case, and told when asked for."""
    from scimproxy.diff.report import sentence, timing_line

    width = terminal_width()
    yield f"A: {safe(names[0])}"
    yield f"B: {safe(names[1])}"
    for pair in found.pairs:
        told = [one for one in pair.differences if noise or one.verdict != "noise"]
        if told:
            yield ""
            yield click.style(_heading(pair, width), bold=True)
            for one in told:
                if not one.pointer:
                    yield f"  {_verdict(one.verdict)} {one.reason}"
                    continue
                yield from _side_by_side(one, width) if width >= WIDE else _unified(one, width)
    timings = [one for one in found.timings if noise or one.verdict != "noise"]
    if timings:
        yield ""
        yield click.style("Timing", bold=True)
        yield from (f"  {_verdict(one.verdict)} {safe(timing_line(one))}" for one in timings)
    yield from _in_short(found, width, noise=noise)
    yield ""
    yield sentence(found)


def _in_short(found: RunDiff, width: int, *, noise: bool) -> Iterator[str]:
    """Say at the end, where it is still seen, what many pairs have in common."""
    from scimproxy.diff.report import FEW, groups

    kinds = [one for one in groups(found.pairs) if noise or one.verdict != "noise"]
    if len(found.pairs) < FEW or not kinds:
        return
    yield ""
    yield click.style("In short", bold=True)
    for one in kinds[:_MOST_KINDS]:
        times = f"{len(one.pairs):,} x"
        place, reason = safe(one.place), one.reason
        said = f"{times:>8} {place}: {reason}"
        yield f"  {_verdict(one.verdict)}{fit(said, width - 10).rstrip()}"
    if len(kinds) > _MOST_KINDS:
        yield f"  {len(kinds) - _MOST_KINDS:,} more"


def _heading(pair: PairDiff, width: int) -> str:
    from scimproxy.diff.report import title

    numbers = [None if it is None else it.exchange.id for it in (pair.a, pair.b)]
    said = " / ".join("-" if one is None else str(one) for one in numbers)
    return fit(f"{said}  {safe(title(pair))}", width).rstrip()


def _verdict(verdict: str) -> str:
    return click.style(f"{verdict:<8}", fg=_COLOURS[verdict])


def _unified(one: Difference, width: int) -> Iterator[str]:
    a, b = _sides(one)
    yield f"  {_verdict(one.verdict)} {safe(one.pointer)}"
    for sign, side, colour in (("-", a, "red"), ("+", b, "green")):
        for line in side:
            yield click.style(fit(f"    {sign} {line}", width).rstrip(), fg=colour)
    yield click.wrap_text(one.reason, width, "    ", "    ")


def _side_by_side(one: Difference, width: int) -> Iterator[str]:
    a, b = _sides(one)
    room = (width - 7) // 2
    yield f"  {_verdict(one.verdict)} {safe(one.pointer)}: {one.reason}"
    for at in range(max(len(a), len(b))):
        left = fit(a[at] if at < len(a) else "", room)
        right = b[at] if at < len(b) else ""
        right = fit(right, room) if width_of(right) > room else right
        yield f"    {click.style(left, fg='red')} | {click.style(right, fg='green')}"


def _sides(one: Difference) -> tuple[list[str], list[str]]:
    from scimproxy.diff.report import sides

    a, b = (_value(value) if there else [] for there, value in sides(one))
    return a, b


def _value(value: Any) -> list[str]:  # noqa: ANN401 - JSON
    """Return a value in lines: JSON, indented where it is an object or a list; long ones are cut."""
    import json

    lines = json.dumps(value, indent=2 if isinstance(value, dict | list) else None, ensure_ascii=False).split("\n")
    cut = [f"... {len(lines) - _BLOCK_LINES} more lines"] if len(lines) > _BLOCK_LINES else []
    return [safe(line) for line in lines[:_BLOCK_LINES]] + cut
