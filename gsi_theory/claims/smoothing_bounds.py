"""Claims on proxy and gold reward: soft best-of-n by a proxy r̂ where r* was meant (M43).

On the draft as proposal μ an instance has two rewards: r, the proxy, and the tilted reward r + ℓ/β, the gold one, which
can be any other reward up to a constant. So P* is the softmax rule's law, P̂ that of the same draws weighted by βr
alone, ε = E_μ(ℓ/β)², the tilt of gold is π, that of proxy π̂ ∝ μ e^{βr}. Both sides are multiplied by β.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from gsi_theory import divergence
from gsi_theory.arrays.logscale import normalize
from gsi_theory.arrays.namespace import detached
from gsi_theory.claims.assumptions import COVERED, POSITIVE, SEVERAL
from gsi_theory.claims.claim import Assumption, proved, reading, twins
from gsi_theory.claims.facts import Facts
from gsi_theory.claims.sides import LARGEST_LOG, Sides
from gsi_theory.laws.selection_law import EPS, SMALLEST, Law, selection_laws
from gsi_theory.laws.weights import form_weights, rounded
from gsi_theory.types import Array

if TYPE_CHECKING:
    from flint import arb

    from gsi_theory.certified.ball_facts import BallFacts

__all__ = ["TABLE", "apart", "regret"]


def _proxy_law(f: Facts) -> Law:
    """P̂: the softmax rule's law at weights βr."""

    def make(rows: Facts) -> Law:
        made = form_weights(rows.log_draft, rows.reward, None, rows.beta[..., None], "softmax")
        return rounded(selection_laws(rows.log_draft, made.log_weight, rows.n, "softmax"), made)

    return f.shared("proxy law", make)


def _spread(f: Facts, values: Array) -> Array:
    """max - min over the draft's support (...)."""
    xp = f.xp
    top = xp.max(xp.where(f.covered, values, -np.inf), axis=-1)
    low = xp.min(xp.where(f.covered, values, np.inf), axis=-1)
    known = xp.isfinite(top) & xp.isfinite(low)  # a draft that meets no base mass has no tilt, and no width
    return xp.where(known, xp.where(known, top, 0.0) - xp.where(known, low, 0.0), np.inf)


def _widths(f: Facts) -> Array:
    """βD: the larger oscillation of the two log-weights on the draft's support (...)."""
    one, other = _spread(f, f.log_w), f.beta * _spread(f, f.reward)
    return f.xp.where(one > other, one, other)


def _least_share(f: Facts, width: Array) -> Array:
    """n/(1 + (n-1)e^{-βD}) (...): n times the largest chance of one of n draws."""
    return f.n / (1.0 + (f.n - 1.0) * f.xp.exp(-f.xp.clip(width, None, LARGEST_LOG)))


def apart(f: Facts, form: str) -> Sides:
    """(M43): KL(P*‖P̂) + KL(P̂‖P*) ≤ β n E_μ|r* - r̂|/(1 + (n-1)e^{-βD}); "printed": with √ε for the mean, 1 for D and
    a factor 1 + n e^{2β}/(n-1)²."""
    xp, gold, proxy = f.xp, f.draft_law("softmax"), _proxy_law(f)
    lhs = divergence.kl(gold.log_prob, proxy.log_prob) + divergence.kl(proxy.log_prob, gold.log_prob)
    mu, ratio = xp.exp(f.log_draft), xp.where(f.covered, f.log_ratio, 0.0)
    if form == "ours":
        rhs = xp.vecdot(mu, abs(ratio), axis=-1) * _least_share(f, _widths(f))
    else:
        rest = xp.where(f.n > 1.0, f.n - 1.0, 1.0)
        factor = 1.0 + xp.exp(xp.clip(2.0 * f.beta + xp.log(f.n) - 2.0 * xp.log(rest), None, LARGEST_LOG))
        with np.errstate(over="ignore"):  # a bound beyond float64 is vacuous
            rhs = xp.sqrt(xp.vecdot(mu, ratio * ratio, axis=-1)) * _least_share(f, f.beta) * factor
    return Sides(lhs, rhs, _kl_error(f, lhs, (gold, proxy)) + detached(rhs) * _relative(f))


def _relative(f: Facts) -> Array:
    """Relative error of n E|ℓ|/(1 + (n-1)e^{-βD}) (...)."""
    size = f.xp.max(f.xp.where(f.covered, abs(detached(f.log_draft)) + abs(detached(f.log_w)), 0.0), axis=-1)
    return 8.0 * f.weight_error + 16.0 * EPS * size + 4.0 * f.rounding


