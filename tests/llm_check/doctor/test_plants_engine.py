"""Faults planted in the embedded models are really there: what is drawn follows another law than what is logged."""

from __future__ import annotations

import numpy as np
import pytest

from llm_check.doctor.doctor import doctor
from llm_check.doctor.plants import Sampling
from llm_check.doctor.plants_engine import engine_columns
from llm_check.pools.pool import pool_from_columns
from llm_check.world import load_world

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
    assert cause in [finding.id for finding in doctor(pool_from_columns(columns)).findings]
    assert doctor(pool_from_columns(clean)).valid
