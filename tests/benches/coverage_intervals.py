"""Do 95 % intervals from pools contain the truth? Synthetic pools from discrete policies whose exact law is known.

    python -m tests.benches.coverage_intervals [--pools 500] [--prompts 20] [--drafts 64] [--seed 0]
        [--worlds NAMES] [--out FILE]

A world is a population of prompts, each with two policies on K outcomes and a reward; its truth is the exact law
(M2–M9). A pool draws `prompts` of its prompts and `drafts` candidates of each source at each. Per method and n the
table shows the share of pools whose interval contains the truth: the mean over the population (`population_mean`) and
over the pool's own prompts (`fixed_mean`), and of pools where the spread is trusted for the former (elsewhere the
interval is `bounded_mean`, which covers more). Worlds differ in the tail of ρ = π_B/π_S and in β; k̂ flags a heavy
tail. Cells are counted in three groups: k̂ above 0.7; rare prompts decide (the spread is trusted in fewer than half of
the pools); the rest, which must cover 93 to 97 %.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer
from numpy.typing import NDArray

from gsi_theory import Instance, Scheme
from gsi_theory.arrays.logscale import normalize
from gsi_theory.estimate import Estimate, subset_mean
from gsi_theory.instance import log_weight, tilted_reward
from gsi_theory.laws.gate import gsi_laws
from gsi_theory.runs.artifact import provenance, write_artifact
from gsi_theory.runs.progress import Report, progress_bar
from gsi_theory.samples.gated_estimate import gated_mean, score_gated_mean
from gsi_theory.samples.intervals import fixed_mean, population_mean
from gsi_theory.types import Floats
from llm_check.logs.pools.tails import pareto_khat

__all__ = ["METHODS", "NS", "WORLDS", "World", "estimates", "measured", "prompts_of", "summarized", "truth"]

NS = (1, 2, 4, 8, 16, 32)
POPULATION = 300
SHARES = ("population", "fixed", "trusted", "bias_z")
METHODS = ("softmax", "race", "max", "gated softmax", "score-gated race")


@dataclass(frozen=True)
class World:
    """outcomes K; log ρ normal with deviation `spread`, or with `tail` > 0 ρ Pareto of that shape; β; threshold u.

    binary: rewards 0 or 1; unsolvable: share of the prompts at which every reward is 0.
    """

    name: str
    outcomes: int
    spread: float
    tail: float
    beta: float
    threshold: float
    binary: bool = False
    unsolvable: float = 0.0


WORLDS = (
    World("close pair", 40, 0.5, 0.0, 2.0, 0.6),
    World("distant pair", 200, 1.0, 0.0, 5.0, 0.7),
    World("right or wrong", 40, 0.5, 0.0, 5.0, 0.5, binary=True),
    World("heavy tail", 3000, 0.0, 1.1, 10.0, 0.8),
    World("some unsolvable", 40, 0.5, 0.0, 5.0, 0.5, binary=True, unsolvable=0.02),
)

ALL = ",".join(world.name for world in WORLDS)


def prompts_of(world: World, count: int, rng: np.random.Generator) -> list[Instance]:
    """The population: drafts Dirichlet(1), base = draft × ρ normalized, rewards of a mean that differs by prompt."""
    found = []
    for index in range(count):
        log_draft = normalize(np.log(rng.standard_exponential(world.outcomes)))
        size = rng.normal(size=world.outcomes) * world.spread
        ratio = world.tail * rng.standard_exponential(world.outcomes) if world.tail else size
        level = rng.uniform(0.2, 0.6)
        if world.binary:
            reward = (rng.random(world.outcomes) < level).astype(np.float64)
        else:
            reward = rng.beta(4.0 * level, 4.0 * (1.0 - level), world.outcomes)
        reward *= index >= round(world.unsolvable * count)
        found.append(Instance(log_draft, normalize(log_draft + ratio), reward))
    return found


def truth(instance: Instance, world: World) -> Floats:
    """Expected reward (methods, n) by the exact laws."""
    u, beta = world.threshold, world.beta
    kinds: list[dict[str, Any]] = [{"rule": rule} for rule in METHODS[:3]]
    kinds += [{"threshold": u}, {"threshold": u, "rule": "race", "gate": "score"}]
    laws = gsi_laws(instance, [Scheme(beta, n, **kind) for kind in kinds for n in NS])
    return np.array([law.expectation(instance.reward) for law in laws]).reshape(len(METHODS), len(NS))


def estimates(instance: Instance, world: World, drafts: int, rng: np.random.Generator) -> tuple[Floats, Floats, float]:
    """(values, standard errors) (methods, n) from `drafts` draws of each source, and k̂ of the tilt's weights."""
    draft, base = instance.draft_candidates(), instance.base_candidates()
    picked = _drawn(draft.log_mass, drafts, rng)
    base_reward = base.reward[_drawn(base.log_mass, drafts, rng)]
    reward, weight = draft.reward[picked], log_weight(draft, world.beta)[picked]
    kept = tilted_reward(draft, world.beta)[picked] >= world.threshold
    fallback = (base_reward, world.beta * base_reward, NS)
    found: list[Estimate] = [subset_mean(reward, weight, NS, rule) for rule in METHODS[:3]]
    found.append(gated_mean(reward, weight, kept, *fallback).value)
    found.append(score_gated_mean(reward, weight, world.beta * world.threshold, *fallback).value)
    return np.array([e.value for e in found]), np.array([e.stderr for e in found]), pareto_khat(weight)


