"""`gsi pool`: collect draft and base candidates of next steps into a Parquet pool."""

from __future__ import annotations

import shlex
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, NoReturn

import typer

from gsi_theory.errors import InputError
from gsi_theory.runs.artifact import require_writable
from gsi_theory.runs.options import OUTPUT, RUN, given_options, refuse_options
from gsi_theory.runs.progress import progress_bar
from gsi_theory.runs.terminal import counted, wrapped
from llm_check.models.decoding.method_table import METHODS
from llm_check.models.model_options import (
    BaseOption,
    DeviceOption,
    DraftOption,
    DtypeOption,
    InstructionOption,
    MaxTokensOption,
    PairOption,
    ProblemsOption,
    RewardOption,
    SeedOption,
    StepOption,
    TaskOption,
    TemperatureOption,
    TemplateOption,
    quiet_engines,
)
from llm_check.models.model_pairs import with_pair

if TYPE_CHECKING:
    from llm_check.logs.pools.pool import Pool

__all__ = ["app"]

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)

_PATH = "How a prompt goes on from step to step"
_RESCORE = "Another reward on the rows of a pool, in place of collecting"


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
# What gsi import does since 0.2.0; these go with 0.3.0.
MovedOption = Annotated[Path | None, typer.Option("--import", hidden=True, help="Moved: gsi import.")]
MovedMapOption = Annotated[list[str] | None, typer.Option("--map", hidden=True, help="Moved: gsi import.")]
MovedRangeOption = Annotated[
    tuple[float, float] | None, typer.Option("--reward-range", hidden=True, help="Moved: gsi import.")
]


@app.command()
def command(
    out: Annotated[
        Path, typer.Argument(metavar="OUT", help="Pool file to write (.parquet); with --rescore, the pool to read.")
    ],
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
    pair: PairOption = None,
    draft: DraftOption = None,
    base: BaseOption = None,
    reward: RewardOption = None,
    device: DeviceOption = "cpu",
    dtype: DtypeOption = "float32",
    temperature: TemperatureOption = 1.0,
    task: TaskOption = None,
    problems: ProblemsOption = 4,
    step: StepOption = None,
    max_tokens: MaxTokensOption = None,
    template: TemplateOption = None,
    instruction: InstructionOption = None,
    log: MovedOption = None,
    maps: MovedMapOption = None,
    reward_range: MovedRangeOption = None,
    rescore: Annotated[
        str | None,
        typer.Option(
            metavar="REWARD",
            help="Reward, as for --reward, to put on the rows of a pool; it takes --task, --base (the tokenizer) and "
            "--template from the pool where that says.",
            rich_help_panel=_RESCORE,
        ),
    ] = None,
    tokens: Annotated[
        int | None,
        typer.Option(metavar="T", min=1, help="Cut its steps to T tokens and judge those.", rich_help_panel=_RESCORE),
    ] = None,
    rescored: Annotated[
        Path | None,
        typer.Option(
            "--to", metavar="FILE", help="Pool to write (default: NAME.rescored.parquet).", rich_help_panel=_RESCORE
        ),
    ] = None,
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
    if log is not None or maps or reward_range:
        _refuse_import(log, out, maps, reward_range)
    if rescore is not None:
        taken = ("out", "rescore", "tokens", "rescored", "task", "base", "template", "device", "dtype")
        refuse_options(context, given_options(context, taken), "with --rescore: nothing is drawn; leave them out")
        _rescore(out, rescored, rescore, tokens, task, base, template, device, dtype)
        return
    if tokens is not None or rescored is not None:
        raise InputError("--tokens and --to without --rescore: give the reward to put on a pool")
    require_writable(out)
    _require_used(context, path)
    # slow to import
    from llm_check.logs.pools.pool import read_pool
    from llm_check.models.collecting.collected_task import collect_task

    quiet_engines()
    values = {
        "threshold": threshold,
        "beta": beta,
        "draft": draft,
        "base": base,
        "reward": reward,
        "dtype": dtype,
        "temperature": temperature,
        "step": step,
        "max_tokens": max_tokens,
        "template": template,
    }
    used = values if context is None else with_pair(context, pair, values)
    with progress_bar("pool") as report:
        collect_task(
            out,
            candidates=candidates,
            base_candidates=base_candidates,
            steps=steps,
            path=path,
            n=n,
            **used,
            device=device,
            task=task,
            problems=problems,
            instruction=instruction,
            seed=seed,
            batch=batch,
            text=text,
            progress=report,
        )
    pool = read_pool(out)
    _say(out, pool)
    if steps > 1:
        typer.echo(wrapped(_ended(pool, steps), rest="  "))


def _rescore(
    pool: Path,
    out: Path | None,
    reward: str,
    tokens: int | None,
    task: str | None,
    base: str | None,
    template: str | None,
    device: str,
    dtype: str,
) -> None:
    written = out or pool.with_name(f"{pool.stem}.rescored.parquet")
    require_writable(written)
    from llm_check.models.collecting.rescore import rescore_pool  # slow to import

    quiet_engines()
    with progress_bar("rescore") as report:
        made = rescore_pool(
            pool,
            written,
            reward,
            task=task,
            tokens=tokens,
            policy=base,
            template=template,
            device=device,
            dtype=dtype,
            progress=report,
        )
    _say(written, made)


def _refuse_import(log: Path | None, out: Path, maps: list[str] | None, limits: tuple[float, float] | None) -> NoReturn:
    """InputError with the command that imports logs since."""
    words = ["gsi", "import", str(log or "LOG"), "--out", str(out)]
    words += [word for text in maps or () for word in ("--map", text)]
    words += ["--reward-range", *(f"{limit:g}" for limit in limits)] if limits else []
    raise InputError(f"importing a log is a command of its own now: {shlex.join(words)}")


def _require_used(context: typer.Context | None, path: str | None) -> None:
    """InputError for options of a selection along a path where nothing, or no gate, selects."""
    method = None if path is None else METHODS.get(path)
    if method is None or path == "base":
        where = "without --path" if path is None else f"with --path {path}"
        refuse_options(context, ("beta", "n", "threshold"), f"{where}: nothing is selected along it")
    elif method.gate is None:
        refuse_options(context, ("threshold",), f"with --path {path}: the method has no gate")


def _ended(pool: Pool, steps: int) -> str:
    """How many positions each step has, and why later ones have fewer; `steps` were asked for."""
    positions = pool.keys()
    most = int(pool.metadata.get("steps", steps))
    held = [sum(at == step for _, at in positions) for step in range(most)]
    parts = [f"step 0: {counted(held[0], 'position')}"]
    for step, (before, now) in enumerate(pairwise(held), start=1):
        gone = f" ({counted(before - now, 'solution')} ended with step {step - 1})" if now < before else ""
        parts.append(f"step {step}: {now}{gone}")
        if not now:
            break
    beyond = f"; a solution of this task has at most {counted(most, 'step')}" if most < steps else ""
    return "; ".join(parts) + beyond


def _say(out: Path, pool: Pool) -> None:
    size = f"{counted(pool.table.num_rows, 'candidate')} at {counted(len(pool.keys()), 'position')}"
    typer.echo(wrapped(f"wrote {out}: {size}; gsi doctor {out} checks it", rest="  "))
