"""Sealing anew: nothing in the store needs the older key at rest in the end, and it is used all the while."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import text

from mpi.at_rest import AtRest, RestKey
from mpi.domain.changes import Cause, Selection
from mpi.domain.consent import Consent, Opening, Stance
from mpi.domain.identifiers import IdentifierKind, IdentifierToken, new_eid
from mpi.domain.purpose import PurposeOfUse
from mpi.domain.review import Remark, RemarkKind, ReviewTask
from mpi.errors import StoreUnusable
from mpi.store import rekeying
from mpi.store.reading import AT_REST
from mpi.store.rekeying import seal_anew
from mpi.store.sealing import Names, Sealing
from mpi.store.sql import Store, open_postgres, open_sqlite
from tests.databases import BACKENDS, PROFILE, postgres_database
from tests.store.test_conformance import a_record, do, put

OLD, NEW = RestKey(1, bytes(range(32))), RestKey(2, bytes(range(32, 64)))
TOKEN = IdentifierToken(IdentifierKind.NATIONAL_ID, b"n" * 32)
SUBJECTS = (TOKEN, 4, 5)
CAUSE = Cause("urn:mpi:facility:10661", "ab" * 32, "call-1", "10661")
RECORDS = 7

Open = Callable[[Sequence[RestKey]], Any]
"""Opens one and the same database with these keys at rest."""


def untold(_what: str, _done: int, _total: int) -> None:
    pass


@pytest.fixture(params=BACKENDS)
def opened(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Open]:
    with postgres_database() if request.param == "postgres" else contextmanager(lambda: iter([""]))() as url:

        @contextmanager
        def open_with(keys: Sequence[RestKey]) -> Iterator[Store]:
            at_rest = AtRest(lambda: keys)
            if url:
                store = open_postgres(url, None, at_rest, PROFILE)
            else:
                store = open_sqlite(tmp_path / "store.db", at_rest, PROFILE)
            try:
                yield store
            finally:
                store.close()

        yield open_with


@pytest.fixture(autouse=True)
def _small_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    """Parts of two rows, so that every table takes several."""
    monkeypatch.setattr(rekeying, "ROWS_AT_ONCE", 2)


def register(store: Store, number: int, note: int = 0, *, earlier: bool = False) -> str:
    """Register a record, new or again; gives its identity."""
    record = a_record(number, note=note, earlier=earlier)
    with store.transaction(CAUSE) as transaction:
        stored = next(iter(transaction.find(record.names()).values()), None)
        return put(transaction, stored.eid if stored and stored.eid else new_eid(), record, stored).eid


def say(store: Store, stance: Stance = Stance.GIVEN) -> None:
    with store.transaction(CAUSE) as transaction:
        transaction.say([Consent(each, "health-link", PurposeOfUse.TREAT, stance) for each in SUBJECTS])


def filled(store: Store) -> list[str]:
    """Something in every table that is sealed or named, an erased and a retracted record among it."""
    eids = [register(store, number, earlier=number == 2) for number in range(1, RECORDS + 1)]
    for note in (1, 2):
        register(store, 1, note)
    do(store, lambda held: held.retract(RECORDS, erase=True), RECORDS)
    do(store, lambda held: held.retract(RECORDS - 1, erase=False), RECORDS - 1)
    do(store, lambda held: held.merge(eids[2], eids[3]), 3, 4)
    with store.transaction(CAUSE) as transaction:
        for number in (1, 2, 3):
            transaction.ask(ReviewTask(number, eids[number - 1], eids[number], 1.5, "test"))
    with store.transaction(CAUSE) as transaction:
        transaction.remark(1, Remark(RemarkKind.COMMENT, "urn:mpi:steward:somsri", "", "reason", "text"))
        transaction.question_facilities(1, [(1, "10661"), (2, "10661"), (3, "10661")])
        transaction.open_glass(Opening(0, None, "urn:mpi:exchange:cdes", "reason", (eids[0],), "request"))
    say(store)
    return eids


def seen(store: Store, eids: Sequence[str]) -> dict[str, Any]:
    """Everything that the store says."""
    names = [name for number in range(1, RECORDS + 1) for name in a_record(number, earlier=True).names()]
    with store.reading() as reading:
        return {
            "records": [(live.number, live.eid, live.record) for live in reading.records()],
            "changes": list(reading.changes(0)),
            "found": {name: (held.number, held.eid, held.digest) for name, held in reading.find(names).items()},
            "histories": [[each.revision for each in reading.selected(Selection(eid=eid))] for eid in eids],
            "consents": [reading.consents(subject) for subject in SUBJECTS],
            "tasks": reading.tasks(None),
            "remarks": reading.remarks(1),
            "questions": reading.questions("10661"),
            "openings": reading.openings(),
        }


def rows(store: Store, query: str) -> list[Any]:
    with store._engine.connect() as connection:
        found = list(connection.execute(text(query)))
        connection.rollback()
        return found


def needing(store: Store, key: RestKey, eids: Sequence[str]) -> dict[str, int]:
    """How many payloads open with a key at rest, and how many names are made with it."""
    box, names = Sealing([key.secret]).box, Names(key.secret)
    found = dict.fromkeys(("record", "change", "task", "remark", "question", "opening", "consent"), 0)
    for table in found:
        column = {"record": "number", "change": "revision", "consent": "name"}.get(table, "id")
        for at, payload in rows(store, f"SELECT {column}, payload FROM {table} WHERE payload IS NOT NULL"):
            place = f"{table}/{bytes(at).hex() if isinstance(at, bytes | memoryview) else at}"
            sealed = Sealing([key.secret]).parted(bytes(payload))[0] if table == "change" else bytes(payload)
            try:
                box.open(place, sealed)
                found[table] += 1
            except StoreUnusable:
                continue
    refs = {names.ref(*name) for number in range(1, RECORDS + 1) for name in a_record(number, earlier=True).names()}
    held = rows(store, "SELECT ref FROM record UNION ALL SELECT earlier_ref FROM record")
    found["refs"] = sum(ref is not None and bytes(ref) in refs for (ref,) in held)
    traces = {names.trace(eid) for eid in eids}
    found["traces"] = sum(bytes(name) in traces for (name,) in rows(store, "SELECT name FROM trace"))
    asked = rows(store, "SELECT facility FROM question")
    found["facilities"] = sum(bytes(name) == names.facility("10661") for (name,) in asked)
    return found


def test_everything_says_the_same_and_needs_the_newer_key_alone(opened: Open) -> None:
    """No payload opens with the older key and no name is made with it; the store says what it said."""
    with opened([OLD]) as store:
        eids = filled(store)
        before, needed = seen(store, eids), needing(store, OLD, eids)
    assert min(needed.values()) >= 1
    told: list[str] = []
    with opened([OLD, NEW]) as store:
        seal_anew(store, OLD.name, NEW.name, lambda what, done, total: told.append(what) if 0 < done <= total else None)
        store.forget()
        assert seen(store, eids) == before
        assert set(needing(store, OLD, eids).values()) == {0}
        assert needing(store, NEW, eids) == needed
        assert store.sealed_with() == [NEW.name]
    assert {"sealing record", "sealing change", "verifying"} <= set(told)
    with opened([NEW]) as store:
        assert seen(store, eids) == before
        register(store, 9)
    with pytest.raises(StoreUnusable, match=f"{NEW.name}, which the centre's keys do not hold"):
        opened([OLD]).__enter__()


def test_it_goes_on_where_it_was_interrupted_while_others_write(opened: Open) -> None:
    """Stopped after every single part, with a write of another process in between, it ends as it would have."""
    keys = [OLD]
    with opened(keys) as store:
        eids = filled(store)
    keys.append(NEW)

    class Stopped(Exception):
        pass

    def stop(what: str, done: int, total: int) -> None:
        raise Stopped

    stops = 0
    with opened(keys) as other, opened(keys) as store:
        while True:
            # Revisions of records sealed and not sealed yet, a new one, and words about the same people.
            register(other, 1 + stops % 5, note=3 + stops)
            eids.append(register(other, RECORDS + 1 + stops))
            say(other, Stance.WITHDRAWN)
            before = seen(other, eids)
            assert len(before["found"]) == len(seen(store, eids)["found"])
            try:
                seal_anew(store, OLD.name, NEW.name, stop)
            except Stopped:
                stops += 1
                assert seen(other, eids) == before
                if stops < 40:
                    continue
                seal_anew(store, OLD.name, NEW.name, untold)
            break
        assert stops > 10
        assert set(needing(store, OLD, eids).values()) == {0}
        numbers = [live.record.local_id_token for live in store.records()]
        assert len(numbers) == len(set(numbers))
    with opened([NEW]) as store:
        assert seen(store, eids) == before


def test_a_server_that_knows_only_the_older_key_learns_the_newer_one(opened: Open, monkeypatch) -> None:
    """A process from before reads the key file anew; where the key is not there it refuses, and writes nothing."""
    monkeypatch.setattr("mpi.at_rest.FETCH_SECONDS", 0.0)
    file = [OLD]
    with opened(file) as server, opened([OLD, NEW]) as store:
        eid = register(server, 1)
        with store.rekeying(writes=True) as work:
            work.begin(OLD.name, NEW.name)
        with pytest.raises(StoreUnusable, match="do not hold"):
            register(server, 1, note=1)
        file.append(NEW)
        assert register(server, 1, note=1) == eid
        assert register(server, 2) != eid
        assert needing(store, NEW, [eid])["change"] == 2


def test_who_holds_the_older_key_and_an_older_copy_opens_nothing_new(opened: Open) -> None:
    """A record's own key is another one as well."""
    with opened([OLD]) as store:
        register(store, 1)
        ((number, payload),) = rows(store, "SELECT number, payload FROM record")
        stolen = Sealing([OLD.secret]).record_key(number, bytes(payload))
    with opened([OLD, NEW]) as store:
        seal_anew(store, OLD.name, NEW.name, untold)
        register(store, 1, note=1)
        for revision, payload in rows(store, "SELECT revision, payload FROM change"):
            inner = Sealing([NEW.secret]).parted(bytes(payload))[1]
            with pytest.raises(StoreUnusable):
                stolen.open(f"change/{revision}", inner)


