"""The leash: a tunnel's program dies when scimproxy dies, however that is killed. A script, run before the program.

One rule: nothing but the standard library, and as little of that as possible; it becomes the program by exec, so
that the program's process id is the one that was started. Before that it forks a watcher, which waits for the end of
a pipe that scimproxy holds open; the kernel closes it with the process. Then the watcher ends the whole process group
and deletes the tunnel's private folder, because there may be a token in it. POSIX only.

    python -I -S leash.py FOLDER LIFELINE PROGRAM ARGUMENT...
"""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import time

__all__ = ["main"]

_GRACE_S = 3.0


def main(folder: str, lifeline: str, command: list[str]) -> None:
    """Become the command, watched; does not return."""
    # Not waiting for a writer: where scimproxy is gone already, the watcher reads the end at once.
    pipe = os.open(lifeline, os.O_RDONLY | os.O_NONBLOCK)
    os.set_blocking(pipe, True)
    program = os.getpid()
    with open(f"{folder}/program.json", "w") as file:  # noqa: PTH123 - pathlib is slow to import
        file.write(f'{{"pid": {program}, "started": {_started(program)}}}')
    if os.fork() == 0:
        with contextlib.suppress(BaseException):
            _watch(pipe, program, folder)
        os._exit(0)
    os.dup2(1, 2)  # what the program complains about is read like its log, never shown or kept as it is
    for name in ("NGROK_AUTHTOKEN", "NGROK_API_KEY"):
        os.environ.pop(name, None)
    try:
        os.execvp(command[0], command)  # noqa: S606 - the point of it
    except OSError as exc:
        print(f"cannot start {command[0]}: {exc.strerror}", flush=True)  # noqa: T201 - read by scimproxy
        os._exit(127)


def _started(pid: int) -> str:
    """Return the start time of a process in ticks as JSON text; null where /proc does not tell."""
    try:
        with open(f"/proc/{pid}/stat") as file:  # noqa: PTH123 - as above
            return f'"{file.read().rpartition(")")[2].split()[19]}"'
    except (OSError, IndexError):
        return "null"


def _watch(pipe: int, program: int, folder: str) -> None:
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    nowhere = os.open(os.devnull, os.O_RDWR)
    for standard in (0, 1, 2):
        os.dup2(nowhere, standard)
    os.read(pipe, 1)
    # scimproxy is gone. Its program leads this group; as long as we are in it, its number is nobody else's.
    with contextlib.suppress(OSError):
        os.killpg(program, signal.SIGTERM)
    until = time.monotonic() + _GRACE_S
    while os.getppid() == program and time.monotonic() < until:
        time.sleep(0.02)
    with contextlib.suppress(OSError):
        for name in os.listdir(folder):  # noqa: PTH208 - pathlib is slow to import
            os.unlink(f"{folder}/{name}")  # noqa: PTH108 - the same
        os.rmdir(folder)  # noqa: PTH106 - the same
    os.killpg(program, signal.SIGKILL)


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], sys.argv[3:])
