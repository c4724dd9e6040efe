"""A server under load of every kind for a while: no call fails; `benchmarks/soak.py` does it for half an hour."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.faults

ROOT = Path(__file__).resolve().parents[2]


def test_a_minute_of_everything(tmp_path: Path) -> None:
    """Lookups one by one, in batches and over streams, registrations, retractions and a feed, all at the same time."""
    command = [sys.executable, "benchmarks/soak.py", "--minutes", "1", "--json", str(tmp_path / "soak.json")]
    done = subprocess.run(command, cwd=ROOT, env={"PYTHONPATH": str(ROOT), "PATH": ""}, timeout=300, check=False)
    found = json.loads((tmp_path / "soak.json").read_text())
    assert (done.returncode, found["errors"]) == (0, {})
    assert min(found["calls"].values()) > 50
