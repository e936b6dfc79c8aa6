"""How well a pool's drafts cover the base and the tilted policy, by prompt and step: what `gsi doctor` shows.

Per position: of ρ = π_B/π_S and of the tilt e^{βr}ρ the numbers of `gsi_theory.samples.weight_coverage` (χ² with its
lower bound, ESS, supremum seen, Rényi-2, share of the largest), χ²(π_B‖π_S) from the base draws too, k̂, and whether the
tail was seen. Per step: medians over prompts, and the extremes that decide. A lower bound holds at 95 % for its prompt;
nothing bounds χ² from above, an outcome never drawn can hold any weight.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from gsi_theory.errors import InputError
from gsi_theory.instance import beta_times
from gsi_theory.types import Record
from llm_check.logs.pools.pool import Pool
from llm_check.logs.pools.tails import PositionCoverage, position_coverage

__all__ = ["MOST", "by_step", "coverage_record"]

MOST = 1000  # positions looked at, evenly spread: two Pareto fits each


def coverage_record(pool: Pool, beta: float, progress: Callable[[int, int], None] | None = None) -> Record:
    """{"beta", "steps": one entry a step, "positions": one a position, "without", "sampled_of"}; empty without drafts.

    sampled_of: positions with drafts, of which MOST are looked at. without: positions whose drafts all have weight
    zero, or one an infinite weight; they are in no number. Raises InputError unless beta is positive.
    """
    if not beta > 0 or not np.isfinite(beta):
        raise InputError(f"beta {beta!r}: give a positive number")
    beta_times(pool.arrays.floats("reward"), beta)  # at every position, or refused for all
    every = pool.positions("draft")
    keys = [every[k] for k in np.unique(np.linspace(0, len(every) - 1, min(MOST, len(every))).astype(int))]
    covers: list[PositionCoverage] = []
    for done, key in enumerate(keys, start=1):
        try:
            with np.errstate(all="ignore"):  # equal weights in the tail
                covers.append(position_coverage(pool, key[0], key[1], beta))
        except InputError:
            pass
        if progress is not None:
            progress(done, len(keys))
    return {
        "beta": beta,
        "steps": by_step(covers),
        "positions": [_position(at) for at in covers],
        "without": len(keys) - len(covers),
        "sampled_of": len(every),
    }


def _position(at: PositionCoverage) -> Record:
    chi2, low = at.base_chi2 or (None, None)
    return {
        "prompt_id": at.prompt_id,
        "step": at.step,
        "ratio": vars(at.ratio) | {"khat": at.ratio_khat, "chi2_from_base": chi2, "chi2_from_base_low": low},
        "tilted": vars(at.tilted) | {"khat": at.tilted_khat},
        "tail_seen": at.tail.speaks,
        "why": at.tail.evidence,
        "advice": at.tail.advice,
        "drafts_needed": at.tail.drafts_needed,
    }


def by_step(covers: Sequence[PositionCoverage]) -> list[Record]:
    """One entry a step, ascending. Of each number the median over prompts; largest_ratio and khat: the largest."""
    steps = []
    for step in sorted({at.step for at in covers}):
        these = [at for at in covers if at.step == step]
        steps.append(
            {
                "step": step,
                "prompts": len(these),
                "drafts": min(at.ratio.size for at in these),
                "chi2": _median([at.base_chi2[0] if at.base_chi2 else at.ratio.chi2 for at in these]),
                "chi2_low": _median([max(at.ratio.chi2_low, at.base_chi2[1] if at.base_chi2 else 0.0) for at in these]),
                "ess": _median([at.ratio.ess for at in these]),
                "renyi2": _median([at.ratio.renyi2 for at in these]),
                "largest_ratio": float(np.exp(min(max(at.ratio.log_largest for at in these), 700.0))),
                "khat": max(at.ratio_khat for at in these),
                "tilted_chi2": _median([at.tilted.chi2 for at in these]),
                "tilted_chi2_low": _median([at.tilted.chi2_low for at in these]),
                "tilted_renyi2": _median([at.tilted.renyi2 for at in these]),
                "tilted_ess": _median([at.tilted.ess for at in these]),
                "tilted_ess_least": min(at.tilted.ess for at in these),
                "tilted_share": _median([at.tilted.largest_share for at in these]),
                "tilted_khat": max(at.tilted_khat for at in these),
                "tail_seen": sum(at.tail.speaks for at in these),
            }
        )
    return steps


def _median(values: Sequence[float]) -> float:
    return float(np.sort(values)[len(values) // 2])  # the upper of two middle ones: no mean of infinities
