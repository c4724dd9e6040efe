"""Watching tells each client what it may learn of changes, once each, and nothing of what is hidden."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest

from mpi.domain.changes import Selection
from mpi.domain.consent import Asking
from mpi.domain.identifiers import LocalIdToken
from mpi.domain.purpose import PurposeOfUse
from mpi.domain.record import EncodedRecord
from mpi.domain.watching import EventKind, IdentityEvent, Wanted
from mpi.errors import RecordRejected
from mpi.service.cursors import Cursors
from mpi.service.pseudonyms import Pseudonyms, own_eid
from mpi.service.watching import Step, Tail, Watching
from mpi.store.sql import open_sqlite
from tests.building import AT_REST, AT_REST_SECRET, GATEWAY_SECRET, key_ring, th_v1
from tests.service.centres import ACTOR, STEWARD, Parts, joined
from tests.service.test_disclosure import HRESCH, NAME, PERSON, TREAT, Index, number

CDES = "urn:mpi:exchange:cdes"
OTHER = {"birth_date": "04/09/2499", "sex": "2", "national_id": "3320100123459"}
OTHER_NAME = "นางมาลี สีดา"
THIRD = {"birth_date": "21/12/2510", "sex": "1", "national_id": "3320100234561"}
THIRD_NAME = "นายวิชัย ทองดี"
LINK, UNLINK, MERGE, SPLIT, RETRACT, LOOK_AGAIN = EventKind
EVERYTHING = Wanted()


@dataclass
class Watcher:
    """A client that watches, and what it has been told."""

    watching: Watching
    asking: Asking
    at: int
    outside: bool = False

    def told(self, wanted: Wanted = EVERYTHING) -> list[IdentityEvent]:
        """What came since it asked last."""
        found: list[IdentityEvent] = []
        while True:
            page = self.watching.page(self.asking, wanted, self.at, outside=self.outside)
            if page.revision == self.at:
                return found
            self.at = page.revision
            found += page.events


class Feed(Index):
    """A centre whose changes can be watched."""

    def __init__(self, parts: Parts, folder: Path) -> None:
        super().__init__(parts, folder)
        self.pseudonyms = Pseudonyms(GATEWAY_SECRET, parts.index)
        self.watching = self.process(Tail(parts.store))

    def process(self, tail: Tail) -> Watching:
        """What another process of the centre has."""
        cursors = Cursors(GATEWAY_SECRET)
        shared = (self.parts.index, self.parts.store, self.disclosure, cursors, self.pseudonyms.outward)
        return Watching(*shared, tail)

    def watch(self, client: str = CDES, purpose: PurposeOfUse = TREAT, *, outside: bool = False) -> Watcher:
        """Watch from now on, in the centre's ids."""
        facility = client.rpartition(":")[2] if ":facility:" in client else ""
        asking = Asking(client, facility, purpose, whole=":steward:" in client)
        return Watcher(self.watching, asking, self.watching.revision(), outside)

    def eid(self, record: EncodedRecord) -> str:
        """The identity that a record is in."""
        (found,) = self.parts.locator.locate(LocalIdToken(record.local_id_token))
        return found.eid

    def retract(self, record: EncodedRecord, *, erase: bool = False) -> None:
        """Take a record back."""
        local_id = LocalIdToken(record.local_id_token)
        assert self.parts.registry.retract(record.facility, local_id, ACTOR, "request", erase=erase)[0]

    def merge(self, one: EncodedRecord, other: EncodedRecord) -> None:
        """Say that two records' identities are one person."""
        self.parts.stewardship.merge(self.eid(one), self.eid(other), STEWARD, "request")


@pytest.fixture
def at(tmp_path: Path) -> Iterator[Feed]:
    store = open_sqlite(tmp_path / "store.db", AT_REST, th_v1().stored_digest)
    with joined(store, tmp_path / "index", (key_ring(tmp_path).current.name,)) as parts:
        yield Feed(parts, tmp_path)


