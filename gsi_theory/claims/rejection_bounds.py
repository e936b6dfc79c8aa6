"""Claims on methods that accept or reject one draft: RSD (M21), speculative sampling (M22).

RSD accepts with ω a step in r: ω = 1 where r ≥ t, t the scheme's threshold, or E_{π_B} r without one. The other ω that
the step is compared with is the sigmoid of slope β about t; both then accept equally often.
"""

from __future__ import annotations

from fractions import Fraction
from functools import partial
from typing import TYPE_CHECKING

import numpy as np

from gsi_theory import divergence
from gsi_theory.arrays.namespace import detached
from gsi_theory.claims.claim import IDENTITY, Assumption, Claim, proved, reading
from gsi_theory.claims.facts import Facts
from gsi_theory.claims.sides import Sides
from gsi_theory.laws.rsd import mean_excess
from gsi_theory.laws.selection_law import EPS
from gsi_theory.types import Array

if TYPE_CHECKING:
    from flint import arb

    from gsi_theory.certified.ball_facts import BallFacts

__all__ = ["HIGH_STEP", "TABLE", "rsd_gain", "speculative_law", "step_omega"]

LARGEST_SLOPE = 40.0  # the argument of the sigmoid: beyond, it is 0 or 1 to rounding


def base_mean(f: Facts) -> Array:
    """E_{π_B} (r - min r) (...)."""
    return f.xp.vecdot(f.xp.exp(f.log_base), f.centered, axis=-1)


def step_at(f: Facts) -> Array:
    """The threshold t - min r of the step (...): u, or E_{π_B} r without one."""
    at = f.xp.where(f.has_threshold, f.threshold, 0.0) - f.lowest_reward
    return f.xp.where(f.has_threshold, at, base_mean(f))


def _rsd(f: Facts, omega: Array) -> Array:
    """ω π_S + (1 - E ω) π_B (..., K), with 1 - E ω summed from E(1 - ω)."""
    xp = f.xp
    draft = xp.exp(f.log_draft)
    return omega * draft + xp.vecdot(draft, 1.0 - omega, axis=-1)[..., None] * xp.exp(f.log_base)


def step_omega(f: Facts) -> tuple[Array, Array]:
    """(ω (..., K) of the step, draft mass (...) whose acceptance turns on a tie that float64 cannot tell)."""
    xp, default = f.xp, ~f.has_threshold[..., None]
    excess, slack = mean_excess(f.log_base, f.reward)
    kept = xp.where(default, excess >= -slack, f.reward >= f.threshold[..., None])
    near = default & (xp.abs(excess) <= slack) & (slack > 0)
    doubt = xp.sum(xp.where(near, xp.exp(detached(f.log_draft)), 0.0), axis=-1)
    return xp.where(kept, 1.0, 0.0), doubt


def _sigmoid(f: Facts) -> Array:
    xp = f.xp
    t = step_at(f)
    finite = xp.isfinite(t)
    with np.errstate(over="ignore"):
        steep = xp.clip(
            f.beta[..., None] * (f.centered - xp.where(finite, t, 0.0)[..., None]), -LARGEST_SLOPE, LARGEST_SLOPE
        )
    return xp.where(finite[..., None], 1.0 / (1.0 + xp.exp(-steep)), xp.where((t < 0)[..., None], 1.0, 0.0))


def _rounding(f: Facts) -> Array:
    return detached(f.osc) * (2.0 * f.outcomes + 32.0) * EPS + 4.0 * f.weight_error * detached(f.osc)


def rsd_reward(f: Facts) -> Sides:
    """(M21): the mean reward of the law is E_{π_B} r + E_{π_S}[ω (r - E_{π_B} r)], here with the sigmoid."""
    xp, omega, mean = f.xp, _sigmoid(f), base_mean(f)
    lhs = xp.vecdot(_rsd(f, omega), f.centered, axis=-1)
    rhs = mean + xp.vecdot(xp.exp(f.log_draft), omega * (f.centered - mean[..., None]), axis=-1)
    return Sides(lhs, rhs, 4.0 * _rounding(f) + 1e-300, scale=detached(f.osc) + 1e-290)


