"""Best-of-n's gold value of a log in which few draws have one, by the chances of labels (M43), for `gsi curve`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from gsi_theory.errors import InputError
from gsi_theory.runs.terminal import counted
from gsi_theory.samples.intervals import spread_over
from gsi_theory.samples.labelled_draws import HarmlessChoice, harmless_n, label_support, labelled_best_of_n
from gsi_theory.samples.turning_point import turning_point
from gsi_theory.types import Floats, Ints, Record
from llm_check.logs.curves.curve_lines import CurveLine, Turning
from llm_check.logs.curves.draw_source import DrawSource, LogNotes
from llm_check.logs.curves.prompt_curves import CurveKey

__all__ = ["LabelledCurve", "labelled_curve", "labelled_value"]

FEWEST_PROMPTS, FEWEST_LABELS = 5, 15.0
FEWEST_APART = 4.0  # prompts that make up the spread; of fewer than 16 prompts, a quarter of them
_LABELLED = ("gold_reward", "correct")
_SURE = 5.0  # standard errors by which labels and chances may differ


@dataclass(frozen=True)
class LabelledCurve:
    """best_of_n's mean `value` at ns, 1 first, over `prompts` prompts with so many draws each, from `labels` labels on
    `draws` draws; chance: the one that was stated, None where rows state theirs; support (M,): equal labels that each
    mean rests on; iid: false where nothing may be recommended; turning: whether it turns down, None at one n."""

    value: str
    ns: tuple[int, ...]
    prompts: int
    draws: int
    labels: int
    chance: float | None
    support: Floats
    choice: HarmlessChoice
    needs_key: bool
    iid: bool
    turning: Turning | None

    @property
    def line(self) -> CurveLine:
        """As a curve; what these prompts' draws alone add to an error is not told apart."""
        key = CurveKey("best_of_n", None, self.value)
        return CurveLine(key, self.choice.curve, np.zeros(len(self.ns)), self.needs_key)

    def record(self) -> Record:
        """`labelled` of `gsi curve --json`."""
        curve, gain = self.choice.curve, self.choice.gain
        return {
            "selector": "best_of_n",
            "value": self.value,
            "n": self.ns,
            "mean": curve.mean,
            "se_prompts": curve.se_prompts,
            "low": curve.low,
            "high": curve.high,
            "gain": {"mean": gain.mean, "low": gain.low, "high": gain.high},
            "harmless_n": self.choice.n if self.iid else None,
            "prompts": self.prompts,
            "draws": self.draws,
            "labels": self.labels,
            "support": self.support,
            "label_chance": self.chance,
            "needs_key": self.needs_key,
        }


def labelled_value(about: LogNotes) -> str | None:
    """gold_reward, else correct: the value that a part of the draws has; None where none is."""
    return next((v for v in _LABELLED if 0 < about.labels[v] < about.draws), None)


def labelled_curve(
    draws: DrawSource, ns: Sequence[int], chance: float | None, seed: int
) -> tuple[LabelledCurve | None, list[str]]:
    """The curve of the value that a part of the draws has, and in words why there is none.

    ns: those wanted; told are those up to the first for which fewer than half of the prompts have draws, whose support
    is below 15, or at which few prompts make up the spread, so that no error shows. chance: of every draw, where the
    log has no label_chance. Raises InputError for a chance that is none or that the log has no use for, and where some
    row has no right label_chance.
    """
    about, value = draws.about, labelled_value(draws.about)
    _require(about, value, chance)
    if value is None or "reward" not in about.columns:
        bare = about.labels["label_chance"] and not any(about.labels[v] for v in _LABELLED)
        return None, [f"{about.name} has label_chance, and neither gold_reward nor correct on any draw"] if bare else []
    have = f"{value} is on {about.labels[value]:,} of {counted(about.draws, 'draw')} of {about.name}"
    named = bool(about.labels["label_chance"])
    if not named and chance is None:
        why = f"{have}, and nobody said by what chance: curves of it are of prompts that have it on every draw alone"
        cure = "add the field label_chance, the chance that the draw's label was bought, or give --label-chance NUMBER"
        return None, [f"{why}; {cure} if it was the same for every draw"] if value == "gold_reward" else []
    if about.label_fault is not None:
        raise InputError(about.label_fault)
    columns = draws.columns(("reward", value, *(("label_chance",) if named else ())))
    if columns is None or draws.prompts < about.sizes.size:
        which = "long logs" if columns is None else "prompts of several steps"
        return None, [f"{have}; nothing is estimated from labels of {which}"]
    rewards, gold = columns[:2]
    chances = columns[2] if named else [np.full(r.size, chance) for r in rewards]
    return _estimated(about, value, (rewards, gold, chances), ns, None if named else chance, seed, have)


