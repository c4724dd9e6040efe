"""The comparison side of the benchmark: the plaintext table, and decisions on pairs made by hand."""

from __future__ import annotations

import datetime
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from benchmarks.baselines.decision import (
    Truth,
    Weighed,
    best,
    clustered,
    compare_ways,
    curve,
    judged,
    precise,
    ruled,
    stock,
)
from benchmarks.baselines.plaintext import SCHEMA, read_table, read_truth
from mpi.batch.evaluation import pair_quality
from mpi.batch.population import STRATA, generate

TODAY = datetime.date(2026, 9, 1)
ROOT = Path(__file__).parents[2]
ANNA = {"given_latin": "ana", "family_latin": "jaidi", "birth_date": "1987-04-05", "sex": "2"}


def people(*rows: dict[str, str | None]) -> pa.Table:
    """A table of people of whom only what matters is known."""
    empty = dict.fromkeys(SCHEMA.names)
    return pa.Table.from_pylist([{**empty, **row} for row in rows], SCHEMA)


def pairs(*rows: tuple[int, int, float], ids: tuple[int, ...] = (), carries: bool = True) -> Weighed:
    """Pairs as (left, right, weight); `ids` is the number that each record has, -1 for none."""
    left, right, weight = (np.array(column) for column in zip(*rows, strict=True))
    codes = np.array(ids, np.int64)
    carried = np.full(len(left), carries)
    return Weighed(
        left,
        right,
        weight.astype(float),
        carried,
        carried,
        {"national_id": (np.flatnonzero(codes >= 0), codes[codes >= 0])},
    )


def judge(
    one: dict[str, str | None], other: dict[str, str | None], evidence: float = 1.0, *, family: bool = True
) -> tuple[bool, bool]:
    """Whether a pair, with names alike, carries a link by number and by anchor."""
    yes = np.array([True])
    found = judged(
        people(one, other), np.array([0]), np.array([1]), np.array([5.0]), np.array([evidence]), yes & family, yes
    )
    return bool(found.by_number[0]), bool(found.by_anchor[0])


