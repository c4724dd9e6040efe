"""Whether a server stays as it is under load: ``python benchmarks/soak.py [--minutes 30]``, at most an hour.

A centre of its own is served with mutual TLS. All the while one client looks persons up one by one, another in batches,
a third over a stream, a facility registers persons who moved and takes some back, and a client watches what changes.
Memory of the server's processes is taken every few seconds: after the first third, when everything that is kept at
hand has been filled, it must not grow, and no call may fail. In minutes it is still filling: only from twenty on does
memory that grows make the exit code 1, as a call that failed always does.
"""

from __future__ import annotations

import argparse
import itertools
import json
import os
import random
import statistics
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from register import family

from mpi.client import PurposeOfUse
from mpi.domain.identifiers import LocalIdToken
from mpi.encoder.keys import load_key_ring
from mpi.errors import MpiError
from mpi.testing import TestCentre, running_centre
from tests.building import encoded, raw

FACILITY = "10661"
PERSONS, BATCH = 4500, 500
"""More persons than the server keeps at hand for those who register them, so that this is full from the beginning."""
LONGEST_MINUTES = 60.0
SAMPLES = 120
FROM_MINUTES, MOST_GROWTH = 20.0, 0.02
"""From how long a soak on memory is judged, and how much more it may be in the last third than in the one before."""
RETRACTED = 20
"""Of so many registrations one is of a record that was taken back just before: few lookups may find nobody."""
TREAT = PurposeOfUse.TREAT
NAMES = ("สมชาย", "มาลี", "วิชัย", "สุดา", "อนันต์", "รัตนา", "ประเสริฐ", "ปิติ")
FAMILIES = ("ใจดี", "ศรีสุข", "แก้วมณี", "พรหมมา", "สายทอง", "ชูใจ", "รักเรียน")


