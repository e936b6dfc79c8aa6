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
from gsi_theory.estimate import Estimate, leave_one_out, subset_mean
from gsi_theory.instance import beta_times, log_weight, tilted_reward
from gsi_theory.methods import Method
from gsi_theory.rules.rule import Rule
from gsi_theory.rules.table import rule_named
from gsi_theory.samples.gated_estimate import gated_mean, score_gated_mean
from gsi_theory.targets.target_table import require_plain
from gsi_theory.types import Floats
from llm_check.logs.pools.pool import SOURCES, Pool

__all__ = [
    "NothingToPredict",
    "PositionPrediction",
    "Prediction",
    "acceptance_floor",
    "predict_methods",
    "predict_pool",
    "predict_position",
    "smallest_set",
]

Progress = Callable[[int, int], None]


class NothingToPredict(InputError):
    """No position has what a prediction needs."""


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


def _family(method: Method, scheme: Scheme) -> tuple[object, ...]:
    """Schemes of one family differ in n alone (the base draws either follow n or are fixed): one pass serves them."""
    fixed = None if scheme.base_draws == scheme.n else scheme.base_draws
    return (method.name, scheme.rule, scheme.beta, scheme.threshold, scheme.gate, fixed)


def _gsi(scheme: Scheme) -> Method:
    """GSI's selection among drafts under the rule and gate of `scheme`, as a method."""
    return Method("gsi", "", "M6", "", "draft", rule=scheme.rule, gate=scheme.gate)


def predict_position(
    draft: Candidates, base: Candidates, schemes: Sequence[Scheme], values: tuple[Floats, Floats] | None = None
) -> PositionPrediction:
    """GSI under every scheme at one position; otherwise, errors included, as `predict_methods`."""
    return predict_methods(draft, base, [(_gsi(scheme), scheme) for scheme in schemes], values)


def predict_methods(
    draft: Candidates,
    base: Candidates,
    played: Sequence[tuple[Method, Scheme]],
    values: tuple[Floats, Floats] | None = None,
) -> PositionPrediction:
    """Every method with its scheme at one position; `values` (V, N) of the draft's and (V, N_B) of the base's
    candidates (None: the rewards, V = 1).

    Raises InputError for none, for a method that no pool predicts (one that is not among n iid drafts or base draws
    with a gate of M6, M9 or M21), where n exceeds the candidates, or n_base the base's, and where β r + ℓ exceeds the
    range of numbers.
    """
    if not played:
        raise InputError("no schemes to predict: give at least one")
    for _, scheme in played:
        require_plain(scheme.target, "a prediction from a pool")
    own = values or (draft.reward[None], base.reward[None])
    families: dict[tuple[object, ...], list[int]] = {}
    for s, pair in enumerate(played):
        families.setdefault(_family(*pair), []).append(s)
    shape = len(played), len(own[0])
    value, stderr, accept, accept_se = np.zeros(shape), np.zeros(shape), np.ones(shape[0]), np.zeros(shape[0])
    for members in families.values():
        ns = [played[s][1].n for s in members]
        means, passed = _family_means((draft, base), *played[members[0]], ns, own)
        value[members], stderr[members] = means.value.T, means.stderr.T
        if passed is not None:
            accept[members], accept_se[members] = passed.value, passed.stderr
    return PositionPrediction(value, stderr, accept, accept_se)


def _weight(method: Method, candidates: Candidates, beta: float) -> Floats:
    """Log-weights of the candidates among which a method selects."""
    if method.weight == "none":
        return np.zeros(candidates.reward.shape)
    if method.weight == "best":
        return np.asarray(candidates.reward)
    return log_weight(candidates, beta) if method.weight == "ratio" else beta_times(candidates.reward, beta)


