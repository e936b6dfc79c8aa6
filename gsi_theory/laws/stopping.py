"""Rules that draw until a draw is kept, at most N times, and then return the best of what they drew (M36, M38).

The law of what is returned, of the number of draws and its mean, exactly, for any chance of keeping each outcome:

    threshold θ          `threshold_keep`; with E(r - θ)_+ = c, `reservation`, the best rule at a price c a draw
    n expected draws     `keep_for_draws`: the best in reward with n expected and at most N draws
    a law P ≤ nμ         `keep_of`: the rejection that attains M36, e.g. of `adaptive_law`
    θ from pilot draws   `pilot_stopping`: the k-th largest of m rewards, where μ is not known
    θ learned on the way `falling_stopping`, of thresholds that fall with the draws, e.g. `learned_thresholds`

Rewards r and log-masses (K,) of one law μ, NumPy or torch; numbers of draws from 1 to 2^53, most=None for no cap.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.optimize import brentq
from scipy.special import betainc

from gsi_theory.arrays.namespace import as_number, as_numbers, sum_tolerance
from gsi_theory.divergence import log_pair
from gsi_theory.errors import InputError
from gsi_theory.laws.draws import as_count, as_means
from gsi_theory.laws.reward_levels import LARGEST
from gsi_theory.types import Array, Floats, Ints

__all__ = [
    "FallingStopping",
    "PilotStopping",
    "StoppingLaw",
    "best_capped_reward",
    "falling_stopping",
    "keep_for_draws",
    "keep_of",
    "learned_thresholds",
    "pilot_stopping",
    "reservation",
    "stopping_law",
    "threshold_keep",
]


@dataclass(frozen=True, eq=False)
class StoppingLaw:
    """log_prob (K,) of what is returned, nats; kept, rejected: the chances of one draw, sums of positive terms; most:
    the largest number of draws, inf for none; error: a bound on the TV error of the numbers."""

    log_prob: Floats
    kept: float
    rejected: float
    most: float
    error: float

    @property
    def mean_draws(self) -> float:
        """E D = (1 - (1-α)^N)/α, α = kept; relative error a few K units of rounding."""
        return _mean_draws(self.kept, self.rejected, self.most)

    def still_drawing(self, draws: Array) -> Floats:
        """P(D > d) = (1-α)^d for d < N, 0 from N on; d whole, ≥ 0, any shape."""
        number = as_numbers(draws, "draws")
        if not bool(((number >= 0) & (number == np.floor(number))).all()):
            raise InputError(f"draws {number.min(initial=0.0):g}: give whole numbers, 0 or more")
        return np.where(number < self.most, _power(self.kept, self.rejected, number), 0.0)


@dataclass(frozen=True, eq=False)
class PilotStopping:
    """Stopping at a threshold T that pilot draws set: prob (K,) of what is returned; mean_draws, pilots not counted;
    thresholds (L,) descending and chances (L,) of each; error: a bound on the TV error of the numbers."""

    prob: Floats
    mean_draws: float
    thresholds: Floats
    chances: Floats
    error: float


@dataclass(frozen=True, eq=False)
class FallingStopping:
    """Stopping when the best so far reaches a threshold that falls: prob (K,) of what is returned; still_drawing (N,):
    P(D > d) for d = 0..N-1; mean_draws; error: a bound on the TV error of the numbers."""

    prob: Floats
    still_drawing: Floats
    mean_draws: float
    error: float


@dataclass(frozen=True)
class _Levels:
    """Rewards with mass: values (L,) descending, mass (L,), above (L,) and upto (L,): masses strictly above and at or
    below a level, both sums of positive terms; level (K,) of every outcome, L for those without mass."""

    values: Floats
    mass: Floats
    above: Floats
    upto: Floats
    level: Ints
    log_mass: Floats


def _levels(score: Array, log_mass: Array) -> _Levels:
    """Raises InputError on NaN, infinite scores, shapes other than (K,), masses that do not sum to one."""
    _, masses, _ = log_pair(log_mass, log_mass)
    logs, values = as_numbers(masses, "log_mass"), as_numbers(score, "reward")
    if values.ndim != 1 or values.shape != logs.shape or not bool((np.abs(values) <= LARGEST).all()):
        raise InputError(f"reward {values.shape} and log_mass {logs.shape}: give K finite rewards and K logs")
    total = float(np.exp(logs).sum())
    if not abs(total - 1.0) <= sum_tolerance(log_mass):
        raise InputError(f"log_mass: the masses sum to {total:.9g}, give log-probabilities that sum to 1")
    logs = logs - np.log(total)
    some = np.isfinite(logs)
    ordered, inverse = np.unique(-values[some], return_inverse=True)
    level = np.full(values.size, ordered.size)
    level[some] = inverse
    mass: Floats = np.bincount(inverse, weights=np.exp(logs[some])).astype(np.float64)
    above = np.concatenate([[0.0], np.cumsum(mass)[:-1]])
    upto: Floats = np.cumsum(mass[::-1])[::-1]
    return _Levels(np.asarray(-ordered, dtype=np.float64), mass, above, upto, level, logs)


def _most(most: int | None) -> float:
    return np.inf if most is None else float(as_count(most, "most"))


def _power(part: float | Floats, rest: float | Floats, number: float | Floats) -> Floats:
    """rest^number, part + rest = 1, from the smaller of the two; 1 at number 0."""
    number = np.asarray(number, dtype=np.float64)
    logs = np.where(number == 0, 0.0, _log_rest(part, rest))
    endless = np.isinf(number)
    return np.asarray(
        np.where(endless, logs == 0.0, np.exp(np.where(endless, 0.0, number) * np.where(endless, 0.0, logs)))
    )


def _log_rest(part: float | Floats, rest: float | Floats) -> Floats:
    """log rest, part + rest = 1, from the smaller of the two."""
    part, rest = np.asarray(part, dtype=np.float64), np.asarray(rest, dtype=np.float64)
    with np.errstate(divide="ignore"):
        return np.where(part < 0.5, np.log1p(-np.minimum(part, 0.5)), np.log(np.minimum(rest, 1.0)))


def _mean_draws(kept: float, rejected: float, most: float) -> float:
    if kept == 0.0:
        return most
    if most == np.inf:
        return 1.0 / kept
    return float(-np.expm1(most * _log_rest(kept, rejected)) / kept)


def stopping_law(log_mass: Array, score: Array, log_keep: Array, most: int | None = None) -> StoppingLaw:
    """Draw from μ, keep a draw y with chance e^{log_keep(y)}; after `most` draws without one, the best score of all.

    With a = e^{log_keep}, α = Σ μa, and F(s) the mass Σ μ(1-a) of scores up to s: P(y) = μ(y)a(y)(1 - (1-α)^N)/α, and
    (F(s)^N - F(s-)^N) shared in proportion to μ(1-a) among the outcomes of score s. All (K,), log_keep ≤ 0 in nats.
    Error: TV a few K units of rounding, at every N. Raises InputError on shapes, NaN, log_keep above 0, bad `most`, and
    without a cap where nothing is ever kept.
    """
    levels, number = _levels(score, log_mass), _most(most)
    keep = as_numbers(log_keep, "log_keep")
    if keep.shape != levels.log_mass.shape or not bool((keep <= 0.0).all()):
        raise InputError(f"log_keep of shape {keep.shape}: give K logs of chances, at most 0")
    taken, left = np.exp(keep + levels.log_mass), -np.expm1(keep) * np.exp(levels.log_mass)
    kept, rejected = float(taken.sum()), float(left.sum())
    if kept == 0.0 and number == np.inf:
        raise InputError("no outcome with mass is ever kept: give `most`, the largest number of draws")
    size = levels.values.size
    rest: Floats = np.bincount(levels.level, weights=left, minlength=size + 1)[:size].astype(np.float64)
    best = _recalled(rest, kept, number)
    with np.errstate(divide="ignore", invalid="ignore"):
        share = np.append(np.where(rest > 0, best / np.where(rest > 0, rest, 1.0), 0.0), 0.0)[levels.level]
        log_prob = np.log(taken * _mean_draws(kept, rejected, number) + left * share)
    return StoppingLaw(log_prob, kept, rejected, number, 8.0 * (keep.size + 16.0) * np.finfo(float).eps)


def _recalled(rest: Floats, kept: float, number: float) -> Floats:
    """P(N draws are all rejected, their best on a level) (L,), from the rejected masses of levels in descending order.

    F^N - F'^N as F^N(1 - (F'/F)^N), F and 1 - F each a sum of positive terms.
    """
    if number == np.inf:
        return np.where(np.arange(rest.size) == 0, float(kept == 0.0), 0.0)
    upto = np.cumsum(rest[::-1])[::-1]
    above = kept + np.concatenate([[0.0], np.cumsum(rest)[:-1]])
    some = upto > 0
    size = np.where(some, upto, 1.0)
    part, below = np.where(some, rest / size, 0.0), np.where(some, np.append(upto[1:], 0.0) / size, 1.0)
    return _power(above, upto, number) * -np.expm1(number * _log_rest(part, below))


def threshold_keep(reward: Array, threshold: float, tie: float = 1.0) -> Floats:
    """log of the chances (K,) of 'keep what is above `threshold`, and with chance `tie` what is at it'."""
    values = as_numbers(reward, "reward")
    cut = as_number(threshold, "threshold", "give a number or an infinity")
    chance = as_number(tie, "tie", "give a chance from 0 to 1")
    if np.isnan(cut) or not 0.0 <= chance <= 1.0:
        raise InputError(f"threshold {cut!r}, tie {chance!r}: give a number and a chance from 0 to 1")
    with np.errstate(divide="ignore"):
        return np.where(values > cut, 0.0, np.where(values == cut, np.log(chance), -np.inf))


def keep_of(log_prob: Array, log_mass: Array, n: float) -> Floats:
    """log of the chances P/(nμ) with which draws are kept by the rejection whose law is P ≤ nμ, n expected (M36)."""
    _, law, mass = log_pair(log_prob, log_mass)
    logs, proposal = as_numbers(law, "log_prob"), as_numbers(mass, "log_mass")
    draws = float(as_means(float(n), proposal))
    some = np.isfinite(logs)
    quotient = np.where(some, logs, 0.0) - np.where(np.isfinite(proposal), proposal, np.where(some, -np.inf, 0.0))
    quotient -= np.log(draws)
    if not bool((quotient[some] <= 1e-9).all()):
        raise InputError(f"a law above n times the proposal, n = {draws:g}: no rule with n expected draws has it")
    return np.where(some, np.minimum(quotient, 0.0), -np.inf)


def reservation(reward: Array, log_mass: Array, cost: float) -> float:
    """θ with E(r - θ)_+ = c, c = cost in units of the reward, 0 or more: draw on while the best so far is below it.

    c = 0: the largest reward that has mass; c > E r - min r: E r - c, below every reward. Error: a few K units of
    rounding of osc r + c. Raises InputError on a negative or infinite cost, and as `stopping_law`.
    """
    price = as_number(cost, "cost", "give a price a draw, 0 or more, in units of the reward")
    if not 0.0 <= price <= LARGEST:
        raise InputError(f"cost = {price!r}: give a price a draw, 0 or more, in units of the reward")
    levels = _levels(reward, log_mass)
    through = levels.above + levels.mass  # P(r ≥ level)
    spent = np.concatenate([[0.0], np.cumsum(-np.diff(levels.values) * through[:-1])])  # E(r - level)_+, ascending
    at = int(np.searchsorted(spent, price, side="right")) - 1
    return float(levels.values[at] - (price - spent[at]) / through[at])


def _top_share(levels: _Levels, kept: float) -> tuple[int, float]:
    """(level, chance at it) at which the draws of the largest rewards, `kept` of the mass, are kept."""
    at = min(int(np.searchsorted(levels.above + levels.mass, kept, side="left")), levels.values.size - 1)
    return at, float(np.clip((kept - levels.above[at]) / levels.mass[at], 0.0, 1.0))


def keep_for_draws(reward: Array, log_mass: Array, n: float, most: int | None = None) -> Floats:
    """log of the chances (K,) of the threshold rule with a randomized tie that has E D = n and at most `most` draws.

    Of all rules with n expected and at most `most` draws it has the largest mean reward (M38); without a cap it is
    `reward_law`'s. Raises InputError unless 1 ≤ n ≤ most.
    """
    levels, number = _levels(reward, log_mass), _most(most)
    draws = float(as_means(float(n), levels.log_mass))
    at, tie = _top_share(levels, _kept_for(draws, number))
    return threshold_keep(reward, float(levels.values[at]), tie)


def _kept_for(draws: float, most: float) -> float:
    """α with (1 - (1-α)^N)/α = draws; InputError unless draws ≤ N."""
    if draws > most:
        raise InputError(f"{draws:g} expected of at most {most:g} draws: give most ≥ n")
    if most == np.inf or draws == 1.0:
        return 1.0 / draws
    if draws == most:
        return 0.0
    # E D falls in log α from N to 1, and lies above draws at (1 - draws/N)/N: E D ≥ N - N(N-1)α/2
    low = np.log((1.0 - draws / most) / most)
    return float(
        np.exp(brentq(lambda x: _mean_draws(np.exp(x), -np.expm1(x), most) - draws, low, 0.0, xtol=1e-15, rtol=1e-15))
    )


def best_capped_reward(reward: Array, log_mass: Array, n: float, most: int | None = None) -> float:
    """Largest E r of rules with n expected and at most N draws: min over θ of E max_{i≤N} min(r_i, θ) + n E(r - θ)_+.

    N = n is best-of-n, N = ∞ the CVaR `best_reward` (M38); taken at the θ of `keep_for_draws`. Arguments and errors as
    there; a few K units of rounding of osc r.
    """
    levels, number = _levels(reward, log_mass), _most(most)
    draws = float(as_means(float(n), levels.log_mass))
    at, _ = _top_share(levels, _kept_for(draws, number))
    steps, above = -np.diff(levels.values), levels.above[1:]
    over = float(steps[:at] @ above[:at])
    below = float(steps[at:] @ (1.0 - _power(above[at:], levels.upto[1:][at:], number)))
    return float(levels.values[-1] + below + draws * over)


def pilot_stopping(log_mass: Array, reward: Array, pilots: int, rank: int, most: int | None = None) -> PilotStopping:
    """Stop at the first reward ≥ T, T the `rank`-th largest of `pilots` draws of the same law, which are not returned.

    P(T ≥ x) = P(Bin(m, P(r ≥ x)) ≥ k). For a law without ties E D = m/(k-1) and the winner's mean rank from above is
    k/(2(m+1)), whatever the law (M38). Arguments as `stopping_law`; raises InputError unless 1 ≤ rank ≤ pilots.
    """
    m, k = as_count(pilots, "pilots"), as_count(rank, "rank")
    if k > m:
        raise InputError(f"rank {k} of {m} pilots: give a rank from 1 to {m}")
    levels, number = _levels(reward, log_mass), _most(most)
    through = np.minimum(levels.above + levels.mass, 1.0)
    through[-1] = 1.0
    reached = betainc(k, m - k + 1.0, through)
    chances = np.diff(reached, prepend=0.0)
    rest = np.append(levels.upto[1:], 0.0)
    means = np.array([_mean_draws(a, b, number) for a, b in zip(through.tolist(), rest.tolist(), strict=True)])
    # what a threshold at or below the level keeps of it, and what one above it recalls
    kept = np.cumsum((chances * means)[::-1])[::-1]
    recalled = (reached - chances) * _recalled(levels.mass, 0.0, number) / levels.mass
    prob = np.append(kept + recalled, 0.0)[levels.level] * np.exp(levels.log_mass)
    error = 16.0 * (prob.size + 16.0) * np.finfo(float).eps * max(1.0, float(chances @ means))
    return PilotStopping(prob, float(chances @ means), levels.values, chances, error)


def falling_stopping(log_mass: Array, reward: Array, thresholds: Array) -> FallingStopping:
    """Stop at the first d at which the best of d draws is ≥ b_d, at the latest after N = len(b); return the best.

    b (N,) does not rise, so not having stopped by d means that the best of d is below b_d: P(D > d) = F(b_d-)^d. A best
    on a level s stops at d with chance F(b_{d-1}-)^{d-1} μ(s) if b_{d-1} ≤ s, and F(s)^d - F(s-)^d if b_d ≤ s < b_{d-1}
    (M38). Time O(N (K + log K)). Raises InputError on thresholds that rise or are NaN, and as `stopping_law`.
    """
    levels, cuts = _levels(reward, log_mass), as_numbers(thresholds, "thresholds")
    if cuts.ndim != 1 or not cuts.size or bool(np.isnan(cuts).any()) or bool((cuts[1:] > cuts[:-1]).any()):
        raise InputError(f"thresholds of shape {cuts.shape}: give N numbers that do not rise")
    cuts = np.append(cuts[:-1], -np.inf)
    through = np.minimum(levels.above + levels.mass, 1.0)
    size = levels.values.size
    # how many levels reach each threshold, and the mass that does not
    reached = np.searchsorted(-levels.values, -cuts, side="right")
    above, below = np.append(0.0, through)[reached], np.append(levels.upto, 0.0)[reached]
    draws: Floats = np.arange(1.0, cuts.size + 1.0)
    later = np.where(reached < size, _power(above, below, draws), 0.0)
    still = np.concatenate([[1.0], later[:-1]])
    # a level is jumped onto while it lies at or above the threshold before, for all d from its first on
    known = np.concatenate([[0], reached[:-1]])  # levels that reach b_{d-1}
    jumped = np.cumsum(np.bincount(known, weights=still, minlength=size + 1)[::-1])[::-1][1 : size + 1] * levels.mass
    first = np.searchsorted(reached, np.arange(size), side="right")  # the d - 1 from which the level stops
    part = levels.mass / levels.upto
    rest = np.append(levels.upto[1:], 0.0) / levels.upto
    number: Floats = np.asarray(first + 1.0, dtype=np.float64)
    came = _power(levels.above, levels.upto, number) * -np.expm1(number * _log_rest(part, rest))
    prob = np.append((jumped + came) / levels.mass, 0.0)[levels.level] * np.exp(levels.log_mass)
    mean = float(still.sum())
    return FallingStopping(prob, still, mean, 16.0 * (prob.size + 16.0) * np.finfo(float).eps * max(1.0, mean))


def learned_thresholds(cost: float, highest: float, most: int, doubt: float = 0.1) -> Floats:
    """b_d = R - c/min(1, ε_d), ε_d = √(log(1/δ)/(2d)): where the upper confidence bound of the reservation value stops.

    The law is known only by the d draws so far and by R = highest ≥ all rewards. With S_d + ε_d for S, S_d the share of
    the draws above x, the bound solves ∫_θ^R min(1, S_d + ε_d) = c; above the best of d S_d is 0, so the best reaches
    it iff (R - best) min(1, ε_d) ≤ c: only the best and d matter. With ε = 0 every rule of this kind stops at the first
    draw (M38). (N,) for d = 1..N = most; cost ≥ 0, in units of the reward. Raises InputError on other arguments.
    """
    price = as_number(cost, "cost", "give a price a draw, 0 or more, in units of the reward")
    top, chance = as_number(highest, "highest", "give a finite reward"), as_number(doubt, "doubt", "give 0 < δ < 1")
    if not 0.0 <= price <= LARGEST or not abs(top) <= LARGEST or not 0.0 < chance < 1.0:
        raise InputError(f"cost {price!r}, highest {top!r}, doubt {chance!r}: give c ≥ 0, a finite reward, 0 < δ < 1")
    draws = np.arange(1, as_count(most, "most") + 1)
    return top - price / np.minimum(1.0, np.sqrt(-np.log(chance) / (2.0 * draws)))
