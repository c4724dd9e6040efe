"""`mpi questions`: facilities answer from their own extracts, over mutual TLS, and the answers stand on the task."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from mpi.cli.main import app
from mpi.domain.review import Answer, RemarkKind, TaskStatus, Verdict
from mpi.encoder.keys import new_key_ring
from mpi.errors import AccessDenied, InputRejected, NotFound
from tests.building import raw
from tests.server.running import certificates
from tests.server.test_steward_calls import Clients, served

NUMBER = "1103702488992"
SOMCHAI = raw("นายสมชาย ใจดี", "HN-1", birth_date="15/03/2525", sex="1", national_id=NUMBER)
PRANEE = raw("นางปราณี ทองดี", "HN-2", birth_date="20/11/2510", sex="2", national_id=NUMBER)
HEAD = "hn,name,dob,cid\n"
MAPPING = 'local_id = "hn"\nname = "name"\nbirth_date = "dob"\nnational_id = "cid"\n'
AS_REGISTERED = f"{HEAD}HN-1,นายสมชาย ใจดี,15/03/2525,{NUMBER}\n"
BORNE_OUT = f"{HEAD}HN-1,นาย สมชาย  ใจดี,1982-03-15,{NUMBER}\n"
BELIED = f"{HEAD}HN-1,นางสาวมาลี สีดา,04/09/2499,3320100123459\n"


@pytest.fixture(scope="module")
def certs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return certificates(tmp_path_factory.mktemp("certs"))


@pytest.fixture
def at(tmp_path: Path, certs: Path) -> Iterator[Clients]:
    with served(tmp_path, certs) as clients:
        (one,), (other,) = clients.records("10661", SOMCHAI), clients.records("11111", PRANEE)
        clients.facility.register(one)
        clients.other.register(other)
        (listed,), _ = clients.steward.tasks()
        assert clients.steward.decide(listed.held.number, Verdict.ASK).status is TaskStatus.ASKED
        yield clients


@pytest.fixture
def papers(tmp_path: Path) -> Path:
    folder = tmp_path / "papers"
    folder.mkdir()
    (folder / "mapping.toml").write_text(MAPPING)
    for name, text in (("registered", AS_REGISTERED), ("borne-out", BORNE_OUT), ("belied", BELIED)):
        (folder / f"{name}.csv").write_text(text)
    return folder


def answer(at: Clients, certs: Path, papers: Path, *extracts: str, said: str | None = None, more: str = "") -> Result:
    """Run `mpi questions answer` as facility 10661."""
    options = ["--server", at.address, "--certs", str(certs / "facility-10661"), "--facility", "10661"]
    options += ["--keys", str(papers.parent / "keys"), "--source", "csv", "--mapping", str(papers / "mapping.toml")]
    for extract in extracts:
        options += ["--extract", str(papers / f"{extract}.csv")]
    return CliRunner().invoke(app, ["questions", "answer", *options, *more.split()], input=said)


def answers(at: Clients) -> list[tuple[str, str, str]]:
    """Answers on the task: who, the word and the reason."""
    remarks = at.steward.task(1).remarks
    return [(each.actor, str(each.word), each.reason) for each in remarks if each.kind is RemarkKind.ANSWER]


def test_a_facility_sees_which_of_its_records_is_doubted(at, certs, papers):
    """The pointer opens with the facility's own key ring; how the records compare comes in words without values."""
    options = ["questions", "list", "--server", at.address, "--certs", str(certs / "facility-10661")]
    told = CliRunner().invoke(app, [*options, "--facility", "10661", "--keys", str(papers.parent / "keys")])
    assert "record HN-1" in told.output
    assert "overlay" in told.output
    (line,) = CliRunner().invoke(app, [*options, "--json"]).output.splitlines()
    figures = json.loads(line)
    assert figures["local_id"] is None
    assert {each["on"] for each in figures["reasons"]} >= {"national_id"}
    assert "--keys" in str(CliRunner().invoke(app, [*options, "--facility", "10661"]).exception)


