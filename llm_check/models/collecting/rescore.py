"""Another reward on the rows of a pool that was drawn already: what `gsi pool --rescore` does."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pyarrow as pa

from gsi_theory.errors import InputError
from gsi_theory.runs.artifact import provenance
from gsi_theory.runs.progress import Report
from gsi_theory.types import Json, Record
from llm_check.logs.pools.pool import Pool, read_pool, write_pool
from llm_check.logs.pools.prefixes import pool_at_length
from llm_check.models.collecting.provenance import folder_of, prompts_digest, reward_files
from llm_check.models.collecting.trajectories import REFERENCE
from llm_check.models.decoding.positions import Position, Prompt, encode_text
from llm_check.models.decoding.prompting import TEMPLATES
from llm_check.models.engines.checkpoint import load_tokenizer
from llm_check.models.engines.torch_threads import set_threads
from llm_check.models.model_types import Tokenizer
from llm_check.models.rewards.load_reward import load_reward
from llm_check.models.rewards.reward_model import reward_record
from llm_check.models.tasks.load_task import load_task
from llm_check.models.tasks.problem import Task
from llm_check.models.tiny import checkpoint_path

__all__ = ["rescore_pool"]

_COMPARED = 100  # rows whose text is compared with their token ids
_PART = 1024  # rows judged together


def rescore_pool(
    pool: Path,
    out: Path,
    reward: str,
    *,
    task: str | None = None,
    tokens: int | None = None,
    policy: str | None = None,
    template: str | None = None,
    device: str = "cpu",
    dtype: str = "float32",
    progress: Report | None = None,
) -> Pool:
    """Write the pool `out`: the rows of `pool` with the rewards of `reward` (a spec of `load_reward`) and, with tokens,
    cut to their first so many tokens, each prefix judged as a step.

    task: whose problems the pool's prompts are (None: as its provenance names it; a task of a file needs its file);
    policy: the folder whose tokenizer the pool's token ids, or its texts, are of (None: the embedded pair's); template:
    of the prompts (None: the provenance's). progress(done, total) counts rows. Raises InputError for what cannot be
    loaded, a prompt that the task lacks, prompts other than the pool's own, ids of another tokenizer, a path that the
    pool does not hold, and rewards out of their range; nothing is written then.
    """
    read = read_pool(pool)
    facts = read.metadata
    problems = _task(facts, task, pool)
    tokenizer = load_tokenizer(_folder(policy))
    steps = _steps(read, tokenizer, pool)
    cut = read if tokens is None else pool_at_length(read, tokens)
    places = _places(read, problems, tokenizer, template, pool)
    set_threads(embedded=policy is None)  # as where the pool was collected: sums of floats depend on it
    model = load_reward(reward, tokenizer, device=device, dtype=dtype)
    keys = list(zip(read.table["prompt_id"].to_pylist(), read.table["step"].to_pylist(), strict=True))
    prefixes = [ids if tokens is None else ids[:tokens] for ids in steps]
    rewards = np.zeros(len(keys))
    for start in range(0, len(keys), _PART):
        part = slice(start, start + _PART)
        rewards[part] = model.score([places[key] for key in keys[part]], prefixes[part])
        if progress is not None:
            progress(min(start + _PART, len(keys)), len(keys))
    columns = {name: cut.table[name] for name in cut.table.column_names} | {"reward": pa.array(rewards)}
    if tokens is not None:
        columns["text"] = pa.array([str(tokenizer.decode(list(ids))) for ids in prefixes], type=pa.string())
    line = f"gsi pool {shlex.quote(pool.name)} --rescore {shlex.quote(reward)}"
    line += "" if tokens is None else f" --tokens {tokens}"
    record: Record = dict(facts) | {
        "reward": reward_record(model) | reward_files(reward),
        "rescored": {"pool": pool.name, "reward": facts.get("reward"), "command": facts.get("command")},
        "prefix_tokens": tokens,
    }
    return write_pool(out, pa.table(columns), record | provenance(line, None))


def _folder(policy: str | None) -> Path:
    if policy is None:
        return checkpoint_path("draft")
    folder = folder_of(policy)
    if folder is None:
        raise InputError(f"--base {policy}: give the folder of the policies' tokenizer, which reads the pool's steps")
    return folder


def _task(facts: Mapping[str, Json], task: str | None, pool: Path) -> Task:
    name = facts.get("task")
    if task is None and not isinstance(name, str):
        raise InputError(f"{pool} does not say whose problems its prompts are: give --task")
    spec = task or str(name)
    limit, seed = facts.get("problems"), facts.get("seed")
    if spec.partition(":")[0] == "arithmetic" and isinstance(limit, int) and isinstance(seed, int):
        return load_task(spec, limit=limit, seed=seed)  # problems made by number and seed
    return load_task(spec)


def _steps(pool: Pool, tokenizer: Tokenizer, path: Path) -> list[tuple[int, ...]]:
    """Token ids of every row: those of the pool, or of its texts."""
    names = pool.table.column_names
    texts = pool.table["text"].to_pylist() if "text" in names else None
    if "token_ids" in names:
        steps = [tuple(ids or ()) for ids in pool.table["token_ids"].to_pylist()]
        for row, (ids, text) in enumerate(zip(steps[:_COMPARED], (texts or [])[:_COMPARED], strict=False)):
            if text is not None and _decoded(tokenizer, ids) != text:
                raise InputError(
                    f"{path}, row {row}: its token ids are {_decoded(tokenizer, ids)!r} to this tokenizer, but its "
                    f"text is {text!r}: give --base the folder of the model that drew the pool"
                )
    elif texts is not None:
        steps = [encode_text(tokenizer, text or "") for text in texts]
    else:
        raise InputError(f"{path} has no token_ids and no text: a reward needs what was written")
    empty = next((row for row, ids in enumerate(steps) if not ids), None)
    if empty is not None:
        raise InputError(f"{path}, row {empty}: the step is empty: leave its prompt out, or log what was written")
    return steps


def _decoded(tokenizer: Tokenizer, ids: tuple[int, ...]) -> str | None:
    """The text of ids, None where the tokenizer has no such ids."""
    try:
        return str(tokenizer.decode(list(ids), skip_special_tokens=False, clean_up_tokenization_spaces=False))
    except (OverflowError, TypeError, ValueError):
        return None


def _places(
    pool: Pool, task: Task, tokenizer: Tokenizer, template: str | None, path: Path
) -> dict[tuple[str, int], Position]:
    """The position of every (prompt_id, step) of the pool."""
    stated = pool.metadata.get("template")
    chosen = template or (stated if isinstance(stated, str) and stated in TEMPLATES else None)
    wanted = {prompt_id for prompt_id, _ in pool.arrays.names}
    prompts = {prompt.prompt_id: prompt for prompt in task.prompts(tokenizer, chosen) if prompt.prompt_id in wanted}
    missing = sorted(wanted - prompts.keys())
    if missing:
        raise InputError(f"{path}: task {task.name} has no problem {missing[0]!r}: give --task the one drawn for")
    digest = pool.metadata.get("prompts_sha256")
    if isinstance(digest, str) and digest != prompts_digest(list(prompts.values())):
        raise InputError(
            f"{path}: task {task.name} with this tokenizer and template makes other prompts than those of the pool: "
            "give the --task, --base and --template it was drawn with"
        )
    return {(name, step): _place(prompts[name], step, pool, task, tokenizer, path) for name, step in pool.arrays.names}


def _place(prompt: Prompt, step: int, pool: Pool, task: Task, tokenizer: Tokenizer, path: Path) -> Position:
    if step == 0:
        return Position(prompt)
    reference = task.solution_steps(prompt.problem)
    if pool.metadata.get("path") != REFERENCE or reference is None or len(reference) < step:
        raise InputError(
            f"{path}: step {step} of {prompt.prompt_id!r} follows steps that the pool does not hold: rescore pools of "
            f"first steps, or along --path {REFERENCE}"
        )
    return Position(prompt, tuple(encode_text(tokenizer, text) for text in reference[:step]))
