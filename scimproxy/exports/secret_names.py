"""Names for the secrets of one exported file: the store knows fingerprints, a person who runs the file the values.

One rule: the same fingerprint has the same name, the first credentials are SCIM_AUTH, and no value is ever written.
Pure; formats.py (curl) and variables.py ask it.
"""

from __future__ import annotations

import re

__all__ = ["FINGERPRINT", "SecretNames"]

FINGERPRINT = re.compile(r"sha256:[0-9a-f]{8}")
"""What stands in the store for a secret; see `exchange.fingerprint`."""


class SecretNames:
    """SCIM_AUTH for the first credentials, SCIM_SECRET_n for every other secret."""

    def __init__(self) -> None:
        self.names: dict[str, str] = {}

    def name(self, mark: str, *, credentials: bool) -> str:
        """Return the name for a fingerprint; a new one gets the next."""
        if mark not in self.names:
            first = credentials and "SCIM_AUTH" not in self.names.values()
            self.names[mark] = "SCIM_AUTH" if first else f"SCIM_SECRET_{len(self.names) + 1}"
        return self.names[mark]
