"""All methods on one instance: how far from the tilt, how much reward, at what number of draws?

Table `methods`, a row for each (family, method, n): exact distance to the tilted policy, reward, acceptance and
expected numbers a round, and how far a simulation of that method is from them. Methods that need more than two policies
and one step (several drafters, switching) have experiments of their own. `tv_limit` is the least TV of any rule
on n draws (M19), `best_n` the number of draws with which the best of all rules reaches the same TV, `efficiency` =
best_n/n; they are there only where the outcome is always one of n draws from one policy. Table `needed`: draws needed
for a given TV. Table `references`: the policies themselves. Divergences in nats, rewards in reward units; simulated
counts are compared as in sims.experiments.exact_vs_mc.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from gsi_theory import divergence
from gsi_theory.instance import Instance, Scheme, tilted_policy
from gsi_theory.laws.efficiency import best_n, efficiency, needed_n
from gsi_theory.limits import best_tv
from gsi_theory.methods import METHODS, Method, MethodLaw
from gsi_theory.types import Floats
from sims.agreement import bonferroni_bound
from sims.experiments.exact_vs_mc import LEVEL, compare
from sims.instance_families import FAMILIES, passing_threshold
from sims.sampling.method_sampler import sample_method

__all__ = ["COLUMNS", "QUESTION", "SETTINGS", "collect", "cost_z", "plan", "scheme_of", "work"]

QUESTION = "All methods on one instance: how far from the tilt, how much reward, at what number of draws?"
CLAIM = "Every method of the literature named in gsi_theory.methods has the law and the cost stated there."
SETTINGS: dict[str, tuple[Any, Any]] = {
    "draws": (20_000, range(1, 100_000_001)),
    "families": ("zipf", tuple(FAMILIES)),
}
FULL: dict[str, Any] = {"draws": 1_000_000, "families": tuple(FAMILIES)}
FULL_MINUTES = 6.0
NS = (1, 4, 16, 64)
BETA = 5.0
EPSILONS = (0.1, 0.01)
# Beyond a million draws "needed" says no more than "too many".
MOST_NEEDED = 2**20
COLUMNS: dict[str, tuple[str, ...]] = {
    "methods": (
        "family", "method", "label", "formula", "proposal", "n", "beta", "threshold", "tv", "kl", "reward", "p_accept",
        "draft_samples", "base_samples", "base_scored", "draft_scored", "reward_calls", "tv_limit", "best_n",
        "efficiency", "error", "max_abs_z", "cost_z", "acceptance_rate", "draws",
    ),
    "needed": ("family", "method", "epsilon", "needed_n", "best_n", "efficiency"),
    "references": ("family", "policy", "reward", "tv", "kl"),
}  # fmt: skip

Job = tuple[str, int, int, str, str, int, int]
Rows = list[tuple[Any, ...]]


def scheme_of(method: Method, instance: Instance, n: int, beta: float = BETA) -> Scheme:
    """The scheme of a row: the gate on r̃ stands at the π-median of r̃; other gates take their own default."""
    gated = method.threshold == "tilted_reward"
    return Scheme(beta, n, passing_threshold(instance, beta) if gated else None)


def cost_z(counts: np.ndarray, expected: float) -> float | None:
    """z of the mean of a simulated cost (rounds,) against its expectation; None where too rare an event decides it.

    The normal approximation needs about a hundred events: rounds times the larger of variance and deviation.
    """
    variance, gap = float(np.var(counts)), float(np.mean(counts)) - expected
    if counts.size * max(variance, abs(gap)) < 100.0:
        return None
    return gap / float(np.sqrt(max(variance, 1e-12) / counts.size))


def _efficiency(method: Method, instance: Instance, log_pi: Floats, law: MethodLaw, n: int) -> tuple[Any, Any, Any]:
    """(least TV of any rule on n draws, draws with which the best rule has this TV, its share of n)."""
    if method.limited_by is None:
        return None, None, None
    log_proposal = getattr(instance, f"log_{method.limited_by}")
    epsilon = min(1.0, divergence.tv(law.log_prob, log_pi) + law.error)
    # No rule beats the limit, so that n draws suffice for the best one; rounding may leave it one short.
    best = min(best_n(log_pi, log_proposal, epsilon, n), float(n))
    return best_tv(log_pi, log_proposal, n), best, efficiency(best, float(n))


def _method_row(seed: int, cell: int, family: str, key: str, n: int, draws: int) -> tuple[tuple[Any, ...], int, float]:
    instance, method = FAMILIES[family].build(seed), METHODS[key]
    scheme, log_pi = scheme_of(method, instance, n), tilted_policy(instance, BETA)
    law = method.law(instance, scheme)
    played = sample_method(key, instance, scheme, draws, np.random.default_rng([seed, 30, cell]))
    found = compare(np.exp(law.log_prob), law.p_accept, played.outcome, played.accepted)
    z = cost_z(played.base_scored, law.base_scored)
    rate = None if law.p_accept is None else float(played.accepted.mean())
    row = (
        family, key, method.label, method.formula, method.limited_by, n, BETA, scheme.threshold,
        divergence.tv(law.log_prob, log_pi), divergence.kl(log_pi, law.log_prob),
        float(np.exp(law.log_prob) @ instance.reward), law.p_accept, law.draft_samples, law.base_samples,
        law.base_scored, law.draft_scored, law.reward_calls, *_efficiency(method, instance, log_pi, law, n), law.error,
        found.worst, z, rate, draws,
    )  # fmt: skip
    return row, found.count + (z is not None), max(found.worst, abs(z or 0.0))


def _needed_rows(seed: int, family: str, key: str) -> Rows:
    instance, method = FAMILIES[family].build(seed), METHODS[key]
    log_pi = tilted_policy(instance, BETA)
    rows: Rows = []
    for epsilon in EPSILONS:
        best = best_n(log_pi, getattr(instance, f"log_{method.limited_by}"), epsilon, MOST_NEEDED)
        needed = needed_n(lambda n: method.law(instance, Scheme(BETA, n)).log_prob, log_pi, epsilon, MOST_NEEDED)
        rows.append((family, key, epsilon, needed, best, efficiency(best, needed)))
    return rows


def _reference_rows(seed: int, family: str) -> Rows:
    instance = FAMILIES[family].build(seed)
    log_pi = tilted_policy(instance, BETA)
    policies = {"tilted": log_pi, "draft": instance.log_draft, "base": instance.log_base}
    return [
        (family, name, float(np.exp(p) @ instance.reward), divergence.tv(p, log_pi), divergence.kl(log_pi, p))
        for name, p in policies.items()
    ]


def plan(seed: int, settings: Mapping[str, Any]) -> list[Job]:
    """One job a row of `methods`, each with its own stream; a cell keeps its number when families are left out."""
    jobs: list[Job] = []
    for place, family in enumerate(FAMILIES):
        if family not in settings["families"]:
            continue
        jobs.append(("references", seed, 0, family, "", 0, 0))
        for number, (key, method) in enumerate(METHODS.items()):
            if not method.pair_alone:
                continue
            if method.limited_by is not None:
                jobs.append(("needed", seed, 0, family, key, 0, 0))
            for n in NS:
                # room for a thousand methods a family and a hundred values of n a method
                cell = 100_000 * place + 100 * number + NS.index(n)
                jobs.append(("methods", seed, cell, family, key, n, settings["draws"]))
    return jobs


def work(job: Job) -> tuple[str, Rows, int, float]:
    """(table, its rows, number of comparisons with the simulation, largest |z|) of one job."""
    table, seed, cell, family, key, n, draws = job
    if table == "references":
        return table, _reference_rows(seed, family), 0, 0.0
    if table == "needed":
        return table, _needed_rows(seed, family, key), 0, 0.0
    row, count, worst = _method_row(seed, cell, family, key, n, draws)
    return table, [row], count, worst


def collect(
    seed: int, settings: Mapping[str, Any], results: Sequence[tuple[str, Rows, int, float]]
) -> tuple[dict[str, Any], dict[str, tuple[tuple[str, ...], Rows]]]:
    """The three tables; summary: largest |z| against the Bonferroni bound at level 1 % over all comparisons."""
    comparisons, worst = sum(r[2] for r in results), max(r[3] for r in results)
    bound = bonferroni_bound(LEVEL, comparisons)
    summary = {
        "seed": seed,
        "beta": BETA,
        "worst_abs_z": worst,
        "bonferroni_bound": bound,
        "comparisons": comparisons,
        "level": LEVEL,
        "draws_per_cell": settings["draws"],
        "passed": worst <= bound,
    }
    return summary, {
        table: (header, [row for kind, rows, _, _ in results if kind == table for row in rows])
        for table, header in COLUMNS.items()
    }
