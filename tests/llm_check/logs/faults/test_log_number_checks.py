"""The checks that know no law hold for every law: right logs never fail them, by enumeration and by many draws."""

from __future__ import annotations

import math
from itertools import product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import expit

from llm_check.logs.faults.failed_rewards import zero_atom
from llm_check.logs.faults.short_solutions import length_correlation
from llm_check.logs.pools.diagnosis import diagnose
from llm_check.logs.pools.evidence import ratio_evidence
from llm_check.logs.pools.log_prob_checks import check_copies, check_mass, check_sentinels
from llm_check.logs.pools.pool import pool_from_columns
from llm_check.logs.pools.ratio import length_left


def _pool(draft: list[float], base: list[float], texts: list[str], source: str = "draft"):  # type: ignore[no-untyped-def]
    size = len(draft)
    return pool_from_columns({
        "prompt_id": ["a"] * size, "step": [0] * size, "source": [source] * size, "candidate": list(range(size)),
        "logp_draft": draft, "logp_base": base, "reward": [0.5] * size, "text": texts,
    }).arrays  # fmt: skip


@given(weights=st.lists(st.floats(1e-3, 1.0), min_size=1, max_size=12), data=st.data())
@settings(max_examples=60, deadline=None)
def test_probabilities_of_a_law_never_sum_above_one(weights: list[float], data: st.DataObject) -> None:
    logp = np.log(np.array(weights) / sum(weights)).clip(max=0.0)
    drawn = data.draw(st.lists(st.integers(0, len(weights) - 1), min_size=1, max_size=20))
    rows, texts = logp[drawn].tolist(), [str(k) for k in drawn]
    arrays = _pool(rows, rows, texts)
    assert check_mass(arrays, arrays.same_steps[0], "text", {}) == []
    doubled = (np.array(rows) / 4.0).tolist()
    arrays = _pool(doubled, rows, texts)
    mass = math.fsum(math.exp(logp[k] / 4.0) for k in set(drawn))
    assert bool(check_mass(arrays, arrays.same_steps[0], "text", {})) == (math.log(mass) > 0.1)


def test_sure_steps_are_no_padding_and_padding_is() -> None:
    sure = _pool([0.0] * 6, [0.0] * 6, ["x"] * 6)  # one step of probability one, drawn again and again
    assert check_sentinels(sure, sure.same_steps[0]) == []
    beside = _pool([0.0, -3.0, -2.0], [-1.0, -3.0, -2.0], ["x", "y", "z"])
    (found,) = check_sentinels(beside, beside.same_steps[0])
    assert (found.model, found.zero, found.low, found.first) == ("draft", 1, 0, 0)
    scored = _pool([-300.0, -280.0], [0.0, -281.0], ["x", "y"])
    assert [(s.model, s.zero) for s in check_sentinels(scored, scored.same_steps[0])] == [("base", 1)]
    for value, low in ((-9999.0, 1), (-1e4, 1), (-1000.0, 1), (-1234.5, 0), (-999.0, 0)):
        arrays = _pool([-300.0, value], [-301.0, value + 1.5], ["x", "y"])
        assert sum(s.low for s in check_sentinels(arrays, arrays.same_steps[0]) if s.model == "draft") == low


def test_a_number_is_far_from_the_other_model_s_beside_what_rows_are() -> None:
    """Where nine of ten rows are 50 nats apart, 20 × 50 + 100 nats and 1000 make a sentinel."""
    texts = [str(k) for k in range(41)]
    base = [-300.0 - k for k in range(41)]
    for gap, low in ((1050.5, 0), (1150.5, 1)):
        draft = [value - 50.0 for value in base[:-1]] + [base[-1] - gap]
        arrays = _pool(draft, base, texts)
        assert sum(s.low for s in check_sentinels(arrays, arrays.same_steps[0])) == low
    arrays = _pool([*base[:-1], base[-1] - 999.5], base, texts)
    assert check_sentinels(arrays, arrays.same_steps[0]) == []


def test_steps_without_text_are_told_apart_by_the_last_bit_and_not_by_the_sign_of_zero() -> None:
    draft = [-math.pi / 1e4, math.nextafter(-math.pi / 1e4, 0.0), -math.pi / 1e4, 0.0, -0.0]
    columns = {
        "prompt_id": ["a"] * 5, "step": [0] * 5, "source": ["draft"] * 5, "candidate": [*range(5)],
        "logp_draft": draft, "logp_base": [-math.e] * 5, "reward": [0.5] * 5,
    }  # fmt: skip
    code, what = pool_from_columns(columns).arrays.same_steps
    rounded = pool_from_columns(columns | {"logp_draft": [-0.1234, -0.25, -0.5001, -2.5, -3.1]}).arrays.same_steps[1]
    assert rounded == "log-probabilities and reward"
    assert what == "log-probabilities" and (code[0], code[3]) == (code[2], code[4]) and len({*code.tolist()}) == 3


@pytest.mark.parametrize("chance", [0.01, 0.5])
def test_equal_short_steps_are_no_copies(chance: float) -> None:
    rng = np.random.default_rng(0)
    kinds = rng.integers(0, int(1 / chance), size=64)
    logp = [math.log(chance)] * 32
    columns = {
        "prompt_id": ["a"] * 64, "step": [0] * 64, "source": ["draft"] * 32 + ["base"] * 32,
        "candidate": [*range(32), *range(32)], "logp_draft": logp * 2, "logp_base": logp * 2, "reward": [0.5] * 64,
        "text": [str(k) for k in kinds],
    }  # fmt: skip
    arrays = pool_from_columns(columns).arrays
    assert check_copies(arrays, *arrays.same_steps) == 0
    if chance == 0.01:
        again = pool_from_columns(columns | {"text": [str(k) for k in kinds[:32]] * 2}).arrays
        assert check_copies(again, *again.same_steps) >= 20


