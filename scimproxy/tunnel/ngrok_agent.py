"""One agent of ngrok: started through pyngrok, asked over its local API, and forgotten without a trace.

One rule: nothing here waits without limit, but `connect`, which runs in a thread of its own and is got out of its
waiting by ending the agent (pyngrok reads a line, or asks the local API, without any limit of time). Edge: pyngrok.
"""

from __future__ import annotations

import asyncio
import contextlib
import http.client
import json
import logging
import os
import socket
import subprocess
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from scimproxy.tunnel.contract import Local, TunnelError, origin_of
from scimproxy.tunnel.ngrok_config import NEWEST, Version
from scimproxy.tunnel.ngrok_errors import explain
from scimproxy.tunnel.process import Den

if TYPE_CHECKING:
    from pyngrok.log import NgrokLog
    from pyngrok.ngrok import NgrokTunnel
    from pyngrok.process import NgrokProcess

__all__ = [
    "Agent",
    "ask_api",
    "connect",
    "delete_endpoints",
    "forget",
    "free_port",
    "in_thread",
    "is_dev_domain",
    "process_of",
    "revive",
    "running",
    "url_of",
]

API_S = 2.0
_DEV_DOMAINS = (".ngrok-free.app", ".ngrok-free.dev", ".ngrok.app", ".ngrok.dev")
_MOST = 1024 * 1024


@dataclass(slots=True)
class Agent:
    """One start of the agent; `launcher` is the path under which pyngrok knows it."""

    den: Den
    launcher: str
    secrets: tuple[str, ...]
    web_port: int
    version: Version
    process: subprocess.Popen[Any] | None = None
    monitor: NgrokProcess | None = None
    name: str = ""
    public_url: str = ""
    lost: bool = False

    @property
    def kind(self) -> str:
        """What the local API of this version calls a tunnel."""
        return "endpoints" if self.version >= NEWEST else "tunnels"


def free_port() -> int:
    """Return a port of loopback that is free at this moment."""
    with socket.socket() as trial:
        trial.bind(("127.0.0.1", 0))
        port: int = trial.getsockname()[1]
        return port


def is_dev_domain(origin: str) -> bool:
    """Whether a URL is of the domains that ngrok assigns to an account and that stay."""
    return origin.partition("://")[2].endswith(_DEV_DOMAINS)


def in_thread[T](work: Callable[[], T]) -> asyncio.Future[T]:
    """Run work that may never end in a thread that keeps nothing alive; the future may be abandoned."""
    loop = asyncio.get_running_loop()
    future: asyncio.Future[T] = loop.create_future()

    def settle(set_it: Callable[[Any], None], value: object) -> None:
        if not future.done():
            set_it(value)

    def run() -> None:
        try:
            result = work()
        except BaseException as exc:  # noqa: BLE001 - it belongs to whoever waits for the future
            done: tuple[Callable[[Any], None], object] = (future.set_exception, exc)
        else:
            done = (future.set_result, result)
        with contextlib.suppress(RuntimeError):  # the loop is closed: nobody waits any more
            loop.call_soon_threadsafe(settle, *done)

    threading.Thread(target=run, name="scimproxy-ngrok", daemon=True).start()
    return future


def connect(
    agent: Agent,
    config: str,
    local: Local,
    options: dict[str, Any],
    hear: Callable[[NgrokLog], None],
    start_s: float,
) -> NgrokTunnel:
    """Start the agent and open an endpoint.

    Raises:
        TunnelError: pyngrok or the agent says no. Its `__cause__` is what they said.
    """
    from pyngrok import conf, exception, ngrok  # noqa: PLC0415 - loaded by who uses this tunnel

    _quiet_logs()
    settings = conf.PyngrokConfig(
        ngrok_path=agent.launcher,
        config_path=config,
        monitor_thread=True,  # else the agent's log fills its pipe, and the agent stops
        log_event_callback=hear,
        startup_timeout=max(1, int(start_s)),
        max_logs=200,
        request_timeout=max(API_S, start_s / 2),
        start_new_session=os.name == "posix",
        config_version="3" if agent.version >= NEWEST else "2",
    )
    settings.auth_token = None  # it would stand on the command line; the agent reads it from our file
    settings.api_key = None
    # pyngrok makes names unique by itself, but looks a given one up in a file that has none: harmless.
    name = options.pop("name")
    try:
        with _no_proxy_for_loopback():
            return ngrok.connect(local.url, "http", name, settings, **options)
    except exception.PyngrokNgrokHTTPError as exc:
        raise explain(_details(exc.body), agent.secrets) from exc
    except exception.PyngrokNgrokError as exc:
        raise explain(_last_words(exc), agent.secrets) from exc
    except exception.PyngrokError as exc:
        raise explain(str(exc), agent.secrets) from exc
    except Exception as exc:  # pyngrok lets AttributeError, FileNotFoundError and others through
        raise TunnelError(f"pyngrok failed: {type(exc).__name__}", hint="see docs/tunnel.md") from exc


