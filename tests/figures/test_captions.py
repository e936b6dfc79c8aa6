"""Captions say what their artifact shows, at any seed; findings are recomputed here from the tables, by other code."""

from __future__ import annotations

import dataclasses
import re
import string
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest

from figures.figure_table import FindingText, PageFigure, figures_of, findings_in, said, spoken
from gsi_theory.runs.artifact import Artifact, read_artifact
from sims.experiments import EXPERIMENTS
from tests.llm_check.models.checks.small_study import study_path
from tests.sims.tiny_runs import tiny_artifact

SEEDS = (1, 2)
FIGURES = {entry.name: entry for page in ("gallery", "report") for entry in figures_of(page)}
OF_EXPERIMENTS = [name for name, entry in FIGURES.items() if entry.artifact in (*EXPERIMENTS, "lm_study")]
Row = dict[str, Any]


def findings(entry: PageFigure) -> list[FindingText]:
    return [part for part in findings_in(entry.caption) + findings_in(entry.claim) if part.name]


def parts(entry: PageFigure) -> Iterator[str]:
    """Every template of a figure's texts."""
    yield from (entry.title, entry.question, entry.alt)
    for part in findings_in(entry.caption) + findings_in(entry.claim):
        yield from (part.true, part.false)


# Digits that are not results: of formulas and their numbers, of papers, of theorems and figures in them, and n ≥ 1.
FORMULAS = (
    r"arXiv \d{4}\.\d{4,5}",
    r"M\d+",
    r"(Theorem|Figure|Section) \d",
    r"\b(19|20)\d\d\b",
    r"n ≥ \d",
    r"1/n",
    r"a\(1 − a\)",
    r"χ² ≥ 1",
    r"1 \+ χ²",
    r"o\(1\)",
)
# Numbers in words, but for shares that are settings of an experiment.
WORDS = (
    r"\b(four|five|six|seven|eight|nine(?! tenths)|(?<!of )ten|eleven|twelve|eighteen|twenty|sixty|hundred|thousand)\b"
)


@pytest.mark.parametrize("name", FIGURES)
def test_no_number_is_written_by_hand(name: str) -> None:
    entry = FIGURES[name]
    told = parts(dataclasses.replace(entry, alt="", question=""))
    assert not [text for text in told if re.search(WORDS, text)]
    plain = [p.true for p in findings_in(entry.caption) + findings_in(entry.claim) if not p.name]
    assert not any("{" in text for text in plain), "an older artifact has no such number"
    for template in parts(entry):
        text = "".join(literal for literal, *_ in string.Formatter().parse(template))
        assert not re.search(r"[0-9]", re.sub("|".join(FORMULAS), "", text)), text
        assert not re.search(r"10[⁰¹²³⁴⁵⁶⁷⁸⁹]", text), text


@pytest.mark.parametrize("name", OF_EXPERIMENTS)
@pytest.mark.parametrize("seed", SEEDS)
def test_every_caption_can_be_said_of_any_seed(name: str, seed: int) -> None:
    entry = FIGURES[name]
    study = entry.artifact == "lm_study"
    artifact = read_artifact(study_path(seed)) if study else tiny_artifact(entry.artifact, seed)
    told = spoken(entry, artifact)
    assert told.caption and "{" not in told.caption + told.claim and "nan" not in told.caption + told.claim
    for part in findings(entry):
        for holds in (True, False):
            record = artifact.summary["findings"][part.name] | {"holds": holds}
            text = said(
                f"[{part.name}] {part.true} | {part.false}", artifact.summary | {"findings": {part.name: record}}
            )
            assert text and "{" not in text


def test_a_finding_that_does_not_hold_is_told_the_other_way_and_one_not_judged_is_not_told() -> None:
    caption = """
    [above] GSI is above
    {n}. | GSI is not above {n}, in {where}.
    [] All of {seed}.
    """
    numbers = {"n": 1234, "where": ["a", "b", "c", "d", "e"]}
    told = [said(caption, {"seed": 3, "findings": {"above": numbers | {"holds": h}}}) for h in (True, False, None)]
    assert told == [
        "GSI is above 1\u202f234. All of 3.",
        "GSI is not above 1\u202f234, in a, b, c, d and 1 more. All of 3.",
        "All of 3.",
    ]
    assert said(caption, {"seed": 3}) == "All of 3.", "an older artifact"
    with pytest.raises(KeyError):
        said(caption, {"seed": 3, "findings": {}})


