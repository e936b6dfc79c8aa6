"""Candidates sampled and scored per second: the engines against the naive way, in one run: artifact `lm_speed`.

A step of n candidates: drawn from the draft with their log-probabilities, scored by the base, judged by the reward
model. Both ways walk the same prefixes, the first steps of solutions. The naive way is what a first
implementation does at every step: `generate(num_return_sequences=n)` on the whole prefix from its text, then a forward
of the base over each whole sequence, and one of the reward model if it is a token classifier (another is asked afresh).
Ours keeps prefixes from step to step. Compared are
one prompt at a time, for every n of `ns`, and `batch` prompts at once at the first n.

The ways take turns problem by problem and the ratio is formed within a repeat, so that load on the machine falls on
both. Rewards remembered from before are dropped before every problem. Ours is asked for other candidates in every
repeat, so nothing is timed twice. What drawing and scoring a step of one prompt at the first n costs at least stands
beside it (`floors`); judging is not in it. Times are not reproducible: this artifact's bytes differ from run to run.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from transformers import GenerationConfig

from gsi_theory.arrays.memory import require_memory
from gsi_theory.runs.artifact import provenance, write_artifact
from gsi_theory.types import Json, Record
from llm_check.models.checks.check_settings import read_settings
from llm_check.models.checks.check_table import CHECKS
from llm_check.models.checks.floors import Rates, floor_rows, measured_rates, size_of
from llm_check.models.checks.places import is_embedded_task
from llm_check.models.collecting.collect import Policies, draw_candidates, positions, sampled_paths
from llm_check.models.decoding.positions import Position, encode_text
from llm_check.models.decoding.reasoning_steps import PAD, require_candidates
from llm_check.models.decoding.solution import require_prompt_room
from llm_check.models.rewards.token_classifier import ProcessRewardModel
from llm_check.models.tasks.arithmetic import make_problems
from llm_check.models.world import World, transformers_pair, world_record

__all__ = ["DEFAULTS", "naive_candidates", "run"]

DEFAULTS = CHECKS["lm_speed"].defaults
STEPS = 3


def _step_logp(
    logits: torch.Tensor, tokens: NDArray[np.int64], real: NDArray[np.bool_], temperature: float
) -> NDArray[np.float64]:
    """Log-probability (n,) of the `real` ones of `tokens` (n, T) under `logits` (n, T, V)."""
    logp = torch.log_softmax(logits.double() / temperature, dim=-1)
    logp = logp.gather(2, torch.from_numpy(tokens)[..., None])[..., 0]
    return np.where(real, logp.numpy(), 0.0).sum(axis=1)


def _judged(
    world: World, place: Position, whole: torch.Tensor, length: int, tokens: NDArray[np.int64]
) -> NDArray[np.float64]:
    """Rewards (n,) of the steps `tokens` (n, T): by a forward over each whole sequence where the reward is a token
    classifier, else by a reward model that remembers nothing."""
    reward, real = world.reward_model, tokens != PAD
    if isinstance(reward, ProcessRewardModel):
        judged = reward.model(input_ids=whole, use_cache=False).logits
        last = judged[torch.arange(len(tokens)), torch.from_numpy(length - 1 + real.sum(axis=1))]
        return last.double().softmax(dim=-1)[:, 1].numpy()
    reward.forget()
    return reward.score([place] * len(tokens), [row[keep].tolist() for row, keep in zip(tokens, real, strict=True)])


@torch.inference_mode()
def naive_candidates(
    world: World, place: Position, n: int, prefix: Sequence[int]
) -> tuple[NDArray[np.int64], NDArray[np.float64], NDArray[np.float64]]:
    """n steps (n, T) of the draft after `prefix` padded with PAD, their log-ratio and their reward at `place`, (n,)
    each."""
    draft, base = (engine.model for engine in transformers_pair(world))
    temperature = world.draft.contract.sampling_temperature
    settings = GenerationConfig(
        do_sample=True,
        temperature=temperature,
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
    lengths = [len(world.rule.cut(row)[0]) for row in tokens.tolist()]
    real: NDArray[np.bool_] = np.arange(tokens.shape[1]) < np.array(lengths)[:, None]
    logits = base(input_ids=whole, use_cache=False).logits[:, len(prefix) - 1 : -1]
    sides = (_step_logp(side, tokens, real, temperature) for side in (logits, torch.stack(made.logits, dim=1)))
    ratio = next(sides) - next(sides)
    steps = np.where(real, tokens, PAD)
    return steps, ratio, _judged(world, place, whole, len(prefix), steps)


def _naive(world: World, path: Position, n: int) -> None:
    text = str(world.draft.tokenizer.decode(list(path.prompt.ids)))
    for k, step in enumerate(path.path):
        place = Position(path.prompt, path.path[:k])
        naive_candidates(world, place, n, encode_text(world.draft.tokenizer, text))
        text += str(world.draft.tokenizer.decode(list(step)))


def _ours(world: World, policies: Policies, paths: Sequence[Position], n: int, seed: int) -> None:
    at = [Position(path.prompt) for path in paths]
    caches = [engine.prefill([place.prefix for place in at]) for engine in (world.draft, world.base)]
    for step in range(len(paths[0].path)):
        streams = [place.stream(seed, 0) for place in at]
        draw_candidates(policies, "draft", (caches[0], caches[1]), at, n, streams, world.rule)
        taken = [path.path[step] for path in paths]
        at = [place.after(chosen) for place, chosen in zip(at, taken, strict=True)]
        caches = [e.extend(cache, taken) for e, cache in zip((world.draft, world.base), caches, strict=True)]


def _floors(world: World, paths: Sequence[Position], n: int, seed: int) -> tuple[Rates, list[Record]]:
    """Mean over the steps of what one costs at least, part by part."""
    engines = transformers_pair(world)
    draft, base = (size_of(engine.model) for engine in engines)
    rates = measured_rates(next(engines[1].model.parameters()).dtype, base.vocabulary, engines[1].device)
    steps = []
    for path in paths:
        for k in range(len(path.path)):
            place = Position(path.prompt, path.path[:k])
            drawn = world.draft.sample(world.draft.prefill([place.prefix]), n, [place.stream(seed, 0)], world.rule)
            new = len(place.path[-1]) if k else len(place.prefix)
            steps.append(floor_rows(draft, base, drawn.tokens[0], len(place.prefix), new, rates))
    names = ("operations", "bytes", "seconds")
    means = [{name: float(np.mean([row[name] for row in same])) for name in names} for same in zip(*steps, strict=True)]
    return rates, [{"part": row["part"]} | mean for row, mean in zip(steps[0], means, strict=True)]


def _timed(call: Callable[[], None]) -> float:
    began = time.perf_counter()
    call()
    return time.perf_counter() - began


def _repeat(world: World, paths: list[Position], n: int, batch: int, seed: int) -> tuple[float, float]:
    """Seconds per step of n candidates, (naive, ours); ours has `batch` prompts in each step."""
    naive, ours, counted, steps = 0.0, 0.0, 0, len(paths[0].path)
    policies = Policies(world.draft, world.base, world.reward_model)
    for i, path in enumerate(paths):
        world.reward_model.forget()
        naive += _timed(lambda path=path: _naive(world, path, n))  # type: ignore[misc]
        group = [paths[(i + k) % len(paths)] for k in range(batch)]
        ours += _timed(lambda group=group: _ours(world, policies, group, n, seed))  # type: ignore[misc]
        counted += len(group) * steps
    return naive / (len(paths) * steps), ours / counted


def _disagreement(world: World, path: Position, n: int) -> float:
    """Largest |difference| of log-ratios, nats, between a naive full forward and the engines, on naive draws."""
    tokens, ratio, _ = naive_candidates(world, path, n, path.prefix)
    own, other = (e.score(e.prefill([path.prefix]), tokens[None])[0].sum(axis=1) for e in (world.draft, world.base))
    return float(np.abs(other - own - ratio).max())


def _paths(world: World, count: int, seed: int) -> list[Position]:
    """Solutions of `count` problems cut to one number of steps, at most STEPS: reference solutions of the embedded
    task, else the base's own."""
    if is_embedded_task(world):
        return positions(make_problems(count, seed, "test"), world.draft.tokenizer, (STEPS,))
    prompts = world.prompts()[:count]
    require_prompt_room(world.models, prompts, world.rule)
    whole = sampled_paths(world.base, world.rule, prompts, STEPS - 1, seed)
    steps = min(len(path.path) for path in whole)
    return [Position(path.prompt, path.path[:steps]) for path in whole]


