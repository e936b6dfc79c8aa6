"""How well a pool's drafts cover the base and the tilted policy, by prompt and step: what `gsi doctor` shows.

Per position: of ρ = π_B/π_S and of the tilt e^{βr}ρ the numbers of `gsi_theory.samples.weight_coverage` (χ² with its
lower bound, ESS, supremum seen, Rényi-2, share of the largest), of both sources together those of `PairCoverage`, k̂
(null: not fitted), and whether the tail was seen. Per step: medians over prompts, and the extremes that decide. A lower
bound holds at 95 % for its prompt; nothing bounds χ² from above, an outcome never drawn can hold any weight.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from gsi_theory.errors import InputError
from gsi_theory.instance import beta_times
from gsi_theory.types import Floats, Record
from llm_check.logs.pools.pool import Pool
from llm_check.logs.pools.supports import middle, typical
from llm_check.logs.pools.tails import PositionCoverage, fitted_khat, position_coverage

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
        "ratio": vars(at.ratio)
        | {"khat": fitted_khat(at.log_ratio), "chi2_from_base": chi2, "chi2_from_base_low": low}
        | {"pair": vars(at.pair)},
        "tilted": vars(at.tilted) | {"khat": fitted_khat(at.log_weight)},
        "tail_seen": at.tail.speaks,
        "why": at.tail.evidence,
        "advice": at.tail.advice,
        "drafts_needed": at.tail.drafts_needed,
    }


def by_step(covers: Sequence[PositionCoverage]) -> list[Record]:
    """One entry a step, ascending. Of each number the median over prompts; largest_ratio: the largest; khat: of the
    weights of all prompts together, of the tilt relative to each prompt's mean; kl_..._token: nats a token, of all."""
    steps = []
    for step in sorted({at.step for at in covers}):
        these = [at for at in covers if at.step == step]
        pairs, kl_base = [at.pair for at in these], [at.pair.kl_base for at in these if at.pair.kl_base is not None]
        steps.append(
            {
                "step": step,
                "prompts": len(these),
                "drafts": min(at.ratio.size for at in these),
                "draws": sum(at.ratio.size for at in these),
                "chi2": middle([p.chi2 for p in pairs]),
                "chi2_low": middle([p.chi2_low for p in pairs]),
                "ess": typical([at.ratio.ess for at in these]),
                "renyi2": middle([p.renyi2 for p in pairs]),
                "largest_ratio": float(np.exp(min(max(p.log_largest for p in pairs), 700.0))),
                "khat": _pooled_khat([at.log_ratio for at in these]),
                "kl_draft": middle([p.kl_draft for p in pairs]),
                "kl_base": middle(kl_base) if kl_base else None,
                "kl_draft_token": _a_token(these, 0),
                "kl_base_token": _a_token(these, 1),
                "tilted_chi2": middle([at.tilted.chi2 for at in these]),
                "tilted_chi2_low": middle([at.tilted.chi2_low for at in these]),
                "tilted_renyi2": middle([at.tilted.renyi2 for at in these]),
                "tilted_ess": typical([at.tilted.ess for at in these]),
                "tilted_ess_least": min(at.tilted.ess for at in these),
                "tilted_share": middle([at.tilted.largest_share for at in these]),
                "tilted_khat": _pooled_khat([at.log_weight for at in these]),
                "tail_seen": sum(at.tail.speaks for at in these),
            }
        )
    return steps


def _pooled_khat(weights: Sequence[Floats]) -> float | None:
    with np.errstate(all="ignore"):  # equal weights in the tail
        return fitted_khat(np.concatenate(weights))


def _a_token(covers: Sequence[PositionCoverage], source: int) -> float | None:
    """KL over tokens, of all positions with lengths: KL(π_S‖π_B) over the draft's tokens, or the reverse over the
    base's."""
    told = [(at.pair.kl_base if source else at.pair.kl_draft, at.tokens[source]) for at in covers if at.tokens]
    pairs = [(kl, tokens) for kl, tokens in told if kl is not None and tokens > 0]
    return float(sum(kl for kl, _ in pairs) / sum(tokens for _, tokens in pairs)) if pairs else None
