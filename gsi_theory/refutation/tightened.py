"""Is every constant needed? Each true claim with its bound tightened is put to the refuter.

REFUTED means that the constant (or the n, or the exponent) cannot be improved so; "slack" that the search did not
refute the sharper claim, and its best ratio tells by how much it held. Mutants that apply to every bound are derived
from its sides and leave it as it is where it is vacuous: a constant is needed if it is needed where the bound says
something. `SHARPER` lists sharper forms of single claims, whole statements that replace the bound everywhere. A mutant
whose right side is the claim's own says nothing and is left out.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from gsi_theory.arrays.namespace import detached
from gsi_theory.claims import CLAIMS
from gsi_theory.claims.claim import Claim, Outcome
from gsi_theory.claims.facts import Facts
from gsi_theory.claims.sides import Sides
from gsi_theory.errors import InputError
from gsi_theory.refutation.refute import QUICK, Round, refute
from gsi_theory.refutation.search_space import random_points, spaces_of
from gsi_theory.runs.artifact import provenance, read_artifact, write_artifact
from gsi_theory.runs.progress import Report
from gsi_theory.runs.terminal import formatted, wrapped
from gsi_theory.types import Array, Record

__all__ = ["COLUMNS", "SHARPER", "Mutant", "judged", "mutant_text", "mutants_of", "write_mutants"]

COLUMNS = ("claim", "mutant", "change", "outcome", "ratio", "n", "shape", "evaluations")
TIGHTER = 0.9
SECONDS = 45.0  # per mutant; the QUICK rounds end well before


@dataclass(frozen=True)
class Mutant:
    """A claim's id, a name, the change in words, and the changed claim."""

    of: str
    name: str
    change: str
    claim: Claim


# (name, change in words, the new right side of a claim, given its facts and its own sides)
Change = tuple[str, str, Callable[[Claim, Facts, Sides], Array]]


def _changed(claim: Claim, change: Change, where_telling: bool = False) -> Mutant:
    """The claim with another right side, everywhere or `where_telling` (the claim's own bound is not vacuous).

    Its error bound grows by what that side may round.
    """
    name, words, changed_rhs = change

    def sides(f: Facts) -> Sides:
        old = claim.sides(f)
        rhs = changed_rhs(claim, f, old)
        if where_telling:
            rhs = f.xp.where(old.rhs + f.xp.zeros_like(detached(f.beta)) < old.trivial, rhs, old.rhs)
        return dataclasses.replace(old, rhs=rhs, error=old.error + 1e-15 * abs(detached(rhs + old.lhs * 0.0)))

    source = f"mutant of {claim.id}"
    changed = dataclasses.replace(claim, id=f"{claim.id}/{name}", sides=sides, balls=None, source=source)
    return Mutant(claim.id, name, words, changed)


def _scaled(claim: Claim, f: Facts, old: Sides) -> Array:
    """TIGHTER of a positive bound, of what it is the log of where it is one; the inverse of a negative one."""
    if claim.logs:
        return old.rhs + float(np.log(TIGHTER))
    values = old.rhs + f.xp.zeros_like(detached(f.beta))
    return old.rhs * f.xp.where(values >= 0, TIGHTER, 1.0 / TIGHTER)


def _rhs_at(claim: Claim, f: Facts, **moved: Array) -> Array:
    """The right side at changed facts (another n or β)."""
    return claim.sides(dataclasses.replace(f, **moved, _source=None, _known={})).rhs


def _half_beta(claim: Claim, f: Facts, old: Sides) -> Array:
    return _rhs_at(claim, f, beta=f.beta / 2.0)


def _beyond_one(f: Facts, bound: Array, old: Sides) -> Array:
    """`bound` for n ≥ 2, the claim's own at n = 1, where any less than equality fails at once."""
    return f.xp.where(f.n >= 2, bound, old.rhs)


def _evenness(f: Facts) -> Array:
    """w_min/w_max over the draft's support."""
    xp, low = f.xp, f.xp.min(f.xp.where(f.covered, f.log_w, np.inf), axis=-1)
    some = xp.isfinite(low) & xp.isfinite(f.log_coverage)
    return xp.where(some, xp.exp(xp.where(some, low - f.log_coverage, 0.0)), 0.0)


