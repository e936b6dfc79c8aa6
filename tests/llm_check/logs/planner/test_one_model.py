"""Plans on logs of one model: values against subsets, no harm, no answer without the key, what is said and refused."""

from __future__ import annotations

import json
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from typer.testing import CliRunner

from gsi_theory.errors import InputError
from gsi_theory.types import Floats
from llm_check import plan
from llm_check.logs.command_plan import app
from llm_check.logs.log import Log, write_log
from llm_check.logs.planner.goal import Goal
from llm_check.logs.planner.one_model import plan_one_model
from llm_check.logs.planner.plan_log import plan_draws
from llm_check.logs.planner.safe_choice import Contest, regret_chance, safe_choice


def _table(prompts: int, draws: list[int], seed: int = 0, signal: float = 3.0, **columns: Any) -> pa.Table:
    """Draws right with chance one half on average; the reward tells them apart by `signal`."""
    rng, rows = np.random.default_rng(seed), []
    for p in range(prompts):
        chance = rng.beta(2, 2)
        for k in range(draws[p % len(draws)]):
            right = bool(rng.random() < chance)
            score = signal * (right - 0.5) + rng.normal()
            rows.append({"prompt_id": f"p{p}", "step": 0, "source": "one", "candidate": k,
                         "reward": float(1 / (1 + np.exp(-score))), "correct": right,
                         "answer": "yes" if right else f"no{rng.integers(4)}"})  # fmt: skip
    table = pa.Table.from_pylist(rows)
    for name, value in columns.items():
        table = table.append_column(name, pa.array([value] * table.num_rows))
    return table


def _log(*args: Any, facts: dict[str, Any] | None = None, drop: tuple[str, ...] = (), **kwargs: Any) -> Log:
    return Log(_table(*args, **kwargs).drop_columns(list(drop)), 1, {"facts": facts or {"iid": True}})


def _by_subsets(log: Log, n: int, method: str) -> Floats:
    """Value at every prompt: mean over all n-subsets."""
    rows: dict[str, list[tuple[float, bool, str]]] = {}
    for row in log.table.to_pylist():
        rows.setdefault(row["prompt_id"], []).append((row["reward"], row["correct"], row["answer"]))
    out = []
    for name in sorted(rows):
        each = []
        for some in combinations(rows[name], n):
            if method == "best_of_n":
                each.append(float(max(some)[1]))
                continue
            votes: dict[str, float] = {}
            for reward, _, answer in some:
                votes[answer] = votes.get(answer, 0.0) + (reward if method == "weighted_majority" else 1.0)
            top = [a for a, v in votes.items() if np.isclose(v, max(votes.values()), rtol=1e-12, atol=0)]
            each.append(float("yes" in top) / len(top))
        out.append(np.mean(each))
    return np.array(out)


def test_values_are_means_over_all_subsets() -> None:
    log = _log(6, [7])
    found = plan_one_model(log, Goal(value="correct"), ns=[1, 3, 5])
    for s, o in enumerate(found.options):
        if o.method in ("best_of_n", "majority", "weighted_majority"):
            assert np.allclose(found.values[s], _by_subsets(log, o.n, o.method), rtol=0, atol=1e-12)
    assert {o.method for o in found.options} == {
        "best_of_n", "soft_best_of_n", "race", "majority", "weighted_majority", "pass_at_k", "stopping"
    }  # fmt: skip
    assert sum(o.n == 1 for o in found.options) == 1  # of one draw every selector is alike


def test_a_good_reward_is_used_up_to_the_budget() -> None:
    found = plan_one_model(_log(80, [16]), Goal(value="reward", max_cost=5.0, tolerance=0.01), thresholds=())
    assert found.recommendation is not None
    option = found.options[found.recommendation]
    assert (option.method, option.n) == ("best_of_n", 5)
    record = found.record()["recommendation"]
    assert record["gain_low"] > 0 and record["low"] <= record["value"] <= record["high"] and record["cost"] == 5.0
    assert record["command"] is None and record["rule"] == "max"


