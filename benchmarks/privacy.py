"""How much a thief could re-identify: ``python benchmarks/privacy.py [--small] [--json FILE] [--plot FILE]``.

The thief holds the register in clear, or a facility's key as well, and attacks what the index keeps: vectors of one
bucket, with nobody or some persons known; the files of a centre that the service itself wrote; and, for comparison,
what the running matcher sees.
The table gives the share of attacked records that were matched to the right person, beside the share that a blind guess
gives. The attacks must win where they are known to win, against encodings that nobody should use, or the run fails.

``--small`` takes a minute, the whole run about an hour of one core; set ``OMP_NUM_THREADS=1`` to leave the others free.
``--quality FILE`` (JSON, an F1 by encoding) adds to the plot what privacy costs in linkage. Plots need matplotlib.
"""

from __future__ import annotations

import argparse
import json
import platform
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field, fields
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np
from attacks import files, frequency, graph, nation, rekeyed, structure
from attacks.assignment import greedy
from attacks.bucket import ATTACKS, KEY_ATTACKS, LARGE, MARGINS, run
from attacks.encodings import Encoding, as_sent, draws, exact, filters, of_channel, spins, with_gateway, with_hashes
from attacks.people import NOISE, TWICE, scene
from attacks.score import wilson

from mpi.rules import Rules, load_rules, rule_file

RULES = "th-v1"
PACKAGES = ("thai-mpi", "numpy", "pythainlp")
SPARSE_HASHES = 8
LIVE, FILES, KEY = "live matcher", "stolen files", "files and facility key"
VECTORS = "vectors of a bucket"
JOINED = ("AC", "AD", "AE", "BC", "BDE")
"""Channels whose components stand for a year-month, a day, a year and sex, a family name, a given name."""


@dataclass
class Figure:
    """One measured rate.

    Attributes:
        view: what the attacker sees.
        attack: which attack.
        encoding: against what.
        size: people of the register among whom a record's person is sought.
        known: persons known at the start.
        overlap: share of the register that is in the index.
        right: records matched to the right person.
        attacked: records of unknown persons.
        chance: share that a blind guess gets right.
        seconds: of all runs together.
        runs: seeds that were pooled.
        more: further figures of this attack.
    """

    view: str
    attack: str
    encoding: str
    size: int
    known: int
    overlap: float
    right: int
    attacked: int
    chance: float
    seconds: float
    runs: int = 0
    more: dict[str, float] = field(default_factory=dict)

    @property
    def rate(self) -> float:
        """Share of attacked records matched to the right person."""
        return self.right / max(1, self.attacked)

    def row(self) -> str:
        """A line of the table."""
        low, high = wilson(self.right, self.attacked)
        also = "".join(f"  {name} {value:.3f}" for name, value in self.more.items())
        return (
            f"{self.view:<23} {self.attack:<17} {self.encoding:<22} {self.size:>8,} {self.known:>5} "
            f"{self.overlap:>5.0%} {self.rate:>7.4f} [{low:.4f}, {high:.4f}] {self.chance:>7.4f} {self.seconds:>7.1f}"
            f"{also}"
        )

    def table(self) -> dict[str, Any]:
        """Everything, for JSON."""
        low, high = wilson(self.right, self.attacked)
        return {**asdict(self), "rate": self.rate, "low": low, "high": high}


