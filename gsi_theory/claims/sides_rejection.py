"""Sides of the claims on methods that accept or reject one draft: RSD (M21), speculative sampling (M22). See sides.py.

RSD accepts with ω a step in r: ω = 1 where r ≥ t, t the scheme's threshold, or E_{π_B} r without one. The other ω that
the step is compared with is the sigmoid of slope β about t; both then accept equally often.
"""

from __future__ import annotations

import numpy as np

from gsi_theory import divergence
from gsi_theory.arrays.namespace import detached
from gsi_theory.claims.facts import Facts
from gsi_theory.claims.sides import Sides
from gsi_theory.laws.rsd import mean_excess
from gsi_theory.laws.selection_law import EPS
from gsi_theory.types import Array

__all__ = [
    "base_mean",
    "rsd_best_step",
    "rsd_gain",
    "rsd_reward",
    "rsd_tilts",
    "speculative_accept",
    "speculative_law",
    "step_at",
    "step_omega",
]


def base_mean(f: Facts) -> Array:
    """E_{π_B} (r - min r) (...)."""
    return f.xp.vecdot(f.xp.exp(f.log_base), f.centered, axis=-1)


def step_at(f: Facts) -> Array:
    """The threshold t - min r of the step (...): u, or E_{π_B} r without one."""
    xp = f.xp
    real = f.covered | xp.isfinite(f.log_base)
    low = xp.min(xp.where(real, f.reward, np.inf), axis=-1)
    return xp.where(f.has_threshold, xp.where(f.has_threshold, f.threshold, 0.0) - low, base_mean(f))


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
    # Beyond 40 the sigmoid is 0 or 1 to rounding.
    with np.errstate(over="ignore"):
        steep = xp.clip(f.beta[..., None] * (f.centered - xp.where(finite, t, 0.0)[..., None]), -40.0, 40.0)
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


def speculative_law(f: Facts) -> Sides:
    """(M22): TV(speculative sampling, π_B) = 0."""
    law, _ = _speculative(f)
    lhs = 0.5 * f.xp.sum(f.xp.abs(law - f.xp.exp(f.log_base)), axis=-1)
    # Policies are normalized to 1e-14 at least; the rest of that is shared out by the residual.
    return Sides(lhs, 0.0, 4e-14 + 4.0 * f.weight_error + (4.0 * f.outcomes + 16.0) * EPS, scale=1e-2)


def speculative_accept(f: Facts) -> Sides:
    """(M22): P(accept) = 1 - TV(π_B, π_S)."""
    _, accept = _speculative(f)
    error = 4e-14 + 4.0 * f.weight_error + (4.0 * f.outcomes + 16.0) * EPS
    return Sides(accept, 1.0 - divergence.tv(f.log_base, f.log_draft), error, scale=1e-2)
