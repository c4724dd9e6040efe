"""Times clkhash in an environment of its own: rows of fields on standard input, one CLK a row.

Usage: PYTHON clkhash_driver.py BITS_PER_TOKEN < rows.csv     (columns as the benchmark writes them)
Prints JSON: rows, seconds of hashing alone on one core, and the version.
"""

import csv
import json
import sys
import time
from importlib.metadata import version

from clkhash import bloomfilter, key_derivation, schema

BITS = 1024


def text(name: str, n: int, positional: bool, bits: int) -> dict:
    """Feature of a linkage schema: n-grams of a text, hashed as clkhash does by default."""
    compare = {"type": "ngram", "n": n, "positional": positional}
    hashing = {"comparison": compare, "strategy": {"bitsPerToken": bits}, "hash": {"type": "blakeHash"}}
    return {"identifier": name, "format": {"type": "string", "encoding": "utf-8"}, "hashing": hashing}


def main(bits_per_token: int) -> None:
    """Time it."""
    rows = list(csv.reader(sys.stdin))
    names = rows.pop(0)
    features = [
        text(name, 2 if name in ("given", "family") else 1, name == "birth_date", bits_per_token) for name in names
    ]
    layout = schema.from_json_dict(
        {
            "version": 3,
            "clkConfig": {
                "l": BITS,
                "kdf": {"type": "HKDF", "hash": "SHA256", "info": "", "salt": "", "keySize": 64},
            },
            "features": features,
        }
    )
    keys = key_derivation.generate_key_lists(b"a secret of this benchmark", len(features))
    begun = time.perf_counter()
    made = sum(1 for _ in bloomfilter.stream_bloom_filters(rows, keys, layout))
    seconds = time.perf_counter() - begun
    json.dump({"rows": made, "seconds": seconds, "version": version("clkhash")}, sys.stdout)


if __name__ == "__main__":
    main(int(sys.argv[1]))
