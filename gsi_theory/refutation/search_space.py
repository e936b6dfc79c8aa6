"""Points of the refuter's search: real vectors that decode into batches of `Facts`, and how far a claim fails there.

A `Space` fixes K, rule, gate and the sign of rewards. A point has 3K + 3 coordinates: logits of the draft (K) and of
the base (K), rewards (K), log β, log n, and the place of the threshold in [0, 1]; all lie in a box. Everything works in
NumPy and, with gradients, in torch.
"""

from __future__ import annotations

from dataclasses import dataclass

import array_api_compat
import numpy as np

from gsi_theory.arrays.logscale import normalize
from gsi_theory.arrays.namespace import detached
from gsi_theory.claims.claim import OUTCOMES, Claim, Judgement, Outcome
from gsi_theory.claims.facts import Facts
from gsi_theory.rules.table import rules_and_gates
from gsi_theory.types import Array, Floats, Namespace

__all__ = ["Space", "excess", "random_points", "spaces_of"]

# (lowest logit, largest β, largest n). Wide: some bounds are approached only like (log β)/β (M13) or 1/log n (M15).
NARROW, WIDE = (-18.0, 40.0, 1e5), (-300.0, 200.0, 1e12)
LEAST_BETA = 0.02
# A difference below a thousand numerical errors is not told apart from them.
SAFETY = 1e3
NEVER = -4.0  # below every excess of a row that applies, which is at least -2 (or, for logs, cut there)


@dataclass(frozen=True)
class Space:
    """K outcomes, rule, gate ("none": no threshold), smallest reward (0 or -1), smallest n, and which box.

    In the last `zeros` outcomes the base has no mass.
    """

    size: int
    rule: str = "softmax"
    gate: str = "none"
    lowest_reward: float = -1.0
    least_n: int = 1
    wide: bool = False
    zeros: int = 0

    @property
    def bounds(self) -> tuple[Floats, Floats]:
        """Lower and upper ends of the box, (3K + 3,) each."""
        k, (logit, beta, n) = self.size, WIDE if self.wide else NARROW
        low = [logit] * (2 * k) + [self.lowest_reward] * k + [np.log(LEAST_BETA), np.log(self.least_n), 0.0]
        high = [0.0] * (2 * k) + [1.0] * k + [np.log(beta), np.log(n), 1.0]
        return np.array(low), np.array(high)

    def facts(self, points: Array, whole: bool = True) -> Facts:
        """Facts of points (B, 3K + 3); n is rounded unless `whole` is False, when the laws continue to real n."""
        xp, k = array_api_compat.array_namespace(points), self.size
        logits = points[:, k : 2 * k]
        if self.zeros:
            place = xp.arange(k, device=array_api_compat.device(points))
            logits = xp.where(place >= max(1, k - self.zeros), -np.inf, logits)
        log_draft, log_base = normalize(points[:, :k]), normalize(logits)
        reward = points[:, 2 * k : 3 * k]
        beta, n = xp.exp(points[:, 3 * k]), xp.clip(xp.exp(points[:, 3 * k + 1]), 1.0, None)
        n = xp.round(n) if whole else n
        if self.gate == "none":
            return Facts.batch(log_draft, log_base, reward, beta, n, rule=self.rule, real_n=True)
        tilted = detached(reward + (log_base - log_draft) / beta[:, None])
        cut = self._threshold(xp, tilted, detached(beta), detached(points[:, 3 * k + 2]))
        return Facts.batch(log_draft, log_base, reward, beta, n, cut, rule=self.rule, gate=self.gate, real_n=True)

    def _threshold(self, xp: Namespace, tilted: Array, beta: Array, place: Array) -> Array:
        """u (B,): half-way between neighboring tilted rewards, or outside; for the score gate anywhere about them."""
        order = xp.sort(tilted, axis=-1)
        if self.gate == "score":
            low, high = order[:, 0] - 1.0 / beta, order[:, -1] + 3.0 / beta
            return low + place * (high - low)
        ends = xp.concat([order[:, :1] - 2.0, order, order[:, -1:] + 2.0], axis=-1)
        middle = (ends[:, 1:] + ends[:, :-1]) / 2.0
        index = xp.clip(xp.astype(xp.floor(place * (self.size + 1)), xp.int64), 0, self.size)
        return xp.take_along_axis(middle, index[:, None], axis=-1)[:, 0]


