"""`llm_check.curve` and `gsi curve`: value against n of a log of one model, with what it rests on in words."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from gsi_theory.errors import InputError, require_name
from gsi_theory.runs.json_output import plain, with_schema
from gsi_theory.runs.terminal import counted
from gsi_theory.types import Floats, Ints, Record
from llm_check.logs.curves.curve_lines import (
    CurveLine,
    Paired,
    Turning,
    curve_lines,
    keys_of,
    paired_lines,
    shared_length,
    turnings,
)
from llm_check.logs.curves.prompt_curves import CurvePlan, PromptCurves, joined, prompt_curves, prompt_sizes
from llm_check.logs.curves.selectors import SELECTORS
from llm_check.logs.log import Log, draw_counts, read_log_file
from llm_check.logs.pools.pool import reward_range
from llm_check.logs.pools.row_checks import floats
from llm_check.logs.pools.schema import SOURCES

__all__ = ["Curves", "LogNotes", "curve", "curves_of", "default_ns"]

BETAS = (1.0, 5.0, 20.0)
LEVEL = 0.95
_EVERY = 16  # n up to which all are shown; then four an octave
_BATCH = 1 << 18  # rows computed at a time


@dataclass(frozen=True)
class LogNotes:
    """What is known of a log beside its draws: name, facts, bounds of values, rows left out, draws; whether rewards are
    below zero; the number of draws that nobody graded where others are."""

    name: str
    facts: Record
    bounds: Mapping[str, tuple[float, float]]
    left_out: int
    draws: int
    negative: bool
    ungraded: int


@dataclass(frozen=True)
class Curves:
    """What `curve` returns: draws (P,) of every prompt; a line a curve; the same over the prompts that have all
    `same_ns` draws (None where all have as many); tests for a turning point; tokens of n draws (M,); differences to
    another log; notes.

    Numbers are attributes; `record()` is what the command answers with --json.
    """

    ns: tuple[int, ...]
    prompts: int
    draws: Ints
    lines: tuple[CurveLine, ...]
    same_ns: tuple[int, ...]
    same_prompts: int
    same: tuple[CurveLine, ...] | None
    turnings: tuple[Turning, ...]
    tokens: Floats | None
    against: Paired | None
    beyond: tuple[Record, ...]
    about: LogNotes
    other: str | None
    notes: tuple[str, ...]
    seed: int

    def record(self) -> Record:
        """The object of `gsi curve --json`; null: not known."""
        facts = self.about.facts
        paired = self.against and {
            "other": self.other,
            "prompts": self.against.prompts,
            "left_out": {"this": self.against.left_out[0], "other": self.against.left_out[1]},
            "curves": [line.record("difference") for line in self.against.lines],
        }
        same = self.same and {
            "n": self.same_ns,
            "prompts": self.same_prompts,
            "curves": [line.record() for line in self.same],
        }
        body = {
            "n": self.ns,
            "prompts": self.prompts,
            "curves": [line.record() for line in self.lines],
            "beyond": list(self.beyond),
            "draws": self.about.draws,
            "level": LEVEL,
            "seed": self.seed,
            "iid": facts.get("iid"),
            "reward_is_grade": bool(facts.get("reward_is_grade")),
            "same_prompts": same,
            "over_optimization": [_turning_record(each) for each in self.turnings],
            "tokens": self.tokens,
            "against": paired,
            "left_out": self.about.left_out,
            "notes": list(self.notes),
        }
        return with_schema("curve", plain(body))


def _turning_record(each: Turning) -> Record:
    turn = each.turn
    return {
        "selector": each.key.selector,
        "value": each.key.value,
        "turns": turn.turns,
        "peak_n": turn.peak,
        "last_n": turn.last,
        "fall": turn.fall,
        "low": turn.low,
        "high": turn.high,
        "surest_n": turn.surest,
        "prompts": turn.prompts,
        "reward_gain": each.gain,
    }


def default_ns(largest: int) -> tuple[int, ...]:
    """Every n up to 16, then four an octave (20, 24, 28, 32, 40, ...), and the largest."""
    ns = list(range(1, min(largest, _EVERY) + 1))
    step, at = _EVERY // 4, _EVERY
    while ns[-1] < largest:
        at += step
        ns.append(min(at, largest))
        step = at // 4 if at & (at - 1) == 0 else step
    return tuple(ns)


def curve(
    log: Log | str | os.PathLike[str],
    ns: Sequence[int] | None = None,
    betas: Sequence[float] = BETAS,
    select: Sequence[str] | None = None,
    against: Log | str | os.PathLike[str] | None = None,
    source: str | None = None,
    tokens: float | None = None,
    seed: int = 0,
    strict: bool = False,
    report: Callable[[int, int], None] | None = None,
) -> Curves:
    """Unbiased curves of a log of one model (M31, M47): mean reward and accuracy of every selector at every n.

    log, against: a `Log` or the path of one; a pool of two models with source "draft" or "base". ns: numbers of draws
    (default: all that prompts have, thinned out beyond 16); those that no prompt has are told and left to `beyond`.
    select: names of SELECTORS (default: all that the log allows). tokens: of a draw; default: the mean of n_tokens.
    seed: of subsets that are drawn where all are too many. report(prompts done, prompts).
    Raises InputError naming what a log lacks, and for wrong arguments.
    """
    for beta in betas:
        if not np.isfinite(beta) or beta < 0:
            raise InputError(f"beta {beta!r}: give numbers of at least 0")
    if tokens is not None and not 0 < tokens < np.inf:
        raise InputError(f"tokens {tokens!r}: give the tokens of a draw, above 0")
    for name in select or ():
        require_name(name, "selector", SELECTORS)
    table, about = _one_model(log, source, strict)
    rival = None if against is None else _one_model(against, source, strict)
    plans, beyond_ns = _plans(table, about, rival, ns, betas, select, seed)
    curves = _mapped(table, plans[0], report)
    other = None if rival is None else _mapped(rival[0], plans[1], report)
    asked = [f"n of {', '.join(map(str, beyond_ns))}: more than any prompt has draws"] if beyond_ns else []
    return curves_of(curves, about, tokens, None if rival is None or other is None else (other, rival[1]), asked)


def _plans(
    table: pa.Table,
    about: LogNotes,
    rival: tuple[pa.Table, LogNotes] | None,
    ns: Sequence[int] | None,
    betas: Sequence[float],
    select: Sequence[str] | None,
    seed: int,
) -> tuple[list[CurvePlan], list[int]]:
    """What is computed of the log and of the other; the ns that no prompt of the log has."""
    largest = int(prompt_sizes(table).max())
    wanted = sorted(set(default_ns(largest) if ns is None else ns))
    if not wanted or wanted[0] < 1 or any(n != int(n) for n in wanted):
        raise InputError(f"n {wanted!r}: give whole numbers from 1")
    inside = tuple(int(n) for n in wanted if n <= largest)
    if not inside:
        raise InputError(f"n from {wanted[0]}: no prompt of {about.name} has more than {counted(largest, 'draw')}")
    plans = []
    for each, notes in [(table, about), *([] if rival is None else [rival])]:
        columns = [name for name in each.column_names if each[name].null_count < each.num_rows]
        keys = keys_of(columns, sorted(set(map(float, betas))), select or tuple(SELECTORS))
        if not keys:
            raise InputError(_lacking(notes.name, columns, select))
        plans.append(CurvePlan(keys, inside, seed))
    return plans, [int(n) for n in wanted if n > largest]


def _lacking(name: str, columns: Sequence[str], select: Sequence[str] | None) -> str:
    """Why a log has no curve."""
    values = [each for each in ("reward", "correct", "answer") if each in columns]
    has = f"{' and '.join(values)} alone" if values else "no reward, correct or answer"
    if select is None:
        return f"{name} has {has}: a curve needs reward to choose by, or correct to count by"
    needs = " or ".join(sorted({" and ".join((*SELECTORS[s].needs, SELECTORS[s].values[-1])) for s in select}))
    return f"{name} has {has}: {', '.join(select)} needs {needs}"


def _one_model(log: Log | str | os.PathLike[str], source: str | None, strict: bool) -> tuple[pa.Table, LogNotes]:
    """Rows of one model, and what is known of them."""
    name = "the log" if isinstance(log, Log) else Path(log).name
    content = log if isinstance(log, Log) else read_log_file(log, strict)
    table = content.table
    if source is not None:
        require_name(source, "--source", SOURCES)
    if content.models == 2:
        if source is None:
            raise InputError(f"{name} is a pool of two models: give --source draft or --source base")
        table = table.filter(pc.equal(table["source"], source))
        if table.num_rows == 0:
            raise InputError(f"{name} has no rows of source {source!r}: give the other")
    elif source is not None:
        raise InputError(f"{name} is a log of one model: --source {source} is for pools of two")
    facts = content.facts if content.models == 1 else {**content.facts, "source": source}
    graded = "correct" in table.column_names and table["correct"].null_count < table.num_rows
    reward = floats(table, "reward") if "reward" in content.values and table.num_rows else np.zeros(0)
    bounds = {"correct": (0.0, 1.0)}
    low, high = reward_range(content.metadata, name)
    if facts.get("reward_is_grade") and reward.size and reward.min() >= 0 and reward.max() <= 1:
        low, high = max(low, 0.0), min(high, 1.0)
    if np.isfinite(low) and np.isfinite(high):
        bounds["reward"] = (low, high)
    ungraded = 0
    if graded and table["correct"].null_count:
        ungraded = pc.count_distinct(table["prompt_id"].filter(table["correct"].is_null())).as_py()
    notes = LogNotes(
        name, facts, bounds, len(content.left_out), int(draw_counts(table).sum()), bool((reward < 0).any()), ungraded
    )
    return table, notes


def _mapped(table: pa.Table, plan: CurvePlan, report: Callable[[int, int], None] | None) -> PromptCurves:
    """`prompt_curves` over batches of whole prompts."""
    table = table.take(pc.sort_indices(table, sort_keys=[("prompt_id", "ascending")]))
    names = np.asarray(table["prompt_id"].combine_chunks().dictionary_encode().indices.to_numpy(), dtype=np.int64)
    ends = np.append(np.flatnonzero(names[1:] != names[:-1]) + 1, len(names))
    parts, start = [], 0
    while start < len(names):
        wanted = int(np.searchsorted(ends, start + min(_BATCH, 1 + len(names) // 64)))
        end = int(ends[min(wanted, ends.size - 1)])
        parts.append(prompt_curves(table.slice(start, end - start), plan))
        start = end
        if report is not None:
            report(end, len(names))
    return joined(parts)


def curves_of(
    curves: PromptCurves,
    about: LogNotes,
    tokens: float | None = None,
    other: tuple[PromptCurves, LogNotes] | None = None,
    asked: Sequence[str] = (),
) -> Curves:
    """The reduction: from prompts to curves with bands, tests, differences to `other`, and notes."""
    ns = curves.plan.ns
    bounds, graded = about.bounds, bool(about.facts.get("reward_is_grade"))
    lines = curve_lines(curves, bounds, LEVEL, graded)
    same, points, chosen = None, shared_length(curves), np.ones(len(curves.prompts), dtype=np.bool_)
    if int(curves.draws.min()) < ns[-1]:
        chosen = curves.draws >= ns[max(points, 1) - 1]
        same = curve_lines(curves, bounds, LEVEL, graded, chosen, points) if points else None
    paired = None
    if other is not None:
        known = {key: value for key, value in bounds.items() if other[1].bounds.get(key) == value}
        paired = paired_lines(curves, other[0], known, LEVEL, graded)
    return Curves(
        ns,
        len(curves.prompts),
        curves.draws,
        lines,
        ns[:points],
        int(chosen.sum()),
        same,
        turnings(curves, bounds, LEVEL),
        _tokens(curves, tokens),
        paired,
        (),  # beyond the draws of any prompt: nothing yet
        about,
        None if other is None else other[1].name,
        (*asked, *_notes(curves, about, lines)),
        curves.plan.seed,
    )


def _tokens(curves: PromptCurves, stated: float | None) -> Floats | None:
    """Mean tokens of n draws (M,), over the prompts that have so many."""
    ns = np.asarray(curves.plan.ns, dtype=np.float64)
    if stated is not None:
        return ns * stated
    if not np.isfinite(curves.tokens).all():
        return None
    speaks = curves.draws[:, None] >= ns
    return np.asarray(ns * (speaks * curves.tokens[:, None]).sum(axis=0) / np.maximum(speaks.sum(axis=0), 1))


def _notes(curves: PromptCurves, about: LogNotes, lines: Sequence[CurveLine]) -> list[str]:
    """What the numbers rest on, in words."""
    facts, notes = about.facts, []
    names = {line.key.selector for line in lines}
    if facts.get("iid") is False:
        notes.append(
            f"not independent draws ({facts.get('how', 'declared so')}): curves are of what was drawn, their intervals "
            "suppose independent draws, and nothing is recommended"
        )
    elif facts.get("iid") is None:
        notes.append("nobody said how these were drawn: the intervals suppose independent draws of one law a prompt")
    if "pass_at_k" in names:
        notes.append("pass@k needs the answer key to pick the right draw: a limit, no way to answer")
    if facts.get("reward_is_grade"):
        notes.append("the reward is a bench's grade: choosing by it needs the answer key")
    if about.ungraded:
        which = counted(about.ungraded, "prompt")
        notes.append(f"{which} with draws that nobody graded: not in curves of correct")
    if about.negative and "weighted_majority" in names:
        notes.append("some rewards are below 0: a vote weighted by them counts against its answer")
    if (curves.draws == 1).any():
        notes.append(f"{counted(int((curves.draws == 1).sum()), 'prompt')} with 1 draw: it shows no error of its own")
    drawn = max((float(line.simulation.max(initial=0.0)) for line in lines), default=0.0)
    if drawn:
        notes.append(f"some votes are over subsets drawn at random; what that adds to an error: up to {drawn:.2g}")
    tilted = [line for line in lines if SELECTORS[line.key.selector].tilts]
    for line in tilted[:1]:
        silent = line.bands.speaking < np.array([int((curves.draws >= n).sum()) for n in curves.plan.ns])
        if silent.any():
            last = curves.plan.ns[int(np.argmax(silent))]
            notes.append(f"soft best-of-n and race from n = {last}: not of prompts where draws · n exceed 262,144")
    return notes
