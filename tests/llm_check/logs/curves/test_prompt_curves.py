"""The map of `gsi curve` and the sum of its parts: the same bytes however prompts are cut into batches."""

from __future__ import annotations

import pickle
from fractions import Fraction
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from gsi_theory.errors import InputError
from llm_check.logs.curves.curve_lines import keys_of
from llm_check.logs.curves.prompt_curves import CurvePlan, PromptCurves, joined, prompt_curves, prompt_sizes
from llm_check.logs.curves.selectors import SELECTORS
from llm_check.logs.log import one_model_table
from tests.oracles.subsets import best, subset_average
from tests.oracles.vote_subsets import vote_average

FIELDS = ("draws", "tokens", "value", "variance", "simulation")


def draws(prompts: int, size: int, seed: int, **more: Any) -> list[dict[str, Any]]:
    """Rows with reward, correct, answer and tokens; some answers null."""
    rng = np.random.default_rng(seed)
    return [
        {"prompt_id": f"p{p:02}", "candidate": k, "reward": int(rng.integers(10)) / 10}
        | {"correct": bool(rng.random() < 0.4), "answer": None if rng.random() < 0.1 else str(rng.integers(4))}
        | {"n_tokens": int(rng.integers(5, 20))}
        | more
        for p in range(prompts)
        for k in range(size)
    ]


def table(rows: list[dict[str, Any]]) -> pa.Table:
    return one_model_table(pa.Table.from_pylist(rows))


def plan(ns: tuple[int, ...], betas: tuple[float, ...] = (2.0,), seed: int = 0) -> CurvePlan:
    return CurvePlan(keys_of(("reward", "correct", "answer"), betas, tuple(SELECTORS)), ns, seed)


def _bytes(curves: PromptCurves) -> list[bytes]:
    return [np.ascontiguousarray(getattr(curves, name)).tobytes() for name in FIELDS]


def test_batches_change_no_byte() -> None:
    rows = draws(7, 20, 1)
    work = pickle.loads(pickle.dumps((prompt_curves, plan((1, 4, 10, 20)))))
    whole = joined([work[0](table(rows), work[1])])
    mixed = [rows[i] for i in np.random.default_rng(2).permutation(len(rows))]
    parts = [[row for row in mixed if row["prompt_id"] in names] for names in (("p06", "p01"), ("p03",))]
    rest = [row for row in mixed if row["prompt_id"] in ("p00", "p02", "p04", "p05")]
    cut = joined([prompt_curves(table(part), plan((1, 4, 10, 20))) for part in (*parts, rest)])
    assert cut.prompts == whole.prompts and _bytes(cut) == _bytes(whole)
    assert (whole.simulation[:, [k.selector == "weighted_majority" for k in whole.plan.keys], 2] > 0).any()
    other = joined([prompt_curves(table(rows), plan((1, 4, 10, 20), seed=1))])
    for row in rows[:20]:  # a batch of one prompt, none of whose draws has an answer
        row["answer"] = None
    silent = [prompt_curves(table(part), plan((1, 4))) for part in (rows[:20], rows[20:])]
    assert _bytes(joined(silent)) == _bytes(joined([prompt_curves(table(rows), plan((1, 4)))]))
    assert _bytes(other) != _bytes(whole)


def test_a_prompt_in_two_batches_is_refused() -> None:
    part = prompt_curves(table(draws(2, 3, 1)), plan((1, 2)))
    with pytest.raises(InputError, match="prompt 'p00' is in two batches"):
        joined([part, part])
    with pytest.raises(InputError, match="no prompt"):
        joined([])


def test_every_prompt_is_the_average_over_its_subsets() -> None:
    rows = draws(3, 7, 3)
    curves = joined([prompt_curves(table(rows), plan(tuple(range(1, 8))))])
    keys = {(key.selector, key.value): c for c, key in enumerate(curves.plan.keys)}
    for p, name in enumerate(curves.prompts):
        mine = [row for row in rows if row["prompt_id"] == name]
        reward = [Fraction(str(row["reward"])) for row in mine]
        right = [Fraction(int(row["correct"])) for row in mine]
        answers, ones = [row["answer"] for row in mine], [Fraction(1)] * 7
        for n in range(1, 8):
            exact = {
                ("best_of_n", "correct"): subset_average(right, reward, n, best),
                ("best_of_n", "reward"): subset_average(reward, reward, n, best),
                ("pass_at_k", "correct"): subset_average(right, right, n, best),
                ("majority", "correct"): vote_average(answers, right, ones, n),
                ("weighted_majority", "correct"): vote_average(answers, right, reward, n),
            }
            for key, value in exact.items():
                assert abs(curves.value[p, keys[key], n - 1] - float(value)) < 1e-12, (key, n)


def test_counts_and_ragged_prompts() -> None:
    rows = draws(1, 3, 4) + [{**row, "prompt_id": "q", "count": 2} for row in draws(1, 4, 5)]
    for row in rows:
        row.setdefault("count", None)
    for k, row in enumerate(rows[3:]):
        row["candidate"] = 2 * k
    curves = joined([prompt_curves(table(rows), plan((1, 4, 8)))])
    assert curves.draws.tolist() == [3, 8] and sorted(prompt_sizes(table(rows)).tolist()) == [3, 8]
    assert np.isfinite(curves.value[1]).all() and np.isnan(curves.value[0, :, 1:]).all()
    many = [{**row, "count": 1, "candidate": row["candidate"] + i} for row in rows[3:] for i in range(2)]
    apart = joined([prompt_curves(table(many), plan((1, 4, 8)))])
    assert np.allclose(apart.value[0], curves.value[1], atol=1e-12)


def test_draws_that_nobody_graded_silence_curves_of_correct_alone() -> None:
    rows = draws(2, 4, 6)
    rows[1]["correct"] = None
    curves = joined([prompt_curves(table(rows), plan((1, 2)))])
    of_correct = np.array([key.value == "correct" for key in curves.plan.keys])
    assert np.isnan(curves.value[0, of_correct]).all() and np.isfinite(curves.value[0, ~of_correct]).all()
    assert np.isfinite(curves.value[1]).all()


def test_a_prompt_of_several_steps_is_their_mean() -> None:
    rows = [{**row, "step": k % 2} for k, row in enumerate(draws(1, 8, 7))]
    curves = joined([prompt_curves(table(rows), plan((1, 4)))])
    steps = [
        joined([prompt_curves(table([{**r, "step": 0} for r in rows if r["step"] == s]), plan((1, 4)))]) for s in (0, 1)
    ]
    assert curves.draws.tolist() == [4] and curves.prompts == ("p00",)
    # subsets that are drawn differ, nothing here is
    assert np.allclose(curves.value, (steps[0].value + steps[1].value) / 2)
    assert np.allclose(curves.variance, (steps[0].variance + steps[1].variance) / 4)
