"""Claims on regularized best-of-n (M40), at M = 2: its law, and the reward of selecting by an imperfect one.

The reward that selects is r̂ = w/C, the true one r* = (r - min r)/osc(r), the comparator π: all three are there on every
instance, r̂ = r* among them (a draft that is the base, rewards 0 and 1, β large).
"""

from __future__ import annotations

import functools
from fractions import Fraction
from typing import TYPE_CHECKING

import numpy as np

from gsi_theory.arrays.namespace import detached
from gsi_theory.claims.assumptions import COVERED, WHOLE
from gsi_theory.claims.claim import Assumption, proved, reading, twins
from gsi_theory.claims.facts import Facts
from gsi_theory.claims.sides import Sides
from gsi_theory.laws.selection_law import EPS
from gsi_theory.limits import best_reward, best_tv_adaptive
from gsi_theory.types import Array

if TYPE_CHECKING:
    from flint import arb

    from gsi_theory.certified.ball_facts import BallFacts

__all__ = ["TABLE", "drawn_at_most", "gap", "one_more", "regret"]

M = 2
RULE = f"regularized:{M}"
MOST_OUTCOMES = 64  # its law is computed row by row
MOST_DRAFTS = 1024  # balls of a binomial tail take as long as its numbers are large
FEW_DRAFTS = Assumption(f"n ≤ {MOST_DRAFTS}", lambda f: f.n <= MOST_DRAFTS, lambda f: f.scheme.n <= MOST_DRAFTS)


def _rewards(f: Facts) -> tuple[Array, Array]:
    """r̂ and r* (..., K), both in [0, 1]."""
    xp, seen = f.xp, f.held & f.covered
    chosen = xp.where(seen, xp.exp(xp.where(seen, f.log_w - f.log_coverage[..., None], 0.0)), 0.0)
    some = f.osc > 0
    return chosen, f.centered / xp.where(some, f.osc, 1.0)[..., None]


def _gap(f: Facts, chosen: Array, law: Array) -> Array:
    """Δ = CVaR_M(r̂) - E_P r̂ (...)."""
    return best_reward(chosen, f.log_draft, float(M)) - f.xp.vecdot(f.xp.exp(law), chosen, axis=-1)


def drawn_at_most(f: Facts) -> Sides:
    """(M40) P ≤ Mμ: the largest log P - log μ - log M ≤ 0; both sides are logs."""
    xp, law = f.xp, f.draft_law(RULE)
    log_mass = xp.where(f.covered, f.log_draft, 0.0)
    apart = xp.where(f.covered, xp.where(f.covered, law.log_prob, 0.0) - log_mass, -np.inf)
    size = xp.max(xp.where(f.covered, xp.abs(detached(log_mass)), 0.0), axis=-1)
    return Sides(xp.max(apart, axis=-1) - float(np.log(M)), 0.0, law.log_error + 16.0 * EPS * (1.0 + size))


def regret(f: Facts, form: str) -> Sides:
    """(M40): E_π r* - E_P r* ≤ E_M(π‖μ) + Mε + Δ; "summarized": with 1/n in the place of Δ."""
    xp, law = f.xp, f.draft_law(RULE)
    chosen, true = _rewards(f)
    lost = xp.vecdot(f.pi - xp.exp(law.log_prob), true, axis=-1)
    off = xp.vecdot(xp.exp(f.log_draft), xp.abs(chosen - true), axis=-1)
    missed = best_tv_adaptive(f.log_pi, f.log_draft, float(M))
    rest = 1.0 / f.n if form == "summarized" else _gap(f, chosen, law.log_prob)
    error = 2.0 * law.error + 16.0 * f.weight_error + 4.0 * f.rounding
    return Sides(lost, missed + M * off + rest, error, trivial=1.0)


def gap(f: Facts) -> Sides:
    """(M40): Δ ≤ ½√(M/n) + M/(n + M)."""
    xp, law = f.xp, f.draft_law(RULE)
    bound = 0.5 * xp.sqrt(M / f.n) + M / (f.n + M)
    error = law.error + 8.0 * f.weight_error + 4.0 * f.rounding
    return Sides(_gap(f, _rewards(f)[0], law.log_prob), bound, error, trivial=1.0)


def one_more(f: Facts) -> Sides:
    """(M40) read as: E r̂ of n draws is at most that of n + 1."""
    chosen, fewer, more = _rewards(f)[0], f.draft_law(RULE), f.draft_law(RULE, f.n + 1.0)
    lhs, rhs = (f.xp.vecdot(f.xp.exp(law.log_prob), chosen, axis=-1) for law in (fewer, more))
    return Sides(lhs, rhs, fewer.error + more.error + 8.0 * f.weight_error + 4.0 * f.rounding, trivial=1.0)


