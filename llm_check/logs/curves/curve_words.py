"""What curves show, in words: names of curves, the turning point, who is ahead, what the numbers rest on."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from gsi_theory.runs.terminal import counted, number
from gsi_theory.types import Record

if TYPE_CHECKING:
    from llm_check.logs.curves.curve_lines import CurveLine, Turning
    from llm_check.logs.curves.labelled_curve import LabelledCurve
    from llm_check.logs.curves.log_curves import Curves

__all__ = ["curve_name", "difference_words", "few_of", "rests_on", "turning_words"]

_LISTED = 5
_SHORT = {"soft_best_of_n": "soft best of n", "weighted_majority": "weighted majority", "pass_at_k": "pass@k (key)"}


def curve_name(line: CurveLine) -> str:
    """Selector and β."""
    beta = "" if line.key.beta is None else f", β {line.key.beta:g}"
    return _SHORT.get(line.key.selector, line.key.selector.replace("_", " ")) + beta


def few_of(ns: Sequence[int], most: int) -> list[int]:
    """Where at most so many of the ns stand: first, last, and those nearest to equal ratios between them."""
    if len(ns) <= most:
        return list(range(len(ns)))
    wanted = np.geomspace(ns[0], ns[-1], most)
    return sorted({int(np.argmin(np.abs(np.log(np.array(ns) / n)))) for n in wanted})


def turning_words(each: Turning) -> str:
    """Whether the gold value turns down where the reward goes up, from which n, by how much."""
    turn, gold = each.turn, each.key.value.replace("_", " ")
    over = counted(turn.prompts, "prompt")
    gain = f"the reward goes up by {number(each.gain)} from n = 1 to {turn.last}"
    if turn.peak == turn.last:
        return f"over-optimization: none seen over {over}: {gain}, and {gold} is largest at n = {turn.last}"
    fall = f"from its largest at n = {turn.peak} {gold} falls by {number(turn.fall)}"
    between = f"95 %: {number(turn.low)} to {number(turn.high)}, at all n together"
    if turn.turns:
        sure = "" if turn.surest == turn.peak else f"; surest from n = {turn.surest}"
        return f"over-optimization: {gain}, but {fall} ({between}; {over}){sure}"
    return f"over-optimization: not shown over {over}: {gain}; {fall} ({between}), which chance may have done"


def difference_words(lines: Sequence[CurveLine], ns: Sequence[int]) -> list[str]:
    """Where one log is surely ahead, a line a curve; the curves where none is, together."""
    told, silent = [], []
    for line in lines:
        band, name = line.bands, f"{line.key.value.replace('_', ' ')} of {curve_name(line)}"
        parts = []
        for which, sure in (("the first", band.low > 0), ("the other", band.high < 0)):
            where = [str(n) for n, yes in zip(ns, sure, strict=True) if yes]
            if where:
                parts.append(f"{which} is ahead at n = {', '.join(where[:_LISTED])}{', …' * (len(where) > _LISTED)}")
        if parts:
            told.append(f"{name}: {'; '.join(parts)} (95 %, at all n together)")
        else:
            silent.append(name)
    return [*told, *([f"no difference shown at any n: {', '.join(silent)}"] if silent else [])]


def beyond_words(one: Record) -> str:
    """What is told of more draws than the log has: a model's estimate, if it answers, and what is certain."""
    name = {"pass_at_k": "pass@k (key)", "best_of_n": "best-of-n"}[one["selector"]]
    head = f"beyond the draws: {one['value'].replace('_', ' ')} of {name} at n = {one['n']}"
    sure = "nothing is certain: nobody stated the range"
    if one["guaranteed_low"] is not None:
        sure = f"certain (95 %): {number(one['guaranteed_low'])} to {number(one['guaranteed_high'])}"
    if one["estimate"] is None:
        return f"{head}: {one['reason']}; {sure}"
    between = f"90 %: {number(one['low'])} to {number(one['high'])}"
    return f"{head}: {number(one['estimate'])} by a model ({between}); {sure}"


def missing_words(curves: Curves) -> list[str]:
    """Best-of-n's reward at the largest n under each choice of what to do about missing rewards, where it differs."""
    told = {}
    for choice, lines in (curves.absent or {}).items():
        means = [line.bands.mean for line in lines if (line.key.selector, line.key.value) == ("best_of_n", "reward")]
        known = np.flatnonzero(np.isfinite(means[0])) if means else np.zeros(0, dtype=np.int64)
        if known.size:
            told[choice] = f"{number(means[0][known[-1]])} at n = {curves.ns[known[-1]]}"
    if len(set(told.values())) <= 1:
        return []
    each = "; ".join(f"{choice}: {text}" for choice, text in told.items())
    return [f"rewards are missing, and best-of-n's depends on what is done about it (--missing): {each}"]


def labelled_words(labelled: LabelledCurve) -> list[str]:
    """What a gold value is estimated from, and the n that does no harm."""
    value, choice = labelled.value.replace("_", " "), labelled.choice
    chance = "label_chance" if labelled.chance is None else f"--label-chance {labelled.chance:g}"
    told = [
        f"{value} is estimated from {counted(labelled.labels, 'label')} on {counted(labelled.draws, 'draw')} of "
        f"{counted(labelled.prompts, 'prompt')}, unbiased if {chance} is right"
    ]
    if not labelled.iid:
        return told
    if choice.n == 1:
        return [*told, f"no-harm choice of n: 1, as no larger n is shown to have at least the mean {value} of one draw"]
    curve, gain, at = choice.curve, choice.gain, labelled.ns.index(choice.n)
    sure = f"95 %: {number(gain.low[at])} to {number(gain.high[at])}, at all n together"
    mean = f"mean {value} {number(curve.mean[at])}, {number(gain.mean[at])} above that of one draw ({sure})"
    return [*told, f"no-harm choice of n: {choice.n}, {mean}"]


def rests_on(curves: Curves) -> list[str]:
    """Prompts, draws, who is silent, tokens; then the tests and the notes."""
    ns, name = curves.ns, curves.about.name
    lines = [f"means over {counted(curves.prompts, 'prompt')} of {name}, {counted(curves.about.draws, 'draw')}"]
    speaking = np.array([int((curves.draws >= n).sum()) for n in ns])
    steps = np.flatnonzero(np.diff(speaking, prepend=curves.prompts) < 0)
    if steps.size:
        told = ", ".join(f"{speaking[m]:,} from n = {ns[m]}" for m in steps[:_LISTED].tolist())
        more = ", …" * (steps.size > _LISTED)
        lines.append(f"at every n the prompts with so many draws speak: {told}{more}")
    if curves.same is not None:
        few = counted(curves.same_prompts, "prompt")
        lines.append(f"over the same {few} at every n up to {curves.same_ns[-1]}: the tables marked *")
    if curves.tokens is not None:
        told = ", ".join(f"{curves.tokens[m]:,.0f} at n = {ns[m]}" for m in few_of(ns, _LISTED))
        lines.append(f"tokens: {told}")
    lines += labelled_words(curves.labelled) if curves.labelled is not None else []
    lines += [*missing_words(curves), *(beyond_words(one) for one in curves.beyond)]
    lines += (
        [] if curves.about.verdict["valid"] and not curves.about.verdict["warnings"] else [curves.about.verdict["line"]]
    )
    return [*lines, *(turning_words(each) for each in curves.turnings), *(f"note: {note}" for note in curves.notes)]
