"""`lm_study`: its tables agree, it goes on with the pools there are, and what it says is counted again."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest

from gsi_theory import Candidates
from gsi_theory.errors import InputError
from gsi_theory.runs.artifact import read_artifact
from llm_check.logs.pools.pool import read_pool
from llm_check.models.checks.check_verdict import verdict
from llm_check.models.checks.significance import calibration
from llm_check.models.checks.study_cells import StudyProblem, _variance_of_a_run, results, studied_schemes
from llm_check.models.command_check import check
from llm_check.models.world import load_world
from tests.llm_check.models.checks.small_study import SETTINGS, answers_world, study_path


def _rows(table: dict[str, list]) -> list[dict]:
    return [dict(zip(table, values, strict=True)) for values in zip(*table.values(), strict=True)]


def test_every_measured_number_stands_beside_its_prediction() -> None:
    artifact = read_artifact(study_path(0))
    rows = _rows(artifact.tables["cells"])
    assert {row["tokens"] for row in rows} == {None, 3}
    assert {row["method"] for row in rows} == {method.id for method, _ in studied_schemes((1,), (1.0,), 0.5)}
    for row in rows:
        assert row["difference"] == pytest.approx(row["predicted"] - row["measured"], abs=1e-12)
        assert row["quantity"] != "p_accept" or 0.0 <= row["measured"] <= 1.0
    assert verdict(artifact).startswith("passed: accuracy gained by GSI at n = 4 on 6 problems: ")


def test_gains_are_counted_again_from_the_cells() -> None:
    artifact = read_artifact(study_path(0))
    cells, n = _rows(artifact.tables["cells"]), max(artifact.summary["ns"])
    measured = {
        (c["method"], c["quantity"]): c["measured"]
        for c in cells
        if c["tokens"] is None and c["n"] == (n if c["method"] in ("gsi", "soft_bon_draft", "soft_bon_base") else 1)
    }
    for row in _rows(artifact.tables["gains"]):
        gain = measured["gsi", row["quantity"]] - measured[row["rival"], row["quantity"]]
        assert row["gain"] == pytest.approx(gain, abs=1e-12)


def test_seconds_of_every_method_are_counted_again() -> None:
    artifact = read_artifact(study_path(0))
    spent = {(row["source"], row["n"]): row for row in _rows(artifact.tables["seconds"])}
    accepted = {
        (c["method"], c["beta"], c["n"]): c["measured"]
        for c in _rows(artifact.tables["cells"])
        if c["tokens"] is None and c["quantity"] == "p_accept"
    }
    scored = ("gsi_ungated", "gsi", "gsi_race", "gsi_score_gate")
    rows = _rows(artifact.tables["equal_cost"])
    assert len({row["method"] for row in rows}) >= 5
    for row in rows:
        method, n = row["method"], row["n"]
        own = spent["base" if method in ("base", "soft_bon_base") else "draft", n]
        seconds = 0.0 if row["drafting_free"] and own["source"] == "draft" else own["drawing"]
        seconds += own["scoring"] if method in scored else 0.0
        seconds += own["judging"] if method not in ("draft", "base") else 0.0
        if method == "rsd":
            seconds += (1.0 - accepted[method, None, 1]) * spent["base", 1]["drawing"]
        elif (method, row["beta"], n) in accepted:
            again = spent["base", n]
            seconds += (1.0 - accepted[method, row["beta"], n]) * (again["drawing"] + again["judging"])
        assert row["seconds"] == pytest.approx(seconds, rel=1e-9), method
        limit = spent["base", row["budget_n"]]
        assert seconds <= row["budget"] * 1.001 == pytest.approx((limit["drawing"] + limit["judging"]) * 1.001)


def test_it_goes_on_with_pools_that_are_there(tmp_path: Path) -> None:
    first = study_path(0)
    shutil.copytree(first.parent / "lm_study", tmp_path / "lm_study")
    (pool,) = (tmp_path / "lm_study").glob("*.parquet")
    before = pool.stat().st_mtime_ns
    again = read_artifact(check("lm_study", answers_world(), 0, tmp_path, SETTINGS))
    assert pool.stat().st_mtime_ns == before and len(read_pool(pool).keys()) == 6
    kept = read_artifact(first)
    for name in set(kept.tables) - {"seconds", "equal_cost"}:  # of clocks
        assert again.tables[name] == kept.tables[name]


def test_two_drafts_of_one_name_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="two of them are called draft; leave one out, or rename it"):
        check("lm_study", answers_world(), 0, tmp_path, SETTINGS | {"drafts": ".,other/draft"})


def test_single_answers_are_timed_whatever_the_ns(tmp_path: Path) -> None:
    artifact = read_artifact(check("lm_study", answers_world(), 0, tmp_path, SETTINGS | {"ns": "2,4"}))
    assert set(artifact.tables["seconds"]["n"]) == {1, 2, 4}
    assert {"draft", "rsd", "base"} <= set(artifact.tables["equal_cost"]["method"])


@pytest.mark.parametrize(
    ("changed", "settings", "said"),
    [
        ({}, {"betas": "0,4"}, "betas = 0: the gate compares"),
        ({"step": None, "max_tokens": None}, {}, "give --step answer"),
        ({"limit": 2}, {}, "problems = 2: give at least 4 of either"),
    ],
)
def test_what_cannot_be_studied_is_refused_before_anything_is_drawn(
    changed: dict, settings: dict, said: str, tmp_path: Path
) -> None:
    world = load_world(**({"step": "answer", "max_tokens": 24, "limit": 8} | changed))
    with pytest.raises(InputError, match=said):
        check("lm_study", world, 0, tmp_path, SETTINGS | settings)
    assert not list(tmp_path.iterdir())


def test_too_few_candidates_are_refused_before_anything_is_drawn(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="fresh = 3, problems = 6: give at least 4 of either for n = 4"):
        check("lm_study", answers_world(), 0, tmp_path, SETTINGS | {"fresh": "3"})
    assert not list(tmp_path.iterdir())


def _world(rng: np.random.Generator, size: int, tilt: float, spread: float) -> StudyProblem:
    """Log-normal ratios with E ρ = 1 under the draft, rewards and truth that follow a hidden quality."""

    def side(on_base: bool) -> tuple[Candidates, np.ndarray]:
        quality = rng.normal(tilt if on_base else 0.0, 1.0, size)
        ratio = tilt * quality - 0.5 * tilt**2
        reward = 1.0 / (1.0 + np.exp(-(quality + spread + rng.normal(size=size))))
        right = (rng.random(size) < 1.0 / (1.0 + np.exp(-2.0 * (quality + spread)))).astype(float)
        return Candidates(np.full(size, -np.log(size)), reward, ratio), np.stack([reward, right])

    (draft, mine), (base, others) = side(False), side(True)
    return StudyProblem("p", draft, base, (mine, others))


@pytest.mark.parametrize("shift", [0.0, 0.25])
def test_scores_vary_by_one_where_predictions_are_right_and_by_more_where_they_are_not(shift: float) -> None:
    rng = np.random.default_rng(4)
    problems = [_world(rng, 160, 0.7, rng.normal(0.0, 0.5)) for _ in range(40)]
    if shift:  # what is played on is of other rewards than what predicts
        for problem in problems:
            for values in problem.values:
                values[0, 64:] += shift
    found = results(problems, studied_schemes((1, 4), (5.0,), 0.5), 64, 0)
    z = found.z(0)
    scores = calibration(z[np.isfinite(z)], np.nonzero(np.isfinite(z))[0])
    if shift:
        assert scores.variance > 1.0 + 5.0 * scores.variance_se
    else:
        assert abs(scores.variance - 1.0) < 4.0 * scores.variance_se and scores.variance_se < 0.25


def _rare(rng: np.random.Generator, size: int, share: float) -> StudyProblem:
    """Answers of which few are right, and better rewarded, and log-ratios that tell nothing."""
    sides, values = [], []
    for _ in range(2):
        right = rng.random(size) < share
        reward = 0.5 * right + 0.3 * rng.random(size)
        sides.append(Candidates(np.full(size, -np.log(size)), reward, rng.normal(-0.045, 0.3, size)))
        values.append(np.stack([reward, right]))
    return StudyProblem("p", sides[0], sides[1], (values[0], values[1]))


@pytest.mark.parametrize("seed", range(3))
def test_what_one_side_never_saw_is_not_many_errors_away(seed: int) -> None:
    rng = np.random.default_rng(seed)
    problems = [_rare(rng, 50, share) for share in rng.choice([0.01, 0.03, 0.1, 0.3, 0.9], size=44)]
    found = results(problems, studied_schemes((1, 2, 4, 8), (5.0, 20.0), 0.5), 18, 0)
    for value in (0, 1):
        z = found.z(value)
        scores = calibration(z[np.isfinite(z)], np.nonzero(np.isfinite(z))[0])
        assert np.nanmax(np.abs(z)) < 6.0
        assert abs(scores.variance - 1.0) < 3.0 * scores.variance_se and scores.variance_se < 0.3


@pytest.mark.parametrize(("sets", "runs"), [(2, 1), (18, 4), (3, 12), (18, 32)])
def test_the_variance_of_a_run_is_unbiased_and_scores_of_some_runs_vary_by_one(sets: int, runs: int) -> None:
    """A prediction that is a mean of `sets` draws, of a normal law and of a rare 0/1: 40,000 times, variance known."""
    rng = np.random.default_rng(7)
    for first, rows, true in (
        (rng.normal(2.0, 3.0, (sets, 40_000)), rng.normal(2.0, 3.0, (40_000, runs)), 9.0),
        (rng.random((sets, 40_000)) < 0.2, rng.random((40_000, runs)) < 0.2, 0.16),
    ):
        error = np.full(40_000, np.sqrt(true / sets))
        predicted, square = first.mean(axis=0), (first.astype(float) ** 2).mean(axis=0)
        found = _variance_of_a_run(predicted, square, error, sets, rows.astype(float))
        assert abs(found.mean() - true) < 4.0 * found.std() / 200.0
        varies = np.mean((predicted - rows.mean(axis=1)) ** 2 / (error**2 + found / runs))
        assert 0.96 < varies < 1.02 if runs >= 4 else 0.6 < varies < 0.85


def test_single_draws_vary_as_all_candidates_together() -> None:
    """n = 1: 18 candidates predict, the 32 others are a run each; the variance of the 50, as counted here."""
    problem = _world(np.random.default_rng(2), 50, 0.7, 0.0)
    played = [pair for pair in studied_schemes((1,), (5.0,), 0.5) if pair[0].id == "draft"]
    found = results([problem], played, 18, 0)
    values = problem.values[0][0]
    assert found.runs.tolist() == [32.0] and found.measured[0, 0, 0] == pytest.approx(values[18:].mean())
    short = values.var() + (18 / 50) ** 2 * values[:18].var(ddof=1) / 18
    assert found.variance[0, 0, 0] == pytest.approx(short / (1 - (32 / 50) ** 2 / 32), rel=1e-9)
