"""Writing a trained model into the text of a rule file, whose order, comments and profile stay as they are."""

from __future__ import annotations

import json
import re

from mpi.rules import Model

_COMPARISON = re.compile(
    r'(\[\[model\.comparison\]\]\non = "(?P<on>[^"]+)"\n(?:[a-z_]+ = "[^"]*"\n)*)levels = \[.*?\]\n', re.S
)
_PROVENANCE = re.compile(r"^provenance = .*$", re.M)
_CALIBRATION = re.compile(r"^# What a match weight means.*?^calibration = \[.*?^\]\n", re.M | re.S)
_NOTE = "# What a match weight means: points of weight in bits and share of the pairs that are of one person.\n"


def with_model(text: str, model: Model) -> str:
    """Put a model's probabilities, calibration and provenance in the place of those of a rule file.

    Args:
        text: the rule file.
        model: a model with the comparisons and levels of that file.

    Raises:
        ValueError: the file does not list the levels of each comparison as the shipped ones do.
    """
    written: set[str] = set()

    def levels(found: re.Match[str]) -> str:
        comparison = model.comparisons[found["on"]]
        written.add(comparison.on)
        lines = []
        for level in comparison.levels:
            cut = f"similarity = {level.similarity:g}, " if level.name in _cut_levels(model, found["on"]) else ""
            lines.append(f'  {{ level = "{level.name}", {cut}m = {level.m:g}, u = {level.u:g} }},\n')
        return f"{found[1]}levels = [\n{''.join(lines)}]\n"

    text = _COMPARISON.sub(levels, text)
    missing = model.comparisons.keys() - written
    if missing:
        raise ValueError(f"no levels of {', '.join(sorted(missing))} could be put in place")
    points = "".join(f"  [{weight:g}, {share:g}],\n" for weight, share in model.calibration.points)
    text = _CALIBRATION.sub("", text)
    head = f"provenance = {json.dumps(model.provenance, ensure_ascii=False)}\n{_NOTE}calibration = [\n{points}]"
    return _PROVENANCE.sub(lambda _: head, text, count=1)


def _cut_levels(model: Model, on: str) -> set[str]:
    """Levels that are told apart by similarity: all of a channel's but the last."""
    levels = model.comparisons[on].levels
    return {level.name for level in levels[:-1]} if any(level.similarity for level in levels) else set()
