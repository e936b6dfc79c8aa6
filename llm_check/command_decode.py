"""`gsi decode`: whole solutions on two language models with a chosen method."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.markup import escape

from gsi_theory.artifact import atomic_write_text, provenance
from llm_check.check_accuracy import wilson
from llm_check.decode import METHODS, decode
from llm_check.options import (
    BaseOption,
    DraftOption,
    MaxTokensOption,
    ProblemsOption,
    RewardOption,
    SeedOption,
    quiet_engines,
)
from llm_check.tasks.arithmetic import make_problems
from llm_check.tiny import STEP_MAX_TOKENS
from llm_check.world import load_world

__all__ = ["app"]

COUNTED = ("draft_drawn", "base_drawn", "base_scored", "reward_scored")
app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)


@app.command()
def command(
    method: Annotated[str, typer.Option(help=f"One of {', '.join(METHODS)}.")] = "gsi",
    n: Annotated[int, typer.Option(help="Candidates a step.")] = 4,
    beta: Annotated[float, typer.Option(help="β ≥ 0, multiplies the reward.")] = 20.0,
    threshold: Annotated[float, typer.Option(help="u in reward units, for gated methods.")] = 0.5,
    problems: ProblemsOption = 20,
    draft: DraftOption = None,
    base: BaseOption = None,
    reward: RewardOption = None,
    max_tokens: MaxTokensOption = STEP_MAX_TOKENS,
    seed: SeedOption = 0,
    out: Annotated[Path | None, typer.Option(help="Also write the JSON record to this file.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the JSON record instead of text.")] = False,
) -> None:
    """Solve problems of the embedded task step by step and report accuracy, acceptance and tokens."""
    quiet_engines()
    world = load_world(draft, base, reward, max_tokens)
    tasks = make_problems(problems, seed, "test")
    result = decode(method, world.draft, world.base, world.reward_model, tasks, beta, n, threshold, world.rule, seed)
    low, high = wilson(int(result.correct.sum()), problems)
    command_text = f"gsi decode --method {method} --n {n} --beta {beta:g} --threshold {threshold:g}"
    record = {
        "method": method, "n": result.scheme.n, "beta": beta, "threshold": result.scheme.threshold,
        "problems": problems, "accuracy": float(result.correct.mean()), "accuracy_low": low, "accuracy_high": high,
        "acceptance_rate": result.acceptance_rate,
        "tokens": {name: int(result.records[name].sum()) for name in COUNTED},
        "solutions": [
            {"problem_id": p.problem_id, "problem": p.text, "text": t, "correct": bool(c)}
            for p, t, c in zip(tasks, result.text, result.correct, strict=True)
        ],
        "provenance": provenance(f"{command_text} --problems {problems} --seed {seed}", seed),
    }  # fmt: skip
    if out is not None:
        atomic_write_text(out, json.dumps(record, indent=1) + "\n")
    if as_json:
        typer.echo(json.dumps(record))
        return
    console = Console()
    for p, text, correct in list(zip(tasks, result.text, result.correct, strict=True))[:20]:
        mark = "[green]right[/green]" if correct else "[red]wrong[/red]"
        console.print(f"{escape(p.text):<14} {escape(text.replace(chr(10) * 2, ' · ')):<36} {mark}", highlight=False)
    interval = f"95 % interval {low:.3f} to {high:.3f}"
    console.print(f"accuracy {record['accuracy']:.3f} ({interval}) on {problems} problems")
    if result.acceptance_rate is not None:
        console.print(f"acceptance rate {result.acceptance_rate:.3f}")
    console.print(f"tokens: {record['tokens']}")
