"""Group commit: what waits is done together, and each thread gets its own answer or its own error."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

import pytest

from ml_backend.group_commit import GroupCommit

WAIT = 20


class Desk:
    """Doubles numbers; its first batch waits until told to go on; 13 cannot be doubled, and 0 ends everything."""

    def __init__(self, *, most: int = 100) -> None:
        self.batches: list[list[int]] = []
        self.begun, self.go_on = threading.Event(), threading.Event()
        self.group = GroupCommit(self.double, most=most)

    def double(self, numbers: Sequence[int]) -> list[int]:
        """Twice each number."""
        self.batches.append(list(numbers))
        self.begun.set()
        assert self.go_on.wait(WAIT)
        if 13 in numbers:
            raise ValueError("13")
        if 0 in numbers:
            raise SystemExit("0")
        return [2 * number for number in numbers]


def run(desk: Desk, first: int, rest: Sequence[int]) -> dict[int, int | str]:
    """What came of each number, where all of the rest wait while the first is worked on."""

    def ask(number: int) -> int | str:
        try:
            return desk.group.do(number)
        except (ValueError, SystemExit) as error:
            return f"refused {error}"

    with ThreadPoolExecutor(len(rest) + 1) as threads:
        told = {first: threads.submit(ask, first)}
        assert desk.begun.wait(WAIT)
        for count, number in enumerate(rest, 1):
            told[number] = threads.submit(ask, number)
            while len(desk.group._waiting) < count:
                threading.Event().wait(0.001)
        desk.go_on.set()
        return {number: future.result(WAIT) for number, future in told.items()}


def test_what_waits_is_done_together() -> None:
    """While one is worked on the others gather, and are done in one go in the order they came in."""
    desk = Desk()
    assert run(desk, 1, [5, 3, 4]) == {1: 2, 5: 10, 3: 6, 4: 8}
    assert desk.batches == [[1], [5, 3, 4]]


def test_no_more_than_so_many_are_done_at_once() -> None:
    """Those beyond the limit come next, and nobody is left waiting."""
    desk = Desk(most=2)
    assert run(desk, 1, [2, 3, 4, 5, 6]) == {number: 2 * number for number in range(1, 7)}
    assert [len(batch) for batch in desk.batches] == [1, 2, 2, 1]


@pytest.mark.parametrize("most", [1, 100])
def test_an_error_reaches_only_its_own_thread(most: int) -> None:
    """Of several that are done together some cannot be: the others get their answers all the same."""
    desk = Desk(most=most)
    assert run(desk, 1, [2, 13, 4, 0]) == {1: 2, 2: 4, 13: "refused 13", 4: 8, 0: "refused 0"}
    assert desk.group.do(7) == 14
