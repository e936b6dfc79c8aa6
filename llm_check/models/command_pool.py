"""`gsi pool`: collect draft and base candidates of next steps into a Parquet pool, or import another engine's log."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from gsi_theory.errors import InputError
from gsi_theory.runs.artifact import provenance, require_writable
from gsi_theory.runs.options import OUTPUT, RUN, given_options, refuse_options
from gsi_theory.runs.progress import progress_bar
from gsi_theory.runs.terminal import wrapped
from gsi_theory.types import Record
from llm_check.logs.words import counted
from llm_check.models.collecting.provenance import policy_record, prompts_digest, reward_files
from llm_check.models.decoding.method_table import METHODS
from llm_check.models.decoding.positions import Prompt, encode_text
from llm_check.models.decoding.prompting import template_record
from llm_check.models.decoding.reasoning_steps import require_candidates
from llm_check.models.decoding.step_candidates import most_candidates
from llm_check.models.grading.judging import Judges
from llm_check.models.model_options import (
    BaseOption,
    DeviceOption,
    DraftOption,
    DtypeOption,
    MaxTokensOption,
    ProblemsOption,
    RewardOption,
    SeedOption,
    StepOption,
    TaskOption,
    TemplateOption,
    quiet_engines,
)
from llm_check.models.model_types import Tokenizer
from llm_check.models.rewards.reward_model import reward_record
from llm_check.models.tiny import checkpoint_path

if TYPE_CHECKING:
    from llm_check.logs.pools.pool import Pool
    from llm_check.models.collecting.trajectories import Collection

__all__ = ["app"]

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)

_PATH = "How a prompt goes on from step to step"
_IMPORT = "A log of another engine, in place of collecting"


def _paths() -> list[str]:
    from llm_check.models.collecting.trajectories import PATHS  # slow to import

    return list(PATHS)


PathOption = Annotated[
    str | None,
    typer.Option(
        "--path",
        metavar="NAME",
        help="reference: its reference solution; or a method of gsi decode that chooses each step (default: reference "
        "where the task has it, else base).",
        autocompletion=_paths,
        rich_help_panel=_PATH,
    ),
]
MapOption = Annotated[
    list[str] | None,
    typer.Option(
        "--map",
        metavar="FIELD=THEIRS",
        help="Where a field of the pool is found: FIELD=THEIRS[:CONVERSION,...]; repeatable, see "
        "llm_check.logs.pools.importer.",
        rich_help_panel=_IMPORT,
    ),
]
RangeOption = Annotated[
    tuple[float, float] | None,
    typer.Option("--reward-range", metavar="LOW HIGH", help="Lowest and highest reward.", rich_help_panel=_IMPORT),
]


@app.command()
def command(
    out: Annotated[Path, typer.Argument(metavar="OUT", help="Pool file to write (.parquet).")],
    candidates: Annotated[int, typer.Option(metavar="N", min=1, help="Draft candidates at each position.")] = 1000,
    base_candidates: Annotated[
        int | None, typer.Option(metavar="N", min=1, help="Base candidates (default: the same).")
    ] = None,
    steps: Annotated[int, typer.Option(metavar="N", min=1, help="Positions along each trajectory, at most.")] = 1,
    path: PathOption = None,
    beta: Annotated[
        float, typer.Option(metavar="NUMBER", help="β of a path that is a method.", rich_help_panel=_PATH)
    ] = 20.0,
    n: Annotated[
        int, typer.Option(metavar="N", min=1, help="n of a path that is a method.", rich_help_panel=_PATH)
    ] = 4,
    threshold: Annotated[
        float, typer.Option(metavar="NUMBER", help="u of a path that is a gated method.", rich_help_panel=_PATH)
    ] = 0.5,
    draft: DraftOption = None,
    base: BaseOption = None,
    reward: RewardOption = None,
    device: DeviceOption = "cpu",
    dtype: DtypeOption = "float32",
    task: TaskOption = None,
    problems: ProblemsOption = 4,
    step: StepOption = None,
    max_tokens: MaxTokensOption = None,
    template: TemplateOption = None,
    log: Annotated[
        Path | None, typer.Option("--import", metavar="FILE", help="JSONL log to import.", rich_help_panel=_IMPORT)
    ] = None,
    maps: MapOption = None,
    reward_range: RangeOption = None,
    seed: SeedOption = 0,
    batch: Annotated[
        int | None,
        typer.Option(metavar="N", min=1, help="Prompts computed together (default: by size).", rich_help_panel=RUN),
    ] = None,
    text: Annotated[
        bool, typer.Option("--text/--no-text", help="Keep the steps as text.", rich_help_panel=OUTPUT)
    ] = True,
    context: typer.Context = None,  # type: ignore[assignment]  # absent where it is called as a function
) -> None:
    """Sample the next step at positions along trajectories and score every candidate under both models.

    A run that is interrupted goes on when the same command is given again; OUT appears when it is whole.
    """
    # slow to import
    from llm_check.logs.pools.importer import import_log, parse_maps
    from llm_check.logs.pools.pool import read_pool
    from llm_check.models.collecting.trajectories import REFERENCE, Collection, Trajectory, collect_parts

    require_writable(out)
    if log is not None:
        collecting = given_options(context, ("out", "log", "maps", "reward_range"))
        refuse_options(context, collecting, "with --import: nothing is collected; leave them out")
        _say(out, import_log(log, out, parse_maps(maps or []), reward_range))
        return
    if maps or reward_range:
        raise InputError("--map and --reward-range without --import: give the JSONL log to import")
    # Torch: an import of a log does without it.
    from llm_check.models.decoding.solution import require_prompt_room
    from llm_check.models.world import load_world

    quiet_engines()
    world = load_world(
        draft,
        base,
        reward,
        max_tokens,
        device,
        dtype,
        task=task,
        step=step,
        template=template,
        limit=problems,
        seed=seed,
    )
    prompts = world.prompts()
    require_prompt_room(world.models, prompts, world.rule)
    most = max(candidates, base_candidates or 0)
    require_candidates(most, 1, world.rule, f"candidates = {most}")
    reference = _reference(world.task, world.draft.tokenizer, prompts)
    method = path or ("base" if reference is None else REFERENCE)
    if method == REFERENCE and reference is None:
        raise InputError(f"--path {REFERENCE}: task {world.task.name} has no reference solutions in steps; give base")
    _require_used(context, method)
    scheme = METHODS.get(method, METHODS["base"]).scheme(beta, n, threshold)
    if method != REFERENCE:
        require_candidates(most_candidates(scheme, world.models), 1, world.rule, f"n = {n}")
    counts = candidates, base_candidates or candidates
    job = Collection(
        world.models,
        tuple(prompts),
        Trajectory(method, scheme, reference),
        min(steps, world.max_steps),
        counts,
        world.rule,
        seed,
        batch,
        Judges(world.task.check_step, world.task.grade, world.max_steps),
        text,
    )
    specs = [str(spec or checkpoint_path(name)) for spec, name in ((draft, "draft"), (base, "base"), (reward, "prm"))]
    with progress_bar("pool") as report:
        collect_parts(out, job, _record(job, world, specs), report)
    _say(out, read_pool(out))


def _require_used(context: typer.Context | None, path: str) -> None:
    """InputError for options of a selection along a path where nothing, or no gate, selects."""
    method = METHODS.get(path)
    if method is None or path == "base":
        refuse_options(context, ("beta", "n", "threshold"), f"with --path {path}: nothing is selected along it")
    elif method.gate is None:
        refuse_options(context, ("threshold",), f"with --path {path}: the method has no gate")


def _say(out: Path, pool: Pool) -> None:
    size = f"{counted(pool.table.num_rows, 'candidate')} at {counted(len(pool.keys()), 'position')}"
    typer.echo(wrapped(f"wrote {out}: {size}; gsi doctor {out} checks it", rest="  "))


def _reference(task: Any, tokenizer: Tokenizer, prompts: list[Prompt]) -> dict[str, list[tuple[int, ...]]] | None:
    """The steps of every prompt's reference solution as token ids; None for a task that has none."""
    known = {prompt.prompt_id: task.solution_steps(prompt.problem) for prompt in prompts}
    if any(steps is None for steps in known.values()):
        return None
    return {prompt_id: [encode_text(tokenizer, text) for text in steps] for prompt_id, steps in known.items()}


