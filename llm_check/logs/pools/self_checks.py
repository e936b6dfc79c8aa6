"""Checks of a pool's rows that need no law: numbers that must agree, repeats that cannot be chance, cut steps.

Each returns plain numbers; `doctor` decides what they mean. Rows are in the order of `PositionArrays`.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pyarrow.compute as pc

from gsi_theory.types import Floats, Ints
from llm_check.logs.pools.position_arrays import PositionArrays, pair_codes, same_text_codes

__all__ = [
    "CrossCheck",
    "Cuts",
    "Repeats",
    "Rewards",
    "StepCover",
    "check_cuts",
    "check_lengths",
    "check_repeats",
    "check_rewards",
    "cross_check",
    "logged_grid",
    "spread_by_reward",
    "unequal_repeats",
]

MODELS = ("draft", "base")
_LAGS = 512
FEW_PAIRS = 5


@dataclass(frozen=True)
class StepCover:
    """Whether a model's log-probabilities cover the step's tokens: share of rows whose token list has another length
    than token_ids, whose whole log-probability is not the sum of its tokens', or is their mean; median gap (nats)."""

    model: str
    other_length: float
    other_sum: float
    is_mean: float
    gap: float


def check_lengths(arrays: PositionArrays) -> list[StepCover]:
    """Token lists against token_ids (or n_tokens) and against the whole log-probability, for models that have them."""
    covers = []
    ids = arrays.lists("token_ids")
    expected = ids.lengths if ids is not None else arrays.tokens
    for model in MODELS:
        lists = arrays.lists(f"token_logp_{model}")
        if lists is None:
            continue
        lengths = lists.lengths
        sums, some = np.zeros(lengths.size), lengths > 0
        if some.any():
            sums[some] = np.add.reduceat(lists.values, lists.offsets[some])
        whole = arrays.floats(f"logp_{model}")
        finite = np.isfinite(whole) & np.isfinite(sums) & some
        whole, sums = np.where(finite, whole, 0.0), np.where(finite, sums, 0.0)
        gap = whole - sums
        # one part in 50 lets pass what rounding of single tokens to half precision may do
        off = finite & (np.abs(gap) > 0.5 + 0.02 * np.abs(sums))
        mean = off & (np.abs(whole - sums / np.maximum(lengths, 1)) <= 1e-3 * (1.0 + np.abs(whole)))
        other = float(np.mean(lengths != expected)) if expected is not None else 0.0
        middle = float(np.median(gap[off])) if off.any() else 0.0
        covers.append(StepCover(model, other, float(off.mean()), float(mean.mean()), middle))
    return covers


@dataclass(frozen=True)
class CrossCheck:
    """One model's log-probability of the same step in draft rows and in base rows: steps compared, median difference,
    within: mean absolute deviation from the position's own mean difference, over the positions with several steps to
    compare; spread: noise between equal rows of a source; length: mean tokens of the steps compared, 1 where none are
    logged."""

    model: str
    compared: int
    shift: float
    within: float
    positions: int
    spread: float
    length: float = 1.0


def cross_check(arrays: PositionArrays, code: Ints) -> list[CrossCheck]:
    """Equal steps of a position must have equal log-probabilities: within a source (spread) and across sources."""
    checks = []
    size = int(code.max()) + 1
    for model in MODELS:
        logp = arrays.floats(f"logp_{model}")
        use = np.isfinite(logp)
        sums, counts, squares = [], [], 0.0
        repeats = 0
        for base in (False, True):
            rows = use & (arrays.is_base == base)
            count = np.bincount(code[rows], minlength=size)
            mean = np.bincount(code[rows], weights=logp[rows], minlength=size) / np.maximum(count, 1)
            squares += float(np.sum((logp[rows] - mean[code[rows]]) ** 2))
            repeats += int(count.sum() - (count > 0).sum())
            sums.append(mean)
            counts.append(count)
        both = (counts[0] > 0) & (counts[1] > 0)
        difference = sums[0][both] - sums[1][both]
        position_of = np.zeros(size, dtype=np.int64)
        position_of[code] = arrays.position
        position = position_of[both]
        per = np.bincount(position, minlength=1)
        usual = np.bincount(position, weights=difference, minlength=1) / np.maximum(per, 1)
        several = per[position] >= 2
        within = float(np.mean(np.abs(difference - usual[position])[several])) if several.any() else 0.0
        spread = float(np.sqrt(squares / repeats)) if repeats else 0.0
        shift = float(np.median(difference)) if difference.size else 0.0
        positions = int(np.unique(position[several]).size)
        length = 1.0
        if arrays.tokens is not None and both.any():
            known = both[code] & np.isfinite(arrays.tokens)
            length = float(arrays.tokens[known].mean()) if known.any() else 1.0
        checks.append(CrossCheck(model, int(both.sum()), shift, within, positions, spread, length))
    return checks


