"""For tests of programs that call the index: a centre of their own, real to the last byte, for as long as a test.

It is served over gRPC with mutual TLS on a loopback socket, with keys and certificates that nobody else has. In a
pytest suite::

    @pytest.fixture(scope="session")
    def centre(tmp_path_factory):
        with running_centre(tmp_path_factory.mktemp("centre"), facilities=["10661"]) as centre:
            yield centre

    def test_nobody_is_found(centre):
        with centre.client("exchange-test") as client:
            key = LocalIdToken(bytes(32))
            assert client.locate(key, PurposeOfUse.TREAT).identities == ()
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from mpi.client import Client
from mpi.config import load_config
from mpi.encoder.keys import new_key_ring
from mpi.errors import ServiceUnavailable
from mpi.server.certs import issue_dev_certificates

EXCHANGE, STEWARD = "test", "test"
_STOP_SECONDS = 30.0


@dataclass(frozen=True, slots=True)
class TestCentre:
    """A centre for a test.

    Attributes:
        address: host and port.
        folder: where everything of it lies.
        keys: the facilities' key ring, to encode records with.
        certificates: folder of clients' certificates, a folder each, such as "facility-10661" and "exchange-test".
    """

    __test__ = False  # pytest would take the name for a test's

    address: str
    folder: Path
    keys: Path
    certificates: Path

    def client(self, name: str, timeout: float = 10.0) -> Client:
        """Connect as a client, such as "facility-10661", "exchange-test" or "steward-test"."""
        return Client(address=self.address, certificates=self.certificates / name, timeout=timeout)


@contextmanager
def running_centre(
    folder: Path, facilities: Sequence[str], rules: str = "th-v1", *, in_process: bool = False
) -> Iterator[TestCentre]:
    """Serve a centre until the block ends; what it wrote stays in the folder.

    By default `mpi serve` serves it in a process of its own, as in production: take it where times matter, or a server
    must be able to crash alone. With `in_process` a thread of the test's own process serves it: it starts sooner, a
    debugger sees both sides, and the server's log is the test's; but both share one interpreter, so neither is fast.

    Args:
        folder: an empty folder.
        facilities: codes of the facilities that get a certificate.
        rules: rule file, or the name of one that is shipped.
        in_process: serve in a thread.

    Raises:
        MpiError: the folder was used before, or a name or the rules cannot be used.
        ServiceUnavailable: the server did not start; what it said stands above.
    """
    keys, certificates, config = folder / "keys", folder / "certs", folder / "mpi.toml"
    new_key_ring(keys)
    issue_dev_certificates(certificates, facilities, [EXCHANGE], [STEWARD])
    config.write_text(
        f'listen = "127.0.0.1:0"\nrules = "{rules}"\nservice_key = "centre-keys/service.json"\n'
        'key_epochs = "keys/epochs.json"\n[tls]\ncertificate = "certs/server/cert.pem"\n'
        'key = "certs/server/key.pem"\nclient_authority = "certs/server/ca.pem"\n',
        encoding="utf-8",
    )
    with (_in_thread if in_process else _in_process_of_its_own)(folder / "data", config) as address:
        yield TestCentre(address, folder, keys, certificates)


@contextmanager
def _in_process_of_its_own(data: Path, config: Path) -> Iterator[str]:
    command = [sys.executable, "-m", "mpi", "serve", "--data", str(data), "--config", str(config), "--json"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as server:  # noqa: S603 (our own)
        try:
            assert server.stdout is not None  # noqa: S101 (it is a pipe)
            line = server.stdout.readline()
            if not line:
                raise ServiceUnavailable(f"mpi serve ended with {server.wait()}")
            yield str(json.loads(line)["listening"])
        finally:
            server.terminate()
            server.wait(_STOP_SECONDS)


@contextmanager
def _in_thread(data: Path, config: Path) -> Iterator[str]:
    from mpi.server.bootstrap import application
    from mpi.server.thread import served_in_thread

    settings = load_config(data, config)
    with application(settings) as served, served_in_thread(served, settings.listen, settings.tls) as address:
        yield address
