"""Capped hierarchical speculative decoding (arXiv 2601.05724, Algorithm 2), as sequential-speculative-decoding 0.1.1
writes it, with the index that three of its calls pass: as it stands there, and one more."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from gsi_theory.types import Floats
from tests.benches.peers.enumerate_law import Choose

__all__ = ["capped_hierarchical"]

Next = Callable[[str], Floats]  # the law of the next token after a text


def _capped(ratios: list[float], t: int) -> float:
    """Of the first t tokens: their ratio p/q over that of the prefix of the largest ratio above 1."""
    largest = max((r for r in ratios[:t] if r > 1.0), default=1.0)
    return ratios[t - 1] / largest


def capped_hierarchical(choose: Choose, draft: Next, target: Next, gamma: int, tokens: int, index: int) -> str:
    """The first `tokens` tokens; index: 0 as in the package, 1 for one token more in the three calls."""
    text = ""
    while len(text) < tokens:
        whole = text
        for _ in range(gamma):
            whole += str(choose(draft(whole)))
        drawn = [int(letter) for letter in whole[len(text) :]]
        p = [target(whole[: len(text) + t]) for t in range(gamma + 1)]
        q = [draft(whole[: len(text) + t]) for t in range(gamma)]
        ratios = np.cumprod([p[t][y] / q[t][y] for t, y in enumerate(drawn)]).tolist()

        def branch(t: int) -> tuple[Floats, Floats]:
            """Capped ratios after the first t tokens, and the draft's joint probabilities there; −1 is the last."""
            before = max(t, 0)
            mass = float(np.prod([q[i][drawn[i]] for i in range(before)]))  # noqa: B023
            largest = max((r for r in ratios[:before] if r > 1.0), default=1.0)  # noqa: B023
            ratio = ratios[before - 1] if before else 1.0  # noqa: B023
            return ratio * p[t if t >= 0 else gamma - 1] / q[t] / largest, mass * q[t]  # noqa: B023

        accept, kept = min(_capped(ratios, gamma - 1 + index), 1.0), gamma
        while kept and choose([1.0 - accept, accept]) == 0:
            kept -= 1
            if kept:
                ratio, mass = branch(kept - 1 + index)
                more, less = (np.maximum(ratio - 1.0, 0.0) @ mass, np.maximum(1.0 - ratio, 0.0) @ mass)
                accept = min(more / less, 1.0)
        if kept == gamma:
            text = whole + str(choose(p[gamma]))
        else:
            rest = np.maximum(q[kept] * (branch(kept - 1 + index)[0] - 1.0), 0.0)
            text = whole[: len(text) + kept] + str(choose(rest / rest.sum()))
    return text[:tokens]
