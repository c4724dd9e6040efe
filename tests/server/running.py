"""A real server on a real socket in a thread of its own, with use cases held in memory; also a program.

Usage: python -m tests.server.running   (serves plain text on a free port of 127.0.0.1 and prints the address)
"""

from __future__ import annotations

import asyncio
import sys
import threading
import time
import uuid
from collections.abc import Sequence
from contextlib import AbstractContextManager
from datetime import UTC, datetime
from pathlib import Path

import uvloop

from mpi.config import TlsFiles
from mpi.domain.accounting import Access
from mpi.domain.consent import Asking
from mpi.domain.identifiers import EnterpriseId, IdentifierKind, IdentifierToken, LocalIdToken, LocateKey
from mpi.domain.identity import Decision, Evidence, Identity, Location, Lookups, MatchCandidate, Registration
from mpi.domain.record import ChannelEncoding, EncodedDemographics, EncodedRecord
from mpi.errors import Reason, RecordRejected
from mpi.index.ready import ready_registration
from mpi.server.app import Application, serve
from mpi.server.certs import issue_dev_certificates
from mpi.server.thread import served_in_thread

DIGEST = b"\x07" * 32
REGISTERED = datetime(2026, 11, 23, 9, 30, tzinfo=UTC)
"""When every facility registered last."""
FACILITY = "10661"


def encoded(number: int, facility: str = FACILITY, **changes: object) -> EncodedRecord:
    """Build a well-formed record; equal numbers share their national id token."""
    demographics = EncodedDemographics(
        "th-v1",
        DIGEST,
        "1-5f2c90aa",
        (IdentifierToken(IdentifierKind.NATIONAL_ID, number.to_bytes(32, "big")),),
        (ChannelEncoding("A", (number + 1).to_bytes(32, "big"), b"\x55" * 128),),
    )
    fields = {
        "facility": facility,
        "local_id_token": uuid.uuid5(uuid.NAMESPACE_OID, f"{facility}/{number}").bytes * 2,
        "pointer": b"sealed",
        "demographics": demographics,
    }
    return EncodedRecord(**{**fields, **changes})  # type: ignore[arg-type]


class MemoryIndex:
    """Registry, locator and matcher over one dictionary: equal national id tokens are one person."""

    def __init__(self) -> None:
        self.records: dict[bytes, tuple[str, EncodedRecord]] = {}
        self.actors: list[str] = []
        self.threads: set[str] = set()
        self.at = 0
        self.delay = 0.0
        self.wait = 0.0
        self.failure: Exception | None = None
        self.accesses: list[Access] = []

    def register(
        self, records: Sequence[EncodedRecord], actor: str, request: str = ""
    ) -> tuple[list[Registration | RecordRejected], int]:
        self.threads.add(threading.current_thread().name)
        time.sleep(self.delay)
        if self.failure:
            raise self.failure
        self.actors.append(actor)
        self.at += 1
        return [self._place(record) for record in records], self.at

    def _place(self, record: EncodedRecord) -> Registration | RecordRejected:
        if record.demographics.profile_digest != DIGEST:
            return RecordRejected(Reason.PROFILE_MISMATCH, "demographics.profile_digest", "is of another profile")
        held = self.records.get(record.local_id_token)
        if held and held[1] == record:
            return Registration(held[0], Decision.LINK, None, True, "unchanged")
        found = self.locate(record.demographics.tokens[0])
        eid = found[0].eid if found else str(uuid.uuid4())
        self.records[record.local_id_token] = (eid, record)
        decision = Decision.LINK if found else Decision.NEW
        return Registration(eid, decision, 20.5 if found else None, False, "over_threshold" if found else "alone")

    def locate(self, key: LocateKey, asking: Asking | None = None) -> tuple[Identity, ...]:
        eids = {eid for eid, record in self.records.values() if self._fits(key, eid, record)}
        return tuple(self._identity(eid) for eid in sorted(eids))

    def locate_all(self, keys: Sequence[LocateKey | RecordRejected], askings: Sequence[Asking]) -> Lookups:
        answers = [key if isinstance(key, RecordRejected) else self.locate(key) for key in keys]
        found = [() if isinstance(each, RecordRejected) else each for each in answers]
        for answer, asking in zip(found, askings, strict=True):
            asking.weighed.eids.update(identity.eid for identity in answer)
        facilities = {at.facility for answer in found for identity in answer for at in identity.locations}
        return Lookups(answers, self.at, {code: ready_registration(code, REGISTERED) for code in facilities})

    def _fits(self, key: LocateKey, eid: str, record: EncodedRecord) -> bool:
        if isinstance(key, EnterpriseId):
            return eid == key.value
        if isinstance(key, LocalIdToken):
            return record.local_id_token == key.value
        return key in record.demographics.tokens

    def _identity(self, eid: str) -> Identity:
        members = (record for owner, record in self.records.values() if owner == eid)
        return Identity(eid, tuple(sorted(Location(record.facility, record.pointer) for record in members)))

    def revision(self) -> int:
        return self.at

    def match(
        self, demographics: EncodedDemographics, limit: int, asking: Asking
    ) -> tuple[list[MatchCandidate], Decision]:
        self.threads.add(threading.current_thread().name)
        found = self.locate(demographics.tokens[0])[:limit]
        term = Evidence("national_id", "agree", 20.5)
        candidates = [MatchCandidate(identity.eid, 20.5, (term,), "") for identity in found]
        return candidates, Decision.LINK if found else Decision.NEW

    def application(self) -> Application:
        return Application(
            registry=self,
            locator=self,
            history=self,
            matcher=self,
            stewardship=self,
            review=self,
            learning=self,
            questions=self,
            consents=self,
            clients=self,
            privacy=self,
            pseudonyms=self,
            watching=self,
            journal=self,
            rules_digest="ab" * 32,
            key_epochs=("1-5f2c90aa",),
        )

    def outward(self, client: str, eid: str) -> str:
        return eid

    inward = outward

    def all_outward(self, client: str, eids: Sequence[str]) -> list[str]:
        return list(eids)

    def check(self) -> None:
        pass

    async def write(self, access: Access) -> None:
        await asyncio.sleep(self.wait)
        self.accesses.append(access)

    def put(self, accesses: Sequence[Access]) -> asyncio.Future[None]:
        return asyncio.ensure_future(self._written(accesses))

    async def _written(self, accesses: Sequence[Access]) -> None:
        for access in accesses:
            await self.write(access)

    def note(self, access: Access) -> None:
        self.accesses.append(access)

    def retract(
        self, facility: str, local_id: LocalIdToken, actor: str, request: str, *, erase: bool
    ) -> tuple[bool, int]:
        self.actors.append(actor)
        self.at += 1
        return self.records.pop(local_id.value, None) is not None, self.at


def running(
    application: Application, tls: TlsFiles | None = None, listen: str = "127.0.0.1:0"
) -> AbstractContextManager[str]:
    """Serve until the block ends; give the address. What the server raises at its start is raised here."""
    return served_in_thread(application, listen, tls)


def certificates(folder: Path) -> Path:
    """Issue development certificates for the clients that the tests use."""
    issue_dev_certificates(folder, [FACILITY, "11111"], ["cdes"], ["somchai"])
    return folder


def server_tls(folder: Path) -> TlsFiles:
    """Files of the server below a folder of development certificates."""
    server = folder / "server"
    return TlsFiles(certificate=server / "cert.pem", key=server / "key.pem", client_authority=server / "ca.pem")


def _say(address: str) -> None:
    sys.stdout.write(f"{address}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    uvloop.run(serve(MemoryIndex().application(), "127.0.0.1:0", None, _say))
