"""Guided decoding inside transformers: `model.generate(input_ids, custom_generate=gsi(draft=..., reward=...))`.

The model whose `generate` is called is the base. transformers prepares inputs, length limits and stopping criteria and
then calls our loop, which takes whole steps (see `llm_check.models.decoding.solution`); criteria are asked after every
step, and the result is cut at the length limit. What is sampled is the models' own law: logits processors (temperature,
top-k, top-p, repetition penalty) would change it on the base alone, so they are refused.

The reward is a checkpoint's folder, "python:FILE.py:FUNCTION", a function of (prefix text, step text), a RewardModel,
or "verifiable" and other rewards that read a question or an answer: `questions` and `answers` have one of each row of
`input_ids` (of each prompt, where sequences of one are asked for by num_return_sequences).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from torch import Tensor
from transformers.generation import GenerateDecoderOnlyOutput

from gsi_theory.errors import InputError
from gsi_theory.types import Array
from llm_check.models.decoding.method_table import named_method
from llm_check.models.decoding.positions import Position, Prompt
from llm_check.models.decoding.prompting import plain_text
from llm_check.models.decoding.reasoning_steps import parse_step_rule
from llm_check.models.decoding.solution import require_size, solve
from llm_check.models.decoding.step_candidates import Models
from llm_check.models.engines.engine import Engine
from llm_check.models.engines.transformers_engine import TransformersEngine
from llm_check.models.model_types import Module, Tokenizer
from llm_check.models.rewards.load_reward import load_reward
from llm_check.models.rewards.reward_model import RewardModel
from llm_check.models.rewards.verifiable import VerifiableReward
from llm_check.models.tasks.problem import Problem

__all__ = ["GuidedGenerate", "gsi"]


def gsi(
    draft: str | Path | Engine,
    reward: str | Path | Callable[[str, str], float] | RewardModel,
    *,
    beta: float,
    n: int,
    threshold: float | None = None,
    n_base: int | None = None,
    method: str = "gsi",
    step: str = "delimiter:\\n\\n",
    max_step_tokens: int = 512,
    seed: int = 0,
    questions: Sequence[str] = (),
    answers: Sequence[str] = (),
) -> GuidedGenerate:
    """What to pass as `custom_generate`: GSI (or another `method` of models.decoding.method_table) with this draft and
    reward; the model that generates is the base.

    draft: a checkpoint folder, or a `TransformersEngine` (`from_model(model, tokenizer, name)` wraps a loaded one);
    reward: a specification (llm_check.models.rewards.load_reward), a function of (prefix text, step text), or a
    RewardModel; questions, answers: of every prompt, for rewards that read them (empty: the prompt's text is the
    question, there is no answer). beta multiplies the reward; n
    candidates a step, n_base in a fallback (default n); threshold u in reward units (None: no gate). step: where a step
    ends, at most `max_step_tokens` long. Equal seeds give equal output. Raises InputError for bad values.
    """
    named_method(method).scheme(beta, n, threshold, n_base)
    if max_step_tokens < 1 or seed < 0:
        raise InputError(f"max_step_tokens = {max_step_tokens}, seed = {seed}: give at least 1 token, and 0 as seed")
    engine = TransformersEngine.load(str(draft)) if isinstance(draft, str | Path) else draft
    judge = _loaded(reward, engine.tokenizer)
    if isinstance(judge, VerifiableReward) and not answers:
        raise InputError(
            "reward verifiable without answers: give gsi(answers=[...]), one reference answer of each prompt"
        )
    texts = tuple(questions), tuple(answers)
    return GuidedGenerate(engine, judge, beta, n, threshold, n_base, method, step, max_step_tokens, seed, *texts)


def _loaded(reward: str | Path | Callable[[str, str], float] | RewardModel, tokenizer: Tokenizer) -> RewardModel:
    if isinstance(reward, str | Path):
        return load_reward(str(reward), tokenizer)
    if hasattr(reward, "score"):
        return cast(RewardModel, reward)
    if callable(reward):
        return load_reward(reward, tokenizer)
    raise InputError(
        f"reward {reward!r} is {type(reward).__name__}: give a folder, a specification as text, a function of (prefix "
        "text, step text), or a RewardModel"
    )


@dataclass
class GuidedGenerate:
    """The decoding loop that transformers calls.

    draft: the engine that proposes
    reward: judges steps
    beta, n, threshold, n_base: of the method's scheme
    method: a name of the table
    step: where a step ends, as it is written
    max_step_tokens: longest step
    seed: of every random stream
    questions, answers: of every prompt; empty: its text, and none
    records: the per-step records of the last call
    """

    draft: Engine
    reward: RewardModel
    beta: float
    n: int
    threshold: float | None
    n_base: int | None
    method: str
    step: str
    max_step_tokens: int
    seed: int
    questions: tuple[str, ...] = ()
    answers: tuple[str, ...] = ()
    records: dict[str, Array] = field(default_factory=dict, repr=False)

    def __call__(
        self,
        model: Module,
        input_ids: Tensor,
        logits_processor: Any,
        stopping_criteria: Any,
        generation_config: Any,
        **model_kwargs: Any,
    ) -> Any:
        """The sequences (B, T), prompts included, padded at the right; or, where the caller asked for a dictionary,
        transformers' output object with them. Raises InputError for logits processors, or a draft that is no pair of
        the model."""
        _require_own_law(logits_processor)
        base = TransformersEngine.from_model(model, self.draft.tokenizer, _name(model))
        models, chosen = Models(self.draft, base, self.reward), named_method(self.method)
        scheme = chosen.scheme(self.beta, self.n, self.threshold, self.n_base)
        limit = int(generation_config.max_length) - input_ids.shape[1]
        eos = generation_config.eos_token_id
        ends = None if eos is None else np.atleast_1d(np.asarray(eos, dtype=np.int64)).tolist()
        rule = parse_step_rule(self.step, self.draft.tokenizer, max(1, min(self.max_step_tokens, limit)), ends)
        prompts = [
            replace(prompt, problem=self._problem(row, len(input_ids), prompt))
            for row, prompt in enumerate(_prompts(input_ids, model_kwargs.get("attention_mask")))
        ]
        context = require_size(chosen, scheme, models, prompts, rule)

        def ended(place: Position, finish: str) -> bool:
            written = place.solution
            full = context is not None and len(place.prefix) + rule.max_tokens > context
            if finish == "eos" or len(written) >= limit or full:
                return True
            row = input_ids[int(place.prompt_id)]
            return bool(stopping_criteria(torch.cat([row, row.new_tensor(written)])[None], None).all())

        at, self.records = solve(chosen, scheme, models, prompts, rule, self.seed, ended)
        written = [list(place.solution[:limit]) for place in at]
        return _output(input_ids, written, generation_config, self.draft.tokenizer)

    def _problem(self, row: int, rows: int, prompt: Prompt) -> Problem:
        """What the reward may read of a row: its question and answer."""
        found = {}
        for name, texts in (("questions", self.questions), ("answers", self.answers)):
            if len(texts) and rows % len(texts):
                raise InputError(f"{len(texts)} {name} for {rows} rows of input_ids: give one of each prompt")
            found[name] = texts[row // (rows // len(texts))] if texts else ""
        question = found["questions"] or plain_text(self.draft.tokenizer, prompt.ids)
        return Problem(prompt.prompt_id, question, (found["answers"],) if found["answers"] else ())


def _name(model: Module) -> str:
    return "/".join(Path(str(getattr(model.config, "_name_or_path", "") or type(model).__name__)).parts[-2:])


def _require_own_law(processors: Any) -> None:
    if processors:
        names = ", ".join(type(processor).__name__ for processor in processors)
        raise InputError(
            f"generate was asked for {names}: guided decoding samples the models' own law, at temperature 1 and "
            "without truncation; pass do_sample=False (steps are sampled all the same) and repetition_penalty=1.0"
        )


def _prompts(input_ids: Tensor, mask: Tensor | None) -> list[Prompt]:
    """The rows without their padding; each is named by its number, so that equal rows draw different numbers."""
    ids = input_ids.cpu().numpy()
    kept = np.ones(ids.shape, dtype=bool) if mask is None else mask.cpu().numpy().astype(bool)
    return [Prompt(str(i), tuple(row[use].tolist())) for i, (row, use) in enumerate(zip(ids, kept, strict=True))]


def _output(input_ids: Tensor, written: list[list[int]], config: Any, tokenizer: Tokenizer) -> Any:
    pad = config.pad_token_id if config.pad_token_id is not None else tokenizer.eos_token_id
    width, longest = input_ids.shape[1], max(map(len, written))
    sequences = input_ids.new_full((len(written), width + longest), int(pad))
    sequences[:, :width] = input_ids
    for row, tokens in enumerate(written):
        sequences[row, width : width + len(tokens)] = input_ids.new_tensor(tokens)
    if not config.return_dict_in_generate:
        return sequences
    return GenerateDecoderOnlyOutput(sequences=sequences)  # type: ignore[arg-type]