def test_every_kind_of_event(at):
    """Records that come, go, are parted and put together again; the id to look up stands first."""
    watcher, steward = at.watch(), at.watch(STEWARD)
    first = at.register("10661")
    eid = at.eid(first)
    assert watcher.told() == [IdentityEvent(eid, "", LINK, ("10661",))]
    at.register("10661", "2")
    assert watcher.told() == [IdentityEvent(eid, "", LINK, ("10661",))]
    stranger = at.register("10661", "3", OTHER_NAME, **OTHER)
    other = at.eid(stranger)
    assert watcher.told() == [IdentityEvent(other, "", LINK, ("10661",))]
    at.merge(first, stranger)
    assert watcher.told() == [IdentityEvent(eid, other, MERGE, ("10661",))]
    at.parts.stewardship.split(eid, [[1, 2], [3]], STEWARD, "request")
    part = at.eid(stranger)
    assert watcher.told() == [IdentityEvent(part, eid, SPLIT, ("10661",))]
    at.parts.stewardship.unlink(2, STEWARD, "request")
    (told,) = watcher.told()
    assert (told.kind, told.source) == (UNLINK, eid)
    at.parts.stewardship.link(2, 3, STEWARD, "request")
    (kept,) = {part, told.eid} & {at.eid(stranger)}
    (gone,) = {part, told.eid} - {kept}
    assert watcher.told() == [IdentityEvent(kept, gone, MERGE, ("10661",))]
    at.retract(first)
    assert watcher.told() == [IdentityEvent(eid, "", RETRACT, ("10661",))]
    # Who looks later is not told of the coming of a record that is gone.
    assert [event.kind for event in steward.told()] == [LINK, LINK, MERGE, SPLIT, UNLINK, MERGE, RETRACT]


def test_a_record_that_is_registered_anew_asks_to_look_again(at):
    """Its pointer or its numbers may be others; the same content again is no change."""
    at.register("10661")
    watcher = at.watch()
    at.register("10661")
    assert watcher.told() == []
    record = at.register("10661", **PERSON, phone="0812345678")
    assert watcher.told() == [IdentityEvent(at.eid(record), "", LOOK_AGAIN)]


def test_clients_are_told_in_ids_of_their_own(at):
    """Two exchanges cannot join what they are told; a lookup by the id that was told finds the person."""
    one, other = at.watch(outside=True), at.watch("urn:mpi:exchange:other", outside=True)
    record = at.register("10661")
    (told,), (elsewhere,) = one.told(), other.told()
    assert len({told.eid, elsewhere.eid, at.eid(record)}) == 3
    assert at.pseudonyms.inward(CDES, told.eid) == at.eid(record)


def test_a_facility_that_may_watch_knows_its_own_by_its_own_records(at):
    """The role may be given to a facility; its ids do not move when others' records are merged with its own."""
    watcher = at.watch("urn:mpi:facility:10661")
    mine, theirs = at.register("10661"), at.register("33333", "9", OTHER_NAME, **OTHER)
    at.merge(mine, theirs)
    assert watcher.told() == [IdentityEvent(own_eid(1), "", LINK, ("10661",))]


def test_records_that_may_not_be_shown_make_no_event(at):
    """Sensitive and opt-in facilities: coming, changing, going and merging among themselves."""
    watcher = at.watch()
    hidden = at.register("33333")
    other = at.register("22222", "2", OTHER_NAME, **OTHER)
    at.register("33333", **PERSON, phone="0812345678")
    at.merge(hidden, other)
    at.retract(other)
    at.retract(hidden, erase=True)
    assert watcher.told() == []
    assert watcher.at == at.watching.revision()


def test_a_hidden_record_of_a_visible_identity_makes_no_event(at):
    """Neither its coming nor its going nor its parting."""
    seen = at.register("10661")
    watcher = at.watch()
    hidden = at.register("33333")
    assert at.eid(hidden) == at.eid(seen)
    at.parts.stewardship.unlink(2, STEWARD, "request")
    at.parts.stewardship.link(1, 2, STEWARD, "request")
    assert at.eid(hidden) == at.eid(seen)
    at.retract(hidden)
    assert watcher.told() == []


@pytest.mark.parametrize("facility", ["33333", "22222"])
@pytest.mark.parametrize("hidden_first", [True, False])
def test_a_merge_with_a_hidden_identity_tells_nothing(at, facility, hidden_first):
    """Whichever id is kept; later events name the one that lookups give."""
    people = [(NAME, PERSON), (OTHER_NAME, OTHER)]
    hidden = seen = None
    for turn, (name, person) in enumerate(people):
        if hidden_first == (turn == 0):
            hidden = at.register(facility, str(turn), name, **person)
        else:
            seen = at.register("10661", str(turn), name, **person)
    assert hidden is not None
    assert seen is not None
    watcher, before = at.watch(), at.eid(seen)
    at.merge(hidden, seen)
    assert (at.eid(seen) == before) is not hidden_first
    assert watcher.told() == []
    at.register("10661", "3", NAME, **PERSON)
    assert watcher.told() == [IdentityEvent(at.eid(seen), "", LINK, ("10661",))]


