"""How fast does the softmax rule converge, and from which n is the constant of (M18) right?

n² KL(π‖P_n) tends to ½ Var_π(w). On random instances, none left out but those of constant weights or of a coverage
constant above LARGEST_COVERAGE: the quotient of the two at n = 10⁶, and the smallest n from which on (at all larger n
tried) it is within 10 % of one, against C = sup w and χ² = χ²(π‖π_S).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from gsi_theory.claims.facts import Facts
from gsi_theory.instance import Instance
from gsi_theory.types import Floats, Json, Record
from sims.instance_families import FAMILIES, signed

__all__ = ["RATE_COLUMNS", "kl_rate", "rate_summary"]

RATE_COLUMNS = ("size", "beta", "coverage", "chi2", "constant", "quotient", "n_ten_percent")
BETAS = (0.3, 1.0, 3.0, 10.0)
# The correction is of the order C/n: 1 % at n = 10⁶ asks for C well below 10⁴.
LARGEST_COVERAGE = 1e3
AT, NEAR = 1e6, 0.1
# n = 2^(j/8) up to 2^20, rounded
LADDER = np.unique(np.round(2.0 ** (np.arange(161) / 8.0)))


def _instance(rng: np.random.Generator) -> Instance:
    if rng.random() < 0.2:
        names = sorted(FAMILIES)
        return FAMILIES[names[int(rng.integers(len(names)))]].build(int(rng.integers(2**62)))
    size = int(rng.integers(2, 65))
    draft, base = (rng.dirichlet(np.full(size, np.exp(rng.uniform(-1.0, 2.0)))) for _ in range(2))
    found = Instance.from_probabilities(draft, base, rng.uniform(0.0, 1.0, size))
    return signed(found) if rng.random() < 0.5 else found


def _facts(instance: Instance, beta: float, n: Floats) -> Facts:
    """One row for each n."""
    return Facts.batch(instance.log_draft[None], instance.log_base[None], instance.reward[None], beta, n)


def _quotients(instance: Instance, beta: float, n: Floats, constant: float) -> Floats:
    return np.asarray(_facts(instance, beta, n).kl("softmax")[0]) * n * n / constant


def kl_rate(seed: int, start: int, stop: int) -> list[list[Json]]:
    """Rows RATE_COLUMNS for the instances start..stop-1, each from its own stream; n_ten_percent None above 2^20."""
    rows: list[list[Json]] = []
    for index in range(start, stop):
        rng = np.random.default_rng([seed, 31, index])
        while True:
            instance, beta = _instance(rng), float(rng.choice(BETAS))
            facts = _facts(instance, beta, np.ones(1))
            coverage = float(np.exp(facts.log_coverage[0]))
            if coverage <= LARGEST_COVERAGE and bool(facts.varies[0]):
                break
        pi, w = facts.pi[0], facts.w[0]
        constant = 0.5 * float(pi @ (w - pi @ w) ** 2)
        n = np.append(LADDER, AT)
        found = _quotients(instance, beta, n, constant)
        off = np.flatnonzero(np.abs(found[:-1] - 1.0) > NEAR)
        first = int(off[-1]) + 1 if off.size else 0
        enough = float(LADDER[first]) if first < LADDER.size else None
        rows.append([instance.size, beta, coverage, float(facts.chi2[0]), constant, float(found[-1]), enough])
    return rows


def rate_summary(rows: Sequence[Sequence[Json]]) -> Record:
    """Largest distance of the quotient from one, and the least-squares fit log n = a + b log C + c log(1 + χ²)."""
    table = [dict(zip(RATE_COLUMNS, row, strict=True)) for row in rows]
    known = [row for row in table if row["n_ten_percent"] is not None]
    summary: Record = {
        "rate_instances": len(table),
        "rate_worst": max((abs(row["quotient"] - 1.0) for row in table), default=None),
        "rate_within_one_percent": sum(abs(row["quotient"] - 1.0) <= 0.01 for row in table),
        "rate_known": len(known),
    }
    if len(known) < 4:
        return summary
    target = np.log([row["n_ten_percent"] for row in known])
    columns = np.array([[1.0, np.log(row["coverage"]), np.log1p(row["chi2"])] for row in known])
    fit, *_ = np.linalg.lstsq(columns, target, rcond=None)
    spread = float(np.std(target - columns @ fit))
    share = np.array([row["n_ten_percent"] / row["coverage"] for row in known])
    return summary | {
        "rate_fit_factor": float(np.exp(fit[0])),
        "rate_fit_coverage": float(fit[1]),
        "rate_fit_chi2": float(fit[2]),
        "rate_fit_spread": float(np.exp(spread)),
        "rate_least_over_coverage": float(share.min()),
        "rate_largest_over_coverage": float(share.max()),
    }
