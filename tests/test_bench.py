"""scripts/bench: figures, tables and picture from given numbers; and one very short real run."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import xml.etree.ElementTree as ET
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parent.parent
sys.path.append(str(ROOT / "scripts"))

from bench_diff import compare_runs, measure_diff  # noqa: E402 - the path is set above
from bench_load import WORKLOADS, check, parse_figures  # noqa: E402 - as above
from bench_main import EXTRAS, options  # noqa: E402 - as above
from bench_payload import BLOB, PIECE, POST_BODY, answer, number_of  # noqa: E402 - as above
from bench_peers import PEERS, Peer, count_flows, start, upstream  # noqa: E402 - as above
from bench_picture import picture  # noqa: E402 - as above
from bench_playing import MOCK, PLAYERS, measure_replay, seed  # noqa: E402 - as above
from bench_process import cpu_seconds  # noqa: E402 - as above
from bench_report import BEGIN, END, claims, fastest_recorder, into_page, markdown, ratio, summary, tables  # noqa: E402


def row(rate: float, p50: float = 1.0, **more: Any) -> dict[str, Any]:
    figures = {
        "per_second": rate,
        "p50_ms": p50,
        "p99_ms": 2 * p50,
        "cpu_ms": 0.5,
        "peak_mib": 50.0,
        "grown_mib": 2.5,
    }
    return {"error": None, "requests": 100, **figures, **more}


@pytest.fixture(name="result")
def _result() -> dict[str, Any]:
    rows = {
        "native": row(5000, 0.5),
        "durable": row(2000, 0.9),
        "mitmdump": row(250, 4.1),
        "talkback": row(400),
        "hoverfly": {"error": "hoverfly is not installed"},
        "nginx": row(12_500, 0.2),
        "direct": row(50_000, 0.1),
    }
    return {
        "made": {
            "at": "2026-01-02",
            "scimproxy": "0.1",
            "python": "3.13",
            "cores": 2,
            "machine": "Linux <x86>",
            "rounds": 5,
            "seconds": 3,
            "quick": False,
            "same": False,
            "versions": {"nginx": "1.22"},
        },
        "workloads": {
            "get": {"title": "GET 0.5 kB, 8 connections", "mib": 0, "rows": rows},
            "get1": {"title": "GET 0.5 kB, 1 connection", "mib": 0, "rows": rows},
            "down": {"title": "64 MiB down", "mib": 64, "rows": {"native": row(10, grown_mib=40), "nginx": row(16)}},
        },
        "growth": {"0": row(5000, of_empty=1.0), "1000000": row(4700, of_empty=0.94)},
        "memory": {"from": 50_000, "to": 500_000, "from_mib": 60.0, "to_mib": 66.0, "peak_mib": 70.0},
        "start": {"native": 0.3, "scimproxy --help": 0.07},
        "diff": {"exchanges": 10_000, "error": None, "seconds": 4.1, "cpu_s": 3.9, "peak_mib": 190.0},
    }


# --- figures ---


def test_what_wrk_says_becomes_a_sample() -> None:
    line = 'BENCH {"requests": 10, "seconds": 2.5, "bytes": 9000, "p50_ms": 0.5, "p99_ms": 3.0, "errors": 0}'
    sample = parse_figures(f"Running 1s test\n  10 requests\n{line}\n", WORKLOADS["get"])
    assert (sample.requests, sample.seconds, sample.p50_ms, sample.p99_ms) == (10, 2.5, 0.5, 3.0)
    assert sample.error is None


@pytest.mark.parametrize(
    ("figures", "error"),
    [
        ({"errors": 3}, "3 of 10 failed"),
        ({"requests": 0}, "no request was answered"),
        ({"bytes": 10 * 511}, "answers were too short"),
    ],
)
def test_a_sample_that_is_not_right_says_so(figures: dict[str, int], error: str) -> None:
    whole = {"requests": 10, "seconds": 1, "bytes": 10 * 600, "p50_ms": 1, "p99_ms": 1, "errors": 0, **figures}
    assert parse_figures(f"BENCH {json.dumps(whole)}", WORKLOADS["get"]).error == error


def test_silence_of_the_load_generator_is_an_error() -> None:
    assert parse_figures("unable to connect", WORKLOADS["get"]).error == "the load generator said nothing"


def test_turns_are_told_by_their_medians() -> None:
    turns = [
        {"requests": n, "seconds": 1.0, "p50_ms": n / 100, "p99_ms": n / 10, "cpu_s": 0.1, "error": None}
        for n in (100, 300, 200)
    ]
    told = summary(turns, peak_mib=80, grown_mib=5)
    assert (told["per_second"], told["p50_ms"], told["p99_ms"]) == (200, 2, 20)
    assert told["cpu_ms"] == pytest.approx(0.5)
    assert told["spread"] == 1
    assert (told["peak_mib"], told["grown_mib"], told["requests"]) == (80, 5, 600)


def test_one_bad_turn_fails_the_row() -> None:
    turns = [{"error": None}, {"error": "3 of 10 failed"}]
    assert summary(turns, peak_mib=0, grown_mib=0) == {"error": "3 of 10 failed"}
    assert summary([], peak_mib=0, grown_mib=0) == {"error": "not run"}


def test_ratios_are_to_the_fastest_other_that_records(result: dict[str, Any]) -> None:
    rows = result["workloads"]["get"]["rows"]
    assert fastest_recorder(rows) == "talkback"
    assert ratio(rows, "native", "talkback") == 12.5
    assert ratio(rows, "native", "hoverfly") is None
    assert ratio(rows, "native", None) is None
    assert fastest_recorder({"native": row(1)}) is None


def test_claims_hold_or_do_not(result: dict[str, Any]) -> None:
    found = {text: (got, holds) for text, got, _, holds in claims(result)}
    assert found["rate to the fastest other that records"] == ("12.5", True)
    assert found["rate to nginx, which does not record"] == ("0.40", True)
    assert found["--durable: rate to the fastest other that records"] == ("5.00", True)
    assert found["added p50 latency, part of mitmdump's"] == ("0.10", True)
    assert found["64 MiB down: rate to nginx"] == ("0.62", True)
    assert found["64 MiB down: memory growth, MiB"] == ("40.0", False)
    assert found["rate at 1,000,000 exchanges to none"] == ("0.94", True)
    assert found["memory growth from 50,000 to 500,000, MiB"] == ("6.00", False)
    assert claims({"workloads": {}}) == []


def test_cpu_time_is_read_after_the_name() -> None:
    fields = ["S", "1", *"0" * 9, "150", "50", "0"]
    assert cpu_seconds(fields) == pytest.approx(2.0, rel=0.99)


# --- what is shown ---


def test_tables_fit_a_terminal(result: dict[str, Any]) -> None:
    text = tables(result)
    assert max(len(line) for line in text.splitlines()) <= 80
    native = next(line for line in text.splitlines() if line.startswith("native"))
    assert native.split() == ["native", "5,000", "12.5", "0.40", "0.50", "1.00", "0.40", "0.50", "50.0", "2.50"]
    assert "hoverfly    hoverfly is not installed" in text
    assert "640" in text  # MiB per second
    assert "1,000,000" in text


def test_the_section_of_the_page_is_replaced_and_nothing_else(result: dict[str, Any]) -> None:
    section = markdown(result)
    page = into_page(f"# A\n{BEGIN}\nold\n{END}\nrest\n", section)
    assert page.startswith(f"# A\n{BEGIN}\n\nMeasured on 2026-01-02")
    assert page.endswith(f"{END}\nrest\n")
    assert "old" not in page
    assert into_page(page, section) == page
    assert "| **scimproxy** | 5,000 | 12.5 |" in page
    with pytest.raises(ValueError, match="has no"):
        into_page("# A\n", section)


def test_the_committed_page_has_its_marks() -> None:
    page = (ROOT / "docs" / "performance.md").read_text(encoding="utf-8")
    assert into_page(page, "x") != page
    for name in [*PEERS, *PLAYERS, *WORKLOADS, *EXTRAS]:
        assert name in page, f"docs/performance.md does not describe {name}"


def test_the_picture_is_well_formed_and_stays_inside_its_frame(result: dict[str, Any]) -> None:
    text = picture(result)
    root = ET.fromstring(text)
    space = "{http://www.w3.org/2000/svg}"
    width, height = float(root.attrib["width"]), float(root.attrib["height"])
    assert "prefers-color-scheme: dark" in text
    bars = [bar for bar in root.iter(f"{space}rect") if bar.attrib.get("class") in {"ours", "records", "none"}]
    assert len(bars) > 10
    for bar in root.iter(f"{space}rect"):
        assert float(bar.attrib.get("x", 0)) + float(bar.attrib["width"]) <= width
        assert float(bar.attrib.get("y", 0)) + float(bar.attrib["height"]) <= height
    for mark in root.iter(f"{space}text"):
        assert float(mark.attrib["y"]) < height
    assert "hoverfly" not in text.lower(), "a peer without figures has no bar"


# --- what is sent ---


def test_every_answer_has_its_own_number() -> None:
    for method, target, size in (
        ("GET", "/scim/v2/Users/", 512),
        ("GET", "/scim/v2/Users?startIndex=", 200_000),
        ("POST", "/scim/v2/Users?n=", 36),
    ):
        one, two = (answer(method, f"{target}{number:012d}", 2048) for number in (1, 2))
        assert one is not None
        assert two is not None
        assert one != two
        assert len(one[2]) == len(two[2]) == size
        assert json.loads(one[2])
        assert answer(method, f"/same{target}{1:012d}") == answer(method, f"/same{target}{2:012d}")
    assert answer("GET", "/blob?n=000000000001") is None
    assert len(POST_BODY) == 2048
    assert BLOB * len(PIECE) == 64 << 20
    assert number_of("/favicon.ico") == "0" * 12


def test_flows_in_a_file_of_mitmdump_are_counted(tmp_path: Path) -> None:
    file = tmp_path / "flows"
    payload = b"x" * 40
    file.write_bytes(b"40:" + payload + b"}" + b"3:abc}" + b"40:" + payload[:7])
    assert count_flows(file) == 2


def test_the_command_line_has_its_defaults(capsys: pytest.CaptureFixture[str]) -> None:
    whole, quick = options([]), options(["--quick"])
    assert (whole.seconds, whole.rounds, whole.rows) == (3, 5, [100_000, 1_000_000])
    assert (quick.seconds, quick.rounds, quick.rows) == (1, 1, [100_000])
    assert "memory" in whole.workload
    assert "memory" not in quick.workload
    assert options(["--only", "native,nginx"]).only == ["native", "nginx"]
    with pytest.raises(SystemExit):
        options(["--only", "apache"])
    assert "'apache' is none of native" in capsys.readouterr().err


# --- for real ---


def test_a_peer_that_ends_at_once_says_why(tmp_path: Path) -> None:
    peer = Peer("broken", lambda _: [sys.executable, "-c", "raise SystemExit('no such thing')"])
    with upstream(tmp_path) as up, pytest.raises(RuntimeError, match="did not start: no such thing"):
        start(peer, tmp_path / "broken", up.http, up.authority)


def test_the_upstream_answers_what_is_expected(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with upstream(tmp_path) as up:
        for workload in WORKLOADS.values():
            assert check(up.https if workload.tls else up.http, workload, 7, 2) is None
        monkeypatch.setattr("bench_load.answer", lambda *_: (200, "application/scim+json", b"another"))
        assert "wrong answer: 200" in str(check(up.http, WORKLOADS["get"], 7, 1))
    assert "refused" in str(check(up.http, WORKLOADS["get"], 7, 1))


@pytest.mark.slow
@pytest.mark.skipif(not shutil.which("wrk"), reason="wrk is not installed")
def test_a_very_short_run(tmp_path: Path) -> None:
    out = tmp_path / "bench.json"
    command = [sys.executable, str(ROOT / "scripts" / "bench_main.py"), "--quick", "--only", "native,mitmdump"]
    command += ["--workload", "get", "--json", str(out), "--svg", str(tmp_path / "bench.svg")]
    done = subprocess.run(command, capture_output=True, text=True, timeout=100, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    rows = json.loads(out.read_text(encoding="utf-8"))["workloads"]["get"]["rows"]
    assert set(rows) == {"native", "mitmdump", "direct"}
    for name in ("native", "mitmdump"):
        assert rows[name]["recorded"] >= rows[name]["requests"] > 0
        assert rows[name]["cpu_ms"] > 0
    assert "rate to the fastest other that records" in done.stdout
    ET.parse(tmp_path / "bench.svg")


# --- diff


def test_two_runs_are_made_and_compared(tmp_path: Path) -> None:
    made = measure_diff(tmp_path, 50, 1)
    assert made["error"] is None
    assert (made["exchanges"], made["rounds"]) == (50, 1)
    assert min(made["seconds"], made["cpu_s"], made["peak_mib"]) > 0
    assert compare_runs(tmp_path / "diff.db", 3)["error"].startswith(
        "3 breaking differences were made, and found were"
    )
    assert compare_runs(tmp_path / "none.db", 0)["error"] == "scimproxy diff ended with 3"


def test_what_is_told_of_a_diff(result: dict[str, Any]) -> None:
    line = next(line for line in tables(result).splitlines() if line.startswith("10,000 exchanges against 10,000"))
    assert line.split()[4:] == ["4.10", "3.90", "190"]
    assert ("diff of 10,000 against 10,000 exchanges, s", "4.10", "<= 5", True) in claims(result)
    result["diff"] = {"exchanges": 10_000, "error": "it broke"}
    assert "10,000 exchanges against 10,000   it broke" in tables(result)


# --- mock and replay


def test_every_player_gets_the_recording_in_its_own_form(tmp_path: Path) -> None:
    for name, player in PLAYERS.items():
        folder = seed(player, tmp_path / name, 3)
        written = [path for path in folder.rglob("*") if path.is_file()]
        if player.ours:
            assert [path.name for path in written] == ["bench.db"]
        else:
            text = "".join(path.read_text(encoding="utf-8") for path in written)
            assert "/scim/v2/Users/000000000002" in text
            assert "/scim/v2/Users/000000000003" not in text


def test_our_mock_gives_the_recorded_bytes(tmp_path: Path) -> None:
    folder = seed(PLAYERS["mock"], tmp_path / "mock", 3)
    one = start(PLAYERS["mock"], folder, "http://127.0.0.1:1", tmp_path / "none.pem")
    try:
        assert check(one.url, replace(MOCK, of=3), 1, 4) is None
        assert "wrong answer: 404" in str(check(one.url, replace(MOCK, prefix="/scim/v2/Groups/"), 1, 1))
    finally:
        one.tree.end()
    assert one.recorded() == 5


def test_a_replay_is_measured_and_judged(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with upstream(tmp_path) as up:
        made = measure_replay(tmp_path / "replay", up.http, 3, 1)
        assert made["error"] is None
        assert min(made["seconds"], made["per_second"]) > 0
        monkeypatch.setattr("bench_playing.answer", lambda *_: (404, "application/scim+json", b"{}"))
        assert "ended with 1" in measure_replay(tmp_path / "wrong", up.http, 3, 1)["error"]


def test_what_is_told_of_mock_and_replay(result: dict[str, Any]) -> None:
    rows = {"mock": row(900), "talkback": row(300), "hoverfly": row(200), "direct": row(50_000)}
    result["workloads"]["mock"] = {"title": MOCK.title, "mib": 0, "rows": rows}
    result["replay"] = {"exchanges": 10_000, "error": None, "per_second": 812.0, "seconds": 15.5}
    text, page = tables(result), markdown(result)
    assert "x other" in text
    assert next(line for line in text.splitlines() if line.startswith("mock ")).split()[1:3] == ["900", "3.00"]
    assert next(line for line in text.splitlines() if line.startswith("10,000 exchanges, 8")).split()[-2:] == [
        "812",
        "15.5",
    ]
    assert ("mock: rate to talkback's", "3.00", ">= 3", True) in claims(result)
    assert "| **scimproxy mock** | 900 |" in page
    assert "| Hoverfly | 200 |" in page


def test_answers_of_a_peer_that_writes_json_anew(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with upstream(tmp_path) as up:
        _, kind, body = answer("GET", "/scim/v2/Users/000000000001") or (0, "", b"")
        anew = json.dumps(json.loads(body), indent=1).encode()
        monkeypatch.setattr("bench_load.answer", lambda *_: (200, kind, anew))
        assert check(up.http, WORKLOADS["get"], 1, 1, as_json=True) is None
        assert "wrong answer" in str(check(up.http, WORKLOADS["get"], 1, 1))
        assert "wrong answer" in str(check(up.http, WORKLOADS["get"], 2, 1, as_json=True))
