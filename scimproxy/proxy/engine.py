"""The contract between the house and a proxy engine. Nothing of any engine's library appears here.

The rules every engine keeps, and the conformance suite in tests/conformance shows:

1. *Record before respond*: the client gets the last byte of a response only after `Recorder.record` returned.
2. What the wire did is data: a `Failure` on the exchange, and a SCIM error made by `answers` for the client.
3. An exchange in flight longer than `pending_after_ms` is announced once with `Recorder.pending`.
4. A fault in our own code loses no traffic silently: it is logged, and counted with `Recorder.lost`.
5. What an engine cannot know is None, never 0.
"""

from __future__ import annotations

import errno
from collections.abc import Callable
from dataclasses import dataclass, field
from ipaddress import IPv4Network, IPv6Network
from pathlib import Path
from typing import Protocol, runtime_checkable

from scimproxy.errors import EngineError, ScimproxyError, UsageError
from scimproxy.exchange import Connection, Exchange
from scimproxy.passed import Passed
from scimproxy.proxy.intervention import Intervener

__all__ = [
    "ANYWHERE",
    "METHODS",
    "Address",
    "Engine",
    "EngineOptions",
    "Forward",
    "GuardOptions",
    "Network",
    "QuickRecorder",
    "Recorder",
    "Target",
    "cannot_listen",
]

METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS")
"""What SCIM needs (RFC 7644 section 3.2), and the two that ask about it."""

type Network = IPv4Network | IPv6Network


