"""A centre with doubtful matches, and the stewards' page in front of it, on real sockets of this machine."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import uvicorn

from mpi.client import Client
from mpi.config import ServerConfig, StoreConfig
from mpi.domain.record import EncodedRecord
from mpi.encoder.demographics import RawDemographics, normalize
from mpi.encoder.encoder import Encoder
from mpi.encoder.keys import KeyRing
from mpi.encoder.sealed import Masking, SealedViews, load_public_key, new_steward_key
from mpi.server.bootstrap import application as centre_of
from mpi.server.certs import issue_dev_certificates
from mpi.web.app import application
from mpi.web.connections import OwnConnection
from mpi.web.sessions import Sessions
from mpi.web.sign_in import LocalSignIn
from mpi.web.visits import Connections
from tests.building import TODAY, key_ring, raw, th_v1
from tests.server.running import certificates, running, server_tls

STEWARD = "urn:mpi:steward:somchai"
OFFICER = "urn:mpi:privacy-officer:pim"
CERTIFICATES = (
    "steward-somchai",
    "steward-somsri",
    "facility-10661",
    "facility-11111",
    "privacy-officer-pim",
    "exchange-cdes",
)
HOSPITAL, CLINIC = "10661", "11111"

Fields = dict[str, str]

# Name, birth date and sex at the hospital, and the birth date at the clinic: a year between them, so that under any key
# the model hesitates over each.
YEARS: list[tuple[str, str, str, str]] = [
    ("นางมาลี ศรีสุข", "04/09/2499", "2", "04/09/2498"),
    ("นางสาวปราณี ทองดี", "20/11/2510", "2", "20/11/2511"),
    ("นางสุดา พรหมมา", "28/02/2517", "2", "28/02/2516"),
    ("นายประเสริฐ วงศ์ใหญ่", "11/12/2490", "1", "11/12/2491"),
    ("นายอนันต์ สายทอง", "19/05/2528", "1", "19/05/2529"),
    ("นางจันทร์ ปัญญา", "09/01/2505", "2", "09/01/2506"),
    ("นายธนา คำแสน", "23/10/2536", "1", "23/10/2535"),
    ("นางสาววันดี รักไทย", "30/08/2520", "2", "30/08/2521"),
    ("นายเกษม มีสุข", "16/04/2515", "1", "16/04/2514"),
    ("นายสมชาย ใจดี", "15/03/2525", "1", "15/03/2524"),
    ("นายวิชัย แก้วมณี", "02/06/2533", "1", "02/06/2534"),
    ("นางสาวกมล บุญมี", "07/07/2541", "2", "07/07/2540"),
]
# People of one national id: somebody else's number stands on one of the records.
OVERLAYS: list[tuple[str, Fields, str, Fields]] = [
    (
        "นายมงคล ดีงาม",
        {"birth_date": "13/02/2522", "sex": "1"},
        "นางปราณี ทองดี",
        {"birth_date": "20/11/2510", "sex": "2"},
    ),
    (
        "นางอารี มั่นคง",
        {"birth_date": "01/09/2531", "sex": "2"},
        "นายสุชาติ พงษ์ไทย",
        {"birth_date": "22/06/2488", "sex": "1"},
    ),
    (
        "นายพิชิต ชัยยะ",
        {"birth_date": "18/08/2539", "sex": "1"},
        "นางนารี แสงจันทร์",
        {"birth_date": "03/12/2501", "sex": "2"},
    ),
]
NUMBERS = ("1103702488992", "3320100123459", "1101700203450")


@dataclass(frozen=True)
class World:
    """A page that is served, and what is behind it.

    Attributes:
        origin: address of the page.
        link: address that signs in.
        steward: the steward's own client, to see what is held.
        second: another steward's client.
        facility: client of the hospital.
        other: client of the clinic.
        officer: client of the privacy officer.
        exchange: client of an exchange.
        officer_page: address and link of the privacy officer's page.
        folder: where everything lies.
        key: the steward's private key file.
        ring: keys of the facilities.
    """

    origin: str
    link: str
    steward: Client
    second: Client
    facility: Client
    other: Client
    officer: Client
    exchange: Client
    officer_page: tuple[str, str]
    folder: Path
    key: Path
    ring: KeyRing

    def encode(self, facility: str, *rows: RawDemographics, masking: Masking = Masking.PARTIAL) -> list[EncodedRecord]:
        """Encode rows as a facility does that seals views to the steward."""
        views = SealedViews(load_public_key(self.folder / "steward.pub.json"), masking, facility)
        encoder = Encoder(th_v1().profile, self.ring, facility, TODAY, views)
        return encoder.encode([(row.local_id, normalize(row, TODAY)) for row in rows])

    def register_overlays(self) -> None:
        """Register people of whom one has the other's number: one task for each pair."""
        for number, (name, fields, other, others) in enumerate(OVERLAYS, start=1):
            same = {"national_id": NUMBERS[number - 1]}
            (first,) = self.encode(HOSPITAL, raw(name, f"V{number}", **fields, **same))
            (second,) = self.encode(CLINIC, raw(other, f"W{number}", **others, **same))
            self.facility.register(first)
            self.other.register(second)

    def register_people(self, most: int = len(YEARS)) -> None:
        """Register people whose two records are doubtful: one task each."""
        for number, (name, birth, sex, other) in enumerate(YEARS[:most], start=1):
            fields = {"sex": sex, "subdistrict": "100507", "house": f"{number}/7"}
            (first,) = self.encode(HOSPITAL, raw(name, f"H{number}", birth_date=birth, **fields))
            (second,) = self.encode(CLINIC, raw(name, f"C{number}", birth_date=other, **fields))
            self.facility.register(first)
            self.other.register(second)

    def register_one_person(self) -> str:
        """Register three records that the model takes for one person's; give the enterprise id."""
        fields = {"birth_date": "03/03/2523", "sex": "1", "national_id": "8114400003218"}
        for client, facility, number in ((self.facility, HOSPITAL, "J1"), (self.other, CLINIC, "J2")):
            (record,) = self.encode(facility, raw("นายมานะ อดทน", number, **fields))
            client.register(record)
        (last,) = self.encode(HOSPITAL, raw("นายมานะ อดทน", "J3", **fields))
        self.facility.register(last)
        (moved,) = {move.target for change in self.steward.changes()[-1:] for move in _moves(change)}
        return moved


