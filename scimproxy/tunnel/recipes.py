"""How to run the tunnel programs that people have, by name. Pure.

One rule: a recipe is data: a command line, how its public URL is recognised in what it prints, what is true of it.
None of these programs is trusted to tell who called; ngrok, which is, has a provider of its own.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Sequence
from dataclasses import dataclass

from scimproxy.errors import UsageError
from scimproxy.tunnel.contract import Local, Traits, origin_of

__all__ = ["ANY_URL", "RECIPES", "Recipe", "command_recipe", "find_url", "recipe"]

ANY_URL = r"https?://(?!127\.0\.0\.1|localhost|\[::1\]|0\.0\.0\.0)[A-Za-z0-9][-A-Za-z0-9.]*(?::\d+)?"
"""The default pattern: the first URL that is not of this machine."""

_CLEAR = "it does not encrypt: bearer tokens cross the internet readable; use it in a trusted network only"


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipe:
    """A tunnel program.

    In `command` stand {host}, {port} and {url} for where the tunnel leads, and {to} for what the user wrote after the
    name (`needs_to` says what that is, where it is required). `again` is added when a URL is asked for again, {label}
    being the first label of its host. `pattern` finds the URL (its last group, or all of it); None: the program does
    not tell, and --public-url has to. `prefix` is put before what was found. `failure` finds a sentence that means
    that it will not come up; `settled` means that it has, where no URL is told; `noise` begins lines that say
    nothing.
    """

    name: str
    command: tuple[str, ...]
    traits: Traits
    pattern: str | None = ANY_URL
    prefix: str = ""
    failure: str | None = None
    settled: str | None = None
    noise: str | None = None
    again: tuple[str, ...] = ()
    needs_to: str | None = None
    install: str = ""
    start_s: float = 30.0

    def argv(self, local: Local, to: str, wanted: str | None = None) -> list[str]:
        """Return the command line."""
        values = {"host": local.host, "port": str(local.port), "url": local.url, "to": to}
        words = [_fill(word, values) for word in self.command]
        if wanted is not None and self.again:
            label = wanted.partition("://")[2].partition(".")[0]
            words += [_fill(word, {**values, "label": label}) for word in self.again]
        return words


def _fill(word: str, values: dict[str, str]) -> str:
    return re.sub(r"\{(\w+)\}", lambda found: values.get(found[1], found[0]), word)


def find_url(line: str, made: Recipe) -> str | None:
    """Return the public URL that a line of the program tells; None where it tells none."""
    if made.pattern is None or (found := re.search(made.pattern, line)) is None:
        return None
    text = found[found.re.groups] or ""
    return origin_of(made.prefix + text)


_ALL = (
    Recipe(
        name="cloudflared",
        command=("cloudflared", "tunnel", "--no-autoupdate", "--config", "/dev/null", "--url", "{url}"),
        pattern=r"https://[-a-z0-9]+\.trycloudflare\.com",
        traits=Traits(stable_url=False, warning="a quick tunnel has another URL at each start, and no guarantee"),
        install="github.com/cloudflare/cloudflared",
    ),
    Recipe(
        name="localtunnel",
        # Without --local-host: with it the client reads every body as UTF-8, and spoils what is none.
        command=("lt", "--port", "{port}"),
        pattern=r"your url is: (\S+)",
        again=("--subdomain", "{label}"),
        traits=Traits(
            stable_url=None,
            encrypted=False,
            warning="between its server and this machine it does not encrypt: bearer tokens are readable on the way",
        ),
        install="npm install -g localtunnel",
    ),
    Recipe(
        name="bore",
        command=("bore", "local", "{port}", "--local-host", "{host}", "--to", "{to}"),
        pattern=r"listening at (\S+:\d+)",
        prefix="http://",
        needs_to="the server, like bore:bore.pub",
        traits=Traits(stable_url=False, encrypted=False, warning=_CLEAR),
        install="github.com/ekzhang/bore",
    ),
    Recipe(
        name="frp",
        command=("frpc", "-c", "{to}"),
        pattern=None,
        needs_to="your frpc configuration, like frp:./frpc.toml (it has to name scimproxy's --port)",
        traits=Traits(stable_url=True, encrypted=None),
        install="github.com/fatedier/frp",
    ),
    Recipe(
        name="zrok",
        command=("zrok", "share", "public", "{url}", "--headless"),
        traits=Traits(stable_url=False),
        install="docs.zrok.io",
    ),
    Recipe(
        name="devtunnel",
        command=("devtunnel", "host", "-p", "{port}", "--allow-anonymous"),
        pattern=r"https://[-a-z0-9]+-\d+\.[-a-z0-9]+\.devtunnels\.ms",
        traits=Traits(
            stable_url=None, needs_token=True, warning="browsers see a warning page first; SCIM clients do not"
        ),
        install="learn.microsoft.com/azure/developer/dev-tunnels",
    ),
    Recipe(
        name="tailscale",
        command=("tailscale", "funnel", "{port}"),
        pattern=r"https://[-a-z0-9.]+\.ts\.net",
        traits=Traits(stable_url=True, needs_token=True),
        install="tailscale.com/download",
    ),
)

RECIPES: dict[str, Recipe] = {one.name: one for one in _ALL}


def recipe(name: str, to: str) -> Recipe:
    """Return a recipe by name, checked against what the user wrote after it.

    Raises:
        UsageError: what it needs after the name is missing, or there is something that it does not use.
    """
    made = RECIPES[name]
    if made.needs_to is not None and not to:
        raise UsageError(f"--tunnel {name} needs to know more", hint=f"write {made.needs_to}")
    if made.needs_to is None and to:
        raise UsageError(f"--tunnel {name} takes nothing after its name", hint=f"write --tunnel {name}")
    return made


def command_recipe(text: str, pattern: str | None) -> Recipe:
    """Return the recipe of a command that the user wrote.

    Raises:
        UsageError: it is no command line, or the pattern no regular expression.
    """
    try:
        words: Sequence[str] = shlex.split(text)
    except ValueError as exc:
        raise UsageError(f"--tunnel command: {exc} in {text!r}", hint="quote it as for a shell") from exc
    if not words:
        raise UsageError("--tunnel command: names no program", hint="like 'command:bore local {port} --to bore.pub'")
    if not any("{port}" in word or "{url}" in word for word in words):
        raise UsageError(
            f"--tunnel command: {text!r} does not say where the tunnel leads",
            hint="write {port} (or {url}, {host}) where scimproxy's address belongs",
        )
    try:
        if pattern is not None:
            re.compile(pattern)
    except re.error as exc:
        raise UsageError(f"--tunnel-url-pattern {pattern!r}: {exc}", hint="a regular expression of Python") from exc
    return Recipe(
        name="command",
        command=tuple(words),
        traits=Traits(stable_url=None, encrypted=None),
        pattern=pattern or ANY_URL,
    )