def _reward_balls(f: BallFacts) -> tuple[list[arb], list[arb]]:
    """`_rewards`."""
    chosen = [f.zero if w is None else w / f.coverage for w in f.w]
    level = f.osc.is_zero()
    return chosen, [f.zero if level else r / f.osc for r in f.centered]


def _gap_balls(f: BallFacts, chosen: list[arb]) -> arb:
    """`_gap`: the best 1/M of the draft's mass, heaviest first."""
    from gsi_theory.certified.ball_law import compare

    inst, room, best = f.instance, Fraction(1, M), f.zero
    key = functools.cmp_to_key(compare)
    reach = [y for y in range(inst.size) if inst.draft[y] and inst.base[y]]  # elsewhere r̂ = 0
    for y in sorted(reach, key=lambda y: key(f.draft_weight[y]), reverse=True):
        taken = min(room, inst.draft[y])
        best, room = best + f.ball(taken) * chosen[y], room - taken
    mean = f.total([p * r for p, r in zip(f.draft_law(RULE), chosen, strict=True)])
    return M * best - mean


def drawn_at_most_balls(f: BallFacts) -> tuple[arb, arb]:
    """`drawn_at_most`."""
    rows = zip(f.draft_law(RULE), f.draft, strict=True)
    return f.largest([(q / (M * s)).log() for q, s in rows if not (s.is_zero() or q.is_zero())]), f.zero


def regret_balls(f: BallFacts, form: str) -> tuple[arb, arb]:
    """`regret`."""
    chosen, true = _reward_balls(f)
    lost = f.total([(p - q) * r for p, q, r in zip(f.pi, f.draft_law(RULE), true, strict=True)])
    off = f.total([s * abs(a - b) for s, a, b in zip(f.draft, chosen, true, strict=True)])
    missed = f.total([(p - M * s).nonnegative_part() for p, s in zip(f.pi, f.draft, strict=True)])
    rest = f.ball(1) / f.scheme.n if form == "summarized" else _gap_balls(f, chosen)
    return lost, missed + M * off + rest


def gap_balls(f: BallFacts) -> tuple[arb, arb]:
    """`gap`."""
    n = f.scheme.n
    return _gap_balls(f, _reward_balls(f)[0]), (f.ball(M) / n).sqrt() / 2 + f.ball(M) / (n + M)


def one_more_balls(f: BallFacts) -> tuple[arb, arb]:
    """`one_more`."""
    chosen, more = _reward_balls(f)[0], f.with_draws(f.scheme.n + 1)
    fewer, later = (f.total([p * r for p, r in zip(each.draft_law(RULE), chosen, strict=True)]) for each in (f, more))
    return fewer, later


_SOURCE = "a summary of regularized best-of-n, arXiv 2603.05739 (second-hand reading)"
_LEFT = r"E_{\pi}r^*-E_P r^* \le E_M(\pi\|\mu)+M\,E_\mu|\hat r-r^*|"
_WHERE = r",\ \hat r=w/C,\ M=2"

TABLE = (
    proved(
        "M40-drawn",
        r"P_n(y) \le M\mu(y),\ M=2",
        drawn_at_most,
        drawn_at_most_balls,
        (WHOLE, FEW_DRAFTS),
        logs=True,
        smooth=False,
        most_outcomes=MOST_OUTCOMES,
    ),
    proved(
        "M40",
        _LEFT + r"+\text{CVaR}_M\hat r-E_P\hat r" + _WHERE,
        *twins(regret, regret_balls, "ours"),
        (COVERED, WHOLE, FEW_DRAFTS),
        smooth=False,
        most_outcomes=MOST_OUTCOMES,
    ),
    proved(
        "M40-gap",
        r"\text{CVaR}_M\hat r-E_P\hat r \le \tfrac12\sqrt{M/n}+M/(n+M)" + _WHERE,
        gap,
        gap_balls,
        (COVERED, WHOLE, FEW_DRAFTS),
        smooth=False,
        most_outcomes=MOST_OUTCOMES,
    ),
    reading(
        "M40-summarized",
        _LEFT + r"+1/n" + _WHERE,
        *twins(regret, regret_balls, "summarized"),
        (COVERED, WHOLE, FEW_DRAFTS),
        source=_SOURCE,
        smooth=False,
        most_outcomes=MOST_OUTCOMES,
    ),
    reading(
        "M40-monotone",
        r"E_{P_n}\hat r \le E_{P_{n+1}}\hat r" + _WHERE,
        one_more,
        one_more_balls,
        (COVERED, WHOLE, FEW_DRAFTS),
        source="a reading: more draws never hurt regularized best-of-n",
        smooth=False,
        most_outcomes=MOST_OUTCOMES,
    ),
)