def _drawn(log_mass: Floats, count: int, rng: np.random.Generator) -> NDArray[np.int64]:
    return np.searchsorted(np.cumsum(np.exp(log_mass))[:-1], rng.random(count), side="right")


def measured(
    world: World, pools: int, prompts: int, drafts: int, seed: int, report: Report
) -> tuple[dict[str, list[Any]], float]:
    """(table: method, n, share of pools covered, mean bias in its standard errors, ...; median k̂) of one world."""
    stream = np.random.SeedSequence((seed, [w.name for w in WORLDS].index(world.name)))
    rng = np.random.default_rng(stream)
    population = prompts_of(world, POPULATION, rng)
    exact = np.array([truth(instance, world) for instance in population])
    inside, own, drift, khats, trust = [], [], [], [], []
    for pool in range(pools):
        chosen = rng.integers(POPULATION, size=prompts)
        found = [estimates(population[i], world, drafts, rng) for i in chosen]
        values, errors = np.array([f[0] for f in found]), np.array([f[1] for f in found])
        over, here = population_mean(values, bounds=(0.0, 1.0)), fixed_mean(values, errors, bounds=(0.0, 1.0))
        inside.append((over.low <= exact.mean(axis=0)) & (exact.mean(axis=0) <= over.high))
        fixed = exact[chosen].mean(axis=0)
        own.append((here.low <= fixed) & (fixed <= here.high))
        drift.append(here.value - fixed)
        trust.append(over.trusted)
        khats.append(np.median([f[2] for f in found]))
        report(pool + 1, pools)
    moved = np.array(drift)
    bias = moved.mean(axis=0) / (moved.std(axis=0, ddof=1) / np.sqrt(pools) + 1e-300)
    columns: dict[str, list[Any]] = {name: [] for name in ("world", "method", "n", *SHARES)}
    for m, method in enumerate(METHODS):
        for i, n in enumerate(NS):
            shares = (np.mean(part, axis=0)[m, i] for part in (inside, own, trust))
            row = (world.name, method, n, *shares, bias[m, i])
            for name, value in zip(columns, row, strict=True):
                columns[name].append(value)
    return columns, float(np.median(khats))


def summarized(total: dict[str, list[Any]], khats: dict[str, float]) -> dict[str, list[float]]:
    """By group of cells (the module's text): [cells, of them 93 to 97 %, least and largest coverage of the mean]."""
    heavy = np.array([khats[world] > 0.7 for world in total["world"]])
    rare, covered = np.array(total["trusted"]) < 0.5, np.array(total["population"])
    groups = {"khat > 0.7": heavy, "rare prompts decide": ~heavy & rare, "the rest": ~heavy & ~rare}
    found = {}
    for name, group in groups.items():
        cells = covered[group]
        inside = int(np.sum((cells >= 0.93) & (cells <= 0.97)))
        found[name] = [float(cells.size), float(inside), *(float(f(cells)) if cells.size else 0.0 for f in (min, max))]
    return found


def main(
    pools: Annotated[int, typer.Option(min=2, help="Pools of each world.")] = 500,
    prompts: Annotated[int, typer.Option(min=2, help="Prompts of a pool.")] = 20,
    drafts: Annotated[int, typer.Option(min=32, help="Candidates of each source at a prompt.")] = 64,
    seed: Annotated[int, typer.Option(min=0, help="Seed of every random stream.")] = 0,
    worlds: Annotated[str, typer.Option(help="Names of worlds, comma-separated.")] = ALL,
    out: Annotated[Path | None, typer.Option(help="Artifact to write.")] = None,
) -> None:
    """Share of pools whose 95 % interval contains the exact truth, by world, method and n."""
    total: dict[str, list[Any]] = {}
    khats = {}
    known = {world.name: world for world in WORLDS}
    chosen = [name.strip() for name in worlds.split(",")]
    if unknown := [name for name in chosen if name not in known]:
        raise typer.BadParameter(f"{unknown[0]!r}: give some of {', '.join(known)}", param_hint="--worlds")
    for world in (known[name] for name in chosen):
        with progress_bar(world.name) as report:
            table, khats[world.name] = measured(world, pools, prompts, drafts, seed, report)
        for name, column in table.items():
            total.setdefault(name, []).extend(column)
        print(f"\n{world.name}: β = {world.beta:g}, median k̂ {khats[world.name]:.2f}")
        print(f"  n = {NS}: population / own prompts, spread trusted (all in %), z of the bias")
        for at in range(0, len(table["n"]), len(NS)):
            cells = zip(*(table[column][at : at + len(NS)] for column in SHARES), strict=True)
            line = "  ".join(f"{100 * a:5.1f}/{100 * b:5.1f} {100 * t:3.0f} {z:+4.1f}" for a, b, t, z in cells)
            print(f"  {table['method'][at]:<18} {line}", flush=True)
    summary = summarized(total, khats)
    print("\n" + "\n".join(f"{name}: {value}" for name, value in summary.items()))
    if out is not None:
        given = f'--pools {pools} --prompts {prompts} --drafts {drafts} --seed {seed} --worlds "{worlds}"'
        command = f"python -m tests.benches.coverage_intervals {given}"
        write_artifact(
            out, "coverage_intervals", provenance(command, seed), {"khat": khats} | summary, {"coverage": total}
        )


if __name__ == "__main__":
    typer.run(main)
