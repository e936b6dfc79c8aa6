"""`doctor` names planted faults and stays silent on clean pools; the command answers as DESIGN says."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from gsi_theory.cli import main
from llm_check.logs.pools.diagnosis import diagnose
from llm_check.logs.pools.findings import FINDINGS
from llm_check.logs.pools.pool import pool_from_columns, write_pool
from tests.plants.pool_faults import (
    Columns,
    Sampling,
    TokenWorld,
    add_noise,
    add_reward_noise,
    cut_steps,
    drop_texts,
    drop_tokens,
    duplicate_rows,
    exchange_columns,
    round_numbers,
    score_whole,
)

PLAIN = Sampling()
WORLD = TokenWorld(30, gap=0.3)


def _make(seed: int, draft: Sampling = PLAIN, base: Sampling = PLAIN, shifted: str = "") -> Columns:
    return WORLD.columns(seed, 64, draft, base, shifted)


def _prefix(prompt_id: str, step: int, model: str) -> list[float]:
    rng = np.random.default_rng([int(prompt_id[1:]), step, model == "base"])
    return (-rng.exponential(0.7, size=8)).tolist()


def _errors(columns: Columns) -> list[str]:
    found = diagnose(pool_from_columns(columns)).findings
    return [f.id for f in found if f.severity == "error" or f.id == "log_prob_noise"]


def _changed(columns: Columns, name: str, change: Callable[[np.ndarray], np.ndarray]) -> Columns:
    return columns | {name: change(np.array(columns[name])).tolist()}


FAULTS: dict[str, tuple[str, Callable[[int], Columns]]] = {
    "cold draft": ("temperature_mismatch", lambda s: _make(s, Sampling(0.7))),
    "cold base": ("temperature_mismatch", lambda s: _make(s, PLAIN, Sampling(0.7))),
    "hot draft": ("temperature_mismatch", lambda s: _make(s, Sampling(1.4))),
    "top-p": ("truncated_sampling", lambda s: _make(s, Sampling(1.0, 0.95))),
    "other prompt for drafts": ("context_mismatch", lambda s: _make(s, shifted="drafts")),
    "other prompt": ("context_mismatch", lambda s: _make(s, shifted="all")),
    "whole response, base": ("whole_response", lambda s: score_whole(_make(s), _prefix, ("base",))),
    "whole response, both": ("whole_response", lambda s: score_whole(_make(s), _prefix, ("draft", "base"))),
    "whole response, steps": (
        "whole_response", lambda s: drop_tokens(score_whole(_make(s), _prefix, ("draft", "base")))),
    "block twice": ("duplicates", lambda s: duplicate_rows(_make(s), 0.25, True)),
    "rows twice": ("duplicates", lambda s: drop_tokens(duplicate_rows(_make(s), 0.25, False))),
    "float16": ("log_prob_noise", lambda s: round_numbers(_make(s), "float16")),
    "bfloat16": ("log_prob_noise", lambda s: round_numbers(_make(s), "bfloat16")),
    "noise": ("log_prob_noise", lambda s: add_noise(_make(s), s, 0.05)),
    "float16, steps": ("log_prob_noise", lambda s: drop_tokens(round_numbers(_make(s), "float16"))),
    "bfloat16, steps": ("log_prob_noise", lambda s: drop_tokens(round_numbers(_make(s), "bfloat16"))),
    "noise, steps": ("log_prob_noise", lambda s: drop_tokens(add_noise(_make(s), s, 0.05))),
    "noise, numbers": ("log_prob_noise", lambda s: drop_texts(add_noise(_make(s), s, 0.05))),
    "reward -1 for failures": (
        "reward_range", lambda s: _changed(_make(s), "reward", lambda r: np.where(np.arange(r.size) % 97 == 0, -1, r))),
    "columns exchanged": ("exchanged_columns", lambda s: exchange_columns(_make(s))),
    "columns exchanged, steps": ("exchanged_columns", lambda s: drop_tokens(exchange_columns(_make(s)))),
    "columns exchanged, numbers": ("exchanged_columns", lambda s: drop_texts(exchange_columns(_make(s)))),
    "prefix for the response": (
        "whole_response", lambda s: {k: v for k, v in cut_steps(_make(s), 2).items() if k != "text"}),
    "prefix for the response, texts": (
        "whole_response", lambda s: {k: v for k, v in cut_steps(_make(s), 2).items() if k != "token_ids"}),
    "mean for sum": (
        "whole_response",
        lambda s: _changed(_make(s), "logp_base", lambda v: v / np.array(_make(s)["n_tokens"]))),
}  # fmt: skip


@pytest.mark.parametrize("fault", FAULTS)
def test_planted_faults_are_found_and_nothing_else(fault: str) -> None:
    wanted, plant = FAULTS[fault]
    assert _errors(plant(0)) == [wanted]


@pytest.mark.parametrize("strip", [dict, drop_tokens, drop_texts])
def test_clean_pools_give_no_alarm(strip: Callable[[Columns], Columns]) -> None:
    for seed in range(10, 16):
        assert _errors(strip(_make(seed))) == []


def test_numbers_of_float32_and_coarse_rewards_are_no_noise() -> None:
    columns = drop_texts(_make(3))
    for name in ("logp_draft", "logp_base"):
        columns = _changed(columns, name, lambda v: v.astype(np.float32).astype(np.float64))
    assert _errors(columns) == []
    # right or wrong: equal rewards do not make steps equal
    assert _errors(_changed(columns, "reward", lambda r: (r > 0.5).astype(np.float64))) == []
    # long steps: float32 has a coarse grid of its own there
    for name in ("logp_draft", "logp_base"):
        columns = _changed(columns, name, lambda v: (v - 300.0).astype(np.float32).astype(np.float64))
    assert "log_prob_noise" not in _errors(columns)


@pytest.mark.parametrize("share", [0.004, 0.996])
def test_rare_successes_are_no_fault_of_the_rewards(share: float) -> None:
    rng = np.random.default_rng(0)
    assert _errors(_changed(_make(4), "reward", lambda r: (rng.random(r.size) < share).astype(np.float64))) == []


def test_noise_of_the_reward_model_shows_in_equal_steps() -> None:
    def found(columns: Columns) -> dict[str, dict[str, float]]:
        return {f.id: f.evidence for f in diagnose(pool_from_columns(columns)).findings}

    noisy = add_reward_noise(_make(4), 4, 0.02)
    for columns in (noisy, drop_tokens(noisy)):
        evidence = found(columns)["reward_noise"]
        assert evidence["sd_of_equal_steps"] == pytest.approx(0.02, rel=0.3)
        assert diagnose(pool_from_columns(columns)).valid
    # float32 in batches, and steps that only their reward tells apart, are no noise
    assert "reward_noise" not in found(add_reward_noise(_make(4), 4, 1e-6))
    assert "reward_noise" not in found(drop_texts(noisy))


@pytest.mark.parametrize("repeats", [19, 20])
def test_noise_of_rewards_is_told_from_twenty_repeats(repeats: int) -> None:
    """Two draws of each of `repeats` steps, their rewards apart, beside steps drawn once."""
    rng = np.random.default_rng(5)
    steps = [*range(40), *range(repeats)]
    columns: Columns = {
        "prompt_id": ["p"] * len(steps), "step": [0] * len(steps), "source": ["draft"] * len(steps),
        "candidate": [*range(len(steps))], "logp_draft": [-4.0 - 0.01 * k for k in steps],
        "logp_base": [-4.0 - 0.01 * k for k in steps], "reward": rng.random(len(steps)).tolist(),
        "token_ids": [[k, k] for k in steps],
    }  # fmt: skip
    found = {f.id: f.evidence for f in diagnose(pool_from_columns(columns)).findings}
    assert ("reward_noise" in found) == (repeats >= 20)


@pytest.mark.parametrize("value", [0.0, 0.5, 1.0])
def test_equal_rewards_are_a_warning_of_their_own(value: float) -> None:
    """No success yet, or successes only: an honest pool, of which nothing can be chosen."""
    found = diagnose(pool_from_columns(_changed(_make(4), "reward", lambda r: np.full(r.size, value))))
    assert [(f.id, f.severity, f.evidence["value"]) for f in found.findings] == [("equal_rewards", "warning", value)]
    assert found.valid and "harder or easier prompts" in found.findings[0].advice


def test_one_value_that_stands_for_failures_is_a_fault_however_frequent() -> None:
    rng = np.random.default_rng(0)
    failed = _changed(_make(4), "reward", lambda r: np.where(rng.random(r.size) < 0.3, -1.0, r))
    assert _errors(failed) == ["reward_range"]
    # right and wrong as 1 and -1, and scores without bounds, are no sentinels
    assert _errors(_changed(_make(4), "reward", lambda r: np.where(r > 0.5, 1.0, -1.0))) == []
    assert _errors(_changed(_make(4), "reward", lambda r: 4.0 * r - 2.0)) == []


def test_nearly_equal_scores_without_bounds_are_no_fault() -> None:
    rng = np.random.default_rng(0)
    assert _errors(_changed(_make(4), "reward", lambda r: np.where(rng.random(r.size) < 0.004, 3.0, 2.0))) == []


def test_a_whole_response_is_not_called_a_truncation_too() -> None:
    """Numbers known to cover other tokens than the step's say nothing of its sampling."""
    found = score_whole(_make(1), lambda p, step, model: [-3.0] * (3 * step), ("draft", "base"))
    assert _errors(found) == ["whole_response"]


