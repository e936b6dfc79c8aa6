"""`gsi simulate NAME`: run one experiment of `sims.experiments`, or list them."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from gsi_theory.artifact import is_current, provenance
from gsi_theory.errors import InputError
from gsi_theory.options import read_pairs, set_options
from gsi_theory.progress import progress_bar
from sims.experiments import EXPERIMENTS

__all__ = ["app", "simulate"]

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)


def simulate(name: str, seed: int, out: Path, settings: dict[str, str], resume: bool = False) -> Path:
    """Run experiment `name` into the folder `out`; returns the artifact's path. InputError for an unknown name.

    With `resume` an artifact of the same command, seed, versions and commit is kept as it is.
    """
    if name not in EXPERIMENTS:
        raise InputError(f"no experiment {name!r}: give one of {', '.join(EXPERIMENTS)}")
    # Results do not depend on the number of workers, so the recorded command leaves it out.
    kept = {key: value for key, value in settings.items() if key != "workers"}
    command, path = f"gsi simulate {name} --seed {seed}{set_options(kept)}", out / f"{name}.json"
    if resume and is_current(path, name, provenance(command, seed)):
        return path
    with progress_bar(name) as report:
        return EXPERIMENTS[name].run(seed, path, settings, report, command)


@app.command()
def command(
    name: Annotated[str | None, typer.Argument(help="Experiment; without it they are listed.")] = None,
    seed: Annotated[int, typer.Option(min=0, help="Seed of every random stream.")] = 0,
    out: Annotated[Path, typer.Option(help="Folder of the artifact.")] = Path("report/artifacts"),
    setting: Annotated[list[str] | None, typer.Option("--set", help="key=value; repeatable.")] = None,
) -> None:
    """Run one experiment and write its artifact."""
    if name is None:
        for experiment in EXPERIMENTS.values():
            defaults = ", ".join(f"{k}={v}" for k, v in experiment.defaults.items())
            typer.echo(f"{experiment.name}\n  {experiment.question}\n  settings: {defaults}")
        return
    typer.echo(f"wrote {simulate(name, seed, out, read_pairs(setting or []))}")
