"""Predictions from pools of known truth (M30): unbiased, with honest errors, of every scheme, of several values."""

from __future__ import annotations

import json
import math
import statistics
from concurrent.futures import Executor
from contextlib import AbstractContextManager
from functools import partial
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from gsi_theory import Candidates, InputError, Instance, Scheme, gsi_law
from gsi_theory.cli import main
from gsi_theory.runs.workers import worker_pool
from gsi_theory.samples.gated_estimate import gated_mean, score_gated_mean
from llm_check.logs.mean_prediction import mean_rows, predict, scheme_grid
from llm_check.logs.pools import log_files
from llm_check.logs.pools.pool import pool_from_columns, read_pool, write_pool
from llm_check.logs.prediction import (
    Prediction,
    acceptance_floor,
    predict_pool,
    predict_position,
)

INSTANCE = Instance.from_probabilities(
    [0.4, 0.3, 0.15, 0.1, 0.05], [0.15, 0.25, 0.3, 0.2, 0.1], [0.2, 0.9, 0.5, 0.7, 0.1]
)
SCHEMES = scheme_grid((5.0,), (1, 8, 40), ("softmax", "race"), 0.6)
RULES = ("softmax", "race", "max")
LENGTH = np.array([3.0, 1.0, 4.0, 1.0, 5.0])


def drawn(
    rng: np.random.Generator, size: int, instance: Instance = INSTANCE
) -> tuple[Candidates, Candidates, tuple[np.ndarray, np.ndarray]]:
    """A pool of `size` draft and base draws from the instance, raw log-ratios; values: reward and length."""
    sets, values = [], []
    for log_policy in (instance.log_draft, instance.log_base):
        y = rng.choice(instance.size, size, p=np.exp(log_policy))
        sets.append(Candidates(np.full(size, -np.log(size)), instance.reward[y], instance.log_ratio[y]))
        values.append(np.stack([instance.reward[y], LENGTH[y]]))
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


# A step of 3 % is by far the worst, one of 2 % by far the best: gates at 0.3 and at 0.9 hardly ever refuse or pass.
RARE = Instance.from_probabilities(
    [0.5, 0.3, 0.15, 0.03, 0.02], [0.45, 0.3, 0.17, 0.02, 0.06], [0.6, 0.5, 0.7, 0.1, 0.9]
)
EDGES = [
    Scheme(5.0, n, u, rule, gate=gate)
    for n in (1, 4, 8)
    for u in (0.3, 0.55, 0.9)
    for rule, gate in (("softmax", "tilted_reward"), ("max", "tilted_reward"), ("race", "score"))
]


def test_errors_of_an_acceptance_near_zero_or_one_are_honest() -> None:
    """200 pools of 40: where hardly any draft is refused, or passes, the jackknife is off by a multiple of itself, or
    zero; with one draft more on either side z is about 1, and elsewhere nothing changes."""
    truth = np.array([gsi_law(RARE, s).p_accept for s in EDGES])
    gap, plain, floor = np.zeros((3, 200, len(EDGES)))
    for pool in range(200):
        draft, base, _ = drawn(np.random.default_rng([57, pool]), 40, RARE)
        at = predict_position(draft, base, EDGES)
        gap[pool], plain[pool], floor[pool] = at.p_accept - truth, at.p_accept_se, acceptance_floor(draft, EDGES)
    error = np.maximum(plain, floor)
    rare = np.minimum(truth, 1.0 - truth)
    edge = (rare > 1e-3) & (rare < 0.08)
    assert edge.sum() == 10 and (truth[edge] < 0.5).any() and (truth[edge] > 0.5).any()
    square = np.mean(gap**2, axis=0)
    for stated, low, high in ((plain, 5.0, np.inf), (error, 0.2, 2.5)):
        z = np.sqrt(np.mean((gap / np.maximum(stated, 1e-12)) ** 2, axis=0))[edge]
        assert np.all((low < z) & (z < high))
    assert np.median(np.sqrt(np.mean(error**2, axis=0) / square)[edge]) < 1.6
    middle = (rare > 0.19) & np.array([s.gate == "tilted_reward" for s in EDGES])
    assert middle.sum() == 4
    assert np.all(np.mean(error[:, middle], axis=0) < 1.05 * np.mean(plain[:, middle], axis=0))


