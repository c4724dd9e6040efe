"""Whatever a facility, a steward or a provider sends is shown as what it is, and does nothing to the page."""

from __future__ import annotations

import json
from dataclasses import fields, is_dataclass, replace
from datetime import UTC, date, datetime, timedelta
from enum import StrEnum
from types import SimpleNamespace
from typing import Any

import pytest
from playwright.sync_api import Page, expect

from mpi.client import Client
from mpi.domain.changes import Action, Bond, Cause, Change, Move, Placement, Regrouping
from mpi.domain.dashboard import BandCount, Dashboard, StewardCount, TaskCount
from mpi.domain.identity import Decision, IdentityView, Location, Member, Regrouped, Undone
from mpi.domain.review import HeldTask, Remark, RemarkKind, ReviewTask, TaskKind, TaskStatus, Verdict
from mpi.domain.task_detail import (
    BulkDecided,
    Decided,
    DecidedTask,
    Edge,
    Graph,
    IfLinked,
    ListedTask,
    Pair,
    TaskDetail,
    Term,
)
from mpi.encoder import sealed
from mpi.encoder.sealed import load_public_key
from mpi.errors import Conflict, NotFound
from mpi.web.showing import plain
from mpi.web.visits import Connection
from tests.building import raw
from tests.web.test_browser import at_work, choose_key
from tests.web.world import HOSPITAL, page_served

BIDI = "\u202e\u2066\u200f\u061c"
"""Marks that turn the direction of writing round."""
HOSTILE = {
    "markup": '<script>window.hacked=1</script><img src=x onerror="window.hacked=1">\'"><svg/onload=window.hacked=1>',
    "template": "{{ 7*7 }}{% include 'base.html' %}${7*7}",
    "script end": "</script></template></textarea></title><script>window.hacked=1</script>",
    "address": 'javascript:window.hacked=1//" onmouseover=window.hacked=1 x="',
    "bidi": f"a{BIDI}b\u2028\u0000\u0007",
    "long": "ก" * 10_000,
    "unbroken": "x" * 10_000,
}
NOW = datetime(2026, 6, 30, 3, 0, tzinfo=UTC)


def soiled(value: Any, text: str) -> Any:
    """The same with every text in it replaced, but for those that only the domain's own words can be."""
    if isinstance(value, StrEnum):
        return value
    if isinstance(value, str):
        return text if value else value
    if isinstance(value, tuple):
        return tuple(soiled(each, text) for each in value)
    if is_dataclass(value) and not isinstance(value, type):
        return replace(value, **{each.name: soiled(getattr(value, each.name), text) for each in fields(value)})
    return value


