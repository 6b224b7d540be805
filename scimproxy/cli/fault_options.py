"""`--fault`, for every command that answers or passes requests on, and what is said of faults at the end.

One rule: a fault that cannot be read is refused before anything starts, with the place in it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from scimproxy.faults import Faults
    from scimproxy.proxy.intervention import Intervener

__all__ = ["fault_counts", "fault_option", "faults_from", "say_faults"]


def fault_option(function: Callable[..., Any]) -> Callable[..., Any]:
    """Add `--fault FAULT`, repeatable; its name is `faults`."""
    option = click.option(
        "--fault",
        "faults",
        multiple=True,
        metavar="FAULT",
        help="Let something go wrong, like 'op:create nth:2 status:503 retry-after:5'; `scimproxy help faults`. "
        "Repeatable.",
    )
    return option(function)


def faults_from(texts: Sequence[str], then: Intervener | None = None) -> Faults | None:
    """Return what follows these faults, above another intervener where there is one; None where there are none.

    Raises:
        SyntaxProblem: one does not parse; says where.
    """
    if not texts:
        return None
    from scimproxy.faults import Faults, parse_fault

    return Faults([parse_fault(text) for text in texts], then)


def fault_counts(intervener: Intervener | None) -> list[tuple[str, int]]:
    """Return each fault of a recording and how often it fired."""
    if intervener is None:
        return []
    from scimproxy.faults import Faults

    return intervener.counts if isinstance(intervener, Faults) else []


def say_faults(intervener: Intervener | None) -> None:
    """Say on stderr how often each fault fired."""
    from scimproxy.cli.terminal import safe

    for text, fired in fault_counts(intervener):
        colour = "yellow" if fired else "red"
        click.echo(f"  {click.style(f'{fired:,} x', fg=colour)} fault {safe(text)}", err=True)
