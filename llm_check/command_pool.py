"""`gsi pool`: collect draft and base candidates of next steps into a Parquet pool."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from gsi_theory.artifact import provenance
from gsi_theory.progress import progress_bar
from llm_check.collect import collect_pool, positions
from llm_check.options import (
    BaseOption,
    DraftOption,
    MaxTokensOption,
    ProblemsOption,
    RewardOption,
    SeedOption,
    quiet_engines,
)
from llm_check.pool import write_pool
from llm_check.tasks.arithmetic import make_problems
from llm_check.tiny import STEP_MAX_TOKENS
from llm_check.world import load_world

__all__ = ["app"]

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)


@app.command()
def command(
    out: Annotated[Path, typer.Argument(help="Pool file to write (.parquet).")],
    problems: ProblemsOption = 4,
    steps: Annotated[int, typer.Option(min=1, max=4, help="Positions along each reference solution.")] = 1,
    candidates: Annotated[int, typer.Option(min=1, help="Draft candidates at each position.")] = 1000,
    base_candidates: Annotated[int | None, typer.Option(min=1, help="Base candidates (default: the same).")] = None,
    draft: DraftOption = None,
    base: BaseOption = None,
    reward: RewardOption = None,
    max_tokens: MaxTokensOption = STEP_MAX_TOKENS,
    seed: SeedOption = 0,
) -> None:
    """Sample the next step at positions of the embedded task and score every candidate under both models."""
    quiet_engines()
    world = load_world(draft, base, reward, max_tokens)
    places = positions(make_problems(problems, seed, "test"), world.draft.tokenizer, tuple(range(steps)))
    n_base = base_candidates or candidates
    with progress_bar("pool") as report:
        columns = collect_pool(
            world.draft, world.base, world.reward_model, places, candidates, n_base, world.rule, seed, progress=report
        )
    text = f"gsi pool --problems {problems} --steps {steps} --candidates {candidates} --base-candidates {n_base}"
    record = provenance(f"{text} --max-tokens {max_tokens} --seed {seed}", seed)
    record["draft"], record["base"] = vars(world.draft.contract), vars(world.base.contract)
    pool = write_pool(out, columns, record)
    typer.echo(f"wrote {out}: {pool.table.num_rows} candidates at {len(pool.keys())} positions")
