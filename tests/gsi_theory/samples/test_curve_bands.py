"""Bands over n and the turning point: they cover, they say when betting makes them, and never accuse too often."""

from __future__ import annotations

import numpy as np
import pytest

from gsi_theory.samples.curve_bands import curve_bands, simultaneous_level
from gsi_theory.samples.intervals import bounded_mean, fixed_mean, population_mean
from gsi_theory.samples.turning_point import turning_point

NS = np.array([1, 2, 4, 8])
DRAWS = np.full(12, 64)


def _values(seed: int, prompts: int = 12) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return 0.2 + 0.1 * np.arange(4) + 0.1 * rng.random((prompts, 1)) + 0.05 * rng.random((prompts, 4))


def test_a_point_is_the_interval_of_its_column() -> None:
    values, variance = _values(1), np.full((12, 4), 0.01)
    band = curve_bands(values, variance, DRAWS, NS, bounds=(0.0, 1.0))
    like, these = population_mean(values, bounds=(0.0, 1.0)), fixed_mean(values, np.sqrt(variance))
    assert np.allclose(band.low_prompts, like.low) and np.allclose(band.se_prompts, like.stderr)
    assert np.allclose(band.low_fixed, these.low) and np.allclose(band.se_fixed, these.stderr)
    assert (band.low < band.low_prompts).all() and (band.high > band.high_prompts).all()
    assert band.speaking.tolist() == [12] * 4 and band.trusted_fixed.all()


def test_silent_prompts_are_left_out_of_their_column() -> None:
    values, variance = _values(2), np.full((12, 4), 0.01)
    values[:5, 3] = variance[:5, 3] = np.nan
    draws = np.where(np.arange(12) < 5, 4, 64)
    band = curve_bands(values, variance, draws, NS)
    assert band.speaking.tolist() == [12, 12, 12, 7]
    assert band.mean[3] == values[5:, 3].mean()
    assert band.low_prompts[3] == population_mean(values[5:, 3]).low
    values[:, 3] = np.nan
    assert np.isnan(curve_bands(values, variance, draws, NS).low[3])


def test_one_prompt_and_one_draw_say_what_they_can() -> None:
    values = _values(3, 1)
    band = curve_bands(values, np.full((1, 4), 0.01), DRAWS[:1], NS)
    assert np.isnan(band.se_prompts).all() and (band.low < band.low_fixed).all() and np.isfinite(band.high).all()
    alone = curve_bands(_values(4), np.full((12, 4), np.inf), DRAWS, NS)
    assert np.isnan(alone.se_fixed).all() and np.isfinite(alone.low).all()


def test_where_nothing_fails_betting_makes_both_intervals() -> None:
    band = curve_bands(np.ones((12, 4)), np.zeros((12, 4)), DRAWS, NS, bounds=(0.0, 1.0))
    safe = bounded_mean(np.ones(12), 0.0, 1.0)
    assert not band.trusted_prompts.any() and not band.trusted_fixed.any()
    assert np.allclose(band.low_prompts, safe.low) and np.allclose(band.low_fixed, safe.low)
    assert (band.low < band.low_prompts).all() and np.allclose(band.high, 1.0)


def test_the_level_lies_between_one_interval_and_bonferroni() -> None:
    rng = np.random.default_rng(5)
    column = rng.normal(size=(200, 1))
    assert simultaneous_level(np.tile(column, 6), 0.95) == pytest.approx(0.95, abs=4e-3)
    apart = simultaneous_level(rng.normal(size=(4000, 6)), 0.95)
    assert apart == pytest.approx(0.95 ** (1 / 6), abs=1.5e-3) and apart <= 1 - 0.05 / 6 + 1e-12
    assert simultaneous_level(rng.normal(size=(4, 6)), 0.95) == pytest.approx(1 - 0.05 / 6)
    assert simultaneous_level(column, 0.95) == 0.95
    assert simultaneous_level(np.ones((9, 3)), 0.95) <= 1 - 0.05 / 3 + 1e-12
    # a point where one prompt speaks has no interval
    values, lone = rng.normal(size=(30, 3)), np.full((30, 1), np.nan)
    lone[4] = 1.0
    assert simultaneous_level(np.hstack([values, lone]), 0.95) == simultaneous_level(values, 0.95)
    # and a prompt that is silent says nothing
    silent = np.vstack([values, np.full((5, 3), np.nan)])
    assert simultaneous_level(silent, 0.95) == pytest.approx(simultaneous_level(values, 0.95), abs=1e-9)


def test_bands_cover_and_are_not_idle() -> None:
    """0/1 values whose curve rises: the band holds in 94 % at least, and is narrower than Bonferroni's."""
    rng, inside, logs = np.random.default_rng(6), 0, 300
    chance = np.array([0.35, 0.5, 0.6, 0.65])
    for seed in range(logs):
        values = (rng.random((20, 1)) < chance).astype(float)
        band = curve_bands(values, np.full((20, 4), np.inf), np.full(20, 8), NS, bounds=(0.0, 1.0), seed=seed)
        inside += bool(((band.low <= chance) & (chance <= band.high)).all())
    assert inside >= 0.94 * logs - 2 * np.sqrt(0.06 * 0.94 * logs)
    assert simultaneous_level((rng.random((2000, 1)) < chance).astype(float), 0.95) < 1 - 0.05 / 4 - 1e-3


def _gold(rng: np.random.Generator, curve: np.ndarray, prompts: int) -> np.ndarray:
    return curve + 0.2 * rng.normal(size=(prompts, 1)) + 0.05 * rng.normal(size=(prompts, curve.size))


def test_a_curve_that_falls_is_told_with_its_peak() -> None:
    rng = np.random.default_rng(7)
    turn = turning_point(_gold(rng, np.array([0.4, 0.6, 0.55, 0.3]), 40), NS)
    assert turn is not None and turn.turns and (turn.peak, turn.last, turn.prompts) == (2, 8, 40)
    assert turn.low <= 0.3 <= turn.high and turn.low > 0


def test_a_flat_curve_is_seldom_accused() -> None:
    """The peak of a flat curve is somewhere by chance; two-sided 95 % bands accuse in at most 2.5 %."""
    rng, logs = np.random.default_rng(8), 400
    turns = [turning_point(_gold(rng, np.full(4, 0.5), 15), NS, seed=k) for k in range(logs)]
    accused = sum(bool(turn and turn.turns) for turn in turns)
    assert accused <= 0.025 * logs + 2.5 * np.sqrt(0.025 * logs)
    rising = [turning_point(_gold(rng, np.array([0.3, 0.4, 0.5, 0.6]), 15), NS, seed=k) for k in range(40)]
    assert not any(turn and turn.turns for turn in rising) and all(turn and turn.fall == 0 for turn in rising)


def test_too_little_to_test() -> None:
    assert turning_point(_values(1)[:1], NS) is None and turning_point(_values(1)[:, :1], NS[:1]) is None


def test_equal_values_do_not_turn() -> None:
    for gold in (np.ones((10, 4)), np.tile(np.random.default_rng(0).random((10, 1)), 4)):
        found = turning_point(gold, NS)
        assert found is not None and not found.turns and (found.fall, found.prompts) == (0.0, 10)
    falling = turning_point(np.array([0.5, 0.9, 0.6, 0.4]) + np.zeros((10, 1)), NS)
    assert falling is not None and falling.turns
    assert (falling.surest, falling.peak, falling.fall) == (NS[1], NS[1], pytest.approx(0.5))
