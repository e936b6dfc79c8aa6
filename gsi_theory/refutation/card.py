"""Cards: what the refuter found, for a referee to check by hand; as text (80 columns), JSON, and LaTeX (amsmath).

A card of a refuted claim holds the statement, the instance in decimals, both sides, the gap, and commands that
recompute them. A card of a claim that survived holds the tightest case met and what it looks like.
"""

from __future__ import annotations

from decimal import Decimal
from fractions import Fraction

import numpy as np

from gsi_theory.certified.certify import Certificate
from gsi_theory.certified.rational import Enclosure, ExactScheme
from gsi_theory.claims.claim import Outcome
from gsi_theory.claims.plain_text import plain_text
from gsi_theory.errors import InputError
from gsi_theory.instance import Instance, Scheme, tilted_policy
from gsi_theory.refutation.refute import Example, Refutation
from gsi_theory.refutation.shrink import ExactCase
from gsi_theory.runs.terminal import formatted, wrapped
from gsi_theory.types import Record

__all__ = ["card_json", "card_latex", "card_text", "decimal_text", "instance_json", "relative_gap", "shape_words"]

WIDTH = 80
LABEL = 11
POSED = "lhs is what the conclusion bounds, rhs the smallest ε that the premise allows at this n"
NEGLIGIBLE = 1e-3  # outcomes below this mass in draft, base and tilted policy do not make the shape


def decimal_text(value: Fraction) -> str:
    """The exact decimal of a terminating fraction, p/q of another."""
    odd = value.denominator
    for factor in (2, 5):
        while odd % factor == 0:
            odd //= factor
    if odd != 1 or value.denominator > 10**40:
        return str(value)
    shown = format((Decimal(value.numerator) / Decimal(value.denominator)).normalize(), "f")
    return shown if Fraction(shown) == value else str(value)


def instance_json(case: ExactCase) -> str:
    """The instance as `gsi law` and its --certify read it: decimals."""
    rows = (("draft", case.instance.draft), ("base", case.instance.base), ("reward", case.instance.reward))
    return "{" + ", ".join(f'"{k}": [{", ".join(map(decimal_text, v))}]' for k, v in rows) + "}"


def relative_gap(certificate: Certificate) -> tuple[float, float]:
    """(certain gap between the sides over the larger size, radius of the enclosures over that gap)."""
    if certificate.lhs is None or certificate.rhs is None:
        raise InputError("a certificate without sides: certify on an instance where the claim applies")
    gap = max(certificate.lhs.lower - certificate.rhs.upper, certificate.rhs.lower - certificate.lhs.upper)
    size = max(abs(certificate.lhs.mid), abs(certificate.rhs.mid), 1e-290)
    return float(gap) / size, max(certificate.lhs.radius, certificate.rhs.radius) / max(float(gap), 1e-290)


def shape_words(instance: Instance, scheme: Scheme) -> str:
    """The shape of an instance in words: "two outcomes, reward on the one that is rare in the draft, n = 1"."""
    pi, draft, base = (np.exp(v) for v in (tilted_policy(instance, scheme.beta), instance.log_draft, instance.log_base))
    count = int(np.sum(np.maximum(np.maximum(pi, draft), base) >= NEGLIGIBLE))
    words = ["one outcome" if count == 1 else f"{ {2: 'two', 3: 'three', 4: 'four'}.get(count, count) } outcomes"]
    top, spread = int(np.argmax(instance.reward)), float(np.ptp(instance.reward))
    if scheme.beta * spread < NEGLIGIBLE:
        words.append("constant reward")
    else:
        words.append(_rewarded(float(draft[top]), float(base[top])))
        words.append(f"β·osc(r) = {scheme.beta * spread:.3g}")
    distance = 0.5 * float(np.abs(draft - base).sum())
    if distance < NEGLIGIBLE:
        words.append("draft = base")
    elif distance > 0.9:
        words.append("draft and base nearly disjoint")
    if pi.max() > 0.99:
        words.append("tilted policy almost all on one outcome")
    if 0.5 * float(np.abs(pi - draft).sum()) < NEGLIGIBLE:
        words.append("tilted policy = draft")
    words.append(f"n = {scheme.n}")
    return ", ".join(words)


