"""What a probe of ours looks like, for whoever sends one, answers one or looks for one. Pure."""

from __future__ import annotations

__all__ = ["HEADER", "PROBED"]

HEADER = "Scimproxy-Probe"
"""The field that carries a number used once; an engine that answers probes itself (204) proves in it who it is.

`proxy.guard.PROBE` is the same name, on the side that answers."""

PROBED = "/ServiceProviderConfig"
"""What a probe asks for, below the base path: every SCIM server has it (RFC 7644 section 4); it changes nothing."""
