"""Selection among candidates, and gates: log-weights, scores, winners. Arrays only; no models.

Shapes: B runs, N candidates each. r reward (reward units), ℓ = log π_B - log p_mix (nats), β = scheme.beta, u =
scheme.threshold (reward units). The score of a candidate is log-weight - log T in nats, T its noise (M2): Exp(1) for
softmax, Uniform(0, 1) for race, constant for max. Noise comes as uniforms in [0, 1), T = 1 - uniform or its logarithm,
so the same numbers serve every rule and n.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from gsi_theory import Scheme
from gsi_theory.instance import tilted_rewards
from gsi_theory.laws.clipping import clip_log_ratio
from gsi_theory.laws.rsd import sigmoid
from gsi_theory.methods import default_clip
from gsi_theory.rules.rule import Rule
from gsi_theory.rules.table import rule_named
from gsi_theory.types import Flags, Floats

__all__ = ["GATES", "WEIGHTS", "Gate", "Weight", "log_cut", "log_noise", "select", "winners"]


@dataclass(frozen=True)
class Weight:
    """log_weight(r, ℓ, scheme) in nats."""

    log_weight: Callable[[Floats, Floats, Scheme], Floats]


def _clipped(sides: str) -> Weight:
    """β r + ℓ clipped at log n nats, above ("one") or on both sides ("two")."""
    return Weight(lambda r, ratio, s: s.beta * r + clip_log_ratio(ratio, default_clip(s), sides))


WEIGHTS: dict[str, Weight] = {
    "none": Weight(lambda r, ratio, s: np.zeros_like(r)),
    "reward": Weight(lambda r, ratio, s: s.beta * r),
    "best": Weight(lambda r, ratio, s: r),
    "ratio": Weight(lambda r, ratio, s: s.beta * r + ratio),
    "clipped": _clipped("one"),
    "clipped_both": _clipped("two"),
}


def log_noise(uniforms: Floats, rule: str | Rule) -> Floats:
    """log T of each candidate under `rule`; zero for max. InputError for an unknown rule."""
    return rule_named(rule).log_noise(uniforms)


def select(
    log_weight: Floats, uniforms: Floats, rule: str | Rule, drawn: Flags | None = None
) -> tuple[NDArray[np.int64], Floats]:
    """`winners` by a rule, from uniforms (B, N) in [0, 1). InputError for an unknown rule."""
    rule = rule_named(rule)
    if rule.standing is not None:
        log_weight = rule.standing(log_weight, np.ones(log_weight.shape, dtype=np.bool_) if drawn is None else drawn)
    return winners(log_weight, rule.log_noise(uniforms), drawn)


def winners(log_weight: Floats, noise: Floats, drawn: Flags | None = None) -> tuple[NDArray[np.int64], Floats]:
    """Index (B,) of the largest score among the candidates `drawn` (B, N; default all), and that score in nats.

    Ties go to the first, a candidate as good as any: candidates are exchangeable.
    """
    score = log_weight - noise
    if drawn is not None:
        # Below every candidate that was drawn, also those of weight zero.
        score = np.where(drawn, np.maximum(score, -np.finfo(np.float64).max), -np.inf)
    winner = score.argmax(axis=1)
    return winner, np.take_along_axis(score, winner[:, None], axis=1)[:, 0]


def cut(scheme: Scheme) -> float:
    """The threshold u of a scheme that has one."""
    assert scheme.threshold is not None
    return scheme.threshold


def log_cut(scheme: Scheme) -> float:
    """The score gate's log M = β u in nats (M9), also for u = ±inf."""
    return scheme.beta * cut(scheme) if np.isfinite(cut(scheme)) else cut(scheme)


@dataclass(frozen=True)
class Gate:
    """value(r, ℓ, score, scheme): what is judged, in reward units (B,); passes(...): who is accepted.

    `passes` gets (r, ℓ, score, scheme, uniforms); equality is accepted.
    """

    value: Callable[[Floats, Floats, Floats, Scheme], Floats]
    passes: Callable[[Floats, Floats, Floats, Scheme, Floats], Flags]


GATES: dict[str, Gate] = {
    "tilted_reward": Gate(
        lambda r, ratio, score, s: tilted_rewards(r, ratio, s.beta),
        lambda r, ratio, score, s, u: tilted_rewards(r, ratio, s.beta) >= cut(s),
    ),
    "score": Gate(
        lambda r, ratio, score, s: score / s.beta if s.beta > 0 else np.full_like(score, np.nan),
        lambda r, ratio, score, s, u: score >= log_cut(s),
    ),
    "reward": Gate(lambda r, ratio, score, s: r, lambda r, ratio, score, s, u: r >= cut(s)),
    "sigmoid": Gate(lambda r, ratio, score, s: r, lambda r, ratio, score, s, u: u < sigmoid(cut(s), s.beta)(r)),
    # no threshold: min(1, π_B/π_S) of (M22) is compared with the uniform alone
    "ratio": Gate(
        lambda r, ratio, score, s: np.full_like(ratio, np.nan),
        lambda r, ratio, score, s, u: u < np.exp(np.minimum(ratio, 0.0)),
    ),
}
