"""The server engine against a local server that answers in vLLM's format and then misbehaves: no vLLM needed."""

from __future__ import annotations

import logging
import re
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from gsi_theory.errors import InputError
from llm_check.models.decoding.reasoning_steps import StepRule, Steps
from llm_check.models.engines import token_engine, vllm_server
from llm_check.models.engines.load_engine import load_engine
from llm_check.models.engines.transformers_engine import TransformersEngine
from llm_check.models.tiny import checkpoint_path
from llm_check.models.tiny.tokenizer import BLANK_ID, EOS_ID
from tests.llm_check.models.engines.contract_suite import CONTRACT, PROMPTS, RULE, STEPS, Pair, streams_of
from tests.llm_check.models.engines.fake_vllm import FAULTS, FakeVllm, serving

# Patient with a busy machine; where a server is to hang, `hurry` gives up on it sooner.
QUICK = "timeout=60&backoff=0.001&attempts=3"
START = (
    3  # completions asked at start for each server: two draws and one scoring; a second server scores the first's, too
)


@pytest.fixture(scope="module")
def fakes() -> dict[str, FakeVllm]:
    return {name: FakeVllm(checkpoint_path(name), name) for name in ("draft", "base")}


@pytest.fixture(scope="module")
def pair(fakes: dict[str, FakeVllm]) -> Iterator[Pair]:
    with ExitStack() as stack:
        engines = [
            load_engine(f"{stack.enter_context(serving(fakes[name])).url}?timeout=60") for name in ("draft", "base")
        ]
        yield Pair(engines[0], engines[1], *(fakes[name].engine.model for name in ("draft", "base")), draws=500)


@pytest.mark.parametrize("law", CONTRACT)
def test_contract(law: str, pair: Pair) -> None:
    CONTRACT[law](pair)


def hurry(engine: Any, seconds: float) -> None:
    engine.service.servers.client.timeout = seconds


def drawn_and_scored(url: str, seconds: float = 60.0) -> tuple[Steps, np.ndarray]:
    engine = load_engine(f"{url}?{QUICK}")
    hurry(engine, seconds)
    prefixes = engine.prefill(PROMPTS)
    return engine.sample(prefixes, 3, streams_of(range(4)), RULE), engine.score(prefixes, STEPS)


@pytest.fixture(scope="module")
def undisturbed(fakes: dict[str, FakeVllm]) -> tuple[Steps, np.ndarray]:
    with serving(fakes["draft"]) as served:
        return drawn_and_scored(served.url)


def same(found: tuple[Steps, np.ndarray], wanted: tuple[Steps, np.ndarray]) -> None:
    assert found[0].token_ids == wanted[0].token_ids
    assert found[0].finish.tolist() == wanted[0].finish.tolist()
    np.testing.assert_allclose(found[0].token_logp, wanted[0].token_logp, rtol=0, atol=1e-5)
    np.testing.assert_allclose(found[1], wanted[1], rtol=0, atol=1e-5)


@pytest.mark.parametrize("fault", FAULTS)
def test_a_passing_fault_changes_nothing(
    fault: str, fakes: dict[str, FakeVllm], undisturbed: tuple[Steps, np.ndarray]
) -> None:
    """The first draw and the first scoring after the start go wrong once; the numbers are those of a quiet run."""
    seen: set[bool] = set()

    def plan(count: int, path: str, body: Any) -> str | None:
        kind = "prompt_logprobs" in body
        if count < START or kind in seen:
            return None
        seen.add(kind)
        return fault

    with serving(fakes["draft"], plan) as served:
        same(drawn_and_scored(served.url, 1.0 if fault == "hangs" else 60.0), undisturbed)
        assert [f for _, f in served.asked if f] == [fault] * 2


def test_the_server_is_told_every_id_that_ends_a_step(fakes: dict[str, FakeVllm]) -> None:
    """Text drawn past an end would be cut here, so only the time would show it."""
    told: list[list[int]] = []

    def plan(count: int, path: str, body: Any) -> None:
        if count >= START and "seed" in body:
            told.append(body["stop_token_ids"])

    with serving(fakes["draft"], plan) as served:
        drawn_and_scored(served.url)
    assert told == [sorted({BLANK_ID, EOS_ID})] * len(PROMPTS)


