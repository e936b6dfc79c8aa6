"""Samplers on real transformers against the exact law of their next step: artifact `lm_law`.

At each position all next steps of the embedded pair are enumerated. Draft sampling and one step of GSI (gated softmax,
gated race, score-gated race, soft best-of-n on the base) are run many times; their outcomes are tested against the
exact law of the same scheme. Also recorded: how far cached log-probabilities are from a plain full forward, and the
mean ratio of the draft's draws, which estimates E_{π_S}[π_B/π_S] = 1 (M32).
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch

from gsi_theory import Scheme, gsi_law
from gsi_theory.artifact import provenance, write_artifact
from gsi_theory.gate import fallback_law
from llm_check.decode import measure_step
from llm_check.engines.transformers_engine import TransformersEngine
from llm_check.exact import EnumeratedPosition, checked_positions, enumerate_position, frequency_test
from llm_check.positions import Position
from llm_check.settings import read_settings
from llm_check.streams import Purpose
from llm_check.world import World

__all__ = ["DEFAULTS", "full_forward_difference", "run", "schemes_tested"]

LEVEL = 0.001
DEFAULTS: dict[str, Any] = {
    "beta": 2.0, "n": 4, "threshold": 0.5, "draws": 20_000, "problems": 3, "tolerance": 1e-6,
}  # fmt: skip


def schemes_tested(beta: float, n: int, threshold: float) -> dict[str, Scheme]:
    """Name -> scheme of every sampler that is tested."""
    return {
        "gsi": Scheme(beta, n, threshold),
        "gsi_ungated": Scheme(beta, n),
        "gsi_race": Scheme(beta, n, threshold, "race"),
        "gsi_race_score": Scheme(beta, n, threshold, "race", gate="score"),
        "soft_bon_base": Scheme(beta, n, float("inf")),
    }


def full_forward_difference(engine: TransformersEngine, prefix: list[int], steps: list[list[int]]) -> float:
    """Largest |difference| of token log-probs between the cached scorer and one plain forward of prefix + step."""
    cached = engine.score(engine.prefill([prefix]), [steps])[0]
    worst = 0.0
    for row, step in zip(cached, steps, strict=True):
        with torch.inference_mode():
            logits = engine.model(input_ids=torch.tensor([prefix + step]), use_cache=False).logits[0].float()
        plain = torch.log_softmax(logits, -1)[len(prefix) - 1 : -1].gather(1, torch.tensor(step)[:, None])[:, 0]
        worst = max(worst, float(np.max(np.abs(row[: len(step)] - plain.numpy()))))
    return worst


def _tests(
    world: World, found: EnumeratedPosition, chosen: dict[str, Any], seed: int
) -> tuple[list[dict[str, Any]], np.ndarray]:
    """A row for each sampler, and the ratios π_B/π_S of the draft's draws (draws,)."""
    place, draws = found.position, chosen["draws"]
    streams = [place.stream(seed, Purpose.CHECK)]
    drafted = world.draft.sample(world.draft.prefill([place.prefix]), draws, streams, world.rule)
    outcomes = {"draft": found.locate(drafted.tokens[0])}
    laws = {"draft": np.exp(found.instance.log_draft)}
    schemes = schemes_tested(chosen["beta"], chosen["n"], chosen["threshold"])
    measured = measure_step(
        world.draft, world.base, world.reward_model, place, draws, list(schemes.values()), world.rule, seed
    )
    at = found.locate(measured.steps)
    for row, (name, scheme) in enumerate(schemes.items()):
        outcomes[name] = at[measured.selected[row]]
        if name == "soft_bon_base":
            laws[name] = np.exp(fallback_law(found.instance.base_candidates(), scheme).log_prob)
        else:
            laws[name] = np.exp(gsi_law(found.instance, scheme).log_prob)
    rows = []
    for name in outcomes:
        test = frequency_test(outcomes[name], laws[name])
        rows.append({
            "problem_id": place.prompt_id, "step": place.step,
            "prefix_text": world.draft.tokenizer.decode(list(place.prefix)),
            "outcomes": len(found.tokens), "missing_mass": max(found.missing_draft, found.missing_base),
            "draws": draws, "cells": test.cells, "chi2_stat": test.statistic, "dof": test.dof,
            "p_value": test.p_value, "max_abs_z": test.max_abs_z, "sampler": name,
            "n": 1 if name == "draft" else chosen["n"], "beta": chosen["beta"],
        })  # fmt: skip
    scored = world.base.score(world.base.prefill([list(place.prefix)]), drafted.tokens).sum(axis=-1)
    return rows, np.exp(scored[0] - drafted.logp[0])


def run(
    world: World, seed: int, out: Path, settings: dict[str, str], progress: Callable[[int, int], None], command: str
) -> Path:
    """Write the artifact; settings beta, n, threshold, draws (per sampler), problems, tolerance (mass left out)."""
    chosen = read_settings(settings, DEFAULTS)
    places = checked_positions(world, seed, chosen["problems"])
    table: dict[str, list[Any]] = {}
    difference, ratios = 0.0, []
    for done, place in enumerate(places, start=1):
        found = enumerate_position(world, place, chosen["tolerance"])
        difference = max(difference, _difference(world, place, found, seed))
        tested, ratio = _tests(world, found, chosen, seed)
        ratios.append(ratio)
        for row in tested:
            for key, value in row.items():
                table.setdefault(key, []).append(value)
        progress(done, len(places))
    summary = {
        "worst_p": min(table["p_value"]), "comparisons": len(table["p_value"]), "level": LEVEL,
        "passed": min(table["p_value"]) > LEVEL, "max_logp_difference": difference,
        "ratio_mean": float(np.mean(ratios)),
        "ratio_mean_se": float(np.sqrt(np.mean([np.var(r) for r in ratios]) / np.size(ratios))),
    }  # fmt: skip
    return write_artifact(out, "lm_law", provenance(command, seed), summary, {"prompts": table})


def _difference(world: World, place: Position, found: EnumeratedPosition, seed: int) -> float:
    """Over 50 enumerated steps drawn at random, likely or not, for both models."""
    picked = place.stream(seed, Purpose.PICK).generator().choice(len(found.tokens), min(50, len(found.tokens)), False)
    steps = [row[row >= 0].tolist() for row in found.tokens[picked]]
    return max(full_forward_difference(e, list(place.prefix), steps) for e in (world.draft, world.base))