class Soak:
    """Callers of one centre, until they are told to stop."""

    def __init__(self, centre: TestCentre) -> None:
        self.centre = centre
        ring = load_key_ring(centre.keys)
        dice = random.Random(501)
        rows: list[list[Any]] = [[], []]
        for number in range(PERSONS):
            name = f"นาย{dice.choice(NAMES)} {dice.choice(FAMILIES)}"
            birth = f"{dice.randrange(1, 29)}/{dice.randrange(1, 13)}/{dice.randrange(2480, 2560)}"
            for house, each in enumerate(rows):
                each.append(raw(name, str(number), birth_date=birth, sex="1", house=f"{number}/{house}"))
        self.records, self.moved = (encoded(ring, FACILITY, *each) for each in rows)
        self.keys = [LocalIdToken(record.local_id_token) for record in self.records]
        self.calls: Counter[str] = Counter()
        self.errors: Counter[str] = Counter()
        self.over = threading.Event()
        self.threads: list[threading.Thread] = []

    def begin(self) -> None:
        """Fill the centre and begin."""
        with self.centre.client(f"facility-{FACILITY}") as facility:
            batches = ((b"", self.records[at : at + BATCH]) for at in range(0, PERSONS, BATCH))
            for done in facility.register_batches(batches):
                self.calls["filled"] += len(done.outcomes)
        exchange = "exchange-test"
        works: Sequence[tuple[str, str, float, Callable[[Any, int], object]]] = (
            ("locate", exchange, 0.005, lambda client, turn: client.locate(self.keys[turn % PERSONS], TREAT)),
            ("batch", exchange, 0.1, lambda client, turn: client.batch_locate(self._some(turn, 57), TREAT)),
            (
                "stream",
                exchange,
                0.2,
                lambda client, turn: list(client.locate_stream([self._some(turn, 80)] * 2, TREAT)),
            ),
            ("register", f"facility-{FACILITY}", 0.0, self._register),
        )
        for each in works:
            self._start(self._again, *each)
        self._start(self._watch)

    def end(self) -> None:
        """Stop; everything under way comes to its end."""
        self.over.set()
        for thread in self.threads:
            thread.join(60)

    def _start(self, work: Callable[..., None], *arguments: object) -> None:
        thread = threading.Thread(target=work, args=arguments, daemon=True)
        self.threads.append(thread)
        thread.start()

    def _again(self, name: str, who: str, pause: float, work: Callable[[Any, int], object]) -> None:
        # The pauses keep the exchange below the lookups a second that one client may make.
        with self.centre.client(who) as client:
            for turn in itertools.count():
                if self.over.is_set():
                    return
                try:
                    work(client, turn)
                    self.calls[name] += 1
                except MpiError as error:
                    self.errors[f"{name}: {type(error).__name__}"] += 1
                time.sleep(pause)

    def _some(self, turn: int, count: int) -> list[LocalIdToken]:
        begin = turn * count % (PERSONS - count + 1)
        return self.keys[begin : begin + count]

    def _register(self, client: Any, turn: int) -> None:
        record = (self.records if turn // PERSONS % 2 else self.moved)[turn % PERSONS]
        if turn % RETRACTED == 0:
            client.retract(FACILITY, LocalIdToken(record.local_id_token))
        client.register(record)

    def _watch(self) -> None:
        with self.centre.client("exchange-test") as client:
            try:
                for page in client.watch(TREAT):
                    self.calls["events"] += len(page.events)
                    if self.over.is_set():
                        return
            except MpiError as error:
                self.errors[f"watch: {type(error).__name__}"] += 1


def own_memory(pids: Sequence[int]) -> float:
    """Memory that processes have to themselves, MB: files that they map, such as the index, do not count."""
    found = 0
    for pid in pids:
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
        found += int(next(line.split()[1] for line in lines if line.startswith("RssAnon")))
    return found / 1000


def soak(seconds: float) -> dict[str, Any]:
    """Load a centre for so long; gives what was called, what failed, and memory over time in MB."""
    with tempfile.TemporaryDirectory(prefix="mpi-soak-") as folder:
        with running_centre(Path(folder), facilities=[FACILITY]) as centre:
            own = [pid for pid in family(os.getpid()) if pid != os.getpid()]
            held, begun = Soak(centre), time.monotonic()
            held.begin()
            memory = []
            while (gone := time.monotonic() - begun) < seconds:
                memory.append((round(gone, 1), round(own_memory(own), 1)))
                print(f"\r{gone:6.0f} s  {memory[-1][1]:7.1f} MB  {dict(held.calls)}", end="", file=sys.stderr)
                time.sleep(seconds / SAMPLES)
            held.end()
        print(file=sys.stderr)
    settled = memory[len(memory) // 3 :]
    slope = statistics.linear_regression(*zip(*settled, strict=True)).slope * 3600
    thirds = settled[: len(settled) // 2], settled[len(settled) // 2 :]
    before, after = (statistics.median(each for _, each in third) for third in thirds)
    return {
        "seconds": seconds,
        "calls": dict(held.calls),
        "errors": dict(held.errors),
        "memory_mb": memory,
        "settled_mb": [settled[0][1], settled[-1][1]],
        "mb_an_hour": round(slope, 1),
        "growth": round(after / before - 1, 4),
    }


def main() -> None:
    """Load, print and write JSON; exit code 1 when a call failed or memory grew."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=30.0)
    parser.add_argument("--json", type=Path)
    asked = parser.parse_args()
    minutes = min(asked.minutes, LONGEST_MINUTES)
    found = soak(60 * minutes)
    first, last = found["settled_mb"]
    print(f"calls {found['calls']}, errors {found['errors'] or 'none'}")
    print(
        f"memory after the first third {first:.0f} MB, at the end {last:.0f} MB, {found['mb_an_hour']:+.1f} MB an hour"
    )
    if asked.json:
        asked.json.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
    print(f"its median in the last third is {found['growth']:+.1%} of that in the third before")
    sys.exit(bool(found["errors"]) or (minutes >= FROM_MINUTES and found["growth"] > MOST_GROWTH))


if __name__ == "__main__":
    main()
