"""`gsi check`: the checks of `llm_check.models.checks.check_table` on the embedded models, or on what a user names."""

from __future__ import annotations

import functools
import shlex
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from gsi_theory.errors import InputError
from gsi_theory.runs.artifact import is_current, provenance, read_artifact, require_writable
from gsi_theory.runs.options import OUTPUT, given_options, refuse_options
from gsi_theory.runs.progress import progress_bar
from gsi_theory.runs.settings import read_pairs, set_options
from gsi_theory.runs.terminal import wrapped
from gsi_theory.types import Record
from llm_check.models.checks.check_settings import read_settings
from llm_check.models.checks.check_table import CHECKS
from llm_check.models.checks.check_verdict import verdict
from llm_check.models.collecting.provenance import folder_of
from llm_check.models.engines.engine import Engine, require_pair
from llm_check.models.engines.load_engine import load_engine
from llm_check.models.model_options import (
    BaseOption,
    DeviceOption,
    DraftOption,
    DtypeOption,
    InstructionOption,
    MaxTokensOption,
    PairOption,
    RewardOption,
    SeedOption,
    StepOption,
    TaskOption,
    TemperatureOption,
    TemplateOption,
    quiet_engines,
)
from llm_check.models.model_pairs import with_pair
from llm_check.models.real.model_cache import real_name
from llm_check.models.tiny import checkpoint_path

if TYPE_CHECKING:
    from llm_check.models.world import World

__all__ = ["app", "check"]

# The embedded world's, of which nothing is told.
EMBEDDED_REWARD = "prm"
EMBEDDED_TASK = ("arithmetic:test", r"delimiter:\n\n", 4, "bare", "")
app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)

_SPECS = ("draft", "base", "reference-draft", "reference-base")
_REFERENCE = "lm_law enumerates it (default: the checkpoint of --{0}), lm_noise compares with it."
_PANEL = "A second pair of models, of lm_law and lm_noise"
ReferenceDraft = Annotated[
    str | None,
    typer.Option("--reference-draft", metavar="MODEL", help=_REFERENCE.format("draft"), rich_help_panel=_PANEL),
]
ReferenceBase = Annotated[
    str | None,
    typer.Option("--reference-base", metavar="MODEL", help=_REFERENCE.format("base"), rich_help_panel=_PANEL),
]
ReferenceDtype = Annotated[
    str | None,
    typer.Option(
        "--reference-dtype",
        metavar="DTYPE",
        help="Weights of the reference (lm_law: float32, lm_noise: bfloat16).",
        rich_help_panel=_PANEL,
    ),
]


def check(
    name: str,
    world: World,
    seed: int,
    out: Path,
    settings: dict[str, str],
    resume: bool = False,
    reference: World | None = None,
    told: str = "",
) -> Path:
    """Run one check into the folder `out`; returns the artifact's path. InputError for an unknown name.

    `reference` is the second pair of engines of the checks that take one; `told`, options for the record of the
    command. With `resume` an artifact of the same command, seed, versions and commit is kept as it is.
    """
    chosen = CHECKS[name]
    command, path = f"gsi check {name} --seed {seed}{told}{set_options(settings)}", out / f"{name}.json"
    if resume and is_current(path, name, provenance(command, seed)):
        return path
    run = chosen.run
    if chosen.reference is not None:
        run = functools.partial(run, reference=reference or _reference(name, world, dict.fromkeys(_SPECS), None, "cpu"))
    with progress_bar(name) as report:
        return run(world, seed, path, settings, report, command)


def _reference(name: str, world: World, specs: dict[str, str | None], dtype: str | None, device: str) -> World:
    """The second pair of engines: of the named checkpoints, else of the world's own, else the embedded ones.

    What is enumerated runs on transformers in float32 (the world's own pair, if it does and no dtype is given); what is
    compared, anywhere, in bfloat16. Raises InputError where a pair on a server has no checkpoint to enumerate.
    """
    enumerated = CHECKS[name].reference == "enumerated"
    own = {engine.contract.engine for engine in (world.draft, world.base)}
    same = dtype is None and not any(specs[f"reference-{role}"] for role in ("draft", "base"))
    if enumerated and own == {"transformers"} and same:
        return world
    engines: dict[str, Engine] = {}
    for role in ("draft", "base"):
        spec = specs[f"reference-{role}"] or specs[role] or str(checkpoint_path(role))
        folder = folder_of(spec)
        if enumerated and folder is None:
            raise InputError(f"--{role} {spec} names no checkpoint folder: give it with --reference-{role}")
        place = str(folder) if enumerated and real_name(spec) is None else spec
        kind = dtype or ("float32" if enumerated else "bfloat16")
        temperature = world.draft.contract.sampling_temperature
        engines[role] = load_engine(place, device=device, dtype=kind, temperature=temperature)
        require_pair(engines[role], world.draft)
    return replace(world, draft=engines["draft"], base=engines["base"])


