from __future__ import annotations

import json

import click
import pytest
from click.testing import CliRunner

from scimproxy.cli import terminal
from scimproxy.cli.options import SIZE
from scimproxy.cli.terminal import (
    Column,
    duration,
    echo_json,
    facts,
    fit,
    moment,
    plural,
    safe,
    safe_block,
    size,
    status_colour,
    table,
    width_of,
)

HOSTILE = "a\x1b]0;owned\x07\x9b2J\r\n\tb\u202ec\u2066\ud800\x00\x7f"


def test_nothing_recorded_commands_the_terminal() -> None:
    assert safe(HOSTILE) == "a\\x1b]0;owned\\x07\\x9b2J\\x0d\\x0a\\x09b\\u202ec\\u2066\\ud800\\x00\\x7f"
    assert safe_block("a\r\nb\tc\x1b\rd\n") == "a\nb\tc\\x1b\\x0dd\n"
    assert safe("Zoë 王 🙂 é") == "Zoë 王 🙂 é"
    safe(HOSTILE).encode()


@pytest.mark.parametrize(
    ("text", "width", "expected"),
    [
        ("abc", 5, "abc  "),
        ("abcdef", 4, "abc…"),
        ("王王王", 6, "王王王"),
        ("王王王", 5, "王王…"),
        ("王王王", 4, "王… "),
        ("e\u0301e\u0301", 2, "e\u0301e\u0301"),
        ("", 2, "  "),
    ],
)
def test_fit(text: str, width: int, expected: str) -> None:
    assert fit(text, width) == expected
    assert width_of(fit(text, width)) == width


@pytest.mark.parametrize(
    ("ms", "said"),
    [(None, "-"), (0.04, "0.0 ms"), (9.94, "9.9 ms"), (9.96, "10 ms"), (1999, "1999 ms"), (2000, "2.0 s"), (12_345, "12.3 s"),
     (180_000, "3 min")],
)  # fmt: skip
def test_durations(ms: float | None, said: str) -> None:
    assert duration(ms) == said


@pytest.mark.parametrize(
    ("count", "said"),
    [(None, "-"), (0, "0 B"), (1023, "1023 B"), (1536, "1.5 KiB"), (10 << 20, "10 MiB"), (3 << 40, "3.0 TiB"),
     (5000 << 40, "5000 TiB")],
)  # fmt: skip
def test_sizes(count: int | None, said: str) -> None:
    assert size(count) == said


@pytest.mark.parametrize(
    ("text", "count"),
    [("500000", 500_000), ("512k", 512 << 10), ("10M", 10 << 20), ("1.5 MiB", 3 << 19), ("2gb", 2 << 30)],
)
def test_sizes_in(text: str, count: int) -> None:
    assert SIZE.convert(text, None, None) == count


@pytest.mark.parametrize("text", ["", "ten", "-1", "1e9", "10X", "9" * 30])
def test_sizes_that_are_none(text: str) -> None:
    with pytest.raises(click.BadParameter, match="is not a size"):
        SIZE.convert(text, None, None)


def test_small_texts() -> None:
    assert moment(None) == "-"
    assert [plural(count, "exchange") for count in (0, 1, 1204)] == ["0 exchanges", "1 exchange", "1,204 exchanges"]
    assert [status_colour(code) for code in (200, 301, 404, 500, None, 100)] == [
        "green", "cyan", "yellow", "red", "red", "white",
    ]  # fmt: skip


def test_json_is_one_line_and_survives_anything(capsys: pytest.CaptureFixture[str]) -> None:
    echo_json({"text": HOSTILE})
    out = capsys.readouterr().out
    assert out.count("\n") == 1
    assert out.isascii()
    assert json.loads(out) == {"text": HOSTILE}


@click.command()
def draw() -> None:
    table(
        [Column("ID", "right"), Column("NAME", flexible=True), Column("WHAT", flexible=True)],
        [["1", ("[red]no markup[/red]", "red"), "short"], ["22", "\x1b[2J" + "n" * 100, "w" * 100]],
    )


def test_tables_fit_the_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    for columns in (80, 50, 200):
        monkeypatch.setenv("COLUMNS", str(columns))
        lines = CliRunner().invoke(draw).stdout.splitlines()
        assert len(lines) == 3
        assert max(map(width_of, lines)) <= columns
        assert lines[0].split() == ["ID", "NAME", "WHAT"]
        assert lines[1].startswith(" 1  [red]no markup[/red]"[:20])
        assert "\\x1b[2J" in lines[2]


@pytest.mark.parametrize("wanted", [True, False])
def test_tables_have_colours_where_they_are_wanted(
    wanted: bool, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv("NO_COLOR")
    monkeypatch.setenv("TERM", "xterm")
    with click.Context(draw, color=wanted):
        table([Column("A")], [[("red", "red")]])
    assert ("\x1b[31mred" in capsys.readouterr().out) is wanted


def test_facts_leave_out_what_is_not_known(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "60")
    facts("Nothing", {"A": None})
    facts("Some", {"A": "1", "Long name": "word " * 20, "C": None})
    lines = capsys.readouterr().out.splitlines()
    assert lines[:2] == ["Some", "  A          1"]
    assert all(len(line) <= 60 for line in lines)
    assert lines[3].startswith(" " * 13 + "word")


def test_the_width_is_that_of_the_terminal_or_80(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("COLUMNS", raising=False)
    assert terminal.terminal_width() >= 40
    monkeypatch.setenv("COLUMNS", "10")
    assert terminal.terminal_width() == 40


def test_indexing_is_told_where_it_takes_a_while(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    now = [0.0]
    monkeypatch.setattr(terminal.time, "monotonic", lambda: now[0])
    indexing = terminal.Indexing()
    indexing(100)
    assert capsys.readouterr().err == ""
    now[0] = 1.0
    indexing(2000)
    indexing(3000)
    indexing.end()
    assert capsys.readouterr().err == "Indexing what was recorded for this search: 2,000 exchanges ...\n"
    monkeypatch.setattr(terminal.sys.stderr, "isatty", lambda: True, raising=False)
    indexing(4000)
    indexing.end()
    assert capsys.readouterr().err == "\rIndexing what was recorded for this search: 4,000 exchanges ...\n"
