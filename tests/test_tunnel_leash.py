"""What the leash does when scimproxy dies is in the tunnel contract; here is what it does before and around that."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

from scimproxy.tunnel.process import LEASH, Den

CHILD = (
    "import subprocess, sys, time; child = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(600)']); "
    "print(child.pid, flush=True); time.sleep(600)"
)


def gone(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except OSError:
        return True


def test_the_lifeline_ends_everything_that_the_program_started() -> None:
    den = Den()
    den.write("token", "SECRET")
    process = subprocess.Popen(
        den.leashed([sys.executable, "-c", CHILD]), stdout=subprocess.PIPE, text=True, start_new_session=True
    )
    assert process.stdout is not None
    child = int(process.stdout.readline())
    assert den.pid == process.pid
    assert den._lifeline is not None
    os.close(den._lifeline)  # as the kernel does when we are killed
    den._lifeline = None
    assert process.wait(30) == -signal.SIGTERM
    until = time.monotonic() + 30
    while not gone(child) or den.folder.exists():
        assert time.monotonic() < until
        time.sleep(0.01)
    process.stdout.close()


def test_where_nobody_holds_the_lifeline_any_more_it_ends_at_once(tmp_path: Path) -> None:
    """scimproxy was killed between starting the leash and the leash's first step."""
    folder = tmp_path / "den"
    folder.mkdir()
    os.mkfifo(folder / "lifeline")
    done = subprocess.run(
        [sys.executable, "-I", "-S", str(LEASH), str(folder), str(folder / "lifeline"), sys.executable, "-c", CHILD],
        stdout=subprocess.PIPE,
        timeout=60,
        start_new_session=True,
        check=False,
    )
    assert done.returncode == -signal.SIGTERM


def test_it_loads_next_to_nothing() -> None:
    code = f"import sys; sys.argv = ['x']; exec(open({str(LEASH)!r}).read().replace('__main__', 'x')); print(len(sys.modules))"
    done = subprocess.run([sys.executable, "-I", "-S", "-c", code], capture_output=True, text=True, check=True)
    assert int(done.stdout) < 60