def test_choices_may_come_in_any_order(fakes: dict[str, FakeVllm], undisturbed: tuple[Steps, np.ndarray]) -> None:
    with serving(fakes["draft"], lambda count, path, body: "reordered") as served:
        same(drawn_and_scored(served.url), undisturbed)


@pytest.mark.parametrize("fault", FAULTS)
@pytest.mark.parametrize("scoring", [False, True])
def test_a_lasting_fault_is_one_clear_error(fault: str, scoring: bool, fakes: dict[str, FakeVllm]) -> None:
    """Three tries, then an InputError that names the prompt, the server and the cure, in plain characters."""

    def plan(count: int, path: str, body: Any) -> str | None:
        return fault if count >= START and ("prompt_logprobs" in body) == scoring else None

    with serving(fakes["draft"], plan) as served:
        engine = load_engine(f"{served.url}?{QUICK}&concurrency=1")
        hurry(engine, 0.2 if fault == "hangs" else 60.0)
        prefixes = engine.prefill(PROMPTS[:1])
        with pytest.raises(InputError) as caught:
            if scoring:
                engine.score(prefixes, STEPS[:1])
            else:
                engine.sample(prefixes, 2, streams_of([0]), RULE)
        tries = [f for _, f in served.asked if f]
    message = str(caught.value)
    # A try that is given up early on a busy machine may never have reached the server.
    assert tries == [fault] * 3 or (fault == "hangs" and set(tries) <= {fault})
    assert "no usable answer in 3 tries" in message
    assert ("prefix 0 of 9 tokens" if scoring else "prompt 'prompt-0', step 0") in message
    assert served.url in message and "run again" in message
    assert message.isprintable()


def test_a_server_that_dies_leaves_its_prompts_to_the_others(
    fakes: dict[str, FakeVllm], undisturbed: tuple[Steps, np.ndarray]
) -> None:
    with serving(fakes["draft"]) as one, serving(fakes["draft"]) as two:
        engine = load_engine(f"{one.url},{two.url}?{QUICK}")
        prefixes = engine.prefill(PROMPTS)
        before = engine.sample(prefixes, 3, streams_of(range(4)), RULE)
        shares = [sum(path == "/v1/completions" for path, _ in served.asked) for served in (one, two)]
        assert shares == [START + 2, START + 1 + 2]
        one.die()
        after = engine.sample(prefixes, 3, streams_of(range(4)), RULE), engine.score(prefixes, STEPS)
        assert before.token_ids == after[0].token_ids
        same(after, undisturbed)
        two.die()
        with pytest.raises(InputError, match=r"prompt 'prompt-0', step 0: no usable answer in 3 tries .*" + one.url):
            engine.sample(prefixes, 3, streams_of(range(4)), RULE)


def _without(*fields: str) -> Any:
    def change(path: str, answer: Any) -> Any:
        for choice in answer.get("choices", []) if path == "/v1/completions" else []:
            for name in fields:
                choice.pop(name, None)
        return answer

    return change


def _logits(path: str, answer: Any) -> Any:
    for choice in answer.get("choices", []) if path == "/v1/completions" else []:
        if choice["logprobs"]:
            choice["logprobs"]["token_logprobs"] = [v - 3 for v in choice["logprobs"]["token_logprobs"]]
    return answer


def _other_spelling(path: str, answer: Any) -> Any:
    return {"prompt": answer["prompt"][::-1]} if path == "/detokenize" else answer


