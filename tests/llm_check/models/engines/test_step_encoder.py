"""Hidden states at the ends of steps against whole forwards, over a solution's steps and in small forwards."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from transformers import AutoModelForTokenClassification

from gsi_theory.errors import InputError
from llm_check.models.engines import step_encoder
from llm_check.models.engines.step_encoder import StepEncoder
from llm_check.models.tiny import checkpoint_path

PROMPTS = [(5, 9, 12, 6), (3, 11, 4, 13, 2), (7,)]
STEPS = [(4, 13), (5, 6, 7, 13), (13,), (2, 2, 9, 9), (5, 6)]


@pytest.fixture(scope="module")
def body() -> Any:
    model = AutoModelForTokenClassification.from_pretrained(checkpoint_path("prm"), dtype="float32")
    return model.eval().base_model


def plain(body: Any, sequences: list[tuple[tuple[int, ...], ...]]) -> np.ndarray:
    with torch.no_grad():
        rows = [[token for piece in pieces for token in piece] for pieces in sequences]
        return np.stack([body(input_ids=torch.tensor([row])).last_hidden_state[0, -1].numpy() for row in rows])


@pytest.mark.parametrize("lean", [True, False])
@pytest.mark.parametrize("most", [8192, 7])
def test_ends_of_steps_along_a_solution(body: Any, lean: bool, most: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(step_encoder, "_FORWARD_TOKENS", most)
    encoder = StepEncoder(body, "prm", lean)
    rng = np.random.default_rng(2)
    paths: list[tuple[tuple[int, ...], ...]] = [(prompt,) for prompt in PROMPTS]
    for _ in range(3):
        sequences = [(*path, step) for path in paths for step in STEPS]
        sequences = [sequences[i] for i in rng.permutation(len(sequences))] + sequences[:2]
        found = encoder.last_hidden(sequences).numpy()
        np.testing.assert_allclose(found, plain(body, sequences), rtol=0, atol=2e-4)
        paths = [(*path, STEPS[rng.integers(len(STEPS))]) for path in paths]
        # The same prefixes again, and one more beginning of the same texts.
        again = [(path[0], STEPS[1]) for path in paths]
        np.testing.assert_allclose(encoder.last_hidden(again).numpy(), plain(body, again), rtol=0, atol=2e-4)
        encoder.last_hidden(sequences)
    encoder.forget()
    np.testing.assert_allclose(encoder.last_hidden(again).numpy(), plain(body, again), rtol=0, atol=2e-4)


@pytest.mark.parametrize("lean", [True, False])
@pytest.mark.parametrize("most", [8192, 7])
def test_last_states_and_means_over_the_last_piece(
    body: Any, lean: bool, most: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(step_encoder, "_FORWARD_TOKENS", most)
    encoder = StepEncoder(body, "prm", lean)
    sequences = [(prompt, *before, step) for prompt in PROMPTS for before in ((), (STEPS[0],)) for step in STEPS]
    expected = []
    for sequence in sequences:
        with torch.no_grad():
            row = [token for piece in sequence for token in piece]
            states = body(input_ids=torch.tensor([row])).last_hidden_state[0, -len(sequence[-1]) :].numpy()
        expected.append([states[-1], states.mean(axis=0)])
    found = encoder.last_and_mean(sequences)
    assert found.dtype == torch.float32
    np.testing.assert_allclose(found.numpy(), expected, rtol=0, atol=2e-4)


def test_the_next_step_encodes_only_what_is_new(body: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    encoder = StepEncoder(body, "prm")
    seen: list[int] = []
    encode = step_encoder.encode

    def counted(cache: Any, tokens: Any, *rest: Any, **named: Any) -> Any:
        seen.append(cache.pending.size + (0 if tokens is None else tokens.size))
        return encode(cache, tokens, *rest, **named)

    monkeypatch.setattr(step_encoder, "encode", counted)
    prompt = tuple(1 + i % 9 for i in range(30))
    encoder.last_hidden([(prompt, step) for step in STEPS])
    encoder.last_hidden([(prompt, STEPS[0], step) for step in STEPS])
    # Nodes: 4 13; 5 6 7 13; 13; 2 2 9 9; then the two tokens of the step taken and the same nodes again.
    assert seen == [30 + 11, 2 + 11]
    # What prompts begin with is encoded once: 29 tokens, then one of each prompt with its two nodes.
    encoder.forget()
    encoder.last_hidden([((*prompt[:29], last), STEPS[0]) for last in (1, 2, 3)])
    assert seen[2:] == [29, 3 * (1 + 2)]


def test_bad_input(body: Any) -> None:
    encoder = StepEncoder(body, "prm")
    for sequences, message in (
        ([], "no sequences"), ([((), (1,))], "empty prefix"), ([((1,), ())], "empty step"),
        ([((1,), (16,))], r"token ids \[16\]"), ([((1, -2), (1,))], r"token ids \[1, -2\]"),
        ([((1,) * 60, (2,) * 9)], "69 tokens, and its context holds 64"),
    ):  # fmt: skip
        with pytest.raises(InputError, match=message):
            encoder.last_hidden(sequences)
