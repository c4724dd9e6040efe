"""Training: estimates near the truth, calibrations that ascend, and files that change only where they should."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pyarrow as pa
import pytest

from mpi.batch.linker import link_pairs, population
from mpi.batch.population import generate
from mpi.batch.rule_writing import with_model
from mpi.batch.training import FEWEST_LABELS, calibrate, labelled, train
from mpi.domain.learning import Label
from mpi.domain.review import TaskKind
from mpi.encoder.demographics import normalize
from mpi.encoder.encoded_file import encoded_schema, to_batch, write_encoded
from mpi.encoder.encoder import Encoder
from mpi.encoder.keys import new_key_ring
from mpi.encoder.sources import SourceRow, fhir, person43
from mpi.errors import InputRejected, RuleFileInvalid
from mpi.rules import Calibration, load_rules, rule_file
from tests.building import TODAY, th_v1

PERSONS = 1500


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A model trained on two facilities of a small population, and what it was trained on."""
    folder = tmp_path_factory.mktemp("training")
    ring, rules, paths = new_key_ring(folder / "keys"), th_v1(), []
    for facility, extract in generate(PERSONS, 21, folder / "population").extracts.items():
        encoder = Encoder(rules.profile, ring, facility, TODAY)
        schema = encoded_schema(encoder.header, 128)
        read = person43.read if extract.suffix == ".txt" else fhir.read
        people = [
            (row.row, row.raw.local_id, normalize(row.raw, TODAY))
            for row in read(extract)
            if isinstance(row, SourceRow)
        ]
        paths.append(folder / f"{facility}.parquet")
        write_encoded(paths[-1], schema, [pa.Table.from_batches([to_batch(encoder.columns(people), schema)])])
    with population(paths, rules) as held:
        pairs = link_pairs(held, rules)
        yield rules, pairs, train(held, pairs, rules)


def test_probabilities_are_probabilities(trained):
    """m and u of each comparison sum to one; u of the far away level is nearly one, m of the nearest the greatest."""
    rules, _, made = trained
    for name, comparison in made.model.comparisons.items():
        levels = comparison.levels
        assert [level.name for level in levels] == [level.name for level in rules.model.comparisons[name].levels]
        assert all(0 < level.m <= 1 and 0 < level.u <= 1 for level in levels)
        if name in "ABCD":
            assert sum(level.m for level in levels) == pytest.approx(1, abs=0.01)
            assert sum(level.u for level in levels) == pytest.approx(1, abs=0.01)
            assert levels[-1].u > 0.99
            assert levels[0].weight > 15 > 0 > levels[-1].weight


def test_a_number_in_common_is_found_by_itself(trained):
    """The share of one person's pairs that agree on the national id comes out near what the population has."""
    _, _, made = trained
    agree, disagree = made.model.comparisons["national_id"].levels
    assert 0.95 < agree.m < 1
    assert disagree.m < 0.05
    assert made.seeds > PERSONS / 4
    assert made.strangers > 100_000
    assert made.rounds < 100


def test_calibration_ascends_and_separates(trained):
    """The more weight the likelier one person: near nothing for the lightest pairs, near certain for the heaviest."""
    _, pairs, made = trained
    points = calibrate(pairs, made.model).points
    weights, shares = zip(*points, strict=True)
    assert list(weights) == sorted(weights)
    assert list(shares) == sorted(shares)
    assert shares[0] < 0.5 < 0.95 < shares[-1]
    line = Calibration(((0.0, 0.1), (10.0, 0.5), (20.0, 0.9)))
    assert [line.probability(bits) for bits in (-5, 0, 5, 15, 99)] == pytest.approx([0.1, 0.1, 0.3, 0.7, 0.9])
    assert Calibration(()).probability(3.0) is None


def test_a_trained_file_differs_in_the_model_alone(trained, tmp_path: Path):
    """The new rule file keeps the profile, the thresholds and the comments, and reads back as what was trained."""
    rules, _, made = trained
    text = rule_file("th-v1").read_text(encoding="utf-8")
    written = tmp_path / "new.toml"
    written.write_text(with_model(text, replace(made.model, provenance='made "here"')), encoding="utf-8")
    read = load_rules(written)
    assert read.profile == rules.profile
    assert read.model.decision == rules.model.decision
    assert read.model.comparisons == made.model.comparisons
    assert read.model.calibration == made.model.calibration
    assert read.model.provenance == 'made "here"'
    comments = [line for line in text.splitlines() if line.startswith("#")]
    assert all(comment in written.read_text(encoding="utf-8") for comment in comments)
    again = with_model(written.read_text(encoding="utf-8"), read.model)
    assert again == written.read_text(encoding="utf-8")


