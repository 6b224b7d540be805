"""TLS towards the clients of a forward proxy: a connection with a certificate of our authority for each host.

One rule: the client gets what it asked for by name (SNI), and HTTP/2 where it offers that.
"""

from __future__ import annotations

import logging
from pathlib import Path

from mitmproxy.connection import Client
from OpenSSL import SSL

from scimproxy.proxy.authority import Authority

__all__ = ["ClientAuthority"]

log = logging.getLogger(__name__)


def _choose(_conn: SSL.Connection, offered: list[bytes]) -> bytes | SSL._NoOverlappingProtocols:
    """Take HTTP/2 where it is offered, else HTTP/1.1."""
    for wanted in (b"h2", b"http/1.1"):
        if wanted in offered:
            return wanted
    return SSL.NO_OVERLAPPING_PROTOCOLS


class ClientAuthority:
    """Makes the TLS side of client connections.

    Raises:
        EngineError: the authority of the folder cannot be used.
    """

    def __init__(self, folder: Path) -> None:
        self.authority = Authority.open(folder)

    def connection(self, client: Client, host: str) -> SSL.Connection | None:
        """Return the server's side of a handshake for the name that the client wants; None where that is no name."""
        name = client.sni or host
        try:
            certificate, key = self.authority.leaf(name)
        except ValueError as exc:
            log.warning("no certificate can be made for %r: %s", name, exc)
            return None
        context = SSL.Context(SSL.TLS_SERVER_METHOD)
        context.set_min_proto_version(SSL.TLS1_2_VERSION)
        context.use_certificate(certificate)
        context.use_privatekey(key)
        context.set_alpn_select_callback(_choose)
        conn = SSL.Connection(context)
        conn.set_accept_state()
        return conn
