"""The journal under a server: shared writes, full disks, and what is never in it."""

from __future__ import annotations

import asyncio
import errno
import json
import logging
import threading
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest

from mpi.audit import chain as chain_module
from mpi.audit import journal as journal_module
from mpi.audit.journal import MOST_PSEUDONYMS, Journal, entries_of
from mpi.domain.accounting import Access, NotAccounted
from tests.audit.journals import SMALL, Place


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place.at(tmp_path)


@pytest.fixture
def journal(place: Place) -> Iterator[Journal]:
    opened = Journal(place.open(), place.keys, retry=0.01)
    yield opened
    opened.close()


def access(number: int, *eids: str) -> Access:
    return Access("LocatorService/Locate", f"{number:032x}", "OK", identities=eids, results=len(eids))


def lines_of(place: Place) -> list[dict[str, object]]:
    return [json.loads(line) for path in place.segments() for line in path.read_bytes().splitlines()]


def test_entries_of_simultaneous_answers_share_a_write(place, journal, monkeypatch):
    """While one group is being synced the next one gathers; all are on disk when they return."""
    synced = 0
    real = chain_module.os.fdatasync

    def counted(descriptor: int) -> None:
        nonlocal synced
        synced += 1
        real(descriptor)

    monkeypatch.setattr(chain_module.os, "fdatasync", counted)

    async def one(number: int) -> None:
        await journal.write(access(number))
        assert f"{number:032x}".encode() in b"".join(path.read_bytes() for path in place.segments())

    async def all_of_them() -> None:
        await asyncio.gather(*(one(number) for number in range(200)))

    asyncio.run(all_of_them())
    assert synced < 100
    assert sorted(place.requests()) == list(range(200))


