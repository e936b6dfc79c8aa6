"""One option at every position of a pool: its value with the error that its candidates alone have, and who decides.

Shapes: P positions, U prompts.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from gsi_theory import Candidates, Scheme
from gsi_theory.estimate import subset_mean
from gsi_theory.instance import beta_times, log_weight, tilted_reward
from gsi_theory.samples.decides import Decides, decides
from gsi_theory.samples.gated_estimate import gated_mean, score_gated_mean
from gsi_theory.samples.intervals import Interval, fixed_mean, population_mean
from gsi_theory.types import Floats, Ints
from llm_check.logs.planner.scheme_grid import Option
from llm_check.logs.pools.position_arrays import PositionArrays, PositionBlock

__all__ = ["TwoIntervals", "option_decides", "option_intervals", "scheme_of"]

Bounds = tuple[float, float]
MOST_DECIDED = 60  # positions that who decides is asked at, evenly spread


@dataclass(frozen=True)
class TwoIntervals:
    """95 %: over the population of prompts (None where there is one prompt), and for these very prompts."""

    over_prompts: Interval | None
    these_prompts: Interval


def scheme_of(option: Option) -> Scheme:
    """An option that selects among drafts by reward and ratio, as a scheme."""
    gate = "score" if option.gate == "score" else "tilted_reward"
    return Scheme(option.beta, option.n, option.threshold, option.rule, option.n_base, gate)


def _mean(option: Option, draft: Candidates, base: Candidates, f: tuple[Floats, Floats]) -> tuple[float, float]:
    """(value, standard error) at one position, candidates random."""
    if option.weighs_ratio:
        weight = log_weight(draft, option.beta)
        falls = f[1], beta_times(base.reward, option.beta), [option.n], option.n_base, option.rule
        if option.threshold is None:
            found = subset_mean(f[0], weight, [option.n], option.rule)
        elif option.gate == "score":
            found = score_gated_mean(f[0], weight, option.beta * option.threshold, *falls).value
        else:
            found = gated_mean(f[0], weight, tilted_reward(draft, option.beta) >= option.threshold, *falls).value
        return float(found.value[0]), float(found.stderr[0])
    if option.gate == "reward" and option.threshold is not None:  # RSD: one draft, one base draw
        one, zeros = draft.reward >= option.threshold, np.zeros_like
        gated = gated_mean(f[0], zeros(f[0]), one, f[1], zeros(f[1]), [1], 1).value
        return float(gated.value[0]), float(gated.stderr[0])
    side = 1 if option.on_base else 0
    reward = (draft, base)[side].reward
    weight = reward if option.record.weight == "best" else beta_times(reward, option.beta)
    found = subset_mean(f[side], weight, [option.n], option.rule)
    return float(found.value[0]), float(found.stderr[0])


def _positions(
    arrays: PositionArrays, parts: Sequence[PositionBlock], name: str, most: int | None = None
) -> tuple[list[tuple[Candidates, Candidates]], list[tuple[Floats, Floats]], list[str]]:
    """(draft and base candidates, their values, prompt) of the positions, or of `most` of them, evenly spread."""
    rows = [(p, b.draft[k], b.base[k]) for b in parts for k, p in enumerate(b.positions.tolist())]
    stride = 1 if most is None else max(1, -(-len(rows) // most))
    reward, ratio, value = arrays.floats("reward"), arrays.log_ratio, arrays.floats(name)

    def candidates(at: Ints) -> Candidates:
        return Candidates(np.full(at.size, -np.log(at.size)), reward[at].copy(), ratio[at].copy())

    chosen = sorted(rows, key=lambda row: row[0])[::stride]
    return (
        [(candidates(own), candidates(other)) for _, own, other in chosen],
        [(value[own].copy(), value[other].copy()) for _, own, other in chosen],
        [arrays.names[p][0] for p, _, _ in chosen],
    )


def option_intervals(
    arrays: PositionArrays, parts: Sequence[PositionBlock], option: Option, name: str, bounds: Bounds
) -> TwoIntervals:
    """The mean over positions of the value `name` under `option`; bounds: of the value."""
    pairs, values, prompts = _positions(arrays, parts, name)
    unit = np.unique(prompts, return_inverse=True)[1].ravel()
    count, scale = int(unit.max()) + 1, (int(unit.max()) + 1) / len(pairs)
    rows = np.array([_mean(option, *pair, f) for pair, f in zip(pairs, values, strict=True)])
    means = np.bincount(unit, scale * rows[:, 0], count)
    if np.isfinite(rows[:, 1]).all():
        these = fixed_mean(means, np.sqrt(np.bincount(unit, (scale * rows[:, 1]) ** 2, count)))
    else:  # one candidate shows no spread
        wide = np.array(np.inf)
        these = Interval(means.mean(), wide, -wide, wide, np.array(False))
    if count < 2:
        return TwoIntervals(None, these)
    # accepted parts are unbiased, not bounded
    low, high = min(bounds[0], float(means.min())), max(bounds[1], float(means.max()))
    return TwoIntervals(population_mean(means, bounds=(low, high) if low < high else None), these)


def option_decides(
    arrays: PositionArrays, parts: Sequence[PositionBlock], option: Option, name: str, bounds: Bounds
) -> Decides:
    """Who decides under an option that selects among drafts by reward and ratio (M46), at up to MOST_DECIDED
    positions."""
    pairs, values, prompts = _positions(arrays, parts, name, MOST_DECIDED)
    return decides(pairs, scheme_of(option), prompts, values, bounds)
