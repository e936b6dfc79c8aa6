"""Where a pool's drafts bear an answer: the one question that prediction and plan ask before they give one.

What they may be used for is the doctor's to say; here it is put in words what would make the pool answer.
"""

from __future__ import annotations

from llm_check.logs.pools.pool import Pool

__all__ = ["CURES", "supports"]

CURES = ("more drafts a prompt", "shorter steps", "a smaller β", "a draft nearer the base")


def supports(pool: Pool, beta: float, n: int) -> str:
    """Why the pool's weights may not be used at (beta, n); "" where they may."""
    return ""
