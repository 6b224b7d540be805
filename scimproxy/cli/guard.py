"""The options of `scimproxy up` that say what strangers may do, and how they become `GuardOptions`.

One rule: a token is never a word of the command line, where every user of the machine can read it; the secret path
may be, because it only keeps scanners away. What cannot be kept (a list of addresses nobody vouches for) is refused.
"""

from __future__ import annotations

import ipaddress
import os
import re
import secrets
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from scimproxy.cli.options import SIZE, Number
from scimproxy.cli.reading import read_secret, read_token
from scimproxy.errors import ScimproxyError, UsageError

if TYPE_CHECKING:
    from scimproxy.proxy.engine import GuardOptions, Network

__all__ = ["GUARD_NAMES", "guard_from", "guard_options", "guard_words"]

_OLD_S = 30 * 24 * 3600.0
_PATH = re.compile(r"[A-Za-z0-9_-]{16,128}")
_METHOD = re.compile(r"[A-Z][A-Z-]{0,31}")
_SHORTEST_TOKEN = 16
GUARD_NAMES = (
    "require_token", "secret_path", "allow", "okta_ranges", "trust_forwarded_for", "methods", "max_body",
    "rate_limit", "rate_limit_all",
)  # fmt: skip
"""The parameters of the guard, in the order in which the help shows them."""


def guard_options(function: Callable[..., Any]) -> Callable[..., Any]:
    """Add the options of the guard."""
    for option in reversed(
        (
            click.option(
                "--require-token",
                metavar="-|env:NAME|file:FILE",
                help="Demand this bearer token before the server is asked: from stdin, a variable or a file.",
            ),
            click.option(
                "--secret-path",
                metavar="auto|TEXT|env:NAME|file:FILE",
                help="Serve only below /SECRET; a missing file is made. The server does not see it.",
            ),
            click.option(
                "--allow",
                multiple=True,
                metavar="okta|CIDR",
                help="Let in only these client addresses (repeatable).",
            ),
            click.option(
                "--okta-ranges",
                type=click.Path(exists=True, dir_okay=False, path_type=Path),
                help="File of Okta's ranges.  [default: that of `scimproxy okta-ranges --fetch`]",
            ),
            click.option(
                "--trust-forwarded-for",
                is_flag=True,
                help="Your own tunnel writes the last X-Forwarded-For: believe it.",
            ),
            click.option("--methods", metavar="LIST", help="Allow only these methods, like GET,HEAD."),
            click.option("--max-body", type=SIZE, help="Answer 413 to larger requests.  [default: 10M]"),
            click.option(
                "--rate-limit",
                type=Number(0, 10_000_000),
                metavar="N",
                help="Requests a minute for one client; 0: any.  [default: 3000]",
            ),
            click.option(
                "--rate-limit-all",
                type=Number(0, 10_000_000),
                metavar="N",
                help="Requests a minute for all clients; 0: any.  [default: 6000]",
            ),
        )
    ):
        function = option(function)
    return function


def guard_from(given: Mapping[str, Any], *, exposed: bool, vouched: bool) -> GuardOptions | None:
    """Return what the options say; None where nobody can come from outside (not `exposed`) and none was given.

    `vouched`: the tunnel writes the client's address truly, so that a list of addresses can be kept.

    Raises:
        UsageError: a value cannot be used, or nobody vouches for addresses.
    """
    from scimproxy.proxy.engine import METHODS, GuardOptions

    if not exposed and all(given[name] in {None, ()} for name in GUARD_NAMES if name != "trust_forwarded_for"):
        return None
    if [given["require_token"], given["secret_path"]] == ["-", "-"]:
        raise UsageError("--require-token - and --secret-path - both want stdin", hint="give one of them as env:NAME")
    return GuardOptions(
        methods=METHODS if given["methods"] is None else _methods(given["methods"]),
        max_body=10 * 1024 * 1024 if given["max_body"] is None else given["max_body"],
        secret_path=None if given["secret_path"] is None else _secret_path(given["secret_path"]),
        token=None if given["require_token"] is None else _token(given["require_token"]),
        allow=_networks(given["allow"], given["okta_ranges"], vouched=vouched),
        rate_per_client=_rate(given["rate_limit"], 3000),
        rate_overall=_rate(given["rate_limit_all"], 6000),
        mark=secrets.token_hex(8),
        probe_key=secrets.token_bytes(32),
    )


