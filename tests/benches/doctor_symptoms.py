"""How often `doctor` finds and names the symptoms of people's logs: `python -m tests.benches.doctor_symptoms`.

Symptoms (`tests.plants.log_faults`) × steps of about 100 tokens or a few × both sources or drafts only × with tokens
or whole steps; logs of one model apart. Found: a finding of an id that names it, or for a wrong temperature any
finding that the numbers are of another law; named: no other error is made; open: the right one of two causes, of
which the finding says that the log does not decide between them. Clean logs: any error or warning but heavy_tail and
truncated_steps, and what is true of the log's world (`facts_of_world`), is an alarm. Of a wrong temperature, and of
stopping at success, only those seeds count whose logs hold information (`told`). A cell with no information has the
reason beside it (`NONE`), and is not counted.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
from scipy.stats import hypergeom

from gsi_theory.runs.artifact import provenance, write_artifact
from gsi_theory.runs.progress import progress_bar
from llm_check.logs.faults.short_solutions import length_correlation
from llm_check.logs.log import log_of_file
from llm_check.logs.pools.diagnosis import Diagnosis, diagnose
from llm_check.logs.pools.evidence import LOG_E
from llm_check.logs.pools.pool import pool_from_columns
from llm_check.logs.pools.pool_files import TableFile
from llm_check.logs.pools.prefix_counts import token_draws
from llm_check.logs.pools.schema import SOURCES
from llm_check.logs.pools.tokens import FEWER, KEPT, MORE, check_draws
from tests.plants.log_faults import ONE_MODEL_PLANTS, PLANTS, LongWorld, drafts_only, one_log, short_log
from tests.plants.pool_faults import Columns, drop_texts

__all__ = ["NONE", "cells", "judged", "run"]

STAKES = np.linspace(0.01, 0.99, 50)
LEAST_GAIN = 11.0  # nats: 6.9 to be found, and 4 that a bet not known beforehand costs
LEAST_OF_WORLD = -0.45  # the finding's own bar is -0.5
FACTS = {"heavy_tail", "truncated_steps", "tempered_law"}  # of models, no faults
TEMPERATURE = ("temperature_mismatch", "context_mismatch")
BOTH = ("temperature_mismatch", "truncated_sampling")
COLD = {"drawn at 0.7, scored at 1": (0.7, 1.0), "drawn at 1, scored at 0.7": (1.0, 0.7)}
# what only ratios tell of whole steps without repeats, and counts of tokens
BY_RATIO = {*COLD, "log-probs divided by 0.7"}
# (symptom, steps, sources, log) -> why nothing can tell; None stands for any
NONE: dict[tuple[str, str | None, str | None, str | None], str] = {
    ("base copies draft", None, "drafts", None): "there are no base rows",
    ("products of scores", "short", None, None): "steps of one score: its product is the score",
    ("end of one side", None, None, "steps"): "a base without its last token is a law like another; tokens tell",
}


@lru_cache(maxsize=8)
def _made(steps: str, seed: int, temperature: float, scored: float) -> Columns:
    if steps == "long":
        return LongWorld().columns(seed, temperature, scored)
    return short_log(seed, temperature)


def diagnosis_of(columns: Columns, metadata: dict[str, Any] | None = None) -> Diagnosis:
    """Of a log of two models, or one where it has no source."""
    if "logp_draft" in columns:
        return diagnose(pool_from_columns(columns))
    return diagnose(log_of_file(Path("log"), TableFile(pa.table(columns), metadata or {}, None, ()), strict=True))


def told(symptom: str, log: str, columns: Columns) -> bool:
    """Whether a log of a wrong temperature, or stopped at success, holds information at all.

    Whole steps: the best bet on the ratios in hindsight, of one fixed stake, gains LEAST_GAIN nats with some source
    (M45). Tokens: likewise of the counts at shared prefixes (M34), the best temperature and best odds of new tokens.
    Stopping: by chance the successes would stand as they do with a probability below LEVEL.
    """
    if symptom == "stopped at success":
        return bool(_surprise_of_order(columns) > LOG_E)
    if symptom not in BY_RATIO:
        return True
    arrays = pool_from_columns(columns).arrays
    if log == "tokens":
        checks = [check_draws(token_draws(arrays, source, source)) for source in SOURCES]
        gains = [
            c.temperature_gain + max(c.log_e_more + np.log(len(MORE)), c.log_e_fewer + np.log(len(FEWER) + len(KEPT)))
            for c in checks
            if c is not None
        ]
        return max(gains, default=0.0) > LEAST_GAIN
    best = 0.0
    for base in (False, True):
        ratio = arrays.log_ratio[arrays.is_base == base] * (-1.0 if base else 1.0)
        best = max(best, *(float(np.logaddexp(np.log1p(-x), np.log(x) + ratio).sum()) for x in STAKES))
    return best > LEAST_GAIN


def _surprise_of_order(columns: Columns) -> float:
    """-log of the chance that, of each set's draws in random order, all successes fall into its last four."""
    sets: dict[Any, list[float]] = {}
    names = [columns[name] for name in ("prompt_id", "step", "source") if name in columns]
    for key, reward in zip(zip(*names, strict=True), columns["reward"], strict=True):
        sets.setdefault(key, []).append(reward)
    drawn = [(len(rewards), int(sum(rewards))) for rewards in sets.values()]
    return float(-sum(hypergeom.logpmf(hits, size, hits, 4) for size, hits in drawn if hits))


