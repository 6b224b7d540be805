"""Files that commands write: whole or not there, readable by their user alone."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

from scimproxy.cli.writing import whole_file, write_text
from scimproxy.errors import ScimproxyError, UsageError


@pytest.mark.skipif(os.name == "nt", reason="Windows has no such modes")
def test_nobody_else_reads_it(tmp_path: Path) -> None:
    path = tmp_path / "a.html"
    path.write_text("before")
    path.chmod(0o644)
    write_text(path, "é", "--html")
    assert path.read_text(encoding="utf-8") == "é"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    before = os.umask(0o022)
    try:
        write_text(path, "for a CI", "--junit", mode=0o666)
    finally:
        os.umask(before)
    assert stat.S_IMODE(path.stat().st_mode) == 0o644


def test_it_is_there_when_it_is_whole(tmp_path: Path) -> None:
    path = tmp_path / "a.har"
    path.write_bytes(b"before")
    with whole_file(path, "-o") as file:
        file.write(b"after")
        file.flush()
        assert path.read_bytes() == b"before"
    assert path.read_bytes() == b"after"
    with pytest.raises(KeyboardInterrupt), whole_file(path, "-o"):
        raise KeyboardInterrupt
    assert path.read_bytes() == b"after"
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("place", [".", "none/a.html"])
def test_a_place_that_cannot_be(place: str, tmp_path: Path) -> None:
    with (
        pytest.raises(UsageError, match="cannot be written") as caught,
        whole_file(tmp_path / place, "--output"),
    ):
        pass
    assert caught.value.hint == "choose another --output"
    with pytest.raises(ScimproxyError, match="cannot be written") as after:
        write_text(tmp_path / place, "x", "--html")
    assert after.value.exit_code == 3
    assert list(tmp_path.iterdir()) == []


@pytest.mark.skipif(os.name == "nt", reason="needs a link and a device")
def test_a_link_and_a_device_stay_what_they_are(tmp_path: Path) -> None:
    target, link, pipe = tmp_path / "a.html", tmp_path / "link", tmp_path / "pipe"
    link.symlink_to(target)
    write_text(link, "x", "--html")
    assert link.is_symlink()
    assert target.read_text() == "x"
    os.mkfifo(pipe)
    reader = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
    write_text(pipe, "through", "--html")
    assert os.read(reader, 100) == b"through"
    os.close(reader)
    assert pipe.is_fifo()
