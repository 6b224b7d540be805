from __future__ import annotations

import ctypes
import platform
import subprocess
import sys
from pathlib import Path

import pytest

from scimproxy.memory import give_back

SCRIPT = """
import os
from scimproxy.memory import give_back
def resident():
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")
assert give_back()
first = b"x" * 20_000_000  # without `give_back`, glibc keeps what is smaller than a block that was freed before
del first
below = b"y" * 8_000_000
above = b"z" * 2_000_000
before = resident()
del below
print(before - resident())
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="it is about glibc")
def test_a_big_block_goes_back_when_it_is_freed() -> None:
    root = str(Path(__file__).parent.parent)
    done = subprocess.run([sys.executable, "-c", SCRIPT], check=True, capture_output=True, text=True, cwd=root)
    assert int(done.stdout) > 7_000_000


def test_elsewhere_nothing_happens(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ctypes, "CDLL", lambda _name: object())
    assert not give_back()
    monkeypatch.setattr(sys, "platform", "win32")
    assert not give_back()
