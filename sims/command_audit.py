"""`gsi audit`: every claim judged over families × rewards × β × n; a table for people, JSON for programs."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Annotated

import typer
from rich.table import Table

from gsi_theory.errors import InputError
from gsi_theory.runs.artifact import Artifact, is_current, provenance, read_artifact
from gsi_theory.runs.json_output import answer
from gsi_theory.runs.options import ArtifactsOption, JsonOption, SeedOption, WorkersOption
from gsi_theory.runs.progress import progress_bar
from gsi_theory.runs.settings import read_pairs, set_options
from gsi_theory.runs.terminal import columns, console, wrapped
from gsi_theory.runs.workers import WORKERS, Pool, local_pool
from gsi_theory.types import Record
from sims.audits.audit import PRESETS, run_audit
from sims.audits.drafts_needed import BETAS_ASKED

__all__ = ["app", "audit"]

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)
FIELDS = (  # of a claim, in --json
    *("id", "outcome", "expected", "tightness", "vacuous_share", "surprise", "evaluations"),
    *("holds", "refuted", "undecided", "vacuous", "not_applicable", "rejudged", "settled"),
    *("tight_family", "tight_beta", "tight_n"),
)
WIDE = 100  # columns from which the table also says where a claim is tightest


def audit(
    seed: int,
    out: Path,
    settings: dict[str, str],
    preset: str = "quick",
    resume: bool = False,
    pool: Pool | None = None,
) -> Path:
    """Run the audit into the folder `out`; returns the artifact's path.

    A run that was killed goes on where it stopped. With `resume` an artifact of the same command, seed, versions and
    commit is kept as it is.
    """
    command, path = f"gsi audit --{preset} --seed {seed}{set_options(settings)}", out / "audit.json"
    if resume and is_current(path, "audit", provenance(command, seed)):
        return path
    with progress_bar("audit") as report:
        return run_audit(seed, path, PRESETS[preset] | settings, pool or local_pool(WORKERS), report, command)


def _rows(artifact: Artifact, table: str) -> list[Record]:
    columns = artifact.tables[table]
    return [dict(zip(columns, values, strict=True)) for values in zip(*columns.values(), strict=True)]


def _certificate(example: Record) -> Record:
    """The counterexample, both sides enclosed by decimals; `outcome` is null where balls do not know the claim."""
    sides = {side: [example[f"{side}_lower"], example[f"{side}_upper"]] for side in ("lhs", "rhs")}
    names = ("draft", "base", "reward", "beta", "n", "rule", "threshold", "relative_gap")
    return {name: example[name] for name in names} | sides | {"outcome": example["certified"]}


def _record(artifact: Artifact) -> Record:
    """The answer of --json; n of `first_n` and `half_n` is "inf" where no n tried is enough."""
    certificates = {example["id"]: _certificate(example) for example in _rows(artifact, "counterexamples")}
    claims = []
    for row in _rows(artifact, "claims"):
        claim = {name: row[name] for name in FIELDS}
        for kind in ("first", "half"):
            claim[f"{kind}_n"] = {f"{b:g}": row[f"{kind}_n_beta_{b:g}"] for b in BETAS_ASKED}
        if row["id"] in certificates:
            claim["certificate"] = certificates[row["id"]]
        claims.append(claim)
    return {"claims": claims, "summary": artifact.summary}


def _n(value: float | None) -> str:
    if value is None:
        return "–"
    if math.isinf(value):
        return "∞"
    return f"{value:.0f}" if value <= 1024 else f"2^{math.log2(value):.0f}"


def _found(row: Record) -> str:
    if row["surprise"]:
        return "[bold white on red]REFUTED![/]"
    colors = {"HOLDS": "green", "REFUTED": "yellow"}
    text = row["outcome"].replace("_", " ")
    missing = row["expected"] == "REFUTED" and row["outcome"] != "REFUTED"
    return f"[{colors.get(row['outcome'], 'dim')}]{text}[/]" + (" ?" if missing else "")


def _short(count: int) -> str:
    return str(count) if count < 10_000 else f"{count / 1000:.0f}k" if count < 10_000_000 else f"{count / 1e6:.0f}M"


def _share(part: int, whole: int) -> str:
    if not whole or not part:
        return "–"
    share = 100.0 * part / whole
    return f"{share:.0f}%" if share >= 1.0 else "<1%"


def _where(row: Record) -> str:
    if row["tight_family"] is None:
        return ""
    return f"{row['tight_family'].replace('_', ' ')}, {row['tight_beta']:g}, {_n(row['tight_n'])}"


def _print(artifact: Artifact, path: Path) -> None:
    screen, wide = console(), columns() >= WIDE
    table = Table(box=None, header_style="bold", pad_edge=False, padding=(0, 1, 0, 0))
    table.add_column("claim", no_wrap=True)
    table.add_column("found")
    for label in ("judged", "vac-\nuous", "open", "tight"):
        table.add_column(label, justify="right", no_wrap=True)
    if wide:
        table.add_column("at\n(family, β, n)", no_wrap=True)
    table.add_column("half inform\nfrom n at\nβ 1, 5, 20", no_wrap=True)
    for row in _rows(artifact, "claims"):
        tight = "" if row["tightness"] is None else f"{math.floor(1000.0 * row['tightness']) / 1000.0:.3f}"
        speaks = [row[f"half_n_beta_{b:g}"] for b in BETAS_ASKED]
        shown = "–" if all(v is None for v in speaks) else ", ".join(map(_n, speaks))
        whole = row["evaluations"]
        shares = _share(row["vacuous"], whole), _share(row["undecided"], whole)
        where = (_where(row),) if wide else ()
        table.add_row(row["id"], _found(row), _short(whole), *shares, tight, *where, shown)
    screen.print(table)
    s = artifact.summary
    text = (
        f"{len(artifact.tables['claims']['id'])} claims, {s['evaluations']:,} evaluations; {s['rejudged']:,} within "
        f"numerical error judged again in ball arithmetic, {s['settled']:,} of them settled."
    )
    place = "at: where that is; " if wide else f"a terminal of {WIDE} columns, and --json, also say where that is; "
    words = (
        "judged: instances, k thousands, M millions; vacuous: share where the bound is no better than the trivial one; "
        f"open: share within numerical error; tight: largest lhs/rhs; {place}half inform: from this n on half of the "
        "evaluations are not vacuous (∞: at no n tried; –: an identity or a limit, which cannot be vacuous); REFUTED!: "
        "found and not expected; ?: REFUTED was expected and not found."
    )
    typer.echo(f"\n{wrapped(text)}\n{wrapped(words)}")
    for example in _rows(artifact, "counterexamples"):
        gap = "" if example["relative_gap"] is None else f", relative gap {example['relative_gap']:.3g}"
        proof = "by ball arithmetic" if example["certified"] == "REFUTED" else "in floating point"
        cut = "" if example["threshold"] is None else f", u {example['threshold']:g}"
        cut += "" if example["rule"] == "softmax" else f", rule {example['rule']}"
        text = (
            f"{example['id']} refuted {proof}{gap}: draft {example['draft']}, base {example['base']}, reward "
            f"{example['reward']}, β {example['beta']:g}, n {example['n']}{cut}"
        )
        typer.echo(wrapped(text, rest="  "))
    typer.echo(f"wrote {path}")


@app.command()
def command(
    full: Annotated[bool, typer.Option("--full/--quick", help="Millions of evaluations, or under a minute.")] = False,
    setting: Annotated[
        list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="A setting of the audit; repeatable.")
    ] = None,
    seed: SeedOption = 0,
    workers: WorkersOption = WORKERS,
    out: ArtifactsOption = Path("report/artifacts"),
    as_json: JsonOption = False,
) -> None:
    """Judge every claim over families of instances, rewards, β and n, and write the audit's artifact.

    A killed run goes on where it stopped. Exit status 1: a claim that should hold was refuted.
    """
    settings = read_pairs(setting or [])
    if "workers" in settings:
        raise InputError("--set workers: give --workers")
    path = audit(seed, out, settings, "full" if full else "quick", pool=local_pool(workers))
    artifact = read_artifact(path, "audit")
    if as_json:
        typer.echo(answer("audit", _record(artifact)))
    else:
        _print(artifact, path)
    if artifact.summary["surprises"]:
        raise typer.Exit(1)
