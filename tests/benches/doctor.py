"""How often `doctor` finds planted faults and alarms on clean pools: `python -m tests.benches.doctor`.

Each fault is planted in `--pools` pools of the embedded pair (its candidates drawn and scored for real) and in as many
of the synthetic TokenWorld, at 50 positions of 64 drafts and 64 base candidates; each pool is read three times: with
its tokens and their log-probabilities, with whole steps only, and without texts too. A fault counts as found when the
finding of its id is made, and as named when no other error is. On clean pools any error, or log_prob_noise, is a false
alarm; heavy_tail and truncated_steps are facts of the models and are counted apart.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from gsi_theory.runs.artifact import provenance, write_artifact
from gsi_theory.runs.progress import progress_bar
from llm_check.logs.pools.diagnosis import diagnose
from llm_check.logs.pools.pool import pool_from_columns
from llm_check.models.model_options import quiet_engines
from llm_check.models.world import World, load_world
from tests.plants.engine_faults import engine_columns, prefix_log_probs
from tests.plants.pool_faults import (
    Columns,
    Sampling,
    TokenWorld,
    add_noise,
    drop_texts,
    drop_tokens,
    duplicate_rows,
    exchange_columns,
    round_numbers,
    score_whole,
)

__all__ = ["FAULTS", "run"]

PLAIN = Sampling()
Make = Callable[[int, Sampling, Sampling, str], tuple[Columns, Callable[[str, int, str], list[float]]]]


def _whole(make: Make, seed: int) -> Columns:
    columns, prefix = make(seed, PLAIN, PLAIN, "")
    return score_whole(columns, prefix, ("base",) if seed % 2 else ("draft", "base"))


def _noise(make: Make, seed: int) -> Columns:
    columns = make(seed, PLAIN, PLAIN, "")[0]
    return (round_numbers(columns, "float16"), round_numbers(columns, "bfloat16"), add_noise(columns, seed, 0.05))[
        seed % 3
    ]


def _clean(make: Make, seed: int) -> Columns:
    return make(seed, PLAIN, PLAIN, "")[0]


# name -> (the id that must be found, the pool with seed)
FAULTS: dict[str, tuple[str, Callable[[Make, int], Columns]]] = {
    "temperature 0.7, draft": ("temperature_mismatch", lambda make, s: make(s, Sampling(0.7), PLAIN, "")[0]),
    "temperature 0.7, both": ("temperature_mismatch", lambda make, s: make(s, Sampling(0.7), Sampling(0.7), "")[0]),
    "top-p 0.95, draft": ("truncated_sampling", lambda make, s: make(s, Sampling(1.0, 0.95), PLAIN, "")[0]),
    "shifted prompt, drafts only": ("context_mismatch", lambda make, s: make(s, PLAIN, PLAIN, "drafts")[0]),
    "shifted prompt, all rows": ("context_mismatch", lambda make, s: make(s, PLAIN, PLAIN, "all")[0]),
    "whole response": ("whole_response", _whole),
    "float16, bfloat16 or noise 0.05": ("log_prob_noise", _noise),
    "columns exchanged": ("exchanged_columns", lambda make, s: exchange_columns(_clean(make, s))),
    "a quarter of the rows twice": (
        "duplicates", lambda make, s: duplicate_rows(_clean(make, s), 0.25, s % 2 == 0)),
}  # fmt: skip


# what a log holds -> the columns it lacks taken away
LOGS: dict[str, Callable[[Columns], Columns]] = {"tokens": dict, "steps": drop_tokens, "numbers": drop_texts}


def _engine_maker(world: World, positions: int, n: int) -> Make:
    def make(seed: int, draft: Sampling, base: Sampling, shifted: str) -> Any:
        columns, places = engine_columns(world, seed, positions, n, draft, base, shifted)
        table: dict[Any, list[float]] = {}

        def prefix(prompt_id: str, step: int, model: str) -> list[float]:
            if not table:
                table.update(prefix_log_probs(world, places))
            return table[prompt_id, step, model]

        return columns, prefix

    return make


def _token_maker(positions: int, n: int) -> Make:
    def make(seed: int, draft: Sampling, base: Sampling, shifted: str) -> Any:
        # every other pair is far apart, so that tails are heavy in half of the pools
        world = TokenWorld(positions, gap=0.7 if seed % 2 else 0.3)

        def prefix(prompt_id: str, step: int, model: str) -> list[float]:
            rng = np.random.default_rng([int(prompt_id[1:]), step, model == "base"])
            return (-rng.exponential(0.7, size=6 + 5 * step)).tolist()

        return world.columns(seed, n, draft, base, shifted), prefix

    return make


def _judge(columns: Columns, wanted: str | None) -> dict[str, Any]:
    found = diagnose(pool_from_columns(columns)).findings
    alarms = {f.id for f in found if f.severity == "error" or f.id == "log_prob_noise"}
    return {
        "found": wanted in alarms,
        "named": alarms == {wanted},
        "alarm": bool(alarms),
        "ids": sorted(f.id for f in found),
    }


def run(pools: int, clean: int, seed: int, out: Path, positions: int = 50, n: int = 64) -> dict[str, Any]:
    """Write artifact `bench_doctor`: one row for each world, fault and kind of log (LOGS)."""
    quiet_engines()
    makers = {"embedded pair": _engine_maker(load_world(), positions, n), "synthetic": _token_maker(positions, n)}
    rows: list[dict[str, Any]] = []
    total = len(makers) * (len(FAULTS) * pools + clean)
    with progress_bar("doctor") as report:
        done = 0
        for name, make in makers.items():
            cases = {"none": (None, _clean, clean)} | {k: (*v, pools) for k, v in FAULTS.items()}
            for fault, (wanted, plant, count) in cases.items():
                judged: dict[str, list[dict[str, Any]]] = {log: [] for log in LOGS}
                for k in range(count):
                    columns = plant(make, seed + k)
                    for log, strip in LOGS.items():
                        judged[log].append(_judge(strip(columns), wanted))
                    report(done := done + 1, total)
                for log, found in judged.items():
                    others = sorted({i for f in found for i in f["ids"]} - {wanted})
                    rows.append({
                        "world": name, "fault": fault, "id": wanted or "", "log": log, "pools": count,
                        "found": sum(f["found"] for f in found), "named": sum(f["named"] for f in found),
                        "alarms": sum(f["alarm"] for f in found),
                        "other_ids": ", ".join(f"{i} {sum(i in f['ids'] for f in found)}" for i in others),
                    })  # fmt: skip
    table = {key: [row[key] for row in rows] for key in rows[0]}
    summary = {
        "least_found_share": min(r["found"] / r["pools"] for r in rows if r["id"]),
        "most_alarm_share": max(r["alarms"] / r["pools"] for r in rows if not r["id"]),
    }
    command = f"python -m tests.benches.doctor --pools {pools} --clean {clean} --seed {seed}"
    write_artifact(out, "bench_doctor", provenance(command, seed), summary, {"faults": table})
    return {"summary": summary, "rows": rows}


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pools", type=int, default=20)
    parser.add_argument("--clean", type=int, default=100)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, default=Path("report/bench_doctor.json"))
    given = parser.parse_args()
    result = run(given.pools, given.clean, given.seed, given.out)
    for row in result["rows"]:
        print(f"{row['world']:14} {row['fault']:42} {row['log']:7} found {row['found']:3d}/{row['pools']:<3d} "
              f"named {row['named']:3d} alarms {row['alarms']:3d}  {row['other_ids']}")  # fmt: skip
    print(result["summary"])


if __name__ == "__main__":
    main()
