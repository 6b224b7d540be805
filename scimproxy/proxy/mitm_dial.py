"""Opening a connection to the upstream: name resolution and connecting apart, each timed and limited.

One rule: it notes how long each step took and raises `Unopened` with the failure in words; it opens, others use.
`localhost` is tried in both families, whatever the machine's hosts file says: servers bind to either.
"""

from __future__ import annotations

import asyncio
import socket
import time

from scimproxy.exchange import Failure
from scimproxy.proxy import answers
from scimproxy.proxy.engine import EngineOptions, Target
from scimproxy.proxy.mitm_details import Note

__all__ = ["Unopened", "dial"]


class Unopened(Exception):
    """No upstream connection, and why."""

    def __init__(self, failure: Failure) -> None:
        super().__init__(failure.message)
        self.failure = failure


async def dial(
    options: EngineOptions, note: Note, own: tuple[str, int] | None
) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """Connect to the upstream, one address after another, within `connect_timeout_s`; `own` is where we listen.

    Raises:
        Unopened: the name has no address, no address takes a connection, or the one that does is our own.
    """
    target, limit = note.target, options.connect_timeout_s
    began = time.monotonic()
    hosts = await _resolve(target, limit)
    resolved = time.monotonic()
    note.dns_ms = (resolved - began) * 1000 if target.host not in hosts else None
    problems: list[OSError] = []
    for position, host in enumerate(hosts):
        left = (limit - (time.monotonic() - resolved)) / (len(hosts) - position)
        try:
            streams = await asyncio.wait_for(asyncio.open_connection(host, target.port), max(left, 0.01))
        except OSError as exc:  # TimeoutError is one, too
            problems.append(exc)
        else:
            note.connect_ms = (time.monotonic() - resolved) * 1000
            if streams[1].get_extra_info("peername")[:2] == own:
                # Known only now: many names and addresses lead to one listener.
                streams[1].close()
                raise Unopened(
                    answers.blocked(f"{target.origin} is scimproxy itself: that would go round in circles")
                )
            return streams
    note.connect_ms = (time.monotonic() - resolved) * 1000
    raise Unopened(_unconnected(target, limit, problems, hosts))


async def _resolve(target: Target, limit_s: float) -> list[str]:
    """Return the addresses of the upstream's host, in the order to try them."""
    loop = asyncio.get_running_loop()
    try:
        found = await asyncio.wait_for(loop.getaddrinfo(target.host, target.port, type=socket.SOCK_STREAM), limit_s)
    except TimeoutError as exc:
        raise Unopened(answers.timed_out(target, "dns", limit_s)) from exc
    except (OSError, UnicodeError) as exc:
        problem = exc.strerror if isinstance(exc, OSError) else str(exc)
        raise Unopened(answers.dns(target, problem or "no reason known")) from exc
    hosts = list(dict.fromkeys(str(one[4][0]) for one in found))
    if target.host.lower() == "localhost":
        hosts += [one for one in ("127.0.0.1", "::1") if one not in hosts]
    return hosts


def _unconnected(target: Target, limit_s: float, problems: list[OSError], hosts: list[str]) -> Failure:
    if any(isinstance(problem, TimeoutError) for problem in problems):
        return answers.timed_out(target, "connect", limit_s)
    if any(isinstance(problem, ConnectionRefusedError) for problem in problems):
        return answers.refused(target, ", ".join(hosts))
    return answers.unreachable(target, "; ".join(problem.strerror or str(problem) for problem in problems))
