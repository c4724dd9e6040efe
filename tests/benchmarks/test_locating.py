"""The benchmark of lookups, run small as anybody would call it: what it reports holds together."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.benchmarks.test_linking import figures_of


def test_lookups_beside_other_ways(tmp_path: Path) -> None:
    """Every row has both sides and a ratio of processor times; latencies come with their quantiles in order."""
    figures = figures_of("locate.py", tmp_path, "--data", str(tmp_path / "data"))
    (size,) = figures["sizes"]
    assert size["held"] > 500
    rows = [size[name] for name in ("unary_mtls", "unary", "batch_postgres")]
    for row in rows:
        assert row["ratio"] == pytest.approx(row["reference"]["microseconds"] / row["ours"]["microseconds"])
        assert row["ours"]["per_second"] > 0
    for when in ("idle", "registering"):
        spread = size["latency"][when]
        assert 0 < spread["p50"] <= spread["p99"] <= spread["p99.9"]
    assert size["workers"]["ratio"] > 0


def test_lookups_in_indexes_that_grow(tmp_path: Path) -> None:
    """Both indexes hold whom they should, and the larger one is larger."""
    figures = figures_of("lookup_sizes.py", tmp_path)
    (size,) = figures["sizes"]
    assert size["identities"] > size["against"]
    assert size["index_bytes"] > 400 * size["identities"]
    for row in (size["unary"], size["batch"]):
        assert row["ratio"] == pytest.approx(row["reference"]["microseconds"] / row["ours"]["microseconds"])
