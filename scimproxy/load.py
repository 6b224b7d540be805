"""Load by Locust: a run exported as a locustfile, handed to a Locust of its own process.

One rule: no load engine of ours. Secrets go to the child through its environment, never its arguments or a file; the
file lives in a private folder and goes with it. Edge: starts `python -m locust`. Flow: Plan -> locustfile -> Locust.
"""

from __future__ import annotations

import contextlib
import importlib.util
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from scimproxy.errors import ScimproxyError, UsageError
from scimproxy.exports.locust_file import locust_file
from scimproxy.exports.variables import Plan

__all__ = ["Load", "need_locust", "run_locust", "secrets_for"]

_INTERRUPTED = 130
_NOTHING_SENT = 3
"""What an exported locustfile ends with where no request came to an end."""
_GRACE_S = 15.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Load:
    """What Locust is asked for. `duration_s` None: until interrupted. `report`: an HTML file of Locust's.

    `processes` splits the virtual users over processes of this machine (-1: one a core).
    """

    host: str
    users: int = 1
    spawn_rate: float | None = None
    duration_s: float | None = None
    report: Path | None = None
    pause_s: float = 0.0
    processes: int | None = None
    as_json: bool = False
    secrets: Mapping[str, str] = field(default_factory=dict, repr=False)


def secrets_for(plan: Plan, auth: str | None, environment: Mapping[str, str]) -> dict[str, str]:
    """Return the secrets that a plan needs: SCIM_AUTH from `auth` (an Authorization value), else the environment.

    Raises:
        UsageError: one is missing; the message names it.
    """
    found: dict[str, str] = {}
    for secret in plan.secrets:
        value = environment.get(secret.name)
        if secret.name == "SCIM_AUTH" and auth is not None:
            value = auth.strip()
        if secret.name == "SCIM_AUTH" and value is not None:
            value = _credentials(plan, value)
        if value:
            found[secret.name] = value
        elif not secret.optional:
            hint = "give it with --auth env:NAME, file:FILE or -" if secret.name == "SCIM_AUTH" else None
            raise UsageError(
                f"the run was recorded with a secret, {secret.mark}, and the recording does not hold it",
                hint=hint or f"give it in the environment: {secret.name}=... scimproxy replay ...",
            )
    return found


def _credentials(plan: Plan, value: str) -> str:
    """Return an Authorization value without the scheme that the recorded requests write themselves."""
    for send in plan.sends:
        for name, text in send.headers:
            first = text[0] if text else ""
            if name.lower() == "authorization" and isinstance(first, str) and first:
                scheme = first.strip().lower()
                given, blank, rest = value.partition(" ")
                return rest.strip() if blank and given.lower() == scheme else value
    return value


def need_locust() -> None:
    """Look whether Locust is there, before anything is said about a load.

    Raises:
        ScimproxyError: it is not installed.
    """
    if importlib.util.find_spec("locust") is None:
        raise ScimproxyError(
            "Locust, which makes the load, is not installed",
            hint="pip install 'scimproxy[load]'; or export the run and run it elsewhere: "
            "scimproxy export RUN --format locust -o locustfile.py",
        )


def run_locust(plan: Plan, load: Load) -> int:
    """Run Locust to its end and return an exit code: 0 no request failed, 1 some did, 130 interrupted.

    Raises:
        ScimproxyError: Locust is not installed, did not run, or no request of its users came to an end.
    """
    need_locust()
    with tempfile.TemporaryDirectory(prefix="scimproxy-load-") as folder:
        file = Path(folder) / "locustfile.py"
        file.write_text("".join(locust_file(plan)), encoding="utf-8")
        environment = {
            **{name: value for name, value in os.environ.items() if not name.startswith("LOCUST_")},
            **load.secrets,
            "SCIM_PAUSE": str(load.pause_s),
        }
        with _ended_with_us(), subprocess.Popen(_command(file, load), env=environment) as locust:  # noqa: S603 - our own
            code = _waited(locust)
    if code in {0, 1, _INTERRUPTED}:
        return code
    if code == _NOTHING_SENT:
        raise ScimproxyError(
            "no request came to an end: this says nothing about the server",
            hint="look whether it answers, and give it time: a longer --duration",
        )
    raise ScimproxyError(f"Locust ended with {code}", hint="what it said stands above")


def _command(file: Path, load: Load) -> list[str]:
    rate = load.spawn_rate if load.spawn_rate is not None else max(1.0, load.users / 10)
    command = [sys.executable, "-m", "locust", "-f", str(file), "--host", load.host, "--headless"]
    command += ["--users", str(load.users), "--spawn-rate", f"{rate:g}", "--only-summary", "--loglevel", "WARNING"]
    if load.duration_s is not None:
        command += ["--run-time", f"{max(1, round(load.duration_s))}s"]
    if load.report is not None:
        command += ["--html", str(load.report)]
    if load.processes is not None:
        command += ["--processes", str(load.processes)]
    return [*command, "--json"] if load.as_json else command


@contextlib.contextmanager
def _ended_with_us() -> Iterator[None]:
    """Take TERM for Ctrl-C meanwhile: it reaches us alone, and a load must not go on without anybody."""

    def interrupted(_number: int, _frame: object) -> None:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGTERM, interrupted)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def _waited(locust: subprocess.Popen[bytes]) -> int:
    """Wait for the end; Ctrl-C reaches Locust too (it ends its users and writes its report), so it is waited for."""
    try:
        return locust.wait()
    except KeyboardInterrupt:
        with contextlib.suppress(ProcessLookupError):
            locust.send_signal(signal.SIGINT)
        try:
            locust.wait(_GRACE_S)
        except subprocess.TimeoutExpired:
            locust.kill()
            locust.wait()
        return _INTERRUPTED
