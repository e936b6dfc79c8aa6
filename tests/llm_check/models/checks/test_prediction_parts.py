"""The parts of the prediction check by hand: which candidates predict, signs and sizes of scores, who picks cells."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from scipy import stats

from gsi_theory import InputError, Scheme
from llm_check.logs.pools.pool import pool_from_columns
from llm_check.models.checks import (
    decision_noise as noise,
)
from llm_check.models.checks import (
    fresh_run_cells as prediction_cells,
)
from llm_check.models.checks import (
    fresh_runs as prediction,
)
from llm_check.models.checks.check_settings import read_settings
from llm_check.models.checks.fresh_run_cells import Measured, halves, position_cells
from llm_check.models.checks.fresh_runs import resolved
from llm_check.models.checks.significance import holm
from llm_check.models.tiny.exact_steps import checked_positions
from llm_check.models.world import World, load_world

KEY = ("p", 0)


@pytest.fixture(scope="module")
def world() -> World:
    return load_world()


def test_the_halves_are_disjoint_and_keep_each_candidate_together() -> None:
    """Candidate c of the draft has reward c/100, log-ratio c and c + 1 tokens; of the base (20 + c)/100 and so on."""
    number = np.r_[np.arange(8), 20 + np.arange(6)]
    pool = pool_from_columns({
        "prompt_id": ["p"] * 14, "step": [0] * 14, "source": ["draft"] * 8 + ["base"] * 6,
        "candidate": [*range(8), *range(6)], "logp_draft": -40.0 - number, "logp_base": np.full(14, -40.0),
        "reward": number / 100, "n_tokens": number + 1,
    })  # fmt: skip
    for start, half in enumerate(halves(pool, KEY)):
        for found, values, own in (
            (half.draft, half.draft_values, np.arange(start, 8, 2)),
            (half.base, half.base_values, np.arange(20 + start, 26, 2)),
        ):
            np.testing.assert_allclose(found.reward, own / 100)
            np.testing.assert_allclose(found.log_ratio, own)
            np.testing.assert_allclose(np.exp(found.log_mass), 1 / len(own))
            np.testing.assert_allclose(values["reward"], own / 100)
            np.testing.assert_allclose(values["length"], own + 1)


def test_a_cells_score_is_predicted_less_measured_over_all_that_is_uncertain() -> None:
    measured = Measured(mean=0.2, error=9.0, one=0.02, other_one=9.0, own_one=9.0)
    cell = prediction_cells._cell("reward", (0.5, 0.04, 0.3), measured, runs=100)
    assert cell["z"] == pytest.approx(0.3 / np.sqrt(0.04**2 + 0.3**2 / 100 + 0.02**2))
    assert prediction_cells._z(-0.3, 0.0) == -np.inf
    assert prediction_cells._z(1e-13, 0.0) == 0.0


def _table(gaps: np.ndarray) -> dict[str, list[Any]]:
    """gaps (schemes, problems) between prediction and measurement; the schemes differ in n."""
    table: dict[str, list[Any]] = {}
    for s, row in enumerate(gaps):
        for p, gap in enumerate(row):
            cell = {
                "rule": "softmax", "gate": "none", "beta": 1.0, "n": s + 1, "quantity": "reward", "problem_id": f"p{p}",
                "predicted": 0.5 + gap, "predicted_se": 0.03, "measured": 0.5, "measured_se": 0.04, "exact": None,
                "one_run": 0.001, "z": gap / 0.05, "split_z": gap / 0.05, "other_half_se": 0.04,
                "other_half_one": 0.001, "measured_one": 0.001,
            }  # fmt: skip
            for name, value in cell.items():
                table.setdefault(name, []).append(value)
    return table


def test_means_over_problems_are_students_t_with_the_sign_of_the_difference() -> None:
    gaps = np.random.default_rng(81).normal(0.0, 0.05, (6, 12))
    gaps[0] += 0.1
    gaps[1] -= 0.1
    means = prediction._means(_table(gaps))
    oracle = stats.ttest_1samp(gaps, 0.0, axis=1)
    np.testing.assert_allclose(means["p_value"], oracle.pvalue)
    np.testing.assert_allclose(means["z"], np.sign(oracle.statistic) * stats.norm.isf(oracle.pvalue / 2))
    np.testing.assert_allclose(means["difference"], gaps.mean(axis=1))
    np.testing.assert_allclose(means["predicted_se"], 0.03 / np.sqrt(12))
    assert means["z"][0] > 3 > -3 > means["z"][1]


def test_the_verdict_is_over_all_comparisons_together() -> None:
    """200 schemes, none wrong: some p-values are below the level, and the check passes; with one wrong it fails."""
    gaps = np.random.default_rng(83).normal(0.0, 0.05, (200, 12))
    table = _table(gaps)
    means = prediction._means(table)
    assert min(means["p_value"]) < prediction.LEVEL
    np.testing.assert_array_equal(means["p_holm"], holm(np.array(means["p_value"])))
    right = prediction._summary(means, table)
    assert right["passed"] is True
    assert right["bonferroni_bound"] == pytest.approx(stats.norm.isf(prediction.LEVEL / 400))
    for name in ("calibration", "halves_calibration"):
        assert abs(right[name]["variance"] - 1.0) <= 4 * right[name]["variance_se"]
        assert right[name]["clusters"] == 12
    gaps[7] += 0.2
    table = _table(gaps)
    wrong = prediction._summary(prediction._means(table), table)
    assert wrong["passed"] is False
    assert wrong["worst"]["n"] == 8


def test_false_alarms_stay_below_the_level() -> None:
    """600 checks of 20 schemes that share their problems, nothing wrong: at most 1 % may fail, whatever depends."""
    rng = np.random.default_rng(84)
    failed = 0
    for _ in range(600):
        shared = rng.normal(0.0, 0.05, (1, 15))
        p = stats.ttest_1samp(0.7 * shared + rng.normal(0.0, 0.05, (20, 15)), 0.0, axis=1).pvalue
        failed += holm(p).min() <= prediction.LEVEL
    assert failed <= 600 * 0.01 + 4 * np.sqrt(600 * 0.01)


def test_cells_are_picked_by_a_witness_of_neither_number() -> None:
    table: dict[str, list[Any]] = {
        "other_half_se": [0.1, 0.1, 0.0, 0.1], "other_half_one": [0.01, 0.05, 0.0, 0.01],
        "measured_se": [0.1, 0.1, 0.1, 0.0], "measured_one": [0.01, 0.01, 0.01, 0.01],
    }  # fmt: skip
    assert resolved(table, "other_half").tolist() == [True, False, False, True]
    assert resolved(table, "measured").tolist() == [True, True, True, False]
    # The summary asks the other half about prediction against measurement, and the measurement about the halves.
    cells = _table(np.zeros((3, 4)))
    cells["other_half_se"][:4] = [0.0] * 4
    cells["measured_se"][4:] = [0.0] * 8
    found = prediction._summary(prediction._means(cells), cells)
    assert found["calibration"]["cells"] == 8
    assert found["halves_calibration"]["cells"] == 4


class Recording:
    """An engine that writes down the streams it draws from."""

    def __init__(self, engine: Any, seen: list[Any]) -> None:
        self._engine, self._seen = engine, seen

    def __getattr__(self, name: str) -> Any:
        return getattr(self._engine, name)

    def sample(self, prefixes: Any, n: int, streams: Any, rule: Any) -> Any:
        self._seen.append(tuple(streams))
        return self._engine.sample(prefixes, n, streams, rule)


def test_fresh_runs_share_no_stream_with_the_pool(world: World) -> None:
    seen: list[Any] = []
    watched = SimpleNamespace(draft=Recording(world.draft, seen), base=Recording(world.base, seen))
    models = world.models.__class__(watched.draft, watched.base, world.reward_model)
    shown = {name: getattr(world, name) for name in ("reward_model", "rule", "task", "step", "template", "max_steps")}
    place = checked_positions(world, 3, 1)[0]
    fake: Any = SimpleNamespace(**shown, draft=watched.draft, base=watched.base, models=models)
    cells = [cell for _, cell in position_cells(fake, place, [Scheme(2.0, 2), Scheme(2.0, 2, 0.5)], 16, 20, 5)]
    assert {cell["quantity"] for cell in cells} == {"reward", "length", "accuracy", "p_accept"}
    drawn = [stream for streams in seen for stream in streams]
    assert len(drawn) == len(set(drawn)) == 4  # draft and base, of the pool and of the runs
    assert {stream.prompt_id for stream in drawn} == {place.prompt_id}


def test_the_noise_check_compares_base_less_draft(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    caught: list[tuple[Any, Any]] = []

    def watch(reward: Any, ratios: Any, uniforms: Any, scheme: Scheme) -> dict[str, Any]:
        caught.append(ratios)
        return {}

    monkeypatch.setattr(noise, "flips", watch)
    place = checked_positions(world, 3, 1)[0]
    swapped: Any = SimpleNamespace(draft=world.base, base=world.draft)
    _, difference, _ = noise._rows(world, swapped, place, [Scheme(2.0, 4, 0.5)], 500, 1)
    ((mine, other),) = caught
    np.testing.assert_allclose(other, -mine)
    np.testing.assert_allclose(difference, -2 * mine.ravel())
    ratio = np.exp(mine)
    assert abs(ratio.mean() - 1.0) <= 5 * ratio.std() / np.sqrt(ratio.size)  # E[base/draft] = 1 under the draft
    assert abs(np.exp(-mine).mean() - 1.0) > 5 * np.exp(-mine).std() / np.sqrt(ratio.size)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ({"draws": "0"}, "setting draws = '0': give a whole number from 1 to 2\\^53"),
        ({"tolerance": "nan"}, "setting tolerance = 'nan'"),
        ({"betas": "1,nan"}, "setting betas = '1,nan'"),
        ({"ns": "4,0"}, "setting ns = '4,0'"),
        ({"exact": "-1"}, "setting exact = '-1': give a whole number of at least 0"),
        ({"betas": ""}, "setting betas = ''"),
        ({"betas": "1,-1"}, "setting betas = '1,-1': give a number from 0 to 1e12, several with commas"),
        ({"betas": "inf"}, "setting betas = 'inf'"),
        ({"tolerance": "1"}, "setting tolerance = '1': give a mass of at least 0 and below 1"),
        ({"ns": "1e3"}, "setting ns = '1e3'"),
        ({"draws": "9" * 5001}, "setting draws = '99999"),
        ({"rules": "softmax,sofmax"}, "setting rules = 'softmax,sofmax': give one of"),
        ({"threshold": "nan"}, "setting threshold = 'nan'"),
        ({"foo": "1"}, "setting 'foo': give one of draws"),
    ],
)
def test_settings_out_of_range_are_refused(text: dict[str, str], message: str, tmp_path: Path) -> None:
    defaults = {
        "draws": 10, "tolerance": 1e-6, "betas": (1.0,), "ns": (1,), "exact": 4, "rules": ("race",), "threshold": 0.5,
    }  # fmt: skip
    with pytest.raises(InputError, match=message):
        read_settings(text, defaults)
    assert read_settings({"exact": "0", "betas": "1,2"}, defaults) == defaults | {"exact": 0, "betas": (1.0, 2.0)}
