"""The bench of plans on one-model logs: its truth where it is known, how outcomes are counted, two logs of a case."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from scipy.special import expit

from llm_check.logs.planner.draw_plan import DrawOption
from llm_check.logs.planner.goal import Goal
from llm_check.logs.planner.one_model import plan_one_model
from tests.benches.plan_one_model import BETAS, CASES, outcome, played


def test_the_truth_of_one_draw_and_of_some_right() -> None:
    case = replace(CASES[0], signal=0.0)
    level = np.random.default_rng(0).normal(case.level, 1.2, 400_000)
    chance = expit(level)
    options = (
        DrawOption("best_of_n", 1), DrawOption("best_of_n", 4), DrawOption("soft_best_of_n", 4, 5.0),
        DrawOption("race", 4, 5.0), DrawOption("pass_at_k", 4),
    )  # fmt: skip
    found = played(case, options)
    # a reward that tells nothing: whatever is picked by it is as right as one draw
    assert found[:4] == pytest.approx(np.full(4, chance.mean()), abs=0.015)
    assert found[4] == pytest.approx(np.mean(1 - (1 - chance) ** 4), abs=0.01)


def test_answers_are_good_on_two_logs() -> None:
    case = next(c for c in CASES if c.value == "reward")
    truth = None
    for seed in (1, 2):
        plan = plan_one_model(
            case.log(seed), Goal(max_cost=case.budget, value="reward", tolerance=0.01), "draws", BETAS
        )
        truth = played(case, plan.options) if truth is None else truth
        row = outcome(case, plan, truth)
        assert row["clear"] and row["answered"] and row["regret"] <= 0.01 and not row["harm"]