def _require(about: LogNotes, value: str | None, chance: float | None) -> None:
    """InputError for a stated chance that is none, or that the log has no use for."""
    if chance is None:
        return
    place = f"--label-chance {chance:g}"
    if not 0 < chance <= 1:
        raise InputError(f"{place}: give the chance that a draw's label was bought, above 0 and at most 1")
    if about.labels["label_chance"]:
        raise InputError(f"{place}: {about.name} has the field label_chance: leave the option out")
    if value is None or "reward" not in about.columns:
        has = ", ".join(f"{v} on {about.labels[v]:,}" for v in _LABELLED)
        lacks = "no reward to choose by" if value is not None else f"{has} of {counted(about.draws, 'draw')}"
        raise InputError(
            f"{place}: {about.name} has {lacks}: it is for a log with rewards, and gold_reward or correct on some draws"
        )


def _estimated(
    about: LogNotes,
    value: str,
    columns: tuple[list[Floats], list[Floats], list[Floats]],
    ns: Sequence[int],
    chance: float | None,
    seed: int,
    have: str,
) -> tuple[LabelledCurve | None, list[str]]:
    sizes = np.array([r.size for r in columns[0]])
    most = float(np.quantile(sizes, 0.5, method="lower"))
    wanted = np.array(sorted({1, *(int(n) for n in ns if 1 <= n <= most)}))
    chosen = np.flatnonzero(sizes >= wanted[-1])
    rewards, gold, chances = ([column[p] for p in chosen] for column in columns)
    if chosen.size < FEWEST_PROMPTS:
        return None, [f"{have}, {counted(chosen.size, 'prompt')}: give {FEWEST_PROMPTS} prompts or more"]
    if doubt := _doubt(gold, chances):
        return None, [f"{have}; {doubt}"]
    support = label_support(rewards, gold, chances, wanted)
    weak = np.append(support < FEWEST_LABELS, True)
    values = labelled_best_of_n(rewards, gold, chances, wanted)
    weak[:-1] |= spread_over(values) < min(FEWEST_APART, chosen.size / 4)
    points = int(np.argmax(weak))
    notes = [] if points == wanted.size else [_weak(value, int(wanted[points]), float(support[points]))]
    if not points:
        return None, [f"{have}; {notes[0]}"]
    told, values = wanted[:points], values[:, :points]
    graded = bool(about.facts.get("reward_is_grade"))
    turning = _turning(value, values, rewards, told, seed)
    labels, total = (int(sum(np.isfinite(each).sum() for each in column)) for column in (gold, rewards))
    iid = about.facts.get("iid") is not False
    choice, spoken = harmless_n(values, told, seed), tuple(told.tolist())
    curve = LabelledCurve(
        value, spoken, chosen.size, total, labels, chance, support[:points], choice, graded, iid, turning
    )
    return curve, notes


def _weak(value: str, n: int, support: float) -> str:
    """Why nothing is told from this n on."""
    where = f"{value} of best-of-n from n = {n} on is not told"
    if support >= FEWEST_LABELS:
        return f"{where}: the labels differ in too few prompts to show an error"
    weigh = f"the labels of draws that win weigh as {np.floor(10.0 * support) / 10.0:.1f} equal ones"
    return f"{where}: {weigh}, and an error shows from {FEWEST_LABELS:g} on: buy more labels of high rewards"


def _turning(value: str, values: Floats, rewards: list[Floats], ns: Ints, seed: int) -> Turning | None:
    turn = turning_point(values, ns, seed=seed)
    if turn is None:
        return None
    ends = labelled_best_of_n(rewards, rewards, [np.ones(r.size) for r in rewards], ns[[0, -1]])
    return Turning(CurveKey("best_of_n", None, value), turn, float((ends[:, 1] - ends[:, 0]).mean()))


def _doubt(gold: list[Floats], chances: list[Floats]) -> str | None:
    """Whether there are far more or fewer labels than the chances say, prompts being independent."""
    apart = np.array([np.isfinite(g).sum() - e.sum() for g, e in zip(gold, chances, strict=True)])
    alone = float(sum((e * (1.0 - e)).sum() for e in chances))
    error = float(np.sqrt(max(alone, apart.size * float(apart.var()))))
    if abs(float(apart.sum())) <= _SURE * error + 1e-6:
        return None
    said, labels = float(sum(e.sum() for e in chances)), int(sum(np.isfinite(g).sum() for g in gold))
    return f"the chances say about {said:,.0f} labels where there are {labels:,}: they are not the right ones"
