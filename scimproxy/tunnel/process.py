"""A tunnel's program: started on a leash in a private folder, read line by line, ended with all that it started.

One rule: what was started here is gone when `end` returns, and when this process dies (`leash`). The folder is
readable by its owner only; it holds what the program has to read, and a note by which leftovers are recognised.
Edge: processes and the folder for run-time files.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from scimproxy.tunnel.contract import TunnelError

__all__ = ["PREFIX", "Den", "Program", "end_process", "runtime_folder", "started_at"]

PREFIX = "scimproxy-tunnel-"
TERM_S = 3.0
KILL_S = 5.0
_GROUP_S = 1.0
LEASH = Path(__file__).with_name("leash.py")
_LAST_WORDS_S = 0.5
_LONGEST_LINE = 16 * 1024


def runtime_folder() -> Path:
    """Return where private folders are made: XDG_RUNTIME_DIR, which log-out empties, or the temporary folder."""
    named = os.environ.get("XDG_RUNTIME_DIR")
    if named and Path(named).is_dir() and os.access(named, os.W_OK | os.X_OK):
        return Path(named)
    return Path(tempfile.gettempdir())


def started_at(pid: int) -> str | None:
    """Return what tells a process from a later one of its number (start time in ticks); None where unknown."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[19]
    except (OSError, IndexError):
        return None


class Den:
    """A private folder for one start of a program, and the lifeline that keeps the program alive."""

    def __init__(self) -> None:
        try:
            self.folder = Path(tempfile.mkdtemp(prefix=PREFIX, dir=runtime_folder()))  # mode 0700
        except OSError as exc:
            raise TunnelError(
                f"cannot make a private folder in {runtime_folder()}: {exc.strerror}",
                hint="make room there, or name another place in TMPDIR",
                fatal=True,
            ) from exc
        self._lifeline: int | None = None
        if os.name == "posix":
            os.mkfifo(self.folder / "lifeline", 0o600)
            # Open for both, so that opening does not wait for the program; not inherited by what we start.
            self._lifeline = os.open(self.folder / "lifeline", os.O_RDWR | os.O_NONBLOCK)
        self.write("owner.json", json.dumps({"pid": os.getpid(), "started": started_at(os.getpid())}))

    def write(self, name: str, text: str, *, mode: int = 0o600) -> Path:
        """Write a file that only its owner can read."""
        path = self.folder / name
        with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, mode), "w", encoding="utf-8") as file:  # noqa: PTH123 - with a mode from the first moment
            file.write(text)
        return path

    def leashed(self, command: Sequence[str]) -> list[str]:
        """Return the command line that starts a command on the leash; the command itself where there is no fork."""
        if self._lifeline is None:
            return list(command)
        return [sys.executable, "-I", "-S", str(LEASH), str(self.folder), str(self.folder / "lifeline"), *command]

    @property
    def pid(self) -> int | None:
        """The process that the leash became; None while there is none. The leash writes it, whoever started it."""
        try:
            return int(json.loads((self.folder / "program.json").read_text("utf-8"))["pid"])
        except (OSError, ValueError, KeyError):
            return None

    def end_group(self) -> None:
        """End what is left of the program's group, the watcher with it, and delete the folder. Blocks briefly.

        The group's number is nobody else's as long as the watcher, which ends with this, is in it.
        """
        pid = self.pid
        if pid is not None and os.name == "posix":
            until = time.monotonic() + _GROUP_S
            with contextlib.suppress(OSError):
                os.killpg(pid, signal.SIGKILL)
                while time.monotonic() < until:
                    os.killpg(pid, 0)  # raises when nobody is left in it
                    time.sleep(0.001)
        if self._lifeline is not None:
            os.close(self._lifeline)
            self._lifeline = None
        shutil.rmtree(self.folder, ignore_errors=True)


class Program:
    """A program on its leash whose lines are heard in the event loop; made inside it."""

    def __init__(
        self, command: Sequence[str], heard: Callable[[str], None], *, env: dict[str, str] | None = None
    ) -> None:
        self._den = Den()
        self._loop = asyncio.get_running_loop()
        self._heard = heard
        self.ended: asyncio.Future[int] = self._loop.create_future()
        try:
            self._process = subprocess.Popen(  # noqa: S603 - the program that the user named
                self._den.leashed(command),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                env={**os.environ, **(env or {})},
                start_new_session=True,
            )
        except OSError as exc:
            self._den.end_group()
            raise TunnelError(f"cannot start {command[0]}: {exc.strerror}", fatal=True) from exc
        self._reader = threading.Thread(target=self._read, name="scimproxy-tunnel-lines", daemon=True)
        self._reader.start()
        threading.Thread(target=self._wait, name="scimproxy-tunnel-end", daemon=True).start()

    @property
    def pid(self) -> int:
        """The program's process id."""
        return self._process.pid

    def _read(self) -> None:
        assert self._process.stdout is not None
        with contextlib.suppress(OSError), self._process.stdout as lines:
            while line := lines.readline(_LONGEST_LINE):
                self._call(self._heard, line.decode("utf-8", "replace").strip())

    def _wait(self) -> None:
        code = self._process.wait()
        self._reader.join(_LAST_WORDS_S)  # something that it started may hold its output open for longer
        self._call(self._finish, code)

    def _call[T](self, function: Callable[[T], None], value: T) -> None:
        with contextlib.suppress(RuntimeError):  # the loop is closed: nobody listens any more
            self._loop.call_soon_threadsafe(function, value)

    def _finish(self, code: int) -> None:
        if not self.ended.done():
            self.ended.set_result(code)

    async def end(self, *, at_once: bool = False) -> None:
        """End the program: ask it, wait, then kill it and all that it started. Safe to call twice."""
        await end_process(self._process, at_once=at_once)
        await asyncio.to_thread(self._den.end_group)


async def end_process(process: subprocess.Popen[Any], *, at_once: bool) -> None:
    """Ask a process to end, wait, then kill it."""
    if not at_once and process.poll() is None:
        process.terminate()
        await asyncio.to_thread(_gone, process, TERM_S)
    if process.poll() is None:
        process.kill()
        await asyncio.to_thread(_gone, process, KILL_S)


def _gone(process: subprocess.Popen[Any], patience_s: float) -> None:
    # Not by its output: something that it started may hold that open.
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.wait(patience_s)
