"""`gsi plan`: goals, refusals, and the object it answers with."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from gsi_theory import InputError
from gsi_theory.cli import main
from gsi_theory.runs.costs import Sizes
from llm_check.logs.planner import recommendation
from llm_check.logs.planner.best_option import standing
from llm_check.logs.planner.goal import Goal
from llm_check.logs.planner.recommendation import Setup, _mean_error, choose_option, limits
from llm_check.logs.planner.scheme_grid import RULES
from llm_check.logs.planner.tail import Tail, tail_speaks
from llm_check.logs.pools.pool import Pool, pool_from_columns, write_pool
from llm_check.logs.pools.position_arrays import blocks
from tests.benches.plan import WORLDS, FiniteWorld
from tests.plants.pool_faults import Sampling, TokenWorld, drop_tokens

GRID: dict = {"betas": (1.0, 4.0), "ns": (1, 2, 4), "thresholds": (0.6,)}  # type: ignore[type-arg]


@pytest.fixture(scope="module")
def world() -> FiniteWorld:
    return WORLDS["plain"](np.random.default_rng(0), 60)


@pytest.fixture(scope="module")
def pool(world: FiniteWorld) -> Pool:
    return world.pool(40, 96, 1)


def test_best_within_a_budget(pool: Pool) -> None:
    free = recommendation.plan(pool, Goal(tolerance=0.05), **GRID)
    assert free.recommendation is not None
    cheap = recommendation.plan(pool, Goal(max_cost=float(np.median(free.costs)), tolerance=0.05), **GRID)
    assert cheap.recommendation is not None
    assert cheap.costs[cheap.recommendation] <= np.median(free.costs) < free.costs[free.recommendation]
    assert cheap.worth is not None and free.worth is not None
    assert cheap.worth.value < free.worth.value and free.worth.low < free.worth.value < free.worth.high
    assert free.worth.trusted and abs(free.worth.value - free.values[free.recommendation]) < 3 * free.worth.stderr
    near = recommendation.plan(pool, Goal(max_kl=9.0, tolerance=0.05), **GRID)
    assert near.recommendation is not None and near.guarantee.startswith("KL(π‖law) ≤")
    aimless = near.table.options[free.recommendation]
    assert aimless.record.weight != "best" or free.guarantee.startswith("none: best-of-n")
    # the front holds every best-within-budget answer by estimate
    assert free.values[free.front].max() == free.values.max()


def test_cheapest_for_a_gain_or_a_margin(pool: Pool) -> None:
    gain = recommendation.plan(pool, Goal(min_gain=0.1), **GRID)
    assert gain.recommendation is not None and gain.baseline is not None
    assert gain.table.options[gain.baseline].n == 1
    assert gain.values[gain.recommendation] - gain.values[gain.baseline] > 0.1
    within = recommendation.plan(pool, Goal(within=0.05, baseline_n=4), **GRID)
    assert within.recommendation is not None and within.baseline is not None
    assert within.values[within.recommendation] > within.values[within.baseline] - 0.05
    assert within.costs[within.recommendation] < within.costs[within.baseline]
    refused = recommendation.plan(pool, Goal(min_gain=0.9), **GRID)
    assert refused.recommendation is None and "cannot tell that any option is better" in refused.reason


def test_refusals_name_what_is_missing(pool: Pool, world: FiniteWorld) -> None:
    none = recommendation.plan(pool, Goal(max_cost=1.0), **GRID)
    assert none.recommendation is None and "the cheapest is" in none.reason
    strict = recommendation.plan(world.pool(12, 12, 0), Goal(tolerance=1e-4), **GRID)
    assert strict.recommendation is None and "may be better than" in strict.reason and "prompts" in strict.improve[0]
    kl = recommendation.plan(pool, Goal(max_kl=1e-6), **GRID)
    assert kl.recommendation is None and "nats of the tilted policy" in kl.reason
    wide = recommendation.plan(
        WORLDS["heavy tail"](np.random.default_rng(1), 30).pool(30, 24, 1), betas=(30.0,), ns=(1, 2, 4)
    )
    assert any(line.startswith("cannot tell the distance") and "β = 30: effective" in line for line in wide.limits)
    tail = Tail(20.0, 1.1, (40.0, 900.0), 90.0, 0.01, (64.0, 64.0), 1.0, 64, 64)
    table = replace(wide.table, tails={beta: replace(tail, beta=beta) for beta in (10.0, 20.0)})
    arrays = world.pool(3, 64, 0).arrays
    assert limits(blocks(arrays), table, (64,)) == [
        "cannot tell what unseen drafts do at β = 10, 20: k̂ = 1.1 of the drafts' weights; about 40 drafts would show "
        "their tail at the median position, about 900 at the hardest (64 are there)",
        "left out n of 64: the smallest set has 64 candidates, draw 2 n",
    ]


def test_prompts_of_few_candidates_do_not_hold_n_down(world: FiniteWorld) -> None:
    columns = world.pool(20, 32, 1).table.to_pydict()

    def short(prompts: set[str], most: int) -> recommendation.Plan:
        kept = [p not in prompts or c < most for p, c in zip(columns["prompt_id"], columns["candidate"], strict=True)]
        rows = {name: [x for x, k in zip(column, kept, strict=True) if k] for name, column in columns.items()}
        return recommendation.plan(pool_from_columns(rows), Goal(tolerance=0.9), betas=(2.0,), ns=(1, 2, 8, 32))

    plan = short({"p7"}, 4)
    assert {o.n for o in plan.table.options} == {1, 2, 8} and plan.table.positions == 19
    assert "with less than half the candidates of the median position and not used: 1 position" in plan.assumptions
    assert plan.limits[-1] == "left out n of 32: the smallest set has 32 candidates, draw 2 n"
    assert plan.table.tails[2.0].base == plan.table.tails[2.0].drafts == 32
    assert short({f"p{k}" for k in range(9)}, 15).table.positions == 11  # 4, 16, 16 and the like
    plan = short({f"p{k}" for k in range(9)}, 16)
    assert plan.table.positions == 20 and not any("median position" in line for line in plan.assumptions)


def test_the_base_alone_is_a_choice(world: FiniteWorld) -> None:
    """A draft larger than the base, and worse: drafting and scoring cost more than drawing from the base."""
    weak = replace(world, log_draft=np.log(np.full(world.log_draft.shape, 1.0 / world.log_draft.shape[1])))
    same = Setup(Sizes(9e9, 7e9, 1e9))
    plan = recommendation.plan(weak.pool(40, 64, 1), Goal(within=0.05, baseline_n=4), same, **GRID)
    assert plan.recommendation is not None
    assert plan.table.options[plan.recommendation].on_base
    assert plan.costs[plan.recommendation] <= plan.costs[plan.baseline]
    with pytest.raises(InputError, match="n ≤ 4 among the options: let the grid hold --n a number of 4 or less"):
        recommendation.plan(weak.pool(40, 64, 1), Goal(within=0.05, baseline_n=4), same, betas=(2.0,), ns=(8,))
    with pytest.raises(InputError, match="let the grid hold --rule softmax"):
        recommendation.plan(weak.pool(40, 64, 1), Goal(within=0.05), same, betas=(2.0,), ns=(1, 2), rules=("race",))
    # one draw is one draw under any rule
    alone = recommendation.plan(
        weak.pool(40, 64, 1), Goal(min_gain=0.05), same, betas=(2.0,), ns=(1, 2), rules=("race",)
    )
    assert alone.baseline is not None and alone.table.options[alone.baseline].n == 1


def test_what_would_help_does(pool: Pool, world: FiniteWorld) -> None:
    """The tolerance that a refusal names is enough; where the budget refuses, the budget is named."""
    close = GRID | {"betas": (4.0, 4.2), "thresholds": (0.2, 0.22)}
    refused = recommendation.plan(pool, Goal(tolerance=1e-5), **close)
    assert refused.recommendation is None
    named = float(refused.improve[0].split("--tolerance ")[1].rstrip(")"))
    assert recommendation.plan(pool, Goal(tolerance=named), **close).recommendation == refused.values.argmax()
    assert recommendation.plan(pool, Goal(tolerance=0.9 * named), **close).recommendation is None
    gain = recommendation.plan(pool, Goal(min_gain=0.1), **GRID)
    assert gain.recommendation is not None
    poor = recommendation.plan(pool, Goal(min_gain=0.1, max_cost=0.99 * gain.costs[gain.recommendation]), **GRID)
    assert poor.recommendation is None and (poor.improve[0].startswith("a larger budget") or "times" in poor.improve[0])
    least = recommendation.plan(pool, Goal(min_gain=0.1, max_cost=float(np.min(gain.costs))), **GRID)
    assert least.improve == ("a larger budget (--max-cost, --max-kl): options beyond it reach it",)
    fixed = recommendation.plan(world.pool(2, 60, 3), Goal(tolerance=1e-3), **GRID)
    assert fixed.recommendation is None and "candidates, or 10 prompts or more" in fixed.improve[0]
    assert fixed.shortfall <= 1.0 and "prompts held fixed" in fixed.table.units


def test_unseen_drafts_count_in_every_goal(pool: Pool) -> None:
    """Where k̂ says that drafts do not show their tail, what unseen ones may do counts against a gain too: of 3,840
    drafts, n of 4 may hold 4 log(20)/3840 = 0.0031 of the range; the same values with a light tail are enough."""
    plan = recommendation.plan(pool, Goal(min_gain=0.1), **GRID)
    assert plan.recommendation is not None and plan.baseline is not None
    values, costs, none = plan.table.values[0], plan.costs, np.full(plan.costs.size, np.inf)
    drafts = np.array([o.weighs_ratio and o.n > 1 for o in plan.table.options])
    costs = np.where(drafts, costs, np.inf)
    goal = Goal(min_gain=0.1, max_cost=1e300)
    lower = standing(values[drafts], values[plan.baseline]).lower.max()
    edge = Goal(min_gain=float(lower) - 0.001, max_cost=1e300)
    for khat, enough in ((0.3, True), (0.9, False)):
        tails = {beta: replace(t, khat=khat) for beta, t in plan.table.tails.items()}
        table = replace(plan.table, tails=tails)
        assert choose_option(table, values, costs, none, goal, (0.0, 1.0))[0].chosen is not None
        found = choose_option(table, values, costs, none, edge, (0.0, 1.0))[0]
        assert (found.chosen is not None) == enough
    assert "for unseen drafts at β = 4: k̂ = 0.9" in found.reason and "times as many prompts" in found.improve[0]


def test_distances_are_not_negative_and_stay_below_the_limit_with_their_error(pool: Pool) -> None:
    mean, error = _mean_error(np.array([[-0.1, -0.3], [0.1, np.inf], [0.1, 0.3]]))
    assert mean.tolist() == [0.0, np.inf, pytest.approx(0.2)] and error[2] == pytest.approx(0.1)
    plan = recommendation.plan(pool, **GRID)
    speaks = np.array([tail_speaks(plan.table.tails[o.beta]) for o in plan.table.options])
    high = np.where(speaks, plan.kl_bound + 1.645 * plan.kl_bound_se, np.inf)
    nearest = int(high.argmin())
    assert 0.0 < plan.kl_bound[nearest] < high[nearest]
    inside = recommendation.plan(pool, Goal(max_kl=1.001 * float(high[nearest]), tolerance=0.5), **GRID)
    assert inside.recommendation == nearest
    between = recommendation.plan(pool, Goal(max_kl=0.999 * float(high[nearest]), tolerance=0.5), **GRID)
    assert between.recommendation is None and "nats of the tilted policy" in between.reason


def test_a_shortfall_is_at_most_the_range(pool: Pool) -> None:
    """Four drafts of heavy tail in all: unseen ones may do anything, but no value is above the largest reward: an
    option that rests on no drafts' weights is worse by at most what it lacks of it, and its error."""
    plan = recommendation.plan(pool, **GRID)
    tails = {beta: replace(t, khat=0.9) for beta, t in plan.table.tails.items()}
    few = replace(plan.table, tails=tails, drafts=4)
    none = np.full(plan.costs.size, np.inf)
    found = choose_option(few, plan.table.values[0], plan.costs, none, Goal(), (0.0, 1.0))[0]
    mean, error = plan.values, plan.errors
    assert found.chosen is None
    free = [s for s, o in enumerate(few.options) if not (o.weighs_ratio and o.n > 1)]
    top = max(free, key=lambda s: float(mean[s]))
    assert found.shortfall <= 1.0 - mean[top] + 4.0 * error[top] < 0.5
    assert "all that the largest reward leaves" in found.reason


