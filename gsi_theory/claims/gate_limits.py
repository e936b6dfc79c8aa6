"""Claims on the gated law G_n as n = n_base → ∞ (M7): it tends to a law away from the tilted policy.

A = {r̃ ≥ u}, a = π(A), b = 1 - a.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

import numpy as np

from gsi_theory import divergence
from gsi_theory.arrays.namespace import detached
from gsi_theory.claims.assumptions import CONVERGENT, COVERED, GATED, SPLIT
from gsi_theory.claims.claim import proved, reading, twins
from gsi_theory.claims.facts import Facts
from gsi_theory.claims.large_n import largest_reward, limit_of, starts
from gsi_theory.claims.sides import Sides, log_of_positive
from gsi_theory.laws.gate import GsiLaw
from gsi_theory.laws.selection_law import EPS
from gsi_theory.types import Array

if TYPE_CHECKING:
    from flint import arb

    from gsi_theory.certified.ball_facts import BallFacts

__all__ = ["TABLE", "covariance", "covariance_balls", "gate_gains", "gate_limit", "gate_vanishes", "split_weights"]


def split_weights(f: Facts) -> tuple[Array, Array]:
    """(a, 1 - a) (...), each a sum of its own terms."""
    xp = f.xp
    inside = xp.sum(xp.where(f.accepted, f.pi, 0.0), axis=-1)
    return inside, xp.sum(xp.where(f.accepted, 0.0, f.pi), axis=-1)


def covariance(f: Facts) -> Array:
    """Cov_π(1_A, r) = a b (E_π[r | A] - E_π[r | Aᶜ]) (...), as b Σ_A π r - a Σ_{Aᶜ} π r."""
    xp, (a, b) = f.xp, split_weights(f)
    part = f.pi * f.centered
    return b * xp.sum(xp.where(f.accepted, part, 0.0), axis=-1) - a * xp.sum(xp.where(f.accepted, 0.0, part), axis=-1)


def _gate_law(f: Facts, k: int) -> GsiLaw:
    """The gated law at k times the least of the three n."""
    return f.shared(("gate", k), lambda rows: rows.gated_law(k * starts(rows, _gate_scale(rows))))


def _gate_scale(f: Facts) -> Array:
    """log of the larger coverage constant of π, under the draft and under the base (...)."""
    xp = f.xp
    against = xp.where(f.held, detached(f.log_pi), 0.0) - xp.where(f.held, detached(f.log_base), 0.0)
    base_coverage = xp.max(xp.where(f.held, against, -np.inf), axis=-1)
    coverage = detached(f.log_coverage)
    return xp.where(coverage > base_coverage, coverage, base_coverage)


def _gate_constant(f: Facts, kind: str) -> Array:
    """The closed form of (M7) (...), a = π(A), b = 1 - a."""
    xp, (a, b) = f.xp, split_weights(f)
    log_b = xp.where(b > 0, log_of_positive(b), 0.0)
    if kind == "tv":
        return a * b
    if kind == "kl_forward":
        return -a * xp.log1p(b) - b * log_b
    if kind == "kl_reverse":
        return a * (1.0 + b) * xp.log1p(b) + b * b * log_b
    return xp.sum(f.pi * (xp.where(f.accepted, 1.0, 0.0) - a[..., None]) * f.reward, axis=-1)


def gate_limit(f: Facts, kind: str) -> Sides:
    """(M7): what the gated law tends to as n = n_base → ∞; a = π(A), which has no gradient through the gate's edge."""
    xp = f.xp

    def term(k: int) -> tuple[Array, Array]:
        law = _gate_law(f, k)
        if kind == "kl_forward":
            return f.kl_to(law)
        if kind == "kl_reverse":
            value = divergence.kl(law.log_prob, f.log_pi)
            return value, law.log_error * (1.0 + 2.0 * abs(detached(value)))
        error = law.error + 2.0 * f.weight_error
        if kind == "tv":
            return divergence.tv(law.log_prob, f.log_pi), error
        change = xp.vecdot(xp.exp(law.log_prob) - f.pi, f.reward, axis=-1)
        return change, 2.0 * error * largest_reward(f)

    limit, error = limit_of(f, _gate_scale(f), term, smooth=False)
    scale = largest_reward(f) if kind == "reward" else 1.0
    # a and b sum to one only up to the rounding of π
    moved = 4.0 * f.weight_error * (detached(f.osc) + scale if kind == "reward" else 1.0)
    return Sides(limit, _gate_constant(f, kind), error + moved + 64.0 * EPS, scale=1e-2 * scale)