@app.command()
def command(
    context: typer.Context,
    name: Annotated[
        str | None,
        typer.Argument(metavar="NAME", help="Check; without it they are listed.", autocompletion=lambda: list(CHECKS)),
    ] = None,
    setting: Annotated[
        list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="A setting of the check; repeatable.")
    ] = None,
    pair: PairOption = None,
    draft: DraftOption = None,
    base: BaseOption = None,
    reward: RewardOption = None,
    device: DeviceOption = "cpu",
    dtype: DtypeOption = "float32",
    temperature: TemperatureOption = 1.0,
    task: TaskOption = None,
    step: StepOption = None,
    max_tokens: MaxTokensOption = None,
    template: TemplateOption = None,
    instruction: InstructionOption = None,
    reference_draft: ReferenceDraft = None,
    reference_base: ReferenceBase = None,
    reference_dtype: ReferenceDtype = None,
    seed: SeedOption = 0,
    out: Annotated[Path, typer.Option(metavar="FOLDER", help="Folder of the artifact.", rich_help_panel=OUTPUT)] = Path(
        "report/artifacts"
    ),
) -> None:
    """Run one check on two language models, or list them; exit status 1 if it fails."""
    if name is None:
        refuse_options(context, given_options(context), "without a check: name one")
        typer.echo(_listed())
        return
    chosen = CHECKS[name]
    if chosen.reference is None and (reference_draft or reference_base or reference_dtype):
        takers = ", ".join(check.name for check in CHECKS.values() if check.reference is not None)
        raise InputError(f"check {chosen.name} takes no --reference options: leave them out; {takers} take them")
    read_settings(read_pairs(setting or []), chosen.defaults)
    require_writable(out / f"{name}.json")
    from llm_check.models.world import load_world  # slow to import

    quiet_engines()
    values = {
        "draft": draft,
        "base": base,
        "reward": reward,
        "dtype": dtype,
        "temperature": temperature,
        "step": step,
        "max_tokens": max_tokens,
        "template": template,
    }
    used = with_pair(context, pair, values)
    named = set(given_options(context)) if pair is None else set(values)
    used |= {name: value for name, value in chosen.options.items() if name in values and name not in named}
    world = load_world(
        **used, device=device, task=task or chosen.options.get("task"), instruction=instruction, seed=seed
    )
    specs = dict(zip(_SPECS, (used["draft"], used["base"], reference_draft, reference_base), strict=True))
    reference = None
    if chosen.reference is not None:
        reference = _reference(name, world, specs, reference_dtype, device)
    path = check(name, world, seed, out, read_pairs(setting or []), reference=reference, told=_told(world, reference))
    artifact = read_artifact(path)
    typer.echo(wrapped(verdict(artifact), f"{name} ", "  "))
    typer.echo(f"wrote {path}")
    if artifact.summary.get("passed") is False:
        raise typer.Exit(1)


def _listed() -> str:
    """Every check: its question, and its settings with their defaults."""
    lines = []
    for item in CHECKS.values():
        settings = " ".join(f"{key}={_shown(value)}" for key, value in item.defaults.items())
        lines += [item.name, wrapped(item.question, "  "), wrapped(settings, "  settings: ")]
    return "\n".join([*lines, "", wrapped("gsi check NAME runs one, with --set key=value for another setting.")])


def _shown(value: Any) -> str:
    if isinstance(value, tuple):
        return ",".join(map(_shown, value))
    return f"{value:g}" if isinstance(value, float) else str(value)


def _told(world: World, reference: World | None) -> str:
    """Engines and models as words of the recorded command, without paths of this machine; nothing for the embedded."""
    told: Record = {}
    if (temperature := world.draft.contract.sampling_temperature) != 1.0:
        told["temperature"] = temperature
    pairs = [("", world)] + ([] if reference is None or reference is world else [("reference-", reference)])
    for prefix, pair in pairs:
        for role, engine in (("draft", pair.draft), ("base", pair.base)):
            contract = engine.contract
            if (contract.engine, contract.dtype, contract.model) != ("transformers", "float32", f"checkpoints/{role}"):
                plain = real_name(contract.model) is not None
                told[prefix + role] = (
                    contract.model if plain else f"{contract.engine}:{contract.model}:{contract.dtype}"
                )
                if plain and contract.dtype != "float32":
                    told[f"{prefix}dtype"] = contract.dtype
    if world.reward_model.name != EMBEDDED_REWARD:
        told["reward"] = world.reward_model.name
    task = world.task
    written = task.source.startswith(f"{task.name}:")  # from a seed, not from rows
    where = task.source if written or task.source.startswith("hub:") else Path(task.source).name
    chosen = {
        "task": (where if written else f"{task.name}:{where}") + world.names["task"].removeprefix(task.name),
        "step": world.step,
        "max-tokens": world.rule.max_tokens,
        "template": world.template,
        "instruction": task.instruction,
    }
    if tuple(chosen.values()) != EMBEDDED_TASK:
        told |= chosen
    return "".join(f" --{key} {shlex.quote(str(value))}" for key, value in told.items())
