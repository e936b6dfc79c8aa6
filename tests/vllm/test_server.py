"""The real vLLM server: the contract of every engine, and what happens when its answers are spoiled or it is killed."""

from __future__ import annotations

import re
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from gsi_theory.errors import InputError
from llm_check.logs.pools.pool import read_pool
from llm_check.models.decoding.reasoning_steps import Steps
from llm_check.models.engines.engine import Engine
from llm_check.models.engines.load_engine import load_engine
from llm_check.models.engines.token_engine import TokenEngine
from tests.llm_check.models.engines.contract_suite import CONTRACT, PROMPTS, RULE, STEPS, Pair, streams_of
from tests.llm_check.models.engines.fake_vllm import FAULTS, forwarding_to, serving
from tests.vllm.real_server import RealServer
from tests.vllm.test_offline import scores_do_not_depend_on_order_or_on_the_prefix_cache

START = 3


@pytest.fixture(scope="module")
def pair(real_servers: dict[str, RealServer], modules: dict[str, Any]) -> Pair:
    engines = {name: load_engine(server.url) for name, server in real_servers.items()}
    return Pair(engines["draft"], engines["base"], modules["draft"], modules["base"])


@pytest.mark.parametrize("law", CONTRACT)
def test_contract(law: str, pair: Pair) -> None:
    CONTRACT[law](pair)


def test_offline_and_server_draw_the_same_tokens(pair: Pair, offline: dict[str, TokenEngine]) -> None:
    """One seed convention: the two ways to vLLM differ by nothing but the way."""
    assert pair.draft.contract.engine_version == offline["draft"].contract.engine_version
    a, b = (e.sample(e.prefill(PROMPTS), 16, streams_of(range(4)), RULE) for e in (pair.draft, offline["draft"]))
    assert a.token_ids == b.token_ids
    np.testing.assert_allclose(a.token_logp, b.token_logp, rtol=0, atol=1e-5)


def test_scores_do_not_depend_on_order_or_on_the_prefix_cache(pair: Pair) -> None:
    scores_do_not_depend_on_order_or_on_the_prefix_cache(pair.draft)


def drawn_and_scored(engine: Engine) -> tuple[Steps, np.ndarray]:
    prefixes = engine.prefill(PROMPTS)
    return engine.sample(prefixes, 4, streams_of(range(4)), RULE), engine.score(prefixes, STEPS)


@pytest.mark.parametrize("fault", [*FAULTS, "reordered"])
def test_a_passing_fault_between_us_and_the_server_changes_nothing(
    fault: str, real_servers: dict[str, RealServer], pair: Pair
) -> None:
    seen: set[bool] = set()

    def plan(count: int, path: str, body: Any) -> str | None:
        kind = "prompt_logprobs" in body
        if count < START or kind in seen:
            return None
        seen.add(kind)
        return fault

    wanted = drawn_and_scored(pair.draft)
    with forwarding_to(real_servers["draft"].url) as upstream, serving(upstream, plan) as proxy:
        # Time enough for a busy machine, not for a proxy that says nothing: it closes the connection after 1.2 s.
        found = drawn_and_scored(load_engine(f"{proxy.url}?timeout=20&backoff=0.01"))
        assert [f for _, f in proxy.asked if f] == [fault] * 2
    assert found[0].token_ids == wanted[0].token_ids
    np.testing.assert_allclose(found[0].token_logp, wanted[0].token_logp, rtol=0, atol=1e-5)
    np.testing.assert_allclose(found[1], wanted[1], rtol=0, atol=1e-5)


@pytest.fixture(scope="module")
def expendable(wide: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RealServer]:
    """A server of the draft that the tests kill and start again."""
    server = RealServer(wide / "draft", tmp_path_factory.mktemp("log") / "expendable").start()
    try:
        yield server.wait()
    finally:
        server.kill()


