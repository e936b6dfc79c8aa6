"""The transformers engine satisfies the contract of every engine: by its own forward and by transformers' module, at
temperature 1 and at another, and with the buffers of fixed shape that a GPU takes."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from transformers import AutoModelForCausalLM

from llm_check.models.engines.fixed_sampler import FixedSamplers
from llm_check.models.engines.transformers_engine import TransformersEngine
from llm_check.models.tiny import checkpoint_path
from tests.llm_check.models.engines.contract_suite import CONTRACT, Pair


def module_of(name: str) -> Any:
    return AutoModelForCausalLM.from_pretrained(checkpoint_path(name), dtype="float32").eval()


@pytest.fixture(scope="module", params=["lean", "module", "warm", "fixed"])
def pair(request: pytest.FixtureRequest) -> Pair:
    settings = {"module": {"lean": False}, "warm": {"temperature": 1.4}}.get(request.param, {})
    engines = [TransformersEngine.load(checkpoint_path(name), **settings) for name in ("draft", "base")]
    if request.param == "fixed":
        # Fixed buffers grow with n, which trees do not: fewer draws.
        engines = [replace(engine, fixed=FixedSamplers(engine.forward, 1.0)) for engine in engines]
        return Pair(engines[0], engines[1], module_of("draft"), module_of("base"), draws=800)
    return Pair(engines[0], engines[1], module_of("draft"), module_of("base"))


@pytest.mark.parametrize("law", CONTRACT)
def test_contract(law: str, pair: Pair) -> None:
    CONTRACT[law](pair)