def unequal_repeats(arrays: PositionArrays, code: Ints, model: str) -> float:
    """Share of pairs of equal steps, one draw of a source after the other, whose log-probabilities are more than half a
    nat apart; 0 below FEW_PAIRS pairs. Half precision and batching move whole steps by less."""
    logp = arrays.floats(f"logp_{model}")
    group = 2 * code + arrays.is_base
    order = np.argsort(group, kind="stable")
    pairs = np.flatnonzero(np.diff(group[order]) == 0)
    with np.errstate(invalid="ignore"):  # steps that the model cannot draw
        gaps = np.abs(np.diff(logp[order]))[pairs]
    return float(np.mean(gaps > 0.5)) if pairs.size >= FEW_PAIRS else 0.0


def spread_by_reward(arrays: PositionArrays, model: str) -> float:
    """Noise of a model's log-probabilities where neither ids nor texts tell which steps are equal, nats.

    Rows of a position with the same reward and length, to the last bit, are taken for one step where seven in ten of
    their pairs are within half a nat under both models, and half of them a fifth as far apart as rows of that length
    with other rewards are: a reward that tells few steps apart fails that. Half of the pairs differ by more than 0.95
    standard deviations. 0 where fewer than ten pairs can be compared, or three in ten are equal, as without noise.
    """
    tokens = arrays.tokens
    length = arrays.position if tokens is None else pair_codes(arrays.position, tokens.view(np.int64))
    code = pair_codes(length, arrays.floats("reward").view(np.int64))
    order = np.argsort(code, kind="stable")
    pairs = np.flatnonzero(code[order][1:] == code[order][:-1])
    with np.errstate(invalid="ignore"):  # steps that neither row's model can draw
        gaps = {name: np.abs(np.diff(arrays.floats(f"logp_{name}")[order]))[pairs] for name in MODELS}
    finite = np.isfinite(gaps["draft"]) & np.isfinite(gaps["base"])
    near = (gaps["draft"] < 0.5) & (gaps["base"] < 0.5) & finite
    agree = np.mean(gaps[model][near] == 0.0) if near.any() else 1.0
    if near.sum() < 10 or near.sum() < 0.7 * finite.sum() or agree > 0.3:
        return 0.0
    order = np.argsort(length, kind="stable")
    beside = np.flatnonzero((np.diff(length[order]) == 0) & (np.diff(code[order]) != 0))
    with np.errstate(invalid="ignore"):
        others = np.abs(np.diff(arrays.floats(f"logp_{model}")[order]))[beside]
    middle = float(np.median(gaps[model][near]))
    others = others[~np.isnan(others)]
    return middle / 0.954 if others.size and middle < 0.2 * float(np.median(others)) else 0.0


