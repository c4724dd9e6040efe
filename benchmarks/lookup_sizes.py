"""Whether lookups slow down as the index grows: ``python benchmarks/lookup_sizes.py [--identities N ...]``.

Indexes of so many made-up identities, of one record each, are written past the store, which at this rate would be busy
for a day: 18,000 records a second. They hold what a lookup reads, for every person; no record has channels, so that
nobody can be matched with them. Then `mpi serve` runs on each, with mutual TLS, authorisation, consent, limits and the
audit journal on. The first batch finds nothing of the index in memory, and its time says what a cold disk costs. After
all people were looked up once, lookups of them, drawn from the whole index, go to the servers in turns, unary and in
batches. The measure is the processor time that a server spends on one lookup; a ratio is the median of the ratios of
neighbouring runs, of the smallest index by each other one.

``--data DIR`` keeps the indexes for the next run (10 million take 13 GB). ``--small`` takes seconds.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack
from itertools import islice
from pathlib import Path
from typing import Any

from locate import BATCH_LOCATE, interleaved, show, versions, written
from lookup_load import LOCATE, Target, loaded, watching
from lookup_rivals import BATCH
from register import RULES, served

from mpi.cli.progress import progress
from mpi.client import Client
from mpi.config import ServerConfig, load_config
from mpi.domain.identifiers import IdentifierKind, IdentifierToken, LocalIdToken
from mpi.domain.purpose import PurposeOfUse
from mpi.domain.record import EncodedDemographics, EncodedRecord
from mpi.encoder.keys import load_key_ring, new_key_ring
from mpi.errors import RecordRejected
from mpi.index.sealing import eid_text
from mpi.index.tables import FORMAT
from mpi.rules import load_rules, rule_file
from mpi.server.bootstrap import opened
from mpi.server.certs import issue_dev_certificates
from mpi.service.gateway import Gateway
from mpi.service.keys import service_keys
from mpi.v1 import locator_service_pb2 as pb2
from mpi.wire import convert

KEYS = 200_000
"""People who are looked up: so many that an index of 10 million is read all over."""
AT_ONCE = 100_000
"""Identities that are written in one transaction."""
FACILITIES = [f"{10_000 + number}" for number in range(1000)]


def people(count: int, seed: int) -> Iterator[tuple[str, IdentifierToken, LocalIdToken, str, bytes]]:
    """Make people up: enterprise id, number and local id as a facility encodes them, facility, pointer."""
    dice = random.Random(seed)
    for _ in range(count):
        eid, token, local = dice.randbytes(16), dice.randbytes(32), dice.randbytes(32)
        number = IdentifierToken(IdentifierKind.NATIONAL_ID, token)
        yield eid_text(eid), number, LocalIdToken(local), dice.choice(FACILITIES), dice.randbytes(48)


def folder_of(count: int, seed: int, data: Path) -> Path:
    """Folder of a server on an index of so many identities, filled unless an earlier run did."""
    folder = data / f"identities-{count}-{seed}-{FORMAT.decode()}"
    if (folder / "whole").exists():
        return folder
    folder.mkdir(parents=True)
    issue_dev_certificates(folder / "certs", ["10661"], ["cdes"], [])
    new_key_ring(folder / "keys")
    (folder / "mpi.toml").write_text(
        f'listen = "127.0.0.1:0"\nrules = "{RULES}"\nservice_key = "{folder.resolve()}/centre/service.json"\n'
        f'key_epochs = "{folder.resolve()}/keys/epochs.json"\n'
        "[limits]\nlookups = 1e9\nlookups_at_once = 1e9\nmisses = 1e9\nmisses_at_once = 1e9\n"
        '[tls]\ncertificate = "certs/server/cert.pem"\nkey = "certs/server/key.pem"\n'
        'client_authority = "certs/server/ca.pem"\n'
    )
    fill(load_config(folder / "data", folder / "mpi.toml"), count, seed, load_key_ring(folder / "keys").current.name)
    (folder / "whole").touch()
    return folder


def fill(config: ServerConfig, count: int, seed: int, epoch: str) -> None:
    """Write identities into an empty index, re-keyed by the centre's gateway as records that arrive are."""
    keys = service_keys(config.store.service_key, config.store.service_key_command)
    gateway = Gateway(keys.gateway, load_rules(rule_file(RULES)), config.key_epochs)
    made = enumerate(people(count, seed), 1)
    with opened(config.store) as (_, index), progress("identities", count) as told:
        while batch := list(islice(made, AT_ONCE)):
            with index.writing() as writer:
                for number, (eid, token, local, facility, pointer) in batch:
                    demographics = EncodedDemographics(RULES, b"", epoch, tuple(gateway.identifiers(token)), ())
                    (mine,) = gateway.local_id_tokens(local)
                    writer.add(number, eid, EncodedRecord(facility, mine.value, pointer, demographics))
                writer.flush()
            told(len(batch))