@dataclass(frozen=True, slots=True)
class Address:
    """Where an engine listens."""

    host: str
    port: int

    def __str__(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{host}:{self.port}"


@dataclass(frozen=True, slots=True)
class Target:
    """The upstream SCIM server: `http://127.0.0.1:8000/scim/v2` in parts.

    `base_path` starts with a slash and does not end with one; the empty text stands for the root.
    """

    scheme: str
    host: str
    port: int
    base_path: str = ""

    @classmethod
    def parse(cls, text: str) -> Target:
        """Read what the user typed: a URL, `host:port`, or a port on loopback; each with a path or without.

        Raises:
            UsageError: the text names no http or https server, with what to write instead.
        """
        from urllib.parse import urlsplit  # noqa: PLC0415 - keeps start-up lean

        example = "write it like http://127.0.0.1:8000/scim/v2"
        given = text.strip()
        if given.partition("/")[0].isdigit():
            given = f"http://127.0.0.1:{given}"
        elif "://" not in given:
            given = f"http://{given}"
        try:
            parts = urlsplit(given)
            port = parts.port
        except ValueError as exc:
            raise UsageError(f"TARGET {text!r} is not a URL: {exc}", hint=example) from exc
        if parts.scheme not in {"http", "https"}:
            raise UsageError(f"TARGET {text!r}: scheme {parts.scheme!r} is not http or https", hint=example)
        if not parts.hostname:
            raise UsageError(f"TARGET {text!r} names no host", hint=example)
        if parts.username is not None or parts.password is not None:
            raise UsageError("TARGET must not hold a user name or password", hint="pass credentials in a header")
        if parts.query or parts.fragment:
            raise UsageError(f"TARGET {text!r} must not hold a query or fragment", hint=example)
        if port == 0:
            raise UsageError(f"TARGET {text!r}: port 0 is no port to connect to", hint=example)
        return cls(
            scheme=parts.scheme,
            host=parts.hostname,
            port=port or (443 if parts.scheme == "https" else 80),
            base_path=parts.path.rstrip("/"),
        )

    @property
    def authority(self) -> str:
        """Host and port as the Host header carries them, without a default port."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        default = 443 if self.scheme == "https" else 80
        return host if self.port == default else f"{host}:{self.port}"

    @property
    def origin(self) -> str:
        """Scheme and authority, like `http://127.0.0.1:8000`."""
        return f"{self.scheme}://{self.authority}"

    def leads_to(self, listen: Address, public_origin: str | None = None) -> bool:
        """Whether requests to this target would come back to us, who listen there and are seen under that origin."""
        if public_origin is not None and public_origin.lower().rstrip("/") == self.origin.lower():
            return True
        here = {listen.host, "localhost", "0.0.0.0", "::"}  # noqa: S104 - an address to compare with, not to bind
        return self.port == listen.port and self.host.lower() in here

    def __str__(self) -> str:
        return self.origin + self.base_path


ANYWHERE = Target(scheme="http", host="", port=0)
"""The target where there is no one server: of a forward proxy (each request names its own), and where an intervener
answers everything (a mock): then the upstream is never asked."""


@dataclass(frozen=True, slots=True)
class Forward:
    """How a forward proxy works: which hosts it records, and where the authority's key is with which it signs.

    `only` holds `HOST`, `HOST:PORT` or `*.DOMAIN` in lower case; empty: every host. What is not wanted passes
    untouched and unrecorded.
    """

    authority: Path
    only: tuple[str, ...] = ()

    def wants(self, host: str, port: int) -> bool:
        """Whether exchanges with this host are recorded."""
        name = host.lower().rstrip(".")
        bracketed = f"[{name}]" if ":" in name else name
        return not self.only or any(
            one in {name, bracketed, f"{bracketed}:{port}"} or (one.startswith("*.") and name.endswith(one[1:]))
            for one in self.only
        )


def cannot_listen(exc: OSError, place: Address) -> EngineError:
    """Say why an engine cannot listen."""
    if exc.errno == errno.EADDRINUSE:
        return EngineError(
            f"port {place.port} on {place.host} is taken by another program",
            hint=f"stop that program (lsof -i :{place.port} shows it), or choose another port with --port (0: any)",
        )
    if exc.errno == errno.EACCES:
        return EngineError(f"listening on {place} is not permitted", hint="choose a port above 1023 with --port")
    return EngineError(f"cannot listen on {place}: {exc.strerror or exc}", hint="check --listen-host and --port")


@dataclass(frozen=True, slots=True, kw_only=True)
class GuardOptions:
    """What a listener that strangers reach lets through (`proxy.guard`); None switches a check off.

    `methods` are names in upper case, `max_body` bytes, the rates requests per minute (and so many in one burst).
    `secret_path` is one segment without slashes, `token` the bearer token that clients must send. `allow` needs
    `EngineOptions.vouches_for_client`. `mark` names this process in `Scimproxy-Via`, by which a loop is seen;
    `probe_key` (32 random bytes) signs the nonces of our own probes, see `guard.probe_nonce`.
    """

    methods: tuple[str, ...] = METHODS
    max_body: int | None = 10 * 1024 * 1024
    secret_path: str | None = field(default=None, repr=False)
    token: str | None = field(default=None, repr=False)
    allow: tuple[Network, ...] | None = field(default=None, repr=False)
    rate_per_client: int | None = 3000
    rate_overall: int | None = 6000
    mark: str | None = None
    probe_key: bytes | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineOptions:
    """What an engine is to do; every engine understands all of it but `forward` and `http2`.

    Sizes in bytes, durations in their unit.

    `public_path` is the path under which clients see the server (None: the target's base path). `public_origin` is
    the tunnel's scheme and authority, where one is known. `vouches_for_client`: the last value of X-Forwarded-For
    was written by our own tunnel; without it such headers of clients are dropped. `head_timeout_s` bounds silence
    inside a request, `idle_timeout_s` between two. `guard` is what strangers may do, where they reach us; None: all.
    `forward` makes it a forward proxy (`target` is ANYWHERE then); `http2` offers HTTP/2 to an https upstream. Both
    are for the mitmproxy engine only. `intervener` decides what happens to requests in place of plain forwarding.
    """

    target: Target
    listen_host: str = "127.0.0.1"
    listen_port: int = 0
    public_path: str | None = None
    public_origin: str | None = None
    preserve_host: bool = False
    rewrite_locations: bool = False
    vouches_for_client: bool = False
    upstream_ca: Path | None = None
    insecure_upstream: bool = False
    max_content: int = 10 * 1024 * 1024
    stream_above: int = 1024 * 1024
    connect_timeout_s: float = 10.0
    response_timeout_s: float = 55.0
    pending_after_ms: float = 250.0
    drain_s: float = 10.0
    head_timeout_s: float = 30.0
    idle_timeout_s: float = 120.0
    max_connections: int = 1000
    guard: GuardOptions | None = None
    forward: Forward | None = None
    http2: bool = False
    intervener: Intervener | None = None

    @property
    def served_path(self) -> str:
        """The path that is served, without the secret before it: `public_path`, or the target's own."""
        return self.target.base_path if self.public_path is None else self.public_path.rstrip("/")

    @property
    def public_base(self) -> str:
        """The path prefix that clients use; it holds the secret where there is one."""
        if self.guard is None or self.guard.secret_path is None:
            return self.served_path
        return f"/{self.guard.secret_path}{self.served_path}"

    def base_url(self, public_url: str) -> str:
        """Return the SCIM base URL to paste for the URL of a tunnel, which may hold the served path already."""
        return public_url.removesuffix(self.served_path) + self.public_base


class Recorder(Protocol):
    """Where an engine puts what it saw. Called in the engine's event loop."""

    async def record(self, exchange: Exchange) -> None:
        """Store an exchange (its final state) and return once it is committed.

        Raises:
            StoreError: it could not be stored. The engine then does not release the answer: the client gets
                `answers.not_recorded` instead, or a cut connection where the head is already out.
        """

    def submit(self, exchange: Exchange, done: Callable[[ScimproxyError | None], None]) -> None:
        """Do what `record` does without a task: call `done` in the event loop once, with None or the StoreError."""

    def pending(self, exchange: Exchange) -> None:
        """Announce an exchange in flight; `record` is called later with the same `uid`."""

    async def opened(self, exchange: Exchange) -> None:
        """Do what `pending` does, and return once it is committed: the answer's head goes out before its end.

        Raises:
            StoreError: as `record`.
        """

    def connection(self, connection: Connection) -> None:
        """Tell what became of a connection (it closed, it carried more): an update by `uid`."""

    def refusing(self) -> ScimproxyError | None:
        """Return why nothing can be recorded right now (disk full); then the engine asks the upstream nothing."""

    def lost(self, reason: str) -> None:
        """Count an exchange that passed without being recorded."""


@runtime_checkable
class QuickRecorder(Protocol):
    """A recorder that has a shorter way for exchanges that went as most do."""

    def submit_passed(self, passed: Passed, done: Callable[[ScimproxyError | None], None]) -> None:
        """Do what `submit` does."""


class Engine(Protocol):
    """A proxy engine; made with `(EngineOptions, Recorder)`, used once, inside one event loop."""

    name: str
    options: EngineOptions
    """What it does now; see `publish`."""

    async def start(self) -> Address:
        """Listen, and return where.

        Raises:
            EngineError: the port is taken, or something else forbids starting; says what to do.
        """

    def publish(self, origin: str | None, *, vouches_for_client: bool) -> None:
        """Tell under which public origin clients see us, once a tunnel is open; `options` holds it from now on.

        It counts for every request whose head comes later, on open connections too. In the event loop.
        """

    async def stop(self, *, at_once: bool = False) -> None:
        """Accept nothing more, let what is in flight end (`drain_s`), record all, close. Safe to call twice.

        `at_once` waits for nothing: what is in flight is recorded as aborted. It also hurries a stop that goes on.
        """

    async def failed(self) -> ScimproxyError:
        """Wait until the engine cannot go on, and return why; for ever where it never fails."""
