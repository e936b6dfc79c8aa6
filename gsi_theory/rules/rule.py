"""What a selection rule is: one record, in the rule's own file; `table.py` finds it by name.

A rule picks one of n candidates drawn from μ (M2). A rule that lacks a part (None) is refused by name where that part
is needed; nothing is played in its place.

Shapes: B independent laws, M numbers of draws, K candidates, N pool size, V values; log-weights in nats.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import array_api_compat

from gsi_theory.laws.draws import Counts
from gsi_theory.types import Array, Flags, Floats, Ints

if TYPE_CHECKING:
    from fractions import Fraction

    from flint import arb

    from gsi_theory.certified.ball_law import Levels, LogWeight

__all__ = ["Rule", "ScoreGate", "all_of_weight_zero"]


def all_of_weight_zero(mass: Array, counts: Counts, zero_mass: Array) -> Array:
    """log P(y)/μ(y) (B, M) of a candidate of weight zero that wins only where all drawn have weight zero, uniformly:
    P(every draw has weight zero | N ≥ 1)/m₀; mass (B, K) of positive weight, zero_mass m₀ (B,).

    log m₀ comes from the other side where m₀ is near one: n log m₀ would carry n units of its rounding.
    """
    xp = array_api_compat.array_namespace(mass)
    live = xp.sum(mass, axis=-1)[:, None, None]
    zero_mass = xp.where(zero_mass > 0, zero_mass, 1.0)[:, None, None]
    near = live < 0.5
    log_zero = xp.where(near, xp.log1p(-xp.where(near, live, 0.0)), xp.log(zero_mass))
    return (counts.log_unbeaten(log_zero, live) - log_zero)[..., 0]


@dataclass(frozen=True)
class ScoreGate:
    """The gate on the winning score, accepted at M or more (M9), of a rule that has one."""

    # (mass, log_weight (B, K), counts, zero_mass (B,), log M (B,) finite) -> (log of accepted mass over μ (B, M, K),
    # log P(reject) (B, M))
    law: Callable[[Array, Array, Counts, Array, Array], tuple[Array, Array]]
    # (values (V, N), log_weight (N,) ascending, ns (M,), log M) -> accepted part of the mean over n-subsets (V, M)
    subset_means: Callable[[Floats, Floats, Ints, float], Floats]
    # the same over the n-subsets that hold each candidate (V, M, N), n < N
    subset_parts: Callable[[Floats, Floats, Ints, float], Floats]
    # (mass, weight (K,), n, log M, goal) -> (accepted masses (K,), P(reject)) in balls
    balls: Callable[[Sequence[Fraction], Sequence[LogWeight], int, LogWeight, int], tuple[list[arb], arb]]


@dataclass(frozen=True)
class Rule:
    """A selection rule: its laws, means over subsets, noise, and what may be said of it."""

    # as it is written in schemes and on the command line
    name: str
    # (mass, log_weight (B, K) finite, counts (B, M) up to 2^53, zero_mass (B,)) -> log P(y)/μ(y) (B, M, K); InputError
    # where the rule needs a fixed number of draws and `counts` has a random one
    log_ratio: Callable[[Array, Array, Counts, Array], Array]
    # relative error of a probability among K, from the number of terms summed; logs read back add theirs (M3-M5)
    rounding: Callable[[int], float]
    # unbiased (M31): (values (V, N) ≥ 0, log_weight (N,) ascending, -inf legal, ns (M,) ascending) -> (V, M)
    subset_means: Callable[[Floats, Floats, Ints], Floats]
    # the same over the n-subsets that hold each candidate (V, M, N), n < N
    subset_parts: Callable[[Floats, Floats, Ints], Floats]
    # noise of the decoder: log T of uniforms in [0, 1); the largest standing - log T wins (M2)
    log_noise: Callable[[Floats], Floats]
    # (levels, n, goal) -> (P/μ of each level, P/μ of weight zero) in balls; asked again at twice the precision until
    # each is known to 2^-goal of its size, so that cancellation is allowed
    balls: Callable[[Levels, int, int], tuple[list[arb], arb]]
    # (log_weight, drawn (R, n)) -> log-weights (R, n) by which candidates compete; None: their own
    standing: Callable[[Floats, Flags], Floats] | None = None
    # log P(y)/μ(y) (B, M) of weight zero from (mass, counts, zero_mass)
    log_zero_ratio: Callable[[Array, Counts, Array], Array] = all_of_weight_zero
    # (depth (B, M) in nats, counts) -> factor by which a log-probability that deep magnifies a rounding of μ
    magnified: Callable[[Array, Counts], Array] | None = None
    score_gate: ScoreGate | None = None
    # TV(P_n, π) (M,) from mass, log_weight (K,), weights descending within a moderate spread, and counts (1, M)
    tv_curve: Callable[[Floats, Floats, Counts], Floats] | None = None
    # log of a lower bound of P_n/π at normalized log-weights, n, and the score gate's log M (-inf: no gate)
    ratio_bound: Callable[[Floats, int, Floats | float], Floats] | None = None
    # means over winners, faster than by the laws of many pools: (values (F, P, N), log_weight (P, N), ns (M,), log M of
    # gates (U,)) -> (1 + U, F, P, M), the first without a gate; None where it cannot
    pool_means: Callable[[Floats, Floats, Ints, Floats], Floats | None] | None = None
    # P_n/π - 1 (K,) in balls, accurate however small: (mass, weight, n, goal)
    ball_excess: Callable[[Sequence[Fraction], Sequence[LogWeight], int, int], list[arb]] | None = None
    # only the order of the weights counts: no rounding of them but one that turns it
    order_only: bool = False
    # the winner is always one of the heaviest drawn
    heaviest_wins: bool = False
    # P_n tends to the tilted policy
    converges: bool = False

    def __str__(self) -> str:
        return self.name
