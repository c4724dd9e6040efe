"""Builders that tests share: an index in a temporary folder, and records of people who do not exist."""

from __future__ import annotations

import datetime
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from mpi.at_rest import AtRest
from mpi.domain.record import EncodedRecord
from mpi.encoder.demographics import RawDemographics, RawName, normalize
from mpi.encoder.encoded_file import KINDS, Bytes, Columns, Offsets
from mpi.encoder.encoder import Encoder
from mpi.encoder.keys import KeyRing, load_key_ring, new_key_ring
from mpi.index.lmdb_index import Index
from mpi.index.projector import catch_up
from mpi.rules import Rules, load_rules, rule_file
from mpi.service.gateway import Gateway
from mpi.service.keys import GatewayKey
from mpi.service.location import Locator
from mpi.service.matching import Matcher, Matching
from mpi.service.registration import Registry
from mpi.store.sql import Store, open_sqlite

TODAY = datetime.date(2026, 6, 30)
GATEWAY_SECRET = bytes(range(32))
GATEWAY_KEYS = (GatewayKey(1, GATEWAY_SECRET),)
AT_REST_SECRET = bytes(range(32, 64))
AT_REST = AtRest.of(AT_REST_SECRET)
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
def centre(
    folder: Path, epochs: tuple[str, ...], gateway_keys: tuple[GatewayKey, ...] = GATEWAY_KEYS
) -> Iterator[Centre]:
    """Open a centre whose data lie below `folder`; opening it again finds what was stored."""
    rules = th_v1()
    gateway = Gateway(gateway_keys, rules, epochs)
    store = open_sqlite(folder / "store.db", AT_REST, rules.stored_digest)
    index = Index(folder / "index", AT_REST)
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


def columns_of(numbered: Sequence[tuple[int, EncodedRecord]]) -> Columns:
    """Columns of records that were not encoded from demographics; one key epoch."""
    records = [record for _, record in numbered]
    tokens = [record.demographics.tokens for record in records]
    channels = [record.demographics.channels for record in records]
    names = tuple(sorted({each.channel for own in channels for each in own}))

    def offsets(parts: Sequence[Sequence[object]]) -> Offsets:
        return np.cumsum([0, *map(len, parts)]).astype(np.int32)

    def table(values: Iterable[bytes], width: int) -> Bytes:
        return np.frombuffer(b"".join(values), np.uint8).reshape(-1, width)

    return Columns(
        np.array([row for row, _ in numbered], np.int64),
        table((record.local_id_token for record in records), 32),
        [record.pointer for record in records],
        [record.sealed_view for record in records],
        offsets(tokens),
        np.array([KINDS.index(token.kind.value) for own in tokens for token in own], np.int8),
        table((token.value for own in tokens for token in own), 32),
        offsets(channels),
        np.array([names.index(each.channel) for own in channels for each in own], np.int8),
        names,
        table((each.bucket for own in channels for each in own), 32),
        table((each.vector for own in channels for each in own), 128),
    )


def raw(name: str, local_id: str = "1", **fields: str) -> RawDemographics:
    """A source's row about a person with this full name."""
    return RawDemographics(local_id=local_id, names=(RawName(full=name),), **fields)


def encoded(ring: KeyRing, facility: str, *rows: RawDemographics) -> list[EncodedRecord]:
    """Encode rows as one facility would."""
    encoder = Encoder(th_v1().profile, ring, facility, TODAY)
    return encoder.encode([(row.local_id, normalize(row, TODAY)) for row in rows])
