from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

from scimproxy.tunnel.leftovers import Leftover, clean, find
from scimproxy.tunnel.process import PREFIX, Den, started_at

NOBODY = {"pid": 999_999_999, "started": "1"}


def left(folder: Path, owner: object, program: object = None) -> Path:
    den = folder / f"{PREFIX}x"
    den.mkdir()
    (den / "owner.json").write_text(json.dumps(owner))
    if program is not None:
        (den / "program.json").write_text(json.dumps(program))
    return den


def test_a_tunnel_that_runs_is_no_leftover(tmp_path: Path) -> None:
    den = Den()
    assert list(find()) == []
    assert clean() == 0
    assert den.folder.exists()
    den.end_group()


def test_a_folder_whose_owner_is_gone_is_cleaned(tmp_path: Path) -> None:
    den = left(tmp_path, NOBODY)
    assert list(find()) == [Leftover(den, None)]
    assert clean() == 1
    assert not den.exists()


def test_a_number_that_is_somebody_elses_now_is_no_owner(tmp_path: Path) -> None:
    den = left(tmp_path, {"pid": os.getpid(), "started": "1"})
    assert list(find()) == [Leftover(den, None)]


def test_a_program_that_still_runs_is_ended_only_if_it_is_ours(tmp_path: Path) -> None:
    with subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"]) as process:
        other = left(tmp_path, NOBODY, {"pid": process.pid, "started": "1"})
        assert list(find()) == [Leftover(other, None)]
        clean()
        assert process.poll() is None
        ours = left(tmp_path, NOBODY, {"pid": process.pid, "started": started_at(process.pid)})
        assert list(find()) == [Leftover(ours, process.pid)]
        assert clean() == 1
        assert process.wait(30) == -9


def test_a_folder_that_is_not_understood_is_left_alone(tmp_path: Path) -> None:
    for number, text in enumerate(("", "[]", '{"pid": "x"}', '{"started": null}')):
        den = tmp_path / f"{PREFIX}{number}"
        den.mkdir()
        (den / "owner.json").write_text(text)
    assert list(find()) == []


def test_the_init_process_is_nobodys_program(tmp_path: Path) -> None:
    left(tmp_path, NOBODY, {"pid": 1, "started": started_at(1)})
    (found,) = find()
    assert found.pid is None
