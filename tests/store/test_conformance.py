"""What every store promises, on SQLite and on PostgreSQL alike."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from sqlalchemy import event, text

from mpi.at_rest import AtRest
from mpi.domain.changes import Action, Bond, Cause, Placement, Selection
from mpi.domain.grouping import Grouping
from mpi.domain.identifiers import IdentifierKind, IdentifierToken, new_eid
from mpi.domain.identity import Decision
from mpi.domain.record import ChannelEncoding, EarlierEncoding, EncodedDemographics, EncodedRecord
from mpi.domain.review import ReviewTask, TaskStatus
from mpi.errors import StoreUnusable
from mpi.store import schema
from mpi.store.sealing import Sealing
from mpi.store.sql import Store, StoredRecord, Transaction, open_sqlite
from tests.building import AT_REST
from tests.databases import PROFILE, Opener

CAUSE = Cause("urn:mpi:facility:10661", "ab" * 32, "call-1", "10661")


def a_record(number: int, facility: str = "10661", note: int = 0, earlier: bool = False) -> EncodedRecord:
    """A record like one that the gateway admitted; equal arguments make equal ones."""
    token = IdentifierToken(IdentifierKind.NATIONAL_ID, bytes([note]) + number.to_bytes(31, "big"))
    channel = ChannelEncoding("A", number.to_bytes(32, "big"), bytes([number % 256]) * 128)
    demographics = EncodedDemographics("th-v1", PROFILE, "1-00000000", (token,), (channel,))
    before = EarlierEncoding((number + 10**6).to_bytes(32, "big"), demographics) if earlier else None
    return EncodedRecord(facility, number.to_bytes(32, "big"), b"pointer", demographics, before, b"sealed")


def put(transaction: Transaction, eid: str, record: EncodedRecord, stored: StoredRecord | None = None) -> StoredRecord:
    """Place a record as registration does."""
    number = stored.number if stored else transaction.new_number()
    previous, content = (stored.eid, stored.content) if stored else ("", 0)
    placement = Placement(number, eid, previous, Decision.NEW, 12.5, "no_candidate", "", content)
    digest = number.to_bytes(16, "big") + record.demographics.tokens[0].value[:16]
    return transaction.place(placement, record, digest, stored)


def filled(store: Store, count: int = 3, cause: Cause = CAUSE) -> list[StoredRecord]:
    """Register so many records, each in an identity of its own, in one transaction."""
    with store.transaction(cause) as transaction:
        return [put(transaction, new_eid(), a_record(number)) for number in range(1, count + 1)]


def grouped(store: Store) -> Grouping:
    """The whole grouping, replayed from the log."""
    grouping = Grouping()
    for change in store.changes(0):
        grouping.apply(change.revision, change.event)
    return grouping


def do(store: Store, operation, *numbers: int, cause: Cause = CAUSE) -> int:
    """Do one operation on the identities of these records; gives its revision."""
    with store.transaction(cause) as transaction:
        transaction.regroup(operation(transaction.grouping([], numbers)))
        return transaction.revision


@contextmanager
def statements(store: Store) -> Iterator[list[str]]:
    """Statements that the store sends while the block runs; a list of rows in one call counts once."""
    sent: list[str] = []

    def note(_connection, _cursor, statement, *_rest) -> None:
        sent.append(statement)

    event.listen(store._engine, "before_cursor_execute", note)
    try:
        yield sent
    finally:
        event.remove(store._engine, "before_cursor_execute", note)


def test_a_record_is_found_by_its_ref_with_what_was_stored(store):
    """What was placed is found under the keyed name, and its content comes back bit by bit."""
    (first, *_) = filled(store)
    (name,) = a_record(1).names()
    assert store.find([name, ("10661", b"\0" * 32)]) == {name: first}
    assert store.content([first.number]) == {1: a_record(1)}
    assert store.count() == (3, 3, 0)


def test_a_name_that_one_record_gives_up_another_takes_in_the_same_transaction(store):
    """In any order: two that exchange their names, and a new one under a name that was given up."""
    first, second, third = filled(store)
    with store.transaction(CAUSE) as transaction:
        put(transaction, second.eid, a_record(1, note=1), second)
        put(transaction, first.eid, a_record(2, note=1), first)
        put(transaction, third.eid, a_record(4), third)
        put(transaction, new_eid(), a_record(3))
    found = [store.find(a_record(number).names()) for number in (1, 2, 3, 4)]
    assert [held.number for each in found for held in each.values()] == [2, 1, 4, 3]


def test_a_record_under_two_epochs_is_found_by_either_name(store):
    """While epochs change a record has two names."""
    record = a_record(1, earlier=True)
    with store.transaction(CAUSE) as transaction:
        stored = put(transaction, new_eid(), record)
    assert list(store.find(record.names()).values()) == [stored, stored]


def test_revisions_count_without_a_gap(store):
    """Every change has the next revision, over transactions, and the log tells what happened with the content."""
    filled(store, 2)
    before = filled_more(store)
    assert [change.revision for change in store.changes(0)] == [1, 2, 3]
    assert [change.record for change in store.changes(0)] == [a_record(1), a_record(2), a_record(9)]
    assert [change.revision for change in store.changes(1, most=1)] == [2]
    assert store.head() == 3 == before


def filled_more(store: Store) -> int:
    with store.transaction(CAUSE) as transaction:
        put(transaction, new_eid(), a_record(9))
        return transaction.revision


def test_a_transaction_that_fails_leaves_nothing(store):
    """An error inside the block takes everything back, the numbers included."""

    def fail() -> None:
        with store.transaction(CAUSE) as transaction:
            put(transaction, new_eid(), a_record(1))
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()
    assert (store.head(), store.count()) == (0, (0, 0, 0))
    assert filled(store)[0].content == 1


def test_a_snapshot_does_not_see_what_is_written_meanwhile(store):
    """A reader keeps the state that it began with, and does not hold up the writer."""
    filled(store, 1)
    with store.reading() as reading:
        assert reading.head() == 1
        filled_more(store)
        assert reading.head() == 1
        assert [live.number for live in reading.records()] == [1]
    assert store.head() == 2


def test_one_writer_at_a_time(opener):
    """Writers of several connections take turns: none sees another's half-done work, and no revision is lost."""
    stores = [opener() for _ in range(3)]

    def write(store: Store, part: int) -> None:
        for turn in range(5):
            with store.transaction(CAUSE) as transaction:
                put(transaction, new_eid(), a_record(100 * part + turn + 1))

    threads = [threading.Thread(target=write, args=(store, part)) for part, store in enumerate(stores)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert [change.revision for change in stores[0].changes(0)] == list(range(1, 16))
    assert stores[0].count()[0] == 15
    for store in stores:
        store.close()


def test_operations_are_stored_and_replay(store):
    """Merge, split, unlink, retract and undo leave state tables and log that tell the same."""
    filled(store, 5)
    do(store, lambda held: held.link(1, 2), 1, 2)
    do(store, lambda held: held.link(2, 3), 2, 3)
    merged = do(store, lambda held: held.merge(held.eids[1], held.eids[4]), 1, 4)
    do(store, lambda held: held.unlink(3), 3)
    do(store, lambda held: held.retract(5, erase=False), 5)
    (change,) = store.changes(merged - 1, 1)
    with store.transaction(CAUSE) as transaction:
        transaction.regroup(transaction.grouping([], [1, 4]).undo(merged, change.event))
    replayed = grouped(store)
    with store.reading() as reading:
        state = reading.grouping(replayed.redirects, [1, 2, 3, 4, 5])
        assert state.eids == replayed.eids
        assert state.redirects == replayed.redirects
        assert state.bonds == replayed.bonds
        assert state.partings == replayed.partings
        assert state.contents == replayed.contents
        assert dict(reading.redirects()) == replayed.redirects
        assert set(reading.partings()) == replayed.partings
    assert len(set(replayed.eids.values())) == 3
    assert replayed.bond(1, 3) is Bond.CANNOT


def test_a_retracted_record_keeps_its_number(store):
    """Registered again, a record that was retracted is the same record, so that decisions about it hold."""
    filled(store, 1)
    do(store, lambda held: held.retract(1, erase=False), 1)
    (held,) = store.find(a_record(1).names()).values()
    assert (held.number, held.eid) == (1, "")
    with store.transaction(CAUSE) as transaction:
        put(transaction, new_eid(), a_record(1, note=1), held)
    assert store.count()[:2] == (1, 1)
    assert store.content([1]) == {1: a_record(1, note=1)}


def test_an_undone_revision_brings_the_content_back(store):
    """Content, digest and names of a record are those of the revision that counts."""
    (first,) = filled(store, 1)
    with store.transaction(CAUSE) as transaction:
        put(transaction, first.eid, a_record(1, note=1, earlier=True), first)
    (_, change) = store.changes(0)
    with store.transaction(CAUSE) as transaction:
        transaction.regroup(transaction.grouping([], [1]).undo(2, change.event))
    assert store.content([1]) == {1: a_record(1)}
    assert store.find(a_record(1).names()).popitem()[1] == first
    assert store.find(a_record(1, earlier=True).names()[1:]) == {}
    assert [each.record for each in store.changes(2)] == [a_record(1)]


def test_nothing_opens_what_was_erased(store):
    """With every key that is left, no row gives an erased record's content back; the log has no gap."""
    filled(store, 2)
    with store.transaction(CAUSE) as transaction:
        (held,) = transaction.find(a_record(1).names()).values()
        put(transaction, held.eid, a_record(1, note=1), held)
    do(store, lambda held: held.retract(1, erase=True), 1)
    assert store.content([1]) == {}
    changes = list(store.changes(0))
    assert [change.revision for change in changes] == [1, 2, 3, 4]
    assert [change.record for change in changes] == [None, a_record(2), None, None]
    with store.reading() as reading:
        assert reading.contents([1, 2, 3]).keys() == {2}
        assert [live.number for live in reading.records()] == [2]
    assert all(getattr(change.event, "action", None) is Action.ERASE for change in changes if change.record is None)
    (key,) = keys_left(store)
    payloads = rows(store, "SELECT revision, payload FROM change ORDER BY revision")
    opened = [revision for revision, payload in payloads if opens(key, revision, payload)]
    assert opened == [2]
    assert store.find(a_record(1).names()) == {}
    assert filled_more(store) == 5
    assert store.find(a_record(9).names()).popitem()[1].number == 3


def rows(store: Store, query: str) -> Sequence[tuple]:
    with store._engine.connect() as connection:
        found = [tuple(row) for row in connection.execute(text(query))]
        connection.rollback()
        return found


def keys_left(store: Store):
    found = rows(store, "SELECT number, payload FROM record WHERE payload IS NOT NULL")
    sealing = Sealing([AT_REST.newest.secret])
    return [sealing.record_key(number, bytes(payload)) for number, payload in found]


def opens(key, revision: int, payload: bytes) -> bool:
    """Whether a record's key opens the inner part of a change."""
    sealing = Sealing([AT_REST.newest.secret])
    outer, inner = sealing.parted(payload)
    sealing.box.open(f"change/{revision}", outer)
    try:
        key.open(f"change/{revision}", inner)
    except StoreUnusable:
        return False
    return True


def test_an_erased_key_is_gone_from_the_files(tmp_path):
    """No file of a SQLite store holds the erased record's sealed key any longer, its log included."""
    store = open_sqlite(tmp_path / "store.db", AT_REST, PROFILE)
    first, second = filled(store, 2)
    do(store, lambda held: held.retract(1, erase=True), 1)
    kept = b"".join(path.read_bytes() for path in tmp_path.iterdir())
    assert second.payload in kept
    assert first.payload not in kept
    store.close()


def test_changes_are_selected_by_their_cause(store):
    """By actor, rules, call, facility, time, identity and number; what is left out does not count."""
    began = datetime.now(UTC)
    (first, *_) = filled(store, 2)
    other = Cause("urn:mpi:steward:somsri", "cd" * 32, "call-2")
    do(store, lambda held: held.link(1, 2), 1, 2, cause=other)
    with store.reading() as reading:

        def selected(**fields) -> list[int]:
            return [change.revision for change in reading.selected(Selection(**fields))]

        assert selected() == [1, 2, 3]
        assert selected(revisions=(2, 3)) == [2, 3]
        assert selected(eid=first.eid) == [1, 3]
        assert selected(actor=CAUSE.actor) == selected(request="call-1") == selected(facility="10661") == [1, 2]
        assert selected(rules_digest="cd" * 32) == [3]
        assert selected(since=began - timedelta(hours=1), until=began + timedelta(hours=1)) == [1, 2, 3]
        assert selected(until=began - timedelta(hours=1)) == selected(since=began + timedelta(hours=1)) == []
        assert reading.selected(Selection(), after=2)[0].cause.actor == other.actor
        assert reading.revision_at(began - timedelta(hours=1)) == 0
        assert reading.revision_at(began + timedelta(hours=1)) == 3


def test_tasks_wait_until_something_answers_them(store):
    """A task is open until it is decided, or until its record comes anew, goes away or is erased."""
    stored = filled(store, 4)
    with store.transaction(CAUSE) as transaction:
        for number in range(1, 5):
            transaction.ask(ReviewTask(number, stored[number - 1].eid, new_eid(), 3.5, "possible"))
        transaction.ask(ReviewTask(4, stored[3].eid, "", None, "bucket_full"), TaskStatus.WAITING)
    with store.transaction(CAUSE) as transaction:
        transaction.close_task(1, TaskStatus.SAME)
        put(transaction, stored[1].eid, a_record(2, note=1), stored[1])
    do(store, lambda held: held.retract(3, erase=False), 3)
    with store.reading() as reading:
        assert [held.number for held in reading.tasks(TaskStatus.OPEN)] == [4]
        assert [held.number for held in reading.tasks(TaskStatus.WAITING)] == [5]
        assert [held.status for held in reading.tasks(None)][:3] == ["same", "settled", "settled"]
        assert [held.number for held in reading.open_tasks([1, 2, 3, 4])] == [4]
        assert reading.task(4).task.weight == 3.5
        assert reading.task(99) is None
    do(store, lambda held: held.retract(4, erase=True), 4)
    with store.reading() as reading:
        assert [held.number for held in reading.tasks(None)] == [1, 2, 3]


def test_a_row_that_was_moved_does_not_open(store):
    """Payloads are bound to their places: swapping two of them is found, not read."""
    filled(store, 2)
    with store._engine.begin() as connection:
        connection.execute(text("UPDATE change SET payload = (SELECT payload FROM change WHERE revision = 1)"))
    with pytest.raises(StoreUnusable, match="does not open"):
        list(store.changes(1))


def test_errors_of_the_database_show_no_value(store):
    """What the driver says is not passed on: it quotes the values of the statement."""

    def twice() -> None:
        with store.transaction(CAUSE) as transaction:
            put(transaction, new_eid(), a_record(1))
            put(transaction, new_eid(), a_record(1))

    with pytest.raises(StoreUnusable) as refused:
        twice()
    assert "10661" not in refused.value.message
    assert refused.value.__suppress_context__
    assert store.head() == 0


def test_another_key_or_profile_is_refused(tmp_path, opener, store):
    """A store opens for the profile of its records alone, and its rows with their key alone."""
    filled(store, 1)
    with pytest.raises(StoreUnusable, match="another encoding profile"):
        reopened(opener, store, profile=bytes(32))
    with pytest.raises(StoreUnusable, match="do not hold"):
        reopened(opener, store, at_rest=AtRest.of(bytes(32)))


def reopened(opener: Opener, store: Store, at_rest: AtRest = AT_REST, profile: bytes = PROFILE) -> Store:
    """Open the same database with other secrets."""
    from mpi.store.sql import open_postgres

    url = store._engine.url
    if url.get_backend_name() == "sqlite":
        return open_sqlite(Path(url.database), at_rest, profile)
    return open_postgres(url.set(drivername="postgresql").render_as_string(False), None, at_rest, profile)


# --- migrations ----------------------------------------------------------------------------------------------------


def test_migrated_tables_are_those_that_the_program_means(store):
    """The migrations lead to the very tables of the schema, and the newest is the one that it names."""
    from alembic.autogenerate import compare_metadata
    from alembic.runtime.migration import MigrationContext

    with store._engine.connect() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True})
        assert context.get_current_revision() == schema.HEAD
        assert compare_metadata(context, schema.metadata) == []
        connection.rollback()


