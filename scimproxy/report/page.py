"""A run as one HTML file for others: summary, picture, a suite's steps, every exchange in full, differences.

One rule: the file stands alone and is readable without a script; it grows with the run, so that long bodies are cut
first, and says what is cut. What is given is shown: secrets and personal values are taken out before.
Place in the flow: Material (run, exchanges, suite, diff, what was replaced) -> html -> `scimproxy report`, share.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from scimproxy import __version__
from scimproxy.amounts import duration, plural, utc
from scimproxy.detail import Detail, Limits, detail
from scimproxy.diff.report import sentence, shown, timing_line, title
from scimproxy.diff.runs import VERDICTS as DIFF_VERDICTS
from scimproxy.diff.runs import RunDiff
from scimproxy.exchange import Exchange, Run
from scimproxy.pages import file_page
from scimproxy.report.figures import figures
from scimproxy.report.suites import counts
from scimproxy.report.suites_html import VERDICTS, step_view, suite_facts
from scimproxy.scim.message import Operation
from scimproxy.suite.results import SuiteResult

__all__ = ["MOST_EXCHANGES", "Material", "html"]

MOST_EXCHANGES = 2_000
"""Exchanges on one page; a browser shows no more with ease."""
WANTED_BYTES = 1_400_000
"""The size that a file is kept below as long as shorter bodies can do it."""

_MOST_PAIRS = 300
_LEVELS = (
    (Limits(lines=800, characters=30_000, string=1_000, raw=12_000), True),
    (Limits(lines=200, characters=6_000, string=400, raw=3_000, hex_bytes=128), True),
    (Limits(lines=100, characters=3_000, string=200, raw=0, hex_bytes=64), False),
    (Limits(lines=40, characters=1_200, string=120, raw=0, hex_bytes=0, headers=40), False),
)
_KINDS = {
    "user": "user names", "given": "given names", "family": "family names", "middle": "middle names",
    "display": "names of persons", "group": "names of groups", "email": "e-mail addresses", "phone": "phone numbers",
    "address": "parts of addresses", "im": "messaging accounts", "url": "profiles", "photo": "photos",
    "employee": "employee numbers", "ip": "IP addresses of clients",
}  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class Material:
    """Everything a report shows, with nothing in it that must not be shown.

    `replaced` counts the values by kind (None: names were kept), `left_out` what was not looked at, by a word.
    `more` counts exchanges that are not in `exchanges`; `against` names the run that `diff` compares with.
    """

    run: Run
    exchanges: Sequence[tuple[Exchange, Operation]]
    result: SuiteResult | None = None
    diff: RunDiff | None = None
    against: str = ""
    replaced: Mapping[str, int] | None = None
    left_out: Mapping[str, int] = field(default_factory=dict)
    more: int = 0
    made_at: float | None = None


def html(material: Material) -> str:
    """Return the page."""
    made = ""
    bodies = sum(_stored(one) for one, _ in material.exchanges)
    start = 2 if len(material.exchanges) > 300 or bodies > 1_000_000 else 1 if bodies > 300_000 else 0
    for limits, with_raw in _LEVELS[start:]:
        made = _page(material, limits, with_raw=with_raw)
        if len(made.encode()) <= WANTED_BYTES:
            break
    return made


def _stored(exchange: Exchange) -> int:
    answer = exchange.response
    return len(exchange.request.content.data) + (0 if answer is None else len(answer.content.data))


def _page(material: Material, limits: Limits, *, with_raw: bool) -> str:
    run, result = material.run, material.result
    details = {one.id: detail(one, operation, limits) for one, operation in material.exchanges}
    steps, in_steps = _steps(result, details)
    rest = [one for key, one in details.items() if key not in in_steps]
    counted = figures(material.exchanges)
    return file_page(
        "report.html",
        with_script=True,
        run=run,
        verdict=None if result is None else VERDICTS.get(result.result, result.result),
        outcome=None if result is None else result.result,
        facts=_facts(run, result),
        figures=counted,
        cards=_cards(counted, result),
        result=result,
        suite_facts=() if result is None else _variables(result),
        steps=steps,
        rest=rest,
        diff=None if material.diff is None else _diff(material.diff),
        against=material.against,
        replaced=None if material.replaced is None else [(_KINDS[k], n) for k, n in material.replaced.items() if n],
        left_out=list(material.left_out.items()),
        more=material.more,
        limits=limits,
        with_raw=with_raw,
        made_at=material.made_at,
        version=__version__,
    )


def _steps(
    result: SuiteResult | None, details: Mapping[int | None, Detail]
) -> tuple[list[dict[str, Any]], set[int | None]]:
    if result is None:
        return [], set()
    steps = [step_view(step, details.get(step.exchange_id) if step.exchange_id else None) for step in result.steps]
    return steps, {step.exchange_id for step in result.steps}


def _facts(run: Run, result: SuiteResult | None) -> list[tuple[str, str]]:
    took = None if run.ended_at is None else duration((run.ended_at - run.started_at) * 1000)
    rows = [
        ("Run", f"{run.id}, {run.kind}" if run.id else run.kind),
        ("Target", run.target),
        ("Public URL", run.public_url),
        ("Suite", None if result is None else result.source),
        ("Environment", None if result is None else result.environment),
        ("Started", utc(run.started_at)),
        ("Took", took or "not ended"),
        (
            "Recorded by",
            f"scimproxy {run.version}{f', engine {run.engine}' if run.engine else ''}" if run.version else None,
        ),
        ("Lost", plural(run.lost, "exchange") if run.lost else None),
        ("Note", run.note),
    ]
    return [(name, value) for name, value in rows if value]


def _variables(result: SuiteResult) -> list[tuple[str, str]]:
    known = {name for name, _ in result.initial_variables}
    return [(name, value) for name, value in suite_facts(result) if name in known]


def _cards(counted: Any, result: SuiteResult | None) -> list[tuple[str, str, str]]:  # noqa: ANN401 - Figures
    """Return the figures at the top: a number, what it counts, its class of colour."""
    cards = []
    if result is not None:
        found = counts(result.steps)
        assertions = [it for step in result.executed for it in step.assertions]
        held = sum(it.result == "pass" for it in assertions)
        cards += [
            (str(found["pass"]), "steps passed", "pass"),
            (str(found["fail"]), "failed", "fail" if found["fail"] else ""),
            (str(found["error"]), "errored", "error" if found["error"] else ""),
            (f"{held}/{len(assertions)}", "assertions hold", ""),
        ]
    cards.append((f"{counted.count:,}", "exchanges", ""))
    colours = {"4xx": "warn", "5xx": "fail", "no answer": "fail"}
    cards += [(f"{count:,}", name, colours.get(name, "")) for name, count in counted.answered]
    cards += [(duration(counted.median_ms), "median", ""), (duration(counted.slow_ms), "95th percentile", "")]
    return cards


def _diff(found: RunDiff) -> dict[str, Any]:
    pairs = sorted(found.pairs, key=lambda pair: DIFF_VERDICTS.index(pair.verdict))
    return {
        "sentence": sentence(found),
        "outcome": "fail" if found.breaking else "pass",
        "counts": [(verdict, found.counts[verdict]) for verdict in DIFF_VERDICTS],
        "left_out": max(0, len(pairs) - _MOST_PAIRS),
        "pairs": [
            {
                "title": title(pair),
                "verdict": pair.verdict,
                "exchanges": [None if it is None else it.exchange.id for it in (pair.a, pair.b)],
                "rows": [
                    (
                        one,
                        "" if one.change == "added" else shown(one.a),
                        "" if one.change == "missing" else shown(one.b),
                    )
                    for one in pair.differences
                ],
            }
            for pair in pairs[:_MOST_PAIRS]
        ],
        "timings": [(one.verdict, timing_line(one), one.reason) for one in found.timings],
    }
