"""Cascades against all subsets, without project code; their logs, plans and refusals."""

from __future__ import annotations

import json
from itertools import combinations, product
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from gsi_theory.errors import InputError
from gsi_theory.runs.costs import Sizes
from gsi_theory.types import Floats
from llm_check import plan
from llm_check.logs.log import Log, read_log_file, write_log
from llm_check.logs.planner.cascade import cascade_values, plan_cascade
from llm_check.logs.planner.goal import Goal


def _best(reward: Floats, value: Floats, chosen: tuple[int, ...]) -> tuple[float, float]:
    """(largest reward, mean value of the draws that have it) of a subset."""
    r, f = reward[list(chosen)], value[list(chosen)]
    return float(r.max()), float(f[r == r.max()].mean())


def _played(draft: tuple[Floats, Floats], base: tuple[Floats, Floats], n: int, n_base: int, cut: float) -> float:
    """Mean over all pairs of subsets of what the cascade returns."""
    worth = []
    for some, other in product(combinations(range(5), n), combinations(range(4), n_base)):
        reward, value = _best(*draft, some)
        worth.append(value if reward >= cut else _best(*base, other)[1])
    return float(np.mean(worth))


def test_values_are_means_over_all_subsets() -> None:
    rng = np.random.default_rng(4)
    for _ in range(4):
        draft = rng.integers(0, 4, 5) / 2.0, rng.random(5)  # ties in the reward
        base = rng.integers(0, 4, 4) / 2.0, rng.random(4)
        ns, n_bases, cuts = np.arange(1, 6), np.arange(1, 5), np.array([0.25, 0.5, 1.5, 9.0])
        value, defer, alone, fallback = cascade_values(draft, base, ns, n_bases, cuts)
        for m, b, u in product(range(5), range(4), range(4)):
            want = _played(draft, base, int(ns[m]), int(n_bases[b]), float(cuts[u]))
            assert value[m, b, u] == pytest.approx(want, abs=1e-12)
            below = [_best(*draft, s)[0] < cuts[u] for s in combinations(range(5), int(ns[m]))]
            assert defer[m, u] == pytest.approx(np.mean(below), abs=1e-12)
        for m in range(5):
            each = [_best(*draft, s)[1] for s in combinations(range(5), int(ns[m]))]
            assert alone[m] == pytest.approx(np.mean(each), abs=1e-12)
        for b in range(4):
            each = [_best(*base, s)[1] for s in combinations(range(4), int(n_bases[b]))]
            assert fallback[b] == pytest.approx(np.mean(each), abs=1e-12)


def _rows(prompts: int = 40, seed: int = 0, drafts: int = 16, base: int = 8) -> list[dict[str, Any]]:
    """The base is right more often; the reward tells right from wrong."""
    rng, rows = np.random.default_rng(seed), []
    for p in range(prompts):
        level = rng.normal(0.0, 0.5)
        for source, count, shift in (("draft", drafts, -0.5), ("base", base, 1.0)):
            for k in range(count):
                right = bool(rng.random() < 1 / (1 + np.exp(-level - shift)))
                reward = float(rng.beta(6, 2) if right else rng.beta(2, 6))
                rows.append({"prompt_id": f"p{p}", "source": source, "candidate": k, "reward": reward,
                             "correct": right, "n_tokens": 50 if source == "draft" else 80})  # fmt: skip
    return rows


def _file(tmp_path: Path, rows: list[dict[str, Any]], name: str = "log.jsonl") -> Path:
    path = tmp_path / name
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def test_a_file_without_log_probabilities_is_a_cascade(tmp_path: Path) -> None:
    path = _file(tmp_path, _rows(6))
    log = read_log_file(path)
    assert log.models == 2 and log.cascade and log.prompts == 6
    with pytest.raises(InputError, match="without log-probabilities is no pool"):
        log.pool()
    again = write_log(tmp_path / "log.parquet", log.table, {"facts": {"iid": True}})
    assert again.cascade and again.facts == {"iid": True}
    assert read_log_file(tmp_path / "log.parquet").table.equals(again.table)
    lacking = [{k: v for k, v in row.items() if k != "reward"} for row in _rows(2)]
    with pytest.raises(InputError, match=r"'reward', a log of two models without log-probabilities needs"):
        read_log_file(_file(tmp_path, lacking, "lacking.jsonl"))
    half = [{**row, "logp_draft": -1.0} for row in _rows(2)]
    with pytest.raises(InputError, match="logp_base"):
        read_log_file(_file(tmp_path, half, "half.jsonl"))


