"""What `scimproxy up` says: the banner with what to paste, a line for each exchange, the summary; or JSON.

One rule: talk goes to stderr; stdout holds the lines of exchanges, or with `--json` one object for each event.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import click

from scimproxy.cli.fault_options import fault_counts, say_faults

if TYPE_CHECKING:
    from scimproxy.app import RecordOptions
    from scimproxy.events import Event, Ready, Stopped
    from scimproxy.exchange import TunnelEvent
    from scimproxy.proxy.engine import Forward
    from scimproxy.store import Row

__all__ = ["Printer", "notice"]


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
        self.inspector: str | None = None
        """Where the recording can be looked at, with the token: said once, on stderr, and never in the JSON."""
        self.follows: tuple[str, ...] = ()
        """The suites whose runs are followed there."""

    def __call__(self, event: Event) -> None:
        """Print an event."""
        from scimproxy import events
        from scimproxy.exchange import TunnelEvent

        if self._as_json:
            if isinstance(event, events.Ready) and self.inspector is not None:
                click.echo(f"Inspector {self.inspector}", err=True)
            self._print_json(event)
        elif isinstance(event, events.Ready):
            self._banner(event)
        elif isinstance(event, events.Seen):
            self._line(event.row)
        elif isinstance(event, events.Skipped):
            click.echo(f"          ... and {event.count:,} more, faster than one can read (scimproxy log)", err=True)
        elif isinstance(event, events.Notice):
            notice("warning", event.message, event.hint)
        elif isinstance(event, TunnelEvent):
            self._tunnel(event)
        elif isinstance(event, events.Stopped):
            self._summary(event)

    # --- for a person ---

    def _banner(self, ready: Ready) -> None:
        from scimproxy.cli.guard import guard_words
        from scimproxy.cli.terminal import safe
        from scimproxy.cli.tunnel_lines import paste

        options = self._options
        if self._own_banner is not None:
            if self.inspector is not None:
                click.echo(f"  {'Inspector':<12}{self.inspector}", err=True)
            self._own_banner(ready.url, f"{ready.db} (run {ready.run.id})")
            return
        public = self._public_base(ready)
        forward = options.engine.forward
        rows = [
            ("Listening", ready.url),
            ("Records", ", ".join(forward.only) or "every host")
            if forward
            else ("Target", str(options.engine.target)),
            ("Database", f"{ready.db} (run {ready.run.id}, {safe(ready.run.name)})"),
        ]
        click.echo(err=True)
        click.secho(f"scimproxy is recording with {ready.run.engine}.", bold=True, err=True)
        for name, value in rows:
            click.echo(f"  {name:<10}{value}", err=True)
        if self.inspector is not None:
            click.echo(f"  {'Inspector':<10}{self.inspector}", err=True)
        if self.follows:
            click.echo(click.wrap_text(safe(", ".join(self.follows)), 80, f"  {'Follows':<10}", " " * 12), err=True)
        if options.engine.guard is not None:
            words = guard_words(options.engine.guard)
            click.echo(click.wrap_text(words, 80, f"  {'Guard':<10}", " " * 12), err=True)
        if forward is not None:
            click.echo(err=True)
            self._how_to_use(ready, forward)
        elif options.exposure is None:
            click.echo(err=True)
            if public is None:
                click.echo("  On this machine only; --tunnel ngrok makes it reachable. Then paste", err=True)
            paste(public or f"https://YOUR-TUNNEL{options.engine.public_base}", options.engine.guard)
        self._remarks(ready)

    def _public_base(self, ready: Ready) -> str | None:
        """Return the URL to paste; None where no tunnel is known yet."""
        url = ready.run.public_url
        return None if url is None else self._options.engine.base_url(url)

    def _how_to_use(self, ready: Ready, forward: Forward) -> None:
        """Tell how a client is sent through a forward proxy, and what it must trust."""
        from scimproxy.proxy.authority import CERTIFICATE_FILE

        file = forward.authority / CERTIFICATE_FILE
        click.echo("  The client learns of it from its environment, and must trust its authority:", err=True)
        click.echo(f"    export HTTP_PROXY={ready.url} HTTPS_PROXY={ready.url}", err=True)
        click.echo(f"    export SSL_CERT_FILE='{file}'    # OpenSSL, Go, Ruby, httpx", err=True)
        click.echo("    REQUESTS_CA_BUNDLE, NODE_EXTRA_CA_CERTS, CURL_CA_BUNDLE name the same file", err=True)
        click.echo("    Trust it in a client under test only; `scimproxy ca` shows it.", err=True)

    def _remarks(self, ready: Ready) -> None:
        """Say what else a person should know, and how to stop."""
        from scimproxy.cli.terminal import plural

        options = self._options
        for text, _ in fault_counts(options.engine.intervener):
            notice("fault", text)
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
        click.echo(
            f"  Ctrl-C stops in order; elsewhere `scimproxy log {ready.run.id} --follow` shows this.", err=True
        )
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

        click.echo(exchange_line(row, with_host=self._options.engine.forward is not None))
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
        say_faults(self._options.engine.intervener)
        if stopped.lost:
            notice("warning", f"{plural(stopped.lost, 'exchange')} passed without being recorded:")
            for reason, number in stopped.lost_reasons.items():
                click.echo(f"    {number:,} x {reason}", err=True)
        if stopped.exchanges:
            click.echo(f"  See them: scimproxy log {stopped.run_id}", err=True)

    # --- for a program ---

    def _print_json(self, event: Event) -> None:
        from scimproxy import events
        from scimproxy.cli.lines import exchange_json, iso
        from scimproxy.cli.terminal import echo_json
        from scimproxy.exchange import TunnelEvent

        if isinstance(event, events.Ready):
            echo_json(
                {
                    "event": "ready",
                    "url": event.url,
                    "listen": str(event.listen),
                    "target": event.run.target,
                    "public_url": self._public_base(event),
                    "run_id": event.run.id,
                    "name": event.run.name,
                    "engine": event.run.engine,
                    "db": str(event.db),
                    "recovered": event.recovered,
                }
            )
        elif isinstance(event, events.Seen):
            echo_json({"event": "exchange", **exchange_json(event.row)})
        elif isinstance(event, events.Skipped):
            echo_json({"event": "skipped", "count": event.count})
        elif isinstance(event, events.Notice):
            echo_json({"event": "notice", "message": event.message, "hint": event.hint})
        elif isinstance(event, events.Stopped):
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
                    "faults": [
                        {"fault": text, "fired": fired}
                        for text, fired in fault_counts(self._options.engine.intervener)
                    ],
                    "seconds": round(event.seconds, 3),
                }
            )
        elif isinstance(event, TunnelEvent):
            base = None if event.url is None else self._options.engine.base_url(event.url)
            echo_json(
                {"event": "tunnel", "at": iso(event.at), "state": event.state, "url": event.url,
                 "base_url": base, "message": event.message}
            )  # fmt: skip


def notice(kind: str, message: str, hint: str | None = None) -> None:
    """Say something beside the data, on stderr."""
    from scimproxy.cli.terminal import safe

    click.echo(click.style(f"{kind.capitalize()}:", fg="yellow") + f" {safe(message)}", err=True)
    if hint:
        click.echo(f"  Hint: {safe(hint)}", err=True)
