"""Faults planted in the embedded models are really there: what is drawn follows another law than what is logged."""

from __future__ import annotations

import numpy as np
import pytest

from llm_check.logs.pools.diagnosis import diagnose
from llm_check.logs.pools.pool import pool_from_columns
from llm_check.models.world import load_world
from tests.plants.engine_faults import engine_columns
from tests.plants.pool_faults import Sampling

PLAIN = Sampling()


@pytest.mark.parametrize(
    ("draft", "cause"), [(Sampling(0.7), "temperature_mismatch"), (Sampling(1.0, 0.95), "truncated_sampling")]
)
def test_the_doctor_finds_what_the_engine_was_made_to_do(draft: Sampling, cause: str) -> None:
    columns, _ = engine_columns(load_world(), 5, 50, 64, draft, PLAIN)
    # colder or cut sampling prefers likely steps: the log says so too
    clean, _ = engine_columns(load_world(), 5, 50, 64, PLAIN, PLAIN)
    own = np.array(columns["source"]) == "draft"
    assert np.mean(np.array(columns["logp_draft"])[own]) > np.mean(np.array(clean["logp_draft"])[own])
    assert cause in [finding.id for finding in diagnose(pool_from_columns(columns)).findings]
    assert diagnose(pool_from_columns(clean)).valid
