"""`llm_check.curve` and `gsi curve`: value against n of a log of one model, with what it rests on in words."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace

import numpy as np

from gsi_theory.errors import InputError, require_name
from gsi_theory.runs.json_output import plain, with_schema
from gsi_theory.runs.terminal import counted
from gsi_theory.runs.workers import Pool as Workers
from gsi_theory.types import Floats, Ints, Record
from llm_check.logs.curves.curve_beyond import beyond_curves, unasked_ns
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
from llm_check.logs.curves.draw_source import DrawSource, LogNotes, draw_source
from llm_check.logs.curves.labelled_curve import LabelledCurve, labelled_curve, labelled_value
from llm_check.logs.curves.prompt_curves import CurvePlan, PromptCurves, tilted_draws
from llm_check.logs.curves.selectors import SELECTORS
from llm_check.logs.log import Log
from llm_check.logs.pools.log_files import LogSource
from llm_check.logs.pools.missing_values import under_each

__all__ = ["Curves", "curve", "curves_of", "default_ns"]

BETAS = (1.0, 5.0, 20.0)
LEVEL = 0.95
_EVERY = 16  # n up to which all are shown; then four an octave


@dataclass(frozen=True)
class Curves:
    """What `curve` returns: draws (P,) of every prompt; a line a curve; the same over the prompts that have all
    `same_ns` draws (None where all have as many); tests for a turning point; tokens of n draws (M,); differences to
    another log; notes; absent: where rewards are missing and no choice was made, the lines under each choice;
    labelled: best-of-n's gold value where a part of the draws has one, by the chances of their labels.

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
    absent: Mapping[str, tuple[CurveLine, ...]] | None = None
    labelled: LabelledCurve | None = None

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
            "doctor": self.about.verdict,
            "notes": list(self.notes),
            "missing": self._under(),
            "labelled": self.labelled and self.labelled.record(),
        }
        return with_schema("curve", plain(body))

    def _under(self) -> dict[str, list[Record]] | None:
        if self.absent is None:
            return None
        return {choice: [line.record() for line in lines] for choice, lines in self.absent.items()}


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
    log: Log | LogSource,
    ns: Sequence[int] | None = None,
    betas: Sequence[float] = BETAS,
    select: Sequence[str] | None = None,
    against: Log | LogSource | None = None,
    source: str | None = None,
    tokens: float | None = None,
    seed: int = 0,
    strict: bool = False,
    report: Callable[[int, int], None] | None = None,
    workers: Workers | None = None,
    missing: str | None = None,
    label_chance: float | None = None,
) -> Curves:
    """Unbiased curves of a log of one model (M31, M47): mean reward and accuracy of every selector at every n.

    log, against: a `Log`, or files of one as `llm_check.read_log` takes them; a pool of two models with source "draft"
    or "base". ns: numbers of draws (default: all that prompts have, thinned out beyond 16); those that no prompt has
    are told and left to `beyond`. select: names of SELECTORS (default: all that the log allows). tokens: of a draw
    (default: the mean of n_tokens). seed: of subsets that are drawn where all are too many. report(done, total):
    prompts, or of a long log groups of them, which `workers` share out (default: this process). missing: what is done
    about rewards that are null, of MISSING. label_chance: with which every draw's gold value was bought, where a part
    of the draws has one and no row says so itself. Raises InputError naming what a log lacks, and for wrong arguments.
    """
    for beta in betas:
        if not np.isfinite(beta) or beta < 0:
            raise InputError(f"beta {beta!r}: give numbers of at least 0")
    if tokens is not None and not 0 < tokens < np.inf:
        raise InputError(f"tokens {tokens!r}: give the tokens of a draw, above 0")
    for name in select or ():
        require_name(name, "selector", SELECTORS)
    with ExitStack() as stack:
        this, *other = (
            stack.enter_context(draw_source(each, source, strict, workers, missing))
            for each in ([log] if against is None else [log, against])
        )
        this, labelled, said = _labels(this, ns, select, label_chance, seed)
        plans, beyond_ns = _plans([this.about, *(each.about for each in other)], ns, betas, select, seed)
        curves = this.mapped(plans[0], report)
        rival = (other[0].mapped(plans[1], report), other[0].about) if other else None
        far = unasked_ns(int(curves.draws.max())) if ns is None else beyond_ns
        beyond, notes = beyond_curves(this, far, select, seed, ns is not None)
    asked = [f"n of {', '.join(map(str, beyond_ns))}: more than any prompt has draws"] if beyond_ns else []
    curves_ = curves_of(curves, this.about, tokens, rival, [*asked, *notes, *said], beyond)
    if labelled is not None:
        turned = () if labelled.turning is None else (labelled.turning,)
        curves_ = replace(curves_, labelled=labelled, turnings=(*curves_.turnings, *turned))
    if missing is not None or not this.about.lacks_rewards:
        return curves_
    under = under_each(
        lambda choice: curve(log, ns, betas, select, None, source, tokens, seed, strict, None, workers, choice).lines
    )
    return replace(curves_, absent=under)