def _rewarded(draft: float, base: float) -> str:
    """Where the reward lies, by the masses of that outcome."""
    one, other = ("rare" if m < 0.2 else "likely" if m > 0.8 else "of middling mass" for m in (draft, base))
    places = f"{one} in draft and base" if one == other else f"{one} in the draft, {other} in the base"
    return f"reward on one that is {places}"


def _scheme_words(scheme: Scheme | ExactScheme, beta: str, cut: str | None) -> str:
    gate = "no gate" if cut is None else f"accept when {scheme.gate.replace('_', ' ')} ≥ {cut}"
    return f"β = {beta}, n = {scheme.n}, rule {scheme.rule}, {gate}"


def _exact_words(case: ExactCase) -> str:
    return _scheme_words(case.scheme, decimal_text(case.scheme.beta), _cut(case))


def _cut(case: ExactCase) -> str | None:
    cut = case.scheme.threshold
    return decimal_text(cut) if isinstance(cut, Fraction) else None if cut is None else str(cut)


def _commands(finding: Refutation, case: ExactCase) -> list[str]:
    """Shell command and Python lines that recompute the law and the certificate."""
    s, cut = case.scheme, _cut(case)
    gate = "" if cut is None else f" --threshold={cut} --gate {s.gate}"
    lines = [
        f"echo '{instance_json(case)}' > instance.json",
        f"gsi law instance.json --beta {decimal_text(s.beta)} --n {s.n} --rule {s.rule}{gate} --certify",
    ]
    if finding.certificate is not None:
        rows = [", ".join(repr(decimal_text(v)) for v in p) for p in _rows(case).values()]
        shown = "None" if cut is None else repr(cut)
        loading, claim = "", repr(finding.claim.id)
        if finding.member:
            loading = "from gsi_theory.claims import Claim; from gsi_theory.runs.user_file import load_member; "
            claim = f"load_member({finding.member!r}, Claim)"
        lines += [
            f'python -c "{loading}from gsi_theory.certified.certify import *; '
            "from gsi_theory.certified.rational import *; print(certify_claim(",
            f"  {claim}, ExactInstance({', '.join(f'[{r}]' for r in rows)}),",
            f"  ExactScheme('{decimal_text(s.beta)}', {s.n}, {shown}, '{s.rule}', None, '{s.gate}')))\"",
        ]
    return lines


def _rows(case: ExactCase) -> dict[str, tuple[Fraction, ...]]:
    return {"draft": case.instance.draft, "base": case.instance.base, "reward": case.instance.reward}


def _wrapped(label: str, text: str) -> list[str]:
    return wrapped(text, f"{label:<{LABEL}}", width=WIDTH).splitlines()


def _matrix(rows: dict[str, list[str]]) -> list[str]:
    """Rows of a table, entries aligned."""
    widths = [max(map(len, column)) for column in zip(*rows.values(), strict=True)]
    return [
        f"{'':<{LABEL}}{name:<8}" + "  ".join(f"{v:>{w}}" for v, w in zip(row, widths, strict=True))
        for name, row in rows.items()
    ]


def card_text(finding: Refutation) -> str:
    """The card as plain text, at most 80 columns but for commands and wide instances."""
    claim, outcome = finding.claim, finding.outcome
    verdict = {
        Outcome.REFUTED: "REFUTED",
        Outcome.HOLDS: "not refuted",
        Outcome.NOT_APPLICABLE: "no instance meets its assumptions",
    }[outcome]
    expected = " — expected to hold: a finding" if finding.surprise else ""
    lines = [f"{claim.id}: {verdict}{expected}", ""]
    lines += _wrapped("claim", f"({claim.formula}) {plain_text(claim.statement)}")
    if r"\Rightarrow" in claim.statement:
        lines += _wrapped("sides", POSED)
    lines += _wrapped("source", claim.source)
    lines += _wrapped("assumes", "; ".join(a.name for a in claim.assumptions) or "nothing")
    if finding.minimal is not None:
        lines += _refuted_lines(finding, finding.minimal)
    else:
        lines += _tight_lines(finding)
    return "\n".join([*lines, "", *_wrapped("search", _effort(finding))])


def _effort(finding: Refutation) -> str:
    search = finding.search
    method = "gradient ascent and differential evolution" if search.gradient else "differential evolution (no torch)"
    cut = "" if search.complete else "; cut short by --seconds, so a slower machine may report less"
    rounds = "1 round" if search.rounds == 1 else f"{search.rounds} rounds"
    return f"{search.evaluations:,} evaluations, {rounds}, {method}, seed {finding.seed}{cut}"


