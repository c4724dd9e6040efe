"""What the audit journal costs a lookup: ``python benchmarks/audit.py [--seconds S] [--rounds N] [--json FILE]``.

Serves a small index over gRPC (plain text, this machine) in a process of its own, in three ways: without a journal,
with one in memory (what making and chaining entries costs) and with one on disk (what waiting for the disk adds).
Callers of another process look people up by number, 1, 16 and 64 at a time. The three ways take turns; medians over
the rounds. The disk's own time for one small write is printed beside them.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import grpc
import uvloop

from mpi.audit.journal import Journal
from mpi.audit.keys import open_journal_keys
from mpi.config import ServerConfig, StoreConfig
from mpi.domain.accounting import Access
from mpi.domain.identifiers import IdentifierKind, IdentifierToken
from mpi.domain.record import ChannelEncoding, EncodedDemographics, EncodedRecord
from mpi.encoder.keys import load_key_ring, new_key_ring
from mpi.encoder.tokens import Tokeniser
from mpi.rules import load_rules, rule_file
from mpi.server.app import run
from mpi.server.bootstrap import application
from mpi.v1 import locator_service_pb2 as locator_pb2
from mpi.wire import convert

WAYS = ("none", "memory", "disk")
CALLERS = (1, 16, 64)
PEOPLE = 2000
MEMORY = Path("/dev/shm")
METHOD = "/mpi.v1.LocatorService/Locate"
WRITES = 200


class NoJournal:
    """Takes entries and forgets them."""

    def check(self) -> None:
        """Always well."""

    async def write(self, access: Access) -> None:
        """Forget."""

    def note(self, access: Access) -> None:
        """Forget."""


def number_of(person: int) -> str:
    """A valid national id for each person."""
    digits = f"1{person:011}"
    total = sum((13 - place) * int(digit) for place, digit in enumerate(digits))
    return digits + str((11 - total % 11) % 10)


def tokens(ring: Path) -> list[IdentifierToken]:
    """Tokens of everybody's number, as an exchange makes them."""
    tokeniser = Tokeniser(load_key_ring(ring).current)
    return [tokeniser.identifier(IdentifierKind.NATIONAL_ID, number_of(person)) for person in range(PEOPLE)]


def records(ring: Path) -> Iterator[EncodedRecord]:
    """One record for each person: a number, and a channel without a twin."""
    profile, epoch = load_rules(rule_file("th-v1")).profile, load_key_ring(ring).current.name
    for person, token in enumerate(tokens(ring)):
        mark = person.to_bytes(32, "big")
        channel = ChannelEncoding("A", mark, bytes(profile.bits // 8))
        demographics = EncodedDemographics(profile.name, profile.digest, epoch, (token,), (channel,))
        yield EncodedRecord("10661", mark, b"pointer", demographics)


def run_server(folder: Path, way: str) -> None:
    """Serve until the process is told to stop."""
    ring = folder / "keys"
    epochs = tuple(epoch.name for epoch in load_key_ring(ring).epochs)
    store = StoreConfig(folder / "data", folder / "secret" / "service.json", "th-v1")
    with application(ServerConfig(store, "", epochs, None)) as centre:
        if not centre.locator.revision():
            held = list(records(ring))
            for start in range(0, PEOPLE, 500):
                centre.registry.register(held[start : start + 500], "urn:mpi:facility:10661", "benchmark")
        served, other = centre, None
        if way == "none":
            served = replace(centre, journal=NoJournal())
        elif way == "memory":
            place = Path(tempfile.mkdtemp(dir=MEMORY))
            other = Journal.open(place / "audit", place / "heads", open_journal_keys(place / "audit.json"))
            served = replace(centre, journal=other)

        def ready(address: str) -> None:
            print(address, flush=True)

        try:
            run(served, "127.0.0.1:0", None, ready)
        finally:
            if other is not None:
                other.close()


@contextmanager
def server(folder: Path, way: str) -> Iterator[str]:
    """A server in a process of its own; gives its address."""
    command = [sys.executable, __file__, "--serve", way, "--folder", str(folder)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as process:
        assert process.stdout is not None
        try:
            yield process.stdout.readline().strip()
        finally:
            process.terminate()


async def rate(address: str, requests: list[bytes], callers: int, seconds: float) -> float:
    """Lookups a second of so many callers at a time."""
    done = 0
    async with grpc.aio.insecure_channel(address) as channel:
        locate = channel.unary_unary(METHOD)
        await locate(requests[0])
        end = time.perf_counter() + seconds

        async def caller(number: int) -> None:
            nonlocal done
            while time.perf_counter() < end:
                await locate(requests[(number * 37 + done) % len(requests)])
                done += 1

        begun = time.perf_counter()
        await asyncio.gather(*map(caller, range(callers)))
        return done / (time.perf_counter() - begun)


def disk_milliseconds(folder: Path) -> float:
    """What one small write takes until it is on disk: the median."""
    taken = []
    with (folder / "probe").open("wb", buffering=0) as file:
        for _ in range(WRITES):
            begun = time.perf_counter()
            file.write(bytes(500))
            os.fdatasync(file.fileno())
            taken.append(time.perf_counter() - begun)
    return statistics.median(taken) * 1000


def measure(seconds: float, rounds: int) -> dict[str, object]:
    """All ways with all numbers of callers, in turns."""
    found: dict[str, dict[int, list[float]]] = {way: {callers: [] for callers in CALLERS} for way in WAYS}
    disk = []
    with tempfile.TemporaryDirectory(dir=os.environ.get("TMPDIR")) as made:
        folder = Path(made)
        new_key_ring(folder / "keys")
        purpose = locator_pb2.PURPOSE_OF_USE_TREAT
        requests = [
            locator_pb2.LocateRequest(key=convert.key_to_proto(token), purpose=purpose).SerializeToString()
            for token in tokens(folder / "keys")
        ]
        for _ in range(rounds):
            disk.append(disk_milliseconds(folder))
            for way in WAYS:
                with server(folder, way) as address:
                    for callers in CALLERS:
                        found[way][callers].append(uvloop.run(rate(address, requests, callers, seconds)))
    rates = {way: {str(callers): statistics.median(each) for callers, each in by.items()} for way, by in found.items()}
    return {"lookups_per_second": rates, "disk_milliseconds": statistics.median(disk), "rounds": rounds}


def main() -> None:
    """Measure, print a table and write JSON where that was asked for."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=float, default=4.0)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--json", type=Path)
    parser.add_argument("--serve", choices=WAYS, help=argparse.SUPPRESS)
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.serve:
        run_server(given.folder, given.serve)
        return
    figures = measure(given.seconds, given.rounds)
    rates = figures["lookups_per_second"]
    print(f"one small write to this disk: {figures['disk_milliseconds']:.2f} ms")
    print("callers   " + "".join(f"{way:>12}" for way in WAYS) + "   disk : none")
    for callers in map(str, CALLERS):
        row = [rates[way][callers] for way in WAYS]
        print(f"{callers:>7}   " + "".join(f"{each:>10,.0f}/s" for each in row) + f"   {row[2] / row[0]:>8.2f}")
    if given.json:
        given.json.write_text(json.dumps(figures, indent=1) + "\n")


if __name__ == "__main__":
    main()
