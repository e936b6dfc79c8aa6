"""Claims on what no method can beat that stops, asks both models, or falls back (M36-M39b), and on their distances.

GSI draws n drafts and, with q = P(reject), n_base base draws: in expectation n and q·n_base. Rewards are counted from
the least that some policy has.
"""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction
from functools import partial
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np

from gsi_theory import divergence
from gsi_theory.arrays.namespace import detached, host, table
from gsi_theory.claims.assumptions import GATED, WHOLE
from gsi_theory.claims.claim import proved, reading
from gsi_theory.claims.facts import Facts
from gsi_theory.claims.rule_bounds import best_tv_of, spare_of
from gsi_theory.claims.sides import Sides
from gsi_theory.laws.fallback_limits import best_reward_no_recall, best_tv_no_recall
from gsi_theory.laws.reward_levels import reward_levels
from gsi_theory.laws.selection_law import EPS
from gsi_theory.limits import best_of_n_reward, best_reward, fixed_n_loss
from gsi_theory.types import Array, Floats

if TYPE_CHECKING:
    from flint import arb

    from gsi_theory.certified.ball_facts import BallFacts

__all__ = ["TABLE", "both_limit", "price"]


def _share(f: Facts) -> Array:
    """(1 - 1/n)ⁿ (...)."""
    xp, some = f.xp, f.n > 1.0
    return xp.where(some, xp.exp(f.n * xp.log1p(-1.0 / xp.where(some, f.n, 2.0))), 0.0)


def stopping_first(f: Facts) -> Sides:
    """(M36): Σ(π - nμ)_+ ≤ the least TV of one of n drafts (M19): who may stop is never behind."""
    spare, error = spare_of(f)
    return Sides(spare, best_tv_of(f), error + 8.0 * f.weight_error + f.rounding)


def price(f: Facts) -> Sides:
    """(M36): a fixed number costs at most (1 - 1/n)ⁿ in TV; trivial: 1."""
    spare, error = spare_of(f)
    return Sides(best_tv_of(f) - spare, _share(f), error + 8.0 * f.weight_error + f.rounding, 1.0)


def _gated_tv(f: Facts) -> tuple[Array, Array]:
    """(TV(G, π) (...), its error with that of what P(reject) enters)."""
    law = f.gated()
    error = law.error + law.log_error + 8.0 * f.weight_error + f.rounding
    return f.once("TV of the gated law", lambda: divergence.tv(f.log_pi, law.log_prob)), error


def both_limit(f: Facts) -> Sides:
    """(M37): Σ(π - nμ - q·n_base·π_B)_+ ≤ TV(G, π), q = P(reject)."""
    xp, (value, error) = f.xp, _gated_tv(f)
    log_pi = xp.where(f.held, f.log_pi, 0.0)[..., None, :]
    sources = xp.stack([f.log_draft, f.log_base], axis=-2)
    counts = xp.stack([xp.log(f.n), f.gated().log_p_reject + xp.log(f.n_base)], axis=-1)[..., None]
    apart = xp.where(xp.isfinite(sources), sources - log_pi, -np.inf) + counts
    room = xp.sum(xp.exp(xp.clip(apart, None, 1.0)), axis=-2)
    terms = xp.where(f.held, f.pi * xp.clip(1.0 - room, 0.0, None), 0.0)
    return Sides(xp.sum(terms, axis=-1), value, error)


def drafts_alone(f: Facts) -> Sides:
    """The reading that (M37) refutes: the limit of n drafts (M19) holds for GSI with its fallback."""
    value, error = _gated_tv(f)
    return Sides(best_tv_of(f), value, error)


def _rows(f: Facts, of: Callable[..., Array], first: Array) -> Floats:
    """A limit of GSI's shape row by row: of(first, draft, base, n, m, q)."""
    vectors = [host(v).reshape(-1, f.size) for v in (first, f.log_draft, f.log_base)]
    chance = np.exp(np.minimum(host(f.gated().log_p_reject), 0.0))
    numbers = [np.broadcast_to(host(v), f.shape).reshape(-1) for v in (f.n, f.n_base, chance)]
    rows = zip(*vectors, *numbers, strict=True)
    return np.reshape([of(v, s, b, int(n), int(m), float(q)) for v, s, b, n, m, q in rows], f.shape)


def fallback_limit(f: Facts) -> Sides:
    """(M39b): the least TV of rounds with GSI's probability of fallback, without recall ≤ TV(G, π)."""
    value, error = _gated_tv(f)
    return Sides(table(_rows(f, best_tv_no_recall, f.log_pi), f.reward), value, error)


