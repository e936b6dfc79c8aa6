"""Seconds per GSI step: the shared-cache engine against the naive way, measured in one run.

The naive way is what a first implementation does: `generate(num_return_sequences=n)` on the whole prefix at every
step (the draft's log-probabilities come with it), then a full forward of the base and of the reward model over each
whole sequence. Ours is `decode`, one problem
at a time (the like-for-like comparison) and 16 problems at once. All three draw whole solutions of the same test
problems by the method "gsi"; a solution's steps are random, so time is divided by the number of steps taken.

Within a repeat the ways are timed in turn, and the ratio is formed within the repeat, so that load on the machine
falls on both. The reward model's memory of judged steps is emptied before every solution or batch of solutions.

    python -m llm_check.bench_step [--n 16] [--repeats 7] [--problems 8] [--threads 1] [--json FILE]
"""

from __future__ import annotations

import argparse
import sys
import time
from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray
from transformers import GenerationConfig

from gsi_theory.artifact import provenance, write_artifact
from gsi_theory.errors import InputError
from llm_check.decode import decode
from llm_check.engine import TransformersEngine
from llm_check.reward import ProcessRewardModel
from llm_check.steps import PAD, StepRule, encode_text, step_rule
from llm_check.tasks.arithmetic import MAX_STEPS, Problem, make_problems
from llm_check.tiny import STEP_MAX_TOKENS, checkpoint_path

__all__ = ["main", "naive_candidates", "naive_solution"]

BATCH = 16
BETA, THRESHOLD = 4.0, 0.3
WAYS = ("naive", "ours, one problem at a time", f"ours, {BATCH} problems at once")


@dataclass(frozen=True)
class Models:
    """The three models, and the rule that ends a step."""

    draft: TransformersEngine
    base: TransformersEngine
    reward: ProcessRewardModel
    rule: StepRule


