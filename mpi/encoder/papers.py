"""Papers: what a facility's own extracts say of one record, held against each other on the facility's side.

A steward who cannot tell asks the facility whether the numbers, the name and the birth date of a record are as its own
papers have them. The papers of a record are the rows with its local id, in each of the extracts that are given, and
the rows with its national id under another local id. They propose an answer; a person gives it. No value leaves.
"""

from __future__ import annotations

import datetime
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum
from itertools import product
from pathlib import Path

from rapidfuzz import fuzz
from rapidfuzz.distance import OSA

from mpi.domain.identifiers import IdentifierKind
from mpi.domain.review import Answer
from mpi.encoder.demographics import Demographics, RawDemographics, normalize
from mpi.encoder.identifiers import IdentifierRejected, parse_national_id
from mpi.encoder.sources import RejectedRow, SourceRow
from mpi.encoder.thai_names import PersonName

ALIKE, UNLIKE = 85.0, 60.0
"""Likeness of two parts of a name, 0 to 100, from which on they are one name, and beneath which they are two."""
SLIPS = 2
"""Keys that a hand strikes wrong in one number or date: from more on, two are not meant to be one."""
MOST_PAPERS = 20
"""Papers that are kept of one record; who has more rows than these has another trouble."""

Reader = Callable[[Path], Iterator[SourceRow | RejectedRow]]


class Likeness(StrEnum):
    """How two papers compare in a field."""

    SAME = "same"
    """They say the same, but for what the normaliser takes away."""
    NEAR = "near"
    """A slip of the hand, another spelling, or a family name that changed."""
    OTHER = "other"
    """They speak of two persons, or one of them is wrong."""


_NEAREST = tuple(Likeness)


@dataclass(frozen=True, slots=True, repr=False)
class Paper:
    """One row of an extract, normalised.

    Attributes:
        extract: the extract.
        row: its 1-based line or entry there.
        local_id: the facility's own number of the person.
        person: what it says.
    """

    extract: Path
    row: int
    local_id: str
    person: Demographics

    def __repr__(self) -> str:
        return f"Paper({self.row})"


@dataclass(frozen=True, slots=True, repr=False)
class Difference:
    """How a field of the record compares with the one of another paper; the values are for the facility's eyes alone.

    Attributes:
        field: "name", "birth_date" or "national_id".
        likeness: how the two compare.
        here: the record's value, normalised.
        there: the other paper's.
    """

    field: str
    likeness: Likeness
    here: str
    there: str

    def __repr__(self) -> str:
        return f"Difference({self.field}, {self.likeness.value})"


@dataclass(frozen=True, slots=True)
class Proposal:
    """What the papers make of a question.

    Attributes:
        answer: the answer that they propose.
        reason: why, as the reason code that goes with the answer.
        own: the record's row; None where no extract has it.
        others: the other papers, each with how they compare with the record's row.
    """

    answer: Answer
    reason: str
    own: Paper | None = None
    others: tuple[tuple[Paper, tuple[Difference, ...]], ...] = ()


def find_papers(
    extracts: Sequence[Path], read: Reader, local_ids: Collection[str], today: datetime.date
) -> dict[str, list[Paper]]:
    """Find the papers of records, reading every extract twice and holding what is found alone.

    Args:
        extracts: the extracts, the one that was encoded first.
        read: reads one of them.
        local_ids: local ids of the records.
        today: the day that nobody is born after.

    Returns:
        The papers by local id, those with this very local id first; none for records that no extract has.

    Raises:
        ExtractUnreadable: an extract is not what it is said to be.
    """
    found: dict[str, list[Paper]] = {}
    owners: dict[str, set[str]] = {}
    for path, row in _rows(extracts, read):
        local_id = row.raw.local_id
        papers = found.setdefault(local_id, []) if local_id in local_ids else None
        if papers is not None and len(papers) < MOST_PAPERS:
            papers.append(Paper(path, row.row, local_id, normalize(row.raw, today)))
            for number in _numbers(papers[-1].person):
                owners.setdefault(number, set()).add(local_id)
    if owners:
        for path, row in _rows(extracts, read):
            others = owners.get(_national_id(row.raw), set()) - {row.raw.local_id}
            for local_id in sorted(others):
                if len(found[local_id]) < MOST_PAPERS:
                    found[local_id].append(Paper(path, row.row, row.raw.local_id, normalize(row.raw, today)))
    return found