def test_bad_rows_leave_their_prompt_out(tmp_path: Path) -> None:
    rows = _rows(6)
    rows[0]["reward"] = float("inf")
    path = _file(tmp_path, rows)
    log = read_log_file(path, strict=False)
    assert log.cascade and log.prompts == 5 and len(log.left_out) == 1
    with pytest.raises(InputError, match="line 1"):
        read_log_file(path)


def test_a_plan_defers_where_the_reward_tells(tmp_path: Path) -> None:
    answer = plan(_file(tmp_path, _rows(60)), Goal(value="correct", max_cost=6.0, tolerance=0.05))
    assert answer.kind == "cascade"  # type: ignore[union-attr]
    record = answer.record()
    chosen = record["recommendation"]
    assert chosen["method"] in ("cascade", "best_of_n_base") and chosen["cost"] <= 6.0 and chosen["gain_low"] > 0
    assert chosen["low"] <= chosen["value"] <= chosen["high"]
    options = record["options"]
    assert {o["method"] for o in options} == {"cascade", "best_of_n_draft", "best_of_n_base"}
    json.dumps(record, allow_nan=False)


def test_costs_count_what_is_drawn(tmp_path: Path) -> None:
    """n drafts always, n_base base draws where no draft reaches the threshold."""
    log = read_log_file(_file(tmp_path, _rows(20)))
    goal = Goal(value="correct", tolerance=0.05)
    found = {
        unit: plan_cascade(log, goal, unit, [2, 4], [0.5], Sizes(1e9, 8e9, 2e9))
        for unit in ("draws", "tokens", "flops")
    }
    for s, option in enumerate(found["draws"].options):
        base = option.n_base or 0
        share = 1.0
        if option.method == "cascade":
            share = (found["draws"].costs[s] - option.n) / base
            assert 0 < share < 1
        assert found["tokens"].costs[s] == pytest.approx(50 * option.n + 80 * base * share)
        assert found["flops"].costs[s] == pytest.approx(2 * (3e9 * 50 * option.n + 10e9 * 80 * base * share))


def test_a_goal_is_within_the_base(tmp_path: Path) -> None:
    log = read_log_file(_file(tmp_path, _rows(60)))
    found = plan_cascade(log, Goal(value="correct", within=0.1, baseline_n=2))
    assert found.recommendation is not None
    reference = next(s for s, o in enumerate(found.options) if o.method == "best_of_n_base" and o.n_base == 2)
    assert found.values[found.recommendation].mean() > found.values[reference].mean() - 0.1
    assert "reaches the goal" in found.reason


def test_ragged_prompts_and_missing_sources_are_told(tmp_path: Path) -> None:
    rows = [row for row in _rows(30) if not (row["prompt_id"] in ("p0", "p1") and row["candidate"] >= 4)]
    rows = [row for row in rows if not (row["prompt_id"] == "p2" and row["source"] == "base")]
    found = plan_cascade(read_log_file(_file(tmp_path, rows)), Goal(value="correct"))
    assert found.values.shape[1] == 27
    assert any("27 of 29" in line for line in found.limits) and any("1 positions" in line for line in found.limits)
    first = next(s for s, o in enumerate(found.options) if o.n == 1)
    assert found.speaking[first] == 29


@pytest.mark.parametrize(
    "change, message",
    [
        ({"goal": Goal(max_kl=1.0)}, "no bound"),
        ({"goal": Goal(value="gold_reward")}, "gold_reward"),
        ({"unit": "seconds"}, "seconds"),
        ({"unit": "flops"}, "--models"),
        ({"ns": [0]}, "whole numbers"),
        ({"stated_range": (0.9, 1.0)}, "reward range"),
    ],
)
def test_what_cannot_be_asked_is_refused(tmp_path: Path, change: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        plan_cascade(read_log_file(_file(tmp_path, _rows(6))), **change)


def test_only_one_source_is_refused() -> None:
    rows = [row for row in _rows(6) if row["source"] == "draft"]
    table = pa.Table.from_pylist(rows).append_column("step", pa.array([0] * len(rows), pa.int32()))
    with pytest.raises(InputError, match="draft and base"):
        plan_cascade(Log(table, 2, {}))
