"""Reward-guided speculative decoding (M21): accept the one draft with probability ω, otherwise draw from the base.

Symbols. π_S, π_B (log-probabilities (K,)), reward r (K,) in reward units, ω(y) in [0, 1] the probability of accepting
draft y. The law is ω·π_S + (1 - E_{π_S} ω)·π_B. It does not depend on a number of draws and does not tend to the tilted
policy. Source: Liao et al., arXiv 2501.19324.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from gsi_theory.errors import InputError, nearest
from gsi_theory.instance import Instance
from gsi_theory.logscale import Array, log_sum

__all__ = ["BUDGETS", "RsdLaw", "StepRule", "best_step", "checked_omega", "rsd_law", "rsd_reward", "sigmoid", "step"]

Omega = ArrayLike | Callable[[Array], ArrayLike]
BUDGETS = ("at_most", "at_least")


@dataclass(frozen=True)
class RsdLaw:
    """log_prob (K,); accepted_log_mass (K,) = log(ω π_S); log_p_reject, accurate where nearly all is accepted."""

    log_prob: Array
    accepted_log_mass: Array
    log_p_reject: float

    @property
    def p_accept(self) -> float:
        """E_{π_S} ω."""
        return float(-np.expm1(self.log_p_reject))


@dataclass(frozen=True)
class StepRule:
    """ω (K,): 1 where r > threshold, `share` where r = threshold, 0 below; threshold ±inf accepts none or all."""

    omega: Array
    threshold: float
    share: float


def checked_omega(omega: Omega, reward: Array) -> Array:
    """ω as an array (K,); a callable is applied to the rewards. InputError unless every entry is in [0, 1]."""
    values = np.asarray(omega(reward) if callable(omega) else omega, dtype=np.float64)
    if values.shape != reward.shape:
        raise InputError(f"omega of shape {values.shape}: give one probability for each of the {reward.size} outcomes")
    bad = np.flatnonzero(~((values >= 0.0) & (values <= 1.0)))
    if bad.size:
        raise InputError(f"omega[{bad[0]}] = {float(values[bad[0]])!r}: give acceptance probabilities in [0, 1]")
    return values


def step(threshold: float) -> Callable[[Array], Array]:
    """ω = 1 where r ≥ threshold (reward units), else 0."""
    return lambda reward: np.where(reward >= threshold, 1.0, 0.0)


def sigmoid(threshold: float, slope: float) -> Callable[[Array], Array]:
    """ω = 1/(1 + e^{-slope·(r - threshold)}): a step smoothed over 1/slope reward units."""
    return lambda reward: np.exp(-np.logaddexp(0.0, -slope * (reward - threshold)))


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


def best_step(instance: Instance, budget: float, bound: str = "at_least") -> StepRule:
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
    mean = float(np.exp(instance.log_base) @ reward)
    levels, place = np.unique(reward, return_inverse=True)
    size = np.bincount(place, weights=mass)
    above = np.r_[np.cumsum(size[::-1])[::-1][1:], 0.0]  # draft mass of all higher levels
    gain = levels > mean
    room = np.clip(budget - above, 0.0, size) if budget < 1.0 else size
    filled = np.divide(room, size, out=np.where(above < budget, 1.0, 0.0), where=size > 0)
    share = np.where(gain, 1.0, filled) if bound == "at_least" else np.where(gain, filled, 0.0)
    taken = np.flatnonzero(share > 0)
    if not taken.size:
        return StepRule(np.zeros(reward.shape), float("inf"), 0.0)
    lowest = int(taken[0])
    return StepRule(share[place], float(levels[lowest]), float(share[lowest]))
