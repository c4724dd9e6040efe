"""Matching: find the records that share a bucket or a number, weigh them, decide."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Protocol

import numpy as np
import numpy.typing as npt

from mpi.domain.consent import Asking
from mpi.domain.identifiers import IdentifierKind, IdentifierToken
from mpi.domain.identity import Decision, MatchCandidate
from mpi.domain.record import EncodedDemographics, EncodedRecord
from mpi.domain.review import priority_of
from mpi.index.lmdb_index import Index
from mpi.index.members import Member, MemberEncoding
from mpi.index.sealing import Numbers
from mpi.linkage.comparison import Vectors, similarities
from mpi.linkage.decision import Between, Candidate, Decider, Outcome, never
from mpi.linkage.fellegi_sunter import Features, Score, weigh
from mpi.rules import Model, Profile
from mpi.service.disclosure import Disclosure
from mpi.service.gateway import Gateway

Shares = npt.NDArray[np.float64]
"""Hamming similarities, row by row."""
Met = dict[tuple[str, str], list[tuple[Numbers, Shares]]]
"""Records met in shared buckets, with their similarities, by key epoch and channel."""
Nearness = Mapping[tuple[int, str], Mapping[str, float]]
"""Greatest similarity by channel, of a record under a key epoch."""


class Held(Protocol):
    """What matching reads of the records that are held: the index, or the index with a batch on top of it."""

    def bucket(self, channel: str, token: bytes, vector_bytes: int) -> tuple[Numbers, Vectors]:
        """Record numbers and vectors of a bucket, row by row."""

    def eids(self, key: IdentifierToken) -> Sequence[str]:
        """Identities that a number leads to."""

    def eid_of(self, number: int) -> str:
        """Identity that a record belongs to."""

    def members(self, eid: str) -> Sequence[Member]:
        """Members of an identity."""


@dataclass(frozen=True, slots=True)
class Compared:
    """What two records say of each other: the score, and the greatest similarity by channel of a shared bucket."""

    score: Score
    similarity: Mapping[str, float]


class Matching:
    """Weighs demographics against the records that are held."""

    def __init__(self, profile: Profile, model: Model) -> None:
        self._vector_bytes = profile.bits // 8
        self._model = model
        self._decider = Decider(model)
        self._least = model.decision.candidate_similarity
        self._finding = frozenset(model.decision.finding)
        self._identifying = model.decision.identifying
        self._channels = frozenset(channel.name for channel in profile.channels if not channel.confirms)
        self._confirming = frozenset(channel.name for channel in profile.channels if channel.confirms)

    def candidates(self, held: Held, encodings: Sequence[EncodedDemographics], leave_out: int = 0) -> list[Candidate]:
        """Find and weigh every identity worth a look.

        Args:
            held: the records that are held.
            encodings: whom to look for, re-keyed by the gateway, under one key epoch or two, the newest first.
            leave_out: number of a record that is not compared, 0 for none: a record that is being revised.
        """
        similar, everything = self._similar(held, encodings, self._channels)
        eids = {held.eid_of(number) for number in similar if number != leave_out}
        for token in (token for demographics in encodings for token in demographics.tokens):
            if token.kind in self._finding:
                sharing = held.eids(token)
                if len(sharing) <= self._model.decision.most_sharing:
                    eids.update(sharing)
        ours = {each.key_epoch: _features(each) for each in encodings}
        members = {eid: _comparable(held.members(eid), ours, leave_out) for eid in sorted(eids)}
        nearness = _nearness(everything, members.values())
        met = frozenset(similar)
        found = [
            self._candidate(eid, each, ours, nearness, met, self._confirming) for eid, each in members.items() if each
        ]
        doubtful = [place for place, candidate in enumerate(found) if self._unconfirmed(candidate.score)]
        if doubtful and self._confirming:
            _, more = self._similar(held, encodings, self._confirming)
            nearness = _nearness({**everything, **more}, [members[found[place].eid] for place in doubtful])
            for place in doubtful:
                eid = found[place].eid
                found[place] = self._candidate(eid, members[eid], ours, nearness, met, frozenset())
        return found

    def decide(self, candidates: Sequence[Candidate], between: Between = never) -> Outcome:
        """Decide what the candidates mean; `between` tells of two identities what their records say of each other."""
        return self._decider.decide(candidates, between)

    def between(self, ours: Sequence[EncodedRecord], theirs: Sequence[EncodedRecord]) -> float:
        """Sum of the weights between the records of two identities, bits; minus infinity where a number parts them.

        Args:
            ours: records of one identity, re-keyed by the gateway.
            theirs: records of the other one.
        """
        if self.parting(ours, theirs):
            return -math.inf
        return sum(self.weight(one, other) for one in ours for other in theirs)

    def weight(self, one: EncodedRecord, other: EncodedRecord) -> float:
        """Match weight of two records, bits; those that would never have met count as strangers."""
        found = self.compared(one, other)
        if found is None:
            return 0.0  # nothing can be said
        near = any(s >= self._least[name] for name, s in found.similarity.items() if name in self._channels)
        return found.score.weight if near or self._share_number(found.score) else self._model.decision.strangers

    def priority(self, weight: float, records: int) -> int:
        """Value of a person's answer about a pair of this weight, see `mpi.domain.review.priority_of`."""
        return priority_of(self._model.calibration.probability(weight), records)

    def carries(self, score: Score) -> bool:
        """Say whether a pair would carry a link by itself."""
        return bool(self._decider.ground(score))

    def compared(self, ours: EncodedRecord, theirs: EncodedRecord) -> Compared | None:
        """Weigh two records, re-keyed by the gateway, as registration would; None without a key epoch in common."""
        epochs = {each.key_epoch: each for each in ours.encodings()}
        other = next((each for each in theirs.encodings() if each.key_epoch in epochs), None)
        if other is None:
            return None
        one = epochs[other.key_epoch]
        similarity = _similarity(one, other)
        left, right = _features(one), _features(other)
        score = weigh(self._model, left, right, similarity, self._confirming)
        if self._confirming and self._unconfirmed(score):
            score = weigh(self._model, left, right, similarity)
        return Compared(score, similarity)

    def parting(self, ours: Sequence[EncodedRecord], theirs: Sequence[EncodedRecord]) -> str:
        """Name the kind of number, of which a person has only one, that both have and none in common; "" for none."""
        for kind in self._model.decision.veto:
            agreed = [
                not left[epoch].isdisjoint(right[epoch])
                for left, right in [(_numbers_of(ours, kind), _numbers_of(theirs, kind))]
                for epoch in left.keys() & right.keys()
            ]
            if agreed and not any(agreed):
                return kind.value
        return ""

    def _share_number(self, score: Score) -> bool:
        return any(score.agrees(kind) for kind in self._finding)

    def _unconfirmed(self, score: Score) -> bool:
        """Say whether a number is in common and nothing else met: the case for the confirming channels."""
        return any(score.agrees(kind) for kind in self._identifying) and not score.shares_bucket(self._channels)

    def _similar(
        self, held: Held, encodings: Sequence[EncodedDemographics], channels: frozenset[str]
    ) -> tuple[set[int], Met]:
        """Numbers of records that are similar enough on a channel, and all similarities by epoch and channel."""
        similar: set[int] = set()
        everything: Met = {}
        for demographics in encodings:
            for encoding in demographics.channels:
                if encoding.channel not in channels:
                    continue
                numbers, vectors = held.bucket(encoding.channel, encoding.bucket, self._vector_bytes)
                if len(numbers):
                    shares = similarities(encoding.vector, vectors)
                    similar.update(numbers[shares >= self._least[encoding.channel]].tolist())
                    everything.setdefault((demographics.key_epoch, encoding.channel), []).append((numbers, shares))
        return similar, everything

    def _candidate(
        self,
        eid: str,
        members: Sequence[_Compared],
        ours: Mapping[str, Features],
        nearness: Nearness,
        met: frozenset[int],
        leave_out: frozenset[str],
    ) -> Candidate:
        best: Score | None = None
        bits = 0.0
        for member, theirs in members:
            similarity = nearness.get((member.number, theirs.epoch), {})
            score = weigh(self._model, ours[theirs.epoch], theirs.features, similarity, leave_out)
            near = member.number in met or self._share_number(score)
            bits += score.weight if near else self._model.decision.strangers
            if best is None or score.weight > best.weight:
                best = score
        assert best is not None  # noqa: S101 (a candidate has members)
        return Candidate(eid, best, len(members), self._veto(ours, members), bits)

    def _veto(self, ours: Mapping[str, Features], members: Iterable[_Compared]) -> str:
        """Name the kind of number, of which a person has only one, that forbids a link; "" for none."""
        for kind in self._model.decision.veto:
            agreed = [
                not ours[epoch].numbers[kind].isdisjoint(theirs)
                for epoch in ours
                if kind in ours[epoch].numbers and (theirs := _numbers(members, epoch, kind))
            ]
            if agreed and not any(agreed):
                return kind.value
        return ""


