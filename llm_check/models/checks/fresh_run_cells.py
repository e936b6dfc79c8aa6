"""Predicted against measured at one position: half of a pool predicts, the other half predicts too, fresh runs measure.

A cell is one quantity of one scheme at one position. Quantities: "reward", "length" (tokens of the step),
"accuracy" (the step is right by the task's checker; without one, the solution that it ends is right), "p_accept".
The predicted law gives the error of a measurement: the measured runs' own deviation would be 0 wherever an unlikely
step happened not to be seen. What neither pool nor runs have seen has no error bar, so a single cell's z is honest only
where outcomes vary; verdicts are on means over problems (`llm_check.models.checks.fresh_runs`).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from gsi_theory import Candidates, Scheme
from gsi_theory.types import Floats, Record
from llm_check.logs.pools.pool import Pool, pool_from_columns
from llm_check.logs.prediction import PositionPrediction, predict_position
from llm_check.models.collecting.collect import candidates_table
from llm_check.models.decoding.fresh_runs_of_step import StepMeasurement, measure_step
from llm_check.models.decoding.positions import Position
from llm_check.models.decoding.reasoning_steps import PAD
from llm_check.models.grading.judging import Judges
from llm_check.models.world import World

__all__ = ["FRESH", "RATES", "Half", "halves", "position_cells", "step_values"]

FRESH = 1_000_003  # added to the seed of the pool, so that the fresh runs share no stream with it
RATES = ("accuracy", "p_accept")


@dataclass(frozen=True)
class Half:
    """Half of a position's candidates: both sources, and the values of each, name -> (N,)."""

    draft: Candidates
    base: Candidates
    draft_values: dict[str, Floats]
    base_values: dict[str, Floats]


def _pool_values(pool: Pool, key: tuple[str, int], source: str) -> dict[str, Floats]:
    """Length, and accuracy where every candidate of the position has one."""
    values = {"length": np.asarray(pool.column(*key, source, "n_tokens"), dtype=np.float64)}
    for name in ("gold_reward", "correct"):
        if name in pool.table.column_names and "accuracy" not in values:
            given = pool.column(*key, source, name)
            if not any(value is None or value != value for value in given):
                values["accuracy"] = np.asarray(given, dtype=np.float64)
    return values


def halves(pool: Pool, key: tuple[str, int]) -> tuple[Half, Half]:
    """The even and the odd candidates of a position."""
    made = []
    sets = {"draft": pool.draft_candidates(*key), "base": pool.base_candidates(*key)}
    values = {source: {"reward": c.reward, **_pool_values(pool, key, source)} for source, c in sets.items()}
    shared = values["draft"].keys() & values["base"].keys()
    for start in (0, 1):
        own = {}
        for source, c in sets.items():
            reward, ratio = c.reward[start::2], c.log_ratio[start::2]
            own[source] = Candidates(np.full(reward.size, -np.log(reward.size)), reward, ratio)
        cut = {s: {name: v[start::2] for name, v in values[s].items() if name in shared} for s in sets}
        made.append(Half(own["draft"], own["base"], cut["draft"], cut["base"]))
    return made[0], made[1]


def step_values(world: World, place: Position, fresh: StepMeasurement) -> dict[str, Floats]:
    """The values of the M distinct steps that fresh runs took, as `halves` names them."""
    steps, tokenizer = fresh.steps, world.draft.tokenizer
    values = {"reward": fresh.step_reward, "length": (steps != PAD).sum(axis=1).astype(np.float64)}
    judges = Judges(world.task.check_step, world.task.grade, world.max_steps)
    texts = [str(tokenizer.decode(row[row != PAD].tolist())) for row in steps]
    gold = judges.gold(place, texts)
    if gold is not None:
        return values | {"accuracy": gold}
    ends = [world.rule.cut(row[row != PAD].tolist())[1] == "eos" for row in steps]
    correct = judges.correct(tokenizer, place, steps, ends)
    if correct is not None and None not in correct:
        values["accuracy"] = np.array([float(bool(c)) for c in correct])
    return values


def _predicted(half: Half, names: Sequence[str], schemes: Sequence[Scheme]) -> tuple[PositionPrediction, Floats]:
    """Predictions of the values `names`, and the deviation (S, V) of one run's value under the predicted law."""
    means = [name for name in names if name not in RATES]
    stacked = []
    for values in (half.draft_values, half.base_values):
        stacked.append(np.stack([values[name] for name in names] + [values[name] ** 2 for name in means]))
    prediction = predict_position(half.draft, half.base, schemes, (stacked[0], stacked[1]))
    value, squares = prediction.value[:, : len(names)], prediction.value[:, len(names) :]
    spread = np.empty_like(value)
    for v, name in enumerate(names):
        second = squares[:, means.index(name)] if name in means else value[:, v]
        spread[:, v] = np.sqrt(np.maximum(second - value[:, v] ** 2, 0.0))
    return PositionPrediction(
        value, prediction.stderr[:, : len(names)], prediction.p_accept, prediction.p_accept_se
    ), spread


