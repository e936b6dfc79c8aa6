"""How large the weights of a pool are: χ², effective sample size, supremum seen, tail; each with what is guaranteed.

Weights w of N iid draws from a law μ, in nats. Two kinds: ρ = π_B/π_S of draft draws (mean one is known), and the tilt
e^{βr}ρ (mean unknown, so everything is relative to Σw).

ess             (Σw)²/Σw², in [1, N].
chi2            χ² of the weighted law from μ. Known mean: mean w² − 1, unbiased. Else N Σw²/(Σw)² − 1, consistent,
                mostly too small.
chi2_low        a lower bound. Known mean: holds with confidence `level` for every law (`mean_low`). Else asymptotic: it
                assumes E w⁴ < ∞ and N large.
renyi2          log(1 + chi2), the Rényi divergence of order 2, nats.
log_largest     log of the largest weight seen.
largest_share   w_max/Σw.
beyond          the weighted law's mass on weights above the largest of N − 1 draws (Good–Turing): w_max/N where one
                draw alone has the largest weight, else 0. Known mean: unbiased, for any of N draws exceeds all others
                with equal chance. (w_max/N itself is too large on average where the largest weight can be drawn twice:
                it counts ties.) Else w_max/Σw, relative to the mean of the pool.
unseen          1 − (1−level)^{1/N}: with confidence `level`, what is heavier than all draws has less than this
                probability under μ, whatever the law.

No draws prove χ² to be small: an unseen outcome of tiny probability can hold any weight. So no upper bound is given.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike
from scipy.optimize import brentq
from scipy.special import ndtri

from gsi_theory.arrays.logscale import log_sum
from gsi_theory.arrays.namespace import as_number, as_numbers
from gsi_theory.errors import InputError, quoted
from gsi_theory.estimate import refuse
from gsi_theory.instance import LARGEST_NATS
from gsi_theory.types import Floats

__all__ = ["Coverage", "chi2_from_base", "effective_size", "mean_low", "mean_lows", "weight_coverage"]

_STEPS = 60  # far more than any search takes
_ENTRIES = 1 << 22  # of the largest array of bets
BETS, BOLDEST = np.linspace(0.02, 0.98, 25), 0.995


@dataclass(frozen=True)
class Coverage:
    """The numbers of the table above; log_largest in nats; guaranteed: whether chi2_low holds without assumption."""

    size: int
    ess: float
    chi2: float
    chi2_stderr: float
    chi2_low: float
    guaranteed: bool
    renyi2: float
    log_largest: float
    largest_share: float
    beyond: float
    unseen: float


def weight_coverage(log_weight: ArrayLike, known_mean: bool = False, level: float = 0.95) -> Coverage:
    """Coverage of weights log_weight (N,) in nats (-inf legal); known_mean: their mean under μ is exactly one.

    Raises InputError on NaN, +inf, an empty pool, or weights that are all zero.
    """
    weight, level = _checked(log_weight), _level(level)
    if not isinstance(known_mean, bool | np.bool_):
        raise InputError(f"known_mean = {quoted(known_mean)}: give True or False")
    size = weight.size
    total, square = float(log_sum(weight)), float(log_sum(2.0 * weight))
    share = np.exp(weight - total)
    ess = effective_size(weight)
    with np.errstate(over="ignore"):
        if known_mean:
            # in units of the largest square, which itself may be no float
            top = 2.0 * max(float(weight.max()), -300.0)
            around = float(np.exp(2.0 * weight - top).std(ddof=1)) if size > 1 else np.inf
            chi2, spread = float(np.exp(square) / size - 1.0), around * float(np.exp(top)) if around > 0 else 0.0
            stderr = spread / np.sqrt(size)
            low = max(float(np.exp(mean_low(2.0 * weight, level))) - 1.0, 0.0)
        else:
            chi2 = size / ess - 1.0
            # log(1+χ²) = log Σw² − 2 log Σw + log N: candidate j enters by N(share of w² − 2 share of w + 1/N).
            slope = np.exp(2.0 * weight - square) - 2.0 * share
            spread = float(np.sum((slope - slope.mean()) ** 2))
            log_stderr = np.sqrt(size / (size - 1) * spread) if size > 1 else np.inf  # one draw shows no spread
            stderr = (1.0 + chi2) * log_stderr
            low = max((1.0 + chi2) * float(np.exp(-ndtri(level) * log_stderr)) - 1.0, 0.0)
    return Coverage(
        size=size,
        ess=ess,
        chi2=_finite(chi2),
        chi2_stderr=_finite(stderr) if size > 1 else np.inf,
        chi2_low=_finite(low),
        guaranteed=known_mean,
        renyi2=square - np.log(size) if known_mean else float(np.log(size / ess)),
        log_largest=float(weight.max()),
        largest_share=float(share.max()),
        beyond=_beyond(weight, np.log(size) if known_mean else total),
        unseen=float(-np.expm1(np.log1p(-level) / size)),
    )


def effective_size(log_weight: ArrayLike) -> float:
    """(Σw)²/Σw², in [1, N], of weights log_weight (N,) in nats. Raises InputError as `weight_coverage`."""
    weight = _checked(log_weight)
    share = np.exp(weight - float(log_sum(weight)))
    return float(np.clip(1.0 / np.sum(share * share), 1.0, weight.size))


def chi2_from_base(log_ratio: ArrayLike, level: float = 0.95) -> tuple[float, float]:
    """(χ²(π_B‖π_S), its lower bound) from base draws' log-ratios (N_B,): E_{π_B} ρ − 1, a mean of ρ and not of ρ².

    Unbiased; +inf where a base draw has ℓ = +inf, out of the draft's reach. The bound holds with confidence `level` for
    every pair of policies.
    """
    ratio = as_numbers(log_ratio, "log_ratio")
    if ratio.ndim == 1 and (ratio == np.inf).any():
        _level(level)
        return np.inf, np.inf  # the base drew what the draft cannot
    ratio = _checked(ratio)
    with np.errstate(over="ignore"):
        mean = float(np.exp(log_sum(ratio) - np.log(ratio.size))) - 1.0
        return _finite(mean), _finite(max(float(np.exp(mean_low(ratio, level))) - 1.0, 0.0))


def mean_low(log_values: ArrayLike, level: float = 0.95, bold: float = 0.0) -> float:
    """Log of a lower confidence bound for the mean of X ≥ 0 from iid draws, log_values (N,); no other assumption.

    If E X ≤ m then Π (1 + λ(X_i/m − 1)) has mean ≤ 1 for λ in [0, 1); so has its average over λ. By Markov's inequality
    it reaches 1/(1−level) with probability at most 1 − level: every m at which it does is refused. The bound is the
    largest such m (the product falls as m grows); -inf where there is none. bold: the share of the average on
    λ = 0.995, which pays where X hardly varies; the rest is spread evenly.
    """
    values, level, cure = _checked(log_values, zero=True), _level(level), "give a share from 0, below 1"
    bold = as_number(bold, "bold", cure)
    if not 0.0 <= bold < 1.0:
        raise InputError(f"bold = {bold}: {cure}")
    top = float(values.max())
    if top == -np.inf:
        return -np.inf
    goal = -np.log1p(-level)
    low, high = top - 50.0 - np.log(values.size), top  # at m = max X no factor exceeds one
    if _evidence(values, low, bold) < goal:
        return -np.inf
    return float(brentq(lambda m: _evidence(values, m, bold) - goal, low, high, xtol=1e-9)) - 1e-9


def mean_lows(values: Floats, level: float, bold: float) -> Floats:
    """`mean_low` of each column of values (N, C) ≥ 0, as numbers and not logs, by one search for all of them."""
    top = values.max(axis=0)
    out = np.zeros(top.shape)
    live = np.flatnonzero(top > 0)
    bets = np.append(BETS, BOLDEST)[:, None, None]
    log_share = np.log(np.append(np.full(BETS.size, (1.0 - bold) / BETS.size), bold))[:, None]
    goal = -np.log1p(-_level(level))
    for at in range(0, live.size, max(1, _ENTRIES // (bets.size * len(values)))):
        chosen = live[at : at + max(1, _ENTRIES // (bets.size * len(values)))]
        part = values[:, chosen] / top[chosen]

        def excess(log_mean: Floats, part: Floats = part) -> Floats:
            ratio = part * np.exp(-log_mean)
            terms = np.log1p(bets * (ratio - 1.0)).sum(axis=1) + log_share
            peak = terms.max(axis=0)
            return np.asarray(peak + np.log(np.exp(terms - peak).sum(axis=0)) - goal)

        high = np.log(part.mean(axis=0))  # where no bet has won anything
        below, reach = excess(high), 0.05
        low, above = high, below
        while reach < 60.0 + np.log(len(values)) and (above < 0).any():
            high, below = np.where(above < 0, low, high), np.where(above < 0, above, below)
            low = np.where(above < 0, low - reach, low)
            above, reach = excess(low), 3.0 * reach
        known, before = above >= 0, np.full(chosen.size, -1.0)
        for _ in range(_STEPS):  # Illinois: regula falsi that halves the end that stays twice
            slope = np.where(above > below, below - above, -1.0)
            point = np.where(known, (low * below - high * above) / slope, low)
            gap = excess(point)
            up = gap >= 0
            stays = up == before
            high, before = np.where(up, high, point), up.astype(np.float64)
            below, above = (
                np.where(up, np.where(stays, 0.5, 1.0) * below, gap),
                np.where(up, gap, np.where(stays, 0.5, 1.0) * above),
            )
            low = np.where(up, point, low)
            if np.all(~known | (high - low < 1e-9) | (np.abs(gap) < 1e-11)):
                break
        out[chosen] = np.where(known, top[chosen] * np.exp(point - 1e-9), 0.0)
    return out


def _beyond(weight: Floats, log_total: float) -> float:
    """e^{max − log_total} where the maximum is attained once, else 0."""
    top = float(weight.max())
    with np.errstate(over="ignore"):
        return _finite(np.exp(top - log_total)) if np.count_nonzero(weight == top) == 1 else 0.0


def _evidence(values: Floats, log_mean: float, bold: float) -> float:
    ratio = np.exp(np.minimum(values - log_mean, 700.0))
    bets = np.append(BETS, BOLDEST) if bold > 0 else BETS
    factors = np.log1p(bets[:, None] * (ratio - 1.0)).sum(axis=1)
    if bold > 0:
        factors += np.log(np.append(np.full(BETS.size, (1.0 - bold) / BETS.size), bold))
        return float(log_sum(factors))
    return float(log_sum(factors) - np.log(BETS.size))


def _checked(log_weight: ArrayLike, zero: bool = False) -> Floats:
    weight = as_numbers(log_weight, "log_weight")
    if weight.ndim != 1 or weight.size == 0:
        raise InputError(f"log_weight of shape {weight.shape}: give N ≥ 1 numbers in nats")
    refuse(np.isnan(weight) | (weight == np.inf), weight, "log_weight", "give nats (-inf: weight zero)")
    far = np.isfinite(weight) & (np.abs(weight) > LARGEST_NATS)
    refuse(far, weight, "log_weight", f"give -inf or nats within ±{LARGEST_NATS:g}")
    if not zero and weight.max() == -np.inf:
        raise InputError("log_weight: every weight is zero, so the pool says nothing of the weighted law")
    return weight


def _level(value: float) -> float:
    cure = "give a confidence between 0 and 1"
    level = as_number(value, "level", cure)
    if not 0.0 < level < 1.0:
        raise InputError(f"level = {level}: {cure}")
    return level


def _finite(value: float) -> float:
    return float(min(value, np.finfo(np.float64).max))
