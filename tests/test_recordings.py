"""The runs in recordings/: real servers and clients, recorded by our own proxy (scripts/record-samples makes them)."""

from __future__ import annotations

from pathlib import Path

import pytest

from scimproxy.har import from_har
from scimproxy.redact import redact
from scimproxy.scim.message import operation_of
from scimproxy.store import Reader, Store

ROOT = Path(__file__).resolve().parent.parent
FILES = sorted((ROOT / "recordings").glob("*.har"))
SECRETS = (b"peer-token", b"1mz050nq")


def test_there_are_some() -> None:
    assert len(FILES) >= 3
    for path in FILES:
        client, what, *variant = path.stem.split("-")
        assert client
        assert what
        assert variant


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_they_hold_no_secret_and_nothing_is_left_to_redact(path: Path) -> None:
    data = path.read_bytes()
    assert not [secret for secret in SECRETS if secret in data]
    _, exchanges = from_har(data)
    assert [redact(exchange)[0] for exchange in exchanges] == exchanges


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_they_are_scim_through_and_through(path: Path) -> None:
    run, exchanges = from_har(path.read_bytes())
    assert len(exchanges) > 20
    assert run.target
    operations = [operation_of(exchange) for exchange in exchanges]
    assert {"create", "read", "list", "patch", "delete"} <= {operation.kind for operation in operations}
    assert all(exchange.response is not None and exchange.failure is None for exchange in exchanges)


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_they_come_back_from_the_store_as_they_are(path: Path, tmp_path: Path) -> None:
    run, exchanges = from_har(path.read_bytes())
    with Store.open(tmp_path / "r.db") as store:
        run_id = store.start_run(run).id
        ids = [store.add(exchange) for exchange in exchanges]
    with Reader.open(tmp_path / "r.db") as reader:
        stored = reader.whole(ids)
    assert [(e.request.headers, e.request.content, e.response) for e in stored] == [
        (e.request.headers, e.request.content, e.response) for e in exchanges
    ]
    assert {e.run_id for e in stored} == {run_id}