def _reward_error(f: Facts, law_error: Array) -> Array:
    osc = detached(f.osc)
    return f.xp.where(osc > 0, osc, 1.0) * f.xp.where(osc > 0, law_error + f.rounding + 64.0 * EPS, 0.0)


def winner_reward(f: Facts) -> Sides:
    """(M38): E_{P_n} r ≤ E max of n drafts, whatever the rule; trivial: osc r."""
    law = f.draft_law()
    lhs = f.xp.vecdot(f.xp.exp(law.log_prob), f.centered, axis=-1)
    rhs = best_of_n_reward(f.centered, f.log_draft, f.n)
    return Sides(lhs, rhs, _reward_error(f, law.error), detached(f.osc))


def stopping_reward(f: Facts) -> Sides:
    """(M38): E max of n drafts ≤ the upper CVaR at level 1/n."""
    lhs, rhs = (of(f.centered, f.log_draft, f.n) for of in (best_of_n_reward, best_reward))
    return Sides(lhs, rhs, _reward_error(f, 0.0 * detached(f.beta)), detached(f.osc))


def reward_price(f: Facts) -> Sides:
    """(M38): a fixed number costs at most (1 - 1/n)ⁿ osc r in reward; trivial: osc r."""
    lhs = fixed_n_loss(f.centered, f.log_draft, f.n)
    return Sides(lhs, _share(f) * f.osc, _reward_error(f, 0.0 * detached(f.beta)), detached(f.osc))


def _gated_reward(f: Facts) -> tuple[Array, Array]:
    law = f.gated()
    lhs = f.xp.vecdot(f.xp.exp(law.log_prob), f.centered, axis=-1)
    return lhs, _reward_error(f, law.error + law.log_error)


def both_reward(f: Facts) -> Sides:
    """(M37, M38): E_G r ≤ ∫ min(1, nS + q·n_base·S_B) dx, S and S_B the chances of more than x; trivial: osc r."""
    lhs, error = _gated_reward(f)
    xp, levels = reward_levels(f.centered, f.log_draft, f.log_base)
    reject = f.xp.exp(f.gated().log_p_reject) * f.n_base
    chance = f.n[..., None] * levels.above[0] + reject[..., None] * levels.above[1]
    return Sides(lhs, levels.mean(xp.clip(chance, None, 1.0)), error, detached(f.osc))


def fallback_reward(f: Facts) -> Sides:
    """(M39b): E_G r ≤ the largest reward of rounds with GSI's probability of fallback, without recall."""
    lhs, error = _gated_reward(f)
    return Sides(lhs, table(_rows(f, best_reward_no_recall, f.centered), f.reward), error, detached(f.osc))


def _spare_balls(f: BallFacts) -> arb:
    return f.total([(p - f.scheme.n * s).nonnegative_part() for p, s in zip(f.pi, f.draft, strict=True)])


def _share_balls(f: BallFacts) -> arb:
    return f.ball(1 - Fraction(1, f.scheme.n)) ** f.scheme.n  # the fraction to the power would have n digits


def stopping_first_balls(f: BallFacts) -> tuple[arb, arb]:
    """`stopping_first`."""
    return _spare_balls(f), f.best_tv


def price_balls(f: BallFacts) -> tuple[arb, arb]:
    """`price`."""
    return f.best_tv - _spare_balls(f), _share_balls(f)


def both_limit_balls(f: BallFacts) -> tuple[arb, arb]:
    """`both_limit`."""
    back = f.gated.p_reject * f.scheme.base_draws
    rows = zip(f.pi, f.draft, f.base, strict=True)
    lhs = f.total([(p - f.scheme.n * s - back * b).nonnegative_part() for p, s, b in rows])
    return lhs, f.law_excess.tv()


def drafts_alone_balls(f: BallFacts) -> tuple[arb, arb]:
    """`drafts_alone`."""
    return f.best_tv, f.law_excess.tv()


def _levels(f: BallFacts) -> list[tuple[arb, Fraction, Fraction]]:
    """(step from one reward to the next lower, P_μ(r above), P_B(r above)), over the outcomes that some policy has."""
    inst = f.instance
    real = [(r, s, b) for r, s, b in zip(inst.reward, inst.draft, inst.base, strict=True) if s or b]
    real.sort(key=lambda row: row[0], reverse=True)
    out, drafts, bases = [], Fraction(0), Fraction(0)
    for (r, s, b), (lower, _, _) in pairwise(real):
        drafts, bases = drafts + s, bases + b
        out.append((f.ball(r - lower), drafts, bases))
    return out


