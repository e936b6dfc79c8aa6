"""A plan in words, for a terminal: its front as a table, the recommendation, limits, findings, notes."""

from __future__ import annotations

from collections.abc import Mapping

import typer
from rich.box import SIMPLE_HEAD
from rich.table import Column, Table

from gsi_theory.methods import METHODS
from gsi_theory.runs.terminal import columns, console, counted, number, wrapped
from gsi_theory.types import Json, Record

__all__ = ["print_plan"]


def _row(record: Record, mark: str) -> tuple[str, ...]:
    """A line of the front, narrow enough for 80 columns."""
    method, gated = METHODS[record["method"]], record["threshold"] is not None
    bound, error = record["kl_bound"], record["value_se"]
    small = 0 < error < 5e-5 <= abs(record["value"])
    return (
        mark,
        record["method"],
        f"{record['threshold']:.3g}" if gated else "–",
        str(record["n"]),
        str(record["n_base"]) if gated else "–",
        f"{record['beta']:g}" if method.weight in ("reward", "ratio") else "–",
        number(record["value"]),
        "<.0001" if small else number(error),
        f"{record['cost']:.3g}",
        f"{record['p_accept']:.3f}" if gated else "–",
        "–" if isinstance(bound, str) else f"{bound:.3g}",
    )


def _front(record: Record) -> tuple[Table, int]:
    """The table of the front, and how many lines are left out of it because they read as another in value and cost."""
    names = ("method", "u", "n", "n_base", "β", "value", "±", record["cost_unit"], "accept", "KL ≤")
    columns = [Column(name, overflow="fold", no_wrap=name == "method") for name in names]
    table = Table("", *columns, box=SIMPLE_HEAD, padding=0, pad_edge=False, show_edge=False)
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


def _named(option: Record) -> str:
    """An option as its method and what is set of it."""
    method = METHODS[option["method"]]
    parts = [option["method"], *([f"n = {option['n']}"] if method.n is None else [])]
    parts += [f"β = {option['beta']:g}"] if method.weight in ("reward", "ratio") else []
    if option["threshold"] is not None:
        parts.append(f"{option['gate'].replace('_', ' ')} ≥ {option['threshold']:.4g}")
        parts += [f"n_base = {option['n_base']}"] if method.n_base is None else []
    return ", ".join(parts)


def _span(low: Json, high: Json) -> str:
    return f"{number(float(low))} to {number(float(high))}" if isinstance(low, float) else "unknown"


def _recommended(record: Record) -> None:
    """The recommendation, why, and what is guaranteed; or that there is none."""
    chosen = record["recommendation"]
    if chosen is None:
        _say(f"No recommendation: {record['reason']}")
        return
    over = f"{_span(chosen['low'], chosen['high'])} over prompts"
    if chosen["low"] is None:
        over = "over prompts unknown, there is one"
    elif not chosen["trusted"]:
        over += " (or a little more: few prompts, or rare failures, decide)"
    _say(
        f"Recommended: {_named(chosen)}: {METHODS[chosen['method']].label}. Value {number(chosen['value'])} ± "
        f"{number(chosen['value_se'])}; 95 %: {over}, {_span(chosen['low_these'], chosen['high_these'])} for these "
        f"prompts. Cost {chosen['cost']:.4g} {record['cost_unit']}"
    )
    _say(record["reason"], "  why: ")
    _say(chosen["guarantee"], "  guarantee: ")
    typer.echo("\n".join(_shell_lines(chosen["command"])))


def _shell_lines(command: str) -> list[str]:
    """A command in lines that a shell takes as one, broken before its options."""
    room = columns() - 4
    lines = [""]
    for part in (f"{'--' * (k > 0)}{part}" for k, part in enumerate(command.split(" --"))):
        longer = f"{lines[-1]} {part}".strip()
        lines = [*lines[:-1], longer] if len(longer) <= room - 2 or not lines[-1] else [*lines, part]
    return ["  play it:", *(f"    {line} \\" for line in lines[:-1]), f"    {lines[-1]}"]


def _signed(value: float) -> str:
    return ("+" if value > 0 else "") + number(value)


