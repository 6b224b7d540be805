"""What the mitmproxy engine knows of a connection: notes on it, its TLS facts, and the TLS context for the upstream.

One rule: mitmproxy's connection objects come in, `scimproxy.exchange` types go out; what mitmproxy does not tell is
None. Only `mitm`, `mitm_layers` and this module import mitmproxy, and only when that engine is chosen.
"""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any, Literal, cast

import certifi
import OpenSSL.crypto
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding
from mitmproxy import connection as mitm
from OpenSSL import SSL

from scimproxy.errors import EngineError
from scimproxy.exchange import Certificate, Connection, Failure, Tls
from scimproxy.proxy import answers
from scimproxy.proxy.certificates import certificate
from scimproxy.proxy.engine import EngineOptions, Target
from scimproxy.proxy.passage import Link

__all__ = ["Note", "tls_connection", "tls_context", "tls_failure"]


@dataclass(slots=True, eq=False)
class Note:
    """What we note about a connection beside mitmproxy's own object for it.

    Durations are milliseconds, `_m` is monotonic seconds. `target` is where an upstream connection goes,
    `server_name` the name that its certificate must have, `offers` what ALPN offers. `failure` is why it could
    not be opened.
    """

    conn: mitm.Connection
    side: Literal["client", "upstream"]
    target: Target
    server_name: str | None = None
    offers: tuple[bytes, ...] = (b"http/1.1",)
    opened_at: float | None = None
    closed_at: float | None = None
    closed_by: Literal["client", "upstream", "proxy"] | None = None
    close_reason: str | None = None
    http_version: str | None = None
    exchanges: int = 0
    dns_ms: float | None = None
    connect_ms: float | None = None
    tls_ms: float | None = None
    tls_began_m: float | None = None
    idle_since_m: float | None = None
    failure: Failure | None = None
    seen_certificates: list[x509.Certificate] = field(default_factory=list)
    _tls: Tls | None = None

    def connection(self) -> Connection:
        """Return the connection as it is now."""
        peer = self.conn.peername
        local = self.conn.sockname
        return Connection(
            uid=self.conn.id,
            side=self.side,
            peer_host=peer[0] if peer else None,
            peer_port=peer[1] if peer else None,
            local_host=local[0] if local else None,
            local_port=local[1] if local else None,
            server_name=self.server_name,
            http_version=self.http_version,
            opened_at=self.opened_at,
            closed_at=self.closed_at,
            closed_by=self.closed_by,
            close_reason=self.close_reason,
            exchanges=self.exchanges,
            tls=self.tls(),
        )

    def link(self, index: int | None) -> Link:
        """Return the connection as an exchange's upstream; what opening took belongs to the first one."""
        first = index in {None, 1}
        return Link(
            connection=self.connection(),
            index=index,
            dns_ms=self.dns_ms if first else None,
            connect_ms=self.connect_ms if first else None,
            tls_ms=self.tls_ms if first else None,
        )

    def tls(self) -> Tls | None:
        """Return what the TLS handshake settled, or how far it came; None without TLS."""
        if not self.conn.tls or self._tls is not None:
            return self._tls
        chain = [cert.to_cryptography() for cert in self.conn.certificate_list] or self.seen_certificates
        tls = Tls(
            version=self.conn.tls_version,
            cipher=self.conn.cipher,
            alpn=self.conn.alpn.decode("latin-1") if self.conn.alpn else None,
            sni=None if self.conn.sni is None or _is_address(self.conn.sni) else self.conn.sni,
            chain=tuple(_certificate(one) for one in chain),
        )
        if self.conn.tls_established:
            self._tls = tls
        return tls


def _is_address(name: str) -> bool:
    """Whether a name is an IP address, which TLS sends no SNI for (RFC 6066 section 3)."""
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True


def _certificate(cert: x509.Certificate) -> Certificate:
    return certificate(cert.public_bytes(Encoding.DER))


# -- TLS to the upstream ------------------------------------------------------------------------------------------


def _collect(conn: SSL.Connection, cert: OpenSSL.crypto.X509, _errno: int, _depth: int, ok: int) -> bool:
    """Keep every certificate that the check looks at, so that a failed one can be told in words; judge nothing."""
    seen = conn.get_app_data()
    one = cert.to_cryptography()
    if isinstance(seen, list) and one not in seen:
        seen.insert(0, one)
    return bool(ok)


def tls_context(options: EngineOptions) -> SSL.Context:
    """Return the TLS settings for the upstream: our own authorities where given, else the system's and certifi's.

    Raises:
        EngineError: the file of --upstream-ca cannot be used.
    """
    context = SSL.Context(SSL.TLS_CLIENT_METHOD)
    context.set_min_proto_version(SSL.TLS1_2_VERSION)
    context.set_verify(SSL.VERIFY_NONE if options.insecure_upstream else SSL.VERIFY_PEER, _collect)
    if options.upstream_ca is None:
        context.set_default_verify_paths()
        context.load_verify_locations(certifi.where())
        return context
    try:
        context.load_verify_locations(str(options.upstream_ca))
    except SSL.Error as exc:
        raise EngineError(
            f"no CA certificate can be read from {options.upstream_ca}",
            hint="--upstream-ca wants a PEM file with one or more CA certificates",
        ) from exc
    return context


def tls_connection(context: SSL.Context, note: Note, options: EngineOptions) -> SSL.Connection:
    """Return the TLS side of a connection to the upstream, checking its certificate against the upstream's name."""
    host = note.server_name or note.target.host
    ssl_conn = SSL.Connection(context)
    ssl_conn.set_app_data(note.seen_certificates)
    ssl_conn.set_alpn_protos(list(note.offers))
    if not _is_address(host):
        ssl_conn.set_tlsext_host_name(host.encode("idna"))
    if not options.insecure_upstream:
        _expect_host(ssl_conn, host)
    ssl_conn.set_connect_state()
    return ssl_conn


def _expect_host(ssl_conn: SSL.Connection, host: str) -> None:
    """Have OpenSSL compare the certificate's names; pyOpenSSL offers this only through its bindings."""
    lib = cast("Any", SSL)._lib  # noqa: SLF001 - no public way; mitmproxy's own tlsconfig goes the same way
    param = lib.SSL_get0_param(ssl_conn._ssl)  # noqa: SLF001 - the same
    lib.X509_VERIFY_PARAM_set_hostflags(param, lib.X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS)
    if _is_address(host):
        packed = ipaddress.ip_address(host).packed
        done = lib.X509_VERIFY_PARAM_set1_ip(param, packed, len(packed))
    else:
        name = host.encode("idna")
        done = lib.X509_VERIFY_PARAM_set1_host(param, name, len(name))
    if done != 1:
        raise EngineError(f"the name {host!r} cannot be checked in a certificate", hint="check TARGET for a typo")


def tls_failure(note: Note) -> Failure:
    """Return the failed handshake in words, with what the certificate says where one came."""
    problem = note.conn.error or "the connection was closed during the handshake"
    leaf = _certificate(note.seen_certificates[0]) if note.seen_certificates else None
    until = datetime.fromtimestamp(leaf.not_after_at, tz=UTC) if leaf is not None else None
    return answers.tls(
        replace(note.target, host=note.server_name or note.target.host),
        problem,
        names=leaf.names if leaf is not None else (),
        until=until.strftime("%Y-%m-%d %H:%M UTC") if until is not None else None,
    )
