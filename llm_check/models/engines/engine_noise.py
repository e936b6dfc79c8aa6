"""Numerical noise of log-probabilities: the same tokens, scored by two engines of one model.

Engines that differ in dtype, kernels or batch size give different log-probabilities of the same tokens (bfloat16: a
standard deviation of about 0.05 nats a token). The difference enters the log-ratio, and so, divided by beta, the tilted
reward that a threshold is compared with. No torch here. Shapes: M places, K steps for each.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from gsi_theory.errors import InputError
from llm_check.models.decoding.positions import Position
from llm_check.models.decoding.reasoning_steps import PAD, pad_steps
from llm_check.models.engines.engine import Engine, require_same_vocabulary

__all__ = ["LogProbNoise", "logprob_noise"]


@dataclass(frozen=True)
class LogProbNoise:
    """a - b in nats. Per token: `token_mean`, `token_sd`, `token_max` (largest |difference|) over `tokens` tokens. Per
    step: `step_mean`, `step_sd`, `step_max` over `steps` steps. sds are about the mean, with n - 1."""

    a: str
    b: str
    tokens: int
    token_mean: float
    token_sd: float
    token_max: float
    steps: int
    step_mean: float
    step_sd: float
    step_max: float


def logprob_noise(
    a: Engine, b: Engine, places: Sequence[Position], steps: Sequence[Sequence[Sequence[int]]]
) -> LogProbNoise:
    """Differences between two engines on given steps (token ids), steps[m] at places[m].

    Meant for one model behind two engines or dtypes. Raises InputError when there is nothing to compare, the lists
    differ in length, or the engines differ in tokenizer or sampling temperature.
    """
    if len(places) != len(steps) or sum(map(len, steps)) < 2:
        raise InputError(
            f"logprob_noise got {len(places)} places and steps for {len(steps)}, {sum(map(len, steps))} in all: give "
            "steps for every place, at least 2"
        )
    require_same_vocabulary(a, b)
    if a.contract.sampling_temperature != b.contract.sampling_temperature:
        raise InputError(
            f"sampling temperatures {a.contract.sampling_temperature} and {b.contract.sampling_temperature}: noise is "
            "the difference between two computations of one law, load both engines at one temperature"
        )
    tokens = pad_steps(steps)
    prefixes = [place.prefix for place in places]
    difference = a.score(a.prefill(prefixes), tokens) - b.score(b.prefill(prefixes), tokens)
    real = tokens != PAD
    token = difference[real]
    step = difference.sum(axis=-1)[real.any(axis=-1)]
    names = [f"{e.contract.engine} {e.contract.dtype} {e.contract.forward}".strip() for e in (a, b)]
    return LogProbNoise(names[0], names[1], token.size, *_moments(token), step.size, *_moments(step))


def _moments(values: np.ndarray) -> tuple[float, float, float]:
    """Mean, standard deviation and largest absolute value."""
    return float(values.mean()), float(values.std(ddof=1)), float(np.abs(values).max())
