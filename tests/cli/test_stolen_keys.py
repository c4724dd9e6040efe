"""A facility's keys were stolen: it alone gets fresh ones, and everybody else goes on."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from mpi.cli.main import app
from mpi.client import Client, PurposeOfUse
from mpi.domain.identifiers import LocalIdToken
from mpi.domain.record import EncodedRecord
from mpi.encoder.keys import load_key_ring
from mpi.encoder.tokens import PointerBox
from mpi.errors import AccessDenied, InputRejected, KeyRingUnusable
from mpi.testing import running_centre
from tests.building import encoded, raw

OURS, OTHERS = "10661", "11111"
NAMES = ("สมชาย", "สมหญิง", "วิชัย")


def mpi(*words: str) -> Result:
    done = CliRunner().invoke(app, list(words))
    assert done.exit_code == 0, done.exception
    return done


def refused(client: Client, record: EncodedRecord) -> bool:
    try:
        client.register(record)
    except AccessDenied:
        return True
    return False


def soon(holds: Callable[[], bool]) -> bool:
    """Decisions about clients take a moment."""
    return any(holds() or time.sleep(0.05) for _ in range(200))


def test_one_facility_gets_fresh_keys_while_others_go_on(tmp_path: Path) -> None:
    """The thief's calls end at once, pointers that were stolen with the index open to nobody but the facility."""
    rows = [raw(f"นาย{name} ใจดี", str(at), birth_date="15/03/2525", sex="1") for at, name in enumerate(NAMES)]
    with running_centre(tmp_path, facilities=[OURS, OTHERS]) as centre:
        data = "--data", str(tmp_path / "data"), "--config", str(tmp_path / "mpi.toml")
        held = encoded(load_key_ring(centre.keys), OURS, *rows)
        theirs = encoded(load_key_ring(centre.keys), OTHERS, *rows)
        with (
            centre.client(f"facility-{OURS}") as thief,
            centre.client(f"facility-{OTHERS}") as other,
            centre.client("exchange-test") as exchange,
        ):

            def pointers() -> list[bytes]:
                keys = [LocalIdToken(record.local_id_token) for record in held]
                found = [exchange.locate(key, PurposeOfUse.TREAT).identities for key in keys]
                return [at.pointer for (one,) in found for at in one.locations if at.facility == OURS]

            for record in (*held, *theirs):
                (thief if record.facility == OURS else other).register(record)
            copy = load_key_ring(shutil.copytree(centre.keys, tmp_path / "stolen"))
            stolen = PointerBox(copy.pointer_secret, OURS)
            before = pointers()
            assert [stolen.open(pointer) for pointer in before] == ["0", "1", "2"]

            mpi("clients", "suspend", f"urn:mpi:facility:{OURS}", *data)
            assert soon(lambda: refused(thief, held[0]))
            other.register(theirs[0])
            assert pointers() == before

            mpi("keys", "pointers", "--keys", str(centre.keys))
            ring = load_key_ring(centre.keys)
            mpi("clients", "allow", f"urn:mpi:facility:{OURS}", *data)
            with centre.client(f"facility-{OURS}") as facility:
                for record in encoded(ring, OURS, *rows):
                    assert soon(lambda record=record: not refused(facility, record))
            after = pointers()
            box = PointerBox(ring.pointer_secret, OURS, ring.earlier_pointer_secret)
            assert [box.open(pointer) for pointer in (*before, *after)] == ["0", "1", "2"] * 2
            for pointer in after:
                with pytest.raises(InputRejected):
                    stolen.open(pointer)
    mpi("keys", "pointers", "--keys", str(tmp_path / "keys"), "--end")
    ring = load_key_ring(tmp_path / "keys")
    assert ring.earlier_pointer_secret is None
    with pytest.raises(InputRejected):
        PointerBox(ring.pointer_secret, OURS).open(before[0])


def test_pointer_keys_are_renewed_one_at_a_time(tmp_path: Path) -> None:
    """A second renewal would lose pointers that are still in the index; without an earlier key there is none to end."""
    mpi("keys", "new", "--keys", str(tmp_path))
    for words, problem in ((["--end"], "one pointer key only"), ([], ""), ([], "an earlier pointer key already")):
        done = CliRunner().invoke(app, ["keys", "pointers", "--keys", str(tmp_path), *words])
        if problem:
            assert isinstance(done.exception, KeyRingUnusable)
            assert problem in done.exception.message
        else:
            assert done.exit_code == 0
    assert (tmp_path / "pointer.json").stat().st_mode & 0o777 == 0o600
