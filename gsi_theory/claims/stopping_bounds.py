"""Claims on stopping: what no rule with n draws beats in reward or divergence if rules may stop (M36, M38).

The threshold u of a scheme is read as a reservation value: a draw then costs c = E_μ(r - u)_+.
"""

from __future__ import annotations

from fractions import Fraction
from itertools import pairwise
from typing import TYPE_CHECKING

from gsi_theory import divergence
from gsi_theory.arrays.namespace import detached
from gsi_theory.claims.assumptions import COVERED, FINITE_SCORE, POSITIVE
from gsi_theory.claims.claim import IDENTITY, Assumption, proved, reading, twins
from gsi_theory.claims.facts import Facts
from gsi_theory.claims.sides import Sides
from gsi_theory.laws.attaining_laws import adaptive_law
from gsi_theory.laws.draws import MOST
from gsi_theory.laws.selection_law import selection_laws
from gsi_theory.limits import best_of_n_reward, best_reward, best_tv_adaptive
from gsi_theory.types import Array

if TYPE_CHECKING:
    from flint import arb

    from gsi_theory.certified.ball_facts import BallFacts

__all__ = ["TABLE", "attained", "equal_kl", "nearest", "no_gain", "price"]


LARGEST_THRESHOLD = 1e150  # beyond it sums of rewards leave float64
_MODERATE = Assumption(
    f"|u| ≤ {LARGEST_THRESHOLD:g}",
    lambda f: abs(f.threshold) <= LARGEST_THRESHOLD,
    lambda f: f.scheme.threshold is not None and abs(f.scheme.threshold) <= LARGEST_THRESHOLD,
)


def _mean(f: Facts) -> tuple[Array, Array]:
    """(E r - min r (...) of the scheme's own rule on n drafts, its error)."""
    law = f.draft_law()
    value = f.xp.vecdot(f.xp.exp(law.log_prob), f.centered, axis=-1)
    return value, detached(f.osc) * (2.0 * law.error + 2.0 * f.rounding)


def price(f: Facts, form: str) -> Sides:
    """(M38): E r ≤ u + n E(r - u)_+ of every rule on n draws; "capped": with E max_{i≤n} min(r_i, u) for u."""
    xp, (value, error) = f.xp, _mean(f)
    cut = f.threshold - f.lowest_reward
    over = xp.vecdot(xp.exp(f.log_draft), xp.clip(f.centered - cut[..., None], 0.0, None), axis=-1)
    below = cut
    if form == "capped":
        below = best_of_n_reward(xp.minimum(f.centered, cut[..., None]), f.log_draft, detached(f.n))
    size = abs(detached(cut)) + abs(detached(f.threshold)) + abs(detached(f.lowest_reward)) + detached(f.osc)
    rounding = 4.0 * f.rounding * (size + detached(f.n * over))
    return Sides(value, below + f.n * over, error + rounding, detached(f.osc))


def no_gain(f: Facts) -> Sides:
    """The reading that n expected draws are worth no more than n draws."""
    n = detached(f.n)
    fixed, stopped = (g(f.centered, f.log_draft, n) for g in (best_of_n_reward, best_reward))
    return Sides(stopped, fixed, detached(f.osc) * 4.0 * f.rounding, detached(f.osc))


def equal_kl(f: Facts) -> Sides:
    """The reading that stopping beats best-of-n at equal KL too: E max_n r ≤ CVaR at level e^{-KL(best-of-n‖μ)}.

    A threshold rule of m expected draws has KL ≤ log m, equal without ties.
    """
    xp, n = f.xp, detached(f.n)
    law = selection_laws(f.log_draft, detached(f.centered), n, "max")
    spent = xp.clip(divergence.kl(law.log_prob, f.log_draft) + xp.zeros_like(n), 0.0, None)
    draws = xp.clip(xp.exp(xp.clip(spent, None, 36.0)), 1.0, float(MOST))
    fixed, stopped = best_of_n_reward(f.centered, f.log_draft, n), best_reward(f.centered, f.log_draft, draws)
    error = detached(f.osc) * (4.0 * f.rounding + 4.0 * (law.log_error + f.rounding) * (1.0 + spent))
    return Sides(fixed, stopped, error, detached(f.osc))


