"""The process reward model of the embedded world: sampling of solutions, training, and its AUC.

A solution is sampled token by token and cut into steps: a step ends with the blank line, with the closing brace
(which ends the solution), or after STEP_MAX_TOKENS tokens. Training sequences are whole solutions sampled from draft
and base on training problems, at temperature 1 and at a higher one (so that odd and cut steps are seen). In half of
them some digits are changed afterwards, so that near misses, the hardest steps to judge, are common. The checker's
verdict is the label of a step's last token, where the reward is read; the tokens before it are labeled too, by
whether the step so far begins a right one. The model is causal, so the same weights score a step given any prefix,
right or wrong. It starts from the draft's layers, with one new layer on top.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from typing import TypeVar

import numpy as np
import torch
from scipy.stats import rankdata
from transformers import PreTrainedModel, Qwen3Config, Qwen3ForCausalLM, Qwen3ForTokenClassification

from llm_check.models.tasks.arithmetic import MAX_STEPS, ArithmeticProblem, make_problems, solution_steps
from llm_check.models.tiny import STEP_MAX_TOKENS
from llm_check.models.tiny.tokenizer import BLANK_ID, EOS_ID, PAD_ID, VOCABULARY, build_tokenizer

__all__ = [
    "IGNORED",
    "PRM_STEPS",
    "descend",
    "fit_prm",
    "label_solutions",
    "prm_auc",
    "sample_solutions",
    "solution_text",
]

Trained = TypeVar("Trained", bound=PreTrainedModel)

PRM_STEPS = 900
PRM_PROBLEMS = 6_000
BATCH = 256
LEARNING_RATE = 3e-3
ODD_TEMPERATURE = 1.6
SLIP = 0.35
IGNORED = -100  # the label that torch's cross entropy leaves out


def solution_text(steps: list[list[int]]) -> str:
    """The text of a solution given as token ids of its steps (digits, signs, blank lines and the box)."""
    return "".join(VOCABULARY[token] for step in steps for token in step)


def _cut_into_steps(tokens: list[int]) -> list[list[int]]:
    steps: list[list[int]] = []
    current: list[int] = []
    for token in tokens:
        current.append(token)
        if token in (BLANK_ID, EOS_ID) or len(current) == STEP_MAX_TOKENS:
            steps.append(current)
            current = []
        if token == EOS_ID or len(steps) == MAX_STEPS:
            break
    return steps


@torch.no_grad()
def _continuations(
    model: Qwen3ForCausalLM, prompts: torch.Tensor, rng: np.random.Generator, temperature: float
) -> np.ndarray:
    """Tokens (B, MAX_STEPS * STEP_MAX_TOKENS) sampled after prompts (B, L) of equal length; temperature 0 is greedy."""
    ids, cache, sampled = prompts, None, []
    for _ in range(MAX_STEPS * STEP_MAX_TOKENS):
        output = model(input_ids=ids, past_key_values=cache, use_cache=True)
        cache = output.past_key_values
        logits = output.logits[:, -1].double().numpy()
        if temperature > 0:
            # The largest of logits / T plus Gumbel noise is a draw from the softmax at temperature T.
            logits = logits / temperature + rng.gumbel(size=logits.shape)
        sampled.append(logits.argmax(axis=1))
        ids = torch.from_numpy(sampled[-1])[:, None]
    return np.stack(sampled, axis=1)


def sample_solutions(
    model: Qwen3ForCausalLM, problems: list[ArithmeticProblem], rng: np.random.Generator, temperature: float = 1.0
) -> list[list[list[int]]]:
    """One solution per problem, as a list of steps, each a list of token ids; temperature 0 is greedy decoding."""
    encoded = build_tokenizer()([problem.prompt for problem in problems])["input_ids"]
    solutions: list[list[list[int]]] = [[] for _ in problems]
    for length in sorted({len(ids) for ids in encoded}):
        rows = [row for row, ids in enumerate(encoded) if len(ids) == length]
        for start in range(0, len(rows), 1024):
            chunk = rows[start : start + 1024]
            tokens = _continuations(model, torch.tensor([encoded[row] for row in chunk]), rng, temperature)
            for row, sequence in zip(chunk, tokens.tolist(), strict=True):
                solutions[row] = _cut_into_steps(sequence)
    return solutions


def label_solutions(
    problems: list[ArithmeticProblem], solutions: list[list[list[int]]]
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Token ids, labels and `last`, all (B, length), of prompts followed by their solutions, right-padded.

    A token of a step is labeled 1 while the step so far begins a right step of that index, else 0; IGNORED elsewhere.
    `last` marks the last token of every step: there the label is the checker's verdict on the whole step.
    """
    tokenizer = build_tokenizer()
    encoded = tokenizer([problem.prompt for problem in problems])["input_ids"]
    length = max(map(len, encoded)) + MAX_STEPS * STEP_MAX_TOKENS
    ids = np.full((len(problems), length), PAD_ID)
    labels, last = np.full_like(ids, IGNORED), np.zeros(ids.shape, dtype=bool)
    for row, (problem, prompt, steps) in enumerate(zip(problems, encoded, solutions, strict=True)):
        end = len(prompt)
        ids[row, :end] = prompt
        right = tokenizer(list(solution_steps(problem)))["input_ids"]
        for index, step in enumerate(steps):
            accepted = (right[min(index, len(right) - 1)], right[-1])
            for size in range(1, len(step) + 1):
                labels[row, end + size - 1] = any(step[:size] == whole[:size] for whole in accepted)
            ids[row, end : end + len(step)] = step
            end += len(step)
            last[row, end - 1] = True
    used = int((labels != IGNORED).any(axis=0).nonzero()[0].max()) + 1
    return torch.from_numpy(ids[:, :used]), torch.from_numpy(labels[:, :used]), torch.from_numpy(last[:, :used])


