"""Two questions to vLLM servers; the answers are a log: draws of the draft, and what the base says of them."""

import json
import urllib.request
from typing import Any

# every field that shapes the law is sent: what is left out, the server fills from the model's generation_config.json
LAW = {"temperature": 1.0, "top_p": 1.0, "top_k": 0, "min_p": 0.0, "repetition_penalty": 1.0}
# token ids in, token ids out: text that is encoded again may be other tokens
IDS = {"return_token_ids": True, "add_special_tokens": False}


def completions(url: str, **fields: Any) -> Any:
    request = urllib.request.Request(
        f"{url}/v1/completions", json.dumps(fields).encode(), {"Content-Type": "application/json"}
    )
    with urllib.request.urlopen(request) as answer:
        return json.load(answer)


def draws(
    url: str, model: str, prompt: list[int], n: int, seed: int, max_tokens: int, stop: list[int], **law: float
) -> Any:
    """n answers after the token ids `prompt`, with the log-probability of every token that was drawn. A request of n
    draws uses the seeds seed, seed + 1, ...: the next one must begin n later."""
    return completions(
        url, model=model, prompt=prompt, n=n, seed=seed, max_tokens=max_tokens, stop_token_ids=stop, ignore_eos=True,
        logprobs=0, **LAW | law, **IDS,
    )  # fmt: skip


def scores(url: str, model: str, sequences: list[list[int]]) -> Any:
    """The log-probability of every token of these sequences of ids. One token is drawn after each, and of no use."""
    return completions(url, model=model, prompt=sequences, max_tokens=1, prompt_logprobs=0, **LAW, **IDS)
