"""Files of a chain: segments by number, stubs of expired ones, and how lines are read from them."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from mpi.audit.lines import MAX_LINE_BYTES

_NAME = re.compile(r"(\d{8})\.(jsonl|expired\.json)", re.ASCII)
_CHAIN = re.compile(r"[0-9a-f]{16}", re.ASCII)


def segment_name(number: int) -> str:
    """Name of a segment's file."""
    return f"{number:08}.jsonl"


def stub_name(number: int) -> str:
    """Name of the file that stands for an expired segment."""
    return f"{number:08}.expired.json"


def chains_of(journal: Path) -> list[Path]:
    """Folders of the chains of a journal, sorted."""
    if not journal.is_dir():
        return []
    return sorted(each for each in journal.iterdir() if each.is_dir() and _CHAIN.fullmatch(each.name))


def files_of(chain: Path) -> list[tuple[int, Path]]:
    """Segments and stubs of a chain with their numbers, sorted; a segment that is there goes before its stub."""
    found: dict[int, Path] = {}
    for each in sorted(chain.iterdir()) if chain.is_dir() else ():
        match = _NAME.fullmatch(each.name)
        if match and (int(match[1]) not in found or not is_stub(each)):
            found[int(match[1])] = each
    return sorted(found.items())


def is_stub(path: Path) -> bool:
    """Say whether a file stands for an expired segment."""
    return path.name.endswith(".expired.json")


def read_lines(file: BinaryIO) -> Iterator[tuple[bytes, bool]]:
    """Read lines without their feeds, each with whether it ended in one; an endless line is cut into pieces."""
    while line := file.readline(MAX_LINE_BYTES):
        yield line.removesuffix(b"\n"), line.endswith(b"\n")
