"""A comparison as one HTML file that stands alone: what differs, pair by pair, A and B side by side.

One rule: no script, nothing loaded, and nothing in it is markup but the template's: every value is escaped.
Flow: RunDiff -> html -> `scimproxy diff --html FILE`.
"""

from __future__ import annotations

from pathlib import Path

from jinja2 import Environment

from scimproxy.diff_report import sentence, shown, sides, timing_line, title
from scimproxy.judging import VERDICTS
from scimproxy.run_diff import RunDiff

__all__ = ["MOST_PAIRS", "html"]

MOST_PAIRS = 2_000
"""Pairs of exchanges on the page, the worst first where there are more; a browser shows no more with ease."""

_TEMPLATE = Path(__file__).with_name("templates") / "diff.html"


def html(found: RunDiff, names: tuple[str, str]) -> str:
    """Return the page."""
    template = Environment(autoescape=True, trim_blocks=True, lstrip_blocks=True).from_string(
        _TEMPLATE.read_text(encoding="utf-8")
    )
    pairs = found.pairs
    if len(pairs) > MOST_PAIRS:
        pairs = tuple(sorted(pairs, key=lambda pair: VERDICTS.index(pair.verdict)))[:MOST_PAIRS]
    return template.render(
        left_out=len(found.pairs) - len(pairs),
        names=[shown(name)[1:-1] for name in names],
        sentence=sentence(found),
        outcome="fail" if found.breaking else "pass",
        counts=[(verdict, found.counts[verdict]) for verdict in VERDICTS],
        pairs=[
            {
                "title": shown(title(pair))[1:-1],
                "verdict": pair.verdict,
                "exchanges": [None if it is None else it.exchange.id for it in (pair.a, pair.b)],
                "differences": [
                    {
                        "one": one,
                        **{
                            side: shown(value) if there else ""
                            for side, (there, value) in zip("ab", sides(one), strict=True)
                        },
                    }
                    for one in pair.differences
                ],
            }
            for pair in pairs
        ],
        timings=[(one.verdict, timing_line(one), one.reason) for one in found.timings],
        bindings=[(row.role, shown(row.a), shown(row.b)) for row in found.bindings.rows()[:1000]],
    )