def excess(claim: Claim, facts: Facts, telling: bool = False) -> Array:
    """How far the claim fails (...): > 0 refuted beyond the numerical error, 0 tight, NEVER where it does not apply.

    (lhs - rhs - error)/max(|lhs|, |rhs|), which is lhs/rhs - 1 below a positive bound; |lhs - rhs| for "=". Where the
    sides are logs it is 1 - e^{rhs - lhs}, the same of what they are logs of. With `telling` a row where the bound is
    vacuous loses 1.
    """
    xp, judged = facts.xp, claim.judge(facts)
    if telling:
        vacuous = judged.outcome == OUTCOMES.index(Outcome.VACUOUS)
        return _excess(claim, xp, judged) - xp.where(vacuous, 1.0, 0.0)
    return _excess(claim, xp, judged)


def _excess(claim: Claim, xp: Namespace, judged: Judgement) -> Array:
    known = judged.applies & (abs(judged.rhs) != np.inf) & (abs(judged.lhs) != np.inf) & xp.isfinite(judged.error)
    lhs, rhs = (xp.where(known, v, 0.0) for v in (judged.lhs, judged.rhs))
    error = xp.where(known, judged.error, 0.0)
    apart = abs(lhs - rhs) if claim.relation == "=" else lhs - rhs
    if claim.logs:
        return xp.where(known, -xp.expm1(xp.clip(error - apart, -700.0, 1.0)), NEVER)
    least = xp.clip(SAFETY * error, 1e-290, None)
    size = xp.where(abs(lhs) > abs(rhs), abs(lhs), abs(rhs))
    blank = (size <= least) & (apart <= error)
    value = (apart - error) / xp.where(size > least, size, least)
    # Two sides that are both zero but for rounding say nothing: as bad as a left side of zero.
    return xp.where(known, xp.where(blank, -1.0, value), NEVER)


def random_points(space: Space, count: int, rng: np.random.Generator) -> Floats:
    """`count` points (count, 3K + 3), a part of each hostile: equal policies, structured rewards, one draft."""
    k, (low, high) = space.size, space.bounds
    spread = rng.choice([5.0, 50.0] if space.wide else [0.3, 1.5, 5.0], (count, 1))
    draft, base = (spread * rng.normal(size=(count, k)) for _ in range(2))
    base = np.where(rng.random((count, 1)) < 0.15, draft, base)
    draft, base = (v - v.max(axis=1, keepdims=True) for v in (draft, base))
    uniform = rng.uniform(space.lowest_reward, 1.0, (count, k))
    ratio = np.clip(base - draft, -1.0, 1.0)
    corner = rng.choice([0.0, 1.0] if space.lowest_reward >= 0 else [-1.0, 0.0, 1.0], (count, k))
    kinds = np.stack([uniform, uniform, corner, corner, np.zeros((count, k)), ratio, -ratio])
    reward = kinds[rng.integers(len(kinds), size=count), np.arange(count)]
    log_n = np.where(rng.random(count) < 0.4, np.log(rng.integers(1, 5, count)), rng.uniform(0.0, 7.0, count))
    tail = np.stack([rng.uniform(np.log(0.1), high[3 * k] - 0.7, count), log_n, rng.random(count)], axis=1)
    return np.clip(np.concatenate([draft, base, reward, tail], axis=1), low, high)


def spaces_of(claim: Claim) -> list[Space]:
    """Spaces with K = 3 on which the claim applies and says something different: rules, gates, sign of the reward.

    Found by trying: a rule or gate that changes neither side on a fixed batch is left out, and rewards are kept ≥ 0
    where no negative one meets the assumptions. Where it applies to no policies of full support, the base gets a zero.
    """
    return _spaces(claim, 0) or _spaces(claim, 1)


def _spaces(claim: Claim, zeros: int) -> list[Space]:
    chosen: list[Space] = []
    seen: set[bytes] = set()
    # A claim about one rule's law ignores the scheme's; the scheme should then name that rule.
    gates = ("none", "tilted_reward", "score")
    kinds = sorted(rules_and_gates(), key=lambda kind: (f"{{{kind[0]}}}" not in claim.statement, gates.index(kind[1])))
    for rule, gate in kinds:
        for lowest in (-1.0, 0.0):
            space = Space(3, rule, gate, lowest, zeros=zeros)
            facts = space.facts(random_points(space, 48, np.random.default_rng(5)))
            judged = claim.judge(facts)
            told = np.concatenate([judged.lhs, judged.rhs]).tobytes()
            # Signed rewards include the others; they are tried where a negative one meets the assumptions.
            if np.any(judged.applies & ((np.min(facts.reward, axis=-1) < 0) | (lowest == 0))):
                if told not in seen:
                    chosen.append(space)
                seen.add(told)
                break
    return chosen
