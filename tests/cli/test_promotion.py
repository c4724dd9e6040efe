"""`mpi rules promote` and `mpi rules rollback`: settings that name other rules, and the way back."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from mpi.cli.main import app
from mpi.config import load_store_config
from mpi.errors import ConfigInvalid, InputRejected, RuleFileInvalid
from mpi.rules import load_rules, rule_file

SETTINGS = """# the centre's settings
listen = "127.0.0.1:0"   # any port
rules = "th-v1"          # shipped

[limits]
lookups = 5
"""


@pytest.fixture
def config(tmp_path: Path) -> Path:
    path = tmp_path / "mpi.toml"
    path.write_text(SETTINGS, encoding="utf-8")
    path.chmod(0o640)
    return path


def stricter(folder: Path, link: int) -> Path:
    """Shipped rules with another threshold."""
    text = rule_file("th-v1").read_text(encoding="utf-8")
    path = folder / f"link-{link}.toml"
    path.write_text(re.sub(r"^link = \S+", f"link = {link}", text, flags=re.M), encoding="utf-8")
    return path


def run(config: Path, *words: str) -> Result:
    return CliRunner().invoke(app, ["rules", *words, "--config", str(config)])


def in_force(config: Path) -> str:
    return load_rules(rule_file(load_store_config(Path("data"), config).rules)).model.digest


def test_there_and_back_again(config, tmp_path):
    """Two promotions and two ways back lead to the settings' own rules; nothing else in the settings changes."""
    digests = [in_force(config)]
    for link in (50, 60):
        done = run(config, "promote", str(stricter(tmp_path, link)))
        assert done.exit_code == 0, done.exception
        digests.append(in_force(config))
    assert len(set(digests)) == 3
    lines = config.read_text(encoding="utf-8").splitlines()
    assert [line for line in lines if not line.startswith("rules")] == [
        line for line in SETTINGS.splitlines() if not line.startswith("rules")
    ]
    assert config.stat().st_mode & 0o777 == 0o640
    for digest, left in ((digests[1], digests[2]), (digests[0], digests[1])):
        assert f"--rules-digest {left}" in run(config, "rollback").output
        assert in_force(config) == digest
    assert isinstance(run(config, "rollback").exception, InputRejected)
    assert json.loads(run(config, "promote", str(tmp_path / "link-60.toml"), "--json").output)["left"] == "th-v1"


def test_settings_that_name_no_rules_get_a_line(config, tmp_path):
    """The setting has a default; promoting writes it above the first table."""
    config.write_text("[limits]\nlookups = 5\n", encoding="utf-8")
    assert run(config, "promote", str(stricter(tmp_path, 50))).exit_code == 0
    assert in_force(config) == load_rules(tmp_path / "link-50.toml").model.digest
    assert run(config, "rollback").exit_code == 0
    assert in_force(config) == load_rules(rule_file("th-v1")).model.digest


def test_rules_that_cannot_be_taken_are_refused(config, tmp_path):
    """Another profile, the same rules, no rules, broken rules, no settings: each is told, and nothing is written."""
    (tmp_path / "broken.toml").write_text("x = 1")
    for name, error in (
        ("latin-v1", InputRejected),
        ("th-v1", InputRejected),
        (str(tmp_path / "none.toml"), RuleFileInvalid),
        (str(tmp_path / "broken.toml"), RuleFileInvalid),
    ):
        assert isinstance(run(config, "promote", name).exception, error)
    assert isinstance(run(tmp_path / "no.toml", "promote", "th-v1").exception, ConfigInvalid)
    assert config.read_text(encoding="utf-8") == SETTINGS
    assert not (tmp_path / "mpi.toml.rules.jsonl").exists()


def test_a_way_back_leads_to_the_very_rules_or_nowhere(config, tmp_path):
    """Rules edited since, rules set by hand, and a damaged history: none of them is a way back."""
    first, second = stricter(tmp_path, 50), stricter(tmp_path, 60)
    run(config, "promote", str(first))
    run(config, "promote", str(second))
    first.write_text(stricter(tmp_path, 70).read_text(encoding="utf-8"), encoding="utf-8")
    assert "changed since" in run(config, "rollback").exception.message
    by_hand = config.read_text(encoding="utf-8").replace(str(second), "th-v1")
    config.write_text(by_hand, encoding="utf-8")
    assert "by hand" in run(config, "rollback").exception.message
    (tmp_path / "mpi.toml.rules.jsonl").write_text("{}\n")
    assert "what was promoted" in run(config, "rollback").exception.message
    assert config.read_text(encoding="utf-8") == by_hand


def test_a_setting_that_cannot_be_told_apart_is_left(config, tmp_path):
    """A line inside of a longer text looks like the setting; rather nothing than the wrong line is written."""
    hostile = 'listen = """\nrules = "th-v1"\n"""\n'
    config.write_text(hostile, encoding="utf-8")
    done = run(config, "promote", str(stricter(tmp_path, 50)))
    assert "by hand" in done.exception.message
    assert config.read_text(encoding="utf-8") == hostile