def _step_logp(logits: torch.Tensor, tokens: NDArray[np.int64], real: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Log-probability (n,) of the `real` ones of `tokens` (n, T) under `logits` (n, T, V)."""
    logp = torch.log_softmax(logits.double(), dim=-1).gather(2, torch.from_numpy(tokens)[..., None])[..., 0]
    return np.where(real, logp.numpy(), 0.0).sum(axis=1)


@torch.inference_mode()
def naive_candidates(
    models: Models, source: str, prefix: list[int], n: int
) -> tuple[NDArray[np.int64], NDArray[np.float64], NDArray[np.float64]]:
    """n steps (n, T) padded with PAD from `source`, their log-ratio (zero for base draws) and reward, (n,) each."""
    engine = models.draft if source == "draft" else models.base
    settings = GenerationConfig(
        do_sample=True,
        temperature=1.0,
        top_k=0,
        top_p=1.0,
        num_return_sequences=n,
        max_new_tokens=models.rule.max_tokens,
        eos_token_id=models.rule.closing_ids.tolist(),
        pad_token_id=0,
        return_dict_in_generate=True,
        output_logits=True,
    )
    prompt = torch.tensor([prefix])
    made = engine.model.generate(prompt, attention_mask=torch.ones_like(prompt), generation_config=settings)
    whole = made.sequences
    tokens = whole[:, len(prefix) :].numpy()
    closed = np.isin(tokens, models.rule.closing_ids)
    real: NDArray[np.bool_] = np.cumsum(closed, axis=1) - closed == 0
    ratio = np.zeros(n)
    if source == "draft":
        logits = models.base.model(input_ids=whole, use_cache=False).logits[:, len(prefix) - 1 : -1]
        ratio = _step_logp(logits, tokens, real) - _step_logp(torch.stack(made.logits, dim=1), tokens, real)
    logits = models.reward.model(input_ids=whole, use_cache=False).logits
    last = logits[torch.arange(n), torch.from_numpy(len(prefix) - 1 + real.sum(axis=1))]
    return np.where(real, tokens, PAD), ratio, last.double().softmax(dim=-1)[:, 1].numpy()


def naive_solution(models: Models, problem: Problem, n: int, rng: np.random.Generator) -> int:
    """Solve one problem by GSI the naive way; returns the number of steps taken."""
    prefix = encode_text(models.draft.tokenizer, problem.prompt)
    steps = 0
    while steps < MAX_STEPS and prefix[-1] != models.rule.eos_id:
        tokens, ratio, reward = naive_candidates(models, "draft", prefix, n)
        winner = int(np.argmax(BETA * reward + ratio + rng.gumbel(size=n)))
        if reward[winner] + ratio[winner] / BETA < THRESHOLD:
            tokens, _, reward = naive_candidates(models, "base", prefix, n)
            winner = int(np.argmax(BETA * reward + rng.gumbel(size=n)))
        prefix = prefix + tokens[winner][tokens[winner] != PAD].tolist()
        steps += 1
    return steps


def _ours(models: Models, problems: list[Problem], n: int, seed: int) -> int:
    """Solve problems by `decode`, all at once, with nothing remembered from before; returns the steps taken."""
    reward = replace(models.reward, _known={})
    found = decode("gsi", models.draft, models.base, reward, problems, BETA, n, THRESHOLD, models.rule, seed)
    return len(found.records["step"])


def _seconds_per_step(way: str, models: Models, problems: list[Problem], n: int, seed: int) -> float:
    batched = (problems * -(-BATCH // len(problems)))[:BATCH]
    batched = [replace(problem, problem_id=f"{problem.problem_id}-{i}") for i, problem in enumerate(batched)]
    rng = np.random.default_rng([seed, n])
    began = time.perf_counter()
    if way == WAYS[0]:
        steps = sum(naive_solution(models, problem, n, rng) for problem in problems)
    elif way == WAYS[1]:
        steps = sum(_ours(models, [problem], n, seed) for problem in problems)
    else:
        steps = _ours(models, batched, n, seed)
    return (time.perf_counter() - began) / steps


def _disagreement(models: Models, problem: Problem, n: int) -> float:
    """Largest |difference| of log-ratios, nats, between a naive full forward and the engine, on naive draws."""
    prefix = encode_text(models.draft.tokenizer, problem.prompt)
    tokens, ratio, _ = naive_candidates(models, "draft", prefix, n)
    own, other = (e.score(e.prefill([prefix]), tokens[None])[0].sum(axis=1) for e in (models.draft, models.base))
    return float(np.abs(other - own - ratio).max())


def _report(seconds: dict[str, list[float]], n: int, threads: int) -> dict[str, dict[str, float]]:
    """Print the table; medians, and the lowest and highest repeat, of seconds a step and of naive over ours."""
    repeats = len(seconds[WAYS[0]])
    print(f"seconds per GSI step, n = {n}, {threads} thread(s), {repeats} repeats: median [lowest, highest]")
    summary: dict[str, dict[str, float]] = {}
    for way, values in seconds.items():
        ratio = np.array(seconds[WAYS[0]]) / np.array(values)
        row = {"seconds": float(np.median(values)), "seconds_lowest": min(values), "seconds_highest": max(values)}
        row |= {"ratio": float(np.median(ratio)), "ratio_lowest": ratio.min(), "ratio_highest": ratio.max()}
        summary[way] = row
        cells = (
            "{0:.{p}f} [{1:.{p}f}, {2:.{p}f}]".format(*(row[k + end] for end in ("", "_lowest", "_highest")), p=places)
            for k, places in (("seconds", 5), ("ratio", 1))
        )
        print(f"{way:28s} {next(cells)}   naive / this: {next(cells)}")
    return summary


def _run(arguments: argparse.Namespace) -> None:
    for name in ("n", "repeats", "problems", "threads"):
        if getattr(arguments, name) < 1:
            raise InputError(f"--{name} {getattr(arguments, name)}: give a whole number of at least 1")
    torch.set_num_threads(arguments.threads)
    draft, base = (TransformersEngine.load(checkpoint_path(name)) for name in ("draft", "base"))
    reward = ProcessRewardModel.from_pretrained(checkpoint_path("prm"))
    models = Models(draft, base, reward, step_rule(draft.tokenizer, max_tokens=STEP_MAX_TOKENS))
    problems = make_problems(arguments.problems, 0, "test")
    seconds: dict[str, list[float]] = {way: [] for way in WAYS}
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        difference = _disagreement(models, problems[0], arguments.n)
        # Repeat 0 warms up and is not counted.
        for repeat in range(arguments.repeats + 1):
            for way in WAYS:
                value = _seconds_per_step(way, models, problems, arguments.n, repeat)
                if repeat:
                    seconds[way].append(value)
            print(f"repeat {repeat} of {arguments.repeats}", file=sys.stderr)
    summary = _report(seconds, arguments.n, arguments.threads)
    print(f"largest difference of log-ratios between the two ways: {difference:.1e} nats")
    if arguments.json:
        settings = {k: getattr(arguments, k) for k in ("n", "repeats", "problems", "threads")}
        record = provenance("python -m llm_check.bench_step", 0)
        body = {"settings": settings, "ways": summary, "largest_log_ratio_difference": difference}
        write_artifact(arguments.json, "bench_step", record, body, {"seconds_per_step": seconds})


def main() -> int:
    """The command line; 0, or 2 with one line for bad input."""
    parser = argparse.ArgumentParser(description="Seconds per GSI step, shared-cache engine against the naive way.")
    parser.add_argument("--n", type=int, default=16, help="candidates per step")
    parser.add_argument("--repeats", type=int, default=7, help="timed repeats after one warm-up")
    parser.add_argument("--problems", type=int, default=8, help="test problems solved in each repeat")
    parser.add_argument("--threads", type=int, default=1, help="threads of torch; 1 is best for the embedded models")
    parser.add_argument("--json", default=None, help="write the artifact to this file")
    try:
        _run(parser.parse_args())
    except InputError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
