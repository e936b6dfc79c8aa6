"""Claims on the softmax rule: pointwise and total variation (M10), KL (M11), GSI Theorem 1 (M12), soft best-of-n on
the base (M13), reward (M14)."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

import numpy as np

from gsi_theory import divergence
from gsi_theory.arrays.namespace import as_arrays, detached
from gsi_theory.claims.assumptions import COVERED, EARNING, GSI, SOFTMAX, UNSIGNED, WELL_POSED
from gsi_theory.claims.claim import Claim, proved, reading, twins
from gsi_theory.claims.facts import Facts
from gsi_theory.claims.sides import (
    LARGEST_LOG,
    Sides,
    chi2_error,
    excess_share,
    law_change,
    least,
    log_of_positive,
    mean_change,
    pinsker,
)
from gsi_theory.laws.selection_law import EPS
from gsi_theory.types import Array, Namespace

if TYPE_CHECKING:
    from flint import arb

    from gsi_theory.certified.ball_facts import BallFacts

__all__ = ["TABLE", "asked_drafts", "kl_chi2", "kl_mean", "pointwise", "soft_bon", "theorem_one"]


def _log_growth(f: Facts) -> Array:
    """log(1 + (w - 1)/n) (..., K) where π > 0, else 0; at n = 1 it is log w itself, which the sum would cancel."""
    xp, n = f.xp, f.n[..., None]
    log_w = xp.where(f.held, f.log_w, 0.0)
    single, large = n == 1, log_w >= 700.0
    near = xp.log1p(xp.expm1(xp.where(single | large, 0.0, log_w)) / n)
    return xp.where(single, log_w, xp.where(large, log_w - xp.log(n), near))


def _from_draft(f: Facts) -> Array:
    """KL(π‖π_S), what one draw gives."""
    return f.once("KL of one draw", lambda: detached(divergence.kl(f.log_pi, f.log_draft)))


def pointwise(f: Facts) -> Sides:
    """(M10) as max over y of log(π/P_n) - log(1 + (w - 1)/n) ≤ 0: both sides are logs."""
    xp, law = f.xp, f.draft_law("softmax")
    apart = xp.where(f.held, f.log_pi, 0.0) - xp.where(f.held, law.log_prob, 0.0)
    gap = xp.max(xp.where(f.held, apart - _log_growth(f), -np.inf), axis=-1)
    size = xp.max(xp.where(f.held, xp.abs(detached(f.log_w)), 0.0), axis=-1)
    error = law.log_error + 4.0 * f.weight_error + 8.0 * EPS * (1.0 + size)
    return Sides(gap, 0.0, error + f.blind(law.log_prob))


def kl_mean(f: Facts) -> Sides:
    """(M11), first form: KL(π‖P_n) ≤ E_π log(1 + (w - 1)/n)."""
    xp, (value, error) = f.xp, f.kl("softmax")
    terms = _log_growth(f)
    pi, w = detached(f.pi), detached(f.w)
    moved = xp.sum(pi * xp.clip(w / f.n[..., None], None, 1.0), axis=-1)
    rounding = 4.0 * f.weight_error * moved + 16.0 * EPS * xp.sum(pi * xp.abs(detached(terms)), axis=-1)
    return Sides(value, xp.sum(f.pi * terms, axis=-1), error + detached(rounding), _from_draft(f))


def kl_chi2(f: Facts) -> Sides:
    """(M11), last form: KL(π‖P_n) ≤ log(1 + χ²(π‖π_S)/n); trivial: KL(π‖π_S), what one draw gives."""
    value, error = f.kl("softmax")
    rounding = least(chi2_error(f, f.log_draft) / detached(f.n), 8.0 * f.weight_error + 16.0 * EPS)
    return Sides(value, f.xp.log1p(f.chi2 / f.n), error + rounding, _from_draft(f))


def _log_asked(f: Facts, reading: str) -> Array:
    """log of what n·(e^ε - 1) must reach (...) under a reading of GSI Theorem 1 (M12)."""
    xp, reward = f.xp, f.reward
    size = xp.max(reward, axis=-1) - xp.min(reward, axis=-1) if reading == "osc" else xp.max(xp.abs(reward), axis=-1)
    exponent, log_cover = 2.0 * f.beta * size, xp.log1p(f.chi2_pair)
    if reading == "a":
        # a factor of zero asks nothing, also of a coverage beyond float64
        asks = exponent > 0
        return xp.where(asks, log_cover + _log_expm1(xp, xp.where(asks, exponent, 1.0)), -np.inf)
    return _log_expm1(xp, log_cover + exponent)


def _log_expm1(xp: Namespace, x: Array) -> Array:
    """log(e^x - 1) for x ≥ 0; -inf at 0."""
    some = x > 0
    x = xp.where(some, x, 1.0)
    return xp.where(some, x + xp.log(-xp.expm1(-x)), -np.inf)


def asked_drafts(f: Facts, reading: str, epsilon: float) -> Array:
    """log of the n that a reading of GSI Theorem 1 (M12) asks for KL(π‖Q) ≤ ε; "instance" asks it by (M11)."""
    top = log_of_positive(as_arrays(chi2=f.chi2)[1][0]) if reading == "instance" else _log_asked(f, reading)
    return f.xp.clip(top - float(np.log(np.expm1(epsilon))), 0.0, None)


def theorem_one(f: Facts, reading: str) -> Sides:
    """(M12) at the smallest ε that n allows: KL(π‖Q) ≤ log(1 + asked/n)."""
    xp, (value, error) = f.xp, f.kl("softmax")
    top = _log_asked(f, reading)
    rhs = xp.logaddexp(xp.zeros_like(top), top - xp.log(f.n))
    finite, size = xp.isfinite(top), xp.abs(detached(top))
    error = error + 16.0 * EPS * (1.0 + detached(rhs)) * xp.where(finite, 1.0 + size, 1.0)
    return Sides(value, rhs, error, _from_draft(f))


def soft_bon(f: Facts, form: str) -> Sides:
    """(M13): soft best-of-n on the base; CV² = χ²(π‖π_B), and its Kantorovich bound sinh²(β osc(r)/2)."""
    xp, n = f.xp, f.n_base
    value, error = f.once("KL of the base law", lambda: f.kl_to(f.base_law()))
    trivial = f.once("KL of one base draw", lambda: detached(divergence.kl(f.log_pi, f.log_base)))
    if form == "cv":
        chi2 = divergence.chi2(f.log_pi, f.log_base)
        return Sides(value, xp.log1p(chi2 / n), error + chi2_error(f, f.log_base) / detached(n), trivial)
    based = xp.isfinite(f.log_base)
    high = xp.max(xp.where(based, f.reward, -np.inf), axis=-1)
    low = xp.min(xp.where(based, f.reward, np.inf), axis=-1)
    half = f.beta * (high - low) / 2.0
    some, small = half > 0, half < 20.0
    near = xp.log(xp.sinh(xp.where(some & small, half, 1.0)))
    far = xp.where(small, 20.0, half)
    log_sinh2 = 2.0 * xp.where(small, near, far - float(np.log(2.0)) + xp.log1p(-xp.exp(-2.0 * far)))
    rhs = xp.where(some, xp.logaddexp(xp.zeros_like(half), log_sinh2 - xp.log(n)), 0.0)
    return Sides(value, rhs, error + xp.where(some, 16.0 * EPS * (1.0 + detached(half)), 0.0), trivial)


def _pinsker_error(f: Facts, rhs: Array) -> Array:
    """√x moves by half the error of x over √x: χ² is known to a few weight errors of its size and absolutely."""
    rough = chi2_error(f, f.log_draft) / detached(f.n)
    return least(rough / f.xp.clip(detached(rhs), 1e-290, None), f.xp.sqrt(rough)) + 16.0 * EPS * detached(rhs)


def tv_pointwise(f: Facts) -> Sides:
    """(M10) summed: TV(P_n, π) ≤ E_π[(w - 1)_+/(n - 1 + w)], of the order 1/n."""
    value, law = f.tv("softmax")
    return Sides(value, excess_share(f, f.log_draft, f.n), law.error + 8.0 * f.weight_error + 16.0 * EPS, 1.0)


def tv_pinsker(f: Facts) -> Sides:
    """(M11) with Pinsker: TV(P_n, π) ≤ √(½ log(1 + χ²/n))."""
    value, law = f.tv("softmax")
    rhs = pinsker(f, f.chi2, f.n)
    return Sides(value, rhs, law.error + f.weight_error + _pinsker_error(f, rhs), 1.0)


def reward_pinsker(f: Facts) -> Sides:
    """(M12) for the reward: E_π r - E_Q r ≤ osc(r) √(½ log(1 + χ²/n)), ungated; trivial: E_π r - min r."""
    law, osc = f.draft_law("softmax"), detached(f.osc)
    xp, bound = f.xp, pinsker(f, f.chi2, f.n)
    some = xp.isfinite(detached(bound))
    bound = xp.where(some, bound, 1.0)
    moved = _pinsker_error(f, bound)
    known = some & xp.isfinite(moved)
    error = osc * (2.0 * law.error + 4.0 * f.weight_error + f.rounding + xp.where(known, moved, 0.0))
    most = detached(xp.vecdot(f.pi, f.centered, axis=-1))
    rhs = xp.where(some, f.osc * bound, np.inf)
    return Sides(-mean_change(f, law.log_prob), rhs, xp.where(known, error, np.inf), most)


def reward_share(f: Facts) -> Sides:
    """(M14): (E_π r - E_{P_n} r)/E_π r ≤ (v - 1)/(n + v - 1), v = E_π[r w]/E_π r; trivial: 1, for r ≥ 0."""
    xp, law = f.xp, f.draft_law("softmax")
    mean = xp.vecdot(f.pi, f.reward, axis=-1)
    gap = xp.where(f.held, law_change(f, law.log_prob), xp.exp(law.log_prob))
    grown = xp.where(f.held, xp.expm1(xp.clip(xp.where(f.held, f.log_w, 0.0), None, LARGEST_LOG)), 0.0)
    with np.errstate(over="ignore", invalid="ignore"):  # v may be ∞ − ∞, of which the bound says nothing
        v = xp.vecdot(f.pi, f.reward * grown, axis=-1) / mean
        size = detached(xp.vecdot(f.pi, xp.abs(f.reward) * (1.0 + grown), axis=-1) / mean)
    v = xp.clip(v, None, 1e300)
    absolute = detached(xp.vecdot(xp.exp(law.log_prob) + f.pi, xp.abs(f.reward), axis=-1) / mean)
    stray = detached(xp.sum(xp.where(f.held, 0.0, xp.exp(law.log_prob)), axis=-1))
    n = detached(f.n)
    error = absolute * (law.log_error + 8.0 * f.weight_error + (f.outcomes + 32.0) * EPS) + stray * 4.0 * EPS
    moved = (8.0 * f.weight_error + f.rounding) * (1.0 + absolute)
    # With signed rewards n + v may vanish: then the bound says nothing.
    some = f.n + v > 0
    whole = xp.where(some, n + xp.clip(detached(v), None, 1e150), 1.0)
    steep = xp.clip(size, None, 1e150) * (n / whole) / whole
    rhs = xp.where(some, v / xp.where(some, f.n + v, 1.0), np.inf)
    return Sides(-xp.vecdot(gap, f.reward, axis=-1) / mean, rhs, error + moved * (1.0 + steep), 1.0)


def _growth(f: BallFacts) -> list[arb]:
    """log(1 + (w - 1)/n) where π > 0 (0 elsewhere)."""
    n = f.scheme.n
    return [
        f.zero if p.is_zero() or w is None else (w.log() if n == 1 else ((w - 1) / n).log1p())
        for p, w in zip(f.pi, f.w, strict=True)
    ]


def pointwise_balls(f: BallFacts) -> tuple[arb, arb]:
    """`pointwise`."""
    terms = zip(f.pi, f.draft_law("softmax"), _growth(f), strict=True)
    return f.largest([(p / q).log() - g for p, q, g in terms if not p.is_zero()]), f.zero


def _kl_balls(f: BallFacts) -> arb:
    return f.draft_excess("softmax").kl_to()


def kl_chi2_balls(f: BallFacts) -> tuple[arb, arb]:
    """`kl_chi2`."""
    return _kl_balls(f), (f.chi2 / f.scheme.n).log1p()


def tv_pointwise_balls(f: BallFacts) -> tuple[arb, arb]:
    """`tv_pointwise`."""
    return f.draft_excess("softmax").tv(), f.excess_share(f.draft, f.scheme.n)


def tv_pinsker_balls(f: BallFacts) -> tuple[arb, arb]:
    """`tv_pinsker`."""
    return f.draft_excess("softmax").tv(), f.pinsker(f.chi2, f.scheme.n)


def reward_pinsker_balls(f: BallFacts) -> tuple[arb, arb]:
    """`reward_pinsker`."""
    return -f.draft_excess("softmax").mean_change(f.centered), f.osc * f.pinsker(f.chi2, f.scheme.n)


def kl_mean_balls(f: BallFacts) -> tuple[arb, arb]:
    """`kl_mean`."""
    return _kl_balls(f), f.total([p * g for p, g in zip(f.pi, _growth(f), strict=True)])


def theorem_one_balls(f: BallFacts, reading: str) -> tuple[arb, arb]:
    """`theorem_one`; (b) and osc ask (1 + χ²) e^x - 1, here without the ones."""
    reward = f.instance.reward
    size = max(reward) - min(reward) if reading == "osc" else max(abs(r) for r in reward)
    exponent = f.ball(2 * f.scheme.beta * size)
    asked = f.chi2_pair * (exponent.expm1() if reading == "a" else exponent.exp()) + exponent.expm1()
    return _kl_balls(f), (asked / f.scheme.n).log1p()


def soft_bon_balls(f: BallFacts, form: str) -> tuple[arb, arb]:
    """`soft_bon`."""
    spread = f.chi2_base
    if form == "sinh":
        reward = [r for r, b in zip(f.instance.reward, f.instance.base, strict=True) if b]
        spread = f.ball(f.scheme.beta * (max(reward) - min(reward)) / 2).sinh() ** 2
    return f.base_excess.kl_to(), (spread / f.scheme.base_draws).log1p()


def reward_share_balls(f: BallFacts) -> tuple[arb, arb]:
    """`reward_share`."""
    mean = f.total([p * r for p, r in zip(f.pi, f.reward, strict=True)])
    v = f.total([p * r * w for p, r, w in zip(f.pi, f.reward, f.w, strict=True) if w is not None]) / mean
    return -f.draft_excess("softmax").mean_change(f.reward) / mean, (v - 1) / (f.scheme.n + v - 1)


_ASKED = r"n\ge\frac{(\chi^2(\pi_B\|\pi_S)+1)e^{2\beta\|r\|_\infty}-1}{e^\varepsilon-1}"
_THEN = r"\Rightarrow KL(\pi\|Q)\le\varepsilon"
_SHARE = r"\frac{E_\pi r-E_{P_n}r}{E_\pi r} \le \frac{v-1}{n+v-1},\ "
_covered = partial(proved, assumptions=(COVERED,))
_theorem, _share = twins(theorem_one, theorem_one_balls, "b"), (reward_share, reward_share_balls)

TABLE = (
    _covered("M10", r"P_n(y)/\pi(y) \ge n/(n-1+w(y))", pointwise, pointwise_balls, logs=True),
    _covered("M10-tv", r"TV(P_n,\pi) \le E_\pi\frac{(w-1)_+}{n-1+w}", tv_pointwise, tv_pointwise_balls),
    _covered("M11-mean", r"KL(\pi\|P_n) \le E_\pi\log(1+(w-1)/n)", kl_mean, kl_mean_balls),
    _covered("M11-chi2", r"KL(\pi\|P_n) \le \log(1+\chi^2(\pi\|\mu)/n)", kl_chi2, kl_chi2_balls),
    _covered("M11-pinsker", r"TV(P_n,\pi) \le \sqrt{\tfrac12\log(1+\chi^2(\pi\|\mu)/n)}", tv_pinsker, tv_pinsker_balls),
    reading(
        "M12a",
        r"n\ge(\chi^2(\pi_B\|\pi_S)+1)\frac{e^{2\beta\|r\|_\infty}-1}{e^\varepsilon-1}" + _THEN,
        *twins(theorem_one, theorem_one_balls, "a"),
        (COVERED,),
        source=GSI + ", reading (a), as others transcribe it",
    ),
    Claim("M12b", _ASKED + r", r\ge 0" + _THEN, *_theorem, (COVERED, UNSIGNED), source=GSI + ", reading (b)"),
    reading("M12c", _ASKED + _THEN, *_theorem, (COVERED,), source=GSI + ", reading (b) with signed rewards"),
    _covered(
        "M12-osc", _ASKED.replace(r"\|r\|_\infty", r"\,osc(r)") + _THEN, *twins(theorem_one, theorem_one_balls, "osc")
    ),
    Claim(
        "M12-reward",
        r"E_\pi r-E_Qr \le osc(r)\sqrt{\tfrac12\log(1+\chi^2(\pi\|\pi_S)/n)}",
        reward_pinsker,
        reward_pinsker_balls,
        (COVERED,),
        source=GSI + " with Pinsker, for the ungated law",
    ),
    Claim(
        "M13-cv",
        r"KL(\pi\|B_n) \le \log(1+CV^2/n)",
        *twins(soft_bon, soft_bon_balls, "cv"),
        (SOFTMAX,),
        source="Verdun et al., arXiv 2505.03156",
    ),
    proved(
        "M13-sinh",
        r"KL(\pi\|B_n) \le \log(1+\sinh^2(\beta\,osc(r)/2)/n)",
        *twins(soft_bon, soft_bon_balls, "sinh"),
        (SOFTMAX,),
    ),
    proved("M14", _SHARE + r"v=\frac{E_\pi rw}{E_\pi r}, r\ge 0", *_share, (COVERED, UNSIGNED, EARNING)),
    reading(
        "M14-signed", _SHARE + r"E_\pi r>0", *_share, (COVERED, EARNING, WELL_POSED), source="(M14) read without r ≥ 0"
    ),
)