def test_what_needs_the_answer_key_is_labelled_and_never_recommended() -> None:
    found = plan_one_model(_log(60, [8]), Goal(value="correct", tolerance=0.05))
    keyed = [o.needs_key for o in found.options if o.method == "pass_at_k"]
    assert keyed and all(keyed) and not any(found.allowed[s] for s, o in enumerate(found.options) if o.needs_key)
    assert not {found.options[s].method for s in found.front} & {"pass_at_k"}
    graded = plan_one_model(
        _log(60, [8], facts={"iid": True, "reward_is_grade": True}), Goal(value="correct", tolerance=0.05)
    )
    free = {o.method for o in graded.options if not o.needs_key}
    assert free == {"best_of_n", "majority"}  # one draw, and votes that no reward weighs
    assert all(o.needs_key or o.method == "majority" or o.n == 1 for o in graded.options)


def test_nothing_is_recommended_from_dependent_draws() -> None:
    found = plan_one_model(_log(60, [8], facts={"iid": False, "how": "beam search"}), Goal(value="correct"))
    assert found.recommendation is None and "beam search" in found.reason
    json.dumps(found.record(), allow_nan=False)


def test_a_useless_reward_is_not_said_to_help() -> None:
    for seed in range(5):
        found = plan_one_model(_log(60, [8], seed=seed, signal=0.0, drop=("answer",)), Goal(value="correct"))
        chosen = found.recommendation
        assert chosen is None or chosen == found.baseline
        if chosen is None:
            assert found.reason.startswith("cannot tell") and found.choice.improve


def test_ragged_logs_say_how_many_speak() -> None:
    found = plan_one_model(_log(60, [4, 16, 16]), Goal(value="correct", tolerance=0.1))
    assert found.values.shape[1] == 40 and any("40 of 60 prompts" in line for line in found.limits)
    record = found.record()
    speaking = {o["n"]: o["prompts"] for o in record["options"]}
    assert speaking[4] == 60 and speaking[8] == 40 and speaking[16] == 40
    asked = plan_one_model(_log(60, [4, 4, 16]), Goal(value="correct", tolerance=0.1), ns=[2, 16])
    assert max(o.n for o in asked.options) == 2 and any("n = 16" in line for line in asked.limits)


def test_few_prompts_tell_nothing() -> None:
    found = plan_one_model(_log(3, [8]), Goal(value="correct"))
    assert found.recommendation is None and "3 prompts" in found.reason
    json.dumps(found.record(), allow_nan=False)


def test_costs_in_tokens_and_budgets_that_buy_nothing() -> None:
    log = _log(30, [8], n_tokens=40)
    found = plan_one_model(log, Goal(value="reward", max_cost=100.0), "tokens")
    assert found.costs.tolist() == pytest.approx([40.0 * (o.mean_draws or o.n) for o in found.options], rel=1e-14)
    assert found.recommendation is None or found.costs[found.recommendation] <= 100.0
    nothing = plan_one_model(log, Goal(value="reward", max_cost=0.5))
    assert nothing.recommendation is None and "the cheapest is 1" in nothing.reason