def test_entries_of_several_event_loops_are_taken(place, journal):
    """A journal serves whatever loops a process runs."""

    def loop(start: int) -> None:
        async def some() -> None:
            await asyncio.gather(*(journal.write(access(start + number)) for number in range(20)))

        asyncio.run(some())

    threads = [threading.Thread(target=loop, args=(100 * number,)) for number in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(place.requests()) == 60


@pytest.mark.parametrize("call", ["pwrite", "fdatasync"])
def test_a_full_disk_refuses_and_recovers_by_itself(place, journal, monkeypatch, caplog, call):
    """While the disk fails every entry is refused; when it takes writes again an entry says how many were."""
    caplog.set_level(logging.INFO)

    def full(*arguments: object) -> int:
        raise OSError(errno.ENOSPC, "No space left on device")

    async def scene() -> None:
        await journal.write(access(1))
        with monkeypatch.context() as patched:
            patched.setattr(chain_module.os, call, full)
            for _ in range(3):
                with pytest.raises(NotAccounted, match="nothing is answered"):
                    await journal.write(access(2))
            with pytest.raises(NotAccounted):
                journal.check()
        while True:
            try:
                journal.check()
                break
            except NotAccounted:
                await asyncio.sleep(0.01)
        await journal.write(access(3))

    asyncio.run(scene())
    assert place.requests() == [1, 3]
    noted = [fields["calls"] for fields in lines_of(place) if fields["kind"] == "refused"]
    assert sum(noted) >= 4
    assert place.examine().refused == sum(noted)
    assert "No space left on device" in caplog.text
    assert "written again" in caplog.text


def test_too_many_waiting_entries_are_refused(place, journal, monkeypatch):
    """The queue is bounded; what is over is refused, and what waits is written."""
    monkeypatch.setattr(journal_module, "MOST_WAITING", 5)
    held, release = threading.Event(), threading.Event()
    real = chain_module.os.fdatasync

    def slow(descriptor: int) -> None:
        held.set()
        release.wait(20)
        real(descriptor)

    monkeypatch.setattr(chain_module.os, "fdatasync", slow)

    async def scene() -> None:
        tasks = [asyncio.create_task(journal.write(access(0)))]
        await asyncio.get_running_loop().run_in_executor(None, held.wait, 20)
        tasks += [asyncio.create_task(journal.write(access(number))) for number in range(1, 6)]
        await asyncio.sleep(0)
        with pytest.raises(NotAccounted):
            await journal.write(access(99))
        release.set()
        await asyncio.gather(*tasks)

    asyncio.run(scene())
    assert sorted(place.requests()) == list(range(6))


def test_a_caller_who_leaves_does_not_take_the_entry_along(place, journal):
    """An entry that waits is written although nobody waits for it any more; one can be left without waiting."""

    async def scene() -> None:
        task = asyncio.create_task(journal.write(access(1)))
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        journal.note(access(2))

    asyncio.run(scene())
    while place.examine().accesses < 2:
        threading.Event().wait(0.01)
    assert place.requests() == [1, 2]


def test_closing_writes_what_waits_and_refuses_the_rest(place):
    """Closing loses nothing; afterwards nothing is taken, and the chain ends in an orderly stop."""
    journal = Journal(place.open(SMALL), place.keys)

    async def scene() -> None:
        for number in range(20):
            journal.note(access(number))
        await asyncio.get_running_loop().run_in_executor(None, journal.close)
        with pytest.raises(NotAccounted):
            await journal.write(access(99))

    asyncio.run(scene())
    assert place.requests() == list(range(20))
    assert lines_of(place)[-1]["kind"] == "stop"


def test_pseudonyms_are_of_the_journals_own_key(place, tmp_path):
    """One identity has one pseudonym, under this key alone; the journal never holds the enterprise id."""
    eid = str(uuid.uuid4())
    (entry,) = entries_of(access(1, eid), place.keys)
    assert entry["identities"] == [place.keys.pseudonym(eid)]
    assert len(place.keys.pseudonym(eid)) == 16
    other = Place.at(tmp_path / "other").keys
    assert other.pseudonym(eid) != place.keys.pseudonym(eid)
    assert eid not in json.dumps(entry)
    assert eid.replace("-", "") not in json.dumps(entry)


def test_an_answer_with_very_many_identities_has_several_entries(place):
    """No entry grows without bound, and no identity is left out."""
    eids = [str(uuid.uuid4()) for _ in range(2 * MOST_PSEUDONYMS + 1)]
    entries = entries_of(access(1, *eids), place.keys)
    assert [len(entry["identities"]) for entry in entries] == [MOST_PSEUDONYMS, MOST_PSEUDONYMS, 1]
    named = {each for entry in entries for each in entry["identities"]}
    assert named == {place.keys.pseudonym(eid) for eid in eids}
    assert {entry["request"] for entry in entries} == {f"{1:032x}"}


def test_entries_that_follow_each_other_closely_are_gathered(place, journal, monkeypatch):
    """Many callers, each with one entry after the other: a write serves several of them."""
    synced = []
    real = chain_module.os.fdatasync
    monkeypatch.setattr(chain_module.os, "fdatasync", lambda descriptor: (synced.append(1), real(descriptor)))

    async def caller(number: int) -> None:
        for turn in range(20):
            await journal.write(access(100 * number + turn))

    async def all_of_them() -> None:
        await asyncio.gather(*map(caller, range(32)))

    asyncio.run(all_of_them())
    assert sum(line["kind"] == "access" for line in lines_of(place)) == 640
    assert len(synced) < 640 / 4


def test_a_caller_alone_waits_for_nobody(journal, monkeypatch):
    """Nothing is gathered where entries come one after the other, also after a crowd has gone."""
    monkeypatch.setattr(journal_module, "PAUSE_SECONDS", 0.01)
    monkeypatch.setattr(journal_module, "GATHER_SECONDS", 0.02)

    async def crowd() -> None:
        await asyncio.gather(*(journal.write(access(number)) for number in range(20)))

    async def alone() -> None:
        for number in range(30):
            await journal.write(access(number))
        with monkeypatch.context() as patched:
            patched.setattr(journal_module, "PAUSE_SECONDS", 3600.0)
            for number in range(20):
                await journal.write(access(number))

    asyncio.run(crowd())
    asyncio.run(alone())


def test_an_event_loop_that_ends_while_it_gathers_holds_nobody_up(place, journal):
    """The group is written without it, and entries of other loops come through."""

    async def leaves() -> None:
        await asyncio.gather(*(journal.write(access(number)) for number in range(20)))
        for number in range(20, 23):
            journal.note(access(number))  # begins to gather, and nobody waits

    asyncio.run(leaves())
    asyncio.run(asyncio.wait_for(journal.write(access(99)), 20))
    kept = [line["request"] for line in lines_of(place) if line["kind"] == "access"]
    assert set(kept) == {f"{number:032x}" for number in (*range(23), 99)}
