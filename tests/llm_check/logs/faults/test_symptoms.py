"""Symptoms of people's logs are found and named, clean logs give no alarm: `benches.doctor_symptoms` at one seed."""

from __future__ import annotations

import pytest

from tests.benches.doctor_symptoms import BY_RATIO, COLD, cells, judged, log_of, why_none

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
    found, named, ids = judged(log_of(*cell[:4], 3), cell[4])
    assert (found, named) == ((True, True) if cell[4] else (False, False)), ids


@pytest.mark.parametrize("symptom", COLD)
def test_draws_at_another_temperature_than_scored_are_refuted_by_tokens(symptom: str) -> None:
    assert judged(log_of(symptom, "long", "both", "tokens", 3), ("temperature_mismatch", "context_mismatch"))[0]
