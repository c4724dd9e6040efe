"""How well Thai names and personal Latin spellings of them meet: ``python benchmarks/romanise.py PAIRS.csv``.

The CSV has one pair a line: a Thai name, a Latin spelling. No such list is kept here, as those in public have no
licence. Where onnxruntime is installed, PyThaiNLP's neural ``thai2rom_onnx`` is measured beside our rules.
"""

from __future__ import annotations

import argparse
import csv
import importlib.util
import json
import os
import random
import time
from collections import Counter
from collections.abc import Callable, Iterable
from pathlib import Path

from mpi.encoder.romanise import fold, romanise, skeleton

_RANDOM_PAIRS = 100_000


def read_pairs(path: Path) -> list[tuple[str, str]]:
    """Read pairs of a Thai name and a Latin spelling; a line without Thai letters is a heading."""
    with path.open(encoding="utf-8-sig", newline="") as lines:
        rows = [(row[0].strip(), row[1].strip().lower()) for row in csv.reader(lines) if len(row) > 1]
    return [(thai, latin) for thai, latin in rows if latin and not thai.isascii()]


def bigrams(text: str) -> frozenset[str]:
    """Bigrams of a text with one blank on each side."""
    padded = f" {text} "
    return frozenset(padded[i : i + 2] for i in range(len(padded) - 1))


def dice(one: frozenset[str], other: frozenset[str]) -> float:
    """Dice coefficient of two sets."""
    return 2 * len(one & other) / (len(one) + len(other))


def bucket(codes: Iterable[str]) -> float:
    """Expected number of names that share the code of a name."""
    counts = Counter(codes).values()
    return sum(count * count for count in counts) / sum(counts)


def measure(engine: Callable[[str], str], pairs: list[tuple[str, str]]) -> dict[str, float]:
    """Measure one engine on all pairs."""
    names = list(dict.fromkeys(thai for thai, _ in pairs))
    engine(names[0])  # load what is loaded on first use
    start = time.perf_counter()
    read = {name: engine(name) for name in names}
    elapsed = time.perf_counter() - start
    thai_folds = {name: fold(latin) for name, latin in read.items()}
    folds = [(thai_folds[thai], fold(latin)) for thai, latin in pairs]
    thai_grams = {name: bigrams(folded) for name, folded in thai_folds.items()}
    grams = [bigrams(latin) for _, latin in folds]
    same = [dice(thai_grams[thai], gram) for (thai, _), gram in zip(pairs, grams, strict=True)]
    spellings: dict[str, set[str]] = {}
    for thai, latin in pairs:
        spellings.setdefault(latin, set()).add(thai)
    draw = random.Random(1)
    other: list[float] = []
    while len(other) < _RANDOM_PAIRS and len(names) > 1:
        index = draw.randrange(len(pairs))
        name = draw.choice(names)
        if name not in spellings[pairs[index][1]]:
            other.append(dice(thai_grams[name], grams[index]))
    return {
        "pairs": len(pairs),
        "fold_exact": sum(thai == latin for thai, latin in folds) / len(pairs),
        "fold_bucket": bucket(thai_folds.values()),
        "skeleton_exact": sum(skeleton(thai) == skeleton(latin) for thai, latin in folds) / len(pairs),
        "skeleton_bucket": bucket(map(skeleton, thai_folds.values())),
        "dice_0.7_tpr": sum(score >= 0.7 for score in same) / len(same),
        "dice_0.7_fpr": sum(score >= 0.7 for score in other) / max(1, len(other)),
        "dice_0.6_tpr": sum(score >= 0.6 for score in same) / len(same),
        "dice_0.6_fpr": sum(score >= 0.6 for score in other) / max(1, len(other)),
        "us_per_name": elapsed / len(names) * 1e6,
    }


def neural() -> Callable[[str], str] | None:
    """Return PyThaiNLP's neural engine, if what it needs is installed."""
    if importlib.util.find_spec("onnxruntime") is None:
        return None
    os.environ["PYTHAINLP_OFFLINE"] = os.environ["PYTHAINLP_READ_ONLY"] = "1"
    from pythainlp.transliterate import romanize

    return lambda name: romanize(name, engine="thai2rom_onnx")


def main() -> None:
    """Print the measures of each engine, and write them on request."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("pairs", type=Path, help="CSV of Thai name, Latin spelling")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the measures there too")
    arguments = parser.parse_args()
    pairs = read_pairs(arguments.pairs)
    if not pairs:
        parser.error("no pairs in the file")
    results = {"rules": measure(romanise, pairs)}
    if (engine := neural()) is not None:
        results["thai2rom_onnx"] = measure(engine, pairs)
    print(f"{'':18}" + "".join(f"{name:>16}" for name in results))
    for key in results["rules"]:
        print(f"{key:18}" + "".join(f"{result[key]:16.4f}" for result in results.values()))
    if arguments.json:
        arguments.json.write_text(json.dumps(results, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
