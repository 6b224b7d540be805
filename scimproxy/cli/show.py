"""`scimproxy show`: one exchange as a person reads it: request, response, connection, timings, SCIM operation.

One rule: contents are bounded and safe; whoever wants the bytes takes `--raw` into a file or a pipe.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from scimproxy.cli.options import Number, db_option, json_option, open_reader
from scimproxy.errors import UsageError

if TYPE_CHECKING:
    from scimproxy.exchange import Connection, Content, Exchange, Headers
    from scimproxy.scim.message import Operation

__all__ = ["show_command"]

_SHOWN_LINES = 200
_SHOWN_CHARACTERS = 20_000
_BAR = 30


@click.command("show")
@click.argument("exchange", metavar="EXCHANGE", type=Number(1, 2**63 - 1))
@db_option
@click.option("--raw", is_flag=True, help="Print the messages as they travelled, byte for byte.")
@click.option("--whole", is_flag=True, help="Do not cut long bodies.")
@json_option("the exchange")
def show_command(exchange: int, *, db: Path, raw: bool, whole: bool, as_json: bool) -> None:
    """Show the exchange with the number that `log` prints."""
    from scimproxy.cli.terminal import echo_json
    from scimproxy.scim.message import operation_of

    if raw and as_json:
        raise UsageError("--raw and --json exclude each other")
    with open_reader(db) as reader:
        found = reader.exchange(exchange)
        if found is None:
            raise UsageError(f"there is no exchange {exchange}", hint="`scimproxy log` lists them")
        run = reader.run(found.run_id) if found.run_id is not None else None
    if raw:
        _print_raw(found)
    elif as_json:
        assert run is not None
        from scimproxy.har import to_har

        (entry,) = to_har(run, [found])["log"]["entries"]
        echo_json(entry)
    else:
        _print(found, operation_of(found), whole=whole)


def _print_raw(exchange: Exchange) -> None:
    from scimproxy.exports.formats import raw_request, raw_response

    if sys.stdout.isatty():
        raise UsageError(
            "--raw prints the bytes as they came, which may command the terminal",
            hint=f"scimproxy show {exchange.id} --raw > exchange.http",
        )
    out = sys.stdout.buffer
    out.write(raw_request(exchange.request))
    if exchange.response is not None:
        out.write(b"\r\n" + raw_response(exchange.response))
    out.flush()


def _print(exchange: Exchange, operation: Operation, *, whole: bool) -> None:
    from scimproxy.cli.terminal import facts, moment, safe, status_colour
    from scimproxy.detail import connection_facts, operation_facts

    response, failure = exchange.response, exchange.failure
    click.secho(f"Exchange {exchange.id}: {safe(operation.summary)}", bold=True)
    if exchange.state == "pending":
        click.secho("In flight: it has no answer yet.", fg="cyan")
    if exchange.state == "aborted":
        click.secho("Aborted: the recording stopped before the answer.", fg="red")
    if failure is not None:
        click.secho(f"Failed ({failure.kind}): {safe(failure.message)}", fg="red")
    if exchange.note:
        click.echo(f"Note: {safe(exchange.note)}")
    click.echo()
    request = exchange.request
    click.secho("Request", bold=True)
    click.echo(f"  {safe(request.method)} {safe(request.target)} HTTP/{safe(request.http_version)}")
    _print_message(request.headers, request.content, whole=whole)
    if exchange.upstream_request_headers is not None or exchange.upstream_request_target is not None:
        sent = exchange.upstream_request_target or request.target
        click.secho("  Sent on to the server as", bold=True)
        click.echo(f"  {safe(request.method)} {safe(sent)}")
        _print_changes(request.headers, exchange.upstream_request_headers)
    click.echo()
    click.secho("Response", bold=True)
    if response is None:
        click.echo("  none")
    else:
        whose = " (made by scimproxy)" if exchange.origin == "proxy" else ""
        line = f"HTTP/{safe(response.http_version)} {response.status_code} {safe(response.reason)}"
        click.echo(f"  {click.style(line, fg=status_colour(response.status_code))}{whose}")
        _print_message(response.headers, response.content, whole=whole)
        for rewrite in exchange.rewrites:
            click.echo(f"  Rewritten {safe(rewrite.place)}: {safe(rewrite.before[:500])} -> {safe(rewrite.after)}")
    click.echo()
    facts("Connection", connection_facts(exchange))
    _print_chain(exchange.upstream_connection)
    click.echo()
    _print_timings(exchange)
    click.echo()
    facts("SCIM", operation_facts(operation))
    click.echo()
    facts("Times", {"Started": moment(exchange.started_at), "Ended": moment(exchange.ended_at)})


def _print_message(headers: Headers, content: Content, *, whole: bool) -> None:
    from scimproxy.cli.terminal import size
    from scimproxy.detail import body_text

    for name, value in headers:
        click.echo(f"  {click.style(_field(name), fg='cyan')}: {_field(value)}")
    if not content.size:
        return
    click.echo()
    text = body_text(headers, content)
    if text is None:
        click.echo(f"  ({size(content.size)} of binary data; --raw writes it)")
    else:
        _print_text(text, whole=whole)
    if content.redacted:
        click.secho("  (secrets in it were replaced by fingerprints before storing)", dim=True)
    if content.truncated:
        click.secho(f"  (the first {size(len(content.data))} of {size(content.size)} were stored)", fg="yellow")


def _field(text: str) -> str:
    """A header field for the eye."""
    from scimproxy.cli.terminal import safe
    from scimproxy.detail import shown_field

    return safe(shown_field(text))


def _print_text(text: str, *, whole: bool) -> None:
    from scimproxy.cli.terminal import safe_block

    shown = text if whole else text[:_SHOWN_CHARACTERS]
    lines = safe_block(shown).split("\n")
    if not whole and len(lines) > _SHOWN_LINES:
        lines = lines[:_SHOWN_LINES]
        shown = "\n".join(lines)
    for line in lines:
        click.echo(f"  {line}" if line else "")
    if len(shown) < len(text):
        click.secho("  ... cut; --whole shows all of it", fg="yellow")


def _print_changes(before: Headers, after: Headers | None) -> None:
    """Print the header fields that differ between the client's and our request."""
    from scimproxy.cli.terminal import safe
    from scimproxy.detail import header_changes

    for one in header_changes(before, after):
        click.echo(f"  {one.sign} {safe(one.name)}: {safe(one.value)}")


