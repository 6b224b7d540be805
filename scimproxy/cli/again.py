"""The words that run a suite again: what was typed after `scimproxy run`, without what is secret.

One rule: a secret that was typed is never kept. `--auth` says where its token is to be had, or `-`, which asks; a
variable with a secret value becomes `NAME=<NAME>`, to be filled in. What only says where results go is left out.
Place in the flow: run command -> SuiteOptions.command -> the store -> the inspector's page of the run.
"""

from __future__ import annotations

from collections.abc import Iterable

import click
from click.core import ParameterSource

from scimproxy.suite.masking import secret_names

__all__ = ["words_again"]

_LEFT_OUT = frozenset({"db", "as_json", "junit", "html", "markdown", "ui", "ui_port", "share_port"})


def words_again(context: click.Context, secrets: Iterable[str]) -> tuple[str, ...]:
    """Return the words of a command that were typed, arguments first; no value that holds a secret is among them."""
    hidden = tuple(secrets)
    arguments: list[str] = []
    options: list[str] = []
    for param in context.command.params:
        value = None if param.name is None else context.params.get(param.name)
        typed = param.name is not None and context.get_parameter_source(param.name) is ParameterSource.COMMANDLINE
        if not typed or param.name in _LEFT_OUT or value is None:
            continue
        if isinstance(param, click.Argument):
            arguments.append(str(value))
        elif isinstance(param, click.Option) and param.is_flag:
            options.append(param.opts[0] if value else param.secondary_opts[0])
        else:
            for one in value if param.multiple else (value,):
                options += [param.opts[0], _shown(param.name or "", str(one), hidden)]
    return (*arguments, *options)


def _shown(name: str, value: str, hidden: tuple[str, ...]) -> str:
    if name == "auth":  # where the token is to be had, as read_auth takes it; a token itself is refused there
        return value if value.startswith(("env:", "file:")) else "-"
    if name == "variables":
        variable, _, given = value.partition("=")
        if secret_names([variable]) or any(one in given for one in hidden):
            return f"{variable}=<{variable}>"
    return value
