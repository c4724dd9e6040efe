"""Stewards at work in a real browser, against a real centre: what the page shows, and what the store then holds."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, Page, expect

from mpi.domain.changes import Action, Regrouping, Selection
from mpi.domain.identifiers import IdentifierKind
from mpi.domain.purpose import PurposeOfUse
from mpi.domain.review import RemarkKind, TaskFilter, TaskKind, TaskStatus, Verdict
from mpi.encoder.sealed import new_steward_key
from mpi.encoder.tokens import Tokeniser
from mpi.rules import rule_file
from tests.building import raw
from tests.web.world import STEWARD, World, world


@contextmanager
def at_work(browser: Browser, at: World, **options: object) -> Iterator[Page]:
    """A page of a steward who has signed in. Whatever goes wrong in a script fails the test."""
    context = browser.new_context(**{"locale": "en-GB", **options})  # type: ignore[arg-type]
    page = context.new_page()
    wrong: list[str] = []
    page.on("pageerror", lambda error: wrong.append(str(error)))
    page.on("console", lambda said: wrong.append(said.text) if "Content Security Policy" in said.text else None)
    page.on("dialog", lambda dialog: (wrong.append(dialog.message), dialog.dismiss()))
    page.goto(at.link)
    try:
        yield page
    finally:
        context.close()
    assert wrong == []


def press(page: Page, key: str) -> None:
    """Press a key that leads to another page, and wait for it."""
    with page.expect_navigation():
        page.keyboard.press(key)


def task_number(page: Page) -> int:
    found = re.search(r"/tasks/(\d+)", page.url)
    assert found, page.url
    return int(found[1])


def choose_key(page: Page, path: object) -> None:
    page.locator("#key input[type=file]").set_input_files(str(path))


def test_a_steward_works_by_keyboard_alone(browser, at):
    """Ten tasks, one taken back, a split, a reveal and many at once, without a mouse: the store holds just that."""
    at.register_people()
    at.register_overlays()
    eid = at.register_one_person()
    said: dict[int, Verdict] = {}
    keys = {"s": Verdict.SAME, "d": Verdict.DIFFERENT, "c": Verdict.UNSURE, "a": Verdict.ASK}
    with at_work(browser, at) as page:
        press(page, "n")
        for turn, key in enumerate("sddscsdadsd"):
            number = task_number(page)
            assert at.steward.task(number).listed.held.holder == STEWARD
            press(page, key)
            said[number] = keys[key]
            if turn == 3:
                press(page, "u")
                expect(page.locator(".toast")).to_contain_text("Taken back: 1")
                assert at.steward.task(number).listed.held.status is TaskStatus.OPEN
                undone = number

        press(page, "5")
        page.keyboard.press("/")
        page.keyboard.type(eid)
        press(page, "Enter")
        page.keyboard.press("j")
        page.keyboard.press("j")
        page.keyboard.press("Space")
        press(page, "x")
        expect(page.locator(".toast")).to_contain_text("Split off as")

        page.keyboard.press("v")
        choose_key(page, at.key)
        opened = page.locator("[data-sealed][data-state=open]")
        expect(opened).to_have_count(2)
        expect(opened.first).to_contain_text("มานะ")
        expect(opened.first).to_contain_text("อ***")

        press(page, "2")
        page.keyboard.press("f")
        page.keyboard.type("Overlay")
        page.keyboard.press("Escape")
        press(page, "l")
        press(page, "s")
        expect(page.locator("h1")).to_have_text("Decided: 3 of 3")

    state = {Verdict.SAME: "same", Verdict.DIFFERENT: "different", Verdict.UNSURE: "unsure", Verdict.ASK: "asked"}
    assert len(said) == 10
    assert undone in said  # it waited again, and was decided again
    for number, verdict in said.items():
        assert at.steward.task(number).listed.held.status == state[verdict], number
    different, _ = at.steward.tasks(TaskFilter(kind=TaskKind.OVERLAY, status=TaskStatus.DIFFERENT))
    assert len(different) == 3
    log = at.steward.changes(Selection(actor=STEWARD), limit=1000)
    actions = [change.event.action for change in log if isinstance(change.event, Regrouping)]
    assert actions == [
        Action.LINK,
        Action.KEEP_APART,
        Action.KEEP_APART,
        Action.LINK,
        Action.UNDO,
        Action.LINK,
        Action.KEEP_APART,
        Action.KEEP_APART,
        Action.LINK,
        Action.KEEP_APART,
        Action.SPLIT,
        *[Action.KEEP_APART] * 3,
    ]
    parted = at.steward.identity(eid)
    assert len(parted.members) == 2
    assert len(parted.split) == 1


@pytest.mark.browser
def test_many_decisions_are_taken_back_at_once(browser, at):
    """What was decided in bulk is undone by one key, and every task waits again."""
    at.register_overlays()
    with at_work(browser, at) as page:
        page.goto(f"{at.origin}/bulk?kind=overlay&verdict=different")
        page.locator("input[name=number]").first.uncheck()
        press(page, "s")
        expect(page.locator("h1")).to_have_text("Decided: 2 of 2")
        assert len(at.steward.tasks()[0]) == 1
        press(page, "u")
        expect(page.locator(".toast")).to_contain_text("Taken back: 2")
    assert len(at.steward.tasks()[0]) == 3


@pytest.mark.browser
def test_a_merge_is_looked_at_first_and_taken_back_later(browser, at):
    """Two identities are shown side by side before they are merged; the change stands in the steward's own list."""
    at.register_people(1)
    (listed,), _ = at.steward.tasks()
    eid, rival = listed.held.task.eid, listed.held.task.rival
    with at_work(browser, at) as page:
        page.goto(f"{at.origin}/identities/{eid}")
        page.keyboard.press("m")
        page.keyboard.type(rival)
        press(page, "Enter")
        expect(page.locator("section.card .eid")).to_have_count(2)
        assert at.steward.identity(eid).eid == eid
        press(page, "s")
        assert at.steward.identity(eid).eid == rival
        press(page, "5")
        expect(page.locator(".timeline")).to_contain_text("Merged")
        page.goto(f"{at.origin}/identities/{rival}")
        page.get_by_role("link", name="Undo change").first.click()
        expect(page.locator("h1")).to_contain_text("Take back change")
        press(page, "u")
        assert at.steward.identity(eid).eid == eid
        expect(page.locator(".timeline")).to_contain_text("taken back by")
        page.goto(f"{at.origin}/identities/{rival}?as_of=3")
        expect(page.locator(".banner")).to_contain_text("As it was after change 3")
        expect(page.locator(".records > li")).to_have_count(2)


