"""What vLLM's /v1/completions is asked, and whether its answer can be right.

Every field that could put a wrong number into a row is checked: the model's name, one choice for each index and no
more (they may come in any order), the prompt ids echoed, token ids, one finite log-probability for each token, the
end. Whatever fails raises `WrongAnswer` with the reason, and the request is made again.
"""

from __future__ import annotations

from collections.abc import Sequence

from gsi_theory.types import Json, Record
from llm_check.models.engines.token_engine import (
    Completion,
    SampleRequest,
    ScoreRequest,
    WrongAnswer,
    checked_completion,
    checked_scores,
)

__all__ = ["MissingField", "sample_body", "sampled", "score_body", "scored"]

# A server fills fields that are left out from the model's generation_config.json, so every one is given.
LAW: Record = {
    "temperature": 1.0,
    "top_p": 1.0,
    "top_k": 0,
    "min_p": 0.0,
    "repetition_penalty": 1.0,
    "presence_penalty": 0.0,
    "frequency_penalty": 0.0,
    "min_tokens": 0,
    "ignore_eos": True,
    "watermarking": False,
    "stream": False,
    "echo": False,
    "add_special_tokens": False,
    "return_token_ids": True,
}


class MissingField(WrongAnswer):
    """A field that only vLLM fills is not there: the server is something else."""


def sample_body(model: str, request: SampleRequest) -> Record:
    """The JSON of a request for draws."""
    return LAW | {
        "model": model,
        "prompt": list(request.prompt),
        "n": request.n,
        "seed": request.seed,
        "max_tokens": request.max_tokens,
        "stop_token_ids": list(request.stop_ids),
        "logprobs": 0,
    }


def score_body(model: str, requests: Sequence[ScoreRequest]) -> Record:
    """The JSON of a request for prompt log-probabilities: one token is drawn after each sequence and thrown away. No
    seed: with one, vLLM's CPU build dies of a prompt that it prefills in parts."""
    return LAW | {
        "model": model,
        "prompt": [list(r.prefix + r.step) for r in requests],
        "n": 1,
        "max_tokens": 1,
        "prompt_logprobs": 0,
    }


def _choices(answer: Json, model: str, count: int, prompts: Sequence[Sequence[int]]) -> list[Record]:
    """The choices in order of their index, `count` for each of the prompts."""
    if not isinstance(answer, dict) or not isinstance(answer.get("choices"), list):
        raise WrongAnswer("an answer without a list of choices")
    if answer.get("model") != model:
        raise WrongAnswer(f"an answer of model {answer.get('model')!r}, not {model!r}")
    choices = answer["choices"]
    wanted = count * len(prompts)
    index = [choice.get("index") if isinstance(choice, dict) else None for choice in choices]
    if any(type(i) is not int for i in index) or set(index) != set(range(wanted)) or len(index) != wanted:
        raise WrongAnswer(f"choices with indices {str(index)[:80]} where 0 to {wanted - 1} were asked for, once each")
    ordered = sorted(choices, key=lambda choice: choice["index"])
    for choice in ordered:
        prompt = prompts[choice["index"] // count]
        if choice.get("prompt_token_ids") is None:
            raise MissingField("prompt_token_ids")
        if choice["prompt_token_ids"] != list(prompt):
            raise WrongAnswer(f"choice {choice['index']} was made after other prompt ids than those sent")
    return ordered


def sampled(answer: Json, model: str, request: SampleRequest, vocabulary: int) -> list[Completion]:
    """The n draws of an answer to `sample_body`, in order. Raises WrongAnswer, or MissingField where the server does
    not know `return_token_ids`."""
    drawn = []
    for choice in _choices(answer, model, request.n, [request.prompt]):
        if not isinstance(choice.get("token_ids"), list):
            raise MissingField("token_ids")
        logprobs = choice.get("logprobs")
        if not isinstance(logprobs, dict) or not isinstance(logprobs.get("token_logprobs"), list):
            raise MissingField("logprobs.token_logprobs")
        drawn.append(
            checked_completion(
                choice["token_ids"], logprobs["token_logprobs"], choice.get("finish_reason"), request, vocabulary
            )
        )
    return drawn


def _step_values(rows: Json, request: ScoreRequest) -> list[Json]:
    """The values of the step's own tokens among the prompt log-probabilities of one sequence."""
    wanted = len(request.prefix) + len(request.step)
    if not isinstance(rows, list):
        raise MissingField("prompt_logprobs")
    if len(rows) != wanted:
        raise WrongAnswer(f"{len(rows)} prompt log-probabilities for {wanted} tokens")
    values = []
    for token, row in zip(request.step, rows[len(request.prefix) :], strict=True):
        entry = row.get(str(token)) if isinstance(row, dict) else None
        if not isinstance(entry, dict):
            raise WrongAnswer(f"no prompt log-probability of token id {token}")
        values.append(entry.get("logprob"))
    return values


def scored(answer: Json, model: str, requests: Sequence[ScoreRequest]) -> list[list[float]]:
    """The steps' token log-probabilities of an answer to `score_body`, in order. Raises WrongAnswer, or MissingField
    where the server does not know `prompt_logprobs`."""
    choices = _choices(answer, model, 1, [r.prefix + r.step for r in requests])
    return [
        checked_scores(_step_values(choice.get("prompt_logprobs"), request), request)
        for choice, request in zip(choices, requests, strict=True)
    ]
