"""Do the intervals and bands of `gsi curve` hold? Synthetic logs of one model whose exact curves are known.

    python -m tests.benches.curve [--logs 2000] [--prompts 20] [--draws 32] [--seed 0] [--worlds NAMES] [--out FILE]

A world is a population of prompts, each a law on K outcomes with reward, right or wrong, and answer; its truth is
exact: powers of the distribution function for best-of-n, 1 − (1 − p)ⁿ for pass@k, the multinomial's generating function
for majority vote, none of it code of the project. A log draws prompts of the population and draws at each. Per world,
curve and n: the share of logs whose interval contains the truth, for prompts like these and for these prompts, the
share where the spread was trusted for both (elsewhere betting replaces it, which covers more), and the share of logs
whose band contains the whole curve.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from math import factorial
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer

from gsi_theory.runs.artifact import provenance, write_artifact
from gsi_theory.runs.progress import Report, progress_bar
from gsi_theory.samples.curve_bands import curve_bands
from gsi_theory.samples.draw_curve import best_of_n
from gsi_theory.samples.votes import majority
from gsi_theory.types import Floats, Ints

__all__ = ["CURVES", "WORLDS", "CurveWorld", "measured", "population", "truth"]

POPULATION = 200
SHARES = ("like", "these", "like_trusted", "these_trusted")
CURVES = ("best_of_n reward", "best_of_n correct", "pass_at_k correct", "majority correct")
BOUNDS = (None, (0.0, 1.0), (0.0, 1.0), (0.0, 1.0))


@dataclass(frozen=True)
class CurveWorld:
    """A prompt's chance of a right draw is Beta(ease, toil); rewards are right·signal + noise, squeezed into (0, 1);
    `levels`: how many rewards there are (0: all differ); wrong answers share what is left in odds 1, 1/2, 1/3, ..."""

    name: str
    ease: float
    toil: float
    signal: float
    levels: int = 0


WORLDS = (
    CurveWorld("even", 1.0, 1.5, 1.0),
    CurveWorld("easy", 3.0, 1.0, 1.0),
    CurveWorld("hard", 0.4, 2.0, 2.0),
    CurveWorld("all or none", 0.3, 0.3, 1.0),
    CurveWorld("misled", 1.0, 1.5, -0.5),
    CurveWorld("coarse reward", 1.0, 1.5, 1.5, levels=5),
)
ALL = ",".join(world.name for world in WORLDS)
RIGHT, WRONG = 12, 24  # outcomes of either kind


@dataclass(frozen=True)
class Prompts:
    """mass, reward, correct (B, K); answer (K,)."""

    mass: Floats
    reward: Floats
    correct: Floats
    answer: Ints


def population(world: CurveWorld, count: int, rng: np.random.Generator) -> Prompts:
    """The prompts of a world."""
    right = rng.beta(world.ease, world.toil, count)[:, None]
    share = rng.dirichlet(np.ones(RIGHT), count) * right, rng.dirichlet(np.ones(WRONG), count) * (1.0 - right)
    correct = np.tile(np.repeat([1.0, 0.0], [RIGHT, WRONG]), (count, 1))
    reward = 1.0 / (1.0 + np.exp(-(world.signal * correct + rng.normal(size=correct.shape))))
    if world.levels:
        reward = np.round(reward * (world.levels - 1)) / (world.levels - 1)
    answer = np.concatenate(
        [np.zeros(RIGHT, dtype=np.int64), 1 + np.floor(np.log2(1.0 + np.arange(WRONG))).astype(int)]
    )
    return Prompts(np.concatenate(share, axis=1), reward, correct, answer)


def truth(prompts: Prompts, ns: Ints) -> Floats:
    """Exact curves (B, curves, M)."""
    out = np.zeros((len(prompts.mass), len(CURVES), ns.size))
    for b, (mass, reward, correct) in enumerate(zip(prompts.mass, prompts.reward, prompts.correct, strict=True)):
        for level in np.unique(reward):
            here = reward == level
            upto, below = mass[reward <= level].sum(), mass[reward < level].sum()
            won = np.minimum(upto, 1.0) ** ns - below**ns
            out[b, 0] += won * level
            out[b, 1] += won * (mass[here] @ correct[here]) / max(mass[here].sum(), 1e-300)
        p = mass @ correct
        out[b, 2] = 1.0 - (1.0 - min(p, 1.0)) ** ns
        chances = np.bincount(prompts.answer, weights=mass)
        out[b, 3] = _vote(chances, ns)
    return out


def _vote(chances: Floats, ns: Ints) -> Floats:
    """P(answer 0 wins the vote of n draws), ties shared: n! [xⁿ] Σ_m ∫ p₀^m x^m/m! Π (Σ_{j<m} + z p^m x^m/m!) dz."""
    most = int(ns.max())
    x, w = np.polynomial.legendre.leggauss(len(chances) // 2 + 1)
    series = np.array([[p**j / factorial(j) for j in range(most + 1)] for p in chances])
    total = np.zeros(most + 1)
    for m in range(1, most + 1):
        for z, weight in zip(0.5 * (x + 1), 0.5 * w, strict=True):
            product = np.zeros(most + 1)
            product[m] = series[0, m]
            for row in series[1:]:
                factor = np.where(np.arange(most + 1) < m, row, 0.0)
                factor[m] = z * row[m]
                product = np.convolve(product, factor)[: most + 1]
            total += weight * product
    return np.array([total[n] * factorial(n) for n in ns.tolist()])


def _log(prompts: Prompts, chosen: Ints, ns: Ints, draws: int, rng: np.random.Generator) -> tuple[Floats, Floats]:
    """(value, variance) (P, curves, M) of one log."""
    value = np.empty((chosen.size, len(CURVES), ns.size))
    variance = np.empty_like(value)
    for at, b in enumerate(chosen.tolist()):
        counts = rng.multinomial(draws, prompts.mass[b])
        seen = counts > 0
        some, reward, correct = counts[seen], prompts.reward[b][seen], prompts.correct[b][seen]
        right = int(some @ correct)
        kinds = np.flatnonzero([right < draws, right > 0])
        parts = [
            best_of_n(reward, np.array([reward, correct]), some, ns),
            best_of_n(kinds * 1.0, kinds[None] * 1.0, np.array([draws - right, right])[kinds], ns),
            majority(prompts.answer[seen], correct, some, ns, rng),
        ]
        value[at] = np.concatenate([part.value for part in parts])
        variance[at] = np.concatenate([part.variance for part in parts])
    return value, variance


def measured(
    world: CurveWorld, logs: int, prompts: int, draws: int, ns: Ints, seed: int, report: Report
) -> dict[str, list[Any]]:
    """A row a curve and n: shares of logs whose intervals contain the truth, and whose band does (of all n)."""
    rng = np.random.default_rng([seed, [w.name for w in WORLDS].index(world.name)])
    people = population(world, POPULATION, rng)
    exact = truth(people, ns)
    shape = logs, len(CURVES), ns.size
    like, these, like_trusted, these_trusted = (np.zeros(shape) for _ in range(4))
    whole, sizes = np.zeros(shape[:2]), np.full(prompts, draws)
    for at in range(logs):
        chosen = rng.integers(POPULATION, size=prompts)
        value, variance = _log(people, chosen, ns, draws, rng)
        for c, bounds in enumerate(BOUNDS):
            band = curve_bands(value[:, c], variance[:, c], sizes, ns, 0.95, bounds, at)
            mean, here = exact[:, c].mean(axis=0), exact[chosen, c].mean(axis=0)
            like[at, c] = (band.low_prompts <= mean) & (mean <= band.high_prompts)
            these[at, c] = (band.low_fixed <= here) & (here <= band.high_fixed)
            whole[at, c] = bool(((band.low <= mean) & (mean <= band.high)).all())
            like_trusted[at, c], these_trusted[at, c] = band.trusted_prompts, band.trusted_fixed
        report(at + 1, logs)
    columns: dict[str, list[Any]] = {}
    for c, name in enumerate(CURVES):
        for m, n in enumerate(ns.tolist()):
            row = {
                "world": world.name,
                "curve": name,
                "n": n,
                "like": like[:, c, m].mean(),
                "these": these[:, c, m].mean(),
                "like_trusted": like_trusted[:, c, m].mean(),
                "these_trusted": these_trusted[:, c, m].mean(),
                "band": whole[:, c].mean(),
            }
            for key, entry in row.items():
                columns.setdefault(key, []).append(entry)
    return columns


def main(
    logs: Annotated[int, typer.Option(min=2, help="Logs of each world.")] = 2000,
    prompts: Annotated[int, typer.Option(min=2, help="Prompts of a log.")] = 20,
    draws: Annotated[int, typer.Option(min=2, help="Draws of a prompt.")] = 32,
    seed: Annotated[int, typer.Option(min=0, help="Seed of every random stream.")] = 0,
    worlds: Annotated[str, typer.Option(help="Names of worlds, comma-separated.")] = ALL,
    out: Annotated[Path | None, typer.Option(help="Artifact to write.")] = None,
) -> None:
    """Share of logs whose 95 % intervals and bands contain the exact curves, by world, curve and n."""
    known = {world.name: world for world in WORLDS}
    chosen = [name.strip() for name in worlds.split(",")]
    if unknown := [name for name in chosen if name not in known]:
        raise typer.BadParameter(f"{unknown[0]!r}: give some of {', '.join(known)}", param_hint="--worlds")
    ns = np.unique([n for n in (1, 2, 4, 8, 16, 32, 64, draws // 2, draws) if 1 <= n <= draws])
    total: dict[str, list[Any]] = {}
    for world in (known[name] for name in chosen):
        start = time.perf_counter()
        with progress_bar(world.name) as report:
            table = measured(world, logs, prompts, draws, ns, seed, report)
        for name, column in table.items():
            total.setdefault(name, []).extend(column)
        print(f"\n{world.name} ({time.perf_counter() - start:.0f} s): prompts like these/these prompts, trusted (%)")
        print(f"  n = {ns.tolist()}")
        for at in range(0, len(table["n"]), ns.size):
            cells = zip(*(table[k][at : at + ns.size] for k in SHARES), strict=True)
            line = "  ".join(f"{100 * a:5.1f}/{100 * b:5.1f} {100 * t:3.0f}/{100 * u:3.0f}" for a, b, t, u in cells)
            print(f"  {table['curve'][at]:<18} {line}  band {100 * table['band'][at]:.1f}", flush=True)
    if out is not None:
        sizes = f"--logs {logs} --prompts {prompts} --draws {draws} --seed {seed}"
        command = f'python -m tests.benches.curve {sizes} --worlds "{worlds}"'
        write_artifact(out, "curve_coverage", provenance(command, seed), {}, {"coverage": total})


if __name__ == "__main__":
    typer.run(main)
