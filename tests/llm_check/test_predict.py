"""Predictions from pools of known truth: unbiased, with honest errors, for every scheme and several values at once."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from gsi_theory import Candidates, InputError, Instance, Scheme, gsi_law
from gsi_theory.cli import main
from gsi_theory.gated_estimate import gated_mean, score_gated_mean
from llm_check.pools.pool import pool_from_columns
from llm_check.predict import predict_pool, predict_position, scheme_grid

INSTANCE = Instance.from_probabilities(
    [0.4, 0.3, 0.15, 0.1, 0.05], [0.15, 0.25, 0.3, 0.2, 0.1], [0.2, 0.9, 0.5, 0.7, 0.1]
)
SCHEMES = scheme_grid((5.0,), (1, 8, 40), ("softmax", "race"), 0.6)
LENGTH = np.array([3.0, 1.0, 4.0, 1.0, 5.0])


def drawn(rng: np.random.Generator, size: int) -> tuple[Candidates, Candidates, tuple[np.ndarray, np.ndarray]]:
    """A pool of `size` draft and base draws from the instance, raw log-ratios; values: reward and length."""
    sets, values = [], []
    for log_policy in (INSTANCE.log_draft, INSTANCE.log_base):
        y = rng.choice(INSTANCE.size, size, p=np.exp(log_policy))
        sets.append(Candidates(np.full(size, -np.log(size)), INSTANCE.reward[y], INSTANCE.log_ratio[y]))
        values.append(np.stack([INSTANCE.reward[y], LENGTH[y]]))
    return sets[0], sets[1], (values[0], values[1])


def exact(scheme: Scheme) -> np.ndarray:
    law = gsi_law(INSTANCE, scheme)
    return np.array([law.expectation(INSTANCE.reward), law.expectation(LENGTH), law.p_accept])


def test_predictions_are_unbiased_and_calibrated_on_pools_of_known_truth() -> None:
    """100 pools of only 60 candidates, n up to 40: errors have mean 0 (a plug-in's bias would show), z variance near 1.

    Acceptance within 0.01 of 1 is left out of the variance: most pools of 60 have seen no rejection there.
    """
    truth = np.array([exact(s) for s in SCHEMES])
    found, errors = [], []
    for pool in range(100):
        draft, base, values = drawn(np.random.default_rng([51, pool]), 60)
        at = predict_position(draft, base, SCHEMES, values)
        found.append(np.column_stack([at.value, at.p_accept]))
        errors.append(np.column_stack([at.stderr, at.p_accept_se]))
    gap, error = np.array(found) - truth, np.array(errors)
    spread = gap.std(axis=0, ddof=1)
    varies = spread > 1e-12
    bias = gap.mean(axis=0)[varies] / (spread[varies] / np.sqrt(100))
    assert np.abs(bias).max() <= 4.0
    assert np.abs(gap.mean(axis=0)[~varies]).max(initial=0.0) <= 1e-9
    usual = varies.copy()
    usual[:, 2] &= truth[:, 2] < 0.99
    z = (gap / np.where(error > 0, error, 1.0))[:, usual]
    assert 0.8 <= np.mean(z**2) <= 1.25
    assert (np.abs(z) > 1.96).mean() <= 0.08


def test_several_values_in_one_pass_are_each_value_alone() -> None:
    draft, base, values = drawn(np.random.default_rng(52), 80)
    schemes = [*SCHEMES, Scheme(5.0, 3, 0.6, "softmax", 7), Scheme(5.0, 3, float("inf"), "race", gate="score")]
    found = predict_position(draft, base, schemes, values)
    for s, scheme in enumerate(schemes):
        if scheme.threshold is None:
            continue
        weight, fixed = 5.0 * draft.reward + draft.log_ratio, None if scheme.base_draws == scheme.n else 7
        kept = draft.reward + draft.log_ratio / 5.0 >= scheme.threshold
        for v in range(2):
            own, theirs = values[0][v], values[1][v]
            if scheme.gate == "score":
                cut = 5.0 * scheme.threshold
                alone = score_gated_mean(own, weight, cut, theirs, 5.0 * base.reward, [scheme.n], fixed)
            else:
                alone = gated_mean(own, weight, kept, theirs, 5.0 * base.reward, [scheme.n], fixed, scheme.rule)
            np.testing.assert_allclose(found.value[s, v], alone.value.value[0], rtol=1e-9)
            np.testing.assert_allclose(found.stderr[s, v], alone.value.stderr[0], rtol=1e-4)
        np.testing.assert_allclose(found.p_accept[s], alone.p_accept.value[0], rtol=1e-9, atol=1e-12)


def test_a_pool_is_predicted_position_by_position() -> None:
    rng = np.random.default_rng(53)
    columns: dict[str, list[object]] = {}
    sets = {}
    for prompt in ("b", "a"):
        draft, base, _ = drawn(rng, 50)
        sets[prompt] = draft, base
        for source, c in (("draft", draft), ("base", base)):
            rows = {
                "prompt_id": [prompt] * 50, "step": [0] * 50, "source": [source] * 50, "candidate": list(range(50)),
                "logp_draft": [-2.0] * 50, "logp_base": (c.log_ratio - 2.0).tolist(), "reward": c.reward.tolist(),
            }  # fmt: skip
            for name, values in rows.items():
                columns.setdefault(name, []).extend(values)
    told: list[tuple[int, int]] = []
    found = predict_pool(pool_from_columns(columns), SCHEMES, lambda done, total: told.append((done, total)))
    assert [(p.prompt_id, p.scheme) for p in found] == [(prompt, s) for prompt in ("b", "a") for s in SCHEMES]
    assert told == [(1, 2), (2, 2)]
    alone = predict_position(*sets["a"], SCHEMES)
    np.testing.assert_allclose([p.reward for p in found[len(SCHEMES) :]], alone.value[:, 0], rtol=1e-12)


def test_predict_goes_on_without_what_it_does_not_need(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Drafts only: no gate, no base rows needed; with a gate the positions that have both; bad rows are left out."""
    rows = [
        {"prompt_id": prompt, "step": 0, "source": source, "candidate": k, "logp_draft": -1.0, "logp_base": -1.5,
         "reward": k / 8}
        for prompt, sources in (("a", ("draft",)), ("b", ("draft", "base")), ("c", ("draft", "base")))
        for source in sources
        for k in range(8)
    ]  # fmt: skip
    rows[-1]["reward"] = None
    file = tmp_path / "pool.jsonl"
    file.write_text("\n".join(map(json.dumps, rows)))

    def run(*more: str) -> tuple[int, str]:
        with pytest.raises(SystemExit) as stop:
            main(["predict", str(file), "--n", "2", "--beta", "2", *more])
        told = capsys.readouterr()
        return int(stop.value.code or 0), told.out + told.err

    status, text = run("--json")
    found = json.loads(text[text.index("{") : text.rindex("}") + 1])
    assert status == 0 and {r["gate"] for r in found["predictions"]} == {"none"}
    assert found["predictions"][0]["positions"] == 2 and found["left_out"]["positions"] == 0
    assert found["left_out"]["prompts"] == 1 and found["left_out"]["rows"] == 1
    status, text = run("--threshold", "0.5")
    assert status == 0 and "means over 1 position of" in text and "left out: 1 position without" in text
    assert run("--strict")[0] == 2
    only = [json.dumps(row) for row in rows if row["prompt_id"] == "a"]
    file.write_text("\n".join(only))
    status, text = run("--threshold", "0.5")
    assert status == 2 and "predict without a threshold" in text


def test_beyond_the_pool_nothing_is_said() -> None:
    draft, base, _ = drawn(np.random.default_rng(53), 30)
    with pytest.raises(InputError, match=r"ns\[.*\] = 40"):
        predict_position(draft, base, SCHEMES)
    with pytest.raises(InputError, match="no schemes"):
        predict_position(draft, base, [])
