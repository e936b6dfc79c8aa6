"""Coverage of a pool by step, as `gsi doctor` shows it."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from gsi_theory import InputError
from gsi_theory.cli import main
from llm_check.logs.pools.pool import Pool, pool_from_columns, write_pool
from llm_check.logs.pools.step_coverage import by_step, coverage_record
from llm_check.logs.pools.tails import pool_coverage
from tests.plants.pool_faults import Sampling, TokenWorld


def _pool(far: float) -> Pool:
    """Three prompts, two steps, 40 drafts and 40 base draws; ρ = 2^{±1} at step 0 and 2^{±far} at step 1."""
    rows = []
    for prompt in "abc":
        for step, width in ((0, 1.0), (1, far)):
            ratio = 2.0 ** np.array([-width, width])
            share = (1.0 - ratio[0]) / (ratio[1] - ratio[0])  # of drafts with the larger ratio, so that E ρ = 1
            for source, high in (("draft", share), ("base", share * ratio[1])):
                logs = np.where(np.arange(40) < round(40 * high), 1, -1) * width * np.log(2.0)
                rows += [(prompt, step, source, i, -5.0, -5.0 + x, 0.5) for i, x in enumerate(logs)]
    names = ("prompt_id", "step", "source", "candidate", "logp_draft", "logp_base", "reward")
    return pool_from_columns({name: [row[i] for row in rows] for i, name in enumerate(names)})


def test_steps_show_medians_and_extremes_of_their_positions() -> None:
    pool = _pool(3.0)
    record = coverage_record(pool, 2.0)
    every = pool_coverage(pool, 2.0)
    assert [s["step"] for s in record["steps"]] == [0, 1] and len(record["positions"]) == 6 == record["sampled_of"]
    for s in record["steps"]:
        these = [at for at in every if at.step == s["step"]]
        assert s["prompts"] == 3 and s["drafts"] == 40
        assert s["chi2"] == pytest.approx(np.median([max(at.ratio.chi2, at.base_chi2[0]) for at in these]))  # type: ignore[index]
        assert s["ess"] == pytest.approx(np.median([at.ratio.ess for at in these]))
        assert s["largest_ratio"] == pytest.approx(2.0 ** (1.0 if s["step"] == 0 else 3.0))
    near, far = record["steps"]
    assert near["chi2"] < far["chi2"] and near["chi2_low"] < far["chi2_low"] <= far["chi2"]


def test_positions_that_say_nothing_are_counted_and_do_not_stop_the_doctor() -> None:
    columns = _pool(1.0).table.to_pydict()
    place = zip(columns["prompt_id"], columns["step"], columns["source"], strict=True)
    dead = [at == ("a", 0, "draft") for at in place]
    columns["logp_base"] = [-np.inf if d else x for d, x in zip(dead, columns["logp_base"], strict=True)]
    record = coverage_record(pool_from_columns(columns), 2.0)
    assert record["without"] == 1 and len(record["positions"]) == 5 and record["steps"][0]["prompts"] == 2
    assert by_step([]) == []
    with pytest.raises(InputError, match="positive"):
        coverage_record(_pool(1.0), 0.0)


def test_the_command_shows_it(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pool = _pool(2.0)
    write_pool(tmp_path / "p.parquet", pool.table, {})
    _doctor(str(tmp_path / "p.parquet"), "--json", "--beta", "3")
    coverage = json.loads(capsys.readouterr().out)["coverage"]
    assert coverage["beta"] == 3.0 and {"chi2_low", "renyi2", "largest_ratio", "khat"} <= set(coverage["steps"][0])
    assert {"chi2_from_base_low", "ess", "khat"} <= set(coverage["positions"][0]["ratio"])
    plain = Sampling()
    write_pool(tmp_path / "right.parquet", TokenWorld(positions=12).columns(1, 24, plain, plain), {})
    _doctor(str(tmp_path / "right.parquet"))
    assert "its lower bound at 95 % a prompt" in " ".join(capsys.readouterr().out.split())


def _doctor(*given: str) -> None:
    with pytest.raises(SystemExit) as done:
        main(["doctor", *given])
    assert done.value.code in (0, None)


def test_of_two_middle_prompts_the_worse_is_the_median() -> None:
    """Where one of two prompts is out of the draft's reach a mean would be infinite too; the worse is so by itself."""
    few = [at for at in pool_coverage(_pool(3.0), 2.0) if at.step == 1][:2]
    one, two = few[0], replace(few[1], ratio=replace(few[1].ratio, ess=few[1].ratio.ess + 3.0))
    two = replace(two, pair=replace(two.pair, renyi2=0.25))
    (step,) = by_step([one, two])
    assert step["ess"] == one.ratio.ess
    assert step["renyi2"] == max(one.pair.renyi2, 0.25)
