"""`gsi conform lm`: do an engine's, a generation loop's or a function's completions follow the law of their model?"""

from __future__ import annotations

from typing import Annotated

import typer

from gsi_theory.runs.conformance_words import Told, outcome_lines, outcome_record
from gsi_theory.runs.json_output import answer
from gsi_theory.runs.options import RUN, JsonOption
from gsi_theory.runs.progress import progress_bar
from gsi_theory.runs.terminal import counted, formatted, wrapped
from llm_check.models.model_options import (
    MODELS,
    TASK,
    DeviceOption,
    DtypeOption,
    SeedOption,
    TaskOption,
    TemplateOption,
    quiet_engines,
)

__all__ = ["app"]

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)


@app.command()
def command(
    tested: Annotated[
        str,
        typer.Argument(
            metavar="ENGINE",
            help="MODEL, vllm:FOLDER or a server's URL (our engines); generate:MODEL, assisted:MODEL (transformers', "
            "with ?SETTING=VALUE of its GenerationConfig); custom:MODEL (our custom_generate); or FILE.py:FUNCTION, "
            "from a prompt (ids, text, max_tokens, ends, temperature, rng) to the token ids of one completion.",
        ),
    ],
    model: Annotated[
        str | None,
        typer.Option(
            metavar="MODEL",
            help="Whose law it is (default: the model named, else the embedded base).",
            rich_help_panel=MODELS,
        ),
    ] = None,
    assistant: Annotated[
        str | None,
        typer.Option(
            metavar="MODEL",
            help="Draft of assisted: and custom: (default: embedded, or smollm2:medium).",
            rich_help_panel=MODELS,
        ),
    ] = None,
    temperature: Annotated[
        float, typer.Option(metavar="NUMBER", help="Of the law that is claimed.", rich_help_panel=MODELS)
    ] = 1.0,
    device: DeviceOption = "cpu",
    dtype: DtypeOption = "float32",
    task: TaskOption = None,
    template: TemplateOption = None,
    prompts: Annotated[
        int, typer.Option(metavar="N", min=1, max=1000, help="Prompts, played in turn.", rich_help_panel=TASK)
    ] = 4,
    tokens: Annotated[
        int, typer.Option(metavar="N", min=1, max=4096, help="Longest completion.", rich_help_panel=TASK)
    ] = 4,
    draws: Annotated[
        int, typer.Option(metavar="N", min=1, max=10_000_000, help="Completions in all.", rich_help_panel=RUN)
    ] = 2_000,
    level: Annotated[
        float,
        typer.Option(
            metavar="NUMBER", help="A right engine is refuted with at most this probability.", rich_help_panel=RUN
        ),
    ] = 0.01,
    seed: SeedOption = 0,
    as_json: JsonOption = False,
) -> None:
    """Draw completions and judge every token against its model's own law, by transformers' plain forward (M50).

    Exit status 1: it does not conform.
    """
    quiet_engines()
    from llm_check.models.conforming.engine_conformance import slack_of  # slow to import
    from llm_check.models.conforming.lm_bench import load_bench

    bench = load_bench(
        tested, model, assistant, prompts=prompts, tokens=tokens, temperature=temperature, task=task, template=template,
        device=device, dtype=dtype, seed=seed,
    )  # fmt: skip
    with progress_bar("completions") as report:
        judged = bench.play(draws, level, report)
    said = [bench.sampler.engine, bench.sampler.version] if bench.sampler.version else []
    if as_json:
        record = outcome_record(judged.outcome) | {
            "engine": " ".join(said) or tested,
            "model": bench.model.contract.model,
            "completions": judged.completions,
            "score_gap": judged.score_gap,
        }
        typer.echo(answer("conform_lm", record))
    else:
        tokenizer = bench.model.tokenizer

        def place(problem: int, outcome: int) -> str:
            if problem == len(judged.likeliest):
                return f"later tokens, eighth {outcome + 1} of the law from its likeliest token on"
            ids = judged.likeliest[problem]
            which = repr(tokenizer.decode([ids[outcome]])) if outcome < len(ids) else "any but the seven likeliest"
            return f"prompt {problem}, first token {which}"

        name = f"{tested} ({' '.join(said)})" if said else tested
        count = counted(len(judged.likeliest), "prompt")
        for line in outcome_lines(judged.outcome, Told(name, bench.model.contract.model, count, "token", place)):
            typer.echo(line)
        if judged.score_gap is not None:
            typer.echo(f"its log-probabilities are within {formatted(judged.score_gap, '.1e')} nats a token of the law")
        dtype = bench.model.contract.dtype
        if (known := slack_of(dtype)) >= 0.01:
            typer.echo(
                wrapped(f"in {dtype} the law is known within {known:g} nats a token alone: finer faults are not seen")
            )
    if not judged.outcome.conforms:
        raise typer.Exit(1)
