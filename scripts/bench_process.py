"""What the kernel knows of a process and its children: CPU time, memory; and holding them still while others run.

One rule: it reads /proc, and touches only processes whose parent it was given. Linux only.
"""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

__all__ = ["Tree", "cpu_seconds", "free_port", "reachable"]

_TICK_S = 1 / os.sysconf("SC_CLK_TCK")


def _stat(pid: int) -> list[str] | None:
    try:
        text = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8")
    except OSError:
        return None
    return text.rpartition(") ")[2].split()  # the name before it may hold anything


def cpu_seconds(fields: list[str]) -> float:
    """Return user and system time of a process, from the fields of /proc/PID/stat after the name."""
    return (int(fields[11]) + int(fields[12])) * _TICK_S


class Tree:
    """A process that we started, and what it started."""

    def __init__(self, process: subprocess.Popen[bytes]) -> None:
        self.process = process

    def pids(self) -> list[int]:
        """Return the living processes of the tree, the first one first."""
        children: dict[int, list[int]] = {}
        for entry in Path("/proc").iterdir():
            if entry.name.isdigit() and (fields := _stat(int(entry.name))) is not None:
                children.setdefault(int(fields[1]), []).append(int(entry.name))
        found = [self.process.pid]
        for pid in found:
            found += children.get(pid, [])
        return found

    def cpu(self) -> float:
        """Return the CPU seconds that the tree has used so far."""
        return sum(cpu_seconds(fields) for pid in self.pids() if (fields := _stat(pid)) is not None)

    def _memory(self, name: str) -> float:
        total = 0
        for pid in self.pids():
            with contextlib.suppress(OSError):
                for line in Path(f"/proc/{pid}/status").read_text(encoding="utf-8").splitlines():
                    if line.startswith(name):
                        total += int(line.split()[1])
        return total / 1024

    def resident(self) -> float:
        """Return the resident memory in MiB."""
        return self._memory("VmRSS:")

    def peak(self) -> float:
        """Return the highest resident memory since `forget_peak`, in MiB."""
        return self._memory("VmHWM:")

    def forget_peak(self) -> None:
        """Let the peak begin at what is resident now."""
        for pid in self.pids():
            with contextlib.suppress(OSError):
                Path(f"/proc/{pid}/clear_refs").write_text("5", encoding="utf-8")

    def _signal(self, sign: signal.Signals) -> None:
        for pid in self.pids():
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, sign)

    @contextlib.contextmanager
    def running(self) -> Iterator[None]:
        """Let the tree run inside the block and stand still after it, so that it takes nothing from others."""
        self._signal(signal.SIGCONT)
        try:
            yield
        finally:
            self._signal(signal.SIGSTOP)

    def hold(self) -> None:
        """Stand still until `running` or `end`."""
        self._signal(signal.SIGSTOP)

    def end(self) -> None:
        """Ask it to stop, and kill what does not."""
        pids = self.pids()
        self._signal(signal.SIGCONT)
        if self.process.poll() is None:
            self.process.terminate()
        try:
            self.process.wait(60)
        except subprocess.TimeoutExpired:
            for pid in pids:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            self.process.wait(10)


def free_port() -> int:
    """Return a loopback port that nobody listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def reachable(port: int, process: subprocess.Popen[bytes], limit_s: float = 60) -> bool:
    """Wait until something listens on the port; False when the process ends first or time runs out."""
    until = time.monotonic() + limit_s
    while time.monotonic() < until and process.poll() is None:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
            return True
        time.sleep(0.002)
    return False
