"""Every text of the page, in Thai and in English, from one table: `texts.toml`."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path

LANGUAGES = ("th", "en")
FILE = Path(__file__).with_name("texts.toml")


@dataclass(frozen=True, slots=True)
class Texts:
    """The texts of one language.

    Attributes:
        language: "th" or "en".
        table: texts by key, such as "queue.title".
    """

    language: str
    table: Mapping[str, str]

    def __call__(self, key: str, **values: object) -> str:
        """Give a text, with values in its gaps."""
        text = self.table[key]
        return text.format(**values) if values else text

    def named(self, group: str, name: str) -> str:
        """Give the text for a name that the index sent, such as a rule's; the name itself where none is known."""
        return self.table.get(f"{group}.{name}", name)

    def group(self, name: str) -> dict[str, str]:
        """Give the texts of one group by the rest of their keys."""
        prefix = f"{name}."
        return {key.removeprefix(prefix): text for key, text in self.table.items() if key.startswith(prefix)}


@cache
def texts(language: str) -> Texts:
    """Give the texts of a language; Thai for one that is not known."""
    chosen = language if language in LANGUAGES else LANGUAGES[0]
    table = tomllib.loads(FILE.read_text(encoding="utf-8"))
    return Texts(
        chosen, {f"{group}.{key}": both[chosen] for group, keys in table.items() for key, both in keys.items()}
    )


def preferred(header: str) -> str:
    """Choose the language that a browser asks for by its Accept-Language; Thai where it asks for neither."""
    for item in header[:200].split(","):
        language = item.partition(";")[0].strip()[:2].lower()
        if language in LANGUAGES:
            return language
    return LANGUAGES[0]