def test_a_file_that_cannot_be_rewritten_is_refused(trained):
    """Levels that do not stand where they are expected are not lost in silence."""
    with pytest.raises(ValueError, match="could be put in place"):
        with_model("[model]\nprovenance = 'x'\n", trained[2].model)


def test_a_channel_beside_another_shares_its_buckets(tmp_path: Path):
    """A second vector of the same buckets is read; of other buckets, or if being elsewhere weighed again, it is not."""
    shipped = rule_file("latin-v1").read_text(encoding="utf-8")
    first, rest = shipped.split("[[profile.channel]]", 1)
    channel = '[[profile.channel]]\nname = "W"\nbucket = ["birth_date"]\nrequire = []\nfeatures = []\n\n'
    levels = '{ level = "met", similarity = 0, m = 0.9, u = 0.1 }, { level = "elsewhere", m = 1, u = 1 }'
    comparison = f'[[model.comparison]]\non = "W"\nbeside = "A"\nlevels = [{levels}]\n\n[model.decision]'
    text = first + channel + "[[profile.channel]]" + rest.replace("[model.decision]", comparison, 1)
    for table in ("[gateway.diffusion]", "[model.decision.candidate_similarity]"):
        text = text.replace(table, f"{table}\nW = 1", 1)
    path = tmp_path / "latin.toml"
    path.write_text(text, encoding="utf-8")
    assert load_rules(path).model.comparisons["W"].beside == "A"
    for was, wrong, problem in (
        ('beside = "A"', 'beside = "B"', "same bucket fields"),
        ("m = 1, u = 1 }", "m = 0.5, u = 1 }", "weighs nothing"),
    ):
        assert was in text
        path.write_text(text.replace(was, wrong), encoding="utf-8")
        with pytest.raises(RuleFileInvalid, match=problem):
            load_rules(path)


def said(model, count, same):
    """Labels of pairs with one date and another name: some bits, and no number in common."""
    names = {name: [level.name for level in each.levels] for name, each in model.comparisons.items()}
    levels = {"A": names["A"][-1], "B": names["B"][0]}
    return [Label(number < same, TaskKind.POSSIBLE_LINK, levels) for number in range(count)]


def test_people_s_word_is_the_calibration_where_they_were_asked(trained):
    """Where stewards decided, the share of one person is theirs; far from there it is what national ids tell."""
    _, pairs, made = trained
    before = made.model.calibration
    few, many = (calibrate(pairs, made.model, said(made.model, 200, same)) for same in (10, 190))
    weight = float(labelled(said(made.model, 200, 10), made.model)[0][0])
    assert few.probability(weight) < 0.15  # ten of two hundred
    assert many.probability(weight) > 0.5  # nearly all; lighter pairs draw the line down
    assert few.probability(-100) == pytest.approx(before.probability(-100), abs=0.01)
    for made_of in (few, many):
        assert list(made_of.points) == sorted(made_of.points)
        assert [share for _, share in made_of.points] == sorted(share for _, share in made_of.points)


def test_labels_that_cannot_teach_are_refused(trained):
    """Too few of them, those about a number in common alone, and those of other rules: each is told."""
    _, pairs, made = trained
    with pytest.raises(InputRejected, match="too few"):
        calibrate(pairs, made.model, said(made.model, FEWEST_LABELS - 1, 10))
    shared = [Label(True, TaskKind.OVERLAY, {"national_id": "agree"})] * FEWEST_LABELS
    with pytest.raises(InputRejected, match="0 labels"):
        calibrate(pairs, made.model, shared)
    for levels in ({"Z": "near"}, {"A": "somewhere"}):
        with pytest.raises(InputRejected, match="other rules"):
            calibrate(pairs, made.model, [Label(True, TaskKind.OVERLAY, levels)] * FEWEST_LABELS)
    with pytest.raises(InputRejected, match="compares none"):
        labelled(said(made.model, 60, 3), load_rules(rule_file("latin-v1")).model)
