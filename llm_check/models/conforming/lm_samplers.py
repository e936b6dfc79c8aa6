"""What `gsi conform lm` plays: functions that draw completions of a prompt, by the way they are asked.

    MODEL, vllm:FOLDER, http://HOST:PORT     an engine of ours (`engines.load_engine`)
    generate:MODEL[?SETTING=VALUE&...]       transformers' generate; settings are GenerationConfig's
    assisted:MODEL[?SETTING=VALUE&...]       the same with an assistant: assisted generation (M22)
    custom:MODEL                             our custom_generate, method speculative: the assistant drafts (M22)
    FILE.py:FUNCTION                         a function from a `LmPrompt` to the token ids of one completion

All claim one law: that of MODEL at the stated temperature, token by token.
"""

from __future__ import annotations

import operator
from collections.abc import Callable
from dataclasses import dataclass
from importlib import metadata
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from gsi_theory.errors import InputError
from gsi_theory.runs.user_file import guarded, load_callable
from gsi_theory.types import Floats, Record
from llm_check.custom_generate import gsi
from llm_check.models.decoding.random_streams import PositionStream, Purpose
from llm_check.models.decoding.reasoning_steps import PAD, parse_step_rule
from llm_check.models.engines.engine import Engine
from llm_check.models.engines.transformers_engine import TransformersEngine

__all__ = ["WAYS", "Completions", "LmPrompt", "LmSampler", "engine_sampler", "function_sampler"]


@dataclass(frozen=True)
class LmPrompt:
    """What a function under test is given.

    ids: of the prompt; text: decoded; max_tokens: draw so many tokens, or up to one of `ends`, which is kept;
    temperature: of the law; rng: a generator that goes on from call to call
    """

    ids: tuple[int, ...]
    text: str
    max_tokens: int
    ends: frozenset[int]
    temperature: float
    rng: np.random.Generator


@dataclass(frozen=True)
class Completions:
    """tokens (n, T), padded with PAD; token_logp (n, T) as the engine says them, None where it says none."""

    tokens: NDArray[np.int64]
    token_logp: Floats | None = None


@dataclass(frozen=True)
class LmSampler:
    """draw: (prompt, n, number of the call) -> completions; engine, version: who draws; at_once: completions a call."""

    draw: Callable[[LmPrompt, int, int], Completions]
    engine: str
    version: str
    at_once: int = 250


def _cut(rows: Any, prompt: LmPrompt) -> NDArray[np.int64]:
    """Rows of ids up to the first end, padded with PAD."""
    tokens = np.full((len(rows), prompt.max_tokens), PAD, dtype=np.int64)
    for row, ids in zip(tokens, rows, strict=True):
        for t, token in enumerate(list(ids)[: prompt.max_tokens]):
            row[t] = token
            if int(token) in prompt.ends:
                break
    return tokens


def engine_sampler(engine: Engine, seed: int) -> LmSampler:
    """An engine of ours, asked for n steps of so many tokens."""

    def draw(prompt: LmPrompt, n: int, call: int) -> Completions:
        rule = parse_step_rule(f"tokens:{prompt.max_tokens}", engine.tokenizer, prompt.max_tokens, sorted(prompt.ends))
        streams = [PositionStream(seed, f"conform {call}", 0, Purpose.CHECK)]
        steps = engine.sample(engine.prefill([list(prompt.ids)]), n, streams, rule)
        return Completions(np.asarray(steps.tokens[0], dtype=np.int64), np.asarray(steps.token_logp[0]))

    return LmSampler(draw, engine.contract.engine, engine.contract.engine_version)