@pytest.mark.browser
def test_two_stewards_at_one_task(browser, at):
    """A task that another steward has claimed is shown with whose it is, and cannot be decided; later it can."""
    at.register_people(1)
    (listed,), _ = at.steward.tasks()
    number = listed.held.number
    with at_work(browser, at) as page:
        page.goto(f"{at.origin}/tasks/{number}")
        at.second.claim(number)
        page.keyboard.press("m")
        page.locator("textarea").fill("ดูแล้วน่าจะเป็นคนเดียวกัน")
        page.keyboard.press("Escape")
        press(page, "s")
        expect(page.locator(".toast")).to_contain_text("Not done: another steward has claimed the task")
        expect(page.locator(".banner")).to_contain_text("somsri")
        assert page.locator("button.verdict").count() == 0
        at.second.release(number)
        page.reload()
        press(page, "s")
        assert at.steward.task(number).listed.held.status is TaskStatus.SAME


@pytest.mark.browser
def test_a_second_steward_has_to_agree(browser, tmp_path):
    """Where two stewards are needed the page says so, one verdict changes nothing, nobody agrees with themselves."""
    with world(tmp_path, confirm_records=2) as at:
        at.register_people(1)
        (listed,), _ = at.steward.tasks()
        number, task = listed.held.number, listed.held.task
        with at_work(browser, at) as page:
            page.goto(f"{at.origin}/tasks/{number}")
            expect(page.locator("main")).to_contain_text("Two stewards have to agree on this one")
            press(page, "s")
            expect(page.locator(".toast")).to_contain_text("waits for a second steward")
            assert at.steward.identity(task.eid).eid == task.eid
            page.goto(f"{at.origin}/queue?state=confirming")
            page.locator(".task-link").click()
            expect(page.locator(".banner").first).to_contain_text("A second one has to agree")
            press(page, "s")
            expect(page.locator(".toast.problem")).to_contain_text("a second steward has to agree")
            assert at.second.decide(number, Verdict.SAME).status is TaskStatus.SAME
            page.reload()
            expect(page.locator(".banner").first).to_contain_text("Decided: one person")
        assert at.steward.identity(task.eid).eid == at.steward.identity(task.rival).eid


