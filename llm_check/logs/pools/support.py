"""Where a pool's drafts bear an answer: the one question that prediction and plan ask before they give one.

What they may be used for is the doctor's to say; here it is asked, and what would make the pool answer is put in words.
"""

from __future__ import annotations

import numpy as np

from llm_check.logs.pools.pool import Pool

__all__ = ["CURES", "effective_drafts", "supports"]

CURES = ("more drafts a prompt", "shorter steps", "a smaller β", "a draft nearer the base")
LEAST = 1.3  # effective drafts at half of the positions: with fewer one draft decides, whatever is drawn with it


def effective_drafts(pool: Pool) -> float:
    """Effective number of drafts, (Σρ)²/Σρ² of the ratio ρ = π_B/π_S, median over positions; 0 where no ratio is
    finite and positive."""
    arrays = pool.arrays
    ratio, starts = arrays.log_ratio, arrays.starts
    top = np.maximum.reduceat(ratio, starts[:-1])
    shift = np.repeat(np.where(np.isfinite(top), top, 0.0), np.diff(starts))
    weight = np.exp(np.minimum(ratio - shift, 0.0))
    ess = np.add.reduceat(weight, starts[:-1]) ** 2 / np.maximum(np.add.reduceat(weight**2, starts[:-1]), 1e-300)
    known = ~arrays.set_is_base & np.isfinite(top)
    return float(np.median(ess[known])) if known.any() else 0.0


def supports(pool: Pool, beta: float, n: int) -> str:
    """Why the pool's weights may not be used at (beta, n); "" where they may."""
    ess = effective_drafts(pool)
    return f"{ess:.1f} effective drafts at half of the positions: one decides" if n > 1 and ess < LEAST else ""
