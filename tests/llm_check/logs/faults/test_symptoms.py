"""Symptoms of people's logs are found and named, clean logs give no alarm: `benches.doctor_symptoms` at one seed."""

from __future__ import annotations

import numpy as np
import pytest

from tests.benches.doctor_symptoms import BY_RATIO, COLD, cells, diagnosis_of, judged, log_of, why_none

CELLS = [
    cell
    for k, cell in enumerate(cells())
    # whole steps of both kinds, and tokens where they are quick to make; what only ratios tell needs more seeds
    if not why_none(*cell[:4])
    and (cell[3] != "tokens" or k % 4 == 0)
    and not (cell[0] in BY_RATIO and cell[3] == "steps")
]


@pytest.mark.parametrize("cell", CELLS, ids=lambda cell: ", ".join(cell[:4]))
def test_a_symptom_is_found_and_named(cell: tuple[str, str, str, str, tuple[str, ...]]) -> None:
    outcome = judged(log_of(*cell[:4], 3), cell[4])
    assert (outcome.found, outcome.named) == ((True, True) if cell[4] else (False, False)), outcome.ids


def test_a_power_of_the_ratios_names_a_division_by_temperature() -> None:
    """Of ρ with E ρ = 1, drafts alone and no repeats: logged is ρ^(1/T), refuted (M45); its power of mean 1 is T."""
    rng = np.random.default_rng(0)
    size, temperature = 6000, 0.7
    ratio = rng.normal(-0.5, 1.0, size=size)
    columns = {
        "prompt_id": [f"p{k // 50}" for k in range(size)], "step": [0] * size, "source": ["draft"] * size,
        "candidate": [k % 50 for k in range(size)], "reward": rng.random(size).tolist(),
        "logp_draft": (-90.0 + rng.normal(size=size)).tolist(),
    }  # fmt: skip
    right = columns | {"logp_base": (np.array(columns["logp_draft"]) + ratio).tolist()}
    assert diagnosis_of(right).valid
    divided = {name: (np.array(right[name]) / temperature).tolist() for name in ("logp_draft", "logp_base")}
    (finding,) = [f for f in diagnosis_of(right | divided).findings if f.severity == "error"]
    assert finding.id == "temperature_mismatch" and finding.evidence["draft"]["log_e_value"] > np.log(1000.0)
    assert finding.evidence["draft"]["power_of_mean_one"] == pytest.approx(temperature, abs=0.1)
    # the other way round the mean log-ratio is positive: the columns
    swapped = right | {"logp_draft": right["logp_base"], "logp_base": right["logp_draft"]}
    (finding,) = [f for f in diagnosis_of(swapped).findings if f.severity == "error"]
    assert finding.id == "exchanged_columns" and "undecided" in finding.evidence


@pytest.mark.parametrize("symptom", COLD)
def test_draws_at_another_temperature_than_scored_are_refuted_by_tokens(symptom: str) -> None:
    assert judged(log_of(symptom, "long", "both", "tokens", 3), ("temperature_mismatch", "context_mismatch")).found


def test_a_temperature_is_not_called_a_truncation() -> None:
    """Cold draws are fewer new ones, as truncated ones are: where repeats allow both, both stand, and it is said."""
    for seed in (101, 102, 103):
        for symptom in ("drawn at 0.7, scored at 1", "log-probs divided by 0.7"):
            outcome = judged(log_of(symptom, "short", "drafts", "steps", seed), ("temperature_mismatch",))
            assert outcome.named or outcome.open, (seed, symptom, outcome)


def test_a_reward_that_failed_makes_no_other_step() -> None:
    """Whole steps without texts are told by their log-probabilities: equal ones with a reward of 0.0 are equal."""
    assert judged(log_of("failed rewards 0.0", "short", "both", "steps", 37), ("failed_rewards",)).named