class Outcome(NamedTuple):
    """Of one log: whether the symptom is found, named, or one of two that are said to be undecided, and all ids."""

    found: bool
    named: bool
    open: bool
    ids: list[str]


def facts_of_world(steps: str, seed: int) -> set[str]:
    """Ids that are true of the world of a clean log, and no fault of the log. In some worlds of short steps, whose
    rewards are means of a taste for each token, rewards do fall with length: four times as many draws say so."""
    if steps != "short":
        return set()
    many = short_log(seed, draws=96)
    reward, length = (np.array(many[name], dtype=float) for name in ("reward", "n_tokens"))
    prompt = np.unique(np.array(many["prompt_id"]), return_inverse=True)[1]
    return {"short_favored"} if length_correlation(reward, length, prompt)[0] < LEAST_OF_WORLD else set()


def judged(columns: Columns, wanted: tuple[str, ...]) -> Outcome:
    """What doctor makes of a log whose symptom is called one of `wanted`."""
    findings = diagnosis_of(columns).findings
    ids = {f.id for f in findings}
    errors = {f.id for f in findings if f.severity == "error"}
    found = bool(ids & set(wanted)) if wanted else bool(ids - FACTS)
    named = found and errors <= set(wanted)
    undecided = any("undecided" in e for f in findings for e in f.evidence.values() if isinstance(e, dict))
    open_ = found and not named and undecided and errors <= {*wanted, *BOTH}
    return Outcome(found, named, open_, sorted(ids - FACTS))


def cells() -> Iterator[tuple[str, str, str, str, tuple[str, ...]]]:
    """(symptom, steps, sources, log, ids that name it); "clean" has none."""
    names: dict[str, tuple[str, ...]] = (
        {"clean": ()} | {k: TEMPERATURE for k in COLD} | {k: v[0] for k, v in PLANTS.items()}
    )
    for symptom, wanted in names.items():
        for steps in ("long", "short"):
            if symptom == "drawn at 1, scored at 0.7" and steps == "short":
                continue  # what short_log draws it scores at 1
            for sources in ("both", "drafts"):
                for log in ("tokens", "steps"):
                    yield symptom, steps, sources, log, wanted
    for symptom, wanted in (
        {"clean": (), "clean, right or wrong": ()} | {k: v[0] for k, v in ONE_MODEL_PLANTS.items()}
    ).items():
        for log in ("text", "numbers"):
            yield symptom, "one model", "one", log, wanted


def log_of(symptom: str, steps: str, sources: str, log: str, seed: int) -> Columns:
    """The columns of one cell."""
    rng = np.random.default_rng([seed, 7])
    if sources == "one":
        columns = one_log(seed, symptom == "clean, right or wrong")
        if log == "numbers":
            columns.pop("text")
        return ONE_MODEL_PLANTS[symptom][1](columns, rng) if symptom in ONE_MODEL_PLANTS else columns
    columns = _made(steps, seed, *COLD.get(symptom, (1.0, 1.0)))
    plant = PLANTS[symptom][1] if symptom in PLANTS else lambda c, rng: c
    # copies are of both sources' rows, all else is planted in what is left
    if sources == "drafts":
        columns = drafts_only(columns)
    columns = plant(columns, rng)
    if sources == "drafts":
        columns = drafts_only(columns)
    return columns if log == "tokens" else drop_texts(columns)


