"""Group commit: work of many threads on one thing is done by one of them, with all that waits in one transaction."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from typing import Generic, TypeVar

Item = TypeVar("Item")
Answer = TypeVar("Answer")


class _Waiting(Generic[Item, Answer]):
    """An item of a thread that waits, and what came of it: an answer in the list, or an error."""

    def __init__(self, item: Item) -> None:
        self.item = item
        self.answers: list[Answer] = []
        self.error: BaseException | None = None

    @property
    def is_done(self) -> bool:
        """Whether somebody has worked on it."""
        return bool(self.answers) or self.error is not None


class GroupCommit(Generic[Item, Answer]):
    """Takes items from many threads, and lets `work` do all that wait at once, at most `most` of them.

    `work` gets items in the order they came in, does all of them or none, and gives their answers in that order. Where
    it raises for several, each is done by itself, so that an item's error reaches only the thread that brought it.
    """

    def __init__(self, work: Callable[[Sequence[Item]], Sequence[Answer]], *, most: int) -> None:
        self._work, self._most = work, most
        self._waiting: list[_Waiting[Item, Answer]] = []
        self._guard, self._turn = threading.Lock(), threading.Lock()

    def do(self, item: Item) -> Answer:
        """The answer to this item, once it lasts. Raises what `work` raised for it."""
        mine: _Waiting[Item, Answer] = _Waiting(item)
        with self._guard:
            self._waiting.append(mine)
        with self._turn:
            while not mine.is_done:
                with self._guard:
                    taken, self._waiting = self._waiting[: self._most], self._waiting[self._most :]
                self._do_together(taken)
        if mine.error is not None:
            raise mine.error
        return mine.answers[0]

    def _do_together(self, taken: Sequence[_Waiting[Item, Answer]]) -> None:
        try:
            answers = self._work([one.item for one in taken])
        except BaseException as error:  # noqa: BLE001 (raised by the thread whose item it is, which waits for it)
            if len(taken) == 1:
                taken[0].error = error
                return
            for one in taken:
                self._do_together([one])
            return
        for one, answer in zip(taken, answers, strict=True):
            one.answers.append(answer)
