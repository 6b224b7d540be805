"""The options of `up` that open a tunnel, and the provider that they name.

One rule: a tunnel is opened only because somebody named one, and what cannot work is said before anything starts.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from scimproxy.cli.options import DURATION
from scimproxy.cli.reading import read_token
from scimproxy.cli.sections import typed
from scimproxy.errors import UsageError

if TYPE_CHECKING:
    from scimproxy.exposure import ExposureOptions
    from scimproxy.tunnel.contract import Provider

__all__ = ["TUNNEL_NAMES", "exposure_of", "tunnel_options", "vouches"]

type Decorator = Callable[[Callable[..., Any]], Callable[..., Any]]

_FILE = click.Path(exists=True, dir_okay=False, path_type=Path)

TUNNEL_NAMES = (
    "tunnel", "tunnel_url", "ngrok_path", "ngrok_token", "ngrok_config", "traffic_policy", "tunnel_url_pattern",
    "ssh_remote", "ssh_identity", "ssh_config", "ssh_port", "on_url_change", "max_duration", "idle_close", "no_probe",
)  # fmt: skip
"""The parameters of a tunnel, in the order in which the help shows them."""

_OWNERS = {
    "ngrok": ("tunnel_url", "ngrok_path", "ngrok_token", "ngrok_config", "traffic_policy"),
    "ssh": ("ssh_remote", "ssh_identity", "ssh_config", "ssh_port"),
    "command": ("tunnel_url_pattern",),
}


def _only_one(_ctx: click.Context, _param: click.Parameter, given: tuple[str, ...]) -> str:
    if len(given) > 1:
        raise UsageError(
            f"--tunnel is there {len(given)} times, and a recording has one tunnel",
            hint="start a second scimproxy, with a --port of its own, for a second tunnel",
        )
    return given[0] if given else "none"


_OPTIONS: tuple[Decorator, ...] = (
    click.option(
        "--tunnel",
        metavar="NAME[:MORE]",
        multiple=True,
        callback=_only_one,
        show_default="none",
        help="Make it public: ngrok, ssh:user@host, cloudflared, command:'...', ... (`scimproxy tunnel list`).",
    ),
    click.option("--url", "--domain", "tunnel_url", metavar="URL", help="ngrok: the public URL or domain to use."),
    click.option("--ngrok-path", type=click.Path(path_type=Path), help="ngrok: the agent.  [default: as installed]"),
    click.option(
        "--ngrok-token",
        metavar="-|env:NAME|file:FILE",
        help="ngrok: where the authtoken is.  [default: NGROK_AUTHTOKEN, your ngrok.yml]",
    ),
    click.option("--ngrok-config", type=_FILE, help="ngrok: your ngrok.yml, for the token and how to connect."),
    click.option(
        "--traffic-policy",
        metavar="auto|FILE",
        help="ngrok: a Traffic Policy for its edge; auto: refuse there what is outside the base path.",
    ),
    click.option("--tunnel-url-pattern", metavar="REGEX", help="command: how its output shows the public URL."),
    click.option("--ssh-remote", default="127.0.0.1:8080", show_default=True, help="ssh: where your host listens."),
    click.option("--ssh-identity", type=_FILE, help="ssh: the private key."),
    click.option("--ssh-config", type=_FILE, help="ssh: a configuration file of its own."),
    click.option("--ssh-port", type=click.IntRange(1, 65535), help="ssh: the port of the server."),
    click.option(
        "--on-url-change", metavar="CMD", help="Run this when the public URL is new; it is in SCIMPROXY_URL."
    ),
    click.option(
        "--max-duration", type=DURATION, default="8h", show_default=True, help="Stop when it was public for so long."
    ),
    click.option("--idle-close", type=DURATION, help="Stop when nothing came for so long, like 30m."),
    click.option("--no-probe", is_flag=True, help="Do not prove the public URL with a request."),
)


def tunnel_options(function: Callable[..., Any]) -> Callable[..., Any]:
    """Add the options of a tunnel."""
    for option in reversed(_OPTIONS):
        function = option(function)
    return function


def vouches(given: Mapping[str, Any]) -> bool:
    """Whether the tunnel asked for writes the client's address truly (`Traits.vouches_for_client`)."""
    return str(given["tunnel"]).partition(":")[0].strip().lower() == "ngrok"


def exposure_of(given: Mapping[str, Any], *, public_url: str | None, base: str) -> ExposureOptions | None:
    """Return the tunnel that the options ask for; None where they ask for none.

    Raises:
        UsageError: they contradict each other, or name no tunnel.
        TunnelError: a program or a token is missing.
    """
    name, _, more = str(given["tunnel"]).partition(":")
    if name == "none":
        _refuse_unused()
        return None
    from scimproxy.exposure import ExposureOptions

    name = name.strip().lower()
    provider = _provider(name, more.strip(), given, public_url=public_url, base=base)
    _refuse_others(name)
    _ready(provider)
    return ExposureOptions(
        provider=provider,
        probe=not given["no_probe"],
        max_duration_s=given["max_duration"],
        idle_close_s=given["idle_close"],
        on_url_change=given["on_url_change"],
    )


