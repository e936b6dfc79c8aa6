"""Claims on several drafters (M20, M37b): the draft with n draws and the base with n_base, N = n + n_base.

p_mix = (n π_S + n_base π_B)/N always covers π; w = π/p_mix (balance heuristic), e_j = E_{p_j} w, ρ_j = n_j/N. The law
of the fixed allocation is found row by row in NumPy (no gradient); that of the random one is (M2) on p_mix.
"""

from __future__ import annotations

import itertools
from fractions import Fraction
from functools import partial
from typing import TYPE_CHECKING

import numpy as np

from gsi_theory import divergence
from gsi_theory.arrays.namespace import detached, host, table
from gsi_theory.claims.assumptions import POOLABLE, WHOLE
from gsi_theory.claims.claim import proved
from gsi_theory.claims.facts import Facts
from gsi_theory.claims.sides import LARGEST_LOG, Sides, chi2_error, least
from gsi_theory.laws.drafters import fixed_allocation_law
from gsi_theory.laws.draws import Counts
from gsi_theory.laws.selection_law import EPS, Law, selection_laws
from gsi_theory.limits import best_tv, best_tv_two
from gsi_theory.types import Array

if TYPE_CHECKING:
    from flint import arb

    from gsi_theory.certified.ball_facts import BallFacts

__all__ = ["TABLE", "fixed_allocation", "mixture_chi2", "random_allocation"]


def _log_mix(f: Facts) -> Array:
    """log p_mix (..., K); -inf where neither policy has mass."""
    xp = f.xp
    whole = f.n + f.n_base
    one, other = f.log_draft + xp.log(f.n / whole)[..., None], f.log_base + xp.log(f.n_base / whole)[..., None]
    none = (one == -np.inf) & (other == -np.inf)
    return xp.where(none, -np.inf, xp.logaddexp(xp.where(none, 0.0, one), xp.where(none, 0.0, other)))


def _log_weight(f: Facts, log_mix: Array) -> Array:
    """log π/p_mix (..., K), -inf where π = 0."""
    xp = f.xp
    return xp.where(f.held, xp.where(f.held, f.log_pi, 0.0) - xp.where(f.held, log_mix, 0.0), -np.inf)


def _fixed_laws(f: Facts) -> Law:
    """Laws of the winner among exactly n draft and n_base base draws, row by row."""
    log_mix = host(_log_mix(f))
    weight = host(_log_weight(f, table(log_mix, f.reward)))
    rows = [host(v).reshape(-1, f.size) for v in (f.log_draft, f.log_base)]
    counts = [host(v).reshape(-1) for v in (f.n, f.n_base)]
    flat = weight.reshape(-1, f.size)
    laws = [
        fixed_allocation_law(np.stack([rows[0][i], rows[1][i]]), flat[i], [int(counts[0][i]), int(counts[1][i])])
        for i in range(flat.shape[0])
    ]
    log_prob = np.reshape([law.log_prob for law in laws], (*f.shape, f.size))
    error, log_error = (np.reshape([getattr(law, k) for law in laws], f.shape) for k in ("error", "log_error"))
    extra = host(f.weight_error)
    return Law(*(table(v, f.reward) for v in (log_prob, error + extra, log_error + 2.0 * extra)))


def fixed_allocation(f: Facts, form: str) -> Sides:
    """(M20) fixed allocation, KL(π‖P) ≤ log(1 + (1 + χ²(π‖p_mix) - c)/N).

    c = min_j e_j ("least"), 1 ("one", the form of M11), Σ ρ_j e_j² ("squares", the largest of the three).
    """
    xp, log_mix = f.xp, _log_mix(f)
    value, error = f.kl_to(f.shared("fixed allocation", _fixed_laws))
    w = xp.exp(xp.clip(_log_weight(f, log_mix), None, LARGEST_LOG))
    draft, base = (xp.vecdot(xp.exp(v), w, axis=-1) for v in (f.log_draft, f.log_base))
    whole, chi2 = f.n + f.n_base, divergence.chi2(f.log_pi, log_mix)
    if form == "least":
        off = least(draft, base)
    elif form == "one":
        off = 1.0 + 0.0 * draft
    else:
        off = (f.n * draft * draft + f.n_base * base * base) / whole
    # 1 + χ² = Σ π w is at least Σ ρ_j e_j² and min_j e_j ≤ 1, so what is left is never negative.
    left = xp.clip((1.0 - off) + chi2, 0.0, None)
    size = detached(1.0 + chi2)
    rough = (chi2_error(f, log_mix) + (8.0 * f.weight_error + f.rounding) * size) / detached(whole)
    return Sides(value, xp.log1p(left / whole), error + rough)


