"""Are the log-probabilities of a pool those of plain forwards? On a float32 pool of the real pair.

    gsi pool rows.parquet --task sums --step answer --max-tokens 20 --draft smollm2:medium --base smollm2 \\
        --reward graded --candidates 13 --problems 20
    python -m tests.benches.fidelity rows.parquet

Each row is scored under the base by transformers' own forward, one whole text at a time, without cache or padding, and
summed in float64. Exit status 1 where a row is off by more than BAR.
"""

from __future__ import annotations

from pathlib import Path

import torch
import typer

from gsi_theory.runs.progress import progress_bar
from llm_check import read_pool
from llm_check.models.checks.check_table import CHECKS
from llm_check.models.world import load_world
from tests.llm_check.models.real.test_smollm2 import full_forward, plain_model

BAR = 1e-4  # nats


def main(pool: Path) -> None:
    """Largest difference of a row's log-probability under the base from a plain forward's, nats."""
    arrays = read_pool(pool).arrays
    world = load_world(**CHECKS["lm_study"].options | {"dtype": "float32", "limit": len(arrays.names)})
    ids = {prompt.prompt_id: list(prompt.ids) for prompt in world.prompts()}
    model = plain_model()
    steps, logged, worst = arrays.column("token_ids").to_pylist(), arrays.floats("logp_base"), 0.0
    with progress_bar("rows") as report:
        for row, (step, position) in enumerate(zip(steps, arrays.position, strict=True)):
            law = full_forward(model, ids[arrays.names[position][0]], step)
            plain = float(law.gather(1, torch.tensor(step)[:, None]).sum())
            worst = max(worst, abs(plain - logged[row]))
            report(row + 1, len(steps))
    print(f"{len(steps)} rows: the largest difference is {worst:.2g} nats (bar {BAR:g})")
    if worst > BAR:
        raise typer.Exit(1)


if __name__ == "__main__":
    typer.run(main)
