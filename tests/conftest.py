"""What every test of the suite is held to: no log line and no error says who the people of the tests are."""

from __future__ import annotations

import logging
from collections.abc import Iterator

import pytest

from mpi.errors import MpiError

PLANTED = (
    "1103702488992",
    "1-1037-02488-99-2",
    "3320100123459",
    "3100600123450",
    "0812345678",
    "AA1234567",
    "สมชาย",
    "สมหญิง",
    "ใจดี",
    "มาลี",
    "สีดา",
    "Somchai",
)
"""Numbers and names of the people whom most tests are about."""


class _Heard(logging.Handler):
    """Keeps what is logged, whatever its level and logger."""

    def __init__(self) -> None:
        super().__init__(logging.DEBUG)
        self.lines: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.lines.append(logging.Formatter("%(name)s %(message)s").format(record))


@pytest.fixture(autouse=True)
def nobody_is_named(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Fail a test in which a log line or an error of ours names a planted person."""
    heard, root, made = _Heard(), logging.getLogger(), MpiError.__init__
    said: list[str] = []

    def noted(self: MpiError, message: str, *rest: object) -> None:
        made(self, message, *rest)
        said.append(str(self))

    monkeypatch.setattr(MpiError, "__init__", noted)
    root.addHandler(heard)
    try:
        yield
    finally:
        root.removeHandler(heard)
    shown = [value for value in PLANTED for text in (*heard.lines, *said) if value in text]
    assert not shown, f"{request.node.name} lets a planted value into a log line or an error"
