"""How values are written on a page: nothing that somebody sent can change how the rest of it reads."""

from __future__ import annotations

import unicodedata
from datetime import date, datetime, timedelta, timezone
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from mpi.web.texts import Texts

BANGKOK = timezone(timedelta(hours=7))
"""Thailand has one time and never changes its clocks."""
LONGEST = 280
"""Characters of a text from elsewhere that a page shows."""

_BUDDHIST = 543
_UNSEEN = frozenset({"Cc", "Cf", "Co", "Cs", "Cn", "Zl", "Zp"})
_JOINERS = frozenset("\u200b\u200c\u200d")
_MONTHS = {
    "th": "ม.ค. ก.พ. มี.ค. เม.ย. พ.ค. มิ.ย. ก.ค. ส.ค. ก.ย. ต.ค. พ.ย. ธ.ค.".split(),
    "en": "Jan Feb Mar Apr May Jun Jul Aug Sep Oct Nov Dec".split(),
}


def seen(text: str) -> str:
    """Write unseen characters by their numbers, such as those that turn the direction of writing round.

    Every value that a template writes goes through this. Lines stay; word breaks of Thai, unseen and harmless, go.
    """
    if text.isprintable():
        return text
    return "".join(_seen(character) for character in text)


def plain(text: object, longest: int = LONGEST) -> str:
    """Write a text from elsewhere on one line, and cut what is too long."""
    whole = str(text)
    cut = seen(" ".join(whole[: longest + 1].split()))
    return cut[:longest] + ("…" if len(whole) > longest else "")


def short(eid: str) -> str:
    """Give the beginning of an enterprise id, which tells the identities of one page apart."""
    return plain(eid, 64).partition("-")[0]


def bits(weight: float) -> str:
    """Write a weight with its sign, in bits."""
    return f"{weight:+.1f}".replace("-", "\N{MINUS SIGN}")


def moment(at: datetime | None, language: str) -> str:
    """Write a time in Thailand's own; in Thai with the year of the Buddhist era."""
    if at is None:
        return "–"
    local = at.astimezone(BANGKOK)
    year = local.year + (_BUDDHIST if language == "th" else 0)
    return f"{local.day} {_MONTHS[language][local.month - 1]} {year} {local:%H:%M}"


def day(of: date, language: str) -> str:
    """Write a day; in Thai with the year of the Buddhist era."""
    return f"{of.day} {_MONTHS[language][of.month - 1]} {of.year + (_BUDDHIST if language == 'th' else 0)}"


def percent(share: float) -> str:
    """Write a share, exactly where it is near all or nothing: that is where it matters."""
    return f"{share:.1%}" if 0 < share < 0.1 or 0.9 < share < 1 else f"{share:.0%}"


def who(urn: str) -> str:
    """Give the own part of a client's name: "somsri" of "urn:mpi:steward:somsri"."""
    return plain(urn.rpartition(":")[2], 64)


def age(seconds: float, say: Texts) -> str:
    """Write how long ago something was, in its largest unit."""
    for unit, length in (("days", 86400), ("hours", 3600), ("minutes", 60)):
        if seconds >= length:
            return say(f"age.{unit}", count=int(seconds // length))
    return say("age.now")


def _seen(character: str) -> str:
    if character in _JOINERS:
        return ""
    if character in "\n\t" or unicodedata.category(character) not in _UNSEEN:
        return character
    return f"⟨U+{ord(character):04X}⟩"


def _final(value: Any) -> Any:
    return seen(value) if isinstance(value, str) and not isinstance(value, Markup) else value


def environment() -> Environment:
    """Make the environment of the templates: everything is escaped and seen, and what is missing is an error."""
    made = Environment(
        loader=FileSystemLoader(Path(__file__).with_name("templates")),
        autoescape=True,
        undefined=StrictUndefined,
        finalize=_final,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    filters: dict[str, Any] = {
        "plain": plain,
        "short": short,
        "bits": bits,
        "moment": moment,
        "day": day,
        "percent": percent,
        "who": who,
        "age": age,
    }
    made.filters.update(filters)
    return made
