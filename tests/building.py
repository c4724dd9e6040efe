"""Builders that tests share: an index in a temporary folder, and records of people who do not exist."""

from __future__ import annotations

import datetime
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from mpi.domain.record import EncodedRecord
from mpi.encoder.demographics import RawDemographics, RawName, normalize
from mpi.encoder.encoder import Encoder
from mpi.encoder.keys import KeyRing, load_key_ring, new_key_ring
from mpi.index.lmdb_index import Index
from mpi.index.projector import catch_up
from mpi.rules import Rules, load_rules, rule_file
from mpi.service.gateway import Gateway
from mpi.service.location import Locator
from mpi.service.matching import Matcher, Matching
from mpi.service.registration import Registry
from mpi.store.sql import Store, open_sqlite

TODAY = datetime.date(2026, 6, 30)
GATEWAY_SECRET = bytes(range(32))
AT_REST_SECRET = bytes(range(32, 64))
ACTOR = "urn:mpi:facility:10661"


@dataclass(frozen=True)
class Centre:
    """The centre's parts, joined as the server joins them."""

    rules: Rules
    store: Store
    index: Index
    registry: Registry
    locator: Locator
    matcher: Matcher
    gateway: Gateway


def th_v1() -> Rules:
    return load_rules(rule_file("th-v1"))


def key_ring(folder: Path) -> KeyRing:
    """The key ring of a test's network, made at first use."""
    if not (folder / "keys").exists():
        new_key_ring(folder / "keys")
    return load_key_ring(folder / "keys")


@contextmanager
def centre(folder: Path, epochs: tuple[str, ...]) -> Iterator[Centre]:
    """Open a centre whose data lie below `folder`; opening it again finds what was stored."""
    rules = th_v1()
    gateway = Gateway(GATEWAY_SECRET, rules.profile, epochs)
    store = open_sqlite(folder / "store.db", AT_REST_SECRET, rules.profile.digest)
    index = Index(folder / "index", AT_REST_SECRET)
    catch_up(index, store)
    matching = Matching(rules.profile, rules.model)
    try:
        yield Centre(
            rules,
            store,
            index,
            Registry(gateway, store, index, matching, rules.model.digest),
            Locator(gateway, index),
            Matcher(gateway, index, matching),
            gateway,
        )
    finally:
        index.close()
        store.close()


def raw(name: str, local_id: str = "1", **fields: str) -> RawDemographics:
    """A source's row about a person with this full name."""
    return RawDemographics(local_id=local_id, names=(RawName(full=name),), **fields)


def encoded(ring: KeyRing, facility: str, *rows: RawDemographics) -> list[EncodedRecord]:
    """Encode rows as one facility would."""
    encoder = Encoder(th_v1().profile, ring, facility, TODAY)
    return encoder.encode([(row.local_id, normalize(row, TODAY)) for row in rows])
