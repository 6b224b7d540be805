"""The certificate authority: made once, private, and its certificates hold before OpenSSL at its strictest."""

from __future__ import annotations

import ipaddress
import os
import ssl
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.x509.verification import PolicyBuilder
from cryptography.x509.verification import Store as Trusted

from scimproxy.errors import EngineError
from scimproxy.proxy import authority as module
from scimproxy.proxy.authority import CERTIFICATE_FILE, KEY_FILE, Authority, authority_folder


def test_it_is_made_once_and_private(tmp_path: Path) -> None:
    folder = tmp_path / "a" / "b"
    first = Authority.open(folder)
    again = Authority.open(folder)
    assert first.certificate == again.certificate
    assert first.path == folder / CERTIFICATE_FILE
    assert first.path.read_text() == first.pem
    assert "PRIVATE" not in first.pem
    assert sorted(path.name for path in folder.iterdir()) == sorted([KEY_FILE, CERTIFICATE_FILE])
    if os.name == "posix":
        assert folder.stat().st_mode & 0o777 == 0o700
        assert (folder / KEY_FILE).stat().st_mode & 0o777 == 0o600
    assert len(first.sha256.split(":")) == 32
    assert "PrivateKey" not in repr(first)


@pytest.mark.parametrize("name", ["api.example.com", "127.0.0.1", "::1", "bücher.example", "a" * 60 + ".example.com"])
def test_what_it_signs_holds(tmp_path: Path, name: str) -> None:
    authority = Authority.open(tmp_path)
    leaf, key = authority.leaf(name)
    assert leaf.public_key() == key.public_key()
    assert authority.leaf(name)[0] is leaf
    subject = x509.IPAddress(ipaddress.ip_address(name)) if name[0] in "1:" else x509.DNSName(
        name.encode("idna").decode()
    )  # fmt: skip
    verifier = PolicyBuilder().store(Trusted([authority.certificate])).build_server_verifier(subject)
    assert verifier.verify(leaf, []) == [leaf, authority.certificate]
    assert leaf.not_valid_after_utc - leaf.not_valid_before_utc < timedelta(days=398)


def test_a_strict_client_takes_it(tmp_path: Path) -> None:
    authority = Authority.open(tmp_path)
    leaf, key = authority.leaf("localhost")
    chain = tmp_path / "leaf.pem"
    chain.write_bytes(
        leaf.public_bytes(serialization.Encoding.PEM)
        + key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
    )
    server_side = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server_side.load_cert_chain(chain)
    client_side = ssl.create_default_context(cafile=str(authority.path))
    client_side.verify_flags |= ssl.VERIFY_X509_STRICT
    a, b, c, d = (ssl.MemoryBIO() for _ in range(4))
    server = server_side.wrap_bio(a, b, server_side=True)
    client = client_side.wrap_bio(c, d, server_hostname="localhost")
    done: set[str] = set()
    while len(done) < 2:
        for name, side in (("client", client), ("server", server)):
            try:
                side.do_handshake()
                done.add(name)
            except ssl.SSLWantReadError:
                pass
            a.write(d.read())
            c.write(b.read())
    assert client.getpeercert()


def test_names_that_no_certificate_can_have(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"label|empty|IDNA|idna"):
        Authority.open(tmp_path).leaf("a..ü")


def test_memory_is_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_MOST", 2)
    authority = Authority.open(tmp_path)
    first = authority.leaf("a")[0]
    authority.leaf("b")
    authority.leaf("c")
    assert authority.leaf("a")[0] is not first


@pytest.mark.skipif(os.name != "posix", reason="file modes are POSIX")
def test_a_key_that_others_can_read_is_not_used(tmp_path: Path) -> None:
    Authority.open(tmp_path)
    (tmp_path / KEY_FILE).chmod(0o644)
    with pytest.raises(EngineError, match="can be read by others"):
        Authority.open(tmp_path)


def damage_nothing_left(file: Path) -> None:
    file.write_bytes(b"")


def damage_half(file: Path) -> None:
    file.write_bytes(file.read_bytes()[:100])


def damage_other_certificate(file: Path) -> None:
    other = file.parent / "other"
    Authority.open(other)
    key = file.read_bytes().partition(b"-----BEGIN CERTIFICATE")[0]
    file.write_bytes(key + (other / CERTIFICATE_FILE).read_bytes())


@pytest.mark.parametrize("damage", [damage_nothing_left, damage_half, damage_other_certificate])
def test_a_damaged_file_is_refused(tmp_path: Path, damage: object) -> None:
    Authority.open(tmp_path)
    damage(tmp_path / KEY_FILE)  # type: ignore[operator]
    with pytest.raises(EngineError, match=r"is damaged|is not one that") as caught:
        Authority.open(tmp_path)
    assert "delete the file" in (caught.value.hint or "")


def test_an_expired_one_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Later(datetime):
        @classmethod
        def now(cls, _tz: object = None) -> datetime:  # type: ignore[override]
            return datetime(2100, 1, 1, tzinfo=UTC)

    Authority.open(tmp_path)
    monkeypatch.setattr(module, "datetime", Later)
    with pytest.raises(EngineError, match="has expired"):
        Authority.open(tmp_path)


def test_a_folder_that_cannot_be_used(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(EngineError, match="cannot be used"):
        Authority.open(tmp_path / "file" / "ca")


def test_the_faster_one_of_two_wins(tmp_path: Path) -> None:
    first = Authority.open(tmp_path)
    module._make(tmp_path / KEY_FILE)
    assert Authority.open(tmp_path).certificate == first.certificate


@pytest.mark.parametrize(
    ("platform", "env", "path"),
    [
        ("linux", {"XDG_DATA_HOME": "/x"}, Path("/x/scimproxy")),
        ("linux", {}, Path("/home/me/.local/share/scimproxy")),
        ("darwin", {}, Path("/home/me/Library/Application Support/scimproxy")),
        ("win32", {"LOCALAPPDATA": "/l"}, Path("/l/scimproxy")),
        ("linux", {"SCIMPROXY_CA_DIR": "/own"}, Path("/own")),
    ],
)
def test_where_it_is(monkeypatch: pytest.MonkeyPatch, platform: str, env: dict[str, str], path: Path) -> None:
    for name in ("SCIMPROXY_CA_DIR", "XDG_DATA_HOME", "LOCALAPPDATA"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(Path, "home", lambda: Path("/home/me"))
    monkeypatch.setattr(module.sys, "platform", platform)
    for name, value in env.items():
        monkeypatch.setenv(name, value)
    assert authority_folder() == path