def _print_chain(connection: Connection | None) -> None:
    from scimproxy.cli.terminal import moment, safe

    for certificate in connection.tls.chain if connection is not None and connection.tls is not None else ():
        click.echo(f"  Certificate {safe(certificate.subject)}")
        click.echo(f"    issued by {safe(certificate.issuer)}")
        if certificate.names:
            click.echo(f"    for {safe(', '.join(certificate.names[:20]))}")
        click.echo(f"    valid {moment(certificate.not_before_at)} to {moment(certificate.not_after_at)}")
        click.echo(f"    sha256 {certificate.sha256}")


def _print_timings(exchange: Exchange) -> None:
    """Print the phases one under the other, each where it lies in the whole."""
    from scimproxy.cli.terminal import duration
    from scimproxy.detail import PHASES

    timings = exchange.timings
    known = [(name, ms) for name in PHASES if (ms := getattr(timings, name)) is not None]
    if not known and timings.total is None:
        return
    click.secho("Timings", bold=True)
    whole = max(sum(ms for _, ms in known), timings.total or 0.0, 0.001)
    begun = 0.0
    for name, ms in known:
        left = min(round(begun / whole * _BAR), _BAR - 1)
        length = max(1, round(ms / whole * _BAR))
        bar = " " * left + "#" * min(length, _BAR - left)
        click.echo(f"  {name:<8} {duration(ms):>9}  |{bar:<{_BAR}}|")
        begun += ms
    if timings.total is not None:
        click.echo(f"  {'total':<8} {duration(timings.total):>9}")
