"""Does half a pool predict what fresh runs measure, on any pair of models? Artifact `lm_prediction`.

At each position a pool is collected; half of it predicts mean reward, acceptance, accuracy and length of the step under
every scheme (M31), the models run afresh (other streams), and each cell is judged: Holm over all cells at 1 %. z-scores
of cells are also held against the standard normal law, prompts being the independent units. Where the pair can be
enumerated (`exact`), the exact value stands beside.

The full bar: gsi check lm_prediction --set problems=100 --set ns=1,4,16,64 --set candidates=512 --set runs=400
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from gsi_theory import Scheme
from gsi_theory.artifact import provenance, write_artifact
from gsi_theory.gate import gsi_laws
from llm_check.collect import positions_of
from llm_check.exact import checked_positions, enumerate_position
from llm_check.positions import Position
from llm_check.predict import scheme_grid
from llm_check.prediction_cells import position_cells
from llm_check.settings import read_settings
from llm_check.significance import calibration, holm
from llm_check.world import World, transformers_pair

__all__ = ["DEFAULTS", "LEVEL", "exact_values", "resolved", "run"]

LEVEL = 0.01
DEFAULTS: dict[str, Any] = {
    "betas": (1.0, 5.0, 20.0), "ns": (1, 2, 4, 8, 16), "threshold": 0.5, "problems": 6, "candidates": 400,
    "runs": 1000, "exact": 1, "tolerance": 1e-6,
}  # fmt: skip


def exact_values(world: World, place: Position, schemes: list[Scheme], tolerance: float) -> list[dict[str, float]]:
    """For every scheme the exact reward and p_accept of the enumerated next step."""
    instance = enumerate_position(world, place, tolerance).instance
    laws = gsi_laws(instance, schemes)
    return [{"reward": float(law.expectation(instance.reward)), "p_accept": float(law.p_accept)} for law in laws]


def resolved(table: dict[str, list[Any]]) -> NDArray[np.bool_]:
    """Cells whose z may be near normal: what is measured varies by several times what one rare run would move it by."""
    return np.array(table["measured_se"]) >= 3.0 * np.array(table["one_run"])


def run(
    world: World, seed: int, out: Path, settings: dict[str, str], progress: Callable[[int, int], None], command: str
) -> Path:
    """Write the artifact; settings betas, ns, threshold, problems (one position each), candidates (of each source in
    the pool), runs (fresh runs), exact (1: enumerate, which needs transformers models of a small vocabulary), tolerance
    (mass the enumeration may leave out)."""
    chosen = read_settings(settings, DEFAULTS)
    schemes = scheme_grid(chosen["betas"], chosen["ns"], ("softmax", "race"), chosen["threshold"])
    embedded = world.task.name == "arithmetic"
    places = checked_positions(world, seed, chosen["problems"]) if embedded else positions_of(world, chosen["problems"], seed)
    if chosen["exact"]:
        transformers_pair(world)
    table: dict[str, list[Any]] = {}
    for done, place in enumerate(places, start=1):
        rows, _ = position_cells(world, place, schemes, chosen["candidates"], chosen["runs"], seed)
        exact = exact_values(world, place, schemes, chosen["tolerance"]) if chosen["exact"] else []
        known = {(e.rule, e.threshold is not None and e.gate, e.beta, e.n): x for e, x in zip(schemes, exact, strict=False)}
        for row in rows:
            at = known.get((row["rule"], row["gate"] if row["gate"] != "none" else False, row["beta"], row["n"]), {})
            for name, value in (row | {"exact": at.get(row["quantity"])}).items():
                table.setdefault(name, []).append(value)
        progress(done, len(places))
    return write_artifact(out, "lm_prediction", provenance(command, seed), _summary(table, chosen), {"cells": table})
