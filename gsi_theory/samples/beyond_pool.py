"""pass@n and best-of-n for more draws a prompt than a log has (M49): what is certain, and what a model says.

`guaranteed_low` and `guaranteed_high` hold together with their level for every population that the prompts are iid
from: a quarter of the prompts, dealt at random, chooses the weights of a linear bound (`beyond_bounds`), proved for
every law of difficulties; the others bound its mean by betting. They widen fast with n/N, and where rare successes
may hide, 1 is never excluded.

`estimate`, `low`, `high` are a model's: of difficulties for pass@n (`pass_model`), of how the value depends on the
reward's rank for best-of-n (`extrapolate`). The model is asked to foretell the log itself, N from N/2 and from N/4: it
answers up to 2N where its interval from the halves holds what the log shows, up to 4N where that from the quarters does
too, else `reason` says why it cannot tell. Prompts may have different N; those with at least half of the prompts' N try
the model.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import ArrayLike

from gsi_theory.arrays.namespace import as_numbers
from gsi_theory.errors import InputError
from gsi_theory.samples.beyond_bounds import CELLS, LinearBound, binomials, count_bound, rank_bound
from gsi_theory.samples.beyond_rows import count_rows, rank_rows, reward_rows, share_sizes, thinned
from gsi_theory.samples.extrapolate import LEAST_SIZE, extrapolated
from gsi_theory.samples.intervals import bounded_mean
from gsi_theory.samples.pass_model import CountTable, profile
from gsi_theory.types import Floats, Ints, Record

__all__ = ["Beyond", "beyond_best", "beyond_pass", "by_reward"]

_DESIGN, _FEWEST = 4, 20  # every fourth prompt designs, of 20 or more
_PRIOR, _GRID, _STEPS = 2.0, 80, 30  # of a design: prompts' worth of flat difficulties, difficulties, steps of EM
_PARTS = (2, 4)  # of its draws that a log is foretold from
_EXACT = 4  # successes up to which the model counts exactly, or a quarter of N if that is more

Rows = Callable[[Ints, int], Floats]  # (numbers of prompts, size) -> rows
Foretold = Callable[[Ints, Ints, int], tuple[float, float, float]]  # (prompts, their sizes, n) -> estimate, low, high


@dataclass(frozen=True)
class Beyond:
    """A best-of-n mean at one n; None where it cannot be told, `reason` says why ("" where everything can)."""

    n: int
    selector: str
    value: str
    estimate: float | None
    low: float | None
    high: float | None
    guaranteed_low: float | None
    guaranteed_high: float | None
    reason: str = ""

    def record(self) -> Record:
        """The fields as a JSON object."""
        return dict(vars(self))


def by_reward(values: ArrayLike, reward: ArrayLike) -> Floats:
    """Values (N,) of a prompt's draws by ascending reward, equal rewards sharing the mean of theirs."""
    worth, key = as_numbers(values, "values"), as_numbers(reward, "reward")
    _, at, count = np.unique(key, return_inverse=True, return_counts=True)
    return np.asarray(np.repeat(np.bincount(at, worth) / count, count))


def beyond_pass(
    draws: ArrayLike, right: ArrayLike, ns: Sequence[int], rng: np.random.Generator, level: float = 0.9,
    sure: float | None = 0.95,
) -> list[Beyond]:  # fmt: skip
    """pass@n for every n, from draws N (P,) and right ones (P,) of each prompt; level: of the model, sure: of the
    bounds, None for none.

    Raises InputError for counts that are none, c > N, fewer than two prompts.
    """
    size, count = as_numbers(draws, "draws"), as_numbers(right, "right")
    wrong = (size < 1) | (count < 0) | (count > size) | (size != np.floor(size)) | (count != np.floor(count))
    if size.ndim != 1 or size.shape != count.shape or size.size < 2 or wrong.any():
        raise InputError(
            f"draws of shape {size.shape}, right of shape {count.shape}: give whole numbers 0 ≤ right ≤ draws of each "
            "of 2 or more prompts"
        )
    n_draws, n_right = size.astype(np.int64), count.astype(np.int64)

    def rows(which: Ints, part: int) -> Floats:
        return count_rows(n_draws[which], n_right[which], part)

    def model(which: Ints, sizes: Ints, n: int) -> tuple[float, float, float]:
        every = np.unique(sizes).tolist()
        tables = [_histogram(n_draws[w], n_right[w], part) for part in every for w in [which[sizes == part]]]
        return profile(CountTable(tuple(every), tuple(tables)), n, level)

    def shown(which: Ints, n: int) -> float:
        return float(np.mean([1.0 - thinned(int(n_draws[i]), count[[i]], n, 2)[0, 0] for i in which]))

    every = [
        Beyond(n, "pass_at_k", "correct", None, None, None, *_guaranteed(n_draws, rows, n, rng, sure, False))
        for n in _numbers(ns)
    ]
    return _with_model(every, n_draws, model, shown, 2)


