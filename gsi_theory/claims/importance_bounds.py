"""Claims on self-normalized importance sampling, whose mean is that of the softmax rule (M27)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gsi_theory import divergence
from gsi_theory.arrays.namespace import detached
from gsi_theory.claims.assumptions import COVERED, SEVERAL
from gsi_theory.claims.claim import Claim, proved, reading, twins
from gsi_theory.claims.facts import Facts
from gsi_theory.claims.sides import Sides, chi2_error, least
from gsi_theory.laws.selection_law import EPS

if TYPE_CHECKING:
    from flint import arb

    from gsi_theory.certified.ball_facts import BallFacts

__all__ = ["TABLE", "channel", "importance_bias"]


def importance_bias(f: Facts, factor: int) -> Sides:
    """(M27) the bias of self-normalized importance sampling, the worst over |f| ≤ 1: 2 TV(P_n, π) ≤ factor (1+χ²)/n.

    E_{P_n} f of the softmax rule is exactly the mean of Σ w f/Σ w. Trivial: 2.
    """
    value, law = f.tv("softmax")
    rhs = factor * (1.0 + f.chi2) / f.n
    moved = 2.0 * least(chi2_error(f, f.log_draft) / detached(f.n) * 6.0, 1.0 + 0.0 * f.weight_error)
    return Sides(2.0 * value, rhs, 2.0 * law.error + 4.0 * f.weight_error + moved + 16.0 * EPS, 2.0)


def channel(f: Facts) -> Sides:
    """(M27) without its o(1): TV(P_n, π) ≤ KL(π‖μ)/log n, n ≥ 2, for the softmax rule."""
    xp, (value, law) = f.xp, f.tv("softmax")
    rhs = divergence.kl(f.log_pi, f.log_draft) / xp.log(f.n)
    rough = law.error + 16.0 * f.weight_error + 32.0 * EPS * (1.0 + detached(rhs))
    return Sides(value, rhs, rough, 1.0)


def importance_bias_balls(f: BallFacts, factor: int) -> tuple[arb, arb]:
    """`importance_bias`."""
    return 2 * f.draft_excess("softmax").tv(), factor * (1 + f.chi2) / f.scheme.n


def channel_balls(f: BallFacts) -> tuple[arb, arb]:
    """`channel`."""
    return f.draft_excess("softmax").tv(), f.pi_over_draft.kl_from() / f.ball(f.scheme.n).log()


_BIAS = r"\sup_{|f|\le 1}|E_{P_n}f-E_\pi f| \le "

TABLE = (
    Claim(
        "M27",
        _BIAS + r"12(1+\chi^2)/n",
        *twins(importance_bias, importance_bias_balls, 12),
        (COVERED,),
        source="Agapiou et al. 2017, from memory",
    ),
    proved("M27-sharp", _BIAS + r"2(1+\chi^2)/n", *twins(importance_bias, importance_bias_balls, 2), (COVERED,)),
    reading(
        "M27-channel",
        r"TV(P_n,\pi) \le KL(\pi\|\mu)/\log n",
        channel,
        channel_balls,
        (COVERED, SEVERAL),
        source="Flamich & Wells, arXiv 2405.04363, read without its o(1)",
    ),
)