def _refuted_lines(finding: Refutation, case: ExactCase) -> list[str]:
    lines = ["", *_wrapped("instance", _exact_words(case))]
    lines += _matrix({name: [decimal_text(v) for v in row] for name, row in _rows(case).items()})
    lines += _wrapped("shape", shape_words(*case.floats()))
    certificate, verdict = finding.certificate, finding.verdict
    if certificate is not None and certificate.lhs is not None and certificate.rhs is not None:
        gap, radius = relative_gap(certificate)
        lines += ["", *_wrapped("lhs", certificate.lhs.text()), *_wrapped("rhs", certificate.rhs.text())]
        lines += _wrapped("gap", f"{gap:.6g} of the larger side; the enclosures' radius is {radius:.1e} of it")
        if certificate.outcome is Outcome.REFUTED:
            lines += _wrapped("certified", "the enclosures are disjoint: proved in ball arithmetic, decimals exact")
        else:
            lines += _wrapped("certified", f"NO: ball arithmetic says {certificate.outcome} ({certificate.reason})")
    elif verdict is not None and verdict.lhs is not None:
        lines += ["", *_wrapped("lhs", repr(verdict.lhs)), *_wrapped("rhs", repr(verdict.rhs))]
        lines += _wrapped("error", f"{verdict.error:.2g} at most, of the difference")
        lines += _wrapped("certified", "not certified: float64 with its error bound (no sides in ball arithmetic)")
    return [*lines, "", "recheck", *(f"  {line}" for line in _commands(finding, case))]


def _tight_lines(finding: Refutation) -> list[str]:
    lines = []
    for label, example in (("tightest", finding.search.worst), ("n ≥ 2", finding.search.telling)):
        if example is not None:
            lines += ["", *_wrapped(label, _tightness(finding, example))]
            lines += _wrapped("", _scheme_words(*_scheme_parts(example.scheme)))
            rows = {"draft": np.exp(example.instance.log_draft), "base": np.exp(example.instance.log_base)}
            rows |= {"reward": example.instance.reward}
            lines += _matrix({name: [formatted(v, ".6g") for v in row] for name, row in rows.items()})
            lines += _wrapped("", shape_words(example.instance, example.scheme))
    return lines


def _scheme_parts(scheme: Scheme) -> tuple[Scheme, str, str | None]:
    return scheme, f"{scheme.beta:.6g}", None if scheme.threshold is None else f"{scheme.threshold:.6g}"


def _tightness(finding: Refutation, example: Example) -> str:
    v = example.verdict
    if v.lhs is None or v.rhs is None:
        return str(v.outcome)
    sides = f"lhs = {v.lhs:.10g}, rhs = {v.rhs:.10g}"
    if finding.claim.relation == "=":
        return f"farthest from equal: {sides}, error {v.error:.2g}"
    return f"lhs/rhs = {example.ratio:.8g} ({sides})" if example.ratio is not None else sides


def _example_json(example: Example | None) -> Record | None:
    if example is None:
        return None
    inst, s, v = example.instance, example.scheme, example.verdict
    return {
        "ratio": example.ratio,
        "excess": example.excess,
        "lhs": v.lhs,
        "rhs": v.rhs,
        "error": v.error,
        "outcome": str(v.outcome),
        "draft": np.exp(inst.log_draft).tolist(),
        "base": np.exp(inst.log_base).tolist(),
        "reward": inst.reward.tolist(),
        "beta": s.beta,
        "n": s.n,
        "threshold": s.threshold,
        "rule": s.rule,
        "gate": s.gate,
        "shape": shape_words(inst, s),
    }


