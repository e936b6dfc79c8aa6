"""Limits n → ∞ of a law's distances, by Richardson extrapolation of the exact law over three values of n.

The error is ten times the last correction plus the numerical error of the terms. Gradients are those of the
extrapolated value at these n.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from gsi_theory.arrays.namespace import detached
from gsi_theory.claims.facts import Facts
from gsi_theory.types import Array

__all__ = ["LARGEST_LOG_SCALE", "largest_reward", "limit_of", "starts"]

# 10⁴ e^20 drafts are 5e12; beyond, the next terms no longer fit the exact range of n.
LARGEST_LOG_SCALE = 20.0


def starts(f: Facts, log_scale: Array) -> Array:
    """The least of the three n (...): 10⁴ above the scale of the corrections."""
    xp = f.xp
    return xp.round(1e4 * xp.exp(xp.clip(detached(log_scale), 0.0, LARGEST_LOG_SCALE)))


def limit_of(
    f: Facts, log_scale: Array, term: Callable[[int], tuple[Array, Array]], smooth: bool
) -> tuple[Array, Array]:
    """Limit of term(n) = L + a/n + b/n² + … from n, 2n, 4n, with its error; 0 and +inf where nothing can be said:
    where n would have to be too large, or a term is infinite (KL(G_n‖π) when u = -inf accepts a weight of zero).

    The corrections are of the order e^log_scale / n. A total variation is only piecewise smooth in 1/n, and a gate can
    put the kink anywhere: then (`smooth` False) the whole distance from the last term counts as error.
    """
    xp = f.xp
    values, errors = zip(*(term(k) for k in (1, 2, 4)), strict=True)
    known = detached(log_scale) <= LARGEST_LOG_SCALE
    for value in values:
        known = known & xp.isfinite(value)
    first, second, third = (xp.where(known, value, 0.0) for value in values)
    two = 2.0 * third - second
    three = (8.0 * third - 6.0 * second + first) / 3.0
    error = 10.0 * abs(detached(three - two)) + 5.0 * sum(errors)
    error = error if smooth else error + 2.0 * abs(detached(three - third))
    return three, xp.where(known, error, np.inf)


def largest_reward(f: Facts) -> Array:
    """max |r| (...), no gradient."""
    return f.xp.max(f.xp.abs(detached(f.reward)), axis=-1)
