"""The words for what went wrong, and the SCIM errors that clients get from us instead of an upstream's answer.

One rule: pure, and every sentence says what is wrong, where, and what to do. Both engines use the same words, so
that a person meets one language. Every answer made here carries `scimproxy-origin: proxy`, so that nobody takes it
for the server's.
"""

from __future__ import annotations

import json
from dataclasses import replace
from http import HTTPStatus

from scimproxy.errors import ScimproxyError
from scimproxy.exchange import Content, Failure, Headers, Phase, Response
from scimproxy.proxy.engine import Target
from scimproxy.proxy.forwarding import Refusal

__all__ = [
    "ERROR_URN",
    "ORIGIN_HEADER",
    "answer",
    "blocked",
    "client_gone",
    "client_protocol",
    "client_tls",
    "closed",
    "dns",
    "internal",
    "not_recorded",
    "protocol",
    "reason",
    "refused",
    "scim_error",
    "stopping",
    "timed_out",
    "tls",
    "turned_away",
    "unreachable",
    "without_content",
]

ERROR_URN = "urn:ietf:params:scim:api:messages:2.0:Error"
ORIGIN_HEADER = "scimproxy-origin"

REASONS = {
    400: "Bad Request",
    401: "Unauthorized",
    403: "Forbidden",
    404: "Not Found",
    405: "Method Not Allowed",
    408: "Request Timeout",
    413: "Content Too Large",
    421: "Misdirected Request",
    429: "Too Many Requests",
    431: "Request Header Fields Too Large",
    500: "Internal Server Error",
    501: "Not Implemented",
    502: "Bad Gateway",
    503: "Service Unavailable",
    504: "Gateway Timeout",
    505: "HTTP Version Not Supported",
    507: "Insufficient Storage",
    508: "Loop Detected",
}

STATUSES = {"timeout": 504, "blocked": 403, "internal": 500}
"""Failure kind to status, where it is not 502."""


# -- answers ------------------------------------------------------------------------------------------------------


def scim_error(status_code: int, detail: str) -> Response:
    """Return a SCIM error (RFC 7644 section 3.12) made by the proxy; `status` is a string there."""
    body = json.dumps({"schemas": [ERROR_URN], "status": str(status_code), "detail": f"scimproxy: {detail}"})
    content = Content.of(body.encode())
    return Response(
        status_code=status_code,
        reason=REASONS.get(status_code, "Error"),
        headers=Headers(
            [
                ("Content-Type", "application/scim+json"),
                ("Content-Length", str(content.size)),
                ("Cache-Control", "no-store"),
                (ORIGIN_HEADER, "proxy"),
            ]
        ),
        content=content,
    )


def answer(failure: Failure, *, status_code: int | None = None) -> Response:
    """Return what the client gets for a failure; `status_code` where the refusal brought its own."""
    status = status_code or (400 if failure.side == "client" else STATUSES.get(failure.kind, 502))
    return scim_error(status, f"{failure.message}. This answer was made by scimproxy, not by the SCIM server.")


def turned_away(refusal: Refusal) -> tuple[Failure, Response]:
    """Return what is recorded of a refused request, and what its client gets; it may be told less than we know."""
    told = answer(blocked(refusal.told or refusal.detail), status_code=refusal.status_code)
    return blocked(refusal.detail), replace(told, headers=Headers((*told.headers, *refusal.headers)))


def reason(status_code: int) -> str:
    """Return the reason phrase for a status that came without one."""
    try:
        return HTTPStatus(status_code).phrase
    except ValueError:
        return ""


def not_recorded(problem: ScimproxyError) -> Response:
    """Return the 507 that a client gets while nothing can be recorded."""
    hint = f" ({problem.hint})" if problem.hint else ""
    return scim_error(507, f"the exchange could not be recorded: {problem}{hint}. The answer is withheld.")


def without_content(response: Response) -> Response:
    """Return the answer to HEAD: the same head, no content."""
    return replace(response, content=Content.of(b""))


# -- failures -----------------------------------------------------------------------------------------------------


def refused(target: Target, tried: str) -> Failure:
    """Nobody listens there."""
    return Failure(
        "refused",
        f"{target.origin} refuses connections (tried {tried}): is the SCIM server running, and on this port?",
        "connect",
    )


def unreachable(target: Target, problem: str) -> Failure:
    """The network knows no way there."""
    return Failure("unreachable", f"{target.origin} cannot be reached: {problem}", "connect")


def dns(target: Target, problem: str) -> Failure:
    """The name has no address."""
    return Failure("dns", f"the name {target.host!r} cannot be resolved ({problem}): check TARGET for a typo", "dns")


