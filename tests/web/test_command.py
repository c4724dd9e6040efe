"""`mpi review`: the page of one steward on this machine, and what it refuses."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx2
import pytest
from typer.testing import CliRunner

from mpi.cli.main import app
from mpi.errors import ConfigInvalid
from mpi.server.certs import issue_dev_certificates

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def certs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("page") / "certs"
    issue_dev_certificates(folder, ["10661"], [], ["somsri"])
    return folder


@contextmanager
def reviewing(folder: Path, *arguments: str) -> Iterator[str]:
    """Run the command until the block ends; give the link that it says."""
    command = [sys.executable, "-m", "mpi", "review", "--server", "127.0.0.1:1", *arguments]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    with subprocess.Popen(
        [*command, "--listen", "127.0.0.1:0", "--json"], cwd=folder, env=environment, stdout=subprocess.PIPE
    ) as process:
        try:
            assert process.stdout is not None
            yield json.loads(process.stdout.readline())["link"]
        finally:
            process.terminate()
            process.wait(20)


def test_the_page_of_one_steward(certs):
    """The certificate beside is found by the name; an index that is not there is a clear message, not a fault."""
    with reviewing(certs.parent, "--as", "somsri") as link:
        origin = link.partition("/sign-in")[0]
        with httpx2.Client(base_url=origin, headers={"accept-language": "en"}) as client:
            assert client.get("/queue").status_code == 303
            assert client.get(link).status_code == 303
            answer = client.get("/queue")
            assert answer.status_code == 503
            assert "The index cannot be reached" in answer.text
            assert "somsri" in answer.text
            assert client.get("/queue", headers={"host": "rebound.example"}).status_code == 403


def test_it_serves_this_machine_only(certs):
    """Without a provider the page is not for the network, and a certificate of somebody else is refused."""

    def refused(*arguments: str) -> str:
        done = CliRunner().invoke(app, ["review", *arguments])
        assert isinstance(done.exception, ConfigInvalid)
        return done.exception.message

    own = ("--server", "127.0.0.1:1", "--certs", str(certs / "steward-somsri"))
    assert "--config" in refused(*own, "--listen", "0.0.0.0:8480")
    with socket.create_server(("127.0.0.1", 0)) as taken:
        assert "in use" in refused(*own, "--listen", f"127.0.0.1:{taken.getsockname()[1]}")
    for listen in ("127.0.0.1", "127.0.0.1:x", "127.0.0.1:99999"):
        assert "listen" in refused(*own, "--listen", listen)
    assert "is of somsri" in refused(*own, "--as", "somchai")
    assert "names no steward" in refused("--server", "127.0.0.1:1", "--certs", str(certs / "facility-10661"))
    assert "certificates" in refused("--server", "mpi.example:1", "--as", "nobody")
    assert "missing" in refused()
    assert "itself" in refused("--config", "x.toml", *own)
    assert "cannot be read" in refused("--config", "none.toml")
