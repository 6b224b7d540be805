"""How a recording is reachable from outside, and for how long: the wiring of a tunnel, its record, and its limits.

One rule: a recording is never public for longer than was agreed: it ends after `max_duration_s`, and when nothing
came for `idle_close_s`. Place in the flow: beside the engine, which learns its public URL here, once it listens.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import subprocess
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from scimproxy.errors import ScimproxyError
from scimproxy.exchange import TunnelEvent
from scimproxy.tunnel import leftovers
from scimproxy.tunnel.contract import Local, Provider, TunnelUp, origin_of
from scimproxy.tunnel.supervisor import Proof, Supervisor

if TYPE_CHECKING:
    from scimproxy.proxy.engine import Address, Engine

__all__ = ["Exposure", "ExposureOptions", "Surroundings"]

_LOOK_EVERY_S = 1.0
_COMMAND_S = 60.0
_COMMAND_REST_S = 3.0
"""So long a command that was told a new URL may go on when the recording ends in order."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ExposureOptions:
    """By which tunnel, and for how long; durations in seconds, None: without end.

    `on_url_change` is a command for the shell, run when the public URL is new; it finds the SCIM base URL in
    SCIMPROXY_URL and the one before in SCIMPROXY_OLD_URL.
    """

    provider: Provider
    probe: bool = True
    max_duration_s: float | None = 8 * 3600.0
    idle_close_s: float | None = None
    on_url_change: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Surroundings:
    """What an exposure needs of the recording around it; all of it is called in the event loop.

    `active_at`: when something was recorded last (Unix seconds). `seen`: whether a request with this nonce came.
    """

    tell: Callable[[TunnelEvent], None]
    notice: Callable[[str, str | None], None]
    public: Callable[[str], None]
    active_at: Callable[[], float]
    seen: Callable[[str], Awaitable[bool]]
    stop: Callable[[str], None]
    nonce: Callable[[], str] | None = None
    """Makes the numbers of probes, where the engine answers those itself; None: random ones."""
    proof: Callable[[str], str] | None = None
    """What the engine's answer to a number holds, where it answers probes itself."""


class Exposure:
    """One recording's tunnel; made inside the event loop when the engine listens."""

    def __init__(
        self,
        options: ExposureOptions,
        engine: Engine,
        listen: Address,
        around: Surroundings,
        *,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._options = options
        self._engine = engine
        self._around = around
        self._clock = clock
        self._base = engine.options.public_base
        self._was_up = False
        self._commands: set[asyncio.Task[None]] = set()
        self._supervisor = Supervisor(
            options.provider,
            Local(listen.host, listen.port),
            self,
            prove=self._prove if options.probe else None,
            clock=clock,
        )

    async def run(self) -> ScimproxyError:
        """Be reachable until cancelled; returns only where the tunnel never came up and never will."""
        if left := await asyncio.to_thread(leftovers.clean):
            self._around.notice(f"cleaned up after {left} tunnel(s) of a scimproxy that was killed", None)
        limits = asyncio.create_task(self._keep_limits(self._clock()))
        try:
            problem = await self._supervisor.run()
            if problem is not None and not self._was_up:
                return problem
            if problem is not None:
                self._around.notice(f"the tunnel is gone for good: {problem.message}", problem.hint)
            await asyncio.Event().wait()  # recording goes on
            raise AssertionError("unreachable")
        finally:
            limits.cancel()
            await asyncio.gather(limits, return_exceptions=True)

    async def close(self, *, at_once: bool = False) -> None:
        """Take the tunnel down. Safe to call twice."""
        if self._commands and not at_once:
            await asyncio.wait(self._commands, timeout=_COMMAND_REST_S)
        for task in list(self._commands):
            task.cancel()
        await asyncio.gather(*self._commands, return_exceptions=True)
        await self._supervisor.close(at_once=at_once)

    # --- what the supervisor tells

    def event(self, event: TunnelEvent) -> None:
        """Tell and record a change of the tunnel's state."""
        self._around.tell(event)

    def opened(self, up: TunnelUp, before: str | None) -> None:
        """Learn a new public URL: the engine first, so that the first request is answered with it."""
        self._was_up = True
        vouches = self._options.provider.traits.vouches_for_client or self._engine.options.vouches_for_client
        self._engine.publish(origin_of(up.url), vouches_for_client=vouches)
        self._around.public(up.url)
        if before is not None:
            self._around.notice(
                f"the public URL has CHANGED: {self._url(before)} is now {self._url(up.url)}",
                "edit the base URL wherever you pasted it: Okta's app settings, Runscope's SCIMBaseURL",
            )
        if self._options.on_url_change:
            task = asyncio.create_task(self._run_command(self._options.on_url_change, up.url, before))
            self._commands.add(task)
            task.add_done_callback(self._commands.discard)

    def _url(self, url: str) -> str:
        return self._engine.options.base_url(url)

    async def _prove(self, url: str) -> Proof:
        from scimproxy.tunnel.proof import Prober  # noqa: PLC0415 - aiohttp, only where a tunnel is

        around = self._around
        prober = Prober(self._base, around.seen, nonce=around.nonce, proof=around.proof)
        return await prober(origin_of(url) or url)

    async def _run_command(self, command: str, url: str, before: str | None) -> None:
        """Run the user's command; its output goes to our stderr, and a failure is told."""
        env = {
            **os.environ,
            "SCIMPROXY_URL": self._url(url),
            "SCIMPROXY_OLD_URL": self._url(before) if before is not None else "",
        }
        # Not asyncio's own subprocesses: their child watchers differ between event loops.
        process = subprocess.Popen(  # noqa: ASYNC220, S602 - it only starts it; the shell is the point
            command,
            shell=True,
            stdin=subprocess.DEVNULL,
            stdout=2,
            env=env,
            start_new_session=os.name == "posix",
        )
        try:
            with contextlib.suppress(subprocess.TimeoutExpired):
                await asyncio.to_thread(process.wait, _COMMAND_S)
        finally:
            if process.poll() is None:
                with contextlib.suppress(OSError):
                    os.killpg(process.pid, signal.SIGKILL)
                process.kill()
                process.wait()
        if process.returncode != 0:
            self._around.notice(
                f"--on-url-change: {command!r} ended with {process.returncode}", "the new URL is in SCIMPROXY_URL"
            )

    # --- for how long

    async def _keep_limits(self, began: float) -> None:
        longest, idle = self._options.max_duration_s, self._options.idle_close_s
        while True:
            await asyncio.sleep(_LOOK_EVERY_S)
            now = self._clock()
            if longest is not None and now - began >= longest:
                self._around.stop(f"--max-duration: public for {_spoken(longest)}")
                return
            if idle is not None and now - max(began, self._around.active_at()) >= idle:
                self._around.stop(f"--idle-close: nothing came for {_spoken(idle)}")
                return


def _spoken(seconds: float) -> str:
    for size, word in ((3600, "h"), (60, "min")):
        if seconds >= size:
            return f"{seconds / size:g} {word}"
    return f"{seconds:g} s"
