"""Development certificates: what they say, who may read them, and that nothing is overwritten."""

from __future__ import annotations

import datetime
import stat
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.verification import PolicyBuilder, Store

from mpi.errors import ConfigInvalid
from mpi.server.certs import LEAF_DAYS, issue_dev_certificates


@pytest.fixture
def out(tmp_path: Path) -> Path:
    return tmp_path / "certs"


def certificate(folder: Path) -> x509.Certificate:
    return x509.load_pem_x509_certificate((folder / "cert.pem").read_bytes())


def authority(folder: Path) -> x509.Certificate:
    return x509.load_pem_x509_certificate((folder / "ca.pem").read_bytes())


def names(folder: Path) -> x509.SubjectAlternativeName:
    return certificate(folder).extensions.get_extension_for_class(x509.SubjectAlternativeName).value


def test_every_client_has_a_folder_with_its_name(out):
    """Each client's certificate bears its URN as a URI, and the server's the names of this machine."""
    written = issue_dev_certificates(out, ["10661", "11111"], ["cdes"], ["somchai"])
    assert [folder.name for folder in written] == [
        "server", "facility-10661", "facility-11111", "exchange-cdes", "steward-somchai"
    ]  # fmt: skip
    for folder in written:
        assert sorted(file.name for file in folder.iterdir()) == ["ca.pem", "cert.pem", "key.pem"]
    uris = [names(folder).get_values_for_type(x509.UniformResourceIdentifier) for folder in written[1:]]
    assert uris == [
        ["urn:mpi:facility:10661"], ["urn:mpi:facility:11111"], ["urn:mpi:exchange:cdes"], ["urn:mpi:steward:somchai"]
    ]  # fmt: skip
    assert names(written[0]).get_values_for_type(x509.DNSName) == ["localhost"]
    assert [str(ip) for ip in names(written[0]).get_values_for_type(x509.IPAddress)] == ["127.0.0.1", "::1"]


def test_certificates_verify_against_the_authority(out):
    """Server and client certificates pass the path validation of RFC 5280, each for its own purpose."""
    server, client = issue_dev_certificates(out, ["10661"], [], [])
    policy = PolicyBuilder().store(Store([authority(out / "ca")]))
    policy.build_server_verifier(x509.DNSName("localhost")).verify(certificate(server), [])
    policy.build_client_verifier().verify(certificate(client), [])
    with pytest.raises(x509.verification.VerificationError):
        policy.build_client_verifier().verify(certificate(server), [])


def test_leaves_live_90_days_on_p256(out):
    """Leaf certificates hold P-256 keys and end after 90 days."""
    for folder in issue_dev_certificates(out, ["10661"], [], []):
        leaf = certificate(folder)
        assert isinstance(leaf.public_key().curve, ec.SECP256R1)
        left = leaf.not_valid_after_utc - datetime.datetime.now(datetime.UTC)
        assert datetime.timedelta(days=LEAF_DAYS - 1) < left <= datetime.timedelta(days=LEAF_DAYS)


def test_nobody_else_reads_the_keys(out):
    """Folders have mode 0700 and files 0600."""
    issue_dev_certificates(out, ["10661"], [], [])
    assert stat.S_IMODE(out.stat().st_mode) == 0o700
    for path in out.rglob("*"):
        assert stat.S_IMODE(path.stat().st_mode) == (0o700 if path.is_dir() else 0o600)


def test_a_further_client_joins_the_same_authority(out):
    """A second call keeps authority and server as they are and adds the new client only."""
    issue_dev_certificates(out, ["10661"], [], [])
    before = {path: path.read_bytes() for path in out.rglob("*.pem")}
    (added,) = issue_dev_certificates(out, [], ["cdes"], [])
    assert added.name == "exchange-cdes"
    assert authority(added) == authority(out / "ca")
    assert {path: path.read_bytes() for path in before} == before


def test_nothing_is_overwritten(out):
    """A client that has a certificate already is refused, and nothing else of the call is written."""
    issue_dev_certificates(out, ["10661"], [], [])
    with pytest.raises(ConfigInvalid, match="never overwritten"):
        issue_dev_certificates(out, ["11111", "10661"], [], [])
    assert not (out / "facility-11111").exists()


@pytest.mark.parametrize("damage", ["missing", "nonsense", "foreign"])
def test_half_an_authority_is_not_replaced(out, tmp_path, damage):
    """An authority without its own usable key is refused and left as it is."""
    issue_dev_certificates(out, [], [], [])
    key = out / "ca/key.pem"
    if damage == "missing":
        key.unlink()
    elif damage == "nonsense":
        key.write_text("nonsense")
    else:
        issue_dev_certificates(tmp_path / "other", [], [], [])
        key.write_bytes((tmp_path / "other/ca/key.pem").read_bytes())
    before = (out / "ca/ca.pem").read_bytes()
    with pytest.raises(ConfigInvalid, match="--out"):
        issue_dev_certificates(out, ["10661"], [], [])
    assert (out / "ca/ca.pem").read_bytes() == before
    assert not (out / "facility-10661").exists()


@pytest.mark.parametrize(
    ("facilities", "exchanges", "stewards"),
    [
        (["../../etc"], [], []), (["1066"], [], []), ([], ["a/b"], []), ([], ["CDES"], []), ([], [""], []),
        ([], [], [".."]), ([], [], ["ก"]), ([], [], ["a" * 64]),
    ],
)  # fmt: skip
def test_names_that_cannot_be_used(out, facilities, exchanges, stewards):
    """A name that is none, or that would leave the folder, is refused before anything is written."""
    with pytest.raises(ConfigInvalid):
        issue_dev_certificates(out, facilities, exchanges, stewards)
    assert not out.exists()


def test_a_folder_that_cannot_be_made(tmp_path):
    """A folder below a file is a setting that cannot be used, not a traceback."""
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigInvalid, match="--out"):
        issue_dev_certificates(tmp_path / "file/certs", ["10661"], [], [])