def rsd_best_step(f: Facts) -> Sides:
    """(M21): the sigmoid gains E_{π_S}[ω (r - E_{π_B} r)] no more than the step in r that accepts equally often."""
    xp, omega, mean = f.xp, _sigmoid(f), base_mean(f)
    mass = xp.exp(f.log_draft)
    gain = mass * (f.centered - mean[..., None])
    lhs = xp.vecdot(gain, omega, axis=-1)
    order = xp.argsort(f.centered, axis=-1, descending=True)
    ranked = xp.take_along_axis(mass, order, axis=-1)
    before = xp.cumulative_sum(ranked, axis=-1) - ranked
    budget = xp.vecdot(mass, omega, axis=-1)[..., None]
    # Equal rewards may be filled in any order: the gain is that of the step, randomized within its last level.
    filled = xp.clip(budget - before, 0.0, None)
    filled = xp.where(filled < ranked, filled, ranked)
    rhs = xp.vecdot(filled, xp.take_along_axis(f.centered, order, axis=-1) - mean[..., None], axis=-1)
    return Sides(lhs, rhs, 4.0 * _rounding(f) + 1e-300)


def rsd_gain(f: Facts) -> Sides:
    """(M21): RSD with the step does not lower the mean reward of the base: 0 ≤ E_{π_S}[ω (r - E_{π_B} r)]."""
    gain = f.xp.vecdot(f.xp.exp(f.log_draft), step_omega(f)[0] * (f.centered - base_mean(f)[..., None]), axis=-1)
    return Sides(0.0 * f.osc, gain, _rounding(f) + 1e-300)


def rsd_tilts(f: Facts) -> Sides:
    """The reading that (M21) refutes: as n grows RSD tends to π; its law does not depend on n."""
    omega, doubt = step_omega(f)
    lhs = 0.5 * f.xp.sum(f.xp.abs(_rsd(f, omega) - f.pi), axis=-1)
    return Sides(lhs, 0.0, 4.0 * f.weight_error + (f.outcomes + 16.0) * EPS + doubt, scale=1e-2)


def _speculative(f: Facts) -> tuple[Array, Array]:
    """(law (..., K), P(accept) (...)): min(π_S, π_B), else a draw from (π_B - π_S)_+ normalized."""
    xp = f.xp
    draft, base = xp.exp(f.log_draft), xp.exp(f.log_base)
    kept = xp.where(draft < base, draft, base)
    rest = xp.clip(base - draft, 0.0, None)
    total = xp.sum(rest, axis=-1)
    some = total > 0
    share = xp.where(some[..., None], rest, 0.0) / xp.where(some, total, 1.0)[..., None]
    return kept + xp.sum(draft - kept, axis=-1)[..., None] * share, xp.sum(kept, axis=-1)


def _speculative_error(f: Facts) -> Array:
    # Policies are normalized to 1e-14 at least; the residual shares out what is left of that, at most four times.
    return 4e-14 + 4.0 * f.weight_error + (4.0 * f.outcomes + 16.0) * EPS


def speculative_law(f: Facts) -> Sides:
    """(M22): TV(speculative sampling, π_B) = 0."""
    law, _ = _speculative(f)
    lhs = 0.5 * f.xp.sum(f.xp.abs(law - f.xp.exp(f.log_base)), axis=-1)
    return Sides(lhs, 0.0, _speculative_error(f), scale=1e-2)


def speculative_accept(f: Facts) -> Sides:
    """(M22): P(accept) = 1 - TV(π_B, π_S)."""
    _, accept = _speculative(f)
    return Sides(accept, 1.0 - divergence.tv(f.log_base, f.log_draft), _speculative_error(f), scale=1e-2)


def _base_mean_exact(f: BallFacts) -> Fraction:
    return sum((b * r for b, r in zip(f.instance.base, f.instance.reward, strict=True)), Fraction(0))


