"""Claims on how fast the softmax rule converges: rates of KL, total variation and reward as n → ∞ (M18)."""

from __future__ import annotations

from functools import partial

import numpy as np

from gsi_theory import divergence
from gsi_theory.arrays.namespace import detached
from gsi_theory.claims.assumptions import COVERED, VARYING
from gsi_theory.claims.claim import proved, reading
from gsi_theory.claims.facts import Facts
from gsi_theory.claims.large_n import LARGEST_LOG_SCALE, largest_reward, limit_of, starts
from gsi_theory.claims.sides import Sides, law_change
from gsi_theory.laws.selection_law import EPS, Law
from gsi_theory.types import Array

__all__ = ["TABLE", "linear_rate", "rate"]

LARGEST_LOG_W = 300.0  # its square is finite; such weights are far beyond the largest scale


def _rate_law(f: Facts, k: int) -> Law:
    """The law at k times the least of the three n."""

    def make(rows: Facts) -> Law:
        return rows.draft_law("softmax", k * starts(rows, rows.log_coverage))

    return f.shared(("rate", k), make)


def rate(f: Facts, kind: str) -> Sides:
    """(M18): the limits of n² KL, n TV and n·(reward gap) of the softmax rule."""
    xp, pi = f.xp, f.pi
    start = starts(f, f.log_coverage)

    def term(k: int) -> tuple[Array, Array]:
        n = k * start
        law = _rate_law(f, k)
        if kind == "kl":
            value, error = f.kl_to(law)
            return n * n * value, n * n * error
        if kind == "tv":
            return n * divergence.tv(f.log_pi, law.log_prob), n * (law.error + 2.0 * f.weight_error)
        change = xp.vecdot(law_change(f, law.log_prob), f.reward, axis=-1)
        return -n * change, n * 2.0 * largest_reward(f) * (law.error + 2.0 * f.weight_error)

    limit, error = limit_of(f, f.log_coverage, term, smooth=kind != "tv")
    w = xp.where(f.held, xp.exp(xp.clip(xp.where(f.held, f.log_w, 0.0), None, LARGEST_LOG_W)), 0.0)
    mean = xp.vecdot(pi, w, axis=-1)
    off = w - mean[..., None]
    if kind == "kl":
        constant = 0.5 * xp.vecdot(pi, off * off, axis=-1)
    elif kind == "tv":
        constant = 0.5 * xp.vecdot(pi, xp.abs(off), axis=-1)
    else:
        constant = xp.vecdot(pi, off * f.reward, axis=-1)
    error = error + 64.0 * EPS * abs(detached(constant)) + 8.0 * f.weight_error * detached(mean)
    if kind == "tv":
        # An outcome with w close to 1 + χ² changes the sign of P - π only at some later n: no more than this.
        law = _rate_law(f, 4)
        t = xp.clip(xp.where(f.held, law.log_prob - xp.where(f.held, f.log_pi, 0.0), 0.0), None, 30.0)
        first_order = (4.0 * start)[..., None] * xp.expm1(t) + off
        error = error + 0.5 * detached(xp.vecdot(pi, xp.abs(first_order), axis=-1))
    return Sides(limit, constant, error, scale=0.0)


def linear_rate(f: Facts) -> Sides:
    """The reading that (M18) refutes, lim n KL(π‖P_n) = χ²(π‖μ): the limit is 0.

    n KL falls as 1/n, so the value at the largest n, with all of it counted as error, encloses the limit.
    """
    n = 4.0 * starts(f, f.log_coverage)
    value, error = f.kl_to(_rate_law(f, 4))
    known = detached(f.log_coverage) <= LARGEST_LOG_SCALE
    last = n * detached(value)
    error = 2.0 * last + n * error + 16.0 * f.weight_error * detached(1.0 + f.chi2)
    return Sides(0.0 * value, f.chi2, f.xp.where(known, error, np.inf), scale=0.0)


_RATES = {
    "kl": r"\lim_n n^2 KL(\pi\|P_n) = \tfrac12 Var_\pi(w)",
    "tv": r"\lim_n n\,TV(P_n,\pi) = \tfrac12 E_\pi|w-1-\chi^2|",
    "reward": r"\lim_n n(E_\pi r - E_{P_n}r) = Cov_\pi(w,r)",
}
_ENDLESS = "a rate of n → ∞: no finite computation encloses it, so the closed form is not proved on an instance"
_rate = partial(proved, assumptions=(COVERED, VARYING), relation="=", uncertified=_ENDLESS)

TABLE = (
    *(_rate(f"M18-{kind}", text, partial(rate, kind=kind)) for kind, text in _RATES.items()),
    # the limit is 0, by M18-kl
    reading(
        "M18-linear",
        r"\lim_n n\,KL(\pi\|P_n) = \chi^2(\pi\|\mu)",
        linear_rate,
        lambda f: (f.zero, f.chi2),
        (COVERED, VARYING),
        source="(M11) read as the rate of the divergence",
        relation="=",
    ),
)
