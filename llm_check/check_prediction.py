"""Predictions from a pool against fresh runs on the embedded pair, and the exact value of both: `lm_prediction`.

At each position a pool is collected; `predict_position` predicts expected reward and acceptance of every scheme (M30);
`measure_step` runs the models afresh (other seed); the enumerated trie gives the exact value. z compares prediction
and measurement; the bound on the largest |z| is Bonferroni's at 1 %.
"""

from __future__ import annotations

import functools
import itertools
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from scipy import stats

from gsi_theory.artifact import provenance, write_artifact
from llm_check.collect import collect_pool
from llm_check.decode import measure_step
from llm_check.exact import checked_positions, enumerate_position
from llm_check.pool import pool_from_columns
from llm_check.predict import plug_in, predict_position, scheme_grid
from llm_check.settings import read_settings
from llm_check.world import World

__all__ = ["DEFAULTS", "LEVEL", "run"]

LEVEL = 0.01
DEFAULTS: dict[str, Any] = {
    "betas": (1.0, 5.0, 20.0), "ns": (1, 2, 4, 8, 16), "threshold": 0.5, "problems": 4, "candidates": 4000,
    "runs": 2000, "tolerance": 1e-6,
}  # fmt: skip


def _measured(reward: np.ndarray, accepted: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(values (S, 2), standard errors): mean reward and acceptance rate of S schemes over runs (S, M).

    The error of a rate counts one success and one failure more, so that a rate of 0 or 1 is not called certain.
    """
    runs = reward.shape[1]
    rate = accepted.mean(axis=1)
    shrunk = (accepted.sum(axis=1) + 1.0) / (runs + 2.0)
    errors = np.stack([reward.std(axis=1, ddof=1) / np.sqrt(runs), np.sqrt(shrunk * (1.0 - shrunk) / runs)], axis=1)
    return np.stack([reward.mean(axis=1), rate], axis=1), errors


def _tick(progress: Callable[[int, int], None], done: Iterator[int], total: int) -> None:
    progress(next(done), total)


def run(
    world: World, seed: int, out: Path, settings: dict[str, str], progress: Callable[[int, int], None], command: str
) -> Path:
    """Write the artifact; settings betas, ns, threshold, problems (one position each), candidates (of each source
    in the pool), runs (fresh runs), tolerance (mass the enumeration may leave out)."""
    chosen = read_settings(settings, DEFAULTS)
    schemes = scheme_grid(chosen["betas"], chosen["ns"], ("softmax", "race"), chosen["threshold"])
    places = checked_positions(world, seed, chosen["problems"])
    table: dict[str, list[Any]] = {}
    for done, place in enumerate(places):
        columns = collect_pool(
            world.draft, world.base, world.reward_model, [place], chosen["candidates"], chosen["candidates"],
            world.rule, seed,
        )  # fmt: skip
        pool = pool_from_columns(columns)
        key = (place.prompt_id, place.step)
        ticks = itertools.count(done * len(schemes) + 1)
        predicted, predicted_se = predict_position(
            pool.draft_candidates(*key),
            pool.base_candidates(*key),
            schemes,
            tick=functools.partial(_tick, progress, ticks, len(places) * len(schemes)),
        )
        fresh = measure_step(
            world.draft, world.base, world.reward_model, place, chosen["runs"], schemes, world.rule, seed + 1_000_003
        )
        measured, measured_se = _measured(fresh.reward, fresh.accepted)
        found = enumerate_position(world, place, chosen["tolerance"])
        exact = np.array(
            [plug_in(found.instance.draft_candidates(), found.instance.base_candidates(), s) for s in schemes]
        )
        for s, scheme in enumerate(schemes):
            for q, quantity in enumerate(("reward", "p_accept")):
                if quantity == "p_accept" and scheme.threshold is None:
                    continue
                spread = float(np.hypot(predicted_se[s, q], measured_se[s, q]))
                row = {
                    "problem_id": place.prompt_id, "step": place.step, "rule": scheme.rule,
                    "gate": "none" if scheme.threshold is None else scheme.gate, "beta": scheme.beta, "n": scheme.n,
                    "quantity": quantity, "predicted": predicted[s, q], "predicted_se": predicted_se[s, q],
                    "measured": measured[s, q], "measured_se": measured_se[s, q], "exact": exact[s, q],
                    "z": float((predicted[s, q] - measured[s, q]) / spread) if spread > 0 else 0.0,
                }  # fmt: skip
                for name, value in row.items():
                    table.setdefault(name, []).append(value)
    z = np.array(table["z"])
    bound = float(stats.norm.isf(LEVEL / (2 * z.size)))
    summary = {
        "worst_abs_z": float(np.abs(z).max()), "bonferroni_bound": bound, "comparisons": z.size, "level": LEVEL,
        "passed": bool(np.abs(z).max() <= bound), "z_variance": float(z.var()), "threshold": chosen["threshold"],
        "candidates": chosen["candidates"], "runs": chosen["runs"], "positions": len(places),
    }  # fmt: skip
    return write_artifact(out, "lm_prediction", provenance(command, seed), summary, {"cells": table})
