"""The reward r' and the β' of which a scheme's target is the tilted policy (M41), for the samplers.

Written out here again, with no code of `gsi_theory.targets`: λ is bisected on Σ π_B w = 1 itself, so that laws and
samplers check each other.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from gsi_theory.errors import require_name
from gsi_theory.instance import Instance, Scheme
from gsi_theory.types import Floats

__all__ = ["AIMS", "aimed"]

Aimed = tuple[Floats, float]


def _order(q: float, instance: Instance, beta: float) -> Aimed:
    base = np.exp(instance.log_base)
    # for q < 1 a reward above all that the base says counts as the largest that it says
    r = np.minimum(instance.reward, np.max(instance.reward[base > 0])) if q < 1 else instance.reward
    if beta == 0:
        return instance.reward, 0.0

    def weight(lam: float) -> Floats:
        with np.errstate(divide="ignore", invalid="ignore"):
            inside = 1.0 + (q - 1.0) * beta * (r - lam)
            # below zero: no weight for q > 1; for q < 1 λ is too small, and the weight endless
            return np.where(inside > 0, inside ** (1.0 / (q - 1.0)), 0.0 if q > 1 else np.inf)

    low, high = float(np.min(r[base > 0])), float(np.max(r[base > 0]))
    for _ in range(200):
        middle = 0.5 * (low + high)
        over = float(np.sum(weight(middle)[base > 0] * base[base > 0])) > 1.0
        low, high = (middle, high) if over else (low, middle)
    with np.errstate(divide="ignore"):
        return high + np.log(weight(high)) / beta, beta


def _power(alpha: float, instance: Instance, beta: float) -> Aimed:
    return instance.log_base, alpha - 1.0


AIMS: dict[str, Callable[[Instance, Scheme], Aimed]] = {
    "kl": lambda instance, scheme: (instance.reward, scheme.beta),
    "chi2": lambda instance, scheme: _order(2.0, instance, scheme.beta),
    "order": lambda instance, scheme: _order(float(str(scheme.target).partition(":")[2]), instance, scheme.beta),
    "power": lambda instance, scheme: _power(float(str(scheme.target).partition(":")[2]), instance, scheme.beta),
}


def aimed(instance: Instance, scheme: Scheme) -> tuple[Floats, float, Floats]:
    """(r' (K,), β', β'r' (K,)) of the scheme's target, -inf where it leaves an outcome out.

    InputError for a target that is not written out here.
    """
    kind = str(scheme.target).partition(":")[0]
    require_name(kind, "target", AIMS)
    reward, beta = AIMS[kind](instance, scheme)
    live = reward > -np.inf
    if beta == 0:
        return reward, 0.0, np.zeros(instance.size)
    return reward, beta, np.where(live, beta * np.where(live, reward, 0.0), -np.inf)
