"""`scimproxy okta-ranges`: what the list of Okta's IP ranges holds and how old it is; `--fetch` gets the present one.

One rule: only `--fetch` reaches out; recording never does.
"""

from __future__ import annotations

import asyncio
import time
from pathlib import Path

import click

from scimproxy.cli.options import json_option

__all__ = ["okta_ranges_command"]


@click.command("okta-ranges")
@click.option("--fetch", is_flag=True, help="Get the present list from Okta and keep it.")
@click.option("--url", hidden=True, help="Where --fetch gets it.")
@click.option(
    "--file",
    "path",
    type=click.Path(dir_okay=False, path_type=Path),
    help="The file of the list.  [default: in your cache folder, where `up --allow okta` looks]",
)
@json_option("the list")
def okta_ranges_command(*, fetch: bool, url: str | None, path: Path | None, as_json: bool) -> None:
    """Show Okta's IP ranges for `up --allow okta`, with their date.

    The list is what Okta publishes. It is fetched only with --fetch; a list that you downloaded yourself is named
    with --file here, and with --okta-ranges at `up`.
    """
    from scimproxy import okta_ranges
    from scimproxy.cli.lines import iso
    from scimproxy.cli.terminal import echo_json, plural

    where = path or okta_ranges.cache_path()
    if fetch:
        source = url or okta_ranges.URL
        click.echo(f"Fetching {source} ...", err=True)
        data = asyncio.run(okta_ranges.fetch(source))
        ranges = okta_ranges.keep(data, where, fetched_at=time.time(), url=source)
    else:
        ranges = okta_ranges.load(where)
    date = None if ranges.fetched_at is None else iso(ranges.fetched_at)
    if as_json:
        cells = {name: [str(network) for network in networks] for name, networks in ranges.cells.items()}
        echo_json({"file": str(where), "fetched_at": date, "cells": cells})
        return
    for name, networks in sorted(ranges.cells.items()):
        click.echo(f"{name:<20}{plural(len(networks), 'range')}")
    click.echo(f"{plural(len(ranges.networks), 'different range')} of {date}, in {where}", err=True)