_Compared = tuple[Member, MemberEncoding]
"""A member, and what it has under the newest key epoch that we have as well."""


def _comparable(members: Iterable[Member], ours: Mapping[str, Features], leave_out: int) -> list[_Compared]:
    found = []
    for member in members:
        if member.number != leave_out:
            for each in member.encodings:
                if each.epoch in ours:
                    found.append((member, each))
                    break
    return found


def _nearness(met: Met, members: Iterable[Sequence[_Compared]]) -> Nearness:
    """Look up what was met of these members; buckets are large and members few."""
    wanted = np.array([member.number for each in members for member, _ in each], np.int64)
    found: dict[tuple[int, str], dict[str, float]] = {}
    for (epoch, channel), parts in met.items():
        for numbers, shares in parts:
            at = _rows_of(numbers, wanted)
            for number, share in zip(numbers[at].tolist(), shares[at].tolist(), strict=True):
                best = found.setdefault((number, epoch), {})
                best[channel] = max(share, best.get(channel, 0.0))
    return found


def _rows_of(numbers: Numbers, wanted: Numbers) -> Numbers:
    """Rows whose number is one of those wanted."""
    if len(wanted) > _FEW:
        return np.flatnonzero(np.isin(numbers, wanted))
    rows: Numbers = (numbers == wanted[:, np.newaxis]).nonzero()[1]  # comparing with few takes less time than sorting
    return rows


