"""Over-optimization: where the gold value turns down while the reward still rises, and the n or β before it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from scipy.special import ndtr, stdtrit

from gsi_theory.types import Floats, Record
from llm_check.logs.planner.scheme_grid import Option

__all__ = ["Turn", "turns"]

# About 2·(10 β + 10 n) paths are looked at: three standard errors keep chance turns below 5 % in all. With few units it
# is the quantile of Student's t of the same level.
CLEAR = 3.0
SMALL = 1e-9  # of the largest gold value: a smaller fall is rounding


@dataclass(frozen=True)
class Turn:
    """along: "n" or "beta"; best: the option where gold is largest on the path, after: where it has clearly fallen;
    fall and fall_se of gold, rise of the reward between them."""

    along: str
    best: Option
    after: Option
    fall: float
    fall_se: float
    rise: float

    def record(self) -> Record:
        """As `gsi plan --json` shows it."""
        return {
            "along": self.along,
            "rule": self.after.rule,
            "method": self.after.method,
            "best_n": self.best.n,
            "best_beta": self.best.beta,
            "after_n": self.after.n,
            "after_beta": self.after.beta,
            "gold_fall": self.fall,
            "gold_fall_se": self.fall_se,
            "reward_rise": self.rise,
        }


def _paths(options: Sequence[Option]) -> Iterator[tuple[str, list[int]]]:
    """Ungated options along n at fixed β and along β at fixed n, for each method; one draw begins every path along
    n."""
    plain = [s for s, option in enumerate(options) if option.threshold is None]
    alone = {o.on_base: s for s, o in reversed(list(enumerate(options))) if o.method in ("draft", "base")}
    for along, fixed in (("n", "beta"), ("beta", "n")):
        groups: dict[tuple[str, float], list[int]] = {}
        for s in plain:
            option = options[s]
            if option.n > 1:
                groups.setdefault((option.method, float(getattr(option, fixed))), []).append(s)
        for members in groups.values():
            first = alone.get(options[members[0]].on_base) if along == "n" else None
            members = members if first is None else [first, *members]
            yield along, sorted(members, key=lambda s: float(getattr(options[s], along)))


def turns(options: Sequence[Option], reward: Floats, gold: Floats) -> list[Turn]:
    """Paths on which gold (S, U) falls by CLEAR standard errors from its best while reward (S, U) does not fall."""
    paths, units = [], gold.shape[1]
    if units < 2:
        return []
    clear, least = float(stdtrit(units - 1.0, ndtr(CLEAR))), SMALL * float(np.abs(gold).max())
    for along, path in _paths(options):
        means = gold[path].mean(axis=1)
        top = int(np.argmax(means))
        for later in path[top + 1 :]:
            difference = gold[path[top]] - gold[later]
            fall, error = float(difference.mean()), float(difference.std(ddof=1) / np.sqrt(units))
            rise = float((reward[later] - reward[path[top]]).mean())
            if fall > max(clear * error, least) and rise >= 0:
                paths.append(Turn(along, options[path[top]], options[later], fall, error, rise))
                break
    return paths
