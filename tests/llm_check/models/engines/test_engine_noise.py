"""Noise of log-probabilities between dtypes and forwards, and what it must find when two engines differ by a bug."""

from __future__ import annotations

import numpy as np
import pytest

from gsi_theory.errors import InputError
from llm_check.models.decoding.positions import Position, Prompt
from llm_check.models.decoding.reasoning_steps import PAD
from llm_check.models.engines.engine_noise import logprob_noise
from llm_check.models.engines.transformers_engine import TransformersEngine
from llm_check.models.tiny import checkpoint_path
from tests.llm_check.models.engines.test_transformers_engine import PROMPTS, RULE, streams_of

PLACES = [Position(Prompt(str(b), tuple(prompt))) for b, prompt in enumerate(PROMPTS)]


@pytest.fixture(scope="module")
def exact() -> TransformersEngine:
    return TransformersEngine.load(checkpoint_path("base"))


@pytest.fixture(scope="module")
def steps(exact: TransformersEngine) -> list[list[list[int]]]:
    return exact.sample(exact.prefill(PROMPTS), 40, streams_of([0, 1, 2, 3]), RULE).token_ids


def test_float32_forwards_agree_and_bfloat16_has_noise(exact: TransformersEngine, steps: list) -> None:
    module = TransformersEngine.load(checkpoint_path("base"), lean=False)
    same = logprob_noise(exact, module, PLACES, steps)
    assert same.token_max <= 1e-4 and same.tokens == sum(len(s) for group in steps for s in group)
    rough = TransformersEngine.load(checkpoint_path("base"), dtype="bfloat16")
    noise = logprob_noise(rough, exact, PLACES, steps)
    assert noise.steps == 160 and noise.a.startswith("transformers bfloat16")
    assert 1e-3 < noise.token_sd < 0.3 and noise.token_sd <= noise.token_max
    # Against the arrays themselves.
    scores = [e.score(e.prefill(PROMPTS), steps) for e in (rough, exact)]
    difference = (scores[0] - scores[1]).sum(axis=2).ravel()
    assert noise.step_sd == pytest.approx(difference.std(ddof=1), rel=1e-9)
    assert noise.step_mean == pytest.approx(difference.mean(), abs=1e-12)
    width = max(len(s) for group in steps for s in group)
    real = np.array([[[*s, *[PAD] * (width - len(s))] for s in group] for group in steps]) != PAD
    assert noise.token_mean == pytest.approx((scores[0] - scores[1])[real].mean(), abs=1e-12)


def test_another_temperature_or_no_steps_are_refused(exact: TransformersEngine, steps: list) -> None:
    warm = TransformersEngine.load(checkpoint_path("base"), temperature=0.7)
    with pytest.raises(InputError, match=r"temperatures 0\.7 and 1\.0"):
        logprob_noise(warm, exact, PLACES, steps)
    with pytest.raises(InputError, match="4 places and steps for 3"):
        logprob_noise(exact, exact, PLACES, steps[:3])
    with pytest.raises(InputError, match="at least 2"):
        logprob_noise(exact, exact, PLACES[:1], [[[1]]])
