"""Why a pair of records weighs what it weighs: term by term, and in sentences for whoever decides.

Nothing of a person is known here but levels of agreement; the profile says which fields a channel compares, and the
sentences name these. Similarities of vectors are led back to what they were before diffusion: two filters that differ
in the share d of their bits give vectors of the similarity s with (1 - 2d)^T = 2s - 1, where T is how many filter bits
each bit of a vector is the XOR of. Filters are about half full, so two that have the share q of their grams in common
differ in d = 1 - 2^(q - 1) of the bits (a bit is empty in both with the probability 2^(q - 2)). That q is what a
steward reads as "similar": about the share of letter pairs that two names have in common, 0 for unrelated ones. It is
a little too kind to short names, whose filters are emptier.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from mpi.domain.identity import Evidence
from mpi.linkage.decision import Decider
from mpi.linkage.fellegi_sunter import Score
from mpi.rules import AGREE, DISAGREE, ELSEWHERE, Channel, Comparison, Level, Rules

_NORMAL = 1.96
"""95 % of a normal distribution lie within so many standard deviations."""
VETO, NO_GROUND = "veto", "below_review"
SIMILAR_MEANS = (
    "Similar: share of letter pairs and values in common, roughly; a value missing on one side counts as different.",
    "คล้ายกัน: สัดส่วนโดยประมาณของคู่อักษรและค่าที่เหมือนกัน ค่าที่ขาดไปฝั่งหนึ่งนับว่าต่างกัน",
)
"""What a steward should know about the word, in English and Thai."""


def filter_difference(similarity: float, diffusion: int) -> float:
    """Share of the bits in which two filters differ whose vectors are that similar.

    Args:
        similarity: Hamming similarity of the vectors; one half and less is that of unrelated ones.
        diffusion: how many filter bits each bit of a vector is the XOR of.

    Returns:
        From 0 (the same filter) to one half (unrelated ones).
    """
    return (1 - math.pow(max(0.0, 2 * similarity - 1), 1 / diffusion)) / 2


def in_common(similarity: float, diffusion: int) -> float:
    """Share of their grams, from 0 to 1, that two half-full filters have in common, by their vectors' similarity."""
    return max(0.0, 1 + math.log2(1 - filter_difference(similarity, diffusion)))


@dataclass(frozen=True, slots=True)
class Similar:
    """How similar the fields inside a channel are: shares of grams in common, from 0 to 1, between which it lies."""

    least: float
    most: float

    @classmethod
    def measured(cls, similarity: float, diffusion: int, bits: int) -> Similar:
        """The 95 % interval that a similarity of vectors of so many bits gives."""
        spread = _NORMAL * math.sqrt(similarity * (1 - similarity) / bits)
        return cls(in_common(similarity - spread, diffusion), in_common(min(1.0, similarity + spread), diffusion))

    @classmethod
    def of_level(cls, comparison: Comparison, level: Level, diffusion: int) -> Similar:
        """What a channel's level says when the similarity itself is not known."""
        place = comparison.levels.index(level)
        least = in_common(level.similarity, diffusion)
        return cls(least, in_common(comparison.levels[place - 1].similarity, diffusion) if place else 1.0)

    @property
    def english(self) -> str:
        """The range in percent, as English words."""
        low, high = _percent(self.least), _percent(self.most)
        if low == high:
            return f"{low} % similar"
        if high == 100:
            return f"at least {low} % similar"
        return f"{low} to {high} % similar" if low else f"less than {high} % similar"

    @property
    def thai(self) -> str:
        """The range in percent, as Thai words."""
        low, high = _percent(self.least), _percent(self.most)
        if low == high:
            return f"คล้ายกัน {low} %"
        if high == 100:
            return f"คล้ายกันอย่างน้อย {low} %"
        return f"คล้ายกัน {low} ถึง {high} %" if low else f"คล้ายกันไม่ถึง {high} %"


@dataclass(frozen=True, slots=True)
class Reason:
    """One term of a match weight.

    Attributes:
        comparison: channel or kind of number.
        level: level of agreement.
        weight: what it adds, bits.
        similar: how similar the fields inside a channel are; None for numbers and where no bucket is shared.
        english: the same as a sentence.
        thai: the same as a sentence.
    """

    comparison: str
    level: str
    weight: float
    similar: Similar | None
    english: str
    thai: str


