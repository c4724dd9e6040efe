"""Certificates for development: an authority of one's own, a server, and clients named by URI.

Not for production: there an authority that the network trusts issues them, with the same URI names.
"""

from __future__ import annotations

import datetime
import ipaddress
import os
import re
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from mpi.errors import ConfigInvalid

LEAF_DAYS = 90
AUTHORITY_DAYS = 365
_NAME = re.compile(r"[A-Za-z0-9._-]{1,64}")
ROLES = ("facility", "exchange", "steward")


def write_dev_certificates(out: Path, clients: list[tuple[str, str]]) -> list[Path]:
    """Write a development authority, a server certificate for this machine, and client certificates.

    Args:
        out: folder; an authority that is there already is used, so that clients can be added later.
        clients: (role, name) pairs; the certificate's URI is urn:mpi:role:name.

    Returns:
        Folders that were written, each with ca.pem, cert.pem and key.pem (mode 0600).

    Raises:
        ConfigInvalid: a client is there already, or has an unusable name.
    """
    for role, name in clients:
        if role not in ROLES or not _NAME.fullmatch(name):
            raise ConfigInvalid("client", f"a client is a role ({', '.join(ROLES)}) and a name of letters and digits")
        if (out / f"{role}-{name}").exists():
            raise ConfigInvalid("client", f"{out / f'{role}-{name}'} is there already")
    out.mkdir(parents=True, exist_ok=True, mode=0o700)
    key, authority = _authority(out / "ca")
    written = []
    if not (out / "server").exists():
        names = [
            x509.DNSName("localhost"),
            x509.IPAddress(ipaddress.ip_address("127.0.0.1")),
            x509.IPAddress(ipaddress.ip_address("::1")),
        ]
        written.append(_leaf(out / "server", "mpi development server", names, key, authority, server=True))
    for role, name in clients:
        uri = x509.UniformResourceIdentifier(f"urn:mpi:{role}:{name}")
        written.append(_leaf(out / f"{role}-{name}", f"{role} {name}", [uri], key, authority, server=False))
    return written


def _authority(folder: Path) -> tuple[ec.EllipticCurvePrivateKey, x509.Certificate]:
    if folder.exists():
        key = serialization.load_pem_private_key((folder / "key.pem").read_bytes(), password=None)
        if not isinstance(key, ec.EllipticCurvePrivateKey):
            raise ConfigInvalid("certs", f"{folder}: not an authority that this command made")
        return key, x509.load_pem_x509_certificate((folder / "cert.pem").read_bytes())
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "mpi development authority")])
    certificate = (
        _builder(name, name, key.public_key(), AUTHORITY_DAYS)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(_usage(signs_certificates=True), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .sign(key, hashes.SHA256())
    )
    _write(folder, key, certificate, certificate)
    return key, certificate


def _leaf(
    folder: Path,
    common_name: str,
    names: list[x509.GeneralName],
    authority_key: ec.EllipticCurvePrivateKey,
    authority: x509.Certificate,
    *,
    server: bool,
) -> Path:
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common_name)])
    purpose = ExtendedKeyUsageOID.SERVER_AUTH if server else ExtendedKeyUsageOID.CLIENT_AUTH
    certificate = (
        _builder(subject, authority.subject, key.public_key(), LEAF_DAYS)
        .add_extension(x509.SubjectAlternativeName(names), critical=False)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(_usage(signs_certificates=False), critical=True)
        .add_extension(x509.ExtendedKeyUsage([purpose]), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(authority_key.public_key()), critical=False)
        .sign(authority_key, hashes.SHA256())
    )
    _write(folder, key, certificate, authority)
    return folder


def _builder(
    subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePublicKey, days: int
) -> x509.CertificateBuilder:
    now = datetime.datetime.now(datetime.UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(minutes=5))
        .not_valid_after(now + datetime.timedelta(days=days))
    )


def _usage(*, signs_certificates: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not signs_certificates,
        key_cert_sign=signs_certificates,
        crl_sign=signs_certificates,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )


def _write(
    folder: Path, key: ec.EllipticCurvePrivateKey, certificate: x509.Certificate, authority: x509.Certificate
) -> None:
    folder.mkdir(mode=0o700)
    pem = serialization.Encoding.PEM
    private = key.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    descriptor = os.open(folder / "key.pem", os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(private)
    (folder / "cert.pem").write_bytes(certificate.public_bytes(pem))
    (folder / "ca.pem").write_bytes(authority.public_bytes(pem))
