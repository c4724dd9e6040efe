"""Every text is there in both languages, says the same gaps, and is used."""

from __future__ import annotations

import re
import string
import tomllib

from mpi.domain.changes import Action
from mpi.domain.identifiers import IdentifierKind
from mpi.domain.identity import Decision
from mpi.domain.review import Answer, RemarkKind, TaskKind, TaskStatus, Verdict
from mpi.encoder.sealed import Masking
from mpi.rules import load_rules, rule_file
from mpi.web import queue, task
from mpi.web.filters import SHOWN_STATES
from mpi.web.texts import FILE, preferred, texts
from mpi.web.visits import OFFICERS, STEWARDS

WEB = FILE.parent
TABLE = {
    f"{group}.{key}": both
    for group, keys in tomllib.loads(FILE.read_text(encoding="utf-8")).items()
    for key, both in keys.items()
}
SOURCES = "".join(
    path.read_text(encoding="utf-8")
    for path in [*WEB.glob("*.py"), *WEB.glob("templates/*.html"), *WEB.glob("static/*.js")]
)
BY_NAME = {
    "kind": TaskKind,
    "question": TaskKind,
    "state": SHOWN_STATES,
    "verdict": Verdict,
    "answer": Answer,
    "remark": RemarkKind,
    "reason": task.REASONS,
    "views": [name for name, _ in queue.VIEWS],
    "number": IdentifierKind,
    "action": ["register", *Action],
    "short": [],
    "channel": [],
    "why": queue.WHYS,
    "decision": Decision,
    "rules": ["gains", "loses", "moves", "neither", "link", "review", "margin"],
    "bond": [],
    "level": ["agree", "disagree"],
    "theme": ["auto", "light", "dark"],
    "places": [*STEWARDS, *OFFICERS],
    "state_said": [status for status in SHOWN_STATES if status is not TaskStatus.OPEN],
    "bulk": [f"as.{verdict}" for verdict in (Verdict.SAME, Verdict.DIFFERENT, Verdict.UNSURE)],
    "problem": ["400", "403", "404", "409", "429", "500", "503"],
    "notice": [*Verdict, "justified", "unjustified"],
    "script": [f"masking.{masking}" for masking in Masking],
    "age": ["days", "hours", "minutes"],
}
"""Groups whose texts are found by a name, and the names that come."""


def gaps(text: str) -> set[str]:
    return {name for _, name, _, _ in string.Formatter().parse(text) if name is not None}


def test_every_text_is_there_in_both_languages():
    """A text is Thai in Thai, not empty in English, and has the same gaps in both."""
    assert len(TABLE) > 300
    for key, both in TABLE.items():
        assert both.keys() == {"th", "en"}, key
        assert re.search(r"[\u0e00-\u0e7f]", both["th"]), key
        assert both["en"].strip(), key
        assert gaps(both["th"]) == gaps(both["en"]), key


def test_every_text_that_is_asked_for_is_there():
    """Keys in templates, code and scripts stand in the table, and so do those that a word of the domain makes."""
    asked = set(re.findall(r"""say\("([a-z_]+\.[\w.]+)"[,)]""", SOURCES))
    asked |= set(re.findall(r'Notice\(\s*"([a-z_]+\.\w+)"', SOURCES))
    asked |= {f"{group}.{name}" for group, names in BY_NAME.items() for name in names}
    script = "".join(path.read_text(encoding="utf-8") for path in WEB.glob("static/*.js"))
    asked |= {f"script.{key}" for key in re.findall(r'(?:say|Unusable)\("([\w.]+)"', script)}
    asked = {key for key in asked if not key.startswith(("key.wrong", "view."))} | {"script.key.wrong"}
    missing = {key for key in asked if key not in TABLE and f"script.{key}" not in TABLE}
    assert missing == set()


def test_no_text_is_idle():
    """Every text of the table is asked for somewhere."""
    idle = [
        key
        for key in TABLE
        if key.partition(".")[0] not in BY_NAME
        and f'"{key}"' not in SOURCES
        and f'"{key.removeprefix("script.")}"' not in SOURCES
        and not re.match(r"script\.(field|sex)\.", key)
    ]
    assert idle == []


def test_every_channel_has_a_name():
    """What the shipped rules compare is named in words, not by its letter."""
    rules = load_rules(rule_file("th-v1"))
    compared = {channel.name for channel in rules.profile.channels} | set(IdentifierKind)
    for group in ("channel", "short"):
        assert {f"{group}.{name}" for name in compared} <= TABLE.keys()


def test_the_browsers_language_is_taken():
    """Thai unless the browser asks for English first; what is unknown is shown by its own name."""
    assert preferred("en-GB,th;q=0.5") == "en"
    assert preferred("th,en") == "th"
    assert preferred("de, fr;q=0.9") == "th"
    assert preferred("x" * 100_000) == "th"
    assert texts("xx").language == "th"
    assert texts("en").named("why", "unheard_of") == "unheard_of"


def test_pages_lead_to_our_own_files_only():
    """No template and no script names another site."""
    shown = [path for kind in ("templates", "static") for path in (WEB / kind).iterdir() if path.suffix != ".svg"]
    assert len(shown) > 15
    for path in shown:
        assert re.findall(r"(?:https?:)?//[a-z][\w-]*\.[a-z]{2,}", path.read_text(encoding="utf-8")) == [], path.name
