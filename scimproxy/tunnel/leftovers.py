"""What tunnels that were killed have left on this machine: private folders, and programs that still run.

One rule: only what is provably ours is ended: a process whose number and start time both stand in our own folder, and
whose owner, the scimproxy that started it, is gone. The leash makes leftovers rare; a machine that lost power, or a
system without the leash, has them.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from scimproxy.tunnel.process import PREFIX, runtime_folder, started_at

__all__ = ["Leftover", "clean", "find"]


@dataclass(frozen=True, slots=True)
class Leftover:
    """A private folder whose owner is gone; `pid` is its program, where that still runs."""

    folder: Path
    pid: int | None


def find(folder: Path | None = None) -> Iterator[Leftover]:
    """Yield what was left in the folder for run-time files."""
    for found in sorted((folder or runtime_folder()).glob(f"{PREFIX}*")):
        if os.name == "posix" and found.stat().st_uid != os.getuid():
            continue
        owner = _noted(found / "owner.json")
        if owner is None or _runs(owner):
            continue
        program = _program(found)
        yield Leftover(found, program if program is not None and program > 1 else None)


def clean(folder: Path | None = None) -> int:
    """End and delete what was left; returns how many."""
    count = 0
    for one in list(find(folder)):
        if one.pid is not None:
            with contextlib.suppress(OSError):
                os.kill(one.pid, signal.SIGKILL)
        shutil.rmtree(one.folder, ignore_errors=True)
        count += 1
    return count


def _noted(path: Path) -> tuple[int, str | None] | None:
    try:
        document = json.loads(path.read_text("utf-8"))
        return int(document["pid"]), document["started"]
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _program(folder: Path) -> int | None:
    """Return the program's process, if it is the one that the leash became: by number and by start time."""
    noted = _noted(folder / "program.json")
    return noted[0] if noted is not None and noted[1] is not None and _runs(noted) else None


def _runs(process: tuple[int, str | None]) -> bool:
    pid, started = process
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except OSError:
        return True  # somebody else's: not ours to judge
    return started is None or started_at(pid) == started
