"""Seconds per GSI step: the shared-cache engine against the naive way, measured in one run: artifact `lm_speed`.

The naive way is what a first implementation does: `generate(num_return_sequences=n)` on the whole prefix at every
step (the draft's log-probabilities come with it), then a full forward of the base and of the reward model over each
whole sequence. Ours is `decode`, one problem at a time (the like-for-like comparison) and 16 problems at once. All
three draw whole solutions of the same test problems by the method "gsi"; a solution's steps are random, so time is
divided by the number of steps taken.

Within a repeat the ways are timed in turn, and the ratio is formed within the repeat, so that load on the machine
falls on both. The reward model's memory of judged steps is emptied before every solution or batch of solutions. Times
are not reproducible, so this artifact's bytes differ from run to run.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from transformers import GenerationConfig

from gsi_theory.artifact import provenance, write_artifact
from llm_check.decode import decode
from llm_check.positions import encode_text
from llm_check.settings import read_settings
from llm_check.steps import PAD
from llm_check.tasks.arithmetic import MAX_STEPS, Problem, make_problems
from llm_check.world import World

__all__ = ["DEFAULTS", "naive_candidates", "naive_solution", "run"]

DEFAULTS: dict[str, Any] = {"n": 16, "repeats": 3, "problems": 8, "threads": 1}

BATCH = 16
BETA, THRESHOLD = 4.0, 0.3
WAYS = ("naive", "ours, one problem at a time", f"ours, {BATCH} problems at once")


def _step_logp(logits: torch.Tensor, tokens: NDArray[np.int64], real: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Log-probability (n,) of the `real` ones of `tokens` (n, T) under `logits` (n, T, V)."""
    logp = torch.log_softmax(logits.double(), dim=-1).gather(2, torch.from_numpy(tokens)[..., None])[..., 0]
    return np.where(real, logp.numpy(), 0.0).sum(axis=1)


@torch.inference_mode()
def naive_candidates(
    world: World, source: str, prefix: list[int], n: int
) -> tuple[NDArray[np.int64], NDArray[np.float64], NDArray[np.float64]]:
    """n steps (n, T) padded with PAD from `source`, their log-ratio (zero for base draws) and reward, (n,) each."""
    engine = world.draft if source == "draft" else world.base
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
    prompt = torch.tensor([prefix])
    made = engine.model.generate(prompt, attention_mask=torch.ones_like(prompt), generation_config=settings)
    whole = made.sequences
    tokens = whole[:, len(prefix) :].numpy()
    closed = np.isin(tokens, world.rule.closing_ids)
    real: NDArray[np.bool_] = np.cumsum(closed, axis=1) - closed == 0
    ratio = np.zeros(n)
    if source == "draft":
        logits = world.base.model(input_ids=whole, use_cache=False).logits[:, len(prefix) - 1 : -1]
        ratio = _step_logp(logits, tokens, real) - _step_logp(torch.stack(made.logits, dim=1), tokens, real)
    logits = world.reward_model.model(input_ids=whole, use_cache=False).logits
    last = logits[torch.arange(n), torch.from_numpy(len(prefix) - 1 + real.sum(axis=1))]
    return np.where(real, tokens, PAD), ratio, last.double().softmax(dim=-1)[:, 1].numpy()


def naive_solution(world: World, problem: Problem, n: int, rng: np.random.Generator) -> int:
    """Solve one problem by GSI the naive way; returns the number of steps taken."""
    prefix = list(encode_text(world.draft.tokenizer, problem.prompt))
    steps = 0
    while steps < MAX_STEPS and prefix[-1] not in world.rule.eos_ids:
        tokens, ratio, reward = naive_candidates(world, "draft", prefix, n)
        winner = int(np.argmax(BETA * reward + ratio + rng.gumbel(size=n)))
        if reward[winner] + ratio[winner] / BETA < THRESHOLD:
            tokens, _, reward = naive_candidates(world, "base", prefix, n)
            winner = int(np.argmax(BETA * reward + rng.gumbel(size=n)))
        prefix = prefix + tokens[winner][tokens[winner] != PAD].tolist()
        steps += 1
    return steps


def _ours(world: World, problems: list[Problem], n: int, seed: int) -> int:
    """Solve problems by `decode`, all at once, with nothing remembered from before; returns the steps taken."""
    reward = replace(world.reward_model, _known={})
    found = decode("gsi", world.draft, world.base, reward, problems, BETA, n, THRESHOLD, world.rule, seed)
    return len(found.records["step"])


def _seconds_per_step(way: str, world: World, problems: list[Problem], n: int, seed: int) -> float:
    batched = (problems * -(-BATCH // len(problems)))[:BATCH]
    batched = [replace(problem, problem_id=f"{problem.problem_id}-{i}") for i, problem in enumerate(batched)]
    rng = np.random.default_rng([seed, n])
    began = time.perf_counter()
    if way == WAYS[0]:
        steps = sum(naive_solution(world, problem, n, rng) for problem in problems)
    elif way == WAYS[1]:
        steps = sum(_ours(world, [problem], n, seed) for problem in problems)
    else:
        steps = _ours(world, batched, n, seed)
    return (time.perf_counter() - began) / steps


def _disagreement(world: World, problem: Problem, n: int) -> float:
    """Largest |difference| of log-ratios, nats, between a naive full forward and the engine, on naive draws."""
    prefix = list(encode_text(world.draft.tokenizer, problem.prompt))
    tokens, ratio, _ = naive_candidates(world, "draft", prefix, n)
    own, other = (e.score(e.prefill([prefix]), tokens[None])[0].sum(axis=1) for e in (world.draft, world.base))
    return float(np.abs(other - own - ratio).max())


def _quartet(seconds: dict[str, list[float]], way: str, prefix: str) -> dict[str, float]:
    """Median seconds of a way, and median and range over repeats of naive over this."""
    ratio = np.array(seconds[WAYS[0]]) / np.array(seconds[way])
    return {
        f"{prefix}seconds_per_step": float(np.median(seconds[way])), f"{prefix}ratio_median": float(np.median(ratio)),
        f"{prefix}ratio_low": float(ratio.min()), f"{prefix}ratio_high": float(ratio.max()),
    }  # fmt: skip


def run(
    world: World, seed: int, out: Path, settings: dict[str, str], progress: Callable[[int, int], None], command: str
) -> Path:
    """Write the artifact; settings n, repeats (after one that warms up), problems, threads (1 suits tiny models)."""
    chosen = read_settings(settings, DEFAULTS)
    problems = make_problems(chosen["problems"], seed, "test")
    seconds: dict[str, list[float]] = {way: [] for way in WAYS}
    before = torch.get_num_threads()
    torch.set_num_threads(chosen["threads"])
    try:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            difference = _disagreement(world, problems[0], chosen["n"])
            for repeat in range(chosen["repeats"] + 1):
                for way in WAYS:
                    value = _seconds_per_step(way, world, problems, chosen["n"], repeat)
                    if repeat:  # repeat 0 warms up
                        seconds[way].append(value)
                progress(repeat + 1, chosen["repeats"] + 1)
    finally:
        torch.set_num_threads(before)
    summary = {
        "n": chosen["n"], "batch": BATCH, "repeats": chosen["repeats"], "threads": chosen["threads"],
        "naive_seconds_per_step": float(np.median(seconds[WAYS[0]])), "largest_log_ratio_difference": difference,
    } | _quartet(seconds, WAYS[1], "") | _quartet(seconds, WAYS[2], "batch_")  # fmt: skip
    return write_artifact(out, "lm_speed", provenance(command, seed), summary, {"seconds_per_step": seconds})