def _kl_error(f: Facts, value: Array, laws: tuple[Law, ...]) -> Array:
    """Error of Σ(P* - P̂)(log P* - log P̂) (...), +inf where a law is below what its log-error covers."""
    xp, error, blind = f.xp, 16.0 * EPS * detached(value), 0.0
    for law in laws:
        error = error + 2.0 * law.log_error * (1.0 + detached(value) + law.log_error)
        lost = f.covered & (detached(law.log_prob) < SMALLEST)
        blind = blind + xp.where(xp.any(lost, axis=-1), np.inf, 0.0)
    return error + blind


def regret(f: Facts, form: str) -> Sides:
    """(M43): β(E_ρ r* - E_P̂ r*) ≤ β√ε(√Ĉ + √C) + β osc(r*) √(½ log(1 + (Ĉ-1)/n)) + log C, ρ = π the tilt of gold,
    C = 1 + χ²(π‖μ), Ĉ = 1 + χ²(π̂‖μ); "argmax": the reading with the largest gold reward for E_ρ r*."""
    xp, law = f.xp, _proxy_law(f)
    gold = xp.where(f.covered, f.log_w, 0.0)
    low = xp.min(xp.where(f.covered, gold, np.inf), axis=-1)[..., None]
    gold = xp.where(f.covered, gold - low, 0.0)
    osc = xp.max(gold, axis=-1)
    best = xp.vecdot(f.pi, gold, axis=-1) if form == "tilt" else osc
    lhs = best - xp.vecdot(xp.exp(law.log_prob), gold, axis=-1)
    proxy = normalize(f.log_draft + f.beta[..., None] * xp.where(f.covered, f.reward, 0.0))
    over, own = (divergence.chi2(p, f.log_draft) + xp.zeros_like(f.n) for p in (proxy, f.log_pi))
    beyond = (over > 1e300) | (own > 1e300)
    over, own = (xp.where(beyond, 1.0, chi2) for chi2 in (over, own))
    ratio = xp.where(f.covered, f.log_ratio, 0.0)
    size = xp.sqrt(xp.vecdot(xp.exp(f.log_draft), ratio * ratio, axis=-1))
    middle = osc * xp.sqrt(0.5 * xp.log1p(over / f.n))
    rhs = size * (xp.sqrt(1.0 + over) + xp.sqrt(1.0 + own)) + middle + xp.log1p(own)
    error = detached(osc) * (2.0 * law.error + 8.0 * f.weight_error + 4.0 * f.rounding) + 16.0 * f.weight_error
    # a χ² is off by its own size in relative errors of squared weights
    beta_error = 8.0 * EPS * (1.0 + detached(f.beta) * xp.max(abs(detached(f.reward)), axis=-1))
    relative = 2.0 * (8.0 * f.weight_error + beta_error + 4.0 * f.rounding)
    error = error + detached(rhs) * relative
    return Sides(lhs, rhs, xp.where(beyond, np.inf, error), detached(osc))


def _ratios(f: BallFacts) -> list[tuple[arb, arb, arb]]:
    """(μ, ℓ, log w) of the draft's support."""
    rows = zip(f.instance.draft, f.instance.base, f.pi, strict=True)
    return [(f.ball(s), f.ball(b / s).log(), (p / f.ball(s)).log()) for s, b, p in rows if s]


def _proxy_balls(f: BallFacts) -> list[arb]:
    weight = [w if s else g for w, g, s in zip(f.base_weight, f.draft_weight, f.instance.draft, strict=True)]
    return f.law_of(list(f.instance.draft), weight, f.scheme.n)


def _width_balls(f: BallFacts) -> tuple[arb, arb]:
    """Oscillations of log w and of βr on the draft's support."""
    logs = [w for *_, w in _ratios(f)]
    drawn = [r for r, s in zip(f.instance.reward, f.instance.draft, strict=True) if s]
    return f.largest(logs) - f.smallest(logs), f.ball(f.scheme.beta * (max(drawn) - min(drawn)))