def _steeper(claim: Claim, f: Facts, old: Sides) -> Array:
    coverage = f.xp.clip(f.xp.exp(f.xp.clip(f.log_coverage, None, 300.0)), 1.0 + 1e-12, None)
    return f.xp.minimum(old.rhs, f.xp.exp(1.1 * f.n * f.xp.log1p(-1.0 / coverage)))


GENERAL: tuple[Change, ...] = (
    ("scale", f"right side × {TIGHTER}", _scaled),
    ("n*1.1", "n × 1.1 on the right", lambda c, f, old: _rhs_at(c, f, n=1.1 * f.n, n_base=1.1 * f.n_base)),
    ("n+1", "n + 1 for n on the right", lambda c, f, old: _rhs_at(c, f, n=f.n + 1.0, n_base=f.n_base + 1.0)),
)
SHARPER: dict[str, tuple[Change, ...]] = {
    "M11-chi2": (
        # the log is kept above -700
        ("no 1", "log(χ²/n) for log(1 + χ²/n)", lambda c, f, old: f.xp.log(f.xp.clip(f.chi2 / f.n, 1e-300, None))),
        ("half", "½ log(1 + χ²/n)", lambda c, f, old: old.rhs / 2.0),
        ("n²", "log(1 + χ²/n²): the rate of M18 at every n", lambda c, f, old: f.xp.log1p(f.chi2 / (f.n * f.n))),
    ),
    "M12b": (("half", "e^{β‖r‖} for e^{2β‖r‖}", _half_beta),),
    "M12-osc": (("half", "e^{β osc} for e^{2β osc}", _half_beta),),
    "M13-sinh": (("half", "sinh²(β osc/4) for sinh²(β osc/2)", _half_beta),),
    "M15": (
        (
            "n for n-1",
            "n w_min/w_max for (n - 1) w_min/w_max, n ≥ 2",
            lambda c, f, old: _beyond_one(f, f.xp.log(f.n / (1.0 + f.n * _evenness(f))), old),
        ),
    ),
    "M16": (
        (
            "no 1/n",
            "log n - 1 for log n - (n - 1)/n, n ≥ 2",
            lambda c, f, old: _beyond_one(f, f.xp.log(f.n) - 1.0, old),
        ),
    ),
    "M17-tv": (
        (
            "1/e",
            "(1 + χ²)/(e n) for 2(1 + χ²)/(e n)",
            lambda c, f, old: f.xp.minimum(old.rhs, (1.0 + f.chi2) / (math.e * f.n)),
        ),
        (
            "χ²",
            "2χ²/(e n) for 2(1 + χ²)/(e n)",
            lambda c, f, old: f.xp.minimum(old.rhs, 2.0 * f.chi2 / (math.e * f.n)),
        ),
        ("minimax", "(1 - 1/C)^{1.1 n}", _steeper),
    ),
}


def mutants_of(claim: Claim) -> list[Mutant]:
    """Mutants of a bound: the general ones that change its right side somewhere, then its own. None for a limit."""
    if claim.relation != "<=" or claim.expected is not Outcome.HOLDS:
        return []
    general = [_changed(claim, change, where_telling=True) for change in GENERAL]
    return [m for m in general if _differs(claim, m.claim)] + [_changed(claim, c) for c in SHARPER.get(claim.id, ())]


def _differs(claim: Claim, mutant: Claim) -> bool:
    """Whether the right sides differ on a fixed batch; False too where a bound for whole n refuses n × 1.1."""
    try:
        return _apart(claim, mutant)
    except InputError:
        return False


def _apart(claim: Claim, mutant: Claim) -> bool:
    for space in spaces_of(claim):
        facts = space.facts(random_points(space, 48, np.random.default_rng(5)))
        one, other = (np.asarray(c.judge(facts).rhs) for c in (claim, mutant))
        with np.errstate(invalid="ignore"):
            apart = np.abs(np.where(one == other, 0.0, one - other))
        if bool(np.any(apart > 1e-9 * np.abs(one))):
            return True
    return False


