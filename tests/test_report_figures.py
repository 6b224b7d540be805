"""A run in figures."""

from __future__ import annotations

from dataclasses import replace

from factories import T0, exchange, response

from scimproxy.exchange import Timings
from scimproxy.report.figures import figures
from scimproxy.scim.message import operation_of


def test_counts_durations_and_places() -> None:
    made = [
        replace(exchange(id=1), timings=Timings(total=10)),
        replace(
            exchange(id=2), response=response(404), started_at=T0 + 1, ended_at=T0 + 2, timings=Timings(total=1000)
        ),
        replace(exchange("GET", "/x", id=3), response=None, started_at=T0 + 1, ended_at=None, timings=Timings()),
    ]
    found = figures([(one, operation_of(one)) for one in made])
    assert found.count == 3
    assert dict(found.answered) == {"2xx": 1, "4xx": 1, "no answer": 1}
    assert (found.median_ms, found.slow_ms, found.longest_ms, found.took_ms) == (505, 1000, 1000, 2000)
    assert [(one.name, one.count, one.statuses) for one in found.operations] == [
        ("list /Users", 2, (("200", 1), ("404", 1))),
        ("other GET", 1, (("none", 1),)),
    ]
    assert [(one.key, one.x, one.outcome) for one in found.sticks] == [
        ("x-1", 0, "pass"),
        ("x-2", 598, "warn"),
        ("x-3", 598, "fail"),
    ]
    assert [one.y + one.height for one in found.sticks] == [110, 110, 110]
    assert found.sticks[1].height == 110


def test_nothing_and_very_much() -> None:
    none = figures([])
    assert (none.count, none.median_ms, none.slow_ms, none.longest_ms, none.sticks) == (0, None, None, None, ())
    one = exchange()
    many = figures([(one, operation_of(one))] * 1_200)
    assert (len(many.sticks), many.sticks_left) == (1_000, 200)