@pytest.fixture(scope="module")
def population(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("population")
    generate(300, 5, folder)
    return folder


def test_a_population_becomes_a_table_with_one_row_a_record(population: Path) -> None:
    """Both formats are read, every record once, and truth knows them all."""
    table = read_table(population, TODAY)
    truth = read_truth(population)
    assert sorted(table["record_id"].to_pylist()) == sorted(truth)
    assert table["given_latin"].null_count < table.num_rows * 0.01
    assert {record_id.partition("/")[0] for record_id in table["record_id"].to_pylist()} == {"10661", "HL001"}


def test_thai_and_latin_names_meet_in_the_table(tmp_path: Path) -> None:
    """Names are normalised in their script and folded in Latin, further names and numbers are kept apart by kind."""
    (tmp_path / "columns.toml").write_text(
        'local_id = "hn"\ngiven = "fname"\nfamily = "lname"\nlatin_given = "first"\nlatin_family = "last"\n'
        'birth_date = "dob"\nsex = "sex"\nnational_id = "cid"\nhouse = "house"\n',
        encoding="utf-8",
    )
    (tmp_path / "people.csv").write_text(
        "hn,fname,lname,first,last,dob,sex,cid,house\n"
        "1,สมชาย,ใจดี,Somchai,Chaidee,05/04/2530,1,1101700230708,99/1 หมู่ 2\n2,Somchai,Jaidee,,,2530,1,,\n",
        encoding="utf-8",
    )
    facility = {"code": "CSV01", "format": "csv", "file": "people.csv", "mapping": "columns.toml"}
    (tmp_path / "manifest.json").write_text(json.dumps({"facilities": [facility]}), encoding="utf-8")
    thai, latin = read_table(tmp_path, TODAY).to_pylist()
    assert (thai["record_id"], thai["given"], thai["family"]) == ("CSV01/1", "สมชาย", "ใจดี")
    assert thai["given_latin"] == latin["given_latin"]
    assert len(thai["given_forms"]) >= 1
    assert thai["given_latin"] in thai["given_forms"]
    assert (thai["birth_date"], thai["birth_year"], thai["birth_day"]) == ("1987-04-05", 1987, 5)
    assert (thai["house"], thai["sex"], thai["subdistrict"]) == ("99/1", "1", None)
    assert (latin["birth_date"], latin["birth_month"], latin["birth_day"]) == ("1987-01-01", None, None)
    assert latin["national_id"] is None


def test_stock_chains_what_clusters_keep_apart() -> None:
    """Connected components follow one false pair; constrained clusters heed two numbers."""
    chain = pairs((0, 1, 20.0), (1, 2, 9.0), (2, 3, 20.0), ids=(1, 1, 2, 2))
    assert stock(chain, 5, 5.0).tolist() == [0, 0, 0, 0, 4]
    assert stock(chain, 5, 10.0).tolist() == [0, 0, 2, 2, 4]
    assert clustered(chain, 5, 5.0).tolist() == [0, 0, 2, 2, 4]


def test_stock_joins_a_long_chain_in_any_order() -> None:
    """Components are found whole however the pairs lie."""
    rows = [(place, place + 1, 1.0) for place in range(200)]
    shuffled = [rows[place] for place in np.random.default_rng(3).permutation(200)]
    assert stock(pairs(*shuffled), 202, 0.0).tolist() == [0] * 201 + [201]


def test_evidence_against_keeps_clusters_apart() -> None:
    """A pair at the threshold does not join groups whose other pairs speak against it."""
    square = pairs((0, 1, 20.0), (2, 3, 20.0), (1, 2, 6.0), (0, 2, -9.0), (1, 3, -9.0), (0, 3, -9.0))
    assert clustered(square, 4, 5.0).tolist() == [0, 0, 2, 2]


def test_rules_link_only_what_carries_a_link() -> None:
    """However heavy, a pair without ground does not link; an anchor needs the threshold, a number does not."""
    assert ruled(pairs((0, 1, 40.0), carries=False), 2, 0.0).tolist() == [0, 1]
    light = pairs((0, 1, 2.0))
    assert ruled(light, 2, 5.0).tolist() == [0, 0]
    assert ruled(
        Weighed(light.left, light.right, light.weight, ~light.by_number, light.by_anchor, {}), 2, 5.0
    ).tolist() == [0, 1]


def test_a_number_needs_demographics_that_do_not_contradict() -> None:
    """A number in common links unless all the rest speaks against it; phones are no such numbers."""
    first, second = {"alien_id": "1"}, {"alien_id": "1"}
    assert judge(first, second, evidence=0.0) == (True, False)
    assert judge(first, second, evidence=-0.1) == (False, False)
    assert judge({"phone": "1"}, {"phone": "1"}) == (False, False)
    assert judge({"alien_id": "1"}, {"passport": "1"}) == (False, False)


@pytest.mark.parametrize(
    ("other", "family", "anchored"),
    [
        ({}, True, True),
        ({}, False, False),
        ({"birth_date": "1987-04-06"}, True, False),
        ({"sex": "1"}, True, False),
        ({"sex": None}, True, False),
    ],
)
def test_an_anchor_is_date_sex_and_both_names(other: dict[str, str | None], family: bool, anchored: bool) -> None:
    """Without a number, birth date, sex and both names have to agree."""
    assert judge(ANNA, ANNA | other, family=family) == (False, anchored)


def test_default_days_and_single_names_need_a_phone() -> None:
    """1 January and people of one name are anchored only with the same phone."""
    default = ANNA | {"birth_date": "1987-01-01"}
    single = ANNA | {"family_latin": None}
    phone = {"phone": "0812345678"}
    assert judge(default, default) == (False, False)
    assert judge(default | phone, default | phone) == (False, True)
    assert judge(single, single, family=False) == (False, False)
    assert judge(single | phone, single | phone, family=False) == (False, True)
    assert judge(single | phone, ANNA | phone, family=False) == (False, False)


def test_quality_counts_every_record_of_the_truth() -> None:
    """Pairs of records that no tool saw count as missed, as they do for the encoded path."""
    known = {"a": ("p", "hard"), "b": ("p", "easy"), "c": ("p", "easy"), "d": ("q", "easy"), "lost": ("q", "easy")}
    truth = Truth.of(known, ["d", "c", "b", "a"], ("hard", "easy"))
    groups = np.array([0, 0, 2, 2, 4])  # {d, c}, {b, a}, {lost}
    found = truth.quality(groups)
    expected = pair_quality(
        {record: person for record, (person, _) in known.items()}, dict(zip("dcba", "xxyy", strict=True))
    )
    assert found == expected
    assert truth.recall_by_stratum(groups) == {"hard": (0.5, 2), "easy": (0.0, 2)}
    assert truth.completeness(np.array([3, 1]), np.array([2, 0])) == 0.25


def test_truth_pairs_are_all_pairs_of_a_person(population: Path) -> None:
    """As many pairs as the counts say, each of two records of one person."""
    known = read_truth(population)
    truth = Truth.of(known, list(known), STRATA)
    left, right = truth.pairs()
    assert len(left) == truth.quality(np.arange(len(truth))).matches
    assert (truth.persons[left] == truth.persons[right]).all()
    assert (left != right).all()


def test_curves_find_the_best_threshold() -> None:
    """The best point has the greatest F1, the precise one the greatest recall at the precision asked for."""
    truth = Truth(np.array([0, 0, 1, 1, 2]), np.zeros(5, np.int64), ("all",))
    weighed = pairs((0, 1, 9.0), (2, 3, 3.0), (3, 4, 3.0))
    points = curve(weighed, truth, stock, [0.0, 5.0, 10.0])
    assert [each.false_links for each in points] == [2, 0, 0]
    assert best(points).threshold == 5.0
    assert precise(points) == points[1]
    assert precise(points[:1]) is None
    figures = compare_ways(weighed, truth, [0.0, 5.0], {"stock": 10.0})
    assert figures["stock"]["fixed"]["recall"] == 0.0
    assert figures["ruled"]["best_f1"]["recall_by_stratum"] == {"all": {"recall": 1.0, "pairs": 2}}


@pytest.mark.parametrize("module", ["splink", "ecm", "febrl", "classifier", "mixtures"])
def test_missing_packages_are_named(module: str) -> None:
    """Where the packages of the extra are missing, a baseline says so and how to get them."""
    code = (
        "import sys, runpy\n"
        "for name in ('splink', 'duckdb', 'recordlinkage', 'pandas'): sys.modules[name] = None\n"
        f"runpy.run_module('benchmarks.baselines.{module}', run_name='__main__')"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=60)
    assert done.returncode == 1
    assert "is not installed" in done.stderr
    assert "pip install '.[bench]'" in done.stderr