def test_rank_correlation_under_all_orders() -> None:
    """Mean 0 and variance 1/(N − 1) over all orders, with ties: so its z has variance one."""
    reward = np.array([0.1, 0.4, 0.4, 0.9])
    zs = []
    for order in product(range(4), repeat=4):
        if len(set(order)) == 4:
            zs.append(length_correlation(reward[list(order)], np.array([3.0, 1.0, 1.0, 2.0]), np.zeros(4, int))[1])
    assert np.mean(zs) == pytest.approx(0.0, abs=1e-12) and np.mean(np.square(zs)) == pytest.approx(1.0)


def test_zeros_of_rounding_and_of_grades_are_no_failures() -> None:
    rng = np.random.default_rng(1)
    reward = rng.beta(2, 2, size=400)
    assert zero_atom(reward) == 0
    failed = np.where(rng.random(400) < 0.05, 0.0, reward)
    assert zero_atom(failed) == np.count_nonzero(failed == 0.0) > 0
    crowded = np.round(rng.beta(0.05, 1.0, size=400), 6)
    assert (crowded == 0.0).sum() > 50 and zero_atom(crowded) == 0
    assert zero_atom(np.round(reward, 1)) == 0 == zero_atom((reward > 0.5).astype(float))


def test_a_shift_of_each_token_is_no_constant() -> None:
    rng = np.random.default_rng(2)
    rows, length = 60, rng.integers(5, 50, size=120)
    noise = rng.normal(scale=0.3, size=120) + np.r_[np.full(rows, -0.045), np.full(rows, 0.045)]
    columns = {
        "prompt_id": ["a"] * 120, "step": [0] * 120, "source": ["draft"] * rows + ["base"] * rows,
        "candidate": [*range(rows)] * 2, "logp_draft": [-400.0] * 120, "reward": [0.5] * 120,
        "n_tokens": length.tolist(),
    }  # fmt: skip
    for shift, constant in ((np.full(120, 3.0), True), (0.2 * (length - length.mean()), False)):
        arrays = pool_from_columns(columns | {"logp_base": (-400.0 + noise + shift).tolist()}).arrays
        middle = np.array([3.0 if constant else 0.0])
        assert (abs(length_left(arrays, middle)) < 4.0) == constant


def test_what_is_left_of_lengths_is_seen_after_the_shift() -> None:
    """The base's rows are shorter, as its log-ratios say, all of them 3 nats too high."""
    rng = np.random.default_rng(3)
    length = rng.integers(5, 50, size=4000)
    drawn = rng.random(4000) < expit(0.2 * (length - 27.0))
    order = np.argsort(~drawn, kind="stable")
    length, count = length[order], int(drawn.sum())
    columns = {
        "prompt_id": ["a"] * 4000, "step": [0] * 4000, "source": ["draft"] * count + ["base"] * (4000 - count),
        "candidate": [*range(count), *range(4000 - count)], "logp_draft": [-400.0] * 4000, "reward": [0.5] * 4000,
        "logp_base": (-397.0 - 0.2 * (length - 27.0) - np.log((4000 - count) / count)).tolist(),
        "n_tokens": length.tolist(),
    }  # fmt: skip
    arrays = pool_from_columns(columns).arrays
    left = [length_left(arrays, np.array([shift])) for shift in (3.0, 0.0, -3.0)]
    assert abs(left[0]) < 4.0 < min(abs(left[1]), abs(left[2]))


def test_prompts_of_one_finite_law_share_rows_by_chance() -> None:
    """Forty prompts of one law of 60 steps: every row stands at some other prompt too, and none is a copy."""
    rng = np.random.default_rng(3)
    logp = np.log(rng.dirichlet(np.ones(60)))
    reward, drawn = rng.random(60), np.concatenate([rng.choice(60, size=16, p=np.exp(logp)) for _ in range(40)])
    columns = {
        "prompt_id": [f"p{k // 16}" for k in range(640)], "step": [0] * 640, "source": ["draft"] * 640,
        "candidate": [k % 16 for k in range(640)], "logp_draft": logp[drawn].tolist(),
        "logp_base": (logp[drawn] - 0.01).tolist(), "reward": reward[drawn].tolist(),
    }  # fmt: skip
    assert "shared_rows" not in {f.id for f in diagnose(pool_from_columns(columns)).findings}


def test_ratios_of_tokens_are_refuted_where_those_of_steps_are_not() -> None:
    """Tokens of +1 and -1 nats, which no law has on average of e^ratio, in steps of 0."""
    rows = 200
    columns = {
        "prompt_id": ["a"] * rows, "step": [0] * rows, "source": ["draft"] * rows, "candidate": [*range(rows)],
        "logp_draft": [-4.0 - 0.01 * k for k in range(rows)], "logp_base": [-4.0 - 0.01 * k for k in range(rows)],
        "reward": [0.5] * rows, "token_ids": [[k, k + 1] for k in range(rows)],
        "token_logp_draft": [[-2.0, -2.0 - 0.01 * k] for k in range(rows)],
        "token_logp_base": [[-1.0, -3.0 - 0.01 * k] for k in range(rows)],
    }  # fmt: skip
    whole = {name: value for name, value in columns.items() if not name.startswith("token_logp")}
    assert ratio_evidence(pool_from_columns(columns).arrays, "draft") > 20.0
    assert ratio_evidence(pool_from_columns(whole).arrays, "draft") < 1.0
