"""The centre that users' tests run against is a real one: what one client registers another one finds."""

from __future__ import annotations

from pathlib import Path

import pytest

from mpi.client import PurposeOfUse
from mpi.domain.identifiers import LocalIdToken
from mpi.encoder.keys import load_key_ring
from mpi.errors import AccessDenied, ServiceUnavailable
from mpi.testing import running_centre
from tests.building import encoded, raw


def test_a_centre_of_ones_own(tmp_path: Path) -> None:
    """A facility registers, the exchange finds the record, a steward sees the change; each with its own certificate."""
    with running_centre(tmp_path / "centre", facilities=["10661"]) as centre:
        row = raw("นายสมชาย ใจดี", "1", birth_date="15/03/2525", sex="1", national_id="1103702488992")
        (record,) = encoded(load_key_ring(centre.keys), "10661", row)
        with centre.client("facility-10661") as facility:
            revision = facility.register(record).revision
        with centre.client("exchange-test") as exchange:
            key = LocalIdToken(record.local_id_token)
            assert len(exchange.locate(key, PurposeOfUse.TREAT, at_least=revision).identities) == 1
            with pytest.raises(AccessDenied):
                exchange.changes()
        with centre.client("steward-test") as steward:
            assert len(steward.changes()) == 1
    with centre.client("steward-test", timeout=0.5) as steward, pytest.raises(ServiceUnavailable):
        steward.changes()


def test_a_folder_is_used_once(tmp_path: Path) -> None:
    """Keys are never overwritten: a second centre needs a folder of its own."""
    with running_centre(tmp_path, facilities=["10661"]):
        pass
    with pytest.raises(ServiceUnavailable), running_centre(tmp_path, facilities=["10661"]):
        raise AssertionError
