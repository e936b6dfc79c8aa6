"""How far are the laws from the tilted policy at each n, and what do the bounds say?

Three tables on the named families: `curves` (ungated laws, their bounds, and the limit (M19) of any rule), `gate` (the
gated law and its limits (M7)), `reward` (expected reward of each method). Every bound is the side of a claim in
gsi_theory.claims; nothing is restated here. Divergences in nats, rewards in reward units.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise, product
from typing import NamedTuple

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
from sims.experiment_record import Collected, Experiment, Rows, Run, Settings, everywhere
from sims.instance_families import FAMILIES, passing_threshold, usual_scheme

BETAS = (1.0, 5.0, 20.0)
GATE_NS = (4, 16, 64, 1_000_000)
REWARD_NS = tuple(2**k for k in range(9))
# Shares of the tilted policy that the gate's thresholds let pass, at least.
PASSING = (0.25, 0.5, 0.75)
# The n at which captions compare a bound with the law, and the TV within which a law is at its limit.
AT_N, NEAR, ROUNDING = 16, 1e-3, 1e-9


class Cell(NamedTuple):
    kind: str  # a table
    family: str
    beta: float


class Curve(NamedTuple):
    family: str
    beta: float
    n: int
    kl_softmax: float
    kl_race: float
    tv_softmax: float
    tv_race: float
    tv_limit: float
    bound_kl_mean: float
    bound_kl_chi2: float
    bound_theorem_b: float
    bound_tv_race: float
    bound_tv_tail: float


class Gate(NamedTuple):
    family: str
    beta: float
    threshold: float
    rule: str
    n: int
    a: float
    tv: float
    kl_forward: float
    kl_reverse: float
    reward_gap: float
    limit_tv: float
    limit_kl_forward: float
    limit_kl_reverse: float
    limit_reward_gap: float


class Reward(NamedTuple):
    family: str
    method: str
    n: int
    beta: float
    threshold: float | None
    expected_reward: float
    kl_to_base: float
    p_accept: float | None  # None where nothing is gated


def _curve(family: str, instance: Instance, beta: float, n: int) -> Curve:
    facts = Facts.of(instance, Scheme(beta, n))
    tv, kl = dominance(facts, "tv"), dominance(facts, "kl_forward")
    values = (
        *(kl.rhs, kl.lhs, tv.rhs, tv.lhs, rule_limit(facts).lhs),
        *(kl_mean(facts).rhs, kl_chi2(facts).rhs, theorem_one(facts, "b").rhs),
        *(race_tv(facts).rhs, race_tail(facts).rhs),
    )
    return Curve(family, beta, n, *map(float, values))


def _gates(family: str, instance: Instance, beta: float) -> Iterator[Gate]:
    for threshold in sorted({passing_threshold(instance, beta, share) for share in PASSING}):
        limits = None
        for rule in ("softmax", "race"):
            facts = Facts.of(instance, Scheme(beta, 1, threshold, rule))
            if limits is None:
                # The limit does not depend on the rule (M7).
                limits = tuple(float(gate_limit(facts, k).rhs) for k in ("tv", "kl_forward", "kl_reverse", "reward"))
            a = float(np.sum(facts.pi[facts.accepted]))
            for n in GATE_NS:
                law = facts.gated_law(n).log_prob
                kl = divergence.kl(facts.log_pi, law), divergence.kl(law, facts.log_pi)
                gap = float((np.exp(law) - facts.pi) @ instance.reward)
                yield Gate(family, beta, threshold, rule, n, a, divergence.tv(law, facts.log_pi), *kl, gap, *limits)


def _rewards(family: str, instance: Instance, beta: float, n: int) -> Iterator[Reward]:
    """Expected reward and KL(law‖base) of every method at (beta, n)."""
    draft, base = instance.draft_candidates().log_mass, instance.base_candidates().log_mass
    reward = instance.reward
    # Without a gate the law is of one selection.
    plain: dict[str, Floats] = {
        "draft": draft,
        "base": base,
        "soft_bon_draft": selection_law(draft, beta * reward, n).log_prob,
        "soft_bon_base": selection_law(base, beta * reward, n).log_prob,
        "best_of_n_draft": selection_law(draft, reward, n, "max").log_prob,
        "gsi_ungated": gsi_law(instance, Scheme(beta, n)).log_prob,
        "tilted": tilted_policy(instance, beta),
    }
    laws: dict[str, tuple[Floats, float | None, float | None]] = {m: (law, None, None) for m, law in plain.items()}
    for method, way in (
        ("gsi", ("softmax", "tilted_reward")),
        ("gsi_race", ("race", "tilted_reward")),
        ("gsi_score_gate", ("race", "score")),
    ):
        scheme = usual_scheme(instance, *way, n, beta)
        gated = gsi_law(instance, scheme)
        laws[method] = gated.log_prob, gated.p_accept, scheme.threshold
    for method, (law, p, u) in laws.items():
        yield Reward(family, method, n, beta, u, float(np.exp(law) @ reward), divergence.kl(law, base), p)


def cells(settings: Settings) -> list[Cell]:
    """One cell a (table, family, beta); the seed fixes the families."""
    return [Cell(*cell) for cell in product(("curves", "gate", "reward"), settings["families"], BETAS)]


def work(cell: Cell, run: Run) -> Iterator[NamedTuple]:
    """The rows of one table on one family at one beta."""
    kind, family, beta = cell
    instance = FAMILIES[family].build(run.seed)
    if kind == "curves":
        yield from (_curve(family, instance, beta, 2**k) for k in range(run.settings["largest_log2_n"] + 1))
    elif kind == "gate":
        yield from _gates(family, instance, beta)
    else:
        for n in REWARD_NS:
            yield from _rewards(family, instance, beta, n)


def collect(rows: Rows, run: Run) -> Collected:
    """The three tables. Findings: whether laws lie below their bounds and above the limit, how far Theorem 1 (b) is
    above the softmax law at the largest beta, and whether gated laws are at their limit at the largest n."""
    curves, gates = rows["curves"], rows["gate"]
    n = max(c.n for c in curves if c.n <= AT_N)
    far = [
        float(np.log10(c.bound_theorem_b / c.kl_softmax))
        for c in curves
        if c.beta == BETAS[-1] and c.n == n and c.kl_softmax > ROUNDING and np.isfinite(c.bound_theorem_b)
    ]
    places = {(c.family, c.beta): f"{c.family}, β = {c.beta:g}" for c in curves}

    def ordered(*columns: str) -> dict[str, bool]:
        """Whether each column is at most the next, at every n of a panel."""
        good = dict.fromkeys(places.values(), True)
        for c in curves:
            values = [getattr(c, name) for name in columns]
            good[places[c.family, c.beta]] &= all(a <= b + ROUNDING for a, b in pairwise(values))
        return good

    last = [g for g in gates if g.n == GATE_NS[-1]]
    signs = {float(np.sign(g.limit_reward_gap)) for g in last if abs(g.limit_reward_gap) > ROUNDING}
    findings = {
        "below_instance_bounds": everywhere(ordered("kl_softmax", "bound_kl_mean", "bound_kl_chi2")),
        "theorem_b_far": {
            "holds": float(np.median(far)) >= 1.0 if far else None,
            "orders": float(np.median(far)) if far else None,
            "beta": BETAS[-1],
            "n": n,
        },
        "race_below_softmax": everywhere(ordered("tv_limit", "tv_race", "tv_softmax")),
        "race_below_bounds": everywhere(ordered("tv_race", "bound_tv_tail") | ordered("tv_race", "bound_tv_race")),
        "gated_at_limit": everywhere(
            {f"{g.family}, β = {g.beta:g}, {g.rule}": abs(g.tv - g.limit_tv) <= NEAR for g in last},
            n=GATE_NS[-1],
            near=NEAR,
        ),
        "both_signs": {"holds": len(signs) == 2},
    }
    summary = {
        "seed": run.seed,
        "families": list(run.settings["families"]),
        "rows": {table: len(subset) for table, subset in rows.items()},
        "findings": findings,
    }
    return summary, rows


EXPERIMENT = Experiment(
    name="bounds_vs_n",
    question="How close is each law to the tilted policy at n drafts, and how close do the bounds come?",
    claim="GSI Theorem 1 and its relatives (M10)-(M19): how close to the exact distances are they?",
    settings={"families": (",".join(FAMILIES), tuple(FAMILIES)), "largest_log2_n": (20, range(0, 41))},
    full={"largest_log2_n": 40},
    full_minutes=0.1,
    tiny={"families": "two_point", "largest_log2_n": 3},
    cell=Cell,
    rows={"curves": Curve, "gate": Gate, "reward": Reward},
    cells=cells,
    work=work,
    collect=collect,
)
