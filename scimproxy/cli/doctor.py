"""`scimproxy doctor`: print the checks of doctor.py, one line each, and what to do."""

from __future__ import annotations

import os
from pathlib import Path

import click

from scimproxy.cli.options import Number, db_option, json_option

__all__ = ["doctor_command"]

_COLOURS = {"ok": "green", "warn": "yellow", "fail": "red"}


@click.command("doctor")
@click.argument("target", required=False)
@db_option
@click.option("--port", default=8080, show_default=True, type=Number(1, 65535), help="The port of `up`.")
@click.option("--listen-host", default="127.0.0.1", show_default=True, help="The address of `up`.")
@click.option(
    "--token",
    metavar="SOURCE",
    help="Bearer token for TARGET: - (stdin), env:NAME or file:FILE.  [default: env:SCIMPROXY_TOKEN if set]",
)
@click.option("--tunnel", metavar="NAME", help="Look also at what this tunnel needs: ngrok, ssh, cloudflared, ...")
@click.option("--ngrok-path", type=click.Path(path_type=Path), help="The ngrok agent.  [default: as installed]")
@json_option("checks")
def doctor_command(
    target: str | None,
    *,
    db: Path,
    port: int,
    listen_host: str,
    token: str | None,
    tunnel: str | None,
    ngrok_path: Path | None,
    as_json: bool,
) -> None:
    """Check TARGET (with it), the port, the database, the versions and ngrok.

    Each check says ok, warn or fail, and what to do. The exit code is 1 when one fails.
    """
    from scimproxy.cli.reading import read_token
    from scimproxy.cli.terminal import echo_json, plural, safe
    from scimproxy.doctor import examine
    from scimproxy.proxy.engine import Address, Target

    upstream = None if target is None else Target.parse(target)
    counts = {"ok": 0, "warn": 0, "fail": 0}
    secret = os.environ.get("SCIMPROXY_TOKEN") if token is None else read_token("--token", token)
    for check in examine(
        target=upstream, db=db, listen=Address(listen_host, port), token=secret, tunnel=tunnel, ngrok_path=ngrok_path
    ):
        counts[check.level] += 1
        if as_json:
            echo_json({"name": check.name, "level": check.level, "message": check.message, "hint": check.hint})
            continue
        click.echo(
            f"{click.style(f'{check.level:<4}', fg=_COLOURS[check.level])}  {check.name}: {safe(check.message)}"
        )
        if check.hint:
            click.echo(f"      -> {safe(check.hint)}")
    if not as_json:
        click.echo(f"{plural(counts['fail'], 'problem')}, {plural(counts['warn'], 'warning')}.", err=True)
    if counts["fail"]:
        click.get_current_context().exit(1)