def apart_balls(f: BallFacts, form: str) -> tuple[arb, arb]:
    """`apart`."""
    n, beta, rows = f.scheme.n, f.ball(f.scheme.beta), _ratios(f)
    excess = f.excess(f.draft_law("softmax"), _proxy_balls(f))
    lhs = excess.kl_to() + excess.kl_from()
    width = f.largest(list(_width_balls(f))) if form == "ours" else beta
    share = n / (1 + (n - 1) * (-width).exp())
    if form == "ours":
        return lhs, f.total([s * abs(ratio) for s, ratio, _ in rows]) * share
    factor = 1 + n * (2 * beta).exp() / (n - 1) ** 2
    return lhs, f.total([s * ratio * ratio for s, ratio, _ in rows]).nonnegative_part().sqrt() * share * factor


def regret_balls(f: BallFacts, form: str) -> tuple[arb, arb]:
    """`regret`."""
    rows, n = _ratios(f), f.scheme.n
    logs = [w for *_, w in rows]
    low = f.smallest(logs)
    osc = f.largest(logs) - low
    law = [p for p, s in zip(_proxy_balls(f), f.instance.draft, strict=True) if s]
    target = [p for p, s in zip(f.pi, f.instance.draft, strict=True) if s]
    best = f.total([p * (w - low) for p, w in zip(target, logs, strict=True)]) if form == "tilt" else osc
    lhs = best - f.total([p * (w - low) for p, w in zip(law, logs, strict=True)])
    drawn = [(s, r) for r, s in zip(f.instance.reward, f.instance.draft, strict=True) if s]
    top = max(r for _, r in drawn)
    tilt = [f.ball(s) * f.ball(f.scheme.beta * (r - top)).exp() for s, r in drawn]
    z = f.total(tilt)
    over = f.excess([t / z for t in tilt], [s for s, *_ in rows]).chi2_from()
    size = f.total([s * ratio * ratio for s, ratio, _ in rows]).nonnegative_part().sqrt()
    middle = osc * f.pinsker(over, n)
    return lhs, size * ((1 + over).sqrt() + (1 + f.chi2).sqrt()) + middle + f.chi2.log1p()


# At β = 0 the gold reward r + ℓ/β is none: what fails there would say nothing of rewards.
_TILTED = Assumption("β > 0", lambda f: f.beta > 0, lambda f: f.scheme.beta > 0)
_UNIT = Assumption(
    "two rewards of oscillation below 1",
    lambda f: _widths(f) < f.beta,
    lambda f: all(bool(width < f.ball(f.scheme.beta)) for width in _width_balls(f)),
)
# s is the proxy, Q the law by it, C_s the coverage of its tilt
_BOTH = r"KL(P^*\|Q)+KL(Q\|P^*) \le "
_SHARE = r"\frac{n\beta\,%s}{1+(n-1)e^{-\beta %s}}"
_PRINTED = _SHARE % (r"\sqrt{\varepsilon}", "") + r"(1+\frac{ne^{2\beta}}{(n-1)^2})"
_BOUND = r"\sqrt{\varepsilon}(\sqrt{C_s}+\sqrt{C})+osc(r^*)\sqrt{\tfrac12\log(1+(C_s-1)/n)}+\frac{1}{\beta}\log C"
_SOURCE = "The Smoothing Lens, arXiv 2507.05913"

TABLE = (
    proved(
        "M43-kl",
        _BOTH + _SHARE % (r"E_\mu|r^*-s|", "D"),
        *twins(apart, apart_balls, "ours"),
        (COVERED, POSITIVE),
        smooth=False,
    ),
    proved(
        "M43-kl-unit",
        _BOTH + _PRINTED + r",\ osc\le1",
        *twins(apart, apart_balls, "printed"),
        (COVERED, POSITIVE, SEVERAL, _TILTED, _UNIT),
        smooth=False,
    ),
    reading(
        "M43-kl-printed",
        _BOTH + _PRINTED,
        *twins(apart, apart_balls, "printed"),
        (COVERED, POSITIVE, SEVERAL, _TILTED),
        source=f"{_SOURCE}, its form for rewards in [0, 1] read for rewards of any range",
        smooth=False,
    ),
    proved(
        "M43-regret",
        r"E_\pi r^*-E_{Q}r^* \le " + _BOUND,
        *twins(regret, regret_balls, "tilt"),
        (COVERED, POSITIVE),
        smooth=False,
    ),
    reading(
        "M43-regret-argmax",
        r"\max r^*-E_{Q}r^* \le " + _BOUND,
        *twins(regret, regret_balls, "argmax"),
        (COVERED, POSITIVE, _TILTED),
        source=f"{_SOURCE}, read with the best outcome as comparator and the coverage of the tilt",
        smooth=False,
    ),
)
