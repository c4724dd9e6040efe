"""A development certificate authority: mutual TLS on one machine within a minute.

::

    OUT/ca/{ca.pem,key.pem}                        the authority; whoever holds its key can be any client
    OUT/server/{ca.pem,cert.pem,key.pem}           for `localhost`, 127.0.0.1 and ::1
    OUT/facility-10661/{ca.pem,cert.pem,key.pem}   one folder a client, ready to be handed over

A client is named by the URI in its certificate's subject alternative name, such as `urn:mpi:facility:10661`.
In production certificates come from the ministry's own authority with the same names.
"""

from __future__ import annotations

import datetime
import ipaddress
import os
import re
import shutil
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from mpi.domain.identifiers import is_facility_code
from mpi.errors import ConfigInvalid

AUTHORITY_DAYS = 365
LEAF_DAYS = 90
AUTHORITY, CERTIFICATE, KEY = "ca.pem", "cert.pem", "key.pem"

_CLOCK_SKEW = datetime.timedelta(minutes=5)
_CLIENT_NAME = re.compile(r"[a-z0-9][a-z0-9-]{0,62}", re.ASCII)


@dataclass(frozen=True, slots=True, repr=False)
class _Authority:
    certificate: x509.Certificate
    key: ec.EllipticCurvePrivateKey


def issue_dev_certificates(
    out: Path,
    facilities: Sequence[str],
    exchanges: Sequence[str],
    stewards: Sequence[str],
    people: Mapping[str, Sequence[str]] = MappingProxyType({}),
) -> list[Path]:
    """Write certificates for the named clients, and at the first call the authority and the server's certificate.

    Nothing is ever overwritten, and every name is checked before the first file is written.

    Args:
        out: folder of the authority; made with mode 0700 where it is missing.
        facilities: facility codes.
        exchanges: names of exchange services, lower-case letters, digits and hyphens.
        stewards: names of data stewards, written likewise.
        people: names of people in further roles, by role, written likewise.

    Returns:
        The folders written, the server's first where it is new.

    Raises:
        ConfigInvalid: a name cannot be used, a client has a certificate already, or the folder holds half an authority.
    """
    clients = _clients(facilities, {"exchange": exchanges, "steward": stewards, **people})
    for folder, _ in clients:
        if (out / folder).exists():
            raise ConfigInvalid(folder, f"{out / folder} is there already; certificates are never overwritten")
    try:
        out.mkdir(parents=True, exist_ok=True, mode=0o700)
        authority = _authority(out)
        written = []
        if not (out / "server").exists():
            written.append(_issue(out, "server", authority, _server_names(), ExtendedKeyUsageOID.SERVER_AUTH))
        for folder, urn in clients:
            names = [x509.UniformResourceIdentifier(urn)]
            written.append(_issue(out, folder, authority, names, ExtendedKeyUsageOID.CLIENT_AUTH))
    except OSError as error:
        raise ConfigInvalid("--out", f"{out}: {error.strerror or 'cannot be written'}") from None
    return written


def _clients(facilities: Sequence[str], others: Mapping[str, Sequence[str]]) -> list[tuple[str, str]]:
    """Folder and URN of every client; names become folder names, so nothing but plain ones passes."""
    for code in facilities:
        if not is_facility_code(code):
            raise ConfigInvalid("--facility", "is not a facility code (5 to 9 upper-case letters and digits)")
    for kind, names in others.items():
        for name in names:
            if not _CLIENT_NAME.fullmatch(name):
                raise ConfigInvalid(f"--{kind}", "is not a name of lower-case letters, digits and hyphens")
    kinds = {"facility": facilities, **others}
    return [
        (f"{kind}-{name}", f"urn:mpi:{kind}:{name}") for kind, names in kinds.items() for name in dict.fromkeys(names)
    ]


def _authority(out: Path) -> _Authority:
    folder = out / "ca"
    if not folder.exists():
        return _new_authority(out)
    try:
        certificate = x509.load_pem_x509_certificate((folder / AUTHORITY).read_bytes())
        key = serialization.load_pem_private_key((folder / KEY).read_bytes(), password=None)
    except (OSError, ValueError, TypeError):
        raise ConfigInvalid("--out", f"{folder} holds no usable authority, and it is never overwritten") from None
    if not isinstance(key, ec.EllipticCurvePrivateKey) or key.public_key() != certificate.public_key():
        raise ConfigInvalid("--out", f"the key in {folder} does not belong to its certificate")
    if certificate.not_valid_after_utc < _now() + datetime.timedelta(days=LEAF_DAYS):
        raise ConfigInvalid("--out", f"the authority in {folder} ends within {LEAF_DAYS} days; begin a new folder")
    return _Authority(certificate, key)


def _new_authority(out: Path) -> _Authority:
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "MPI development authority")])
    usage = x509.KeyUsage(
        digital_signature=False,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=True,
        crl_sign=True,
        encipher_only=False,
        decipher_only=False,
    )
    certificate = (
        _builder(name, name, key, AUTHORITY_DAYS)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(usage, critical=True)
        .sign(key, hashes.SHA256())
    )
    _write_folder(out, "ca", {AUTHORITY: _pem(certificate), KEY: _key_pem(key)})
    return _Authority(certificate, key)


def _server_names() -> list[x509.GeneralName]:
    addresses = [x509.IPAddress(ipaddress.ip_address(text)) for text in ("127.0.0.1", "::1")]
    return [x509.DNSName("localhost"), *addresses]


def _issue(
    out: Path, folder: str, authority: _Authority, names: Sequence[x509.GeneralName], usage: x509.ObjectIdentifier
) -> Path:
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, folder)])
    signer = x509.AuthorityKeyIdentifier.from_issuer_public_key(authority.key.public_key())
    certificate = (
        _builder(subject, authority.certificate.subject, key, LEAF_DAYS)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(x509.SubjectAlternativeName(names), critical=False)
        .add_extension(x509.ExtendedKeyUsage([usage]), critical=False)
        .add_extension(signer, critical=False)
        .sign(authority.key, hashes.SHA256())
    )
    files = {AUTHORITY: _pem(authority.certificate), CERTIFICATE: _pem(certificate), KEY: _key_pem(key)}
    return _write_folder(out, folder, files)


def _builder(
    subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePrivateKey, days: int
) -> x509.CertificateBuilder:
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(_now() - _CLOCK_SKEW)
        .not_valid_after(_now() + datetime.timedelta(days=days))
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
    )


def _write_folder(out: Path, name: str, files: dict[str, bytes]) -> Path:
    """Write a folder whole or not at all: half of one would look like a certificate that must not be overwritten."""
    partial = Path(tempfile.mkdtemp(dir=out, prefix=f".{name}-"))  # mode 0700
    try:
        for file, content in files.items():
            # The mode at creation: at no moment can another user open a key.
            descriptor = os.open(partial / file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
            with os.fdopen(descriptor, "wb") as stream:
                stream.write(content)
        return partial.rename(out / name)
    except BaseException:
        shutil.rmtree(partial, ignore_errors=True)
        raise


def _pem(certificate: x509.Certificate) -> bytes:
    return certificate.public_bytes(serialization.Encoding.PEM)


def _key_pem(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )


def _now() -> datetime.datetime:
    return datetime.datetime.now(datetime.UTC)
