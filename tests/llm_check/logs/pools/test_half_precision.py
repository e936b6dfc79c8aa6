"""Half precision gives one step other numbers beside other steps: noise, and no other law."""

from __future__ import annotations

import numpy as np
import pytest

from llm_check.logs.pools.diagnosis import diagnose
from llm_check.logs.pools.pool import Pool, pool_from_columns

STEPS, LENGTH = 12, 15


def _pool(sd: float, seed: int) -> Pool:
    """20 prompts of 40 candidates a source; a source scores each step once, off by `sd` nats on whole steps."""
    rng = np.random.default_rng(seed)
    names = ("prompt_id", "source", "candidate", "logp_draft", "logp_base", "reward", "token_ids")
    rows: dict[str, list] = {name: [] for name in names}
    for prompt in range(20):
        law = {source: rng.dirichlet(np.full(STEPS, 2.0)) for source in ("draft", "base")}
        ids = rng.integers(0, 1000, (STEPS, LENGTH))
        paid = rng.random(STEPS)
        for source, chance in law.items():
            logs = {model: np.minimum(np.log(law[model]) + sd * rng.normal(size=STEPS), -0.01) for model in law}
            for candidate, step in enumerate(rng.choice(STEPS, 40, p=chance)):
                numbers = (f"p{prompt}", source, candidate, logs["draft"][step], logs["base"][step], paid[step])
                for name, value in zip(rows, (*numbers, ids[step].tolist()), strict=True):
                    rows[name].append(value)
    size = len(rows["candidate"])
    return pool_from_columns(rows | {"step": [0] * size, "n_tokens": [LENGTH] * size})


def _found(sd: float, seed: int = 0) -> set[str]:
    return {finding.id for finding in diagnose(_pool(sd, seed)).findings}


@pytest.mark.parametrize("seed", range(3))
def test_noise_of_half_precision_is_noise(seed: int) -> None:
    found = _found(0.19, seed)  # 0.05 a token
    assert "log_prob_noise" in found and "context_mismatch" not in found


def test_a_scatter_of_nats_is_another_law_and_none_is_clean() -> None:
    assert "context_mismatch" in _found(1.2)
    assert not _found(0.0) & {"context_mismatch", "log_prob_noise"}