def _histogram(draws: Ints, right: Ints, size: int) -> Floats:
    """How many prompts have 0, 1, ..., or more right of `size` draws, subsets shared."""
    cells = min(size, max(_EXACT, size // 4)) + 1
    return np.asarray(
        sum(
            thinned(count, right[draws == count].astype(np.float64), size, cells).sum(axis=0)
            for count in np.unique(draws).tolist()
        )
    )


def beyond_best(
    values: Sequence[Floats], ns: Sequence[int], rng: np.random.Generator, value: str,
    bounds: tuple[float, float] | None, level: float = 0.9, sure: float | None = 0.95,
) -> list[Beyond]:  # fmt: skip
    """Best-of-n's mean for every n, from each prompt's values (N,) by ascending reward (`by_reward`).

    value: "reward", where the values are the rewards, or the name of another; bounds: the least and largest value there
    is, None where nobody knows, and then nothing is guaranteed. Raises InputError for values out of bounds, rewards
    that do not ascend, fewer than two prompts.
    """
    draws = np.array([v.size for v in values], dtype=np.int64)
    if draws.size < 2 or (draws < 1).any():
        raise InputError(f"{draws.size} prompts: give the values of 2 or more, each of 1 draw or more")
    low, high = bounds or (0.0, 1.0)
    if bounds is not None and (not low < high or any(v.min() < low or v.max() > high for v in values)):
        raise InputError(f"bounds {low!r}, {high!r}: give the least and the largest value there is")
    if value == "reward" and any((np.diff(v) < 0).any() for v in values):
        raise InputError("rewards that do not ascend: sort them within each prompt")
    scaled = [(v - low) / (high - low) for v in values]
    ranked = value != "reward"

    def rows(which: Ints, part: int) -> Floats:
        return (rank_rows if ranked else reward_rows)([scaled[i] for i in which], part)

    def model(which: Ints, sizes: Ints, n: int) -> tuple[float, float, float]:
        every = np.unique(sizes).tolist()
        return extrapolated({m: rank_rows([scaled[i] for i in which[sizes == m]], m) for m in every}, n, level)

    def shown(which: Ints, n: int) -> float:
        return float(np.mean([rank_rows([scaled[i]], n)[0, 0] for i in which]))

    every = []
    for n in _numbers(ns):
        level_of = None if bounds is None else sure
        sure_low, sure_high = _guaranteed(draws, rows, n, rng, level_of, ranked)
        every.append(Beyond(n, "best_of_n", value, None, None, None, sure_low, sure_high))
    told = _with_model(every, draws, model, shown, LEAST_SIZE, (0.0, 1.0) if bounds is not None else None)
    return [_rescaled(one, low, high - low) for one in told]


def _rescaled(one: Beyond, low: float, width: float) -> Beyond:
    def scaled(number: float | None) -> float | None:
        return None if number is None else low + width * number

    return replace(
        one,
        estimate=scaled(one.estimate),
        low=scaled(one.low),
        high=scaled(one.high),
        guaranteed_low=scaled(one.guaranteed_low),
        guaranteed_high=scaled(one.guaranteed_high),
    )


def _numbers(ns: Sequence[int]) -> list[int]:
    if not ns or any(n != int(n) or n < 1 for n in ns):
        raise InputError(f"n = {list(ns)!r}: give whole numbers, 1 or more")
    return [int(n) for n in ns]


def _count_design(size: int, seen: Floats) -> tuple[Floats, Floats]:
    """Rows and masses of every count: a law of difficulties, Beta(½, ½) at first, moved some steps towards rows (D, S).

    It mixes binomials, as counts do: under the rows themselves no weights would be too large.
    """
    p = np.sin(np.linspace(0.01, 0.5 * np.pi - 0.01, _GRID)) ** 2
    law, share = binomials(size, p, min(size, CELLS) + 1), np.full(_GRID, 1.0 / _GRID)
    if seen.size:
        weight = seen.sum(axis=0) + _PRIOR * (share @ law)
        for _ in range(_STEPS):
            share = share * (law @ (weight / np.maximum(share @ law, 1e-300))) / weight.sum()
    return np.eye(law.shape[1]), share @ law


def _rank_design(size: int, rng: np.random.Generator) -> tuple[Floats, Floats]:
    """Rows of prompts with a rank-blind value, right or wrong, in pairs of mean one half; and masses."""
    drawn = [(rng.random(size) < p).astype(np.float64) for p in rng.beta(0.5, 0.5, 16)]
    rows = rank_rows([*drawn, *(1.0 - one for one in drawn)], size)
    return rows, np.ones(rows.shape[0])


def _guaranteed(
    draws: Ints, rows: Rows, n: int, rng: np.random.Generator, level: float | None, ranked: bool
) -> tuple[float | None, float | None]:
    """Bounds in [0, 1] that hold together at `level`; none are made for None."""
    if level is None:
        return None, None
    order = rng.permutation(draws.size)
    first = order.size // _DESIGN if order.size >= _FEWEST else 0
    design, rest = order[:first], np.sort(order[first:])
    sizes, solve = share_sizes(draws), rank_bound if ranked else count_bound
    low, high = np.empty(rest.size), np.empty(rest.size)
    spans: list[tuple[LinearBound, LinearBound]] = []
    for size in np.unique(sizes[rest]).tolist():
        mine = design[sizes[design] == size]
        table, mass = _rank_design(size, rng) if ranked else _count_design(size, rows(mine, size))
        pair = [solve(size, n, upper, table, mass, float(rest.size)) for upper in (False, True)]
        there = sizes[rest] == size
        known = rows(rest[there], size)
        low[there], high[there] = (known @ bound.weights + bound.offset for bound in pair)
        spans.append((pair[0], pair[1]))
    ends = []
    for k, values in enumerate((low, high)):
        least = min(pair[k].low + pair[k].offset for pair in spans)
        most = max(pair[k].high + pair[k].offset for pair in spans)
        if most - least < 1e-9:  # a constant: nothing is drawn
            ends.append(float(values[0]))
            continue
        found = bounded_mean(np.clip(values, least, most), least, most, level)
        ends.append(float(found.low if k == 0 else found.high))
    return float(np.clip(ends[0], 0.0, 1.0)), float(np.clip(ends[1], 0.0, 1.0))


def _with_model(
    every: list[Beyond], draws: Ints, model: Foretold, shown: Callable[[Ints, int], float], least: int,
    bounds: tuple[float, float] | None = (0.0, 1.0),
) -> list[Beyond]:  # fmt: skip
    """The model's answers where it foretold the log, by halves up to twice its draws, by quarters up to four times."""
    top = int(np.sort(draws)[(draws.size - 1) // 2])  # half of the prompts have as many
    tried = np.flatnonzero(draws >= top)
    drawn = f"{top} draws a prompt are" if top > 1 else "1 draw a prompt is"
    reach, reason = 0, f"{drawn} too few to try a model on parts of them"
    for part in _PARTS:
        if top // part < least:
            break
        _, low, high = model(tried, np.full(tried.size, top // part), top)
        there = shown(tried, top)
        if not low - 1e-9 <= there <= high + 1e-9:
            reason = (
                f"from {top // part} draws a prompt the model foretells {low:.4g} to {high:.4g} for {top}, where the "
                f"log shows {there:.4g}"
            )
            break
        reach, reason = part * top, f"the model is tried up to {part * top} draws, {part} times those of the log"
    told = []
    sizes = share_sizes(draws)
    if reach and int(sizes.min()) < least:
        reach, reason = 0, f"some prompts have fewer than {least} draws, too few for the model"
    for one in every:
        if one.n > reach:
            told.append(replace(one, reason=f"cannot tell: {reason}"))
            continue
        value, low, high = model(np.arange(draws.size), sizes, one.n)
        least_sure, most_sure = one.guaranteed_low, one.guaranteed_high
        if least_sure is not None and most_sure is not None and (high < least_sure or low > most_sure):
            told.append(replace(one, reason="cannot tell: the model's interval lies outside what is certain"))
            continue
        if bounds is not None:
            value, low, high = (float(np.clip(x, *bounds)) for x in (value, low, high))
        told.append(replace(one, estimate=value, low=low, high=high))
    return told