def test_a_row_that_opens_with_neither_key_keeps_the_older_one(opened: Open) -> None:
    """What cannot be sealed anew is told, and nothing says that the older key could go."""
    with opened([OLD]) as store:
        filled(store)
        with store.filling() as connection:
            connection.execute(text("UPDATE task SET payload = (SELECT payload FROM task WHERE id = 1) WHERE id = 2"))
    with opened([OLD, NEW]) as store:
        with pytest.raises(StoreUnusable, match="does not open"):
            seal_anew(store, OLD.name, NEW.name, untold)
        assert store.sealed_with() == [OLD.name, NEW.name]
        with pytest.raises(StoreUnusable, match="is sealed under"):
            seal_anew(store, NEW.name, "3-00000000", untold)


@pytest.mark.parametrize(
    "damage",
    [
        "UPDATE record SET ref = (SELECT name FROM trace LIMIT 1) WHERE number = 2",
        "UPDATE trace SET name = :older WHERE revision = 1",
        "UPDATE consent SET payload = (SELECT payload FROM consent ORDER BY name DESC LIMIT 1)",
    ],
)
def test_what_is_still_under_the_older_key_is_found(opened: Open, damage: str) -> None:
    """Verification opens each row and makes each name anew."""
    with opened([OLD]) as store:
        eids = filled(store)
    with opened([OLD, NEW]) as store:
        seal_anew(store, OLD.name, NEW.name, untold)
        with store.filling() as connection:
            values = {"older": Names(OLD.secret).trace(eids[0])} if ":older" in damage else {}
            connection.execute(text(damage), values)
            connection.execute(text(f"UPDATE setting SET value = '{OLD.name} {NEW.name}' WHERE name = '{AT_REST}'"))
        with store.rekeying(writes=False) as work, pytest.raises(StoreUnusable, match=r"does not open|is not named"):
            list(work.verified())
