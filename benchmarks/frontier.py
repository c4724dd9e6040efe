"""What privacy costs: ``python -m benchmarks.frontier --quality Q.json --filters F.json [--run NAME] --plot FILE.png``.

Draws, for the shipped profile, a plain CLK and field-level filters, the share of people that the strongest attack on
the vectors of one bucket names (`benchmarks/results/privacy.json`, of ``benchmarks/privacy.py``) against the F1 of
linking one population (``benchmarks/quality.py`` and `benchmarks.filters`, of the same size and seed). The profile is
taken to be as weak as the weakest of its channels, though that one's buckets may never hold so many. Bars are 95 %
intervals: Wilson's for the share, for the profile's F1 from the ends of its precision and recall.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

PRIVACY = Path(__file__).parent / "results" / "privacy.json"
PROFILE, CLK, FIELDS = "th-v1", "CLK", "fields"
VECTORS = "vectors of a bucket"
SIZE, KNOWN = 300, 20
"""People in the attacked bucket, and how many of them the attacker knows."""
ATTACKS = ("frequency", "weight", "graph", "mean field", "pattern")
"""Attacks that somebody could make; the others in the file are given the answer, to find out what is possible."""


@dataclass(frozen=True)
class Point:
    """One encoding: how well it links, and how many people its strongest attack names; each with an interval."""

    encoding: str
    f1: float
    f1_interval: tuple[float, float]
    named: float
    named_interval: tuple[float, float]
    attack: str
    chance: float


def strongest(figures: Iterable[Mapping[str, Any]], encodings: Iterable[str]) -> Mapping[str, Any]:
    """The attack that names most, on any of these encodings; ValueError when none was attacked so."""
    wanted = set(encodings)
    fit = [
        each
        for each in figures
        if each["view"] == VECTORS and each["encoding"] in wanted and each["attack"] in ATTACKS
        and (each["size"], each["known"], each["overlap"]) == (SIZE, KNOWN, 1.0)
    ]  # fmt: skip
    return max(fit, key=lambda each: each["rate"])


def points(privacy: Mapping[str, Any], quality: Mapping[str, Any], filters: Mapping[str, Any], run: str) -> list[Point]:
    """The three encodings on one run.

    Args:
        privacy: what ``benchmarks/privacy.py`` wrote.
        quality: what ``benchmarks/quality.py`` wrote.
        filters: what `benchmarks.filters` wrote, of as many people.
        run: name of a run that both have.

    Raises:
        KeyError: one of them has no such run.
        ValueError: the populations differ, or an encoding was not attacked.
    """
    if quality["persons"] != filters["persons"]:
        raise ValueError("the two files are of populations of different sizes")
    automatic = quality["runs"][run]["automatic"]
    ends = zip(automatic["precision_interval"], automatic["recall_interval"], strict=True)
    low, high = (_harmonic(*both) for both in ends)
    channels = {each["encoding"] for each in privacy["figures"] if each["encoding"].startswith(f"{PROFILE} ")}
    linked = {PROFILE: (automatic["f1"], (low, high), channels)}
    for name in (CLK, FIELDS):  # the best of all thresholds: no interval is claimed
        f1 = filters["runs"][run][name]["f1"]
        linked[name] = (f1, (f1, f1), {name})
    made = []
    for name, (f1, interval, encodings) in linked.items():
        worst = strongest(privacy["figures"], encodings)
        attack = f"{worst['attack']} on {worst['encoding']}"
        made.append(Point(name, f1, interval, worst["rate"], (worst["low"], worst["high"]), attack, worst["chance"]))
    return made


def _harmonic(precision: float, recall: float) -> float:
    return 2 * precision * recall / (precision + recall) if precision + recall else 0.0


def draw(made: Iterable[Point], run: str, path: Path) -> None:
    """Draw the points: to the right links better, down is safer."""
    try:
        import matplotlib as mpl
    except ImportError:
        sys.exit("plots need matplotlib: pip install '.[bench]'")
    mpl.use("Agg")
    from matplotlib import pyplot as plt

    figure, axes = plt.subplots(figsize=(6.4, 4.6))
    for each in made:
        across = [[each.f1 - each.f1_interval[0]], [each.f1_interval[1] - each.f1]]
        up = [[each.named - each.named_interval[0]], [each.named_interval[1] - each.named]]
        axes.errorbar([each.f1], [each.named], yerr=up, xerr=across, fmt="o", capsize=3)
        axes.annotate(
            f"{each.encoding}\n{each.attack}", (each.f1, each.named), fontsize=8, xytext=(8, -26),
            textcoords="offset points",
        )  # fmt: skip
    axes.axhline(each.chance, color="k", linestyle="--", linewidth=1, label="chance")
    axes.set(
        xlabel=f"F1 of linking ({run})", ylabel="share named by the strongest attack", yscale="log", ylim=(1e-3, 2)
    )
    axes.set_title(f"buckets of {SIZE}, {KNOWN} persons known, register in clear", fontsize=9)
    axes.margins(x=0.35)
    axes.grid(alpha=0.3)
    axes.legend(fontsize=8, loc="center left")
    figure.tight_layout()
    figure.savefig(path, dpi=130, metadata={"Software": None})


def main() -> None:
    """Read, print and draw."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--privacy", type=Path, default=PRIVACY, metavar="FILE")
    parser.add_argument("--quality", type=Path, required=True, metavar="FILE")
    parser.add_argument("--filters", type=Path, required=True, metavar="FILE")
    parser.add_argument("--run", default="dense, seed 501")
    parser.add_argument("--plot", type=Path, metavar="FILE.png")
    asked = parser.parse_args()
    read = [json.loads(path.read_text(encoding="utf-8")) for path in (asked.privacy, asked.quality, asked.filters)]
    try:
        made = points(*read, asked.run)
    except (KeyError, ValueError) as error:
        sys.exit(f"the files do not fit together: {error}")
    for each in made:
        (worse, better), (low, high) = each.f1_interval, each.named_interval
        print(f"{each.encoding:<8} F1 {each.f1:.4f} [{worse:.4f}, {better:.4f}]", end="")
        print(f"  named {each.named:.4f} [{low:.4f}, {high:.4f}] by {each.attack} (chance {each.chance:.4f})")
    if asked.plot:
        draw(made, asked.run, asked.plot)


if __name__ == "__main__":
    main()
