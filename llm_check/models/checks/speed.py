"""Candidates sampled and scored per second: the engines against the naive way, in one run: artifact `lm_speed`.

A step of n candidates: drawn from the draft with their log-probabilities, scored by the base, judged by the reward
model. Both ways walk the same prefixes, the first steps of reference solutions. The naive way is what a first
implementation does at every step: `generate(num_return_sequences=n)` on the whole prefix from its text, then a forward
of the base and one of the reward model over each whole sequence. Ours keeps prefixes from step to step. Compared are
one prompt at a time, for every n of `ns`, and 16 prompts at once at the first n.

The ways take turns problem by problem and the ratio is formed within a repeat, so that load on the machine falls on
both. Rewards remembered from before are dropped before every problem. Ours is asked for other candidates in every
repeat, so nothing is timed twice. Times are not reproducible: this artifact's bytes differ from run to run.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from transformers import GenerationConfig

from gsi_theory.errors import InputError
from gsi_theory.runs.artifact import provenance, write_artifact
from gsi_theory.types import Json, Record
from llm_check.models.checks.check_settings import read_settings
from llm_check.models.checks.check_table import CHECKS
from llm_check.models.collecting.collect import Policies, draw_candidates, positions
from llm_check.models.decoding.positions import Position, encode_text
from llm_check.models.decoding.reasoning_steps import PAD, require_candidates
from llm_check.models.engines.transformers_engine import TransformersEngine
from llm_check.models.rewards.token_classifier import ProcessRewardModel
from llm_check.models.tasks.arithmetic import make_problems
from llm_check.models.tiny.exact_steps import require_arithmetic
from llm_check.models.world import World

__all__ = ["DEFAULTS", "naive_candidates", "run"]

DEFAULTS = CHECKS["lm_speed"].defaults
BATCH = 16
STEPS = 3


def _step_logp(logits: torch.Tensor, tokens: NDArray[np.int64], real: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Log-probability (n,) of the `real` ones of `tokens` (n, T) under `logits` (n, T, V)."""
    logp = torch.log_softmax(logits.double(), dim=-1).gather(2, torch.from_numpy(tokens)[..., None])[..., 0]
    return np.where(real, logp.numpy(), 0.0).sum(axis=1)


def _modules(world: World) -> tuple[Any, Any, Any]:
    """The draft, base and reward modules of transformers; InputError for a world of other engines."""
    draft, base, reward = world.draft, world.base, world.reward_model
    if not isinstance(draft, TransformersEngine) or not isinstance(base, TransformersEngine):
        raise InputError("lm_speed compares with transformers' generate: give transformers folders for draft and base")
    if not isinstance(reward, ProcessRewardModel):
        raise InputError("lm_speed rescoring needs a token-classification reward model: leave --reward at its default")
    return draft.model, base.model, reward.model


@torch.inference_mode()
def naive_candidates(
    world: World, prefix: Sequence[int], n: int
) -> tuple[NDArray[np.int64], NDArray[np.float64], NDArray[np.float64]]:
    """n steps (n, T) of the draft padded with PAD, their log-ratio and reward, (n,) each."""
    draft, base, reward = _modules(world)
    settings = GenerationConfig(
        do_sample=True,
        temperature=1.0,
        top_k=0,
        top_p=1.0,
        num_return_sequences=n,
        max_new_tokens=world.rule.max_tokens,
        eos_token_id=world.rule.closing_ids.tolist(),
        pad_token_id=0,
        return_dict_in_generate=True,
        output_logits=True,
    )
    prompt = torch.tensor([list(prefix)])
    made = draft.generate(prompt, attention_mask=torch.ones_like(prompt), generation_config=settings)
    whole = made.sequences
    tokens = whole[:, len(prefix) :].numpy()
    closed = np.isin(tokens, world.rule.closing_ids)
    real: NDArray[np.bool_] = np.cumsum(closed, axis=1) - closed == 0
    logits = base(input_ids=whole, use_cache=False).logits[:, len(prefix) - 1 : -1]
    ratio = _step_logp(logits, tokens, real) - _step_logp(torch.stack(made.logits, dim=1), tokens, real)
    judged = reward(input_ids=whole, use_cache=False).logits
    last = judged[torch.arange(n), torch.from_numpy(len(prefix) - 1 + real.sum(axis=1))]
    return np.where(real, tokens, PAD), ratio, last.double().softmax(dim=-1)[:, 1].numpy()


def _naive(world: World, path: Position, n: int) -> None:
    text = str(world.draft.tokenizer.decode(list(path.prompt.ids)))
    for step in path.path:
        naive_candidates(world, encode_text(world.draft.tokenizer, text), n)
        text += str(world.draft.tokenizer.decode(list(step)))


def _ours(world: World, paths: Sequence[Position], n: int, seed: int) -> None:
    policies = Policies(world.draft, world.base, world.reward_model)
    at = [Position(path.prompt) for path in paths]
    caches = [engine.prefill([place.prefix for place in at]) for engine in (world.draft, world.base)]
    for step in range(STEPS):
        streams = [place.stream(seed, 0) for place in at]
        draw_candidates(policies, "draft", (caches[0], caches[1]), at, n, streams, world.rule)
        taken = [path.path[step] for path in paths]
        at = [place.after(chosen) for place, chosen in zip(at, taken, strict=True)]
        caches = [e.extend(cache, taken) for e, cache in zip((world.draft, world.base), caches, strict=True)]


