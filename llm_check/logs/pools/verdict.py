"""May this pool's weights be used? `supports` of the doctor: beside `valid`, which is about the numbers alone."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from gsi_theory.errors import InputError
from gsi_theory.instance import LARGEST_NATS
from gsi_theory.types import Record
from llm_check.logs.pools.pool import Pool
from llm_check.logs.pools.prefixes import longest_prefix
from llm_check.logs.pools.supports import SupportCell, effective_drafts, support_cells
from llm_check.logs.pools.tails import fitted_khat

__all__ = ["LEAST", "Support", "betas_tried", "no_support", "pool_support"]

BETAS = (1.0, 5.0, 20.0)  # tried beside the one asked
LEAST = 2  # candidates: fewer are no selection


@dataclass(frozen=True)
class Support:
    """usable: whether the pool's weights may be used at what was asked: the β, and the n or, with none asked, LEAST
    candidates; beta: the largest of BETAS and the β asked at which they may, None for none; n_max: the largest n at the
    β asked, None where not even LEAST; length_max: tokens of the longest prefix for which that holds, None without
    token log-probabilities; ess: effective number of drafts by the ratio, median over positions; khat: Pareto shape of
    all ratios together, None where not fitted; reason: in words. A log of one model has neither."""

    usable: bool
    beta: float | None
    n_max: int | None
    length_max: int | None
    ess: float | None
    khat: float | None
    reason: str

    def record(self) -> Record:
        """The object "supports" of `gsi doctor --json`."""
        return dict(vars(self))


def no_support() -> Support:
    """Of a log of one model: there are no weights."""
    reason = "a log of one model has no weights: gsi curve and gsi plan read it"
    return Support(False, None, None, None, None, None, reason)


def pool_support(pool: Pool, beta: float, n: int | None = None, wrong: tuple[str, ...] = ()) -> Support:
    """What the weights of a pool support at `beta` (per unit of reward) and n; wrong: findings that void its numbers.

    Raises InputError for n below 1, and where β r exceeds the range of numbers.
    """
    arrays, wanted = pool.arrays, LEAST if n is None else n
    here = support_cells(pool, [beta])
    asked = support_cells(pool, [beta], [wanted])
    drafts = arrays.log_ratio[~arrays.is_base]
    ess, khat = effective_drafts(pool), None
    if here:
        with np.errstate(all="ignore"):  # equal weights in the tail
            khat = fitted_khat(drafts[drafts < np.inf])
    if wrong:
        return Support(False, None, None, None, ess, khat, f"the numbers are not of these draws ({', '.join(wrong)})")
    if not here:
        return Support(False, None, None, None, ess, khat, "no draft has a weight")
    fitting = [cell.beta for cell in support_cells(pool, betas_tried(pool, beta), [wanted]) if not cell.fault]
    n_max = max((cell.n for cell in (*here, *asked) if not cell.fault and cell.n >= min(LEAST, wanted)), default=None)
    usable = not asked[0].fault
    return Support(
        usable=usable,
        beta=max(fitting, default=None),
        n_max=n_max,
        length_max=_length(pool, beta, wanted),
        ess=ess,
        khat=khat,
        reason=_words(beta, n, n_max, asked[0]),
    )


def betas_tried(pool: Pool, beta: float) -> tuple[float, ...]:
    """The β asked, then those of BETAS at which the pool's rewards are within the range of numbers."""
    largest = float(np.abs(pool.arrays.floats("reward")).max())
    return (beta, *(b for b in BETAS if b != beta and b * largest <= LARGEST_NATS))


def _length(pool: Pool, beta: float, n: int) -> int | None:
    """Tokens of the longest step that may be used; None without token log-probabilities."""
    try:
        return longest_prefix(pool, beta, n)
    except InputError:
        return None


def _words(beta: float, n: int | None, n_max: int | None, asked: SupportCell) -> str:
    at = f"β = {beta:g}"
    if not asked.fault:
        return f"up to n = {n_max} at {at}" if n is None else f"at n = {n}, {at}"
    more = "" if n is None or n_max is None else f"; up to n = {n_max} they may be used"
    return f"at n = {asked.n}, {at}: {asked.fault}{more}"
