"""Progress of long work: a bar with rate and time left on a terminal, silence elsewhere."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    Task,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.text import Text


class Shown:
    """Progress that is being shown."""

    def __init__(self, bar: Progress, task: TaskID) -> None:
        self._bar = bar
        self._task = task

    def begin(self, total: int | None, done: int) -> None:
        """There are so many (None: not known), of which so many are done already."""
        self._bar.update(self._task, total=total)
        self._bar.reset(self._task, total=total, completed=done)

    def advance(self, count: int) -> None:
        """So many more are done."""
        self._bar.advance(self._task, count)

    def step(self, what: str, done: int, total: int) -> None:
        """Another kind of work is on, of which so many are done."""
        self._bar.update(self._task, description=what, completed=done, total=total)

    __call__ = advance


@contextmanager
def progress(what: str, total: int | None, *, quiet: bool = False) -> Iterator[Shown]:
    """Show progress on standard error; what the block gets is told how many more are done.

    Args:
        what: what is going on, in a word.
        total: how many there are; None when that is not known.
        quiet: show nothing.
    """
    console = Console(stderr=True)
    shown = Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        _RateColumn(),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
        console=console,
        disable=quiet or not console.is_terminal,
        transient=True,
    )
    with shown:
        task = shown.add_task(what, total=total)
        yield Shown(shown, task)


class _RateColumn(ProgressColumn):
    """Items a second."""

    def render(self, task: Task) -> Text:
        return Text("" if task.speed is None else f"{task.speed:,.0f}/s")
