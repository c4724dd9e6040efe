"""Coalescing: what several threads ask for at the same moment travels together.

Nobody waits for company. A call goes out at once while few are under way; what is asked meanwhile waits until one comes
back, and then goes together. So one caller has single calls without delay, and many share calls, which cost the server
a tenth.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from typing import Generic, TypeVar

Asked = TypeVar("Asked")
Answer = TypeVar("Answer")


class _Place(Generic[Asked, Answer]):
    """One question, and whoever waits for its answer; who leads asks for the whole group."""

    __slots__ = ("answer", "asked", "error", "group", "woken")

    def __init__(self, asked: Asked) -> None:
        self.asked = asked
        self.woken = threading.Event()
        self.group: list[_Place[Asked, Answer]] = []
        self.answer: Answer | None = None
        self.error: Exception | None = None


class Coalescer(Generic[Asked, Answer]):
    """Asks for many things together.

    Args:
        ask: asks for several things in one call; gives an answer, or the error, for each in its order.
        most: most things in one call.
        under_way: calls under way from which on what is asked waits.
    """

    def __init__(
        self, ask: Callable[[Sequence[Asked]], Sequence[Answer | Exception]], most: int, under_way: int
    ) -> None:
        self._ask = ask
        self._most = most
        self._free = under_way
        self._lock = threading.Lock()
        self._waiting: list[_Place[Asked, Answer]] = []

    def get(self, asked: Asked) -> Answer:
        """Ask for one thing, with whatever other threads ask for; raises the error that is meant for it."""
        place = _Place[Asked, Answer](asked)
        with self._lock:
            if self._free:
                self._free -= 1
                place.group = [place]
            else:
                self._waiting.append(place)
        if not place.group:
            self._wait(place)
        if place.group:
            self._lead(place.group)
        if place.error is not None:
            raise place.error
        return place.answer  # type: ignore[return-value]  # it was answered, for it has no error

    def _wait(self, place: _Place[Asked, Answer]) -> None:
        try:
            place.woken.wait()
        except BaseException:  # the thread was interrupted: nobody may wait for it
            with self._lock:
                if place in self._waiting:
                    self._waiting.remove(place)
            if place.group:
                self._hand_on(place.group[1:])
            raise

    def _lead(self, group: Sequence[_Place[Asked, Answer]]) -> None:
        """Ask for a group, then let one of those who came meanwhile lead the next."""
        try:
            answers: Sequence[Answer | Exception] = self._ask([place.asked for place in group])
        except Exception as error:  # noqa: BLE001 (it is meant for everyone who waits)
            answers = [error] * len(group)
        except BaseException:  # the thread was interrupted: the others of its group are asked for by the next
            self._hand_on(group[1:])
            raise
        for place, answer in zip(group, answers, strict=True):
            if isinstance(answer, Exception):
                place.error = answer
            else:
                place.answer = answer
            place.group = []
            place.woken.set()
        self._hand_on(())

    def _hand_on(self, unasked: Sequence[_Place[Asked, Answer]]) -> None:
        with self._lock:
            self._waiting[:0] = unasked
            if self._waiting:
                following, self._waiting = self._waiting[: self._most], self._waiting[self._most :]
                following[0].group = following
                following[0].woken.set()
            else:
                self._free += 1
