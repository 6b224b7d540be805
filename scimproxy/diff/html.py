"""A comparison as one HTML file that stands alone: what differs in short, then pair by pair, A and B side by side.

One rule: no script, nothing loaded, and nothing in it is markup but the template's: every value is escaped.
Flow: RunDiff -> html (templates/diff.html in the look of pages.py) -> `scimproxy diff --html FILE`.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from scimproxy.diff.judging import VERDICTS
from scimproxy.diff.report import FEW, Group, groups, sentence, shown, sides, timing_line, title
from scimproxy.diff.runs import PairDiff, RunDiff
from scimproxy.pages import file_page

__all__ = ["MOST_PAIRS", "html"]

MOST_PAIRS = 2_000
"""Pairs of exchanges on the page, the worst first where there are more; a browser shows no more with ease."""
_MOST_OPEN = 20
_MOST_GROUPS = 15
_LINES = 40
_COLUMNS = 400


def html(found: RunDiff, names: tuple[str, str]) -> str:
    """Return the page."""
    pairs = found.pairs
    if len(pairs) > MOST_PAIRS:
        pairs = tuple(sorted(pairs, key=lambda pair: VERDICTS.index(pair.verdict)))[:MOST_PAIRS]
    breaking = [at for at, pair in enumerate(pairs) if pair.verdict == "breaking"]
    opened = set(breaking[:_MOST_OPEN]) or ({0} if len(pairs) == 1 else set())
    found_groups = groups(pairs) if len(pairs) >= FEW else []
    return file_page(
        "diff.html",
        same=found.empty,
        left_out=f"{len(found.pairs) - len(pairs):,}" if len(found.pairs) > len(pairs) else "",
        names=names,
        sentence=sentence(found),
        compared=f"{found.compared:,}",
        outcome="fail" if found.breaking else "pass",
        counts=[(verdict, f"{found.counts[verdict]:,}") for verdict in VERDICTS],
        groups=[_group(one, pairs) for one in found_groups[:_MOST_GROUPS]],
        more_groups=max(0, len(found_groups) - _MOST_GROUPS),
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


def _group(one: Group, pairs: Sequence[PairDiff]) -> dict[str, Any]:
    first = one.pairs[0]
    return {
        "verdict": one.verdict,
        "place": one.place,
        "reason": one.reason,
        "pairs": f"{len(one.pairs):,}",
        "first": first,
        "title": title(pairs[first]),
    }


def _text(value: Any) -> str:  # noqa: ANN401 - JSON
    """Return a value as JSON in lines, both cut."""
    indent = 2 if isinstance(value, dict | list) else None
    lines = json.dumps(value, indent=indent, ensure_ascii=False).split("\n")
    kept = [line if len(line) <= _COLUMNS else f"{line[:_COLUMNS]}…" for line in lines[:_LINES]]
    more = [f"… {len(lines) - _LINES} more lines"] if len(lines) > _LINES else []
    return "\n".join(kept + more)