@dataclass(frozen=True, slots=True)
class Explanation:
    """Why a pair weighs what it weighs, and what the rules make of it.

    Attributes:
        reasons: the terms, in the order of the rule file; a comparison with a value missing on a side has none.
        missing: what was not compared because a value was missing.
        weight: sum of the terms, bits.
        demographics: the part of it that channels gave, bits.
        probability: share of the pairs of such a weight that are of one person; None for a model without calibration.
        rule: the decision rule that applies to this pair alone: a veto, what a link would rest on, why a person should
            look, or "below_review".
        english: that rule as a sentence.
        thai: that rule as a sentence.
        profile: profile of the encodings.
        model: digest of the model, hex.
    """

    reasons: tuple[Reason, ...]
    missing: tuple[str, ...]
    weight: float
    demographics: float
    probability: float | None
    rule: str
    english: str
    thai: str
    profile: str
    model: str

    def figures(self) -> dict[str, Any]:
        """Everything for a script."""
        return {
            "weight": self.weight,
            "demographics": self.demographics,
            "probability": self.probability,
            "rule": self.rule,
            "english": self.english,
            "thai": self.thai,
            "profile": self.profile,
            "model": self.model,
            "missing": list(self.missing),
            "reasons": [
                {
                    "comparison": each.comparison,
                    "level": each.level,
                    "weight": each.weight,
                    "similar": None if each.similar is None else [each.similar.least, each.similar.most],
                    "english": each.english,
                    "thai": each.thai,
                }
                for each in self.reasons
            ],
        }


def explain(rules: Rules, score: Score, similarity: Mapping[str, float] | None = None) -> Explanation:
    """Explain a weighed pair.

    Args:
        rules: the rules by which it was weighed.
        score: its weight and evidence.
        similarity: greatest similarity of vectors by channel, where it is known; else levels alone speak.
    """
    channels = {channel.name: channel for channel in rules.profile.channels}
    reasons = []
    for term in score.evidence:
        channel = channels.get(term.comparison)
        if channel is None:
            english, thai = _number(term)
            reasons.append(Reason(term.comparison, term.level, term.weight, None, english, thai))
        else:
            reasons.append(_channel(rules, channel, term, (similarity or {}).get(term.comparison)))
    seen = {term.comparison for term in score.evidence}
    rule = _rule(rules, score)
    english, thai = _RULES[rule]
    return Explanation(
        tuple(reasons),
        tuple(name for name in rules.model.comparisons if name not in seen),
        score.weight,
        score.demographics,
        rules.model.calibration.probability(score.weight),
        rule,
        english,
        thai,
        rules.profile.name,
        rules.model.digest,
    )


def _rule(rules: Rules, score: Score) -> str:
    if any(score.level(kind.value) == DISAGREE for kind in rules.model.decision.veto):
        return VETO
    decider = Decider(rules.model)
    return decider.ground(score) or decider.doubt(score) or NO_GROUND


def _channel(rules: Rules, channel: Channel, term: Evidence, similarity: float | None) -> Reason:
    """Sentences about a channel: what the shared bucket says, then what lies inside."""
    named = [_default(channel, words) for words in _fields(channel.bucket)]
    if term.level == ELSEWHERE:
        any_of = _listed([word for word, _ in named], "or")
        verb = "differ" if named[-1][0].startswith(_PLURAL) else "differs"
        return Reason(
            channel.name,
            term.level,
            term.weight,
            None,
            f"{any_of[0].upper()}{any_of[1:]} {verb}.",
            f"{_thai([word for _, word in named], 'หรือ')}ไม่ตรงกัน",
        )
    shared, shared_thai = _listed([word for word, _ in named], "and"), _thai([word for _, word in named], "และ")
    if not channel.features:
        return Reason(channel.name, term.level, term.weight, None, f"Same {shared}.", f"{shared_thai}ตรงกัน")
    diffusion = rules.gateway[channel.name]
    if similarity is not None:
        similar = Similar.measured(similarity, diffusion, rules.profile.bits)
    else:
        comparison = rules.model.comparisons[channel.name]
        similar = Similar.of_level(comparison, comparison.level(term.level), diffusion)
    inside = _fields([feature.field for feature in channel.features])
    return Reason(
        channel.name,
        term.level,
        term.weight,
        similar,
        f"Same {shared}; {_listed([word for word, _ in inside], 'and')} {similar.english}.",
        f"{shared_thai}ตรงกัน {_thai([word for _, word in inside], 'และ')}{similar.thai}",
    )


def _number(term: Evidence) -> tuple[str, str]:
    english, thai = _NUMBERS[term.comparison]
    if term.level == AGREE:
        return f"Same {english}.", f"{thai}ตรงกัน"
    return f"Different {english}s.", f"{thai}ไม่ตรงกัน"


