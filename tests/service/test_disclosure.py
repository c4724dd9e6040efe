"""Lookups show what may be shown: by consent, through merges and splits, once, and alike for hidden and none."""

from __future__ import annotations

import random
import statistics
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from mpi.domain.changes import Selection
from mpi.domain.consent import Asking, Basis, Network, Policy
from mpi.domain.identifiers import EnterpriseId, IdentifierKind, IdentifierToken, LocalIdToken
from mpi.domain.identity import Decision, Identity
from mpi.domain.purpose import PurposeOfUse
from mpi.domain.record import EncodedRecord
from mpi.errors import Conflict, InputRejected, RecordRejected
from mpi.index import reader as index_reader
from mpi.index.projector import verify
from mpi.service.consent import Consents
from mpi.service.disclosure import Disclosure
from mpi.service.matching import Matcher, Matching
from mpi.store.sql import open_sqlite
from tests.building import AT_REST, encoded, key_ring, raw, th_v1
from tests.service.centres import ACTOR, STEWARD, Parts, joined, located

TREAT, HRESCH, BTG = PurposeOfUse.TREAT, PurposeOfUse.HRESCH, PurposeOfUse.BTG
POLICY = Policy(
    (
        Network("law", Basis.STATUTORY, frozenset({"10661", "33333"})),
        Network("link", Basis.OPT_IN, frozenset({"22222"})),
    ),
    {"psychiatric": frozenset({"33333"})},
)
PERSON = {"birth_date": "15/03/2525", "sex": "1", "national_id": "1103702488992"}
NAME = "นายสมชาย ใจดี"


class Index:
    """A centre with a policy, and the questions of tests."""

    def __init__(self, parts: Parts, folder: Path) -> None:
        self.parts = parts
        self.ring = key_ring(folder)
        shared = (parts.gateway, parts.store, parts.index)
        self.consents = Consents(*shared, POLICY, "rules")
        self.disclosure = Disclosure(parts.gateway, parts.index, parts.store, POLICY, "rules")

    def register(self, facility: str, local_id: str = "1", name: str = NAME, **person: str) -> EncodedRecord:
        (record,) = encoded(self.ring, facility, raw(name, local_id, **(person or PERSON)))
        self.parts.registry.register([record], ACTOR)
        return record

    def seen(self, key: object, purpose: PurposeOfUse = TREAT, client: str = "urn:mpi:exchange:cdes") -> list[str]:
        facility = client.rpartition(":")[2] if ":facility:" in client else ""
        asking = Asking(client, facility, purpose, whole=":steward:" in client)
        found = located(self.disclosure, key, asking)
        if found is None:
            (found,) = self.disclosure.locate_once(key, asking).answers
        return sorted(at.facility for identity in found for at in identity.locations)


def number(record: EncodedRecord) -> IdentifierToken:
    return record.demographics.tokens[0]


@pytest.fixture
def at(tmp_path: Path) -> Iterator[Index]:
    store = open_sqlite(tmp_path / "store.db", AT_REST, th_v1().stored_digest)
    with joined(store, tmp_path / "index", (key_ring(tmp_path).current.name,)) as parts:
        yield Index(parts, tmp_path)


