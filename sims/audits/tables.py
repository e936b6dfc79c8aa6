"""The audit's artifact from the results of its jobs: outcome, vacuity and tightness of every claim, and where.

Tables: `claims` (one row each), `regimes` (claim × β × n), `families` (claim × family), `counterexamples` (certified
where ball arithmetic knows the claim), `asked` (drafts asked for and needed), `kl_rate`. An evaluation is one claim on
one instance and scheme to which it applies; shares are of evaluations.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from decimal import Decimal

import numpy as np

from gsi_theory.certified.certify import Certificate, certify_claim
from gsi_theory.claims import CLAIMS, OUTCOMES, Claim, Outcome
from gsi_theory.types import Json, Record
from sims.audits.cells import parts_of
from sims.audits.counterexamples import Case, shorten
from sims.audits.drafts_needed import ASKED_COLUMNS, BETAS_ASKED
from sims.audits.kl_rate import RATE_COLUMNS, rate_summary
from sims.audits.regimes import NS

__all__ = ["COLUMNS", "Totals", "tables_of"]

SAME = 0.999

Table = dict[str, list[Json]]
SPEAKS = tuple(f"{kind}_n_beta_{beta:g}" for kind in ("first", "half") for beta in BETAS_ASKED)
_COLUMNS = {
    "claims": "id formula statement source expected outcome surprise evaluations holds refuted undecided vacuous "
    "not_applicable rejudged settled vacuous_share tightness tight_family tight_beta tight_n",
    "regimes": "id beta n evaluations holds refuted undecided vacuous tightness",
    "families": "id family evaluations refuted vacuous tightness",
    "counterexamples": "id draft base reward beta n rule threshold lhs rhs error certified lhs_lower lhs_upper "
    "rhs_lower rhs_upper relative_gap",
}
COLUMNS = {name: tuple(columns.split()) for name, columns in _COLUMNS.items()}
COLUMNS["claims"] += SPEAKS
COLUMNS |= {"asked": ASKED_COLUMNS, "kl_rate": RATE_COLUMNS}
_HOLDS, _REFUTED, _UNDECIDED, _VACUOUS, _IDLE = (OUTCOMES.index(o) for o in Outcome)


@dataclass
class Totals:
    """Results of jobs put together: counts by (claim, family, beta) as arrays (N, 5), tightness by the same and n."""

    claims: Sequence[str]
    counts: dict[tuple[str, str, float], np.ndarray] = field(default_factory=dict)
    tight: dict[tuple[str, str, float], np.ndarray] = field(default_factory=dict)
    worst: dict[str, tuple[float, Record]] = field(default_factory=dict)
    short: dict[str, Case] = field(default_factory=dict)
    rejudged: dict[str, list[str | None]] = field(default_factory=dict)
    refuted_by_balls: dict[str, Record] = field(default_factory=dict)
    asked: list[Json] = field(default_factory=list)
    rates: list[Json] = field(default_factory=list)
    _near: dict[str, list[Json]] = field(default_factory=dict)

    def add(self, job: tuple[Json, ...], result: Json) -> None:
        """Take in the result of one job; the order matters only among equals."""
        kind, *rest = job
        if kind == "search":
            if result is not None:
                self.short[rest[0]] = Case.read(result)
        elif kind == "rate":
            self.rates += result
        elif kind == "asked":
            self.asked += result
        elif kind == "rejudge":
            key, cases = rest
            self.rejudged.setdefault(key, []).extend(result)
            for case, outcome in zip(cases, result, strict=True):
                if outcome == Outcome.REFUTED:
                    self.refuted_by_balls.setdefault(key, case)
        else:
            self._add_cell(rest[1], rest[3], result)

    def _add_cell(self, family: str, beta: float, result: Record) -> None:
        for key, found in result.items():
            place = key, family, beta
            counts = np.array(found["counts"])
            tight = np.array([np.nan if v is None else v for v in found["tight"]])
            self.counts[place] = self.counts[place] + counts if place in self.counts else counts
            self.tight[place] = np.fmax(self.tight[place], tight) if place in self.tight else tight
            worst = found["worst"]
            if worst is not None and worst[0] > self.worst.get(key, (0.0, {}))[0]:
                self.worst[key] = worst[0], worst[1]
            self._near.setdefault(key, []).extend(found["undecided"])

    def undecided(self, key: str) -> list[Record]:
        """The undecided cases that cells kept of a claim, least slack first."""
        return [case for _, case in sorted(self._near.get(key, []), key=lambda kept: kept[0])]

    def count(self, key: str, family: str | None = None, beta: float | None = None) -> np.ndarray:
        """Counts (N, 5) by n and outcome of a claim, in one family or at one beta or in all."""
        chosen = [v for (k, f, b), v in self.counts.items() if k == key and family in (None, f) and beta in (None, b)]
        return np.sum(chosen, axis=0) if chosen else np.zeros((len(NS), len(OUTCOMES)), dtype=np.int64)


def _largest(values: Iterable[np.ndarray]) -> tuple[float, int] | None:
    """The largest number of several arrays with NaN, and the place in its array."""
    best: tuple[float, int] | None = None
    for array in values:
        if np.all(np.isnan(array)):
            continue
        at = int(np.nanargmax(array))
        if best is None or array[at] > best[0]:
            best = float(array[at]), at
    return best


def _speaks(counts: np.ndarray, share: float) -> float | None:
    """Smallest n of the ladder at which less than that share of the evaluations is vacuous; inf if none does."""
    total = counts.sum(axis=1) - counts[:, _IDLE]
    if not total.any():
        return None
    good = (total > 0) & (counts[:, _VACUOUS] < share * total)
    return float(NS[int(np.argmax(good))]) if good.any() else float("inf")


def _tightest(totals: Totals, key: str) -> tuple[float | None, str | None, float | None, int | None]:
    """(largest lhs/rhs, family, beta, n of it), or of what comes within SAME of it with two draws or more and β > 0.

    At one draw and at β = 0 many bounds are equalities, which says nothing.
    """
    spots = [
        (float(value), family, beta, NS[i])
        for (k, family, beta), values in totals.tight.items()
        if k == key
        for i, value in enumerate(values)
        if not np.isnan(value)
    ]
    if not spots:
        return None, None, None, None
    best = max(spot[0] for spot in spots)
    near = [spot for spot in spots if spot[0] >= SAME * best]
    return best, *min(near, key=lambda spot: (spot[3] < 2, spot[2] == 0, -spot[0]))[1:]


def _claim_row(totals: Totals, claim: Claim) -> tuple[Json, ...]:
    key, per_n = claim.id, totals.count(claim.id)
    counts = per_n.sum(axis=0)
    looked = totals.rejudged.get(key, [])
    held, failed = (sum(outcome == o for outcome in looked) for o in (Outcome.HOLDS, Outcome.REFUTED))
    counts = counts + np.array([held, failed, -held - failed, 0, 0])
    order = (_REFUTED, _HOLDS, _UNDECIDED, _VACUOUS)
    outcome = next((OUTCOMES[code] for code in order if counts[code]), Outcome.NOT_APPLICABLE)
    if key in totals.short:
        outcome = Outcome.REFUTED
    evaluations = int(counts.sum() - counts[_IDLE])
    limit = claim.relation == "="
    speaks = [
        None if limit else _speaks(totals.count(key, beta=beta), share) for share in (1.0, 0.5) for beta in BETAS_ASKED
    ]
    told = key, claim.formula, claim.statement, claim.source, str(claim.expected), str(outcome)
    surprise = outcome is Outcome.REFUTED and claim.expected is not Outcome.REFUTED
    shown = (int(counts[code]) for code in (_HOLDS, _REFUTED, _UNDECIDED, _VACUOUS, _IDLE))
    vacuous_share = float(counts[_VACUOUS]) / evaluations if evaluations else None
    settled = len(looked), held + failed
    return (*told, surprise, evaluations, *shown, *settled, vacuous_share, *_tightest(totals, key), *speaks)


def _regime_rows(totals: Totals, key: str) -> list[tuple[Json, ...]]:
    rows = []
    for beta in sorted({b for k, _, b in totals.counts if k == key}):
        per_n = totals.count(key, beta=beta)
        tight = [v for (k, _, b), v in totals.tight.items() if k == key and b == beta]
        for i, n in enumerate(NS):
            counts, found = per_n[i], _largest([v[i : i + 1] for v in tight])
            shown = tuple(int(counts[code]) for code in (_HOLDS, _REFUTED, _UNDECIDED, _VACUOUS))
            rows.append((key, beta, n, sum(shown), *shown, None if found is None else found[0]))
    return rows


def _family_rows(totals: Totals, key: str) -> list[tuple[Json, ...]]:
    rows = []
    for family in dict.fromkeys(f for k, f, _ in totals.counts if k == key):
        counts = totals.count(key, family=family).sum(axis=0)
        found = _largest(v for (k, f, _), v in totals.tight.items() if k == key and f == family)
        evaluations = int(counts.sum() - counts[_IDLE])
        shown = int(counts[_REFUTED]), int(counts[_VACUOUS])
        rows.append((key, family, evaluations, *shown, None if found is None else found[0]))
    return rows


def _certified(claim: Claim, case: Case) -> tuple[Json, ...]:
    """Outcome, the ends of both enclosures as decimals, and the gap over the larger side; None where not known."""
    nothing: tuple[Json, ...] = (None,) * 6
    if not claim.certifiable:
        return nothing
    try:
        found = certify_claim(claim.id, *case.exact())
    except ArithmeticError:
        return nothing
    return (str(found.outcome), *_ends(found), _relative_gap(found, claim.relation))


def _ends(found: Certificate) -> tuple[str | None, ...]:
    sides = (found.lhs, found.rhs)
    return tuple(
        end for side in sides for end in ((None, None) if side is None else (str(side.lower), str(side.upper)))
    )


def _relative_gap(found: Certificate, relation: str) -> float | None:
    """How far apart the enclosures are, over the larger side; negative where lhs lies below, None where not finite."""
    if found.lhs is None or found.rhs is None:
        return None
    ends = (found.lhs.lower, found.lhs.upper, found.rhs.lower, found.rhs.upper)
    if not all(end.is_finite() for end in ends):
        return None
    size = max(end.copy_abs() for end in ends)
    gap = found.lhs.lower - found.rhs.upper
    if relation == "=":
        gap = max(gap, found.rhs.lower - found.lhs.upper)
    return float(gap / size) if size > Decimal(0) else 0.0


def _counterexamples(totals: Totals) -> list[tuple[Json, ...]]:
    """One row a refuted claim; a case of the search is preferred to one met in a cell, and that to one of the balls."""
    rows = []
    for key in totals.claims:
        case = totals.short.get(key)
        if case is None and key in totals.worst:
            case = Case.of(*parts_of(totals.worst[key][1]))
        if case is None and key in totals.refuted_by_balls:
            case = Case.of(*parts_of(totals.refuted_by_balls[key]))
        if case is None:
            continue
        case = shorten(CLAIMS[key], case)
        verdict, s = case.verdict(CLAIMS[key]), case.scheme
        values = verdict.lhs, verdict.rhs, verdict.error
        place = key, case.draft, case.base, case.reward, s.beta, s.n, s.rule, s.threshold
        rows.append((*place, *values, *_certified(CLAIMS[key], case)))
    return rows


def _columns(name: str, rows: Sequence[Sequence[Json]]) -> Table:
    return {column: [row[i] for row in rows] for i, column in enumerate(COLUMNS[name])}


def tables_of(totals: Totals, seed: int, settings: Record) -> tuple[Record, dict[str, Table]]:
    """(summary, tables) of the artifact."""
    keys = totals.claims
    claims = [_claim_row(totals, CLAIMS[key]) for key in keys]
    rows: dict[str, Sequence[Sequence[Json]]] = {
        "claims": claims,
        "regimes": [row for key in keys for row in _regime_rows(totals, key)],
        "families": [row for key in keys for row in _family_rows(totals, key)],
        "counterexamples": _counterexamples(totals),
        "asked": totals.asked,
        "kl_rate": totals.rates,
    }
    place = {name: i for i, name in enumerate(COLUMNS["claims"])}
    summary = {
        "seed": seed,
        "evaluations": sum(row[place["evaluations"]] for row in claims),
        "rejudged": sum(row[place["rejudged"]] for row in claims),
        "settled": sum(row[place["settled"]] for row in claims),
        "surprises": sum(bool(row[place["surprise"]]) for row in claims),
        "families": list(settings["families"]),
        "instances_per_cell": settings["instances"],
        "blocks": settings["blocks"],
        "largest_n": NS[-1],
    } | rate_summary(totals.rates)
    return summary, {name: _columns(name, table) for name, table in rows.items()}
