"""What claims assume, by name, and whom they are taken from; see claims.py. An assumption has one boolean a row."""

from __future__ import annotations

import numpy as np

from gsi_theory.claims.claim import Assumption
from gsi_theory.claims.facts import Facts
from gsi_theory.claims.sides_rejection import base_mean, step_at
from gsi_theory.claims.sides_tournament import LEAGUE_CELLS
from gsi_theory.laws.draws import MOST
from gsi_theory.rules import softmax as rules
from gsi_theory.rules.table import rule_named
from gsi_theory.types import Array


def _positive_base(f: Facts) -> Array:
    return ~f.xp.any(f.covered & ~f.xp.isfinite(f.log_base), axis=-1)


def _splits(f: Facts) -> Array:
    some = f.pi > 0
    return f.xp.any(some & f.accepted, axis=-1) & f.xp.any(some & ~f.accepted, axis=-1)


def _always(f: Facts, value: bool) -> Array:
    """One answer for every row."""
    return f.xp.isfinite(f.beta) & value


def _earns(f: Facts) -> Array:
    return f.xp.vecdot(f.pi, f.reward, axis=-1) > 0


def _well_posed(f: Facts) -> Array:
    """n + v > 1 for v = E_π[r w]/E_π r; w is finite enough on every row that the sides see."""
    some = f.held & f.covered
    w = f.xp.where(some, f.xp.exp(f.xp.clip(f.xp.where(some, f.log_w, 0.0), None, 690.0)), 0.0)
    with np.errstate(over="ignore", invalid="ignore"):
        earned = f.n * f.xp.vecdot(f.pi, f.reward, axis=-1)
        return earned + f.xp.vecdot(f.pi, f.reward * (w - 1.0), axis=-1) > 0


COVERED = Assumption("that the draft covers the base", lambda f: ~f.uncovered)
UNSIGNED = Assumption("rewards r ≥ 0", lambda f: f.xp.min(f.reward, axis=-1) >= 0)
WELL_POSED = Assumption("n + v > 1", _well_posed)
EARNING = Assumption("E_π r > 0", _earns)
GATED = Assumption("a threshold on the tilted reward", lambda f: f.has_threshold & (f.gate != "score"))
SPLIT = Assumption("that the gate splits the tilted policy, 0 < π(A) < 1", _splits)
POSITIVE = Assumption("w > 0 on the draft's support", _positive_base)
VARYING = Assumption("weights that are not constant", lambda f: f.varies)
SOFTMAX = Assumption("rule softmax", lambda f: _always(f, rule_named(f.rule) is rules.SOFTMAX))
CONVERGENT = Assumption("rule softmax or race", lambda f: _always(f, rule_named(f.rule).converges))
SEVERAL = Assumption("n ≥ 2", lambda f: f.n >= 2)
WHOLE = Assumption("whole numbers of draws", lambda f: (f.n == f.xp.round(f.n)) & (f.n_base == f.xp.round(f.n_base)))
FINITE_SCORE = Assumption("a finite threshold", lambda f: f.xp.isfinite(f.threshold) & f.xp.isfinite(f.log_score))
HIGH_SCORE = Assumption("M ≥ C", lambda f: f.log_score >= f.log_coverage)
# not n + n_base: 2^53 + 1 rounds to 2^53
POOLABLE = Assumption("n + n_base ≤ 2^53", lambda f: f.n <= MOST - f.n_base)
HIGH_STEP = Assumption("a step at or above E_{π_B} r", lambda f: step_at(f) >= base_mean(f))
SMALL_LEAGUE = Assumption(f"n·n_base ≤ {LEAGUE_CELLS}", lambda f: f.n * f.n_base <= LEAGUE_CELLS)

GSI = "Guided Speculative Inference, arXiv 2506.04118, Theorem 1"
RACE = "Uniform Race; ExpBoN, arXiv 2609.21899"
SMOOTHING = "smoothing lens, arXiv 2507.05913"
BEIRAMI = "Beirami et al., arXiv 2401.01879"
RSD = "Liao et al., arXiv 2501.19324"
TOURNAMENT = "Chen et al., arXiv 2411.19477"
TRANSFER = "Transfer Q*, arXiv 2405.20495"
HERE = "proved in THEORY.md"