def table(artifact: Artifact, name: str) -> list[Row]:
    columns = artifact.tables[name]
    return [dict(zip(columns, values, strict=True)) for values in zip(*columns.values(), strict=True)]


def pick(rows: list[Row], **values: object) -> list[Row]:
    return [row for row in rows if all(row[key] == value for key, value in values.items())]


def one(rows: list[Row], **values: object) -> Row:
    (row,) = pick(rows, **values)
    return row


def reward_vs_n(artifact: Artifact) -> dict[str, bool]:
    rows = table(artifact, "reward")
    gsi = [row for row in pick(rows, method="gsi") if row["n"] >= 2]
    last = [row for row in gsi if row["n"] == 64]

    def above(method: str) -> bool:
        return all(r["reward"] > one(rows, world=r["world"], n=r["n"], method=method)["reward"] for r in gsi)

    return {
        "above_rsd": above("rsd"),
        "above_draft": above("soft_bon_draft"),
        "gsi_below_tilt": all(r["reward"] <= one(rows, world=r["world"], method="tilted")["reward"] for r in last),
    }


def gate_ablation(artifact: Artifact) -> dict[str, bool]:
    rows = pick(table(artifact, "gate"), n=16)
    hardest = max(pick(rows, gate="none"), key=lambda r: r["tv"])
    gated = one(rows, gate="tilted_reward", share=0.5, world=hardest["world"])
    last = pick(table(artifact, "gate"), n=256, gate="tilted_reward")
    return {
        "gate_helps": gated["tv"] < hardest["tv"],
        "limit_has_more_reward": all(r["limit_reward_gap"] >= 0 for r in last),
        "at_limit": all(abs(r["tv"] - r["limit_tv"]) <= 0.02 for r in last),
    }


def overoptimization(artifact: Artifact) -> dict[str, bool]:
    rows = table(artifact, "gold")

    def left(world: str, method: str, beta: float) -> float:
        gold = [r["gold"] for r in sorted(pick(rows, world=world, method=method, beta=beta), key=lambda r: r["n"])]
        return gold[-1] - 0.9 * max(gold)

    best = [r["gold"] for r in pick(rows, world="can be gamed", method="best_of_n_base")]
    tilt = [r["gold"] for r in pick(rows, world="can be gamed", method="tilted")]
    return {
        "gamed_holds": best[-1] >= 0.5 * max(best),
        "honest_holds": left("honest error", "best_of_n_base", 1.0) >= 0,
        "soft_holds": left("can be gamed", "soft_bon_base", 1.0) >= 0,
        "sharp_holds": left("can be gamed", "soft_bon_base", 4.0) >= 0,
        "tilt_peak_lower": max(tilt) < max(best),
    }


def tournaments(artifact: Artifact) -> dict[str, bool]:
    rows = table(artifact, "fail")
    made = {"bounds_hold": all(r["fail"] <= r["bound"] + 1e-9 for r in rows if r["bound"] is not None)}
    for method in ("knockout", "league"):
        own, scored = pick(rows, method=method), pick(rows, method=f"best-of-n against {method}")
        made[f"{method}_bound_vacuous"] = min(r["bound"] for r in own) >= 1
        wins = [s["fail"] < r["fail"] for r, s in zip(own, scored, strict=True)]
        made[f"scoring_beats_{method}"] = float(np.mean(wins)) > 0.5
    return made


def sample_complexity(artifact: Artifact) -> dict[str, bool]:
    rows = [r for r in table(artifact, "needed") if r["needed"] and r["limit"]]
    ratio = {rule: max(r["needed"] / r["limit"] for r in pick(rows, rule=rule)) for rule in ("softmax", "race")}
    softmax = [r for r in pick(rows, rule="softmax") if r["chi2"] >= 1]
    return {
        "race_nearer": ratio["race"] < ratio["softmax"],
        "exponential_suffices": all(np.log(r["needed"]) <= r["kl"] / r["epsilon"] for r in pick(rows, rule="greedy")),
        "softmax_below_chi2": all(r["needed"] <= r["chi2"] / r["epsilon"] for r in softmax),
    }


