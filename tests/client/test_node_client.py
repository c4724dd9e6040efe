"""A client in another language, built from the protos alone, speaks with the server."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.server.running import FACILITY, MemoryIndex, certificates, running, server_tls

ROOT = Path(__file__).resolve().parents[2]
SOURCE = ROOT / "tests" / "clients" / "node"
UNREACHABLE = ("ENOTFOUND", "EAI_AGAIN", "ECONNREFUSED", "ECONNRESET", "ETIMEDOUT", "ENETUNREACH", "EHOSTUNREACH")


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Install the client's packages beside a copy of it; nothing is left in the source tree."""
    for tool in ("node", "npm"):
        if shutil.which(tool) is None:
            pytest.skip(f"{tool} is not installed")
    folder = tmp_path_factory.mktemp("node")
    for name in ("package.json", "client.mjs"):
        shutil.copy(SOURCE / name, folder)
    command = ["npm", "install", "--no-audit", "--no-fund", "--no-package-lock", "--fetch-retries=1"]
    try:
        done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=120)
    except subprocess.TimeoutExpired:
        pytest.skip("the npm registry did not answer within 120 s")
    if done.returncode and any(code in done.stderr for code in UNREACHABLE):
        pytest.skip("the npm registry cannot be reached")
    assert done.returncode == 0, done.stderr
    return folder / "client.mjs"


def test_a_node_client_registers_and_locates(program, tmp_path):
    """With nothing but the protos a Node client registers a record and finds it, and sees why it is refused."""
    certs = certificates(tmp_path)
    index = MemoryIndex()
    with running(index.application(), server_tls(certs)) as address:
        folders = [str(certs / f"facility-{FACILITY}"), str(certs / "exchange-cdes")]
        command = ["node", str(program), address, str(ROOT / "protos"), *folders, FACILITY]
        done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    answer = json.loads(done.stdout)
    assert answer["registration"]["decision"] == "DECISION_STORED"
    ((eid, _),) = index.records.values()
    assert answer["identities"] == [{"eid": eid, "locations": [{"facility": FACILITY, "pointer": "sealed"}]}]
    assert answer["refusal"]["code"] == "INVALID_ARGUMENT"
    assert index.actors == [f"urn:mpi:facility:{FACILITY}"]