def forget(file: Path) -> None:
    """Let the operating system keep nothing of a file in memory."""
    with file.open("rb") as opened_file:
        os.fsync(opened_file.fileno())
        os.posix_fadvise(opened_file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


class Size:
    """A server on an index of so many identities, and what it is asked."""

    def __init__(self, count: int, seed: int, data: Path, requests: Path, stack: ExitStack) -> None:
        folder = folder_of(count, seed, data)
        dice = random.Random(seed)
        wanted = set(dice.sample(range(count), min(KEYS, count)))
        tokens = [token for at, (_, token, *_) in enumerate(people(count, seed)) if at in wanted]
        dice.shuffle(tokens)
        keys, treat = [convert.key_to_proto(each) for each in tokens], convert.purpose_to_proto(PurposeOfUse.TREAT)
        size = min(BATCH, len(keys))
        one = written(
            requests, f"one-{count}", [pb2.LocateRequest(key=k, purpose=treat).SerializeToString() for k in keys]
        )
        batches = [keys[at : at + size] for at in range(0, len(keys) - size + 1, size)]
        many = written(
            requests,
            f"many-{count}",
            [pb2.BatchLocateRequest(keys=each, purpose=treat).SerializeToString() for each in batches],
        )
        index = folder / "data" / "index" / "data.mdb"
        forget(index)
        address, pid = stack.enter_context(served(folder / "data", folder / "mpi.toml"))
        exchange = folder / "certs" / "exchange-cdes"
        stack.enter_context(watching(address, exchange))
        with Client(address=address, certificates=exchange) as client:
            for at in range(0, len(tokens) - size + 1, size):
                begun = time.perf_counter()
                answers = client.batch_locate(tokens[at : at + size], PurposeOfUse.TREAT).answers
                if not at:
                    self.cold_seconds = time.perf_counter() - begun
                if any(isinstance(each, RecordRejected) or len(each) != 1 for each in answers):
                    sys.exit("lookups do not find whom they should")
        print(f"{count:,} identities: the first batch of {size} takes {self.cold_seconds:.2f} s from disk", flush=True)
        self.bytes = index.stat().st_size
        self.unary = Target(f"{count}", address, (pid,), one, LOCATE, exchange)
        self.batch = Target(f"{count}", address, (pid,), many, BATCH_LOCATE, exchange, size, under_way=4)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--identities", type=int, nargs="+", default=[100_000, 10_000_000], help="the smallest first")
    parser.add_argument("--runs", type=int, default=5, help="runs in turns")
    parser.add_argument("--seconds", type=float, default=3.0, help="of each run")
    parser.add_argument("--seed", type=int, default=501)
    parser.add_argument("--data", type=Path, metavar="DIR", help="where the indexes are kept")
    parser.add_argument("--small", action="store_true", help="few identities: seconds instead of minutes")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures")
    asked = parser.parse_args()
    if asked.small:
        asked.identities, asked.runs, asked.seconds = [1000, 3000], 1, 0.3
    if len(asked.identities) < 2:
        sys.exit("--identities: give two sizes or more")
    figures: dict[str, Any] = {"seed": asked.seed, "cores": len(os.sched_getaffinity(0)), "versions": versions()}
    figures["sizes"] = []
    with tempfile.TemporaryDirectory(prefix="mpi-bench-") as scratch, ExitStack() as stack:
        data = asked.data or Path(scratch)
        first, *others = [Size(each, asked.seed, data, Path(scratch), stack) for each in asked.identities]
        for count, other in zip(asked.identities[1:], others, strict=True):
            found: dict[str, Any] = {"identities": count, "against": asked.identities[0], "index_bytes": other.bytes}
            found["seconds_of_first_batch"] = {
                str(asked.identities[0]): first.cold_seconds,
                str(count): other.cold_seconds,
            }
            for name in ("unary", "batch"):
                ours, reference = getattr(other, name), getattr(first, name)
                found[name] = interleaved(
                    lambda ours=ours: loaded(ours, asked.seconds),  # type: ignore[misc]
                    lambda reference=reference: loaded(reference, asked.seconds),  # type: ignore[misc]
                    asked.runs,
                )
                show(f"{name}, {count:,} identities : {asked.identities[0]:,}", found[name])
            figures["sizes"].append(found)
    if asked.json:
        asked.json.write_text(json.dumps(figures, indent=1), encoding="utf-8")


if __name__ == "__main__":
    main()
