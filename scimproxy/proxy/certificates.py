"""Certificates in words: from DER to what a person asks about one. Loaded only where TLS is spoken."""

from __future__ import annotations

import hashlib
from datetime import UTC, datetime
from functools import lru_cache

from cryptography import x509

from scimproxy.exchange import Certificate

__all__ = ["certificate", "told"]


@lru_cache(maxsize=256)
def certificate(der: bytes) -> Certificate:
    """Return what a certificate says; `der` is its encoding (RFC 5280)."""
    cert = x509.load_der_x509_certificate(der)
    return Certificate(
        sha256=hashlib.sha256(der).hexdigest(),
        subject=cert.subject.rfc4514_string(),
        issuer=cert.issuer.rfc4514_string(),
        names=_names(cert),
        not_before_at=cert.not_valid_before_utc.timestamp(),
        not_after_at=cert.not_valid_after_utc.timestamp(),
        der=der,
    )


def _names(cert: x509.Certificate) -> tuple[str, ...]:
    try:
        names = cert.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except (x509.ExtensionNotFound, ValueError):
        return ()
    return tuple(str(name.value) for name in names)


def told(cert: Certificate) -> tuple[tuple[str, ...], str]:
    """Return the names of a certificate and the day on which it ends, for a sentence."""
    return cert.names, datetime.fromtimestamp(cert.not_after_at, UTC).date().isoformat()
