"""The order of records means nothing: shuffled files give the same groups."""

from __future__ import annotations

from itertools import combinations
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from mpi.batch.evaluation import Truth, evaluate
from mpi.batch.linker import link_pairs, population
from mpi.batch.population import generate
from mpi.cli.link import graph_of
from mpi.encoder.demographics import normalize
from mpi.encoder.encoded_file import encoded_schema, to_batch, write_encoded
from mpi.encoder.encoder import Encoder
from mpi.encoder.keys import new_key_ring
from mpi.encoder.sources import SourceRow, fhir, person43
from mpi.linkage.clustering import cluster
from tests.building import TODAY, th_v1

PERSONS = 600
RULES = th_v1()


@pytest.fixture(scope="module")
def tables(tmp_path_factory: pytest.TempPathFactory) -> list[pa.Table]:
    """Encoded rows of two facilities; all people born within three days, so that buckets are full of strangers."""
    folder = tmp_path_factory.mktemp("shuffling")
    ring, found = new_key_ring(folder / "keys"), []
    for facility, extract in generate(PERSONS, 31, folder / "population", days=3).extracts.items():
        encoder = Encoder(RULES.profile, ring, facility, TODAY)
        read = person43.read if extract.suffix == ".txt" else fhir.read
        rows = [row for row in read(extract) if isinstance(row, SourceRow)]
        people = [(row.row, row.raw.local_id, normalize(row.raw, TODAY)) for row in rows]
        schema = encoded_schema(encoder.header, RULES.profile.bits // 8)
        found.append(pa.Table.from_batches([to_batch(encoder.columns(people), schema)]))
    return found


def groups(tables: list[pa.Table], folder: Path) -> dict[str, str]:
    """Group of each record, by its pointer."""
    paths = [folder / f"{place}.parquet" for place in range(len(tables))]
    for path, table in zip(paths, tables, strict=True):
        write_encoded(path, table.schema, [table])
    decision = RULES.model.decision
    with population(paths, RULES) as held:
        pairs = link_pairs(held, RULES)
        made = cluster(graph_of(held, pairs, RULES.model), decision.most_members, decision.strangers)
        return {pointer.hex(): str(group) for pointer, group in zip(held.pointers, made.groups.tolist(), strict=True)}


def test_shuffled_records_are_grouped_alike(tables: list[pa.Table], tmp_path: Path) -> None:
    """Whatever the order of the records in their files and of the files, the groups are the same."""
    first = groups(tables, tmp_path)
    assert len(first) - len(set(first.values())) > 50
    truth = Truth(first, dict.fromkeys(first, "all"))
    dice = np.random.default_rng(7)
    for _ in range(4):
        shuffled = [table.take(dice.permutation(table.num_rows)).combine_chunks() for table in tables]
        again = groups([shuffled[place] for place in dice.permutation(len(shuffled))], tmp_path)
        made = evaluate(truth, again)
        assert made.adjusted_rand == pytest.approx(1.0)
        assert made.groups.exact == made.groups.people == made.groups.groups


def plain_adjusted_rand(one: dict[str, str], other: dict[str, str]) -> float:
    """Adjusted Rand index by looking at each pair (Hubert and Arabie 1985)."""
    both = neither = first = second = 0
    for a, b in combinations(one, 2):
        same, linked = one[a] == one[b], other[a] == other[b]
        both += same and linked
        neither += not same and not linked
        first += same and not linked
        second += linked and not same
    top = 2 * (both * neither - first * second)
    return top / ((both + first) * (first + neither) + (both + second) * (second + neither))


@pytest.mark.parametrize("seed", range(4))
def test_the_adjusted_rand_index_is_that_of_a_plain_count(seed: int) -> None:
    """On random groupings, alike or not at all, the index is what looking at each pair gives."""
    dice = np.random.default_rng(seed)
    one = {f"r{number}": str(dice.integers(9)) for number in range(60)}
    other = {record: group if dice.random() < seed / 4 else str(dice.integers(9)) for record, group in one.items()}
    made = evaluate(Truth(one, dict.fromkeys(one, "all")), other).adjusted_rand
    assert made == pytest.approx(plain_adjusted_rand(one, other))
