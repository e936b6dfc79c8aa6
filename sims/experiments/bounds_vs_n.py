"""How far are the laws from the tilted policy at each n, and what do the bounds say?

Three tables on the named families: `curves` (ungated laws, their bounds, and the limit (M19) of any rule), `gate` (the
gated law and its limits (M7)), `reward` (expected reward of each method). Every bound is the side of a claim in
gsi_theory.claims; nothing is restated here. Divergences in nats, rewards in reward units.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from gsi_theory import divergence
from gsi_theory.claims.facts import Facts
from gsi_theory.claims.gate_limits import gate_limit
from gsi_theory.claims.race_bounds import dominance, race_tail, race_tv
from gsi_theory.claims.rule_bounds import rule_limit
from gsi_theory.claims.softmax_bounds import kl_chi2, kl_mean, theorem_one
from gsi_theory.instance import Instance, Scheme, tilted_policy
from gsi_theory.laws.gate import gsi_law
from gsi_theory.laws.selection_law import selection_law
from gsi_theory.types import Floats
from sims.instance_families import FAMILIES, passing_threshold, score_threshold

__all__ = ["QUESTION", "SETTINGS", "collect", "plan", "work"]

QUESTION = "How close is each law to the tilted policy at n drafts, and how close do the bounds come?"
CLAIM = "GSI Theorem 1 and its relatives (M10)-(M19): how close to the exact distances are they?"
SETTINGS: dict[str, tuple[Any, Any]] = {
    "families": (",".join(FAMILIES), tuple(FAMILIES)),
    "largest_log2_n": (20, range(0, 41)),
}
FULL: dict[str, Any] = {"largest_log2_n": 40}
FULL_MINUTES = 0.1
BETAS = (1.0, 5.0, 20.0)
GATE_NS = (4, 16, 64, 1_000_000)
REWARD_NS = tuple(2**k for k in range(9))
# Shares of the tilted policy that the gate's thresholds let pass, at least.
PASSING = (0.25, 0.5, 0.75)

COLUMNS: dict[str, tuple[str, ...]] = {
    "curves": (
        "family", "beta", "n", "kl_softmax", "kl_race", "tv_softmax", "tv_race", "tv_limit", "bound_kl_mean",
        "bound_kl_chi2", "bound_theorem_b", "bound_tv_race", "bound_tv_tail",
    ),
    "gate": (
        "family", "beta", "threshold", "rule", "n", "a", "tv", "kl_forward", "kl_reverse", "reward_gap", "limit_tv",
        "limit_kl_forward", "limit_kl_reverse", "limit_reward_gap",
    ),
    "reward": ("family", "method", "n", "beta", "threshold", "expected_reward", "kl_to_base", "p_accept"),
}  # fmt: skip

Job = tuple[str, int, str, float, int]
Rows = list[tuple[Any, ...]]


def _curve(family: str, instance: Instance, beta: float, n: int) -> tuple[Any, ...]:
    facts = Facts.of(instance, Scheme(beta, n))
    tv, kl, mean = dominance(facts, "tv"), dominance(facts, "kl_forward"), kl_mean(facts)
    values = (
        kl.rhs, kl.lhs, tv.rhs, tv.lhs, rule_limit(facts).lhs, mean.rhs, kl_chi2(facts).rhs,
        theorem_one(facts, "b").rhs, race_tv(facts).rhs, race_tail(facts).rhs,
    )  # fmt: skip
    return family, beta, n, *map(float, values)


def _gate_rows(family: str, instance: Instance, beta: float) -> Rows:
    rows: Rows = []
    for threshold in sorted({passing_threshold(instance, beta, share) for share in PASSING}):
        limits = None
        for rule in ("softmax", "race"):
            facts = Facts.of(instance, Scheme(beta, 1, threshold, rule))
            if limits is None:
                # The limit does not depend on the rule (M7).
                limits = tuple(float(gate_limit(facts, k).rhs) for k in ("tv", "kl_forward", "kl_reverse", "reward"))
            a = float(np.sum(facts.pi[facts.accepted]))
            for n in GATE_NS:
                log_prob = facts.gated_law(n).log_prob
                gap = float((np.exp(log_prob) - facts.pi) @ instance.reward)
                distances = (
                    divergence.tv(log_prob, facts.log_pi),
                    divergence.kl(facts.log_pi, log_prob),
                    divergence.kl(log_prob, facts.log_pi),
                )
                rows.append((family, beta, threshold, rule, n, a, *distances, gap, *limits))
    return rows


def _reward_rows(family: str, instance: Instance, beta: float, n: int) -> Rows:
    """Expected reward and KL(law‖base) of every method at (beta, n); p_accept is null where nothing is gated."""
    draft, base, reward = instance.draft_candidates(), instance.base_candidates(), instance.reward
    median = passing_threshold(instance, beta)
    # Without a gate the law is of one selection; (law, p_accept, threshold) by method.
    plain: dict[str, Floats] = {
        "draft": draft.log_mass,
        "base": base.log_mass,
        "soft_bon_draft": selection_law(draft.log_mass, beta * reward, n).log_prob,
        "soft_bon_base": selection_law(base.log_mass, beta * reward, n).log_prob,
        "best_of_n_draft": selection_law(draft.log_mass, reward, n, "max").log_prob,
        "gsi_ungated": gsi_law(instance, Scheme(beta, n)).log_prob,
        "tilted": tilted_policy(instance, beta),
    }
    laws: dict[str, tuple[Floats, float | None, float | None]] = {m: (law, None, None) for m, law in plain.items()}
    for method, scheme in (
        ("gsi", Scheme(beta, n, median)),
        ("gsi_race", Scheme(beta, n, median, "race")),
        ("gsi_score_gate", Scheme(beta, n, score_threshold(instance, beta, n), "race", gate="score")),
    ):
        law = gsi_law(instance, scheme)
        laws[method] = law.log_prob, law.p_accept, scheme.threshold
    return [
        (family, method, n, beta, u, float(np.exp(log_prob) @ reward), divergence.kl(log_prob, base.log_mass), p)
        for method, (log_prob, p, u) in laws.items()
    ]


def plan(seed: int, settings: Mapping[str, Any]) -> list[Job]:
    """One job a (family, table, beta); `seed` fixes the families."""
    top = settings["largest_log2_n"]
    return [(family, seed, table, beta, top) for table in COLUMNS for family in settings["families"] for beta in BETAS]


def work(job: Job) -> tuple[str, Rows]:
    """(table, its rows) of one job."""
    family, seed, table, beta, top = job
    instance = FAMILIES[family].build(seed)
    if table == "curves":
        return table, [_curve(family, instance, beta, 2**k) for k in range(top + 1)]
    if table == "gate":
        return table, _gate_rows(family, instance, beta)
    return table, [row for n in REWARD_NS for row in _reward_rows(family, instance, beta, n)]


def collect(
    seed: int, settings: Mapping[str, Any], results: Sequence[tuple[str, Rows]]
) -> tuple[dict[str, Any], dict[str, tuple[tuple[str, ...], Rows]]]:
    """The three tables; the summary counts their rows."""
    tables = {
        table: (header, [row for t, rows in results if t == table for row in rows]) for table, header in COLUMNS.items()
    }
    summary = {
        "seed": seed,
        "families": list(settings["families"]),
        "rows": {table: len(rows) for table, (_, rows) in tables.items()},
    }
    return summary, tables