def _step_exact(f: BallFacts) -> Fraction:
    """The threshold of RSD's step: u, or E_{π_B} r."""
    cut, reward = f.scheme.threshold, f.instance.reward
    if cut is None:
        return _base_mean_exact(f)
    if cut in (float("inf"), float("-inf")):
        return (max(reward) + 1) if cut > 0 else min(reward) - 1
    return Fraction(cut)


def rsd_gain_balls(f: BallFacts) -> tuple[arb, arb]:
    """`rsd_gain`, all rational."""
    cut, mean, inst = _step_exact(f), _base_mean_exact(f), f.instance
    gain = sum((s * (r - mean) for s, r in zip(inst.draft, inst.reward, strict=True) if r >= cut), Fraction(0))
    return f.zero, f.ball(gain)


def rsd_tilts_balls(f: BallFacts) -> tuple[arb, arb]:
    """`rsd_tilts`."""
    inst, cut = f.instance, _step_exact(f)
    kept = [s if r >= cut else Fraction(0) for s, r in zip(inst.draft, inst.reward, strict=True)]
    law = [f.ball(k + (1 - sum(kept)) * b) for k, b in zip(kept, inst.base, strict=True)]
    return f.excess(law, f.pi).tv(), f.zero


def rsd_best_step_balls(f: BallFacts) -> tuple[arb, arb]:
    """`rsd_best_step`."""
    inst, cut, mean, most = f.instance, f.scheme.threshold, _base_mean_exact(f), Fraction(LARGEST_SLOPE)
    if cut in (float("inf"), float("-inf")):
        omega = [f.zero if cut == float("inf") else f.ball(1)] * inst.size
    else:
        steep = [f.scheme.beta * (r - _step_exact(f)) for r in inst.reward]
        omega = [1 / (1 + f.ball(-max(min(x, most), -most)).exp()) for x in steep]
    budget, gain = f.total([f.ball(s) * o for s, o in zip(inst.draft, omega, strict=True)]), f.zero
    for y in sorted(range(inst.size), key=lambda y: -inst.reward[y]):
        mass = f.ball(inst.draft[y])
        gain += budget.nonnegative_part().min(mass) * f.ball(inst.reward[y] - mean)
        budget -= mass
    rows = zip(inst.draft, inst.reward, omega, strict=True)
    return f.total([f.ball(s * (r - mean)) * o for s, r, o in rows]), gain


HIGH_STEP = Assumption(
    "a step at or above E_{π_B} r",
    lambda f: step_at(f) >= base_mean(f),
    lambda f: _step_exact(f) >= _base_mean_exact(f),
)
_RSD, _LEVIATHAN = "Liao et al., arXiv 2501.19324", "Leviathan et al. 2023, arXiv 2211.17192"
_GAIN = r"\Rightarrow E\,r \ge E_{\pi_B}r"
_identity = partial(Claim, relation="=", uncertified=IDENTITY)

TABLE = (
    _identity("M21-reward", r"E\,r = E_{\pi_B}r+E_{\pi_S}[\omega(r-E_{\pi_B}r)]", rsd_reward, source=_RSD),
    Claim(
        "M21-step",
        r"E_{\pi_S}\omega=b\Rightarrow E_\omega r \le E_{step(b)}r",
        rsd_best_step,
        rsd_best_step_balls,
        source=_RSD,
    ),
    proved("M21-gain", r"\omega=1\{r\ge t\},\,t\ge E_{\pi_B}r" + _GAIN, rsd_gain, rsd_gain_balls, (HIGH_STEP,)),
    reading(
        "M21-gain-always",
        r"\omega=1\{r\ge t\}" + _GAIN,
        rsd_gain,
        rsd_gain_balls,
        source=_RSD + ", read for every threshold",
    ),
    reading(
        "M21-tilts",
        r"\lim_n TV(RSD,\pi) = 0",
        rsd_tilts,
        rsd_tilts_balls,
        source=_RSD + ", read as a sampler of the tilt",
        relation="=",
    ),
    _identity("M22-law", r"\text{speculative sampling}=\pi_B", speculative_law, source=_LEVIATHAN),
    _identity("M22-accept", r"P(accept) = 1-TV(\pi_B,\pi_S)", speculative_accept, source=_LEVIATHAN),
)