def _refuse_unused() -> None:
    """An option that does nothing is a misunderstanding: the user thinks that there is a tunnel."""
    for option in typed(name for name in TUNNEL_NAMES if name != "tunnel"):
        raise UsageError(f"{option} is for a tunnel, and there is none", hint="add --tunnel, like --tunnel ngrok")


def _refuse_others(name: str) -> None:
    """The same for an option of another tunnel than the one that is opened."""
    for owner, names in _OWNERS.items():
        for option in typed(names) if owner != name else ():
            hint = "a URL that is known already is a --public-url" if option == "--url" else f"leave {option} out"
            raise UsageError(f"{option} is for {owner}, not for {name}", hint=hint)


def _provider(name: str, more: str, given: Mapping[str, Any], *, public_url: str | None, base: str) -> Provider:
    from scimproxy.tunnel import recipes
    from scimproxy.tunnel.command import Command

    if name == "ngrok":
        if more:
            raise UsageError("--tunnel ngrok takes nothing after its name", hint="the public URL is --url")
        if public_url is not None:
            raise UsageError("--public-url is for a tunnel of your own", hint="ask ngrok for a URL with --url")
        return _ngrok(given, base)
    if name == "manual":
        from scimproxy.tunnel.manual import Manual

        if public_url is None:
            raise UsageError("--tunnel manual needs --public-url", hint="the URL of the tunnel that you run")
        return Manual(public_url)
    if name == "ssh":
        return _ssh(more, given, public_url)
    if name == "command":
        made, more = recipes.command_recipe(more, given["tunnel_url_pattern"]), ""
    elif name in recipes.RECIPES:
        made = recipes.recipe(name, more)
    else:
        raise _unknown(name)
    if made.pattern is None and public_url is None:
        raise UsageError(f"--tunnel {name} needs --public-url", hint="its program does not tell the URL")
    return Command(made, more, public_url=public_url)


def _unknown(name: str) -> UsageError:
    from difflib import get_close_matches

    from scimproxy.tunnel.recipes import RECIPES

    names = ["ngrok", "ssh", "command", "manual", "none", *RECIPES]
    near = get_close_matches(name, names, n=1)
    return UsageError(
        f"there is no tunnel {name!r}" + (f"; did you mean {near[0]!r}?" if near else ""),
        hint="`scimproxy tunnel list` lists them; any program is --tunnel 'command:PROGRAM {port}'",
    )


def _ssh(to: str, given: Mapping[str, Any], public_url: str | None) -> Provider:
    from scimproxy.tunnel.command import Command
    from scimproxy.tunnel.ssh import ssh_recipe

    made = ssh_recipe(
        to,
        public_url=public_url,
        remote=given["ssh_remote"],
        identity=given["ssh_identity"],
        config=given["ssh_config"],
        port=given["ssh_port"],
    )
    return Command(made, to, public_url=public_url)


def _ngrok(given: Mapping[str, Any], base: str) -> Provider:
    from scimproxy.tunnel.ngrok import Ngrok, NgrokSettings

    url = given["tunnel_url"]
    if url is not None and "://" not in url:
        url = f"https://{url}"
    return Ngrok(
        NgrokSettings(
            path=given["ngrok_path"],
            token=None if given["ngrok_token"] is None else read_token("--ngrok-token", given["ngrok_token"]),
            config=given["ngrok_config"],
            url=url and url.rstrip("/"),
            policy=_policy(given["traffic_policy"], base),
        )
    )


def _policy(text: str | None, base: str) -> Mapping[str, Any] | None:
    if text is None:
        return None
    from scimproxy.tunnel.policy import read_policy, traffic_policy

    if text == "auto":
        return traffic_policy(base)
    try:
        return read_policy(Path(text).read_text("utf-8"), text)
    except (OSError, UnicodeDecodeError) as exc:
        raise UsageError(f"--traffic-policy {text} cannot be read", hint="a file in YAML or JSON, or auto") from exc


def _ready(provider: Provider) -> None:
    """Check what a tunnel needs; a missing agent of ngrok is installed where a person says yes, and only then."""
    from scimproxy.tunnel.contract import TunnelError

    try:
        provider.check()
    except TunnelError as error:
        if error.code != "no-agent" or not (sys.stdin.isatty() and sys.stderr.isatty()):
            raise
        from scimproxy.cli.tunnel import install_agent

        click.echo(f"{error.message}.", err=True)
        if not install_agent(None, ask=True):
            raise
        provider.check()