def uniform_race(artifact: Artifact) -> dict[str, bool]:
    rows = table(artifact, "exact")
    race = pick(rows, rule="race")
    softmax = {(r["pool"], r["n"]): r["tv"] for r in pick(rows, rule="softmax")}
    ends = {r["pool"]: r["limit"] for r in sorted(race, key=lambda r: r["n"])}
    return {
        "bounds_hold": all(r["tv"] <= min(r["bound_tail"], r["bound_chi2"]) + 1e-9 for r in race),
        "race_below": all(r["tv"] <= softmax[r["pool"], r["n"]] + 1e-9 for r in race),
        "limit_zero": all(limit < 1e-9 for limit in ends.values()),
    }


def coverage(artifact: Artifact) -> dict[str, bool]:
    rows = table(artifact, "coverage")
    missing = {
        m: [r["gain"] for r in pick(rows, correlation=0.8, method=m)] for m in ("gsi", "gsi_90", "gsi_score_gate")
    }
    unrelated = max(pick(rows, correlation=0.0, method="gsi"), key=lambda r: r["coverage"])
    made = {f"{method}_pays": min(gains) >= 0 for method, gains in missing.items()}
    return made | {"pays_unrelated": unrelated["gain"] > 0}


def drafter_teams(artifact: Artifact) -> dict[str, bool]:
    rows = table(artifact, "teams")
    last = pick(rows, rule="softmax", n=192)
    alone = min(r["tv"] for r in last if r["team"].startswith("alone"))
    return {
        "bound_holds": all(r["kl"] <= r["kl_bound"] + 1e-9 for r in rows if r["kl_bound"] is not None),
        "together_reach": one(last, team="fixed")["tv"] < 0.1 * alone,
    }


def particles_and_backtracking(artifact: Artifact) -> dict[str, bool]:
    rows = table(artifact, "points")
    several = [r for r in pick(rows, method="particles") if r["n"] > 1]

    def nearer(other: str) -> bool:
        return all(r["tv"] < one(rows, world=r["world"], method=other, n=r["n"])["tv"] for r in several)

    longest = max(r["n"] for r in pick(rows, method="walk"))
    valued = [r for r in pick(rows, method="forward") if r["world"].startswith("values")]
    last = {r["world"]: r["tv"] for r in pick(rows, method="walk", n=longest)}
    first = {r["world"]: r["tv"] for r in pick(rows, method="first_leaf")}
    return {
        "particles_nearer": nearer("gsi_ungated"),
        "resampling_pays": nearer("trajectories"),
        "walk_repairs": all(last[r["world"]] < r["tv"] for r in valued),
        "first_leaf_between": all(first[r["world"]] < r["tv"] for r in valued),
    }


CHECKERS: dict[str, Callable[[Artifact], dict[str, bool]]] = {
    "reward_vs_n": reward_vs_n,
    "gate_ablation": gate_ablation,
    "overoptimization": overoptimization,
    "tournaments": tournaments,
    "sample_complexity": sample_complexity,
    "uniform_race": uniform_race,
    "coverage": coverage,
    "drafter_teams": drafter_teams,
    "particles_and_backtracking": particles_and_backtracking,
}


def false_sentences(entry: PageFigure, artifact: Artifact, truth: dict[str, bool]) -> list[str]:
    """The sentences of a figure's texts that the tables contradict."""
    told = spoken(entry, artifact)
    wrong = []
    for part in findings(entry):
        if part.name in truth:
            numbers = {"findings": {part.name: artifact.summary["findings"][part.name] | {"holds": truth[part.name]}}}
            right = said(f"[{part.name}] {part.true} | {part.false}", artifact.summary | numbers)
            if right not in f"{told.caption} {told.claim}":
                wrong.append(part.name)
    return wrong


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("name", CHECKERS)
def test_no_sentence_is_false_at_other_seeds(name: str, seed: int) -> None:
    artifact, entry = tiny_artifact(name, seed), FIGURES[name]
    truth = CHECKERS[name](artifact)
    assert set(truth) <= {part.name for part in findings(entry)} and len(truth) >= 2
    assert not false_sentences(entry, artifact, truth)


def test_the_checker_finds_a_false_sentence() -> None:
    """A summary that claims the opposite of its tables is caught."""
    artifact = tiny_artifact("uniform_race", 1)
    claimed = {name: record | {"holds": not record["holds"]} for name, record in artifact.summary["findings"].items()}
    liar = dataclasses.replace(artifact, summary=artifact.summary | {"findings": claimed})
    assert set(false_sentences(FIGURES["uniform_race"], liar, uniform_race(artifact))) == {
        "bounds_hold",
        "race_below",
        "limit_zero",
    }
