"""One run of a real centre with planted people: nothing that it says to operators holds a value of theirs."""

from __future__ import annotations

import base64
import contextlib
import logging
import socket
import urllib.request
from collections.abc import Callable
from pathlib import Path

import pytest

from mpi.client import Client, PurposeOfUse
from mpi.config import ServerConfig, StoreConfig
from mpi.domain.identifiers import EnterpriseId, LocalIdToken
from mpi.domain.watching import Wanted
from mpi.errors import MpiError
from mpi.server.bootstrap import application
from mpi.server.certs import issue_dev_certificates
from tests.building import encoded, key_ring, raw
from tests.conftest import PLANTED
from tests.server.running import running, server_tls

TREAT, BTG = PurposeOfUse.TREAT, PurposeOfUse.BTG
LOCAL_ID, REASON, REFERENCE = "HN-4711-998", "planted reason of an opening", "planted-reference"
PERSON = {"birth_date": "15/03/2525", "sex": "1", "national_id": "1103702488992", "phone": "0812345678"}


def free_port() -> int:
    """A port that nobody listens on."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        return int(listening.getsockname()[1])


def forms(value: bytes) -> tuple[str, ...]:
    """Ways in which a text may show the beginning of bytes."""
    return value[:8].hex(), base64.b64encode(value[:9]).decode(), repr(value[:6])[2:-1]


def test_logs_errors_and_metrics_name_nobody(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Registered, located, hidden, opened, refused, malformed: logs, errors and metric labels show no value of it."""
    caplog.set_level(logging.DEBUG)
    ring = key_ring(tmp_path)
    certs = tmp_path / "certs"
    issue_dev_certificates(certs, ["10661"], ["cdes"], ["somchai"], {"privacy-officer": ["pim"]})
    store = StoreConfig(tmp_path / "data", tmp_path / "secret/service.json", "th-v1")
    tls = server_tls(certs)
    (record,) = encoded(ring, "10661", raw("นายสมชาย ใจดี", LOCAL_ID, **PERSON))
    number, phone = (record.demographics.tokens[at] for at in (0, -1))
    errors: list[str] = []

    settings = ServerConfig(store, "", (ring.current.name,), tls, metrics=f"127.0.0.1:{free_port()}")
    with application(settings) as parts, running(parts, tls) as address, contextlib.ExitStack() as stack:
        names = ("facility-10661", "exchange-cdes", "steward-somchai", "privacy-officer-pim")
        facility, exchange, steward, officer = (
            stack.enter_context(Client(address=address, certificates=certs / name)) for name in names
        )
        facility.register(record)
        eid = steward.locate(number, TREAT).identities[0].eid
        bare = facility._channel.connection.unary_unary("/mpi.v1.RegistryService/Register")
        calls: list[Callable[[], object]] = [
            lambda: exchange.locate(number, TREAT),
            lambda: exchange.locate(phone, TREAT),
            lambda: exchange.locate(EnterpriseId(eid), TREAT),
            lambda: exchange.match(record.demographics, TREAT),
            lambda: next(exchange.watch(TREAT)),
            lambda: next(exchange.watch(TREAT, number.value)),
            lambda: next(exchange.watch(TREAT, b"", Wanted(facilities=frozenset({PERSON["national_id"]})))),
            lambda: next(facility.watch(TREAT, number.value)),
            lambda: next(exchange.locate_stream([[number, phone, EnterpriseId("planted-eid")]], TREAT)),
            lambda: next(facility.locate_stream([[number]], TREAT)),
            lambda: officer.withdraw_consent(number, "mor-prom", [TREAT], reference=REFERENCE),
            lambda: exchange.locate(number, TREAT),
            lambda: exchange.locate(number, BTG, reason=REASON),
            lambda: officer.withdraw_consent(number, "planted-network", [TREAT]),
            lambda: exchange.register(record),
            lambda: exchange.retract("10661", LocalIdToken(record.local_id_token)),
            lambda: steward.identity(eid),
            lambda: steward.merge(eid, eid),
            lambda: exchange.identity("planted-eid"),
            lambda: officer.carried(number),
            lambda: bare(b"\xff" + number.value, timeout=5),
        ]
        for call in calls:
            try:
                call()
            except MpiError as error:
                errors.append(f"{error!r} {error}")
            except Exception as error:  # noqa: BLE001 (gRPC's own, of the bare channel)
                errors.append(str(error))
        with urllib.request.urlopen(f"http://{settings.metrics}/metrics", timeout=5) as answer:
            figures = answer.read().decode()
    log = " ".join([*caplog.messages, caplog.text])
    assert "mpi_placements_total" in figures
    assert "serving on" in log
    assert len(errors) >= 5
    secrets = [number.value, phone.value, record.local_id_token, record.pointer]
    planted = [*PLANTED, LOCAL_ID, REASON, REFERENCE, "planted-eid", eid]
    planted += [form for each in secrets for form in forms(each)]
    for name, text in (("log", log), ("errors", " ".join(errors)), ("metrics", figures)):
        assert [value for value in planted if value in text] == [], name