@pytest.mark.parametrize(
    "change, message",
    [
        ({"goal": Goal(within=0.1)}, "no base"),
        ({"goal": Goal(max_kl=0.1)}, "no bound"),
        ({"goal": Goal(value="gold_reward")}, "gold_reward"),
        ({"unit": "tokens"}, "tokens of a draw"),
        ({"unit": "flops"}, "give one of draws, tokens"),
        ({"ns": [99]}, "8 draws or fewer"),
        ({"stated_range": (0.0, 0.5)}, "reward range"),
    ],
)
def test_what_cannot_be_asked_is_refused(change: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        plan_one_model(_log(10, [8]), **change)


def test_a_stated_range_is_the_one_that_counts() -> None:
    assert plan_one_model(_log(10, [8]), Goal(value="reward"), stated_range=(-1.0, 2.0)).bounds == (-1.0, 2.0)
    table = _table(10, [8])
    table = table.set_column(table.column_names.index("reward"), "reward", pa.array([1.0] * 80))
    with pytest.raises(InputError, match="reward range 1 1"):
        plan_one_model(Log(table, 1, {"facts": {"iid": True}}), stated_range=(1.0, 1.0))


def test_a_log_of_answers_and_grades_alone_has_votes() -> None:
    found = plan_draws(_log(60, [9], drop=("reward",)))
    assert found.value == "correct" and {o.method for o in found.options} == {"majority", "pass_at_k"}
    with pytest.raises(InputError, match="thresholds"):
        plan_draws(_log(6, [4], drop=("reward",)), thresholds=[0.5])
    with pytest.raises(InputError, match="finite rewards"):
        plan_draws(_log(6, [4]), thresholds=[np.nan])


def test_the_command_takes_either_kind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)  # a long path is longer than a line
    path = Path("log.parquet")
    write_log(path, _table(40, [8]), {"facts": {"iid": True}})
    run = CliRunner().invoke(app, [str(path), "--value", "correct", "--max-cost", "4", "--tolerance", "0.1", "--json"])
    assert run.exit_code == 0, run.output
    record = json.loads(run.stdout)
    assert record["kind"] == "one_model" and record["schema"] == 2 and record["recommendation"]["cost"] <= 4
    shown = CliRunner().invoke(app, [str(path), "--value", "correct"])
    assert shown.exit_code == 0 and "Pareto front" in shown.output and "answer key" in shown.output
    assert max(map(len, shown.stdout.splitlines())) <= 80
    refused = CliRunner().invoke(app, [str(path), "--decides", "8,5"])
    assert isinstance(refused.exception, InputError) and "--decides" in str(refused.exception)
    assert plan(path, Goal(value="correct", max_cost=4.0, tolerance=0.1)).record() == record


def _contest(values: Floats, **change: Any) -> Contest:
    every = np.ones(values.shape[0], dtype=np.bool_)
    fields = {"costs": np.arange(1.0, 1.0 + values.shape[0]), "allowed": every, "rivals": every, "baseline": 0,
              "tolerance": 0.01, "bounds": (0.0, 1.0)}  # fmt: skip
    return Contest(values, **(fields | change))  # type: ignore[arg-type]


def test_the_chance_of_regret_is_that_of_students_t() -> None:
    """Two options: the chance that the other is better by more than the tolerance, over P − 1 degrees of freedom."""
    from scipy.stats import t

    rng = np.random.default_rng(1)
    values = np.stack([rng.normal(0.5, 0.1, 30), rng.normal(0.52, 0.1, 30)])
    apart = values[1] - values[0]
    chance = regret_chance(_contest(values, tolerance=0.02), values)
    error = apart.std(ddof=1) / np.sqrt(30)
    for s, sign in ((0, 1.0), (1, -1.0)):
        assert chance[s] == pytest.approx(t.sf((0.02 - sign * apart.mean()) / error, 29), abs=0.04)


def test_what_rounding_alone_makes_better_is_not_regretted() -> None:
    one = 1000.0 * np.random.default_rng(0).random(50)
    values, asked = np.stack([one, one + 5e-7, one + 1e-3]), {"tolerance": 0.0, "bounds": (0.0, 1000.0)}
    assert regret_chance(_contest(values, **asked), values).tolist() == [1.0, 1.0, 0.0]
    assert regret_chance(_contest(values[:2], **asked), values[:2]).tolist() == [0.0, 0.0]


def test_the_cheapest_of_equals_is_taken_and_harm_is_not() -> None:
    rng = np.random.default_rng(0)
    one = rng.random(50)
    values = np.stack([one, one + 0.1, one + 0.1, one - 0.1])
    names = ["a", "b", "c", "d"]
    found = safe_choice(_contest(values), names, "one draw")
    assert found.chosen == 1 and found.gain_low[3] == pytest.approx(-0.1)
    dear = safe_choice(_contest(values, allowed=np.array([False, False, False, True])), names, "one draw")
    assert dear.chosen is None and "no worse than one draw" in dear.reason
    # a gain that the prompts do not prove is no answer, even where nobody would regret it
    noisy = np.stack([one, one + rng.normal(0.01, 0.2, 50)])
    unsure = safe_choice(_contest(noisy, allowed=np.array([False, True]), tolerance=0.5), names, "one draw")
    assert unsure.chosen is None and "no worse than one draw" in unsure.reason
    goal = safe_choice(_contest(values, margin=0.05), names, "one draw")
    assert goal.chosen == 1
    far = safe_choice(_contest(values, margin=0.2), names, "one draw")
    assert far.chosen is None and "asked is +0.2" in far.reason
