from __future__ import annotations

import json

import factories

from scimproxy.bind import Bindings
from scimproxy.bodies import seen
from scimproxy.diff_report import as_json, markdown, sentence, shown, timing_line, title
from scimproxy.rank import Slower
from scimproxy.run_diff import RunDiff, TimingChange, compare_pair, compare_runs

HOSTILE = "`x` | <b>\u202e\x1b[2J"
A = seen(
    factories.exchange("GET", "/scim/v2/Users/1", answer={"id": "1", "a": HOSTILE, "c": 1}, id=4), ("3", "Read | it")
)
B = seen(
    factories.exchange("GET", "/scim/v2/Users/7", answer={"id": "7", "a": "y", "d": 1, "e": None}, id=5), ("3", "")
)
FOUND = compare_pair(A, B)
NAMES = ("run 1 (a)", "run 2 (<b>)")
SLOW = RunDiff(1, (), (TimingChange("list /Users", Slower(10.0, 30.0, 20, 0.0001)),), Bindings())


def test_json() -> None:
    found = json.loads(json.dumps(as_json(FOUND, NAMES)))
    assert (found["a"], found["compared"]) == (NAMES[0], 1)
    assert found["counts"] == {"breaking": 1, "changed": 1, "additive": 1, "noise": 1}
    (pair,) = found["pairs"]
    assert pair["a"] == {"exchange": 4, "step": "3", "status": 200}
    assert [one["op"] for one in pair["operations"]] == ["replace", "remove", "add", "replace"]
    assert found["bindings"] == [{"role": "User", "a": "1", "b": "7"}]
    (timing,) = as_json(SLOW, NAMES)["timings"]
    assert (timing["a_ms"], timing["b_ms"], timing["pairs"], timing["verdict"]) == (10.0, 30.0, 20, "changed")
    only = as_json(compare_runs([seen(factories.exchange(response=None))], []), NAMES)["pairs"][0]
    assert (only["b"], only["a"]) == (None, {"exchange": None, "step": None, "status": None})


def test_sentences() -> None:
    assert sentence(FOUND) == "1 pair compared: 1 breaking, 1 changed, 1 additive, 1 noise"
    assert sentence(compare_runs([A, A], [A, A])) == "2 pairs compared: no difference"
    assert timing_line(SLOW.timings[0]) == "list /Users: 10.0 ms -> 30.0 ms (3.0 times, 20 pairs, p = 0.0001)"
    assert title(FOUND.pairs[0]) == "3 Read | it"
    nameless = compare_pair(seen(factories.exchange(answer=b"a")), seen(factories.exchange(answer=b"b"))).pairs[0]
    assert title(nameless) == "List Users"
    assert shown("x" * 500).endswith("x…")


def test_markdown() -> None:
    text = markdown(FOUND, NAMES)
    assert text.startswith("## run 1 (a) → run 2 (\\<b\\>)\n\n1 pair compared")
    assert "### 3 Read \\| it" in text
    row = next(line for line in text.splitlines() if "/response/body/a" in line)
    assert row.count(" | ") == 4, "no value makes a cell of its own"
    assert "``" in row and "\u202e" not in text and "\x1b" not in text
    assert "| additive | `/response/body/d` |  | `1` |" in text
    assert "| breaking | `/response/body/c` | `1` |  |" in text
    assert "noise |" not in text
    assert "| noise | `/response/body/e` |" in markdown(FOUND, NAMES, noise=True)
    assert "- changed: list /Users: 10.0 ms" in markdown(SLOW, NAMES)
    only = markdown(compare_runs([A], []), NAMES)
    assert "| changed |  | `null` |  | only run A has this exchange |" in only
    quiet = compare_pair(seen(factories.exchange(answer={})), seen(factories.exchange(answer={"a": None})))
    assert "###" not in markdown(quiet, NAMES)
