"""`scimproxy help`: pages about what many commands share; made from the tables that the code itself uses."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import click

from scimproxy.errors import UsageError

if TYPE_CHECKING:
    from scimproxy.faults import Word

__all__ = ["TOPICS", "help_command"]


def _wrapped(text: str) -> str:
    return click.wrap_text(text, 80, " " * 6, " " * 6)


def _filters() -> str:
    from scimproxy.query import BODY_CHARS, TERMS

    lines = [
        "The filter language, for `log --filter` and `search`.",
        "",
        "Words are joined by spaces and must all be true; a minus in front negates one;",
        "quotes hold a text together. Example:",
        '  op:patch status:4xx -client:curl "displayName"',
        "",
    ]
    for term in TERMS:
        lines.append(click.wrap_text(f"{term.name}:{term.form}", 78, "  ", "      "))
        lines.append(_wrapped(f"{term.meaning}; like {term.example}"))
    lines += [
        '  TEXT, "SOME TEXT"',
        "      URL, headers or decoded bodies hold this text; like bjensen",
        "",
        f"Of each body the first {BODY_CHARS:,} characters are searched.",
    ]
    return "\n".join(lines)


def _clients() -> str:
    from scimproxy.clients import CLIENTS

    lines = ["Who called, as `client:` of the filter language says it.", "A label is a claim, not a proof.", ""]
    for client in CLIENTS:
        lines += [f"  {client.label:<14}{client.name}", _wrapped(client.how)]
    return "\n".join(lines)


def _formats() -> str:
    from scimproxy.exports.formats import FORMATS
    from scimproxy.imports.formats import IMPORTS

    lines = ["What `scimproxy export --format` writes.", ""]
    lines += [click.wrap_text(form.what, 80, f"  {name:<11}", " " * 13) for name, form in FORMATS.items()]
    lines += ["", "What `scimproxy import` reads, told by its content.", ""]
    lines += [click.wrap_text(form.what, 80, f"  {name:<11}", " " * 13) for name, form in IMPORTS.items()]
    return "\n".join(lines)


def _exit_codes() -> str:
    return """\
Exit codes of every command.

  0    done
  1    a check, a comparison or an assertion failed (doctor found a problem)
  2    usage: an unknown option, or a value that cannot be used
  3    could not run: the port is taken, the database is locked, full or
       damaged, a bad file, a tunnel that cannot be opened
  130  interrupted by Ctrl-C; what was recorded is written

What runs until it is stopped (`up`, `mock`, `share`, `ui`, `demo --serve`,
`drill --live`, `log --follow`) is ended by Ctrl-C or TERM: that is 0, or what
came out. A second Ctrl-C ends `up` and `mock` without waiting for what is in
flight: that is 130."""


def _guard() -> str:
    from scimproxy.proxy.engine import METHODS

    return f"""\
The guard of `scimproxy up`: what strangers may do who reach it through a
tunnel.

It stands with --tunnel or --public-url, and when one of its options is given.
In this order, and before the server is asked anything:

  method     {", ".join(METHODS)},
             or those of --methods; else 405
  loop       a request that came through this scimproxy already: 508
  host       Host is the public URL's, or this machine's; else 421
  path       below the secret path (--secret-path; else 404) and the path of
             TARGET (else 404), decided on the decoded path; one that climbs
             out of it: 400
  address    on the list of --allow okta|CIDR; else 403. Needs --tunnel ngrok,
             or --trust-forwarded-for
  token      the one of --require-token, compared in constant time; else 401
  body       up to --max-body; else 413
  rate       --rate-limit and --rate-limit-all; else 429 with Retry-After

Each refusal is a SCIM error, and is recorded with its reason:
`scimproxy log last --filter failure:blocked`. What claims to say who called
(X-Forwarded-*, Forwarded, X-Real-IP, Cf-*, ...) is dropped. The secret path is
not stored: its fingerprint stands in its place."""


def _faults() -> str:
    from scimproxy.faults import ACTIONS, COUNTS, SELECTORS

    lines = [
        "Faults, for --fault of `up`: what goes wrong on the way, when, and for whom.",
        "",
        "Words are joined by spaces. A fault says which requests it is about, which of",
        "those, and what happens. Example:",
        "  op:create nth:2 status:503 retry-after:5",
        "",
        "Which requests (all must hold; a minus in front negates one):",
        f"  {', '.join(f'{name}:' for name in SELECTORS)}",
        "      as in the filter language (`scimproxy help filters`)",
        "",
        "Which of those:",
        *_words(COUNTS),
        "",
        "What happens:",
        *_words(ACTIONS),
        "",
        "Faults count requests and leave nothing to chance. Of several that are due, the",
        "first fires. What fired is recorded: `scimproxy log last --filter tag:fault`.",
    ]
    return "\n".join(lines)


def _words(words: tuple[Word, ...]) -> list[str]:
    lines = []
    for word in words:
        value = "" if word.form.startswith("(") else f":{word.form}"
        lines += [
            f"  {word.name}{value}",
            _wrapped(f"{word.meaning}; like {word.example}" if value else word.meaning),
        ]
    return lines


def _tunnel() -> str:
    from scimproxy.tunnel.recipes import RECIPES

    names = click.wrap_text(", ".join(RECIPES), 78, "  ", "  ")
    return f"""\
