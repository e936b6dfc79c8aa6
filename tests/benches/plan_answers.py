"""Does `plan` answer, and are its answers good? `python -m tests.benches.plan_answers [POOL TRUTH]...`

Each case is a planning pool and a truth pool of the same problems with many more candidates. Of the cases whose gain,
the best option by estimate over one base draw, exceeds three of its standard errors, the share that is answered; and of
the answers the regret: how much more the best of all options is worth on the truth pool. Real pools are given by path,
in pairs; without any, synthetic worlds that resemble real pairs are used: log-ratios of 1 to 5 nats of standard
deviation, correlated with the reward, rewards with atoms, many outcomes a prompt.

    python -m tests.benches.plan_answers --deal 40 POOL...

deals the prompts of large pools out in planning pools of 40; the truth is all prompts that a planning pool lacks, so
that regret is that at prompts like these. Every planning pool is asked for two goals: the best, and the best of the
cheaper half of the options. The interval over prompts that an answer states is compared with the truth too.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from scipy.special import log_softmax

from gsi_theory.runs.progress import progress_bar
from gsi_theory.types import Record
from llm_check.logs.planner.best_option import mean_error
from llm_check.logs.planner.goal import Goal
from llm_check.logs.planner.option_table import plan_table
from llm_check.logs.planner.recommendation import plan
from llm_check.logs.planner.scheme_grid import BETAS, NS, make_grid
from llm_check.logs.pools.pool import Pool, read_pool
from tests.benches.plan import FiniteWorld

__all__ = ["CASES", "Case", "outcome", "real_world"]

ATOMS = np.array([0.0, 0.28, 0.3, 0.8, 1.0])
GAIN_ERRORS, REGRET = 3.0, 0.03
TRUTH = 384  # candidates of a truth pool


def real_world(rng: np.random.Generator, spread: float, correlation: float, outcomes: int = 400) -> FiniteWorld:
    """40 prompts: the base's law over many outcomes, rewards of few atoms by each prompt's own difficulty, and a draft
    whose log-ratio has the standard deviation `spread` under the base, correlated with the reward."""
    prompts = 40
    base = log_softmax(1.5 * rng.normal(size=(prompts, outcomes)), axis=1)
    quality = rng.normal(size=(prompts, 1)) + rng.normal(size=(prompts, outcomes))
    reward = ATOMS[np.searchsorted([-1.0, 0.0, 0.8, 1.5], quality)]
    mass = np.exp(base)
    apart = reward - (mass * reward).sum(axis=1, keepdims=True)
    size = np.sqrt((mass * apart**2).sum(axis=1, keepdims=True))
    follows = apart / np.maximum(size, 1e-3)
    ratio = spread * (correlation * follows + np.sqrt(1.0 - correlation**2) * rng.normal(size=reward.shape))
    return FiniteWorld(log_softmax(base - ratio, axis=1), base, reward)


@dataclass(frozen=True)
class Case:
    """spread and correlation of the log-ratio with the reward; prompts and candidates of the planning pool."""

    spread: float
    correlation: float
    prompts: int
    candidates: int

    def pools(self, seed: int) -> tuple[Pool, Pool]:
        """The planning pool and the truth pool, of the same prompts."""
        world = real_world(np.random.default_rng([seed, int(10 * self.spread)]), self.spread, self.correlation)
        some = slice(self.prompts)
        part = FiniteWorld(world.log_draft[some], world.log_base[some], world.reward[some])
        return part.every_prompt(self.candidates, seed), part.every_prompt(TRUTH, seed + 1000)


CASES = tuple(
    Case(spread, correlation, prompts, candidates)
    for spread in (1.0, 2.0, 3.0, 5.0)
    for correlation in (0.2, 0.6)
    for prompts, candidates in ((12, 32), (40, 32), (40, 64))
)


def outcome(
    pool: Pool,
    truth: Pool,
    betas: tuple[float, ...] = BETAS,
    ns: tuple[int, ...] = NS,
    cheap: bool = False,
) -> Record:
    """What the plan answers on a pool, and the regret of it by the truth pool; cheap: of options of at most the median
    cost."""
    found = plan(pool, betas=betas, ns=ns)
    allowed = np.ones(found.costs.size, dtype=bool)
    if cheap:
        goal = Goal(max_cost=float(np.median(found.costs)))
        found, allowed = plan(pool, goal, betas=betas, ns=ns), found.costs <= goal.max_cost
    values, options = found.table.values[0], found.table.options
    alone = next(s for s, o in enumerate(options) if o.method == "base")
    means = np.where(allowed, values.mean(axis=1), -np.inf)
    top = int(means.argmax())
    gain, error = (float(x[0]) for x in mean_error((values[top] - values[alone])[None]))
    arrays = pool.arrays
    grid = make_grid(arrays, arrays.blocks, betas, ns)
    exact = plan_table(truth.arrays, truth.arrays.blocks, grid, ["reward"], None, some=options).values[0]
    true = np.where(allowed, exact.mean(axis=1), -np.inf)
    best, chosen = int(true.argmax()), found.recommendation
    row = {
        "gain": gain, "gain_se": error, "shown": gain > GAIN_ERRORS * error, "answered": chosen is not None,
        "regret": None, "regret_se": None, "naive_regret": float(true.max() - true[top]),
        "shortfall": found.shortfall, "method": None, "reason": found.reason, "promised": None, "true": None,
        "kept": None,
    }  # fmt: skip
    if chosen is None:
        return row
    lost, lost_error = (float(x[0]) for x in mean_error((exact[best] - exact[chosen])[None]))
    row |= {"regret": lost, "regret_se": lost_error, "method": options[chosen].text()}
    if found.worth is not None:
        value, value_error = (float(x[0]) for x in mean_error(exact[chosen][None]))
        low, high = float(found.worth.low), float(found.worth.high)
        reach = 1.96 * value_error
        row |= {"promised": [low, high], "true": value, "kept": low - reach <= value <= high + reach}
    return row


def summary(rows: list[Record]) -> Record:
    """Of the cases with a gain the share answered, of the answers the share with small regret."""
    shown = [row for row in rows if row["shown"]]
    regrets = [row["regret"] for row in rows if row["answered"]]
    return {
        "cases": len(rows),
        "shown": len(shown),
        "answered_of_shown": sum(row["answered"] for row in shown) / max(len(shown), 1),
        "answers": len(regrets),
        "small_regret": sum(r <= REGRET for r in regrets) / max(len(regrets), 1),
        "largest_regret": max(regrets, default=0.0),
        "largest_regret_se": max((row["regret_se"] for row in rows if row["answered"]), default=0.0),
        "promises": sum(row["kept"] is not None for row in rows),
        "promises_kept": sum(bool(row["kept"]) for row in rows),
    }


def _pairs(paths: list[str], seed: int) -> Iterator[tuple[str, Pool, Pool]]:
    for first, second in zip(paths[::2], paths[1::2], strict=True):
        yield first, read_pool(first, strict=False), read_pool(second, strict=False)
    if not paths:
        for k, case in enumerate(CASES):
            yield str(case), *case.pools(seed + k)


def dealt(path: Path, prompts: int, seed: int) -> Iterator[tuple[str, Pool, Pool]]:
    """Disjoint planning pools of so many prompts of a large pool, each with the pool of all other prompts."""
    table = pq.read_table(path)
    names = np.array(table.column("prompt_id").to_pylist())
    order = np.random.default_rng([seed, 11]).permutation(np.unique(names))
    with tempfile.TemporaryDirectory() as folder:
        for k in range(order.size // prompts):
            inside = np.isin(names, order[k * prompts : (k + 1) * prompts])
            parts = []
            for name, kept in (("planned", inside), ("truth", ~inside)):
                file = Path(folder) / f"{name}.parquet"
                pq.write_table(table.filter(pa.array(kept)), file)
                parts.append(read_pool(file))
            yield f"{path.stem} {k}", *parts


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("pools", nargs="*", metavar="POOL TRUTH")
    parser.add_argument(
        "--deal", type=int, metavar="PROMPTS", help="every POOL is dealt out in pools of so many prompts"
    )
    parser.add_argument("--seed", type=int, default=0)
    asked = parser.parse_args()
    if asked.deal:
        cases = [case for name in asked.pools for case in dealt(Path(name), asked.deal, asked.seed)]
    else:
        cases = list(_pairs(asked.pools, asked.seed))
    rows = []
    with progress_bar("plan") as report:
        for done, (name, pool, truth) in enumerate(cases, start=1):
            for cheap in (False, True) if asked.deal else (False,):
                rows.append(outcome(pool, truth, betas=(2.0, 5.0, 20.0), ns=(1, 2, 4, 8, 16), cheap=cheap))
                print(name, {k: round(v, 4) if isinstance(v, float) else v for k, v in rows[-1].items()}, flush=True)
            report(done, len(cases))
    print(summary(rows))


if __name__ == "__main__":
    main()
