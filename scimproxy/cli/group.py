"""The group of commands: imports a command when it is called, and turns every error into a sentence.

One rule: a user sees `Error: what` and `Hint: what to do`, never a traceback; a traceback means a bug of ours.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from difflib import get_close_matches
from importlib import import_module
from itertools import groupby
from typing import Any, NoReturn

import click

from scimproxy.errors import ScimproxyError, SyntaxProblem

__all__ = ["INTERRUPTED", "Entry", "LazyGroup", "errors_told"]

INTERRUPTED = 130
"""Exit code after Ctrl-C, as a shell gives it (128 + SIGINT)."""


@dataclass(frozen=True, slots=True)
class Entry:
    """A command by name: the module of this package that holds it, its line in the list, and the job it is for."""

    name: str
    module: str
    summary: str
    job: str


class LazyGroup(click.Group):
    """A group that knows its commands' names and summaries, and imports only the one that is called."""

    def __init__(self, *args: Any, entries: Sequence[Entry] = (), **extra: Any) -> None:  # noqa: ANN401 - click's
        super().__init__(*args, **extra)
        self.entries = {entry.name: entry for entry in entries}

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 - click's signature
        """Return the names, in the order in which they are useful."""
        return list(self.entries)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002 - the same
        """Import the command, which is called `<name>_command` in its module (`-` becomes `_`)."""
        entry = self.entries.get(cmd_name)
        if entry is None:
            return None
        module = import_module(f"scimproxy.cli.{entry.module}")
        command: click.Command = getattr(module, f"{entry.name.replace('-', '_')}_command")
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Find the command of the arguments; an unknown one is answered with the nearest known."""
        name = args[0]
        if name not in self.entries and not name.startswith("-"):
            near = get_close_matches(name.lower(), self.entries, n=1, cutoff=0.5)
            hint = f" Did you mean {near[0]!r}?" if near else ""
            raise click.UsageError(f"No such command {name!r}.{hint}", ctx)
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002 - the same
        """List the commands by the job they are for, all summaries in one column, without importing any."""
        width = max((len(name) for name in self.entries), default=0)
        for job, entries in groupby(self.entries.values(), key=lambda entry: entry.job):
            with formatter.section(job):
                formatter.write_dl([(entry.name.ljust(width), entry.summary) for entry in entries])

    def invoke(self, ctx: click.Context) -> Any:  # noqa: ANN401 - click's signature
        """Run the command; colours follow NO_COLOR and FORCE_COLOR before they follow the terminal."""
        if os.environ.get("NO_COLOR"):
            ctx.color = False
        elif os.environ.get("FORCE_COLOR"):
            ctx.color = True
        try:
            return super().invoke(ctx)
        except BrokenPipeError:  # here, because click's own handling of it ends with 1
            _reader_gone()

    def main(
        self,
        args: Sequence[str] | None = None,
        prog_name: str | None = None,
        complete_var: str | None = None,
        standalone_mode: bool = True,
        **extra: Any,  # noqa: ANN401 - click's signature
    ) -> Any:  # noqa: ANN401 - click's signature
        """Run, tell errors in our form, and exit; with `standalone_mode=False` errors are raised as they are."""
        if not standalone_mode:
            return super().main(args, prog_name, complete_var, standalone_mode=False, **extra)
        with errors_told():
            # Like click's own: an int is an exit code (of `--help`, of ctx.exit), anything else is success.
            result = super().main(args, prog_name, complete_var, standalone_mode=False, **extra)
            try:
                sys.stdout.flush()
            except BrokenPipeError:
                _reader_gone()
        sys.exit(result if isinstance(result, int) else 0)


@contextmanager
def errors_told() -> Iterator[None]:
    """Turn errors into messages and exit codes (DESIGN: 1 failed, 2 usage, 3 could not run, 130 interrupted)."""
    try:
        yield
    except ScimproxyError as exc:
        _say(exc)
        sys.exit(exc.exit_code)
    except click.ClickException as exc:
        exc.show()
        sys.exit(exc.exit_code)
    except (KeyboardInterrupt, click.Abort, EOFError):
        click.echo("Interrupted.", err=True)
        sys.exit(INTERRUPTED)


def _say(error: ScimproxyError) -> None:
    from scimproxy.cli.terminal import safe

    click.echo(click.style("Error:", fg="red") + f" {safe(error.message)}", err=True)
    if isinstance(error, SyntaxProblem):
        for line in error.pointed().splitlines():
            click.echo(f"  {safe(line)}", err=True)
    if error.hint:
        click.echo(f"  Hint: {safe(error.hint)}", err=True)


def _reader_gone() -> NoReturn:
    """End quietly: whoever read our output (`| head`) has seen enough."""
    # Python flushes stdout once more at exit; let that go nowhere.
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    sys.exit(0)