NO_SERVER: dict[str, tuple[Any, str]] = {
    "no version": (
        lambda path, answer: 404 if path == "/version" else answer,
        "is not vLLM: its answer has no /version",
    ),
    "plain": (_without("token_ids", "prompt_token_ids", "prompt_logprobs"), "gives no importance weights"),
    "no token ids": (_without("token_ids"), "no token_ids"),
    "no scores": (_without("prompt_logprobs"), "no prompt_logprobs"),
    "rejects": (lambda path, answer: 400 if path == "/v1/completions" else answer, "return_token_ids.*HTTP 400"),
    "logits": (_logits, "scores its own draws 3 nats"),
    "tokenizer": (_other_spelling, "spells token ids otherwise"),
    "no models": (lambda path, answer: {} if path == "/v1/models" else answer, "lists no models"),
}


@pytest.mark.parametrize("kind", NO_SERVER)
def test_what_is_no_vllm_is_refused_at_start(kind: str, fakes: dict[str, FakeVllm]) -> None:
    change, named = NO_SERVER[kind]
    fake = fakes["draft"]

    def upstream(method: str, path: str, body: Any) -> tuple[int, bytes]:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(fake, "change", change)
            return fake(method, path, body)

    with serving(upstream) as served, pytest.raises(InputError, match=named) as caught:
        load_engine(f"{served.url}?{QUICK}")
    assert served.url in str(caught.value)


def test_seeds_that_are_ignored_are_refused(fakes: dict[str, FakeVllm]) -> None:
    count = iter(range(100))

    def upstream(method: str, path: str, body: Any) -> tuple[int, bytes]:
        return fakes["draft"](method, path, body and body | {"seed": next(count)})

    with serving(upstream) as served, pytest.raises(InputError, match="other tokens when a seed is repeated"):
        load_engine(f"{served.url}?{QUICK}")


def test_servers_of_two_models_are_refused(fakes: dict[str, FakeVllm]) -> None:
    with serving(fakes["draft"]) as one, serving(fakes["base"]) as two:
        with pytest.raises(InputError, match="use servers of one model"):
            load_engine(f"{one.url},{two.url}?{QUICK}")
        with pytest.raises(InputError, match="serves 'draft', not another: name one with"):
            load_engine(f"{one.url}?model=another")
    disguised = FakeVllm(checkpoint_path("base"), "draft")
    with (
        serving(fakes["draft"]) as one,
        serving(disguised) as two,
        pytest.raises(InputError, match="hold different weights"),
    ):
        load_engine(f"{one.url},{two.url}?{QUICK}")


