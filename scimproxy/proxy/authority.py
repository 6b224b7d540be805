"""The certificate authority of `--mode forward`: made once, kept private, signs a certificate for each host.

One rule: the key never leaves its file, and the file is readable by its owner only; one that others can read is not
used. Who trusts the certificate trusts whoever has the key, so it is made on this machine and for nothing else.
"""

from __future__ import annotations

import contextlib
import hashlib
import ipaddress
import os
import sys
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from scimproxy.errors import EngineError

__all__ = ["Authority", "authority_folder"]

KEY_FILE = "authority.pem"
CERTIFICATE_FILE = "scimproxy-ca.pem"

_YEARS = timedelta(days=3650)
_LEAF = timedelta(days=365)
_BEFORE = timedelta(days=2)
"""Certificates begin so long ago, because clocks differ."""
_MOST = 1000
"""So many hosts' certificates are kept in memory."""


def authority_folder() -> Path:
    """Return the folder of the authority: SCIMPROXY_CA_DIR, or `scimproxy` in the user's data directory."""
    given = os.environ.get("SCIMPROXY_CA_DIR")
    if given:
        return Path(given)
    if sys.platform == "win32":
        return Path(os.environ.get("LOCALAPPDATA") or Path.home() / "AppData" / "Local") / "scimproxy"
    if sys.platform == "darwin":
        return Path.home() / "Library" / "Application Support" / "scimproxy"
    return Path(os.environ.get("XDG_DATA_HOME") or Path.home() / ".local" / "share") / "scimproxy"


@dataclass(slots=True)
class Authority:
    """A certificate and its key; `path` is the file of the certificate, for clients to trust."""

    path: Path
    certificate: x509.Certificate
    _key: ec.EllipticCurvePrivateKey = field(repr=False)
    _leaf_key: ec.EllipticCurvePrivateKey = field(repr=False)
    _made: dict[str, x509.Certificate] = field(default_factory=dict, repr=False)

    @classmethod
    def open(cls, folder: Path) -> Authority:
        """Return the authority of a folder; it is made where there is none.

        Raises:
            EngineError: the folder cannot be written, the file is damaged, expired, or readable by others.
        """
        file = folder / KEY_FILE
        try:
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            if not file.exists():
                _make(file)
            _check_private(file)
            key, certificate = _read(file)
            public = folder / CERTIFICATE_FILE
            pem = certificate.public_bytes(serialization.Encoding.PEM)
            if not public.exists() or public.read_bytes() != pem:
                _put(public, pem, 0o644)
        except OSError as exc:
            raise EngineError(
                f"the certificate authority in {folder} cannot be used: {exc.strerror or exc}",
                hint="check the folder's permissions, or name another one with SCIMPROXY_CA_DIR",
            ) from exc
        return cls(public, certificate, key, ec.generate_private_key(ec.SECP256R1()))

    @property
    def pem(self) -> str:
        """The certificate as text."""
        return self.certificate.public_bytes(serialization.Encoding.PEM).decode("ascii")

    @property
    def sha256(self) -> str:
        """The certificate's fingerprint, as trust stores show it: `AB:CD:...`."""
        digest = hashlib.sha256(self.certificate.public_bytes(serialization.Encoding.DER)).hexdigest().upper()
        return ":".join(digest[at : at + 2] for at in range(0, len(digest), 2))

    def leaf(self, name: str) -> tuple[x509.Certificate, ec.EllipticCurvePrivateKey]:
        """Return a certificate for a host name or IP address, and its key.

        Raises:
            ValueError: no certificate can be made for such a name.
        """
        made = self._made.get(name)
        if made is None:
            while len(self._made) >= _MOST:
                del self._made[next(iter(self._made))]
            made = self._made[name] = self._sign(name)
        return made, self._leaf_key

    def _sign(self, name: str) -> x509.Certificate:
        now = datetime.now(UTC)
        public = self._leaf_key.public_key()
        issuer = self.certificate.extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value
        builder = (
            x509.CertificateBuilder()
            .subject_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name[:64])]))
            .issuer_name(self.certificate.subject)
            .public_key(public)
            .serial_number(x509.random_serial_number())
            .not_valid_before(max(now - _BEFORE, self.certificate.not_valid_before_utc))
            .not_valid_after(min(now + _LEAF, self.certificate.not_valid_after_utc))
            .add_extension(x509.SubjectAlternativeName([_general_name(name)]), critical=False)
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(_usage(), critical=True)
            .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(public), critical=False)
            .add_extension(x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(issuer), critical=False)
        )
        return builder.sign(self._key, hashes.SHA256())


def _general_name(name: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(name))
    except ValueError:
        return x509.DNSName(name.encode("idna").decode("ascii") if not name.isascii() else name)


def _usage(*, authority: bool = False) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not authority, content_commitment=False, key_encipherment=False, data_encipherment=False,
        key_agreement=False, key_cert_sign=authority, crl_sign=authority, encipher_only=False, decipher_only=False,
    )  # fmt: skip


def _make(file: Path) -> None:
    """Make key and certificate; where another process was faster, its own stay."""
    key = ec.generate_private_key(ec.SECP256R1())
    now = datetime.now(UTC)
    name = x509.Name(
        [
            x509.NameAttribute(NameOID.ORGANIZATION_NAME, "scimproxy"),
            x509.NameAttribute(NameOID.COMMON_NAME, f"scimproxy local authority {now:%Y-%m-%d}"),
        ]
    )
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - _BEFORE)
        .not_valid_after(now + _YEARS)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(_usage(authority=True), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .sign(key, hashes.SHA256())
    )
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    _put(file, private + certificate.public_bytes(serialization.Encoding.PEM), 0o600, keep=True)


def _put(file: Path, data: bytes, mode: int, *, keep: bool = False) -> None:
    """Write a file whole or not at all; with `keep` one that is there stays."""
    draft = file.with_name(f".{file.name}.{os.getpid()}")
    draft.unlink(missing_ok=True)
    handle = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
    try:
        with os.fdopen(handle, "wb") as out:
            out.write(data)
            out.flush()
            os.fsync(out.fileno())
        if keep:
            with contextlib.suppress(FileExistsError):
                os.link(draft, file)
        else:
            draft.replace(file)
    finally:
        draft.unlink(missing_ok=True)


def _check_private(file: Path) -> None:
    if os.name == "posix" and file.stat().st_mode & 0o077:
        raise EngineError(
            f"the key of the certificate authority can be read by others: {file}",
            hint="if nobody else can have read it: chmod 600; else delete it, and trust the new one that is made",
        )


def _read(file: Path) -> tuple[ec.EllipticCurvePrivateKey, x509.Certificate]:
    data = file.read_bytes()
    try:
        key = serialization.load_pem_private_key(data, None)
        certificate = x509.load_pem_x509_certificate(data)
    except (ValueError, TypeError) as exc:
        raise _unusable(file, "is damaged") from exc
    if not isinstance(key, ec.EllipticCurvePrivateKey) or certificate.public_key() != key.public_key():
        raise _unusable(file, "is not one that scimproxy made")
    if certificate.not_valid_after_utc < datetime.now(UTC):
        raise _unusable(file, "has expired")
    return key, certificate


def _unusable(file: Path, what: str) -> EngineError:
    return EngineError(
        f"the certificate authority in {file} {what}", hint="delete the file; a new one is made, to be trusted again"
    )
