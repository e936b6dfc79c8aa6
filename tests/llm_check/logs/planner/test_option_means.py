"""Who decides and both intervals in a plan's answer; advantages that rewards leave; sizes that a pool records."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from gsi_theory import InputError
from gsi_theory.cli import main
from gsi_theory.runs.costs import Sizes
from llm_check.logs.planner import recommendation
from llm_check.logs.planner.best_option import behind_best
from llm_check.logs.planner.goal import Goal
from llm_check.logs.planner.option_means import option_decides, option_intervals
from llm_check.logs.planner.option_table import plan_table
from llm_check.logs.planner.scheme_grid import make_grid, stated_option
from llm_check.logs.planner.setup import DEFAULT_MODELS, recorded_sizes, stated_setup
from llm_check.logs.pools.pool import Pool, write_pool
from tests.benches.plan import WORLDS, FiniteWorld, truth


@pytest.fixture(scope="module")
def world() -> FiniteWorld:
    return WORLDS["plain"](np.random.default_rng(0), 60)


@pytest.fixture(scope="module")
def pool(world: FiniteWorld) -> Pool:
    return world.pool(14, 24, 1)


def test_every_option_has_the_value_of_the_table_at_these_prompts(pool: Pool) -> None:
    arrays = pool.arrays
    grid = make_grid(arrays, arrays.blocks, (2.0, 8.0), (1, 4), thresholds=(0.5,))
    table = plan_table(arrays, arrays.blocks, grid, ["reward"], None)
    for s, option in enumerate(table.options):
        found = option_intervals(arrays, arrays.blocks, option, "reward", (0.0, 1.0))
        over, these = found.over_prompts, found.these_prompts
        assert over is not None and float(these.value) == pytest.approx(table.values[0, s].mean(), abs=1e-9), option
        assert over.value == pytest.approx(float(these.value)) and float(these.stderr) > 0.0
        assert float(over.stderr) == pytest.approx(table.values[0, s].std(ddof=1) / np.sqrt(14))


def test_intervals_of_these_prompts_cover_their_truth(world: FiniteWorld) -> None:
    """Methods that read rewards alone, whose error has code of its own: 95 % of 150 pools of the same ten prompts."""
    some = FiniteWorld(world.log_draft[:10], world.log_base[:10], world.reward[:10])
    arrays = some.every_prompt(24, 0).arrays
    grid = make_grid(arrays, arrays.blocks, (5.0,), (1, 4), ("softmax",), thresholds=(0.6,))
    options = [o for o in grid.options() if not o.weighs_ratio]
    exact, inside = truth(some, options)[0], np.zeros(len(options))
    for seed in range(150):
        arrays = some.every_prompt(24, seed).arrays
        for s, option in enumerate(options):
            these = option_intervals(arrays, arrays.blocks, option, "reward", (0.0, 1.0)).these_prompts
            inside[s] += float(these.low) <= exact[s] <= float(these.high)
    least = 150 * 0.95 - 3.5 * np.sqrt(150 * 0.95 * 0.05)
    assert {o.method for o in options} >= {"rsd", "draft", "base", "best_of_n_draft", "soft_bon_base"}
    assert (inside >= least).all(), dict(zip([o.text() for o in options], inside, strict=True))
    assert (inside < 150).any()


def _plan(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> Any:
    with pytest.raises(SystemExit) as ended:
        main(["plan", *arguments])
    assert ended.value.code == 0
    return capsys.readouterr().out


def test_who_decides_is_in_the_answer(pool: Pool, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = str(tmp_path / "pool.parquet")
    write_pool(path, pool.table, {})
    asked = [path, "--beta", "2,8", "--n", "1,4", "--tolerance", "0.4", "--decides", "3,5,0.5,gsi_race"]
    answer = json.loads(_plan([*asked, "--json"], capsys))
    found = answer["decides"]
    arrays = pool.arrays
    exact = option_decides(arrays, arrays.blocks, stated_option("3,5,0.5,gsi_race"), "reward", (0.0, 1.0))
    assert found["option"]["method"] == "gsi_race" and found["prompts"] == 14
    assert [found[f"gain_{name}"] for name in ("reward", "ratio", "gate")] == pytest.approx(np.diff(exact.values))
    assert found["ratio_share"] == pytest.approx(exact.ratio_share) and found["by_reward_se"] > 0
    one = answer["recommendation"]
    assert one["low"] < one["low_these"] < one["value"] < one["high_these"] < one["high"]
    assert one["command"].startswith(f"gsi decode --method {one['method']} ")
    said = " ".join(_plan(asked, capsys).split())
    assert "who decides: of gsi_race, n = 3, β = 5, tilted reward ≥ 0.5" in said
    assert said.index("over prompts") < said.index("for these prompts") and "play it:" in said


def test_one_prompt_shows_nothing_of_others(world: FiniteWorld) -> None:
    found = recommendation.plan(world.pool(1, 40, 3), Goal(tolerance=0.9), betas=(2.0,), ns=(1, 4), thresholds=(0.5,))
    record = found.record()
    assert record["recommendation"]["low"] is None and record["recommendation"]["low_these"] is not None
    assert record["decides"]["gain_ratio_low"] is None and record["decides"]["by_ratio_se"] is None


def test_no_advantage_exceeds_what_rewards_leave(world: FiniteWorld) -> None:
    """Whatever the range of rewards, also one at which numbers end."""
    for high in (1.0, 2.0, 1e300):
        found = recommendation.plan(
            world.pool(6, 16, 3), Goal(tolerance=1e-6), betas=(2.0, 8.0), ns=(1, 4, 8), stated_range=(0.0, high)
        )
        assert found.recommendation is None or found.shortfall <= 1e-6 * high
        assert found.shortfall <= high - found.values.min()
        assert max(map(len, found.reason.split())) < 60
    zero = FiniteWorld(world.log_draft, world.log_base, np.zeros_like(world.reward)).pool(4, 16, 0)
    for high in (1.0, 1e300):
        found = recommendation.plan(zero, Goal(), betas=(2.0,), ns=(1, 4), stated_range=(0.0, high))
        assert found.shortfall <= high


def test_the_ceiling_bounds_and_keeps_the_level() -> None:
    """Twelve options just below the ceiling: the bound of a candidate is at most what it lacks, and its error; in 95 %
    of samples no bound of any candidate is below what the best option has over it."""
    rng, truth_, held = np.random.default_rng(3), np.linspace(0.9, 0.97, 12), 0
    every = np.arange(12)
    for seed in range(400):
        noise = 0.4 * rng.normal(size=(12, 30)) * np.linspace(0.2, 1.0, 12)[:, None]
        values = truth_[:, None] + noise
        wide = behind_best(values, every, np.zeros((12, 12)), seed)
        capped = behind_best(values, every, np.zeros((12, 12)), seed, 1.0)
        held += bool((capped.shortfall >= truth_.max() - truth_).all())
        error = values.std(axis=1, ddof=1) / np.sqrt(30)
        assert (capped.shortfall <= np.maximum(1.0 - values.mean(axis=1) + 6.0 * error, 0.0) + 1e-12).all()
        # what the ceiling costs: quantiles of 96 % in place of 95 %, 0.1 standard errors of a difference and luck
        assert (capped.shortfall <= wide.shortfall + 0.3 * 0.4 * np.sqrt(2.0 / 30.0)).all()
    assert held >= 400 * 0.95 - 3.0 * np.sqrt(400 * 0.95 * 0.05)
    # an option that is never off leaves what it lacks, whatever the noise of the others
    values[0] = 0.99
    assert behind_best(values, np.array([0]), np.zeros((1, 12)), 0, 1.0).shortfall[0] <= 0.01 + 1e-12


def test_sizes_are_those_that_the_pool_records(pool: Pool) -> None:
    known = {"draft": {"parameters": 10}, "base": {"parameters": 30}, "reward": {"parameters": 0}}
    assert recorded_sizes(known) == Sizes(10.0, 30.0, 1.0)
    for broken in ({}, {"draft": None}, {"parameters": True}, {"parameters": -1}, {"parameters": "7B"}):
        assert recorded_sizes(known | {"base": broken}) is None
    asked: Any = ("flops", None, None, None, 500.0, 100.0)
    assert stated_setup(*asked, known).sizes == Sizes(10.0, 30.0, 1.0)
    assert stated_setup(*asked, {}) == stated_setup("flops", None, DEFAULT_MODELS, None, 500.0, 100.0, known)
    timed = stated_setup("seconds", "h100", None, None, 500.0, 100.0, known)
    assert timed.trio is not None and timed.trio.base.parameters == 30.0 and timed.recorded
    with pytest.raises(InputError, match="--timings"):
        stated_setup("flops", None, None, "1,2,3", 500.0, 100.0, known)
    priced = recommendation.plan(Pool(pool.arrays, known), betas=(2.0,), ns=(1, 2), thresholds=(0.5,))
    alone = next(s for s, o in enumerate(priced.table.options) if o.method == "base")
    assert priced.costs[alone] == pytest.approx(2.0 * 30.0 * priced.table.base_tokens)
    assert "as the pool counts them" in priced.assumptions[0]
