"""A server that answers as vLLM does, from the transformers engine; and a server that passes answers on, spoiled.

`FakeVllm` is a function of (method, path, body); so is a real server behind `forwarding_to`. `serving` puts either on a
port of this machine, with a plan that says which requests go wrong and how (`FAULTS`).
"""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import httpx2

from llm_check.models.decoding.random_streams import PositionStream, Purpose
from llm_check.models.decoding.reasoning_steps import StepRule
from llm_check.models.engines.transformers_engine import TransformersEngine

Upstream = Callable[[str, str, Any], tuple[int, bytes]]
Plan = Callable[[int, str, Any], str | None]


# The law that is drawn from must be the law that is scored, whatever the server's generation_config.json says: all of
# these must be asked for, and the fake does nothing else. No seed for scoring: vLLM's CPU build may die of one.
NEUTRAL: dict[str, Any] = {
    "temperature": 1.0,
    "top_p": 1.0,
    "top_k": 0,
    "min_p": 0.0,
    "repetition_penalty": 1.0,
    "presence_penalty": 0.0,
    "frequency_penalty": 0.0,
    "min_tokens": 0,
    "ignore_eos": True,
}


@dataclass
class FakeVllm:
    """vLLM's answers on one checkpoint. `change(path, answer)` may make it another kind of server."""

    folder: Path
    name: str = "fake"
    change: Callable[[str, Any], Any] = lambda path, answer: answer
    version: str = "0.32.0"
    lock: Any = field(default_factory=threading.Lock)

    def __post_init__(self) -> None:
        self.engine = TransformersEngine.load(self.folder)

    def __call__(self, method: str, path: str, body: Any) -> tuple[int, bytes]:
        with self.lock:
            answer = self.change(path, self._answer(method, path, body))
        if isinstance(answer, int):
            return answer, b'{"error": {"message": "no"}}'
        return 200, json.dumps(answer).encode()

    def _answer(self, method: str, path: str, body: Any) -> Any:
        if path == "/v1/models":
            return {"data": [{"id": self.name, "root": str(self.folder), "parent": None, "max_model_len": 64}]}
        if path == "/version":
            return {"version": self.version}
        if path == "/detokenize":
            return {"prompt": self.engine.tokenizer.decode(body["tokens"])}
        if path != "/v1/completions":
            return 404
        if body | NEUTRAL != body or (body.get("prompt_logprobs") is not None and body.get("seed") is not None):
            return 400
        choices = self._scored(body) if body.get("prompt_logprobs") is not None else self._drawn(body)
        return {"object": "text_completion", "model": self.name, "choices": choices, "usage": {}}

    def _drawn(self, body: Any) -> list[Any]:
        n, stops = body["n"], body["stop_token_ids"]
        ends = frozenset(stops or [self.engine.vocabulary])  # an id that is never drawn
        rule = StepRule(frozenset(), ends, body["max_tokens"])
        prefixes = self.engine.select(self.engine.prefill([body["prompt"]]), [0] * n)
        streams = [PositionStream(body["seed"] + i, "fake", 0, Purpose.DRAFT) for i in range(n)]
        steps = self.engine.sample(prefixes, 1, streams, rule)
        return [
            {
                "index": i,
                "text": "",
                "token_ids": steps.token_ids[i][0],
                "logprobs": {"token_logprobs": steps.token_logp[i, 0, : steps.lengths[i, 0]].tolist()},
                "finish_reason": "length" if steps.finish[i, 0] == "length" else "stop",
                "prompt_token_ids": body["prompt"],
            }
            for i in range(n)
        ]

    def _scored(self, body: Any) -> list[Any]:
        prompts = body["prompt"]
        first = self.engine.prefill([[ids[0]] for ids in prompts])
        values = self.engine.score(first, [[ids[1:]] for ids in prompts])
        return [
            {
                "index": i,
                "text": "",
                "token_ids": [0],
                "logprobs": None,
                "finish_reason": "length",
                "prompt_token_ids": ids,
                "prompt_logprobs": [None]
                + [{str(t): {"logprob": v, "rank": 1}} for t, v in zip(ids[1:], values[i, 0].tolist(), strict=False)],
            }
            for i, ids in enumerate(prompts)
        ]


@contextmanager
def forwarding_to(url: str) -> Iterator[Upstream]:
    """A real server as a function."""
    with httpx2.Client(timeout=120, trust_env=False) as client:

        def ask(method: str, path: str, body: Any) -> tuple[int, bytes]:
            answer = (
                client.request(method, url + path, json=body)
                if body is not None
                else client.request(method, url + path)
            )
            return answer.status_code, answer.content

        yield ask


def _on_first_choice(change: Callable[[Any], None]) -> Callable[[Any], None]:
    return lambda answer: change(answer["choices"][0])