@pytest.mark.browser
def test_what_was_written_is_not_lost(browser, at):
    """A verdict that comes too late is refused with the reason, and the remark stands in its place for the next try."""
    at.register_people(1)
    (listed,), _ = at.steward.tasks()
    number, task = listed.held.number, listed.held.task
    with at_work(browser, at) as page:
        page.goto(f"{at.origin}/tasks/{number}")
        extra = at.register_one_person()
        at.second.merge(task.rival, extra)
        page.keyboard.press("m")
        page.locator("textarea").fill("เขียนไว้แล้ว")
        page.locator("select[name=reason]").select_option("twins")
        page.locator("button.verdict-different").click()
        expect(page.locator(".toast.problem")).to_contain_text("has changed since you looked")
        expect(page.locator("textarea")).to_have_value("เขียนไว้แล้ว")
        expect(page.locator("select[name=reason]")).to_have_value("twins")
        assert at.steward.task(number).listed.held.status is TaskStatus.OPEN
        page.locator("button.verdict-different").click()
        page.wait_for_url(re.compile("/queue"))
    detail = at.steward.task(number)
    assert detail.listed.held.status is TaskStatus.DIFFERENT
    (remark,) = [each for each in detail.remarks if each.kind is RemarkKind.VERDICT]
    assert (remark.text, remark.reason, remark.actor) == ("เขียนไว้แล้ว", "twins", STEWARD)


@pytest.mark.browser
def test_a_task_that_vanished_says_so(browser, at):
    """When a merge has answered a task, its page says so, offers no verdict, and leads on."""
    at.register_people(1)
    (listed,), _ = at.steward.tasks()
    at.second.merge(listed.held.task.eid, listed.held.task.rival)
    with at_work(browser, at) as page:
        page.goto(f"{at.origin}/tasks/{listed.held.number}")
        expect(page.locator(".banner").first).to_be_visible()
        assert page.locator("button.verdict").count() == 0
        assert page.goto(f"{at.origin}/tasks/999999").status == 404
        expect(page.locator("h1")).to_have_text("There is no such thing here")


@pytest.mark.browser
def test_a_wrong_key_opens_nothing(browser, at, tmp_path):
    """A public key, a damaged one, something else and another steward's are each told apart, and nothing is shown."""
    eid = at.register_one_person()
    new_steward_key(tmp_path / "other.json", tmp_path / "other.pub.json")
    whole = json.loads(at.key.read_text())
    (tmp_path / "damaged.json").write_text(json.dumps({**whole, "x": whole["y"]}))
    (tmp_path / "odd.json").write_text('{"kty": "EC", "crv": "P-256", "d": 7}')
    (tmp_path / "text.json").write_text("not JSON")
    (tmp_path / "long.json").write_text(" " * (1 << 17))
    with at_work(browser, at) as page:
        page.goto(f"{at.origin}/identities/{eid}")
        page.keyboard.press("v")
        trouble = page.locator("#key [role=alert]")
        for name, says in (
            ("steward.pub.json", "public key"),
            ("damaged.json", "damaged"),
            ("odd.json", "not a steward's key"),
            ("text.json", "not a steward's key"),
            ("long.json", "not a steward's key"),
        ):
            choose_key(page, tmp_path / name)
            expect(trouble).to_contain_text(says)
        choose_key(page, tmp_path / "other.json")
        expect(page.locator("[data-state=wrong]")).to_have_count(3)
        expect(page.locator("[data-state=wrong]").first).to_contain_text("Sealed for another key")
        assert "มานะ" not in page.content()


