"""Questions that stewards ask of a facility about its own records, and its answers."""

from __future__ import annotations

from mpi.client.channel import Part
from mpi.domain.review import Answer
from mpi.domain.task_detail import AskedQuestion
from mpi.v1 import question_service_pb2 as question_pb2
from mpi.wire import review, reviewing


class Answering(Part):
    """Calls of facilities that are asked something."""

    def questions(self, after: int = 0, limit: int = 100) -> list[AskedQuestion]:
        """List the questions that wait for this facility, after the number of the last one known, the oldest first.

        Raises:
            AccessDenied: the client is no facility; so for the next call.
        """
        request = question_pb2.ListQuestionsRequest(after=after, limit=limit)
        response = self._call(self._channel.question.ListQuestions, request)
        return [reviewing.question_from_proto(each) for each in response.questions]

    def answer(self, question: int, answer: Answer, reason: str = "") -> None:
        """Answer a question about one of this facility's own records.

        Args:
            question: its number.
            answer: are the numbers, the name and the birth date as the facility's own papers have them?
            reason: reason code.

        Raises:
            NotFound: no such question waits for the facility; it may have been taken back.
            InputRejected: the reason is no code.
        """
        request = question_pb2.AnswerQuestionRequest(number=question, answer=review.ANSWERS[answer], reason=reason)
        self._call(self._channel.question.AnswerQuestion, request)
