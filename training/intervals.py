"""Which stretches of a text are taken already: picking spans that do not overlap, in any number."""

from __future__ import annotations

from bisect import bisect_left, insort


class Taken:
    """A set of stretches that do not overlap; asking and adding cost next to nothing, however many there are."""

    def __init__(self) -> None:
        self._taken: list[tuple[int, int]] = []

    def is_free(self, start: int, end: int) -> bool:
        """Whether none of the taken stretches shares a character with this one."""
        place = bisect_left(self._taken, (end, end))
        return place == 0 or self._taken[place - 1][1] <= start

    def take(self, start: int, end: int) -> bool:
        """Take the stretch if it is free; says whether it was."""
        free = self.is_free(start, end)
        if free:
            insort(self._taken, (start, end))
        return free
