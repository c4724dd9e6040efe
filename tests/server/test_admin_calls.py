"""AdminService over mutual TLS: decisions about clients are in force at once, and nobody decides about themself."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from mpi.client import Client, PurposeOfUse
from mpi.config import ServerConfig, StoreConfig
from mpi.domain.access import ClientRule, Role
from mpi.domain.identifiers import LocalIdToken
from mpi.errors import AccessDenied, Reason, RecordRejected
from mpi.server.bootstrap import application
from mpi.server.certs import issue_dev_certificates
from tests.building import key_ring
from tests.server.running import running, server_tls

TREAT, HRESCH = PurposeOfUse.TREAT, PurposeOfUse.HRESCH
EXCHANGE, ADMIN = "urn:mpi:exchange:cdes", "urn:mpi:admin:anan"
SOMEBODY = LocalIdToken(b"\x07" * 32)


@pytest.fixture
def at(tmp_path: Path) -> Iterator[tuple[Client, Client, str]]:
    """An administrator, an exchange, and the name of the key epoch."""
    ring, certs = key_ring(tmp_path), tmp_path / "certs"
    issue_dev_certificates(certs, [], ["cdes"], [], {"admin": ["anan"]})
    store = StoreConfig(tmp_path / "data", tmp_path / "secret/service.json", "th-v1")
    with (
        application(ServerConfig(store, "", (ring.current.name,), None)) as parts,
        running(parts, server_tls(certs)) as address,
        Client(address=address, certificates=certs / "admin-anan") as admin,
        Client(address=address, certificates=certs / "exchange-cdes") as exchange,
    ):
        yield admin, exchange, ring.current.name


def test_a_decision_is_in_force_at_once(at):
    """Purposes, suspension and further roles; what was decided is listed, and taken back by the next decision."""
    admin, exchange, _ = at
    assert admin.clients() == []
    exchange.locate(SOMEBODY, TREAT)
    limited = ClientRule(EXCHANGE, purposes=frozenset({TREAT}), roles=frozenset({Role.AUDITOR}))
    admin.decide_client(limited)
    assert admin.clients() == [limited]
    exchange.locate(SOMEBODY, TREAT)
    with pytest.raises(AccessDenied) as denied:
        exchange.locate(SOMEBODY, HRESCH)
    assert denied.value.reason is Reason.PURPOSE_DENIED
    exchange.changes()
    admin.decide_client(ClientRule(EXCHANGE, suspended=True))
    with pytest.raises(AccessDenied):
        exchange.locate(SOMEBODY, TREAT)
    admin.decide_client(ClientRule(EXCHANGE))
    exchange.locate(SOMEBODY, HRESCH)


@pytest.mark.parametrize(
    ("rule", "field"),
    [
        (ClientRule("urn:mpi:exchange:"), "rule.client"),
        (ClientRule("cdes"), "rule.client"),
        (ClientRule(EXCHANGE, roles=frozenset({Role.FACILITY})), "rule.roles"),
        (ClientRule(EXCHANGE, roles=frozenset({Role.INSECURE})), "rule.roles"),
        (ClientRule(ADMIN, roles=frozenset({Role.STEWARD})), "rule.client"),
        (ClientRule(ADMIN, suspended=True), "rule.client"),
    ],
)
def test_what_cannot_be_decided_is_refused(at, rule, field):
    """Names that are none, roles that cannot be given, and whatever an administrator decides about themself."""
    admin, _, _ = at
    with pytest.raises(RecordRejected) as refused:
        admin.decide_client(rule)
    assert refused.value.field == field
    assert admin.clients() == []


def test_what_is_in_force_is_told_to_administrators_alone(at):
    """The digest of the rules and the key epochs."""
    admin, exchange, epoch = at
    digest, epochs = admin.in_force()
    assert len(digest) == 64
    assert epochs == (epoch,)
    for call in (exchange.in_force, exchange.clients, lambda: exchange.decide_client(ClientRule(ADMIN))):
        with pytest.raises(AccessDenied):
            call()
