"""A plan in words, for a terminal: its front as a table, the recommendation, limits, findings, notes."""

from __future__ import annotations

from pathlib import Path

import typer
from rich.box import SIMPLE_HEAD
from rich.table import Column, Table

from gsi_theory.runs.terminal import console, counted, number, wrapped
from gsi_theory.types import Record

__all__ = ["print_plan"]


def _row(record: Record, mark: str) -> tuple[str, ...]:
    """A line of the front, narrow enough for 80 columns."""
    gate = "none" if record["threshold"] is None else f"{record['gate'].split('_')[0]} {record['threshold']:.3g}"
    bound, error = record["kl_bound"], record["value_se"]
    gated = record["threshold"] is not None
    small = 0 < error < 5e-5 <= abs(record["value"])
    return (
        mark,
        record["rule"],
        gate if record["method"] == "gsi" else "base only",
        str(record["n"]),
        str(record["n_base"]) if gated else "–",
        f"{record['beta']:g}",
        number(record["value"]),
        "<.0001" if small else number(error),
        f"{record['cost']:.3g}",
        f"{record['p_accept']:.3f}" if gated else "–",
        bound if isinstance(bound, str) else f"{bound:.3g}",
    )


def _front(record: Record) -> tuple[Table, int]:
    """The table of the front, and how many lines are left out of it because they read as another in value and cost."""
    names = ("rule", "gate", "n", "n_base", "β", "value", "±", record["cost_unit"], "accept", "KL ≤")
    columns = [Column(name, overflow="fold") for name in names]
    table = Table("", *columns, box=SIMPLE_HEAD, padding=(0, 1, 0, 0), pad_edge=False, show_edge=False)
    shown: dict[tuple[str, str], tuple[str, ...]] = {}
    for s in record["front"]:
        chosen = s == record["chosen"]
        row = _row(record["options"][s], "→" if chosen else "")
        if chosen or (row[6], row[8]) not in shown:
            shown[row[6], row[8]] = row
    for row in shown.values():
        table.add_row(*row)
    return table, len(record["front"]) - len(shown)


def _say(text: str, first: str = "") -> None:
    typer.echo(wrapped(text, first))


def _recommended(record: Record) -> None:
    """The recommendation, why, and what is guaranteed; or that there is none."""
    chosen = record["recommendation"]
    if chosen is None:
        _say(f"No recommendation: {record['reason']}")
        return
    gate = "no gate" if chosen["threshold"] is None else f"{chosen['gate']} ≥ {chosen['threshold']:g}"
    what = (
        f"no drafts, best-of-n on the base: {chosen['rule']}, n = {chosen['n']}, β = {chosen['beta']:g}"
        if chosen["method"] == "base"
        else f"{chosen['rule']}, n = {chosen['n']}, β = {chosen['beta']:g}, {gate}"
        + ("" if chosen["threshold"] is None else f", n_base = {chosen['n_base']}")
    )
    _say(
        f"Recommended: {what}: value {number(chosen['value'])} ± {number(chosen['value_se'])} (95 %"
        f"{'' if chosen['value_spread_trusted'] else ' or more, as few prompts or rare failures decide'}: "
        f"{number(chosen['value_low'])} to {number(chosen['value_high'])}), cost {chosen['cost']:.4g} "
        f"{record['cost_unit']}"
    )
    _say(record["reason"], "  why: ")
    _say(chosen["guarantee"], "  guarantee: ")


def print_plan(path: Path, record: Record) -> None:
    """The front, the recommendation, and what else there is to say; record: of `gsi plan --json`."""
    from llm_check.logs.pools.pool_files import left_out_lines  # slow to import

    notes = record["assumptions"]
    _say(notes[0][:1].upper() + notes[0][1:])
    table, alike = _front(record)
    console().print(table)
    chosen = "" if record["chosen"] is None else ", and what is recommended (→)"
    more = f" {counted(alike, 'line')} that read as another in value and cost are left out." if alike else ""
    _say(
        f"Pareto front of {counted(len(record['options']), 'option')} on {path}{chosen}: value ± standard "
        f"error, {record['cost_unit']} a step.{more} Gate: u of the tilted reward or of the score; base only: "
        "best-of-n on the base. KL ≤: bound of KL(π‖law), nats"
    )
    _recommended(record)
    for label, lines in (("limit", record["limits"]), ("would help", record["improve"])):
        for line in lines:
            _say(line, f"  {label}: ")
    for turn in record["over_optimization"]:
        _say(
            f"{turn['method']}, {turn['rule']}: gold is best at n = {turn['best_n']}, β = "
            f"{turn['best_beta']:g} and lower by {turn['gold_fall']:.4f} ± {turn['gold_fall_se']:.4f} at n = "
            f"{turn['after_n']}, β = {turn['after_beta']:g}, where the reward is higher by {turn['reward_rise']:.4f}",
            "  over-optimized: ",
        )
    for finding in record["findings"]:
        _say(f"{finding['severity']}: {finding['id']}: {finding['advice']}", "  doctor: ")
    for line in notes[1:]:
        _say(line, "  note: ")
    for line in left_out_lines(record["left_out"]):
        _say(line.strip(), "  " + " " * (len(line) - len(line.lstrip())))
