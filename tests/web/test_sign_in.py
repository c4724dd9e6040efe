"""Signing in, sessions and what guards every request, over real HTTP."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from types import SimpleNamespace

import httpx2
import pytest

from mpi.web.sessions import IDLE_SECONDS, LONGEST_SECONDS, MOST_SESSIONS, Sessions
from mpi.web.visits import Connection
from tests.web.world import page_served


class Nobody:
    """Connections to an index in which nothing ever happened."""

    def of(self, steward: str) -> Connection:
        client = SimpleNamespace(changes=lambda *_: [], tasks=lambda *_: ([], b""), counts=lambda: ())
        return Connection(client, "urn:mpi:steward:somchai")  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def served() -> Iterator[tuple[str, str]]:
    with page_served(Nobody()) as addresses:
        yield addresses


@contextmanager
def signed_in(served: tuple[str, str]) -> Iterator[httpx2.Client]:
    origin, link = served
    with httpx2.Client(base_url=origin, headers={"accept-language": "en"}) as client:
        assert client.get(link).status_code == 303
        yield client


def token_of(page: httpx2.Response) -> str:
    found = re.search(r'data-token="([^"]+)"', page.text)
    assert found
    return found[1]


def test_the_link_signs_in_and_nothing_else_does(served):
    """Without the link there is a page that says where it is; a wrong one is refused; the right one leads inside."""
    origin, link = served
    with httpx2.Client(base_url=origin, follow_redirects=True, headers={"accept-language": "en"}) as client:
        asked = client.get("/identities")
        assert "Open the link" in asked.text
        assert "data-steward" not in asked.text
        assert client.get("/sign-in?key=wrong").status_code == 403
        assert client.get("/sign-in?key=%E0%B8%81").status_code == 403
        inside = client.get(link)
        assert inside.status_code == 200
        assert 'data-steward="somchai"' in inside.text


def test_every_answer_has_the_headers(served):
    """Pages, redirects, assets, refusals and errors alike forbid frames, foreign and inline content, and caches."""
    with signed_in(served) as client:
        answers = [
            client.get("/identities"),
            client.get("/"),
            client.get("/static/style.css"),
            client.get("/static/none.css"),
            client.get("/nothing"),
            client.post("/undo"),
            client.get("/identities", headers={"host": "evil.example"}),
        ]
    assert [answer.status_code for answer in answers] == [200, 303, 200, 404, 404, 403, 403]
    for answer in answers:
        policy = answer.headers["content-security-policy"]
        assert "default-src 'none'" in policy
        assert "frame-ancestors 'none'" in policy
        assert "unsafe" not in policy
        assert answer.headers["x-frame-options"] == "DENY"
        assert answer.headers["x-content-type-options"] == "nosniff"
    assert {answer.headers["cache-control"] for answer in answers} == {"no-store", "private, max-age=3600"}
    assert answers[0].headers["cache-control"] == "no-store"


def test_a_fault_is_a_guarded_page_without_its_cause():
    """What nobody foresaw gives a page that says so, with every header, and nothing of what went wrong."""

    class Faulty(Nobody):
        def of(self, steward: str) -> Connection:
            raise RuntimeError("a value that nobody may see")

    with page_served(Faulty()) as served, signed_in(served) as client:
        answer = client.get("/queue")
    assert answer.status_code == 500
    assert "Something went wrong" in answer.text
    assert "nobody may see" not in answer.text
    assert "default-src 'none'" in answer.headers["content-security-policy"]
    assert answer.headers["cache-control"] == "no-store"


def test_pages_hold_nothing_inline(served):
    """No page has an inline script or style that the policy would have to allow."""
    with signed_in(served) as client:
        text = client.get("/identities").text
    assert not re.search(r"<style|\sstyle=|\son\w+=|javascript:", text)
    assert re.findall(r"<script(?![^>]*(?:src=|application/json))", text) == []


def test_the_cookie_is_no_use_to_scripts_or_other_sites(served):
    """The session's cookie is HttpOnly and SameSite, and a session from before a sign-in is worth nothing after it."""
    origin, link = served
    with httpx2.Client(base_url=origin) as client:
        first = client.get(link)
        cookie = first.headers["set-cookie"]
        assert "HttpOnly" in cookie
        assert "SameSite=Lax" in cookie
        before = client.cookies["mpi"]
        client.get(link)
        assert client.cookies["mpi"] != before
        client.cookies.clear()
        client.cookies.set("mpi", before)
        assert client.get("/identities").headers["location"].startswith("/sign-in")


