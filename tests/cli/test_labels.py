"""`mpi labels`, `mpi train --labels` and `mpi rules preview`, as commands on a centre's data folder."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from mpi.cli.main import app
from mpi.config import load_config
from mpi.domain.learning import Label
from mpi.domain.review import Verdict
from mpi.errors import InputRejected
from mpi.rules import rule_file
from mpi.server.bootstrap import application
from tests.building import encoded, key_ring, raw

NUMBER = "1103702488992"
SOMCHAI = raw("นายสมชาย ใจดี", "1", birth_date="15/03/2525", sex="1", national_id=NUMBER)
PRANEE = raw("นางปราณี ทองดี", "2", birth_date="20/11/2510", sex="2", national_id=NUMBER)


@pytest.fixture(scope="module")
def centre(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data folder with two records that a steward kept apart, and one more that links with the first."""
    folder = tmp_path_factory.mktemp("centre")
    ring = key_ring(folder)
    (folder / "mpi.toml").write_text(f'service_key = "secret/service.json"\nkey_epochs = ["{ring.current.name}"]\n')
    with application(load_config(folder / "data", folder / "mpi.toml", insecure=True)) as served:
        for facility, row in (("10661", SOMCHAI), ("11111", PRANEE)):
            served.registry.register(encoded(ring, facility, row), f"urn:mpi:facility:{facility}", "r")
        (listed,), _ = served.review.tasks()
        served.review.decide(listed.held.number, Verdict.DIFFERENT, "urn:mpi:steward:somsri", "r")
        served.registry.register(encoded(ring, "22222", SOMCHAI), "urn:mpi:facility:22222", "r")
    return folder


def run(centre: Path, *words: str) -> Result:
    return CliRunner().invoke(app, [*words, "--data", str(centre / "data"), "--config", str(centre / "mpi.toml")])


def test_labels_name_nobody(centre, tmp_path):
    """One line a decision: levels and the answer, and nothing that the store knows a person by."""
    out = tmp_path / "labels.jsonl"
    done = run(centre, "labels", "--out", str(out), "--json")
    assert json.loads(done.output) == {"same": 0, "different": 1}
    (label,) = [Label.from_line(line) for line in out.read_text().splitlines()]
    assert label.levels["national_id"] == "agree"
    assert not label.same
    assert isinstance(run(centre, "labels", "--out", str(out)).exception, InputRejected)  # never written over


def test_a_preview_tells_what_would_change(centre, tmp_path):
    """The same rules change nothing; rules that no link is good enough for lose those that there are."""
    same = json.loads(run(centre, "rules", "preview", "th-v1", "--json").output)
    assert (same["records"], same["sampled"], same["gained"], same["lost"]) == (3, 3, 0, 0)
    assert (same["decided"], same["linked_against"], same["missed"]) == (1, 0, 0)
    text = rule_file("th-v1").read_text(encoding="utf-8")
    strict, (setting,) = tmp_path / "strict.toml", re.findall(r"^demographics = .*$", text, re.M)
    strict.write_text(text.replace(setting, "demographics = 1000"), encoding="utf-8")
    strict.write_text(re.sub(r"^link = \S+", "link = 1000", strict.read_text(encoding="utf-8"), flags=re.M))
    done = run(centre, "rules", "preview", str(strict))
    assert done.exit_code == 0, done.exception
    assert "2  (about 2 of all)  link (number_and_demographics) -> review (number_alone)" in done.output
    assert "links gained: 0, lost: 2 of the 3" in done.output
    assert "of 1 pairs that people decided" in done.output


@pytest.mark.parametrize(
    ("content", "message"),
    [(b"", "no label"), (b"{}\n", "line 1"), (b"[" * 100_000, "line 1"), (b"\xff\xfe", "no text"), (None, "No such")],
)
def test_a_file_that_holds_no_labels_is_refused_before_the_work(tmp_path, content, message):
    """Empty, hostile, binary or missing: told with its line, before anything is trained or written."""
    file, out = tmp_path / "labels.jsonl", tmp_path / "new.toml"
    if content is not None:
        file.write_bytes(content)
    words = ["train", str(tmp_path / "none.parquet"), "--out", str(out), "--labels", str(file)]
    done = CliRunner().invoke(app, words)
    assert isinstance(done.exception, InputRejected)
    assert message in done.exception.message
    assert not out.exists()
