"""Best-of-n and votes among n independent answers as programs for `enumerate_law`."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Hashable, Sequence

from tests.benches.peers.enumerate_law import Choose, exact_law
from tests.benches.peers.peer_record import Law

__all__ = ["best_of_n_law", "most_common", "selected_law", "shared"]

Select = Callable[[Choose, list[int]], int]


def shared(choose: Choose, members: Sequence[int]) -> int:
    """One of the members, each with the same chance."""
    return members[choose([1.0 / len(members)] * len(members))]


def selected_law(chances: Sequence[float], n: int, select: Select, size: int | None = None) -> Law:
    """The law of what `select` takes of n independent answers drawn by `chances`."""
    return lambda: exact_law(lambda choose: select(choose, [choose(chances) for _ in range(n)]), size or len(chances))


def best_of_n_law(chances: Sequence[float], rewards: Sequence[float], n: int, sign: float = 1.0) -> Law:
    """Of n, one of the largest reward, ties at random (sign −1: of the smallest)."""

    def select(choose: Choose, drawn: list[int]) -> int:
        top = max(sign * rewards[y] for y in drawn)
        return shared(choose, [y for y in drawn if sign * rewards[y] == top])

    return selected_law(chances, n, select)


def most_common(values: Sequence[Hashable], places: Sequence[int] | None = None) -> list[int]:
    """Places (of `places`) whose value is among the most frequent there."""
    places = range(len(values)) if places is None else places
    counts = Counter(values[i] for i in places)
    return [i for i in places if counts[values[i]] == max(counts.values())]