def _labels(
    draws: DrawSource, ns: Sequence[int] | None, select: Sequence[str] | None, chance: float | None, seed: int
) -> tuple[DrawSource, LabelledCurve | None, list[str]]:
    """The log, the curve from labels, and notes. Where the chance of labels is known, the log is without their value,
    so that no curve is of the prompts that happen to have every label."""
    if select is not None and "best_of_n" not in select:
        if chance is not None:
            raise InputError(f"--label-chance {chance:g}: it is for best_of_n, which {', '.join(select)} leaves out")
        return draws, None, []
    wanted = default_ns(int(draws.about.sizes.max())) if ns is None else ns
    labelled, notes = labelled_curve(draws, wanted, chance, seed)
    about, value = draws.about, labelled_value(draws.about)
    if value is None or "reward" not in about.columns or (chance is None and not about.labels["label_chance"]):
        return draws, None, notes
    ungraded = 0 if value == "correct" else about.ungraded
    about = replace(about, columns=tuple(c for c in about.columns if c != value), ungraded=ungraded)
    return draws._replace(about=about), labelled, notes


def _plans(
    logs: Sequence[LogNotes],
    ns: Sequence[int] | None,
    betas: Sequence[float],
    select: Sequence[str] | None,
    seed: int,
) -> tuple[list[CurvePlan], list[int]]:
    """What is computed of each log; the ns that no prompt of the first has."""
    largest = int(logs[0].sizes.max())
    wanted = sorted(set(default_ns(largest) if ns is None else ns))
    if not wanted or wanted[0] < 1 or any(n != int(n) for n in wanted):
        raise InputError(f"n {wanted!r}: give whole numbers from 1")
    inside = tuple(int(n) for n in wanted if n <= largest)
    if not inside:
        raise InputError(f"n from {wanted[0]}: no prompt of {logs[0].name} has more than {counted(largest, 'draw')}")
    plans = []
    for notes in logs:
        keys = keys_of(notes.columns, sorted(set(map(float, betas))), select or tuple(SELECTORS))
        if not keys:
            raise InputError(_lacking(notes.name, notes.columns, select))
        plans.append(CurvePlan(keys, inside, seed, tilted_draws(notes.sizes.size)))
    return plans, [int(n) for n in wanted if n > largest]


def _lacking(name: str, columns: Sequence[str], select: Sequence[str] | None) -> str:
    """Why a log has no curve."""
    values = [each for each in ("reward", "correct", "answer") if each in columns]
    has = f"{' and '.join(values)} alone" if values else "no reward, correct or answer"
    if select is None:
        return f"{name} has {has}: a curve needs reward to choose by, or correct to count by"
    needs = " or ".join(sorted({" and ".join((*SELECTORS[s].needs, SELECTORS[s].values[-1])) for s in select}))
    return f"{name} has {has}: {', '.join(select)} needs {needs}"


def curves_of(
    curves: PromptCurves,
    about: LogNotes,
    tokens: float | None = None,
    other: tuple[PromptCurves, LogNotes] | None = None,
    asked: Sequence[str] = (),
    beyond: tuple[Record, ...] = (),
) -> Curves:
    """The reduction: from prompts to curves with bands, tests, differences to `other`, and notes."""
    ns = curves.plan.ns
    bounds, graded = about.bounds, bool(about.facts.get("reward_is_grade"))
    lines = tuple(line for line in curve_lines(curves, bounds, LEVEL, graded) if line.bands.speaking.any())
    if not lines:
        raise InputError(
            f"{about.name}: every prompt has draws that nobody graded, so that correct has no curve: grade every draw "
            "(column correct), or give rewards (gsi import --map reward=...)"
        )
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
        beyond,
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
            notes.append(
                f"soft best-of-n and race are of at most {curves.plan.tilted:,} draws of a prompt, picked at random, "
                f"and from n = {last} not of prompts that have more"
            )
        elif int(curves.draws.max()) > curves.plan.tilted:
            notes.append(f"soft best-of-n and race are of {curves.plan.tilted:,} draws of a prompt, picked at random")
    return notes