def random_allocation(f: Facts) -> Sides:
    """(M20) random allocation, every draw from p_mix: KL(π‖P) ≤ log(1 + χ²(π‖p_mix)/N); trivial: KL(π‖p_mix)."""

    def make(rows: Facts) -> Law:
        log_mix = _log_mix(rows)
        law = selection_laws(log_mix, _log_weight(rows, log_mix), rows.n + rows.n_base, "softmax")
        return Law(law.log_prob, law.error + rows.weight_error, law.log_error + 2.0 * rows.weight_error)

    xp, log_mix = f.xp, _log_mix(f)
    value, error = f.kl_to(f.shared("random allocation", make))
    whole, chi2 = f.n + f.n_base, divergence.chi2(f.log_pi, log_mix)
    rough = (chi2_error(f, log_mix) + 8.0 * f.weight_error * detached(1.0 + chi2)) / detached(whole)
    error = error + rough + 16.0 * EPS * detached(xp.log1p(chi2))
    return Sides(value, xp.log1p(chi2 / whole), error, detached(divergence.kl(f.log_pi, log_mix)))


def mixture_chi2(f: Facts) -> Sides:
    """(M20): log(1 + χ²(π‖p_mix)) ≤ min_j log((N/n_j)(1 + χ²(π‖p_j))), both sides logs."""
    xp, log_mix = f.xp, _log_mix(f)
    whole = f.n + f.n_base
    lhs = divergence.renyi(f.log_pi, log_mix, 2.0)
    draft, base = divergence.renyi(f.log_pi, f.log_draft, 2.0), divergence.renyi(f.log_pi, f.log_base, 2.0)
    draft, base = xp.log(whole / f.n) + draft, xp.log(whole / f.n_base) + base
    rhs = least(draft, base)
    size = 1.0 + xp.abs(detached(rhs)) + xp.abs(detached(lhs))
    return Sides(lhs, rhs, 16.0 * f.weight_error + 32.0 * EPS * size)


def _best_of_both(f: Facts) -> Array:
    """The least TV to π of one of n draft and n_base base draws (M37) (...), row by row."""
    rows = [host(v).reshape(-1, f.size) for v in (f.log_pi, f.log_draft, f.log_base)]
    numbers = [np.broadcast_to(host(v), f.shape).reshape(-1) for v in (f.n, f.n_base)]
    best = [best_tv_two(p, s, b, int(n), int(m)) for p, s, b, n, m in zip(*rows, *numbers, strict=True)]
    return table(np.reshape(best, f.shape), f.reward)


def drafters_limit(f: Facts) -> Sides:
    """(M37b): max_A π(A) - 1 + Π_j (1 - p_j(A))^{n_j} ≤ TV(P, π), P of the fixed allocation."""
    law = f.shared("fixed allocation", _fixed_laws)
    value = divergence.tv(f.log_pi, law.log_prob)
    return Sides(_best_of_both(f), value, law.error + 8.0 * f.weight_error + f.rounding)


def mixture_limit(f: Facts) -> Sides:
    """(M37b): the least TV of n_j draws from each drafter ≤ that of N draws from p_mix (M19)."""
    whole = f.n + f.n_base
    rhs = best_tv(f.log_pi, _log_mix(f), Counts(whole, f.xp.zeros_like(detached(whole))))
    return Sides(_best_of_both(f), rhs, 8.0 * f.weight_error + f.rounding)


