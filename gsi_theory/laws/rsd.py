"""Reward-guided speculative decoding (M21): accept the one draft with probability ω, otherwise draw from the base.

Symbols. π_S, π_B (log-probabilities (K,)), reward r (K,) in reward units, ω(y) in [0, 1] the probability of accepting
draft y. The law is ω·π_S + (1 - E_{π_S} ω)·π_B. It does not depend on a number of draws and does not tend to the tilted
policy. Source: Liao et al., arXiv 2501.19324.

A threshold given as a number is compared as it is: r ≥ u is exact. The threshold E_{π_B} r is the one that rounding
moves, by up to the very gap in a tie, so rewards are compared with it as excesses r − E_{π_B} r, centered at the
smallest reward of the base: they are exactly zero where the base has one reward alone. Elsewhere an excess within its
rounding is a tie, and what turns on it is reported.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import array_api_compat
import numpy as np
from numpy.typing import ArrayLike

from gsi_theory.arrays.logscale import log_sum
from gsi_theory.arrays.namespace import detached, highest, plain_number
from gsi_theory.errors import InputError, nearest
from gsi_theory.instance import Instance
from gsi_theory.moved import moved_names
from gsi_theory.types import Array, Floats

__all__ = [
    "BUDGETS",
    "Omega",
    "RsdLaw",
    "StepAcceptance",
    "best_step",
    "checked_omega",
    "mean_excess",
    "mean_step",
    "rsd_law",
    "rsd_reward",
    "sigmoid",
    "sigmoid_doubt",
    "smoothed_step",
    "step",
]

__getattr__ = moved_names(__name__)

Omega = ArrayLike | Callable[[Floats], ArrayLike]
BUDGETS = ("at_most", "at_least")
EPS, TINY = float(np.finfo(np.float64).eps), float(np.finfo(np.float64).tiny)


@dataclass(frozen=True)
class RsdLaw:
    """log_prob (K,); accepted_log_mass (K,) = log(ω π_S); log_p_reject, accurate where nearly all is accepted."""

    log_prob: Floats
    accepted_log_mass: Floats
    log_p_reject: float

    @property
    def p_accept(self) -> float:
        """E_{π_S} ω."""
        return float(plain_number(-np.expm1(self.log_p_reject)))


@dataclass(frozen=True)
class StepAcceptance:
    """ω (K,) of each draft. Of a step: 1 where r > threshold, `share` where r = threshold, 0 below; ±inf: none or all.

    doubt: draft mass whose acceptance turns on rounding, as in a tie with E_{π_B} r that float64 cannot tell.
    """

    omega: Floats
    threshold: float = float("nan")
    share: float = float("nan")
    doubt: float = 0.0


def checked_omega(omega: Omega, reward: Floats) -> Floats:
    """ω as an array (K,); a callable is applied to the rewards. InputError unless every entry is in [0, 1]."""
    values = np.asarray(omega(reward) if callable(omega) else omega, dtype=np.float64)
    if values.shape != reward.shape:
        raise InputError(f"omega of shape {values.shape}: give one probability for each of the {reward.size} outcomes")
    bad = np.flatnonzero(~((values >= 0.0) & (values <= 1.0)))
    if bad.size:
        raise InputError(f"omega[{bad[0]}] = {float(values[bad[0]])!r}: give acceptance probabilities in [0, 1]")
    return values


def step(threshold: float) -> Callable[[Floats], Floats]:
    """ω = 1 where r ≥ threshold (reward units), else 0."""
    return lambda reward: np.where(reward >= threshold, 1.0, 0.0)


def sigmoid(threshold: float, slope: float) -> Callable[[Floats], Floats]:
    """ω = 1/(1 + e^{-slope·(r - threshold)}), a step smoothed over 1/slope reward units; threshold ±inf: none, all."""

    def omega(reward: Floats) -> Floats:
        if np.isinf(threshold):
            return np.full(np.shape(reward), 1.0 if threshold < 0 else 0.0)
        with np.errstate(over="ignore"):
            # halves, because the difference of two numbers may leave float64 and slope may be 0
            half = slope * (0.5 * reward - 0.5 * threshold)
            return np.asarray(np.exp(-np.logaddexp(0.0, -2.0 * half)))

    return omega


def sigmoid_doubt(log_draft: Floats, gap: Floats, slack: Floats, slope: float) -> float:
    """Bound on how far E_{π_S} ω moves, ω = 1/(1 + e^{-slope·gap}), when rounding moves each gap by its slack.

    gap, slack in reward units (K,) or (1,). ω changes by at most 1, and has a derivative of at most e^{-|x|}.
    """
    with np.errstate(over="ignore"):
        x, moved = (np.minimum(slope * np.minimum(np.abs(part), 1e308), 1e308) for part in (gap, slack))
    return float(np.exp(log_draft) @ (np.minimum(moved, 1.0) * np.exp(-np.clip(x - moved, 0.0, None))))


def mean_excess(log_base: Array, reward: Array) -> tuple[Array, Array]:
    """(r - E_{π_B} r (..., K), bound on its rounding (..., 1)) in reward units, from log_base, reward (..., K).

    Where the base has one reward alone both are exact and the bound is 0. No gradient.
    """
    log_base, reward = detached(log_base), detached(reward)
    xp = array_api_compat.array_namespace(reward)
    held = xp.isfinite(log_base)
    # a power of two keeps differences of the largest rewards within float64
    scale = 2.0**-10 if highest(xp.abs(reward)) > 2.0**1000 else 1.0
    scaled = reward * scale
    centered = scaled - xp.min(xp.where(held, scaled, np.inf), axis=-1, keepdims=True)
    size = xp.where(held, log_base, 0.0)
    mass = xp.where(held, xp.exp(size), 0.0)
    term = mass * xp.where(held, centered, 0.0)
    mean = xp.sum(term, axis=-1, keepdims=True)
    units = 2.0 * xp.sum(term * xp.abs(size), axis=-1, keepdims=True) + (np.log2(reward.shape[-1] + 1.0) + 8.0) * mean
    slack = EPS * units + mean * xp.abs(xp.sum(mass, axis=-1, keepdims=True) - 1.0)
    # a mean above the smallest reward by less than float64 holds looks like a tie
    several = xp.any(held & (centered > 0), axis=-1, keepdims=True)
    slack = xp.where(several, xp.where(slack > TINY, slack, TINY), 0.0)
    with np.errstate(over="ignore"):
        return (centered - mean) / scale, slack / scale


def mean_step(instance: Instance) -> StepAcceptance:
    """ω = 1 where r ≥ E_{π_B} r, else 0 (M21): the step of largest E r when acceptance is free. Ties are accepted."""
    excess, slack = mean_excess(instance.log_base, instance.reward)
    omega = np.where(excess >= -slack, 1.0, 0.0)
    taken = instance.reward[omega > 0]
    near = (np.abs(excess) <= slack) & (slack > 0)
    doubt = float(np.sum(np.exp(instance.log_draft[near])))
    return StepAcceptance(omega, float(np.min(taken, initial=np.inf)), 1.0 if taken.size else 0.0, doubt)


def smoothed_step(instance: Instance, threshold: float | None, slope: float) -> StepAcceptance:
    """ω = 1/(1 + e^{-slope·(r - threshold)}) (M21); without a threshold (None) about E_{π_B} r."""
    if threshold is None:
        gap, slack = mean_excess(instance.log_base, instance.reward)
        omega = sigmoid(0.0, slope)(gap)
    else:
        omega = sigmoid(threshold, slope)(instance.reward)
        if np.isinf(threshold):
            return StepAcceptance(omega)
        with np.errstate(over="ignore"):
            gap, slack = instance.reward - threshold, EPS * (np.abs(instance.reward) + abs(threshold))
    return StepAcceptance(omega, doubt=sigmoid_doubt(instance.log_draft, gap, slack, slope))


def rsd_law(instance: Instance, omega: Omega) -> RsdLaw:
    """Law of reward-guided speculative decoding (M21) with acceptance probability `omega`, (K,) or a function of r.

    Every term is positive, 1 - E ω included: it is summed as E(1 - ω). Raises InputError unless 0 ≤ ω ≤ 1.
    """
    values = checked_omega(omega, instance.reward)
    with np.errstate(divide="ignore"):
        accepted = instance.log_draft + np.log(values)
        # 1 - ω is exact for ω ≥ ½, and below it loses less than one rounding.
        log_reject = min(float(log_sum(instance.log_draft + np.log1p(-values))), 0.0)
    return RsdLaw(np.logaddexp(accepted, log_reject + instance.log_base), accepted, log_reject)


def rsd_reward(instance: Instance, omega: Omega) -> float:
    """E r = E_{π_B} r + E_{π_S}[ω (r - E_{π_B} r)] (M21), reward units."""
    values = checked_omega(omega, instance.reward)
    mean = float(np.exp(instance.log_base) @ instance.reward)
    return mean + float(np.exp(instance.log_draft) @ (values * (instance.reward - mean)))


def best_step(instance: Instance, budget: float, bound: str = "at_least") -> StepAcceptance:
    """The ω of largest E r subject to E_{π_S} ω ≥ budget ("at_least") or ≤ budget ("at_most"), in closed form (M21).

    Outcomes are accepted in descending order of reward: all with r > E_{π_B} r that the budget allows, and below that
    only as far as it demands; the last level is randomized so that the budget is met with equality where it binds.
    Raises InputError unless 0 ≤ budget ≤ 1.
    """
    if bound not in BUDGETS:
        raise InputError(f"bound {bound!r}{nearest(bound, BUDGETS)}: give one of {', '.join(BUDGETS)}")
    if not 0.0 <= budget <= 1.0:
        raise InputError(f"budget {budget!r}: give a share of accepted drafts in [0, 1]")
    reward, mass = instance.reward, np.exp(instance.log_draft)
    excess, slack = mean_excess(instance.log_base, reward)
    levels, first, place = np.unique(reward, return_index=True, return_inverse=True)
    size = np.bincount(place, weights=mass)
    above = np.r_[np.cumsum(size[::-1])[::-1][1:], 0.0]  # draft mass of all higher levels
    gain, near = excess[first] > slack, (np.abs(excess[first]) <= slack) & (slack > 0)
    room = np.clip(budget - above, 0.0, size) if budget < 1.0 else size
    filled = np.divide(room, size, out=np.where(above < budget, 1.0, 0.0), where=size > 0)
    share = np.where(gain, 1.0, filled) if bound == "at_least" else np.where(gain, filled, 0.0)
    other = np.where(near, 1.0 - filled if bound == "at_least" else filled, 0.0)
    taken, doubt = np.flatnonzero(share > 0), float(size @ other)
    if not taken.size:
        return StepAcceptance(np.zeros(reward.shape), float("inf"), 0.0, doubt)
    lowest = int(taken[0])
    return StepAcceptance(share[place], float(levels[lowest]), float(share[lowest]), doubt)
