"""Greedy Poisson rejection with a limit on the number of draws, and what depth-limited A* sampling is (M27).

Candidates X_1, X_2, ... iid from μ arrive at the times T_1 < T_2 < ... of a Poisson process of rate 1; w = π/μ.

A* sampling with at most n arrivals returns the one of largest w(X_i)/T_i. Given T_{n+1} the first n times are n uniform
numbers in random order, so its law is exactly that of the race rule (M4): `selection_law(..., rule="race")`.

Greedy Poisson rejection (Flamich, arXiv 2305.15313) returns the first arrival with T_i < φ(w(X_i)), where φ is the
inverse of h(t), h' = S(h), h(0) = 0, S(h) = E_μ (w - h)_+. Its law is π; S(h(t)) is the probability that nothing was
accepted by time t. Rejected arrivals before t form a Poisson number of mean λ = t - Λ, independent of the accepted
ones, Λ = -log S(h(t)) the mean of those accepted. So with at most n arrivals

    P(x accepted) = μ(x) ∫_0^{w(x)} P(Poisson(λ(h)) ≤ n - 1) dh,   λ(h) = ∫_0^h dh'/S(h') + log S(h),

and if none is accepted one more draw from μ is returned here. S is linear between two weights, of slope -P, P the mass
of the weights above; with S = S_0 e^{-z} the integrand becomes (S_0/P) e^{-z} P(Poisson(λ_0 + (1/P - 1) z) ≤ n - 1),
which Gauss-Legendre nodes integrate piece by piece, cut where the Poisson tail falls.
"""

from __future__ import annotations

from itertools import pairwise

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import gammaincc

from gsi_theory.arrays.logscale import normalize
from gsi_theory.errors import InputError
from gsi_theory.laws.selection_law import Law, as_count
from gsi_theory.types import Floats

__all__ = ["greedy_rejection_law"]

COARSE, FINE = 24, 48
# Beyond e^-45 of a piece nothing is left that float64 sees beside its beginning.
LONGEST = 45.0


def greedy_rejection_law(log_target: ArrayLike, log_proposal: ArrayLike, n: int) -> Law:
    """Law (K,) of greedy Poisson rejection with at most n arrivals, one more draw if none is accepted.

    `error` is the TV distance between two quadratures (24 and 48 nodes a piece) plus rounding: an estimate of the
    error from above, not a proof. Raises InputError when π has mass that μ lacks, on unequal lengths, and on bad n.
    """
    n = as_count(n, "n")
    target, proposal = (normalize(np.asarray(v, dtype=np.float64)) for v in (log_target, log_proposal))
    if target.shape != proposal.shape or target.ndim != 1:
        raise InputError(f"laws of shapes {target.shape} and {proposal.shape}: give two of one length K")
    held = np.isfinite(proposal)
    bad = np.flatnonzero(~held & np.isfinite(target))
    if bad.size:
        raise InputError(f"outcome {bad[0]} has mass to be reached and no proposal mass: no number of draws returns it")
    mu = np.exp(proposal)
    w = np.exp(np.where(held, target - np.where(held, proposal, 0.0), -np.inf))
    accepted, coarse = (_accepted(mu, w, n, nodes) for nodes in (FINE, COARSE))
    prob = accepted + max(0.0, 1.0 - float(accepted.sum())) * mu
    error = 0.5 * float(np.abs(accepted - coarse).sum()) + 64.0 * float(np.finfo(np.float64).eps) * w.size
    with np.errstate(divide="ignore"):
        log_prob = np.log(prob)
    return Law(log_prob, error, error / max(float(prob[prob > 0].min()), 1e-300))


def _accepted(mu: Floats, w: Floats, n: int, nodes: int) -> Floats:
    """P(x accepted) (K,): mass times the integral up to w(x), summed over the pieces between weights."""
    levels = np.unique(w[(mu > 0) & (w > 0)])
    x, weights = np.polynomial.legendre.leggauss(nodes)
    x, weights = 0.5 * (x + 1.0), 0.5 * weights
    upto: dict[float, float] = {}
    total, left, lam = 0.0, 1.0, 0.0
    for level in levels:
        above = float(mu[w >= level].sum())
        rest = float(mu[w > level] @ (w[w > level] - level))
        length = LONGEST if rest <= left * np.exp(-LONGEST) else float(np.log(left / rest))
        slope = max(1.0 / min(above, 1.0) - 1.0, 0.0)
        for start, stop in _cut(length, lam, slope, n):
            z = start + (stop - start) * x
            few = gammaincc(n, np.maximum(lam + slope * z, 0.0))  # P(Poisson ≤ n - 1)
            total += (left / above) * (stop - start) * float(weights @ (np.exp(-z) * few))
        lam, left = lam + slope * length, rest
        upto[level] = total
    return np.array([m * upto[v] if m > 0 and v > 0 else 0.0 for m, v in zip(mu, w, strict=True)])


def _cut(length: float, lam: float, slope: float, n: int) -> list[tuple[float, float]]:
    """Parts of [0, length]: no longer than 4, and cut where P(Poisson ≤ n - 1) falls from one to zero."""
    points = {0.0, length, *np.arange(4.0, length, 4.0).tolist()}
    if slope > 0:
        falls = n + np.sqrt(n) * np.array([-8.0, -4.0, -2.0, 0.0, 2.0, 4.0, 8.0]) - lam
        points |= {float(z) for z in falls / slope if 0.0 < z < length}
    ordered = sorted(points)
    return list(pairwise(ordered))
