"""`mpi link`: link whole encoded files without an index."""

from __future__ import annotations

import csv
import json
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import typer

from mpi.batch.linker import Pairs, Population, link_pairs, population
from mpi.cli.progress import progress
from mpi.domain.identifiers import new_eid
from mpi.encoder.encoded_file import read_header, whole_file
from mpi.encoder.keys import load_key_ring
from mpi.encoder.tokens import PointerBox
from mpi.errors import InputRejected
from mpi.linkage.clustering import Clustering, Graph, cluster
from mpi.linkage.rekeying import NO_SECRET
from mpi.linkage.scoring import MISSING
from mpi.rules import Model, load_rules, rule_file
from mpi.service.keys import gateway_key, read_service_keys


def run(
    files: Sequence[Path],
    rules: str,
    out: Path,
    keys: Sequence[Path],
    pairs_out: Path | None,
    service_key: Path | None,
    *,
    as_json: bool,
) -> None:
    """Link files and write who belongs together.

    Args:
        files: encoded files of one profile and key epoch.
        rules: rule file, or the name of one that is shipped.
        out: clusters.csv with record_id and eid. A record's id is its facility and local id where one of the key
            rings opens its pointer, else its facility and pointer.
        keys: key rings whose pointers are opened.
        pairs_out: Parquet file for every pair that was weighed, with its evidence.
        service_key: the centre's key file, with which weights are those of its index to the last bit.
        as_json: print figures for a script.

    Raises:
        InputRejected: a file or the rule file is unusable, or an output cannot be written.
    """
    loaded = load_rules(rule_file(rules))
    rings = [secret for folder in keys for secret in load_key_ring(folder).pointer_secrets]
    secret = NO_SECRET if service_key is None else _gateway_secret(service_key, files)
    begun = time.monotonic()
    with progress("linking", None, quiet=as_json) as shown, population(files, loaded, shown.step, secret) as held:
        pairs = link_pairs(held, loaded, shown.step)
        clustering = cluster(
            graph_of(held, pairs, loaded.model), loaded.model.decision.most_members, loaded.model.decision.strangers
        )
        names = _record_ids(held, rings)
    try:
        _write_clusters(out, names, clustering)
        if pairs_out is not None:
            _write_pairs(pairs_out, names, pairs, clustering, loaded.model)
    except OSError as error:
        raise InputRejected(f"{out}: cannot be written ({error.strerror})") from None
    figures = {
        "records": len(held),
        "identities": len(np.unique(clustering.groups)),
        "pairs_weighed": len(pairs),
        "pairs_that_link": int((pairs.by_number | pairs.by_anchor).sum()),
        "refused": dict(Counter(clustering.why)),
        "possible_links": int((clustering.groups[pairs.left] != clustering.groups[pairs.right])[pairs.doubtful].sum()),
        "seconds": round(time.monotonic() - begun, 2),
    }
    if as_json:
        typer.echo(json.dumps(figures))
        return
    typer.echo(f"{out}: {figures['records']} records, {figures['identities']} identities, {figures['seconds']} s")
    typer.echo(f"  {figures['pairs_that_link']} of {figures['pairs_weighed']} weighed pairs carry a link")
    for why, count in Counter(clustering.why).most_common():
        typer.echo(f"  {count} of them were refused: {_WHY[why]}")
    typer.echo(f"  {figures['possible_links']} possible links for a person to look at")


def _gateway_secret(service_key: Path, files: Sequence[Path]) -> bytes:
    """What the centre re-keys records with that were encoded under the newest epoch of these files."""
    keys = read_service_keys(service_key).gateway
    return gateway_key(keys, read_header(files[0]).key_epochs[0]).secret if files else NO_SECRET


_WHY = {
    "number": "the groups hold different national ids",
    "members": "the group would have grown too large",
    "evidence": "the other records of the groups speak against it",
}


def graph_of(held: Population, pairs: Pairs, model: Model) -> Graph:
    """What clustering needs of weighed pairs."""
    only_one = {
        kind.value: (held.numbers[kind].records, held.numbers[kind].values)
        for kind in model.decision.veto
        if kind in held.numbers
    }
    rank = np.empty(len(held), np.int64)
    rank[np.array(sorted(range(len(held)), key=held.pointers.__getitem__), np.int64)] = np.arange(len(held))
    return Graph(len(held), pairs.left, pairs.right, pairs.weight, pairs.by_number | pairs.by_anchor, only_one, rank)


def _record_ids(held: Population, rings: Sequence[bytes]) -> list[str]:
    boxes = [[PointerBox(secret, facility) for secret in rings] for facility in held.facilities]
    return [
        f"{held.facilities[facility]}/{_local_id(boxes[facility], pointer)}"
        for facility, pointer in zip(held.facility.tolist(), held.pointers, strict=True)
    ]


def _local_id(boxes: Sequence[PointerBox], pointer: bytes) -> str:
    for box in boxes:
        try:
            return box.open(pointer)
        except InputRejected:
            continue
    return pointer.hex()


def _write_clusters(out: Path, names: Sequence[str], clustering: Clustering) -> None:
    eids: dict[int, str] = {}
    with whole_file(out) as partial, partial.open("w", encoding="utf-8", newline="") as file:
        rows = csv.writer(file)
        rows.writerow(("record_id", "eid"))
        for name, group in zip(names, clustering.groups.tolist(), strict=True):
            rows.writerow((name, eids.setdefault(group, eids.get(group) or new_eid())))


def _write_pairs(out: Path, names: Sequence[str], pairs: Pairs, clustering: Clustering, model: Model) -> None:
    levels = {}
    for column, comparison in enumerate(model.comparisons.values()):
        words = pa.array([level.name for level in comparison.levels])
        places = pairs.evidence[:, column]
        levels[comparison.on] = pa.DictionaryArray.from_arrays(pa.array(places, mask=places == MISSING), words)
    ids = pa.array(names)
    table = pa.table(
        {
            "left": ids.take(pa.array(pairs.left)),
            "right": ids.take(pa.array(pairs.right)),
            "weight": pairs.weight,
            "demographics": pairs.demographics,
            "linked": clustering.groups[pairs.left] == clustering.groups[pairs.right],
            "possible": pairs.doubtful,
            **levels,
        }
    )
    with whole_file(out) as partial:
        pq.write_table(table, partial)
