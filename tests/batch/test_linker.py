"""Batch linkage: the same weights and decisions as one by one, compiled or not, whatever the order of the records."""

from __future__ import annotations

import random
from collections.abc import Iterator, Mapping
from dataclasses import replace
from itertools import combinations
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from mpi.batch.hamming import close_pairs, distances
from mpi.batch.linker import Pairs, Population, link_pairs, population
from mpi.batch.population import generate
from mpi.domain.identifiers import IdentifierKind
from mpi.domain.record import EncodedDemographics, EncodedRecord
from mpi.encoder.demographics import normalize
from mpi.encoder.encoded_file import encoded_schema, read_header, read_numbered, to_batch, write_encoded
from mpi.encoder.encoder import Encoder
from mpi.encoder.keys import KeyRing, new_key_ring
from mpi.encoder.sources import SourceRow, fhir, person43
from mpi.errors import InputRejected
from mpi.linkage.comparison import similarity
from mpi.linkage.decision import Decider
from mpi.linkage.fellegi_sunter import Features, Score, weigh
from mpi.linkage.scoring import MISSING
from mpi.rules import Rules
from mpi.service.gateway import Gateway
from tests.building import GATEWAY_KEYS, GATEWAY_SECRET, TODAY, encoded, raw, th_v1

PERSONS = 250


