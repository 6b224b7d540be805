from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import click
import factories
import pytest
from click.testing import CliRunner
from recording import ROOT, command, environment, run

from scimproxy import __version__
from scimproxy.cli import COMMANDS, cli
from scimproxy.cli.topics import TOPICS
from scimproxy.errors import ScimproxyError, SyntaxProblem
from scimproxy.store import Store


def test_help_names_every_command() -> None:
    result = CliRunner().invoke(cli, ["--help"])
    assert result.exit_code == 0
    for entry in COMMANDS:
        assert f"  {entry.name} " in result.stdout
    lines = result.stdout.splitlines()
    assert max(map(len, lines)) <= 80
    jobs = list(dict.fromkeys(entry.job for entry in COMMANDS))
    assert [line[:-1] for line in lines if line[:-1] in jobs] == jobs  # each heading once: its commands are together


def test_version() -> None:
    result = CliRunner().invoke(cli, ["--version"])
    assert (result.exit_code, result.stdout) == (0, f"scimproxy {__version__}\n")


def test_help_and_version_load_nothing_heavy() -> None:
    code = (
        "import sys\nfrom scimproxy.cli import cli\n"
        "cli.main(['--help'], standalone_mode=False)\n"
        "heavy = {'rich', 'aiohttp', 'mitmproxy', 'sqlite_utils', 'sqlite3', 'asyncio', 'scimproxy.app'}\n"
        "print(sorted(heavy & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, env=environment())
    assert done.stdout.splitlines()[-1] == "[]"


@pytest.mark.parametrize("entry", COMMANDS, ids=lambda entry: entry.name)
def test_each_command_explains_itself(entry: object) -> None:
    name = entry.name  # type: ignore[attr-defined]  # an Entry; the type is the parametrization's
    result = CliRunner().invoke(cli, [name, "--help"])
    assert result.exit_code == 0
    assert result.stdout.startswith(f"Usage: cli {name}")
    assert max(map(len, result.stdout.splitlines())) <= 80
    assert CliRunner().invoke(cli, ["help", name]).stdout.startswith(f"Usage: cli {name}")


@pytest.mark.parametrize(
    ("args", "said"),
    [
        (["rnus"], "No such command 'rnus'. Did you mean 'runs'?"),
        (["xyzzy"], "No such command 'xyzzy'."),
        (["runs", "--jsn"], "Did you mean '--json'?"),
        (["show", "abc"], "'abc' is not a number"),
        (["show"], "Missing argument 'EXCHANGE'"),
        (["prune"], "say what to keep"),
        (["help", "xyzzy"], "there is no topic 'xyzzy'"),
    ],
)
def test_usage(args: list[str], said: str) -> None:
    result = CliRunner().invoke(cli, args)
    assert result.exit_code == 2
    assert said in result.stderr
    assert result.stdout == ""


def test_no_arguments_show_the_help() -> None:
    result = CliRunner().invoke(cli, [])
    assert "Record:" in result.output


@pytest.mark.parametrize("topic", TOPICS)
def test_topics(topic: str) -> None:
    result = CliRunner().invoke(cli, ["help", topic])
    assert result.exit_code == 0
    assert len(result.stdout.splitlines()) > 3
    assert f"  {topic} " in CliRunner().invoke(cli, ["help"]).stdout


class _Raises(click.Command):
    def __init__(self, error: BaseException) -> None:
        super().__init__("raises")
        self.error = error

    def invoke(self, ctx: click.Context) -> None:
        raise self.error


@pytest.mark.parametrize(
    ("error", "code", "said"),
    [
        (ScimproxyError("it broke\x1b[2J", hint="mend it"), 3, "Error: it broke\\x1b[2J\n  Hint: mend it\n"),
        (SyntaxProblem("no such term", text="stat:4", position=5), 2, "Error: no such term\n  stat:4\n       ^\n"),
        (KeyboardInterrupt(), 130, "Interrupted.\n"),
        (click.Abort(), 130, "Interrupted.\n"),
    ],
)
def test_errors_are_told(error: BaseException, code: int, said: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(type(cli), "get_command", lambda *_: _Raises(error))
    result = CliRunner().invoke(cli, ["runs"])
    assert (result.exit_code, result.stderr.lstrip("\n")) == (code, said)


def test_a_bug_is_not_hidden(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(type(cli), "get_command", lambda *_: _Raises(ZeroDivisionError()))
    assert isinstance(CliRunner().invoke(cli, ["runs"]).exception, ZeroDivisionError)


def test_as_a_module() -> None:
    done = run("--version")
    assert (done.returncode, done.stdout) == (0, f"scimproxy {__version__}\n")


def test_a_terminal_that_is_not_utf_8(tmp_path: Path) -> None:
    with Store.open(tmp_path / "a.db") as store:
        store.start_run(factories.run(name="\u738b"))
    done = run("runs", "--db", str(tmp_path / "a.db"), PYTHONIOENCODING="latin-1")
    assert (done.returncode, done.stderr) == (0, "")
    assert "\\u738b" in done.stdout


def test_a_reader_that_has_seen_enough() -> None:
    with subprocess.Popen(
        command("help", "filters"), stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environment()
    ) as process:
        assert process.stdout is not None
        process.stdout.close()
        process.stdout = None
        _, said = process.communicate(timeout=30)
    assert (process.returncode, said) == (0, b"")


def test_colours_only_where_they_are_wanted(tmp_path: Path) -> None:
    plain = run("doctor", "--db", str(tmp_path / "a.db"), "--port", "9", NO_COLOR="1")
    colour = run("doctor", "--db", str(tmp_path / "a.db"), "--port", "9", NO_COLOR="", FORCE_COLOR="1")
    assert "\x1b[" not in plain.stdout
    assert "\x1b[32m" in colour.stdout


def test_every_command_has_its_own_line_in_the_table() -> None:
    assert len({entry.name for entry in COMMANDS}) == len(COMMANDS)
    for entry in COMMANDS:
        assert (ROOT / "scimproxy" / "cli" / f"{entry.module}.py").is_file()
