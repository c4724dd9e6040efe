"""Learning from decisions: labels for training, and what new rules would do otherwise before they are promoted."""

from __future__ import annotations

import math
import random
import threading
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path

from mpi.domain.identity import Decision
from mpi.domain.learning import Foresight, Label, Preview, Stratum, Thresholds
from mpi.domain.record import EncodedRecord
from mpi.domain.review import DECIDED, HeldTask, TaskStatus
from mpi.errors import InputRejected, RateLimited, RuleFileInvalid
from mpi.index.lmdb_index import Index
from mpi.index.reader import IndexReader
from mpi.linkage.decision import Decider, Outcome
from mpi.linkage.fellegi_sunter import Score
from mpi.rules import Rules, parse_rules
from mpi.service.matching import Matching
from mpi.store.reading import Reading
from mpi.store.sql import Store

MOST_MEMBERS = 60
"""Records of an identity that are compared; the pairs of more take long and add nothing."""
TASKS_AT_ONCE = 500
RECORDS_AT_ONCE = 200
MOST_DECIDED = 2000
"""Tasks decided last that a preview holds other rules against."""
WAIT_SECONDS = 10.0
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


class Learning:
    """The use case behind `PreviewRules`. One preview runs at a time: it compares as much as many registrations."""

    def __init__(self, store: Store, index: Index, rules: Rules) -> None:
        self._store = store
        self._index = index
        self._rules = rules
        self._busy = threading.Lock()

    def preview(self, candidate: Thresholds | str | None, sample: int) -> Preview:
        """Say what other thresholds, or the rules of a file's text, would do with a sample of the records.

        Raises:
            InputRejected: they are no usable rules, or of another profile or gateway.
            RateLimited: another preview runs.
        """
        present = self._rules.model
        decision = present.decision
        now = Thresholds(decision.link, decision.review, decision.margin)
        if candidate is None:
            return Preview(now, present.digest, Foresight(0, 0, {}, 0, 0, 0))
        new = self._other(candidate)
        if not self._busy.acquire(blocking=False):
            raise RateLimited("another preview runs", WAIT_SECONDS)
        try:
            seen = foresee(self._store, self._index, self._rules, new, sample, most_decided=MOST_DECIDED)
        finally:
            self._busy.release()
        return Preview(now, present.digest, seen)

    def _other(self, candidate: Thresholds | str) -> Rules:
        if isinstance(candidate, str):
            try:
                return parse_rules(candidate, Path("rule_file"))
            except RuleFileInvalid as error:
                raise InputRejected(error.message) from None
        if not all(map(math.isfinite, (candidate.link, candidate.review, candidate.margin))):
            raise InputRejected("thresholds: are finite numbers")
        if candidate.review > candidate.link:
            raise InputRejected("thresholds: review is not above link")
        model = self._rules.model
        decision = replace(model.decision, link=candidate.link, review=candidate.review, margin=candidate.margin)
        return replace(self._rules, model=replace(model, decision=decision))


def foresee(
    store: Store,
    index: Index,
    rules: Rules,
    new: Rules,
    sample: int,
    told: Told = _untold,
    seed: int = SEED,
    most_decided: int | None = None,
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
        most_decided: look at so many of the tasks that were decided last; None for all that were ever decided.

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
    decided, against, missed = _against_people(store, index, rules, new, most_decided)
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


def _against_people(store: Store, index: Index, rules: Rules, new: Rules, most: int | None) -> tuple[int, int, int]:
    """Pairs that people decided about, those that the new rules would link against them, and those they would miss."""
    decider, matching = Decider(new.model), Matching(new.profile, new.model)
    decided = against = missed = 0
    for (one, other), label in _decided(store, index, rules, most):
        compared = matching.compared(one, other)
        if compared is None:
            continue
        decided += 1
        carries = bool(decider.ground(compared.score)) and not matching.parting([one], [other])
        against += carries and not label.same
        missed += label.same and not carries and not decider.doubt(compared.score)
    return decided, against, missed


def _decided(
    store: Store, index: Index, rules: Rules, most: int | None = None
) -> Iterator[tuple[tuple[EncodedRecord, EncodedRecord], Label]]:
    matching = Matching(rules.profile, rules.model)
    for tasks in _tasks(store) if most is None else _newest(store, most):
        held_tasks = [held for held in tasks if held.status in DECIDED]
        with store.reading() as reading, index.reading() as reader:
            found = [_pair(reading, reader, matching, held) for held in held_tasks]
        for held, pair in zip(held_tasks, found, strict=True):
            if pair is not None:
                one, other, score = pair
                levels = {term.comparison: term.level for term in score.evidence}
                yield (one, other), Label(held.status is TaskStatus.SAME, held.task.kind, levels)


def _tasks(store: Store) -> Iterator[Sequence[HeldTask]]:
    after, tasks = 0, list[HeldTask]()
    while not after or len(tasks) == TASKS_AT_ONCE:
        with store.reading() as reading:
            tasks = reading.tasks(None, after, TASKS_AT_ONCE)
        yield tasks
        after = tasks[-1].number if tasks else 1


def _newest(store: Store, most: int) -> Iterator[Sequence[HeldTask]]:
    with store.reading() as reading:
        tasks = reading.decided_tasks(most)
    for start in range(0, len(tasks), TASKS_AT_ONCE):
        yield tasks[start : start + TASKS_AT_ONCE]


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
