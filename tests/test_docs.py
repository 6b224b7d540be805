"""What exists is documented, and what is documented exists: commands, options, formats, labels, terms."""

from __future__ import annotations

import re
import shlex
import subprocess
from pathlib import Path

import click
import pytest

from scimproxy.cli import COMMANDS, cli
from scimproxy.cli.topics import TOPICS
from scimproxy.clients import CLIENTS
from scimproxy.exports.formats import FORMATS
from scimproxy.query import TERMS

ROOT = Path(__file__).resolve().parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")
PAGES = {
    path.name: path.read_text(encoding="utf-8")
    for path in [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
}


def shown_commands() -> list[tuple[str, str]]:
    """Every `$ scimproxy ...` line of every page."""
    return [
        (page, line.removeprefix("$ "))
        for page, text in PAGES.items()
        for block in re.findall(r"```(?:console|sh|shell)\n(.*?)```", text, re.DOTALL)
        for line in block.splitlines()
        if line.startswith("$ scimproxy ")
    ]


@pytest.mark.parametrize("name", [entry.name for entry in COMMANDS])
def test_every_command_is_in_the_readme(name: str) -> None:
    assert re.search(rf"scimproxy {name}\b|`{name}`", README), f"README does not mention `scimproxy {name}`"


@pytest.mark.parametrize(("page", "line"), shown_commands())
def test_every_command_line_shown_is_one_that_parses(page: str, line: str) -> None:
    words = shlex.split(line.partition(" # ")[0])[1:]
    command = cli.get_command(click.Context(cli), words[0])
    assert command is not None, f"{page}: {line}"
    options = {name for parameter in command.params for name in (*parameter.opts, *parameter.secondary_opts)}
    used = {word.partition("=")[0] for word in words[1:] if word.startswith("-") and len(word) > 1}
    assert used <= options | {"--help", "-h"}, f"{page}: {line}"


@pytest.mark.parametrize("name", FORMATS)
def test_every_export_format_is_in_the_readme(name: str) -> None:
    assert re.search(rf"\b{name}\b", README, re.IGNORECASE)


def test_help_pages_hold_every_term_and_every_label() -> None:
    pages = (
        {
            name: subprocess.run(
                [str(ROOT / ".venv" / "bin" / "scimproxy"), "help", name], capture_output=True, text=True, check=True
            ).stdout
            for name in TOPICS
        }
        if (ROOT / ".venv" / "bin" / "scimproxy").exists()
        else {}
    )
    if not pages:
        pytest.skip("the command is not installed in .venv")
    for term in TERMS:
        assert f"{term.name}:" in pages["filters"]
    for label in CLIENTS:
        assert label.label in pages["clients"]


@pytest.mark.parametrize("topic", TOPICS)
def test_help_pages_fit_the_terminal(topic: str) -> None:
    assert [line for line in TOPICS[topic][1]().splitlines() if len(line) > 80] == []


@pytest.mark.parametrize(
    "script", sorted(path.name for path in (ROOT / "scripts").iterdir() if path.is_file() and path.suffix == "")
)
def test_every_script_says_what_it_does(script: str) -> None:
    lines = (ROOT / "scripts" / script).read_text(encoding="utf-8").splitlines()
    assert lines[0].startswith("#!")
    assert lines[1].startswith(("# ", '"""'))


def test_the_readme_names_the_scripts_a_stranger_needs() -> None:
    for script in ("demo", "test", "check", "bench"):
        assert f"./scripts/{script}" in README
