"""ngrok, through pyngrok, with every way in which pyngrok can hang, leak or surprise mended.

One rule: pyngrok starts the agent and opens the endpoint, and is never asked anything afterwards: its getters start
an agent where none runs, wait without limit, and share one table between all tunnels. Whether the agent lives, its
local API answers, and what it logs is looked at here. The token is in our private file only; the agent's inspector,
which would show every request with its credentials to any program on this machine, is off.
"""

from __future__ import annotations

import asyncio
import os
import secrets
import shlex
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from scimproxy.tunnel import ngrok_agent, ngrok_binary
from scimproxy.tunnel.contract import Change, Ended, Local, Lost, Regained, Traits, TunnelError, TunnelUp, origin_of
from scimproxy.tunnel.ngrok_agent import Agent
from scimproxy.tunnel.ngrok_config import NEWEST, Known, Version, agent_config, read_config
from scimproxy.tunnel.ngrok_errors import FATAL, clean, code_in, explain
from scimproxy.tunnel.process import Den, end_process

if TYPE_CHECKING:
    from pyngrok.log import NgrokLog

__all__ = ["Ngrok", "NgrokSettings", "known_settings"]

LOOK_EVERY_S = 15.0
PORTS_TRIED = 3
_STOP_S = 2.0
_URL_LOOKS = 40
_LOSING = ("closed", "reconnect", "heartbeat", "terminating")


@dataclass(frozen=True, slots=True, kw_only=True)
class NgrokSettings:
    """How to use ngrok; durations in seconds.

    `path`: the agent (None: found on this machine). `token`: None for NGROK_AUTHTOKEN or the user's own
    configuration, which is `config` or where the agent keeps it. `url`: the public URL or domain wanted. `policy`: a
    Traffic Policy (needs an agent from 3.30 on).
    """

    path: Path | None = None
    token: str | None = field(default=None, repr=False)
    config: Path | None = None
    url: str | None = None
    policy: Mapping[str, Any] | None = None
    start_s: float = 20.0
    home: Path | None = None


def known_settings(settings: NgrokSettings) -> Known:
    """Return token and connection settings, from the first place that has them; the token's value stays secret.

    Raises:
        TunnelError: a configuration cannot be read.
    """
    known = Known()
    home = settings.home or Path.home()
    places = (
        [settings.config]
        if settings.config is not None
        else [folder / "ngrok.yml" for folder in ngrok_binary.config_folders(home)]
    )
    for place in places:
        try:
            known = read_config(place.read_text("utf-8"), str(place))
        except (OSError, UnicodeDecodeError) as exc:
            if settings.config is None:
                continue
            why = exc.strerror if isinstance(exc, OSError) else "not UTF-8"
            raise TunnelError(f"--ngrok-config {place} cannot be read: {why}", fatal=True) from exc
        break
    token = settings.token or os.environ.get("NGROK_AUTHTOKEN", "").strip() or known.token
    return Known(token, known.connecting)