def _timed(call: Callable[[], None]) -> float:
    began = time.perf_counter()
    call()
    return time.perf_counter() - began


def _repeat(world: World, paths: list[Position], n: int, batched: bool, seed: int) -> tuple[float, float]:
    """Seconds per step of n candidates, (naive, ours); with `batched`, ours has BATCH prompts in each step."""
    reward = world.reward_model
    assert isinstance(reward, ProcessRewardModel)
    naive, ours, counted = 0.0, 0.0, 0
    for i, path in enumerate(paths):
        reward.forget()
        naive += _timed(lambda path=path: _naive(world, path, n))  # type: ignore[misc]
        group = [paths[(i + k) % len(paths)] for k in range(BATCH)] if batched else [path]
        ours += _timed(lambda group=group: _ours(world, group, n, seed))  # type: ignore[misc]
        counted += len(group) * STEPS
    return naive / (len(paths) * STEPS), ours / counted


def _disagreement(world: World, path: Position, n: int) -> float:
    """Largest |difference| of log-ratios, nats, between a naive full forward and the engines, on naive draws."""
    tokens, ratio, _ = naive_candidates(world, path.prefix, n)
    own, other = (e.score(e.prefill([path.prefix]), tokens[None])[0].sum(axis=1) for e in (world.draft, world.base))
    return float(np.abs(other - own - ratio).max())


def _cells(seconds: dict[tuple[int, bool], list[tuple[float, float]]]) -> list[Record]:
    """One row for each n and kind: medians over repeats, and the range of the ratio."""
    rows = []
    for (n, batched), pairs in seconds.items():
        naive, ours = np.array(pairs).T
        ratio = naive / ours
        rows.append(
            {
                "n": n,
                "prompts": BATCH if batched else 1,
                "naive_seconds_per_step": float(np.median(naive)),
                "seconds_per_step": float(np.median(ours)),
                "candidates_per_second": float(n / np.median(ours)),
                "ratio_median": float(np.median(ratio)),
                "ratio_low": float(ratio.min()),
                "ratio_high": float(ratio.max()),
            }
        )
    return rows


def run(
    world: World, seed: int, out: Path, settings: dict[str, str], progress: Callable[[int, int], None], command: str
) -> Path:
    """Write the artifact; settings n, more (further n for one prompt), repeats (after one that warms up), problems,
    threads (1 suits tiny models). Raises InputError for a world that is not of transformers engines."""
    chosen = read_settings(settings, DEFAULTS)
    require_arithmetic(world)
    _modules(world)
    for prompts, n in ((1, max(chosen["n"], *chosen["more"])), (BATCH, chosen["n"])):
        require_candidates(n, prompts, world.rule)
    problems = make_problems(chosen["problems"], seed, "test")
    paths = positions(problems, world.draft.tokenizer, (STEPS,))
    kinds = [(n, False) for n in (chosen["n"], *chosen["more"])] + [(chosen["n"], True)]
    seconds: dict[tuple[int, bool], list[tuple[float, float]]] = {kind: [] for kind in kinds}
    before = torch.get_num_threads()
    torch.set_num_threads(chosen["threads"])
    try:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            difference = _disagreement(world, paths[0], chosen["n"])
            for repeat in range(chosen["repeats"] + 1):
                for n, batched in kinds:
                    pair = _repeat(world, paths, n, batched, seed + repeat)
                    if repeat:  # repeat 0 warms up
                        seconds[n, batched].append(pair)
                progress(repeat + 1, chosen["repeats"] + 1)
    finally:
        torch.set_num_threads(before)
    cells = _cells(seconds)
    names = ("seconds_per_step", "ratio_median", "ratio_low", "ratio_high")
    summary = (
        {
            "n": chosen["n"],
            "batch": BATCH,
            "repeats": chosen["repeats"],
            "threads": chosen["threads"],
            "naive_seconds_per_step": cells[0]["naive_seconds_per_step"],
            "largest_log_ratio_difference": difference,
            "forward": world.draft.contract.forward,
        }
        | {name: cells[0][name] for name in names}
        | {f"batch_{name}": cells[-1][name] for name in names}
    )
    tables: dict[str, dict[str, list[Json]]] = {
        "cells": {key: [row[key] for row in cells] for key in cells[0]},
        "repeats": {
            "n": [n for (n, _), pairs in seconds.items() for _ in pairs],
            "prompts": [BATCH if batched else 1 for (_, batched), pairs in seconds.items() for _ in pairs],
            "naive_seconds_per_step": [naive for pairs in seconds.values() for naive, _ in pairs],
            "seconds_per_step": [ours for pairs in seconds.values() for _, ours in pairs],
        },
    }
    return write_artifact(out, "lm_speed", provenance(command, seed), summary, tables)