@pytest.fixture
def weighed(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Grows by the client for whom an identity's records are weighed."""
    clients = list[str]()
    seen = Disclosure._seen

    def counted(self: Disclosure, reader: object, members: list[object], asking: Asking) -> object:
        clients.append(asking.client)
        return seen(self, reader, members, asking)  # type: ignore[arg-type]

    monkeypatch.setattr(Disclosure, "_seen", counted)
    return clients


def test_only_what_may_be_shown_is(at):
    """Statutory, opt-in and sensitive facilities of one person; each word of theirs counts at the next lookup."""
    record = at.register("10661")
    at.register("22222")
    at.register("33333")
    key = number(record)
    assert at.seen(key) == ["10661"]
    assert at.seen(key, client="urn:mpi:facility:22222") == ["10661", "22222"]
    assert at.seen(key, client="urn:mpi:steward:somsri") == ["10661", "22222", "33333"]
    assert at.seen(key, BTG) == ["10661", "22222", "33333"]
    at.consents.give(key, "link", [TREAT], ACTOR)
    assert at.seen(key) == ["10661", "22222"]
    assert at.seen(key, HRESCH) == ["10661"]
    at.consents.give(key, "law", [TREAT], ACTOR, sensitive=True)
    assert at.seen(key) == ["10661", "22222", "33333"]
    at.consents.withdraw(key, "link", [TREAT], ACTOR)
    assert at.seen(key) == ["10661", "33333"]
    revision = at.consents.withdraw(key, "law", [TREAT], ACTOR)
    assert at.seen(key) == []
    assert at.disclosure.revision() == revision
    # By any other key of the person it is the same.
    eid = at.parts.locator.locate(key)[0].eid
    assert at.seen(EnterpriseId(eid)) == at.seen(LocalIdToken(record.local_id_token)) == []
    assert at.seen(key, HRESCH) == ["10661"]


def test_what_an_answer_rests_on_is_noted(at):
    """Law, consent with its reference, own record, break-glass; and whom a lookup led to that showed nobody."""
    record = at.register("10661")
    at.register("22222")
    at.register("33333")
    key = number(record)
    eid = at.parts.locator.locate(key)[0].eid

    def basis(client: str = "urn:mpi:exchange:cdes", purpose: PurposeOfUse = TREAT) -> str:
        asking = Asking(client, client[-5:] if "facility" in client else "", purpose, whole="steward" in client)
        if located(at.disclosure, key, asking) is None:
            at.disclosure.locate_once(key, asking)
        assert asking.weighed.eids == {eid}
        return asking.weighed.basis()

    assert basis() == "statutory:law"
    assert basis("urn:mpi:facility:22222") == "own-record, statutory:law"
    assert basis(STEWARD) == "stewardship"
    assert basis(purpose=BTG) == "break-glass"
    at.consents.give(key, "link", [TREAT], ACTOR, once=True, reference="form 12, statutory:law")
    assert basis(purpose=HRESCH) == "statutory:law"
    assert basis() == "consent:link:form 12%2C statutory%3Alaw, statutory:law"
    assert basis() == "statutory:law"
    at.consents.withdraw(key, "law", [TREAT], ACTOR)
    assert basis() == ""
    nobody = Asking("urn:mpi:exchange:cdes", "", TREAT)
    assert located(at.disclosure, IdentifierToken(key.kind, b"\x09" * 32), nobody) == ()
    assert (nobody.weighed.eids, nobody.weighed.basis()) == (set(), "")


def test_a_consent_may_come_before_the_person(at):
    """What was said before the first visit counts from the first visit on."""
    (record,) = encoded(at.ring, "22222", raw(NAME, "1", **PERSON))
    at.consents.give(number(record), "link", [TREAT], ACTOR)
    assert at.seen(number(record)) == []
    at.register("22222")
    assert at.seen(number(record)) == ["22222"]


def test_a_phone_is_still_no_key(at):
    """Phones name no single person, whoever asks."""
    record = at.register("10661", **PERSON, phone="0812345678")
    phone = next(token for token in record.demographics.tokens if token.kind.value == "phone")
    with pytest.raises(RecordRejected):
        at.seen(phone)


def test_a_consent_for_one_lookup_is_used_once_by_many_at_the_same_time(at):
    """Of twenty lookups at once one is answered; the rest find nothing, and the log says so once."""
    key = number(at.register("22222"))
    at.consents.give(key, "link", [TREAT], ACTOR, once=True)
    asking = Asking("urn:mpi:exchange:cdes", "", TREAT)
    assert located(at.disclosure, key, asking) is None
    answers: list[tuple[Identity, ...]] = []
    gate = threading.Barrier(20)

    def ask() -> None:
        gate.wait()
        answers.extend(at.disclosure.locate_once(key, asking).answers)

    threads = [threading.Thread(target=ask) for _ in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(map(len, answers)) == [0] * 19 + [1]
    assert located(at.disclosure, key, asking) == ()
    assert [each.stance for each in at.consents.listed(key, None)] == ["used"]
    assert verify(at.parts.index, at.parts.store) == []


def test_a_lookup_that_needs_no_consent_uses_none(at):
    """Nor does one by the facility itself, by a steward, or for another purpose."""
    key = number(at.register("22222"))
    at.consents.give(key, "link", [TREAT], ACTOR, once=True)
    assert at.seen(key, client="urn:mpi:facility:22222") == ["22222"]
    assert at.seen(key, client="urn:mpi:steward:somsri") == ["22222"]
    assert at.seen(key, HRESCH) == []
    assert at.seen(key) == ["22222"]
    assert at.seen(key) == []


def test_an_objection_survives_a_split(at):
    """Records that are parted from the number stay hidden, and still when they are merged elsewhere."""
    key = number(at.register("10661"))
    other = at.register("10661", "2", **{k: v for k, v in PERSON.items() if k != "national_id"})
    stranger = at.register("10661", "3", "นางมาลี สีดา", birth_date="04/09/2499", sex="2", national_id="3320100123459")
    assert len(at.seen(key)) == 2
    at.consents.withdraw(key, "law", [TREAT], ACTOR)
    parted = LocalIdToken(other.local_id_token)
    eid = at.parts.locator.locate(key)[0].eid
    at.parts.stewardship.split(eid, [[1], [2]], STEWARD, "request")
    assert at.parts.locator.locate(parted) != at.parts.locator.locate(key)
    assert at.seen(key) == at.seen(parted) == []
    assert at.seen(parted, HRESCH) == ["10661"]
    assert at.seen(number(stranger)) == ["10661"]
    at.parts.stewardship.merge(at.parts.locator.locate(parted)[0].eid, at.parts.locator.locate(number(stranger))[0].eid,
                               STEWARD, "request")  # fmt: skip
    assert at.seen(number(stranger)) == []
    assert verify(at.parts.index, at.parts.store) == []


def test_undoing_a_merge_leaves_nothing_open(at):
    """An objection that hid a merged identity goes on hiding the part that it came to by the merge."""
    key = number(at.register("10661"))
    stranger = at.register("10661", "3", "นางมาลี สีดา", birth_date="04/09/2499", sex="2", national_id="3320100123459")
    eids = [at.parts.locator.locate(each)[0].eid for each in (key, number(stranger))]
    done = at.parts.stewardship.merge(*eids, STEWARD, "request")
    at.consents.withdraw(key, "law", [TREAT], ACTOR)
    assert at.seen(number(stranger)) == []
    at.parts.stewardship.undo(Selection(revisions=(done.change,)), STEWARD, "request")
    assert at.parts.locator.locate(number(stranger)) != at.parts.locator.locate(key)
    assert at.seen(number(stranger)) == at.seen(key) == []


def test_parts_of_a_split_are_named_only_where_they_may_be_seen(at):
    """The id of a part that is hidden is not given away by the id that it was split off."""
    key = number(at.register("10661"))
    at.register("22222", "2")
    eid = at.parts.locator.locate(key)[0].eid
    at.parts.stewardship.split(eid, [[1], [2]], STEWARD, "request")
    asking = Asking("urn:mpi:exchange:cdes", "", TREAT)
    (found,) = located(at.disclosure, EnterpriseId(eid), asking)
    assert (len(found.locations), found.split) == (1, ())
    (whole,) = located(at.disclosure, EnterpriseId(eid), Asking(STEWARD, "", TREAT, whole=True))
    assert len(whole.split) == 1


def test_match_leaves_out_whom_the_caller_may_not_see(at):
    """A candidate that is hidden neither appears nor changes the decision."""
    rules = th_v1()
    record = at.register("22222")
    matcher = Matcher(at.parts.gateway, at.parts.index, Matching(rules.profile, rules.model), at.disclosure)
    exchange, steward = Asking("urn:mpi:exchange:cdes", "", TREAT), Asking(STEWARD, "", TREAT, whole=True)
    assert matcher.match(record.demographics, 5, exchange) == ([], Decision.NEW)
    assert matcher.match(record.demographics, 5, steward)[1] is Decision.LINK
    at.consents.give(number(record), "link", [TREAT], ACTOR)
    assert matcher.match(record.demographics, 5, exchange)[1] is Decision.LINK


@pytest.mark.timing
def test_hidden_takes_as_long_as_none(at):
    """Of lookups of hidden and of unknown people, taken in turn, the times are of one distribution within noise."""
    for turn in range(100):
        person = {**PERSON, "birth_date": f"{turn % 28 + 1}/{turn % 12 + 1}/{2480 + turn}"}
        person.pop("national_id")
        at.register("22222", str(turn), **person)
    hidden = [
        LocalIdToken(record.local_id_token)
        for record in encoded(at.ring, "22222", *(raw(NAME, str(n)) for n in range(100)))
    ]
    unknown = [
        LocalIdToken(record.local_id_token)
        for record in encoded(at.ring, "22222", *(raw(NAME, f"x{n}") for n in range(100)))
    ]
    asking = Asking("urn:mpi:exchange:cdes", "", TREAT)
    assert len(at.parts.locator.locate(hidden[0])) == 1
    times: dict[bool, list[int]] = {True: [], False: []}
    for _ in range(60):
        for one, other in zip(hidden, unknown, strict=True):
            for which, key in ((True, one), (False, other)):
                begun = time.perf_counter_ns()
                answer = located(at.disclosure, key, asking)
                times[which].append(time.perf_counter_ns() - begun)
                assert answer == ()
    medians = {which: statistics.median(each) for which, each in times.items()}
    spread = statistics.quantiles(times[False], n=4)
    apart = abs(medians[True] - medians[False])
    print(f"medians {medians[True]} ns hidden, {medians[False]} ns none, quartiles of none {spread}")  # noqa: T201
    # Less apart than a tenth of a lookup, or than the noise of a single one.
    assert apart < max(0.1 * medians[False], spread[2] - spread[0])


def test_who_is_asked_for_again_and_again_is_weighed_once(at, weighed):
    """By one client in one batch, or by several calls that came together; each still has its own account."""
    record = at.register("10661")
    at.consents.withdraw(number(record), "law", [TREAT], ACTOR)
    hidden, unknown = number(record), IdentifierToken(number(record).kind, bytes(32))
    for key in (hidden, unknown):
        weighed.clear()
        askings = [Asking("urn:mpi:exchange:cdes", "", TREAT) for _ in range(100)]
        askings += [Asking("urn:mpi:exchange:other", "", TREAT) for _ in range(100)]
        found = at.disclosure.locate_all([key] * 200, askings)
        assert found.answers == [()] * 200
        assert weighed == ["urn:mpi:exchange:cdes", "urn:mpi:exchange:other"]
        assert len({frozenset(each.weighed.eids) for each in askings}) == 1
        assert all(bool(each.weighed.eids) is (key is hidden) for each in askings)


def test_nobody_is_weighed_because_somebody_else_said_something(at, weighed):
    """What is ready of whoever was silent is shown without a look at their records, however much others said."""
    silent = at.register("10661", "1")
    other = at.register(
        "10661", "2", "นางสาวกานดา รักไทย", national_id="3101201565433", birth_date="01/02/2511", sex="2"
    )
    at.consents.withdraw(number(other), "law", [HRESCH], ACTOR)
    assert at.seen(number(silent)) == at.seen(LocalIdToken(silent.local_id_token)) == ["10661"]
    assert weighed == []
    assert at.seen(number(other)) == ["10661"]
    assert len(weighed) == 1


def test_each_call_of_a_group_has_an_account_of_its_own(at):
    """Also where they are of one client, ask alike, and are answered with what is ready."""
    first = at.register("10661")
    other = at.register(
        "10661", "2", "นางสาวกานดา รักไทย", national_id="3101201565433", birth_date="01/02/2511", sex="2"
    )
    opened = at.register("22222", "3", "นายวิชัย มั่นคง", national_id="5320600012342", birth_date="07/08/2490", sex="1")
    at.consents.give(number(opened), "link", [TREAT], ACTOR, once=True)
    keys = [number(first), number(other), number(first), number(opened)]
    askings = [Asking("urn:mpi:exchange:cdes", "", TREAT) for _ in keys]
    found = at.disclosure.locate_all(keys, askings)
    (one,), (two,), (again,), nothing = found.answers
    assert nothing is None
    eid = at.parts.locator.locate(number(opened))[0].eid
    assert [each.weighed.eids for each in askings] == [{one.eid}, {two.eid}, {again.eid}, {eid}]
    assert one.eid == again.eid != two.eid
    # Of an answer that is not given yet nothing is told.
    assert [each.weighed.grounds for each in askings] == [{"statutory:law"}] * 3 + [set()]
    assert found.registered.keys() == {"10661"}


def test_what_was_split_off_is_told_by_its_id_alone(at):
    """To whoever asks by the enterprise id that it was split off, an exchange as well."""
    first, second = at.register("10661"), at.register("10661", "2")
    (identity,) = at.parts.locator.locate(number(first))
    view, _ = at.parts.stewardship.identity(identity.eid)
    at.parts.stewardship.split(identity.eid, [[view.members[0].record]], STEWARD, "r")
    (part,) = {each.eid for each in at.parts.locator.locate(number(second))} - {identity.eid}
    asking = Asking("urn:mpi:exchange:cdes", "", TREAT)
    ((by_eid,), by_number) = at.disclosure.locate_all([EnterpriseId(identity.eid), number(first)], [asking] * 2).answers
    assert (by_eid.eid, by_eid.split) == (identity.eid, (part,))
    assert [each.split for each in by_number] == [(), ()]


def test_several_who_carry_one_number_are_shown_as_one_is(at, weighed):
    """Without a look at their records where all of them were silent and may be shown; else each as it is weighed."""
    first, second = at.register("10661"), at.register("10661", "2")
    (identity,) = at.parts.locator.locate(number(first))
    view, _ = at.parts.stewardship.identity(identity.eid)
    at.parts.stewardship.split(identity.eid, [[view.members[0].record]], STEWARD, "r")
    both = at.parts.locator.locate(number(first))
    assert len(both) == 2
    asking = Asking("urn:mpi:exchange:cdes", "", TREAT)
    (found,) = at.disclosure.locate_all([number(first)], [asking]).answers
    assert {each.eid for each in found} == asking.weighed.eids == {each.eid for each in both}
    assert asking.weighed.grounds == {"statutory:law"}
    assert at.disclosure.locate_all([number(first)], [asking]).registered.keys() == {"10661"}
    assert weighed == []
    # Who has records of them has ids of its own for them, and whoever asks for everything sees what is weighed.
    assert at.seen(number(first), client="urn:mpi:facility:10661") == ["10661", "10661"]
    assert len(weighed) == 2
    weighed.clear()
    assert at.seen(number(first), BTG) == ["10661", "10661"]
    assert len(weighed) == 2
    # One of them comes to have a record that is hidden: the other is shown all the same.
    at.register("33333", "3")
    assert sorted(at.seen(number(first))) == ["10661", "10661"]
    # And what is said about their number is said about both.
    at.consents.withdraw(number(second), "law", [TREAT], ACTOR)
    assert at.seen(number(first)) == []


NUMBERS = ("1103702488992", "3101201565433", "5320600012342")
PEOPLE = (("นายสมชาย ใจดี", "1"), ("นายสมชัย ใจดี", "1"), ("นางสาวกานดา รักไทย", "2"))


@pytest.mark.parametrize("seed", range(12))
def test_what_was_said_holds_for_ready_answers(at, monkeypatch, seed):
    """However records and words follow each other, what is ready is shown to whom weighing would show it, and no other.

    Records are registered, changed, taken back and erased, identities merged, split and parted, changes undone, and
    things are said about numbers that nobody, somebody or several carry.
    """
    dice = random.Random(seed)
    ready = index_reader.ready_identity

    def checked() -> None:
        shown = [[at.seen(key, purpose) for purpose in (TREAT, HRESCH)] for key in sorted(keys, key=repr)]
        with monkeypatch.context() as patched:
            patched.setattr(index_reader, "ready_identity", lambda eid, row: ready(eid, row)._replace(silent=False))
            assert [[at.seen(key, purpose) for purpose in (TREAT, HRESCH)] for key in sorted(keys, key=repr)] == shown

    def register() -> None:
        name, sex = dice.choice(PEOPLE)
        facility, local_id = dice.choice(("10661", "22222", "33333")), dice.choice("12")
        person = {"birth_date": "15/03/2525", "sex": sex}
        if dice.random() < 0.8:
            person["national_id"] = dice.choice(NUMBERS)
        record = at.register(facility, local_id, name, **person)
        keys.update([LocalIdToken(record.local_id_token), *record.demographics.tokens])
        numbers.update(record.demographics.tokens)

    def say() -> None:
        about = dice.choice(sorted(numbers)) if numbers and dice.random() < 0.9 else unknown
        said = at.consents.give if dice.random() < 0.4 else at.consents.withdraw
        said(about, dice.choice(("law", "link")), [dice.choice((TREAT, HRESCH))], ACTOR)

    def eids() -> list[str]:
        return sorted({each.eid for key in keys for each in at.parts.locator.locate(key)})

    def regroup() -> None:
        found = eids()
        with suppress(Conflict, InputRejected):
            if len(found) > 1 and dice.random() < 0.5:
                at.parts.stewardship.merge(*dice.sample(found, 2), STEWARD, "r")
            elif found:
                view, _ = at.parts.stewardship.identity(dice.choice(found))
                at.parts.stewardship.split(view.eid, [[dice.choice(view.members).record]], STEWARD, "r")

    def take_back() -> None:
        tokens = sorted(key.value for key in keys if isinstance(key, LocalIdToken))
        if tokens:
            for facility in ("10661", "22222", "33333"):
                at.parts.registry.retract(facility, LocalIdToken(dice.choice(tokens)), ACTOR, erase=dice.random() < 0.5)

    def undo() -> None:
        if not at.disclosure.revision():
            return
        with suppress(Conflict, InputRejected):
            at.parts.stewardship.undo(Selection(revisions=(dice.randint(1, at.disclosure.revision()),)), STEWARD, "u")

    unknown = IdentifierToken(IdentifierKind.NATIONAL_ID, b"u" * 32)
    keys, numbers = set[IdentifierToken | LocalIdToken](), set[IdentifierToken]()
    for _ in range(25):
        dice.choices((register, say, regroup, take_back, undo), (8, 5, 3, 1, 1))[0]()
        checked()
    assert verify(at.parts.index, at.parts.store) == []
