from __future__ import annotations

import click
from click.testing import CliRunner

from scimproxy.cli.guard import GUARD_NAMES
from scimproxy.cli.record import up_command
from scimproxy.cli.sections import Sectioned, typed
from scimproxy.cli.tunnel_options import TUNNEL_NAMES


def test_options_stand_under_their_headings() -> None:
    @click.command("x", cls=Sectioned, sections={"Second": ("two",), "First": ("one",)})
    @click.option("--one")
    @click.option("--two")
    @click.option("--three", hidden=True)
    @click.option("--four")
    def command(**_: object) -> None:
        pass

    told = CliRunner().invoke(command, ["--help"]).output
    words = [word for word in told.split()[1:] if word.endswith(":") or word.startswith("--")]
    assert words == ["Second:", "--two", "First:", "--one", "options:", "--four", "--help"]


def test_what_was_typed() -> None:
    found: list[list[str]] = []

    @click.command("x")
    @click.option("--one", default="1")
    @click.option("--url", "--domain", "two")
    @click.option("--three", is_flag=True)
    def command(**_: object) -> None:
        found.append(typed(("one", "two", "unknown")))

    for args in ([], ["--three"], ["--domain", "x"], ["--one", "1", "--url", "x"]):
        assert CliRunner().invoke(command, args).exit_code == 0
    assert found == [[], [], ["--url"], ["--one", "--url"]]


def test_every_option_of_up_has_a_place() -> None:
    assert isinstance(up_command, Sectioned)
    placed = [name for names in up_command.sections.values() for name in names]
    assert sorted(placed) == sorted({param.name for param in up_command.params if isinstance(param, click.Option)})


def test_the_names_of_tunnel_and_guard_are_all_there_are() -> None:
    """By them forward mode refuses what would make it an open proxy: one that is missing would be let in."""
    names = [str(param.name) for param in up_command.params if isinstance(param, click.Option)]
    tunnel = names[names.index("tunnel") : names.index("no_probe") + 1]
    guard = names[names.index("require_token") : names.index("rate_limit_all") + 1]
    assert sorted(tunnel) == sorted(TUNNEL_NAMES)
    assert sorted(guard) == sorted(GUARD_NAMES)
