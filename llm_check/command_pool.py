"""`gsi pool`: collect draft and base candidates of next steps into a Parquet pool, or import another engine's log."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from gsi_theory.artifact import provenance
from gsi_theory.errors import InputError
from gsi_theory.progress import progress_bar
from llm_check.methods.candidates import Models
from llm_check.methods.table import METHODS
from llm_check.options import (
    BaseOption,
    DraftOption,
    MaxTokensOption,
    ProblemsOption,
    RewardOption,
    SeedOption,
    quiet_engines,
)
from llm_check.pool import read_pool
from llm_check.pool_import import import_log, parse_maps
from llm_check.pool_record import policy_record, prompts_digest, reward_record
from llm_check.positions import Prompt, encode_text
from llm_check.tasks import arithmetic
from llm_check.tiny import STEP_MAX_TOKENS, checkpoint_path
from llm_check.trajectories import PATHS, REFERENCE, Collection, Trajectory, collect_parts

__all__ = ["app"]

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)

MapOption = Annotated[
    list[str] | None,
    typer.Option("--map", help="With --import: FIELD=THEIRS[:CONVERSION,...]; repeatable, see llm_check.pool_import."),
]


@app.command()
def command(
    out: Annotated[Path, typer.Argument(help="Pool file to write (.parquet).")],
    problems: ProblemsOption = 4,
    steps: Annotated[int, typer.Option(min=1, help="Positions along each trajectory, at most.")] = 1,
    path: Annotated[str, typer.Option(help=f"Trajectory: {REFERENCE}, or {', '.join(PATHS[1:])}.")] = REFERENCE,
    candidates: Annotated[int, typer.Option(min=1, help="Draft candidates at each position.")] = 1000,
    base_candidates: Annotated[int | None, typer.Option(min=1, help="Base candidates (default: the same).")] = None,
    draft: DraftOption = None,
    base: BaseOption = None,
    reward: RewardOption = None,
    max_tokens: MaxTokensOption = STEP_MAX_TOKENS,
    batch: Annotated[int | None, typer.Option(min=1, help="Prompts computed together (default: by size).")] = None,
    beta: Annotated[float, typer.Option(help="β of a --path that is a method.")] = 20.0,
    n: Annotated[int, typer.Option(min=1, help="n of a --path that is a method.")] = 4,
    threshold: Annotated[float, typer.Option(help="u of a --path that is a gated method.")] = 0.5,
    text: Annotated[bool, typer.Option("--text/--no-text", help="Keep the steps as text.")] = True,
    seed: SeedOption = 0,
    log: Annotated[Path | None, typer.Option("--import", help="JSONL log to import instead of collecting.")] = None,
    maps: MapOption = None,
) -> None:
    """Sample the next step at positions along trajectories and score every candidate under both models.

    A run that is interrupted goes on when the same command is given again; OUT appears when it is whole.
    """
    if log is not None or maps:
        if log is None:
            raise InputError("--map without --import: give the JSONL log to import")
        pool = import_log(log, out, parse_maps(maps or []))
    else:
        from llm_check.world import load_world  # torch: an import of a log does without it

        quiet_engines()
        world = load_world(draft, base, reward, max_tokens)
        prompts, reference = _embedded_prompts(world.draft.tokenizer, problems, seed)
        method = METHODS.get(path, METHODS["base"])
        trajectory = Trajectory(path, method.scheme(beta, n, threshold), reference)
        counts = candidates, base_candidates or candidates
        models = Models(world.draft, world.base, world.reward_model)
        job = Collection(
            models, prompts, trajectory, steps, counts, world.rule, seed, batch, arithmetic.check_step, text
        )
        specs = [spec or checkpoint_path(name) for spec, name in ((draft, "draft"), (base, "base"), (reward, "prm"))]
        with progress_bar("pool") as report:
            collect_parts(out, job, _record(job, specs), report)
        pool = read_pool(out)
    typer.echo(f"wrote {out}: {pool.table.num_rows} candidates at {len(pool.keys())} positions")


def _embedded_prompts(tokenizer: Any, count: int, seed: int) -> tuple[tuple[Prompt, ...], dict[str, list[list[int]]]]:
    """Prompts of the embedded task, and the steps of their reference solutions."""
    problems = arithmetic.make_problems(count, seed, "test")
    prompts = tuple(Prompt(p.problem_id, encode_text(tokenizer, p.prompt), p) for p in problems)
    steps = {p.problem_id: [list(encode_text(tokenizer, s)) for s in arithmetic.solution_steps(p)] for p in problems}
    return prompts, steps


def _record(job: Collection, specs: list[Path]) -> dict[str, Any]:
    """Provenance: what a resumed run must share, then versions and commit."""
    models, scheme = job.models, job.trajectory.scheme
    # In the order in which a difference is named: what a user chooses, then digests.
    settings: dict[str, Any] = {
        "seed": job.seed,
        "task": "arithmetic",
        "problems": len(job.prompts),
        "steps": job.steps,
        "path": {"method": job.trajectory.method}
        | ({} if job.trajectory.method == REFERENCE else {"beta": scheme.beta, "n": scheme.n, "u": scheme.threshold}),
        "candidates": job.counts[0],
        "base_candidates": job.counts[1],
        "max_tokens": job.rule.max_tokens,
        "batch": job.size,
        "text": job.text,
        "draft": policy_record(specs[0], models.draft),
        "base": policy_record(specs[1], models.base),
        "reward": reward_record(specs[2], models.reward_model),
        "prompts_sha256": prompts_digest(job.prompts),
    }
    given = ("problems", "steps", "candidates", "base_candidates", "max_tokens", "batch", "seed")
    options = " ".join(f"--{name.replace('_', '-')} {settings[name]}" for name in given)
    line = f"gsi pool --path {job.trajectory.method} {options}{'' if job.text else ' --no-text'}"
    return settings | provenance(line, job.seed)
