"""Are predictions and their errors right? Two halves of a pool of the embedded pair: `-m tests.benches.predict`.

At each position the candidates are dealt into two halves, which are independent pools. Every scheme is predicted from
either half (`predict_position`, M31), and the difference over its two standard errors is a z-score, for means over
blocks of positions and for the mean over all. Right predictions have z of variance 1, whatever the models are.

A block whose error comes from a few positions only (effective number Σ²/Σ of squares below LEAST) has no normal z: the
z-scores of those blocks are reported apart, under `few`. A difference where both errors are zero is 0, or infinite,
and an infinite one is always counted. Which blocks are few depends on the data, so the test that leaves nothing out is

    ratio       Σ (difference)² / Σ (its standard error)² over positions, mean over schemes of one β and band of n, each
                scaled by its own Σ (standard error)²

with a 95 % interval from drawing positions again; it needs no normal law, and is 1 for right errors (a jackknife's are
too large for n > 1, so below 1 for skewed values).
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from gsi_theory import Candidates, Scheme
from gsi_theory.runs.artifact import provenance, write_artifact
from gsi_theory.runs.progress import progress_bar
from gsi_theory.types import Floats
from llm_check.logs.mean_prediction import scheme_grid
from llm_check.logs.pools.pool import pool_from_columns
from llm_check.logs.prediction import predict_position
from llm_check.models.collecting.collect import collect_pool, positions
from llm_check.models.model_options import quiet_engines
from llm_check.models.tasks.arithmetic import make_problems
from llm_check.models.world import load_world

__all__ = ["halves", "ratios", "run", "z_scores"]

BETAS, NS, RULES, THRESHOLD = (1.0, 5.0, 20.0), (1, 2, 4, 8, 16, 32, 64), ("softmax", "race"), 0.5
LEAST = 5.0
SAME = 1e-12
BANDS = ((1, 4), (8, 16), (32, 64))
BOOTSTRAPS = 1000


def halves(candidates: Candidates) -> tuple[Candidates, Candidates]:
    """Even and odd candidates, each a pool of its own."""
    found = []
    for start in (0, 1):
        reward, ratio = candidates.reward[start::2], candidates.log_ratio[start::2]
        found.append(Candidates(np.full(reward.size, -np.log(reward.size)), reward, ratio))
    return found[0], found[1]


def z_scores(gap: Floats, error: Floats, block: int) -> tuple[Floats, Floats]:
    """(z (S, blocks), effective number of positions (S, blocks)) from differences and errors (S, P)."""
    count = gap.shape[1] // block
    shape = gap.shape[0], count, block
    total = gap[:, : count * block].reshape(shape).sum(axis=2)
    squares = error[:, : count * block].reshape(shape) ** 2
    variance = squares.sum(axis=2)
    with np.errstate(divide="ignore", invalid="ignore"):
        effective = np.where(variance > 0, variance**2 / np.sum(squares**2, axis=2), 0.0)
        z = np.where(variance > 0, total / np.sqrt(variance), np.where(np.abs(total) < SAME, 0.0, np.inf))
    return z, effective


def ratios(gap: Floats, error: Floats, seed: int) -> tuple[float, float, float]:
    """(ratio, lower, upper) of differences and errors (S, P) of all schemes and positions, none left out.

    A scheme whose errors are all zero counts only if it differs: then the ratio is infinite.
    """
    total = np.sum(error**2, axis=1)
    moving = total > 0
    if np.any(np.abs(gap[~moving]) > SAME):
        return np.inf, np.inf, np.inf
    if not moving.any():
        return 1.0, 1.0, 1.0
    scale = total[moving, None]
    square, expected = (gap[moving] ** 2 / scale).mean(axis=0), (error[moving] ** 2 / scale).mean(axis=0)
    drawn = np.random.default_rng([seed, 5]).integers(square.size, size=(BOOTSTRAPS, square.size))
    again = square[drawn].sum(axis=1) / np.maximum(expected[drawn].sum(axis=1), np.finfo(float).tiny)
    low, high = np.quantile(again, (0.025, 0.975))
    return float(square.sum() / expected.sum()), float(low), float(high)


def _summary(z: Floats, effective: Floats) -> dict[str, float | None]:
    """Of z (S, blocks): mean square with its standard error over blocks (those are independent, schemes are not)."""
    kept = (effective >= LEAST) | np.isinf(z)
    used, few = z[kept], z[~kept]
    square, count = np.where(kept, z, 0.0) ** 2, kept.sum(axis=0)
    variance = float(square.sum() / max(count.sum(), 1))
    blocks = int((count > 0).sum())
    error, middle = None, np.inf  # an infinite z has no finite moments
    if np.isfinite(variance):
        middle = float(used.mean()) if used.size else 0.0
        spread = float(np.sum((square.sum(axis=0) - variance * count) ** 2))
        error = float(np.sqrt(blocks / (blocks - 1) * spread) / count.sum()) if blocks > 1 else None
    return {
        "comparisons": int(used.size), "left_out": int(z.size - used.size), "z_mean": middle,
        "z_variance": variance, "z_variance_se": error, "beyond_1.96": float(np.mean(np.abs(used) > 1.96)),
        "beyond_3": float(np.mean(np.abs(used) > 3.0)), "worst": float(np.abs(used).max()),
        "few_z_variance": float(np.mean(few**2)) if few.size else None,
        "few_beyond_3": float(np.mean(np.abs(few) > 3.0)) if few.size else None,
        "bonferroni_1_percent": float(stats.norm.isf(0.005 / used.size)),
    }  # fmt: skip


def run(problems: int, candidates: int, block: int, seed: int, out: Path) -> dict[str, Any]:
    """Write artifact `bench_predict`: z-scores of reward and acceptance by scheme, over blocks and over all."""
    quiet_engines()
    world = load_world()
    places = positions(make_problems(problems, seed, "test"), world.draft.tokenizer, (0,))
    columns = collect_pool(
        world.draft, world.base, world.reward_model, places, candidates, candidates, world.rule, seed
    )
    pool = pool_from_columns(columns)
    schemes: list[Scheme] = scheme_grid(BETAS, NS, RULES, THRESHOLD)
    gaps, errors = np.empty((2, len(schemes), problems)), np.empty((2, len(schemes), problems))
    with progress_bar("predict halves") as report:
        for p, key in enumerate(pool.keys()):
            pairs = zip(halves(pool.draft_candidates(*key)), halves(pool.base_candidates(*key)), strict=True)
            one, two = (predict_position(draft, base, schemes) for draft, base in pairs)
            gaps[0, :, p], errors[0, :, p] = (one.value - two.value)[:, 0], np.hypot(one.stderr, two.stderr)[:, 0]
            gaps[1, :, p], errors[1, :, p] = one.p_accept - two.p_accept, np.hypot(one.p_accept_se, two.p_accept_se)
            report(p + 1, problems)
    gated = np.array([scheme.threshold is not None for scheme in schemes])
    bands = _bands(schemes, gated, gaps, errors, seed)
    result: dict[str, Any] = {}
    for name, q, rows in (("reward", 0, np.ones(len(schemes), dtype=bool)), ("p_accept", 1, gated)):
        result[f"{name}_blocks"] = _summary(*z_scores(gaps[q, rows], errors[q, rows], block))
        result[f"{name}_all"] = _summary(*z_scores(gaps[q, rows], errors[q, rows], problems))
    z, effective = z_scores(gaps[0], errors[0], problems)
    table: dict[str, Any] = {
        "rule": [s.rule for s in schemes], "gate": ["none" if s.threshold is None else s.gate for s in schemes],
        "beta": [s.beta for s in schemes], "n": [s.n for s in schemes], "z_reward": z[:, 0],
        "effective": effective[:, 0],
    }  # fmt: skip
    given = f"--problems {problems} --candidates {candidates} --block {block} --seed {seed}"
    command = f"python -m tests.benches.predict {given}"
    write_artifact(out, "bench_predict", provenance(command, seed), result, {"schemes": table, "ratios": bands})
    for name, beta, low, high, *numbers in zip(*bands.values(), strict=True):
        print(f"{name:8} β {beta:<4g} n {low} to {high}: ratio {numbers[0]:.2f} [{numbers[1]:.2f}, {numbers[2]:.2f}]")
    return result


def _bands(
    schemes: list[Scheme], gated: NDArray[np.bool_], gaps: Floats, errors: Floats, seed: int
) -> dict[str, list[Any]]:
    """`ratios` of reward and acceptance by β and band of n, as columns."""
    ns, betas = np.array([s.n for s in schemes]), np.array([s.beta for s in schemes])
    rows = []
    for name, q, wanted in (("reward", 0, np.ones(ns.size, dtype=bool)), ("p_accept", 1, gated)):
        for beta in BETAS:
            for low, high in BANDS:
                cell = wanted & (betas == beta) & (ns >= low) & (ns <= high)
                rows.append((name, beta, low, high, *ratios(gaps[q, cell], errors[q, cell], seed)))
    names = ("value", "beta", "n_low", "n_high", "ratio", "ratio_low", "ratio_high")
    return {key: [row[k] for row in rows] for k, key in enumerate(names)}


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--problems", type=int, default=200)
    parser.add_argument("--candidates", type=int, default=256, help="of each source; each half has half of them")
    parser.add_argument("--block", type=int, default=20, help="positions a z-score is a mean over")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, default=Path("report/bench_predict.json"))
    given = parser.parse_args()
    for name, values in run(given.problems, given.candidates, given.block, given.seed, given.out).items():
        print(name, values)


if __name__ == "__main__":
    main()
