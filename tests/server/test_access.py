"""Who may call what, over real mutual TLS: the whole table, suspension, purposes, revocation and renewal."""

from __future__ import annotations

import importlib
import json
import os
import shutil
import socket
import ssl
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import grpc
import pytest
from cryptography import x509
from typer.testing import CliRunner

import mpi.v1
from mpi.cli.main import app
from mpi.client import Client, PurposeOfUse
from mpi.config import ServerConfig, StoreConfig, load_config
from mpi.domain.access import ALLOWED, Caller, ClientRule, Role
from mpi.domain.identifiers import LocalIdToken
from mpi.errors import AccessDenied, ConfigInvalid, MpiError, Reason
from mpi.server import tls as server_side_tls
from mpi.server.bootstrap import application
from mpi.server.certs import issue_dev_certificates
from mpi.server.tls import Revocation
from mpi.wire.status import from_wire
from tests.building import key_ring
from tests.server.running import MemoryIndex, running, server_tls

PEOPLE = {
    Role.FACILITY: "facility-10661",
    Role.EXCHANGE: "exchange-cdes",
    Role.STEWARD: "steward-somchai",
    Role.AUDITOR: "auditor-arun",
    Role.PRIVACY_OFFICER: "privacy-officer-pim",
    Role.ADMIN: "admin-anan",
}
TABLE = """
                                   facility exchange steward auditor officer admin
RegistryService/Register           yes      no       no      no      no      no
RegistryService/RegisterBatch      yes      no       no      no      no      no
RegistryService/Retract            yes      no       no      no      no      no
LocatorService/Locate              yes      yes      yes     no      no      no
LocatorService/BatchLocate         no       yes      yes     no      no      no
LocatorService/LocateStream        no       yes      yes     no      no      no
LocatorService/WatchIdentities     no       yes      yes     no      no      no
LocatorService/Match               yes      yes      yes     no      no      no
ConsentService/Give                no       yes      no      no      yes     no
ConsentService/Withdraw            yes      yes      no      no      yes     no
ConsentService/List                no       yes      no      no      yes     no
PrivacyService/ListOpenings        no       no       no      no      yes     no
PrivacyService/JudgeOpening        no       no       no      no      yes     no
PrivacyService/ListCarried         no       no       no      no      yes     no
PrivacyService/LiftCarried         no       no       no      no      yes     no
AdminService/ListClients           no       no       no      no      no      yes
AdminService/DecideClient          no       no       no      no      no      yes
AdminService/DescribeIndex         no       no       no      no      no      yes
StewardshipService/GetIdentity     no       no       yes     no      no      no
StewardshipService/Link            no       no       yes     no      no      no
StewardshipService/Unlink          no       no       yes     no      no      no
StewardshipService/Merge           no       no       yes     no      no      no
StewardshipService/Split           no       no       yes     no      no      no
StewardshipService/Undo            no       no       yes     no      no      no
StewardshipService/ListChanges     no       no       yes     yes     yes     no
StewardshipService/ListTasks       no       no       yes     no      no      no
StewardshipService/CountTasks      no       no       yes     no      no      no
StewardshipService/GetTask         no       no       yes     no      no      no
StewardshipService/ClaimTask       no       no       yes     no      no      no
StewardshipService/ReleaseTask     no       no       yes     no      no      no
StewardshipService/AssignTask      no       no       yes     no      no      no
StewardshipService/CommentTask     no       no       yes     no      no      no
StewardshipService/DecideTask      no       no       yes     no      no      no
StewardshipService/DecideTasks     no       no       yes     no      no      no
StewardshipService/GetGraph        no       no       yes     no      no      no
StewardshipService/RevealView      no       no       yes     no      no      no
StewardshipService/GetDashboard    no       no       yes     no      no      no
StewardshipService/PreviewRules    no       no       yes     no      no      yes
QuestionService/ListQuestions      yes      no       no      no      no      no
QuestionService/AnswerQuestion     yes      no       no      no      no      no
"""
"""Who may call what, once more, in a form that a person can check."""


