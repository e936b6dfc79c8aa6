"""The statistics of the held-out bench tell right errors from wrong ones, and lose nothing."""

import numpy as np
import pytest

from tests.benches.predict import _summary, ratios, z_scores

POSITIONS, SCHEMES = 400, 6


def _world(seed: int, factor: float) -> tuple[np.ndarray, np.ndarray]:
    """Differences of skewed scale, and errors `factor` times the right ones."""
    rng = np.random.default_rng(seed)
    error = rng.lognormal(0.0, 0.8, size=(SCHEMES, POSITIONS))
    return rng.normal(size=error.shape) * error, factor * error


@pytest.mark.parametrize(("factor", "right"), [(1.0, True), (0.7, False), (1.5, False)])
def test_ratio_is_one_for_right_errors_only(factor: float, right: bool) -> None:
    gap, error = _world(3, factor)
    value, low, high = ratios(gap, error, 0)
    assert (low <= 1.0 <= high) == right
    assert low <= value <= high
    assert value * factor**2 == pytest.approx(ratios(gap, error / factor, 0)[0])


def test_ratio_covers_one_at_its_level() -> None:
    hits = sum(low <= 1.0 <= high for _, low, high in (ratios(*_world(s, 1.0), s) for s in range(60)))
    assert hits >= 50  # P(Binomial(60, 0.95) < 50) = 6e-4; a bootstrap of a skewed sum is a little short


def test_errors_of_zero_that_differ_are_never_lost() -> None:
    gap, error = np.zeros((1, 40)), np.zeros((1, 40))
    assert ratios(gap, error, 0) == (1.0, 1.0, 1.0)
    gap[0, 3] = 0.1
    assert ratios(gap, error, 0)[0] == np.inf
    other = _world(1, 1.0)
    z, effective = z_scores(np.vstack([gap, other[0][:1, :40]]), np.vstack([error, other[1][:1, :40]]), 20)
    assert np.isinf(z[0, 0]) and z[0, 1] == 0.0
    assert _summary(z, effective)["worst"] == np.inf


def test_few_blocks_are_reported() -> None:
    gap, error = np.ones((SCHEMES, POSITIONS)), np.ones((SCHEMES, POSITIONS))
    error[0], gap[0] = 1e-9, 0.0
    error[0, ::20], gap[0, ::20] = 1.0, 10.0
    found = _summary(*z_scores(gap, error, 20))
    assert found["left_out"] == POSITIONS // 20
    assert found["few_z_variance"] == pytest.approx(100.0, rel=1e-6)
