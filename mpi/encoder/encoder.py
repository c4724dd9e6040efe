"""The encoder: demographics in, encoded records out."""

from __future__ import annotations

import datetime
from collections.abc import Iterator, Sequence
from itertools import product

from mpi.domain.record import MAX_TOKENS, EncodedDemographics, EncodedRecord
from mpi.encoder.channels import ChannelEncoder, FieldView
from mpi.encoder.dates import BirthDate
from mpi.encoder.demographics import Demographics
from mpi.encoder.keys import KeyRing
from mpi.encoder.romanise import fold, romanise, skeleton
from mpi.encoder.thai_names import PersonName
from mpi.encoder.tokens import PointerBox, Tokeniser
from mpi.rules import Profile

YOUNG_YEARS = 2
"""Children younger than this are compared with unnamed newborns."""


class Encoder:
    """Encodes the records of one facility under the current epoch of its key ring."""

    def __init__(self, profile: Profile, keys: KeyRing, facility: str, today: datetime.date) -> None:
        self._profile = profile
        self._epoch = keys.current.name
        self._facility = facility
        self._today = today
        self._tokens = Tokeniser(keys.current)
        self._channels = ChannelEncoder(profile, keys.current)
        self._pointers = PointerBox(keys.pointer_secret, facility)
        self._kinds = frozenset(profile.tokens)

    def encode(self, people: Sequence[tuple[str, Demographics]]) -> list[EncodedRecord]:
        """Encode (local id, demographics) pairs; the records come in their order."""
        channels = self._channels.encode([list(field_views(person, self._today)) for _, person in people])
        records = []
        for (local_id, person), encodings in zip(people, channels, strict=True):
            tokens = {self._tokens.identifier(i.kind, i.value) for i in person.identifiers if i.kind in self._kinds}
            records.append(
                EncodedRecord(
                    self._facility,
                    self._tokens.local_id(self._facility, local_id).value,
                    self._pointers.seal(local_id),
                    EncodedDemographics(
                        self._profile.name,
                        self._profile.digest,
                        self._epoch,
                        tuple(sorted(tokens))[:MAX_TOKENS],
                        encodings,
                    ),
                )
            )
        return records


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
        rest = {"sex": person.sex, "subdistrict": person.subdistrict, "house": person.house}
        present = {field: value for field, value in rest.items() if value}
        fields = {**_name_fields(name), **_date_fields(date), **present}
        default_day = date[1:] == (1, 1)
        single = name is not None and bool(name.given) and not name.family
        yield FieldView(fields, default_day, single, young)


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
        folded = fold(romanise(part))
        if folded:
            fields[field] = folded
            # A name without consonants of its own is its own skeleton.
            fields[f"{field}_skeleton"] = skeleton(folded) or folded
    return fields


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
