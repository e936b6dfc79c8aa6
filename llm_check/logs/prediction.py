"""Predictions from a pool: mean of any value of the selected step, and acceptance, of every scheme, with errors (M31).

The estimate averages a rule over all n-subsets of the pool's candidates, so it is unbiased for every n up to the pool's
size, whatever the weights; a gated scheme's fallback comes from the base candidates, an independent pool. Standard
errors are those of the jackknife. Nothing is said beyond the pool: n > N raises.

Where hardly any draft lies on one side of the gate the jackknife of the acceptance is far too small: it scales with
the estimate itself, and is zero where no draft lies there. `acceptance_floor` bounds it from below.

Shapes: S schemes, V values, N draft and N_B base candidates. No torch here: a pool file from any engine will do.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from gsi_theory import Candidates, Scheme
from gsi_theory.errors import InputError
from gsi_theory.estimate import Estimate, checked_pool, curves, deviations, leave_one_out, subset_mean
from gsi_theory.instance import beta_times, log_weight, tilted_reward
from gsi_theory.rules.rule import Rule
from gsi_theory.rules.table import rule_named
from gsi_theory.runs.options import distinct
from gsi_theory.samples.gated_estimate import gated_error
from gsi_theory.types import Floats
from llm_check.logs.pools.pool import SOURCES, Pool

__all__ = [
    "PositionPrediction",
    "Prediction",
    "acceptance_floor",
    "predict_pool",
    "predict_position",
    "scheme_grid",
    "smallest_set",
]


@dataclass(frozen=True)
class Prediction:
    """Predicted mean reward and acceptance of one scheme at one position, each with its standard error.

    p_accept_se: the jackknife's, p_accept_jackknife, or the floor of `acceptance_floor` where that is larger.
    """

    prompt_id: str
    step: int
    scheme: Scheme
    reward: float
    reward_se: float
    p_accept: float
    p_accept_se: float
    p_accept_jackknife: float


@dataclass(frozen=True)
class PositionPrediction:
    """Of S schemes at one position: `value` (S, V) means of V values of the selected step, `stderr` (S, V), and
    `p_accept`, `p_accept_se` (S,), the errors the jackknife's."""

    value: Floats
    stderr: Floats
    p_accept: Floats
    p_accept_se: Floats