def test_the_recommended_is_on_the_front_and_nothing_looks_better_for_less(world: FiniteWorld) -> None:
    for seed, goal in ((1, Goal(tolerance=0.05)), (2, Goal(tolerance=0.1)), (3, Goal(within=0.05, baseline_n=4)),
                       (4, Goal(min_gain=0.05)), (5, Goal(max_cost=1e13, tolerance=0.1))):  # fmt: skip
        plan = recommendation.plan(world.pool(40, 48, seed), goal, **GRID)
        s = plan.recommendation
        assert s is not None and s in plan.front
        assert (np.diff(plan.costs[plan.front]) > 0).all() and (np.diff(plan.values[plan.front]) > 0).all()
        assert not ((plan.costs <= plan.costs[s]) & (plan.values > plan.values[s])).any()


def test_the_recommended_is_shown_where_one_that_is_not_proved_looks_better(pool: Pool, monkeypatch: Any) -> None:
    real = recommendation.choose_option
    monkeypatch.setattr(
        recommendation,
        "choose_option",
        lambda *asked: (replace(real(*asked)[0], chosen=int(np.argmax(asked[2]))), None),
    )
    plan = recommendation.plan(pool, Goal(tolerance=0.05), **GRID)
    s = plan.recommendation
    assert s is not None and plan.costs[s] == plan.costs.max() and plan.values[s] < plan.values.max()
    assert plan.front[-1] == s and (np.diff(plan.costs[plan.front]) > 0).all()
    assert plan.reason.endswith("of those that look better at no more cost it cannot be said")