def expected() -> dict[tuple[str, Role], bool]:
    rows = [line.split() for line in TABLE.strip().splitlines()[1:]]
    return {
        (f"/mpi.v1.{method}", role): word == "yes"
        for method, *words in rows
        for role, word in zip(PEOPLE, words, strict=True)
    }


def methods() -> dict[str, bool]:
    """Every call of every service of the protos, and whether it is a stream."""
    found = {}
    for path in sorted(Path(mpi.v1.__path__[0]).glob("*_pb2.py")):
        module = importlib.import_module(f"mpi.v1.{path.stem}")
        for service in module.DESCRIPTOR.services_by_name.values():
            for method in service.methods:
                found[f"/{service.full_name}/{method.name}"] = method.client_streaming
    return found


@pytest.fixture(scope="module")
def certs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("certs")
    people = {"auditor": ["arun"], "privacy-officer": ["pim"], "admin": ["anan"]}
    issue_dev_certificates(folder, ["10661", "11111"], ["cdes"], ["somchai"], people)
    return folder


@pytest.fixture(scope="module")
def address(certs: Path) -> Iterator[str]:
    with running(MemoryIndex().application(), server_tls(certs)) as address:
        yield address


def channel(address: str, folder: Path) -> grpc.Channel:
    files = ((folder / name).read_bytes() for name in ("ca.pem", "key.pem", "cert.pem"))
    return grpc.secure_channel(address, grpc.ssl_channel_credentials(*files))


def answer(call: Callable[[], object]) -> MpiError | None:
    try:
        call()
    except grpc.RpcError as error:
        return from_wire(error)
    return None


def test_the_table_knows_every_call():
    """No call of the protos is without a line in the table, and no line without a call."""
    assert set(ALLOWED) == set(methods()) == {method for method, _ in expected()}


@pytest.mark.parametrize("role", PEOPLE)
def test_every_call_by_every_role(address, certs, role):
    """Over the wire, each role is refused exactly the calls that the table refuses it."""
    with channel(address, certs / PEOPLE[role]) as open_channel:
        for method, streams in methods().items():
            if streams:
                stream = open_channel.stream_stream(method)
                error = answer(lambda stream=stream: list(stream(iter([b"\xff"]), timeout=5)))
            else:
                single = open_channel.unary_unary(method)
                error = answer(lambda single=single: single(b"\xff", timeout=5))
            # Whoever is let in sends bytes that are no message, and is told that instead.
            assert error is not None
            reason = Reason.REQUEST_INVALID if expected()[method, role] else Reason.ROLE_MISSING
            assert error.reason is reason, (method, role)


def test_a_call_without_a_line_is_refused():
    """What the table does not name, nobody may call, on this machine neither."""
    for role in Role:
        assert not Caller("urn", role, "x", frozenset(Role)).may_call("/mpi.v1.LocatorService/Nothing")


def test_a_facility_writes_its_own_records_alone():
    """Whatever further roles it was given."""
    caller = Caller("urn:mpi:facility:10661", Role.FACILITY, "10661", frozenset(Role))
    assert caller.may_write("10661")
    assert not caller.may_write("11111")
    assert not Caller("urn:mpi:exchange:10661", Role.EXCHANGE, "10661", frozenset(Role)).may_write("10661")


KEY = LocalIdToken(bytes(32))


