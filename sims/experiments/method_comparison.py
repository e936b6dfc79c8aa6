"""All methods on one instance: how far from the tilt, how much reward, at what number of draws?

Table `methods`, a row for each (family, method, n): exact distance to the tilted policy, reward, acceptance and
expected numbers a round, and how far a simulation of that method is from them. `tv_limit` is the least TV of any rule
on n draws (M19), `best_n` the number of draws with which the best of all rules reaches the same TV, `efficiency` =
best_n/n; they are there only where the outcome is always one of n draws from one policy. Table `needed`: draws needed
for a given TV. Table `references`: the policies themselves. Divergences in nats, rewards in reward units; simulated
counts are compared as in sims/agreement.py.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from gsi_theory import divergence
from gsi_theory.instance import Instance, Scheme, tilted_policy
from gsi_theory.laws.efficiency import best_n, efficiency, needed_n
from gsi_theory.limits import best_tv
from gsi_theory.methods import METHODS, Method, MethodLaw
from gsi_theory.types import Floats
from sims.agreement import compare, cost_z, within_bound
from sims.experiment_record import Collected, Experiment, Rows, Run, Settings
from sims.instance_families import FAMILIES, method_scheme
from sims.sampling.method_sampler import sample_method

NS = (1, 4, 16, 64)
BETA = 5.0
EPSILONS = (0.1, 0.01)
# Beyond a million draws "needed" says no more than "too many".
MOST_NEEDED = 2**20
LEVEL = 0.01
# A method has reached π at this TV, and moves away where its TV grows by more than this.
REACHED, APART = 0.05, 0.01


class _Cell(NamedTuple):
    kind: str  # a table
    stream: int
    family: str
    method: str
    n: int


class _Row(NamedTuple):
    family: str
    method: str
    label: str
    formula: str
    proposal: str | None
    n: int
    beta: float
    threshold: float | None
    tv: float
    kl: float
    reward: float
    p_accept: float | None
    draft_samples: float
    base_samples: float
    base_scored: float
    draft_scored: float
    reward_calls: float
    tv_limit: float | None
    best_n: float | None
    efficiency: float | None
    error: float
    max_abs_z: float
    cost_z: float | None
    acceptance_rate: float | None
    draws: int


class Needed(NamedTuple):
    family: str
    method: str
    epsilon: float
    needed_n: float
    best_n: float
    efficiency: float | None


class Reference(NamedTuple):
    family: str
    policy: str
    reward: float
    tv: float
    kl: float


class _Count(NamedTuple):
    """Number of comparisons of a cell, and the largest |z| of all of them."""

    comparisons: int
    worst: float


def cells(settings: Settings) -> list[_Cell]:
    """One cell a row of `methods`, each with its own stream, which it keeps when families are left out."""
    made: list[_Cell] = []
    for at, family in enumerate(FAMILIES):
        if family not in settings["families"]:
            continue
        made.append(_Cell("references", 0, family, "", 0))
        for number, (key, method) in enumerate(METHODS.items()):
            if not method.pair_alone:
                continue
            if method.limited_by is not None:
                made.append(_Cell("needed", 0, family, key, 0))
            # room for a thousand methods a family and a hundred values of n a method
            made += [_Cell("methods", 100_000 * at + 100 * number + i, family, key, n) for i, n in enumerate(NS)]
    return made


def _efficiency(
    method: Method, instance: Instance, log_pi: Floats, law: MethodLaw, n: int
) -> tuple[float | None, float | None, float | None]:
    """(least TV of any rule on n draws, draws with which the best rule has this TV, its share of n)."""
    if method.limited_by is None:
        return None, None, None
    log_proposal = getattr(instance, f"log_{method.limited_by}")
    epsilon = min(1.0, divergence.tv(law.log_prob, log_pi) + law.error)
    # No rule beats the limit, so that n draws suffice for the best one; rounding may leave it one short.
    best = min(best_n(log_pi, log_proposal, epsilon, n), float(n))
    return best_tv(log_pi, log_proposal, n), best, efficiency(best, float(n))


def _method(cell: _Cell, run: Run, instance: Instance) -> Iterator[_Row | _Count]:
    key, n, draws, method = cell.method, cell.n, run.settings["draws"], METHODS[cell.method]
    scheme, log_pi = method_scheme(key, instance, BETA, n), tilted_policy(instance, BETA)
    law = method.law(instance, scheme)
    played = sample_method(key, instance, scheme, draws, run.rng(30, cell.stream))
    match = compare(np.exp(law.log_prob), law.p_accept, played.outcome, played.accepted)
    z = cost_z(played.base_scored, law.base_scored)
    yield _Row(
        cell.family,
        key,
        method.label,
        method.formula,
        method.limited_by,
        n,
        BETA,
        scheme.threshold,
        divergence.tv(law.log_prob, log_pi),
        divergence.kl(log_pi, law.log_prob),
        float(np.exp(law.log_prob) @ instance.reward),
        law.p_accept,
        law.draft_samples,
        law.base_samples,
        law.base_scored,
        law.draft_scored,
        law.reward_calls,
        *_efficiency(method, instance, log_pi, law, n),
        law.error,
        match.worst,
        z,
        None if law.p_accept is None else float(played.accepted.mean()),
        draws,
    )
    yield _Count(match.count + (z is not None), max(match.worst, abs(z or 0.0)))


def work(cell: _Cell, run: Run) -> Iterator[NamedTuple]:
    """The rows of one method at one n; the draws one method needs; or the policies of a family."""
    instance = FAMILIES[cell.family].build(run.seed)
    log_pi = tilted_policy(instance, BETA)
    if cell.kind == "references":
        for name, p in {"tilted": log_pi, "draft": instance.log_draft, "base": instance.log_base}.items():
            distances = divergence.tv(p, log_pi), divergence.kl(log_pi, p)
            yield Reference(cell.family, name, float(np.exp(p) @ instance.reward), *distances)
    elif cell.kind == "needed":
        method = METHODS[cell.method]
        for epsilon in EPSILONS:
            best = best_n(log_pi, getattr(instance, f"log_{method.limited_by}"), epsilon, MOST_NEEDED)
            needed = needed_n(lambda n: method.law(instance, Scheme(BETA, n)).log_prob, log_pi, epsilon, MOST_NEEDED)
            yield Needed(cell.family, cell.method, epsilon, needed, best, efficiency(best, needed))
    else:
        yield from _method(cell, run, instance)


def collect(rows: Rows, run: Run) -> Collected:
    """Findings on the first family: which methods reach π, which stay apart, and which move away from it again."""
    counts = rows["counts"]
    summary = within_bound(sum(c.comparisons for c in counts), max(c.worst for c in counts), LEVEL)
    family = rows["methods"][0].family
    tvs: dict[str, list[float]] = {}
    for r in rows["methods"]:
        if r.family == family:
            tvs.setdefault(r.label, []).append(r.tv)
    groups = {
        "reach": [label for label, tv in tvs.items() if tv[-1] <= REACHED],
        "leave": [label for label, tv in tvs.items() if tv[-1] > min(tv) + APART],
    }
    findings = {key: {"holds": bool(labels), "methods": labels} for key, labels in groups.items()}
    summary |= {"seed": run.seed, "beta": BETA, "draws_per_cell": run.settings["draws"], "family": family}
    summary |= {"largest_n": NS[-1], "reached": REACHED, "methods": len(tvs), "findings": findings}
    return summary, {table: rows[table] for table in ("methods", "needed", "references")}


EXPERIMENT = Experiment(
    name="methods",
    question="All methods on one instance: how far from the tilt, how much reward, at what number of draws?",
    claim="Every method of the literature named in gsi_theory.methods has the law and the cost stated there.",
    settings={"draws": (20_000, range(1, 100_000_001)), "families": ("zipf", tuple(FAMILIES))},
    full={"draws": 1_000_000, "families": tuple(FAMILIES)},
    full_minutes=6.0,
    tiny={"draws": 2000, "families": "two_point"},
    cell=_Cell,
    rows={"methods": _Row, "needed": Needed, "references": Reference, "counts": _Count},
    cells=cells,
    work=work,
    collect=collect,
)
