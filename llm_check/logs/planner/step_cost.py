"""Cost of one step (M33): tokens and floating-point operations by model.

    draft        2 P_S n L_S                     n drafts of L_S tokens
    base         2 P_B n L_S                     scoring them, plus (1 - p_accept) 2 P_B n_B L_B decoded on rejection
    reward       2 P_R n L_S                     judging them, plus (1 - p_accept) 2 P_R n_B L_B

P are parameters, L mean tokens of a step at a position; 2 operations a parameter and token (a multiply and an add), the
attention over the context left out. One draft without a gate is used as it is: neither scored nor judged. Soft
best-of-n on the base is n = 0 with p_accept = 0.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from gsi_theory.errors import InputError
from gsi_theory.types import Floats

__all__ = ["Cost", "Sizes", "step_cost"]


@dataclass(frozen=True)
class Sizes:
    """Parameters of draft, base and reward model. Raises InputError unless they are positive."""

    draft: float
    base: float
    reward: float

    def __post_init__(self) -> None:
        for name, value in vars(self).items():
            if not 0 < value < np.inf:
                raise InputError(f"{name} model of {value!r} parameters: give a positive number (1.5e9)")


@dataclass(frozen=True)
class Cost:
    """Expected tokens of one step: drafted, decoded by the base, scored by the base, judged; flops by model."""

    drafted: Floats
    decoded: Floats
    scored: Floats
    judged: Floats
    flops_draft: Floats
    flops_base: Floats
    flops_reward: Floats

    @property
    def tokens(self) -> Floats:
        """All tokens that pass through some model."""
        return self.drafted + self.decoded + self.scored + self.judged

    @property
    def flops(self) -> Floats:
        """All operations."""
        return self.flops_draft + self.flops_base + self.flops_reward


def step_cost(
    n: ArrayLike,
    n_base: ArrayLike,
    p_reject: ArrayLike,
    draft_tokens: ArrayLike,
    base_tokens: ArrayLike,
    sizes: Sizes,
    alone: ArrayLike = False,
) -> Cost:
    """Expected cost (M33); arguments broadcast: candidates, P(reject), mean tokens of a step from draft and base.

    alone: neither scored nor judged (one draft without a gate). Raises InputError for tokens that are negative or not
    finite, and where the operations exceed the range of numbers.
    """
    n, n_base, p_reject, draft_tokens, base_tokens = (
        np.asarray(v, dtype=np.float64) for v in (n, n_base, p_reject, draft_tokens, base_tokens)
    )
    for name, tokens in (("draft", draft_tokens), ("base", base_tokens)):
        if not np.all((tokens >= 0) & (tokens < np.inf)):
            raise InputError(f"{name} steps of {float(tokens.min())!r} tokens: give a finite number, 0 or more")
    used = np.where(np.asarray(alone), 0.0, 1.0)
    drafted, decoded = n * draft_tokens, p_reject * n_base * base_tokens
    drafted, decoded, used = np.broadcast_arrays(drafted, decoded, used)
    scored, judged = drafted * used, drafted * used + decoded
    with np.errstate(over="ignore", invalid="ignore"):
        cost = Cost(
            drafted, decoded, scored, judged,
            2.0 * sizes.draft * drafted, 2.0 * sizes.base * (scored + decoded), 2.0 * sizes.reward * judged,
        )  # fmt: skip
        if not np.isfinite(cost.flops).all():
            raise InputError("operations of a step exceed the range of numbers: give fewer tokens or parameters")
    return cost
