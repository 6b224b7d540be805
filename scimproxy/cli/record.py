"""`scimproxy up`: record what reaches a SCIM server, and say on the terminal what to paste where.

One rule: talk goes to stderr; stdout holds the lines of exchanges, or with `--json` one object for each event.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from scimproxy.cli.group import INTERRUPTED
from scimproxy.cli.guard import guard_from, guard_options
from scimproxy.cli.options import SIZE, Number, db_option, json_option
from scimproxy.cli.tunnel_options import exposure_of, tunnel_options, vouches
from scimproxy.errors import UsageError

if TYPE_CHECKING:
    from scimproxy.app import Event, Ready, RecordOptions, Stopped
    from scimproxy.exchange import TunnelEvent
    from scimproxy.proxy.engine import EngineOptions, Forward, Target
    from scimproxy.store import Row

__all__ = ["Printer", "up_command"]

_LOOPBACK = ("127.0.0.1", "::1", "localhost")


@click.command("up", no_args_is_help=True)
@click.argument("target", required=False)
@click.option(
    "--mode",
    type=click.Choice(["reverse", "forward"]),
    default="reverse",
    show_default=True,
    help="forward: record a SCIM client whose proxy this is.",
)
@click.option(
    "--only-host", multiple=True, metavar="HOST", help="forward: record this host only (HOST[:PORT], *.DOMAIN)."
)
@click.option("--port", default=8080, show_default=True, type=Number(0, 65535), help="Listen here; 0: any.")
@click.option("--listen-host", default="127.0.0.1", show_default=True, help="A loopback address to listen on.")
@db_option
@click.option("--name", help="Name of the run.  [default: host and port of TARGET]")
@click.option(
    "--engine",
    type=click.Choice(["auto", "native", "mitmproxy"]),
    default="auto",
    show_default=True,
    help="What carries the traffic; auto: native (HTTP/1.1) where it can.",
)
@click.option("--http2", is_flag=True, help="Offer HTTP/2 to an https TARGET (engine mitmproxy).")
@click.option("--public-path", help="Path under which clients see the server.  [default: that of TARGET]")
@click.option("--public-url", help="Public URL of a tunnel that you run yourself.")
@click.option("--preserve-host", is_flag=True, help="Send the client's Host header on, not TARGET's.")
@click.option("--rewrite-locations", is_flag=True, help="Replace private addresses in Location, meta and $ref.")
@click.option(
    "--upstream-ca", type=click.Path(exists=True, dir_okay=False, path_type=Path), help="CA file that TARGET needs."
)
@click.option("--insecure-upstream", is_flag=True, help="Do not verify TARGET's certificate.")
@click.option("--max-content", type=SIZE, default="10M", show_default=True, help="Store at most this of a body.")
@click.option("--keep-secrets", is_flag=True, help="Store tokens and passwords as they came. Careful.")
@click.option("--pass-when-full", is_flag=True, help="Pass traffic unrecorded while the disk is full.")
@click.option(
    "--response-timeout",
    type=click.FloatRange(0.1, 3600),
    default=55.0,
    show_default=True,
    metavar="SECONDS",
    help="Answer 504 after this.",
)
@guard_options
@click.option("--durable", is_flag=True, help="Wait for the disk at each commit (survives a power cut).")
@tunnel_options
@json_option("events")
def up_command(target: str | None, *, db: Path, as_json: bool, **given: Any) -> None:  # noqa: ANN401 - click's options
    """Record what reaches the SCIM server at TARGET.

    TARGET is its URL with the base path, like http://127.0.0.1:8000/scim/v2. Point your SCIM client at
    scimproxy; every exchange goes to the database. With --tunnel it is reachable from outside, until
    it ends; strangers are kept out first then (`scimproxy help guard`). Ctrl-C or TERM ends it in
    order, a second one at once.

    With `--mode forward` it is an HTTP(S) proxy for a SCIM client instead, and opens TLS with a certificate
    of its own (see `scimproxy ca`); TARGET, where given, is the only host that is recorded.
    """
    from scimproxy.app import RecordOptions, refuse_loop
    from scimproxy.proxy.engine import ANYWHERE, Address, EngineOptions, Target

    forward = _forward(target, given) if given["mode"] == "forward" else None
    if forward is None and given["only_host"]:
        raise UsageError("--only-host is for --mode forward", hint="a reverse proxy has one TARGET")
    if forward is None and target is None:
        raise UsageError("TARGET is missing", hint="write it like http://127.0.0.1:8000/scim/v2")
    upstream = ANYWHERE if forward is not None or target is None else Target.parse(target)
    if forward is None and given["http2"]:
        _check_http2(upstream, given["engine"])
    if given["listen_host"] not in _LOOPBACK:
        raise UsageError(
            f"--listen-host {given['listen_host']!r} is not a loopback address",
            hint="scimproxy listens for the tunnel on this machine only; use 127.0.0.1 or ::1",
        )
    listen = Address("127.0.0.1" if given["listen_host"] == "localhost" else given["listen_host"], given["port"])
    public = _public_url(given["public_url"])
    vouched = given["trust_forwarded_for"] or vouches(given)
    engine = EngineOptions(
        target=upstream,
        listen_host=listen.host,
        listen_port=listen.port,
        public_path=_public_path(given["public_path"]),
        public_origin=public and public[0],
        preserve_host=given["preserve_host"],
        rewrite_locations=given["rewrite_locations"],
        upstream_ca=given["upstream_ca"],
        insecure_upstream=given["insecure_upstream"],
        max_content=given["max_content"],
        response_timeout_s=given["response_timeout"],
        vouches_for_client=given["trust_forwarded_for"],
        forward=forward,
        http2=given["http2"],
        guard=guard_from(given, exposed=public is not None or given["tunnel"] != "none", vouched=vouched),
    )
    if forward is None:
        refuse_loop(engine, listen)
    _refuse_told_secret(engine, given["public_url"])
    exposure = exposure_of(given, public_url=public and public[1], base=engine.public_base)
    options = RecordOptions(
        engine=engine,
        db=db,
        name=given["name"],
        engine_name=given["engine"],
        public_url=public and public[1] if exposure is None else None,
        exposure=exposure,
        keep_secrets=given["keep_secrets"],
        pass_when_full=given["pass_when_full"],
        durable=given["durable"],
        tell_all=as_json,
    )
    run_recording(options, Printer(options, as_json=as_json))


def _forward(target: str | None, given: dict[str, Any]) -> Forward:
    """Return how to be a forward proxy.

    Raises:
        UsageError: an option that makes no sense there, or that would open the proxy to others.
    """
    from scimproxy.proxy.authority import authority_folder
    from scimproxy.proxy.destinations import host_pattern
    from scimproxy.proxy.engine import Forward, Target

    if given["engine"] == "native":
        raise UsageError(
            "--mode forward needs the engine mitmproxy: native speaks no TLS to clients, and no HTTP/2",
            hint="leave --engine out, or write --engine mitmproxy",
        )
    if given["public_url"] is not None:
        raise UsageError(
            "--mode forward cannot have a --public-url: that would be an open proxy, for everybody on the internet",
            hint="point the client on this machine at it, or record a server with --mode reverse",
        )
    for name in ("public_path", "preserve_host", "rewrite_locations", "http2"):
        if given[name]:
            option = f"--{name.replace('_', '-')}"
            why = "HTTP/2 follows the client there" if name == "http2" else "it is for a reverse proxy"
            raise UsageError(f"{option} is not for --mode forward: {why}", hint=f"leave {option} out")
    only = []
    for text in given["only_host"]:
        pattern = host_pattern(text)
        if pattern is None:
            raise UsageError(
                f"--only-host {text!r} is not a host",
                hint="write it like api.example.com, 127.0.0.1:8000 or *.okta.com",
            )
        only.append(pattern)
    if target is not None:
        wanted = Target.parse(target)
        host = f"[{wanted.host}]" if ":" in wanted.host else wanted.host
        only.append(f"{host.lower()}:{wanted.port}")
    return Forward(authority_folder(), tuple(only))


def _check_http2(target: Target, engine: str) -> None:
    if engine == "native":
        raise UsageError("--http2 needs the engine mitmproxy: native speaks HTTP/1.1", hint="leave --engine out")
    if target.scheme != "https":
        raise UsageError(
            f"--http2 needs an https TARGET: HTTP/2 is agreed on in the TLS handshake, and {target} has none",
            hint="leave --http2 out",
        )


def run_recording(options: RecordOptions, printer: Printer) -> None:
    """Record until a signal comes; exits with 130 where it was asked to end at once."""
    from scimproxy.app import Stop, record, run_in_loop

    async def until_stopped() -> Stopped:
        return await record(options, printer, Stop())

    stopped = run_in_loop(until_stopped(), options.engine_chosen)
    if stopped.untold:
        # Everything is written; only our output hangs, because nobody reads it, and Python would wait for it.
        os._exit(INTERRUPTED if stopped.at_once else 0)
    if stopped.at_once:
        click.get_current_context().exit(INTERRUPTED)


def _refuse_told_secret(engine: EngineOptions, url: str | None) -> None:
    """Refuse a public URL that holds the secret path: it is stored with the run, and shown by `runs`."""
    secret = engine.guard and engine.guard.secret_path
    if secret and url is not None and secret in url:
        raise UsageError(
            "--public-url holds the secret path", hint="write it without; scimproxy adds it when it shows the URL"
        )


def _public_path(text: str | None) -> str | None:
    if text is None:
        return None
    if not text.startswith("/") or "?" in text or "#" in text:
        raise UsageError(f"--public-path {text!r} is not a path", hint="write it like /scim/v2")
    return text.rstrip("/")


def _public_url(text: str | None) -> tuple[str, str] | None:
    """Return the origin and the whole of a public URL."""
    if text is None:
        return None
    from urllib.parse import urlsplit

    try:
        parts = urlsplit(text)
        usable = parts.scheme in {"http", "https"} and bool(parts.hostname) and not (parts.query or parts.fragment)
        usable = usable and parts.username is None and (parts.port is None or parts.port > 0)
    except ValueError:
        usable = False
    if not usable:
        raise UsageError(f"--public-url {text!r} is not a URL", hint="write it like https://example.ngrok.app")
    return f"{parts.scheme}://{parts.netloc}", text.rstrip("/")


class Printer:
    """Tells the events of a recording: lines for a person, or JSON for a program."""

    def __init__(
        self, options: RecordOptions, *, as_json: bool, banner: Callable[[str, str], None] | None = None
    ) -> None:
        self._options = options
        self._own_banner = banner
        self._as_json = as_json
        self._failures_told: set[str] = set()
        self._public: str | None = None

    def __call__(self, event: Event) -> None:
        """Print an event."""
        from scimproxy import app
        from scimproxy.exchange import TunnelEvent

        if self._as_json:
            self._print_json(event)
        elif isinstance(event, app.Ready):
            self._banner(event)
        elif isinstance(event, app.Seen):
            self._line(event.row)
        elif isinstance(event, app.Skipped):
            click.echo(f"          ... and {event.count:,} more, faster than one can read (scimproxy log)", err=True)
        elif isinstance(event, app.Notice):
            notice("warning", event.message, event.hint)
        elif isinstance(event, TunnelEvent):
            self._tunnel(event)
        elif isinstance(event, app.Stopped):
            self._summary(event)

    # --- for a person ---

    def _banner(self, ready: Ready) -> None:
        from scimproxy.cli.guard import guard_words
        from scimproxy.cli.terminal import safe
        from scimproxy.cli.tunnel_lines import paste

        options = self._options
        if self._own_banner is not None:
            self._own_banner(ready.url, f"{ready.db} (run {ready.run.id})")
            return
        public = public_base(options, ready)
        forward = options.engine.forward
        rows = [
            ("Listening", ready.url),
            ("Records", ", ".join(forward.only) or "every host")
            if forward
            else ("Target", str(options.engine.target)),
            ("Database", f"{ready.db} (run {ready.run.id}, {safe(ready.run.name)})"),
        ]
        if options.engine.guard is not None:
            rows.append(("Guard", guard_words(options.engine.guard)))
        click.echo(err=True)
        click.secho(f"scimproxy is recording with {ready.run.engine}.", bold=True, err=True)
        for name, value in rows:
            click.echo(f"  {name:<10}{value}", err=True)
        click.echo(err=True)
        if forward is not None:
            self._how_to_use(ready, forward)
        elif options.exposure is None:
            if public is None:
                click.echo("  On this machine only; --tunnel ngrok makes it reachable. Then paste", err=True)
            paste(public or f"https://YOUR-TUNNEL{options.engine.public_base}")
        self._remarks(ready)

    def _how_to_use(self, ready: Ready, forward: Forward) -> None:
        """Tell how a client is sent through a forward proxy, and what it must trust."""
        from scimproxy.proxy.authority import CERTIFICATE_FILE

        file = forward.authority / CERTIFICATE_FILE
        click.echo(
            "  The client is told of it by its environment, and must trust its certificate authority:", err=True
        )
        click.echo(f"    export HTTP_PROXY={ready.url} HTTPS_PROXY={ready.url}", err=True)
        click.echo(f"    export SSL_CERT_FILE='{file}'    # OpenSSL, Go, Ruby, httpx", err=True)
        click.echo("    REQUESTS_CA_BUNDLE, NODE_EXTRA_CA_CERTS, CURL_CA_BUNDLE name the same file", err=True)
        click.echo("    Trust it in a client under test only; `scimproxy ca` shows it.", err=True)

    def _remarks(self, ready: Ready) -> None:
        """Say what else a person should know, and how to stop."""
        from scimproxy.cli.terminal import plural

        options = self._options
        if options.keep_secrets:
            notice("warning", "--keep-secrets: tokens and passwords are stored in the database as they come")
        if ready.recovered:
            verb = "was" if ready.recovered == 1 else "were"
            marked = "it is marked" if ready.recovered == 1 else "they are marked"
            notice(
                "note",
                f"{plural(ready.recovered, 'exchange')} {verb} in flight when the last recording stopped; "
                f"{marked} aborted",
            )
        click.echo(err=True)
        follow = f"scimproxy log {ready.run.id} --follow"
        click.echo(f"  Ctrl-C stops in order; `{follow}` shows this in another terminal.", err=True)
        click.echo(err=True)

    def _tunnel(self, event: TunnelEvent) -> None:
        """Say what became of the tunnel; a URL that is new with everything that it means."""
        from scimproxy.cli.tunnel_lines import say_public, say_state

        if event.state == "given":
            return  # the banner has it
        if event.state == "up" and event.url != self._public:
            self._public = event.url
            say_public(self._options, event)
        else:
            say_state(event)

    def _line(self, row: Row) -> None:
        from scimproxy.cli.lines import exchange_line
        from scimproxy.cli.terminal import safe

        click.echo(exchange_line(row))
        if row.failure is not None and self._is_news(row.failure.message):
            click.secho(f"          {safe(row.failure.message)}", fg="red", err=True)

    def _is_news(self, message: str) -> bool:
        """Whether a failure's sentence was not told yet: they repeat with every request."""
        if message in self._failures_told or len(self._failures_told) >= 100:
            return False
        self._failures_told.add(message)
        return True

    def _summary(self, stopped: Stopped) -> None:
        from scimproxy.cli.terminal import duration, plural

        click.echo(err=True)
        count, taken = plural(stopped.exchanges, "exchange"), duration(stopped.seconds * 1000)
        click.secho(f"Stopped ({stopped.reason}). Run {stopped.run_id}: {count} in {taken}.", bold=True, err=True)
        for word, number in sorted(stopped.outcomes.items()):
            click.echo(f"  {word:<12}{number:>8,}", err=True)
        if stopped.lost:
            notice("warning", f"{plural(stopped.lost, 'exchange')} passed without being recorded:")
            for reason, number in stopped.lost_reasons.items():
                click.echo(f"    {number:,} x {reason}", err=True)
        if stopped.exchanges:
            click.echo(f"  See them: scimproxy log {stopped.run_id}", err=True)

    # --- for a program ---

    def _print_json(self, event: Event) -> None:
        from scimproxy import app
        from scimproxy.cli.lines import exchange_json, iso
        from scimproxy.cli.terminal import echo_json
        from scimproxy.cli.tunnel_lines import with_base
        from scimproxy.exchange import TunnelEvent

        if isinstance(event, app.Ready):
            echo_json(
                {
                    "event": "ready",
                    "url": event.url,
                    "listen": str(event.listen),
                    "target": event.run.target,
                    "public_url": public_base(self._options, event),
                    "run_id": event.run.id,
                    "name": event.run.name,
                    "engine": event.run.engine,
                    "db": str(event.db),
                    "recovered": event.recovered,
                }
            )
        elif isinstance(event, app.Seen):
            echo_json({"event": "exchange", **exchange_json(event.row)})
        elif isinstance(event, app.Skipped):
            echo_json({"event": "skipped", "count": event.count})
        elif isinstance(event, app.Notice):
            echo_json({"event": "notice", "message": event.message, "hint": event.hint})
        elif isinstance(event, app.Stopped):
            echo_json(
                {
                    "event": "stopped",
                    "run_id": event.run_id,
                    "reason": event.reason,
                    "exchanges": event.exchanges,
                    "outcomes": event.outcomes,
                    "failures": event.failures,
                    "lost": event.lost,
                    "lost_reasons": event.lost_reasons,
                    "seconds": round(event.seconds, 3),
                }
            )
        elif isinstance(event, TunnelEvent):
            base = None if event.url is None else with_base(event.url, self._options.engine.public_base)
            echo_json(
                {"event": "tunnel", "at": iso(event.at), "state": event.state, "url": event.url,
                 "base_url": base, "message": event.message}
            )  # fmt: skip


def public_base(options: RecordOptions, ready: Ready) -> str | None:
    """Return the URL to paste: the tunnel's, with the path that clients use; None where no tunnel is known."""
    url = ready.run.public_url
    if url is None:
        return None
    return url.removesuffix(options.engine.served_path) + options.engine.public_base


def notice(kind: str, message: str, hint: str | None = None) -> None:
    """Say something beside the data, on stderr."""
    from scimproxy.cli.terminal import safe

    click.echo(click.style(f"{kind.capitalize()}:", fg="yellow") + f" {safe(message)}", err=True)
    if hint:
        click.echo(f"  Hint: {safe(hint)}", err=True)