def _z(gap: float, spread: float) -> float:
    """gap/spread; where nothing varies, 0 for agreement to rounding and infinity otherwise."""
    if spread > 0:
        return float(gap / spread)
    return 0.0 if abs(gap) <= 1e-12 else float(np.copysign(np.inf, gap))


@dataclass(frozen=True)
class Measured:
    """Of one quantity and scheme: the mean over runs, its error by the runs, and one run's worth (what a single rare
    event moves the mean by): by all values known, by those of the other half alone, by those of the runs alone."""

    mean: float
    error: float
    one: float
    other_one: float
    own_one: float


def _measured(values: Floats, *spreads: float) -> Measured:
    runs = values.size
    one, other, own = (spread / runs for spread in spreads)
    return Measured(float(values.mean()), float(values.std(ddof=1) / np.sqrt(runs)), one, other, own)


def _cell(name: str, predicted: tuple[float, float, float], measured: Measured, runs: int) -> Record:
    """One cell; predicted = (value, standard error, deviation of one run)."""
    value, error, deviation = predicted
    # One run's worth stands in for what neither the pool nor the runs have seen.
    noise = float(np.sqrt(deviation**2 / runs + measured.one**2))
    z = _z(value - measured.mean, float(np.hypot(error, noise)))
    return {
        "quantity": name,
        "predicted": value,
        "predicted_se": error,
        "measured": measured.mean,
        "measured_se": measured.error,
        "z": z if np.isfinite(z) else None,
        "one_run": measured.one,
        "other_half_one": measured.other_one,
        "measured_one": measured.own_one,
    }


def position_cells(
    world: World, place: Position, schemes: Sequence[Scheme], candidates: int, runs: int, seed: int
) -> Iterator[tuple[int, Record]]:
    """(scheme's number, cell) of every cell of one position. `candidates` of each source are in the whole pool."""
    judges = Judges(world.task.check_step, world.task.grade, world.max_steps)
    table = candidates_table(world.models, [place], (candidates, candidates), world.rule, seed, judges)
    key = (place.prompt_id, place.step)
    first, second = halves(pool_from_columns(_columns(table)), key)
    fresh = measure_step(world.draft, world.base, world.reward_model, place, runs, schemes, world.rule, seed + FRESH)
    seen = step_values(world, place, fresh)
    names = [name for name in first.draft_values if name in seen]
    (mine, deviation), (other, other_deviation) = (_predicted(half, names, schemes) for half in (first, second))
    for s, scheme in enumerate(schemes):
        for name, predicted, again, measured in _quantities(
            s, names, mine, other, (deviation, other_deviation), seen, fresh, (first, second)
        ):
            cell = _cell(name, predicted, measured, runs)
            split = _z(predicted[0] - again[0], float(np.hypot(predicted[1], again[1])))
            yield (
                s,
                {
                    "problem_id": place.prompt_id,
                    "step": place.step,
                    "rule": scheme.rule,
                    "gate": "none" if scheme.threshold is None else scheme.gate,
                    "beta": scheme.beta,
                    "n": scheme.n,
                    **cell,
                    "split_z": split if np.isfinite(split) else None,
                    "other_half_se": again[2] / np.sqrt(runs),
                },
            )


def _columns(table: pa.Table) -> Record:
    return {name: table[name].combine_chunks() for name in table.column_names}


def _quantities(
    s: int,
    names: Sequence[str],
    mine: PositionPrediction,
    other: PositionPrediction,
    deviations: tuple[Floats, Floats],
    seen: dict[str, Floats],
    fresh: StepMeasurement,
    parts: tuple[Half, Half],
) -> Iterator[tuple[str, tuple[float, float, float], tuple[float, float, float], Measured]]:
    """(name, predicted, predicted by the other half, measured) of every quantity of scheme s."""
    for v, name in enumerate(names):
        first, second = (np.concatenate([half.draft_values[name], half.base_values[name]]) for half in parts)
        known = (np.concatenate([first, seen[name]]), second, seen[name])
        predicted, again = (
            (float(at.value[s, v]), float(at.stderr[s, v]), float(deviation[s, v]))
            for at, deviation in zip((mine, other), deviations, strict=True)
        )
        yield name, predicted, again, _measured(seen[name][fresh.selected[s]], *(float(np.ptp(v)) for v in known))
    if fresh.schemes[s].threshold is not None:
        predicted, again = (
            (rate, float(at.p_accept_se[s]), float(np.sqrt(max(rate * (1.0 - rate), 0.0))))
            for at in (mine, other)
            for rate in (float(at.p_accept[s]),)
        )
        yield "p_accept", predicted, again, _measured(fresh.accepted[s].astype(np.float64), 1.0, 1.0, 1.0)