def _cells(seconds: dict[tuple[int, int], list[tuple[float, float]]]) -> list[Record]:
    """One row for each n and kind: medians over repeats, and the range of the ratio."""
    rows = []
    for (n, batch), pairs in seconds.items():
        naive, ours = np.array(pairs).T
        ratio = naive / ours
        rows.append(
            {
                "n": n,
                "prompts": batch,
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
    """Write the artifact; settings n, more (further n for one prompt), batch (prompts at once, 2 or more), repeats
    (after one that warms up), problems, threads (1 suits tiny models). Raises InputError for a world that is not of
    transformers engines.
    """
    chosen = read_settings(settings, DEFAULTS)
    transformers_pair(world)
    for prompts, n in ((1, max(chosen["n"], *chosen["more"])), (chosen["batch"], chosen["n"])):
        require_candidates(n, prompts, world.rule)
    paths = _paths(world, chosen["problems"], seed)
    longest = max(len(path.prefix) for path in paths) + world.rule.max_tokens
    require_memory(
        24.0 * max(chosen["n"], *chosen["more"]) * longest * world.draft.vocabulary,
        f"the naive way at n = {max(chosen['n'], *chosen['more'])}, logits of {longest} tokens",
        "take fewer candidates (--set more=N), or a shorter step (--max-tokens N)",
    )
    kinds = [(n, 1) for n in (chosen["n"], *chosen["more"])] + [(chosen["n"], chosen["batch"])]
    seconds: dict[tuple[int, int], list[tuple[float, float]]] = {kind: [] for kind in kinds}
    before = torch.get_num_threads()
    torch.set_num_threads(chosen["threads"])
    try:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            difference = _disagreement(world, paths[0], chosen["n"])
            for repeat in range(chosen["repeats"] + 1):
                for n, batch in kinds:
                    pair = _repeat(world, paths, n, batch, seed + repeat)
                    if repeat:  # repeat 0 warms up
                        seconds[n, batch].append(pair)
                progress(repeat + 1, chosen["repeats"] + 1)
            rates, parts = _floors(world, paths, chosen["n"], seed)
    finally:
        torch.set_num_threads(before)
    cells = _cells(seconds)
    names = ("seconds_per_step", "ratio_median", "ratio_low", "ratio_high")
    floor = sum(row["seconds"] for row in parts)
    summary = (
        {
            "n": chosen["n"],
            "batch": chosen["batch"],
            "repeats": chosen["repeats"],
            "threads": chosen["threads"],
            "naive_seconds_per_step": cells[0]["naive_seconds_per_step"],
            "largest_log_ratio_difference": difference,
            "forward": world.draft.contract.forward,
            "floor_seconds_per_step": floor,
            "floor_share": floor / cells[0]["seconds_per_step"],
            "rates": rates._asdict(),
            "world": world_record(world),
        }
        | {name: cells[0][name] for name in names}
        | {f"batch_{name}": cells[-1][name] for name in names}
    )
    tables: dict[str, dict[str, list[Json]]] = {
        "cells": {key: [row[key] for row in cells] for key in cells[0]},
        "floors": {key: [row[key] for row in parts] for key in parts[0]},
        "repeats": {
            "n": [n for (n, _), pairs in seconds.items() for _ in pairs],
            "prompts": [batch for (_, batch), pairs in seconds.items() for _ in pairs],
            "naive_seconds_per_step": [naive for pairs in seconds.values() for naive, _ in pairs],
            "seconds_per_step": [ours for pairs in seconds.values() for _, ours in pairs],
        },
    }
    return write_artifact(out, "lm_speed", provenance(command, seed), summary, tables)