def _generated(
    engine: TransformersEngine, prompt: LmPrompt, seed: list[int], rows: int, settings: Record, **how: Any
) -> NDArray[np.int64]:
    """`generate` of transformers on `rows` copies of the prompt, its random state put back after."""
    from transformers import GenerationConfig

    pad = engine.tokenizer.pad_token_id
    usual = {
        "do_sample": True,
        "num_beams": 1,
        "temperature": prompt.temperature,
        "top_k": 0,
        "top_p": 1.0,
        "repetition_penalty": 1.0,
        "max_new_tokens": prompt.max_tokens,
        "eos_token_id": sorted(prompt.ends),
        "pad_token_id": min(prompt.ends) if pad is None else pad,
    }
    ids = torch.tensor([list(prompt.ids)] * rows, device=engine.device)
    devices = [engine.device] if engine.device.type == "cuda" else []
    with torch.random.fork_rng(devices=devices), torch.inference_mode():
        torch.manual_seed(int(np.random.SeedSequence(seed).generate_state(1, np.uint64)[0] >> 1))
        try:
            config = GenerationConfig(**{**usual, **settings})
            out = engine.model.generate(
                input_ids=ids, attention_mask=torch.ones_like(ids), generation_config=config, **how
            )
        except (ValueError, TypeError) as error:
            raise InputError(f"generate refuses its settings ({' '.join(str(error).split())[:200]})") from error
    return _cut(out[:, ids.shape[1] :].tolist(), prompt)


def _version() -> str:
    return metadata.version("transformers")


def _required(assistant: TransformersEngine | None) -> TransformersEngine:
    if assistant is None:
        raise InputError("assisted: and custom: draft with another model of the same tokenizer: name it by --assistant")
    return assistant


def _plain(engine: TransformersEngine, assistant: TransformersEngine | None, seed: int, settings: Record) -> LmSampler:
    """generate, num_return_sequences of one prompt."""

    def draw(prompt: LmPrompt, n: int, call: int) -> Completions:
        return Completions(_generated(engine, prompt, [seed, call], 1, {"num_return_sequences": n, **settings}))

    return LmSampler(draw, "transformers generate", _version())


def _assisted(
    engine: TransformersEngine, assistant: TransformersEngine | None, seed: int, settings: Record
) -> LmSampler:
    """Assisted generation takes one row at a time."""
    drafting = _required(assistant).model

    def draw(prompt: LmPrompt, n: int, call: int) -> Completions:
        rows = [_generated(engine, prompt, [seed, call, i], 1, settings, assistant_model=drafting)[0] for i in range(n)]
        return Completions(np.array(rows))

    return LmSampler(draw, "transformers assisted", _version(), at_once=25)


def _custom(engine: TransformersEngine, assistant: TransformersEngine | None, seed: int, settings: Record) -> LmSampler:
    """Our custom_generate by the method whose law is the base's own."""
    drafting = _required(assistant)
    if settings:
        raise InputError(f"custom:MODEL takes no setting {next(iter(settings))!r}: leave it out")

    def draw(prompt: LmPrompt, n: int, call: int) -> Completions:
        longest = prompt.max_tokens
        loop = gsi(
            drafting,
            lambda prefix, step: 0.0,
            beta=1.0,
            n=1,
            method="speculative",
            step=f"tokens:{longest}",
            max_step_tokens=longest,
            seed=int(np.random.SeedSequence([seed, call]).generate_state(1)[0]),
        )
        plain = {"do_sample": False, "temperature": 1.0}
        return Completions(_generated(engine, prompt, [seed, call], n, plain, custom_generate=loop))

    return LmSampler(draw, "custom_generate", metadata.version("gsi-theory"))


WAYS: dict[str, Callable[[TransformersEngine, TransformersEngine | None, int, Record], LmSampler]] = {
    "generate": _plain,
    "assisted": _assisted,
    "custom": _custom,
}


def function_sampler(text: str) -> LmSampler:
    """FILE.py:FUNCTION, called once for each completion."""
    function = guarded(text, load_callable(text))

    def one(prompt: LmPrompt) -> list[int]:
        ids = function(prompt)
        try:
            listed = [operator.index(i) for i in np.asarray(ids).reshape(-1)] if not isinstance(ids, str) else []
        except (TypeError, ValueError):
            listed = []
        if not listed:
            kind = type(ids).__name__
            raise InputError(f"{text}: {str(ids)[:40]!r} ({kind}) was returned: return the token ids of a completion")
        return listed

    def draw(prompt: LmPrompt, n: int, call: int) -> Completions:
        return Completions(_cut([one(prompt) for _ in range(n)], prompt))

    return LmSampler(draw, text, "", at_once=50)
