"""A comparison as one HTML file that stands alone: what differs in short, then pair by pair, A and B side by side.

One rule: no script, nothing loaded, and nothing in it is markup but the template's: every value is escaped.
Flow: RunDiff -> html (templates/diff.html in the look of pages.py) -> `scimproxy diff --html FILE`.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from scimproxy.diff_report import sentence, shown, sides, timing_line, title
from scimproxy.judging import VERDICTS
from scimproxy.pages import file_page
from scimproxy.run_diff import PairDiff, RunDiff

__all__ = ["MOST_PAIRS", "html"]

MOST_PAIRS = 2_000
"""Pairs of exchanges on the page, the worst first where there are more; a browser shows no more with ease."""
_MOST_OPEN = 20
_MOST_GROUPS = 15
_FROM_PAIRS = 4
"""Pairs from which on it is told what they have in common."""
_LINES = 40
_COLUMNS = 400


def html(found: RunDiff, names: tuple[str, str]) -> str:
    """Return the page."""
    pairs = found.pairs
    if len(pairs) > MOST_PAIRS:
        pairs = tuple(sorted(pairs, key=lambda pair: VERDICTS.index(pair.verdict)))[:MOST_PAIRS]
    breaking = [at for at, pair in enumerate(pairs) if pair.verdict == "breaking"]
    opened = set(breaking[:_MOST_OPEN]) or ({0} if len(pairs) == 1 else set())
    groups = _groups(pairs) if len(pairs) >= _FROM_PAIRS else []
    return file_page(
        "diff.html",
        same=found.empty,
        left_out=f"{len(found.pairs) - len(pairs):,}" if len(found.pairs) > len(pairs) else "",
        names=names,
        sentence=sentence(found),
        compared=f"{found.compared:,}",
        outcome="fail" if found.breaking else "pass",
        counts=[(verdict, f"{found.counts[verdict]:,}") for verdict in VERDICTS],
        groups=groups[:_MOST_GROUPS],
        more_groups=max(0, len(groups) - _MOST_GROUPS),
        pairs=[_pair(at, pair, opened=at in opened) for at, pair in enumerate(pairs)],
        timings=[(one.verdict, timing_line(one), one.reason) for one in found.timings],
        bindings=[(row.role, shown(row.a), shown(row.b)) for row in found.bindings.rows()[:1000]],
    )


def _pair(number: int, pair: PairDiff, *, opened: bool) -> dict[str, Any]:
    rows = []
    for one in pair.differences:
        (in_a, a), (in_b, b) = sides(one)
        rows.append({"one": one, "in_a": in_a, "in_b": in_b, "a": _text(a), "b": _text(b)})
    return {
        "number": number,
        "open": opened,
        "title": title(pair),
        "verdict": pair.verdict,
        "exchanges": [None if it is None else it.exchange.id for it in (pair.a, pair.b)],
        "differences": rows,
    }


def _text(value: Any) -> str:  # noqa: ANN401 - JSON
    """Return a value as JSON in lines, both cut."""
    indent = 2 if isinstance(value, dict | list) else None
    lines = json.dumps(value, indent=indent, ensure_ascii=False).split("\n")
    kept = [line if len(line) <= _COLUMNS else f"{line[:_COLUMNS]}…" for line in lines[:_LINES]]
    more = [f"… {len(lines) - _LINES} more lines"] if len(lines) > _LINES else []
    return "\n".join(kept + more)


def _groups(pairs: Sequence[PairDiff]) -> list[dict[str, Any]]:
    """Return what pairs have in common: each kind of difference with the number of its pairs, the worst first."""
    found: dict[tuple[str, str, str], list[int]] = {}
    for at, pair in enumerate(pairs):
        for key in {(one.verdict, "/".join(one.names), one.reason): None for one in pair.differences if one.pointer}:
            found.setdefault(key, []).append(at)
    return [
        {
            "verdict": verdict,
            "place": place,
            "reason": reason,
            "pairs": f"{len(at):,}",
            "first": at[0],
            "title": title(pairs[at[0]]),
        }
        for (verdict, place, reason), at in sorted(
            found.items(),
            key=lambda item: ([*VERDICTS].index(item[0][0]), -len(item[1]), item[0]),  # type: ignore[arg-type]
        )
    ]
