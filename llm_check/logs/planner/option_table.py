"""One pass over a pool: every option's value on independent units, its cost, and how much of the tail was seen.

Units are prompts (the mean over their positions, weighted by their number, so that the mean over units is the mean over
positions), merged into at most MOST_UNITS batches. With fewer than FEW_UNITS prompts the prompts are held fixed and the
units are the pseudo-values of a jackknife over candidates in GROUPS groups. Shapes: S options, V values, U units.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields

import numpy as np

from gsi_theory.types import Floats, Ints
from llm_check.logs.planner.distance import Distances, distances
from llm_check.logs.planner.scheme_grid import Grid, Option
from llm_check.logs.planner.tail import RewardRange, Tail, tail_of
from llm_check.logs.planner.values import Sets, Values, evaluate, half_pool_shift, sets_of
from llm_check.logs.pools.position_arrays import PositionArrays, PositionBlock

__all__ = ["PlanTable", "choose_estimator", "plan_table"]

MOST_UNITS = 2000
FEW_UNITS = 10
GROUPS = 10
# positions · candidates · largest n · β's: below this the unbiased estimator takes about a minute at most
UNBIASED_WORK = 6_000_000
SAMPLED_POSITIONS = 60  # for distances, and for the bias of plug-in values


@dataclass(frozen=True)
class PlanTable:
    """values (V, S, U) on units; reject (S,) and reject_tokens (S,) = mean of P(reject) · base tokens; draft_tokens and
    base_tokens, mean of a step; distances at `sampled` positions; units: what they are, fixed: whether the prompts are
    held fixed; drafts, base_draws: candidates."""

    options: tuple[Option, ...]
    names: tuple[str, ...]
    values: Floats
    reject: Floats
    reject_tokens: Floats
    draft_tokens: float
    base_tokens: float
    distance: Distances
    sampled: int
    tails: dict[float, Tail]
    estimator: str
    units: str
    fixed: bool
    positions: int
    drafts: int
    base_draws: int


def choose_estimator(grid: Grid, parts: Sequence[PositionBlock]) -> str:
    """ "unbiased" (M31) where it takes about a minute at most, else "plug-in" (M30, half-pool correction)."""
    rows = sum(b.draft.size + b.base.size for b in parts)
    return "unbiased" if rows * max(grid.ns) * len(grid.betas) <= UNBIASED_WORK else "plug-in"


def _units(arrays: PositionArrays, parts: Sequence[PositionBlock]) -> tuple[Ints, int, str]:
    """(unit of every position, their number, what they are); one unit where pseudo-values are needed."""
    used = np.concatenate([b.positions for b in parts])
    prompts = np.unique([arrays.names[p][0] for p in used.tolist()], return_inverse=True)[1].ravel()
    count = int(prompts.max()) + 1
    unit = np.full(len(arrays.names), -1, dtype=np.int64)
    if count < FEW_UNITS:
        unit[used] = 0
        prompts_fixed = "the one prompt" if count == 1 else f"the {count} prompts"
        return unit, GROUPS, f"candidates in {GROUPS} groups, {prompts_fixed} held fixed"
    unit[used] = prompts % MOST_UNITS
    merged = min(count, MOST_UNITS)
    return unit, merged, f"{count} prompts" + (f" in {merged} batches" if merged < count else "")


def plan_table(
    arrays: PositionArrays,
    parts: Sequence[PositionBlock],
    grid: Grid,
    names: Sequence[str],
    step_tokens: float | None,
    progress: Callable[[int, int], None] | None = None,
    some: Sequence[Option] | None = None,
    rewards: RewardRange | None = None,
) -> PlanTable:
    """Evaluate a grid on a pool; names: value columns, the reward first; step_tokens: tokens where none are logged;
    some: of its options, all by default; rewards: the range of the reward, what the pool shows by default."""
    options = tuple(grid.options() if some is None else some)
    estimator = choose_estimator(grid, parts)
    unit, count, what = _units(arrays, parts)
    fixed = "fixed" in what
    positions = sum(b.positions.size for b in parts)
    sums = np.zeros((len(names), len(options), count))
    reject, reject_tokens = np.zeros(len(options)), np.zeros(len(options))
    shift, shift_reject = np.zeros(sums.shape[:2]), np.zeros(len(options))
    lengths = arrays.tokens
    tokens = np.zeros(2)
    stride = max(1, positions // SAMPLED_POSITIONS)
    measured: list[Distances] = []
    done, sampled = 0, 0
    for block in _smaller(parts, estimator, fixed):
        sets = sets_of(arrays, block, names)
        result = evaluate(sets, grid, options, estimator)
        if fixed:
            sums += _pseudo_values(sets, grid, options, estimator, result)
        else:
            for p, u in enumerate(unit[block.positions].tolist()):
                sums[:, :, u] += result.value[:, :, p]
        drafted, base = (
            np.full(block.positions.size, step_tokens or 1.0) if lengths is None else lengths[rows].mean(axis=1)
            for rows in (block.draft, block.base)
        )
        reject += result.reject.sum(axis=1)
        reject_tokens += result.reject @ base
        tokens += drafted.sum(), base.sum()
        picked = np.flatnonzero((done + np.arange(block.positions.size)) % stride == 0)
        if picked.size:
            part = block.at(picked)
            sampled += picked.size
            few = sets_of(arrays, part, names[:1])
            if estimator == "plug-in" and not fixed:
                chosen = Values(result.value[..., picked], result.reject[:, picked])
                moved = half_pool_shift(sets.at(picked), grid, options, chosen)
                shift += moved.value.sum(axis=2)
                shift_reject += moved.reject.sum(axis=1)
            measured.append(distances(few, arrays.log_ratio[part.base], grid, options))
        done += block.positions.size
        if progress is not None:
            progress(done, positions)
    scale = count / positions
    sums += shift[:, :, None] / sampled / scale
    rejected = np.clip(reject / positions + shift_reject / sampled, 0.0, 1.0)
    # tokens of the fallback go with its probability
    with np.errstate(invalid="ignore", divide="ignore"):
        reject_tokens *= np.where(reject > 0, rejected * positions / reject, 1.0)
    far = (np.concatenate([getattr(d, f.name) for d in measured], axis=1) for f in fields(Distances))
    return PlanTable(
        options=options,
        names=tuple(names),
        values=sums * scale,
        reject=rejected,
        reject_tokens=reject_tokens / positions,
        draft_tokens=float(tokens[0] / positions),
        base_tokens=float(tokens[1] / positions),
        distance=Distances(*far),
        sampled=sampled,
        tails={beta: tail_of(arrays, parts, beta, rewards) for beta in grid.betas},
        estimator=estimator,
        units=what,
        fixed=fixed,
        positions=positions,
        drafts=sum(b.draft.size for b in parts),
        base_draws=sum(b.base.size for b in parts),
    )


def _smaller(parts: Sequence[PositionBlock], estimator: str, fixed: bool) -> list[PositionBlock]:
    """Blocks small enough that progress is seen, and that laws of all n fit in memory."""
    smaller = []
    for block in parts:
        most = 1 << 12 if estimator == "unbiased" or fixed else 1 << 15
        step = max(1, most // (block.draft.shape[1] + block.base.shape[1]))
        smaller += [block.at(slice(at, at + step)) for at in range(0, block.positions.size, step)]
    return smaller


def _pseudo_values(sets: Sets, grid: Grid, options: Sequence[Option], estimator: str, whole: Values) -> Floats:
    """(V, S, GROUPS) sums over positions of G θ - (G - 1) θ without group g, over G."""
    out = np.empty((*whole.value.shape[:2], GROUPS))
    n, n_base = sets.reward.shape[1], sets.base_reward.shape[1]
    for g in range(GROUPS):
        keep, keep_base = (np.flatnonzero(np.arange(size) % GROUPS != g) for size in (n, n_base))
        part = evaluate(sets.pick(keep, keep_base), grid, options, estimator)
        out[:, :, g] = (GROUPS * whole.value - (GROUPS - 1) * part.value).sum(axis=2) / GROUPS
    return out
