"""Runscope's scripts, run in a process of their own: what goes in, what comes out, and who watches.

Owns the hand-over to `script_worker.py` (QuickJS), its life, its limits and the sentences that tell of them. Its one
rule: whatever a script does is one `ScriptOutcome`; only a missing engine is an exception. Values cross as JSON and
are checked here as a stranger's. Used by the suite's driver, between the runner's `Script` command and its outcome.
"""

from __future__ import annotations

import asyncio
import importlib.util
import json
import os
import struct
import subprocess
import sys
import threading
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any, Literal, Self, cast

from scimproxy.errors import ScimproxyError

type Json = bool | int | float | str | list[Json] | dict[str, Json] | None
type Kind = Literal["initial", "pre", "post"]
type Status = Literal["passed", "failed", "errored"]

WORKER = Path(__file__).with_name("script_worker.py")
START_S = 30.0  # a busy machine may be slow to start a process; a sound one needs 0.1 s
GRACE_S = 1.0  # the worker's own limit counts processor time and comes first; this is the wall clock's
DEEPEST = 100  # of a value that a script leaves: our own code walks it later


class ScriptEngineMissing(ScimproxyError):
    """The JavaScript engine cannot be started on this machine."""


@dataclass(frozen=True, slots=True)
class ScriptLimits:
    """Bounds of one script. `time_s` is Runscope's; the others are ours."""

    time_s: float = 20.0
    memory_bytes: int = 128 << 20
    source_chars: int = 1 << 20
    log_chars: int = 1 << 18
    value_chars: int = 8 << 20
    result_bytes: int = 32 << 20
    input_bytes: int = 64 << 20


@dataclass(frozen=True, slots=True)
class ScriptCall:
    """One script and what it may see.

    `request` has method, url, scheme, host, path, params (`[{"name", "value"}]`), headers and form
    (`{name: [values]}`), body, size_bytes; `response` has status, reason, headers, body, response_time_ms and
    size_bytes.
    """

    source: str
    kind: Kind = "post"
    variables: Mapping[str, Json] = field(default_factory=dict)
    request: Mapping[str, Any] | None = None
    response: Mapping[str, Any] | None = None
    secrets: Mapping[str, str] = field(default_factory=dict, repr=False)
    bucket: str = ""


@dataclass(frozen=True, slots=True)
class ScriptCheck:
    """One assertion that a script made; `message` is its own text, or what was expected and came."""

    passed: bool
    message: str


@dataclass(frozen=True, slots=True)
class ScriptOutcome:
    """What became of a script.

    `failed` is a failed assertion, `errored` everything else that kept it from its end. `variables` are the changed
    ones only. `request` and `response` hold only the members that the script changed (params as `[[name, value]]`,
    headers and form as `{name: [values]}`), or are None. `checks` are the first 200; `check_count` counts all.
    """

    status: Status
    error: str | None = None
    cause: str | None = None
    log: tuple[str, ...] = ()
    variables: Mapping[str, Json] = field(default_factory=dict)
    request: Mapping[str, Any] | None = None
    response: Mapping[str, Any] | None = None
    checks: tuple[ScriptCheck, ...] = ()
    check_count: int = 0

    @property
    def passed(self) -> bool:
        """Whether the script came to its end and no assertion failed."""
        return self.status == "passed"


class _Died(Exception):
    """The worker's pipe ended, or said what no worker of ours says."""


