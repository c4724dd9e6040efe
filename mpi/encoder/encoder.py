"""The encoder: demographics in, encoded records out."""

from __future__ import annotations

import datetime
import functools
from collections.abc import Iterator, Sequence
from itertools import product

import numpy as np
import numpy.typing as npt

from mpi.domain.record import MAX_TOKENS, EncodedRecord
from mpi.encoder.channels import ChannelEncoder, FieldView
from mpi.encoder.dates import BirthDate
from mpi.encoder.demographics import Demographics
from mpi.encoder.encoded_file import KINDS, TOKEN_BYTES, Columns, EncodedFileHeader, Offsets, records
from mpi.encoder.keys import KeyRing
from mpi.encoder.romanise import fold, romanise, skeleton
from mpi.encoder.sealed import SealedViews
from mpi.encoder.thai_names import PersonName
from mpi.encoder.tokens import PointerBox, Tokeniser
from mpi.rules import Profile

YOUNG_YEARS = 2
"""Children younger than this are compared with unnamed newborns."""


class Encoder:
    """Encodes the records of one facility under the epochs of its key ring: one, or two while they change."""

    def __init__(
        self,
        profile: Profile,
        keys: KeyRing,
        facility: str,
        today: datetime.date,
        sealed_views: SealedViews | None = None,
    ) -> None:
        self._profile = profile
        self._facility = facility
        self._today = today
        self._epochs = [(Tokeniser(epoch), ChannelEncoder(profile, epoch)) for epoch in reversed(keys.epochs)]
        self._pointers = PointerBox(keys.pointer_secret, facility)
        self._sealed_views = sealed_views
        self._kinds = frozenset(profile.tokens)
        self._names = profile.channel_names()
        self.header = EncodedFileHeader(
            facility, profile.name, profile.digest, tuple(epoch.name for epoch in reversed(keys.epochs))
        )

    def encode(self, people: Sequence[tuple[str, Demographics]]) -> list[EncodedRecord]:
        """Encode (local id, demographics) pairs; the records come in their order."""
        columns = self.columns([(row, local_id, person) for row, (local_id, person) in enumerate(people)])
        return [record for _, record in records(columns, self.header)]

    def columns(self, people: Sequence[tuple[int, str, Demographics]]) -> Columns:
        """Encode (row number, local id, demographics) for an encoded file."""
        epochs, width = len(self._epochs), self._profile.bits // 8
        views = [list(field_views(person, self._today)) for _, _, person in people]
        pointers = [self._pointers.seal(local_id) for _, local_id, _ in people]
        local_ids, counts, kinds, values = bytearray(), [], [], bytearray()
        for _, local_id, person in people:
            for tokens, _ in self._epochs:
                local_ids += tokens.local_id(self._facility, local_id).value
                own = {tokens.identifier(i.kind, i.value) for i in person.identifiers if i.kind in self._kinds}
                kept = sorted(own)[:MAX_TOKENS]
                counts.append(len(kept))
                kinds += [KINDS.index(token.kind.value) for token in kept]
                for token in kept:
                    values += token.value
        by_epoch = [channels.encode(views) for _, channels in self._epochs]
        # A record's rows under its epochs stand together: row r under epoch e is row r * epochs + e of the file.
        owners = np.concatenate([each.owners * epochs + at for at, each in enumerate(by_epoch)])
        order = np.argsort(owners, kind="stable")
        names = np.concatenate([each.channels for each in by_epoch])[order]
        return Columns(
            np.repeat(np.array([row for row, _, _ in people], np.int64), epochs),
            np.frombuffer(bytes(local_ids), np.uint8).reshape(-1, TOKEN_BYTES),
            [pointer for pointer in pointers for _ in range(epochs)],
            [view for view in self._views(people, pointers) for _ in range(epochs)],
            _offsets(counts),
            np.array(kinds, np.int8),
            np.frombuffer(bytes(values), np.uint8).reshape(-1, TOKEN_BYTES),
            _offsets(np.bincount(owners, minlength=len(people) * epochs)),
            names.astype(np.int8),
            self._names,
            np.concatenate([each.buckets for each in by_epoch])[order],
            np.concatenate([each.vectors for each in by_epoch])[order].reshape(-1, width),
        )

    def _views(self, people: Sequence[tuple[int, str, Demographics]], pointers: Sequence[bytes]) -> list[bytes]:
        seal = self._sealed_views
        if seal is None:
            return [b""] * len(people)
        return [seal.seal(person, pointer) for (_, _, person), pointer in zip(people, pointers, strict=True)]


def field_views(person: Demographics, today: datetime.date) -> Iterator[FieldView]:
    """Readings of a person: the present name and date first, then other names, then other dates.

    Other names are combined with the first date and other dates with the first name: a person whose name and date
    are both in doubt is not found by doubting both at once.
    """
    names: list[PersonName | None] = list(person.names) or [None]
    dates = _dates(person.birth_date)
    young = person.newborn or _is_young(person.birth_date, today)
    for (place, name), (other, date) in product(enumerate(names), enumerate(dates)):
        if place and other:
            continue
        rest = {field: getattr(person, field) for field in ("sex", "subdistrict", "house", "street", "postcode")}
        present = {field: value for field, value in rest.items() if value}
        fields = {**_name_fields(name), **_date_fields(date), **present}
        default_day = date[1:] == (1, 1)
        single = name is not None and bool(name.given) and not name.family
        yield FieldView(fields, default_day, single, young)


def _offsets(counts: npt.ArrayLike) -> Offsets:
    """Where each row's part begins, from how long the parts are."""
    return np.concatenate([[0], np.cumsum(counts)]).astype(np.int32)


def _dates(date: BirthDate | None) -> list[tuple[int, int, int]]:
    """Dates to encode. A year alone is written as the 43-file standard writes it, as its 1 January."""
    if date is None:
        return [(0, 0, 0)]
    return [(date.year, date.month or 1, date.day if date.month else 1), *date.alternatives]


def _is_young(date: BirthDate | None, today: datetime.date) -> bool:
    return date is not None and today.year - date.year <= YOUNG_YEARS


def _name_fields(name: PersonName | None) -> dict[str, str]:
    fields: dict[str, str] = {}
    if name is None:
        return fields
    for field, part in (("given", name.given), ("family", name.family)):
        folded, consonants = _forms(part)
        if folded:
            fields[field] = folded
            fields[f"{field}_skeleton"] = consonants
    return fields


@functools.lru_cache(maxsize=1 << 16)
def _forms(part: str) -> tuple[str, str]:
    """Folded form and skeleton of one part of a name; kept, because names come again."""
    folded = fold(romanise(part))
    # A name without consonants of its own is its own skeleton.
    return folded, skeleton(folded) or folded


def _date_fields(date: tuple[int, int, int]) -> dict[str, str]:
    year, month, day = date
    fields: dict[str, str] = {}
    if not year:
        return fields
    fields["birth_year"] = f"{year % 100:02d}"
    if month:
        fields["birth_month"] = f"{month:02d}"
        fields["birth_month_of_year"] = f"{year:04d}-{month:02d}"
    if month and day:
        fields["birth_day"] = f"{day:02d}"
        fields["birth_day_of_year"] = f"{month:02d}-{day:02d}"
        fields["birth_date"] = f"{year:04d}-{month:02d}-{day:02d}"
    return fields