def write(path: Path, ring: KeyRing, facility: str, people: list[tuple[int, str, object]]) -> Path:
    encoder = Encoder(th_v1().profile, ring, facility, TODAY)
    schema = encoded_schema(encoder.header, 128)
    write_encoded(path, schema, [pa.Table.from_batches([to_batch(encoder.columns(people), schema)])])
    return path


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Encoded files of a small population in which migrants, twins and errors occur."""
    folder = tmp_path_factory.mktemp("linker")
    ring = new_key_ring(folder / "keys")
    made = generate(PERSONS, 12, folder / "population", facilities=3)
    paths = []
    for facility, extract in made.extracts.items():
        read = person43.read if extract.suffix == ".txt" else fhir.read
        rows = [row for row in read(extract) if isinstance(row, SourceRow)]
        people = [(row.row, row.raw.local_id, normalize(row.raw, TODAY)) for row in rows]
        paths.append(write(folder / f"{facility}.parquet", ring, facility, people))
    return paths


@pytest.fixture(scope="module")
def records(files: list[Path], rules: Rules) -> list[EncodedRecord]:
    """The records as the index holds them."""
    gateway = Gateway(GATEWAY_KEYS, rules, read_header(files[0]).key_epochs)
    return [gateway.record(record) for path in files for batch in read_numbered(path) for _, record in batch]


@pytest.fixture(scope="module")
def rules() -> Rules:
    return th_v1()


@pytest.fixture(scope="module")
def linked(files: list[Path], rules: Rules) -> Iterator[tuple[Population, Pairs]]:
    with population(files, rules, secret=GATEWAY_SECRET) as held:
        yield held, link_pairs(held, rules)


class OneByOne:
    """Compares two records as the index does: from their encodings, level by level, term by term."""

    def __init__(self, rules: Rules) -> None:
        self.rules = rules
        self.confirming = frozenset(channel.name for channel in rules.profile.channels if channel.confirms)
        self.others = frozenset(rules.profile.channel_names()) - self.confirming

    def score(self, one: EncodedDemographics, other: EncodedDemographics) -> Score | None:
        """The score of a pair that meets somewhere; None for strangers."""
        met = self.met(one, other)
        least = self.rules.model.decision.candidate_similarity
        near = any(share >= least[channel] for channel, share in met.items() if channel in self.others)
        finding = self.rules.model.decision.finding
        shared = {token for token in one.tokens if token.kind in finding} & set(other.tokens)
        if not near and not shared:
            return None
        sides = [Features.of(each.tokens, frozenset(e.channel for e in each.channels)) for each in (one, other)]
        score = weigh(self.rules.model, *sides, met, self.confirming)
        identifying = self.rules.model.decision.identifying
        if any(score.agrees(kind) for kind in identifying) and not score.shares_bucket(self.others):
            score = weigh(self.rules.model, *sides, met)
        return score

    def met(self, one: EncodedDemographics, other: EncodedDemographics) -> Mapping[str, float]:
        best: dict[str, float] = {}
        for ours in one.channels:
            for theirs in other.channels:
                if (ours.channel, ours.bucket) == (theirs.channel, theirs.bucket):
                    share = similarity(ours.vector, theirs.vector)
                    best[ours.channel] = max(share, best.get(ours.channel, 0.0))
        return best


def test_every_pair_is_weighed_as_one_by_one(linked, records, rules):
    """Of all pairs of records those that meet are found, with the same levels and the same weight to the last bit."""
    held, pairs = linked
    assert len(held) == len(records)
    single, decider = OneByOne(rules), Decider(rules.model)
    comparisons = list(rules.model.comparisons.values())
    found = {(left, right): place for place, (left, right) in enumerate(zip(pairs.left, pairs.right, strict=True))}
    seen = 0
    for left, right in combinations(range(len(records)), 2):
        score = single.score(records[left].demographics, records[right].demographics)
        place = found.get((left, right))
        assert (place is None) == (score is None), (left, right)
        if score is None or place is None:
            continue
        seen += 1
        levels = {
            comparison.on: comparison.levels[level].name
            for comparison, level in zip(comparisons, pairs.evidence[place], strict=True)
            if level != MISSING
        }
        assert levels == {term.comparison: term.level for term in score.evidence}
        assert pairs.weight[place] == score.weight
        assert pairs.demographics[place] == score.demographics
        ground = {"number_and_demographics": (True,), "anchor": (False, True), "": (False, False)}[
            decider.ground(score)
        ]
        assert (bool(pairs.by_number[place]), bool(pairs.by_anchor[place]))[: len(ground)] == ground
        assert bool(pairs.doubtful[place]) == bool(decider.doubt(score))
    assert seen == len(pairs) > PERSONS / 2


def test_compiled_loops_find_the_same(linked, rules, files):
    """With and without compiled loops the pairs are the same."""
    pytest.importorskip("numba", reason="the extra `fast` is not installed")
    with population(files, rules, secret=GATEWAY_SECRET) as held:
        plain = link_pairs(held, rules, fast=False)
        compiled = link_pairs(held, rules, fast=True)
    for one, other in ((plain, compiled), (linked[1], compiled)):
        assert (one.left == other.left).all()
        assert (one.right == other.right).all()
        assert (one.evidence == other.evidence).all()


@pytest.mark.parametrize("fast", [False, True])
def test_all_pairs_inside_buckets(fast):
    """All pairs of a bucket are compared, none across buckets, whatever the sizes of the buckets."""
    if fast:
        pytest.importorskip("numba", reason="the extra `fast` is not installed")
    dice = np.random.default_rng(5)
    sizes = [1, 2, 1, 40, 3, 1, 700, 2]
    words = dice.integers(0, 1 << 63, (sum(sizes), 4), dtype=np.uint64)
    words[100:140] = words[100]  # some that are near
    ends = np.repeat(np.cumsum(sizes), sizes).astype(np.int64)
    found = {
        (int(left), int(right)): int(apart)
        for chunk in close_pairs(words, ends, 100, fast)
        for left, right, apart in zip(*chunk, strict=True)
    }
    expected = {}
    for left in range(len(words)):
        for right in range(left + 1, int(ends[left])):
            apart = sum(int(one ^ other).bit_count() for one, other in zip(words[left], words[right], strict=True))
            if apart <= 100:
                expected[left, right] = apart
    assert found == expected
    assert len(expected) >= 40 * 39 / 2
    left, right = np.array(sorted(expected)).T
    assert distances(words, left, right, fast).tolist() == [expected[pair] for pair in sorted(expected)]
    assert list(close_pairs(words[:0], ends[:0], 100, fast)) == []


def test_files_of_other_keys_or_profiles_are_refused(tmp_path, rules):
    """What cannot be compared is not compared: the error says which and why."""
    rings = [new_key_ring(tmp_path / name) for name in ("a", "b")]
    person = normalize(raw("สมชาย ใจดี", birth_date="15/03/2525", sex="1"), TODAY)
    paths = [write(tmp_path / f"{n}.parquet", ring, "10661", [(2, "1", person)]) for n, ring in enumerate(rings)]
    with pytest.raises(InputRejected, match="different keys"), population(paths, rules):
        pass
    latin = replace(rules, profile=replace(rules.profile, digest=bytes(32)))
    with pytest.raises(InputRejected, match="profile"), population(paths[:1], latin):
        pass


def test_nothing_and_nobody(tmp_path, rules):
    """Files without records, and records without company, give no pairs."""
    ring = new_key_ring(tmp_path / "keys")
    person = normalize(raw("สมชาย ใจดี", birth_date="15/03/2525", sex="1"), TODAY)
    for name, people in (("none", []), ("one", [(2, "1", person)])):
        path = write(tmp_path / f"{name}.parquet", ring, "10661", people)
        with population([path], rules) as held:
            assert len(held) == len(people)
            assert len(link_pairs(held, rules)) == 0


def test_the_order_of_files_changes_nothing(files, linked, rules):
    """The same records in another order give the same pairs with the same weights."""
    shuffled = files[:]
    random.Random(3).shuffle(shuffled)

    def named(held: Population, pairs: Pairs) -> set[tuple[frozenset[bytes], float]]:
        return {
            (frozenset((held.pointers[left], held.pointers[right])), weight)
            for left, right, weight in zip(
                pairs.left.tolist(), pairs.right.tolist(), pairs.weight.tolist(), strict=True
            )
        }

    with population(shuffled, rules, secret=GATEWAY_SECRET) as held:
        assert named(held, link_pairs(held, rules)) == named(*linked)


def test_the_fixture_has_what_it_takes(linked):
    """The pairs of these tests reach every kind of evidence that the rules weigh."""
    _, pairs = linked
    assert pairs.by_number.any()
    assert pairs.by_anchor.any()
    assert IdentifierKind.NATIONAL_ID in linked[0].numbers
    assert (pairs.evidence == MISSING).any()


def test_one_record_of_two_readings_is_no_pair(tmp_path, rules):
    """A record that comes twice into one bucket does not meet itself."""
    ring = new_key_ring(tmp_path / "keys")
    (record,) = encoded(ring, "10661", raw("สมชาย ใจดี (สมชัย)", birth_date="15/02/2480", sex="1"))
    assert len(record.demographics.channels) > 5
    person = normalize(raw("สมชาย ใจดี (สมชัย)", birth_date="15/02/2480", sex="1"), TODAY)
    path = write(tmp_path / "one.parquet", ring, "10661", [(2, "1", person)])
    with population([path], rules) as held:
        assert len(link_pairs(held, rules)) == 0
