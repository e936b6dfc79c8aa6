"""Are `plan`'s recommendations right where the truth is known? `python -m tests.benches.plan`.

Worlds are finite instances (K outcomes a prompt, policies and reward known), so the value of every option at every
prompt is exact (`gsi_law`), averaged over a population of prompts. A pool draws prompts from the population and
candidates from the policies; `plan` sees only the pool. Counted per world and budget: pools answered, answered pools in
which the true value of the recommended option is within the tolerance of the best option of that true cost, and the
mean of its true cost over that of the largest estimate; pools in which the largest estimate would have been off by
more, and how often those were declined; z-scores and coverage of the cross-fitted value, of the recommended option or,
of pools not answered, of the largest estimate; and how far that estimate itself is optimistic.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit, log_softmax

from gsi_theory import Candidates, Instance, Scheme
from gsi_theory.laws.gate import gsi_laws
from gsi_theory.runs.artifact import provenance, write_artifact
from gsi_theory.runs.costs import step_cost
from gsi_theory.runs.progress import progress_bar
from gsi_theory.types import Floats
from llm_check.logs.planner.goal import Goal
from llm_check.logs.planner.option_table import plan_table
from llm_check.logs.planner.recommendation import Setup, choose_option, option_costs
from llm_check.logs.planner.scheme_grid import Option, make_grid
from llm_check.logs.pools.pool import Pool, pool_from_columns
from llm_check.logs.pools.position_arrays import blocks

__all__ = ["WORLDS", "FiniteWorld", "run", "truth"]

BETAS, NS, THRESHOLDS = (2.0, 5.0, 20.0), (1, 2, 4, 8, 16, 32), (0.4, 0.7)
TOKENS = 100.0


@dataclass(frozen=True)
class FiniteWorld:
    """A population of prompts: log_draft, log_base, reward, each (M, K)."""

    log_draft: Floats
    log_base: Floats
    reward: Floats

    def pool(self, prompts: int, n: int, seed: int) -> Pool:
        """n draft and n base candidates at each of `prompts` prompts drawn from the population."""
        rng = np.random.default_rng([seed, 9])
        return self._drawn(rng, rng.integers(self.reward.shape[0], size=prompts), n)

    def every_prompt(self, n: int, seed: int) -> Pool:
        """n draft and n base candidates at every prompt."""
        return self._drawn(np.random.default_rng([seed, 9]), np.arange(self.reward.shape[0]), n)

    def _drawn(self, rng: np.random.Generator, chosen: NDArray[np.int64], n: int) -> Pool:
        columns: dict[str, list[Any]] = {}
        for source, logs in (("draft", self.log_draft), ("base", self.log_base)):
            place, drawn = _draw(rng, np.exp(logs[chosen]), n)
            rows = chosen[place]
            numbers = {"logp_draft": self.log_draft, "logp_base": self.log_base, "reward": self.reward}
            found = {name: values[rows, drawn].tolist() for name, values in numbers.items()}
            found |= {
                "prompt_id": [f"p{p}" for p in place.tolist()], "step": [0] * place.size,
                "source": [source] * place.size, "candidate": np.tile(np.arange(n), chosen.size).tolist(),
                "n_tokens": [int(TOKENS)] * place.size, "text": [str(y) for y in drawn.tolist()],
            }  # fmt: skip
            for name, values in found.items():
                columns.setdefault(name, []).extend(values)
        return pool_from_columns(columns)


def _draw(rng: np.random.Generator, law: Floats, n: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """(prompt, outcome) of n draws from each row of `law`."""
    edges = np.cumsum(law, axis=1)
    u = rng.random((law.shape[0], n)) * edges[:, -1:]
    drawn = (u[:, :, None] >= edges[:, None, :]).sum(axis=2)
    return np.repeat(np.arange(law.shape[0]), n), np.minimum(drawn, law.shape[1] - 1).ravel()


def _plain(rng: np.random.Generator, m: int, spread: float = 0.7, k: int = 40) -> FiniteWorld:
    common = rng.normal(size=(m, k)) * 1.5
    own, other = (common + spread * rng.normal(size=(m, k)) for _ in range(2))
    reward = expit(rng.normal(size=(m, 1)) + 1.5 * rng.normal(size=(m, k)) + 0.3 * (other - common))
    return FiniteWorld(log_softmax(own, axis=1), log_softmax(other, axis=1), reward)


def _near_ties(rng: np.random.Generator, m: int) -> FiniteWorld:
    world = _plain(rng, m, 0.2)
    return FiniteWorld(world.log_draft, world.log_base, np.where(world.reward > 0.6, 0.9, 0.2))


def _weak_draft(rng: np.random.Generator, m: int) -> FiniteWorld:
    world = _plain(rng, m, 0.5)
    good = world.reward > np.median(world.reward, axis=1, keepdims=True)
    return FiniteWorld(log_softmax(world.log_draft - 2.0 * good, axis=1), world.log_base, world.reward)


def _rare(rng: np.random.Generator, m: int) -> FiniteWorld:
    """At one prompt in twenty an outcome that the draft draws once in fifty outweighs all others and has no reward."""
    world = _plain(rng, m, 0.4)
    hit = rng.random(m) < 0.05
    reward = world.reward.copy()
    reward[hit, 0] = 0.0
    draft, base = np.exp(world.log_draft), np.exp(world.log_base)
    for policy, mass in ((draft, 0.02), (base, 0.98)):
        rest = policy[hit, 1:]
        policy[hit, 1:] = rest / rest.sum(axis=1, keepdims=True) * (1.0 - mass)
        policy[hit, 0] = mass
    return FiniteWorld(np.log(draft), np.log(base), reward)


def _heavy(rng: np.random.Generator, m: int) -> FiniteWorld:
    return _plain(rng, m, 1.8)


WORLDS = {
    "plain": _plain,
    "near ties": _near_ties,
    "weak draft": _weak_draft,
    "heavy tail": _heavy,
    "rare and bad": _rare,
}
# world, prompts of a pool, candidates of a set
CASES = (
    ("plain", 100, 64), ("near ties", 100, 64), ("weak draft", 100, 64), ("heavy tail", 100, 64),
    ("rare and bad", 100, 64), ("rare and bad", 30, 64), ("plain", 12, 64),
)  # fmt: skip


def truth(world: FiniteWorld, options: Sequence[Option]) -> tuple[Floats, Floats]:
    """(value (S,), P(reject) (S,)): exact means over the population."""
    value, reject = np.zeros(len(options)), np.zeros(len(options))
    own = [s for s, o in enumerate(options) if o.weighs_ratio]
    alike: dict[tuple[object, ...], list[int]] = {}
    for s, o in enumerate(options):
        if not o.weighs_ratio:
            alike.setdefault((o.method, o.beta if o.has_beta else None, o.n, o.threshold), []).append(s)
    schemes = [_scheme(options[s]) for s in own]
    for draft, base, reward in zip(world.log_draft, world.log_base, world.reward, strict=True):
        pair = Candidates(draft, reward, base - draft), Candidates(base, reward, base - draft)
        for s, law in zip(own, gsi_laws(pair, schemes), strict=True):
            value[s] += law.expectation(reward)
            reject[s] += 1.0 - law.p_accept
        instance = Instance(draft, base, reward)
        for members in alike.values():
            option = options[members[0]]
            law = option.record.law(instance, option.record.applied(_scheme(option)))
            value[members] += float(np.exp(law.log_prob) @ reward)
            reject[members] += 1.0 if option.on_base else 0.0 if law.p_accept is None else 1.0 - law.p_accept
    return value / world.reward.shape[0], reject / world.reward.shape[0]


def _scheme(o: Option) -> Scheme:
    return Scheme(o.beta, o.n, o.threshold, o.rule, o.n_base, "score" if o.gate == "score" else "tilted_reward")


def _true_costs(options: Sequence[Option], reject: Floats, setup: Setup) -> Floats:
    known = SimpleNamespace(
        options=options, reject=reject, reject_tokens=TOKENS * reject, base_tokens=TOKENS, draft_tokens=TOKENS
    )
    cost, _ = option_costs(known, setup)  # type: ignore[arg-type]
    return np.asarray(cost.flops)


def _one(pool: Pool, exact: tuple[Floats, Floats], budgets: Floats, goal_tolerance: float) -> list[dict[str, Any]]:
    """Outcome for each budget on one pool."""
    arrays = pool.arrays
    parts = blocks(arrays)
    grid = make_grid(arrays, parts, BETAS, NS, thresholds=THRESHOLDS)
    table = plan_table(arrays, parts, grid, ["reward"], None)
    setup = Setup()
    costs = option_costs(table, setup)[0].flops
    value, reject = exact
    true_costs = _true_costs(table.options, reject, setup)
    found = []
    for budget in budgets:
        goal = Goal(max_cost=float(budget), tolerance=goal_tolerance)
        choice, _ = choose_option(table, table.values[0], costs, np.full(costs.shape, np.inf), goal, (0.0, 1.0))
        best = float(value[true_costs <= budget].max())
        means = table.values[0].mean(axis=1)
        naive = int(np.argmax(np.where(costs <= budget, means, -np.inf)))
        assert choice.worth is not None  # of the recommended, or else of the largest estimate
        worth, true = choice.worth, float(value[naive if choice.chosen is None else choice.chosen])
        record = {"answered": choice.chosen is not None, "naive_off": value[naive] < best * (1.0 - goal_tolerance),
                  "naive_optimism": float(means[naive] - value[naive]), "right": False, "cost": np.nan,
                  "z": float((worth.value - true) / worth.stderr),
                  "covered": bool(worth.low <= true <= worth.high)}  # fmt: skip
        if choice.chosen is not None:
            record["right"] = bool(value[choice.chosen] >= best * (1.0 - goal_tolerance))
            record["cost"] = float(true_costs[choice.chosen] / true_costs[naive])
        found.append(record)
    return found


def run(
    pools: int, population: int, seed: int, out: Path, tolerance: float, cases: Sequence[int] = ()
) -> dict[str, Any]:
    """Write artifact `bench_plan`: one row for each case and budget."""
    rows: list[dict[str, Any]] = []
    chosen = [CASES[c] for c in cases] if cases else CASES
    with progress_bar("plan") as report:
        done = 0
        for name, prompts, n in chosen:
            world = WORLDS[name](np.random.default_rng([seed, len(name)]), population)
            first = world.pool(prompts, n, seed)
            arrays = first.arrays
            options = make_grid(arrays, blocks(arrays), BETAS, NS, thresholds=THRESHOLDS).options()
            exact = truth(world, options)
            # budgets: twice what 4, and 16, drafts cost without a fallback, and none
            unit = step_cost(1, 0, 0.0, TOKENS, TOKENS, Setup().sizes).flops
            budgets = np.array([8.0 * unit, 32.0 * unit, np.inf])
            results = []
            for k in range(pools):
                results.append(_one(world.pool(prompts, n, seed + k), exact, budgets, tolerance))
                report(done := done + 1, len(chosen) * pools)
            for b, budget in enumerate(("8 drafts", "32 drafts", "none")):
                cells = [r[b] for r in results]
                answered = [c for c in cells if c["answered"]]
                z = np.array([c["z"] for c in cells])
                rows.append({
                    "world": name, "prompts": prompts, "candidates": n, "budget": budget, "pools": pools,
                    "answered": len(answered), "right": sum(c["right"] for c in answered),
                    "cost_share": float(np.mean([c["cost"] for c in answered])) if answered else 1.0,
                    "naive_off": sum(bool(c["naive_off"]) for c in cells),
                    "naive_off_declined": sum(bool(c["naive_off"]) and not c["answered"] for c in cells),
                    "value_z_mean": float(z.mean()), "value_covered": sum(c["covered"] for c in cells),
                    "value_covered_answered": sum(c["covered"] for c in answered),
                    "naive_optimism": float(np.mean([c["naive_optimism"] for c in cells])),
                })  # fmt: skip
    total = sum(r["answered"] for r in rows)
    summary = {"answered": total, "right": sum(r["right"] for r in rows), "pools": sum(r["pools"] for r in rows),
               "right_share": sum(r["right"] for r in rows) / max(total, 1), "tolerance": tolerance,
               "value_covered": sum(r["value_covered"] for r in rows),
               "value_covered_answered": sum(r["value_covered_answered"] for r in rows)}  # fmt: skip
    options_text = f"--pools {pools} --population {population} --seed {seed} --tolerance {tolerance:g}"
    command = f"python -m tests.benches.plan {options_text}"
    table = {key: [row[key] for row in rows] for key in rows[0]}
    write_artifact(out, "bench_plan", provenance(command, seed), summary, {"cases": table})
    return {"summary": summary, "rows": rows}


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pools", type=int, default=20)
    parser.add_argument("--population", type=int, default=400)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--tolerance", type=float, default=0.01)
    parser.add_argument("--cases", type=int, nargs="*", default=[], help="Numbers of the cases (default: all).")
    parser.add_argument("--out", type=Path, default=Path("report/bench_plan.json"))
    given = parser.parse_args()
    result = run(given.pools, given.population, given.seed, given.out, given.tolerance, given.cases)
    for row in result["rows"]:
        print(", ".join(f"{k} {v:.3g}" if isinstance(v, float) else f"{k} {v}" for k, v in row.items()))
    print(result["summary"])


if __name__ == "__main__":
    main()
