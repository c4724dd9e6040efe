"""Journals for the tests: small ones with several segments, and changing them as a forger would."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from mpi.audit.chain import Chain, Limits
from mpi.audit.keys import JournalKeys, open_journal_keys
from mpi.audit.verify import Examination

SMALL = Limits(segment_bytes=1800, checkpoint_entries=3)


def access(number: int) -> dict[str, object]:
    """An entry as the journal makes it, short."""
    texts = ("basis", "caller", "keys", "purpose", "reason", "rules")
    fields = {"kind": "access", "call": "Locate", "request": f"{number:032x}", "status": "OK", "identities": []}
    return {**dict.fromkeys(texts, ""), **fields, "results": 0, "revision": 0}


@dataclass(frozen=True)
class Place:
    """Where a journal lies, and its keys."""

    journal: Path
    heads: Path
    keys: JournalKeys

    @classmethod
    def at(cls, folder: Path) -> Place:
        return cls(folder / "audit", folder / "keys" / "heads", open_journal_keys(folder / "keys" / "audit.json"))

    def open(self, limits: Limits = SMALL) -> Chain:
        return Chain.open(self.journal, self.heads, self.keys, limits)

    def examine(self) -> Examination:
        return Examination(self.journal, self.heads, self.keys.signing.public_key()).run()

    def problems(self) -> list[str]:
        return [str(finding) for finding in self.examine().findings]

    def requests(self) -> list[int]:
        """Numbers of the entries, in their order."""
        examination = Examination(self.journal, self.heads, self.keys.signing.public_key())
        numbers = [int(fields["request"], 16) for _, fields in examination.entries()]
        assert examination.findings == []
        return numbers

    def segments(self) -> list[Path]:
        return sorted(self.journal.glob("*/*.jsonl"))

    def copied(self, folder: Path) -> Place:
        shutil.copytree(self.journal, folder / "audit")
        shutil.copytree(self.heads, folder / "heads")
        return Place(folder / "audit", folder / "heads", self.keys)


def filled(place: Place, groups: Sequence[int], limits: Limits = SMALL) -> Place:
    """Write groups of so many entries each, and close the journal."""
    chain = place.open(limits)
    number = 0
    for size in groups:
        chain.append([access(number + each) for each in range(size)])
        number += size
    chain.close()
    return place
