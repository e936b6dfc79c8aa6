"""Options that do the same are listed once: those whose laws are equal on every candidate of the pool, at equal cost.

One draw needs no rule and no β, nor do candidates of equal weight; candidates of equal reward need no β. A gate is the
set of candidates that pass it: one that all pass is none, and where none passes the law is the fallback's. The first of
equal options is kept. n drafts cost what they cost even where all are rejected, and one draft is not scored unless
there is a gate.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass

import numpy as np

from gsi_theory.instance import tilted_rewards
from llm_check.logs.planner.scheme_grid import Grid, Option
from llm_check.logs.pools.position_arrays import Block, PositionArrays

__all__ = ["distinct_options"]

UNDERFLOW = 745.0  # nats below a cut: the score passes with a probability of 0


@dataclass(frozen=True)
class _Seen:
    """What the candidates show at one β: whether at every position the weights of the drafts are equal, their rewards,
    those of the base candidates; the drafts that pass each threshold on the tilted reward; the smallest and the
    largest log-weight."""

    equal_drafts: bool
    equal_rewards: bool
    equal_base: bool
    passed: dict[float, bytes]
    lightest: float
    heaviest: float


def _seen(grid: Grid, arrays: PositionArrays, parts: Sequence[Block], beta: float) -> _Seen:
    ratio, reward = arrays.log_ratio, arrays.floats("reward")
    own, base = ([reward[rows] for rows in kind] for kind in ([b.draft for b in parts], [b.base for b in parts]))
    ratios = [ratio[b.draft] for b in parts]
    weights = [beta * r + raw for r, raw in zip(own, ratios, strict=True)]
    tilts = np.concatenate([tilted_rewards(r, raw, beta).ravel() for r, raw in zip(own, ratios, strict=True)])
    equal = [all(bool((x == x[:, :1]).all()) for x in kind) for kind in (weights, own, base)]
    passed = {u: np.packbits(tilts >= u).tobytes() for u in grid.tilted[beta]}
    ends = min(float(w.min()) for w in weights), max(float(w.max()) for w in weights)
    return _Seen(equal[0], equal[1], equal[2], passed, *ends)


def _selection(option: Option, n: int, equal_weights: bool, equal_rewards: bool) -> Hashable:
    """What a selection among n candidates depends on."""
    if n == 1 or equal_weights:
        return (n,)
    return (n, option.rule) if equal_rewards else (n, option.rule, option.beta)


def _law(option: Option, seen: _Seen, every: bytes) -> Hashable:
    """Equal for options of equal law and cost; every: of a gate that all drafts pass."""
    base = _selection(option, option.n_base, seen.equal_base, seen.equal_base)
    drafts = _selection(option, option.n, seen.equal_drafts, seen.equal_rewards)
    if option.method == "base":
        return "base", base
    if option.threshold is None:
        return "no gate", drafts
    if option.gate == "score":
        cut = option.beta * option.threshold
        gate: Hashable = (option.beta, option.threshold)
        all_pass, none_passes = cut <= seen.lightest, cut - seen.heaviest > UNDERFLOW
    else:
        gate = passed = seen.passed[option.threshold]
        all_pass, none_passes = passed == every, not any(passed)
    if none_passes:
        return "none passes", option.n, base
    if all_pass:
        return ("no gate", drafts) if option.n > 1 else "all pass"
    return option.gate, gate, drafts, base


def distinct_options(grid: Grid, arrays: PositionArrays, parts: Sequence[Block]) -> list[Option]:
    """The options of the grid without those that do what an earlier one does, at every position of `parts`."""
    seen = {beta: _seen(grid, arrays, parts, beta) for beta in grid.betas}
    every = np.packbits(np.ones(sum(b.draft.size for b in parts), dtype=np.bool_)).tobytes()
    found: dict[Hashable, Option] = {}
    for option in grid.options():
        found.setdefault(_law(option, seen[option.beta], every), option)
    return list(found.values())
