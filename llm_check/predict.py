"""Predictions from a pool: mean of any value of the selected step, and acceptance, of every scheme, with errors (M31).

The estimate averages a rule over all n-subsets of the pool's candidates, so it is unbiased for every n up to the pool's
size, whatever the weights; a gated scheme's fallback comes from the base candidates, an independent pool. Standard
errors are those of the jackknife. Nothing is said beyond the pool: n > N raises.

Shapes: S schemes, V values, N draft and N_B base candidates. No torch here: a pool file from any engine will do.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from gsi_theory import Candidates, Scheme
from gsi_theory.errors import InputError
from gsi_theory.estimate import Estimate, checked_pool, curves, deviations, leave_one_out, subset_mean
from gsi_theory.instance import log_weight, tilted_reward
from llm_check.pools.pool import Pool

__all__ = ["PositionPrediction", "Prediction", "predict_pool", "predict_position", "scheme_grid"]

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Prediction:
    """Predicted mean reward and acceptance of one scheme at one position, each with its standard error."""

    prompt_id: str
    step: int
    scheme: Scheme
    reward: float
    reward_se: float
    p_accept: float
    p_accept_se: float


@dataclass(frozen=True)
class PositionPrediction:
    """Of S schemes at one position: `value` (S, V) means of V values of the selected step, `stderr` (S, V), and
    `p_accept`, `p_accept_se` (S,)."""

    value: Floats
    stderr: Floats
    p_accept: Floats
    p_accept_se: Floats


def scheme_grid(
    betas: Sequence[float], ns: Sequence[int], rules: Sequence[str], threshold: float | None
) -> list[Scheme]:
    """Every rule × β × n: without a gate and, with `threshold`, with the tilted-reward gate; race also score-gated."""
    grid = []
    for rule in rules:
        for beta in betas:
            for n in ns:
                grid.append(Scheme(beta, n, None, rule))
                if threshold is not None:
                    grid.append(Scheme(beta, n, threshold, rule))
                    if rule == "race":
                        grid.append(Scheme(beta, n, threshold, rule, gate="score"))
    return grid


def _family(scheme: Scheme) -> tuple[object, ...]:
    """Schemes of one family differ in n alone (the base draws either follow n or are fixed): one pass serves them."""
    fixed = None if scheme.base_draws == scheme.n else scheme.base_draws
    return (scheme.rule, scheme.beta, scheme.threshold, scheme.gate, fixed)


def predict_position(
    draft: Candidates, base: Candidates, schemes: Sequence[Scheme], values: tuple[Floats, Floats] | None = None
) -> PositionPrediction:
    """Every scheme at one position; `values` (V, N) of the draft's and (V, N_B) of the base's candidates (None: the
    rewards, V = 1).

    Raises InputError for no schemes, and where n exceeds the draft's candidates, or n_base the base's.
    """
    if not schemes:
        raise InputError("predict_position got no schemes: give at least one")
    own, theirs = values or (draft.reward[None], base.reward[None])
    families: dict[tuple[object, ...], list[int]] = {}
    for s, scheme in enumerate(schemes):
        families.setdefault(_family(scheme), []).append(s)
    shape = len(schemes), len(own)
    value, stderr, accept, accept_se = np.zeros(shape), np.zeros(shape), np.ones(shape[0]), np.zeros(shape[0])
    for members in families.values():
        ns = [schemes[s].n for s in members]
        found, passed = _family_means(draft, base, schemes[members[0]], ns, own, theirs)
        value[members], stderr[members] = found.value.T, found.stderr.T
        if passed is not None:
            accept[members], accept_se[members] = passed.value[0], passed.stderr[0]
    return PositionPrediction(value, stderr, accept, accept_se)


def _family_means(
    draft: Candidates, base: Candidates, scheme: Scheme, ns: list[int], own: Floats, theirs: Floats
) -> tuple[Estimate, Estimate | None]:
    """Means (V, M) of the values for schemes that differ from `scheme` in n alone, and acceptance (1, M) at a gate.

    With A = E[f; accepted], p the acceptance and F the fallback's mean, a gated mean is A + (1 - p) F, unbiased because
    the two sets are independent; its error is Σ_j (dA_j - F dp_j)² + (1 - p)² Var F (as `gsi_theory.gated_estimate`,
    here for several values in one pass).
    """
    weight = log_weight(draft, scheme.beta)
    if scheme.threshold is None:
        return subset_mean(own, weight, ns, scheme.rule), None
    if scheme.gate == "score":
        cut = scheme.beta * scheme.threshold if np.isfinite(scheme.threshold) else scheme.threshold
        pool = checked_pool(np.vstack([own, np.ones(own.shape[1])]), weight, ns, "race", cut)
        means = np.zeros((len(own) + 1, len(ns))) if cut == np.inf else curves(pool)
        parts = deviations(pool)
    else:
        kept = (tilted_reward(draft, scheme.beta) >= scheme.threshold).astype(np.float64)
        both = leave_one_out(np.vstack([own * kept, kept]), weight, ns, scheme.rule)
        means, parts = both.value, both.deviation
    draws = ns if scheme.base_draws == scheme.n else [scheme.base_draws] * len(ns)
    fallback = subset_mean(theirs, scheme.beta * base.reward, draws, scheme.rule)
    accepted, chance, rest = means[:-1], means[-1:], 1.0 - means[-1:]
    spread = np.sum((parts[:-1] - fallback.value[..., None] * parts[-1:]) ** 2, axis=-1)
    error = np.sqrt(spread + (rest * fallback.stderr) ** 2)
    passed = Estimate(chance, np.sqrt(np.sum(parts[-1:] ** 2, axis=-1)))
    return Estimate(accepted + rest * fallback.value, error), passed


def predict_pool(
    pool: Pool, schemes: Sequence[Scheme], progress: Callable[[int, int], None] | None = None
) -> list[Prediction]:
    """Predictions of every scheme at every position of a pool that has drafts and, if any scheme has a gate, base
    candidates for its fallback; in the pool's order.

    Raises InputError where no position has them, and as `predict_position`.
    """
    gated = any(scheme.threshold is not None for scheme in schemes)
    keys = [key for key in pool.positions("draft") if not gated or pool.has(*key, "base")]
    if not keys:
        raise InputError(
            "no position has draft and base candidates, which a gate's fallback needs: predict without a threshold"
            if gated
            else "the pool has no draft candidates: predictions are of selection among drafts"
        )
    found: list[Prediction] = []
    for done, (prompt_id, step) in enumerate(keys, start=1):
        draft = pool.draft_candidates(prompt_id, step)
        base = pool.base_candidates(prompt_id, step) if gated else draft
        at = predict_position(draft, base, schemes)
        rows = zip(schemes, at.value[:, 0], at.stderr[:, 0], at.p_accept, at.p_accept_se, strict=True)
        found += [Prediction(prompt_id, step, scheme, *map(float, numbers)) for scheme, *numbers in rows]
        if progress is not None:
            progress(done, len(keys))
    return found