def _record(job: Collection, world: Any, specs: list[str]) -> Record:
    """Provenance: what a resumed run must share, then versions and commit."""
    from llm_check.models.collecting.trajectories import REFERENCE  # slow to import

    models, path = job.models, job.trajectory
    scheme = {} if path.method == REFERENCE else {"beta": path.scheme.beta, "n": path.scheme.n}
    if path.method != REFERENCE and path.scheme.threshold is not None:
        scheme["threshold"] = path.scheme.threshold
    # In the order in which a difference is named: what a user chooses, then digests.
    options: Record = {
        "task": world.task.name,
        "problems": len(job.prompts),
        "steps": job.steps,
        "path": path.method,
        **scheme,
        "candidates": job.counts[0],
        "base_candidates": job.counts[1],
        "step": world.step,
        "max_tokens": job.rule.max_tokens,
        "template": world.template,
        "batch": job.size,
        "seed": job.seed,
    }
    line = " ".join(f"--{name.replace('_', '-')} {shlex.quote(str(value))}" for name, value in options.items())
    line += "" if job.text else " --no-text"
    settings = options | {
        "text": job.text,
        "draft": policy_record(specs[0], models.draft),
        "base": policy_record(specs[1], models.base),
        "reward": reward_record(models.reward_model) | reward_files(specs[2]),
        "prompt": template_record(models.draft.tokenizer, world.task.instruction, world.template),
        "prompts_sha256": prompts_digest(job.prompts),
    }
    return settings | provenance(f"gsi pool {line}", job.seed)
