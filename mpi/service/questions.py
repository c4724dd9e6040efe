"""Questions: what a steward cannot tell, the facilities look up in their own papers. No plaintext moves."""

from __future__ import annotations

from mpi.domain.changes import Cause
from mpi.domain.review import Answer, Remark, RemarkKind, TaskStatus
from mpi.domain.task_detail import AskedQuestion
from mpi.errors import InputRejected, NotFound
from mpi.service.review import Review, is_reason
from mpi.store.sql import Store


class Questions:
    """The use case behind the questions to facilities."""

    def __init__(self, store: Store, review: Review) -> None:
        self._store = store
        self._review = review

    def waiting(self, facility: str, after: int, most: int) -> list[AskedQuestion]:
        """List the questions that wait for a facility, the oldest first.

        Questions about a record that is held no longer are left out.
        """
        with self._store.reading() as reading:
            questions = reading.questions(facility, after, most)
            contents = reading.content({each.record for each in questions})
        found = []
        for each in questions:
            if each.record in contents:
                detail = self._review.task(each.task)
                pair = next((pair for pair in detail.pairs if each.record in (pair.record, pair.other)), None)
                terms = pair.terms if pair else ()
                kind = detail.listed.held.task.kind
                found.append(AskedQuestion(each, contents[each.record].pointer, kind, terms))
        return found

    def answer(self, number: int, answer: Answer, reason: str, facility: str, actor: str) -> None:
        """Keep a facility's answer as a remark on the task; when all have answered, the task is open again.

        Raises:
            NotFound: no such question waits for this facility.
            InputRejected: the reason is no code.
        """
        if not is_reason(reason):
            raise InputRejected("the reason is no code: at most 40 lower-case letters, digits and underscores")
        with self._store.transaction(Cause(actor, "")) as transaction:
            question = transaction.question(facility, number)
            if question is None:
                raise NotFound("no such question waits for the facility")
            transaction.answer(number, answer)
            transaction.remark(question.task, Remark(RemarkKind.ANSWER, actor, answer, reason))
            held = transaction.task(question.task)
            if held is not None and held.status is TaskStatus.ASKED and not transaction.unanswered(question.task):
                transaction.decide_task(question.task, TaskStatus.OPEN, None)
