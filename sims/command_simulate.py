"""`gsi simulate NAME`: run one experiment of `sims.experiments` or of a user's file, describe it, or list them.

Across machines: start `dask scheduler` on one, `dask worker tcp://HOST:8786` on the others (the same commit of this
package on all of them), and give --cluster tcp://HOST:8786. Under SLURM dask-jobqueue starts both:

    from dask_jobqueue import SLURMCluster
    cluster = SLURMCluster(cores=16, processes=16, memory="32GB", walltime="02:00:00")
    cluster.scale(jobs=8)
    print(cluster.scheduler_address)  # what --cluster takes, as long as this process lives

An experiment of one's own, a record `Experiment` in a file, runs as FILE.py:NAME; every worker reads the same file.
"""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Annotated

import typer

from gsi_theory.runs.artifact import is_current, provenance, read_artifact
from gsi_theory.runs.options import (
    ArtifactsOption,
    ClusterOption,
    SeedOption,
    WorkersOption,
    given_options,
    refuse_options,
    workers_of,
)
from gsi_theory.runs.progress import progress_bar
from gsi_theory.runs.settings import checked, read_pairs, set_options
from gsi_theory.runs.terminal import wrapped
from gsi_theory.runs.workers import Pool
from gsi_theory.types import Record
from sims.experiment_record import Experiment, Settings
from sims.experiments import EXPERIMENTS, PROFILES, WORKERS, estimate, experiment_at, run_experiment

__all__ = ["app", "simulate"]

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)


def simulate(
    address: str, seed: int, out: Path, settings: Settings, resume: bool = False, pool: Pool | None = None
) -> Path:
    """Run the experiment of a name or of FILE.py:NAME into the folder `out`; returns the artifact's path.

    With `resume` an artifact of the same command, seed, versions and commit is kept as it is. InputError for an unknown
    name.
    """
    # Results do not depend on who did the work, so the recorded command leaves it out.
    texts, name = {key: _text(value) for key, value in settings.items()}, experiment_at(address).name
    command, path = f"gsi simulate {shlex.quote(address)} --seed {seed}{set_options(texts)}", out / f"{name}.json"
    if resume and is_current(path, name, provenance(command, seed)):
        return path
    with progress_bar(name) as report:
        return run_experiment(address, seed, path, settings, pool, report, command)


def _text(value: object) -> str:
    return ",".join(map(str, value)) if isinstance(value, list | tuple) else str(value)


def _duration(seconds: float) -> str:
    if seconds < 90:
        return f"{seconds:.1f} s"
    return f"{seconds / 60:.1f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"


def _describe(experiment: Experiment) -> str:
    full = experiment.defaults | dict(experiment.full)
    lines = [experiment.name, wrapped(experiment.question, "  question: "), wrapped(experiment.claim, "  answers:  ")]
    lines.append("  settings (quick; full):")
    for key, default in experiment.defaults.items():
        both = f"{_text(default)}; {_text(full[key])}".replace(",", ", ")
        lines.append(wrapped(both, f"    {key}: ", " " * 6))
    cells = (len(experiment.cells(_settings(experiment, profile))) for profile in PROFILES)
    lines.append("  cells: " + ", ".join(f"{profile} {n}" for profile, n in zip(PROFILES, cells, strict=True)))
    lines.append(f"  cost of the full profile: {_duration(60.0 * experiment.full_minutes)} of one core, by a dry run")
    return "\n".join(lines)


def _agrees(summary: Settings) -> bool:
    """Say how simulation and exact law compare, where the experiment has both; whether they agree."""
    if "passed" not in summary:
        return True
    said = "agree" if summary["passed"] else "DISAGREE"
    text = (
        f"simulation and exact law {said}: largest |z| {summary['worst_abs_z']:.2f} of {summary['comparisons']} "
        f"comparisons, bound {summary['bonferroni_bound']:.2f}"
    )
    typer.echo(wrapped(text, rest="  "))
    return bool(summary["passed"])


def _settings(experiment: Experiment, profile: str) -> Record:
    return checked(experiment.settings, experiment.profile(profile), f" of experiment {experiment.name!r}")


def _dry_run(name: str, seed: int, settings: Settings, workers: int) -> str:
    cost = estimate(name, seed, settings)
    lines = [f"{name}: {sum(cost.cells.values())} cells"]
    for kind, count in cost.cells.items():
        seen = ", ".join(f"{s:.3g}" for s in cost.measured[kind])
        lines.append(wrapped(f"{kind}: {count} cells, measured {seen} s each", "  ", "    "))
    each = cost.seconds / workers
    lines.append(
        wrapped(
            f"estimate: {_duration(cost.seconds)} (± {_duration(cost.stderr)}) of one core, {_duration(each)} with "
            f"{workers} workers; nothing kept",
            rest="  ",
        )
    )
    return "\n".join(lines)


@app.command()
def command(
    context: typer.Context,
    name: Annotated[
        str | None,
        typer.Argument(
            metavar="NAME|FILE.py:NAME",
            help="Experiment, or a record of one in your own file; without it they are listed.",
            autocompletion=lambda: list(EXPERIMENTS),
        ),
    ] = None,
    describe: Annotated[bool, typer.Option("--describe", help="Say what the experiment does, and stop.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Measure a few cells, estimate the cost, stop.")] = False,
    profile: Annotated[
        str,
        typer.Option(
            metavar="NAME",
            help="Settings: quick, or full (minutes to hours); --set overrides them.",
            autocompletion=lambda: list(PROFILES),
        ),
    ] = "quick",
    setting: Annotated[
        list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="A setting of the experiment; repeatable.")
    ] = None,
    seed: SeedOption = 0,
    workers: WorkersOption = WORKERS,
    cluster: ClusterOption = None,
    out: ArtifactsOption = Path("report/artifacts"),
) -> None:
    """Run one experiment and write its artifact: NAME.json, and its tables as Parquet beside it.

    A killed run goes on where it stopped, with the same bytes, whatever the number of workers or machines. Under SLURM
    a SLURMCluster of dask-jobqueue starts the workers as jobs: its scheduler_address is what --cluster takes. gsi
    figures draws what has been run.

    Exit status 1: a simulation disagrees with its exact law.
    """
    if name is None:
        refuse_options(context, given_options(context), "without an experiment: name one")
        for experiment in EXPERIMENTS.values():
            typer.echo(f"{experiment.name}\n{wrapped(experiment.question, '  ')}")
        typer.echo(wrapped("\ngsi simulate NAME runs one, gsi simulate NAME --describe says more of it."))
        return
    if describe:
        refuse_options(context, given_options(context, ("name", "describe")), "with --describe: leave them out")
        typer.echo(_describe(experiment_at(name)))
        return
    settings = experiment_at(name).profile(profile) | read_pairs(setting or [])
    if cluster is not None:
        refuse_options(context, ("workers",), "with --cluster: the scheduler has workers of its own; leave it out")
    if dry_run:
        typer.echo(_dry_run(name, seed, settings, workers))
        return
    path = simulate(name, seed, out, settings, pool=workers_of(workers, cluster))
    typer.echo(f"wrote {path}")
    if not _agrees(read_artifact(path).summary):
        raise typer.Exit(1)
