"""`mpi explain`: why does a pair of records weigh what it weighs?"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import typer

from mpi.domain.identifiers import IdentifierKind
from mpi.domain.identity import Evidence
from mpi.errors import ExtractUnreadable, InputRejected
from mpi.linkage.explanation import SIMILAR_MEANS, Explanation, explain
from mpi.linkage.fellegi_sunter import Score
from mpi.rules import Model, load_rules, rule_file

LANGUAGES = ("en", "th")
_CLOSE = 1e-9
_KINDS = {kind.value for kind in IdentifierKind}
_WORDS = {
    "en": ("weight", "bits, of which demographics gave", "share of such pairs that are of one person", "not compared"),
    "th": ("น้ำหนัก", "บิต โดยมาจากข้อมูลบุคคล", "สัดส่วนของคู่ที่น้ำหนักเท่านี้ซึ่งเป็นคนเดียวกัน", "ไม่ได้เปรียบเทียบ"),
}
"""What stands beside the figures, by language."""


def run(rules: str, pairs: Path, one: str, other: str, language: str = "en", *, as_json: bool) -> None:
    """Explain a pair that `mpi link --pairs` wrote.

    Args:
        rules: rule file by which it was linked, or the name of one that is shipped.
        pairs: file of pairs.
        one: a record id, as it stands in that file.
        other: the other record id.
        language: "en" or "th".
        as_json: print figures for a script, in both languages.

    Raises:
        InputRejected: a file is unusable, the pair is not in it, or it was weighed by other rules.
    """
    if language not in LANGUAGES:
        raise InputRejected(f"--language: one of {', '.join(LANGUAGES)}")
    loaded = load_rules(rule_file(rules))
    found = explain(loaded, _score(loaded.model, _row(pairs, one, other), pairs))
    if as_json:
        typer.echo(json.dumps(found.figures(), ensure_ascii=False))
        return
    for line in _lines(found, language):
        typer.echo(line)


def _lines(found: Explanation, language: str) -> list[str]:
    weight, gave, share, left_out = _WORDS[language]
    thai = language == "th"
    lines = [found.thai if thai else found.english]
    lines += [
        f"  {reason.comparison:<12} {reason.level:<10} {reason.weight:+7.2f}  {reason.thai if thai else reason.english}"
        for reason in found.reasons
    ]
    lines.append(f"  {weight} {found.weight:+.2f} {gave} {found.demographics:+.2f}")
    if found.probability is not None:
        lines.append(f"  {share}: {found.probability:.4f}")
    if found.missing:
        lines.append(f"  {left_out}: {', '.join(found.missing)}")
    lines.append(f"  {SIMILAR_MEANS[thai]}")
    lines.append(f"  {found.rule}; {found.profile}, model {found.model[:16]}")
    return lines


def _row(path: Path, one: str, other: str) -> dict[str, Any]:
    either = [[("left", "==", one), ("right", "==", other)], [("left", "==", other), ("right", "==", one)]]
    try:
        rows = pq.read_table(path, filters=either).to_pylist()
    except OSError as error:
        raise ExtractUnreadable(path, error.strerror or "cannot be read") from None
    except (pa.ArrowException, KeyError):
        raise ExtractUnreadable(path, "is no file of pairs that `mpi link --pairs` wrote") from None
    if not rows:
        raise InputRejected(
            f"{path}: no such pair; a record id is unknown, or the two share no number and are near on no channel"
        )
    row: dict[str, Any] = rows[0]
    return row


def _score(model: Model, row: dict[str, Any], path: Path) -> Score:
    """The pair's evidence with the weights of the model, which have to add up to what was written."""
    evidence = []
    try:
        for name, comparison in model.comparisons.items():
            if row[name] is not None:
                evidence.append(Evidence(name, row[name], comparison.level(row[name]).weight))
    except KeyError:
        raise InputRejected(f"{path}: these pairs were weighed by other rules") from None
    weight = sum((term.weight for term in evidence), 0.0)
    if abs(weight - row["weight"]) > _CLOSE:
        raise InputRejected(f"{path}: these pairs were weighed by another model")
    demographics = sum((term.weight for term in evidence if term.comparison not in _KINDS), 0.0)
    return Score(weight, demographics, tuple(evidence))