def test_decisions_about_clients_take_effect_in_a_running_server(tmp_path, certs):
    """Suspending, restricting purposes and giving a role reach a server that runs, within a second or so."""
    ring = key_ring(tmp_path)
    store = StoreConfig(tmp_path / "data", tmp_path / "secret/service.json", "th-v1")
    config = tmp_path / "mpi.toml"
    config.write_text(f'service_key = "{tmp_path}/secret/service.json"\n')

    def decided(*arguments: str) -> dict[str, object]:
        command = ["clients", *arguments, "--data", str(tmp_path / "data"), "--config", str(config), "--json"]
        done = CliRunner().invoke(app, command, catch_exceptions=False)
        assert done.exit_code == 0, done.output
        return json.loads(done.stdout)

    def until(reason: Reason | None, call: Callable[[], object]) -> None:
        for _ in range(100):
            try:
                call()
                found = None
            except AccessDenied as error:
                found = error.reason
            if found is reason:
                return
            time.sleep(0.05)
        pytest.fail(f"{found} instead of {reason}")

    settings = ServerConfig(store, "", (ring.current.name,), None)
    with (
        application(settings) as centre,
        running(centre, server_tls(certs)) as at,
        Client(address=at, certificates=certs / "exchange-cdes") as client,
    ):
        urn = "urn:mpi:exchange:cdes"
        until(None, lambda: client.locate(KEY, PurposeOfUse.TREAT))
        assert decided("list") == []
        decided("suspend", urn)
        until(Reason.CLIENT_UNKNOWN, lambda: client.locate(KEY, PurposeOfUse.TREAT))
        decided("allow", urn, "--purpose", "TREAT")
        until(None, lambda: client.locate(KEY, PurposeOfUse.TREAT))
        until(Reason.PURPOSE_DENIED, lambda: client.locate(KEY, PurposeOfUse.HRESCH))
        until(Reason.PURPOSE_DENIED, lambda: client.batch_locate([KEY], PurposeOfUse.HRESCH))
        until(Reason.ROLE_MISSING, client.changes)
        decided("allow", urn, "--role", "auditor")
        until(None, client.changes)
        assert decided("list") == [{"client": urn, "suspended": False, "roles": ["auditor"], "purposes": ["TREAT"]}]
        decided("allow", urn, "--role", "none", "--purpose", "every")
        until(Reason.ROLE_MISSING, client.changes)
        until(None, lambda: client.locate(KEY, PurposeOfUse.HRESCH))


@pytest.mark.parametrize(
    "arguments",
    [
        ["suspend", "urn:mpi:exchange"],
        ["allow", "urn:mpi:exchange:cdes", "--role", "facility"],
        ["allow", "urn:mpi:exchange:cdes", "--role", "insecure"],
        ["allow", "urn:mpi:exchange:cdes", "--role", "king"],
        ["allow", "urn:mpi:exchange:cdes", "--purpose", "CURIOSITY"],
    ],
)
def test_decisions_that_make_no_sense_are_refused(tmp_path, arguments):
    """Names, roles and purposes that do not exist or cannot be given are refused."""
    done = CliRunner().invoke(app, ["clients", *arguments, "--data", str(tmp_path / "data")])
    assert isinstance(done.exception, ConfigInvalid)


def serial_of(folder: Path) -> str:
    return f"{x509.load_pem_x509_certificate((folder / 'cert.pem').read_bytes()).serial_number:x}"


def test_a_revoked_certificate_is_refused_on_an_open_connection(tmp_path, certs, monkeypatch):
    """The list is read again while the server runs; the client's connection does not save it."""
    monkeypatch.setattr(server_side_tls, "LOOK_SECONDS", 0)
    listed = tmp_path / "revoked.txt"
    listed.write_text("# nobody yet\n")
    files = replace(server_tls(certs), revoked=listed)
    with (
        running(MemoryIndex().application(), files) as at,
        Client(address=at, certificates=certs / "exchange-cdes") as client,
        Client(address=at, certificates=certs / "steward-somchai") as other,
    ):
        client.locate(KEY, PurposeOfUse.TREAT)
        listed.write_text(f"serial={serial_of(certs / 'exchange-cdes')}  # lost\n")
        with pytest.raises(AccessDenied, match="revoked"):
            client.locate(KEY, PurposeOfUse.TREAT)
        other.locate(KEY, PurposeOfUse.TREAT)
        listed.write_text("nonsense\n")
        with pytest.raises(AccessDenied, match="revoked"):
            client.locate(KEY, PurposeOfUse.TREAT)
        listed.unlink()
        with pytest.raises(AccessDenied, match="revoked"):
            client.locate(KEY, PurposeOfUse.TREAT)


