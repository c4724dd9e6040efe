"""The documents say what is true: their commands run, and every key and setting is described."""

from __future__ import annotations

import os
import re
import socket
import subprocess
import sys
from dataclasses import fields
from pathlib import Path

from mpi.rules import DecisionRules

ROOT = Path(__file__).resolve().parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")
RULES = (ROOT / "linkage_rules/README.md").read_text(encoding="utf-8")


def blocks(mark: str) -> list[str]:
    return re.findall(rf"<!-- {mark} -->\n```bash\n(.*?)```", README, re.DOTALL)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def test_the_quickstart_runs_as_it_stands(tmp_path: Path) -> None:
    """Every command of the quickstart, in its order, ends well, and the last one prints a location."""
    shim = tmp_path / "bin" / "mpi"
    shim.parent.mkdir()
    shim.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m mpi "$@"\n')
    shim.chmod(0o755)
    environment = {**os.environ, "PATH": f"{shim.parent}:{os.environ['PATH']}", "PYTHONPATH": str(ROOT)}
    work = tmp_path / "work"
    work.mkdir()
    port = str(free_port())

    def said(script: str) -> str:
        script = script.replace("--persons 3000", "--persons 200").replace("7443", port)
        command = ["bash", "-euc", script]
        done = subprocess.run(
            command, cwd=work, env=environment, capture_output=True, text=True, timeout=120, check=False
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    *before, after = blocks("run")
    for block in before:
        said(block)
    (serve,) = blocks("serve")
    command = [*serve.split(), "--json"]
    with subprocess.Popen(
        command, cwd=work, env=environment, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
    ) as server:
        try:
            assert server.stdout is not None
            assert port.encode() in server.stdout.readline()
            assert re.search(r"\n[0-9a-f-]{36}\n  10661  pointer [0-9a-f]+\n", said(after))
            told = "".join(said(block) for block in blocks("serving"))
            assert "the index is right" in told
            assert "made anew" in told
            assert "no question waits" in told
        finally:
            server.terminate()
            server.wait(30)
    assert "the index is right" in said("mpi index verify --data data --config mpi.toml")
    (restoring,) = blocks("stopped")
    assert said(restoring).count("the index is right") == 2
    for block in (*blocks("batch"), *blocks("facility"), *blocks("audit")):
        assert said(block)
    assert "made anew" in said("mpi index rebuild --data data --config mpi.toml")
    assert "the index is right" in said("mpi index verify --data data --config mpi.toml")


def test_the_two_commands_stand_on_the_first_screen() -> None:
    """A newcomer finds the two commands without scrolling."""
    top = "\n".join(README.splitlines()[:40])
    assert "pip install . && mpi demo" in top
    assert 'pip install ".[test]" && pytest' in top


def test_every_key_of_a_rule_file_is_described() -> None:
    """Each key that the reader of rule files takes stands in their document."""
    source = (ROOT / "mpi/rules.py").read_text(encoding="utf-8")
    keys = {
        key for call in re.findall(r"self\._take\([^()]*\(([^()]*)\)\)", source) for key in re.findall(r'"(\w+)"', call)
    }
    keys |= {field.name for field in fields(DecisionRules)}
    assert {"bucket", "levels", "anchors"} <= keys
    described = set(re.findall(r"\w+", " ".join(re.findall(r"`[^`]*`|\[\[?[\w.]+\]\]?", RULES))))
    assert keys - described == set()


def test_every_setting_is_described() -> None:
    """Each setting of the server stands in the README."""
    from mpi.config import _KEYS, _TLS_KEYS

    assert {key for key in _KEYS | _TLS_KEYS if key not in README} == set()