def timed_out(target: Target, phase: Phase, seconds: float) -> Failure:
    """The upstream took longer than the limit of this phase."""
    words = {
        "dns": "resolving its name",
        "connect": "connecting",
        "tls": "the TLS handshake",
        "send": "taking the request",
        "wait": "beginning its answer",
        "receive": "continuing its answer",
    }
    return Failure("timeout", f"{target.origin} took longer than {seconds:g} s for {words.get(phase, phase)}", phase)


def closed(target: Target, *, attempts: int | None = None, partly: str | None = None) -> Failure:
    """The upstream closed the connection instead of answering, or in the middle of its answer (`partly`: how far)."""
    if partly is not None:
        message = f"{target.origin} closed the connection in the middle of its answer ({partly})"
        return Failure("closed", message, "receive")
    again = " (twice)" if attempts and attempts > 1 else ""
    return Failure(
        "closed",
        f"{target.origin} closed the connection without an answer{again}: look for a crash in the server's log",
        "wait",
    )


def protocol(target: Target, problem: str, received: bytes = b"", phase: Phase = "receive") -> Failure:
    """What came from the upstream is not HTTP/1, or malformed."""
    if received[:2] in {b"\x15\x03", b"\x16\x03"}:
        return Failure(
            "protocol", f"{target.origin} answers with TLS, not plain HTTP: write https:// in TARGET", phase
        )
    return Failure("protocol", f"{target.origin} sent something that is not valid HTTP: {problem}", phase)


def blocked(detail: str) -> Failure:
    """We refused the request."""
    return Failure("blocked", f"request refused: {detail}", "request", "proxy")


def client_protocol(problem: str) -> Failure:
    """What came from the client is not HTTP/1.1, or malformed."""
    return Failure("protocol", f"the request is not valid HTTP: {problem}", "request", "client")


def client_gone(phase: Phase, reset: str | None = None) -> Failure:
    """The client closed its connection, or reset this one stream (HTTP/2's code), before it had the answer."""
    when = "before the request was complete" if phase == "request" else "before the answer"
    what = "closed its connection" if reset is None else f"reset the stream ({reset})"
    return Failure("closed", f"the client {what} {when}", phase, "client")


def client_tls(target: Target, problem: str) -> Failure:
    """The TLS handshake with a client of a forward proxy failed."""
    lowered = problem.lower()
    if any(mark in lowered for mark in ("unknown ca", "bad certificate", "certificate unknown", "connection closed")):
        words = (
            f"the client does not trust the certificate that scimproxy shows for {target.host} ({problem}): "
            "let it trust the one that `scimproxy ca` prints"
        )
    else:
        words = f"the TLS handshake with the client failed on the way to {target.host}: {problem}"
    return Failure("tls", words, "tls", "client")


def stopping(phase: Phase) -> Failure:
    """We were stopped while the exchange was in flight."""
    return Failure("closed", "scimproxy was stopped before the answer", phase, "proxy")


def internal(problem: str) -> Failure:
    """A fault of our own."""
    return Failure("internal", f"scimproxy failed: {problem}; see its log", None, "proxy")


_TLS_WORDS = (
    ("hostname mismatch", "its certificate is for another name than {host!r}{names}"),
    ("ip address mismatch", "its certificate is for another address than {host!r}{names}"),
    ("expired", "its certificate has expired{until}"),
    ("not yet valid", "its certificate is not valid yet"),
    ("self-signed", "its certificate is self-signed, or signed by an authority of its own"),
    ("self signed", "its certificate is self-signed, or signed by an authority of its own"),
    ("unable to get", "its certificate is signed by an authority that is not known here"),
    ("not speak tls", "it does not speak TLS: write http:// in TARGET"),
    ("wrong version number", "it does not speak TLS: write http:// in TARGET"),
    ("protocol version", "it speaks only TLS versions that are too old"),
    ("handshake failure", "no cipher or certificate type suits both sides"),
)

_TRUST_WORDS = ("its certificate",)


def tls(target: Target, problem: str, *, names: tuple[str, ...] = (), until: str | None = None) -> Failure:
    """The TLS handshake failed; `problem` is what the TLS library said, `names` and `until` the certificate's."""
    lowered = problem.lower()
    words = next((text for mark, text in _TLS_WORDS if mark in lowered), "the handshake failed")
    told = words.format(
        host=target.host,
        names=f" (it names {', '.join(names[:5])})" if names else "",
        until=f" on {until}" if until else "",
    )
    todo = (
        "; trust its authority with --upstream-ca FILE, or pass --insecure-upstream to skip the check"
        if told.startswith(_TRUST_WORDS)
        else ""
    )
    return Failure("tls", f"TLS with {target.origin} failed: {told} ({problem}){todo}", "tls")