def guard_words(guard: GuardOptions) -> str:
    """Say in one line what strangers may do; no secret is in it."""
    from scimproxy.cli.terminal import plural, size

    asked = [
        "a bearer token" if guard.token is not None else "",
        "the secret path" if guard.secret_path is not None else "",
        "an address on the list" if guard.allow is not None else "",
    ]
    words = [f"asks for {' and '.join(part for part in asked if part)}" if any(asked) else "open to everybody"]
    words.append(", ".join(guard.methods))
    if guard.max_body is not None:
        words.append(f"bodies up to {size(guard.max_body)}")
    if guard.rate_per_client is not None:
        words.append(f"{plural(guard.rate_per_client, 'request')}/min")
    return "; ".join(words)


def _rate(given: int | None, default: int) -> int | None:
    return default if given is None else given or None


def _methods(text: str) -> tuple[str, ...]:
    methods = tuple(dict.fromkeys(word.strip().upper() for word in text.split(",")))
    strange = next((word for word in methods if not _METHOD.fullmatch(word) or word == "CONNECT"), None)
    if strange is not None:
        raise UsageError(f"--methods: {strange!r} is no method that passes", hint="write it like GET,HEAD")
    return methods


# -- secrets ------------------------------------------------------------------------------------------------------


def _token(text: str) -> str:
    token = read_token("--require-token", text)
    if (
        len(token) < _SHORTEST_TOKEN
        or not token.isascii()
        or any(not one.isprintable() or one == " " for one in token)
    ):
        raise UsageError(
            f"--require-token: the token must have at least {_SHORTEST_TOKEN} visible ASCII characters",
            hint="make one, without `Bearer`: python3 -c 'import secrets; print(secrets.token_urlsafe(24))'",
        )
    return token


def _secret_path(text: str) -> str:
    if text == "auto":
        return secrets.token_hex(16)
    source, _, name = text.partition(":")
    if source == "file" and name and not Path(name).exists():
        return _new_secret(Path(name))
    secret = read_secret("--secret-path", text) if text == "-" or (source in {"env", "file"} and name) else text
    secret = secret.strip("/")
    if not _PATH.fullmatch(secret):
        raise UsageError(
            "--secret-path: the secret must be 16 to 128 letters, digits, - or _",
            hint="`auto` makes a new one at each start, `file:FILE` makes one and keeps it",
        )
    return secret


def _new_secret(path: Path) -> str:
    secret = secrets.token_hex(16)
    try:
        with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
            file.write(secret + "\n")
    except OSError as exc:
        raise UsageError(f"--secret-path: {path} cannot be made: {exc.strerror}", hint="name another file") from exc
    return secret


# -- addresses ----------------------------------------------------------------------------------------------------


def _networks(allow: tuple[str, ...], okta_file: Path | None, *, vouched: bool) -> tuple[Network, ...] | None:
    if okta_file is not None and "okta" not in allow:
        raise UsageError("--okta-ranges is only for --allow okta", hint="add --allow okta")
    if not allow:
        return None
    if not vouched:
        raise UsageError(
            "--allow needs the true address of the client, and nobody vouches for it: every connection comes from "
            "the tunnel's end on this machine, and X-Forwarded-For can be written by anybody",
            hint="where your tunnel appends the client's address to X-Forwarded-For (ngrok, Caddy, nginx), say so "
            "with --trust-forwarded-for; else protect the server with --require-token",
        )
    networks: list[Network] = []
    for text in allow:
        networks += _okta(okta_file) if text == "okta" else [_cidr(text)]
    return tuple(networks)


def _cidr(text: str) -> Network:
    try:
        return ipaddress.ip_network(text)
    except ValueError as exc:
        raise UsageError(
            f"--allow {text!r} is neither okta nor a network: {exc}", hint="write it like 192.0.2.0/24"
        ) from exc


def _okta(given: Path | None) -> tuple[Network, ...]:
    from scimproxy import okta_ranges
    from scimproxy.cli.printer import notice
    from scimproxy.cli.terminal import moment, plural

    path = given or okta_ranges.cache_path()
    if given is None and not path.exists():
        raise UsageError(
            "--allow okta: there is no list of Okta's ranges yet, and none is fetched unasked",
            hint="get it with `scimproxy okta-ranges --fetch`, or name a file with --okta-ranges",
        )
    try:
        ranges = okta_ranges.load(path)
    except ScimproxyError as exc:
        raise UsageError(f"--allow okta: {exc.message}", hint=exc.hint) from exc
    assert ranges.fetched_at is not None  # a file has a date
    told = f"Okta's list of {moment(ranges.fetched_at)} holds {plural(len(ranges.networks), 'range')} ({path})"
    old = time.time() - ranges.fetched_at > _OLD_S
    notice("warning" if old else "note", told, "get them anew: scimproxy okta-ranges --fetch" if old else None)
    return ranges.networks
