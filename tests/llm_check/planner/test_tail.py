"""What a pool has shown of the tilted policy: the unseen share against a linear program, and the words."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from scipy.optimize import linprog

from llm_check.benches.plan import WORLDS
from llm_check.planner.tail import Tail, about, tail_limits, tail_of, tail_speaks, unseen_tilt
from llm_check.pools.pool import Pool, pool_from_columns
from llm_check.pools.position_arrays import blocks, position_arrays

PLAIN = Tail(2.0, 0.3, (40.0, 900.0), 50.0, 0.01, 64.0, 1.0, 64, 64)


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


@pytest.mark.parametrize("seed", range(6))
def test_unseen_share_is_the_linear_program(seed: int) -> None:
    rng = np.random.default_rng(seed)
    excess, draws = rng.normal(2.0, 3.0, size=30), rng.integers(10, 200, size=30).astype(float)
    excess[:5] = -np.inf
    c = np.exp(excess)
    # maximize Σ m_p / P, 0 ≤ m_p ≤ 1, m_p = a_p c_p, Σ N_p a_p ≤ log 20; where c is 0 nothing is missed
    open_ = c > 0
    found = linprog(-np.ones(open_.sum()), A_ub=[draws[open_] / c[open_]], b_ub=[np.log(20.0)], bounds=(0, 1))
    share, factor = unseen_tilt(excess, draws)
    assert share == pytest.approx(-found.fun / 30, abs=1e-9)
    # with as many draws as it asks for, the limit is met exactly
    assert unseen_tilt(excess, draws * factor)[0] == pytest.approx(0.05, abs=1e-9)


def test_weights_that_bunch_below_their_limit_have_no_tail() -> None:
    # rewards in (0.98, 1): a Pareto fit to e^{βr} means nothing there, and nothing of weight can be unseen
    reward = 1.0 - 0.02 * np.random.default_rng(0).random((40, 64)) ** 3
    arrays = position_arrays(_pool(reward, 64))
    tail = tail_of(arrays, blocks(arrays), 5.0)
    assert tail_speaks(tail) and tail.ess > 63.0 and tail.unseen < 0.01
    assert not [line for line in tail_limits([tail]) if "distance" in line]


def test_prompts_without_a_good_candidate_may_hide_one() -> None:
    reward = np.full((10, 64), 0.1)
    reward[:, 0] = 0.12
    reward[0, 1] = 1.0  # the pool's largest: elsewhere a step of reward 1 may have been missed
    arrays = position_arrays(_pool(reward, 64))
    tails = [tail_of(arrays, blocks(arrays), beta) for beta in (0.5, 20.0)]
    assert tail_speaks(tails[0]) and not tail_speaks(tails[1])
    assert tails[1].unseen == pytest.approx(0.9)  # of the nine other prompts everything
    needed = tails[1].base_needed
    # a law that shows reward 1 with probability log 20/(9 N) at each of the nine is missed with probability 5 %
    z = np.exp(20 * reward[1]).mean()
    a = np.log(20.0) / (9 * needed)
    assert 9 * a * np.exp(20.0) / z / 10 == pytest.approx(0.05, rel=1e-6)


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
    few = tail_limits([replace(PLAIN, ess=2.0, base_needed=320.0), replace(PLAIN, beta=9.0, unseen=0.4)])
    assert len(few) == 2 and "effective number 2.0 of 64" in few[0] and "40% of it" in few[1]


def test_drafts_needed_are_read_off_the_base() -> None:
    # base and draft alike: 3 draws beyond the 95 % quantile of e^{βr} are 3/0.05 drafts, whatever k̂
    world = WORLDS["plain"](np.random.default_rng(3), 40)
    same = replace(world, log_draft=world.log_base)
    arrays = position_arrays(same.pool(40, 64, 1))
    assert 20 <= tail_of(arrays, blocks(arrays), 0.01).needed[0] <= 64
