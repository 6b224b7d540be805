"""Versions of resources as entity tags: what If-Match and If-None-Match mean for a call (RFC 7644 section 3.14).

One rule: tags are compared weakly, because the examples of the RFC put weak tags into If-Match.
Flow: directory -> is_current() before anything is read or written.
"""

from __future__ import annotations

from scimproxy.scim.dialect import Call, Dialect, Refusal

__all__ = ["is_current"]


def is_current(call: Call, version: str, dialect: Dialect) -> bool:
    """Return whether the client says that it holds this very version already, so that 304 is the answer.

    Raises:
        Refusal: 412, the client wants to write only to another version (If-Match), or to none (If-None-Match).
    """
    if not dialect.etags:
        return False
    wanted, known = call.headers.get("If-Match"), call.headers.get("If-None-Match")
    failed = Refusal(412, dialect.text("precondition", version=version))
    if wanted is not None and not _names(wanted, version):
        raise failed
    if known is None or not _names(known, version):
        return False
    if call.method in {"GET", "HEAD"}:
        return True
    raise failed


def _names(header: str, version: str) -> bool:
    tags = [tag.strip() for tag in header.split(",")]
    return "*" in tags or version.removeprefix("W/") in {tag.removeprefix("W/") for tag in tags}
