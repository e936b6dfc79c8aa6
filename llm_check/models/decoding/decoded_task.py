"""Problems of a task solved by one or several methods, from names of models and task to the record: `llm_check.decode`.

What `gsi decode` does, with the command's defaults, as one function: it loads what is named, decodes, grades, and
returns solutions with accuracy, paired differences, acceptance and costs.
"""

from __future__ import annotations

import hashlib
import json
import shlex
from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields, replace
from functools import partial
from pathlib import Path

from gsi_theory.errors import InputError
from gsi_theory.runs.artifact import atomic_write_text, provenance, require_writable
from gsi_theory.runs.journal import Journal, journal_path
from gsi_theory.runs.json_output import answer
from gsi_theory.runs.options import distinct
from gsi_theory.runs.progress import Report
from gsi_theory.runs.user_file import names_file
from gsi_theory.types import Record
from llm_check.models.decoding.method_table import methods_of, named_method
from llm_check.models.decoding.positions import Prompt
from llm_check.models.decoding.prompting import template_record
from llm_check.models.decoding.solution import require_size
from llm_check.models.decoding.solutions import SolutionRun, differences, solve_task, summary
from llm_check.models.decoding.step_candidates import Models
from llm_check.models.rewards.reward_model import reward_record, unjudged
from llm_check.models.world import World, load_world

__all__ = ["DecodedTask", "decode"]


@dataclass(frozen=True)
class DecodedTask:
    """What was decoded; every field but the last two is one of the JSON record.

    task: its name
    settings: of the run, as options of the command
    models: names of draft, base, reward model and further drafters
    methods: for each n and method accuracy with its interval, acceptance and costs (`decoding.solutions.summary`)
    differences: paired differences of accuracy of every two methods at every n (`decoding.solutions.differences`)
    solutions: question, reference answer, n and the solution (`decoding.solutions`), by n, methods in the order asked
    for; a method that fixes its own number of candidates is decoded once, at the first n
    provenance: command, seed, versions, contracts of the engines, prompts and reward model
    warning: what the reward model could not judge, in words; empty for nothing
    step_seconds: for each of `methods` seconds of decoding by the steps of all problems; None where all was kept
    """

    task: str
    settings: Record
    models: dict[str, str]
    methods: list[Record]
    differences: list[Record]
    solutions: list[Record]
    provenance: Record
    warning: str = ""
    step_seconds: tuple[float | None, ...] = ()

    def as_json(self) -> str:
        """The record as the command writes it: strict JSON, one trailing newline. It has no seconds: these differ from
        run to run, and its bytes do not."""
        told = {"warning", "step_seconds"}
        record = {field.name: getattr(self, field.name) for field in fields(self) if field.name not in told}
        return answer("decode", record, indent=1) + "\n"


def decode(
    methods: str | Sequence[str] = ("gsi",),
    *,
    n: int | Sequence[int] = 4,
    n_base: int | None = None,
    beta: float = 20.0,
    threshold: float = 0.5,
    draft: str | Path | None = None,
    base: str | Path | None = None,
    reward: str | Path | None = None,
    drafters: Sequence[str | Path] = (),
    drafter_counts: Sequence[int] = (),
    device: str = "cpu",
    dtype: str = "float32",
    temperature: float = 1.0,
    task: str | None = None,
    problems: int | None = None,
    step: str | None = None,
    max_tokens: int | None = None,
    template: str | None = None,
    instruction: str | None = None,
    seed: int = 0,
    batch: int = 16,
    out: Path | None = None,
    progress: Report | None = None,
) -> DecodedTask:
    """Solve problems step by step on two language models by a method or several (keys of METHODS or SETS, or
    FILE.py:NAME).

    n candidates a step, of several numbers each in turn; n_base where the base draws (None: n); beta ≥ 0 multiplies the
    reward; threshold u in reward units, for methods with a gate. draft, base, reward, drafters, temperature, task,
    step, max_tokens, template: as `load_world` takes them (None: the embedded world's); drafter_counts candidates of
    each further drafter (empty: n each). At most `problems` problems, chosen by `seed` (None: all), `batch` of them
    side by side.

    With `out` the JSON record is written there, and a journal beside it lets an equal call go on after a stop.
    progress(done, total) counts solutions. Raises InputError for an unknown or repeated method, values that `Scheme`
    refuses, and what cannot be loaded, written or held in memory.
    """
    names = tuple(methods_of((methods,) if isinstance(methods, str) else methods))
    ns = distinct([n] if isinstance(n, int) else n)
    if not ns:
        raise InputError("n = (): give at least one number of candidates")
    runs = [SolutionRun(_at(names, k, ns), beta, k, threshold, n_base, seed, batch) for k in ns if _at(names, k, ns)]
    if out is not None:
        require_writable(out)
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
        instruction=instruction,
        limit=problems,
        seed=seed,
        drafters=drafters,
        temperature=temperature,
    )
    models = replace(world.models, drafter_counts=tuple(drafter_counts))
    prompts = world.prompts()
    for run in runs:
        for name in run.methods:
            require_size(named_method(name), run.scheme(name), models, prompts, world.rule, batch)
    head = _head(runs, world, models, prompts, dtype)
    journal = Journal(None if out is None else journal_path(out), head)
    taken: dict[tuple[str, int], list[tuple[float, int]]] = {}
    total = len(prompts) * sum(len(run.methods) for run in runs)
    found: list[tuple[SolutionRun, list[Record]]] = []
    try:
        for run in runs:
            done = sum(len(rows) for _, rows in found)
            label = (str(run.n),) if len(runs) > 1 else ()
            report = None if progress is None else partial(_told, progress, done, total)
            watch = partial(_noted, taken, run.n)
            work = models, prompts, world.rule, world.max_steps, world.task.grade, journal, report, watch, label
            found.append((run, solve_task(run, *work)))
    except InputError:
        journal.delete_if_empty()
        raise
    decoded = _decoded(names, world, found, head, taken)
    if out is not None:
        atomic_write_text(out, decoded.as_json())
        journal.delete()
    return decoded