def judged(mutant: Mutant, seed: int = 0, rounds: Sequence[Round] = QUICK, seconds: float = SECONDS) -> Record:
    """A row of COLUMNS: REFUTED (needed) or "slack", with the largest ratio of the sides, the n and shape there.

    The ratio is lhs/rhs of the mutant, null for a right side that is not positive; of a slack one, at n ≥ 2 and where
    the bound is not vacuous, if there is such a case.
    """
    from gsi_theory.refutation.card import shape_words

    finding = refute(mutant.claim, seed, seconds, rounds)
    refuted = finding.outcome is Outcome.REFUTED
    worst = finding.search.worst if refuted else finding.search.telling or finding.search.worst
    row: Record = {
        "claim": mutant.of,
        "mutant": mutant.name,
        "change": mutant.change,
        "outcome": "REFUTED" if refuted else "slack",
        "ratio": None if worst is None else worst.ratio,
        "n": None,
        "shape": "no instance meets the assumptions",
        "evaluations": finding.search.evaluations,
    }
    if worst is not None:
        instance, scheme = finding.minimal.floats() if finding.minimal is not None else (worst.instance, worst.scheme)
        row |= {"n": scheme.n, "shape": shape_words(instance, scheme)}
    return row


def write_mutants(path: Path, claims: Sequence[str], seed: int, report: Report | None = None) -> list[Record]:
    """Rows for the true bounds among `claims`, written as artifact "mutants" after each claim.

    Resumable: claims in an artifact at `path` made by the same command, seed, versions and commit are kept
    (with uncommitted changes in the checkout too: delete the file after changing a claim).
    """
    record = provenance(f"gsi refute --mutants --seed {seed}", seed)
    done = _known(path, record)
    chosen = [key for key in claims if mutants_of(CLAIMS[key])]
    for count, key in enumerate(chosen):
        if report is not None:
            report(count, len(chosen))
        if key not in done:
            done[key] = [judged(mutant, seed) for mutant in mutants_of(CLAIMS[key])]
            _write(path, record, done)
    if report is not None:
        report(len(chosen), len(chosen))
    _write(path, record, done)
    return [row for key in chosen for row in done[key]]


def _known(path: Path, record: Record) -> dict[str, list[Record]]:
    if not path.exists():
        return {}
    found = read_artifact(path, "mutants")
    if found.provenance != record:
        return {}
    table = found.tables["mutants"]
    done: dict[str, list[Record]] = {}
    for values in zip(*(table[name] for name in COLUMNS), strict=True):
        row = dict(zip(COLUMNS, values, strict=True))
        done.setdefault(str(row["claim"]), []).append(row)
    return done


def _write(path: Path, record: Record, done: dict[str, list[Record]]) -> None:
    rows = [row for key in CLAIMS for row in done.get(key, ())]
    needed = sum(row["outcome"] == "REFUTED" for row in rows)
    summary = {"mutants": len(rows), "refuted": needed, "claims": len({row["claim"] for row in rows})}
    write_artifact(path, "mutants", record, summary, {"mutants": {c: [row[c] for row in rows] for c in COLUMNS}})


def mutant_text(rows: Sequence[Record]) -> str:
    """The rows as a plain table as wide as the terminal, and the score."""
    wide = max([len("claim"), *(len(row["claim"]) for row in rows)]) + 2
    lines = [f"{'claim':<{wide}}{'outcome':<9}{'ratio':>10}  change"]
    for row in rows:
        head = f"{row['claim']:<{wide}}{row['outcome']:<9}{formatted(row['ratio'], '.5g'):>10}  "
        lines.append(wrapped(row["change"], head, " " * 4))
    refuted = sum(row["outcome"] == "REFUTED" for row in rows)
    score = f"{refuted} of {len(rows)} sharper claims refuted: those constants are needed. ratio: largest lhs/rhs found"
    return "\n".join([*lines, "", wrapped(score)])
