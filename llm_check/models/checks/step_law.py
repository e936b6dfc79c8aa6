"""Samplers on language models against the exact law of their next step: artifact `lm_law`.

At each position the draft, one step of GSI (gated softmax, gated race, score-gated race, ungated) and soft best-of-n
on the base are run many times on the world's engines. Where all next steps of the pair can be listed ("enumerated":
transformers, whatever engine draws), outcomes are tested against the exact law of the same scheme: Pearson's χ²
for each sampler and position, and an exact binomial test for each outcome. Runs with a candidate outside the list are
left out: given that all are inside, the others follow the law on the list exactly, however much mass is missing; and
the draft's draws outside it are held against that mass. Where no list is possible ("scored": a vocabulary of
49,152), draws and winners are tested by conditional laws (`checks.scored_step`). Holm corrects over everything tested.

Also recorded: the total variation that would be found with probability 80 %, how far log-probabilities are from a plain
full forward, and the mean ratio of the draft's draws, which estimates E_{π_S}[π_B/π_S] = 1 (M32). Positions that are
finished are kept beside the artifact until it is written: a run that was stopped goes on, one of other settings, models
or code begins anew.

The full bar: gsi check lm_law --set problems=24 --set draws=10000
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path

import numpy as np
import torch

from gsi_theory import Scheme, gsi_law
from gsi_theory.errors import InputError
from gsi_theory.laws.gate import fallback_law
from gsi_theory.runs.artifact import provenance, write_artifact
from gsi_theory.runs.journal import Journal, journal_path
from gsi_theory.types import Json, Record
from llm_check.models.checks.check_settings import read_settings
from llm_check.models.checks.check_table import CHECKS
from llm_check.models.checks.places import places_of, require_room
from llm_check.models.checks.scored_law import detectable
from llm_check.models.checks.scored_step import scored_tests
from llm_check.models.checks.significance import binomial_p, holm
from llm_check.models.decoding.fresh_runs_of_step import measure_step
from llm_check.models.decoding.positions import Position
from llm_check.models.decoding.random_streams import Purpose
from llm_check.models.engines.engine import Engine
from llm_check.models.model_types import Module
from llm_check.models.tiny.exact_steps import (
    SMALLEST_EXPECTED,
    EnumeratedPosition,
    enumerate_position,
    frequency_test,
    is_enumerable,
)
from llm_check.models.world import World, transformers_pair, world_record

__all__ = ["DEFAULTS", "LEVEL", "full_forward_difference", "outcome_p_values", "run", "schemes_tested"]

DEFAULTS = CHECKS["lm_law"].defaults
LEVEL = 0.01


def schemes_tested(beta: float, n: int, threshold: float) -> dict[str, Scheme]:
    """Name -> scheme of every sampler that is tested."""
    return {
        "gsi": Scheme(beta, n, threshold),
        "gsi_ungated": Scheme(beta, n),
        "gsi_race": Scheme(beta, n, threshold, "race"),
        "gsi_race_score": Scheme(beta, n, threshold, "race", gate="score"),
        "soft_bon_base": Scheme(beta, n, float("inf")),
    }


def full_forward_difference(engine: Engine, model: Module, prefix: list[int], steps: list[list[int]]) -> float:
    """Largest |difference| of token log-probs between an engine's scores and one plain forward of prefix + step by the
    transformers model of the same weights."""
    scored = engine.score(engine.prefill([prefix]), [steps])[0]
    worst = 0.0
    for row, step in zip(scored, steps, strict=True):
        with torch.inference_mode():
            ids = torch.tensor([prefix + step], device=model.device)
            logits = model(input_ids=ids, use_cache=False).logits[0].float() / engine.contract.sampling_temperature
        plain = torch.log_softmax(logits, -1)[len(prefix) - 1 : -1].gather(1, ids[0, len(prefix) :, None])[:, 0]
        worst = max(worst, float(np.max(np.abs(row[: len(step)] - plain.cpu().numpy()))))
    return worst


def outcome_p_values(outcomes: np.ndarray, probability: np.ndarray) -> np.ndarray:
    """Exact p-values of the count of each outcome that is expected at least SMALLEST_EXPECTED times, and of the rest
    together; outcomes (M,) in 0..K, K outside the law."""
    draws = len(outcomes)
    counts = np.bincount(outcomes, minlength=probability.size + 1)
    large = draws * probability >= SMALLEST_EXPECTED
    rest = counts[:-1][~large].sum() + counts[-1]
    wanted = np.r_[probability[large], max(0.0, 1.0 - probability[large].sum())]
    return binomial_p(np.r_[counts[:-1][large], rest], draws, np.minimum(wanted, 1.0))


def _enumerated(world: World, enumerated: EnumeratedPosition, chosen: Record, seed: int) -> Record:
    """A row for each sampler, the p-values of its outcomes, and mean and variance of the ratios π_B/π_S drawn."""
    place, draws = enumerated.position, chosen["draws"]
    streams = [place.stream(seed, Purpose.CHECK)]
    drafted = world.draft.sample(world.draft.prefill([place.prefix]), draws, streams, world.rule)
    at = enumerated.locate(drafted.tokens[0])
    inside = at < len(enumerated.tokens)
    missed = binomial_p(np.array([(~inside).sum()], dtype=np.float64), draws, np.array([enumerated.missing_draft]))
    outcomes, laws = {"draft": at[inside]}, {"draft": np.exp(enumerated.instance.log_draft)}
    schemes = schemes_tested(chosen["beta"], chosen["n"], chosen["threshold"])
    measured = measure_step(
        world.draft, world.base, world.reward_model, place, draws, list(schemes.values()), world.rule, seed
    )
    at = enumerated.locate(measured.steps)
    known = (at < len(enumerated.tokens))[np.concatenate([measured.drafts, measured.bases], axis=1)].all(axis=1)
    for row, (name, scheme) in enumerate(schemes.items()):
        outcomes[name] = at[measured.selected[row][known]]
        if name == "soft_bon_base":
            laws[name] = np.exp(fallback_law(enumerated.instance.base_candidates(), scheme).log_prob)
        else:
            laws[name] = np.exp(gsi_law(enumerated.instance, enumerated.within(scheme)).log_prob)
    rows, single = [], []
    for name in outcomes:
        test = frequency_test(outcomes[name], laws[name])
        p = outcome_p_values(outcomes[name], laws[name])
        single.append([*p.tolist(), *(missed.tolist() if name == "draft" else ())])
        rows.append(
            {
                "sampler": name,
                "test": "step",
                "draws": len(outcomes[name]),
                "cells": test.cells,
                "chi2_stat": test.statistic,
                "dof": test.dof,
                "p_value": test.p_value,
                "max_abs_z": test.max_abs_z,
            }
        )
    scored = world.base.score(world.base.prefill([list(place.prefix)]), drafted.tokens).sum(axis=-1)
    ratio = np.exp(scored[0] - drafted.logp[0])
    missing = max(enumerated.missing_draft, enumerated.missing_base)
    return {
        "rows": rows,
        "outcome_p": single,
        "ratio": (float(ratio.mean()), float(ratio.var())),
        "overlap": enumerated.overlap,
        "outcomes": len(enumerated.tokens),
        "missing_mass": missing,
    }


def _tests(world: World, exact: World, place: Position, chosen: Record, seed: int) -> Record:
    """Everything tested at one position, whichever way."""
    if is_enumerable(exact):
        enumerated = enumerate_position(exact, place, chosen["tolerance"])
        tested = _enumerated(world, enumerated, chosen, seed) | {
            "difference": _difference(world, exact, place, enumerated, seed)
        }
    else:
        schemes = schemes_tested(chosen["beta"], chosen["n"], chosen["threshold"])
        tested = scored_tests(world, exact, place, schemes, chosen["draws"], seed)
        tested |= {"outcomes": None, "missing_mass": 0.0}
    about = {
        "problem_id": place.prompt_id,
        "step": place.step,
        "prefix_text": world.draft.tokenizer.decode(list(place.prefix)),
        "outcomes": tested["outcomes"],
        "missing_mass": tested["missing_mass"],
    }
    settings = {"beta": chosen["beta"]}
    return tested | {
        "rows": [
            about | row | settings | {"n": 1 if row["sampler"] in ("draft", "base") else chosen["n"]}
            for row in tested["rows"]
        ]
    }


def run(
    world: World,
    seed: int,
    out: Path,
    settings: dict[str, str],
    progress: Callable[[int, int], None],
    command: str,
    reference: World | None = None,
) -> Path:
    """Write the artifact; settings beta, n, threshold, draws (runs of each sampler where steps are enumerated; else
    candidates of each model), problems, tolerance (mass that an enumeration leaves out).

    `reference` is the transformers world whose law is the exact one, of the same weights (None: this one). Raises
    InputError when that is no pair of transformers models.
    """
    chosen = read_settings(settings, DEFAULTS)
    exact = reference or world
    transformers_pair(exact)
    draws, n = chosen["draws"], chosen["n"]
    places = places_of(world, seed, chosen["problems"])
    require_room(world, places, draws * n, f"draws = {draws} of n = {n}")
    made = provenance(command, seed)
    engines = [asdict(e.contract) for pair in (world, exact) for e in (pair.draft, pair.base)]
    head = {"provenance": made, "engines": engines, "world": world_record(world)}
    journal = Journal(journal_path(out), head, replace=True)
    keys = [(place.prompt_id, str(place.step)) for place in places]
    try:
        for done, (key, place) in enumerate(zip(keys, places, strict=True), start=1):
            if key not in journal:
                journal.add({key: _tests(world, exact, place, chosen, seed)})
            progress(done, len(places))
    except InputError:
        journal.delete_if_empty()
        raise
    summary, table = _judged([journal[key] for key in keys], draws)
    summary |= {
        "engine": world.draft.contract.engine,
        "engine_version": world.draft.contract.engine_version,
        "way": "enumerated" if is_enumerable(exact) else "scored",
        "world": world_record(world),
    }
    path = write_artifact(out, "lm_law", made, summary, {"prompts": table})
    journal.delete()
    return path


def _judged(positions: list[Record], draws: int) -> tuple[Record, dict[str, list[Json]]]:
    """(summary, table of a row for each test and position) of the tests at all positions."""
    rows = [row for at in positions for row in at["rows"]]
    table: dict[str, list[Json]] = {key: [row[key] for row in rows] for key in rows[0]}
    single = [np.array(p) for at in positions for p in at["outcome_p"]]
    means, variances = np.array([at["ratio"] for at in positions]).T
    overall, each = holm(np.array(table["p_value"])), holm(np.concatenate(single))
    parts = np.split(each, np.cumsum([len(p) for p in single])[:-1])
    table["p_holm"] = overall.tolist()
    table["outcome_p_holm"] = [float(p.min()) if p.size else None for p in parts]
    level = LEVEL / len(overall)
    found = [
        detectable(row["cells"], row["draws"], level) if row["test"].startswith(("step", "tokens")) else None
        for row in rows
    ]
    table["detectable_tv"] = found
    summary = {
        "worst_p": min(table["p_value"]),
        "comparisons": len(overall),
        "worst_p_holm": float(overall.min()),
        "outcomes_tested": len(each),
        "worst_outcome_p_holm": float(each.min(initial=1.0)),
        # The line of the figure: the p-value below which the first comparison fails.
        "level": level,
        "family_level": LEVEL,
        "passed": bool(overall.min() > LEVEL and each.min(initial=1.0) > LEVEL),
        "max_abs_z": max(z for z in table["max_abs_z"] if z is not None),
        "detectable_tv": max((tv for tv in found if tv is not None), default=None),
        "max_logp_difference": max(at["difference"] for at in positions),
        "largest_missing_mass": max(table["missing_mass"]),
        "ratio_mean": float(means.mean()),
        "ratio_mean_se": float(np.sqrt(variances.mean() / (draws * len(positions)))),
        "overlap": float(np.mean([at["overlap"] for at in positions])),
    }
    return summary, table


def _difference(world: World, exact: World, place: Position, enumerated: EnumeratedPosition, seed: int) -> float:
    """Over 50 enumerated steps picked at random, likely or not, for both models."""
    picked = (
        place.stream(seed, Purpose.PICK)
        .generator()
        .choice(len(enumerated.tokens), min(50, len(enumerated.tokens)), False)
    )
    steps = [row[row >= 0].tolist() for row in enumerated.tokens[picked]]
    pairs = zip((world.draft, world.base), transformers_pair(exact), strict=True)
    return max(full_forward_difference(e, plain.model, list(place.prefix), steps) for e, plain in pairs)
