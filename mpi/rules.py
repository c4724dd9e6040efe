"""Linkage rule files: how demographics are encoded, and how encodings are weighed.

A rule file is TOML with two tables. `[profile]` says how facilities encode; its digest travels in every record.
`[gateway]` says how far the centre diffuses what arrives. `[model]` says how the index weighs and decides; its digest
is the cause of every link. `linkage_rules/README.md` describes each key for those who write such files.
"""

from __future__ import annotations

import hashlib
import json
import math
import tomllib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from importlib import resources
from itertools import pairwise
from pathlib import Path
from typing import Any

from mpi.domain.identifiers import IdentifierKind
from mpi.errors import RuleFileInvalid

FIELDS = (
    "given",
    "family",
    "given_skeleton",
    "family_skeleton",
    "birth_date",
    "birth_year",
    "birth_month",
    "birth_day",
    "birth_month_of_year",
    "birth_day_of_year",
    "sex",
    "subdistrict",
    "house",
    "street",
    "postcode",
)
"""Fields that an encoder derives from demographics; buckets and features are made of them."""

BITS_PER_BLOCK = 8
"""Bits that one block of keyed stream names: a feature's number of hashes is a multiple of it."""

CUTS = ("bigrams", "digits", "whole")
DAYS = ("any", "exact", "default")
ONLY = ("", "single_name", "young")

ELSEWHERE = "elsewhere"
"""Level of two records that both have a channel but share no bucket of it."""
AGREE = "agree"
DISAGREE = "disagree"


@dataclass(frozen=True, slots=True)
class Feature:
    """One field inside a channel's vector: how it is cut into grams and how many bits each gram sets."""

    field: str
    cut: str
    hashes: int


@dataclass(frozen=True, slots=True)
class Channel:
    """One channel of a profile: the fields that name its bucket and those inside its vector.

    Attributes:
        confirms: the channel finds nobody by itself, because its buckets are large; it is read only to bear out a
            number in common where no other channel met.
    """

    name: str
    bucket: tuple[str, ...]
    require: tuple[str, ...]
    features: tuple[Feature, ...]
    days: str
    only: str
    confirms: bool


@dataclass(frozen=True, slots=True)
class Profile:
    """An encoding profile; `digest` (32 bytes) is the SHA-256 of its canonical JSON."""

    name: str
    normaliser: str
    bits: int
    tokens: tuple[IdentifierKind, ...]
    channels: tuple[Channel, ...]
    digest: bytes

    def channel_names(self) -> tuple[str, ...]:
        """Return the channels' names in the order of the file, which is their order everywhere."""
        return tuple(channel.name for channel in self.channels)


@dataclass(frozen=True, slots=True)
class Level:
    """One level of agreement of a comparison.

    Attributes:
        name: what a steward reads.
        similarity: least Hamming similarity (share of equal bits) of this level; 0 for the others.
        m: probability of the level among records of one person.
        u: probability of the level among records of two persons drawn at random.
    """

    name: str
    similarity: float
    m: float
    u: float
    weight: float = field(init=False, repr=False, compare=False)
    """Match weight in bits: log2(m/u) (Fellegi and Sunter 1969)."""

    def __post_init__(self) -> None:
        # Asked for with every pair that is weighed.
        object.__setattr__(self, "weight", math.log2(self.m / self.u))


@dataclass(frozen=True, slots=True)
class Comparison:
    """What is compared, a channel or an identifier kind.

    Attributes:
        on: name of the channel or identifier kind.
        levels: from the most to the least alike.
        instead_of: a channel beside which this one would count the same evidence twice: it is weighed only where
            that one is missing; "" for none.
        beside: a channel with the same buckets: that one says what sharing a bucket means, so this one's probabilities
            are those among pairs that share it, and being elsewhere weighs nothing; "" for none.
    """

    on: str
    levels: tuple[Level, ...]
    instead_of: str
    beside: str

    def level(self, name: str) -> Level:
        """Return the level of that name; KeyError when there is none."""
        for level in self.levels:
            if level.name == name:
                return level
        raise KeyError(name)


