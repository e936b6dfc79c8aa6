"""Are plans on one-model logs right where the truth is known? `python -m tests.benches.plan_one_model`.

Worlds are laws of (right or wrong, answer, reward) by prompt; the truth of every option is its mean over many fresh
prompts with fresh draws, played out here without the project's code, all options on the same draws. Counted: answers
where the gain, of the largest estimate over one draw, exceeds three standard errors; answers whose truth lies more than
0.01 of the value's range below the best of the budget (regret); answers truly worse than one draw (harm).
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import pyarrow as pa
import typer
from scipy.special import expit

from gsi_theory.runs.artifact import provenance, write_artifact
from gsi_theory.runs.progress import progress_bar
from gsi_theory.types import Flags, Floats, Ints
from llm_check.logs.log import Log
from llm_check.logs.planner.best_option import mean_error
from llm_check.logs.planner.draw_plan import TOLERANCE, DrawOption, DrawPlan
from llm_check.logs.planner.goal import Goal
from llm_check.logs.planner.one_model import plan_one_model

__all__ = ["CASES", "Case", "outcome", "played"]

BETAS = (5.0,)  # of soft best-of-n and race: one is a third of the time of three
WRONG = 6  # different wrong answers
TRUTH = 30_000  # prompts of the truth


@dataclass(frozen=True)
class Case:
    """signal: how far the rewards of right and wrong draws lie apart, in deviations; hacked: share of draws that are
    wrong and look best; mode: share of wrong draws with one common answer; level: mean log-odds of being right; value;
    prompts and draws of the log; budget in draws; votes: whether draws have answers."""

    name: str
    signal: float
    hacked: float
    mode: float
    level: float
    value: str
    prompts: int
    budget: float
    draws: int = 32
    votes: bool = True

    def drawn(self, rng: np.random.Generator, prompts: int, draws: int) -> tuple[Flags, Ints, Floats]:
        """right, answer (0 the right one), reward, each (prompts, draws)."""
        shape = prompts, draws
        right = rng.random(shape) < expit(rng.normal(self.level, 1.2, (prompts, 1)))
        hacked = rng.random(shape) < self.hacked
        right &= ~hacked
        wrong = np.where(rng.random(shape) < self.mode, 1, rng.integers(1, 1 + WRONG, shape))
        score = rng.normal(0.0, 0.7, (prompts, 1)) + self.signal * right + rng.normal(size=shape) + 3.0 * hacked
        return right, np.where(right, 0, wrong), expit(score - 0.5 * self.signal)

    def log(self, seed: int) -> Log:
        """A log of this world."""
        right, answer, reward = self.drawn(np.random.default_rng([seed, 1]), self.prompts, self.draws)
        rows = right.size
        columns: dict[str, Any] = {
            "prompt_id": np.repeat([f"p{i}" for i in range(self.prompts)], self.draws),
            "step": np.zeros(rows, dtype=np.int32), "source": ["one"] * rows,
            "candidate": np.tile(np.arange(self.draws, dtype=np.int32), self.prompts),
            "reward": reward.ravel(), "correct": right.ravel(),
        }  # fmt: skip
        if self.votes:
            columns["answer"] = [str(a) for a in answer.ravel().tolist()]
        return Log(pa.table(columns), 1, {"facts": {"iid": True}})


CASES = (
    Case("good reward", 1.5, 0.0, 0.2, -0.3, "correct", 150, np.inf),
    Case("good reward", 1.5, 0.0, 0.2, -0.3, "correct", 400, np.inf),
    Case("weak reward", 0.4, 0.0, 0.2, 0.3, "correct", 150, 8.0),
    Case("hacked reward", 1.5, 0.05, 0.2, 0.0, "correct", 150, np.inf),
    Case("hacked, no answers", 1.5, 0.05, 0.2, 0.0, "correct", 150, 16.0, votes=False),
    Case("no answers", 1.0, 0.0, 0.2, -0.3, "correct", 150, 16.0, votes=False),
    Case("the reward itself", 1.0, 0.0, 0.2, -0.3, "reward", 60, 16.0),
    Case("useless, wrong mode", 0.0, 0.0, 0.9, -0.4, "correct", 150, np.inf),
    Case("few prompts", 0.8, 0.02, 0.4, 0.0, "correct", 40, np.inf, draws=16),
    Case("reward slightly wrong", -0.1, 0.0, 0.5, 0.0, "correct", 40, 16.0, draws=16, votes=False),
)


def played(case: Case, options: tuple[DrawOption, ...], seed: int = 0) -> Floats:
    """True value (S,) of the options, played on the same draws."""
    rng = np.random.default_rng([seed, 2])
    right, answer, reward = case.drawn(rng, TRUTH, case.draws)
    worth = right.astype(np.float64) if case.value == "correct" else reward
    exponential, uniform = rng.standard_exponential(reward.shape), rng.random(reward.shape)
    rows = np.arange(TRUTH)
    found = np.empty(len(options))
    for s, o in enumerate(options):
        r, n = reward[:, : o.n], o.n
        if o.method in ("majority", "weighted_majority") and n > 1:
            weight = np.ones_like(r) if o.method == "majority" else r
            votes = np.stack([np.where(answer[:, :n] == a, weight, 0.0).sum(axis=1) for a in range(1 + WRONG)], axis=1)
            top = np.isclose(votes, votes.max(axis=1, keepdims=True), rtol=1e-12, atol=0)
            found[s] = float(np.mean(top[:, 0] / top.sum(axis=1)))
            continue
        if o.method == "pass_at_k":
            found[s] = float(np.mean(right[:, :n].any(axis=1)))
            continue
        if o.method == "stopping" and o.threshold is not None:
            passed = r >= o.threshold
            at = np.where(passed.any(axis=1), passed.argmax(axis=1), r.argmax(axis=1))
            found[s] = float(np.mean(worth[rows, at]))
            continue
        score = r
        if o.beta is not None:
            noise = exponential if o.method == "soft_best_of_n" else uniform
            score = o.beta * r - np.log(noise[:, :n])
        found[s] = float(np.mean(worth[rows, score.argmax(axis=1)]))
    return found


def outcome(case: Case, plan: DrawPlan, truth: Floats) -> dict[str, Any]:
    """What the plan answered, and how that turned out."""
    base, chosen = plan.baseline, plan.recommendation
    means = plan.values.mean(axis=1)
    top = int(np.where(plan.allowed, means, -np.inf).argmax())
    gap, error = mean_error((plan.values[top] - plan.values[base])[None])
    width = plan.bounds[1] - plan.bounds[0]
    best = float(truth[plan.allowed].max())
    row = {"clear": bool(gap[0] > 3.0 * error[0]), "answered": chosen is not None, "regret": None, "harm": False,
           "covered": True, "largest_regret": (best - truth[top]) / width}  # fmt: skip
    if chosen is not None and plan.choice.worth is not None:
        row["regret"] = (best - truth[chosen]) / width
        row["harm"] = bool(chosen != base and truth[chosen] < truth[base])
        row["covered"] = bool(plan.choice.worth.low <= truth[chosen] <= plan.choice.worth.high)
    return row


def main(
    logs: Annotated[int, typer.Option(min=1, help="Logs of each case.")] = 25,
    seed: Annotated[int, typer.Option(min=0, help="Seed of every random stream.")] = 0,
    out: Annotated[Path | None, typer.Option(help="Artifact to write.")] = None,
) -> None:
    """Answers, regret and harm by case."""
    rows: list[dict[str, Any]] = []
    with progress_bar("plan") as report:
        for k, case in enumerate(CASES):
            known: dict[DrawOption, float] = {}
            for log in range(logs):
                goal = Goal(max_cost=case.budget, value=case.value, tolerance=TOLERANCE)
                plan = plan_one_model(
                    case.log(1000 * seed + log), goal, "draws", BETAS, stated_range=(0.0, 1.0), seed=seed
                )
                each = [replace(o, mean_draws=None) for o in plan.options]
                new = tuple(o for o in each if o not in known)
                known |= dict(zip(new, played(case, new, seed).tolist(), strict=True)) if new else {}
                truth = np.array([known[o] for o in each])
                rows.append({"case": f"{case.name}, {case.prompts} prompts", **outcome(case, plan, truth)})
                report(k * logs + log + 1, len(CASES) * logs)
            print(f"{rows[-1]['case']:<34}", _said(rows[-logs:]), flush=True)
    print(f"{'ALL':<34}", _said(rows))
    if out is not None:
        table = {key: [row[key] for row in rows] for key in rows[0]}
        command = f"python -m tests.benches.plan_one_model --logs {logs} --seed {seed}"
        write_artifact(out, "bench_plan_one_model", provenance(command, seed), {"all": _said(rows)}, {"logs": table})


def _said(rows: list[dict[str, Any]]) -> str:
    clear = [r for r in rows if r["clear"]]
    told = [r for r in rows if r["answered"]]
    good = sum(r["regret"] <= 0.01 for r in told)
    naive = sum(r["largest_regret"] <= 0.01 for r in rows)
    return (
        f"answered {sum(r['answered'] for r in clear)} of {len(clear)} clear, {len(told)} of all {len(rows)}; "
        f"regret ≤ 0.01 in {good} (largest estimate {naive} of {len(rows)}); harm {sum(r['harm'] for r in told)}; "
        f"interval holds the truth in {sum(r['covered'] for r in told)}"
    )


if __name__ == "__main__":
    typer.run(main)