def _mean_balls(f: BallFacts, law: list[arb]) -> arb:
    return f.total([p * r for p, r in zip(law, f.centered, strict=True)])


def _some(f: BallFacts, mass: Fraction, n: int) -> arb:
    """1 - (1 - S)ⁿ."""
    return 1 - f.ball(1 - mass) ** n


def winner_reward_balls(f: BallFacts) -> tuple[arb, arb]:
    """`winner_reward`."""
    best = f.total([step * _some(f, s, f.scheme.n) for step, s, _ in _levels(f)])
    return _mean_balls(f, f.draft_law()), best


def stopping_reward_balls(f: BallFacts) -> tuple[arb, arb]:
    """`stopping_reward`."""
    n = f.scheme.n
    best = f.total([step * _some(f, s, n) for step, s, _ in _levels(f)])
    return best, f.total([step * f.ball(min(Fraction(1), n * s)) for step, s, _ in _levels(f)])


def reward_price_balls(f: BallFacts) -> tuple[arb, arb]:
    """`reward_price`."""
    best, stopping = stopping_reward_balls(f)
    return stopping - best, _share_balls(f) * f.osc


def both_reward_balls(f: BallFacts) -> tuple[arb, arb]:
    """`both_reward`."""
    back, n = f.gated.p_reject * f.scheme.base_draws, f.scheme.n
    chances = [(step, f.ball(n * s) + back * f.ball(b)) for step, s, b in _levels(f)]
    return _mean_balls(f, f.gated.law), f.total([step * c.min(f.ball(Fraction(1))) for step, c in chances])


def fallback_reward_balls(f: BallFacts) -> tuple[arb, arb]:
    """`fallback_reward`."""
    s, q = f.scheme, f.gated.p_reject
    chances = [
        (step, _some(f, above, s.n).min(1 - q) + q * _some(f, base, s.base_draws)) for step, above, base in _levels(f)
    ]
    return _mean_balls(f, f.gated.law), f.total([step * c for step, c in chances])


_BOTH = r"\sum(\pi-n\mu-qn_B\pi_B)_+"
_proved = partial(proved, smooth=False)

TABLE = (
    _proved("M36-fixed", r"\sum(\pi-n\mu)_+ \le \min_{rules}TV(P_n,\pi)", stopping_first, stopping_first_balls),
    _proved("M36-price", r"\min_{rules}TV(P_n,\pi)-\sum(\pi-n\mu)_+ \le (1-1/n)^n", price, price_balls),
    _proved("M37-gated", _BOTH + r" \le TV(G,\pi)", both_limit, both_limit_balls, (GATED,)),
    reading(
        "M37-drafts",
        r"\max_A\,\pi(A)-1+(1-\mu(A))^n \le TV(G,\pi)",
        drafts_alone,
        drafts_alone_balls,
        (GATED,),
        source="(M19) read for GSI with its fallback",
        smooth=False,
    ),
    _proved("M38-winner", r"E_{P_n}r \le E\max r\ \text{of}\ n\ \text{drafts}", winner_reward, winner_reward_balls),
    _proved(
        "M38-stopping",
        r"E\max r\ \text{of}\ n\ \text{drafts} \le CVaR_{1/n}(r)",
        stopping_reward,
        stopping_reward_balls,
    ),
    _proved(
        "M38-price",
        r"CVaR_{1/n}(r)-E\max r\ \text{of}\ n\ \text{drafts} \le (1-1/n)^n osc(r)",
        reward_price,
        reward_price_balls,
    ),
    _proved(
        "M38-gated",
        r"E_Gr \le \text{integral of the least of}\ 1\ \text{and}\ nS+qn_BS_B",
        both_reward,
        both_reward_balls,
        (GATED,),
    ),
    _proved(
        "M39b-gated",
        r"\max_A\,\pi(A)-\min(1-f,1-q)-q(1-f_B) \le TV(G,\pi)",
        fallback_limit,
        assumptions=(GATED, WHOLE),
        uncertified="a largest value over all sets has no enclosure here: a counterexample would not be proved",
        most_outcomes=16,
    ),
    _proved(
        "M39b-reward",
        r"E_Gr \le E[M_n;\text{highest}\ 1-q]+qEM_B",
        fallback_reward,
        fallback_reward_balls,
        (GATED, WHOLE),
        most_outcomes=64,
    ),
)
