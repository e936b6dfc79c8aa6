"""Does half a pool predict what fresh runs measure, on any pair of models? Artifact `lm_prediction`.

At each of many problems a pool is collected; half of it predicts mean reward, acceptance, accuracy and length of the
step under every scheme (M31), and the models run afresh (other streams). Predictions are unbiased, so for every scheme
and quantity the differences prediction - measurement over problems have mean 0: Student's t judges each, its error
taken from the differences themselves, so that what no pool has seen is in it; Holm corrects over all at 1 %.

Cells of single problems have z-scores of their own; those that vary enough are held against the standard normal law,
and so are the two halves of the pool against each other (no fresh run in it: the prediction's error alone).

The full bar: gsi check lm_prediction --set problems=100 --set rules=softmax --set betas=0.5,2 --set ns=1,4,16,64
--set candidates=4000 --set runs=500 --set exact=0
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
from gsi_theory.errors import InputError
from gsi_theory.laws.gate import gsi_laws
from gsi_theory.runs.artifact import provenance, write_artifact
from gsi_theory.types import Json, Record
from llm_check.logs.mean_prediction import scheme_grid
from llm_check.models.checks.check_settings import read_settings
from llm_check.models.checks.check_table import CHECKS
from llm_check.models.checks.fresh_run_cells import position_cells
from llm_check.models.checks.places import places_of, require_room
from llm_check.models.checks.significance import calibration, holm, mean_difference
from llm_check.models.decoding.positions import Position
from llm_check.models.tiny.exact_steps import enumerate_position, is_enumerable
from llm_check.models.world import World, transformers_pair, world_record

__all__ = ["DEFAULTS", "LEVEL", "exact_values", "resolved", "run"]

DEFAULTS = CHECKS["lm_prediction"].defaults
LEVEL = 0.01
_KEYS = ("rule", "gate", "beta", "n", "quantity")
Table = dict[str, list[Json]]


def exact_values(world: World, place: Position, schemes: list[Scheme], tolerance: float) -> list[dict[str, float]]:
    """For every scheme the exact reward and p_accept of the enumerated next step."""
    instance = enumerate_position(world, place, tolerance).instance
    laws = gsi_laws(instance, schemes)
    return [{"reward": float(law.expectation(instance.reward)), "p_accept": float(law.p_accept)} for law in laws]


def resolved(table: Table, witness: str) -> NDArray[np.bool_]:
    """Cells whose score may be near normal: values vary by several times what one rare run would move a mean by.

    `witness` ("other_half" or "measured") says who judges both the error and the range: one that is independent of
    the two numbers compared, for cells picked because they came out far apart are no fair sample. It is the other half
    for prediction against measurement, and the measurement for half against half.
    """
    one = np.array(table[witness + "_one"])
    return (one > 0) & (np.array(table[witness + "_se"]) >= 3.0 * one)


def run(
    world: World, seed: int, out: Path, settings: dict[str, str], progress: Callable[[int, int], None], command: str
) -> Path:
    """Write the artifact; settings rules, betas, ns, threshold, problems (one position each), candidates (of each
    source in the pool, half of which predict), runs (fresh runs), exact (so many problems are also enumerated, which
    needs transformers models; the default only where all steps can be listed), tolerance (mass the enumeration may
    leave out)."""
    chosen = read_settings(settings, DEFAULTS)
    schemes = scheme_grid(chosen["betas"], chosen["ns"], chosen["rules"], chosen["threshold"])
    most = max(max(s.n, s.base_draws) for s in schemes)
    if chosen["candidates"] < 4 * most or chosen["problems"] < 2 or chosen["runs"] < 2:
        raise InputError(
            f"{chosen['candidates']} candidates, {chosen['problems']} problems, {chosen['runs']} runs: give {4 * most} "
            f"candidates for n = {most} (half of them predict), and at least 2 problems and 2 runs"
        )
    if "exact" not in settings and not is_enumerable(world):
        chosen["exact"] = 0
    if chosen["exact"] > 0:
        transformers_pair(world)
    places = places_of(world, seed, chosen["problems"])
    require_room(world, places, chosen["candidates"], f"candidates = {chosen['candidates']}")
    require_room(world, places, chosen["runs"] * most, f"runs = {chosen['runs']} of n = {most}")
    table: Table = {}
    for done, place in enumerate(places, start=1):
        exact = exact_values(world, place, schemes, chosen["tolerance"]) if done <= chosen["exact"] else None
        for s, row in position_cells(world, place, schemes, chosen["candidates"], chosen["runs"], seed):
            row["exact"] = None if exact is None else exact[s].get(row["quantity"])
            for name, value in row.items():
                table.setdefault(name, []).append(value)
        progress(done, len(places))
    means = _means(table)
    summary = _summary(means, table) | {key: chosen[key] for key in ("threshold", "candidates", "runs", "exact")}
    summary["world"] = world_record(world)
    tables = {"cells": means, "problems": table}
    return write_artifact(out, "lm_prediction", provenance(command, seed), summary, tables)


def _means(table: Table) -> Table:
    """Every scheme and quantity over the problems that have it; z is the normal score of the same p-value."""
    groups: dict[tuple[Any, ...], list[int]] = {}
    for i, key in enumerate(zip(*(table[name] for name in _KEYS), strict=True)):
        groups.setdefault(key, []).append(i)
    means: Table = {}
    for key, members in groups.items():
        if len(members) < 2:  # accuracy, where only one problem's solution ended
            continue
        predicted, predicted_se, measured, measured_se = (
            np.array([table[name][i] for i in members])
            for name in ("predicted", "predicted_se", "measured", "measured_se")
        )
        mean = mean_difference(predicted - measured)
        exact = [table["exact"][i] for i in members]
        own, fresh = (float(np.sqrt(np.mean(e**2) / len(members))) for e in (predicted_se, measured_se))
        row = dict(zip(_KEYS, key, strict=True)) | {
            "predicted": float(predicted.mean()),
            "predicted_se": own,
            "measured": float(measured.mean()),
            "measured_se": fresh,
            "exact": None if None in exact else float(np.mean(exact)),
            "problems": len(members),
            "difference": mean.mean,
            "stderr": mean.stderr,
            "p_value": mean.p_value,
            "z": float(np.copysign(stats.norm.isf(max(mean.p_value, 1e-300) / 2), mean.mean)),
        }
        for name, value in row.items():
            means.setdefault(name, []).append(value)
    means["p_holm"] = holm(np.array(means["p_value"])).tolist()
    return means


def _summary(means: Table, table: Table) -> Record:
    z, adjusted = np.array(means["z"]), np.array(means["p_holm"])
    worst = int(adjusted.argmin())
    summary: Record = {
        "worst_abs_z": float(np.abs(z).max()),
        "comparisons": z.size,
        "level": LEVEL,
        # The line of the figure: |z| beyond which one comparison fails at this level among all.
        "bonferroni_bound": float(stats.norm.isf(LEVEL / (2 * z.size))),
        "worst_p_holm": float(adjusted.min()),
        "worst": {name: means[name][worst] for name in (*_KEYS, "difference")},
        "passed": bool(adjusted.min() > LEVEL),
        "positions": len(set(table["problem_id"])),
        "quantities": sorted(set(means["quantity"])),
    }
    cluster = np.unique(table["problem_id"], return_inverse=True)[1]
    compared = (("calibration", "z", "other_half"), ("halves_calibration", "split_z", "measured"))
    for name, column, witness in compared:
        scores = np.array([np.nan if value is None else value for value in table[column]], dtype=np.float64)
        known = resolved(table, witness) & np.isfinite(scores)
        if len(set(cluster[known].tolist())) >= 2:
            summary[name] = asdict(calibration(scores[known], cluster[known]))
    summary["z_variance"] = summary.get("calibration", {}).get("variance")
    return summary