@dataclass(frozen=True, slots=True)
class DecisionRules:
    """When a weight is enough, and what else it takes.

    Attributes:
        link: least match weight of a link that rests on an anchor, in bits.
        review: least match weight of a possible link, in bits.
        margin: how far the runner-up must stay behind, in bits.
        demographics: least weight of the channels alone when a number agrees, in bits.
        shared_phone: least match weight of a possible link when the phone agrees, in bits.
        anchors: what a link without a number needs: one of these sets of least levels by channel.
        veto: identifier kinds of which a person has only one: two different ones forbid a link.
        identifying: identifier kinds whose agreement can stand in for the anchor.
        supports: what bears out a number in common: one of these channels, at this level or better.
        finding: identifier kinds by which candidates are found, besides buckets.
        most_sharing: a number on more identities than this finds nobody: it is a clinic's phone, not a person's.
        candidate_similarity: least similarity at which a record in a shared bucket is weighed at all.
        most_members: an identity of this many records takes no further record without a person's word.
        strangers: what two records that never met count for when groups are joined, in bits; negative.
    """

    link: float
    review: float
    margin: float
    demographics: float
    supports: Mapping[str, str]
    shared_phone: float
    anchors: tuple[Mapping[str, str], ...]
    veto: tuple[IdentifierKind, ...]
    identifying: tuple[IdentifierKind, ...]
    finding: tuple[IdentifierKind, ...]
    most_sharing: int
    candidate_similarity: Mapping[str, float]
    most_members: int
    strangers: float


@dataclass(frozen=True, slots=True)
class Calibration:
    """What a match weight means: points of (weight in bits, share of the pairs that are of one person), both ascending.

    Empty when nothing was calibrated.
    """

    points: tuple[tuple[float, float], ...]

    def probability(self, weight: float) -> float | None:
        """Probability that a pair of this weight is of one person, by the line between the nearest points."""
        if not self.points:
            return None
        for (low, before), (high, after) in pairwise(self.points):
            if low <= weight < high:
                return before + (after - before) * (weight - low) / (high - low)
        return self.points[0][1] if weight < self.points[0][0] else self.points[-1][1]


@dataclass(frozen=True, slots=True)
class Model:
    """How encodings are weighed; `digest` (hex) is the SHA-256 of its canonical JSON."""

    provenance: str
    comparisons: Mapping[str, Comparison]
    decision: DecisionRules
    calibration: Calibration
    digest: str


@dataclass(frozen=True, slots=True)
class Rules:
    """A whole rule file.

    Attributes:
        profile: how facilities encode.
        gateway: how many arriving bits each bit of a channel's stored vectors is the XOR of.
        model: how the index weighs and decides.
    """

    profile: Profile
    gateway: Mapping[str, int]
    model: Model

    @property
    def stored_digest(self) -> bytes:
        """32 bytes that are equal where vectors lie in a store alike: of the profile and the centre's diffusion."""
        return _digest([self.profile.digest.hex(), dict(self.gateway)])


def rule_file(name_or_path: str) -> Path:
    """Find a rule file: a path as it is, a bare name such as "th-v1" among the files that are shipped."""
    path = Path(name_or_path)
    if path.suffix == ".toml" or path.parent != Path():
        return path
    shipped = Path(str(resources.files("mpi"))) / "linkage_rules"
    if not shipped.is_dir():  # a source checkout keeps them beside the package
        shipped = Path(__file__).resolve().parent.parent / "linkage_rules"
    return shipped / f"{name_or_path}.toml"


