"""TV curves against the laws they do without; long rows of the race against its two other ways."""

from __future__ import annotations

import numpy as np
import pytest

from gsi_theory import InputError, divergence, selection_law
from gsi_theory.arrays.logscale import normalize
from gsi_theory.arrays.ranked_rows import ranked
from gsi_theory.laws.tv_curve import tv_curve
from gsi_theory.rules import max as max_rule
from gsi_theory.rules import race as race_rule

NS = np.array([1, 2, 3, 10, 57, 256, 10**4, 10**9])


def pool(kind: str) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(12)
    size = {"one": 1, "two": 2, "tied": 40}.get(kind, 900)
    mass = normalize(rng.normal(size=size) * (0.0 if kind == "tied" else 2.0))
    weight = rng.normal(size=size) * {"flat": 1e-9, "wide": 60.0}.get(kind, 3.0)
    if kind == "tied":
        weight = np.round(weight)
    if kind == "zeros":
        mass[5], weight[7] = -np.inf, -np.inf
        mass = normalize(mass)
    return mass, weight


@pytest.mark.parametrize("kind", ["one", "two", "tied", "plain", "flat", "wide", "zeros"])
@pytest.mark.parametrize("rule", ["softmax", "race"])
def test_curve_equals_the_tv_of_the_laws(kind: str, rule: str) -> None:
    log_mass, weight = pool(kind)
    log_pi = normalize(np.where(np.isfinite(log_mass), log_mass + weight, -np.inf))
    law = selection_law(log_mass, weight, NS, rule)
    curve = tv_curve(log_mass, weight, NS, rule)
    assert np.all(np.abs(curve - divergence.tv(law.log_prob, log_pi)) <= 2.0 * law.error + 1e-15)


@pytest.mark.parametrize("rule", ["softmax", "race"])
def test_curve_at_many_n(rule: str) -> None:
    """Crossings at many places, beside steps that no weight falls into included."""
    log_mass, weight = pool("plain")
    law = selection_law(log_mass, weight, np.arange(1, 2000), rule)
    apart = divergence.tv(law.log_prob, normalize(log_mass + weight))
    assert np.all(np.abs(tv_curve(log_mass, weight, np.arange(1, 2000), rule) - apart) <= 2.0 * law.error + 1e-15)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (([0.0], [0.0], [0]), r"n\[0\] = 0"),
        (([0.0], [0.0], [[1]]), "shape"),
        (([0.0], [0.0], [1], "max"), "rule 'max'"),
    ],
)
def test_bad_input(arguments: tuple, words: str) -> None:
    with pytest.raises(InputError, match=words):
        tv_curve(*arguments)


@pytest.mark.parametrize("spread", [1e-10, 0.1, 3.0, 30.0])
@pytest.mark.parametrize("n", [2, 16, 10**9])
@pytest.mark.parametrize("heavy", [0.0, 50.0])
def test_long_rows_of_the_race(monkeypatch: pytest.MonkeyPatch, n: int, spread: float, heavy: float) -> None:
    """20,000 candidates with ties, one with all but 1e-10 of the mass, or none: compiled walk, array operations and log
    scale agree within twice `log_error`."""
    rng = np.random.default_rng(3)
    weight = rng.normal(size=20_000) * spread
    weight[::3] = weight[0]
    log_mass = rng.normal(size=weight.size) * 5
    log_mass[7] += heavy
    log_mass = normalize(log_mass)
    walk = selection_law(log_mass, weight, n, "race")
    monkeypatch.setattr(max_rule, "LARGE", 10**9)
    arrays = selection_law(log_mass, weight, n, "race")
    monkeypatch.setattr(race_rule, "LINEAR", -1.0)
    logs = selection_law(log_mass, weight, n, "race")
    for other in (arrays, logs):
        visible = walk.log_prob > np.log(1e-300)
        assert np.max(np.abs(walk.log_prob - other.log_prob)[visible]) <= 2.0 * walk.log_error


@pytest.mark.parametrize("digits", [None, 0, -9])
@pytest.mark.parametrize("n", [2, 16, 10**9])
@pytest.mark.parametrize("heavy", [0.0, 25.0, 50.0])
def test_long_rows_of_max(monkeypatch: pytest.MonkeyPatch, n: int, digits: int | None, heavy: float) -> None:
    """20,000 candidates without ties, with many, all alike: compiled walk and array operations."""
    rng = np.random.default_rng(4)
    weight, log_mass = 3.0 * rng.normal(size=20_000), 3.0 * rng.normal(size=20_000)
    weight = weight if digits is None else np.round(weight, digits)
    log_mass[7] += heavy
    log_mass = normalize(log_mass)
    walk = selection_law(log_mass, weight, n, "max")
    monkeypatch.setattr(max_rule, "LARGE", 10**9)
    arrays = selection_law(log_mass, weight, n, "max")
    visible = walk.log_prob > np.log(1e-300)
    assert visible.any() and np.array_equal(visible, arrays.log_prob > np.log(1e-300))
    assert np.max(np.abs(walk.log_prob - arrays.log_prob)[visible]) <= 2.0 * walk.log_error


@pytest.mark.parametrize("kind", ["spread", "signs", "ties", "near", "close", "one"])
def test_ranks_of_long_rows(kind: str) -> None:
    """Few weights that agree in all bits that the keys keep ("near": insertions), and many ("close": another sort)."""
    rng = np.random.default_rng(5)
    weight = rng.normal(size=1 if kind == "one" else 30_000)
    if kind == "signs":
        weight[::3], weight[1::3] = 0.0, -0.0
    if kind == "ties":
        weight = np.round(weight)
    if kind in ("near", "close"):
        weight = 1.0 + 2.0**-52 * rng.integers(2 ** (26 if kind == "near" else 20), size=weight.size)
        weight[::2] = 1.0
    order, sorted_weight, mass = ranked(weight, np.arange(weight.size, dtype=float))
    assert np.array_equal(sorted_weight, -np.sort(-weight)) and np.array_equal(np.sort(order), np.arange(weight.size))
    assert np.array_equal(weight[order], sorted_weight) and np.array_equal(mass, order)


@pytest.mark.parametrize("rule", ["softmax", "race", "max"])
def test_equal_masses_do_not_drift(rule: str) -> None:
    """A plain running sum of 2·10⁵ equal masses is off by 1e-12; the tied law must stay the proposal."""
    size = 200_000
    law = selection_law(np.full(size, -np.log(size)), np.zeros(size), 10**6, rule)
    assert np.max(np.abs(law.log_prob + np.log(size))) <= 2e-14


@pytest.mark.parametrize("rule", ["softmax", "race"])
def test_curve_of_torch_tensors(rule: str) -> None:
    torch = pytest.importorskip("torch")
    log_mass, weight = pool("plain")
    curve = tv_curve(torch.tensor(log_mass, requires_grad=True), torch.tensor(weight), [1, 4, 16], rule)
    np.testing.assert_array_equal(curve, tv_curve(log_mass, weight, [1, 4, 16], rule))