def test_a_dead_server_is_one_clear_error_and_a_restarted_one_goes_on(expendable: RealServer) -> None:
    """Killed in the middle of a run, the engine names prompt and server; with patience it bridges a restart, and what
    comes out is what an undisturbed run gives."""
    hasty = load_engine(f"{expendable.url}?attempts=2&backoff=0.1")
    patient = load_engine(f"{expendable.url}?attempts=200&backoff=2")
    prefixes = hasty.prefill(PROMPTS)
    wanted = hasty.sample(prefixes, 64, streams_of(range(4)), RULE)
    threading.Timer(0.3, expendable.kill).start()
    with pytest.raises(InputError, match=r"prompt 'prompt-\d', step 0: no usable answer in 2 tries") as caught:
        for _ in range(1000):
            again = hasty.sample(prefixes, 64, streams_of(range(4)), RULE)
            assert again.token_ids == wanted.token_ids
    assert expendable.url in str(caught.value)
    time.sleep(0.5)
    expendable.start()
    found = patient.sample(prefixes, 64, streams_of(range(4)), RULE)
    assert found.token_ids == wanted.token_ids
    np.testing.assert_allclose(found.token_logp, wanted.token_logp, rtol=0, atol=1e-5)


def pool_command(out: Path, draft: str, base: str) -> list[str]:
    """12 parts of 400 candidates from each model."""
    options = [
        "--problems",
        "6",
        "--steps",
        "2",
        "--candidates",
        "400",
        "--batch",
        "1",
        "--draft",
        draft,
        "--base",
        base,
    ]
    return [sys.executable, "-c", "from gsi_theory.cli import main; main()", "pool", str(out), *options]


def test_a_pool_goes_on_where_its_server_was_killed(
    expendable: RealServer, real_servers: dict[str, RealServer], tmp_path: Path
) -> None:
    """SIGKILL to the draft's server amid `gsi pool`: one message that names prompt and server, no file; with the server
    back, the same command finishes, and the pool holds what an undisturbed run's does: the same rows and tokens, and
    log-probabilities equal but for rounding (what a server computes together depends on when requests arrive)."""
    places = f"{expendable.url}?attempts=2&backoff=0.1", real_servers["base"].url
    whole, killed = tmp_path / "whole.parquet", tmp_path / "killed.parquet"
    subprocess.run(pool_command(whole, *places), check=True, timeout=300)
    process = subprocess.Popen(pool_command(killed, *places), stderr=subprocess.PIPE, text=True)
    parts = killed.with_name(killed.name + ".parts")
    while len(list(parts.glob("*-*.parquet"))) < 3 and process.poll() is None:
        time.sleep(0.01)
    expendable.kill()
    _, said = process.communicate(timeout=300)
    assert process.returncode == 2 and not killed.exists()
    assert re.search(r"gsi pool: prompt '.*', step \d: no usable answer in 2 tries", said) and expendable.url in said
    assert "Traceback" not in said and said.count("gsi pool:") == 1
    kept = {path.name: path.read_bytes() for path in parts.glob("*-*.parquet")}
    assert 3 <= len(kept) < 12
    expendable.start().wait()
    subprocess.run(pool_command(killed, *places), check=True, timeout=300)
    found, wanted = read_pool(killed).table, read_pool(whole).table
    assert found.num_rows == wanted.num_rows and found.column_names == wanted.column_names
    for name in found.column_names:
        if "logp" in name or name == "reward":
            a, b = (np.concatenate([np.ravel(v) for v in t[name].to_pylist()]) for t in (found, wanted))
            np.testing.assert_allclose(a, b, rtol=0, atol=1e-4, err_msg=name)
        else:
            assert found[name].to_pylist() == wanted[name].to_pylist(), name


def test_a_server_that_dies_leaves_its_prompts_to_the_other(
    expendable: RealServer, real_servers: dict[str, RealServer], pair: Pair
) -> None:
    both = load_engine(f"{expendable.url},{real_servers['draft'].url}?backoff=0.05")
    wanted = drawn_and_scored(pair.draft)
    threading.Timer(0.3, expendable.kill).start()
    for _ in range(20):
        found = drawn_and_scored(both)
        assert found[0].token_ids == wanted[0].token_ids
        np.testing.assert_allclose(found[1], wanted[1], rtol=0, atol=1e-5)
    assert expendable.process is None


def test_servers_of_two_models_are_refused(real_servers: dict[str, RealServer]) -> None:
    with pytest.raises(InputError, match="use servers of one model"):
        load_engine(f"{real_servers['draft'].url},{real_servers['base'].url}")