def _at(names: tuple[str, ...], n: int, ns: tuple[int, ...]) -> tuple[str, ...]:
    """The methods that are decoded at n: at a further one those whose own number of candidates it is."""
    return tuple(name for name in names if n == ns[0] or named_method(name).n is None)


def _told(progress: Report, before: int, total: int, done: int, _: int) -> None:
    progress(before + done, total)


def _noted(taken: dict[tuple[str, int], list[tuple[float, int]]], n: int, name: str, took: float, steps: int) -> None:
    taken.setdefault((name, n), []).append((took, steps))


def _head(runs: list[SolutionRun], world: World, models: Models, prompts: list[Prompt], dtype: str) -> Record:
    """What the solutions depend on: settings, models, prompts, code and versions."""
    run = runs[0]
    settings = {key: value for key, value in asdict(run).items() if key != "seed"} | {
        "n": run.n if len(runs) == 1 else [run.n for run in runs],
        "step": world.step,
        "max_tokens": world.rule.max_tokens,
        "max_steps": world.max_steps,
        "template": world.template,
        "instruction": world.task.instruction or None,
        "problems": len(prompts),
        "dtype": dtype,
        "temperature": world.draft.contract.sampling_temperature,
        "drafter_n": models.drafter_counts or None,
    }
    if records := {name: asdict(named_method(name)) for name in run.methods if names_file(name)}:
        settings["records"] = records
    engines = {"draft": world.draft, "base": world.base}
    engines |= {f"drafter{j}": engine for j, engine in enumerate(world.drafters, start=1)}
    puzzles = [[prompt.prompt_id, list(prompt.ids), str(prompt.problem.answer)] for prompt in prompts]
    digest = hashlib.sha256(json.dumps(puzzles).encode()).hexdigest()
    line = f"gsi decode --task {shlex.quote(world.names['task'])} {_options(settings)} --seed {run.seed}"
    told = template_record(world.draft.tokenizer, world.task.instruction, world.template, world.task.turns)
    return {
        "settings": settings,
        "prompts": told | {"sha256": digest},
        "reward": reward_record(world.reward_model),
        "models": world.names,
        "contracts": {name: asdict(engine.contract) for name, engine in engines.items()},
        "provenance": provenance(line, run.seed),
    }


def _options(settings: Record) -> str:
    """The settings as options of the command."""
    options = [("method", name) for name in settings["methods"]]
    options += [("drafter_n", count) for count in settings["drafter_n"] or ()]
    skipped = ("methods", "max_steps", "drafter_n", "records", "n")
    several = settings["n"] if isinstance(settings["n"], list) else [settings["n"]]
    options += [("n", ",".join(map(str, several)))]
    options += [(key, value) for key, value in settings.items() if key not in skipped and value is not None]
    return " ".join(f"--{key.replace('_', '-')} {shlex.quote(str(value))}" for key, value in options)


def _decoded(
    names: tuple[str, ...],
    world: World,
    found: list[tuple[SolutionRun, list[Record]]],
    head: Record,
    taken: dict[tuple[str, int], list[tuple[float, int]]],
) -> DecodedTask:
    problems = {problem.problem_id: problem for problem in world.task.problems}
    solutions, methods, pairs = [], [], []
    seconds: list[float | None] = []
    for run, rows in found:
        for row in rows:
            problem = problems[row["problem_id"]]
            solutions.append({"question": problem.question, "reference": str(problem.answer), "n": run.n, **row})
        for name in run.methods:
            methods.append(summary(name, run, [row for row in rows if row["method"] == name], world.reward_model))
            spent = taken.get((name, run.n))
            seconds.append(None if spent is None else sum(s for s, _ in spent) / sum(steps for _, steps in spent))
        fixed = [row for row in found[0][1] if row["method"] not in run.methods]
        pairs += [{"n": run.n, **pair} for pair in differences(names, rows + fixed)]
    return DecodedTask(
        task=world.task.name,
        settings=head["settings"],
        models=head["models"],
        methods=methods,
        differences=pairs,
        solutions=solutions,
        provenance=head["provenance"] | {key: head[key] for key in ("contracts", "prompts", "reward")},
        warning=unjudged(world.reward_model),
        step_seconds=tuple(seconds),
    )
