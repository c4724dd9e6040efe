"""Coalescing: what several threads ask for at the same moment travels together.

Nobody waits for company, and nobody longer than its own deadline. A call goes out at once while few are under way; what
is asked meanwhile waits until one comes back, and then goes together. So one caller has single calls without delay, and
many share calls, which cost the server a tenth.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from typing import Generic, TypeVar

Asked = TypeVar("Asked")
Answer = TypeVar("Answer")


class _Place(Generic[Asked, Answer]):
    """One question, and whoever waits for its answer until a moment; who leads asks for the whole group."""

    __slots__ = ("answer", "asked", "error", "gone", "group", "until", "woken")

    def __init__(self, asked: Asked, until: float) -> None:
        self.asked = asked
        self.until = until
        self.gone = False
        self.woken = threading.Event()
        self.group: list[_Place[Asked, Answer]] = []
        self.answer: Answer | None = None
        self.error: Exception | None = None

    def left(self) -> float:
        """Seconds until its moment; not positive once that has passed."""
        return self.until - time.monotonic()


class Coalescer(Generic[Asked, Answer]):
    """Asks for many things together.

    Args:
        ask: asks for several things in one call within some seconds; gives an answer, or the error, for each in its
            order.
        most: most things in one call.
        under_way: calls under way from which on what is asked waits.
    """

    def __init__(
        self, ask: Callable[[Sequence[Asked], float], Sequence[Answer | Exception]], most: int, under_way: int
    ) -> None:
        self._ask = ask
        self._most = most
        self._free = under_way
        self._lock = threading.Lock()
        self._waiting: list[_Place[Asked, Answer]] = []

    def get(self, asked: Asked, timeout: float) -> Answer:
        """Ask for one thing, with whatever other threads ask for; raises the error that is meant for it.

        Args:
            asked: the thing.
            timeout: seconds, those in the queue included.

        Raises:
            TimeoutError: there was no answer by then.
        """
        place = _Place[Asked, Answer](asked, time.monotonic() + timeout)
        with self._lock:
            if self._free:
                self._free -= 1
                place.group = [place]
            else:
                self._waiting.append(place)
        if not place.group:
            self._wait(place)
        if place.group:
            self._lead(place)
        if place.error is not None:
            raise place.error
        return place.answer  # type: ignore[return-value]  # it was answered, for it has no error

    def _wait(self, place: _Place[Asked, Answer]) -> None:
        try:
            if not place.woken.wait(place.left()):
                raise TimeoutError
        except BaseException:  # its time is up, or the thread was interrupted: nobody may wait for it
            with self._lock:
                place.gone = True
                if place in self._waiting:
                    self._waiting.remove(place)
            if place.group:
                self._hand_on([each for each in place.group if each is not place])
            raise

    def _lead(self, place: _Place[Asked, Answer]) -> None:
        """Ask for a group, then let one of those who came meanwhile lead the next."""
        group = place.group
        try:
            answers: Sequence[Answer | Exception] = self._ask([each.asked for each in group], place.left())
        except Exception as error:  # noqa: BLE001 (it is meant for everyone who waits)
            answers = [error] * len(group)
        except BaseException:  # the thread was interrupted: the others of its group are asked for by the next
            self._hand_on([each for each in group if each is not place])
            raise
        for each, answer in zip(group, answers, strict=True):
            if isinstance(answer, Exception):
                each.error = answer
            else:
                each.answer = answer
            each.group = []
            each.woken.set()
        self._hand_on(())

    def _hand_on(self, unasked: Sequence[_Place[Asked, Answer]]) -> None:
        with self._lock:
            self._waiting[:0] = [each for each in unasked if not each.gone]
            if self._waiting:
                following, self._waiting = self._waiting[: self._most], self._waiting[self._most :]
                # Who came last has the most time left, so the call has it too; the others stop waiting at their own.
                following[-1].group = following
                following[-1].woken.set()
            else:
                self._free += 1
