"""Predictions from a pool against fresh runs on the embedded pair, and the exact value of both: `lm_prediction`.

At each position a pool is collected; `predict_position` predicts expected reward and acceptance of every scheme (M30);
`measure_step` runs the models afresh (other seed); the enumerated trie gives the exact value. z compares prediction
and measurement; the bound on the largest |z| is Bonferroni's at 1 %.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from scipy import stats

from gsi_theory import Scheme
from gsi_theory.artifact import provenance, write_artifact
from llm_check.collect import collect_pool
from llm_check.decode import measure_step
from llm_check.exact import checked_positions, enumerate_position
from llm_check.pool import pool_from_columns
from llm_check.positions import Position
from llm_check.predict import GROUPS, plug_in, predict_position, scheme_grid
from llm_check.settings import read_settings
from llm_check.world import World

__all__ = ["DEFAULTS", "LEVEL", "run"]

LEVEL = 0.01
FRESH = 1_000_003  # added to the seed of the pool, so that the fresh runs share no stream with it
DEFAULTS: dict[str, Any] = {
    "betas": (1.0, 5.0, 20.0), "ns": (1, 2, 4, 8, 16), "threshold": 0.5, "problems": 4, "candidates": 4000,
    "runs": 2000, "tolerance": 1e-6,
}  # fmt: skip


def _measured(reward: np.ndarray, accepted: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(values (S, 2), standard errors): mean reward and acceptance rate of S schemes over runs (S, M)."""
    runs = reward.shape[1]
    rate = accepted.mean(axis=1)
    errors = np.stack([reward.std(axis=1, ddof=1) / np.sqrt(runs), np.sqrt(rate * (1.0 - rate) / runs)], axis=1)
    return np.stack([reward.mean(axis=1), rate], axis=1), errors


def _noise(predicted: np.ndarray, deviation: np.ndarray, spread: float, runs: int) -> np.ndarray:
    """Standard error (S, 2) of a mean over `runs` fresh runs if the prediction is right, plus one run's worth.

    The measured runs' own deviation would be 0 wherever an unlikely step happened not to be seen. One run's worth (the
    whole spread of rewards, or one acceptance, over runs) is what a single rare event moves a mean by; without it such
    an event would count as many deviations.
    """
    rate = predicted[:, 1]
    one = np.array([spread, 1.0]) / runs
    return np.sqrt(np.stack([deviation**2, rate * (1.0 - rate)], axis=1) / runs + one**2)


def _z(gap: float, spread: float) -> float:
    """gap/spread; where nothing varies, 0 for agreement to rounding and infinity otherwise."""
    if spread > 0:
        return float(gap / spread)
    return 0.0 if abs(gap) <= 1e-12 else float(np.copysign(np.inf, gap))


def _resolved(table: dict[str, list[Any]], runs: int) -> np.ndarray:
    """Cells whose z is near normal: the measured error is at least three times one run's worth of it."""
    one = np.where(np.array(table["quantity"]) == "reward", np.array(table["reward_spread"]), 1.0) / runs
    return np.array(table["measured_se"]) >= 3.0 * one


def _rows(
    world: World, place: Position, schemes: list[Scheme], seed: int, chosen: dict[str, Any], tick: Callable[[], None]
) -> Iterator[dict[str, Any]]:
    """Predicted, measured and exact values of every scheme at one position."""
    size = chosen["candidates"]
    columns = collect_pool(world.draft, world.base, world.reward_model, [place], size, size, world.rule, seed)
    pool, key = pool_from_columns(columns), (place.prompt_id, place.step)
    sets = pool.draft_candidates(*key), pool.base_candidates(*key)
    predicted, predicted_se, deviation = predict_position(*sets, schemes, tick=tick)
    fresh = measure_step(
        world.draft, world.base, world.reward_model, place, chosen["runs"], schemes, world.rule, seed + FRESH
    )
    measured, measured_se = _measured(fresh.reward, fresh.accepted)
    found = enumerate_position(world, place, chosen["tolerance"]).instance
    exact = plug_in(found.draft_candidates(), found.base_candidates(), schemes)
    spread = float(np.ptp(np.concatenate([candidates.reward for candidates in sets])))
    noise = _noise(predicted, deviation, spread, chosen["runs"])
    for s, scheme in enumerate(schemes):
        for q, quantity in enumerate(("reward", "p_accept")):
            if quantity == "p_accept" and scheme.threshold is None:
                continue
            yield {
                "problem_id": place.prompt_id, "step": place.step, "rule": scheme.rule,
                "gate": "none" if scheme.threshold is None else scheme.gate, "beta": scheme.beta, "n": scheme.n,
                "quantity": quantity, "predicted": predicted[s, q], "predicted_se": predicted_se[s, q],
                "measured": measured[s, q], "measured_se": measured_se[s, q], "exact": exact[s, q],
                "reward_spread": spread,
                "z": _z(predicted[s, q] - measured[s, q], float(np.hypot(predicted_se[s, q], noise[s, q]))),
            }  # fmt: skip


def run(
    world: World, seed: int, out: Path, settings: dict[str, str], progress: Callable[[int, int], None], command: str
) -> Path:
    """Write the artifact; settings betas, ns, threshold, problems (one position each), candidates (of each source
    in the pool), runs (fresh runs), tolerance (mass the enumeration may leave out)."""
    chosen = read_settings(settings, DEFAULTS)
    schemes = scheme_grid(chosen["betas"], chosen["ns"], ("softmax", "race"), chosen["threshold"])
    places = checked_positions(world, seed, chosen["problems"])
    ticks, total = itertools.count(1), len(places) * (GROUPS + 1)
    table: dict[str, list[Any]] = {}
    for place in places:
        for row in _rows(world, place, schemes, seed, chosen, lambda: progress(next(ticks), total)):
            for name, value in row.items():
                table.setdefault(name, []).append(value)
    z = np.array(table["z"])
    bound = float(stats.norm.isf(LEVEL / (2 * z.size)))
    summary = {
        "worst_abs_z": float(np.abs(z).max()), "bonferroni_bound": bound, "comparisons": z.size, "level": LEVEL,
        "passed": bool(np.abs(z).max() <= bound), "threshold": chosen["threshold"],
        "z_variance": float(z[_resolved(table, chosen["runs"])].var()), "candidates": chosen["candidates"],
        "runs": chosen["runs"], "positions": len(places),
    }  # fmt: skip
    return write_artifact(out, "lm_prediction", provenance(command, seed), summary, {"cells": table})
