"""Secrets that a command is given: from stdin, a variable or a file, never as a word of the command line.

One rule: every user of the machine can read a command line, so a secret that stands there is refused, not used.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

import click

from scimproxy.errors import UsageError

__all__ = ["read_auth", "read_secret", "read_token"]


def read_auth(text: str | None) -> str | None:
    """Return the Authorization value behind `--auth`, as `read_token` reads it; None where it was not given."""
    return None if text is None else read_token("--auth", text)


def read_token(option: str, text: str) -> str:
    """Return the token behind `-`, `env:NAME` or `file:FILE`.

    Raises:
        UsageError: it is a token itself, or there is none.
    """
    source, _, name = text.partition(":")
    if text != "-" and (source not in {"env", "file"} or not name):
        raise UsageError(
            f"{option} takes no token: other users of this machine can read a command line",
            hint=f"put it in a variable or a file: {option} env:NAME or file:FILE; or - reads it from stdin",
        )
    return read_secret(option, text)


def read_secret(option: str, text: str) -> str:
    """Return the secret that stdin (`-`), a variable (`env:NAME`) or a file (`file:FILE`) holds.

    Raises:
        UsageError: there is none.
    """
    if text == "-":
        if sys.stdin.isatty():
            found: str | None = click.prompt(option, hide_input=True, err=True)
        else:
            found = sys.stdin.readline()
        where = "stdin"
    else:
        source, _, name = text.partition(":")
        where = f"the variable {name}" if source == "env" else name
        found = os.environ.get(name) if source == "env" else _file(option, Path(name))
    secret = (found or "").strip()
    if not secret:
        raise UsageError(f"{option}: {where} holds nothing", hint="it must hold the secret and nothing else")
    return secret


def _file(option: str, path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as exc:
        why = exc.strerror if isinstance(exc, OSError) else "it is not text"
        raise UsageError(f"{option}: {path} cannot be read: {why}", hint="name a text file") from exc
