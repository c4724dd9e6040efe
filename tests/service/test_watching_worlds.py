"""Feeds over long random stories: a client that follows knows what lookups give, and nothing of what is hidden."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from mpi.domain.identifiers import EnterpriseId, LocalIdToken, LocateKey
from mpi.domain.record import EncodedRecord
from mpi.domain.watching import IdentityEvent
from mpi.errors import Conflict, NotFound
from mpi.store.sql import open_sqlite
from tests.building import AT_REST, encoded, key_ring, raw, th_v1
from tests.service.centres import ACTOR, STEWARD, joined, located
from tests.service.test_disclosure import HRESCH, TREAT, number
from tests.service.test_watching import Feed, Watcher

PEOPLE = (
    ("นายสมชาย ใจดี", {"birth_date": "15/03/2525", "sex": "1", "national_id": "1103702488992"}),
    ("นางมาลี สีดา", {"birth_date": "04/09/2499", "sex": "2", "national_id": "3320100123459"}),
    ("นายวิชัย ทองดี", {"birth_date": "21/12/2510", "sex": "1", "national_id": "3320100234561"}),
    ("นางสาวนารี มีสุข", {"birth_date": "01/02/2530", "sex": "2"}),
)
OPEN, OPT_IN, SENSITIVE = "10661", "22222", "33333"


class World(Feed):
    """A centre that people register at under local ids; a step that cannot be done is left out."""

    def __init__(self, parts: object, folder: Path) -> None:
        super().__init__(parts, folder)  # type: ignore[arg-type]
        self.records: dict[tuple[str, str], EncodedRecord] = {}

    def add(self, facility: str, local_id: str, who: int, **more: str) -> None:
        """Register a record, anew if it is there."""
        name, person = PEOPLE[who]
        (record,) = encoded(self.ring, facility, raw(name, local_id, **{**person, **more}))
        self.parts.registry.register([record], ACTOR)
        self.records[facility, local_id] = record

    def found(self, at: tuple[str, str]) -> str:
        """The identity of a record; "" where it is not held."""
        if at not in self.records:
            return ""
        held = self.parts.locator.locate(LocalIdToken(self.records[at].local_id_token))
        return held[0].eid if held else ""

    def number_of(self, at: tuple[str, str]) -> int:
        """A record's number in the store."""
        with self.parts.index.reading() as reader:
            pointer = self.records[at].pointer
            return next(each.number for each in reader.members(self.found(at)) if each.location.pointer == pointer)

    def steward(self, work: Callable[[], object]) -> None:
        """Do what a steward may be refused."""
        with suppress(Conflict, NotFound):
            work()

    def put_together(self, one: tuple[str, str], other: tuple[str, str]) -> None:
        """Merge the identities of two records."""
        if self.found(one) and self.found(other):
            self.steward(lambda: self.parts.stewardship.merge(self.found(one), self.found(other), STEWARD, "r"))

    def part(self, at: tuple[str, str]) -> None:
        """Unlink a record."""
        if self.found(at):
            self.steward(lambda: self.parts.stewardship.unlink(self.number_of(at), STEWARD, "r"))

    def take_back(self, at: tuple[str, str]) -> None:
        """Retract a record."""
        if self.found(at):
            self.retract(self.records.pop(at))

    def say(self, who: int, network: str, *, given: bool, research: bool = False) -> None:
        """Keep a citizen's word, by the number of somebody who has one."""
        name, person = PEOPLE[who]
        (record,) = encoded(self.ring, OPEN, raw(name, "0", **person))
        tell = self.consents.give if given else self.consents.withdraw
        tell(number(record), network, [HRESCH if research else TREAT], ACTOR)

    def seen_by(self, watcher: Watcher, key: LocateKey) -> tuple[str, tuple[str, ...]] | None:
        """What a lookup of the watching client gives: the id and the facilities with their pointers."""
        found = located(self.disclosure, key, watcher.asking)
        assert found is not None
        if not found:
            return None
        return found[0].eid, tuple(f"{at.facility}/{at.pointer.hex()}" for at in found[0].locations)


@contextmanager
def world(folder: Path) -> Iterator[World]:
    folder.mkdir(exist_ok=True)
    store = open_sqlite(folder / "store.db", AT_REST, th_v1().stored_digest)
    with joined(store, folder / "index", (key_ring(folder).current.name,)) as parts:
        yield World(parts, folder)


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("often", [1, 5])
def test_who_looks_up_what_is_told_knows_what_lookups_give(tmp_path, seed, often):
    """Following a story at every step or now and then: all that may be shown is known, under an id that leads there."""
    chance, compared = random.Random(seed), 0
    known: dict[str, tuple[str, ...]] = {}
    with world(tmp_path / "a") as at:
        watcher = at.watch()
        for turn in range(60):
            _step(at, chance)
            if turn % often == 0:
                _follow(at, watcher, known)
                compared += _compared(at, watcher, known)
    assert compared > 60 / often


