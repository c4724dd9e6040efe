"""`mpi explain`: from a file of pairs to sentences, and no word about a pair that other rules weighed."""

from __future__ import annotations

import json
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from mpi.cli.explain import run
from mpi.domain.identifiers import IdentifierKind, IdentifierToken
from mpi.errors import InputRejected
from mpi.linkage.explanation import explain
from mpi.linkage.fellegi_sunter import Features, Score, weigh
from tests.building import th_v1

RULES = th_v1()
ONE, OTHER = "10661/HN-ONE", "HL001/HN-OTHER"


@pytest.fixture
def score() -> Score:
    side = Features.of((IdentifierToken(IdentifierKind.PHONE, b"1"),), frozenset("ABC"))
    return weigh(RULES.model, side, side, {"A": 0.8})


@pytest.fixture
def pairs(tmp_path: Path, score: Score) -> Path:
    """A file as `mpi link --pairs` writes it."""
    row = {"left": ONE, "right": OTHER, "weight": score.weight, "demographics": score.demographics}
    row |= {name: score.level(name) or None for name in RULES.model.comparisons}
    path = tmp_path / "pairs.parquet"
    pq.write_table(pa.Table.from_pylist([row, {**row, "left": "10661/X", "weight": 1.0}]), path)
    return path


def test_a_pair_is_explained_in_either_order(pairs: Path, score: Score, capsys: pytest.CaptureFixture[str]) -> None:
    """The figures are those of the explanation itself, whichever record is named first."""
    for sides in ((ONE, OTHER), (OTHER, ONE)):
        run("th-v1", pairs, *sides, as_json=True)
        assert json.loads(capsys.readouterr().out) == json.loads(json.dumps(explain(RULES, score).figures()))


@pytest.mark.parametrize(("language", "said"), [("en", "Same phone number."), ("th", "หมายเลขโทรศัพท์ตรงกัน")])
def test_sentences_of_a_language(
    pairs: Path, score: Score, language: str, said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """Every term has its line with weight and sentence, and no record id is repeated."""
    run("th-v1", pairs, ONE, OTHER, language, as_json=False)
    printed = capsys.readouterr().out
    assert said in printed
    assert all(f"{term.weight:+.2f}" in printed for term in score.evidence)
    assert f"{score.weight:+.2f}" in printed
    assert "HN-" not in printed


def test_what_cannot_be_explained_is_refused(pairs: Path, tmp_path: Path) -> None:
    """A pair that is not there, weights of another model, another language and other files; no record id is told."""
    other = tmp_path / "other.parquet"
    pq.write_table(pa.table({"left": [ONE], "right": [OTHER], "weight": [1.0]}), other)
    text = tmp_path / "pairs.csv"
    text.write_text("left,right\n")
    for path, one, language, said in (
        (pairs, "10661/HN-THREE", "en", "no such pair"),
        (pairs, "10661/X", "en", "another model"),
        (pairs, ONE, "lo", "--language"),
        (other, ONE, "en", "other rules"),
        (text, ONE, "en", "is no file of pairs"),
        (tmp_path / "none", ONE, "en", "none"),
    ):
        with pytest.raises(InputRejected, match=said) as refused:
            run("th-v1", path, one, OTHER, language, as_json=False)
        assert "HN-" not in str(refused.value)
