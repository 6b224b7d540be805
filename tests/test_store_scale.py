"""The recorder's memory does not grow with what it has recorded."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

HERE = Path(__file__).parent
SCRIPT = """
import sys, os, json
sys.path[:0] = [{root!r}, {tests!r}]
from factories import exchange, run, connection
from scimproxy.store import Store

def memory():
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")

store = Store.open(sys.argv[1])
store.start_run(run())
waiting, marks = [], []
for number in range(30_000):
    waiting.append(store.submit(exchange(
        "POST", f"/scim/v2/Users/{{number}}", body={{"n": number}}, answer={{"id": number, "x": "y" * 500}},
        uid=f"x{{number}}", client_connection=connection("client", uid=f"c{{number // 7}}", exchanges=number % 7 + 1),
    )))
    if len(waiting) == 64:
        for future in waiting:
            future.result()
        waiting.clear()
    if number in (10_000, 29_999):
        marks.append(memory())
store.close()
print(json.dumps(marks))
"""


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="memory is read from /proc")
def test_memory_between_ten_and_thirty_thousand_exchanges(tmp_path: Path) -> None:
    code = SCRIPT.format(root=str(HERE.parent), tests=str(HERE))
    done = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path / "s.db")], check=True, capture_output=True, text=True
    )
    early, late = json.loads(done.stdout)
    assert late - early < 4_000_000
