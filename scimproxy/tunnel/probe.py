"""What a probe of ours looks like, for whoever sends one, answers one or looks for one. Pure."""

from __future__ import annotations

__all__ = ["HEADER", "PROBED"]

HEADER = "Scimproxy-Probe"
"""The field that carries a number used once; an engine that answers probes itself sends it back, with 204."""

PROBED = "/ServiceProviderConfig"
"""What a probe asks for, below the base path: every SCIM server has it (RFC 7644 section 4); it changes nothing."""