def test_floors_of_certain_schemes_are_zero() -> None:
    draft, _, _ = drawn(np.random.default_rng(58), 20)
    schemes = [Scheme(5.0, 4, None), Scheme(5.0, 4, float("inf")), Scheme(5.0, 4, -float("inf"), "race", gate="score")]
    assert acceptance_floor(draft, schemes).tolist() == [0.0, 0.0, 0.0]


@pytest.mark.parametrize("gate", ["tilted_reward", "score"])
def test_the_floor_by_hand(gate: str) -> None:
    """P(refused) = (E z)^n: to first order n q^(n-1) s/√N, with one more draft of z = 0 or 1 among N."""
    reward, ratio = [0.2, 0.9, 0.4, 0.6], [0.3, -0.2, 0.1, -0.4]
    draft, beta, u, n = Candidates(np.full(4, -np.log(4)), reward, ratio), 2.0, 0.55, 3
    tilted = [r + x / beta for r, x in zip(reward, ratio, strict=True)]
    if gate == "score":
        refused, scheme = [max(1 - math.exp(beta * (t - u)), 0) for t in tilted], Scheme(beta, n, u, "race", gate=gate)
    else:
        refused, scheme = [float(t < u) for t in tilted], Scheme(beta, n, u, "max")
    errors = []
    for one in (0.0, 1.0):
        z = [*refused, one]
        errors.append(n * statistics.mean(z) ** (n - 1) * statistics.stdev(z) / math.sqrt(5))
    assert acceptance_floor(draft, [scheme]) == pytest.approx([max(errors)])


@pytest.mark.parametrize(("drafts", "base"), [(1, 1), (1, 3), (3, 1), (3, 3)])
def test_pool_of_one_has_no_error(drafts: int, base: int) -> None:
    """One candidate shows no spread: the error of a gated mean is +inf, never NaN, whatever passes the gate."""
    draft = Candidates(np.full(drafts, -np.log(drafts)), [0.5, 0.0, 0.3][:drafts], [0.1, 0.4, -0.6][:drafts])
    other = Candidates(np.full(base, -np.log(base)), [0.2, 0.3, 0.0][:base], [0.0, 0.1, 0.2][:base])
    schemes = [s for u in (-np.inf, -9.0, 0.5, 9.0, np.inf) for s in scheme_grid((1.0,), (1,), ("race", "softmax"), u)]
    at = predict_position(draft, other, schemes)
    assert np.isfinite(at.value).all() and not np.isnan(at.stderr).any() and not np.isnan(at.p_accept_se).any()
    gated = np.array([s.threshold is not None for s in schemes])
    assert (np.isinf(at.stderr[:, 0]) == ((drafts == 1) | gated & (base == 1))).all()


def test_several_values_in_one_pass_are_each_value_alone() -> None:
    draft, base, values = drawn(np.random.default_rng(52), 80)
    schemes = [*SCHEMES, Scheme(5.0, 3, 0.6, "softmax", 7), Scheme(5.0, 3, float("inf"), "race", gate="score")]
    schemes += [Scheme(5.0, 3, 0.6, "softmax", 2), Scheme(5.0, 9, 0.6, "softmax", 7)]
    found = predict_position(draft, base, schemes, values)
    for s, scheme in enumerate(schemes):
        if scheme.threshold is None:
            continue
        weight, fixed = (
            5.0 * draft.reward + draft.log_ratio,
            None if scheme.base_draws == scheme.n else scheme.base_draws,
        )
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


def _columns(**counts: tuple[int, int]) -> dict[str, list[object]]:
    """Columns of a pool with so many (draft, base) candidates at step 0 of each prompt."""
    columns: dict[str, list[object]] = {}
    rng = np.random.default_rng(59)
    for prompt, numbers in counts.items():
        for source, c, size in zip(("draft", "base"), drawn(rng, 50)[:2], numbers, strict=True):
            rows = {
                "prompt_id": [prompt] * size, "step": [0] * size, "source": [source] * size,
                "candidate": list(range(size)), "logp_draft": [-2.0] * size,
                "logp_base": (c.log_ratio[:size] - 2.0).tolist(), "reward": c.reward[:size].tolist(),
            }  # fmt: skip
            for name, values in rows.items():
                columns.setdefault(name, []).extend(values)
    return columns


