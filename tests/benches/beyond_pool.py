"""Are bounds and a model's intervals beyond a log's draws right? `python -m tests.benches.beyond_pool`.

Worlds are laws of difficulties (pass@n) or of the value by the reward's rank (best-of-n accuracy), of which the truth
at every n is known. Certain bounds: the share of logs whose bounds at 95 % hold the truth at 2N and 4N. The model: a
log of N draws a prompt is cut to half and to a quarter; from the part alone pass@N is asked, and counted how often
there is an answer, and how often its 90 % interval holds the truth, and what the whole log shows. Worlds marked * are
laws the model can describe.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer
from scipy.special import expit, ndtri

from gsi_theory.runs.artifact import provenance, write_artifact
from gsi_theory.runs.progress import Report, progress_bar
from gsi_theory.samples.beyond_pool import Beyond, beyond_best, beyond_pass
from gsi_theory.types import Floats

__all__ = ["RANKED", "WORLDS", "measured_best", "measured_pass"]

Law = Callable[[np.random.Generator, int], Floats]


@dataclass(frozen=True)
class PassWorld:
    """law: difficulties of prompts; specified: whether the model holds it."""

    name: str
    law: Law
    specified: bool


def _atoms(rng: np.random.Generator, count: int) -> Floats:
    return np.where(rng.random(count) < 0.3, 0.0, rng.beta(0.5, 2.0, count))


def _two_betas(rng: np.random.Generator, count: int) -> Floats:
    return np.where(rng.random(count) < 0.5, rng.beta(1.0, 20.0, count), rng.beta(5.0, 2.0, count))


WORLDS = (
    PassWorld("*Beta(0.3, 1)", lambda rng, count: rng.beta(0.3, 1.0, count), True),
    PassWorld("*Beta(2, 3)", lambda rng, count: rng.beta(2.0, 3.0, count), True),
    PassWorld("*Beta(0.1, 0.4)", lambda rng, count: rng.beta(0.1, 0.4, count), True),
    PassWorld("*30 % unsolvable", _atoms, True),
    PassWorld("two difficulties", lambda rng, count: np.where(rng.random(count) < 0.5, 0.05, 0.6), False),
    PassWorld("logit-normal", lambda rng, count: expit(rng.normal(-2.0, 2.0, count)), False),
    PassWorld("two Betas", _two_betas, False),
    PassWorld("hard, alike", lambda rng, count: np.full(count, 0.02), False),
)
# accuracy at the standing u of the reward, 1 the largest, for a prompt of level z
RANKED: dict[str, Callable[[Floats, Floats], Floats]] = {
    "rising": lambda u, z: expit(z + ndtri(u)),
    "flat": lambda u, z: expit(z + 0.0 * u),
    "turns down": lambda u, z: expit(z + 1.5 * ndtri(u)) * (1.0 - 0.7 * u**12),
}


def measured_pass(
    world: PassWorld, prompts: int, draws: int, logs: int, seed: int, report: Report
) -> list[dict[str, Any]]:
    """One row a log and question: kind (sure, half, quarter), answered, covered (the truth), shown (the log's mean)."""
    rng = np.random.default_rng([seed, draws, prompts, [w.name for w in WORLDS].index(world.name)])
    many, found = world.law(rng, 400_000), []
    for log in range(logs):
        p = world.law(rng, prompts)
        order = rng.random((prompts, draws)) < p[:, None]
        right = order.sum(axis=1)
        size = np.full(prompts, draws)
        for one in beyond_pass(size, right, [2 * draws, 4 * draws], rng):
            truth = float(np.mean(1.0 - (1.0 - many) ** one.n))
            low, high = _sure(one)
            found.append({"kind": f"sure, {one.n // draws} N", "answered": True, "covered": low <= truth <= high,
                          "shown": True, "width": high - low})  # fmt: skip
        truth, there = float(np.mean(1.0 - (1.0 - many) ** draws)), float(np.mean(right > 0))
        for kind, part in (("half", 2), ("quarter", 4)):
            cut = order[:, : draws // part].sum(axis=1)
            one = beyond_pass(size // part, cut, [draws], rng, sure=None)[0]
            found.append(_model_row(kind, one, truth, there))
        report(log + 1, logs)
    return found


def measured_best(name: str, prompts: int, draws: int, logs: int, seed: int, report: Report) -> list[dict[str, Any]]:
    """As `measured_pass`, of best-of-n accuracy; the truth by a fine grid of standings."""
    rng = np.random.default_rng([seed, draws, prompts, 100 + list(RANKED).index(name)])
    levels, law, found = rng.normal(-0.5, 1.0, 4000), RANKED[name], []
    u = (np.arange(400) + 0.5) / 400

    def truth(n: int) -> float:
        return float(np.mean(law(u[:, None] ** (1.0 / n), levels)))

    for log in range(logs):
        z = rng.normal(-0.5, 1.0, prompts)[:, None]
        standing = rng.random((prompts, draws))
        right = (rng.random((prompts, draws)) < law(standing, z)).astype(np.float64)

        def ordered(count: int, standing: Floats = standing, right: Floats = right) -> list[Floats]:
            return [r[:count][np.argsort(s[:count])] for s, r in zip(standing, right, strict=True)]

        for one in beyond_best(ordered(draws), [2 * draws], rng, "correct", (0.0, 1.0)):
            low, high = _sure(one)
            found.append({"kind": "sure, 2 N", "answered": True, "covered": low <= truth(one.n) <= high, "shown": True,
                          "width": high - low})  # fmt: skip
        there = float(np.mean([r[-1] for r in ordered(draws)]))
        for kind, part in (("half", 2), ("quarter", 4)):
            one = beyond_best(ordered(draws // part), [draws], rng, "correct", (0.0, 1.0), sure=None)[0]
            found.append(_model_row(kind, one, truth(draws), there))
        report(log + 1, logs)
    return found


def _sure(one: Beyond) -> tuple[float, float]:
    assert one.guaranteed_low is not None and one.guaranteed_high is not None
    return one.guaranteed_low, one.guaranteed_high


def _model_row(kind: str, one: Beyond, truth: float, there: float) -> dict[str, Any]:
    if one.low is None or one.high is None:
        return {"kind": kind, "answered": False, "covered": False, "shown": False, "width": None}
    inside = [bool(one.low <= x <= one.high) for x in (truth, there)]
    return {"kind": kind, "answered": True, "covered": inside[0], "shown": inside[1], "width": one.high - one.low}


def main(
    logs: Annotated[int, typer.Option(min=1, help="Logs of each world.")] = 40,
    prompts: Annotated[int, typer.Option(min=2, help="Prompts of a log.")] = 100,
    draws: Annotated[int, typer.Option(min=16, help="Draws of a prompt.")] = 64,
    seed: Annotated[int, typer.Option(min=0, help="Seed of every random stream.")] = 0,
    out: Annotated[Path | None, typer.Option(help="Artifact to write.")] = None,
) -> None:
    """Coverage beyond N, by world."""
    rows: list[dict[str, Any]] = []
    with progress_bar("beyond") as report:
        for world in WORLDS:
            for row in measured_pass(world, prompts, draws, logs, seed, report):
                rows.append({"world": world.name, "value": "pass", "specified": world.specified, **row})
        for name in RANKED:
            for row in measured_best(name, prompts, draws, logs, seed, report):
                rows.append({"world": name, "value": "best", "specified": False, **row})
    summary: dict[str, Any] = {}
    for value, kind in dict.fromkeys((r["value"], r["kind"]) for r in rows):
        for world in dict.fromkeys(r["world"] for r in rows if r["value"] == value):
            print(
                f"{value:<5} {kind:<10} {world:<18}",
                _said([r for r in rows if (r["world"], r["kind"]) == (world, kind)]),
            )
        summary[f"{value}, {kind}"] = _said([r for r in rows if (r["value"], r["kind"]) == (value, kind)])
        print(f"{value:<5} {kind:<10} {'ALL':<18}", summary[f"{value}, {kind}"])
    specified = [r for r in rows if r["specified"] and r["kind"] in ("half", "quarter")]
    summary["well specified"] = _said(specified)
    print("well specified, halves and quarters:", summary["well specified"])
    if out is not None:
        command = f"python -m tests.benches.beyond_pool --logs {logs} --prompts {prompts} --draws {draws} --seed {seed}"
        table = {key: [row[key] for row in rows] for key in rows[0]}
        write_artifact(out, "bench_beyond_pool", provenance(command, seed), summary, {"logs": table})


def _said(rows: list[dict[str, Any]]) -> str:
    told = [r for r in rows if r["answered"]]
    if not told:
        return f"answered 0 of {len(rows)}"
    shares = [100.0 * float(np.mean([r[key] for r in told])) for key in ("covered", "shown")]
    width = float(np.mean([r["width"] for r in told]))
    return (
        f"answered {len(told)} of {len(rows)}, truth inside {shares[0]:.1f} %, log's mean {shares[1]:.1f} %, "
        f"width {width:.3f}"
    )


if __name__ == "__main__":
    typer.run(main)