def propose(papers: Sequence[Paper]) -> Proposal:
    """Propose an answer from the papers of one record, the record's own row first.

    They propose "no" where one of them speaks against the row, "yes" where there are others and all say the same, and
    "unsure" otherwise: one paper cannot bear itself out, and what is nearly the same is for a person to judge.
    """
    if not papers:
        return Proposal(Answer.UNSURE, "not_in_extract")
    own, *rest = papers
    others = tuple((paper, tuple(_differences(own.person, paper.person))) for paper in rest)
    seen = [each for _, differences in others for each in differences]
    against = next((each.field for each in seen if each.likeness is Likeness.OTHER), "")
    if against:
        return Proposal(Answer.NO, f"{against}_differs", own, others)
    if not seen:
        return Proposal(Answer.UNSURE, "one_paper_only", own, others)
    near = next((each.field for each in seen if each.likeness is Likeness.NEAR), "")
    if near:
        return Proposal(Answer.UNSURE, f"{near}_nearly_agrees", own, others)
    return Proposal(Answer.YES, "papers_agree", own, others)


def facts(paper: Paper) -> list[tuple[str, str]]:
    """What a paper says of its person, field by field, normalised: for the facility's eyes alone."""
    person = paper.person
    found = [("name", _whole(name)) for name in person.names]
    if person.birth_date:
        found.append(("birth_date", person.birth_date.iso))
    return found + [(each.kind.value, each.value) for each in person.identifiers]


def _rows(extracts: Iterable[Path], read: Reader) -> Iterator[tuple[Path, SourceRow]]:
    for path in extracts:
        for row in read(path):
            if isinstance(row, SourceRow):
                yield path, row


def _national_id(raw: RawDemographics) -> str:
    try:
        return parse_national_id(raw.national_id).value
    except IdentifierRejected:
        return ""


def _numbers(person: Demographics) -> list[str]:
    return [each.value for each in person.identifiers if each.kind is IdentifierKind.NATIONAL_ID]


def _differences(here: Demographics, there: Demographics) -> Iterator[Difference]:
    """Fields that both papers fill."""
    if here.names and there.names:
        # Names that a person bore earlier count as much as the present one: the two nearest tell.
        pairs = [(_name(one, other), one, other) for one, other in product(here.names, there.names)]
        likeness, one, other = min(pairs, key=lambda pair: _NEAREST.index(pair[0]))
        yield Difference("name", likeness, _whole(one), _whole(other))
    if here.birth_date and there.birth_date:
        dates = here.birth_date.iso, there.birth_date.iso
        yield Difference("birth_date", _date(*dates), *dates)
    if (ours := _numbers(here)) and (theirs := _numbers(there)):
        likeness = Likeness.SAME if set(ours) & set(theirs) else _slip(ours[0], theirs[0])
        yield Difference("national_id", likeness, ours[0], theirs[0])


def _name(here: PersonName, there: PersonName) -> Likeness:
    """Compare given and family names; a family name changes by marriage, so it alone never tells two persons."""
    if not (here.given and there.given):
        return Likeness.SAME if here.family == there.family else Likeness.NEAR
    given = fuzz.ratio(here.given, there.given)
    if given < UNLIKE:
        return Likeness.OTHER
    return Likeness.SAME if given >= ALIKE and fuzz.ratio(here.family, there.family) >= ALIKE else Likeness.NEAR


def _date(here: str, there: str) -> Likeness:
    """Compare dates as far as both are known."""
    known = min(len(here), len(there))
    return _slip(here[:known], there[:known])


def _slip(here: str, there: str) -> Likeness:
    if here == there:
        return Likeness.SAME
    return Likeness.NEAR if OSA.distance(here, there) <= SLIPS else Likeness.OTHER


def _whole(name: PersonName) -> str:
    return " ".join(filter(None, (name.given, name.middle, name.family)))