@pytest.mark.browser
def test_the_key_never_leaves_the_browser(browser, at):
    """No request holds anything of the key file; each reveal is noted by the centre; signing out forgets the key."""
    eid = at.register_one_person()
    sent: list[str] = []
    secret = json.loads(at.key.read_text())["d"]
    with at_work(browser, at) as page:
        page.on("request", lambda request: sent.append(f"{request.url} {request.post_data or ''}"))
        page.goto(f"{at.origin}/identities/{eid}")
        page.keyboard.press("v")
        choose_key(page, at.key)
        expect(page.locator("[data-state=open]")).to_have_count(3)
        assert sum(each.split()[0].endswith("/reveal") for each in sent) == 3
        assert [each for each in sent if secret in each or secret[:12] in each] == []
        page.reload()
        page.keyboard.press("v")
        expect(page.locator("[data-state=open]")).to_have_count(3)
        page.locator("form[action='/sign-out'] button").click()
        page.goto(at.link)
        page.goto(f"{at.origin}/identities/{eid}")
        page.keyboard.press("v")
        expect(page.locator("#key")).to_be_visible()
    journal = [path.read_bytes() for path in at.folder.rglob("*") if path.is_file() and "audit" in str(path)]
    assert sum(each.count(b"RevealView") for each in journal) == 6


@pytest.mark.browser
def test_shortcuts_are_shown_and_can_be_switched_off(browser, at):
    """`?` lists the keys of the page; they work on a Thai keyboard; switched off, a letter does nothing."""
    with at_work(browser, at) as page:
        page.keyboard.press("?")
        shown = page.locator("#help dl")
        expect(shown).to_contain_text("Take the next task")
        page.locator("#help input").check()
        page.keyboard.press("Escape")
        page.keyboard.press("4")
        page.wait_for_timeout(100)
        assert page.url.endswith("/queue")
        page.keyboard.press("?")
        page.locator("#help input").uncheck()
        page.keyboard.press("Escape")
        thai = {"key": "ภ", "code": "Digit4", "bubbles": True}  # the key that is 4 on a Latin keyboard
        with page.expect_navigation():
            page.evaluate("what => document.body.dispatchEvent(new KeyboardEvent('keydown', what))", thai)
        assert "/dashboard" in page.url


@pytest.mark.browser
def test_views_are_saved_in_the_browser(browser, at):
    """A filter that was given a name is offered again, and can be removed."""
    with at_work(browser, at) as page:
        page.goto(f"{at.origin}/queue?kind=overlay&facility=10661")
        page.locator("#view-name").fill("<b>ของฉัน</b>")
        page.keyboard.press("Enter")
        page.goto(f"{at.origin}/queue")
        link = page.get_by_role("link", name="<b>ของฉัน</b>")
        link.click()
        page.wait_for_url(re.compile("kind=overlay&facility=10661"))
        page.get_by_role("button", name="Remove the view").click()
        page.reload()
        assert link.count() == 0


def look(page: Page) -> None:
    with page.expect_navigation():
        page.get_by_role("button", name="Look ahead").click()


def test_rules_are_tried_before_they_are_put_in_force(browser, at, tmp_path):
    """What other thresholds and a whole file would do is shown, how to promote them, and nothing is changed."""
    at.register_one_person()
    at.register_people(3)
    head = at.steward.changes(limit=1000)[-1].revision
    with at_work(browser, at) as page:
        press(page, "6")
        expect(page.get_by_label("Link from")).not_to_have_value("")
        page.get_by_label("Link from").fill("200")
        page.get_by_label("Ask a person from").fill("190")
        look(page)
        expect(page.locator("main")).to_contain_text("Links gained")
        table = page.get_by_role("table")
        expect(table).to_contain_text("a person asked")
        expect(table).to_contain_text("new identity")
        expect(page.locator("main")).to_contain_text("mpi rules promote")
        other = tmp_path / "th-v1-2026.toml"
        other.write_text(rule_file("th-v1").read_text(encoding="utf-8"), encoding="utf-8")
        page.get_by_text("Or a whole rule file").first.click()
        page.get_by_label("Choose a file").set_input_files(str(other))
        expect(page.locator("textarea[name=file]")).to_have_value(re.compile("normaliser"))
        look(page)
        expect(page.locator("main")).to_contain_text("Nothing would differ")
        page.locator("textarea[name=file]").fill("<script>alert(1)</script>")
        look(page)
        expect(page.locator("main")).to_contain_text("not readable as TOML")
    assert at.steward.changes(limit=1000)[-1].revision == head


