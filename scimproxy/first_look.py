"""What a recording looks at when it begins: is the server there, and what does it show to strangers?

One rule: it hinders nothing. Both questions go to the server directly, so they are not recorded (no client sent
them), and what they find is a notice. Edge: sockets.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
import threading
from collections.abc import Callable

from scimproxy import probe
from scimproxy.proxy.engine import EngineOptions, Target

__all__ = ["knock", "try_without_credentials"]

_KNOCK_S = 3.0

type Notify = Callable[[str, str | None], None]


async def knock(target: Target, notify: Notify) -> None:
    """Connect to the target once and say where nobody answers; recording goes on, it may be started later."""
    try:
        async with asyncio.timeout(_KNOCK_S):
            _, writer = await asyncio.open_connection(target.host, target.port)
        writer.close()
        await writer.wait_closed()
    except (OSError, UnicodeError) as exc:
        notify(
            f"nothing answers at {target.origin} yet ({_why(exc)})",
            "start your SCIM server; until then clients get 502, and that is recorded too",
        )


async def try_without_credentials(options: EngineOptions, notify: Notify) -> None:
    """Ask the target once what a stranger may see, where strangers can come, and warn when it is everything."""
    guard = options.guard
    if guard is None or guard.token is not None:
        return
    target = options.target
    # The server may have a certificate of its own (--upstream-ca); nothing secret is sent, so any will do.
    answer = await _in_own_thread(
        lambda: probe.ask(target, "/Users?count=1", user_agent="scimproxy-exposure", verify=False)
    )
    if isinstance(answer, probe.Answer) and 200 <= answer.status < 300:
        notify(
            f"the server answers GET {target.base_path}/Users without credentials ({answer.status}): "
            "whoever knows the public URL can read it",
            "let the server check a token, or let scimproxy do it: --require-token env:NAME (`scimproxy help guard`)",
        )


def _why(exc: Exception) -> str:
    """Say in words why a connection was not made; asyncio's own texts are Python."""
    if isinstance(exc, TimeoutError):
        return "no answer"
    if isinstance(exc, ConnectionRefusedError):
        return "connection refused"
    if isinstance(exc, socket.gaierror):
        return "the name cannot be resolved"
    number = getattr(exc, "errno", None)
    return os.strerror(number).lower() if number else "no connection"


async def _in_own_thread[T](work: Callable[[], T]) -> T:
    """Do something that may hang in a thread that nobody waits for at the end (the executor's are waited for)."""
    loop = asyncio.get_running_loop()
    done: asyncio.Future[T] = loop.create_future()

    def tell(result: T) -> None:
        if not done.done():
            done.set_result(result)

    def run() -> None:
        result = work()
        with contextlib.suppress(RuntimeError):  # the loop may be closed by now
            loop.call_soon_threadsafe(tell, result)

    threading.Thread(target=run, daemon=True, name="scimproxy-exposure").start()
    return await done