def _details(body: str) -> str:
    """Return the sentence inside an error of the local API."""
    try:
        document = json.loads(body)
    except ValueError:
        return body
    details = document.get("details") if isinstance(document, dict) else None
    said = details.get("err") if isinstance(details, dict) else None
    return str(said or (document.get("msg") if isinstance(document, dict) else None) or body)


def _last_words(exc: Any) -> str:  # noqa: ANN401 - PyngrokNgrokError, which is imported late
    """Return what the agent said last, where that holds an error; a line of its log, or of its complaints."""
    if exc.ngrok_error:
        return str(exc.ngrok_error)
    lines = [str(log.line) for log in exc.ngrok_logs or [] if log.line]
    errors = [line for line in lines if "lvl=eror" in line or "lvl=crit" in line or "ERR" in line]
    return (errors or lines or [str(exc)])[-1]


@contextlib.contextmanager
def _no_proxy_for_loopback() -> Iterator[None]:
    """Keep pyngrok's calls to the local API away from a proxy; for the agent the variables stay as they are."""
    names = ("no_proxy", "NO_PROXY")
    before = {name: os.environ.get(name) for name in names}
    known = before["no_proxy"] or before["NO_PROXY"] or ""
    for name in names:
        os.environ[name] = ",".join(filter(None, [known, "127.0.0.1,localhost"]))
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value


def _quiet_logs() -> None:
    """Keep the agent's log lines, which may hold a token, from reaching the terminal through logging."""
    for name in ("pyngrok", "pyngrok.process.ngrok", "pyngrok.ngrok", "pyngrok.process"):
        logger = logging.getLogger(name)
        logger.propagate = False
        if not logger.handlers:
            logger.addHandler(logging.NullHandler())


# --- what pyngrok knows of it, without asking it: its getters start agents


def running(launcher: str) -> NgrokProcess | None:
    """Return pyngrok's record of an agent."""
    from pyngrok import process  # noqa: PLC0415 - as above

    return process._current_processes.get(launcher)  # noqa: SLF001 - every public way starts an agent


def process_of(launcher: str) -> subprocess.Popen[Any] | None:
    """Return the process of an agent."""
    record = running(launcher)
    return None if record is None else record.proc


def revive(agent: Agent) -> None:
    """Start pyngrok's reader of the log again, should it have died of a line: an agent that nobody reads stops."""
    monitor = agent.monitor
    if monitor is not None and (thread := monitor._monitor_thread) is not None and not thread.is_alive():  # noqa: SLF001 - no public way
        monitor._monitor_thread = None  # noqa: SLF001 - the same
        monitor.start_monitor_thread()


def forget(agent: Agent) -> None:
    """Take an agent that has ended out of pyngrok's tables, and close its pipe."""
    from pyngrok import installer, ngrok, process  # noqa: PLC0415 - as above

    process._current_processes.pop(agent.launcher, None)  # noqa: SLF001 - `kill` would wait for a lock
    installer._config_cache.pop(str(agent.den.folder / "ngrok.yml"), None)  # noqa: SLF001 - it holds the token
    for url, tunnel in list(ngrok._current_tunnels.items()):  # noqa: SLF001 - one table for all agents
        if tunnel.pyngrok_config.ngrok_path == agent.launcher:
            ngrok._current_tunnels.pop(url, None)  # noqa: SLF001 - the same
    monitor = agent.monitor
    if monitor is not None:
        thread = monitor._monitor_thread  # noqa: SLF001 - to close what it reads from
        monitor.stop_monitor_thread()
        if thread is not None:
            thread.join(API_S)
    if agent.process is not None and agent.process.stdout is not None:
        with contextlib.suppress(OSError, ValueError):
            agent.process.stdout.close()


# --- the local API, asked by ourselves: in limited time, past every proxy


def ask_api(port: int, method: str, path: str) -> tuple[int, Any]:
    """Return status and JSON of an answer of the local API; status 0 where there is none."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=API_S)
    try:
        connection.request(method, path)
        answer = connection.getresponse()
        body = answer.read(_MOST)
    except (OSError, http.client.HTTPException):
        return 0, None
    finally:
        connection.close()
    try:
        return answer.status, json.loads(body) if body else None
    except ValueError:
        return answer.status, None


def endpoints(agent: Agent) -> list[dict[str, Any]]:
    """Return what the agent has open for us: with version 2 it is two, https and http."""
    _, document = ask_api(agent.web_port, "GET", f"/api/{agent.kind}")
    found = document.get(agent.kind) if isinstance(document, dict) else None
    return [
        one
        for one in found or []
        if isinstance(one, dict) and str(one.get("name", "")).partition(" ")[0] == agent.name
    ]


def url_of(agent: Agent) -> str | None:
    """Return the public URL now, https before http; None where the agent does not tell."""
    urls = [origin_of(str(one.get("url") or one.get("public_url") or "")) for one in endpoints(agent)]
    return max((url for url in urls if url is not None), key=lambda url: url.startswith("https:"), default=None)


def delete_endpoints(agent: Agent) -> None:
    """Take our endpoints offline."""
    for one in endpoints(agent):
        ask_api(agent.web_port, "DELETE", str(one.get("uri", "")))