def attained(f: Facts) -> Sides:
    """(M36): the law min(cπ, nμ) lies at TV Σ(π - nμ)_+ from π."""
    law = adaptive_law(f.log_pi, f.log_draft, detached(f.n))
    value = divergence.tv(law, f.log_pi)
    error = 4.0 * f.weight_error + 8.0 * f.rounding
    return Sides(value, best_tv_adaptive(f.log_pi, f.log_draft, detached(f.n)), error)


def nearest(f: Facts) -> Sides:
    """(M36): KL(π‖min(cπ, nμ)) is no more than that of any rule on n drafts."""
    xp = f.xp
    log_prob = detached(adaptive_law(f.log_pi, f.log_draft, detached(f.n)))
    least = divergence.kl(f.log_pi, log_prob)
    value, error = f.kl_to(f.draft_law())
    gap = xp.where(f.held, f.log_pi - xp.where(f.held, log_prob, 0.0), 0.0)
    own = (8.0 * f.weight_error + 8.0 * f.rounding) * (1.0 + xp.max(abs(detached(gap)), axis=-1))
    return Sides(least, value, error + own)


def _levels(f: BallFacts, rewards: list[Fraction]) -> tuple[Fraction, list[tuple[Fraction, Fraction]]]:
    """(least, (step, P(r > x) on it) from the largest reward down), exactly, of the outcomes that some policy has."""
    rows = zip(rewards, f.instance.draft, f.instance.base, strict=True)
    there = sorted(((r, s) for r, s, b in rows if s or b), reverse=True)
    above, out = Fraction(0), []
    for (value, mass), (lower, _) in pairwise(there):
        above += mass
        out.append((value - lower, above))
    return there[-1][0], out


def _rewards(f: BallFacts) -> list[Fraction]:
    """r - min r, exactly."""
    real = [r for r, s, b in zip(f.instance.reward, f.instance.draft, f.instance.base, strict=True) if s or b]
    return [r - min(real) for r in f.instance.reward]


def _some(f: BallFacts, above: Fraction) -> arb:
    """1 - (1 - S)ⁿ."""
    if above >= 1:
        return f.ball(1)
    return -(f.scheme.n * _log_rest(f, above)).expm1()


def _log_rest(f: BallFacts, above: Fraction) -> arb:
    """log(1 - S), S < 1."""
    return (-f.ball(above)).log1p() if 2 * above < 1 else f.ball(1 - above).log()


def _best_of_n(f: BallFacts, rewards: list[Fraction]) -> arb:
    least, levels = _levels(f, rewards)
    return f.ball(least) + f.total([f.ball(step) * _some(f, above) for step, above in levels])


def _cvar(f: BallFacts, draws: arb) -> arb:
    _, levels = _levels(f, _rewards(f))
    return f.total([f.ball(step) * f.smallest([f.ball(1), draws * f.ball(above)]) for step, above in levels])


def _mean_ball(f: BallFacts) -> arb:
    return f.total([p * f.ball(r) for p, r in zip(f.draft_law(), _rewards(f), strict=True)])


def price_balls(f: BallFacts, form: str) -> tuple[arb, arb]:
    """`price`."""
    assert f.scheme.threshold is not None
    rows = list(zip(f.instance.reward, f.instance.draft, f.instance.base, strict=True))
    rewards = _rewards(f)
    cut = Fraction(f.scheme.threshold) - min(r for r, s, b in rows if s or b)
    over = sum((s * max(r - cut, Fraction(0)) for r, s in zip(rewards, f.instance.draft, strict=True)), Fraction(0))
    below = f.ball(cut) if form == "plain" else _best_of_n(f, [min(r, cut) for r in rewards])
    return _mean_ball(f), below + f.ball(f.scheme.n * over)