def load_rules(path: Path) -> Rules:
    """Read and check a rule file.

    Raises:
        RuleFileInvalid: listing every problem found.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise RuleFileInvalid(path, ["no such rule file"]) from None
    except (OSError, UnicodeDecodeError) as error:
        raise RuleFileInvalid(path, [f"not readable as TOML ({error})"]) from None
    return parse_rules(text, path)


def parse_rules(text: str, path: Path) -> Rules:
    """Check the text of a rule file; `path` is what errors call it.

    Raises:
        RuleFileInvalid: listing every problem found.
    """
    try:
        table = tomllib.loads(text)
    except (tomllib.TOMLDecodeError, RecursionError) as error:
        raise RuleFileInvalid(path, [f"not readable as TOML ({error})"]) from None
    reader = _Reader(path)
    rules = reader.rules(table)
    if reader.problems or rules is None:
        raise RuleFileInvalid(path, reader.problems)
    return rules


def _digest(table: Any) -> bytes:
    text = json.dumps(table, sort_keys=True, ensure_ascii=False, separators=(",", ":"))
    return hashlib.sha256(text.encode()).digest()


class _Reader:
    """Turns tables into rules and collects every problem on the way."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.problems: list[str] = []

    def rules(self, table: dict[str, Any]) -> Rules | None:
        for key in table.keys() - {"profile", "gateway", "model"}:
            self.problems.append(f"[{key}] is not a table of a rule file")
        for key in ("profile", "gateway", "model"):
            if not isinstance(table.get(key), dict):
                self.problems.append(f"[{key}] is missing")
        if self.problems:
            return None
        try:
            profile = self._profile(table["profile"])
            return Rules(profile, self._gateway(table["gateway"], profile), self._model(table["model"], profile))
        except (KeyError, TypeError, ValueError) as error:
            self.problems.append(f"{type(error).__name__} at {error}")
            return None

    def _take(self, where: str, table: dict[str, Any], allowed: Iterable[str]) -> None:
        for key in table.keys() - set(allowed):
            self.problems.append(f"{where}.{key} is not a known key")

    def _need(self, where: str, holds: bool, problem: str) -> None:
        if not holds:
            self.problems.append(f"{where}: {problem}")

    def _kinds(self, where: str, names: Iterable[str]) -> tuple[IdentifierKind, ...]:
        known = {kind.value: kind for kind in IdentifierKind}
        names = list(names)
        self._need(where, set(names) <= known.keys(), f"identifier kinds are {', '.join(known)}")
        return tuple(known[name] for name in names if name in known)

    def _profile(self, table: dict[str, Any]) -> Profile:
        self._take("profile", table, ("name", "normaliser", "bits", "tokens", "channel"))
        bits = int(table["bits"])
        self._need("profile.bits", 64 <= bits <= 65536 and bits & (bits - 1) == 0, "a power of two from 64 to 65536")
        channels = tuple(self._channel(entry) for entry in table["channel"])
        names = [channel.name for channel in channels]
        self._need("profile.channel", len(set(names)) == len(names) > 0, "each channel has a name of its own")
        tokens = self._kinds("profile.tokens", table["tokens"])
        return Profile(table["name"], table["normaliser"], bits, tokens, channels, _digest(table))

    def _gateway(self, table: dict[str, Any], profile: Profile) -> Mapping[str, int]:
        self._take("gateway", table, ("diffusion",))
        diffusion = {name: int(value) for name, value in table["diffusion"].items()}
        self._need("gateway.diffusion", diffusion.keys() == set(profile.channel_names()), "names every channel")
        self._need("gateway.diffusion", all(1 <= value <= 16 for value in diffusion.values()), "1 to 16")
        return diffusion

    def _channel(self, table: dict[str, Any]) -> Channel:
        where = f"profile.channel {table.get('name', '?')}"
        self._take(where, table, ("name", "bucket", "require", "features", "days", "only", "confirms"))
        name = table["name"]
        self._need(where, isinstance(name, str) and 0 < len(name) <= 16 and name.isalnum(), "name is 1-16 letters")
        features = tuple(Feature(str(field), str(cut), int(hashes)) for field, cut, hashes in table["features"])
        fields = [*table["bucket"], *table["require"], *(feature.field for feature in features)]
        self._need(where, set(fields) <= set(FIELDS), f"fields are {', '.join(FIELDS)}")
        self._need(where, all(f.cut in CUTS for f in features), f"features are cut by {', '.join(CUTS)}")
        hashes = [feature.hashes for feature in features]
        self._need(where, all(1 <= n <= 512 for n in hashes), "a gram sets 1 to 512 bits")
        self._need(where, all(n % BITS_PER_BLOCK == 0 for n in hashes), f"hashes come by {BITS_PER_BLOCK}")
        days, only = table.get("days", "any"), table.get("only", "")
        self._need(where, days in DAYS, f"days is one of {', '.join(DAYS)}")
        self._need(where, only in ONLY, f"only is one of {', '.join(ONLY[1:])}")
        return Channel(
            name, tuple(table["bucket"]), tuple(table["require"]), features, days, only, table.get("confirms") is True
        )

    def _model(self, table: dict[str, Any], profile: Profile) -> Model:
        self._take("model", table, ("provenance", "comparison", "decision", "calibration"))
        comparisons = {entry["on"]: self._comparison(entry, profile) for entry in table["comparison"]}
        for name in (*profile.channel_names(), *(kind.value for kind in profile.tokens)):
            self._need("model.comparison", name in comparisons, f"nothing says how to weigh {name}")
        decision = self._decision(table["decision"], profile, comparisons)
        points = tuple((float(weight), float(share)) for weight, share in table.get("calibration", []))
        rising = all(one < other and p <= q for (one, p), (other, q) in pairwise(points))
        self._need("model.calibration", rising, "weights and probabilities ascend")
        self._need("model.calibration", all(0 <= share <= 1 for _, share in points), "probabilities lie in [0, 1]")
        return Model(table["provenance"], comparisons, decision, Calibration(points), _digest(table).hex())

    def _comparison(self, table: dict[str, Any], profile: Profile) -> Comparison:
        where = f"model.comparison {table['on']}"
        self._take(where, table, ("on", "levels", "instead_of", "beside"))
        levels = []
        for entry in table["levels"]:
            self._take(where, entry, ("level", "similarity", "m", "u"))
            level = Level(entry["level"], float(entry.get("similarity", 0.0)), float(entry["m"]), float(entry["u"]))
            self._need(where, 0 < level.m <= 1 and 0 < level.u <= 1, f"{level.name}: m and u lie in (0, 1]")
            levels.append(level)
        names = [level.name for level in levels]
        if table["on"] in profile.channel_names():
            self._need(where, names[-1] == ELSEWHERE and len(names) > 1, f"the last level is {ELSEWHERE}")
            cuts = [level.similarity for level in levels[:-1]]
            self._need(where, cuts == sorted(cuts, reverse=True) and cuts[-1] == 0, "similarities fall to 0")
        else:
            self._kinds(where, [table["on"]])
            self._need(where, names == [AGREE, DISAGREE], f"levels are {AGREE}, {DISAGREE}")
        instead_of = table.get("instead_of", "")
        self._need(where, instead_of in ("", *profile.channel_names()), "instead_of is a channel of the profile")
        beside = table.get("beside", "")
        buckets = {channel.name: channel.bucket for channel in profile.channels}
        same = not beside or (beside != table["on"] and buckets.get(beside) == buckets.get(table["on"]))
        self._need(where, same, "beside is another channel with the same bucket fields")
        silent = not beside or levels[-1].m == levels[-1].u
        self._need(where, silent, f"beside another channel, {ELSEWHERE} weighs nothing: m and u are equal")
        return Comparison(table["on"], tuple(levels), instead_of, beside)

    def _decision(
        self, table: dict[str, Any], profile: Profile, comparisons: Mapping[str, Comparison]
    ) -> DecisionRules:
        where = "model.decision"
        self._take(where, table, DecisionRules.__slots__)
        number: Callable[[str], float] = lambda key: float(table[key])  # noqa: E731 (one word for six rows below)
        anchors = tuple(dict(anchor) for anchor in table["anchors"])
        supports = dict(table["supports"])
        for channel, level in (entry for each in (*anchors, supports) for entry in each.items()):
            known = comparisons[channel].levels if channel in comparisons else ()
            self._need(where, level in [each.name for each in known], f"{channel} has no level {level}")
        self._need(where, supports.keys() <= set(profile.channel_names()), "supports are channels")
        self._need(where, ELSEWHERE not in supports.values(), f"{ELSEWHERE} supports nothing")
        least = {name: float(value) for name, value in table["candidate_similarity"].items()}
        self._need(where, least.keys() == set(profile.channel_names()), "candidate_similarity names every channel")
        self._need(where, table["review"] <= table["link"], "review is not above link")
        self._need(where, table["strangers"] < 0, "strangers is negative: never to have met speaks against")
        return DecisionRules(
            link=number("link"),
            review=number("review"),
            margin=number("margin"),
            demographics=number("demographics"),
            supports=supports,
            shared_phone=number("shared_phone"),
            anchors=anchors,
            veto=self._kinds(where, table["veto"]),
            identifying=self._kinds(where, table["identifying"]),
            finding=self._kinds(where, table["finding"]),
            most_sharing=int(table["most_sharing"]),
            candidate_similarity=least,
            most_members=int(table["most_members"]),
            strangers=number("strangers"),
        )
