"""What claims of several topics assume, each with its test on floats and on balls, and whom they are taken from.

Premises of the form "n ≥ N(ε) implies D ≤ ε" are no assumptions: they are judged at the smallest ε that the given n
allows, which is equivalent because N decreases in ε.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from gsi_theory.claims.claim import Assumption
from gsi_theory.claims.facts import Facts
from gsi_theory.laws.draws import MOST
from gsi_theory.rules.softmax import SOFTMAX as SOFTMAX_RULE
from gsi_theory.rules.table import RULES, rule_named
from gsi_theory.types import Array

if TYPE_CHECKING:
    from gsi_theory.certified.ball_facts import BallFacts


def _splits(f: Facts) -> Array:
    some = f.pi > 0
    return f.xp.any(some & f.accepted, axis=-1) & f.xp.any(some & ~f.accepted, axis=-1)


def _always(f: Facts, value: bool) -> Array:
    """One answer for every row."""
    return f.xp.isfinite(f.beta) & value


def _well_posed(f: Facts) -> Array:
    """n + v > 1 for v = E_π[r w]/E_π r; w is finite enough on every row that the sides see."""
    some = f.held & f.covered
    w = f.xp.where(some, f.xp.exp(f.xp.clip(f.xp.where(some, f.log_w, 0.0), None, 690.0)), 0.0)
    with np.errstate(over="ignore", invalid="ignore"):
        earned = f.n * f.xp.vecdot(f.pi, f.reward, axis=-1)
        return earned + f.xp.vecdot(f.pi, f.reward * (w - 1.0), axis=-1) > 0


def _well_posed_balls(f: BallFacts) -> bool:
    """Whether it is proved: a sum of signed terms that encloses zero counts as not."""
    rows = zip(f.pi, f.reward, f.w, strict=True)
    return bool(f.total([p * r * (f.scheme.n - 1 + w) for p, r, w in rows if w is not None]) > 0)


def _high_score_balls(f: BallFacts) -> bool:
    from gsi_theory.certified.ball_law import compare

    return all(not w.factor or compare(f.score, w) >= 0 for w in f.draft_weight)


COVERED = Assumption("that the draft covers the base", lambda f: ~f.uncovered, lambda f: f.covered)
UNSIGNED = Assumption(
    "rewards r ≥ 0", lambda f: f.xp.min(f.reward, axis=-1) >= 0, lambda f: min(f.instance.reward) >= 0
)
WELL_POSED = Assumption("n + v > 1", _well_posed, _well_posed_balls)
EARNING = Assumption(
    "E_π r > 0",
    lambda f: f.xp.vecdot(f.pi, f.reward, axis=-1) > 0,
    lambda f: bool(f.total([p * r for p, r in zip(f.pi, f.reward, strict=True)]) > 0),
)
GATED = Assumption(
    "a threshold on the tilted reward",
    lambda f: f.has_threshold & (f.gate != "score"),
    lambda f: f.scheme.threshold is not None and f.scheme.gate != "score",
)
SPLIT = Assumption(
    "that the gate splits the tilted policy, 0 < π(A) < 1",
    _splits,
    lambda f: {a for p, a in zip(f.pi, f.accepted, strict=True) if not p.is_zero()} == {True, False},
)
POSITIVE = Assumption(
    "w > 0 on the draft's support",
    lambda f: ~f.xp.any(f.covered & ~f.xp.isfinite(f.log_base), axis=-1),
    lambda f: all(b > 0 for s, b in zip(f.instance.draft, f.instance.base, strict=True) if s),
)
VARYING = Assumption(
    "weights that are not constant",
    lambda f: f.varies,
    lambda f: len({w for w, s in zip(f.draft_weight, f.instance.draft, strict=True) if s}) > 1,
)
SOFTMAX = Assumption(
    "rule softmax",
    lambda f: _always(f, rule_named(f.rule) is SOFTMAX_RULE),
    lambda f: rule_named(f.scheme.rule) is SOFTMAX_RULE,
)
CONVERGENT = Assumption(
    f"rule {' or '.join(rule.name for rule in RULES.values() if rule.converges)}",
    lambda f: _always(f, rule_named(f.rule).converges),
    lambda f: rule_named(f.scheme.rule).converges,
)
SEVERAL = Assumption("n ≥ 2", lambda f: f.n >= 2, lambda f: f.scheme.n >= 2)
# an exact scheme has no others
WHOLE = Assumption(
    "whole numbers of draws",
    lambda f: (f.n == f.xp.round(f.n)) & (f.n_base == f.xp.round(f.n_base)),
    lambda f: True,
)
FINITE_SCORE = Assumption(
    "a finite threshold",
    lambda f: f.xp.isfinite(f.threshold) & f.xp.isfinite(f.log_score),
    lambda f: f.scheme.threshold is not None and math.isfinite(f.scheme.threshold),
)
HIGH_SCORE = Assumption("M ≥ C", lambda f: f.log_score >= f.log_coverage, _high_score_balls)
# not n + n_base: 2^53 + 1 rounds to 2^53
POOLABLE = Assumption(
    "n + n_base ≤ 2^53", lambda f: f.n <= MOST - f.n_base, lambda f: f.scheme.n + f.scheme.base_draws <= MOST
)

GSI = "Guided Speculative Inference, arXiv 2506.04118, Theorem 1"
RACE = "Uniform Race; ExpBoN, arXiv 2609.21899"
