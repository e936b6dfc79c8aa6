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
from typing import Any

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


def _with_rhs(claim: Claim, name: str, change: Callable[[Facts, Sides], Any], where_telling: bool = False) -> Claim:
    """The claim with another right side, everywhere or `where_telling` (the claim's own bound is not vacuous).

    Its error bound grows by what that side may round.
    """

    def sides(f: Facts) -> Sides:
        own = claim.sides(f)
        rhs = change(f, own)
        if where_telling:
            rhs = f.xp.where(own.rhs + f.xp.zeros_like(detached(f.beta)) < own.trivial, rhs, own.rhs)
        return dataclasses.replace(own, rhs=rhs, error=own.error + 1e-15 * abs(detached(rhs + own.lhs * 0.0)))

    return dataclasses.replace(claim, id=f"{claim.id}/{name}", sides=sides, balls=None, source=f"mutant of {claim.id}")


def _scaled(claim: Claim, factor: float) -> Claim:
    if claim.logs:
        return _with_rhs(claim, "scale", lambda f, own: own.rhs + float(np.log(factor)), True)
    return _with_rhs(claim, "scale", lambda f, own: own.rhs * _xp_where(f, own.rhs, factor), True)


def _xp_where(f: Facts, rhs: Any, factor: float) -> Any:
    """The factor that tightens: one below a positive bound, its inverse for a negative one."""
    values = rhs + f.xp.zeros_like(detached(f.beta))
    return f.xp.where(values >= 0, factor, 1.0 / factor)


def _elsewhere(claim: Claim, name: str, move: Callable[[Facts], dict[str, Any]], where_telling: bool = False) -> Claim:
    """The claim with its right side taken at changed facts (another n or β), its left side where it was."""

    def changed(f: Facts, own: Sides) -> Any:
        return claim.sides(dataclasses.replace(f, **move(f), _source=None, _known={})).rhs

    return _with_rhs(claim, name, changed, where_telling)


def _general(claim: Claim) -> list[Mutant]:
    def make(name: str, change: str, changed: Claim) -> Mutant:
        return Mutant(claim.id, name, change, changed)

    return [
        make("scale", f"right side × {TIGHTER}", _scaled(claim, TIGHTER)),
        make("n*1.1", "n × 1.1 on the right", _elsewhere(claim, "n*1.1", lambda f: _times_n(f, 1.1, 0.0), True)),
        make("n+1", "n + 1 for n on the right", _elsewhere(claim, "n+1", lambda f: _times_n(f, 1.0, 1.0), True)),
    ]


def _times_n(f: Facts, factor: float, more: float) -> dict[str, Any]:
    return {"n": factor * f.n + more, "n_base": factor * f.n_base + more}


def _half_beta(claim: Claim) -> Claim:
    return _elsewhere(claim, "half", lambda f: {"beta": f.beta / 2.0})


def _log_form(inside: Callable[[Facts], Any]) -> Callable[[Facts, Sides], Any]:
    """log of `inside`, kept above -700."""
    return lambda f, own: f.xp.log(f.xp.clip(inside(f), 1e-300, None))


def _beyond_one(bound: Callable[[Facts], Any]) -> Callable[[Facts, Sides], Any]:
    """`bound` for n ≥ 2, the claim's own at n = 1, where any less than equality fails at once."""
    return lambda f, own: f.xp.where(f.n >= 2, bound(f), own.rhs)


def _evenness(f: Facts) -> Any:
    """w_min/w_max over the draft's support."""
    xp, low = f.xp, f.xp.min(f.xp.where(f.covered, f.log_w, np.inf), axis=-1)
    some = xp.isfinite(low) & xp.isfinite(f.log_coverage)
    return xp.where(some, xp.exp(xp.where(some, low - f.log_coverage, 0.0)), 0.0)


def _coverage(f: Facts) -> Any:
    """C, at most e^300."""
    return f.xp.exp(f.xp.clip(f.log_coverage, None, 300.0))