class _Worker:
    """One process: frames in, frames out. Every call has a watch-dog that ends it."""

    def __init__(self, limits: ScriptLimits) -> None:
        # The engine's folder is told by name: the worker gets no site-packages, no environment, no current folder.
        found = importlib.util.find_spec("quickjs")
        folders = [str(Path(found.origin).parent.parent)] if found and found.origin else []
        environment = {"TZ": "UTC"}  # scripts of a test give the same on every machine
        if sys.platform == "win32":
            environment["SYSTEMROOT"] = os.environ.get("SYSTEMROOT", "")  # no process starts without it there
        # The command is our own file under our own interpreter.
        self._process = subprocess.Popen(  # noqa: S603 - nothing in it comes from outside
            [sys.executable, "-I", "-S", "-B", "-X", "utf8", str(WORKER), *folders],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            bufsize=0,
            env=environment,
            cwd=WORKER.parent,
        )
        self._killed_late = False
        try:
            limits_text = {"time_s": limits.time_s, "memory_bytes": limits.memory_bytes}
            ready = self.ask(
                json.dumps({**limits_text, "result_bytes": limits.result_bytes}).encode(), limits, within_s=START_S
            )
        except _Died:
            self.end()
            raise ScriptEngineMissing(
                f"the JavaScript engine did not start: its process ended with code {self._process.returncode}",
                hint="pip install --force-reinstall quickjs-ng",
            ) from None
        if not ready.get("ready"):
            self.end()
            raise ScriptEngineMissing(
                f"the JavaScript engine is not installed: {ready.get('problem')}", hint="pip install quickjs-ng"
            )

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def is_alive(self) -> bool:
        return self._process.poll() is None and not self._killed_late

    @property
    def code(self) -> int | None:
        return self._process.returncode

    def ask(self, frame: bytes, limits: ScriptLimits, *, within_s: float) -> dict[str, Any]:
        """Send one frame and return the answer; TimeoutError after `within_s`, _Died when the process is gone."""
        fired = threading.Event()

        def kill() -> None:
            fired.set()
            self._process.kill()

        watch = threading.Timer(within_s, kill)
        watch.daemon = True
        watch.start()
        try:
            self._write(struct.pack(">I", len(frame)) + frame)
            (size,) = struct.unpack(">I", self._read(4))
            if size > limits.result_bytes + (1 << 20):
                raise _Died
            answer = json.loads(self._read(size))
        except (_Died, ValueError, RecursionError) as problem:
            if fired.is_set():
                raise TimeoutError from None
            if isinstance(problem, RecursionError):
                return {"status": "errored", "cause": "depth", "spent": True}
            raise _Died from None
        finally:
            watch.cancel()
            self._killed_late = fired.is_set()
        if not isinstance(answer, dict):
            raise _Died
        return answer

    def _write(self, data: bytes) -> None:
        assert self._process.stdin is not None
        view = memoryview(data)
        try:
            while view:
                view = view[self._process.stdin.write(view) or 0 :]
        except (OSError, ValueError):
            raise _Died from None

    def _read(self, size: int) -> bytes:
        assert self._process.stdout is not None
        parts = []
        while size:
            try:
                part = self._process.stdout.read(min(size, 1 << 20))
            except (OSError, ValueError):
                raise _Died from None
            if not part:
                raise _Died
            parts.append(part)
            size -= len(part)
        return b"".join(parts)

    def kill(self) -> None:
        """End the process; a thread that waits for its answer gets _Died."""
        self._process.kill()

    def end(self) -> None:
        """End the process and give back its pipes."""
        self._process.kill()
        self._process.wait()
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe is not None:
                pipe.close()


class ScriptEngine:
    """Runs scripts one after the other, each in a fresh JavaScript world; a context manager.

    The worker process is started at the first script, kept while it is sound, and replaced after a script that hit a
    limit or ended it. Raises ScriptEngineMissing where there is no engine; nothing else.
    """

    def __init__(self, limits: ScriptLimits | None = None) -> None:
        self.limits = limits or ScriptLimits()
        self._lock = threading.Lock()  # held while a script runs
        self._worker: _Worker | None = None
        self._state = threading.Lock()  # held for moments: who runs, and who may end whom
        self._running: threading.Event | None = None
        self._is_closed = False

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, exc: BaseException | None, tb: TracebackType | None) -> None:
        self.close()

    def close(self) -> None:
        """End the worker; a script that is running ends with it. May be called more than once."""
        with self._state:
            self._is_closed = True
            if self._running is not None and self._worker is not None:
                self._worker.kill()
        with self._lock:
            self._drop()

    def start(self) -> int:
        """Start the worker now, so that the first script need not wait; return its process id."""
        with self._lock:
            return self._ready().pid

    async def run(self, call: ScriptCall) -> ScriptOutcome:
        """Run a script without holding up the event loop; cancelling it ends the worker."""
        stop = threading.Event()
        task = asyncio.ensure_future(asyncio.to_thread(self._run, call, stop))
        try:
            return await asyncio.shield(task)
        except asyncio.CancelledError:
            with self._state:
                stop.set()
                if self._running is stop and self._worker is not None:
                    self._worker.kill()
            await asyncio.wait([task])
            raise

    def run_blocking(self, call: ScriptCall) -> ScriptOutcome:
        """Run a script and wait for its end."""
        return self._run(call, threading.Event())

    def _run(self, call: ScriptCall, stop: threading.Event) -> ScriptOutcome:
        limits = self.limits
        if not call.source.strip():
            return ScriptOutcome("passed")
        if len(call.source) > limits.source_chars:
            return _errored("size", f"the script is longer than {limits.source_chars} characters; it was not run")
        try:
            frame = _frame(call, limits)
        except (TypeError, ValueError, RecursionError) as problem:
            return _errored("input", f"the values for the script cannot be handed over as JSON: {problem}")
        if len(frame) > limits.input_bytes:
            size = _megabytes(limits.input_bytes)
            return _errored(
                "size", f"the script's variables, request and response are more than {size}; it was not run"
            )
        with self._lock:
            if self._is_closed or stop.is_set():
                return _errored("closed", "the script was not run: its run has ended")
            worker = self._ready()
            with self._state:
                self._running = stop
                is_over = self._is_closed or stop.is_set()
            try:
                if is_over:
                    return _errored("closed", "the script was not run: its run has ended")
                return self._asked(worker, frame)
            finally:
                with self._state:
                    self._running = None

    def _asked(self, worker: _Worker, frame: bytes) -> ScriptOutcome:
        limits = self.limits
        try:
            answer = worker.ask(frame, limits, within_s=limits.time_s + GRACE_S)
        except TimeoutError:
            self._drop()
            return _errored("time", _sentence("time", limits))
        except _Died:
            self._drop()
            return _errored("died", f"the script ended its own process ({_ending(worker.code)})")
        outcome = _outcome(answer, limits)
        if answer.get("spent") or outcome.cause in {"time", "memory", "size", "stack"}:
            self._drop()  # what such a script did to its process is nothing that the next one should meet
        return outcome

    def _ready(self) -> _Worker:
        if self._worker is not None and not self._worker.is_alive:
            self._drop()
        if self._worker is None:
            self._worker = _Worker(self.limits)
        return self._worker

    def _drop(self) -> None:
        worker, self._worker = self._worker, None
        if worker is not None:
            worker.end()


