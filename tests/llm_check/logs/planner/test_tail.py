"""What a pool has shown of the tilted policy: the unseen share against known laws, and the words."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from llm_check.logs.planner.tail import (
    RewardRange,
    Tail,
    about,
    as_fallen,
    draft_tail,
    missed,
    tail_limits,
    tail_of,
    tail_shown,
    tail_speaks,
    times_more,
    unseen_tilt,
    upto,
)
from llm_check.logs.pools.pool import Pool, pool_from_columns
from llm_check.logs.pools.position_arrays import blocks
from tests.benches.plan import WORLDS

PLAIN = Tail(2.0, 0.3, (40.0, 900.0), 50.0, 0.01, (64.0, 64.0), 1.0, 64, 64)


def _pool(reward: np.ndarray, n: int) -> Pool:
    """Equal policies; reward (P, n) of the base and of the draft candidates alike."""
    rows = [
        (f"p{p}", s, c, float(reward[p, c])) for p in range(len(reward)) for s in ("draft", "base") for c in range(n)
    ]
    return pool_from_columns({
        "prompt_id": [r[0] for r in rows], "step": [0] * len(rows), "source": [r[1] for r in rows],
        "candidate": [r[2] for r in rows], "logp_draft": [-3.0] * len(rows), "logp_base": [-3.0] * len(rows),
        "reward": [r[3] for r in rows], "n_tokens": [5] * len(rows),
    })  # fmt: skip


def _uniform(rng: np.random.Generator, prompts: int, n: int, beta: float) -> tuple[np.ndarray, ...]:
    """X, limit and reached of rewards uniform in (0, 1)."""
    raised = beta * rng.random((prompts, n))
    return missed(raised, float(raised.max()))


@pytest.mark.parametrize("beta", [2.0, 5.0, 15.0])
def test_what_pools_miss_is_below_the_bound_and_not_far(beta: float) -> None:
    # mass of density e^{βr} above the largest of n uniform rewards, averaged over its law n m^(n-1)
    n, prompts = 32, 60
    m = (np.arange(20_000) + 0.5) / 20_000
    truth = np.sum(n * m ** (n - 1) * np.expm1(beta * (1 - m)) / np.expm1(beta) * np.exp(beta * m)) / 20_000
    rng = np.random.default_rng(int(beta))
    bounds = np.array([unseen_tilt(*_uniform(rng, prompts, n, beta)) for _ in range(200)])
    assert np.mean(bounds >= truth) >= 0.95 - 3 * np.sqrt(0.05 * 0.95 / 200)
    assert np.median(bounds) < 3.0 * truth


def test_one_rare_reward_that_outweighs_all_is_not_overlooked() -> None:
    # 1 prompt of 1000 shows a step of weight 10^6 times all others: it may be missing everywhere
    raised = np.zeros((1000, 64))
    raised[:, 1:] = np.linspace(-1e-3, -1e-6, 63)
    raised[0, 0] = np.log(1e6)
    assert unseen_tilt(*missed(raised, float(raised.max()))) == pytest.approx(0.999)
    # a weight of 10 among 64 of 1 cannot hold much
    raised[0, 0] = np.log(10.0)
    assert unseen_tilt(*missed(raised, float(raised.max()))) < 0.03


def test_bound_by_hand() -> None:
    # nothing seen alone at the top (ties): only the limit counts, and betting gives 1 - (m)^P = 0.95 at best
    limit, none = np.full(50, 0.2), np.zeros(50)
    bound = unseen_tilt(none, limit, np.zeros(50, dtype=bool))
    assert 0.2 * (1 - 0.05 ** (1 / 50)) < bound < 0.2 * 2.0 * (1 - 0.05 ** (1 / 50))
    # a prompt whose limit is useless is given up, unless it shows the largest reward
    limit[0] = 1e9
    assert unseen_tilt(none, limit, np.zeros(50, dtype=bool)) == pytest.approx(1 / 50 + bound * 49 / 50, rel=0.05)
    assert unseen_tilt(none, limit, np.arange(50) == 0) < 1 / 50
    assert unseen_tilt(np.ones(3), np.full(3, np.inf), np.zeros(3, dtype=bool)) == 1.0
    assert missed(np.zeros((2, 1)), 0.0)[1].tolist() == [np.inf, np.inf]  # one candidate shows nothing


def test_weight_of_the_largest_by_hand() -> None:
    # weights 1, 1 and 4: the mean of the others is 1, so X = 4/3, and 8/3 if a weight of 8 is the most there is
    largest, limit, reached = missed(np.log([[1.0, 4.0, 1.0], [8.0, 8.0, 1.0]]), float(np.log(8.0)))
    np.testing.assert_allclose(largest, [4 / 3, 0.0])
    np.testing.assert_allclose(limit, [8 / 3, 8 / (3 * 4.5)])
    assert reached.tolist() == [False, True]


def test_candidates_it_asks_for_meet_the_limit() -> None:
    given = _uniform(np.random.default_rng(4), 80, 32, 10.0)
    factor = times_more(*given)
    assert factor > 1.0
    assert unseen_tilt(given[0] / factor, given[1] / factor, given[2]) == pytest.approx(0.05, rel=0.02)
    assert times_more(np.zeros(80), np.full(80, 1e-3), np.ones(80, dtype=bool)) == 1.0


def test_factor_by_how_the_bound_has_fallen() -> None:
    # N^-1/2 from a quarter on: from 0.1 to 0.05 takes 4 times as many; never faster than 1/N; not at all: no number
    assert as_fallen({1: 0.1, 2: 0.1 * 2**0.5, 4: 0.1 * 4**0.5}) == pytest.approx(4.0)
    assert as_fallen({1: 0.1, 2: 0.1 * 2**0.5, 4: 0.1 * 4**0.6}) == pytest.approx(2.0 ** (1 / 0.6))
    assert as_fallen({1: 0.1, 2: 0.9}) == pytest.approx(2.0)
    assert as_fallen({1: 0.1, 2: 0.1}) == as_fallen({1: 0.1}) == as_fallen({1: 0.1, 2: 0.05}) == np.inf
    assert as_fallen({1: 0.05}) == 1.0


def test_more_candidates_show_the_largest_reward() -> None:
    """Rewards 0.9 and 0.2, the rest of the tilt nothing: of 16 candidates a few prompts show no 0.9, and 1/N of their
    e^{14}/N asks for millions; 32 are enough, which the fall from 8 to 16 says."""
    world = WORLDS["near ties"](np.random.default_rng(3), 200)
    few, more = (world.pool(100, n, 1).arrays for n in (16, 32))
    tail = tail_of(few, blocks(few), 20.0)
    assert not tail_speaks(tail) and tail.base_needed[0] < 100.0 and tail.base_needed[1] > 1e6
    assert tail_speaks(tail_of(more, blocks(more), 20.0))
    assert "about 23 to more than a million a prompt" in tail_limits([replace(tail, base_needed=(23.0, 2e6))])[-1]


def test_weights_that_bunch_below_their_limit_have_no_tail() -> None:
    # rewards in (0.98, 1): a Pareto fit to e^{βr} means nothing there, and nothing of weight can be unseen
    reward = 1.0 - 0.02 * np.random.default_rng(0).random((40, 64)) ** 3
    arrays = _pool(reward, 64).arrays
    tail = tail_of(arrays, blocks(arrays), 5.0)
    assert tail_speaks(tail) and tail.ess > 63.0 and tail.unseen < 0.02
    assert not [line for line in tail_limits([tail]) if "distance" in line]


def test_prompts_without_a_good_candidate_may_hide_one() -> None:
    reward = np.full((10, 64), 0.1)
    reward[:, 0] = 0.12
    reward[0, 1] = 1.0  # the pool's largest: elsewhere a step of reward 1 may have been missed
    arrays = _pool(reward, 64).arrays
    tails = [tail_of(arrays, blocks(arrays), beta) for beta in (0.1, 20.0)]
    assert tail_speaks(tails[0]) and not tail_speaks(tails[1])
    assert tails[1].unseen == pytest.approx(0.9)  # of the nine other prompts everything


def test_counts_in_words() -> None:
    assert about([1.0]) == "about 1" and about([63.4, 57.0]) == "about 57 to 64"
    assert (
        about([20_475_569_228.0]) == "more than a million" and about([np.inf, 5.0]) == "about 5 to more than a million"
    )
    assert about([26_912.0]) == "about 27,000" and about([999.0]) == "about 1,000"


def test_one_line_for_all_beta_of_one_cause() -> None:
    heavy = [replace(PLAIN, beta=b, khat=k) for b, k in ((5.0, 0.8), (20.0, 1.6))]
    lines = tail_limits([PLAIN, *heavy])
    assert len(lines) == 1 and "β = 5, 20: k̂ = 0.8 to 1.6" in lines[0] and "about 900 at the hardest" in lines[0]
    assert tail_limits([PLAIN]) == []
    few = tail_limits([replace(PLAIN, ess=2.0, base_needed=(320.0, 320.0)), replace(PLAIN, beta=9.0, unseen=0.4)])
    assert len(few) == 2 and "effective number 2.0 of 64" in few[0] and "40% of it" in few[1]


def test_atoms_have_no_tail() -> None:
    """Rewards 0 or 1 of equal policies: the largest weights repeat, and no k̂ is fitted to them."""
    reward = (np.random.default_rng(0).random((30, 32)) < 0.5).astype(float)
    arrays = _pool(reward, 32).arrays
    tail = tail_of(arrays, blocks(arrays), 5.0)
    assert tail.khat == -np.inf and tail_shown(tail) and tail.needed[1] <= 12.0
    assert not [line for line in tail_limits([tail]) if "unseen drafts" in line]
    spread = _pool(reward + 0.01 * np.random.default_rng(1).random(reward.shape), 32).arrays
    assert np.isfinite(tail_of(spread, blocks(spread), 5.0).khat)


def test_words_for_the_tail() -> None:
    seen = replace(PLAIN, khat=0.801, ess=80.0)
    assert draft_tail([seen, replace(seen, khat=0.802)]).startswith("k̂ = 0.8 of the drafts' weights; about 40 drafts")
    assert "at least about 40 drafts" in draft_tail([replace(seen, ess=20.0)])
    one = draft_tail([replace(seen, needed=(300.0, 300.0))])
    assert one.endswith("about 300 drafts would show their tail (64 are there)")
    assert "no number of drafts shows" in draft_tail([replace(seen, needed=(1e15, 1e15))])
    assert draft_tail([replace(seen, khat=-np.inf)]).startswith("the largest of the drafts' weights repeat; about")
    assert "k̂ = none to 0.8 of" in draft_tail([seen, replace(seen, khat=-np.inf)])


def test_drafts_needed_are_read_off_the_base() -> None:
    # base and draft alike: 3 draws beyond the 95 % quantile of e^{βr} are 3/0.05 drafts, whatever k̂
    world = WORLDS["plain"](np.random.default_rng(3), 40)
    same = replace(world, log_draft=world.log_base)
    arrays = same.pool(40, 64, 1).arrays
    assert 20 <= tail_of(arrays, blocks(arrays), 0.01).needed[0] <= 64


def test_what_no_draw_has_shown_is_bounded_where_the_largest_reward_is_stated() -> None:
    """A step of reward 1, once in 100,000 draws and half of the tilt: no pool shows it. Up to the pool's own largest
    reward nothing is missed, which says nothing of 1; up to the stated 1 it may be all."""
    beta, pool = float(np.log(1e5)), _pool(np.zeros((50, 64)), 64)
    arrays = pool.arrays
    own = tail_of(arrays, blocks(arrays), beta)
    stated = tail_of(arrays, blocks(arrays), beta, RewardRange(0.0, 1.0, True))
    same = tail_of(arrays, blocks(arrays), beta, RewardRange(0.0, 0.0, False))
    assert own.unseen == same.unseen < 0.5 < stated.unseen == 1.0
    assert (own.highest, own.stated, stated.highest, stated.stated) == (0.0, False, 1.0, True)
    assert "if there is no reward above 0, the largest of this pool: of larger ones nothing is said" in upto(own)
    assert upto(stated) == " up to reward 1, the largest there is as stated"
    assert "up to reward 1, as stated, may hold 100% of it" in tail_limits([replace(stated, ess=64.0)])[-1]
    assert "up to reward 1, the largest seen, may" in tail_limits([replace(PLAIN, unseen=0.4)])[-1]


def test_limits_beyond_all_numbers_are_no_warning() -> None:
    """A prompt whose limit is e^709 is given up like one whose limit is infinite."""
    none = np.zeros(3)
    for most in (1.7e308, np.inf):
        assert unseen_tilt(none, np.full(3, most), np.zeros(3, dtype=bool)) == 1.0
        assert unseen_tilt(none, np.r_[most, 0.0, 0.0], np.arange(3) == 0) == 0.0
    raised = np.array([[0.0, -650.0], [0.0, -1.0]])
    assert 0.0 <= unseen_tilt(*missed(raised, 700.0)) <= 1.0
