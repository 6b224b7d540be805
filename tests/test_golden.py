"""What a person sees, kept: `in.har` goes through the program, and what it prints is compared with expected files.

`~~~` in an expected file stands for anything on that line. `./scripts/regold` writes them again.
"""

from __future__ import annotations

import os
import re
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner

from scimproxy.cli import cli

FOLDER = Path(__file__).resolve().parent / "golden"
CASES = sorted(path.name for path in FOLDER.iterdir() if (path / "in.har").exists())
COMMANDS = {
    "expected.log.txt": ["log", "last"],
    "expected.show.txt": ["show", "1"],
    "expected.curl": ["export", "last", "--format", "curl"],
    "expected.raw": ["export", "last", "--format", "raw"],
    "expected.hurl": ["export", "last", "--format", "hurl"],
    "expected.pytest": ["export", "last", "--format", "pytest"],
    "expected.locust": ["export", "last", "--format", "locust"],
    "expected.postman": ["export", "last", "--format", "postman"],
    "expected.runscope": ["export", "last", "--format", "runscope"],
    "expected.json": ["log", "last", "--json"],
}


@pytest.fixture(autouse=True)
def _utc(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("TZ", "UTC")
    monkeypatch.setenv("COLUMNS", "80")
    if hasattr(time, "tzset"):
        time.tzset()
    yield
    monkeypatch.undo()
    if hasattr(time, "tzset"):
        time.tzset()


def pattern(expected: str) -> str:
    return re.escape(expected).replace("\\~\\~\\~", "[^\n]*").replace("~~~", "[^\n]*")


@pytest.mark.parametrize("case", CASES)
def test_golden(case: str, tmp_path: Path) -> None:
    db = str(tmp_path / "golden.db")
    runner = CliRunner()
    done = runner.invoke(cli, ["import", str(FOLDER / case / "in.har"), "--db", db, "--name", case])
    assert done.exit_code == 0, done.output
    wrong = []
    for name, words in COMMANDS.items():
        done = runner.invoke(cli, [*words, "--db", db])
        assert done.exit_code == 0, done.output
        file = FOLDER / case / name
        if os.environ.get("SCIMPROXY_REGOLD"):
            file.write_text(done.stdout, encoding="utf-8", newline="")
        elif re.fullmatch(pattern(file.read_text(encoding="utf-8")), done.stdout) is None:
            wrong.append(f"{name}:\n{done.stdout}")
    assert not wrong, "\n".join(wrong)


def test_there_are_cases() -> None:
    assert len(CASES) >= 2