def _spoil_values(value: Any) -> Callable[[Any], None]:
    """A log-probability of the first choice, drawn or scored, replaced."""

    def change(choice: Any) -> None:
        if choice.get("prompt_logprobs"):
            next(iter(choice["prompt_logprobs"][-1].values()))["logprob"] = value
        else:
            choice["logprobs"]["token_logprobs"][0] = value

    return _on_first_choice(change)


def _drop_value(choice: Any) -> None:
    if choice.get("prompt_logprobs"):
        choice["prompt_logprobs"].pop()
    else:
        choice["logprobs"]["token_logprobs"].pop()


def _swap_ids(choice: Any) -> None:
    """Answers of two requests mixed up: what was given back belongs to other prompt ids."""
    choice["prompt_token_ids"] = [*choice["prompt_token_ids"][:-1], (choice["prompt_token_ids"][-1] + 1) % 16]


def _wrong_token(choice: Any) -> None:
    if choice.get("prompt_logprobs"):
        (key, entry), *_ = choice["prompt_logprobs"][-1].items()
        choice["prompt_logprobs"][-1] = {str(int(key) + 1): entry}
    else:
        choice["token_ids"][0] = 99


# Answers that parse and are wrong.
WRONG: dict[str, Callable[[Any], None]] = {
    "other_prompt": _on_first_choice(_swap_ids),
    "wrong_token": _on_first_choice(_wrong_token),
    "not_a_number": _spoil_values(float("nan")),
    "null": _spoil_values(None),
    "positive": _spoil_values(0.7),
    "clamped": _spoil_values(-9999.0),
    "value_missing": _on_first_choice(_drop_value),
    "choice_missing": lambda answer: answer["choices"].pop(),
    "choice_twice": lambda answer: answer["choices"].append(answer["choices"][0]),
    "index_wrong": lambda answer: answer["choices"][0].update(index=len(answer["choices"])),
    "other_model": lambda answer: answer.update(model="another"),
    "no_choices": lambda answer: answer.pop("choices"),
}
# What happens to bytes and connections.
BROKEN = ("truncated_json", "half_a_body", "http_500", "http_429", "no_answer", "hangs", "html")
FAULTS = (*WRONG, *BROKEN)
HANG_SECONDS = 1.5


@dataclass
class Served:
    """A running server: its URL, and what it was asked: (path, fault or None)."""

    url: str
    asked: list[tuple[str, str | None]]
    server: ThreadingHTTPServer
    dead: threading.Event

    def die(self) -> None:
        """Refuse connections from now on, and answer nothing on the open ones."""
        self.dead.set()
        self.server.shutdown()
        self.server.server_close()


@contextmanager
def serving(
    upstream: Upstream, plan: Plan = lambda count, path, body: None, key: str | None = None
) -> Iterator[Served]:
    """`upstream` on a free port. plan(how many completions were asked before, path, body) names a fault or None."""
    asked: list[tuple[str, str | None]] = []
    lock, dead = threading.Lock(), threading.Event()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, format: str, *args: Any) -> None:
            pass

        def do_GET(self) -> None:
            self._handle("GET", None)

        def do_POST(self) -> None:
            self._handle("POST", json.loads(self.rfile.read(int(self.headers["Content-Length"]))))

        def _handle(self, method: str, body: Any) -> None:
            if dead.is_set():
                self.close_connection = True
                return None
            if key is not None and self.headers.get("Authorization") != f"Bearer {key}":
                return self._send(401, json.dumps({"error": f"bad {self.headers.get('Authorization')}"}).encode())
            with lock:
                count = sum(path == "/v1/completions" for path, _ in asked)
                fault = plan(count, self.path, body) if self.path == "/v1/completions" else None
                asked.append((self.path, fault))
            try:
                self._answer(*upstream(method, self.path, body), fault)
            except (BrokenPipeError, ConnectionResetError):
                self.close_connection = True
            except httpx2.HTTPError as error:
                self._send(502, repr(error).encode())

        def _answer(self, status: int, content: bytes, fault: str | None) -> None:
            if fault in ("http_500", "http_429"):
                return self._send(int(fault[-3:]), f"failing, {self.headers.get('Authorization')}".encode())
            if fault == "hangs":
                time.sleep(HANG_SECONDS)
            if fault in ("no_answer", "hangs"):
                self.close_connection = True
                return None
            if fault == "html":
                return self._send(200, b"<html>\x1b[31mgateway</html>")
            if fault == "truncated_json":
                return self._send(200, content[: len(content) // 2])
            if fault == "reordered" or fault in WRONG:
                answer = json.loads(content)
                if fault == "reordered":
                    answer["choices"].reverse()
                else:
                    WRONG[fault](answer)
                return self._send(status, json.dumps(answer).encode())
            return self._send(status, content, half=fault == "half_a_body")

        def _send(self, status: int, content: bytes, half: bool = False) -> None:
            self.send_response(status)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content[: len(content) // 2] if half else content)
            if half:
                self.close_connection = True

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    served = Served(f"http://127.0.0.1:{server.server_address[1]}", asked, server, dead)
    try:
        yield served
    finally:
        served.die()
        thread.join()