def test_a_form_needs_the_token_of_its_session(served):
    """A form without a token, with a made-up one, or with another steward's is refused, and nothing is called."""
    with signed_in(served) as client, signed_in(served) as other:
        theirs = token_of(other.get("/identities"))
        for token in ("", "x", "ก", theirs):
            answer = client.post("/undo", data={"token": token, "change": "1"})
            assert answer.status_code == 403
            assert "not from a page of yours" in answer.text
        mine = token_of(client.get("/identities"))
        assert client.post("/undo", data={"token": mine, "change": "one"}).status_code == 400


@pytest.mark.parametrize(
    "headers",
    [
        {"origin": "https://evil.example"},
        {"origin": "null"},
        {"sec-fetch-site": "cross-site"},
        {"host": "evil.example"},
    ],
)
def test_other_sites_cannot_act(served, headers):
    """A form that another site sends is refused before it is read, whatever it holds."""
    with signed_in(served) as client:
        token = token_of(client.get("/identities"))
        for path in ("/undo", "/sign-out", "/preferences"):
            answer = client.post(path, data={"token": token, "change": "1", "theme": "dark"}, headers=headers)
            assert answer.status_code == 403
        assert client.get("/identities").status_code == 200


def test_signing_out_ends_the_session(served):
    """After signing out the cookie's name opens nothing, also when it is sent again; a form is then told so."""
    with signed_in(served) as client:
        token, name = token_of(client.get("/identities")), client.cookies["mpi"]
        client.post("/sign-out", data={"token": "x"})
        assert client.get("/identities").status_code == 200
        client.post("/sign-out", data={"token": token})
        client.cookies.set("mpi", name)
        assert client.get("/identities").status_code == 303
        answer = client.post("/undo", data={"token": token, "change": "1"})
        assert answer.status_code == 401
        assert "session has ended" in answer.text


def test_forms_are_bounded(served):
    """A form of more than 64 KiB, of too many fields, or of broken text is refused."""
    with signed_in(served) as client:
        token = token_of(client.get("/identities"))
        for body in (b"x=" + b"a" * (1 << 17), b"&".join([b"a=1"] * 3000), b"\xff\xfe"):
            answer = client.post("/undo", content=body + b"&token=" + token.encode())
            assert answer.status_code == 400


def test_no_answer_leads_elsewhere(served):
    """What comes after signing in or choosing a theme is a page of ours, whatever was asked for."""
    with signed_in(served) as client:
        for wanted in ("https://evil.example", "//evil.example", "/\\evil.example", "javascript:1", "/a\nb"):
            answer = client.post("/preferences", data={"next": wanted, "theme": "dark"})
            assert answer.headers["location"] == "/"
        assert client.post("/preferences", data={"next": "/queue", "language": "en"}).headers["location"] == "/queue"


def test_preferences_are_kept(served):
    """The chosen theme and language hold for the next page; what is neither is left alone."""
    with signed_in(served) as client:
        client.post("/preferences", data={"theme": "dark", "language": "th"})
        page = client.get("/identities").text
        assert '<html lang="th" data-theme="dark">' in page
        client.post("/preferences", data={"theme": "<b>", "language": "xx"})
        assert '<html lang="th" data-theme="dark">' in client.get("/identities").text


def test_sessions_are_short():
    """A session ends when it is not used, and after a working day however it is used."""
    now = [0.0]
    sessions = Sessions(lambda: now[0])
    idle = sessions.begin("somchai")
    now[0] += IDLE_SECONDS + 1
    assert sessions.find(idle.name) is None
    busy = sessions.begin("somchai")
    while now[0] < IDLE_SECONDS + LONGEST_SECONDS:
        assert sessions.find(busy.name) is busy
        now[0] += IDLE_SECONDS / 2
    now[0] += IDLE_SECONDS / 2
    assert sessions.find(busy.name) is None


def test_sessions_are_bounded():
    """Beyond the most sessions the one that was used longest ago ends, and the one in use stays."""
    sessions = Sessions()
    kept, first = sessions.begin("a"), sessions.begin("b")
    for _ in range(MOST_SESSIONS - 1):
        sessions.find(kept.name)
        sessions.begin("c")
    assert sessions.find(kept.name) is kept
    assert sessions.find(first.name) is None
    assert "somchai" in repr(sessions.begin("somchai"))
    assert kept.token not in repr(kept)


def test_nobody_crowds_a_steward_out():
    """However many begin to sign in, the sessions of stewards stay, and what is begun is bounded."""
    sessions = Sessions()
    steward, first = sessions.begin("a"), sessions.begin()
    for _ in range(MOST_SESSIONS):
        sessions.begin()
    assert sessions.find(steward.name) is steward
    assert sessions.find(first.name) is None
