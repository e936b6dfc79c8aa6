"""What a pool's weights may be used for: the largest n and β at which a prediction from it is to be trusted.

A prediction is unbiased at every n up to the pool's size, whatever the weights (M31). What fails is its interval, where
the pool holds too few sets of n to show how far they scatter. The interval is the mean ± t standard errors, t Student's
97.5 % quantile at the degrees of freedom of the error's square (Satterthwaite): with d_j candidate j's share in the
error at a position (`leave_one_out`), v = Σ_j d_j², they are 2(Σv)²/Σ [Σ_j d_j⁴ − v²/N], sums over positions, and no
more than 2(Σv)²/Σ [2v²/(N − 1)], those of normal candidates. Beyond half of the candidates all sets overlap, and where
a set succeeds or fails as a whole they hardly differ: there the interval is no shorter than at half. Usable is what
passes

    width     the interval is shorter than a tenth of the reward's range: a wider one says little, and is no prediction
    sets      the pool holds 8 disjoint sets of n: P·⌊N/n⌋
    bounds    the mean is at least two such sets away from the nearest bound of the reward: P·⌊N/n⌋ · distance/range
              ≥ 2; where all but never a set fails the spread shows nothing of those that do
    drafts    of n ≥ 2: at more than half of the positions the ratio's effective number of drafts is 1.3 or more: else
              one draft decides whatever is drawn with it

and is of a pool whose numbers belong to its draws. The constants are those at which the bench of synthetic worlds
(tests/benches/supports.py) finds that usable predictions cover, and most that cover are usable.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.special import stdtrit

from gsi_theory.errors import InputError
from gsi_theory.estimate import leave_one_out
from gsi_theory.instance import beta_times
from gsi_theory.runs.terminal import counted
from gsi_theory.samples.weight_coverage import effective_size
from gsi_theory.types import Floats
from llm_check.logs.pools.pool import Pool, reward_range

__all__ = [
    "CURES",
    "SupportCell",
    "effective_drafts",
    "effective_sizes",
    "middle",
    "reward_bounds",
    "support_cells",
    "typical",
    "unsupported",
]

SHARE = 0.1  # of the reward's range, the widest interval
SETS = 8  # disjoint sets of n
AWAY = 2  # sets between the mean and a bound
ESS = 1.3  # effective drafts at half of the positions
CURES = ("more drafts a prompt", "shorter steps", "a smaller β", "a draft nearer the base")
MOST, MOST_DRAFTS = 200, 512  # positions read, evenly spread, and drafts of each
LARGEST_N = 256  # tried where none is asked for: twice as much costs six times as long


@dataclass(frozen=True)
class SupportCell:
    """A prediction at (beta, n): mean reward over positions, its standard error with the positions held fixed, half the
    width of its 95 % interval, and `fault`, the first test that it fails in words, "" where the weights may be used."""

    beta: float
    n: int
    reward: float
    stderr: float
    half: float
    fault: str


def middle(values: Sequence[float]) -> float:
    """The median; of two middle ones the upper: no mean of infinities."""
    return float(np.sort(values)[len(values) // 2])


def reward_bounds(pool: Pool) -> tuple[float, float]:
    """Range of the reward: as the pool's provenance states it, else [0, 1] where all lie in it, else the pool's own."""
    low, high = reward_range(pool.metadata)
    reward = pool.arrays.floats("reward")
    if np.isfinite([low, high]).all():
        return low, high
    inside = reward.min() >= 0.0 and reward.max() <= 1.0
    return (0.0, 1.0) if inside else (float(reward.min()), float(reward.max()))


def _drafts(pool: Pool) -> tuple[list[tuple[Floats, Floats]], int]:
    """(rewards, log-ratios) of the drafts of at most MOST positions, and how many positions have drafts."""
    arrays = pool.arrays
    keys = np.flatnonzero(~arrays.set_is_base)
    reward, ratio = arrays.floats("reward"), arrays.log_ratio
    drafts = []
    for at in keys[np.unique(np.linspace(0, keys.size - 1, min(MOST, keys.size)).astype(int))]:
        part = slice(int(arrays.starts[at]), min(int(arrays.starts[at + 1]), int(arrays.starts[at]) + MOST_DRAFTS))
        if (ratio[part] > -np.inf).any() and (ratio[part] < np.inf).all():
            drafts.append((reward[part].copy(), ratio[part].copy()))
    return drafts, int(keys.size)


def effective_sizes(pool: Pool) -> list[float]:
    """Effective number of drafts by the ratio π_B/π_S at each of at most MOST positions; none where no draft has a
    weight."""
    return [effective_size(ratio) for _, ratio in _drafts(pool)[0]]


def typical(sizes: Sequence[float]) -> float:
    """The median of effective numbers of drafts; of two middle ones the lower, 0 of none: where half of the positions
    have fewer, one draft decides."""
    return float(np.sort(sizes)[(len(sizes) - 1) // 2]) if len(sizes) else 0.0


def effective_drafts(pool: Pool) -> float:
    """Effective number of drafts by the ratio π_B/π_S, median over positions; 0 where no draft has a weight."""
    return typical(effective_sizes(pool))


def unsupported(ess: float, n: int) -> str:
    """Why no answer at n may rest on the weights of a pool of `ess` effective drafts, however wide its interval; ""
    where it may."""
    return f"{ess:.1f} effective drafts at half of the positions: one decides" if n > 1 and ess < ESS else ""


def support_cells(pool: Pool, betas: Sequence[float], ns: Sequence[int] | None = None) -> list[SupportCell]:
    """Every β × n with what speaks against using the pool's weights there; ns: 1, 2, 4, … up to all of the candidates,
    256 at most, by default. Empty without drafts of positive weight. Raises InputError as `beta_times`, and for n
    below 1."""
    drafts, positions = _drafts(pool)
    if not drafts:
        return []
    size = min(reward.size for reward, _ in drafts)
    if ns is None:
        ns = [1 << k for k in range(min(size, LARGEST_N).bit_length())]
    if min(ns) < 1:
        raise InputError(f"n = {min(ns)}: give 1 or more")
    low, high = reward_bounds(pool)
    ess = typical([effective_size(ratio) for _, ratio in drafts])
    known = [n for n in ns if n <= size]
    held = positions / len(drafts)
    cells = []
    for beta in betas:
        mean, error, half = _means(drafts, beta, [*known, max(size // 2, 1)], positions)
        half = np.where(2 * np.array([*known, 0]) > size, np.maximum(half, half[-1]), half)
        for n in ns:
            if n > size:
                fault = f"n = {n}, but {counted(size, 'draft')} at a position: nothing can be said beyond the pool"
                cells.append(SupportCell(beta, n, np.nan, np.inf, np.inf, fault))
                continue
            at = known.index(n)
            sets = held * sum(reward.size // n for reward, _ in drafts)
            fault = _fault(n, float(mean[at]), float(half[at]), (low, high), size, sets, ess)
            cells.append(SupportCell(beta, n, float(mean[at]), float(error[at]), float(half[at]), fault))
    return cells


def _means(
    drafts: Sequence[tuple[Floats, Floats]], beta: float, ns: Sequence[int], positions: int
) -> tuple[Floats, Floats, Floats]:
    """Mean over positions of the predicted reward under the softmax rule, its standard error, and half the width of its
    95 % interval, (M,) each."""
    if not ns:
        return np.zeros(0), np.zeros(0), np.zeros(0)
    parts = [leave_one_out(reward, beta_times(reward, beta) + ratio, ns) for reward, ratio in drafts]
    mean = np.mean([part.value[0] for part in parts], axis=0)
    if min(part.deviation.shape[-1] for part in parts) == 1:
        return mean, np.full(mean.shape, np.inf), np.full(mean.shape, np.inf)
    unit = np.max([np.abs(part.deviation[0]).max(axis=-1) for part in parts], axis=0)
    unit = np.where(unit > 0, unit, 1.0)
    squares = [(part.deviation[0] / unit[:, None]) ** 2 for part in parts]
    square, fourth = (np.array([np.sum(part**power, axis=-1) for part in squares]) for power in (1, 2))
    sizes = np.array([part.shape[-1] for part in squares])[:, None]
    normal = np.sum(2.0 * square**2 / (sizes - 1), axis=0)
    scatter = np.maximum(np.sum(fourth - square**2 / sizes, axis=0), normal)
    total = np.sum(square, axis=0)
    degrees = np.divide(2.0 * total**2, scatter, out=np.ones_like(total), where=scatter > 0)
    error = unit * np.sqrt(total / positions / len(drafts))
    return mean, error, error * stdtrit(np.maximum(degrees, 1.0), 0.975)


def _fault(n: int, mean: float, half: float, bounds: tuple[float, float], size: int, sets: float, ess: float) -> str:
    low, high = bounds
    span = high - low
    if n >= 2 and ess < ESS:
        return f"{ess:.1f} effective drafts of {size} at half of the positions: one draft decides, whatever its reward"
    if sets < SETS:
        return f"{sets:.0f} disjoint sets of n = {n} drafts in the pool: {SETS} show how far they scatter"
    if span > 0 and sets * min(mean - low, high - mean) < AWAY * span:
        return f"a mean reward of {mean:.3g} at n = {n} so near a bound that no set of n may show what differs"
    if span > 0 and 2.0 * half >= SHARE * span:
        width = f"{mean:.3g} ± {half:.2g}"
        return f"reward at n = {n} is {width} (95 %): wider than a tenth of its range of {span:.3g}"
    return ""