def test_a_privacy_officer_judges_and_lifts(browser, at):
    """Broken glass and objections that records carry have a queue of their own, which stewards have no part in."""
    at.register_one_person()
    number = Tokeniser(at.ring.current).identifier(IdentifierKind.NATIONAL_ID, "8114400003218")
    for reason in ("unconscious in the <b>emergency</b> room", "curious about a neighbour"):
        at.exchange.locate(number, PurposeOfUse.BTG, reason=reason)
    other = {"birth_date": "04/09/2499", "sex": "2"}
    (numbered,) = at.encode("10661", raw("นางมาลี ทองดี", "M1", **other, national_id="3320100123459"))
    at.facility.register(numbered)
    said = next(token for token in numbered.demographics.tokens if token.kind is IdentifierKind.NATIONAL_ID)
    at.officer.withdraw_consent(said, "mor-prom", [PurposeOfUse.TREAT], reference="form 7")
    at.facility.register(*at.encode("10661", raw("นางมาลี ทองดี", "M1", **other)))
    assert [each.facility for each in at.officer.every_carried()[0]] == ["10661"]
    origin, link = at.officer_page
    with at_work(browser, replace(at, origin=origin, link=link)) as page:
        assert page.url == f"{origin}/openings"
        expect(page.locator("nav.places a")).to_have_count(2)
        expect(page.locator("main")).to_contain_text("<b>emergency</b>")
        press(page, "s")
        expect(page.locator(".toast")).to_contain_text("Opening 1: justified")
        press(page, "d")
        expect(page.locator(".toast")).to_contain_text("Opening 2: not justified")
        expect(page.locator("main")).to_contain_text("Nothing waits here")
        press(page, "2")
        expect(page.locator("article")).to_have_count(1)
        page.get_by_label("Document that lets you lift it").fill("form 8")
        with page.expect_navigation():
            page.get_by_role("button", name="Lift the objection").click()
        expect(page.locator(".toast")).to_contain_text("is lifted")
        expect(page.locator("article")).to_have_count(0)
        page.goto(f"{origin}/queue")
        expect(page.locator("h1")).to_have_text("You may not do this")
    assert at.officer.openings() == []
    with at_work(browser, at) as page:
        page.goto(f"{at.origin}/openings")
        expect(page.locator("h1")).to_have_text("You may not do this")


@pytest.mark.parametrize(
    "options",
    [
        {"color_scheme": "light"},
        pytest.param({"color_scheme": "dark", "locale": "th-TH"}, marks=pytest.mark.browser),
    ],
)
def test_every_page_is_accessible(browser, at, options):
    """axe finds nothing serious on any page, in the light and in the dark, and nothing is wider than 360 pixels."""
    at.register_overlays()
    at.register_people(3)
    eid = at.register_one_person()
    tasks, _ = at.steward.tasks()
    first = tasks[0].held
    at.steward.comment(first.number, "ดูแล้ว", "twins")
    at.steward.decide(tasks[1].held.number, Verdict.SAME)
    paths = [
        "/queue",
        "/queue?kind=overlay",
        f"/tasks/{first.number}",
        f"/tasks/{tasks[1].held.number}",
        "/bulk?kind=overlay",
        "/questions",
        "/dashboard",
        "/identities",
        f"/identities/{eid}",
        f"/merge?eid={first.task.eid}&other={first.task.rival}",
        "/rules",
        "/nothing",
    ]
    found = []
    with at_work(browser, at, viewport={"width": 360, "height": 740}, **options) as page:
        for path in paths:
            page.goto(at.origin + path)
            result = Axe().run(page)
            found += [
                (path, each["id"], each["nodes"][0]["html"])
                for each in result.response["violations"]
                if each["impact"] in ("serious", "critical")
            ]
            wide = page.evaluate("document.documentElement.scrollWidth")
            assert wide <= 360, path
    assert found == []


def test_the_officers_pages_are_accessible(browser, at):
    """As the stewards' are."""
    at.register_one_person()
    number = Tokeniser(at.ring.current).identifier(IdentifierKind.NATIONAL_ID, "8114400003218")
    at.exchange.locate(number, PurposeOfUse.BTG, reason="unconscious in the emergency room")
    origin, link = at.officer_page
    view = {"width": 360, "height": 740}
    with at_work(browser, replace(at, origin=origin, link=link), viewport=view, locale="th-TH") as page:
        for path in ("/openings", "/objections"):
            page.goto(origin + path)
            violations = Axe().run(page).response["violations"]
            assert [each["id"] for each in violations if each["impact"] in ("serious", "critical")] == []
            assert page.evaluate("document.documentElement.scrollWidth") <= 360
