"""What lookups found as a table: a row for each record, and nothing lost."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from mpi.client import Client, PurposeOfUse
from mpi.client.frames import COLUMNS
from mpi.domain.identifiers import IdentifierKind, IdentifierToken, LocalIdToken
from mpi.errors import AccessDenied, ConfigInvalid
from tests.server.running import REGISTERED, MemoryIndex, certificates, encoded, running, server_tls

TREAT = PurposeOfUse.TREAT
NOBODY = LocalIdToken(bytes(32))
REFUSED = IdentifierToken(IdentifierKind.PHONE, b"short")


@pytest.fixture(scope="module")
def certs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return certificates(tmp_path_factory.mktemp("certs"))


@pytest.fixture
def at(certs):
    with (
        running(MemoryIndex().application(), server_tls(certs)) as address,
        Client(address=address, certificates=certs / "facility-10661") as facility,
        Client(address=address, certificates=certs / "facility-11111") as other,
        Client(address=address, certificates=certs / "exchange-cdes") as exchange,
    ):
        yield facility, other, exchange


def test_a_row_for_each_record(at):
    """Two facilities hold a person: two rows at the key's position; nobody has none, and a refusal says why."""
    facility, other, exchange = at
    facility.register(encoded(1, pointer=b"\x00sealed"))
    other.register(encoded(1, "11111"))
    (token,) = encoded(1).demographics.tokens
    told = []
    frame = exchange.locate_frame(iter([NOBODY, token, REFUSED, token]), TREAT, told.append)
    ((eid,),) = {(identity.eid,) for identity in exchange.locate(token, TREAT).identities}
    person = [(eid, "10661", b"\x00sealed", REGISTERED, None), (eid, "11111", b"sealed", REGISTERED, None)]
    expected = [(1, *each) for each in person] + [(2, None, None, None, None, "REQUEST_INVALID")]
    rows = frame.astype(object).where(frame.notna(), None).itertuples(index=False, name=None)
    assert list(rows) == [*expected, *((3, *each) for each in person)]
    assert told == [4]


@pytest.mark.parametrize("keys", [[], [NOBODY]])
def test_nothing_found(at, keys):
    """The columns are there, and the positions are numbers, also without rows."""
    frame = at[2].locate_frame(keys, TREAT)
    assert (tuple(frame.columns), len(frame), str(frame.dtypes["position"])) == (COLUMNS, 0, "int64")


def test_errors_pass(at, monkeypatch):
    """Who may not look up many at once is refused; and without pandas the way to it is named."""
    with pytest.raises(AccessDenied):
        at[0].locate_frame([NOBODY], TREAT)
    monkeypatch.setitem(sys.modules, "pandas", None)
    with pytest.raises(ConfigInvalid, match=r"thai-mpi\[frames\]"):
        at[2].locate_frame([NOBODY], TREAT)
