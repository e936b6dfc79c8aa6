"""The real model itself, marked `real`: they fail where it is not ready (gsi models smollm2), so that none is skipped.

Log-probabilities against transformers' plain forward of each whole text, tokens against its own `generate`, and the
distance of every draft against what a trial measured with code of its own.
"""

from __future__ import annotations

import copy
from functools import lru_cache
from pathlib import Path

import numpy as np
import pytest
import torch
from transformers import LlamaForCausalLM

from llm_check.models.collecting.collected_task import collect_task
from llm_check.models.decoding.random_streams import PositionStream
from llm_check.models.decoding.reasoning_steps import parse_step_rule
from llm_check.models.engines.transformers_engine import TransformersEngine
from llm_check.models.real.conversion import tensors_hash
from llm_check.models.real.drafts import DRAFTS
from llm_check.models.real.model_cache import REAL_MODELS, real_name
from llm_check.models.tasks.load_task import load_task

pytestmark = pytest.mark.real

# KL a token and an answer on 24 answers of the base to other prompts of this kind, by a trial of its own code.
MEASURED = {"weak": (0.88, 15.0), "medium": (0.28, 4.8), "strong": (0.084, 1.4), "near": (0.022, 0.38)}
PROMPTS, ANSWERS = 6, 20


@lru_cache(maxsize=1)
def engine(spec: str) -> TransformersEngine:
    named = real_name(spec)
    assert named is not None
    return TransformersEngine.load_real(named)


@lru_cache(maxsize=1)
def answers() -> list[tuple[list[int], list[list[int]], list[list[float]]]]:
    """For each prompt of `sums`: its ids, answers of the base, and their tokens' log-probabilities."""
    base, task = engine("smollm2"), load_task("sums", limit=PROMPTS)
    prompts = task.prompts(base.tokenizer)
    rule = parse_step_rule("answer", base.tokenizer, task.max_tokens)
    streams = [PositionStream(0, prompt.prompt_id, 0, 1) for prompt in prompts]
    steps = base.sample(base.prefill([prompt.ids for prompt in prompts]), ANSWERS, streams, rule)
    rows = zip(prompts, steps.token_ids, steps.token_logp, strict=True)
    return [
        (list(p.ids), ids, [lp[: len(i)].tolist() for lp, i in zip(logp, ids, strict=True)]) for p, ids, logp in rows
    ]


def full_forward(model: LlamaForCausalLM, prompt: list[int], answer: list[int]) -> torch.Tensor:
    """Log-probabilities (T, V) of the law of each token of the answer, by one plain forward of the whole text."""
    with torch.inference_mode():
        logits = model(torch.tensor([prompt + answer])).logits[0, len(prompt) - 1 : -1]
    return torch.log_softmax(logits.double(), dim=-1)


def plain_model(spec: str = "smollm2") -> LlamaForCausalLM:
    """The checkpoint by transformers alone; a draft rounded here, by code of this test."""
    named = real_name(spec)
    assert named is not None
    model = LlamaForCausalLM.from_pretrained(named.folder(), dtype=torch.float32).eval()
    if named.quantization is not None:
        bits, group = named.quantization.bits, named.quantization.group
        with torch.no_grad():
            for name, weight in model.named_parameters():
                if weight.dim() == 2 and "embed" not in name:
                    parts = weight.reshape(len(weight), -1, group).double()
                    low, high = parts.amin(-1, keepdim=True), parts.amax(-1, keepdim=True)
                    level = ((parts - low) * ((2**bits - 1) / (high - low).clamp_min(1e-9))).round()
                    weight.copy_((low + level * (high - low) / (2**bits - 1)).reshape(weight.shape))
    return model


def test_the_checkpoint_is_the_pinned_one() -> None:
    named = real_name("smollm2")
    assert named is not None
    assert tensors_hash(named.folder()) == REAL_MODELS["smollm2"].tensors_sha256


def test_log_probabilities_of_the_base_are_those_of_plain_forwards() -> None:
    model, worst, rows = plain_model(), 0.0, 0
    for prompt, ids, logp in answers():
        for answer, ours in zip(ids, logp, strict=True):
            theirs = full_forward(model, prompt, answer)[torch.arange(len(answer)), torch.tensor(answer)]
            worst = max(worst, float((theirs - torch.tensor(ours)).abs().max()))
            rows += 1
    assert rows >= 100 and worst <= 1e-4, (rows, worst)


def test_tokens_are_those_of_generate() -> None:
    model, base = plain_model(), engine("smollm2")
    for prompt, _, _ in answers()[:3]:
        theirs = model.generate(torch.tensor([prompt]), max_new_tokens=16, do_sample=False)[0, len(prompt) :].tolist()
        cache, ours = base.prefill([prompt]), []
        while len(ours) < 16 and (not ours or ours[-1] != base.tokenizer.eos_token_id):
            ours.append(int(base.log_probs(cache)[0].argmax()))
            cache = base.extend(cache, [ours[-1:]])
        assert ours == theirs


@pytest.mark.parametrize("name", DRAFTS)
def test_a_draft_is_as_far_from_the_base_as_was_measured(name: str) -> None:
    given = answers()
    base, spec = plain_model(), f"smollm2:{name}"
    draft, rounded = copy.deepcopy(engine(spec).model), dict(plain_model(spec).named_parameters())
    # of numbers halfway between two levels, which the base's own 4-bit grid has many of, either is the nearest
    for weights, theirs in [(weight, rounded[key]) for key, weight in draft.named_parameters()]:
        apart = (weights - theirs).abs() > 1e-5 * theirs.abs().max()
        assert float(apart.float().mean()) < 0.05
    draft = draft.double()  # two forwards in float32 differ by the errors of both
    distance, tokens, worst = [], 0, 0.0
    scores = [engine(spec).score(engine(spec).prefill([prompt]), [ids])[0] for prompt, ids, _ in given]
    for (prompt, ids, _), scored in zip(given, scores, strict=True):
        for answer, ours in list(zip(ids, scored, strict=True))[:: ANSWERS // 5]:
            p, q = full_forward(base, prompt, answer), full_forward(draft, prompt, answer)
            worst = max(
                worst, float((q[torch.arange(len(answer)), answer] - torch.tensor(ours[: len(answer)])).abs().max())
            )
            distance.append(float((p.exp() * (p - q)).sum()))
            tokens += len(answer)
    mean, error = np.mean(distance), np.std(distance, ddof=1) / len(distance) ** 0.5
    print(
        f"\n{name}: KL a token {sum(distance) / tokens:.4f}, an answer {mean:.2f} ± {error:.2f}; rows {worst:.1e} apart"
    )
    assert worst <= 1e-4
    assert 0.5 < sum(distance) / tokens / MEASURED[name][0] < 2.0


def test_a_pool_with_nothing_else_given(tmp_path: Path) -> None:
    out = tmp_path / "pool.parquet"
    collect_task(out, task="sums", draft="smollm2:medium", base="smollm2", reward="graded", candidates=8, problems=2)
    from llm_check.logs.pools.pool import read_pool

    record = read_pool(out).metadata
    assert record["draft"]["quantization"] == "round to nearest, 4 bits, groups of 192"
    assert record["draft"]["model_hash"] == record["base"]["model_hash"]
