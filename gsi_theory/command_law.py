"""`gsi law FILE`: the exact law of GSI on one instance file."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer
from rich.console import Console
from rich.table import Table

from gsi_theory import divergence
from gsi_theory.errors import InputError
from gsi_theory.gate import GsiLaw, gsi_law
from gsi_theory.instance import Instance, Scheme, tilted_policy
from gsi_theory.logscale import Array

__all__ = ["app", "read_instance"]

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)
FIELDS = ("draft", "base", "reward")


def read_instance(path: Path) -> Instance:
    """Instance from JSON {"draft": [...], "base": [...], "reward": [...]}; InputError names file and field."""
    try:
        body = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise InputError(f"no file {path}: give the path of an instance file (JSON)") from error
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{path} cannot be read ({error}): give a JSON text file") from error
    except json.JSONDecodeError as error:
        place = f"line {error.lineno}, column {error.colno}"
        raise InputError(f"{path}, {place}: not JSON ({error.msg}): give an object with draft, base, reward") from error
    if not isinstance(body, dict):
        raise InputError(f"{path} holds a {type(body).__name__}: give an object with the fields {', '.join(FIELDS)}")
    missing, unknown = [f for f in FIELDS if f not in body], sorted(set(body) - set(FIELDS))
    if missing or unknown:
        raise InputError(
            f"{path}: missing fields {missing}, unknown fields {unknown}: give exactly {', '.join(FIELDS)}"
        )
    try:
        return Instance.from_probabilities(*(body[f] for f in FIELDS))
    except InputError as error:
        raise InputError(f"{path}: {error}") from error


@dataclass(frozen=True)
class _Summary:
    instance: Instance
    law: GsiLaw
    log_pi: Array

    def record(self) -> dict[str, Any]:
        """The fields of `gsi law --json` (DESIGN of the command line); infinities as the string "inf"."""
        inst, log_prob = self.instance, self.law.log_prob
        values = {
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
        return {k: "inf" if isinstance(v, float) and v == np.inf else v for k, v in values.items()}


def _print(summary: _Summary, scheme: Scheme, path: Path) -> None:
    record, inst = summary.record(), summary.instance
    console = Console()
    gate = "no gate" if scheme.threshold is None else f"accept when {scheme.gate} ≥ {scheme.threshold:g}"
    console.print(f"[bold]{path}[/bold]: K = {inst.size}, β = {scheme.beta:g}, n = {scheme.n}, {scheme.rule}, {gate}")
    table = Table("y", "draft", "base", "reward", "tilted π", "law", title=None)
    shown = range(inst.size) if inst.size <= 30 else np.argsort(-np.exp(summary.log_pi))[:30].tolist()
    for y in shown:
        numbers = (np.exp(inst.log_draft[y]), np.exp(inst.log_base[y]), inst.reward[y], record["tilted"][y])
        table.add_row(str(y), *(f"{v:.6g}" for v in numbers), f"{record['law'][y]:.6g}")
    console.print(table)
    if inst.size > 30:
        console.print(f"(the 30 likeliest under π of {inst.size}; --json gives all)")
    if inst.uncovered:
        console.print(
            f"[yellow]uncovered[/yellow]: the draft never proposes y = {list(inst.uncovered)[:20]}, where the base has "
            f"mass {float(np.exp(inst.log_base[list(inst.uncovered)]).sum()):.6g}; no number of drafts reaches them"
        )
    for key, label in (
        ("p_accept", "probability of acceptance"),
        ("expected_reward", "expected reward under the law"),
        ("tilted_reward_mean", "expected reward under π"),
        ("kl", "KL(π‖law), nats"),
        ("tv", "TV(π, law)"),
        ("chi2", "χ²(π‖draft)"),
        ("error", "bound on the TV error of these numbers"),
    ):
        console.print(f"  {label:<40} {record[key]:.6g}" if record[key] != "inf" else f"  {label:<40} ∞")


@app.command()
def law(
    file: Annotated[Path, typer.Argument(help='Instance: {"draft": [...], "base": [...], "reward": [...]}')],
    beta: Annotated[float, typer.Option(help="β ≥ 0, multiplies the reward.")] = 1.0,
    n: Annotated[int, typer.Option(help="Number of draft candidates.")] = 4,
    threshold: Annotated[float | None, typer.Option(help="u in reward units; without it there is no gate.")] = None,
    rule: Annotated[str, typer.Option(help="softmax, race or max.")] = "softmax",
    n_base: Annotated[int | None, typer.Option(help="Base draws of the fallback (default: n).")] = None,
    gate: Annotated[str, typer.Option(help="tilted_reward, or score (rule race).")] = "tilted_reward",
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object; infinity is the string inf.")] = False,
) -> None:
    """Exact law of GSI on an instance, its acceptance and its distance to the tilted policy."""
    instance, scheme = read_instance(file), Scheme(beta, n, threshold, rule, n_base, gate)
    summary = _Summary(instance, gsi_law(instance, scheme), tilted_policy(instance, scheme.beta))
    if as_json:
        typer.echo(json.dumps(summary.record()))
    else:
        _print(summary, scheme, file)
