"""`scimproxy tunnel`: which tunnels there are, and ngrok's agent for those who want it from us.

One rule: nothing is downloaded without a person's yes, and it is said from where and what came.
"""

from __future__ import annotations

from pathlib import Path

import click

from scimproxy.cli.options import json_option

__all__ = ["install_agent", "tunnel_command"]


@click.group("tunnel", context_settings={"help_option_names": ["-h", "--help"]})
def tunnel_command() -> None:
    """List the tunnels that `up --tunnel` knows, and install ngrok's agent."""


@tunnel_command.command("list")
@json_option("tunnels")
def list_command(*, as_json: bool) -> None:
    """List the tunnels by name, with what each needs."""
    from scimproxy.cli.terminal import echo_json
    from scimproxy.tunnel.recipes import RECIPES
    from scimproxy.tunnel.ssh import SERVICES

    rows = [
        ("ngrok", "an account's authtoken (free); tells who called; one URL that stays", "ngrok.com"),
        ("ssh:user@host", "a host of yours with a web server (--public-url, --ssh-remote)", "openssh-client"),
        *(
            (f"ssh:{name}", "a public service over ssh; no account, URL changes", "openssh-client")
            for name in SERVICES
        ),
    ]
    for one in RECIPES.values():
        words = [one.needs_to or "", one.traits.warning or "", "" if one.pattern else "needs --public-url"]
        rows.append((one.name, "; ".join(word for word in words if word) or "that program", one.install))
    rows.append(("command:'PROGRAM {port}'", "any program; its URL is found in its output", "-"))
    rows.append(("manual", "you run the tunnel; --public-url tells its URL", "-"))
    for name, what, install in rows:
        if as_json:
            echo_json({"name": name, "about": what, "install": install})
            continue
        click.secho(name, bold=True)
        click.echo(click.wrap_text(what, 78, "  ", "  "))
        if install != "-":
            click.echo(f"  Get it: {install}")


@tunnel_command.command("install")
@click.option("--ngrok-path", type=click.Path(path_type=Path), help="Put it here.  [default: where pyngrok looks]")
@click.option("--yes", is_flag=True, help="Do not ask.")
def install_command(*, ngrok_path: Path | None, yes: bool) -> None:
    """Download ngrok's agent from ngrok, after asking.

    ngrok publishes no checksums: what came is shown with its SHA-256, so that you can compare it.
    """
    if not install_agent(ngrok_path, ask=not yes):
        raise click.Abort


def install_agent(path: Path | None, *, ask: bool) -> bool:
    """Download ngrok's agent; False where a person says no.

    Raises:
        TunnelError: it cannot be downloaded or put there.
    """
    from scimproxy.tunnel import ngrok_binary

    url = ngrok_binary.download_url()
    to = path or ngrok_binary.default_path(Path.home())
    if ask and not click.confirm(f"Download ngrok's agent from {url} to {to}?", err=True):
        return False
    click.echo(f"Downloading {url} ...", err=True)
    made = ngrok_binary.install(url, to)
    click.echo(f"ngrok {made.version[0]}.{made.version[1]} is at {made.path}", err=True)
    click.echo(f"  SHA-256 {made.sha256}", err=True)
    return True
