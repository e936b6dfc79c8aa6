"""Are the first t tokens of long steps what fresh steps of t tokens are (M44)? On the real pair, draft by draft.

    python -m tests.benches.prefix_lengths [--draft weak,near] [--problems 20] [--candidates 48]

Of each draft, against the base and at the same prompts: KL a step, the median log-ratio, and χ² where k̂ of the long
pool's drafts is below 1/2, from one pool of 12 tokens and from fresh pools of 1, 2, 4, 8 and 12; differences over
prompts, with Student's error and p-value. Exit status 1 where Holm's correction over all rows leaves one below 0.001.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import typer
from scipy import stats

from gsi_theory.types import Floats
from llm_check.logs.pools.pool import Pool, read_pool
from llm_check.logs.pools.prefixes import length_rows, pool_at_length
from llm_check.models.checks.check_table import CHECKS
from llm_check.models.checks.significance import holm
from llm_check.models.collecting.collected_task import collect_world
from llm_check.models.decoding.reasoning_steps import parse_step_rule
from llm_check.models.world import load_world

__all__ = ["Compared", "compared"]

LENGTHS, LONG = (1, 2, 4, 8, 12), 12
DRAFTS = ("weak", "medium", "strong", "near")
BAR = 0.001


@dataclass(frozen=True)
class Compared:
    """One number of steps of `tokens` tokens, mean over prompts.

    name: "kl", "median" (of the log-ratio) or "chi2"
    long, fresh: from prefixes of the long steps, from fresh steps
    error: of their difference
    p: of the hypothesis that they have one mean
    """

    tokens: int
    name: str
    long: float
    fresh: float
    error: float
    p: float


def _by_prompt(pool: Pool) -> dict[str, Floats]:
    """Each number at every prompt."""
    ratios = [pool.draft_candidates(*key).log_ratio for key in pool.arrays.names]
    numbers = {
        "kl": [-ratio.mean() for ratio in ratios],
        "median": [np.median(ratio) for ratio in ratios],
        "chi2": [np.mean(np.exp(2.0 * ratio)) - 1.0 for ratio in ratios],
    }
    return {name: np.array(values) for name, values in numbers.items()}


def compared(draft: str, problems: int, candidates: int, folder: Path) -> Iterator[Compared]:
    """Every length's numbers from prefixes of one long pool beside a fresh pool's."""
    options = CHECKS["lm_study"].options | {"draft": f"smollm2:{draft}", "limit": problems}
    world, specs = load_world(**options), {"draft": f"smollm2:{draft}", "base": "smollm2", "prm": None}

    def pool(tokens: int, seed: int) -> Pool:
        rule = parse_step_rule(f"tokens:{tokens}", world.base.tokenizer, tokens)
        out = folder / f"{draft}-{tokens}-{seed}.parquet"
        collect_world(replace(world, step=rule.spec, rule=rule), out, specs, (candidates, 1), seed=seed, batch=4)
        return read_pool(out)

    whole = pool(LONG, 1)
    for tokens in LENGTHS:
        long, fresh = _by_prompt(pool_at_length(whole, tokens)), _by_prompt(pool(tokens, 2))
        khat = length_rows(whole, [1.0], [tokens])[0]["khat"]
        for name, ours in long.items():
            if name == "chi2" and not (khat is not None and khat < 0.5):
                continue
            theirs = fresh[name]
            error = float(np.std(ours - theirs, ddof=1) / np.sqrt(ours.size))
            p = float(stats.ttest_rel(ours, theirs).pvalue)
            yield Compared(tokens, name, float(ours.mean()), float(theirs.mean()), error, p)


def main(draft: str = ",".join(DRAFTS), problems: int = 20, candidates: int = 48) -> None:
    """Print every row, and whether the two ways agree."""
    rows = list[Compared]()
    with tempfile.TemporaryDirectory() as folder:
        for name in draft.split(","):
            for row in compared(name, problems, candidates, Path(folder)):
                rows.append(row)
                numbers = f"{row.long:9.4f} {row.fresh:9.4f}  difference {row.long - row.fresh:8.4f} ± {row.error:.4f}"
                print(f"{name:<7} {row.tokens:>3} tokens {row.name:<7} {numbers}  p {row.p:.3f}", flush=True)
    least = float(holm(np.array([row.p for row in rows])).min())
    print(f"{len(rows)} comparisons: the least p after Holm's correction is {least:.3g} (bar {BAR:g})")
    if least < BAR:
        raise typer.Exit(1)


if __name__ == "__main__":
    typer.run(main)
