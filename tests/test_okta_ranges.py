"""okta_ranges: the list in a file, its date, and fetching it only when asked."""

from __future__ import annotations

import asyncio
import json
import os
import socket
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from factories import T0
from listeners import free_port, http, listener

from scimproxy import okta_ranges
from scimproxy.cli import cli
from scimproxy.errors import FormatError, ScimproxyError
from scimproxy.okta_ranges import cache_path, fetch, keep, load, parse

LIST = {
    "us_cell_1": {"ip_ranges": ["192.0.2.0/24", "198.51.100.1/32"]},
    "emea_cell_1": {"ip_ranges": ["192.0.2.0/24", "2001:db8::/32"]},
    "preview_cell_1": {"ip_ranges": []},
}
DATA = json.dumps(LIST).encode()


def test_a_list_as_okta_publishes_it() -> None:
    ranges = parse(DATA, "x")
    assert list(ranges.cells) == ["us_cell_1", "emea_cell_1", "preview_cell_1"]
    assert [str(network) for network in ranges.networks] == ["192.0.2.0/24", "198.51.100.1/32", "2001:db8::/32"]
    assert ranges.fetched_at is None


@pytest.mark.parametrize(
    ("document", "why"),
    [
        ("", "not JSON"),
        ("[" * 100_000, "not JSON"),
        ("[]", "not an object"),
        ("{}", "no ranges"),
        ('{"a": {"ip_ranges": []}}', "no ranges"),
        ('{"a": ["192.0.2.0/24"]}', "no list of ip_ranges"),
        ('{"a": {"ip_ranges": "192.0.2.0/24"}}', "no list of ip_ranges"),
        ('{"a": {"ip_ranges": ["192.0.2.0/33"]}}', "is no range"),
        ('{"a": {"ip_ranges": [1.5]}}', "is no range"),
        ('{"a": {"ip_ranges": ["0.0.0.0/0"]}}', "nearly everybody"),
        ('{"a": {"ip_ranges": ["2000::/3"]}}', "nearly everybody"),
        ('{"_scimproxy": {"fetched_at": "yesterday"}, "a": {"ip_ranges": ["192.0.2.0/24"]}}', "date"),
        ('{"_scimproxy": 1, "a": {"ip_ranges": ["192.0.2.0/24"]}}', "date"),
    ],
)
def test_what_is_no_list_is_refused(document: str, why: str) -> None:
    with pytest.raises(FormatError, match=why) as told:
        parse(document.encode(), "list.json")
    assert "list.json" in told.value.message
    assert told.value.hint


def test_a_file_has_the_date_of_its_last_change_unless_it_says_one(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    path.write_bytes(DATA)
    os.utime(path, (T0, T0))
    assert load(path).fetched_at == T0
    kept = tmp_path / "deep" / "b.json"
    assert keep(DATA, kept, fetched_at=T0 + 5, url="https://x.example").fetched_at == T0 + 5
    os.utime(kept, (T0, T0))
    assert load(kept) == okta_ranges.OktaRanges(parse(DATA, "x").cells, T0 + 5)
    assert [one.name for one in kept.parent.iterdir()] == ["b.json"]


def test_a_bad_list_does_not_replace_a_good_one(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    keep(DATA, path, fetched_at=T0, url="u")
    with pytest.raises(FormatError, match="no ranges"):
        keep(b"{}", path, fetched_at=T0 + 1, url="u")
    assert load(path).fetched_at == T0


def test_files_that_cannot_be_used(tmp_path: Path) -> None:
    with pytest.raises(FormatError, match="cannot be read") as told:
        load(tmp_path / "none.json")
    assert "okta-ranges --fetch" in (told.value.hint or "")
    (tmp_path / "folder").write_text("a file")
    with pytest.raises(ScimproxyError, match="cannot be written"):
        keep(DATA, tmp_path / "folder" / "a.json", fetched_at=T0, url="u")


def test_the_cache_is_the_users(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert cache_path() == tmp_path / "scimproxy" / "okta-ranges.json"
    monkeypatch.delenv("XDG_CACHE_HOME")
    assert cache_path() == Path.home() / ".cache" / "scimproxy" / "okta-ranges.json"


def test_fetching() -> None:
    asked = []

    def answer(target: str) -> bytes:
        asked.append(target)
        return http(200, DATA, media_type="application/json")

    with listener(answer) as port:
        assert asyncio.run(fetch(f"http://127.0.0.1:{port}/ip_ranges.json?v=1")) == DATA
        assert asyncio.run(fetch(f"http://127.0.0.1:{port}")) == DATA
    assert asked == ["/ip_ranges.json?v=1", "/"]


@pytest.mark.parametrize(
    ("answer", "why"),
    [
        (http(404), "it answers 404"),
        (http(302, location="http://127.0.0.1:1/"), "it answers 302"),
        (b"", "closed the connection"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{", "broke off"),
    ],
)
def test_what_cannot_be_fetched_is_told(answer: bytes, why: str) -> None:
    with listener(lambda _: answer) as port, pytest.raises(ScimproxyError, match=why) as told:
        asyncio.run(fetch(f"http://127.0.0.1:{port}/x"))
    assert "--okta-ranges" in (told.value.hint or "")


def test_nobody_there() -> None:
    with pytest.raises(ScimproxyError, match="nothing listens there"):
        asyncio.run(fetch(f"http://127.0.0.1:{free_port()}/x"))


def test_a_list_without_end_is_not_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(okta_ranges, "_MOST", 10)
    with listener(lambda _: http(200, DATA)) as port, pytest.raises(ScimproxyError, match="longer than 10 bytes"):
        asyncio.run(fetch(f"http://127.0.0.1:{port}/x"))


# -- the command --------------------------------------------------------------------------------------------------


def invoke(*args: str) -> Any:
    return CliRunner().invoke(cli, ["okta-ranges", *args])


def test_the_command_fetches_only_when_asked(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))

    def nothing(*_: object, **__: object) -> None:
        raise AssertionError("it reached out")

    with monkeypatch.context() as patched:
        patched.setattr(socket.socket, "connect", nothing)
        empty = invoke()
    assert empty.exit_code == 3
    assert "okta-ranges --fetch" in empty.stderr
    with listener(lambda _: http(200, DATA)) as port:
        fetched = invoke("--fetch", "--url", f"http://127.0.0.1:{port}/x")
    assert fetched.exit_code == 0
    assert "us_cell_1" in fetched.stdout and "2 ranges" in fetched.stdout
    assert "3 different ranges of 20" in fetched.stderr
    shown = json.loads(invoke("--json").stdout)
    assert shown["file"] == str(cache_path())
    assert shown["cells"] == {name: cell["ip_ranges"] for name, cell in LIST.items()}
    assert shown["fetched_at"].endswith("Z")


def test_the_command_reads_a_file_that_was_downloaded(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    path.write_bytes(DATA)
    os.utime(path, (T0, T0))
    assert json.loads(invoke("--file", str(path), "--json").stdout)["fetched_at"].startswith("2026-09-")