def _decides(record: Record) -> None:
    """Who decides, reward or ratio (M46)."""
    found = record["decides"]
    if found is None:
        return
    gains = []
    for name, what in (("reward", "the reward alone"), ("ratio", "the ratio"), ("gate", "gate and fallback")):
        gain = found[f"gain_{name}"]
        if gain is not None:
            over, these = (
                _span(*(found[f"gain_{name}_{end}{which}"] for end in ("low", "high"))) for which in ("", "_these")
            )
            gains.append(f"{what} {_signed(gain)} ({over} over prompts, {these} for these)")
    share = found["ratio_share"]
    spread = "" if share is None else f"; the ratio is {share:.0%} of the spread of the log-weights"
    _say(
        f"of {_named(found['option'])}: over one draft, in this order (95 %), {', '.join(gains)}{spread}; the winner "
        f"has the best reward of its set in {found['by_reward']:.0%}, the best ratio in {found['by_ratio']:.0%}",
        "  who decides: ",
    )


def _lengths(record: Record) -> None:
    """Coverage of the pools compared, by the length of a step."""
    from llm_check.logs.planner.step_lengths import COMPARED  # slow to import

    for row in record["lengths"]:
        mean = "" if row["mean_tokens"] is None else f", {row['mean_tokens']:.3g} tokens on average"
        kind = "whole answers" if row["whole"] else "as drawn" if row["tokens"] is None else f"{row['tokens']} tokens"
        most = "no n" if row["n_max"] is None else f"n up to {row['n_max']}"
        why = f": {row['fault']}" if row["n_max"] is None and row["fault"] else ""
        _say(
            f"{row['pool']}: steps {kind}{mean}: {row['ess']:.1f} effective drafts of {row['drafts']}, {most} borne at "
            f"β = {row['beta']:g}{why}",
            "  step length: ",
        )
    if record["lengths"]:
        _say(COMPARED, "  step length: ")


def missing_lines(under: Mapping[str, Record | None] | None) -> list[str]:
    """What is recommended under each choice of what to do about missing rewards, where it differs."""
    told = {choice: "nothing" if one is None else option_words(one) for choice, one in (under or {}).items()}
    if len(set(told.values())) <= 1:
        return []
    each = "; ".join(f"{choice}: {text}" for choice, text in told.items())
    return [f"rewards are missing, and what is recommended depends on what is done about it (--missing): {each}"]


def option_words(option: Record) -> str:
    """An option of a plan in words: method, n, β, threshold, n_base, where it has them."""
    parts = [option["method"], *([f"n = {option['n']}"] if option["n"] else [])]
    parts += [f"β = {option['beta']:g}"] if option["beta"] is not None else []
    parts += [f"u = {option['threshold']:.4g}"] if option["threshold"] is not None else []
    parts += [f"n_base = {option['n_base']}"] if option["threshold"] is not None else []
    return ", ".join(parts)


def print_plan(path: str, record: Record) -> None:
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
        f"error, {record['cost_unit']} a step.{more} method: as gsi decode --method takes it; u: threshold of its "
        "gate; accept: P(no fallback); KL ≤: bound of KL(π‖law), nats (–: none)"
    )
    _recommended(record)
    _decides(record)
    _lengths(record)
    for label, lines in (("limit", record["limits"]), ("would help", record["improve"])):
        for line in lines:
            _say(line, f"  {label}: ")
    for turn in record["over_optimization"]:
        _say(
            f"{turn['method']}: gold is best at n = {turn['best_n']}, β = "
            f"{turn['best_beta']:g} and lower by {turn['gold_fall']:.4f} ± {turn['gold_fall_se']:.4f} at n = "
            f"{turn['after_n']}, β = {turn['after_beta']:g}, where the reward is higher by {turn['reward_rise']:.4f}",
            "  over-optimized: ",
        )
    for line in missing_lines(record.get("missing")):
        _say(line, "  missing: ")
    for finding in record["findings"]:
        _say(f"{finding['severity']}: {finding['id']}: {finding['advice']}", "  doctor: ")
    for line in notes[1:]:
        _say(line, "  note: ")
    for line in left_out_lines(record["left_out"]):
        _say(line.strip(), "  " + " " * (len(line) - len(line.lstrip())))
