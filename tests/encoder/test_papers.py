"""What a facility's own papers propose to answer."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from mpi.domain.review import Answer
from mpi.encoder.demographics import RawDemographics
from mpi.encoder.papers import MOST_PAPERS, Proposal, find_papers, propose
from mpi.encoder.sources import RejectedRow, RowReason, SourceRow
from tests.building import TODAY, raw

NUMBER, OTHER_NUMBER = "1103702488992", "3320100123459"
SOMCHAI = {"birth_date": "15/03/2525", "national_id": NUMBER}


def said(*extracts: list[RawDemographics], of: str = "1") -> Proposal:
    """What extracts propose about a record."""
    paths = {Path(str(turn)): rows for turn, rows in enumerate(extracts)}

    def read(path: Path) -> Iterator[SourceRow | RejectedRow]:
        yield RejectedRow(1, RowReason.COLUMN_COUNT)
        yield from (SourceRow(row, each) for row, each in enumerate(paths[path], 2))

    return propose(find_papers(list(paths), read, {of}, TODAY).get(of, []))


@pytest.mark.parametrize(
    ("name", "changes", "answer", "reason"),
    [
        ("นาย สมชาย  ใจดี", {}, Answer.YES, "papers_agree"),
        ("นายสมชาย ใจดี", {"birth_date": "1982-03-15"}, Answer.YES, "papers_agree"),
        ("นายสมชาย ใจดี", {"birth_date": "2525"}, Answer.YES, "papers_agree"),
        ("นายสมชาย ใจดี", {"birth_date": "16/03/2525"}, Answer.UNSURE, "birth_date_nearly_agrees"),
        ("นายสมชาย ใจดี", {"birth_date": "04/11/2510"}, Answer.NO, "birth_date_differs"),
        ("นายสมชาย ทองคำมา", {}, Answer.UNSURE, "name_nearly_agrees"),
        ("นางปราณี ทองดี", {}, Answer.NO, "name_differs"),
        ("นายสมชาย ใจดี", {"national_id": OTHER_NUMBER}, Answer.NO, "national_id_differs"),
        ("นายสมชาย ใจดี", {"national_id": ""}, Answer.YES, "papers_agree"),
        ("", {"birth_date": "", "national_id": ""}, Answer.UNSURE, "one_paper_only"),
    ],
)
def test_two_papers_of_a_record_propose(name: str, changes: dict[str, str], answer: Answer, reason: str) -> None:
    """The same but for spelling is yes, another person is no, and what is nearly the same is for a person."""
    proposal = said([raw("นายสมชาย ใจดี", "1", **SOMCHAI)], [raw(name, "1", **{**SOMCHAI, **changes})])
    assert (proposal.answer, proposal.reason) == (answer, reason)


def test_a_number_that_another_record_has_too_is_found() -> None:
    """The same number under another local id is a paper about the record: somebody else's number stands on one."""
    rows = [raw("นายสมชาย ใจดี", "1", **SOMCHAI), raw("นางปราณี ทองดี", "2", **SOMCHAI)]
    proposal = said(rows)
    assert (proposal.answer, proposal.reason) == (Answer.NO, "name_differs")
    assert [paper.local_id for paper, _ in proposal.others] == ["2"]
    assert said(rows[1:]) == Proposal(Answer.UNSURE, "not_in_extract")


def test_one_paper_cannot_bear_itself_out() -> None:
    """A row that nothing can be held against proposes nothing."""
    assert said([raw("นายสมชาย ใจดี", "1", **SOMCHAI)]).reason == "one_paper_only"


def test_a_record_with_rows_without_end_stays_bounded() -> None:
    """A hundred thousand rows of one record are not held."""
    rows = [raw("นายสมชาย ใจดี", "1", **SOMCHAI)] * (MOST_PAPERS * 5)
    assert len(said(rows).others) == MOST_PAPERS - 1


def test_earlier_names_count() -> None:
    """Who was called otherwise before is the same person in an older paper."""
    older = raw("นายสมศักดิ์ แก้วมณี", "1", **SOMCHAI)
    now = raw("นายสมชาย ใจดี", "1", **SOMCHAI)
    assert said([older], [now]).answer is Answer.NO
    with_both = raw("นายสมชาย ใจดี (เดิม สมศักดิ์ แก้วมณี)", "1", **SOMCHAI)
    assert said([older], [with_both]).answer is Answer.YES


def test_nothing_of_a_paper_is_shown_by_its_repr() -> None:
    """Logs and errors show reprs; no value stands in them."""
    shown = repr(said([raw("นายสมชาย ใจดี", "HN77", **SOMCHAI)], [raw("นางปราณี ทองดี", "HN77", **SOMCHAI)], of="HN77"))
    assert "name" in shown
    assert not any(value in shown for value in ("สมชาย", "ปราณี", "1982", NUMBER, "HN77"))