def test_the_key_comes_from_the_environment_and_is_shown_nowhere(
    fakes: dict[str, FakeVllm], monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    key = "sk-very-secret"
    caplog.set_level(logging.DEBUG)

    def failing(count: int, path: str, body: Any) -> str | None:
        return "http_500" if count >= START else None

    with serving(fakes["draft"], failing, key=key) as served:
        with pytest.raises(InputError, match="set VLLM_API_KEY"):
            load_engine(f"{served.url}?{QUICK}")
        monkeypatch.setenv("VLLM_API_KEY", key)
        engine: Any = load_engine(f"{served.url}?{QUICK}")
        with pytest.raises(InputError, match=r"HTTP 500: failing, Bearer \*\*\*") as caught:
            engine.score(engine.prefill(PROMPTS), STEPS)
    spoken = [str(caught.value), repr(engine), repr(engine.service.servers.client.headers), caplog.text]
    assert not any(key in text for text in spoken)


@pytest.mark.parametrize(
    ("spec", "named"),
    [
        ("http://user:pass@localhost:1", "VLLM_API_KEY"),
        ("http://", "is no URL of a server"),
        ("http://localhost:1,http://localhost:1/", "named twice"),
        ("http://localhost:1?speed=3", "option 'speed'"),
        ("http://localhost:1?timeout", "setting 'timeout' in 'http://localhost:1\\?timeout': write setting=value"),
        ("http://localhost:1?timeout=1&timeout=2", "given twice"),
        ("http://localhost:1?timeout=fast", "timeout of the servers is 'fast'"),
        ("http://localhost:1?attempts=0", "attempts of the servers is 0"),
        ("http://127.0.0.1:9?attempts=2&backoff=0", "no usable answer in 2 tries .*ConnectError.*127.0.0.1:9"),
        ("sglang:model", "no scheme 'sglang'.*known are"),
        ("", "name is empty"),
        ("nowhere", "no model folder at nowhere"),
        ("transformers:nowhere?x=1", "takes no option 'x'"),
    ],
)
def test_specs_are_read_with_care(spec: str, named: str) -> None:
    with pytest.raises(InputError, match=named) as caught:
        load_engine(spec)
    assert "pass" not in str(caught.value).replace("password", "")


def test_other_temperatures_are_refused() -> None:
    for spec in ("http://localhost:1", "vllm:folder"):
        with pytest.raises(InputError, match=r"temperature 0\.7"):
            load_engine(spec, temperature=0.7)


def test_folders_are_loaded_by_transformers() -> None:
    for spec in (checkpoint_path("draft"), str(checkpoint_path("draft")), f"transformers:{checkpoint_path('draft')}"):
        assert isinstance(load_engine(spec), TransformersEngine)


def test_what_a_step_may_not_be(fakes: dict[str, FakeVllm]) -> None:
    """A server that cuts steps short (its own cap on tokens) or writes past a stop id is not believed."""
    for body, named in (
        ({"max_tokens": 2}, "ended .* without a stop id"),
        ({"stop_token_ids": []}, "yet the text goes on"),
    ):

        def upstream(method: str, path: str, asked: Any, body: Any = body) -> tuple[int, bytes]:
            changed = asked and asked.get("stop_token_ids") and asked.get("n", 0) > 2
            return fakes["draft"](method, path, asked | body if changed else asked)

        with serving(upstream) as served:
            engine = load_engine(f"{served.url}?{QUICK}")
            with pytest.raises(InputError, match=named):
                engine.sample(engine.prefill([[5, 9, 12, 6, 13]]), 64, streams_of([0]), RULE)


def test_a_large_n_is_split_over_requests_without_a_seam(pair: Pair, monkeypatch: pytest.MonkeyPatch) -> None:
    prefixes = pair.draft.prefill(PROMPTS[2:])
    whole = pair.draft.sample(prefixes, 12, streams_of(range(2)), RULE)
    monkeypatch.setattr(token_engine, "MAX_CANDIDATES", 5)
    assert pair.draft.sample(prefixes, 12, streams_of(range(2)), RULE).token_ids == whole.token_ids


def test_steps_whose_end_no_single_token_shows_are_cut_by_the_rule(pair: Pair) -> None:
    """The server is given stop ids alone; a rule over two tokens (two digits in a row) is cut on token ids."""
    table = np.zeros((2, 17), dtype=np.int16)
    table[0, 1:11] = 1  # after a digit ...
    table[1, 1:11] = -1  # ... another ends the step
    rule = StepRule(frozenset({BLANK_ID}), frozenset({EOS_ID}), 6, table)
    prefixes = pair.base.prefill([PROMPTS[0]])
    steps = pair.base.sample(prefixes, 60, streams_of([3]), rule)
    ended = [step for step in steps.token_ids[0] if len(step) > 1 and {*step[-2:]} <= {*range(1, 11)}]
    assert len(ended) > 10
    for step, finish in zip(steps.token_ids[0], steps.finish[0], strict=True):
        assert rule.cut(step) == (tuple(step), finish)
    np.testing.assert_allclose(pair.base.score(prefixes, steps.tokens), steps.token_logp, rtol=0, atol=1e-5)


@pytest.mark.parametrize(
    ("text", "said"),
    [('{"vocab_size": "many"}', 'vocab_size = "many"'), ("[1]", "not an object"), ("{", "is not JSON")],
)
def test_a_damaged_config_beside_the_tokenizer_is_named(
    text: str, said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tokenizer = vllm_server.AutoTokenizer.from_pretrained(checkpoint_path("draft"))
    monkeypatch.setattr(vllm_server.AutoTokenizer, "from_pretrained", lambda *args, **more: tokenizer)
    (tmp_path / "config.json").write_text(text)
    with pytest.raises(InputError, match=f"config.json.*{re.escape(said)}"):
        vllm_server._tokenizer("http://host:1", tmp_path)
