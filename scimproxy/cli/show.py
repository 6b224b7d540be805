"""`scimproxy show`: one exchange as a person reads it: request, response, connection, timings, SCIM operation.

One rule: contents are bounded and safe; whoever wants the bytes takes `--raw` into a file or a pipe.
"""

from __future__ import annotations

import contextlib
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from scimproxy.cli.options import Number, db_option, json_option, open_reader
from scimproxy.errors import UsageError

if TYPE_CHECKING:
    from scimproxy.exchange import Connection, Content, Exchange, Headers, Tls
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
    from scimproxy.export import raw_request, raw_response

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
    facts(
        "Connection",
        {
            "Run": None if exchange.run_id is None else str(exchange.run_id),
            "Client": _both(exchange.client, exchange.client_address),
            "Claims to be": exchange.client_claim,
            "From client": _connection(exchange.client_connection, exchange.client_index),
            "Client TLS": _tls(exchange.client_connection),
            "To server": _connection(exchange.upstream_connection, exchange.upstream_index),
            "Server address": exchange.upstream_address,
            "Server TLS": _tls(exchange.upstream_connection),
            "Attempts": None if exchange.attempts is None else str(exchange.attempts),
            "Ended": exchange.ended,
        },
    )
    _print_chain(exchange.upstream_connection)
    click.echo()
    _print_timings(exchange)
    click.echo()
    facts("SCIM", _operation_facts(operation))
    click.echo()
    facts("Times", {"Started": moment(exchange.started_at), "Ended": moment(exchange.ended_at)})


def _both(label: str | None, address: str | None) -> str | None:
    known = [part for part in (label, address) if part]
    return ", ".join(known) or None


def _operation_facts(operation: Operation) -> dict[str, str | None]:
    if not operation.is_scim:
        return {"Operation": "not SCIM"}
    return {
        "Operation": operation.kind,
        "Version": operation.version,
        "Resource": operation.resource_type,
        "Id": operation.resource_id,
        "Name": operation.resource_name,
        "Filter": operation.filter,
        "Filter problem": operation.filter_problem,
        "Start index": None if operation.start_index is None else str(operation.start_index),
        "Count": None if operation.count is None else str(operation.count),
        "Total results": None if operation.total_results is None else str(operation.total_results),
        "Changes": "; ".join(operation.changes) or None,
        "Error": _both(operation.scim_type, operation.detail),
    }


def _print_message(headers: Headers, content: Content, *, whole: bool) -> None:
    from scimproxy.cli.terminal import size

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
    """A header field for the eye: UTF-8 where its bytes are that."""
    from scimproxy.cli.terminal import safe

    if not text.isascii():
        with contextlib.suppress(UnicodeError):  # then it is ISO-8859-1, as it stands
            text = text.encode("latin-1").decode("utf-8")
    return safe(text)


def body_text(headers: Headers, content: Content) -> str | None:
    """Return a body for the eye: decoded, JSON indented; None where it is no text."""
    from scimproxy.decode import text as decoded_text

    text = decoded_text(content, headers)
    if text is None:
        return None
    if text.lstrip()[:1] in {"{", "["}:
        try:
            return json.dumps(json.loads(text), indent=2, ensure_ascii=False)
        except (ValueError, RecursionError):
            return text  # not JSON after all, or cut
    return text


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
    if after is None:
        return
    old, new = list(before), list(after)
    for name, value in old:
        if (name, value) not in new:
            click.echo(f"  - {_field(name)}: {_field(value)}")
    for name, value in new:
        if (name, value) not in old:
            click.echo(f"  + {_field(name)}: {_field(value)}")


def _connection(connection: Connection | None, index: int | None) -> str | None:
    if connection is None:
        return None
    peer = _address(connection.peer_host, connection.peer_port)
    local = _address(connection.local_host, connection.local_port)
    parts = [f"{peer} (local {local})" if local else peer or "unknown"]
    if connection.http_version:
        parts.append(f"HTTP/{connection.http_version}")
    if index is not None:
        parts.append("fresh" if index == 1 else f"reused, exchange {index} on it")
    if connection.closed_by:
        parts.append(f"closed by {connection.closed_by}")
    if connection.close_reason:
        parts.append(connection.close_reason)
    return ", ".join(parts)


def _address(host: str | None, port: int | None) -> str | None:
    if host is None:
        return None
    shown = f"[{host}]" if ":" in host else host
    return shown if port is None else f"{shown}:{port}"


def _tls(connection: Connection | None) -> str | None:
    tls: Tls | None = None if connection is None else connection.tls
    if tls is None:
        return None
    named = [("", tls.version), ("", tls.cipher), ("ALPN ", tls.alpn), ("SNI ", tls.sni)]
    return ", ".join(f"{name}{value}" for name, value in named if value) or "yes"


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

    timings = exchange.timings
    phases: list[tuple[str, float | None]] = [
        (name, getattr(timings, name)) for name in ("dns", "connect", "tls", "send", "wait", "receive")
    ]
    known = [(name, ms) for name, ms in phases if ms is not None]
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