def card_json(finding: Refutation) -> Record:
    """The card as one JSON object; exact numbers are decimal strings, enclosures {"lower", "upper"} of strings."""
    claim, search = finding.claim, finding.search
    card: Record = {
        "id": claim.id,
        "formula": claim.formula,
        "statement": claim.statement,
        "source": claim.source,
        "assumptions": [a.name for a in claim.assumptions],
        "expected": str(claim.expected),
        "outcome": str(finding.outcome),
        "surprise": finding.surprise,
        "seed": finding.seed,
        "evaluations": search.evaluations,
        "rounds": search.rounds,
        "complete": search.complete,
        "gradient": search.gradient,
        "tightest": _example_json(search.worst),
        "tightest_telling": _example_json(search.telling),
        "counterexample": None,
    }
    case, verdict = finding.minimal, finding.verdict
    if case is None or verdict is None:
        return card
    shown: Record = {name: list(map(decimal_text, row)) for name, row in _rows(case).items()}
    shown |= {"beta": decimal_text(case.scheme.beta), "n": case.scheme.n, "threshold": _cut(case)}
    shown |= {"rule": case.scheme.rule, "gate": case.scheme.gate, "shape": shape_words(*case.floats())}
    shown |= {"lhs": verdict.lhs, "rhs": verdict.rhs, "error": verdict.error, "certificate": None}
    certificate = finding.certificate
    if certificate is not None and certificate.lhs is not None and certificate.rhs is not None:
        gap, radius = relative_gap(certificate)
        ends = {s: {"lower": str(e.lower), "upper": str(e.upper)} for s, e in _ends(certificate).items()}
        shown["certificate"] = {"outcome": str(certificate.outcome), "gap": gap, "radius_over_gap": radius} | ends
    shown["recheck"] = _commands(finding, case)
    return card | {"counterexample": shown}


def _ends(certificate: Certificate) -> Record:
    return {"lhs": certificate.lhs, "rhs": certificate.rhs}


def card_latex(finding: Refutation) -> str:
    """The card as a LaTeX paragraph and array that compile with amsmath alone."""
    claim, case, verdict = finding.claim, finding.minimal, finding.verdict
    head = f"\\paragraph{{{_plain(claim.id)}}} ({_plain(claim.formula)}) \\[{claim.statement}\\]"
    if case is None or verdict is None:
        worst = finding.search.worst
        if worst is None:
            return f"{head}\nNo instance met its assumptions.\n"
        ratio = "" if worst.ratio is None else f" Largest left over right side: ${worst.ratio:.6f}$"
        return f"{head}\nNot refuted.{ratio} ({_math_words(shape_words(worst.instance, worst.scheme))}).\n"
    letters = {"draft": r"\pi_S", "base": r"\pi_B", "reward": "r"}
    rows = [f"{letters[k]} & {' & '.join(map(decimal_text, row))} \\\\" for k, row in _rows(case).items()]
    cut = _cut(case)
    gate = "no gate" if cut is None else f"threshold ${cut}$ on the {case.scheme.gate.replace('_', ' ')}"
    columns = "r" * case.instance.size
    lines = [head, "Refuted by", r"\[", f"\\begin{{array}}{{l|{columns}}}", *rows, r"\end{array}", r"\]"]
    lines.append(
        f"with $\\beta = {decimal_text(case.scheme.beta)}$, $n = {case.scheme.n}$, rule {case.scheme.rule}, {gate}:"
    )
    if r"\Rightarrow" in claim.statement:
        lines.append(r"(right side: the smallest $\varepsilon$ that the premise allows at this $n$)")
    certificate = finding.certificate
    if certificate is not None and certificate.lhs is not None and certificate.rhs is not None:
        lhs, rhs = (_interval(e) for e in (certificate.lhs, certificate.rhs))
        lines += [r"\begin{align*}", f"\\text{{left side}} &\\in {lhs},\\\\", f"\\text{{right side}} &\\in {rhs}."]
        lines += [r"\end{align*}", "The intervals are enclosures in ball arithmetic."]
    else:
        lines += [f"left side ${_number(verdict.lhs)}$, right side ${_number(verdict.rhs)}$, error at most"]
        lines += [f"${_number(verdict.error)}$ (floating point, not certified)."]
    return "\n".join(lines) + "\n"


def _plain(text: str) -> str:
    return text.replace("\\", r"\textbackslash{}").replace("_", r"\_").replace("&", r"\&").replace("%", r"\%")


def _math_words(text: str) -> str:
    return text.replace("β·osc(r)", r"$\beta\,\mathrm{osc}(r)$")


def _interval(enclosure: Enclosure) -> str:
    return f"[{_number(enclosure.lower)},\\ {_number(enclosure.upper)}]"


def _number(value: object) -> str:
    """A number in TeX: 1.2e-7 as 1.2 \\cdot 10^{-7}."""
    text = str(value).lower()
    if "e" not in text:
        return text.replace("infinity", r"\infty").replace("inf", r"\infty")
    digits, exponent = text.split("e")
    return f"{digits} \\cdot 10^{{{int(exponent)}}}"
