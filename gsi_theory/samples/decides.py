"""Who decides, reward or ratio (M46): what selection gains over one draft, split between them, from drafts of a pool.

With the winner J of n drafts and V(f) = E f(J):

    V₁  one draft                         V_r  selection by the reward alone, weights βr
    V_w selection by βr + ℓ               V_G  the same with gate and fallback

    V_G − V₁ = (V_r − V₁) + (V_w − V_r) + (V_G − V_w)

Every term is a mean over all n-subsets of one pool (M31), so each gain is unbiased, and paired: its error is that of
the difference. Two things to know of them. The split depends on its order, here the reward first: what both would have
gained is counted for the reward. And the threshold u is taken as fixed beforehand: of one chosen on the same pool the
gate's gain looks somewhat better than it is.

Beside the gains: the ratio's share of the log-weights, Cov(ℓ, βr + ℓ)/Var(βr + ℓ) within positions (the reward's is the
rest; above 1 where reward and ratio work against each other), over drafts that the base can draw; and how often, over
n-subsets and the rule's own noise, the winner has the best reward of its set, and how often the best ratio (ties count
for both).

Shapes: P positions, U prompts, N drafts.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.special import gammaln

from gsi_theory.errors import InputError
from gsi_theory.estimate import Estimate, checked_pool, curves, deviations, leave_one_out, subset_mean
from gsi_theory.instance import Candidates, Scheme, beta_times, log_weight, tilted_reward
from gsi_theory.rules.rule import Rule
from gsi_theory.samples.gated_estimate import gated_error, gated_rows, gated_value
from gsi_theory.samples.intervals import Interval, fixed_mean, population_mean
from gsi_theory.targets.target_table import require_plain
from gsi_theory.types import Floats

__all__ = ["Decides", "Gain", "decides", "winner_is_best"]

_LEAST = 1e-12  # chance of a set without better candidates below which it is not looked at
Values = tuple[Floats, Floats]  # of the drafts (N,) and of the base candidates (N_B,)


@dataclass(frozen=True)
class Gain:
    """A mean difference of two values: over the population of prompts (None for a single prompt), and over these very
    prompts, of which only the candidates are random."""

    over_prompts: Interval | None
    these_prompts: Interval

    @property
    def value(self) -> float:
        """The estimate."""
        return float(self.these_prompts.value)

    @property
    def stderr(self) -> float:
        """Its standard error, over prompts where there are two or more."""
        return float((self.over_prompts or self.these_prompts).stderr)


@dataclass(frozen=True)
class Decides:
    """values: V₁, V_r, V_w and V_G; gain_gate None without a gate; ratio_share None where no log-weight varies.

    by_reward, by_ratio: how often the winner has the best reward, the best ratio of its set. Standard errors: over
    prompts, of a single one over its candidates; None where it shows none. prompts: their number.
    """

    values: tuple[float, float, float, float]
    gain_reward: Gain
    gain_ratio: Gain
    gain_gate: Gain | None
    ratio_share: float | None
    ratio_share_se: float | None
    by_reward: float
    by_reward_se: float | None
    by_ratio: float
    by_ratio_se: float | None
    prompts: int


def winner_is_best(order: Floats, weight: Floats, n: int, rule: str | Rule = "softmax") -> float:
    """Chance that the winner among n of N candidates has the largest `order` (N,) of its set, ties included (M31).

    weight (N,): log-weights. Exact over all n-subsets: where the best of a set is v, the set is one of the candidates
    up to v.
    """
    size, chance = order.size, 0.0
    for level in np.unique(order)[::-1]:
        upto = order <= level
        count = int(np.count_nonzero(upto))
        if count < n:
            break
        share = float(np.exp(_log_choose(count, n) - _log_choose(size, n)))
        if share < _LEAST:
            break
        chance += share * float(curves(checked_pool((order == level)[upto], weight[upto], [n], rule))[0, 0])
    return min(chance, 1.0)


def _log_choose(size: int, n: int) -> float:
    return float(gammaln(size + 1.0) - gammaln(n + 1.0) - gammaln(size - n + 1.0))


def _gated(f: Values, draft: Candidates, base: Candidates, scheme: Scheme) -> tuple[Floats, Floats, float]:
    """(V_w, V_G), their deviations (2, N), and the error of the base candidates in V_G."""
    weight = log_weight(draft, scheme.beta)
    ns = [scheme.n]
    plain = leave_one_out(f[0], weight, ns, scheme.rule)
    one = plain.value[0, 0], plain.deviation[0, 0]
    if scheme.threshold is None:
        return np.array([one[0], one[0]]), np.stack([one[1], one[1]]), 0.0
    if scheme.gate == "score":
        rows = np.stack([f[0], np.ones_like(f[0])])
        cut = scheme.beta * scheme.threshold if np.isfinite(scheme.threshold) else scheme.threshold
        pool = checked_pool(rows, weight, ns, scheme.rule, cut)
        # nothing reaches +inf, where the quadrature has no range
        parts = curves(pool) if pool.log_cut < np.inf else np.zeros((2, 1))
        moved = deviations(pool)
    else:
        kept = tilted_reward(draft, scheme.beta) >= scheme.threshold
        found = leave_one_out(gated_rows(f[0][None], kept[None])[0], weight, ns, scheme.rule)
        parts, moved = found.value, found.deviation
    fallback = subset_mean(f[1][None], beta_times(base.reward, scheme.beta), [scheme.base_draws], scheme.rule)
    value, rest = gated_value(parts, fallback.value)
    deviation = moved[0, 0] - fallback.value[0, 0] * moved[1, 0]
    of_base = float(gated_error(np.zeros((1, 1, 1)), np.zeros((1, 1, 1)), rest, Estimate(*_pair(fallback)))[0, 0])
    return np.array([one[0], value[0, 0]]), np.stack([one[1], deviation]), of_base


def _pair(found: Estimate) -> tuple[Floats, Floats]:
    return found.value, found.stderr


def _position(f: Values, draft: Candidates, base: Candidates, scheme: Scheme) -> tuple[Floats, Floats]:
    """(V₁, V_r, V_w, V_G) at one position and the errors (3,) of the gains, candidates random."""
    require_plain(scheme.target, "means over a pool")
    single = leave_one_out(f[0], np.zeros_like(f[0]), [1], scheme.rule)
    reward = leave_one_out(f[0], beta_times(draft.reward, scheme.beta), [scheme.n], scheme.rule)
    last, moved, of_base = _gated(f, draft, base, scheme)
    values = np.array([single.value[0, 0], reward.value[0, 0], *last])
    every = np.stack([single.deviation[0, 0], reward.deviation[0, 0], *moved])
    if not np.isfinite(every).all():  # one candidate shows no spread
        return values, np.full(3, np.inf)
    error = np.sqrt(np.sum(np.diff(every, axis=0) ** 2, axis=1))
    error[2] = np.hypot(error[2], of_base)
    return values, error


def _share(parts: Sequence[Floats]) -> tuple[float | None, float | None]:
    """Cov/Var and its standard error from terms (cov, var) (2, M) of each prompt: the ratio of their sums, linearized,
    over prompts, or of one prompt over its candidates."""
    terms = parts[0] if len(parts) == 1 else np.stack([part.sum(axis=1) for part in parts], axis=1)
    cov, var = terms.sum(axis=1)
    if not var > 0:
        return None, None
    share, count = float(cov / var), terms.shape[1]
    rest = terms[0] - share * terms[1]
    return share, float(np.sqrt(count / (count - 1) * np.sum(rest**2)) / var) if count > 1 else None


def _terms(draft: Candidates, beta: float) -> Floats:
    """Terms of Cov(ℓ, βr + ℓ) and Var(βr + ℓ) of one position (2, N), over drafts of finite ratio."""
    alive = np.isfinite(draft.log_ratio)
    if not alive.any():
        return np.zeros((2, 1))
    ratio, weight = draft.log_ratio[alive], log_weight(draft, beta)[alive]
    ratio, weight = ratio - ratio.mean(), weight - weight.mean()
    return np.stack([ratio * weight, weight**2])


def decides(
    positions: Sequence[tuple[Candidates, Candidates]],
    scheme: Scheme,
    prompts: Sequence[str] | None = None,
    values: Sequence[Values] | None = None,
    bounds: tuple[float, float] | None = None,
) -> Decides:
    """Who decides under `scheme` (M46), from the draft and base candidates of P positions; see the module.

    scheme: u fixed beforehand, None: no gate; n up to the smallest set of drafts, n_base to that of the base. prompts
    (P,): the prompt of each position (default: each its own); values: of the drafts and the base candidates of each
    position (default: their rewards); bounds: of the value, which widen the intervals where few prompts decide.
    Means are over positions. Raises InputError without positions, and as `subset_mean` and `gated_mean`.
    """
    if not positions:
        raise InputError("no positions: give draft and base candidates of one or more")
    names = [str(p) for p in range(len(positions))] if prompts is None else list(prompts)
    unit = np.unique(names, return_inverse=True)[1].ravel()
    count = int(unit.max()) + 1
    f = values or [(draft.reward, base.reward) for draft, base in positions]
    rows = [_position(f[p], *pair, scheme) for p, pair in enumerate(positions)]
    scale = count / len(positions)
    means, square = np.zeros((count, 4)), np.zeros((count, 3))
    np.add.at(means, unit, scale * np.stack([row[0] for row in rows]))
    np.add.at(square, unit, np.stack([(scale * row[1]) ** 2 for row in rows]))
    gains = [_gain(np.diff(means, axis=1)[:, k], np.sqrt(square[:, k]), bounds) for k in range(3)]
    terms = [_terms(draft, scheme.beta) for draft, _ in positions]
    by_prompt = [np.concatenate([terms[p] for p in np.flatnonzero(unit == u).tolist()], axis=1) for u in range(count)]
    best = np.zeros((count, 2))
    for p, (draft, _) in enumerate(positions):
        weight = log_weight(draft, scheme.beta)
        orders = draft.reward, draft.log_ratio
        best[unit[p]] += scale * np.array([winner_is_best(o, weight, scheme.n, scheme.rule) for o in orders])
    spread = best.std(axis=0, ddof=1) / np.sqrt(count) if count > 1 else None
    share = _share(by_prompt)
    first, second, third, fourth = means.mean(axis=0).tolist()
    return Decides(
        values=(first, second, third, fourth),
        gain_reward=gains[0],
        gain_ratio=gains[1],
        gain_gate=None if scheme.threshold is None else gains[2],
        ratio_share=share[0],
        ratio_share_se=share[1],
        by_reward=float(best[:, 0].mean()),
        by_reward_se=None if spread is None else float(spread[0]),
        by_ratio=float(best[:, 1].mean()),
        by_ratio_se=None if spread is None else float(spread[1]),
        prompts=count,
    )


def _gain(values: Floats, error: Floats, bounds: tuple[float, float] | None) -> Gain:
    over = None
    if values.size > 1:
        width = None if bounds is None else max(bounds[1] - bounds[0], float(np.abs(values).max()))
        over = population_mean(values, bounds=None if width is None or width == 0 else (-width, width))
    if np.isfinite(error).all():
        return Gain(over, fixed_mean(values, error))
    wide = np.array(np.inf)
    return Gain(over, Interval(values.mean(), wide, -wide, wide, np.array(False)))