def _family_means(
    sides: tuple[Candidates, Candidates],
    method: Method,
    scheme: Scheme,
    ns: list[int],
    values: tuple[Floats, Floats],
) -> tuple[Estimate, Estimate | None]:
    """Means (V, M) of the values for schemes that differ from `scheme` in n alone, and acceptance (M,) at a gate.

    Where there is one draft the error is inf.
    """
    gated = method.gated(scheme)
    plain = method.pair_alone and not method.mixed and method.search == "all" and method.numbers == "fixed"
    gates = ("tilted_reward", "score", "reward") if gated else (method.gate,)
    if not plain or method.weight.startswith("clipped") or method.gate not in gates:
        raise InputError(f"method {method.name!r}: no pool predicts it without running it; decode it instead")
    side, (draft, base) = int(method.proposal == "base"), sides
    weight, rule = _weight(method, sides[side], scheme.beta), scheme.rule
    if not gated:
        return subset_mean(values[side], weight, ns, rule), None
    assert scheme.threshold is not None
    if method.fallback == "select":
        fixed = None if scheme.base_draws == scheme.n else scheme.n_base
        fallback = values[1], beta_times(base.reward, scheme.beta), ns, fixed
    else:
        fallback = values[1], np.zeros(base.reward.shape), ns, 1
    if method.gate == "score":
        cut = scheme.beta * scheme.threshold if np.isfinite(scheme.threshold) else scheme.threshold
        found = score_gated_mean(values[0], weight, cut, *fallback, rule)
    else:
        judged = draft.reward if method.gate == "reward" else tilted_reward(draft, scheme.beta)
        found = gated_mean(values[0], weight, judged >= scheme.threshold, *fallback, rule)
    return found.value, found.p_accept


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
        raise NothingToPredict(f"no position has {' and '.join(needed)} candidates: a prediction needs them, draw some")
    return keys


def smallest_set(pool: Pool, gated: bool) -> tuple[int, str]:
    """(candidates, place) of the smallest set that a prediction draws from: the largest n that it can be for."""
    sources, sets = SOURCES if gated else SOURCES[:1], pool.arrays.sets
    size, key, source = min(
        (sets[(*key, source)].stop - sets[(*key, source)].start, key, source)
        for key in _positions(pool, gated, False)
        for source in sources
    )
    return size, f"{source} candidates at {key[0]!r}, step {key[1]}"


def predict_pool(
    pool: Pool,
    schemes: Sequence[Scheme],
    progress: Progress | None = None,
    strict: bool = True,
    value: str = "reward",
) -> list[Prediction]:
    """Predictions of every scheme at every position of a pool, in the pool's order; `reward` is the mean of the column
    `value`.

    A position needs drafts, as many as the scheme's n, and where a scheme has a gate base candidates, all with a value:
    one that lacks them is refused or, with strict=False, left out: for the schemes that its candidates are too few for,
    or for all alike. Raises InputError as `predict_position`, and NothingToPredict when no position is left.
    """
    gated = any(scheme.threshold is not None for scheme in schemes)
    keys = _positions(pool, gated, strict)
    predictions: list[Prediction] = []
    for done, key in enumerate(keys, start=1):
        draft = pool.draft_candidates(*key)
        base = pool.base_candidates(*key) if gated else draft  # without a gate nothing falls back
        values = None if value == "reward" else _values(pool, key, value, gated)
        fitting = schemes if strict else _fitting(schemes, draft.reward.size, base.reward.size, values)
        if values is not None and strict and np.isnan(np.concatenate([v.ravel() for v in values])).any():
            raise InputError(f"a candidate at {key[0]!r}, step {key[1]} has no {value}: grade it, or predict rewards")
        if fitting:
            at = predict_position(draft, base, fitting, values)
            error = np.maximum(at.p_accept_se, acceptance_floor(draft, fitting))
            rows = zip(fitting, at.value[:, 0], at.stderr[:, 0], at.p_accept, error, at.p_accept_se, strict=True)
            predictions += [Prediction(*key, scheme, *map(float, numbers)) for scheme, *numbers in rows]
        if progress is not None:
            progress(done, len(keys))
    if not predictions:
        few = f"{min(scheme.n for scheme in schemes)} or more candidates"
        graded = "" if value == "reward" else f", each with a {value}"
        raise NothingToPredict(f"no position has {few}{graded}: give a smaller n, or draw more")
    return predictions


def _fitting(
    schemes: Sequence[Scheme], drafts: int, base: int, values: tuple[Floats, Floats] | None
) -> Sequence[Scheme]:
    """The schemes that a position has enough candidates for; none where one has no value."""
    if values is not None and (np.isnan(values[0]).any() or np.isnan(values[1]).any()):
        return []
    return [s for s in schemes if s.n <= drafts and (s.threshold is None or s.base_draws <= base)]


def _values(pool: Pool, key: tuple[str, int], name: str, gated: bool) -> tuple[Floats, Floats]:
    """A column of the drafts and of what a gate falls back on, (1, N) and (1, N_B), NaN where it is null."""
    column, sets = pool.arrays.floats(name), pool.arrays.sets
    draft, base = (column[sets[(*key, source)]][None].copy() for source in ("draft", "base" if gated else "draft"))
    return draft, base
