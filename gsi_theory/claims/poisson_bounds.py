"""Claims on a Poisson number of drafts: best-of-Poisson (M23), softmax selection (M24)."""

from __future__ import annotations

import functools
from functools import partial

import numpy as np

from gsi_theory import divergence
from gsi_theory.arrays.namespace import detached, host, table
from gsi_theory.claims.assumptions import COVERED
from gsi_theory.claims.claim import Claim, proved
from gsi_theory.claims.facts import Facts
from gsi_theory.claims.sides import Sides, chi2_error
from gsi_theory.laws.draws import Counts
from gsi_theory.laws.selection_law import EPS, Law, selection_law
from gsi_theory.types import Floats

__all__ = ["TABLE", "poisson_drafts", "poisson_gap", "poisson_gap_value"]

STATED_GAP = 8e-4  # nats, the bound that the paper states
GAP_ERROR = 1e-11  # absolute, of `poisson_gap_value`


@functools.cache
def _nodes() -> tuple[Floats, Floats]:
    """Gauss-Legendre nodes on [-1, 1] and their weights."""
    return np.polynomial.legendre.leggauss(400)


def poisson_gap_value(m: Floats) -> Floats:
    """KL between best-of-(1 + Poisson(m)) on a reward uniform on [0, 1] and the exponential tilt of the same mean.

    m (...) ≥ 0, any shape; nats; absolute error below 1e-11. With density p(x) = (1 + m x) e^{m(x-1)} and the tilt
    λ e^{λx}/(e^λ - 1): E_p log(1 + mx) + m (E_p x - 1) - λ E_p x + log((e^λ - 1)/λ), in the variable s = 1 - x.
    """
    m = np.asarray(m, dtype=np.float64)
    flat = m.reshape(-1, 1)
    # Beyond s = 45/m the density is below e^{-45} of its largest value.
    reach = np.minimum(1.0, 45.0 / np.maximum(flat, 1e-300))
    nodes, weights = _nodes()
    s = 0.5 * reach * (nodes + 1.0)
    p = 0.5 * reach * weights * (1.0 + flat * (1.0 - s)) * np.exp(-flat * s)
    lost = np.sum(p * s, axis=1)
    tilt = _tilt_of(lost)
    log_p = np.log1p(flat * (1.0 - s)) - flat * s
    # log of the tilt's density at 1 - s is log λ - λ s - log(1 - e^{-λ})
    some = tilt > 1e-8
    safe = np.where(some, tilt, 1.0)
    log_top = np.where(some, np.log(safe) - np.log(-np.expm1(-safe)), tilt / 2.0)
    gap = np.sum(p * (log_p - log_top[:, None] + tilt[:, None] * s), axis=1)
    return np.maximum(gap, 0.0).reshape(m.shape)


def _tilt_of(lost: Floats) -> Floats:
    """λ ≥ 0 with mean 1 - x equal to `lost` under the density ∝ e^{λx} on [0, 1]: 1/λ - 1/(e^λ - 1), by bisection."""
    low, high = np.zeros_like(lost), 2.0 / lost
    for _ in range(80):
        middle = 0.5 * (low + high)
        small = middle < 1e-3
        safe = np.where(small, 1.0, middle)
        with np.errstate(over="ignore"):
            mean = np.where(small, 0.5 - middle / 12.0 + middle**3 / 720.0, 1.0 / safe - 1.0 / np.expm1(safe))
        low, high = np.where(mean > lost, middle, low), np.where(mean > lost, high, middle)
    return 0.5 * (low + high)


def poisson_gap(f: Facts) -> Sides:
    """(M23): the KL gap of best-of-Poisson to the tilt of equal mean is below 8e-4; n - 1 is the Poisson mean.

    The reward is the calibrated one, uniform on [0, 1]: the claim depends on n alone.
    """
    value = poisson_gap_value(host(f.n) - 1.0)
    return Sides(table(value, f.n), STATED_GAP + 0.0 * f.beta, GAP_ERROR + 0.0 * f.weight_error)


def poisson_drafts(f: Facts, form: str) -> Sides:
    """(M24) N ~ Poisson(m) given N ≥ 1, m = n: KL(π‖law) ≤ log(1 + (1+χ²)/m), "sharp" with + log(1 - e^{-m})."""
    xp = f.xp

    def make(rows: Facts) -> Law:
        weight = rows.beta[..., None] * rows.reward + rows.log_ratio
        law = selection_law(rows.log_draft, weight, Counts(rows.xp.zeros_like(detached(rows.n)), rows.n), "softmax")
        return Law(law.log_prob, law.error + rows.weight_error, law.log_error + 2.0 * rows.weight_error)

    value, error = f.kl_to(f.shared("poisson law", make))
    rhs = xp.log1p((1.0 + f.chi2) / f.n)
    whole = detached(1.0 + f.chi2)
    some = xp.isfinite(whole)
    rounding = xp.where(some, chi2_error(f, f.log_draft), np.inf) / xp.where(some, whole, 1.0) + 16.0 * EPS
    if form == "sharp":
        rhs = rhs + xp.log(-xp.expm1(-f.n))
    return Sides(value, rhs, error + rounding, detached(divergence.kl(f.log_pi, f.log_draft)))


_POISSON = r"KL(\pi\|P_{Poisson(m)}) \le \log(1+(1+\chi^2)/m)"
_NO_LAW = "the law of a Poisson number of draws has no enclosure: a counterexample would not be proved"

_poisson = partial(proved, assumptions=(COVERED,), uncertified=_NO_LAW)
_UNIFORM = "the gap is an integral over a uniform reward, a function of n alone: no instance to enclose"

TABLE = (
    Claim(
        "M23",
        r"KL(BoPoisson\|tilt) \le 8\cdot 10^{-4}",
        poisson_gap,
        source="arXiv 2506.19248",
        smooth=False,
        uncertified=_UNIFORM,
    ),
    _poisson("M24", _POISSON, partial(poisson_drafts, form="plain"), most_outcomes=512),
    _poisson("M24-sharp", _POISSON + r"+\log(1-e^{-m})", partial(poisson_drafts, form="sharp")),
)
