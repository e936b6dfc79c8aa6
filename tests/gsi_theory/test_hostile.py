"""Ten thousand random hostile instances: no NaN, no warning (warnings are errors), laws that sum to one within their
own error, and no true inequality refuted. β to 10⁶, log-masses to -690, zero masses, uncovered base mass, n to 10⁹,
thresholds ±inf.
"""

from __future__ import annotations

import numpy as np
import pytest

from gsi_theory import Instance, Scheme, gsi_law
from gsi_theory.claims import CLAIMS, Outcome

BLOCKS, PER_BLOCK, JUDGED_EVERY = 8, 1250, 50


def hostile(rng: np.random.Generator) -> tuple[Instance, Scheme]:
    size = int(rng.integers(1, 9))

    def policy() -> np.ndarray:
        logs = rng.uniform(-rng.choice([1.0, 50.0, 690.0]), 0.0, size)
        logs[rng.random(size) < 0.15] = -np.inf
        if not np.isfinite(logs).any():
            logs[0] = 0.0
        return logs - np.logaddexp.reduce(logs)

    reward = rng.normal(size=size) * rng.choice([0.0, 1.0, 1.0, 10.0])
    if rng.random() < 0.2:
        reward = np.round(reward)
    rule = str(rng.choice(["softmax", "race", "max"]))
    threshold = rng.choice([np.nan, -1e9, 0.0, 0.5, np.inf, -np.inf])
    scheme = Scheme(
        beta=float(rng.choice([0.0, 1e-9, 1.0, 20.0, 1e3, 1e6])),
        n=int(rng.choice([1, 2, 16, 10**4, 10**9])),
        threshold=None if np.isnan(threshold) else float(threshold),
        rule=rule,
        gate="score" if rule == "race" and rng.random() < 0.5 else "tilted_reward",
    )
    return Instance(policy(), policy(), reward), scheme


@pytest.mark.parametrize("block", range(BLOCKS))
def test_hostile_instances(block: int) -> None:
    for trial in range(PER_BLOCK):
        instance, scheme = hostile(np.random.default_rng([71, block, trial]))
        law = gsi_law(instance, scheme)
        assert not np.isnan(law.log_prob).any()
        assert abs(float(np.exp(law.log_prob).sum()) - 1.0) <= 2.0 * law.error
        if trial % JUDGED_EVERY:
            continue
        for claim in CLAIMS.values():
            if claim.relation == "<=" and claim.expected is Outcome.HOLDS:
                verdict = claim.evaluate(instance, scheme)
                assert verdict.outcome is not Outcome.REFUTED, (claim.id, instance, scheme, verdict)
                assert verdict.lhs is None or not np.isnan([verdict.lhs, verdict.rhs]).any()
