"""For tests of programs that call the index: a centre of their own, real to the last byte, for as long as a test.

It is served by `mpi serve` in a process of its own, over gRPC with mutual TLS, with keys and certificates that nobody
else has. In a pytest suite::

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
from mpi.errors import ServiceUnavailable

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
def running_centre(folder: Path, facilities: Sequence[str], rules: str = "th-v1") -> Iterator[TestCentre]:
    """Serve a centre until the block ends; what it wrote stays in the folder.

    Args:
        folder: an empty folder.
        facilities: codes of the facilities that get a certificate.
        rules: rule file, or the name of one that is shipped.

    Raises:
        ServiceUnavailable: a command that makes or serves the centre failed; what it said stands above.
    """
    keys, certificates, config = folder / "keys", folder / "certs", folder / "mpi.toml"
    names = [word for code in facilities for word in ("--facility", code)]
    _run("keys", "new", "--keys", str(keys))
    _run("certs", "dev", "--out", str(certificates), *names, "--exchange", EXCHANGE, "--steward", STEWARD)
    config.write_text(
        f'listen = "127.0.0.1:0"\nrules = "{rules}"\nservice_key = "centre-keys/service.json"\n'
        'key_epochs = "keys/epochs.json"\n[tls]\ncertificate = "certs/server/cert.pem"\n'
        'key = "certs/server/key.pem"\nclient_authority = "certs/server/ca.pem"\n',
        encoding="utf-8",
    )
    command = [*_MPI, "serve", "--data", str(folder / "data"), "--config", str(config), "--json"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as server:  # noqa: S603 (our own)
        try:
            assert server.stdout is not None  # noqa: S101 (it is a pipe)
            line = server.stdout.readline()
            if not line:
                raise ServiceUnavailable(f"mpi serve ended with {server.wait()}")
            yield TestCentre(json.loads(line)["listening"], folder, keys, certificates)
        finally:
            server.terminate()
            server.wait(_STOP_SECONDS)


_MPI = (sys.executable, "-m", "mpi")


def _run(*arguments: str) -> None:
    done = subprocess.run([*_MPI, *arguments], stdout=subprocess.DEVNULL, check=False)  # noqa: S603 (our own)
    if done.returncode:
        raise ServiceUnavailable(f"mpi {' '.join(arguments[:2])} ended with {done.returncode}")
