"""What ngrok's error codes mean for a user of scimproxy, and what to do about them. Pure.

One rule: every sentence is about the user's situation and names the next step; a token that stands in ngrok's own
text (codes 105 and 107 quote it) is taken out before anybody sees it. Source of the codes: ngrok.com/docs/errors.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from scimproxy.tunnel.contract import TunnelError

__all__ = ["CODES", "FATAL", "Meaning", "clean", "code_in", "explain"]


@dataclass(frozen=True, slots=True)
class Meaning:
    """What an error means, what to do, and whether trying again is of no use."""

    message: str
    hint: str
    fatal: bool = False


_GET_ONE = (
    "get one at dashboard.ngrok.com/get-started/your-authtoken, then set NGROK_AUTHTOKEN "
    "(or run `ngrok config add-authtoken TOKEN` once)"
)

CODES: dict[str, Meaning] = {
    "ERR_NGROK_4018": Meaning("ngrok wants an authtoken, and none was given", _GET_ONE, fatal=True),
    "ERR_NGROK_105": Meaning("the ngrok authtoken is malformed", f"copy it again: {_GET_ONE}", fatal=True),
    "ERR_NGROK_107": Meaning("the ngrok authtoken is invalid: revoked, or of another account", _GET_ONE, fatal=True),
    "ERR_NGROK_108": Meaning(
        "the ngrok account has too many agents online at once",
        "end the other ones: dashboard.ngrok.com/agents lists them, `scimproxy doctor --tunnel ngrok` the leftovers "
        "on this machine",
        fatal=True,
    ),
    "ERR_NGROK_121": Meaning(
        "the ngrok agent is too old for this account",
        "update it: `ngrok update`, or `scimproxy tunnel install` for a new one",
        fatal=True,
    ),
    "ERR_NGROK_334": Meaning(
        "the public URL is online already",
        "an agent that was killed may hold it for a minute; else another scimproxy or ngrok of this account uses it: "
        "end that one, or choose another URL with --url",
    ),
    "ERR_NGROK_3200": Meaning(
        "ngrok says that the endpoint is offline", "the agent has lost its session; it connects again by itself"
    ),
    "ERR_NGROK_8012": Meaning(
        "ngrok's agent cannot reach scimproxy on this machine",
        "scimproxy has stopped, or a firewall keeps programs on this machine apart",
    ),
    "ERR_NGROK_725": Meaning(
        "the bandwidth of the ngrok plan for this month is used up",
        "wait for the next month, change the plan, or use another tunnel",
        fatal=True,
    ),
    "ERR_NGROK_727": Meaning(
        "the requests of the ngrok plan for this month are used up",
        "wait for the next month, change the plan, or use another tunnel",
        fatal=True,
    ),
    "ERR_NGROK_702": Meaning(
        "ngrok limits the rate: too many connections a minute", "slow the client down, or wait a minute"
    ),
    "ERR_NGROK_734": Meaning(
        "ngrok limits the rate: too many requests a minute", "slow the client down, or wait a minute"
    ),
    "ERR_NGROK_6024": Meaning(
        "ngrok shows its warning page for browsers",
        "SCIM clients do not see it; a browser skips it with the header ngrok-skip-browser-warning",
    ),
}

FATAL = frozenset(code for code, meaning in CODES.items() if meaning.fatal)

_CODE = re.compile(r"ERR_NGROK_\d+")
_QUOTED = re.compile(r"(?i)((?:your )?authtoken(?: you specified)?\s*[:=]\s*)\"?[^\s\"\\]+")
_CERTIFICATE = re.compile(r"(?i)certificate|x509")
_NO_NAME = re.compile(r"(?i)no such host|lookup \S+|getaddrinfo|name or service not known|i/o timeout")
_LONGEST = 300


def code_in(text: str) -> str | None:
    """Return the last error code of a text; ngrok puts it at the end."""
    found = _CODE.findall(text)
    return found[-1] if found else None


def clean(text: str, secrets: tuple[str, ...] = ()) -> str:
    """Return a text on one line, without tokens, and not too long."""
    for secret in secrets:
        if secret:
            text = text.replace(secret, "[authtoken]")
    text = _QUOTED.sub(r"\1[authtoken]", text.replace("\\r", " ").replace("\\n", " "))
    text = " ".join(text.split())
    return text if len(text) <= _LONGEST else text[: _LONGEST - 3] + "..."


def explain(text: str, secrets: tuple[str, ...] = ()) -> TunnelError:
    """Return the error for what ngrok said."""
    code = code_in(text)
    if code is not None and code in CODES:
        meaning = CODES[code]
        return TunnelError(f"{meaning.message} ({code})", hint=meaning.hint, fatal=meaning.fatal, code=code)
    said = clean(text, secrets)
    if code is not None:
        return TunnelError(
            f"ngrok refuses: {said}", hint=f"ngrok.com/docs/errors/{code.lower()} explains it", code=code
        )
    if _CERTIFICATE.search(said):
        return TunnelError(
            f"the certificate of ngrok's servers is not accepted: {said}",
            hint="a proxy or VPN with a certificate authority of its own, or a wrong clock; see docs/tunnel.md",
        )
    if _NO_NAME.search(said):
        return TunnelError(
            f"ngrok's servers cannot be reached: {said}",
            hint="check the network, DNS and proxy; `scimproxy doctor --tunnel ngrok` looks at them",
        )
    return TunnelError(f"the ngrok agent failed: {said or 'it said nothing'}", hint="see docs/tunnel.md")