def test_models_that_are_equal_but_for_rounding_are_no_other_law() -> None:
    columns = _make(4)
    columns["token_logp_base"], columns["logp_base"] = columns["token_logp_draft"], columns["logp_draft"]
    nearly = _changed(columns, "logp_base", lambda v: v + 1e-15 * np.abs(v))
    assert "context_mismatch" not in _errors(drop_texts(nearly))


def test_one_long_step_among_few_is_no_cap() -> None:
    columns = drop_tokens(TokenWorld(3).columns(2, 8, PLAIN, PLAIN))
    del columns["finish_reason"]
    lengths = np.array(columns["n_tokens"])
    columns["n_tokens"] = np.where(np.arange(lengths.size) == 5, lengths.max() + 9, lengths).tolist()
    assert "truncated_steps" not in {f.id for f in diagnose(pool_from_columns(columns)).findings}


@pytest.mark.parametrize("strip", [dict, drop_tokens, drop_texts])
@pytest.mark.parametrize("different", [False, True])
def test_different_steps_of_one_length_are_a_cap_and_one_step_repeated_is_none(
    different: bool, strip: Callable[[Columns], Columns]
) -> None:
    """Every tenth draw is a step of 61 tokens, longer than all others: one of 20, or always the same."""
    columns = _make(2)
    del columns["finish_reason"]
    for row in range(0, len(columns["n_tokens"]), 10):
        token = 1 + (row // 10) % 20 if different else 1
        columns["n_tokens"][row], columns["token_ids"][row] = 61, [token] * 60 + [0]
        columns["text"][row] = chr(97 + token) * 60 + "a"
        for name in ("logp_draft", "logp_base"):
            columns[name][row] = -3.0 - 0.1 * token
        columns["reward"][row] = 0.01 * token
    found = {f.id: f for f in diagnose(pool_from_columns(strip(columns))).findings}
    assert ("truncated_steps" in found) == different
    if different:
        assert found["truncated_steps"].evidence["share"] == pytest.approx(0.1, abs=0.001)


def test_cut_steps_and_heavy_tails_are_warnings() -> None:
    columns = TokenWorld(30, longest=4, gap=2.5).columns(0, 64, PLAIN, PLAIN)
    found = diagnose(pool_from_columns(columns))
    assert {f.id for f in found.findings} >= {"truncated_steps", "heavy_tail"}
    assert found.valid


def test_temperature_comes_with_its_interval() -> None:
    (finding,) = diagnose(pool_from_columns(_make(1, Sampling(0.7)))).findings
    low, high = finding.evidence["draft"]["interval_95"]
    assert low < 0.7 < high and low > 0.6 and high < 0.8


def test_each_finding_is_listed_once() -> None:
    ids = [rule.id for rule in FINDINGS]
    assert len(set(ids)) == len(ids)
    assert set(ids) >= {
        "temperature_mismatch", "truncated_sampling", "context_mismatch", "whole_response", "duplicates",
        "reward_range", "truncated_steps", "heavy_tail",
    }  # fmt: skip


def _run(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> tuple[int, str, str]:
    with pytest.raises(SystemExit) as stop:
        main(arguments)
    out = capsys.readouterr()
    return int(stop.value.code or 0), out.out, out.err


def test_command_answers_in_json(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_pool(tmp_path / "pool.parquet", _make(0, Sampling(0.7)), {})
    code, out, _ = _run(["doctor", str(tmp_path / "pool.parquet"), "--json"], capsys)
    answer = json.loads(out)
    assert code == 0 and answer["valid"] is False
    assert set(answer) >= {"valid", "ratio_mean", "ratio_mean_se", "findings", "left_out", "balance"}
    assert answer["balance"]["p_value"] < 1e-6 and answer["balance"]["degrees_of_freedom"] == 6
    assert [set(f) for f in answer["findings"]] == [{"id", "severity", "evidence", "advice"}]
    code, out, _ = _run(["doctor", str(tmp_path / "pool.parquet")], capsys)
    assert code == 0 and "temperature_mismatch" in out and "cure:" in out


def test_bad_rows_are_left_out_and_counted_or_stop(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    columns = drop_tokens(TokenWorld(8).columns(0, 16, PLAIN, PLAIN))
    rows = [dict(zip(columns, values, strict=True)) for values in zip(*columns.values(), strict=True)]
    rows[3]["reward"] = float("inf")
    path = tmp_path / "pool.jsonl"
    path.write_text("\n".join(json.dumps(row) for row in rows), encoding="utf-8")
    code, out, _ = _run(["doctor", str(path), "--json"], capsys)
    left = json.loads(out)["left_out"]
    assert code == 0 and (left["rows"], left["prompts"]) == (1, 1)
    assert [(f["row"], f["field"], f["value"], f["prompt_id"]) for f in left["faults"]] == [
        (4, "reward", "inf", rows[3]["prompt_id"])
    ]
    code, out, _ = _run(["doctor", str(path)], capsys)
    assert code == 0 and "left out: 1 prompt for 1 bad row\n" in out and "row or line 4, reward = Infinity" in out
    code, out, err = _run(["doctor", str(path), "--strict"], capsys)
    assert code == 2 and out == "" and "line 4" in err and "reward" in err
    assert _run(["doctor", str(tmp_path / "none.parquet")], capsys)[0] == 2


def test_ratios_that_no_right_log_has_are_refuted_in_any_handful_of_drafts() -> None:
    """Ten drafts without a repeat, scored by a draft's law at another temperature: an e-value needs no more (M45)."""
    rng = np.random.default_rng(2)
    ratio = 3.0 + rng.normal(size=10)
    columns: Columns = {
        "prompt_id": ["a"] * 10, "step": [0] * 10, "source": ["draft"] * 10, "candidate": list(range(10)),
        "logp_draft": (-60.0 - ratio).tolist(), "logp_base": [-60.0] * 10, "reward": rng.random(10).tolist(),
    }  # fmt: skip
    (finding,) = [f for f in diagnose(pool_from_columns(columns)).findings if f.severity == "error"]
    assert finding.id == "context_mismatch" and finding.evidence["ratio"]["log_e_value"] > np.log(1000.0)
    right = columns | {"logp_draft": (-60.0 - ratio + 3.5).tolist()}
    assert diagnose(pool_from_columns(right)).valid


def test_one_odd_repeat_is_no_whole_response() -> None:
    """A text written in two ways as tokens has two log-probabilities: it is not the rule, and no fault."""
    columns = drop_tokens(_make(4))
    columns["logp_base"] = [x - 4.0 * (row % 50 == 0) for row, x in enumerate(columns["logp_base"])]
    assert "whole_response" not in _errors(columns)


@pytest.mark.parametrize(("level", "named"), [(-2.0, True), (-0.2, False)])
def test_ratios_of_drafts_alone_that_are_far_below_one_are_of_another_context(level: float, named: bool) -> None:
    """E ρ = 1 of a right log: 400 drafts whose ratios are all near e^-2 are not of these models."""
    rng = np.random.default_rng(1)
    draft = -rng.exponential(3.0, 400) - 1.0
    columns: Columns = {
        "prompt_id": [f"p{k // 20}" for k in range(400)], "step": [0] * 400, "source": ["draft"] * 400,
        "candidate": [k % 20 for k in range(400)], "logp_draft": draft.tolist(),
        "logp_base": (draft + level + rng.normal(0.0, 0.05, 400)).clip(max=0.0).tolist(),
        "reward": rng.random(400).tolist(),
    }  # fmt: skip
    assert ("context_mismatch" in _errors(columns)) == named


def test_base_draws_alone_have_no_ratio_of_drafts_to_be_off() -> None:
    rng = np.random.default_rng(1)
    logp = -rng.exponential(3.0, 400) - 1.0
    columns: Columns = {
        "prompt_id": [f"p{k // 20}" for k in range(400)], "step": [0] * 400, "source": ["base"] * 400,
        "candidate": [k % 20 for k in range(400)], "logp_base": logp.tolist(),
        "logp_draft": (logp - 0.02 + rng.normal(0.0, 0.2, 400)).clip(max=0.0).tolist(),
        "reward": rng.random(400).tolist(),
    }  # fmt: skip
    assert _errors(columns) == []