def test_given_twice_is_planned_once(pool: Pool) -> None:
    once = recommendation.plan(pool, Goal(), betas=(1.0, 4.0), ns=(1, 2), thresholds=(0.6,))
    twice = recommendation.plan(
        pool, Goal(), betas=(1.0, 4.0, 1.0), ns=(1, 2, 1), thresholds=(0.6, 0.6), rules=RULES * 2
    )
    assert twice.table.options == once.table.options and twice.assumptions == once.assumptions


def test_the_largest_reward_is_stated_or_said_to_be_the_pools_own(pool: Pool) -> None:
    goal = Goal(tolerance=0.05, max_kl=9.0)
    plain = recommendation.plan(pool, goal, **GRID)
    stated = recommendation.plan(pool, Goal(tolerance=0.05), **GRID, stated_range=(0.0, 2.0))
    most = float(np.max(pool.table["reward"].to_numpy()))
    assert plain.rewards.high == most and not plain.rewards.stated
    assert f"if there is no reward above {most:.3g}, the largest of this pool" in plain.guarantee
    assert (stated.rewards.low, stated.rewards.high, stated.rewards.stated) == (0.0, 2.0, True)
    assert all(stated.table.tails[b].unseen > t.unseen for b, t in plain.table.tails.items())
    known = replace(pool, metadata={"reward": {"low": 0.0, "high": 1.0}})
    there = recommendation.plan(known, goal, **GRID)
    assert (there.rewards.high, there.rewards.stated) == (1.0, True)
    assert "up to reward 1, the largest there is as stated" in there.guarantee