Changed = tuple[str, str, Callable[[Claim], Claim]]
# claim id -> (name, change in words, the changed claim)
SHARPER: dict[str, tuple[Changed, ...]] = {
    "M11-chi2": (
        ("no 1", "log(χ²/n) for log(1 + χ²/n)",
         lambda c: _with_rhs(c, "no 1", _log_form(lambda f: f.chi2 / f.n))),
        ("half", "½ log(1 + χ²/n)", lambda c: _with_rhs(c, "half", lambda f, own: own.rhs / 2.0)),
        ("n²", "log(1 + χ²/n²): the rate of M18 at every n",
         lambda c: _with_rhs(c, "n²", lambda f, own: f.xp.log1p(f.chi2 / (f.n * f.n)))),
    ),
    "M12b": (("half", "e^{β‖r‖} for e^{2β‖r‖}", _half_beta),),
    "M12-osc": (("half", "e^{β osc} for e^{2β osc}", _half_beta),),
    "M13-sinh": (("half", "sinh²(β osc/4) for sinh²(β osc/2)", _half_beta),),
    "M15": (("n for n-1", "n w_min/w_max for (n - 1) w_min/w_max, n ≥ 2",
             lambda c: _with_rhs(c, "n for n-1", _beyond_one(lambda f: f.xp.log(f.n / (1.0 + f.n * _evenness(f)))))),),
    "M16": (("no 1/n", "log n - 1 for log n - (n - 1)/n, n ≥ 2",
             lambda c: _with_rhs(c, "no 1/n", _beyond_one(lambda f: f.xp.log(f.n) - 1.0))),),
    "M17-tv": (
        ("1/e", "(1 + χ²)/(e n) for 2(1 + χ²)/(e n)",
         lambda c: _with_rhs(c, "1/e", lambda f, own: f.xp.minimum(own.rhs, (1.0 + f.chi2) / (math.e * f.n)))),
        ("χ²", "2χ²/(e n) for 2(1 + χ²)/(e n)",
         lambda c: _with_rhs(c, "χ²", lambda f, own: f.xp.minimum(own.rhs, 2.0 * f.chi2 / (math.e * f.n)))),
        ("minimax", "(1 - 1/C)^{1.1 n}",
         lambda c: _with_rhs(c, "minimax", lambda f, own: f.xp.minimum(
             own.rhs, f.xp.exp(1.1 * f.n * f.xp.log1p(-1.0 / f.xp.clip(_coverage(f), 1.0 + 1e-12, None)))))),
    ),
}  # fmt: skip


def mutants_of(claim: Claim) -> list[Mutant]:
    """Mutants of a bound: the general ones that change its right side somewhere, then its own. None for a limit."""
    if claim.relation != "<=" or claim.expected is not Outcome.HOLDS:
        return []
    own = [Mutant(claim.id, name, change, make(claim)) for name, change, make in SHARPER.get(claim.id, ())]
    return [m for m in _general(claim) if _differs(claim, m.claim)] + own


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


def judged(mutant: Mutant, seed: int = 0, rounds: Sequence[Round] = QUICK, seconds: float = SECONDS) -> dict[str, Any]:
    """A row of COLUMNS: REFUTED (needed) or "slack", with the largest ratio of the sides, the n and shape there.

    The ratio is lhs/rhs of the mutant, null for a right side that is not positive; of a slack one, at n ≥ 2 and where
    the bound is not vacuous, if there is such a case.
    """
    from gsi_theory.refutation.card import shape_words

    finding = refute(mutant.claim, seed, seconds, rounds)
    refuted = finding.outcome is Outcome.REFUTED
    worst = finding.search.worst if refuted else finding.search.telling or finding.search.worst
    row: dict[str, Any] = {
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


def write_mutants(path: Path, claims: Sequence[str], seed: int, report: Report | None = None) -> list[dict[str, Any]]:
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


def _known(path: Path, record: dict[str, Any]) -> dict[str, list[dict[str, Any]]]:
    if not path.exists():
        return {}
    found = read_artifact(path, "mutants")
    if found.provenance != record:
        return {}
    table = found.tables["mutants"]
    done: dict[str, list[dict[str, Any]]] = {}
    for values in zip(*(table[name] for name in COLUMNS), strict=True):
        row = dict(zip(COLUMNS, values, strict=True))
        done.setdefault(str(row["claim"]), []).append(row)
    return done


def _write(path: Path, record: dict[str, Any], done: dict[str, list[dict[str, Any]]]) -> None:
    rows = [row for key in CLAIMS for row in done.get(key, ())]
    needed = sum(row["outcome"] == "REFUTED" for row in rows)
    summary = {"mutants": len(rows), "refuted": needed, "claims": len({row["claim"] for row in rows})}
    write_artifact(path, "mutants", record, summary, {"mutants": {c: [row[c] for row in rows] for c in COLUMNS}})


def mutant_text(rows: Sequence[dict[str, Any]]) -> str:
    """The rows as a plain table as wide as the terminal, and the score."""
    wide = max([len("claim"), *(len(row["claim"]) for row in rows)]) + 2
    lines = [f"{'claim':<{wide}}{'outcome':<9}{'ratio':>10}  change"]
    for row in rows:
        head = f"{row['claim']:<{wide}}{row['outcome']:<9}{formatted(row['ratio'], '.5g'):>10}  "
        lines.append(wrapped(row["change"], head, " " * 4))
    refuted = sum(row["outcome"] == "REFUTED" for row in rows)
    score = f"{refuted} of {len(rows)} sharper claims refuted: those constants are needed. ratio: largest lhs/rhs found"
    return "\n".join([*lines, "", wrapped(score)])
