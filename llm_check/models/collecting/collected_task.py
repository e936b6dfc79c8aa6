"""A pool of candidates at the problems of a task, from names of models and task to the file: what `gsi pool` does."""

from __future__ import annotations

import shlex
from pathlib import Path

from gsi_theory.errors import InputError
from gsi_theory.runs.artifact import provenance
from gsi_theory.runs.progress import Report
from gsi_theory.types import Record
from llm_check.models.collecting.provenance import policy_record, prompts_digest, reward_files
from llm_check.models.collecting.trajectories import REFERENCE, Collection, Trajectory, collect_parts
from llm_check.models.decoding.method_table import METHODS
from llm_check.models.decoding.positions import Prompt, encode_text
from llm_check.models.decoding.prompting import template_record
from llm_check.models.decoding.reasoning_steps import require_candidates
from llm_check.models.decoding.solution import require_prompt_room
from llm_check.models.decoding.step_candidates import most_candidates
from llm_check.models.grading.judging import Judges
from llm_check.models.rewards.reward_model import reward_record
from llm_check.models.tiny import checkpoint_path
from llm_check.models.world import World, load_world

__all__ = ["collect_task"]


def collect_task(
    out: Path,
    *,
    candidates: int = 1000,
    base_candidates: int | None = None,
    steps: int = 1,
    path: str | None = None,
    beta: float = 20.0,
    n: int = 4,
    threshold: float = 0.5,
    draft: str | None = None,
    base: str | None = None,
    reward: str | None = None,
    device: str = "cpu",
    dtype: str = "float32",
    task: str | None = None,
    problems: int = 4,
    step: str | None = None,
    max_tokens: int | None = None,
    template: str | None = None,
    seed: int = 0,
    batch: int | None = None,
    text: bool = True,
    progress: Report | None = None,
) -> None:
    """Collect `candidates` draft and `base_candidates` base candidates (None: as many) at up to `steps` positions of
    each of `problems` problems into the pool `out`; an equal call goes on with one that was stopped.

    path: how a prompt goes on: "reference", or a method with its beta, n, threshold (None: the reference where the task
    has one, else "base"). Models, task, step and template as `load_world` takes them. progress(done, total) counts
    positions. Raises InputError for what cannot be loaded, written or held in memory, and a path that the task lacks.
    """
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
        limit=problems,
        seed=seed,
    )
    prompts = world.prompts()
    require_prompt_room(world.models, prompts, world.rule)
    most = max(candidates, base_candidates or 0)
    require_candidates(most, 1, world.rule, f"candidates = {most}")
    reference = _reference(world, prompts)
    method = path or ("base" if reference is None else REFERENCE)
    if method == REFERENCE and reference is None:
        raise InputError(f"--path {REFERENCE}: task {world.task.name} has no reference solutions in steps; give base")
    scheme = METHODS.get(method, METHODS["base"]).scheme(beta, n, threshold)
    if method != REFERENCE:
        require_candidates(most_candidates(scheme, world.models), 1, world.rule, f"n = {n}")
    job = Collection(
        models=world.models,
        prompts=tuple(prompts),
        trajectory=Trajectory(method, scheme, reference),
        steps=min(steps, world.max_steps),
        counts=(candidates, base_candidates or candidates),
        rule=world.rule,
        seed=seed,
        batch=batch,
        judges=Judges(world.task.check_step, world.task.grade, world.max_steps),
        text=text,
    )
    specs = {
        name: str(spec or checkpoint_path(name)) for name, spec in (("draft", draft), ("base", base), ("prm", reward))
    }
    collect_parts(out, job, _record(job, world, specs), progress)


def _reference(world: World, prompts: list[Prompt]) -> dict[str, list[tuple[int, ...]]] | None:
    """The steps of every prompt's reference solution as token ids; None for a task that has none."""
    known = {prompt.prompt_id: world.task.solution_steps(prompt.problem) for prompt in prompts}
    if None in known.values():
        return None
    encoded = world.draft.tokenizer
    return {name: [encode_text(encoded, text) for text in steps or ()] for name, steps in known.items()}


def _record(job: Collection, world: World, specs: dict[str, str]) -> Record:
    """Provenance: what a resumed run must share, then versions and commit."""
    models, path = job.models, job.trajectory
    scheme = {} if path.method == REFERENCE else {"beta": path.scheme.beta, "n": path.scheme.n}
    if path.method != REFERENCE and path.scheme.threshold is not None:
        scheme["threshold"] = path.scheme.threshold
    # In the order in which a difference is named: what a user chooses, then digests.
    options: Record = {
        "task": world.task.name,
        "problems": len(job.prompts),
        "steps": job.steps,
        "path": path.method,
        **scheme,
        "candidates": job.counts[0],
        "base_candidates": job.counts[1],
        "step": world.step,
        "max_tokens": job.rule.max_tokens,
        "template": world.template,
        "batch": job.size,
        "seed": job.seed,
    }
    line = " ".join(f"--{name.replace('_', '-')} {shlex.quote(str(value))}" for name, value in options.items())
    line += "" if job.text else " --no-text"
    settings = options | {
        "text": job.text,
        "draft": policy_record(specs["draft"], models.draft),
        "base": policy_record(specs["base"], models.base),
        "reward": reward_record(models.reward_model) | reward_files(specs["prm"]),
        "prompt": template_record(models.draft.tokenizer, world.task.instruction, world.template, world.task.turns),
        "prompts_sha256": prompts_digest(job.prompts),
    }
    return settings | provenance(f"gsi pool {line}", job.seed)