def test_an_older_store_knows_when_facilities_wrote_last(opener, store):
    """What was registered before that was noted counts as what its log says of it."""
    with store._engine.begin() as connection:
        connection.execute(text("DROP TABLE facility"))
        connection.execute(text("UPDATE alembic_version SET version_num = 'v0003'"))
        january = {day: datetime(2026, 1, day, tzinfo=UTC).replace(tzinfo=None) for day in range(1, 5)}
        rows = [(1, "10661", 1), (2, "HL001", 2), (3, "10661", 3), (4, "", 4)]
        causes = [
            {"id": n, "actor": "a", "rules_digest": "", "request": "", "facility": f, "at": january[day]}
            for n, f, day in rows
        ]
        connection.execute(schema.cause.insert(), causes)
    with closing(opener()) as migrated, migrated.reading() as reading:
        found = {each.facility: each.at for each in reading.last_registrations()}
    assert found == {"10661": datetime(2026, 1, 3, tzinfo=UTC), "HL001": datetime(2026, 1, 2, tzinfo=UTC)}


def test_a_newer_store_is_refused(opener, store):
    """A store that a newer program migrated is not touched, and the error says what to do."""
    with store._engine.begin() as connection:
        connection.execute(text("UPDATE alembic_version SET version_num = 'v9999'"))
    with pytest.raises(StoreUnusable, match="newer version"):
        opener()


