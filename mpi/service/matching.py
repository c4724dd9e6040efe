"""Matching: find the records that share a bucket or a number, weigh them, decide."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Protocol

import numpy as np
import numpy.typing as npt

from mpi.domain.identifiers import IdentifierToken
from mpi.domain.identity import Decision, MatchCandidate
from mpi.domain.record import EncodedDemographics
from mpi.index.lmdb_index import Index, Member
from mpi.index.sealing import Numbers
from mpi.linkage.comparison import Vectors, similarities
from mpi.linkage.decision import Candidate, Decider, Outcome
from mpi.linkage.fellegi_sunter import Features, Score, weigh
from mpi.rules import Model, Profile
from mpi.service.gateway import Gateway

Shares = npt.NDArray[np.float64]
"""Hamming similarities, row by row."""


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

    def candidates(self, held: Held, demographics: EncodedDemographics, leave_out: int = 0) -> list[Candidate]:
        """Find and weigh every identity worth a look.

        Args:
            held: the records that are held.
            demographics: whom to look for, re-keyed by the gateway.
            leave_out: number of a record that is not compared, 0 for none: a record that is being revised.
        """
        similar, everything = self._similar(held, demographics, self._channels)
        eids = {held.eid_of(number) for number in similar if number != leave_out}
        for token in demographics.tokens:
            if token.kind in self._finding:
                sharing = held.eids(token)
                if len(sharing) <= self._model.decision.most_sharing:
                    eids.update(sharing)
        ours = Features.of(demographics.tokens, frozenset(e.channel for e in demographics.channels))
        found = []
        for eid in sorted(eids):
            members = [member for member in held.members(eid) if member.number != leave_out]
            if members:
                found.append(self._candidate(eid, members, ours, everything, self._confirming))
        doubtful = [place for place, candidate in enumerate(found) if self._unconfirmed(candidate.score)]
        if doubtful and self._confirming:
            _, more = self._similar(held, demographics, self._confirming)
            for place in doubtful:
                eid = found[place].eid
                members = [member for member in held.members(eid) if member.number != leave_out]
                found[place] = self._candidate(eid, members, ours, {**everything, **more}, frozenset())
        return found

    def decide(self, candidates: Sequence[Candidate]) -> Outcome:
        """Decide what the candidates mean."""
        return self._decider.decide(candidates)

    def _unconfirmed(self, score: Score) -> bool:
        """Say whether a number is in common and nothing else met: the case for the confirming channels."""
        return any(score.agrees(kind) for kind in self._identifying) and not score.shares_bucket(self._channels)

    def _similar(
        self, held: Held, demographics: EncodedDemographics, channels: frozenset[str]
    ) -> tuple[set[int], dict[str, list[tuple[Numbers, Shares]]]]:
        """Numbers of records that are similar enough on a channel, and all similarities by channel."""
        similar: set[int] = set()
        everything: dict[str, list[tuple[Numbers, Shares]]] = {}
        for encoding in demographics.channels:
            if encoding.channel not in channels:
                continue
            numbers, vectors = held.bucket(encoding.channel, encoding.bucket, self._vector_bytes)
            if len(numbers):
                shares = similarities(encoding.vector, vectors)
                similar.update(numbers[shares >= self._least[encoding.channel]].tolist())
                everything.setdefault(encoding.channel, []).append((numbers, shares))
        return similar, everything

    def _candidate(
        self,
        eid: str,
        members: Sequence[Member],
        ours: Features,
        everything: dict[str, list[tuple[Numbers, Shares]]],
        leave_out: frozenset[str],
    ) -> Candidate:
        best: Score | None = None
        for member in members:
            similarity = {}
            for channel, parts in everything.items():
                shares = [share[numbers == member.number] for numbers, share in parts]
                reached = [float(share.max()) for share in shares if len(share)]
                if reached:
                    similarity[channel] = max(reached)
            score = weigh(self._model, ours, Features.of(member.tokens, member.channels), similarity, leave_out)
            if best is None or score.weight > best.weight:
                best = score
        assert best is not None  # noqa: S101 (a candidate has members)
        return Candidate(eid, best, len(members), self._veto(ours, members))

    def _veto(self, ours: Features, members: Iterable[Member]) -> str:
        """Name the kind of number, of which a person has only one, that forbids a link; "" for none."""
        for kind in self._model.decision.veto:
            theirs = {token.value for member in members for token in member.tokens if token.kind is kind}
            if theirs and kind in ours.numbers and theirs.isdisjoint(ours.numbers[kind]):
                return kind.value
        return ""


class Matcher:
    """The use case behind `Match`: who may these demographics be?"""

    def __init__(self, gateway: Gateway, index: Index, matching: Matching) -> None:
        self._gateway = gateway
        self._index = index
        self._matching = matching

    def match(self, demographics: EncodedDemographics, limit: int) -> tuple[list[MatchCandidate], Decision]:
        """Weigh demographics without storing anything.

        Returns:
            The nearest identities, the nearest first, and what registering the same would lead to.

        Raises:
            RecordRejected: the gateway does not admit the demographics.
        """
        admitted = self._gateway.demographics(demographics)
        with self._index.reading() as reader:
            candidates = self._matching.candidates(reader, admitted)
        ranked = sorted(candidates, key=lambda c: (-c.score.weight, c.eid))[:limit]
        decision = self._matching.decide(candidates).decision
        return [MatchCandidate(c.eid, c.score.weight, c.score.evidence, c.veto) for c in ranked], decision