class HostileIndex:
    """An index in which every text is the same hostile one."""

    def __init__(self, text: str) -> None:
        self._text = text
        later = datetime.now(UTC) + timedelta(minutes=5)
        task = ReviewTask(1, "e", "r", 24.5, "possible", 1500)
        held = HeldTask(1, TaskStatus.OPEN, task, NOW, "", None, "a")
        taken = replace(held, number=2, holder="h", held_until=later)
        members = tuple(Member(number, Location("f", b"\x01"), True, number) for number in (1, 2))
        term = Term("A", "agree", 3.0, "e", "t", (0.2, 0.4))
        number = Term("national_id", "agree", 9.0, "e", "t", None)
        pair = Pair(1, 2, 12.0, 0.5, (term, number), ("m",), "r", "e", "t")
        view = IdentityView("e", members, ("r",), ("s",), ((1, 2, "cannot_link"),))
        remarks = tuple(
            Remark(kind, "a", Verdict.SAME if kind is RemarkKind.VERDICT else "w", "r", "t", NOW) for kind in RemarkKind
        )
        what = IfLinked("e", 2, ("f", "g"), 3.0, "v", True, True)
        cause = Cause("a", "d", "r", "f", NOW)
        placed = Placement(1, "e", "p", Decision.REVIEW, 1.0, "w", "r")
        moved = Regrouping(Action.SPLIT, (Move(1, "s", "t", 1),))
        self._log = [Change(1, placed, None, cause), Change(2, moved, None, cause)]
        self._detail = TaskDetail(ListedTask(held, 0.5, ("f",)), view, view, (pair, pair), what, remarks, 2)
        self._taken = replace(self._detail, listed=ListedTask(taken, 0.5, ("f",)))
        self._graph = Graph(((1, "e", "f"), (2, "x", "g")), (Edge(1, 2, 1.0, True, Bond.CANNOT),), True)
        self._board = Dashboard(
            (TaskCount(TaskKind.OVERLAY, TaskStatus.OPEN, 3, NOW),),
            ((date(2026, 6, 1), 3, 1), (date(2026, 6, 3), 1, 2)),
            (StewardCount("s", 3, 1, 1, 1),),
            (BandCount(24.0, 3, 1, 3.2),),
            (("f", 3),),
            2.0,
        )

    def client(self) -> Client:
        """The answers to every call of the page."""
        hostile = lambda value: lambda *_, **__: soiled(value, self._text)  # noqa: E731 (one line each, below)
        return SimpleNamespace(  # type: ignore[return-value]
            tasks=lambda *_: ([soiled(self._detail.listed, self._text), soiled(self._taken.listed, self._text)], b"c"),
            counts=hostile(self._board.counts),
            task=lambda number: soiled(self._taken if number == 2 else self._detail, self._text),
            graph=hostile(self._graph),
            changes=lambda *_: [soiled(each, self._text) for each in self._log],
            identity=hostile(self._detail.left),
            dashboard=hostile(self._board),
            decide_preview=lambda *_: ([soiled(self._detail.listed, self._text)], True),
            decide_all=hostile(BulkDecided((DecidedTask(1, None, "r"), DecidedTask(2, TaskStatus.SAME, "")), "r")),
            undo=hostile(Undone(1, (), 1, 1, 1, "r", 3)),
            decide=self._refuse,
            merge=self._refuse,
            comment=lambda *_: None,
            assign=lambda *_: None,
            claim=lambda *_, **__: soiled(self._detail.listed, self._text),
        )

    def _refuse(self, *_: object, **__: object) -> Decided | Regrouped:
        raise Conflict(self._text)

    def of(self, steward: str) -> Connection:
        """Give the one connection."""
        return Connection(self.client(), "urn:mpi:steward:somchai")


def unharmed(page: Page) -> None:
    """Nothing ran, nothing was added, nothing turns the writing round, and the page is not torn apart."""
    assert page.evaluate("window.hacked") is None
    assert page.locator("img:not([src='/static/mark.svg'])").count() == 0
    assert page.locator("script:not([src='/static/page.js']):not([type='application/json'])").count() == 0
    assert page.locator("[onerror], [onload], [onmouseover], [style]").count() == 0
    links = page.evaluate("[...document.querySelectorAll('a[href], form[action]')].map((a) => a.href ?? a.action)")
    assert [link for link in links if not link.startswith("http://127.0.0.1")] == []
    text = page.evaluate("document.documentElement.textContent")
    assert [mark for mark in BIDI if mark in text] == []
    assert "{{ 49 }}" not in text
    assert len(text) < 200_000
    assert page.evaluate("document.documentElement.scrollWidth") <= 360


