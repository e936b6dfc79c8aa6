"""`gsi report`: the main job: every simulation, every check on the embedded language models, figures and the page.

The parts are called by name, so that no folder imports another against the arrows of the architecture.
"""

from __future__ import annotations

import importlib
import importlib.util
import time
from pathlib import Path
from typing import Annotated, Any

import typer

from gsi_theory.runs.artifact import read_artifact
from gsi_theory.runs.options import RUN
from gsi_theory.runs.workers import WORKERS, Pool, lasting_pool
from gsi_theory.types import Record

__all__ = ["app"]

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)
# These, the experiments that say whether they passed, and the audit decide the exit status.
JUDGED = ("lm_law", "lm_prediction")


def _call(module: str, name: str) -> Any:
    return getattr(importlib.import_module(module), name)


def _summary(artifacts: Path, name: str) -> Record:
    return read_artifact(artifacts / f"{name}.json", name).summary


def _failures(artifacts: Path) -> list[str]:
    simulated = [n for n in _call("sims.experiments", "EXPERIMENTS") if "passed" in _summary(artifacts, n)]
    failed = [name for name in (*simulated, *JUDGED) if not _summary(artifacts, name)["passed"]]
    claims = read_artifact(artifacts / "audit.json", "audit").tables["claims"]
    for claim, surprise in zip(claims["id"], claims["surprise"], strict=True):
        if surprise:
            failed.append(f"claim {claim}")
    return failed


@app.command()
def command(
    out: Annotated[Path, typer.Option(metavar="FOLDER", help="Folder of the report.")] = Path("report"),
    seed: Annotated[int, typer.Option(metavar="N", min=0, help="Seed of everything.")] = 0,
    real: Annotated[
        bool, typer.Option("--real", help="Also the study on SmolLM2 (gsi models smollm2): hours.", rich_help_panel=RUN)
    ] = False,
    fresh: Annotated[
        bool, typer.Option("--fresh", help="Compute again what an earlier run finished.", rich_help_panel=RUN)
    ] = False,
) -> None:
    """Run everything and write OUT/index.html, with artifacts and figures beside it.

    An interrupted run goes on where it stopped: artifacts of the same command, seed, versions and commit are kept.
    """
    for package in ("torch", "transformers"):  # minutes of simulations come before the checks that need them
        if importlib.util.find_spec(package) is None:
            raise ModuleNotFoundError(f"No module named {package!r}", name=package)
    began = time.monotonic()
    with lasting_pool(WORKERS) as pool:
        page = _run(out, seed, not fresh, real, pool)
    typer.echo(f"wrote {page} in {time.monotonic() - began:.0f} s")
    failed = _failures(out / "artifacts")
    if failed:
        typer.echo(f"gsi report: failed: {', '.join(failed)}", err=True)
        raise typer.Exit(1)


def _run(out: Path, seed: int, resume: bool, real: bool, pool: Pool) -> Path:
    artifacts = out / "artifacts"
    simulate = _call("sims.command_simulate", "simulate")
    for name in _call("sims.experiments", "EXPERIMENTS"):
        simulate(name, seed, artifacts, {}, resume, pool)
    _call("sims.command_audit", "audit")(seed, artifacts, {}, resume=resume, pool=pool)
    _call("llm_check.models.model_options", "quiet_engines")()
    world, check = _call("llm_check.models.world", "load_world")(), _call("llm_check.models.command_check", "check")
    for name, item in _call("llm_check.models.checks.check_table", "CHECKS").items():
        if not item.options:
            check(name, world, seed, artifacts, {}, resume=resume)
        elif real:
            wanted = _call("llm_check.models.world", "load_world")(**item.options, seed=seed)
            check(name, wanted, seed, artifacts, item.full, resume=resume)
    _call("llm_check.models.embedded_page", "embedded_page")(artifacts, seed, resume=resume)
    page: Path = _call("figures.report", "build_report")(artifacts, out, pool)
    return page
