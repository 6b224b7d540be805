"""A command with many options: its help shows them under headings, in the order in which a person needs them.

One rule: every option stands under exactly one heading; one that belongs nowhere in particular is in the last.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from typing import Any

import click
from click.core import ParameterSource

__all__ = ["Sectioned", "typed"]

_REST = "Other options"


class Sectioned(click.Command):
    """A command whose `sections` give, for each heading, the names of the parameters below it."""

    def __init__(self, *args: Any, sections: Mapping[str, Collection[str]], **extra: Any) -> None:  # noqa: ANN401 - click's
        super().__init__(*args, **extra)
        self.sections = sections

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the options under their headings."""
        options = {param.name: param for param in self.get_params(ctx) if isinstance(param, click.Option)}
        placed = {name for names in self.sections.values() for name in names}
        rest = [name for name in options if name not in placed]
        for heading, names in [*self.sections.items(), (_REST, rest)]:
            records = [options[name].get_help_record(ctx) for name in names]
            with formatter.section(heading):
                formatter.write_dl([record for record in records if record is not None])


def typed(names: Iterable[str]) -> list[str]:
    """Return those of the named options that stand on the command line, as they are written there."""
    context, wanted = click.get_current_context(), set(names)
    return [
        param.opts[0]
        for param in context.command.params
        if param.name in wanted and context.get_parameter_source(param.name) is ParameterSource.COMMANDLINE
    ]
