"""What crowds make of latin-v1: ``python -m benchmarks.crowds``, some minutes.

How many strangers share a bucket, by channel, in a million people as FEBRL's are; and what the attacks of
`benchmarks.attacks` on the vectors of one bucket make of so many. The attacked are Thai people, whose address has no
street and no postcode, so channels of these cannot be attacked here.
"""

from __future__ import annotations

import tempfile
from pathlib import Path

import numpy as np

from benchmarks.attacks import bucket
from benchmarks.attacks.encodings import of_channel
from benchmarks.attacks.score import wilson
from benchmarks.febrl import facility_of, write
from benchmarks.quality import encoded
from mpi.batch.linker import population
from mpi.encoder.keys import new_key_ring
from mpi.rules import Rules, load_rules, rule_file

MILLION = 1e6
CROWDS = ((10, 3), (30, 10), (100, 20))
"""People in the bucket, and how many of them are known."""
PEOPLE = 200
"""People in all buckets of one kind together."""
CHANNELS = "ABM"
ORIGINALS = facility_of("rec-0-org")
ATTACKS = ("frequency", "weight", "graph", "mean field", "pattern")


def strangers(rules: Rules) -> dict[str, float]:
    """How many others somebody shares a bucket with, by channel, among a million people: the originals of set 4."""
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        write(folder, 4)
        new_key_ring(folder / "keys")
        originals = [each for each in encoded(folder, folder / "keys", folder, "latin-v1") if each.stem == ORIGINALS]
        with population(originals, rules) as held:
            sizes = {name: np.bincount(rows.values) for name, rows in held.channels.items()}
            return {name: float((each * (each - 1)).sum() / len(held) ** 2 * MILLION) for name, each in sizes.items()}


def main() -> None:
    """Count and attack, and print."""
    rules = load_rules(rule_file("latin-v1"))
    print("strangers in the same bucket, of a million:")
    print("  " + "  ".join(f"{name} {count:.1f}" for name, count in strangers(rules).items()))
    print("records named by each attack, register in clear:")
    for channel in CHANNELS:
        for size, known in CROWDS:
            told = []
            for attack in ATTACKS:
                runs = [
                    outcome
                    for seed in range(PEOPLE // size)
                    for outcome in bucket.run(of_channel(rules, channel), size, known, 1.0, seed, [attack])
                ]
                right, of = (sum(getattr(each, what) for each in runs) for what in ("right", "attacked"))
                low, high = wilson(right, of)
                told.append(f"{attack} {right / of:.3f} [{low:.3f}, {high:.3f}]")
            print(f"  {channel}, {size} people, {known} known (chance {1 / (size - known):.3f}): " + "  ".join(told))


if __name__ == "__main__":
    main()