def test_an_unusable_list_of_revoked_certificates_stops_the_start(tmp_path):
    """The error names file and line."""
    listed = tmp_path / "revoked.txt"
    listed.write_text("01\n\nnot a number\n")
    with pytest.raises(ConfigInvalid, match=r"revoked\.txt, line 3"):
        Revocation(listed)
    with pytest.raises(ConfigInvalid, match="cannot be read"):
        Revocation(tmp_path / "none.txt")


def test_the_setting_of_the_list(tmp_path, certs):
    """It stands beside the other files of TLS and may be left out."""
    (tmp_path / "revoked.txt").write_text("")
    lines = ["key_epochs = ['1']", "[tls]", *(f'{k} = "{certs}/server/{v}"' for k, v in
             {"certificate": "cert.pem", "key": "key.pem", "client_authority": "ca.pem"}.items())]  # fmt: skip
    path = tmp_path / "mpi.toml"
    path.write_text("\n".join(lines))
    assert load_config(tmp_path, path).tls.revoked is None
    path.write_text("\n".join([*lines, 'revoked = "revoked.txt"']))
    assert load_config(tmp_path, path).tls.revoked == tmp_path / "revoked.txt"
    path.write_text("\n".join([*lines, 'revoked = "missing.txt"']))
    with pytest.raises(ConfigInvalid, match="missing"):
        load_config(tmp_path, path)


def test_the_servers_certificate_is_renewed_without_a_restart(tmp_path, certs):
    """New connections see the new certificate; files that do not fit together change nothing."""
    live = tmp_path / "live"
    shutil.copytree(certs / "server", live)
    files = replace(
        server_tls(certs), certificate=live / "cert.pem", key=live / "key.pem", client_authority=live / "ca.pem"
    )
    # A server certificate of the same authority, but another one.
    again = tmp_path / "again"
    shutil.copytree(certs / "ca", again / "ca")
    issue_dev_certificates(again, [], [], [])

    def seen(at: str) -> str:
        context = ssl.create_default_context(cafile=str(certs / "server/ca.pem"))
        context.load_cert_chain(certs / "exchange-cdes/cert.pem", certs / "exchange-cdes/key.pem")
        context.set_alpn_protocols(["h2"])
        host, _, port = at.rpartition(":")
        with (
            socket.create_connection((host, int(port)), 5) as plain,
            context.wrap_socket(plain, server_hostname=host) as s,
        ):
            return f"{x509.load_der_x509_certificate(s.getpeercert(binary_form=True)).serial_number:x}"

    with (
        running(MemoryIndex().application(), files) as at,
        Client(address=at, certificates=certs / "exchange-cdes") as client,
    ):
        client.locate(KEY, PurposeOfUse.TREAT)
        first = seen(at)
        assert first == serial_of(certs / "server")
        os.replace(shutil.copy(again / "server/cert.pem", live / "next.pem"), live / "cert.pem")
        assert seen(at) == first  # its key is not there yet
        os.replace(shutil.copy(again / "server/key.pem", live / "next.pem"), live / "key.pem")
        assert seen(at) == serial_of(again / "server")
        client.locate(KEY, PurposeOfUse.TREAT)


def test_a_rule_says_nothing_unless_it_says_so():
    """A client about which nothing was decided may claim every purpose that its role allows."""
    rule = ClientRule("urn:mpi:exchange:cdes")
    assert (rule.suspended, rule.roles, rule.purposes) == (False, frozenset(), None)
    assert Caller(rule.urn, Role.EXCHANGE, "cdes").may_claim(PurposeOfUse.BTG)
