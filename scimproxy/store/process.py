"""Which process is that, and does it still live? Tells leftovers of a crash from a recording that goes on."""

from __future__ import annotations

import os
from pathlib import Path

__all__ = ["is_alive", "is_gone", "this_process"]


def this_process() -> str:
    """Return a text that names this process, also after its number is given to another one."""
    return f"{os.getpid()}:{_start(os.getpid()) or ''}"


def is_alive(process: str | None) -> bool:
    """Whether the process of such a text lives. Where that cannot be known the answer is no."""
    number, _, start = (process or "").partition(":")
    if not number.isdigit():
        return False
    pid = int(number)
    if pid == os.getpid():
        return start == (_start(pid) or "")
    if os.name != "posix":  # pragma: no cover - os.kill would end the process there
        return False
    now = _start(pid)
    if now is not None:
        return now == start
    if Path("/proc/self/stat").exists():
        return False
    try:  # pragma: no cover - systems without /proc
        os.kill(pid, 0)
    except PermissionError:  # pragma: no cover - as above
        return True
    except (OSError, OverflowError):  # pragma: no cover - as above
        return False
    return True  # pragma: no cover - as above


def is_gone(process: str | None) -> bool:
    """Whether the process of such a text is known to live no more; where that cannot be known the answer is no."""
    return (os.name == "posix" or process is None) and not is_alive(process)


def _start(pid: int) -> str | None:
    """Return when a process started, in the kernel's ticks; None where it does not live or nothing tells."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return None
    # The name in parentheses may hold anything; behind it come the state (Z: dead, not yet reaped) and numbers.
    fields = stat.rpartition(")")[2].split()
    return None if fields[0] in {"Z", "X"} else fields[19]