Tunnels of `scimproxy up --tunnel NAME`: how Okta and Runscope reach a server
on this machine.

  ngrok           ngrok's own agent, 2.3 or 3; `scimproxy tunnel install` gets
                  it, --ngrok-token - (or env:NAME, file:PATH) gives the token,
                  --ngrok-domain a name that stays
  ssh:USER@HOST   a port of a server of yours, over OpenSSH
  command:'...'   any program that prints a URL; {{port}} stands for ours

and, where their program is installed:

{names}

A tunnel is up once a request of our own has come back through its URL. One
that dies is started again; each state is recorded, and `log` shows the gaps.
Whatever ends scimproxy ends its tunnel. --max-duration and --idle-close limit
how long it stands open; `scimproxy help guard` says what gets in.
`scimproxy doctor --tunnel NAME` looks at what it needs."""


def _forward() -> str:
    return """\
`scimproxy up --mode forward` records a SCIM client that you cannot point at
another URL: it is an HTTP proxy, and opens TLS with an authority of its own.

  1. scimproxy up --mode forward --only-host scim.example.com
  2. Let the client use it: HTTPS_PROXY=http://127.0.0.1:8080
  3. Let the client trust it: `scimproxy ca` shows the certificate, and the
     variables by which programs take it (SSL_CERT_FILE, NODE_EXTRA_CA_CERTS)

What --only-host does not name passes untouched and unrecorded. The authority's
key never leaves this machine (SCIMPROXY_CA_DIR); it is made at the first use."""


def _environment() -> str:
    return """\
Environment variables.

  SCIMPROXY_DB      the database, in place of recordings/scimproxy.db
  SCIMPROXY_TOKEN   bearer token of the SCIM server, for `doctor`
  NGROK_AUTHTOKEN   token of the ngrok agent, for `up --tunnel ngrok`; `doctor`
                    looks whether there is one
  SSL_CERT_FILE     authorities that the proof of a tunnel's URL believes
  SCIMPROXY_CA_DIR  where the authority of `up --mode forward` is kept
  NO_COLOR          no colours
  FORCE_COLOR       colours also where the output is no terminal
  COLUMNS           width of tables where the output is no terminal (80)"""


TOPICS: dict[str, tuple[str, Callable[[], str]]] = {
    "filters": ("the filter language of `log` and `search`", _filters),
    "clients": ("the clients that are told apart", _clients),
    "formats": ("the formats of `export`", _formats),
    "guard": ("what `up` lets through where strangers reach it", _guard),
    "faults": ("what `--fault` can let go wrong", _faults),
    "tunnels": ("the tunnels of `up --tunnel`, and how they are watched", _tunnel),
    "forward": ("recording a client: `up --mode forward`", _forward),
    "exit-codes": ("what the exit codes say", _exit_codes),
    "environment": ("the environment variables", _environment),
}


@click.command("help")
@click.argument("topic", required=False)
def help_command(topic: str | None) -> None:
    """Explain TOPIC: filters, clients, formats, guard, faults, tunnels, forward, exit-codes or environment.

    Or a command.
    """
    if topic is None:
        click.echo("Topics of `scimproxy help`:\n")
        for name, (summary, _) in TOPICS.items():
            click.echo(f"  {name:<12}  {summary}")
        click.echo("\n`scimproxy COMMAND --help` explains a command.")
        return
    if topic in TOPICS:
        click.echo(TOPICS[topic][1]())
        return
    context = click.get_current_context()
    parent = context.parent
    assert parent is not None
    group = parent.command
    assert isinstance(group, click.Group)
    command = group.get_command(parent, topic)
    if command is None:
        raise UsageError(f"there is no topic {topic!r}", hint=f"topics: {', '.join(TOPICS)}; or a command's name")
    click.echo(command.get_help(click.Context(command, info_name=topic, parent=parent)))
