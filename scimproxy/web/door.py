"""Who may come in: the token, the host that is asked, where the request comes from. Decided from heads alone; pure.

One rule: what is not known to be the person at this machine is refused, before any handler runs.
Against whom: a web page elsewhere that asks 127.0.0.1 by a name of its own (DNS rebinding: the host is not ours),
that makes the browser send a form (CSRF: Origin and Sec-Fetch-Site are not ours, and the cookie is SameSite=Strict),
and other people on this machine, who do not know the token.
"""

from __future__ import annotations

import hashlib
import hmac
from dataclasses import dataclass

__all__ = ["SAFE", "Asked", "Door", "Refused", "folder_of"]

SAFE = frozenset({"GET", "HEAD"})
"""Methods that change nothing."""

_LONGEST = 512


@dataclass(frozen=True, slots=True)
class Asked:
    """What of a request decides."""

    method: str
    host: str | None = None
    origin: str | None = None
    fetch_site: str | None = None
    fetch_mode: str | None = None
    fetch_dest: str | None = None
    authorization: str | None = None
    cookie: str | None = None


@dataclass(frozen=True, slots=True)
class Refused:
    """Why not, for a person, with the status that says it."""

    status: int
    message: str
    hint: str


def folder_of(token: str) -> str:
    """Return the folder where a token's pages are, `/~` and what nobody guesses."""
    return "/~" + hmac.new(token.encode(), b"scimproxy inspector folder", hashlib.sha256).hexdigest()[:32]


class Door:
    """The door of one inspector: its token and the port that it listens on."""

    def __init__(self, token: str, port: int) -> None:
        self._token = token.encode()
        # What a browser keeps is not the token itself: an old cookie opens nothing after the next start.
        self.cookie = hmac.new(self._token, b"scimproxy inspector cookie", hashlib.sha256).hexdigest()
        self.cookie_name = f"scimproxy-{port}"
        # Browsers send a cookie to every port of a host. So it belongs to a folder, which only who gave the token is
        # told: a neighbour, another server on 127.0.0.1, is never asked for it, and is never sent the cookie.
        self.folder = folder_of(token)
        self.hosts = frozenset(f"{name}:{port}" for name in ("127.0.0.1", "localhost", "[::1]"))

    def takes(self, token: str) -> bool:
        """Whether this is the token; in the same time for every wrong one."""
        return len(token) <= _LONGEST and hmac.compare_digest(token.encode("utf-8", "replace"), self._token)

    def foreign(self, asked: Asked) -> Refused | None:
        """Return why a request does not come from our own page or from a program of this machine."""
        if asked.host is None or asked.host.lower() not in self.hosts:
            return Refused(
                421, "This is not the host that the inspector answers for.", "open the URL that scimproxy printed"
            )
        if asked.origin is not None and asked.origin.lower() != f"http://{asked.host.lower()}":
            return Refused(403, "This request comes from another page.", "open the inspector itself, and do it there")
        if asked.fetch_site not in {None, "same-origin", "none"} and not _is_visit(asked):
            return Refused(403, "This request comes from another site.", "open the URL that scimproxy printed")
        return None

    def knows(self, asked: Asked) -> bool:
        """Whether the request carries the token, as a header or as the cookie that it was exchanged for."""
        if asked.authorization is not None:
            scheme, _, given = asked.authorization.partition(" ")
            return scheme.lower() == "bearer" and self.takes(given.strip())
        if asked.cookie is None or len(asked.cookie) > _LONGEST:
            return False
        if not hmac.compare_digest(asked.cookie.encode("utf-8", "replace"), self.cookie.encode()):
            return False
        # A page of ours always says where it comes from when it changes something; whoever does not, is none.
        return asked.method in SAFE or asked.origin is not None or asked.fetch_site == "same-origin"


def _is_visit(asked: Asked) -> bool:
    """Whether a person follows a link to us: it gets the door, because a Strict cookie does not come along."""
    return asked.method == "GET" and asked.fetch_mode == "navigate" and asked.fetch_dest == "document"