def _with_slips(solutions: list[list[list[int]]], rng: np.random.Generator) -> list[list[list[int]]]:
    """The solutions with a share SLIP of the steps changed in one token, a digit into another digit (or the same)."""
    changed = []
    for solution in solutions:
        steps = [list(step) for step in solution]
        for step in steps:
            digits = [place for place, token in enumerate(step) if 1 <= token <= 10]
            if digits and rng.random() < SLIP:
                step[rng.choice(digits)] = int(rng.integers(1, 11))
        changed.append(steps)
    return changed


def _initial_prm(draft: Qwen3ForCausalLM, seed: int) -> Qwen3ForTokenClassification:
    """The draft's layers and one new layer on top, which can compare what was written with what they expected."""
    layers = draft.config.num_hidden_layers + 1
    values = draft.config.to_dict() | {"num_labels": 2, "classifier_dropout": 0.0, "num_hidden_layers": layers}
    for key in ("architectures", "model_type", "transformers_version", "layer_types"):
        values.pop(key, None)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = Qwen3ForTokenClassification(Qwen3Config(**values))
    model.model.load_state_dict(
        draft.model.state_dict()
        | {key: value for key, value in model.model.state_dict().items() if key.startswith(f"layers.{layers - 1}.")}
    )
    return model


def descend(model: Trained, name: str, loss: Callable[[], torch.Tensor], steps: int, rate: float) -> Trained:
    """`steps` steps of AdamW down `loss()`, a new batch each; a progress line with the time left every 100 steps."""
    optimizer = torch.optim.AdamW(model.parameters(), lr=rate, weight_decay=0.01, betas=(0.9, 0.98))
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, rate, max(steps, 2), pct_start=0.05)
    began, total = time.monotonic(), 0.0
    for step in range(steps):
        value = loss()
        optimizer.zero_grad()
        value.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        schedule.step()
        total += value.item()
        if (step + 1) % 100 == 0:
            left = (time.monotonic() - began) / (step + 1) * (steps - step - 1)
            print(f"{name}: step {step + 1}/{steps}, loss {total / 100:.4f}, {left:.0f} s left", file=sys.stderr)
            total = 0.0
    return model.eval()


def fit_prm(
    draft: Qwen3ForCausalLM, base: Qwen3ForCausalLM, seed: int, steps: int = PRM_STEPS
) -> Qwen3ForTokenClassification:
    """Train the process reward model on the steps of sampled solutions, all prefixes, right and wrong ones."""
    rng = np.random.default_rng([seed, 11])
    problems = make_problems(4 * PRM_PROBLEMS, seed, "train")
    settings = ((draft, 1.0, False), (draft, 1.0, True), (base, 1.0, True), (draft, ODD_TEMPERATURE, False))
    solutions: list[list[list[int]]] = []
    for part, (policy, temperature, slips) in enumerate(settings):
        chosen = problems[part * PRM_PROBLEMS : (part + 1) * PRM_PROBLEMS]
        sampled = sample_solutions(policy, chosen, rng, temperature)
        solutions += _with_slips(sampled, rng) if slips else sampled
        print(f"prm: sampled {part + 1}/{len(settings)} sets of solutions", file=sys.stderr)
    ids, labels, _ = label_solutions(problems, solutions)
    model = _initial_prm(draft, seed).train()

    def loss() -> torch.Tensor:
        rows = torch.from_numpy(rng.integers(0, len(ids), BATCH))
        logits = model(input_ids=ids[rows], use_cache=False).logits
        return torch.nn.functional.cross_entropy(logits.flatten(0, 1), labels[rows].flatten(), ignore_index=IGNORED)

    return descend(model, "prm", loss, steps, LEARNING_RATE)


@torch.no_grad()
def prm_auc(prm: Qwen3ForTokenClassification, draft: Qwen3ForCausalLM, seed: int, count: int) -> dict[str, float]:
    """AUC, mean reward and share of right steps over the steps the draft samples on test problems.

    AUC is the chance that a right step has a higher reward than a wrong one, ties counted half (Mann-Whitney).
    """
    problems = make_problems(count, seed, "test")
    solutions = sample_solutions(draft, problems, np.random.default_rng([seed, 13]))
    ids, labels, last = label_solutions(problems, solutions)
    parts = [prm(input_ids=part, use_cache=False).logits for part in ids.split(512)]
    reward = torch.cat(parts).double().softmax(dim=-1)[..., 1]
    value, right = reward[last].numpy(), labels[last].numpy() == 1
    ranks, positives = rankdata(value), int(right.sum())
    auc = (ranks[right].sum() - positives * (positives + 1) / 2) / (positives * (len(right) - positives))
    return {"auc": float(auc), "mean_reward": float(value.mean()), "right_share": float(right.mean())}