def test_positions_that_lack_a_source_are_left_out_of_gated_predictions_or_refused() -> None:
    pool = pool_from_columns(_columns(a=(20, 20), b=(20, 0), c=(0, 20)))
    gated, free = Scheme(5.0, 4, 0.6), Scheme(5.0, 4, None)
    assert [p.prompt_id for p in predict_pool(pool, [free, gated], strict=False)] == ["a", "a"]
    assert [p.prompt_id for p in predict_pool(pool, [free], strict=False)] == ["a", "b"]
    with pytest.raises(InputError, match="no base candidates at 'b', step 0: draw some there"):
        predict_pool(pool, [gated])
    with pytest.raises(InputError, match="no draft candidates at 'c', step 0"):
        predict_pool(pool, [free])
    drafts = pool_from_columns(_columns(b=(20, 0)))
    assert len(predict_pool(drafts, [free])) == 1
    with pytest.raises(InputError, match="no position has draft and base candidates"):
        predict_pool(drafts, [gated], strict=False)


def test_the_mean_over_positions_adds_one_draft_more_at_one_position() -> None:
    def at(prompt: str, error: float, jackknife: float) -> Prediction:
        return Prediction(prompt, 0, Scheme(5.0, 4, 0.6), 0.5, 0.1, 0.9, error, jackknife)

    (row,) = mean_rows([at("a", 0.5, 0.3), at("b", 0.1, 0.0), at("c", 0.2, 0.2)])
    assert row["p_accept_se"] == pytest.approx(np.sqrt(0.3**2 + 0.2**2 + (0.5**2 - 0.3**2)) / 3)
    assert row["reward_se"] == pytest.approx(0.1 / np.sqrt(3))
    (row,) = mean_rows([at("a", np.inf, np.inf), at("b", 0.1, 0.0)])
    assert row["p_accept_se"] == np.inf


