"""Turns: what one thread has at a time, in the order of their coming."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from functools import partial

from fastdeploy_bot.store.turns import Turns
from runs import eventually

WAITING = 8


def _more_than(turns: Turns, count: int) -> bool:
    return len(turns._waiting) > count


def test_whoever_waits_longest_is_next() -> None:
    """Not whoever is quickest when it is let go of."""
    turns, order, begun = Turns(), list[int](), list[int]()

    def take(number: int) -> None:
        begun.append(number)
        assert turns.acquire(timeout=60)
        order.append(number)
        turns.release()

    assert turns.acquire(timeout=0)
    threads = [threading.Thread(target=take, args=(number,)) for number in range(WAITING)]
    for thread in threads:
        waiting = len(turns._waiting)
        thread.start()
        eventually(partial(_more_than, turns, waiting), "one more in the queue")
    turns.release()
    for thread in threads:
        thread.join()

    assert begun == order
    assert turns.acquire(timeout=0)


def test_whoever_gives_up_keeps_nobody_waiting() -> None:
    """Its turn goes to the next, and is not lost where it came in the instant of giving up."""
    turns = Turns()
    assert turns.acquire(timeout=0)

    assert not turns.acquire(timeout=0.01)
    turns.release()

    assert turns.acquire(timeout=0)
    assert not turns.acquire(timeout=0)


def test_one_at_a_time_has_it_though_some_give_up() -> None:
    """Many threads with little patience: never two inside, and in the end it is free."""
    turns, inside, most = Turns(), 0, 0

    def take(number: int) -> None:
        nonlocal inside, most
        for _ in range(200):
            if turns.acquire(timeout=0.0001 * (number % 3)):
                inside += 1
                most = max(most, inside)
                inside -= 1
                turns.release()

    with ThreadPoolExecutor(WAITING) as pool:
        list(pool.map(take, range(WAITING)))

    assert 1 == most
    assert turns.acquire(timeout=0)
