"""The plan of a log without log-probabilities in words, for a terminal: its front, the recommendation, what is open."""

from __future__ import annotations

import typer
from rich.box import SIMPLE_HEAD
from rich.table import Column, Table

from gsi_theory.runs.terminal import console, counted, number, wrapped
from gsi_theory.types import Json, Record
from llm_check.logs.plan_words import missing_lines

__all__ = ["print_draw_plan"]

_MOST = 16  # lines of the front


def _cell(value: Json, form: str = "g") -> str:
    return "–" if value is None else f"{value:{form}}"


def _row(record: Record, mark: str, two: bool, stops: bool) -> tuple[str, ...]:
    """A line of the front, narrow enough for 80 columns; stops: whether some option stops at a reward."""
    low = record["gain_low"]
    return (
        mark,
        record["method"],
        *([_cell(record["threshold"], ".3g")] if two else [_cell(record["beta"])]),
        *([_cell(record["threshold"], ".3g")] if stops else []),
        _cell(record["n"] or None),
        *([_cell(record["n_base"])] if two else []),
        number(record["value"]),
        "–" if record["value_se"] is None else number(record["value_se"]),
        "–" if low is None else ("+" if low > 0 else "") + number(low),
        f"{record['cost']:.3g}",
        str(record["prompts"]),
    )


def _front(record: Record) -> Table:
    two = record["kind"] == "cascade"
    ragged = len({option["prompts"] for option in record["options"]}) > 1
    stops = _stops(record)
    scheme = ("u", "n", "n_base") if two else ("β", "stop ≥", "n") if stops else ("β", "n")
    names = ("method", *scheme, "value", "±", "gain ≥", record["cost_unit"], *(["prompts"] if ragged else []))
    columns = [Column(name, overflow="fold", no_wrap=name == "method") for name in names]
    table = Table("", *columns, box=SIMPLE_HEAD, padding=(0, 1, 0, 0), pad_edge=False, show_edge=False)
    front = record["front"]
    step = max(1, -(-len(front) // _MOST))
    for at, s in enumerate(front):
        chosen = s == record["chosen"]
        if chosen or at % step == 0 or at == len(front) - 1:
            table.add_row(*_row(record["options"][s], "→" if chosen else "", two, stops)[: len(names) + 1])
    return table


def _stops(record: Record) -> bool:
    """Whether some option of the plan stops at a reward; False for plans of two models, and of older releases."""
    return any(option.get("mean_draws") is not None for option in record["options"])


def _named(option: Record) -> str:
    if option.get("mean_draws") is not None:
        return (
            f"stopping at the first reward ≥ {option['threshold']:.4g}, or after {option['n']} draws with the best of "
            f"them ({option['mean_draws']:.3g} draws on average)"
        )
    parts = [option["method"].replace("_", " "), *([f"n = {option['n']}"] if option["n"] else [])]
    parts += [f"β = {option['beta']:g}"] if option["beta"] is not None else []
    parts += [f"reward ≥ {option['threshold']:.4g}"] if option["threshold"] is not None else []
    parts += [f"n_base = {option['n_base']}"] if option["n_base"] is not None else []
    return ", ".join(parts)


def _say(text: str, first: str = "") -> None:
    typer.echo(wrapped(text, first))


def print_draw_plan(path: str, record: Record) -> None:
    """The front, the recommendation, and what else there is to say; record: of `gsi plan --json`."""
    two = record["kind"] == "cascade"
    what = "two models without log-probabilities" if two else "one model"
    value = record["maximized"].replace("_", " ")
    console().print(_front(record))
    meaning = "u: reward below which n_base base draws are made; " if two else "β: of the reward; "
    meaning += "stop ≥: reward at which no more draws are made, of n at most; " if _stops(record) else ""
    _say(
        f"Pareto front of {counted(len(record['options']), 'option')} on {path}, a log of {what}: "
        f"{value} ± standard error over {counted(record['prompts'], 'prompt')}; gain ≥: "
        f"over one {'draft' if two else 'draw'}, 95 % for all options together; {meaning}prompts: with draws enough"
    )
    chosen = record["recommendation"]
    if chosen is None:
        _say(f"No recommendation: {record['reason']}")
    else:
        spread = "" if chosen["trusted"] else " (or a little more: few prompts, or rare failures, decide)"
        _say(
            f"Recommended: {_named(chosen)}. {value.capitalize()} {number(chosen['value'])} ± "
            f"{number(chosen['value_se'])}; 95 %: {number(chosen['low'])} to {number(chosen['high'])} over prompts"
            f"{spread}. Cost: {chosen['cost']:.4g} {record['cost_unit']}"
        )
        _say(record["reason"], "  why: ")
    keyed = [option for option in record["options"] if option["needs_key"]]
    if keyed:
        best = max(keyed, key=lambda option: float(option["value"]))
        _say(
            f"{_named(best)} would have {number(best['value'])}, by the answer key: nobody can deploy it",
            "  not recommended: ",
        )
    for label, lines in (
        ("limit", record["limits"]),
        ("would help", record["improve"]),
        ("note", record["assumptions"]),
    ):
        for line in lines:
            _say(line, f"  {label}: ")
    for line in missing_lines(record.get("missing")):
        _say(line, "  missing: ")
    if record["doctor"]["errors"] or record["doctor"]["warnings"]:
        _say(record["doctor"]["line"], "  ")
    if record["left_out"]:
        _say(f"{counted(record['left_out'], 'bad row')}, with their prompts", "  left out: ")