def _fields(fields: Sequence[str]) -> list[tuple[str, str]]:
    """Fields as words, those that make a whole together as one."""
    left, words = list(fields), []
    for parts, word in _TOGETHER:
        if set(parts) <= set(left):
            words.append((left.index(parts[0]), word))
            left = ["" if field in parts else field for field in left]
    words += [(place, _FIELDS[field]) for place, field in enumerate(left) if field]
    return [word for _, word in sorted(words)]


def _default(channel: Channel, words: tuple[str, str]) -> tuple[str, str]:
    """A birth date that may stand for an unknown day is named as such."""
    if channel.days == "default" and words == _FIELDS["birth_date"]:
        return f"{words[0]} (1 January, perhaps for an unknown day)", f"{words[1]} (1 มกราคม ซึ่งอาจใช้แทนวันที่ไม่ทราบ)"
    return words


def _listed(words: Sequence[str], last: str) -> str:
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} {last} {words[-1]}"


def _thai(words: Sequence[str], last: str) -> str:
    return words[0] if len(words) == 1 else f"{' '.join(words[:-1])}{last}{words[-1]}"


def _percent(share: float) -> int:
    return round(100 * share)


_FIELDS = {
    "given": ("given name", "ชื่อ"),
    "family": ("family name", "นามสกุล"),
    "given_skeleton": ("consonants of the given name", "พยัญชนะของชื่อ"),
    "family_skeleton": ("consonants of the family name", "พยัญชนะของนามสกุล"),
    "birth_date": ("birth date", "วันเดือนปีเกิด"),
    "birth_year": ("year of birth", "ปีเกิด"),
    "birth_month": ("month of birth", "เดือนเกิด"),
    "birth_day": ("day of birth", "วันที่เกิด"),
    "birth_month_of_year": ("month of birth with its year", "เดือนปีเกิด"),
    "birth_day_of_year": ("birthday without its year", "วันเดือนเกิด"),
    "sex": ("sex", "เพศ"),
    "subdistrict": ("subdistrict", "ตำบล"),
    "house": ("house number", "บ้านเลขที่"),
    "street": ("street", "ถนน"),
    "postcode": ("postcode", "รหัสไปรษณีย์"),
}
_TOGETHER = (
    (("birth_year", "birth_month", "birth_day"), _FIELDS["birth_date"]),
    (("given", "family"), ("names", "ชื่อและนามสกุล")),
    (("given_skeleton", "family_skeleton"), ("consonants of both names", "พยัญชนะของชื่อและนามสกุล")),
)
_PLURAL = ("consonants", "names")
_NUMBERS = {
    "national_id": ("national id", "เลขประจำตัวประชาชน"),
    "alien_id": ("alien id", "เลขประจำตัวคนต่างด้าว"),
    "passport": ("passport number", "เลขหนังสือเดินทาง"),
    "phone": ("phone number", "หมายเลขโทรศัพท์"),
}
_RULES = {
    VETO: (
        "Two different numbers of which a person has only one: this pair alone never links.",
        "มีเลขที่แต่ละคนมีได้เพียงเลขเดียวแต่ไม่ตรงกัน คู่นี้จึงเชื่อมกันเองไม่ได้",
    ),
    "number_and_demographics": (
        "A number in common, and the rest does not speak against it: this pair carries a link.",
        "มีเลขตรงกันและข้อมูลอื่นไม่ขัดแย้ง คู่นี้เชื่อมกันได้",
    ),
    "anchor": (
        "What a link without a number needs agrees, and the weight is enough: this pair carries a link.",
        "ข้อมูลที่จำเป็นต่อการเชื่อมโดยไม่ใช้เลขตรงกันและน้ำหนักเพียงพอ คู่นี้เชื่อมกันได้",
    ),
    "number_alone": (
        "A number in common, but the rest does not bear it out: a person should look.",
        "มีเลขตรงกันแต่ข้อมูลอื่นไม่สนับสนุน ควรให้เจ้าหน้าที่ตรวจสอบ",
    ),
    "possible": ("Nearly enough for a link: a person should look.", "เกือบเพียงพอต่อการเชื่อม ควรให้เจ้าหน้าที่ตรวจสอบ"),
    "shared_phone": (
        "The same phone, but too little besides: a person should look.",
        "หมายเลขโทรศัพท์ตรงกันแต่ข้อมูลอื่นไม่เพียงพอ ควรให้เจ้าหน้าที่ตรวจสอบ",
    ),
    NO_GROUND: ("Too little for a link or for a person to look.", "ข้อมูลไม่เพียงพอต่อการเชื่อมหรือการตรวจสอบ"),
}
