"""The main job end to end, as `mpi demo` runs it and as the same steps do by hand."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections import defaultdict
from pathlib import Path

from mpi.cli.register import register_files
from mpi.config import load_store_config
from mpi.encoder.keys import load_key_ring
from mpi.encoder.tokens import PointerBox
from mpi.server.bootstrap import opened

FACILITIES = ("10661", "HL001")


def demo(out: Path, persons: int) -> dict[str, object]:
    command = [sys.executable, "-m", "mpi", "demo", "--persons", str(persons), "--out", str(out), "--json"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr
    figures: dict[str, object] = json.loads(done.stdout)
    return figures


def partition(root: Path) -> set[frozenset[str]]:
    """Records that lie in one identity, by facility and local id, read from the store and opened by the facilities."""
    boxes = {f: PointerBox(load_key_ring(root / "keys" / f).pointer_secret, f) for f in FACILITIES}
    groups: dict[str, set[str]] = defaultdict(set)
    with opened(load_store_config(root / "data", root / "mpi.toml")) as (store, _):
        for live in store.records():
            facility = live.record.facility
            groups[live.eid].add(f"{facility}/{boxes[facility].open(live.record.pointer)}")
    return {frozenset(group) for group in groups.values()}


def test_the_demo_links_and_a_second_run_does_too(tmp_path: Path) -> None:
    """Two runs in one folder both end well, link across platforms, and make no wrong pair in a small population."""
    first = demo(tmp_path / "demo", 400)
    assert first["precision"] >= 0.99  # type: ignore[operator]
    assert first["recall"] >= 0.9  # type: ignore[operator]
    assert first["across_platforms"] > 100  # type: ignore[operator]
    assert len(first["samples"]) == 3  # type: ignore[arg-type]
    second = demo(tmp_path / "demo", 400)
    assert second["records"] == first["records"]


def test_the_demo_leaves_no_process_behind(tmp_path: Path) -> None:
    """When the demo has ended, no server runs on its data."""
    demo(tmp_path / "demo", 100)
    mine = str(tmp_path).encode()
    for process in Path("/proc").iterdir():
        if process.name.isdigit() and int(process.name) != os.getpid():
            try:
                assert mine not in (process / "cmdline").read_bytes()
            except OSError:
                continue


def test_the_demo_refuses_a_folder_of_others(tmp_path: Path) -> None:
    """A folder that holds anything else than a demo is left as it is."""
    (tmp_path / "thesis.txt").write_text("years of work")
    command = [sys.executable, "-m", "mpi", "demo", "--persons", "100", "--out", str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 1
    assert "another folder" in done.stderr
    assert (tmp_path / "thesis.txt").read_text() == "years of work"


def test_the_steps_by_hand_give_the_identities_of_the_demo(tmp_path: Path) -> None:
    """Registering the demo's encoded files in a new index by command gives the same groups of records."""
    root = tmp_path / "demo"
    demo(root, 300)
    expected = partition(root)
    # The keys stay: the gateway's noise comes from them, so other keys would move pairs that lie at the threshold.
    (root / "data").rename(root / "data-of-the-demo")
    command = [sys.executable, "-m", "mpi", "serve", "--data", str(root / "data"), "--config", str(root / "mpi.toml")]
    with subprocess.Popen([*command, "--json"], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as server:
        try:
            assert server.stdout is not None
            address = json.loads(server.stdout.readline())["listening"]
            for facility in FACILITIES:
                files = [root / "encoded" / f"{facility}.parquet"]
                register_files(files, address, root / "certs" / f"facility-{facility}", lambda _: None)
        finally:
            server.terminate()
            server.wait(30)
    assert partition(root) == expected
