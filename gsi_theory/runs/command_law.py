"""`gsi law FILE`: the exact law of GSI on one instance file; `--certify` proves its numbers in ball arithmetic."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import numpy as np
import typer
from rich.markup import escape
from rich.table import Column, Table

from gsi_theory import divergence
from gsi_theory.claims.facts import Facts
from gsi_theory.errors import InputError
from gsi_theory.instance import GATES, Instance, Scheme
from gsi_theory.laws.gate import GsiLaw, gsi_law
from gsi_theory.laws.selection_law import EPS, RULES, Law
from gsi_theory.laws.target_law import target_law
from gsi_theory.rules.rule import Rule
from gsi_theory.rules.table import rule_names
from gsi_theory.runs.json_input import JsonFault, read_json, shown
from gsi_theory.runs.json_output import answer
from gsi_theory.runs.options import OUTPUT, refuse_options
from gsi_theory.runs.terminal import console, formatted, wrapped
from gsi_theory.runs.user_file import load_member, names_file
from gsi_theory.targets.target_table import target_named, target_names
from gsi_theory.types import Floats, Json, Record

if TYPE_CHECKING:  # python-flint is loaded by --certify alone
    from gsi_theory.certified.ball_facts import BallFacts
    from gsi_theory.certified.rational import Enclosure, ExactInstance, ExactScheme

__all__ = ["app", "read_exact_instance", "read_instance"]

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)
FIELDS = ("draft", "base", "reward")
CERTIFIED = ("law", "p_accept", "expected_reward", "tilted_reward_mean", "kl", "tv", "chi2")
LARGEST_CERTIFIED = 200
_GATE = "Gate and fallback"


def _fields(path: Path, number: Callable[[str], float | Decimal]) -> list[Json]:
    """draft, base and reward of an instance file; a number with a point or an exponent becomes number(its text)."""
    body = read_json(path, "an instance file: an object with draft, base, reward", number)
    if not isinstance(body, dict):
        raise InputError(f"{path} holds {shown(body)}: give an object with the fields {', '.join(FIELDS)}")
    missing, unknown = [f for f in FIELDS if f not in body], sorted(set(body) - set(FIELDS))
    if missing or unknown:
        parts = (("missing", missing), ("unknown", unknown))
        told = "; ".join(f"{kind} {', '.join(map(repr, names))}" for kind, names in parts if names)
        raise InputError(f"{path}, fields: {told}: give exactly {', '.join(FIELDS)}")
    for name in FIELDS:
        if not isinstance(body[name], list) or not body[name]:
            raise InputError(f"{path}: {name} is {shown(body[name])}: give a flat list of K ≥ 1 numbers")
        for i, value in enumerate(body[name]):
            if isinstance(value, bool) or not isinstance(value, int | float | Decimal):
                quotes = ", without quotes" if isinstance(value, str) else ""
                raise InputError(f"{path}: {name}[{i}] = {shown(value)}: give a number{quotes}")
            if not math.isfinite(_as_float(value)):
                raise InputError(f"{path}: {name}[{i}] = {shown(value)}: give a finite number, within ±1.8e308")
    return [body[f] for f in FIELDS]


def _as_float(value: float | Decimal) -> float:
    """The nearest float; infinite where an integer is beyond all floats."""
    try:
        return float(value)
    except OverflowError:
        return math.inf


def read_instance(path: Path) -> Instance:
    """Instance from JSON {"draft": [...], "base": [...], "reward": [...]}; InputError names file and field."""
    return _instance(path, _fields(path, float))


def _instance(path: Path, fields: list[Json]) -> Instance:
    try:
        return Instance.from_probabilities(*fields)
    except InputError as error:
        raise InputError(f"{path}: {error}") from error


def read_exact_instance(path: Path) -> tuple[Instance, ExactInstance]:
    """The same, and with decimals exact: 0.1 is 1/10; the file, which may be a pipe, is read once. Raises InputError
    also above LARGEST_CERTIFIED candidates."""
    from gsi_theory.certified.rational import ExactInstance

    fields = _fields(path, _exact)
    if len(fields[0]) > LARGEST_CERTIFIED:
        raise InputError(
            f"{path}: K = {len(fields[0])} with --certify: balls cost seconds beyond K = {LARGEST_CERTIFIED}; "
            "leave --certify out or merge candidates"
        )
    instance = _instance(path, [[float(v) for v in values] for values in fields])
    try:
        return instance, ExactInstance(*map(tuple, fields))
    except InputError as error:
        raise InputError(f"{path}: {error}") from error


def _exact(text: str) -> Decimal:
    """A number of a JSON text as a Decimal, whose exponents end at ±1e18."""
    try:
        return Decimal(text)
    except InvalidOperation as error:
        raise JsonFault(f"{text[:40]} has an exponent beyond all exact numbers") from error


@dataclass(frozen=True)
class _Summary:
    instance: Instance
    law: GsiLaw
    log_pi: Floats

    def record(self) -> Record:
        """The fields of `gsi law --json`."""
        inst, log_prob = self.instance, self.law.log_prob
        return {
            "tilted": np.exp(self.log_pi).tolist(),
            "law": np.exp(log_prob).tolist(),
            "p_accept": self.law.p_accept,
            "expected_reward": self.law.expectation(inst.reward),
            "tilted_reward_mean": float(np.exp(self.log_pi) @ inst.reward),
            "kl": divergence.kl(self.log_pi, log_prob),
            "tv": divergence.tv(self.log_pi, log_prob),
            "chi2": divergence.chi2(self.log_pi, inst.log_draft),
            "error": self.law.error,
            "uncovered": list(inst.uncovered),
        }


def _print(summary: _Summary, scheme: Scheme, path: Path) -> None:
    record, inst = summary.record(), summary.instance
    screen = console()
    accepts = f"accept where the {scheme.gate.replace('_', ' ')} ≥ {formatted(scheme.threshold, 'g')}"
    gate = "no gate" if scheme.threshold is None else accepts
    outcomes, target = f"{inst.size} outcome{'s' * (inst.size > 1)}", target_named(scheme.target)
    aim, pi = ("", "tilted π") if target.plain else (f", target {target.name}", "target π")
    beta = f", β = {scheme.beta:g}" if target.reads_reward else ""
    screen.print(f"[bold]{escape(str(path))}[/bold]: {outcomes}{beta}, n = {scheme.n}, {scheme.rule}, {gate}{aim}")
    names = ("y", "draft", "base", "reward", pi, "law")
    table = Table(*(Column(name, overflow="fold") for name in names))
    shown = range(inst.size) if inst.size <= 30 else np.argsort(-np.exp(summary.log_pi))[:30].tolist()
    for y in shown:
        numbers = (np.exp(inst.log_draft[y]), np.exp(inst.log_base[y]), inst.reward[y], record["tilted"][y])
        table.add_row(str(y), *(formatted(v, ".6g") for v in (*numbers, record["law"][y])))
    screen.print(table)
    if inst.size > 30:
        screen.print(f"(the 30 likeliest under π of {inst.size}; --json gives all)")
    typer.echo(wrapped(f"{pi}: {target.words}, the aim; law: what the method returns", "  "))
    if inst.uncovered:
        missed = ", ".join(map(str, inst.uncovered[:20])) + (", …" if len(inst.uncovered) > 20 else "")
        mass = float(np.exp(inst.log_base[list(inst.uncovered)]).sum())
        text = f"the draft never proposes y = {missed}, where the base has mass {mass:.6g}; no number of drafts reaches"
        typer.echo(wrapped(f"{text} them", "uncovered: ", "  "))
    for key, label in (
        ("p_accept", "probability of acceptance"),
        ("expected_reward", "expected reward under the law"),
        ("tilted_reward_mean", "expected reward under π"),
        ("kl", "KL(π‖law), nats"),
        ("tv", "TV(π, law)"),
        ("chi2", "χ²(π‖draft)"),
        ("error", "bound on the TV error of these numbers"),
    ):
        typer.echo(f"  {label:<40} {formatted(record[key], '.6g')}")


def _allowed(summary: _Summary, scheme: Scheme) -> dict[str, float]:
    """How far each float may be from the truth: the law's `.error`, and the rounding of the tilt where π enters.

    A TV error e moves a mean by ≤ 2 e max|r|. χ² = Σ μ (w - 1)² moves by 2 Σ μ w |w - 1| ≤ 2 (χ² + √χ²) a nat.
    """
    facts, law = Facts.of(summary.instance, scheme), summary.law
    size = float(np.max(np.abs(summary.instance.reward)))
    chi2, weights = float(facts.chi2), 4.0 * float(facts.weight_error)
    _, kl_error = facts.kl_to(Law(law.log_prob, law.error, law.log_error + weights))
    return {
        "law": law.error,
        "p_accept": law.error,
        "expected_reward": 2.0 * (size * law.error),
        "tilted_reward_mean": size * weights,
        "kl": float(kl_error) + law.error,
        "tv": law.error + weights,
        "chi2": weights * (chi2 + float(np.sqrt(chi2))) + 16.0 * EPS if np.isfinite(chi2) else 0.0,
    }


@dataclass(frozen=True)
class _Check:
    """A certified quantity beside its float: how far the float is outside the enclosure, and how far it may be."""

    name: str
    certified: tuple[Enclosure, ...]
    floats: tuple[float, ...]
    off: float
    allowed: float

    @property
    def passed(self) -> bool:
        """Whether the float is as close as it says."""
        return self.off <= self.allowed


def _checks(summary: _Summary, scheme: Scheme, exact: ExactInstance, exact_scheme: ExactScheme) -> list[_Check]:
    from gsi_theory.certified.certify import certify_all

    record, allowed, checks = summary.record(), _allowed(summary, scheme), []
    for name, value in certify_all(list(CERTIFIED), exact, exact_scheme).items():
        enclosures = value if isinstance(value, tuple) else (value,)
        floats = tuple(float(v) for v in (record[name] if isinstance(value, tuple) else [record[name]]))
        off = sum(e.distance(v) for e, v in zip(enclosures, floats, strict=True))
        # the error of the law bounds its total variation, half the sum
        checks.append(_Check(name, enclosures, floats, off / 2 if name == "law" else off, allowed[name]))
    return checks


def _bounds(check: _Check) -> Json:
    """What --json shows: {"lower", "upper"} as decimal strings rounded outward, one for each entry of the law."""
    ends = [
        {side: "inf" if end.is_infinite() else str(end) for side, end in (("lower", e.lower), ("upper", e.upper))}
        for e in check.certified
    ]
    return ends if check.name == "law" else ends[0]


def _print_checks(checks: list[_Check]) -> None:
    typer.echo(
        "\n"
        + wrapped(
            "Certified in ball arithmetic from the decimals as written; how far the float64 is off, how far it may be:"
        )
    )
    for check in checks:
        verdict = f"off {check.off:.1e} ≤ {check.allowed:.1e}" if check.passed else "OUTSIDE its error"
        if check.name != "law":
            typer.echo(f"  {check.name:<20} {check.certified[0].text().replace('Infinity', '∞'):<32} {verdict}")
            continue
        typer.echo(f"  {'law (total variation)':<53} {verdict}")
        for y, enclosure in enumerate(check.certified if len(check.certified) <= 30 else ()):
            typer.echo(f"    law[{y}]{'':<{13 - len(str(y))}} {enclosure.text()}")


def _report_failures(checks: list[_Check], facts: BallFacts) -> None:
    """One line for each float outside its error, on standard error, and exit status 1."""
    failed = [check for check in checks if not check.passed]
    if not failed:
        return
    for check in failed:
        what = "total variation" if check.name == "law" else "float64"
        typer.echo(
            f"gsi law: {check.name}: the {what} is {check.off:.3g} off the certified value, its error is "
            f"{check.allowed:.3g}",
            err=True,
        )
    for line in facts.ties():
        typer.echo(f"gsi law: {line}: rounding may have decided that", err=True)
    raise typer.Exit(1)


def _decimal(text: str) -> Decimal:
    try:
        value = Decimal(str(text).strip())
    except InvalidOperation as error:
        raise typer.BadParameter(f"{text!r} is not a number") from error
    if value.is_snan():
        raise typer.BadParameter(f"{text!r} is not a number")
    return value


@app.command()
def law(
    context: typer.Context,
    file: Annotated[
        Path, typer.Argument(metavar="FILE", help='Instance: {"draft": [...], "base": [...], "reward": [...]}.')
    ],
    beta: Annotated[
        Decimal, typer.Option(parser=_decimal, metavar="NUMBER", help="β ≥ 0, multiplies the reward.")
    ] = Decimal("1.0"),
    n: Annotated[int, typer.Option(metavar="N", help="Number of draft candidates.")] = 4,
    rule: Annotated[
        str,
        typer.Option(
            metavar="RULE",
            help=f"Selection: {', '.join(rule_names())}; or your own, FILE.py:NAME.",
            autocompletion=lambda: list(RULES),
        ),
    ] = "softmax",
    threshold: Annotated[
        Decimal | None,
        typer.Option(
            parser=_decimal,
            metavar="NUMBER",
            help="u in reward units; without it there is no gate.",
            rich_help_panel=_GATE,
        ),
    ] = None,
    gate: Annotated[
        str,
        typer.Option(
            metavar="GATE",
            help="What reaches u: tilted_reward, or score (rule race).",
            autocompletion=lambda: list(GATES),
            rich_help_panel=_GATE,
        ),
    ] = "tilted_reward",
    n_base: Annotated[
        int | None,
        typer.Option(metavar="N", help="Base draws of the fallback (default: n).", rich_help_panel=_GATE),
    ] = None,
    target: Annotated[
        str,
        typer.Option(
            metavar="TARGET",
            help=f"What the weights aim at: {', '.join(target_names())}.",
            autocompletion=lambda: list(target_names()),
        ),
    ] = "kl",
    certify: Annotated[
        bool,
        typer.Option(
            "--certify",
            help="Also prove the numbers: rigorous enclosures in ball arithmetic, with the file's decimals, β and u "
            f"exact. Exit status 1: a float64 is outside its error. At most {LARGEST_CERTIFIED} candidates.",
            rich_help_panel=OUTPUT,
        ),
    ] = False,
    as_json: Annotated[
        bool, typer.Option("--json", help="One JSON object; infinity is the string inf.", rich_help_panel=OUTPUT)
    ] = False,
) -> None:
    """Exact law of GSI on an instance, its acceptance and its distance to the tilted policy."""
    if threshold is None:
        refuse_options(context, ("gate", "n_base"), "without --threshold: nothing is gated; give --threshold too")
    named = target_named(target)
    if not named.reads_reward:
        refuse_options(context, ("beta",), f"with --target {target}: its own number stands in place of β")
    if certify and not named.plain:
        raise InputError(f"--certify with --target {target}: ball arithmetic knows target kl; leave one of them out")
    if certify and names_file(rule):
        raise InputError(f"--certify with --rule {rule}: only rules of the table are known exactly; leave one out")
    instance, exact = read_exact_instance(file) if certify else (read_instance(file), None)
    cut = None if threshold is None else float(threshold)
    member: str | Rule = load_member(rule, Rule) if names_file(rule) else rule
    scheme = Scheme(float(beta), n, cut, member, n_base, gate, target)
    aim = target_law(instance, scheme.beta, target)
    summary = _Summary(instance, gsi_law(instance, scheme), aim.log_prob)
    record, checks = summary.record(), []
    if exact is not None:
        from gsi_theory.certified.ball_facts import BallFacts
        from gsi_theory.certified.rational import ExactScheme

        exact_scheme = ExactScheme(beta, n, threshold, rule, n_base, gate)
        try:
            checks = _checks(summary, scheme, exact, exact_scheme)
        except ArithmeticError as error:
            typer.echo(f"gsi law: not certified: {error}", err=True)
            raise typer.Exit(1) from error
        record["certified"] = {c.name: _bounds(c) for c in checks}
    if as_json:
        typer.echo(answer("law", record))
    else:
        _print(summary, scheme, file)
        if certify:
            _print_checks(checks)
    if exact is not None:
        _report_failures(checks, BallFacts(exact, exact_scheme))