def logged_grid(arrays: PositionArrays, model: str) -> str | None:
    """ "float16" or "bfloat16" when a model's logged numbers lie on that grid: every one, tokens' or steps'.

    "sums of bfloat16": whole steps of which more than four in ten are multiples of 2⁻¹⁴ and of 16 units in the last
    place of float32, as one in 16 numbers of float32 is.
    """
    lists = arrays.lists(f"token_logp_{model}")
    values = lists.values if lists is not None else arrays.floats(f"logp_{model}")
    values = np.unique(values[np.isfinite(values)])
    # below 2^-14 half precision loses digits, and whole numbers are on any grid: neither tells anything
    values = values[(np.abs(values) > 1e-4) & (values != np.round(values))]
    if values.size < 20:
        return None
    with np.errstate(over="ignore"):
        if (values.astype(np.float16).astype(np.float64) == values).all():
            return "float16"
    single = values.astype(np.float32)
    if (single.astype(np.float64) == values).all() and not (single.view(np.uint32) & 0xFFFF).any():
        return "bfloat16"
    values = values[np.abs(values) >= 1.0]
    if lists is not None or values.size < 50:
        return None
    grid = np.maximum(2.0**-14, 16.0 * np.spacing(np.abs(values).astype(np.float32)).astype(np.float64))
    return "sums of bfloat16" if np.mean(values == np.round(values / grid) * grid) > 0.4 else None


@dataclass(frozen=True)
class Repeats:
    """lag: candidate numbers apart at which equal steps are too frequent (0: none), matches of compared there, and
    expected; impossible: pairs of equal steps whose own log-probability leaves no room for one such pair in the pool;
    rows: rows in such pairs."""

    lag: int
    matches: int
    compared: int
    expected: float
    impossible: int
    what: str


def _lag_counts(codes: Ints, lags: Ints) -> Floats:
    """Equal entries of rows (S, N) of codes that are `lag` apart, over all rows, for each lag."""
    n = codes.shape[1]
    return np.array([np.count_nonzero(codes[:, : n - lag] == codes[:, lag:]) for lag in lags.tolist()], float)


def _too_frequent(matches: Floats, compared: Floats, expected: Floats) -> Floats:
    """log of Chernoff's bound of a binomial tail above its mean; 0 below the mean."""
    rate, seen = np.clip(expected / compared, 1e-12, 1 - 1e-12), matches / compared
    high = seen > rate
    seen = np.where(high, seen, rate)
    rest = np.where(seen < 1, (1 - seen) * np.log(np.maximum(1 - seen, 1e-300) / (1 - rate)), 0.0)
    return -compared * (seen * np.log(seen / rate) + rest)


