"""Writing a report's page where it was asked for, and never over what it was made from."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from mpi.encoder.encoded_file import whole_file
from mpi.errors import InputRejected

ENDING = ".html"


def check_page(path: Path, read: Iterable[Path | None]) -> None:
    """Refuse a page of another ending, or one that would take the place of a file that is read.

    Raises:
        InputRejected: naming the option and what is wrong.
    """
    if path.suffix != ENDING:
        raise InputRejected(f"--report: the file ends in {ENDING}")
    if any(each is not None and each.resolve() == path.resolve() for each in read):
        raise InputRejected(f"--report: {path} is read by this command")


def write_page(path: Path, text: str) -> None:
    """Write a page, whole or not at all.

    Raises:
        InputRejected: it cannot be written there.
    """
    try:
        with whole_file(path) as partial:
            partial.write_text(text, encoding="utf-8")
    except OSError as error:
        raise InputRejected(f"{path}: cannot be written ({error.strerror})") from None
