"""Who called: a short label for the client of a request, from its User-Agent and a few other marks.

One rule: a label says what the request itself shows, and None means that it shows nothing. A User-Agent is a
claim, so a label is a help for reading and filtering, never a ground for trust. Pure; the table `CLIENTS` is
what `scimproxy help clients` prints and what `client:` of the query language accepts.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from scimproxy.exchange import Request

__all__ = ["CLIENTS", "LABELS", "Client", "identify"]


@dataclass(frozen=True, slots=True)
class Client:
    """One kind of client: its label, its name for a person, and how it is told."""

    label: str
    name: str
    how: str
    pattern: re.Pattern[str] | None = None


def _agent(expression: str) -> re.Pattern[str]:
    return re.compile(expression, re.IGNORECASE)


CLIENTS: tuple[Client, ...] = (
    Client("scimproxy", "scimproxy itself", "User-Agent begins with scimproxy", _agent(r"scimproxy\b")),
    Client(
        "okta-runscope",
        "Okta's test suites, run by Runscope or by us",
        "User-Agent is OKTA SCIM Integration, which the suites set themselves on most GET steps",
        _agent(r"okta scim integration\b"),
    ),
    Client(
        "okta",
        "Okta provisioning",
        "User-Agent begins with Okta SCIM Client (1.0.0)",
        _agent(r"okta scim client\b|okta-scim-client\b"),
    ),
    Client(
        "runscope",
        "Runscope (BlazeMeter API Monitoring)",
        "User-Agent begins with runscope-radar/ (steps without a User-Agent of their own) or runscope/",
        _agent(r"runscope(?:-radar)?/"),
    ),
    Client(
        "entra",
        "Microsoft Entra ID provisioning",
        "?aadOptscim062020 in the target; or, with no better mark, a PATCH whose op words are capitalised",
        _agent(r"(?:azure|microsoft|aad)[ -]?(?:ad|entra)?.*(?:scim|provisioning)"),
    ),
    Client(
        "scim2-cli",
        "scim2-cli, or another program on scim2-client",
        "User-Agent names scim2; or it is httpx's, with application/scim+json in both Accept and Content-Type",
        _agent(r"scim2[-/]"),
    ),
    Client(
        "scim-sanity",
        "scim-sanity",
        "User-Agent names scim-sanity; or it is urllib's, with application/scim+json in Accept",
        _agent(r"scim-sanity\b"),
    ),
    Client("curl", "curl", "User-Agent begins with curl/", _agent(r"(?:lib)?curl/")),
    Client("postman", "Postman", "User-Agent begins with PostmanRuntime/", _agent(r"postman")),
    Client(
        "ngrok",
        "ngrok's own checks",
        "User-Agent begins with ngrok",
        _agent(r"ngrok\b"),
    ),
    Client(
        "python",
        "a Python program",
        "User-Agent of requests, urllib, httpx or aiohttp",
        _agent(r"python[-/ ]|httpx|aiohttp/|urllib3/|.*\baiohttp/"),
    ),
    Client(
        "node",
        "a Node.js program",
        "User-Agent is node, or that of axios, undici, got, node-fetch, superagent",
        _agent(r"node(?:$|[-/. ])|axios/|undici|got(?:$|[ /])|superagent|.*\bnode-fetch"),
    ),
    Client("go", "a Go program", "User-Agent begins with Go-http-client/", _agent(r"go-http-client/|go-resty/")),
    Client(
        "java",
        "a Java program",
        "User-Agent of the JDK, Apache HttpClient or OkHttp",
        _agent(r"java(?:$|[-/])|apache-httpclient|jakarta|okhttp/"),
    ),
    Client("browser", "a browser", "User-Agent begins with Mozilla/ or Opera/", _agent(r"mozilla/|opera/")),
    Client("other", "something else", "a User-Agent that none of the above fits"),
)
"""All kinds, in the order in which they are tried; User-Agents are matched from their beginning, without case."""

LABELS: tuple[str, ...] = tuple(client.label for client in CLIENTS)
"""Every label that `identify` can return."""

_ENTRA_FLAG = "aadoptscim"
_ENTRA_OP = re.compile(rb'"op"\s*:\s*"(?:Add|Replace|Remove)"')
_SEARCHED = 65_536
_SCIM_JSON = "application/scim+json"
_AGENT_CHARS = 512
"""A User-Agent is judged by this much of it: what matters stands in front."""


def _by_agent(agent: str) -> str:
    for client in CLIENTS:
        if client.pattern is not None and client.pattern.match(agent):
            return client.label
    return "other"


def _scim_tool(request: Request, agent: str) -> str | None:
    """Tell the SCIM tools that keep the User-Agent of their HTTP library by the other headers they always send."""
    headers = request.headers
    if headers.get("Accept") != _SCIM_JSON:
        return None
    if agent.startswith("python-httpx"):
        return "scim2-cli" if headers.get("Content-Type") == _SCIM_JSON else None
    return "scim-sanity" if agent.startswith("Python-urllib/") else None


def identify(request: Request) -> str | None:
    """Return the label of who sent the request; None where it carries no mark at all."""
    if _ENTRA_FLAG in (request.query or "").lower():
        return "entra"
    agent = (request.headers.get("User-Agent") or "").strip()[:_AGENT_CHARS]
    label = _by_agent(agent) if agent else None
    if label == "python":
        return _scim_tool(request, agent) or label
    # Entra writes "Add", "Replace", "Remove", where RFC 7644 section 3.5.2 has lower case.
    if (
        label in {None, "other"}
        and request.method == "PATCH"
        and _ENTRA_OP.search(request.content.data, 0, _SEARCHED)
    ):
        return "entra"
    return label
