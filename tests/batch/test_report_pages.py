"""Pages of figures: whole in themselves, well formed, and drawn where the numbers say."""

from __future__ import annotations

import math
import re
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest

from mpi.batch import evaluation_page, training_page
from mpi.batch.drawing import Axis, Bar, Line, bars, curves
from mpi.batch.evaluation import Truth, curve, evaluate
from mpi.cli.evaluate import run
from mpi.errors import InputRejected
from mpi.rules import Calibration
from tests.building import th_v1

VOID = {"meta", "link", "br", "hr", "img", "input", "path", "line", "rect", "circle", "polyline"}


class Tree(HTMLParser):
    """Opens and closes tags; what is left open, or closed without having been opened, is wrong."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.seen: set[str] = set()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.seen.add(tag)
        for name, value in attrs:
            assert not name.startswith("on"), "a page runs no script"
            assert name not in ("src", "href"), f"a page needs nothing else: {value}"
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.seen.add(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def read(text: str) -> Tree:
    tree = Tree()
    tree.feed(text)
    tree.close()
    assert tree.open == []
    assert "script" not in tree.seen
    assert "://" not in text
    return tree


def svgs(text: str) -> list[ElementTree.Element]:
    return [ElementTree.fromstring(found) for found in re.findall(r"<svg.*?</svg>", text, re.S)]


@pytest.fixture(scope="module")
def truth() -> Truth:
    dice = np.random.default_rng(2)
    persons = {f"r{number}": str(dice.integers(120)) for number in range(400)}
    return Truth(persons, {record: ("thai", "migrant & son")[int(dice.integers(2))] for record in persons})


def test_an_evaluation_is_one_whole_page(truth: Truth) -> None:
    """Bars of the strata, two drawings of thresholds, tables; without a file of pairs no thresholds."""
    dice = np.random.default_rng(3)
    made = evaluate(truth, {record: person for record, person in truth.persons.items() if dice.random() < 0.9})
    tried = curve(dice.normal(20, 15, 900), dice.random(900) < 0.5, 700)
    text = evaluation_page.render_html(made, tried)
    assert {"svg", "table", "figcaption"} <= read(text).seen
    assert len(svgs(text)) == 3
    assert "migrant &amp; son" in text
    assert f"{made.overall.precision:.5f}" in text
    assert f"{made.groups.recall:.5f}" in text
    bare = evaluation_page.render_html(made, None)
    read(bare)
    assert len(svgs(bare)) == 1
    read(evaluation_page.render_html(evaluate(Truth({}, {}), {}), curve(np.empty(0), np.empty(0, bool), 0)))


def test_a_training_is_one_whole_page() -> None:
    """A drawing for each comparison and one of the calibration, with the probabilities of every level."""
    model = th_v1().model
    made = replace(model, calibration=Calibration(((-12.0, 0.01), (8.5, 0.6), (44.0, 0.999))), digest="ab" * 32)
    text = training_page.render_html("th-v2", 1234, model, made)
    read(text)
    assert len(svgs(text)) == len(model.comparisons) + 1
    for comparison in model.comparisons.values():
        for level in comparison.levels:
            assert f"{level.weight:+.2f}" in text
    bare = training_page.render_html("th-v2", 1234, model, replace(made, calibration=Calibration(())))
    read(bare)
    assert len(svgs(bare)) == len(model.comparisons)
    assert "Not calibrated" in bare


def test_curves_lie_where_the_numbers_say() -> None:
    """Points go from the left to the right and the larger ones lie higher; on decades equal factors are equal steps."""
    (drawn,) = svgs(
        curves(
            "t", Axis("bits", 0, 10), Axis("share", 0.001, 1, decades=True), [Line("a", [(0, 0.01), (5, 0.1), (10, 1)])]
        )
    )
    (line,) = drawn.iter("polyline")
    points = [tuple(map(float, point.split(","))) for point in line.attrib["points"].split()]
    (x0, y0), (x1, y1), (x2, y2) = points
    assert x0 < x1 < x2
    assert y0 > y1 > y2
    assert x1 - x0 == pytest.approx(x2 - x1, abs=0.2)
    assert y0 - y1 == pytest.approx(y1 - y2, abs=0.2)
    assert len(list(drawn.iter("circle"))) == 3


def test_bars_go_from_zero_to_their_value() -> None:
    """A bar against lies left of zero, one for right of it, as long as it weighs."""
    (drawn,) = svgs(bars("t", Axis("bits", -10, 30), [Bar("against", -10, "-10"), Bar("for", 20, "+20", (10, 30), 5)]))
    against, favour = drawn.iter("rect")
    begin, end = float(against.attrib["x"]), float(against.attrib["x"]) + float(against.attrib["width"])
    assert begin < end
    assert end == pytest.approx(float(favour.attrib["x"]), abs=0.2)
    assert float(favour.attrib["width"]) == pytest.approx(2 * float(against.attrib["width"]), abs=0.3)
    assert len([path for path in drawn.iter("path") if path.attrib["class"] == "whisker"]) == 2


@pytest.mark.parametrize(("low", "high"), [(0, 1), (0, 0), (-35, 30), (0.9, 0.95), (3, 140), (0, 1e6)])
def test_ticks_are_round_few_and_inside(low: float, high: float) -> None:
    """Ticks lie within the axis, a step apart that starts with 1, 2 or 5."""
    ticks = Axis("", low, high).ticks()
    assert 1 <= len(ticks) <= 10
    assert all(low - 1e-9 <= tick <= high + 1e-9 for tick in ticks)
    if len(ticks) > 1:
        step = ticks[1] - ticks[0]
        assert round(step / 10 ** math.floor(math.log10(step) + 1e-9), 6) in (1, 2, 5)
    assert Axis("", 0.001, 1, decades=True).ticks() == pytest.approx([0.001, 0.01, 0.1, 1])


def test_a_report_never_takes_the_place_of_what_is_read(tmp_path: Path, truth: Truth) -> None:
    """The command writes the page beside its files, refuses another ending, and never writes over its input."""
    clusters, known = tmp_path / "clusters.html", tmp_path / "truth.csv"
    known.write_text("record_id,person_id,stratum\n1/a,p,thai\n1/b,p,thai\n")
    clusters.write_text("record_id,eid\n1/a,x\n1/b,x\n")
    for report, said in (
        (clusters, "is read"),
        (tmp_path / "report.pdf", "ends in"),
        (tmp_path / "no" / "r.html", "no"),
    ):
        with pytest.raises(InputRejected, match=said):
            run(known, clusters, report=report, as_json=True)
    run(known, clusters, report=tmp_path / "report.html", as_json=True)
    read((tmp_path / "report.html").read_text(encoding="utf-8"))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["clusters.html", "report.html", "truth.csv"]
