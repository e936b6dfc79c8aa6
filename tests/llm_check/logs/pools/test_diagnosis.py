"""What the doctor says that it did not test."""

from __future__ import annotations

import numpy as np
import pytest

from llm_check.logs.pools import evidence
from llm_check.logs.pools.diagnosis import diagnose
from llm_check.logs.pools.pool import pool_from_columns
from tests.plants.pool_faults import Sampling, TokenWorld


def test_a_part_that_was_checked_is_said_to_be_one(monkeypatch: pytest.MonkeyPatch) -> None:
    """A pool that fits is checked whole, and nothing is said."""
    pool = pool_from_columns(TokenWorld(4).columns(6, 16, Sampling(), Sampling()))
    rows, positions = pool.arrays.order.size, len(pool.arrays.names)
    monkeypatch.setattr(evidence, "MOST_ROWS", rows)
    assert not [line for line in diagnose(pool).untested if "were checked" in line]
    monkeypatch.setattr(evidence, "MOST_ROWS", rows // positions * 2)
    assert f"draws and ratios of 2 of {positions} positions were checked" in diagnose(pool).untested


@pytest.mark.parametrize(
    ("sources", "words"),
    [
        (("draft", "base"), "was checked by its balance with the other source only"),
        (("draft",), "could not be checked"),
    ],
)
def test_draws_that_never_repeat_are_not_tested_themselves(sources: tuple[str, ...], words: str) -> None:
    rng, rows = np.random.default_rng(3), [(p, c, s) for p in range(20) for s in sources for c in range(4)]
    logp = rng.normal(-40.0, 3.0, len(rows))
    columns = {
        "prompt_id": [f"p{p}" for p, _, _ in rows],
        "step": [0] * len(rows),
        "source": [s for _, _, s in rows],
        "candidate": [c for _, c, _ in rows],
        "text": [f"answer {k}" for k in range(len(rows))],
        "logp_draft": logp.tolist(),
        "logp_base": (logp + rng.normal(0.0, 0.1, len(rows))).tolist(),
        "reward": rng.uniform(size=len(rows)).tolist(),
    }
    said = [line for line in diagnose(pool_from_columns(columns)).untested if "nothing was drawn twice" in line]
    assert {line.partition(":")[0] for line in said} >= set(sources)
    assert all(f"its sampling {words} (log token_ids" in line for line in said)
