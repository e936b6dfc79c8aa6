"""What one cell of the audit says of every claim: outcomes and tightness by n, and the cases to look at again.

Results are plain JSON: {claim: {"counts": [[…] by outcome] by n, "tight": [largest lhs/rhs or None] by n, "worst":
[gap, case] or None, "undecided": [[slack, case], …]}}. An evaluation is one claim on one instance and scheme to which
it applies.
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from gsi_theory.certified.certify import certify_claim
from gsi_theory.certified.rational import ExactInstance
from gsi_theory.claims import CLAIMS, OUTCOMES, Claim, Judgement, Outcome
from gsi_theory.instance import Instance, Scheme
from gsi_theory.types import Floats, Json, Record
from sims.audits.regimes import Batch, Cell, batches_of, scheme_of

__all__ = ["case_of", "judge_cell", "parts_of", "rejudge"]

KEPT = 4  # undecided cases that a cell keeps of each claim, those of the least slack
LARGEST_REJUDGED = 64  # candidates; balls cost milliseconds up to here
RESOLVED = 1e-6  # a ratio counts as tightness where the numerical error is at most this share of the bound
_CODE = {outcome: OUTCOMES.index(outcome) for outcome in OUTCOMES}


def case_of(instance: Instance, scheme: Scheme) -> Record:
    """An instance and a scheme as JSON that `parts_of` reads back bit by bit."""
    return {
        "log_draft": instance.log_draft.tolist(),
        "log_base": instance.log_base.tolist(),
        "reward": instance.reward.tolist(),
        "scheme": [scheme.beta, scheme.n, scheme.threshold, scheme.rule, scheme.n_base, scheme.gate],
    }


def parts_of(case: Record) -> tuple[Instance, Scheme]:
    """The instance and the scheme of `case_of`."""
    policies = (np.array(case[name]) for name in ("log_draft", "log_base", "reward"))
    return Instance(*policies), Scheme(*case["scheme"])


def _ratios(claim: Claim, judged: Judgement) -> Floats:
    """lhs/rhs, e^{lhs - rhs} for logs, where a bound was neither refuted nor vacuous and the ratio is resolved; else 0.

    Undecided evaluations count: where both sides are equal the ratio is one.
    """
    rhs, error = judged.rhs, judged.error
    kept = (judged.outcome == _CODE[Outcome.HOLDS]) | (judged.outcome == _CODE[Outcome.UNDECIDED])
    size = 1.0 if claim.logs else rhs
    kept = kept & np.isfinite(rhs) & np.isfinite(judged.lhs) & (size > 0) & (error <= RESOLVED * size)
    lhs, rhs = np.where(kept, judged.lhs, 0.0), np.where(kept, rhs, 1.0)
    values = np.exp(np.clip(lhs - rhs, None, 0.0)) if claim.logs else np.clip(lhs / rhs, 0.0, 1.0)
    return np.where(kept, values, 0.0)


def _spots(batch: Batch, outcome: Floats, code: int, slack: Floats, most: int) -> Iterable[tuple[float, int, int]]:
    """(slack, instance, place in the ladder) of the evaluations with that outcome, least slack first."""
    rows = np.flatnonzero(outcome == code)
    order = rows[np.argsort(slack.reshape(-1)[rows], kind="stable")][:most]
    width = outcome.size // len(batch.instances)
    for row in order.tolist():
        yield float(slack.reshape(-1)[row]), row // width, row % width


def _judge(claim: Claim, batch: Batch, beta: float, ns: tuple[int, ...]) -> Record:
    single = claim.relation == "=" or claim.most_outcomes is not None
    judged = claim.judge(batch.single if single else batch.ladder)
    place = np.array([ns.index(n) for n in batch.single_n]) if single else np.arange(len(ns))[None, :]
    place = np.broadcast_to(place, judged.outcome.shape)
    counts = np.zeros((len(ns), len(OUTCOMES)), dtype=np.int64)
    np.add.at(counts, (place, judged.outcome), 1)
    tight = np.zeros(len(ns))
    if claim.relation != "=":
        np.maximum.at(tight, place, _ratios(claim, judged))

    def cases(outcome: Outcome, most: int) -> list[list[Json]]:
        kept = []
        for slack, i, at in _spots(batch, judged.outcome, _CODE[outcome], judged.slack, most):
            n = batch.single_n[i] if single else ns[at]
            kept.append([slack, case_of(batch.instances[i], scheme_of(batch, i, beta, n))])
        return kept

    worst = cases(Outcome.REFUTED, 1)
    small = batch.ladder.size <= LARGEST_REJUDGED and claim.certifiable
    undecided = cases(Outcome.UNDECIDED, KEPT) if small else []
    return {
        "counts": counts.tolist(),
        "tight": [v if v > 0 else None for v in tight.tolist()],
        "worst": [-worst[0][0], worst[0][1]] if worst else None,
        "undecided": undecided,
    }


def _joined(one: Record, other: Record) -> Record:
    pairs = zip(one["tight"], other["tight"], strict=True)
    worst = [w for w in (one["worst"], other["worst"]) if w is not None]
    return {
        "counts": (np.array(one["counts"]) + np.array(other["counts"])).tolist(),
        "tight": [max((v for v in pair if v is not None), default=None) for pair in pairs],
        "worst": max(worst, key=lambda w: w[0]) if worst else None,
        "undecided": sorted(one["undecided"] + other["undecided"], key=lambda u: u[0])[:KEPT],
    }


def judge_cell(seed: int, cell: Cell, claims: Iterable[str], instances: int, ns: tuple[int, ...]) -> Record:
    """Every claim on every instance of the cell: a bound at all numbers `ns` of drafts, a limit at one in turn.

    A costly claim is judged at one n in turn, and not at all where there are more candidates than it allows.
    """
    keys = tuple(claims)
    result: Record = {}
    for batch in batches_of(seed, cell, instances, ns):
        for key in keys:
            if batch.ladder.size > (CLAIMS[key].most_outcomes or batch.ladder.size):
                continue
            judged = _judge(CLAIMS[key], batch, cell.beta, ns)
            result[key] = _joined(result[key], judged) if key in result else judged
    return result


def rejudge(key: str, cases: Iterable[Record]) -> list[str | None]:
    """Outcomes of cases in ball arithmetic; None where no precision tried says anything."""
    outcomes: list[str | None] = []
    for case in cases:
        instance, scheme = parts_of(case)
        try:
            outcomes.append(str(certify_claim(key, ExactInstance.near(instance), scheme).outcome))
        except ArithmeticError:
            outcomes.append(None)
    return outcomes