@dataclass(frozen=True)
class Plan:
    """Which buckets are attacked: encodings by name, sizes, known persons, overlaps, runs; by all attacks or some."""

    encodings: tuple[str, ...]
    sizes: tuple[int, ...]
    known: tuple[int, ...] = (0, 5, 20)
    overlaps: tuple[float, ...] = (1.0,)
    people: int = 1000
    attacks: tuple[str, ...] = ()
    key: bool = False

    def runs(self, size: int) -> int:
        """Seeds to pool, so that each figure rests on some 1,000 people."""
        return max(1, min(12, self.people // size))


Setting = tuple[float, float, tuple[int, ...]]
"""Share of the people who are in the index, share of records with something wrong, and known persons."""
EXACT, WRONG, PARTIAL = (1.0, 0.0, (20,)), (1.0, 0.05, (20, 100)), (0.3, 0.05, (20, 100))
WHOLLY = (1.0, 0.0, ())
WEAK_GATEWAY = 2
CHANNELS = tuple(f"{RULES} {name}" for name in ("A", "B", "C", "D", "J", "S", "H", "N"))
LARGE_CHANNELS = CHANNELS[:4]
SMALL = (
    Plan(("th-v1 A", "CLK", "fields", "sparse"), (100, 300), (0, 20), people=200),
    Plan(("th-v1 B", "th-v1 D"), (300,), (20,), people=300),
    Plan(("th-v1 A",), (300,), (20,), (0.5,), people=300),
    Plan(("th-v1 A",), (100,), (0, 5), people=100, key=True),
    Plan(("as sent",), (300,), (20,), people=300),
    Plan(("weak gateway",), (100,), (20,), people=100, attacks=("table",), key=True),
)
WHOLE = (
    Plan(LARGE_CHANNELS, (300,), (20,)),
    Plan(LARGE_CHANNELS, (300,), (20,), key=True),
    Plan(CHANNELS[4:], (300,), (20,)),
    Plan(CHANNELS[4:], (300,), (20,), key=True),
    Plan(CHANNELS, (100,), (20,)),
    Plan(CHANNELS, (100,), (20,), key=True),
    Plan(("weak gateway",), (100,), (20,), people=100, attacks=("table",), key=True),
    Plan(("as sent",), (100, 300), (0, 20), people=300),
    Plan(LARGE_CHANNELS, (300,), (40,), people=300, attacks=("table",), key=True),
    Plan(("CLK", "fields", "sparse"), (100, 300), (0, 20)),
    Plan(CHANNELS, (100, 300), (0, 5)),
    Plan(CHANNELS, (100, 300), (0, 5), key=True),
    Plan(LARGE_CHANNELS, (1000,), (20,)),
    Plan(("th-v1 A", "sparse"), (300,), (20,), (0.5, 0.3)),
    Plan(("th-v1 A",), (300,), (20,), (0.5, 0.3), key=True),
)
LARGEST = (
    Plan(LARGE_CHANNELS, (1000,), (0, 5)),
    Plan(LARGE_CHANNELS, (1000,), (20,), attacks=("graph", "mean field", "pattern", *MARGINS), key=True),
    Plan(("CLK", "fields", "sparse"), (1000,), (0,)),
    Plan(("th-v1 A",), (1000,), (20,), (0.5, 0.3)),
    Plan(("th-v1 A",), (5000,), (20,), attacks=("weight", "pattern", "mean field", *MARGINS)),
    Plan(("CLK",), (5000,), (0,), attacks=("weight", "graph")),
)


def encodings(rules: Rules) -> dict[str, Encoding]:
    """Everything that is attacked, by the name that the table shows."""
    shipped = {f"{RULES} {each.name}": of_channel(rules, each.name) for each in rules.profile.channels if each.features}
    both, apart = [["given", "family"]], [["given"], ["family"]]
    weak = of_channel(with_gateway(rules, WEAK_GATEWAY), "A")
    sparse = of_channel(with_hashes(with_gateway(rules, 2 * WEAK_GATEWAY), "A", SPARSE_HASHES), "A")
    plain = {"CLK": filters(both, 10, 1024), "fields": filters(apart, 10, 512)}
    return {**shipped, "sparse": sparse, "weak gateway": weak, "as sent": as_sent(rules, "A"), **plain}


def described(encoding: Encoding, seed: int) -> dict[str, Any]:
    """Parameters of an encoding, and how full its filters are on 300 people."""
    people = scene(300, seed, encoding.shared, noise=0, twice=0).register
    fills = [
        float(1 - ((1 - 1 / encoding.bits) ** draws(people, layer).sum(axis=1)).mean()) for layer in encoding.layers
    ]
    return {
        "bits": encoding.bits,
        "diffusions": encoding.diffusions,
        "hashes": [{each.field: each.hashes for each in layer} for layer in encoding.layers],
        "mean_fill": fills,
        "bucket": list(encoding.shared) if encoding.rules else "none: one key for all",
    }


def buckets(plans: Sequence[Plan], known: dict[str, Encoding], seed: int) -> Iterator[Figure]:
    """Attack the vectors of buckets."""
    for plan in plans:
        for size in plan.sizes:
            for name in plan.encodings:
                for overlap in plan.overlaps:
                    for persons in plan.known:
                        yield from _pooled(plan, name, known[name], size, persons, overlap, seed)


def _pooled(
    plan: Plan, name: str, encoding: Encoding, size: int, known: int, overlap: float, seed: int
) -> Iterator[Figure]:
    pooled: dict[str, Figure] = {}
    view = KEY if plan.key else VECTORS
    every = (*(KEY_ATTACKS if plan.key else ATTACKS), *MARGINS)
    attacks = [attack for attack in plan.attacks or every if known or attack != "pattern"]  # nothing to learn from
    for number in range(plan.runs(size)):
        for each in run(encoding, size, known, overlap, seed + number, attacks, plan.key):
            figure = pooled.setdefault(
                each.attack,
                Figure(
                    view,
                    each.attack,
                    name,
                    size,
                    known,
                    overlap,
                    0,
                    0,
                    1 / (size - known),
                    0,
                ),
            )
            figure.right += each.right
            figure.attacked += each.attacked
            figure.seconds += each.seconds
            figure.runs += 1
    yield from (figure for figure in pooled.values() if figure.attacked)  # with few there, all may be known


def tokens(people: int, seed: int) -> Iterator[Figure]:
    """The frequency attack on keyed tokens of given names that are the same all over the country."""
    found = scene(people, seed, ("birth_date", "sex"), noise=0.05, twice=0)
    names = sorted({person["given"] for person in (*found.register, *found.records)})
    place = {given: number for number, given in enumerate(names)}
    secret = np.random.default_rng((seed, 12)).permutation(len(names))
    begun = time.perf_counter()
    values = np.array([place[person["given"]] for person in found.register])
    guess = frequency.attack(secret[[place[person["given"]] for person in found.records]], values)
    guessed = frequency.somebody(guess, values, seed)
    figure = Figure(
        "tokens of names", "frequency", "given name, one key", people, 0, 1.0,
        int((guessed == found.truth).sum()), len(guess), 1 / people, time.perf_counter() - begun, 1,
    )  # fmt: skip
    figure.more = {"name right": float((guess == values[found.truth]).mean()), "by chance": 1 / len(set(values))}
    yield figure


def centre(rules: Rules, people: int, days: int, seed: int) -> Iterator[Figure]:
    """Attack the structure of files that the service wrote, and the same as the running matcher sees it."""
    for overlap, noise in ((1.0, 0.0), (0.5, 0.05)):
        with tempfile.TemporaryDirectory() as folder:
            theft = files.steal(rules, people, days, overlap, noise, seed, Path(folder))
        name = f"{RULES}, {days} days"
        yield from _structure(theft.live(), theft.register, theft.truth, people, name, (overlap, noise, ()), seed)
        yield from _with_key(theft, rules.gateway[rules.profile.channels[0].name], name, overlap, noise)


def _with_key(theft: files.Theft, diffusion: int, name: str, overlap: float, noise: float) -> Iterator[Figure]:
    """Attack the first channel of stolen files with a facility's key, nobody known: find each bucket, then read it."""
    names, clear = theft.names[0], theft.register[0]
    seen, sent = spins(theft.vectors), spins(theft.sent)
    rows = [np.flatnonzero(names == bucket) for bucket in np.unique(names)]
    groups = [np.flatnonzero(clear.buckets == bucket) for bucket in range(clear.size)]
    share = len(names) / len(clear.owners)
    answers = [theft.truth[theft.numbers[0][each]] for each in rows]
    for attack, sizes in (("similarities", False), ("and sizes", True)):
        begun = time.perf_counter()
        likely = rekeyed.likelihoods(
            [seen[each] for each in rows], [sent[group] for group in groups], diffusion, share, sizes
        )
        right = found = 0
        for bucket, place in enumerate(greedy(likely)):
            group = groups[place]
            found += bool(np.isin(answers[bucket], clear.owners[group]).mean() > 0.5)
            guess = graph.attack([exact(seen[rows[bucket]], sent[group], diffusion)])
            right += int((np.where(guess >= 0, clear.owners[group[guess]], -1) == answers[bucket]).sum())
        figure = Figure(KEY, attack, name, theft.people, 0, overlap, right, len(names), 1 / theft.people, 0, 1)
        figure.seconds = time.perf_counter() - begun
        inside = float(np.mean([1 / len(group) for group in groups]))
        figure.more = {
            "noise": noise, "bucket right": found / len(rows), "by chance": 1 / len(groups), "inside by chance": inside,
        }  # fmt: skip
        yield figure


def slice_of_nation(rules: Rules, people: int, years: int, seed: int, *settings: Setting) -> Iterator[Figure]:
    """Attack the structure of millions of people; years of birth are few, so that buckets are as full as a nation's."""
    register = nation.people(people, seed, years)
    clear = nation.channels(rules.profile, register)
    for setting in settings:
        overlap, noise, _ = setting
        records, truth = nation.indexed(register, overlap, noise, seed)
        index = structure.hidden([channel for _, channel in nation.channels(rules.profile, records)], seed)
        name, channels = f"{RULES}, {years} years", [channel for _, channel in clear]
        joined = [[[name for name, _ in clear].index(each) for each in names] for names in JOINED]
        yield from _structure(index, channels, truth, people, name, setting, seed, joined)


def _structure(
    index: list[structure.Channel],
    register: list[structure.Channel],
    truth: files.Numbers,
    people: int,
    name: str,
    setting: Setting,
    seed: int,
    joined: Sequence[Sequence[int]] = (),
) -> Iterator[Figure]:
    """Attack the running matcher's view and that of the files; by propagation where components mean something."""
    overlap, noise, spread_from = setting

    def figure(
        view: str, attack: str, guess: files.Numbers, persons: files.Numbers, begun: float, known: int = 0
    ) -> Figure:
        right, guessed = int((guess == persons).sum()), int((guess >= 0).sum())
        made = Figure(
            view, attack, name, people, known, overlap, right, len(persons), 1 / people,
            time.perf_counter() - begun, 1,
        )  # fmt: skip
        made.more = {"noise": noise, "precision": right / guessed if guessed else 0.0}
        return made

    begun = time.perf_counter()
    yield figure(LIVE, "refinement", structure.refinement(index, len(truth), register, people), truth, begun)
    if spread_from:
        ours, theirs = structure.columns(index, len(truth), joined), structure.columns(register, people, joined)
        for known in spread_from:
            begun = time.perf_counter()
            told = np.random.default_rng((seed, 13)).permutation(len(truth))[:known]
            guess = structure.propagation(ours, theirs, (told, truth[told]))
            others = np.setdiff1d(np.arange(len(truth)), told)
            yield figure(LIVE, "propagation", guess[others], truth[others], begun, known)
    begun = time.perf_counter()
    rows, owners = structure.apart(index)
    clear, persons = structure.apart(register)
    found = structure.refinement(rows, len(owners), clear, len(persons))
    guess = np.where(found >= 0, persons[found], -1)
    yield figure(FILES, "refinement", guess, truth[owners], begun)
    begun = time.perf_counter()
    guesses, answers, values = [], [], []
    for ours_, theirs_ in zip(index, register, strict=True):
        value = np.full(people, -1, np.int64)
        value[theirs_.owners] = theirs_.buckets
        named = frequency.attack(ours_.buckets, theirs_.buckets)
        guesses.append(frequency.somebody(named, value, seed))
        answers.append(truth[ours_.owners])
        values.append(named == value[truth[ours_.owners]])
    made = figure(FILES, "bucket sizes", np.concatenate(guesses), np.concatenate(answers), begun)
    made.more["bucket right"] = float(np.concatenate(values).mean())
    yield made


def must_win(figures: Sequence[Figure]) -> list[str]:
    """Say which attack failed where it must win; an attack that cannot win proves nothing where it loses."""
    least = [
        ("graph", "CLK", VECTORS, 300, 0.9),
        ("graph", "fields", VECTORS, 300, 0.9),
        ("mean field", "sparse", VECTORS, 300, 0.9),
        ("pattern", "CLK", VECTORS, 300, 0.5),
        ("mean field", "as sent", VECTORS, 300, 0.9),
        ("table", "weak gateway", KEY, 100, 0.9),
        ("refinement", "", LIVE, 0, 0.5),
    ]
    failed = []
    for attack, encoding, view, size, bound in least:
        fit = [
            each.rate
            for each in figures
            if (each.attack, each.view) == (attack, view)
            and each.encoding == (encoding or each.encoding)
            and each.size >= size
            and each.overlap == 1
            and not each.more.get("noise")
            and (each.known or attack != "pattern")
        ]
        if not fit or min(fit) < bound:
            failed.append(f"{attack} against {encoding or view}: {min(fit, default=0):.3f}, expected {bound} or more")
    names = [each.more["name right"] for each in figures if "name right" in each.more]
    if not names or min(names) < 0.03:
        failed.append(f"frequency of tokens: {names}, expected 0.03 or more")
    return failed


def strongest(
    figures: Sequence[Figure], view: str, encoding: str, known: int, attacks: Sequence[str]
) -> tuple[list[int], list[float]]:
    """Best rate of some attacks on whole buckets by bucket size."""
    fit = [
        each
        for each in figures
        if each.view == view and each.overlap == 1 and each.attack in attacks
        and each.encoding == encoding and each.known == known
    ]  # fmt: skip
    sizes = sorted({each.size for each in fit})
    return sizes, [max(each.rate for each in fit if each.size == size) for size in sizes]


def plot(figures: Sequence[Figure], path: Path, quality: Path | None) -> None:
    """Draw re-identification against bucket size for each encoding, and against F1 where there are figures of it."""
    try:
        import matplotlib
    except ImportError:
        sys.exit("plots need matplotlib: pip install 'thai-mpi[bench]'")
    matplotlib.use("Agg")
    from matplotlib import pyplot

    shown = ((VECTORS, 0, ATTACKS), (VECTORS, 20, ATTACKS), (KEY, 20, KEY_ATTACKS))
    count = len(shown) + bool(quality)
    panels = pyplot.subplots(1, count, figsize=(5 * count, 4.6), sharey=True)[1]
    names = sorted({each.encoding for each in figures if each.view in (VECTORS, KEY) and each.attack in MARGINS})
    for axes, (view, known, attacks) in zip(panels, shown, strict=False):
        for number, name in enumerate(names):
            colour = f"C{number % 10}"
            line = "o-" if number < 10 else "s--"
            sizes, rates = strongest(figures, view, name, known, attacks)
            axes.plot(sizes, np.maximum(rates, 1e-4), line, color=colour, label=name)
            sizes, rates = strongest(figures, view, name, known, MARGINS)
            axes.plot(sizes, np.maximum(rates, 1e-4), ":", color=colour, linewidth=1)
        axes.plot([50, 5000], [1 / 50, 1 / 5000], "k--", linewidth=1, label="chance")
        axes.set(xscale="log", yscale="log", ylim=(8e-5, 1.3), xlabel="people in the bucket")
        axes.set_title(f"{view}, {known} known: strongest attack (dotted: margin)", fontsize=9)
        axes.grid(alpha=0.3)
    panels[0].set_ylabel("share re-identified")
    panels[0].legend(fontsize=8)
    if quality:
        frontier(panels[-1], figures, json.loads(quality.read_text(encoding="utf-8")))
    panels[0].figure.tight_layout()
    panels[0].figure.savefig(path, dpi=130, metadata={"Software": None})


def frontier(axes: Any, figures: Sequence[Figure], quality: dict[str, float], size: int = 300, known: int = 20) -> None:
    """Draw what privacy costs: re-identification in buckets of one size against the linkage F1 of each encoding."""
    for name, f1 in quality.items():
        sizes, rates = strongest(figures, VECTORS, name, known, ATTACKS)
        if size in sizes:
            rate = max(rates[sizes.index(size)], 1e-4)
            axes.plot([f1], [rate], "o")
            axes.annotate(name, (f1, rate), fontsize=8, xytext=(4, 4), textcoords="offset points")
    axes.set(xlabel="linkage F1", yscale="log")
    axes.set_title(f"buckets of {size}, {known} persons known", fontsize=9)
    axes.grid(alpha=0.3)


def earlier(path: Path) -> list[Figure]:
    """Read the figures of an earlier run."""
    kept = {each.name for each in fields(Figure)}
    rows = json.loads(path.read_text(encoding="utf-8"))["figures"]
    return [Figure(**{name: value for name, value in row.items() if name in kept}) for row in rows]


def measure(small: bool, rules: Rules, seed: int) -> Iterator[Figure]:
    """Run everything, the quick and the decisive parts first."""
    yield from tokens(2000 if small else 5000, seed)
    yield from centre(rules, 1500 if small else 3000, 10 if small else 20, seed)
    yield from slice_of_nation(rules, 20_000, 3, seed, EXACT, WRONG)
    yield from buckets(SMALL if small else WHOLE, encodings(rules), seed)
    if not small:
        yield from slice_of_nation(rules, 200_000, 3, seed, EXACT, WRONG, PARTIAL)
        yield from slice_of_nation(rules, 2_000_000, 3, seed, WHOLLY, PARTIAL)
        yield from buckets(LARGEST, encodings(rules), seed)


def main() -> None:
    """Measure, print, write; exit with 1 where an attack failed that must win."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--small", action="store_true", help="small sizes, in a minute")
    parser.add_argument(
        "--seed", type=int, default=1, help="of people, slips, and keys but those of facilities in files"
    )
    parser.add_argument("--rules", default=RULES, help="rule file whose channels are attacked, by name or path")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write all figures")
    parser.add_argument("--plot", type=Path, metavar="FILE.png", help="draw them")
    parser.add_argument("--quality", type=Path, metavar="FILE", help='JSON such as {"th-v1 A": 0.97}, for the plot')
    parser.add_argument("--figures", type=Path, metavar="FILE", help="draw what an earlier run measured instead")
    asked = parser.parse_args()
    if asked.figures:
        plot(earlier(asked.figures), asked.plot or asked.figures.with_suffix(".png"), asked.quality)
        return
    rules = load_rules(rule_file(asked.rules))
    print(
        f"{'attacker sees':<23} {'attack':<17} {'encoding':<22} {'people':>8} {'known':>5} {'there':>5} "
        f"{'rate':>7} {'95 % interval':<16} {'chance':>7} {'seconds':>7}"
    )
    figures: list[Figure] = []
    attacked = {name: described(each, asked.seed) for name, each in encodings(rules).items()}
    begun = time.perf_counter()

    def write() -> None:
        if asked.json:
            content = {
                "seed": asked.seed,
                "small": asked.small,
                "finished": finished,
                "seconds": round(time.perf_counter() - begun, 1),
                "versions": {
                    "python": platform.python_version(),
                    **{name: metadata.version(name) for name in PACKAGES},
                },
                "profile": {"name": rules.profile.name, "digest": rules.profile.digest.hex()},
                "gateway": dict(rules.gateway),
                "slips": NOISE,
                "second_records": TWICE,
                "mean_field_one_variance_above": LARGE,
                "encodings": attacked,
                "figures": [each.table() for each in figures],
            }
            asked.json.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")

    finished = False
    for figure in measure(asked.small, rules, asked.seed):
        figures.append(figure)
        print(figure.row(), flush=True)
        write()
    finished = True
    write()
    if asked.plot:
        plot(figures, asked.plot, asked.quality)
    failed = must_win(figures)
    for line in failed:
        print("must win:", line)
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    main()
