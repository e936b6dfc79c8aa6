"""Plans that stop at a reward: values and draws over all orders, costs, hacked rewards, long logs, what is said."""

from __future__ import annotations

import json
from itertools import permutations
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from typer.testing import CliRunner

from llm_check.logs.command_plan import app
from llm_check.logs.log import Log, write_log
from llm_check.logs.planner.draw_plan import DrawPlan
from llm_check.logs.planner.goal import Goal
from llm_check.logs.planner.one_model import plan_one_model
from llm_check.logs.pools import log_files


def _table(prompts: int, draws: int, seed: int = 0, hacked: float = 0.0, **columns: Any) -> pa.Table:
    """Right draws look better; `hacked` of the draws are wrong and look best of all; no answers to vote by."""
    rng, rows = np.random.default_rng(seed), []
    for p in range(prompts):
        chance = rng.beta(2, 2)
        for k in range(draws):
            fake = bool(rng.random() < hacked)
            right = bool(rng.random() < chance) and not fake
            score = 3.0 * (right - 0.5) + 5.0 * fake + rng.normal()
            rows.append({"prompt_id": f"p{p:03}", "step": 0, "source": "one", "candidate": k,
                         "reward": float(1 / (1 + np.exp(-score))), "correct": right})  # fmt: skip
    table = pa.Table.from_pylist(rows)
    for name, value in columns.items():
        table = table.append_column(name, pa.array(value))
    return table


def _planned(table: pa.Table, goal: Goal | None = None, **asked: Any) -> DrawPlan:
    log = Log(table, 1, {"facts": {"iid": True}})
    return plan_one_model(log, goal or Goal(value="correct", tolerance=0.02), **asked)


def _stopping(plan: DrawPlan) -> list[int]:
    return [s for s, o in enumerate(plan.options) if o.method == "stopping"]


def test_values_and_draws_are_means_over_all_orders_of_a_prompts_draws() -> None:
    table = _table(8, 6)
    found = _planned(table, ns=[1, 4, 6], thresholds=[0.3, 0.7])
    assert {(found.options[s].threshold, found.options[s].n) for s in _stopping(found)} == {
        (cut, n) for cut in (0.3, 0.7) for n in (4, 6)
    }
    reward, right = (
        table[name].to_numpy(zero_copy_only=False).reshape(8, 6).astype(float) for name in ("reward", "correct")
    )
    for s in _stopping(found):
        option, values, draws = found.options[s], [], []
        assert option.threshold is not None
        for p in range(8):
            each, number = [], []
            for order in permutations(range(6), option.n):
                stop = next((d for d, j in enumerate(order) if reward[p, j] >= option.threshold), None)
                winner = max(order, key=lambda j: reward[p, j]) if stop is None else order[stop]
                each.append(right[p, winner])
                number.append(option.n if stop is None else stop + 1)
            values.append(np.mean(each))
            draws.append(np.mean(number))
        assert np.allclose(found.values[s], values, rtol=0, atol=1e-12)
        assert option.mean_draws == pytest.approx(np.mean(draws), abs=1e-12) == found.costs[s]


def test_tokens_are_those_of_the_draws_made_prompt_by_prompt() -> None:
    """Long prompts that draw more cost more than the product of the means (Wald)."""
    table = _table(30, 8)
    long = np.repeat(np.arange(30), 8) % 3
    found = _planned(_table(30, 8, n_tokens=10 + 50 * long), unit="tokens", thresholds=[0.8])
    plain = _planned(table, thresholds=[0.8])
    rewards = table["reward"].to_numpy().reshape(30, 8)
    s = _stopping(found)[-1]
    option = found.options[s]
    assert option.mean_draws == plain.options[_stopping(plain)[-1]].mean_draws
    passed = (rewards >= 0.8).sum(axis=1)
    draws = np.array([9 / (a + 1) if a else 8.0 for a in passed])  # all 8 may be drawn
    assert option.n == 8 and found.costs[s] == pytest.approx(np.mean(draws * (10 + 50 * long[::8])), rel=1e-12)


def test_where_the_best_looking_are_wrong_stopping_early_is_recommended() -> None:
    found = _planned(_table(200, 16, hacked=0.06), Goal(value="correct", tolerance=0.02))
    assert found.recommendation is not None
    option = found.options[found.recommendation]
    assert option.method == "stopping" and option.mean_draws is not None and option.mean_draws < option.n
    record = found.record()["recommendation"]
    assert record["mean_draws"] == option.mean_draws == record["cost"] and record["threshold"] == option.threshold
    assert record["gain_low"] > 0 and record["rule"] == "max" and record["gate"] == "reward"
    best = max(found.values[s].mean() for s, o in enumerate(found.options) if o.method == "best_of_n")
    assert found.values[found.recommendation].mean() > best


def test_a_useless_reward_is_not_said_to_help_by_stopping() -> None:
    for seed in range(5):
        table = _table(60, 8, seed)
        shuffled = np.random.default_rng(seed).permutation(table["reward"].to_numpy())
        found = _planned(table.set_column(4, "reward", pa.array(shuffled)))
        assert found.recommendation is None or found.recommendation == found.baseline


def test_a_budget_counts_the_draws_that_are_made() -> None:
    found = _planned(_table(80, 16), Goal(value="reward", max_cost=3.0, tolerance=0.05))
    assert found.recommendation is not None
    option = found.options[found.recommendation]
    assert option.method == "stopping" and option.n > 3 and found.costs[found.recommendation] <= 3.0


def test_what_needs_the_key_is_no_rule_to_stop_by() -> None:
    log = Log(_table(60, 8), 1, {"facts": {"iid": True, "reward_is_grade": True}})
    found = plan_one_model(log, Goal(value="correct"))
    assert _stopping(found) and all(found.options[s].needs_key for s in _stopping(found))


def test_a_long_log_has_the_options_of_the_same_log_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    table = _table(40, 8)
    (tmp_path / "log").mkdir()
    for k in range(3):
        pq.write_table(table.take(pa.array(range(k, table.num_rows, 3))), tmp_path / "log" / f"{k}.parquet")
    monkeypatch.setattr(log_files, "GROUP_ROWS", 100)
    parts = plan_one_model(tmp_path / "log", Goal(value="correct", tolerance=0.02))
    whole = _planned(table)
    assert parts.options == whole.options and len(_stopping(whole)) >= 4
    assert np.array_equal(parts.values, whole.values) and np.array_equal(parts.costs, whole.costs)


def test_the_command_says_where_to_stop_and_how_many_are_drawn(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    write_log(Path("log.parquet"), _table(200, 16, hacked=0.06), {"facts": {"iid": True}})
    words = ["log.parquet", "--value", "correct", "--tolerance", "0.02"]
    shown = CliRunner().invoke(app, words)
    assert shown.exit_code == 0 and max(map(len, shown.output.splitlines())) <= 80
    said = " ".join(shown.output.split())
    assert "Recommended: stopping at the first reward ≥" in said and "draws on average" in said and "stop ≥" in said
    answer = json.loads(CliRunner().invoke(app, [*words, "--threshold", "0.6", "--json"]).stdout)
    assert {o["threshold"] for o in answer["options"] if o["method"] == "stopping"} == {0.6}
    assert all((o["mean_draws"] is None) == (o["method"] != "stopping") for o in answer["options"])
