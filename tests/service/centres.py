"""Centres on any store, as the server joins them; also a program that registers beside others.

Usage: python -m tests.service.centres URL|PATH FOLDER KEYS START COUNT NUMBER   (registers when the clock reads START)
       python -m tests.service.centres URL|PATH FOLDER KEYS   (registers until it is killed; says what is acknowledged)
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import count
from pathlib import Path

from mpi.domain.consent import Asking
from mpi.domain.identifiers import LocateKey
from mpi.domain.identity import Identity, ReadyIdentity, Registration, Regrouped
from mpi.domain.review import HeldTask, Verdict
from mpi.encoder.keys import load_key_ring
from mpi.errors import RecordRejected
from mpi.index.lmdb_index import Index
from mpi.index.projector import catch_up
from mpi.service.disclosure import Disclosure
from mpi.service.gateway import Gateway
from mpi.service.history import History
from mpi.service.location import Locator
from mpi.service.matching import Matching
from mpi.service.policy import load_policy
from mpi.service.registration import BUCKET_CAP, Registry
from mpi.service.review import Review
from mpi.service.stewardship import Stewardship
from mpi.store.sql import Store, open_postgres, open_sqlite
from mpi.v1 import identity_pb2
from mpi.wire import convert
from tests.building import AT_REST, GATEWAY_KEYS, encoded, raw, th_v1

ACTOR = "urn:mpi:facility:10661"
STEWARD = "urn:mpi:steward:somsri"
PERSON = {"birth_date": "15/03/2525", "sex": "1", "national_id": "1103702488992"}


@dataclass(frozen=True)
class Parts:
    """The centre's parts."""

    store: Store
    index: Index
    registry: Registry
    locator: Locator
    stewardship: Stewardship
    review: Review
    history: History
    gateway: Gateway


@contextmanager
def joined(store: Store, folder: Path, epochs: tuple[str, ...], bucket_cap: int = BUCKET_CAP) -> Iterator[Parts]:
    """Join the parts over a store; the index lies in `folder`. Closes both."""
    rules = th_v1()
    gateway, matching = Gateway(GATEWAY_KEYS, rules, epochs), Matching(rules.profile, rules.model)
    index = Index(folder, AT_REST)
    try:
        catch_up(index, store)
        yield Parts(
            store,
            index,
            Registry(gateway, store, index, matching, rules.model.digest, bucket_cap),
            Locator(gateway, index),
            Stewardship(store, index, rules.model.digest),
            Review(store, index, matching, rules, load_policy()),
            History(store),
            gateway,
        )
    finally:
        index.close()
        store.close()


def open_tasks(at: Parts) -> list[HeldTask]:
    """Tasks that wait for a person, the most valuable first."""
    return [listed.held for listed in at.review.tasks()[0]]


def decided(at: Parts, number: int, *, same: bool) -> Regrouped:
    """Answer a task as a steward does."""
    done = at.review.decide(number, Verdict.SAME if same else Verdict.DIFFERENT, STEWARD, "r")
    assert done.regrouped is not None
    return done.regrouped


def located(disclosure: Disclosure, key: LocateKey, asking: Asking) -> tuple[Identity, ...] | None:
    """Look one key up; None where the answer would use up a consent. What is ready is read as a client reads it."""
    (found,) = disclosure.locate_all([key], [asking]).answers
    if isinstance(found, RecordRejected):
        raise found
    return found if found is None else tuple(each if isinstance(each, Identity) else _read(each) for each in found)


def _read(ready: ReadyIdentity) -> Identity:
    held = convert.identity_from_proto(identity_pb2.Identity.FromString(ready.answer))
    return Identity(ready.eid, held.locations, ready.split)


def open_at(place: str) -> Store:
    """Open a store by URL or path."""
    digest = th_v1().stored_digest
    if place.startswith("postgresql:"):
        return open_postgres(place, None, AT_REST, digest)
    return open_sqlite(Path(place), AT_REST, digest)


def _race(place: str, folder: str, keys: str, start: str, persons: str, number: str) -> None:
    """Register records of the same persons as every other process does, under local ids of this one's own."""
    ring = load_key_ring(Path(keys))
    people = [
        raw("นายสมชาย ใจดี", f"{number}-{turn}", birth_date=f"{10 + turn}/03/2525", sex="1")
        for turn in range(int(persons))
    ]
    records = encoded(ring, "10661", *people)
    with joined(open_at(place), Path(folder), (ring.current.name,)) as at:
        time.sleep(max(0.0, float(start) - time.time()))
        eids = []
        for record in records:
            (outcome,), _ = at.registry.register([record], ACTOR)
            assert isinstance(outcome, Registration)
            eids.append(outcome.eid)
    sys.stdout.write(json.dumps(eids))


def _endless(place: str, folder: str, keys: str) -> None:
    ring = load_key_ring(Path(keys))
    with joined(open_at(place), Path(folder), (ring.current.name,)) as at:
        for number in count():
            row = raw("นายสมชาย ใจดี", str(number), birth_date=f"{number % 28 + 1}/{number % 12 + 1}/2525", sex="1")
            (outcome,), _ = at.registry.register(encoded(ring, "10661", row), ACTOR)
            sys.stdout.write(f"{number} {outcome.eid}\n")
            sys.stdout.flush()


if __name__ == "__main__":
    (_race if len(sys.argv) > 4 else _endless)(*sys.argv[1:])