def test_a_split_from_hidden_records_looks_like_a_new_identity(at):
    """The client is told where its record is now, and nothing of what it was parted from."""
    hidden, seen = at.register("33333"), at.register("10661", "2")
    eid = at.eid(hidden)
    assert at.eid(seen) == eid
    watcher = at.watch()
    at.parts.stewardship.split(eid, [[1], [2]], STEWARD, "request")
    assert at.eid(seen) != eid
    assert watcher.told() == [IdentityEvent(at.eid(seen), "", LINK, ("10661",))]


def test_who_objected_is_told_of_no_more(at):
    """Of an identity that is hidden nothing is told, whatever happens to it, to this purpose alone."""
    record = at.register("10661")
    stranger = at.register("10661", "3", OTHER_NAME, **OTHER)
    watcher, researcher, steward = at.watch(), at.watch(purpose=HRESCH), at.watch(STEWARD)
    at.consents.withdraw(number(record), "law", [TREAT], ACTOR)
    at.register("10661", "2")
    at.merge(record, stranger)
    at.parts.stewardship.unlink(3, STEWARD, "request")
    at.retract(record)
    assert watcher.told() == []
    kinds = [event.kind for event in researcher.told()]
    assert kinds == [event.kind for event in steward.told()] == [LINK, MERGE, UNLINK, RETRACT]


@pytest.mark.parametrize("objector_first", [True, False])
def test_who_objected_is_not_told_of_once_all_records_are_gone(at, objector_first):
    """Whoever of them went first, and however late a feed reads of it."""
    watcher = at.watch()
    objector = at.register("10661")
    other = at.register("10661", "2", **{k: v for k, v in PERSON.items() if k != "national_id"})
    assert at.eid(objector) == at.eid(other)
    at.consents.withdraw(number(objector), "law", [TREAT], ACTOR)
    for record in (objector, other) if objector_first else (other, objector):
        at.retract(record)
    assert watcher.told() == []


def test_a_record_that_another_ones_consent_opened_is_told_of_when_it_goes(at):
    """A consent opens records without a number, as long as they are together with one that has it."""
    first = at.register("22222")
    other = at.register("22222", "2", **{k: v for k, v in PERSON.items() if k != "national_id"})
    at.consents.give(number(first), "link", [TREAT], ACTOR)
    assert at.seen(number(first)) == ["22222", "22222"]
    watcher, eid = at.watch(), at.eid(first)
    at.retract(other)
    assert watcher.told() == [IdentityEvent(eid, "", RETRACT, ("22222",))]


def test_a_hidden_record_that_changes_what_is_shown_asks_to_look_again(at):
    """Its number brings a consent, and takes it away again; of the record itself nothing is said."""
    seen = at.register("10661")
    at.register("22222", "2", **{k: v for k, v in PERSON.items() if k != "national_id"})
    hidden = at.register("33333", "3", OTHER_NAME, **OTHER)
    at.consents.give(number(hidden), "link", [TREAT], ACTOR)
    watcher = at.watch()
    at.merge(seen, hidden)
    assert at.seen(number(seen)) == ["10661", "22222"]
    assert watcher.told() == [IdentityEvent(at.eid(seen), "", LOOK_AGAIN)]
    at.parts.stewardship.unlink(3, STEWARD, "request")
    assert at.seen(number(seen)) == ["10661"]
    assert watcher.told() == [IdentityEvent(at.eid(seen), "", LOOK_AGAIN)]


def test_what_a_citizen_wants_asks_to_look_again(at):
    """Where something of the identity may be seen; for the purpose and the networks that concern the client."""
    record = at.register("10661")
    at.register("22222")
    key, again = number(record), IdentityEvent(at.eid(record), "", LOOK_AGAIN)
    watcher, researcher, steward = at.watch(), at.watch(purpose=HRESCH), at.watch(STEWARD)
    at.consents.give(key, "link", [TREAT], ACTOR)
    assert watcher.told() == [again]
    at.consents.withdraw(key, "link", [TREAT], ACTOR)
    assert watcher.told() == [again]
    at.consents.withdraw(key, "law", [TREAT], ACTOR)
    assert watcher.told() == []
    at.consents.give(key, "law", [TREAT], ACTOR)
    assert watcher.told() == [again]
    assert researcher.told() == steward.told() == []


