"""`scimproxy addon`: where the file is that mitmproxy loads.

One rule: stdout is the path alone, so that `mitmdump -s "$(scimproxy addon)"` works.
"""

from __future__ import annotations

from pathlib import Path

import click

__all__ = ["addon_command"]


@click.command("addon")
def addon_command() -> None:
    """Print the path of an addon for mitmproxy that records into scimproxy's database.

    \b
    mitmdump -s "$(scimproxy addon)" --set scimproxy_db=recordings/scimproxy.db
    mitmproxy -s "$(scimproxy addon)" --mode reverse:http://127.0.0.1:8000

    scimproxy has to be installed in the Python that runs mitmproxy: the same environment, or `pipx inject
    mitmproxy scimproxy`, or `uv tool install mitmproxy --with scimproxy`. mitmproxy's standalone binaries cannot
    load it. Options of the addon: scimproxy_db, scimproxy_run (a name), scimproxy_keep_secrets.
    """  # noqa: D301 - \b is click's mark: keep these lines
    click.echo(Path(__file__).resolve().parent.parent / "addon" / "scimproxy_addon.py")
