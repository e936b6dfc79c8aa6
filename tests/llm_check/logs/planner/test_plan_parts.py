"""Parts of a plan against exact laws, hand arithmetic and brute force."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest

from gsi_theory import (
    Candidates,
    InputError,
    Instance,
    Scheme,
    divergence,
    gsi_law,
    selection_law,
    tilted_policy,
)
from gsi_theory.runs.costs import (
    DEVICES,
    SHAPES,
    Device,
    Shape,
    Sizes,
    Slowdown,
    Trio,
    gsi_seconds,
    soft_bon_seconds,
    step_cost,
)
from llm_check.logs.planner.best_option import cross_fit, pareto_front, pick_best, standing
from llm_check.logs.planner.calibration import calibrate
from llm_check.logs.planner.distance import UNBOUNDED, distances
from llm_check.logs.planner.goal import _times, unseen_effect
from llm_check.logs.planner.notes import notes
from llm_check.logs.planner.overuse import turns
from llm_check.logs.planner.page_artifact import _spread
from llm_check.logs.planner.scheme_grid import Grid, Option, make_grid
from llm_check.logs.planner.setup import Setup
from llm_check.logs.planner.tail import Tail
from llm_check.logs.planner.values import Sets, evaluate, sets_of
from llm_check.logs.pools.position_arrays import PositionBlock, blocks
from tests.benches.plan import WORLDS, truth

GRID = Grid(
    ("softmax", "race"),
    (1.0, 6.0),
    (1, 2, 5),
    (1, 4),
    {1.0: (0.2, 0.9), 6.0: (0.4,)},
    {1.0: (1.0,), 6.0: (0.5,)},
    (0.3, 0.6),
)


def _scheme(option: Option) -> Scheme:
    gate = "score" if option.gate == "score" else "tilted_reward"
    return Scheme(option.beta, option.n, option.threshold, option.rule, option.n_base, gate)


def _sets(rng: np.random.Generator, n: int, n_base: int) -> Sets:
    reward, base_reward = rng.random((1, n)), rng.random((1, n_base))
    return Sets(rng.normal(size=(1, n)), reward, base_reward, reward[None], base_reward[None])


def _by_reward(option: Option, draft: np.ndarray, base: np.ndarray) -> tuple[float, float]:
    """(value, P(reject)) of a method that reads rewards alone, draws with replacement, by hand."""
    if option.method == "rsd":
        kept = draft >= option.threshold
        return float((draft * kept).mean() + (1.0 - kept.mean()) * base.mean()), float(1.0 - kept.mean())
    reward = base if option.on_base else draft
    refused = 1.0 if option.on_base else 0.0
    if option.n == 1:
        return float(reward.mean()), refused
    if option.record.weight == "best":
        ranked = np.sort(reward)
        upto = np.arange(1, ranked.size + 1) / ranked.size
        return float(np.diff(np.r_[0.0, upto**option.n]) @ ranked), refused
    mass = np.full(reward.size, -np.log(reward.size))
    law = selection_law(mass, option.beta * reward, option.n, option.rule).log_prob
    return float(np.exp(law) @ reward), refused


def test_plug_in_values_are_the_exact_law_on_the_pool() -> None:
    sets, options = _sets(np.random.default_rng(0), 11, 7), GRID.options()
    found = evaluate(sets, GRID, options, "plug-in")
    draft = Candidates(np.full(11, -np.log(11)), sets.reward[0], sets.log_ratio[0])
    base = Candidates(np.full(7, -np.log(7)), sets.base_reward[0], np.zeros(7))
    assert {o.method for o in options} >= {"rsd", "best_of_n_draft", "best_of_n_base", "soft_bon_draft"}
    for s, option in enumerate(options):
        if not option.weighs_ratio:
            expected, refused = _by_reward(option, sets.reward[0], sets.base_reward[0])
            assert found.value[0, s, 0] == pytest.approx(expected, abs=1e-10), option
            assert found.reject[s, 0] == pytest.approx(refused, abs=1e-10), option
            continue
        law = gsi_law((draft, base), _scheme(option))
        expected = law.expectation(draft.reward, base.reward)
        assert found.value[0, s, 0] == pytest.approx(expected, abs=1e-10), option
        assert found.reject[s, 0] == pytest.approx(1.0 - law.p_accept, abs=1e-10), option


def test_unbiased_values_average_to_the_truth() -> None:
    world = WORLDS["plain"](np.random.default_rng(3), 3)
    rows, pools = [], 60
    for k in range(pools):
        arrays = world.pool(12, 12, k).arrays
        parts = blocks(arrays)
        grid = make_grid(arrays, parts, (5.0,), (1, 3, 6), thresholds=(0.6, 0.9))
        options = grid.options()
        found = evaluate(sets_of(arrays, parts[0], ["reward"]), grid, options, "unbiased")
        rows.append(np.concatenate([found.value[0].mean(axis=1), found.reject.mean(axis=1)]))
    exact = np.concatenate(truth(world, options))
    mean, error = np.mean(rows, axis=0), np.std(rows, axis=0, ddof=1) / np.sqrt(pools)
    assert np.all(np.abs(mean - exact) < 4.5 * error + 1e-9)


def test_a_grid_of_small_beta_has_no_largest_threshold() -> None:
    """The largest float over β below 1 is no float; warnings are errors here."""
    arrays = WORLDS["plain"](np.random.default_rng(3), 3).pool(4, 4, 0).arrays
    assert make_grid(arrays, blocks(arrays), (0.5,), (1,), thresholds=(0.6,)).betas == (0.5,)


def test_distances_on_a_pool_that_is_the_instance() -> None:
    # masses are multiples of 1/8 and 1/10, so the pool repeats each outcome exactly as often as its policy says
    counts, base_counts = np.array([4, 2, 1, 1]), np.array([1, 2, 3, 4])
    draft, base, reward = counts / 8, base_counts / 10, np.array([0.1, 0.7, 0.4, 0.9])
    instance = Instance.from_probabilities(draft, base, reward)
    own, other = np.repeat(np.arange(4), counts), np.repeat(np.arange(4), base_counts)
    ratio = np.log(base / draft)
    sets = Sets(
        ratio[own][None], reward[own][None], reward[other][None], reward[own][None, None], reward[other][None, None]
    )
    options = GRID.options()
    found = distances(sets, ratio[other][None], GRID, options)
    for s, option in enumerate(options):
        log_pi = tilted_policy(instance, option.beta)
        if not option.weighs_ratio and option.method != "draft":
            if option.method in UNBOUNDED:
                assert (found.kl_bound[s, 0], found.tv[s, 0]) == (np.inf, 1.0)
            continue
        law = gsi_law(instance, _scheme(option)).log_prob
        assert found.kl[s, 0] == pytest.approx(divergence.kl(log_pi, law), abs=1e-9), option
        assert found.tv[s, 0] == pytest.approx(divergence.tv(log_pi, law), abs=1e-9), option
        assert found.kl_bound[s, 0] >= found.kl[s, 0] - 1e-9, option
        if option.threshold is None and option.rule == "softmax":
            w = np.exp(log_pi) / draft
            assert found.kl_bound[s, 0] == pytest.approx(np.exp(log_pi) @ np.log1p((w - 1) / option.n), abs=1e-9)


def test_a_base_candidate_that_the_draft_cannot_draw_makes_the_distance_infinite() -> None:
    sets = _sets(np.random.default_rng(1), 6, 5)
    ratio = np.array([[0.1, np.inf, 0.0, -0.3, 0.2]])
    options = GRID.options()
    found = distances(sets, ratio, GRID, options)
    for s, option in enumerate(options):
        if option.method in UNBOUNDED or (not option.on_base and option.threshold is None):
            assert np.isinf(found.kl[s, 0]) and np.isinf(found.kl_bound[s, 0])
        else:
            assert not np.isnan(found.kl[s, 0])


def test_a_fallback_that_no_draft_took_is_not_impossible() -> None:
    """All six drafts pass the gate, one of four base candidates would not: q is its draft mass by the balance
    heuristic, 1/(N + N_B ρ), normalized, and KL(π‖law) is finite."""
    reward, base_reward = np.full((1, 6), 0.9), np.array([[0.9, 0.9, 0.9, 0.2]])
    sets = Sets(np.zeros((1, 6)), reward, base_reward, reward[None], base_reward[None])
    ratio = np.log([[1.0, 1.0, 1.0, 2.0]])
    grid = Grid(("softmax",), (1.0,), (1,), (), {1.0: (0.9,)}, {1.0: ()})
    gate = next(s for s, o in enumerate(grid.options()) if o.gate == "tilted_reward")
    assert evaluate(sets, grid, grid.options(), "plug-in").reject[gate, 0] < 1e-15
    q = (1 / 14) / (9 / 10 + 1 / 14)  # ln 2 + 0.2 < 0.9
    raised = np.exp(base_reward[0])
    law = raised.mean() * (np.r_[np.full(3, np.exp(-0.9)), 0.0] + q / raised)  # over π
    found = distances(sets, ratio, grid, grid.options())
    assert found.kl[gate, 0] == pytest.approx(-(raised / raised.sum()) @ np.log(law))
    assert found.kl[gate, 0] <= found.kl_bound[gate, 0] < np.inf


def test_cost_by_hand() -> None:
    cost = step_cost(4, 2, 0.25, 10.0, 20.0, Sizes(1e9, 7e9, 3e9))
    assert (cost.drafted, cost.scored, cost.decoded, cost.judged) == (40.0, 40.0, 10.0, 50.0)
    assert (cost.flops_draft, cost.flops_base, cost.flops_reward) == (2e9 * 40, 14e9 * 50, 6e9 * 50)
    alone = step_cost(1, 1, 0.0, 10.0, 20.0, Sizes(1e9, 7e9, 3e9), True)
    assert alone.flops == 2e9 * 10 and alone.tokens == 10.0
    with pytest.raises(InputError, match="parameters"):
        Sizes(0.0, 1.0, 1.0)


def test_roofline_by_hand() -> None:
    trio = Trio(Shape(1e9, 1e4), Shape(7e9, 1e5), Shape(7e9, 1e5))
    device = Device(bandwidth=1e12, peak=1e14)
    decode = 10 * (2 * 1e9 + 4 * (100 + 5 + 1) * 1e4) / 1e12
    score = max((2 * 7e9 + 4 * 110 * 1e5) / 1e12, 2 * 7e9 * 40 / 1e14)
    assert gsi_seconds(trio, device, 4, 4, 0.0, 10.0, 10.0, context=100.0) == pytest.approx(decode + 2 * score)
    soft = 10 * (2 * 7e9 + 4 * 106 * 1e5) / 1e12 + score
    assert soft_bon_seconds(trio, device, 4, 10.0, context=100.0) == pytest.approx(soft)
    half = gsi_seconds(trio, device, 4, 4, 0.5, 10.0, 10.0, context=100.0)
    assert half == pytest.approx(decode + 2 * score + soft / 2)


def test_calibration_meets_the_two_timings() -> None:
    trio = Trio(SHAPES["qwen2.5-math-1.5b"], SHAPES["qwen2.5-math-7b"], SHAPES["qwen2.5-math-prm-7b"])
    found = calibrate(trio, DEVICES["h100"], 0.005, 0.01, 16, 500.0)
    assert found.draft > 1.0 and found.base > 1.0
    plain = soft_bon_seconds(trio, DEVICES["h100"], 16, 50.0)
    assert soft_bon_seconds(trio, DEVICES["h100"], 16, 50.0, calibration=found) == pytest.approx(found.base * plain)
    assert Slowdown() == Slowdown(1.0, 1.0)
    with pytest.raises(InputError, match="below the roofline"):
        calibrate(trio, DEVICES["h100"], 1e-6, 0.01, 16, 500.0)


def test_cross_fitting_does_not_believe_the_luckiest_of_equal_options() -> None:
    rng = np.random.default_rng(0)
    naive, fitted, covered = [], [], 0
    for _ in range(300):
        values = rng.normal(size=(30, 40))
        found = cross_fit(values, lambda v: pick_best(v.mean(axis=1), np.ones(30, dtype=bool)))
        naive.append(values.mean(axis=1).max())
        fitted.append(float(found.value))
        covered += bool(found.low < 0.0 < found.high)
    assert np.mean(naive) > 0.25
    # two thirds of the units are luckier than all: 2.04 is the mean of the largest of 30 normal numbers
    excess = 2.04 * (40**-0.5 - (2 / 3 * 40) ** -0.5)
    assert abs(np.mean(fitted) - excess) < 4.0 * np.std(fitted) / np.sqrt(300)
    assert covered >= 270  # 95 % of 300 less four standard errors


def test_value_is_of_the_option_that_is_recommended() -> None:
    """The cheapest of three that is better than the first by 0.05; of two the second is at the edge, so thirds of the
    units choose the third, much better one: the value is still that of the choice on all."""
    truth, rng = np.array([0.5, 0.56, 0.86]), np.random.default_rng(3)

    def pick(values: np.ndarray) -> int:
        good = np.flatnonzero(standing(values[1:], values[0]).lower >= 0.05)
        return int(good[0]) + 1 if good.size else 2

    covered, torn = 0, 0
    for _ in range(200):
        values = truth[:, None] + 0.05 * rng.normal(size=(3, 200)) + 0.2 * rng.normal(size=200)
        chosen, found = pick(values), cross_fit(values, pick)
        covered += bool(found.low <= truth[chosen] <= found.high)
        torn += len({pick(values[:, np.arange(200) % 3 != k]) for k in range(3)}) > 1
        assert abs(float(found.value) - truth[chosen]) < 0.1
    assert torn > 40 and covered >= 178  # 95 % of 200 less four standard errors


def test_what_a_unit_adds_to_the_value_by_hand() -> None:
    """Six units, folds {0, 3}, {1, 4}, {2, 5}: m(c) + mean of (held-out less training mean of c_k)."""
    values = np.array([[3.0, 0, 0, 3, 0, 0], [1.0, 1, 1, 1, 2, 1]])
    found = cross_fit(values, lambda v: int(np.argmax(v.mean(axis=1))))
    # on all units the second, 7/6; without units 0 and 3 too (1 held out, 5/4 in training), else the first (0, 3/2)
    assert float(found.value) == pytest.approx(7 / 6 + ((1 - 5 / 4) + 2 * (0 - 3 / 2)) / 3)


def test_value_of_prompts_that_show_no_failure_leaves_room_for_one() -> None:
    def first(values: np.ndarray) -> int:
        return 0

    found = cross_fit(np.ones((2, 30)), first, (0.0, 1.0))
    # a failure in one of 10 prompts is missed by 30 of them with probability 4 %
    assert found.stderr == 0.0 and found.low < 1.0 - 0.09 and found.high == pytest.approx(1.0) and not found.trusted
    same = cross_fit(np.ones((2, 30)), first, (1.0, 1.0))
    assert same.low == same.high == 1.0


def test_what_heavy_tails_hide_counts_in_units_of_the_value() -> None:
    tail = Tail(5.0, 1.1, (40.0, 900.0), 20.0, 0.01, 64.0, 1.0, 64, 64)
    options = GRID.options()
    own = [s for s, o in enumerate(options) if o.weighs_ratio and o.n > 1]
    tails = {o.beta: replace(tail, beta=o.beta) for o in options}
    table = SimpleNamespace(options=options, tails=tails, drafts=6400)
    most = max(options[s].n for s in own[:2])
    values, chance = np.full(len(options), 1.5), np.log(20.0) * most / 6400
    found, below = unseen_effect(table, values, np.array([own[0]]), own[1], (0.0, 3.0))  # type: ignore[arg-type]
    assert found == pytest.approx([3.0 * chance])
    assert below == pytest.approx(3.0 * np.log(20.0) * options[own[1]].n / 6400)
    # nothing is better than the highest, nothing worse than the lowest
    values[own[0]], values[own[1]] = 3.0 - 0.1 * chance, 0.2 * chance
    found, below = unseen_effect(table, values, np.array([own[0]]), own[1], (0.0, 3.0))  # type: ignore[arg-type]
    assert found == pytest.approx([0.3 * chance]) and below == pytest.approx(0.2 * chance)
    table.tails = {beta: replace(t, khat=0.3) for beta, t in tails.items()}
    assert unseen_effect(table, values, np.array([own[0]]), own[1], (0.0, 3.0)) == (0.0, 0.0)  # type: ignore[arg-type]


def test_simultaneous_bounds_hold_for_all_options_atevaluate() -> None:
    rng = np.random.default_rng(1)
    held = 0
    for _ in range(300):
        values = rng.normal(size=(20, 60)) * rng.uniform(0.1, 3.0, size=(20, 1))
        held += bool(np.all(standing(values, np.zeros(60)).upper >= 0.0))
    assert held >= 270
    constant = standing(np.ones((3, 10)), np.zeros(10))
    assert constant.upper == pytest.approx(1.0)


def test_pareto_front_by_brute_force() -> None:
    rng = np.random.default_rng(4)
    value, cost = rng.integers(0, 6, 40) / 5.0, rng.integers(0, 6, 40) / 5.0
    front = pareto_front(value, cost)
    for s in range(40):
        better = any(value[t] >= value[s] and cost[t] <= cost[s] and (value[t] > value[s] or cost[t] < cost[s])
                     for t in range(40))  # fmt: skip
        twin = any(t < s and value[t] == value[s] and cost[t] == cost[s] for t in range(40))
        assert (s in front) == (not better and not twin)
    assert (np.diff(value[front]) > 0).all() and (np.diff(cost[front]) > 0).all()


def test_turns_are_where_gold_falls_and_reward_rises() -> None:
    options = [Option("softmax", "none", n, n, 2.0, None) for n in (1, 2, 4, 8)]
    rng = np.random.default_rng(5)
    noise = 0.1 * rng.normal(size=(1, 200))
    reward = np.array([[0.1], [0.2], [0.3], [0.4]]) + noise
    gold = np.array([[0.1], [0.3], [0.29], [0.2]]) + noise + 0.02 * rng.normal(size=(4, 200))
    (turn,) = turns(options, reward, gold)
    assert (turn.along, turn.best.n) == ("n", 2) and turn.after.n in (4, 8) and turn.fall > 3 * turn.fall_se
    assert turns(options, reward, reward) == []
    assert turns(options, -reward, gold) == []


def test_turns_are_not_rounding_nor_luck_of_few_units() -> None:
    options = [Option("softmax", "none", 2, 2, b, None) for b in (5.0, 10.0)]
    same = np.full((2, 30), 0.7) + np.array([[0.0], [-1e-15]])
    assert turns(options, np.ones((2, 30)), same) == []
    # 3.5 standard errors of 4 units: Student's t of 3 degrees of freedom asks for 9.2
    gold = np.stack([np.zeros(4), -1.0 + np.array([0.4, -0.4, 0.1, -0.1]) * 3.5 / 2.04])
    error = gold[1].std(ddof=1) / 2
    assert 3.0 < 1.0 / error < 9.0
    assert turns(options, np.ones((2, 4)), gold) == []
    assert len(turns(options, np.ones((2, 40)), np.tile(gold, 10))) == 1
    assert turns(options, np.ones((2, 1)), gold[:, :1]) == []


def test_a_factor_that_is_nearly_enough_is_not_one() -> None:
    assert [_times(f) for f in (1.01, 1.1, 2.34, 9.99, 10.0, 12.1, 99.6)] == [
        "1.1",
        "1.1",
        "2.4",
        "10.0",
        "10",
        "13",
        "100",
    ]


@pytest.mark.parametrize(("sizes", "kept"), [((7, 5), [0, 3, 6, 9]), ((4,), [0, 1, 2, 3]), ((5,), [0, 2, 4])])
def test_positions_of_a_page_are_spread_evenly_over_all_blocks(sizes: tuple[int, ...], kept: list[int]) -> None:
    begun, parts = 0, []
    for size in sizes:
        parts.append(PositionBlock(np.arange(begun, begun + size), np.zeros((size, 2), int), np.zeros((size, 1), int)))
        begun += size
    assert np.concatenate([block.positions for block in _spread(parts, 4)]).tolist() == kept


@pytest.mark.parametrize("estimator", ["plug-in", "unbiased"])
def test_notes_say_whose_sizes_and_which_estimator(estimator: str) -> None:
    table = SimpleNamespace(estimator=estimator, positions=3, units=3, options=(None,), sampled=3)
    for setup, whose in ((Setup(), "--models states yours"), (Setup(recorded=True), "as the pool counts them")):
        said = "; ".join(notes(table, setup, False, 0, 1))  # type: ignore[arg-type]
        assert whose in said and ("(M30)" in said) == (estimator == "plug-in")
