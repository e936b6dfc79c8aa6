"""`gsi check`: the checks of `llm_check.checks` on the embedded pair (or on folders of the user's)."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from gsi_theory.artifact import is_current, provenance, read_artifact
from gsi_theory.errors import InputError
from gsi_theory.options import read_pairs, set_options
from gsi_theory.progress import progress_bar
from llm_check.checks import CHECKS
from llm_check.options import BaseOption, DraftOption, RewardOption, SeedOption, quiet_engines
from llm_check.world import World, load_world

__all__ = ["app", "check"]

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)


def check(name: str, world: World, seed: int, out: Path, settings: dict[str, str], resume: bool = False) -> Path:
    """Run one check into the folder `out`; returns the artifact's path. InputError for an unknown name.

    With `resume` an artifact of the same command, seed, versions and commit is kept as it is.
    """
    if name not in CHECKS:
        raise InputError(f"no check {name!r}: give one of {', '.join(CHECKS)}")
    command, path = f"gsi check {name} --seed {seed}{set_options(settings)}", out / f"{name}.json"
    if resume and is_current(path, name, provenance(command, seed)):
        return path
    with progress_bar(name) as report:
        return CHECKS[name].run(world, seed, path, settings, report, command)


@app.command()
def command(
    name: Annotated[str | None, typer.Argument(help="Check; without it they are listed.")] = None,
    seed: SeedOption = 0,
    out: Annotated[Path, typer.Option(help="Folder of the artifact.")] = Path("report/artifacts"),
    setting: Annotated[list[str] | None, typer.Option("--set", help="key=value; repeatable.")] = None,
    draft: DraftOption = None,
    base: BaseOption = None,
    reward: RewardOption = None,
) -> None:
    """Run one check on two language models; exit status 1 if it fails."""
    if name is None:
        for item in CHECKS.values():
            defaults = ", ".join(f"{k}={v}" for k, v in item.defaults.items())
            typer.echo(f"{item.name}\n  {item.question}\n  settings: {defaults}")
        return
    quiet_engines()
    path = check(name, load_world(draft, base, reward), seed, out, read_pairs(setting or []))
    summary = read_artifact(path).summary
    typer.echo(f"wrote {path}")
    if summary.get("passed") is False:
        typer.echo(f"gsi check {name}: failed: {summary}", err=True)
        raise typer.Exit(1)
