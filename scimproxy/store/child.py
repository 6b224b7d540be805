"""The process that writes for a recorder: how it is started, how it ended. For apart.py; it runs serving.py."""

from __future__ import annotations

import signal
import socket
import subprocess
import sys

__all__ = ["ended", "start"]

_BEGIN = "import sys; sys.path[:] = sys.argv[2:]; from scimproxy.store.serving import main; main()"
"""The child imports from where we did: neither what lies around in its folder nor another scimproxy."""


def start() -> tuple[subprocess.Popen[bytes], socket.socket]:
    """Start a writing process; return it and the socket that leads to it."""
    ours, theirs = socket.socketpair()
    with theirs:
        try:
            # In a session of its own, so that a terminal's signals end the recorder in order and not its writer.
            process = subprocess.Popen(  # noqa: S603 - our own program; its end is seen by its socket
                [sys.executable, "-P", "-c", _BEGIN, str(theirs.fileno()), *map(str, sys.path)],
                pass_fds=[theirs.fileno()],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                start_new_session=True,
            )
        except OSError:
            ours.close()
            raise
    return process, ours


def ended(code: int) -> str:
    """Say how a process ended."""
    if code >= 0:
        return f"ended (code {code})"
    try:
        return f"was ended by {signal.Signals(-code).name}"
    except ValueError:
        return f"was ended by signal {-code}"