def _follow(at: World, watcher: Watcher, known: dict[str, tuple[str, ...]]) -> None:
    """Look up what is told, and keep what that gives."""
    for event in watcher.told():
        for eid in {event.eid, event.source} - {""}:
            known.pop(eid, None)
            if (seen := at.seen_by(watcher, EnterpriseId(eid))) is not None:
                known[seen[0]] = seen[1]


def _compared(at: World, watcher: Watcher, known: dict[str, tuple[str, ...]]) -> int:
    """Hold what is known against what lookups give; how many records may be shown."""
    compared = 0
    for (facility, _), record in at.records.items():
        seen = at.seen_by(watcher, LocalIdToken(record.local_id_token))
        if seen is not None and any(location.startswith(facility) for location in seen[1]):
            # Under the id of today, or under an earlier one that goes on answering.
            leading = {eid for eid in known if at.seen_by(watcher, EnterpriseId(eid)) == seen}
            assert seen[1] in {known[eid] for eid in leading}
            compared += 1
    for eid, locations in known.items():
        seen = at.seen_by(watcher, EnterpriseId(eid))
        assert seen is None or seen[0] != eid or seen[1] == locations
    return compared


def _step(at: World, chance: random.Random) -> None:
    local_id = str(chance.randrange(6))
    one, other = (
        (chance.choice((OPEN, OPT_IN, SENSITIVE)), str(chance.randrange(6))),
        (chance.choice((OPEN, OPT_IN, SENSITIVE)), str(chance.randrange(6))),
    )
    step = chance.random()
    if step < 0.4:
        phone = {"phone": f"081234567{chance.randrange(10)}"} if chance.random() < 0.5 else {}
        at.add(chance.choice((OPEN, OPEN, OPT_IN, SENSITIVE)), local_id, int(local_id) % len(PEOPLE), **phone)
    elif step < 0.6:
        at.put_together(one, other)
    elif step < 0.7:
        at.part(one)
    elif step < 0.8:
        at.take_back(one)
    elif step < 0.9:
        at.say(chance.randrange(3), chance.choice(("law", "link")), given=chance.random() < 0.8)


@pytest.mark.parametrize("seed", range(4))
def test_two_worlds_that_differ_in_what_is_hidden_look_the_same(tmp_path, seed):
    """Hidden records come, change, are merged and go in one world and not in the other; the feed is the same."""
    chance = random.Random(seed)
    with world(tmp_path / "full") as full, world(tmp_path / "bare") as bare:
        watchers = full.watch(), bare.watch()
        for at in (full, bare):
            for turn in range(6):  # seen people come first, so that their ids are the older ones
                at.add(OPEN, str(turn), turn % len(PEOPLE))
        told = [_renamed(at, watcher.told()) for at, watcher in zip((full, bare), watchers, strict=True)]
        assert told[0] == told[1]
        hidden = 0
        for _ in range(40):
            local_id, who = str(chance.randrange(6)), chance.randrange(len(PEOPLE))
            one, other = (OPEN, local_id), (OPEN, str(chance.randrange(6)))
            step = chance.randrange(7)
            phone = f"081234567{chance.randrange(10)}"
            if step < 3:
                hidden += 1
                full.add(SENSITIVE, local_id, int(local_id) % len(PEOPLE), **({"phone": phone} if step else {}))
            elif step == 3:
                full.take_back((SENSITIVE, local_id))
            elif step == 4:
                for at in (full, bare):
                    at.add(OPEN, local_id, int(local_id) % len(PEOPLE), phone=phone)
            elif step == 5:
                full.say(who % 3, "law", given=True, research=True)
            else:
                full.put_together(one, (SENSITIVE, local_id))
                for at in (full, bare):
                    at.put_together(one, other)
            told = [_renamed(at, watcher.told()) for at, watcher in zip((full, bare), watchers, strict=True)]
            assert told[0] == told[1]
        late = [Watcher(at.watching, watcher.asking, 0) for at, watcher in zip((full, bare), watchers, strict=True)]
        told = [_renamed(at, watcher.told()) for at, watcher in zip((full, bare), late, strict=True)]
        assert told[0] == told[1]
        assert hidden > 5
        assert full.watching.revision() > bare.watching.revision() + hidden / 2


def _renamed(at: World, events: list[IdentityEvent]) -> list[tuple[object, ...]]:
    """Events with the open records that an id leads to today instead of the id."""
    named = {}
    for event in events:
        seen = [local_id for (facility, local_id) in at.records if facility == OPEN
                and at.found((facility, local_id)) == _today(at, event.eid)]  # fmt: skip
        named[event] = (tuple(sorted(seen)), event.kind, bool(event.source), event.facilities)
    return sorted(named.values())


def _today(at: World, eid: str) -> str:
    with at.parts.index.reading() as reader:
        return reader.resolve(eid)
