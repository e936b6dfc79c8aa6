"""Is `supports` of the doctor honest? Sub-pools against a truth: `python -m tests.benches.supports [POOL...]`.

At every β and n of a grid the prediction from a sub-pool (softmax and race, positions held fixed, ± as many standard
errors as `support_cells` takes) is compared with the truth of its prompts. Two numbers: of the predictions that
`support_cells` calls usable, the share that cover the truth; and of those that cover it in an interval shorter than a
tenth of the reward's range, the share that are called usable. They must be 93 % and 80 % at least.

Without POOL: synthetic worlds, whose truth is exact (M2). Log-ratios are normal of deviation 0.3 to 5, correlated with
rewards in [0, 1]: smooth, with atoms at 0 and 1, or right and wrong. With POOL: a large pool of a real pair is dealt
out in disjoint sub-pools of `--drafts` candidates at `--prompts` prompts; the truth is the estimate from the other
drafts of those prompts, its error added in squares.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, NamedTuple

import numpy as np
import typer
from scipy.special import ndtr

from gsi_theory import Scheme
from gsi_theory.laws.selection_law import selection_law
from gsi_theory.runs.artifact import provenance, write_artifact
from gsi_theory.runs.progress import progress_bar
from gsi_theory.types import Floats, Ints
from llm_check.logs.mean_prediction import mean_rows
from llm_check.logs.pools.pool import Pool, pool_from_columns, read_pool
from llm_check.logs.pools.supports import reward_bounds, support_cells
from llm_check.logs.prediction import predict_pool

__all__ = ["NS", "SHAPES", "WORLDS", "Case", "World", "dealt", "summarized", "synthetic"]

RULES, BETAS, NS = ("softmax", "race"), (1.0, 5.0, 20.0), (1, 2, 4, 8, 16, 32)
SHAPES = ((2, 32), (4, 16), (4, 32), (6, 32), (12, 64), (16, 16), (16, 64), (40, 16))  # prompts, drafts of each
OUTCOMES, PROMPTS = 3000, 40
COLUMNS = ("prompt_id", "step", "source", "candidate", "logp_draft", "logp_base", "reward")


class World(NamedTuple):
    """Normal log-ratios of deviation `spread`, their correlation with what the reward is made of, and its kind:
    "smooth", "atoms" (at 0 and 1) or "binary"."""

    spread: float
    correlation: float
    kind: str


WORLDS = tuple(
    World(spread, correlation, kind)
    for spread in (0.3, 1.0, 2.0, 3.5, 5.0)
    for correlation, kind in ((0.0, "smooth"), (0.5, "smooth"), (-0.3, "atoms"), (0.5, "atoms"), (0.2, "binary"))
)


class Case(NamedTuple):
    """One prediction: usable by the doctor; covers: the truth lies in the interval; short: below a tenth of range."""

    group: str
    prompts: int
    drafts: int
    beta: float
    n: int
    rule: str
    usable: bool
    covers: bool
    short: bool


def _outcomes(world: World, rng: np.random.Generator) -> tuple[Floats, Floats]:
    """(log-ratios, rewards) of equally likely outcomes of one prompt, the mean ratio exactly one."""
    z, other = rng.normal(size=(2, OUTCOMES))
    ratio = world.spread * z
    mixed = world.correlation * z + np.sqrt(1.0 - world.correlation**2) * other
    share = ndtr(mixed + 0.7 * rng.normal())
    reward = {
        "smooth": share,
        "atoms": np.where(share < 0.3, 0.0, np.where(share > 0.8, 1.0, share)),
        "binary": (share > 0.6).astype(np.float64),
    }[world.kind]
    return ratio - np.log(np.exp(ratio).mean()), reward


def _pool(ratios: Floats, rewards: Floats) -> Pool:
    """Drafts (P, N) as a pool."""
    prompts, drafts = ratios.shape
    rows = prompts * drafts
    names = np.repeat([f"p{i}" for i in range(prompts)], drafts).tolist()
    low = -np.maximum(ratios.ravel(), 0.0) - 1.0  # neither log-probability is positive
    values = (names, [0] * rows, ["draft"] * rows, np.tile(np.arange(drafts), prompts), low, low + ratios.ravel())
    return pool_from_columns(dict(zip(COLUMNS, (*values, rewards.ravel()), strict=True)))


def _schemes(drafts: int) -> list[Scheme]:
    return [Scheme(beta, n, None, rule) for rule in RULES for beta in BETAS for n in NS if n <= drafts]


def _cases(group: str, pool: Pool, schemes: list[Scheme], truths: Floats, errors: Floats) -> Iterator[Case]:
    """The predictions of a pool beside truths (S,) with standard errors (S,)."""
    ns = sorted({scheme.n for scheme in schemes})
    cells = {(cell.beta, cell.n): cell for cell in support_cells(pool, BETAS, ns)}
    low, high = reward_bounds(pool)
    prompts, drafts = len(pool.keys()), int(np.diff(pool.arrays.starts).min())
    rows = mean_rows(predict_pool(pool, schemes))
    for scheme, row, truth, error in zip(schemes, rows, truths, errors, strict=True):
        cell = cells[scheme.beta, scheme.n]
        half = row["reward_se"] * (cell.half / cell.stderr if cell.stderr > 0 else 1.96)
        covers = abs(row["reward"] - truth) <= np.hypot(half, 1.96 * error) + 1e-9
        short = 2.0 * half < 0.1 * (high - low)
        kind = (group, prompts, drafts, scheme.beta, scheme.n, str(scheme.rule))
        yield Case(*kind, not cell.fault, bool(covers), bool(short))


def synthetic(world: World, pools: int, seed: int, population_size: int = PROMPTS) -> Iterator[Case]:
    """`pools` pools of every shape from a world of so many prompts."""
    rng = np.random.default_rng([seed, WORLDS.index(world)])
    population = [_outcomes(world, rng) for _ in range(population_size)]
    schemes = _schemes(max(NS))
    mass = np.full(OUTCOMES, -np.log(OUTCOMES))
    exact = np.array(
        [
            [np.exp(selection_law(mass, s.beta * reward + ratio, s.n, s.rule).log_prob) @ reward for s in schemes]
            for ratio, reward in population
        ]
    )
    group = f"spread {world.spread:g}, {world.kind}"
    for prompts, drafts in SHAPES:
        known = [i for i, scheme in enumerate(schemes) if scheme.n <= drafts]
        for _ in range(pools):
            chosen = rng.choice(population_size, size=prompts, replace=prompts > population_size)
            drawn: Ints = rng.integers(OUTCOMES, size=(prompts, drafts))
            ratios, rewards = (np.array([population[p][k][d] for p, d in zip(chosen, drawn)]) for k in (0, 1))  # noqa: B905
            truth = exact[chosen][:, known].mean(axis=0)
            yield from _cases(group, _pool(ratios, rewards), [schemes[i] for i in known], truth, np.zeros(truth.size))


def dealt(path: Path, prompts: int, drafts: int, seed: int) -> Iterator[Case]:
    """Disjoint sub-pools of a file, their drafts and prompts dealt out at random."""
    pool, rng = read_pool(path), np.random.default_rng([seed, 7])
    candidates = [pool.draft_candidates(*key) for key in pool.positions("draft")]
    size = min(c.reward.size for c in candidates)
    parts = size // drafts
    if parts < 2 or len(candidates) < prompts:
        raise typer.BadParameter(f"{path}: {len(candidates)} positions of {size} drafts, too few to deal out")
    orders = [rng.permutation(size) for _ in candidates]
    schemes = _schemes(drafts)
    places = rng.permutation(len(candidates))
    for start in range(0, len(places) - prompts + 1, prompts):
        group = places[start : start + prompts]
        for part in range(parts):
            inside = slice(part * drafts, (part + 1) * drafts)
            drawn = [(candidates[p].log_ratio[orders[p]], candidates[p].reward[orders[p]]) for p in group]
            rest = [np.array([np.delete(values[k], inside) for values in drawn]) for k in (0, 1)]
            here = [np.array([values[k][inside] for values in drawn]) for k in (0, 1)]
            rows = mean_rows(predict_pool(_pool(*rest), schemes))
            truth, error = (np.array([row[name] for row in rows]) for name in ("reward", "reward_se"))
            yield from _cases(path.stem, _pool(*here), schemes, truth, error)


def summarized(cases: list[Case]) -> dict[str, float]:
    """covers: of usable predictions; called: usable ones of those that cover in a short interval; counts."""
    usable, covers, short = (
        np.array([getattr(case, name) for case in cases]) for name in ("usable", "covers", "short")
    )
    good = covers & short
    share = {"covers": covers[usable], "called": usable[good], "covers_all": covers}
    return {name: float(np.mean(part)) if part.size else float("nan") for name, part in share.items()} | {
        "predictions": float(usable.size),
        "usable": float(usable.sum()),
    }


def main(
    files: Annotated[list[Path] | None, typer.Argument(metavar="[POOL]...", help="Large pools of a real pair.")] = None,
    pools: Annotated[int, typer.Option(min=1, help="Pools of each world and shape.")] = 3,
    prompts: Annotated[int, typer.Option(min=1, help="Prompts of a sub-pool of a file.")] = 6,
    drafts: Annotated[int, typer.Option(min=2, help="Drafts of a sub-pool's prompt.")] = 32,
    seed: Annotated[int, typer.Option(min=0, help="Seed of every random stream.")] = 0,
    out: Annotated[Path | None, typer.Option(help="Artifact to write.")] = None,
) -> None:
    """Coverage of what the doctor calls usable, and how much of what covers it calls usable."""
    cases: list[Case] = []
    with progress_bar("supports") as report:
        for done, item in enumerate(files or WORLDS, start=1):
            cases += synthetic(item, pools, seed) if isinstance(item, World) else dealt(item, prompts, drafts, seed)
            report(done, len(files or WORLDS))
    for name in ("group", "prompts", "drafts", "beta", "n", "rule"):
        print(f"by {name}")
        for value in dict.fromkeys(getattr(case, name) for case in cases):
            part = summarized([case for case in cases if getattr(case, name) == value])
            print(f"  {value!s:<22} usable {part['usable']:6.0f}/{part['predictions']:<6.0f} cover "
                  f"{part['covers']:.3f} (all: {part['covers_all']:.3f})  called {part['called']:.3f}")  # fmt: skip
    total = summarized(cases)
    print(f"all: of {total['usable']:.0f} usable predictions {total['covers']:.3f} cover (0.93 or more), of those that "
          f"cover in a short interval {total['called']:.3f} are usable (0.8 or more)")  # fmt: skip
    if out is not None:
        given = f"--pools {pools} --prompts {prompts} --drafts {drafts} --seed {seed}"
        command = " ".join(["python -m tests.benches.supports", *(path.name for path in files or []), given])
        columns = {name: [getattr(case, name) for case in cases] for name in Case._fields}
        write_artifact(out, "supports", provenance(command, seed), total, {"cases": columns})


if __name__ == "__main__":
    typer.run(main)
