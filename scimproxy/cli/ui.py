"""`scimproxy ui`: the inspector on any database, which is only shown; and the options of the one beside `up`.

One rule: the URL with its token is said once, on stderr, and stands nowhere else.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import click

from scimproxy.cli.options import Number, db_option, open_reader, resolve_run

__all__ = ["UI_NAMES", "inspecting", "share_port_option", "ui_command", "ui_options"]

UI_NAMES = ("ui_port", "share_port", "ui")

type Decorator = Callable[[Callable[..., Any]], Callable[..., Any]]


share_port_option = click.option(
    "--share-port",
    type=Number(0, 65535),
    metavar="PORT",
    default=0,
    help="Port of the links to runs that are made shareable in the inspector.  [default: any]",
)


def ui_options(function: Callable[..., Any]) -> Callable[..., Any]:
    """Add `--ui-port`, `--share-port` and `--no-ui`."""
    options = (
        click.option(
            "--ui-port",
            type=Number(0, 65535),
            metavar="PORT",
            help="Port of the inspector; 0: any.  [default: 8081, or any where that is taken]",
        ),
        share_port_option,
        click.option(
            "--ui/--no-ui",
            "ui",
            default=True,
            envvar="SCIMPROXY_UI",
            help="Show the recording in a browser, or do not. Also: SCIMPROXY_UI=0.",
        ),
    )
    for option in reversed(options):
        function = option(function)
    return function


@asynccontextmanager
async def inspecting(
    db: Path, *, ui: bool, ui_port: int | None, share_port: int = 0, suites: tuple[str, ...] = ()
) -> AsyncIterator[str | None]:
    """Run an inspector beside a recording, during the block; gives its URL with the token.

    `suites` are looked for in the recording that begins next.

    Raises:
        EngineError: it cannot listen there.
    """
    if not ui:
        yield None
        return
    import secrets

    from scimproxy.web.child import ChildOptions, beside

    options = ChildOptions(db=db, token=secrets.token_urlsafe(32), port=ui_port, share_port=share_port, suites=suites)
    async with beside(options) as url:
        yield url


def say_url(url: str) -> None:
    """Tell a person where to look."""
    click.echo(f"  {'Inspector':<10}{click.style(url, bold=True)}", err=True)


@click.command("ui")
@db_option
@click.option("--run", help="Begin with this run: an id, a name, or `last`.")
@click.option("--port", default=0, show_default=False, type=Number(0, 65535), help="Listen here.  [default: any]")
@click.option("--open", "browser", is_flag=True, help="Open it in the browser.")
def ui_command(*, db: Path, run: str | None, port: int, browser: bool) -> None:
    """Look at a database in the browser: runs, exchanges, suites, differences.

    Nothing in it can be changed from there; `up` and `demo` start an inspector that can. The URL holds a
    token that is new each time. Ctrl-C ends it.
    """
    import asyncio

    with open_reader(db) as reader:
        chosen = None if run is None else resolve_run(reader, run).id

    async def serve() -> None:
        from scimproxy.stopping import Stop
        from scimproxy.web.server import Inspector, InspectorOptions, new_token

        token = new_token()
        inspector = Inspector(InspectorOptions(db=db, token=token, port=port, read_only=True))
        stop = Stop()
        with stop.on_signals():
            await inspector.start()
            try:
                url = f"{inspector.url}{'' if chosen is None else f'?run={chosen}'}#token={token}"
                say_url(url)
                click.echo("  Ctrl-C ends it.", err=True)
                if browser:
                    click.launch(url)
                await stop.requested.wait()
            finally:
                await inspector.stop()

    asyncio.run(serve())