def _run(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> tuple[int, str, str]:
    with pytest.raises(SystemExit) as stop:
        main(arguments)
    out = capsys.readouterr()
    return int(stop.value.code or 0), out.out, out.err


def test_the_command_predicts_without_a_gate_unless_asked(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = str(tmp_path / "drafts.parquet")
    write_pool(path, _columns(a=(20, 0)), {})
    code, out, _ = _run(["predict", path, "--json"], capsys)
    answer = json.loads(out)
    assert code == 0 and {row["gate"] for row in answer["predictions"]} == {"none"}
    code, out, _ = _run(["predict", path], capsys)
    assert code == 0 and "means over 1 position of" in out and "left out" not in out
    code, out, err = _run(["predict", path, "--threshold", "0.5"], capsys)
    assert code == 2 and out == "" and "no position has draft and base candidates" in err and "Pool.keys" not in err


def test_the_command_leaves_out_what_it_cannot_use_and_counts_it(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    columns = _columns(a=(20, 20), b=(20, 0), c=(20, 20))
    rows = [dict(zip(columns, values, strict=True)) for values in zip(*columns.values(), strict=True)]
    rows[3]["reward"] = float("nan")
    path = tmp_path / "pool.jsonl"
    path.write_text("\n".join(json.dumps(row) for row in rows), encoding="utf-8")
    code, out, _ = _run(["predict", str(path), "--threshold", "0.6", "--json"], capsys)
    answer = json.loads(out)
    assert code == 0 and {row["positions"] for row in answer["predictions"]} == {1}
    assert answer["positions_left_out"] == 1
    assert (answer["left_out"]["prompts"], answer["left_out"]["faults"][0]["row"]) == (1, 4)
    code, out, _ = _run(["predict", str(path), "--threshold", "0.6"], capsys)
    assert code == 0 and "means over 1 position of" in out
    assert "left out: 1 position without candidates of both sources" in out
    assert "left out: 1 prompt for 1 bad row\n" in out and "row or line 4, reward = NaN" in out
    code, out, err = _run(["predict", str(path), "--strict"], capsys)
    assert code == 2 and out == "" and "line 4" in err
    write_pool(tmp_path / "some.parquet", _columns(a=(20, 20), b=(20, 0)), {})
    code, out, err = _run(["predict", str(tmp_path / "some.parquet"), "--threshold", "0.6", "--strict"], capsys)
    assert code == 2 and out == "" and "no base candidates at 'b', step 0" in err


def test_beyond_the_pool_nothing_is_said() -> None:
    draft, base, _ = drawn(np.random.default_rng(53), 30)
    with pytest.raises(InputError, match=r"ns\[.*\] = 40"):
        predict_position(draft, base, SCHEMES)
    with pytest.raises(InputError, match="no schemes"):
        predict_position(draft, base, [])


def test_what_is_given_twice_is_counted_once(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = str(tmp_path / "pool.parquet")
    write_pool(path, _columns(a=(20, 20), b=(20, 20), c=(20, 20)), {})
    code, once, _ = _run(["predict", path, "--json", "--n", "1,2", "--beta", "1", "--threshold", "0.6"], capsys)
    twice = ["predict", path, "--json", "--n", "1,2,1", "--beta", "1,1.0", "--rule", "softmax, race,race"]
    again = _run([*twice, "--threshold", "0.6"], capsys)
    assert code == 0 and again[:2] == (0, once)
    answer = json.loads(once)
    assert {row["positions"] for row in answer["predictions"]} == {3} and answer["positions_left_out"] == 0
    assert len(scheme_grid((1.0, 1.0), (1, 2, 2), ("race", "race"), 0.5)) == 6


def test_n_beyond_the_pool_is_clipped_and_few_positions_speak_for_themselves(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = str(tmp_path / "pool.parquet")
    write_pool(path, _columns(a=(20, 20), b=(12, 5), c=(0, 3), d=(12, 12)), {})
    code, out, _ = _run(["predict", path, "--json"], capsys)
    answer = json.loads(out)
    assert code == 0 and {row["n"]: row["positions"] for row in answer["predictions"]} == {
        **{1: 3, 2: 3, 4: 3, 8: 3, 12: 3}
    }
    assert answer["n_clipped"] == {"n": [16], "to": 12, "place": "candidates at half of the positions"}
    code, out, _ = _run(["predict", path, "--threshold", "0.6", "--n", "5,8,40"], capsys)
    assert code == 0 and "n of 40: clipped to 12, the number of candidates at half of the positions" in out
    for n in (8, 12):
        assert f"n = {n} with a gate: 2 of 3 positions speak; the others have" in " ".join(out.split())
    (best,) = [line for line in out.splitlines() if line.startswith("→")]
    assert best.split()[4] == "5" or best.split()[2] == "none"  # never one that other positions speak of
    assert json.loads(_run(["predict", path, "--json", "--n", "12"], capsys)[1])["n_clipped"] is None
    code, out, err = _run(["predict", path, "--n", "16", "--strict"], capsys)
    assert code == 2 and out == "" and "ns[0] = 16.0: no unbiased estimate exists beyond the pool" in err


def _graded(columns: dict[str, list[object]], null: int | None = None) -> dict[str, list[object]]:
    correct = [float(str(reward)) > 0.6 for reward in columns["reward"]]
    return columns | {"correct": [None if row == null else value for row, value in enumerate(correct)]}


def test_the_mean_of_another_value_is_that_of_its_winners(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = str(tmp_path / "pool.parquet")
    write_pool(path, _graded(_columns(a=(20, 20), b=(20, 20)), null=3), {})
    asked = ["predict", path, "--n", "4", "--beta", "5", "--rule", "softmax", "--value", "correct"]
    answer = json.loads(_run([*asked, "--json"], capsys)[1])
    (row,) = answer["predictions"]
    pool = read_pool(path)
    values = tuple(pool.arrays.floats("correct")[pool.arrays.sets["b", 0, s]][None] for s in ("draft", "base"))
    alone = predict_position(
        pool.draft_candidates("b", 0), pool.base_candidates("b", 0), [Scheme(5.0, 4, None)], (values[0], values[1])
    )
    assert row["correct"] == pytest.approx(alone.value[0, 0]) and row["positions"] == 1
    assert answer["value"] == "correct" and answer["positions_left_out"] == 1 and "reward" not in row
    out = _run(asked, capsys)[1]
    assert "left out: 1 position without drafts, or a correct of all" in out and "correct" in out.splitlines()[0]
    code, _, err = _run([*asked, "--strict"], capsys)
    assert code == 2 and "a candidate at 'a', step 0 has no correct: grade it, or predict rewards" in err
    code, _, err = _run([*asked[:-1], "gold_reward"], capsys)
    assert code == 2 and "value 'gold_reward': the pool has reward, correct alone" in err


def test_missing_rewards_are_told_under_each_choice(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    columns = _columns(a=(20, 20), b=(20, 20), c=(20, 20))
    rewards = list(columns["reward"])
    # of drafts of a, the good ones fail to be judged
    rewards[:20] = [None if float(str(r)) > 0.6 else r for r in rewards[:20]]
    path = tmp_path / "pool.jsonl"
    rows = [dict(zip(columns, v, strict=True)) for v in zip(*(columns | {"reward": rewards}).values(), strict=True)]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    asked = ["predict", str(path), "--n", "1", "--beta", "5", "--rule", "softmax"]
    answer = json.loads(_run([*asked, "--json"], capsys)[1])
    kept = np.array([float(str(r)) for r in rewards[:20] if r is not None])
    others = [np.mean([float(str(r)) for r in rewards[k : k + 20]]) for k in (40, 80)]
    expected = {
        "drop-row": np.mean([kept.mean(), *others]),
        "worst": np.mean([(kept.sum() + (20 - kept.size) * 0.1) / 20, *others]),
        "drop-prompt": np.mean(others),
    }
    for choice, value in expected.items():
        assert answer["missing"][choice][0]["reward"] == pytest.approx(value)
        alone = json.loads(_run([*asked, "--json", "--missing", choice], capsys)[1])
        assert alone["predictions"][0]["reward"] == pytest.approx(value) and alone["missing"] is None
    assert answer["predictions"][0]["reward"] == pytest.approx(expected["drop-prompt"])
    out = " ".join(_run(asked, capsys)[1].split())
    assert "the largest reward depends on what is done about it (--missing): drop-row: " in out
    code, _, err = _run([*asked, "--missing", "dropp-row"], capsys)
    assert code == 2 and "did you mean 'drop-row'" in err


def _processes(count: int, jobs: int) -> AbstractContextManager[Executor]:
    return worker_pool(count)


def test_a_pool_in_many_files_is_predicted_as_one_by_any_number_of_workers(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    columns = _graded(_columns(a=(20, 20), b=(12, 5), c=(0, 3), d=(12, 12), e=(7, 7)))
    whole = pool_from_columns(columns)
    (tmp_path / "pool").mkdir()
    for k in range(3):
        pq.write_table(whole.table.take(pa.array(range(k, whole.table.num_rows, 3))), tmp_path / f"pool/{k}.parquet")
    expected = predict(whole, threshold=0.6, ns=(1, 4, 8)).record()
    monkeypatch.setattr(log_files, "GROUP_ROWS", 30)
    assert len(log_files.LogFiles(tmp_path / "pool").__enter__().groups(30)) > 2
    answers = [
        predict(tmp_path / "pool", threshold=0.6, ns=(1, 4, 8), workers=partial(_processes, count)).record()
        for count in (1, 2)
    ]
    assert answers[0] == answers[1]
    here = predict(tmp_path / "pool", threshold=0.6, ns=(1, 4, 8)).record()["predictions"]
    assert [row["reward"] for row in here] == pytest.approx([row["reward"] for row in answers[0]["predictions"]])
    for row, other in zip(expected["predictions"], answers[0]["predictions"], strict=True):
        for key, number in row.items():
            assert other[key] == (pytest.approx(number, rel=1e-12) if isinstance(number, float) else number)
    assert {k: v for k, v in answers[0].items() if k != "predictions"} == {
        k: v for k, v in expected.items() if k != "predictions"
    }


def test_the_best_line_is_marked_and_no_gate_accepts_nothing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = str(tmp_path / "pool.parquet")
    write_pool(path, _columns(a=(20, 20), b=(20, 20)), {})
    asked = ["predict", path, "--threshold", "0.6", "--n", "1,4"]
    rows = json.loads(_run([*asked, "--json"], capsys)[1])["predictions"]
    lines = [line for line in _run(asked, capsys)[1].splitlines() if "softmax" in line or "race" in line]
    best = max(range(len(rows)), key=lambda k: rows[k]["reward"])
    assert [line.startswith("→") for line in lines] == [k == best for k in range(len(rows))]
    for row, line in zip(rows, lines, strict=True):
        assert line.split()[-2:] == (["–", "–"] if row["gate"] == "none" else
                                     [f"{row['p_accept']:.4f}", f"{row['p_accept_se']:.4f}"])  # fmt: skip
    assert max(map(len, lines)) <= 80


def test_one_candidate_shows_no_error(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = str(tmp_path / "pool.parquet")
    write_pool(path, _columns(a=(1, 1), b=(1, 1)), {})
    asked = ["predict", path, "--threshold", "0.6", "--n", "1", "--beta", "0,1,20"]
    rows = json.loads(_run([*asked, "--json"], capsys)[1])["predictions"]
    assert {row["reward_se"] for row in rows} == {"inf"}
    code, out, _ = _run(asked, capsys)
    assert code == 0 and "unknown: one candidate shows no error" in out and "nan" not in out and "inf" not in out
    draft, base = drawn(np.random.default_rng(1), 9)[0], drawn(np.random.default_rng(1), 1)[1]
    # that nothing was rejected does not say that nothing ever is: the fallback's unknown error counts
    gated = predict_position(draft, base, [Scheme(5.0, 1, -100.0), Scheme(5.0, 1, 0.6)]).stderr[:, 0]
    assert (gated == np.inf).all()


def test_weights_far_apart_select_as_the_best_does() -> None:
    """All rewards differ: from some β on, softmax and race are best-of-n, value, error and acceptance alike."""
    rng = np.random.default_rng(60)
    mass, ratio = np.full(30, -np.log(30)), rng.normal(size=30)
    draft = Candidates(mass, rng.permutation(30) / 30.0, ratio)
    base = Candidates(mass, rng.permutation(30) / 30.0, np.zeros(30))
    for beta in (1e7, 1e15, 1e100, 1e299):
        schemes = [Scheme(beta, n, u, rule) for n in (2, 5, 30) for u in (None, 0.55) for rule in RULES]
        at = predict_position(draft, base, schemes)
        for found in (at.value[:, 0], at.stderr[:, 0], at.p_accept, at.p_accept_se):
            rows = found.reshape(-1, 3)
            np.testing.assert_allclose(rows, np.broadcast_to(rows[:, 2:], rows.shape), rtol=1e-6, atol=1e-6)
    far = Candidates(mass, draft.reward, np.where(np.arange(30) % 2 == 0, -1.7e308, 0.0))
    even = predict_position(far, base, [Scheme(1.0, 30, None, rule) for rule in RULES])
    assert np.isfinite(even.value).all() and np.isfinite(even.stderr).all()
    with pytest.raises(InputError, match=r"beta = 1e\+308 times reward\[\d+\] = .*: give a smaller beta"):
        predict_position(Candidates(mass, 5.0 * draft.reward, ratio), base, [Scheme(1e308, 2)])


@pytest.mark.parametrize("threshold", ["1e308", "-1e308", "inf"])
def test_a_threshold_beyond_all_numbers_accepts_all_or_nothing(
    threshold: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = str(tmp_path / "pool.parquet")
    write_pool(path, _columns(a=(20, 20)), {})
    code, out, _ = _run(["predict", path, "--threshold", threshold, "--n", "4", "--beta", "1,1e9", "--json"], capsys)
    rows = [row for row in json.loads(out)["predictions"] if row["gate"] != "none"]
    assert code == 0 and len(rows) == 6
    assert [row["p_accept"] for row in rows] == pytest.approx([float(threshold.startswith("-"))] * 6, abs=1e-14)
    assert all(0.0 <= row["p_accept_se"] < 0.25 for row in rows)