def scheme_grid(
    betas: Sequence[float], ns: Sequence[int], rules: Sequence[str], threshold: float | None
) -> list[Scheme]:
    """Every rule × β × n, each once: without a gate and, with `threshold`, with the tilted-reward gate; rules that have
    a score gate also with that."""
    grid = []
    for rule in distinct(rules):
        for beta in distinct(betas):
            for n in distinct(ns):
                grid.append(Scheme(beta, n, None, rule))
                if threshold is not None:
                    grid.append(Scheme(beta, n, threshold, rule))
                    if rule_named(rule).score_gate:
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

    Raises InputError for no schemes, where n exceeds the draft's candidates, or n_base the base's, and where β r + ℓ
    exceeds the range of numbers.
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
    the two sets are independent; its error is that of `gated_estimate`, here for several values in one pass, inf where
    there is one draft.
    """
    weight = log_weight(draft, scheme.beta)
    if scheme.threshold is None:
        return subset_mean(own, weight, ns, scheme.rule), None
    if scheme.gate == "score":
        cut = scheme.beta * scheme.threshold if np.isfinite(scheme.threshold) else scheme.threshold
        pool = checked_pool(np.vstack([own, np.ones(own.shape[1])]), weight, ns, scheme.rule, cut)
        means = np.zeros((len(own) + 1, len(ns))) if cut == np.inf else curves(pool)
        parts = deviations(pool)
    else:
        kept = (tilted_reward(draft, scheme.beta) >= scheme.threshold).astype(np.float64)
        both = leave_one_out(np.vstack([own * kept, kept]), weight, ns, scheme.rule)
        means, parts = both.value, both.deviation
    draws = ns if scheme.base_draws == scheme.n else [scheme.base_draws] * len(ns)
    fallback = subset_mean(theirs, beta_times(base.reward, scheme.beta), draws, scheme.rule)
    accepted, chance, rest = means[:-1], means[-1:], 1.0 - means[-1:]
    error = gated_error(parts[:-1], parts[-1:], rest, fallback)
    passed = Estimate(chance, np.sqrt(np.sum(parts[-1:] ** 2, axis=-1)))
    return Estimate(accepted + rest * fallback.value, error), passed


def acceptance_floor(draft: Candidates, schemes: Sequence[Scheme]) -> Floats:
    """Errors (S,) of the acceptance by the drafts and one more, on the side of the gate where that makes them larger.

    The one more is what a pool of N cannot exclude: a share of about 1/N of the drafts. Where P(refused) = (E z)^n, by
    z = (1 - w/M)_+ at the score gate and z = 1{r̃ < u} under the max rule, it is z = 0 or 1, and the error is that of
    first order, n q^(n-1) s/√N. Else it lies at the gate with the weight e^{βu}, passing (lighter than all that pass)
    or refused (heavier than all refused), and the error is the jackknife's. 0 without a gate, and at an infinite
    threshold, where no draft changes anything. Chances of 1e-3 and less may be missed by more than it says.
    """
    floor = np.zeros(len(schemes))
    families: dict[tuple[str | Rule, float, float, str], list[int]] = {}
    for s, scheme in enumerate(schemes):
        if scheme.threshold is not None and np.isfinite(scheme.beta * scheme.threshold):
            families.setdefault((scheme.rule, scheme.beta, scheme.threshold, scheme.gate), []).append(s)
    for (rule, beta, threshold, gate), members in families.items():
        ns, weight = np.array([schemes[s].n for s in members]), log_weight(draft, beta)
        refused = np.asarray(tilted_reward(draft, beta) < threshold, dtype=np.float64)
        if gate == "score":
            refused = -np.expm1(np.minimum(weight - beta * threshold, 0.0))
        for one in (0.0, 1.0):
            z = np.append(refused, one)
            if gate == "score" or rule_named(rule).heaviest_wins:
                error = ns * z.mean() ** (ns - 1.0) * z.std(ddof=1) / np.sqrt(z.size)
            else:
                parts = leave_one_out(z, np.append(weight, beta * threshold), ns, rule).deviation[0]
                error = np.sqrt(np.sum(parts**2, axis=-1))
            floor[members] = np.maximum(floor[members], error)
    return floor


def _positions(pool: Pool, gated: bool, strict: bool) -> list[tuple[str, int]]:
    """Where a prediction is for: at drafts and, with a gate, base candidates; with `strict` everywhere."""
    needed, keys = SOURCES if gated else SOURCES[:1], pool.keys()
    if not strict:
        keys = [key for key in keys if all(pool.has(*key, source) for source in needed)]
    if not keys:
        raise InputError(f"no position has {' and '.join(needed)} candidates: a prediction needs them, draw some")
    return keys


def smallest_set(pool: Pool, gated: bool) -> tuple[int, str]:
    """(candidates, place) of the smallest set that a prediction draws from: the largest n it can be for."""
    sizes, index = np.diff(pool.groups.starts), pool.groups.index
    sources = SOURCES if gated else SOURCES[:1]
    size, key, source = min((int(sizes[index[(*k, s)]]), k, s) for k in _positions(pool, gated, False) for s in sources)
    return size, f"{source} candidates at {key[0]!r}, step {key[1]}"


def predict_pool(
    pool: Pool, schemes: Sequence[Scheme], progress: Callable[[int, int], None] | None = None, strict: bool = True
) -> list[Prediction]:
    """Predictions of every scheme at every position of a pool, in the pool's order.

    A position needs drafts and, where a scheme has a gate, base candidates: one without them is refused or, with
    strict=False, left out for all schemes alike. Raises InputError as `predict_position`, and when no position is left.
    """
    gated = any(scheme.threshold is not None for scheme in schemes)
    keys = _positions(pool, gated, strict)
    found: list[Prediction] = []
    for done, (prompt_id, step) in enumerate(keys, start=1):
        draft = pool.draft_candidates(prompt_id, step)
        base = pool.base_candidates(prompt_id, step) if gated else draft  # without a gate nothing falls back
        at = predict_position(draft, base, schemes)
        error = np.maximum(at.p_accept_se, acceptance_floor(draft, schemes))
        rows = zip(schemes, at.value[:, 0], at.stderr[:, 0], at.p_accept, error, at.p_accept_se, strict=True)
        found += [Prediction(prompt_id, step, scheme, *map(float, numbers)) for scheme, *numbers in rows]
        if progress is not None:
            progress(done, len(keys))
    return found
