"""Limits of any rule on draws from two sources, and of stopping rules, as linear programs.  Imports no project code.

Contract: laws are (K,) sequences of floats or Fractions, small.  A rule is a policy on histories, one variable a
(history, action); the law of its outcome is linear in them.  `goal` is ("tv", target), minimized, or ("reward",
reward), maximized.  Values to 1e-9.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from fractions import Fraction
from typing import Any

import numpy as np
from scipy.optimize import linprog  # type: ignore[import-untyped, unused-ignore]
from scipy.sparse import coo_array  # type: ignore[import-untyped, unused-ignore]

from .enumeration import draws

__all__ = ["best_fallback_lp", "best_stopping_lp", "best_within_tv_lp", "nearest_lp"]

Law = Sequence[Any]
Goal = tuple[str, Law]


class _Program:
    """Rows and columns as they come; the law of the outcome is gathered in `outcome`."""

    def __init__(self, size: int) -> None:
        self.columns, self.equal, self.below = 0, [], []  # type: ignore[var-annotated]
        self.outcome: list[list[int]] = [[] for _ in range(size)]

    def column(self, outcome: int | None = None) -> int:
        self.columns += 1
        if outcome is not None:
            self.outcome[outcome].append(self.columns - 1)
        return self.columns - 1

    def solve(self, goal: Goal) -> float:
        kind, values = goal
        cost = defaultdict(float)
        if kind == "reward":
            for y, columns in enumerate(self.outcome):
                for c in columns:
                    cost[c] = -float(values[y])
        else:
            for y, columns in enumerate(self.outcome):
                lost = self.column()
                cost[lost] = 1.0
                self.below.append(({c: -1.0 for c in (*columns, lost)}, -float(values[y])))
        vector = np.zeros(self.columns)
        for c, value in cost.items():
            vector[c] = value
        tables = {}
        for name, rows in (("eq", self.equal), ("ub", self.below)):
            entries = [(i, c, v) for i, (row, _) in enumerate(rows) for c, v in row.items()]
            if rows:
                i, c, v = zip(*entries, strict=True)
                tables[f"A_{name}"] = coo_array((v, (i, c)), shape=(len(rows), self.columns)).tocsr()
                tables[f"b_{name}"] = [b for _, b in rows]
        options = {"primal_feasibility_tolerance": 1e-10, "dual_feasibility_tolerance": 1e-10}
        solved = linprog(vector, method="highs", options=options, **tables)
        if not solved.success:
            raise ValueError(f"linear program was not solved: {solved.message}")
        return float(-solved.fun if kind == "reward" else solved.fun)


def best_fallback_lp(goal: Goal, draft: Law, base: Law, n: int, m: int, chance: float, recall: bool) -> float:
    """Best goal of: draw n from `draft`; with total probability `chance` (at most it with recall, where asking the base
    never hurts; exactly it without) draw m from `base`; return a drawn item, after a fallback without recall one of
    the base's.  The fallback may depend on the drafts.  chance = 1 with recall is one of n + m draws.
    """
    size = len(draft)
    program = _Program(size)
    bases = list(draws([Fraction(x) for x in base], m))
    falls: dict[int, float] = {}
    for counts, probability in draws([Fraction(x) for x in draft], n):
        mine = [y for y in range(size) if counts[y]]
        fall = program.column()
        falls[fall] = 1.0
        program.equal.append(({c: 1.0 for c in (fall, *(program.column(y) for y in mine))}, float(probability)))
        for other, share in bases:
            allowed = {y for y in range(size) if other[y]} | (set(mine) if recall else set())
            row = {program.column(y): 1.0 for y in sorted(allowed)}
            program.equal.append((row | {fall: -float(share)}, 0.0))
    (program.below if recall else program.equal).append((falls, float(chance)))
    return program.solve(goal)


def best_stopping_lp(goal: Goal, proposal: Law, expected: float, horizon: int) -> float:
    """Best goal of all rules that draw at most `horizon` items, `expected` of them in expectation, with recall.

    The history is the multiset drawn so far: the order is of no use.  A rule of fewer draws, so at best equal to the
    limit without a horizon.
    """
    size = len(proposal)
    program = _Program(size)
    arrive: dict[tuple[int, ...], dict[int, float]] = {tuple(int(y == z) for z in range(size)): {} for y in range(size)}
    start = {counts: float(proposal[y]) for y, counts in enumerate(arrive)}
    drawn: dict[int, float] = {}
    for step in range(1, horizon + 1):
        following: dict[tuple[int, ...], dict[int, float]] = defaultdict(dict)
        for counts, inflow in arrive.items():
            row = {program.column(y): 1.0 for y in range(size) if counts[y]}
            if step < horizon:
                more = program.column()
                row[more] = drawn[more] = 1.0
                for y in range(size):
                    after = tuple(c + (z == y) for z, c in enumerate(counts))
                    following[after][more] = float(proposal[y])
            program.equal.append((row | {c: -v for c, v in inflow.items()}, start.get(counts, 0.0)))
        arrive, start = following, {}
    program.below.append((drawn, float(expected) - 1.0))
    return program.solve(goal)


def nearest_lp(target: Law, room: Law) -> float:
    """Least total variation to `target` over laws P <= room."""
    program = _Program(len(target))
    for y, most in enumerate(room):
        program.below.append(({program.column(y): 1.0}, float(most)))
    program.equal.append(({columns[0]: 1.0 for columns in program.outcome}, 1.0))
    return program.solve(("tv", target))


def best_within_tv_lp(reward: Law, target: Law, room: Law, delta: float) -> float:
    """Largest mean of `reward` over laws P <= room within `delta` of `target` in total variation."""
    program = _Program(len(target))
    lost = []
    for y, most in enumerate(room):
        mass, missing = program.column(y), program.column()
        lost.append(missing)
        program.below.append(({mass: 1.0}, float(most)))
        program.below.append(({mass: -1.0, missing: -1.0}, -float(target[y])))
    program.equal.append(({columns[0]: 1.0 for columns in program.outcome}, 1.0))
    program.below.append(({c: 1.0 for c in lost}, float(delta)))
    return program.solve(("reward", reward))