def check_repeats(arrays: PositionArrays, code: Ints, what: str, level: float, one_model: bool = False) -> Repeats:
    """Duplicated rows that were numbered anew: equal steps at a fixed distance, or repeats of what hardly ever comes.

    Draws are exchangeable, so equal steps of a set are equally frequent at every distance. A step of probability p
    repeats among N draws less than C(N, 2)·p times in expectation, so one pair below `level`/Σ C(N, 2) is significant.
    one_model: a log without probabilities, so without the second.
    """
    sizes = np.diff(arrays.starts)
    worst = Repeats(0, 0, 0, 0.0, 0, what)
    best = np.log(level)
    for n in np.unique(sizes[sizes >= 4]).tolist():
        sets = np.flatnonzero(sizes == n)
        rows = arrays.starts[sets][:, None] + np.arange(n)
        lags = (
            np.arange(1, n) if n <= _LAGS else np.unique(np.concatenate([np.arange(1, 65), [n // 4, n // 3, n // 2]]))
        )
        inner = code[rows]
        ordered = np.sort(inner, axis=1)
        matches = _lag_counts(inner, lags)
        pairs = _pairs(ordered)
        share = pairs / (n * (n - 1) / 2.0)
        compared = (n - lags) * float(sets.size)
        expected = (n - lags) * share.sum()
        bound = _too_frequent(matches, compared, expected) + np.log(lags.size)
        # Equal steps at one distance are not independent of one another: what distances scatter by is the safer scale.
        # An excess that one row in a hundred makes is no duplication of a file's rows.
        scatter = (matches - expected) / np.sqrt(compared)
        usual = 1.4826 * float(np.median(np.abs(scatter - np.median(scatter))))
        odd = (scatter > 6.0 * usual) & (matches - expected > 0.01 * compared)
        bound = np.where(odd, bound, 0.0)
        at = int(np.argmin(bound))
        if bound[at] < best:
            best = float(bound[at])
            worst = Repeats(int(lags[at]), int(matches[at]), int(compared[at]), float(expected[at]), 0, what)
    if one_model:
        return worst
    drawn = np.where(arrays.is_base, arrays.floats("logp_base"), arrays.floats("logp_draft"))
    floor = np.log(level) - np.log(np.sum(sizes * (sizes - 1) / 2.0) + 1.0)
    rare = np.flatnonzero(drawn < floor)
    impossible = 0
    if rare.size:
        _, count = np.unique(2 * code[rare] + arrays.is_base[rare], return_counts=True)
        impossible = int(np.sum(count * (count - 1) // 2))
    return Repeats(worst.lag, worst.matches, worst.compared, worst.expected, impossible, what)


def _pairs(ordered: Ints) -> Floats:
    """Equal pairs within each sorted row."""
    n = ordered.shape[1]
    total = np.zeros(ordered.shape[0])
    run = np.zeros(ordered.shape[0])
    for column in range(1, n):
        run = np.where(ordered[:, column] == ordered[:, column - 1], run + 1.0, 0.0)
        total += run
    return total


@dataclass(frozen=True)
class Rewards:
    """low, high: smallest and largest reward; outside: rows outside [0, 1]; first: table row of the first such; value;
    far: rows more than 10 spreads (1 % to 99 %) beyond them; sentinel: whether those outside are all one value beside
    ten or more values within; apart: whether there are some, all of them APART from [0, 1]."""

    low: float
    high: float
    outside: int
    first: int
    value: float
    far: int
    sentinel: bool
    apart: bool


APART = 0.25  # from [0, 1]: rewards that reach beyond it without a gap are of another range


def check_rewards(arrays: PositionArrays) -> Rewards:
    """Range of the rewards."""
    reward = arrays.floats("reward")
    outside = np.flatnonzero((reward < 0) | (reward > 1))
    left, right = np.quantile(reward, [0.01, 0.99])
    # of nearly equal rewards the few others are no fault, nor is anything within [0, 1]
    reach = 10 * (right - left) if right > left else np.inf
    far = ((reward < left - reach) | (reward > right + reach)) & ((reward < 0) | (reward > 1))
    named = np.flatnonzero(far) if far.any() and outside.size > 0.1 * reward.size else outside
    first = int(named[np.argmin(arrays.order[named])]) if named.size else -1
    value = float(reward[first]) if first >= 0 else 0.0
    low, high = float(reward.min()), float(reward.max())
    row = int(arrays.order[first]) if first >= 0 else -1
    inside = reward[(reward >= 0) & (reward <= 1)]
    sentinel = bool(np.unique(reward[outside]).size == 1 and np.unique(inside).size >= 10)
    apart = np.maximum(-reward[outside], reward[outside] - 1.0).min(initial=np.inf) > APART
    return Rewards(low, high, int(outside.size), row, value, int(far.sum()), sentinel, bool(apart and outside.size))


@dataclass(frozen=True)
class Cuts:
    """share of rows cut by the cap on length, and how it is known: "finish_reason", "n_tokens", or "" (unknown)."""

    share: float
    known_by: str
    longest: int


def check_cuts(arrays: PositionArrays) -> Cuts:
    """Steps cut at the cap: by finish_reason, else by a pile of different steps of exactly the largest length.

    A cap cuts different steps at one length; one step drawn again and again, the longest by chance, is no evidence.
    """
    tokens = arrays.tokens
    longest = int(np.nanmax(tokens)) if tokens is not None else 0
    if arrays.has("finish_reason"):
        cut = pc.equal(arrays.column("finish_reason"), "length")
        return Cuts(float(pc.mean(pc.fill_null(cut, False)).as_py()), "finish_reason", longest)
    if tokens is None:
        return Cuts(0.0, "", 0)
    top, below = (_distinct_steps(arrays, np.flatnonzero(tokens == length)) for length in (longest, longest - 1))
    # not one long step among few, nor steps of fixed length
    piled = longest > 8 and top > 5.0 * below + 10.0 and np.unique(tokens).size > 2
    return Cuts(float(np.mean(tokens == longest)) if piled else 0.0, "n_tokens", longest)


def _distinct_steps(arrays: PositionArrays, rows: Ints) -> int:
    """Different steps among `rows`, wherever they were drawn."""
    return np.unique(same_text_codes(arrays, rows)[0]).size
