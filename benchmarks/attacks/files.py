"""What a thief reads in the centre's files after a population was registered through the service itself."""

from __future__ import annotations

import datetime
import hmac
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import lmdb
import numpy as np
import numpy.typing as npt

from mpi.at_rest import AtRest
from mpi.batch.population.errors import Slips
from mpi.batch.population.model import Dice
from mpi.encoder.channels import ChannelEncoder, FieldView, applies
from mpi.encoder.demographics import RawDemographics, normalize
from mpi.encoder.encoder import Encoder, field_views
from mpi.encoder.keys import Epoch, new_key_ring
from mpi.errors import IndexCorrupt, RecordRejected
from mpi.index.lmdb_index import Index
from mpi.index.sealing import BLOCK, Sealer
from mpi.rules import Channel as ChannelRules
from mpi.rules import Rules
from mpi.service.gateway import Gateway
from mpi.service.keys import GatewayKey
from mpi.service.matching import Matching
from mpi.service.registration import Registry
from mpi.store.sql import open_sqlite

from .people import raw, slipped, thais
from .structure import Channel

Numbers = npt.NDArray[np.int64]
Bits = npt.NDArray[np.uint8]

FACILITY = "10661"
_BATCH = 500
_FIRST_DAY = datetime.date(1984, 3, 1)
_CLERKS = 3


@dataclass(frozen=True)
class Theft:
    """Rows of the index as stolen, beside what only the key tells and what the thief works out of the register.

    Attributes:
        names: for each channel, a number for each row's entry of the index, equal for equal names.
        numbers: for each channel, the record number of each row, which only the key tells.
        vectors: the rows' vectors in the first channel, as they lie in the files.
        sent: what facilities would send for everybody in the register in that channel, row for row of
            `register[0]`; only a facility's key tells.
        register: the channels of the register in clear.
        people: how many persons the register has.
        truth: for each record number, its person; -1 for numbers that were not given out.
    """

    names: list[Numbers]
    numbers: list[Numbers]
    vectors: Bits
    sent: Bits
    register: list[Channel]
    people: int
    truth: Numbers

    def live(self) -> list[Channel]:
        """Channels as whoever reads the running matcher's memory sees them: rows of a record belong together.

        The files alone show them as `structure.apart` leaves them.
        """
        return [Channel(numbers, names) for names, numbers in zip(self.names, self.numbers, strict=True)]


def steal(rules: Rules, people: int, days: int, overlap: float, noise: float, seed: int, folder: Path) -> Theft:
    """Register a population and steal the files.

    Args:
        rules: of the index.
        people: in the register.
        days: all are born in so many days, so that a small population is as dense as a nation.
        overlap: share of them who have a record.
        noise: share of records with a slip in a name.
        seed: of the people and their slips, and of the centre's keys; the facilities' key is fresh.
        folder: empty; holds the centre's data afterwards.
    """
    persons, model = thais(people, seed)
    today = model["model"]["reference_date"]
    dice, slips = Dice(seed, _CLERKS), Slips(model)
    for person in persons:
        person.birth = _FIRST_DAY + datetime.timedelta(days=dice.below(days))
    truth = np.array(sorted(range(people), key=lambda _: dice.uniform())[: round(people * overlap)], np.int64)
    written = [
        raw(persons[place], *(slipped(persons[place], dice, slips) if dice.chance(noise) else ())) for place in truth
    ]
    at_rest = hmac.digest(b"at rest", str(seed).encode(), "sha256")
    epoch = _register(rules, written, today, at_rest, folder)
    found: dict[str, list[tuple[bytes, int, bytes]]] = {name: [] for name in rules.profile.channel_names()}
    sealer = Sealer(at_rest)
    for name, value in _rows(folder / "index"):
        for channel, rows in found.items():
            try:
                rows.append((name, int(sealer.channel(channel).open_numbers(value[:BLOCK])[0]), value[BLOCK:]))
                break
            except IndexCorrupt:
                continue
    views = [next(iter(field_views(normalize(raw(person), today), today))) for person in persons]
    used = [channel for channel in rules.profile.channels if found[channel.name]]
    alone, width = replace(rules.profile, channels=(used[0],)), rules.profile.bits // 8
    first = min(number for rows in found.values() for _, number, _ in rows)
    return Theft(
        [_numbered([name for name, _, _ in found[channel.name]]) for channel in used],
        [np.array([number for _, number, _ in found[channel.name]], np.int64) - first for channel in used],
        np.frombuffer(b"".join(vector for _, _, vector in found[used[0].name]), np.uint8).reshape(-1, width),
        ChannelEncoder(alone, epoch).encode([[view] for view in views]).vectors,
        [_in_clear(channel, views) for channel in used],
        people,
        truth,
    )


def _register(
    rules: Rules, written: Sequence[RawDemographics], today: datetime.date, at_rest: bytes, folder: Path
) -> Epoch:
    ring = new_key_ring(folder / "keys")
    gateway = Gateway((GatewayKey(1, hmac.digest(b"gateway", at_rest, "sha256")),), rules, [ring.current.name])
    keys = AtRest.of(at_rest)
    store, index = open_sqlite(folder / "store.db", keys, rules.stored_digest), Index(folder / "index", keys)
    try:
        registry = Registry(gateway, store, index, Matching(rules.profile, rules.model), rules.model.digest)
        encoder = Encoder(rules.profile, ring, FACILITY, today)
        for at in range(0, len(written), _BATCH):
            batch = [
                (f"{at + place:09d}", normalize(row, today)) for place, row in enumerate(written[at : at + _BATCH])
            ]
            outcomes, _ = registry.register(encoder.encode(batch), "urn:mpi:facility:" + FACILITY)
            if any(isinstance(outcome, RecordRejected) for outcome in outcomes):
                raise ValueError("the service refused a record")
    finally:
        index.close()
        store.close()
    return ring.current


def _rows(folder: Path) -> list[tuple[bytes, bytes]]:
    """Rows of `candidates` read with no key from the file."""
    with lmdb.open(str(folder), readonly=True, lock=False, max_dbs=8) as file:
        table = file.open_db(b"candidates", dupsort=True, dupfixed=True, create=False)
        with file.begin() as transaction, transaction.cursor(table) as cursor:
            return list(cursor.iternext(keys=True, values=True))


def _in_clear(channel: ChannelRules, views: Sequence[FieldView]) -> Channel:
    owners = [place for place, view in enumerate(views) if applies(channel, view)]
    values = ["\x1f".join(views[place].fields[field] for field in channel.bucket) for place in owners]
    return Channel(np.array(owners, np.int64), _numbered(values))


def _numbered(values: Sequence[bytes] | Sequence[str]) -> Numbers:
    places: dict[bytes | str, int] = {}
    return np.array([places.setdefault(value, len(places)) for value in values], np.int64)