def test_a_consent_that_another_client_used_up_is_no_event(at):
    """Who else looked somebody up is nobody's business."""
    record = at.register("10661")
    at.register("22222")
    at.consents.give(number(record), "link", [TREAT], ACTOR, once=True)
    watcher = at.watch()
    assert at.seen(number(record)) == ["10661", "22222"]
    assert watcher.told() == []


def test_an_erased_record_is_told_only_where_it_was_surely_seen(at):
    """Nothing is left to judge it by: somebody may have objected under its number."""
    watcher, steward = at.watch(), at.watch(STEWARD)
    record = at.register("10661")
    at.retract(record, erase=True)
    assert [event.kind for event in watcher.told()] == [RETRACT]  # nobody ever said anything
    stranger = at.register("10661", "2", OTHER_NAME, **OTHER)
    at.consents.give(number(stranger), "link", [HRESCH], ACTOR)
    third = at.register("10661", "3", THIRD_NAME, **THIRD)
    fourth = at.register("10661", "4", THIRD_NAME, **THIRD)
    watcher.told()
    at.retract(fourth, erase=True)
    assert [event.kind for event in watcher.told()] == [RETRACT]  # who remains said nothing
    at.retract(third, erase=True)
    assert watcher.told() == []
    assert [event.kind for event in steward.told()][-2:] == [RETRACT, RETRACT]


def story(at: Feed) -> None:
    """Some of everything, hidden and seen."""
    first, hidden = at.register("10661"), at.register("33333")
    at.register("22222", "3")
    stranger = at.register("10661", "4", OTHER_NAME, **OTHER)
    third = at.register("10661", "5", THIRD_NAME, **THIRD)
    at.merge(first, stranger)
    at.parts.stewardship.split(at.eid(first), [[1, 2, 3], [4]], STEWARD, "request")
    at.consents.give(number(first), "link", [TREAT], ACTOR)
    at.merge(stranger, third)
    at.retract(hidden)
    changes, _ = at.parts.stewardship.changes(Selection(eid=at.eid(third)), 0, 100)
    merged = max(change.revision for change in changes)
    at.parts.stewardship.undo(Selection(revisions=(merged,)), STEWARD, "request")
    at.register("10661", **PERSON, phone="0812345678")
    at.retract(third)


class OneByOne(Tail):
    """A tail that gives one change at a time."""

    def after(self, revision: int, most: int = 1) -> Sequence[Step]:
        """Give the next change."""
        return super().after(revision, most)


@pytest.mark.parametrize("client", [CDES, STEWARD])
@pytest.mark.parametrize("kept", [1, 3, 100])
def test_resumed_at_every_position_the_feed_is_the_same(at, kept, client):
    """Another process, with another tail, tells from every cursor on what the feed told that was never broken off."""
    watcher = at.watch(client)
    story(at)
    end = at.watching.revision()
    unbroken = watcher.told()
    assert {event.kind for event in unbroken} >= {LINK, MERGE, SPLIT, RETRACT, LOOK_AGAIN}
    position, broken = 0, list[IdentityEvent]()
    while position < end:
        # The client and the server were killed after every change: this is the next process, from the last cursor on.
        cursor = at.watching.cursor(client, position)
        process = at.process(OneByOne(at.parts.store, kept))
        page = process.page(watcher.asking, EVERYTHING, process.opened(client, cursor), outside=False)
        assert page.revision == position + 1
        rest = Watcher(at.process(Tail(at.parts.store, kept)), watcher.asking, position).told()
        assert broken + rest == unbroken
        position, broken = page.revision, [*broken, *page.events]
    assert broken == unbroken


def test_one_tail_serves_those_who_follow_and_those_who_are_behind(at):
    """Whatever is at hand, each change comes once and in order."""
    tail = Tail(at.parts.store, kept=4)
    for turn in range(12):
        at.register("10661", str(turn), birth_date=f"{turn + 1}/03/2525", sex="1")
    behind, ahead = 0, 0
    heads, tails = [], []
    while ahead < 12:
        fresh = tail.after(ahead, 3)
        heads += [step.revision for step in fresh]
        ahead = heads[-1]
        (late,) = tail.after(behind, 1)
        tails.append(late.revision)
        behind = late.revision
    while behind < 12:
        tails += [step.revision for step in tail.after(behind, 5)]
        behind = tails[-1]
    assert heads == tails == list(range(1, 13))
    assert tail.after(12) == []
    assert [step.revision for step in tail.after(10)] == [11, 12]


