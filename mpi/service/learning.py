"""Learning from decisions: labels for training, and what new rules would do otherwise before they are promoted."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable, Iterator

from mpi.domain.identity import Decision
from mpi.domain.learning import Foresight, Label, Stratum
from mpi.domain.record import EncodedRecord
from mpi.domain.review import DECIDED, HeldTask, TaskStatus
from mpi.errors import InputRejected
from mpi.index.lmdb_index import Index, IndexReader
from mpi.linkage.decision import Decider, Outcome
from mpi.linkage.fellegi_sunter import Score
from mpi.rules import Rules
from mpi.service.matching import Matching
from mpi.store.reading import Reading
from mpi.store.sql import Store

MOST_MEMBERS = 60
"""Records of an identity that are compared; the pairs of more take long and add nothing."""
TASKS_AT_ONCE = 500
RECORDS_AT_ONCE = 200
SEED = 2026

Told = Callable[[int, int], None]
"""Told how many records are done, and of how many."""


def _untold(_done: int, _of: int) -> None:
    pass


def labels(store: Store, index: Index, rules: Rules) -> Iterator[Label]:
    """Give a label for each task that people decided, in the order in which the tasks were opened.

    The pair is the task's record and, of the identity that it was held against, the record whose weight is nearest to
    the one that the steward saw. A task whose records are held no longer gives none.
    """
    for _, label in _decided(store, index, rules):
        yield label


def foresee(
    store: Store, index: Index, rules: Rules, new: Rules, sample: int, told: Told = _untold, seed: int = SEED
) -> Foresight:
    """Say what new rules would do otherwise; nothing is changed.

    A sample of the records is decided about once more by both models, each record as if it arrived now and all others
    were held; what people decided is held against the new model as well.

    Args:
        store: the system of record.
        index: finds candidates as registration does.
        rules: the present rules.
        new: the new ones.
        sample: how many records to look at.
        told: told of the progress.
        seed: the same seed looks at the same records.

    Raises:
        InputRejected: the new rules are of another profile or gateway: records would have to be encoded anew.
    """
    if new.stored_digest != rules.stored_digest or new.profile.digest != rules.profile.digest:
        raise InputRejected("the new rules are of another profile or gateway; records would have to be encoded anew")
    before, after = (Matching(each.profile, each.model) for each in (rules, new))
    strata: Counter[Stratum] = Counter()
    sampled = 0
    with store.reading() as reading:
        numbers, records = range(1, reading.highest_number() + 1), reading.count()[0]
    chosen = random.Random(seed).sample(numbers, min(sample, len(numbers)))  # noqa: S311 (a sample, no secret)
    for start in range(0, len(chosen), RECORDS_AT_ONCE):
        part = chosen[start : start + RECORDS_AT_ONCE]
        # A snapshot for each part: one that is held for minutes would keep the index from using its space again.
        with store.reading() as reading, index.reading() as reader:
            for number, record in reading.content(list(reading.places(part))).items():
                strata[_stratum(reading, reader, number, record, before, after)] += 1
                sampled += 1
        told(start + len(part), len(chosen))
    decided, against, missed = _against_people(store, index, rules, new)
    return Foresight(records, sampled, strata, decided, against, missed)


def _stratum(
    reading: Reading, reader: IndexReader, number: int, record: EncodedRecord, before: Matching, after: Matching
) -> Stratum:
    outcomes = [_outcome(reading, reader, number, record, matching) for matching in (before, after)]
    (old, new), eids = outcomes, [_eids(each) for each in outcomes]
    moved = old.decision is new.decision is Decision.LINK and eids[0].isdisjoint(eids[1])
    return Stratum((old.decision, old.why), (new.decision, new.why), moved)


def _eids(outcome: Outcome) -> set[str]:
    return {outcome.candidate.eid, *outcome.joined} if outcome.candidate else set()


def _outcome(reading: Reading, reader: IndexReader, number: int, record: EncodedRecord, matching: Matching) -> Outcome:
    def between(one: str, other: str) -> float:
        ours, theirs = ([m.number for m in reader.members(eid) if m.number != number] for eid in (one, other))
        contents = reading.content({*ours[:MOST_MEMBERS], *theirs[:MOST_MEMBERS]})
        left, right = ([contents[each] for each in side if each in contents] for side in (ours, theirs))
        return matching.between(left, right)

    return matching.decide(matching.candidates(reader, record.encodings(), leave_out=number), between)


def _against_people(store: Store, index: Index, rules: Rules, new: Rules) -> tuple[int, int, int]:
    """Pairs that people decided about, those that the new rules would link against them, and those they would miss."""
    decider, matching = Decider(new.model), Matching(new.profile, new.model)
    decided = against = missed = 0
    for (one, other), label in _decided(store, index, rules):
        compared = matching.compared(one, other)
        if compared is None:
            continue
        decided += 1
        carries = bool(decider.ground(compared.score)) and not matching.parting([one], [other])
        against += carries and not label.same
        missed += label.same and not carries and not decider.doubt(compared.score)
    return decided, against, missed


def _decided(store: Store, index: Index, rules: Rules) -> Iterator[tuple[tuple[EncodedRecord, EncodedRecord], Label]]:
    matching, after = Matching(rules.profile, rules.model), 0
    while True:
        with store.reading() as reading, index.reading() as reader:
            tasks = reading.tasks(None, after, TASKS_AT_ONCE)
            found = [_pair(reading, reader, matching, held) for held in tasks if held.status in DECIDED]
        for held, pair in zip((each for each in tasks if each.status in DECIDED), found, strict=True):
            if pair is not None:
                one, other, score = pair
                levels = {term.comparison: term.level for term in score.evidence}
                yield (one, other), Label(held.status is TaskStatus.SAME, held.task.kind, levels)
        if len(tasks) < TASKS_AT_ONCE:
            return
        after = tasks[-1].number


def _pair(
    reading: Reading, reader: IndexReader, matching: Matching, held: HeldTask
) -> tuple[EncodedRecord, EncodedRecord, Score] | None:
    """The two records that a task was about, and how they compare."""
    task = held.task
    grouping = reading.grouping([task.rival])
    rivals = [each for each in grouping.members(grouping.resolve(task.rival)) if each != task.record]
    contents = reading.content([task.record, *rivals[:MOST_MEMBERS]])
    if task.weight is None or not reading.places([task.record]) or task.record not in contents:
        return None
    one, seen = contents.pop(task.record), task.weight
    pairs = [(other, compared.score) for other in contents.values() if (compared := matching.compared(one, other))]
    if not pairs:
        return None
    other, score = min(pairs, key=lambda pair: abs(pair[1].weight - seen))
    return one, other, score
