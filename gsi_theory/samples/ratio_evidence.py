"""An e-value for "these log-probabilities belong to these draws" (M45), at any number of draws, whatever the tail.

Under a right log every draw of the draft has a ratio ρ = π_B/π_S ≥ 0 with E ρ ≤ 1, given all draws before it; likewise
1/ρ of base draws, and the ratio of one token given its prefix. So Π_i (1 + λ(ρ_i − 1)) has mean ≤ 1 for λ in [0, 1),
and so has its average over the prior below, which is fixed beforehand: e-values, with P(e ≥ 1/α) ≤ α. The plain mean of
the ρ is one too, and pays where one of many ratios is absurd. Products of e-values of independent draws (drafts, base
draws) are e-values: their logs add. A draw that was written twice counts once: two copies are not independent.

Refuted are numbers whose ratios are too large on average: exchanged columns, another temperature, means over tokens for
sums, padding. Nothing is seen of a wrong law that is normalized, nor of numbers that make all ratios small.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import log_expit, logsumexp

from gsi_theory.arrays.namespace import as_numbers
from gsi_theory.errors import InputError
from gsi_theory.estimate import refuse

__all__ = ["log_e_ratio"]

BETS = np.arange(-9.0, 4.5, 0.5)  # log(λ/(1 − λ)), equally likely: λ from 1.2e-4 to 0.98
PLAIN = 0.1  # of the prior on the mean of the ratios
_BLOCK = 1 << 16


def log_e_ratio(log_ratio: ArrayLike) -> float:
    """log of the e-value, nats, of ratios log_ratio (N,) in nats (-inf: ratio 0), each of mean ≤ 1 given those before.

    0 without any. Raises InputError for NaN or +inf: no draw has an infinite ratio to its own law.
    """
    ratio = as_numbers(log_ratio, "log_ratio")
    if ratio.ndim != 1:
        raise InputError(f"log_ratio of shape {ratio.shape}: give N numbers in nats")
    refuse(np.isnan(ratio) | (ratio == np.inf), ratio, "log_ratio", "give nats (-inf: ratio 0)")
    if ratio.size == 0:
        return 0.0
    products = np.zeros(BETS.size)
    for start in range(0, ratio.size, _BLOCK):
        part = ratio[start : start + _BLOCK, None]
        products += np.logaddexp(log_expit(-BETS), log_expit(BETS) + part).sum(axis=0)
    mean = float(logsumexp(ratio)) - np.log(ratio.size)
    prior = np.log(np.r_[PLAIN, np.full(BETS.size, (1.0 - PLAIN) / BETS.size)])
    return float(logsumexp(prior + np.r_[mean, products]))