def _frame(call: ScriptCall, limits: ScriptLimits) -> bytes:
    whole = {
        "source": call.source,
        "kind": call.kind,
        "variables": dict(call.variables),
        "request": None if call.request is None else dict(call.request),
        "response": None if call.response is None else dict(call.response),
        "secrets": dict(call.secrets),
        "bucket": call.bucket,
        "log_limit": limits.log_chars,
        "value_limit": limits.value_chars,
    }
    return json.dumps(whole, allow_nan=False).encode("ascii")


def _megabytes(size: int) -> str:
    return f"{size / (1 << 20):g} MB"


def _ending(code: int | None) -> str:
    return f"signal {-code}" if code is not None and code < 0 else f"exit code {code}"


def _errored(cause: str, error: str) -> ScriptOutcome:
    return ScriptOutcome("errored", error=error, cause=cause)


def _sentence(cause: str, limits: ScriptLimits) -> str:
    """Return the words for a limit that was hit, or "" where the script's own error says it."""
    return {
        "time": f"the script ran longer than {limits.time_s:g} s and was stopped",
        "memory": f"the script needs more than {_megabytes(limits.memory_bytes)} of memory and was stopped",
        "stack": "the script calls itself too deeply: its stack is used up",
        "size": f"what the script leaves is larger than {_megabytes(limits.result_bytes)}",
        "depth": f"what the script leaves is nested deeper than {DEEPEST} levels",
    }.get(cause, "")


def _outcome(answer: Mapping[str, Any], limits: ScriptLimits) -> ScriptOutcome:
    """Build an outcome from what a worker said; a worker that a script has broken may say anything."""
    status = answer.get("status")
    cause = answer.get("cause")
    cause = cause if isinstance(cause, str) else None
    if status not in {"passed", "failed", "errored"}:
        return _errored("died", "the script broke its surroundings; nothing of it can be told")
    error = answer.get("error")
    error = _sound(error)[:4000] if isinstance(error, str) else None
    if status == "errored" and cause is not None and not (cause == "size" and error):
        error = _sentence(cause, limits) or error
    if status == "errored" and not error:
        error = "the script ended with an error that has no words"
    try:
        variables = _clean(answer.get("variables"))
        request = _clean(answer.get("request"))
        response = _clean(answer.get("response"))
    except RecursionError:
        return _errored("depth", _sentence("depth", limits))
    count = answer.get("assertion_count")
    return ScriptOutcome(
        status=cast("Status", status),
        error=error,
        cause=cause,
        log=tuple(_sound(line) for line in _list(answer.get("log")) if isinstance(line, str)),
        variables=variables if isinstance(variables, dict) else {},
        request=request if isinstance(request, dict) else None,
        response=response if isinstance(response, dict) else None,
        checks=tuple(
            ScriptCheck(row.get("passed") is True, _sound(str(row.get("message", ""))))
            for row in _list(answer.get("assertions"))[:200]
            if isinstance(row, dict)
        ),
        check_count=count if isinstance(count, int) else 0,
    )


def _list(value: object) -> list[Any]:
    return value if isinstance(value, list) else []


def _sound(text: str) -> str:
    """Return text that can be written as UTF-8: half a surrogate pair becomes U+FFFD."""
    return text if text.isascii() else text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")


def _clean(value: object, depth: int = 0) -> Json:
    """Return a value of JSON with sound texts; RecursionError where it is nested too deeply for those who walk it."""
    if depth > DEEPEST:
        raise RecursionError
    if isinstance(value, str):
        return _sound(value)
    if isinstance(value, list):
        return [_clean(item, depth + 1) for item in value]
    if isinstance(value, dict):
        return {_sound(str(key)): _clean(item, depth + 1) for key, item in value.items()}
    return value if isinstance(value, bool | int | float) else None
