"""Header fields that belong to one connection, or were added on the way: whoever sends again writes its own.

One rule: names alone decide, whatever a value says. Pure; replay, exports and the mock leave these fields out.
"""

from __future__ import annotations

__all__ = ["CONNECTION_HEADERS", "is_of_the_way"]

CONNECTION_HEADERS = frozenset(
    {
        "connection",
        "content-length",
        "expect",
        "host",
        "http2-settings",
        "keep-alive",
        "proxy-authorization",
        "proxy-connection",
        "te",
        "trailer",
        "transfer-encoding",
        "upgrade",
    }
)
"""Lower-case names of fields that speak of one connection (RFC 9110 section 7.6.1), or of how a message is framed."""
_ADDED = frozenset({"forwarded", "via"})
_ADDED_BEGIN = ("cf-", "ngrok-", "x-forwarded-", "x-ngrok-", "x-real-ip")


def is_of_the_way(name: str) -> bool:
    """Whether a field of a request belongs to its connection, or was added by a tunnel or proxy on the way."""
    lowered = name.lower()
    return lowered in CONNECTION_HEADERS or lowered in _ADDED or lowered.startswith(_ADDED_BEGIN)
