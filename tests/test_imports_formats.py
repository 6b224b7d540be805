from __future__ import annotations

import json

import pytest
from factories import exchange, run
from mitmproxy.test import tflow
from test_imports_flows import written
from test_imports_ngrok_requests import listed, one
from test_imports_runscope_results import result, row

from scimproxy.errors import FormatError, UsageError
from scimproxy.exports.formats import export
from scimproxy.imports.formats import IMPORTS, detected, read

FILES = {
    "har": export(run(), [exchange()], "har"),
    "mitmproxy": export(run(), [exchange()], "mitmproxy"),
    "ngrok": listed(one()),
    "runscope": json.dumps(result(row())).encode(),
}


@pytest.mark.parametrize("name", FILES)
def test_a_format_is_known_by_its_content(name: str) -> None:
    assert set(FILES) == set(IMPORTS)
    form, _, exchanges = read(FILES[name])
    assert (form, len(exchanges)) == (name, 1)
    assert read(FILES[name], name)[0] == name


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b"", "the file is empty"),
        (b"GET / HTTP/1.1", "neither JSON nor a flow file"),
        (b"[]", "not an object"),
        (b"{}", "neither a HAR nor a result"),
        (b'{"steps": []}', "a Runscope test, which holds no traffic"),
        (b'{"log": ', "no whole HAR"),
    ],
)
def test_what_is_none_is_told(data: bytes, said: str) -> None:
    with pytest.raises(FormatError, match=said):
        detected(data)


def test_an_unknown_format_is_refused() -> None:
    with pytest.raises(UsageError, match="no import format 'zip'"):
        read(b"{}", "zip")


def test_forced_to_another_format() -> None:
    with pytest.raises(FormatError, match="requests: not a list"):
        read(FILES["har"], "ngrok")


def test_flows_of_other_protocols_are_counted() -> None:
    for flows, note in (
        ([tflow.tflow(), tflow.ttcpflow()], "1 flow of the file, not of HTTP, left out"),
        ([tflow.tudpflow(), tflow.ttcpflow()], "2 flows of the file, not of HTTP, left out"),
    ):
        assert read(written(*flows))[1].note == note