def test_invalid_pools_are_not_planned() -> None:
    columns = TokenWorld(30).columns(0, 32, Sampling(0.6), Sampling())
    plan = recommendation.plan(pool_from_columns(columns), **GRID)
    assert plan.recommendation is None and "temperature_mismatch" in plan.reason
    assert plan.improve and "temperature" in plan.improve[0]


def test_few_prompts_are_held_fixed(world: FiniteWorld) -> None:
    plan = recommendation.plan(world.pool(2, 60, 3), Goal(tolerance=0.2), **GRID)
    assert "held fixed" in plan.table.units and plan.table.values.shape[2] == 10
    assert plan.errors.max() < 0.2


def test_prompts_held_fixed_leave_room_for_what_no_draw_has_shown(world: FiniteWorld) -> None:
    # every candidate seen is correct: the spread is 0, what the interval says must not be
    pool = world.pool(6, 60, 3)
    every = pool_from_columns(pool.table.to_pydict() | {"correct": [True] * pool.table.num_rows})
    plan = recommendation.plan(every, Goal(value="correct", tolerance=0.5), **GRID)
    assert plan.table.fixed and plan.recommendation is not None and plan.worth is not None
    option = plan.table.options[plan.recommendation]
    n = option.n if option.threshold is None else max(option.n, option.n_base)
    assert plan.worth.value == pytest.approx(1.0) and plan.worth.high == pytest.approx(1.0)
    # missed by all 6 · 60 draws with probability 5 % or more, and among n of them
    assert plan.worth.low == pytest.approx(1.0 - n * np.log(20.0) / 360) and not plan.worth.trusted