def why_none(symptom: str, steps: str, sources: str, log: str) -> str:
    """Why a cell holds no information, "" where it does."""
    for (name, *rest), why in NONE.items():
        if name == symptom and all(r is None or r == v for r, v in zip(rest, (steps, sources, log), strict=True)):
            return why
    return ""


def run(
    seeds: int,
    out: Path | None = None,
    only: str = "",
    first: int = 0,
    log: str = "",
) -> list[dict[str, Any]]:
    """One row a cell, of symptoms that hold `only` and logs that hold `log`; artifact `bench_doctor_symptoms`."""
    every = [cell for cell in cells() if only in cell[0] and log in cell[3]]
    results: dict[Any, list[tuple[Outcome, bool]]] = {cell: [] for cell in every}
    with progress_bar("symptoms") as report:
        for seed in range(first, first + seeds):  # cells of one seed share their worlds
            for cell in every:
                columns = log_of(*cell[:4], seed)
                outcome = judged(columns, cell[4])
                if outcome.found and not cell[4]:
                    left = sorted(set(outcome.ids) - facts_of_world(cell[1], seed))
                    outcome = outcome._replace(found=bool(left), named=bool(left), ids=left)
                results[cell].append((outcome, told(cell[0], cell[3], columns)))
            _made.cache_clear()
            report(seed - first + 1, seeds)
    rows: list[dict[str, Any]] = []
    for (symptom, steps, sources, kept, wanted), of_cell in results.items():
        others = sorted({i for r, _ in of_cell for i in r.ids} - set(wanted))
        rows.append({
            "symptom": symptom, "steps": steps, "sources": sources, "log": kept, "seeds": seeds,
            "told": sum(told for _, told in of_cell), "found": sum(r.found and told for r, told in of_cell),
            "named": sum(r.named and told for r, told in of_cell), "open": sum(r.open and told for r, told in of_cell),
            "found_untold": sum(r.found and not told for r, told in of_cell),
            "open_untold": sum(r.open and not told for r, told in of_cell),
            "none": why_none(symptom, steps, sources, kept),
            "others": ", ".join(f"{i} {sum(i in r.ids for r, _ in of_cell)}" for i in others),
        })  # fmt: skip
    if out is not None:
        command = f"python -m tests.benches.doctor_symptoms --seeds {seeds} --first {first}"
        wanted_rows = [r for r in rows if not r["symptom"].startswith("clean") and not r["none"]]
        clean = [r for r in rows if r["symptom"].startswith("clean")]
        summary = {
            "least_found_share": min((r["found"] / r["told"] for r in wanted_rows if r["told"]), default=1.0),
            "least_named_share": min((r["named"] / r["told"] for r in wanted_rows if r["told"]), default=1.0),
            "least_named_or_open_share": min(
                ((r["named"] + r["open"]) / r["told"] for r in wanted_rows if r["told"]), default=1.0
            ),
            "most_alarm_share": max((r["found"] / seeds for r in clean), default=0.0),
        }
        table = {key: [row[key] for row in rows] for key in rows[0]}
        write_artifact(out, "bench_doctor_symptoms", provenance(command, first), summary, {"cells": table})
    return rows


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=100)
    parser.add_argument("--first", type=int, default=0)
    parser.add_argument("--only", default="")
    parser.add_argument("--out", type=Path, default=Path("report/bench_doctor_symptoms.json"))
    parser.add_argument("--log", default="", help="tokens, steps, text or numbers alone")
    options = parser.parse_args()
    for row in run(options.seeds, options.out, options.only, options.first, options.log):
        cell = f"{row['symptom']:26} {row['steps']:9} {row['sources']:6} {row['log']:7}"
        numbers = f"found {row['found']:3d} named {row['named']:3d} open {row['open']:3d} of {row['told']:3d} told"
        untold = f"untold {row['seeds'] - row['told']:3d}: {row['found_untold']:3d} found, {row['open_untold']:3d} open"
        print(f"{cell} {numbers}  {untold}  {row['others']}  {row['none']}")


if __name__ == "__main__":
    main()
