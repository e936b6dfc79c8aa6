"""Two questions to vLLM servers: draws of the draft, and what the base says of them."""

import json
import urllib.request
from typing import Any

# every field that shapes the law is sent: what is left out,
# the server fills from the model's generation_config.json
LAW = {
    "temperature": 1.0,
    "top_p": 1.0,
    "top_k": 0,
    "min_p": 0.0,
    "repetition_penalty": 1.0,
}
# token ids in, token ids out: text that is encoded again may be other tokens
IDS = {"return_token_ids": True, "add_special_tokens": False}


def completions(url: str, **fields: Any) -> Any:
    headers = {"Content-Type": "application/json"}
    body = json.dumps(fields).encode()
    request = urllib.request.Request(f"{url}/v1/completions", body, headers)
    with urllib.request.urlopen(request) as answer:
        return json.load(answer)


def draws(url: str, model: str, prompt: list[int], n: int, seed: int, **more: Any) -> Any:
    """n answers after the ids `prompt`, with the log-probability of each token drawn.

    A request of n draws uses the seeds seed, seed + 1, ...: the next begins n later.
    """
    fields = {"model": model, "prompt": prompt, "n": n, "seed": seed, "logprobs": 0}
    return completions(url, **fields, **LAW | IDS | more)


def scores(url: str, model: str, sequences: list[list[int]]) -> Any:
    """The log-probability of every token of these sequences of ids. One token is drawn
    after each, and of no use."""
    fields = {"model": model, "prompt": sequences, "max_tokens": 1, "prompt_logprobs": 0}
    return completions(url, **fields, **LAW | IDS)
