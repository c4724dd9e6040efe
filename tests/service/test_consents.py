"""What citizens say, kept: in the store, in the index, in the log, sealed, and used up once."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from mpi.domain.changes import Selection
from mpi.domain.consent import Stance
from mpi.domain.identifiers import IdentifierKind, IdentifierToken
from mpi.domain.purpose import PurposeOfUse
from mpi.errors import Conflict, RecordRejected
from mpi.index.lmdb_index import Index
from mpi.index.projector import catch_up, rebuild, verify
from mpi.service.consent import Consents
from mpi.service.policy import load_policy
from tests.building import AT_REST, encoded, key_ring, raw, th_v1
from tests.databases import BACKENDS, database
from tests.service.centres import Parts, joined

TREAT, ETREAT, HRESCH = PurposeOfUse.TREAT, PurposeOfUse.ETREAT, PurposeOfUse.HRESCH
ACTOR, STEWARD = "urn:mpi:exchange:paotang", "urn:mpi:steward:somsri"
TOKEN = IdentifierToken(IdentifierKind.NATIONAL_ID, b"\x05" * 32)


@contextmanager
def centre(folder: Path, backend: str = "sqlite") -> Iterator[tuple[Parts, Consents]]:
    ring = key_ring(folder)
    with (
        database(backend, folder, th_v1().stored_digest) as opener,
        joined(opener(), folder / "index", (ring.current.name,)) as at,
    ):
        yield at, Consents(at.gateway, at.store, at.index, load_policy(), "rules")


def states(consents: Consents, recorder: str | None = None) -> list[tuple[str, PurposeOfUse, Stance]]:
    return [(each.network, each.purpose, each.stance) for each in consents.listed(TOKEN, recorder)]


@pytest.mark.parametrize("backend", BACKENDS)
def test_what_is_said_later_replaces_what_was_said(tmp_path, backend):
    """By network and purpose; each client sees what it brought, and the log keeps every step."""
    with centre(tmp_path, backend) as (at, consents):
        first = consents.give(TOKEN, "mor-prom", [TREAT, ETREAT], ACTOR, reference="form 1", once=True)
        second = consents.withdraw(TOKEN, "mor-prom", [TREAT], "urn:mpi:facility:10661")
        consents.give(TOKEN, "health-link", [TREAT], ACTOR)
        assert (first, second) == (1, 2)
        assert states(consents) == [
            ("health-link", TREAT, Stance.GIVEN),
            ("mor-prom", ETREAT, Stance.GIVEN),
            ("mor-prom", TREAT, Stance.WITHDRAWN),
        ]
        assert [(each.once, each.reference) for each in consents.listed(TOKEN, ACTOR)] == [
            (False, ""),
            (True, "form 1"),
        ]
        log = list(at.store.changes(0))
        assert [(each.event.action, len(each.event.consents)) for each in log] == [
            ("consent", 2),
            ("consent", 1),
            ("consent", 1),
        ]
        assert at.gateway.identifiers(TOKEN)[0] == log[0].event.consents[0].subject
        with at.index.reading() as reader:
            held = reader.said(at.gateway.identifiers(TOKEN)[0])
        assert held == consents.listed(TOKEN, None)


def test_an_index_that_follows_or_is_made_anew_holds_the_same(tmp_path):
    """Row by row: by the log, by the tables, and in another process's index."""
    with centre(tmp_path) as (at, consents):
        for stance in (consents.give, consents.withdraw, consents.give):
            stance(TOKEN, "mor-prom", [TREAT, HRESCH], ACTOR)
        at.registry.register(encoded(key_ring(tmp_path / "again"), "10661", raw("นายสมชาย ใจดี", "1")), ACTOR)
        assert verify(at.index, at.store) == []
        other = Index(tmp_path / "other", AT_REST)
        catch_up(other, at.store)
        assert verify(other, at.store) == []
        other.close()
        rebuild(tmp_path / "index", AT_REST, at.store)
        assert verify(at.index, at.store) == []
        with at.index.reading() as reader:
            assert len(reader.said(at.gateway.identifiers(TOKEN)[0])) == 2
        # A row that was taken away is missed.
        with at.index.writing() as writer:
            (key, _) = next(iter(writer.rows("consents")))
            writer._transaction.delete(key, db=writer._tables["consents"])
        assert verify(at.index, at.store) == ["consents: 1 rows missing or damaged, 0 rows that should not be there"]


def test_nothing_that_was_said_lies_in_clear(tmp_path):
    """Neither the token, as it came or re-keyed, nor the words of a consent are in any file."""
    with centre(tmp_path) as (at, consents):
        consents.give(TOKEN, "mor-prom", [TREAT], ACTOR, reference="planted-reference")
        stored = at.gateway.identifiers(TOKEN)[0].value
    files = [path for path in tmp_path.rglob("*") if path.is_file() and "keys" not in path.parts]
    assert len(files) >= 2
    for path in files:
        content = path.read_bytes()
        for planted in (TOKEN.value, stored, b"planted-reference", b"mor-prom"):
            assert planted not in content, path


@pytest.mark.parametrize(
    ("token", "network", "purposes", "reference", "field"),
    [
        (IdentifierToken(IdentifierKind.PHONE, b"\x05" * 32), "mor-prom", [TREAT], "", "identifier.kind"),
        (TOKEN, "facebook", [TREAT], "", "network"),
        (TOKEN, "mor-prom", [], "", "purposes"),
        (TOKEN, "mor-prom", [PurposeOfUse.BTG], "", "purposes"),
        (TOKEN, "mor-prom", [TREAT], "x" * 65, "reference"),
        (TOKEN, "mor-prom", [TREAT], "สมชาย", "reference"),
    ],
)
def test_what_cannot_be_said_is_refused(tmp_path, token, network, purposes, reference, field):
    """The error names the part at fault; nothing is kept."""
    with centre(tmp_path) as (at, consents):
        for say in (consents.give, consents.withdraw):
            with pytest.raises(RecordRejected) as caught:
                say(token, network, purposes, ACTOR, reference=reference)
            assert caught.value.field == field
        assert at.store.head() == 0


def test_a_steward_does_not_take_back_what_a_citizen_said(tmp_path):
    """Undo refuses changes of consents, and by cause it leaves them."""
    with centre(tmp_path) as (at, consents):
        consents.withdraw(TOKEN, "mor-prom", [TREAT], ACTOR)
        with pytest.raises(Conflict):
            at.stewardship.undo(Selection(actor=ACTOR), STEWARD, "request")
        assert states(consents) == [("mor-prom", TREAT, Stance.WITHDRAWN)]
