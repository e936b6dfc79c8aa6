"""vLLM servers over HTTP behind the Engine protocol: `/v1/completions` with token-id prompts.

Start them where the GPUs are, one or several, all with the same model:

    vllm serve MODEL --port 8000 --dtype float32 --generation-config vllm --tensor-parallel-size 4

On a CPU add `--no-enable-chunked-prefill`: vLLM 0.32 dies there of a seeded request whose prompt is prefilled in parts.

Prompts are shared out over the servers; a server that fails leaves its requests to the others. Before the first use
each server is asked a small question whose answer is known to hang together (`_probe`): it must return token ids,
repeat its draws for a repeated seed, score given tokens, and score its own draws as it drew them. A plain
OpenAI-compatible endpoint fails that and is refused, because it cannot score tokens that another model drew.

Options after `?`: tokenizer=FOLDER (where the server's own is not on this machine), model=NAME (where it serves
several), timeout=SECONDS, attempts=N, concurrency=N. The key comes from the environment (`engines.vllm_http`).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

from transformers import AutoTokenizer

from gsi_theory.errors import InputError
from gsi_theory.runs.json_input import shown
from gsi_theory.types import Json, Record
from llm_check.models.engines.engine import LogProbContract
from llm_check.models.engines.token_engine import Completion, SampleRequest, ScoreRequest, TokenEngine, WrongAnswer
from llm_check.models.engines.vllm_answers import MissingField, sample_body, sampled, score_body, scored
from llm_check.models.engines.vllm_http import Servers, open_servers
from llm_check.models.engines.weight_files import read_object
from llm_check.models.model_types import Tokenizer

__all__ = ["VllmServers", "load_servers"]

PATH = "/v1/completions"
# Sequences scored by one request: large enough to fill the server's batch, small enough to be asked again.
SCORED_AT_ONCE = 32
# Two values of one token's log-probability may differ by rounding in bf16 (sd about 0.05), not by more than this;
# logits in place of log-probabilities, or another model, differ by nats.
PROBE_TOLERANCE = 0.5
PROBE_TOKENS = 8
Answer = TypeVar("Answer")
KNOWN_OPTIONS = {"tokenizer", "model", "timeout", "attempts", "backoff", "concurrency"}


@dataclass(frozen=True)
class VllmServers:
    """A `Service` (engines.token_engine) on servers of one model."""

    servers: Servers
    model: str
    vocabulary: int

    def sample(self, requests: Sequence[SampleRequest]) -> list[list[Completion]]:
        """One HTTP request for each."""

        def ask(request: SampleRequest, first: int) -> list[Completion]:
            return self.servers.ask(
                PATH,
                sample_body(self.model, request),
                lambda answer: sampled(answer, self.model, request, self.vocabulary),
                request.place,
                first,
            )

        return self.servers.ask_all([partial(ask, request) for request in requests])

    def score(self, requests: Sequence[ScoreRequest]) -> list[list[float]]:
        """`SCORED_AT_ONCE` sequences an HTTP request."""

        def ask(part: Sequence[ScoreRequest], first: int) -> list[list[float]]:
            return self.servers.ask(
                PATH,
                score_body(self.model, part),
                lambda answer: scored(answer, self.model, part),
                part[0].place,
                first,
            )

        parts = [requests[start : start + SCORED_AT_ONCE] for start in range(0, len(requests), SCORED_AT_ONCE)]
        answers = self.servers.ask_all([partial(ask, part) for part in parts])
        return [values for answer in answers for values in answer]


def _card(servers: Servers, url: str, wanted: str | None) -> Record:
    """The entry of /v1/models that is asked: the one named, or the only one that is no adapter of another."""
    listed = servers.get(url, "/v1/models")
    cards = listed.get("data") if isinstance(listed, dict) else None
    if not isinstance(cards, list) or not all(isinstance(c, dict) and isinstance(c.get("id"), str) for c in cards):
        raise InputError(f"{url}/v1/models lists no models: give the URL of a vLLM server (http://host:port)")
    fitting = [c for c in cards if (c["id"] == wanted if wanted else c.get("parent") is None)]
    if len(fitting) != 1:
        names = ", ".join(repr(c["id"]) for c in cards) or "none"
        raise InputError(f"{url} serves {names}, not {wanted or 'one model'}: name one with ?model=NAME")
    if not isinstance(fitting[0].get("max_model_len"), int):
        raise _refuse_plain(url, "max_model_len in /v1/models")
    return fitting[0]


def _refuse_plain(url: str, field: str) -> InputError:
    return InputError(
        f"{url} is not vLLM: its answer has no {field}. An endpoint that cannot return token ids and score given "
        "tokens gives no importance weights, since the draft's steps must be scored by the base token by token: "
        "serve the model with vLLM (vllm serve MODEL)"
    )


def _one(service: VllmServers, url: str) -> VllmServers:
    """The service on one of its servers, asked one thing at a time."""
    return replace(service, servers=replace(service.servers, urls=(url,), concurrency=1))


def _asked(service: VllmServers, body: Record, make: Callable[[Json], Answer], place: str) -> Answer:
    """An answer that may lack what only vLLM gives; InputError says so at once."""
    url = service.servers.urls[0]

    def check(answer: Json) -> Answer:
        try:
            return make(answer)
        except MissingField as error:
            raise _refuse_plain(url, str(error)) from None

    return service.servers.ask(PATH, body, check, place)


def _probe(service: VllmServers, prompt: tuple[int, ...]) -> list[Completion]:
    """Two draws of the first server, drawn again, and scored. Raises InputError where they do not hang together."""
    url, model = service.servers.urls[0], service.model
    place = f"start-up check of {url} (token-id prompts, return_token_ids, prompt_logprobs)"
    request = SampleRequest(prompt, 2, 1, PROBE_TOKENS, (), place)
    drawn, again = (
        _asked(service, sample_body(model, request), lambda a: sampled(a, model, request, service.vocabulary), place)
        for _ in range(2)
    )
    if [one.tokens for one in drawn] != [one.tokens for one in again]:
        raise InputError(f"{url} draws other tokens when a seed is repeated: a run could not be made again; use vLLM")
    worst = _distance(service, prompt, drawn)
    if not worst <= PROBE_TOLERANCE:
        raise InputError(
            f"{url} scores its own draws {worst:.3g} nats per token away from how it drew them: start it without "
            "--logprobs-mode, speculative decoding or watermark, so that both are raw log-probabilities"
        )
    return drawn


def _distance(service: VllmServers, prompt: tuple[int, ...], drawn: Sequence[Completion]) -> float:
    """Largest |difference| in nats per token between the draws' log-probabilities and the server's scores of them."""
    place = f"start-up check of {service.servers.urls[0]} (prompt_logprobs)"
    steps = [ScoreRequest(prompt, one.tokens, place) for one in drawn]
    values = _asked(
        service, score_body(service.model, steps), lambda answer: scored(answer, service.model, steps), place
    )
    return max(abs(a - b) for row, one in zip(values, drawn, strict=True) for a, b in zip(row, one.logp, strict=True))


def _tokenizer(url: str, source: Json) -> tuple[Any, int]:
    """The tokenizer and the number of logits of the model at `source`, a folder or a cached name; no download."""
    try:
        tokenizer = AutoTokenizer.from_pretrained(str(source), trust_remote_code=False, local_files_only=True)
    except (OSError, ValueError) as error:
        raise InputError(
            f"the tokenizer of {url}, {source!r}, is not on this machine: give its folder with ?tokenizer=FOLDER"
        ) from error
    size = max(tokenizer.get_vocab().values()) + 1
    config = Path(str(source)) / "config.json"
    if config.is_file():
        size = read_object(config).get("vocab_size", size)
        if type(size) is not int or size < 1:
            raise InputError(f"{config}: vocab_size = {shown(size)}: give the number of the model's token ids")
    return tokenizer, size


def _require_tokenizer(service: VllmServers, tokenizer: Tokenizer) -> None:
    """InputError where the server spells token ids otherwise than the tokenizer here (asked of up to 64 ids)."""
    url, top = service.servers.urls[0], service.vocabulary - 1
    ids = sorted({i * top // 63 for i in range(64)} & set(tokenizer.get_vocab().values()))

    def text(answer: Json) -> str:
        if not isinstance(answer, dict) or not isinstance(answer.get("prompt"), str):
            raise WrongAnswer("an answer without text")
        return str(answer["prompt"])

    body = {"model": service.model, "tokens": ids}
    theirs = service.servers.ask("/detokenize", body, text, f"start-up check of {url} (its tokenizer)")
    if theirs != tokenizer.decode(ids):
        raise InputError(f"{url} spells token ids otherwise than the tokenizer here: give its own, ?tokenizer=FOLDER")


def load_servers(urls: Sequence[str], options: Mapping[str, Json]) -> TokenEngine:
    """An engine on one or several vLLM servers of one model; each is checked first (see above).

    Raises InputError for an unknown option, a server that cannot be reached or is no vLLM, servers of different
    models, and a tokenizer that is not here or is not the server's.
    """
    if unknown := sorted(options.keys() - KNOWN_OPTIONS):
        raise InputError(f"option {unknown[0]!r} of the servers is unknown: use {', '.join(sorted(KNOWN_OPTIONS))}")
    patience = {k: v for k, v in options.items() if k not in ("tokenizer", "model")}
    servers = open_servers(urls, **patience)
    cards = [_card(servers, url, options.get("model")) for url in servers.urls]
    model = cards[0]["id"]
    versions = [_version(servers, url) for url in servers.urls]
    for url, card, version in zip(servers.urls, cards, versions, strict=True):
        if (card["id"], version) != (model, versions[0]):
            raise InputError(
                f"{url} serves {card['id']!r} with vLLM {version}, {servers.urls[0]} serves {model!r} with "
                f"{versions[0]}: use servers of one model and version"
            )
    tokenizer, vocabulary = _tokenizer(servers.urls[0], options.get("tokenizer", cards[0].get("root") or model))
    service = VllmServers(servers, model, vocabulary)
    prompt = tuple(i % vocabulary for i in (1, 2, 3))
    drawn = [_probe(_one(service, url), prompt) for url in servers.urls]
    for url in servers.urls:
        _require_tokenizer(_one(service, url), tokenizer)
        if url != servers.urls[0] and not _distance(_one(service, url), prompt, drawn[0]) <= PROBE_TOLERANCE:
            raise InputError(f"{url} and {servers.urls[0]} hold different weights: use servers of one model")
    contract = LogProbContract("vllm-server", versions[0], model, "set by the server", forward="vllm")
    context = min(int(card["max_model_len"]) for card in cards) - 1
    return TokenEngine(service, tokenizer, contract, vocabulary, context)


def _version(servers: Servers, url: str) -> str:
    answer = servers.get(url, "/version")
    if not isinstance(answer, dict) or not isinstance(answer.get("version"), str):
        raise _refuse_plain(url, "/version")
    return str(answer["version"])