def no_gain_balls(f: BallFacts) -> tuple[arb, arb]:
    """`no_gain`."""
    return _cvar(f, f.ball(f.scheme.n)), _best_of_n(f, _rewards(f))


def equal_kl_balls(f: BallFacts) -> tuple[arb, arb]:
    """`equal_kl`: the law of best-of-n by reward has one quotient P/μ on a level, Fⁿ(1 - (F'/F)ⁿ)/(F - F')."""
    masses: dict[Fraction, Fraction] = {}
    for reward, mass in zip(_rewards(f), f.instance.draft, strict=True):
        masses[reward] = masses.get(reward, Fraction(0)) + mass
    above, spent = Fraction(0), f.zero
    for reward in sorted(masses, reverse=True):
        mass = masses[reward]
        if mass:
            chance = (f.scheme.n * _log_rest(f, above)).exp() * _some(f, mass / (1 - above))
            spent = spent + chance * (chance / f.ball(mass)).log()
        above += mass
    return _best_of_n(f, _rewards(f)), _cvar(f, spent.exp())


def nearest_balls(f: BallFacts) -> tuple[arb, arb]:
    """`nearest`: c is the largest (1 - nμ(A))/π(Aᶜ), of all A; those of the largest π/μ suffice."""
    n, rows = f.scheme.n, list(zip(f.pi, f.draft, strict=True))
    order = sorted((r for r in rows if not r[0].is_zero()), key=lambda r: float((r[0] / r[1]).mid()), reverse=True)
    rest = [f.zero]
    for p, _ in reversed(order):
        rest.append(rest[-1] + p)
    rest.reverse()
    room, shares = f.zero, []
    for (_, s), left in zip(order, rest, strict=False):
        shares.append((1 - room) / left)
        room = room + n * s
    c = f.largest(shares)
    law = [f.zero if p.is_zero() else f.smallest([c * p, n * s]) for p, s in rows]
    return f.excess(law, f.pi).kl_to(), f.draft_excess().kl_to()


_ANY = r"E_{P_n}r \le "

TABLE = (
    proved(
        "M36-attained",
        r"TV(\min(c\pi,n\mu),\pi) = \sum(\pi-n\mu)_+",
        attained,
        None,
        (COVERED, POSITIVE),
        relation="=",
        uncertified=IDENTITY,
        smooth=False,
    ),
    proved(
        "M36-nearest",
        r"KL(\pi\|\min(c\pi,n\mu)) \le KL(\pi\|P_n)\ \text{for every rule}",
        nearest,
        nearest_balls,
        (COVERED, POSITIVE),
        smooth=False,
    ),
    proved(
        "M38-reservation",
        rf"{_ANY}u+n\,E_\mu(r-u)_+\ \text{{for every rule}}",
        *twins(price, price_balls, "plain"),
        (
            FINITE_SCORE,
            _MODERATE,
        ),
        smooth=False,
    ),
    proved(
        "M38-capped",
        rf"{_ANY}E\max_{{i\le n}}\min(r_i,u)+n\,E_\mu(r-u)_+\ \text{{for every rule}}",
        *twins(price, price_balls, "capped"),
        (
            FINITE_SCORE,
            _MODERATE,
        ),
        smooth=False,
    ),
    reading(
        "M38-no-gain",
        r"CVaR_{1/n}(r) \le E\max_n r",
        no_gain,
        no_gain_balls,
        source="n expected draws read as worth no more than n draws",
        smooth=False,
    ),
    reading(
        "M38-equal-kl",
        r"E\max_n r \le CVaR_\alpha(r),\ \alpha=e^{-KL(P_n\|\mu)}",
        equal_kl,
        equal_kl_balls,
        source="(M38) read as a statement at equal KL",
        smooth=False,
    ),
)