def test_papers_that_agree_answer_yes(at, certs, papers):
    """The proposal is shown with the values, taken by the return key, and arrives as the facility's word."""
    done = answer(at, certs, papers, "registered", "borne-out", said="\n")
    assert done.exit_code == 0, done.output
    assert "สมชาย ใจดี" in done.output
    assert "proposed: yes" in done.output
    assert "1 of 1 questions answered" in done.output
    assert answers(at) == [("urn:mpi:facility:10661", "yes", "papers_agree")]
    assert at.steward.task(1).listed.held.status is TaskStatus.ASKED  # the other facility has not answered
    assert "no question waits" in answer(at, certs, papers, "registered").output


def test_papers_that_differ_answer_no_without_asking_anybody(at, certs, papers):
    """For a script: what is proposed is sent, and what it prints holds no value of a paper."""
    done = answer(at, certs, papers, "registered", "belied", more="--as-proposed --json")
    figures = json.loads(done.output)
    assert (figures["proposed"], figures["sent"]) == ("no", "no")
    assert figures["papers"] == [{"name": "other", "birth_date": "other", "national_id": "other"}]
    assert not any(value in done.output for value in ("สมชาย", "มาลี", NUMBER, "1982"))
    assert [word for _, word, _ in answers(at)] == ["no"]


def test_a_person_has_the_last_word(at, certs, papers):
    """Nonsense is asked again, skipping sends nothing, and another word than the proposed one is sent as it is."""
    assert "0 of 1" in answer(at, certs, papers, "registered", said="perhaps\nskip\n").output
    assert answers(at) == []
    assert "1 of 1" in answer(at, certs, papers, "registered", "borne-out", said="no\n").output
    assert answers(at) == [("urn:mpi:facility:10661", "no", "seen_by_a_person")]


def test_nothing_is_sent_unasked(at, certs, papers):
    """A preview sends nothing, an unsure proposal is left to a person, and figures for a script ask nobody."""
    assert "proposed: yes" in answer(at, certs, papers, "registered", "borne-out", more="--preview").output
    alone = answer(at, certs, papers, "registered", more="--as-proposed").output
    assert "0 of 1" in alone
    assert all(value in alone for value in ("สมชาย ใจดี", "1982-03-15", NUMBER))  # for a person who has the paper one
    assert "--preview" in str(answer(at, certs, papers, "registered", more="--json").exception)
    assert answers(at) == []


def test_a_wrong_key_ring_opens_nothing(at, certs, papers):
    """The question is left alone, and the message says why."""
    new_key_ring(papers / "stranger")
    done = answer(at, certs, papers, "registered", "borne-out", more=f"--as-proposed --keys {papers / 'stranger'}")
    assert "another key ring" in done.output
    assert answers(at) == []


def test_a_broken_extract_answers_nothing(at, certs, papers):
    """A second extract that cannot be read stops the command before anything is sent."""
    (papers / "broken.csv").write_bytes(b"")
    done = answer(at, certs, papers, "registered", "broken", more="--as-proposed")
    assert isinstance(done.exception, InputRejected)
    assert answers(at) == []


def test_questions_are_for_the_facility_that_is_asked(at):
    """Another facility's question is none, a steward has none, and a question that is answered waits no longer."""
    (ours,), (theirs,) = at.facility.questions(), at.other.questions()
    with pytest.raises(NotFound):
        at.facility.answer(theirs.question.number, Answer.YES)
    with pytest.raises(AccessDenied):
        at.steward.questions()
    with pytest.raises(InputRejected):
        at.facility.answer(ours.question.number, Answer.YES, "No Code!")
    at.facility.answer(ours.question.number, Answer.YES)
    with pytest.raises(NotFound):
        at.facility.answer(ours.question.number, Answer.NO)
    assert at.facility.questions() == []