@pytest.mark.browser
@pytest.mark.parametrize("kind", HOSTILE)
def test_hostile_texts_are_only_texts(browser, kind):
    """Every page with a hostile text in every field that anybody can send, the steward's own name included."""
    text = HOSTILE[kind]
    with page_served(HostileIndex(text), text) as (origin, link):
        at = SimpleNamespace(link=link)
        with at_work(browser, at, viewport={"width": 360, "height": 740}) as page:
            for path in (
                "/queue",
                "/questions",
                "/tasks/1",
                "/tasks/2",
                "/identities",
                "/identities/e",
                "/merge?eid=a&other=b",
                "/changes/1/undo",
                "/dashboard",
                "/bulk?kind=overlay",
            ):
                answer = page.goto(origin + path)
                assert answer.status == (409 if path.startswith("/merge") else 200), path
                unharmed(page)
            page.goto(f"{origin}/tasks/1")
            page.locator("summary[data-key=m]").click()
            page.locator("textarea").evaluate("(field, text) => { field.value = text }", text[:2000])
            page.locator("button.verdict-same").click()
            expect(page.locator(".toast.problem")).to_be_visible()
            unharmed(page)
            page.goto(f"{origin}/bulk?kind=overlay")
            page.locator("button.main").click()
            expect(page.locator("h1")).to_contain_text("Decided: 1 of 2")
            unharmed(page)


@pytest.mark.browser
def test_what_is_sealed_is_only_text_too(browser, at):
    """A facility that seals hostile texts does nothing to the steward's browser."""
    (record,) = at.encode(HOSPITAL, raw("นายมานะ อดทน", "1", birth_date="03/03/2523", sex="1"))
    key = load_public_key(at.folder / "steward.pub.json")
    header = bytes((1, 3)) + sealed.fingerprint(key)
    for kind, text in HOSTILE.items():
        shown = {"given": text[:150], "passport": f"<i>{kind}</i>", "<b>field</b>": "x", "sex": "7"}
        whole = json.dumps(shown, ensure_ascii=False).encode()
        # Sealed as SealedViews does, of what it would never have sealed.
        view = header + sealed._SUITE.encrypt(whole, key, sealed._info(header, HOSPITAL, record.pointer))
        at.facility.register(replace(record, local_id_token=kind.encode().ljust(32), sealed_view=view))
    with at_work(browser, at, viewport={"width": 360, "height": 740}) as page:
        eid = at.steward.changes()[0].event.eid
        page.goto(f"{at.origin}/identities/{eid}")
        page.keyboard.press("v")
        choose_key(page, at.key)
        expect(page.locator("[data-state=open]")).to_have_count(len(HOSTILE))
        expect(page.locator("main")).to_contain_text("<i>markup</i>")
        expect(page.locator("main")).to_contain_text("⟨U+202E⟩")
        unharmed(page)


def test_unseen_characters_are_written_by_their_numbers():
    """Marks of direction and controls show; Thai, its word breaks and other scripts stay as they are."""
    assert plain("a\u202eb\u0000") == "a⟨U+202E⟩b⟨U+0000⟩"
    assert plain("น้ำ\u200bใจ 漢字 é") == "น้ำใจ 漢字 é"
    assert plain("line\nbreak") == "line break"
    assert plain("ก" * 10_000) == "ก" * 280 + "…"


@pytest.mark.browser
def test_not_found_is_told_apart_from_a_fault(browser):
    """A task that is not there says so, and an address that was made up is refused in words."""

    class Empty(HostileIndex):
        def client(self) -> Client:
            client = super().client()

            def task(number: int) -> TaskDetail:
                raise NotFound("there is no such task")

            client.task = task  # type: ignore[method-assign,assignment]
            return client

    with page_served(Empty("x")) as (origin, link), at_work(browser, SimpleNamespace(link=link)) as page:
        assert page.goto(f"{origin}/tasks/7").status == 404
        expect(page.locator("main")).to_contain_text("there is no such task")
        for path in (
            "/queue?state=odd",
            "/queue?least=many",
            "/queue?cursor=zz",
            "/queue?assignee=%3Cb%3E",
            "/identities/e?as_of=-1",
            "/dashboard?days=1e9",
            "/bulk?kind=overlay&verdict=ask",
        ):
            assert page.goto(origin + path).status == 400, path
            expect(page.locator("main")).to_contain_text("Nothing was lost")