def test_the_log_is_read_once_for_all_who_watch(at, monkeypatch):
    """Ten clients that follow cost one read of each change, and hold at most what is kept."""
    watchers = [at.watch(f"urn:mpi:exchange:e{turn}") for turn in range(10)]
    tail, reads = at.watching._tail, []
    read = tail._read
    monkeypatch.setattr(tail, "_read", lambda *arguments: reads.append(arguments) or read(*arguments))
    for turn in range(5):
        at.register("10661", str(turn), birth_date=f"{turn + 1}/03/2525", sex="1")
        assert [len(watcher.told()) for watcher in watchers] == [1] * 10
    fruitful = {after for after, _ in reads}
    assert sorted(fruitful) == [0, 1, 2, 3, 4, 5]
    assert [after for after, _ in reads].count(3) <= 1 + len(watchers)  # each looks once whether there is more


def test_a_filter_leaves_what_is_wanted(at):
    """By kind and by facility; the position moves on past the rest."""
    first = at.register("10661")
    at.register("10661", "3", OTHER_NAME, **OTHER)
    watcher = at.watch()
    watcher.at = 0
    assert watcher.told(Wanted(frozenset({MERGE}))) == []
    assert watcher.at == at.watching.revision()
    watcher.at = 0
    assert len(watcher.told(Wanted(facilities=frozenset({"10661"})))) == 2
    watcher.at = 0
    assert watcher.told(Wanted(facilities=frozenset({"33333", "11111"}))) == []
    at.register("33333", "1")
    at.consents.withdraw(number(first), "link", [TREAT], ACTOR)
    watcher.at = 0
    assert watcher.told(Wanted(frozenset({LOOK_AGAIN}), frozenset({"33333"}))) == []
    watcher.at = 0
    assert len(watcher.told(Wanted(frozenset({LOOK_AGAIN}), frozenset({"10661"})))) == 1


def test_what_events_rest_on_is_noted_and_who_is_hidden_is_not(at):
    """Law and consent of what was told; identities that were passed over leave no trace."""
    watcher = at.watch()
    at.register("33333")
    watcher.told()
    assert (watcher.asking.weighed.eids, watcher.asking.weighed.basis()) == (set(), "")
    record = at.register("10661", "3", OTHER_NAME, **OTHER)
    at.consents.give(number(record), "link", [TREAT], ACTOR, reference="form 12")
    at.register("22222", "3", OTHER_NAME, **OTHER)
    watcher.told()
    assert watcher.asking.weighed.basis() == "consent:link:form 12, statutory:law"


def test_nothing_is_told_before_a_lookup_shows_it(at):
    """A process whose index is behind waits, and then tells."""
    watcher = at.watch()
    at.register("10661")
    with at.parts.index.writing() as writer:
        writer._transaction.put(b"revision", bytes(8), db=writer._tables["state"])
    assert watcher.told() == []
    with at.parts.index.writing() as writer:
        writer.set_revision(1)
    assert len(watcher.told()) == 1


def test_cursors_lead_back_their_own_client_alone():
    """Nobody else's, no other history's, nothing forged or cut; and nobody sees where they stand."""
    cursors, lineage = Cursors(GATEWAY_SECRET), "ab" * 16
    cursor = cursors.seal(CDES, lineage, 7)
    assert Cursors(GATEWAY_SECRET).open(CDES, lineage, cursor) == 7
    assert cursor != cursors.seal(CDES, lineage, 7)
    assert len(cursor) == len(cursors.seal(CDES, lineage, 1 << 60)) <= 64
    for client, history, said in (
        ("urn:mpi:exchange:other", lineage, cursor),
        (CDES, "cd" * 16, cursor),
        (CDES, lineage, cursor[:-1]),
        (CDES, lineage, cursor[:9]),
        (CDES, lineage, b"\x02" + cursor[1:]),
        (CDES, lineage, bytes(len(cursor))),
        *((CDES, lineage, cursor[:at] + bytes([cursor[at] ^ 1]) + cursor[at + 1 :]) for at in range(len(cursor))),
    ):
        with pytest.raises(RecordRejected, match="cursor") as caught:
            cursors.open(client, history, said)
        assert said.hex() not in caught.value.message
    with pytest.raises(RecordRejected):
        Cursors(AT_REST_SECRET).open(CDES, lineage, cursor)
