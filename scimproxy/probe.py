"""One question to a server, for the doctor: does it answer HTTP, over TLS or not, and is the answer SCIM?

One rule: whatever the server does comes back as a value, bounded in size and time. Edge: sockets.
"""

from __future__ import annotations

import contextlib
import http.client
import json
import socket
import ssl
from dataclasses import dataclass
from typing import Any, Literal

from scimproxy.proxy.engine import Target

__all__ = ["Answer", "NoAnswer", "ask", "speaks_tls"]

_MOST = 1024 * 1024


@dataclass(frozen=True, slots=True)
class Answer:
    """What a server answered; `is_scim` says that the body is a ServiceProviderConfig (RFC 7643 section 5)."""

    status: int
    media_type: str | None
    is_scim: bool
    location: str | None = None
    tls: str | None = None


@dataclass(frozen=True, slots=True)
class NoAnswer:
    """Why there was none; `not_tls` where a TLS handshake met something else."""

    kind: Literal["connection", "tls", "certificate", "http"]
    message: str
    not_tls: bool = False


def ask(
    target: Target,
    path: str,
    *,
    token: str | None = None,
    timeout_s: float = 5.0,
    user_agent: str = "scimproxy-doctor",
    verify: bool = True,
) -> Answer | NoAnswer:
    """GET a path below the target's base path; without `verify` any certificate will do."""
    headers = {"Accept": "application/scim+json, application/json", "User-Agent": user_agent}
    if token:
        headers["Authorization"] = f"Bearer {token}"
    connection: http.client.HTTPConnection
    if target.scheme == "https":
        connection = http.client.HTTPSConnection(
            target.host, target.port, timeout=timeout_s, context=_context(verify=verify)
        )
    else:
        connection = http.client.HTTPConnection(target.host, target.port, timeout=timeout_s)
    with contextlib.closing(connection):
        try:
            connection.request("GET", target.base_path + path, headers=headers)
            tls = connection.sock.version() if isinstance(connection.sock, ssl.SSLSocket) else None
            response = connection.getresponse()
            body = response.read(_MOST)
        except ssl.SSLCertVerificationError as exc:
            return NoAnswer("certificate", exc.verify_message)
        except ssl.SSLError as exc:
            # OpenSSL reads the first bytes of "HTTP/1.1 400 ..." as a record of an impossible version.
            return NoAnswer("tls", exc.reason or str(exc), not_tls=exc.reason in _NOT_TLS)
        except TimeoutError:
            return NoAnswer("connection", f"no answer within {timeout_s:g} s")
        except (http.client.HTTPException, ValueError) as exc:
            return NoAnswer("http", _worded(exc))
        except OSError as exc:
            return NoAnswer("connection", exc.strerror or str(exc))
    media_type = (response.getheader("Content-Type") or "").partition(";")[0].strip().lower() or None
    if _tls_wanted(response.status, body):
        return NoAnswer("http", "it wants TLS")
    return Answer(
        status=response.status,
        media_type=media_type,
        is_scim=response.status == 200 and _is_config(body),
        location=response.getheader("Location") if 300 <= response.status < 400 else None,
        tls=tls,
    )


def _context(*, verify: bool) -> ssl.SSLContext:
    context = ssl.create_default_context()
    if not verify:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    return context


_NOT_TLS = frozenset({"WRONG_VERSION_NUMBER", "RECORD_LAYER_FAILURE", "HTTP_REQUEST", "PACKET_LENGTH_TOO_LONG"})


def _worded(exc: Exception) -> str:
    """A fault of http.client in words: its own texts quote the server's bytes."""
    if isinstance(exc, http.client.RemoteDisconnected):
        return "it closes the connection"
    if isinstance(exc, http.client.BadStatusLine):
        return "its first line is not HTTP"
    return f"not HTTP ({type(exc).__name__})"


def _tls_wanted(status: int, body: bytes) -> bool:
    """Whether a TLS port answered in plain text that it is one, as nginx, Apache and Go do."""
    said = body[:2000].lower()
    return status == 400 and (b"https port" in said or b"https server" in said or b"ssl-enabled server port" in said)


def _is_config(body: bytes) -> bool:
    try:
        document: Any = json.loads(body)
    except (ValueError, RecursionError):
        return False
    schemas = document.get("schemas") if isinstance(document, dict) else None
    if not isinstance(schemas, list):
        return False
    # SCIM 1.1 names its schema urn:scim:schemas:core:1.0 and tells the document apart by its members only.
    return any("ServiceProviderConfig" in str(urn) for urn in schemas) or "authenticationSchemes" in document


def speaks_tls(target: Target, *, timeout_s: float = 5.0) -> bool:
    """Whether a TLS handshake begins at the target's port; its certificate does not matter here."""
    context = _context(verify=False)
    try:
        with (
            socket.create_connection((target.host, target.port), timeout=timeout_s) as plain,
            context.wrap_socket(plain, server_hostname=target.host),
        ):
            return True
    except ssl.SSLError as exc:
        return exc.reason not in _NOT_TLS  # an alert, like "certificate required", is TLS too
    except (OSError, ValueError):
        return False
