"""Registering one by one and linking all at once: how far the two are from each other."""

from __future__ import annotations

import json
import random
from pathlib import Path

import pytest

from mpi.batch.evaluation import Truth, evaluate
from mpi.batch.linker import link_pairs, population
from mpi.batch.population import generate
from mpi.cli.link import graph_of
from mpi.domain.record import EncodedRecord
from mpi.encoder.encoded_file import read_encoded
from mpi.encoder.job import EncodeJob, run_job
from mpi.encoder.keys import new_key_ring
from mpi.linkage.clustering import cluster
from tests.building import ACTOR, GATEWAY_SECRET, centre, th_v1

PERSONS, FACILITIES = 400, 4
RULES = th_v1()


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> tuple[list[Path], str]:
    """Encoded files of several facilities; all people born within three days, so that buckets are full of strangers."""
    folder = tmp_path_factory.mktemp("drift")
    ring, found = new_key_ring(folder / "keys"), []
    generate(PERSONS, 31, folder / "population", facilities=FACILITIES, days=3)
    for each in json.loads((folder / "population" / "manifest.json").read_text())["facilities"]:
        extract, out = folder / "population" / each["file"], folder / f"{each['code']}.parquet"
        mapping = folder / "population" / each["mapping"] if each.get("mapping") else None
        run_job(EncodeJob(extract, folder / "keys", each["code"], each["format"], out, "th-v1", mapping))
        found.append(out)
    return found, ring.current.name


def at_once(paths: list[Path]) -> dict[str, str]:
    """Group of each record by its pointer, all records linked in one batch."""
    decision = RULES.model.decision
    with population(paths, RULES, secret=GATEWAY_SECRET) as held:
        made = cluster(graph_of(held, link_pairs(held, RULES), RULES.model), decision.most_members, decision.strangers)
        return {pointer.hex(): str(group) for pointer, group in zip(held.pointers, made.groups.tolist(), strict=True)}


def one_by_one(records: list[EncodedRecord], folder: Path, epoch: str) -> dict[str, str]:
    """Group of each record by its pointer, registered in this order."""
    with centre(folder, (epoch,)) as at:
        for first in range(0, len(records), 500):
            at.registry.register(records[first : first + 500], ACTOR)
        return {live.record.pointer.hex(): live.eid for live in at.store.records()}


def test_registering_in_any_order_drifts_little(files: tuple[list[Path], str], tmp_path: Path) -> None:
    """Whatever the order of registration, the identities are nearly those of one batch."""
    paths, epoch = files
    batch = at_once(paths)
    records = [record for path in paths for part in read_encoded(path) for record in part]
    assert len(batch) - len(set(batch.values())) > 300
    truth = Truth(batch, dict.fromkeys(batch, "all"))
    for seed in range(3):
        (folder := tmp_path / str(seed)).mkdir()
        online = one_by_one(random.Random(seed).sample(records, len(records)), folder, epoch)
        made = evaluate(truth, online)
        assert made.adjusted_rand > 0.995
        assert made.overall.links - made.overall.true_links <= 2  # what is linked beyond the batch
