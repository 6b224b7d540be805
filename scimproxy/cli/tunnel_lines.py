"""What a person is told about a tunnel: where to paste its URL, what it opens, and what becomes of it.

One rule: a line that was printed stays true: each change of state is a line of its own, with its time.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import click

from scimproxy.cli.terminal import safe

if TYPE_CHECKING:
    from scimproxy.app import RecordOptions
    from scimproxy.exchange import TunnelEvent
    from scimproxy.exposure import ExposureOptions
    from scimproxy.proxy.engine import EngineOptions, GuardOptions

__all__ = ["paste", "say_public", "say_state"]

_COLOURS = {"up": "green", "degraded": "yellow", "reconnecting": "yellow", "failed": "red"}


def paste(public: str, guard: GuardOptions | None) -> None:
    """Say where the SCIM base URL belongs; each value stands alone on its line, ready to copy."""
    demanded = guard is not None and guard.token is not None
    token = "the token of --require-token" if demanded else "your server's token"
    click.echo("    Okta      SCIM connector base URL (app > Provisioning > Integration)", err=True)
    click.echo(f"              {public}", err=True)
    click.echo(f"              Authentication Mode: HTTP Header, with {token}", err=True)
    click.echo("    Runscope  environment variables SCIMBaseURL and auth", err=True)
    click.echo(f"              {public}", err=True)
    click.echo(f"              Bearer {'THE-REQUIRED-TOKEN' if demanded else 'YOUR-SERVERS-TOKEN'}", err=True)


def say_public(options: RecordOptions, event: TunnelEvent) -> None:
    """Say that the recording is public now: the URL to paste, what is reachable, by whom, for how long."""
    exposure = options.exposure
    assert exposure is not None
    assert event.url is not None
    public = safe(options.engine.base_url(event.url))
    click.echo(err=True)
    click.secho(f"  PUBLIC at {public}", bold=True, err=True)
    if event.message:
        click.echo(f"    {safe(event.message)}", err=True)
    paste(public, options.engine.guard)
    for line in _facts(exposure, options.engine):
        click.echo(click.wrap_text(line, 80, "    ", "    "), err=True)
    click.echo(err=True)


def _facts(exposure: ExposureOptions, engine: EngineOptions) -> list[str]:
    traits = exposure.provider.traits
    reachable = f"what lies below {engine.served_path}" if engine.served_path else "everything that the server has"
    lines = [_who(engine.guard), f"Reachable: {reachable} at {engine.target.origin}, through this recording only."]
    if traits.shows_address:
        lines.append("On ngrok's free plan callers are shown this machine's public IP address.")
    if traits.encrypted is False:
        lines.append("Careful: the way is not encrypted all along.")
    if traits.warning:
        lines.append(f"Careful: {traits.warning}.")
    if exposure.max_duration_s is None:
        ends = "Public until you stop it"
    else:
        at = time.strftime("%H:%M", time.localtime(time.time() + exposure.max_duration_s))
        ends = f"Public until {at} at most (--max-duration)"
    if exposure.idle_close_s is not None:
        ends += f", or until nothing came for {exposure.idle_close_s / 60:g} minutes (--idle-close)"
    return [*lines, f"{ends}."]


def _who(guard: GuardOptions | None) -> str:
    """Say who can send requests to the server."""
    needs = [
        *(["has the token of --require-token"] if guard is not None and guard.token is not None else []),
        *(["comes from an address of --allow"] if guard is not None and guard.allow is not None else []),
    ]
    if not needs:
        return "Anyone on the internet who knows the URL can send requests to your server."
    return f"Who knows the URL and {' and '.join(needs)} can send requests to your server."


def say_state(event: TunnelEvent) -> None:
    """Say that the tunnel's state has changed."""
    at = time.strftime("%H:%M:%S", time.localtime(event.at))
    word = click.style(event.state, fg=_COLOURS.get(event.state))
    told = " ".join(filter(None, [event.url, f"({event.message})" if event.message and event.url else event.message]))
    click.echo(f"{at}  tunnel {word}" + (f": {safe(told)}" if told else ""), err=True)
