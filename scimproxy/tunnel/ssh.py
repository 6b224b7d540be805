"""Reverse tunnels over ssh: to a host of one's own, or to a public service. Pure: it makes a recipe.

One rule: ssh runs as a machine runs it: it asks nothing, and ends as soon as the forwarding does not stand
(ExitOnForwardFailure) or the other side is silent.
Source: ssh(1), ssh_config(5).
"""

from __future__ import annotations

from pathlib import Path

from scimproxy.errors import UsageError
from scimproxy.tunnel.contract import Traits
from scimproxy.tunnel.recipes import Recipe

__all__ = ["SERVICES", "ssh_recipe"]

_OPTIONS = (
    "BatchMode=yes",
    "ExitOnForwardFailure=yes",
    "ServerAliveInterval=15",
    "ServerAliveCountMax=3",
    "ConnectTimeout=10",
)

SERVICES: dict[str, tuple[str, str, str, str]] = {
    # name: (destination, port, what follows -R, pattern of the URL)
    "localhost.run": ("nokey@localhost.run", "22", "80:{host}:{port}", r"https://[-a-z0-9]+\.lhr\.life"),
    "serveo": ("serveo.net", "22", "80:{host}:{port}", r"https://[-a-z0-9]+\.serveo(?:usercontent)?\.(?:net|com)"),
    "pinggy": (
        "a.pinggy.io",
        "443",
        "0:{host}:{port}",
        r"https://[-a-z0-9.]+\.(?:free\.pinggy\.link|pinggy\.link|pinggy-free\.link)",
    ),
}


def ssh_recipe(
    to: str,
    *,
    public_url: str | None = None,
    remote: str = "127.0.0.1:8080",
    identity: Path | None = None,
    config: Path | None = None,
    port: int | None = None,
) -> Recipe:
    """Return the recipe for `--tunnel ssh:TO`; TO is a service of `SERVICES`, or a destination like user@host.

    `remote` is where the other host listens (address:port); its web server with TLS leads from `public_url` to it.

    Raises:
        UsageError: TO or `remote` is none, or nobody says what the public URL is.
    """
    service = SERVICES.get(to)
    if service is None:
        if not to or to.startswith("-") or any(letter.isspace() for letter in to):
            raise UsageError(
                f"--tunnel ssh:{to} names no host", hint=f"write ssh:user@host, or ssh:{next(iter(SERVICES))}"
            )
        if public_url is None:
            raise UsageError(
                "--tunnel ssh to a host of your own needs --public-url",
                hint="the https URL under which that host's web server leads to --ssh-remote",
            )
        address, colon, number = remote.rpartition(":")
        if not (colon and address and number.isdecimal() and 0 < int(number) < 65536):
            raise UsageError(f"--ssh-remote {remote!r} is not address:port", hint="write it like 127.0.0.1:8080")
        destination, ssh_port, forward, pattern = to, None, f"{remote}:{{host}}:{{port}}", None
    else:
        destination, ssh_port, forward, pattern = service[0], service[1], service[2], service[3]
    words = ["ssh", "-T"]
    if service is None:
        words += ["-N", "-v"]  # services tell the URL in a session; -v tells when the forwarding stands
    if config is not None:
        words += ["-F", str(config)]
    for option in _OPTIONS:
        words += ["-o", option]
    if service is not None:
        words += ["-o", "StrictHostKeyChecking=accept-new"]
    if identity is not None:
        words += ["-o", "IdentitiesOnly=yes", "-i", str(identity)]
    given = str(port) if port is not None else ssh_port
    if given is not None:
        words += ["-p", given]
    words += ["-R", forward, "--", destination]
    return Recipe(
        name="ssh",
        command=tuple(words),
        traits=Traits(
            stable_url=service is None,
            encrypted=True if service is None else None,
            warning=None if service is None else f"{to} is a public service; its URL changes, often within the hour",
        ),
        pattern=pattern,
        failure=r"(?i)error|denied|refused|failed|timed out|verification|could not|no route",
        settled="remote forward success",
        noise="debug1:",
        install="your system's openssh-client",
        start_s=20.0,
    )
