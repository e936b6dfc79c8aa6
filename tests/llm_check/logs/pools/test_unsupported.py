"""Where a pool does not bear an answer, neither prediction nor plan gives one: they say why, and what would help."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from gsi_theory.cli import main
from llm_check.logs import mean_prediction
from llm_check.logs.planner import recommendation, step_lengths
from llm_check.logs.planner.goal import Choice, Goal
from llm_check.logs.planner.option_table import PlanTable
from llm_check.logs.planner.scheme_grid import Option
from llm_check.logs.planner.tail import Tail
from llm_check.logs.pools.pool import Pool, pool_from_columns, read_pool, write_pool
from llm_check.logs.pools.supports import effective_drafts, unsupported
from tests.benches.plan import WORLDS

FAULT = "one draft decides"


def _few(ess: float, n: int) -> str:
    return FAULT if n > 1 else ""


@pytest.fixture
def pool() -> Pool:
    return WORLDS["plain"](np.random.default_rng(0), 40).pool(30, 32, 1)


def test_nothing_is_predicted_that_the_pool_does_not_bear(
    pool: Pool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(mean_prediction, "unsupported", _few)
    found = mean_prediction.predict(pool, betas=(2.0,), ns=(1, 4), threshold=0.5)
    for row in found.rows:
        silent = row["n"] > 1
        assert (row["reward"] is None, row["p_accept_se"] is None, row["reason"]) == (
            silent, silent, FAULT if silent else "",
        )  # fmt: skip
    write_pool(tmp_path / "pool.parquet", pool.table, {})
    with pytest.raises(SystemExit) as ended:
        main(["predict", str(tmp_path / "pool.parquet"), "--beta", "2", "--n", "1,4"])
    said = " ".join(capsys.readouterr().out.split())
    assert ended.value.code == 0 and f"no prediction at β = 2, n = 4: {FAULT}" in said
    assert "would help: more drafts a prompt, shorter steps, a smaller β, or a draft nearer the base" in said


def test_no_plan_rests_on_weights_that_the_pool_does_not_bear(pool: Pool, monkeypatch: pytest.MonkeyPatch) -> None:
    real = recommendation.choose_option
    grid = {"betas": (4.0,), "ns": (1, 4), "thresholds": (0.6,)}
    method = "gsi"

    def choose(table: PlanTable, *asked: Any) -> tuple[Choice, int | None]:
        chosen = next(s for s, o in enumerate(table.options) if o.method == method and o.n > 1)
        refused = len(asked) > 6 and not asked[6][chosen]
        return replace(real(table, *asked[:6])[0], chosen=None if refused else chosen), None

    monkeypatch.setattr(recommendation, "choose_option", choose)
    free = recommendation.plan(pool, **grid)  # type: ignore[arg-type]
    assert free.recommendation is not None and free.command is not None and free.decides is not None
    monkeypatch.setattr(recommendation, "unsupported", lambda *_: FAULT)
    held = recommendation.plan(pool, **grid)  # type: ignore[arg-type]
    assert held.recommendation is None and held.command is None and held.record()["recommendation"] is None
    assert held.reason.endswith(FAULT) and "a draft nearer the base" in held.improve[0]
    # what selects by the reward alone rests on no weights of drafts
    method = "best_of_n_draft"
    plain = recommendation.plan(pool, **grid)  # type: ignore[arg-type]
    assert plain.recommendation is not None and plain.table.options[plain.recommendation].method == method


def test_effective_drafts_by_hand_and_what_one_draft_decides() -> None:
    ratios = {"a": [0.0, np.log(3.0)], "b": [-700.0, -700.0], "c": [-np.inf, -2000.0]}
    rows = [(p, s, k, x) for p, xs in ratios.items() for s in ("draft", "base") for k, x in enumerate(xs)]
    columns: dict[str, Any] = {
        "prompt_id": [r[0] for r in rows], "step": [0] * len(rows), "source": [r[1] for r in rows],
        "candidate": [r[2] for r in rows], "logp_draft": [-5.0] * len(rows), "reward": [0.5] * len(rows),
        "logp_base": [-5.0 + min(r[3], 4.0) if r[1] == "draft" else -5.0 for r in rows],
    }  # fmt: skip
    pool = pool_from_columns(columns)
    assert effective_drafts(pool) == pytest.approx(16.0 / 10.0)  # of 1.6, 2 and 1
    assert unsupported(effective_drafts(pool), 2) == ""
    two = {name: [x for x, r in zip(values, rows, strict=True) if r[0] in "ac"] for name, values in columns.items()}
    assert effective_drafts(pool_from_columns(two)) == pytest.approx(1.0)  # of 1.6 and 1: half of the positions have 1
    heavy = columns | {"logp_base": [-5.0 - 9.0 * r[2] if r[1] == "draft" else -5.0 for r in rows]}
    assert unsupported(effective_drafts(pool_from_columns(heavy)), 2).startswith("1.0 effective drafts")
    assert unsupported(effective_drafts(pool_from_columns(heavy)), 1) == ""


def test_what_is_not_borne_is_not_chosen_but_compared_with() -> None:
    """The cheapest is not borne: the next is taken where nothing, that one among them, is better by too much."""
    values = np.array([[0.80], [0.81], [0.5]]) + 0.001 * np.random.default_rng(0).normal(size=(3, 40))
    options = [Option("softmax", "none", 4, 4, 2.0, None), Option("max", "none", 4, 4, 2.0, None, "best_of_n_base")]
    options.append(Option("softmax", "none", 2, 2, 2.0, None))
    tail = Tail(2.0, 0.3, (1.0, 1.0), 64.0, 0.01, (64.0, 64.0), 1.0, 64, 64)
    table: Any = SimpleNamespace(options=tuple(options), tails={2.0: tail}, drafts=6400, base_draws=6400, fixed=False)

    def chosen(borne: list[bool], costs: list[float]) -> int | None:
        asked = table, values, np.array(costs), np.zeros(3), Goal(), (0.0, 1.0), 0, np.array(borne)
        return recommendation.choose_option(*asked)[0].chosen

    assert chosen([True, True, True], [1.0, 2.0, 0.5]) == 0
    assert chosen([False, True, True], [1.0, 2.0, 0.5]) == 1
    assert chosen([False, False, True], [1.0, 2.0, 0.5]) is None


def test_step_lengths_are_compared_by_coverage(
    pool: Pool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    columns = pool.table.to_pydict()
    near = [d + 0.2 * (b - d) for d, b in zip(columns["logp_draft"], columns["logp_base"], strict=True)]
    write_pool(tmp_path / "whole.parquet", pool.table, {"step": "answer"})
    write_pool(
        tmp_path / "short.parquet", columns | {"logp_base": near, "n_tokens": [8] * len(near)}, {"step": "tokens:8"}
    )
    other = columns | {"prompt_id": [f"q{name}" for name in columns["prompt_id"]]}
    write_pool(tmp_path / "other.parquet", other, {})
    monkeypatch.setattr(step_lengths, "unsupported", lambda ess, n: FAULT if n > 4 else "")
    asked = ["plan", str(tmp_path / "whole.parquet"), "--beta", "2", "--n", "1,2,8", "--tolerance", "0.3"]
    with pytest.raises(SystemExit):
        main([*asked, "--also", str(tmp_path / "short.parquet"), "--json"])
    answer = json.loads(capsys.readouterr().out)
    short, whole = answer["lengths"]
    assert (short["tokens"], short["whole"], short["n_max"], short["mean_tokens"]) == (8, False, 2, 8.0)
    assert (whole["tokens"], whole["whole"], whole["fault"], whole["drafts"]) == (None, True, FAULT, 32)
    assert short["ess"] > whole["ess"] and answer["recommendation"]["tokens"] is None
    assert not any("value" in row for row in answer["lengths"])
    with pytest.raises(SystemExit):
        main([*asked, "--also", str(tmp_path / "short.parquet")])
    said = " ".join(capsys.readouterr().out.split())
    assert "short.parquet: steps 8 tokens" in said and "values of steps of different lengths are not compared" in said
    with pytest.raises(SystemExit) as ended:
        main([*asked, "--also", str(tmp_path / "other.parquet")])
    assert ended.value.code == 2 and "--also other.parquet" in capsys.readouterr().err
    assert step_lengths.step_tokens(read_pool(tmp_path / "short.parquet")) == 8


@pytest.mark.parametrize(
    ("rule", "tokens"), [("tokens:8", 8), ("delimiter:8", None), ("tokens:", None), ("answer", None)]
)
def test_steps_are_of_so_many_tokens_only_by_their_rule(rule: str, tokens: int | None) -> None:
    assert step_lengths.step_tokens(SimpleNamespace(metadata={"step": rule})) == tokens  # type: ignore[arg-type]