_FEW = 16


def _features(demographics: EncodedDemographics) -> Features:
    return Features.of(demographics.tokens, frozenset(each.channel for each in demographics.channels))


def _similarity(one: EncodedDemographics, other: EncodedDemographics) -> dict[str, float]:
    """Greatest similarity by channel, for the channels with a shared bucket."""
    found: dict[str, float] = {}
    for ours in one.channels:
        for theirs in other.channels:
            if ours.channel == theirs.channel and ours.bucket == theirs.bucket:
                share = float(similarities(ours.vector, np.frombuffer(theirs.vector, np.uint8)[np.newaxis])[0])
                found[ours.channel] = max(share, found.get(ours.channel, 0.0))
    return found


def _numbers_of(records: Sequence[EncodedRecord], kind: IdentifierKind) -> dict[str, set[bytes]]:
    """All numbers of a kind that records have, by key epoch."""
    found: dict[str, set[bytes]] = {}
    for demographics in (each for record in records for each in record.encodings()):
        for token in demographics.tokens:
            if token.kind is kind:
                found.setdefault(demographics.key_epoch, set()).add(token.value)
    return found


def _numbers(members: Iterable[_Compared], epoch: str, kind: IdentifierKind) -> set[bytes]:
    """All numbers of a kind that the members have under an epoch."""
    found: set[bytes] = set()
    for member, _ in members:
        for each in member.encodings:
            if each.epoch == epoch:
                found |= each.features.numbers.get(kind, _NONE)
    return found


_NONE: frozenset[bytes] = frozenset()


class Matcher:
    """The use case behind `Match`: who may these demographics be?"""

    def __init__(
        self, gateway: Gateway, index: Index, matching: Matching, disclosure: Disclosure | None = None
    ) -> None:
        self._gateway = gateway
        self._index = index
        self._matching = matching
        self._disclosure = disclosure

    def match(
        self, demographics: EncodedDemographics, limit: int, asking: Asking | None = None
    ) -> tuple[list[MatchCandidate], Decision]:
        """Weigh demographics without storing anything.

        Args:
            demographics: whom to look for.
            limit: most candidates.
            asking: who asks and why; identities of which that client may learn nothing count as not there.

        Returns:
            The nearest identities, the nearest first, and what registering the same would lead to among those.

        Raises:
            RecordRejected: the gateway does not admit the demographics.
        """
        admitted = self._gateway.demographics(demographics)
        with self._index.reading() as reader:
            candidates = self._matching.candidates(reader, [admitted])
            disclosure = self._disclosure
            if disclosure is not None and asking is not None:
                candidates = [
                    replace(each, eid=disclosure.known_as(reader, each.eid, asking))
                    for each in candidates
                    if disclosure.shows(reader, each.eid, asking)
                ]
        ranked = sorted(candidates, key=lambda c: (-c.score.weight, c.eid))[:limit]
        decision = self._matching.decide(candidates).decision
        return [MatchCandidate(c.eid, c.score.weight, c.score.evidence, c.veto) for c in ranked], decision
