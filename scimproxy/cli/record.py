"""`scimproxy up`: record what reaches a SCIM server, or what a SCIM client sends.

One rule: what cannot work, or would open this machine to strangers unasked, is refused before anything starts.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from scimproxy.cli.fault_options import fault_option, faults_from
from scimproxy.cli.group import INTERRUPTED
from scimproxy.cli.guard import GUARD_NAMES, guard_from, guard_options
from scimproxy.cli.options import SIZE, db_option, json_option, listen_options
from scimproxy.cli.printer import Printer
from scimproxy.cli.sections import Sectioned, typed
from scimproxy.cli.tunnel_options import TUNNEL_NAMES, exposure_of, tunnel_options, vouches
from scimproxy.cli.ui import UI_NAMES, inspecting, ui_options
from scimproxy.errors import UsageError

if TYPE_CHECKING:
    from scimproxy.app import RecordOptions
    from scimproxy.events import Stopped
    from scimproxy.proxy.engine import EngineOptions, Forward, Target

__all__ = ["run_recording", "up_command"]

_LOOPBACK = ("127.0.0.1", "::1", "localhost")


_SECTIONS = {
    "What is recorded, and where": (
        "port", "listen_host", "db", "name", "max_content", "keep_secrets", "pass_when_full", "durable", "as_json",
    ),
    "The server": (
        "public_path", "preserve_host", "rewrite_locations", "upstream_ca", "insecure_upstream", "response_timeout",
        "http2", "engine",
    ),
    "Make it reachable (`scimproxy tunnel list`)": ("public_url", *TUNNEL_NAMES),
    "Keep strangers out (`scimproxy help guard`)": GUARD_NAMES,
    "Look at it in a browser": (*UI_NAMES, "suites"),
    "Record a client": ("mode", "only_host"),
    "Let things go wrong (`scimproxy help faults`)": ("faults",),
}  # fmt: skip


@click.command("up", no_args_is_help=True, cls=Sectioned, sections=_SECTIONS)
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
@listen_options
@db_option
@click.option("--name", metavar="NAME", help="Name of the run.  [default: host and port of TARGET]")
@click.option(
    "--engine",
    type=click.Choice(["auto", "native", "mitmproxy"]),
    default="auto",
    show_default=True,
    help="What carries the traffic; auto: native (HTTP/1.1) where it can.",
)
@click.option("--http2", is_flag=True, help="Offer HTTP/2 to an https TARGET (engine mitmproxy).")
@click.option(
    "--public-path", metavar="PATH", help="Path under which clients see the server.  [default: that of TARGET]"
)
@click.option("--public-url", metavar="URL", help="Public URL of a tunnel that you run yourself.")
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
@fault_option
@ui_options
@click.option(
    "--suite",
    "suites",
    multiple=True,
    metavar="SUITE",
    help="Follow runs of this suite (a file, or a bundled one) that Runscope makes, step by step. Repeatable.",
)
@json_option("events")
def up_command(target: str | None, *, db: Path, as_json: bool, **given: Any) -> None:  # noqa: ANN401 - click's options
    """Record what reaches the SCIM server at TARGET.

    TARGET is its URL with the base path, like http://127.0.0.1:8000/scim/v2. Point your SCIM client at
    scimproxy; every exchange goes to the database. With --tunnel it is reachable from outside, until
    it ends; strangers are kept out first then (`scimproxy help guard`). Ctrl-C or TERM ends it in
    order, a second one at once.

    With `--mode forward` it is an HTTP(S) proxy for a SCIM client instead, and opens TLS with a certificate
    of its own (see `scimproxy ca`); TARGET, where given, is a host to record, as with --only-host.
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
        intervener=faults_from(given["faults"]),
        guard=guard_from(given, exposed=public is not None or given["tunnel"] != "none", vouched=vouched),
    )
    if forward is None:
        refuse_loop(engine, listen)
    _refuse_told_secret(engine, "--public-url", given["public_url"])
    _refuse_told_secret(engine, "--url", given["tunnel_url"])
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
    printer = Printer(options, as_json=as_json)
    suites = _suites(given["suites"], ui=given["ui"])
    printer.follows = given["suites"]
    run_recording(
        options,
        printer,
        ui=given["ui"],
        ui_port=given["ui_port"],
        share_port=given["share_port"],
        suites=suites,
    )


def _suites(names: tuple[str, ...], *, ui: bool) -> tuple[str, ...]:
    """Return the suites to follow, as the inspector finds them.

    Raises:
        UsageError: or FormatError: one is none, or nothing would show it.
    """
    if not names:
        return ()
    from scimproxy.suite.library import bundled, find_suite, read_bounded, tests_of

    if not ui:
        raise UsageError(
            "--suite needs the inspector, which follows it",
            hint="leave --no-ui out; `scimproxy match RUN --suite FILE` judges the recording afterwards",
        )
    found = []
    for name in names:
        path = find_suite(name)
        tests_of(read_bounded(path), str(path))
        found.append(name if name in bundled() and path == bundled()[name] else str(path.absolute()))
    return tuple(found)


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
    for option in typed(("public_url", *TUNNEL_NAMES)):
        raise UsageError(
            f"{option} is not for --mode forward: that would be an open proxy, for everybody on the internet",
            hint="point the client on this machine at it, or record a server with --mode reverse",
        )
    for option in typed(GUARD_NAMES):
        raise UsageError(
            f"{option} is not for --mode forward: the guard keeps strangers from a server, and none can come there",
            hint=f"leave {option} out; --only-host says which hosts are recorded",
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


def run_recording(
    options: RecordOptions,
    printer: Printer,
    *,
    ui: bool = False,
    ui_port: int | None = None,
    suites: tuple[str, ...] = (),
    share_port: int = 0,
) -> None:
    """Record until a signal comes, with an inspector beside it; exits with 130 where it was asked to end at once."""
    from scimproxy.app import Stop, record, run_in_loop

    async def until_stopped() -> Stopped:
        where = inspecting(options.db, ui=ui, ui_port=ui_port, share_port=share_port, suites=suites)
        async with where as url:
            printer.inspector = url
            return await record(options, printer, Stop())

    stopped = run_in_loop(until_stopped(), options.engine_chosen)
    if stopped.untold:
        # Everything is written; only our output hangs, because nobody reads it, and Python would wait for it.
        os._exit(INTERRUPTED if stopped.at_once else 0)
    if stopped.at_once:
        click.get_current_context().exit(INTERRUPTED)


def _refuse_told_secret(engine: EngineOptions, option: str, url: str | None) -> None:
    """Refuse a public URL that holds the secret path: it is stored with the run, and shown by `runs`."""
    secret = engine.guard and engine.guard.secret_path
    if secret and url is not None and secret in url:
        raise UsageError(
            f"{option} holds the secret path", hint="write it without; scimproxy adds it when it shows the URL"
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
