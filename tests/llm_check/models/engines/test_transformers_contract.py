"""The transformers engine satisfies the contract of every engine: by its own forward and by transformers' module, at
temperature 1 and at another."""

from __future__ import annotations

from typing import Any

import pytest
from transformers import AutoModelForCausalLM

from llm_check.models.engines.transformers_engine import TransformersEngine
from llm_check.models.tiny import checkpoint_path
from tests.llm_check.models.engines.contract_suite import CONTRACT, Pair


def module_of(name: str) -> Any:
    return AutoModelForCausalLM.from_pretrained(checkpoint_path(name), dtype="float32").eval()


@pytest.fixture(scope="module", params=["lean", "module", "warm"])
def pair(request: pytest.FixtureRequest) -> Pair:
    settings = {"module": {"lean": False}, "warm": {"temperature": 1.4}}.get(request.param, {})
    engines = [TransformersEngine.load(checkpoint_path(name), **settings) for name in ("draft", "base")]
    return Pair(engines[0], engines[1], module_of("draft"), module_of("base"))


@pytest.mark.parametrize("law", CONTRACT)
def test_contract(law: str, pair: Pair) -> None:
    CONTRACT[law](pair)