def test_gold_that_turns_down_is_reported() -> None:
    base = WORLDS["plain"](np.random.default_rng(2), 60)
    pool = base.pool(60, 32, 0)
    reward = np.array(pool.table["reward"].to_pylist())
    gold = np.where(reward > 0.8, 0.0, reward)
    columns = pool.table.to_pydict() | {"gold_reward": gold.tolist()}
    plan = recommendation.plan(
        pool_from_columns(columns), Goal(), betas=(2.0, 20.0), ns=(1, 2, 4, 8), thresholds=(0.6,)
    )
    assert any(t.along == "n" and t.best.n < t.after.n for t in plan.turns)
    judged = recommendation.plan(
        pool_from_columns(columns), Goal(value="gold_reward", tolerance=0.1), betas=(2.0, 20.0), ns=(1, 2, 4, 8)
    )
    assert judged.values.max() < plan.values.max()


def test_bad_questions_are_refused(pool: Pool) -> None:
    with pytest.raises(InputError, match="both min_gain and within"):
        Goal(min_gain=0.1, within=0.1)
    for name, wrong in (("min_gain", np.nan), ("within", np.nan), ("within", -0.1), ("max_kl", np.nan),
                        ("max_kl", -1.0), ("max_cost", np.nan), ("baseline_n", 0), ("tolerance", 1.0)):  # fmt: skip
        with pytest.raises(InputError, match=f"{name} {wrong!r}: give"):
            Goal(**{name: wrong})
    with pytest.raises(InputError, match="gold_reward"):
        recommendation.plan(pool, Goal(value="gold_reward"), **GRID)
    with pytest.raises(InputError, match="name a device"):
        recommendation.plan(pool, Goal(), Setup(unit="seconds"), **GRID)
    with pytest.raises(InputError, match="draw more candidates"):
        recommendation.plan(pool, Goal(), betas=(1.0,), ns=(64,))
    with pytest.raises(InputError, match="above 0"):
        recommendation.plan(pool, Goal(), betas=(0.0,), ns=(1,))
    drafts = pool.table.to_pydict()
    only = [s == "draft" for s in drafts["source"]]
    with pytest.raises(InputError, match="both draft and base"):
        recommendation.plan(
            pool_from_columns({k: [x for x, o in zip(v, only, strict=True) if o] for k, v in drafts.items()}), **GRID
        )


def _run(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> tuple[int, str, str]:
    with pytest.raises(SystemExit) as stop:
        main(arguments)
    out = capsys.readouterr()
    return int(stop.value.code or 0), out.out, out.err


def test_command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    columns = drop_tokens(TokenWorld(12).columns(0, 24, Sampling(), Sampling()))
    path = str(tmp_path / "pool.parquet")
    write_pool(path, columns, {})
    short = ["--beta", "2,10", "--n", "1,2,4", "--threshold", "0.6", "--tolerance", "0.2"]
    code, out, _ = _run(["plan", path, "--json", *short, "--device", "h100", "--cost", "seconds"], capsys)
    answer = json.loads(out)
    assert code == 0 and set(answer) >= {"recommendation", "reason", "options", "left_out", "limits"}
    keys = {"rule", "gate", "n", "beta", "threshold", "value", "value_se", "cost", "kl_bound"}
    assert set(answer["recommendation"]) >= keys and all(set(option) >= keys for option in answer["options"])
    assert answer["recommendation"]["cost"] == answer["recommendation"]["seconds"]
    code, out, _ = _run(["plan", path, *short], capsys)
    assert code == 0 and "Recommended:" in out and "Pareto front" in out
    assert out.startswith("Costs are flops a step for a draft of 1.54B, a base of 7.62B and a reward model\nof 7.08B")
    assert max(map(len, out.replace(path, "").splitlines())) <= 80
    assert [line for line in out.splitlines() if line.startswith("→")], "the recommended line of the front is marked"
    assert answer["reward_range"]["stated"] is False and answer["seed"] == 0
    code, out, _ = _run(["plan", path, "--json", *short, "--reward-range", "0", "1", "--seed", "7"], capsys)
    answer = json.loads(out)
    assert code == 0 and answer["reward_range"] == {"low": 0.0, "high": 1.0, "stated": True} and answer["seed"] == 7
    assert answer["chosen"] in answer["front"] and answer["options"][answer["chosen"]]["on_front"]
    for wrong in (["--cost", "money"], ["--models", "a,b"], ["--device", "abacus"], ["--beta", "x"], ["--rule", "max"]):
        code, out, err = _run(["plan", path, *wrong], capsys)
        assert code == 2 and out == "" and err.startswith("gsi plan:"), wrong