def test_foreign_tables_are_refused(opener, store):
    """A database that holds something else is left as it is."""
    with store._engine.begin() as connection:
        connection.execute(text("DROP TABLE alembic_version"))
    with pytest.raises(StoreUnusable, match="did not make"):
        opener()


def test_several_processes_open_an_empty_database_at_once(opener):
    """One of them makes the tables; the others wait for it."""
    opened: list[Store] = []
    threads = [threading.Thread(target=lambda: opened.append(opener())) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert len(opened) == 4
    for store in opened:
        store.close()


def test_a_file_that_is_no_database_is_refused(tmp_path):
    """Any other file at the store's path is reported, not overwritten."""
    (tmp_path / "store.db").write_bytes(b"no database " * 100)
    with pytest.raises(StoreUnusable):
        open_sqlite(tmp_path / "store.db", AT_REST, PROFILE)
    assert (tmp_path / "store.db").read_bytes() == b"no database " * 100


# --- what the fast path costs --------------------------------------------------------------------------------------


def registered(store: Store, first: int, count: int) -> Counter[str]:
    """Register a batch as the service does; gives how many statements of each kind it took."""
    records = [a_record(number, earlier=True) for number in range(first, first + count)]
    names = [name for record in records for name in record.names()]
    with statements(store) as sent:
        store.find(names)
        with store.transaction(CAUSE) as transaction:
            known = transaction.find(names)
            transaction.surroundings({stored.number for stored in known.values()})
            for record in records:
                stored = known.get(record.names()[0])
                put(transaction, stored.eid if stored else new_eid(), record, stored)
    return Counter(statement.split()[0] for statement in sent)


def test_a_batch_takes_a_constant_number_of_statements(store):
    """One record or a thousand, new or revised: as many statements."""
    assert registered(store, 1, 1) == registered(store, 2, 1000)
    revised = registered(store, 1, 1)
    assert revised == registered(store, 2, 1000)
    assert sum(revised.values()) < 25


HOT = {
    "find": ("SELECT number FROM record WHERE ref IN (:a, :b)", "ref"),
    "find under the earlier name": ("SELECT number FROM record WHERE earlier_ref IN (:a, :b)", "earlier_ref"),
    "members": ("SELECT number FROM record WHERE eid IN ('x', 'y')", "eid"),
    "tail": ("SELECT payload FROM change WHERE revision > 4000 ORDER BY revision LIMIT 500", "change_pkey"),
    "head": ("SELECT max(revision) FROM change", "change_pkey"),
    "keys of a batch": ("SELECT payload FROM record WHERE number IN (1, 2)", "record_pkey"),
    "bonds": ("SELECT kind FROM bond WHERE first IN (1, 2) OR second IN (1, 2)", "bond"),
    "history": ("SELECT revision FROM trace WHERE name = :a", "trace"),
    "what stands for it": ("SELECT eid FROM redirect WHERE target IN ('x', 'y')", "target"),
    "open tasks": ("SELECT id FROM task WHERE status = 'open' ORDER BY id LIMIT 10", "status_id"),
}


@pytest.mark.parametrize("name", HOT)
def test_hot_statements_use_an_index(store, name):
    """The statements of registration, tailing and history search an index; none reads a table through."""
    query, index = HOT[name]
    if store._engine.dialect.name == "sqlite":
        plan = rows_of_plan(store, f"EXPLAIN QUERY PLAN {query}")
        assert "SCAN" not in plan.replace("SCAN change USING", "")
        assert "SEARCH" in plan or "USING" in plan
    else:
        # Small tables are read through whatever there is; without that choice, the plan shows whether an index fits.
        plan = rows_of_plan(store, f"EXPLAIN {query}")
        assert "Seq Scan" not in plan
        assert index in plan


def rows_of_plan(store: Store, statement: str) -> str:
    with store._engine.connect() as connection:
        connection.execute(text("BEGIN"))
        if store._engine.dialect.name == "postgresql":
            connection.execute(text("SET LOCAL enable_seqscan = off"))
        values = {name: b"x" for name in ("a", "b") if f":{name}" in statement}
        plan = " ".join(str(part) for row in connection.execute(text(statement), values) for part in row)
        connection.rollback()
        return plan
