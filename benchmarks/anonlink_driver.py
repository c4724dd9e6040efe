"""Times anonlink in an environment of its own: two equal sets of packed vectors, every one against every other.

Usage: PYTHON anonlink_driver.py VECTORS BITS LEAST     (a file of packed vectors, the first half against the second)
Prints JSON: comparisons, pairs of at least that Dice coefficient, seconds of comparing alone, the version.
"""

import json
import sys
import time
from importlib.metadata import version

from anonlink.similarities import dice_coefficient_accelerated
from bitarray import bitarray


def main(path: str, bits: int, least: float) -> None:
    """Time it."""
    with open(path, "rb") as file:
        packed = file.read()
    vectors = []
    for at in range(0, len(packed), bits // 8):
        vector = bitarray(endian="big")
        vector.frombytes(packed[at : at + bits // 8])
        vectors.append(vector)
    half = len(vectors) // 2
    begun = time.perf_counter()
    similarities, _ = dice_coefficient_accelerated((vectors[:half], vectors[half:]), least)
    seconds = time.perf_counter() - begun
    figures = {"comparisons": half * (len(vectors) - half), "found": len(similarities), "seconds": seconds}
    json.dump(figures | {"version": version("anonlink")}, sys.stdout)


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), float(sys.argv[3]))
