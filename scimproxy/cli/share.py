"""`scimproxy share` and `unshare`: a run behind an unguessable link, on a listener of its own, for a while.

One rule: the link is told once and works only while this command runs and the run is shareable; when the command
ends, the run is private again.
"""

from __future__ import annotations

import asyncio
import secrets
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from scimproxy.cli.options import DURATION, Number, db_option, json_option, open_reader, resolve_run
from scimproxy.cli.sections import typed
from scimproxy.cli.tunnel_options import exposure_of, tunnel_options
from scimproxy.errors import UsageError

if TYPE_CHECKING:
    from scimproxy.exchange import Run, TunnelEvent
    from scimproxy.tunnel.contract import Provider, TunnelUp

__all__ = ["share_command", "unshare_command"]


@click.command("share")
@click.argument("run", required=False)
@db_option
@click.option("--list", "listed", is_flag=True, help="List the runs that are shareable, and end.")
@click.option("--port", type=Number(0, 65_535), default=0, help="Port of the share listener.  [default: any]")
@click.option("--for", "duration", type=DURATION, default="8h", show_default=True, help="How long; `never` ends.")
@click.option("--keep-names", is_flag=True, help="Show names, e-mail addresses, phone numbers as they are.")
@json_option("the link, or the list,")
@tunnel_options
def share_command(
    run: str | None, *, db: Path, listed: bool, port: int, duration: float | None, keep_names: bool, as_json: bool,
    **given: Any,  # noqa: ANN401 - click's options
) -> None:  # fmt: skip
    r"""Let others read RUN (an id, a name, or `last`) through a link that nobody can guess.

    The link is shown once. It leads to a listener of its own, where nothing else can be reached:
    read-only, with pseudonyms for personal values. With --tunnel it is public. When this command
    ends, or after `scimproxy unshare RUN`, the run is private again and the link is dead.

    \b
      scimproxy share last --for 1h
      scimproxy share 12 --tunnel ngrok
      scimproxy share --list
    """
    if listed:
        _list(db, as_json=as_json)
        return
    with open_reader(db) as reader:
        chosen = resolve_run(reader, run)
    provider = _provider(given)
    asyncio.run(_serve(db, chosen, provider, port, duration, keep_names=keep_names, as_json=as_json))


@click.command("unshare")
@click.argument("run")
@db_option
def unshare_command(run: str, *, db: Path) -> None:
    """Make RUN private again: its link is dead at once."""
    from scimproxy.store.shares import unshare_run

    with open_reader(db) as reader:
        chosen = resolve_run(reader, run)
    assert chosen.id is not None
    was = unshare_run(db, chosen.id)
    click.echo(f"Run {chosen.id} is private{'.' if was else '; it was before.'}", err=True)


def _provider(given: dict[str, Any]) -> Provider | None:
    for option in typed(("max_duration", "idle_close", "on_url_change", "no_probe")):
        raise UsageError(f"{option} is for `scimproxy up`", hint="--for says how long a run is shared")
    exposure = exposure_of(given, public_url=None, base="/")
    return None if exposure is None else exposure.provider


def _list(db: Path, *, as_json: bool) -> None:
    from scimproxy.cli.terminal import Column, echo_json, moment, table
    from scimproxy.store.shares import shares

    found = [one for one in shares(db) if one.open_at(time.time())]
    if as_json:
        for one in found:
            made = {"run": one.run_id, "keep_names": one.keep_names}
            echo_json(made | {"created_at": one.created_at, "expires_at": one.expires_at})
        return
    if not found:
        click.echo("No run is shareable.", err=True)
        return
    rows = [
        [str(one.run_id), "as recorded" if one.keep_names else "pseudonyms", moment(one.created_at),
         "never" if one.expires_at is None else moment(one.expires_at)]
        for one in found
    ]  # fmt: skip
    table([Column("RUN", "right"), Column("NAMES"), Column("SINCE"), Column("ENDS", flexible=True)], rows)


class _Told:
    """Prints the public link when a tunnel has one."""

    def __init__(self, path: str, *, as_json: bool) -> None:
        self._path = path
        self._as_json = as_json

    def event(self, event: TunnelEvent) -> None:
        if event.message and event.state in {"degraded", "reconnecting", "failed"}:
            click.echo(f"Tunnel {event.state}: {event.message}", err=True)

    def opened(self, up: TunnelUp, before: str | None) -> None:  # noqa: ARG002 - the supervisor's contract
        _tell(f"{up.url.rstrip('/')}{self._path}", as_json=self._as_json)


def _tell(link: str, *, as_json: bool) -> None:
    from scimproxy.cli.terminal import echo_json

    if as_json:
        echo_json({"url": link})
    else:
        click.echo(link)


async def _serve(
    db: Path,
    run: Run,
    provider: Provider | None,
    port: int,
    duration: float | None,
    *,
    keep_names: bool,
    as_json: bool,
) -> None:
    from scimproxy.share_site import Site
    from scimproxy.stopping import Stop
    from scimproxy.store.shares import share_run, unshare_run

    assert run.id is not None
    token, stop, site = secrets.token_urlsafe(32), Stop(), Site(db, run.id)
    try:
        listening = await site.start(port=port)
    except OSError as exc:
        raise UsageError(f"port {port} cannot be used: {exc.strerror or exc}", hint="leave --port out") from exc
    now = time.time()
    ends = None if duration is None else now + duration
    with stop.on_signals():
        await asyncio.to_thread(share_run, db, run.id, token, keep_names=keep_names, now=now, expires_at=ends)
        try:
            names = "names as recorded" if keep_names else "pseudonyms for names"
            click.echo(f"Run {run.id} ({run.name}) is shareable, with {names}; Ctrl-C makes it private.", err=True)
            _tell(f"http://127.0.0.1:{listening}/s/{token}", as_json=as_json)
            await _until(stop, provider, listening, _Told(f"/s/{token}", as_json=as_json), duration)
        finally:
            await site.close()
            await asyncio.to_thread(unshare_run, db, run.id)
            click.echo(f"Run {run.id} is private again.", err=True)


async def _until(stop: Any, provider: Provider | None, port: int, told: _Told, duration: float | None) -> None:  # noqa: ANN401 - Stop
    """Wait for the end: a signal, the time, or a tunnel that never came up."""
    from scimproxy.tunnel.contract import Local
    from scimproxy.tunnel.supervisor import Supervisor

    waiting = asyncio.create_task(stop.requested.wait())
    if provider is None:
        await asyncio.wait({waiting}, timeout=duration)
        waiting.cancel()
        return
    supervisor = Supervisor(provider, Local("127.0.0.1", port), told)
    running = asyncio.create_task(supervisor.run())
    try:
        await asyncio.wait({waiting, running}, timeout=duration, return_when=asyncio.FIRST_COMPLETED)
        problem = running.result() if running.done() else None
    finally:
        waiting.cancel()
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
        await supervisor.close()
    if problem is not None:
        raise problem