class Ngrok:
    """The provider behind `--tunnel ngrok`."""

    name = "ngrok"

    def __init__(self, settings: NgrokSettings | None = None) -> None:
        self._settings = settings or NgrokSettings()
        self._agent: Agent | None = None
        self._changes: asyncio.Queue[Change] = asyncio.Queue()
        self._looking: asyncio.Task[None] | None = None
        self._returning: asyncio.Task[None] | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self.traits = Traits(
            vouches_for_client=True,
            stable_url=True if self._settings.url else None,
            needs_token=True,
            shows_address=True,
        )

    def path(self) -> Path:
        """Return the agent to use.

        Raises:
            TunnelError: there is none; nothing is downloaded here.
        """
        settings = self._settings
        if settings.path is not None:
            if not settings.path.is_file() or not os.access(settings.path, os.X_OK):
                raise TunnelError(
                    f"--ngrok-path {settings.path} is not a program", hint="name the agent itself", fatal=True
                )
            return settings.path
        found = ngrok_binary.find_agent(ngrok_binary.config_folders(settings.home or Path.home()))
        if found is None:
            raise TunnelError(
                "there is no ngrok agent on this machine",
                hint="`scimproxy tunnel install` downloads it from ngrok; or install it yourself and name it with "
                "--ngrok-path",
                fatal=True,
                code="no-agent",
            )
        return found

    def check(self) -> None:
        """Look for the agent, its version and a token.

        Raises:
            TunnelError: something is missing, or too old for what is asked.
        """
        version = ngrok_binary.agent_version(self.path())
        known = known_settings(self._settings)
        if known.token is None and not known.connecting.get("server_addr"):
            raise explain("ERR_NGROK_4018")
        if self._settings.policy is not None and version < NEWEST:
            raise TunnelError(
                f"a traffic policy needs an ngrok agent from {NEWEST[0]}.{NEWEST[1]} on; this is "
                f"{version[0]}.{version[1]}",
                hint="update it with `ngrok update`, or leave --traffic-policy out",
                fatal=True,
            )

    async def open(self, local: Local, wanted: str | None = None) -> TunnelUp:
        """Start the agent and open an endpoint that leads to `local`.

        Raises:
            TunnelError: that is not possible.
        """
        self._loop = asyncio.get_running_loop()
        self._changes = asyncio.Queue()
        path = self.path()
        version = await asyncio.to_thread(ngrok_binary.agent_version, path)
        known = known_settings(self._settings)
        url = self._settings.url or wanted
        for attempt in range(PORTS_TRIED):
            try:
                return await self._start(path, version, known, local, url)
            except TunnelError as error:
                await self.close()
                if "address already in use" in str(error.__cause__) and attempt + 1 < PORTS_TRIED:
                    continue  # another program took the free port in between
                if url == self._settings.url or error.code in {None, "ERR_NGROK_334"} or error.fatal:
                    raise
                url = self._settings.url  # the URL that we had cannot be asked for on this plan: take what is given
        raise TunnelError("no free port for the agent's local interface was found")

    async def watch(self) -> Change:
        """Wait for the next change."""
        return await self._changes.get()

    async def close(self, *, at_once: bool = False) -> None:
        """Delete the endpoint, end the agent and all files of it."""
        for task in (self._looking, self._returning):
            if task is not None:
                task.cancel()
                await asyncio.gather(task, return_exceptions=True)
        self._looking = self._returning = None
        agent, self._agent = self._agent, None
        if agent is None:
            return
        if agent.process is not None:
            if not at_once and agent.process.poll() is None:
                await asyncio.to_thread(ngrok_agent.delete_endpoints, agent)
            await end_process(agent.process, at_once=at_once)
        await asyncio.to_thread(agent.den.end_group)
        await asyncio.to_thread(ngrok_agent.forget, agent)

    # --- starting ---

    async def _start(self, path: Path, version: Version, known: Known, local: Local, url: str | None) -> TunnelUp:
        den = Den()
        web_port = ngrok_agent.free_port()
        text = agent_config(version, token=known.token, web_port=web_port, connecting=known.connecting)
        config = den.write("ngrok.yml", text)
        launcher = str(path)
        if os.name == "posix":
            # A file of its own for each start: pyngrok knows agents by their path and would reuse another's.
            command = " ".join(shlex.quote(word) for word in den.leashed([str(path)]))
            launcher = str(den.write("agent", f'#!/bin/sh\nexec {command} "$@"\n', mode=0o700))
        agent = self._agent = Agent(den, launcher, (known.token or "",), web_port, version)
        options: dict[str, Any] = {"name": f"scimproxy-{secrets.token_hex(4)}", "inspect": False}
        if version >= NEWEST:
            options["upstream"] = {"url": local.url}
            options |= {"url": url} if url else {}
            options |= {"traffic_policy": dict(self._settings.policy)} if self._settings.policy else {}
        else:
            options["bind_tls"] = True
            options |= {"hostname": url.partition("://")[2] or url} if url else {}
        agent.name = options["name"]
        made = await self._connect(agent, str(config), local, options)
        agent.public_url = made
        self._looking = asyncio.create_task(self._look())
        stable = True if self._settings.url or ngrok_agent.is_dev_domain(made) else None
        return TunnelUp(url=made, stable=stable, detail=f"ngrok agent {version[0]}.{version[1]}")

    async def _connect(self, agent: Agent, config: str, local: Local, options: dict[str, Any]) -> str:
        """Let pyngrok connect, in a thread that may hang, and never longer than `start_s`; returns the public URL."""
        answer = ngrok_agent.in_thread(
            lambda: ngrok_agent.connect(agent, config, local, options, self._hear, self._settings.start_s)
        )
        try:
            done, _ = await asyncio.wait({answer}, timeout=self._settings.start_s)
        except asyncio.CancelledError:
            agent.process = ngrok_agent.process_of(agent.launcher)
            answer.add_done_callback(lambda future: future.cancelled() or future.exception())
            raise
        agent.process = ngrok_agent.process_of(agent.launcher)
        if not done:
            # Only the agent's end gets pyngrok out of its waiting.
            agent.monitor = ngrok_agent.running(agent.launcher)
            await asyncio.to_thread(agent.den.end_group)
            await asyncio.wait({answer}, timeout=_STOP_S)
            answer.add_done_callback(lambda future: future.cancelled() or future.exception())
            raise _too_late(agent, self._settings.start_s)
        tunnel = answer.result()
        agent.monitor = ngrok_agent.running(agent.launcher)
        url = str(tunnel.public_url)
        if url.startswith("http://") and agent.version < NEWEST:
            twin = await asyncio.to_thread(ngrok_agent.url_of, agent)  # version 2 opens https and http
            url = twin or url
        found = origin_of(url)
        if found is None:
            raise TunnelError(f"ngrok gave no public URL but {clean(url)!r}", hint="see docs/tunnel.md")
        return found

    # --- looking ---

    def _hear(self, log: NgrokLog) -> None:
        """Take a line of the agent's log; called in pyngrok's thread, where an exception would stop the agent."""
        try:
            message = log.msg or ""
            if self._loop is None or not (log.lvl in {"ERROR", "CRITICAL", "WARNING"} or "session" in message):
                return
            self._loop.call_soon_threadsafe(self._heard, message, log.err or "", log.obj or "")
        except Exception:  # noqa: BLE001 - a closed loop, or a line that is none: nobody needs it then
            return

    def _heard(self, message: str, err: str, obj: str) -> None:
        agent = self._agent
        if agent is None or self._looking is None:
            return  # starting: pyngrok tells
        if "session established" in message or "tunnel session started" in message:
            if agent.lost:
                agent.lost = False
                self._returning = asyncio.create_task(self._return(agent))
            return
        if "session" not in message and "session" not in obj:
            return
        if code_in(err) in FATAL:
            self._changes.put_nowait(Ended(explain(err, agent.secrets)))
        elif not agent.lost and any(word in message for word in _LOSING):
            agent.lost = True
            why = f": {clean(err, agent.secrets)}" if err not in {"", "nil", "<nil>"} else ""
            self._changes.put_nowait(Lost(f"the ngrok agent has lost its session{why}"))

    async def _return(self, agent: Agent) -> None:
        """After a new session: tell it, with the URL, which may be another one."""
        for _ in range(_URL_LOOKS):
            url = await asyncio.to_thread(ngrok_agent.url_of, agent)
            if agent is not self._agent or agent.lost:
                return
            if url is not None:
                agent.public_url = url
                break
            await asyncio.sleep(0.05)
        self._changes.put_nowait(Regained(agent.public_url))

    async def _look(self) -> None:
        """Notice the agent's end at once, and every now and then a local API or a log that nobody serves any more."""
        agent = self._agent
        assert agent is not None
        process = agent.process
        assert process is not None
        ended = ngrok_agent.in_thread(process.wait)
        silent = 0
        while not ended.done():
            await asyncio.wait({ended}, timeout=LOOK_EVERY_S)
            if ended.done():
                break
            ngrok_agent.revive(agent)
            status, _body = await asyncio.to_thread(ngrok_agent.ask_api, agent.web_port, "GET", "/api/tunnels")
            silent = 0 if status else silent + 1
            if silent >= 3:
                self._changes.put_nowait(Ended(TunnelError("the ngrok agent does not answer any more")))
                return
        self._changes.put_nowait(Ended(TunnelError(f"the ngrok agent has ended ({_ending(ended.result())})")))


def _ending(code: int) -> str:
    return f"signal {-code}" if code < 0 else f"exit code {code}"


def _too_late(agent: Agent, start_s: float) -> TunnelError:
    """Return the error for an agent that did not come up; what it complained about says more than the time."""
    said = agent.monitor.startup_error if agent.monitor is not None else None
    if said:
        return explain(str(said), agent.secrets)
    return TunnelError(
        f"the ngrok agent did not come up within {start_s:.0f} s",
        hint="`scimproxy doctor --tunnel ngrok` looks at network, DNS and proxies",
    )
