"""What telling of changes costs: ``python benchmarks/watch.py [--persons N]``.

A synthetic population of two facilities is encoded and registered in batches of 500, in this process; then the changes
are told to one exchange and to several, as `WatchIdentities` tells them: a process reads the log once, and weighs for
each client what it may learn. Processor time a change, the median of interleaved runs, beside that of registering. At
last `mpi serve` runs in a process of its own, with and without feeds that have nothing to tell. ``--small`` takes
seconds.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from quality import encoded
from register import BATCH, RULES, processor_seconds, served, versions

from mpi.at_rest import AtRest
from mpi.batch.population import generate
from mpi.client import Client
from mpi.domain.consent import Asking
from mpi.domain.purpose import PurposeOfUse
from mpi.domain.record import EncodedRecord
from mpi.domain.watching import Wanted
from mpi.encoder.encoded_file import read_encoded
from mpi.encoder.keys import load_key_ring, new_key_ring
from mpi.index.lmdb_index import Index
from mpi.rules import load_rules, rule_file
from mpi.server.certs import issue_dev_certificates
from mpi.service.cursors import Cursors
from mpi.service.disclosure import Disclosure
from mpi.service.gateway import Gateway
from mpi.service.keys import open_service_keys
from mpi.service.matching import Matching
from mpi.service.policy import load_policy
from mpi.service.pseudonyms import Pseudonyms
from mpi.service.registration import Registry
from mpi.service.watching import Tail, Watching
from mpi.store.sql import open_sqlite

TREAT = PurposeOfUse.TREAT
MANY = 8
IDLE_SECONDS = 20.0
SMALL = 150


def spent(work: Callable[[], object]) -> float:
    """Processor seconds of this process that some work takes."""
    begun = time.process_time()
    work()
    return time.process_time() - begun


def told(watching: Watching, clients: int) -> int:
    """Tell several clients of everything, side by side as they would follow; gives how many events each was told."""
    asking = [Asking(f"urn:mpi:exchange:e{number}", "", TREAT) for number in range(clients)]
    at, events = 0, 0
    while True:
        pages = [watching.page(each, Wanted(), at, outside=True) for each in asking]
        if pages[0].revision == at:
            return events
        at = pages[0].revision
        events += len(pages[0].events)


def in_process(folder: Path, records: list[EncodedRecord], keys: Path, repeats: int) -> dict[str, Any]:
    """Register, and tell."""
    rules, secrets = load_rules(rule_file(RULES)), open_service_keys(folder / "service.json")
    at_rest, policy, digest = AtRest(lambda: secrets.at_rest), load_policy(), rules.model.digest
    store = open_sqlite(folder / "store.db", at_rest, rules.stored_digest)
    index = Index(folder / "index", at_rest)
    gateway = Gateway(secrets.gateway, rules, (load_key_ring(keys).current.name,))
    registry = Registry(gateway, store, index, Matching(rules.profile, rules.model), digest)
    disclosure = Disclosure(gateway, index, store, policy, digest)
    outward, cursors = Pseudonyms(secrets.pseudonyms, index).outward, Cursors(secrets.pseudonyms)

    def register() -> None:
        for start in range(0, len(records), BATCH):
            registry.register(records[start : start + BATCH], "urn:mpi:facility:10661")

    def watching() -> Watching:
        return Watching(index, store, disclosure, cursors, outward, Tail(store))

    registering = spent(register)
    changes = store.head()
    events = told(watching(), 1)
    runs: dict[int, list[float]] = {1: [], MANY: []}
    for _ in range(repeats):
        for clients, found in runs.items():
            found.append(spent(lambda clients=clients: told(watching(), clients)) / changes)  # type: ignore[misc]
    one, many = (statistics.median(found) for found in runs.values())
    client = (many - one) / (MANY - 1)
    index.close()
    store.close()
    return {
        "records": len(records),
        "changes": changes,
        "events": events,
        "registering_us": registering / len(records) * 1e6,
        "one_client_us": one * 1e6,
        "many_clients_us": many * 1e6,
        "client_us": client * 1e6,
        "log_us": (one - client) * 1e6,
    }


def idle(folder: Path, keys: Path, seconds: float) -> dict[str, float]:
    """Share of a processor that a server takes with nothing to do, and what each feed adds."""
    issue_dev_certificates(folder / "certs", [], ["cdes"], [])
    config = folder / "mpi.toml"
    config.write_text(
        f'listen = "127.0.0.1:0"\nrules = "{RULES}"\nservice_key = "{folder}/centre/service.json"\n'
        f'key_epochs = "{keys.resolve()}/epochs.json"\n[tls]\ncertificate = "certs/server/cert.pem"\n'
        'key = "certs/server/key.pem"\nclient_authority = "certs/server/ca.pem"\n'
    )

    def share(pid: int) -> float:
        before = processor_seconds(pid)
        time.sleep(seconds)
        return (processor_seconds(pid) - before) / seconds

    with (
        served(folder / "data", config) as (address, pid),
        Client(address=address, certificates=folder / "certs" / "exchange-cdes") as client,
        ExitStack() as stack,
    ):
        without = share(pid)
        for feed in [client.watch(TREAT) for _ in range(MANY)]:
            stack.callback(feed.close)
            next(feed)
        watched = share(pid)
    return {"without": without, "watched": watched, "feed": (watched - without) / MANY}


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--persons", type=int, default=3000, help="people in the population")
    parser.add_argument("--repeats", type=int, default=5, help="interleaved runs")
    parser.add_argument("--seed", type=int, default=701)
    parser.add_argument("--small", action="store_true", help="few records: seconds")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures")
    asked = parser.parse_args()
    seconds = IDLE_SECONDS
    if asked.small:
        asked.persons, asked.repeats, seconds = min(asked.persons, SMALL), min(asked.repeats, 3), 1.0
    figures: dict[str, Any] = {"seed": asked.seed, "cores": len(os.sched_getaffinity(0)), "versions": versions()}
    print(f"seed {asked.seed}, {figures['cores']} cores, load {os.getloadavg()[0]:.1f} at the beginning")
    with tempfile.TemporaryDirectory(prefix="mpi-bench-") as name:
        folder = Path(name)
        keys, out = folder / "keys", folder / "encoded"
        generate(asked.persons, asked.seed, folder / "population", 2)
        new_key_ring(keys)
        out.mkdir()
        files = encoded(folder / "population", keys, out, RULES)
        records = [record for path in files for batch in read_encoded(path) for record in batch]
        told_of = figures["telling"] = in_process(folder, records, keys, asked.repeats)
        figures["idle"] = idle(folder, keys, seconds)
    if told_of["events"] < told_of["records"]:
        sys.exit(f"{told_of['records']} records were registered, and {told_of['events']} events told")
    print(f"{told_of['records']:,} records, {told_of['changes']:,} changes, {told_of['events']:,} events a client")
    print(f"registering a record            {told_of['registering_us']:8,.0f} us of a processor")
    print(f"reading a change, for all       {told_of['log_us']:8,.0f} us")
    print(f"telling a change, for a client  {told_of['client_us']:8,.0f} us")
    print(f"a feed with nothing to tell     {100 * figures['idle']['feed']:8.2f} % of a processor")
    if asked.json:
        asked.json.write_text(json.dumps(figures, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
