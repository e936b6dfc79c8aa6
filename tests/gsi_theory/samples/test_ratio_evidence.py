"""The e-value of M45: its mean under right logs by enumeration, its level on heavy tails, its power on faults."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from scipy.special import log_softmax

from gsi_theory.errors import InputError
from gsi_theory.samples.ratio_evidence import log_e_ratio


@pytest.mark.parametrize(
    ("draft", "base", "mean"),
    [
        ((0.5, 0.3, 0.2), (0.1, 0.3, 0.6), 1.0),
        ((0.999, 0.001, 0.0), (0.5, 0.5, 0.0), 1.0),
        ((0.6, 0.4), (0.1, 0.5), 0.6),
    ],
)
def test_its_mean_over_all_draws_is_one_and_less_where_the_base_is_not_covered(
    draft: tuple[float, ...], base: tuple[float, ...], mean: float
) -> None:
    """Four draws, every sequence with its probability; in the last pair the base has mass 0.4 the draft never draws."""
    total = 0.0
    for draws in itertools.product(range(len(draft)), repeat=4):
        chance = math.prod(draft[d] for d in draws)
        if chance:
            total += chance * math.exp(log_e_ratio([math.log(base[d] / draft[d]) for d in draws]))
    assert total == pytest.approx(1.0, abs=1e-12) if mean == 1.0 else mean**4 < total < 1.0


def test_one_draw_in_a_hundred_refutes_a_right_log_at_most_whatever_the_tail() -> None:
    rng = np.random.default_rng(0)
    alarms = 0
    for trial in range(2000):
        spread, size = (0.1, 1.0, 3.0, 8.0)[trial % 4], (3, 40, 400)[trial % 3]
        alarms += log_e_ratio(spread * rng.normal(size=size) - 0.5 * spread**2) > math.log(100.0)
    assert alarms <= 35  # P(Binomial(2000, 0.01) > 35) = 6e-4


def test_prompts_chosen_from_the_past_and_tokens_given_their_prefix_keep_the_level() -> None:
    """The spread of the next ratio is chosen to spite what was seen; each has mean one given the past."""
    rng, alarms = np.random.default_rng(1), 0
    for _ in range(1000):
        ratios: list[float] = []
        for _ in range(30):
            spread = 0.3 if sum(ratios) > 0 else 4.0
            ratios.append(spread * rng.normal() - 0.5 * spread**2)
        alarms += log_e_ratio(ratios) > math.log(20.0)
    assert alarms <= 72  # P(Binomial(1000, 0.05) > 72) = 1e-3


def _laws(rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Log-probabilities of 30 tokens under draft and base at 12 places."""
    common = 2.0 * rng.normal(size=(12, 30))
    return log_softmax(common, axis=1), log_softmax(common + 0.6 * rng.normal(size=(12, 30)), axis=1)


@pytest.mark.parametrize("fault", ["right", "exchanged", "draft at 0.5", "mean for sum", "padded"])
def test_planted_faults_are_refuted_by_a_few_dozen_steps_and_a_right_log_is_not(fault: str) -> None:
    """Forty drafts of twelve tokens, whole steps: the logs of both models as the fault makes them."""
    refuted = 0
    for seed in range(20):
        rng = np.random.default_rng(seed)
        draft, base = _laws(rng)
        drawn = np.array([rng.choice(30, size=40, p=np.exp(row)) for row in draft])
        if fault == "draft at 0.5":
            draft = log_softmax(draft / 0.5, axis=1)
        one, other = (np.take_along_axis(logs, drawn, axis=1).sum(axis=0) for logs in (draft, base))
        logged = {
            "exchanged": one - other,
            "mean for sum": other / 12.0 - one,
            "padded": np.where(np.arange(40) % 10, other, 0.0) - one,
        }
        refuted += log_e_ratio(logged.get(fault, other - one)) > math.log(1000.0)
    assert refuted == 0 if fault == "right" else refuted >= 18


def test_its_ends() -> None:
    assert log_e_ratio([]) == 0.0 and log_e_ratio([0.0] * 50) == pytest.approx(0.0, abs=1e-12)
    assert -80.0 < log_e_ratio([-np.inf] * 20) < 0.0
    assert log_e_ratio([9999.0]) == pytest.approx(9999.0, abs=1.0)
    assert log_e_ratio(np.full(70_000, 0.01)) == pytest.approx(70_000 * np.log1p(0.982 * 0.01005), rel=0.02)
    for bad in ([np.nan], [np.inf], [[0.0]]):
        with pytest.raises(InputError):
            log_e_ratio(bad)