def mixture_limit_balls(f: BallFacts) -> tuple[arb, arb]:
    """`mixture_limit`, over every set of outcomes: of its complement π, and the chance to miss it."""
    n, other = f.scheme.n, f.scheme.base_draws
    lhs = rhs = f.ball(Fraction(0))
    rows = list(zip(f.pi, f.instance.draft, f.instance.base, strict=True))
    for chosen in itertools.product((False, True), repeat=len(rows)):
        outside = [row for row, inside in zip(rows, chosen, strict=True) if not inside]
        lost = f.total([p for p, _, _ in outside])
        draft, base = sum((s for _, s, _ in outside), Fraction(0)), sum((b for *_, b in outside), Fraction(0))
        lhs = lhs.max(f.ball(draft) ** n * f.ball(base) ** other - lost)
        rhs = rhs.max(f.ball((n * draft + other * base) / (n + other)) ** (n + other) - lost)
    return lhs, rhs


def _mix_balls(f: BallFacts) -> list[Fraction]:
    n, other = f.scheme.n, f.scheme.base_draws
    return [(n * s + other * b) / (n + other) for s, b in zip(f.instance.draft, f.instance.base, strict=True)]


def mixture_chi2_balls(f: BallFacts) -> tuple[arb, arb]:
    """`mixture_chi2`."""
    n, other = f.scheme.n, f.scheme.base_draws
    whole, mix = f.ball(n + other), [f.ball(m) for m in _mix_balls(f)]
    base = whole / other * (1 + f.chi2_base)
    draft = whole / n * (1 + f.chi2) if f.covered else base
    return f.excess(f.pi, mix).chi2_from().log1p(), draft.min(base).log()


def random_allocation_balls(f: BallFacts) -> tuple[arb, arb]:
    """`random_allocation`."""
    from gsi_theory.certified.ball_law import LogWeight

    mix, whole, beta = _mix_balls(f), f.scheme.n + f.scheme.base_draws, f.scheme.beta
    rows = zip(f.instance.reward, f.instance.base, mix, strict=True)
    law = f.law_of(mix, [LogWeight(beta * r, b / m) if m else LogWeight(m, m) for r, b, m in rows], whole)
    spread = f.excess(f.pi, [f.ball(m) for m in mix]).chi2_from()
    return f.excess(law, f.pi).kl_to(), (spread / whole).log1p()


_NO_LAW = "the law of a fixed allocation has no enclosure: a counterexample would not be proved"
_MIX = r"KL(\pi\|P) \le \log(1+"
_fixed = partial(proved, assumptions=(WHOLE, POOLABLE), smooth=False, uncertified=_NO_LAW)

TABLE = (
    _fixed(
        "M20-fixed",
        _MIX + r"(1+\chi^2(\pi\|p_{mix})-\min_jE_{p_j}w)/N)",
        partial(fixed_allocation, form="least"),
        most_outcomes=512,
    ),
    _fixed(
        "M20-fixed-chi2",
        _MIX + r"\chi^2(\pi\|p_{mix})/N)\ \text{(fixed allocation)}",
        partial(fixed_allocation, form="one"),
    ),
    _fixed(
        "M20-fixed-squares",
        _MIX + r"(1+\chi^2(\pi\|p_{mix})-\sum_j\tfrac{n_j}N(E_{p_j}w)^2)/N)",
        partial(fixed_allocation, form="squares"),
    ),
    proved(
        "M20-random",
        _MIX + r"\chi^2(\pi\|p_{mix})/N)\ \text{(random allocation)}",
        random_allocation,
        random_allocation_balls,
        most_outcomes=512,
    ),
    proved(
        "M20-chi2",
        r"1+\chi^2(\pi\|p_{mix}) \le \min_j\tfrac{N}{n_j}(1+\chi^2(\pi\|p_j))",
        mixture_chi2,
        mixture_chi2_balls,
        logs=True,
    ),
    proved(
        "M37b-drafters",
        r"\max_A\,\pi(A)-1+(1-\pi_S(A))^n(1-\pi_B(A))^{n_B} \le TV(P,\pi)\ \text{(fixed allocation)}",
        drafters_limit,
        assumptions=(WHOLE, POOLABLE),
        smooth=False,
        uncertified=_NO_LAW,
        most_outcomes=16,
    ),
    proved(
        "M37b-mixture",
        r"\max_A\,\pi(A)-1+(1-\pi_S(A))^n(1-\pi_B(A))^{n_B} \le \max_A\,\pi(A)-1+(1-p_{mix}(A))^N",
        mixture_limit,
        mixture_limit_balls,
        (WHOLE, POOLABLE),
        smooth=False,
        most_outcomes=8,
    ),
)