def gate_vanishes(f: Facts, kind: str = "tv") -> Sides:
    """The readings that (M7) refutes: TV(G_n, π), KL(π‖G_n) or the change of the mean reward tends to 0."""
    limit = gate_limit(f, kind)
    return Sides(limit.lhs, 0.0, limit.error, scale=limit.scale)


def gate_gains(f: Facts) -> Sides:
    """The reading that (M7) refutes: in the limit the gate does not lower the mean reward, 0 ≤ Cov_π(1_A, r)."""
    error = detached(f.osc) * (8.0 * f.weight_error + (f.outcomes + 8.0) * EPS)
    return Sides(0.0 * f.osc, covariance(f), error)


def split_balls(f: BallFacts) -> tuple[arb, arb]:
    """`split_weights`."""
    pairs = list(zip(f.pi, f.accepted, strict=True))
    return f.total([p for p, kept in pairs if kept]), f.total([p for p, kept in pairs if not kept])


def covariance_balls(f: BallFacts) -> arb:
    """`covariance`."""
    a, b = split_balls(f)
    part = [(p * v, kept) for p, v, kept in zip(f.pi, f.centered, f.accepted, strict=True)]
    return b * f.total([x for x, kept in part if kept]) - a * f.total([x for x, kept in part if not kept])


def limit_balls(f: BallFacts, kind: str) -> tuple[arb, arb]:
    """`gate_vanishes`: the proved closed form of the limit, against 0."""
    a, b = split_balls(f)
    if kind == "tv":
        return a * b, f.zero
    if kind == "kl_forward":
        return -a * b.log1p() - (b * b.log() if b > 0 else f.zero), f.zero
    return covariance_balls(f), f.zero


_LIMIT = (COVERED, GATED, CONVERGENT)
_TILT = "the natural reading of gated GSI as a sampler of the tilt"
_ENDLESS = "a limit in n: balls know its closed form, which is the right side, and cannot enclose the left"
_FORMS = {
    "tv": r"\lim_n TV(G_n,\pi) = a(1-a)",
    "kl_forward": r"\lim_n KL(\pi\|G_n) = -a\log(2-a)-(1-a)\log(1-a)",
    "kl_reverse": r"\lim_n KL(G_n\|\pi) = a(2-a)\log(2-a)+(1-a)^2\log(1-a)",
    "reward": r"\lim_n E_{G_n}r - E_\pi r = Cov_\pi(1_A,r)",
}
_VANISHING = (
    ("M7-vanishes", r"\lim_n TV(G_n,\pi) = 0", _TILT, "tv"),
    ("M7-vanishes-kl", r"\lim_n KL(\pi\|G_n) = 0", _TILT, "kl_forward"),
    ("M7-vanishes-reward", r"\lim_n E_{G_n}r = E_\pi r", "the natural reading of gated GSI's reward bound", "reward"),
)

_limit = partial(proved, assumptions=_LIMIT, relation="=", uncertified=_ENDLESS)
_vanishing = partial(reading, assumptions=(*_LIMIT, SPLIT))

TABLE = (
    *(_limit(f"M7-{kind.replace('_', '-')}", text, partial(gate_limit, kind=kind)) for kind, text in _FORMS.items()),
    *(
        _vanishing(key, text, *twins(gate_vanishes, limit_balls, kind), source=source, relation="=")
        for key, text, source, kind in _VANISHING
    ),
    _vanishing(
        "M7-gains",
        r"\lim_n E_{G_n}r \ge E_\pi r",
        gate_gains,
        lambda f: (f.zero, covariance_balls(f)),
        source="the natural reading of a threshold that filters drafts",
    ),
)
