"""The centre that users' tests run against is a real one: what one client registers another one finds."""

from __future__ import annotations

import os
import threading
from pathlib import Path

import pytest

from mpi.client import PurposeOfUse
from mpi.domain.identifiers import LocalIdToken
from mpi.encoder.keys import load_key_ring
from mpi.errors import AccessDenied, ConfigInvalid, KeyRingUnusable, RuleFileInvalid, ServiceUnavailable
from mpi.testing import running_centre
from tests.building import encoded, raw


@pytest.mark.parametrize("in_process", [False, True])
def test_a_centre_of_ones_own(tmp_path: Path, in_process: bool) -> None:
    """A facility registers, the exchange finds the record, a steward sees the change; each with its own certificate."""
    with running_centre(tmp_path / "centre", facilities=["10661"], in_process=in_process) as centre:
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
    with running_centre(tmp_path, facilities=["10661"], in_process=True):
        pass
    with pytest.raises(KeyRingUnusable), running_centre(tmp_path, facilities=["10661"], in_process=True):
        raise AssertionError


def test_one_after_another_in_one_process(tmp_path: Path) -> None:
    """A centre in this process leaves no thread and no open file of its own behind, and the next one knows nothing."""
    before = left_open(tmp_path)
    for number in range(2):
        folder = tmp_path / str(number)
        with running_centre(folder, facilities=["10661"], in_process=True) as centre:
            assert left_open(tmp_path) != before
            with centre.client("steward-test") as steward:
                assert steward.changes() == []
        assert left_open(tmp_path) == before


@pytest.mark.parametrize("in_process", [False, True])
def test_what_cannot_be_served_is_said(tmp_path: Path, in_process: bool) -> None:
    """Rules that are not there, and names that are none, end before or with the server's start."""
    with (
        pytest.raises((RuleFileInvalid, ServiceUnavailable)),
        running_centre(tmp_path / "rules", ["10661"], "none", in_process=in_process),
    ):
        raise AssertionError
    with pytest.raises(ConfigInvalid), running_centre(tmp_path / "name", ["../x"], in_process=in_process):
        raise AssertionError


def left_open(folder: Path) -> tuple[set[str], set[str]]:
    """Threads of ours that run, and files below a folder that this process holds open."""
    threads = {thread.name for thread in threading.enumerate() if thread.name.startswith("mpi-")}
    held = {os.path.realpath(each) for each in Path("/proc/self/fd").iterdir()}
    return threads, {each for each in held if each.startswith(str(folder))}