def _moves(change):
    from mpi.domain.changes import moves

    return moves(change.revision, change.event)


@contextmanager
def page_served(connections: Connections, steward: str = "somchai") -> Iterator[tuple[str, str]]:
    """Serve the page in a thread; give its address and the link that signs in."""
    sessions = Sessions()
    sign_in = LocalSignIn(steward, sessions)
    hosts: set[str] = set()
    app = application(connections, sessions, sign_in, hosts, secure=False)
    server = uvicorn.Server(uvicorn.Config(app, port=0, log_level="warning", lifespan="off", access_log=False))
    thread = threading.Thread(target=lambda: asyncio.run(server.serve()), name="page")
    thread.start()
    try:
        for _ in range(1000):
            if server.started:
                break
            thread.join(0.01)
        port = server.servers[0].sockets[0].getsockname()[1]
        hosts.update((f"127.0.0.1:{port}", f"localhost:{port}"))
        origin = f"http://127.0.0.1:{port}"
        yield origin, origin + sign_in.path
    finally:
        server.should_exit = True
        thread.join(20)
        assert not thread.is_alive(), "the page did not stop"


@contextmanager
def world(folder: Path, confirm_records: int = 10) -> Iterator[World]:
    """A real centre behind a real page, with nobody in it; two stewards have to agree on so many records."""
    ring = key_ring(folder)
    certs = certificates(folder / "certs")
    issue_dev_certificates(certs, [], [], ["somsri"], {"privacy-officer": ["pim"]})
    store = StoreConfig(folder / "data", folder / "secret" / "service.json", "th-v1")
    config = ServerConfig(store, "", (ring.current.name,), None, confirm_records=confirm_records)
    new_steward_key(folder / "steward.json", folder / "steward.pub.json")
    with centre_of(config) as centre, running(centre, server_tls(certs)) as address:
        clients = [Client(address=address, certificates=certs / name) for name in CERTIFICATES]
        steward, officer = clients[0], clients[4]
        try:
            with (
                page_served(OwnConnection(steward, STEWARD)) as (origin, link),
                page_served(OwnConnection(officer, OFFICER), "pim") as officer_page,
            ):
                yield World(origin, link, *clients, officer_page, folder, folder / "steward.json", ring)
        finally:
            for client in clients:
                client.close()
